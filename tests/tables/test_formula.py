from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drgsim.exceptions import TableError
from drgsim.tables.formula import (
    And,
    Node,
    Not,
    Operand,
    Or,
    expand_alternatives,
    list_operands,
    parse_formula,
    trace_formula,
)
from drgsim.tables.table_set import TableSet, versions

NAMES = st.sampled_from("abcde")
NODES = st.recursive(
    NAMES.map(Operand),
    lambda inner: st.one_of(
        inner.map(Not),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: And(tuple(parts))),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: Or(tuple(parts))),
    ),
    max_leaves=8,
)


def written(node: Node) -> str:
    if isinstance(node, Operand):
        return node.name
    if isinstance(node, Not):
        return f"~({written(node.part)})"
    return "(" + (" & " if isinstance(node, And) else " | ").join(written(part) for part in node.parts) + ")"


def truth(node: Node, true: frozenset[str]) -> bool:
    return bool(eval(written(node).replace("~", " not ").replace("&", " and ").replace("|", " or "), {}, {
        name: name in true for name in "abcde"
    }))  # fmt: skip


@given(NODES, st.frozensets(NAMES))
def test_alternatives_trace_and_python_agree(node: Node, true: frozenset[str]):
    expected = truth(node, true)
    assert trace_formula(node, true.__contains__)[0] == expected
    assert any(all((name in true) == wanted for name, wanted in a) for a in expand_alternatives(node)) == expected


@given(NODES)
def test_parsing_what_is_written_means_the_same(node: Node):
    parsed = parse_formula(written(node))
    for true in (frozenset(), frozenset("a"), frozenset("bd"), frozenset("abcde")):
        assert truth(parsed, true) == truth(node, true)


def test_and_binds_tighter_than_or():
    assert parse_formula("a | b & ~c") == Or((Operand("a"), And((Operand("b"), Not(Operand("c"))))))


def test_trace_collects_what_was_true_on_a_failed_branch():
    assert trace_formula(parse_formula("(MCC & (x | y)) | z"), {"MCC", "z"}.__contains__) == (True, ("MCC", "z"))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a &", "an operand is missing before its end"),
        ("(a | b", "not closed"),
        ("a b", "unexpected 'b'"),
        ("", "missing"),
        ("a | & b", "missing before '&'"),
    ],
)
def test_a_malformed_formula_says_where(text: str, reason: str):
    with pytest.raises(TableError, match=reason):
        parse_formula(text)


@pytest.mark.parametrize("version", versions())
def test_every_formula_of_every_version_parses(version: str):
    for text in TableSet.load(version).formulas["formula"]:
        assert list(list_operands(parse_formula(text)))
        assert expand_alternatives(parse_formula(text))
