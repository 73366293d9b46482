"""Claims compared with a second opinion: computed DRGs, another coding, what to look at first.

Its modules:

    review_inputs         versions by row, dollars of a DRG, columns to carry
    drg_validation        validate_drgs(): billed against computed DRG
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from drgsim._lazy import attach

if TYPE_CHECKING:
    from drgsim.review.drg_validation import DrgValidation as DrgValidation
    from drgsim.review.drg_validation import validate_drgs as validate_drgs

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "DrgValidation": "review.drg_validation",
        "validate_drgs": "review.drg_validation",
    },
)
