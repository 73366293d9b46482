"""Files that are written whole or not at all, and what is said where one cannot be."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from drgsim.errors import StorageError

_TEMPORARY = ".tmp"


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Give a temporary file's path; once written and on disk, the file takes the place of `path`.

    Whatever stops the writing, `path` is as it was. What a killed writer left beside it (`.NAME.*.tmp`) goes when
    the same file is next written.

    Raises:
        StorageError: the file cannot be written; says which, why, and that nothing was.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder, whole(Path(folder) / "a") as temporary:
    ...     _ = temporary.write_text("all of it")
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}{_TEMPORARY}")
    try:
        with _told(path):
            for left in path.parent.glob(f".{path.name}.*{_TEMPORARY}"):
                left.unlink(missing_ok=True)
            temporary.touch()  # a folder that cannot be written says so now, not after an hour
        with _told(path):
            yield temporary
            _to_disk(temporary)
            temporary.replace(path)
            _to_disk(path.parent)
    finally:
        _forgotten(temporary)


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file's bytes.

    Raises:
        StorageError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise StorageError(f"{path}: cannot be read ({error.strerror or error}).") from error


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except StorageError:
        raise
    except (OSError, pl.exceptions.PolarsError) as error:
        raise StorageError(f"{path}: cannot be written ({_reason(error)}); it is as it was before.") from error


def _reason(error: OSError | pl.exceptions.PolarsError) -> str:
    """Return what the system says, which Polars has at the end of a longer message."""
    told = getattr(error, "strerror", None) or str(error).partition("\n")[0]
    return str(told).partition(" (os error")[0].rpartition(": ")[2]


def _to_disk(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on disk."""
    if path.is_dir() and os.name == "nt":
        return  # folders cannot be opened there
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _forgotten(temporary: Path) -> None:
    try:
        temporary.unlink(missing_ok=True)
    except OSError:
        return  # the folder is gone or read-only: the error that matters is under way
