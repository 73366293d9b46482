"""Speed of reviews: `pytest benchmarks/bench_review.py --benchmark-json=FILE`.

`extra_info` has the pairs or claims a second. The other coding has the errors of the shipped illustration and as many
missed codes again. Set DRGSIM_BENCH_LARGEST to leave out sizes.
"""

from __future__ import annotations

import os

import polars as pl
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from drgsim import Rates, TableSet, generate, group
from drgsim.review import compare_codings, validate_drgs

LARGEST = int(os.environ.get("DRGSIM_BENCH_LARGEST", "1_000_000"))
SIZES = [size for size in (10_000, 100_000, 1_000_000) if size <= LARGEST]


def code_again(admissions: pl.DataFrame) -> pl.DataFrame:
    """Return the admissions as another coder might code them: one code in eight of one stay in three is missed."""
    number = pl.int_range(admissions.height)
    kept = pl.when(number % 3 == 0).then(pl.col("sdx").list.len() * 7 // 8).otherwise(pl.col("sdx").list.len())
    pdx = pl.when((number % 20 == 0) & (pl.col("sdx").list.len() > 0)).then(pl.col("sdx").list.first())
    again = admissions.with_columns(pl.col("sdx", "sdx_poa").list.head(kept), pdx=pdx.otherwise(pl.col("pdx")))
    status = pl.when(number % 40 == 1).then(1).otherwise(pl.col("discharge_status"))
    return again.with_columns(
        procedures=pl.when(number % 30 == 2).then([]).otherwise("procedures"), discharge_status=status
    )


@pytest.mark.parametrize("n", SIZES)
def test_compare_codings(benchmark: BenchmarkFixture, n: int) -> None:
    """From strings on both sides to differences, DRGs, dollars and their attribution."""
    tables, rates = TableSet.load("43.1"), Rates.load(2026)
    hospitals, reference = generate(n, seed=1, tables=tables)
    other = code_again(reference)
    given = {"tables": tables, "hospitals": hospitals, "rates": rates}
    found = benchmark.pedantic(compare_codings, (reference, other), given, rounds=3, warmup_rounds=1)
    same = float((found.change == 0).mean())
    benchmark.extra_info.update(
        pairs=n, per_second=n / benchmark.stats.stats.median, differences=int(found.found.first.sum()), same_usd=same
    )
    assert found.contributions[:, 2].sum() == found.change.sum()


@pytest.mark.parametrize("n", SIZES)
def test_validate_drgs(benchmark: BenchmarkFixture, n: int) -> None:
    """Claims of which one in fifty was billed with the DRG of another."""
    tables, rates = TableSet.load("43.1"), Rates.load(2026)
    hospitals, claims = generate(n, seed=1, tables=tables)
    drg = group(claims, tables)["drg"]
    moved = pl.when(pl.int_range(n) % 50 == 0).then(drg.shift(1)).otherwise(drg)
    claims = claims.with_columns(billed_drg=moved.cast(pl.UInt16))
    given = {"tables": tables, "hospitals": hospitals, "rates": rates}
    found = benchmark.pedantic(validate_drgs, (claims,), given, rounds=3, warmup_rounds=1)
    benchmark.extra_info.update(claims=n, per_second=n / benchmark.stats.stats.median)
    assert found.accounts.height == n
