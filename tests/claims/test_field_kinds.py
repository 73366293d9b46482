"""The same claims written in every way people write them, in every layout, are the same admissions."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drgsim.claim_fields.mapping_report import Claims
from drgsim.claims.layouts import map_claims, map_table
from drgsim.exceptions import InputError
from drgsim.grouping.grouper import group
from tests.support.claim_files import concept, reasons, transaction

# I21.09 with J81.0 (an MCC) and 02703DZ; F10.239 alone; S72.001A with 0SRR0JZ.
STAYS: list[dict[str, Any]] = [
    {"id": "A-1", "age": 63, "sex": "M", "status": 3, "los": 6, "out": "2025-10-03", "charges": 131370.09,
     "dx": [("I2109", "Y"), ("J810", "N"), ("E119", "Y")], "pr": ["02703DZ", "4A023N7"]},
    {"id": "A-2", "age": 48, "sex": "F", "status": 1, "los": 3, "out": "2026-01-15", "charges": 20500.0,
     "dx": [("F10239", "Y")], "pr": []},
    {"id": "A-3", "age": 81, "sex": "F", "status": 62, "los": 5, "out": "2026-02-28", "charges": 88000.5,
     "dx": [("S72001A", "Y"), ("I10", "Y")], "pr": ["0SRR0JZ"]},
]  # fmt: skip
N = 4


def written(rows: list[list[str]], separator: str = ",") -> str:
    text = io.StringIO()
    csv.writer(text, delimiter=separator, lineterminator="\n").writerows(rows)
    return text.getvalue()


def plain(kind: str, value: Any) -> str:
    return str(value)


def spreadsheet(kind: str, value: Any) -> str:
    """As a spreadsheet or a data frame writes values."""
    day = dt.date.fromisoformat(value) if kind == "out" else None
    return {
        "age": lambda: f"{value}.0",
        "los": lambda: f"{value}.0",
        "status": lambda: f"{value:02} - a place",
        "sex": lambda: {"M": "Male", "F": "female"}[value],
        "out": lambda: f"{day:%m/%d/%Y}",
        "charges": lambda: f"${value:,.2f}",
        "dx": lambda: f" {value[:3].lower()}.{value[3:]} " if len(value) > 3 else f"{value.lower()} ",
        "poa": lambda: f"{value.lower()} ",
    }.get(kind, lambda: str(value))()


def statistics(kind: str, value: Any) -> str:
    """As statistical packages write values."""
    day = dt.date.fromisoformat(value) if kind == "out" else None
    return {
        "sex": lambda: {"M": "1", "F": "2"}[value],
        "status": lambda: f"{value:02}",
        "out": lambda: f"{day:%d%b%Y}".upper(),
        "charges": lambda: f"{value:.2f}",
        "poa": lambda: {"Y": "Yes", "N": "No"}[value],
    }.get(kind, lambda: str(value))()


STYLES: dict[str, Callable[[str, Any], str]] = {"plain": plain, "spreadsheet": spreadsheet, "statistics": statistics}
Style = Callable[[str, Any], str]


def padded(values: list[str]) -> list[str]:
    return [*values, *[""] * N][:N]


def as_wide(folder: Path, style: Style) -> Path:
    head = ["claim_id", "age", "sex", "discharge_status", "los_days", "discharge_date", "covered_charges_usd"]
    head += [f"{name}{i}" for name in ("Diagnosis_", "POA_", "Procedure_Code_") for i in range(1, N + 1)]
    rows = [head]
    for stay in STAYS:
        row = [style(name, stay[name]) for name in ("id", "age", "sex", "status", "los", "out", "charges")]
        row += padded([style("dx", code) for code, _ in stay["dx"]])
        row += padded([style("poa", poa) for _, poa in stay["dx"]]) + padded([style("pr", code) for code in stay["pr"]])
        rows.append(row)
    (folder / "wide.csv").write_text(written(rows, ";"))
    return folder / "wide.csv"


def as_lists(folder: Path, style: Style) -> Path:
    """One row an admission, codes with their POA indicators in one cell."""
    rows = [["claim_id", "age", "sex", "discharge_status", "los_days", "discharge_date", "covered_charges_usd", "pdx",
             "sdx", "procedures", "sdx_poa"]]  # fmt: skip
    for stay in STAYS:
        row = [style(name, stay[name]) for name in ("id", "age", "sex", "status", "los", "out", "charges")]
        first, *others = stay["dx"]
        row += [f"{style('dx', first[0]).strip()} ({first[1]})"]
        row += [json.dumps([style("dx", code).strip() for code, _ in others])]
        row += ["{" + ",".join(style("pr", code) for code in stay["pr"]) + "}"]
        row += [";".join(style("poa", poa) for _, poa in others)]
        rows.append(row)
    (folder / "lists.csv").write_text(written(rows, "\t"))
    return folder / "lists.csv"


def as_long(folder: Path, style: Style) -> Path:
    rows = [["visit_id", "code_type", "seq", "icd_code", "poa_indicator", "version", "age", "sex", "discharge_status",
             "los_days", "discharge_date", "covered_charges_usd"]]  # fmt: skip
    for stay in STAYS:
        end = [style(name, stay[name]) for name in ("age", "sex", "status", "los", "out", "charges")]
        for i, (code, poa) in enumerate(stay["dx"], 1):
            rows.append([stay["id"], "Diagnosis", f"{i}.0", style("dx", code), style("poa", poa), "ICD-10-CM", *end])
        for i, code in enumerate(stay["pr"], 1):
            rows.append([stay["id"], "PX", f"{i}.0", style("pr", code), "", "10.0", *end])
    (folder / "long.txt").write_text(written(rows, "|"))
    return folder / "long.txt"


def as_rif(folder: Path, style: Style) -> Path:
    head = ["CLM_ID", "NCH_CLM_TYPE_CD", "PTNT_DSCHRG_STUS_CD", "CLM_ADMSN_DT", "NCH_BENE_DSCHRG_DT", "DOB_DT"]
    head += ["GNDR_CD", "CLM_TOT_CHRG_AMT", "PRNCPAL_DGNS_CD"]
    head += [f"ICD_DGNS_CD{i:02}" for i in range(1, N + 1)] + [f"CLM_POA_IND_SW{i:02}" for i in range(1, N + 1)]
    head += [f"ICD_PRCDR_CD{i}" for i in range(1, N + 1)]
    rows = [head]
    for stay in STAYS:
        out = dt.date.fromisoformat(stay["out"])
        day = (out - dt.timedelta(stay["los"])).isoformat()
        row = [stay["id"], "60", style("status", stay["status"]), style("out", day), style("out", stay["out"])]
        row += [style("out", f"{dt.date.fromisoformat(day).year - stay['age']}-01-01"), style("sex", stay["sex"])]
        row += [style("charges", stay["charges"]), style("dx", stay["dx"][0][0])]
        row += padded([style("dx", code) for code, _ in stay["dx"]])
        row += padded([style("poa", poa) for _, poa in stay["dx"]]) + padded([style("pr", code) for code in stay["pr"]])
        rows.append(row)
    (folder / "rif.csv").write_text(written(rows))
    return folder / "rif.csv"


def as_json(folder: Path, style: Style) -> Path:
    claims = [
        {
            "claimid": stay["id"], "patient_status": style("status", stay["status"]), "los": style("los", stay["los"]),
            "thru_date": style("out", stay["out"]), "total_charges": style("charges", stay["charges"]),
            "principal_dx": {"code": style("dx", stay["dx"][0][0]), "poa": style("poa", stay["dx"][0][1])},
            "secondary_dxs": [{"code": style("dx", c), "poa": style("poa", p)} for c, p in stay["dx"][1:]],
            "inpatient_pxs": [{"code": style("pr", code)} for code in stay["pr"]],
            "patient": {"age": style("age", stay["age"]), "sex": style("sex", stay["sex"])},
        }
        for stay in STAYS
    ]  # fmt: skip
    (folder / "claims.jsonl").write_text("\n".join(map(json.dumps, claims)))
    return folder / "claims.jsonl"


def as_fhir(folder: Path, style: Style) -> Path:
    lines = []
    for stay in STAYS:
        out = dt.date.fromisoformat(stay["out"])
        start = out - dt.timedelta(stay["los"])
        born = f"{start.year - stay['age']}-01-01"
        patient = {"resourceType": "Patient", "id": "p", "birthDate": born,
                   "gender": {"M": "male", "F": "female"}[stay["sex"]]}  # fmt: skip
        diagnosis = [
            {"sequence": i, "type": [concept("other" if i > 1 else "principal")], "onAdmission": concept(poa),
             "diagnosisCodeableConcept": concept(style("dx", code))}
            for i, (code, poa) in enumerate(stay["dx"], 1)
        ]  # fmt: skip
        status = {"category": concept("discharge-status"), "code": concept(style("status", stay["status"]))}
        lines.append({
            "resourceType": "ExplanationOfBenefit", "id": stay["id"], "status": "active", "type": concept("60"),
            "contained": [patient], "patient": {"reference": "#p"}, "diagnosis": diagnosis,
            "procedure": [{"procedureCodeableConcept": concept(code)} for code in stay["pr"]],
            "billablePeriod": {"start": str(start), "end": str(out)}, "supportingInfo": [status],
            "total": [{"category": concept("submitted"), "amount": {"value": stay["charges"]}}],
        })  # fmt: skip
    (folder / "eob.ndjson").write_text("\n".join(map(json.dumps, lines)))
    return folder / "eob.ndjson"


def as_837(folder: Path, style: Style) -> Path:
    segments = ["BHT*0019*00*1*20260310*1200*CH", "HL*1**20*1", "NM1*85*2*HOSPITAL*****XX*1234567893"]
    for place, stay in enumerate(STAYS, 2):
        out = dt.date.fromisoformat(stay["out"])
        start = out - dt.timedelta(stay["los"])
        born = f"{start.year - stay['age']}0101"
        segments += [f"HL*{place}*1*22*0", f"NM1*IL*1*DOE*J****MI*M{place}", f"DMG*D8*{born}*{stay['sex']}"]
        segments += [f"CLM*{stay['id']}*{stay['charges']}***11:A:1", f"DTP*434*RD8*{start:%Y%m%d}-{out:%Y%m%d}"]
        segments += [f"DTP*435*DT*{start:%Y%m%d}1000", f"CL1*1*7*{stay['status']:02}"]
        segments += [f"HI*{'ABF' if i else 'ABK'}:{style('dx', code)}:::::::{style('poa', poa)}"
                     for i, (code, poa) in enumerate(stay["dx"])]  # fmt: skip
        segments += [f"HI*{'BBQ' if i else 'BBR'}:{code}:D8:{start:%Y%m%d}" for i, code in enumerate(stay["pr"])]
    text = transaction(*segments).replace("\n", "")
    (folder / "claims.edi").write_text("\r\n".join(text[i : i + 80] for i in range(0, len(text), 80)))
    return folder / "claims.edi"


WRITERS = {
    "wide": as_wide, "admissions": as_lists, "long": as_long, "rif": as_rif, "json": as_json, "fhir": as_fhir,
    "837i": as_837,
}  # fmt: skip


def common(claims: Claims) -> list[tuple[Any, ...]]:
    """Return what every layout holds, codes without dots."""
    rows = []
    for row in claims.admissions.iter_rows(named=True):
        codes = [[code.replace(".", "").upper() for code in row[name]] for name in ("sdx", "procedures")]
        rows.append((
            row["claim_id"], row["admission_id"], row["age"], row["sex"], row["discharge_status"], row["los_days"],
            row["discharge_date"], row["covered_charges_usd"], row["pdx"].replace(".", "").upper(), *codes,
            row.get("pdx_poa"), row["sdx_poa"],
        ))  # fmt: skip
    return rows


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("layout", WRITERS)
def test_every_style_of_values_gives_the_same_admissions(tmp_path: Path, layout: str, style: str):
    claims = map_claims(WRITERS[layout](tmp_path, STYLES[style]))
    assert claims.layout == layout
    found = common(claims)
    for row, stay in zip(found, STAYS, strict=True):
        pdx, *sdx = stay["dx"]
        assert row[0] == stay["id"]
        assert row[2:8] == (
            *(stay["age"], stay["sex"], stay["status"], stay["los"]),
            *(dt.date.fromisoformat(stay["out"]), stay["charges"]),
        )
        assert row[8:] == (pdx[0], [c for c, _ in sdx], stay["pr"], pdx[1], [p for _, p in sdx])
    # MS-DRG 321 PCI with intraluminal device with MCC, 897 alcohol abuse or dependence without rehabilitation therapy,
    # 522 hip replacement with principal diagnosis of hip fracture.
    assert group(claims.admissions, version="43.1")["drg"].to_list() == [321, 897, 522]


CODES = st.lists(st.sampled_from(["I10", "E119", "J9601", "N179", "Z794"]), max_size=3, unique=True)
CLAIM = st.fixed_dictionaries(
    {
        "age": st.integers(0, 110), "sex": st.sampled_from("MF"), "status": st.sampled_from([1, 2, 3, 20, 62]),
        "los": st.integers(0, 40), "out": st.dates(dt.date(2024, 10, 1), dt.date(2026, 9, 1)).map(str),
        "charges": st.integers(0, 10**8).map(lambda cents: cents / 100), "sdx": CODES,
        "pr": st.lists(st.sampled_from(["0FT44ZZ", "02703DZ", "3E0T3BZ"]), max_size=3),
    }
)  # fmt: skip


@settings(deadline=None, max_examples=12, suppress_health_check=[HealthCheck.too_slow])
@given(
    claims=st.lists(CLAIM, min_size=1, max_size=4),
    layouts=st.lists(st.sampled_from(sorted(WRITERS)), min_size=2, max_size=2, unique=True),
    styles=st.lists(st.sampled_from(sorted(STYLES)), min_size=2, max_size=2),
)
def test_any_two_layouts_give_the_same_admissions(claims: list[dict[str, Any]], layouts: list[str], styles: list[str]):
    stays = [
        {**claim, "id": f"B{place}", "dx": [("K810", "Y"), *((code, "N") for code in claim["sdx"])]}
        for place, claim in enumerate(claims)
    ]
    kept, STAYS[:] = STAYS[:], stays
    try:
        with tempfile.TemporaryDirectory() as folder:
            one, two = (
                common(map_claims(WRITERS[layout](Path(folder), STYLES[style])))
                for layout, style in zip(layouts, styles, strict=True)
            )
    finally:
        STAYS[:] = kept
    assert one == two


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_line_ends_encodings_and_separators(tmp_path: Path, line_end: str, encoding: str, separator: str):
    rows = [
        ["claim_id", "age", "sex", "discharge_status", "dx1", "dx2", "pr1"],
        ["x", "50", "F", "1", "K81.0", "", "0FT44ZZ"],
    ]
    text = "".join(separator.join(row) + line_end for row in rows)
    for name, begin in (("a.csv", ""), ("b.csv", f"sep={separator}{line_end}")):
        (tmp_path / name).write_bytes((begin + text).encode(encoding))
        claims = map_claims(tmp_path / name)
        assert claims.admissions.select("claim_id", "pdx", "procedures").row(0) == ("x", "K81.0", ["0FT44ZZ"])


HEAD = "claim_id,age,sex,discharge_status,dx1,dx2,dx3,pr1,note\n"


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_rows_in_are_rows_out_or_reported_or_refused(data: st.DataObject):
    """A file of 40 rows with stray quotes, separators and line ends: no row is lost without a word."""
    rows = [f"c{i},50,F,1,K81.0,I10,J96.01,0FT44ZZ,n{i}\n" for i in range(40)]
    if data.draw(st.booleans()):
        rows = [row.replace("n", '"a, ""quoted"" note"') for row in rows]
    content = bytearray((HEAD + "".join(rows)).encode())
    changed = 0
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(len(HEAD), len(content) - 1))
        removed = data.draw(st.integers(0, 2))
        put = data.draw(st.sampled_from([b'"', b'""', b",", b"\n", b"\r", b";", b"", b'",', b',"', b"x"]))
        changed += content[at : at + removed].count(b"\n") + put.count(b"\n")
        content[at : at + removed] = put
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.csv"
        path.write_bytes(content)
        try:
            claims = map_claims(path)
        except InputError as refusal:
            said = str(refusal)
        else:
            said = ""
    if said:
        assert "line " in said or "row " in said
        return
    lines = [line for line in content.replace(b"\r\n", b"\n").split(b"\n")[1:] if line.strip()]
    flagged = {row for (field, _), found in reasons(claims).items() if field == "row" for row in found}
    # Rows of several lines, and those that a line end cut or joined, are flagged.
    assert claims.admissions.height >= len(lines) - 2 * len(flagged)
    assert claims.admissions.height <= len(lines)
    assert abs(claims.admissions.height - 40) <= changed + 2 * len(flagged)


def test_a_stray_quote_is_refused_with_its_line(tmp_path: Path):
    rows = [f"c{i},50,F,1,K81.0,I10,J96.01,0FT44ZZ,n{i}\n" for i in range(100)]
    rows[51] = rows[51].replace("n51", '"n51')
    (tmp_path / "a.csv").write_text(HEAD + "".join(rows))
    with pytest.raises(InputError, match=r'line 53: a quote \("\) is not closed'):
        map_claims(tmp_path / "a.csv")
    (tmp_path / "b.csv").write_text('"' + HEAD + "".join(rows[:3]))
    with pytest.raises(InputError, match="line 1: a quote"):
        map_claims(tmp_path / "b.csv")
    rows[51] = rows[51].replace('"n51', '5" tube')
    (tmp_path / "c.csv").write_text(HEAD + "".join(rows))
    claims = map_claims(tmp_path / "c.csv")
    assert claims.admissions.height == 100
    assert claims.admissions["note"][51] == '5" tube'


def test_a_field_of_several_lines_is_read_and_reported(tmp_path: Path):
    (tmp_path / "a.csv").write_text(HEAD + 'c1,50,F,1,K81.0,,,0FT44ZZ,"two\nlines"\nc2,50,F,1,K81.0,,,,x\n')
    claims = map_claims(tmp_path / "a.csv")
    assert claims.admissions["claim_id"].to_list() == ["c1", "c2"]
    assert reasons(claims)[("row", "a line end within a field")] == [0]


@pytest.mark.parametrize("columns", [3_000, 20_000])
def test_very_many_columns_are_read(tmp_path: Path, columns: int):
    names = [f"dx{i}" for i in range(1, columns + 1)]
    cells = ["K81.0", *[""] * (columns - 2), "I10"]
    (tmp_path / "a.csv").write_text(
        ",".join(["claim_id,age,sex,discharge_status", *names]) + "\n" + ",".join(["x,50,F,1", *cells]) + "\n"
    )
    assert map_claims(tmp_path / "a.csv").admissions["sdx"].to_list() == [["I10"]]


def test_too_many_columns_are_refused(tmp_path: Path):
    (tmp_path / "a.csv").write_text(",".join(f"c{i}" for i in range(70_000)) + "\n")
    with pytest.raises(InputError, match="more than 65,536 columns"):
        map_claims(tmp_path / "a.csv")


@pytest.mark.parametrize(
    ("bill", "reason"),
    [
        ("0111", None), ("111", None), ("111.0", None), ("121", "no inpatient claim"), ("0131", "no inpatient claim"),
        ("112", "interim claim, the first"), ("113", "interim claim, a continuing one"),
        ("118", "void of an earlier claim"),
        ("117", "replacement of an earlier claim"), ("0110", "claim without payment"), ("115", "late charges alone"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("layout", ["wide", "long", "rif", "json", "837i"])
def test_bills_are_judged_by_one_rule(tmp_path: Path, layout: str, bill: str, reason: str | None):
    bare = bill.removesuffix(".0").lstrip("0")
    kind, frequency = bare[:2], bare[2]
    text = {
        "wide": f"claim_id,age,sex,discharge_status,dx1,type_of_bill\n7,50,F,1,K81.0,{bill}\n",
        "long": f"claim_id,code,type,TOB\n7,K81.0,dx,{bill}\n",
        "rif": "CLM_ID,PRNCPAL_DGNS_CD,ICD_DGNS_CD1,NCH_CLM_TYPE_CD,"
        "CLM_FAC_TYPE_CD,CLM_SRVC_CLSFCTN_TYPE_CD,CLM_FREQ_CD\n"
        f"7,K810,K810,60,{kind[0]},{kind[1]},{frequency}\n",
        "json": json.dumps({"claimid": "7", "principal_dx": {"code": "K81.0"}, "bill_type": bill}),
        "837i": transaction(
            "HL*1**20*1", "HL*2*1*22*0", f"CLM*7*100***{kind}:A:{frequency}", "HI*ABK:K810:::::::Y"
        ),
    }[layout]  # fmt: skip
    suffix = {"json": ".json", "837i": ".edi"}.get(layout, ".csv")
    (tmp_path / f"a{suffix}").write_text(text)
    found = {flag for _, flag in reasons(map_claims(tmp_path / f"a{suffix}"))} & {
        *("no inpatient claim", "interim claim, the first", "interim claim, a continuing one", "late charges alone"),
        *("void of an earlier claim", "replacement of an earlier claim", "claim without payment"),
    }
    assert found == ({reason} if reason else set())


@pytest.mark.parametrize("version", ["9", "09", "9.0", "ICD-9-CM", "icd9", "ICD 9", "ICD9CM", "icd-9-pcs"])
def test_icd_9_is_left_out_however_it_is_named(tmp_path: Path, version: str):
    (tmp_path / "a.csv").write_text(f"claim_id,code,type,icd_version\n7,K810,dx,ICD-10\n7,E8842,dx,{version}\n")
    claims = map_claims(tmp_path / "a.csv")
    assert claims.admissions.select("pdx", "sdx").row(0) == ("K810", [])
    assert ("code", "ICD-9 codes, left out") in reasons(claims)


@pytest.mark.parametrize("cell", ["j81.0y", "J810Y", "J81.0-Y", "J81.0 (y)", "J810 [Y]", "J81.0:Y", "J81.0/Y"])
@pytest.mark.parametrize("layout", ["wide", "admissions", "long", "rif", "json"])
def test_poa_indicators_with_the_code(tmp_path: Path, layout: str, cell: str):
    text = {
        "wide": f"claim_id,age,sex,discharge_status,dx1,dx2\n7,50,F,1,I21.09,{cell}\n",
        "admissions": f"claim_id,age,sex,discharge_status,pdx,sdx,procedures\n7,50,F,1,I21.09,{cell};I10,\n",
        "long": f"claim_id,code,type\n7,I21.09,dx\n7,{cell},dx\n",
        "rif": f"CLM_ID,PRNCPAL_DGNS_CD,ICD_DGNS_CD1,ICD_DGNS_CD2\n7,I2109,I2109,{cell}\n",
        "json": json.dumps({"principal_dx": {"code": "I21.09"}, "secondary_dxs": [{"code": cell}]}),
    }[layout]
    path = tmp_path / ("a.json" if layout == "json" else "a.csv")
    path.write_text(text)
    claims = map_claims(path)
    assert claims.admissions["sdx"][0][0].replace(".", "").upper() == "J810"
    assert reasons(claims)[("code", "POA indicator written with the code, read")] == [0]
    if layout != "admissions":
        assert claims.admissions["sdx_poa"].to_list() == [["Y"]]


def test_codes_that_are_none_are_counted_by_what_they_look_like(tmp_path: Path):
    codes = ["I10", "401.9", "4280", "J9601X", "J96.O1", "J96.0", "99213", "3.00E+3", "??"]
    (tmp_path / "a.csv").write_text(
        f"claim_id,age,sex,discharge_status,{','.join(f'dx{i}' for i in range(1, 11))},pr1\n"
        f"7,50,F,1,K81.0,{','.join(codes)},210093\n"
    )
    claims = map_claims(tmp_path / "a.csv")
    found = {(field, looks): (count, of) for field, looks, count, of in claims.count_unknown_codes("43.1").iter_rows()}
    assert found == {
        ("sdx", "ICD-9"): (3, 9),
        ("sdx", "code with characters added"): (1, 9),
        ("sdx", "letter for a digit"): (1, 9),
        ("sdx", "category that needs more characters"): (1, 9),
        ("sdx", "number of a spreadsheet"): (1, 9),
        ("sdx", "something else"): (1, 9),
        ("procedures", "code without its leading zero"): (1, 1),
    }
    assert "8 of 9 secondary diagnoses are not codes of 43.1: 3 ICD-9" in claims.describe("43.1")
    assert "210093" not in claims.describe("43.1")


def test_frames_are_read_as_files_are():
    frame = pl.DataFrame(
        {
            "Claim_ID": [7, -8], "AGE": [50.0, None], "sex": [1, 2], "discharge_status": [1.0, 3.0],
            "dx1": ["K81.0", "I21.09"], "dx2": ["J96.01 (Y)", None], "discharge_date": [dt.datetime(2026, 1, 15), None],
            "plan": ["007", "08"],
        }
    )  # fmt: skip
    claims = map_table(frame)
    assert claims.admissions["claim_id"].to_list() == ["7", "-8"]
    assert claims.admissions["sex"].to_list() == ["M", "F"]
    assert claims.admissions["age"].to_list() == [50, None]
    assert claims.admissions["discharge_date"].to_list() == [dt.date(2026, 1, 15), None]
    assert claims.admissions["plan"].to_list() == ["007", "08"]
    assert claims.admissions["sdx"].to_list() == [["J96.01"], []]
