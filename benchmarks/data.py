"""A million mostly distinct admissions, resampled from the realistic reference claims.

An admission keeps the principal diagnosis, sex and discharge status of a claim drawn at random. Its secondary
diagnoses (with their POA indicators) are drawn one by one from those of all claims of the same MDC, as many as
another claim of that MDC has, and its procedures are those of a third such claim. Codes therefore keep
their frequencies and the MDCs theirs, while the combinations are new.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

VERSION = "43.1"
SEED = 20_261_123


def shared_folder() -> Path:
    """Return the folder of reference data (DRGSIM_SHARED, or `shared` beside the repository)."""
    return Path(os.environ.get("DRGSIM_SHARED", Path(__file__).parents[2] / "shared"))


@dataclass(frozen=True)
class Ragged:
    """Lists end to end: row i holds `values` start[i] to start[i + 1]."""

    values: pl.Series
    start: NDArray[np.int64]

    @classmethod
    def of(cls, lists: pl.Series) -> Ragged:
        start = np.concatenate([[0], np.cumsum(lists.list.len().to_numpy(), dtype=np.int64)])
        return cls(lists.explode(empty_as_null=False, keep_nulls=False), start)


def bootstrapped(n: int, *, folder: Path | None = None, seed: int = SEED) -> pl.DataFrame:
    """Return `n` admissions in the ADMISSIONS layout, the same ones for the same seed."""
    rng = np.random.default_rng(seed)
    path = (folder or shared_folder()) / "claims"
    claims = pl.read_parquet(path / "v431_claims.parquet")
    claims = claims.hstack(pl.read_parquet(path / "v431_expected.parquet").select(mdc="initial_mdc"))
    claims = claims.filter(pl.col("recipe") == "realistic").sort("mdc", maintain_order=True)
    mdc = claims["mdc"].to_numpy()
    first, last = np.searchsorted(mdc, mdc, "left"), np.searchsorted(mdc, mdc, "right")

    sdx, poa, procedures = (Ragged.of(claims[name]) for name in ("sdx", "sdx_poa", "procedures"))
    drawn = rng.integers(len(mdc), size=n)
    as_long_as, operated_as = (rng.integers(first[drawn], last[drawn]) for _ in range(2))
    count = np.diff(sdx.start)[as_long_as]
    low, high = np.repeat(sdx.start[first[drawn]], count), np.repeat(sdx.start[last[drawn]], count)
    codes = (low + rng.random(len(low)) * (high - low)).astype(np.int64)

    number = np.diff(procedures.start)[operated_as]
    offset = np.arange(number.sum()) - np.repeat(np.cumsum(number) - number, number)
    operations = np.repeat(procedures.start[operated_as], number) + offset
    base = claims.select("age", "sex", "discharge_status", "pdx", "pdx_poa", "los_days")[drawn]
    return base.with_columns(
        pl.Series("admission_id", np.arange(1, n + 1), dtype=pl.UInt64),
        _lists("sdx", sdx.values.gather(codes), count),
        _lists("sdx_poa", poa.values.gather(codes), count),
        _lists("procedures", procedures.values.gather(operations), number),
    )


def _lists(name: str, values: pl.Series, count: NDArray[np.integer]) -> pl.Series:
    """Return the values as lists of the given lengths; a length of 0 is an empty list."""
    owners = pl.DataFrame({"row": np.repeat(np.arange(len(count)), count), name: values})
    lists = owners.group_by("row", maintain_order=True).agg(name)
    every = pl.DataFrame({"row": np.arange(len(count))}).join(lists, on="row", how="left", maintain_order="left")
    return every[name].fill_null(pl.Series([[]], dtype=pl.List(pl.String)))


def description(admissions: pl.DataFrame) -> dict[str, float]:
    """Return how many admissions, their mean number of codes, and the share that no other one repeats."""
    codes = 1 + admissions["sdx"].list.len() + admissions["procedures"].list.len()
    contents = admissions.select(pl.struct("pdx", "sex", "discharge_status", "sdx", "procedures").hash())
    return {
        "admissions": admissions.height,
        "codes": int(codes.sum()),
        "mean_codes": float(codes.mean() or 0),
        "distinct_share": contents.n_unique() / admissions.height,
    }
