"""What no input may do: bring drgsim down, fill the memory, hang, or silently become another answer.

Every row of docs/hostile_input.md names a test here.
"""

from __future__ import annotations

import ast
import gzip
import json
import os
import re
import subprocess
import sys
import textwrap
import zlib
from pathlib import Path

import polars as pl
import pytest

import drgsim
from drgsim import Rates, TableSet, group, price
from drgsim.claims.layouts import map_claims
from drgsim.cli.frame_files import write_frame
from drgsim.exceptions import DrgsimError, InputError, SchemaError, TableError
from drgsim.explanation.explanations import explain
from drgsim.files.bounded import MOST_LINE, MOST_SETTINGS, SMALL
from drgsim.miscoding.scenarios import Scenario
from drgsim.rates.table5 import read_table5
from drgsim.schema import normalise_codes
from drgsim.synthetic.population import Population
from drgsim.tables.formula import expand_alternatives, parse_formula
from drgsim.tables.manifest import MANIFEST, read_verified, seal

PACKAGE = Path(drgsim.__file__).parent
HEAD = "admission_id,age,sex,discharge_status"
PEAK_MIB = 700
"""What a process that refuses a bomb may hold; importing drgsim and Polars takes some 150 of it."""


def held(program: str, *arguments: object) -> str:
    """Run a program in a process of its own, of bounded address space; return what it prints, its peak held."""
    bound = """
        import resource, sys
        resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))
    """
    # The process's own high water: getrusage() would count what this one held before the other began.
    peak = "sys.stderr.write(open('/proc/self/status').read().partition('VmHWM:')[2].split()[0])"
    done = subprocess.run(
        [sys.executable, "-c", f"{textwrap.dedent(bound)}\n{textwrap.dedent(program)}\n{peak}", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=PACKAGE.parent,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stderr.split()[-1]) < PEAK_MIB * 1024
    return done.stdout


REFUSED = """
    from drgsim.claims.layouts import map_claims
    from drgsim.exceptions import InputError
    try:
        map_claims(sys.argv[1], sys.argv[2] or None)
    except InputError as error:
        print(error)
"""

# ---------------------------------------------------------------------------------------------- compressed


@pytest.mark.parametrize(
    ("name", "layout"), [("a.csv.gz", ""), ("a.ndjson.gz", ""), ("a.txt.gz", "rif"), ("a.edi.gz", "837i")]
)
def test_a_bomb_is_refused_before_it_fills_the_memory(tmp_path: Path, name: str, layout: str):
    path = tmp_path / name
    path.write_bytes(gzip.compress(bytes(SMALL)) * 32)  # 2 MB on disk, 2 GiB unpacked
    assert "grows beyond 100 times its size" in held(REFUSED, path, layout)


def test_a_bomb_is_known_by_its_bytes_not_its_name(tmp_path: Path):
    path = tmp_path / "a.csv"
    path.write_bytes(gzip.compress(bytes(SMALL)) * 32)
    assert "grows beyond 100 times its size" in held(REFUSED, path, "admissions")


def test_an_honest_gzip_is_read_whatever_its_size(tmp_path: Path):
    row = "7,71,F,1,K810,I10,Y,0FT44ZZ\n"
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress((f"{HEAD},pdx,sdx,sdx_poa,procedures\n" + row * 1000).encode()))
    assert map_claims(path).admissions.height == 1000


@pytest.mark.parametrize(
    "content", [zlib.compress(b"a" * 99), zlib.compress(b"a" * 99, 9), b"\x28\xb5\x2f\xfd" + bytes(9)]
)
def test_other_compression_is_refused(tmp_path: Path, content: bytes):
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"compressed by (zlib|Zstandard); unpack it, or compress it by gzip"):
        map_claims(path)


def test_a_parquet_file_cannot_claim_more_cells_than_its_size_allows(tmp_path: Path):
    path = tmp_path / "a.parquet"
    pl.select(pdx=pl.repeat(True, 20_000_000)).write_parquet(path)
    assert path.stat().st_size < 400_000
    with pytest.raises(InputError, match="claims 20,000,000 cells, more than 16,777,216"):
        map_claims(path)


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "text"])
@pytest.mark.parametrize("name", ["a.parquet", "a.csv.gz", "a.ndjson.gz"])
def test_damaged_files_are_refused_by_name(tmp_path: Path, cholecystectomy: pl.DataFrame, name: str, damage: str):
    path = tmp_path / name
    if name == "a.parquet":
        pl.concat([cholecystectomy] * 100).write_parquet(path)
    else:
        path.write_bytes(gzip.compress(b'{"principal_dx": {"code": "K810"}}\n' * 100))
    content = path.read_bytes()
    half = len(content) // 2
    path.write_bytes(
        {
            "cut": content[:half],
            "flipped": content[:half] + bytes(64) + content[half + 64 :],
            "empty": b"",
            "text": b"x",
        }[damage]
    )
    with pytest.raises(DrgsimError, match=re.escape(str(path))):
        map_claims(path)


# ---------------------------------------------------------------------------------------------- codes

LOOK_ALIKES = {
    "Cyrillic Ka": "\u041a81.0",
    "Greek Kappa": "\u039a810",
    "Kelvin sign": "\u212a810",
    "full width": "\uff2b\uff18\uff11\uff10",
    "Arabic digits": "K\u0668\u0661\u0660",
    "zero width": "K8\u200b10",
    "soft hyphen": "K8\u00ad10",
    "combining": "K\u030181",
    "right to left": "\u202eK810",
    "inner blank": "K8 10",
    "NUL": "K810\0",
    "one dot leader": "K81\u20240",
}


@pytest.mark.parametrize("code", LOOK_ALIKES.values(), ids=LOOK_ALIKES)
def test_a_look_alike_is_no_code(cholecystectomy: pl.DataFrame, code: str):
    grouped = group(cholecystectomy.with_columns(pdx=pl.lit(code)), version="43.1")
    assert grouped.select("drg", "return_code").row(0) == (999, "INVALID_PDX")
    assert grouped["pdx"].item() == code


@pytest.mark.parametrize(
    ("written", "code"),
    [
        ("\u017f72001A", "S72001A"),
        ("\u013110", "I10"),
        ("\u01315020", "I5020"),
        ("\ufb0110", "FI10"),
        ("\u00df10", "SS10"),
    ],
)
def test_letters_that_become_ascii_when_raised_do_not(cholecystectomy: pl.DataFrame, written: str, code: str):
    """Upper case of a dotless i is I, of a long s S, of a sharp s SS."""
    assert written.upper() == code
    assert normalise_codes(pl.Series([written])).item() != code
    as_pdx = group(cholecystectomy.with_columns(pdx=pl.lit(written)), version="43.1")
    assert as_pdx["return_code"].item() == "INVALID_PDX"
    as_sdx = group(cholecystectomy.with_columns(sdx=pl.lit([written])), version="43.1", detail=True)
    assert as_sdx["sdx_valid"].item().to_list() == [False]


def test_a_look_alike_among_the_secondary_codes_changes_nothing(cholecystectomy: pl.DataFrame):
    """J96.01 makes the admission DRG 417; with a Cyrillic Je it is no code, and the DRG stays 419."""
    for code, drg in (("J96.01", 417), ("\u040896.01", 419)):
        found = group(cholecystectomy.with_columns(sdx=pl.lit([code])), version="43.1", detail=True)
        assert (found["drg"].item(), found["sdx_valid"].item().to_list()) == (drg, [drg == 417])


def test_rows_of_ten_thousand_codes(cholecystectomy: pl.DataFrame):
    """Repeated codes count once: CMS's answer to the admission is 419, with an MCC 417."""
    many = cholecystectomy.with_columns(
        sdx=pl.lit(["I10"] * 10_000), sdx_poa=pl.lit(["Y"] * 10_000), procedures=pl.lit(["0FT44ZZ"] * 10_000)
    )
    severe = many.with_columns(sdx=pl.lit(["I10"] * 9_999 + ["J9601"]))
    nonsense = many.with_columns(sdx=pl.lit([f"?{i}" for i in range(10_000)]))
    assert group(pl.concat([many, severe, nonsense]), version="43.1")["drg"].to_list() == [419, 417, 419]
    assert group(severe, version="43.1", detail=True)["sdx_sev_final"].item().to_list()[-1] == "MCC"


def test_a_file_with_ten_thousand_codes_of_one_claim(tmp_path: Path):
    path = tmp_path / "a.csv"
    rows = "".join(f"7,I10,dx,{number}\n" for number in range(2, 10_001))
    path.write_text(f"claim_id,code,type,sequence\n7,K810,dx,1\n{rows}")
    read = map_claims(path).admissions
    assert read.select("pdx", pl.col("sdx").list.len()).row(0) == ("K810", 9_999)


# ---------------------------------------------------------------------------------------------- numbers

HOSPITALS = pl.DataFrame({"hospital_id": ["A"], "operating_ccr": [0.3], "wage_index": [1.0]})


@pytest.mark.parametrize("charges", [float("nan"), float("inf"), -float("inf"), -1.0, 1e300, None])
def test_charges_that_cannot_be_are_not_paid(charges: float | None):
    stay = {"drg": [470], "hospital_id": ["A"], "los_days": [3], "discharge_status": [1]}
    paid = price(
        pl.DataFrame({**stay, "covered_charges_usd": pl.Series([charges], dtype=pl.Float64)}),
        HOSPITALS,
        Rates.load(2026),
    )
    assert paid.select("total_usd", "pay_code").row(0) == (0.0, 58)


@pytest.mark.parametrize("los", [-1, 100_000, 2**31, -(2**31) - 1, 2**62, None])
def test_lengths_of_stay_that_cannot_be_are_not_paid(los: int | None):
    stay = {"drg": [470], "hospital_id": ["A"], "discharge_status": [1], "covered_charges_usd": [1000.0]}
    paid = price(pl.DataFrame({**stay, "los_days": pl.Series([los], dtype=pl.Int64)}), HOSPITALS, Rates.load(2026))
    assert paid["total_usd"].item() == 0.0
    assert paid["pay_code"].item() in (56, 62)


@pytest.mark.parametrize("value", [-(2**63), -1, 0, 256, 2**31, 2**63 - 1, None])
def test_any_whole_number_may_stand_for_a_status(cholecystectomy: pl.DataFrame, value: int | None):
    """CMS asks the status of few DRGs: of none of gallbladders, but of those of infarctions (MDC 5)."""
    rows = cholecystectomy.with_columns(discharge_status=pl.lit(value, pl.Int64), age=pl.lit(value, pl.Int64))
    infarction = rows.with_columns(pdx=pl.lit("I214"), procedures=pl.lit([], pl.List(pl.String)))
    codes = group(pl.concat([rows, infarction]), version="43.1")["return_code"].to_list()
    assert codes == ["OK", "INVALID_DISCHARGE_STATUS"]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), -1.0, 1e300])
def test_rates_and_factors_that_cannot_be_are_refused(value: float):
    rates = Rates.load(2026)
    with pytest.raises(InputError, match=r"outlier\.fixed_loss"):
        rates.reformed({"outlier.fixed_loss": value})
    for column in ("wage_index", "operating_ccr"):
        with pytest.raises(SchemaError, match=f"hospitals, row 0: {column}"):
            price(
                pl.DataFrame(
                    {
                        "drg": [470],
                        "hospital_id": ["A"],
                        "los_days": [3],
                        "discharge_status": [1],
                        "covered_charges_usd": [1.0],
                    }
                ),
                HOSPITALS.with_columns(pl.lit(value).alias(column)),
                rates,
            )
    with pytest.raises(InputError):
        Scenario.load("illustration").scaled(value)


# ---------------------------------------------------------------------------------------------- settings

RATE = '[errors.a]\nkind = "sdx_omit"\ncc = {}\n'
SETTINGS = {
    "arrays within arrays": ("title = " + "[" * 4000 + "]" * 4000, "nests deeper than 32"),
    "arrays a little too deep": ("title = " + "[" * 40 + "]" * 40, "nests deeper than 32"),
    "tables within tables": ("[" + ".".join("a" * 40) + "]\n", "nests deeper than 32"),
    "a key of 100,000 parts": (".".join("a" * 100_000) + " = 1\n", f"line 1 has more than {MOST_LINE:,} characters"),
    "a number of 5,000 digits": ("title = " + "9" * 5_000, "not a TOML file"),
    "a hexadecimal number of 9,000 digits": ("title = 0x" + "f" * 9_000, "a whole number of more than 64 bits"),
    "a key twice": ('title = "a"\ntitle = "b"\n', "not a TOML file: Cannot overwrite a value"),
    "a table twice": ('title = "a"\n[errors.a]\n[errors.a]\n', "not a TOML file: Cannot declare"),
    "NUL": ('title = "a\0b"\n', "not a TOML file"),
    "a stray byte": (b'title = "\xff"\n', "not UTF-8 text at byte 9"),
    "a rate that is no number": ('title = "a"\n' + RATE.format("nan"), "errors.a.cc is nan"),
    "an endless rate": ('title = "a"\n' + RATE.format("inf"), "errors.a.cc is inf"),
    "a gigantic rate": ('title = "a"\n' + RATE.format("1e308"), "errors.a.cc is 1e[+]308"),
    "a negative rate": ('title = "a"\n' + RATE.format("-0.1"), "errors.a.cc is -0.1"),
    "a rate in words": ('title = "a"\n' + RATE.format("\"__import__('os')\""), "errors.a.cc is"),
    "a key that does not exist": ('title = "a"\n__class__ = 1\n', "__class__ is 1"),
    "too large": ("#" * (MOST_SETTINGS + 1), f"more than {MOST_SETTINGS:,} bytes"),
}


@pytest.mark.parametrize(("content", "message"), SETTINGS.values(), ids=SETTINGS)
def test_hostile_settings_are_refused(tmp_path: Path, content: str | bytes, message: str):
    path = tmp_path / "mine.toml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=message):
        Scenario.load(path)
    if "errors" not in str(content):
        with pytest.raises(InputError):
            Population.load(path)


def test_a_byte_order_mark_does_no_harm(tmp_path: Path):
    path = tmp_path / "mine.toml"
    path.write_bytes(b'\xef\xbb\xbftitle = "a"\n')
    assert Scenario.load(path).title == "a"


@pytest.mark.parametrize("load", [Scenario.load, Population.load, read_table5])
def test_what_is_no_file_of_settings_is_refused_at_once(tmp_path: Path, load: object):
    (tmp_path / "folder.toml").mkdir()
    os.mkfifo(tmp_path / "pipe.toml")
    with (tmp_path / "huge.toml").open("wb") as file:
        file.truncate(100 << 20)  # 100 MB, of which none is on the disk
    (tmp_path / "endless.toml").symlink_to("/dev/zero")
    for name in ("folder", "pipe", "huge", "endless", "absent", "a\0b"):
        with pytest.raises(DrgsimError, match=r"cannot be read|more than [0-9,]+ bytes"):
            load(tmp_path / f"{name}.toml")  # type: ignore[operator]


@pytest.mark.parametrize(
    "text",
    [
        "(" * 5000 + "a" + ")" * 5000,
        "~" * 5000 + "a",
        "a" * 20_000,
        " & ".join(f"(a{i} | b{i})" for i in range(30)),
        " | ".join(f"a{i}" for i in range(1_001)),
    ],
    ids=["parentheses", "tildes", "long", "alternatives", "alternatives in a row"],
)
def test_formulas_that_would_not_end_are_refused(text: str):
    with pytest.raises(TableError, match="formula"):
        expand_alternatives(parse_formula(text))


# ---------------------------------------------------------------------------------------------- table folders


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A table folder with one small table of its own."""
    folder = tmp_path / "tables"
    folder.mkdir()
    (folder / "a.csv").write_text("code\nK810\n")
    (folder / MANIFEST).write_text(_manifest("a.csv"))
    seal(folder)
    return folder


def _manifest(name: str, version: str = "") -> str:
    entry = f'[files.{json.dumps(name)}]\nsha256 = "{"0" * 64}"\n'
    return f'title = "a"\n[versions]\n{version}\n{entry}'


def test_the_small_folder_is_sound(own: Path):
    assert read_verified(own, "a.csv") == b"code\nK810\n"


@pytest.mark.parametrize(
    "climb", ["../secret.csv", "msdrg/../../secret.csv", "{}/secret.csv", "..\\secret.csv", "link.csv", ""]
)
def test_a_manifest_cannot_lead_out_of_its_folder(own: Path, climb: str):
    (own.parent / "secret.csv").write_text("code\nK810\n")
    (own / "link.csv").symlink_to(own.parent / "secret.csv")
    name = climb.format(own.parent)
    (own / MANIFEST).write_text(_manifest(name))
    for read in (lambda: read_verified(own, name), lambda: seal(own)):
        with pytest.raises(TableError, match="leads out of the table folder"):
            read()


def test_a_link_within_the_folder_is_followed(own: Path):
    (own / "link.csv").symlink_to(own / "a.csv")
    (own / MANIFEST).write_text(_manifest("link.csv"))
    seal(own)
    assert read_verified(own, "link.csv") == b"code\nK810\n"


def test_a_table_that_is_a_device_or_too_large_is_refused(own: Path):
    (own / "a.csv").unlink()
    os.mkfifo(own / "a.csv")
    with pytest.raises(TableError, match=r"a\.csv: listed in manifest\.toml but cannot be read \(not a regular file\)"):
        read_verified(own, "a.csv")
    (own / "a.csv").unlink()
    with (own / "a.csv").open("wb") as file:
        file.truncate(1 << 30)
    refused = """
        from pathlib import Path
        from drgsim.exceptions import TableError
        from drgsim.tables.manifest import read_verified
        try:
            read_verified(Path(sys.argv[1]), "a.csv")
        except TableError as error:
            print(error)
    """
    assert "more than 268,435,456 bytes" in held(refused, own)


def test_the_sha256_of_another_file_is_refused(own: Path):
    (own / "b.csv").write_text("code\nI10\n")
    (own / MANIFEST).write_text((own / MANIFEST).read_text().replace("a.csv", "b.csv"))
    with pytest.raises(TableError, match=r"b\.csv: altered"):
        read_verified(own, "b.csv")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[versions]\n[files]\nx = 1\n", r"\[files\] 'x' is 1, expected a table"),
        ("[versions]\nx = 1\n[files]\n", r"\[versions\] 'x' is 1, expected a table"),
        ('[versions."43.1"]\n[files]\n', "fiscal_year is None"),
        ('[versions."43.1"]\nfiscal_year = "2026"\n[files]\n', "fiscal_year is '2026'"),
        ('[versions."43.1"]\nfiscal_year = 2026\neffective_from = "x"\n[files]\n', "effective_from is 'x'"),
        ("versions = 1\n[files]\n", r"section \[versions\] is missing"),
        ("x = " + "[" * 4000 + "]" * 4000, "nests deeper"),
        ("#" * (MOST_SETTINGS + 1), "more than"),
    ],
)
def test_malformed_manifests_are_refused(own: Path, text: str, message: str):
    (own / MANIFEST).write_text(text)
    with pytest.raises(TableError, match=message):
        TableSet.load("43.1", folder=own)


# ---------------------------------------------------------------------------------------------- outputs


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", '=cmd|" /C calc"!A0'])
def test_cells_that_a_spreadsheet_would_run_pass_unchanged(tmp_path: Path, cell: str):
    """A cell that drgsim changed would be another value."""
    path = tmp_path / "a.parquet"
    pl.DataFrame(
        {"admission_id": [7], "age": [71], "sex": ["F"], "discharge_status": [1], "pdx": ["K810"], "note": [cell]}
    ).with_columns(sdx=pl.lit(["I10"]), procedures=pl.lit(["0FT44ZZ"])).write_parquet(path)
    assert group(map_claims(path).admissions, version="43.1", hospital_status="EXEMPT")["note"].item() == cell


@pytest.mark.parametrize("cell", ["=1+1", "-1", "@SUM(A1)", '=cmd|" /C calc"!A0', "a,b", 'say "no"', "two\nlines"])
def test_cells_of_csv_come_back_as_they_were(tmp_path: Path, cell: str):
    """A spreadsheet may run what it opens; a cell that was prefixed would be another value to every other reader."""
    frame = pl.DataFrame({"admission_id": [7], "note": [cell]})
    write_frame(frame, tmp_path / "a.csv")
    assert pl.read_csv(tmp_path / "a.csv", schema_overrides={"note": pl.String})["note"].item() == cell


def test_html_shows_codes_as_text():
    case = {"admission_id": 1, "age": 54, "sex": "F", "discharge_status": 1, "pdx": "K81.0"}
    hostile = "<script>alert(1)</script>"
    why = explain({**case, "sdx": [hostile], "sdx_poa": ["Y"], "procedures": ["0FT44ZZ"]}, TableSet.load("43.1"))
    shown = why._repr_html_().lower()
    assert "<script" not in shown
    assert "&lt;script" in shown


# ---------------------------------------------------------------------------------------------- no code from data

FORBIDDEN_MODULES = {
    *("pickle", "cPickle", "_pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "yaml", "subprocess"),
    *("ctypes", "cffi", "code", "codeop", "pty", "runpy", "xml", "lxml", "socket", "urllib", "requests", "http"),
}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__", "input", "breakpoint"}
FORBIDDEN_ATTRIBUTES = {
    ("os", "system"),
    ("os", "popen"),
    ("os", "execv"),
    ("os", "spawnv"),
    ("pl", "sql"),
    ("np", "load"),
    ("np", "fromfile"),
    ("pd", "eval"),
}
RUNNING_METHODS = {"import_module", "deserialize", "exec_module", "load_module"}
ON_PURPOSE = {
    "_lazy": ["import_module"],
    "cli.scenario_commands": ["spec.loader.exec_module", "importlib.import_module"],
    "scale.spark": ["pyspark.cloudpickle"],
    "scale.spark_worker": ["pyspark.cloudpickle"],
}
"""Modules that may run code, each for a reason that SECURITY.md gives.

Public names are loaded from a list in the package; the plugins of a scenario run only with `--plugins`; a Spark worker
unpickles the work its driver sent.
"""


def runs_code(tree: ast.Module) -> list[str]:
    """Return what of a module could run code that it reads."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.split(".")[0] in FORBIDDEN_MODULES]
        elif isinstance(node, ast.ImportFrom):
            home = node.module or ""
            if home.split(".")[0] in FORBIDDEN_MODULES:
                found.append(home)
            elif home.split(".")[0] != "drgsim":
                found += [f"{home}.{alias.name}" for alias in node.names if alias.name in FORBIDDEN_MODULES]
        elif isinstance(node, ast.Call):
            call = node.func
            if isinstance(call, ast.Name) and call.id in FORBIDDEN_CALLS | {"import_module"}:
                found.append(call.id)
            if isinstance(call, ast.Attribute):
                owner = call.value.id if isinstance(call.value, ast.Name) else ""
                if (owner, call.attr) in FORBIDDEN_ATTRIBUTES or call.attr in RUNNING_METHODS:
                    found.append(ast.unparse(call))
            found += [f"{word.arg}=True" for word in node.keywords if word.arg in ("allow_pickle", "shell")]
    return found


MODULES = {".".join(path.relative_to(PACKAGE).with_suffix("").parts): path for path in PACKAGE.rglob("*.py")}


@pytest.mark.parametrize("name", sorted(MODULES))
def test_nothing_runs_code_from_data(name: str):
    assert runs_code(ast.parse(MODULES[name].read_text("utf-8"))) == ON_PURPOSE.get(name, [])


def test_every_module_is_looked_at():
    assert len(MODULES) > 100
    assert set(ON_PURPOSE) <= set(MODULES)


@pytest.mark.parametrize(
    "guilty",
    [
        "eval('1')",
        "import pickle",
        "from subprocess import run",
        "from pyspark import cloudpickle",
        "import os\nos.system('x')",
        "np.load(f, allow_pickle=True)",
        "importlib.import_module(name)",
        "spec.loader.exec_module(module)",
        "__import__(name)",
        "import xml.etree",
        "pl.LazyFrame.deserialize(f)",
    ],
)
def test_the_check_can_fail(guilty: str):
    assert runs_code(ast.parse(guilty))
