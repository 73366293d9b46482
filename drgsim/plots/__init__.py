"""Figures, and the report: one HTML file of figures and tables.

Each function takes a result, or the frame that a public function returns, and the Axes to draw on (by default those
of a new figure), and returns the Axes: `plot_shift(result).figure.savefig("shift.png")`. Colour-blind readers can
distinguish the colours; signs and series also differ by hatches and markers. Uncertain values have an interval, or the
axis says why there is none. The gallery is docs/figures.md.

Its modules:

    style        what every figure shares: colours, Axes, units of money
    simulation   figures of a simulation
    transitions  figures of DRG transitions
    studies      figures of doses, detection, peers, codes and a new fiscal year
    review       figures of two codings
    evidence     figures of audit coverage and validity
    html_report  report(): a simulation as one HTML file
    html_page    parts of an HTML page that needs no other file
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from drgsim._lazy import attach

if TYPE_CHECKING:
    from drgsim.plots.evidence import plot_coverage as plot_coverage
    from drgsim.plots.evidence import plot_validity as plot_validity
    from drgsim.plots.html_report import report as report
    from drgsim.plots.review import plot_comparison as plot_comparison
    from drgsim.plots.simulation import plot_replicates as plot_replicates
    from drgsim.plots.simulation import plot_severity as plot_severity
    from drgsim.plots.simulation import plot_shift as plot_shift
    from drgsim.plots.studies import plot_bridge as plot_bridge
    from drgsim.plots.studies import plot_code_value as plot_code_value
    from drgsim.plots.studies import plot_deterrence as plot_deterrence
    from drgsim.plots.studies import plot_dose as plot_dose
    from drgsim.plots.studies import plot_peers as plot_peers
    from drgsim.plots.style import save_figures as save_figures
    from drgsim.plots.transitions import plot_flow as plot_flow
    from drgsim.plots.transitions import plot_transitions as plot_transitions

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "plot_bridge": "plots.studies",
        "plot_code_value": "plots.studies",
        "plot_comparison": "plots.review",
        "plot_coverage": "plots.evidence",
        "plot_deterrence": "plots.studies",
        "plot_dose": "plots.studies",
        "plot_flow": "plots.transitions",
        "plot_peers": "plots.studies",
        "plot_replicates": "plots.simulation",
        "plot_severity": "plots.simulation",
        "plot_shift": "plots.simulation",
        "plot_transitions": "plots.transitions",
        "plot_validity": "plots.evidence",
        "report": "plots.html_report",
        "save_figures": "plots.style",
    },
)
