"""The tables of claim edits: valid codes, their flags, what a claim must satisfy.

Source: CMS Medicare Code Editor, versions 33.0 to 44.0; how each table is known stands in the manifest.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
import polars as pl

from drgsim.exceptions import TableError, UnknownVersionError, did_you_mean
from drgsim.numerics.arrays import BoolArray, Int64Array, UInt32Array
from drgsim.tables.manifest import read_table, table_folder

_CODES: dict[str, type[pl.DataType]] = {
    "code": pl.String,
    "first_version": pl.String,
    "last_version": pl.String,
    "flags": pl.String,
}
_DATES: dict[str, type[pl.DataType]] = {"first_date": pl.Date, "last_date": pl.Date}
_COLUMNS: dict[str, dict[str, type[pl.DataType]]] = {
    "versions": {"version": pl.String, "fiscal_year": pl.Int32, **_DATES},
    "diagnoses": _CODES,
    "procedures": _CODES,
    "edits": {"edit": pl.String, "number": pl.UInt8, "applies_to": pl.String, "edit_type": pl.String},
    "flags": {"code_kind": pl.String, "flag": pl.String, "cms_attribute": pl.String},
    "limits": {"flag": pl.String, "measure": pl.String, **_DATES, "minimum": pl.Int32, "maximum": pl.Int32},
    "sexes": {"sex": pl.String, **_DATES},
    "discharge_statuses": {"discharge_status": pl.UInt8, **_DATES},
}
_NULLABLE = ("fiscal_year", "last_date", "flags", "number", "maximum")
_TABLE_OF = {"diagnosis": "diagnoses", "procedure": "procedures"}
NO_CODE_VALID = 0
"""Place of the range of dates before ICD-10, in which no code is valid."""
VALID = np.uint32(1)
"""The bit of a code that is valid; the bits of flags follow in the order of `flags.csv`."""
FAR_FUTURE = dt.date(9999, 12, 31)


@dataclass(frozen=True, eq=False)
class EditTables:
    """The tables of claim edits of all versions. Load them with `EditTables.load`.

    `versions` has a row a range of dates, oldest first; the first is the time before ICD-10. In `diagnoses` and
    `procedures`, `first` and `last` are places in it, both included. `flags` holds blank-separated words.

    >>> tables = EditTables.load()
    >>> tables.versions["version"][-1], tables.diagnoses.filter(code="N400")["flags"].to_list()
    ('44.0', ['adult male', 'adult'])
    """

    folder: Path
    versions: pl.DataFrame = field(repr=False)
    diagnoses: pl.DataFrame = field(repr=False)
    procedures: pl.DataFrame = field(repr=False)
    edits: pl.DataFrame = field(repr=False)
    flags: pl.DataFrame = field(repr=False)
    limits: pl.DataFrame = field(repr=False)
    sexes: pl.DataFrame = field(repr=False)
    discharge_statuses: pl.DataFrame = field(repr=False)

    @classmethod
    def load(cls, *, folder: str | os.PathLike[str] | None = None) -> EditTables:
        """Return the tables of claim edits in a table folder, by default the shipped one.

        Raises:
            TableError: a table is missing, altered or malformed; the message names file and row.

        >>> EditTables.load().edits["edit"][0]
        'INVALID_CODE'
        """
        root = table_folder(folder)
        return _load(root, tuple(_stamp(root / f"editing/{name}.csv") for name in _COLUMNS))

    def place_of(self, version: str) -> int:
        """Return the place of a version in `versions`.

        Raises:
            UnknownVersionError: there are no tables of that version.
        """
        known = self.versions["version"].to_list()[NO_CODE_VALID + 1 :]
        if version not in known:
            hint = did_you_mean(version, known) or f" Known: {', '.join(known)}."
            raise UnknownVersionError(f"no table of codes is of version {version!r}.{hint}")
        return known.index(version) + NO_CODE_VALID + 1

    def bits(self, kind: str, codes: pl.Series) -> UInt32Array:
        """Return VALID and the flags of each code in each version, (versions, codes + 1) words.

        Code 0 is no code.

        Args:
            kind: "diagnosis" or "procedure".
            codes: (k,) codes, none twice, in the order in which they are numbered from 1.
        """
        bit = self.flag_bits(kind)
        table: pl.DataFrame = getattr(self, _TABLE_OF[kind])
        words = np.zeros((len(self.versions), len(codes) + 1), np.uint32)
        number = pl.DataFrame({"code": codes, "number": np.arange(1, len(codes) + 1)})
        rows = table.join(number, on="code", how="inner")
        sets = rows["flags"].fill_null("").unique().to_list()
        word_of = {text: sum((bit[flag] for flag in text.split()), VALID) for text in sets}
        word = rows["flags"].fill_null("").replace_strict(word_of, return_dtype=pl.UInt32).to_numpy()
        at, first, last = rows["number"].to_numpy(), rows["first"].to_numpy(), rows["last"].to_numpy()
        for place in range(len(words)):
            held = (first <= place) & (place <= last)
            words[place, at[held]] = word[held]
        return words

    def flag_bits(self, kind: str) -> dict[str, np.uint32]:
        """Return the bit of each flag of "diagnosis" or "procedure" codes.

        >>> EditTables.load().flag_bits("procedure")["noncovered"]
        np.uint32(8)
        """
        names = self.flags.filter(code_kind=kind)["flag"]
        return {name: np.uint32(1 << nth) for nth, name in enumerate(names, start=1)}


def _stamp(path: Path) -> int:
    return path.stat().st_mtime_ns if path.exists() else 0


@lru_cache(maxsize=4)
def _load(root: Path, _stamped: tuple[int, ...]) -> EditTables:
    frames = {}
    for name, columns in _COLUMNS.items():
        frames[name] = read_table(root, f"editing/{name}.csv", columns, nullable=_NULLABLE)
    place = {version: nth for nth, version in enumerate(frames["versions"]["version"])}
    for kind, name in _TABLE_OF.items():
        path = root / f"editing/{name}.csv"
        frames[name] = _with_places(path, frames[name], place)
        _refuse_unknown_flags(path, frames[name], frames["flags"].filter(code_kind=kind)["flag"].to_list())
    return EditTables(folder=root, **frames)


def _with_places(path: Path, table: pl.DataFrame, place: dict[str, int]) -> pl.DataFrame:
    table = table.with_columns(
        first=pl.col("first_version").replace_strict(place, default=None, return_dtype=pl.Int16),
        last=pl.col("last_version").replace_strict(place, default=None, return_dtype=pl.Int16),
    )
    strange = table.select(pl.any_horizontal(pl.col("first", "last").is_null()) | (pl.col("last") < pl.col("first")))
    if strange.to_series().fill_null(value=True).any():
        row = int(strange.to_series().fill_null(value=True).arg_max() or 0) + 2
        raise TableError(f"{path}, row {row}: first_version and last_version are no range of versions.")
    again = table.with_columns(before=pl.col("last").shift().over("code", order_by="first"))
    twice = (again["before"] >= again["first"]).fill_null(value=False)
    if twice.any():
        raise TableError(f"{path}, row {int(twice.arg_max() or 0) + 2}: the code has another row in the same version.")
    return table.select("code", "first", "last", "flags")


def _refuse_unknown_flags(path: Path, table: pl.DataFrame, known: Sequence[str]) -> None:
    strange = {flag for text in table["flags"].drop_nulls().unique() for flag in text.split()} - set(known)
    if strange:
        raise TableError(f"{path}: flag {min(strange)!r} is not in editing/flags.csv. Known: {', '.join(known)}.")


def find_range(first: pl.Series, days: pl.Series) -> Int64Array:
    """Return the place of the last of ascending `first` days that is not after each day, (n,).

    It is -1 before all of them, and where the day is null.

    >>> starts = pl.Series([dt.date(2026, 4, 1), dt.date(2026, 10, 1)])
    >>> find_range(starts, pl.Series([dt.date(2026, 9, 30), None, dt.date(2020, 1, 1)])).tolist()
    [0, -1, -1]
    """
    edges = first.to_physical().to_numpy()
    given = days.to_physical().fill_null(np.iinfo(np.int32).min).to_numpy()
    return np.searchsorted(edges, given, side="right") - 1


def list_first_days(*tables: pl.DataFrame) -> pl.Series:
    """Return the days on which a row of any of these tables begins to hold or has ended."""
    days = [table["first_date"] for table in tables]
    days += [table["last_date"].drop_nulls().dt.offset_by("1d") for table in tables]
    return pl.concat(days).unique().sort()


def holds_on(table: pl.DataFrame, days: pl.Series) -> BoolArray:
    """Return whether each row of a table with dates holds on each day, (days, rows)."""
    first = table["first_date"].to_physical().to_numpy()
    last = table["last_date"].fill_null(FAR_FUTURE).to_physical().to_numpy()
    day = days.to_physical().to_numpy()[:, None]
    return (first <= day) & (day <= last)
