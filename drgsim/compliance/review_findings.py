"""A real audit: the findings of reviewers, extrapolated to the population.

The main line is `sample` (billed dollars are enough), the review of the sampled charts, `read_findings`, `extrapolate`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from drgsim.compliance.extrapolation import (
    KIND,
    Audit,
    ReviewedStrata,
    check_billed_total,
    check_estimator,
    check_level,
    estimate_total,
    tabulate_kinds,
    tabulate_measures,
    tabulate_strata,
)
from drgsim.compliance.sampling import FEWEST, SimpleRandom, Stratified, lay_out_claims
from drgsim.exceptions import InputError, SchemaError
from drgsim.files.foreign_frames import accept_frames
from drgsim.schema import CLAIMS, Column, Frame, check_frame

AMOUNTS = ("correct_usd", "found_usd")
"""Columns of a finding: the payment as it should have been, or the overpayment. One of them is enough."""

_REVIEWED = Frame(
    "reviewed",
    (
        CLAIMS["admission_id"],
        Column("billed_usd", pl.Float64(), "USD", "payment of the claim as billed", required=False),
        Column("correct_usd", pl.Float64(), "USD", "payment as it should have been", required=False),
        Column("found_usd", pl.Float64(), "USD", "overpayment, negative where underpaid", required=False),
        Column("stratum", pl.String(), "", "of the sample", required=False),
        Column(KIND, pl.String(), "", "kind of the finding", required=False),
    ),
)
_CENT = 0.005


@accept_frames
def extrapolate(
    reviewed: pl.DataFrame,
    population: pl.DataFrame | Mapping[str, int] | int,
    *,
    design: SimpleRandom | Stratified | None = None,
    estimator: str = "difference",
    level: float = 0.90,
    usd_per_claim: float = 0.0,
) -> Audit:
    """Extrapolate the findings of a real audit to the population of its sample.

    Args:
        reviewed: (m,) the reviewed claims, in any order: `admission_id`, and `correct_usd` (the payment as it should
            have been) or `found_usd` (the overpayment, negative where underpaid). Optional: `kind` of the finding,
            for `Audit.by_kind`; `billed_usd`, which is checked where the population has it.
        population: all claims as `sample` returned them, with `stratum` and `is_sampled`: then exactly the sampled
            claims must be reviewed. Or all claims without these columns, and `design`. Or the number of claims, by
            stratum or (for a simple random sample) in all; then `reviewed` needs `billed_usd`, with strata also
            `stratum`, and the estimator is the difference.
        design: the design of the sample, where the population has no `stratum`.
        estimator: difference (mean overpayment times claims), mean_per_unit or ratio, as in `audit`.
        level: of the two-sided limits. OIG recommends recovery at the lower limit of the two-sided 90 % interval,
            which is the default.
        usd_per_claim: cost of one review.

    Returns:
        The `Audit`. `recovery_usd` is the lower limit of the net overpayment, not below 0.

    Raises:
        SchemaError: a column is missing or of the wrong type.
        InputError: a sampled claim is not reviewed, a reviewed claim was not sampled or is not in the population,
            ids repeat, amounts are missing or contradict each other, or a stratum has fewer than two reviewed claims.

    Limits use Student's t with finite-population correction (`estimate_total`). RAT-STATS uses the same for a simple
    random sample; for strata it uses the normal quantile (recalled, not verified), whose lower limit is higher.

    >>> from drgsim.compliance import sample
    >>> claims = pl.DataFrame({"admission_id": range(100), "billed_usd": [9e3] * 100})
    >>> drawn = sample(claims, SimpleRandom(30), seed=1)
    >>> chart = drawn.filter("is_sampled").select("admission_id", correct_usd=pl.Series([9e3, 7e3, 9e3] * 10))
    >>> found = extrapolate(chart, drawn)
    >>> found.estimates.select("measure", pl.col("point", "lower").round(2)).row(0), round(found.recovery_usd, 2)
    (('net', 66666.67, 41778.12), 41778.12)
    """
    check_estimator(estimator)
    check_level(level)
    rows = _check_reviewed(reviewed)
    if isinstance(population, pl.DataFrame):
        known = _read_population(population, design)
        rows = _join_population(rows, known)
    else:
        known = _read_counts(population, design, estimator)
        rows = _assign_counted_strata(rows, known)
    rows = _find_overpayments(rows).sort(pl.col("stratum").cast(pl.Enum(list(known.labels))), "admission_id")
    strata = _split_by_stratum(rows, known)
    check_billed_total([estimator], strata.billed_total)
    net = estimate_total(strata.moments(strata.found), estimator, level=level)
    added = rows.select("admission_id", "billed_usd", "stratum", "found_usd")
    others = reviewed.drop("billed_usd", "stratum", "found_usd", strict=False).with_columns(
        pl.col("admission_id").cast(pl.UInt64)
    )
    return Audit(
        design=design or _infer_design(known, len(rows)),
        estimator=estimator,
        level=level,
        is_extrapolated=True,
        recovery_usd=max(0.0, float(net.lower[0])),
        cost_usd=usd_per_claim * len(rows),
        estimates=tabulate_measures(strata, estimator, level),
        by_stratum=tabulate_strata(strata, estimator, level),
        by_kind=tabulate_kinds(strata, level),
        reviewed=added.join(others, on="admission_id", how="left", maintain_order="left"),
    )


# ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Population:
    """Strata of a population, and where known its claims and the size of each sample."""

    labels: Sequence[str]
    claims: Sequence[int]
    billed_usd: Sequence[float]
    billed_total: float = 0.0
    frame: pl.DataFrame | None = None
    take: Sequence[int] | None = None


def _check_reviewed(reviewed: pl.DataFrame) -> pl.DataFrame:
    rows = check_frame(reviewed, _REVIEWED)
    if not any(name in rows.columns for name in AMOUNTS):
        raise SchemaError("reviewed lack both correct_usd and found_usd; give one of them for each reviewed claim.")
    if rows.is_empty():
        raise InputError("no claim is reviewed; an extrapolation needs at least two of each stratum.")
    ids = rows["admission_id"]
    if ids.null_count() or ids.is_duplicated().any():
        raise InputError(
            f"{ids.null_count()} reviewed claims have no admission_id and {ids.drop_nulls().is_duplicated().sum()} "
            "repeat one; give each reviewed claim once."
        )
    for name in AMOUNTS:
        if name in rows.columns and not (usable := rows[name].is_finite().fill_null(value=False)).all():
            raise InputError(
                f"{(~usable).sum()} reviewed claims have no usable {name}, the first in row {usable.arg_min()}. "
                "Review them first; a chart that cannot be found usually counts as not payable (correct_usd 0)."
            )
    return rows


def _read_population(population: pl.DataFrame, design: SimpleRandom | Stratified | None) -> _Population:
    if design is not None:
        layout = lay_out_claims(population, design, is_correct_known=False)
        stratum = np.repeat(np.arange(len(layout.labels)), layout.sizes)
        claims = population[layout.row].with_columns(stratum=pl.Series(layout.labels).gather(stratum))
        labels: Sequence[str] = layout.labels
        take: Sequence[int] | None = layout.take.tolist()
    elif "stratum" in population.columns:
        claims, take = population.with_columns(pl.col("stratum").cast(pl.String)), None
        if claims["stratum"].null_count():
            raise InputError(f"{claims['stratum'].null_count()} claims of the population have no stratum.")
        labels = _order_strata(claims)
    else:
        raise InputError(
            "the population has no column 'stratum', so its design is not known. Pass what sample() returned, or "
            "design=, such as design=SimpleRandom(100)."
        )
    lay_out_claims(claims, SimpleRandom(len(claims)), is_correct_known=False)  # checks ids and dollars
    wanted = [name for name in ("admission_id", "billed_usd", "stratum", "is_sampled") if name in claims.columns]
    place = pl.col("stratum").cast(pl.Enum(list(labels)))
    # In the order of a simulated audit, so that every sum has its last bit.
    frame = claims.select(wanted).cast({"admission_id": pl.UInt64, "billed_usd": pl.Float64})
    frame = frame.sort(place, "admission_id")
    billed, sizes = (
        frame["billed_usd"].to_numpy(),
        frame.group_by("stratum", maintain_order=True).len()["len"].to_list(),
    )
    parts = np.split(billed, np.cumsum(sizes)[:-1])
    return _Population(labels, sizes, [float(part.sum()) for part in parts], float(billed.sum()), frame, take)


def _order_strata(claims: pl.DataFrame) -> list[str]:
    """Return the labels by billed dollars where strata are ranges of them, else by name."""
    ends = claims.group_by("stratum").agg(low=pl.col("billed_usd").min(), high=pl.col("billed_usd").max())
    by_dollars = ends.sort("low", "stratum")
    is_ranges = (by_dollars["high"].shift(1) < by_dollars["low"]).fill_null(value=True).all()
    return (by_dollars if is_ranges else ends.sort("stratum"))["stratum"].to_list()


def _read_counts(
    population: Mapping[str, int] | int, design: SimpleRandom | Stratified | None, estimator: str
) -> _Population:
    counts = {"all": population} if not isinstance(population, Mapping) else dict(population)
    for count in counts.values():
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise InputError(
                f"population is {population!r:.80}; expected the sampled claims as a frame, a number of claims, or one "
                "for each stratum."
            )
    if not counts:
        raise InputError("population has no stratum; give the number of claims of each.")
    if isinstance(design, Stratified) and not isinstance(population, Mapping):
        raise InputError("population is one number, but the design has strata; give the number of claims of each.")
    if estimator != "difference":
        raise InputError(
            f"{estimator} needs the billed dollars of the population; pass its claims, or use the difference."
        )
    return _Population([str(label) for label in counts], list(counts.values()), [np.nan] * len(counts))


def _join_population(rows: pl.DataFrame, known: _Population) -> pl.DataFrame:
    """Return the reviewed claims with stratum and billed dollars of the population."""
    assert known.frame is not None
    unknown = ~rows["admission_id"].is_in(known.frame["admission_id"].implode())
    if unknown.any():
        raise InputError(
            f"{unknown.sum()} reviewed claims are not in the population, the first in row {unknown.arg_max()}."
        )
    joined = rows.drop("stratum", strict=False).join(
        known.frame, on="admission_id", how="left", suffix="_of_population", maintain_order="left"
    )
    if "billed_usd" in rows.columns:
        differs = (joined["billed_usd"] - joined["billed_usd_of_population"]).abs().fill_null(np.inf) >= _CENT
        if differs.any():
            raise InputError(
                f"{differs.sum()} reviewed claims have other billed dollars than in the population, the first in row "
                f"{differs.arg_max()}. Drop billed_usd of the reviewed claims, or repair it."
            )
        joined = joined.with_columns(billed_usd="billed_usd_of_population")
    if "is_sampled" in known.frame.columns:
        stray = ~joined["is_sampled"].fill_null(value=False)
        if stray.any():
            raise InputError(
                f"{stray.sum()} reviewed claims were not sampled, the first in row {stray.arg_max()}. A claim chosen "
                "otherwise represents only itself; leave it out."
            )
        missing = known.frame["is_sampled"].sum() - len(joined)
        if missing:
            raise InputError(
                f"{missing} of {known.frame['is_sampled'].sum()} sampled claims are not among the reviewed. Review "
                "them; a chart that cannot be found usually counts as not payable (correct_usd 0)."
            )
    return joined


def _assign_counted_strata(rows: pl.DataFrame, known: _Population) -> pl.DataFrame:
    if "billed_usd" not in rows.columns or not rows["billed_usd"].is_finite().fill_null(value=False).all():
        raise SchemaError("reviewed lack billed_usd, which a population given by numbers does not have.")
    if len(known.labels) == 1 and "stratum" not in rows.columns:
        return rows.with_columns(stratum=pl.lit(known.labels[0]))
    if "stratum" not in rows.columns:
        raise SchemaError(f"reviewed lack the column stratum; the population has {', '.join(known.labels)}.")
    unknown = ~rows["stratum"].is_in(list(known.labels)).fill_null(value=False)
    if unknown.any():
        raise InputError(
            f"{unknown.sum()} reviewed claims have a stratum that the population lacks, the first in row "
            f"{unknown.arg_max()}. Known: {', '.join(known.labels)}."
        )
    return rows


def _find_overpayments(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the reviewed claims with `found_usd`."""
    if "correct_usd" not in rows.columns:
        return rows
    found = rows["billed_usd"] - rows["correct_usd"]
    if "found_usd" in rows.columns:
        differs = (found - rows["found_usd"]).abs() >= _CENT
        if differs.any():
            raise InputError(
                f"{differs.sum()} reviewed claims have a found_usd that is not billed_usd less correct_usd. "
                "Drop the column that is not meant."
            )
    return rows.with_columns(found_usd=found)


def _split_by_stratum(rows: pl.DataFrame, known: _Population) -> ReviewedStrata:
    """Return the findings by stratum, after a check that each stratum has enough."""
    parts = {label: part for (label,), part in rows.group_by("stratum", maintain_order=True)}
    counts = [len(parts.get(label, ())) for label in known.labels]
    for place, (label, size, count) in enumerate(zip(known.labels, known.claims, counts, strict=True)):
        if count > size or count < min(FEWEST, size):
            raise InputError(
                f"stratum {label!r} has {count} reviewed claims of {size}; expected at least {min(FEWEST, size)} and "
                "at most all."
            )
        if known.take is not None and count != known.take[place]:
            raise InputError(
                f"stratum {label!r} has {count} reviewed claims, but the design draws {known.take[place]}. Pass what "
                "sample() returned as the population, or the design that was used."
            )
    own = [parts[label] for label in known.labels]
    return ReviewedStrata(
        labels=known.labels,
        claims=known.claims,
        billed_usd=known.billed_usd,
        billed_total=known.billed_total,
        billed=[part["billed_usd"].to_numpy()[None, :] for part in own],
        found=[part["found_usd"].to_numpy()[None, :] for part in own],
        kinds=rows[KIND] if KIND in rows.columns else None,
    )


def _infer_design(known: _Population, reviewed: int) -> SimpleRandom | Stratified:
    return SimpleRandom(reviewed) if len(known.labels) == 1 else Stratified(reviewed, column="stratum")
