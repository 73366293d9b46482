"""Commands on dollars of a whole year give what their functions give."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from drgsim import Rates, TableSet, generate, group, price
from drgsim.cli.command_line import main
from drgsim.compliance.review_findings import extrapolate
from drgsim.compliance.sampling import Stratified, sample
from drgsim.pricing.contracts import Contract
from drgsim.studies.fiscal_year_bridge import payment_bridge

CLAIMS = pl.DataFrame({"admission_id": range(1, 41), "account": [f"0{i}" for i in range(1, 41)]}).with_columns(
    billed_usd=pl.col("admission_id") * 250.0
)


def test_audit_samples_and_extrapolates(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    claims, drawn, findings, out = (tmp_path / name for name in ("c.csv", "d.csv", "f.csv", "e.csv"))
    CLAIMS.write_csv(claims)
    assert (
        main(["audit", "sample", str(claims), str(drawn), "--claims", "12", "--strata", "3", "--seed", "5", "-q"]) == 0
    )
    expected = sample(CLAIMS, Stratified(12, strata=3), seed=5)
    assert pl.read_csv(drawn)["is_sampled"].equals(expected["is_sampled"])
    chart = expected.filter("is_sampled").select("account", "admission_id", paid=pl.col("billed_usd") * 0.9)
    chart.drop("admission_id").reverse().write_csv(findings)
    given = [str(drawn), str(findings), "--account", "account", "--column", "correct_usd", "paid", "--out", str(out)]
    assert main(["audit", "extrapolate", *given, "-q"]) == 0
    found = extrapolate(chart.select("admission_id", correct_usd="paid"), expected)
    assert f"recovery at the lower limit: {found.recovery_usd:,.2f} USD" in capsys.readouterr().out
    assert pl.read_csv(out)["lower"].to_list() == pytest.approx(found.estimates["lower"].to_list())


def test_audit_refuses_what_it_cannot_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    drawn, findings = tmp_path / "d.csv", tmp_path / "f.csv"
    sample(CLAIMS, Stratified(12, strata=3), seed=5).write_csv(drawn)
    findings.write_text("account,correct_usd\n01,abc\n")
    assert main(["audit", "extrapolate", str(drawn), str(findings), "--account", "account"]) == 2
    message = capsys.readouterr().err
    assert "1 rows have a correct_usd that is no number" in message
    assert "abc" not in message


CONTRACT = """
payer = "Acme"
title = "Acme 2026"
source = "exhibit B"
fiscal_year = 2026
effective_from = 2025-10-01
effective_to = 2026-09-30
transfer = "none"
outlier = "none"
stop_loss = "none"
lesser_of = "none"

[[rules]]
name = "all"
base_rate_usd = 10000.0
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 60 generated claims of two payers, their hospitals, grouped claims and a contract."""
    folder = tmp_path_factory.mktemp("made")
    hospitals, claims = generate(60, seed=5, tables=TableSet.load("43.1"))
    claims = claims.with_columns(payer=pl.Series(["Acme", "Medicare"] * 30))
    claims.write_parquet(folder / "claims.parquet")
    hospitals.write_parquet(folder / "hospitals.parquet")
    group(claims, TableSet.load("43.1")).write_parquet(folder / "grouped.parquet")
    (folder / "acme.toml").write_text(CONTRACT)
    return folder


def test_price_and_simulate_take_contracts(made: Path, capsys: pytest.CaptureFixture[str]):
    given = ["--hospitals", str(made / "hospitals.parquet"), "--contract", str(made / "acme.toml")]
    assert main(["price", str(made / "grouped.parquet"), str(made / "paid.parquet"), *given, "-q"]) == 0
    grouped, hospitals = (pl.read_parquet(made / f"{name}.parquet") for name in ("grouped", "hospitals"))
    expected = price(grouped, hospitals, [Rates.load(2026), Contract.load(made / "acme.toml")])
    found = pl.read_parquet(made / "paid.parquet")
    assert found["total_usd"].equals(expected["total_usd"])
    assert found.filter(payer="Acme")["contract_rule"].unique().to_list() == ["all"]
    folder = str(made / "result")
    run = ["--scenario", "illustration", "--replicates", "2", "-q"]
    assert main(["simulate", str(made / "claims.parquet"), folder, *given, *run]) == 0
    assert "by IPPS components and contracts" in capsys.readouterr().out


def test_explain_takes_a_contract(made: Path, capsys: pytest.CaptureFixture[str]):
    given = ["--row", "1", "--version", "43.1", "--contract", str(made / "acme.toml"), "-q"]
    assert main(["explain", str(made / "claims.parquet"), *given]) == 0
    printed = capsys.readouterr().out
    drg = pl.read_parquet(made / "grouped.parquet").head(1)
    total = price(drg, None, Contract.load(made / "acme.toml"))["total_usd"].item()
    assert "contract base" in printed
    assert f"{total:,.2f}" in printed


def test_bridge_is_payment_bridge(made: Path, capsys: pytest.CaptureFixture[str]):
    out = made / "by_mdc.csv"
    given = ["--hospitals", str(made / "hospitals.parquet"), "--before", "43.1", "2026", "--after", "44.0", "2027"]
    given += ["--set", "outlier.fixed_loss", "41000", "--by", "mdc", "--out", str(out), "-q"]
    assert main(["bridge", str(made / "claims.parquet"), *given]) == 0
    claims, hospitals = (pl.read_parquet(made / f"{name}.parquet") for name in ("claims", "hospitals"))
    changes = {"outlier.fixed_loss": 41_000.0}
    bridge = payment_bridge(claims, ("43.1", 2026), ("44.0", 2027), hospitals=hospitals, changes=changes)
    printed = capsys.readouterr().out
    for usd in bridge.steps["path_usd"]:
        assert f"{usd:,.2f}" in printed
    assert pl.read_csv(out)["change_usd"].to_list() == bridge.by("mdc")["change_usd"].to_list()
    wrong = [*given[:2], "--before", "43.1", "2026", "--after", "44.0", "2027", "-q"]
    assert main(["bridge", str(made / "claims.parquet"), *wrong]) == 2
    assert "lacks outlier.fixed_loss" in capsys.readouterr().err
