"""The pricer against CMS's own answers, and what it does with stays that cannot be priced."""

import datetime
import tracemalloc
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

import drgsim.pricing.pricer
from drgsim.exceptions import InputError, MissingRateError, SchemaError
from drgsim.pricing.pricer import COMPONENTS, PAY_CODES, price, price_stays
from drgsim.pricing.pricer_input import with_weights
from drgsim.rates.payment_rates import Rates
from drgsim.schema import PAID, STAYS

GOLDEN = Path(__file__).parents[1] / "golden"
CENT = 0.0049
"""Answers are printed decimals, ours the float64 nearest to one: less than half a cent is equal."""


def assert_equal(paid: pl.DataFrame, expected: pl.DataFrame, names: pl.Series) -> None:
    """Every expected column equals, to the cent; nine-decimal columns to the last decimal."""
    for name in expected.columns:
        nine = name.endswith(("threshold_usd", "_cost_usd"))
        off = (paid[name].cast(pl.Float64) - expected[name]).abs().fill_null(float("inf"))
        wrong = off > (2e-9 if nine else CENT if name.endswith("_usd") else 0)
        assert not wrong.any(), (
            f"{name} differs in {wrong.sum()} rows, first {names.filter(wrong)[0]}: "
            f"found {paid[name].filter(wrong)[0]}, expected {expected[name].filter(wrong)[0]}"
        )


def with_capital_total(paid: pl.DataFrame) -> pl.DataFrame:
    parts = [name for name in COMPONENTS if name.startswith("capital_")]
    return paid.with_columns(capital_total_usd=pl.sum_horizontal(parts))


@pytest.mark.parametrize(("file", "year"), [("pricer_named_cases_fy2026.csv", 2026), ("pricer_cases_fy2021.csv", 2021)])
def test_golden_cases(file: str, year: int) -> None:
    texts = dict.fromkeys(("ccn_state", "provider_type", "ntap_max_usd", "ntap_share"), pl.String)
    table = pl.read_csv(GOLDEN / file, schema_overrides=texts, infer_schema_length=None)
    lists = (pl.col(name).str.split(" ").cast(pl.List(pl.Float64)) for name in ("ntap_max_usd", "ntap_share"))
    stays = table.select(pl.exclude("^expected_.*$")).with_columns(*lists, pl.col("drg").cast(pl.UInt16))
    expected = table.select(
        pl.col("^expected_.*$").cast(pl.Float64).name.map(lambda name: name.removeprefix("expected_"))
    )
    paid = with_capital_total(price_stays(stays, Rates.load(year), informational=True))
    assert_equal(paid, expected, table["case"])


@pytest.mark.parametrize(
    ("file", "year", "rows"),
    [
        ("cms_fy2021_pricer_vectors.csv", 2021, 1500),
        ("cms_cobol_fy2026_constants_vectors.csv", 2026, 1500),
        ("cms_cobol_fy2026_named_examples.csv", 2026, 30),
    ],
)
def test_cms_program_to_the_cent(shared: Path, vectors, file: str, year: int, rows: int) -> None:
    stays, answers = vectors(shared / "payment" / file)
    paid = with_capital_total(price_stays(stays, Rates.load(year), informational=True))
    assert paid.height == rows
    assert_equal(paid, answers.drop("id"), answers["id"].cast(pl.String))


def test_decimal_peer_agrees_with_cms_program(shared: Path, vectors, decimal_pricer) -> None:
    stays, answers = vectors(shared / "payment" / "cms_fy2021_pricer_vectors.csv")
    rates = Rates.load(2021)
    rows = as_decimals(stays.head(300))
    totals = [float(decimal_pricer.price_one(row, rates)["total_usd"]) for row in rows]
    assert totals == answers["total_usd"].head(300).to_list()


def as_decimals(stays: pl.DataFrame) -> list[dict]:
    """Rows as the decimal peer takes them."""
    from decimal import Decimal

    def value(found):
        if isinstance(found, float):
            return Decimal(str(found))
        return [Decimal(str(one)) for one in found] if isinstance(found, list) else found

    full = stays.with_columns(geographic_urban=pl.col("cbsa_size") != "R")
    return [{name: value(found) for name, found in row.items()} for row in full.iter_rows(named=True)]


# ------------------------------------------------------------------------------------------------ frames


@pytest.fixture(scope="module")
def rates() -> Rates:
    return Rates.load(2026)


@pytest.fixture
def hospitals() -> pl.DataFrame:
    return pl.DataFrame(
        {"hospital_id": ["A", "B"], "wage_index": [1.2, 0.9], "operating_ccr": [0.25, 0.3], "beds": [250, 80]}
    )


def grouped(**columns: list) -> pl.DataFrame:
    rows = max((len(values) for values in columns.values()), default=1)
    plain = {
        "drg": [470],
        "hospital_id": ["A"],
        "los_days": [3],
        "covered_charges_usd": [60000.0],
        "discharge_status": [1],
    }
    return pl.DataFrame({**{name: value * rows for name, value in plain.items()}, **columns})


def test_input_passes_through_in_order(rates, hospitals) -> None:
    admissions = grouped(drg=[871, 470, 999, 470], note=["d", "a", "c", "b"])
    paid = price(admissions, hospitals, rates)
    assert paid.select(admissions.columns).equals(admissions)
    assert paid.columns[len(admissions.columns) :] == list(PAID.names)
    assert [paid.schema[name] for name in PAID.names] == [column.dtype for column in PAID.columns]


def test_pay_is_price_with_looked_up_inputs(rates, hospitals) -> None:
    admissions = grouped(drg=[871, 470, 481], los_days=[2, 3, 1], discharge_status=[3, 1, 3])
    review = pl.Series("review_code", [9, 0, 9], dtype=pl.UInt8)
    stays = admissions.with_columns(pl.col("drg").cast(pl.UInt16), review)
    stays = stays.join(rates.weights, on="drg", maintain_order="left")
    stays = stays.join(hospitals, on="hospital_id", maintain_order="left")
    mine, other = price(admissions, hospitals, rates), price_stays(stays, rates)
    assert mine.select(PAID.names).equals(other.select(PAID.names))
    assert mine["pay_code"].to_list() == [12, 14, 10]
    assert mine["review_code"].to_list() == [9, 0, 9]


@pytest.mark.parametrize(
    ("columns", "code"),
    [
        ({"hospital_id": ["nowhere"]}, 51),
        ({"hospital_id": [None]}, 51),
        ({"drg": [999]}, 54),
        ({"drg": [998]}, 54),
        ({"drg": [7777]}, 54),
        ({"drg": [None]}, 54),
        ({"los_days": [None]}, 56),
        ({"los_days": [-1]}, 56),
        ({"discharge_status": [None]}, 57),
        *(({"discharge_status": [status]}, 57) for status in (999, -5, 0, 8, 256, 2**31)),
        ({"review_code": [4]}, 57),
        ({"covered_charges_usd": [None]}, 58),
        ({"covered_charges_usd": [-0.01]}, 58),
        ({"covered_charges_usd": [float("nan")]}, 58),
        ({"covered_charges_usd": [float("inf")]}, 58),
        ({"covered_charges_usd": [1e300]}, 58),
        ({"reserve_days": [61], "covered_days": [90]}, 61),
        ({"covered_days": [0]}, 62),
        ({"covered_days": [-3]}, 62),
        ({"covered_days": [2], "reserve_days": [3]}, 62),
        ({"covered_charges_usd": [9e6], "covered_days": [2]}, 67),
    ],
)
def test_a_stay_that_cannot_be_priced_says_why(rates, hospitals, columns: dict, code: int) -> None:
    both = pl.concat([grouped(**columns), grouped(**columns).with_columns(drg=470)], how="vertical_relaxed")
    paid = price(both, hospitals, rates)
    assert paid["pay_code"][0] == code
    assert code in PAY_CODES
    assert all(paid[name][0] == 0.0 for name in (*COMPONENTS, "total_usd"))
    assert paid["transfer_fraction"][0] == 0.0
    assert paid.select(*COMPONENTS, "total_usd", "pay_code").null_count().sum_horizontal().item() == 0


@pytest.mark.parametrize(
    ("column", "value", "code"),
    [
        ("wage_index", None, 52),
        ("waiver", True, 53),
        ("hrr_factor", 0.96, 65),
        ("vbp_factor", 0.97, 68),
    ],
)
def test_a_hospital_that_cannot_be_priced_says_why(rates, hospitals, column, value, code) -> None:
    paid = price(grouped(), hospitals.with_columns(pl.lit(value).alias(column)), rates)
    assert (paid["pay_code"].item(), paid["total_usd"].item()) == (code, 0.0)


def test_value_based_purchasing_needs_quality_data(rates, hospitals) -> None:
    mine = hospitals.with_columns(vbp_factor=1.01, quality_reported=False)
    assert price(grouped(), mine, rates)["pay_code"].item() == 68


def test_puerto_rico_has_no_quality_programs(rates, hospitals) -> None:
    mine = hospitals.with_columns(ccn_state=pl.lit("40"))
    assert price(grouped(), mine.with_columns(hrr_factor=1.0), rates)["pay_code"].item() == 65
    assert price(grouped(), mine.with_columns(vbp_factor=1.0), rates)["pay_code"].item() == 68
    assert price(grouped(), mine.with_columns(hac_reduction=True), rates)["pay_code"].item() == 53


def test_days_of_stay_zero_count_as_one(rates, hospitals) -> None:
    paid = price(grouped(drg=[871, 871], los_days=[0, 1], discharge_status=[2, 2]), hospitals, rates)
    assert paid["total_usd"][0] == paid["total_usd"][1] > 0


def test_transfer_drgs_are_exempt_from_transfer_pay(rates, hospitals) -> None:
    exempt = grouped(drg=[789], los_days=[0], discharge_status=[2])
    long_mean = rates.with_table5(rates.weights.with_columns(gmlos_days=9.0))
    assert price(exempt, hospitals, long_mean)["transfer_fraction"].item() == 1.0


def test_null_ccr_pays_no_outlier(rates, hospitals) -> None:
    mine = hospitals.with_columns(operating_ccr=pl.lit(None, pl.Float64))
    paid = price(grouped(covered_charges_usd=[5e6]), mine, rates)
    assert paid["operating_outlier_usd"].item() == 0.0
    assert paid["pay_code"].item() == 44  # a higher ratio would have made it an outlier


def test_no_admissions(rates, hospitals) -> None:
    paid = price(grouped().clear(), hospitals, rates)
    assert paid.height == 0
    assert set(PAID.names) <= set(paid.columns)


def test_no_hospitals(rates, hospitals) -> None:
    with pytest.raises(SchemaError, match="hospitals have no row"):
        price(grouped(), hospitals.clear(), rates)


def test_missing_columns_are_named(rates, hospitals) -> None:
    with pytest.raises(SchemaError, match="los_days"):
        price(grouped().drop("los_days"), hospitals, rates)
    with pytest.raises(SchemaError, match="discharge_status"):
        price(grouped().drop("discharge_status"), hospitals, rates)
    with pytest.raises(SchemaError, match="weight"):
        price_stays(pl.DataFrame({"drg": [470]}), rates)


def test_zero_weight_pays_nothing(rates, hospitals) -> None:
    free = rates.with_table5(rates.weights.with_columns(weight=0.0))
    paid = price(grouped(), hospitals, free)
    assert paid.select("weight", "total_usd", "pay_code").row(0) == (None, 0.0, 54)


# ------------------------------------------------------------------------------------------- fiscal years


def test_rates_by_discharge_date(hospitals) -> None:
    dates = [datetime.date(2024, 9, 30), datetime.date(2024, 10, 1), datetime.date(2026, 1, 1), None]
    admissions = grouped(discharge_date=dates)
    years = [Rates.load(year) for year in (2024, 2025, 2026)]
    paid = price(admissions, hospitals, years)
    alone = [price(grouped(), hospitals, one)["total_usd"].item() for one in years]
    assert paid["total_usd"].to_list() == [*alone, 0.0]
    assert paid["pay_code"].to_list()[3] == 55
    weights = with_weights(admissions, years)["weight"].to_list()
    assert weights == [*(one.weights.filter(drg=470)["weight"].item() for one in years), None]


def test_one_rates_holds_for_every_date(rates, hospitals) -> None:
    admissions = grouped(discharge_date=[datetime.date(2019, 1, 1)])
    assert price(admissions, hospitals, rates)["pay_code"].item() == 14


def test_several_rates_need_dates_and_different_years(rates, hospitals) -> None:
    with pytest.raises(InputError, match="discharge_date"):
        price(grouped(), hospitals, [rates])
    with pytest.raises(InputError, match="different fiscal years"):
        price(grouped(discharge_date=[datetime.date(2026, 1, 1)]), hospitals, [rates, rates])


def test_a_year_without_table5_or_threshold_says_so(hospitals) -> None:
    coming = Rates.load(2027)
    with pytest.raises(MissingRateError, match=r"Table 5.*2027.*with_table5"):
        price(grouped(), hospitals, replace(coming, table5=None))
    with pytest.raises(MissingRateError, match="Table 5"):
        with_weights(grouped(), replace(coming, table5=None))
    with pytest.raises(MissingRateError, match=r"outlier\.fixed_loss.*2027 .*proposed rule has 51,704.*reformed"):
        price(grouped(), hospitals, coming)
    complete = coming.reformed({"outlier.fixed_loss": 51704})
    assert price(grouped(), hospitals, complete)["total_usd"].item() > 0


def test_unknown_updates_are_an_error_only_where_they_are_needed(hospitals) -> None:
    complete = Rates.load(2027).with_table5(Rates.load(2026).weights).reformed({"outlier.fixed_loss": 51704})
    sole = hospitals.with_columns(provider_type=pl.lit("16"))
    assert price(grouped(), sole, complete)["total_usd"].item() > 0
    with pytest.raises(MissingRateError, match="neutrality"):
        price(grouped(), sole.with_columns(hospital_specific_rate_usd=9000.0), complete)


def test_with_weights_only() -> None:
    rates = Rates.load(2025)
    weighted = with_weights(pl.DataFrame({"drg": [470, 998, 999, None, 5000]}), rates)
    assert weighted.columns == ["drg", "weight", "gmlos_days", "amlos_days"]
    weight = rates.weights.filter(drg=470)["weight"].item()
    assert weighted["weight"].to_list() == [weight, None, None, None, None]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s, h, r: price(s.lazy(), h, r), r"admissions must be .* found LazyFrame; call \.collect"),
        (lambda s, h, r: price(s.to_dict(as_series=False), h, r), "found dict"),
        (lambda s, h, r: price(s, h.lazy(), r), r"hospitals must be .* found LazyFrame"),
        (lambda s, h, r: price(s, h, 2026), "found 2026. Such as Rates"),
        (lambda s, h, r: price(s, h, [2026]), "found .2026.. Such as Rates"),
        (lambda s, h, r: price(s, h, None), "found None"),
        (
            lambda s, h, r: price(s.with_columns(discharge_date=pl.lit("2026-01-01")), h, [r]),
            "discharge_date is String",
        ),
        (lambda s, h, r: with_weights(s, 2026), "found 2026"),
        (lambda s, h, r: with_weights(s.lazy(), r), "found LazyFrame"),
        (lambda s, h, r: price_stays(s.join(h, on="hospital_id").lazy(), r), "found LazyFrame"),
        (lambda s, h, r: price(s, h, r, threads=-1), "threads is -1"),
        (lambda s, h, r: price(s, h, r, threads=0), "threads is 0"),
        (lambda s, h, r: price(s, h, r, threads="2"), "threads is '2'"),
    ],
)
def test_a_wrong_argument_says_what_was_found(rates, hospitals, call, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call(grouped(), hospitals, rates)


def test_price_takes_one_rates(rates) -> None:
    names = [column.name for column in STAYS.columns if column.required]
    stay = dict(zip(names, (470, 1.9289, 1.9, True, False, 3, 60000.0, 0), strict=True))
    frame = pl.DataFrame({name: [value] for name, value in stay.items()}).with_columns(operating_ccr=0.3)
    with pytest.raises(InputError, match="price_stays takes one Rates, found list"):
        price_stays(frame, [rates])  # type: ignore[arg-type]


def test_the_weight_is_that_of_table5(rates, hospitals) -> None:
    assert price(grouped(weight=[5.0], gmlos_days=[9.0]), hospitals, rates)["weight"].item() == 1.9289


# ------------------------------------------------------------------------------- what the codes say


def test_new_technologies_by_their_codes(rates, hospitals) -> None:
    group = rates.technology_codes
    assert group is not None
    assert rates.technologies is not None

    def codes(name: str) -> list[str]:
        return group.filter(pl.col("code_group") == name)["code"].to_list()

    first, second = codes("ZEVTERA1.procedure")[0], codes("RECELL1.procedure")[0]
    graft = codes("RECELL2.procedure")[0]
    admissions = grouped(
        covered_charges_usd=[4e5] * 6,
        procedures=[[first], [f" {first.lower()}"], [second, graft], [second, graft], ["0SRC0J9"], None],
        pdx=["A419", "A419", "S31.000A", "A419", "A419", "A419"],
        sdx=[["R78.81", "b9561"], [], [], [], [], None],
    )
    most = dict(rates.technologies.select("technology", "max_usd").iter_rows())
    paid = price(admissions, hospitals, rates)["new_technology_usd"].to_list()
    assert paid == [most["ZEVTERAH"], most["ZEVTERAL"], most["RECELL"], 0.0, 0.0, 0.0]


def test_covid_and_trials_by_their_codes(hospitals) -> None:
    rates = Rates.load(2021)
    admissions = grouped(
        drg=[871, 871, 871, 18, 18, 18],
        pdx=["U07.1", "A419", "U071", "C8330", "C8330", "C8330"],
        sdx=[[], ["u071"], [], ["Z00.6"], ["Z006"], []],
        condition_codes=[None, [], ["ZA"], [], ["ZC"], ["ZB"]],
    )
    paid = price(admissions, hospitals, rates)["operating_federal_usd"].to_list()
    plain = price(grouped(drg=[871, 18]), hospitals, rates)["operating_federal_usd"].to_list()
    factors = [1.2, 1.2, 1.0, 0.17, 1.0, 0.17]
    assert paid == pytest.approx([f * plain[i // 3] for i, f in enumerate(factors)], abs=0.01)
    after = price(admissions, hospitals, Rates.load(2024))["operating_federal_usd"].to_list()
    assert after[0] == after[2]  # the factor ended with the public health emergency
    assert after[5] == pytest.approx(0.27 * after[4], abs=0.01)


@pytest.mark.parametrize(
    ("most", "share"),
    [
        ([1.0, 2.0], [0.65]),
        (None, [0.65]),
        ([1.0], None),
        ([float("nan")], [0.65]),
        ([float("inf")], [0.65]),
        ([-1.0], [0.65]),
        ([1e15], [0.65]),
        ([9e6, 9e6], [0.65, 0.65]),
        ([None], [0.65]),
        ([1.0], [None]),
        ([1.0], [1.01]),
        ([1.0], [-0.01]),
        ([1.0], [float("nan")]),
    ],
)
def test_technology_amounts_that_cannot_be_pay_nothing(rates, hospitals, most, share) -> None:
    fine = [5000.0], [0.65]
    admissions = grouped(covered_charges_usd=[4e5] * 3).with_columns(
        pl.Series("ntap_max_usd", [fine[0], most, fine[0]], dtype=pl.List(pl.Float64)),
        pl.Series("ntap_share", [fine[1], share, fine[1]], dtype=pl.List(pl.Float64)),
    )
    paid = price(admissions, hospitals, rates)
    assert paid.select("pay_code", "total_usd", "new_technology_usd").row(1) == (69, 0.0, 0.0)
    assert paid["new_technology_usd"][0] == paid["new_technology_usd"][2] == 5000.0


def test_technology_amounts_come_with_their_shares(rates, hospitals) -> None:
    with pytest.raises(SchemaError, match="ntap_max_usd without its twin"):
        price(grouped(ntap_max_usd=[[1.0]]), hospitals, rates)


# ------------------------------------------------------------------------------------------- invariance


def test_threads_chunks_and_batches_change_nothing(shared: Path, vectors, monkeypatch) -> None:
    stays, _ = vectors(shared / "payment" / "cms_fy2021_pricer_vectors.csv")
    rates = Rates.load(2021)
    whole = price_stays(stays, rates, threads=1)
    assert price_stays(stays, rates, threads=2).equals(whole)
    monkeypatch.setattr(drgsim.pricing.pricer, "CHUNK", 97)
    assert price_stays(stays, rates, threads=3).equals(whole)
    parts = pl.concat([price_stays(stays[:700], rates), price_stays(stays[700:], rates)])
    assert parts.equals(whole)
    turned = price_stays(stays.reverse(), rates)
    assert turned.reverse().equals(whole)


def test_equal_stays_are_paid_equally_wherever_they_stand(rates) -> None:
    names = [column.name for column in STAYS.columns if column.required]
    stay = dict(zip(names, (470, 1.9289, 1.9, True, False, 3, 60000.0, 0), strict=True))
    at = {"wage_index": 1.2, "operating_ccr": 0.25, "cola": 1.25, "vbp_factor": 1.01, "hrr_factor": 0.99}
    one = pl.DataFrame({name: [value] for name, value in {**stay, **at, "hac_reduction": True}.items()})
    rows = 410_100  # row numbers above 400,000 would look like CCNs of a state outside the programs
    many = one.select(pl.all().repeat_by(rows).explode())
    paid = price_stays(many, rates).select("total_usd", "pay_code").unique()
    assert paid.rows() == price_stays(one, rates).select("total_usd", "pay_code").rows()


def test_columns_of_stays_need_not_be_canonical(rates) -> None:
    names = [column.name for column in STAYS.columns if column.required]
    stay = dict(zip(names, (470, 1.9289, 1.9, True, False, 3, 60000, 0), strict=True))
    frame = pl.DataFrame({name: [value] for name, value in stay.items()})
    assert price_stays(frame.with_columns(wage_index=1.2, operating_ccr=0.25), rates)["total_usd"].item() == 15889.92


def test_memory_is_linear_and_under_a_kibibyte_a_stay(rates, hospitals) -> None:
    def peak(rows: int) -> float:
        admissions = grouped(drg=[871, 470] * (rows // 2), covered_charges_usd=[6e4, 9e5] * (rows // 2))
        tracemalloc.start()
        try:
            price(admissions, hospitals, rates, threads=1)
            return tracemalloc.get_traced_memory()[1] / rows
        finally:
            tracemalloc.stop()

    small, large = peak(100_000), peak(400_000)
    assert large <= small  # what does not grow with the rows weighs less
    assert large < 1024 * 0.6  # polars' own columns are not traced: they are the input and 60 bytes beside it
