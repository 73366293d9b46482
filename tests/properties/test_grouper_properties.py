"""What cannot change an answer: splits, order of rows and codes, threads, how a code is written."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drgsim import TableSet, group
from drgsim.grouping.grouper import group_encoded
from drgsim.numerics.parallel import run_over_spans
from drgsim.numerics.segments import find_distinct_rows, or_into
from drgsim.schema import GROUPED, normalise_codes
from drgsim.tables.codebook import Codebook
from drgsim.tables.encoding import encode

TABLES = TableSet.load("43.1")
QUICK = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
ANSWER = list(GROUPED.names)


@cache
def codes_that_matter() -> tuple[list[str], list[str]]:
    """Codes of every kind: CC, MCC, conditions, trauma, newborns; cluster components, stents, fusions."""
    rows = TABLES.diagnoses.unique(["mdc", "severity", "operands", "hac_operands"], maintain_order=True)
    parts = TABLES.clusters["choices"].str.extract_all(r"\w+").explode().unique(maintain_order=True)
    sets = TABLES.procedures.unique("operands", maintain_order=True)["code"]
    return [*rows["code"], "NOPE", ""], [*parts.head(200), *sets, "NOPE"]


DIAGNOSIS = st.sampled_from(codes_that_matter()[0])
PROCEDURE = st.sampled_from(codes_that_matter()[1])
POA = st.sampled_from(["Y", "N", "U", "W", "1", "E", "", "X", None])


@st.composite
def claims(draw: st.DrawFn, most: int = 12) -> pl.DataFrame:
    n = draw(st.integers(0, most))
    lists = [draw(st.lists(st.tuples(DIAGNOSIS, POA), max_size=8)) for _ in range(n)]
    return pl.DataFrame(
        {
            "admission_id": np.arange(n, dtype=np.uint64),
            "age": [50] * n,
            "sex": [draw(st.sampled_from(["M", "F", "U", None])) for _ in range(n)],
            "discharge_status": [draw(st.sampled_from([1, 2, 7, 20, 99, None])) for _ in range(n)],
            "pdx": [draw(DIAGNOSIS) for _ in range(n)],
            "sdx": [[code for code, _ in codes] for codes in lists],
            "sdx_poa": [[poa for _, poa in codes] for codes in lists],
            "procedures": [draw(st.lists(PROCEDURE, max_size=6)) for _ in range(n)],
        },
        schema={
            "admission_id": pl.UInt64,
            "age": pl.Int32,
            "sex": pl.String,
            "discharge_status": pl.Int32,
            "pdx": pl.String,
            "sdx": pl.List(pl.String),
            "sdx_poa": pl.List(pl.String),
            "procedures": pl.List(pl.String),
        },
    )


@QUICK
@given(claims(), st.integers(0, 12))
def test_any_split_gives_the_same_answer(frame: pl.DataFrame, cut: int):
    whole = group(frame, TABLES)
    assert len(whole) == len(frame)
    assert pl.concat([group(frame[:cut], TABLES), group(frame[cut:], TABLES)]).equals(whole)


@QUICK
@given(claims(), st.randoms(use_true_random=False))
def test_order_of_rows_does_not_matter(frame: pl.DataFrame, random):
    order = list(range(len(frame)))
    random.shuffle(order)
    assert group(frame[order], TABLES).equals(group(frame, TABLES)[order])


@QUICK
@given(claims(most=6), st.randoms(use_true_random=False))
def test_order_of_codes_does_not_matter(frame: pl.DataFrame, random):
    rows = []
    for row in frame.iter_rows(named=True):
        pairs = list(zip(row["sdx"], row["sdx_poa"], strict=True))
        random.shuffle(pairs)
        random.shuffle(row["procedures"])
        rows.append(row | {"sdx": [code for code, _ in pairs], "sdx_poa": [poa for _, poa in pairs]})
    shuffled = pl.DataFrame(rows, schema=frame.schema)
    assert group(shuffled, TABLES).select(ANSWER).equals(group(frame, TABLES).select(ANSWER))


@QUICK
@given(claims(most=6))
def test_how_codes_are_written_does_not_matter(frame: pl.DataFrame):
    def dirty(code: pl.Expr) -> pl.Expr:
        return pl.format(" {} ", pl.concat_str(code.str.head(3), pl.lit("."), code.str.slice(3))).str.to_lowercase()

    written = frame.with_columns(
        dirty(pl.col("pdx")).alias("pdx"), pl.col("sdx", "procedures").list.eval(dirty(pl.element()))
    )
    assert group(written, TABLES).select(ANSWER).equals(group(frame, TABLES).select(ANSWER))


@QUICK
@given(claims(most=6))
def test_an_excluded_or_unknown_code_changes_nothing(frame: pl.DataFrame):
    longer = frame.with_columns(
        pl.col("sdx").list.concat(pl.lit(["NOPE"])), pl.col("sdx_poa").list.concat(pl.lit(["Y"]))
    )
    assert group(longer, TABLES).select(ANSWER).equals(group(frame, TABLES).select(ANSWER))


@QUICK
@given(claims(), st.lists(st.integers(0, 11), max_size=20))
def test_encoded_admissions_can_be_taken_in_any_order(frame: pl.DataFrame, picked: list[int]):
    rows = np.array([row for row in picked if row < len(frame)], np.int64)
    encoded = encode(frame, TABLES)
    taken = group_encoded(encoded.take(rows), TABLES).frame()
    assert taken.equals(group_encoded(encoded, TABLES).frame()[rows])


def test_threads_do_not_matter(shared):
    program = (
        "import sys, polars as pl; import drgsim.numerics.parallel; drgsim.numerics.parallel.SMALLEST = 1_000;"
        "from drgsim import group; from drgsim.schema import GROUPED;"
        "claims = pl.read_parquet(sys.argv[1]); assert len(claims) > 3_000;"
        "print(group(claims, version='43.1').select(GROUPED.names).hash_rows().sum())"
    )
    claims = str(shared / "claims/v400_claims.parquet")
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", program, claims],
            env={**os.environ, "POLARS_MAX_THREADS": threads},
            stdout=subprocess.PIPE,
            text=True,
        )
        for threads in ("1", "2", "3")
    ]
    answers = {run.communicate()[0] for run in runs}
    assert [run.returncode for run in runs] == [0, 0, 0]
    assert len(answers) == 1


# ------------------------------------------------------------------------------------ the pieces


@QUICK
@given(st.lists(st.text("AB01. ab", max_size=4), max_size=30), st.lists(st.text("AB01", min_size=1), unique=True))
def test_a_codebook_numbers_what_it_knows_and_nothing_else(texts: list[str], codes: list[str]):
    book = Codebook.of(pl.Series(codes, dtype=pl.String))
    known = {code: number for number, code in enumerate(codes, start=1)}
    series = pl.Series([*texts, None, *codes], dtype=pl.String)
    clean = normalise_codes(series).to_list()
    expected = [known.get(raw, known.get(tidy, 0)) for raw, tidy in zip(series, clean, strict=True)]
    assert book.numbers(series).tolist() == expected


@QUICK
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2**64 - 1)), min_size=1, max_size=200))
def test_distinct_is_exact(rows: list[tuple[int, int]]):
    columns = [np.array([row[place] for row in rows], np.uint64) for place in (0, 1)]
    chosen, of = find_distinct_rows(columns)
    assert [rows[chosen[place]] for place in of] == rows
    assert len(chosen) == len(set(rows))


@QUICK
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 255)), max_size=40))
def test_or_into_ors_what_belongs_to_each_row(pairs: list[tuple[int, int]]):
    pairs.sort()
    words = np.zeros(6, np.uint64)
    or_into(words, np.array([row for row, _ in pairs], np.int64), np.array([value for _, value in pairs], np.uint64))
    for row in range(6):
        assert words[row] == np.bitwise_or.reduce(np.array([v for r, v in pairs if r == row], np.uint64), initial=0)


@pytest.mark.parametrize("n", [0, 1, 16_383, 40_000, 700_001])
def test_spans_cover_all_rows_once(n: int):
    spans = run_over_spans(n, lambda start, stop: (start, stop))
    assert spans[0][0] == 0
    assert spans[-1][1] == n
    assert all(first[1] == second[0] for first, second in pairwise(spans))
