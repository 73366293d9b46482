"""Files larger than memory beside frames in memory: `pytest benchmarks/bench_scale.py --benchmark-json=FILE`.

Every run is a process of its own, whose peak memory and processor time are in `extra_info`. DRGSIM_BENCH_TILES says
how many millions of admissions the large file has (20), DRGSIM_BENCH_LARGEST how many the small one has.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.data import VERSION
from drgsim import TableSet, generate

SMALL = int(os.environ.get("DRGSIM_BENCH_LARGEST", "1_000_000"))
TILES = int(os.environ.get("DRGSIM_BENCH_TILES", "20"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Generated admissions and hospitals, and a file of many copies with new ids."""
    made = tmp_path_factory.mktemp("scale")
    hospitals, admissions = generate(SMALL, seed=1, tables=TableSet.load(VERSION))
    admissions.write_parquet(made / "small.parquet")
    hospitals.write_parquet(made / "hospitals.parquet")
    reported("tile", made / "small.parquet", made / "large.parquet", TILES)
    return made


def reported(*arguments: object) -> str:
    command = [sys.executable, "-m", "benchmarks.scale", *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize(
    ("what", "size"),
    [
        ("compute", "small"),
        ("memory", "small"),
        ("files", "small"),
        ("answers", "small"),
        ("files", "large"),
        ("answers", "large"),
    ],
)
def test_grouped_and_priced(benchmark: BenchmarkFixture, folder: Path, what: str, size: str) -> None:
    target = [] if what == "compute" else [folder / "out.parquet"]
    arguments = (what, folder / f"{size}.parquet", folder / "hospitals.parquet", *target)
    rounds = 3 if size == "small" else 1
    found = json.loads(benchmark.pedantic(reported, arguments, rounds=rounds))
    assert found["rows"] == SMALL * (TILES if size == "large" else 1)
    rate = {"cpu_microseconds_an_admission": found["cpu_seconds"] / found["rows"] * 1e6}
    benchmark.extra_info.update(found, what=what, size=size, **rate)
