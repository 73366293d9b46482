"""Whole numbers that a column's type lacks: refused by row and column, or a row that says so; never a default."""

from __future__ import annotations

import datetime as dt

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drgsim import schema
from drgsim.exceptions import SchemaError
from drgsim.pricing import Rates, price, with_beneficiary_share
from drgsim.pricing.hospitals import example_hospitals
from drgsim.schema import Column, Frame, check_frame

RATES = Rates.load(2026)
FRAMES = (schema.ADMISSIONS, schema.GROUPED, schema.HOSPITALS, schema.STAYS, schema.PAID, schema.CLAIMS)
INTEGERS = [(frame, column) for frame in FRAMES for column in frame.columns if column.dtype.is_integer()]
NAMES = [f"{frame.name}.{column.name}" for frame, column in INTEGERS]
LIMITS = {pl.UInt8: (0, 255), pl.UInt16: (0, 65_535), pl.Int32: (-(2**31), 2**31 - 1), pl.UInt64: (0, 2**64 - 1)}
SIZES = {pl.Int64: (-(2**63), 2**63 - 1), pl.UInt64: (0, 2**64 - 1)}
REFUSED = {"hospitals.beds", "stays.covered_days", "stays.reserve_days", "stays.islet_isolations"}
"""Columns in which null means a default."""


def near_limits(low: int, high: int) -> st.SearchStrategy[int]:
    """Whole numbers of a type, the ends of smaller types among them."""
    ends = [sign * 2**bits + by for bits in (0, 7, 8, 15, 16, 31, 32, 40, 63) for sign in (1, -1) for by in (-1, 0, 1)]
    return st.integers(low, high) | st.sampled_from([end for end in ends if low <= end <= high])


@pytest.mark.parametrize(("frame", "column"), INTEGERS, ids=NAMES)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_number_stays_what_it_is_or_is_refused(frame: Frame, column: Column, data: st.DataObject):
    dtype = data.draw(st.sampled_from(list(SIZES)))
    value = data.draw(near_limits(*SIZES[dtype]))
    given_rows = pl.DataFrame({column.name: pl.Series([1, value, None], dtype=dtype)})
    low, high = LIMITS[type(column.dtype)]
    contract = Frame(frame.name, (column,))
    if low <= value <= high:
        assert check_frame(given_rows, contract)[column.name].to_list() == [1, value, None]
    elif f"{frame.name}.{column.name}" in REFUSED:
        with pytest.raises(
            SchemaError, match=rf"{frame.name}, row 1: {column.name} is outside {low} to {high} \(1 such"
        ):
            check_frame(given_rows, contract)
    else:
        assert check_frame(given_rows, contract)[column.name].to_list() == [1, None, None]


def test_every_column_in_which_null_is_a_default_is_refused():
    assert {name for name, (_, column) in zip(NAMES, INTEGERS, strict=True) if column.has_default} == REFUSED


ONE = {
    "drg": 470, "hospital_id": "010001", "los_days": 5, "covered_charges_usd": 40_000.0, "discharge_status": 1,
    "discharge_date": dt.date(2026, 1, 1),
}  # fmt: skip


def paid(**changes: object) -> pl.DataFrame:
    return price(
        pl.DataFrame({name: [value] for name, value in {**ONE, **changes}.items()}), example_hospitals(), RATES
    )


def test_the_stay_is_paid_without_changes():
    assert paid()["pay_code"].item() < 50
    assert paid()["total_usd"].item() > 5_000


@pytest.mark.parametrize("name", ["drg", "los_days", "discharge_status", "review_code"])
@given(value=near_limits(-(2**63), 2**63 - 1))
@settings(max_examples=60, deadline=None)
def test_a_number_beyond_its_type_is_not_paid(name: str, value: int):
    """Nothing is lost: the row is there, and its code says that it cannot be priced."""
    low, high = LIMITS[
        pl.Int32 if name in ("los_days", "discharge_status") else pl.UInt16 if name == "drg" else pl.UInt8
    ]
    if not low <= value <= high:
        row = paid(**{name: value})
        assert row["pay_code"].item() >= 50
        assert row["total_usd"].item() == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [("covered_days", 2**31), ("reserve_days", 2**40), ("islet_isolations", 300), ("islet_isolations", -1),
     ("covered_days", -(2**40)), ("reserve_days", -(2**31) - 1)],
)  # fmt: skip
def test_a_number_of_a_stay_that_would_become_a_default(name: str, value: int):
    with pytest.raises(SchemaError, match=rf"row 0: {name} is outside"):
        paid(**{name: value})


@pytest.mark.parametrize("beds", [2**31, 2**32 + 442, 2**62, -(2**31) - 1])
def test_beds_that_would_become_none(beds: int):
    hospitals = example_hospitals().with_columns(beds=pl.Series([100, beds], dtype=pl.Int64))
    with pytest.raises(
        SchemaError, match=r"hospitals, row 1: beds is outside -2147483648 to 2147483647 \(1 such rows\)"
    ):
        price(pl.DataFrame({name: [value] for name, value in ONE.items()}), hospitals, RATES)


@pytest.mark.parametrize("name", ["los_days", "covered_days", "reserve_days", "benefit_days_before"])
def test_days_of_cost_sharing_that_would_become_a_default(name: str):
    stay = {"total_usd": [9_000.0], "los_days": [70], name: [2**31 + 70]}
    with pytest.raises(SchemaError, match=rf"paid, row 0: {name} is outside"):
        with_beneficiary_share(pl.DataFrame(stay), RATES)


def test_whole_decimals_are_whole_numbers():
    """Spark has no unsigned numbers: ids of 64 bits are Decimal(20, 0) there, and in Parquet that it writes."""
    ids = pl.DataFrame({"admission_id": pl.Series(["0", str(2**64 - 1), None]).cast(pl.Decimal(20, 0))})
    contract = Frame("admissions", (schema.ADMISSIONS["admission_id"],))
    assert check_frame(ids, contract)["admission_id"].to_list() == [0, 2**64 - 1, None]
    with pytest.raises(SchemaError, match="admission_id is Decimal"):
        check_frame(ids.head(1).cast(pl.Decimal(20, 2)), contract)
