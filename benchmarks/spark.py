"""Rows a second of Spark in local mode beside plain Polars.

    python -m benchmarks.spark ADMISSIONS_PARQUET HOSPITALS_PARQUET [WORKERS]

Both read a Parquet file, group and price it, and write Parquet. Needs `pip install drgsim[spark]` and Java. The first
Spark run starts the workers and loads the tables; it is distinguished.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
from pyspark.sql import SparkSession

from benchmarks.data import VERSION
from drgsim import Rates, TableSet
from drgsim.scale import spark
from drgsim.scale.parquet import price_parquet

FISCAL_YEAR = 2026


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main(source: str, hospitals_file: str, workers: str = "2") -> None:
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    os.environ["PYTHONPATH"] = str(Path(__file__).parents[1])
    hospitals, tables, rates = pl.read_parquet(hospitals_file), TableSet.load(VERSION), Rates.load(FISCAL_YEAR)
    rows = pl.scan_parquet(source).select(pl.len()).collect().item()
    session = SparkSession.builder.master(f"local[{workers}]").config("spark.ui.enabled", "false").getOrCreate()
    with TemporaryDirectory() as folder:
        # Spark has no unsigned numbers.
        signed = pl.scan_parquet(source).with_columns(pl.col("admission_id").cast(pl.Int64))
        signed.sink_parquet(f"{folder}/in.parquet", row_group_size=131_072)

        def by_spark() -> None:
            paid = spark.price(session.read.parquet(f"{folder}/in.parquet"), hospitals, rates, tables=tables)
            paid.write.mode("overwrite").parquet(f"{folder}/spark")

        def by_polars() -> None:
            price_parquet(f"{folder}/in.parquet", f"{folder}/polars.parquet", hospitals, rates, tables=tables)

        for name, work in (
            ("Polars", by_polars),
            ("Spark, first", by_spark),
            ("Spark", by_spark),
            ("Polars", by_polars),
        ):
            print(f"{name:14s} {rows / seconds(work):12,.0f} admissions a second")
    session.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
