"""How large an audit sample must be for a given precision: `sample_size`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import polars as pl

from drgsim.compliance.extrapolation import Moments, estimate_total
from drgsim.compliance.sampling import FEWEST, ClaimLayout, SimpleRandom, Stratified, lay_out_claims
from drgsim.exceptions import InputError
from drgsim.files.foreign_frames import accept_frames


@dataclass(frozen=True)
class SampleSize:
    """The smallest sample that is expected to be precise enough.

    Attributes:
        design: draws the sample.
        half_width_usd: expected half width of its two-sided limits, at most `target_usd`.
        target_usd: the half width that was asked for.

    >>> claims = pl.DataFrame({"admission_id": range(1000), "billed_usd": 9e3, "correct_usd": [9e3, 7e3] * 500})
    >>> found = sample_size(claims, relative=0.25)
    >>> found.half_width_usd <= found.target_usd, found.target_usd
    (True, 250000.0)
    """

    design: SimpleRandom | Stratified
    half_width_usd: float
    target_usd: float


@accept_frames
def sample_size(
    claims: pl.DataFrame,
    *,
    relative: float | None = None,
    absolute_usd: float | None = None,
    level: float = 0.90,
    estimator: str = "difference",
    stratified: Stratified | None = None,
    population: int | None = None,
) -> SampleSize:
    """Return the smallest sample whose limits have at most a given half width.

    The variance is that of `claims`: a simulated population, or the reviewed claims of a probe (then give
    `population`; strata are not possible). A plan from a probe with few errors is as uncertain as the probe.

    Args:
        claims: (n,) rows of `schema.CLAIMS`.
        relative: half width as a share of the net overpayment, such as 0.25. Give this or `absolute_usd`.
        absolute_usd: half width [USD].
        level: of the two-sided limits, 0 to 1.
        estimator: difference, mean_per_unit or ratio.
        stratified: how to stratify (its `claims` does not count); by default a simple random sample.
        population: number of claims in the population, where `claims` is a probe of it.

    Returns:
        The `SampleSize`.

    Raises:
        SchemaError: a column is missing or of the wrong type.
        InputError: neither or both precisions are given, the precision is not positive, it is relative and the net
            overpayment is 0, or `population` is below the number of claims or given with strata.

    Source: Cochran, 4.6 and 5.9, with Student's t instead of the normal and the allocation in whole claims.

    >>> correct_usd = [9e3, 7e3] * 500
    >>> claims = pl.DataFrame({"admission_id": range(1000), "billed_usd": 9e3, "correct_usd": correct_usd})
    >>> sample_size(claims, relative=0.25).design
    SimpleRandom(claims=44)
    """
    if (relative is None) == (absolute_usd is None):
        raise InputError("give either relative (a share of the net overpayment) or absolute_usd, not both.")
    precision = relative if relative is not None else absolute_usd
    if precision is None or not 0 < precision < np.inf:
        raise InputError(f"the precision is {precision!r}; expected a positive number.")
    template = stratified or SimpleRandom(0)
    layout = lay_out_claims(claims, replace(template, claims=len(claims)))
    factor = _population_factor(len(claims), population, stratified)
    net = float(layout.overpaid.sum()) * factor
    if relative is not None and net == 0:
        raise InputError(
            "the net overpayment of the claims is 0, so no precision can be relative to it; give absolute_usd."
        )
    target = precision * abs(net) if relative is not None else precision
    whole = _moments_of_all(layout, factor)
    low, high = int(np.minimum(whole.claims, FEWEST).sum()), int(whole.claims.sum())
    while low < high:
        middle = (low + high) // 2
        enough = _half_width(whole, claims, template, middle, estimator, level) <= target
        low, high = (low, middle) if enough else (middle + 1, high)
    return SampleSize(
        replace(template, claims=low), _half_width(whole, claims, template, low, estimator, level), target
    )


# ---------------------------------------------------------------------------------------------------------


def _population_factor(claims: int, population: int | None, stratified: Stratified | None) -> float:
    if population is None:
        return 1.0
    if stratified is not None:
        raise InputError("strata need the whole population; leave population out, or plan a simple random sample.")
    if isinstance(population, bool) or not isinstance(population, int) or population < claims:
        raise InputError(f"population is {population!r}; expected a whole number, at least the {claims} claims given.")
    return population / claims


def _moments_of_all(layout: ClaimLayout, factor: float) -> Moments:
    """Return the moments of all claims, for a population `factor` times as large."""
    strata = [(layout.billed[a:b], layout.overpaid[a:b]) for a, b in pairwise(layout.start.tolist())]
    sizes = [round(size * factor) for size in layout.sizes.tolist()]
    return Moments.of(strata, sizes, float(layout.billed.sum()) * factor)


def _half_width(
    whole: Moments, claims: pl.DataFrame, design: SimpleRandom | Stratified, n: int, estimator: str, level: float
) -> float:
    take = np.array([n]) if isinstance(design, SimpleRandom) else lay_out_claims(claims, replace(design, claims=n)).take
    found = estimate_total(replace(whole, reviewed=take.astype(np.float64)), estimator, level=level)
    return float(found.upper - found.point)
