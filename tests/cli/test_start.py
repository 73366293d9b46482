"""Help, the version and the list of scenarios are printed without loading what computes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.test_commands import commands

HEAVY = ("numpy", "polars", "pydantic", "scipy", "matplotlib", "tqdm")
PROGRAM = """
import sys
from drgsim.cli.command_line import main
for words in sys.argv[1].split(","):
    try:
        main(words.split())
    except SystemExit as ended:
        assert not ended.code, words
print([name for name in sys.argv[2].split(",") if name in sys.modules], file=sys.stderr)
"""


def modules_loaded(lines: list[str]) -> str:
    """Return the heavy modules that a process has loaded after some command lines."""
    there = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    words = [sys.executable, "-c", PROGRAM, ",".join(lines), ",".join(HEAVY)]
    done = subprocess.run(words, capture_output=True, text=True, env=there, check=False)
    return done.stderr.strip()


@pytest.mark.parametrize("line", ["--help", "--version", "scenarios list"])
def test_what_only_prints_loads_nothing_that_computes(line: str):
    assert modules_loaded([line]) == "[]"


def test_the_help_of_a_command_loads_nothing_that_computes():
    assert modules_loaded([f"{' '.join(words)} --help" for words in commands()]) == "[]"


def test_the_check_can_fail():
    assert "polars" in modules_loaded(["tables list"])
