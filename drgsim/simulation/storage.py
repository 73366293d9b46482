"""Folders of results: written whole or not at all, and read back with every file checked."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import polars as pl

from drgsim.exceptions import DrgsimError, InputError, StorageError
from drgsim.files.atomic import (
    begin_folder,
    describe_reason,
    hold_abandoned,
    list_leftover_folders,
    make_folder,
    sha256_of,
    sync_to_disk,
)
from drgsim.files.bounded import read_whole

RUN, SCENARIO = "run.json", "scenario.toml"
_EARLIER = "earlier"
_MOST_ATTEMPTS = 100
_MOST_BYTES = 1 << 40
_TABLE = re.compile(
    r"admissions|totals|changed_claims|attribution|error_counts|ledger|summary|errors|transitions"
    r"|baseline|error_totals|transition_totals|(grouped|correct)_\d+"
)
"""Names of the tables of a result."""


def save_folder(
    folder: str | os.PathLike[str], tables: Mapping[str, pl.DataFrame], run: Mapping[str, Any], scenario: str
) -> Path:
    """Write the files of a result into a folder, which appears once it is complete and on disk.

    Args:
        folder: created if need be, with its parents; an earlier result there is replaced as a whole.
        tables: written as Parquet files of these names.
        run: what `run.json` says; the sha256 of every other file is added as `files`.
        scenario: the content of `scenario.toml`.

    Returns:
        The folder.

    Raises:
        InputError: the folder holds anything but an earlier result.
        StorageError: it cannot be written; an earlier result there is unchanged.
    """
    target = Path(folder).resolve()
    try:
        make_folder(target.parent)
        check_replaceable(folder)
        with begin_folder(target) as begun:
            new = begun / "new"
            new.mkdir()
            for name, table in tables.items():
                table.write_parquet(new / f"{name}.parquet")
            (new / SCENARIO).write_text(scenario, "utf-8")
            files = {file.name: sha256_of(file) for file in sorted(new.iterdir())}
            (new / RUN).write_text(json.dumps({**run, "files": files}, indent=1), "utf-8")
            for file in (*new.iterdir(), new):
                sync_to_disk(file)
            _replace_folder(new, target, begun)
    except DrgsimError:
        raise
    except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise StorageError(f"{folder}: the result cannot be written ({describe_reason(error)}).") from error
    return Path(folder)


def recover_earlier(target: Path) -> None:
    """Move the earlier result back where a save was killed before it replaced it.

    Temporary folders of killed saves are removed; those of a save under way stay.

    Raises:
        StorageError: the system cannot do it.
    """
    try:
        for begun in list_leftover_folders(target):
            with hold_abandoned(begun) as is_abandoned:
                if not is_abandoned:
                    continue
                earlier = begun / _EARLIER
                if earlier.is_dir() and not target.exists():
                    earlier.rename(target)
                shutil.rmtree(begun, ignore_errors=True)
    except OSError as error:
        raise StorageError(f"{target}: a save that was killed cannot be undone ({describe_reason(error)}).") from error


def check_replaceable(folder: str | os.PathLike[str]) -> None:
    """Check that a result can be saved in a folder, before any work is done.

    Raises:
        InputError: there is no parent folder, or the folder holds anything but an earlier result.
        StorageError: an earlier save was killed, and what it left cannot be mended.

    >>> import tempfile
    >>> check_replaceable(Path(tempfile.mkdtemp()) / "absent")
    """
    target = Path(folder).resolve()
    if not target.parent.is_dir():
        raise InputError(f"{folder}: there is no folder {target.parent}.")
    recover_earlier(target)
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
    if not Path(folder).exists():
        recover_earlier(Path(folder).resolve())
    if not path.is_file():
        raise InputError(f"{folder}: no result of a simulation there (no {RUN}).")
    try:
        run = json.loads(path.read_text("utf-8"))
        if all(name in run for name in (*fields, "files")) and all(_TABLE.fullmatch(name) for name in run["tables"]):
            return dict(run)
    except (ValueError, KeyError, TypeError, OSError):
        pass
    raise InputError(f"{path}: damaged, or not written by this release of drgsim. Simulate again.")


def read_stored_table(folder: str | os.PathLike[str], name: str, run: Mapping[str, Any]) -> pl.DataFrame:
    """Return a table of a result.

    Args:
        folder, name: of the result and the table.
        run: what `run.json` says.

    Raises:
        InputError: the file is missing, damaged, or not the one that was saved with `run.json`.
    """
    path = Path(folder) / f"{name}.parquet"
    try:
        return pl.read_parquet(BytesIO(_read_stored(path, run)))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise InputError(f"{path}: missing or damaged. Simulate again.") from error


def read_stored_scenario(folder: str | os.PathLike[str], run: Mapping[str, Any]) -> str:
    """Return the scenario of a result as TOML text.

    Raises:
        InputError: as `read_stored_table`.
    """
    return _read_stored(Path(folder) / SCENARIO, run).decode("utf-8")


# ---------------------------------------------------------------------------------------------------------


def _read_stored(path: Path, run: Mapping[str, Any]) -> bytes:
    """Return the bytes of a file of a result, which are those that were saved."""
    content = read_whole(path, _MOST_BYTES, lambda _: InputError(f"{path}: missing or damaged. Simulate again."))
    files = run["files"]
    if not isinstance(files, dict) or hashlib.sha256(content).hexdigest() != files.get(path.name):
        raise InputError(
            f"{path}: damaged, or not saved together with {RUN}. Load it when nothing writes there, or simulate again."
        )
    return content


def _is_file_of_result(path: Path) -> bool:
    return path.name in (RUN, SCENARIO) or (path.suffix == ".parquet" and bool(_TABLE.fullmatch(path.stem)))


def _replace_folder(new: Path, target: Path, begun: Path) -> None:
    """Rename a complete folder to its name.

    The earlier folder of that name moves aside, and back if this fails. Another save may put its result there in
    between; then that one is the earlier result.
    """
    for attempt in range(_MOST_ATTEMPTS):
        earlier = begun / (_EARLIER if attempt == 0 else f"{_EARLIER}{attempt}")
        with suppress(FileNotFoundError):
            target.rename(earlier)
        try:
            new.rename(target)
            break
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST) and attempt + 1 < _MOST_ATTEMPTS:
                continue
            if earlier.exists() and not target.exists():
                earlier.rename(target)
            raise
    sync_to_disk(target.parent)
