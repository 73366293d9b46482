"""MS-DRG grouping of admissions in bulk: `group()` reads as the Definitions Manual, a step a line."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import polars as pl
from numpy.typing import NDArray

from drgsim.exceptions import InputError, SchemaError, UnknownVersionError
from drgsim.grouping.code_attributes import Attributes, compile_attributes
from drgsim.grouping.code_reports import Steps, report_codes
from drgsim.grouping.encoding import Encoded, check_admissions, encode_span, flatten_lists
from drgsim.grouping.hac import HacResult, assess_hacs
from drgsim.grouping.mdc_search import UNGROUPABLE_MDC, Decision, search_mdcs
from drgsim.grouping.operand_bits import Observed, observe
from drgsim.numerics.arrays import Int64Array, UInt64Array
from drgsim.numerics.parallel import run_over_spans
from drgsim.numerics.segments import expand_stretches, or_into
from drgsim.schema import TEXTS, DrgType, ReturnCode, Severity, normalise_codes
from drgsim.tables.table_set import TableSet, version_for, versions

_OK = 0


@dataclass(frozen=True, eq=False)
class Grouping:
    """The grouper's answer for encoded admissions, (n,) arrays named and typed as `schema.GROUPED`.

    `drg_type`, `severity` and `return_code` are places in the categories of their Enum.
    """

    drg: NDArray[np.uint16]
    mdc: NDArray[np.uint8]
    base_drg: NDArray[np.uint16]
    drg_type: NDArray[np.uint8]
    severity: NDArray[np.uint8]
    initial_drg: NDArray[np.uint16]
    initial_mdc: NDArray[np.uint8]
    hac_count: NDArray[np.uint8]
    return_code: NDArray[np.uint8]

    @classmethod
    def without_version(cls, n: int) -> Grouping:
        """Return the answer for n admissions that no grouper version covers."""
        book = compile_attributes(TableSet.load(versions()[-1])).rulebook
        code = ReturnCode.categories.to_list().index("NO_GROUPER_VERSION")
        none, drg = np.zeros(n, np.uint8), np.full(n, book.ungroupable, np.uint16)
        no_type, reason = np.full(n, book.drg_type[-1]), np.full(n, code, np.uint8)
        return cls(drg, none, drg, no_type, none, drg, none, none, reason)

    def frame(self) -> pl.DataFrame:
        """Return the answer as the columns of `schema.GROUPED`."""
        names = {"drg_type": DrgType, "severity": Severity, "return_code": ReturnCode}
        columns = []
        for column in fields(self):
            values = pl.Series(column.name, getattr(self, column.name))
            if column.name in names:
                categories = pl.Series(column.name, names[column.name].categories, dtype=names[column.name])
                values = categories.gather(values)
            columns.append(values)
        return pl.DataFrame(columns)


def group(
    admissions: pl.DataFrame,
    tables: TableSet | None = None,
    *,
    version: str | None = None,
    hospital_status: str = "NON_EXEMPT",
    detail: bool = False,
) -> pl.DataFrame:
    """Group admissions to MS-DRGs exactly as CMS's grouper does.

    Args:
        admissions: (n,) rows of `schema.ADMISSIONS`; other columns pass through, rows keep their order.
        tables: the grouper version for all rows; or leave it out and say by `version`.
        version: a version such as "43.1", or the name of a column that holds versions or dates of discharge;
            by default the column `discharge_date`, so that one frame may span fiscal years.
        hospital_status: POA reporting, NON_EXEMPT, EXEMPT or UNKNOWN, or the name of a column of these.
        detail: add CMS's per-code reports (`schema.DETAIL`), lists aligned with the input.

    Returns:
        The input with the columns of `schema.GROUPED`; columns of these names are replaced. An ungroupable
        admission has DRG 999 and its reason in `return_code`; one with no version in force has
        NO_GROUPER_VERSION.

    Raises:
        SchemaError: a column is missing or of the wrong type; the message says which.
        InputError: `tables` is no TableSet, is given beside `version`, or `hospital_status` is not known.
        UnknownVersionError: there are no tables for a version that is named.

    Source: CMS MS-DRG Definitions Manual; the order of steps is that of the grouper software.

    >>> one = pl.DataFrame({"admission_id": [1], "age": [54], "sex": ["F"], "discharge_status": [1],
    ...                     "pdx": ["K81.0"], "sdx": [["I10"]], "sdx_poa": [["Y"]], "procedures": [["0FT44ZZ"]]})
    >>> group(one, version="43.1").select("drg", "mdc", "drg_type", "severity", "return_code").row(0)
    (419, 7, 'SURGICAL', 'NONE', 'OK')
    """
    if tables is not None and version is not None:
        raise InputError("give either tables or version, not both.")
    if tables is not None and not isinstance(tables, TableSet):
        raise InputError(f"tables is {tables!r}, expected a TableSet; to name a version, pass version={tables!r}.")
    frame = check_admissions(admissions, hospital_status)
    version = None if version is None else str(version)
    if tables is not None or version in versions():
        return admissions.with_columns(_grouped(frame, tables or TableSet.load(str(version)), detail=detail))
    return admissions.with_columns(_grouped_by_version(admissions, frame, version or "discharge_date", detail=detail))


def _grouped(frame: pl.DataFrame, tables: TableSet, *, detail: bool) -> pl.DataFrame:
    """Group rows that have crossed the border."""
    rules = compile_attributes(tables)
    if not detail:
        return _joined(
            run_over_spans(len(frame), lambda a, b: grouping_of(run_steps(encode_span(frame[a:b], tables), rules)))
        ).frame()

    def graded(start: int, stop: int) -> pl.DataFrame:
        rows = frame[start:stop]
        span = run_steps(encode_span(rows, tables), rules)
        sdx, procedures = (normalise_codes(flatten_lists(rows[name])).to_list() for name in ("sdx", "procedures"))
        return grouping_of(span).frame().hstack(report_codes(span, sdx, procedures))

    return pl.concat(run_over_spans(len(frame), graded))


def _grouped_by_version(admissions: pl.DataFrame, frame: pl.DataFrame, column: str, *, detail: bool) -> pl.DataFrame:
    """Group each row under the version its column names, or that was in force on its date."""
    if column not in admissions.columns:
        known = ", ".join(versions())
        raise UnknownVersionError(
            f"{column!r} is neither a grouper version ({known}) nor a column of the admissions. Pass tables, "
            'version="43.1", the name of a column of versions, or add the column discharge_date.'
        )
    named = find_versions(admissions[column])
    present = [version for version in versions() if (named == version).any()]
    parts, places = [], []
    for version in present or [versions()[-1]]:
        place = (named == version).fill_null(value=False).to_numpy().nonzero()[0]
        parts.append(_grouped(frame[place], TableSet.load(version), detail=detail))
        places.append(place)
    place = named.is_null().to_numpy().nonzero()[0]
    parts.append(Grouping.without_version(len(place)).frame())
    order = np.argsort(np.concatenate([*places, place]))
    return pl.concat(parts, how="diagonal")[order]


def find_versions(column: pl.Series) -> pl.Series:
    """Return the grouper version of each row, from names or dates of discharge; null where none is in force."""
    if not (column.dtype in (pl.Date, pl.Null) or isinstance(column.dtype, TEXTS)):
        raise SchemaError(f"column {column.name!r} is {column.dtype}, expected dates (Date) or versions (String).")
    distinct = column.unique().drop_nulls()
    if column.dtype == pl.Date:
        named = [_in_force(day) for day in distinct]
    else:
        strange = ~column.cast(pl.String).is_in(versions()).fill_null(value=True)
        if strange.any():
            raise UnknownVersionError(
                f"column {column.name!r}, row {strange.arg_max()}: no grouper version ({int(strange.sum()):,} such "
                f"rows). Known: {', '.join(versions())}."
            )
        named = [str(name) for name in distinct]
    return column.replace_strict(distinct, pl.Series(named, dtype=pl.String), default=None, return_dtype=pl.String)


def _in_force(day: dt.date) -> str | None:
    try:
        return version_for(day)
    except UnknownVersionError:
        return None


def group_encoded(encoded: Encoded, tables: TableSet) -> Grouping:
    """Group encoded admissions; the same answer as `group`, without strings.

    >>> one = pl.DataFrame({"admission_id": [1], "age": [70], "sex": ["F"], "discharge_status": [1],
    ...                     "pdx": ["K810"], "sdx": [[]], "procedures": [["0FT44ZZ"]]})
    >>> from drgsim.grouping.encoding import encode
    >>> tables = TableSet.load("43.1")
    >>> group_encoded(encode(one, tables, hospital_status="EXEMPT"), tables).drg
    array([419], dtype=uint16)
    """
    rules = compile_attributes(tables)
    return _joined(
        run_over_spans(len(encoded), lambda start, stop: grouping_of(run_steps(encoded.rows(start, stop), rules)))
    )


def _joined(parts: Sequence[Grouping]) -> Grouping:
    names = [column.name for column in fields(Grouping)]
    return Grouping(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


def run_steps(encoded: Encoded, rules: Attributes) -> Steps:
    """Group encoded admissions, keeping what every step decided: the rulebook's steps, in its order."""
    observed = observe(encoded, rules)
    initial = search_mdcs(observed, encoded, rules, observed.severity)
    hac = assess_hacs(observed, encoded, rules, rules.rulebook.return_code[initial.row] == _OK)
    final = regroup_without_hacs(hac, initial, observed, encoded, rules)
    return Steps(encoded, observed, rules, initial, final, hac)


def rerun_steps(
    severity: UInt64Array, rows: Int64Array, observed: Observed, encoded: Encoded, rules: Attributes
) -> Grouping:
    """Group admissions again with another severity and everything else as observed.

    Args:
        severity: (k,) severity words, in place of what was observed.
        rows: (k,) the admissions, which may repeat; none with a hospital-acquired condition to assess.
        observed, encoded, rules: all admissions and the version.
    """
    found = search_mdcs(observed, encoded, rules, severity, rows)
    none, code = np.zeros(0, np.int64), np.zeros(len(rows), np.uint8)
    return grouping_of(Steps(encoded, observed, rules, found, found, HacResult(none, code, code, none, none, code[:0])))


def regroup_without_hacs(
    hac: HacResult, initial: Decision, observed: Observed, encoded: Encoded, rules: Attributes
) -> Decision:
    """Group again without the severity of hospital-acquired conditions; the rest keeps its initial answer."""
    row, mdc, level = initial.row.copy(), initial.mdc.copy(), initial.severity.copy()
    word = initial.severity_word
    again = np.flatnonzero((hac.count > 0) & (hac.return_code == _OK))
    if len(again):
        begin, end = (np.searchsorted(observed.severe_row, again.astype(np.int32), side) for side in ("left", "right"))
        severe, at = expand_stretches(begin, end - begin)
        is_met = np.zeros(len(encoded.sdx), np.bool_)
        is_met[hac.met] = True
        kept = ~is_met[observed.severe[severe]]
        severity = np.zeros(len(again), np.uint64)
        or_into(severity, at[kept], observed.severe_bits[severe[kept]])
        dead = rules.died[encoded.status_place[again]]
        severity[dead] &= ~rules.diagnoses.death_excluded
        same = (severity == word[again]) | (severity & rules.diagnoses.lasting_mcc > 0)
        again, severity = again[~same], severity[~same]
        found = search_mdcs(observed, encoded, rules, severity, again)
        row[again], mdc[again], level[again] = found.row, found.mdc, found.severity
        word = word.copy()
        word[again] = severity
    return Decision(row, mdc, level, word)


def grouping_of(span: Steps) -> Grouping:
    """Return what the grouper reports of each admission."""
    book, initial, final = span.rules.rulebook, span.initial, span.final
    first_code, code = book.return_code[initial.row], book.return_code[final.row]
    code = np.where(span.hac.return_code != _OK, span.hac.return_code, code)
    failed = code != _OK
    drg = np.where(failed, book.ungroupable, book.drg[final.row])
    drg_type = np.where(failed, book.drg_type[-1], book.drg_type[final.row])
    nothing = Severity.categories.to_list().index("NONE")
    return Grouping(
        drg=drg.astype(np.uint16),
        mdc=np.where(failed, UNGROUPABLE_MDC, final.mdc).astype(np.uint8),
        base_drg=np.where(failed, book.ungroupable, book.base_drg[final.row]).astype(np.uint16),
        drg_type=drg_type.astype(np.uint8),
        severity=np.where(drg_type == book.drg_type[-1], nothing, final.severity).astype(np.uint8),
        initial_drg=np.where(first_code != _OK, book.ungroupable, book.drg[initial.row]).astype(np.uint16),
        initial_mdc=initial.mdc,
        hac_count=span.hac.count,
        return_code=code.astype(np.uint8),
    )
