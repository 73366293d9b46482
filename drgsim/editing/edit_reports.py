"""Edits counted by claim, and the edits of each code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from drgsim.editing.edit_names import Edit
from drgsim.editing.edit_rules import AGE_GROUPS
from drgsim.editing.encoded_claims import EncodedClaims
from drgsim.numerics.arrays import BoolArray, ByteArray, Int32Array, Int64Array, UInt32Array
from drgsim.numerics.segments import expand_rows, find_run_starts, rank_distinct
from drgsim.schema import EditType

_NAMES = pl.Series([edit.name for edit in Edit])
_GROUP_NAMES = pl.Series([None, *(name.upper() for name in AGE_GROUPS)], dtype=pl.String)
_NONE, _PREPAYMENT, _UNDATED = (
    EditType.categories.to_list().index(name) for name in ("NONE", "PREPAYMENT", "INVALID_DISCHARGE_DATE")
)


@dataclass(frozen=True, eq=False)
class FoundEdits:
    """What the editor finds: words of `Edit.bit` for claims and codes.

    `claim_edits` and `admit_dx_edits` (n,) are by claim. The rest is listed: `pdx` holds rows whose principal
    diagnosis has flags, `sdx` and `procedures` positions; each with its edits, and diagnoses with the age group that
    conflicts, from 1 (a place in AGE_GROUPS) or 0.
    """

    claims: EncodedClaims
    is_dated: BoolArray
    claim_edits: UInt32Array
    pdx: Int64Array
    pdx_edits: UInt32Array
    pdx_age_group: ByteArray
    sdx: Int64Array
    sdx_edits: UInt32Array
    sdx_age_group: ByteArray
    procedures: Int64Array
    procedure_edits: UInt32Array
    admit_dx_edits: UInt32Array

    def count(self) -> tuple[Int64Array, Int64Array, Int64Array]:
        """Return row, edit and count of every edit found, rows and edits ascending.

        The count is how many codes have it, or 1 for the claim itself.
        """
        claims, rows = self.claims, np.arange(len(self.claims))
        parts: list[tuple[NDArray[np.integer], UInt32Array]] = [
            (rows, self.claim_edits),
            (rows, self.admit_dx_edits & np.uint32(Edit.INVALID_ADMIT_DX.bit)),
            (self.pdx, self.pdx_edits),
            (claims.sdx_row[self.sdx], self.sdx_edits),
            (claims.procedure_row[self.procedures], self.procedure_edits),
        ]
        keys = []
        for row, words in parts:
            some = np.flatnonzero(words)
            row, words = row[some].astype(np.int64), words[some]
            keys += [row[words & edit.bit > 0] * len(Edit) + int(edit) for edit in Edit] if len(some) else []
        ordered = np.sort(np.concatenate([*keys, np.zeros(0, np.int64)]))
        first = find_run_starts(ordered)
        found: Int64Array = ordered[first]
        return found // len(Edit), found % len(Edit), np.diff(np.append(first, len(ordered)))


def report_claims(found: FoundEdits, counts_for_payment: int) -> pl.DataFrame:
    """Return the columns of `schema.EDITED`.

    Args:
        found: the edits.
        counts_for_payment: the edits, as bits, that make the edit type PREPAYMENT.
    """
    row, edit, number = found.count()
    n = len(found.is_dated)
    prepayment = np.zeros(n, np.bool_)
    prepayment[row[(counts_for_payment >> edit) & 1 > 0]] = True
    kind = np.full(n, _UNDATED, np.uint8)
    kind[found.is_dated] = _NONE
    kind[prepayment] = _PREPAYMENT
    edit_type = pl.Series("edit_type", EditType.categories, dtype=EditType).gather(kind)
    start = np.append(0, np.cumsum(np.bincount(row, minlength=n)))
    lengths, same = np.diff(start), np.arange(n, dtype=np.int32)
    same[lengths == 0] = np.argmin(lengths) if n else 0
    # One edit of one code is what most claims have that have any: these share one list an edit.
    once = np.flatnonzero(lengths == 1)
    once = once[number[start[once]] == 1]
    of_edit = np.zeros(len(Edit), np.int32)
    of_edit[edit[start[once]]] = once
    same[once] = of_edit[edit[start[once]]]
    position, first, place = _take_distinct(same, start)
    pairs = {"edits": _NAMES.gather(edit[position]), "edit_counts": pl.Series(number[position], dtype=pl.Int32)}
    return pl.DataFrame([edit_type, *to_lists(pl.DataFrame(pairs), first)[place]])


def find_prepayment(found: FoundEdits, counts_for_payment: int) -> BoolArray:
    """Return which claims have a prepayment edit, (n,).

    Args:
        found: the edits.
        counts_for_payment: the edits, as bits, that make the edit type PREPAYMENT.
    """
    counted = np.uint32(counts_for_payment)
    has: BoolArray = found.claim_edits & counted > 0
    has[found.pdx[found.pdx_edits & counted > 0]] = True
    has[found.claims.sdx_row[found.sdx[found.sdx_edits & counted > 0]]] = True
    has[found.claims.procedure_row[found.procedures[found.procedure_edits & counted > 0]]] = True
    return has


def report_each_code(found: FoundEdits) -> pl.DataFrame:
    """Return the columns of `schema.EDIT_DETAIL`, lists aligned with the input."""
    claims = found.claims
    pdx, pdx_group = np.zeros(len(claims), np.uint32), np.zeros(len(claims), np.uint8)
    pdx[found.pdx], pdx_group[found.pdx] = found.pdx_edits, found.pdx_age_group
    sdx, sdx_group = np.zeros(len(claims.sdx), np.uint32), np.zeros(len(claims.sdx), np.uint8)
    sdx[found.sdx], sdx_group[found.sdx] = found.sdx_edits, found.sdx_age_group
    procedures = np.zeros(len(claims.procedures), np.uint32)
    procedures[found.procedures] = found.procedure_edits
    moved = np.flatnonzero(claims.is_pdx_missing)
    first = claims.sdx_start[:-1][moved]
    sdx[first], sdx_group[first] = pdx[moved], pdx_group[moved]
    pdx[moved], pdx_group[moved] = 0, 0
    of_sdx = _CodeLists.of(sdx, claims.sdx_start, claims.sdx_row)
    of_group = _CodeLists.of(sdx_group, claims.sdx_start, claims.sdx_row)
    of_procedures = _CodeLists.of(procedures, claims.procedure_start, claims.procedure_row)
    return pl.DataFrame(
        [
            name_edits(pdx).alias("pdx_edits"),
            of_sdx.write(name_edits).alias("sdx_edits"),
            of_procedures.write(name_edits).alias("proc_edits"),
            name_edits(found.admit_dx_edits).alias("admit_dx_edits"),
            _GROUP_NAMES.gather(pdx_group).alias("pdx_age_conflict"),
            of_group.write(_GROUP_NAMES.gather).alias("sdx_age_conflict"),
        ]
    )


@dataclass(frozen=True, eq=False)
class _CodeLists:
    """A mark for each code, as lists of which only the distinct ones are written.

    `marks` are those of the distinct lists, end to end; row i has list `place[i]`. A claim without marks has the list
    of every such claim with as many codes.
    """

    marks: NDArray[np.unsignedinteger]
    start: Int64Array
    place: Int64Array

    @classmethod
    def of(cls, marks: NDArray[np.unsignedinteger], start: Int64Array, row: Int32Array) -> _CodeLists:
        """Return the lists of marks (k,): row i has those from start[i] to start[i + 1]."""
        lengths = np.diff(start)
        rows = np.arange(len(lengths), dtype=np.int32)
        is_plain = np.ones(len(rows), np.bool_)
        is_plain[row[np.flatnonzero(marks)]] = False
        of_length = np.zeros(int(lengths.max(initial=0)) + 1, np.int32)
        of_length[lengths[is_plain]] = rows[is_plain]
        position, first, place = _take_distinct(np.where(is_plain, of_length[lengths], rows), start)
        return cls(marks[position], first, place)

    def write(self, name: Callable[[NDArray[np.unsignedinteger]], pl.Series]) -> pl.Series:
        """Return one list a row, each mark with its name."""
        return to_lists(pl.DataFrame({"mark": name(self.marks)}), self.start)["mark"].gather(self.place)


def name_edits(words: NDArray[np.unsignedinteger]) -> pl.Series:
    """Return the names of the edits in each word, in their order; a list may be empty.

    >>> name_edits(np.array([0, Edit.UNSPECIFIED.bit | Edit.AGE_CONFLICT.bit], np.uint32)).to_list()
    [[], ['AGE_CONFLICT', 'UNSPECIFIED']]
    """
    some = np.flatnonzero(words)
    distinct, which = np.unique(words[some], return_inverse=True)
    lists = [[], *([edit.name for edit in Edit if word & edit.bit] for word in distinct.tolist())]
    place = np.zeros(len(words), np.uint32)
    place[some] = which + 1
    return pl.Series(lists, dtype=pl.List(pl.String)).gather(place)


def _take_distinct(equal_to: Int32Array, start: Int64Array) -> tuple[Int64Array, Int64Array, Int64Array]:
    """Return distinct lists end to end, where each begins, and which one each row has, (n,).

    Args:
        equal_to: (n,) a row that has the same list; a row equal to itself is one of the distinct.
        start: (n + 1,) row i has positions start[i] to start[i + 1].
    """
    chosen, place = rank_distinct(equal_to)
    position, _ = expand_rows(start, chosen.astype(np.int64))
    return position, np.append(0, np.cumsum(np.diff(start)[chosen])), place


def to_lists(values: pl.DataFrame, start: Int64Array) -> pl.DataFrame:
    """Return values as one list a row, those from start[i] to start[i + 1]; a list may be empty.

    >>> to_lists(pl.DataFrame({"code": [7, 8, 9]}), np.array([0, 2, 2, 3]))["code"].to_list()
    [[7, 8], [], [9]]
    """
    lengths = np.diff(start)
    some = np.flatnonzero(lengths)
    owner = pl.Series("row", np.repeat(np.arange(len(some), dtype=np.int32), lengths[some]))
    lists = values.with_columns(owner).group_by("row", maintain_order=True).agg(values.columns).drop("row")
    place = np.zeros(len(lengths), np.int32)
    place[some] = np.arange(1, len(some) + 1)
    # Lists in one piece are gathered some 20 times as fast as in two.
    empty = pl.DataFrame({name: [[]] for name in lists.columns}, schema=lists.schema)
    return pl.concat([empty, lists], rechunk=True)[place]
