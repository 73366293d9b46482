"""The result of reading claims: admissions, and a report of what could not be mapped."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import polars as pl

REPORT = {"field": pl.String, "reason": pl.String, "count": pl.UInt32}
FLAGS = {"row": pl.UInt32, "field": pl.String, "reason": pl.String}


@dataclass(frozen=True, eq=False)
class Claims:
    r"""The claims of a file, and what of the file could not be mapped.

    * `layout`: how the file was read: a name of `drgsim.claims.layouts.LAYOUTS`.
    * `admissions`: one row an admission, ADMISSIONS columns first.
    * `report`: `field`, `reason`, `count`: what could not be mapped, why, and in how many rows.
    * `flags`: `row`, `field`, `reason`: the rows of `admissions` (from 0) that a count of the report counts, where the
      reason concerns single rows and not the whole file.

    >>> import tempfile
    >>> from pathlib import Path
    >>> from drgsim.claims.layouts import map_claims
    >>> path = Path(tempfile.mkdtemp()) / "claims.csv"
    >>> _ = path.write_text("admission_id,age,sex,discharge_status,dx1,dx2,dx3\n7,54,F,1,K81.0,,I10\n")
    >>> claims = map_claims(path)
    >>> claims.layout, claims.flags.rows()
    ('wide', [(0, 'dx', 'gap in sequence numbers')])
    """

    layout: str
    admissions: pl.DataFrame = field(repr=False)
    report: pl.DataFrame = field(repr=False)
    flags: pl.DataFrame = field(repr=False)


class MappingProblems:
    """A collection of what a reader cannot map.

    >>> problems = MappingProblems()
    >>> problems.flag_where("age", "not given", pl.Series([False, True, True]))
    >>> problems.report_file("discharge_date", "dates are shifted", 3)
    >>> problems.report().rows()
    [('discharge_date', 'dates are shifted', 3), ('age', 'not given', 2)]
    >>> problems.flags().rows()
    [(1, 'age', 'not given'), (2, 'age', 'not given')]
    """

    def __init__(self) -> None:
        """Begin with no problem."""
        self._of_file: list[tuple[str, str, int]] = []
        self._of_rows: dict[tuple[str, str], list[pl.Series]] = {}
        self._of_single_rows: dict[tuple[str, str], list[int]] = {}

    def report_file(self, field: str, reason: str, count: int) -> None:
        """Report a problem of the whole file, and how many rows it concerns."""
        if count:
            self._of_file.append((field, reason, count))

    def flag_row(self, field: str, reason: str, row: int) -> None:
        """Flag one row; for readers that read record by record."""
        self._of_single_rows.setdefault((field, reason), []).append(row)

    def flag_where(self, field: str, reason: str, rows: pl.Series) -> None:
        """Flag the rows where a (n,) Boolean is true; null is false."""
        self.flag_rows(field, reason, rows.fill_null(value=False).arg_true())

    def flag_rows(self, field: str, reason: str, rows: pl.Series) -> None:
        """Flag rows by number."""
        if len(rows):
            self._of_rows.setdefault((field, reason), []).append(rows.cast(pl.UInt32).rename("row"))

    def report_counts(self, lines: MappingProblems) -> None:
        """Report problems of lines that are not admissions themselves: counts, without rows."""
        for name, reason, count in lines.report().rows():
            self.report_file(name, reason, count)

    def flags(self) -> pl.DataFrame:
        """Return the flags, one row for each row, field and reason, sorted by row."""
        parts = [
            pl.DataFrame({"row": rows, "field": field, "reason": reason}, schema=FLAGS)
            for (field, reason), rows in self._iterate_flagged()
        ]
        return pl.concat(parts).sort("row", maintain_order=True) if parts else pl.DataFrame(schema=FLAGS)

    def report(self) -> pl.DataFrame:
        """Return the report: problems of the whole file first, then those of its rows."""
        counts = [(field, reason, len(rows)) for (field, reason), rows in self._iterate_flagged()]
        return pl.DataFrame([*self._of_file, *counts], schema=REPORT, orient="row")

    def _iterate_flagged(self) -> Iterator[tuple[tuple[str, str], pl.Series]]:
        """Yield the distinct rows of each field and reason, in the order of the first finding."""
        for key in dict.fromkeys([*self._of_single_rows, *self._of_rows]):
            singles = pl.Series("row", self._of_single_rows.get(key, []), dtype=pl.UInt32)
            yield key, pl.concat([singles, *self._of_rows.get(key, [])]).unique().sort()


_OFFSET, _PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)


def hash_admission_ids(texts: pl.Series) -> pl.Series:
    """Return an `admission_id` for each identifier, (n,) UInt64.

    The id depends on the identifier alone: a whole number stays as it is, any other text becomes its 64-bit FNV-1a
    hash. The probability that two of ten million texts share a hash is three in a million. Null stays null.

    Source: Fowler, Noll, Vo, "The FNV Non-Cryptographic Hash Algorithm" (IETF draft).

    >>> hash_admission_ids(pl.Series(["17", "a", None])).to_list()
    [17, 12638187200555641996, None]
    """
    numbers = texts.cast(pl.UInt64, strict=False)
    plain = numbers.cast(pl.String) == texts  # 007 and +7 differ from 7
    hashed = pl.Series(_hash_fnv(texts.fill_null("")), dtype=pl.UInt64)
    return numbers.zip_with(plain.fill_null(value=False), hashed).set(texts.is_null(), None).alias("admission_id")


def _hash_fnv(texts: pl.Series) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    """Return the FNV-1a hash of each text; one byte of all texts at a time."""
    lengths = texts.str.len_bytes().to_numpy()
    all_bytes = np.frombuffer("".join(texts).encode(), np.uint8).astype(np.uint64)
    starts = np.cumsum(lengths, dtype=np.int64) - lengths
    hashes = np.full(len(texts), _OFFSET)
    for place in range(int(lengths.max(initial=0))):
        longer = np.flatnonzero(lengths > place)
        hashes[longer] = (hashes[longer] ^ all_bytes[starts[longer] + place]) * _PRIME
    return hashes
