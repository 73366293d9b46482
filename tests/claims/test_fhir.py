"""FHIR: the Blue Button sample, admitting diagnoses, faults of resources, bundles."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl

from drgsim import read_claims
from drgsim.claims.layouts import map_claims
from tests.support.claim_files import as_carin, concept, reasons


def test_the_blue_button_sample(shared: Path) -> None:
    folder = shared / "real/cms_bluebutton_eob"
    claims = map_claims(folder / "eob_inpatient_11.ndjson")
    flat = pl.read_csv(folder / "inpatient_11.csv", infer_schema=False)
    assert claims.layout == "fhir"
    assert claims.admissions.height == flat.height == 11
    for row, line in zip(claims.admissions.iter_rows(named=True), flat.iter_rows(named=True), strict=True):
        diagnoses = [part.split("/") for part in line["dx"].split("|")]
        assert [row["pdx"]] == [code for code, kind, _ in diagnoses if kind == "principal"]
        assert "inpatient-" + row["claim_id"] == line["id"]
        assert row["discharge_status"] == int(line["discharge_status"])
        assert str(row["discharge_date"]) == line["end"]
        assert row["procedures"] == ([line["pr"]] if line["pr"] else [])
        others = [code for code, kind, _ in diagnoses if not kind]
        assert [code for code in row["sdx"] if code in others] == others
        assert "provider" not in row
    assert claims.admissions["ms_drg_recorded"].null_count() == 11
    assert claims.admissions["hospital_id"].to_list()[0] == "220135"


def test_admitting_diagnoses(tmp_path: Path) -> None:
    """Alone it is none of the claim; where the principal diagnosis is the admitting one too, it is principal."""

    def claim(*kinds: tuple[str, ...]) -> str:
        diagnosis = [
            {"diagnosisCodeableConcept": concept(f"A{place:03}"), "type": [concept(kind) for kind in types]}
            for place, types in enumerate(kinds)
        ]
        resource = {"resourceType": "ExplanationOfBenefit", "type": concept("60"), "diagnosis": diagnosis}
        return json.dumps(resource)

    cases = [
        (("admitting",), ("principal",)),
        (("admitting", "principal"), ()),
        (("admitting", "principal"), ("principal",)),
    ]
    (tmp_path / "eob.ndjson").write_text("\n".join(claim(*case) for case in cases))
    claims = map_claims(tmp_path / "eob.ndjson")
    assert claims.admissions.select("pdx", "sdx").rows() == [("A001", []), ("A000", ["A001"]), ("A001", ["A000"])]
    assert reasons(claims)[
        ("pdx", "admitting and principal next to another principal diagnosis, taken as secondary")
    ] == [2]


def test_lines_that_are_no_claims_are_rows_that_say_so(tmp_path: Path) -> None:
    eob = {"resourceType": "ExplanationOfBenefit", "id": "x"}
    odd = {
        **eob,
        "type": concept("40"),
        "diagnosis": [
            {"diagnosisCodeableConcept": concept("25000", "http://hl7.org/fhir/sid/icd-9-cm"), "sequence": 1},
            {"diagnosisCodeableConcept": concept("K810", "http://hl7.org/fhir/sid/icd-10-cm"), "sequence": 10**40},
            {"diagnosisReference": {}, "type": "principal"},
            "nothing",
        ],
        "procedure": [
            {"procedureCodeableConcept": concept("\ud800")},
            {"procedureCodeableConcept": concept("99213", "http://www.ama-assn.org/go/cpt")},
        ],
        "totalCost": {"value": 10**400},
        "provider": 7,
        "careTeam": [],
    }
    lines = ["not json", json.dumps(odd), "[1]", '{"resourceType": "Coverage"}', "[" * 200_000, json.dumps(eob), "NaN"]
    (tmp_path / "eob.ndjson").write_text("\n".join(lines) + "\n\n")
    claims = map_claims(tmp_path / "eob.ndjson")
    assert claims.admissions.height == 7
    assert "covered_charges_usd" not in claims.admissions.columns
    assert claims.admissions["sdx"].to_list()[1] == ["K810"]
    rows = reasons(claims)
    assert rows[("resourceType", "no ExplanationOfBenefit")] == [0, 2, 3, 4, 6]
    assert rows[("type", "no inpatient claim")] == [1, 5]
    assert rows[("code", "ICD-9 and ICD-10 codes mixed")] == [1]
    assert rows[("diagnosis", "an item without code")] == [1]
    assert rows[("procedure", "no ICD code, left out")] == [1]
    assert claims.admissions["procedures"].to_list()[1] == ["?"]
    assert ("careTeam", "not mapped, left out", 1) in claims.report.rows()


def test_a_bundle_is_its_resources(tmp_path: Path) -> None:
    resources = [json.loads(line) for line in as_carin(tmp_path).read_text().splitlines()]
    bundle = {"resourceType": "Bundle", "entry": [{"resource": one} for one in resources]}
    (tmp_path / "bundle.json").write_text(json.dumps(bundle, indent=2))
    assert read_claims(tmp_path / "bundle.json").equals(read_claims(tmp_path / "eob.ndjson"))
