"""Random numbers keyed by seed, stream and admission id.

A draw is a hash of its key and of nothing else: batches, threads, row order and machines cannot change it, and
a new stream changes no other stream. The hash is the finaliser of SplitMix64 (Steele, Lea and
Flood, OOPSLA 2014; constants of Stafford's variant 13) over `id * golden ratio + key`, with a second key
between its two multiplications; both keys are SHA-256 words of the seed and the stream's name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from drgsim.numerics.arrays import FloatArray, Int64Array, UInt64Array

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_SLOT = np.uint64(0xD1B54A32D192ED03)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)
_HALF = np.uint64(32)
_LOW = np.uint64(0xFFFFFFFF)
_UNIT = 2.0**-53
TOGETHER = 16
"""Replicates whose events are drawn together."""
_SIXTEEN = np.uint64(0xFEDCBA9876543210)
_FIFTEEN, _FOUR = np.uint64(15), np.uint64(4)


@lru_cache(maxsize=4096)
def _make_stream_keys(seed: int, stream: str) -> tuple[np.uint64, np.uint64]:
    digest = hashlib.sha256(f"{seed}\n{stream}".encode()).digest()
    return np.uint64(int.from_bytes(digest[:8], "little")), np.uint64(int.from_bytes(digest[8:16], "little"))


def random_bits(seed: int, stream: str, ids: ArrayLike, slots: ArrayLike | None = None) -> UInt64Array:
    """Return 64 random bits for each key, (n,) uint64.

    Args:
        seed: any integer.
        stream: the purpose of the draw, such as "discharge status".
        ids: (n,) admission ids.
        slots: (n,) places within an admission, where a stream needs several draws; 0 is the same as none.

    >>> random_bits(1, "age", [0, 1]).tolist() == [random_bits(1, "age", [i]).item() for i in (0, 1)]
    True
    """
    first, second = _make_stream_keys(seed, stream)
    x = np.asarray(ids, np.uint64) * _GOLDEN
    if slots is not None:
        x = x + np.asarray(slots, np.uint64) * _SLOT
    x += first
    x ^= x >> np.uint64(30)
    x *= _FIRST
    x ^= second
    x ^= x >> np.uint64(27)
    x *= _SECOND
    x ^= x >> np.uint64(31)
    return x


def uniform(seed: int, stream: str, ids: ArrayLike, slots: ArrayLike | None = None) -> FloatArray:
    """Return uniform numbers, (n,) float64 in [0, 1), of 53 random bits each.

    Arguments: those of `random_bits`. An event of probability p happens where ``uniform(...) < p``; the
    events of a lower p are then among those of a higher p.

    >>> bool((uniform(1, "age", range(1000)) < 1).all())
    True
    """
    return to_uniform(random_bits(seed, stream, ids, slots))


def to_uniform(random: UInt64Array) -> FloatArray:
    """Return the upper 53 of 64 random bits as numbers in [0, 1)."""
    return (random >> np.uint64(11)).astype(np.float64) * _UNIT


def make_event_keys(seed: int, stream: str, ids: ArrayLike, slots: ArrayLike | None = None) -> UInt64Array:
    """Return the keys of `draw_events`, (n,): computed once, for all replicates.

    Arguments: those of `random_bits`.
    """
    return random_bits(seed, stream, ids, slots)


def find_open_bytes(rate: ArrayLike) -> NDArray[np.uint8]:
    """Return the highest first byte with which an event of each probability can happen, (n,).

    >>> find_open_bytes([0.0, 0.01, 1.0]).tolist()
    [0, 38, 255]
    """
    return np.minimum((1 - _probability_of_none(np.asarray(rate, np.float64))) * 256, 255).astype(np.uint8)


def draw_events(
    rate: ArrayLike, keys: UInt64Array, replicates: range, highest: NDArray[np.uint8] | None = None
) -> tuple[Int64Array, Int64Array]:
    """Return where events of given probabilities happen, in each replicate: (replicate, place).

    Sixteen replicates are drawn together: first how many of them have the event (binomial, by inversion), then
    which ones, as the first of an order that does not depend on the probability. So events nest: those of a low
    rate also happen at a higher rate. Nearly everywhere no replicate has the event, and one byte decides that.

    Args:
        rate: (n,) probabilities, 0 to 1.
        keys: (n,) `make_event_keys`.
        replicates: consecutive replicates, not negative.
        highest: (n,) `find_open_bytes` of the rate, if already computed.

    Returns:
        (k,) replicate and place in `rate` of each event; places ascend within a replicate.

    >>> replicate, place = draw_events([0.5, 0.0, 1.0], make_event_keys(1, "missed", [7, 8, 9]), range(3))
    >>> replicate[place == 2].tolist(), bool((place == 1).any())
    ([0, 1, 2], False)
    """
    chance = np.asarray(rate, np.float64)
    highest = find_open_bytes(chance) if highest is None else highest
    found = [(np.zeros(0, np.int64), np.zeros(0, np.int64))]
    for together in range(replicates.start // TOGETHER, -(-replicates.stop // TOGETHER)):
        byte = _draw_first_bytes(keys, together)
        place = np.flatnonzero(byte <= highest)
        own = keys[place]
        count = _count_events((byte[place] + uniform(0, "rest", own, together)) / 256, chance[place])
        which, at = _choose_replicates(count, own, together)
        replicate = TOGETHER * together + which
        asked = (replicate >= replicates.start) & (replicate < replicates.stop)
        found.append((replicate[asked], place[at[asked]]))
    replicate, place = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return replicate, place


def _draw_first_bytes(keys: UInt64Array, together: int) -> NDArray[np.uint8]:
    """Return the first byte of what decides sixteen replicates, (n,).

    Both halves of the key go through the multiplications and shifts of MurmurHash3's finaliser (A. Appleby, 2008).
    """
    first, second = (np.uint32(int(key) & 0xFFFFFFFF) for key in _make_stream_keys(together, "first bytes"))
    x = keys.astype(np.uint32)
    x ^= first
    x *= np.uint32(0x85EBCA6B)
    x ^= x >> np.uint32(15)
    x += (keys >> _HALF).astype(np.uint32)
    x ^= second
    x *= np.uint32(0xC2B2AE35)
    x ^= x >> np.uint32(13)
    x *= np.uint32(0x27D4EB2F)
    x >>= np.uint32(24)
    return x.astype(np.uint8)


def _probability_of_none(chance: FloatArray) -> FloatArray:
    """Return the probability that none of sixteen replicates has the event, (n,)."""
    return np.asarray(np.square(np.square(np.square(np.square(1 - chance)))))


def _count_events(u: FloatArray, chance: FloatArray) -> Int64Array:
    """Return how many of sixteen replicates have the event, (n,), by inversion of `u`."""
    count = np.zeros(len(u), np.int64)
    place = np.arange(len(u))
    odds = chance / np.where(chance < 1, 1 - chance, 1)
    term = _probability_of_none(chance)
    above = 1 - term
    for k in range(TOGETHER):
        still = np.flatnonzero(u < above)
        if not len(still):
            break
        place, u, odds = place[still], u[still], odds[still]
        count[place] = k + 1
        term = term[still] * odds * ((TOGETHER - k) / (k + 1))
        above = above[still] - term
    return count


def _choose_replicates(count: Int64Array, keys: UInt64Array, together: int) -> tuple[Int64Array, Int64Array]:
    """Return which of sixteen replicates have the event, `count` of them, and at which place.

    They are the first of an order of all sixteen, four bits each in a word, shuffled as far as needed (Fisher and
    Yates; Durstenfeld, Algorithm 235, 1964). Places ascend.
    """
    order = np.full(len(count), _SIXTEEN)
    at = np.flatnonzero(count)
    found = [at[:0]]
    for nth in range(TOGETHER):
        if not len(at):
            break
        random = random_bits(0, f"order {nth}", keys[at], together)
        here, there = np.uint64(4 * nth), (((random >> _HALF) * np.uint64(TOGETHER - nth)) >> _HALF) * _FOUR
        there += here
        word = order[at]
        chosen = (word >> there) & _FIFTEEN
        swap = chosen ^ ((word >> here) & _FIFTEEN)
        order[at] = word ^ (swap << here) ^ (swap << there)
        found.append((at << 4) | chosen.view(np.int64))
        at = at[count[at] > nth + 1]
    events = np.sort(np.concatenate(found))
    return events & 15, events >> 4


_CENTRE = (
    (-3.969683028665376e1, 2.209460984245205e2, -2.759285104469687e2, 1.383577518672690e2, -3.066479806614716e1,
     2.506628277459239),
    (-5.447609879822406e1, 1.615858368580409e2, -1.556989798598866e2, 6.680131188771972e1, -1.328068155288572e1, 1.0),
)  # fmt: skip
_TAIL = (
    (-7.784894002430293e-3, -3.223964580411365e-1, -2.400758277161838, -2.549732539343734, 4.374664141464968,
     2.938163982698783),
    (7.784695709041462e-3, 3.224671290700398e-1, 2.445134137142996, 3.754408661907416, 1.0),
)  # fmt: skip
_EDGE = 0.02425


def to_normal(u: ArrayLike) -> FloatArray:
    """Return the standard normal quantile of each `u`, (n,) float64.

    0 and 1 count as 2**-53 and 1 - 2**-53. The relative error is below 1.2e-9.

    Source: P. J. Acklam, An algorithm for computing the inverse normal cumulative distribution function (2003).

    >>> np.round(to_normal([0.025, 0.5, 0.975]), 6).tolist()
    [-1.959964, 0.0, 1.959964]
    """
    p = np.clip(np.asarray(u, np.float64), _UNIT, 1 - _UNIT)
    q = p - 0.5
    r = q * q
    found = np.asarray(q * _evaluate_polynomial(_CENTRE[0], r) / _evaluate_polynomial(_CENTRE[1], r))
    tail = np.flatnonzero(np.abs(q) > 0.5 - _EDGE)
    if len(tail):
        far = np.sqrt(-2 * np.log(0.5 - np.abs(q[tail])))
        found[tail] = -np.sign(q[tail]) * _evaluate_polynomial(_TAIL[0], far) / _evaluate_polynomial(_TAIL[1], far)
    return found


def _evaluate_polynomial(coefficients: Sequence[float], x: FloatArray) -> FloatArray:
    total = np.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        total *= x
        total += coefficient
    return total


def to_poisson(
    u: FloatArray, rate: FloatArray, *, at_least_one: NDArray[np.bool_] | None = None, most: int = 40
) -> Int64Array:
    """Return Poisson counts by inversion, (n,) int64, from uniforms `u` and rates `rate`.

    Args:
        u: (n,) uniforms.
        rate: (n,) float64, each well below `most`.
        at_least_one: (n,) where the count is known not to be zero (a zero-truncated Poisson).
        most: the highest count.

    >>> to_poisson(np.array([0.0, 0.5, 0.99]), np.full(3, 2.0)).tolist()
    [0, 2, 6]
    """
    term = np.exp(-rate)
    target = u if at_least_one is None else np.where(at_least_one, term + u * (1 - term), u)
    reached = term.copy()
    count = (target >= reached).astype(np.int64)
    for k in range(1, most):
        term *= rate / k
        reached += term
        above = target >= reached
        if not above.any():
            break
        count += above
    return count


@dataclass(frozen=True, eq=False)
class Choices:
    """Weighted choices among the members of many groups, with two memory reads a draw.

    Walker's alias method (1974), for all groups end to end: `start` (groups + 1,) is where each begins.
    """

    start: Int64Array
    _size: UInt64Array = field(repr=False)
    _threshold: UInt64Array = field(repr=False)
    _other: NDArray[np.int32] = field(repr=False)

    @classmethod
    def of(cls, weights: FloatArray, start: Int64Array) -> Choices:
        """Build from weights (members,), not negative; a group of zeros is drawn evenly.

        >>> choices = Choices.of(np.array([1.0, 0.0, 3.0]), np.array([0, 2, 3]))
        >>> choices.pick(np.array([0, 1]), random_bits(1, "a", [5, 6])).tolist()
        [0, 2]
        """
        size = np.diff(start)
        group = np.repeat(np.arange(len(size)), size)
        total = np.bincount(group, weights, len(size))
        share = np.where(total[group] > 0, weights * size[group] / np.where(total > 0, total, 1)[group], 1.0)
        threshold, other = np.ones(len(weights)), np.arange(len(weights), dtype=np.int32)
        for width in np.unique(size):
            members = start[:-1][size == width, None] + np.arange(width)
            threshold[members], other[members] = _make_aliases(share[members], members)
        return cls(
            np.asarray(start, np.int64),
            size.astype(np.uint64),
            np.minimum(threshold * 2.0**32, 2.0**32).astype(np.uint64),
            other,
        )

    @classmethod
    def even(cls, start: Int64Array) -> Choices:
        """Build groups whose members have equal weights.

        >>> Choices.even(np.array([0, 1])).pick(np.array([0]), random_bits(1, "a", [5])).tolist()
        [0]
        """
        members = int(start[-1])
        never = np.full(members, 1 << 32, np.uint64)
        return cls(start, np.diff(start).astype(np.uint64), never, np.arange(members, dtype=np.int32))

    @classmethod
    def join(cls, parts: Sequence[Choices]) -> Choices:
        """Return the groups of all parts, end to end; each group draws as in its part.

        >>> Choices.join([Choices.even(np.array([0, 1])), Choices.even(np.array([0, 2]))]).start.tolist()
        [0, 1, 3]
        """
        first = np.cumsum([0, *(part.start[-1] for part in parts)])
        return cls(
            np.concatenate([*(part.start[:-1] + at for part, at in zip(parts, first, strict=False)), first[-1:]]),
            np.concatenate([part._size for part in parts]),
            np.concatenate([part._threshold for part in parts]),
            np.concatenate([part._other + np.int32(at) for part, at in zip(parts, first, strict=False)]),
        )

    def pick(self, group: NDArray[np.integer], random: UInt64Array) -> Int64Array:
        """Draw a member of each group, as its place among all members; no group may be empty."""
        at = self.start[group] + (((random >> _HALF) * self._size[group]) >> _HALF).view(np.int64)
        picked: Int64Array = np.where((random & _LOW) < self._threshold[at], at, self._other[at])
        return picked


def _make_aliases(share: FloatArray, members: Int64Array) -> tuple[FloatArray, NDArray[np.int32]]:
    """Return the alias tables of groups of one width: the richest member fills the poorest."""
    poorest, richest = share.copy(), share.copy()  # a member that is done is neither
    threshold, other = np.ones_like(share), members.astype(np.int32)
    rows = np.arange(len(share))
    for _ in range(share.shape[1] - 1):
        poor, rich = poorest.argmin(axis=1), richest.argmax(axis=1)
        has, same = poorest[rows, poor], poor == rich
        threshold[rows, poor] = np.where(same, 1.0, has)
        other[rows, poor] = members[rows, rich]
        left = richest[rows, rich] - np.where(same, 0.0, 1 - has)
        poorest[rows, rich] = richest[rows, rich] = left
        poorest[rows, poor], richest[rows, poor] = np.inf, -np.inf
    return np.clip(threshold, 0.0, 1.0), other
