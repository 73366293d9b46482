"""What each code is worth: every code left out in turn, the admission grouped and priced again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from drgsim.attributes import SEVERITIES, Attributes, attributes
from drgsim.code_pricing import Repricing
from drgsim.encode import Encoded, bordered, encode_span, joined
from drgsim.errors import InputError, SchemaError
from drgsim.grouper import Grouping, answer, grade, group, group_encoded
from drgsim.rates import Rates
from drgsim.runs import Index
from drgsim.schema import Severity
from drgsim.spans import over_spans
from drgsim.stays import with_weights
from drgsim.tables import TableSet
from drgsim.variants import Line, code_texts, unseen, without

CodeKind = pl.Enum(["sdx", "procedure"])
"""Which list of an admission a code stands in."""

_BATCH = 32_768
"""Leave-one-out admissions built and grouped at a time by a thread: they stay in the cache."""


def code_value(
    admissions: pl.DataFrame,
    tables: TableSet,
    hospitals: pl.DataFrame | None = None,
    rates: Rates | Sequence[Rates] | None = None,
    *,
    pairs: bool = False,
    marking: bool = False,
    hospital_status: str = "NON_EXEMPT",
) -> pl.DataFrame:
    """Leave out each secondary diagnosis and each procedure in turn; group and price the admission without it.

    Args:
        admissions: (n,) rows of `schema.ADMISSIONS`; with hospitals, also what `pay` needs.
        tables: the grouper version.
        hospitals: (h,) `schema.HOSPITALS`, for dollars.
        rates: for weights, and with hospitals for dollars; as `pay` takes them.
        pairs: also leave out both of every two codes of an admission that the grouper can see. What is not
            listed has a code that it cannot see, and changes what the other code alone changes.
        marking: add the grouper's own report of the code (see docs/why_this_drg.md); far slower.
        hospital_status: as `group` takes it.

    Returns:
        A row a code, by admission in its order, secondary diagnoses before procedures; after all of these a row
        a pair. Columns: `admission_id`; `code`, normalised; `kind`, sdx or procedure; `place` in its list, from
        0; with pairs `with_code`, `with_kind`, `with_place`, null for a code alone; `severity` of the code as
        listed; `drg`, `drg_severity` of the whole admission; `drg_without`; with rates `weight`,
        `weight_without`, `weight_change` [1]; with hospitals `usd`, `usd_without`, `usd_change` [USD]; with
        marking `marked`: NONE, INITIAL, FINAL or BOTH, null for a pair. A change is what leaving out does:
        negative where the code brings money. A weight, and so its change, is null where a DRG has none.

    Raises:
        InputError: hospitals without rates, or as `group` and `pay`.
        SchemaError, MissingRateError: as `group` and `pay`.

    >>> one = pl.DataFrame({"admission_id": [1], "age": [54], "sex": ["F"], "discharge_status": [1], "pdx": ["K81.0"],
    ...                     "sdx": [["I10", "J96.01"]], "sdx_poa": [["Y", "Y"]], "procedures": [["0FT44ZZ"]]})
    >>> values = code_value(one, TableSet.load("43.1"), rates=Rates.load(2026))
    >>> values.select("code", "drg", "drg_without").rows()
    [('I10', 417, 417), ('J9601', 417, 419), ('0FT44ZZ', 417, 444)]
    """
    if hospitals is not None and rates is None:
        raise InputError("hospitals without rates price nothing. Pass rates too, such as Rates.load(2026).")
    if not isinstance(tables, TableSet):
        raise InputError(f"tables is {tables!r}, expected a TableSet such as TableSet.load('43.1').")
    frame = bordered(admissions, hospital_status)
    encoded = joined(over_spans(len(frame), lambda start, stop: encode_span(frame[start:stop], tables)))
    rules, line = attributes(tables), Line.of(encoded)
    truth = group_encoded(encoded, tables)
    dropped, seen = _dropped(encoded, line, rules, pairs=pairs)
    drg = _left_out(encoded, line, rules, dropped, seen, truth.drg)
    codes = code_texts(frame, encoded, line, rules)
    values = _described(frame, encoded, line, codes, dropped, truth, rules, pairs=pairs)
    values = values.with_columns(pl.Series("drg_without", drg))
    row = line.row[dropped[:, 0]]
    if rates is not None:
        values = _weighed(values, admissions, row, rates)
    if rates is not None and hospitals is not None:
        pricing = Repricing.of(admissions, codes, line, hospitals, rates)
        values = _priced(values, pricing, row, dropped, truth.drg, drg)
    if marking:
        detailed = group(admissions, tables, hospital_status=hospital_status, detail=True)
        marked = code_marks(detailed, line)
        alone = dropped[:, 0] == dropped[:, -1]
        values = values.with_columns(marked=pl.when(pl.Series(alone)).then(marked.gather(dropped[:, 0])))
    return values


def fragility(values: pl.DataFrame) -> pl.DataFrame:
    """Return how much money rests on a single CC or MCC, by the severity of the DRG.

    An admission rests on a single code if leaving out one secondary diagnosis that is a CC or MCC, and nothing
    else, lowers its payment; of several such codes the dearest counts.

    Args:
        values: of `code_value`, with hospitals; pairs are left aside.

    Returns:
        Two rows, MCC and CC: `drg_severity`, `admissions` of that severity, how many `rest_on_one`, their
        `share` [1], and the `usd` that leave with the code, with their `usd_share` of what these admissions are
        paid [1]. A share of none is null.

    Raises:
        SchemaError: the values have no dollars.

    >>> values = pl.DataFrame({"admission_id": [1, 1, 2, 2], "kind": ["sdx"] * 4, "usd": [9e3] * 4,
    ...     "severity": ["MCC", "CC", "MCC", "MCC"], "drg_severity": ["MCC"] * 4,
    ...     "usd_change": [-4e3, 0.0, 0.0, 0.0]}, schema_overrides={"drg_severity": Severity})
    >>> fragility(values).row(0)
    ('MCC', 2, 1, 0.5, 4000.0, 0.2222222222222222)
    """
    single = _singles(values)
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
        # Summed in one order, so that the cents never depend on how groups were made.
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


def exposed_codes(values: pl.DataFrame) -> pl.DataFrame:
    """Return the codes an audit would look at first: those whose loss costs most, over all admissions.

    Args:
        values: of `code_value`, with hospitals; pairs are left aside.

    Returns:
        A row a code whose loss lowers a payment, most dollars first: `code`, `kind`, `severity` as listed,
        `admissions` that have it, how many `decided` by it (paid less without it), the `usd` these would lose
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
        _singles(values)
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


def _dropped(encoded: Encoded, line: Line, rules: Attributes, *, pairs: bool) -> tuple[Index, Index]:
    """Return what is left out, (k, w) places in the line, and which of these rows the grouper can see."""
    hidden = unseen(encoded, line, rules)
    alone = np.arange(len(hidden))
    seen = np.flatnonzero(~hidden)
    if not pairs:
        return alone[:, None], seen
    both = line.pairs(seen)
    dropped = np.concatenate([np.stack([alone, alone], axis=1), both])  # a code twice is that code alone
    return dropped, np.concatenate([seen, len(alone) + np.arange(len(both))])


def _left_out(
    encoded: Encoded, line: Line, rules: Attributes, dropped: Index, seen: Index, drg: NDArray[np.uint16]
) -> NDArray[np.uint16]:
    """Return the DRG of each admission without what is dropped; only what the grouper can see is grouped."""

    def drgs(start: int, stop: int) -> list[NDArray[np.uint16]]:
        batches = (dropped[seen[at : min(at + _BATCH, stop)]] for at in range(start, stop, _BATCH))
        return [answer(grade(without(encoded, line, batch), rules)).drg for batch in batches]

    found = drg[line.row[dropped[:, 0]]]
    found[seen] = np.concatenate([found[:0], *(part for parts in over_spans(len(seen), drgs) for part in parts)])
    return found


def _described(
    frame: pl.DataFrame,
    encoded: Encoded,
    line: Line,
    codes: pl.Series,
    dropped: Index,
    truth: Grouping,
    rules: Attributes,
    *,
    pairs: bool,
) -> pl.DataFrame:
    """Return what is left out, and what the whole admission is grouped to."""
    first, other = dropped[:, 0], dropped[:, -1]
    row = line.row[first]
    level = np.zeros(len(line.row), np.uint8)
    level[line.sdx_at] = rules.diagnoses.scheme_severity[rules.diagnoses.scheme[encoded.sdx]]

    def described(at: Index, prefix: str = "") -> dict[str, pl.Series]:
        kinds = pl.Series(CodeKind.categories, dtype=CodeKind).gather(np.where(line.is_sdx[at], 0, 1))
        place = pl.Series(line.place[at].astype(np.uint16))
        return {f"{prefix}code": codes.gather(at), f"{prefix}kind": kinds, f"{prefix}place": place}

    values = pl.DataFrame({"admission_id": frame["admission_id"].gather(row), **described(first)})
    if pairs:
        is_pair = pl.lit(pl.Series(first != other))
        beside = pl.DataFrame(described(other, "with_"))
        values = values.hstack(beside.select(pl.when(is_pair).then(pl.all())))
    severities = pl.Series(SEVERITIES, dtype=Severity)
    return values.with_columns(
        severities.gather(level[first]).alias("severity"),
        pl.Series("drg", truth.drg[row]),
        severities.gather(truth.severity[row]).alias("drg_severity"),
    )


def _weighed(
    values: pl.DataFrame, admissions: pl.DataFrame, row: Index, rates: Rates | Sequence[Rates]
) -> pl.DataFrame:
    dates = [admissions["discharge_date"].gather(row)] if "discharge_date" in admissions.columns else []
    before, after = (
        with_weights(pl.DataFrame([values[name].alias("drg"), *dates]), rates)["weight"]
        for name in ("drg", "drg_without")
    )
    return values.with_columns(
        before.alias("weight"), after.alias("weight_without"), (after - before).round(4).alias("weight_change")
    )


def _priced(
    values: pl.DataFrame,
    pricing: Repricing,
    row: Index,
    dropped: Index,
    drg: NDArray[np.uint16],
    drg_without: NDArray[np.uint16],
) -> pl.DataFrame:
    """Price each admission whole, and again where another DRG or a code that the pricer reads is gone."""
    usd = pricing.usd(np.arange(len(drg)), drg)[row]
    again = np.flatnonzero((drg_without != drg[row]) | pricing.reads[dropped].any(axis=1))
    less = usd.copy()
    less[again] = pricing.usd(row[again], drg_without[again], dropped[again])
    return values.with_columns(
        pl.Series("usd", usd), pl.Series("usd_without", less), pl.Series("usd_change", np.round(less - usd, 2))
    )


def code_marks(detailed: pl.DataFrame, line: Line) -> pl.Series:
    """Return the grouper's mark of each code in the line's order, from `group(..., detail=True)`."""
    marks = np.empty(len(line.row), object)
    for name, at in (("sdx_impact", line.sdx_at), ("proc_impact", line.procedure_at)):
        marks[at] = detailed[name].explode(empty_as_null=False, keep_nulls=False).to_numpy()
    return pl.Series(marks, dtype=pl.String)


def _singles(values: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of codes alone.

    Raises:
        SchemaError: the values have no dollars.
    """
    if not isinstance(values, pl.DataFrame) or "usd_change" not in values.columns:
        raise SchemaError("values have no dollars. Pass what code_value(admissions, tables, hospitals, rates) returns.")
    return values.filter(pl.col("with_code").is_null()) if "with_code" in values.columns else values
