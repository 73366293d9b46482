"""The same three stays written in every claim layout, and what a reader reports by row."""

from __future__ import annotations

import json
from pathlib import Path

from drgsim.claim_fields.mapping_report import Claims

# The same three stays in every layout: identifier, age, sex, status, principal with POA, others with POA, procedures.
STAYS = [
    ("101", 71, "F", 1, ("K810", "Y"), [("I10", "Y"), ("J9601", "N"), ("E119", "U")], ["0FT44ZZ", "3E0T3BZ"]),
    ("102", 30, "M", 20, ("I2109", "Y"), [], ["02703DZ"]),
    ("103", 44, "F", 6, ("A419", "N"), [("R6521", "W")], []),
]
BORN, ADMITTED, DISCHARGED = "{}-02-01", "2024-03-01", "2024-03-06"


def write_wide(path: Path, *, names: tuple[str, str, str], head: str, rows: list[str], separator: str) -> None:
    """Write STAYS with five columns of each kind; `names` are formats of a number."""
    lines = [separator.join([head, *(name.format(i) for name in names for i in range(1, 6))])]
    for start, (_, _, _, _, pdx, sdx, procedures) in zip(rows, STAYS, strict=True):
        dx, poa = zip(*[pdx, *sdx], strict=True)
        lists = [[*values, *[""] * 5][:5] for values in (dx, poa, procedures)]
        lines.append(separator.join([start, *(value for values in lists for value in values)]))
    path.write_text("\n".join(lines) + "\n")


def as_rif(folder: Path) -> Path:
    head = "CLM_ID|BENE_ID|NCH_CLM_TYPE_CD|DOB_DT|GNDR_CD|PTNT_DSCHRG_STUS_CD|CLM_ADMSN_DT|CLM_THRU_DT|PRNCPAL_DGNS_CD"
    rows = [
        f"{key}|P{key}|60|01-Feb-{2024 - age}|{'MF'.index(sex) + 1}|{status:02}|01MAR2024|20240306|{pdx[0]}"
        for key, age, sex, status, pdx, _, _ in STAYS
    ]
    names = ("ICD_DGNS_CD{}", "CLM_POA_IND_SW{}", "ICD_PRCDR_CD{}")
    write_wide(folder / "inpatient.txt", names=names, head=head, rows=rows, separator="|")
    return folder / "inpatient.txt"


def as_hcup(folder: Path) -> Path:
    rows = [f"{key},{age},{int(sex == 'F')},{status},2024,1,5" for key, age, sex, status, _, _, _ in STAYS]
    names = ("I10_DX{}", "DXPOA{}", "I10_PR{}")
    head = "KEY,AGE,FEMALE,DISPUB04,YEAR,DQTR,LOS"
    write_wide(folder / "sid.csv", names=names, head=head, rows=rows, separator=",")
    return folder / "sid.csv"


def as_long(folder: Path) -> Path:
    lines = ["Claim_ID\tage\tsex\tdischarge_status\tdischarge_date\tlos_days\ttype\tsequence\tcode\tpoa\ticd_version"]
    for key, age, sex, status, pdx, sdx, procedures in STAYS:
        start = f"{key}\t{age}\t{sex}\t{status}\t{DISCHARGED}\t5"
        lines += [f"{start}\tDX\t{i}\t{code}\t{poa}\t10" for i, (code, poa) in enumerate([pdx, *sdx], 1)][::-1]
        lines += [f"{start}\tICD-10-PCS\t{i}\t{code}\t\t10" for i, code in enumerate(procedures, 1)]
    (folder / "codes.csv").write_text("\n".join(lines) + "\n")
    return folder / "codes.csv"


def concept(code: str, system: str = "") -> dict[str, object]:
    return {"coding": [{"code": code, "system": system}]}


def as_carin(folder: Path) -> Path:
    """R4 resources of the CARIN profile, with the patients in the same file."""
    resources: list[object] = []
    for key, age, sex, status, pdx, sdx, procedures in STAYS:
        gender = {"F": "female", "M": "male"}[sex]
        born = BORN.format(2024 - age)
        resources.append({"resourceType": "Patient", "id": key, "gender": gender, "birthDate": born})
        kinds = ["principal", *["other"] * len(sdx)]
        diagnoses = [
            {
                "sequence": place + 1,
                "type": [concept(kind)],
                "diagnosisCodeableConcept": concept(code, "http://hl7.org/fhir/sid/icd-10-cm"),
                "onAdmission": concept(poa),
            }
            for place, (kind, (code, poa)) in enumerate(zip(kinds, [pdx, *sdx], strict=True), 1)
        ]
        admitting = {"sequence": 1, "type": [concept("admitting")], "diagnosisCodeableConcept": concept("R109")}
        resources.append(
            {
                "resourceType": "ExplanationOfBenefit",
                "id": f"eob-{key}",
                "identifier": [{"type": concept("uc"), "value": key}],
                "type": concept("institutional"),
                "subType": concept("inpatient"),
                "patient": {"reference": f"Patient/{key}"},
                "billablePeriod": {"start": "2024-02-28", "end": DISCHARGED},
                "provider": {"reference": "#hospital"},
                "contained": [{"id": "hospital", "identifier": [{"value": "1234567893"}]}],
                "diagnosis": [admitting, *diagnoses],
                "procedure": [
                    {
                        "sequence": place,
                        "procedureCodeableConcept": concept(code, "http://www.cms.gov/Medicare/Coding/ICD10"),
                    }
                    for place, code in enumerate(procedures, 1)
                ],
                "supportingInfo": [
                    {"category": concept("discharge-status"), "code": concept(f"{status:02}")},
                    {
                        "category": concept("admissionperiod"),
                        "timingPeriod": {"start": f"{ADMITTED}T10:00:00-05:00", "end": DISCHARGED},
                    },
                    {"category": concept("drg"), "code": concept("417")},
                ],
                "total": [
                    {"category": concept("submitted"), "amount": {"value": 1000.5, "currency": "USD"}},
                    {"category": concept("eligible"), "amount": {"value": 800, "currency": "USD"}},
                ],
            }
        )
    (folder / "eob.ndjson").write_text("\n".join(map(json.dumps, resources)))
    return folder / "eob.ndjson"


ISA = (
    "ISA*00*          *00*          *ZZ*SENDER         *ZZ*RECEIVER       *240310*1200*^*00501*000000001*0*P*:~"
    "\nGS*HC*SENDER*RECEIVER*20240310*1200*1*X*005010X223A2~\n"
)


def transaction(*segments: str) -> str:
    body = ["ST*837*0001*005010X223A2", *segments]
    return ISA + "".join(f"{line}~\n" for line in [*body, f"SE*{len(body) + 1}*0001", "GE*1*1", "IEA*1*000000001"])


def as_837(folder: Path) -> Path:
    segments = ["BHT*0019*00*1*20240310*1200*CH", "HL*1**20*1", "NM1*85*2*HOSPITAL*****XX*1234567893"]
    for place, (key, age, sex, status, pdx, sdx, procedures) in enumerate(STAYS, 2):
        segments += [f"HL*{place}*1*22*0", f"NM1*IL*1*DOE*J****MI*M{key}", f"DMG*D8*{2024 - age}0201*{sex}"]
        segments += [f"CLM*{key}*1000.5***11:A:1**A*Y*Y", "DTP*434*RD8*20240301-20240306", "DTP*435*DT*202403011000"]
        segments += [f"CL1*1*7*{status:02}", f"HI*ABK:{pdx[0]}:::::::{pdx[1]}", "HI*ABJ:R109", "HI*DR:417"]
        segments += ["*".join(["HI", *(f"ABF:{code}:::::::{poa}" for code, poa in sdx)])] if sdx else []
        first, others = procedures[:1], procedures[1:]
        segments += [f"HI*BBR:{code}:D8:20240302" for code in first]
        segments += ["*".join(["HI", *(f"BBQ:{code}:D8:20240302" for code in others)])] if others else []
        segments += ["LX*1", "SV2*0120**900.5*DA*5**100", "LX*2", "SV2*0250**100*UN*1"]
    (folder / "claims.837").write_text(transaction(*segments))
    return folder / "claims.837"


def as_json(folder: Path) -> Path:
    claims = [
        {
            "claimid": key,
            "patient_status": f"{status:02}",
            "admit_date": ADMITTED,
            "thru_date": DISCHARGED,
            "principal_dx": {"code": pdx[0], "poa": pdx[1]},
            "secondary_dxs": [{"code": code, "poa": poa} for code, poa in sdx],
            "inpatient_pxs": [{"code": code} for code in procedures],
            "patient": {"age": age, "sex": sex},
        }
        for key, age, sex, status, pdx, sdx, procedures in STAYS
    ]
    (folder / "claims.json").write_text(json.dumps(claims, indent=1))
    return folder / "claims.json"


WRITERS = {"rif": as_rif, "hcup": as_hcup, "long": as_long, "fhir": as_carin, "837i": as_837, "json": as_json}


def reasons(claims: Claims) -> dict[tuple[str, str], list[int]]:
    """Return flagged rows by field and reason, and check that the report counts the same."""
    rows: dict[tuple[str, str], list[int]] = {}
    for row, field, reason in claims.flags.iter_rows():
        rows.setdefault((field, reason), []).append(row)
    counts = {(field, reason): count for field, reason, count in claims.report.iter_rows()}
    assert {key: counts[key] for key in rows} == {key: len(found) for key, found in rows.items()}
    assert not claims.flags.height or claims.flags["row"].max() < claims.admissions.height
    return rows
