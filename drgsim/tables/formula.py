"""The DRG formula language: operands joined by `&`, `|`, `~` and parentheses, parsed once.

`~` binds tightest, then `&`, then `|`. A formula is evaluated in two ways: as its alternatives
(`expand_alternatives`: a sum of products, which the engine turns into bit masks), and from left to right for one
admission (`trace_formula`), with a list of the operands found true.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from math import prod

from drgsim.exceptions import TableError

MOST_CHARACTERS, MOST_NESTED, MOST_ALTERNATIVES = 10_000, 100, 1_000
"""Limits of a formula; those of CMS have at most 409 characters, 3 levels, 12 alternatives."""
_TOKEN = re.compile(r"\s*([()&|~]|[^()&|~\s]+)")


@dataclass(frozen=True)
class Operand:
    """One name, such as `MCC`, `PDX:hiv` or `cardefib`."""

    name: str


@dataclass(frozen=True)
class Not:
    """True if its part is false."""

    part: Node


@dataclass(frozen=True)
class And:
    """True if all parts are true."""

    parts: tuple[Node, ...]


@dataclass(frozen=True)
class Or:
    """True if any part is true."""

    parts: tuple[Node, ...]


Node = Operand | Not | And | Or
Alternative = frozenset[tuple[str, bool]]


@lru_cache(maxsize=8192)
def parse_formula(text: str) -> Node:
    """Return the parsed formula.

    Raises:
        TableError: the text is not a formula; the message says where.

    >>> parse_formula("a & (b | ~c)")
    And(parts=(Operand(name='a'), Or(parts=(Operand(name='b'), Not(part=Operand(name='c'))))))
    """
    if len(text) > MOST_CHARACTERS or _bound_depth(text) > MOST_NESTED:
        raise TableError(f"formula {text[:60]!r}…: longer or deeper than any formula ({len(text)} characters).")
    tokens = [*_TOKEN.findall(text), ""]
    node, rest = _parse_or(tokens, 0, text)
    if tokens[rest]:
        raise TableError(f"formula {text!r}: unexpected {tokens[rest]!r}.")
    return node


def _bound_depth(text: str) -> int:
    """Return an upper bound of the nesting depth: the number of parentheses and tildes."""
    return text.count("(") + text.count("~")


def _parse_or(tokens: list[str], at: int, text: str) -> tuple[Node, int]:
    parts, at = _parse_series(tokens, at, text, "|")
    return (parts[0] if len(parts) == 1 else Or(tuple(parts))), at


def _parse_and(tokens: list[str], at: int, text: str) -> tuple[Node, int]:
    parts, at = _parse_series(tokens, at, text, "&")
    return (parts[0] if len(parts) == 1 else And(tuple(parts))), at


def _parse_series(tokens: list[str], at: int, text: str, sign: str) -> tuple[list[Node], int]:
    inner = _parse_and if sign == "|" else _parse_single
    part, at = inner(tokens, at, text)
    parts = [part]
    while tokens[at] == sign:
        part, at = inner(tokens, at + 1, text)
        parts.append(part)
    return parts, at


def _parse_single(tokens: list[str], at: int, text: str) -> tuple[Node, int]:
    token = tokens[at]
    if token == "~":
        part, at = _parse_single(tokens, at + 1, text)
        return Not(part), at
    if token == "(":
        part, at = _parse_or(tokens, at + 1, text)
        if tokens[at] != ")":
            raise TableError(f"formula {text!r}: a parenthesis is not closed.")
        return part, at + 1
    if token in ("", "&", "|", ")"):
        raise TableError(f"formula {text!r}: an operand is missing before {repr(token) if token else 'its end'}.")
    return Operand(token), at + 1


def list_operands(node: Node) -> Iterator[str]:
    """Yield every operand name of a formula, in reading order.

    >>> list(list_operands(parse_formula("MCC & (a | ~b)")))
    ['MCC', 'a', 'b']
    """
    if isinstance(node, Operand):
        yield node.name
    else:
        for part in (node.part,) if isinstance(node, Not) else node.parts:
            yield from list_operands(part)


@lru_cache(maxsize=8192)
def expand_alternatives(node: Node, *, wanted: bool = True) -> tuple[Alternative, ...]:
    """Return the formula as alternatives, each a set of (operand, truth) that must all hold.

    >>> [sorted(alternative) for alternative in expand_alternatives(parse_formula("a & (b | ~c)"))]
    [[('a', True), ('b', True)], [('a', True), ('c', False)]]
    """
    if isinstance(node, Operand):
        return (frozenset({(node.name, wanted)}),)
    if isinstance(node, Not):
        return expand_alternatives(node.part, wanted=not wanted)
    parts, is_sum = [expand_alternatives(part, wanted=wanted) for part in node.parts], isinstance(node, Or) == wanted
    if (sum if is_sum else prod)(map(len, parts)) > MOST_ALTERNATIVES:
        raise TableError(f"a formula has more than {MOST_ALTERNATIVES:,} alternatives.")
    if is_sum:
        found = [alternative for part in parts for alternative in part]
    else:
        found = [frozenset().union(*choice) for choice in product(*parts)]
    possible = dict.fromkeys(a for a in found if not any((name, not truth) in a for name, truth in a))
    return tuple(a for a in possible if not any(other < a for other in possible))


def trace_formula(node: Node, holds: Callable[[str], bool]) -> tuple[bool, tuple[str, ...]]:
    """Return whether a formula is true, evaluated left to right until the result is known.

    Returns:
        Whether the formula is true, and the operands found true, in order, also those of a branch that
        is false.

    >>> trace_formula(parse_formula("(MCC & (a | b)) | c"), {"MCC", "c"}.__contains__)
    (True, ('MCC', 'c'))
    """
    if isinstance(node, Operand):
        truth = holds(node.name)
        return truth, ((node.name,) if truth else ())
    if isinstance(node, Not):
        truth, found = trace_formula(node.part, holds)
        return not truth, found
    collected: tuple[str, ...] = ()
    for part in node.parts:
        truth, found = trace_formula(part, holds)
        collected += found
        if truth == isinstance(node, Or):
            return truth, collected
    return isinstance(node, And), collected
