"""Admissions less some of their codes: built in whole columns, and which codes can be left out unseen."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import polars as pl
from numpy.typing import NDArray

from drgsim.attributes import Attributes
from drgsim.encode import HOSPITAL_STATUS, UNKNOWN_CODE, Encoded, flat
from drgsim.hac import hac_rules
from drgsim.runs import Index, stretches
from drgsim.schema import normalised

Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Line:
    """All codes of admissions in one line: of each admission its secondary diagnoses, then its procedures.

    The codes of row i are places start[i] to start[i + 1]. `row` says whose each is, `is_sdx` which list it
    comes from, `place` where it stands in that list (from 0), `sdx_at` and `procedure_at` which places hold
    the codes of the two lists end to end.
    """

    start: Index
    row: Index
    is_sdx: Bools
    place: Index
    sdx_at: Index
    procedure_at: Index

    @classmethod
    def of(cls, encoded: Encoded) -> Line:
        """Line up the codes of encoded admissions."""
        start = encoded.sdx_start + encoded.procedure_start
        row = np.repeat(np.arange(len(encoded)), np.diff(start))
        count = np.diff(encoded.sdx_start)[row]
        place = np.arange(len(row)) - start[row]
        is_sdx = place < count
        return cls(
            start=start,
            row=row,
            is_sdx=is_sdx,
            place=np.where(is_sdx, place, place - count),
            sdx_at=np.flatnonzero(is_sdx),
            procedure_at=np.flatnonzero(~is_sdx),
        )

    def pairs(self, codes: Index) -> Index:
        """Return every pair of `codes` (places, ascending) that one admission has, (k, 2) places."""
        last = np.searchsorted(codes, self.start[self.row[codes] + 1])
        first = np.arange(1, len(codes) + 1)
        second, which = stretches(first, last - first)
        return np.stack([codes[which], codes[second]], axis=1)


def code_texts(frame: pl.DataFrame, encoded: Encoded, line: Line, rules: Attributes) -> pl.Series:
    """Return every code in the line's order, (m,) String, normalised.

    Args:
        frame: the admissions, with `sdx` and `procedures`, as they were encoded.
        encoded, line: the same as integers, and their line.
        rules: of a version of the table folder that encoded them.
    """
    texts, at, begin = list[pl.Series](), np.empty(len(line.row), np.int64), 0
    for name, numbers, book, where in (
        ("sdx", encoded.sdx, rules.diagnosis_book, line.sdx_at),
        ("procedures", encoded.procedures, rules.procedure_book, line.procedure_at),
    ):
        strange = np.flatnonzero(numbers == UNKNOWN_CODE)  # a code of no version stays the text it is
        index = numbers.astype(np.int64) - 1
        index[strange] = len(book.codes) + np.arange(len(strange))
        at[where] = index + begin
        texts += [book.codes, normalised(flat(frame[name]).gather(strange))]
        begin += len(book.codes) + len(strange)
    return pl.concat(texts).gather(at)


def without(encoded: Encoded, line: Line, dropped: Index) -> Encoded:
    """Return one admission for each row of `dropped`: the admission of these codes, without them.

    Args:
        encoded: the admissions.
        line: their codes, `Line.of(encoded)`.
        dropped: (k, w) places in the line; those of one row belong to one admission, and may repeat.

    >>> import polars as pl
    >>> from drgsim.encode import encode
    >>> from drgsim.tables import TableSet
    >>> one = pl.DataFrame({"admission_id": [1], "age": [70], "sex": ["F"], "discharge_status": [1],
    ...                     "pdx": ["K810"], "sdx": [["I10", "J9601"]], "procedures": [["0FT44ZZ"]]})
    >>> encoded = encode(one, TableSet.load("43.1"), hospital_status="EXEMPT")
    >>> less = without(encoded, Line.of(encoded), np.array([[0], [2]]))
    >>> [less.sdx_start.tolist(), less.procedure_start.tolist(), (less.sdx == encoded.sdx[1]).tolist()]
    [[0, 1, 3], [0, 1, 1], [True, False, True]]
    """
    row = line.row[dropped[:, 0]]
    is_sdx, place = line.is_sdx[dropped], line.place[dropped]
    sdx, sdx_start, sdx_row = _kept(encoded.sdx_start, row, np.where(is_sdx, place, -1))
    procedures, procedure_start, procedure_row = _kept(encoded.procedure_start, row, np.where(is_sdx, -1, place))
    return Encoded(
        pdx=encoded.pdx[row],
        sex=encoded.sex[row],
        discharge_status=encoded.discharge_status[row],
        hospital_status=encoded.hospital_status[row],
        sdx=encoded.sdx.take(sdx),
        sdx_start=sdx_start,
        sdx_row=sdx_row,
        poa=None if encoded.poa is None else encoded.poa.take(sdx),
        procedures=encoded.procedures.take(procedures),
        procedure_start=procedure_start,
        procedure_row=procedure_row,
    )


def _kept(start: Index, row: Index, dropped: Index) -> tuple[Index, Index, NDArray[np.int32]]:
    """Return the positions left of one list of each row, where each row's begin, and whose each is.

    Args:
        start: (n + 1,) where the list of each admission begins.
        row: (k,) the admission.
        dropped: (k, w) places in its list, -1 where none of this list is dropped.
    """
    begin = start[row]
    length = start[row + 1] - begin
    positions, which = stretches(begin, length)
    first = np.cumsum(length) - length
    keep = np.ones(len(positions), np.bool_)
    for column in dropped.T:
        some = np.flatnonzero(column >= 0)
        keep[first[some] + column[some]] = False
    left = which[keep]
    ends = np.concatenate([[0], np.cumsum(np.bincount(left, minlength=len(row)))])
    return positions[keep], ends, left.astype(np.int32)


def unseen(encoded: Encoded, line: Line, rules: Attributes) -> Bools:
    """Return which codes no step of the grouper can see, (m,) in the line's order.

    Leaving one out changes nothing, whatever else the admission has: no formula, severity, cluster, count or
    hospital-acquired condition knows it. At a hospital of unknown POA status every secondary code is counted.
    """
    diagnoses = rules.diagnoses
    pdx_class = diagnoses.role_class[diagnoses.role[encoded.pdx], encoded.sex]
    # Beside an incident PDX of a newborn, every valid code that is not incident decides (ONLY:incident).
    newborn = rules.rulebook.class_incident[pdx_class]
    counted = encoded.hospital_status == HOSPITAL_STATUS["UNKNOWN"]
    seen = diagnoses.kind[encoded.sdx] > 0
    seen |= newborn[encoded.sdx_row] & diagnoses.valid[encoded.sdx] & ~diagnoses.incident[encoded.sdx]
    seen |= counted[encoded.sdx_row]
    hidden = np.empty(len(line.row), np.bool_)
    hidden[line.sdx_at] = ~seen
    hidden[line.procedure_at] = ~_seen_procedures(rules)[encoded.procedures]
    return hidden


@lru_cache(maxsize=16)
def _seen_procedures(rules: Attributes) -> Bools:
    """Return which procedures any step can see, by codebook number."""
    procedures = rules.procedures
    shows = (procedures.claim > 0) | (procedures.view > 0).any(axis=0) | (hac_rules(rules).procedure_word > 0)
    return shows[procedures.operand_set] | (procedures.part > 0)
