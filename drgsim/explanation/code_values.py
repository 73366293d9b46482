"""The value of each code: leave out each code in turn, group and price again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from drgsim.exceptions import InputError, SchemaError
from drgsim.files.foreign_frames import accept_frames
from drgsim.grouping.code_attributes import SEVERITIES, Attributes
from drgsim.grouping.grouper import group
from drgsim.grouping.version_rows import split_by_version
from drgsim.numerics.arrays import Int64Array
from drgsim.numerics.parallel import run_over_spans
from drgsim.numerics.segments import expand_stretches, find_owners
from drgsim.pricing.contracts import PriceTerms, has_contracts
from drgsim.pricing.pricer_input import with_weights
from drgsim.rebilling.baseline import Baseline, Rebilled
from drgsim.rebilling.code_changes import ChangeKind, CodeChanges
from drgsim.rebilling.visible_changes import INVISIBLE
from drgsim.schema import ADMISSIONS, Severity, check_frame, normalise_codes
from drgsim.tables.codebook import UNKNOWN_CODE
from drgsim.tables.encoding import Encoded, compute_starts, flatten_lists
from drgsim.tables.table_set import TableSet, versions

CodeKind = pl.Enum(["sdx", "procedure"])
"""The list of an admission that a code is in."""


@accept_frames
def code_value(
    admissions: pl.DataFrame,
    tables: TableSet | None = None,
    hospitals: pl.DataFrame | None = None,
    rates: PriceTerms | None = None,
    *,
    pairs: bool = False,
    marking: bool = False,
    hospital_status: str = "NON_EXEMPT",
) -> pl.DataFrame:
    """Leave out each secondary diagnosis and procedure in turn; group and price without it.

    Args:
        admissions: (n,) rows of `schema.ADMISSIONS`; with hospitals, also the columns that `price` needs.
        tables: the grouper version; None chooses it for each admission by `discharge_date`, and leaves out those on
            whose date none is in force.
        hospitals: (h,) `schema.HOSPITALS`, for dollars.
        rates: for weights, and with hospitals for dollars; as `price` takes them.
        pairs: also leave out both codes of every pair of an admission that grouper or pricer can see. Any other
            pair has a code that they cannot see; without it the result is that of its other code alone.
        marking: add the grouper's own report of the code (see docs/why_this_drg.md); much slower.
        hospital_status: as `group` takes it.

    Returns:
        A row for each code, in order of admissions, secondary diagnoses before procedures; then a row for each
        pair. Columns: `admission_id`; `code`, normalised; `kind`, sdx or procedure; `place` in its list, from
        0; with pairs `with_code`, `with_kind`, `with_place`, null for a code alone; `severity` of the code as
        listed; `drg`, `drg_severity` of the whole admission; `drg_without`; with rates `weight`,
        `weight_without`, `weight_change` [1]; with hospitals `usd`, `usd_without`, `usd_change` [USD]; with
        marking `marked`: NONE, INITIAL, FINAL or BOTH, null for a pair. A change is the effect of leaving out:
        negative where the code brings money. A weight, and so its change, is null where a DRG has none.

    Raises:
        InputError: hospitals without rates, or as `group` and `price`.
        SchemaError, MissingRateError: as `group` and `price`.

    >>> from drgsim import Rates
    >>> one = pl.DataFrame({"admission_id": [1], "age": [54], "sex": ["F"], "discharge_status": [1], "pdx": ["K81.0"],
    ...                     "sdx": [["I10", "J96.01"]], "sdx_poa": [["Y", "Y"]], "procedures": [["0FT44ZZ"]]})
    >>> values = code_value(one, TableSet.load("43.1"), rates=Rates.load(2026))
    >>> values.select("code", "drg", "drg_without").rows()
    [('I10', 417, 417), ('J9601', 417, 419), ('0FT44ZZ', 417, 444)]
    """
    if hospitals is not None and rates is None:
        raise InputError("hospitals without rates price nothing. Pass rates too, such as Rates.load(2026).")
    if tables is None:
        given = {"hospitals": hospitals, "rates": rates, "pairs": pairs, "marking": marking}
        return _value_by_version(admissions, {**given, "hospital_status": hospital_status})
    is_priced = hospitals is not None or has_contracts(rates)
    cases = Baseline.of(
        admissions,
        tables=tables,
        hospitals=hospitals,
        rates=rates if is_priced else None,
        hospital_status=hospital_status,
    )
    each = list_removals(cases.encoded)
    left_out = _select_removals(each, cases, pairs=pairs)
    billed = _rebill(left_out, each, cases)
    values = _describe_removals(cases, each, left_out, billed, pairs=pairs)
    if rates is not None:
        values = _add_weights(values, cases.grouped, each.row[left_out[:, 0]], rates)
    if is_priced:
        values = _add_dollars(values, cases.pricer.cents[each.row[left_out[:, 0]]], billed.cents)
    if marking:
        detailed = group(admissions, tables, hospital_status=hospital_status, detail=True)
        alone = pl.Series(left_out[:, 0] == left_out[:, -1])
        marked = list_impacts(detailed, each).gather(left_out[:, 0])
        values = values.with_columns(marked=pl.when(alone).then(marked))
    return values


@accept_frames
def single_severity(values: pl.DataFrame) -> pl.DataFrame:
    """Return how much money depends on a single CC or MCC, by the severity of the DRG.

    An admission rests on one code if its payment is lower without one secondary diagnosis that is a CC or MCC;
    of several such codes the one with the largest loss counts.

    Args:
        values: of `code_value`, with hospitals; pairs are ignored.

    Returns:
        Two rows, MCC and CC: `drg_severity`, `admissions` of that severity, how many `rest_on_one`, their
        `share` [1], the `usd` that they lose without that code, and `usd_share` [1] of the payments of all
        admissions of that severity. A share of zero admissions is null.

    Raises:
        SchemaError: the values have no dollars.

    >>> values = pl.DataFrame({"admission_id": [1, 1, 2, 2], "kind": ["sdx"] * 4, "usd": [9e3] * 4,
    ...     "severity": ["MCC", "CC", "MCC", "MCC"], "drg_severity": ["MCC"] * 4,
    ...     "usd_change": [-4e3, 0.0, 0.0, 0.0]}, schema_overrides={"drg_severity": Severity})
    >>> single_severity(values).row(0)
    ('MCC', 2, 1, 0.5, 4000.0, 0.2222222222222222)
    """
    single = _select_single_codes(values)
    lost = pl.when(pl.col("kind") == "sdx", pl.col("severity") != "NONE").then(-pl.col("usd_change"))
    by_admission = single.group_by("admission_id").agg(
        pl.col("drg_severity", "usd").first(), usd_lost=lost.max().fill_null(0.0).clip(lower_bound=0.0)
    )
    rests = pl.col("usd_lost") > 0
    found = by_admission.group_by("drg_severity").agg(
        admissions=pl.len(),
        rest_on_one=rests.sum(),
        share=rests.mean(),
        usd_total=pl.col("usd").sum(),
        # Sorted, so that the sum does not depend on the order of groups.
        usd_lost=pl.col("usd_lost").sort().sum(),
    )
    levels = pl.DataFrame({"drg_severity": ["MCC", "CC"]}, schema={"drg_severity": Severity})
    table = levels.join(found, on="drg_severity", how="left", maintain_order="left")
    return table.select(
        "drg_severity",
        pl.col("admissions", "rest_on_one").fill_null(0),
        "share",
        usd=pl.col("usd_lost").fill_null(0.0).round(2),
        usd_share=pl.when(pl.col("usd_total") > 0).then(pl.col("usd_lost") / pl.col("usd_total")),
    )


@accept_frames
def exposed_codes(values: pl.DataFrame) -> pl.DataFrame:
    """Return the codes whose loss costs most, over all admissions: what an audit looks at first.

    Args:
        values: of `code_value`, with hospitals; pairs are ignored.

    Returns:
        A row for each code whose loss lowers a payment, most dollars first: `code`, `kind`, `severity` as listed,
        `admissions` that have it, how many are `decided` by it (paid less without it), the `usd` that these lose
        and the mean of it, `mean_usd` [USD].

    Raises:
        SchemaError: the values have no dollars.

    >>> values = pl.DataFrame({"admission_id": [1, 1, 2], "code": ["J9601", "I10", "J9601"], "kind": ["sdx"] * 3,
    ...     "severity": ["MCC", "NONE", "MCC"], "drg_severity": ["MCC"] * 3, "usd": [9e3] * 3,
    ...     "usd_change": [-4e3, 0.0, 0.0]})
    >>> exposed_codes(values).rows()
    [('J9601', 'sdx', 'MCC', 2, 1, 4000.0, 4000.0)]
    """
    lost = -pl.col("usd_change")
    return (
        _select_single_codes(values)
        .group_by("code", "kind", "severity")
        .agg(
            admissions=pl.col("admission_id").n_unique(),
            decided=pl.col("admission_id").filter(lost > 0).n_unique(),
            usd=lost.filter(lost > 0).sort().sum().round(2),
        )
        .filter(pl.col("decided") > 0)
        .with_columns(mean_usd=(pl.col("usd") / pl.col("decided")).round(2))
        .sort("usd", "code", descending=[True, False])
    )


# ---------------------------------------------------------------------------------------------------------


def _value_by_version(admissions: pl.DataFrame, given: Mapping[str, Any]) -> pl.DataFrame:
    """Return `code_value` of admissions under the versions in force on their dates."""
    numbered = admissions.with_columns(pl.int_range(pl.len(), dtype=pl.UInt64).alias("admission_id"))
    parts = [code_value(numbered[rows], own, **given) for own, rows in split_by_version(numbered, None)]
    if not parts:
        parts = [code_value(numbered.clear(), TableSet.load(versions()[-1]), **given)]
    table = pl.concat(parts)
    is_pair = [pl.col("with_code").is_not_null()] if given["pairs"] else []
    table = table.sort(*is_pair, "admission_id", maintain_order=True)
    ids = check_frame(admissions, ADMISSIONS)["admission_id"]
    return table.with_columns(admission_id=ids.gather(table["admission_id"]))


def list_removals(encoded: Encoded) -> CodeChanges:
    """Return every removal of one code, (m,), in order of admissions.

    Of each admission, the secondary diagnoses are before the procedures.

    >>> from drgsim.tables.encoding import encode
    >>> one = pl.DataFrame({"admission_id": [1], "age": [70], "sex": ["F"], "discharge_status": [1],
    ...                     "pdx": ["K810"], "sdx": [["I10", "J9601"]], "procedures": [["0FT44ZZ"]]})
    >>> each = list_removals(encode(one, TableSet.load("43.1"), hospital_status="EXEMPT"))
    >>> [ChangeKind(kind).name for kind in each.kind], each.place.tolist()
    (['SDX', 'SDX', 'PROCEDURE'], [0, 1, 0])
    """
    start = encoded.sdx_start + encoded.procedure_start
    row = find_owners(start)
    place = np.arange(len(row)) - start[row]
    count = np.diff(encoded.sdx_start)[row]
    is_sdx = place < count
    before = np.empty(len(row), np.int32)
    before[is_sdx], before[~is_sdx] = encoded.sdx, encoded.procedures
    return CodeChanges(
        row=row,
        kind=np.where(is_sdx, ChangeKind.SDX, ChangeKind.PROCEDURE).astype(np.uint8),
        place=np.where(is_sdx, place, place - count).astype(np.int32),
        before=before,
        after=np.zeros(len(row), np.int32),
    )


def _select_removals(each: CodeChanges, cases: Baseline, *, pairs: bool) -> Int64Array:
    """Return what to leave out, (k, w) places in `each`: each code alone, and with pairs two.

    A code that neither grouper nor pricer can see is in no pair. Where w is 2, a code alone is there twice.
    """
    alone = np.arange(len(each))
    if not pairs:
        return alone[:, None]

    def find_visible(start: int, stop: int) -> Int64Array:
        some = each.take(slice(start, stop))
        return start + np.flatnonzero(
            (cases.visibility.classify(some)[0] != INVISIBLE) | cases.pricer.may_change_price(some)
        )

    codes = np.concatenate(run_over_spans(len(each), find_visible))
    row = each.row[codes]
    first = np.arange(1, len(codes) + 1)
    second, which = expand_stretches(first, np.searchsorted(row, row, "right") - first)
    both = np.stack([codes[which], codes[second]], axis=1)
    return np.concatenate([np.stack([alone, alone], axis=1), both])  # a code twice is that code alone


def _rebill(left_out: Int64Array, each: CodeChanges, cases: Baseline) -> Rebilled:
    """Group and price the admissions without the codes left out, a span at a time."""

    def span(start: int, stop: int) -> Rebilled:
        some = left_out[start:stop]
        edits = some != some[:, :1]
        edits[:, 0] = True  # of a code twice, once
        return cases.rebill(each.take(some[edits]), compute_starts(edits.sum(axis=1)))

    return Rebilled.join(run_over_spans(len(left_out), span))


def _describe_removals(
    cases: Baseline, each: CodeChanges, left_out: Int64Array, billed: Rebilled, *, pairs: bool
) -> pl.DataFrame:
    """Return the codes left out, the DRG of the whole admission, and the DRG without them."""
    first, other = left_out[:, 0], left_out[:, -1]
    row = each.row[first]
    codes, level = list_removed_codes(cases.grouped, each, cases.rules), np.zeros(len(each), np.uint8)
    diagnoses, is_sdx = cases.rules.diagnoses, each.kind == ChangeKind.SDX
    level[is_sdx] = diagnoses.scheme_severity[diagnoses.scheme[each.before[is_sdx]]]

    def describe(at: Int64Array, prefix: str = "") -> dict[str, pl.Series]:
        kinds = pl.Series(CodeKind.categories, dtype=CodeKind).gather(np.where(is_sdx[at], 0, 1))
        place = pl.Series(each.place[at].astype(np.uint16))
        return {f"{prefix}code": codes.gather(at), f"{prefix}kind": kinds, f"{prefix}place": place}

    ids = check_frame(cases.grouped, ADMISSIONS)["admission_id"]
    values = pl.DataFrame({"admission_id": ids.gather(row), **describe(first)})
    if pairs:
        is_pair = pl.lit(pl.Series(first != other))
        second_code = pl.DataFrame(describe(other, "with_"))
        values = values.hstack(second_code.select(pl.when(is_pair).then(pl.all())))
    severities = pl.Series(SEVERITIES, dtype=Severity)
    return values.with_columns(
        severities.gather(level[first]).alias("severity"),
        pl.Series("drg", cases.truth.drg[row]),
        severities.gather(cases.truth.severity[row]).alias("drg_severity"),
        pl.Series("drg_without", billed.drg),
    )


def _add_weights(values: pl.DataFrame, admissions: pl.DataFrame, row: Int64Array, rates: PriceTerms) -> pl.DataFrame:
    dates = [admissions[name].gather(row) for name in ("discharge_date", "payer") if name in admissions.columns]
    before, after = (
        with_weights(pl.DataFrame([values[name].alias("drg"), *dates]), rates)["weight"]
        for name in ("drg", "drg_without")
    )
    return values.with_columns(
        before.alias("weight"), after.alias("weight_without"), (after - before).round(4).alias("weight_change")
    )


def _add_dollars(values: pl.DataFrame, cents: Int64Array, without: Int64Array) -> pl.DataFrame:
    return values.with_columns(
        usd=pl.Series(cents / 100), usd_without=pl.Series(without / 100), usd_change=pl.Series((without - cents) / 100)
    )


def list_removed_codes(admissions: pl.DataFrame, each: CodeChanges, rules: Attributes) -> pl.Series:
    """Return the code of each removal, (m,) String, normalised.

    Args:
        admissions: those that were encoded, with `sdx` and `procedures`.
        each: `list_removals` of them.
        rules: a version of the table folder that encoded them.
    """
    frame = check_frame(admissions, ADMISSIONS)
    texts, at, begin = list[pl.Series](), np.empty(len(each), np.int64), 0
    for kind, name, book in (
        (ChangeKind.SDX, "sdx", rules.diagnosis_book),
        (ChangeKind.PROCEDURE, "procedures", rules.procedure_book),
    ):
        where = np.flatnonzero(each.kind == kind)
        index = each.before[where].astype(np.int64) - 1
        unknown = np.flatnonzero(each.before[where] == UNKNOWN_CODE)  # a code of no version keeps its text
        index[unknown] = len(book.codes) + np.arange(len(unknown))
        at[where] = index + begin
        texts += [book.codes, normalise_codes(flatten_lists(frame[name]).gather(unknown))]
        begin += len(book.codes) + len(unknown)
    return pl.concat(texts).gather(at)


def list_impacts(detailed: pl.DataFrame, each: CodeChanges) -> pl.Series:
    """Return the grouper's impact of each removed code, from `group(..., detail=True)`."""
    marks = np.empty(len(each), object)
    for kind, name in ((ChangeKind.SDX, "sdx_impact"), (ChangeKind.PROCEDURE, "proc_impact")):
        marks[each.kind == kind] = detailed[name].explode(empty_as_null=False, keep_nulls=False).to_numpy()
    return pl.Series(marks, dtype=pl.String)


def _select_single_codes(values: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of single codes.

    Raises:
        SchemaError: the values have no dollars.
    """
    if not isinstance(values, pl.DataFrame) or "usd_change" not in values.columns:
        raise SchemaError("values have no dollars. Pass what code_value(admissions, tables, hospitals, rates) returns.")
    return values.filter(pl.col("with_code").is_null()) if "with_code" in values.columns else values
