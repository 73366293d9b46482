"""Provider inputs: defaults, limits, and the published factors of two real hospitals."""

from pathlib import Path

import polars as pl
import pytest

from drgsim.exceptions import InputError, MissingRateError, SchemaError
from drgsim.pricing.hospital_factors import compute_hospital_factors
from drgsim.pricing.hospitals import complete_hospitals, derive_impact_factors, example_hospitals, limit_wage_index_fall
from drgsim.pricing.pricer import price
from drgsim.rates.payment_rates import Rates
from drgsim.schema import HOSPITALS


@pytest.fixture(scope="module")
def rates() -> Rates:
    return Rates.load(2026)


PUBLISHED = {
    "010001": {
        "ime_factor": "0.08384",
        "capital_ime_factor": "0.0516",
        "dsh_factor": "0.02635",
        "capital_dsh_factor": "0.05374",
        "gaf": "0.909182662",
    },
    "020001": {
        "ime_factor": "0.02943",
        "capital_ime_factor": "0.02133",
        "dsh_factor": "0.06521",
        "capital_dsh_factor": "0.09472",
        "gaf": "1.184054075",
    },
}
"""CMS IPPS FY2027 final rule, Impact File: TCHOP, TCHCP, DSHOPP, DSHCPP and GAF, as printed."""


@pytest.mark.parametrize("hospital", list(PUBLISHED))
def test_impact_file_factors_to_every_printed_digit(hospital: str) -> None:
    own = derive_impact_factors(example_hospitals(), Rates.load(2027)).filter(hospital_id=hospital).row(0, named=True)
    for name, printed in PUBLISHED[hospital].items():
        digits = 9 if name == "gaf" else 5
        assert f"{own[name]:.{digits}f}".rstrip("0") == printed, name


def test_published_factors_are_those_of_the_reference(shared: Path) -> None:
    path = shared / "payment" / "cms_impact_file_fy2027_2rows.csv"
    table = pl.read_csv(path, infer_schema=False)
    names = {"ime_factor": "TCHOP", "capital_ime_factor": "TCHCP", "dsh_factor": "DSHOPP"}
    names |= {"capital_dsh_factor": "DSHCPP", "gaf": "GAF"}
    for row in table.iter_rows(named=True):
        expected = PUBLISHED[row["Provider Number"]]
        assert {own: row[theirs] for own, theirs in names.items()} == expected


def test_example_hospitals_can_be_priced(rates) -> None:
    admissions = pl.DataFrame(
        {
            "drg": [470, 470],
            "hospital_id": ["010001", "020001"],
            "los_days": [3, 3],
            "covered_charges_usd": [6e4, 6e4],
            "discharge_status": [1, 1],
        }
    )
    paid = price(admissions, example_hospitals(), rates)
    assert paid["pay_code"].to_list() == [14, 14]
    assert (paid["ime_usd"] > 0).all()
    assert (paid["capital_dsh_usd"] > 0).all()  # the first is rural by payment, urban by place


def test_few_inputs_are_enough(rates) -> None:
    known = pl.DataFrame(
        {
            "hospital_id": ["A"],
            "wage_index": [1.05],
            "beds": [300],
            "resident_to_bed_ratio": [0.2],
            "operating_ccr": [0.25],
        }
    )
    full = complete_hospitals(known, rates)
    assert full.columns == list(HOSPITALS.names)
    row = full.row(0, named=True)
    assert row["capital_ime_ratio"] == 0.2
    assert row["vbp_factor"] is None
    assert (row["cola"], row["cbsa_size"], row["provider_type"], row["ccn_state"]) == (1.0, "O", "00", "00")
    assert row["geographic_urban"] is True


def test_the_ccn_tells_the_state(rates) -> None:
    known = pl.DataFrame(
        {"hospital_id": ["020001", "120022", "A1"], "wage_index": [1.1] * 3, "operating_ccr": [0.2] * 3}
    )
    known = known.with_columns(cola=1.25)
    assert complete_hospitals(known, rates)["ccn_state"].to_list() == ["02", "12", "00"]
    standard = compute_hospital_factors(complete_hospitals(known, rates), rates).standard6
    assert standard[0] == standard[1] > standard[2]


def test_wage_index_by_cbsa(rates, shared: Path) -> None:
    table = pl.read_csv(shared / "payment" / "cbsa_wage_index_fy2026.csv", infer_schema=False)
    plain = table.filter(pl.col("imputed_floor_wage_index").cast(pl.Float64) == 0)
    known = plain.select(hospital_id=pl.col("cbsa"), cbsa=pl.col("cbsa"), operating_ccr=pl.lit(0.2))
    expected = plain["geographic_wage_index"].cast(pl.Float64)
    assert complete_hospitals(known, rates)["wage_index"].to_list() == expected.to_list()


def test_a_reclassified_hospital_takes_the_other_index(rates) -> None:
    known = pl.DataFrame({"hospital_id": ["A", "B"], "cbsa": ["49660"] * 2, "operating_ccr": [0.2] * 2})
    mine = known.with_columns(reclassified=pl.Series([False, True]))
    assert complete_hospitals(mine, rates)["wage_index"].to_list() == [0.8393, 0.8203]


def test_a_given_wage_index_stands(rates) -> None:
    known = pl.DataFrame({"hospital_id": ["A"], "cbsa": ["01"], "wage_index": [0.9], "operating_ccr": [0.2]})
    assert complete_hospitals(known, rates)["wage_index"].item() == 0.9


def test_an_unknown_cbsa_leaves_no_wage_index(rates) -> None:
    known = pl.DataFrame({"hospital_id": ["A"], "cbsa": ["99999"], "operating_ccr": [0.2]})
    assert complete_hospitals(known, rates)["wage_index"].item() is None
    with pytest.raises(MissingRateError, match="no wage index table for fiscal year 2027"):
        complete_hospitals(known, Rates.load(2027))


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("wage_index", 0.0),
        ("wage_index", float("nan")),
        ("operating_ccr", -0.1),
        ("operating_ccr", 25.0),
        ("capital_ccr", -0.001),
        ("beds", -1),
        ("resident_to_bed_ratio", -0.2),
        ("ssi_ratio", 1.2),
        ("medicaid_ratio", -0.01),
        ("medicaid_ratio", 25.0),
        ("vbp_factor", 2.5),
        ("hrr_factor", 1.01),
        ("hrr_factor", float("nan")),
        ("low_volume_factor", 0.3),
        ("cola", 0.0),
        ("uncompensated_care_usd", -1.0),
        ("hospital_specific_rate_usd", 1e6),
        ("organ_acquisition_usd", 5.0),
        ("cbsa_size", "X"),
        ("provider_type", "XX"),
        ("provider_type", "123"),
        ("ccn_state", "HI"),
        ("ccn_state", "120"),
        ("ccn_state", "1A"),
    ],
)
def test_a_value_out_of_range_names_row_and_column(rates, column: str, value: object) -> None:
    good = pl.DataFrame({"hospital_id": ["A", "B"], "wage_index": [1.0, 1.0], "operating_ccr": [0.2, 0.2]})
    dtype = HOSPITALS[column].dtype
    fine = {
        "provider_type": "00",
        "ccn_state": "12",
        "cbsa_size": "O",
        "operating_ccr": 0.2,
        "wage_index": 1.0,
        "cola": 1.0,
        "hrr_factor": 1.0,
    }
    first = fine.get(column, 0.0 if dtype == pl.Float64 else 0)
    bad = good.with_columns(pl.Series(column, [first, value], dtype=dtype))
    named = "pass_through_usd" if column == "organ_acquisition_usd" else column
    with pytest.raises(SchemaError, match=f"hospitals, row 1: {named} is "):
        complete_hospitals(bad, rates)


def test_ids_are_unique(rates) -> None:
    twice = pl.DataFrame({"hospital_id": ["A", "A"], "wage_index": [1.0] * 2, "operating_ccr": [0.2] * 2})
    with pytest.raises(SchemaError, match="row 0: hospital_id is 'A'"):
        complete_hospitals(twice, rates)


def test_the_fall_of_a_wage_index_is_limited(rates) -> None:
    assert limit_wage_index_fall(0.80, 0.90, rates) == 0.855
    assert limit_wage_index_fall(0.89, 0.90, rates) == 0.89
    assert limit_wage_index_fall(0.9, 0.9011, rates) == 0.9
    with pytest.raises(InputError, match="positive"):
        limit_wage_index_fall(0.0, 0.9, rates)
