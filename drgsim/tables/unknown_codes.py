"""Codes that are none of a grouper version, counted by what they look like."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
import polars as pl

from drgsim.numerics.arrays import BoolArray
from drgsim.schema import normalise_codes
from drgsim.tables.codebook import Codebook, load_codebooks
from drgsim.tables.table_set import TableSet

UNKNOWN_CODES = {"field": pl.String, "looks_like": pl.String, "count": pl.UInt32, "codes": pl.UInt32}
"""Columns of a count: field (`pdx`, `sdx`, `procedures`), what the codes look like, how many of them there are, and how
many codes the field has in all."""
OTHER_VERSION = "code of another version"
LOOKS = (
    OTHER_VERSION,
    "ICD-9",
    "code with a POA indicator",
    "several codes",
    "code without its leading zero",
    "letter for a digit",
    "category that needs more characters",
    "code with characters added",
    "CPT or HCPCS",
    "number of a spreadsheet",
    "something else",
)
"""What an unknown code looks like, in the order in which it is tried."""
_FIELDS = {"pdx": "principal diagnoses", "sdx": "secondary diagnoses", "procedures": "procedures"}
_ICD_9 = {
    "dx": re.compile(r"\d{3}(\.?\d{1,2})?|V\d\d(\.?\d{1,2})?|E\d{3}(\.?\d)?"),
    "pr": re.compile(r"\d{2}\.\d{1,2}|\d{3,4}"),
}
_POA = re.compile(r"(.+?)[\s(\[:/^-]*([YNUW1])[\s)\]]*")
_CPT = re.compile(r"\d{5}|[A-Z]\d{4}|\d{4}[FTU]")
_NUMBER = re.compile(r"INF|-?\d+(\.\d+)?E[+-]?\d+|\d+\.0+")
_PCS_LENGTH = 7


def count_unknown_texts(
    fields: Mapping[str, pl.Series], tables: TableSet, *, any_version: bool = False
) -> pl.DataFrame:
    """Return the codes that are none of a version as `UNKNOWN_CODES`.

    Args:
        fields: of `pdx`, `sdx` and `procedures`: the codes end to end, as text; null and blank ones count for nothing.
        tables: the version.
        any_version: whether a code of any version of the table folder is one.

    >>> texts = {"sdx": pl.Series(["J9601", "4019", "J9601Y", "J96.0", None])}
    >>> count_unknown_texts(texts, TableSet.load("43.1")).rows()[:2]
    [('sdx', 'ICD-9', 1, 4), ('sdx', 'code with a POA indicator', 1, 4)]
    """
    parts = []
    for field, texts in fields.items():
        given = texts.filter((texts.str.strip_chars() != "").fill_null(value=False))
        kind, book, valid = _select_codes(field, tables, any_version=any_version)
        numbers = book.numbers(given)
        unknown = given.filter(~valid[numbers])
        parts.append(tabulate_unknown_codes(field, kind, unknown, len(given), tables))
    return pl.concat(parts) if parts else pl.DataFrame(schema=UNKNOWN_CODES)


def tabulate_unknown_codes(field: str, kind: str, unknown: pl.Series, codes: int, tables: TableSet) -> pl.DataFrame:
    """Return unknown codes of one field, counted by what they look like.

    Args:
        field: `pdx`, `sdx` or `procedures`.
        kind: `dx` or `pr`.
        unknown: their texts, one for each occurrence.
        codes: number of codes of the field, known or not.
        tables: any version of the table folder.

    >>> frame = tabulate_unknown_codes("sdx", "dx", pl.Series(["4019", "4019"]), 40, TableSet.load("43.1"))
    >>> frame.rows()
    [('sdx', 'ICD-9', 2, 40)]
    """
    if not len(unknown):
        return pl.DataFrame(schema=UNKNOWN_CODES)
    counts = normalise_codes(unknown).rename("code").value_counts(name="count")
    texts = unknown.unique()
    by_code = dict(zip(normalise_codes(texts), texts.str.strip_chars().str.to_uppercase(), strict=True))
    looks = pl.Series("looks_like", [_look_of(code, by_code[code], kind, tables) for code in counts["code"]], pl.String)
    order = pl.DataFrame({"looks_like": LOOKS}).with_row_index("place")
    summed = counts.with_columns(looks).group_by("looks_like").agg(pl.col("count").sum())
    return (
        summed.join(order, on="looks_like")
        .sort("place")
        .select(field=pl.lit(field), looks_like="looks_like", count="count", codes=pl.lit(codes))
        .cast(UNKNOWN_CODES)  # type: ignore[arg-type]  # Mapping is invariant in its keys
    )


def describe_unknown_codes(counts: pl.DataFrame, version: str) -> list[str]:
    """Return a line of text for each field with unknown codes.

    Args:
        counts: columns of `UNKNOWN_CODES`.
        version: a grouper version, or other words for what the codes are not of.

    >>> counts = pl.DataFrame([("sdx", "ICD-9", 10, 40), ("sdx", "several codes", 2, 40)], UNKNOWN_CODES, orient="row")
    >>> describe_unknown_codes(counts, "43.1")
    ['12 of 40 secondary diagnoses are not codes of 43.1: 10 ICD-9, 2 several codes']
    """
    lines = []
    for (field,), part in counts.group_by("field", maintain_order=True):
        total, codes = int(part["count"].sum()), int(part["codes"][0])
        looks = ", ".join(f"{count:,} {look}" for look, count in part.select("looks_like", "count").iter_rows())
        lines.append(f"{total:,} of {codes:,} {_FIELDS[str(field)]} are not codes of {version}: {looks}")
    return lines


# ---------------------------------------------------------------------------------------------------------


def _select_codes(field: str, tables: TableSet, *, any_version: bool) -> tuple[str, Codebook, BoolArray]:
    """Return the kind of a field's codes, their codebook, and which numbers are known."""
    kind = "pr" if field == "procedures" else "dx"
    book = load_codebooks(tables)[kind == "pr"]
    valid = np.full(len(book.codes) + 1, any_version)
    if not any_version:
        valid[book.numbers((tables.procedures if kind == "pr" else tables.diagnoses)["code"])] = True
    valid[0] = False
    return kind, book, valid


@lru_cache(maxsize=4)
def _code_sets(version: str, kind: str) -> tuple[frozenset[str], frozenset[str]]:
    """Return the codes of all versions, and the beginnings of codes."""
    tables = TableSet.load(version)
    codes = frozenset(tables.all_procedures if kind == "pr" else tables.all_diagnoses)
    return codes, frozenset(code[:length] for code in codes for length in range(2, len(code)))


def _look_of(code: str, text: str, kind: str, tables: TableSet) -> str:
    """Return what a code in upper case without dots looks like; `text` has its dots."""
    codes, beginnings = _code_sets(tables.version, kind)
    glued = _POA.fullmatch(code)
    tests: Sequence[bool] = (
        code in codes,
        _ICD_9[kind].fullmatch(text.strip()) is not None,
        kind == "dx" and glued is not None and glued[1] in codes,
        any(mark in code for mark in ",;|") or (" " in code and all(part in codes for part in code.split())),
        kind == "pr" and len(code) < _PCS_LENGTH and code.isdigit() and code.zfill(_PCS_LENGTH) in codes,
        code.replace("O", "0").replace("I", "1").replace("L", "1") in codes
        or code[:1] + code[1:].replace("O", "0").replace("I", "1").replace("L", "1") in codes,
        code in beginnings,
        any(code[:length] in codes for length in range(3, len(code))),
        _CPT.fullmatch(code) is not None,
        _NUMBER.fullmatch(text.strip()) is not None,
        True,
    )
    return LOOKS[tests.index(True)]
