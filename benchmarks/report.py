"""Print a benchmark run as Markdown: `python -m benchmarks.report FILE.json`.

Speeds are medians of the rounds; minima stand beside them, because machines are shared.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

Run = dict[str, Any]

_STARTS = {
    "import": "`import drgsim`",
    "import group": "`from drgsim import group`, beside polars' own import",
    "load": "`TableSet.load`",
    "first group": "first `group` after it",
}


def runs_of(path: Path) -> list[Run]:
    """Return each benchmark's notes with its `median` and `min` seconds."""
    found = json.loads(path.read_text("utf-8"))["benchmarks"]
    return [{**run["extra_info"], **{key: run["stats"][key] for key in ("median", "min")}} for run in found]


def rate(run: Run, statistic: str = "median") -> float:
    """Return admissions a second."""
    return float(run["admissions"] / run[statistic])


def speed_table(runs: list[Run]) -> list[str]:
    """Return a row a run, with the ratio of the largest `group` run to it."""
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


def notes(runs: list[Run]) -> list[str]:
    """Return what the admissions were, memory, the floor and start-up times, a line each."""
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
                f"- peak memory {run['bytes_per_admission']:,.0f} bytes an admission at {run['admissions']:,}."
            )
        if run["what"] in _STARTS:
            lines.append(f"- {_STARTS[run['what']]}: {run['seconds']:.2f} s.")
    return lines


def main(path: str) -> None:
    runs = runs_of(Path(path))
    print("\n".join([*speed_table(runs), "", *notes(runs)]))


if __name__ == "__main__":
    main(sys.argv[1])
