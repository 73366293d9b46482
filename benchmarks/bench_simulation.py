"""One million admissions, six errors that change about 10 % of them, 100 replicates, beside doing everything again.

`pytest benchmarks/bench_simulation.py --benchmark-only`. The baseline draws the same errors, writes them into all
admissions and groups and prices every one, in each replicate: from integers with the engine itself, and from claim
frames with the public functions. DRGSIM_BENCH_LARGEST leaves out sizes.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

import numpy as np
import polars as pl
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from drgsim import Rates, TableSet, generate, group, price
from drgsim.grouping.grouper import group_encoded
from drgsim.miscoding.error_draws import draw_errors
from drgsim.miscoding.scenarios import Scenario
from drgsim.rebilling.baseline import Baseline
from drgsim.rebilling.code_changes import apply_changes, decode_admissions, list_code_texts
from drgsim.simulation.error_combination import combine_errors
from drgsim.simulation.simulator import SimulationRun, simulate
from drgsim.tables.encoding import Encoded

LARGEST = int(os.environ.get("DRGSIM_BENCH_LARGEST", "1_000_000"))
SIZES = [size for size in (100_000, 1_000_000) if size <= LARGEST]
REPLICATES = 100
REPLICATE = 5
"""The one that the baselines do again."""
SIX_ERRORS = """
title = "Six errors"

[errors.resequenced]
kind = "pdx_resequence"
rate = 0.003

[errors.substituted]
kind = "pdx_substitute"
rate = 0.010

[errors.missed]
kind = "sdx_omit"
cc = 0.012
mcc = 0.010
other = 0.004

[errors.unsupported]
kind = "sdx_add_unsupported"
mcc = 0.005
cc = 0.005

[errors.upgraded]
kind = "severity_upgrade"
rate = 0.002

[errors.wrong_procedure]
kind = "procedure_substitute"
rate = 0.005
"""

TABLES, RATES = TableSet.load("43.1"), Rates.load(2026)


@pytest.fixture(scope="session")
def population() -> Callable[[int], tuple[pl.DataFrame, pl.DataFrame]]:
    """Return a builder of hospitals and n admissions."""
    return lru_cache(maxsize=None)(lambda n: generate(n, seed=1, tables=TABLES))


@lru_cache(maxsize=1)
def ready(n: int) -> tuple[Baseline, SimulationRun]:
    hospitals, admissions = generate(n, seed=1, tables=TABLES)
    cases = Baseline.of(admissions, tables=TABLES, hospitals=hospitals, rates=RATES)
    return cases, SimulationRun.of(cases, Scenario.loads(SIX_ERRORS), seed=1)


def everything(cases: Baseline, run: SimulationRun, replicate: int) -> Encoded:
    """Return all admissions as they are billed in one replicate."""
    found = [
        draw_errors(error, sites, keys, cases, range(replicate, replicate + 1))
        for error, sites, keys in zip(run.scenario.errors, run.sites, run.keys, strict=True)
    ]
    claims, _ = combine_errors(found)
    return apply_changes(cases.encoded, claims.changes)


@pytest.mark.parametrize("n", SIZES)
def test_simulate(benchmark: BenchmarkFixture, population: Callable[..., tuple[pl.DataFrame, pl.DataFrame]], n: int):
    """All of it: encoding, the truth grouped and priced, errors found, drawn, grouped, priced and attributed."""
    hospitals, admissions = population(n)
    result = benchmark.pedantic(
        simulate,
        (admissions, Scenario.loads(SIX_ERRORS)),
        {"tables": TABLES, "hospitals": hospitals, "rates": RATES, "replicates": REPLICATES, "seed": 1,
         "progress": False},
        rounds=1,
        warmup_rounds=0,
    )  # fmt: skip
    benchmark.extra_info.update(
        what="simulate",
        admissions=n,
        replicates=REPLICATES,
        code_change_rate=result.mean("code_change_rate"),
        seconds_a_replicate=benchmark.stats["median"] / REPLICATES,
        peak_gib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    )
    assert result.replicates == REPLICATES
    assert 0.05 < result.mean("code_change_rate") < 0.15


@pytest.mark.parametrize("n", SIZES)
def test_replicates_alone(benchmark: BenchmarkFixture, n: int):
    """The replicates, once the admissions are ready: what the baselines below are to be held against."""
    _, run = ready(n)
    benchmark.pedantic(lambda: _fresh(run).draw_replicates(48, progress=False), rounds=5, warmup_rounds=1)
    benchmark.extra_info.update(what="replicates", admissions=n, seconds_a_replicate=benchmark.stats["median"] / 48)


@pytest.mark.parametrize("n", SIZES)
def test_everything_again_from_integers(benchmark: BenchmarkFixture, n: int):
    """The same errors, every admission grouped and priced, one replicate, with the engine's own fastest path."""
    cases, run = ready(n)

    def once() -> pl.DataFrame:
        billed = everything(cases, run, REPLICATE)
        return price(cases.grouped.with_columns(group_encoded(billed, TABLES).frame()), _hospitals(n), RATES)

    result = benchmark.pedantic(once, rounds=9, warmup_rounds=1)
    benchmark.extra_info.update(
        what="everything, from integers", admissions=n, seconds_a_replicate=benchmark.stats["median"]
    )
    totals = _totals(run)
    moved = int((result["drg"].to_numpy() != cases.truth.drg).sum())
    assert moved == totals["drg_changes"] + totals["returned"]


@pytest.mark.parametrize("n", SIZES)
def test_everything_again_with_public_functions(benchmark: BenchmarkFixture, n: int):
    """The same from claim frames: group() and price() of every billed admission, one replicate."""
    cases, run = ready(n)
    again = everything(cases, run, REPLICATE)
    dx, procedures = list_code_texts(TABLES)
    letters = decode_admissions(
        replace(again, pdx=np.zeros(n, np.int32), sdx=again.poa), pl.Series(["1", "Y", "N"]), procedures
    )
    codes = decode_admissions(again, dx, procedures)
    billed = cases.grouped.with_columns(*codes.get_columns(), sdx_poa=letters["sdx"])
    result = benchmark.pedantic(lambda: price(group(billed, TABLES), _hospitals(n), RATES), rounds=5, warmup_rounds=1)
    benchmark.extra_info.update(what="everything, group() and price()", admissions=n,
                                seconds_a_replicate=benchmark.stats["median"])  # fmt: skip
    totals, drg = _totals(run), result["drg"].to_numpy()
    change = np.rint(result["total_usd"].to_numpy() * 100).astype(np.int64) - cases.pricer.cents
    change[cases.find_returned(np.arange(n), drg)] = 0
    assert (drg != cases.truth.drg).sum() == totals["drg_changes"] + totals["returned"]
    assert (change.sum(), np.abs(change).sum()) == (
        totals["net"],
        totals["overpaid"] + totals["underpaid"],
    )  # to the cent


def _totals(run: SimulationRun) -> dict[str, int]:
    """Return what the simulation says of the replicate that the baselines do again."""
    ours = _fresh(run)
    ours.draw_replicates(REPLICATE + 1, progress=False)
    return ours.build_result(REPLICATE + 1).totals.row(REPLICATE, named=True)


@lru_cache(maxsize=2)
def _hospitals(n: int) -> pl.DataFrame:
    return generate(n, seed=1, tables=TABLES)[0]


def _fresh(run: SimulationRun) -> SimulationRun:
    """Return the run with no replicate done."""
    return replace(run, blocks=run.blocks[:1])
