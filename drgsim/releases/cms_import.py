"""A CMS grouper release to a table folder the engine loads: `import_release(path, folder)`."""

from __future__ import annotations

import datetime as dt
import os
import re
import shutil
import zipfile
from collections.abc import Mapping
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import IO

import polars as pl

from drgsim.exceptions import InputError, TableError
from drgsim.releases.build_grouper import (
    VERSIONS,
    Versions,
    join_clusters,
    list_discharge_statuses,
    select_decisive,
    to_ranges,
    write_tables,
)
from drgsim.releases.cms_data_file import ReleaseFacts, read_release_facts
from drgsim.tables.manifest import table_folder
from drgsim.tables.table_set import TableSet

MEMBER = "runtime_buffers/msdrg_combined.bin"
"""Where the data file stands inside the published archive."""
LARGEST = 1 << 27
"""Bytes of a data file or an archive that are read at most; release 43.1 has 11 million."""
_MOST_MEMBERS = 100_000
_FIRST_FISCAL_YEAR = 1983
_ZIP = b"PK\x03\x04"

Dates = Mapping[str, tuple[dt.date, dt.date]]


def import_release(
    path: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    base: str | os.PathLike[str] | None = None,
    effective: Dates | None = None,
    ignore_unknown_fields: bool = False,
) -> tuple[str, ...]:
    """Write a table folder from a CMS grouper release; return the versions it holds, oldest first.

    The folder holds the versions of the release and no others. What a release does not say is taken from `base`:
    descriptions of codes, weights, rates, population. Valid discharge statuses are those of
    `drgsim.releases.build_grouper.DISCHARGE_STATUSES`. Every version is loaded and checked before the folder appears.

    Args:
        path: the published Java archive, a zip file with that archive or with the data file
            `runtime_buffers/msdrg_combined.bin` inside, or the bare data file.
        folder: to be created; it must not exist.
        base: a table folder, by default the shipped one.
        effective: first and last day of discharge by version, for versions of which drgsim does not know them.
            Without it, version N.0 is in force from 1 October of fiscal year N + 1983 to 31 March, and N.1 from
            1 April to 30 September, as CMS has published them since 40.0; any other version needs its dates.
        ignore_unknown_fields: leave out fields of the data file that are not known, instead of refusing them.

    Raises:
        InputError: there is no such file, the folder exists, or a version's dates are missing or wrong.
        TableError: the archive or its data are damaged or too large, hold unknown fields, or give tables that
            contradict each other.

    >>> import_release("absent.jar", "my_tables")
    Traceback (most recent call last):
    drgsim.exceptions.InputError: absent.jar: no such file.
    """
    source, target, root = Path(path), Path(folder), table_folder(base)
    if target.exists():
        raise InputError(f"{target}: exists already; name a folder to create.")
    content = read_release_content(source)
    try:
        facts = read_release_facts(content, ignore_unknown_fields=ignore_unknown_fields)
    except TableError as error:
        raise TableError(f"{source}: {error}") from error
    versions = _dated(facts.versions, effective or {})
    tables = _tables(facts)
    origin = f"CMS MS-DRG grouper release, data file with sha256 {sha256(content).hexdigest()}"
    begun = target.with_name(f".{target.name}.begun")
    shutil.rmtree(begun, ignore_errors=True)
    try:
        shutil.copytree(root, begun, symlinks=True)
        write_tables(begun, tables, versions, dict.fromkeys(tables, origin))
        for version in versions:
            TableSet.load(version, folder=begun)
        begun.rename(target)
    finally:
        shutil.rmtree(begun, ignore_errors=True)
    return facts.versions


def read_release_content(path: str | os.PathLike[str]) -> bytes:
    """Return the data file of a release, taken out of the archive it is published in.

    Nothing is unpacked to disk; no more than `LARGEST` bytes are read, whatever the archive says of its sizes.

    Raises:
        InputError: there is no such file.
        TableError: it is too large, damaged, or an archive without one data file.

    >>> import tempfile
    >>> archive = Path(tempfile.mkdtemp()) / "grouper.jar"
    >>> with zipfile.ZipFile(archive, "w") as file:
    ...     file.writestr(MEMBER, b"the data")
    >>> read_release_content(archive)
    b'the data'
    """
    source = Path(path)
    if not source.is_file():
        raise InputError(f"{source}: no such file.")
    with source.open("rb") as file:
        content = _bounded(file, str(source))
    return _unpacked(content, str(source)) if content.startswith(_ZIP) else content


# ---------------------------------------------------------------------------------------------- archive


def _bounded(file: IO[bytes], where: str) -> bytes:
    content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise TableError(f"{where}: more than {LARGEST} bytes, which no grouper release has.")
    return content


def _unpacked(content: bytes, where: str, *, outermost: bool = True) -> bytes:
    """Return the data file inside a zip archive, or inside the one Java archive that it holds."""
    try:
        with zipfile.ZipFile(BytesIO(content)) as archive:
            members = archive.infolist()
            if len(members) > _MOST_MEMBERS:
                raise TableError(f"{where}: an archive of {len(members)} files.")
            found = [member for member in members if member.filename == MEMBER]
            inner = [member for member in members if member.filename.lower().endswith(".jar")] if outermost else []
            if len(found) > 1:
                raise TableError(f"{where}: holds {MEMBER} {len(found)} times.")
            if found:
                with archive.open(found[0]) as file:
                    return _bounded(file, f"{where}, {MEMBER}")
            for member in inner:
                with archive.open(member) as file:
                    packed = _bounded(file, f"{where}, {member.filename}")
                if packed.startswith(_ZIP) and MEMBER in zipfile.ZipFile(BytesIO(packed)).namelist():
                    return _unpacked(packed, f"{where}, {member.filename}", outermost=False)
    # RuntimeError: encrypted; NotImplementedError: a compression zipfile does not know.
    except (zipfile.BadZipFile, EOFError, OSError, RuntimeError, NotImplementedError, ValueError) as error:
        raise TableError(f"{where}: a damaged archive: {error}") from error
    raise TableError(f"{where}: an archive without {MEMBER}. Is it a CMS MS-DRG grouper release?")


# ---------------------------------------------------------------------------------------------- tables


def _tables(facts: ReleaseFacts) -> dict[str, pl.DataFrame]:
    """Return the tables of a release by file name, as `drgsim.releases.build_grouper.build_grouper_tables` writes them."""
    names = facts.versions
    clusters = facts.procedures.join(facts.choices.select("cluster").unique(), left_on="code", right_on="cluster")
    not_clusters = ~pl.col("code").str.starts_with("Z@")
    tables = {
        "diagnoses": to_ranges(facts.diagnoses, ("code",), names),
        "procedures": to_ranges(facts.procedures.filter(not_clusters), ("code",), names),
        "clusters": to_ranges(join_clusters(facts.choices, clusters), ("cluster",), names),
        "pdx_exclusions": to_ranges(facts.pdx_exclusions, ("pdx",), names),
        "exclusion_groups": facts.exclusion_groups.sort("group", "sdx"),
        "sex_mdcs": to_ranges(facts.sex_mdcs, ("pdx",), names),
        "discharge_statuses": list_discharge_statuses(names),
        "formulas": to_ranges(select_decisive(facts.formulas), ("mdc", "order"), names),
        "hac_formulas": to_ranges(facts.hac_formulas, ("hac",), names),
        "drg_titles": to_ranges(facts.drg_titles, ("drg",), names),
        "mdc_titles": to_ranges(facts.mdc_titles, ("mdc",), names),
        "hac_titles": to_ranges(facts.hac_titles, ("hac",), names),
    }
    return {f"msdrg/{name}.csv": table for name, table in tables.items()}


def _dated(names: tuple[str, ...], effective: Dates) -> Versions:
    """Return fiscal year, first and last day of every version."""
    strange = set(effective) - set(names)
    if strange:
        raise InputError(f"effective names {min(strange)}, but the release holds {', '.join(names)}.")
    return {name: _entry(*effective[name]) if name in effective else _known(name) for name in names}


def _entry(first: dt.date, last: dt.date) -> tuple[int, str, str]:
    if not (isinstance(first, dt.date) and isinstance(last, dt.date)):
        raise InputError(f"effective from {first!r} to {last!r}: expected two datetime.date.")
    if not first <= last or _fiscal_year(first) != _fiscal_year(last):
        raise InputError(f"effective from {first} to {last}: expected two days of one fiscal year, in order.")
    return _fiscal_year(first), first.isoformat(), last.isoformat()


def _fiscal_year(day: dt.date) -> int:
    return day.year + (day.month >= 10)


def _known(name: str) -> tuple[int, str, str]:
    """Return the dates of a version: as published, or by the half-years CMS keeps to."""
    if name in VERSIONS:
        return VERSIONS[name]
    major, minor = map(int, re.split(r"\.", name))
    year = major + _FIRST_FISCAL_YEAR
    halves = ((year - 1, "-10-01", year, "-03-31"), (year, "-04-01", year, "-09-30"))
    if minor >= len(halves):
        raise InputError(
            f"the release holds {name}, whose dates no rule tells. Pass effective={{'{name}': (first, last)}}."
        )
    first, begin, last, end = halves[minor]
    return year, f"{first}{begin}", f"{last}{end}"
