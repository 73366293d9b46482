"""Leave-one-out speed: `pytest benchmarks/bench_code_value.py --benchmark-json=FILE`.

`extra_info` counts the leave-one-out admissions answered, and how many of them were grouped (the grouper cannot
see the rest). Set DRGSIM_BENCH_LARGEST to leave out sizes.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np
import polars as pl
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.data import VERSION, description
from drgsim import Rates, TableSet, generate
from drgsim.explanation.code_values import code_value, list_removals
from drgsim.numerics.parallel import run_over_spans
from drgsim.rebilling.baseline import Baseline
from drgsim.rebilling.visible_changes import NO_EFFECT_ALONE

Builder = Callable[[int], pl.DataFrame]

LARGEST = int(os.environ.get("DRGSIM_BENCH_LARGEST", "300_000"))
SIZES = [size for size in (1_000, 30_000, 300_000) if size <= LARGEST]
ROUNDS = {1_000: 20, 30_000: 7, 300_000: 3}


def reported(benchmark: BenchmarkFixture, claims: pl.DataFrame, answered: int, **more: object) -> None:
    """Note what was asked; called after the timed runs, so that the rate can be reported."""
    median = benchmark.stats.stats.median
    benchmark.extra_info.update(description(claims), leave_one_out=answered, per_second=answered / median, **more)


@pytest.mark.parametrize("n", SIZES)
def test_grouping(benchmark: BenchmarkFixture, admissions: Builder, n: int) -> None:
    """Admissions encoded and grouped before: every code left out, grouped again where that can be seen."""
    claims, tables = admissions(n), TableSet.load(VERSION)
    cases = Baseline.of(claims, tables=tables, hospitals=None, rates=None)
    each = list_removals(cases.encoded)

    def run() -> list[int]:
        spans = run_over_spans(len(each), lambda a, b: cases.rebill(each.take(slice(a, b)), np.arange(b - a + 1)).drg)
        return [len(drg) for drg in spans]

    answered = sum(benchmark.pedantic(run, rounds=ROUNDS[n], warmup_rounds=1))
    reported(benchmark, claims, answered, grouped=int((cases.visibility.classify(each)[0] > NO_EFFECT_ALONE).sum()))
    assert answered == len(each)


@pytest.mark.parametrize("pairs", [False, True], ids=["codes", "and pairs"])
@pytest.mark.parametrize("n", SIZES)
def test_code_value(benchmark: BenchmarkFixture, admissions: Builder, n: int, pairs: bool) -> None:
    """From strings to a row a code with the DRG without it."""
    claims, tables = admissions(n), TableSet.load(VERSION)
    run = (code_value, (claims, tables), {"pairs": pairs})
    values = benchmark.pedantic(*run, rounds=ROUNDS[n], warmup_rounds=1)
    reported(benchmark, claims, values.height)
    assert values["drg_without"].null_count() == 0


@pytest.mark.parametrize("n", SIZES)
def test_dollars(benchmark: BenchmarkFixture, n: int) -> None:
    """The same of a generated population, with weights and dollars."""
    tables, rates = TableSet.load(VERSION), Rates.load(2026)
    hospitals, claims = generate(n, seed=1, tables=tables)
    arguments = (claims, tables, hospitals, rates)
    values = benchmark.pedantic(code_value, arguments, rounds=ROUNDS[n], warmup_rounds=1)
    reported(benchmark, claims, values.height, changed=int((values["usd_change"] != 0).sum()))
    assert values["usd_change"].null_count() == 0
