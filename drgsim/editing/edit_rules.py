"""The editor's tables as arrays: codes, and what a claim must satisfy, on every date."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import polars as pl

from drgsim.editing.edit_names import Edit, list_edits
from drgsim.numerics.arrays import BoolArray, Int32Array, Int64Array, UInt32Array
from drgsim.tables.codebook import Codebook
from drgsim.tables.edit_tables import VALID, EditTables, find_range, holds_on, list_first_days

SEX_NUMBERS = {"M": 1, "F": 2, "U": 3}
"""Sexes known to the editor; 0 is any other text."""
STATUS_PLACES = 257
"""Discharge statuses 0 to 255; the last place is for null and for what cannot be a status."""
AGE_GROUPS = ("newborn", "pediatric", "maternity", "adult")
PDX_FLAGS = ("external_cause", "manifestation", "questionable_admission", "unacceptable", "requires_secondary")
"""Flags that matter for a principal diagnosis alone."""


@dataclass(frozen=True, eq=False)
class CodeFlags:
    """Flags of all codes of one kind: `words[version, number]`, VALID and a bit for each flag.

    Number 0 is any text that is no code; `blank` is a code that is not there, valid and without flags. In the last
    version, for dates the editor does not take, everything is valid and without flags.
    """

    book: Codebook
    words: UInt32Array
    bit: dict[str, np.uint32]

    @property
    def blank(self) -> int:
        """Number of a blank code."""
        return int(self.words.shape[1]) - 1

    def any_of(self, *flags: str) -> np.uint32:
        """Return the bits of some flags as one word."""
        return np.uint32(np.bitwise_or.reduce([self.bit[flag] for flag in flags]))

    def look_up(self, version: Int64Array, numbers: Int32Array, row: Int32Array | None = None) -> UInt32Array:
        """Return the word of each code in the version of its claim, (k,).

        Args:
            version: (n,) the version of each claim.
            numbers: (k,) the codes.
            row: (k,) the claim of each code; by default code i is of claim i.
        """
        first = (version * self.words.shape[1]).astype(np.int32)
        at = first if row is None else first.take(row, mode="clip")
        at += numbers
        found: UInt32Array = self.words.ravel().take(at, mode="clip")
        return found

    def without(self, *flags: str) -> CodeFlags:
        """Return the same codes without some of their flags."""
        return CodeFlags(self.book, self.words & ~self.any_of(*flags), self.bit)


@dataclass(frozen=True, eq=False)
class EditRules:
    """The rules of all dates.

    Ranges of dates are numbered from 1, oldest first; 0 is no valid date.

    `version[range]` is a place in the words of codes. `status_valid[range, place]` and `sex_valid[range, number]` say
    what a claim may have, `lowest` and `highest`, by flag, what `limits.csv` allows in each range. `secondary` are the
    diagnoses without the flags that only matter for a principal one: these are common, and nine of ten codes are left
    without any.
    """

    first_days: pl.Series
    version: Int64Array
    is_dated: BoolArray
    status_valid: BoolArray
    sex_valid: BoolArray
    lowest: dict[str, Int32Array]
    highest: dict[str, Int32Array]
    diagnoses: CodeFlags
    secondary: CodeFlags
    procedures: CodeFlags
    counts_for_payment: int

    def find_ranges(self, days: pl.Series) -> Int64Array:
        """Return the range of dates of each day, (n,); 0 for null."""
        given = days.to_physical().fill_null(np.iinfo(np.int32).min).to_numpy()
        first = int(self.first_days.to_physical()[0]) - 1
        places = np.clip(given, first, first + len(self._range_of_day) - 1) - first
        ranges: Int64Array = self._range_of_day.take(places)
        return ranges

    @cached_property
    def _range_of_day(self) -> Int64Array:
        """The range of each day, from the day before the first range on."""
        first, last = int(self.first_days.to_physical()[0]) - 1, int(self.first_days.to_physical()[-1])
        return find_range(self.first_days, pl.Series(np.arange(first, last + 1, dtype=np.int32)).cast(pl.Date)) + 1

    def is_outside(self, flag: str, ranges: Int64Array, values: Int32Array) -> BoolArray:
        """Return whether ages or stays are outside what a flag allows, (k,)."""
        outside: BoolArray = (values < self.lowest[flag][ranges]) | (values > self.highest[flag][ranges])
        return outside


@lru_cache(maxsize=4)
def compile_edit_rules(tables: EditTables) -> EditRules:
    """Return the rules of claim edits as arrays.

    >>> rules = compile_edit_rules(EditTables.load())
    >>> number = rules.diagnoses.book.numbers(pl.Series(["N400"]))
    >>> bool((rules.diagnoses.words[-2, number] & rules.diagnoses.bit["adult"]).item())
    True
    """
    first_days = list_first_days(tables.versions, tables.limits, tables.sexes, tables.discharge_statuses)
    held = holds_on(tables.versions, first_days)
    undated = len(tables.versions)
    version = np.append(undated, np.where(held.any(axis=1), held.argmax(axis=1), undated))
    status = np.zeros((len(version), STATUS_PLACES), np.bool_)
    statuses = tables.discharge_statuses["discharge_status"].to_numpy()
    for place, rows in enumerate(holds_on(tables.discharge_statuses, first_days), start=1):
        status[place, statuses[rows]] = True
    sex = np.zeros((len(version), len(SEX_NUMBERS) + 1), np.bool_)
    sexes = tables.sexes["sex"].replace_strict(SEX_NUMBERS, return_dtype=pl.UInt8).to_numpy()
    for place, rows in enumerate(holds_on(tables.sexes, first_days), start=1):
        sex[place, sexes[rows]] = True
    lowest, highest = _limits(tables, first_days)
    diagnoses = _code_flags(tables, "diagnosis", tables.diagnoses)
    names = list_edits(folder=tables.folder).filter(edit_type="PREPAYMENT")["edit"]
    return EditRules(
        first_days=first_days,
        version=version,
        is_dated=version != undated,
        status_valid=status,
        sex_valid=sex,
        lowest=lowest,
        highest=highest,
        diagnoses=diagnoses,
        secondary=diagnoses.without(*PDX_FLAGS),
        procedures=_code_flags(tables, "procedure", tables.procedures),
        counts_for_payment=sum(Edit[name].bit for name in names),
    )


def _code_flags(tables: EditTables, kind: str, codes: pl.DataFrame) -> CodeFlags:
    book = Codebook.of(codes["code"].unique().sort())
    words = tables.bits(kind, book.codes)
    words = np.vstack([words, np.full_like(words[:1], VALID)])
    return CodeFlags(book, np.column_stack([words, np.full(len(words), VALID)]), tables.flag_bits(kind))


def _limits(tables: EditTables, first_days: pl.Series) -> tuple[dict[str, Int32Array], dict[str, Int32Array]]:
    """Return the lowest and the highest number that each flag allows in each range of dates."""
    lowest, highest, most = {}, {}, np.iinfo(np.int32).max
    for flag in tables.limits["flag"].unique(maintain_order=True):
        rows = tables.limits.filter(flag=flag)
        held = holds_on(rows, first_days)
        row, known = np.append(0, held.argmax(axis=1)), np.append(False, held.any(axis=1))
        lowest[flag] = np.where(known, rows["minimum"].to_numpy()[row], np.iinfo(np.int32).min).astype(np.int32)
        highest[flag] = np.where(known, rows["maximum"].fill_null(most).to_numpy()[row], most).astype(np.int32)
    return lowest, highest
