"""Data larger than memory, and Spark.

Its modules:

    parquet         group_parquet(), price_parquet(), simulate_parquet()
    parquet_source  Parquet files read batch by batch
    resumable_run   long runs in parts, continued where they stopped
    spark           group(), price(), simulate() of Spark frames
    spark_worker    what a Spark worker does with its batches
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from drgsim._lazy import attach

if TYPE_CHECKING:
    from drgsim.scale.parquet import group_parquet as group_parquet
    from drgsim.scale.parquet import price_parquet as price_parquet
    from drgsim.scale.parquet import simulate_parquet as simulate_parquet

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "group_parquet": "scale.parquet",
        "price_parquet": "scale.parquet",
        "simulate_parquet": "scale.parquet",
    },
)
