"""Claims as JSON objects, one a line, with codes as objects: `read_json(path)`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from drgsim.claim_fields.assembly import build_claims
from drgsim.claim_fields.bill_rules import flag_bills
from drgsim.claim_fields.code_cells import DX, PR
from drgsim.claim_fields.code_lists import CODES
from drgsim.claim_fields.mapping_report import Claims, MappingProblems
from drgsim.claim_fields.source_files import read_documents, to_text

_SCALARS = {
    "claim_id": "claimid",
    "discharge_status": "patient_status",
    "discharge_date": "thru_date",
    "admission_date": "admit_date",
    "los_days": "los",
    "covered_charges_usd": "total_charges",
    "hospital_id": "provider_id",
}
_CODES = {"principal_dx": (DX, True), "secondary_dxs": (DX, False), "inpatient_pxs": (PR, False)}
_LEFT_OUT = ("admit_dx", "from_date")
_BILLS = {"bill_type": "bill_type", "frequency": "frequency_code", "claim_type": "claim_type"}
_OF_PATIENT = ("age", "sex")


def is_json_claim(value: Mapping[str, Any]) -> bool:
    """Return whether an object is a claim of this layout."""
    return "principal_dx" in value


def read_json(path: Path) -> Claims:
    r"""Return claims written as JSON objects, one a line or all in one array.

    A claim has `claimid`, `patient_status`, `admit_date`, `thru_date`, `los`, `principal_dx` and `secondary_dxs`
    (objects with `code` and `poa`), `inpatient_pxs` (objects with `code`) and `patient` (`age`, `sex`); any of them
    may be missing, and its row is flagged. A line that is no object becomes a flagged row of nulls. Codes may have
    dots. The admitting diagnosis (`admit_dx`) is left out.

    Raises:
        InputError: the file cannot be read.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "claims.jsonl"
    >>> _ = path.write_text('{"principal_dx": {"code": "K81.0", "poa": "Y"}, "patient": {"age": 71}}\n')
    >>> read_json(path).admissions.select("age", "pdx", "pdx_poa").row(0)
    (71, 'K81.0', 'Y')
    """
    problems = MappingProblems()
    stays: list[dict[str, str | None]] = []
    codes: list[tuple[Any, ...]] = []
    bills: list[dict[str, str | None]] = []
    unmapped: Counter[str] = Counter()
    for row, claim in enumerate(read_documents(path)):
        if claim is None:
            problems.flag_row("claim", "no JSON object", row)
            claim = {}
        value = claim.get("patient")
        patient = value if isinstance(value, dict) else {}
        unmapped.update(claim.keys() - {*_SCALARS.values(), *_CODES, *_LEFT_OUT, "patient", *_BILLS.values()})
        bills.append({ours: _to_scalar_text(claim.get(theirs)) for ours, theirs in _BILLS.items()})
        stay = {ours: _to_scalar_text(claim.get(theirs)) for ours, theirs in _SCALARS.items()}
        stays.append({**stay, **{name: _to_scalar_text(patient.get(name)) for name in _OF_PATIENT}})
        codes += ((row, *code) for name in _CODES for code in _parse_codes(claim, name, row, problems))
    for name, count in sorted(unmapped.items()):
        problems.report_file(to_text(name) or "", "not mapped, left out", count)
    table = pl.DataFrame(stays, schema=dict.fromkeys([*_SCALARS, *_OF_PATIENT], pl.String))
    others = [name for name in ("covered_charges_usd", "hospital_id") if table[name].count()]
    table = table.select(
        "claim_id", *_OF_PATIENT, "discharge_status", "los_days", "discharge_date", "admission_date", *others
    )
    flag_bills(pl.DataFrame(bills, schema=dict.fromkeys(_BILLS, pl.String)), _BILLS, problems)
    return build_claims("json", table, pl.DataFrame(codes, schema=CODES, orient="row"), problems)


# ---------------------------------------------------------------------------------------------- helpers


def _to_scalar_text(value: object) -> str | None:
    return repr(value) if isinstance(value, float) else to_text(value)


def _parse_codes(claim: Mapping[str, Any], name: str, row: int, problems: MappingProblems) -> Iterator[tuple[Any, ...]]:
    """Yield kind, principal, sequence, code, POA and revision of each code of one field."""
    kind, principal = _CODES[name]
    found = claim.get(name)
    for item in found if isinstance(found, list) else [] if found is None else [found]:
        code = to_text(item.get("code")) if isinstance(item, dict) else None
        if code is None:
            problems.flag_row(name, "an item without code", row)
        else:
            yield kind, principal, None, code, to_text(item.get("poa")), None
