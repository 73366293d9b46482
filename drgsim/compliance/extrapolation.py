"""From a sample of reviewed claims to a population: point estimates and limits.

d is the overpayment of a claim (negative where underpaid), x the amount billed. Arrays are (..., h), strata last, so
that the same functions serve one audit and a thousand simulated audits.

| estimator | total overpayment | deviation whose variance counts |
|---|---|---|
| difference | N mean(d) | d |
| mean_per_unit | X - N mean(x - d) | x - d |
| ratio | X sum(N mean(d)) / sum(N mean(x)), combined over strata | d - (ratio) x |

A simulated audit (`audit`) and a real one (`extrapolate`) give the same `Audit`, tabulated here from the same values.

X is the billed total of the population, which is known. Source: W. G. Cochran, Sampling Techniques, 3rd ed.
(1977), chapters 2, 5 and 6. The names of the estimators in auditing: J. Neter and J. K. Loebbecke, Behavior of Major
Statistical Estimators in Sampling Accounting Populations (1975).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from drgsim.compliance.sampling import Design
from drgsim.exceptions import InputError, did_you_mean
from drgsim.numerics.arrays import BoolArray, FloatArray

ESTIMATORS = ("difference", "mean_per_unit", "ratio")
KIND = "kind"
"""Column of the reviewed claims with the kind of each finding, such as an unsupported diagnosis; null is none given."""

_NUMBERS = ("point", "standard_error", "lower", "upper")
_MEASURES = ["measure", "unit", *_NUMBERS]


@dataclass(frozen=True, eq=False)
class Moments:
    """Means, variances and the covariance of a sample by stratum.

    Attributes:
        claims, reviewed: (h,) N and n of each stratum.
        billed_total: X of the population [USD].
        mean_billed, mean_overpaid: (..., h) [USD].
        var_billed, var_overpaid, covariance: (..., h), with the divisor n - 1, and 0 where n is 1 [USD²].

    >>> moments = Moments.of([(np.array([100.0, 300.0]), np.array([0.0, 40.0]))], [10], 2_000.0)
    >>> moments.mean_overpaid.tolist(), moments.var_overpaid.tolist()
    ([20.0], [800.0])
    """

    claims: FloatArray
    reviewed: FloatArray
    billed_total: float
    mean_billed: FloatArray
    mean_overpaid: FloatArray
    var_billed: FloatArray
    var_overpaid: FloatArray
    covariance: FloatArray

    @classmethod
    def of(cls, strata: Sequence[tuple[FloatArray, FloatArray]], claims: Sequence[int], billed_total: float) -> Moments:
        """Return the moments of samples: for each stratum (..., n) billed and overpaid [USD]."""
        reviewed = np.array([billed.shape[-1] for billed, _ in strata], np.float64)
        by_stratum = [_moments_of(billed, overpaid) for billed, overpaid in strata]
        columns = [np.stack(column, axis=-1) for column in zip(*by_stratum, strict=True)]
        return cls(np.asarray(claims, np.float64), reviewed, billed_total, *columns)


def _moments_of(billed: FloatArray, overpaid: FloatArray) -> tuple[FloatArray, ...]:
    """Return means, variances and covariance of one stratum, in the order of `Moments`."""
    mean_billed, mean_overpaid = billed.mean(axis=-1), overpaid.mean(axis=-1)
    from_billed, from_overpaid = billed - mean_billed[..., None], overpaid - mean_overpaid[..., None]
    divisor = max(billed.shape[-1] - 1, 1)
    products = (from_billed * from_billed, from_overpaid * from_overpaid, from_billed * from_overpaid)
    var_billed, var_overpaid, covariance = (product.sum(axis=-1) / divisor for product in products)
    return mean_billed, mean_overpaid, var_billed, var_overpaid, covariance


@dataclass(frozen=True, eq=False)
class Estimate:
    """A total overpayment and its two-sided limits.

    Attributes:
        point, standard_error, lower, upper: (...) each [USD].
        degrees: (...) degrees of freedom of Student's t.

    >>> census = estimate_total(Moments.of([(np.array([100.0, 300.0]), np.array([0.0, 40.0]))], [2], 400.0))
    >>> float(census.lower), float(census.point), float(census.upper)
    (40.0, 40.0, 40.0)
    """

    point: FloatArray
    standard_error: FloatArray
    lower: FloatArray
    upper: FloatArray
    degrees: FloatArray


def estimate_total(moments: Moments, estimator: str = "difference", *, level: float = 0.90) -> Estimate:
    """Return the estimated total overpayment of the population, net of underpayments.

    Args:
        moments: of the sample, by stratum.
        estimator: difference, mean_per_unit or ratio.
        level: of the two-sided limits, between 0 and 1; the lower limit of 0.90 is the one-sided 95 % limit.

    Returns:
        Point estimate and limits with finite-population correction and Student's t. Degrees of freedom are n - 1, and
        Satterthwaite's where there are strata (Cochran, 5.16). Both limits of a census are its exact total.

    Raises:
        InputError: there is no such estimator, or the level is not between 0 and 1.

    >>> x, d = np.array([100.0, 200.0, 300.0, 400.0]), np.array([0.0, 0.0, 30.0, 10.0])
    >>> found = estimate_total(Moments.of([(x, d)], [100], 25_000.0))
    >>> [round(float(v), 2) for v in (found.point, found.standard_error, found.lower, found.degrees)]
    [1000.0, 692.82, -630.46, 3.0]
    """
    from scipy import stats

    check_estimator(estimator)
    check_level(level)
    scale = moments.claims * (moments.claims - moments.reviewed) / moments.reviewed
    variances = scale * _residual_variance(moments, estimator)
    variance = variances.sum(axis=-1)
    squares = (variances**2 / np.maximum(moments.reviewed - 1, 1)).sum(axis=-1)
    degrees = np.where(variance > 0, variance**2 / np.where(squares > 0, squares, 1.0), np.inf)
    error = np.sqrt(variance)
    half_width = stats.t.ppf((1 + level) / 2, degrees) * error
    point = _total_overpaid(moments, estimator)
    return Estimate(point, error, point - half_width, point + half_width, degrees)


def _total_overpaid(moments: Moments, estimator: str) -> FloatArray:
    overpaid, billed = ((moments.claims * mean).sum(axis=-1) for mean in (moments.mean_overpaid, moments.mean_billed))
    if estimator == "difference":
        return np.asarray(overpaid)
    if estimator == "mean_per_unit":
        return np.asarray(moments.billed_total - (billed - overpaid))
    return np.asarray(moments.billed_total * _ratio(overpaid, billed))


def _residual_variance(moments: Moments, estimator: str) -> FloatArray:
    """Return the variance within strata of the estimator's residuals, (..., h) [USD²]."""
    if estimator == "difference":
        return moments.var_overpaid
    factor = np.ones(moments.var_overpaid.shape[:-1])
    if estimator == "ratio":
        factor = _ratio(
            (moments.claims * moments.mean_overpaid).sum(axis=-1), (moments.claims * moments.mean_billed).sum(axis=-1)
        )
    factor = factor[..., None]
    variance = moments.var_overpaid + factor**2 * moments.var_billed - 2 * factor * moments.covariance
    return np.maximum(variance, 0.0)  # rounding can make it negative where d is proportional to x


def _ratio(overpaid: FloatArray, billed: FloatArray) -> FloatArray:
    """Return overpaid / billed, NaN where nothing was billed."""
    return np.where(billed == 0, np.nan, overpaid / np.where(billed == 0, 1.0, billed))


def estimate_share(
    hits: Sequence[FloatArray], claims: Sequence[int], *, level: float = 0.90
) -> tuple[float, float, float, float]:
    """Return the share of claims with a property: point, standard error, lower and upper limit.

    Args:
        hits: for each stratum, (n,) 1 where a reviewed claim has the property, 0 where not.
        claims: (h,) claims of each stratum.
        level: of the two-sided limits, between 0 and 1.

    Limits are Clopper and Pearson's at the effective size of the sample (Korn and Graubard, Survey Methodology, 1998)
    with finite-population correction, so that a sample without a hit has an upper limit too.

    Raises:
        InputError: the level is not between 0 and 1.

    >>> [round(v, 4) for v in estimate_share([np.array([1.0] * 3 + [0.0] * 17)], [10**9])]
    [0.15, 0.0819, 0.0422, 0.3437]
    """
    from scipy import stats

    check_level(level)
    moments = Moments.of([(hit, hit) for hit in hits], claims, 0.0)
    found = estimate_total(moments, level=level)
    total = moments.claims.sum()
    p, error = float(found.point / total), float(found.standard_error / total)
    reviewed = float(moments.reviewed.sum())
    if reviewed == total:
        return p, 0.0, p, p
    size = p * (1 - p) / error**2 if error > 0 else reviewed / (1 - reviewed / float(total))
    if error > 0 and len(hits) == 1:
        size *= reviewed / (reviewed - 1)  # s² has the divisor n - 1, p (1 - p) has n
    tail = (1 - level) / 2
    lower = float(stats.beta.ppf(tail, p * size, (1 - p) * size + 1)) if p > 0 else 0.0
    upper = float(stats.beta.ppf(1 - tail, p * size + 1, (1 - p) * size)) if p < 1 else 1.0
    return p, error, lower, upper


def check_estimator(estimator: str) -> None:
    """Raise InputError unless the estimator is one of `ESTIMATORS`."""
    if estimator not in ESTIMATORS:
        hint = did_you_mean(str(estimator), ESTIMATORS) or f" Known: {', '.join(ESTIMATORS)}."
        raise InputError(f"no estimator {estimator!r}.{hint}")


def check_level(level: float) -> None:
    """Raise InputError unless the confidence level lies between 0 and 1."""
    if not 0 < level < 1:
        raise InputError(
            f"level is {level!r}; expected a share between 0 and 1, such as 0.90 for two-sided 90 % limits."
        )


@dataclass(frozen=True, eq=False)
class Audit:
    """The result of one audit, simulated (`audit`) or real (`extrapolate`).

    Attributes:
        design, estimator, level: the arguments of the audit.
        is_extrapolated: false where a probe did not trigger the full sample; then the probe's own findings are the
            recovery.
        recovery_usd: the lower limit of the net overpayment, not below 0: with level 0.90 the limit at which OIG
            recommends recovery.
        cost_usd: of the reviews.
        estimates: a row for each measure, see `audit`.
        by_stratum: a row for each stratum: `stratum`, `claims`, `reviewed`, `in_error` [claims], `billed_usd` of all
            its claims, `found_usd` of the reviewed claims, and its net overpayment as `point`, `standard_error`,
            `lower`, `upper` [USD]. The points add up to the net overpayment, except with the ratio estimator: it has
            one ratio for all strata together, and one for each stratum here.
        by_kind: a row for each value of the column `kind` of the reviewed claims, the largest first: `kind`,
            `reviewed` (claims with that finding), `found_usd`; the net overpayment of the kind by the difference
            estimator (`point`, `standard_error`, `lower`, `upper` [USD]; the points of all kinds add up to that
            estimator's net overpayment); and the share of all claims with it (`share`, `share_lower`, `share_upper`).
            No row where the reviewed claims have no such column.
        reviewed: a row for each reviewed claim, in order of stratum and id, with `stratum` and `found_usd`, the
            overpayment found.

    >>> from drgsim.compliance import SimpleRandom, audit
    >>> correct_usd = [9e3, 7e3] * 50
    >>> claims = pl.DataFrame({"admission_id": range(100), "billed_usd": 9e3, "correct_usd": correct_usd})
    >>> found = audit(claims, SimpleRandom(20), seed=1)
    >>> found.reviewed.height, found.is_extrapolated, found.recovery_usd <= 100_000
    (20, True, True)
    >>> found.by_stratum.select("stratum", "claims", "reviewed").row(0)
    ('all', 100, 20)
    """

    design: Design
    estimator: str
    level: float
    is_extrapolated: bool
    recovery_usd: float
    cost_usd: float
    estimates: pl.DataFrame = field(repr=False)
    by_stratum: pl.DataFrame = field(repr=False)
    by_kind: pl.DataFrame = field(repr=False)
    reviewed: pl.DataFrame = field(repr=False)


@dataclass(frozen=True, eq=False)
class ReviewedStrata:
    """The findings of one audit by stratum, and the size of the population.

    Attributes:
        labels: (h,) of the strata.
        claims: (h,) of the population.
        billed_usd: (h,) of all claims of each stratum; NaN where it is not known.
        billed_total: of the population [USD].
        billed, found: for each stratum (1, n) of the reviewed claims [USD]; `found` is the overpayment.
        kinds: (all reviewed claims,) the kind of each finding, or None.
    """

    labels: Sequence[str]
    claims: Sequence[int]
    billed_usd: Sequence[float]
    billed_total: float
    billed: Sequence[FloatArray]
    found: Sequence[FloatArray]
    kinds: pl.Series | None

    def moments(self, amounts: Sequence[FloatArray]) -> Moments:
        """Return the moments of amounts of the reviewed claims, for each stratum (1, n) [USD]."""
        return Moments.of(list(zip(self.billed, amounts, strict=True)), list(self.claims), self.billed_total)

    def split(self, values: BoolArray) -> list[FloatArray]:
        """Return a truth value of each reviewed claim as numbers of each stratum, (n,) each."""
        ends = np.cumsum([part.shape[1] for part in self.found])[:-1]
        return [part.astype(np.float64) for part in np.split(values, ends)]


def tabulate_measures(strata: ReviewedStrata, estimator: str, level: float) -> pl.DataFrame:
    """Return the estimates of one audit, a row for each measure."""
    amounts = {
        "net": strata.found,
        "overpaid": [np.maximum(part, 0.0) for part in strata.found],
        "underpaid": [np.maximum(-part, 0.0) for part in strata.found],
        "improper": [np.abs(part) for part in strata.found],
    }
    totals = {name: estimate_total(strata.moments(amount), estimator, level=level) for name, amount in amounts.items()}
    rows: list[tuple[str, str, float, float, float, float]]
    rows = [(name, "USD", *_numbers(total)) for name, total in totals.items()]
    if strata.billed_total > 0:
        rates = [("net dollar error rate", totals["net"]), ("improper payment rate", totals["improper"])]
        rows += [(name, "1", *_numbers(total, per=strata.billed_total)) for name, total in rates]
    found = np.concatenate(strata.found, axis=1)[0]
    hits = {"claims in error": found != 0, "claims overpaid": found > 0, "claims underpaid": found < 0}
    for name, hit in hits.items():
        rows.append((name, "1", *estimate_share(strata.split(hit), list(strata.claims), level=level)))
    return pl.DataFrame(rows, schema=_MEASURES, orient="row")


def tabulate_strata(strata: ReviewedStrata, estimator: str, level: float) -> pl.DataFrame:
    """Return the net overpayment of each stratum, a row for each (`Audit.by_stratum`)."""
    rows = []
    for label, claims, known, billed, found in zip(
        strata.labels, strata.claims, strata.billed_usd, strata.billed, strata.found, strict=True
    ):
        total = estimate_total(Moments.of([(billed, found)], [claims], known), estimator, level=level)
        counts = (label, claims, found.shape[1], int((found != 0).sum()))
        rows.append((*counts, None if np.isnan(known) else known, float(found.sum()), *_numbers(total)))
    names = ["stratum", "claims", "reviewed", "in_error", "billed_usd", "found_usd", *_NUMBERS]
    dtypes = [pl.String, *[pl.Int64] * 3, *[pl.Float64] * 6]
    return pl.DataFrame(rows, schema=dict(zip(names, dtypes, strict=True)), orient="row")


def tabulate_kinds(strata: ReviewedStrata, level: float) -> pl.DataFrame:
    """Return dollars and share of claims of each kind of finding (`Audit.by_kind`).

    Only claims with a finding count; one without a kind has the kind null.
    """
    names = [KIND, "reviewed", "found_usd", *_NUMBERS, "share", "share_lower", "share_upper"]
    dtypes = [pl.String, pl.Int64, *[pl.Float64] * 8]
    schema = dict(zip(names, dtypes, strict=True))
    if strata.kinds is None:
        return pl.DataFrame(schema=schema)
    found = np.concatenate(strata.found, axis=1)[0]
    rows = []
    for kind in strata.kinds.filter(pl.Series(found != 0)).unique().sort():
        is_kind = strata.kinds.is_null() if kind is None else strata.kinds == kind
        hit = is_kind.fill_null(value=False).to_numpy() & (found != 0)
        amounts = [np.where(mask > 0, part, 0.0) for mask, part in zip(strata.split(hit), strata.found, strict=True)]
        total = estimate_total(strata.moments(amounts), level=level)
        share, _, lower, upper = estimate_share(strata.split(hit), list(strata.claims), level=level)
        rows.append((kind, int(hit.sum()), float(found[hit].sum()), *_numbers(total), share, lower, upper))
    table = pl.DataFrame(rows, schema=schema, orient="row")
    return table.sort(pl.col("found_usd").abs(), KIND, descending=[True, False], nulls_last=True)


def check_billed_total(estimators: Sequence[str], billed_total: float) -> None:
    """Raise InputError where the ratio estimator has no billed dollars to divide by."""
    if "ratio" in estimators and billed_total == 0:
        raise InputError("the ratio estimator needs billed dollars; all claims together were billed 0.")


def _numbers(total: Estimate, *, per: float = 1.0) -> tuple[float, float, float, float]:
    """Return point, standard error and limits of a single audit's estimate, divided by `per`."""
    point, error, lower, upper = (
        float(part[0]) / per for part in (total.point, total.standard_error, total.lower, total.upper)
    )
    return point, error, lower, upper
