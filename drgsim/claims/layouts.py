"""Claim files to frames of ADMISSIONS: `read_claims`, and `map_claims`, which also reports.

| layout | what | read by |
|---|---|---|
| `admissions`, `wide`, `mimic_demo` | one row an admission, with lists or numbered columns of codes | `flat` |
| `long` | one row a code | `long` |
| `rif` | CMS Research Identifiable Files, inpatient | `rif` |
| `fhir` | FHIR ExplanationOfBenefit: Blue Button, CARIN | `fhir` |
| `hcup` | HCUP NIS and SID, ICD-10 years | `hcup` |
| `mimic_iv` | MIMIC-IV, tables of the hospital module | `mimic` |
| `837i` | X12 837 institutional | `x12_837` |
| `json` | claims as JSON objects | `json_objects` |
| `tuva` | Tuva data model, tables of claims and of conditions | `tuva` |
| `medpar` | CMS MedPAR | `medpar` |
| `columns` | one row a claim under any names, with `columns=` | `own_columns` |

A layout is recognised by the file's suffix, first line and column names (in any case), or is named by the caller. Null
and blank codes are dropped from lists, with their POA indicator; codes are not changed otherwise. Rows keep their
number and order. Columns that drgsim does not know pass through.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

import polars as pl

from drgsim.claim_fields.mapping_report import Claims, MappingProblems
from drgsim.claim_fields.source_files import cast_to_text, read_documents
from drgsim.claims.fhir import read_fhir
from drgsim.claims.flat import MIMIC_FILE, SUFFIXES, is_flat, map_flat, read_flat
from drgsim.claims.hcup import map_hcup, read_hcup
from drgsim.claims.json_objects import is_json_claim, read_json
from drgsim.claims.long import is_long, map_long, read_long
from drgsim.claims.medpar import is_medpar, map_medpar, read_medpar
from drgsim.claims.mimic import MIMIC_DISCHARGE_STATUS as MIMIC_DISCHARGE_STATUS
from drgsim.claims.mimic import find_mimic_tables, read_mimic
from drgsim.claims.own_columns import map_own_columns
from drgsim.claims.rif import map_rif, read_rif
from drgsim.claims.tuva import is_tuva, map_tuva, read_tuva
from drgsim.claims.x12_837 import is_837, read_837
from drgsim.exceptions import InputError, SchemaError, did_you_mean
from drgsim.files.foreign_frames import accept_frames
from drgsim.files.spreadsheets import SPREADSHEETS
from drgsim.files.text_tables import read_first_line, read_header

LAYOUTS: Mapping[str, Callable[[Path], Claims]] = {
    "admissions": read_flat,
    "wide": read_flat,
    "mimic_demo": read_flat,
    "long": read_long,
    "rif": read_rif,
    "fhir": read_fhir,
    "hcup": read_hcup,
    "mimic_iv": read_mimic,
    "837i": read_837,
    "json": read_json,
    "tuva": read_tuva,
    "medpar": read_medpar,
}
"""Every layout and the function that reads it."""

Columns = Mapping[str, Any] | str | os.PathLike[str]
"""Which column holds which field: a mapping, or the path of a TOML file."""
TABLES: Mapping[
    str, tuple[Callable[[pl.DataFrame, MappingProblems, Path | str], Claims], Callable[[str], str] | None]
] = {
    "admissions": (map_flat, None),
    "wide": (map_flat, None),
    "mimic_demo": (map_flat, None),
    "long": (map_long, str.lower),
    "rif": (map_rif, str.upper),
    "hcup": (map_hcup, str.upper),
    "tuva": (map_tuva, str.lower),
    "medpar": (map_medpar, str.upper),
}
"""Layouts of tables: the function that maps a frame, and the case of its column names; None takes any types."""

_FLAT = ("admissions", "wide", "mimic_demo")
_JSON = (".ndjson", ".jsonl", ".json")
_TEXT = (".txt", ".psv", ".tsv", ".dat", ".edi", ".x12", ".837")
_MOST_OBJECTS = 100


if TYPE_CHECKING:

    @overload
    def read_claims(
        path: str | os.PathLike[str],
        layout: str | None = None,
        *,
        columns: Columns | None = None,
        report: Literal[False] = False,
    ) -> pl.DataFrame: ...
    @overload
    def read_claims(
        path: str | os.PathLike[str],
        layout: str | None = None,
        *,
        columns: Columns | None = None,
        report: Literal[True],
    ) -> Claims: ...


def read_claims(
    path: str | os.PathLike[str], layout: str | None = None, *, columns: Columns | None = None, report: bool = False
) -> pl.DataFrame | Claims:
    r"""Return the claims of a file, one row each, in the columns of ADMISSIONS.

    Args:
        path: a file in one of the layouts above, or a folder of MIMIC-IV. Text may be gzipped.
        layout: a name of `LAYOUTS`; None recognises it.
        columns: which column of a table holds which field, for a table with one row a claim under names of its own: a
            mapping such as {"claim_id": "Patient Account", "dx": "Dx {n}"}, or a TOML file of the same entries
            (`drgsim.claims.suggest_columns` proposes one).
        report: whether to return `Claims`, with a report of what was changed, flagged and left out.

    Returns:
        The ADMISSIONS columns that the file has, in their order and types, then the file's other columns. A number
        that cannot be read (an age "n/a") is null; a null discharge status is an invalid one. Where identifiers may
        be text, they are `claim_id`, and their hash is `admission_id` (`drgsim.claims.hash_admission_ids`).

    Raises:
        InputError: there is no such file or layout, the file cannot be read, or no layout is recognised.
        SchemaError: the columns fit no layout, or a required one is missing or unreadable.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "claims.csv"
    >>> text = "admission_id,age,sex,discharge_status,dx1,dx2,pr1\n7,71,F,1,K81.0,I10,0FT44ZZ\n"
    >>> _ = path.write_text(text)
    >>> read_claims(path).select("pdx", "sdx", "procedures").row(0)
    ('K81.0', ['I10'], ['0FT44ZZ'])
    """
    claims = map_claims(path, layout, columns=columns)
    return claims if report else claims.admissions


def map_claims(path: str | os.PathLike[str], layout: str | None = None, *, columns: Columns | None = None) -> Claims:
    r"""Return the claims of a file, and a report of what could not be mapped: see `Claims`.

    Arguments and errors are those of `read_claims`, which returns `map_claims(...).admissions`.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "claims.csv"
    >>> text = "admission_id,age,sex,discharge_status,dx1,dx2,dx3\n7,old,F,1,K81.0,,I10\n8,3,F,1,K81.0,,\n"
    >>> _ = path.write_text(text)
    >>> map_claims(path).report.rows()
    [('age', 'unreadable, left blank', 1), ('dx', 'gap in sequence numbers', 1)]
    """
    source = Path(path)
    if not source.exists():
        raise InputError(f"{source}: no such file.")
    if columns is not None:
        if layout is not None:
            raise InputError(f"layout is {layout!r} and columns are given; give one of them.")
        return map_own_columns(source, columns)
    name = _recognise(source) if layout is None else layout
    if name not in LAYOUTS:
        raise InputError(f"no layout {name!r}.{did_you_mean(str(name), LAYOUTS)} Known: {', '.join(LAYOUTS)}.")
    if source.is_dir() and name not in ("mimic_demo", "mimic_iv"):
        raise InputError(f"{source}: a folder; {name} is read from one file of claims.")
    claims = LAYOUTS[name](source)
    if layout in _FLAT and claims.layout != layout:
        raise SchemaError(f"{source}: its columns are those of {claims.layout}, not {layout}.")
    return claims


@accept_frames
def map_table(frame: pl.DataFrame, layout: str | None = None, *, where: Path | str = "the frame") -> Claims:
    """Return the claims of a frame in the layout of a table, and a report: see `Claims`.

    Args:
        frame: (n,) rows of any types, in a layout of `TABLES`.
        layout: its name; None recognises it by column names.
        where: what messages call the frame.

    Raises:
        InputError: there is no such layout of tables.
        SchemaError: the columns do not fit.

    >>> frame = pl.DataFrame({"claim_id": ["A7"], "age": [71.0], "sex": [2], "discharge_status": ["03 - SNF"],
    ...                       "dx1": ["K81.0"], "dx2": ["I10"]})
    >>> map_table(frame).admissions.select("age", "sex", "discharge_status", "pdx", "sdx").row(0)
    (71, 'F', 3, 'K81.0', ['I10'])
    """
    name = recognise_columns(frame.columns) if layout is None else layout
    if name not in TABLES:
        raise InputError(f"no layout {name!r} of tables.{did_you_mean(str(name), TABLES)} Known: {', '.join(TABLES)}.")
    map_claims_of, case = TABLES[name]
    table = frame if case is None else cast_to_text(frame, case, where=where)
    return map_claims_of(table, MappingProblems(), where)


# ---------------------------------------------------------------------------------------------- layouts


def _recognise(path: Path) -> str:
    """Return the layout of a file or folder."""
    if path.is_dir():
        return _recognise_folder(path)
    name = path.name.lower().removesuffix(".gz")
    if name.endswith(_JSON):
        return _recognise_objects(path)
    if not path.name.lower().endswith(SUFFIXES) and not name.endswith((*_TEXT, *SPREADSHEETS)):
        raise _refuse_suffix(path)
    if not name.endswith((".parquet", *SPREADSHEETS)) and is_837(read_first_line(path)):
        return "837i"
    columns = read_header(path)
    layout = recognise_columns(columns)
    if layout == "admissions" and name.endswith(_TEXT) and not is_flat(columns):
        raise InputError(f"{path}: no layout recognised by its columns; pass layout=, one of {', '.join(LAYOUTS)}.")
    return layout


def recognise_columns(columns: Iterable[str]) -> str:
    """Return the layout of a table by its column names; `admissions` where no other fits.

    >>> recognise_columns(["clm_id", "prncpal_dgns_cd"]), recognise_columns(["claim_id", "dx1"])
    ('rif', 'admissions')
    """
    upper = {column.strip().upper() for column in columns}
    if is_medpar(upper):
        return "medpar"
    if is_tuva(upper):
        return "tuva"
    if "PRNCPAL_DGNS_CD" in upper:
        return "rif"
    if "I10_DX1" in upper:
        return "hcup"
    return "long" if is_long(upper) else "admissions"


def _recognise_folder(path: Path) -> str:
    if (path / MIMIC_FILE).is_file():
        return "mimic_demo"
    if find_mimic_tables(path):
        return "mimic_iv"
    raise InputError(
        f"{path}: a folder without {MIMIC_FILE} (the MIMIC-IV demo) and without MIMIC-IV's module tables; "
        "pass one file of claims."
    )


def _recognise_objects(path: Path) -> str:
    """Return the layout of JSON objects, by the first object that shows it."""
    for value in islice(read_documents(path), _MOST_OBJECTS):
        if value is not None and "resourceType" in value:
            return "fhir"
        if value is not None and is_json_claim(value):
            return "json"
    raise InputError(f"{path}: no FHIR resource and no claim among its first objects; pass layout='fhir' or 'json'.")


def _refuse_suffix(path: Path) -> InputError:
    known = ", ".join((*SUFFIXES, *SPREADSHEETS, *_JSON, *_TEXT))
    return InputError(f"{path}: cannot read {path.suffix or 'a file without suffix'}; use {known}.")
