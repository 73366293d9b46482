"""FY2022, FY2023 and FY2027, for which no program of CMS could be run, against cases worked by hand.

The expected amounts come from `tests/support/hand_pricer.py`, which follows the rule in `decimal` with its own
constants and agrees with CMS's FY2021 program. `tests/golden/pricer_cases_by_hand.csv` holds them for people to read.
"""

from pathlib import Path

import polars as pl
import pytest

from drgsim.pricing.pricer import COMPONENTS, price_stays
from drgsim.rates.payment_rates import Rates
from tests.support.hand_pricer import CASE, price_by_hand

GOLDEN = Path(__file__).parents[1] / "golden" / "pricer_cases_by_hand.csv"

# DRG, weight, GMLOS, post-acute, special pay: Table 5 of each year, read from its text.
DRGS = {
    2022: {
        470: (470, "1.9003", "1.8", True, False),
        479: (479, "1.8095", "3.3", True, True),
        481: (481, "2.0961", "4.3", True, True),
        871: (871, "1.8722", "4.8", True, False),
        789: (789, "1.7200", "1.8", False, False),
        927: (927, "21.0913", "26.0", False, False),
        18: (18, "37.4501", "15.6", False, False),
        207: (207, "5.7361", "11.9", True, False),
    },
    2023: {
        470: (470, "1.9119", "1.7", True, False),
        479: (479, "1.7684", "3.2", True, True),
        481: (481, "2.1124", "4.4", True, True),
        871: (871, "1.9572", "5.0", True, False),
        789: (789, "1.8258", "1.8", False, False),
        927: (927, "18.9822", "23.3", False, False),
        18: (18, "36.1452", "14.7", False, False),
        207: (207, "6.5659", "13.8", True, False),
    },
    2027: {
        470: (470, "1.9563", "2.0", True, False),
        479: (479, "1.8542", "3.3", True, True),
        481: (481, "2.1265", "4.3", True, True),
        871: (871, "1.932", "4.8", True, False),
        789: (789, "1.8238", "1.8", False, False),
        927: (927, "27.846", "28.7", False, False),
        18: (18, "45.1464", "11.4", False, False),
        207: (207, "6.3977", "12.3", True, False),
    },
}

TEACHING = {
    "residents": "0.35",
    "capital_residents": "0.31",
    "ssi": "0.08",
    "medicaid": "0.24",
    "beds": 450,
    "ucp": "700",
}
CASES: dict[str, tuple[int, dict[str, object]]] = {
    "plain, wage index above 1": (470, {}),
    "plain, wage index up to 1, no quality data": (470, {"wage_index": "0.8731", "quality": False}),
    "EHR reduction, Alaska": (871, {"ehr_cut": True, "state": "02", "cola": "1.25", "wage_index": "1.2253"}),
    "neither quality data nor EHR": (871, {"quality": False, "ehr_cut": True, "wage_index": "0.9123"}),
    "teaching, DSH and uncompensated care": (871, {**TEACHING, "charges": "61234.56"}),
    "acute transfer": (871, {"review": 3, "los": 1, **TEACHING}),
    "acute transfer with an outlier": (871, {"review": 3, "los": 2, "charges": "512345.67", **TEACHING}),
    "post-acute transfer by day": (207, {"review": 9, "los": 4}),
    "half-and-half transfer, sole community": (
        481,
        {"review": 9, "los": 1, "type": "16", "size": "R", "urban": False, "beds": 60, "hsp_rate": "11890.12"},
    ),
    "half-and-half transfer, two days, sole community": (
        479,
        {"review": 9, "los": 2, "type": "16", "size": "R", "urban": False, "beds": 60, "hsp_rate": "12345.67"},
    ),
    "transfer DRG paid in full": (789, {"review": 3, "los": 0}),
    "cost outlier": (871, {"charges": "987654.32", "los": 20, **TEACHING}),
    "burn outlier": (927, {"charges": "2345678.90", "los": 60}),
    "no outlier by review code": (871, {"charges": "987654.32", "review": 7, "los": 9}),
    "new technologies": (871, {"charges": "200000", "ntap": (("8579.84", "0.75"), ("2028.00", "0.65"))}),
    "new technology capped by cost": (470, {"charges": "62000", "ntap": (("40950.00", "0.65"), ("22750", "0.65"))}),
    "sole community, hospital-specific rate": (
        871,
        {"type": "16", "size": "R", "urban": False, "beds": 80, "hsp_rate": "9876.54", "wage_index": "0.8427"},
    ),
    "Medicare-dependent, hospital-specific rate": (
        470,
        {"type": "14", "size": "R", "urban": False, "beds": 40, "hsp_rate": "10321", "medicaid": "0.31", "ssi": "0.02"},
    ),
    "programs: HRR, VBP, HAC": (871, {"hrr": "0.9871", "vbp": "1.01234567891", "hac": True, **TEACHING}),
    "low volume and HAC": (470, {"volume": "0.187654", "hac": True, "wage_index": "0.7931", "beds": 30}),
    "Puerto Rico": (871, {"state": "40", "wage_index": "0.4047"}),
    "Puerto Rico, no quality data": (871, {"state": "40", "wage_index": "0.4047", "quality": False}),
    "Puerto Rico, EHR reduction": (470, {"state": "40", "wage_index": "0.4047", "ehr_cut": True}),
    "Puerto Rico, wage index above 1": (470, {"state": "40", "wage_index": "1.0001"}),
    "Medicare Advantage": (871, {"plan": True, "through": "123.45", "los": 6, **TEACHING}),
    "new capital hospital": (871, {"new_capital": True, "charges": "876543.21", **TEACHING}),
    "islets, product at no cost": (18, {"no_cost": True, "islets": 2, "charges": "300000"}),
    "reclassified as rural, urban by location": (871, {"size": "R", "urban": True, **TEACHING}),
}
COVID: dict[str, tuple[int, dict[str, object]]] = {
    "COVID-19": (207, {"covid": True, **TEACHING}),
    "COVID-19, sole community": (871, {"covid": True, "type": "16", "hsp_rate": "11000", "size": "R", "urban": False}),
    "COVID-19 treatment": (207, {"covid": True, "covid_treatment": True, "charges": "312345.67", **TEACHING}),
    "COVID-19 treatment in an outlier": (207, {"covid": True, "covid_treatment": True, "charges": "812345.67"}),
    "COVID-19 treatment beside a new technology": (
        207,
        {
            "covid": True,
            "covid_treatment": True,
            "covid_other": "2028",
            "ntap": (("2028.00", "0.65"),),
            "charges": "312345.67",
        },
    ),
}

OWN_NAMES = {
    "wage_index": ("wage_index", float),
    "state": ("ccn_state", str),
    "cola": ("cola", float),
    "size": ("cbsa_size", str),
    "urban": ("geographic_urban", bool),
    "beds": ("beds", int),
    "type": ("provider_type", str),
    "residents": ("resident_to_bed_ratio", float),
    "capital_residents": ("capital_ime_ratio", float),
    "ssi": ("ssi_ratio", float),
    "medicaid": ("medicaid_ratio", float),
    "occr": ("operating_ccr", float),
    "cccr": ("capital_ccr", float),
    "quality": ("quality_reported", bool),
    "ehr_cut": ("ehr_reduction", bool),
    "vbp": ("vbp_factor", lambda value: float(value) if value else None),
    "hrr": ("hrr_factor", lambda value: float(value) if value else None),
    "hac": ("hac_reduction", bool),
    "ucp": ("uncompensated_care_usd", float),
    "volume": ("low_volume_factor", float),
    "hsp_rate": ("hospital_specific_rate_usd", float),
    "new_capital": ("new_capital_hospital", bool),
    "plan": ("medicare_advantage", bool),
    "through": ("pass_through_usd", float),
    "review": ("review_code", int),
    "los": ("los_days", int),
    "charges": ("covered_charges_usd", float),
    "covid": ("covid", bool),
    "no_cost": ("no_cost_product", bool),
    "islets": ("islet_isolations", int),
    "covid_treatment": ("covid_treatment", bool),
    "covid_other": ("covid_other_usd", float),
}


def rates_of(year: int) -> Rates:
    """Rates of a year; FY2027 with the threshold of the proposed rule and no budget neutrality."""
    if year != 2027:
        return Rates.load(year)
    names = ("hospital_specific.neutrality.reclassification", "hospital_specific.neutrality.weight_cap")
    return Rates.load(2027).reformed({"outlier.fixed_loss": 51_704, **dict.fromkeys(names, 1.0)})


def to_stay(drg: tuple, case: dict[str, object]) -> dict[str, object]:
    """A case as drgsim takes it."""
    full = {**CASE, **case}
    row = {own: convert(full[name]) for name, (own, convert) in OWN_NAMES.items()}
    row |= {"drg": drg[0], "weight": float(drg[1]), "gmlos_days": float(drg[2])}
    row |= {"post_acute": drg[3], "special_pay": drg[4]}
    row |= {"ntap_max_usd": [float(most) for most, _ in full["ntap"]]}
    return row | {"ntap_share": [float(share) for _, share in full["ntap"]]}


def cases_of(year: int) -> dict[str, tuple[int, dict[str, object]]]:
    return CASES if year == 2027 else {**CASES, **COVID}


def worked(year: int) -> list[dict[str, object]]:
    """The cases of a year with their components, worked by hand."""
    return [
        {"fiscal_year": year, "case": name, "drg": drg}
        | {key: str(value) for key, value in price_by_hand(year, DRGS[year][drg], case).items()}
        for name, (drg, case) in cases_of(year).items()
    ]


def test_the_cases_are_those_of_the_file() -> None:
    made = pl.DataFrame([row for year in DRGS for row in worked(year)])
    text = pl.read_csv(GOLDEN, infer_schema=False)
    assert made.with_columns(pl.all().cast(pl.String)).equals(text)


@pytest.mark.parametrize("year", DRGS)
def test_every_component_is_that_worked_by_hand(year: int) -> None:
    expected = pl.read_csv(GOLDEN, schema_overrides={"case": pl.String}).filter(fiscal_year=year)
    stays = pl.DataFrame([to_stay(DRGS[year][drg], case) for drg, case in cases_of(year).values()])
    paid = price_stays(stays.with_columns(pl.col("drg").cast(pl.UInt16)), rates_of(year))
    assert expected.height == len(cases_of(year)) >= 12
    for name in (*COMPONENTS, "total_usd"):
        off = (paid[name] - expected[name].cast(pl.Float64)).abs() > 0.0049
        assert not off.any(), (name, expected.filter(off)["case"].to_list(), paid[name].filter(off).to_list())
    assert (paid["pay_code"] < 50).all()


@pytest.mark.parametrize("year", DRGS)
def test_the_drgs_are_those_of_table_5(year: int) -> None:
    for number, weight, gmlos, post_acute, special in DRGS[year].values():
        row = Rates.load(year).weights.filter(drg=number).row(0, named=True)
        assert (row["weight"], row["gmlos_days"]) == (float(weight), float(gmlos))
        assert (row["post_acute"], row["special_pay"]) == (post_acute, special)


def test_the_hand_pricer_agrees_with_the_program(shared: Path) -> None:
    """Components of the FY2021 program, for the stays that its cases can state."""
    path = shared / "payment" / "cms_fy2021_pricer_vectors.csv"
    raw = pl.read_csv(path, infer_schema=False).filter(pl.col("out_rtc").cast(pl.Int32) < 50).fill_null("")
    names = {
        "out_fsp": "operating_federal_usd",
        "out_hsp": "hospital_specific_usd",
        "out_outlier": "operating_outlier_usd",
        "out_cap_outlier": "capital_outlier_usd",
        "out_ntap": "new_technology_usd",
        "out_lowvol": "low_volume_usd",
        "out_hac": "hac_usd",
        "out_total": "total_usd",
    }
    for row in raw.head(600).iter_rows(named=True):
        case = {
            "wage_index": row["wage_index"],
            "state": row["ccn_state"],
            "cola": row["cola"],
            "size": row["cbsa_size"],
            "beds": int(row["bed_size"]),
            "type": row["provider_type"],
            "residents": row["intern_to_bed_ratio"],
            "capital_residents": row["capital_ime_ratio"],
            "ssi": row["ssi_ratio"],
            "medicaid": row["medicaid_ratio"],
            "occr": row["operating_ccr"],
            "cccr": row["capital_ccr"],
            "quality": row["hospital_quality_ind"] == "1",
            "ehr_cut": row["ehr_reduction_ind"] == "Y",
            "vbp": row["vbp_adjustment"] if row["vbp_participant"] == "Y" else "",
            "hrr": row["hrr_adjustment"] if row["hrr_participant"] == "1" else "",
            "hac": row["hac_reduction"] == "Y",
            "ucp": row["uncompensated_care_amount"],
            "volume": row["low_volume_factor"] if row["low_volume_ind"] == "Y" else "0",
            "hsp_rate": row["hospital_specific_rate"],
            "new_capital": row["capital_new_hospital"] == "Y",
            "plan": row["hmo_claim"] == "1",
            "through": str(
                round(
                    float(row["passthru_total_per_diem"])
                    - float(row["passthru_organ_per_diem"])
                    - float(row["passthru_dme_per_diem"]),
                    2,
                )
            ),
            "review": int(row["review_code"]),
            "los": int(row["los"]),
            "charges": row["covered_charges"],
            "covid": "U071" in row["dx"] and "ZA" not in row["condition_codes"],
            "no_cost": int(row["drg"]) == 18
            and ((" Z006" in row["dx"] and "ZC" not in row["condition_codes"]) or "ZB" in row["condition_codes"]),
            "ntap": tuple(tuple(item.split("@")) for item in row["ntap_caps"].split()),
        }
        drg = (int(row["drg"]), row["weight"], row["gmlos"], row["post_acute"] == "1", row["special_pay"] == "1")
        found = price_by_hand(2021, drg, case)
        for theirs, ours in names.items():
            assert float(found[ours]) == float(row[theirs]), (row["id"], ours)
