"""Compliance profiles: case mix, severity and target areas of hospitals among peers."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from drgsim.compliance.peers import NUMBERS, compare_with_peers
from drgsim.compliance.severity_support import count_supporting_severity
from drgsim.compliance.target_areas import Measure, Measures, name_diagnosis_column
from drgsim.exceptions import InputError, SchemaError
from drgsim.files.foreign_frames import accept_frames
from drgsim.pricing.contracts import PriceTerms
from drgsim.pricing.pricer_input import with_weights
from drgsim.schema import ADMISSIONS, GROUPED, Frame, Severity, check_frame
from drgsim.tables.drg_families import list_families
from drgsim.tables.table_set import TableSet

_INPUT = Frame(
    "admissions",
    (
        *(GROUPED[name] for name in ("drg", "mdc", "drg_type", "severity")),
        *(ADMISSIONS[name] for name in ("discharge_status", "los_days")),
    ),
)
_CASE_MIX = "case mix"
_ONE_SIDED = "necessity"


@accept_frames
def profile(
    grouped: pl.DataFrame,
    tables: TableSet,
    *,
    by: str | Sequence[str] = "hospital_id",
    peers: str | None = None,
    rates: PriceTerms | None = None,
    hospital_status: str = "NON_EXEMPT",
) -> pl.DataFrame:
    """Compare the case mix, severity and target areas of each hospital with its peers.

    Measures of severity are CC and MCC capture and single CC or MCC; target areas are in the style of PEPPER.

    Args:
        grouped: (n,) admissions as `drgsim.group` returns them, with `los_days`, and `weight` unless rates are given.
        tables: the version they were grouped with.
        by: the column or columns that identify a hospital.
        peers: a column of peer groups, one value for each hospital; by default all hospitals are peers.
        rates: payment parameters with the DRG weights.
        hospital_status: POA reporting, as in `drgsim.group`.

    Returns:
        A row for each hospital and measure, in order of `by` and of `Measures`: `by`, `peers` if given, `measure`,
        `kind`, `numerator` (discharges; for case mix the sum of weights), `denominator` (discharges), `value` (their
        ratio), `is_suppressed`, `percentile` among peers, `low_threshold`, `high_threshold`, `outlier` (HIGH,
        LOW, NONE). Cells with fewer than 11 discharges in denominator or numerator are suppressed: numerator,
        denominator and value are null and do not count in percentiles. No measure counts ungroupable discharges.
        Measures that cannot be computed are listed in `Measures.frame()`, not here.

    Raises:
        SchemaError: a column is missing or of the wrong type.
        InputError: a DRG is not of the version, a key is null, or a hospital has several peer groups.
        TableError: a definition does not fit the version; raised before any row is read.

    >>> from drgsim import Rates, generate, group
    >>> tables = TableSet.load("43.1")
    >>> _, admissions = generate(2_000, seed=1, tables=tables)
    >>> table = profile(group(admissions, tables), tables, by="sex", rates=Rates.load(2026))
    >>> table.filter(pl.col("measure") == "cmi").select("sex", "denominator", pl.col("value").round(2)).rows()
    [('F', 1069, 1.91), ('M', 931, 1.85)]
    """
    measures = Measures.load(tables)
    keys = [by] if isinstance(by, str) else [*by]
    _check_keys(grouped, [*keys, *([peers] if peers else [])])
    computed = [measure for measure in measures.measures if measure.is_computed]
    rows = _prepare_columns(grouped, tables, computed, rates, hospital_status)
    rows = rows.with_columns(grouped.select(*keys, *([peers] if peers else [])))
    _check_peers(rows, keys, peers)
    groups = [*keys, *([peers] if peers else [])]
    counts = rows.group_by(groups).agg(_sum_measures(computed))
    table = pl.concat(_select_measure(counts, groups, measure, place) for place, measure in enumerate(computed))
    table = _suppress_small_cells(table, measures.fewest_discharges)
    table = compare_with_peers(
        table,
        ["measure", *([peers] if peers else [])],
        low=measures.low_percentile,
        high=measures.high_percentile,
        fewest=measures.fewest_peers,
        two_sided=pl.col("kind") != _ONE_SIDED,
    )
    return table.sort(*keys, "place").select(*groups, "measure", *NUMBERS)


# ---------------------------------------------------------------------------------------------------------


def _check_keys(grouped: pl.DataFrame, keys: Sequence[str]) -> None:
    for name in keys:
        if name not in grouped.columns:
            raise SchemaError(
                f"admissions lack the column {name!r} to profile by (found {len(grouped.columns)} others)."
            )
        if grouped[name].null_count():
            raise InputError(
                f"{grouped[name].null_count()} admissions have a null {name!r}; a profile needs a value for each."
            )


def _check_peers(rows: pl.DataFrame, keys: list[str], peers: str | None) -> None:
    if peers is not None:
        several = rows.group_by(keys).agg(pl.col(peers).n_unique().alias("n")).filter(pl.col("n") > 1)
        if len(several):
            found = several.sort(keys).select(keys).row(0)
            raise InputError(
                f"{len(several)} hospitals have several values of {peers!r}, such as {found}; expected one."
            )


def _prepare_columns(
    grouped: pl.DataFrame,
    tables: TableSet,
    computed: Sequence[Measure],
    rates: PriceTerms | None,
    hospital_status: str,
) -> pl.DataFrame:
    """Return the columns that conditions read, (n,) rows in order."""
    frame = check_frame(grouped, _INPUT, needs=["los_days"])
    if rates is not None:
        weight = with_weights(grouped, rates)["weight"]
    elif "weight" in grouped.columns:
        weight = grouped["weight"].cast(pl.Float64)
    else:
        raise SchemaError("admissions lack the column weight; give rates, or add it by with_weights(grouped, rates).")
    families = list_families(tables)
    # Ungroupable discharges have no type; their DRG has no formula.
    groupable = frame.filter(pl.col("drg_type") != "NONE")["drg"]
    unknown = groupable.filter(~groupable.is_in(families["drg"].implode()))
    if len(unknown):
        raise InputError(
            f"{len(unknown)} admissions have a DRG that version {tables.version} does not have; "
            "pass the tables they were grouped with."
        )
    conditions = [condition for m in computed for condition in (m.numerator, m.denominator)]
    having = {name_diagnosis_column(c.diagnoses): c.diagnoses for c in conditions if c.diagnoses}
    counts = count_supporting_severity(grouped, tables, hospital_status=hospital_status, having=having)
    level = pl.col("severity").cast(Severity)
    tier = (
        pl.when(pl.col("splits_mcc") & (level == "MCC"))
        .then(pl.lit("MCC"))
        .when(pl.col("splits_cc") & (level != "NONE"))
        .then(pl.lit("CC"))
        .otherwise(pl.lit("NONE"))
    )
    return (
        frame.with_columns(weight=weight)
        .hstack(counts)
        .join(families.drop("base_drg"), on="drg", how="left", maintain_order="left")
        .with_columns(tier=tier)
    )


def _sum_measures(computed: Sequence[Measure]) -> list[pl.Expr]:
    """Return expressions for the numerator and denominator of each measure."""
    found = []
    for measure in computed:
        in_denominator = measure.denominator.holds()
        in_numerator = in_denominator & measure.numerator.holds()
        counted = (
            pl.col("weight").filter(in_denominator).sort().sum() if measure.kind == _CASE_MIX else in_numerator.sum()
        )
        found += [
            counted.cast(pl.Float64).alias(f"{measure.key} numerator"),
            in_denominator.sum().cast(pl.Int64).alias(f"{measure.key} denominator"),
        ]
    return found


def _select_measure(counts: pl.DataFrame, keys: list[str], measure: Measure, place: int) -> pl.DataFrame:
    """Return one measure as rows."""
    return counts.select(
        *keys,
        place=pl.lit(place),
        measure=pl.lit(measure.key),
        kind=pl.lit(measure.kind),
        numerator=pl.col(f"{measure.key} numerator"),
        denominator=pl.col(f"{measure.key} denominator"),
    )


def _suppress_small_cells(table: pl.DataFrame, fewest: int) -> pl.DataFrame:
    """Set cells of too few discharges to null; the numerator of a case mix is no count."""
    few = (pl.col("denominator") < fewest) | ((pl.col("numerator") < fewest) & (pl.col("kind") != _CASE_MIX))
    shown = pl.col("numerator", "denominator")
    return table.with_columns(is_suppressed=few).with_columns(
        pl.when(~pl.col("is_suppressed")).then(shown),
        value=pl.when(~pl.col("is_suppressed")).then(pl.col("numerator") / pl.col("denominator")),
    )
