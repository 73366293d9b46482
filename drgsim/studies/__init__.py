"""Questions asked of simulations.

Its modules:

    comparison          compare_simulations(): two simulations of the same admissions
    calibration         calibrate(): rates fitted to what a study found
    sensitivity         sweeps, Morris, Sobol, small studies
    published_findings  a study's figures compared with a scenario's
    fiscal_year_bridge  what a new fiscal year does to the same stays, by cause
    fitted_mixes        mixes of errors fitted to studies, written as scenarios
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from drgsim._lazy import attach

if TYPE_CHECKING:
    from drgsim.studies.calibration import Calibration as Calibration
    from drgsim.studies.calibration import calibrate as calibrate
    from drgsim.studies.comparison import compare_simulations as compare_simulations
    from drgsim.studies.fiscal_year_bridge import PaymentBridge as PaymentBridge
    from drgsim.studies.fiscal_year_bridge import payment_bridge as payment_bridge
    from drgsim.studies.published_findings import compare_with_findings as compare_with_findings
    from drgsim.studies.sensitivity import morris as morris
    from drgsim.studies.sensitivity import parameter_uncertainty as parameter_uncertainty
    from drgsim.studies.sensitivity import replace_rate as replace_rate
    from drgsim.studies.sensitivity import sobol as sobol
    from drgsim.studies.sensitivity import sweep as sweep

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "Calibration": "studies.calibration",
        "PaymentBridge": "studies.fiscal_year_bridge",
        "calibrate": "studies.calibration",
        "compare_simulations": "studies.comparison",
        "compare_with_findings": "studies.published_findings",
        "morris": "studies.sensitivity",
        "parameter_uncertainty": "studies.sensitivity",
        "payment_bridge": "studies.fiscal_year_bridge",
        "replace_rate": "studies.sensitivity",
        "sobol": "studies.sensitivity",
        "sweep": "studies.sensitivity",
    },
)
