"""Claims as integers, as the editor reads them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from drgsim.editing.edit_rules import SEX_NUMBERS, STATUS_PLACES, CodeFlags, EditRules
from drgsim.numerics.arrays import BoolArray, ByteArray, Int32Array, Int64Array
from drgsim.schema import normalise_codes
from drgsim.tables.codebook import UNKNOWN_CODE, number_letters
from drgsim.tables.encoding import find_list_owners, find_list_starts, flatten_lists

NO_AGE = -1
NO_STAY = np.iinfo(np.int32).max
# Characters up to the blank, or zeros alone; a no-break space is no blank (EDITS of CMS's editor, blank codes).
_BLANK = r"^[\x00-\x20]*$|^0+$"


@dataclass(frozen=True, eq=False)
class EncodedClaims:
    """Claims as integers. Lists lie end to end; row i holds positions start[i] to start[i + 1].

    `ranges` (n,) are ranges of dates (see `EditRules`). `pdx`, `admit_dx`, `sdx` and `procedures` are code numbers:
    0 is no known code, `blank` of the kind is no code at all. Where `is_pdx_missing`, the first secondary diagnosis
    is the principal one. `duplicates` are positions of secondary diagnoses that repeat the principal one.
    """

    ranges: Int64Array
    age: Int32Array
    sex: ByteArray
    status_place: NDArray[np.uint16]
    los_days: Int32Array
    pdx: Int32Array
    admit_dx: Int32Array
    sdx: Int32Array
    sdx_start: Int64Array
    sdx_row: Int32Array
    procedures: Int32Array
    procedure_start: Int64Array
    procedure_row: Int32Array
    is_pdx_missing: BoolArray
    duplicates: Int64Array

    def __len__(self) -> int:
        """Number of claims."""
        return len(self.pdx)


def encode_claims(frame: pl.DataFrame, rules: EditRules, *, as_typed: bool = False) -> EncodedClaims:
    """Return claims as integers.

    A missing age is -1, a missing sex U, a missing status an invalid one; a missing stay raises no edit. A code is
    blank by its text as given, however codes are read.

    Args:
        frame: (n,) rows of `schema.CLAIMS_TO_EDIT` that have been checked.
        rules: the rules, whose code numbers are used.
        as_typed: read codes as CMS's program does, where dots and blanks are part of the code, instead of as
            `schema.normalise_codes` writes them.
    """
    sdx_text = flatten_lists(frame["sdx"])
    sdx_start, procedure_start = find_list_starts(frame["sdx"]), find_list_starts(frame["procedures"])
    is_pdx_missing = frame["pdx"].is_null().to_numpy() & (np.diff(sdx_start) > 0)
    pdx, sdx = (_numbers(texts, rules.diagnoses, as_typed=as_typed) for texts in (frame["pdx"], sdx_text))
    pdx[is_pdx_missing] = sdx[sdx_start[:-1][is_pdx_missing]]
    sdx_row = find_list_owners(sdx_start)
    texts = _DiagnosisTexts(frame["pdx"], sdx_text, sdx_start, sdx_row)
    return EncodedClaims(
        ranges=rules.find_ranges(frame["discharge_date"]),
        age=_whole_numbers(frame, "age", NO_AGE),
        sex=number_letters(frame["sex"].fill_null("U"), SEX_NUMBERS, tidy=True),
        status_place=_status_places(frame["discharge_status"]),
        los_days=_whole_numbers(frame, "los_days", NO_STAY),
        pdx=pdx,
        admit_dx=_admit_dx(frame, rules.diagnoses, as_typed=as_typed),
        sdx=sdx,
        sdx_start=sdx_start,
        sdx_row=sdx_row,
        procedures=_numbers(flatten_lists(frame["procedures"]), rules.procedures, as_typed=as_typed),
        procedure_start=procedure_start,
        procedure_row=find_list_owners(procedure_start),
        is_pdx_missing=is_pdx_missing,
        duplicates=_find_typed_duplicates(texts)
        if as_typed
        else _find_duplicates(pdx, sdx, texts, rules.diagnoses.blank),
    )


def _admit_dx(frame: pl.DataFrame, flags: CodeFlags, *, as_typed: bool) -> Int32Array:
    if "admit_dx" not in frame.columns:
        return np.full(len(frame), flags.blank, np.int32)
    return _numbers(frame["admit_dx"], flags, as_typed=as_typed)


def _whole_numbers(frame: pl.DataFrame, name: str, missing: int) -> Int32Array:
    if name not in frame.columns:
        return np.full(len(frame), missing, np.int32)
    return frame[name].fill_null(missing).to_numpy()


def _status_places(statuses: pl.Series) -> NDArray[np.uint16]:
    """Return the place of each status; null, negative and large ones share the last."""
    last = STATUS_PLACES - 1
    places: NDArray[np.uint16] = np.minimum(statuses.fill_null(-1).to_numpy().view(np.uint32), last).astype(np.uint16)
    return places


def _numbers(texts: pl.Series, flags: CodeFlags, *, as_typed: bool) -> Int32Array:
    """Return the number of each code; `flags.blank` where there is none."""
    read = texts
    if as_typed:
        is_plain = texts.str.contains(r"^[0-9A-Za-z]*$")
        read = texts.to_frame("text").select(pl.when(is_plain).then("text")).to_series()
    numbers = flags.book.numbers(read)
    unknown = np.flatnonzero(numbers == UNKNOWN_CODE)
    if len(unknown):
        is_blank = texts.gather(unknown).fill_null("").str.contains(_BLANK).to_numpy()
        numbers[unknown[is_blank]] = flags.blank
    return numbers


@dataclass(frozen=True, eq=False)
class _DiagnosisTexts:
    """Diagnoses as given, secondary ones end to end."""

    pdx: pl.Series
    sdx: pl.Series
    sdx_start: Int64Array
    sdx_row: Int32Array

    def pairs(self, position: Int64Array) -> tuple[pl.Series, pl.Series]:
        """Return the texts of the principal and the secondary diagnosis at positions; null is empty."""
        row = self.sdx_row[position]
        pdx, first = self.pdx.gather(row), self.sdx.gather(self.sdx_start[row])
        principal = pl.DataFrame([pdx.alias("pdx"), first.alias("first")]).select(pl.coalesce("pdx", "first"))
        return principal.to_series().fill_null(""), self.sdx.gather(position).fill_null("")


def _find_typed_duplicates(texts: _DiagnosisTexts) -> Int64Array:
    """Return positions of secondary diagnoses whose text is that of the principal one."""
    principal, secondary = texts.pairs(np.arange(len(texts.sdx)))
    return np.flatnonzero((principal == secondary).to_numpy())


def _find_duplicates(pdx: Int32Array, sdx: Int32Array, texts: _DiagnosisTexts, blank: int) -> Int64Array:
    """Return positions of secondary diagnoses that repeat the principal one."""
    same = np.flatnonzero(sdx == pdx.take(texts.sdx_row))
    number = sdx[same]
    strange = np.flatnonzero((number == UNKNOWN_CODE) | (number == blank))
    if not len(strange):
        return same
    principal, secondary = texts.pairs(same[strange])
    alike = (principal == secondary).to_numpy()
    is_code = number[strange] == UNKNOWN_CODE
    alike |= is_code & (normalise_codes(principal) == normalise_codes(secondary)).to_numpy()
    return np.delete(same, strange[~alike])
