"""Rates fitted to what a study found: `calibrate`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from drgsim.exceptions import InputError
from drgsim.miscoding.scenarios import Scenario
from drgsim.numerics.arrays import FloatArray
from drgsim.simulation.exposures import Exposure
from drgsim.simulation.simulator import SimulationRun

_REACH = 12.0
"""The furthest a logit is shifted, either way."""
_ROUNDS = 8
_MENDINGS = 3
_CLOSE = 1e-5


@dataclass(frozen=True, eq=False)
class Calibration:
    """A fitted scenario, and what was asked beside what is expected of it.

    Attributes:
        scenario: with shifted rates.
        shifts: how far the rates of each error went on the logit scale.
        fit: `measure`, `target` (null where it was not fitted), `expected` from the exposure, and as `drawn` by
            replicates (null without any).

    >>> from drgsim import Rates, TableSet, generate
    >>> from drgsim.simulation.exposures import exposure
    >>> tables, rates = TableSet.load("43.1"), Rates.load(2026)
    >>> hospitals, admissions = generate(500, seed=1, tables=tables)
    >>> start = Scenario.load("illustration")
    >>> found = exposure(admissions, start, tables=tables, hospitals=hospitals, rates=rates)
    >>> fitted = calibrate(start, found, drg_change_rate=0.10, replicates=0)
    >>> fitted.fit["target"].to_list(), round(fitted.fit["expected"][0], 3)
    ([0.1, None, None], 0.1)
    """

    scenario: Scenario
    shifts: Mapping[str, float]
    fit: pl.DataFrame


def calibrate(
    scenario: Scenario,
    exposed: Exposure,
    *,
    drg_change_rate: float | None = None,
    share_up: float | None = None,
    net_share: float | None = None,
    replicates: int = 8,
) -> Calibration:
    """Return the scenario with its rates shifted so that one or two figures hit their targets.

    All rates take a common shift on the logit scale, and with two targets another in proportion to which way each error
    pays (from 1 where it only ever raises payment to -1 where it only lowers it). Two targets fix two numbers: how the
    errors are mixed beside that stays the scenario's assumption. The shifts are found on the exposure, which knows no
    interaction of errors, then mended by what replicates miss.

    Args:
        scenario: the errors, at rates to begin with; a rate of 0 stays 0.
        exposed: `exposure` of the admissions to it.
        drg_change_rate: share of admissions with another DRG.
        share_up: share of these that pay more; or
        net_share: net change as a share of payment.
        replicates: drawn to mend the fit, three times over; 0 leaves it to the exposure.

    Raises:
        InputError: no target, all three, one out of range, or one that no shift reaches; says how near it came.

    Source: the root is found by Brent's method (`scipy.optimize.brentq`).

    >>> from drgsim import Rates, TableSet, generate
    >>> from drgsim.simulation.exposures import exposure
    >>> tables, rates = TableSet.load("43.1"), Rates.load(2026)
    >>> hospitals, admissions = generate(1_000, seed=1, tables=tables)
    >>> start = Scenario.load("illustration")
    >>> found = exposure(admissions, start, tables=tables, hospitals=hospitals, rates=rates)
    >>> fitted = calibrate(start, found, drg_change_rate=0.08, share_up=0.5, replicates=0)
    >>> [round(value, 3) for value in fitted.fit["expected"][:2]]
    [0.08, 0.5]
    """
    targets = {"drg_change_rate": drg_change_rate, "share_up": share_up, "net_share": net_share}
    asked = {name: float(value) for name, value in targets.items() if value is not None}
    if not asked or (share_up is not None and net_share is not None):
        raise InputError("calibrate takes drg_change_rate, and share_up or net_share, or one of them.")
    wrong = [name for name, value in asked.items() if name != "net_share" and not 0 < value < 1]
    if wrong:
        raise InputError(f"{', '.join(wrong)} must lie between 0 and 1.")
    now = exposed.reweighted(scenario).decisive()
    leaning, aim = _leaning(now), dict(asked)
    shifts, now = _fitted(scenario, now, leaning, aim, np.zeros(len(scenario.errors)))
    for _ in range(_MENDINGS if replicates else 0):
        drawn = _drawn(now, replicates)
        aim = {name: _aimed(name, aim[name], value, drawn[name]) for name, value in asked.items()}
        shifts, now = _fitted(scenario, now, leaning, aim, shifts)
    drawn = _drawn(now, replicates) if replicates else {}
    found = now.rates_of_change()
    rows = [(name, asked.get(name), found[name], drawn.get(name)) for name in targets]
    columns = dict.fromkeys(("target", "expected", "drawn"), pl.Float64)
    fit = pl.DataFrame(rows, schema={"measure": pl.String, **columns}, orient="row")
    return Calibration(now.scenario, dict(zip(_labels(scenario), shifts.tolist(), strict=True)), fit)


# ---------------------------------------------------------------------------------------------------------


def _labels(scenario: Scenario) -> list[str]:
    return [error.label for error in scenario.errors]


def _fitted(
    scenario: Scenario, now: Exposure, leaning: FloatArray, aim: Mapping[str, float], shifts: FloatArray
) -> tuple[FloatArray, Exposure]:
    """Return the shifts that bring the expected figures to the aim, and the exposure at them."""
    for _ in range(_ROUNDS):
        found = now.rates_of_change()
        if all(abs(found[name] - value) <= _CLOSE * max(abs(value), 1e-3) for name, value in aim.items()):
            break
        shifts = shifts + _solved(now, aim, leaning)
        now = now.reweighted(scenario.shifted(dict(zip(_labels(scenario), shifts.tolist(), strict=True))))
    return shifts, now


def _drawn(now: Exposure, replicates: int) -> dict[str, float]:
    """Return the figures that replicates come to."""
    run = SimulationRun.of(now.baseline, now.scenario, seed=now.seed)
    run.draw_replicates(replicates, progress=False)
    table = run.build_result(replicates).summary()
    return dict(table.select("measure", "mean").iter_rows())


def _aimed(name: str, aim: float, asked: float, drawn: float) -> float:
    """Return the aim moved by what replicates miss; a share stays within 0 and 1."""
    moved = aim + asked - drawn
    return moved if name == "net_share" else float(np.clip(moved, aim / 2, (1 + aim) / 2))


def _leaning(exposed: Exposure) -> FloatArray:
    """Return which way each error pays, from -1 (only ever lowers payment) to 1."""
    table = exposed.expected().head(len(exposed.scenario.errors))
    gross = (table["overpaid_usd"] + table["underpaid_usd"]).to_numpy()
    return np.asarray(table["net_usd"].to_numpy() / np.where(gross > 0, gross, 1.0))


def _solved(exposed: Exposure, asked: Mapping[str, float], leaning: FloatArray) -> FloatArray:
    """Return the shift of each error that brings the expected figures to what is asked."""
    second = next((name for name in asked if name != "drg_change_rate"), None)

    def common(tilt: float) -> float:
        if "drg_change_rate" not in asked:
            return 0.0
        return _root(lambda s: _figure(exposed, s + tilt * leaning, "drg_change_rate"), "drg_change_rate", asked)

    if second is None:
        return np.full(len(leaning), common(0.0))

    def figure(tilt: float) -> float:
        return _figure(exposed, common(tilt) + tilt * leaning, second)

    tilt = _root(figure, second, asked)
    return np.asarray(common(tilt) + tilt * leaning)


def _figure(exposed: Exposure, shifts: FloatArray, name: str) -> float:
    return exposed.shifted(shifts.tolist()).rates_of_change()[name]


def _root(figure: Callable[[float], float], name: str, asked: Mapping[str, float]) -> float:
    from scipy.optimize import brentq

    low, high = figure(-_REACH), figure(_REACH)
    if not min(low, high) <= asked[name] <= max(low, high):
        raise InputError(
            f"no shift of the rates brings {name} to {asked[name]:.4g}: it lies between {min(low, high):.4g} and "
            f"{max(low, high):.4g}. Give the scenario errors that pay the other way, or that move more DRGs."
        )
    return float(brentq(lambda x: figure(x) - asked[name], -_REACH, _REACH, xtol=1e-6))
