"""Coding errors, and scenarios of them.

Its modules:

    error_models        ErrorModel: what every kind of error shares
    error_draws         which errors happen, and as what
    error_sites         where an error can happen, and its possible outcomes
    diagnosis_errors    errors of diagnoses
    procedure_errors    errors of procedures
    claim_field_errors  errors of discharge status, sex and age
    strategic_upcoding  upcoding as a choice
    confusable_codes    which code is taken for which
    scrubber            changes that no claim scrubber lets pass
    hospital_variation  how hospitals and coders differ
    scenarios           scenario files, and the shipped ones
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from drgsim._lazy import attach

if TYPE_CHECKING:
    from drgsim.miscoding.claim_field_errors import Demographics as Demographics
    from drgsim.miscoding.claim_field_errors import DischargeStatus as DischargeStatus
    from drgsim.miscoding.diagnosis_errors import InvalidCode as InvalidCode
    from drgsim.miscoding.diagnosis_errors import PdxResequence as PdxResequence
    from drgsim.miscoding.diagnosis_errors import PdxSubstitute as PdxSubstitute
    from drgsim.miscoding.diagnosis_errors import PoaFlip as PoaFlip
    from drgsim.miscoding.diagnosis_errors import SdxAddUnsupported as SdxAddUnsupported
    from drgsim.miscoding.diagnosis_errors import SdxOmit as SdxOmit
    from drgsim.miscoding.diagnosis_errors import SdxSubstitute as SdxSubstitute
    from drgsim.miscoding.diagnosis_errors import SeverityDowngrade as SeverityDowngrade
    from drgsim.miscoding.diagnosis_errors import SeverityUpgrade as SeverityUpgrade
    from drgsim.miscoding.diagnosis_errors import SpecificityLoss as SpecificityLoss
    from drgsim.miscoding.error_models import ErrorModel as ErrorModel
    from drgsim.miscoding.error_models import Evidence as Evidence
    from drgsim.miscoding.error_models import Rate as Rate
    from drgsim.miscoding.error_models import Study as Study
    from drgsim.miscoding.error_models import Where as Where
    from drgsim.miscoding.error_sites import Options as Options
    from drgsim.miscoding.error_sites import Sites as Sites
    from drgsim.miscoding.procedure_errors import ProcedureAddUnsupported as ProcedureAddUnsupported
    from drgsim.miscoding.procedure_errors import ProcedureOmit as ProcedureOmit
    from drgsim.miscoding.procedure_errors import ProcedureSubstitute as ProcedureSubstitute
    from drgsim.miscoding.procedure_errors import VentilationHours as VentilationHours
    from drgsim.miscoding.scenarios import Finding as Finding
    from drgsim.miscoding.scenarios import Scenario as Scenario
    from drgsim.miscoding.scenarios import kinds as kinds
    from drgsim.miscoding.scenarios import presets as presets
    from drgsim.miscoding.strategic_upcoding import StrategicUpcode as StrategicUpcode
    from drgsim.miscoding.strategic_upcoding import sweep_detection as sweep_detection
    from drgsim.rebilling.baseline import Baseline as Baseline
    from drgsim.rebilling.code_changes import ChangeKind as ChangeKind
    from drgsim.rebilling.code_changes import CodeChanges as CodeChanges

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "Baseline": "rebilling.baseline",
        "ChangeKind": "rebilling.code_changes",
        "CodeChanges": "rebilling.code_changes",
        "Demographics": "miscoding.claim_field_errors",
        "DischargeStatus": "miscoding.claim_field_errors",
        "ErrorModel": "miscoding.error_models",
        "Evidence": "miscoding.error_models",
        "Finding": "miscoding.scenarios",
        "InvalidCode": "miscoding.diagnosis_errors",
        "Options": "miscoding.error_sites",
        "PdxResequence": "miscoding.diagnosis_errors",
        "PdxSubstitute": "miscoding.diagnosis_errors",
        "PoaFlip": "miscoding.diagnosis_errors",
        "ProcedureAddUnsupported": "miscoding.procedure_errors",
        "ProcedureOmit": "miscoding.procedure_errors",
        "ProcedureSubstitute": "miscoding.procedure_errors",
        "Rate": "miscoding.error_models",
        "Scenario": "miscoding.scenarios",
        "SdxAddUnsupported": "miscoding.diagnosis_errors",
        "SdxOmit": "miscoding.diagnosis_errors",
        "SdxSubstitute": "miscoding.diagnosis_errors",
        "SeverityDowngrade": "miscoding.diagnosis_errors",
        "SeverityUpgrade": "miscoding.diagnosis_errors",
        "Sites": "miscoding.error_sites",
        "SpecificityLoss": "miscoding.diagnosis_errors",
        "StrategicUpcode": "miscoding.strategic_upcoding",
        "Study": "miscoding.error_models",
        "VentilationHours": "miscoding.procedure_errors",
        "Where": "miscoding.error_models",
        "kinds": "miscoding.scenarios",
        "presets": "miscoding.scenarios",
        "sweep_detection": "miscoding.strategic_upcoding",
    },
)
