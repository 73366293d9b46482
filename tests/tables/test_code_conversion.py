"""convert_codes() against the reference answers, against a plain program, and what must hold there and back."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drgsim import InputError, SchemaError, UnknownVersionError, convert_codes
from drgsim.tables.code_conversion import load_code_history
from tests.support.plain_editor import flags_of, plain_conversion, rows_once, versions

VERSIONS = [version for version, _, _ in versions()[1:]]
KINDS = {"diagnosis": "diagnoses", "procedure": "procedures"}
QUICK = settings(max_examples=60, deadline=None)


def test_every_reference_answer(shared: Path):
    expected = pl.read_parquet(shared / "claims/conversion/expected.parquet")
    for (kind, source, target), rows in expected.group_by("kind", "from_version", "to_version"):
        found = convert_codes(rows["code"], source, target, kind=kind.lower())
        assert found.select("code", "status", "candidates").rows() == rows.select("code", "status", "candidates").rows()


def changing_codes(kind: str) -> list[str]:
    """Codes of the conversion tables, a part of them."""
    table = rows_once(f"conversion/{KINDS[kind]}.csv")
    return sorted({row[name] for row in table[::5] for name in ("current_code", "previous_code")} - {""})


@QUICK
@given(st.sampled_from(sorted(KINDS)), st.sampled_from(VERSIONS), st.sampled_from(VERSIONS), st.data())
def test_equal_to_a_plain_program(kind: str, source: str, target: str, data: st.DataObject):
    codes = data.draw(st.lists(st.sampled_from(changing_codes(kind)), min_size=1, max_size=20))
    found = convert_codes(codes, source, target, kind=kind)
    assert found.select("status", "candidates").rows() == [
        plain_conversion(code, source, target, KINDS[kind]) for code in codes
    ]


@QUICK
@given(st.sampled_from(sorted(KINDS)), st.sampled_from(VERSIONS), st.sampled_from(VERSIONS), st.data())
def test_there_and_back_contains_the_code(kind: str, source: str, target: str, data: st.DataObject):
    """What a code becomes can become the code again, unless a candidate is as valid at home as the code is."""
    codes = data.draw(st.lists(st.sampled_from(changing_codes(kind)), min_size=1, max_size=20))
    there = convert_codes(codes, source, target, kind=kind)
    for code, candidates in there.select("code", "candidates").iter_rows():
        back = convert_codes(candidates, target, source, kind=kind)["candidates"].to_list()
        at_home = [each for each in candidates if (source, each) in flags_of(KINDS[kind])]
        assert code in {each for found in back for each in found} or set(candidates) <= set(at_home) or not candidates


@pytest.mark.parametrize("kind", KINDS)
def test_candidates_are_valid_and_every_code_of_the_source_is_answered(kind: str):
    history = load_code_history(kind)
    codes = [code for version, code in flags_of(KINDS[kind]) if version == "40.0"]
    found = convert_codes(codes, "40.0", "44.0", kind=kind)
    assert "INVALID" not in found["status"].to_list()
    place = VERSIONS.index("44.0") + 1
    assert all(history.is_valid(code, place) for codes in found["candidates"] for code in codes)
    assert convert_codes(codes[::-1], "40.0", "44.0", kind=kind)[::-1].equals(found)


def test_numbers_of_the_year_pairs_are_those_published():
    """EDITS, part 2: codes of 40.0 that are not valid in 44.0, and the reverse."""
    counts = {}
    for kind in KINDS:
        for source, target in (("40.0", "44.0"), ("44.0", "40.0")):
            codes = [code for version, code in flags_of(KINDS[kind]) if version == source]
            status = convert_codes(codes, source, target, kind=kind)["status"].value_counts().rows()
            counts[kind, source] = tuple(dict(status).get(name, 0) for name in ("ONE", "MANY", "NONE"))
    assert counts["diagnosis", "40.0"] == (13, 108, 5)
    assert counts["procedure", "40.0"] == (117, 16, 18)
    assert counts["diagnosis", "44.0"] == (1_086, 21, 259)
    assert counts["procedure", "44.0"] == (743, 50, 118)


def test_what_a_candidate_rests_on():
    assert convert_codes(["I420"], "43.1", "44.0")["basis"].to_list() == [["derived"]]
    assert convert_codes(["A047"], "34.0", "35.0")["basis"].to_list() == [["table"]]


def test_text_that_is_no_code_is_invalid():
    found = convert_codes(["K81.0", "k810", "", None, "NOPE"], "43.1", "44.0")
    assert found["status"].to_list() == ["INVALID"] * 5
    assert found["candidates"].to_list() == [[]] * 5
    assert convert_codes([], "43.1", "44.0").schema == found.schema


def test_arguments_that_cannot_be_used():
    with pytest.raises(UnknownVersionError, match=r"43\.11.*Did you mean"):
        convert_codes(["K810"], "43.11", "44.0")
    with pytest.raises(UnknownVersionError, match="ICD-9"):
        convert_codes(["K810"], "ICD-9", "44.0")
    with pytest.raises(InputError, match="diagnoses"):
        convert_codes(["K810"], "43.1", "44.0", kind="diagnoses")
    with pytest.raises(SchemaError, match="Int64"):
        convert_codes(pl.Series([1]), "43.1", "44.0")
