"""Codes of stays to principal diagnosis, secondary diagnoses and procedures, in order."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import polars as pl

from drgsim.claim_fields.code_cells import DX, PR, drop_blank_cells, normalise_clean_codes, read_code_cells
from drgsim.claim_fields.field_values import blank_words, parse_poa, parse_revisions
from drgsim.claim_fields.mapping_report import MappingProblems

CODES = {
    "row": pl.UInt32,
    "kind": pl.String,
    "principal": pl.Boolean,
    "sequence": pl.Int64,
    "code": pl.String,
    "poa": pl.String,
    "icd": pl.Int8,
}
"""Columns of a table with one row a cell of codes: row of its stay, kind (`DX` or `PR`), whether the file names it the
principal diagnosis, sequence number, code, POA indicator, and revision of ICD (9 or 10; null where the file does not
say). A cell may hold several codes (`drgsim.claim_fields.code_cells`)."""
POA_INDICATORS = ("Y", "N", "U", "W", "1", "0", "X", "Z", "E")
"""Yes, no, unknown, undetermined, exempt (1; formerly also X, Z or E at the end of a list, and 0 in older files)."""

_PART = 1 << 14
NO_PRINCIPAL = "no principal diagnosis"
TWO_PRINCIPALS = "more than one principal diagnosis, the first taken"
PRINCIPAL_AGAIN = "principal diagnosis again among the others, left out there"
ICD_9 = "ICD-9 codes, left out"
MIXED_REVISIONS = "ICD-9 and ICD-10 codes mixed"
DUPLICATE_NUMBER = "duplicate sequence number"
GAP = "gap in sequence numbers"
UNKNOWN_POA = "unknown POA indicator, kept"


def collect_wide_codes(
    table: pl.DataFrame, kind: str, columns: Sequence[tuple[str, str | None, str | None]], *, first: int = 1
) -> pl.DataFrame:
    """Return the codes of numbered columns, as `CODES`, column by column.

    Args:
        table: (n,) texts.
        kind: `DX` or `PR`.
        columns: for each code, by ascending number: the columns of the code, of its POA indicator and of its revision
            of ICD; None where there is none.
        first: sequence number of the first code.

    >>> table = pl.DataFrame({"DX1": ["K810", None], "DX2": ["I10", None]})
    >>> codes = collect_wide_codes(table, DX, [("DX1", None, None), ("DX2", None, None)])
    >>> codes.select("row", "sequence", "code").rows()
    [(0, 1, 'K810'), (0, 2, 'I10')]
    """
    parts, names = [], {name for name, dtype in table.schema.items() if dtype != pl.Null}
    for number, (code, poa, icd) in enumerate(columns, first):
        filled = table[code].is_not_null() if code in names else None
        if filled is None or not filled.any():
            continue
        rows = filled.arg_true().cast(pl.UInt32)
        part = pl.DataFrame({"row": rows, "code": table[code].gather(rows).cast(pl.String)})
        parts.append(
            part.select(
                "row",
                kind=pl.lit(kind),
                principal=pl.lit(value=False),
                sequence=pl.lit(number, pl.Int64),
                code="code",
                poa=_take_texts(table, poa if poa in names else None, rows),
                icd=parse_revisions(_take_texts(table, icd if icd in names else None, rows)),
            )
        )
    return pl.concat(parts) if parts else pl.DataFrame(schema=CODES)


def collect_lists(n: int, codes: pl.DataFrame, problems: MappingProblems, *, keep_poa: bool = False) -> pl.DataFrame:
    """Return pdx, sdx, procedures and, where there are any, POA indicators: (n,) each.

    Args:
        n: number of stays.
        codes: columns of `CODES`, in the order of the file.
        problems: receives what is flagged.
        keep_poa: whether the result has POA indicators even where all are blank.

    >>> codes = [(0, DX, False, 2, "I10", "y", 10), (0, DX, True, 1, "K810", "Y", 10)]
    >>> codes += [(0, DX, False, 3, "K81.0", "", 10)]
    >>> collect_lists(1, pl.DataFrame(codes, schema=CODES, orient="row"), MappingProblems()).row(0)
    ('K810', 'Y', ['I10'], ['Y'], [])
    """
    codes = drop_blank_cells(codes.cast(CODES), problems)  # type: ignore[arg-type]  # Mapping is invariant in its keys
    _flag_sequence(codes, problems)
    codes = read_code_cells(codes, problems)
    codes = codes.with_columns(
        poa=parse_poa(blank_words(codes["poa"])).fill_null(""),
        principal=pl.col("principal").fill_null(value=False) & (pl.col("kind") == DX),
    )
    has_poa = keep_poa or codes.filter(pl.col("kind") == DX, pl.col("poa") != "").height > 0
    codes = _drop_icd_9(codes, problems)
    problems.flag_rows("poa", UNKNOWN_POA, codes.filter(~pl.col("poa").is_in(["", *POA_INDICATORS]))["row"].unique())
    # A stable sort: codes of one number keep the order of the file, codes without a number are last.
    codes = codes.sort("row", "sequence", nulls_last=True, maintain_order=True)
    pdx, rest = _take_principals(n, codes, problems)
    lists = {"sdx": _gather_by_row(n, rest, DX, "code"), "sdx_poa": _gather_by_row(n, rest, DX, "poa")}
    found = pdx.with_columns(**lists, procedures=_gather_by_row(n, rest, PR, "code"))
    problems.flag_where("pdx", NO_PRINCIPAL, found["pdx"].is_null())
    return found if has_poa else found.drop("pdx_poa", "sdx_poa")


def collect_lists_in_parts(
    n: int, make_codes: Callable[[int, int, MappingProblems], pl.DataFrame], problems: MappingProblems
) -> pl.DataFrame:
    """Return what `collect_lists` does, some thousand stays at a time, which takes less memory.

    Args:
        n: number of stays.
        make_codes: returns the codes of stays from its first argument on, as many as its second, with rows from 0;
            problems of these rows go to its third.
        problems: receives what is flagged.

    >>> def make(start, count, own):
    ...     return pl.DataFrame([(0, DX, True, 1, "K810", None, None)], schema=CODES, orient="row")
    >>> collect_lists_in_parts(1, make, MappingProblems()).row(0)
    ('K810', [], [])
    """
    parts = []
    for start in range(0, max(n, 1), _PART):
        own, count = MappingProblems(), min(_PART, n - start)
        parts.append(collect_lists(count, make_codes(start, count, own), own))
        problems.add_rows(own, start)
    if any("sdx_poa" in part.columns for part in parts):
        blank = {"pdx_poa": pl.when(pl.col("pdx").is_not_null()).then(pl.lit("")),
                 "sdx_poa": pl.col("sdx").list.eval(pl.element().str.head(0))}  # fmt: skip
        parts = [part if "sdx_poa" in part.columns else part.with_columns(**blank) for part in parts]
        parts = [part.select("pdx", "pdx_poa", "sdx", "sdx_poa", "procedures") for part in parts]
    return pl.concat(parts)


# ---------------------------------------------------------------------------------------------------------


def _take_texts(table: pl.DataFrame, name: str | None, rows: pl.Series) -> pl.Series:
    """Return the texts of a column at rows; nulls where there is no such column."""
    if name is None:
        return pl.Series([None] * len(rows), dtype=pl.String)
    return table[name].gather(rows).cast(pl.String)


def _take_principals(n: int, codes: pl.DataFrame, problems: MappingProblems) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the principal diagnosis of each row, and the other codes without copies of it."""
    lines = codes["principal"].arg_true()
    marked = codes[lines].select("row", "code", "poa", line=lines)
    first = marked.unique("row", keep="first", maintain_order=True)
    problems.flag_rows("pdx", TWO_PRINCIPALS, marked.filter(pl.col("row").is_duplicated())["row"].unique())
    place = np.full(n, -1, np.int64)
    place[first["row"].to_numpy()] = np.arange(first.height)
    of_code = place[codes["row"].to_numpy()]
    normal = normalise_clean_codes(codes["code"])
    # A row without a principal diagnosis compares with any code and is left out of the result.
    pdx = normal.gather(first["line"].gather(np.maximum(of_code, 0))) if first.height else pl.Series([""] * len(normal))
    is_copy = (normal == pdx).to_numpy() & (of_code >= 0) & (codes["kind"] == DX).to_numpy()
    taken = np.zeros(codes.height, np.bool_)
    taken[first["line"].to_numpy()] = True
    copies = codes.filter(is_copy & ~taken)
    problems.flag_rows("sdx", PRINCIPAL_AGAIN, copies["row"].unique())
    rows = pl.DataFrame({"row": pl.int_range(n, dtype=pl.UInt32, eager=True)})
    spare = copies.filter(pl.col("poa") != "").unique("row", keep="first").select("row", spare="poa")
    pdx_frame = (
        rows.join(first.select("row", pdx="code", pdx_poa="poa"), on="row", how="left", maintain_order="left")
        .join(spare, on="row", how="left", maintain_order="left")
        .select(
            "pdx", pdx_poa=pl.when(pl.col("pdx_poa") == "").then(pl.coalesce("spare", "pdx_poa")).otherwise("pdx_poa")
        )
    )
    return pdx_frame, codes.filter(~(is_copy | taken))


def _gather_by_row(n: int, codes: pl.DataFrame, kind: str, column: str) -> pl.Series:
    """Return (n,) lists of the codes of one kind, which are sorted by row."""
    of_kind = codes.filter(pl.col("kind") == kind)
    lists = of_kind.group_by("row", maintain_order=True).agg(column)
    rows = pl.DataFrame({"row": pl.int_range(n, dtype=pl.UInt32, eager=True)})
    joined = rows.join(lists, on="row", how="left", maintain_order="left")
    return joined.select(pl.col(column).fill_null(pl.lit([], pl.List(pl.String)))).to_series()


def _drop_icd_9(codes: pl.DataFrame, problems: MappingProblems) -> pl.DataFrame:
    """Return the codes without those of ICD-9, and flag their rows."""
    old = codes.filter(pl.col("icd") == 9)["row"].unique()
    new = codes.filter(pl.col("icd") == 10)["row"].unique()
    problems.flag_rows("code", ICD_9, old)
    problems.flag_rows("code", MIXED_REVISIONS, old.filter(old.is_in(new.implode())))
    return codes.filter(pl.col("icd").ne_missing(9))


def _flag_sequence(codes: pl.DataFrame, problems: MappingProblems) -> None:
    """Flag rows where a sequence number is repeated, or missing between 1 and the highest."""
    for kind in (DX, PR):
        of_kind = codes.filter((pl.col("kind") == kind) & pl.col("sequence").is_not_null())
        if not of_kind.height:
            continue
        row, number = of_kind["row"].to_numpy(), of_kind["sequence"].to_numpy()
        order = np.lexsort((number, row))
        row, number = row[order], number[order]
        begins = np.concatenate([[True], row[1:] != row[:-1]])
        start = np.flatnonzero(begins)
        again = ~begins & np.concatenate([[False], number[1:] == number[:-1]])
        distinct = np.add.reduceat(~again, start, dtype=np.int64)
        last = np.concatenate([start[1:], [len(row)]]) - 1
        lowest, highest = number[start], number[last]
        duplicate = np.add.reduceat(again, start, dtype=np.int64) > 0
        problems.flag_rows(kind, DUPLICATE_NUMBER, pl.Series(row[start[duplicate]], dtype=pl.UInt32))
        # As floats: the difference of two 64-bit numbers may not be one.
        missing = highest.astype(np.float64) - np.minimum(lowest, 1).astype(np.float64) >= distinct
        problems.flag_rows(kind, GAP, pl.Series(row[start[missing]], dtype=pl.UInt32))
