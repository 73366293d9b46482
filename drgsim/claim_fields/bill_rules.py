"""Bills that are no inpatient stay, or not final: one rule for all layouts.

Such a bill stays a row, with a flag.

Source: NUBC, type of bill (FL 4): facility and class in its first digits, frequency in its last; CCW data dictionary,
NCH_CLM_TYPE_CD, CLM_FREQ_CD and FINAL_ACTION; FHIR R4, ExplanationOfBenefit.status and .use.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import polars as pl

from drgsim.claim_fields.field_values import blank_words
from drgsim.claim_fields.mapping_report import MappingProblems

NOT_INPATIENT = "no inpatient claim"
NOT_FINAL = "not the final action on the claim"
FREQUENCIES: Mapping[str, str] = {
    "0": "claim without payment",
    "2": "interim claim, the first",
    "3": "interim claim, a continuing one",
    "4": "interim claim, the last",
    "5": "late charges alone",
    "7": "replacement of an earlier claim",
    "8": "void of an earlier claim",
}
"""Frequencies of a bill other than 1, admission through discharge."""
INPATIENT_BILLS = ("11", "18", "41")
"""Facility and class of inpatient bills: hospital, its swing beds, religious nonmedical hospital."""
_CLAIM_TYPES = ("60", "61", "INSTITUTIONAL", "INPATIENT")
_OTHER_TYPES = (
    "10",
    "20",
    "30",
    "40",
    "50",
    "71",
    "72",
    "81",
    "82",
    "PROFESSIONAL",
    "DENTAL",
    "PHARMACY",
    "OUTPATIENT",
)
_LIVE = ("active", "claim")
BILL_FIELDS: Mapping[str, tuple[str, ...]] = {
    "bill_type": ("bill_type", "bill_type_code", "type_of_bill", "tob", "clm_bill_type_cd", "bill_type_cd"),
    "facility_class": (),
    "frequency": ("clm_freq_cd", "claim_frequency", "claim_frequency_code", "bill_frequency", "frequency_code"),
    "claim_type": ("nch_clm_type_cd", "clm_type", "claim_type", "claim_type_code"),
    "final_action": ("final_action", "final_action_flag", "clm_final_action", "final_action_indicator"),
    "status": ("bill_status", "eob_status"),
    "use": ("claim_use",),
}
"""Names of columns, in any case, that say what kind of bill a row is."""


def find_bill_columns(columns: Iterable[str]) -> dict[str, str]:
    """Return the columns that say what kind of bill a row is, by field.

    >>> find_bill_columns(["age", "TOB", "FINAL_ACTION"])
    {'bill_type': 'TOB', 'final_action': 'FINAL_ACTION'}
    """
    lower = {name.strip().lower(): name for name in columns}
    found = {
        field: next((lower[name] for name in names if name in lower), None) for field, names in BILL_FIELDS.items()
    }
    return {field: name for field, name in found.items() if name}


def flag_bills(bills: pl.DataFrame, names: Mapping[str, str], problems: MappingProblems) -> None:
    """Flag rows that are no inpatient bill, or not a final one.

    Args:
        bills: (n,) texts of fields of `BILL_FIELDS`; a field that is null says nothing.
        names: the name of each field in the file.
        problems: receives the flags.

    >>> problems = MappingProblems()
    >>> bills = pl.DataFrame({"bill_type": ["0111", "118", "131", None]})
    >>> flag_bills(bills, {"bill_type": "TOB"}, problems)
    >>> problems.flags().rows()
    [(1, 'TOB', 'void of an earlier claim'), (2, 'TOB', 'no inpatient claim')]
    """
    values = {name: blank_words(bills[name]).str.to_lowercase() for name in bills.columns if name in BILL_FIELDS}
    if "bill_type" in values:
        bill = values.pop("bill_type").str.replace(r"\.0+$", "").str.strip_chars_start("0")
        is_bill = bill.str.contains(r"^\d\d[0-9a-z]?$")
        bill = bill.set(~is_bill.fill_null(value=False), None)
        _flag_classes(bill.str.slice(0, 2), names["bill_type"], problems)
        _flag_frequencies(bill.str.slice(2, 1), names["bill_type"], problems)
    if "facility_class" in values:
        _flag_classes(values["facility_class"], names["facility_class"], problems)
    if "frequency" in values:
        _flag_frequencies(values["frequency"].str.replace(r"\.0+$", ""), names["frequency"], problems)
    if "claim_type" in values:
        kind = values["claim_type"].str.to_uppercase().str.replace(r"\.0+$", "")
        problems.flag_where(names["claim_type"], NOT_INPATIENT, kind.is_in(_OTHER_TYPES) & ~kind.is_in(_CLAIM_TYPES))
    if "final_action" in values:
        problems.flag_where(names["final_action"], NOT_FINAL, values["final_action"].is_in(["n", "no", "0", "false"]))
    for field in ("status", "use"):
        if field in values:
            found = values[field]
            for text in found.filter(~found.is_in(_LIVE)).drop_nulls().unique(maintain_order=True):
                shown = text if text in _SHOWN else "another value"
                problems.flag_where(names[field], f"{shown}, no final claim", found == text)


# ---------------------------------------------------------------------------------------------------------

_SHOWN = (
    "cancelled",
    "draft",
    "entered-in-error",
    "preauthorization",
    "predetermination",
    "denied",
    "void",
    "rejected",
)


def _flag_classes(classes: pl.Series, name: str, problems: MappingProblems) -> None:
    problems.flag_where(name, NOT_INPATIENT, classes.is_not_null() & (classes != "") & ~classes.is_in(INPATIENT_BILLS))


def _flag_frequencies(frequencies: pl.Series, name: str, problems: MappingProblems) -> None:
    for frequency, reason in FREQUENCIES.items():
        problems.flag_where(name, reason, frequencies == frequency)
