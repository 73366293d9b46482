"""Formulas turned into codes: what each alternative requires, and templates that the grouper confirms."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from drgsim.synthetic.drg_requirements import ALIVE, DIED, WORDS, Requirement, list_requirements
from drgsim.synthetic.population import Population
from drgsim.synthetic.template_solver import TemplateSolver
from drgsim.synthetic.templates import check_templates, find_destinations
from drgsim.tables.codebook import load_codebooks
from drgsim.tables.table_set import CLAIM_WORDS, TableSet

TABLES = TableSet.load("43.1")


@pytest.fixture(scope="module")
def solver() -> TemplateSolver:
    return TemplateSolver(TABLES, Population.load("medicare_ffs"))


def test_an_alternative_becomes_a_requirement():
    assert list(list_requirements("MCC & PDX:hiv & ~fuse & SDX:renal & a & b")) == [
        Requirement(frozenset({"hiv"}), sdx=("renal",), procedures=(("a",), ("b",)), not_procedure=frozenset({"fuse"}))
    ]
    assert [requirement.status for requirement in list_requirements("ALIVE & ANY:ami")] == [ALIVE, ALIVE]
    assert [(requirement.pdx, requirement.sdx) for requirement in list_requirements("ANY:ami")] == [
        (frozenset({"ami"}), ()),
        (frozenset(), ("ami",)),
    ]


def test_counted_words_add_up_to_four():
    for word in ("FOUR_VESSELS", "FOUR_STENTS"):
        for way in WORDS[word]:
            assert sum(int(operands[0][-1]) for operands in way) >= 4
    assert len(WORDS["BILATERAL"]) == 15


def test_every_word_of_a_claim_is_understood():
    """The solver would look for an unknown word among the operands of procedures."""
    required = (operands for requirement in list_all_requirements() for operands in requirement.procedures)
    words = {name for operands in required for name in operands}
    assert not words & CLAIM_WORDS


def list_all_requirements() -> list[Requirement]:
    formulas = TABLES.formulas.filter(pl.col("drg") > 0)["formula"].unique()
    return [requirement for formula in formulas for requirement in list_requirements(formula)]


@pytest.mark.parametrize("drg", [3, 19, 283, 322, 426, 470, 650, 768, 790, 871, 894, 957, 969, 981])
def test_templates_are_confirmed_by_the_grouper(solver, drg):
    masks, endings = check_templates(solver.solve(drg, 0.001), TABLES)
    assert (masks > 0).mean() > 0.25
    if drg == 283:
        assert set(endings[masks > 0].tolist()) == {DIED}


def test_severity_decides_between_members_of_a_family(solver):
    without, with_mcc = (check_templates(solver.solve(drg, 0.001), TABLES)[0] for drg in (470, 469))
    assert np.bincount(without[without > 0]).argmax() == 0b011  # without a comorbidity or with a CC
    assert np.bincount(with_mcc[with_mcc > 0]).argmax() == 0b100  # with an MCC


def test_common_codes_are_common(solver):
    templates = solver.solve(871, 0.1)
    book = load_codebooks(TABLES)[0]
    pdx = [book.codes[template.pdx - 1] for template in templates]
    assert 0.4 < pdx.count("A419") / len(pdx) < 0.7
    assert len(set(pdx)) > 30


def test_cases_of_a_retired_drg_group_to_its_successor():
    old = TableSet.load("40.1")
    solver = TemplateSolver(old, Population.load("medicare_ffs"))
    found = find_destinations(solver.solve(247, 0.0), old, TABLES)
    assert sum(found.values()) == pytest.approx(1)
    assert found[322] > 0.9
