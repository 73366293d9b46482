"""Number, batches, chunks and threads cannot change generated admissions."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drgsim.grouping.grouper import group
from drgsim.numerics import parallel
from drgsim.synthetic.generation_plan import compile_plan
from drgsim.synthetic.generator import generate, generate_batches
from drgsim.synthetic.pilot import draw_confirmed_stays
from drgsim.synthetic.population import Population
from drgsim.tables.table_set import TableSet

TABLES = TableSet.load("43.1")
COUNT = 3_000


@pytest.fixture(scope="module")
def admissions():
    return generate(COUNT, seed=1, tables=TABLES)[1]


@settings(max_examples=15, deadline=None)
@given(n=st.integers(0, COUNT))
def test_a_prefix_is_the_same_admissions(admissions, n):
    assert generate(n, seed=1, tables=TABLES)[1].equals(admissions.head(n))


@settings(max_examples=10, deadline=None)
@given(size=st.integers(100, COUNT))
def test_batches_do_not_matter(admissions, size):
    start = 0
    for _, batch in generate_batches(COUNT, seed=1, tables=TABLES, batch_size=size):
        assert batch.equals(admissions.slice(start, size))
        start += size


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_threads_do_not_matter(admissions, threads, monkeypatch):
    monkeypatch.setattr(parallel, "SMALLEST", 100)
    monkeypatch.setattr(parallel.pl, "thread_pool_size", lambda: threads)
    assert generate(COUNT, seed=1, tables=TABLES)[1].equals(admissions)


def test_chunks_do_not_matter(admissions, monkeypatch):
    monkeypatch.setattr("drgsim.synthetic.generator._CHUNK", 77)
    assert generate(COUNT, seed=1, tables=TABLES)[1].equals(admissions)


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(2, 2**63))
def test_another_seed_gives_other_admissions_that_group_as_well(admissions, seed):
    other = generate(COUNT, seed=seed, tables=TABLES)[1]
    for column in ("age", "pdx", "sdx", "los_days", "hospital_id", "discharge_date"):
        assert not other[column].equals(admissions[column])
    assert (group(other, TABLES)["return_code"] == "OK").all()


def test_the_grouper_agrees_with_the_drg_that_was_drawn():
    plan = compile_plan(TABLES, Population.load("medicare_ffs"), None)
    admissions = generate(COUNT, seed=9, tables=TABLES)[1]
    place, _ = draw_confirmed_stays(admissions["admission_id"].to_numpy(), 9, plan)
    assert group(admissions, TABLES)["drg"].to_list() == plan.templates.drg[place].tolist()
