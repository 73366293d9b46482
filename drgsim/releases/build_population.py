"""Published population facts to the project's own tables.

    python -m drgsim.releases.build_population STATS WEIGHTS ELIXHAUSER FOLDER

A contributor runs this when CMS publishes a year of inpatient volumes. STATS is the national table of discharges by
MS-DRG, WEIGHTS a folder with Table 5 of several fiscal years, ELIXHAUSER the code list of AHRQ, FOLDER the table
folder. The tables of assumptions in `population/` stay as they are; only their checksums are renewed.
"""

from __future__ import annotations

import argparse
import hashlib
import re
from pathlib import Path

import polars as pl

from drgsim.exceptions import TableError
from drgsim.files.atomic import replace_whole, write_text_whole
from drgsim.releases.build_grouper import DERIVED
from drgsim.synthetic.population import Population
from drgsim.synthetic.template_solver import TemplateSolver
from drgsim.synthetic.templates import find_destinations
from drgsim.tables.manifest import MANIFEST, read_manifest
from drgsim.tables.national_facts import read_facts
from drgsim.tables.table_set import TableSet, versions

_ENTRY = re.compile(r'\[files\."population/.*\n(?:\w+ = .*\n)*\n*')
PUBLIC_DOMAIN = "public domain (work of the United States government)"
OWN = "MIT (drgsim)"
ASSUMED = (
    "assumption of the drgsim developers: no public table gives it; order of magnitude from coding practice "
    "and the published shares of Elixhauser groups, recalled and not measured"
)
SOURCES = {
    "drgs.csv": (
        "CMS Medicare Inpatient Hospitals by Provider and Service CY2023 (discharges, reporting hospitals; cells "
        "under 11 are suppressed there); CMS IPPS Table 5 FY2026, FY2025, FY2024, FY2021 (weight, GMLOS, AMLOS, "
        "post-acute flag, the latest year that has the DRG); volumes marked RESTORED are assumptions",
        PUBLIC_DOMAIN,
    ),
    "bridges.csv": (
        "derived: admissions built for a DRG in the version that has it, grouped by the version that has not; "
        "their mix of codes is an assumption",
        OWN,
    ),
    "elixhauser.csv": ("AHRQ HCUP Elixhauser Comorbidity Software for ICD-10-CM, FY2019 code list", PUBLIC_DOMAIN),
    "limits.csv": (
        "by code prefix, abridged: Medicare Code Editor sex and age conflicts and unacceptable principal "
        "diagnoses, CMS POA-exempt list; written from memory of those lists, so an assumption",
        OWN,
    ),
    "procedure_limits.csv": ("ICD-10-PCS body systems of one sex", OWN),
}

SMALLEST_SHARE = 0.02
"""A bridge leaves out a DRG to which fewer of the cases group than this share."""

FEWEST, MOST, ALONE = 11.0, 300.0, 60.0
"""Discharges assumed for a DRG without a published volume: a tenth of its smallest published sibling, from FEWEST to
MOST; ALONE where no sibling is published. CMS withholds a hospital's cell under 11 discharges."""
NEARLY_NEVER = {14: 30.0, 15: 2.0}
"""Discharges assumed by MDC where Medicare has few patients (childbirth, newborns)."""


def build_population_tables(stats: Path, weights: Path, elixhauser: Path, folder: Path) -> None:
    """Write the population tables that are built from published facts.

    These are `population/drgs.csv`, `bridges.csv` and `elixhauser.csv`. The manifest entries of all files of
    `population/` are rewritten.

    Raises:
        TableError: a source is missing or lacks a column.
    """
    home = folder / "population"
    with replace_whole(home / "drgs.csv") as unfinished:
        build_drgs(stats, weights, folder).write_csv(unfinished, float_precision=4)
    groups = _read(elixhauser).rename({"icd10cm": "code", "elixhauser": "groups"}).sort("code")
    with replace_whole(home / "elixhauser.csv") as unfinished:
        groups.write_csv(unfinished)
    seal_population(folder)
    with replace_whole(home / "bridges.csv") as unfinished:
        find_bridges(folder).write_csv(unfinished, float_precision=5)
    seal_population(folder)


def find_bridges(folder: Path) -> pl.DataFrame:
    """Return where the cases of a published DRG group in every version that does not have it.

    Templates of the DRG, solved in the nearest version that has it, are grouped by the other version with each
    comorbidity level that leads to the DRG; the share of a target DRG is its share of them.
    """
    known = read_facts("drgs", folder).filter(pl.col("basis") == "CY2023")["drg"].to_list()
    population = Population.load("medicare_ffs", folder=folder)
    tables_of = {version: TableSet.load(version, folder=folder) for version in _list_versions(folder)}
    names = list(tables_of)
    reach = {version: set(tables.formulas["drg"]) for version, tables in tables_of.items()}
    solvers: dict[str, TemplateSolver] = {}
    rows = []
    for place, (version, tables) in enumerate(tables_of.items()):
        for drg in sorted(set(known) - reach[version]):
            owners = [at for at, name in enumerate(names) if drg in reach[name]]
            nearest = names[min(owners, key=lambda at: abs(at - place))]
            solver = solvers.setdefault(nearest, TemplateSolver(tables_of[nearest], population))
            found = find_destinations(solver.solve(drg, 0.0), tables_of[nearest], tables)
            rows += [(version, drg, to, share) for to, share in found.items() if share >= SMALLEST_SHARE]
    schema = {"version": pl.String, "from_drg": pl.UInt16, "to_drg": pl.UInt16, "share": pl.Float64}
    table = pl.DataFrame(rows, schema=schema, orient="row")
    return table.with_columns(pl.col("share") / pl.col("share").sum().over("version", "from_drg"))


def _list_versions(folder: Path) -> list[str]:
    """Return the versions with published volumes: none that is derived from the manual."""
    known = read_manifest(folder)["versions"]
    return [version for version in versions(folder=folder) if known[version].get("provenance") != DERIVED]


def build_drgs(stats: Path, weights: Path, folder: Path) -> pl.DataFrame:
    """Return volume, weight, length of stay and post-acute flag of every DRG of every version."""
    published = _read(stats).select(
        pl.col("drg_cd").cast(pl.UInt16).alias("drg"),
        pl.col("tot_dschrgs_unsuppressed").cast(pl.Float64).alias("discharges"),
        pl.col("hospital_cells").cast(pl.Float64),
    )
    known = pl.concat(
        _read(path).select(
            pl.col("drg").cast(pl.UInt16),
            pl.col("fiscal_year").cast(pl.Int64),
            pl.col("weight").cast(pl.Float64).alias("relative_weight"),
            pl.col("gmlos").cast(pl.Float64).alias("gmlos_days"),
            pl.col("amlos").cast(pl.Float64).alias("amlos_days"),
            (pl.col("post_acute").cast(pl.Int64) > 0).alias("is_postacute_transfer"),
        )
        for path in sorted(weights.glob("msdrg_table5_fy*.csv"))
    )
    latest = known.drop_nulls().sort("fiscal_year").unique("drg", keep="last")
    families = pl.concat(
        TableSet.load(version, folder=folder)
        .formulas.filter(pl.col("drg") > 0)
        .select("drg", "base_drg", "mdc", "type")
        .unique("drg", keep="first", maintain_order=True)
        for version in reversed(_list_versions(folder))
    ).unique("drg", keep="first", maintain_order=True)
    sibling = pl.col("discharges").min().over("base_drg")
    restored = pl.when(sibling.is_null()).then(ALONE).otherwise((0.1 * sibling).clip(FEWEST, MOST))
    seldom = pl.col("mdc").replace_strict(NEARLY_NEVER, default=None, return_dtype=pl.Float64)
    is_published = pl.col("discharges").is_not_null()
    return (
        families.filter(pl.col("type") != "NONE")
        .join(published, on="drg", how="left")
        .with_columns(
            discharges=pl.when(is_published).then("discharges").otherwise(seldom.fill_null(restored)),
            basis=pl.when(is_published).then(pl.lit("CY2023")).otherwise(pl.lit("RESTORED")),
        )
        .join(latest.drop("fiscal_year"), on="drg", how="left")
        .select(
            *("drg", "discharges", "basis", "hospital_cells", "relative_weight", "gmlos_days", "amlos_days"),
            pl.col("is_postacute_transfer").cast(pl.Int8),
        )
        .sort("drg")
    )


def seal_population(folder: Path) -> None:
    """Rewrite the manifest's entries of population files: checksum, rows, source and licence."""
    lines = []
    for path in sorted((folder / "population").iterdir()):
        content = path.read_bytes()
        source, licence = SOURCES.get(path.name, (ASSUMED, OWN))
        if path.suffix == ".toml":
            source = "each figure in the file states its own"
        count = len(content.splitlines()) - 1
        rows = [f"rows = {count}"] if path.suffix == ".csv" else []
        lines += [
            f'[files."population/{path.name}"]',
            f'sha256 = "{hashlib.sha256(content).hexdigest()}"',
            *rows,
            f'source = "{source}"',
            f'licence = "{licence}"',
            "",
        ]
    manifest = folder / MANIFEST
    text = manifest.read_text("utf-8")
    first = _ENTRY.search(text)
    head, tail = (text[: first.start()], text[first.start() :]) if first else (text.rstrip("\n") + "\n\n", "")
    write_text_whole(manifest, head + "\n".join(lines) + "\n" + _ENTRY.sub("", tail))


def _read(path: Path) -> pl.DataFrame:
    if not path.is_file():
        raise TableError(f"{path}: there is no such file; expected a CSV table.")
    return pl.read_csv(path, infer_schema=False)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="python -m drgsim.releases.build_population",
        description="Write the population tables that are built from published facts, and their manifest entries.",
    )
    parser.add_argument("stats", type=Path, help="national table of discharges by MS-DRG")
    parser.add_argument("weights", type=Path, help="folder with Table 5 of several fiscal years")
    parser.add_argument("elixhauser", type=Path, help="code list of AHRQ")
    parser.add_argument("folder", type=Path, help="table folder, such as grouper_tables")
    build_population_tables(**vars(parser.parse_args()))
