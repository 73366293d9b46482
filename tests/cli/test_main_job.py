"""The main job runs end to end, and its numbers agree with each other."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from drgsim import Rates, TableSet, generate, group, read_claims
from drgsim.cli.command_line import main
from drgsim.cli.main_job import DemoResult, demo, describe_demo
from drgsim.pricing.pricer import COMPONENTS, price

TABLES, RATES = TableSet.load("43.1"), Rates.load(2026)


@pytest.fixture(scope="module")
def generated() -> tuple[pl.DataFrame, pl.DataFrame]:
    return generate(500, seed=1, tables=TABLES)


@pytest.fixture(scope="module")
def result(generated: tuple[pl.DataFrame, pl.DataFrame]) -> DemoResult:
    hospitals, admissions = generated
    return demo(admissions, hospitals, tables=TABLES, rates=RATES, replicates=2)


def test_components_add_up_to_the_payment(generated: tuple[pl.DataFrame, pl.DataFrame], result: DemoResult):
    hospitals, _ = generated
    assert result.components_usd is not None
    assert result.simulation.payment_usd == pytest.approx(sum(result.components_usd.row(0)), abs=0.005)
    paid = price(result.simulation.admissions, hospitals, RATES)
    assert paid["total_usd"].to_list() == pytest.approx(result.simulation.admissions["usd"].to_list(), abs=0.005)
    assert result.simulation.payment_usd == pytest.approx(paid.select(pl.sum_horizontal(COMPONENTS)).sum().item())
    shift = dict(result.simulation.errors().select("error", "shapley_usd").iter_rows())
    assert shift["missed_comorbidity"] < 0 < shift["unsupported_mcc"]


def test_the_same_seed_prints_the_same(generated: tuple[pl.DataFrame, pl.DataFrame], result: DemoResult):
    hospitals, admissions = generated
    again = demo(admissions, hospitals, tables=TABLES, rates=RATES, replicates=2)
    assert describe_demo(again, str) == describe_demo(result, str)


def test_the_command_prints_and_saves(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["demo", "--admissions", "400", "--replicates", "2", "--out", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    for expected in ("Admissions", "Case-mix index", "operating federal", "std. error", "Ten largest DRG transitions"):
        assert expected in out
    assert (tmp_path / "demo.png").read_bytes().startswith(b"\x89PNG")


CLAIMS = """admission_id,hospital_id,age,sex,discharge_status,dx1,dx2,poa2,pr1,los_days,covered_charges_usd
1,A,54,F,1,K81.0,J96.01,Y,0FT44ZZ,5,60000
2,A,54,F,1,K81.0,,,0FT44ZZ,5,60000
3,B,old,F,1,K81.0,J96.01,Y,0FT44ZZ,5,60000
4,A,54,F,1,,,,,5,60000
"""


@pytest.fixture
def claims(tmp_path: Path) -> Path:
    """Four claims: one of an unknown hospital, one that cannot be grouped; and a file of hospitals."""
    (tmp_path / "claims.csv").write_text(CLAIMS)
    (tmp_path / "hospitals.csv").write_text("hospital_id,wage_index,operating_ccr\nA,1.2,0.25\n")
    return tmp_path / "claims.csv"


def test_claims_without_a_scenario_are_described_and_nothing_is_invented(
    claims: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    def refuse(*_args: object, **_kwargs: object) -> None:
        raise AssertionError("nothing is simulated")

    monkeypatch.setattr("drgsim.cli.main_job.simulate", refuse)
    monkeypatch.chdir(claims.parent)
    assert main(["demo", "--claims", str(claims)]) == 0
    out = capsys.readouterr().out
    assert "Admissions                     4   ungroupable 1" in out
    assert "Case-mix index" in out
    assert "weight times a base rate of $7,276.76, fiscal year 2026" in out
    assert "  417         2 " in out
    assert "  419         1 " in out
    assert "left blank: age: unreadable, left blank (1)" in out
    assert "1 ungroupable: INVALID_PDX" in out
    assert "no discharge_date: fiscal year 2026 is assumed" in out
    assert "No coding error was simulated" in out
    assert "Net by error" not in out
    assert "Illustration" not in out
    assert not (claims.parent / "demo_output").exists()


def test_claims_with_hospitals_are_priced_by_component(claims: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["demo", "--claims", str(claims), "--hospitals", str(claims.parent / "hospitals.csv"), "-q"]) == 0
    out = capsys.readouterr().out
    hospital = pl.DataFrame({"hospital_id": ["A"], "wage_index": [1.2], "operating_ccr": [0.25]})
    paid = price(group(read_claims(claims), version="43.1"), hospital, RATES)
    assert f"{paid['total_usd'].sum():>14,.0f} USD   by IPPS components, fiscal year 2026" in out
    assert "operating federal" in out
    assert "1 not paid: no such hospital (pay_code 51)" in out


def test_claims_with_a_scenario_are_simulated_as_asked(
    claims: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    command = ["demo", "--claims", str(claims), "--scenario", "illustration", "--replicates", "2"]
    assert main([*command, "--out", str(tmp_path / "out")]) == 0
    out = capsys.readouterr().out
    assert "Illustration, mean over 2 replicates" in out
    assert "The errors are those of the scenario, not errors found in these claims." in out
    assert (tmp_path / "out/demo.png").exists()


def test_where_nothing_changes_the_result_has_blanks(claims: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Of no changed DRG no share is paid more: the line has no number, and the result is written."""
    for number, scenario in enumerate(("empty", "transfer_status")):
        out = tmp_path / f"result_{number}"
        command = ["simulate", str(claims), str(out), "--scenario", scenario, "--replicates", "2", "-q"]
        assert main(command) == 0
        printed = capsys.readouterr().out
        assert "  changed DRGs that are paid more\n" in printed
        assert "  admissions with another DRG        0.00 %\n" in printed
        assert "  none" in printed
        assert main(["report", str(out), str(tmp_path / f"{number}.html"), "-q"]) == 0


def test_nothing_is_written_where_the_result_cannot_be_described(
    claims: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def fail(*_args: object) -> str:
        raise TypeError

    monkeypatch.setattr("drgsim.cli.main_job.describe_demo", fail)
    out = tmp_path / "result"
    assert main(["simulate", str(claims), str(out), "--scenario", "empty", "--replicates", "1", "-q"]) == 3
    assert not out.exists()


def test_real_admissions_and_their_recorded_drgs(shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    claims = str(shared / "real/mimic_iv_demo")
    command = ["demo", "--claims", claims, "--version", "40.0", "--fiscal-year", "2024", "--replicates", "2"]
    command += ["--scenario", "illustration"]
    assert main([*command, "--out", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "85  equal" in out
    assert "4  principal diagnosis no longer valid" in out
    assert "weight times a base rate" in out


def test_a_missing_file_is_reported_not_raised(capsys: pytest.CaptureFixture[str]):
    assert main(["demo", "--claims", "nowhere.csv"]) == 2
    assert "nowhere.csv: no such file" in capsys.readouterr().err
