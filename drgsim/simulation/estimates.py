"""Means over replicates, their standard errors and intervals, and the spread of replicates."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from drgsim.files.foreign_frames import accept_frames
from drgsim.numerics.arrays import FloatArray

LEVEL = 0.95
COLUMNS = ("mean", "standard_error", "low", "high", "sd", "event_low", "event_high")


def estimate_measures(values: Mapping[str, tuple[str, FloatArray]], level: float = LEVEL) -> pl.DataFrame:
    """Return the mean of each measure over replicates, its standard error, interval and spread.

    Args:
        values: by measure, its unit and its value in each replicate, (r,).
        level: confidence level of the intervals.

    Returns:
        One row per measure: `measure`, `unit`, `mean`, its `standard_error` and interval `low` to `high` (Student's t
        with r - 1 degrees of freedom), `sd` of single replicates, and `event_low` to `event_high`, the quantiles that
        hold that share of single replicates. All but the mean are null for one replicate, all for none.

    >>> estimate_measures({"net": ("USD", np.array([1.0, 3.0]))}).row(0)[:4]
    ('net', 'USD', 2.0, 1.0)
    """
    rows = [(name, unit, *_estimate(np.asarray(column, np.float64), level)) for name, (unit, column) in values.items()]
    schema = {"measure": pl.String, "unit": pl.String, **dict.fromkeys(COLUMNS, pl.Float64)}
    return pl.DataFrame(rows, schema=schema, orient="row")


@accept_frames
def apply_control(totals: pl.DataFrame) -> FloatArray:
    """Return the net change of each replicate without what the control explains, (r,) [USD].

    The expected value stays the same; the variance falls.

    Args:
        totals: `net` and `control` [cents]; the expected value of the control is 0.

    Source: linear control variates, coefficient by least squares (Glasserman, Monte Carlo Methods, 4.1).

    >>> apply_control(pl.DataFrame({"net": [300, 100, 200], "control": [100.0, -100.0, 0.0]})).tolist()
    [2.0, 2.0, 2.0]
    """
    net, control = totals["net"].to_numpy() / 100, totals["control"].to_numpy() / 100
    squares = float(((control - control.mean()) ** 2).sum()) if len(control) else 0.0
    slope = float(((control - control.mean()) * (net - net.mean())).sum()) / squares if squares else 0.0
    return np.asarray(net - slope * control)


def t_quantile(degrees: int, level: float = LEVEL) -> float:
    """Return the Student t quantile of a two-sided interval.

    >>> round(t_quantile(9), 3)
    2.262
    """
    from scipy.stats import t

    return float(t.ppf(0.5 + level / 2, degrees))


def _estimate(column: FloatArray, level: float) -> tuple[float | None, ...]:
    n = len(column)
    if not n:
        return (None,) * len(COLUMNS)
    mean = float(column.mean())
    if n == 1:
        return mean, *(None,) * (len(COLUMNS) - 1)
    sd = float(column.std(ddof=1))
    error = sd / n**0.5
    margin = t_quantile(n - 1, level) * error
    low, high = np.quantile(column, [0.5 - level / 2, 0.5 + level / 2])
    return mean, error, mean - margin, mean + margin, sd, float(low), float(high)
