"""Figures of one simulation: shift by error, single replicates, severity."""

from __future__ import annotations

from textwrap import fill
from typing import TYPE_CHECKING

import numpy as np

from drgsim.exceptions import InputError, did_you_mean
from drgsim.plots.style import (
    INK,
    NEUTRAL,
    OVERPAID,
    PALE,
    SMALL,
    UNDERPAID,
    choose_ink,
    choose_money_unit,
    count_decimals,
    format_level,
    format_signed,
    label_rows,
    make_axes,
    spell_name,
    tidy,
)
from drgsim.schema import Severity
from drgsim.simulation.estimates import LEVEL, t_quantile
from drgsim.simulation.results import Simulation

if TYPE_CHECKING:
    from matplotlib.axes import Axes


_NO_REPLICATE = "no replicate was finished"


def plot_shift(result: Simulation, ax: Axes | None = None, *, level: float = LEVEL) -> Axes:
    """Draw the payment shift by error as a waterfall that ends in the total.

    Each bar begins where the bar above it ends. Its length is the mean contribution of the error per replicate [USD]
    (Shapley values, which add up), its whisker the interval of that mean. The last bar is the total.

    Args:
        result: what `simulate` returns.
        ax: where to draw; by default a new figure.
        level: of the intervals; a single replicate has none, and the axis says so.

    >>> from drgsim import Rates, TableSet, generate
    >>> from drgsim.cli.main_job import demo
    >>> tables = TableSet.load("43.1")
    >>> hospitals, admissions = generate(300, seed=1, tables=tables)
    >>> result = demo(admissions, hospitals, tables=tables, rates=Rates.load(2026), replicates=4).simulation
    >>> plot_shift(result).get_yticklabels()[-1].get_text()
    'total'
    """
    ax = ax or make_axes(8, 1.4 + 0.5 * (len(result.scenario.errors) + 1))
    table = result.errors()
    shift, total = table["shapley_usd"].to_numpy(), len(table) - 1
    end = np.append(np.cumsum(shift[:-1]), shift[-1])
    start = np.append(0.0, end[:-1])
    start[-1] = 0.0
    unit, scale = choose_money_unit(end.tolist())
    quantile = t_quantile(result.replicates - 1, level) if result.replicates > 1 else float("nan")
    half_width = table["standard_error"].fill_null(float("nan")).to_numpy() * quantile
    for place, (a, b) in enumerate(zip(start / scale, end / scale, strict=True)):
        ax.barh(place, b - a, left=a, height=0.55, **choose_ink(b - a))
        if np.isfinite(half_width[place]):
            ax.errorbar(b, place, xerr=half_width[place] / scale, color=INK, capsize=4, linewidth=1.2)
        if place < total:
            ax.plot([b, b], [place, place + 1], color=INK, linewidth=0.6, linestyle=":")
    low = min(0.0, *(end - np.nan_to_num(half_width))) / scale
    high = max(0.0, *(end + np.nan_to_num(half_width))) / scale
    margin = 0.04 * (high - low or 1.0)
    for place, (usd, half) in enumerate(zip(shift / scale, half_width / scale, strict=True)):
        amount = format_signed(usd, half, digits=count_decimals(shift / scale))
        ax.text(1.01, place, amount, transform=ax.get_yaxis_transform(), va="center", fontsize=SMALL + 1, color=INK)
    ax.set_xlim(low - margin, high + margin)
    ax.axvline(0, color=INK, linewidth=0.8)
    label_rows(ax, [fill(spell_name(name), 26) for name in table["error"]])
    ax.get_yticklabels()[-1].set_fontweight("bold")
    ax.axhline(total - 0.5, color=PALE, linewidth=0.8)
    ax.set_xlabel(f"billed less truth, {unit} per replicate ({_explain_whiskers(result, level)})")
    return tidy(ax, title="Payment shift by error")


def plot_replicates(result: Simulation, ax: Axes | None = None, *, measure: str = "net", level: float = LEVEL) -> Axes:
    """Draw one measure of every replicate: the effect of chance alone.

    Bars count replicates, ticks below them are single replicates. Above the bars are the mean with its interval and
    the range of the middle share of single replicates.

    Args:
        result: what `simulate` returns.
        ax: where to draw; by default a new figure.
        measure: "net", "overpaid", "underpaid" or "improper" (overpaid and underpaid) [USD].
        level: of the interval and of the middle share.

    Raises:
        InputError: there is no such measure.

    >>> from drgsim import Rates, TableSet, generate
    >>> from drgsim.cli.main_job import demo
    >>> tables = TableSet.load("43.1")
    >>> hospitals, admissions = generate(300, seed=1, tables=tables)
    >>> result = demo(admissions, hospitals, tables=tables, rates=Rates.load(2026), replicates=4).simulation
    >>> plot_replicates(result, measure="overpaid").get_ylabel()
    'replicates'
    """
    from matplotlib.ticker import MaxNLocator

    total = result.totals
    values = {name: total[name].to_numpy() / 100 for name in ("net", "overpaid", "underpaid")}
    values["improper"] = values["overpaid"] + values["underpaid"]
    if measure not in values:
        raise InputError(f"no amount is called {measure!r}.{did_you_mean(measure, values)}")
    ax = ax or make_axes(7, 3.6)
    usd = values[measure]
    if not len(usd):
        return tidy(ax, title=_NO_REPLICATE)
    unit, scale = choose_money_unit(usd.tolist())
    usd = usd / scale
    colour = {"overpaid": OVERPAID, "underpaid": UNDERPAID}.get(measure, NEUTRAL)
    counts, _, _ = ax.hist(usd, bins=_count_bins(usd), color=colour, edgecolor="white")
    top, mean = float(max(counts)), float(usd.mean())
    ax.plot(usd, np.full(len(usd), -0.04 * top), "|", color=INK, markersize=8, label="single replicates")
    if len(usd) > 1:
        half_width = t_quantile(len(usd) - 1, level) * float(usd.std(ddof=1)) / len(usd) ** 0.5
        low, high = np.quantile(usd, [0.5 - level / 2, 0.5 + level / 2])
        ax.plot(
            [low, high], [1.2 * top] * 2, "|-", color=INK, linewidth=1, label=f"{format_level(level)} of replicates"
        )
        ax.errorbar(
            mean,
            1.1 * top,
            xerr=half_width,
            fmt="D",
            markersize=4,
            color=INK,
            capsize=4,
            linewidth=2.2,
            label=f"mean, {format_level(level)} interval",
        )
    ax.set_ylim(-0.1 * top, 1.28 * top)
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_ylabel("replicates")
    ax.set_xlabel(f"{_AMOUNTS[measure]}, {unit} per replicate")
    ax.legend(fontsize=SMALL, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    amount = format_signed(mean, half_width if len(usd) > 1 else None, digits=count_decimals([mean]))
    return tidy(ax, title=f"{len(usd):,} replicates of {result.admissions.height:,} admissions: {amount} {unit}")


def plot_severity(result: Simulation, ax: Axes | None = None, *, level: float = LEVEL) -> Axes:
    """Draw the share of admissions at each severity of the grouper, in truth and as billed.

    Numbers above the bars are the change with its interval [percentage points]. Claims that are returned count at
    their true severity.

    Args:
        result: what `simulate` returns.
        ax: where to draw; by default a new figure.
        level: of the intervals.

    >>> from drgsim import Rates, TableSet, generate
    >>> from drgsim.cli.main_job import demo
    >>> tables = TableSet.load("43.1")
    >>> hospitals, admissions = generate(300, seed=1, tables=tables)
    >>> result = demo(admissions, hospitals, tables=tables, rates=Rates.load(2026), replicates=4).simulation
    >>> [text.get_text() for text in plot_severity(result).get_legend().get_texts()]
    ['truth', 'billed']
    """
    ax = ax or make_axes(6, 3.8)
    if not result.replicates:
        return tidy(ax, title=_NO_REPLICATE)
    n = max(result.admissions.height, 1)
    change = {name: result.totals[name.lower()].to_numpy() / n for name in ("MCC", "CC")}
    change["NONE"] = -(change["MCC"] + change["CC"])
    levels, r = Severity.categories.to_list(), result.replicates
    truth = np.array([int((result.admissions["severity"] == name).sum()) / n for name in levels])
    billed = truth + np.array([change[name].mean() for name in levels])
    quantile = t_quantile(r - 1, level) if r > 1 else float("nan")
    half_width = np.array([change[name].std(ddof=1) / r**0.5 * quantile if r > 1 else np.nan for name in levels])
    at = np.arange(len(levels))
    ax.bar(at - 0.2, 100 * truth, 0.38, color=PALE, edgecolor=INK, linewidth=0.6, label="truth")
    ax.bar(at + 0.2, 100 * billed, 0.38, color=UNDERPAID, hatch="//", edgecolor="white", linewidth=0, label="billed")
    if r > 1:
        ax.errorbar(at + 0.2, 100 * billed, yerr=100 * half_width, fmt="none", ecolor=INK, capsize=4)
    for place, (after, half) in enumerate(zip(100 * (billed - truth), 100 * half_width, strict=True)):
        points = format_signed(after, half)
        top = 100 * max(truth[place], billed[place] + np.nan_to_num(half_width[place]))
        ax.annotate(points, (place, top), (0, 7), textcoords="offset points", ha="center", fontsize=SMALL + 1)
    ax.set_xticks(at, ["no CC", "CC", "MCC"])
    ax.margins(y=0.12)
    ax.set_ylabel("admissions, %")
    ax.set_xlabel(f"severity of the DRG ({_explain_whiskers(result, level)})")
    ax.legend(frameon=False, fontsize=SMALL + 1, loc="upper left")
    return tidy(ax, title="Severity before and after; above: change, percentage points")


# ---------------------------------------------------------------------------------------------------------

_AMOUNTS = {"net": "net", "overpaid": "overpaid", "underpaid": "underpaid", "improper": "improper"}


def _explain_whiskers(result: Simulation, level: float) -> str:
    """Return what the whiskers are, or why there are none."""
    if result.replicates < 2:
        return "one replicate: no interval"
    return f"whiskers: {format_level(level)} interval over {result.replicates} replicates"


def _count_bins(values: np.ndarray) -> int:
    """Return the number of bars: one and a half square roots of the replicates, 4 to 40."""
    return int(min(max(4, 1.5 * len(values) ** 0.5), 40))
