"""Atomic."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from drgsim.exceptions import DrgsimError, InputError, StorageError

_BEGUN = ".begun"


@contextmanager
def replace_whole(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a name beside `path` to write to; put it in place once it is complete, and on disk.

    When the block raises, `path` keeps what it had and the beginning is removed. A link is followed, and an existing
    file keeps its permissions.

    Args:
        path: a file to be written, in a folder that exists.

    Raises:
        InputError: there is no such folder, or `path` is no ordinary file.
        StorageError: the system cannot write it; says which file and why.

    >>> target = Path(tempfile.mkdtemp()) / "told.txt"
    >>> with replace_whole(target) as begun:
    ...     _ = begun.write_text("all of it")
    >>> target.read_text(), [file.name for file in target.parent.iterdir()]
    ('all of it', ['told.txt'])
    """
    target = Path(path).resolve()
    _check_place(os.fspath(path), target)
    begun: Path | None = None
    try:
        number, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.stem}.", suffix=f"{_BEGUN}{target.suffix}")
        os.close(number)
        begun = Path(name)
        begun.chmod(target.stat().st_mode & 0o7777 if target.exists() else 0o666 & ~_umask())
        yield begun
        sync_to_disk(begun)
        begun.replace(target)
        sync_to_disk(target.parent)
    except DrgsimError:
        raise
    except (OSError, pl.exceptions.PolarsError) as error:
        raise StorageError(f"{os.fspath(path)}: cannot be written ({_reason(error)}).") from error
    finally:
        if begun is not None:
            _removed(begun)


def remove_leftovers(path: str | os.PathLike[str]) -> None:
    """Remove what killed writers of a file, or of any file in a folder, have left beside it.

    >>> folder = Path(tempfile.mkdtemp())
    >>> (folder / ".told.x1.begun.txt").touch()
    >>> remove_leftovers(folder / "told.txt"), list(folder.iterdir())
    (None, [])
    """
    target = Path(path).resolve()
    folder, pattern = target.parent, re.compile(rf"\.{re.escape(target.stem)}\.\w+{_BEGUN}{re.escape(target.suffix)}")
    if target.is_dir():
        folder, pattern = target, re.compile(rf"\..+\.\w+{_BEGUN}(\.\w+)?")
    for left in folder.iterdir() if folder.is_dir() else ():
        if pattern.fullmatch(left.name) and left.is_file():
            _removed(left)


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file's bytes.

    Raises:
        StorageError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise StorageError(f"{path}: cannot be read ({_reason(error)}).") from error


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


# ---------------------------------------------------------------------------------------------------------


def _check_place(path: str, target: Path) -> None:
    if not target.parent.is_dir():
        raise InputError(f"{path}: there is no folder {target.parent}.")
    if target.exists() and not target.is_file():
        raise InputError(f"{path}: not an ordinary file, so it cannot be replaced.")


def _removed(begun: Path) -> None:
    try:
        begun.unlink(missing_ok=True)
    except OSError:
        return  # the folder is gone or read-only: the error that matters is under way


def _reason(error: OSError | pl.exceptions.PolarsError) -> str:
    """Return what the system says, which Polars has at the end of a longer message."""
    told = getattr(error, "strerror", None) or str(error).partition("\n")[0]
    return str(told).partition(" (os error")[0].rpartition(": ")[2]


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
