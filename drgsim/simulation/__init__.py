"""Claims billed with coding errors, many times.

Its modules:

    simulator       simulate()
    error_combination  the errors of a claim put together
    tallies         a block of replicates as tables of whole numbers
    exposures       exposure(): every single error, without sampling
    results         Simulation: the result, saved and loaded
    result_tables   the whole numbers behind its tables, of claims or of parts
    ledger_claims   claims as billed in one replicate
    merged_results  results of parts, added exactly
    storage         folders of results, written whole or not at all
    estimates       means, standard errors and intervals
    headline        the words for each measure, and a result in a few lines
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
    from drgsim.simulation.ledger_claims import bill_from_ledger as bill_from_ledger
    from drgsim.simulation.results import Simulation as Simulation
    from drgsim.simulation.results import load_simulation as load_simulation
    from drgsim.simulation.simulator import simulate as simulate

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "Exposure": "simulation.exposures",
        "Simulation": "simulation.results",
        "apply_control": "simulation.estimates",
        "bill_from_ledger": "simulation.ledger_claims",
        "estimate_measures": "simulation.estimates",
        "exposure": "simulation.exposures",
        "load_simulation": "simulation.results",
        "simulate": "simulation.simulator",
    },
)
