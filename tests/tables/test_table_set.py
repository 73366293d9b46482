from __future__ import annotations

import datetime as dt
import shutil
from pathlib import Path

import polars as pl
import pytest

from drgsim import TableError, TableSet, UnknownVersionError, group, version_for, versions
from drgsim.tables.manifest import read_manifest, read_verified, seal, table_folder


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A copy of the table folder."""
    return Path(shutil.copytree(table_folder(), tmp_path / "tables"))


def edit(own: Path, name: str, old: str, new: str, *, count: int = 1, sealed: bool = True) -> None:
    path = own / name
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new, count), "utf-8")
    if sealed:
        seal(own)


DERIVED = ("36.0", "37.1", "38.1", "39.1")
RELEASED = ("40.0", "40.1", "41.0", "41.1", "42.0", "42.1", "43.0", "43.1")


def test_thirteen_versions():
    assert versions() == (*DERIVED, *RELEASED, "44.0")


def test_each_version_says_how_it_is_known():
    known = {version: TableSet.load(version).provenance for version in versions()}
    assert {known[version] for version in DERIVED} == {"derived from the Definitions Manual"}
    assert {known[version] for version in RELEASED} == {"CMS's release"}
    assert known["44.0"] == "specification"


@pytest.mark.parametrize(
    ("version", "diagnoses", "procedures"),
    [("36.0", 71_932, 78_881), ("37.1", 72_186, 77_571), ("38.1", 72_622, 78_136), ("39.1", 72_751, 78_229)],
)
def test_derived_versions_have_the_codes_of_the_code_editor(shared: Path, version, diagnoses: int, procedures: int):
    """The valid codes of each fiscal year, by CMS's code editor: none more, none less."""
    tables = TableSet.load(version)
    for kind, count in (("diagnoses", diagnoses), ("procedures", procedures)):
        rows = pl.read_csv(shared / "cms" / "mce" / f"{kind}.csv", infer_schema=False)
        last = pl.col("last_date").fill_null("9999")
        in_force = (pl.col("first_date") <= str(tables.effective_to)) & (last >= str(tables.effective_from))
        assert getattr(tables, kind)["code"].sort().equals(rows.filter(in_force)["code"].unique().sort())
        assert getattr(tables, kind).height == count


@pytest.mark.parametrize(
    ("day", "version"),
    [
        ("2018-10-01", "36.0"),
        ("2019-10-01", "37.1"),
        ("2020-12-31", "38.1"),
        ("2022-09-30", "39.1"),
        ("2022-10-01", "40.0"),
        ("2024-03-31", "41.0"),
        ("2024-04-01", "41.1"),
        ("2026-09-30", "43.1"),
        ("2026-10-01", "44.0"),
    ],
)
def test_version_for_the_day_of_discharge(day: str, version: str):
    assert version_for(dt.date.fromisoformat(day)) == version


def test_a_day_without_version_says_what_there_is():
    with pytest.raises(UnknownVersionError, match="tables run from 2018-10-01 to 2027-03-31"):
        version_for(dt.date(2018, 9, 30))


def test_an_unknown_version_names_the_nearest():
    with pytest.raises(UnknownVersionError, match=r"Did you mean '43.1'"):
        TableSet.load("43.11")


def test_published_sizes_of_43_1():
    """The counts CMS's release 43.1 holds; 38 cluster names without a cluster are no procedures."""
    tables = TableSet.load("43.1")
    assert tables.diagnoses.height == 74_719
    assert dict(tables.diagnoses["severity"].value_counts().iter_rows())["MCC"] == 3_354
    assert dict(tables.diagnoses["severity"].value_counts().iter_rows())["CC"] == 15_078
    assert tables.procedures.height == 79_193
    assert tables.clusters.height == 4_045
    assert tables.pdx_exclusions.height == 26_090


def test_tables_equal_the_published_facts(shared: Path):
    """Every diagnosis of every version has the MDC, severity and names of the reference."""
    facts = pl.read_csv(shared / "cms/diagnoses.csv", infer_schema=False)
    schemes = pl.read_csv(shared / "cms/diagnosis_schemes.csv", infer_schema=False)
    facts = facts.join(schemes, on="scheme", how="left")
    for version in (*RELEASED, "44.0"):
        number = int(version.replace(".", ""))
        expected = facts.filter(
            pl.col("first_version").cast(pl.Int32) <= number, pl.col("last_version").cast(pl.Int32) >= number
        ).select(
            "code", pl.col("mdc").cast(pl.UInt8), pl.col("severity").replace("NCC", "NONE"), "operands", "hac_operands",
            categories="category_operands",
        )  # fmt: skip
        assert TableSet.load(version).diagnoses.sort("code").equals(expected.sort("code"))


def test_every_file_is_listed_with_source_and_licence():
    folder = table_folder()
    listed = read_manifest(folder)["files"]
    on_disk = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.suffix in (".csv", ".toml")}
    assert on_disk - {"manifest.toml"} == set(listed)
    for name, entry in listed.items():
        assert entry["source"]
        assert entry["licence"]
        assert read_verified(folder, name)


def test_an_altered_table_raises(own: Path):
    edit(own, "msdrg/diagnoses.csv", "A000,36.0,44.0,6,CC", "A000,36.0,44.0,6,MCC", sealed=False)
    with pytest.raises(TableError, match=r"diagnoses\.csv: altered.*seal"):
        TableSet.load("43.1", folder=own)


def test_a_missing_table_raises(own: Path):
    (own / "msdrg/clusters.csv").unlink()
    with pytest.raises(TableError, match=r"clusters\.csv: listed in manifest\.toml but cannot be read"):
        TableSet.load("43.1", folder=own)


@pytest.mark.parametrize(
    ("name", "old", "new", "reason"),
    [
        ("diagnoses", "A000,36.0,44.0,6,CC", "A000,36.0,44.0,x,CC", r"row 2: mdc is 'x'"),
        ("diagnoses", "A001,36.0,44.0,6", "A001,36.0,,6", r"row 3: last_version is empty"),
        ("diagnoses", "A001,36.0,44.0", "A001,36.0,45.0", r"row 3: last_version is not a version"),
        ("diagnoses", "A001,36.0", "A000,36.0", r"A000 is listed twice"),
        ("diagnoses", "A000,36.0,44.0,6,CC", "A000,36.0,44.0,6,BIG", r"severity 'BIG' is not known"),
        ("diagnoses", "code,first", "codes,first", r"columns are codes"),
        ("formulas", "ONLY:incident", "ONLY:incident &", r"an operand is missing"),
        ("formulas", "PDX:strauma & MULTST", "PDX:starfish & MULTST", r"no code carries 'PDX:starfish'"),
        ("formulas", "PDX:strauma & MULTST", "PDX:strauma & MULTIPLE", r"no code carries 'MULTIPLE'"),
    ],
)
def test_a_malformed_table_names_file_and_place(own: Path, name: str, old: str, new: str, reason: str):
    edit(own, f"msdrg/{name}.csv", old, new)
    with pytest.raises(TableError, match=reason) as raised:
        TableSet.load("43.1", folder=own)
    assert f"{name}.csv" in str(raised.value) or "formula" in str(raised.value)


def test_a_folder_without_manifest_raises(tmp_path: Path):
    with pytest.raises(TableError, match="no manifest"):
        TableSet.load("43.1", folder=tmp_path)


def test_logic_of_ones_own_changes_the_answer(own: Path, cholecystectomy: pl.DataFrame):
    before = group(cholecystectomy, TableSet.load("43.1", folder=own))["drg"].item()
    edit(own, "msdrg/formulas.csv", ",419,417,SURGICAL", ",418,417,SURGICAL", count=-1)
    after = group(cholecystectomy, TableSet.load("43.1", folder=own))["drg"].item()
    assert (before, after) == (419, 418)
    assert group(cholecystectomy, TableSet.load("43.1"))["drg"].item() == 419


def test_a_table_set_is_frozen():
    with pytest.raises(AttributeError):
        TableSet.load("43.1").version = "44.0"  # type: ignore[misc]


def test_an_edit_of_a_frame_reaches_nobody(cholecystectomy: pl.DataFrame):
    frame = TableSet.load("43.1").diagnoses
    frame[frame["code"].to_list().index("I10"), "severity"] = "MCC"
    assert TableSet.load("43.1").diagnoses.filter(code="I10")["severity"].item() == "NONE"
    assert group(cholecystectomy, version="43.1")["drg"].item() == 419


@pytest.mark.parametrize("day", ["2026-04-01", None, dt.datetime(2026, 4, 1)])
def test_what_is_not_a_date_is_refused(day: object):
    with pytest.raises(UnknownVersionError, match="is not a date"):
        version_for(day)  # type: ignore[arg-type]
