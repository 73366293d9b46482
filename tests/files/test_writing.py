"""Everything that is written: whole or not at all, a StorageError that names it, and two writers of one target."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from drgsim import Rates, TableSet, generate, group, simulate
from drgsim.exceptions import InputError, StorageError
from drgsim.files.atomic import begin_folder, list_leftover_folders, remove_leftovers, replace_whole
from drgsim.miscoding import Scenario
from drgsim.scale.parquet import group_parquet
from drgsim.scale.parquet_source import ParquetSource
from drgsim.simulation import load_simulation

ROOT = Path(__file__).parents[2]
TABLES = TableSet.load("43.1")


@pytest.fixture(scope="module")
def result():
    hospitals, admissions = generate(300, seed=1, tables=TABLES)
    rates, scenario = Rates.load(2026), Scenario.load("illustration")
    return simulate(admissions, scenario, tables=TABLES, hospitals=hospitals, rates=rates, replicates=2, seed=1)


WRITERS = """
import os, resource, shutil, signal, sys
from pathlib import Path
from drgsim import Rates, TableSet, explain, generate, report, simulate
from drgsim.cli.frame_files import write_frame
from drgsim.cli.main_job import DemoResult, save_figure
from drgsim.exceptions import InputError, StorageError
from drgsim.files.atomic import write_text_whole
from drgsim.miscoding import Scenario
from drgsim.scale.parquet import group_parquet, price_parquet, simulate_parquet
from drgsim.tables import seal
from drgsim.tables.manifest import table_folder
folder, how = Path(sys.argv[1]), sys.argv[2]
tables, rates, scenario = TableSet.load("43.1"), Rates.load(2026), Scenario.load("illustration")
hospitals, admissions = generate(300, seed=1, tables=tables)
result = simulate(admissions, scenario, tables=tables, hospitals=hospitals, rates=rates, replicates=2, seed=1)
save_figure(DemoResult(result, None, ""), folder / "warm.png")  # what Matplotlib loads and caches is there now
report(result, folder / "warm.html", tables=tables)
source = folder / "in.parquet"
admissions.write_parquet(source)
if not (folder / "tables").exists():
    shutil.copytree(table_folder(), folder / "tables")
out = folder / "out"
out.mkdir(exist_ok=True)
writers = {
    "save": lambda: result.save(out / "result"),
    "write_frame.parquet": lambda: write_frame(admissions, out / "frame.parquet"),
    "write_frame.csv": lambda: write_frame(admissions, out / "frame.csv"),
    "figure": lambda: save_figure(DemoResult(result, None, ""), out / "demo.png"),
    "report": lambda: report(result, out / "report.html", tables=tables),
    "page": lambda: write_text_whole(out / "why.html", explain(admissions.head(1), tables)._repr_html_() * 9),
    "group_parquet": lambda: group_parquet(source, out / "grouped.parquet", tables),
    "price_parquet": lambda: price_parquet(source, out / "paid", hospitals, rates, tables=tables),
    "simulate_parquet": lambda: simulate_parquet(source, out / "run", scenario, tables=tables, hospitals=hospitals,
                                                 rates=rates, replicates=2, seed=1),
    "seal": lambda: seal(folder / "tables"),
}
before = (folder / "tables" / "manifest.toml").read_bytes()
if how == "full":
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
else:
    out.chmod(0o555)
    (folder / "tables").chmod(0o555)
    if os.geteuid() == 0:
        os.seteuid(65534)
wrong = []
for name, write in writers.items():
    try:
        write()
        wrong.append(f"{name}: written")
    except StorageError as error:
        if str(folder) not in str(error) or "\\n" in str(error):
            wrong.append(f"{name}: {error}")
    except BaseException as error:
        wrong.append(f"{name}: {type(error).__name__}: {error}")
left = sorted(path.name for path in out.rglob("*"))
if how == "full":
    left = [name for name in left if name not in ("paid", "run")]  # folders of runs, empty
if left or (folder / "tables" / "manifest.toml").read_bytes() != before:
    wrong.append(f"left: {left}")
print("\\n".join(wrong) or "all refused", flush=True)
os._exit(0)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits and users of POSIX")
@pytest.mark.parametrize("how", ["full", "read-only"])
def test_every_writer_on_a_full_disk_and_in_a_read_only_folder(how: str):
    # pytest makes its own folders private again whenever another run begins; an unprivileged user must read this one.
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        done = subprocess.run([sys.executable, "-c", WRITERS, folder, how], capture_output=True, text=True,
                              cwd=ROOT, check=False)  # fmt: skip
        for name in ("out", "tables"):
            (Path(folder) / name).chmod(0o755)
    assert done.stdout.strip() == "all refused", done.stderr[-2000:]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full")
def test_standard_output_on_a_full_disk(tmp_path: Path):
    admissions = generate(50, seed=1, tables=TABLES)[1]
    admissions.write_parquet(tmp_path / "in.parquet")
    command = [sys.executable, "-m", "drgsim", "group", str(tmp_path / "in.parquet"), "-q", "--version", "43.1"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, cwd=ROOT, check=False)
    assert done.returncode == 2
    assert done.stderr == "drgsim: standard output: cannot be written (No space left on device).\n"


# ------------------------------------------------------------------------------------------------- two writers


def test_a_second_writer_leaves_the_file_of_the_first(tmp_path: Path):
    target = tmp_path / "out.parquet"
    with replace_whole(target) as first:
        first.write_text("first")
        remove_leftovers(target)
        remove_leftovers(tmp_path)
        with replace_whole(target) as second:
            second.write_text("second")
        assert target.read_text() == "second"
    assert target.read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["out.parquet"]


def test_two_groupings_of_one_target_are_both_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The second begins and ends while the first is under way."""
    admissions = generate(300, seed=1, tables=TABLES)[1]
    admissions.write_parquet(tmp_path / "in.parquet")
    real, calls, seen = ParquetSource.batches, 0, []

    def meanwhile(rows: ParquetSource, size: int, start: int = 0):
        nonlocal calls
        calls += 1
        if calls == 1:
            group_parquet(tmp_path / "in.parquet", tmp_path / "out.parquet", TABLES)
            seen.append(pl.read_parquet(tmp_path / "out.parquet"))
        return real(rows, size, start)

    monkeypatch.setattr(ParquetSource, "batches", meanwhile)
    group_parquet(tmp_path / "in.parquet", tmp_path / "out.parquet", TABLES)
    for rows in (*seen, pl.read_parquet(tmp_path / "out.parquet")):
        assert_frame_equal(rows, group(admissions, TABLES))
    assert len(seen) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="locks of POSIX")
def test_what_a_killed_writer_left_is_removed(tmp_path: Path):
    program = "import os, signal, sys\nfrom pathlib import Path\n"
    program += "from drgsim.files.atomic import begin_folder, replace_whole\n"
    program += "with replace_whole(sys.argv[1]), begin_folder(Path(sys.argv[1])): os.kill(os.getpid(), signal.SIGKILL)"
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path / "out")], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 2
    remove_leftovers(tmp_path / "out")
    assert list(tmp_path.iterdir()) == list_leftover_folders(tmp_path / "out")


def test_two_saves_into_one_folder_are_both_whole(tmp_path: Path, result):
    saves: list[Callable[[], Path]] = [lambda: result.save(tmp_path / "result")] * 6
    errors: list[BaseException] = []

    def run(save: Callable[[], Path]) -> None:
        try:
            save()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(save,)) for save in saves]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert load_simulation(tmp_path / "result").mean("net_usd") == result.mean("net_usd")
    assert [path.name for path in tmp_path.iterdir()] == ["result"]


def test_a_save_killed_between_two_renames_loses_no_earlier_result(tmp_path: Path, result):
    for again in (lambda: load_simulation(tmp_path / "result"), lambda: result.save(tmp_path / "result")):
        result.save(tmp_path / "result")
        left = tmp_path / ".result.a1b2.begun"
        left.mkdir()
        (tmp_path / "result").rename(left / "earlier")
        again()
        assert load_simulation(tmp_path / "result").mean("net_usd") == result.mean("net_usd")
        assert [path.name for path in tmp_path.iterdir()] == ["result"]


@pytest.mark.parametrize("name", ["totals.parquet", "attribution.parquet", "scenario.toml", "run.json"])
def test_a_result_with_a_file_of_another_is_refused(tmp_path: Path, result, name: str):
    """One file is replaced by that of a run that is as sound in itself."""
    other = simulate(result.admissions.drop("drg"), result.scenario.scaled(0.5), tables=TABLES, hospitals=None,
                     rates=Rates.load(2026), replicates=2, seed=2)  # fmt: skip
    result.save(tmp_path / "result")
    other.save(tmp_path / "other")
    (tmp_path / "other" / name).replace(tmp_path / "result" / name)
    with pytest.raises(InputError, match=r"damaged, or not saved together with run\.json"):
        load_simulation(tmp_path / "result")


def test_a_folder_under_way_stays(tmp_path: Path, result):
    with begin_folder(tmp_path / "result") as begun:
        result.save(tmp_path / "result")
        assert begun.is_dir()


# ---------------------------------------------------------------------------------------------- standard input

LISTENING = """
import sys, time
def wait_with(path, *_, **__):
    print(path, flush=True)
    time.sleep(60)
from drgsim.cli import frame_files
frame_files.map_claims = wait_with
from drgsim.cli.command_line import main
sys.exit(main(["group", "-", "--version", "43.1"]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGKILL])
def test_no_copy_of_standard_input_is_left(tmp_path: Path, number: signal.Signals):
    claims = b"admission_id,age,sex,discharge_status,dx1\n1,54,F,1,K81.0\n" * 2_000
    process = subprocess.Popen(
        [sys.executable, "-c", LISTENING],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(claims)
        process.stdin.close()
        held = Path(process.stdout.readline().decode().strip())
        assert held.is_relative_to(tmp_path)
        if sys.platform == "linux":
            assert held.is_symlink()
            assert os.fspath(held.readlink()).startswith("/proc/self/fd/")  # in memory
        process.send_signal(number)
        process.wait(30)
    if number == signal.SIGKILL:  # nothing can be done; the claims are gone with the process all the same
        assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    else:
        assert list(tmp_path.iterdir()) == []
        assert process.returncode in (-number, 130)


def test_standard_input_that_cannot_be_held(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "absent"))
    from drgsim.cli.frame_files import open_input

    with (tmp_path / "in.csv").open("w+") as empty:
        monkeypatch.setattr(sys, "stdin", empty)
        with pytest.raises(StorageError, match="standard input cannot be held"), open_input("-"):
            pass
