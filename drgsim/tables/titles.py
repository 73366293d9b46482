"""Titles of DRGs, MDCs and diagnoses beside their numbers and codes."""

from __future__ import annotations

import polars as pl

from drgsim.exceptions import SchemaError
from drgsim.files.foreign_frames import accept_frames
from drgsim.schema import INTEGERS, TEXTS, normalise_codes
from drgsim.tables.table_set import TableSet

_CODES = ("code", "code_before", "code_after", "code_then", "with_code", "pdx", "look_at")
_SUFFIX = "_title"


@accept_frames
def with_titles(frame: pl.DataFrame, tables: TableSet) -> pl.DataFrame:
    """Return a frame with the title of each DRG, MDC and diagnosis in the column after it.

    A DRG is a column of whole numbers called `drg`, or whose name begins with `drg_` or ends in `_drg`; an MDC one
    called `mdc` or whose name ends in `_mdc`; a diagnosis a column of texts called `code`, `code_before`,
    `code_after`, `code_then`,
    `with_code`, `look_at` or `pdx`. ICD-10-PCS titles are not shipped: the title of a procedure is null.

    Args:
        frame: (n,) any result.
        tables: the version whose titles are used; diagnoses have the descriptions of April 2026.

    Returns:
        The frame, with a column `NAME_title` after each of these columns; null where there is no title. A column
        of that name is replaced.

    Raises:
        SchemaError: `frame` is no frame.

    >>> with_titles(pl.DataFrame({"drg": [419, 7], "code": ["K81.0", "0FT44ZZ"]}), TableSet.load("43.1")).rows()[0]
    (419, 'Laparoscopic Cholecystectomy without C.D.E. without CC/MCC', 'K81.0', 'Acute cholecystitis')
    """
    if not isinstance(frame, pl.DataFrame):
        raise SchemaError(f"with_titles takes a polars DataFrame, found {type(frame).__name__}.")
    added = [f"{name}{_SUFFIX}" for name in frame.columns if _find_kind(name, frame.schema[name])]
    columns: list[pl.Series] = []
    for column in frame.drop(added, strict=False).get_columns():
        columns.append(column)
        kind = _find_kind(column.name, column.dtype)
        if kind:
            columns.append(_find_titles(column, kind, tables).alias(f"{column.name}{_SUFFIX}"))
    return pl.DataFrame(columns)


# ---------------------------------------------------------------------------------------------------------


def _find_kind(name: str, dtype: pl.DataType) -> str:
    """Return drg, mdc or code, or an empty text where the column is none of them."""
    if isinstance(dtype, INTEGERS):
        for kind in ("drg", "mdc"):
            if name == kind or name.startswith(f"{kind}_") or name.endswith(f"_{kind}"):
                return kind
    return "code" if name in _CODES and isinstance(dtype, TEXTS) else ""


def _find_titles(column: pl.Series, kind: str, tables: TableSet) -> pl.Series:
    if kind == "code":
        known = tables.diagnosis_descriptions().select("code", pl.col("description").alias("title"))
        asked = normalise_codes(column.cast(pl.String))
    else:
        titles = tables.drg_titles if kind == "drg" else tables.mdc_titles
        known = titles.select(pl.col(kind).cast(pl.Int64).alias("code"), "title")
        asked = column.cast(pl.Int64)
    return asked.replace_strict(known["code"], known["title"], default=None, return_dtype=pl.String)
