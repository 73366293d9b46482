"""SECURITY.md: the limits that a service sets, run as the page gives them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tracemalloc
from pathlib import Path

import polars as pl
import pytest

from drgsim import TableSet, generate
from drgsim.cli.frame_files import write_frame
from drgsim.files.bounded import MOST_TABLE, read_whole
from drgsim.tables.manifest import read_manifest, read_verified, table_folder
from tests.files.test_hostile_input import FORBIDDEN_MODULES, ON_PURPOSE

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "SECURITY.md").read_text("utf-8")
SCRIPT = re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL)[0]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the page is for Linux")


@pytest.fixture(scope="module")
def claims() -> pl.DataFrame:
    return generate(2_000, seed=1, tables=TableSet.load("43.1"))[1]


def serve(upload: Path, target: Path, script: str = SCRIPT) -> subprocess.CompletedProcess[str]:
    """Run the script of the page, with this drgsim as its command."""
    command = target.parent / "bin"
    command.mkdir(exist_ok=True)
    (command / "drgsim").write_text(f'#!/bin/sh\nexec {sys.executable} -m drgsim "$@"\n')
    (command / "drgsim").chmod(0o755)
    how = {**os.environ, "PATH": f"{command}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    return subprocess.run(["bash", "-c", script, "serve", str(upload), str(target)], capture_output=True, text=True,
                          env=how, cwd=target.parent, check=False)  # fmt: skip


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_an_honest_file_is_grouped(tmp_path: Path, claims: pl.DataFrame, suffix: str):
    upload = tmp_path / f"upload{suffix}"
    if suffix == ".csv":
        write_frame(claims, upload)
    else:
        claims.write_parquet(upload)
    done = serve(upload, tmp_path / "out.parquet")
    assert done.returncode == 0, done.stderr
    assert pl.read_parquet(tmp_path / "out.parquet").height == claims.height


def test_too_many_bytes_columns_or_no_file_are_refused(tmp_path: Path):
    with (tmp_path / "large.csv").open("wb") as file:
        file.truncate(50_000_001)
    (tmp_path / "wide.csv").write_text(",".join(f"dx{n}" for n in range(20_000)) + "\n1\n")
    os.mkfifo(tmp_path / "pipe.csv")
    for name, reason in (("large.csv", "more than 50 MB"), ("wide.csv", "more than 2,000 columns"),
                         ("pipe.csv", "not a regular file"), ("absent.csv", "not a regular file")):  # fmt: skip
        done = serve(tmp_path / name, tmp_path / "out.csv")
        assert (done.returncode, done.stderr.strip()) == (2, reason)
    assert not (tmp_path / "out.csv").exists()


def test_a_file_that_needs_more_memory_ends_and_leaves_the_target(tmp_path: Path, claims: pl.DataFrame):
    """Two million rows in less than a megabyte, within what a file of its size may claim."""
    one = claims.head(1).select("admission_id", "age", "sex", "discharge_status", "pdx", "sdx", "procedures")
    pl.concat([pl.concat([one] * 1_000)] * 2_000).write_parquet(tmp_path / "bomb.parquet")
    (tmp_path / "out.csv").write_text("earlier")
    done = serve(tmp_path / "bomb.parquet", tmp_path / "out.csv", SCRIPT.replace("-v 2500000", "-v 1600000"))
    assert done.returncode != 0
    assert (tmp_path / "out.csv").read_text() == "earlier"


def test_a_slow_file_ends_in_time(tmp_path: Path, claims: pl.DataFrame):
    claims.write_parquet(tmp_path / "upload.parquet")
    done = serve(
        tmp_path / "upload.parquet", tmp_path / "out.csv", SCRIPT.replace("timeout -k 5 120", "timeout -k 1 0.2")
    )
    assert done.returncode == 124
    assert not (tmp_path / "out.csv").exists()


# ------------------------------------------------------------------------------------------- address space


def test_a_table_takes_what_its_file_has():
    """Not the most it may have, which is 256 MiB: `ulimit -v` counts what is reserved."""
    folder = table_folder()
    names = list(read_manifest(folder)["files"])
    largest = max(names, key=lambda name: (folder / name).stat().st_size)
    size = (folder / largest).stat().st_size
    tracemalloc.start()
    read_verified(folder, largest)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * size + (1 << 21)


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3_000_000])
def test_a_file_is_read_whole_whatever_its_size(tmp_path: Path, size: int):
    content = os.urandom(size)
    (tmp_path / "file").write_bytes(content)
    assert read_whole(tmp_path / "file", MOST_TABLE, ValueError) == content
    assert read_whole(tmp_path / "file", size, ValueError) == content
    if size:
        with pytest.raises(ValueError, match="more than"):
            read_whole(tmp_path / "file", size - 1, ValueError)


def test_tables_are_read_within_the_address_space_of_the_page():
    program = (
        "from drgsim import Rates, TableSet\nfor one in ('40.0', '43.1', '44.0'): TableSet.load(one)\nRates.load(2026)"
    )
    limit = re.search(r"-v (\d+)", SCRIPT)[1]
    for space in (limit, "1900000"):
        limited = f'ulimit -v {space}; POLARS_MAX_THREADS=2 exec "$0" -c "$1"'
        command = ["bash", "-c", limited, sys.executable, program]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
        assert done.returncode == 0, done.stderr[-500:]


# ------------------------------------------------------------------------------------------- sentences of the page


def test_the_page_names_every_module_that_runs_code_or_pickles():
    """The test over all modules allows these and no other, and the page says so, with the reason."""
    items = PAGE.partition("These modules may run code, and no other:\n\n")[2].partition("\n\n")[0].split("* ")[1:]
    named = {name: item for item in items for name in re.findall(r"`drgsim\.([\w.]+)`", item)}
    assert set(named) == set(ON_PURPOSE)
    assert "if the user gives `--plugins`" in named["cli.scenario_commands"]
    pickling = {name for name, found in ON_PURPOSE.items() if any("pickle" in one for one in found)}
    assert {name for name, item in named.items() if "pickle" in item} == pickling
    assert pickling == {"scale.spark", "scale.spark_worker"}
    assert {"pickle", "cloudpickle", "dill"} <= FORBIDDEN_MODULES
    assert "no `eval`, `exec`, `pickle`" not in PAGE
