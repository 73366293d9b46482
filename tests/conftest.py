"""Where tests find the reference data."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from types import ModuleType

import polars as pl
import pytest


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference data, or a skip where it is not on this machine."""
    folder = Path(os.environ.get("DRGSIM_SHARED", Path(__file__).parents[2] / "shared"))
    if not folder.is_dir():
        pytest.skip(f"reference data not found at {folder}; set DRGSIM_SHARED")
    return folder


@pytest.fixture
def cholecystectomy() -> pl.DataFrame:
    """A laparoscopic cholecystectomy for acute cholecystitis, without complications: MS-DRG 419."""
    return pl.DataFrame(
        {
            "admission_id": [1],
            "age": [54],
            "sex": ["F"],
            "discharge_status": [1],
            "pdx": ["K810"],
            "sdx": [["I10"]],
            "sdx_poa": [["Y"]],
            "procedures": [["0FT44ZZ"]],
        },
        schema_overrides={"admission_id": pl.UInt64},
    )


@pytest.fixture(scope="session")
def decimal_pricer() -> ModuleType:
    """The plain `decimal` pricer."""
    path = Path(__file__).parent / "support" / "decimal_pricer.py"
    spec = importlib.util.spec_from_file_location("decimal_pricer", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


EXPECTED = {
    "out_rtc": "pay_code",
    "out_total": "total_usd",
    "out_fsp": "operating_federal_usd",
    "out_hsp": "hospital_specific_usd",
    "out_ime": "ime_usd",
    "out_dsh": "dsh_usd",
    "out_outlier": "operating_outlier_usd",
    "out_cap_fsp": "capital_federal_usd",
    "out_cap_dsh": "capital_dsh_usd",
    "out_cap_ime": "capital_ime_usd",
    "out_cap_outlier": "capital_outlier_usd",
    "out_ntap": "new_technology_usd",
    "out_lowvol": "low_volume_usd",
    "out_hrr": "readmissions_usd",
    "out_vbp": "value_based_usd",
    "out_hac": "hac_usd",
    "out_dschg_frctn": "transfer_fraction",
    "out_ehr_adjust": "ehr_savings_usd",
    "out_std_value": "standardized_usd",
    "out_oper_cost_outlier_threshold": "operating_threshold_usd",
    "out_oper_bill_costs": "operating_cost_usd",
    "out_charge_threshold": "charge_threshold_usd",
    "out_nat_labor": "labor_usd",
    "out_nat_nonlabor": "nonlabor_usd",
}
"""Columns of a pricer's answers and ours."""

_TEXT = ("ccn_state", "provider_type", "hospital_quality_ind", "condition_codes", "dx", "px", "ntap_caps", "ndc")
_TEXT += ("capital_pay_code", "provider_effective_date", "provider_termination_date", "ltr_days", "out_islet")


def _has_covid_factor(codes: pl.Expr, conditions: pl.Expr, year: pl.Expr, day: pl.Expr) -> pl.Expr:
    """The COVID-19 factor as PAYMENT_YEARS states it, by text."""
    plain = codes.str.contains("U071") & ~conditions.str.contains("ZA")
    early = codes.str.contains("B9729") & day.is_between(pl.lit("2020-01-27"), pl.lit("2020-03-31"))
    late = plain & (day >= "2020-04-01")
    return pl.when(year == 2020).then(early | late).otherwise(plain & (year > 2020))


def _has_covid_treatment(codes: pl.Expr, conditions: pl.Expr, procedures: pl.Expr, day: pl.Expr) -> pl.Expr:
    """The add-on for COVID-19 treatments of FY2021 as PAYMENT_YEARS states it, by text."""
    first, second, third = (
        procedures.str.contains(group)
        for group in ("XW033E5|XW043E5|XW13325|XW14325", "3E0G7GC|3E0H7GC|XW0DXF5", "XW0DXM6|XW0G7M6|XW0H7M6")
    )
    treated = (first & (day >= "2020-11-02")) | (third & (day >= "2021-01-01"))
    treated |= second & day.is_between(pl.lit("2020-11-19"), pl.lit("2020-12-31"))
    has = codes.str.contains("U071") & ~conditions.str.contains("ZA") & treated
    return has & day.is_between(pl.lit("2020-10-01"), pl.lit("2021-09-30"))


def _vectors(path: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    """A pricer's questions as STAYS with HOSPITALS columns, and its answers in our names."""
    raw = pl.read_csv(path, schema_overrides=dict.fromkeys(_TEXT, pl.String), infer_schema_length=None)
    absent = {name: pl.lit(None, pl.String) for name in _TEXT if name not in raw.columns}
    raw = raw.with_columns(**absent)
    if "discharge_date" not in raw.columns:
        raw = raw.with_columns(discharge_date=pl.lit("2026-01-15"), fiscal_year=pl.lit(2026))
    c, number = pl.col, lambda name: pl.col(name).cast(pl.Float64)
    conditions, codes = c("condition_codes").fill_null(""), c("dx").fill_null("")
    asked = c("ntap_caps").str.split(" ").list.eval(pl.element().str.split("@"))
    trial = codes.str.contains(" Z006") & ~conditions.str.contains("ZC")
    stays = raw.select(
        c("drg").cast(pl.UInt16),
        weight=number("weight"),
        gmlos_days=number("gmlos"),
        post_acute=c("post_acute") == 1,
        special_pay=c("special_pay") == 1,
        los_days=c("los"),
        covered_charges_usd=number("covered_charges"),
        review_code=c("review_code"),
        covered_days=c("covered_days"),
        medicare_advantage=c("hmo_claim") == 1,
        covid=_has_covid_factor(codes, conditions, c("fiscal_year"), c("discharge_date")),
        covid_treatment=_has_covid_treatment(codes, conditions, c("px").fill_null(""), c("discharge_date")),
        reserve_days=c("ltr_days").cast(pl.Int32),
        islet_isolations=number("out_islet").fill_null(0.0).replace_strict({0.0: 0, 18848.0: 1, 37696.0: 2}),
        discharge_date=c("discharge_date").str.to_date(),
        no_cost_product=(c("drg") == 18) & (trial | conditions.str.contains("ZB")),
        ntap_max_usd=asked.list.eval(pl.element().list.get(0).cast(pl.Float64)),
        ntap_share=asked.list.eval(pl.element().list.get(1).cast(pl.Float64)),
        wage_index=number("wage_index"),
        cbsa_size=c("cbsa_size"),
        ccn_state=c("ccn_state"),
        provider_type=c("provider_type"),
        cola=number("cola"),
        resident_to_bed_ratio=number("intern_to_bed_ratio"),
        beds=c("bed_size"),
        operating_ccr=number("operating_ccr"),
        capital_ccr=number("capital_ccr"),
        ssi_ratio=number("ssi_ratio"),
        medicaid_ratio=number("medicaid_ratio"),
        capital_ime_ratio=number("capital_ime_ratio"),
        quality_reported=c("hospital_quality_ind") == "1",
        ehr_reduction=c("ehr_reduction_ind").cast(pl.String).fill_null("") == "Y",
        vbp_participant=c("vbp_participant").fill_null(""),
        vbp_factor=number("vbp_adjustment"),
        hrr_participant=c("hrr_participant").cast(pl.String).fill_null(""),
        hrr_factor=number("hrr_adjustment"),
        capital_pay_code=c("capital_pay_code"),
        effective_date=c("provider_effective_date").str.to_date(),
        termination_date=c("provider_termination_date").str.to_date(),
        hac_reduction=c("hac_reduction") == "Y",
        uncompensated_care_usd=number("uncompensated_care_amount"),
        low_volume_indicator=c("low_volume_ind").fill_null(""),
        low_volume_factor=number("low_volume_factor"),
        hospital_specific_rate_usd=number("hospital_specific_rate"),
        new_capital_hospital=c("capital_new_hospital") == "Y",
        pass_through_usd=number("passthru_total_per_diem"),
        organ_acquisition_usd=number("passthru_organ_per_diem"),
        direct_education_usd=number("passthru_dme_per_diem"),
    )
    answers = raw.select(
        "id",
        *(number(name).alias(own) for name, own in EXPECTED.items() if name in raw.columns),
        capital_total_usd=number("out_cap_total"),
    )
    if "out_ucp" in raw.columns:
        # The pricer repeats the hospital's amount beside a stay it does not pay (67): it pays nothing.
        ucp = pl.when(pl.col("out_rtc") < 50).then(number("out_ucp")).otherwise(0.0)
        answers = answers.with_columns(raw.select(uncompensated_care_usd=ucp))
    return stays, answers


@pytest.fixture(scope="session")
def vectors():
    """Function that reads a file of pricer vectors: STAYS with HOSPITALS columns, and the answers."""
    return _vectors
