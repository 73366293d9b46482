"""Contracts of payers: exact beside `decimal`, by payer and date, and what they do not say."""

from __future__ import annotations

import datetime
from decimal import Decimal

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from drgsim import Rates, TableSet, generate, group, price, simulate
from drgsim.exceptions import InputError, SchemaError
from drgsim.miscoding.scenarios import Scenario
from drgsim.pricing.contracts import Contract
from drgsim.pricing.payer_pricing import CONTRACT_COMPONENTS
from drgsim.pricing.pricer import COMPONENTS
from drgsim.pricing.pricer_input import with_weights
from drgsim.schema import CONTRACT_PAID, PAID
from tests.support.decimal_contract import pay_one

RATES = Rates.load(2026)
TABLE5 = {
    drg: (Decimal(str(weight)), Decimal(str(gmlos)))
    for drg, weight, gmlos in RATES.weights.select("drg", "weight", "gmlos_days").iter_rows()
    if weight > 0
}
NONE = {"transfer": "none", "outlier": "none", "stop_loss": "none", "lesser_of": "none"}
HEAD = {
    "payer": "Acme",
    "title": "Acme 2026",
    "source": "exhibit B",
    "fiscal_year": 2026,
    "effective_from": datetime.date(2025, 10, 1),
    "effective_to": datetime.date(2026, 9, 30),
}
ALL = {"name": "all", "base_rate_usd": 11_250.0}


def made(*rules: dict, **terms: object) -> Contract:
    return Contract.model_validate({**HEAD, **NONE, "rules": list(rules) or [ALL], **terms})


# --- exact beside decimal --------------------------------------------------------------------------------

USD = st.integers(0, 9_999_999).map(lambda cents: cents / 100)
SHARE = st.integers(1, 9_999).map(lambda part: part / 10_000)
METHODS = st.one_of(
    st.fixed_dictionaries({"base_rate_usd": USD}),
    st.fixed_dictionaries({"case_rate_usd": USD}),
    st.fixed_dictionaries({"share_of_charges": SHARE}),
    st.fixed_dictionaries(
        {
            "per_diem": st.lists(USD, min_size=1, max_size=3).map(
                lambda usd: [{"from_day": 1 + 3 * i, "usd": one} for i, one in enumerate(usd)]
            ),
            "same_day_days": st.integers(0, 1),
        }
    ),
)
RULES = st.tuples(METHODS, METHODS, METHODS, USD).map(
    lambda made: [
        {"name": "hips by case", "case_rates_usd": {"469": made[3], "470": 21_500.5, "521-522": 18_000.0}},
        {"name": "implants", "codes": ["0SR.90J9", "j96.01"], "drgs": ["1-500"], **made[0]},
        {"name": "hearts", "drgs": [291, "216-221"], **made[1]},
        {"name": "others", **made[2]},
    ]
)
NAMES = st.sampled_from([{}, {"rules": ["others"]}, {"rules": ["hips by case", "implants"]}])


def term(**parts: object) -> st.SearchStrategy:
    given = st.fixed_dictionaries({k: v if isinstance(v, st.SearchStrategy) else st.just(v) for k, v in parts.items()})
    return st.one_of(st.just("none"), st.tuples(given, NAMES).map(lambda pair: {**pair[0], **pair[1]}))


OUTLIERS = st.one_of(
    term(basis="charges", threshold_usd=USD, above_payment=st.booleans(), share=SHARE),
    term(
        basis="cost",
        threshold_usd=USD,
        above_payment=st.booleans(),
        share=SHARE,
        cost_to_charge=st.one_of(SHARE, st.just("hospital")),
    ),
)
CONTRACTS = st.fixed_dictionaries(
    {
        "rules": RULES,
        "transfer": term(statuses=[2, 5, 66], extra_days=st.integers(0, 2)),
        "outlier": OUTLIERS,
        "stop_loss": term(kind=st.sampled_from(["first_dollar", "second_dollar"]), threshold_usd=USD, share=SHARE),
        "lesser_of": term(share_of_charges=SHARE),
    }
)
STAYS = st.fixed_dictionaries(
    {
        "drg": st.one_of(st.sampled_from([469, 470, 522, 291, 219, 999]), st.sampled_from(sorted(TABLE5))),
        "los_days": st.integers(0, 20),
        "charges": st.integers(0, 50_000_000).map(lambda cents: Decimal(cents) / 100),
        "discharge_status": st.sampled_from([1, 2, 3, 5, 66]),
        "pdx": st.sampled_from(["I5023", "J96.01", "K810"]),
        "procedures": st.sampled_from([[], ["0SR90J9"], ["0FT44ZZ"]]),
        "ccr": st.integers(1, 9_999).map(lambda part: Decimal(part) / 10_000),
    }
)


def frame_of(stays: list[dict]) -> tuple[pl.DataFrame, pl.DataFrame]:
    columns = ("drg", "los_days", "discharge_status", "pdx", "procedures")
    frame = pl.DataFrame(
        {
            **{name: [stay[name] for stay in stays] for name in columns},
            "hospital_id": [f"H{i}" for i in range(len(stays))],
            "covered_charges_usd": [float(stay["charges"]) for stay in stays],
            "sdx": [["I10"]] * len(stays),
        },
        schema_overrides={"procedures": pl.List(pl.String)},
    )
    return frame, frame.select("hospital_id", operating_ccr=pl.Series([float(stay["ccr"]) for stay in stays]))


@given(CONTRACTS, st.lists(STAYS, min_size=1, max_size=25))
@settings(max_examples=250, deadline=None)
def test_every_cent_is_that_of_decimal(values: dict, stays: list[dict]):
    frame, hospitals = frame_of(stays)
    paid = price(frame, hospitals, Contract.model_validate({**HEAD, **values}))
    for stay, row in zip(stays, paid.iter_rows(named=True), strict=True):
        codes = {stay["pdx"].replace(".", ""), "I10", *stay["procedures"]}
        expected = pay_one(values, {**stay, "codes": codes}, TABLE5)
        if expected is None:
            assert (row["total_usd"], row["pay_code"], row["contract_rule"]) == (0.0, 54, None)
            continue
        assert row["contract_rule"] == expected[0]
        found = [round(row[name] * 100) for name in CONTRACT_COMPONENTS]
        assert found == [int(part * 100) for part in expected[1:]], stay
        assert round(row["total_usd"] * 100) == sum(found)


@given(CONTRACTS, st.lists(STAYS, min_size=2, max_size=12), st.randoms())
@settings(max_examples=50, deadline=None)
def test_order_of_rows_changes_nothing(values: dict, stays: list[dict], random):
    frame, hospitals = frame_of(stays)
    contract = Contract.model_validate({**HEAD, **values})
    order = list(range(len(stays)))
    random.shuffle(order)
    assert_frame_equal(price(frame[order], hospitals, contract), price(frame, hospitals, contract)[order])


def test_own_weights_replace_table_5():
    contract = made(own_weights={"470": 2.5})
    paid = price(pl.DataFrame({"drg": [470]}), None, contract)
    assert paid.select("weight", "total_usd").row(0) == (2.5, 28_125.0)
    assert with_weights(pl.DataFrame({"drg": [470, 471]}), contract)["weight"].to_list() == [2.5, None]
    with pytest.raises(InputError, match="no weight for DRG 471"):
        price(pl.DataFrame({"drg": [471]}), None, contract)


ABOVE = {"threshold_usd": 200_000.0}


@pytest.mark.parametrize(
    ("terms", "stay", "parts"),
    [
        # 300,000 of charges: half of what exceeds 200,000.
        (
            {"stop_loss": {**ABOVE, "kind": "second_dollar", "share": 0.5}},
            {},
            (20_000, 0, 0, 50_000, 0),
        ),
        # First dollar: 60 % of all charges instead of the case rate.
        (
            {"stop_loss": {**ABOVE, "kind": "first_dollar", "share": 0.6}},
            {},
            (20_000, 0, 0, 160_000, 0),
        ),
        # At the threshold nothing changes.
        ({"stop_loss": {"kind": "first_dollar", "threshold_usd": 300_000.0, "share": 0.6}}, {}, (20_000, 0, 0, 0, 0)),
        # Cost 75,000, threshold 20,000 + 30,000: four fifths of 25,000.
        (
            {
                "outlier": {
                    "basis": "cost",
                    "threshold_usd": 30_000.0,
                    "above_payment": True,
                    "share": 0.8,
                    "cost_to_charge": 0.25,
                }
            },
            {},
            (20_000, 0, 20_000, 0, 0),
        ),
        ({"lesser_of": {"share_of_charges": 1.0}}, {"covered_charges_usd": 12_345.67}, (20_000, 0, 0, 0, -7_654.33)),
        # DRG 470: geometric mean stay 1.9 days; (1 + 0) of 1.9 days.
        ({"transfer": {"statuses": [2], "extra_days": 0}}, {"los_days": 1}, (20_000, -9_473.68, 0, 0, 0)),
    ],
)
def test_terms_by_hand(terms: dict, stay: dict, parts: tuple[float, ...]):
    known = {"drg": 470, "los_days": 5, "covered_charges_usd": 300_000.0, "discharge_status": 2, **stay}
    contract = made({"name": "all", "case_rate_usd": 20_000.0}, **terms)
    row = price(pl.DataFrame([known]), None, contract).row(0, named=True)
    assert tuple(row[name] for name in CONTRACT_COMPONENTS) == parts
    assert row["total_usd"] == pytest.approx(sum(parts))


# --- which payer -----------------------------------------------------------------------------------------

TABLES = TableSet.load("43.1")
HOSPITALS, ADMISSIONS = generate(400, seed=3, tables=TABLES)
GROUPED = group(ADMISSIONS, TABLES).with_columns(
    payer=pl.Series([["Acme", "Medicare", None, "Best Care"][i % 4] for i in range(400)])
)
ACME = made(
    {"name": "implants", "codes": ["0SR90J9", "02RF38Z", "5A1955Z", "J9601", "E43"], "share_of_charges": 0.4},
    {"name": "short", "drgs": ["1-299"], "per_diem": [{"from_day": 1, "usd": 3_100.0}], "same_day_days": 1},
    ALL,
    transfer={"statuses": [2, 5, 3], "extra_days": 1},
    outlier={
        "basis": "cost",
        "threshold_usd": 40_000.0,
        "above_payment": True,
        "share": 0.8,
        "cost_to_charge": "hospital",
    },
    stop_loss={"kind": "second_dollar", "threshold_usd": 250_000.0, "share": 0.35},
    lesser_of={"share_of_charges": 0.95},
)
BEST = made({"name": "cases", "case_rate_usd": 15_000.0}, payer="Best Care")
MIXED = [RATES, ACME, BEST]


def test_the_payer_chooses():
    paid = price(GROUPED, HOSPITALS, MIXED)
    payer = GROUPED["payer"].fill_null("Medicare")
    for name, terms in (("Acme", ACME), ("Best Care", BEST), ("Medicare", RATES)):
        own = price(GROUPED.filter(payer == name), HOSPITALS, terms)
        assert_frame_equal(paid.filter(payer == name).select(own.columns), own)
    parts = paid.select(pl.sum_horizontal(*COMPONENTS, *CONTRACT_COMPONENTS)).to_series()
    assert (parts - paid["total_usd"]).abs().max() < 1e-6
    assert paid.columns == [*GROUPED.columns, *PAID.names, *CONTRACT_PAID.names]
    assert paid.filter(payer == "Medicare")["contract_rule"].is_null().all()
    weights = with_weights(GROUPED, MIXED)["weight"]
    assert weights.equals(paid["weight"], null_equal=True)


def test_contracts_of_one_payer_follow_each_other():
    old = made(ALL, effective_to=datetime.date(2025, 12, 31))
    new = made({"name": "all", "base_rate_usd": 12_000.0}, effective_from=datetime.date(2026, 1, 1))
    days = [datetime.date(2025, 12, 31), datetime.date(2026, 1, 1)]
    stays = pl.DataFrame({"drg": [470, 470], "payer": ["ACME ", "acme"], "discharge_date": days})
    assert price(stays, None, [new, old])["total_usd"].to_list() == [21_700.13, 23_146.8]
    with pytest.raises(InputError, match=r"1 stays of Acme have no discharge_date in a contract.*row 1"):
        price(stays, None, [old])
    with pytest.raises(InputError, match="two contracts of Acme are in force on 2026-01-01"):
        price(stays, None, [made(ALL, effective_to=datetime.date(2026, 1, 1)), new])
    with pytest.raises(InputError, match="chosen by discharge_date"):
        price(stays.drop("discharge_date"), None, [old, new])


def test_what_is_not_said_is_an_error():
    stays = pl.DataFrame({"drg": [470, 291], "payer": ["Acme", "Acme"]})
    hips = made({"name": "hips", "case_rates_usd": {"470": 20_000.0}})
    with pytest.raises(InputError, match="does not say how it pays DRG 291"):
        price(stays, None, hips)
    with pytest.raises(InputError, match=r"1 stays have a payer without contract: 'acne'.*Did you mean 'acme'"):
        price(stays.with_columns(payer=pl.Series(["Acme", "Acne"])), None, [RATES, made()])
    with pytest.raises(InputError, match="column payer, which is missing"):
        price(stays.drop("payer"), None, [RATES, made()])
    with pytest.raises(SchemaError, match="covered_charges_usd"):
        price(stays, None, made({"name": "all", "share_of_charges": 0.5}))
    with pytest.raises(SchemaError, match="hospitals is None"):
        price(stays, None, RATES)


def test_unusable_stays_are_data():
    stays = pl.DataFrame(
        {"drg": [470] * 4 + [999], "los_days": [3, None, 3, 3, 3], "covered_charges_usd": [1e4, 1e4, None, -1.0, 1e4]}
    )
    rule = {"name": "all", "per_diem": [{"from_day": 1, "usd": 2_000.0}], "same_day_days": 1}
    paid = price(stays, None, made(rule, lesser_of={"share_of_charges": 1.0}))
    assert paid["pay_code"].to_list() == [0, 56, 58, 58, 54]
    assert paid["total_usd"].to_list() == [6_000.0, 0.0, 0.0, 0.0, 0.0]


# --- billed with errors ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hospitals", "terms"),
    [(HOSPITALS, MIXED), (HOSPITALS, ACME), (None, BEST), (None, [RATES, BEST])],
    ids=["mixed", "alone", "without hospitals", "by base rate"],
)
def test_billed_claims_are_priced_as_price_prices_them(hospitals: pl.DataFrame | None, terms: object):
    """Every bill of a simulation has the dollars that `group` and `price` give to its changed codes."""
    from drgsim.rebilling.baseline import Baseline
    from drgsim.rebilling.code_changes import ChangeKind, CodeChanges

    payer = GROUPED["payer"]
    if hospitals is None:
        payer = pl.Series("payer", ["Best Care", "Best Care" if terms is BEST else None] * 200)
    admissions = ADMISSIONS.with_columns(payer)
    baseline = Baseline.of(admissions, tables=TABLES, hospitals=hospitals, rates=terms)
    encoded, every = baseline.encoded, np.arange(400)

    def remove(name: str, row: int, place: int) -> list:
        values = admissions[name][row].to_list()
        return values[:place] + values[place + 1 :]

    bills, changes = [], []
    for kind, codes, start, owner, lists in (
        (ChangeKind.SDX, encoded.sdx, encoded.sdx_start, encoded.sdx_row, ("sdx", "sdx_poa")),
        (ChangeKind.PROCEDURE, encoded.procedures, encoded.procedure_start, encoded.procedure_row, ("procedures",)),
    ):
        places = np.arange(len(codes)) - start[owner]
        kinds, zero = np.full(len(codes), kind, np.uint8), np.zeros(len(codes), np.int64)
        changes.append(CodeChanges(owner, kinds, places, codes, zero))
        pairs = list(zip(owner.tolist(), places.tolist(), strict=True))
        bills.append(
            admissions[owner].with_columns(pl.Series(name, [remove(name, *pair) for pair in pairs]) for name in lists)
        )
    status = np.full(400, ChangeKind.DISCHARGE_STATUS, np.uint8)
    changes.append(CodeChanges(every, status, every * 0, encoded.discharge_status, np.full(400, 2)))
    bills.append(admissions.with_columns(discharge_status=pl.lit(2, pl.Int32)))
    joined = CodeChanges.join(changes)
    billed = baseline.rebill(joined, np.arange(len(joined) + 1)).cents
    bill = pl.concat(bills)
    if hospitals is None:
        mine = (bill["payer"] == "Best Care").fill_null(value=False).to_numpy()
        bill, billed, terms = bill.filter(mine), billed[mine], BEST
    found = price(group(bill, TABLES), hospitals, terms)["total_usd"].to_numpy()
    assert (billed == np.rint(found * 100)).all()
    assert (baseline.pricer.cents > 0).all()


def test_a_simulation_says_by_what_it_is_paid():
    admissions = ADMISSIONS.with_columns(GROUPED["payer"])
    result = simulate(
        admissions,
        Scenario.load("illustration"),
        tables=TABLES,
        hospitals=HOSPITALS,
        rates=MIXED,
        replicates=3,
        seed=1,
    )
    assert "IPPS components and contracts" in str(result)
    nothing = simulate(
        admissions, Scenario.load("empty"), tables=TABLES, hospitals=HOSPITALS, rates=MIXED, replicates=1, seed=1
    )
    assert nothing.baseline.cents / 100 == pytest.approx(price(GROUPED, HOSPITALS, MIXED)["total_usd"].sum())


# --- the file --------------------------------------------------------------------------------------------

TEXT = """
payer = "Acme"
title = "Acme 2026"
source = "exhibit B"
fiscal_year = 2026
effective_from = 2025-10-01
effective_to = 2026-09-30
transfer = "none"
outlier = "none"
lesser_of = "none"

[stop_loss]
kind = "second_dollar"
threshold_usd = 150000.0
share = 0.55

[[rules]]
name = "all"
base_rate_usd = 11250.0
"""


def test_a_file_is_the_contract(tmp_path):
    path = tmp_path / "acme.toml"
    path.write_text(TEXT)
    expected = made(ALL, stop_loss={"kind": "second_dollar", "threshold_usd": 150_000.0, "share": 0.55})
    assert Contract.load(path) == expected


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('transfer = "none"\n', "", "transfer: Field required"),
        ("share = 0.55", "share = 55", "stop_loss.StopLossTerms.share: Input should be less than or equal to 2"),
        ("base_rate_usd = 11250.0", "", r"rule 'all' has no method"),
        ("base_rate_usd = 11250.0", "base_rate_usd = 1.0\ncase_rate_usd = 1.0", "expected exactly one"),
        ("base_rate_usd = 11250.0", "base_rate = 1.0", "rules.0.base_rate: Extra inputs"),
        ("2026-09-30", "2024-09-30", "is before effective_from"),
        ('payer = "Acme"', 'payer = "medicare"', "which the rates price"),
        ("base_rate_usd = 11250.0", 'case_rate_usd = 1.0\ndrgs = ["9-3"]', "is no DRG and no range"),
        ("base_rate_usd = 11250.0", "per_diem = [{from_day = 1, usd = 9.0}]", "does not say same_day_days"),
        ("base_rate_usd = 11250.0", "same_day_days = 1\nper_diem = [{from_day = 2, usd = 9.0}]", "expected 1, then"),
        ("share = 0.55", 'share = 0.55\nrules = ["al"]', "no rule is called 'al'. Did you mean 'all'"),
        ("payer", "payer payer", "not a TOML file"),
    ],
)
def test_a_file_that_says_what_cannot_be(old: str, new: str, says: str):
    with pytest.raises(InputError, match=says):
        Contract.parse(TEXT.replace(old, new), "acme.toml")
