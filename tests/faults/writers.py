"""What drgsim writes, each with a check of what is there: whole and right, or nothing.

`python -m tests.faults.writers NAME FOLDER` writes in a process of its own, which a trial may kill.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import polars as pl
from polars.testing import assert_frame_equal

from drgsim import Rates, Scenario, TableSet, generate, group, report, simulate
from drgsim.cli.frame_files import write_frame
from drgsim.cli.main_job import DemoResult, save_figure
from drgsim.scale.parquet import group_parquet, simulate_parquet
from drgsim.simulation import load_simulation
from drgsim.simulation.results import Simulation

ROWS, FILES, BATCH = 400, 4, 50
TABLES, RATES, SCENARIO = TableSet.load("43.1"), Rates.load(2026), Scenario.load("illustration")
HOSPITALS, ADMISSIONS = generate(ROWS, seed=1, tables=TABLES)
HOW = {"tables": TABLES, "hospitals": HOSPITALS, "rates": RATES, "replicates": 2, "seed": 1}
LINES = 1 + ROWS


@cache
def grouped() -> pl.DataFrame:
    return group(ADMISSIONS, TABLES)


@cache
def simulated() -> Simulation:
    return simulate(ADMISSIONS, SCENARIO, **HOW)


@dataclass(frozen=True)
class Writer:
    """A way to write into a folder; `target` is the file or folder that it makes, `check` holds what is there."""

    name: str
    target: str
    write: Callable[[Path], object]
    check: Callable[[Path], None]

    def is_there(self, folder: Path) -> bool:
        return (folder / self.target).exists()


def make_source(folder: Path) -> Path:
    """Write the admissions as Parquet files into a folder, and return it."""
    source = folder / "source"
    source.mkdir(exist_ok=True)
    size = ROWS // FILES
    for part in range(FILES):
        ADMISSIONS[part * size : (part + 1) * size].write_parquet(source / f"{part}.parquet")
    return source


def run_group(folder: Path) -> None:
    group_parquet(folder.parent / "source", folder / "out.parquet", TABLES, batch=BATCH)


def run_group_in_parts(folder: Path) -> None:
    group_parquet(folder.parent / "source", folder / "parts", TABLES, batch=BATCH)


def run_simulation_in_parts(folder: Path) -> Simulation:
    return simulate_parquet(folder.parent / "source", folder / "run", SCENARIO, batch=100, **HOW)


def check_simulation_in_parts(folder: Path) -> None:
    """A run that is not finished goes on, and its result is that of one run in memory."""
    result = run_simulation_in_parts(folder)
    assert_frame_equal(result.totals, simulated().totals, check_exact=True)
    assert result.run_id == simulated().run_id


def check_group_in_parts(folder: Path) -> None:
    run_group_in_parts(folder)
    assert_frame_equal(pl.read_parquet(folder / "parts" / "rows-*.parquet"), grouped())


def check_saved(folder: Path) -> None:
    loaded = load_simulation(folder / "result")
    assert_frame_equal(loaded.totals, simulated().totals, check_exact=True)
    assert_frame_equal(loaded.changed_claims, simulated().changed_claims, check_exact=True)


def check_ends_with(name: str, end: bytes) -> Callable[[Path], None]:
    def check(folder: Path) -> None:
        assert (folder / name).read_bytes().rstrip().endswith(end)

    return check


def check_lines(folder: Path) -> None:
    lines = (folder / "frame.csv").read_text("utf-8").splitlines()
    assert len(lines) == LINES
    assert lines[-1].startswith(f"{ADMISSIONS['admission_id'][-1]},")


WRITERS = {
    writer.name: writer
    for writer in (
        Writer("group", "out.parquet", run_group,
               lambda folder: assert_frame_equal(pl.read_parquet(folder / "out.parquet"), grouped())),
        Writer("group in parts", "parts", run_group_in_parts, check_group_in_parts),
        Writer("simulate in parts", "run", run_simulation_in_parts, check_simulation_in_parts),
        Writer("save", "result", lambda folder: simulated().save(folder / "result"), check_saved),
        Writer("Parquet", "frame.parquet", lambda folder: write_frame(ADMISSIONS, folder / "frame.parquet"),
               lambda folder: assert_frame_equal(pl.read_parquet(folder / "frame.parquet"), ADMISSIONS)),
        Writer("CSV", "frame.csv", lambda folder: write_frame(ADMISSIONS, folder / "frame.csv"), check_lines),
        Writer("figure", "demo.png", lambda folder: save_figure(DemoResult(simulated(), None, ""), folder / "demo.png"),
               check_ends_with("demo.png", b"IEND\xaeB`\x82")),
        Writer("report", "report.html", lambda folder: report(simulated(), folder / "report.html", tables=TABLES),
               check_ends_with("report.html", b"</html>")),
    )
}  # fmt: skip


if __name__ == "__main__":
    chosen = WRITERS[sys.argv[1]]
    simulated()
    print("ready", flush=True)
    while True:
        chosen.write(Path(sys.argv[2]))
        print("written", flush=True)
