"""Codes of two codings of the same stays, aligned, and what each difference is.

A code that both sides have agrees, wherever it is in its list. Of the others, two codes of one category (diagnoses)
or codes that differ in one axis (procedures) are one replaced by the other; the longer their common beginning, the
earlier they are matched. What is left is missed or added. The order of the codes of a list does not matter.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import polars as pl
from numpy.typing import NDArray

from drgsim.miscoding.confusable_codes import read_durations
from drgsim.numerics.arrays import BoolArray, Int32Array, Int64Array
from drgsim.numerics.segments import find_run_starts
from drgsim.rebilling.baseline import Baseline
from drgsim.rebilling.code_changes import ChangeKind, CodeChanges
from drgsim.review.list_matching import AlignedLists, Coding, align_lists, match_in_steps
from drgsim.tables.codebook import load_codebooks
from drgsim.tables.table_set import TableSet

KINDS = (
    *("pdx_resequence", "pdx_substitute", "sdx_omit", "sdx_add_unsupported"),
    *("severity_upgrade", "severity_downgrade", "specificity_loss", "sdx_substitute"),
    *("procedure_omit", "procedure_add_unsupported", "procedure_substitute", "ventilation_hours"),
    *("invalid_code", "poa_flip", "discharge_status", "demographics"),
)
"""Kinds of difference, called as the error models that make them."""
_NUMBER = {name: number for number, name in enumerate(KINDS)}
_CATEGORY, _AXES = 3, 7


@dataclass(frozen=True, eq=False)
class Differences:
    """Differences between two codings, (k,), sorted by row, kind and code.

    Attributes:
        changes: what makes the other coding of the reference; several changes may be one difference.
        kind: place in `KINDS`.
        before, after: number of the code on each side, 0 where there is none, in the numbers of `Coding`.
        first: whether the change begins a difference; a resequenced principal diagnosis has several changes.
        matched_dx, matched_procedures: (n,) codes that both sides have.
    """

    changes: CodeChanges
    kind: np.ndarray
    before: Int32Array
    after: Int32Array
    first: BoolArray
    matched_dx: Int64Array
    matched_procedures: Int64Array


def align_codings(
    reference: Coding, other: Coding, texts: tuple[pl.Series, pl.Series], baseline: Baseline
) -> Differences:
    """Return every difference between two codings of the same stays.

    Args:
        reference, other: (n,) both sides.
        texts: of diagnoses and procedures by number.
        baseline: the reference, grouped.
    """
    dx = align_lists(reference.sdx, reference.encoded.sdx_start, other.sdx, other.encoded.sdx_start)
    procedures = align_lists(
        reference.procedures, reference.encoded.procedure_start, other.procedures, other.encoded.procedure_start
    )
    found = _FoundChanges(reference, other, texts, baseline)
    found.compare_pdx(dx)
    found.compare_sdx(dx)
    found.compare_poa(dx)
    found.compare_procedures(procedures)
    found.compare_fields()
    n = len(reference.pdx)
    matched = np.bincount(reference.encoded.sdx_row[dx.same[0]], minlength=n) + found.matched_pdx
    in_both = np.bincount(reference.encoded.procedure_row[procedures.same[0]], minlength=n)
    return found.join(matched, in_both)


# ------------------------------------------------------------------------------------------- differences


class _FoundChanges:
    """Collects the changes that make the other coding of the reference."""

    def __init__(
        self, reference: Coding, other: Coding, texts: tuple[pl.Series, pl.Series], baseline: Baseline
    ) -> None:
        self.a, self.b, self.texts, self.baseline = reference, other, texts, baseline
        self.parts: list[tuple[CodeChanges, np.ndarray, Int32Array, Int32Array, BoolArray]] = []
        self.matched_pdx = (reference.pdx == other.pdx).astype(np.int64)
        self.books = [len(book.codes) for book in load_codebooks(baseline.tables)]

    def add(
        self,
        change: ChangeKind,
        rows: NDArray[np.integer],
        kind: np.ndarray | str,
        codes: tuple[np.ndarray, np.ndarray],
        *,
        place: np.ndarray | int = 0,
        engine: tuple[np.ndarray, np.ndarray] | None = None,
        first: bool = True,
    ) -> None:
        """Add changes of one kind.

        `codes` are the numbers before and after, `engine` those that the grouper reads.
        """
        k = len(rows)
        if not k:
            return

        def fill(values: np.ndarray | int) -> np.ndarray:
            return np.broadcast_to(np.asarray(values, np.int32), k).copy()

        kinds = np.broadcast_to(np.asarray(_NUMBER[kind] if isinstance(kind, str) else kind, np.uint8), k).copy()
        book = self.books[1] if change in (ChangeKind.PROCEDURE, ChangeKind.ADD_PROCEDURE) else self.books[0]
        before, after = engine or (np.where(c > book, 0, c) for c in map(np.asarray, codes))
        changes = CodeChanges(
            rows.astype(np.int64), np.full(k, change, np.uint8), fill(place), fill(before), fill(after)
        )
        self.parts.append((changes, kinds, fill(codes[0]), fill(codes[1]), np.full(k, first)))

    def compare_pdx(self, dx: AlignedLists) -> None:
        """Compare principal diagnoses; codes that only changed places are part of the difference."""
        a, b = self.a, self.b
        rows = np.flatnonzero(a.pdx != b.pdx)
        self.moved = [np.zeros(len(side), np.bool_) for side in dx.left]
        was_sdx = np.zeros(len(a.pdx), np.bool_)
        for side, (coding, wanted) in enumerate(((a, b.pdx), (b, a.pdx))):
            left = dx.left[side]
            row = coding.encoded.sdx_row[left]
            hit = np.flatnonzero((coding.sdx[left] == wanted[row]) & (a.pdx[row] != b.pdx[row]))
            hit = hit[find_run_starts(row[hit])]  # of a code that is there twice, one
            self.moved[side][hit] = True
            self.matched_pdx[row[hit]] += 1
            if side == 0:
                was_sdx[row[hit]] = True
        near = _find_prefixes(self.texts[0], _CATEGORY)
        kind = np.where(
            was_sdx[rows],
            _NUMBER["pdx_resequence"],
            np.where(b.pdx[rows] > self.books[0], _NUMBER["invalid_code"], _NUMBER["pdx_substitute"]),
        )
        lost = (near[a.pdx[rows]] == near[b.pdx[rows]]) & self._loses_specificity(a.pdx[rows], b.pdx[rows])
        kind[lost & (kind == _NUMBER["pdx_substitute"])] = _NUMBER["specificity_loss"]
        of_row = np.zeros(len(a.pdx), np.uint8)
        of_row[rows] = kind
        self.add(ChangeKind.PDX, rows, kind, (a.pdx[rows], b.pdx[rows]))
        gone, come = (left[moved] for left, moved in zip(dx.left, self.moved, strict=True))
        row = a.encoded.sdx_row[gone]
        zero = np.zeros(len(gone), np.int32)
        self.add(
            ChangeKind.SDX,
            row,
            of_row[row],
            (a.sdx[gone], zero),
            place=gone - a.encoded.sdx_start[row],
            first=False,
        )
        row = b.encoded.sdx_row[come]
        self.add(
            ChangeKind.ADD_SDX,
            row,
            of_row[row],
            (np.zeros(len(come), np.int32), b.sdx[come]),
            place=self._offset_poa(come),
            first=False,
        )

    def compare_sdx(self, dx: AlignedLists) -> None:
        """Compare secondary diagnoses that only one side has."""
        a, b = self.a, self.b
        left = [at[~moved] for at, moved in zip(dx.left, self.moved, strict=True)]
        keys = [_find_prefixes(self.texts[0], length) for length in (6, 5, 4, _CATEGORY)]
        gone, come, (at, to) = match_in_steps(left, (a.sdx, b.sdx), (a.encoded.sdx_row, b.encoded.sdx_row), keys)
        row = a.encoded.sdx_row[at]
        self.add(
            ChangeKind.SDX,
            row,
            self._name_replaced(a.sdx[at], b.sdx[to]),
            (a.sdx[at], b.sdx[to]),
            place=at - a.encoded.sdx_start[row],
        )
        if a.encoded.poa is not None and b.encoded.poa is not None:
            other = a.encoded.poa[at] != b.encoded.poa[to]
            self._add_poa(at[other], to[other], self._name_replaced(a.sdx[at], b.sdx[to])[other], first=False)
        row = a.encoded.sdx_row[gone]
        zero = np.zeros(len(gone), np.int32)
        self.add(ChangeKind.SDX, row, "sdx_omit", (a.sdx[gone], zero), place=gone - a.encoded.sdx_start[row])
        kind = np.where(b.sdx[come] > self.books[0], _NUMBER["invalid_code"], _NUMBER["sdx_add_unsupported"])
        self.add(
            ChangeKind.ADD_SDX,
            b.encoded.sdx_row[come],
            kind,
            (np.zeros(len(come), np.int32), b.sdx[come]),
            place=self._offset_poa(come),
        )

    def compare_poa(self, dx: AlignedLists) -> None:
        """Compare the POA indicators of codes that both sides have."""
        if self.a.encoded.poa is None or self.b.encoded.poa is None:
            return
        at, to = dx.same
        other = np.flatnonzero(self.a.encoded.poa[at] != self.b.encoded.poa[to])
        self._add_poa(at[other], to[other], "poa_flip")

    def compare_procedures(self, procedures: AlignedLists) -> None:
        """Compare procedures that only one side has."""
        a, b = self.a, self.b
        rows = (a.encoded.procedure_row, b.encoded.procedure_row)
        numbers = np.unique(
            np.concatenate([side[at] for side, at in zip((a.procedures, b.procedures), procedures.left, strict=True)])
        )
        keys = [_mask_axis(self.texts[1], numbers, axis) for axis in (7, 5, 6, 4, 3, 2, 1)]
        gone, come, (at, to) = match_in_steps(procedures.left, (a.procedures, b.procedures), rows, keys)
        kind = np.where(b.procedures[to] > self.books[1], _NUMBER["invalid_code"], _NUMBER["procedure_substitute"])
        hours = self._changes_hours(a.procedures[at], b.procedures[to])
        kind[hours] = _NUMBER["ventilation_hours"]
        place = at - a.encoded.procedure_start[rows[0][at]]
        self.add(ChangeKind.PROCEDURE, rows[0][at], kind, (a.procedures[at], b.procedures[to]), place=place)
        place = gone - a.encoded.procedure_start[rows[0][gone]]
        zero = np.zeros(len(gone), np.int32)
        self.add(ChangeKind.PROCEDURE, rows[0][gone], "procedure_omit", (a.procedures[gone], zero), place=place)
        kind = np.where(
            b.procedures[come] > self.books[1], _NUMBER["invalid_code"], _NUMBER["procedure_add_unsupported"]
        )
        none = np.zeros(len(come), np.int32)
        self.add(ChangeKind.ADD_PROCEDURE, rows[1][come], kind, (none, b.procedures[come]))

    def compare_fields(self) -> None:
        """Compare discharge status and sex."""
        for change, kind, name in (
            (ChangeKind.DISCHARGE_STATUS, "discharge_status", "discharge_status"),
            (ChangeKind.SEX, "demographics", "sex"),
        ):
            one, other = (getattr(side.encoded, name).astype(np.int32) for side in (self.a, self.b))
            rows = np.flatnonzero(one != other)
            self.add(change, rows, kind, (one[rows], other[rows]), engine=(one[rows], other[rows]))

    def join(self, matched_dx: Int64Array, matched_procedures: Int64Array) -> Differences:
        """Return all differences, sorted."""
        changes = CodeChanges.join([CodeChanges.none(), *(part[0] for part in self.parts)])
        kind, before, after, first = (
            np.concatenate([np.zeros(0, dtype), *(part[i] for part in self.parts)])
            for i, dtype in ((1, np.uint8), (2, np.int32), (3, np.int32), (4, np.bool_))
        )
        order = np.lexsort((after, before, ~first, kind, changes.row))
        return Differences(
            changes.take(order), kind[order], before[order], after[order], first[order], matched_dx, matched_procedures
        )

    def _add_poa(self, at: Int64Array, to: Int64Array, kind: np.ndarray | str, *, first: bool = True) -> None:
        poa = self.a.encoded.poa, self.b.encoded.poa
        assert poa[0] is not None
        assert poa[1] is not None
        row = self.a.encoded.sdx_row[at]
        engine = (poa[0][at].astype(np.int32), poa[1][to].astype(np.int32))
        codes = (self.a.sdx[at], self.b.sdx[to])
        place = at - self.a.encoded.sdx_start[row]
        self.add(ChangeKind.POA, row, kind, codes, place=place, engine=engine, first=first)

    def _offset_poa(self, to: Int64Array) -> np.ndarray:
        """Return the POA of added codes as `ChangeKind.ADD_SDX` takes it."""
        poa = self.b.encoded.poa
        return np.zeros(len(to), np.int32) if poa is None else poa[to].astype(np.int32) - 1

    def _name_replaced(self, before: Int32Array, after: Int32Array) -> np.ndarray:
        """Return the kind of each replaced diagnosis."""
        diagnoses = self.baseline.rules.diagnoses
        one, other = (
            diagnoses.scheme_severity[diagnoses.scheme[np.where(codes > self.books[0], 0, codes)]].astype(np.int64)
            for codes in (before, after)
        )
        kind = np.where(
            other > one,
            _NUMBER["severity_upgrade"],
            np.where(other < one, _NUMBER["severity_downgrade"], _NUMBER["sdx_substitute"]),
        )
        kind[(other <= one) & self._loses_specificity(before, after)] = _NUMBER["specificity_loss"]
        kind[after > self.books[0]] = _NUMBER["invalid_code"]
        return kind.astype(np.uint8)

    def _loses_specificity(self, before: Int32Array, after: Int32Array) -> BoolArray:
        is_unspecified = find_unspecified(self.baseline.tables)
        one, other = (is_unspecified[np.where(codes > self.books[0], 0, codes)] for codes in (before, after))
        lost: BoolArray = ~one & other
        return lost

    def _changes_hours(self, before: Int32Array, after: Int32Array) -> BoolArray:
        """Return which procedures were replaced by one of another class of duration."""
        table = read_durations(self.baseline.tables)
        rules = self.baseline.rules.procedure_book
        hours = np.concatenate([rules.numbers(table[name]) for name in ("code", "longer_code")])
        found: BoolArray = np.isin(before, hours) & np.isin(after, hours)
        return found


def _find_prefixes(texts: pl.Series, length: int) -> np.ndarray:
    """Return a number for the first characters of each text, (m,); 0 where the text is shorter."""
    numbers = texts.str.slice(0, length).rank("dense").cast(pl.Int32)
    return numbers.set(texts.str.len_chars() < length, 0).to_numpy()


def _mask_axis(texts: pl.Series, numbers: Int32Array, axis: int) -> np.ndarray:
    """Return a number for each procedure without one of its axes, (m,); 0 for all others."""
    own = texts.gather(numbers)
    masked = own.str.slice(0, axis - 1) + "_" + own.str.slice(axis)
    ranks = masked.rank("dense").cast(pl.Int32).set(own.str.len_chars() != _AXES, 0)
    found = np.zeros(len(texts), np.int32)
    found[numbers] = ranks.to_numpy()
    return found


@lru_cache(maxsize=4)
def find_unspecified(tables: TableSet) -> BoolArray:
    """Return which diagnoses are unspecified, by number."""
    codes = load_codebooks(tables)[0].codes
    titles = tables.diagnosis_descriptions()
    unspecified = titles.filter(pl.col("description").str.contains(r"(?i)\bunspecified\b"))["code"]
    return np.concatenate([[False], codes.is_in(unspecified.implode()).to_numpy()])
