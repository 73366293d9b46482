"""Fiscal years 2017 to 2020 and the COVID-19 treatments of FY2021 against CMS's own programs."""

from pathlib import Path

import polars as pl
import pytest

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
