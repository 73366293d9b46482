"""The main job runs end to end, and its numbers agree with each other."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from drgsim import Rates, TableSet, generate
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


def test_real_admissions_and_their_recorded_drgs(shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    claims = str(shared / "real/mimic_iv_demo")
    command = ["demo", "--claims", claims, "--version", "40.0", "--fiscal-year", "2024", "--replicates", "2"]
    assert main([*command, "--out", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "85  equal" in out
    assert "4  principal diagnosis no longer valid" in out
    assert "weight times a base rate" in out


def test_a_missing_file_is_reported_not_raised(capsys: pytest.CaptureFixture[str]):
    assert main(["demo", "--claims", "nowhere.csv"]) == 2
    assert "nowhere.csv: no such file" in capsys.readouterr().err
