"""Figures of the evidence: coverage of audit limits, validity of a population, speed beside the peers."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from drgsim.exceptions import InputError
from drgsim.plots.style import (
    INK,
    OVER,
    PALE,
    SMALL,
    UNDER,
    check_columns,
    format_level,
    label_rows,
    make_axes,
    spell_name,
    tidy,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_coverage(table: pl.DataFrame, ax: Axes | None = None, *, level: float = 0.90) -> Axes:
    """Draw how often the limits of an audit hold the truth, beside how often they claim to.

    Whiskers are two Monte-Carlo standard errors; at the right stands the share of the overpayment recovered.

    Args:
        table: of `drgsim.compliance.audits.coverage`; frames of several designs with a column `design` may be put together.
        ax: where to draw; by default a new figure.
        level: of the audits' limits.

    Raises:
        SchemaError: a column is missing.

    >>> table = pl.DataFrame({"estimator": ["ratio"], "coverage": [0.88], "coverage_error": [0.01],
    ...                       "recovered": [0.8]})
    >>> plot_coverage(table).get_yticklabels()[0].get_text()
    'ratio'
    """
    check_columns(table, ("estimator", "coverage", "coverage_error", "recovered"), "drgsim.compliance.audits.coverage")
    ax = ax or make_axes(7, 1.3 + 0.4 * len(table))
    designs = table["design"].to_list() if "design" in table.columns else [""] * len(table)
    labels = [
        f"{design}, {spell_name(name)}" if design else spell_name(name)
        for design, name in zip(designs, table["estimator"], strict=True)
    ]
    share, error = 100 * table["coverage"].to_numpy(), 100 * table["coverage_error"].to_numpy()
    for place, (at, half, part) in enumerate(zip(share, error, table["recovered"], strict=True)):
        short = at + 2 * half < 100 * level
        marker, colour = ("v", OVER) if short else ("o", UNDER)
        ax.errorbar(at, place, xerr=2 * half, capsize=4, markersize=7, fmt=marker, color=colour)
        told = "nothing to recover" if part is None else f"{100 * part:.0f} % recovered"
        ax.text(1.01, place, told, transform=ax.get_yaxis_transform(), va="center", fontsize=SMALL)
    ax.axvline(100 * level, color=INK, linestyle="--", linewidth=1)
    label_rows(ax, labels)
    ax.set_xlabel("audits whose limits hold the truth, % (whiskers: ± 2 standard errors)")
    return tidy(ax, title=f"Coverage of audit limits\n(dashed: claimed, {format_level(level)}; triangles: too rarely)")


def plot_validity(*tables: pl.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw how far generated populations are from what is published, measure by measure.

    Points are the mean of the populations given, whiskers their range; a single one has none, and the axis says
    so. Measures without a published figure, or with a target of 0, are left out.

    Args:
        tables: of `drgsim.synthetic.validation.validity`, a frame a population: the same but for the seed.
        ax: where to draw; by default a new figure.

    Raises:
        SchemaError: a column is missing.
        InputError: no frame, or frames of different measures.

    >>> table = pl.DataFrame({"subject": ["patients"], "measure": ["female"], "generated": [0.53], "target": [0.5]})
    >>> plot_validity(table).get_xlabel()
    'generated beside published, difference in % (one population: no spread)'
    """
    if not tables:
        raise InputError("no table to draw; pass what validity(admissions, tables) returns, of one or more seeds.")
    for table in tables:
        check_columns(table, ("subject", "measure", "generated", "target"), "drgsim.synthetic.validation.validity")
    known = tables[0].filter(pl.col("target").is_not_null(), pl.col("target") != 0)
    parts = [known.select("measure").join(table, on="measure", how="inner", maintain_order="left") for table in tables]
    if any(len(part) != len(known) for part in parts):
        raise InputError("the tables have different measures; draw populations of one kind.")
    found = np.array([part["generated"].to_numpy() for part in parts])
    off = 100 * (found / known["target"].to_numpy() - 1)
    mean, at = off.mean(axis=0), np.arange(len(known))
    ax = ax or make_axes(8.5, 1.4 + 0.24 * len(known))
    ax.hlines(at, off.min(axis=0), off.max(axis=0), color=INK, linewidth=1.4)
    ax.plot(mean, at, "o", color=UNDER, markersize=5)
    ax.axvline(0, color=INK, linewidth=0.8)
    for place, (value, target) in enumerate(zip(found.mean(axis=0), known["target"], strict=True)):
        told = f"{_short(value)} ({_short(target)})"
        ax.text(1.01, place, told, transform=ax.get_yaxis_transform(), va="center", fontsize=SMALL, color=INK)
    label_rows(ax, [fill(name, 60) for name in known["measure"]])
    ax.tick_params(axis="y", labelsize=SMALL)
    sure = f"whiskers: range of {len(tables)} populations" if len(tables) > 1 else "one population: no spread"
    ax.set_xlabel(f"generated beside published, difference in % ({sure})")
    ax.grid(axis="x", color=PALE, linewidth=0.5)
    return tidy(ax, title="Generated population; at the right: generated (published)")


def plot_throughput(path: str | os.PathLike[str], ax: Axes | None = None) -> Axes:
    """Draw admissions grouped a second beside the peers, from a benchmark run.

    Points are medians over the rounds, whiskers go from the slowest to the fastest round. The scale is logarithmic.

    Args:
        path: JSON file of `pytest benchmarks/bench_group.py --benchmark-json=FILE`.
        ax: where to draw; by default a new figure.

    Raises:
        InputError: the file cannot be read, or holds no run of `group`.

    >>> plot_throughput("nowhere.json")
    Traceback (most recent call last):
    drgsim.exceptions.InputError: nowhere.json: no benchmark run can be read there (No such file or directory).
    """
    from matplotlib.ticker import NullFormatter

    runs = [run for run in _benchmarks(Path(path)) if run["what"] in _WHATS]
    if not any(run["what"] == "group" for run in runs):
        raise InputError(f"{path}: no run of group in it; make one with --benchmark-json=FILE.")
    runs.sort(key=lambda run: run["admissions"] / run["median"], reverse=True)
    ax = ax or make_axes(8.5, 1.3 + 0.36 * len(runs))
    best = max(run["admissions"] / run["median"] for run in runs if run["what"] == "group")
    for place, run in enumerate(runs):
        median, slowest, fastest = (run["admissions"] / run[name] for name in ("median", "max", "min"))
        look = ("D", OVER) if run["what"] == "group" else ("o", UNDER) if run["what"] != "peer" else ("s", INK)
        ax.plot([slowest, fastest], [place, place], color=look[1], linewidth=1.4, marker="|")
        ax.plot(median, place, look[0], color=look[1], markersize=6)
        told = f"{median:,.0f}" + (f"  (1/{best / median:,.0f})" if run["what"] == "peer" else "")
        ax.text(1.01, place, told, transform=ax.get_yaxis_transform(), va="center", fontsize=SMALL + 1, color=INK)
    label_rows(ax, [f"{_run_name(run)}, n = {run['admissions']:,}" for run in runs])
    ax.set_xscale("log")
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.grid(axis="x", color=PALE, linewidth=0.5)
    ax.set_xlabel("admissions a second, median (whiskers: slowest to fastest round)")
    return tidy(ax, title="Speed beside the peers; at the right: median (part of the fastest group)")


# ---------------------------------------------------------------------------------------------------------

_WHATS = {"group": "group, from strings", "encode": "strings to integers alone", "regroup": "group, encoded before",
          "peer": ""}  # fmt: skip


def _short(value: float) -> str:
    """Return a number with the digits that matter."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _benchmarks(path: Path) -> Sequence[dict[str, Any]]:
    """Return the runs of a benchmark file: what was measured, with its seconds.

    Raises:
        InputError: the file cannot be read or is no benchmark run.
    """
    try:
        found = json.loads(path.read_text("utf-8"))["benchmarks"]
        return [{"what": "", **run["extra_info"], **run["stats"]} for run in found]
    except OSError as error:
        raise InputError(f"{path}: no benchmark run can be read there ({error.strerror}).") from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: not a benchmark run: {error!r}.") from error


def _run_name(run: dict[str, Any]) -> str:
    agreement = f" (same DRG in {100 * run['agreement']:.0f} %)" if "agreement" in run else ""
    return (_WHATS[run["what"]] or str(run["peer"])) + agreement
