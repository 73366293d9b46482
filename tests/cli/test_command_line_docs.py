"""The examples of docs/command_line.md run, in order, and print what the page says."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from drgsim.cli.command_line import build_parser, main

PAGE = Path(__file__).parents[2] / "docs" / "command_line.md"
TEXT = PAGE.read_text("utf-8")
BLOCKS = re.findall(r"```console\n(.*?)```", TEXT, re.DOTALL)
SHELL = re.compile(r"[|><]|^(?!drgsim )")


def examples() -> list[tuple[str, list[str]]]:
    """Return every command of the page, with the lines it prints."""
    found: list[tuple[str, list[str]]] = []
    for block in BLOCKS:
        for part in re.split(r"(?m)^\$ ", block)[1:]:
            command, _, printed = part.partition("\n")
            if "<<END" in command:
                document, _, printed = printed.partition("END\n")
                command += f"\n{document}END"
            found.append((command, printed.splitlines()))
    return found


def ran(command: str, capfdbinary: pytest.CaptureFixture[bytes]) -> tuple[list[str], list[str]]:
    """Return the lines of standard output and standard error of a command; only pipes and the like need a shell."""
    if SHELL.search(command):
        shim = f'drgsim() {{ {shlex.quote(sys.executable)} -m drgsim "$@"; }}\n'
        there = {**os.environ, "PYTHONPATH": str(PAGE.parents[1])}
        done = subprocess.run(["bash", "-c", shim + command], capture_output=True, text=True, env=there, check=False)
        return done.stdout.splitlines(), done.stderr.splitlines()
    main(shlex.split(command)[1:])
    out, err = capfdbinary.readouterr()
    return out.decode().splitlines(), err.decode().splitlines()


@pytest.mark.long
def test_the_page_prints_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
):
    monkeypatch.chdir(tmp_path)
    for command, printed in examples():
        out, err = ran(command, capfdbinary)
        reported = [line for line in printed if line.startswith("drgsim: ")]
        assert err == reported, command
        assert out == [line for line in printed if line not in reported], command


def test_every_command_is_on_the_page():
    (commands,) = (action for action in build_parser()._actions if action.dest == "command")
    listed = re.findall(r"^\| `(\w+)` \|", TEXT, re.MULTILINE)
    assert sorted(listed) == sorted(commands.choices)
    run = {
        words[1]
        for words in (shlex.split(c.split("\n")[0].split(" | ")[0]) for c, _ in examples())
        if words[0] == "drgsim"
    }
    assert run >= {*listed} - {"demo", "report", "price"}  # price stands in a pipe too; a report needs its own page
