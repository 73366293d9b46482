"""The figure of two codings shows every kind and the total."""

from __future__ import annotations

import polars as pl
import pytest

from drgsim import InputError, Rates, TableSet, generate
from drgsim.plots import plot_comparison
from drgsim.review import compare_codings

TABLES, RATES = TableSet.load("43.1"), Rates.load(2026)


def test_bars_are_the_kinds():
    _, claims = generate(200, seed=5, tables=TABLES)
    other = claims.with_columns(pl.col("sdx", "sdx_poa").list.slice(1), discharge_status=1)
    found = compare_codings(claims, other, tables=TABLES, rates=RATES)
    ax = plot_comparison(found)
    kinds = found.kinds().sort(pl.col("kind") == "total", pl.col("net_usd").abs(), descending=[False, True])
    assert len(ax.patches) == kinds.height
    assert [label.get_text().rsplit(" (", 1)[1] for label in ax.get_yticklabels()][
        -1
    ] == f"{found.found.first.sum():,})"
    widths = [bar.get_width() for bar in ax.patches]
    assert [width > 0 for width in widths] == [usd > 0 for usd in kinds["net_usd"]]


def test_without_dollars_there_is_nothing_to_draw():
    _, claims = generate(50, seed=5, tables=TABLES)
    with pytest.raises(InputError, match="no dollars"):
        plot_comparison(compare_codings(claims, claims, tables=TABLES))
