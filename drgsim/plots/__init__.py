"""Figures: functions that draw a result on Axes and return them. matplotlib is loaded when one is drawn.

Each takes a result, or the frame that a public function returns, and the Axes to draw on (by default of a new
figure that belongs to nobody else), and returns the Axes: `plot_shift(result).figure.savefig("shift.png")`.
Colours are safe for colour-blind readers, signs and series also show as hatches and markers, and what is uncertain
is drawn with its interval, or the axis says why there is none. The gallery is docs/figures.md.
"""

from __future__ import annotations

from drgsim.plots.evidence import plot_coverage, plot_throughput, plot_validity
from drgsim.plots.simulation import plot_replicates, plot_severity, plot_shift
from drgsim.plots.studies import plot_code_value, plot_deterrence, plot_dose, plot_peers
from drgsim.plots.style import saved
from drgsim.plots.transitions import plot_flow, plot_transitions

__all__ = [
    "plot_code_value",
    "plot_coverage",
    "plot_deterrence",
    "plot_dose",
    "plot_flow",
    "plot_peers",
    "plot_replicates",
    "plot_severity",
    "plot_shift",
    "plot_throughput",
    "plot_transitions",
    "plot_validity",
    "saved",
]
