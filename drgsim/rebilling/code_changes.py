"""Code changes: what a coding error changes in a claim, and claims with these changes made.

A change says which admission it belongs to, its kind (`ChangeKind`), the place in the admission's list, and the code
before and after. A ledger is a table of changes with the names of their errors. `apply_changes` makes changes on
encoded admissions.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from enum import IntEnum
from typing import TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from drgsim.numerics.arrays import ByteArray, Int32Array, Int64Array
from drgsim.numerics.segments import find_owners
from drgsim.tables.codebook import load_codebooks
from drgsim.tables.encoding import POA_PRESENT, Encoded, compute_starts, find_list_owners
from drgsim.tables.table_set import TableSet

Value = TypeVar("Value", bound=np.generic)


class ChangeKind(IntEnum):
    """What a change does.

    `place` is a position in the admission's list; code 0 is a code of no version.

    >>> FIELDS[ChangeKind.SWAP_PDX], FIELDS[ChangeKind.POA]
    ('pdx', 'sdx_poa')
    """

    PDX = 0
    """The principal diagnosis becomes `after`."""
    SWAP_PDX = 1
    """The principal diagnosis and the secondary one at `place` change places."""
    SDX = 2
    """The secondary diagnosis at `place` becomes `after`; 0 removes it."""
    ADD_SDX = 3
    """A secondary diagnosis is added; `place` is its POA number less that of present, so 0 if it is present."""
    PROCEDURE = 4
    """The procedure at `place` becomes `after`; 0 removes it."""
    ADD_PROCEDURE = 5
    """A procedure is added."""
    POA = 6
    """The POA number (see `tables.encoding`) of the secondary diagnosis at `place` becomes `after`."""
    DISCHARGE_STATUS = 7
    """The discharge status becomes `after`."""
    SEX = 8
    """The sex number (see `tables.encoding.SEX`) becomes `after`."""
    AGE = 9
    """The age becomes `after` [years]; no MS-DRG formula uses it."""


FIELDS = (
    *("pdx", "pdx", "sdx", "sdx", "procedures", "procedures"),
    *("sdx_poa", "discharge_status", "sex", "age"),
)
"""The column of `schema.ADMISSIONS` that each kind of change concerns."""

_TARGET = np.array([0, 0, 1, 2, 3, 4, 1, 5, 6, 7], np.int32)
_LISTED = np.isin(np.arange(len(ChangeKind)), (ChangeKind.SDX, ChangeKind.PROCEDURE, ChangeKind.POA))
_ADDS = np.isin(np.arange(len(ChangeKind)), (ChangeKind.ADD_SDX, ChangeKind.ADD_PROCEDURE))
_POA_LETTERS = ("1", "Y", "N")
_SEX_LETTERS = ("U", "M", "F")


@dataclass(frozen=True, eq=False)
class CodeChanges:
    """Code changes of admissions, (k,) each.

    Attributes:
        row: the admission.
        kind: `ChangeKind`.
        place: position in the list of the admission.
        before, after: code before and after, by number in the codebook.

    >>> zero, kind = np.array([0]), np.array([ChangeKind.SDX], np.uint8)
    >>> first = CodeChanges(zero, kind, zero, np.array([7]), zero)
    >>> len(CodeChanges.join([first, CodeChanges.none()]))
    1
    """

    row: Int64Array
    kind: ByteArray
    place: Int32Array
    before: Int32Array
    after: Int32Array

    def __len__(self) -> int:
        """Return the number of changes."""
        return len(self.row)

    def take(self, which: NDArray[np.integer] | NDArray[np.bool_] | slice) -> CodeChanges:
        """Return some of the changes, in the order of `which`."""
        return CodeChanges(**{column.name: getattr(self, column.name)[which] for column in fields(self)})

    @classmethod
    def join(cls, parts: list[CodeChanges]) -> CodeChanges:
        """Return the changes of all parts, end to end."""
        return cls(*(np.concatenate([getattr(part, column.name) for part in parts]) for column in fields(cls)))

    @classmethod
    def none(cls) -> CodeChanges:
        """Return no changes."""
        code = np.zeros(0, np.int32)
        return cls(np.zeros(0, np.int64), np.zeros(0, np.uint8), code, code, code)

    def number_targets(self) -> Int32Array:
        """Return a number for what each change concerns, (k,).

        Two changes of one admission that concern the same code or field have the same number.

        >>> kind, zeros = np.array([ChangeKind.PDX, ChangeKind.SWAP_PDX], np.uint8), np.zeros(2, np.int32)
        >>> one = CodeChanges(zeros, kind, zeros, zeros, zeros)
        >>> one.number_targets().tolist()
        [0, 0]
        """
        within = np.where(_ADDS[self.kind], self.after, np.where(_LISTED[self.kind], self.place, 0))
        target: Int32Array = _TARGET[self.kind] * np.int32(1 << 24) + within.astype(np.int32)
        return target

    def number_second_targets(self) -> tuple[Int64Array, Int32Array]:
        """Return which changes also concern a second code, and its number, (j,) each.

        These are the swaps: they also change a secondary diagnosis.
        """
        which = np.flatnonzero(self.kind == ChangeKind.SWAP_PDX)
        return which, _TARGET[ChangeKind.SDX] * np.int32(1 << 24) + self.place[which]


def apply_changes(encoded: Encoded, changes: CodeChanges) -> Encoded:
    """Return admissions with changes made.

    No two changes of one admission may concern the same code or field (`number_targets`, `number_second_targets`).
    A former principal diagnosis counts as present on admission.

    Args:
        encoded: (n,) the admissions.
        changes: (k,) changes; `row` is the place of the admission in `encoded`, and ascends.

    >>> from drgsim.tables.encoding import encode
    >>> one = pl.DataFrame({"admission_id": [1], "age": [70], "sex": ["F"], "discharge_status": [1],
    ...                     "pdx": ["K810"], "sdx": [["I10"]], "procedures": [[]]})
    >>> tables = TableSet.load("43.1")
    >>> encoded = encode(one, tables, hospital_status="EXEMPT")
    >>> zero, kind = np.array([0]), np.array([ChangeKind.SWAP_PDX], np.uint8)
    >>> swap = CodeChanges(zero, kind, zero, encoded.pdx, encoded.sdx)
    >>> decode_admissions(apply_changes(encoded, swap), *list_code_texts(tables)).row(0)
    ('I10', ['K810'], [])
    """
    present = np.bincount(changes.kind, minlength=len(ChangeKind)).astype(bool)

    def select(kind: ChangeKind) -> tuple[Int64Array, Int32Array, Int32Array]:
        which = np.flatnonzero(changes.kind == kind)
        return changes.row[which], changes.place[which], changes.after[which]

    changed = encoded
    if present[ChangeKind.PDX] or present[ChangeKind.SWAP_PDX]:
        changed = _change_pdx(changed, select(ChangeKind.PDX), select(ChangeKind.SWAP_PDX))
    if present[ChangeKind.POA] and changed.poa is not None:
        row, place, after = select(ChangeKind.POA)
        changed = replace(changed, poa=_set_values(changed.poa, changed.sdx_start[row] + place, after))
    if present[ChangeKind.SDX] or present[ChangeKind.ADD_SDX]:
        changed = _change_sdx(changed, select(ChangeKind.SDX), select(ChangeKind.ADD_SDX))
    if present[ChangeKind.PROCEDURE] or present[ChangeKind.ADD_PROCEDURE]:
        changed = _change_procedures(changed, select(ChangeKind.PROCEDURE), select(ChangeKind.ADD_PROCEDURE))
    if present[ChangeKind.DISCHARGE_STATUS]:
        row, _, after = select(ChangeKind.DISCHARGE_STATUS)
        changed = replace(changed, discharge_status=_set_values(changed.discharge_status, row, after))
    if present[ChangeKind.SEX]:
        row, _, after = select(ChangeKind.SEX)
        changed = replace(changed, sex=_set_values(changed.sex, row, after))
    return changed


def list_code_texts(tables: TableSet) -> tuple[pl.Series, pl.Series]:
    """Return the diagnoses and procedures of all versions by codebook number; 0 is empty."""
    dx, procedures = (pl.concat([pl.Series([""]), book.codes]) for book in load_codebooks(tables))
    return dx, procedures


def decode_admissions(encoded: Encoded, dx: pl.Series, procedures: pl.Series) -> pl.DataFrame:
    """Return the codes of encoded admissions as text, (n,) `pdx`, `sdx`, `procedures`.

    Args:
        encoded: (n,) the admissions.
        dx, procedures: texts by number (`list_code_texts`).
    """

    def collect_lists(texts: pl.Series, numbers: Int32Array, start: Int64Array) -> pl.Series:
        parts = pl.DataFrame({"row": find_owners(start), "text": texts.gather(numbers)})
        rows = pl.DataFrame({"row": np.arange(len(encoded))})
        grouped = parts.group_by("row", maintain_order=True).agg("text")
        found = rows.join(grouped, on="row", how="left", maintain_order="left")["text"]
        return found.fill_null(pl.Series([[]], dtype=found.dtype).first())

    return pl.DataFrame(
        {
            "pdx": dx.gather(encoded.pdx),
            "sdx": collect_lists(dx, encoded.sdx, encoded.sdx_start),
            "procedures": collect_lists(procedures, encoded.procedures, encoded.procedure_start),
        }
    )


def describe_changes(changes: CodeChanges, tables: TableSet) -> pl.DataFrame:
    """Return changes as text, (k,): `field`, `code_before`, `code_after`; empty is no code.

    Changes of POA, sex, discharge status and age have their letter or number as text.
    """
    dx, procedures = list_code_texts(tables)
    field = pl.Series(FIELDS).gather(changes.kind)
    texts: dict[str, pl.Series] = {}
    for name, numbers in (("code_before", changes.before), ("code_after", changes.after)):
        found = pl.Series([""]).new_from_index(0, len(changes))
        for kinds, words in (
            ((ChangeKind.PDX, ChangeKind.SWAP_PDX, ChangeKind.SDX, ChangeKind.ADD_SDX), dx),
            ((ChangeKind.PROCEDURE, ChangeKind.ADD_PROCEDURE), procedures),
            ((ChangeKind.POA,), pl.Series(_POA_LETTERS)),
            ((ChangeKind.SEX,), pl.Series(_SEX_LETTERS)),
        ):
            at = np.flatnonzero(np.isin(changes.kind, kinds))
            found = found.scatter(at, words.gather(numbers[at])) if len(at) else found
        at = np.flatnonzero(np.isin(changes.kind, (ChangeKind.DISCHARGE_STATUS, ChangeKind.AGE)))
        found = found.scatter(at, pl.Series(numbers[at]).cast(pl.String)) if len(at) else found
        texts[name] = found
    return pl.DataFrame({"field": field, **texts})


# ---------------------------------------------------------------------------------------------------------


def _change_pdx(
    encoded: Encoded, put: tuple[Int64Array, Int32Array, Int32Array], swapped: tuple[Int64Array, Int32Array, Int32Array]
) -> Encoded:
    pdx, sdx, poa = encoded.pdx.copy(), encoded.sdx.copy(), encoded.poa
    row, place, _ = swapped
    at = encoded.sdx_start[row] + place
    sdx[at], pdx[row] = encoded.pdx[row], encoded.sdx[at]
    if poa is not None:
        poa = _set_values(poa, at, np.full(len(at), POA_PRESENT))
    row, _, after = put
    pdx[row] = after
    return replace(encoded, pdx=pdx, sdx=sdx, poa=poa)


def _change_sdx(
    encoded: Encoded, put: tuple[Int64Array, Int32Array, Int32Array], added: tuple[Int64Array, Int32Array, Int32Array]
) -> Encoded:
    row, place, after = put
    at = encoded.sdx_start[row] + place
    sdx, start, poa = _set_values(encoded.sdx, at, after), encoded.sdx_start, encoded.poa
    gone = at[after == 0]
    if len(gone):
        sdx, start, kept = _remove(sdx, start, gone, row[after == 0])
        poa = None if poa is None else poa[kept]
    row, place, after = added
    if len(row):
        if poa is not None:
            poa = np.insert(poa, start[row + 1], (POA_PRESENT + place).astype(poa.dtype))
        sdx, start = _append(sdx, start, row, after)
    return replace(encoded, sdx=sdx, sdx_start=start, sdx_row=find_list_owners(start), poa=poa)


def _change_procedures(
    encoded: Encoded, put: tuple[Int64Array, Int32Array, Int32Array], added: tuple[Int64Array, Int32Array, Int32Array]
) -> Encoded:
    row, place, after = put
    at = encoded.procedure_start[row] + place
    codes, start = _set_values(encoded.procedures, at, after), encoded.procedure_start
    gone = at[after == 0]
    if len(gone):
        codes, start, _ = _remove(codes, start, gone, row[after == 0])
    row, _, after = added
    if len(row):
        codes, start = _append(codes, start, row, after)
    return replace(encoded, procedures=codes, procedure_start=start, procedure_row=find_list_owners(start))


def _set_values(values: NDArray[Value], at: Int64Array, after: NDArray[np.integer]) -> NDArray[Value]:
    changed = values.copy()
    changed[at] = after
    return changed


def _remove(
    values: Int32Array, start: Int64Array, gone: Int64Array, rows: Int64Array
) -> tuple[Int32Array, Int64Array, NDArray[np.bool_]]:
    """Return lists without the positions `gone` (of `rows`), and which positions remain."""
    kept = np.ones(len(values), np.bool_)
    kept[gone] = False
    lengths = np.diff(start) - np.bincount(rows, minlength=len(start) - 1)
    return values[kept], compute_starts(lengths), kept


def _append(
    values: Int32Array, start: Int64Array, rows: Int64Array, codes: Int32Array
) -> tuple[Int32Array, Int64Array]:
    """Return lists with one more value at the end for each of `rows`.

    The rows ascend and may repeat.
    """
    lengths = np.diff(start) + np.bincount(rows, minlength=len(start) - 1)
    return np.insert(values, start[rows + 1], codes), compute_starts(lengths)
