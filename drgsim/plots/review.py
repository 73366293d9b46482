"""Figures of a comparison of two codings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from drgsim.exceptions import InputError
from drgsim.plots.style import (
    INK,
    SMALL,
    choose_ink,
    choose_money_unit,
    format_level,
    label_rows,
    make_axes,
    spell_name,
    tidy,
)
from drgsim.review.comparison_results import CodingComparison

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_comparison(comparison: CodingComparison, ax: Axes | None = None, *, level: float = 0.95) -> Axes:
    """Draw what each kind of difference between two codings contributes to the payment change.

    Bars to the right: the other coding is paid more than the reference. Whiskers are intervals over stays, or over
    coders. The number of differences of each kind is at the label.

    Args:
        comparison: what `drgsim.review.compare_codings` returns, with dollars.
        ax: where to draw; by default a new figure.
        level: of the intervals.

    Raises:
        InputError: the comparison has no dollars.

    >>> import polars as pl
    >>> from drgsim import Rates, TableSet
    >>> from drgsim.review import compare_codings
    >>> one = pl.DataFrame({"admission_id": [1, 2], "age": [54, 70], "sex": ["F", "M"], "discharge_status": [1, 1],
    ...     "pdx": ["K810", "I110"], "sdx": [["J9601"], ["I5023", "E119"]], "procedures": [["0FT44ZZ"], []]})
    >>> other = one.with_columns(sdx=pl.Series([[], ["I509", "E119"]]))
    >>> found = compare_codings(one, other, tables=TableSet.load("43.1"), rates=Rates.load(2026))
    >>> plot_comparison(found).get_xlabel()
    'payment change, thousand USD (95 % intervals)'
    """
    if not comparison.priced:
        raise InputError("the comparison has no dollars to draw. Pass rates to compare_codings.")
    kinds = comparison.kinds(level).sort(pl.col("kind") == "total", pl.col("net_usd").abs(), descending=[False, True])
    ax = ax or make_axes(7.5, 1.2 + 0.34 * kinds.height)
    unit, scale = choose_money_unit(kinds["net_usd"])
    for place, (usd, low, high) in enumerate(kinds.select("net_usd", "low", "high").rows()):
        ax.barh(place, usd / scale, height=0.6, **choose_ink(usd))
        if low is not None:
            ax.plot([low / scale, high / scale], [place, place], color=INK, linewidth=1, marker="|")
    label_rows(ax, [f"{spell_name(name)} ({count:,})" for name, count in kinds.select("kind", "differences").rows()])
    ax.tick_params(axis="y", labelsize=SMALL + 1)
    ax.axvline(0, color=INK, linewidth=0.8)
    ax.set_xlabel(f"payment change, {unit} ({format_level(level)} intervals)")
    return tidy(ax, title=f"Other coding against the reference, {len(comparison):,} stays")
