"""What a simulation needs is checked before it begins; an interrupt keeps what is finished, quietly."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from drgsim import Rates, Scenario, TableSet, generate, plots, report, simulate
from drgsim.exceptions import InputError
from drgsim.files import memory
from drgsim.simulation import load_simulation, simulator

TABLES, RATES, SCENARIO = TableSet.load("43.1"), Rates.load(2026), Scenario.load("illustration")
HOSPITALS, ADMISSIONS = generate(400, seed=1, tables=TABLES)
HOW = {"tables": TABLES, "hospitals": HOSPITALS, "rates": RATES, "seed": 1}


def set_free_memory(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    for module in (memory, simulator):
        monkeypatch.setattr(module, "find_available_memory", lambda: size)


def test_admissions_that_do_not_fit_are_refused_before_anything_is_done(monkeypatch: pytest.MonkeyPatch):
    set_free_memory(monkeypatch, 400 * 1_000)
    monkeypatch.setattr(simulator.Baseline, "of", None)
    with pytest.raises(
        InputError, match=r"a simulation of 400 admissions needs at least .* GiB are free.*simulate_parquet"
    ):
        simulate(ADMISSIONS, SCENARIO, replicates=2, **HOW)


def test_replicates_that_do_not_fit_are_refused_after_the_first(monkeypatch: pytest.MonkeyPatch):
    set_free_memory(monkeypatch, 400 * 2_000)
    with pytest.raises(InputError, match=r"the result of 1,000,000 replicates of 400 admissions needs at least"):
        simulate(ADMISSIONS, SCENARIO, replicates=1_000_000, **HOW)


@pytest.mark.parametrize("size", [700_000, 1_000_000, 3_000_000, 1 << 40])
def test_the_result_does_not_depend_on_the_free_memory(monkeypatch: pytest.MonkeyPatch, size: int):
    """Blocks become smaller, numbers do not change."""
    truth = simulate(ADMISSIONS, SCENARIO, replicates=40, ledger=True, **HOW)
    set_free_memory(monkeypatch, size)
    found = simulate(ADMISSIONS, SCENARIO, replicates=40, ledger=True, **HOW)
    for name in ("totals", "changed_claims", "attribution", "ledger", "error_counts"):
        assert_frame_equal(getattr(found, name), getattr(truth, name), check_exact=True)
    assert found.run_id == truth.run_id


def test_blocks_are_smaller_where_memory_is(monkeypatch: pytest.MonkeyPatch):
    run = simulator.start_run(ADMISSIONS, SCENARIO, replicates=1, **HOW)
    sizes = []
    for size in (100_000, 400_000, 1 << 40):
        set_free_memory(monkeypatch, size)
        sizes.append(run._choose_block(10_000))
    assert sizes[0] < sizes[1] < sizes[2]
    assert sizes[2] % 16 == 0


@pytest.mark.parametrize("limit", ["RLIMIT_AS", "RLIMIT_DATA"])
@pytest.mark.skipif(sys.platform != "linux", reason="the limits of a process")
def test_the_limit_of_a_process_counts(limit: str):
    program = f"import resource; resource.setrlimit(resource.{limit}, (10**9, 10**9))\n"
    program += "from drgsim.files.memory import find_available_memory\nprint(find_available_memory())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True,
                          cwd=Path(__file__).parents[2])  # fmt: skip
    assert 0 < int(done.stdout) < 10**9


def test_the_limit_of_a_container_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    files = tuple(str(tmp_path / name) for name in ("memory.max", "memory.current", "memory.stat"))
    monkeypatch.setattr(memory, "_CGROUPS", (files,))
    free = memory.find_available_memory()
    for name, text in (("memory.max", "900"), ("memory.current", "700"), ("memory.stat", "anon 1\ninactive_file 50\n")):
        (tmp_path / name).write_text(text)
    assert memory.find_available_memory() == 250
    (tmp_path / "memory.max").write_text("max\n")
    assert (memory.find_available_memory() or 0) > (free or 0) / 2


def interrupt_at(monkeypatch: pytest.MonkeyPatch, replicate: int) -> None:
    real = simulator.SimulationRun._draw_block

    def draw(run: simulator.SimulationRun, replicates: range):
        if len(replicates) and replicate in replicates:
            raise KeyboardInterrupt
        return real(run, replicates)

    monkeypatch.setattr(simulator.SimulationRun, "_draw_block", draw)


def test_an_interrupt_keeps_the_first_sixteen_replicates(monkeypatch: pytest.MonkeyPatch):
    truth = simulate(ADMISSIONS, SCENARIO, replicates=16, **HOW)
    interrupt_at(monkeypatch, 16)
    found = simulate(ADMISSIONS, SCENARIO, replicates=5_000, **HOW)
    assert found.interrupted
    assert_frame_equal(found.totals, truth.totals, check_exact=True)


def test_a_run_stopped_before_its_first_replicate_is_quiet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    interrupt_at(monkeypatch, 0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = simulate(ADMISSIONS, SCENARIO, replicates=100, **HOW)
        assert "0 replicates (interrupted, 100 asked)" in str(result)
        assert result.summary()["mean"].null_count() == result.summary().height
        for table in (result.errors(), result.transitions(), result.by("mdc"), result.by("error")):
            assert isinstance(table, pl.DataFrame)
        result.over_hospitals()
        report(result, tmp_path / "report.html", tables=TABLES)
        for draw in (
            plots.plot_shift,
            plots.plot_replicates,
            plots.plot_severity,
            plots.plot_transitions,
            plots.plot_flow,
        ):
            draw(result).figure.savefig(tmp_path / "figure.png")
        loaded = load_simulation(result.save(tmp_path / "result"))
        assert loaded.replicates == 0
        assert str(loaded) == str(result)
