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
from typing import Any

import polars as pl

from drgsim.exceptions import TableError
from drgsim.files.atomic import make_folder, replace_whole, write_text_whole
from drgsim.provider_files import read_impact_file
from drgsim.tables.manifest import MANIFEST, seal, table_folder

HEADING = "# Payment: rates, weights, wage index, new technologies. Written by drgsim.releases.build_payment."
LICENCE = "Public domain: facts published by CMS, a work of the US government"
SOURCES = {
    "rates": "IPPS final rules, CMS pricers and transmittals; every parameter names its own source",
    "weights": "CMS IPPS final rule, Table 5",
    "wage_index": "CMS IPPS final rule, Tables 2 and 3; FY2021: CMS pricer 2021.2; other years: CMS Java pricer",
    "new_technology": "CMS Java pricer, new technology add-on tables; FY2017 and FY2018: CMS programs",
    "examples": "CMS IPPS FY2027 final rule, Impact File (two hospitals)",
}

# Fiscal years whose lists of new technologies are shipped. FY2021, FY2024 and FY2025 have published lists too; their
# add-ons are given with the stays (ntap_max_usd), as before the lists were found.
_NEW_TECHNOLOGY_YEARS = ("fy2017", "fy2018", "fy2019", "fy2020", "fy2022", "fy2023", "fy2026")

# First and last day of discharge of each group of new COVID-19 treatments, by fiscal year. FY2021: CMS's program;
# FY2022: CMS's Java pricer; FY2023: the groups of its list with the rule of FY2022, KINERET and GOHIBIC from their
# emergency use authorizations (recalled, not read).
_COVID_TREATMENTS: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "fy2021": {
        "COVID1": ("2020-11-02", "2021-09-30"),
        "COVID2": ("2020-11-19", "2020-12-31"),
        "COVID3": ("2021-01-01", "2021-09-30"),
    },
    "fy2022": {
        "COVID1": ("2021-10-01", "2022-09-30"),
        "COVID3": ("2021-10-01", "2022-09-30"),
        "PAXLOVID1": ("2021-12-22", "2022-09-30"),
        "PAXLOVID2": ("2022-03-17", "2022-09-30"),
        "PAXLOVID3": ("2022-04-18", "2022-09-30"),
        "MOLNUPIRAVIR": ("2021-12-23", "2022-09-30"),
    },
    "fy2023": {
        "COVID1": ("2022-10-01", "2023-09-30"),
        "COVID3": ("2022-10-01", "2023-09-30"),
        "PAXLOVID": ("2022-10-01", "2023-09-30"),
        "MOLNUPIRAVIR": ("2022-10-01", "2023-09-30"),
        "KINERET": ("2022-11-08", "2023-09-30"),
        "GOHIBIC": ("2023-04-04", "2023-09-30"),
    },
}

_KINDS = {"PROC": "procedure", "DIAG": "diagnosis", "NDC": "drug"}


def _pneumonia(name: str) -> tuple[Mapping[str, bool], ...]:
    """Return the alternatives of an antibacterial: two kinds of pneumonia."""
    first, acquired, organism, ventilator, cause = (f"{name}{number}" for number in range(1, 6))
    return ({first: True, acquired: True, organism: True}, {first: True, ventilator: True, cause: True})


def _no_pneumonia(name: str) -> tuple[Mapping[str, bool], ...]:
    """Return the alternatives without that: one group of each pair is absent."""
    return tuple(
        {f"{name}1": True, f"{name}{left}": False, f"{name}{right}": False} for left in (2, 3) for right in (4, 5)
    )


# The alternative sets of code groups that pay a technology; a technology not listed here needs all its groups.
# XACDURO, ZEVTERA, FETROJA and RECARBRIO: from CMS's pricer; that FETROJAL follows as RECARBRIOL does is inferred.
# AVEIR is an assumption: both devices give the dual-chamber amount (H), the atrial device alone gives the upgrade (L).
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
    "FETROJA": _pneumonia("FETROJA"),
    "FETROJAH": _pneumonia("FETROJA"),
    "FETROJAL": _no_pneumonia("FETROJA"),
    "RECARBRIO": _pneumonia("RECARBRIO"),
    "RECARBRIOH": _pneumonia("RECARBRIO"),
    "RECARBRIOL": _no_pneumonia("RECARBRIO"),
    "AVEIRH": ({"AVEIR1": True, "AVEIR2": True},),
    "AVEIRL": ({"AVEIR1": True, "AVEIR2": False},),
}

# Technologies that count by any one kind of code of their group: by drug code or by procedure.
_BY_ANY_KIND = ("VABOMERE",)


_EXAMPLE_NUMBERS = (
    *("resident_to_bed_ratio", "capital_ime_ratio", "medicaid_ratio", "operating_ccr", "capital_ccr", "cola"),
    *("uncompensated_care_usd", "vbp_factor", "hrr_factor", "hospital_specific_rate_usd", "low_volume_factor"),
)


def build_payment_tables(published: str | os.PathLike[str], folder: str | os.PathLike[str] | None = None) -> None:
    """Write every payment table, list them in the manifest and seal the folder.

    Args:
        published: folder with `msdrg_table5_fy*.csv`, `cbsa_wage_index_fy*.csv`, `outmigration_fy*.csv`,
            `ntap*_fy*.csv` and rows of an Impact File; also those in its folder `years`.
        folder: table folder; by default the shipped one.

    Raises:
        TableError: a published file is missing or has other columns.
    """
    source, root = Path(published), table_folder(folder)

    def files(pattern: str) -> list[Path]:
        return sorted([*source.glob(pattern), *(source / "years").glob(pattern)], key=lambda path: path.name)

    for path in files("msdrg_table5_fy*.csv"):
        _write(root, f"weights/{_find_year(path)}.csv", build_weights(path))
    for path in files("cbsa_wage_index_fy*.csv"):
        _write(root, f"wage_index/{_find_year(path)}.csv", build_wage_index(path))
    for path in files("outmigration_fy*.csv"):
        _write(root, f"wage_index/outmigration_{_find_year(path)}.csv", build_outmigration(path))
    for path in files("ntap_codes_fy*.csv"):
        year = _find_year(path)
        if year in _COVID_TREATMENTS:
            _write(root, f"new_technology/{year}_covid.csv", build_covid_treatments(path))
        if year in _NEW_TECHNOLOGY_YEARS:
            technologies, codes, rules = build_new_technology(path.with_name(f"ntap_{year}.csv"), path)
            _write(root, f"new_technology/{year}.csv", technologies)
            _write(root, f"new_technology/{year}_codes.csv", codes)
            _write(root, f"new_technology/{year}_rules.csv", rules)
    for path in files("cms_impact_file_fy*.csv"):
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
    floors = {name: f"{name}_wage_index" for name in ("rural_floor", "imputed_floor")}
    table = table.with_columns(
        pl.col(name).str.strip_chars().replace("", None).cast(pl.Float64).fill_null(0.0)
        for name in table.columns
        if name.endswith("_wage_index")
    )
    # Without a published rural floor it is the index of the rural area of the state, 42 CFR 412.64(e)(4).
    is_state = pl.col("cbsa").str.len_chars() == 2
    is_state &= ~pl.col("cbsa").is_in(["98", "99"])
    without = {
        "rural_floor": pl.when(is_state).then("geographic_wage_index").otherwise(0.0),
        "imputed_floor": pl.lit(0.0),
    }
    floor = pl.max_horizontal(0.0, *(source for source in floors.values() if source in table.columns))
    return table.select(
        "cbsa",
        pl.max_horizontal("geographic_wage_index", floor).alias("wage_index"),
        pl.max_horizontal("reclassified_wage_index", floor).alias("reclassified_wage_index"),
        *(
            (pl.when(is_state).then(source).otherwise(0.0) if source in table.columns else without[name]).alias(name)
            for name, source in floors.items()
        ),
    ).sort("cbsa")


def build_outmigration(path: Path) -> pl.DataFrame:
    """Return what is added to the wage index of hospitals by county (FIPS code)."""
    table = _read(path, ("county", "adjustment"))
    return table.select("county", pl.col("adjustment").cast(pl.Float64)).sort("county")


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
    listed = (
        _read(codes, ("technology", "code_group", "code_type", "code"))
        .filter(pl.col("code_type").is_in(list(_KINDS)))
        .filter(pl.col("technology").str.split("/").list.first().is_in(names))
        .with_columns(
            pl.col("code_type").replace_strict(_KINDS).alias("code_kind"),
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
    rules: list[dict[str, Any]] = [
        {"technology": name, "alternative": number, "code_group": own, "present": present}
        for name in names
        for number, alternative in enumerate(_ALTERNATIVES.get(name, (dict.fromkeys(groups[name], True),)), 1)
        for group, present in alternative.items()
        for own in split[group]
    ]
    rules = [
        {**rule, "alternative": rule["alternative"] + split[name].index(str(rule["code_group"]))}
        if (name := str(rule["technology"])) in _BY_ANY_KIND
        else rule
        for rule in rules
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


def build_covid_treatments(path: Path) -> pl.DataFrame:
    """Return the codes of new COVID-19 treatments with their first and last day of discharge."""
    days = _COVID_TREATMENTS[_find_year(path)]
    listed = _read(path, ("code_group", "code_type", "code")).filter(
        pl.col("code_group").is_in(list(days)), pl.col("code_type").is_in(["PROC", "NDC"])
    )
    return listed.select(
        pl.col("code_type").replace_strict(_KINDS).alias("code_kind"),
        "code",
        *(
            pl.col("code_group").replace_strict({group: of[place] for group, of in days.items()}).alias(name)
            for place, name in enumerate(("first_day", "last_day"))
        ),
    ).sort("code_kind", "code", "first_day")


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
    write_text_whole(path, before.rstrip() + "\n\n" + "".join(others) + "\n".join(entries))
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
    make_folder((root / name).parent)
    with replace_whole(root / name) as unfinished:
        table.write_csv(unfinished)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="python -m drgsim.releases.build_payment",
        description="Write every payment table, list them in the manifest and seal the folder.",
    )
    parser.add_argument("published", type=Path, help="folder of the published tables")
    parser.add_argument("folder", type=Path, help="table folder, such as grouper_tables")
    build_payment_tables(**vars(parser.parse_args()))
