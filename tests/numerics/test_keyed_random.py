"""Keyed draws: the same key the same number, and numbers that look random in every direction."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from fractions import Fraction
from itertools import combinations, pairwise

import numpy as np
import pytest

from drgsim.numerics.keyed_random import (
    Choices,
    draw_events,
    make_event_keys,
    random_bits,
    to_normal,
    to_poisson,
    to_uniform,
    uniform,
)

N = 200_000
IDS = np.arange(N)


def test_a_draw_depends_on_its_key_alone():
    whole = random_bits(7, "age", IDS)
    np.testing.assert_array_equal(whole[1000:2000], random_bits(7, "age", IDS[1000:2000]))
    np.testing.assert_array_equal(whole[::-1], random_bits(7, "age", IDS[::-1]))
    np.testing.assert_array_equal(whole, random_bits(7, "age", IDS, np.zeros(N)))


def test_draws_are_the_same_in_every_release():
    assert random_bits(1, "age", [0, 1, 2**40]).tolist() == FIXED


FIXED = [16389329468976204703, 9690411040454181953, 11690347410219848713]


@pytest.mark.parametrize(("seed", "stream"), [(0, "a"), (1, "a"), (1, "b"), (2**80, "drg")])
def test_uniform_is_uniform(seed, stream):
    u = uniform(seed, stream, IDS)
    assert u.min() >= 0
    assert u.max() < 1
    counts = np.bincount((u * 256).astype(int), minlength=256)
    assert chi_squared(counts, N / 256) < 330  # 99.9 % point of 255 degrees of freedom
    assert abs(u.mean() - 0.5) < 4 * (1 / 12 / N) ** 0.5


def test_every_bit_is_balanced_and_neighbours_are_unrelated():
    random = random_bits(3, "x", IDS)
    for bit in range(64):
        share = ((random >> np.uint64(bit)) & np.uint64(1)).mean()
        assert abs(share - 0.5) < 4.5 * 0.5 / N**0.5
    assert independent(to_uniform(random)[:-1], to_uniform(random)[1:])


def test_streams_seeds_and_slots_are_independent():
    base = uniform(1, "a", IDS)
    for other in (uniform(1, "b", IDS), uniform(2, "a", IDS), uniform(1, "a", IDS, np.ones(N))):
        assert not np.array_equal(base, other)
        assert independent(base, other)


def test_events_happen_at_their_rate_and_nest():
    keys = make_event_keys(1, "x", np.arange(40_000))
    chance = np.repeat([0.001, 0.03, 0.5, 0.999], 10_000)
    replicate, place = draw_events(chance, keys, range(3, 23))
    for one in range(3, 23):
        assert (np.diff(place[replicate == one]) > 0).all()
    assert set(replicate) == set(range(3, 23))
    for part, p in enumerate((0.001, 0.03, 0.5, 0.999)):
        n = 10_000 * 20
        assert abs(((place // 10_000) == part).sum() - n * p) < 4.5 * (n * p * (1 - p)) ** 0.5
    for factor in (0.1, 0.7, 0.99):
        fewer = set(zip(*draw_events(chance * factor, keys, range(3, 23)), strict=True))
        assert fewer < set(zip(replicate, place, strict=True))
    none = draw_events([0.0] * 10, keys[:10], range(100))
    assert len(none[0]) == 0
    always = draw_events([1.0] * 10, keys[:10], range(100))
    assert len(always[0]) == 1000


def test_replicates_are_unrelated():
    """The chance that two replicates share an event is p squared; that neighbours do, too."""
    n, p = 100_000, 0.2
    keys = make_event_keys(9, "x", np.arange(n))
    event = np.zeros((24, n), bool)
    event[draw_events(np.full(n, p), keys, range(24))] = True
    for a in range(24):
        for b in range(a):
            assert abs((event[a] & event[b]).sum() - n * p * p) < 4.5 * (n * p * p) ** 0.5
        assert abs((event[a][1:] & event[a][:-1]).sum() - n * p * p) < 4.5 * (n * p * p) ** 0.5


def test_sixteen_replicates_have_every_pattern_alike():
    """How many of sixteen replicates have an event is binomial, and all patterns of as many are equally likely."""
    n, p = 400_000, 0.11
    pattern = np.zeros(n, np.int64)
    replicate, place = draw_events(np.full(n, p), make_event_keys(4, "y", np.arange(n)), range(16, 32))
    np.add.at(pattern, place, 1 << (replicate - 16))
    count = np.bitwise_count(pattern)
    for k in range(8):
        chance = math.comb(16, k) * p**k * (1 - p) ** (16 - k)
        assert abs((count == k).sum() - n * chance) < 4.5 * (n * chance * (1 - chance)) ** 0.5
    for k in (1, 2, 3):
        seen = Counter(pattern[count == k].tolist())
        every = [sum(1 << bit for bit in chosen) for chosen in combinations(range(16), k)]
        assert set(seen) <= set(every)
        degrees = len(every) - 1
        expected = (count == k).sum() / len(every)
        assert chi_squared(np.array([seen[one] for one in every]), expected) < degrees + 4.5 * (2 * degrees) ** 0.5


@pytest.mark.parametrize("rate", [0.0, 1e-4, 0.02, 0.3, 0.75, 1 - 1e-9, 1.0])
def test_an_event_is_the_inverse_of_the_binomial_and_a_shuffled_order(rate):
    """Said again one key at a time, in fractions, with a list that is shuffled."""
    keys = make_event_keys(2**70, "z", np.arange(400) if 0 < rate < 0.01 else np.arange(40))
    found: dict[int, list[int]] = {place: [] for place in range(len(keys))}
    for replicate, place in zip(
        *(part.tolist() for part in draw_events(np.full(len(keys), rate), keys, range(48, 64))), strict=True
    ):
        found[place].append(replicate - 48)
    for place, key in enumerate(keys):
        order, p = list(range(16)), Fraction(rate)
        for nth in range(16):
            high = int(random_bits(0, f"order {nth}", [key], [3])[0]) >> 32
            other = nth + high * (16 - nth) // 2**32
            order[nth], order[other] = order[other], order[nth]
        terms = [math.comb(16, k) * p**k * (1 - p) ** (16 - k) for k in range(17)]
        u = (first_byte(int(key), 3) + Fraction(uniform(0, "rest", [key], [3])[0])) / 256
        count = sum(u < sum(terms[k + 1 :]) for k in range(16))
        assert found[place] == sorted(order[:count])


def first_byte(key: int, together: int) -> int:
    digest = hashlib.sha256(f"{together}\nfirst bytes".encode()).digest()
    x = (key ^ int.from_bytes(digest[:4], "little")) * 0x85EBCA6B % 2**32
    x = ((x ^ x >> 15) + (key >> 32)) % 2**32 ^ int.from_bytes(digest[8:12], "little")
    x = x * 0xC2B2AE35 % 2**32
    return (x ^ x >> 13) * 0x27D4EB2F % 2**32 >> 24


def test_normal_matches_known_quantiles():
    known = {0.001: -3.090232306, 0.01: -2.326347874, 0.3: -0.524400513, 0.9: 1.281551566, 0.9999: 3.719016485}
    np.testing.assert_allclose(to_normal(list(known)), list(known.values()), rtol=1e-8)
    assert np.isfinite(to_normal([0.0, 1.0])).all()


@pytest.mark.parametrize("rate", [0.0, 0.1, 2.0, 11.0])
def test_poisson_has_its_mean_and_variance(rate):
    counts = to_poisson(uniform(1, "n", IDS), np.full(N, rate))
    assert counts.mean() == pytest.approx(rate, abs=5 * (rate / N) ** 0.5)
    assert counts.var() == pytest.approx(rate, rel=0.03)


def test_poisson_known_to_be_positive():
    rate = 0.2
    counts = to_poisson(uniform(1, "n", IDS), np.full(N, rate), at_least_one=np.ones(N, np.bool_))
    assert counts.min() == 1
    assert counts.mean() == pytest.approx(rate / (1 - np.exp(-rate)), rel=0.005)


def test_choices_follow_their_weights():
    weights = np.array([5.0, 1, 0, 4, 1, 1, 0, 0, 2])
    start = np.array([0, 4, 6, 8, 9])
    choices = Choices.of(weights, start)
    for group, (a, b) in enumerate(pairwise(start)):
        picked = choices.pick(np.full(N, group), random_bits(1, f"g{group}", IDS))
        expected = weights[a:b] / weights[a:b].sum() if weights[a:b].sum() else np.full(b - a, 1 / (b - a))
        shares = np.bincount(picked, minlength=len(weights)) / N
        np.testing.assert_allclose(shares[a:b], expected, atol=0.005)
        assert shares[a:b].sum() == 1
        assert not shares[a:b][expected == 0].any()


def chi_squared(counts, expected):
    return ((counts - expected) ** 2 / expected).sum()


def independent(x, y):
    cells = np.bincount((x * 16).astype(int) * 16 + (y * 16).astype(int), minlength=256)
    return chi_squared(cells, len(x) / 256) < 330 and abs(np.corrcoef(x, y)[0, 1]) < 4.5 / len(x) ** 0.5
