"""Each discharge is paid at the rates of its own year, and what a command assumes is printed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from drgsim import Rates, group, price, read_claims
from drgsim.cli.command_line import main
from drgsim.pricing import read_hospitals
from drgsim.schema import HOSPITALS

STAY = "470,A,3,60000,1,70,F,M1711,,"
HEADER = "admission_id,drg,hospital_id,los_days,covered_charges_usd,discharge_status,age,sex,pdx,sdx,procedures"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Stays of four years and one without a date; 2015 and 2090 have no rates."""
    dates = ("2025-09-30", "2025-10-01", "2014-10-01", "2090-01-01", "")
    rows = [f"{number},{STAY},{date}" for number, date in enumerate(dates, 1)]
    (tmp_path / "stays.csv").write_text("\n".join([f"{HEADER},discharge_date", *rows, ""]))
    (tmp_path / "undated.csv").write_text(f"{HEADER}\n1,{STAY}\n")
    (tmp_path / "hospitals.csv").write_text("hospital_id,wage_index,operating_ccr\nA,1.2,0.25\n")
    return tmp_path


def priced(folder: Path, name: str, *more: str) -> pl.DataFrame:
    out = folder / "paid.parquet"
    where = ["--hospitals", str(folder / "hospitals.csv"), *more]
    assert main(["price", str(folder / name), str(out), *where]) == 0
    return pl.read_parquet(out)


def payment(year: int) -> float:
    """Return the payment of the stay at the rates of one year, by the library."""
    stay = {"drg": [470], "hospital_id": ["A"], "los_days": [3], "covered_charges_usd": [6e4], "discharge_status": [1]}
    hospital = pl.DataFrame({"hospital_id": ["A"], "wage_index": [1.2], "operating_ccr": [0.25]})
    return float(price(pl.DataFrame(stay), hospital, Rates.load(year))["total_usd"].item())


def test_each_discharge_has_the_rates_of_its_own_year(folder: Path, capfd: pytest.CaptureFixture[str]):
    paid = priced(folder, "stays.csv")
    assert paid["total_usd"].to_list() == [payment(2025), payment(2026), 0, 0, 0]
    assert payment(2026) == 15889.92  # as in the example of `price`
    assert payment(2025) != payment(2026)
    assert paid["pay_code"].to_list()[2:] == [55, 55, 55]
    err = capfd.readouterr().err
    assert "fiscal year by discharge_date: 2025 (1), 2026 (1)\n" in err
    assert "2 of 5 admissions discharged in a year without rates: 2015 (1), 2090 (1)" in err
    assert "1 of 5 admissions have no discharge_date; they are not paid" in err
    assert "3 not paid: no rates for the discharge date" in err


def test_a_year_that_is_named_applies_to_all_and_is_reported(folder: Path, capfd: pytest.CaptureFixture[str]):
    assert priced(folder, "stays.csv", "--fiscal-year", "2026")["total_usd"].to_list() == [payment(2026)] * 5
    assert "fiscal year 2026 for every admission; 3 of them discharged in another" in capfd.readouterr().err


def test_without_any_date_the_year_assumed_is_reported(folder: Path, capfd: pytest.CaptureFixture[str]):
    assert priced(folder, "undated.csv")["total_usd"].to_list() == [payment(2026)]
    assert "no discharge_date: fiscal year 2026 is assumed" in capfd.readouterr().err


def test_where_no_year_has_rates_every_row_says_so(folder: Path):
    (folder / "stays.csv").write_text(f"{HEADER},discharge_date\n1,{STAY},2090-01-01\n")
    assert priced(folder, "stays.csv")["pay_code"].to_list() == [55]


def test_the_shared_file_of_three_years(shared: Path, tmp_path: Path):
    grouped, paid = tmp_path / "grouped.csv", tmp_path / "paid.parquet"
    source, hospitals = shared / "faults/f18_three_years.csv", shared / "faults/hospitals.csv"
    assert main(["group", str(source), str(grouped), "-q"]) == 0
    assert main(["price", str(grouped), str(paid), "--hospitals", str(hospitals), "-q"]) == 0
    found = pl.read_parquet(paid)
    assert found["drg"].to_list() == [417, 417, 417]
    first = price(group(read_claims(source))[:1], read_hospitals(hospitals), Rates.load(2025))
    assert found["total_usd"][0] == first["total_usd"].item()
    assert found["total_usd"].n_unique() > 1
    assert found["pay_code"][2] == 55 or found["total_usd"][2] > 0


def test_a_year_that_lacks_a_parameter_is_reported(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    """Its weights are known, but not all that a price needs."""
    load = Rates.load

    def load_without(year: int) -> Rates:
        known = load(year)
        if year != 2025:
            return known
        values = {name: value for name, value in known.values.items() if name != "outlier.fixed_loss"}
        return replace(known, values=values)

    monkeypatch.setattr(Rates, "load", load_without)
    paid = priced(folder, "stays.csv")
    assert paid["pay_code"].to_list()[0] == 55
    assert paid["total_usd"].to_list()[1] == 15889.92
    assert "1 of 5 admissions of 2025: outlier.fixed_loss (Fixed-loss cost threshold) is not known" in (
        capfd.readouterr().err
    )


def test_defaults_of_hospitals_are_reported(folder: Path, capfd: pytest.CaptureFixture[str]):
    priced(folder, "undated.csv")
    err = capfd.readouterr().err
    assert "hospitals do not give beds (default 0), resident_to_bed_ratio (default 0), capital_ime_ratio" in err
    absent = len(HOSPITALS.names) - 5  # hospital_id, wage_index, operating_ccr; cbsa and reclassified are not needed
    assert f"and {absent - 4} more (drgsim.schema.HOSPITALS)" in err


@pytest.mark.parametrize(
    "text",
    [
        "HOSPITAL_ID,Wage_Index,OPERATING_CCR\nA,1.2,0.25\n",
        "hospital_id;wage_index;operating_ccr\nA;1.2;0.25\n",
        "hospital_id\twage_index\toperating_ccr\tbeds\nA\t1.2\t0.25\t350.0\n",
        "wage_index,operating_ccr\n1.2,0.25\n",
        "hospital_id,wage_index,operating_ccr\n,1.2,0.25\n",
    ],
)
def test_hospitals_as_people_write_them(folder: Path, text: str):
    (folder / "hospitals.csv").write_text(text)
    assert priced(folder, "undated.csv")["total_usd"].to_list() == [payment(2026)]


def test_one_hospital_applies_to_claims_without_id(folder: Path, capfd: pytest.CaptureFixture[str]):
    (folder / "undated.csv").write_text(f"{HEADER}\n1,{STAY}\n".replace("hospital_id,", "").replace("A,", ""))
    assert priced(folder, "undated.csv")["total_usd"].to_list() == [payment(2026)]
    assert "one hospital applies to every admission" in capfd.readouterr().err
    (folder / "hospitals.csv").write_text("hospital_id,wage_index,operating_ccr\nA,1.2,0.25\nB,1,0.2\n")
    where = ["--hospitals", str(folder / "hospitals.csv")]
    assert main(["price", str(folder / "undated.csv"), str(folder / "out.csv"), *where, "-q"]) == 2
    assert "2 hospitals, and the claims have no hospital_id." in capfd.readouterr().err


@pytest.mark.parametrize("name", ["f34_hospitals_semicolons.csv", "f34_hospitals_upper.csv"])
def test_the_shared_hospitals_are_equal(shared: Path, name: str):
    expected = read_hospitals(shared / "faults/hospitals.csv")
    assert read_hospitals(shared / "faults" / name).equals(expected)
    assert expected.select("hospital_id", "wage_index", "beds", "operating_ccr").row(0) == ("010001", 1.05, 350, 0.28)


def test_simulate_and_demo_report_what_they_assume(folder: Path, capfd: pytest.CaptureFixture[str]):
    claims = folder / "claims.csv"
    row = "54,F,1,K81.0,J96.01,0FT44ZZ"
    claims.write_text(f"admission_id,age,sex,discharge_status,dx1,dx2,pr1\n1,{row}\n2,{row}\n")
    expected = (
        "no discharge_date: version 43.1 is assumed",
        "no discharge_date: fiscal year 2026 is assumed",
        "no --hospitals: payment is the weight times a base rate, 7,276.76 USD in fiscal year 2026",
        "POA: no indicator for the secondary diagnoses of 2 of 2 admissions; hospital status EXEMPT, as no claim",
    )
    for command in (
        ["simulate", str(claims), str(folder / "result"), "--scenario", "empty", "--replicates", "2"],
        ["demo", "--claims", str(claims), "--scenario", "empty", "--replicates", "2", "--out", str(folder / "demo")],
    ):
        assert main(command) == 0
        err = capfd.readouterr().err
        for line in expected:
            assert line in err


def test_claims_of_another_year_are_simulated_by_its_rules(folder: Path, capfd: pytest.CaptureFixture[str]):
    claims = folder / "claims.csv"
    row = "54,F,1,K81.0,J96.01,0FT44ZZ"
    header = "admission_id,age,sex,discharge_status,dx1,dx2,pr1,discharge_date"
    claims.write_text(f"{header}\n1,{row},2024-12-01\n2,{row},2025-05-01\n")
    command = ["simulate", str(claims), str(folder / "result"), "--scenario", "empty", "--replicates", "2"]
    assert main(command) == 0
    out, err = capfd.readouterr()
    assert "version 42.1 for every admission; 1 of 2 discharged under another" in err
    assert "fiscal year by discharge_date: 2025 (2)" in err
    assert "fiscal year 2025" in out
