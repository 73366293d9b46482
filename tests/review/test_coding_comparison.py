"""Two codings compared: simulated errors are found again with their kinds, dollars add up to the cent."""

from __future__ import annotations

from collections import Counter

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from drgsim import InputError, Rates, Scenario, SchemaError, TableSet, generate, group, price, simulate
from drgsim.review import CodingComparison, compare_codings
from drgsim.simulation import bill_from_ledger

TABLES, RATES = TableSet.load("43.1"), Rates.load(2026)
# Shares that may come back as another kind, because a comparison sees codes, not causes (docs/review.md).
_LOOK_ALIKE = {"severity_downgrade": 0.3, "specificity_loss": 0.1, "pdx_substitute": 0.2, "procedure_substitute": 0.08}
TRUE_RATES = {"sdx_omit_mcc": 0.05, "sdx_omit_other": 0.01, "procedure_omit": 0.05, "discharge_status_1": 0.1}
EVERY_KIND = Scenario.loads("""
title = "Every kind of error"
errors.pdx_resequence = { kind = "pdx_resequence", rate = 0.03 }
errors.pdx_substitute = { kind = "pdx_substitute", rate = 0.03 }
errors.sdx_omit = { kind = "sdx_omit", cc = 0.05, mcc = 0.05, other = 0.01 }
errors.sdx_add_unsupported = { kind = "sdx_add_unsupported", cc = 0.05, mcc = 0.05 }
errors.severity_upgrade = { kind = "severity_upgrade", rate = 0.03 }
errors.severity_downgrade = { kind = "severity_downgrade", rate = 0.03 }
errors.specificity_loss = { kind = "specificity_loss", sdx = 0.03, pdx = 0.01 }
errors.procedure_omit = { kind = "procedure_omit", rate = 0.05 }
errors.procedure_add_unsupported = { kind = "procedure_add_unsupported", rate = 0.03 }
errors.procedure_substitute = { kind = "procedure_substitute", rate = 0.05 }
errors.ventilation_hours = { kind = "ventilation_hours", over = 0.3, under = 0.3 }
errors.invalid_code = { kind = "invalid_code", pdx = 0.005, sdx = 0.01, procedure = 0.01 }
errors.poa_flip = { kind = "poa_flip", over = 0.05, under = 0.01, every_code = true }
errors.discharge_status = { kind = "discharge_status", rate = 0.1 }
errors.demographics = { kind = "demographics", sex = 0.01 }
""")
CASE = {
    "admission_id": [1],
    "age": [54],
    "sex": ["F"],
    "discharge_status": [1],
    "pdx": ["K810"],
    "sdx": [["J9601", "I10"]],
    "sdx_poa": [["Y", "Y"]],
    "procedures": [["0FT44ZZ"]],
}


def compare_case(**changed: object) -> CodingComparison:
    one = pl.DataFrame(CASE)
    return compare_codings(one, pl.DataFrame({**CASE, **changed}), tables=TABLES, rates=RATES)


@pytest.fixture(scope="module")
def simulated() -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Hospitals, admissions as correctly coded, the same with simulated errors, and the ledger of these."""
    hospitals, admissions = generate(2_000, seed=3, tables=TABLES)
    given = {"tables": TABLES, "hospitals": hospitals, "rates": RATES}
    result = simulate(admissions, EVERY_KIND, **given, replicates=1, seed=1, ledger=True)
    assert result.ledger is not None
    coders = pl.int_range(admissions.height) % 20
    billed = bill_from_ledger(admissions, result).with_columns(coder=pl.format("coder {}", coders))
    return hospitals, admissions, billed, result.ledger


@pytest.fixture(scope="module")
def compared(simulated: tuple[pl.DataFrame, ...]) -> CodingComparison:
    hospitals, admissions, billed, _ = simulated
    return compare_codings(admissions, billed, tables=TABLES, hospitals=hospitals, rates=RATES, coder="coder")


def test_every_simulated_error_is_found_with_its_kind(simulated: tuple[pl.DataFrame, ...], compared: CodingComparison):
    """Severity changed and specificity lost can look the same; so can a principal diagnosis changed in either way."""
    made = Counter(simulated[3].select("admission_id", "error").iter_rows())
    seen = Counter(compared.differences().select("admission_id", "kind").iter_rows())
    total, missed = Counter(), Counter()
    for (key, kind), count in made.items():
        total[kind] += count
        missed[kind] += max(0, count - seen[key, kind])
    for kind, count in total.items():
        most = _LOOK_ALIKE.get(kind, 0.02)
        assert missed[kind] <= max(1, most * count), (kind, missed[kind], count)
    confused = {kind for kind in missed if missed[kind]}
    assert compared.found.first.sum() >= 0.99 * simulated[3].height
    assert not confused & {"sdx_omit", "poa_flip", "discharge_status", "demographics", "procedure_omit"}


def test_dollars_are_those_of_price_on_both_sides(simulated: tuple[pl.DataFrame, ...], compared: CodingComparison):
    hospitals, admissions, billed, _ = simulated
    sides = [
        price(group(frame, TABLES), hospitals, RATES).sort("admission_id")["total_usd"].to_list()
        for frame in (admissions, billed)
    ]
    pairs = compared.pairs()
    assert pairs["usd"].to_list() == sides[0]
    assert pairs["other_usd"].to_list() == sides[1]
    change = [round(100 * b) - round(100 * a) for a, b in zip(*sides, strict=True)]
    assert [round(100 * usd) for usd in pairs["usd_change"]] == change


def test_contributions_of_a_stay_add_up_to_its_change(compared: CodingComparison):
    sums = np.zeros(len(compared), np.int64)
    np.add.at(sums, compared.contributions[:, 0], compared.contributions[:, 2])
    assert sums.tolist() == compared.change.tolist()
    kinds = compared.kinds()
    assert round(100 * kinds["net_usd"].head(-1).sum()) == round(100 * kinds["net_usd"].tail(1).item())
    dollars = dict(compared.dollars().select("measure", "value").iter_rows())
    assert round(100 * kinds["net_usd"].tail(1).item()) == round(100 * dollars["net_usd"])
    assert round(100 * (dollars["overpaid_usd"] - dollars["underpaid_usd"])) == round(100 * dollars["net_usd"])


def test_the_order_of_rows_and_of_codes_changes_nothing(simulated: tuple[pl.DataFrame, ...]):
    _, admissions, billed, _ = (frame.head(500) for frame in simulated)
    given = {"tables": TABLES, "hospitals": simulated[0], "rates": RATES}
    one = compare_codings(admissions, billed, **given)
    reverse = pl.col("sdx", "sdx_poa", "procedures").list.reverse()
    other = compare_codings(
        admissions.sample(fraction=1, shuffle=True, seed=1), billed.reverse().with_columns(reverse), **given
    )
    for name in ("pairs", "differences", "kinds", "codes", "agreement", "dollars"):
        left, right = getattr(one, name)(), getattr(other, name)()
        if name == "pairs":  # columns carried through keep what each side gave
            left, right = (frame.drop("coder") for frame in (left, right))
        assert_frame_equal(left, right, abs_tol=1e-9)


def test_groups_add_up(compared: CodingComparison):
    dollars = dict(compared.dollars().select("measure", "value").iter_rows())
    for column in ("coder", "mdc", "hospital_id"):
        table = compared.by(column)
        assert table["stays"].sum() == len(compared)
        for name in ("overpaid_usd", "underpaid_usd", "net_usd"):
            assert round(100 * table[name].sum()) == round(100 * dollars[name])


def test_the_scenario_has_the_rates_that_were_simulated(compared: CodingComparison):
    scenario = compared.to_scenario()
    scenario.check(TABLES)
    studies = {error.label: error.study for error in scenario.errors}
    for label, rate in TRUE_RATES.items():
        study = studies[label]
        assert study is not None
        error = (rate * (1 - rate) / study.of) ** 0.5
        assert abs(study.events / study.of - rate) < 4 * error, label
    assert Scenario.loads(scenario.dumps()).digest == scenario.digest


def test_intervals_count_coders(simulated: tuple[pl.DataFrame, ...], compared: CodingComparison):
    assert compared.units.count == 20
    _, admissions, billed, _ = simulated
    by_stay = compare_codings(admissions, billed, tables=TABLES)
    assert by_stay.units.count == len(compared)
    assert by_stay.agreement()["value"].to_list() == compared.agreement()["value"].to_list()
    assert "USD" not in by_stay.summary()["unit"].to_list()
    with pytest.raises(InputError, match="no dollars"):
        by_stay.dollars()


# ------------------------------------------------------------------------------------------ single cases


def test_a_code_missed():
    found = compare_case(sdx=[["I10"]], sdx_poa=[["Y"]])
    row = found.differences().row(0, named=True)
    assert (row["kind"], row["code_before"], row["code_after"]) == ("sdx_omit", "J9601", None)
    assert (row["drg"], row["other_drg"]) == (417, 419)
    codes = {scope: values for scope, *values in found.codes().select("scope", "in_both", "missed", "added").rows()}
    assert codes["diagnoses"] == [2, 1, 0]
    assert codes["MCC"] == [0, 1, 0]
    assert codes["procedures"] == [1, 0, 0]


@pytest.mark.parametrize(
    ("changed", "kinds"),
    [
        ({"pdx": ["J9601"], "sdx": [["K810", "I10"]]}, ["pdx_resequence"]),
        ({"pdx": ["J9601"], "sdx": [["I10"]], "sdx_poa": [["Y"]]}, ["pdx_resequence"]),
        ({"pdx": ["K811"]}, ["pdx_substitute"]),
        ({"pdx": ["K819"]}, ["specificity_loss"]),
        ({"pdx": ["K81X"]}, ["invalid_code"]),
        ({"sdx": [["J9602", "I10"]]}, ["sdx_substitute"]),
        ({"sdx": [["J9610", "I10"]]}, ["specificity_loss"]),
        ({"sdx": [["J9601", "I10", "E119"]], "sdx_poa": [["Y", "Y", "Y"]]}, ["sdx_add_unsupported"]),
        ({"sdx": [["J96.0Q", "I10"]]}, ["invalid_code"]),
        ({"sdx_poa": [["N", "Y"]]}, ["poa_flip"]),
        ({"sdx": [["I10", "J96.01"]]}, []),
        ({"procedures": [["0FT40ZZ"]]}, ["procedure_substitute"]),
        ({"procedures": [[]]}, ["procedure_omit"]),
        ({"procedures": [["0FT44ZZ", "0FT44ZZ"]]}, ["procedure_add_unsupported"]),
        ({"discharge_status": [2]}, ["discharge_status"]),
        ({"sex": ["M"]}, ["demographics"]),
        ({"age": [55]}, []),
    ],
)
def test_each_difference_has_its_kind(changed: dict[str, object], kinds: list[str]):
    found = compare_case(**changed)
    assert found.differences()["kind"].to_list() == kinds
    assert found.contributions[:, 2].sum() == found.change.sum()


def test_resequencing_misses_no_code():
    found = compare_case(pdx=["J9601"], sdx=[["K810", "I10"]])
    codes = {scope: values for scope, *values in found.codes().select("scope", "in_both", "missed", "added").rows()}
    assert codes["diagnoses"] == [3, 0, 0]
    assert codes["principal"] == [0, 1, 1]


def test_kappa_of_two_classes_by_hand():
    from drgsim.review.agreement_statistics import Units, estimate_kappa

    # 20 both yes, 5 and 10 one of them, 15 both no: observed 0.7, by chance 0.5, kappa 0.4 (Cohen's own example).
    one = np.repeat([1, 1, 0, 0], [20, 5, 10, 15])
    other = np.repeat([1, 0, 1, 0], [20, 5, 10, 15])
    kappa, low, high = estimate_kappa(one, other, Units.by(None, 50))
    assert kappa == pytest.approx(0.4)
    assert low is not None
    assert high is not None
    assert low < 0.4 < high


def test_only_matched_stays_count():
    one = pl.concat([pl.DataFrame(CASE), pl.DataFrame({**CASE, "admission_id": [2]})])
    found = compare_codings(one, pl.DataFrame({**CASE, "admission_id": [1]}), tables=TABLES)
    assert len(found) == 1
    assert found.only_in_reference.to_list() == [2]
    assert found.only_in_other.to_list() == []


def test_what_cannot_be_compared_is_refused():
    one = pl.DataFrame(CASE)
    with pytest.raises(InputError, match="no admission_id is in both"):
        compare_codings(one, one.with_columns(admission_id=pl.lit(9)), tables=TABLES)
    with pytest.raises(InputError, match="comes more than once"):
        compare_codings(pl.concat([one, one]), one, tables=TABLES)
    with pytest.raises(SchemaError, match="one coding has sdx_poa"):
        compare_codings(one, one.drop("sdx_poa"), tables=TABLES)
    with pytest.raises(InputError, match="los_days differs"):
        compare_codings(one.with_columns(los_days=3), one.with_columns(los_days=4), tables=TABLES)
    with pytest.raises(SchemaError, match="lack the column 'coder'"):
        compare_codings(one, one, tables=TABLES, coder="coder")
    with pytest.raises(InputError, match="neither coding has a column 'codr'"):
        compare_codings(one, one, tables=TABLES).by("codr")


def test_an_added_procedure_is_no_diagnosis():
    late = TABLES.all_procedures[-1]  # its number is above that of any diagnosis
    scenario = compare_case(procedures=[["0FT44ZZ", late]]).to_scenario()
    assert [error.kind for error in scenario.errors] in ([], ["procedure_add_unsupported"])


def test_two_equal_codings_differ_in_nothing():
    found = compare_case()
    assert found.differences().height == 0
    assert found.kinds().rows() == [("total", 0, 0, 0.0, None, None, 0.0, 0.0)]
    assert found.to_scenario().errors == ()
    assert "fraud" not in str(found).lower()
