"""MS-DRG grouping of admissions in bulk: `group()` reads as the Definitions Manual, a step a line."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import polars as pl
from numpy.typing import NDArray

from drgsim.attributes import Attributes, attributes
from drgsim.encode import Encoded, encode
from drgsim.hac import HacResult, assess
from drgsim.observe import Observed, observe, or_into
from drgsim.schema import DrgType, ReturnCode, Severity
from drgsim.search import UNGROUPABLE_MDC, Decision, search
from drgsim.spans import over_spans
from drgsim.tables import TableSet

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


def group_encoded(encoded: Encoded, tables: TableSet) -> Grouping:
    """Group encoded admissions; the same answer as `group`, without strings.

    >>> one = pl.DataFrame({"admission_id": [1], "age": [70], "sex": ["F"], "discharge_status": [1],
    ...                     "pdx": ["K810"], "sdx": [[]], "procedures": [["0FT44ZZ"]]})
    >>> tables = TableSet.load("43.1")
    >>> group_encoded(encode(one, tables, hospital_status="EXEMPT"), tables).drg
    array([419], dtype=uint16)
    """
    rules = attributes(tables)
    parts = over_spans(len(encoded), lambda start, stop: _group_span(encoded.rows(start, stop), rules))
    names = [column.name for column in fields(Grouping)]
    return Grouping(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


def _group_span(encoded: Encoded, rules: Attributes) -> Grouping:
    observed = observe(encoded, rules)
    initial = search(observed, encoded, rules, observed.severity)
    hac = assess(observed, encoded, rules, rules.rulebook.return_code[initial.row] == _OK)
    final = regroup_without(hac, initial, observed, encoded, rules)
    return _answer(initial, final, hac, rules)


def regroup_without(
    hac: HacResult, initial: Decision, observed: Observed, encoded: Encoded, rules: Attributes
) -> Decision:
    """Group again without the severity of hospital-acquired conditions; the rest keeps its initial answer."""
    row, mdc, level = initial.row.copy(), initial.mdc.copy(), initial.severity.copy()
    again = np.flatnonzero((hac.count > 0) & (hac.return_code == _OK))
    if len(again):
        is_again = np.zeros(len(encoded), np.bool_)
        is_again[again] = True
        is_met = np.zeros(len(encoded.sdx), np.bool_)
        is_met[hac.met] = True
        kept = is_again[observed.shown_row] & ~is_met[observed.shown]
        severity = np.zeros(len(encoded), np.uint64)
        or_into(severity, observed.shown_row[kept], observed.shown_severity[kept])
        dead = rules.died[np.minimum(encoded.discharge_status.view(np.uint16), 256)]
        severity[dead] &= ~rules.diagnoses.death_excluded
        found = search(observed, encoded, rules, severity[again], again)
        row[again], mdc[again], level[again] = found.row, found.mdc, found.severity
    return Decision(row, mdc, level)


def _answer(initial: Decision, final: Decision, hac: HacResult, rules: Attributes) -> Grouping:
    book = rules.rulebook
    first_code, code = book.return_code[initial.row], book.return_code[final.row]
    code = np.where(hac.return_code != _OK, hac.return_code, code)
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
        hac_count=hac.count,
        return_code=code.astype(np.uint8),
    )


def group(admissions: pl.DataFrame, tables: TableSet, *, hospital_status: str = "NON_EXEMPT") -> pl.DataFrame:
    """Group admissions to MS-DRGs exactly as CMS's grouper does."""
    encoded = encode(admissions, tables, hospital_status=hospital_status)
    return admissions.with_columns(group_encoded(encoded, tables).frame())
