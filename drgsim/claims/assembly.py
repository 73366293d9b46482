"""Stays and their codes, one row a code, to admissions: `build_claims(layout, stays, codes, findings)`.

Every reader of a foreign layout ends here, so that the same fault is treated, and reported, the same way in all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from drgsim.claims.mapping_report import Claims, MappingProblems, hash_admission_ids
from drgsim.claims.source_files import parse_dates
from drgsim.schema import ADMISSIONS

CODES = {
    "row": pl.UInt32,
    "kind": pl.String,
    "principal": pl.Boolean,
    "sequence": pl.Int64,
    "code": pl.String,
    "poa": pl.String,
    "icd": pl.Int8,
}
"""One row a code: row of its stay, kind (`DX` or `PR`), whether it is named the principal diagnosis, its sequence
number, the code, its POA indicator, and 9 or 10 where the file says of which revision it is."""
DX, PR = "dx", "pr"
POA_INDICATORS = ("Y", "N", "U", "W", "1", "0", "X", "Z", "E")
"""Yes, no, unknown, undetermined, exempt (1, formerly also X, Z or E at the end of a list, 0 in older files)."""

ABSENT = "not in the file"
GIVEN = "not given"
UNREADABLE = "unreadable, left blank"
NO_PRINCIPAL = "no principal diagnosis"
TWO_PRINCIPALS = "more than one principal diagnosis, the first taken"
ICD_9 = "ICD-9 codes, left out"
MIXED = "ICD-9 and ICD-10 codes mixed"
TWICE = "duplicate sequence number"
GAP = "gap in sequence numbers"
STRANGE_POA = "unknown POA indicator, kept"
NO_IDENTIFIER = "no identifier, the row number taken"
SAME_IDENTIFIER = "identifier of more than one row"


def build_claims(layout: str, stays: pl.DataFrame, codes: pl.DataFrame, findings: MappingProblems) -> Claims:
    """Return the claims a reader has found.

    Args:
        layout: the reader's name.
        stays: (n,) `claim_id` as text, any scalar columns of ADMISSIONS as text or in their type, and others.
        codes: columns of `CODES`, in the order of the file.
        findings: what the reader has found so far; more is added.

    Returns:
        `admissions` has the required columns of ADMISSIONS, the optional ones that have a value, `claim_id` (the
        identifier as the file has it), then the others. Codes are ordered by sequence number, then as they stand in
        the file; a blank code is no code. ICD-9 codes are left out, as ICD-10 logic would read them as something
        else.

    >>> codes = [(0, DX, False, 2, "I10", "Y", 10), (0, DX, True, 1, "K810", "Y", 10)]
    >>> frame = pl.DataFrame(codes, schema=CODES, orient="row")
    >>> build_claims("long", pl.DataFrame({"claim_id": ["A7"]}), frame, MappingProblems()).admissions.select("pdx", "sdx").row(0)
    ('K810', ['I10'])
    """
    columns: dict[str, pl.Series] = {}
    for name in filter(_scalar, ADMISSIONS.names):
        blank = name not in stays.columns or stays[name].null_count() == stays.height
        if not blank:
            columns[name] = _typed(stays, name, findings)
        elif ADMISSIONS[name].required:
            columns[name] = pl.Series(name, [None] * stays.height, ADMISSIONS[name].dtype)
        if blank:
            findings.whole(name, ABSENT, stays.height)
    columns["admission_id"] = _identified(stays, findings)
    lists = _listed(stays.height, codes.cast(CODES), findings)  # type: ignore[arg-type]  # Mapping is invariant in its keys
    admissions = pl.DataFrame([columns[name] for name in columns]).hstack(lists)
    ordered = [name for name in ADMISSIONS.names if name in admissions.columns]
    others = stays.select(name for name in stays.columns if name not in ADMISSIONS.names)
    if "ms_drg_recorded" in others.columns:
        others = others.with_columns(_drg(others["ms_drg_recorded"], findings))
    return Claims(layout, admissions.select(ordered).hstack(others), findings.report(), findings.flags())


def collect_wide_codes(
    table: pl.DataFrame, kind: str, columns: Sequence[tuple[str, str | None, str | None]], *, first: int = 1
) -> pl.DataFrame:
    """Return the codes of numbered columns, as `CODES`.

    Args:
        table: (n,) texts.
        kind: `DX` or `PR`.
        columns: name of each code's column, of its POA's, and of its revision's (9 is ICD-9, 0 and 10 are ICD-10),
            by ascending number; None where there is none.
        first: sequence number of the first of them.

    >>> table = pl.DataFrame({"DX1": ["K810", None], "DX2": ["I10", None]})
    >>> collect_wide_codes(table, DX, [("DX1", None, None), ("DX2", None, None)]).select("row", "sequence", "code").rows()
    [(0, 1, 'K810'), (0, 2, 'I10')]
    """

    def given(name: str | None) -> pl.Expr:
        return pl.col(name) if name in table.columns else pl.lit(None, pl.String)

    rows = table.with_row_index("row")
    parts = [
        rows.select(
            "row",
            kind=pl.lit(kind),
            principal=pl.lit(value=False),
            sequence=pl.lit(number, pl.Int64),
            code=given(code),
            poa=given(poa),
            icd=parse_revision(given(icd)),
        ).filter(pl.col("code").is_not_null())
        for number, (code, poa, icd) in enumerate(columns, first)
    ]
    return pl.concat(parts) if parts else pl.DataFrame(schema=CODES)


def parse_revision(text: pl.Expr) -> pl.Expr:
    """Return 9 or 10 for a revision as files write it: 9 and 09; 0, 10 and 00; null for anything else.

    >>> pl.DataFrame({"version": ["9", "0", "10", "x"]}).select(parse_revision(pl.col("version")))["version"].to_list()
    [9, 10, 10, None]
    """
    return text.replace_strict({"9": 9, "09": 9, "0": 10, "00": 10, "10": 10}, default=None, return_dtype=pl.Int8)


def report_unmapped_columns(table: pl.DataFrame, mapped: Sequence[str], findings: MappingProblems) -> pl.DataFrame:
    """Return the columns that no reader maps and that are not blank throughout, and report each."""
    others = [name for name in table.columns if name not in set(mapped)]
    filled: Mapping[str, int] = table.select(pl.col(others).count()).row(0, named=True) if others else {}
    for name, count in filled.items():
        findings.whole(name, "not mapped, kept as it is", count)
    return table.select(name for name, count in filled.items() if count)


# ---------------------------------------------------------------------------------------------- columns


def _scalar(name: str) -> bool:
    return name not in ("admission_id", "pdx", "pdx_poa") and not isinstance(ADMISSIONS[name].dtype, pl.List)


def _identified(stays: pl.DataFrame, findings: MappingProblems) -> pl.Series:
    """Return the admission_id of each row; a row without identifier is known by its number."""
    given = stays["claim_id"]
    findings.mark("claim_id", NO_IDENTIFIER, given.is_null())
    findings.mark("claim_id", SAME_IDENTIFIER, given.is_not_null() & given.is_duplicated())
    numbered = stays.select(pl.format("row {}", pl.int_range(1, pl.len() + 1))).to_series()
    return hash_admission_ids(given.zip_with(given.is_not_null(), numbered))


def _drg(texts: pl.Series, findings: MappingProblems) -> pl.Series:
    """Return recorded DRGs as numbers; a missing one is nothing to report."""
    drgs = texts.cast(pl.UInt16, strict=False)
    findings.mark(texts.name, UNREADABLE, texts.is_not_null() & drgs.is_null())
    return drgs


def _typed(stays: pl.DataFrame, name: str, findings: MappingProblems) -> pl.Series:
    """Return a column in its canonical type, and flag where it is blank or unreadable."""
    column, dtype = stays[name], ADMISSIONS[name].dtype
    if column.dtype == pl.String and dtype == pl.Date:
        read = stays.select(parse_dates(pl.col(name))).to_series()
    elif column.dtype == pl.String and dtype != pl.String:
        # "3.0" is a whole number as spreadsheets write it; "3.5" is none.
        number = column.cast(pl.Float64, strict=False)
        whole = number.is_finite() & (number == number.floor()) if dtype.is_integer() else number.is_finite()
        read = number.set(~whole.fill_null(value=False), None).cast(dtype, strict=False)
    else:
        read = column.cast(dtype, strict=False)
    if dtype.is_float():
        read = read.set(~read.is_finite().fill_null(value=True), None)
    if name == "age":
        read = read.set((read < 0).fill_null(value=False), None)
    findings.mark(name, GIVEN, column.is_null())
    findings.mark(name, UNREADABLE, column.is_not_null() & read.is_null())
    return read


# ---------------------------------------------------------------------------------------------- codes


def _listed(n: int, codes: pl.DataFrame, findings: MappingProblems) -> pl.DataFrame:
    """Return pdx, sdx, procedures and, where the file knows any, POA indicators: (n,) each."""
    text = pl.col("code").str.strip_chars()
    codes = codes.filter(text != "").with_columns(
        code=text,
        poa=pl.col("poa").str.strip_chars().str.to_uppercase().fill_null(""),
        principal=pl.col("principal").fill_null(value=False) & (pl.col("kind") == DX),
    )
    has_poa = codes.filter(pl.col("kind") == DX, pl.col("poa") != "").height > 0
    _check_sequence(codes, findings)
    codes = _one_revision(codes, findings)
    findings.rows("poa", STRANGE_POA, codes.filter(~pl.col("poa").is_in(["", *POA_INDICATORS]))["row"].unique())
    # A stable sort: codes of one number stay as they stand in the file, codes without a number come last.
    codes = codes.sort("row", "sequence", nulls_last=True, maintain_order=True)
    codes = codes.with_row_index("line")
    first = codes.filter("principal").unique("row", keep="first", maintain_order=True)
    named = codes.filter("principal").group_by("row").len().filter(pl.col("len") > 1)
    findings.rows("pdx", TWO_PRINCIPALS, named["row"])
    secondary = np.ones(codes.height, np.bool_)
    secondary[first["line"].to_numpy()] = False
    rest = codes.filter(secondary)
    every = pl.DataFrame({"row": pl.int_range(n, dtype=pl.UInt32, eager=True)})
    found = (
        every.join(first.select("row", pdx="code", pdx_poa="poa"), on="row", how="left", maintain_order="left")
        .join(_by_row(rest, DX, sdx="code", sdx_poa="poa"), on="row", how="left", maintain_order="left")
        .join(_by_row(rest, PR, procedures="code"), on="row", how="left", maintain_order="left")
        .with_columns(pl.col("sdx", "sdx_poa", "procedures").fill_null(pl.lit([], pl.List(pl.String))))
    )
    findings.mark("pdx", NO_PRINCIPAL, found["pdx"].is_null())
    return found.drop("row") if has_poa else found.drop("row", "pdx_poa", "sdx_poa")


def _by_row(codes: pl.DataFrame, kind: str, **lists: str) -> pl.DataFrame:
    of_kind = codes.filter(pl.col("kind") == kind)
    return of_kind.group_by("row", maintain_order=True).agg(
        pl.col(column).alias(name) for name, column in lists.items()
    )


def _one_revision(codes: pl.DataFrame, findings: MappingProblems) -> pl.DataFrame:
    """Leave ICD-9 codes out, and flag their rows."""
    old = codes.filter(pl.col("icd") == 9)["row"].unique()
    new = codes.filter(pl.col("icd") == 10)["row"].unique()
    findings.rows("code", ICD_9, old)
    findings.rows("code", MIXED, old.filter(old.is_in(new.implode())))
    return codes.filter(pl.col("icd").ne_missing(9))


def _check_sequence(codes: pl.DataFrame, findings: MappingProblems) -> None:
    """Flag rows where a number stands twice, or one is missing between 1 and the highest."""
    numbers = codes.filter(pl.col("sequence").is_not_null()).group_by("row", "kind").agg(
        pl.len().alias("codes"), pl.col("sequence").n_unique().alias("distinct"),
        pl.col("sequence").min().alias("lowest"), pl.col("sequence").max().alias("highest"),
    )  # fmt: skip
    for kind in (DX, PR):
        of_kind = numbers.filter(pl.col("kind") == kind)
        findings.rows(kind, TWICE, of_kind.filter(pl.col("codes") > pl.col("distinct"))["row"])
        findings.rows(
            kind, GAP, of_kind.filter(pl.col("highest") - pl.min_horizontal("lowest", 1) >= pl.col("distinct"))["row"]
        )
