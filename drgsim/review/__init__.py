"""Claims compared with a second opinion: computed DRGs, another coding, what to look at first.

Its modules:

    review_inputs         versions by row, dollars of a DRG, columns to carry
    drg_validation        validate_drgs(): billed against computed DRG
    coding_comparison     compare_codings(): two codings of the same stays
    change_explanation    explain_change(): why the DRG of one stay changed
    worklists             worklist(): what to look at first
    code_alignment        codes of both sides aligned, each difference classed
    list_matching         lists of codes matched row by row
    code_metrics          precision, recall and F1 of codes
    agreement_statistics  shares, sums and kappa with intervals
    comparison_results    CodingComparison: its tables
    difference_rates      differences as the rates of a scenario
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from drgsim._lazy import attach

if TYPE_CHECKING:
    from drgsim.review.change_explanation import ChangeExplanation as ChangeExplanation
    from drgsim.review.change_explanation import describe_operand as describe_operand
    from drgsim.review.change_explanation import explain_change as explain_change
    from drgsim.review.coding_comparison import compare_codings as compare_codings
    from drgsim.review.comparison_results import CodingComparison as CodingComparison
    from drgsim.review.drg_validation import DrgValidation as DrgValidation
    from drgsim.review.drg_validation import validate_drgs as validate_drgs
    from drgsim.review.worklists import worklist as worklist
    from drgsim.review.worklists import worklist_rules as worklist_rules

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "ChangeExplanation": "review.change_explanation",
        "CodingComparison": "review.comparison_results",
        "DrgValidation": "review.drg_validation",
        "compare_codings": "review.coding_comparison",
        "describe_operand": "review.change_explanation",
        "explain_change": "review.change_explanation",
        "validate_drgs": "review.drg_validation",
        "worklist": "review.worklists",
        "worklist_rules": "review.worklists",
    },
)
