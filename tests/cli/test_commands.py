"""Commands end as they say, tell errors in one line without a cell of a claim, and write files whole."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from drgsim import Rates, TableSet, generate, group, price, report
from drgsim.cli.command_line import build_parser, describe_installation, main
from drgsim.compliance.profiles import profile
from drgsim.exceptions import StorageError
from drgsim.explanation.explanations import explain
from drgsim.miscoding.scenarios import Scenario
from drgsim.pricing.pricer_input import with_weights
from drgsim.simulation.results import Simulation, load_simulation
from drgsim.simulation.simulator import simulate
from tests.support.made import with_claims
from tests.support.releases import release

TABLES, RATES = TableSet.load("43.1"), Rates.load(2026)
SECRET = "J9601"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 400 generated claims and their hospitals, grouped claims, and a result."""
    folder = tmp_path_factory.mktemp("made")
    claims, hospitals = folder / "claims.parquet", folder / "hospitals.csv"
    assert main(["generate", "400", str(claims), "--hospitals", str(hospitals), "--seed", "5", "-q"]) == 0
    assert main(["group", str(claims), str(folder / "grouped.csv"), "--version", "43.1", "-q"]) == 0
    where = [str(claims), str(folder / "result"), "--hospitals", str(hospitals)]
    assert main(["simulate", *where, "--scenario", "illustration", "--replicates", "3", "--ledger", "-q"]) == 0
    return folder


def reported(arguments: list[str], code: int, capfd: pytest.CaptureFixture[str]) -> str:
    """Return the one line of standard error a command ends with."""
    capfd.readouterr()
    assert main([*arguments, "-q"]) == code
    out, err = capfd.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("drgsim: ")
    assert "Traceback" not in err
    return err


# ------------------------------------------------------------------------------------- each is its function


def test_generate_is_generate(made: Path):
    hospitals, admissions = generate(400, seed=5, tables=TABLES)
    assert pl.read_parquet(made / "claims.parquet").equals(admissions)
    names = pl.read_csv(made / "hospitals.csv", schema_overrides={"hospital_id": pl.String})["hospital_id"]
    assert names.equals(hospitals["hospital_id"])


def test_group_and_price_through_csv_are_group_and_pay(made: Path, tmp_path: Path):
    hospitals, admissions = generate(400, seed=5, tables=TABLES)
    out = tmp_path / "paid.parquet"
    assert main(["price", str(made / "grouped.csv"), str(out), "--hospitals", str(made / "hospitals.csv"), "-q"]) == 0
    expected = price(group(admissions, TABLES), hospitals, RATES)
    assert_frame_equal(pl.read_parquet(out), expected, check_exact=True)


def test_a_column_of_versions_may_look_like_numbers(tmp_path: Path):
    path, out = tmp_path / "claims.csv", tmp_path / "grouped.parquet"
    row = "50,F,1,I25110,,,027035Z;02703EZ"  # two and two stents of different kinds, see tests/golden/cases.csv
    path.write_text(
        f"admission_id,age,sex,discharge_status,pdx,sdx,sdx_poa,procedures,grouper\n1,{row},40.1\n2,{row},41.0\n"
    )
    assert main(["group", str(path), str(out), "--version", "grouper", "-q"]) == 0
    assert pl.read_parquet(out)["drg"].to_list() == [247, 321]


def test_simulate_returns_bills_with_edits_where_asked(made: Path):
    where = [str(made / "claims.parquet"), str(made / "returned"), "--hospitals", str(made / "hospitals.csv")]
    assert (
        main(["simulate", *where, "--scenario", "illustration", "--replicates", "3", "--edits", "returned", "-q"]) == 0
    )
    hospitals, admissions = generate(400, seed=5, tables=TABLES)
    how = {"tables": TABLES, "hospitals": hospitals, "rates": RATES, "replicates": 3, "seed": 1, "edits": "returned"}
    result = simulate(admissions, Scenario.load("illustration"), **how)
    assert_frame_equal(load_simulation(made / "returned").summary(), result.summary(), check_exact=True)


def test_simulate_is_simulate_and_comes_back(made: Path):
    hospitals, admissions = generate(400, seed=5, tables=TABLES)
    result = simulate(
        admissions,
        Scenario.load("illustration"),
        tables=TABLES,
        hospitals=hospitals,
        rates=RATES,
        replicates=3,
        seed=1,
        ledger=True,
    )
    back = load_simulation(made / "result")
    for name in ("run_id", "version", "seed", "replicates", "asked", "interrupted", "priced_by"):
        assert getattr(back, name) == getattr(result, name), name
    assert back.scenario.digest == result.scenario.digest
    for name in ("admissions", "totals", "changed_claims", "attribution", "error_counts", "ledger"):
        assert_frame_equal(getattr(back, name), getattr(result, name), check_exact=True)
    assert_frame_equal(back.summary(), result.summary(), check_exact=True)
    assert_frame_equal(back.by("error", "mdc"), result.by("error", "mdc"), check_exact=True)


def test_explain_is_explain(made: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    hospitals, admissions = generate(400, seed=5, tables=TABLES)
    one = admissions[6:7]
    own = hospitals.filter(pl.col("hospital_id") == one["hospital_id"].item())
    expected = explain(one, TABLES, RATES, own)
    page = tmp_path / "why.html"
    which = ["explain", str(made / "claims.parquet"), "--version", "43.1", "-q"]
    money = ["--fiscal-year", "2026", "--hospitals", str(made / "hospitals.csv")]
    assert main([*which, *money, "--row", "7"]) == 0
    assert capfd.readouterr().out == f"{expected}\n"
    assert main([*which, *money, "--id", str(one["admission_id"].item()), "--html", str(page)]) == 0
    assert page.read_text("utf-8") == expected._repr_html_()


def test_profile_is_profile(made: Path, tmp_path: Path):
    _, admissions = generate(400, seed=5, tables=TABLES)
    out = tmp_path / "profile.parquet"
    assert main(["profile", str(made / "grouped.csv"), str(out), "--by", "sex", "-q"]) == 0
    expected = profile(with_weights(group(admissions, TABLES), RATES), TABLES, by="sex")
    assert_frame_equal(pl.read_parquet(out), expected, check_exact=True)


def test_report_is_the_page_of_the_result(made: Path, tmp_path: Path):
    assert main(["report", str(made / "result"), str(tmp_path / "page.html"), "-q"]) == 0
    result = load_simulation(made / "result")
    assert (tmp_path / "page.html").read_bytes() == report(result, tmp_path / "own.html", tables=TABLES).read_bytes()
    assert result.run_id in (tmp_path / "page.html").read_text("utf-8")


def test_tables_diff_between_folders(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    """A release is imported and compared with itself, and its two versions with each other."""
    archive, folder = tmp_path / "grouper.bin", str(tmp_path / "tables")
    archive.write_bytes(release())
    assert main(["tables", "import", str(archive), folder]) == 0
    assert capfd.readouterr().out == f"{folder}: 43.0, 43.1\n"
    assert main(["tables", "diff", "43.1", "43.1", "--folder", folder, "--new-folder", folder, "-q"]) == 0
    assert capfd.readouterr().out == "table,key,change,before,after\n"
    assert main(["tables", "diff", "43.0", "43.1", "--folder", folder]) == 0
    out, err = capfd.readouterr()
    assert out.splitlines()[1:] == ["pdx_exclusions,K358,new,,R65"]  # the last version excludes R65
    assert err == "drgsim: 43.0 to 43.1: 1 new\n"


def test_tables_verify_finds_what_is_wrong(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    archive, folder = tmp_path / "grouper.bin", tmp_path / "tables"
    archive.write_bytes(release())
    assert main(["tables", "import", str(archive), str(folder), "-q"]) == 0
    assert main(["tables", "verify", "--folder", str(folder)]) == 0
    (folder / "msdrg" / "more.csv").write_text("a\n")
    with (folder / "scenarios" / "empty.toml").open("a") as file:
        file.write("\n")
    capfd.readouterr()
    assert main(["tables", "verify", "--folder", str(folder)]) == 1
    out = capfd.readouterr().out
    assert "msdrg/more.csv: not listed in manifest.toml" in out
    assert "scenarios/empty.toml: " in out
    assert "scenario empty: " in out
    assert out.splitlines()[-1].endswith("3 wrong")


# ------------------------------------------------------------------------------------------------- streams


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_standard_input_may_be_either(
    made: Path, tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
):
    claims = pl.read_parquet(made / "claims.parquet")
    path = tmp_path / f"claims{suffix}"
    main(["group", str(made / "claims.parquet"), str(path), "--version", "43.1", "-q"])
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(path.read_bytes())))
    assert main(["group", "-", "--version", "44.0", "-q"]) == 0
    out = capfdbinary.readouterr().out
    assert pl.read_csv(out)["drg"].to_list() == group(claims, version="44.0")["drg"].to_list()


def shell(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    shim = f'drgsim() {{ "{sys.executable}" -m drgsim "$@"; }}; set -o pipefail; '
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.run(
        ["bash", "-c", shim + command], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_a_reader_that_has_seen_enough_is_no_error(made: Path):
    done = shell("drgsim group claims.parquet - --version 43.1 -q | head -c 10", made)
    assert (done.stdout, done.stderr, done.returncode) == ("admission_", "", 0)


def test_the_module_runs_and_its_code_is_the_process_code(made: Path):
    done = shell("drgsim group absent.csv", made)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "drgsim: absent.csv: no such file.\n")


# -------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["group", "absent.csv"], "absent.csv: no such file."),
        (["group", "CLAIMS", "out.ods"], "out.ods: cannot write .ods; use .parquet, .csv, .xlsx."),
        (["group", "CLAIMS", "nowhere/out.csv"], "nowhere/out.csv: there is no folder"),
        (["group", "CLAIMS", "--version", "43.11"], "'43.11' is neither a grouper version"),
        (["price", "GROUPED", "--hospitals", "absent.csv"], "absent.csv: no such file."),
        (["simulate", "CLAIMS", "new", "--scenario", "ilustration"], "Did you mean 'illustration'?"),
        (["simulate", "CLAIMS", "FOLDER", "--scenario", "empty"], "no part of a result. Name a new or empty folder."),
        (["simulate", "CLAIMS", "CLAIMS", "--scenario", "empty"], "a file. Name a folder for the result."),
        (["explain", "CLAIMS", "--row", "401"], "--row is 401, but there are 400 admissions."),
        (["explain", "CLAIMS", "--id", "99999"], "0 admissions have the --id asked for; take one by --row."),
        (["explain", "CLAIMS", "--row", "1", "--html", "why.txt"], "cannot write .txt; use .html."),
        (["profile", "GROUPED", "--by", "ward"], "lack the column 'ward'"),
        (["report", "FOLDER", "out.html"], "no result of a simulation there (no run.json)."),
        (["tables", "show", "43.2"], "Did you mean '43.1'?"),
        (["tables", "show", "43.1", "formula"], "no table 'formula'. Did you mean 'formulas'?"),
        (["tables", "verify", "--folder", "nowhere"], "Is it a drgsim table folder?"),
        (["tables", "import", "absent.zip", "new"], "absent.zip: there is no such file"),
        (["tables", "import", "absent.zip", "new", "--effective", "45.0", "soon", "later"], "'soon' is no date"),
        (["scenarios", "show", "absent.toml"], "absent.toml: cannot be read"),
    ],
)
def test_what_cannot_be_used_is_one_line_and_code_2(
    made: Path, arguments: list[str], expected: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(made)
    before = sorted(path.name for path in made.iterdir())
    names = {"CLAIMS": "claims.parquet", "GROUPED": "grouped.csv", "FOLDER": "."}
    assert expected in reported([names.get(word, word) for word in arguments], 2, capfd)
    assert sorted(path.name for path in made.iterdir()) == before


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "drgsim: the following arguments are required: COMMAND. See drgsim --help."),
        (["grup"], "drgsim: argument COMMAND: invalid choice: 'grup'"),
        (["group"], "drgsim group: the following arguments are required: CLAIMS"),
        (["group", "a.csv", "--detial"], "drgsim: unrecognized arguments: --detial"),
        (["generate", "-3", "a.csv"], "drgsim generate: "),
        (["simulate", "a.csv", "r", "--scenario", "empty", "--replicates", "0"], "0 is below 1"),
        (["price", "a.csv", "--hospitals", "h.csv", "--fiscal-year", "1999"], "invalid choice: 1999"),
        (["explain", "a.csv", "--row", "1", "--id", "1"], "not allowed with argument --row"),
    ],
)
def test_a_mistake_in_the_arguments_is_one_line_and_code_2(
    arguments: list[str], expected: str, capfd: pytest.CaptureFixture[str]
):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    err = capfd.readouterr().err
    assert expected in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("row", "where"),
    [
        (f"1,{SECRET},F,1,K810,{SECRET},Y,", "age"),
        (f"1,50,F,{SECRET},K810,{SECRET},Y,", "discharge_status"),
        (f"1,50,F,1,K810,{SECRET},Y;N;Y,", "row 1"),
        (f'1,50,F,1,"K810,{SECRET}', "not a readable csv file"),
    ],
)
def test_no_cell_of_a_claim_reaches_the_log(tmp_path: Path, row: str, where: str, capfd: pytest.CaptureFixture[str]):
    path = tmp_path / "claims.csv"
    path.write_text(f"admission_id,age,sex,discharge_status,pdx,sdx,sdx_poa,procedures\n{row}\n")
    err = reported(["group", str(path), "--version", "43.1"], 2, capfd)
    assert SECRET not in err
    assert "claims.csv" in err
    assert where in err


def test_a_defect_is_one_line_without_what_it_met(
    made: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    def breaks(*_args: object, **_kwargs: object) -> None:
        raise KeyError(SECRET)

    monkeypatch.setattr("drgsim.grouping.grouper.group_and_count_codes", breaks)
    monkeypatch.delenv("DRGSIM_TRACEBACK", raising=False)
    err = reported(["group", str(made / "claims.parquet")], 3, capfd)
    assert err == "drgsim: a defect of drgsim (KeyError); DRGSIM_TRACEBACK=1 shows where\n"
    monkeypatch.setenv("DRGSIM_TRACEBACK", "1")
    assert main(["group", str(made / "claims.parquet"), "-q"]) == 3
    assert "Traceback" in capfd.readouterr().err


def test_a_full_disk_leaves_what_was_there(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd):
    out = tmp_path / "grouped.csv"
    out.write_text("what was there")

    def full(self: pl.DataFrame, path: Path) -> None:
        path.write_text("half of")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pl.DataFrame, "write_csv", full)
    err = reported(["group", str(made / "claims.parquet"), str(out), "--version", "43.1"], 2, capfd)
    assert "No space left on device" in err
    assert [path.name for path in tmp_path.iterdir()] == ["grouped.csv"]
    assert out.read_text() == "what was there"


# ------------------------------------------------------------------------------------- folders and interrupts


def test_a_result_is_replaced_whole_or_not_at_all(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    result, folder = load_simulation(made / "result"), tmp_path / "result"
    result.save(folder)
    assert (folder / "ledger.parquet").exists()

    def fails(self: pl.DataFrame, path: Path) -> None:
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(pl.DataFrame, "write_parquet", fails)
        with pytest.raises(StorageError, match="No space"):
            result.save(folder)
    assert [path.name for path in tmp_path.iterdir()] == ["result"]
    assert load_simulation(folder).run_id == result.run_id
    with_claims(result, ledger=None).save(folder)
    assert not (folder / "ledger.parquet").exists()  # nothing of the earlier result is left
    assert [path.name for path in tmp_path.iterdir()] == ["result"]


def test_a_damaged_result_is_told(made: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    folder = load_simulation(made / "result").save(tmp_path / "result")
    (folder / "attribution.parquet").write_bytes(b"no Parquet")
    command = ["report", str(folder), str(tmp_path / "a.html")]
    assert "attribution.parquet: damaged, or not saved together with run.json. " in reported(command, 2, capfd)
    (folder / "run.json").write_text("{}")
    assert "run.json: damaged" in reported(command, 2, capfd)


@pytest.mark.parametrize("finished", [0, 1])
def test_an_interrupt_keeps_what_is_finished(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, finished: int
):
    def interrupted(*args: object, **kwargs: object) -> Simulation:
        result = load_simulation(made / "result")
        about_it = {"interrupted": True, "replicates": finished, "totals": result.totals.head(finished)}
        return Simulation(**{**vars(result), **about_it})

    monkeypatch.setattr("drgsim.simulation.simulator.simulate", interrupted)
    out = tmp_path / "result"
    assert main(["simulate", str(made / "claims.parquet"), str(out), "--scenario", "illustration", "-q"]) == 130
    assert out.exists() == bool(finished)


# ---------------------------------------------------------------------------------------------------- help


def commands(of: object = None, prefix: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Return every command, those within others too."""
    (action,) = (one for one in (of or build_parser())._actions if one.choices and isinstance(one.choices, dict))
    found: list[tuple[str, ...]] = []
    for name, own in action.choices.items():
        nested = any(isinstance(one.choices, dict) for one in own._actions)
        found += commands(own, (*prefix, name)) if nested else [(*prefix, name)]
    return found


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_help_has_an_example_that_is_understood(words: tuple[str, ...], capfd: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        main([*words, "--help"])
    assert ended.value.code == 0
    page = capfd.readouterr().out
    lines = [line.strip() for line in page.partition("example:")[2].strip().splitlines()]
    assert lines
    for line in lines:
        for part in line.partition(">")[0].split("|"):
            assert build_parser().parse_args(part.split()[1:]).run is not None
    assert any(line.split("|")[-1].split()[1 : 1 + len(words)] == list(words) for line in lines)


def test_version_says_what_is_installed(capfd: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capfd.readouterr().out.strip() == describe_installation()
    assert "MS-DRG 36.0 to 44.0" in describe_installation()
