"""Files that appear complete under their name or not at all: `replace_whole(path)`."""

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

_UNFINISHED = ".begun"


@contextmanager
def replace_whole(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary file to write; rename it to `path` once it is complete and on disk.

    When the block raises, `path` keeps what it had and the temporary file is removed. A link is followed, and an
    existing file keeps its permissions.

    Args:
        path: the file to write, in a folder that exists.

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
    try:
        number, name = tempfile.mkstemp(
            dir=target.parent, prefix=f".{target.stem}.", suffix=f"{_UNFINISHED}{target.suffix}"
        )
        os.close(number)
        unfinished = Path(name)
        unfinished.chmod(target.stat().st_mode & 0o7777 if target.exists() else 0o666 & ~_read_umask())
        yield unfinished
        sync_to_disk(unfinished)
        unfinished.replace(target)
        sync_to_disk(target.parent)
    except DrgsimError:
        raise
    except (OSError, pl.exceptions.PolarsError) as error:
        raise StorageError(f"{os.fspath(path)}: cannot be written ({_describe_reason(error)}).") from error
    finally:
        if unfinished is not None:
            _remove(unfinished)


def remove_leftovers(path: str | os.PathLike[str]) -> None:
    """Remove temporary files that killed writers left: those of a file, or all in a folder.

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
            _remove(left)


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file's bytes.

    Raises:
        StorageError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise StorageError(f"{path}: cannot be read ({_describe_reason(error)}).") from error


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


# ---------------------------------------------------------------------------------------------------------


def _remove(unfinished: Path) -> None:
    try:
        unfinished.unlink(missing_ok=True)
    except OSError:
        return  # the folder is gone or read-only; the error that says so is already raised


def _describe_reason(error: OSError | pl.exceptions.PolarsError) -> str:
    """Return the reason the system gives; Polars has it at the end of a longer message."""
    reason = getattr(error, "strerror", None) or str(error).partition("\n")[0]
    return str(reason).partition(" (os error")[0].rpartition(": ")[2]


def _read_umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
