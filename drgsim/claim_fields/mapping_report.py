"""The result of reading claims: admissions, and a report of what could not be mapped."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from drgsim.schema import ADMISSIONS
from drgsim.tables.table_set import TableSet, versions
from drgsim.tables.unknown_codes import count_unknown_texts, describe_unknown_codes

ABSENT, KEPT = "not in the file", "kept as it is"
KINDS = ("changed", "left blank", "left out", "flagged")
"""What was done with a part of a file."""
_WORDS = {
    "left blank": re.compile("left blank|not given"),
    "left out": re.compile("left out|not read"),
    "changed": re.compile(r"\bread\b|\btaken\b|days before months|read without"),
}
_MOST_NAMES = 12
REPORT = {"field": pl.String, "reason": pl.String, "count": pl.UInt32}
FLAGS = {"row": pl.UInt32, "field": pl.String, "reason": pl.String}


@dataclass(frozen=True, eq=False)
class Claims:
    r"""The claims of a file, and what of the file could not be mapped.

    * `layout`: how the file was read: a name of `drgsim.claims.layouts.LAYOUTS`.
    * `admissions`: one row an admission, ADMISSIONS columns first.
    * `report`: `field`, `reason`, `count`: what was changed, left out or could not be mapped, and in how many rows.
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

    def __str__(self) -> str:
        """Return the report in a few lines, with codes that are none of any version: `describe()`."""
        return self.describe()

    def describe(self, version: str | None = None, *, count_codes: bool = True) -> str:
        """Return in a few lines what was read, changed, left out and flagged, and unknown codes.

        Args:
            version: the grouper version whose codes count; None counts those of any version.
            count_codes: whether to count unknown codes.

        >>> codes = {"pdx": ["K810"], "sdx": [["4019"]], "procedures": [[]], "age": [54]}
        >>> report = pl.DataFrame([("los_days", "not in the file", 1), ("dx", "gap in sequence numbers", 1)], REPORT,
        ...                       orient="row")
        >>> print(Claims("wide", pl.DataFrame(codes), report, pl.DataFrame(schema=FLAGS)).describe("43.1"))
        wide: 1 row read
          read: age, pdx, sdx, procedures
          not in the file: los_days
          flagged: dx: gap in sequence numbers (1)
          not codes: 1 of 1 secondary diagnoses are not codes of 43.1: 1 ICD-9
        """
        rows = self.admissions.height
        lines = [f"{self.layout}: {rows:,} row{'' if rows == 1 else 's'} read"]
        found = [name for name in ADMISSIONS.names if name in self.admissions.columns]
        lines.append(f"  read: {', '.join(name for name in found if self.admissions[name].count())}")
        by_kind: dict[str, list[str]] = {}
        for name, reason, count in self.report.iter_rows():
            kind = classify_reason(reason)
            shown = name if kind in (ABSENT, KEPT) else f"{name}: {reason} ({count:,})"
            by_kind.setdefault(kind, []).append(shown)
        for kind in (ABSENT, KEPT):
            names = by_kind.pop(kind, [])
            more = f", … ({len(names)} columns)" if len(names) > _MOST_NAMES else ""
            lines += [f"  {kind}: {', '.join(names[:_MOST_NAMES])}{more}"] if names else []
        lines += [f"  {kind}: {one}" for kind in KINDS for one in by_kind.get(kind, [])]
        words = "any version" if version is None else version
        if count_codes:
            unknown = self.count_unknown_codes(version)
            lines += [f"  not codes: {line}" for line in describe_unknown_codes(unknown, words)]
        return "\n".join(lines)

    def count_unknown_codes(self, version: str | None = None) -> pl.DataFrame:
        """Return the codes that are none of a version, by field and by what they look like.

        Args:
            version: the grouper version; None counts codes that are none of any version.

        Raises:
            UnknownVersionError: there is no such version.

        >>> codes = pl.DataFrame({"pdx": ["K810"], "sdx": [["4019"]], "procedures": [["0FT44ZZ"]]})
        >>> none = pl.DataFrame(schema=REPORT)
        >>> Claims("wide", codes, none, none).count_unknown_codes().rows()
        [('sdx', 'ICD-9', 1, 1)]
        """
        texts: dict[str, pl.Series] = {"pdx": self.admissions["pdx"]}
        for name in ("sdx", "procedures"):
            texts[name] = self.admissions[name].cast(pl.List(pl.String)).explode(empty_as_null=False, keep_nulls=False)
        return count_unknown_texts(texts, TableSet.load(version or versions()[-1]), any_version=version is None)


def classify_reason(reason: str) -> str:
    """Return what a reason says was done: one of `KINDS`, `ABSENT` or `KEPT`.

    >>> classify_reason("unreadable, left blank"), classify_reason("ICD-9 codes, left out")
    ('left blank', 'left out')
    """
    if reason in (ABSENT, f"not mapped, {KEPT}"):
        return ABSENT if reason == ABSENT else KEPT
    return next((kind for kind, pattern in _WORDS.items() if pattern.search(reason)), "flagged")


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

    def add_rows(self, part: MappingProblems, start: int) -> None:
        """Add the problems of a part of the rows, which begins at row `start`."""
        self._of_file += part._of_file
        for (name, reason), rows in part._iterate_flagged():
            self.flag_rows(name, reason, rows + start)

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
