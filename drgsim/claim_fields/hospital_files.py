"""Hospitals in files, as provider inputs: `read_hospitals(path)`."""

from __future__ import annotations

import os
from pathlib import Path

import polars as pl

from drgsim.claim_fields.field_values import blank_words, parse_identifiers, parse_numbers, parse_whole_numbers
from drgsim.claim_fields.mapping_report import MappingProblems
from drgsim.claim_fields.source_files import cast_to_text, read_text_table
from drgsim.exceptions import InputError, SchemaError, did_you_mean
from drgsim.files.foreign_frames import accept_frames
from drgsim.files.text_tables import DAMAGED, describe_unreadable, read_parquet
from drgsim.schema import HOSPITALS, Column

ALL_ROWS = "all"
"""The id of a hospital that a file gives without one."""
_BOOLEANS = {"true": True, "false": False, "1": True, "0": False, "y": True, "n": False, "yes": True, "no": False}
_BOOLEANS |= {"t": True, "f": False, "1.0": True, "0.0": False}
_KEYS = ("hospital_id", "ccn", "provider", "provider_id", "provider_number", "prvdr_num")
_SUFFIXES = (".parquet", ".csv", ".csv.gz", ".txt", ".tsv", ".psv", ".txt.gz", ".tsv.gz")


def read_hospitals(path: str | os.PathLike[str]) -> pl.DataFrame:
    r"""Return the hospitals of a Parquet or text file, in the columns of HOSPITALS.

    Args:
        path: a file with a row for each hospital, or with one row without an id, which is the hospital of all
            admissions (see `assign_hospital`). Column names may be in any case, the text separated by commas,
            semicolons, tabs or bars; the id may also be called `ccn` or `provider_number`.

    Returns:
        The columns of HOSPITALS that the file has, in their types, then its other columns as text. The id of a file
        with one row and no id is null. A CCN that lost its leading zero stays as it is, as any id is text.

    Raises:
        InputError: the file cannot be read, or a row has fewer or more fields than the header.
        SchemaError: there is no id and not one row alone, no column is known, or a value is none of its type; names
            row and column.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "hospitals.csv"
    >>> _ = path.write_text("HOSPITAL_ID;BEDS;OPERATING_CCR\n010001;350.0;0.28\n")
    >>> read_hospitals(path).row(0)
    ('010001', 0.28, 350)
    """
    file = Path(path)
    if not file.is_file():
        raise InputError(f"{file}: no such file.")
    if not file.name.lower().endswith(_SUFFIXES):
        raise InputError(f"{file}: cannot read {file.suffix or 'a file without suffix'}; use {', '.join(_SUFFIXES)}.")
    problems = MappingProblems()
    if file.suffix.lower() == ".parquet":
        try:
            table = read_parquet(file)
        except DAMAGED as error:
            raise describe_unreadable(file, error) from None
    else:
        table = read_text_table(file, problems)
    for row, _, reason in problems.flags().iter_rows():
        raise InputError(f"{file}: row {row + 1}: {reason}.")
    return cast_hospitals(table, where=file)


def cast_hospitals(table: pl.DataFrame, *, where: Path | str = "hospitals") -> pl.DataFrame:
    """Return a frame of hospitals in the columns and types of HOSPITALS: see `read_hospitals`.

    Args:
        table: (n,) rows, of texts or other types.
        where: what messages call it.

    Raises:
        SchemaError: as `read_hospitals`.
    """
    lower = {name: name.strip().lower().replace(" ", "_") for name in table.columns}
    key = next((name for known in _KEYS for name, low in lower.items() if low == known), None)
    renamed = {name: low for name, low in lower.items() if low in HOSPITALS.names and low != "hospital_id"}
    renamed |= {key: "hospital_id"} if key else {}
    if len(set(renamed.values())) < len(renamed):
        raise SchemaError(f"{where}: two columns differ in case alone.")
    if not set(renamed.values()) - {"hospital_id"}:
        hint = did_you_mean(next(iter(lower.values()), ""), HOSPITALS.names)
        raise SchemaError(f"{where}: no column of hospitals, such as operating_ccr.{hint} See drgsim.schema.HOSPITALS.")
    if key is None and table.height != 1:
        raise SchemaError(f"{where}: no column hospital_id in {table.height} rows; one row alone may be without it.")
    columns = [_cast_column(table[name], HOSPITALS[ours], where) for name, ours in renamed.items()]
    found = pl.DataFrame(columns) if key else pl.DataFrame([pl.Series("hospital_id", [None], pl.String), *columns])
    order = [name for name in HOSPITALS.names if name in found.columns]
    others = cast_to_text(table.drop(list(renamed)))
    return found.select(order).hstack(others.drop(name for name in others.columns if name in order))


@accept_frames
def assign_hospital(admissions: pl.DataFrame, hospitals: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return admissions and hospitals, one hospital without an id as that of all.

    Args:
        admissions: (n,) rows of `schema.ADMISSIONS`, with or without `hospital_id`.
        hospitals: as `read_hospitals` returns them.

    Returns:
        Admissions with an id in every row, and the hospital once for each id. Both are unchanged where hospitals have
        ids.

    >>> admissions, hospitals = assign_hospital(
    ...     pl.DataFrame({"admission_id": [1, 2], "hospital_id": ["A", None]}),
    ...     pl.DataFrame({"hospital_id": [None], "operating_ccr": [0.3]}))
    >>> admissions["hospital_id"].to_list(), hospitals.rows()
    (['A', 'all'], [('A', 0.3), ('all', 0.3)])
    """
    if hospitals.height != 1 or hospitals["hospital_id"].null_count() == 0:
        return admissions, hospitals
    given = pl.col("hospital_id") if "hospital_id" in admissions.columns else pl.lit(None, pl.String)
    admissions = admissions.with_columns(given.cast(pl.String).fill_null(ALL_ROWS).alias("hospital_id"))
    ids = admissions.select(pl.col("hospital_id").unique(maintain_order=True))
    return admissions, ids.join(hospitals.drop("hospital_id"), how="cross")


# ---------------------------------------------------------------------------------------------------------


def _cast_column(column: pl.Series, contract: Column, where: Path | str) -> pl.Series:
    """Return a column in its contract's type, null where blank."""
    dtype, texts = contract.dtype, blank_words(cast_to_text(column.to_frame()).to_series())
    if dtype == pl.String:
        return (parse_identifiers(texts) if contract.name in ("hospital_id", "cbsa") else texts).rename(contract.name)
    if dtype == pl.Boolean:
        read = texts.str.to_lowercase().replace_strict(_BOOLEANS, default=None, return_dtype=pl.Boolean)
    elif dtype.is_integer():
        read = parse_whole_numbers(texts).cast(dtype, strict=False)
    else:
        read = parse_numbers(texts).cast(dtype, strict=False)
    lost = texts.is_not_null() & read.is_null()
    if lost.any():
        raise SchemaError(
            f"{where}: row {int(lost.arg_max() or 0) + 1}, column {contract.name}: not {dtype} "
            f"({lost.sum()} such rows). {contract.about[:1].upper()}{contract.about[1:]}."
        )
    return read.rename(contract.name)
