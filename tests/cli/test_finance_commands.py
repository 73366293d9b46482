"""Commands on dollars of a whole year give what their functions give."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from drgsim.cli.command_line import main
from drgsim.compliance.review_findings import extrapolate
from drgsim.compliance.sampling import Stratified, sample

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
