"""Folders of results: written whole or not at all, and read back with every file checked."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from drgsim.exceptions import InputError, StorageError
from drgsim.files.atomic import sync_to_disk

RUN, SCENARIO = "run.json", "scenario.toml"
_TABLE = re.compile(
    r"admissions|totals|changed_claims|attribution|error_counts|ledger|summary|errors|transitions"
    r"|baseline|error_totals|transition_totals|(grouped|correct)_\d+"
)
"""Names of the tables of a result."""


def save_folder(folder: str | os.PathLike[str], tables: Mapping[str, pl.DataFrame], texts: Mapping[str, str]) -> Path:
    """Write the files of a result into a folder, which appears once it is complete and on disk.

    Args:
        folder: created if need be, with its parents; an earlier result there is replaced as a whole.
        tables: written as Parquet files of these names.
        texts: contents of further files, by file name.

    Returns:
        The folder.

    Raises:
        InputError: the folder holds anything but an earlier result.
        StorageError: it cannot be written; an earlier result there is unchanged.
    """
    target = Path(folder).resolve()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        check_replaceable(folder)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.", suffix=".begun") as begun:
            new = Path(begun) / "new"
            new.mkdir()
            for name, table in tables.items():
                table.write_parquet(new / f"{name}.parquet")
            for name, text in texts.items():
                (new / name).write_text(text, "utf-8")
            for file in (*new.iterdir(), new):
                sync_to_disk(file)
            _replace_folder(new, target, Path(begun) / "earlier")
    except (OSError, pl.exceptions.PolarsError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise StorageError(f"{folder}: the result cannot be written ({reason}).") from error
    return Path(folder)


def check_replaceable(folder: str | os.PathLike[str]) -> None:
    """Check that a result can be saved in a folder, before any work is done.

    Raises:
        InputError: there is no parent folder, or the folder holds anything but an earlier result.

    >>> check_replaceable(Path(tempfile.mkdtemp()) / "absent")
    """
    target = Path(folder).resolve()
    if not target.parent.is_dir():
        raise InputError(f"{folder}: there is no folder {target.parent}.")
    if not target.exists():
        return
    if not target.is_dir():
        raise InputError(f"{folder}: a file. Name a folder for the result.")
    others = sorted(path.name for path in target.iterdir() if path.is_dir() or not _is_file_of_result(path))
    if others:
        raise InputError(f"{folder}: holds {others[0]}, which is no part of a result. Name a new or empty folder.")


def read_run(folder: str | os.PathLike[str], fields: Iterable[str]) -> dict[str, Any]:
    """Return what `run.json` says of a run.

    Raises:
        InputError: the folder holds no result, or the file is damaged or lacks one of the fields.
    """
    path = Path(folder) / RUN
    if not path.is_file():
        raise InputError(f"{folder}: no result of a simulation there (no {RUN}).")
    try:
        run = json.loads(path.read_text("utf-8"))
        if all(name in run for name in fields) and all(_TABLE.fullmatch(name) for name in run["tables"]):
            return dict(run)
    except (ValueError, KeyError, TypeError, OSError):
        pass
    raise InputError(f"{path}: damaged, or not written by this release of drgsim. Simulate again.")


def read_stored_table(folder: str | os.PathLike[str], name: str) -> pl.DataFrame:
    """Return a table of a result.

    Raises:
        InputError: the file is missing or damaged.
    """
    path = Path(folder) / f"{name}.parquet"
    try:
        return pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise InputError(f"{path}: missing or damaged. Simulate again.") from error


# ---------------------------------------------------------------------------------------------------------


def _is_file_of_result(path: Path) -> bool:
    return path.name in (RUN, SCENARIO) or (path.suffix == ".parquet" and bool(_TABLE.fullmatch(path.stem)))


def _replace_folder(new: Path, target: Path, earlier: Path) -> None:
    """Rename a complete folder to its name.

    The earlier folder of that name moves aside, and back if this fails.
    """
    if target.exists():
        target.rename(earlier)
    try:
        new.rename(target)
    except OSError:
        if earlier.exists():
            earlier.rename(target)
        raise
    sync_to_disk(target.parent)
