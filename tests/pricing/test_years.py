"""Fiscal years 2017 to 2020 and the COVID-19 treatments of FY2021 against CMS's own programs."""

from datetime import date
from pathlib import Path

import polars as pl
import pytest

from drgsim.exceptions import MissingRateError, SchemaError
from drgsim.pricing.pricer import price_stays
from drgsim.pricing.rates import Rates
from tests.pricing.test_pricer import assert_equal, with_capital_total

YEARS = {
    "cms_fy2017_pricer_vectors.csv": (2017, 1000),
    "cms_fy2018_pricer_vectors.csv": (2018, 1000),
    "cms_fy2019_pricer_vectors.csv": (2019, 1000),
    "cms_fy2020_pricer_vectors.csv": (2020, 1000),
    "cms_fy2021_nctap_vectors.csv": (2021, 100),
}


@pytest.mark.parametrize("file", YEARS)
def test_cms_program_to_the_cent(shared: Path, vectors, file: str) -> None:
    year, rows = YEARS[file]
    stays, answers = vectors(shared / "payment" / "years" / file)
    paid = with_capital_total(price_stays(stays, Rates.load(year), informational=True))
    assert paid.height == rows
    ids, is_paid = answers["id"].cast(pl.String), answers["pay_code"] < 50
    assert_equal(paid, answers.select("pay_code"), ids)
    # Of an unpaid stay the code and the components mean something, not what the program reports besides.
    assert_equal(paid.filter(is_paid), answers.filter(is_paid).drop("id"), ids.filter(is_paid))
    shown = [name for name in answers.columns if name.endswith("_usd") and name in _COMPONENTS]
    assert_equal(paid, answers.select(shown), ids)


_COMPONENTS = (
    "operating_federal_usd",
    "hospital_specific_usd",
    "ime_usd",
    "dsh_usd",
    "operating_outlier_usd",
    "capital_federal_usd",
    "capital_dsh_usd",
    "capital_ime_usd",
    "capital_outlier_usd",
    "capital_total_usd",
    "new_technology_usd",
    "low_volume_usd",
    "readmissions_usd",
    "value_based_usd",
    "hac_usd",
    "total_usd",
)


# ----------------------------------------------------------------------------------------- codes and entries


def stay(**columns: object) -> pl.DataFrame:
    """One stay of 5 days in DRG 470 with hospital columns, changed."""
    plain = {
        "drg": 470,
        "weight": 1.9,
        "gmlos_days": 2.0,
        "post_acute": True,
        "special_pay": False,
        "los_days": 5,
        "covered_charges_usd": 50_000.0,
        "review_code": 0,
        "wage_index": 1.1,
        "operating_ccr": 0.25,
    }
    return pl.DataFrame({name: [value] for name, value in {**plain, **columns}.items()})


@pytest.mark.parametrize(
    ("columns", "code"),
    [
        ({"los_days": 0, "review_code": 4}, 56),
        ({"review_code": 4}, 57),
        ({"effective_date": date(2021, 3, 1), "discharge_date": date(2021, 2, 28)}, 55),
        ({"effective_date": date(2021, 3, 1), "discharge_date": date(2021, 3, 1)}, 14),
        ({"termination_date": date(2021, 3, 1), "discharge_date": date(2021, 3, 1)}, 55),
        ({"termination_date": date(2021, 3, 1), "discharge_date": date(2021, 2, 28)}, 14),
        ({"termination_date": date(2021, 3, 1)}, 14),
        ({"termination_date": date(2021, 3, 1), "discharge_date": date(2022, 3, 1), "drg": 999, "weight": 0.0}, 54),
        ({"capital_pay_code": "A"}, 65),
        ({"capital_pay_code": ""}, 65),
        ({"capital_pay_code": "B"}, 14),
        ({"capital_pay_code": "A", "new_capital_hospital": True}, 14),
        ({"hrr_participant": ""}, 65),
        ({"hrr_participant": "2"}, 65),
        ({"hrr_participant": "0", "hrr_factor": 0.99}, 65),
        ({"hrr_participant": "0", "hrr_factor": 0.0}, 14),
        ({"hrr_participant": "1", "hrr_factor": 1.0001}, 65),
        ({"hrr_participant": "1"}, 65),
        ({"vbp_participant": ""}, 68),
        ({"vbp_participant": "Y", "vbp_factor": 2.00000000001}, 68),
        ({"vbp_participant": "N", "vbp_factor": 1.01}, 14),
        ({"covered_days": 2**40}, 62),
        ({"reserve_days": 2**40}, 61),
        ({"reserve_days": -(2**40)}, 61),
        ({"islet_isolations": 300}, 69),
    ],
)
def test_entries_that_the_program_refuses(columns: dict, code: int) -> None:
    assert price_stays(stay(**columns), Rates.load(2021))["pay_code"].item() == code


@pytest.mark.parametrize(("year", "code"), [(2019, 68), (2020, 68), (2021, 67)])
def test_an_outlier_without_days_and_a_wrong_value_based_entry(year: int, code: int) -> None:
    """Read and run by the authors of the vectors: FY2021 tests the outlier first."""
    both = stay(covered_charges_usd=5e6, covered_days=3, vbp_participant="")
    assert price_stays(both, Rates.load(year))["pay_code"].item() == code
    assert price_stays(both.with_columns(hrr_participant=pl.lit("")), Rates.load(year))["pay_code"].item() == 65


def test_a_number_of_beds_that_cannot_be_is_refused() -> None:
    with pytest.raises(SchemaError, match="row 0: beds is 1099511627776"):
        price_stays(stay(beds=2**40), Rates.load(2021))


def test_the_low_volume_factor_counts_with_its_indicator() -> None:
    paid = [
        price_stays(stay(low_volume_factor=factor, low_volume_indicator=said), Rates.load(2019))[
            "low_volume_usd"
        ].item()
        for factor, said in ((0.25, "Y"), (0.25, ""), (0.250001, "Y"))
    ]
    assert paid[0] > 0
    assert paid[1:] == [0.0, 0.0]


def test_the_half_and_half_transfer_of_the_issue() -> None:
    """CMS's FY2021 program: DRG 478, 3 days, review code 09, sole community hospital with a rate of 12,000."""
    rates = Rates.load(2021)
    row = rates.weights.filter(drg=478)
    one = stay(drg=478, weight=row["weight"].item(), gmlos_days=row["gmlos_days"].item(), special_pay=True)
    one = one.with_columns(los_days=3, review_code=9, provider_type=pl.lit("16"), hospital_specific_rate_usd=12_000.0)
    exact = price_stays(one, rates.reformed({"transfer.half_quotient_decimals": 9}))
    java = price_stays(one, rates.reformed({"transfer.half_quotient_decimals": 5}))
    assert exact["pay_code"].item() == java["pay_code"].item() == 10
    # (.5 + .5 x 4 / 4.8) x 2.3070 is 2.114750 exactly: cut off, it is below the half and rounds to 2.1147.
    assert round((0.5 + 0.5 * 4 / row["gmlos_days"].item()) * row["weight"].item(), 6) % 1e-4 == pytest.approx(5e-5)


def test_updates_of_hospital_specific_rates_are_those_of_the_programs() -> None:
    published = {2017: "1.03554", 2018: "1.04058", 2019: "1.01065", 2020: "1.03367"}
    assert {year: str(Rates.load(year).hospital_specific_update("full")) for year in published} == published


@pytest.mark.parametrize("year", [2016, 2017, 2018])
def test_hospitals_without_a_known_amount_are_refused(year: int) -> None:
    rates = Rates.load(year)
    assert price_stays(stay(), rates)["total_usd"].item() > 0
    with pytest.raises(MissingRateError, match=rf"operating\.labor\.above_1\.no_quality_data .*{year} \(only the"):
        price_stays(stay(quality_reported=False), rates)
    # A stay that is not paid needs no amount: the program answers 68.
    refused = price_stays(stay(quality_reported=False, vbp_participant="Y", vbp_factor=1.01), rates)
    assert refused["pay_code"].item() == 68
