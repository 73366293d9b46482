"""Deductible, coinsurance and sequestration, by hand."""

import datetime

import polars as pl
import pytest

from drgsim.exceptions import MissingRateError, SchemaError
from drgsim.pricing.cost_sharing import settled_steps, with_beneficiary_share, with_sequestration
from drgsim.rates.payment_rates import Rates


@pytest.fixture(scope="module")
def rates() -> Rates:
    return Rates.load(2026)


def share(rates: Rates, **columns: object) -> tuple[float, float]:
    frame = pl.DataFrame({"total_usd": [50_000.0], "los_days": [5]}).with_columns(
        **{name: pl.lit(value) for name, value in columns.items()}
    )
    return with_beneficiary_share(frame, rates).select("deductible_usd", "coinsurance_usd").row(0)


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({}, (1736.0, 0.0)),
        ({"deductible_met": True}, (0.0, 0.0)),
        ({"los_days": 60}, (1736.0, 0.0)),
        ({"los_days": 61}, (1736.0, 434.0)),
        ({"los_days": 95, "reserve_days": 5}, (1736.0, 30 * 434.0 + 5 * 868.0)),
        ({"benefit_days_before": 58, "deductible_met": True}, (0.0, 3 * 434.0)),
        (
            {"benefit_days_before": 88, "deductible_met": True, "reserve_days": 3},
            (0.0, 2 * 434.0 + 3 * 868.0),
        ),
        ({"total_usd": 1000.0}, (1000.0, 0.0)),
        ({"total_usd": 2000.0, "los_days": 61}, (1736.0, 264.0)),
        ({"total_usd": 0.0}, (0.0, 0.0)),
        ({"medicare_advantage": True}, (0.0, 0.0)),
        ({"discharge_date": datetime.date(2025, 11, 1)}, (1676.0, 0.0)),
        ({"discharge_date": datetime.date(2026, 1, 1)}, (1736.0, 0.0)),
    ],
)
def test_beneficiary_share(rates, columns: dict, expected: tuple[float, float]) -> None:
    assert share(rates, **columns) == expected


def test_a_deductible_that_is_not_known(rates) -> None:
    with pytest.raises(MissingRateError, match="calendar year 2014"):
        share(rates, discharge_date=datetime.date(2014, 5, 1))
    with pytest.raises(MissingRateError, match=r"beneficiary\.deductible.*2027"):
        share(Rates.load(2027))
    assert share(Rates.load(2027).reformed({"beneficiary.deductible": 1800})) == (1800.0, 0.0)


def test_sequestration_comes_last(rates) -> None:
    paid = pl.DataFrame({"total_usd": [10_000.0, 0.0], "los_days": [5, 5]})
    assert settled_steps(paid) == ("pricer",)
    settled = with_sequestration(with_beneficiary_share(paid, rates), rates)
    assert settled_steps(settled) == ("pricer", "deductible", "coinsurance", "sequestration")
    assert settled["sequestration_usd"].to_list() == [-165.28, 0.0]
    assert settled["medicare_usd"].to_list() == [8098.72, 0.0]
    plan = with_sequestration(paid.with_columns(medicare_advantage=True), rates)
    assert plan["medicare_usd"].to_list() == [10_000.0, 0.0]


def test_what_is_missing_is_named(rates) -> None:
    with pytest.raises(SchemaError, match="total_usd"):
        with_sequestration(pl.DataFrame({"a": [1]}), rates)
