"""A table folder checked against its manifest and its rules: `verify(folder)`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import polars as pl

from drgsim.exceptions import DrgsimError
from drgsim.miscoding.scenarios import Scenario, presets
from drgsim.rates.payment_rates import Rates, rate_years
from drgsim.synthetic.population import Population, populations
from drgsim.tables.manifest import MANIFEST, read_manifest, read_verified, table_folder
from drgsim.tables.table_set import TableSet, versions

_SUFFIXES = (".csv", ".toml")


def verify(folder: str | os.PathLike[str] | None = None) -> pl.DataFrame:
    """Check every file of a table folder, and load everything that it holds.

    Args:
        folder: a table folder; by default the one that drgsim reads (`drgsim.tables.table_folder`).

    Returns:
        One row for each check: `subject` (a file, "version 43.1", "rates of 2026", a population, a scenario),
        `is_ok`, `problem` (null where there is none). A file is checked by its sha256; a file that the manifest does
        not list is a problem.

    Raises:
        TableError: there is no manifest, or it cannot be read.

    >>> checks = verify()
    >>> checks["is_ok"].all(), checks.filter(pl.col("subject") == "version 43.1")["problem"].item()
    (True, None)
    """
    root = table_folder(folder)
    rows = [(subject, *_run_check(check)) for subject, check in _list_checks(root)]
    rows += [(name, False, f"not listed in {MANIFEST}") for name in _find_unlisted(root)]
    schema = {"subject": pl.String, "is_ok": pl.Boolean, "problem": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _list_checks(root: Path) -> Iterator[tuple[str, Callable[[], object]]]:
    """Yield the subject of each check, and a function that raises if the subject is wrong."""
    for name in read_manifest(root)["files"]:
        yield name, partial(read_verified, root, name)
    for version in versions(folder=root):
        yield f"version {version}", partial(TableSet.load, version, folder=root)
    for year in rate_years(root):
        yield f"rates of {year}", partial(Rates.load, year, folder=root)
    for name in populations(folder=root):
        yield f"population {name}", partial(Population.load, name, folder=root)
    for name in presets(folder=root):
        yield f"scenario {name}", partial(Scenario.load, name, folder=root)


def _run_check(check: Callable[[], object]) -> tuple[bool, str | None]:
    try:
        check()
    except DrgsimError as error:
        return False, str(error)
    return True, None


def _find_unlisted(root: Path) -> list[str]:
    files = read_manifest(root)["files"]
    found = (str(path.relative_to(root)) for path in root.rglob("*") if path.suffix in _SUFFIXES)
    return sorted(name for name in found if name not in files and name != MANIFEST)
