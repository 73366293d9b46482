"""Published grouper facts to the project's own tables.

    python -m drgsim.releases.build_grouper SOURCE FOLDER

A contributor runs this when CMS publishes a release. It rewrites the grouper tables of FOLDER and their manifest
entries; `git diff` then shows what changed. SOURCE is a folder with the facts of all versions, as listed in
`grouper_tables/README.md`.
"""

from __future__ import annotations

import argparse
import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import polars as pl

from drgsim.exceptions import TableError
from drgsim.files.atomic import make_folder, replace_whole, write_text_whole
from drgsim.tables.manifest import MANIFEST

Versions = Mapping[str, tuple[int, str, str]]

VERSIONS: Versions = {
    # version: fiscal year, first and last day of discharge it groups (Federal Register, IPPS final rules).
    # 37.1, 38.1 and 39.1 group the whole fiscal year here: what differs in 37.0, 38.0 and 39.0 is not known.
    "36.0": (2019, "2018-10-01", "2019-09-30"),
    "37.1": (2020, "2019-10-01", "2020-09-30"),
    "38.1": (2021, "2020-10-01", "2021-09-30"),
    "39.1": (2022, "2021-10-01", "2022-09-30"),
    "40.0": (2023, "2022-10-01", "2023-03-31"),
    "40.1": (2023, "2023-04-01", "2023-09-30"),
    "41.0": (2024, "2023-10-01", "2024-03-31"),
    "41.1": (2024, "2024-04-01", "2024-09-30"),
    "42.0": (2025, "2024-10-01", "2025-03-31"),
    "42.1": (2025, "2025-04-01", "2025-09-30"),
    "43.0": (2026, "2025-10-01", "2026-03-31"),
    "43.1": (2026, "2026-04-01", "2026-09-30"),
    "44.0": (2027, "2026-10-01", "2027-03-31"),
}
RELEASE, SPECIFICATION = "CMS's release", "specification"
DERIVED = "derived from the Definitions Manual"
PROVENANCE: Mapping[str, str] = {
    **dict.fromkeys(("36.0", "37.1", "38.1", "39.1"), DERIVED),
    "44.0": SPECIFICATION,
}
"""How the tables of a version are known, where they are not those of CMS's release."""

_ON_NO_LIST = "nonor"
"""Operand of a procedure that is on no list of the manual."""

# The version since which CMS's software reports codes in this way; no DRG depends on it.
REPORTING = {
    "excluded_by_drg_logic": "41.1",
    "every_unmet_hac": "41.0",
    "unknown_procedure_is_no_or": "42.0",
}
DEFINITIONS = "CMS MS-DRG Grouper software and Definitions Manual, versions 36.0 to 44.0"
CODE_SET = "ICD-10-CM code descriptions, April 2026 update (CDC NCHS and CMS)"
PUBLIC_DOMAIN = "public domain (work of the United States government)"

# Patient discharge statuses (UB-04 FL 17) that the grouper accepts, with the words that each makes true.
DISCHARGE_STATUSES = {
    **dict.fromkeys([*range(1, 8), 20, 21, 30, 43, 50, 51, *range(61, 67), 69, 70, *range(81, 96)], ""),
    20: "DIED",
    7: "AMA",
    **dict.fromkeys([2, 5, 66, 82, 85, 94], "XFRNBA"),
}

# The return code with which a row without a DRG ends the search, by its formula (Definitions Manual, MDC 0, 5, 15
# and 20).
RETURN_CODES = {
    "INVALID_PDX": "INVALID_PDX",
    "PDX_ECODE": "DX_CANNOT_BE_PDX",
    "INVALID_SEX": "INVALID_SEX",
    "INVALID_DSTAT": "INVALID_DISCHARGE_STATUS",
}


def build_grouper_tables(source: Path, folder: Path) -> None:
    """Write the grouper tables of every version, and their manifest entries.

    Args:
        source: folder of the published facts, one CSV file for each subject, with versions such as 431; files in its
            folder `older` cover older versions too, and its folder `mce` says which codes are valid on a day.
        folder: a table folder; `msdrg/`, `icd10cm/` and the manifest are rewritten, other entries stay.

    Raises:
        TableError: a source file is missing, or its rows contradict each other.
    """
    tables = {
        "msdrg/diagnoses.csv": _read_diagnoses(source),
        "msdrg/procedures.csv": _read_procedures(source),
        "msdrg/clusters.csv": _read_clusters(source),
        "msdrg/pdx_exclusions.csv": _merge_versions(_read(source, "pdx_exclusions.csv").rename({"pdx_code": "pdx"})),
        "msdrg/exclusion_groups.csv": _read_exclusion_groups(source),
        "msdrg/sex_mdcs.csv": _merge_versions(_read(source, "sex_mdcs.csv").rename({"pdx_code": "pdx"})),
        "msdrg/discharge_statuses.csv": list_discharge_statuses(),
        "msdrg/formulas.csv": _read_formulas(source),
        "msdrg/hac_formulas.csv": _merge_versions(_read(source, "hac_formulas.csv"), sort=("hac",)),
        "msdrg/drg_titles.csv": _merge_versions(_read(source, "drg_titles.csv"), sort=("drg",)),
        "msdrg/mdc_titles.csv": _merge_versions(_read(source, "mdc_titles.csv"), sort=("mdc",)),
        "msdrg/hac_titles.csv": _merge_versions(_read(source, "hac_titles.csv"), sort=("hac",)),
        "icd10cm/descriptions.csv": _read_descriptions(source),
    }
    sources = {name: CODE_SET if name.startswith("icd10cm/") else DEFINITIONS for name in tables}
    write_tables(folder, tables, VERSIONS, sources, PROVENANCE)


def write_tables(
    folder: Path,
    tables: Mapping[str, pl.DataFrame],
    versions: Versions,
    sources: Mapping[str, str],
    provenance: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Write tables into a folder; rewrite the entries of tables and versions in its manifest.

    Args:
        folder: a table folder; entries of other files stay.
        tables: the tables by file name.
        versions: all versions of the folder, oldest first: fiscal year, first and last day of discharge.
        sources: the source of each table's facts, by file name.
        provenance: how the tables of a version are known, by version; "CMS's release" where it is not listed.
    """
    entries = []
    for name, table in tables.items():
        path = folder / name
        make_folder(path.parent)
        with replace_whole(path) as unfinished:
            table.write_csv(unfinished)
        entries.append((name, len(table), hashlib.sha256(path.read_bytes()).hexdigest(), sources[name]))
    _write_manifest(folder / MANIFEST, entries, versions, provenance)


def _read(source: Path, name: str) -> pl.DataFrame:
    older = source / "older" / name
    try:
        frame = pl.read_csv(older if older.exists() else source / name, infer_schema=False)
    except OSError as error:
        raise TableError(
            f"{source / name}: cannot be read ({error}); expected a CSV file of published facts."
        ) from error
    integers = {
        "mdc",
        "order",
        "rank",
        "drg",
        "base_drg",
        "reroute_mdc",
        "hac",
        "male_mdc",
        "female_mdc",
        "group",
    }
    return frame.with_columns(pl.col(sorted(integers & set(frame.columns))).cast(pl.Int64))


def _list_versions() -> pl.DataFrame:
    return pl.DataFrame({"version": list(VERSIONS), "place": range(len(VERSIONS))}).with_columns(
        number=pl.col("version").str.replace(".", "", literal=True).cast(pl.Int64)
    )


def _expand_versions(frame: pl.DataFrame) -> pl.DataFrame:
    """Repeat each row for every version that has it, as column `place` (0 is the oldest)."""
    first, last = pl.col("first_version").cast(pl.Int64), pl.col("last_version").cast(pl.Int64)
    return (
        frame.join(_list_versions(), how="cross")
        .filter(pl.col("number").is_between(first, last))
        .drop("first_version", "last_version", "number", "version")
    )


def to_ranges(frame: pl.DataFrame, sort: Sequence[str], versions: Sequence[str] = tuple(VERSIONS)) -> pl.DataFrame:
    """Merge rows that differ only in `place` into one row for each run of versions."""
    facts = [name for name in frame.columns if name != "place"]
    run = pl.col("place") - pl.int_range(pl.len()).over(facts, order_by="place")
    version = dict(enumerate(versions))
    return (
        frame.unique(maintain_order=True)
        .with_columns(run=run)
        .group_by(*facts, "run", maintain_order=True)
        .agg(first_version=pl.col("place").min(), last_version=pl.col("place").max())
        .sort(*sort, "first_version", maintain_order=True)
        .with_columns(pl.col("first_version", "last_version").replace_strict(version, return_dtype=pl.String))
        .select(facts[0], "first_version", "last_version", *facts[1:])
    )


def _merge_versions(frame: pl.DataFrame, sort: Sequence[str] = ()) -> pl.DataFrame:
    return to_ranges(_expand_versions(frame), sort or (frame.columns[0],))


def _read_diagnoses(source: Path) -> pl.DataFrame:
    """Return one row for each code and run of versions: MDC, severity, operands."""
    schemes = _read(source, "diagnosis_schemes.csv")
    facts = pl.col("mdc", "severity", "operands", "hac_operands", "category_operands")
    joined = _read(source, "diagnoses.csv").join(schemes, on="scheme", how="left", maintain_order="left")
    if joined["severity"].null_count():
        raise TableError(f"{source / 'diagnoses.csv'}: a scheme is not in diagnosis_schemes.csv.")
    rows = joined.select("code", "first_version", "last_version", facts).rename({"category_operands": "categories"})
    rows = _expand_versions(rows.with_columns(pl.col("severity").replace("NCC", "NONE")))
    return to_ranges(_confine_to_valid(rows, source, "diagnoses.csv"), ("code",))


def _read_procedure_operands(source: Path) -> pl.DataFrame:
    sets = _read(source, "procedure_operand_sets.csv")
    rows = _read(source, "procedures.csv").join(sets, on="operand_set", how="left", maintain_order="left")
    return rows.select("code", "first_version", "last_version", "operands")


def _read_procedures(source: Path) -> pl.DataFrame:
    rows = _expand_versions(_read_procedure_operands(source).filter(~pl.col("code").str.starts_with("Z@")))
    return to_ranges(_confine_to_valid(rows, source, "procedures.csv"), ("code",))


def _confine_to_valid(rows: pl.DataFrame, source: Path, name: str) -> pl.DataFrame:
    """Return the rows of derived versions with the codes that CMS's code editor has, no other.

    The lists of the manual decide what a code does, so a procedure that the editor has and the rows do not is on no
    list: it is not an O.R. procedure. Such a diagnosis is that of the nearest version; where no version has it, it is
    an external cause and has what most codes of its first letter have.

    Args:
        rows: (n,) a code in a version (`place`) and its facts.
        source: folder of the published facts.
        name: file of the editor's codes.
    """
    path = source / "mce" / name
    derived = [place for place, version in enumerate(VERSIONS) if PROVENANCE.get(version) == DERIVED]
    if not path.exists() or not derived:
        return rows
    editor = pl.read_csv(path, infer_schema=False)
    facts = [column for column in rows.columns if column not in ("code", "place")]
    kept = [rows.filter(~pl.col("place").is_in(derived))]
    for place in derived:
        _, first, last = VERSIONS[list(VERSIONS)[place]]
        in_force = (pl.col("first_date") <= last) & (pl.col("last_date").is_null() | (pl.col("last_date") >= first))
        valid = editor.filter(in_force).select(pl.col("code").unique())
        own = rows.filter(pl.col("place") == place).join(valid, on="code", how="semi")
        missing = valid.join(own, on="code", how="anti")
        if name == "procedures.csv":
            added = missing.with_columns(operands=pl.lit(_ON_NO_LIST))
        else:
            added = _find_facts(missing, rows, own, facts, place)
        kept += [own, added.with_columns(place=pl.lit(place, rows.schema["place"])).select(rows.columns)]
    return pl.concat(kept)


def _find_facts(
    missing: pl.DataFrame, rows: pl.DataFrame, own: pl.DataFrame, facts: Sequence[str], place: int
) -> pl.DataFrame:
    """Return diagnoses with the facts of the nearest version, else of their first letter."""
    nearest = (
        rows.join(missing, on="code", how="semi")
        .sort((pl.col("place").cast(pl.Int64) - place).abs(), "place")
        .unique("code", keep="first", maintain_order=True)
        .select("code", *facts)
    )
    letter = pl.col("code").str.head(1).alias("_letter")
    usual = own.group_by(letter, *facts).len().sort("len", *facts, nulls_last=True).group_by("_letter").last()
    left = missing.join(nearest, on="code", how="anti").with_columns(letter)
    return pl.concat([nearest, left.join(usual, on="_letter").select("code", *facts)])


def _read_clusters(source: Path) -> pl.DataFrame:
    choices = _expand_versions(_read(source, "clusters.csv"))
    operands = _expand_versions(_read_procedure_operands(source))
    return to_ranges(join_clusters(choices, operands), ("cluster",))


def join_clusters(choices: pl.DataFrame, operands: pl.DataFrame) -> pl.DataFrame:
    """Return one row for each cluster and `place`, with its choices and operands.

    Choices are joined by ' + ', the codes of a choice by blanks.
    """
    clusters = (
        choices.sort("cluster", "place", pl.col("choice").cast(pl.Int64))
        .group_by("cluster", "place", "suppressed_mdcs", maintain_order=True)
        .agg(choices=pl.col("codes").str.join(" + "))
    )
    carried = operands.rename({"code": "cluster"})
    joined = clusters.join(carried, on=("cluster", "place"), how="left", maintain_order="left")
    return joined.select("cluster", "suppressed_mdcs", "choices", "operands", "place")


def _read_exclusion_groups(source: Path) -> pl.DataFrame:
    groups = _read(source, "exclusion_groups.csv").with_columns(sdx=pl.col("excluded_secondary_codes").str.split(" "))
    return groups.explode("sdx").select("group", "sdx").sort("group", "sdx")


def _read_formulas(source: Path) -> pl.DataFrame:
    rows = _read(source, "formulas.csv").join(
        _list_versions().select("place", version="number"),
        # Formulas of a derived version are listed as those of the first version of its year, such as 370.
        left_on=pl.col("version").cast(pl.Int64).replace(_first_of_year()),
        right_on="version",
        maintain_order="left",
    )
    return to_ranges(select_decisive(rows), ("mdc", "order"))


def _first_of_year() -> dict[int, int]:
    """Return the number of each derived version by that of the first version of its year."""
    numbers = [int(version.replace(".", "")) for version, known in PROVENANCE.items() if known == DERIVED]
    return {number // 10 * 10: number for number in numbers}


def select_decisive(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the formula rows that can end the search of an MDC, in search order."""
    plain = pl.col("formula").str.strip_chars()
    code = pl.when(plain.str.contains("INVALID_DSTAT")).then(pl.lit("INVALID_DSTAT")).otherwise(plain)
    code = code.replace_strict(RETURN_CODES, default=None)
    ends = (pl.col("drg") == 0) & (pl.col("reroute_mdc") == 0)
    suppression = pl.col("severity_suppression").str.split(" ").list.eval(pl.element().filter(pl.element() != ""))
    columns = ("mdc", "order", "rank", "drg", "base_drg", "type", "reroute_mdc", "return_code")
    return (
        rows.with_columns(
            type=pl.col("type").replace("NA", "NONE"),
            return_code=pl.when(ends).then(code),
            severity_suppression=suppression.list.sort().list.join(" "),
            formula=plain,
        )
        .filter((pl.col("mdc") != 99) & (~ends | pl.col("return_code").is_not_null()))
        .select(*columns, "severity_suppression", "formula", "place")
    )


def list_discharge_statuses(versions: Sequence[str] = tuple(VERSIONS)) -> pl.DataFrame:
    """Return every valid discharge status; no table that CMS publishes lists them."""
    rows = sorted(DISCHARGE_STATUSES.items())
    return pl.DataFrame(
        {
            "status": [status for status, _ in rows],
            "first_version": versions[0],
            "last_version": versions[-1],
            "operands": [words or None for _, words in rows],
        }
    )


def _read_descriptions(source: Path) -> pl.DataFrame:
    table = _read(source, "icd10cm_april2026.csv")
    return table.filter(pl.col("billable") == "1").select("code", "description").sort("code")


def _write_manifest(
    path: Path, entries: Sequence[tuple[str, int, str, str]], versions: Versions, provenance: Mapping[str, str]
) -> None:
    """Rewrite the sections of the versions and of the files written; keep every other section."""
    text = path.read_text("utf-8") if path.exists() else 'title = "drgsim tables"\n'
    sections = re.split(r"(?m)^(?=\[)", text)
    written = {f'[files."{name}"]' for name, *_ in entries}
    others = [s for s in sections[1:] if not s.startswith("[versions") and s.split("\n", 1)[0].strip() not in written]
    out = [sections[0].rstrip() + "\n\n"]
    for version, (year, first, last) in versions.items():
        out.append(f'[versions."{version}"]\nfiscal_year = {year}\neffective_from = {first}\neffective_to = {last}\n')
        out.append(f'provenance = "{provenance.get(version, RELEASE)}"\n')
        reporting = [f'"{habit}"' for habit, since in REPORTING.items() if version >= since]
        out.append(f"reporting = [{', '.join(reporting)}]\n\n")
    for name, rows, digest, source in entries:
        out.append(f'[files."{name}"]\nsha256 = "{digest}"\nrows = {rows}\n')
        out.append(f'source = "{source}"\nlicence = "{PUBLIC_DOMAIN}"\n\n')
    others = [s.strip() + "\n\n" for s in others if s.strip() not in ("[versions]", "[files]")]
    write_text_whole(path, "".join([*out, *others]).rstrip() + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="python -m drgsim.releases.build_grouper",
        description="Write the grouper tables of every version, and their manifest entries.",
    )
    parser.add_argument("source", type=Path, help="folder of the published facts")
    parser.add_argument("folder", type=Path, help="table folder, such as grouper_tables")
    build_grouper_tables(**vars(parser.parse_args()))
