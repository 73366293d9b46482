"""Print a benchmark run as Markdown (`python -m benchmarks.report FILE.json`), or draw it.

Speeds are medians of the rounds. The best round is given too, because other programs share the machine.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drgsim.exceptions import InputError
from drgsim.plots.style import INK, OVERPAID, PALE, SMALL, UNDERPAID, label_rows, make_axes, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Run = dict[str, Any]

_STARTS = {
    "import": "`import drgsim`",
    "import group": "`from drgsim import group`, without the import of polars",
    "load": "`TableSet.load`",
    "first group": "first `group` after it",
}


_WORK = {
    "group": "group, from strings",
    "encode": "strings to integers alone",
    "regroup": "group, already encoded",
    "peer": "",
}


def read_runs(path: str | os.PathLike[str]) -> list[Run]:
    """Return the notes of each benchmark with its `median`, `min` and `max` seconds.

    Raises:
        InputError: the file cannot be read or is no benchmark run.
    """
    try:
        found = json.loads(Path(path).read_text("utf-8"))["benchmarks"]
        return [
            {"what": "", **run["extra_info"], **{key: run["stats"][key] for key in ("median", "min", "max")}}
            for run in found
        ]
    except OSError as error:
        raise InputError(f"{path}: no benchmark run can be read there ({error.strerror}).") from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: not a benchmark run: {error!r}.") from error


def rate(run: Run, statistic: str = "median") -> float:
    """Return admissions per second."""
    return float(run["admissions"] / run[statistic])


def write_speed_table(runs: list[Run]) -> list[str]:
    """Return a Markdown row for each run, with its ratio to the largest `group` run."""
    best = max((run for run in runs if run["what"] == "group"), key=lambda run: run["admissions"])
    names = {"group": "`group`", "encode": "strings to integers alone", "regroup": "regroup, encoded before"}
    lines = [
        "| | admissions | admissions/s (median) | (best) | ns a code | `group` is … times as fast |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for run in runs:
        if run["what"] not in (*names, "peer"):
            continue
        name = run.get("peer") or names[run["what"]]
        if "agreement" in run:
            name += f" (same DRG in {run['agreement']:.1%})"
        ratio = f"{rate(best) / rate(run):,.2f}" if run["what"] != "peer" else f"{rate(best) / rate(run):,.0f}"
        lines.append(
            f"| {name} | {run['admissions']:,} | {rate(run):,.0f} | {rate(run, 'min'):,.0f} "
            f"| {run['median'] / run['codes'] * 1e9:,.1f} | {ratio} |"
        )
    return lines


def write_notes(runs: list[Run]) -> list[str]:
    """Return Markdown lines on the admissions, memory, the floor and start-up times."""
    by = {(run["what"], run.get("admissions")): run for run in runs}
    largest = max(run["admissions"] for run in runs if run["what"] == "group")
    group = by["group", largest]
    lines = [
        f"- {largest:,} admissions of {group['mean_codes']:.1f} codes, {group['distinct_share']:.1%} distinct; "
        f"{group['polars_threads']} threads."
    ]
    floor = by.get(("encode", largest))
    if floor:
        lines.append(f"- `group` takes {group['median'] / floor['median']:.2f} times the floor (strings to integers).")
    for run in runs:
        if run["what"] == "memory":
            lines.append(
                f"- peak memory {run['bytes_per_admission']:,.0f} bytes per admission at {run['admissions']:,}."
            )
        if run["what"] in _STARTS:
            lines.append(f"- {_STARTS[run['what']]}: {run['seconds']:.2f} s.")
    return lines


def plot_throughput(path: str | os.PathLike[str], ax: Axes | None = None) -> Axes:
    """Draw admissions grouped per second, by drgsim and by other groupers, from a benchmark run.

    Points are medians over the rounds, whiskers go from the slowest to the fastest round. The scale is logarithmic.

    Args:
        path: JSON file of `pytest benchmarks/bench_group.py --benchmark-json=FILE`.
        ax: where to draw; by default a new figure.

    Raises:
        InputError: the file cannot be read, or has no run of `group`.

    >>> plot_throughput("nowhere.json")
    Traceback (most recent call last):
    drgsim.exceptions.InputError: nowhere.json: no benchmark run can be read there (No such file or directory).
    """
    from matplotlib.ticker import NullFormatter

    runs = [run for run in read_runs(path) if run["what"] in _WORK]
    if not any(run["what"] == "group" for run in runs):
        raise InputError(f"{path}: no run of group in it; make one with --benchmark-json=FILE.")
    runs.sort(key=rate, reverse=True)
    ax = ax or make_axes(8.5, 1.3 + 0.36 * len(runs))
    best = max(rate(run) for run in runs if run["what"] == "group")
    for place, run in enumerate(runs):
        median, slowest, fastest = (rate(run, statistic) for statistic in ("median", "max", "min"))
        marker, colour = {"group": ("D", OVERPAID), "peer": ("s", INK)}.get(run["what"], ("o", UNDERPAID))
        ax.plot([slowest, fastest], [place, place], color=colour, linewidth=1.4, marker="|")
        ax.plot(median, place, marker, color=colour, markersize=6)
        speed = f"{median:,.0f}" + (f"  (1/{best / median:,.0f})" if run["what"] == "peer" else "")
        ax.text(1.01, place, speed, transform=ax.get_yaxis_transform(), va="center", fontsize=SMALL + 1, color=INK)
    label_rows(ax, [f"{_name_run(run)}, n = {run['admissions']:,}" for run in runs])
    ax.set_xscale("log")
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.grid(axis="x", color=PALE, linewidth=0.5)
    ax.set_xlabel("admissions per second, median (whiskers: slowest to fastest round)")
    return tidy(ax, title="Speed of groupers; at the right: median (part of the fastest run of group)")


def _name_run(run: Run) -> str:
    agreement = f" (same DRG in {100 * run['agreement']:.0f} %)" if "agreement" in run else ""
    return (_WORK[run["what"]] or str(run["peer"])) + agreement


def main(path: str) -> None:
    runs = read_runs(path)
    print("\n".join([*write_speed_table(runs), "", *write_notes(runs)]))


if __name__ == "__main__":
    main(sys.argv[1])
