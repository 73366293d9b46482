"""Simulated audits: sample, review, and recover at the lower limit; once or many times.

`audit` is replicate 0 of `simulate_audits`; `coverage` measures how often the limits of a design contain the truth,
what it recovers and what it costs. Both amounts of a claim are known because the errors were simulated. A real audit
learns `correct_usd` only of the claims it reviews, and an audit here does not use it before a claim is reviewed.
A real audit is `sample`, the review, then `extrapolate`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import polars as pl

from drgsim.compliance.extrapolation import (
    ESTIMATORS,
    KIND,
    Audit,
    Moments,
    ReviewedStrata,
    check_billed_total,
    check_estimator,
    check_level,
    estimate_total,
    tabulate_kinds,
    tabulate_measures,
    tabulate_strata,
)
from drgsim.compliance.reviewers import Reviewers, review_claims
from drgsim.compliance.sampling import (
    ClaimLayout,
    Design,
    ProbeThenFull,
    SimpleRandom,
    Stratified,
    lay_out_claims,
    list_samples,
    split_replicates,
)
from drgsim.exceptions import InputError
from drgsim.files.foreign_frames import accept_frames
from drgsim.numerics.arrays import BoolArray, FloatArray, Int64Array, UInt64Array

PERFECT = Reviewers()


@accept_frames
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
        claims: (n,) rows of `schema.CLAIMS`, with the column of strata if the design names one.
        design: SimpleRandom, Stratified or ProbeThenFull.
        seed: any integer; the same seed draws and reviews the same claims in the same way, in any order of rows.
        estimator: difference (mean overpayment times claims), mean_per_unit (of correct dollars) or ratio.
        reviewers: how well they find errors; by default they never err.
        level: of the two-sided limits, 0 to 1.

    Returns:
        The `Audit`. `estimates` has `measure`, `unit`, `point`, `standard_error`, `lower`, `upper`. Measures are the
        dollars net (overpaid less underpaid), overpaid, underpaid and improper (overpaid plus underpaid); the net
        dollar error rate and the improper payment rate, per dollar billed; and the shares of claims in error,
        overpaid and underpaid. `recovery_usd` is the lower limit of net, not below 0.

    Raises:
        SchemaError: a column is missing or of the wrong type.
        InputError: the claims, the design, the estimator or the level cannot be used.

    >>> claims = pl.DataFrame({"admission_id": range(100), "billed_usd": [9e3] * 100, "correct_usd": [9e3, 7e3] * 50})
    >>> found = audit(claims, SimpleRandom(100), seed=1)
    >>> found.recovery_usd, found.estimates.filter(pl.col("measure") == "claims in error")["point"].item()
    (100000.0, 0.5)
    """
    _check_arguments([estimator], level)
    once = np.zeros(1, np.uint64)
    review = _review_samples(lay_out_claims(claims, _first_design(design)), reviewers, seed, once)
    check_billed_total([estimator], float(review.layout.billed.sum()))
    is_extrapolated, count = bool(_is_extrapolated(review, design)[0]), review.found.shape[1]
    if isinstance(design, ProbeThenFull) and is_extrapolated:
        probe, review = review, _review_samples(lay_out_claims(claims, design.full), reviewers, seed, once)
        count = int(_count_different(probe.drawn_ids(), review.drawn_ids())[0])
    net = estimate_total(review.moments(), estimator, level=level)
    recovery = float(net.lower[0]) if is_extrapolated else float(review.found.sum())
    reviewed = _list_reviewed(claims, review)
    strata = _split_by_stratum(review, reviewed)
    return Audit(
        design=design,
        estimator=estimator,
        level=level,
        is_extrapolated=is_extrapolated,
        recovery_usd=max(0.0, recovery),
        cost_usd=reviewers.usd_per_claim * count,
        estimates=tabulate_measures(strata, estimator, level),
        by_stratum=tabulate_strata(strata, estimator, level),
        by_kind=tabulate_kinds(strata, level),
        reviewed=reviewed,
    )


@accept_frames
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
        A row for each estimator and replicate: `estimator`, `replicate`, `point_usd`, `standard_error_usd`,
        `lower_usd`, `upper_usd` (of the net overpayment), `is_extrapolated`, `recovery_usd`, `reviewed` [claims],
        `cost_usd`.

    Raises:
        SchemaError, InputError: as `audit`; or `replicates` is below 1.

    >>> claims = pl.DataFrame({"admission_id": range(100), "billed_usd": [9e3] * 100, "correct_usd": [9e3, 7e3] * 50})
    >>> table = simulate_audits(claims, SimpleRandom(30), seed=1, replicates=5, estimators=["difference"])
    >>> table["recovery_usd"][0] == audit(claims, SimpleRandom(30), seed=1).recovery_usd
    True
    """
    _check_arguments(estimators, level)
    if isinstance(replicates, bool) or not isinstance(replicates, int) or replicates < 1:
        raise InputError(f"replicates is {replicates!r}; expected a whole number, 1 or more.")
    parts = list(_simulate_in_parts(claims, design, seed, replicates, estimators, reviewers, level))
    return pl.concat(parts).sort(
        pl.col("estimator").replace_strict({name: k for k, name in enumerate(estimators)}, return_dtype=pl.Int32),
        "replicate",
    )


@accept_frames
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
    """Measure a design on a population whose errors are known, over many audits.

    Args:
        claims, design, seed, replicates, estimators, reviewers, level: as in `simulate_audits`.

    Returns:
        A row for each estimator: `estimator`, `truth_usd` (net overpayment), `mean_usd` and `bias_usd` of the point
        estimate with its Monte-Carlo `bias_error_usd`; `spread_usd`, the standard deviation of the estimate over
        audits; `coverage`, the share of intervals that contain the truth, with `coverage_error`; `lower_holds`, the
        share of lower limits not above the truth (nominal (1 + level) / 2); means of `half_width_usd`,
        `recovery_usd`, `reviewed` [claims] and `cost_usd`; `recovered`, the share of the truth (null unless the truth
        is above 0); and `extrapolated`, the share of audits with a full sample. Coverage below `level` is
        anti-conservative.

    Raises:
        SchemaError, InputError: as `simulate_audits`.

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
    # The ratio of a sample without billed dollars is NaN: its interval contains nothing.
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
    """Samples of some replicates: places drawn by stratum, and findings (replicates, n) [USD]."""

    layout: ClaimLayout
    places: list[Int64Array]
    found: FloatArray

    def moments(self, found: FloatArray | None = None) -> Moments:
        """Return the moments of the samples, of the net findings by default."""
        strata = list_samples(self.layout, self.places, self.found if found is None else found)
        return Moments.of(strata, self.layout.sizes.tolist(), float(self.layout.billed.sum()))

    def drawn_places(self) -> Int64Array:
        """Return the places drawn, the strata next to each other, (replicates, n)."""
        return np.concatenate(self.places, axis=1)

    def drawn_ids(self) -> UInt64Array:
        return self.layout.ids[self.drawn_places()]


def _review_samples(layout: ClaimLayout, reviewers: Reviewers, seed: int, replicates: UInt64Array) -> _Review:
    places = layout.draw(seed, replicates)
    at = np.concatenate(places, axis=1)
    overpaid, billed, ids = layout.overpaid[at], layout.billed[at], layout.ids[at]
    found = review_claims(overpaid, billed, ids, reviewers, seed=seed, slots=replicates[:, None])
    return _Review(layout, places, found)


def _first_design(design: Design) -> SimpleRandom | Stratified:
    return SimpleRandom(design.probe) if isinstance(design, ProbeThenFull) else design


def _is_extrapolated(first: _Review, design: Design) -> BoolArray:
    """Return for each replicate whether the probe exceeds its trigger, or there is no probe."""
    if not isinstance(design, ProbeThenFull):
        return np.ones(len(first.found), np.bool_)
    billed = first.layout.billed[first.drawn_places()].sum(axis=1)
    return np.asarray(first.found.sum(axis=1) > design.trigger * billed)


def _simulate_in_parts(
    claims: pl.DataFrame,
    design: Design,
    seed: int,
    replicates: int,
    estimators: Sequence[str],
    reviewers: Reviewers,
    level: float,
) -> Iterator[pl.DataFrame]:
    first = lay_out_claims(claims, _first_design(design))
    full = lay_out_claims(claims, design.full) if isinstance(design, ProbeThenFull) else None
    check_billed_total(estimators, float(first.billed.sum()))
    for numbers in split_replicates(replicates, len(claims)):
        probe = _review_samples(first, reviewers, seed, numbers)
        goes_on = _is_extrapolated(probe, design)
        count = np.full(len(numbers), probe.found.shape[1])
        later = _review_samples(full, reviewers, seed, numbers[goes_on]) if full is not None and goes_on.any() else None
        if later is not None:
            count[goes_on] = _count_different(probe.drawn_ids()[goes_on], later.drawn_ids())
        for estimator in estimators:
            found = estimate_total(probe.moments(), estimator, level=level)
            columns = {name: getattr(found, name) for name in ("point", "standard_error", "lower", "upper")}
            if later is not None:
                of_full = estimate_total(later.moments(), estimator, level=level)
                columns = {name: _replace_at(old, goes_on, getattr(of_full, name)) for name, old in columns.items()}
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


def _count_different(probe: UInt64Array, full: UInt64Array) -> Int64Array:
    """Return how many different claims each replicate reviewed in its probe and its full sample."""
    both = np.sort(np.concatenate([probe, full], axis=1), axis=1)
    return np.asarray(1 + (both[:, 1:] != both[:, :-1]).sum(axis=1))


def _replace_at(values: FloatArray, where: BoolArray, others: FloatArray) -> FloatArray:
    changed = values.copy()
    changed[where] = others
    return changed


def _list_reviewed(claims: pl.DataFrame, review: _Review) -> pl.DataFrame:
    """Return the claims that one audit reviewed, with their stratum and the overpayment found."""
    at, layout = review.drawn_places()[0], review.layout
    stratum = np.searchsorted(layout.start, at, side="right") - 1
    drawn: pl.DataFrame = claims[layout.row[at]]
    return drawn.with_columns(stratum=pl.Series(layout.labels).gather(stratum), found_usd=pl.Series(review.found[0]))


def _split_by_stratum(review: _Review, reviewed: pl.DataFrame) -> ReviewedStrata:
    """Return the findings of one audit by stratum."""
    layout = review.layout
    samples = list_samples(layout, review.places, review.found)
    return ReviewedStrata(
        labels=layout.labels,
        claims=layout.sizes.tolist(),
        billed_usd=[float(layout.billed[a:b].sum()) for a, b in pairwise(layout.start.tolist())],
        billed_total=float(layout.billed.sum()),
        billed=[billed for billed, _ in samples],
        found=[found for _, found in samples],
        kinds=reviewed[KIND].cast(pl.String) if KIND in reviewed.columns else None,
    )


def _check_arguments(estimators: Sequence[str], level: float) -> None:
    if isinstance(estimators, str):
        raise InputError(f"estimators is {estimators!r}; expected a list, such as [{estimators!r}].")
    for estimator in estimators:
        check_estimator(estimator)
    check_level(level)
