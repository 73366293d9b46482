"""Error models of others run only where the user asks for it, and the command says which code runs."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from drgsim.cli.command_line import main

MODEL = '''
import numpy as np
from pathlib import Path

from drgsim.miscoding import ErrorModel
from drgsim.miscoding.diagnosis_errors import SdxOmit

Path(__file__).with_name("it_ran").touch()


class {name}(SdxOmit):
    """Leave out secondary diagnoses, under a kind of another name."""

    kind: str = "{kind}"
'''
SCENARIO = """title = "Mine"
plugins = [{plugins}]

[errors.mine]
kind = "{kind}"
mcc = 0.5
cc = 0.5
"""


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run drgsim in a process of its own, because the kinds of error that a process knows only grow."""
    there = {**os.environ, "PYTHONPATH": f"{Path(__file__).parents[2]}{os.pathsep}{folder}"}
    words = (sys.executable, "-m", "drgsim", *words)
    return subprocess.run(words, cwd=folder, env=there, capture_output=True, text=True, check=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(MODEL.format(name="Mine", kind="mine_omit"))
    (tmp_path / "mine.toml").write_text(SCENARIO.format(plugins='"mine.py"', kind="mine_omit"))
    return tmp_path


def test_code_of_a_scenario_runs_only_when_asked(folder: Path):
    refused = run(folder, "scenarios", "check", "mine.toml")
    assert refused.returncode == 2
    assert "mine.toml: names plugins (mine.py), whose code would run with all your rights." in refused.stderr
    assert not (folder / "it_ran").exists()
    done = run(folder, "scenarios", "check", "mine.toml", "--plugins")
    assert done.stdout == "mine.toml: usable with 43.1: mine\n"
    assert done.stderr == "drgsim: runs the code of mine.py\n"
    assert (folder / "it_ran").exists()


@pytest.mark.long
def test_a_plugin_is_simulated_and_its_result_reported(folder: Path):
    assert run(folder, "generate", "200", "claims.parquet", "--seed", "1").returncode == 0
    command = ("simulate", "claims.parquet", "result", "--scenario", "mine.toml", "--replicates", "2")
    assert run(folder, *command).returncode == 2
    done = run(folder, *command, "--plugins")
    assert done.returncode == 0, done.stderr
    assert "  mine   " in done.stdout
    refused = run(folder, "report", "result", "page.html")
    assert refused.returncode == 2
    assert "errors.mine.kind is 'mine_omit': no such kind of error." in refused.stderr
    assert "The file's plugins do not define it, or are not loaded" in refused.stderr
    assert run(folder, "report", "result", "page.html", "--plugins").returncode == 0
    assert "mine" in (folder / "page.html").read_text("utf-8")


def test_a_module_by_name_is_a_plugin_too(folder: Path):
    (folder / "mine.toml").write_text(SCENARIO.format(plugins='"mine"', kind="mine_omit"))
    done = run(folder, "scenarios", "check", "mine.toml", "--plugins")
    assert (done.returncode, done.stderr) == (0, "drgsim: runs the code of module mine\n")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("import absent_module", "mine.py: cannot be loaded (ModuleNotFoundError: No module named 'absent_module')."),
        ("raise SystemError('no')", "mine.py: cannot be loaded (SystemError: no)."),
        (MODEL.format(name="Mine", kind="sdx_omit"), "a plugin defines the kind of error sdx_omit again"),
    ],
)
def test_a_plugin_that_cannot_be_used_is_one_line(folder: Path, content: str, expected: str):
    (folder / "mine.py").write_text(content)
    done = run(folder, "scenarios", "check", "mine.toml", "--plugins", "-q")
    assert done.returncode == 2
    assert expected in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("plugins", ['"absent.py"', '"absent_module"'])
def test_an_absent_plugin_is_one_line(folder: Path, plugins: str):
    (folder / "mine.toml").write_text(SCENARIO.format(plugins=plugins, kind="mine_omit"))
    done = run(folder, "scenarios", "check", "mine.toml", "--plugins", "-q")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "cannot be loaded" in done.stderr


@pytest.mark.parametrize("plugins", ["3", '""', '["mine.py"]'])
def test_plugins_are_names(folder: Path, plugins: str, capfd: pytest.CaptureFixture[str]):
    (folder / "mine.toml").write_text(SCENARIO.format(plugins=plugins, kind="sdx_omit"))
    assert main(["scenarios", "check", str(folder / "mine.toml"), "--plugins"]) == 2
    assert "expected a list of modules or files" in capfd.readouterr().err


def test_installed_error_models_are_offered(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    point = EntryPoint("acme", "json.decoder:JSONDecoder", "drgsim.error_models")
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [point] * (group == point.group))
    path = folder / "own.toml"
    path.write_text('title = "a"\n[errors.a]\nkind = "acme_omit"\n')
    assert main(["scenarios", "check", str(path)]) == 2
    assert "Installed packages offer error models (acme): --plugins." in capfd.readouterr().err
    assert main(["scenarios", "check", "empty", "--plugins"]) == 0
    err = capfd.readouterr().err
    assert err == "drgsim: runs the code of json.decoder:JSONDecoder (installed error model acme)\n"
