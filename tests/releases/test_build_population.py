"""The committed population tables are those that the program builds from the published facts."""

from __future__ import annotations

import subprocess
import sys
import tomllib

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from drgsim.exceptions import TableError
from drgsim.releases.build_population import build_drgs, find_bridges, seal_population
from drgsim.tables.manifest import MANIFEST, table_folder
from drgsim.tables.national_facts import read_facts

FOLDER = table_folder()


def test_volumes_are_the_published_ones(shared):
    built = build_drgs(shared / "stats/cms_inpatient_drg_cy2023.csv", shared / "payment", FOLDER)
    columns = ["drg", "discharges", "basis", "amlos_days"]
    assert_frame_equal(built.select(columns), read_facts("drgs", FOLDER).select(columns), check_exact=False)
    assert built.filter(pl.col("basis") == "CY2023")["discharges"].sum() == 4_960_325


def test_missing_source_is_named(tmp_path):
    with pytest.raises(TableError, match=r"volumes\.csv"):
        build_drgs(tmp_path / "volumes.csv", tmp_path, FOLDER)


def test_bridged_shares_add_up():
    table = read_facts("bridges", FOLDER)
    sums = table.group_by("version", "from_drg").agg(pl.col("share").sum())["share"]
    assert sums.is_between(0.9999, 1.0001).all()
    retired = table.filter(pl.col("version") == "43.1")["from_drg"].n_unique()
    assert retired == 16


@pytest.mark.slow
def test_bridges_are_those_of_the_groupers():
    assert_frame_equal(find_bridges(FOLDER), read_facts("bridges", FOLDER), check_exact=False, abs_tol=1e-4)


def test_every_assumption_is_called_one():
    entries = tomllib.loads((FOLDER / MANIFEST).read_text("utf-8"))["files"]
    for name in ("conditions", "principal", "procedures", "affinity", "profiles", "mdcs", "companions"):
        assert "assum" in entries[f"population/{name}.csv"]["source"]


def test_sealing_twice_changes_nothing(tmp_path):
    home = tmp_path / "population"
    home.mkdir()
    (home / "mdcs.csv").write_bytes((FOLDER / "population/mdcs.csv").read_bytes())
    manifest = tmp_path / MANIFEST
    manifest.write_text('[versions]\n\n[files."population/old.csv"]\nsha256 = ""\n\n[files."z.csv"]\n', "utf-8")
    seal_population(tmp_path)
    once = manifest.read_text("utf-8")
    seal_population(tmp_path)
    assert manifest.read_text("utf-8") == once
    assert list(tomllib.loads(once)["files"]) == ["population/mdcs.csv", "z.csv"]


@pytest.mark.parametrize("name", ["build_grouper", "build_payment", "build_population"])
def test_builders_explain_their_arguments(name):
    command = [sys.executable, "-m", f"drgsim.releases.{name}", "--help"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert f"usage: python -m drgsim.releases.{name}" in shown
    assert "table folder, such as grouper_tables" in shown
