"""Which codes are confused with each other, and which diagnoses are plausible in an MDC.

Everything is derived from the codes, severities and descriptions of the grouper version and from the shipped
population. Nothing depends on the given admissions, so batches cannot change an outcome.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import polars as pl

from drgsim.grouping.code_attributes import compile_attributes
from drgsim.miscoding.error_sites import Options
from drgsim.numerics.arrays import Int32Array, Int64Array
from drgsim.schema import normalise_codes
from drgsim.tables.code_limits import load_code_limits
from drgsim.tables.manifest import read_table
from drgsim.tables.national_facts import read_facts
from drgsim.tables.table_set import TableSet

MDCS = 26
"""Major diagnostic categories, 0 to 25."""
CATEGORY = 3
"""Characters of an ICD-10-CM category."""
_LONGEST = 7
_NEARER = 8.0
"""Factor by which each further shared character makes a code likelier: most wrong codes are near neighbours."""
_UNSPECIFIED = r"(?i)\bunspecified\b"


def list_severity_neighbours(codes: Int32Array, tables: TableSet, *, up: bool, to: Sequence[str] = ()) -> Options:
    """Return the diagnoses of the same category with a higher or lower severity, by diagnosis.

    The more characters two codes share, the likelier the option.

    Args:
        codes: (g,) distinct codebook numbers, ascending; group i holds the options of the i-th.
        tables: the grouper version.
        up: whether the severity rises.
        to: prefixes of the options; empty allows all.
    """
    return _list_related(codes.tobytes(), tables, "higher" if up else "lower", tuple(to))


def list_unspecified(codes: Int32Array, tables: TableSet, *, to: Sequence[str] = ()) -> Options:
    """Return the unspecified diagnoses of the same category, by diagnosis.

    Arguments as in `list_severity_neighbours`. An unspecified diagnosis has no options.
    """
    return _list_related(codes.tobytes(), tables, "unspecified", tuple(to))


def list_named_codes(to: Sequence[str], tables: TableSet) -> Options:
    """Return the diagnoses of the version with one of the prefixes, as one group.

    They are equally likely, except that codes of later encounters weigh less (`code_limits`).
    """
    begins = [
        pl.col("code").str.starts_with(prefix) for prefix in normalise_codes(pl.Series(list(to), dtype=pl.String))
    ]
    found = _tabulate_diagnoses(tables).filter(pl.any_horizontal(begins)).sort("number")
    return Options.of(np.array([0, len(found)]), found["number"].to_numpy(), found["likely"].to_numpy())


def list_same_category(codes: Int32Array, tables: TableSet, *, to: Sequence[str] = ()) -> Options:
    """Return the other diagnoses of the same category that may be principal, by diagnosis."""
    return _list_related(codes.tobytes(), tables, "may lead", tuple(to))


def list_same_chapter(codes: Int32Array, tables: TableSet) -> tuple[Options, Int64Array]:
    """Return the common principal diagnoses by ICD-10-CM chapter, and the chapter of each code.

    They are those of the shipped population, weighted by how often they are principal there.
    """
    options = _list_chapters(tables)
    texts = compile_attributes(tables).diagnosis_book.codes.gather(np.maximum(codes, 1) - 1)
    return options, _find_chapters(texts, tables)


def list_plausible(tables: TableSet, severity: str, *, codes: Sequence[str] = ()) -> Options:
    """Return plausible secondary diagnoses of one severity by MDC, groups 0 to 25.

    By default these are diagnoses of the shipped population, weighted by how common each is and by how much likelier
    its condition is in the MDC; and the diagnoses that clinical validation by payers questions most
    (`miscoding/unsupported_mcc.csv`).

    Args:
        tables: the grouper version.
        severity: "CC" or "MCC".
        codes: diagnoses to use instead, all equally likely; those of another severity are ignored.
    """
    level = pl.DataFrame({"code": tables.diagnoses["code"], "severity": tables.diagnoses["severity"].cast(pl.String)})
    if codes:
        listed = pl.DataFrame({"code": normalise_codes(pl.Series(list(codes))), "group": "", "weight": 1.0})
    else:
        listed = _list_common_sdx(tables)
    listed = listed.join(level, on="code").filter(pl.col("severity") == severity)
    affinity = read_facts("affinity", tables.folder)
    rows = (
        listed.join(pl.DataFrame({"mdc": pl.Series(list(range(MDCS)), dtype=pl.UInt8)}), how="cross")
        .join(affinity, on=["group", "mdc"], how="left", maintain_order="left")
        .with_columns(weight=pl.col("weight") * pl.col("ratio").fill_null(1.0))
        .group_by("mdc", "code", maintain_order=True)
        .agg(pl.col("weight").sum())
        .sort("mdc", "code")
    )
    numbers = compile_attributes(tables).diagnosis_book.numbers(rows["code"])
    return Options.of(
        find_group_starts(rows["mdc"].to_numpy().astype(np.int64), MDCS), numbers, rows["weight"].to_numpy()
    )


def list_procedure_neighbours(codes: Int32Array, tables: TableSet, axes: Sequence[int]) -> Options:
    """Return the valid procedures that differ in exactly one of the axes (1 to 7), by procedure.

    All axes with a neighbour are equally likely. Arguments as in `list_severity_neighbours`.
    """
    return _list_procedure_neighbours(codes.tobytes(), tables, tuple(axes))


def read_durations(tables: TableSet) -> pl.DataFrame:
    """Return procedures with a class of duration.

    Columns: `code`, `longer_code`, and `min_los_days` of the longer one.
    """
    columns = {"code": pl.String(), "longer_code": pl.String(), "min_los_days": pl.Int64()}
    return read_table(tables.folder, "miscoding/durations.csv", columns)


@lru_cache(maxsize=4)
def find_chapter_starts(tables: TableSet) -> pl.Series:
    """Return the first category of each ICD-10-CM chapter, ascending."""
    columns = {"first_category": pl.String(), "title": pl.String()}
    return read_table(tables.folder, "miscoding/chapters.csv", columns)["first_category"]


# ---------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=4)
def _tabulate_diagnoses(tables: TableSet) -> pl.DataFrame:
    """Return the diagnoses of the version with category, severity level and weight."""
    rules, legal = compile_attributes(tables), load_code_limits(tables)
    codes = rules.diagnosis_book.codes
    level = rules.diagnoses.scheme_severity[rules.diagnoses.scheme][1:]
    described = tables.diagnosis_descriptions().filter(pl.col("description").str.contains(_UNSPECIFIED))["code"]
    return pl.DataFrame(
        {
            "number": np.arange(1, len(codes) + 1, dtype=np.int32),
            "code": codes,
            "category": codes.str.slice(0, CATEGORY),
            "level": level.astype(np.int8),
            "unspecified": codes.is_in(described.implode()),
            "may_lead": legal.may_be_pdx[1:],
            "likely": legal.likely[1:],
        }
    ).filter(pl.Series(rules.diagnoses.valid[1:]))


def _find_chapters(codes: pl.Series, tables: TableSet) -> Int64Array:
    """Return the ICD-10-CM chapter of each code, (k,), from 0."""
    found = find_chapter_starts(tables).search_sorted(codes.str.slice(0, CATEGORY), side="right")
    return found.to_numpy().astype(np.int64) - 1


@lru_cache(maxsize=4)
def _list_chapters(tables: TableSet) -> Options:
    """Return the common principal diagnoses, grouped by chapter."""
    common = read_facts("principal", tables.folder).group_by("code").agg(pl.col("weight").sum())
    book = _tabulate_diagnoses(tables).filter(pl.col("may_lead")).join(common, on="code").sort("code")
    start = find_group_starts(_find_chapters(book["code"], tables), len(find_chapter_starts(tables)))
    return Options.of(start, book["number"].to_numpy(), book["weight"].to_numpy())


_RELATIONS = {
    "higher": pl.col("level_right") > pl.col("level"),
    "lower": pl.col("level_right") < pl.col("level"),
    "unspecified": pl.col("unspecified_right") & ~pl.col("unspecified"),
    "may lead": pl.col("may_lead_right"),
}
"""Conditions on a diagnosis (`_right`) that may be billed instead of another of its category."""


@lru_cache(maxsize=32)
def _list_related(numbers: bytes, tables: TableSet, relation: str, to: tuple[str, ...]) -> Options:
    """Return the options of diagnoses (codebook numbers, the bytes of int32).

    Cached, because one scenario is often run at many rates.
    """
    codes = np.frombuffer(numbers, np.int32)
    book = _tabulate_diagnoses(tables)
    own = book.filter(pl.col("number").is_in(pl.Series(codes).implode()))
    begins = [
        pl.col("code_right").str.starts_with(prefix) for prefix in normalise_codes(pl.Series(list(to), dtype=pl.String))
    ]
    shared = sum(
        (pl.col("code").str.slice(0, n) == pl.col("code_right").str.slice(0, n)).cast(pl.Int32)
        & (pl.col("code").str.len_chars() >= n).cast(pl.Int32)
        for n in range(CATEGORY + 1, _LONGEST + 1)
    )
    pairs = (
        own.join(book, on="category")
        .filter((pl.col("number") != pl.col("number_right")) & _RELATIONS[relation])
        .filter(pl.any_horizontal(begins) if begins else pl.lit(value=True))
        .select("number", other="number_right", weight=pl.lit(_NEARER).pow(shared) * pl.col("likely_right"))
    )
    return _group_pairs(codes, pairs)


@lru_cache(maxsize=32)
def _list_procedure_neighbours(numbers: bytes, tables: TableSet, axes: tuple[int, ...]) -> Options:
    """Return the options of procedures (codebook numbers, the bytes of int32).

    Cached, as `_list_related`.
    """
    codes = np.frombuffer(numbers, np.int32)
    book = compile_attributes(tables).procedure_book.codes
    every = pl.DataFrame({"number": np.arange(1, len(book) + 1, dtype=np.int32), "code": book})
    every = every.filter(pl.Series(load_code_limits(tables).procedure_valid[1:]))
    own = every.filter(pl.col("number").is_in(pl.Series(codes).implode()))
    parts = []
    for axis in axes:
        masked = pl.col("code").str.slice(0, axis - 1) + "." + pl.col("code").str.slice(axis)
        found = own.with_columns(masked=masked).join(every.with_columns(masked=masked), on="masked")
        found = found.filter(pl.col("number") != pl.col("number_right")).select("number", other="number_right")
        parts.append(found.with_columns(weight=1.0 / pl.len().over("number")))
    return _group_pairs(codes, pl.concat(parts))


def _group_pairs(codes: Int32Array, pairs: pl.DataFrame) -> Options:
    """Return pairs of codes as options; group i holds those of the i-th code."""
    pairs = pairs.sort("number", "other")
    group = np.searchsorted(codes, pairs["number"].to_numpy()).astype(np.int64)
    return Options.of(find_group_starts(group, len(codes)), pairs["other"].to_numpy(), pairs["weight"].to_numpy())


def find_group_starts(group: Int64Array, groups: int) -> Int64Array:
    """Return where each group begins, and where the last ends.

    `group` is the group of each member, ascending.
    """
    return np.concatenate([[0], np.cumsum(np.bincount(group, minlength=groups))]).astype(np.int64)


def _list_common_sdx(tables: TableSet) -> pl.DataFrame:
    """Return common secondary diagnoses with their condition and weight.

    Diagnoses that payers often question have no condition.
    """
    conditions = read_facts("conditions", tables.folder).filter(pl.col("stay_share") > 0)
    columns = {"code": pl.String(), "weight": pl.Float64(), "note": pl.String()}
    questioned = read_table(tables.folder, "miscoding/unsupported_mcc.csv", columns)
    mean = pl.col("weight") / pl.col("weight").sum()
    total = float(conditions["stay_share"].sum())
    return pl.concat(
        [
            conditions.select("code", "group", weight=pl.col("stay_share") / total),
            questioned.select("code", group=pl.lit(""), weight=mean),
        ]
    )
