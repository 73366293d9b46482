"""Claim files to admissions.

Its modules:

    layouts       read_claims(), map_claims(): recognise a layout and read it
    flat          reader: one row an admission
    long          reader: one row a code
    rif           reader: CMS Research Identifiable Files
    hcup          reader: HCUP NIS and SID
    mimic         reader: MIMIC-IV
    fhir          reader: FHIR ExplanationOfBenefit
    x12_837       reader: X12 837 institutional
    json_objects  reader: claims as JSON objects
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from drgsim._lazy import attach

if TYPE_CHECKING:
    from drgsim.claims.layouts import map_claims as map_claims
    from drgsim.claims.layouts import read_claims as read_claims
    from drgsim.claim_fields.mapping_report import Claims as Claims
    from drgsim.claim_fields.mapping_report import hash_admission_ids as hash_admission_ids

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "Claims": "claim_fields.mapping_report",
        "hash_admission_ids": "claim_fields.mapping_report",
        "map_claims": "claims.layouts",
        "read_claims": "claims.layouts",
    },
)
