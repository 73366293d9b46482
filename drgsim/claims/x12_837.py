"""X12 837 institutional claims (005010X223): `read_837(path)`.

A strict reader of the segments that a grouper and a pricer need: NM1, DMG, CLM, DTP, CL1, HI, SV2. Source: ASC X12 837
Health Care Claim Institutional, implementation guide 005010X223, code list of HI qualifiers (element 1270).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from drgsim.claim_fields.assembly import build_claims
from drgsim.claim_fields.bill_rules import NOT_INPATIENT, flag_bills
from drgsim.claim_fields.code_cells import DX, PR
from drgsim.claim_fields.code_lists import CODES
from drgsim.claim_fields.mapping_report import Claims, MappingProblems
from drgsim.exceptions import InputError
from drgsim.files.text_tables import DAMAGED, open_bytes

_ISA_LENGTH, _ISA_ELEMENTS = 106, 16
_OTHER_KINDS = {"X222": "professional", "X224": "dental"}
"""Implementation guides of 837 that are not institutional, by part of their name."""
_QUALIFIERS = {
    # qualifier of HI: kind of code, whether it is the principal diagnosis, revision of ICD
    "ABK": (DX, True, 10),
    "ABF": (DX, False, 10),
    "ABN": (DX, False, 10),
    "BBR": (PR, False, 10),
    "BBQ": (PR, False, 10),
    "BK": (DX, True, 9),
    "BF": (DX, False, 9),
    "BN": (DX, False, 9),
    "BR": (PR, False, 9),
    "BQ": (PR, False, 9),
}
_NOT_OF_THE_STAY = ("ABJ", "BJ", "APR", "PR")
_ENVELOPE = {"ISA", "IEA", "GS", "GE", "ST", "SE", "BHT", "HL", "NM1", "DMG", "CLM", "DTP", "CL1", "HI", "SV2", "LX"}
_STAY = {
    "claim_id": pl.String,
    "hospital_id": pl.String,
    "patient_id": pl.String,
    "birth_date": pl.String,
    "sex": pl.String,
    "discharge_status": pl.String,
    "ms_drg_recorded": pl.String,
    "admission_date": pl.String,
    "discharge_date": pl.String,
    "covered_charges_usd": pl.String,
    "noncovered_charges_usd": pl.Float64,
    "bill_type": pl.String,
}


@dataclass
class _ReaderState:
    """What earlier segments said about the provider, the patient and the current claim."""

    stays: list[dict[str, Any]] = field(default_factory=list)
    codes: list[tuple[Any, ...]] = field(default_factory=list)
    problems: MappingProblems = field(default_factory=MappingProblems)
    provider: str | None = None
    subscriber: dict[str, str | None] = field(default_factory=dict)
    patient: dict[str, str | None] = field(default_factory=dict)
    within_claim: bool = False
    places: dict[str, int] = field(default_factory=dict)
    unread: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Of each segment that is not read: the number of claims that have it, and the row of the last of them."""


def is_837(text: str) -> bool:
    """Return whether a text begins as an X12 interchange does."""
    return text.lstrip("\ufeff \t\r\n").startswith("ISA") and not text.lstrip()[3:4].isalnum()


def read_837(path: Path) -> Claims:
    """Return the claims of an 837I file, in order.

    Diagnoses are HI with ABK (principal), ABF and ABN (external cause), with their POA indicator; procedures are HI
    with BBR and BBQ; the qualifiers of ICD-9 mark ICD-9 codes. Admitting diagnoses and reasons for visit are left out.
    Discharge status is CL103; the stay is from DTP 435 (admission) to the end of DTP 434 (statement); charges are CLM02
    less the non-covered charges of SV207; `hospital_id` is the billing provider's NPI; `ms_drg_recorded` is HI with DR.
    Replacements, voids and bills of another type than inpatient (11, 18, 41) are flagged; segments that are not read
    are counted.

    Raises:
        InputError: the file is no X12 interchange of 837 transactions, is cut off or miscounts its segments.

    >>> read_837(Path("absent.edi"))
    Traceback (most recent call last):
    drgsim.exceptions.InputError: absent.edi: No such file or directory.
    """
    state = _ReaderState()
    for number, elements, component in _iterate_segments(path):
        _process_segment(path, number, elements, component, state)
    for name, (count, _) in sorted(state.unread.items()):
        state.problems.report_file(name, "segment not read", count)
    stays = pl.DataFrame(state.stays, schema=_STAY)
    flag_bills(stays.select("bill_type"), {"bill_type": "CLM05"}, state.problems)
    codes = pl.DataFrame(state.codes, schema=CODES, orient="row")
    return build_claims("837i", stays.drop("bill_type"), codes, state.problems)


# ---------------------------------------------------------------------------------------------- segments


def _iterate_segments(path: Path) -> Iterator[tuple[int, list[str], str]]:
    """Yield (number, elements, component separator) of each segment, and check the envelopes."""
    text, at, number = _read_text(path), 0, 0
    transaction: dict[str, int] = {}
    while (at := _skip_blanks(text, at)) < len(text):
        marks = _find_marks(text, at)
        if marks is None:
            raise InputError(f"{path}: segment {number + 1}: expected ISA with its 105 characters.")
        separator, component, terminator = marks
        if terminator not in "\r\n" and ("\n" in text or "\r" in text):
            # Line ends are no characters of X12: files wrapped at 80 columns have them within elements.
            text = text[:at] + text[at:].replace("\r", "").replace("\n", "")
        if len({separator, component, terminator}) < 3 or any(mark.isalnum() for mark in (separator, component)):
            raise InputError(f"{path}: segment {number + 1}: ISA names no three different separators.")
        while True:
            end = text.find(terminator, at)
            if end < 0:
                raise InputError(f"{path}: segment {number + 1}: cut off; no IEA ends the interchange.")
            elements, number = text[at:end].strip("\r\n ").split(separator), number + 1
            at = _skip_blanks(text, end + 1)
            _check_envelope(path, number, elements, transaction)
            yield number, elements, component
            if elements[0] == "IEA":
                break


def _check_envelope(path: Path, number: int, elements: list[str], transaction: dict[str, int]) -> None:
    """Check that a transaction is an 837, has an end, and counts its segments correctly.

    `transaction` holds the number of the first segment of an open transaction, as `ST`.
    """
    name = elements[0]
    if name == "ST":
        if "ST" in transaction or elements[1:2] != ["837"]:
            raise InputError(f"{path}: segment {number}: expected a transaction 837 after the end of the one before.")
        _refuse_other_kinds(path, number, elements[3:4])
        transaction["ST"] = number
    elif name == "GS":
        _refuse_other_kinds(path, number, elements[8:9])
    elif name in ("GE", "IEA") and "ST" in transaction:
        raise InputError(f"{path}: segment {number}: {name} within a transaction; SE is missing.")
    elif name == "SE":
        start = transaction.pop("ST", 0)
        if not start or elements[1:2] != [str(number - start + 1)]:
            raise InputError(f"{path}: segment {number}: SE counts other segments than the transaction has.")


def _refuse_other_kinds(path: Path, number: int, guide: list[str]) -> None:
    """Refuse professional and dental claims, which have no stay, by their implementation guide."""
    kind = next((kind for part, kind in _OTHER_KINDS.items() if guide and part in guide[0].upper()), None)
    if kind:
        raise InputError(
            f"{path}: segment {number}: {kind} claims; drgsim reads institutional ones (837I, 005010X223) alone."
        )


def _find_marks(text: str, at: int) -> tuple[str, str, str] | None:
    """Return the separators of elements and components and the end of segments.

    ISA names them. It has 105 characters and the end of a segment; some senders do not fill its elements with blanks,
    so that only its 16 separators find them.
    """
    if not text.startswith("ISA", at) or len(text) < at + 20:
        return None
    if len(text) >= at + _ISA_LENGTH and text[at : at + 105].count(text[at + 3]) == _ISA_ELEMENTS:
        separator, component, terminator = text[at + 3], text[at + 104], text[at + 105]
        if text[at + 103] == separator and "\n" not in text[at : at + 104]:
            return separator, component, terminator
    begin = text[at : at + 2 * _ISA_LENGTH].replace("\r", "").replace("\n", "")
    parts = begin.split(begin[3], _ISA_ELEMENTS)
    if len(parts) <= _ISA_ELEMENTS or len(parts[-1]) < 2:  # component separator and end
        return None
    return begin[3], parts[-1][0], parts[-1][1]


def _read_text(path: Path) -> str:
    try:
        with open_bytes(path) as file:
            content = file.read()
    except DAMAGED as error:
        raise InputError(f"{path}: {getattr(error, 'strerror', None) or error}.") from None
    return content.decode("latin-1").removeprefix("\xef\xbb\xbf")


def _skip_blanks(text: str, at: int) -> int:
    """Return the place of the next segment, after line ends and blanks."""
    while at < len(text) and text[at] in "\r\n \t":
        at += 1
    return at


def _process_segment(path: Path, number: int, elements: list[str], component: str, state: _ReaderState) -> None:
    """Update the state from one segment."""
    name = elements[0]
    value = dict(enumerate(text.strip() for text in elements))
    if name in ("ST", "HL"):
        state.within_claim = False
        if name == "ST" or value.get(3) == "20":
            state.provider, state.subscriber, state.patient = None, {}, {}
        elif value.get(3) == "22":
            state.subscriber, state.patient = {}, {}
        elif value.get(3) == "23":
            state.patient = {"is": "patient"}
    elif name == "NM1" and not state.within_claim:
        if value.get(1) == "85":
            state.provider = value.get(9) or None
        elif value.get(1) == "IL":
            state.subscriber["id"] = value.get(9) or None
    elif name == "DMG" and not state.within_claim:
        person = state.patient or state.subscriber
        person["birth_date"], person["sex"] = value.get(2) or None, value.get(3) or None
    elif name == "CLM":
        _begin_claim(value, component, state)
    elif state.within_claim:
        _process_claim_segment(value, component, state)
    elif name in ("CL1", "HI", "SV2"):
        raise InputError(f"{path}: segment {number}: {name} outside a claim.")


def _begin_claim(value: dict[int, str], component: str, state: _ReaderState) -> None:
    """Begin a claim from CLM."""
    row, person = len(state.stays), state.patient or state.subscriber
    state.within_claim, state.places = True, {DX: 0, PR: 0}
    kind, qualifier, frequency = (*value.get(5, "").split(component), "", "")[:3]
    # Qualifier B: a place of service, as professional and dental claims have it, not a type of bill.
    if qualifier == "B" or not kind:
        state.problems.flag_row("CLM05", NOT_INPATIENT, row)
    state.stays.append(
        {
            "claim_id": value.get(1) or None,
            "covered_charges_usd": value.get(2) or None,
            "hospital_id": state.provider,
            "patient_id": state.subscriber.get("id"),
            "birth_date": person.get("birth_date"),
            "sex": person.get("sex"),
            "noncovered_charges_usd": 0.0,
            "bill_type": kind + frequency if qualifier != "B" and kind else None,
        }
    )


def _process_claim_segment(value: dict[int, str], component: str, state: _ReaderState) -> None:
    """Update the current claim from one of its segments."""
    name, row, stay = value[0], len(state.stays) - 1, state.stays[-1]
    if name == "DTP" and value.get(1) == "435":
        stay["admission_date"] = value.get(3, "")[:8]
    elif name == "DTP" and value.get(1) == "434":
        stay["discharge_date"] = value.get(3, "").rpartition("-")[2]
    elif name == "CL1":
        stay["discharge_status"] = value.get(3) or None
    elif name == "HI":
        for place in range(1, len(value)):
            _process_code(value[place].split(component), row, stay, state)
    elif name == "SV2" and value.get(7):
        try:
            stay["noncovered_charges_usd"] += float(value[7])
        except ValueError:
            state.problems.flag_row("SV207", "no number, left out", row)
    elif name not in _ENVELOPE and state.unread.get(name, (0, -1))[1] != row:
        state.unread[name] = (state.unread.get(name, (0, -1))[0] + 1, row)


def _process_code(parts: list[str], row: int, stay: dict[str, Any], state: _ReaderState) -> None:
    """Add one code of HI: qualifier, code, and the POA indicator as ninth component."""
    qualifier, code = (*parts, "", "")[:2]
    if qualifier == "DR":
        stay["ms_drg_recorded"] = code
    elif qualifier in _QUALIFIERS:
        kind, principal, icd = _QUALIFIERS[qualifier]
        state.places[kind] += 1
        poa = parts[8] if len(parts) > 8 and kind == DX else None
        state.codes.append((row, kind, principal, state.places[kind], code, poa, icd))
    elif qualifier and qualifier not in _NOT_OF_THE_STAY:
        state.problems.flag_row(f"HI {qualifier}", "codes of another kind, left out", row)
