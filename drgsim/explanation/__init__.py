"""Why this DRG, these dollars and this case mix.

Its modules:

    explanations     explain(): why one admission got its DRG and its dollars
    claim_edits      the edits of one claim with the codes that have them
    grouping_path    the steps of the grouper as data
    operand_sources  which codes make an operand true, and what a formula lacks
    code_values      code_value(): what each code is worth
    case_mix         why a case-mix index changed
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from drgsim._lazy import attach

if TYPE_CHECKING:
    from drgsim.explanation.case_mix import cmi_change as cmi_change
    from drgsim.explanation.code_values import code_value as code_value
    from drgsim.explanation.code_values import exposed_codes as exposed_codes
    from drgsim.explanation.code_values import single_severity as single_severity
    from drgsim.explanation.explanations import Explanation as Explanation
    from drgsim.explanation.explanations import describe_pay_code as describe_pay_code
    from drgsim.explanation.explanations import explain as explain

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "Explanation": "explanation.explanations",
        "cmi_change": "explanation.case_mix",
        "code_value": "explanation.code_values",
        "describe_pay_code": "explanation.explanations",
        "explain": "explanation.explanations",
        "exposed_codes": "explanation.code_values",
        "single_severity": "explanation.code_values",
    },
)
