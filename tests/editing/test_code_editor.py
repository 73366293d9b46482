"""edit() against CMS's own editor, against a plain program of the rules, and what cannot change its answers."""

from __future__ import annotations

import datetime as dt
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drgsim import SchemaError, edit
from drgsim.editing import Edit, list_edits
from drgsim.schema import CLAIMS_TO_EDIT, EDIT_DETAIL, EDITED
from tests.support.plain_editor import ORDER, PlainClaim, flags_of, versions

ANSWERS = [*EDITED.names, *EDIT_DETAIL.names]
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


def reference(shared: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Claims, and the answers of CMS's editor (44.0: of the rules on its tables)."""
    claims, answers = (pl.read_parquet(shared / f"claims/mce/{name}.parquet") for name in ("claims", "expected"))
    assert claims["admission_id"].equals(answers["admission_id"])
    return claims, answers


def differences(found: pl.DataFrame, expected: pl.DataFrame) -> dict[str, int]:
    pairs = ((name, found[name].to_list(), expected[name].to_list()) for name in ANSWERS)
    return {name: sum(a != b for a, b in zip(ours, theirs, strict=True)) for name, ours, theirs in pairs}


def written_as_in_tables(claims: pl.DataFrame) -> pl.Series:
    """Which claims hold codes of letters and digits alone, in upper case."""
    texts = pl.concat_list(pl.col("pdx", "admit_dx").fill_null(""), pl.col("sdx", "procedures").fill_null(pl.lit([])))
    return claims.select(
        texts.list.eval(pl.element().fill_null("").str.contains(r"^[0-9A-Z]*$")).list.all()
    ).to_series()


def test_every_answer_of_cms_on_a_sample(shared: Path):
    claims, answers = reference(shared)
    rows = np.arange(len(claims)) % 5 == 0
    assert not any(differences(edit(claims.filter(rows), detail=True, as_typed=True), answers.filter(rows)).values())


@pytest.mark.slow
def test_every_answer_of_cms(shared: Path):
    claims, answers = reference(shared)
    assert not any(differences(edit(claims, detail=True, as_typed=True), answers).values())


@pytest.mark.slow
def test_codes_read_as_elsewhere_differ_on_texts_alone(shared: Path):
    """By default a dot, a blank and lower case do not matter; everything else is as CMS answers."""
    claims, answers = reference(shared)
    plain = written_as_in_tables(claims)
    assert not any(differences(edit(claims.filter(plain), detail=True), answers.filter(plain)).values())
    ours = edit(claims.filter(~plain), detail=True)
    assert 0 < differences(ours, answers.filter(~plain))["edits"] < len(ours)


@cache
def codes_with_flags(kind: str) -> list[str]:
    """Two codes of each set of flags in each of some versions, and codes that begin or end."""
    found = {}
    for (version, code), flags in flags_of(kind).items():
        if version in ("33.0", "35.0", "39.0", "41.1", "43.1", "44.0"):
            found.setdefault((version, frozenset(flags)), []).append(code)
    oldest, newest = ({code for version, code in flags_of(kind) if version == v} for v in ("33.0", "44.0"))
    changed = [*sorted(oldest - newest)[::97], *sorted(newest - oldest)[::97]]
    return sorted({*(code for codes in found.values() for code in codes[:2]), *changed})


STRANGE = ["", " ", "\t ", "0", "000", " 0", "\u00a0", "NOPE", "nope", "K81.0", "k810", None]
DIAGNOSIS = st.sampled_from([*codes_with_flags("diagnoses"), *STRANGE])
PROCEDURE = st.sampled_from([*codes_with_flags("procedures"), *STRANGE])
EDGES = sorted(
    {day + dt.timedelta(more) for _, first, last in versions() for day in (first, last) for more in (-1, 0, 1)}
)
CLAIM = st.fixed_dictionaries(
    {
        "age": st.one_of(st.sampled_from([None, -1, 0, 12, 17, 60, 61, 124, 125, 2**31 - 1]), st.integers(-5, 130)),
        "sex": st.sampled_from(["M", "F", "U", "X", None]),
        "discharge_status": st.sampled_from(
            [1, 2, 8, 10, 20, 69, 71, 0, -1, 99, 255, 256, 257, 65_537, 2**31 - 1, None]
        ),
        "discharge_date": st.one_of(
            st.none(), st.sampled_from(EDGES), st.dates(dt.date(1979, 1, 1), dt.date(2030, 1, 1))
        ),
        "los_days": st.sampled_from([None, -(2**31), -1, 0, 4, 5, 2**31 - 1]),
        "pdx": DIAGNOSIS,
        "admit_dx": DIAGNOSIS,
        "sdx": st.one_of(st.none(), st.lists(DIAGNOSIS, max_size=6)),
        "procedures": st.one_of(st.none(), st.lists(PROCEDURE, max_size=6)),
    }
)


def frame(claims: list[dict[str, object]]) -> pl.DataFrame:
    columns = {name: CLAIMS_TO_EDIT[name].dtype for name in ("admission_id", *claims[0])}
    rows = [{"admission_id": number, **claim} for number, claim in enumerate(claims)]
    return pl.DataFrame(rows, schema=columns)


@QUICK
@given(st.lists(CLAIM, min_size=1, max_size=12))
def test_equal_to_a_plain_program_of_the_rules(claims: list[dict[str, object]]):
    ours = edit(frame(claims), detail=True, as_typed=True)
    theirs = [PlainClaim(claim).answer() for claim in claims]
    assert ours.select(ANSWERS).rows() == [tuple(answer[name] for name in ANSWERS) for answer in theirs]


@QUICK
@given(st.lists(CLAIM, min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_order_of_codes_changes_the_order_of_marks_alone(claims, random):
    shuffled = []
    for claim in claims:
        claim["pdx"] = claim["pdx"] or "I10"  # a missing one is replaced by the first secondary diagnosis
        lists = {name: list(claim[name] or []) for name in ("sdx", "procedures")}
        for codes in lists.values():
            random.shuffle(codes)
        shuffled.append({**claim, **lists})
    before, after = (edit(frame(some), detail=True) for some in (claims, shuffled))
    assert before.select(EDITED.names).equals(after.select(EDITED.names))
    for codes, marks in (("sdx", "sdx_edits"), ("procedures", "proc_edits")):
        for a, b, x, y in zip(before[codes], after[codes], before[marks], after[marks], strict=True):
            pairs = ([(str(code), tuple(found)) for code, found in zip(c, m, strict=True)]
                     for c, m in (([] if a is None else a, x), (b, y)))  # fmt: skip
            assert sorted(next(pairs)) == sorted(next(pairs))


@QUICK
@given(st.lists(CLAIM, min_size=2, max_size=8), st.integers(1, 7))
def test_splits_and_order_of_rows_change_nothing(claims, at):
    whole = edit(frame(claims), detail=True)
    parts = [edit(part, detail=True) for part in (frame(claims)[:at], frame(claims)[at:])]
    assert whole.equals(pl.concat(parts))
    assert edit(frame(claims)[::-1], detail=True)[::-1].equals(whole)


def test_threads_change_nothing():
    some = frame([{"age": age, "sex": "F", "discharge_status": 1, "discharge_date": dt.date(2020, 5, 4), "los_days": 3,
                   "pdx": "O80", "admit_dx": None, "sdx": ["Z370", "N400"][: age % 3], "procedures": ["5A1955Z"]}
                  for age in range(120)])  # fmt: skip
    many = pl.concat([some] * 600)  # more than two spans
    once = edit(some, detail=True)
    assert edit(many, detail=True).drop("admission_id").equals(pl.concat([once] * 600).drop("admission_id"))


def test_no_claims_have_no_edits():
    one = frame([{"age": 1, "sex": "F", "discharge_status": 1, "discharge_date": dt.date(2020, 5, 4), "pdx": "O80",
                  "sdx": [], "procedures": []}])  # fmt: skip
    assert edit(one.clear(), detail=True).columns == [*one.columns, *ANSWERS]
    assert edit(one.clear(), detail=True).schema == edit(one, detail=True).schema


@pytest.mark.parametrize(
    ("dtype", "largest"),
    [
        (pl.Int8, 127),
        (pl.UInt8, 255),
        (pl.Int16, 32_767),
        (pl.UInt32, 2**32 - 1),
        (pl.Int64, 2**63 - 1),
        (pl.UInt64, 2**64 - 1),
        (pl.Null, None),
    ],
)
def test_numbers_of_any_width_are_read(dtype: type[pl.DataType], largest: int | None):
    """A number too large for an age, a status or a stay is a missing one."""
    codes = {"pdx": ["A419"], "sdx": [[]], "procedures": [["5A1955Z"]]}
    claim = pl.DataFrame({"admission_id": [1], "sex": ["F"], "discharge_date": [dt.date(2026, 5, 4)], **codes})
    numbers = (pl.Series(name, [largest], dtype=dtype) for name in ("age", "discharge_status", "los_days"))
    assert edit(claim.with_columns(numbers))["edits"].to_list() == [["INVALID_AGE", "INVALID_DISCHARGE_STATUS"]]


def test_a_claim_without_any_diagnosis_has_an_invalid_principal_one():
    one = frame([{"age": 70, "sex": "F", "discharge_status": 1, "discharge_date": dt.date(2020, 5, 4), "pdx": None,
                  "sdx": None, "procedures": None}])  # fmt: skip
    assert edit(one, detail=True).select("edits", "pdx_edits").row(0) == (["INVALID_CODE"], ["INVALID_CODE"])


def test_columns_that_are_missing_are_named():
    one = frame([{"age": 70, "sex": "F", "discharge_status": 1, "pdx": "A419", "sdx": [], "procedures": []}])
    with pytest.raises(SchemaError, match="discharge_date"):
        edit(one)
    with pytest.raises(SchemaError, match="discharge_date is String"):
        edit(one.with_columns(discharge_date=pl.lit("2020-05-04")))


def test_edits_are_those_of_the_table_in_the_order_of_reports():
    assert [each.name for each in Edit] == ORDER == list_edits()["edit"].to_list()
