"""Trials of faults: each makes one fault at random, and asserts that nothing was lost, mixed or left half-written."""

from __future__ import annotations

import contextlib
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
from polars.testing import assert_frame_equal

from drgsim import group
from drgsim.claims.layouts import map_claims
from drgsim.exceptions import DrgsimError, InputError, StorageError
from drgsim.scale.parquet import group_parquet
from drgsim.scale.parquet_source import ParquetSource
from tests.faults.writers import (
    ADMISSIONS,
    BATCH,
    FILES,
    ROWS,
    TABLES,
    WRITERS,
    Writer,
    grouped,
    make_source,
    simulated,
)

ROOT = Path(__file__).parents[2]
Trial = Callable[[random.Random, Path], None]
QUICK = [name for name in WRITERS if name not in ("report", "figure")]


def kill(chance: random.Random, folder: Path) -> None:
    """A writer is killed at a random moment; then it writes again."""
    writer = WRITERS[chance.choice(QUICK)]
    out = begin(folder)
    command = [sys.executable, "-m", "tests.faults.writers", writer.name, str(out)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT)
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(chance.uniform(0.0, 0.6))
        process.send_signal(signal.SIGKILL)
        written = process.stdout.read().count("written")
    if writer.name == "save" and written:
        writer.check(out)
    assert writer.is_there(out) or not written, "what was written is gone"
    if writer.is_there(out):
        writer.check(out)
    writer.write(out)
    writer.check(out)
    assert_nothing_left(out)


def full_disk(chance: random.Random, folder: Path) -> None:
    """No file may grow beyond a limit, as on a full disk: written, or refused and nothing is left."""
    writer, out = choose_writer(chance, folder)
    before = state_of(out)
    limit = int(10 ** chance.uniform(0, 5.5))
    with largest_file(limit):
        is_written = is_written_or_refused(writer, out)
    after_a_refusal(writer, out, before, is_written=is_written)


def full_tmpfs(chance: random.Random, folder: Path) -> None:
    """A file system of its own that is full; only root may mount one, otherwise as `full_disk`."""
    if os.geteuid() != 0 or not mount(folder / "disk", int(10 ** chance.uniform(4.2, 6))):
        full_disk(chance, folder)
        return
    writer = WRITERS[chance.choice(list(WRITERS))]
    make_source(folder)
    (folder / "disk" / "source").symlink_to(folder / "source")
    out = folder / "disk" / "out"
    out.mkdir()
    try:
        is_written = is_written_or_refused(writer, out)
        assert_nothing_left(out)
        if is_written:
            writer.check(out)
    finally:
        subprocess.run(["umount", str(folder / "disk")], check=True)


def read_only(chance: random.Random, folder: Path) -> None:
    """A folder in which nobody may write, for a process that is not root's."""
    writer, out = choose_writer(chance, folder)
    before = state_of(out)
    out.chmod(0o555)
    for place in (folder, *list(folder.parents)[:2]):
        place.chmod(place.stat().st_mode | 0o055)
    with another_user():
        is_written = is_written_or_refused(writer, out)
    out.chmod(0o755)
    # A run whose folder was made earlier goes on in it.
    assert not is_written or (writer.target in ("parts", "run") and before), (
        f"{writer.name} wrote into a read-only folder"
    )
    after_a_refusal(writer, out, before, is_written=is_written)


def replaced_input(chance: random.Random, folder: Path) -> None:
    """A file of the source is replaced, changed or removed at a random batch: refused, and what counts is not mixed."""
    out, nth = begin(folder), chance.randrange(1, ROWS // BATCH + 1)
    victim = folder / "source" / f"{chance.randrange(FILES)}.parquet"
    change = chance.choice([rename_over, write_in_place, Path.unlink, flip_a_byte])
    target = out / chance.choice(["out.parquet", "parts"])
    with at_batch(nth, lambda: change(victim)):
        try:
            group_parquet(folder / "source", target, TABLES, batch=BATCH)
            raise AssertionError(f"{change.__name__} of {victim.name} at batch {nth} was not noticed")
        except StorageError as error:
            assert victim.name in str(error) or "source" in str(error), error  # noqa: PT017
    assert not (out / "out.parquet").exists()
    for part in (out / "parts").glob("rows-*.parquet"):
        at = int(part.stem.partition("-")[2]) * BATCH
        if part.stat().st_size:
            assert_frame_equal(pl.read_parquet(part), grouped()[at : at + BATCH])
    make_source(folder)
    group_parquet(folder / "source", target, TABLES, batch=BATCH)
    rows = pl.read_parquet(target if target.suffix else target / "rows-*.parquet")
    assert_frame_equal(rows, grouped())


def two_writers(chance: random.Random, folder: Path) -> None:
    """Several writers of one target at once: each ends whole, or is refused by name."""
    writer, out = WRITERS[chance.choice(QUICK)], begin(folder)
    simulated()
    errors: list[BaseException] = []

    def run() -> None:
        try:
            writer.write(out)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(chance.randint(2, 4))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(errors) < len(threads), errors
    assert all(isinstance(error, StorageError) and "another process" in str(error) for error in errors), errors
    writer.check(out)
    assert_nothing_left(out)


def damaged_parquet(chance: random.Random, folder: Path) -> None:
    """Bytes of a source are changed, cut off or added: refused by name, or as many rows as there were."""
    out = begin(folder)
    victim = folder / "source" / "1.parquet"
    victim.write_bytes(damage(chance, victim.read_bytes()))
    try:
        group_parquet(folder / "source", out / "out.parquet", TABLES, keep=[])
        assert pl.read_parquet(out / "out.parquet").height == ROWS
    except InputError as error:
        assert "1.parquet" in str(error) or "source" in str(error), error  # noqa: PT017
        assert not (out / "out.parquet").exists()
    assert_nothing_left(out)


def stray_bytes(chance: random.Random, folder: Path) -> None:
    """Bytes strewn into a CSV of claims: rows in are rows out, or a message; never fewer without a word."""
    path = folder / "claims.csv"
    WRITERS["CSV"].write(folder)
    (folder / "frame.csv").rename(path)
    content = path.read_bytes()
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(content))
        stray = chance.choice([b'"', b'"', b'""', b"'", b"\0", b"\xff", b",", b"\r", b"\n", b";", b"\x1a", b"\\", b"|"])
        content = content[:at] + stray + content[at:]
    path.write_bytes(content)
    rows = len([line for line in re.split(rb"\r\n|\n", content) if line.strip()]) - 1
    try:
        claims = map_claims(path)
    except DrgsimError as error:
        assert "claims.csv" in str(error)  # noqa: PT017
        return
    described = sum(count for _, _, count in claims.report.rows())
    assert claims.admissions.height >= min(rows, ROWS) or described >= ROWS - claims.admissions.height, (
        f"{claims.admissions.height} admissions of {rows} lines, {described} flags"
    )
    group(claims.admissions, TABLES)


TRIALS: dict[str, tuple[Trial, float]] = {
    "killed at a random moment": (kill, 0.05),
    "full disk, by a limit of file size": (full_disk, 0.12),
    "full disk, a file system of its own": (full_tmpfs, 0.1),
    "read-only folder": (read_only, 0.08),
    "source replaced while it is read": (replaced_input, 0.15),
    "two writers of one target": (two_writers, 0.1),
    "damaged Parquet": (damaged_parquet, 0.2),
    "stray bytes in CSV": (stray_bytes, 0.2),
}
"""Each kind of fault, and its share of the trials."""


# ---------------------------------------------------------------------------------------------------------


def begin(folder: Path) -> Path:
    """Make a source, and a folder to write into."""
    make_source(folder)
    out = folder / "out"
    out.mkdir()
    return out


def choose_writer(chance: random.Random, folder: Path) -> tuple[Writer, Path]:
    """Return a writer and where it writes; every other time it has written there before."""
    writer, out = WRITERS[chance.choice(list(WRITERS))], begin(folder)
    simulated()
    if chance.random() < 0.5:
        writer.write(out)
    return writer, out


def is_written_or_refused(writer: Writer, out: Path) -> bool:
    """Return whether it was written; a refusal must name the target and have one line."""
    try:
        writer.write(out)
    except StorageError as error:
        assert str(out) in str(error), error  # noqa: PT017
        assert "\n" not in str(error), error  # noqa: PT017
        return False
    return True


def after_a_refusal(writer: Writer, out: Path, before: dict[str, bytes], *, is_written: bool) -> None:
    """What was there is unchanged, nothing half-written is there, and the next attempt succeeds."""
    assert_nothing_left(out)
    if not is_written and writer.target not in ("parts", "run"):
        assert state_of(out) == before, f"{writer.name}: {sorted(state_of(out))}, before {sorted(before)}"
    writer.write(out)
    writer.check(out)
    assert_nothing_left(out)


def state_of(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


def assert_nothing_left(out: Path) -> None:
    left = [path.name for path in out.rglob("*") if ".begun" in path.name]
    assert not left, left


@contextlib.contextmanager
def largest_file(limit: int) -> Iterator[None]:
    """Limit the size of every file that this process writes."""
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@contextlib.contextmanager
def another_user() -> Iterator[None]:
    """Write as nobody where this is root, who may write anywhere."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def mount(place: Path, size: int) -> bool:
    if shutil.which("mount") is None:
        return False
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@contextlib.contextmanager
def at_batch(nth: int, change: Callable[[], object]) -> Iterator[None]:
    """Change something when the nth batch has been read."""
    real = ParquetSource.batches

    def batches(rows: ParquetSource, size: int, start: int = 0) -> Iterator[pl.DataFrame]:
        for number, frame in enumerate(real(rows, size, start), 1):
            if number == nth:
                change()
            yield frame

    ParquetSource.batches = batches  # type: ignore[method-assign]  # put back below
    try:
        yield
    finally:
        ParquetSource.batches = real  # type: ignore[method-assign]


def rename_over(path: Path) -> None:
    ADMISSIONS.head(ROWS // FILES).with_columns(pdx=pl.lit("I214")).write_parquet(path.with_name(".new"))
    path.with_name(".new").replace(path)


def write_in_place(path: Path) -> None:
    ADMISSIONS.head(ROWS // FILES).with_columns(pdx=pl.lit("I214")).write_parquet(path)


def flip_a_byte(path: Path) -> None:
    """The same size and time of writing."""
    before, content = path.stat(), bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def damage(chance: random.Random, content: bytes) -> bytes:
    damaged, how = bytearray(content), chance.choice(["bits", "bits", "footer", "cut", "zeros", "added"])
    at = chance.randrange(len(content))
    if how == "cut":
        return content[:at]
    if how == "zeros":
        return content[:at] + bytes(min(500, len(content) - at)) + content[at + 500 :]
    if how == "added":
        return content[:at] + chance.randbytes(chance.randint(1, 50)) + content[at:]
    for _ in range(chance.randint(1, 20)):
        place = chance.randrange(len(content)) if how == "bits" else len(content) - 1 - chance.randrange(2_000)
        damaged[place] ^= 1 << chance.randrange(8)
    return bytes(damaged)
