"""Claims compared with a second opinion: computed DRGs, another coding, what to look at first.

Its modules:

    review_inputs         versions by row, dollars of a DRG, columns to carry
    drg_validation        validate_drgs(): billed against computed DRG
    coding_comparison     compare_codings(): two codings of the same stays
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
    from drgsim.review.coding_comparison import compare_codings as compare_codings
    from drgsim.review.comparison_results import CodingComparison as CodingComparison
    from drgsim.review.drg_validation import DrgValidation as DrgValidation
    from drgsim.review.drg_validation import validate_drgs as validate_drgs

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "CodingComparison": "review.comparison_results",
        "DrgValidation": "review.drg_validation",
        "compare_codings": "review.coding_comparison",
        "validate_drgs": "review.drg_validation",
    },
)
