"""Speed of claim edits beside `msdrg`, in one run: `pytest benchmarks/bench_edit.py --benchmark-json=FILE`.

`python -m benchmarks.bench_edit FILE` prints the results as a table; `python -m benchmarks.bench_edit --memory PARQUET`
prints the bytes an admission that `edit` takes at its peak, in a process of its own.
"""

from __future__ import annotations

import contextlib
import ctypes
import datetime as dt
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.memory import resident_kib
from drgsim import edit

Builder = Callable[[int], pl.DataFrame]
Run = Callable[[], list[Any]]

LARGEST = int(os.environ.get("DRGSIM_BENCH_LARGEST", "1_000_000"))
SIZES = [size for size in (1_000, 100_000, 1_000_000) if size <= LARGEST]
ROUNDS = {1_000: 50, 100_000: 15, 1_000_000: 7}
PEER_SIZE = 5_000
FIRST_DAY, DAYS = dt.date(2022, 10, 1), 1_461


def dated(claims: pl.DataFrame) -> pl.DataFrame:
    """Return claims with discharge dates spread over the versions 40.0 to 43.1."""
    days = np.random.default_rng(3).integers(0, DAYS, len(claims)).astype(np.int32)
    first = (FIRST_DAY - dt.date(1970, 1, 1)).days
    return claims.with_columns(discharge_date=pl.Series(days + first).cast(pl.Date))


def peer_claims(claims: pl.DataFrame) -> list[dict[str, Any]]:
    """Return claims as `msdrg` takes them. It has no stay: it takes the age for it."""
    sexes = {"M": 0, "F": 1}
    return [
        {
            "discharge_date": int(f"{row['discharge_date']:%Y%m%d}"),
            "age": row["age"],
            "sex": sexes.get(row["sex"], 2),
            "discharge_status": row["discharge_status"],
            "pdx": {"code": row["pdx"]},
            "sdx": [{"code": code} for code in row["sdx"]],
            "procedures": [{"code": code} for code in row["procedures"]],
        }
        for row in claims.iter_rows(named=True)
    ]


@contextmanager
def msdrg_api(claims: pl.DataFrame) -> Iterator[Run]:
    """`msdrg` through its public API: a dictionary in, a dictionary out, one claim at a time."""
    import msdrg

    inputs = peer_claims(claims)
    with msdrg.MceEditor() as editor:
        yield lambda: [editor.edit(claim) for claim in inputs]


@contextmanager
def msdrg_native(claims: pl.DataFrame) -> Iterator[Run]:
    """`msdrg`'s C function on two threads, JSON written beforehand and its answers not parsed."""
    import msdrg

    documents = [json.dumps(claim).encode() for claim in peer_claims(claims)]
    half = -(-len(documents) // 2)
    with msdrg.MceEditor() as editor, ThreadPoolExecutor(2) as pool:
        call, free, context = editor.lib.mce_edit_json, editor.lib.msdrg_string_free, editor.ctx

        def span(part: list[bytes]) -> list[bytes]:
            answers = []
            for document in part:
                pointer = call(context, document)
                answers.append(ctypes.string_at(pointer))
                free(pointer)
            return answers

        yield lambda: [each for part in pool.map(span, (documents[:half], documents[half:])) for each in part]


PEERS: dict[str, Callable[[pl.DataFrame], AbstractContextManager[Run]]] = {
    "msdrg API": msdrg_api,
    "msdrg bare native call, 2 threads": msdrg_native,
}


def note(benchmark: BenchmarkFixture, what: str, claims: pl.DataFrame, **more: object) -> None:
    """Note what the table needs to know about a run."""
    codes = int((1 + claims["sdx"].list.len() + claims["procedures"].list.len()).sum())
    benchmark.extra_info.update(what=what, admissions=len(claims), codes=codes, threads=pl.thread_pool_size(), **more)


@pytest.mark.parametrize("detail", [False, True], ids=["", "detail"])
@pytest.mark.parametrize("n", SIZES)
def test_edit(benchmark: BenchmarkFixture, admissions: Builder, n: int, *, detail: bool) -> None:
    claims = dated(admissions(n))
    note(benchmark, "edit, each code" if detail else "edit", claims)
    edited = benchmark.pedantic(edit, (claims,), {"detail": detail}, rounds=ROUNDS[n], warmup_rounds=1)
    assert edited.height == n


@pytest.mark.parametrize("peer", PEERS)
def test_peer(benchmark: BenchmarkFixture, admissions: Builder, peer: str) -> None:
    pytest.importorskip("msdrg", reason="peers are optional: pip install 'drgsim[bench]'")
    claims = dated(admissions(PEER_SIZE))
    with PEERS[peer](claims) as run:
        answers = benchmark.pedantic(run, rounds=5, warmup_rounds=1)
    assert len(answers) == PEER_SIZE
    ours = edit(claims).select("edits", "edit_counts").rows()
    theirs = [answer if isinstance(answer, dict) else json.loads(answer) for answer in answers]
    counts = [{each["name"]: each["count"] for each in answer["edits"] if each["count"]} for answer in theirs]
    same = sum(dict(zip(*mine, strict=True)) == other for mine, other in zip(ours, counts, strict=True))
    note(benchmark, peer, claims, agreement=same / PEER_SIZE)


@pytest.mark.parametrize("n", [size for size in SIZES if size > 1_000])
def test_peak_memory(benchmark: BenchmarkFixture, admissions: Builder, n: int, tmp_path: Path) -> None:
    claims = dated(admissions(n))
    claims.write_parquet(tmp_path / "claims.parquet")
    command = [sys.executable, "-m", "benchmarks.bench_edit", "--memory", str(tmp_path / "claims.parquet")]
    printed = benchmark.pedantic(subprocess.check_output, (command,), {"text": True}, rounds=1)
    note(benchmark, "memory", claims, bytes_per_admission=float(printed))
    assert float(printed) > 0


def print_memory(path: str) -> None:
    claims = pl.read_parquet(path)
    edit(claims.head(1_000))
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from here
    before = resident_kib("VmRSS")
    edited = edit(claims)
    print((resident_kib("VmHWM") - before) * 1024 / edited.height)


def print_table(path: str) -> None:
    runs = json.loads(Path(path).read_text("utf-8"))["benchmarks"]
    rate = {id(run): run["extra_info"]["admissions"] / run["stats"]["median"] for run in runs}
    best = max(rate[id(run)] for run in runs if run["extra_info"]["what"] == "edit")
    print("| | admissions | admissions/s (median) | (best) | `edit` is … times as fast | same answer |")
    print("|---|--:|--:|--:|--:|--:|")
    for run in runs:
        info = run["extra_info"]
        if info["what"] == "memory":
            print(f"| memory at the peak | {info['admissions']:,} | {info['bytes_per_admission']:,.0f} B each | | | |")
            continue
        fastest = info["admissions"] / run["stats"]["min"]
        same = f"{info['agreement']:.1%}" if "agreement" in info else ""
        print(f"| {info['what']} | {info['admissions']:,} | {rate[id(run)]:,.0f} | {fastest:,.0f} "
              f"| {best / rate[id(run)]:,.1f} | {same} |")  # fmt: skip


if __name__ == "__main__":
    print_memory(sys.argv[2]) if sys.argv[1] == "--memory" else print_table(sys.argv[1])
