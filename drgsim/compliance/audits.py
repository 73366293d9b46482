"""One audit, and thousands: sample, review, estimate, and recover at the lower limit.

`audit` is replicate 0 of `simulate_audits`; `coverage` says how often a design's limits hold the truth and what it
brings and costs. Both dollars of a claim are known here because the errors were simulated; a real audit learns
`correct_usd` of the reviewed claims alone, and nothing here looks at it before a claim is reviewed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import polars as pl
from numpy.typing import NDArray

from drgsim.compliance.extrapolation import (
    ESTIMATORS,
    Estimate,
    Moments,
    check_estimator,
    check_level,
    estimate_share,
    extrapolate,
)
from drgsim.compliance.reviewers import Reviewers, review_claims
from drgsim.compliance.sampling import (
    ClaimLayout,
    Design,
    ProbeThenFull,
    SimpleRandom,
    Stratified,
    draw_samples,
    lay_out_claims,
    split_replicates,
)
from drgsim.exceptions import InputError
from drgsim.numerics.arrays import FloatArray, Int64Array

PERFECT = Reviewers()


@dataclass(frozen=True, eq=False)
class Audit:
    """What one audit found.

    `estimates` has a row a measure; `review_claims` a row a claim reviewed, in order of stratum and id, with what was
    found of it. Where a probe did not trigger the full sample, `is_extrapolated` is false and the recovery is
    what the probe itself found.

    >>> correct_usd = [9e3, 7e3] * 50
    >>> claims = pl.DataFrame({"admission_id": range(100), "billed_usd": 9e3, "correct_usd": correct_usd})
    >>> found = audit(claims, SimpleRandom(20), seed=1)
    >>> found.reviewed.height, found.is_extrapolated, found.recovery_usd <= 100_000
    (20, True, True)
    """

    design: Design
    estimator: str
    level: float
    is_extrapolated: bool
    recovery_usd: float
    cost_usd: float
    estimates: pl.DataFrame = field(repr=False)
    reviewed: pl.DataFrame = field(repr=False)


def audit(
    claims: pl.DataFrame,
    design: Design,
    *,
    seed: int,
    estimator: str = "difference",
    reviewers: Reviewers = PERFECT,
    level: float = 0.90,
) -> Audit:
    """Audit a population of claims once.

    Args:
        claims: (n,) rows of `schema.CLAIMS`, and the column of strata if the design names one.
        design: SimpleRandom, Stratified or ProbeThenFull.
        seed: any integer; the same seed draws and judges the same claims, whatever the order of rows.
        estimator: difference (mean overpayment times claims), mean_per_unit (of correct dollars) or ratio.
        reviewers: how well they find errors; by default they never err.
        level: of the two-sided limits.

    Returns:
        The `Audit`. `estimates` has `measure`, `unit`, `point`, `standard_error`, `lower`, `upper`: dollars
        overpaid, underpaid, gross (both) and net (the first less the second); the dollar error rates net and
        gross, per dollar billed; and the shares of claims in error, overpaid and underpaid.
        `recovery_usd` is the net amount at its lower limit, not below 0.

    Raises:
        SchemaError: a column is missing or of the wrong type.
        InputError: the claims, the design, the estimator or the level cannot be used; the message says why.

    >>> claims = pl.DataFrame({"admission_id": range(100), "billed_usd": [9e3] * 100, "correct_usd": [9e3, 7e3] * 50})
    >>> found = audit(claims, SimpleRandom(100), seed=1)
    >>> found.recovery_usd, found.estimates.filter(pl.col("measure") == "claims in error")["point"].item()
    (100000.0, 0.5)
    """
    _checked_arguments([estimator], level)
    once = np.zeros(1, np.uint64)
    review = _review(lay_out_claims(claims, _first(design)), reviewers, seed, once)
    _needs_billed([estimator], review.laid)
    is_extrapolated, count = bool(_goes_on(review, design)[0]), review.found.shape[1]
    if isinstance(design, ProbeThenFull) and is_extrapolated:
        probe, review = review, _review(lay_out_claims(claims, design.full), reviewers, seed, once)
        count = int(_different(probe.drawn_ids(), review.drawn_ids())[0])
    net = extrapolate(review.moments(), estimator, level=level)
    recovery = float(net.lower[0]) if is_extrapolated else float(review.found.sum())
    return Audit(
        design=design,
        estimator=estimator,
        level=level,
        is_extrapolated=is_extrapolated,
        recovery_usd=max(0.0, recovery),
        cost_usd=reviewers.usd_per_claim * count,
        estimates=_estimates(review, estimator, level),
        reviewed=_reviewed(claims, review),
    )


def simulate_audits(
    claims: pl.DataFrame,
    design: Design,
    *,
    seed: int,
    replicates: int = 1000,
    estimators: Sequence[str] = ESTIMATORS,
    reviewers: Reviewers = PERFECT,
    level: float = 0.90,
) -> pl.DataFrame:
    """Repeat an audit with other samples and other reviews of the same population.

    Args:
        claims, design, seed, reviewers, level: as in `audit`, which is replicate 0.
        replicates: how many audits.
        estimators: one or several; all estimate from the same samples.

    Returns:
        A row a replicate and estimator: `estimator`, `replicate`, `point_usd`, `standard_error_usd`, `lower_usd`,
        `upper_usd` (net overpayment), `is_extrapolated`, `recovery_usd`, `review_claims` (claims), `cost_usd`.

    Raises:
        SchemaError, InputError: as `audit`; or there are no replicates.

    >>> claims = pl.DataFrame({"admission_id": range(100), "billed_usd": [9e3] * 100, "correct_usd": [9e3, 7e3] * 50})
    >>> table = simulate_audits(claims, SimpleRandom(30), seed=1, replicates=5, estimators=["difference"])
    >>> table["recovery_usd"][0] == audit(claims, SimpleRandom(30), seed=1).recovery_usd
    True
    """
    _checked_arguments(estimators, level)
    if isinstance(replicates, bool) or not isinstance(replicates, int) or replicates < 1:
        raise InputError(f"replicates is {replicates!r}; expected a whole number, 1 or more.")
    parts = list(_replicated(claims, design, seed, replicates, estimators, reviewers, level))
    return pl.concat(parts).sort(
        pl.col("estimator").replace_strict({name: k for k, name in enumerate(estimators)}, return_dtype=pl.Int32),
        "replicate",
    )


def coverage(
    claims: pl.DataFrame,
    design: Design,
    *,
    seed: int,
    replicates: int = 1000,
    estimators: Sequence[str] = ESTIMATORS,
    reviewers: Reviewers = PERFECT,
    level: float = 0.90,
) -> pl.DataFrame:
    """Measure what a design does on a population whose errors are known, over many audits.

    Args:
        claims, design, seed, replicates, estimators, reviewers, level: as in `simulate_audits`.

    Returns:
        A row an estimator: `estimator`, `truth_usd` (net overpayment), `mean_usd` and `bias_usd` of the point
        estimate with its Monte-Carlo `bias_error_usd`; `spread_usd`, its standard deviation over audits;
        `coverage`, the share of intervals that hold the truth, with `coverage_error`; `lower_holds`, the share of
        lower limits not above the truth (nominal (1 + level) / 2); `half_width_usd`, mean; `recovery_usd`, mean,
        and `recovered`, its share of the truth (null without one); `extrapolated`, the share of audits with a
        full sample; `review_claims`, mean claims; `cost_usd`, mean. Coverage below `level` is anti-conservative.

    >>> claims = pl.DataFrame({"admission_id": range(100), "billed_usd": [9e3] * 100, "correct_usd": [9e3, 7e3] * 50})
    >>> coverage(claims, SimpleRandom(100), seed=1, replicates=3).select("estimator", "bias_usd", "coverage").rows()
    [('difference', 0.0, 1.0), ('mean_per_unit', 0.0, 1.0), ('ratio', 0.0, 1.0)]
    """
    table = simulate_audits(
        claims, design, seed=seed, replicates=replicates, estimators=estimators, reviewers=reviewers, level=level
    )
    truth = float((claims["billed_usd"] - claims["correct_usd"]).sum())
    slack = 1e-9 * float(claims["billed_usd"].abs().sum())
    c = pl.col
    # A ratio without billed dollars in the sample is NaN: it holds nothing.
    lower_holds = c("lower_usd") <= truth + slack
    holds = lower_holds & (c("upper_usd") >= truth - slack)
    error = 1 / replicates**0.5
    return table.group_by("estimator", maintain_order=True).agg(
        truth_usd=pl.lit(truth),
        mean_usd=c("point_usd").mean(),
        bias_usd=c("point_usd").mean() - truth,
        bias_error_usd=c("point_usd").std() * error,
        spread_usd=c("point_usd").std(),
        coverage=holds.mean(),
        coverage_error=(holds.mean() * (1 - holds.mean())).sqrt() * error,
        lower_holds=lower_holds.mean(),
        half_width_usd=((c("upper_usd") - c("lower_usd")) / 2).mean(),
        recovery_usd=c("recovery_usd").mean(),
        recovered=c("recovery_usd").mean() / pl.lit(truth if truth > 0 else None, pl.Float64),
        extrapolated=c("is_extrapolated").mean(),
        reviewed=c("reviewed").mean(),
        cost_usd=c("cost_usd").mean(),
    )


# ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Review:
    """Reviewed samples of some replicates: places drawn by stratum and what was found, (replicates, n)."""

    laid: ClaimLayout
    places: list[Int64Array]
    found: FloatArray

    def moments(self, found: FloatArray | None = None) -> Moments:
        """Return the moments of the samples, of the net findings by default."""
        strata = draw_samples(self.laid, self.places, self.found if found is None else found)
        return Moments.of(strata, self.laid.sizes.tolist(), float(self.laid.billed.sum()))

    def at(self) -> Int64Array:
        """Return the places drawn, all strata side by side."""
        return np.concatenate(self.places, axis=1)

    def drawn_ids(self) -> NDArray[np.uint64]:
        return self.laid.ids[self.at()]


def _review(laid: ClaimLayout, reviewers: Reviewers, seed: int, replicates: NDArray[np.uint64]) -> _Review:
    places = laid.drawn(seed, replicates)
    at = np.concatenate(places, axis=1)
    found = review_claims(laid.over[at], laid.billed[at], laid.ids[at], reviewers, seed=seed, slots=replicates[:, None])
    return _Review(laid, places, found)


def _first(design: Design) -> SimpleRandom | Stratified:
    return SimpleRandom(design.probe) if isinstance(design, ProbeThenFull) else design


def _goes_on(first: _Review, design: Design) -> NDArray[np.bool_]:
    """Return whether each replicate is extrapolated: what a probe found, over what it was billed, is too much."""
    if not isinstance(design, ProbeThenFull):
        return np.ones(len(first.found), np.bool_)
    billed = first.laid.billed[first.at()].sum(axis=1)
    return np.asarray(first.found.sum(axis=1) > design.trigger * billed)


def _replicated(
    claims: pl.DataFrame,
    design: Design,
    seed: int,
    replicates: int,
    estimators: Sequence[str],
    reviewers: Reviewers,
    level: float,
) -> Iterator[pl.DataFrame]:
    first = lay_out_claims(claims, _first(design))
    full = lay_out_claims(claims, design.full) if isinstance(design, ProbeThenFull) else None
    _needs_billed(estimators, first)
    for numbers in split_replicates(replicates, len(claims)):
        probe = _review(first, reviewers, seed, numbers)
        goes_on = _goes_on(probe, design)
        count = np.full(len(numbers), probe.found.shape[1])
        whole = _review(full, reviewers, seed, numbers[goes_on]) if full is not None and goes_on.any() else None
        if whole is not None:
            count[goes_on] = _different(probe.drawn_ids()[goes_on], whole.drawn_ids())
        for estimator in estimators:
            found = extrapolate(probe.moments(), estimator, level=level)
            columns = {name: getattr(found, name) for name in ("point", "standard_error", "lower", "upper")}
            if whole is not None:
                later = extrapolate(whole.moments(), estimator, level=level)
                columns = {name: _put(old, goes_on, getattr(later, name)) for name, old in columns.items()}
            recovery = np.where(goes_on, columns["lower"], probe.found.sum(axis=1))
            yield pl.DataFrame(
                {
                    "estimator": pl.repeat(estimator, len(numbers), eager=True),
                    "replicate": numbers,
                    **{f"{name}_usd": values for name, values in columns.items()},
                    "is_extrapolated": goes_on,
                    "recovery_usd": np.maximum(recovery, 0.0),
                    "reviewed": count,
                    "cost_usd": reviewers.usd_per_claim * count,
                }
            )


def _different(probe: NDArray[np.uint64], full: NDArray[np.uint64]) -> Int64Array:
    """Return how many different claims each replicate reviewed in its probe and its full sample."""
    both = np.sort(np.concatenate([probe, full], axis=1), axis=1)
    return np.asarray(1 + (both[:, 1:] != both[:, :-1]).sum(axis=1))


def _put(values: FloatArray, where: NDArray[np.bool_], others: FloatArray) -> FloatArray:
    changed = values.copy()
    changed[where] = others
    return changed


def _estimates(review: _Review, estimator: str, level: float) -> pl.DataFrame:
    """Return the estimates of one audit, a row a measure."""
    found, billed = review.found, float(review.laid.billed.sum())
    amounts = {
        "net": found,
        "overpaid": np.maximum(found, 0.0),
        "underpaid": np.maximum(-found, 0.0),
        "gross": np.abs(found),
    }
    totals = {name: extrapolate(review.moments(amount), estimator, level=level) for name, amount in amounts.items()}
    rows: list[tuple[str, str, float, float, float, float]]
    rows = [(name, "USD", *_numbers(total)) for name, total in totals.items()]
    if billed > 0:
        rates = [("net dollar error rate", totals["net"]), ("gross dollar error rate", totals["gross"])]
        rows += [(name, "1", *_numbers(total, per=billed)) for name, total in rates]
    hits = {"claims in error": found != 0, "claims overpaid": found > 0, "claims underpaid": found < 0}
    ends = np.cumsum([0, *(place.shape[1] for place in review.places)]).tolist()
    for name, hit in hits.items():
        strata = [hit[0, a:b].astype(np.float64) for a, b in pairwise(ends)]
        rows.append((name, "1", *estimate_share(strata, review.laid.sizes.tolist(), level=level)))
    return pl.DataFrame(rows, schema=["measure", "unit", "point", "standard_error", "lower", "upper"], orient="row")


def _numbers(total: Estimate, *, per: float = 1.0) -> tuple[float, float, float, float]:
    """Return point, standard error and limits of a single audit's estimate, divided by `per`."""
    point, error, lower, upper = (
        float(part[0]) / per for part in (total.point, total.standard_error, total.lower, total.upper)
    )
    return point, error, lower, upper


def _reviewed(claims: pl.DataFrame, review: _Review) -> pl.DataFrame:
    """Return the claims one audit reviewed, with their stratum and what was found."""
    at, laid = review.at()[0], review.laid
    stratum = np.searchsorted(laid.start, at, side="right") - 1
    drawn: pl.DataFrame = claims[laid.row[at]]
    return drawn.with_columns(stratum=pl.Series(laid.labels).gather(stratum), found_usd=pl.Series(review.found[0]))


def _checked_arguments(estimators: Sequence[str], level: float) -> None:
    if isinstance(estimators, str):
        raise InputError(f"estimators is {estimators!r}; expected a list, such as [{estimators!r}].")
    for estimator in estimators:
        check_estimator(estimator)
    check_level(level)


def _needs_billed(estimators: Sequence[str], laid: ClaimLayout) -> None:
    if "ratio" in estimators and laid.billed.sum() == 0:
        raise InputError("the ratio estimator needs billed dollars; all claims together were billed 0.")
