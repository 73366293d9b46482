"""How large an audit sample must be for a wanted precision: `sample_size`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import polars as pl

from drgsim.compliance.extrapolation import Moments, extrapolate
from drgsim.compliance.sampling import FEWEST, ClaimLayout, SimpleRandom, Stratified, lay_out_claims
from drgsim.exceptions import InputError


@dataclass(frozen=True)
class SampleSize:
    """The smallest sample that is expected to be precise enough.

    `design` draws it; `half_width_usd` is the half width of the two-sided limits it is expected to have, at most
    `target_usd`.

    >>> claims = pl.DataFrame({"admission_id": range(1000), "billed_usd": 9e3, "correct_usd": [9e3, 7e3] * 500})
    >>> found = sample_size(claims, relative=0.25)
    >>> found.half_width_usd <= found.target_usd, found.target_usd
    (True, 250000.0)
    """

    design: SimpleRandom | Stratified
    half_width_usd: float
    target_usd: float


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
    """Return how many claims to review for limits of a wanted half width.

    The variance is that of `claims`: a simulated population, or the reviewed claims of a probe (then
    `population` says how many claims it stands for, and strata are not possible). Plans from a probe of
    few errors are as uncertain as the probe.

    Args:
        claims: (n,) rows of `schema.CLAIMS`.
        relative: wanted half width as a share of the net overpayment, such as 0.25; or
        absolute_usd: wanted half width in dollars. One of the two.
        level: of the two-sided limits.
        estimator: difference, mean_per_unit or ratio.
        stratified: how to stratify (its `claims` does not count); by default a simple random sample.
        population: claims in the population, where `claims` is a probe of it.

    Raises:
        InputError: neither or both precisions are given, one is not positive, a relative one is asked where nothing
            was overpaid net, or `population` cannot be.

    Source: Cochran, 4.6 and 5.9, with Student's t instead of the normal and the allocation in whole claims.

    >>> correct_usd = [9e3, 7e3] * 500
    >>> claims = pl.DataFrame({"admission_id": range(1000), "billed_usd": 9e3, "correct_usd": correct_usd})
    >>> sample_size(claims, relative=0.25).design
    SimpleRandom(claims=44)
    """
    if (relative is None) == (absolute_usd is None):
        raise InputError("give either relative (a share of the net overpayment) or absolute_usd, not both.")
    wanted = relative if relative is not None else absolute_usd
    if wanted is None or not 0 < wanted < np.inf:
        raise InputError(f"the wanted precision is {wanted!r}; expected a positive number.")
    template = stratified or SimpleRandom(0)
    laid = lay_out_claims(claims, replace(template, claims=len(claims)))
    factor = _factor(len(claims), population, stratified)
    net = float(laid.over.sum()) * factor
    if relative is not None and net == 0:
        raise InputError("the claims are not overpaid net, so a relative precision says nothing; give absolute_usd.")
    target = wanted * abs(net) if relative is not None else wanted
    whole = _moments(laid, factor)
    low, high = int(np.minimum(whole.claims, FEWEST).sum()), int(whole.claims.sum())
    while low < high:
        middle = (low + high) // 2
        enough = _half_width(whole, claims, template, middle, estimator, level) <= target
        low, high = (low, middle) if enough else (middle + 1, high)
    return SampleSize(
        replace(template, claims=low), _half_width(whole, claims, template, low, estimator, level), target
    )


# ---------------------------------------------------------------------------------------------------------


def _factor(claims: int, population: int | None, stratified: Stratified | None) -> float:
    if population is None:
        return 1.0
    if stratified is not None:
        raise InputError("strata need the whole population; leave population out, or plan a simple random sample.")
    if isinstance(population, bool) or not isinstance(population, int) or population < claims:
        raise InputError(f"population is {population!r}; expected a whole number, at least the {claims} claims given.")
    return population / claims


def _moments(laid: ClaimLayout, factor: float) -> Moments:
    """Return the moments of the claims as if all were reviewed, of a population `factor` times as large."""
    strata = [(laid.billed[a:b], laid.over[a:b]) for a, b in pairwise(laid.start.tolist())]
    sizes = [round(size * factor) for size in laid.sizes.tolist()]
    return Moments.of(strata, sizes, float(laid.billed.sum()) * factor)


def _half_width(
    whole: Moments, claims: pl.DataFrame, design: SimpleRandom | Stratified, n: int, estimator: str, level: float
) -> float:
    take = np.array([n]) if isinstance(design, SimpleRandom) else lay_out_claims(claims, replace(design, claims=n)).take
    found = extrapolate(replace(whole, reviewed=take.astype(np.float64)), estimator, level=level)
    return float(found.upper - found.point)
