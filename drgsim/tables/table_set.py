"""The tables of one version of the MS-DRG grouper, checked and frozen."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import polars as pl

from drgsim.exceptions import TableError, UnknownVersionError, did_you_mean
from drgsim.tables.formula import list_operands, parse_formula
from drgsim.tables.manifest import read_manifest, read_table, table_folder

COUNTED_WORDS = (
    "BILATERAL",
    "FOUR_VESSELS",
    "FOUR_STENTS",
    "FOUR_DRUG_ELUTING_STENTS",
    "FOUR_NON_DRUG_ELUTING_STENTS",
    "SINGLEFUSIONCTR",
    "SGLANTSECTXCTR",
    "SGLPOSTFUSECTR",
    "SGLANTCTR",
    "SGLPOST1CTR",
    "MULTFUSE",
)
"""Operands counted over the procedures of a claim (Definitions Manual, appendix on derived operands)."""

CLAIM_WORDS = frozenset(
    {
        "MCC",
        "CC",
        "ANYDX",
        "INVALID_PDX",
        "PDX_ECODE",
        "INVALID_SEX",
        "INVALID_DSTAT",
        "DIED",
        "ALIVE",
        "AMA",
        "XFRNBA",
        "MULTST",
        "MDC_20_FALL_THRU",
        "ORPROC",
        *COUNTED_WORDS,
    }
)
"""Operands that describe the whole claim and are not names of a code."""

_RANGE = {"first_version": pl.String, "last_version": pl.String}
_COLUMNS: dict[str, dict[str, type[pl.DataType]]] = {
    "diagnoses": {
        "code": pl.String,
        **_RANGE,
        "mdc": pl.UInt8,
        "severity": pl.String,
        "operands": pl.String,
        "hac_operands": pl.String,
        "categories": pl.String,
    },
    "procedures": {"code": pl.String, **_RANGE, "operands": pl.String},
    "clusters": {
        "cluster": pl.String,
        **_RANGE,
        "suppressed_mdcs": pl.String,
        "choices": pl.String,
        "operands": pl.String,
    },
    "pdx_exclusions": {"pdx": pl.String, **_RANGE, "group": pl.UInt16},
    "exclusion_groups": {"group": pl.UInt16, "sdx": pl.String},
    "sex_mdcs": {"pdx": pl.String, **_RANGE, "male_mdc": pl.UInt8, "female_mdc": pl.UInt8},
    "discharge_statuses": {"status": pl.UInt8, **_RANGE, "operands": pl.String},
    "formulas": {
        "mdc": pl.UInt8,
        **_RANGE,
        "order": pl.UInt16,
        "rank": pl.UInt16,
        "drg": pl.UInt16,
        "base_drg": pl.UInt16,
        "type": pl.String,
        "reroute_mdc": pl.UInt8,
        "return_code": pl.String,
        "severity_suppression": pl.String,
        "formula": pl.String,
    },
    "hac_formulas": {"hac": pl.UInt8, **_RANGE, "formula": pl.String},
    "drg_titles": {"drg": pl.UInt16, **_RANGE, "title": pl.String},
    "mdc_titles": {"mdc": pl.UInt8, **_RANGE, "title": pl.String},
    "hac_titles": {"hac": pl.UInt8, **_RANGE, "title": pl.String},
}
_NULLABLE = (
    "operands",
    "hac_operands",
    "categories",
    "suppressed_mdcs",
    "return_code",
    "severity_suppression",
)
_KEYS = {
    "diagnoses": ("code",),
    "procedures": ("code",),
    "clusters": ("cluster",),
    "pdx_exclusions": ("pdx",),
    "sex_mdcs": ("pdx",),
    "discharge_statuses": ("status",),
    "formulas": ("mdc", "order"),
    "hac_formulas": ("hac",),
    "drg_titles": ("drg",),
    "mdc_titles": ("mdc",),
    "hac_titles": ("hac",),
}


@dataclass(frozen=True, eq=False)
class TableSet:
    """The rulebook of one grouper version, as frames. Load it with `TableSet.load`.

    Lists of names and codes are blank-separated text, as in the files; null is an empty list.

    >>> tables = TableSet.load("43.1")
    >>> tables.drg_titles.filter(pl.col("drg") == 419)["title"].item()
    'Laparoscopic Cholecystectomy without C.D.E. without CC/MCC'
    """

    version: str
    fiscal_year: int
    effective_from: dt.date
    effective_to: dt.date
    provenance: str
    """How the tables are known: "CMS's release", "specification", or "derived from the Definitions Manual"."""
    reporting: frozenset[str] = field(repr=False)
    folder: Path = field(repr=False)
    diagnoses: pl.DataFrame = field(repr=False)
    procedures: pl.DataFrame = field(repr=False)
    clusters: pl.DataFrame = field(repr=False)
    pdx_exclusions: pl.DataFrame = field(repr=False)
    exclusion_groups: pl.DataFrame = field(repr=False)
    sex_mdcs: pl.DataFrame = field(repr=False)
    discharge_statuses: pl.DataFrame = field(repr=False)
    formulas: pl.DataFrame = field(repr=False)
    hac_formulas: pl.DataFrame = field(repr=False)
    drg_titles: pl.DataFrame = field(repr=False)
    mdc_titles: pl.DataFrame = field(repr=False)
    hac_titles: pl.DataFrame = field(repr=False)
    all_diagnoses: pl.Series = field(repr=False)
    all_procedures: pl.Series = field(repr=False)

    def __getattribute__(self, name: str) -> Any:
        """Return an attribute; a frame as a copy, so that an edit of it does not change the tables."""
        value = object.__getattribute__(self, name)
        return value.clone() if isinstance(value, pl.DataFrame) else value

    @classmethod
    def load(cls, version: str, *, folder: str | os.PathLike[str] | None = None) -> TableSet:
        """Return the tables of one grouper version.

        Args:
            version: such as "43.1"; `versions()` lists them.
            folder: a table folder of your own, for example with changed logic; by default the shipped one.

        Raises:
            UnknownVersionError: the folder has no such version.
            TableError: a table is missing, altered or malformed; the message names file and row.

        >>> TableSet.load("43.1")
        TableSet(version='43.1', fiscal_year=2026, effective_from=datetime.date(2026, 4, 1), \
effective_to=datetime.date(2026, 9, 30), provenance="CMS's release")
        """
        root = table_folder(folder)
        return _load(root, _check_version(str(version), root), _read_write_times(root))

    def diagnosis_descriptions(self) -> pl.DataFrame:
        """Return `code`, `description` of the billable ICD-10-CM codes (April 2026).

        >>> TableSet.load("43.1").diagnosis_descriptions().filter(pl.col("code") == "K810")["description"].item()
        'Acute cholecystitis'
        """
        columns = {"code": pl.String, "description": pl.String}
        return read_table(self.folder, "icd10cm/descriptions.csv", columns)


def versions(*, folder: str | os.PathLike[str] | None = None) -> tuple[str, ...]:
    """Return the grouper versions that a table folder has, oldest first.

    >>> versions()
    ('36.0', '37.1', '38.1', '39.1', '40.0', '40.1', '41.0', '41.1', '42.0', '42.1', '43.0', '43.1', '44.0')
    """
    return tuple(read_manifest(table_folder(folder))["versions"])


def describe_version(version: str, *, folder: str | os.PathLike[str] | None = None) -> str:
    """Return a version with how its tables are known, as results print it.

    >>> describe_version("36.0")
    '36.0 (derived from the Definitions Manual)'
    """
    entry = read_manifest(table_folder(folder))["versions"].get(version, {})
    return f"{version} ({entry.get('provenance', 'provenance not stated')})"


def version_for(date: dt.date, *, folder: str | os.PathLike[str] | None = None) -> str:
    """Return the grouper version in force for discharges on `date`.

    Raises:
        UnknownVersionError: no version of the folder covers that day.

    >>> version_for(dt.date(2026, 4, 1))
    '43.1'
    """
    if not isinstance(date, dt.date) or isinstance(date, dt.datetime):
        raise UnknownVersionError(f"{date!r} is not a date; pass a datetime.date, such as datetime.date(2026, 4, 1).")
    known = read_manifest(table_folder(folder))["versions"]
    for version, entry in known.items():
        if entry["effective_from"] <= date <= entry["effective_to"]:
            return str(version)
    first, last = next(iter(known.values())), list(known.values())[-1]
    raise UnknownVersionError(
        f"no grouper version covers discharges on {date}; the tables run from {first['effective_from']} to "
        f"{last['effective_to']}. Choose a version with version=."
    )


# ---------------------------------------------------------------------------------------------------------


def _check_version(version: str, root: Path) -> str:
    known = read_manifest(root)["versions"]
    if version not in known:
        hint = did_you_mean(version, known) or f" Known: {', '.join(known)}."
        raise UnknownVersionError(f"no grouper version {version!r} in {root}.{hint}")
    return version


def _read_write_times(root: Path) -> tuple[int, ...]:
    """Return when the tables were last written, so that a changed file is read again."""
    paths = (root / f"msdrg/{name}.csv" for name in _COLUMNS)
    return tuple(path.stat().st_mtime_ns if path.exists() else 0 for path in paths)


@lru_cache(maxsize=4)
def _all_versions(root: Path, _write_times: tuple[int, ...]) -> dict[str, pl.DataFrame]:
    """Read every table once; version ranges are positions in the manifest's list of versions."""
    place = {version: index for index, version in enumerate(read_manifest(root)["versions"])}
    frames = {}
    for name, columns in _COLUMNS.items():
        file = f"msdrg/{name}.csv"
        frame = read_table(root, file, columns, nullable=_NULLABLE)
        if "first_version" in columns:
            ranges = pl.col("first_version", "last_version")
            frame = frame.with_columns(ranges.replace_strict(place, default=None, return_dtype=pl.Int8))
            for column in ("first_version", "last_version"):
                if frame[column].null_count():
                    row = int(frame[column].is_null().arg_max() or 0) + 2
                    raise TableError(f"{root / file}, row {row}: {column} is not a version of the manifest.")
        frames[name] = frame
    return frames


@lru_cache(maxsize=16)
def _load(root: Path, version: str, write_times: tuple[int, ...]) -> TableSet:
    entries = read_manifest(root)["versions"]
    entry, place = entries[version], list(entries).index(version)
    everything = _all_versions(root, write_times)
    frames = {name: _in_force(frame, place) for name, frame in everything.items()}
    for name, key in _KEYS.items():
        twice = frames[name].select(pl.struct(key).is_duplicated()).to_series()
        if twice.any():
            found = frames[name].filter(twice).select(key).row(0)
            raise TableError(f"{root}/msdrg/{name}.csv: {', '.join(map(str, found))} is listed twice in {version}.")
    _check_rules(root, version, frames)
    _check_operands(root, frames)
    return TableSet(
        version=version,
        fiscal_year=entry["fiscal_year"],
        effective_from=entry["effective_from"],
        effective_to=entry["effective_to"],
        provenance=entry.get("provenance", "provenance not stated"),
        reporting=frozenset(entry.get("reporting", ())),
        folder=root,
        all_diagnoses=everything["diagnoses"]["code"].unique().sort(),
        all_procedures=everything["procedures"]["code"].unique().sort(),
        **frames,
    )


def _in_force(frame: pl.DataFrame, place: int) -> pl.DataFrame:
    if "first_version" not in frame.columns:
        return frame
    return frame.filter(pl.col("first_version") <= place, pl.col("last_version") >= place).drop(
        "first_version", "last_version"
    )


def _check_rules(root: Path, version: str, frames: dict[str, pl.DataFrame]) -> None:
    """Raise TableError unless values of closed lists and references between tables are known."""
    allowed = {
        ("diagnoses", "severity"): {"NONE", "CC", "MCC"},
        ("formulas", "type"): {"MEDICAL", "SURGICAL", "NONE"},
        ("formulas", "reroute_mdc"): {0, *frames["formulas"]["mdc"]},
        ("pdx_exclusions", "group"): set(frames["exclusion_groups"]["group"].unique()),
    }
    for (name, column), values in allowed.items():
        unknown = set(frames[name][column].unique()) - values
        if unknown:
            found = min(unknown, key=str)
            raise TableError(f"{root}/msdrg/{name}.csv: {column} {found!r} is not known in {version}.")


def _check_operands(root: Path, frames: dict[str, pl.DataFrame]) -> None:
    """Raise TableError unless every formula parses and all its operands are known."""
    diagnosis = _collect_names(frames["diagnoses"], "operands", "hac_operands", "categories")
    procedure = (
        _collect_names(frames["procedures"], "operands") | _collect_names(frames["clusters"], "operands") | CLAIM_WORDS
    )
    for name in ("formulas", "hac_formulas"):
        for text in frames[name]["formula"]:
            for operand in list_operands(parse_formula(text)):
                prefix, _, bare = operand.rpartition(":")
                known = diagnosis if prefix in ("PDX", "SDX", "ANY", "ONLY") else procedure
                if prefix not in ("", "PDX", "SDX", "ANY", "ONLY") or bare not in known:
                    raise TableError(f"{root}/msdrg/{name}.csv: formula {text!r}: no code carries {operand!r}.")


def _collect_names(frame: pl.DataFrame, *columns: str) -> set[str]:
    lists: Iterable[str] = pl.concat([frame[column].drop_nulls().unique() for column in columns])
    return {name for names in lists for name in names.split(" ")}
