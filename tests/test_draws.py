"""Keyed draws: the same key the same number, and numbers that look random in every direction."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from drgsim.draws import Choices, as_normal, as_poisson, as_uniform, bits, uniform

N = 200_000
IDS = np.arange(N)


def test_a_draw_depends_on_its_key_alone():
    whole = bits(7, "age", IDS)
    np.testing.assert_array_equal(whole[1000:2000], bits(7, "age", IDS[1000:2000]))
    np.testing.assert_array_equal(whole[::-1], bits(7, "age", IDS[::-1]))
    np.testing.assert_array_equal(whole, bits(7, "age", IDS, np.zeros(N)))


def test_draws_are_the_same_in_every_release():
    assert bits(1, "age", [0, 1, 2**40]).tolist() == FIXED


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
    random = bits(3, "x", IDS)
    for bit in range(64):
        share = ((random >> np.uint64(bit)) & np.uint64(1)).mean()
        assert abs(share - 0.5) < 4.5 * 0.5 / N**0.5
    assert independent(as_uniform(random)[:-1], as_uniform(random)[1:])


def test_streams_seeds_and_slots_are_independent():
    base = uniform(1, "a", IDS)
    for other in (uniform(1, "b", IDS), uniform(2, "a", IDS), uniform(1, "a", IDS, np.ones(N))):
        assert not np.array_equal(base, other)
        assert independent(base, other)


def test_normal_matches_known_quantiles():
    known = {0.001: -3.090232306, 0.01: -2.326347874, 0.3: -0.524400513, 0.9: 1.281551566, 0.9999: 3.719016485}
    np.testing.assert_allclose(as_normal(list(known)), list(known.values()), rtol=1e-8)
    assert np.isfinite(as_normal([0.0, 1.0])).all()


@pytest.mark.parametrize("rate", [0.0, 0.1, 2.0, 11.0])
def test_poisson_has_its_mean_and_variance(rate):
    counts = as_poisson(uniform(1, "n", IDS), np.full(N, rate))
    assert counts.mean() == pytest.approx(rate, abs=5 * (rate / N) ** 0.5)
    assert counts.var() == pytest.approx(rate, rel=0.03)


def test_poisson_known_to_be_positive():
    rate = 0.2
    counts = as_poisson(uniform(1, "n", IDS), np.full(N, rate), at_least_one=np.ones(N, np.bool_))
    assert counts.min() == 1
    assert counts.mean() == pytest.approx(rate / (1 - np.exp(-rate)), rel=0.005)


def test_choices_follow_their_weights():
    weights = np.array([5.0, 1, 0, 4, 1, 1, 0, 0, 2])
    start = np.array([0, 4, 6, 8, 9])
    choices = Choices.of(weights, start)
    for group, (a, b) in enumerate(pairwise(start)):
        picked = choices.pick(np.full(N, group), bits(1, f"g{group}", IDS))
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
