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
    tuva          reader: tables of the Tuva data model
    medpar        reader: CMS MedPAR
    own_columns   reader: one row a claim under any names
    column_suggestions  suggest_columns(): which column may hold which field
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from drgsim._lazy import attach

if TYPE_CHECKING:
    from drgsim.claim_fields.column_mapping import ColumnMapping as ColumnMapping
    from drgsim.claim_fields.mapping_report import Claims as Claims
    from drgsim.claim_fields.mapping_report import hash_admission_ids as hash_admission_ids
    from drgsim.claims.column_suggestions import ColumnSuggestions as ColumnSuggestions
    from drgsim.claims.column_suggestions import suggest_columns as suggest_columns
    from drgsim.claims.layouts import map_claims as map_claims
    from drgsim.claims.layouts import map_table as map_table
    from drgsim.claims.layouts import read_claims as read_claims
    from drgsim.claims.own_columns import check_claim_columns as check_claim_columns

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "Claims": "claim_fields.mapping_report",
        "ColumnMapping": "claim_fields.column_mapping",
        "ColumnSuggestions": "claims.column_suggestions",
        "check_claim_columns": "claims.own_columns",
        "hash_admission_ids": "claim_fields.mapping_report",
        "map_claims": "claims.layouts",
        "map_table": "claims.layouts",
        "read_claims": "claims.layouts",
        "suggest_columns": "claims.column_suggestions",
    },
)
