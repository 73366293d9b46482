"""CMS's files of hospitals: `read_impact_file(path)`, `read_provider_file(path)`.

Sources: CMS IPPS final rules, Impact File; CMS, Inpatient Provider Specific File (Claims Processing Manual, chapter 3,
addendum A), in the CSV layout of CMS's web pricers.
"""

from __future__ import annotations

import datetime as dt
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import polars as pl

from drgsim.claim_fields.field_values import blank_words, parse_dates, parse_numbers
from drgsim.claim_fields.mapping_report import MappingProblems
from drgsim.claim_fields.source_files import read_text_table
from drgsim.exceptions import InputError, SchemaError
from drgsim.schema import HOSPITALS

_IMPACT: Mapping[str, tuple[str, ...]] = {
    "beds": ("beds",),
    "resident_to_bed_ratio": ("resident to bed ratio",),
    "capital_ime_ratio": ("rday",),
    "medicaid_ratio": ("dshpct",),
    "operating_ccr": ("operating ccr",),
    "capital_ccr": ("capital ccr",),
    "cola": ("cost of living adjustment",),
    "uncompensated_care_usd": ("ucp per claim amount",),
    "vbp_factor": ("proxy value based purchasing adjustment factor", "value based purchasing adjustment factor"),
    "hrr_factor": ("proxy readmission adjustment factor", "readmission adjustment factor"),
    "hospital_specific_rate_usd": ("hsp rate",),
}
_IMPACT_KEYS = ("provider number", "operating ccr", "urspa", "urgeo")
_SIZES = {"LURBAN": "L", "OURBAN": "O", "RURAL": "R"}
_PROVIDER: Mapping[str, str] = {
    "operating_ccr": "operating_cost_to_charge_ratio",
    "capital_ccr": "capital_cost_to_charge_ratio",
    "beds": "bed_size",
    "resident_to_bed_ratio": "interns_to_beds_ratio",
    "capital_ime_ratio": "capital_indirect_medical_education_ratio",
    "ssi_ratio": "supplemental_security_income_ratio",
    "medicaid_ratio": "medicaid_ratio",
    "cola": "cost_of_living_adjustment",
    "uncompensated_care_usd": "uncompensated_care_amount",
    "low_volume_factor": "low_volume_adjustment_factor",
    "hospital_specific_rate_usd": "pps_facility_specific_rate",
    "pass_through_usd": "pass_through_total_amount",
    "organ_acquisition_usd": "pass_through_amount_for_organ_acquisition",
    "direct_education_usd": "pass_through_amount_for_direct_medical_education",
}
_PROVIDER_KEYS = ("provider_ccn", "effective_date", "operating_cost_to_charge_ratio")
_CCN = 6


def read_impact_file(path: str | os.PathLike[str], ccn: str | Sequence[str] | None = None) -> pl.DataFrame:
    r"""Return the hospitals of CMS's Impact File as a HOSPITALS frame.

    The file gives only the sum of SSI ratio and Medicaid ratio, which becomes `medicaid_ratio`. The wage index is the
    one the file says, as paid. A CCN of five digits lost its leading zero in a spreadsheet and gets it back.

    Args:
        path: the Impact File as text or as an Excel workbook.
        ccn: the CCN of a hospital, or several; None returns all.

    Raises:
        InputError: the file cannot be read, or has no hospital of that CCN.
        SchemaError: it lacks columns of the Impact File; all are named.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "impact.csv"
    >>> _ = path.write_text("Provider Number,URGEO,URSPA,FY 2027 Wage Index,Beds,Operating CCR\n"
    ...                     "010001,OURBAN,RURAL,0.8702,334,0.181\n")
    >>> read_impact_file(path, ccn="010001").select("hospital_id", "wage_index", "beds", "cbsa_size").row(0)
    ('010001', 0.8702, 334, 'R')
    """
    table = _read_table(path, _IMPACT_KEYS, "the Impact File")
    table = _select_hospitals(table, "provider number", ccn, path)
    wage_index = next((name for name in table.columns if re.fullmatch(r"fy ?\d{4} wage index", name)), None)
    if wage_index is None:
        raise SchemaError(f"{path}: no column of the wage index, such as FY 2027 Wage Index.")
    found = {ours: next((one for one in names if one in table.columns), None) for ours, names in _IMPACT.items()}
    columns = [table["provider number"].alias("hospital_id"), parse_numbers(table[wage_index]).alias("wage_index")]
    columns += [parse_numbers(table[name]).alias(ours) for ours, name in found.items() if name]
    columns += [
        table["urspa"]
        .str.to_uppercase()
        .replace_strict(_SIZES, default=None, return_dtype=pl.String)
        .alias("cbsa_size"),
        (_upper(table["urgeo"]) != "RURAL").alias("geographic_urban"),
    ]
    if "provider type" in table.columns:
        columns.append(table["provider type"].str.zfill(2).alias("provider_type"))
    if "proxy quality reduction" in table.columns:
        columns.append(
            (parse_numbers(table["proxy quality reduction"]).fill_null(0.0) == 0.0).alias("quality_reported")
        )
    if "proxy ehr reduction" in table.columns:
        columns.append((parse_numbers(table["proxy ehr reduction"]).fill_null(0.0) != 0.0).alias("ehr_reduction"))
    if "low volume hospital adjustment" in table.columns:
        adjustment = parse_numbers(table["low volume hospital adjustment"]).fill_null(1.0)
        columns.append((adjustment - 1.0).round(6).alias("low_volume_factor"))
    return _order_columns(columns)


def read_provider_file(
    path: str | os.PathLike[str], ccn: str | Sequence[str] | None = None, *, on: dt.date | None = None
) -> pl.DataFrame:
    r"""Return the hospitals of CMS's Inpatient Provider Specific File as a HOSPITALS frame.

    A hospital has one record for each date from which its values hold. The wage index is the special one where the
    record has one, and otherwise that of the CBSA, which `price` looks up: the limit on its yearly decrease is not
    applied. Value-based purchasing and readmission factors count where the
    record says that the hospital participates.

    Args:
        path: the file in the CSV layout of CMS's web pricers, with a header, or the same as an Excel workbook.
        ccn: the CCN of a hospital, or several; None returns all.
        on: the day on which the values hold, such as a discharge date; None takes the newest record of each hospital.

    Raises:
        InputError: the file cannot be read, or has no record of that CCN and day.
        SchemaError: it lacks columns of the file; all are named.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "ipsf.csv"
    >>> _ = path.write_text("provider_ccn,effective_date,operating_cost_to_charge_ratio,bed_size\n"
    ...                     "010001,20241001,0.2,330\n010001,20251001,0.181,334\n")
    >>> read_provider_file(path, "010001").select("operating_ccr", "beds").row(0)
    (0.181, 334)
    >>> read_provider_file(path, "010001", on=dt.date(2025, 3, 1))["beds"].item()
    330
    """
    table = _read_table(path, _PROVIDER_KEYS, "the Provider Specific File")
    table = _select_hospitals(table, "provider_ccn", ccn, path)
    table = _select_records(table, on, path)
    columns = [table["provider_ccn"].alias("hospital_id")]
    columns += [parse_numbers(table[name]).alias(ours) for ours, name in _PROVIDER.items() if name in table.columns]
    for ours, name, yes in (
        ("quality_reported", "hosp_quality_indicator", "1"),
        ("ehr_reduction", "ehr_reduction_indicator", "Y"),
        ("hac_reduction", "hac_reduction_participant_indicator", "Y"),
        ("new_capital_hospital", "new_hospital", "Y"),
        ("waiver", "waiver_indicator", "Y"),
    ):
        if name in table.columns:
            columns.append((table[name].str.to_uppercase() == yes).fill_null(value=False).alias(ours))
    for ours, name, said, yes in (
        ("vbp_factor", "vbp_adjustment", "vpb_participant_indicator", "Y"),
        ("hrr_factor", "hrr_adjustment", "hrr_participant_indicator", "1"),
    ):
        if {name, said} <= {*table.columns}:
            takes_part = (table[said].str.replace(r"\.0+$", "").str.to_uppercase() == yes).fill_null(value=False)
            columns.append(parse_numbers(table[name]).set(~takes_part, None).alias(ours))
    if "provider_type" in table.columns:
        columns.append(table["provider_type"].str.zfill(2).alias("provider_type"))
    return _order_columns([*columns, *_read_places(table)])


# ---------------------------------------------------------------------------------------------------------


def _read_table(path: str | os.PathLike[str], keys: Iterable[str], what: str) -> pl.DataFrame:
    """Return a file as text, its names in lower case with single blanks."""
    table = read_text_table(Path(path), MappingProblems(), lambda name: " ".join(name.lower().split()))
    lacking = [name for name in keys if name not in table.columns]
    if lacking:
        raise SchemaError(f"{os.fspath(path)}: not {what}: it lacks {', '.join(lacking)}.")
    return table.select(blank_words(table[name]) for name in table.columns)


def _select_hospitals(
    table: pl.DataFrame, key: str, ccn: str | Sequence[str] | None, path: str | os.PathLike[str]
) -> pl.DataFrame:
    """Return the rows of hospitals; rows without a CCN are notes below the table."""
    number = pl.col(key).str.replace(r"\.0+$", "")
    whole = pl.when(number.str.contains(r"^\d{5}$")).then("0" + number).otherwise(number).str.to_uppercase().alias(key)
    table = table.with_columns(whole).filter(pl.col(key).str.len_chars() == _CCN)
    if ccn is None:
        return table
    wanted = [ccn] if isinstance(ccn, str) else list(ccn)
    asked = pl.DataFrame({key: pl.Series([one.strip().upper() for one in wanted], dtype=pl.String)})
    lacking = asked.join(table, on=key, how="anti", maintain_order="left")[key]
    if len(lacking):
        raise InputError(f"{os.fspath(path)}: no hospital {', '.join(lacking[:8])} among {table[key].n_unique():,}.")
    return table.join(asked, on=key, how="semi", maintain_order="left")


def _select_records(table: pl.DataFrame, on: dt.date | None, path: str | os.PathLike[str]) -> pl.DataFrame:
    """Return the record of each hospital that is in force."""
    begin = parse_dates(table["effective_date"]).dates
    rows = table.with_columns(begin.alias("\0begin"))
    if on is not None:
        rows = rows.filter(pl.col("\0begin") <= on)
        if "termination_date" in rows.columns:
            end = parse_dates(rows["termination_date"]).dates
            rows = rows.filter((end.is_null() | (end >= on)).fill_null(value=True))
        if rows.is_empty():
            raise InputError(f"{os.fspath(path)}: no record in force on {on}.")
    newest = rows.sort("\0begin", nulls_last=False, maintain_order=True)
    return newest.unique("provider_ccn", keep="last", maintain_order=True).drop("\0begin").sort("provider_ccn")


def _read_places(table: pl.DataFrame) -> list[pl.Series]:
    """Return labor market area, special wage index and location; two digits are a rural area."""
    columns: list[pl.Series] = []
    names = ("cbsa_wi_location", "cbsa_actual_geographic_location")
    places = [table[name] for name in names if name in table.columns]
    if places:
        columns.append(pl.select(pl.coalesce(*places)).to_series().alias("cbsa"))
    if "cbsa_actual_geographic_location" in table.columns:
        columns.append((table[names[1]].str.len_chars() > 2).alias("geographic_urban"))  # two digits
    if "cbsa_standardized_amount_location" in table.columns:
        rural = (table["cbsa_standardized_amount_location"].str.len_chars() <= 2).fill_null(value=False)
        columns.append(
            pl.select(pl.when(rural).then(pl.lit("R")).otherwise(pl.lit("O"))).to_series().alias("cbsa_size")
        )
    if "special_payment_indicator" in table.columns:
        said = table["special_payment_indicator"].str.to_uppercase()
        columns.append(said.is_in(["Y", "2", "D"]).fill_null(value=False).alias("reclassified"))
        if "special_wage_index" in table.columns:
            special = parse_numbers(table["special_wage_index"])
            holds = (said.is_in(["1", "2"]) & (special > 0)).fill_null(value=False)
            columns.append(special.set(~holds, None).alias("wage_index"))
    return columns


def _upper(column: pl.Series) -> pl.Series:
    return column.str.to_uppercase()


def _order_columns(columns: list[pl.Series]) -> pl.DataFrame:
    frame = pl.DataFrame(columns)
    names = [name for name in HOSPITALS.names if name in frame.columns]
    return frame.select(pl.col(name).cast(HOSPITALS[name].dtype, strict=False) for name in names)
