"""The worklist: one row an account, both directions, dollars to the cent, no accusation."""

from __future__ import annotations

import datetime as dt

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from drgsim import InputError, Rates, TableSet, generate, group, price
from drgsim.review import worklist, worklist_rules

TABLES, RATES = TableSet.load("43.1"), Rates.load(2026)
CASE = {
    "admission_id": [1],
    "age": [74],
    "sex": ["F"],
    "discharge_status": [1],
    "pdx": ["J18.9"],
    "sdx": [["I10"]],
    "sdx_poa": [["Y"]],
    "procedures": [[]],
}
GIVEN = {"tables": TABLES, "rates": RATES}


def list_case(**changed: object) -> dict[str, object]:
    claims = pl.DataFrame({**CASE, **changed}, schema_overrides={"procedures": pl.List(pl.String)})
    return worklist(claims, **GIVEN).row(0, named=True)


@pytest.fixture(scope="module")
def stays() -> tuple[pl.DataFrame, pl.DataFrame]:
    hospitals, claims = generate(1_500, seed=4, tables=TABLES)
    return hospitals, claims.with_columns(account=pl.format("A{}", "admission_id"))


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"sdx": [["I10", "I26.99"]], "sdx_poa": [["Y", "Y"]]}, ("single_mcc", "at risk", "I2699", None)),
        ({"sdx": [["I10", "E43"]], "sdx_poa": [["Y", "Y"]]}, ("often_questioned", "at risk", "E43", None)),
        ({"sdx": [["B9561"]]}, ("organism_without_sepsis", "not captured", "B9561", "A419")),
        ({"sdx": [["R634"]]}, ("low_bmi_without_malnutrition", "not captured", "R634", "E440")),
    ],
)
def test_each_rule_finds_its_case(changed: dict[str, object], expected: tuple[object, ...]):
    row = list_case(**changed)
    assert (row["rule"], row["direction"], row["look_at"], row["code_then"]) == expected
    assert row["look_at_title"]
    assert (row["usd_change"] > 0) == (row["direction"] == "not captured")


def test_an_unspecified_code_asks_for_a_specific_one():
    row = list_case(sdx=[["I50.9"]])
    assert (row["rule"], row["look_at"], row["direction"]) == ("unspecified", "I509", "not captured")
    assert row["code_then"].startswith("I50")


def test_poa_missing_on_a_code_of_a_hospital_acquired_condition():
    # L89.153 (pressure ulcer, stage 3) is a code of HAC 04; without its POA the claim cannot be grouped.
    row = list_case(sdx=[["L89.153"]], sdx_poa=[[""]])
    assert (row["rule"], row["look_at"], row["drg"]) == ("poa_missing", "L89153", 999)
    assert row["direction"] == "not captured"


def test_dollars_are_those_of_price(stays: tuple[pl.DataFrame, pl.DataFrame]):
    hospitals, claims = stays
    found = worklist(claims, **GIVEN, hospitals=hospitals, most=None).sort("admission_id")
    paid = price(group(claims, TABLES), hospitals, RATES).select("admission_id", "total_usd")
    joined = found.join(paid, on="admission_id", how="left", maintain_order="left")
    assert joined["usd"].to_list() == joined["total_usd"].to_list()
    removed = found.filter(pl.col("rule").is_in(["single_mcc", "single_cc", "often_questioned"]))
    again = claims.join(removed.select("admission_id", "look_at"), on="admission_id", maintain_order="right")
    place = pl.Series([codes.index(code) for codes, code in again.select("sdx", "look_at").rows()])
    for name in ("sdx", "sdx_poa"):
        lists = [[*v[:at], *v[at + 1 :]] for v, at in zip(again[name].to_list(), place, strict=True)]
        again = again.with_columns(pl.Series(name, lists, dtype=pl.List(pl.String)))
    without = price(group(again, TABLES), hospitals, RATES)
    assert removed.height > 100
    assert removed["usd_then"].to_list() == without["total_usd"].to_list()
    assert removed["drg_then"].to_list() == without["drg"].to_list()


def test_accounts_are_ranked_and_come_once(stays: tuple[pl.DataFrame, pl.DataFrame]):
    hospitals, claims = stays
    found = worklist(claims, **GIVEN, hospitals=hospitals)
    assert found.height == 50
    assert found["expected_usd"].is_sorted(descending=True)
    assert found["admission_id"].is_unique().all()
    assert set(found["direction"]) == {"at risk", "not captured"}
    assert found["account"].to_list() == [f"A{key}" for key in found["admission_id"]]
    assert "other_principal" not in found["rule"]
    mixed = worklist(claims.sample(fraction=1, shuffle=True, seed=3), **GIVEN, hospitals=hospitals)
    assert_frame_equal(found, mixed)


def test_other_principal_diagnoses_only_when_asked(stays: tuple[pl.DataFrame, pl.DataFrame]):
    found = worklist(stays[1], **GIVEN, principal=True, most=None, probabilities={"other_principal": 1.0})
    swapped = found.filter(pl.col("rule") == "other_principal")
    assert swapped.height > 100
    assert (swapped["look_at"] == swapped["code_then"]).all()


def test_no_word_of_it_says_fraud(stays: tuple[pl.DataFrame, pl.DataFrame]):
    texts = [*worklist(stays[1], **GIVEN).columns, *worklist_rules(TABLES)["why"], worklist.__doc__ or ""]
    assert not [text for text in texts if "fraud" in text.lower() or "abuse" in text.lower()]


def test_versions_follow_discharge_dates():
    rows = [{**CASE, "admission_id": [n], "sdx": [["I10", "J96.01"]], "sdx_poa": [["Y", "Y"]]} for n in (1, 2)]
    dates = pl.Series("discharge_date", [dt.date(2026, 5, 1), dt.date(2025, 11, 1)])
    claims = pl.concat([pl.DataFrame(row, schema_overrides={"procedures": pl.List(pl.String)}) for row in rows])
    found = worklist(claims.with_columns(dates), rates=RATES)
    assert sorted(found["admission_id"]) == [1, 2]


def test_what_cannot_be_used_is_refused():
    claims = pl.DataFrame(CASE, schema_overrides={"procedures": pl.List(pl.String)})
    with pytest.raises(InputError, match="no rule of the worklist is called 'singel_mcc'"):
        worklist(claims, **GIVEN, probabilities={"singel_mcc": 0.1})
    with pytest.raises(InputError, match="expected a number from 0 to 1"):
        worklist(claims, **GIVEN, probabilities={"single_mcc": 2})
    with pytest.raises(InputError, match="most is 0"):
        worklist(claims, **GIVEN, most=0)
    with pytest.raises(InputError, match="chosen by discharge_date"):
        worklist(claims, rates=RATES)
