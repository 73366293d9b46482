"""FHIR ExplanationOfBenefit of Blue Button (STU3 and R4) and CARIN: `read_fhir(path)`.

Source: CARIN Consumer Directed Payer Data Exchange, profile C4BB ExplanationOfBenefit Inpatient Institutional; CMS
Blue Button 2.0 data dictionary, whose elements carry the names of the RIF variables.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from drgsim.claim_fields.assembly import build_claims
from drgsim.claim_fields.bill_rules import NOT_INPATIENT, flag_bills
from drgsim.claim_fields.code_cells import DX, PR
from drgsim.claim_fields.code_lists import CODES
from drgsim.claim_fields.mapping_report import Claims, MappingProblems
from drgsim.claim_fields.source_files import read_documents, to_text

_REVISIONS = {
    # last part of a coding's system, or its object identifier: revision of ICD
    **dict.fromkeys(("icd-9-cm", "icd-9", "icd9cm", "icd9"), 9),
    **dict.fromkeys(("urn:oid:2.16.840.1.113883.6.103", "urn:oid:2.16.840.1.113883.6.104"), 9),
    **dict.fromkeys(("icd-10", "icd-10-cm", "icd-10-pcs", "icd10"), 10),
    **dict.fromkeys(("urn:oid:2.16.840.1.113883.6.90", "urn:oid:2.16.840.1.113883.6.4"), 10),
}
_PRINCIPAL = {"principal", "primary"}
_NOT_OF_THE_STAY = {"admitting", "patientreasonforvisit"}
_INPATIENT = {"INPATIENT", "inpatient", "inpatient-facility", "60", "61"}
_SEXES = {"male": "M", "female": "F"}
_MAPPED = {
    *("resourceType", "id", "identifier", "type", "subType", "patient", "billablePeriod", "hospitalization"),
    *("diagnosis", "procedure", "supportingInfo", "information", "extension", "provider", "contained"),
    *("totalCost", "total"),
}
_HIGHEST_AMOUNT = 1e12
_ADMINISTRATIVE = {"meta", "status", "use", "created", "outcome", "text", "implicitRules", "language"}
_STAY = {
    "claim_id": pl.String,
    "patient_id": pl.String,
    "hospital_id": pl.String,
    "discharge_status": pl.String,
    "ms_drg_recorded": pl.String,
    "admission_date": pl.String,
    "discharge_date": pl.String,
    "covered_charges_usd": pl.Float64,
    "noncovered_charges_usd": pl.Float64,
    "birth_date": pl.String,
    "sex": pl.String,
    "status": pl.String,
    "use": pl.String,
}


def read_fhir(path: Path) -> Claims:
    """Return the claims of ExplanationOfBenefit resources: NDJSON, a Bundle, or an array.

    Every resource except Patient is a row; those that are no inpatient claim, or no resource, are flagged. Age and sex
    come from Patient resources in the same file, if any. The identifier is the one with system `clm_id` or type `uc`,
    else the resource's id. A diagnosis of type principal is the principal diagnosis; one of type admitting alone is
    left out. Charges are the total (of category submitted, where there are several) less `nch_ip_ncvrd_chrg_amt`.
    Objects are read one at a time.

    Raises:
        InputError: the file cannot be read.

    >>> import json, tempfile
    >>> path = Path(tempfile.mkdtemp()) / "eob.ndjson"
    >>> code = lambda text, kind: {"diagnosisCodeableConcept": {"coding": [{"code": text}]}, "type": [
    ...     {"coding": [{"code": kind}]}]}
    >>> resource = {"resourceType": "ExplanationOfBenefit", "id": "7", "type": {"coding": [{"code": "60"}]},
    ...     "diagnosis": [code("I10", "other"), code("K810", "principal")]}
    >>> _ = path.write_text(json.dumps(resource))
    >>> read_fhir(path).admissions.select("pdx", "sdx").row(0)
    ('K810', ['I10'])
    """
    problems = MappingProblems()
    stays: list[dict[str, Any]] = []
    codes: list[tuple[Any, ...]] = []
    patients: dict[str, tuple[str | None, str | None]] = {}
    unmapped: Counter[str] = Counter()
    for url, resource in _iterate_resources(read_documents(path)):
        if resource is not None and resource.get("resourceType") == "Patient":
            facts = _parse_patient(resource)
            patients[f"Patient/{to_text(resource.get('id'))}"] = facts
            patients.setdefault(url or "", facts)
            continue
        row = len(stays)
        if resource is None or resource.get("resourceType") != "ExplanationOfBenefit":
            problems.flag_row("resourceType", "no ExplanationOfBenefit", row)
            resource = {}
        elif not _INPATIENT & {*_list_codes(resource.get("type")), *_list_codes(resource.get("subType"))}:
            problems.flag_row("type", NOT_INPATIENT, row)
        unmapped.update(resource.keys() - _MAPPED - _ADMINISTRATIVE)
        stays.append(_parse_stay(resource) | _find_contained_patient(resource))
        codes += ((row, *code) for code in _parse_codes(resource, row, problems))
    for name, count in sorted(unmapped.items()):
        problems.report_file(to_text(name) or "", "not mapped, left out", count)
    table = _join_patients(stays, patients, problems)
    flag_bills(table.select("status", "use"), {"status": "status", "use": "use"}, problems)
    return build_claims("fhir", table.drop("status", "use"), pl.DataFrame(codes, schema=CODES, orient="row"), problems)


# ---------------------------------------------------------------------------------------------- elements


def _iterate_resources(
    objects: Iterable[dict[str, Any] | None],
) -> Iterator[tuple[str | None, dict[str, Any] | None]]:
    """Yield every resource with its fullUrl; those of a Bundle one by one."""
    for value in objects:
        if value is not None and value.get("resourceType") == "Bundle":
            for entry in _to_objects(value, "entry"):
                yield to_text(entry.get("fullUrl")), _to_object(entry.get("resource")) or None
        else:
            yield None, value


def _to_object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _to_objects(value: object, name: str) -> list[dict[str, Any]]:
    """Return the objects of an element as a list, also where it does not repeat (some of STU3)."""
    found = _to_object(value).get(name)
    items = found if isinstance(found, list) else [found]
    return [item for item in items if isinstance(item, dict)]


def _list_codes(concept: object) -> list[str]:
    """Return the codes of all codings of a CodeableConcept."""
    return [code for coding in _to_objects(concept, "coding") if (code := to_text(coding.get("code")))]


def _last_part(text: object) -> str:
    """Return the last part of an address: the name of a RIF variable or of a code."""
    return str(text).rstrip("/").rpartition("/")[2].lower()


def _parse_amount(value: object) -> float | None:
    """Return the value of an amount; None where it is no finite number."""
    number = _to_object(value).get("value")
    if isinstance(number, bool) or not isinstance(number, int | float) or not abs(number) < _HIGHEST_AMOUNT:
        return None
    return float(number)


def _collect_supporting(resource: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return supporting information by the name of its category."""
    items = [*_to_objects(resource, "supportingInfo"), *_to_objects(resource, "information")]
    return {_last_part(code): item for item in reversed(items) for code in _list_codes(item.get("category"))}


# ---------------------------------------------------------------------------------------------- claims


def _parse_stay(resource: Mapping[str, Any]) -> dict[str, Any]:
    information = _collect_supporting(resource)
    coded = {name: next(iter(_list_codes(item.get("code"))), None) for name, item in information.items()}
    extensions = {_last_part(item.get("url")): item for item in _to_objects(resource, "extension")}
    period = (
        _to_object(resource.get("hospitalization"))
        or _to_object(information.get("admissionperiod", {}).get("timingPeriod"))
        or _to_object(resource.get("billablePeriod"))
    )
    package = [code for item in _to_objects(resource, "diagnosis") for code in _list_codes(item.get("packageCode"))]
    return {
        "claim_id": _find_identifier(resource),
        "status": to_text(resource.get("status")),
        "use": to_text(resource.get("use")),
        "patient_id": to_text(_to_object(resource.get("patient")).get("reference")),
        "hospital_id": _find_provider(resource),
        "discharge_status": coded.get("discharge-status") or coded.get("ptnt_dschrg_stus_cd"),
        "ms_drg_recorded": coded.get("drg") or coded.get("clm_drg_cd") or next(iter(package), None),
        "admission_date": to_text(period.get("start")),
        "discharge_date": to_text(period.get("end")) or to_text(_to_object(resource.get("billablePeriod")).get("end")),
        "covered_charges_usd": _find_total(resource),
        "noncovered_charges_usd": _find_not_covered(information, extensions),
    }


def _find_identifier(resource: Mapping[str, Any]) -> str | None:
    values: dict[str, str | None] = {}
    for item in _to_objects(resource, "identifier"):
        for name in (_last_part(item.get("system")), *_list_codes(item.get("type"))):
            values.setdefault(name, to_text(item.get("value")))
    return values.get("clm_id") or values.get("uc") or to_text(resource.get("id"))


def _find_provider(resource: Mapping[str, Any]) -> str | None:
    """Return the provider's CCN, else any identifier of it."""
    provider = _to_object(resource.get("provider"))
    reference = str(provider.get("reference", "")).lstrip("#")
    contained = [item for item in _to_objects(resource, "contained") if reference and item.get("id") == reference]
    found = [identifier for item in (provider, *contained) for identifier in _to_objects(item, "identifier")]
    ccn = [
        item
        for item in found
        if "PRN" in _list_codes(item.get("type")) or _last_part(item.get("system")) == "prvdr_num"
    ]
    return next((text for item in (*ccn, *found) if (text := to_text(item.get("value")))), None)


def _find_total(resource: Mapping[str, Any]) -> float | None:
    """Return total charges: totalCost (STU3), or the total submitted or only total (R4)."""
    if "totalCost" in resource:
        return _parse_amount(resource["totalCost"])
    totals = _to_objects(resource, "total")
    submitted = [
        item
        for item in totals
        if {"submitted", "clm_tot_chrg_amt"} & {_last_part(c) for c in _list_codes(item.get("category"))}
    ]
    chosen = submitted or (totals if len(totals) == 1 else [])
    return _parse_amount(chosen[0].get("amount")) if chosen else None


def _find_not_covered(information: Mapping[str, Any], extensions: Mapping[str, Any]) -> float | None:
    name = "nch_ip_ncvrd_chrg_amt"
    return _parse_amount(_to_object(extensions.get(name)).get("valueMoney")) or _parse_amount(
        _to_object(information.get(name)).get("valueQuantity")
    )


def _parse_codes(resource: Mapping[str, Any], row: int, problems: MappingProblems) -> Iterator[tuple[Any, ...]]:
    """Yield kind, principal, sequence, code, POA and revision of each code of the stay."""
    diagnoses = [(item, _list_types(item)) for item in _to_objects(resource, "diagnosis")]
    principals = [types for _, types in diagnoses if types & _PRINCIPAL]
    # Where the admitting diagnosis is listed first and differs from the principal one, Blue Button marks it as both.
    unambiguous = [types for types in principals if not types & _NOT_OF_THE_STAY]
    if len(principals) > len(unambiguous) > 0:
        problems.flag_row("pdx", "admitting and principal next to another principal diagnosis, taken as secondary", row)
    left_out = [item for item, types in diagnoses if types and types <= _NOT_OF_THE_STAY]
    before = sorted(number for item in left_out if (number := _parse_sequence(item)) is not None)
    for item, types in diagnoses:
        if types and types <= _NOT_OF_THE_STAY:
            continue
        number = _parse_sequence(item)
        # A diagnosis that is left out makes no gap in the numbers of the others.
        sequence = None if number is None else number - bisect_left(before, number)
        admission = _list_codes(item.get("onAdmission")) or [
            code for extension in _to_objects(item, "extension") for code in _parse_poa(extension)
        ]
        if code := _find_icd_code(item, "diagnosis", row, problems):
            principal = types in (unambiguous or principals)
            yield DX, principal, sequence, code[0], next(iter(admission), None), code[1]
    for item in _to_objects(resource, "procedure"):
        if code := _find_icd_code(item, "procedure", row, problems):
            yield PR, False, _parse_sequence(item), code[0], None, code[1]


def _list_types(item: Mapping[str, Any]) -> set[str]:
    return {_last_part(code) for concept in _to_objects(item, "type") for code in _list_codes(concept)}


def _parse_poa(extension: Mapping[str, Any]) -> Iterator[str]:
    """Yield the POA indicator of an STU3 extension."""
    code = to_text(_to_object(extension.get("valueCoding")).get("code"))
    if code and _last_part(extension.get("url")).startswith("clm_poa_ind_sw"):
        yield code


def _find_icd_code(
    item: Mapping[str, Any], name: str, row: int, problems: MappingProblems
) -> tuple[str | None, int | None] | None:
    """Return the ICD code of an item and its revision; None, and a flag, where it has none."""
    codings = [
        coding for coding in _to_objects(item.get(f"{name}CodeableConcept"), "coding") if to_text(coding.get("code"))
    ]
    chosen = [coding for coding in codings if _last_part(coding.get("system")) in _REVISIONS] or [
        coding for coding in codings if not coding.get("system")
    ]
    if chosen:
        return to_text(chosen[0]["code"]), _REVISIONS.get(_last_part(chosen[0].get("system")))
    problems.flag_row(name, "no ICD code, left out" if codings else "an item without code", row)
    return None


def _parse_sequence(item: Mapping[str, Any]) -> int | None:
    number = item.get("sequence")
    return number if isinstance(number, int) and not isinstance(number, bool) and abs(number) < 1 << 31 else None


def _parse_patient(resource: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Return the birth date and sex of a Patient."""
    return to_text(resource.get("birthDate")), _SEXES.get(str(resource.get("gender")))


def _find_contained_patient(resource: Mapping[str, Any]) -> dict[str, str | None]:
    """Return the birth date and sex of the Patient that a resource contains, if any."""
    reference = str(_to_object(resource.get("patient")).get("reference", ""))
    for item in _to_objects(resource, "contained"):
        if reference.startswith("#") and item.get("id") == reference[1:] and item.get("resourceType") == "Patient":
            return dict(zip(("birth_date", "sex"), _parse_patient(item), strict=True))
    return {}


def _join_patients(
    stays: list[dict[str, Any]], patients: Mapping[str, tuple[str | None, str | None]], problems: MappingProblems
) -> pl.DataFrame:
    """Return stays with birth dates and sexes of the Patient resources that they refer to."""
    for row, stay in enumerate(stays):
        reference = stay["patient_id"]
        if reference is None or not patients or stay.get("birth_date") or stay.get("sex"):
            continue
        facts = patients.get(reference) or patients.get(_name_patient(reference))
        if facts:
            stay["birth_date"], stay["sex"] = facts
        else:
            problems.flag_row("patient", "refers to a Patient that is not in the file", row)
    return pl.DataFrame(stays, schema=_STAY)


def _name_patient(reference: str) -> str:
    """Return a reference as type and id, without server, version and URN.

    >>> _name_patient("https://fhir.example.org/r4/Patient/p1/_history/2")
    'Patient/p1'
    """
    bare = reference.partition("/_history/")[0].partition("?")[0].rstrip("/")
    return f"Patient/{bare.rpartition('/')[2].rpartition(':')[2]}"
