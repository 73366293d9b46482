"""Group and price a Parquet file into another in a process of its own; print seconds, processor seconds and memory.

    python -m benchmarks.scale tile ADMISSIONS_PARQUET TARGET COPIES    # a larger file, with new ids
    python -m benchmarks.scale files ADMISSIONS_PARQUET HOSPITALS_PARQUET TARGET
    python -m benchmarks.scale answers ADMISSIONS_PARQUET HOSPITALS_PARQUET TARGET
    python -m benchmarks.scale memory ADMISSIONS_PARQUET HOSPITALS_PARQUET TARGET
    python -m benchmarks.scale compute ADMISSIONS_PARQUET HOSPITALS_PARQUET

`files` streams (drgsim.scale), `answers` too but keeps no input column except the id, `memory` reads, groups, prices
and writes frames, `compute` only groups and prices frames that are read already.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl

from benchmarks.data import VERSION
from benchmarks.memory import resident_kib
from drgsim import Rates, TableSet, group, price
from drgsim.scale.parquet import price_parquet

FISCAL_YEAR = 2026
ROW_GROUP = 131_072


def tile(source: str, target: str, copies: str) -> None:
    """Write a file of several copies of another, ids going on from copy to copy."""
    rows = pl.scan_parquet(source)
    n = rows.select(pl.len()).collect().item()
    ids = pl.col("admission_id")
    parts = [rows.with_columns((ids + copy * n).cast(pl.UInt64)) for copy in range(int(copies))]
    pl.concat(parts).sink_parquet(target, row_group_size=ROW_GROUP)


def measured(work: Callable[[], object], rows: int) -> None:
    """Print what the work took."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = resident_kib("VmHWM") / (1 << 20)
    print(json.dumps({"rows": rows, "seconds": wall, "cpu_seconds": cpu, "peak_gib": peak}))


def main(what: str, source: str, *rest: str) -> None:
    if what == "tile":
        tile(source, *rest)
        return
    hospitals, target = pl.read_parquet(rest[0]), Path(rest[1]) if len(rest) > 1 else None
    tables, rates = TableSet.load(VERSION), Rates.load(FISCAL_YEAR)
    few = pl.read_parquet(source, n_rows=2_000)
    price(group(few, tables), hospitals, rates)  # everything that is loaded once
    n = pl.scan_parquet(source).select(pl.len()).collect().item()
    if what in ("files", "answers"):
        keep = None if what == "files" else ["admission_id"]
        measured(lambda: price_parquet(source, target, hospitals, rates, tables=tables, keep=keep), n)
    elif what == "memory":
        measured(lambda: price(group(pl.read_parquet(source), tables), hospitals, rates).write_parquet(target), n)
    else:
        admissions = pl.read_parquet(source)
        measured(lambda: price(group(admissions, tables), hospitals, rates), n)


if __name__ == "__main__":
    main(*sys.argv[1:])
