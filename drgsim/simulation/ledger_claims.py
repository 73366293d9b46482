"""Claims as billed in one replicate of a simulation, made from its ledger."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import polars as pl

from drgsim.exceptions import InputError
from drgsim.files.foreign_frames import accept_frames
from drgsim.simulation.results import Simulation

_NUMBERS = ("discharge_status", "age")
_MISTYPED = "?"
"""Takes the place of the last character of a mistyped code, so that the text is no code."""


@accept_frames
def bill_from_ledger(admissions: pl.DataFrame, simulation: Simulation, replicate: int = 0) -> pl.DataFrame:
    """Return admissions as billed in one replicate: with the errors of its ledger.

    A second coding with known errors, for `review.compare_codings`, or to write a file of claims with errors.

    Args:
        admissions: (n,) those that were simulated.
        simulation: of `simulate(..., ledger=True)`.
        replicate: which replicate, from 0.

    Returns:
        (n,) the admissions in their order, with changed codes, POA, discharge status, sex and age. An added diagnosis
        is present on admission. A mistyped code has "?" in place of its last character.

    Raises:
        InputError: the simulation has no ledger, or no such replicate.

    >>> from drgsim import Rates, Scenario, TableSet, generate, simulate
    >>> tables, rates = TableSet.load("43.1"), Rates.load(2026)
    >>> hospitals, admissions = generate(200, seed=1, tables=tables)
    >>> given = {"tables": tables, "hospitals": hospitals, "rates": rates, "replicates": 1, "seed": 1}
    >>> result = simulate(admissions, Scenario.load("illustration"), **given, ledger=True)
    >>> bill_from_ledger(admissions, result).columns == admissions.columns
    True
    """
    ledger = simulation.ledger
    if ledger is None:
        raise InputError("the simulation has no ledger. Pass ledger=True to simulate.")
    if isinstance(replicate, bool) or not 0 <= replicate < simulation.replicates:
        raise InputError(f"replicate is {replicate!r}, expected a number from 0 to {simulation.replicates - 1}.")
    kinds = {error.label: error.kind for error in simulation.scenario.errors}
    by_id = defaultdict(list)
    for error in ledger.filter(pl.col("replicate") == replicate).iter_rows(named=True):
        by_id[error["admission_id"]].append({**error, "kind": kinds[error["error"]]})
    numbered = admissions.with_row_index("_row")
    is_changed = pl.col("admission_id").is_in(list(by_id))
    changed = [_bill(row, by_id[row["admission_id"]]) for row in numbered.filter(is_changed).iter_rows(named=True)]
    billed = pl.DataFrame(changed, schema=numbered.schema, orient="row")
    return pl.concat([numbered.filter(~is_changed), billed]).sort("_row").drop("_row")


# ---------------------------------------------------------------------------------------------------------


def _bill(row: dict[str, Any], errors: list[dict[str, Any]]) -> dict[str, Any]:
    """Return one admission with its errors."""
    billed = dict(row)
    lists = {name: list(row[name] or []) for name in ("sdx", "sdx_poa", "procedures") if name in row}
    poa = lists.get("sdx_poa", [])
    poa += [None] * (len(lists["sdx"]) - len(poa))
    added: dict[str, list[str]] = {"sdx": [], "procedures": []}
    for error in errors:
        name, place, before, after = (error[key] for key in ("field", "place", "code_before", "code_after"))
        if name == "pdx":
            if error["kind"] == "pdx_resequence":
                lists["sdx"][place], poa[place] = row["pdx"], "Y"
            billed["pdx"] = after or _mistype(before)
        elif name in ("sdx", "procedures"):
            if not before:
                added[name].append(after)
            else:
                lists[name][place] = after or (_mistype(before) if error["kind"] == "invalid_code" else None)
        elif name == "sdx_poa":
            poa[place] = after
        else:
            billed[name] = int(after) if name in _NUMBERS else after
    kept = [place for place, code in enumerate(lists["sdx"]) if code is not None]
    billed["sdx"] = [lists["sdx"][place] for place in kept] + added["sdx"]
    billed["procedures"] = [code for code in lists["procedures"] if code is not None] + added["procedures"]
    if "sdx_poa" in row:
        billed["sdx_poa"] = [poa[place] for place in kept] + ["Y"] * len(added["sdx"])
    return billed


def _mistype(code: str) -> str:
    return code[:-1] + _MISTYPED
