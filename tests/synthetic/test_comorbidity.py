"""The comorbidity model: the levels allowed, how likely conditions are, and that they occur together."""

from __future__ import annotations

import numpy as np
import pytest

from drgsim.synthetic.comorbidity import CC, MCC, compile_comorbidity, find_segments
from drgsim.synthetic.population import Population
from drgsim.tables.code_limits import FEMALE, MALE
from drgsim.tables.national_facts import read_facts
from drgsim.tables.table_set import TableSet

TABLES = TableSet.load("43.1")
N = 100_000
IDS = np.arange(N, dtype=np.uint64)


@pytest.fixture(scope="module")
def model():
    return compile_comorbidity(TABLES, Population.load("medicare_ffs"))


def draw(model, allowed: int, *, mdc=5, age=78, sex=FEMALE):
    segment = find_segments(np.full(N, mdc), np.zeros(N, np.bool_), np.full(N, age), np.full(N, sex, np.uint8))
    return model.draw(3, IDS, 0, segment, np.full(N, allowed, np.uint8), 30)


def count_conditions(model, found, level):
    return np.bincount(found.owner[model.conditions.level[found.condition] == level], minlength=N)


@pytest.mark.parametrize(("allowed", "level"), [(0b001, 0), (0b010, 1), (0b100, 2)])
def test_the_only_level_allowed_is_drawn(model, allowed, level):
    found = draw(model, allowed)
    assert (found.level == level).all()
    mcc, cc = count_conditions(model, found, MCC), count_conditions(model, found, CC)
    assert (mcc > 0).all() if level == MCC else not mcc.any()
    if level < MCC:
        assert (cc > 0).all() if level == CC else not cc.any()


def test_levels_are_as_frequent_as_their_conditions(model):
    found = draw(model, 0b111)
    segment = find_segments(np.array([5]), np.array([False]), np.array([78]), np.array([FEMALE], np.uint8))[0]
    np.testing.assert_allclose(np.bincount(found.level) / N, model.level_share[segment], atol=0.006)


def test_conditioning_on_the_level_is_exact(model):
    """Drawing the level first and then the rest gives the same as drawing all and selecting by level."""
    free, conditional = draw(model, 0b111), draw(model, 0b100)
    with_mcc = np.flatnonzero(free.level == MCC)
    for level in (MCC, CC, 0):
        expected, found = count_conditions(model, free, level)[with_mcc], count_conditions(model, conditional, level)
        assert found.mean() == pytest.approx(expected.mean(), rel=0.02)
        assert found.std() == pytest.approx(expected.std(), rel=0.03)


def test_burden_score_is_standardised(model):
    for allowed in (0b001, 0b010, 0b100):
        score = draw(model, allowed).score
        assert score.mean() == pytest.approx(0, abs=0.02)
        assert score.std() == pytest.approx(1, abs=0.02)


def test_redundancy_emerges(model):
    mcc = count_conditions(model, draw(model, 0b100), MCC)
    cc = count_conditions(model, draw(model, 0b010), CC)
    assert 0.35 < (mcc == 1).mean() < 0.65
    assert (cc > 1).mean() > 0.4


def test_conditions_of_one_sex_stay_with_it(model):
    codes = read_facts("conditions", TABLES.folder)["code"]
    for sex, never in ((MALE, "Z90710"), (FEMALE, "N400")):
        found = draw(model, 0b111, sex=sex)
        assert not (codes.gather(found.condition.astype(np.uint32)) == never).any()


def test_newborns_have_newborn_conditions_only(model):
    found = draw(model, 0b111, mdc=15, age=0)
    groups = read_facts("conditions", TABLES.folder)["group"].gather(found.condition.astype(np.uint32))
    assert set(groups) == {"newborn"}
