"""Published payment facts to the project's own tables.

    python -m drgsim.releases.build_payment PUBLISHED FOLDER

A contributor runs this when CMS publishes a fiscal year. It writes `weights/`, `wage_index/`, `new_technology/` and
`examples/`, lists them and `rates/*.toml` in the manifest, and seals the folder. Only this module reads the published
files; the project ships their facts.
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Mapping
from pathlib import Path

import polars as pl

from drgsim.exceptions import TableError
from drgsim.provider_files import read_impact_file
from drgsim.tables.manifest import MANIFEST, seal, table_folder

HEADING = "# Payment: rates, weights, wage index, new technologies. Written by drgsim.releases.build_payment."
LICENCE = "Public domain: facts published by CMS, a work of the US government"
SOURCES = {
    "rates": "IPPS final rules, CMS pricers and transmittals; every parameter names its own source",
    "weights": "CMS IPPS final rule, Table 5",
    "wage_index": "CMS IPPS final rule, Tables 2 and 3; FY2021: CMS pricer 2021.2",
    "new_technology": "CMS Java pricer, new technology add-on tables",
    "examples": "CMS IPPS FY2027 final rule, Impact File (two hospitals)",
}

# The alternative sets of code groups that pay a technology; a technology not listed here needs all its groups.
# XACDURO and ZEVTERA: from CMS's pricer. AVEIR is an assumption: both devices give the dual-chamber amount (H), the
# atrial device alone gives the upgrade (L).
_ALTERNATIVES: Mapping[str, tuple[Mapping[str, bool], ...]] = {
    "XACDURO": (
        {"XACDURO1": True, "XACDURO2": True, "XACDURO3": True},
        {"XACDURO1": True, "XACDURO4": True, "XACDURO5": True},
    ),
    "ZEVTERAH": ({"ZEVTERA1": True, "ZEVTERA2": True, "ZEVTERA3": True},),
    "ZEVTERAL": (
        {"ZEVTERA1": True, "ZEVTERA2": False},
        {"ZEVTERA1": True, "ZEVTERA3": False},
    ),
    "AVEIRH": ({"AVEIR1": True, "AVEIR2": True},),
    "AVEIRL": ({"AVEIR1": True, "AVEIR2": False},),
}


_EXAMPLE_NUMBERS = (
    *("resident_to_bed_ratio", "capital_ime_ratio", "medicaid_ratio", "operating_ccr", "capital_ccr", "cola"),
    *("uncompensated_care_usd", "vbp_factor", "hrr_factor", "hospital_specific_rate_usd", "low_volume_factor"),
)


def build_payment_tables(published: str | os.PathLike[str], folder: str | os.PathLike[str] | None = None) -> None:
    """Write every payment table, list them in the manifest and seal the folder.

    Args:
        published: folder with `msdrg_table5_fy*.csv`, `cbsa_wage_index_fy*.csv`, `ntap*_fy*.csv` and rows of an
            Impact File.
        folder: table folder; by default the shipped one.

    Raises:
        TableError: a published file is missing or has other columns.
    """
    source, root = Path(published), table_folder(folder)
    for path in sorted(source.glob("msdrg_table5_fy*.csv")):
        _write(root, f"weights/{_find_year(path)}.csv", build_weights(path))
    for path in sorted(source.glob("cbsa_wage_index_fy*.csv")):
        _write(root, f"wage_index/{_find_year(path)}.csv", build_wage_index(path))
    for path in sorted(source.glob("ntap_codes_fy*.csv")):
        year = _find_year(path)
        technologies, codes, rules = build_new_technology(source / f"ntap_{year}.csv", path)
        _write(root, f"new_technology/{year}.csv", technologies)
        _write(root, f"new_technology/{year}_codes.csv", codes)
        _write(root, f"new_technology/{year}_rules.csv", rules)
    for path in sorted(source.glob("cms_impact_file_fy*.csv")):
        _write(root, f"examples/hospitals_{_find_year(path)}.csv", read_impact_hospitals(path))
    list_in_manifest(root)


def build_weights(path: Path) -> pl.DataFrame:
    """Return Table 5 of one year; a DRG without a weight gets 0, which pays nothing."""
    table = _read(path, ("drg", "weight", "gmlos", "amlos", "post_acute", "special_pay"))
    return table.select(
        pl.col("drg").cast(pl.UInt16),
        *(
            pl.col(name).cast(pl.Float64).fill_null(0.0).alias(own)
            for name, own in (("weight", "weight"), ("gmlos", "gmlos_days"), ("amlos", "amlos_days"))
        ),
        *((pl.col(name) == "1").alias(name) for name in ("post_acute", "special_pay")),
    ).sort("drg")


def build_wage_index(path: Path) -> pl.DataFrame:
    """Return the wage index by CBSA, after the rural and imputed floors.

    A CBSA of two digits is the rural area of a state.
    """
    table = _read(path, ("cbsa", "geographic_wage_index", "reclassified_wage_index"))
    floors = [name for name in table.columns if name.endswith("_floor_wage_index")]
    floor = pl.max_horizontal(pl.col(name).cast(pl.Float64) for name in floors)
    return table.select(
        "cbsa",
        pl.max_horizontal(pl.col("geographic_wage_index").cast(pl.Float64), floor).alias("wage_index"),
        pl.max_horizontal(pl.col("reclassified_wage_index").cast(pl.Float64), floor).alias("reclassified_wage_index"),
    ).sort("cbsa")


def build_new_technology(amounts: Path, codes: Path) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Return new technologies, the codes of their groups, and the groups that together pay each.

    Where a published group has procedures and diagnoses, a claim needs one of each: these become two groups,
    `RECELL2.procedure` and `RECELL2.diagnosis`. A code that ends in `*` is a prefix.
    """
    technologies = _read(amounts, ("technology", "max_add_on", "cost_share")).select(
        "technology",
        pl.col("max_add_on").cast(pl.Float64).alias("max_usd"),
        pl.col("cost_share").cast(pl.Float64),
    )
    names = technologies["technology"].to_list()
    kinds = {"PROC": "procedure", "DIAG": "diagnosis"}
    listed = (
        _read(codes, ("technology", "code_group", "code_type", "code"))
        .filter(pl.col("technology").str.split("/").list.first().is_in(names))
        .with_columns(
            pl.col("code_type").replace_strict(kinds).alias("code_kind"),
            pl.col("code").map_elements(_expand_range, return_dtype=pl.List(pl.String)),
        )
        .explode("code")
    )
    split: dict[str, list[str]] = {}
    groups: dict[str, list[str]] = {}
    for label, group, kind in (
        listed.select("technology", "code_group", "code_kind").unique(maintain_order=True).iter_rows()
    ):
        split.setdefault(group, []).append(f"{group}.{kind}")
        for name in label.split("/"):
            groups.setdefault(name, []).append(group)
    rules = [
        {"technology": name, "alternative": number, "code_group": own, "present": present}
        for name in names
        for number, alternative in enumerate(_ALTERNATIVES.get(name, (dict.fromkeys(groups[name], True),)), 1)
        for group, present in alternative.items()
        for own in split[group]
    ]
    own_codes = listed.select(
        pl.format("{}.{}", "code_group", "code_kind").alias("code_group"), "code_kind", "code"
    ).unique(maintain_order=True)
    schema = {
        "technology": pl.String,
        "alternative": pl.UInt8,
        "code_group": pl.String,
        "present": pl.Boolean,
    }
    return technologies, own_codes, pl.DataFrame(rules, schema=schema)


def read_impact_hospitals(path: Path) -> pl.DataFrame:
    """Return the hospitals of CMS's Impact File as a HOSPITALS frame.

    The file gives only the sum of SSI ratio and Medicaid ratio; it becomes the Medicaid ratio.
    """
    hospitals = read_impact_file(path)
    return hospitals.select(
        *("hospital_id", "wage_index", "beds", "cbsa_size", "geographic_urban", "provider_type"),
        *(pl.col(name).fill_null(0.0) for name in _EXAMPLE_NUMBERS),
    )


def list_in_manifest(root: Path) -> None:
    """Rewrite the payment section of the manifest, below its heading, and seal the folder."""
    path = root / MANIFEST
    text = path.read_text("utf-8")
    before, _, after = text.partition(HEADING)
    ours = re.compile(rf'^\[files\."(?:{"|".join(SOURCES)})/')
    others = [part for part in re.split(r"(?m)^(?=\[)", after) if part.startswith("[") and not ours.match(part)]
    entries = [HEADING + "\n"]
    for kind, source in SOURCES.items():
        for file in sorted((root / kind).glob("*.*")):
            rows = file.read_text("utf-8").count("\n") - 1 if file.suffix == ".csv" else 0
            entries.append(
                f'[files."{kind}/{file.name}"]\nsha256 = "0"\n'
                + (f"rows = {rows}\n" if rows else "")
                + f'source = "{source}"\nlicence = "{LICENCE}"\n'
            )
    path.write_text(before.rstrip() + "\n\n" + "".join(others) + "\n".join(entries), "utf-8")
    seal(root)


# ---------------------------------------------------------------------------------------------------------


def _expand_range(published: str) -> list[str]:
    """Return one code, or the prefixes of a range such as M462*-M469*."""
    found = re.fullmatch(r"(\w+)(\d)\*-\1(\d)\*", published)
    if not found:
        return [published]
    stem, first, last = found.groups()
    return [f"{stem}{digit}*" for digit in range(int(first), int(last) + 1)]


def _find_year(path: Path) -> str:
    found = re.search(r"fy\d{4}", path.name)
    if not found:
        raise TableError(f"{path}: the file name has no fiscal year; expected one such as fy2026.")
    return found.group()


def _read(path: Path, columns: tuple[str, ...]) -> pl.DataFrame:
    """Read all columns as text, since a code such as 001 must keep its zeros."""
    try:
        table = pl.read_csv(path, infer_schema=False)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise TableError(f"{path}: cannot be read: {error}") from error
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise TableError(f"{path}: lacks {', '.join(missing)}; found {', '.join(table.columns)}.")
    return table


def _write(root: Path, name: str, table: pl.DataFrame) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    table.write_csv(root / name)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="python -m drgsim.releases.build_payment",
        description="Write every payment table, list them in the manifest and seal the folder.",
    )
    parser.add_argument("published", type=Path, help="folder of the published tables")
    parser.add_argument("folder", type=Path, help="table folder, such as grouper_tables")
    build_payment_tables(**vars(parser.parse_args()))
