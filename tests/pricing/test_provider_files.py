"""CMS's files of hospitals: the Impact File of the reference, and records of the Provider Specific File by day."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import polars as pl
import pytest

from drgsim import InputError, SchemaError, price
from drgsim.pricing import example_hospitals, read_impact_file, read_provider_file
from drgsim.pricing.hospitals import derive_impact_factors
from drgsim.rates.payment_rates import Rates

IPSF = (
    "provider_ccn,effective_date,termination_date,waiver_indicator,provider_type,cost_of_living_adjustment,"
    "interns_to_beds_ratio,bed_size,operating_cost_to_charge_ratio,supplemental_security_income_ratio,medicaid_ratio,"
    "special_payment_indicator,hosp_quality_indicator,cbsa_actual_geographic_location,cbsa_wi_location,"
    "cbsa_standardized_amount_location,special_wage_index,capital_cost_to_charge_ratio,new_hospital,"
    "vpb_participant_indicator,vbp_adjustment,hrr_participant_indicator,hrr_adjustment,"
    "hac_reduction_participant_indicator,uncompensated_care_amount,ehr_reduction_indicator,low_volume_adjustment_factor\n"
    "010001,20241001,,N,00,1.0,0.1,330,0.20,0.05,0.20,,1,20020,20020,20020,,0.01,N,Y,1.01,1,0.99,N,1200.00,,0.0\n"
    "010001,20251001,,N,07,1.0,0.16,334,0.181,0.05,0.2,1,1,20020,20020,01,0.8702,0.013,N,N,1.01,0,0.99,Y,1333.86,Y,0.1\n"
    "050002,20241001,20250630,N,00,1.0,0,100,0.3,0,0,Y,,05,31084,05,,0.02,Y,,,,,,,,\n"
)


def test_the_impact_file_gives_what_cms_printed(shared: Path):
    path = shared / "payment" / "cms_impact_file_fy2027_2rows.csv"
    found = read_impact_file(path)
    expected = example_hospitals()
    for name in expected.columns:
        given = found[name].fill_null(0.0) if found[name].dtype.is_float() else found[name]
        assert given.to_list() == expected[name].to_list(), name
    printed = pl.read_csv(path)
    factors = derive_impact_factors(found, Rates.load(2027))
    assert factors["ime_factor"].round(5).to_list() == printed["TCHOP"].to_list()
    assert factors["dsh_factor"].round(5).to_list() == printed["DSHOPP"].to_list()
    assert factors["gaf"].round(9).to_list() == printed["GAF"].to_list()


def test_hospitals_are_chosen_by_ccn(shared: Path):
    path = shared / "payment" / "cms_impact_file_fy2027_2rows.csv"
    assert read_impact_file(path, ccn="020001")["beds"].to_list() == [401]
    assert read_impact_file(path, ccn=["020001", "010001"])["hospital_id"].to_list() == ["010001", "020001"]
    with pytest.raises(InputError, match="no hospital 999999 among 2"):
        read_impact_file(path, ccn="999999")


def test_a_ccn_that_lost_its_zero_gets_it_back_and_notes_below_are_no_hospitals(shared: Path, tmp_path: Path):
    text = (shared / "payment" / "cms_impact_file_fy2027_2rows.csv").read_text()
    path = tmp_path / "impact.csv"
    path.write_text(text.replace("\n010001", "\n10001") + "Note: proxy values\n")
    assert read_impact_file(path)["hospital_id"].to_list() == ["010001", "020001"]


def test_the_impact_file_as_a_workbook(shared: Path, tmp_path: Path):
    pytest.importorskip("fastexcel")
    xlsxwriter = pytest.importorskip("xlsxwriter")
    source = shared / "payment" / "cms_impact_file_fy2027_2rows.csv"
    table = pl.read_csv(source, infer_schema=False)
    path = tmp_path / "impact.xlsx"
    with xlsxwriter.Workbook(str(path)) as book:
        sheet = book.add_worksheet()
        sheet.write_string(0, 0, "FY 2027 IPPS Impact File")
        for place, name in enumerate(table.columns):
            sheet.write_string(2, place, name)
            for row, value in enumerate(table[name], 3):
                sheet.write(row, place, value)
    assert read_impact_file(path).equals(read_impact_file(source))


def test_records_of_the_provider_file_hold_from_a_day(tmp_path: Path):
    path = tmp_path / "ipsf.csv"
    path.write_text(IPSF)
    newest = read_provider_file(path, "010001").row(0, named=True)
    assert (newest["beds"], newest["wage_index"], newest["cbsa"]) == (334, 0.8702, "20020")
    assert (newest["vbp_factor"], newest["hrr_factor"], newest["hac_reduction"]) == (None, None, True)
    assert (newest["cbsa_size"], newest["geographic_urban"], newest["ehr_reduction"]) == ("R", True, True)
    earlier = read_provider_file(path, "010001", on=dt.date(2025, 3, 1)).row(0, named=True)
    assert (earlier["beds"], earlier["wage_index"], earlier["vbp_factor"], earlier["hrr_factor"]) == (
        330,
        None,
        1.01,
        0.99,
    )
    assert read_provider_file(path, on=dt.date(2025, 3, 1))["hospital_id"].to_list() == ["010001", "050002"]
    assert read_provider_file(path, on=dt.date(2025, 12, 1))["hospital_id"].to_list() == ["010001"]
    second = read_provider_file(path, "050002").row(0, named=True)
    assert (second["quality_reported"], second["reclassified"], second["geographic_urban"]) == (False, True, False)
    with pytest.raises(InputError, match="no record in force on 2020-01-01"):
        read_provider_file(path, on=dt.date(2020, 1, 1))


def test_hospitals_of_both_files_can_be_priced(shared: Path, tmp_path: Path):
    path = tmp_path / "ipsf.csv"
    path.write_text(IPSF)
    stay = pl.DataFrame(
        {
            "drg": [470],
            "hospital_id": ["010001"],
            "los_days": [3],
            "covered_charges_usd": [6e4],
            "discharge_status": [1],
        }
    )
    for hospitals in (
        read_impact_file(shared / "payment" / "cms_impact_file_fy2027_2rows.csv"),
        read_provider_file(path, "010001"),
    ):
        assert price(stay, hospitals, Rates.load(2026))["pay_code"].to_list() == [14]


def test_another_file_is_refused(tmp_path: Path):
    path = tmp_path / "a.csv"
    path.write_text("Provider Number,Beds\n010001,3\n")
    with pytest.raises(SchemaError, match="not the Impact File: it lacks operating ccr, urspa, urgeo"):
        read_impact_file(path)
    with pytest.raises(SchemaError, match="not the Provider Specific File: it lacks provider_ccn"):
        read_provider_file(path)
