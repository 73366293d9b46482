"""Estimates of agreement, each with an interval that counts stays, or coders, as the units."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from drgsim.numerics.arrays import FloatArray, Int64Array

LEVEL = 0.95


@dataclass(frozen=True, eq=False)
class Units:
    """The independent units: stays, or all stays of a coder together.

    Attributes:
        of: (n,) the unit of each stay, from 0.
        count: how many there are.
    """

    of: Int64Array
    count: int

    @classmethod
    def by(cls, labels: pl.Series | None, n: int) -> Units:
        """Return the units that labels name, (n,); without labels each stay is one."""
        if labels is None:
            return cls(np.arange(n), n)
        places = labels.rank("dense").fill_null(0).cast(pl.Int64).to_numpy()
        _, of = np.unique(places, return_inverse=True)
        return cls(of.astype(np.int64), int(of.max(initial=-1)) + 1)

    def add_up(self, values: FloatArray, rows: Int64Array | None = None) -> FloatArray:
        """Return the sum of values by unit; `rows` are their stays, by default all."""
        of = self.of if rows is None else self.of[rows]
        return np.bincount(of, values, minlength=self.count).astype(np.float64)


Estimate = tuple[float | None, float | None, float | None]
"""An estimate and the ends of its interval; None where it is not defined."""


def estimate_ratio(above: FloatArray, below: FloatArray, level: float = LEVEL) -> Estimate:
    """Return the ratio of two sums over units, and its interval.

    The variance is that of a ratio estimator, by linearization; Student's t with one degree of freedom less than
    there are units with a denominator. Without such units all three are None, with one there is no interval. The
    interval of a share ends at 0 and 1.

    Args:
        above, below: (u,) sums by unit.
        level: confidence level.

    Source: Cochran, Sampling Techniques, 6.4.

    >>> estimate_ratio(np.array([1.0, 1.0]), np.array([1.0, 1.0]))
    (1.0, 1.0, 1.0)
    """
    has = below != 0
    above, below = above[has], below[has]
    total = float(below.sum())
    if not len(below) or not total:
        return None, None, None
    ratio = float(above.sum()) / total
    low, high = _find_interval(ratio, (above - ratio * below) / total, level)
    if low is not None and high is not None and bool(((above >= 0) & (above <= below)).all()):
        low, high = max(low, 0.0), min(high, 1.0)
    return ratio, low, high


def estimate_sum(values: FloatArray, level: float = LEVEL) -> Estimate:
    """Return the sum of values over units, (u,), and its interval.

    >>> estimate_sum(np.array([2.0, 2.0]))
    (4.0, 4.0, 4.0)
    """
    if not len(values):
        return 0.0, None, None
    total = float(values.sum())
    return total, *_find_interval(total, values - total / len(values), level)


def estimate_kappa(one: Int64Array, other: Int64Array, units: Units, level: float = LEVEL) -> Estimate:
    """Return Cohen's kappa of two classifications of the same stays, and its interval.

    `one` and `other` are the classes, (n,) each, whole numbers from 0.

    None where all stays are of one class on both sides, because there is no agreement beyond chance to find.

    Source: Cohen 1960; variance by the influence of each unit, as Fleiss, Cohen and Everitt 1969.

    >>> both = np.array([0, 0, 1, 1]), np.array([0, 0, 1, 0])
    >>> round(estimate_kappa(*both, Units.by(None, 4))[0], 3)
    0.5
    """
    n = len(one)
    if not n:
        return None, None, None
    classes = int(max(one.max(), other.max())) + 1
    share_one, share_other = (np.bincount(side, minlength=classes) / n for side in (one, other))
    observed, chance = float((one == other).mean()), float(share_one @ share_other)
    if chance >= 1:
        return None, None, None
    kappa = (observed - chance) / (1 - chance)
    by_chance = share_other[one] + share_one[other] - 2 * chance
    influence = ((one == other) - observed) / (1 - chance) - (1 - observed) * by_chance / (1 - chance) ** 2
    return kappa, *_find_interval(kappa, units.add_up(influence) / n, level)


def _find_interval(value: float, residuals: FloatArray, level: float) -> tuple[float | None, float | None]:
    """Return the ends of the interval of an estimate from the residual of each unit."""
    from scipy.stats import t

    n = len(residuals)
    if n < 2:
        return None, None
    error = float(np.sqrt(n / (n - 1) * (residuals**2).sum()))
    margin = float(t.ppf(0.5 + level / 2, n - 1)) * error
    return value - margin, value + margin
