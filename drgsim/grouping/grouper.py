"""MS-DRG grouping in bulk: `group`, and the Definitions Manual step by step in `run_steps`."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import polars as pl
from numpy.typing import NDArray

from drgsim.exceptions import InputError, SchemaError, UnknownVersionError
from drgsim.files.foreign_frames import accept_frames
from drgsim.grouping.code_attributes import Attributes, compile_attributes
from drgsim.grouping.code_reports import report_codes
from drgsim.grouping.grouping_steps import RETURN_CODE_OK, Steps
from drgsim.grouping.hac import HacResult, assess_hacs
from drgsim.grouping.mdc_search import UNGROUPABLE_MDC, Decision, search_mdcs
from drgsim.grouping.operand_bits import Observed, observe
from drgsim.grouping.unknown_codes import CodeCounter
from drgsim.numerics.arrays import Int64Array, UInt64Array
from drgsim.numerics.parallel import run_over_spans
from drgsim.numerics.segments import expand_stretches, or_into
from drgsim.schema import TEXTS, DrgType, ReturnCode, Severity, normalise_codes
from drgsim.tables.encoding import Encoded, check_admissions, encode_span, flatten_lists
from drgsim.tables.table_set import TableSet, version_for, versions


@dataclass(frozen=True, eq=False)
class Grouping:
    """The grouper's answer for encoded admissions, (n,) arrays named as in `schema.GROUPED`.

    `drg_type`, `severity` and `return_code` are places in the categories of their Enum.

    >>> from drgsim.tables.encoding import encode
    >>> tables = TableSet.load("43.1")
    >>> claim = {"admission_id": [1], "age": [54], "sex": ["F"], "discharge_status": [1], "pdx": ["K81.0"],
    ...          "sdx": [["J96.01"]], "sdx_poa": [["Y"]], "procedures": [["0FT44ZZ"]]}
    >>> group_encoded(encode(pl.DataFrame(claim), tables), tables).drg.tolist()
    [417]
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
        """Return the answer for n admissions on whose dates no grouper version is in force."""
        book = compile_attributes(TableSet.load(versions()[-1])).rulebook
        drg, zero = np.full(n, book.ungroupable, np.uint16), np.zeros(n, np.uint8)
        return cls(
            drg=drg,
            mdc=zero,
            base_drg=drg,
            drg_type=np.full(n, book.drg_type[-1]),
            severity=zero,
            initial_drg=drg,
            initial_mdc=zero,
            hac_count=zero,
            return_code=np.full(n, ReturnCode.categories.to_list().index("NO_GROUPER_VERSION"), np.uint8),
        )

    @classmethod
    def join(cls, parts: Sequence[Grouping]) -> Grouping:
        """Return the answers for several parts of the admissions as one."""
        names = [column.name for column in fields(cls)]
        return cls(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})

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


@accept_frames
def group(
    admissions: pl.DataFrame,
    tables: TableSet | None = None,
    *,
    version: str | None = None,
    hospital_status: str = "NON_EXEMPT",
    detail: bool = False,
) -> pl.DataFrame:
    """Group admissions to MS-DRGs as CMS's grouper does.

    Args:
        admissions: (n,) rows of `schema.ADMISSIONS`; other columns pass through, rows keep their order.
        tables: the grouper version for all rows, instead of `version`.
        version: a version such as "43.1", or the name of a column of versions or of discharge dates; by default
            the column `discharge_date`, so that one frame may span fiscal years.
        hospital_status: POA reporting, NON_EXEMPT, EXEMPT or UNKNOWN, or the name of a column of these.
        detail: add CMS's per-code reports (`schema.DETAIL`), with lists aligned with the input.

    Returns:
        The input with the columns of `schema.GROUPED`, which replace columns of these names. An ungroupable
        admission has DRG 999 and the reason in `return_code`; if no version is in force on its date, the reason
        is NO_GROUPER_VERSION.

    Raises:
        SchemaError: a column is missing or of the wrong type; the message says which.
        InputError: `tables` is no TableSet, is given together with `version`, or `hospital_status` is not known.
        UnknownVersionError: no tables exist for a version.

    Source: CMS MS-DRG Definitions Manual; the order of steps is that of the grouper software.

    >>> one = pl.DataFrame({"admission_id": [1], "age": [54], "sex": ["F"], "discharge_status": [1],
    ...                     "pdx": ["K81.0"], "sdx": [["I10"]], "sdx_poa": [["Y"]], "procedures": [["0FT44ZZ"]]})
    >>> group(one, version="43.1").select("drg", "mdc", "drg_type", "severity", "return_code").row(0)
    (419, 7, 'SURGICAL', 'NONE', 'OK')
    """
    return _group_admissions(admissions, tables, version, hospital_status, detail=detail, counter=None)


@accept_frames
def count_unknown_codes(
    admissions: pl.DataFrame,
    tables: TableSet | None = None,
    *,
    version: str | None = None,
    hospital_status: str = "EXEMPT",
) -> pl.DataFrame:
    """Count the codes that are none of the version that groups them, by what they look like.

    Arguments and errors are those of `group`. To have both, call `group_and_count_codes`.

    Returns:
        `field` (pdx, sdx, procedures), `looks_like` (`ICD-9`, `code of another version`, …), `count` and `codes`, the
        number of all codes of the field. A field whose codes are all known has no row.

    >>> one = pl.DataFrame({"admission_id": [1], "age": [54], "sex": ["F"], "discharge_status": [1],
    ...                     "pdx": ["K81.0"], "sdx": [["401.9", "I10"]], "procedures": [["0FT44ZZ"]]})
    >>> count_unknown_codes(one, version="43.1").rows()
    [('sdx', 'ICD-9', 1, 2)]
    """
    return group_and_count_codes(admissions, tables, version=version, hospital_status=hospital_status)[1]


@accept_frames
def group_and_count_codes(
    admissions: pl.DataFrame,
    tables: TableSet | None = None,
    *,
    version: str | None = None,
    hospital_status: str = "NON_EXEMPT",
    detail: bool = False,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Group admissions, and count the codes that are none of the version that groups them.

    Arguments and errors are those of `group`.

    Returns:
        The frame of `group`, and that of `count_unknown_codes`.

    >>> one = pl.DataFrame({"admission_id": [1], "age": [54], "sex": ["F"], "discharge_status": [1],
    ...                     "pdx": ["K81.0"], "sdx": [["J9601X"]], "procedures": [["0FT44ZZ"]]})
    >>> grouped, unknown = group_and_count_codes(one, version="43.1", hospital_status="EXEMPT")
    >>> grouped["drg"].to_list(), unknown.rows()
    ([419], [('sdx', 'code with characters added', 1, 1)])
    """
    counter = CodeCounter()
    grouped = _group_admissions(admissions, tables, version, hospital_status, detail=detail, counter=counter)
    return grouped, counter.table(tables or TableSet.load(versions()[-1]))


def _group_admissions(
    admissions: pl.DataFrame,
    tables: TableSet | None,
    version: str | None,
    hospital_status: str,
    *,
    detail: bool,
    counter: CodeCounter | None,
) -> pl.DataFrame:
    """Return what `group` does, and let the counter count codes."""
    if tables is not None and version is not None:
        raise InputError("give either tables or version, not both.")
    if tables is not None and not isinstance(tables, TableSet):
        raise InputError(f"tables is {tables!r}, expected a TableSet; to name a version, pass version={tables!r}.")
    frame = check_admissions(admissions, hospital_status)
    if tables is None and str(version) in versions():
        tables = TableSet.load(str(version))
    if tables is not None:
        return admissions.with_columns(_group_frame(frame, tables, counter, detail=detail))
    column = "discharge_date" if version is None else str(version)
    return admissions.with_columns(_group_by_version(admissions, frame, column, counter, detail=detail))


def group_encoded(encoded: Encoded, tables: TableSet) -> Grouping:
    """Group encoded admissions: the answer of `group`, from integers instead of texts.

    Args:
        encoded: (n,) admissions, as `encode` returns them.
        tables: the grouper version, of the table folder that encoded them.

    >>> one = pl.DataFrame({"admission_id": [1], "age": [70], "sex": ["F"], "discharge_status": [1],
    ...                     "pdx": ["K810"], "sdx": [[]], "procedures": [["0FT44ZZ"]]})
    >>> from drgsim.grouping import encode
    >>> tables = TableSet.load("43.1")
    >>> group_encoded(encode(one, tables, hospital_status="EXEMPT"), tables).drg
    array([419], dtype=uint16)
    """
    rules = compile_attributes(tables)
    return Grouping.join(
        run_over_spans(len(encoded), lambda start, stop: grouping_of(run_steps(encoded.rows(start, stop), rules)))
    )


def run_steps(encoded: Encoded, rules: Attributes) -> Steps:
    """Group encoded admissions step by step, as the Definitions Manual does; return every step.

    Args:
        encoded: the admissions.
        rules: the grouper version.
    """
    # What the formulas see: MDC of the PDX, CC exclusions (Appendix C), severity, procedure clusters.
    observed = observe(encoded, rules)
    # Initial DRG: the pre-MDC, then the MDC of the PDX, then reroutes; the first formula that is true decides.
    initial = search_mdcs(observed, encoded, rules, observed.severity_bits)
    # Hospital-acquired conditions (Appendix I), by formula and POA, for admissions that have an initial DRG.
    hac = assess_hacs(observed, encoded, rules, rules.rulebook.return_code[initial.row] == RETURN_CODE_OK)
    # Final DRG: the same search without the severity of hospital-acquired conditions.
    final = regroup_without_hacs(hac, initial, observed, encoded, rules)
    return Steps(encoded, observed, rules, initial, final, hac)


def regroup_without_hacs(
    hac: HacResult, initial: Decision, observed: Observed, encoded: Encoded, rules: Attributes
) -> Decision:
    """Group again where hospital-acquired conditions are met, without their severity.

    All other admissions keep their initial answer.
    """
    row, mdc, level, bits = initial.row.copy(), initial.mdc.copy(), initial.severity.copy(), initial.severity_bits
    again = np.flatnonzero((hac.count > 0) & (hac.return_code == RETURN_CODE_OK))
    if len(again):
        begin, end = (np.searchsorted(observed.severe_row, again.astype(np.int32), side) for side in ("left", "right"))
        severe, at = expand_stretches(begin, end - begin)
        is_met = np.zeros(len(encoded.sdx), np.bool_)
        is_met[hac.met] = True
        counting = ~is_met[observed.severe[severe]]
        severity = np.zeros(len(again), np.uint64)
        or_into(severity, at[counting], observed.severe_bits[severe[counting]])
        dead = rules.died[encoded.status_place[again]]
        severity[dead] &= ~rules.diagnoses.death_excluded
        # The DRG is the same with the same severity, or with an MCC that no formula row suppresses.
        same = (severity == bits[again]) | (severity & rules.diagnoses.unsuppressible_mcc > 0)
        again, severity = again[~same], severity[~same]
        found = search_mdcs(observed, encoded, rules, severity, again)
        row[again], mdc[again], level[again] = found.row, found.mdc, found.severity
        bits = bits.copy()
        bits[again] = severity
    return Decision(row, mdc, level, bits)


def grouping_of(steps: Steps) -> Grouping:
    """Return what the grouper reports of each admission."""
    book, initial, final = steps.rules.rulebook, steps.initial, steps.final
    initial_code, code = book.return_code[initial.row], book.return_code[final.row]
    code = np.where(steps.hac.return_code != RETURN_CODE_OK, steps.hac.return_code, code)
    failed = code != RETURN_CODE_OK
    drg = np.where(failed, book.ungroupable, book.drg[final.row])
    drg_type = np.where(failed, book.drg_type[-1], book.drg_type[final.row])
    nothing = Severity.categories.to_list().index("NONE")
    return Grouping(
        drg=drg.astype(np.uint16),
        mdc=np.where(failed, UNGROUPABLE_MDC, final.mdc).astype(np.uint8),
        base_drg=np.where(failed, book.ungroupable, book.base_drg[final.row]).astype(np.uint16),
        drg_type=drg_type.astype(np.uint8),
        severity=np.where(drg_type == book.drg_type[-1], nothing, final.severity).astype(np.uint8),
        initial_drg=np.where(initial_code != RETURN_CODE_OK, book.ungroupable, book.drg[initial.row]).astype(np.uint16),
        initial_mdc=initial.mdc,
        hac_count=steps.hac.count,
        return_code=code.astype(np.uint8),
    )


def rerun_steps(
    severity: UInt64Array, rows: Int64Array, observed: Observed, encoded: Encoded, rules: Attributes
) -> Grouping:
    """Group admissions again with another severity; all else is as observed.

    Args:
        severity: (k,) severity bits, in place of those observed.
        rows: (k,) the admissions, which may repeat; none has a hospital-acquired condition to assess.
        observed, encoded, rules: all admissions and the version.
    """
    found = search_mdcs(observed, encoded, rules, severity, rows)
    nothing, zero = np.zeros(0, np.int64), np.zeros(len(rows), np.uint8)
    no_hac = HacResult(nothing, zero, zero, nothing, nothing, zero[:0])
    return grouping_of(Steps(encoded, observed, rules, found, found, no_hac))


# ------------------------------------------------------------------------------------------- rows and versions


def _group_frame(frame: pl.DataFrame, tables: TableSet, counter: CodeCounter | None, *, detail: bool) -> pl.DataFrame:
    """Group checked rows under one version."""
    rules = compile_attributes(tables)

    def run_span(rows: pl.DataFrame) -> Steps:
        steps = run_steps(encode_span(rows, tables), rules)
        if counter is not None:
            counter.count(steps, rows)
        return steps

    def group_span(start: int, stop: int) -> Grouping:
        return grouping_of(run_span(frame[start:stop]))

    def report_span(start: int, stop: int) -> pl.DataFrame:
        rows = frame[start:stop]
        steps = run_span(rows)
        sdx, procedures = (normalise_codes(flatten_lists(rows[name])).to_list() for name in ("sdx", "procedures"))
        return grouping_of(steps).frame().hstack(report_codes(steps, sdx, procedures))

    if detail:
        return pl.concat(run_over_spans(len(frame), report_span))
    return Grouping.join(run_over_spans(len(frame), group_span)).frame()


def _group_by_version(
    admissions: pl.DataFrame, frame: pl.DataFrame, column: str, counter: CodeCounter | None, *, detail: bool
) -> pl.DataFrame:
    """Group each row under the version that a column names, or that is in force on its date."""
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
        parts.append(_group_frame(frame[place], TableSet.load(version), counter, detail=detail))
        places.append(place)
    place = named.is_null().to_numpy().nonzero()[0]
    parts.append(Grouping.without_version(len(place)).frame())
    order = np.argsort(np.concatenate([*places, place]))
    return pl.concat(parts, how="diagonal")[order]


def find_versions(column: pl.Series) -> pl.Series:
    """Return the grouper version of each row from names or dates; null where none is in force."""
    if not (column.dtype in (pl.Date, pl.Null) or isinstance(column.dtype, TEXTS)):
        raise SchemaError(f"column {column.name!r} is {column.dtype}, expected dates (Date) or versions (String).")
    distinct = column.unique().drop_nulls()
    if column.dtype == pl.Date:
        named = [_find_version_in_force(day) for day in distinct]
    else:
        unknown = ~column.cast(pl.String).is_in(versions()).fill_null(value=True)
        if unknown.any():
            raise UnknownVersionError(
                f"column {column.name!r}, row {unknown.arg_max()}: no grouper version ({int(unknown.sum()):,} such "
                f"rows). Known: {', '.join(versions())}."
            )
        named = [str(name) for name in distinct]
    return column.replace_strict(distinct, pl.Series(named, dtype=pl.String), default=None, return_dtype=pl.String)


def _find_version_in_force(day: dt.date) -> str | None:
    try:
        return version_for(day)
    except UnknownVersionError:
        return None
