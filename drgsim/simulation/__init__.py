"""Claims billed with coding errors, many times.

Its modules:

    simulator       simulate()
    tallies         a block of replicates as whole numbers
    billed_claims   the errors of a claim put together
    shapley         dollars attributed to errors
    exposures       exposure(): every single error, without sampling
    result_tables   tables of a result, from whole numbers
    results         Simulation: the result
    merged_results  results of parts, added exactly
    storage         results saved and loaded
    estimates       means, standard errors and intervals
    headline        a result in a few lines
    progress        the progress bar
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from drgsim._lazy import attach

if TYPE_CHECKING:
    from drgsim.simulation.estimates import apply_control as apply_control
    from drgsim.simulation.estimates import estimate_measures as estimate_measures
    from drgsim.simulation.exposures import Exposure as Exposure
    from drgsim.simulation.exposures import exposure as exposure
    from drgsim.simulation.merged_results import MergedSimulation as MergedSimulation
    from drgsim.simulation.results import Simulation as Simulation
    from drgsim.simulation.simulator import simulate as simulate
    from drgsim.simulation.storage import load_simulation as load_simulation

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "Exposure": "simulation.exposures",
        "MergedSimulation": "simulation.merged_results",
        "Simulation": "simulation.results",
        "apply_control": "simulation.estimates",
        "estimate_measures": "simulation.estimates",
        "exposure": "simulation.exposures",
        "load_simulation": "simulation.storage",
        "simulate": "simulation.simulator",
    },
)
