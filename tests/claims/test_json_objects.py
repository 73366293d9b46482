"""Claims as JSON objects: fifty published ones, and faults."""

from __future__ import annotations

import json
from pathlib import Path

from drgsim import group
from drgsim.claims.layouts import map_claims
from tests.support.claim_files import reasons


def test_the_fifty_dirty_claims(shared: Path) -> None:
    path = shared / "real/pydrg_claims/claims.jsonl"
    claims = map_claims(path)
    source = [json.loads(line) for line in path.read_text().splitlines()]
    assert claims.layout == "json"
    assert claims.admissions.height == len(source) == 50
    for row, claim in zip(claims.admissions.iter_rows(named=True), source, strict=True):
        assert row["claim_id"] == claim["claimid"]
        assert (row["pdx"], row["pdx_poa"]) == (claim["principal_dx"]["code"], claim["principal_dx"]["poa"])
        assert row["sdx"] == [one["code"] for one in claim.get("secondary_dxs", [])]
        assert row["procedures"] == [one["code"] for one in claim.get("inpatient_pxs", [])]
        assert (row["age"], row["sex"]) == (claim["patient"]["age"], claim["patient"]["sex"])
        assert (row["los_days"], row["discharge_status"]) == (claim["los"], int(claim["patient_status"]))
    grouped = group(claims.admissions, version="43.1", detail=True)
    diagnoses = [*grouped["pdx_valid"], *(valid for row in grouped["sdx_valid"] for valid in row)]
    procedures = [valid for row in grouped["proc_valid"] for valid in row]
    # PROVENANCE: 7 of 92 diagnoses and 4 of 23 procedures are no codes of fiscal years 2025 and 2026.
    assert (len(diagnoses), diagnoses.count(False)) == (92, 7)
    assert procedures.count(False) == 4
    assert claims.flags.is_empty()


def test_faults_of_json_claims(tmp_path: Path) -> None:
    lines = [
        '{"claimid": 5, "principal_dx": {"code": "K810"}, "patient": [], "los": 2.5, "memo": 1}',
        "{",
        '{"claimid": "b", "secondary_dxs": [{"code": 7}, {}, "I10"], "thru_date": "2024-13-01"}',
    ]
    (tmp_path / "claims.jsonl").write_text("\n".join(lines))
    claims = map_claims(tmp_path / "claims.jsonl")
    assert claims.admissions["claim_id"].to_list() == ["5", None, "b"]
    assert claims.admissions["pdx"].to_list() == ["K810", None, None]
    assert claims.admissions["sdx"].to_list() == [[], [], ["7"]]
    rows = reasons(claims)
    assert rows[("claim", "no JSON object")] == [1]
    assert ("memo", "not mapped, left out", 1) in claims.report.rows()
    assert rows[("los_days", "unreadable, left blank")] == [0]
    assert rows[("secondary_dxs", "an item without code")] == [2]
    assert ("age", "not in the file", 3) in claims.report.rows()
