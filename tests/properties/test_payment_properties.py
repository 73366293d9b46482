"""Invariants of a price, tried by Hypothesis: cents at every boundary, sums, monotony."""

import itertools
from decimal import ROUND_HALF_UP, Decimal, localcontext

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from drgsim.numerics import fixed_point as exact
from drgsim.pricing.pricer import COMPONENTS, PAY_CODES, price_stays
from drgsim.rates.parameters import find_limit
from drgsim.rates.payment_rates import Rates

RATES = {year: Rates.load(year) for year in (2021, 2024, 2025, 2026)}


def half_up(value: Decimal, places: int = 0) -> Decimal:
    return value.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)


# --------------------------------------------------------------------------------------- exact arithmetic


@given(st.integers(-(10**17), 10**17), st.integers(0, 12))
@example(5, 1)
@example(-5, 1)
@example(-15, 1)
@example(499_999, 6)
@example(500_000, 6)
@example(-500_000, 6)
def test_rounded_is_half_away_from_zero(value: int, drop: int) -> None:
    expected = int(half_up(Decimal(value).scaleb(-drop)))
    assert exact.round_digits(np.array([value]), drop)[0] == expected


LIMBS = st.sampled_from([(1, 1), (1, 3), (1, 4), (1, 5), (1, 8), (1, 9), (3, 4)])


@given(st.integers(0, 10**19), st.integers(0, 10**12), LIMBS, st.integers(1, 4), st.booleans())
@settings(max_examples=200)
def test_product_is_exact(a: int, b: int, limbs: tuple[int, int], more: int, at_half: bool) -> None:
    """With the promised bounds kept, and with the product moved onto a half where there is one."""
    count, digits = limbs
    a %= 2**62
    b = min(b, 2**62 // 10**digits // 2, 2**62 // max(a // 10 ** (count * digits), 1))
    drop = count * digits + more
    if at_half and b:  # make a * b end in 5000...: choose a so that the product meets a half
        b, a = 1, a - a % 10**drop + 5 * 10 ** (drop - 1)
        if a >= 2**62:
            a = 5 * 10 ** (drop - 1)
    expected = int(half_up(Decimal(a * b).scaleb(-drop)))
    assert exact.product(np.array([a]), np.array([b]), drop, limbs=count, digits=digits)[0] == expected


@given(st.integers(0, 10**17), st.integers(1, 10**8))
@example(5, 10)
@example(1, 2)
def test_quotient_is_half_up(a: int, b: int) -> None:
    with localcontext() as context:
        context.prec = 60
        expected = int(half_up(Decimal(a) / Decimal(b)))
    assert exact.quotient(np.array([a]), np.array([b]))[0] == expected


@given(st.integers(0, 10**13), st.integers(0, 11))
def test_scaled_reads_the_decimal_a_float_stands_for(value: int, digits: int) -> None:
    assert exact.to_fixed_point([float(Decimal(value).scaleb(-digits))], digits)[0] == value


@given(st.integers(1, 99_999))
def test_geographic_factor_is_exact(wage4: int) -> None:
    with localcontext() as context:
        context.prec = 60
        expected = int(half_up((Decimal(wage4) / 10**4) ** Decimal("0.6848") * 10**4))
    assert exact.power(np.array([wage4]), 4, 0.6848, 4)[0] == expected


@given(st.integers(0, 99_999))
def test_teaching_factor_is_exact(ratio4: int) -> None:
    with localcontext() as context:
        context.prec = 60
        raised = (1 + Decimal(ratio4) / 10**4) ** Decimal("0.405")
        expected = int(half_up(Decimal("1.35") * (raised - 1) * 10**9))
    found = exact.power(np.array([10_000 + ratio4]), 4, 0.405, 9, times=1.35, less=1)[0]
    assert found == expected


@given(st.integers(0, 20_000), st.sampled_from([(0.2025, 4), (0.2822, 9)]))
def test_capital_exponentials_are_exact(ratio4: int, kind: tuple[float, int]) -> None:
    slope, digits = kind
    with localcontext() as context:
        context.prec = 60
        raised = Decimal("2.7183") ** (Decimal(str(slope)) * ratio4 / 10**4)
        expected = int(half_up((raised - 1) * 10**digits))
    assert exact.exponential(2.7183, slope, np.array([ratio4]), 4, digits)[0] == expected


def test_powers_fall_back_where_floating_point_cannot_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    """With everything in doubt the decimal path answers, and answers the same."""
    wage4 = np.arange(5000, 20000, 7)
    ratio4 = np.arange(0, 15000, 11)
    plain = exact.power(wage4, 4, 0.6848, 4), exact.exponential(2.7183, 0.2822, ratio4, 4, 9)
    monkeypatch.setattr(exact, "DOUBT", 1.0)
    assert np.array_equal(exact.power(wage4, 4, 0.6848, 4), plain[0])
    assert np.array_equal(exact.exponential(2.7183, 0.2822, ratio4, 4, 9), plain[1])


# ------------------------------------------------------------------------------------------- whole prices


def decimals(low: str, high: str, places: int) -> st.SearchStrategy[Decimal]:
    unit = Decimal(1).scaleb(-places)
    steps = st.integers(int(Decimal(low) / unit), int(Decimal(high) / unit))
    return steps.map(lambda n: n * unit)


@st.composite
def stays(draw: st.DrawFn) -> dict:
    los = draw(st.integers(0, 60))
    technologies = draw(
        st.lists(
            st.tuples(decimals("10", "200000", 2), st.sampled_from([Decimal("0.65"), Decimal("0.75")])),
            max_size=3,
        )
    )
    return {
        "drg": draw(st.sampled_from([18, 470, 789, 871, 928, 935])),
        "weight": draw(decimals("0.2", "30", 4)),
        "gmlos_days": draw(decimals("0", "30", 1)),
        "post_acute": draw(st.booleans()),
        "special_pay": draw(st.booleans()),
        "los_days": los,
        "covered_charges_usd": draw(st.one_of(decimals("0", "200000", 2), decimals("0", "9999999.99", 2))),
        "review_code": draw(st.sampled_from([0, 3, 6, 7, 9, 11])),
        "covered_days": draw(st.one_of(st.none(), st.integers(min(los, 1), max(los, 1)))),
        "medicare_advantage": draw(st.booleans()),
        "covid": draw(st.booleans()),
        "no_cost_product": draw(st.booleans()),
        "ntap_max_usd": [most for most, _ in technologies],
        "ntap_share": [share for _, share in technologies],
        "wage_index": draw(st.one_of(decimals("0.5", "2.2", 4), st.just(Decimal("1.0000")))),
        "cbsa_size": draw(st.sampled_from("LOR")),
        "geographic_urban": draw(st.booleans()),
        "ccn_state": draw(st.sampled_from(["01", "02", "12", "33"])),
        "provider_type": draw(st.sampled_from(["00", "07", "08", "14", "15", "16", "17", "21", "22"])),
        "cola": draw(decimals("1", "1.25", 3)),
        "resident_to_bed_ratio": draw(decimals("0", "1.2", 4)),
        "beds": draw(st.sampled_from([25, 99, 100, 250, 499, 500, 900])),
        "operating_ccr": draw(decimals("0", "1.5", 3)),
        "capital_ccr": draw(decimals("0", "0.2", 3)),
        "ssi_ratio": draw(decimals("0", "0.4", 4)),
        "medicaid_ratio": draw(decimals("0", "0.7", 4)),
        "capital_ime_ratio": draw(decimals("0", "1.9", 4)),
        "quality_reported": True,
        "ehr_reduction": draw(st.booleans()),
        "vbp_factor": draw(st.one_of(st.none(), decimals("0.98", "1.03", 11), decimals("0.98", "1.03", 3))),
        "hrr_factor": draw(st.one_of(st.none(), decimals("0.97", "1", 4))),
        "hac_reduction": draw(st.booleans()),
        "uncompensated_care_usd": draw(decimals("0", "4000", 2)),
        "low_volume_factor": draw(st.one_of(st.just(Decimal(0)), decimals("0", "0.25", 6), st.just(Decimal("0.25")))),
        "hospital_specific_rate_usd": draw(decimals("0", "15000", 2)),
        "new_capital_hospital": draw(st.booleans()),
        "pass_through_usd": draw(decimals("200", "400", 2)),
        "organ_acquisition_usd": draw(decimals("0", "50", 2)),
        "direct_education_usd": draw(decimals("0", "100", 2)),
    }


def as_frame(rows: list[dict]) -> pl.DataFrame:
    def plain(value: object) -> object:
        if isinstance(value, list):
            return [float(one) for one in value]
        return float(value) if isinstance(value, Decimal) else value

    table = [{name: plain(value) for name, value in row.items()} for row in rows]
    lists = {"ntap_max_usd": pl.List(pl.Float64), "ntap_share": pl.List(pl.Float64), "covered_days": pl.Int32}
    factors = {"vbp_factor": pl.Float64, "hrr_factor": pl.Float64}
    return pl.DataFrame(table, schema_overrides={**lists, **factors})


@given(st.lists(stays(), min_size=1, max_size=8), st.sampled_from([2021, 2024, 2025, 2026]))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_components_equal_the_decimal_peer_and_add_up(decimal_pricer, rows: list[dict], year: int) -> None:
    """One draw serves both: drawing stays takes longer than pricing them."""
    paid = price_stays(as_frame(rows), RATES[year])
    for row, found in zip(rows, paid.iter_rows(named=True), strict=True):
        expected = decimal_pricer.price_one(row, RATES[year])
        for name, value in expected.items():
            assert found[name] == float(value), name
    assert_components_add_up(paid)


def assert_components_add_up(paid: pl.DataFrame) -> None:
    """Components add up to the cent, every amount is whole cents, and every code is known."""
    cents = sum((paid[name] * 100).round().cast(pl.Int64) for name in COMPONENTS)
    assert (cents == (paid["total_usd"] * 100).round().cast(pl.Int64)).all()
    for name in (*COMPONENTS, "total_usd"):
        values = paid[name].to_numpy()  # polars divides by way of the reciprocal, which is not the same
        assert np.array_equal(np.rint(values * 100) / 100, values), name
    plain = paid["pay_code"].map_elements(lambda code: code - 30 if 30 <= code < 50 else code, pl.Int64)
    assert set(plain) <= set(PAY_CODES)


ANY_FLOAT = st.one_of(st.none(), st.floats(), st.floats(-1e3, 1e9))


@given(
    st.lists(
        st.tuples(
            st.one_of(st.none(), st.integers(0, 65_535)),
            ANY_FLOAT,
            ANY_FLOAT,
            st.one_of(st.none(), st.integers(-(2**31), 2**31 - 1)),
            ANY_FLOAT,
            st.one_of(st.none(), st.integers(0, 255)),
            st.one_of(st.none(), st.integers(-(2**31), 2**31 - 1)),
            st.one_of(st.none(), st.lists(ANY_FLOAT, max_size=2)),
            st.one_of(st.none(), st.lists(st.one_of(ANY_FLOAT, st.floats(0, 1)), max_size=2)),
        ),
        min_size=1,
        max_size=10,
    )
)
@settings(max_examples=200, deadline=None)
def test_any_stay_is_a_row_with_dollars_and_a_code(rows: list[tuple]) -> None:
    names = ("drg", "weight", "gmlos_days", "los_days", "covered_charges_usd", "review_code", "covered_days")
    names += ("ntap_max_usd", "ntap_share")
    types = (pl.UInt16, pl.Float64, pl.Float64, pl.Int32, pl.Float64, pl.UInt8, pl.Int32)
    types += (pl.List(pl.Float64), pl.List(pl.Float64))
    frame = pl.DataFrame(rows, schema=dict(zip(names, types, strict=True)), orient="row")
    frame = frame.with_columns(post_acute=True, special_pay=False, wage_index=1.1, operating_ccr=0.3)
    paid = price_stays(frame, RATES[2026])
    assert paid.height == frame.height
    dollars = paid.select(*COMPONENTS, "total_usd")
    assert dollars.null_count().sum_horizontal().item() == 0
    assert not any(dollars[name].is_nan().any() or dollars[name].is_infinite().any() for name in dollars.columns)
    assert (paid.filter(pl.col("pay_code") >= 50)["total_usd"] == 0.0).all()
    assert dollars["new_technology_usd"].is_between(0, 9_999_999.99).all()
    assert dollars["total_usd"].is_between(0, 1e9).all()
    assert (paid["total_usd"] >= 0).all()


@given(stays(), decimals("0.01", "100000", 2))
@settings(max_examples=100, deadline=None)
def test_higher_charges_never_pay_less(row: dict, more: Decimal) -> None:
    row = {**row, "covered_days": None, "provider_type": "00"}
    higher = {**row, "covered_charges_usd": min(row["covered_charges_usd"] + more, Decimal("9999999.99"))}
    less, greater = price_stays(as_frame([row, higher]), RATES[2026])["total_usd"]
    # A technology add-on raises the outlier threshold by as much, and rounding may take a cent each.
    assert greater >= less - 0.05


EXTREMES = {
    "weight": ("99.9999", "0.0001"),
    "wage_index": ("9.9999", "0.0001"),
    "cola": ("1", "9.999"),
    "covered_charges_usd": ("99999999.99", "0.01", "0"),
    "operating_ccr": ("9.999", "0.001", "0"),
    "capital_ccr": ("9.999", "0"),
    "resident_to_bed_ratio": ("9.9999", "0"),
}
"""The ends of what may be priced: nothing overflows there, and no cent is lost."""


def highest(rates: Rates) -> Rates:
    """Every number as high as a reform may put it: the widest integers there are."""
    numbers = {name: value for name, value in rates.values.items() if not isinstance(value, bool | tuple)}
    limits = {name: find_limit(name, rates.parameters[name].unit).high for name in numbers}
    kept = ("adjustments.vbp_lowest", "adjustments.hrr_lowest", "outlier.fixed_loss")
    kept += tuple(name for name in numbers if name.startswith("hospital_specific.neutrality"))
    return rates.reformed({name: high for name, high in limits.items() if name not in kept})


@pytest.mark.parametrize(
    "rates",
    [
        RATES[2021],
        highest(RATES[2021]),
        highest(RATES[2021]).reformed({"outlier.fixed_loss": 0}),
        highest(RATES[2021]).reformed({"outlier.fixed_loss": 10_000_000}),
        RATES[2021].reformed({"outlier.fixed_loss": 10_000_000}),
    ],
    ids=["as published", "highest", "highest, no loss", "highest, no outliers", "no outliers"],
)
def test_the_ends_of_every_range_are_exact(decimal_pricer, rates: Rates) -> None:
    fixed = {
        **dict.fromkeys(("post_acute", "special_pay", "medicare_advantage", "covid", "no_cost_product"), True),
        **dict.fromkeys(("geographic_urban", "quality_reported", "ehr_reduction", "hac_reduction"), True),
        **dict.fromkeys(("ssi_ratio", "medicaid_ratio"), Decimal(1)),
        **dict.fromkeys(("organ_acquisition_usd", "direct_education_usd"), Decimal(0)),
        "new_capital_hospital": False,
        "drg": 928,
        "gmlos_days": Decimal("99.9"),
        "los_days": 50,
        "covered_days": None,
        "review_code": 9,
        "ntap_max_usd": [Decimal("9999999.99")],
        "ntap_share": [Decimal(1)],
        "cbsa_size": "O",
        "ccn_state": "02",
        "provider_type": "17",
        "beds": 900,
        "capital_ime_ratio": Decimal("9.9999"),
        "vbp_factor": Decimal(2),
        "hrr_factor": Decimal("0.97"),
        "uncompensated_care_usd": Decimal("9999999.99"),
        "low_volume_factor": Decimal("0.25"),
        "hospital_specific_rate_usd": Decimal("99999.99"),
        "pass_through_usd": Decimal("9999.99"),
    }
    choices = itertools.product(*EXTREMES.values())
    rows = [fixed | dict(zip(EXTREMES, map(Decimal, choice), strict=True)) for choice in choices]
    paid = price_stays(as_frame(rows), rates)
    for row, found in zip(rows, paid.iter_rows(named=True), strict=True):
        for name, value in decimal_pricer.price_one(row, rates).items():
            assert found[name] == float(value), (name, row)
