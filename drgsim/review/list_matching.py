"""Lists of codes of two codings matched, row by row; the order of a list does not matter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from drgsim.numerics.arrays import Int32Array, Int64Array
from drgsim.numerics.parallel import run_over_spans
from drgsim.numerics.segments import argsort_keys, find_run_starts
from drgsim.schema import ADMISSIONS, check_frame, normalise_codes
from drgsim.tables.codebook import UNKNOWN_CODE, load_codebooks
from drgsim.tables.encoding import Encoded, flatten_lists
from drgsim.tables.table_set import TableSet

_KEY_BITS = 22


@dataclass(frozen=True, eq=False)
class Coding:
    """One side: its codes by number, (n,) stays. A text that is no code has a number of its own.

    Attributes:
        encoded: as the grouper reads the codes.
        pdx, sdx, procedures: the numbers; `sdx` and `procedures` lie end to end as in `encoded`.
    """

    encoded: Encoded
    pdx: Int32Array
    sdx: Int32Array
    procedures: Int32Array


def number_codings(
    frames: tuple[pl.DataFrame, pl.DataFrame], encoded: tuple[Encoded, Encoded], tables: TableSet
) -> tuple[tuple[Coding, Coding], tuple[pl.Series, pl.Series]]:
    """Return both sides by number, and the texts of diagnoses and procedures by number.

    Args:
        frames: reference and other, (n,) `schema.ADMISSIONS` each.
        encoded: the same as the grouper reads them.
        tables: of the table folder that encoded them.
    """
    texts = [pl.concat([pl.Series([""]), book.codes]) for book in load_codebooks(tables)]
    sides: list[dict[str, Int32Array]] = [{}, {}]
    checked = [check_frame(frame, ADMISSIONS) for frame in frames]
    for kind, names in ((0, ("pdx", "sdx")), (1, ("procedures",))):
        strange: list[tuple[int, str, Int64Array, pl.Series]] = []
        for side, (frame, own) in enumerate(zip(checked, encoded, strict=True)):
            for name in names:
                numbers = getattr(own, name)
                sides[side][name] = numbers
                at = np.flatnonzero(numbers == UNKNOWN_CODE)
                if len(at):
                    column = frame[name] if name == "pdx" else flatten_lists(frame[name])
                    strange.append((side, name, at, normalise_codes(column.gather(at)).fill_null("")))
        if strange:
            new = pl.concat([words for *_, words in strange]).unique().sort()
            new = new.filter(new != "")
            known = pl.Series(np.arange(len(texts[kind]), len(texts[kind]) + len(new)), dtype=pl.Int32)
            texts[kind] = pl.concat([texts[kind], new])
            for side, name, at, words in strange:
                numbers = sides[side][name].copy()
                numbers[at] = words.replace_strict(new, known, default=0, return_dtype=pl.Int32).to_numpy()
                sides[side][name] = numbers
    codings = tuple(Coding(own, **side) for own, side in zip(encoded, sides, strict=True))
    return (codings[0], codings[1]), (texts[0], texts[1])


@dataclass(frozen=True, eq=False)
class AlignedLists:
    """Positions of equal codes in both lists, and positions that are left on each side."""

    same: tuple[Int64Array, Int64Array]
    left: tuple[Int64Array, Int64Array]


def align_lists(a: Int32Array, a_start: Int64Array, b: Int32Array, b_start: Int64Array) -> AlignedLists:
    """Match equal codes of the lists of each row; a code that is there twice is matched twice."""

    def align_span(first: int, last: int) -> tuple[Int64Array, Int64Array]:
        own, theirs = (slice(start[first], start[last]) for start in (a_start, b_start))
        rows = [np.repeat(np.arange(last - first), np.diff(s[first : last + 1])) for s in (a_start, b_start)]
        at, to = match_keys(rows[0], a[own], rows[1], b[theirs])
        return at + a_start[first], to + b_start[first]

    spans = run_over_spans(len(a_start) - 1, align_span)
    at, to = (np.concatenate([np.zeros(0, np.int64), *(span[i] for span in spans)]) for i in (0, 1))
    left = []
    for matched, codes in ((at, a), (to, b)):
        unmatched = codes > 0
        unmatched[matched] = False
        left.append(np.flatnonzero(unmatched))
    return AlignedLists((at, to), (left[0], left[1]))


def match_keys(
    row_a: Int64Array, key_a: Int32Array, row_b: Int64Array, key_b: Int32Array
) -> tuple[Int64Array, Int64Array]:
    """Return which places of two lists have the same row and key; key 0 matches nothing.

    Of equal keys of a row the first match each other, then the second, and so on.

    >>> zero = np.zeros(3, np.int64)
    >>> at, to = match_keys(zero, np.array([7, 8, 7], np.int32), zero, np.array([7, 9, 8], np.int32))
    >>> at.tolist(), to.tolist()
    ([0, 1], [0, 2])
    """
    sides = []
    for row, key in ((row_a, key_a), (row_b, key_b)):
        there = np.flatnonzero(key)
        packed = (row[there] << _KEY_BITS) | key[there]
        order = argsort_keys(packed)
        packed = packed[order]
        first = find_run_starts(packed)
        rank = np.arange(len(packed)) - np.repeat(first, np.diff(np.append(first, len(packed))))
        sides.append(((packed << 10) | np.minimum(rank, 1023), there[order]))
    (keys, places), (others, other_places) = sides
    found = np.searchsorted(others, keys)
    is_same = np.zeros(len(keys), np.bool_)
    inside = found < len(others)
    is_same[inside] = others[found[inside]] == keys[inside]
    return places[is_same], other_places[found[is_same]]


def match_in_steps(
    left: Sequence[Int64Array],
    codes: tuple[Int32Array, Int32Array],
    rows: tuple[Int32Array, Int32Array],
    keys: Sequence[Int32Array],
) -> tuple[Int64Array, Int64Array, tuple[Int64Array, Int64Array]]:
    """Match codes by each key in turn; return what stays on each side, and the pairs."""
    one, other = left
    order = np.argsort(codes[0][one], kind="stable"), np.argsort(codes[1][other], kind="stable")
    one, other = one[order[0]], other[order[1]]  # so that the order of a list does not matter
    pairs: list[tuple[Int64Array, Int64Array]] = [(np.zeros(0, np.int64), np.zeros(0, np.int64))]
    for key in keys:
        at, to = match_keys(
            rows[0][one].astype(np.int64), key[codes[0][one]], rows[1][other].astype(np.int64), key[codes[1][other]]
        )
        pairs.append((one[at], other[to]))
        one, other = np.delete(one, at), np.delete(other, to)
    return one, other, (np.concatenate([p[0] for p in pairs]), np.concatenate([p[1] for p in pairs]))
