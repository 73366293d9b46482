"""Commands of reviews are their functions."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from drgsim import Rates, Scenario, TableSet, generate, group
from drgsim.cli.command_line import main
from drgsim.cli.frame_files import to_csv
from drgsim.review import compare_codings, validate_drgs, worklist

TABLES, RATES = TableSet.load("43.1"), Rates.load(2026)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with claims, their hospitals, the same with billed DRGs, and another coding."""
    made = tmp_path_factory.mktemp("review")
    hospitals, claims = generate(200, seed=5, tables=TABLES)
    hospitals.write_csv(made / "hospitals.csv")
    claims.write_parquet(made / "claims.parquet")
    billed = claims.with_columns(billed_drg=group(claims, TABLES)["drg"].shift(1))
    billed.write_parquet(made / "billed.parquet")
    again = claims.with_columns(pl.col("sdx", "sdx_poa").list.slice(1))
    again.write_parquet(made / "other.parquet")
    return made


def read(path: Path) -> pl.DataFrame:
    return pl.read_parquet(path)


def test_validate_is_validate_drgs(folder: Path, tmp_path: Path):
    out = tmp_path / "accounts.parquet"
    where = ["--hospitals", str(folder / "hospitals.csv"), "-q"]
    assert main(["validate", str(folder / "billed.parquet"), str(out), *where]) == 0
    hospitals = pl.read_csv(folder / "hospitals.csv", schema_overrides={"hospital_id": pl.String, "cbsa": pl.String})
    found = validate_drgs(read(folder / "billed.parquet"), tables=TABLES, hospitals=hospitals, rates=RATES).accounts
    written = read(out)
    assert written["usd_difference"].to_list() == found["usd_difference"].to_list()
    assert written["reasons"].to_list() == found["reasons"].list.join("; ").to_list()
    assert main(["validate", str(folder / "billed.parquet"), str(out), *where, "--differing"]) == 0
    assert 0 < read(out).height < found.height


def test_compare_is_compare_codings(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    files = [str(folder / name) for name in ("claims.parquet", "other.parquet")]
    scenario = tmp_path / "seen.toml"
    out = tmp_path / "differences.csv"
    assert main(["compare", *files, str(out), "--scenario", str(scenario), "-q"]) == 0
    found = compare_codings(*map(read, (Path(file) for file in files)), tables=TABLES, rates=RATES)
    assert capsys.readouterr().out == f"{found}\n"
    assert Scenario.load(scenario).digest == found.to_scenario().digest
    assert out.read_text("utf-8") == to_csv(found.differences())


def test_worklist_is_worklist(folder: Path, tmp_path: Path):
    out = tmp_path / "list.parquet"
    assert main(["worklist", str(folder / "claims.parquet"), str(out), "--most", "7", "-q"]) == 0
    assert read(out).equals(worklist(read(folder / "claims.parquet"), tables=TABLES, rates=RATES, most=7))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["validate", "claims.parquet"], "lack the column 'billed_drg'"),
        (["compare", "claims.parquet", "other.parquet", "--coder", "coder"], "lack the column 'coder'"),
        (["compare", "claims.parquet", "other.parquet", "--scenario", "seen.txt"], "use .toml"),
    ],
)
def test_what_cannot_be_used_is_one_line(
    folder: Path, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(folder)
    assert main([*arguments, "-q"]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
