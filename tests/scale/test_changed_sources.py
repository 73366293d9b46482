"""Sources that change while they are read, and runs that another release continues: refused, and nothing is mixed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from drgsim import Rates, TableSet, generate, group
from drgsim.exceptions import InputError, StorageError
from drgsim.miscoding.diagnosis_errors import SdxOmit
from drgsim.miscoding.scenarios import Scenario
from drgsim.scale import resumable_run
from drgsim.scale.parquet import group_parquet, price_parquet, simulate_parquet
from drgsim.scale.parquet_source import ParquetSource
from drgsim.scale.resumable_run import MANIFEST, PartedRun

ROWS, FILES, BATCH = 600, 6, 50
TABLES, RATES = TableSet.load("43.1"), Rates.load(2026)
ERRORS = Scenario(title="missed", errors=(SdxOmit(mcc=0.3, cc=0.3),))


@pytest.fixture(scope="module")
def data() -> tuple[pl.DataFrame, pl.DataFrame]:
    return generate(ROWS, seed=21, tables=TABLES)


@pytest.fixture
def source(data, tmp_path: Path) -> Path:
    """A folder of six files."""
    folder = tmp_path / "source"
    folder.mkdir()
    write_parts(data[1], folder)
    return folder


def write_parts(admissions: pl.DataFrame, folder: Path) -> None:
    size = ROWS // FILES
    for part in range(FILES):
        admissions[part * size : (part + 1) * size].write_parquet(folder / f"{part}.parquet")


def other_rows(path: Path) -> pl.DataFrame:
    """The rows of a file with another principal diagnosis: as many bytes or not, certainly another content."""
    return pl.read_parquet(path).with_columns(pdx=pl.lit("I214"))


def rename_over(path: Path) -> None:
    beside = path.with_name(".new")
    other_rows(path).write_parquet(beside)
    beside.replace(path)


def write_in_place(path: Path) -> None:
    other_rows(path).write_parquet(path)


def remove_and_write(path: Path) -> None:
    rows = other_rows(path)
    path.unlink()
    rows.write_parquet(path)


def change_a_byte_and_hide_it(path: Path) -> None:
    """The same size and the same time of the last write."""
    before, content = path.stat(), bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def cut_off(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def link_elsewhere(path: Path) -> None:
    other_rows(path).write_parquet(path.with_suffix(".other"))
    path.unlink()
    path.symlink_to(path.with_suffix(".other"))


HOW = [rename_over, write_in_place, remove_and_write, change_a_byte_and_hide_it, cut_off, link_elsewhere, Path.unlink]
Verb = Callable[[Path, Path, pl.DataFrame], object]
VERBS: dict[str, Verb] = {
    "group, a folder": lambda source, folder, _: group_parquet(source, folder / "out", TABLES, batch=BATCH),
    "group, a file": lambda source, folder, _: group_parquet(source, folder / "out.parquet", TABLES, batch=BATCH),
    "price": lambda source, folder, hospitals: price_parquet(
        source, folder / "out", hospitals, RATES, tables=TABLES, batch=BATCH
    ),
    "simulate": lambda source, folder, hospitals: simulate_parquet(
        source, folder / "out", ERRORS, tables=TABLES, hospitals=hospitals, rates=RATES, replicates=2, seed=1,
        batch=BATCH,
    ),
}  # fmt: skip


def change_at_batch(monkeypatch: pytest.MonkeyPatch, nth: int, change: Callable[[], None]) -> None:
    """Change something when the nth batch has been read."""
    real = ParquetSource.batches

    def batches(rows: ParquetSource, size: int, start: int = 0) -> Iterator[pl.DataFrame]:
        for number, frame in enumerate(real(rows, size, start), 1):
            if number == nth:
                change()
            yield frame

    monkeypatch.setattr(ParquetSource, "batches", batches)


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("file", [0, FILES - 1])
def test_a_file_replaced_while_the_source_is_read(data, source, tmp_path, monkeypatch, verb: str, file: int):
    """The first file has been read by then, the last has not: both are refused."""
    with monkeypatch.context() as patch:
        change_at_batch(patch, 3, lambda: rename_over(source / f"{file}.parquet"))
        with pytest.raises(StorageError, match=rf"{file}\.parquet: was replaced or changed while it was read"):
            VERBS[verb](source, tmp_path, data[0])
    assert not (tmp_path / "out.parquet").exists()
    if verb == "group, a folder":  # the parts that count hold old rows only, and go on once these are back
        finished = json.loads((tmp_path / "out" / MANIFEST).read_text())["finished"]
        truth = group(data[1], TABLES)
        for part in map(int, finished):
            rows = pl.read_parquet(tmp_path / "out" / f"rows-{part:05d}.parquet")
            assert_frame_equal(rows, truth[part * BATCH : (part + 1) * BATCH])
        with pytest.raises(InputError, match="holds a run of another source"):
            VERBS[verb](source, tmp_path, data[0])
        write_parts(data[1], source)
        VERBS[verb](source, tmp_path, data[0])
        assert_frame_equal(pl.read_parquet(tmp_path / "out" / "rows-*.parquet"), truth)


@pytest.mark.parametrize("how", HOW, ids=lambda how: how.__name__)
@pytest.mark.parametrize("nth", [1, ROWS // BATCH])
def test_a_file_changed_in_any_way(data, source, tmp_path, monkeypatch, how: Callable[[Path], None], nth: int):
    """Also when the last batch has been read, and nothing is left to read."""
    with monkeypatch.context() as patch:
        change_at_batch(patch, nth, lambda: how(source / "5.parquet"))
        with pytest.raises(StorageError, match=r"5\.parquet: (was replaced or changed|cannot be read)"):
            group_parquet(source, tmp_path / "out", TABLES, batch=BATCH)


def test_a_change_that_no_state_of_a_file_shows_is_found_at_the_end(data, source, tmp_path, monkeypatch):
    """File systems with coarse times: the content is compared with its sha256, and parts made of it do not count."""
    monkeypatch.setattr(ParquetSource, "check_unchanged", lambda _: None)
    change_at_batch(monkeypatch, 3, lambda: rename_over(source / "5.parquet"))
    with pytest.raises(StorageError, match="was changed while it was read; the parts made of it are dropped"):
        group_parquet(source, tmp_path / "out", TABLES, batch=BATCH)
    assert json.loads((tmp_path / "out" / MANIFEST).read_text())["finished"] == {}


def test_a_file_replaced_before_its_fingerprint_is_taken(source: Path):
    rows = ParquetSource.open(source)
    rename_over(source / "2.parquet")
    with pytest.raises(StorageError, match=r"2\.parquet: was replaced or changed"):
        rows.fingerprint()
    with pytest.raises(StorageError, match=r"2\.parquet: was replaced or changed"):
        rows.refuse_repeated("admission_id")


# ------------------------------------------------------------------------------------------------ other releases


@pytest.mark.parametrize("package", ["drgsim", "polars", "numpy"])
def test_a_run_of_another_release_is_refused_unless_asked(data, source, tmp_path, monkeypatch, package: str):
    real = resumable_run.list_releases()
    with monkeypatch.context() as patch:
        patch.setattr(resumable_run, "list_releases", lambda: {**real, package: "0.0.7"})
        group_parquet(source, tmp_path / "out", TABLES, batch=BATCH)
    (tmp_path / "out" / "rows-00001.parquet").unlink()
    assert json.loads((tmp_path / "out" / MANIFEST).read_text())["releases"] == [{**real, package: "0.0.7"}]
    with pytest.raises(InputError, match=rf"was made by .*{package} 0\.0\.7.*now .*{real[package]}.*mix_releases=True"):
        group_parquet(source, tmp_path / "out", TABLES, batch=BATCH)
    assert not (tmp_path / "out" / "rows-00001.parquet").exists()
    group_parquet(source, tmp_path / "out", TABLES, batch=BATCH, mix_releases=True)
    assert_frame_equal(pl.read_parquet(tmp_path / "out" / "rows-*.parquet"), group(data[1], TABLES))
    assert json.loads((tmp_path / "out" / MANIFEST).read_text())["releases"] == [{**real, package: "0.0.7"}, real]
    with pytest.raises(InputError, match="was made by"):  # a mixed run stays one
        group_parquet(source, tmp_path / "out", TABLES, batch=BATCH)


def test_a_run_that_names_no_release_is_refused(tmp_path: Path):
    with PartedRun.open(tmp_path / "run", {"seed": 1}, height=20, batch=10):
        pass
    manifest = json.loads((tmp_path / "run" / MANIFEST).read_text())
    del manifest["releases"]
    (tmp_path / "run" / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="was made by unknown releases"):
        PartedRun.open(tmp_path / "run", {"seed": 1}, height=20, batch=10)
    PartedRun.open(tmp_path / "run", {"seed": 1}, height=20, batch=10, mix_releases=True).close()
