"""Tables with one row an admission: `read_flat(path)`.

* **admissions**: the columns of `drgsim.schema.ADMISSIONS`. Parquet holds `sdx`, `procedures` and `sdx_poa`
  as lists or as text, CSV as text, separated by `;` or `|`, or by commas or blanks where neither occurs, or in
  brackets as Python, JSON and databases write lists. POA indicators that may be blank need separators; a blank field
  means that all of them are blank.
* **wide**: `dx1`…`dxN`, `pr1`…`prN` and, if known, `poa1`…`poaN` (names: `drgsim.claim_fields.column_names`),
  where `dx1` is the principal diagnosis, or `dx0` if there is one; the other columns are those of ADMISSIONS. The
  principal diagnosis may also be `pdx`, with `dx2`… or `sdx1`… (`sdx_poa1`…) for the others.
* **mimic_demo**: `admissions_icd10_wide.csv`, or the folder that holds it. It has no POA indicators
  (group it with `hospital_status="EXEMPT"`), and its `discharge_location` becomes a UB-04 status by
  `MIMIC_DISCHARGE_STATUS`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import polars as pl

from drgsim.claim_fields.assembly import SOURCES, build_claims
from drgsim.claim_fields.bill_rules import find_bill_columns, flag_bills
from drgsim.claim_fields.code_cells import DX, PR, split_indicators, split_lists
from drgsim.claim_fields.code_lists import CODES, collect_wide_codes
from drgsim.claim_fields.column_names import (
    NUMBERED,
    PRINCIPAL,
    find_numbered,
    list_names,
    match_number,
    number_diagnoses,
    report_code_columns,
)
from drgsim.claim_fields.field_values import blank_words, parse_whole_numbers
from drgsim.claim_fields.mapping_report import Claims, MappingProblems
from drgsim.claim_fields.source_files import cast_to_text, read_text_table
from drgsim.claims.mimic import map_discharge_status
from drgsim.exceptions import SchemaError
from drgsim.files.text_tables import DAMAGED, describe_unreadable, read_parquet
from drgsim.schema import ADMISSIONS, NUMBERS, TEXTS, check_frame

MIMIC_FILE = "admissions_icd10_wide.csv"
SUFFIXES = (".parquet", ".csv", ".csv.gz")
_MIMIC_COLUMNS = frozenset({"hadm_id", "discharge_location", "dx1"})
_MIMIC_NUMBERS = ("died", "ms_drg_recorded")
_IDENTIFIERS = ("admission_id", "claim_id", "hadm_id", "encounter_id", "stay_id", "visit_id")
_LIST_COLUMNS = {"dx": ("pdx", "sdx"), "pr": ("procedures",), "poa": ("pdx_poa", "sdx_poa")}
_MOST_HINTS = 300
_LISTS = ("sdx", "procedures", "sdx_poa")
_SCALARS = tuple(
    column.name
    for column in ADMISSIONS.columns
    if column.name not in ("admission_id", "pdx", "pdx_poa") and not isinstance(column.dtype, pl.List)
)


def is_flat(columns: Iterable[str]) -> bool:
    """Return whether columns are those of a table with one row an admission.

    >>> is_flat(["age", "Diagnosis 1"]), is_flat(["age", "note"])
    (True, False)
    """
    principal = {*PRINCIPAL["pdx"]}
    return any(name.strip().lower() in principal or match_number(NUMBERED["dx"], name) in (0, 1) for name in columns)


def read_flat(path: Path) -> Claims:
    r"""Return the claims of a Parquet or text file with one row a claim.

    Args:
        path: a file in one of the layouts above, or the folder of the MIMIC-IV demo.

    Returns:
        The ADMISSIONS columns that the file has, in their order and types, then its other columns, those of text as
        text. A number that cannot be read (an age "n/a") is null; a null discharge status is an invalid one. An
        identifier that is no whole number is `claim_id`, and its hash `admission_id`.

    Raises:
        InputError: the file cannot be read.
        SchemaError: the columns fit no layout, a required one is missing or unreadable, or a claim has
            more or fewer POA indicators than secondary diagnoses.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "claims.csv"
    >>> text = "admission_id,age,sex,discharge_status,dx1,dx2,pr1\n7,71,F,1,K81.0,I10,0FT44ZZ\n"
    >>> _ = path.write_text(text)
    >>> read_flat(path).admissions.select("pdx", "sdx", "procedures").row(0)
    ('K81.0', ['I10'], ['0FT44ZZ'])
    """
    file, problems = path / MIMIC_FILE if path.is_dir() else path, MappingProblems()
    if file.suffix.lower() != ".parquet":
        return map_flat(read_text_table(file, problems, compact=True, keep_blank=True), problems, file)
    try:
        table = read_parquet(file)
    except DAMAGED as error:
        raise describe_unreadable(file, error) from None
    return map_flat(table, problems, file)


def map_flat(table: pl.DataFrame, problems: MappingProblems, where: Path | str) -> Claims:
    """Return the claims of a frame with one row a claim: see `read_flat`.

    Args:
        table: (n,) rows, texts or values of any types; columns that are not known keep theirs.
        problems: those found so far.
        where: the file, named in errors.

    Raises:
        SchemaError: as `read_flat`.
    """
    layout, table = "admissions", _rename_known_columns(where, table)
    if {*table.columns} >= _MIMIC_COLUMNS:
        layout, table = "mimic_demo", _rename_mimic_columns(table)
    table = table.rename(number_diagnoses(where, table.columns))
    wide = {kind: find_numbered(where, table.columns, kind) for kind in ("dx", "pr", "poa")}
    _refuse_lists_beside_numbers(where, table, wide)
    if wide["dx"] and layout == "admissions":
        layout = "wide"
    elif not wide["dx"] and "pdx" not in table.columns:
        # Without a header the first line is a patient's row, whose values no message may show.
        known = {*table.columns} & {*ADMISSIONS.names}
        found = f"found {list_names(table.columns)}" if known else "no known name at all"
        raise SchemaError(
            f"{where}: no diagnosis columns: {found} in the first line; expected pdx, sdx, procedures "
            "(drgsim.schema.ADMISSIONS) or dx1, dx2, …, pr1, …."
        )
    key = next((name for name in _IDENTIFIERS if name in table.columns), None)
    _check_columns(where, table, wide, key)
    codes = _collect_codes(where, table, wide)
    scalars = [name for name in (*_SCALARS, *SOURCES) if name in table.columns]
    taken = {name for columns in wide.values() for name in columns.values()} | {*ADMISSIONS.names}
    others = table.select(name for name in table.columns if name not in taken)
    if "claim_id" in others.columns:
        others = others.with_columns(_to_text(others["claim_id"]))
    for name in others.columns:
        problems.report_file(name, "not mapped, kept as it is", others[name].count())
    report_code_columns(others, problems)
    bills = find_bill_columns(others.columns)
    flag_bills(cast_to_text(others.select(**bills)), bills, problems)
    stays = table.select(_as_given(table[name]) for name in scalars)
    stays = stays.with_columns(_to_text(table[str(key)]).rename("claim_id"))
    has_poa = {"pdx_poa": min(wide["dx"], default=0) in wide["poa"] or "pdx_poa" in table.columns,
               "sdx_poa": bool(wide["poa"]) or "sdx_poa" in table.columns}  # fmt: skip
    keep = {
        *_SCALARS,
        *(name for name, given in has_poa.items() if given),
        *(["sdx_poa"] if any(has_poa.values()) else []),
    }
    built = build_claims(layout, stays, codes, problems, keep=keep, key=str(key), where=where)
    return _restore_columns(built, others, {*table.columns}, has_poa, layout)


# ---------------------------------------------------------------------------------------------- columns


def _rename_known_columns(where: Path | str, table: pl.DataFrame) -> pl.DataFrame:
    """Return the table with names of ADMISSIONS and of identifiers in lower case."""
    known = {*ADMISSIONS.names, *_IDENTIFIERS, *SOURCES}
    lower = {name: name.strip().lower() for name in table.columns}
    renamed = {name: low for name, low in lower.items() if low in known}
    for ours, names in PRINCIPAL.items():
        if ours not in renamed.values():
            renamed |= {name: ours for name, low in lower.items() if low in names}
    if len(set(renamed.values())) < len(renamed):
        raise SchemaError(f"{where}: two columns differ in case alone: {list_names(renamed)}.")
    return table.rename(renamed)


def _rename_mimic_columns(table: pl.DataFrame) -> pl.DataFrame:
    """Return the MIMIC-IV demo with ADMISSIONS names, a discharge status and numbers."""
    status = map_discharge_status(pl.col("discharge_location"))
    numbers = [parse_whole_numbers(table[name]) for name in _MIMIC_NUMBERS if table.schema.get(name) == pl.String]
    return table.rename({"hadm_id": "admission_id"}).with_columns(*numbers, discharge_status=status)


def _refuse_lists_beside_numbers(where: Path | str, table: pl.DataFrame, wide: dict[str, dict[int, str]]) -> None:
    for kind, listed in _LIST_COLUMNS.items():
        both = [name for name in listed if name in table.columns]
        if wide[kind] and both:
            hint = " With pdx, name the secondary diagnoses sdx1, sdx2, …." if both[0] == "pdx" else ""
            raise SchemaError(
                f"{where}: holds both {both[0]} and {next(iter(wide[kind].values()))}; keep one of them.{hint}"
            )


def _check_columns(where: Path | str, table: pl.DataFrame, wide: dict[str, dict[int, str]], key: str | None) -> None:
    """Check that required columns are there, and that columns of codes hold texts."""
    numbered, schema = [name for columns in wide.values() for name in columns.values()], table.schema
    wrong = [name for name in numbered if not isinstance(schema[name], (*TEXTS, pl.Null))]
    if wrong:
        raise SchemaError(f"{where}: {wrong[0]} is {schema[wrong[0]]}, expected String.")
    found: dict[str, pl.DataType] = {name: ADMISSIONS[name].dtype for name in table.columns if name in ADMISSIONS.names}
    for name in ("pdx", "pdx_poa", *_LISTS):
        if name in found and not isinstance(schema[name], (*TEXTS, pl.Null)):
            found[name] = schema[name]
    if wide["dx"]:
        found |= {name: ADMISSIONS[name].dtype for name in ("pdx", "sdx", "procedures")}
    found |= {"admission_id": pl.UInt64()} if key else {}
    # Other names serve as hints for a missing one.
    found |= {name: pl.String() for name in table.columns[:_MOST_HINTS] if name not in found}
    try:
        check_frame(pl.DataFrame(schema=found), ADMISSIONS)
    except SchemaError as error:
        raise SchemaError(f"{where}: {error}") from error


def _to_text(column: pl.Series) -> pl.Series:
    return cast_to_text(column.to_frame()).to_series()


def _as_given(column: pl.Series) -> pl.Series:
    """Return a scalar column as text, or as it is where it has a type of its kind."""
    dtype = ADMISSIONS[column.name].dtype if column.name in ADMISSIONS.names else pl.String()
    if dtype.is_numeric() and isinstance(column.dtype, NUMBERS):
        if dtype.is_integer() and column.dtype.is_float():
            return column.set((column != column.floor()).fill_null(value=False), float("nan")).fill_nan(None)
        return column
    if dtype == pl.Date and column.dtype in (pl.Date, pl.Datetime):
        return column.cast(pl.Date)
    return _to_text(column)


def _restore_columns(
    built: Claims, others: pl.DataFrame, given: set[str], has_poa: dict[str, bool], layout: str
) -> Claims:
    """Return claims with the columns of the file alone, POA indicators if it has them."""
    admissions = built.admissions
    # Indicators may also be written with codes.
    letters = {"pdx_poa": pl.col("pdx_poa"), "sdx_poa": pl.col("sdx_poa").list.join("")}
    found = [name for name in has_poa if name in admissions.columns]
    filled = {name: bool(admissions.select((letters[name] != "").any()).item()) for name in found}
    admissions = admissions.drop(name for name in found if not has_poa[name] and not filled[name])
    if "pdx_poa" in admissions.columns:
        # A blank POA indicator of a file is null; in lists it is blank, as the codes have places.
        admissions = admissions.with_columns(pdx_poa=pl.when(pl.col("pdx_poa") != "").then("pdx_poa"))
    absent = [name for name in _SCALARS if name in admissions.columns and name not in given]
    claim_id = blank_words(admissions["claim_id"])
    is_plain = (claim_id == admissions["admission_id"].cast(pl.String)).fill_null(value=True).all()
    admissions = admissions.select(
        name for name in ADMISSIONS.names if name in admissions.columns and name not in absent
    )
    if not is_plain and "claim_id" not in others.columns:
        admissions = admissions.with_columns(claim_id)
    nulls = [name for name, dtype in others.schema.items() if dtype == pl.Null and layout != "frame"]
    others = others.with_columns(pl.col(nulls).cast(pl.String))
    return Claims(built.layout, admissions.hstack(others), built.report, built.flags)


# ---------------------------------------------------------------------------------------------- codes


def _collect_codes(where: Path | str, table: pl.DataFrame, wide: dict[str, dict[int, str]]) -> pl.DataFrame:
    """Return the codes of numbered columns or of lists, as `CODES`."""
    parts = []
    if wide["dx"]:
        numbered = [(name, wide["poa"].get(number), None) for number, name in wide["dx"].items()]
        parts.append(collect_wide_codes(table, DX, numbered).with_columns(principal=pl.col("sequence") == 1))
    else:
        poa = "pdx_poa" if "pdx_poa" in table.columns else None
        pdx = collect_wide_codes(table, DX, [("pdx", poa, None)])
        parts.append(pdx.with_columns(principal=pl.lit(value=True), sequence=pl.lit(None, pl.Int64)))
        parts.append(_explode_diagnoses(where, table))
    if wide["pr"]:
        parts.append(collect_wide_codes(table, PR, [(name, None, None) for name in wide["pr"].values()]))
    elif "procedures" in table.columns:
        listed = pl.DataFrame({"code": _to_lists(table["procedures"])}).with_row_index("row")
        parts.append(_as_codes(listed.explode("code", empty_as_null=False), PR))
    return pl.concat(parts)


def _explode_diagnoses(where: Path | str, table: pl.DataFrame) -> pl.DataFrame:
    """Return the codes of `sdx` with the POA indicators of `sdx_poa`."""
    lists = pl.DataFrame({"code": _to_lists(table["sdx"])}).with_row_index("row")
    if "sdx_poa" not in table.columns:
        return _as_codes(lists.explode("code", empty_as_null=False), DX)
    poa = table["sdx_poa"]
    indicators = poa.cast(pl.List(pl.String)) if poa.dtype == pl.List else split_indicators(poa.cast(pl.String))
    given = poa.is_not_null() if poa.dtype == pl.List else (poa.cast(pl.String).str.strip_chars() != "")
    counts = pl.DataFrame({"codes": lists["code"].list.len(), "letters": indicators.list.len()}).fill_null(0)
    differs = given.fill_null(value=False) & (counts["codes"] != counts["letters"])
    if differs.any():
        row = int(differs.arg_max() or 0)
        codes, letters = counts.row(row)
        raise SchemaError(
            f"{where}: row {row + 1} has {codes} secondary diagnoses and {letters} POA indicators "
            f"({differs.sum()} such rows). Write one indicator for each diagnosis, separated by ;, blank if unknown."
        )
    unknown = lists["code"].list.eval(pl.element().str.head(0).fill_null(""))
    lists = lists.with_columns(poa=indicators.zip_with(given.fill_null(value=False), unknown))
    return _as_codes(lists.explode("code", "poa", empty_as_null=False), DX)


def _to_lists(column: pl.Series) -> pl.Series:
    """Return lists of codes, of lists or of texts; null and blank are empty."""
    if column.dtype != pl.List:
        texts = column.cast(pl.String)
        column = split_lists(texts.set((texts.str.strip_chars() == "").fill_null(value=False), None))
    return column.cast(pl.List(pl.String)).fill_null(pl.Series([[]], dtype=pl.List(pl.String)))


def _as_codes(codes: pl.DataFrame, kind: str) -> pl.DataFrame:
    poa = "poa" if "poa" in codes.columns else pl.lit(None, pl.String)
    return codes.select(
        pl.col("row").cast(pl.UInt32),
        kind=pl.lit(kind),
        principal=pl.lit(value=False),
        sequence=pl.lit(None, pl.Int64),
        code="code",
        poa=poa,
        icd=pl.lit(None, pl.Int8),
    ).select(*CODES)
