"""Figures: functions that draw a result on Axes and return them. matplotlib is loaded when one is drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's palette, told apart by colour-blind readers and by brightness in print.
OVER, UNDER, INK = "#D55E00", "#0072B2", "#333333"


def plot_shift(shifts: Mapping[str, tuple[float, float]], ax: Axes | None = None) -> Axes:
    """Draw the payment shift of each error with an interval of two standard errors.

    Args:
        shifts: mean and standard error [USD] by name.
        ax: where to draw; by default a new figure.

    >>> plot_shift({"missed CC": (-2e6, 1e5)}).get_xlabel()
    'payment shift, million USD (whiskers: ± 2 standard errors)'
    """
    ax = ax or _new_axes()
    unit, scale = _unit(shift for shift, _ in shifts.values())
    names = [fill(name, 26) for name in shifts]
    mean = [shift / scale for shift, _ in shifts.values()]
    error = [2 * error / scale for _, error in shifts.values()]
    colours = [OVER if value > 0 else UNDER for value in mean]
    hatches = ["//" if value > 0 else "" for value in mean]
    bars = ax.barh(names, mean, xerr=error, color=colours, ecolor=INK, capsize=4, height=0.5)
    for bar, hatch in zip(bars, hatches, strict=True):
        bar.set_hatch(hatch)
        bar.set_edgecolor("white")
    ax.axvline(0, color=INK, linewidth=0.8)
    ax.invert_yaxis()
    ax.set_xlabel(f"payment shift, {unit} (whiskers: ± 2 standard errors)")
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def plot_transitions(table: pl.DataFrame, ax: Axes | None = None, *, most: int = 10, title: str = "") -> Axes:
    """Draw the DRG transitions that move most dollars.

    Args:
        table: `drg`, `billed_drg`, `admissions`, `usd` [USD], as `impact.transitions` returns.
        ax: where to draw; by default a new figure.
        most: how many to draw.
        title: what led to them.

    >>> table = pl.DataFrame({"drg": [419], "billed_drg": [417], "admissions": [2.0], "usd": [16e3]})
    >>> plot_transitions(table).get_yticklabels()[0].get_text()
    '419 → 417'
    """
    ax = ax or _new_axes()
    top = table.head(most)
    labels = [f"{drg:03} → {billed:03}" for drg, billed in top.select("drg", "billed_drg").iter_rows()]
    unit, scale = _unit(top["usd"])
    usd = (top["usd"] / scale).to_list()
    bars = ax.barh(labels, usd, color=[OVER if value > 0 else UNDER for value in usd], height=0.7)
    ax.bar_label(bars, [f" {n:,.1f} cases " for n in top["admissions"]], fontsize=8, color=INK)
    ax.margins(x=0.25)
    ax.axvline(0, color=INK, linewidth=0.8)
    ax.invert_yaxis()
    ax.set_xlabel(f"{unit} a replicate")
    ax.set_title(title, fontsize=10)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def saved(path: Path, draws: Sequence[Callable[[Axes], object]]) -> Path:
    """Save one figure with the drawings beneath each other, and return its path."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.4 * len(draws)), layout="constrained")
    for place, draw in enumerate(draws, start=1):
        draw(figure.add_subplot(len(draws), 1, place))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    return path


def _unit(usd: Iterable[float]) -> tuple[str, float]:
    """Return the unit that suits the largest of these amounts, and its size [USD]."""
    largest = max((abs(value) for value in usd), default=0.0)
    return ("million USD", 1e6) if largest >= 1e6 else ("thousand USD", 1e3)


def _new_axes() -> Axes:
    from matplotlib.figure import Figure

    return Figure(figsize=(7, 4), layout="constrained").add_subplot()
