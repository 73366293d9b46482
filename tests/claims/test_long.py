"""Tables with one row a code: faults of rows, and the rules in plain Python on any table."""

from __future__ import annotations

import tempfile
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drgsim import SchemaError, read_claims
from drgsim.claims.layouts import map_claims
from tests.support.claim_files import reasons


def test_faults_of_code_rows(tmp_path: Path) -> None:
    path = tmp_path / "codes.csv"
    path.write_text(
        "hadm_id,code,type,seq,sex,note\n"
        "b,I10,dx,1,F,x\nb,E119,dx,1,M,\nb,K810,dx,3,F,\nb,99213,cpt,1,F,\n"
        "a,K810,principal,2,F,\na,A419,Principal Diagnosis,1,F,\na,I10,dx,two,F,\n"
        ",I10,dx,1,F,\n"
        "c,,dx,1,F,\n"
    )
    claims = map_claims(path)
    assert claims.admissions["claim_id"].to_list() == ["b", "a", "c"]
    assert claims.admissions["pdx"].to_list() == ["I10", "A419", None]
    assert claims.admissions["sdx"].to_list() == [["E119", "K810"], ["K810", "I10"], []]
    rows = reasons(claims)
    assert rows[("dx", "duplicate sequence number")] == [0]
    assert rows[("dx", "gap in sequence numbers")] == [0]
    assert rows[("type", "neither diagnosis nor procedure, left out")] == [0]
    assert rows[("sex", "rows of the admission disagree, the first taken")] == [0]
    assert rows[("pdx", "more than one principal diagnosis, the first taken")] == [0, 1]
    assert rows[("sequence", "no whole number, taken as last")] == [1]
    assert ("hadm_id", "codes without an admission, left out", 1) in claims.report.rows()
    assert ("note", "not mapped, left out", 1) in claims.report.rows()


def test_without_sequence_numbers_the_first_diagnosis_is_principal(tmp_path: Path) -> None:
    (tmp_path / "codes.csv").write_text("claim_id,type,code\n1,pr,0FT44ZZ\n1,dx,K810\n1,dx,I10\n")
    row = read_claims(tmp_path / "codes.csv").row(0, named=True)
    assert (row["pdx"], row["sdx"], row["procedures"]) == ("K810", ["I10"], ["0FT44ZZ"])


def test_a_needed_column_is_named(tmp_path: Path) -> None:
    (tmp_path / "codes.csv").write_text("claim_id,code\n1,K810\n")
    with pytest.raises(SchemaError, match="no type column: expected one of type, code_type, kind"):
        read_claims(tmp_path / "codes.csv", "long")


CODE_ROWS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c"]),
        st.sampled_from(["dx", "pr", "principal"]),
        st.sampled_from(["", "1", "2", "3", "7"]),
        st.sampled_from(["K810", "I10", "E119", ""]),
        st.sampled_from(["", "Y", "n", "Q"]),
        st.sampled_from(["", "9", "10"]),
    ),
    min_size=1,
    max_size=14,
)


def by_hand(rows: list[tuple[str, ...]]) -> tuple[list[tuple[object, ...]], dict[tuple[str, str], list[int]]]:
    """Apply the rules of `claim_fields.assembly` and `claims.long` to one admission after another, in plain Python."""
    found, flags = [], {}

    def flag(row: int, field: str, reason: str, *, true: bool) -> None:
        if true:
            flags.setdefault((field, reason), []).append(row)

    for row, claim in enumerate(dict.fromkeys(one[0] for one in rows)):
        own = [one[1:] for one in rows if one[0] == claim]
        dx = [one for one in own if one[0] != "pr"]
        if any(one[0] == "principal" for one in dx):
            named = [one[0] == "principal" for one in dx]
        elif any(one[1] for one in dx):
            named = [one[1] == "1" for one in dx]
        else:
            named = [place == 0 for place in range(len(dx))]
        diagnoses = [(*one[1:], name) for one, name in zip(dx, named, strict=True) if one[2]]
        procedures = [one[1:] for one in own if one[0] == "pr" and one[2]]
        for kind, codes in (("dx", diagnoses), ("pr", procedures)):
            numbers = [int(one[0]) for one in codes if one[0]]
            flag(row, kind, "duplicate sequence number", true=len(set(numbers)) < len(numbers))
            flag(row, kind, "gap in sequence numbers", true=bool(numbers) and max(numbers) > len(set(numbers)))
        revisions = {one[3] for one in [*diagnoses, *procedures]}
        flag(row, "code", "ICD-9 codes, left out", true="9" in revisions)
        flag(row, "code", "ICD-9 and ICD-10 codes mixed", true={"9", "10"} <= revisions)
        diagnoses, procedures = ([one for one in codes if one[3] != "9"] for codes in (diagnoses, procedures))
        indicators = {one[2] for one in [*diagnoses, *procedures]}
        flag(row, "poa", "unknown POA indicator, kept", true="Q" in indicators)
        diagnoses.sort(key=lambda one: int(one[0] or 99))
        procedures.sort(key=lambda one: int(one[0] or 99))
        principals = [place for place, one in enumerate(diagnoses) if one[4]]
        flag(row, "pdx", "more than one principal diagnosis, the first taken", true=len(principals) > 1)
        flag(row, "pdx", "no principal diagnosis", true=not principals)
        pdx = diagnoses.pop(principals[0])[1] if principals else None
        again = "principal diagnosis again among the others, left out there"
        flag(row, "sdx", again, true=any(one[1] == pdx for one in diagnoses))
        diagnoses = [one for one in diagnoses if one[1] != pdx]
        poa = [one[2].upper() for one in diagnoses]
        found.append((claim, pdx, [one[1] for one in diagnoses], poa, [one[1] for one in procedures]))
    return found, flags


@settings(deadline=None, max_examples=200)
@given(CODE_ROWS)
def test_any_table_of_codes_is_read_by_the_rules(rows: list[tuple[str, ...]]) -> None:
    expected, flags = by_hand(rows)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "codes.csv"
        lines = ["claim_id,type,sequence,code,poa,icd_version", *(",".join(row) for row in rows)]
        path.write_text("\n".join(lines))
        claims = map_claims(path)
    got = claims.admissions
    if "sdx_poa" not in got.columns:
        got = got.with_columns(sdx_poa=pl.col("sdx").list.eval(pl.lit("")))
    assert got.select("claim_id", "pdx", "sdx", "sdx_poa", "procedures").rows() == expected
    assert {key: found for key, found in reasons(claims).items() if key[0] != "claim_id"} == flags
