"""ICD-10 codes carried to another version: `convert_codes()`.

Source: conversion tables of CMS and NCHS, which say what a code was assigned to before. No program of CMS converts
codes; the procedure here applies the tables boundary by boundary, and a row on its own date alone.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import polars as pl

from drgsim.exceptions import InputError, SchemaError, TableError
from drgsim.schema import TEXTS, ConversionStatus
from drgsim.tables.edit_tables import EditTables
from drgsim.tables.manifest import read_table

_COLUMNS = {"current_code": pl.String, "previous_code": pl.String, "version": pl.String, "kind": pl.String}
_KINDS = {"diagnosis": "diagnoses", "procedure": "procedures"}
ROW_KINDS = ("table", "none", "combination", "derived")
"""What a row of a conversion table is: CMS's pair, CMS's word that there is none, a pair of which a second previous
code is not held, or a pair that is derived and not CMS's."""

Steps = dict[str, list[tuple[str, str]]]


@dataclass(frozen=True, eq=False)
class CodeHistory:
    """When the codes of one kind are valid, and what they become at each version.

    `valid` holds, by code, a bit for each place in the list of versions. `forward[place]` gives for an earlier code
    its current codes as of that version, each with the kind of the row; `backward[place]` the reverse.
    """

    valid: Mapping[str, int]
    forward: Mapping[int, Steps]
    backward: Mapping[int, Steps]

    def is_valid(self, code: str, place: int) -> bool:
        """Whether a code is valid in the version at `place`."""
        return bool(self.valid.get(code, 0) >> place & 1)

    def follow(self, code: str, source: int, target: int) -> tuple[list[str], set[str]]:
        """Return what a code becomes in the target, ascending, and the kinds of rows used."""
        first, last = min(source, target), max(source, target)
        throughout = (1 << last + 1) - (1 << first)
        if self.valid.get(code, 0) & throughout == throughout:
            return [code], set()
        found: dict[str, frozenset[str]] = {code: frozenset()}
        later = range(source + 1, target + 1) if target >= source else range(source, target, -1)
        for place in later:
            steps = self.forward[place] if target >= source else self.backward[place]
            at = place if target >= source else place - 1
            after: dict[str, frozenset[str]] = {}
            for each, kinds in found.items():
                if self.is_valid(each, at):
                    after[each] = after.get(each, frozenset()) | kinds
                    continue
                for other, kind in steps.get(each, ()):
                    if self.is_valid(other, at):
                        after[other] = after.get(other, frozenset()) | kinds | {kind}
            found = after
        return sorted(found), set().union(*found.values())


def convert_codes(
    codes: pl.Series | Sequence[str | None],
    from_version: str,
    to_version: str,
    *,
    kind: str = "diagnosis",
    folder: str | os.PathLike[str] | None = None,
) -> pl.DataFrame:
    """Return what ICD-10 codes of one version become in another, earlier or later.

    A code that stays valid stays as it is. A code that ends is replaced, at each version on the way, by all codes
    that CMS's tables name for that date. Forwards these are candidates, not equals: which one is right depends on the
    record. Backwards there is one answer as a rule. There and back again is not the same code.

    Args:
        codes: (n,) codes as the tables write them, without a dot and in upper case; `schema.normalise_codes` writes
            them so. Any other text is INVALID.
        from_version: the version whose codes they are, such as "42.0"; codes count as of its first day.
        to_version: the version they are carried to.
        kind: "diagnosis" (ICD-10-CM) or "procedure" (ICD-10-PCS).
        folder: a table folder of your own; by default the shipped one.

    Returns:
        (n,) rows in the order of `codes`: `code`; `status` SAME, ONE, MANY, NONE (no candidate) or INVALID
        (no code of `from_version`); `candidates`, ascending; and `basis`, the kinds of table rows that led to them:
        "table" is CMS's, "combination" is CMS's without a second code that belonged to it, and "derived" is not CMS's
        (diagnoses that begin on 2026-10-01: a new code whose stem is the ended one).

    Raises:
        InputError: `kind` is neither.
        SchemaError: the codes are no text.
        UnknownVersionError: there are no tables of a version (they run from 33.0 to 44.0).
        TableError: a table is missing, altered or malformed.

    Source: CMS and NCHS conversion tables, ICD-10-CM to FY2026 and ICD-10-PCS to FY2027.

    >>> convert_codes(["I420", "K810"], "43.1", "44.0").rows()
    [('I420', 'MANY', ['I4200', 'I4201', 'I4209'], ['derived']), ('K810', 'SAME', ['K810'], [])]
    """
    history, tables = load_code_history(kind, folder=folder), EditTables.load(folder=folder)
    source, target = tables.place_of(str(from_version)), tables.place_of(str(to_version))
    given = codes if isinstance(codes, pl.Series) else pl.Series("code", list(codes), dtype=pl.String)
    if not (given.dtype == pl.Null or isinstance(given.dtype, TEXTS)):
        raise SchemaError(f"codes are {given.dtype}, expected text.")
    given = given.cast(pl.String).alias("code")
    distinct = given.unique().drop_nulls()
    answers = [_convert(code, source, target, history) for code in distinct]
    columns = ("status", "candidates", "basis")
    types = (ConversionStatus, pl.List(pl.String), pl.List(pl.String))
    table = pl.DataFrame(
        [pl.Series(name, [row[nth] for row in answers], dtype=types[nth]) for nth, name in enumerate(columns)]
    ).with_columns(distinct)
    joined = given.to_frame().join(table, on="code", how="left", maintain_order="left")
    empty = pl.lit([], pl.List(pl.String))
    return joined.select(
        "code",
        pl.col("status").fill_null("INVALID"),
        *(pl.when(pl.col(name).is_null()).then(empty).otherwise(name).alias(name) for name in columns[1:]),
    )


def _convert(code: str, source: int, target: int, history: CodeHistory) -> tuple[str, list[str], list[str]]:
    if not history.is_valid(code, source):
        return "INVALID", [], []
    candidates, kinds = history.follow(code, source, target)
    basis = [kind for kind in ROW_KINDS if kind in kinds]
    if candidates == [code]:
        return "SAME", candidates, basis
    return ("NONE" if not candidates else "ONE" if len(candidates) == 1 else "MANY"), candidates, basis


def load_code_history(kind: str, *, folder: str | os.PathLike[str] | None = None) -> CodeHistory:
    """Return when codes of a kind ("diagnosis" or "procedure") are valid, and what they become.

    Raises:
        InputError: `kind` is neither.
        TableError: a table is missing, altered or malformed, or names a version that there is not.

    >>> load_code_history("diagnosis").is_valid("I420", 20)
    False
    """
    if kind not in _KINDS:
        raise InputError(f"kind is {kind!r}, expected one of {', '.join(map(repr, _KINDS))}.")
    tables = EditTables.load(folder=folder)
    name = f"conversion/{_KINDS[kind]}.csv"
    path = tables.folder / name
    return _load(tables, kind, name, path.stat().st_mtime_ns if path.exists() else 0)


@lru_cache(maxsize=4)
def _load(tables: EditTables, kind: str, name: str, _stamped: int) -> CodeHistory:
    rows = read_table(tables.folder, name, _COLUMNS, nullable=("previous_code",))
    place = {version: nth for nth, version in enumerate(tables.versions["version"])}
    valid: defaultdict[str, int] = defaultdict(int)
    codes = tables.diagnoses if kind == "diagnosis" else tables.procedures
    for code, first, last in codes.select("code", "first", "last").iter_rows():
        valid[code] |= (1 << last + 1) - (1 << first)
    _check_words(tables.folder / name, rows, place)
    forward: dict[int, Steps] = {nth: {} for nth in place.values()}
    backward: dict[int, Steps] = {nth: {} for nth in place.values()}
    for current, previous, version, row_kind in rows.filter(pl.col("previous_code").is_not_null()).iter_rows():
        forward[place[version]].setdefault(previous, []).append((current, row_kind))
        backward[place[version]].setdefault(current, []).append((previous, row_kind))
    return CodeHistory(dict(valid), forward, backward)


def _check_words(path: Path, rows: pl.DataFrame, place: Iterable[str]) -> None:
    for column, known in (("version", list(place)[1:]), ("kind", list(ROW_KINDS))):
        strange = ~rows[column].is_in(known)
        if strange.any():
            row = int(strange.arg_max() or 0)
            raise TableError(f"{path}, row {row + 2}: {column} {rows[column][row]!r} is not known.")
