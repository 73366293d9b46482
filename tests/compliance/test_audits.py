"""Estimators against textbook examples and formulas, designs and audits against the known truth."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from drgsim.compliance.audits import audit, coverage, simulate_audits
from drgsim.compliance.deterrence import consequences
from drgsim.compliance.extrapolation import ESTIMATORS, Moments, estimate_share, estimate_total
from drgsim.compliance.reviewers import Reviewers
from drgsim.compliance.sample_sizes import sample_size
from drgsim.compliance.sampling import ProbeThenFull, SimpleRandom, Stratified, allocate_sample, find_boundaries, sample
from drgsim.exceptions import InputError, SchemaError

NORMAL = stats.norm.ppf(0.95)


def population(n: int, *, errors: float, seed: int = 0, share_over: float = 0.9, skew: float = 0.9) -> pl.DataFrame:
    """Claims billed log-normal dollars of which a share is wrong by a tenth to a half of the bill."""
    rng = np.random.default_rng(seed)
    billed = np.round(np.exp(rng.normal(9.2, skew, n)), 2)
    sign = np.where(rng.random(n) < share_over, 1.0, -1.0)
    wrong = np.where(rng.random(n) < errors, sign * rng.uniform(0.1, 0.5, n), 0.0)
    return pl.DataFrame(
        {"admission_id": np.arange(1, n + 1), "billed_usd": billed, "correct_usd": np.round(billed * (1 - wrong), 2)}
    )


def moments(x: np.ndarray, d: np.ndarray, claims: int, billed_total: float = 0.0) -> Moments:
    return Moments.of([(x, d)], [claims], billed_total)


# --- published examples ----------------------------------------------------------------------------------


def test_malnutrition_extrapolation(shared: Path):
    """OIG A-03-17-00010: 914,128 USD on 200 sampled claims of 224,175 are 1.0 billion USD (1.0246 by hand)."""
    rows = pl.read_csv(shared / "evidence" / "published_figures.csv", infer_schema=False)
    value = dict(zip(rows["id"], rows["value"], strict=True))
    overpaid, frame = float(value["MAL-06"]), int(value["MAL-01"])
    # 164 of 200 claims were overpaid; how the dollars spread over them does not move the point estimate.
    d = np.array([overpaid / 164] * 164 + [0.0] * 36)
    found = estimate_total(moments(np.full(200, 15_000.0), d, frame))
    assert f"{float(found.point) / 1e9:.4f} billion" == value["MAL-08"].split("; ")[1]
    assert float(found.point) / frame == pytest.approx(float(value["MAL-08"].split(";")[0]), abs=0.005)


PETITIONS = {
    42: 23, 41: 4, 36: 1, 32: 1, 29: 1, 27: 2, 23: 1, 19: 1, 16: 2, 15: 2,
    14: 1, 11: 1, 10: 1, 9: 1, 7: 1, 6: 3, 5: 2, 4: 1, 3: 1,
}  # fmt: skip


def test_cochran_petition_sheets():
    """Cochran (1977), 2.8: 50 of 676 sheets hold 1,471 signatures; 19,888 in all, 80 % limits 18,107 and 21,669."""
    d = np.repeat(np.array([*PETITIONS], np.float64), [*PETITIONS.values()])
    assert (len(d), d.sum()) == (50, 1471)
    found = estimate_total(moments(d, d, 676), level=0.80)
    assert float(found.point) == pytest.approx(19_888, abs=0.5)
    assert d.var(ddof=1) == pytest.approx(229.0, abs=0.05)
    # The book takes the normal 1.28; Student's t of 49 degrees is a little wider.
    assert float(found.point - 1.28 * found.standard_error) == pytest.approx(18_107, abs=3)
    assert float(found.point + 1.28 * found.standard_error) == pytest.approx(21_669, abs=3)
    t = stats.t.ppf(0.9, 49)
    assert float(found.upper - found.point) == pytest.approx(t * float(found.standard_error))


def test_cochran_cities_allocation():
    """Cochran (1977), 5.6: sizes of cities, strata of 16 and 48, 24 sampled: 12 and 12 against 6 and 18."""
    sizes, variance = np.array([16, 48]), np.array([53_843.0, 5_581.0])
    assert allocate_sample(24, sizes, np.sqrt(variance)).tolist() == [12, 12]
    assert allocate_sample(24, sizes, np.ones(2)).tolist() == [6, 18]
    for take, published in (([12, 12], 1_090_827), ([6, 18], 1_882_293)):
        zero = np.zeros(2)
        found = estimate_total(
            Moments(sizes.astype(float), np.array(take, float), 0.0, zero, zero, zero, variance, zero), "difference"
        )
        assert float(found.standard_error) ** 2 == pytest.approx(published, rel=2e-5)


def test_cochran_boundaries_of_bank_loans():
    """Cochran (1977), 5A.7: 13,435 banks by share of industrial loans, 5-point classes, five strata."""
    counts = [3464, 2516, 2157, 1581, 1142, 746, 512, 376, 265, 207, 126, 107, 82, 50, 39, 25, 16, 19, 2, 3]
    middles = np.repeat(np.arange(2.5, 100, 5), counts)
    ends = np.array([0.0, 100.0])  # so that the classes are 0 to 5, 5 to 10, ...
    found = find_boundaries(np.concatenate([middles, ends]), 5, classes=20)
    assert found.tolist() == [5.0, 15.0, 25.0, 45.0]


def test_cochran_ratio_of_cities():
    """Cochran (1977), 6.2: 49 of 196 cities, 5,054 and 6,262 (thousands) in 1920 and 1930, 22,919 in 1920: 28,397."""
    rng = np.random.default_rng(1)
    x = rng.uniform(50, 150, 49)
    x *= 5054 / x.sum()
    y = x * rng.uniform(1, 1.5, 49)
    y *= 6262 / y.sum()
    found = estimate_total(moments(x, x - y, 196, 22_919.0), "ratio")
    assert 22_919 - float(found.point) == pytest.approx(28_397, abs=0.5)


# --- plain formulas --------------------------------------------------------------------------------------


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_simple_sample_by_hand(estimator: str):
    rng = np.random.default_rng(5)
    x, claims, total = rng.uniform(5e3, 3e4, 60), 900, 1.6e7
    d = np.where(rng.random(60) < 0.3, x * 0.3, 0.0)
    y = x - d
    ratio = d.sum() / x.sum()
    point, left = {
        "difference": (claims * d.mean(), d),
        "mean_per_unit": (total - claims * y.mean(), y),
        "ratio": (total * ratio, d - ratio * x),
    }[estimator]
    error = claims * math.sqrt((1 - 60 / claims) / 60 * ((left - left.mean()) ** 2).sum() / 59)
    found = estimate_total(moments(x, d, claims, total), estimator, level=0.95)
    half = stats.t.ppf(0.975, 59) * error
    expected = [point, error, point - half, point + half, 59]
    got = [found.point, found.standard_error, found.lower, found.upper, found.degrees]
    assert [float(v) for v in got] == pytest.approx(expected, rel=1e-9)


def test_mean_agrees_with_scipy():
    d = np.random.default_rng(2).gamma(2.0, 500.0, 40)
    found = estimate_total(moments(d, d, 10**12), level=0.90)
    interval = stats.ttest_1samp(d, 0.0).confidence_interval(0.90)
    assert [float(found.lower) / 1e12, float(found.upper) / 1e12] == pytest.approx([*interval], rel=1e-9)


def test_stratified_sample_by_hand():
    rng = np.random.default_rng(6)
    sizes, takes = [400, 90], [20, 15]
    strata = [(rng.uniform(5e3, 9e3, n), rng.uniform(0, 2e3, n)) for n in takes]
    found = estimate_total(Moments.of(strata, sizes, 3e6), "difference")
    g = [size * (size - n) / n * d.var(ddof=1) for size, n, (_, d) in zip(sizes, takes, strata, strict=True)]
    degrees = sum(g) ** 2 / sum(v**2 / (n - 1) for v, n in zip(g, takes, strict=True))
    point = sum(size * d.mean() for size, (_, d) in zip(sizes, strata, strict=True))
    half = stats.t.ppf(0.95, degrees) * math.sqrt(sum(g))
    assert [float(found.point), float(found.degrees), float(found.lower)] == pytest.approx(
        [point, degrees, point - half], rel=1e-9
    )


def test_combined_ratio_by_hand():
    rng = np.random.default_rng(7)
    sizes, takes = [400, 90], [20, 15]
    strata = [(rng.uniform(5e3, 9e3, n), rng.uniform(0, 2e3, n)) for n in takes]
    overpaid, billed = (sum(N * s[k].mean() for N, s in zip(sizes, strata, strict=True)) for k in (1, 0))
    left = [d - overpaid / billed * x for x, d in strata]
    variance = sum(N * (N - len(e)) / len(e) * e.var(ddof=1) for N, e in zip(sizes, left, strict=True))
    found = estimate_total(Moments.of(strata, sizes, 3e6), "ratio")
    assert [float(found.point), float(found.standard_error)] == pytest.approx(
        [3e6 * overpaid / billed, math.sqrt(variance)], rel=1e-9
    )


@pytest.mark.parametrize(("hits", "n"), [(0, 30), (3, 20), (17, 17), (50, 100)])
def test_share_of_a_large_population_is_clopper_pearson(hits: int, n: int):
    interval = stats.binomtest(hits, n).proportion_ci(0.90, "exact")
    found = estimate_share([np.array([1.0] * hits + [0.0] * (n - hits))], [10**12])
    assert [found[2], found[3]] == pytest.approx([interval.low, interval.high], abs=1e-6)


# --- samples ---------------------------------------------------------------------------------------------

DESIGNS = [
    SimpleRandom(60),
    Stratified(60, strata=3),
    Stratified(60, boundaries_usd=(5e3, 2e4), allocation="proportional"),
    Stratified(60, column="unit"),
    ProbeThenFull(20, SimpleRandom(60), trigger=0.02),
    ProbeThenFull(20, Stratified(60, strata=3), trigger=0.02),
]
CLAIMS = population(500, errors=0.3).with_columns(unit=pl.col("admission_id") % 3)


@pytest.mark.parametrize("design", DESIGNS, ids=str)
def test_order_of_rows_changes_nothing(design):
    shuffled = CLAIMS.sample(fraction=1.0, shuffle=True, seed=3)
    erring = Reviewers(sensitivity=0.8, specificity=0.98, false_share=0.2, amount_log_sd=0.3, usd_per_claim=150.0)
    one, other = (audit(claims, design, seed=4, reviewers=erring) for claims in (CLAIMS, shuffled))
    assert one.estimates.equals(other.estimates)
    assert one.recovery_usd == other.recovery_usd
    assert one.reviewed.equals(other.reviewed)
    if not isinstance(design, ProbeThenFull):
        drawn = sample(shuffled, design, seed=4).sort("admission_id")
        assert drawn.equals(sample(CLAIMS, design, seed=4))


@pytest.mark.parametrize("design", DESIGNS, ids=str)
def test_an_audit_is_replicate_0(design):
    erring = Reviewers(sensitivity=0.8, amount_log_sd=0.3, usd_per_claim=150.0)
    table = simulate_audits(CLAIMS, design, seed=4, replicates=40, reviewers=erring)
    assert table.height == 120
    for estimator in ESTIMATORS:
        row = table.row(by_predicate=(pl.col("estimator") == estimator) & (pl.col("replicate") == 0), named=True)
        one = audit(CLAIMS, design, seed=4, estimator=estimator, reviewers=erring)
        net = one.estimates.row(0, named=True)
        assert (row["recovery_usd"], row["cost_usd"]) == (one.recovery_usd, one.cost_usd)
        assert (row["point_usd"], row["lower_usd"], row["upper_usd"]) == (net["point"], net["lower"], net["upper"])


def test_replicates_do_not_depend_on_how_many_there_are(monkeypatch: pytest.MonkeyPatch):
    few, many = (simulate_audits(CLAIMS, DESIGNS[1], seed=4, replicates=n) for n in (7, 30))
    assert few.equals(many.filter(pl.col("replicate") < 7))
    monkeypatch.setattr("drgsim.compliance.sampling.split_replicates.__defaults__", (3_000,))
    assert simulate_audits(CLAIMS, DESIGNS[1], seed=4, replicates=30).equals(many)


def test_threads_change_nothing():
    program = (
        "import polars as pl\nfrom tests.compliance.test_audits import *\n"
        "print(repr(simulate_audits(CLAIMS, DESIGNS[1], seed=4, replicates=5).rows()))"
    )
    printed = [
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "POLARS_MAX_THREADS": threads, "PYTHONPATH": "."},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for threads in ("1", "2")
    ]
    assert printed[0] == printed[1] == repr(simulate_audits(CLAIMS, DESIGNS[1], seed=4, replicates=5).rows()) + "\n"


def test_every_claim_is_drawn_equally_often():
    from drgsim.compliance.sampling import lay_out_claims

    laid = lay_out_claims(CLAIMS, SimpleRandom(60))
    (places,) = laid.draw(1, np.arange(4000, dtype=np.uint64))
    counts = np.bincount(places.ravel(), minlength=500)
    expected = 4000 * 60 / 500
    # Without replacement the statistic is (1 - 60/500) times a chi-square of 499 degrees.
    statistic = ((counts - expected) ** 2 / expected).sum() / (1 - 60 / 500)
    assert 1e-4 < stats.chi2.sf(statistic, 499) < 1 - 1e-4
    assert (np.diff(places, axis=1) > 0).all()


def test_a_larger_sample_continues_a_smaller_one():
    small, large = (sample(CLAIMS, SimpleRandom(n), seed=9)["is_sampled"] for n in (20, 60))
    assert small.sum() == 20
    assert (large | ~small).all()
    assert not sample(CLAIMS, SimpleRandom(20), seed=10)["is_sampled"].equals(small)


@given(
    sizes=st.lists(st.integers(1, 400), min_size=1, max_size=6),
    spread=st.lists(st.floats(0, 1e5), min_size=6, max_size=6),
    part=st.floats(0, 1),
)
@settings(max_examples=200, deadline=None)
def test_allocation_adds_up(sizes: list[int], spread: list[float], part: float):
    least = sum(min(2, size) for size in sizes)
    claims = least + round(part * (sum(sizes) - least))
    take = allocate_sample(claims, np.array(sizes), np.array(spread[: len(sizes)]))
    assert take.sum() == claims
    assert (take >= np.minimum(2, sizes)).all()
    assert (take <= sizes).all()


# --- audits ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("design", [SimpleRandom(500), Stratified(500, strata=4)], ids=str)
def test_a_census_is_exact(design, estimator: str):
    overpaid = CLAIMS["billed_usd"] - CLAIMS["correct_usd"]
    found = audit(CLAIMS, design, seed=1, estimator=estimator)
    at = {row["measure"]: row for row in found.estimates.iter_rows(named=True)}
    truth = {
        "net": overpaid.sum(),
        "overpaid": overpaid.clip(lower_bound=0).sum(),
        "underpaid": -overpaid.clip(upper_bound=0).sum(),
        "improper": overpaid.abs().sum(),
        "net dollar error rate": overpaid.sum() / CLAIMS["billed_usd"].sum(),
        "improper payment rate": overpaid.abs().sum() / CLAIMS["billed_usd"].sum(),
        "claims in error": (overpaid != 0).mean(),
        "claims overpaid": (overpaid > 0).mean(),
        "claims underpaid": (overpaid < 0).mean(),
    }
    assert set(at) == set(truth)
    for name, row in at.items():
        assert row["point"] == pytest.approx(truth[name], rel=1e-9), name
        assert row["lower"] == row["upper"] == row["point"], name
    assert found.recovery_usd == pytest.approx(overpaid.sum(), rel=1e-9)


def test_one_stratum_is_a_simple_sample():
    one = audit(CLAIMS, Stratified(80, boundaries_usd=()), seed=2)
    # The two kinds of design draw different claims; the same claims give the same limits.
    x, d = one.reviewed["billed_usd"].to_numpy(), one.reviewed["found_usd"].to_numpy()
    expected = estimate_total(moments(x, d, 500))
    net = one.estimates.row(0, named=True)
    assert [net["point"], net["lower"], net["upper"]] == pytest.approx(
        [float(expected.point), float(expected.lower), float(expected.upper)], rel=1e-12
    )
    assert one.reviewed["stratum"].unique().to_list() == ["all"]


def test_parts_add_up():
    at = dict(audit(CLAIMS, SimpleRandom(200), seed=3).estimates.select("measure", "point").iter_rows())
    assert at["net"] == pytest.approx(at["overpaid"] - at["underpaid"])
    assert at["improper"] == pytest.approx(at["overpaid"] + at["underpaid"])
    assert at["claims in error"] == pytest.approx(at["claims overpaid"] + at["claims underpaid"])


def test_nothing_is_recovered_below_zero():
    clean = CLAIMS.with_columns(correct_usd=pl.col("billed_usd"))
    found = audit(clean, SimpleRandom(50), seed=1)
    assert found.recovery_usd == 0
    in_error = found.estimates.filter(pl.col("measure") == "claims in error").row(0, named=True)
    # 50 of 500 without a hit: effective size 50 / 0.9, upper limit 1 - 0.05 ** (1 / size).
    assert in_error["upper"] == pytest.approx(1 - 0.05 ** (0.9 / 50))
    underpaid = CLAIMS.with_columns(correct_usd=pl.col("billed_usd") + 100)
    assert audit(underpaid, SimpleRandom(50), seed=1).recovery_usd == 0


def test_a_probe_stops_or_goes_on():
    probe = audit(CLAIMS, SimpleRandom(20), seed=5)
    rate = probe.reviewed["found_usd"].sum() / probe.reviewed["billed_usd"].sum()
    assert rate > 0
    price = Reviewers(usd_per_claim=1.0)
    stops = audit(CLAIMS, ProbeThenFull(20, SimpleRandom(60), trigger=rate * 1.001), seed=5, reviewers=price)
    assert (stops.is_extrapolated, stops.cost_usd) == (False, 20)
    assert stops.recovery_usd == pytest.approx(probe.reviewed["found_usd"].sum())
    on = audit(CLAIMS, ProbeThenFull(20, SimpleRandom(60), trigger=rate * 0.999), seed=5, reviewers=price)
    assert (on.is_extrapolated, on.cost_usd) == (True, 60)
    assert on.estimates.equals(audit(CLAIMS, SimpleRandom(60), seed=5).estimates)
    beside = audit(CLAIMS, ProbeThenFull(20, Stratified(60), trigger=0.0), seed=5, reviewers=price)
    drawn = {*probe.reviewed["admission_id"], *audit(CLAIMS, Stratified(60), seed=5).reviewed["admission_id"]}
    assert beside.cost_usd == len(drawn)


# --- reviewers -------------------------------------------------------------------------------------------


def test_reviewers_miss_and_misjudge():
    wrong = population(20_000, errors=1.0, share_over=1.0)
    found = audit(wrong, SimpleRandom(20_000), seed=1, reviewers=Reviewers(sensitivity=0.7))
    truth = (wrong["billed_usd"] - wrong["correct_usd"]).sum()
    hits = (found.reviewed["found_usd"] != 0).sum()
    assert stats.binomtest(hits, 20_000, 0.7).pvalue > 1e-3
    assert found.recovery_usd / truth == pytest.approx(0.7, abs=0.02)
    misjudged = audit(wrong, SimpleRandom(20_000), seed=1, reviewers=Reviewers(amount_log_sd=0.2)).reviewed
    factor = (misjudged["found_usd"] / (misjudged["billed_usd"] - misjudged["correct_usd"])).log()
    assert factor.std() == pytest.approx(0.2, rel=0.03)
    assert (misjudged["found_usd"] <= misjudged["billed_usd"]).all()


def test_reviewers_disallow_correct_claims():
    right = population(20_000, errors=0.0)
    reviewers = Reviewers(specificity=0.9, false_share=0.25)
    found = audit(right, SimpleRandom(20_000), seed=1, reviewers=reviewers).reviewed
    hits = found.filter(pl.col("found_usd") != 0)
    assert stats.binomtest(hits.height, 20_000, 0.1).pvalue > 1e-3
    assert (hits["found_usd"] - 0.25 * hits["billed_usd"]).abs().max() < 1e-9


# --- coverage --------------------------------------------------------------------------------------------


def test_coverage_counts_by_hand():
    table = simulate_audits(CLAIMS, SimpleRandom(60), seed=4, replicates=200, estimators=["difference"])
    truth = (CLAIMS["billed_usd"] - CLAIMS["correct_usd"]).sum()
    row = coverage(CLAIMS, SimpleRandom(60), seed=4, replicates=200, estimators=["difference"]).row(0, named=True)
    holds = [low <= truth <= high for low, high in table.select("lower_usd", "upper_usd").iter_rows()]
    assert row["coverage"] == sum(holds) / 200
    assert row["lower_holds"] == sum(low <= truth for low in table["lower_usd"]) / 200
    assert row["bias_usd"] == pytest.approx(table["point_usd"].mean() - truth)
    assert row["recovery_usd"] == pytest.approx(table["recovery_usd"].mean())
    assert row["reviewed"] == 60


@pytest.mark.parametrize("design", [SimpleRandom(150), Stratified(150)], ids=str)
def test_coverage_is_nominal_where_errors_are_common(design):
    row = coverage(population(3_000, errors=0.5), design, seed=1, replicates=800).rows(named=True)
    for one in row:
        assert abs(one["bias_usd"]) < 4 * one["bias_error_usd"] + 0.005 * one["truth_usd"], one
        assert 0.86 < one["coverage"] < 0.94, one


def test_coverage_falls_where_errors_are_rare():
    """Neter and Loebbecke (1975): with few errors the difference estimator's limits are too narrow."""
    rare, common = (
        coverage(population(3_000, errors=rate), SimpleRandom(100), seed=1, replicates=800, estimators=["difference"])
        for rate in (0.01, 0.5)
    )
    assert rare["coverage"].item() < 0.75 < 0.86 < common["coverage"].item()
    # The lower limit, at which money is recovered, errs to the other side: it is below the truth more than 95 %.
    assert rare["lower_holds"].item() > 0.97


@pytest.mark.slow
@pytest.mark.parametrize("errors", [0.02, 0.1, 0.3, 0.8])
@pytest.mark.parametrize("design", [SimpleRandom(100), SimpleRandom(400), Stratified(100), Stratified(400)], ids=str)
def test_unbiased_and_covering(errors: float, design):
    claims = population(20_000, errors=errors, seed=3)
    table = coverage(claims, design, seed=1, replicates=4_000, estimators=["difference", "mean_per_unit", "ratio"])
    for row in table.iter_rows(named=True):
        assert abs(row["bias_usd"]) < 4 * row["bias_error_usd"] + 0.01 * row["truth_usd"], row
        if errors * design.claims >= 80:
            assert 0.85 < row["coverage"] < 0.93, row


# --- sample size -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("stratified", [None, Stratified(0)], ids=["simple", "stratified"])
def test_sample_size_is_the_smallest(estimator: str, stratified: Stratified | None):
    claims = population(2_000, errors=0.4)
    planned = sample_size(claims, relative=0.15, estimator=estimator, stratified=stratified)
    assert planned.half_width_usd <= planned.target_usd
    n = planned.design.claims
    overpaid = (claims["billed_usd"] - claims["correct_usd"]).to_numpy()
    assert planned.target_usd == pytest.approx(0.15 * overpaid.sum())
    if stratified is None:
        x = claims["billed_usd"].to_numpy()
        left = {
            "difference": overpaid,
            "mean_per_unit": x - overpaid,
            "ratio": overpaid - overpaid.sum() / x.sum() * x,
        }[estimator]

        def half(size: int) -> float:
            return stats.t.ppf(0.95, size - 1) * 2_000 * math.sqrt((1 - size / 2_000) / size) * left.std(ddof=1)

        assert half(n) <= planned.target_usd < half(n - 1)
        assert planned.half_width_usd == pytest.approx(half(n))


def test_planned_samples_are_as_precise_as_planned():
    claims = population(5_000, errors=0.5)
    planned = sample_size(claims, relative=0.2)
    row = coverage(claims, planned.design, seed=1, replicates=500, estimators=["difference"]).row(0, named=True)
    assert row["half_width_usd"] == pytest.approx(planned.half_width_usd, rel=0.03)


def test_a_probe_stands_for_its_population():
    """Cochran, 4.6: n0 = (t s / d)², n = n0 / (1 + n0 / N), up to the t that n itself has."""
    probe = population(50, errors=0.5)
    planned = sample_size(probe, absolute_usd=2e6, population=10_000)
    s = (probe["billed_usd"] - probe["correct_usd"]).std()
    t = stats.t.ppf(0.95, planned.design.claims - 1)
    n0 = (t * s * 10_000 / 2e6) ** 2
    assert planned.design.claims == pytest.approx(n0 / (1 + n0 / 10_000), abs=1.5)


def test_stratified_samples_can_be_smaller():
    claims = population(5_000, errors=0.8)
    simple = sample_size(claims, relative=0.1)
    stratified = sample_size(claims, relative=0.1, stratified=Stratified(0, strata=5))
    assert stratified.design.claims < 0.75 * simple.design.claims


# --- consequences ----------------------------------------------------------------------------------------


def test_consequences_by_hand():
    reviewers = Reviewers(sensitivity=0.8)
    found = consequences(
        CLAIMS, SimpleRandom(100), seed=1, penalty_multiple=2.0, audit_probability=0.1, reviewers=reviewers
    )
    row = coverage(CLAIMS, SimpleRandom(100), seed=1, estimators=["difference"], reviewers=reviewers).row(0, named=True)
    assert found.detection_probability == pytest.approx(0.1 * 100 / 500 * 0.8)
    assert found.recoupment_usd == pytest.approx(0.1 * row["recovery_usd"])
    assert found.penalty_usd == pytest.approx(0.2 * row["recovery_usd"])
    assert found.payback_per_usd == pytest.approx(0.3 * row["recovery_usd"] / row["truth_usd"])
    assert found.by_stratum["overpaid"].sum() == (CLAIMS["billed_usd"] > CLAIMS["correct_usd"]).sum()


def test_detection_as_simulated():
    """The share of overpaid claims drawn over many audits is the detection probability."""
    design = Stratified(60, strata=3)
    expected = consequences(CLAIMS, design, seed=1, penalty_multiple=0.0, replicates=10)
    drawn = [
        sample(CLAIMS, design, seed=seed).filter(pl.col("billed_usd") > pl.col("correct_usd"))["is_sampled"].mean()
        for seed in range(300)
    ]
    assert expected.detection_probability == pytest.approx(np.mean(drawn), abs=4 * np.std(drawn) / 300**0.5)


# --- mistakes of the caller ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: audit(CLAIMS.drop("correct_usd"), SimpleRandom(9), seed=1), "lack 1 column: correct_usd"),
        (lambda: audit(CLAIMS, Stratified(9, column="ward"), seed=1), "column 'ward'"),
    ],
)
def test_schema_errors(call, says: str):
    with pytest.raises(SchemaError, match=says):
        call()


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: audit(CLAIMS, SimpleRandom(501), seed=1), "501 claims cannot be drawn from 500"),
        (lambda: audit(CLAIMS, SimpleRandom(1), seed=1), "from 2"),
        (lambda: audit(CLAIMS, SimpleRandom(9), seed=1, estimator="diference"), "Did you mean 'difference'"),
        (lambda: audit(CLAIMS, SimpleRandom(9), seed=1, level=90), "between 0 and 1"),
        (lambda: audit(CLAIMS, 9, seed=1), "expected SimpleRandom or Stratified"),
        (lambda: audit(CLAIMS, Stratified(9, allocation="optimal"), seed=1), "'neyman' or 'proportional'"),
        (lambda: audit(pl.concat([CLAIMS, CLAIMS]), SimpleRandom(9), seed=1), "share an admission_id"),
        (lambda: audit(CLAIMS.with_columns(billed_usd=None), SimpleRandom(9), seed=1), "500 of billed_usd"),
        (lambda: audit(CLAIMS.with_columns(correct_usd=math.nan), SimpleRandom(9), seed=1), "500 of correct_usd"),
        (lambda: audit(CLAIMS.head(0), SimpleRandom(9), seed=1), "no claims"),
        (lambda: audit(CLAIMS.with_columns(billed_usd=0.0), SimpleRandom(9), seed=1, estimator="ratio"), "billed 0"),
        (lambda: simulate_audits(CLAIMS, SimpleRandom(9), seed=1, replicates=0), "1 or more"),
        (lambda: simulate_audits(CLAIMS, SimpleRandom(9), seed=1, estimators="ratio"), r"\['ratio'\]"),
        (lambda: Reviewers(sensitivity=1.2), "sensitivity is 1.2"),
        (lambda: Reviewers(specificity=0.9), "say by false_share"),
        (lambda: Reviewers(amount_log_sd=-1), "amount_log_sd is -1"),
        (lambda: sample_size(CLAIMS), "either relative"),
        (lambda: sample_size(CLAIMS, relative=-0.1), "positive"),
        (lambda: sample_size(CLAIMS, relative=0.1, population=10), "at least the 500"),
        (lambda: sample_size(CLAIMS, relative=0.1, population=9_999, stratified=Stratified(0)), "whole population"),
        (lambda: sample_size(CLAIMS.with_columns(correct_usd=pl.col("billed_usd")), relative=0.1), "absolute_usd"),
        (lambda: consequences(CLAIMS, SimpleRandom(9), seed=1, penalty_multiple=-1), "penalty_multiple"),
        (lambda: consequences(CLAIMS, SimpleRandom(9), seed=1, penalty_multiple=0, audit_probability=2), "probability"),
    ],
)  # fmt: skip
def test_input_errors(call, says: str):
    with pytest.raises(InputError, match=says):
        call()
