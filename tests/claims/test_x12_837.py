"""837I: faults of claims, damaged interchanges, separators."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drgsim import InputError, read_claims
from drgsim.claims.layouts import map_claims
from tests.support.claim_files import reasons, transaction

BEGIN = ("HL*1**20*1", "NM1*85*2*H*****XX*1234567893", "HL*2*1*22*0", "NM1*IL*1*D*J****MI*M1", "DMG*D8*19500101*F")


def test_faults_of_837_claims(tmp_path: Path) -> None:
    path = tmp_path / "claims.txt"
    path.write_text(
        transaction(
            *BEGIN,
            "CLM*A*100***13:A:8",
            "DTP*434*RD8*20240301-20240306",
            "HI*BK:25000*BF:4019",
            "HI*ABF:I10:::::::Y*BE:80:::15",
            "SV2*0120**900*DA*5**n/a",
            "PWK*OZ*AA",
            "PWK*OZ*BB",
            "HL*3*2*23*0",
            "DMG*D8*20200301*M",
            "CLM*B*lots***11:A:1",
            "DTP*435*D8*20240301",
            "HI*ABK:K810",
            "HI*ABN:W19XXXA:::::::Y",
        )
    )
    claims = map_claims(path)
    got = claims.admissions
    assert claims.layout == "837i"
    assert got.select("pdx", "sdx", "sex", "age").rows() == [(None, ["I10"], "F", None), ("K810", ["W19XXXA"], "M", 4)]
    assert got["sdx_poa"].to_list() == [["Y"], ["Y"]]
    assert got["covered_charges_usd"].to_list() == [100.0, None]
    rows = reasons(claims)
    assert rows[("CLM05", "no inpatient claim")] == [0]
    assert rows[("CLM05", "void of an earlier claim")] == [0]
    assert rows[("code", "ICD-9 and ICD-10 codes mixed")] == [0]
    assert rows[("HI BE", "codes of another kind, left out")] == [0]
    assert rows[("SV207", "no number, left out")] == [0]
    assert ("PWK", "segment not read", 1) in claims.report.rows()
    assert ("discharge_status", "not in the file", 2) in claims.report.rows()


WHOLE = transaction(*BEGIN, "CLM*A*100***11:A:1", "HI*ABK:K810")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (WHOLE[:80], "segment 1: expected ISA with its 105 characters"),
        (WHOLE[:-5], r"segment 13: cut off; no IEA"),
        (WHOLE[: WHOLE.index("HI*")], "cut off; no IEA"),
        (WHOLE.replace("SE*9", "SE*8"), "segment 11: SE counts other segments"),
        (WHOLE.replace("ST*837", "ST*835"), "segment 3: expected a transaction 837"),
        (WHOLE.replace("SE*9*0001~\n", ""), "segment 11: GE within a transaction; SE is missing"),
        (WHOLE.replace("CLM*A*100***11:A:1", "CL1*1*1*01"), "segment 9: CL1 outside a claim"),
        (WHOLE.replace("*P*:~", "*P*~~"), "ISA names no three different separators"),
        (WHOLE + "trailing", "segment 14: expected ISA"),
    ],
)
def test_a_damaged_interchange_is_refused_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "claims.edi").write_text(text)
    with pytest.raises(InputError, match=message):
        read_claims(tmp_path / "claims.edi", "837i")


def test_several_interchanges_with_their_own_separators(tmp_path: Path) -> None:
    other = WHOLE.replace(":", ">").replace("*", "|").replace("~\n", "'").replace("CLM|A|", "CLM|B|")
    (tmp_path / "claims.837").write_text(WHOLE + "\n" + other)
    claims = read_claims(tmp_path / "claims.837")
    assert claims.select("claim_id", "pdx").rows() == [("A", "K810"), ("B", "K810")]


@settings(deadline=None)
@given(st.text(alphabet="ISA*~:|HICLM\n0 ", max_size=300))
def test_any_text_is_read_or_refused(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "claims.837"
        path.write_text(WHOLE.replace("HI*ABK:K810~\n", f"{text}~\n"))
        try:
            found = read_claims(path, "837i").height
        except InputError:
            found = 0
    assert found <= text.count("CLM") + 1
