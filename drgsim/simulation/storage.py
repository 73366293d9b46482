"""Results of simulations in folders: `save_simulation(result, folder)` writes one whole, `load_simulation(folder)` reads it back."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import polars as pl

from drgsim.exceptions import InputError
from drgsim.files.atomic import sync_to_disk
from drgsim.miscoding.scenarios import Scenario
from drgsim.simulation.result_tables import TOLD
from drgsim.simulation.results import ABOUT, STORED, Simulation

_RUN, _SCENARIO, _LEDGER = "run.json", "scenario.toml", "ledger"


def save_simulation(result: Simulation, folder: str | os.PathLike[str]) -> Path:
    """Write a result into a folder of its own, which appears once it is complete and on disk.

    Args:
        result: of `simulate`.
        folder: to be created; an earlier result there is replaced as a whole.

    Returns:
        The folder.

    Raises:
        InputError: there is no folder to create it in, or it holds anything but an earlier result.

    >>> from drgsim import Rates, TableSet, generate
    >>> from drgsim.simulation.simulator import simulate
    >>> tables = TableSet.load("43.1")
    >>> hospitals, admissions = generate(200, seed=1, tables=tables)
    >>> result = simulate(admissions, Scenario.load("illustration"), tables=tables, hospitals=hospitals,
    ...                   rates=Rates.load(2026), replicates=2, seed=1)
    >>> folder = save_simulation(result, Path(tempfile.mkdtemp()) / "result")
    >>> load_simulation(folder).mean("net_usd") == result.mean("net_usd")
    True
    """
    target = Path(folder).resolve()
    check_replaceable(target)
    begun = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.", suffix=".begun"))
    earlier = begun / "earlier"
    try:
        whole = result.write(begun / "whole")
        for file in whole.iterdir():
            sync_to_disk(file)
        sync_to_disk(whole)
        if target.exists():
            target.rename(earlier)
        try:
            whole.rename(target)
        except OSError:
            if earlier.exists():
                earlier.rename(target)
            raise
        sync_to_disk(target.parent)
    finally:
        shutil.rmtree(begun, ignore_errors=True)
    return Path(folder)


def check_replaceable(folder: str | os.PathLike[str]) -> None:
    """Hold a folder against what `save_simulation` may replace, before any work is done.

    Raises:
        InputError: as `save_simulation`.

    >>> check_replaceable(Path(tempfile.mkdtemp()) / "absent")
    """
    target = Path(folder).resolve()
    if not target.parent.is_dir():
        raise InputError(f"{folder}: there is no folder {target.parent}.")
    if not target.exists():
        return
    if not target.is_dir():
        raise InputError(f"{folder}: a file; name a folder for the result.")
    ours = {_RUN, _SCENARIO, *(f"{name}.parquet" for name in (*STORED, _LEDGER, *TOLD))}
    others = sorted(path.name for path in target.iterdir() if path.name not in ours or path.is_dir())
    if others:
        raise InputError(f"{folder}: holds {others[0]}, which is no part of a result; name a folder of its own.")


def load_simulation(folder: str | os.PathLike[str]) -> Simulation:
    """Return a result from the folder it was written into.

    Raises:
        InputError: the folder holds no result, or a file of it is missing or damaged.

    >>> load_simulation("absent")
    Traceback (most recent call last):
    drgsim.exceptions.InputError: absent: no result of a simulation there (no run.json).
    """
    root = Path(folder)
    if not (root / _RUN).is_file():
        raise InputError(f"{folder}: no result of a simulation there (no {_RUN}).")
    about = _about(root / _RUN)
    ledger = root / f"{_LEDGER}.parquet"
    frames: dict[str, Any] = {name: _frame(root / f"{name}.parquet") for name in STORED}
    frames[_LEDGER] = _frame(ledger) if ledger.exists() else None
    return Simulation(scenario=Scenario.load(root / _SCENARIO), **about, **frames)


def _about(path: Path) -> dict[str, Any]:
    try:
        about = json.loads(path.read_text("utf-8"))
        return {name: about[name] for name in ABOUT}
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise InputError(f"{path}: damaged, or not written by this release of drgsim.") from error


def _frame(path: Path) -> pl.DataFrame:
    try:
        return pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise InputError(f"{path}: missing or damaged.") from error
