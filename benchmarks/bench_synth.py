"""Speed of `generate`, the grouper's check included: `pytest benchmarks/bench_synth.py --benchmark-json=FILE`.

The plan of a version and a population is compiled once; it is timed apart from the admissions.
"""

from __future__ import annotations

import os

import polars as pl
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from drgsim import TableSet
from drgsim.synthetic.generation_plan import compile_plan
from drgsim.synthetic.generator import generate, generate_batches
from drgsim.synthetic.population import Population

LARGEST = int(os.environ.get("DRGSIM_BENCH_LARGEST", "1_000_000"))
SIZES = [size for size in (1_000, 100_000, 1_000_000) if size <= LARGEST]
ROUNDS = {1_000: 10, 100_000: 7, 1_000_000: 5}
VERSION = "43.1"


@pytest.fixture(scope="session")
def tables() -> TableSet:
    """Return the tables, with the plan of the default population compiled."""
    found = TableSet.load(VERSION)
    generate(1, seed=1, tables=found)
    return found


@pytest.mark.parametrize("n", SIZES)
def test_generate(benchmark: BenchmarkFixture, tables: TableSet, n: int) -> None:
    benchmark.extra_info.update(what="generate", n=n, polars_threads=pl.thread_pool_size())
    _, admissions = benchmark.pedantic(generate, (n,), {"seed": 1, "tables": tables}, rounds=ROUNDS[n], warmup_rounds=1)
    assert admissions.height == n


@pytest.mark.parametrize("n", SIZES[-1:])
def test_generate_in_batches(benchmark: BenchmarkFixture, tables: TableSet, n: int) -> None:
    """Bounded memory: each batch is dropped as soon as it is counted."""

    def counted() -> int:
        return sum(batch.height for _, batch in generate_batches(n, seed=1, tables=tables))

    benchmark.extra_info.update(what="generate_batches", n=n, polars_threads=pl.thread_pool_size())
    assert benchmark.pedantic(counted, rounds=3, warmup_rounds=1) == n


def test_compile_a_plan(benchmark: BenchmarkFixture, tables: TableSet) -> None:
    """Cores solved from the formulas and confirmed, ages raked, comorbidity tabulated."""
    population = Population.load("community_hospital")
    benchmark.extra_info.update(what="compile a plan", n=1)
    plan = benchmark.pedantic(
        compile_plan, (tables, population, None), setup=compile_plan.cache_clear, rounds=3, warmup_rounds=0
    )
    assert len(plan.pool.drg) > 700
