"""Files that appear complete under their name or not at all: `replace_whole(path)`."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from drgsim.exceptions import DrgsimError, InputError, StorageError

_UNFINISHED = ".begun"
_A_DAY = 86_400.0


@contextmanager
def replace_whole(path: str | os.PathLike[str], *, sweep: bool = True) -> Iterator[Path]:
    """Give a temporary file to write; rename it to `path` once it is complete and on disk.

    When the block raises, `path` keeps what it had and the temporary file is removed. A link is followed, and an
    existing file keeps its permissions.

    Args:
        path: the file to write, in a folder that exists.
        sweep: whether to remove what killed writers of this file left; a caller that writes many files into one folder
            does it once for all.

    Raises:
        InputError: there is no such folder, or `path` is no ordinary file.
        StorageError: the system cannot write it; the message names the file and the reason.

    >>> target = Path(tempfile.mkdtemp()) / "note.txt"
    >>> with replace_whole(target) as unfinished:
    ...     _ = unfinished.write_text("all of it")
    >>> target.read_text(), [file.name for file in target.parent.iterdir()]
    ('all of it', ['note.txt'])
    """
    target = Path(path).resolve()
    check_place(os.fspath(path), target)
    unfinished: Path | None = None
    lock: int | None = None
    try:
        if sweep:
            remove_leftovers(target)
        unfinished, lock = _begin(lambda: _make_file(target))
        unfinished.chmod(target.stat().st_mode & 0o7777 if target.exists() else 0o666 & ~_read_umask())
        yield unfinished
        sync_to_disk(unfinished)
        unfinished.replace(target)
        sync_to_disk(target.parent)
    except DrgsimError:
        raise
    except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise StorageError(f"{os.fspath(path)}: cannot be written ({describe_reason(error)}).") from error
    finally:
        if unfinished is not None:
            _remove(unfinished)
        if lock is not None:
            os.close(lock)


def write_text_whole(path: str | os.PathLike[str], text: str) -> None:
    """Write a text file whole or not at all, as `replace_whole` does.

    Raises:
        InputError, StorageError: as `replace_whole`.

    >>> note = Path(tempfile.mkdtemp()) / "note.txt"
    >>> write_text_whole(note, "all of it")
    >>> note.read_text("utf-8")
    'all of it'
    """
    with replace_whole(path) as unfinished:
        unfinished.write_text(text, "utf-8")


def make_folder(folder: str | os.PathLike[str]) -> Path:
    """Make a folder, with its parents, and return it; one that exists stays as it is.

    Raises:
        StorageError: the system cannot make it.
    """
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{os.fspath(folder)}: cannot be made ({describe_reason(error)}).") from error
    return Path(folder)


@contextmanager
def begin_folder(target: Path) -> Iterator[Path]:
    """Give a temporary folder beside `target`; it is removed when the block ends.

    Like the temporary file of `replace_whole`, it is locked: `remove_leftovers` of another writer leaves it alone.

    >>> with begin_folder(Path(tempfile.mkdtemp()) / "result") as begun:
    ...     begun.is_dir()
    True
    >>> begun.exists()
    False
    """
    begun, lock = _begin(lambda: tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.", suffix=_UNFINISHED))
    try:
        yield begun
    finally:
        shutil.rmtree(begun, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def remove_leftovers(path: str | os.PathLike[str]) -> None:
    """Remove temporary files that killed writers left: those of a file, or all in a folder.

    A file that a living writer has locked stays. Where there are no locks, a file stays for a day.

    >>> folder = Path(tempfile.mkdtemp())
    >>> (folder / ".note.x1.begun.txt").touch()
    >>> remove_leftovers(folder / "note.txt"), list(folder.iterdir())
    (None, [])
    """
    target = Path(path).resolve()
    folder, pattern = (
        target.parent,
        re.compile(rf"\.{re.escape(target.stem)}\.\w+{_UNFINISHED}{re.escape(target.suffix)}"),
    )
    if target.is_dir():
        folder, pattern = target, re.compile(rf"\..+\.\w+{_UNFINISHED}(\.\w+)?")
    for left in folder.iterdir() if folder.is_dir() else ():
        if pattern.fullmatch(left.name) and left.is_file():
            with hold_abandoned(left) as is_abandoned:
                if is_abandoned:
                    _remove(left)


def list_leftover_folders(target: Path) -> list[Path]:
    """Return the temporary folders of a target, of killed and of living writers, oldest first."""
    pattern = re.compile(rf"\.{re.escape(target.name)}\.\w+{_UNFINISHED}")
    found = target.parent.iterdir() if target.parent.is_dir() else ()
    left = [(path.stat().st_mtime_ns, path) for path in found if pattern.fullmatch(path.name) and path.is_dir()]
    return [path for _, path in sorted(left)]


@contextmanager
def hold_abandoned(path: Path) -> Iterator[bool]:
    """Give whether no living writer works on a temporary file or folder, and keep it so."""
    try:
        lock = _lock(path)
        is_abandoned = lock is not None or time.time() - path.stat().st_mtime > _A_DAY
    except OSError:  # locked by its writer, or gone
        lock, is_abandoned = None, False
    try:
        yield is_abandoned
    finally:
        if lock is not None:
            os.close(lock)


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file's bytes.

    Raises:
        StorageError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise StorageError(f"{path}: cannot be read ({describe_reason(error)}).") from error


def sync_to_disk(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on disk."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    except OSError:
        if not path.is_dir():  # some file systems cannot flush a folder
            raise
    finally:
        os.close(number)


def check_place(path: str, target: Path) -> None:
    """Check that a file can be created or replaced.

    Args:
        path: the file as messages name it.
        target: the same file, resolved.

    Raises:
        InputError: its folder does not exist, or it is no ordinary file.
    """
    if not target.parent.is_dir():
        raise InputError(f"{path}: there is no folder {target.parent}.")
    if target.exists() and not target.is_file():
        raise InputError(f"{path}: not an ordinary file, so it cannot be replaced. Name another.")


def describe_reason(error: BaseException) -> str:
    """Return the reason the system gives; Polars has it at the end of a longer message."""
    reason = getattr(error, "strerror", None) or str(error).partition("\n")[0]
    return str(reason).partition(" (os error")[0].rpartition(": ")[2]


# ---------------------------------------------------------------------------------------------------------


def _begin(make: Callable[[], str]) -> tuple[Path, int | None]:
    """Return a new temporary file or folder, and its lock."""
    while True:
        name = make()
        try:
            lock = _lock(Path(name))
        except (FileNotFoundError, BlockingIOError):  # another writer removes it before it is locked
            continue
        if lock is None or Path(name).exists():
            return Path(name), lock
        os.close(lock)


def _make_file(target: Path) -> str:
    """Make an empty temporary file in the folder of a target."""
    suffix = f"{_UNFINISHED}{target.suffix}"
    number, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.stem}.", suffix=suffix)
    os.close(number)
    return name


def _lock(path: Path) -> int | None:
    """Lock a file or folder until the number is closed; None where there are no locks.

    Raises:
        BlockingIOError: another has the lock.
        OSError: it cannot be opened.
    """
    if sys.platform == "win32":
        return None
    import fcntl

    number = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(number)
        raise
    except OSError:  # some network file systems have no locks
        os.close(number)
        return None
    return number


def _remove(unfinished: Path) -> None:
    try:
        unfinished.unlink(missing_ok=True)
    except OSError:
        return  # the folder is gone or read-only; the error that says so is already raised


def _read_umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
