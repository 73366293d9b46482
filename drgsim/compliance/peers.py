"""Hospitals compared with their peers: percentiles, outliers, new outliers after a change."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Literal

import polars as pl

from drgsim.exceptions import InputError, SchemaError
from drgsim.files.foreign_frames import accept_frames

Outlier = pl.Enum(["LOW", "NONE", "HIGH"])
NUMBERS = (
    "kind",
    "numerator",
    "denominator",
    "value",
    "is_suppressed",
    "percentile",
    "low_threshold",
    "high_threshold",
    "outlier",
)
"""Columns of a profile other than its keys."""


@accept_frames
def compare_with_peers(
    values: pl.DataFrame, within: Sequence[str], *, low: float, high: float, fewest: int, two_sided: pl.Expr
) -> pl.DataFrame:
    """Add percentile, thresholds and outlier flag to values of many hospitals.

    Args:
        values: (n,) rows with `value`; null is a value that is not shown.
        within: columns; rows that agree in them are compared, such as those of one measure and one peer group.
        low, high: percentiles of the thresholds, 0 to 100, interpolated linearly between hospitals.
        fewest: least number of peers with a value; with fewer, the added columns are null and NONE.
        two_sided: whether low values of a row are outliers too.

    Returns:
        The rows, in order, with `percentile` (share of peers with a lower value, 0 to 100), `low_threshold` (null
        where one-sided), `high_threshold` and `outlier`: HIGH at or above the high threshold, LOW at or below the low
        threshold. Where both thresholds are equal, nobody is an outlier.

    >>> values = pl.DataFrame({"measure": ["m"] * 5, "value": [1.0, 2.0, 3.0, 4.0, 9.0]})
    >>> table = compare_with_peers(values, ["measure"], low=20, high=80, fewest=5, two_sided=pl.lit(True))
    >>> table.select("percentile", "outlier").rows()
    [(0.0, 'LOW'), (20.0, 'NONE'), (40.0, 'NONE'), (60.0, 'NONE'), (80.0, 'HIGH')]
    """
    value = pl.col("value")
    peers = value.count().over(within)
    bottom, top = (value.quantile(at / 100, "linear").over(within) for at in (low, high))
    is_compared = (peers >= fewest) & (bottom < top)
    lower = 100 * (value.rank("min").over(within) - 1) / peers
    table = values.with_columns(
        percentile=pl.when(peers >= fewest).then(lower),
        low_threshold=pl.when(is_compared & two_sided).then(bottom),
        high_threshold=pl.when(is_compared).then(top),
    )
    return table.with_columns(outlier=flag_outliers(value, pl.col("low_threshold"), pl.col("high_threshold")))


def flag_outliers(value: pl.Expr, low: pl.Expr, high: pl.Expr) -> pl.Expr:
    """Return HIGH, LOW or NONE; a null value or threshold is no outlier."""
    return (
        pl.when((value >= high).fill_null(value=False))
        .then(pl.lit("HIGH"))
        .when((value <= low).fill_null(value=False))
        .then(pl.lit("LOW"))
        .otherwise(pl.lit("NONE"))
        .cast(Outlier)
    )


@accept_frames
def find_new_outliers(
    before: pl.DataFrame, after: pl.DataFrame, *, thresholds: Literal["before", "after"] = "before"
) -> pl.DataFrame:
    """Return the hospitals that are outliers after a change and were not before.

    A hospital that was LOW before and is HIGH after, or the reverse, is a new outlier too.

    Args:
        before, after: profiles of the same hospitals by the same grouper version, as `drgsim.profile` returns them.
        thresholds: "before" compares a changed hospital with its unchanged peers; "after" with its changed peers.

    Returns:
        The keys, `measure`, `value_before`, `value_after`, `threshold` (the one reached), `outlier_before` and
        `outlier` (HIGH or LOW), in the order of `after`.

    Raises:
        SchemaError: a frame is no profile, or the two have different keys.
        InputError: `thresholds` is neither "before" nor "after".

    >>> def profile_of(values):
    ...     table = pl.DataFrame({"hospital_id": list("abcde"), "measure": ["m"] * 5, "value": values})
    ...     table = compare_with_peers(table, ["measure"], low=20, high=80, fewest=5, two_sided=pl.lit(True))
    ...     return table.with_columns(kind=pl.lit("coding"), numerator=0, denominator=0, is_suppressed=False)
    >>> find_new_outliers(profile_of([1.0, 2.0, 3.0, 4.0, 4.0]), profile_of([1.0, 2.0, 6.0, 4.0, 4.0])).row(0)
    ('c', 'm', 3.0, 6.0, 4.0, 'NONE', 'HIGH')
    """
    if thresholds not in ("before", "after"):
        raise InputError(f"thresholds is {thresholds!r}; expected 'before' or 'after'.")
    keys = _shared_keys(before, after)
    earlier = before.select(*keys, pl.exclude(keys).name.suffix("_before"))
    both = after.join(earlier, on=keys, how="left", nulls_equal=True, maintain_order="left")
    suffix = "_before" if thresholds == "before" else ""
    low, high = pl.col(f"low_threshold{suffix}"), pl.col(f"high_threshold{suffix}")
    # A hospital without a row before was no outlier.
    outlier_before = pl.col("outlier_before").fill_null(pl.lit("NONE", Outlier))
    return (
        both.with_columns(outlier=flag_outliers(pl.col("value"), low, high), outlier_before=outlier_before)
        .filter(pl.col("outlier") != "NONE", pl.col("outlier") != pl.col("outlier_before"))
        .select(
            *keys,
            "value_before",
            value_after="value",
            threshold=pl.when(pl.col("outlier") == "HIGH").then(high).otherwise(low),
            outlier_before="outlier_before",
            outlier="outlier",
        )
    )


@accept_frames
def find_rates_until_outlier(
    profiles: Mapping[float, pl.DataFrame] | Callable[[float], pl.DataFrame],
    scales: Sequence[float] | None = None,
    *,
    thresholds: Literal["before", "after"] = "before",
) -> pl.DataFrame:
    """Return the scale of error at which each hospital becomes an outlier.

    Args:
        profiles: a profile for each scale of error, or a function from a scale to its profile. The lowest scale is
            the state before.
        scales: the scales to try, if `profiles` is a function.
        thresholds: as in `find_new_outliers`.

    Returns:
        The keys, `measure`, `outlier`, `scale` (the lowest scale tried at which the hospital is a new outlier) and
        `scale_below` (the next lower scale tried), in order of `scale`, then keys. Hospitals that never become an
        outlier are left out.

    Raises:
        InputError: there are fewer than two scales, or `scales` with a mapping.
        SchemaError: as in `find_new_outliers`.

    >>> def profile_of(extra):
    ...     table = pl.DataFrame({"hospital_id": list("abcde"), "value": [1.0, 2.0, 3.0 + extra, 4.0, 4.0]})
    ...     table = table.insert_column(1, pl.lit("m").alias("measure"))
    ...     table = compare_with_peers(table, ["measure"], low=20, high=80, fewest=5, two_sided=pl.lit(True))
    ...     return table.with_columns(kind=pl.lit("coding"), numerator=0, denominator=0, is_suppressed=False)
    >>> find_rates_until_outlier(profile_of, [0.0, 0.5, 2.0]).row(0)
    ('c', 'm', 'HIGH', 2.0, 0.5)
    """
    if callable(profiles):
        profiles = {scale: profiles(scale) for scale in scales or ()}
    elif scales is not None:
        raise InputError("scales go with a function; a mapping of profiles has its own. Leave scales out.")
    if len(profiles) < 2:
        raise InputError(f"{len(profiles)} scale(s) of error given; expected the state before and at least one other.")
    order = sorted(profiles)
    found = []
    for below, scale in pairwise(order):
        out = find_new_outliers(profiles[order[0]], profiles[scale], thresholds=thresholds)
        found.append(out.with_columns(scale=pl.lit(scale, pl.Float64), scale_below=pl.lit(below, pl.Float64)))
    keys = _shared_keys(profiles[order[0]], profiles[order[0]])
    first = pl.concat(found).unique([*keys, "outlier"], keep="first", maintain_order=True)
    return first.select(*keys, "outlier", "scale", "scale_below").sort("scale", *keys, "outlier")


def _shared_keys(before: pl.DataFrame, after: pl.DataFrame) -> list[str]:
    """Return the key columns of two profiles: all columns but the numbers."""
    for name, frame in (("before", before), ("after", after)):
        missing = [column for column in ("measure", *NUMBERS) if column not in frame.columns]
        if missing:
            raise SchemaError(f"{name} is no profile: it lacks {', '.join(missing)}. See drgsim.profile.")
    keys, others = ([c for c in frame.columns if c not in NUMBERS] for frame in (before, after))
    if keys != others:
        raise SchemaError(f"the profiles have different keys: {', '.join(keys)} before, {', '.join(others)} after.")
    return keys
