"""Stays and their codes to admissions: `build_claims(layout, stays, codes, problems)`.

Every reader of a foreign layout calls it, so that all treat and report the same fault in the same way.
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
"""Columns of a table with one row a code: row of its stay, kind (`DX` or `PR`), whether the file names it the principal
diagnosis, sequence number, code, POA indicator, and revision of ICD (9 or 10; null where the file does not say)."""
DX, PR = "dx", "pr"
POA_INDICATORS = ("Y", "N", "U", "W", "1", "0", "X", "Z", "E")
"""Yes, no, unknown, undetermined, exempt (1; formerly also X, Z or E at the end of a list, and 0 in older files)."""

ABSENT = "not in the file"
NOT_GIVEN = "not given"
UNREADABLE = "unreadable, left blank"
NO_PRINCIPAL = "no principal diagnosis"
TWO_PRINCIPALS = "more than one principal diagnosis, the first taken"
ICD_9 = "ICD-9 codes, left out"
MIXED_REVISIONS = "ICD-9 and ICD-10 codes mixed"
DUPLICATE_NUMBER = "duplicate sequence number"
GAP = "gap in sequence numbers"
UNKNOWN_POA = "unknown POA indicator, kept"
NO_IDENTIFIER = "no identifier, the row number taken"
SAME_IDENTIFIER = "identifier of more than one row"


def build_claims(layout: str, stays: pl.DataFrame, codes: pl.DataFrame, problems: MappingProblems) -> Claims:
    """Return claims from the stays and codes that a reader found.

    Args:
        layout: the name of the layout.
        stays: (n,) rows: `claim_id` as text, scalar columns of ADMISSIONS as text or in their type, and others.
        codes: columns of `CODES`, in the order of the file.
        problems: those the reader has reported so far; more are added.

    Returns:
        `admissions` has the required columns of ADMISSIONS, the optional ones that have a value, `claim_id` (the
        identifier as the file has it), then the others. Codes are ordered by sequence number, then by their order in
        the file; blank codes are dropped. ICD-9 codes are left out, because ICD-10 logic would misread them.

    >>> codes = [(0, DX, False, 2, "I10", "Y", 10), (0, DX, True, 1, "K810", "Y", 10)]
    >>> frame = pl.DataFrame(codes, schema=CODES, orient="row")
    >>> claims = build_claims("long", pl.DataFrame({"claim_id": ["A7"]}), frame, MappingProblems())
    >>> claims.admissions.select("pdx", "sdx").row(0)
    ('K810', ['I10'])
    """
    columns: dict[str, pl.Series] = {}
    for name in filter(_is_scalar, ADMISSIONS.names):
        blank = name not in stays.columns or stays[name].null_count() == stays.height
        if not blank:
            columns[name] = _cast_column(stays, name, problems)
        elif ADMISSIONS[name].required:
            columns[name] = pl.Series(name, [None] * stays.height, ADMISSIONS[name].dtype)
        if blank:
            problems.report_file(name, ABSENT, stays.height)
    columns["admission_id"] = _identify_stays(stays, problems)
    lists = _collect_lists(stays.height, codes.cast(CODES), problems)  # type: ignore[arg-type]  # Mapping is invariant in its keys
    admissions = pl.DataFrame([columns[name] for name in columns]).hstack(lists)
    ordered = [name for name in ADMISSIONS.names if name in admissions.columns]
    others = stays.select(name for name in stays.columns if name not in ADMISSIONS.names)
    if "ms_drg_recorded" in others.columns:
        others = others.with_columns(_parse_drgs(others["ms_drg_recorded"], problems))
    return Claims(layout, admissions.select(ordered).hstack(others), problems.report(), problems.flags())


def collect_wide_codes(
    table: pl.DataFrame, kind: str, columns: Sequence[tuple[str, str | None, str | None]], *, first: int = 1
) -> pl.DataFrame:
    """Return the codes of numbered columns, as `CODES`.

    Args:
        table: (n,) texts.
        kind: `DX` or `PR`.
        columns: for each code, by ascending number: the columns of the code, of its POA indicator and of its revision
            (9 is ICD-9; 0 and 10 are ICD-10); None where there is none.
        first: sequence number of the first code.

    >>> table = pl.DataFrame({"DX1": ["K810", None], "DX2": ["I10", None]})
    >>> codes = collect_wide_codes(table, DX, [("DX1", None, None), ("DX2", None, None)])
    >>> codes.select("row", "sequence", "code").rows()
    [(0, 1, 'K810'), (0, 2, 'I10')]
    """

    def column_or_null(name: str | None) -> pl.Expr:
        return pl.col(name) if name in table.columns else pl.lit(None, pl.String)

    rows = table.with_row_index("row")
    parts = [
        rows.select(
            "row",
            kind=pl.lit(kind),
            principal=pl.lit(value=False),
            sequence=pl.lit(number, pl.Int64),
            code=column_or_null(code),
            poa=column_or_null(poa),
            icd=parse_revision(column_or_null(icd)),
        ).filter(pl.col("code").is_not_null())
        for number, (code, poa, icd) in enumerate(columns, first)
    ]
    return pl.concat(parts) if parts else pl.DataFrame(schema=CODES)


def parse_revision(text: pl.Expr) -> pl.Expr:
    """Return the revision of ICD: 9 for 9 and 09; 10 for 0, 00 and 10; null for anything else.

    >>> pl.DataFrame({"version": ["9", "0", "10", "x"]}).select(parse_revision(pl.col("version")))["version"].to_list()
    [9, 10, 10, None]
    """
    return text.replace_strict({"9": 9, "09": 9, "0": 10, "00": 10, "10": 10}, default=None, return_dtype=pl.Int8)


def report_unmapped_columns(table: pl.DataFrame, mapped: Sequence[str], problems: MappingProblems) -> pl.DataFrame:
    """Return the columns that the reader does not map and that have a value; report each."""
    others = [name for name in table.columns if name not in set(mapped)]
    filled: Mapping[str, int] = table.select(pl.col(others).count()).row(0, named=True) if others else {}
    for name, count in filled.items():
        problems.report_file(name, "not mapped, kept as it is", count)
    return table.select(name for name, count in filled.items() if count)


# ---------------------------------------------------------------------------------------------- columns


def _is_scalar(name: str) -> bool:
    return name not in ("admission_id", "pdx", "pdx_poa") and not isinstance(ADMISSIONS[name].dtype, pl.List)


def _identify_stays(stays: pl.DataFrame, problems: MappingProblems) -> pl.Series:
    """Return the admission_id of each row; a row without identifier gets the hash of its number."""
    claim_id = stays["claim_id"]
    problems.flag_where("claim_id", NO_IDENTIFIER, claim_id.is_null())
    problems.flag_where("claim_id", SAME_IDENTIFIER, claim_id.is_not_null() & claim_id.is_duplicated())
    numbered = stays.select(pl.format("row {}", pl.int_range(1, pl.len() + 1))).to_series()
    return hash_admission_ids(claim_id.zip_with(claim_id.is_not_null(), numbered))


def _parse_drgs(texts: pl.Series, problems: MappingProblems) -> pl.Series:
    """Return recorded DRGs as numbers; flag unreadable ones, not missing ones."""
    drgs = texts.cast(pl.UInt16, strict=False)
    problems.flag_where(texts.name, UNREADABLE, texts.is_not_null() & drgs.is_null())
    return drgs


def _cast_column(stays: pl.DataFrame, name: str, problems: MappingProblems) -> pl.Series:
    """Return a column in its canonical type, and flag where it is blank or unreadable."""
    column, dtype = stays[name], ADMISSIONS[name].dtype
    if column.dtype == pl.String and dtype == pl.Date:
        read = stays.select(parse_dates(pl.col(name))).to_series()
    elif column.dtype == pl.String and dtype != pl.String:
        # Spreadsheets write the whole number 3 as "3.0"; "3.5" is none.
        number = column.cast(pl.Float64, strict=False)
        is_sound = number.is_finite() & (number == number.floor()) if dtype.is_integer() else number.is_finite()
        read = number.set(~is_sound.fill_null(value=False), None).cast(dtype, strict=False)
    else:
        read = column.cast(dtype, strict=False)
    if dtype.is_float():
        read = read.set(~read.is_finite().fill_null(value=True), None)
    if name == "age":
        read = read.set((read < 0).fill_null(value=False), None)
    problems.flag_where(name, NOT_GIVEN, column.is_null())
    problems.flag_where(name, UNREADABLE, column.is_not_null() & read.is_null())
    return read


# ---------------------------------------------------------------------------------------------- codes


def _collect_lists(n: int, codes: pl.DataFrame, problems: MappingProblems) -> pl.DataFrame:
    """Return pdx, sdx, procedures and, where the file has any, POA indicators: (n,) each."""
    text = pl.col("code").str.strip_chars()
    codes = codes.filter(text != "").with_columns(
        code=text,
        poa=pl.col("poa").str.strip_chars().str.to_uppercase().fill_null(""),
        principal=pl.col("principal").fill_null(value=False) & (pl.col("kind") == DX),
    )
    has_poa = codes.filter(pl.col("kind") == DX, pl.col("poa") != "").height > 0
    _flag_sequence(codes, problems)
    codes = _drop_icd_9(codes, problems)
    problems.flag_rows("poa", UNKNOWN_POA, codes.filter(~pl.col("poa").is_in(["", *POA_INDICATORS]))["row"].unique())
    # A stable sort: codes of one number keep the order of the file, codes without a number are last.
    codes = codes.sort("row", "sequence", nulls_last=True, maintain_order=True)
    codes = codes.with_row_index("line")
    first = codes.filter("principal").unique("row", keep="first", maintain_order=True)
    several = codes.filter("principal").group_by("row").len().filter(pl.col("len") > 1)
    problems.flag_rows("pdx", TWO_PRINCIPALS, several["row"])
    secondary = np.ones(codes.height, np.bool_)
    secondary[first["line"].to_numpy()] = False
    rest = codes.filter(secondary)
    rows = pl.DataFrame({"row": pl.int_range(n, dtype=pl.UInt32, eager=True)})
    found = (
        rows.join(first.select("row", pdx="code", pdx_poa="poa"), on="row", how="left", maintain_order="left")
        .join(_gather_by_row(rest, DX, sdx="code", sdx_poa="poa"), on="row", how="left", maintain_order="left")
        .join(_gather_by_row(rest, PR, procedures="code"), on="row", how="left", maintain_order="left")
        .with_columns(pl.col("sdx", "sdx_poa", "procedures").fill_null(pl.lit([], pl.List(pl.String))))
    )
    problems.flag_where("pdx", NO_PRINCIPAL, found["pdx"].is_null())
    return found.drop("row") if has_poa else found.drop("row", "pdx_poa", "sdx_poa")


def _gather_by_row(codes: pl.DataFrame, kind: str, **lists: str) -> pl.DataFrame:
    of_kind = codes.filter(pl.col("kind") == kind)
    return of_kind.group_by("row", maintain_order=True).agg(
        pl.col(column).alias(name) for name, column in lists.items()
    )


def _drop_icd_9(codes: pl.DataFrame, problems: MappingProblems) -> pl.DataFrame:
    """Return the codes without those of ICD-9, and flag their rows."""
    old = codes.filter(pl.col("icd") == 9)["row"].unique()
    new = codes.filter(pl.col("icd") == 10)["row"].unique()
    problems.flag_rows("code", ICD_9, old)
    problems.flag_rows("code", MIXED_REVISIONS, old.filter(old.is_in(new.implode())))
    return codes.filter(pl.col("icd").ne_missing(9))


def _flag_sequence(codes: pl.DataFrame, problems: MappingProblems) -> None:
    """Flag rows where a sequence number is repeated, or missing between 1 and the highest."""
    numbers = codes.filter(pl.col("sequence").is_not_null()).group_by("row", "kind").agg(
        pl.len().alias("codes"), pl.col("sequence").n_unique().alias("distinct"),
        pl.col("sequence").min().alias("lowest"), pl.col("sequence").max().alias("highest"),
    )  # fmt: skip
    for kind in (DX, PR):
        of_kind = numbers.filter(pl.col("kind") == kind)
        problems.flag_rows(kind, DUPLICATE_NUMBER, of_kind.filter(pl.col("codes") > pl.col("distinct"))["row"])
        problems.flag_rows(
            kind, GAP, of_kind.filter(pl.col("highest") - pl.min_horizontal("lowest", 1) >= pl.col("distinct"))["row"]
        )
