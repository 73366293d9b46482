"""Figures of the evidence: coverage of audit limits, validity of a population."""

from __future__ import annotations

from textwrap import fill
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from drgsim.exceptions import InputError
from drgsim.files.foreign_frames import accept_frames
from drgsim.plots.style import (
    INK,
    OVERPAID,
    PALE,
    SMALL,
    UNDERPAID,
    check_columns,
    format_level,
    label_rows,
    make_axes,
    spell_name,
    tidy,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@accept_frames
def plot_coverage(table: pl.DataFrame, ax: Axes | None = None, *, level: float = 0.90) -> Axes:
    """Draw how often the limits of an audit contain the truth, against their confidence level.

    Whiskers are two Monte-Carlo standard errors. The numbers at the right are the share of the overpayment recovered.

    Args:
        table: what `drgsim.compliance.coverage` returns; for several designs, such frames joined below each other with
            a column `design`.
        ax: where to draw; by default a new figure.
        level: of the limits, 0 to 1.

    Raises:
        SchemaError: a column is missing.

    >>> table = pl.DataFrame({"estimator": ["ratio"], "coverage": [0.88], "coverage_error": [0.01],
    ...                       "recovered": [0.8]})
    >>> plot_coverage(table).get_yticklabels()[0].get_text()
    'ratio'
    """
    check_columns(table, ("estimator", "coverage", "coverage_error", "recovered"), "drgsim.compliance.coverage")
    ax = ax or make_axes(7, 1.3 + 0.4 * len(table))
    designs = table["design"].to_list() if "design" in table.columns else [""] * len(table)
    labels = [
        f"{design}, {spell_name(name)}" if design else spell_name(name)
        for design, name in zip(designs, table["estimator"], strict=True)
    ]
    share, error = 100 * table["coverage"].to_numpy(), 100 * table["coverage_error"].to_numpy()
    for place, (at, half, part) in enumerate(zip(share, error, table["recovered"], strict=True)):
        too_low = at + 2 * half < 100 * level
        marker, colour = ("v", OVERPAID) if too_low else ("o", UNDERPAID)
        ax.errorbar(at, place, xerr=2 * half, capsize=4, markersize=7, fmt=marker, color=colour)
        recovered = "nothing to recover" if part is None else f"{100 * part:.0f} % recovered"
        ax.text(1.01, place, recovered, transform=ax.get_yaxis_transform(), va="center", fontsize=SMALL)
    ax.axvline(100 * level, color=INK, linestyle="--", linewidth=1)
    label_rows(ax, labels)
    ax.set_xlabel("audits whose limits contain the truth, % (whiskers: ± 2 standard errors)")
    return tidy(ax, title=f"Coverage of audit limits\n(dashed: nominal, {format_level(level)}; triangles: below it)")


@accept_frames
def plot_validity(*tables: pl.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw how far generated populations are from published figures, by measure.

    Points are the mean of the populations, whiskers their range; one population has no range, and the axis says so.
    Measures without a published figure, or with a target of 0, are left out.

    Args:
        tables: what `drgsim.synthetic.validity` returns; one frame for each population, generated with another seed.
        ax: where to draw; by default a new figure.

    Raises:
        SchemaError: a column is missing.
        InputError: there is no frame, or the frames have different measures.

    >>> table = pl.DataFrame({"subject": ["patients"], "measure": ["female"], "generated": [0.53], "target": [0.5]})
    >>> plot_validity(table).get_xlabel()
    'generated against published, difference in % (one population: no range)'
    """
    if not tables:
        raise InputError("no table to draw; pass what drgsim.synthetic.validity returns, for one or more seeds.")
    for table in tables:
        check_columns(table, ("subject", "measure", "generated", "target"), "drgsim.synthetic.validity")
    published = tables[0].filter(pl.col("target").is_not_null(), pl.col("target") != 0)
    parts = [
        published.select("measure").join(table, on="measure", how="inner", maintain_order="left") for table in tables
    ]
    if any(len(part) != len(published) for part in parts):
        raise InputError("the tables have different measures; draw populations of one kind.")
    found = np.array([part["generated"].to_numpy() for part in parts])
    difference = 100 * (found / published["target"].to_numpy() - 1)
    mean, at = difference.mean(axis=0), np.arange(len(published))
    ax = ax or make_axes(8.5, 1.4 + 0.24 * len(published))
    ax.hlines(at, difference.min(axis=0), difference.max(axis=0), color=INK, linewidth=1.4)
    ax.plot(mean, at, "o", color=UNDERPAID, markersize=5)
    ax.axvline(0, color=INK, linewidth=0.8)
    for place, (value, target) in enumerate(zip(found.mean(axis=0), published["target"], strict=True)):
        numbers = f"{_format_short(value)} ({_format_short(target)})"
        ax.text(1.01, place, numbers, transform=ax.get_yaxis_transform(), va="center", fontsize=SMALL, color=INK)
    label_rows(ax, [fill(name, 60) for name in published["measure"]])
    ax.tick_params(axis="y", labelsize=SMALL)
    whiskers = f"whiskers: range of {len(tables)} populations" if len(tables) > 1 else "one population: no range"
    ax.set_xlabel(f"generated against published, difference in % ({whiskers})")
    ax.grid(axis="x", color=PALE, linewidth=0.5)
    return tidy(ax, title="Generated population; at the right: generated (published)")


# ---------------------------------------------------------------------------------------------------------


def _format_short(value: float) -> str:
    """Return a number with three digits, or as a whole number from 100 on."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
