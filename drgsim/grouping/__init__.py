"""Codes to MS-DRGs, in the order of the Definitions Manual.

Its modules:

    version_rows        admissions by the version in force on their dates
    grouper             group(): the steps in their order
    bit_layout          which bit stands for which operand
    code_attributes     codes to operand bits, exclusions and severity
    procedure_clusters  procedures that count together
    rulebook            the formulas of a version as bit masks
    operand_bits        an admission reduced to what the formulas read
    mdc_search          the pre-MDC, the MDC of the principal diagnosis, reroutes
    hac                 hospital-acquired conditions and present on admission
    grouping_steps      what each step decided, and what took severity away
    operand_carriers    which codes of an admission carry an operand
    unknown_codes       codes that are none of the version, counted
    code_reports        what the grouper reports of each code
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from drgsim._lazy import attach

if TYPE_CHECKING:
    from drgsim.grouping.grouper import Grouping as Grouping
    from drgsim.grouping.grouper import count_unknown_codes as count_unknown_codes
    from drgsim.grouping.grouper import group as group
    from drgsim.grouping.grouper import group_and_count_codes as group_and_count_codes
    from drgsim.grouping.grouper import group_encoded as group_encoded
    from drgsim.tables.encoding import Encoded as Encoded
    from drgsim.tables.encoding import encode as encode

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "Encoded": "tables.encoding",
        "Grouping": "grouping.grouper",
        "count_unknown_codes": "grouping.grouper",
        "encode": "tables.encoding",
        "group": "grouping.grouper",
        "group_and_count_codes": "grouping.grouper",
        "group_encoded": "grouping.grouper",
    },
)
