"""How a result depends on each rate: sweeps, Morris, Sobol, and the size of studies.

A measure is any function of a scenario that returns a number, such as
`lambda scenario: simulate(admissions, scenario, ...).mean("net_usd")`, or, without sampling noise and much faster,
`lambda scenario: exposed.reweighted(scenario).expected()["net_usd"][-1]`. Draws are keyed: simulations with different
rates have the same events, so that noise does not hide their differences.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import polars as pl

from drgsim.exceptions import InputError, did_you_mean
from drgsim.miscoding.error_models import ErrorModel
from drgsim.miscoding.scenarios import Scenario
from drgsim.numerics.arrays import FloatArray
from drgsim.numerics.keyed_random import uniform
from drgsim.simulation.estimates import LEVEL
from drgsim.simulation.exposures import Exposure

Measure = Callable[[Scenario], float]

_PRIOR = 0.5
"""Jeffreys' prior adds half an event and half a non-event to the counts of a study."""


def replace_rate(scenario: Scenario, name: str, value: float) -> Scenario:
    """Return a scenario with one rate replaced.

    Args:
        scenario: the errors.
        name: error and field, such as "missed_comorbidity.cc"; "*" multiplies every rate by `value`.
        value: the new rate.

    Raises:
        InputError: there is no such error or rate, or the value is not a rate.

    >>> replace_rate(Scenario.load("illustration"), "missed_comorbidity.cc", 0.2).errors[0].cc
    0.2
    """
    if name == "*":
        return scenario.scaled(value)
    label, _, field = name.rpartition(".")
    names = [f"{error.label}.{rate}" for error in scenario.errors for rate in error.RATES]
    if name not in names:
        raise InputError(f"the scenario has no rate {name!r}.{did_you_mean(name, names)}")
    if not 0 <= value <= 1:
        raise InputError(f"{name} is {value!r}, expected a rate from 0 to 1.")

    def replace_field(error: ErrorModel) -> ErrorModel:
        return error.model_copy(update={field: float(value)}) if error.label == label else error

    return scenario.with_errors(replace_field(error) for error in scenario.errors)


def sweep(scenario: Scenario, grid: Mapping[str, Sequence[float]], measure: Measure) -> pl.DataFrame:
    """Return a measure at every combination of values of some rates.

    Args:
        scenario: the errors; rates that are not in the grid stay.
        grid: the values of each rate, by its name (see `replace_rate`).
        measure: function of a scenario that returns a number.

    Returns:
        One row for each combination: a column for each rate, then `measure`.

    Raises:
        InputError: the grid is empty; otherwise as `replace_rate`.

    >>> table = sweep(Scenario.load("illustration"), {"unsupported_mcc.mcc": [0.0, 0.1]},
    ...               lambda scenario: scenario.errors[1].mcc * 100)
    >>> table.rows()
    [(0.0, 0.0), (0.1, 10.0)]
    """
    if not grid:
        raise InputError('the grid is empty; name a rate, such as {"missed_comorbidity.cc": [0.0, 0.05, 0.1]}.')
    rows = [
        (*values, float(measure(_replace_rates(scenario, list(grid), values)))) for values in product(*grid.values())
    ]
    return pl.DataFrame(rows, schema=[*grid, "measure"], orient="row")


def morris(
    scenario: Scenario,
    bounds: Mapping[str, tuple[float, float]],
    measure: Measure,
    *,
    trajectories: int = 10,
    seed: int = 1,
) -> pl.DataFrame:
    """Screen rates by the elementary effects of Morris.

    They show which rates matter, and which act through interaction.

    Args:
        scenario: the errors.
        bounds: lowest and highest value of each rate, by its name.
        measure: function of a scenario that returns a number; called trajectories x (rates + 1) times.
        trajectories: number of trajectories.
        seed: of the design.

    Returns:
        One row for each rate, the most influential first: `rate`, `mu_star` (mean absolute effect) with its
        `mu_star_conf`, `mu`, `sigma` (interaction or curvature).

    Raises:
        InputError: SALib is not installed (`pip install drgsim[sensitivity]`), or bounds are not rates.

    Source: Morris, Technometrics 33 (1991); computed by SALib.

    >>> bounds = {"unsupported_mcc.mcc": (0.0, 0.1), "wrong_principal.rate": (0.0, 0.1)}
    >>> table = morris(Scenario.load("illustration"), bounds, lambda s: 100 * s.errors[1].mcc, trajectories=4)
    >>> table["rate"][0], round(table["mu_star"][0], 6), round(table["mu_star"][1], 6)
    ('unsupported_mcc.mcc', 10.0, 0.0)
    """
    salib, problem = _make_problem(scenario, bounds)
    points = salib.sample.morris.sample(problem, trajectories, seed=seed)
    values = _evaluate(scenario, problem, points, measure)
    found = salib.analyze.morris.analyze(problem, points, values, seed=seed)
    columns = {name: np.asarray(found[name], np.float64) for name in ("mu_star", "mu_star_conf", "mu", "sigma")}
    table = pl.DataFrame({"rate": problem["names"], **columns})
    return table.sort("mu_star", "rate", descending=[True, False])


def sobol(
    scenario: Scenario,
    bounds: Mapping[str, tuple[float, float]],
    measure: Measure,
    *,
    samples: int = 128,
    seed: int = 1,
) -> pl.DataFrame:
    """Divide the variance of a measure among rates that are uncertain within bounds.

    Args:
        scenario, bounds, measure, seed: as in `morris`.
        samples: a power of 2; the measure is called samples x (rates + 2) times.

    Returns:
        One row for each rate, the largest total share first: `rate`, `first` and `total` share of variance, and the
        half-widths of their 95 % intervals, `first_conf` and `total_conf`.

    Raises:
        InputError: `samples` is not a power of 2; otherwise as `morris`.

    Source: Saltelli et al., Computer Physics Communications 181 (2010); computed by SALib.

    >>> bounds = {"unsupported_mcc.mcc": (0.0, 0.1), "wrong_principal.rate": (0.0, 0.1)}
    >>> sobol(Scenario.load("illustration"), bounds, lambda s: 100 * s.errors[1].mcc)["rate"][0]
    'unsupported_mcc.mcc'
    """
    if samples < 2 or samples & (samples - 1):
        raise InputError(f"samples is {samples}, expected a power of 2.")
    salib, problem = _make_problem(scenario, bounds)
    points = salib.sample.sobol.sample(problem, samples, calc_second_order=False, seed=seed)
    values = _evaluate(scenario, problem, points, measure)
    found = salib.analyze.sobol.analyze(problem, values, calc_second_order=False, seed=seed)
    names = {"first": "S1", "first_conf": "S1_conf", "total": "ST", "total_conf": "ST_conf"}
    table = pl.DataFrame({"rate": problem["names"], **{own: np.asarray(found[s]) for own, s in names.items()}})
    return table.sort("total", "rate", descending=[True, False])


def parameter_uncertainty(
    exposed: Exposure, *, draws: int = 1000, seed: int = 1, level: float = LEVEL
) -> tuple[pl.DataFrame, FloatArray]:
    """Return the uncertainty of the expected impact that comes from the size of studies.

    The noise of events is not part of it. An error may have a `study`: a number of events among a number of cases. Its
    rates are shifted together, on the logit scale, by the difference of a draw of the beta posterior (Jeffreys' prior)
    from the proportion of the study. Errors without a study stay as they are.

    Args:
        exposed: the `exposure` of the admissions.
        draws: number of draws of the posterior.
        seed: of the draws.
        level: of the interval.

    Returns:
        A frame with one row for each error with a study, then "total": `error`, expected `net_usd` at the stated rates,
        and `sd`, `low` and `high` over the draws; and the total of each draw, (draws,) [USD].

    >>> from drgsim import Rates, TableSet, generate
    >>> from drgsim.simulation.exposures import exposure
    >>> tables, rates = TableSet.load("43.1"), Rates.load(2026)
    >>> hospitals, admissions = generate(300, seed=1, tables=tables)
    >>> scenario = Scenario.loads('''title = "a"
    ... [errors.added]
    ... kind = "sdx_add_unsupported"
    ... mcc = 0.068
    ... study = { events = 17, of = 250 }''')
    >>> found = exposure(admissions, scenario, tables=tables, hospitals=hospitals, rates=rates)
    >>> table, totals = parameter_uncertainty(found, draws=200)
    >>> table["error"].to_list(), len(totals), bool(table["low"][1] < table["net_usd"][1] < table["high"][1])
    (['added', 'total'], 200, True)
    """
    from scipy.special import logit
    from scipy.stats import beta

    stated = exposed.expected()["net_usd"].to_numpy()
    total, rows = np.full(draws, stated[-1]), []
    for place, error in enumerate(exposed.scenario.errors):
        if error.study is None:
            continue
        events, others = error.study.events + _PRIOR, error.study.of - error.study.events + _PRIOR
        posterior = beta.ppf(uniform(seed, f"{error.label} study", np.arange(draws)), events, others)
        shift = logit(posterior) - logit(events / (events + others))
        net = _expect_net(exposed, place, shift)
        total = total + net - stated[place]
        rows.append((error.label, float(stated[place]), *_describe_spread(net, level)))
    rows.append(("total", float(stated[-1]), *_describe_spread(total, level)))
    columns = dict.fromkeys(("net_usd", "sd", "low", "high"), pl.Float64)
    return pl.DataFrame(rows, schema={"error": pl.String, **columns}, orient="row"), total


# ---------------------------------------------------------------------------------------------------------


def _expect_net(exposed: Exposure, place: int, shifts: FloatArray) -> FloatArray:
    """Return the expected net change of one error at each shift of its rates, (draws,) [USD]."""
    own = np.flatnonzero(exposed.error == place)
    rate = exposed.rates[place]
    effect = np.bincount(exposed.site[own], exposed.share[own] * exposed.cents[own] / 100, minlength=len(rate))
    distinct, group = np.unique(rate, return_inverse=True)
    by_rate = np.bincount(group, effect, minlength=len(distinct))
    inner = (distinct > 0) & (distinct < 1)
    odds = np.where(inner, distinct, 0.5) / (1 - np.where(inner, distinct, 0.5))
    shifted = odds * np.exp(shifts)[:, None]
    return np.asarray(np.where(inner, shifted / (1 + shifted), distinct) @ by_rate)


def _describe_spread(values: FloatArray, level: float) -> tuple[float, float, float]:
    low, high = np.quantile(values, [0.5 - level / 2, 0.5 + level / 2])
    return float(values.std(ddof=1)), float(low), float(high)


def _replace_rates(scenario: Scenario, names: Sequence[str], values: Sequence[float]) -> Scenario:
    for name, value in zip(names, values, strict=True):
        scenario = replace_rate(scenario, name, value)
    return scenario


def _make_problem(scenario: Scenario, bounds: Mapping[str, tuple[float, float]]) -> tuple[Any, dict[str, Any]]:
    try:
        import SALib
        import SALib.analyze.morris
        import SALib.analyze.sobol
        import SALib.sample.morris
        import SALib.sample.sobol
    except ImportError as error:
        raise InputError("sensitivity needs SALib: pip install 'drgsim[sensitivity]'.") from error
    for name, (low, high) in bounds.items():
        replace_rate(scenario, name, low)
        replace_rate(scenario, name, high)
        if not low < high:
            raise InputError(f"{name} has bounds {low} and {high}, expected the lower first.")
    return SALib, {"num_vars": len(bounds), "names": list(bounds), "bounds": [list(b) for b in bounds.values()]}


def _evaluate(scenario: Scenario, problem: dict[str, Any], points: FloatArray, measure: Measure) -> FloatArray:
    names = list(problem["names"])
    return np.array([float(measure(_replace_rates(scenario, names, point.tolist()))) for point in points])
