"""Two simulations compared, with the uncertainty of their difference: `compare_simulations`."""

from __future__ import annotations

import numpy as np
import polars as pl

from drgsim.exceptions import InputError
from drgsim.simulation.estimates import LEVEL, t_quantile
from drgsim.simulation.results import Simulation

_MEASURES = ("net", "overpaid", "underpaid", "drg_changes", "code_changes", "weight4", "mcc", "cc", "returned")
_UNITS = {"net": 100.0, "overpaid": 100.0, "underpaid": 100.0, "weight4": 1e4}
_NAMES = {
    "net": "net_usd",
    "overpaid": "overpaid_usd",
    "underpaid": "underpaid_usd",
    "weight4": "weight",
    "mcc": "mcc_admissions",
    "cc": "cc_admissions",
}


def compare_simulations(a: Simulation, b: Simulation, *, level: float = LEVEL) -> pl.DataFrame:
    """Return the difference of two simulations, `b` minus `a`, for every measure.

    Every measure is a total per replicate. Simulations of the same admissions with the same seed draw the same events
    where they have the same errors, so they are compared replicate by replicate; others are compared as independent
    samples.

    Args:
        a, b: two simulations of the same number of admissions.
        level: of the interval.

    Returns:
        One row for each measure: `measure`, its mean in `a` and in `b`, their `difference` with its `standard_error`
        and interval from `low` to `high` (null with fewer than two replicates), and `paired`.

    Raises:
        InputError: an argument is not a simulation, or the numbers of admissions differ.

    >>> from drgsim import Rates, TableSet, generate
    >>> from drgsim.miscoding.scenarios import Scenario
    >>> from drgsim.simulation.simulator import simulate
    >>> tables, rates = TableSet.load("43.1"), Rates.load(2026)
    >>> hospitals, admissions = generate(300, seed=1, tables=tables)
    >>> full = Scenario.load("illustration")
    >>> runs = [simulate(admissions, scenario, tables=tables, hospitals=hospitals, rates=rates, replicates=4, seed=1)
    ...         for scenario in (full, full.scaled(0.5))]
    >>> table = compare_simulations(*runs)
    >>> bool(table.filter(pl.col("measure") == "code_changes")["difference"].item() < 0), table["paired"].all()
    (True, True)
    """
    for run in (a, b):
        if not isinstance(run, Simulation):
            raise InputError(f"expected two simulations, found {type(run).__name__}; simulate(...) returns one.")
    if a.admissions.height != b.admissions.height:
        raise InputError(
            f"the simulations have {a.admissions.height:,} and {b.admissions.height:,} admissions; "
            "simulate the same admissions."
        )
    paired = a.seed == b.seed and a.totals["replicate"].equals(b.totals["replicate"]) and _has_same_admissions(a, b)
    rows = []
    for name in _MEASURES:
        unit = _UNITS.get(name, 1.0)
        one, other = (run.totals[name].to_numpy() / unit for run in (a, b))
        error, degrees = _estimate_error(one, other, paired=paired)
        difference = float(other.mean() - one.mean())
        reach = None if error is None else t_quantile(degrees, level) * error
        low, high = (None, None) if reach is None else (difference - reach, difference + reach)
        rows.append(
            (_NAMES.get(name, name), float(one.mean()), float(other.mean()), difference, error, low, high, paired)
        )
    columns = ("a", "b", "difference", "standard_error", "low", "high")
    schema = {"measure": pl.String, **dict.fromkeys(columns, pl.Float64), "paired": pl.Boolean}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _has_same_admissions(a: Simulation, b: Simulation) -> bool:
    return a.admissions["admission_id"].equals(b.admissions["admission_id"])


def _estimate_error(one: np.ndarray, other: np.ndarray, *, paired: bool) -> tuple[float | None, int]:
    """Return the standard error of the difference of two means, and its degrees of freedom."""
    if min(len(one), len(other)) < 2:
        return None, 0
    if paired:
        return float((other - one).std(ddof=1) / len(one) ** 0.5), len(one) - 1
    variances = one.var(ddof=1) / len(one) + other.var(ddof=1) / len(other)
    return float(variances**0.5), min(len(one), len(other)) - 1
