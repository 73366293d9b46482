"""Why a case-mix index changed: other cases, or more severity in the same base DRGs."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from drgsim.exceptions import InputError
from drgsim.files.foreign_frames import accept_frames
from drgsim.schema import GROUPED, Column, Frame, check_frame

_INPUT = Frame("admissions", (GROUPED["drg"], GROUPED["base_drg"], Column("weight", pl.Float64(), "1", "")))


@accept_frames
def cmi_change(before: pl.DataFrame, after: pl.DataFrame, *, by: str | Sequence[str] | None = None) -> pl.DataFrame:
    """Split the change of a case-mix index into mix and severity, exactly.

    With s the share of a base DRG among discharges and w its mean weight, before and after:
    mix = sum (s1 - s0) (w0 + w1) / 2, severity = sum (w1 - w0) (s0 + s1) / 2, and mix + severity = CMI1 - CMI0.
    A base DRG of one side only counts as mix. The split is symmetric: to swap the frames changes the signs
    alone.

    Args:
        before, after: (n,), (m,) with `drg`, `base_drg`, `weight` of the same weights (one fiscal year).
            Discharges without a weight are left out.
        by: the column or columns that name a hospital; by default one row for all.

    Returns:
        `by`, `discharges_before`, `discharges_after` (UInt32), `cmi_before`, `cmi_after`, `change`, `mix`, `severity`
        (null where a hospital has no discharge on one side); in order of `by`.

    Raises:
        SchemaError: a column is missing or of the wrong type.
        InputError: a DRG has several weights: a change of weights is neither mix nor severity.

    >>> one = pl.DataFrame({"drg": [193, 195], "base_drg": [193, 193], "weight": [1.3, 0.7]})
    >>> other = pl.DataFrame({"drg": [193, 193], "base_drg": [193, 193], "weight": [1.3, 1.3]})
    >>> cmi_change(one, other).select(pl.col("change", "mix", "severity").round(6)).row(0)
    (0.3, 0.0, 0.3)
    """
    keys = [] if by is None else [by] if isinstance(by, str) else [*by]
    sides = [_select_cases(frame, keys) for frame in (before, after)]
    _check_weights(pl.concat([side.select("drg", "weight") for side in sides]))
    families = [_average_weights(side, keys, name) for side, name in zip(sides, ("before", "after"), strict=True)]
    both = families[0].join(families[1], on=[*keys, "base_drg"], how="full", coalesce=True, nulls_equal=True)
    totals = _count_discharges(both, keys)
    c = pl.col
    share0, share1 = c("n_before").fill_null(0) / c("all_before"), c("n_after").fill_null(0) / c("all_after")
    # On a side that lacks a base DRG, its weight is that of the other side.
    weight0, weight1 = (c(f"mean_{a}").fill_null(c(f"mean_{b}")) for a, b in (("before", "after"), ("after", "before")))
    parts = both.join(totals, on=keys, how="left", nulls_equal=True) if keys else both.join(totals, how="cross")
    split = (
        parts.sort(*keys, "base_drg")
        .group_by(keys or pl.lit(0).alias("one"), maintain_order=True)
        .agg(
            discharges_before=c("all_before").first(),
            discharges_after=c("all_after").first(),
            cmi_before=(share0 * weight0).sum(),
            cmi_after=(share1 * weight1).sum(),
            mix=((share1 - share0) * (weight0 + weight1) / 2).sum(),
            severity=((weight1 - weight0) * (share0 + share1) / 2).sum(),
        )
    )
    one_sided = (c("discharges_before") == 0) | (c("discharges_after") == 0)
    empty = {"cmi_before": c("discharges_before") == 0, "cmi_after": c("discharges_after") == 0}
    return split.with_columns(
        *(pl.when(~where).then(name).alias(name) for name, where in empty.items()),
        *(pl.when(~one_sided).then(name).alias(name) for name in ("mix", "severity")),
    ).select(
        *keys,
        "discharges_before",
        "discharges_after",
        "cmi_before",
        "cmi_after",
        change=c("cmi_after") - c("cmi_before"),
        mix="mix",
        severity="severity",
    )


def _select_cases(frame: pl.DataFrame, keys: list[str]) -> pl.DataFrame:
    missing = [key for key in keys if key not in frame.columns]
    if missing:
        raise InputError(f"admissions lack the column {missing[0]!r} to split by.")
    return check_frame(frame, _INPUT).with_columns(frame.select(keys)).filter(pl.col("weight").is_not_null())


def _check_weights(cases: pl.DataFrame) -> None:
    several = cases.group_by("drg").agg(pl.col("weight").n_unique().alias("n")).filter(pl.col("n") > 1).sort("drg")
    if len(several):
        raise InputError(
            f"{len(several)} DRGs have several weights, such as {several['drg'][0]}; give both sides the "
            "weights of the same rates: with_weights(frame, rates)."
        )


def _average_weights(cases: pl.DataFrame, keys: list[str], side: str) -> pl.DataFrame:
    return (
        cases.group_by(*keys, "base_drg")
        .agg(pl.len().alias(f"n_{side}"), pl.col("weight").sort().mean().alias(f"mean_{side}"))
        .sort(*keys, "base_drg")
    )


def _count_discharges(both: pl.DataFrame, keys: list[str]) -> pl.DataFrame:
    counts = [pl.col(f"n_{side}").sum().alias(f"all_{side}") for side in ("before", "after")]
    return both.group_by(keys).agg(counts) if keys else both.select(counts)
