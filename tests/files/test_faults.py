"""Long runs and what befalls them: a clear error, nothing lost, nothing half-written. See docs/hostile_input.md."""

from __future__ import annotations

import errno
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import drgsim.simulation
from drgsim import Rates, TableSet, generate, group
from drgsim.exceptions import InputError, SchemaError, StorageError
from drgsim.files.atomic import sha256_of
from drgsim.miscoding.diagnosis_errors import SdxOmit
from drgsim.miscoding.scenarios import Scenario
from drgsim.scale.parquet import group_parquet, price_parquet, simulate_parquet
from drgsim.scale.parquet_source import ParquetSource
from drgsim.scale.resumable_run import MANIFEST
from drgsim.simulation.simulator import simulate

ROWS, BATCH = 1_000, 200
TABLES, RATES = TableSet.load("43.1"), Rates.load(2026)
ERRORS = Scenario(title="missed", errors=(SdxOmit(mcc=0.3, cc=0.3),))
HOW = {"tables": TABLES, "rates": RATES, "replicates": 4, "seed": 5, "batch": BATCH, "by": ["mdc"]}
UNTOLD = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
"""Older Polars drops the error of a damaged page where nobody can catch it."""
DOCS = Path(__file__).parents[2] / "docs" / "hostile_input.md"


@pytest.fixture(scope="module")
def data() -> tuple[pl.DataFrame, pl.DataFrame]:
    return generate(ROWS, seed=11, tables=TABLES)


@pytest.fixture(scope="module")
def truth(data):
    return simulate(
        data[1], ERRORS, **{**{k: v for k, v in HOW.items() if k not in ("batch", "by")}, "hospitals": data[0]}
    )


@pytest.fixture
def source(data, tmp_path: Path) -> Path:
    data[1].write_parquet(tmp_path / "in.parquet", row_group_size=BATCH)
    return tmp_path / "in.parquet"


def simulated(source: Path, folder: Path, hospitals: pl.DataFrame, **changes):
    return simulate_parquet(source, folder, **{"scenario": ERRORS, "hospitals": hospitals, **HOW, **changes})


def assert_whole(result, truth) -> None:
    """The result is that of the simulation in memory."""
    assert_frame_equal(result.totals, truth.totals, check_exact=True)
    assert_frame_equal(result.by("mdc"), truth.by("mdc"), check_exact=True)
    assert result.run_id == truth.run_id


def assert_sound(folder: Path) -> dict[str, float]:
    """Everything the manifest lists is there as it was written; return it with its time of writing."""
    if not (folder / MANIFEST).exists():
        return {}
    finished = json.loads((folder / MANIFEST).read_text())["finished"]
    found = {}
    for part, files in finished.items():
        for name, digest in files.items():
            path = folder / f"{name}-{int(part):05d}.parquet"
            assert sha256_of(path) == digest
            found[path.name] = path.stat().st_mtime_ns
    return found


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if ".begun" in path.name]


# --------------------------------------------------------------------------------------------- interrupted runs

KILLED = """
import sys
from pathlib import Path
import polars as pl
from drgsim import Rates, TableSet
from drgsim.scale.parquet import group_parquet, simulate_parquet
from drgsim.miscoding.scenarios import Scenario
folder = Path(sys.argv[1])
tables, rates = TableSet.load("43.1"), Rates.load(2026)
hospitals, scenario = pl.read_parquet(folder / "hospitals.parquet"), Scenario.load(folder / "scenario.toml")
print("ready", flush=True)
if sys.argv[2] == "simulate":
    simulate_parquet(folder / "in.parquet", folder / "run", scenario, tables=tables, hospitals=hospitals, rates=rates,
                     replicates=4, seed=5, by=["mdc"], batch=25)
else:
    group_parquet(folder / "in.parquet", folder / sys.argv[2], tables, batch=25)
"""


def killed_after(seconds: float, folder: Path, what: str) -> bool:
    """Run in a process of its own, killed so long after it was ready; return whether it was finished before."""
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(folder), what], stdout=subprocess.PIPE, text=True,
                               cwd=DOCS.parents[1])  # fmt: skip
    assert process.stdout is not None
    with process:
        assert process.stdout.readline() == "ready\n"
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
    assert process.returncode in (0, -signal.SIGKILL)
    return process.returncode == 0


@pytest.fixture
def ready_to_die(data, source: Path, tmp_path: Path) -> Path:
    data[0].write_parquet(tmp_path / "hospitals.parquet")
    (tmp_path / "scenario.toml").write_text(ERRORS.dumps())
    return tmp_path


def die_and_go_on(folder: Path, truth, hospitals: pl.DataFrame, kills: int, seed: int) -> None:
    moments, done = random.Random(seed), {}
    for _ in range(kills):
        killed_after(moments.uniform(0.05, 1.2), folder, "simulate")
        found = assert_sound(folder / "run") if (folder / "run").exists() else {}
        assert found.items() >= done.items()  # nothing that was finished is lost or made again
        done = found
    assert_whole(simulated(folder / "in.parquet", folder / "run", hospitals, batch=25), truth)
    assert assert_sound(folder / "run").items() >= done.items()
    assert not leftovers(folder / "run")


@pytest.mark.long
def test_a_simulation_killed_at_random_moments_goes_on(ready_to_die: Path, truth, data):
    die_and_go_on(ready_to_die, truth, data[0], kills=3, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 8))
def test_a_simulation_killed_many_times_goes_on(ready_to_die: Path, truth, data, seed: int):
    die_and_go_on(ready_to_die, truth, data[0], kills=8, seed=seed)


@pytest.mark.parametrize("target", ["out.parquet", "out"])
def test_a_killed_grouping_leaves_a_whole_target_or_none(ready_to_die: Path, data, target: str):
    path = ready_to_die / target
    for seconds in (0.01, 0.05):
        if not killed_after(seconds, ready_to_die, target) and target == "out.parquet" and path.exists():
            assert_frame_equal(pl.read_parquet(path), group(data[1], TABLES))
        if target == "out" and path.exists():
            assert_sound(path)
    group_parquet(ready_to_die / "in.parquet", path, TABLES, batch=25)
    rows = pl.read_parquet(path if path.suffix else path / "rows-*.parquet")
    assert_frame_equal(rows, group(data[1], TABLES))
    assert not leftovers(path.parent if path.suffix else path)


def test_a_run_that_dies_at_any_step_of_writing_goes_on(source: Path, tmp_path: Path, truth, data, monkeypatch):
    """The disk fills up at the first, fourth, seventh ... time something must reach it."""
    real, steps = os.fsync, 0
    while True:
        folder, left = tmp_path / f"run{steps}", steps

        def full(handle: int) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            real(handle)

        monkeypatch.setattr(os, "fsync", full)
        try:
            simulated(source, folder, data[0], batch=600)
            break
        except StorageError as error:
            assert re.search(r"cannot be written \(No space left on device\)", str(error))  # noqa: PT017
        monkeypatch.setattr(os, "fsync", real)
        assert not leftovers(folder)
        assert_sound(folder)
        assert_whole(simulated(source, folder, data[0], batch=600), truth)
        steps += 3
    assert steps > 20


def test_an_interrupt_keeps_finished_parts(source: Path, tmp_path: Path, truth, data, monkeypatch):
    real, calls = drgsim.simulation.simulator.SimulationRun._draw_block, 0

    def interrupted(run, replicates):
        nonlocal calls
        calls += len(replicates) > 0 and len(run.baseline) > 0
        if calls == 3:
            raise KeyboardInterrupt
        return real(run, replicates)

    with monkeypatch.context() as patch:
        patch.setattr(drgsim.simulation.simulator.SimulationRun, "_draw_block", interrupted)
        with pytest.raises(KeyboardInterrupt):
            simulated(source, tmp_path / "run", data[0])
    done = assert_sound(tmp_path / "run")
    assert {name.partition("-")[2] for name in done} == {"00000.parquet", "00001.parquet"}
    assert_whole(simulated(source, tmp_path / "run", data[0]), truth)
    assert assert_sound(tmp_path / "run").items() >= done.items()


def test_a_finished_run_is_told_again_without_running(source: Path, tmp_path: Path, truth, data, monkeypatch):
    simulated(source, tmp_path / "run", data[0])
    monkeypatch.setattr(drgsim.simulation.simulator.SimulationRun, "draw_replicates", None)
    with monkeypatch.context() as patch:
        patch.setattr(ParquetSource, "batches", None)
        patch.setattr("drgsim.scale.parquet.simulate_tally", lambda *_args, **_kw: {})
        assert_whole(simulated(source, tmp_path / "run", data[0]), truth)


def test_two_processes_are_not_at_one_run(source: Path, tmp_path: Path, truth, data, monkeypatch):
    real, reported = ParquetSource.batches, []

    def meanwhile(rows, size, start=0):
        with pytest.raises(StorageError, match="another process is at this run") as refusal:
            simulated(source, tmp_path / "run", data[0])
        reported.append(refusal.value)
        return real(rows, size, start)

    monkeypatch.setattr(ParquetSource, "batches", meanwhile)
    assert_whole(simulated(source, tmp_path / "run", data[0]), truth)
    assert len(reported) == 1
    assert_whole(simulated(source, tmp_path / "run", data[0]), truth)  # it let go


CHANGES: dict[str, Callable[[pl.DataFrame], dict[str, object]]] = {
    "seed": lambda _: {"seed": 6},
    "replicates": lambda _: {"replicates": 5},
    "scenario": lambda _: {"scenario": ERRORS.scaled(0.5)},
    "tables": lambda _: {"tables": TableSet.load("43.0")},
    "rates": lambda _: {"rates": RATES.reformed({"outlier.fixed_loss": 45_000})},
    "hospitals": lambda hospitals: {"hospitals": hospitals.with_columns(operating_ccr=0.3)},
    "by": lambda _: {"by": ["drg"]},
    "ledger": lambda _: {"ledger": True},
    "batch": lambda _: {"batch": 100},
    "hospital_status": lambda _: {"hospital_status": "EXEMPT"},
}


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("finished")
    data[1].write_parquet(folder / "in.parquet")
    simulated(folder / "in.parquet", folder / "run", data[0])
    return folder / "in.parquet", folder / "run"


@pytest.mark.parametrize("name", CHANGES)
def test_a_run_of_something_else_is_refused(finished, data, name: str):
    before = assert_sound(finished[1])
    with pytest.raises(InputError, match=f"holds a run of another .*{name}"):
        simulated(*finished, **{"hospitals": data[0], **CHANGES[name](data[0])})
    assert assert_sound(finished[1]) == before


def test_another_input_is_refused(finished, data, tmp_path: Path):
    one_age = pl.when(pl.col("admission_id") == 500).then(1).otherwise(pl.col("age")).cast(pl.Int32)
    data[1].with_columns(age=one_age).write_parquet(tmp_path / "other.parquet")
    with pytest.raises(InputError, match="holds a run of another source"):
        simulated(tmp_path / "other.parquet", finished[1], data[0])


def test_a_moved_input_is_the_same(finished, data, truth, tmp_path: Path):
    shutil.copy(finished[0], tmp_path / "moved.parquet")
    assert_whole(simulated(tmp_path / "moved.parquet", finished[1], data[0]), truth)


def test_an_altered_part_is_refused_and_a_removed_one_made_again(source: Path, tmp_path: Path, truth, data):
    simulated(source, tmp_path / "run", data[0])
    part = tmp_path / "run" / "totals-00002.parquet"
    part.write_bytes(part.read_bytes()[:-9] + b"ha" + part.read_bytes()[-7:])
    with pytest.raises(StorageError, match=r"totals-00002.parquet: is not what was written there. Remove it"):
        simulated(source, tmp_path / "run", data[0])
    part.unlink()
    assert_whole(simulated(source, tmp_path / "run", data[0]), truth)


HOSTILE = {
    "empty": "",
    "no JSON": "{",
    "a list": "[]",
    "another format": '{"format": 2}',
    "parts of no number": '{"format": 1, "inputs": {}, "finished": {"x": {}}}',
    "a path that climbs": '{"format": 1, "inputs": {}, "finished": {"0": {"../../etc/passwd": "0"}}}',
    "a gigantic number": '{"format": 1, "inputs": {}, "finished": {"' + "9" * 5000 + '": {}}}',
    "deep nesting": '{"format": 1, "inputs": ' + "[" * 100_000 + "]" * 100_000 + "}",
    "not UTF-8": b"\xff\xfe\x00",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_manifest_is_refused(source: Path, tmp_path: Path, data, name: str):
    (tmp_path / "run").mkdir()
    content = HOSTILE[name]
    (tmp_path / "run" / MANIFEST).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises((StorageError, InputError), match=r"no manifest of a run|holds a run of another"):
        simulated(source, tmp_path / "run", data[0])
    assert [path.name for path in (tmp_path / "run").iterdir()] == [MANIFEST]


def test_a_folder_of_something_else_is_refused(source: Path, tmp_path: Path, data):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").touch()
    with pytest.raises(InputError, match=r"holds cat.jpg and no manifest.json"):
        simulated(source, tmp_path / "photos", data[0])


# ------------------------------------------------------------------------------------------------ where to write


@pytest.mark.parametrize("target", ["out.parquet", "out"])
def test_a_full_disk(ready_to_die: Path, target: str):
    """No file may pass 20 kB: what a full disk does, for a process of its own."""
    program = "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
    program += "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n" + KILLED.replace("batch=25", "batch=900")
    (ready_to_die / "out.parquet").write_text("what stood there")
    done = subprocess.run([sys.executable, "-c", program, str(ready_to_die), target], capture_output=True, text=True,
                          cwd=DOCS.parents[1], check=False)  # fmt: skip
    assert done.returncode == 1
    assert re.search(r"StorageError: .*cannot be written \(.*File too large", done.stderr)
    assert (ready_to_die / "out.parquet").read_text() == "what stood there"
    folder = ready_to_die / "out" if target == "out" else ready_to_die
    assert not leftovers(folder)
    assert not list(folder.glob("rows-*"))


@pytest.fixture
def read_only(data) -> Iterator[Path]:
    """A read-only folder that an unprivileged process can reach."""
    folder = Path(tempfile.mkdtemp())
    data[1].write_parquet(folder / "in.parquet")
    data[0].write_parquet(folder / "hospitals.parquet")
    (folder / "scenario.toml").write_text(ERRORS.dumps())
    for path in (folder, *folder.iterdir()):
        path.chmod(0o555 if path.is_dir() else 0o444)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


@pytest.mark.parametrize("target", ["out.parquet", "out", "simulate"])
def test_a_read_only_folder(read_only: Path, target: str):
    """Root may write anywhere, so the process becomes nobody, once it has read what it needs."""
    nobody = "import os, tqdm.auto, glob, fnmatch\nif os.geteuid() == 0: os.seteuid(65534)\n"
    program = KILLED.replace('print("ready", flush=True)\n', nobody)
    done = subprocess.run([sys.executable, "-c", program, str(read_only), target], capture_output=True, text=True,
                          cwd=DOCS.parents[1], check=False)  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert re.search(r"StorageError: .*(cannot be written|no folder for a run can be there) \(Permission", done.stderr)
    assert len(list(read_only.iterdir())) == 3


def test_a_folder_that_is_not_there_or_a_file(source: Path, tmp_path: Path):
    with pytest.raises(InputError, match=r"out.parquet: there is no folder .*nowhere"):
        group_parquet(source, tmp_path / "nowhere" / "out.parquet", TABLES)
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="no folder for a run can be there"):
        group_parquet(source, tmp_path / "file", TABLES)


def test_the_source_is_not_overwritten(source: Path):
    before = source.read_bytes()
    with pytest.raises(InputError, match="is of the source; choose another target"):
        group_parquet(source, source.parent / "." / "in.parquet", TABLES)
    assert source.read_bytes() == before


# ------------------------------------------------------------------------------------------------ what is read


@UNTOLD
@pytest.mark.parametrize("target", ["out.parquet", "out"])
@pytest.mark.parametrize("damage", ["cut", "zeros", "text", "empty"])
def test_a_damaged_file(source: Path, tmp_path: Path, damage: str, target: str):
    content = source.read_bytes()
    middle = len(content) // 2
    damaged = {
        "cut": content[:middle],
        "zeros": content[:middle] + bytes(500) + content[middle + 500 :],
        "text": b"admission_id,age\n1,70\n",
        "empty": b"",
    }
    source.write_bytes(damaged[damage])
    with pytest.raises(InputError, match=r"in.parquet: not readable as Parquet: "):
        group_parquet(source, tmp_path / target, TABLES, batch=50)
    assert not (tmp_path / "out.parquet").exists()
    assert not leftovers(tmp_path)
    if (tmp_path / "out").exists():
        assert_sound(tmp_path / "out")


def test_a_damaged_file_among_many_is_named(data, tmp_path: Path):
    for part in range(3):
        data[1].head(10).write_parquet(tmp_path / f"{part}.parquet")
    (tmp_path / "1.parquet").write_bytes((tmp_path / "1.parquet").read_bytes()[:-4])
    with pytest.raises(InputError, match=r"1.parquet: not readable as Parquet"):
        ParquetSource.open(tmp_path)


def test_a_file_cannot_claim_more_cells_than_its_size_allows(tmp_path: Path):
    pl.select(pdx=pl.repeat(True, 20_000_000)).write_parquet(tmp_path / "in.parquet")
    with pytest.raises(InputError, match="claims 20,000,000 cells, more than 16,777,216"):
        group_parquet(tmp_path / "in.parquet", tmp_path / "out.parquet", TABLES)


FLIPS = 60


@UNTOLD
def test_bytes_changed_at_random(source: Path, tmp_path: Path):
    """Thousands of damaged files: a clear error, or as many rows as there were."""
    content, outcomes = source.read_bytes(), set()
    for seed in range(FLIPS):
        chance, damaged = random.Random(seed), bytearray(content)
        for _ in range(chance.randint(1, 20)):
            at = chance.randrange(len(content)) if seed % 2 else len(content) - 1 - chance.randrange(4_000)
            damaged[at] ^= 1 << chance.randrange(8)
        source.write_bytes(damaged)
        try:
            group_parquet(source, tmp_path / "out.parquet", TABLES, keep=[])
            outcomes.add("read")
            assert pl.read_parquet(tmp_path / "out.parquet").height == ROWS
            (tmp_path / "out.parquet").unlink()
        except InputError as error:
            outcomes.add("refused")
            assert "in.parquet" in str(error)  # noqa: PT017
        assert {path.name for path in tmp_path.iterdir()} == {"in.parquet"}
    assert "refused" in outcomes


def test_what_a_killed_writer_left_is_no_source(data, tmp_path: Path):
    data[1].head(10).write_parquet(tmp_path / "a.parquet")
    (tmp_path / ".a.x1y2.begun.parquet").write_bytes(b"PAR1")
    assert ParquetSource.open(tmp_path).height == 10


def test_no_file_and_no_files(tmp_path: Path):
    with pytest.raises(InputError, match="no such file"):
        ParquetSource.open(tmp_path / "nothing.parquet")
    with pytest.raises(InputError, match=r"no \*.parquet in this folder"):
        ParquetSource.open(tmp_path)
    with pytest.raises(InputError, match="no Parquet file was named"):
        ParquetSource.open([])


@pytest.mark.parametrize(
    ("other", "reported"),
    [
        (pl.DataFrame({"a": [1]}), "there is no column b, other than"),
        (pl.DataFrame({"a": ["x"], "b": [1]}), "column a is String, other than"),
        (pl.DataFrame({"a": [1], "b": [1], "c": [1]}), "there is a column c, other than"),
        (pl.DataFrame({"b": [1], "a": [1]}), "columns are in another order than"),
    ],
)
def test_files_of_different_columns(tmp_path: Path, other: pl.DataFrame, reported: str):
    pl.DataFrame({"a": [1], "b": [1]}).write_parquet(tmp_path / "0.parquet")
    other.write_parquet(tmp_path / "1.parquet")
    with pytest.raises(SchemaError, match=rf"1.parquet: {reported} in 0.parquet"):
        ParquetSource.open(tmp_path)


def test_ids_that_come_twice_or_not_at_all(data, tmp_path: Path, monkeypatch):
    monkeypatch.setattr("drgsim.scale.parquet_source._MOST_IDS", 100)  # ten passes over the ids
    path, ids = tmp_path / "in.parquet", pl.col("admission_id")
    data[1].with_columns(admission_id=pl.when(ids == 900).then(3).otherwise(ids)).write_parquet(path)
    with pytest.raises(InputError, match="an admission_id comes more than once; draws are keyed by it"):
        simulated(path, tmp_path / "run", data[0])
    data[1].with_columns(admission_id=pl.when(ids != 900).then(ids)).write_parquet(path)
    with pytest.raises(InputError, match="an admission_id is missing"):
        simulated(path, tmp_path / "run", data[0])
    assert not (tmp_path / "run").exists()
    data[1].write_parquet(path)
    ParquetSource.open(path).refuse_repeated("admission_id")


@pytest.mark.parametrize("target", ["out.parquet", "out"])
def test_a_row_that_cannot_be_is_named_by_its_place(data, tmp_path: Path, target: str):
    for part, start in enumerate(range(0, ROWS, BATCH)):
        status = pl.Series("poa", ["EXEMPT"] * BATCH)
        if part == 3:
            status[7] = "MAYBE"
        data[1][start : start + BATCH].with_columns(status).write_parquet(tmp_path / f"{part}.parquet")
    with pytest.raises(SchemaError, match=r"in rows from 600 on \(counted from there\): column 'poa', row 7"):
        group_parquet(tmp_path, tmp_path / "out" / target if target == "out" else tmp_path / target, TABLES,
                      hospital_status="poa", batch=BATCH)  # fmt: skip


def test_one_huge_row(data, tmp_path: Path):
    """A row of ten thousand codes among others is grouped as it is in memory."""
    codes = data[1]["sdx"].explode(empty_as_null=False, keep_nulls=False).head(5_000)
    twice = {"sdx": pl.Series([[*codes] * 2]), "sdx_poa": pl.Series([["Y"] * 2 * len(codes)])}
    huge = data[1].head(1).with_columns(admission_id=pl.lit(10**6, pl.UInt64), **twice)
    rows = pl.concat([data[1].head(50), huge, data[1].tail(50)])
    rows.write_parquet(tmp_path / "in.parquet")
    target = group_parquet(tmp_path / "in.parquet", tmp_path / "out.parquet", TABLES)
    assert_frame_equal(pl.read_parquet(target), group(rows, TABLES))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e300, -1.0])
def test_charges_that_cannot_be_are_rows_not_errors(data, tmp_path: Path, value: float):
    third = pl.when(pl.int_range(pl.len()) == 2).then(value).otherwise(pl.col("covered_charges_usd"))
    data[1].head(9).with_columns(covered_charges_usd=third).write_parquet(tmp_path / "in.parquet")
    target = price_parquet(tmp_path / "in.parquet", tmp_path / "out.parquet", data[0], RATES, tables=TABLES)
    paid = pl.read_parquet(target)
    assert paid["pay_code"][2] == 58  # charges missing, negative or too high, in the pricer's codes
    assert paid["total_usd"][2] == 0
    assert paid["total_usd"].is_finite().all()


def test_every_fault_tried_stands_in_the_table():
    """That the table names tests that are there is tested in test_hostile_docs.py."""
    named = set(re.findall(r"`test_faults\.py::(\w+)`", DOCS.read_text("utf-8")))
    mine = set(re.findall(r"\ndef (test_\w+)\(", Path(__file__).read_text("utf-8")))
    assert mine - named == {"test_every_fault_tried_stands_in_the_table"}
