"""Two runs compared: what changed, in DRGs and dollars, and how sure a simulated mean is."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

CHANGES = ("admission_id", "drg", "billed_drg", "usd", "billed_usd")


def changes(truth: pl.DataFrame, billed: pl.DataFrame) -> pl.DataFrame:
    """Return the admissions whose DRG or payment differs, a row each.

    Args:
        truth: `admission_id`, `drg`, `usd` [USD] of at least every admission in `billed`.
        billed: the same columns, of the admissions with an error; one row an admission.

    Returns:
        `admission_id`, `drg`, `billed_drg`, `usd`, `billed_usd`, in the order of `billed`.

    >>> truth = pl.DataFrame({"admission_id": [1, 2], "drg": [419, 193], "usd": [9e3, 8e3]})
    >>> changes(truth, pl.DataFrame({"admission_id": [1, 2], "drg": [417, 193], "usd": [17e3, 8e3]})).row(0)
    (1, 419, 417, 9000.0, 17000.0)
    """
    both = billed.select("admission_id", billed_drg="drg", billed_usd="usd").join(
        truth.select("admission_id", "drg", "usd"), on="admission_id", how="left", maintain_order="left"
    )
    moved = pl.col("drg").ne_missing(pl.col("billed_drg")) | pl.col("usd").ne_missing(pl.col("billed_usd"))
    return both.filter(moved).select(CHANGES)


def shift(replicates: Sequence[pl.DataFrame]) -> dict[str, tuple[float, float]]:
    """Return the mean over replicates and its standard error of each total.

    Args:
        replicates: one frame of `changes` a replicate; at least two for a standard error.

    Returns:
        `net_usd`, `over_usd` (overpaid), `under_usd` (underpaid, not below 0), `drg_changes`: (mean, standard
        error); the error is NaN for one replicate. It measures event noise alone.

    >>> frame = pl.DataFrame({"drg": [419], "billed_drg": [417], "usd": [9e3], "billed_usd": [17e3]})
    >>> shift([frame, frame.clear()])["net_usd"]
    (4000.0, 4000.0)
    """
    change = pl.col("billed_usd") - pl.col("usd")
    totals = pl.concat(
        frame.select(
            net_usd=change.sum(),
            over_usd=change.clip(lower_bound=0).sum(),
            under_usd=-change.clip(upper_bound=0).sum(),
            drg_changes=(pl.col("drg") != pl.col("billed_drg")).sum().cast(pl.Float64),
        )
        for frame in replicates
    )
    error = totals.select(pl.all().std() / len(replicates) ** 0.5).fill_null(float("nan")).row(0)
    return dict(zip(totals.columns, zip(totals.mean().row(0), error, strict=True), strict=True))


def transitions(replicates: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Return DRG to DRG: mean admissions and mean dollars a replicate, largest dollars first.

    >>> frame = pl.DataFrame({"drg": [419], "billed_drg": [417], "usd": [9e3], "billed_usd": [17e3]})
    >>> transitions([frame]).row(0)
    (419, 417, 1.0, 8000.0)
    """
    n = len(replicates)
    return (
        pl.concat(replicates)
        .filter(pl.col("drg") != pl.col("billed_drg"))
        .group_by("drg", "billed_drg")
        .agg(admissions=pl.len() / n, usd=(pl.col("billed_usd") - pl.col("usd")).sum() / n)
        .sort(pl.col("usd").abs(), "drg", "billed_drg", descending=[True, False, False])
    )
