"""The bridge between two fiscal years: its ends are prices, its steps add up, and each does what it says."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from types import MappingProxyType

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from drgsim import Rates, TableSet, generate, group, price
from drgsim.exceptions import InputError, MissingRateError
from drgsim.rebilling.claim_conversion import convert_admissions
from drgsim.studies.fiscal_year_bridge import STEPS, PaymentBridge, _round_shares, payment_bridge

OLD, NEW = TableSet.load("43.1"), TableSet.load("44.0")
R25, R26 = Rates.load(2025), Rates.load(2026)
HOSPITALS, _MANY = generate(2_000, seed=1, tables=OLD)
# DRGs of hip and knee revisions, which 44.0 splits, and others.
_DRG = group(_MANY, OLD)["drg"]
_REVISIONS = _MANY.filter(_DRG.is_in([264, 466, 467, 468]))
GENERATED = pl.concat([_REVISIONS, _MANY.filter(~_DRG.is_in([264, 466, 467, 468])).head(150 - len(_REVISIONS))])
# Codes that end with 44.0: some stays get one as principal diagnosis, some as secondary.
ENDED = pl.int_range(pl.len()) % 10
CLAIMS = GENERATED.with_columns(
    pdx=pl.when(ENDED == 0).then(pl.lit("I420")).otherwise("pdx"),
    sdx=pl.when(ENDED == 1).then(pl.lit(["I420"], pl.List(pl.String))).otherwise("sdx"),
    sdx_poa=pl.when(ENDED == 1).then(pl.lit(["Y"], pl.List(pl.String))).otherwise("sdx_poa"),
)
LATER = HOSPITALS.with_columns(operating_ccr=(pl.col("operating_ccr") * 1.05).round(3))


@pytest.fixture(scope="module")
def bridge() -> PaymentBridge:
    return payment_bridge(CLAIMS, (OLD, R25), (NEW, R26), hospitals=HOSPITALS, hospitals_after=LATER)


def cents(values: pl.Series) -> np.ndarray:
    return np.rint(values.to_numpy() * 100).astype(np.int64)


def test_ends_are_prices_and_steps_add_up(bridge: PaymentBridge):
    converted, codes = convert_admissions(CLAIMS, "43.1", "44.0", choose="first")
    before = price(group(CLAIMS, OLD), HOSPITALS, R25)["total_usd"]
    after = price(group(converted, NEW), LATER, R26)["total_usd"]
    assert_frame_equal(bridge.codes, codes)
    assert (cents(bridge.stays["before_usd"]) == cents(before)).all()
    assert (cents(bridge.stays["after_usd"]) == cents(after)).all()
    path = sum(cents(bridge.stays[f"{step}_usd"]) for step in STEPS)
    assert (path == cents(after) - cents(before)).all()
    for name in ("path_usd", "shapley_usd"):
        assert cents(bridge.steps[name]).sum() == (cents(after) - cents(before)).sum()
    for by in ("drg", "mdc", "service_line"):
        table = bridge.by(by)
        assert cents(table["change_usd"]).sum() == (cents(after) - cents(before)).sum()
        assert table["stays"].sum() == 150
        for step in STEPS:
            assert cents(table[f"{step}_usd"]).sum() == cents(bridge.steps.filter(step=step)["path_usd"]).item()


PARAMETERS = {
    "amounts": ("operating.labor.", "operating.nonlabor.", "capital.federal_rate", "hospital_specific."),
    "outlier": ("outlier.",),
    "hospitals": ("adjustments.wage_index",),
}
TABLES_OF = {
    "hospitals": ("wage_index", "outmigration"),
    "policy": ("technologies", "technology_codes", "technology_rules", "covid_treatments"),
}


@pytest.fixture(scope="module")
def state() -> Callable[[frozenset[str]], np.ndarray]:
    """The payment of each stay with some steps of the later year, from `group` and `price` alone [cents]."""
    converted, codes = convert_admissions(CLAIMS, "43.1", "44.0", choose="first")
    ended = CLAIMS["admission_id"].is_in(codes["admission_id"].implode()).to_numpy()
    assert 20 <= ended.sum() <= 60
    grouped = {False: group(CLAIMS, OLD), True: group(converted, NEW)}

    @cache
    def price_state(chosen: frozenset[str], later: bool) -> np.ndarray:
        of = {step: R26 if step in chosen else R25 for step in STEPS}
        values = {}
        for name in {*R25.values, *R26.values}:
            step = next((step for step, starts in PARAMETERS.items() if name.startswith(starts)), "policy")
            if name in of[step].values:
                values[name] = of[step].values[name]
        table5 = of["weights"].weights
        if later != ("weights" in chosen):
            other = (R25 if "weights" in chosen else R26).weights
            extra = other.filter(~pl.col("drg").is_in(table5["drg"].implode()))
            table5 = pl.concat([table5, extra])
        rates = replace(
            of["amounts"],
            values=MappingProxyType(values),
            table5=table5,
            **{name: getattr(of[step], name) for step, names in TABLES_OF.items() for name in names},
        )
        return cents(price(grouped[later], LATER if "hospitals" in chosen else HOSPITALS, rates)["total_usd"])

    def find(chosen: frozenset[str]) -> np.ndarray:
        rated = chosen - {"codes", "grouper"}
        is_later = np.where(ended, "codes" in chosen, "grouper" in chosen)
        return np.where(is_later, price_state(rated, True), price_state(rated, False))

    return find


def test_each_step_is_the_price_with_that_part_of_the_later_year(bridge: PaymentBridge, state):
    for k, step in enumerate(STEPS):
        expected = state(frozenset(STEPS[: k + 1])) - state(frozenset(STEPS[:k]))
        assert (cents(bridge.stays[f"{step}_usd"]) == expected).all(), step
    steps = dict(bridge.steps.select("step", "path_usd").iter_rows())
    assert {step for step in STEPS if steps[step]} >= {"codes", "grouper", "weights", "amounts", "outlier"}, steps


def test_shapley_is_the_mean_over_orders(bridge: PaymentBridge, state):
    """Shapley (1953), over all subsets of the other steps."""
    for step, usd in bridge.steps.select("step", "shapley_usd").iter_rows():
        others = [other for other in STEPS if other != step]
        share = sum(
            math.factorial(k)
            * math.factorial(6 - k)
            * int((state(frozenset((*part, step))) - state(frozenset(part))).sum())
            for k in range(7)
            for part in itertools.combinations(others, k)
        )
        assert usd * 100 == pytest.approx(share / math.factorial(7), abs=1.0)


def test_order_of_rows_and_of_the_path_change_nothing_else(bridge: PaymentBridge):
    mixed = payment_bridge(
        CLAIMS.sample(fraction=1.0, shuffle=True, seed=3),
        (OLD, R25),
        (NEW, R26),
        hospitals=HOSPITALS.reverse(),
        hospitals_after=LATER.reverse(),
    )
    assert_frame_equal(mixed.steps, bridge.steps)
    assert_frame_equal(mixed.moves, bridge.moves)
    assert_frame_equal(mixed.stays.sort("admission_id"), bridge.stays.sort("admission_id"))
    other = payment_bridge(
        CLAIMS, (OLD, R25), (NEW, R26), hospitals=HOSPITALS, hospitals_after=LATER, order=STEPS[::-1]
    )
    assert other.order == STEPS[::-1]
    shapley = dict(bridge.steps.select("step", "shapley_usd").iter_rows())
    for step, usd in other.steps.select("step", "shapley_usd").iter_rows():
        assert usd == pytest.approx(shapley[step], abs=0.011)


def test_nothing_changes_between_a_year_and_itself():
    same = payment_bridge(GENERATED, (OLD, R26), (OLD, R26), hospitals=HOSPITALS)
    assert same.steps.select(pl.col("path_usd", "shapley_usd", "stays").abs().sum()).row(0) == (0.0, 0.0, 0)
    assert (same.moves.height, same.codes.height) == (0, 0)


def test_a_service_line_of_the_claims_is_used():
    lines = GENERATED.with_columns(service_line=pl.lit("Heart"))
    found = payment_bridge(lines, (OLD, R26), (OLD, R26), hospitals=HOSPITALS).by("service_line")
    assert found.select("service_line", "stays").rows() == [("Heart", 150)]


def test_what_a_year_lacks():
    values = MappingProxyType({k: v for k, v in R26.values.items() if k not in ("outlier.fixed_loss", "capital.e")})
    lacking = replace(R26, values=values)
    with pytest.raises(MissingRateError, match=r"fiscal year 2026 lacks capital\.e, outlier\.fixed_loss"):
        payment_bridge(GENERATED, (OLD, R25), (OLD, lacking), hospitals=HOSPITALS)
    given = {"outlier.fixed_loss": R26["outlier.fixed_loss"], "capital.e": R26["capital.e"]}
    filled = payment_bridge(GENERATED, (OLD, R25), (OLD, lacking), hospitals=HOSPITALS, changes=given)
    assert_frame_equal(filled.steps, payment_bridge(GENERATED, (OLD, R25), (OLD, R26), hospitals=HOSPITALS).steps)
    with pytest.raises(MissingRateError, match="fiscal year 2026 lacks Table 5"):
        payment_bridge(GENERATED, (OLD, R25), (OLD, replace(R26, table5=None)), hospitals=HOSPITALS)
    with pytest.raises(InputError, match="each of codes, grouper"):
        payment_bridge(GENERATED, (OLD, R25), (OLD, R26), hospitals=HOSPITALS, order=("codes",))
    with pytest.raises(InputError, match="expected version and fiscal year"):
        payment_bridge(GENERATED, "43.1", (OLD, R26), hospitals=HOSPITALS)
    with pytest.raises(InputError, match="expected one of drg, mdc, service_line"):
        payment_bridge(GENERATED, (OLD, R26), (OLD, R26), hospitals=HOSPITALS).by("ward")


@given(st.lists(st.integers(-(10**9), 10**9), min_size=6, max_size=6), st.integers(-(10**6), 10**6))
@settings(max_examples=200, deadline=None)
def test_rounded_shares_add_up(parts: list[int], total: int):
    unit = math.factorial(7)
    shares = [*parts, total * unit - sum(parts)]
    rounded = _round_shares(shares, unit)
    assert sum(rounded) == total
    assert all(abs(one - share / unit) < 1 for one, share in zip(rounded, shares, strict=True))
