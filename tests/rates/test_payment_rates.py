"""Rates: what is known, what is not, reforms, Table 5 files and malformed tables."""

import datetime
import pickle
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from drgsim.exceptions import InputError, MissingRateError, TableError
from drgsim.rates.parameters import find_limit
from drgsim.rates.payment_rates import Rates, fiscal_year_of
from drgsim.rates.table5 import read_table5
from drgsim.tables.manifest import seal, table_folder


@pytest.fixture
def own_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "tables"
    shutil.copytree(table_folder(), folder)
    return folder


PUBLISHED = {
    2016: 5467.39,
    2017: 5516.14,
    2018: 5572.53,
    2019: 5646.08,
    2020: 5796.63,
    2021: 5961.31,
    2022: 6121.65,
    2023: 6375.74,
    2024: 6497.77,
    2025: 6624.39,
    2026: 6752.61,
    2027: 6848.00,
}
"""Standardized amounts with quality data and EHR use, labor and nonlabor together."""


@pytest.mark.parametrize("year", PUBLISHED)
def test_every_known_year_loads(year: int) -> None:
    rates = Rates.load(year)
    total = rates.number("operating.labor.above_1.full") + rates.number("operating.nonlabor.above_1.full")
    assert total == pytest.approx(PUBLISHED[year], abs=0.001)
    assert rates.table5 is not None


def test_full_amounts_are_the_same_by_either_labor_share() -> None:
    for year in range(2019, 2028):
        rates = Rates.load(year)
        for name in ("full", "no_quality_data", "ehr_reduction", "no_quality_data_and_ehr_reduction"):
            totals = {
                round(sum(rates.number(f"operating.{part}.{area}.{name}") for part in ("labor", "nonlabor")), 2)
                for area in ("above_1", "up_to_1")
            }
            assert max(totals) - min(totals) < 0.011, (year, name, totals)


def test_constants_are_those_of_the_reference(shared: Path) -> None:
    """Every constant of the reference list that the rates also name."""
    names = {
        "capital_federal_rate": "capital.federal_rate",
        "outlier_fixed_loss_threshold": "outlier.fixed_loss",
        "outlier_marginal_cost": "outlier.marginal_cost",
        "outlier_marginal_cost_burn": "outlier.marginal_cost_burn",
        "labor_share_wi_gt_1": "outlier.labor_share_above_1",
        "labor_share_wi_le_1": "outlier.labor_share_up_to_1",
        "hsp_update_full": "hospital_specific.update.full",
        "hsp_update_no_quality": "hospital_specific.update.no_quality_data",
        "hsp_update_ehr_reduced": "hospital_specific.update.ehr_reduction",
        "hsp_update_both": "hospital_specific.update.no_quality_data_and_ehr_reduction",
        "drg018_no_cost_factor": "case.no_cost_factor",
        "islet_addon_one": "case.islet_one",
        "islet_addon_two": "case.islet_more",
        "hsp_update_puerto_rico_ehr_reduced": "hospital_specific.update.puerto_rico_ehr_reduction",
        "ehr_full_ratio_quality": "information.ehr_restoring_ratio",
        "ehr_full_ratio_noquality": "information.ehr_restoring_ratio_no_quality_data",
        "ehr_full_ratio_puerto_rico": "information.ehr_restoring_ratio_puerto_rico",
        "low_wage_quartile_limit": "adjustments.wage_index_quartile",
        "covid_factor": "case.covid_factor",
        "nctap_share": "case.nctap_share",
    }
    folder = shared / "payment"
    paths = [folder / "ipps_constants.csv", *sorted((folder / "years").glob("ipps_constants*.csv"))]
    table = pl.concat(pl.read_csv(path, infer_schema=False) for path in paths)
    parameters = Rates.load(2026).parameters
    compared = 0
    for year, name, value in table.select("fiscal_year", "name", "value").iter_rows():
        if name in names and year.isdigit() and int(year) >= 2016:
            assert parameters[names[name]].at(int(year)) == float(value), (year, name)
            compared += 1
    assert compared > 120


def test_weights_are_those_of_the_reference(shared: Path) -> None:
    for year in PUBLISHED:
        folder = shared / "payment"
        folder = folder if year in (2021, 2024, 2025, 2026) else folder / "years"
        path = folder / f"msdrg_table5_fy{year}.csv"
        table = pl.read_csv(path, infer_schema_length=None).sort("drg")
        own = Rates.load(year).weights
        assert own["drg"].to_list() == table["drg"].to_list()
        for name, theirs in (("weight", "weight"), ("gmlos_days", "gmlos"), ("amlos_days", "amlos")):
            assert own[name].to_list() == table[theirs].cast(pl.Float64).fill_null(0.0).to_list()
        assert own["post_acute"].to_list() == (table["post_acute"] == 1).to_list()
        assert own["special_pay"].to_list() == (table["special_pay"] == 1).to_list()


def test_a_date_is_in_its_fiscal_year() -> None:
    assert Rates.load(on=datetime.date(2025, 9, 30)).fiscal_year == 2025
    assert Rates.load(on=datetime.date(2025, 10, 1)).fiscal_year == 2026
    assert fiscal_year_of(datetime.date(2026, 12, 31)) == 2027


@pytest.mark.parametrize("year", [2015, 2030])
def test_unknown_years_name_the_known_ones(year: int) -> None:
    with pytest.raises(MissingRateError, match=f"{year}. Known: 2016, 2017, .*, 2026, 2027"):
        Rates.load(year)


def test_one_of_year_and_date() -> None:
    with pytest.raises(InputError, match="one of the two"):
        Rates.load()
    with pytest.raises(InputError, match="one of the two"):
        Rates.load(2026, on=datetime.date(2026, 1, 1))


def test_a_year_is_a_number_and_a_date_a_date() -> None:
    with pytest.raises(InputError, match="fiscal year is '2026'"):
        Rates.load("2026")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="on is '2026-01-01'"):
        Rates.load(on="2026-01-01")  # type: ignore[arg-type]
    assert Rates.load(np.int64(2026)).fiscal_year == 2026


def test_a_missing_value_says_what_is_known() -> None:
    with pytest.raises(MissingRateError, match=r"outlier\.fixed_loss .*2027 .*; known for .*2026.*reformed"):
        Rates.load(2027)["outlier.fixed_loss"]
    with pytest.raises(InputError, match=r"Did you mean 'outlier\.fixed_loss'"):
        Rates.load(2026)["outlier.fixed_los"]


def test_a_reform_is_checked_whole_and_leaves_the_baseline() -> None:
    base = Rates.load(2026)
    before = base.resolved()
    reformed = base.reformed({"outlier.fixed_loss": 50_000, "outlier.burn_drgs": [927]})
    assert reformed["outlier.fixed_loss"] == 50_000.0
    assert reformed["outlier.burn_drgs"] == (927,)
    assert base.resolved() == before
    changed = {key for key, value in reformed.resolved().items() if before[key] != value}
    assert changed == {"outlier.fixed_loss", "outlier.burn_drgs"}
    with pytest.raises(InputError) as error:
        base.reformed(
            {
                "outlier.fixed_loss": 1.0,
                "outlier.fixd_loss": 2.0,
                "capital.federal_rate": -1,
                "capital.e": "2.7",
                "capital.dsh_by_geography": 1,
                "outlier.burn_drgs": ["927"],
                "capital.dsh_beds": float("nan"),
            }
        )
    for name in ("fixd_loss", "federal_rate", "capital.e", "dsh_by_geography", "burn_drgs", "dsh_beds"):
        assert name in str(error.value)
    assert base.resolved() == before


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("outlier.fixed_loss", 1e9, r"outside 0 to 10,000,000 \[USD\]"),
        ("outlier.fixed_loss", 40397.005, "2 decimals"),
        ("outlier.marginal_cost", 80, "outside 0 to 1 "),
        ("outlier.marginal_cost", 0.805, "2 decimals"),
        ("outlier.labor_share_above_1", 5, "outside 0 to 1 "),
        ("adjustments.hac_reduction", 1.5, "outside 0 to 1 "),
        ("adjustments.hac_reduction", 0.01005, "4 decimals"),
        ("capital.federal_rate", 1e12, "outside 0 to 5,000 "),
        ("operating.labor.above_1.full", 4.5e8, "outside 0 to 10,000 "),
        ("operating.dsh_empirical_share", 0.255, "2 decimals"),
        ("hospital_specific.dependent_share", 0.755, "2 decimals"),
        ("case.no_cost_factor", 0.175, "2 decimals"),
        ("outlier.burn_drgs", [927, 1000], "holds 1000, outside 1 to 999"),
        ("transfer.acute_statuses", [2, 256], "holds 256, outside 0 to 255"),
        ("transfer.acute_statuses", [-1], "holds -1, outside 0 to 255"),
        ("operating.cola_states", ["HI"], "two digits"),
    ],
)
def test_a_reform_stays_within_what_the_pricer_carries(name: str, value: object, message: str) -> None:
    with pytest.raises(InputError, match=rf"{name} is .*{message}"):
        Rates.load(2026).reformed({name: value})


def test_a_reform_is_a_mapping_and_may_hold_numpy_numbers() -> None:
    rates = Rates.load(2026)
    for wrong in (None, 5, [("outlier.fixed_loss", 1.0)]):
        with pytest.raises(InputError, match="a reform is a mapping"):
            rates.reformed(wrong)  # type: ignore[arg-type]
    mine = rates.reformed(
        {
            "outlier.fixed_loss": np.int64(50_000),
            "outlier.marginal_cost": np.float64(0.75),
            "outlier.burn_drgs": np.array([927, 928]),
            "capital.dsh_by_geography": np.bool_(False),
        }
    )
    assert mine["outlier.fixed_loss"] == 50_000.0
    assert mine["outlier.marginal_cost"] == 0.75
    assert mine["outlier.burn_drgs"] == (927, 928)
    assert mine["capital.dsh_by_geography"] is False


def test_every_number_has_a_limit_of_its_own() -> None:
    for name, parameter in Rates.load(2026).parameters.items():
        numbers = [value for value in parameter.values.values() if not isinstance(value, bool | tuple)]
        assert not numbers or find_limit(name, "") is not find_limit("no.such", ""), name


def test_rates_are_frozen() -> None:
    rates = Rates.load(2026)
    with pytest.raises(AttributeError):
        rates.fiscal_year = 2027  # type: ignore[misc]
    with pytest.raises(TypeError):
        rates.values["outlier.fixed_loss"] = 1.0  # type: ignore[index]


def test_rates_can_be_passed_to_another_process() -> None:
    rates = Rates.load(2026).reformed({"outlier.fixed_loss": 50_000})
    assert pickle.loads(pickle.dumps(rates)).resolved() == rates.resolved()


def test_weights_handed_out_are_a_copy() -> None:
    rates = Rates.load(2026)
    weights = rates.weights
    weights[0, "weight"] = 99.0
    assert rates.weights["weight"][0] == 28.0239


def test_every_parameter_says_what_it_is() -> None:
    for name, parameter in Rates.load(2026).parameters.items():
        assert all((parameter.title, parameter.unit, parameter.source)), name


def test_what_was_not_read_is_marked() -> None:
    assumed = Rates.load(2026).assumptions()
    assert {"transfer.acute_statuses", "transfer.post_acute_statuses", "beneficiary.sequestration"} <= set(assumed)
    assert "case.no_cost_factor" in assumed
    assert "beneficiary.deductible" in Rates.load(2024).assumptions()


# ------------------------------------------------------------------------------------------------ Table 5

HEADER = (
    "MS-DRG\tFY 2027 Final Post-Acute DRG\tFY 2027 Final Special Pay DRG\tMDC\tTYPE\tMS-DRG Title"
    "\tWeights\tGeometric mean LOS\tArithmetic mean LOS"
)
PLAIN = f"""TABLE 5.--LIST OF MEDICARE SEVERITY DIAGNOSIS-RELATED GROUPS (MS-DRGS)\t\t\t\t\t\t\t\t
\t\t\t\t\t\t\t\t
{HEADER}
001\tNo\tNo\tPRE\tSURG\t"HEART TRANSPLANT, WITH MCC"\t28.1234\t25.5\t36.1
003\tYes\tNo\tPRE\tSURG\tECMO\t21.2\t22.9\t33.0
481\tYes\tYes\t08\tSURG\tHIP AND FEMUR\t2.0945\t4.3\t5.0
999\tNo\tNo\t\t**\tUNGROUPABLE\t.\t.\t.

Note: weights are rounded.
"""
CAPPED = PLAIN.replace("Weights\tGeo", "Weights - Uncapped\tWeights - Capped\tGeo")
CAPPED = CAPPED.replace("28.1234\t", "30.0\t28.1234\t").replace("21.2\t", "25.0\t21.2\t")
CAPPED = CAPPED.replace("2.0945\t", "2.5\t2.0945\t").replace("**\tUNGROUPABLE\t.", "**\tUNGROUPABLE\t.\t.")
OTHER_WORDS = PLAIN.replace("MS-DRG\tFY", "MSDRG\tFY").replace("Geometric mean LOS", "GMLOS (geometric mean)")
OTHER_WORDS = OTHER_WORDS.replace("Post-Acute DRG", "Post Acute DRG").replace("\n", "\r\n")


TITLE = (
    "TABLE 5.—LIST OF MEDICARE SEVERITY DIAGNOSIS-RELATED GROUPS (MS-DRGS), RELATIVE WEIGHTING FACTORS, AND "
    "GEOMETRIC AND ARITHMETIC MEAN LENGTH OF STAY—FY 2026"
)
TITLED = TITLE + "\t" * 9 + "\n" + PLAIN.partition("\n")[2].replace("\tYes", "\tYes*").replace("\tNo", "\tNO")


@pytest.mark.parametrize(
    "text", [PLAIN, CAPPED, OTHER_WORDS, TITLED], ids=["plain", "capped", "other words", "full title"]
)
def test_table5_as_cms_prints_it(tmp_path: Path, text: str) -> None:
    path = tmp_path / "table5.txt"
    path.write_bytes(text.encode("utf-8-sig"))
    rates = Rates.load(2027).with_table5(path)
    assert rates.weights.rows() == [
        (1, 28.1234, 25.5, 36.1, False, False),
        (3, 21.2, 22.9, 33.0, True, False),
        (481, 2.0945, 4.3, 5.0, True, True),
        (999, 0.0, 0.0, 0.0, False, False),
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("MS-DRG\tFY", "Group\tFY"), "no header"),
        (("28.1234", "heavy1"), "line 4"),
        (("003\tYes", "001\tYes"), "DRG 1 is listed twice"),
        (("003\tYes", "3A\tYes"), "line 5: MS-DRG is '3A'"),
        (("28.1234", "-28.1234"), "negative"),
        (("28.1234", "281,234"), "DRG 1: weight is 281234.0"),
        (("FY 2027 Final Special Pay DRG", "Other"), "line 3: a Table 5 needs a column 'Special Pay DRG'"),
        (("003\tYes", "003\tmaybe"), "line 5.*'maybe' is neither Yes nor No"),
        (("003\tYes", "003\t"), "line 5.*'' is neither Yes nor No"),
        (("003\tYes", "000\tYes"), "drg is 0, expected 1 to 999"),
        ((PLAIN.partition(HEADER)[2], "\n"), "no DRG is listed"),
    ],
)
def test_table5_that_is_not_one(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    path = tmp_path / "table5.txt"
    path.write_text(PLAIN.replace(*change), "utf-8")
    with pytest.raises(TableError, match=message):
        read_table5(path)


def test_table5_missing_or_of_ones_own(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="cannot be read"):
        read_table5(tmp_path / "nothing.txt")
    with pytest.raises(TableError, match="lacks weight"):
        Rates.load(2026).with_table5(Rates.load(2026).weights.drop("weight"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.lazy(), r"LazyFrame; call \.collect"),
        (lambda t: 2026, "found int"),
        (lambda t: t.clear(), "no DRG"),
        (lambda t: t.with_columns(pl.col("weight").cast(pl.String)), "weight is String, expected Float64"),
        (lambda t: t.with_columns(weight=float("nan")), "weight is nan"),
        (lambda t: t.with_columns(weight=float("inf")), "weight is inf"),
        (lambda t: t.with_columns(gmlos_days=-1.0), "gmlos_days is -1.0"),
        (lambda t: t.with_columns(drg=-pl.col("drg").cast(pl.Int64)), "row 0: drg is -1"),
        (lambda t: t.with_columns(drg=pl.col("drg").cast(pl.Int64) + 70_000), "drg is 70001"),
        (lambda t: t.with_columns(post_acute=pl.lit("maybe")), "post_acute is String"),
        (lambda t: t.with_columns(weight=pl.lit(None, pl.Float64)), "weight is empty"),
    ],
)
def test_a_table5_of_ones_own_is_checked(change, message: str) -> None:
    rates = Rates.load(2026)
    with pytest.raises(TableError, match=message):
        rates.with_table5(change(rates.weights))


# ---------------------------------------------------------------------------------------- no silent table


def test_an_altered_rate_file_raises(own_folder: Path) -> None:
    path = own_folder / "rates" / "outlier.toml"
    path.write_text(path.read_text("utf-8").replace("40397.0", "40398.0"), "utf-8")
    with pytest.raises(TableError, match=r"outlier\.toml: altered"):
        Rates.load(2026, folder=own_folder)
    seal(own_folder)
    assert Rates.load(2026, folder=own_folder)["outlier.fixed_loss"] == 40398.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('unit = "USD"', 'units = "USD"'), r"\[outlier\.fixed_loss\] unit"),
        (("2026 = 40397.0", '2026 = "much"'), r"outlier\.toml: \[outlier\.fixed_loss\] values"),
        (("[fixed_loss]", "[fixed_loss"), "not a TOML file"),
        (("2026 = 40397.0", "2026 = 4e9"), r"\[outlier\.fixed_loss\] 2026 is .* outside 0 to 10,000,000"),
    ],
)
def test_a_malformed_rate_file_raises(own_folder: Path, change: tuple[str, str], message: str) -> None:
    path = own_folder / "rates" / "outlier.toml"
    path.write_text(path.read_text("utf-8").replace(*change, 1), "utf-8")
    seal(own_folder)
    with pytest.raises(TableError, match=message):
        Rates.load(2026, folder=own_folder)


def test_a_malformed_weight_table_raises(own_folder: Path) -> None:
    path = own_folder / "weights" / "fy2026.csv"
    path.write_text(path.read_text("utf-8").replace("28.0239", "heavy", 1), "utf-8")
    seal(own_folder)
    with pytest.raises(TableError, match=r"fy2026\.csv: row 2: weight is 'heavy'"):
        Rates.load(2026, folder=own_folder)


def test_a_missing_weight_table_raises(own_folder: Path) -> None:
    (own_folder / "weights" / "fy2026.csv").unlink()
    with pytest.raises(TableError, match="cannot be read"):
        Rates.load(2026, folder=own_folder)


def test_the_tables_can_be_rebuilt(shared: Path, own_folder: Path) -> None:
    from drgsim.releases.build_payment import build_payment_tables

    before = {path.name: path.read_bytes() for path in own_folder.rglob("*.csv")}
    manifest = (own_folder / "manifest.toml").read_text("utf-8")
    build_payment_tables(shared / "payment", own_folder)
    assert {path.name: path.read_bytes() for path in own_folder.rglob("*.csv")} == before
    assert (own_folder / "manifest.toml").read_text("utf-8") == manifest
