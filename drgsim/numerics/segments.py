"""Rows end to end: runs of equal rows, ORs over them, stretches, distinct combinations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from drgsim.numerics.arrays import Int32Array, Int64Array, UInt64Array

_SPREAD = np.uint64(0x9E3779B97F4A7C15)
_BITS = 63
"""Bits of an int64 that is not negative."""


def or_into(
    words: UInt64Array, rows: NDArray[np.integer], values: UInt64Array, first: Int64Array | None = None
) -> None:
    """OR `values` into `words` at `rows`, which ascend and may repeat.

    `first` is `find_run_starts(rows)`, if already computed.
    """
    if len(rows):
        first = find_run_starts(rows) if first is None else first
        words[rows.take(first)] |= np.bitwise_or.reduceat(values, first)


def argsort_keys(keys: Int64Array) -> Int64Array:
    """Return the stable order that sorts keys, none of them negative.

    >>> argsort_keys(np.array([4, 1, 4, 0])).tolist()
    [3, 1, 0, 2]
    """
    place = len(keys).bit_length()
    if int(keys.max(initial=0)).bit_length() + place > _BITS:
        return np.argsort(keys, kind="stable")
    return np.sort((keys << place) | np.arange(len(keys))) & (
        (1 << place) - 1
    )  # one sort of numbers is faster than an argsort


def find_run_starts(rows: NDArray[np.integer]) -> Int64Array:
    """Return where each run of equal rows begins.

    >>> find_run_starts(np.array([4, 4, 7]))
    array([0, 2])
    """
    change = np.empty(len(rows), np.bool_)
    change[:1] = True
    np.not_equal(rows[1:], rows[:-1], out=change[1:])
    return np.flatnonzero(change)


def find_distinct_rows(columns: Sequence[UInt64Array]) -> tuple[Int64Array, Int64Array]:
    """Return a row of each distinct combination of columns, and which of these each row equals.

    It is exact: rows of one hash slot are compared in full, and those that differ from the row in their slot try
    another slot.

    >>> find_distinct_rows([np.array([7, 8, 7], np.uint64)])[1].tolist() in ([0, 1, 0], [1, 0, 1])
    True
    """
    n = len(columns[0])
    bits = max(8, min(16, n.bit_length()))
    mixed = columns[0] * _SPREAD
    for nth, column in enumerate(columns[1:], start=1):
        mixed ^= column * _find_multiplier(nth)
    mixed ^= mixed >> np.uint64(29)
    mixed *= _SPREAD
    slots = np.empty(1 << bits, np.int32)
    waiting = np.arange(n, dtype=np.int32)
    equal_to = _take_slots(slots, mixed >> np.uint64(64 - bits), waiting)
    same = _are_equal(columns, equal_to, slice(None))
    while not same.all():
        waiting = waiting[np.flatnonzero(~same)]
        mixed[waiting] = (mixed[waiting] ^ (mixed[waiting] >> np.uint64(31))) * _SPREAD
        winner = _take_slots(slots, mixed[waiting] >> np.uint64(64 - bits), waiting)
        equal_to[waiting] = winner
        same = _are_equal(columns, winner, waiting)
    is_chosen = np.zeros(n, np.bool_)
    is_chosen[equal_to] = True
    chosen = np.flatnonzero(is_chosen)
    place = np.empty(n, np.int64)
    place[chosen] = np.arange(len(chosen))
    return chosen, place[equal_to]


def _find_multiplier(nth: int) -> np.uint64:
    """Return a different odd multiplier for each column."""
    return np.uint64(pow(int(_SPREAD), 2 * nth + 1, 1 << 64))


def _take_slots(slots: Int32Array, slot: UInt64Array, rows: Int32Array) -> Int32Array:
    """Let each row take its slot, and return the row that has it in the end."""
    at = slot.view(np.int64)
    slots[at] = rows
    return slots.take(at)


def _are_equal(columns: Sequence[UInt64Array], rows: Int32Array, others: Int32Array | slice) -> NDArray[np.bool_]:
    """Return whether rows equal the others in every column."""
    same: NDArray[np.bool_] = columns[0].take(rows) == columns[0][others]
    for column in columns[1:]:
        same &= column.take(rows) == column[others]
    return same


def rank_distinct(numbers: Int32Array) -> tuple[Int32Array, Int64Array]:
    """Return the distinct numbers in ascending order, and which of these each number is.

    No number may be negative, and none so large that a table of that length does not fit in memory.

    >>> distinct, which = rank_distinct(np.array([7, 2, 7], np.int32))
    >>> distinct.tolist(), which.tolist()
    ([2, 7], [1, 0, 1])
    """
    present = np.zeros(int(numbers.max(initial=0)) + 1, np.bool_)
    present[numbers] = True
    return np.flatnonzero(present).astype(np.int32), (np.cumsum(present) - 1).take(numbers)


def sort_distinct(keys: Int64Array) -> Int64Array:
    """Return the distinct keys in ascending order.

    >>> sort_distinct(np.array([3, 1, 3]))
    array([1, 3])
    """
    ordered = np.sort(keys)
    return ordered[find_run_starts(ordered)]


def expand_rows(start: Int64Array, rows: Int64Array) -> tuple[Int64Array, Int64Array]:
    """Return the positions of the given rows, end to end, and the place in `rows` of each.

    >>> expand_rows(np.array([0, 2, 2, 5]), np.array([0, 2]))
    (array([0, 1, 2, 3, 4]), array([0, 0, 1, 1, 1]))
    """
    begin = start[rows]
    return expand_stretches(begin, start[rows + 1] - begin)


def expand_stretches(begin: Int64Array, lengths: Int64Array) -> tuple[Int64Array, Int64Array]:
    """Return the positions of stretches from `begin`, end to end, and the stretch of each.

    >>> expand_stretches(np.array([5, 0]), np.array([2, 1]))
    (array([5, 6, 0]), array([0, 0, 1]))
    """
    end = np.cumsum(lengths)
    which = find_owners(np.append(0, end))
    positions = np.arange(len(which))
    positions += (begin - (end - lengths)).take(which)
    return positions, which


def find_owners(start: Int64Array) -> Int64Array:
    """Return the stretch of each position, for stretches start[i] to start[i + 1] from 0.

    >>> find_owners(np.array([0, 2, 2, 3])).tolist()
    [0, 0, 2]
    """
    positions = int(start[-1])
    return np.cumsum(
        np.bincount(start[1:-1], minlength=positions)[:positions]
    )  # faster than repeat for many short stretches


def is_among(keys: Int64Array, ordered: Int64Array) -> NDArray[np.bool_]:
    """Return whether each key is one of `ordered`, which are ascending.

    >>> is_among(np.array([4, 1]), np.array([1, 3])).tolist()
    [False, True]
    """
    if not len(ordered):
        return np.zeros(len(keys), np.bool_)
    found: NDArray[np.bool_] = ordered.take(np.searchsorted(ordered, keys), mode="clip") == keys
    return found
