"""The table folder and its manifest; a file is read only if its checksum agrees.

A table folder holds `manifest.toml` and the text tables that it lists. The entry of a file has the source of its
facts, the licence and the sha256; a file that is missing, altered or malformed raises `TableError`. After a change of
your own tables, `seal(folder)` writes the new checksums.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drgsim.exceptions import TableError, did_you_mean
from drgsim.files.bounded import MOST_SETTINGS, MOST_TABLE, parse_toml, read_whole

if TYPE_CHECKING:  # the command line reads the manifest without loading Polars
    import polars as pl

_VERSION_ENTRY = {"fiscal_year": int, "effective_from": dt.date, "effective_to": dt.date}

FOLDER_VARIABLE = "DRGSIM_TABLES"
MANIFEST = "manifest.toml"


def table_folder(folder: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder from which the tables are read.

    The first of: `folder`, the environment variable DRGSIM_TABLES, the tables shipped with the package.

    Raises:
        TableError: there is no manifest in that folder.

    >>> (table_folder() / "manifest.toml").exists()
    True
    """
    package = Path(__file__).parents[1]
    chosen = folder or os.environ.get(FOLDER_VARIABLE)
    candidates = [Path(chosen)] if chosen else [package / "_grouper_tables", package.parent / "grouper_tables"]
    for candidate in candidates:
        if (candidate / MANIFEST).is_file():
            return candidate.resolve()
    raise TableError(f"no {MANIFEST} in {' or '.join(str(c) for c in candidates)}. Is it a drgsim table folder?")


def read_manifest(folder: Path) -> Mapping[str, Any]:
    """Return the parsed manifest of a table folder, such as its `versions` and `files`.

    >>> list(read_manifest(table_folder())["versions"])[-1]
    '44.0'
    """
    path = folder / MANIFEST
    return _parse_manifest(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=16)
def _parse_manifest(path: Path, _mtime_ns: int) -> Mapping[str, Any]:
    found = parse_toml(read_whole(path, MOST_SETTINGS, TableError), path, TableError)
    for section in ("versions", "files"):
        if not isinstance(found.get(section), dict):
            raise TableError(f"{path}: section [{section}] is missing.")
        for name, entry in found[section].items():
            if not isinstance(entry, dict):
                raise TableError(f"{path}: [{section}] {name!r:.60} is {entry!r:.60}, expected a table.")
    for name, entry in found["versions"].items():
        for key, kind in _VERSION_ENTRY.items():
            if type(entry.get(key)) is not kind:
                raise TableError(f"{path}: [versions.{name!r:.60}] {key} is {entry.get(key)!r:.60}, expected {kind}.")
    return found


def _resolve_listed(folder: Path, name: str) -> Path:
    """Return the path of a listed file, which is in the folder, links followed."""
    path = folder / name
    is_outside = not name or "\0" in name or "\\" in name or Path(name).is_absolute() or ".." in Path(name).parts
    if is_outside or not path.resolve().is_relative_to(folder.resolve()):
        raise TableError(f"{folder / MANIFEST}: file {name!r:.80} leads out of the table folder.")
    return path


def read_verified(folder: Path, name: str) -> bytes:
    """Return the bytes of a file, whose sha256 equals the one in the manifest.

    Raises:
        TableError: the file is not listed, is missing, or is not the file the manifest describes.
    """
    files = read_manifest(folder)["files"]
    if name not in files:
        raise TableError(f"{folder / MANIFEST}: no file {name!r} is listed.{did_you_mean(name, files)}")
    path = _resolve_listed(folder, name)
    content = read_whole(path, MOST_TABLE, _refuse_listed)
    found, expected = hashlib.sha256(content).hexdigest(), files[name].get("sha256")
    if found != expected:
        raise TableError(
            f"{path}: altered: sha256 is {found[:12]}…, {MANIFEST} says {str(expected)[:12]}…. "
            "If the change is yours, run drgsim.tables.seal(folder)."
        )
    return content


def _refuse_listed(reason: str) -> TableError:
    """Return the error of a listed file that cannot be read."""
    return TableError(reason.replace(": cannot", f": listed in {MANIFEST} but cannot", 1))


def read_table(folder: Path, name: str, columns: Mapping[str, Any], *, nullable: Sequence[str] = ()) -> pl.DataFrame:
    """Return a verified CSV table with exactly these columns and no null outside `nullable`.

    Args:
        folder: a table folder.
        name: the file's name in the manifest.
        columns: name and polars type of every column, in file order.
        nullable: columns that may be empty.

    Raises:
        TableError: as `read_verified`, or a column, a value or a null is not as expected; the message names
            file and row.
    """
    import polars as pl

    content = read_verified(folder, name)
    header = content.split(b"\n", 1)[0].decode("utf-8", "replace").strip().split(",")
    if header != list(columns):
        raise TableError(f"{folder / name}: columns are {', '.join(header)}; expected {', '.join(columns)}.")
    try:
        table = pl.read_csv(content, schema=dict(columns))
    except pl.exceptions.PolarsError as error:
        reason = str(error).partition("\n")[0]
        raise TableError(f"{folder / name}: {_describe_bad_row(content, columns)}{reason}") from error
    for column in columns:
        if column not in nullable and table[column].null_count():
            row = int(table[column].is_null().arg_max() or 0) + 2
            raise TableError(f"{folder / name}, row {row}: {column} is empty.")
    return table


def _describe_bad_row(content: bytes, columns: Mapping[str, Any]) -> str:
    """Return the first row and column whose value has the wrong type, or an empty text."""
    import polars as pl

    texts = pl.read_csv(content, schema=dict.fromkeys(columns, pl.String), truncate_ragged_lines=True)
    for column, dtype in columns.items():
        bad = texts[column].is_not_null() & texts[column].cast(dtype, strict=False).is_null()
        if bad.any():
            row = int(bad.arg_max() or 0)
            return f"row {row + 2}: {column} is {texts[column][row]!r}, expected {dtype}. "
    return ""


def seal(folder: str | os.PathLike[str]) -> None:
    """Write the sha256 of every listed file into the manifest, after a deliberate change.

    Raises:
        TableError: a listed file is missing.
        StorageError: the manifest cannot be written; it is unchanged.

    >>> import shutil, tempfile
    >>> own = shutil.copytree(table_folder(), Path(tempfile.mkdtemp()) / "tables")
    >>> path = own / "msdrg/mdc_titles.csv"
    >>> _ = path.write_text(path.read_text("utf-8").replace("Hepatobiliary", "HEPATOBILIARY"), "utf-8")
    >>> seal(own)
    >>> from drgsim import TableSet
    >>> TableSet.load("43.1", folder=own).mdc_titles.filter(mdc=7)["title"].item()
    'Diseases and Disorders of the HEPATOBILIARY System and Pancreas'
    """
    from drgsim.files.atomic import write_text_whole

    root = table_folder(folder)
    text = (root / MANIFEST).read_text("utf-8")
    for name in read_manifest(root)["files"]:
        path = _resolve_listed(root, name)
        if not path.is_file():
            raise TableError(f"{path}: listed in {MANIFEST} but missing.")
        digest = hashlib.sha256(read_whole(path, MOST_TABLE, TableError)).hexdigest()
        entry = re.compile(rf'(\[files\."{re.escape(name)}"\][^\[]*?sha256\s*=\s*")[0-9a-f]*(")')
        text, count = entry.subn(rf"\g<1>{digest}\g<2>", text)
        if count != 1:
            raise TableError(f'{root / MANIFEST}: [files."{name}"] has no sha256 line.')
    write_text_whole(root / MANIFEST, text)
