"""Parquet is grouped, priced and simulated in parts that continue where they stopped; progress is written."""

from __future__ import annotations

import inspect
import io
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from drgsim import Rates, TableSet, generate, group, price
from drgsim.cli.command_line import main
from drgsim.cli.console import Progress
from drgsim.miscoding.scenarios import Scenario
from drgsim.scale import parquet
from drgsim.simulation.results import load_simulation
from drgsim.simulation.simulator import simulate
from tests.support.made import assert_same_tables

TABLES, RATES = TableSet.load("43.1"), Rates.load(2026)
ROWS, BATCH = 500, 200


@pytest.fixture(scope="module")
def data() -> tuple[pl.DataFrame, pl.DataFrame]:
    return generate(ROWS, seed=3, tables=TABLES)


@pytest.fixture
def claims(data: tuple[pl.DataFrame, pl.DataFrame], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Claims and hospitals in files, and parts of 200 rows."""
    data[0].write_parquet(tmp_path / "hospitals.parquet")
    data[1].write_parquet(tmp_path / "claims.parquet")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("drgsim.scale.parquet_source.BATCH", BATCH)
    for verb in ("group_parquet", "price_parquet", "simulate_parquet"):
        monkeypatch.setitem(inspect.unwrap(getattr(parquet, verb)).__kwdefaults__, "batch", BATCH)
    return tmp_path


def parts(folder: Path, table: str = "rows") -> list[str]:
    return sorted(path.name for path in folder.glob(f"{table}-*.parquet"))


@pytest.mark.parametrize("out", ["grouped", "grouped/"])
def test_a_folder_is_grouped_and_priced_in_parts(
    data: tuple[pl.DataFrame, pl.DataFrame], claims: Path, out: str, capfd: pytest.CaptureFixture[str]
):
    assert main(["group", "claims.parquet", out, "--version", "43.1"]) == 0
    assert parts(claims / "grouped") == ["rows-00000.parquet", "rows-00001.parquet", "rows-00002.parquet"]
    expected = group(data[1], TABLES)
    assert_frame_equal(pl.read_parquet(claims / "grouped/rows-*.parquet"), expected)
    assert "500 admissions in 3 parts" in capfd.readouterr().err
    assert main(["price", out, "paid", "--hospitals", "hospitals.parquet"]) == 0
    paid = price(expected, data[0], RATES)
    assert_frame_equal(pl.read_parquet(claims / "paid/rows-*.parquet"), paid)
    assert f"paid {paid['total_usd'].sum():,.2f} USD; 0 admissions not paid" in capfd.readouterr().err


def test_a_run_that_broke_continues(
    data: tuple[pl.DataFrame, pl.DataFrame], claims: Path, monkeypatch: pytest.MonkeyPatch
):
    """The second part fails once; the same command writes what is missing and no part twice."""
    command = ["group", "claims.parquet", "grouped/", "--version", "43.1", "-q"]
    heights: list[int] = []

    def fail_second(rows: pl.DataFrame, *args: object, **kwargs: object) -> pl.DataFrame:
        heights.append(rows.height)
        if len(heights) == 3:  # after the empty frame that checks the columns, and the first part
            raise MemoryError
        return group(rows, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr("drgsim.scale.parquet.group", fail_second)
        assert main(command) == 2
    assert parts(claims / "grouped") == ["rows-00000.parquet"]
    first = (claims / "grouped/rows-00000.parquet").stat().st_mtime_ns
    assert main(command) == 0
    assert (claims / "grouped/rows-00000.parquet").stat().st_mtime_ns == first
    assert_frame_equal(pl.read_parquet(claims / "grouped/rows-*.parquet"), group(data[1], TABLES))


def test_a_simulation_in_parts_has_the_tables_of_one_at_once(
    data: tuple[pl.DataFrame, pl.DataFrame], claims: Path, capfd: pytest.CaptureFixture[str]
):
    command = ["simulate", "claims.parquet", "result", "--scenario", "illustration", "--hospitals", "hospitals.parquet"]
    assert main([*command, "--replicates", "3", "--in-parts"]) == 0
    assert parts(claims / "result.parts", "totals") == [f"totals-0000{part}.parquet" for part in range(3)]
    printed = capfd.readouterr().out
    found = load_simulation(claims / "result")
    scenario = Scenario.load("illustration")
    expected = simulate(
        data[1], scenario, tables=TABLES, hospitals=data[0], rates=RATES, replicates=3, seed=1, progress=False
    )
    assert_same_tables(found, expected, [])
    assert main([*command[:2], "at_once", *command[3:], "--replicates", "3", "-q"]) == 0
    assert capfd.readouterr().out.replace("   ungroupable 0", "") == printed


def test_a_large_file_is_simulated_in_parts(claims: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("drgsim.cli.simulation_commands.LARGE", ROWS)
    command = ["simulate", "claims.parquet", "result", "--scenario", "empty", "--replicates", "1", "-q"]
    assert main([*command, "--no-in-parts"]) == 0
    assert not (claims / "result.parts").exists()
    assert main(command) == 0
    assert (claims / "result.parts").is_dir()


def test_a_folder_needs_parquet(claims: Path, capfd: pytest.CaptureFixture[str]):
    (claims / "claims.csv").write_text("admission_id,age,sex,discharge_status,dx1\n1,54,F,1,K81.0\n")
    assert main(["group", "claims.csv", "grouped/", "-q"]) == 2
    assert "a folder is written in parts from Parquet, and claims.csv is none" in capfd.readouterr().err
    assert not (claims / "grouped").exists()


def test_claims_in_slices_are_grouped_and_priced_as_at_once(
    data: tuple[pl.DataFrame, pl.DataFrame], claims: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("drgsim.cli.grouping_commands.SLICE", 170)
    assert main(["generate", str(ROWS), "drawn.parquet", "--seed", "3", "-q"]) == 0
    assert pl.read_parquet("drawn.parquet").equals(data[1])
    assert main(["group", "drawn.parquet", "grouped.parquet", "--version", "43.1", "--detail", "-q"]) == 0
    expected = group(data[1], TABLES, detail=True)
    assert_frame_equal(pl.read_parquet("grouped.parquet"), expected)
    assert main(["price", "grouped.parquet", "paid.parquet", "--hospitals", "hospitals.parquet", "-q"]) == 0
    assert_frame_equal(pl.read_parquet("paid.parquet"), price(expected, data[0], RATES))


# ------------------------------------------------------------------------------------------------ progress


class Screen(io.StringIO):
    """Standard error that says whether it is a terminal."""

    def __init__(self, is_terminal: bool) -> None:
        super().__init__()
        self.is_terminal = is_terminal

    def isatty(self) -> bool:
        return self.is_terminal


@pytest.mark.parametrize("is_terminal", [False, True])
@pytest.mark.parametrize("quiet", [False, True])
def test_a_long_step_writes_lines(is_terminal: bool, quiet: bool, monkeypatch: pytest.MonkeyPatch):
    screen = Screen(is_terminal)
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr("drgsim.cli.console.LINE_SECONDS", 0.01)
    monkeypatch.setattr("drgsim.cli.console.TERMINAL_SECONDS", 0.01)
    with Progress(SimpleNamespace(quiet=quiet), "group", 9_000, "admissions") as progress:
        progress.done = 4_000
        while not (quiet or screen.getvalue()):
            time.sleep(0.001)
    written = screen.getvalue()
    assert ("group: 4,000 of 9,000 admissions, 0 s" in written) == (not quiet)
    assert ("\r" in written) == (is_terminal and not quiet)


def test_commands_count_what_is_done(claims: Path, monkeypatch: pytest.MonkeyPatch):
    """Each command sets `done` slice by slice, up to all admissions."""
    seen: list[tuple[str, int, int]] = []

    class Recorded(Progress):
        def __setattr__(self, name: str, value: object) -> None:
            super().__setattr__(name, value)
            if name == "done" and value:
                seen.append((self._step, value, self._total))

    monkeypatch.setattr("drgsim.cli.grouping_commands.Progress", Recorded)
    monkeypatch.setattr("drgsim.cli.grouping_commands.SLICE", 200)
    for command in (
        ["generate", "500", "a.parquet", "--seed", "3"],
        ["group", "a.parquet", "b.parquet", "--version", "43.1"],
        ["price", "b.parquet", "c.parquet", "--hospitals", "hospitals.parquet"],
    ):
        assert main([*command, "-q"]) == 0
    assert seen == [(step, done, 500) for step in ("generate", "group", "price") for done in (200, 400, 500)]
