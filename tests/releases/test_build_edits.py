"""The tables of edits and of conversion are built from the published facts, and nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

import polars as pl
import pytest

from drgsim import TableError, edit
from drgsim.releases.build_edits import FILES, build_edit_tables
from drgsim.tables.edit_tables import EditTables
from drgsim.tables.manifest import read_manifest, seal, table_folder


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A table folder: the manifest and the tables of edits."""
    folder = tmp_path / "tables"
    for name in ("editing", "conversion"):
        shutil.copytree(table_folder() / name, folder / name)
    text = (table_folder() / "manifest.toml").read_text("utf-8")
    ours = "".join(f"[{part}" for part in text.split("\n[")[1:] if part.startswith(('files."editing', 'files."conv')))
    versions = '[versions."44.0"]\nfiscal_year = 2027\neffective_from = 2026-10-01\neffective_to = 2027-03-31\n'
    (folder / "manifest.toml").write_text(
        f'title = "own"\n\n{versions}\n{ours.replace(chr(10) + "[", chr(10) * 2 + "[")}'
    )
    return folder


def test_tables_are_those_the_facts_give(shared: Path, own: Path):
    before = {name: (table_folder() / name).read_bytes() for name in FILES}
    for name in FILES:
        (own / name).unlink()
    build_edit_tables(shared / "cms", own)
    assert {name: (own / name).read_bytes() for name in FILES} == before
    entries = read_manifest(own)["files"]
    assert {name: entries[name] for name in FILES} == {
        name: read_manifest(table_folder())["files"][name] for name in FILES
    }
    assert all({"sha256", "rows", "source", "known", "licence"} <= set(entry) for entry in entries.values())


def test_dates_are_those_of_the_facts(shared: Path):
    """A version stands for its dates: every row of the source is found again."""
    tables = EditTables.load()
    first, last = tables.versions["first_date"], tables.versions["last_date"]
    for name in ("diagnoses", "procedures"):
        facts = pl.read_csv(shared / f"cms/mce/{name}.csv", infer_schema=False).sort("code", "first_date")
        rows = getattr(tables, name).sort("code", "first")
        assert rows["code"].equals(facts["code"])
        assert first.gather(rows["first"]).cast(pl.String).equals(facts["first_date"], check_names=False)
        ends = facts["last_date"].fill_null(str(last[-1]))
        assert last.gather(rows["last"]).cast(pl.String).equals(ends, check_names=False)
        assert [set((mine or "").split()) for mine in rows["flags"]] == [set((f or "").split()) for f in facts["flags"]]


def break_table(own: Path, name: str, old: str, new: str) -> None:
    path = own / name
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), "utf-8")
    seal(own)


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("editing/diagnoses.csv", "A000,33.0,44.0,", "A000,33.0,45.0,", "diagnoses.csv, row 2: first_version"),
        ("editing/diagnoses.csv", "A000,33.0,44.0,", "A000,44.0,33.0,", "diagnoses.csv, row 2: first_version"),
        ("editing/diagnoses.csv", "A001,33.0,44.0,", "A000,43.0,44.0,", "row 3: the code has another row"),
        ("editing/diagnoses.csv", "A000,33.0,44.0,", "A000,33.0,44.0,adult mail", "flag 'mail' is not in"),
        ("editing/edits.csv", "AGE_CONFLICT", "AGE", "AGE, AGE_CONFLICT: missing, or not known"),
    ],
)
def test_tables_that_are_wrong_stop_the_editor(own: Path, name: str, old: str, new: str, message: str):
    break_table(own, name, old, new)
    claims = pl.DataFrame({"admission_id": [1], "age": [1], "sex": ["F"], "discharge_status": [1], "pdx": ["A000"],
                           "sdx": [[]], "procedures": [[]], "discharge_date": None})  # fmt: skip
    with pytest.raises(TableError, match=message):
        edit(claims, folder=own)


def test_a_changed_table_is_read(own: Path):
    break_table(own, "editing/sexes.csv", "U,2024-10-01,", "U,1990-10-01,")
    assert (
        EditTables.load(folder=own).sexes["first_date"].min()
        < EditTables.load().sexes.filter(sex="U")["first_date"].item()
    )
