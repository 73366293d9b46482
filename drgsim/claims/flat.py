"""Tables with one row an admission: `read_flat(path)`.

* **admissions**: the columns of `drgsim.schema.ADMISSIONS`. Parquet holds `sdx`, `procedures` and `sdx_poa`
  as lists. CSV holds them as text, separated by `;` or `|`, or by blanks where neither occurs. POA
  indicators that may be blank need `;` or `|`; a blank field means that all of them are blank.
* **wide**: `dx1`…`dxN`, `pr1`…`prN` and, if known, `poa1`…`poaN` (also `DX_01`, `diag1`, `proc1`, `px1`),
  where `dx1` is the principal diagnosis; the other columns are those of ADMISSIONS. The principal diagnosis may also
  be `pdx`, with `dx2`… or `sdx1`… (`sdx_poa1`…) for the others.
* **mimic_demo**: `admissions_icd10_wide.csv`, or the folder that holds it. It has no POA indicators
  (group it with `hospital_status="EXEMPT"`), and its `discharge_location` becomes a UB-04 status by
  `MIMIC_DISCHARGE_STATUS`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import polars as pl

from drgsim.claims.assembly import (
    GAP,
    NO_PRINCIPAL,
    NOT_GIVEN,
    POA_INDICATORS,
    SAME_IDENTIFIER,
    UNKNOWN_POA,
    UNREADABLE,
)
from drgsim.claims.mapping_report import Claims, MappingProblems
from drgsim.claims.mimic import map_discharge_status
from drgsim.exceptions import SchemaError
from drgsim.files.text_tables import read_typed_table
from drgsim.schema import ADMISSIONS, TEXTS, Column, check_frame

MIMIC_FILE = "admissions_icd10_wide.csv"
SUFFIXES = (".parquet", ".csv", ".csv.gz")
_MIMIC_COLUMNS = frozenset({"hadm_id", "discharge_location", "dx1"})
_WIDE = {
    "dx": re.compile(r"(?:dx|diag)_?0*([1-9]\d*)", re.IGNORECASE),
    "pr": re.compile(r"(?:pr|px|proc)_?0*([1-9]\d*)", re.IGNORECASE),
    "poa": re.compile(r"(?:poa|dx_?poa)_?0*([1-9]\d*)", re.IGNORECASE),
}
_SECONDARY = {
    "dx": re.compile(r"sdx_?0*([1-9]\d*)", re.IGNORECASE),
    "poa": re.compile(r"sdx_?poa_?0*([1-9]\d*)", re.IGNORECASE),
}
_LIST_COLUMNS = {"dx": ("pdx", "sdx"), "pr": ("procedures",), "poa": ("pdx_poa", "sdx_poa")}
_LISTS = ("sdx", "procedures", "sdx_poa")
_EXPECTED_VALUES = ("age", "sex", "discharge_status")


def read_flat(path: Path) -> Claims:
    r"""Return the claims of a Parquet or CSV file with one row a claim.

    Args:
        path: a `.parquet`, `.csv` or `.csv.gz` file in one of the layouts above, or the folder of the
            MIMIC-IV demo.

    Returns:
        The ADMISSIONS columns that the file has, in their order and types, then its other columns. A number
        that cannot be read (an age "n/a") is null; a null discharge status is an invalid one. Sex is
        upper-cased, and "male" and "female" become M and F.

    Raises:
        InputError: the file is not Parquet or CSV.
        SchemaError: the columns fit no layout, a required one is missing or unreadable, or a claim has
            more or fewer POA indicators than secondary diagnoses.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "claims.csv"
    >>> text = "admission_id,age,sex,discharge_status,dx1,dx2,pr1\n7,71,F,1,K81.0,I10,0FT44ZZ\n"
    >>> _ = path.write_text(text)
    >>> read_flat(path).admissions.select("pdx", "sdx", "procedures").row(0)
    ('K81.0', ['I10'], ['0FT44ZZ'])
    """
    file, problems, layout = path / MIMIC_FILE if path.is_dir() else path, MappingProblems(), "admissions"
    table = _rename_known_columns(file, read_typed_table(file, _is_text))
    if {*table.columns} >= _MIMIC_COLUMNS:
        layout, table = "mimic_demo", _rename_mimic_columns(table)
    table = table.rename(_number_diagnoses(file, table.columns))
    wide = {kind: _find_numbered(file, table.columns, kind) for kind in _WIDE}
    for kind, listed in _LIST_COLUMNS.items():
        both = [name for name in listed if name in table.columns]
        if wide[kind] and both:
            hint = " With pdx, name the secondary diagnoses sdx1, sdx2, …." if both[0] == "pdx" else ""
            raise SchemaError(
                f"{file}: holds both {both[0]} and {next(iter(wide[kind].values()))}; keep one of them.{hint}"
            )
    if wide["dx"]:
        layout = "wide" if layout == "admissions" else layout
        table = _gather_wide(file, table, problems, **wide)
    elif "pdx" not in table.columns:
        # Without a header the first line is a patient's row, whose values no message may show.
        found = (
            f"found {_list_names(table.columns)}" if {*table.columns} & {*ADMISSIONS.names} else "no known name at all"
        )
        raise SchemaError(
            f"{file}: no diagnosis columns: {found} in the first line; expected pdx, sdx, procedures "
            "(drgsim.schema.ADMISSIONS) or dx1, dx2, …, pr1, …."
        )
    admissions = _cast_admissions(file, table, problems)
    return Claims(layout, admissions, problems.report(), problems.flags())


# ---------------------------------------------------------------------------------------------- files


def _rename_known_columns(file: Path, table: pl.DataFrame) -> pl.DataFrame:
    """Return the table with ADMISSIONS names in lower case."""
    renamed = {name: name.strip().lower() for name in table.columns if name.strip().lower() in ADMISSIONS.names}
    if len(set(renamed.values())) < len(renamed):
        raise SchemaError(f"{file}: two columns differ in case alone: {_list_names(renamed)}.")
    return table.rename(renamed)


def _is_text(name: str) -> bool:
    bare = name.strip()
    return bare.lower() in ADMISSIONS.names or any(
        pattern.fullmatch(bare) for pattern in (*_WIDE.values(), *_SECONDARY.values())
    )


# ---------------------------------------------------------------------------------------------- layouts


def _rename_mimic_columns(table: pl.DataFrame) -> pl.DataFrame:
    """Return the MIMIC-IV demo with ADMISSIONS names and a discharge status."""
    status = map_discharge_status(pl.col("discharge_location"))
    return table.rename({"hadm_id": "admission_id"}).with_columns(discharge_status=status)


def _number_diagnoses(file: Path, columns: Sequence[str]) -> dict[str, str]:
    """Return new names where `pdx` comes with numbered others: dx1 for it, and dx2 on for them.

    The others are dx2, dx3, … as they are, or sdx1, sdx2, …; their POA indicators poa2, … or sdx_poa1, ….
    """
    named = {kind: {name: int(m[1]) for name in columns if (m := pattern.fullmatch(name.strip()))}
             for kind, pattern in {**_SECONDARY, "any": _WIDE["dx"], "any poa": _WIDE["poa"]}.items()}  # fmt: skip
    if "pdx" not in columns or 1 in named["any"].values() or not (named["dx"] or named["any"]):
        return {}
    if named["dx"] and (named["any"] or named["any poa"]):
        mixed = next(iter(named["any"] or named["any poa"]))
        raise SchemaError(f"{file}: holds both {next(iter(named['dx']))} and {mixed}; number all of them one way.")
    first = {"pdx": "dx1", **({"pdx_poa": "poa1"} if "pdx_poa" in columns else {})}
    return first | {name: f"{kind}{n + 1}" for kind in _SECONDARY for name, n in named[kind].items()}


def _find_numbered(file: Path, columns: Iterable[str], kind: str) -> dict[int, str]:
    """Return the columns dx1, dx2, … of one kind, by ascending number."""
    found: dict[int, str] = {}
    for name in columns:
        match = _WIDE[kind].fullmatch(name.strip())
        if match:
            number = int(match.group(1))
            if number in found:
                raise SchemaError(f"{file}: columns {found[number]} and {name} are both {kind}{number}; keep one.")
            found[number] = name
    if found and kind == "dx" and 1 not in found:
        raise SchemaError(f"{file}: no principal diagnosis: found {_list_names(found.values())} but no dx1.")
    return dict(sorted(found.items()))


def _gather_wide(
    file: Path,
    table: pl.DataFrame,
    problems: MappingProblems,
    dx: dict[int, str],
    pr: dict[int, str],
    poa: dict[int, str],
) -> pl.DataFrame:
    """Return the table with numbered columns gathered into lists, in order."""
    numbered = [*dx.values(), *pr.values(), *poa.values()]
    wrong = [name for name in numbered if not isinstance(table.schema[name], (*TEXTS, pl.Null))]
    if wrong:
        raise SchemaError(f"{file}: {wrong[0]} is {table.schema[wrong[0]]}, expected String.")
    table = table.with_columns(pl.col(numbered).cast(pl.String))
    for kind, places in (("dx", dx), ("pr", pr)):
        problems.flag_where(kind, GAP, _has_gap(table, [*places.values()]))
    secondary = {number: name for number, name in dx.items() if number > 1}
    columns = {
        "pdx": table[dx[1]],
        "sdx": _gather_lists(table, [_code_or_null(name) for name in secondary.values()]),
    }
    if pr or "procedures" not in table.columns:
        columns["procedures"] = _gather_lists(table, [_code_or_null(name) for name in pr.values()])
    if 1 in poa:
        columns["pdx_poa"] = table[poa[1]]
    if poa:
        indicator = {number: pl.col(poa[number]) if number in poa else pl.lit("") for number in secondary}
        columns["sdx_poa"] = _gather_lists(
            table, [_indicator_or_null(name, indicator[n]) for n, name in secondary.items()]
        )
    return table.drop(numbered).with_columns(**columns)


def _has_gap(table: pl.DataFrame, names: list[str]) -> pl.Series:
    """Return, (n,) Boolean, where a code follows a blank."""
    if not names:
        return pl.repeat(value=False, n=table.height, dtype=pl.Boolean, eager=True)
    filled = [(pl.col(name).str.strip_chars() != "").fill_null(value=False) for name in names]
    last = pl.max_horizontal(pl.when(code).then(place).otherwise(0) for place, code in enumerate(filled, 1))
    return table.select((last > pl.sum_horizontal(filled)).alias("gap")).to_series()


def _code_or_null(name: str) -> pl.Expr:
    """Return a column of codes, null where it is blank."""
    return pl.when(pl.col(name).str.strip_chars() != "").then(pl.col(name)).alias(name)


def _indicator_or_null(dx: str, poa: pl.Expr) -> pl.Expr:
    """Return the POA indicator of a code, blank where null; null where there is no code."""
    return pl.when(pl.col(dx).str.strip_chars() != "").then(poa.fill_null("")).alias(dx)


def _gather_lists(table: pl.DataFrame, columns: list[pl.Expr]) -> pl.Series:
    """Return (n,) List(String): a row's values in order, without nulls.

    Not `pl.concat_list`, which takes three times as long for 25 columns.
    """
    if not columns:
        return pl.Series([[]], dtype=pl.List(pl.String)).new_from_index(0, table.height)
    return table.select(columns).select(pl.concat_arr(pl.all()).arr.to_list().list.drop_nulls()).to_series()


# ---------------------------------------------------------------------------------------------- columns


def _cast_admissions(file: Path, table: pl.DataFrame, problems: MappingProblems) -> pl.DataFrame:
    """Return the table with ADMISSIONS columns first and in their types."""
    known = [column for column in ADMISSIONS.columns if column.name in table.columns]
    texts = [name for name in _LISTS if name in table.columns and table.schema[name] == pl.String]
    if texts and "sdx" in table.columns:  # without sdx, `check_frame` says what is missing
        table = _split_lists(file, table, texts)
    table = table.with_columns(
        _cast_column(file, table, column, problems) for column in known if column.name not in _LISTS
    )
    try:
        admissions = check_frame(table, ADMISSIONS)
    except SchemaError as error:
        raise SchemaError(f"{file}: {error}") from error
    _check_poa(file, admissions)
    others = [name for name in table.columns if name not in admissions.columns]
    _flag_problems(admissions, table.select(others), problems)
    return admissions.select(column.name for column in known).hstack(table.select(others))


def _flag_problems(admissions: pl.DataFrame, others: pl.DataFrame, problems: MappingProblems) -> None:
    """Report unknown columns; flag repeated identifiers, missing pdx and unknown POA indicators."""
    for name in others.columns:
        problems.report_file(name, "not mapped, kept as it is", others[name].count())
    problems.flag_where("admission_id", SAME_IDENTIFIER, admissions["admission_id"].is_duplicated())
    problems.flag_where("pdx", NO_PRINCIPAL, (admissions["pdx"].str.strip_chars() == "").fill_null(value=True))
    if "sdx_poa" in admissions.columns:
        known = pl.element().str.strip_chars().str.to_uppercase().is_in(["", *POA_INDICATORS])
        problems.flag_where(
            "poa", UNKNOWN_POA, admissions.select(pl.col("sdx_poa").list.eval(~known).list.any()).to_series()
        )


def _split_lists(file: Path, table: pl.DataFrame, texts: list[str]) -> pl.DataFrame:
    """Return the table with lists instead of texts, without blank codes and their POA."""
    parts = [
        pl.when(pl.col(name).str.contains(r"[;|]"))
        .then(pl.col(name).str.replace_all("|", ";", literal=True))
        .otherwise(pl.col(name).str.strip_chars().str.replace_all(r"\s+", ";"))
        .str.split(";")
        .list.eval(pl.element().str.strip_chars())
        .fill_null(pl.lit([], pl.List(pl.String)))
        for name in texts
    ]
    split = table.with_columns(parts)
    if "sdx_poa" in texts:
        unknown = pl.col("sdx").list.eval(pl.element().str.head(0))
        blank = table["sdx_poa"].fill_null("").str.strip_chars() == ""
        split = split.with_columns(sdx_poa=pl.when(blank).then(unknown).otherwise("sdx_poa"))
        _check_poa(file, split)
    groups = [["sdx", "sdx_poa"] if "sdx_poa" in texts else ["sdx"], ["procedures"]]
    for group in groups:
        if group[0] in texts:
            split = split.with_columns(_drop_blanks(split.select(group)))
    return split


def _drop_blanks(lists: pl.DataFrame) -> pl.DataFrame:
    """Return lists without the blank entries of the first, and the same entries of the others."""
    code = lists.columns[0]
    rows = lists.with_row_index("_row")
    filled = (
        rows.explode(lists.columns, empty_as_null=False)
        .filter(pl.col(code) != "")
        .group_by("_row", maintain_order=True)
        .agg(lists.columns)
    )
    joined = rows.select("_row").join(filled, on="_row", how="left", maintain_order="left").drop("_row")
    return joined.with_columns(pl.all().fill_null(pl.lit([], pl.List(pl.String))))


def _cast_column(file: Path, table: pl.DataFrame, column: Column, problems: MappingProblems) -> pl.Expr:
    """Return a column in its ADMISSIONS type; text that is no number or date becomes null."""
    name, found = column.name, table.schema[column.name]
    if name in _EXPECTED_VALUES:
        value = table[name].cast(pl.String).str.strip_chars() if found in TEXTS else table[name]
        is_blank = value.is_null() | (value == "") if value.dtype == pl.String else value.is_null()
        problems.flag_where(name, NOT_GIVEN, is_blank)
    column_value = pl.col(name)
    if name == "sex" and found == pl.String:
        return column_value.str.strip_chars().str.to_uppercase().replace({"MALE": "M", "FEMALE": "F"})
    if found != pl.String or column.dtype == pl.String:
        return column_value
    text = column_value.str.strip_chars()
    read = (
        text.str.to_date("%Y-%m-%d", strict=False) if column.dtype == pl.Date else text.cast(column.dtype, strict=False)
    )
    attempt = table.select(text.alias("text"), read.alias("read"))
    bad = attempt.select((pl.col("text") != "") & pl.col("read").is_null()).to_series().arg_true()
    # A few unreadable values are bad rows; an unreadable identifier, or a whole such column, is a wrong file.
    filled = attempt.select((pl.col("text") != "").sum()).item()
    if len(bad) and (name == "admission_id" or len(bad) == filled):
        raise SchemaError(
            f"{file}: {name} is no {column.dtype} in {len(bad)} of {filled} values, first in row {int(bad[0]) + 1}."
        )
    problems.flag_where(name, UNREADABLE, (attempt["text"] != "") & attempt["read"].is_null())
    return read


def _check_poa(file: Path, admissions: pl.DataFrame) -> None:
    """Check that POA indicators are as many as secondary diagnoses; a null list is not checked."""
    if "sdx_poa" not in admissions.columns:
        return
    counts = admissions.select(pl.col("sdx", "sdx_poa").list.len().fill_null(0))
    differs = (counts["sdx"] != counts["sdx_poa"]) & admissions["sdx_poa"].is_not_null()
    if differs.any():
        row = int(differs.arg_max() or 0)
        codes, indicators = counts.row(row)
        raise SchemaError(
            f"{file}: row {row + 1} has {codes} secondary diagnoses and {indicators} POA indicators "
            f"({differs.sum()} such rows). Write one indicator for each diagnosis, separated by ;, blank if unknown."
        )


def _list_names(names: Iterable[str]) -> str:
    shown = list(names)
    return ", ".join(shown[:8]) + (f", … ({len(shown)} columns)" if len(shown) > 8 else "")
