"""What reading a file of claims gives: the admissions, and what of the file could not be mapped."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import polars as pl

REPORT = {"field": pl.String, "reason": pl.String, "count": pl.UInt32}
FLAGS = {"row": pl.UInt32, "field": pl.String, "reason": pl.String}


@dataclass(frozen=True, eq=False)
class Claims:
    r"""A file of claims, read.

    * `layout`: how the file was read, a name of `drgsim.claims.layouts.LAYOUTS`.
    * `admissions`: a row each admission, ADMISSIONS columns first.
    * `report`: `field`, `reason`, `count`: what could not be mapped, and in how many rows.
    * `flags`: `row`, `field`, `reason`: the rows of `admissions` behind each count, from 0, where the reason lies in
      single rows and not in the file as a whole.

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
    """Collects what a reader cannot map.

    >>> findings = MappingProblems()
    >>> findings.mark("age", "not given", pl.Series([False, True, True]))
    >>> findings.whole("discharge_date", "dates are shifted", 3)
    >>> findings.report().rows()
    [('discharge_date', 'dates are shifted', 3), ('age', 'not given', 2)]
    >>> findings.flags().rows()
    [(1, 'age', 'not given'), (2, 'age', 'not given')]
    """

    def __init__(self) -> None:
        """Begin with nothing found."""
        self._whole: list[tuple[str, str, int]] = []
        self._rows: dict[tuple[str, str], list[pl.Series]] = {}
        self._singles: dict[tuple[str, str], list[int]] = {}

    def whole(self, field: str, reason: str, count: int) -> None:
        """Report a fact about the file as a whole, and how many rows it concerns."""
        if count:
            self._whole.append((field, reason, count))

    def one(self, field: str, reason: str, row: int) -> None:
        """Flag one row; for readers that go through a file record by record."""
        self._singles.setdefault((field, reason), []).append(row)

    def mark(self, field: str, reason: str, rows: pl.Series) -> None:
        """Flag the rows where a (n,) Boolean is true; null is false."""
        self.rows(field, reason, rows.fill_null(value=False).arg_true())

    def rows(self, field: str, reason: str, rows: pl.Series) -> None:
        """Flag rows by number."""
        if len(rows):
            self._rows.setdefault((field, reason), []).append(rows.cast(pl.UInt32).rename("row"))

    def counted(self, lines: MappingProblems) -> None:
        """Report what was found in lines of a file that are no admissions of their own: by count, without rows."""
        for found in lines.report().rows():
            self.whole(*found)

    def flags(self) -> pl.DataFrame:
        """Return one row for each flagged row, field and reason, by row."""
        parts = [
            pl.DataFrame({"row": rows, "field": field, "reason": reason}, schema=FLAGS)
            for (field, reason), rows in self._flagged()
        ]
        return pl.concat(parts).sort("row", maintain_order=True) if parts else pl.DataFrame(schema=FLAGS)

    def report(self) -> pl.DataFrame:
        """Return fields, reasons and counts: of the file as a whole first, then of its rows."""
        counts = [(field, reason, len(rows)) for (field, reason), rows in self._flagged()]
        return pl.DataFrame([*self._whole, *counts], schema=REPORT, orient="row")

    def _flagged(self) -> Iterator[tuple[tuple[str, str], pl.Series]]:
        """Yield the distinct rows of each field and reason, in the order these were first found."""
        for key in dict.fromkeys([*self._singles, *self._rows]):
            singles = pl.Series("row", self._singles.get(key, []), dtype=pl.UInt32)
            yield key, pl.concat([singles, *self._rows.get(key, [])]).unique().sort()


_OFFSET, _PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)


def hash_admission_ids(texts: pl.Series) -> pl.Series:
    """Return an `admission_id` for each identifier, (n,) UInt64; it depends on that identifier alone.

    A whole number is itself; any other text is its FNV-1a hash of 64 bits. Two texts of ten million share a hash
    with a probability of three in a million. Null stays null.

    Source: Fowler, Noll, Vo, "The FNV Non-Cryptographic Hash Algorithm" (IETF draft).

    >>> hash_admission_ids(pl.Series(["17", "a", None])).to_list()
    [17, 12638187200555641996, None]
    """
    numbers = texts.cast(pl.UInt64, strict=False)
    plain = numbers.cast(pl.String) == texts  # 007 and +7 are texts of their own
    hashed = pl.Series(_fnv(texts.fill_null("")), dtype=pl.UInt64)
    return numbers.zip_with(plain.fill_null(value=False), hashed).set(texts.is_null(), None).alias("admission_id")


def _fnv(texts: pl.Series) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    """Hash all texts at once, a byte of each at a time."""
    lengths = texts.str.len_bytes().to_numpy()
    everything = np.frombuffer("".join(texts).encode(), np.uint8).astype(np.uint64)
    starts = np.cumsum(lengths, dtype=np.int64) - lengths
    hashes = np.full(len(texts), _OFFSET)
    for place in range(int(lengths.max(initial=0))):
        there = np.flatnonzero(lengths > place)
        hashes[there] = (hashes[there] ^ everything[starts[there] + place]) * _PRIME
    return hashes
