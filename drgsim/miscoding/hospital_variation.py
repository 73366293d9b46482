"""Variation of error rates: some hospitals and some coders make more errors than others.

The rate of a hospital and coder is logit-normal: its logit is shifted by a standard normal number of the hospital and
one of the coder, each times its standard deviation. The intercept keeps the mean rate unchanged. Published error
rates of DRG groups range from 0.3 % to 52 % between hospitals.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from drgsim.numerics.arrays import FloatArray, Int64Array, UInt64Array
from drgsim.numerics.keyed_random import random_bits, to_normal, uniform
from drgsim.rebilling.baseline import Baseline, number_texts

CODERS = 8
"""Number of coders of a hospital if the admissions have no column `coder_id`."""

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(61)
_STEPS = 60


def vary_rates(
    rate: FloatArray,
    row: Int64Array,
    baseline: Baseline,
    stream: str,
    hospital_sd: float,
    coder_sd: float,
    *,
    seed: int,
) -> FloatArray:
    """Return the rate of the hospital and coder at each site, (s,).

    Args:
        rate: (s,) mean rates.
        row: (s,) the admission of each site.
        baseline: the admissions. Without `hospital_id` they count as one hospital; without `coder_id` they are
            assigned at random to eight coders of their hospital.
        stream: the error, so that a hospital with a high rate of one error may have a low rate of another.
        hospital_sd, coder_sd: standard deviations on the logit scale.
        seed: seed of the draws; hospitals and coders keep their rates in all replicates.
    """
    sd = float(np.hypot(hospital_sd, coder_sd))
    hospital, coder = _key_hospitals(baseline)
    trait = hospital_sd * to_normal(uniform(seed, f"{stream} hospital", hospital))
    trait += coder_sd * to_normal(uniform(seed, f"{stream} coder", coder))
    distinct, place = np.unique(rate, return_inverse=True)
    centre = np.array([solve_intercept(float(mean), sd) for mean in distinct])
    return _expit(centre[place] + trait[row])


@lru_cache(maxsize=1024)
def solve_intercept(mean: float, sd: float) -> float:
    """Return the intercept of a logit-normal rate with a given mean, by its standard deviation.

    >>> round(solve_intercept(0.05, 1.0), 3), solve_intercept(0.0, 1.0)
    (-3.372, -inf)
    """
    if mean in (0.0, 1.0):
        return float("-inf") if mean == 0 else float("inf")
    low, high = -40.0 - 10 * sd, 40.0 + 10 * sd
    for _ in range(_STEPS):
        middle = (low + high) / 2
        found = float((_expit(middle + sd * _NODES) * _WEIGHTS).sum() / _WEIGHTS.sum())
        low, high = (middle, high) if found < mean else (low, middle)
    return (low + high) / 2


def _key_hospitals(baseline: Baseline) -> tuple[UInt64Array, UInt64Array]:
    """Return the random keys of the hospital and the coder of each admission, (n,) each.

    They are the same on every machine.
    """
    named = baseline.grouped.columns
    hospital = (
        number_texts(baseline.grouped["hospital_id"]) if "hospital_id" in named else np.zeros(len(baseline), np.uint64)
    )
    if "coder_id" in named:
        return hospital, hospital ^ (number_texts(baseline.grouped["coder_id"]) << np.uint64(1))
    assigned = random_bits(0, "coder", baseline.ids) % np.uint64(CODERS)
    return hospital, hospital + assigned + np.uint64(1)


def _expit(x: FloatArray) -> FloatArray:
    return np.asarray(1 / (1 + np.exp(-np.clip(x, -700, 700))))
