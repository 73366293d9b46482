"""FHIR ExplanationOfBenefit, Blue Button (STU3 and R4) and CARIN for Blue Button: `read_fhir(path)`.

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

from drgsim.claims.assembly import CODES, DX, PR, build_claims
from drgsim.claims.mapping_report import Claims, MappingProblems
from drgsim.claims.source_files import parse_dates, read_documents, to_text, years_between

_REVISIONS = {
    # the last part of a coding's system, or its object identifier
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
    "admitted": pl.String,
    "discharged": pl.String,
    "charges": pl.Float64,
    "not_covered": pl.Float64,
}


def read_fhir(path: Path) -> Claims:
    """Return the claims of ExplanationOfBenefit resources: NDJSON, a Bundle, or an array.

    A row each resource that is no Patient; those that are no inpatient claim, or no resource at all, are flagged.
    Age and sex come from Patient resources in the same file, if any. The identifier is the one with system `clm_id`
    or type `uc`, else the resource's own. A diagnosis of type principal is the principal one; one of type admitting
    and of no other is no diagnosis of the claim. Charges are the total (of category submitted, where several are
    given) less `nch_ip_ncvrd_chrg_amt`. Objects are read one at a time.

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
    findings = MappingProblems()
    stays: list[dict[str, Any]] = []
    codes: list[tuple[Any, ...]] = []
    patients: dict[str, tuple[str | None, str | None]] = {}
    unmapped: Counter[str] = Counter()
    for resource in _resources(read_documents(path)):
        if resource is not None and resource.get("resourceType") == "Patient":
            patients[f"Patient/{to_text(resource.get('id'))}"] = (
                to_text(resource.get("birthDate")),
                _SEXES.get(str(resource.get("gender"))),
            )
            continue
        row = len(stays)
        if resource is None or resource.get("resourceType") != "ExplanationOfBenefit":
            findings.one("resourceType", "no ExplanationOfBenefit", row)
            resource = {}
        elif not _INPATIENT & {*_codes_of(resource.get("type")), *_codes_of(resource.get("subType"))}:
            findings.one("type", "no inpatient claim", row)
        unmapped.update(resource.keys() - _MAPPED - _ADMINISTRATIVE)
        stays.append(_stay(resource))
        codes += ((row, *code) for code in _codes(resource, row, findings))
    for name, count in sorted(unmapped.items()):
        findings.whole(to_text(name) or "", "not mapped, left out", count)
    table = _typed(pl.DataFrame(stays, schema=_STAY), patients)
    return build_claims("fhir", table, pl.DataFrame(codes, schema=CODES, orient="row"), findings)


# ---------------------------------------------------------------------------------------------- elements


def _resources(objects: Iterable[dict[str, Any] | None]) -> Iterator[dict[str, Any] | None]:
    """Yield every resource, those of a Bundle one by one."""
    for value in objects:
        if value is not None and value.get("resourceType") == "Bundle":
            for entry in _list(value, "entry"):
                yield _dict(entry.get("resource")) or None
        else:
            yield value


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object, name: str) -> list[dict[str, Any]]:
    """Return the objects of a repeating element; one that does not repeat, as STU3 has some, is a list of one."""
    found = _dict(value).get(name)
    items = found if isinstance(found, list) else [found]
    return [item for item in items if isinstance(item, dict)]


def _codes_of(concept: object) -> list[str]:
    """Return the codes of a CodeableConcept, of all its codings."""
    return [code for coding in _list(concept, "coding") if (code := to_text(coding.get("code")))]


def _name(text: object) -> str:
    """Return the last part of an address, which is the name of a RIF variable or of a code."""
    return str(text).rstrip("/").rpartition("/")[2].lower()


def _amount(value: object) -> float | None:
    """Return the value of an amount; one that is no number, or not finite, is none."""
    number = _dict(value).get("value")
    if isinstance(number, bool) or not isinstance(number, int | float) or not abs(number) < _HIGHEST_AMOUNT:
        return None
    return float(number)


def _supporting(resource: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return supporting information by the names of its categories."""
    items = [*_list(resource, "supportingInfo"), *_list(resource, "information")]
    return {_name(code): item for item in reversed(items) for code in _codes_of(item.get("category"))}


# ---------------------------------------------------------------------------------------------- claims


def _stay(resource: Mapping[str, Any]) -> dict[str, Any]:
    information = _supporting(resource)
    coded = {name: next(iter(_codes_of(item.get("code"))), None) for name, item in information.items()}
    extensions = {_name(item.get("url")): item for item in _list(resource, "extension")}
    period = (
        _dict(resource.get("hospitalization"))
        or _dict(information.get("admissionperiod", {}).get("timingPeriod"))
        or _dict(resource.get("billablePeriod"))
    )
    package = [code for item in _list(resource, "diagnosis") for code in _codes_of(item.get("packageCode"))]
    return {
        "claim_id": _identifier(resource),
        "patient_id": to_text(_dict(resource.get("patient")).get("reference")),
        "hospital_id": _provider(resource),
        "discharge_status": coded.get("discharge-status") or coded.get("ptnt_dschrg_stus_cd"),
        "ms_drg_recorded": coded.get("drg") or coded.get("clm_drg_cd") or next(iter(package), None),
        "admitted": to_text(period.get("start")),
        "discharged": to_text(period.get("end")) or to_text(_dict(resource.get("billablePeriod")).get("end")),
        "charges": _total(resource),
        "not_covered": _not_covered(information, extensions),
    }


def _identifier(resource: Mapping[str, Any]) -> str | None:
    named: dict[str, str | None] = {}
    for item in _list(resource, "identifier"):
        for name in (_name(item.get("system")), *_codes_of(item.get("type"))):
            named.setdefault(name, to_text(item.get("value")))
    return named.get("clm_id") or named.get("uc") or to_text(resource.get("id"))


def _provider(resource: Mapping[str, Any]) -> str | None:
    """Return the provider's CCN, or whatever identifies it."""
    provider = _dict(resource.get("provider"))
    reference = str(provider.get("reference", "")).lstrip("#")
    inside = [item for item in _list(resource, "contained") if reference and item.get("id") == reference]
    found = [identifier for item in (provider, *inside) for identifier in _list(item, "identifier")]
    ccn = [item for item in found if "PRN" in _codes_of(item.get("type")) or _name(item.get("system")) == "prvdr_num"]
    return next((text for item in (*ccn, *found) if (text := to_text(item.get("value")))), None)


def _total(resource: Mapping[str, Any]) -> float | None:
    """Return what was charged in all: STU3's totalCost; in R4 the total of category submitted, or the only one."""
    if "totalCost" in resource:
        return _amount(resource["totalCost"])
    totals = _list(resource, "total")
    submitted = [
        item
        for item in totals
        if {"submitted", "clm_tot_chrg_amt"} & {_name(c) for c in _codes_of(item.get("category"))}
    ]
    chosen = submitted or (totals if len(totals) == 1 else [])
    return _amount(chosen[0].get("amount")) if chosen else None


def _not_covered(information: Mapping[str, Any], extensions: Mapping[str, Any]) -> float | None:
    name = "nch_ip_ncvrd_chrg_amt"
    return _amount(_dict(extensions.get(name)).get("valueMoney")) or _amount(
        _dict(information.get(name)).get("valueQuantity")
    )


def _codes(resource: Mapping[str, Any], row: int, findings: MappingProblems) -> Iterator[tuple[Any, ...]]:
    """Yield kind, principal, sequence, code, POA and revision of each diagnosis and procedure of the stay."""
    diagnoses = [(item, _types(item)) for item in _list(resource, "diagnosis")]
    named = [types for _, types in diagnoses if types & _PRINCIPAL]
    # Blue Button names the first listed diagnosis principal too, beside admitting, where it differs from the principal.
    sure = [types for types in named if not types & _NOT_OF_THE_STAY]
    if len(named) > len(sure) > 0:
        findings.one("pdx", "admitting and principal beside a principal diagnosis, taken as secondary", row)
    left_out = [item for item, types in diagnoses if types and types <= _NOT_OF_THE_STAY]
    before = sorted(number for item in left_out if (number := _sequence(item)) is not None)
    for item, types in diagnoses:
        if types and types <= _NOT_OF_THE_STAY:
            continue
        number = _sequence(item)
        # A diagnosis that is left out leaves no gap among the others.
        sequence = None if number is None else number - bisect_left(before, number)
        admission = _codes_of(item.get("onAdmission")) or [
            code for extension in _list(item, "extension") for code in _poa(extension)
        ]
        principal = types in (sure or named)
        yield from _coded(
            item, "diagnosis", DX, sequence, next(iter(admission), None), row, findings, principal=principal
        )
    for item in _list(resource, "procedure"):
        yield from _coded(item, "procedure", PR, _sequence(item), None, row, findings, principal=False)


def _types(item: Mapping[str, Any]) -> set[str]:
    return {_name(code) for concept in _list(item, "type") for code in _codes_of(concept)}


def _poa(extension: Mapping[str, Any]) -> Iterator[str]:
    """Yield the POA indicator of an STU3 extension."""
    code = to_text(_dict(extension.get("valueCoding")).get("code"))
    if code and _name(extension.get("url")).startswith("clm_poa_ind_sw"):
        yield code


def _coded(
    item: Mapping[str, Any],
    name: str,
    kind: str,
    sequence: int | None,
    poa: str | None,
    row: int,
    findings: MappingProblems,
    *,
    principal: bool,
) -> Iterator[tuple[Any, ...]]:
    """Yield the code of one item, of its ICD coding where it has several."""
    codings = [coding for coding in _list(item.get(f"{name}CodeableConcept"), "coding") if to_text(coding.get("code"))]
    chosen = [coding for coding in codings if _name(coding.get("system")) in _REVISIONS] or [
        coding for coding in codings if not coding.get("system")
    ]
    if chosen:
        icd = _REVISIONS.get(_name(chosen[0].get("system")))
        yield kind, principal, sequence, to_text(chosen[0]["code"]), poa, icd
    elif codings:
        findings.one(name, "no ICD code, left out", row)
    else:
        findings.one(name, "an item without code", row)


def _sequence(item: Mapping[str, Any]) -> int | None:
    number = item.get("sequence")
    return number if isinstance(number, int) and not isinstance(number, bool) and abs(number) < 1 << 31 else None


def _typed(stays: pl.DataFrame, patients: Mapping[str, tuple[str | None, str | None]]) -> pl.DataFrame:
    admitted, discharged = parse_dates(pl.col("admitted")), parse_dates(pl.col("discharged"))
    los = (discharged - admitted).dt.total_days()
    typed = stays.select(
        "claim_id",
        "patient_id",
        "hospital_id",
        "discharge_status",
        "ms_drg_recorded",
        discharge_date="discharged",
        los_days=pl.when(los >= 0).then(los),
        covered_charges_usd=pl.col("charges") - pl.col("not_covered").fill_null(0.0),
    )
    if not patients:
        return typed
    known = pl.DataFrame(
        [(name, *facts) for name, facts in patients.items()],
        schema={"patient_id": pl.String, "born": pl.String, "sex": pl.String},
        orient="row",
    )
    joined = stays.join(known, on="patient_id", how="left", maintain_order="left")
    return typed.hstack(joined.select(years_between(parse_dates(pl.col("born")), admitted).alias("age"), "sex"))
