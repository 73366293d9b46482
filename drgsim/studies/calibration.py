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

_LARGEST_SHIFT = 12.0
"""The largest shift on the logit scale, up or down."""
_ROUNDS = 8
_CORRECTIONS = 3
_CLOSE = 1e-5


@dataclass(frozen=True, eq=False)
class Calibration:
    """A fitted scenario, and how well it fits.

    Attributes:
        scenario: the scenario with shifted rates.
        shifts: the shift of each error's rates on the logit scale.
        fit: `measure`, `target` (null where it was not fitted), `expected` from the exposure, and `drawn`, the mean of
            replicates (null without replicates).

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
    """Return the scenario with its rates shifted so that one or two figures reach their targets.

    All rates get the same shift on the logit scale. With two targets, each error also gets a shift in proportion to the
    direction in which it pays, from 1 (it only raises payment) to -1 (it only lowers payment). Two targets fix two
    numbers; the mix of errors remains an assumption of the scenario. The shifts are found on the exposure, which has no
    interaction of errors; replicates then correct them.

    Args:
        scenario: the errors, with their rates before the fit; a rate of 0 stays 0.
        exposed: the `exposure` of the admissions to the scenario.
        drg_change_rate: share of admissions with another DRG.
        share_up: share of these admissions that pay more; not together with `net_share`.
        net_share: net change as a share of payment.
        replicates: drawn in each of three corrections of the fit; 0 fits on the exposure alone.

    Raises:
        InputError: there is no target, `share_up` and `net_share` are both given, a target is out of range, or no
            shift reaches it; the message gives the range that shifts reach.

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
    wanted = {name: float(value) for name, value in targets.items() if value is not None}
    if not wanted or (share_up is not None and net_share is not None):
        raise InputError(
            f"calibrate has targets {', '.join(wanted) or 'none'}; expected drg_change_rate, share_up or net_share, or "
            "drg_change_rate with one of the others."
        )
    wrong = [name for name, value in wanted.items() if name != "net_share" and not 0 < value < 1]
    if wrong:
        shown = ", ".join(f"{name} is {wanted[name]:g}" for name in wrong)
        raise InputError(f"{shown}; expected a share above 0 and below 1.")
    now = exposed.reweighted(scenario).decisive()
    direction, aim = _find_direction(now), dict(wanted)
    shifts, now = _fit_shifts(scenario, now, direction, aim, np.zeros(len(scenario.errors)))
    for _ in range(_CORRECTIONS if replicates else 0):
        means = _measure_replicates(now, replicates)
        aim = {name: _correct_aim(name, aim[name], value, means[name]) for name, value in wanted.items()}
        shifts, now = _fit_shifts(scenario, now, direction, aim, shifts)
    means = _measure_replicates(now, replicates) if replicates else {}
    found = now.rates_of_change()
    rows = [(name, wanted.get(name), found[name], means.get(name)) for name in targets]
    columns = dict.fromkeys(("target", "expected", "drawn"), pl.Float64)
    fit = pl.DataFrame(rows, schema={"measure": pl.String, **columns}, orient="row")
    return Calibration(now.scenario, dict(zip(_list_labels(scenario), shifts.tolist(), strict=True)), fit)


# ---------------------------------------------------------------------------------------------------------


def _list_labels(scenario: Scenario) -> list[str]:
    return [error.label for error in scenario.errors]


def _fit_shifts(
    scenario: Scenario, now: Exposure, direction: FloatArray, aim: Mapping[str, float], shifts: FloatArray
) -> tuple[FloatArray, Exposure]:
    """Return the shifts that bring the expected figures to the aim, and the exposure at them."""
    for _ in range(_ROUNDS):
        found = now.rates_of_change()
        if all(abs(found[name] - value) <= _CLOSE * max(abs(value), 1e-3) for name, value in aim.items()):
            break
        shifts = shifts + _solve_shifts(now, aim, direction)
        now = now.reweighted(scenario.shifted(dict(zip(_list_labels(scenario), shifts.tolist(), strict=True))))
    return shifts, now


def _measure_replicates(now: Exposure, replicates: int) -> dict[str, float]:
    """Return the mean of every figure over some replicates."""
    run = SimulationRun.of(now.baseline, now.scenario, seed=now.seed)
    run.draw_replicates(replicates, progress=False)
    table = run.build_result(replicates).summary()
    return dict(table.select("measure", "mean").iter_rows())


def _correct_aim(name: str, aim: float, wanted: float, drawn: float) -> float:
    """Return the aim moved by target minus replicates; a share stays between 0 and 1."""
    moved = aim + wanted - drawn
    return moved if name == "net_share" else float(np.clip(moved, aim / 2, (1 + aim) / 2))


def _find_direction(exposed: Exposure) -> FloatArray:
    """Return the direction in which each error pays: -1 only lowers payment, 1 only raises it."""
    table = exposed.expected().head(len(exposed.scenario.errors))
    improper = (table["overpaid_usd"] + table["underpaid_usd"]).to_numpy()
    return np.asarray(table["net_usd"].to_numpy() / np.where(improper > 0, improper, 1.0))


def _solve_shifts(exposed: Exposure, aim: Mapping[str, float], direction: FloatArray) -> FloatArray:
    """Return the shift of each error that brings the expected figures to the aim."""
    second = next((name for name in aim if name != "drg_change_rate"), None)

    def common(tilt: float) -> float:
        if "drg_change_rate" not in aim:
            return 0.0
        name = "drg_change_rate"
        return _find_root(lambda shift: _expect_figure(exposed, shift + tilt * direction, name), name, aim)

    if second is None:
        return np.full(len(direction), common(0.0))

    def figure(tilt: float) -> float:
        return _expect_figure(exposed, common(tilt) + tilt * direction, second)

    tilt = _find_root(figure, second, aim)
    return np.asarray(common(tilt) + tilt * direction)


def _expect_figure(exposed: Exposure, shifts: FloatArray, name: str) -> float:
    return exposed.shifted(shifts.tolist()).rates_of_change()[name]


def _find_root(figure: Callable[[float], float], name: str, aim: Mapping[str, float]) -> float:
    """Return where a figure reaches its aim, by Brent's method."""
    from scipy.optimize import brentq

    low, high = figure(-_LARGEST_SHIFT), figure(_LARGEST_SHIFT)
    if not min(low, high) <= aim[name] <= max(low, high):
        raise InputError(
            f"no shift of the rates brings {name} to {aim[name]:.4g}: shifts reach {min(low, high):.4g} to "
            f"{max(low, high):.4g}. Add errors that pay in the other direction, or that change more DRGs."
        )
    return float(brentq(lambda x: figure(x) - aim[name], -_LARGEST_SHIFT, _LARGEST_SHIFT, xtol=1e-6))
