"""The table of fiscal years in README.md and docs/years.md says what the tables hold and what the tests prove."""

from pathlib import Path

import polars as pl
import pytest

from drgsim.exceptions import MissingRateError
from drgsim.rates.payment_rates import QUALITY, Rates, rate_years
from drgsim.tables.table_set import TableSet, versions
from tests.pricing.test_hand_worked import GOLDEN

ROOT = Path(__file__).parents[1]
SHORT = {"CMS's release": "", "specification": ", specification", "derived from the Definitions Manual": ", derived"}
PROGRAMS = {2017: "1,000", 2018: "1,000", 2019: "1,000", 2020: "1,000", 2021: "1,600", 2026: "1,530"}
"""Stays of CMS's programs that tests price to the cent: see tests/pricing/test_years.py and test_pricer.py."""


def rows_of(page: str) -> list[list[str]]:
    lines = (ROOT / page).read_text("utf-8").splitlines()
    start = next(place for place, line in enumerate(lines) if line.startswith("| FY | groups with"))
    table = [line for line in lines[start + 2 : start + 20] if line.startswith("| 20")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


def test_both_pages_have_the_same_table() -> None:
    assert rows_of("README.md") == rows_of("docs/years.md")
    assert tuple(int(row[0]) for row in rows_of("README.md")) == rate_years()


@pytest.mark.parametrize("row", rows_of("docs/years.md"), ids=lambda row: row[0])
def test_a_year_is_as_the_table_says(row: list[str]) -> None:
    year, groups, weights, prices, proven, wage_index, technologies = int(row[0]), *row[1:]
    own = [tables for tables in map(TableSet.load, versions()) if tables.fiscal_year == year]
    known = {SHORT[tables.provenance] for tables in own}
    assert groups == (", ".join(tables.version for tables in own) + known.pop() if own else "nothing")
    rates = Rates.load(year)
    assert weights == ("yes" if rates.table5 is not None else "no")
    assert wage_index == ("yes" if rates.wage_index is not None else "no")
    assert technologies == ("yes" if rates.technologies is not None else "no")
    variants = [name for name in QUALITY if f"operating.labor.above_1.{name}" in rates.values]
    if prices == "given a fixed loss":
        with pytest.raises(MissingRateError, match=r"outlier\.fixed_loss"):
            rates["outlier.fixed_loss"]
    else:
        assert rates.number("outlier.fixed_loss") > 0
        assert prices == ("all" if len(variants) == len(QUALITY) else "full update")
    if year in PROGRAMS:
        assert PROGRAMS[year] in proven
    if "by hand" in proven:
        assert proven.startswith(f"{pl.read_csv(GOLDEN).filter(fiscal_year=year).height} stays")
