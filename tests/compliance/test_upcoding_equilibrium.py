"""Equilibrium of upcoding and audit, compared with arithmetic on identical stays."""

from __future__ import annotations

from collections.abc import Callable
from math import exp

import polars as pl
import pytest

from drgsim import InputError, Rates, TableSet, group, price
from drgsim.compliance.deterrence import Consequences, consequences
from drgsim.compliance.sampling import ProbeThenFull, SimpleRandom
from drgsim.compliance.upcoding_equilibrium import Equilibrium, equilibrium
from drgsim.miscoding.scenarios import Scenario
from drgsim.miscoding.strategic_upcoding import StrategicUpcode, sweep_detection
from drgsim.simulation.simulator import simulate

TABLES = TableSet.load("43.1")
RATES = Rates.load(2026)
HOSPITALS = pl.DataFrame({"hospital_id": ["A"], "wage_index": [1.05], "operating_ccr": [0.28]})
N = 4_000
UPCODING = StrategicUpcode(ceiling=0.8, codes=("J96.01",), scale_usd=5_000.0)


def cholecystectomies(n: int = N) -> pl.DataFrame:
    """Stays in MS-DRG 419 (neither CC nor MCC), which acute respiratory failure would make 417."""
    one = pl.DataFrame(
        {
            "hospital_id": ["A"],
            "age": [54],
            "sex": ["F"],
            "discharge_status": [1],
            "pdx": ["K810"],
            "sdx": [["I10"]],
            "sdx_poa": [["Y"]],
            "procedures": [["0FT44ZZ"]],
            "los_days": [4],
            "covered_charges_usd": [30_000.0],
        }
    )
    return pl.concat([one] * n).with_row_index("admission_id").with_columns(pl.col("admission_id").cast(pl.UInt64))


def paid_usd(secondary: list[str]) -> float:
    stay = cholecystectomies(1).with_columns(sdx=pl.Series([secondary]), sdx_poa=pl.Series([["Y"] * len(secondary)]))
    return price(group(stay, TABLES), HOSPITALS, RATES)["total_usd"].item()


CORRECT = paid_usd(["I10"])
GAIN = paid_usd(["I10", "J9601"]) - CORRECT


def share_upcoded(risk: float, penalty: float) -> float:
    """The behaviour as its docstring says it, for the one gain of these stays."""
    return 0.8 * (1 - exp(-max(GAIN * (1 - risk * (1 + penalty)), 0.0) / 5_000))


def answered(
    audited: Callable[[pl.DataFrame], Consequences], *, stays: pl.DataFrame | None = None, **options: object
) -> Equilibrium:
    stays = cholecystectomies() if stays is None else stays
    return equilibrium(stays, UPCODING, audited, tables=TABLES, hospitals=HOSPITALS, rates=RATES, seed=3, **options)


def audit_of(risk: Callable[[float], float], penalty: float) -> Callable[[pl.DataFrame], Consequences]:
    """An audit that takes back a share of each dollar by the share of claims that are wrong; no sampling."""

    def audited(claims: pl.DataFrame) -> Consequences:
        wrong = claims.select((pl.col("billed_usd") != pl.col("correct_usd")).mean()).item()
        share, detected = risk(wrong), risk(wrong) / 2
        return Consequences(1.0, penalty, detected, 0.0, share, 0.0, (1 + penalty) * share, pl.DataFrame())

    return audited


def wrong(claims: pl.DataFrame) -> pl.DataFrame:
    return claims.filter(pl.col("billed_usd") != pl.col("correct_usd"))


def test_the_gain_is_that_of_the_mcc():
    assert GAIN > 5_000
    found = answered(audit_of(lambda _: 0.1, 1.0))
    assert found.claims.height == N
    assert found.claims["correct_usd"].unique().to_list() == [CORRECT]
    assert wrong(found.claims)["billed_usd"].unique().to_list() == pytest.approx([CORRECT + GAIN])


@pytest.mark.parametrize(("extrapolated", "risk"), [(True, 0.2), (False, 0.1)])
def test_a_risk_that_never_changes_is_expected(extrapolated: bool, risk: float):
    found = answered(audit_of(lambda _: 0.2, 1.0), extrapolated=extrapolated, tolerance=0.002)
    assert found.upcoding.detection == pytest.approx(risk, abs=0.002)
    assert found.upcoding.detection >= risk
    assert found.upcoding.penalty == 1.0
    expected = share_upcoded(risk, 1.0)
    four_errors = 4 * (expected * (1 - expected) / N) ** 0.5
    assert wrong(found.claims).height / N == pytest.approx(expected, abs=four_errors)


def test_where_the_risk_is_too_high_nobody_upcodes():
    found = answered(audit_of(lambda _: 0.5, 1.5))
    assert found.consequences is None
    assert wrong(found.claims).height == 0
    assert found.upcoding.detection == pytest.approx(0.4, abs=0.005)  # 1 / (1 + 1.5)
    assert found.response.row(-1) == (0.4, None, 0.0, 0.0, None)


def test_risk_in_proportion_to_what_is_wrong():
    """Solved by hand: the share s of claims wrong for which s = share_upcoded(s / 2)."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if share_upcoded(middle / 2, 2.0) > middle else (low, middle)
    found = answered(audit_of(lambda share: share / 2, 2.0), tolerance=0.001)
    assert found.upcoding.detection == pytest.approx(low / 2, abs=0.02)  # 4,000 draws: two in a hundred, four times
    assert found.consequences is not None
    assert found.consequences.recouped_share <= found.upcoding.detection
    tried = found.response
    assert tried["expected_risk"].is_sorted()
    assert tried["upcoded"].is_sorted(descending=True)
    number = tried["upcoded"]
    assert (tried["overpaid_usd"] - number * GAIN).abs().max() < 0.01
    met = tried.drop_nulls()
    assert (met["met_risk"] - met["upcoded"] / N / 2).abs().max() < 1e-12
    assert (met["payback_usd"] - met["overpaid_usd"] * met["met_risk"] * 3).abs()[1:].max() < 0.01


def test_penalty_and_size_of_sample_deter():
    def upcoded(size: int, penalty: float) -> int:
        found = answered(
            lambda claims: consequences(
                claims, SimpleRandom(size), seed=1, penalty_multiple=penalty, audit_probability=0.6, replicates=200
            )
        )
        return wrong(found.claims).height

    assert upcoded(60, 0.0) > upcoded(60, 1.0) > upcoded(240, 1.0) > 0


def test_detection_of_the_claims_drawn_alone_is_the_share_drawn():
    found = answered(
        lambda claims: consequences(claims, SimpleRandom(800), seed=1, penalty_multiple=2.0, replicates=50),
        extrapolated=False,
        tolerance=0.001,
    )
    assert found.upcoding.detection == pytest.approx(800 / N, abs=0.001)


def test_a_probe_is_met_by_fewer_claims_than_a_full_sample():
    def risk(design: SimpleRandom | ProbeThenFull) -> float:
        found = answered(lambda claims: consequences(claims, design, seed=1, penalty_multiple=0.5, replicates=200))
        return found.upcoding.detection

    assert risk(ProbeThenFull(30, SimpleRandom(200), trigger=0.2)) < risk(SimpleRandom(200))


def test_order_of_rows_does_not_matter():
    audited = audit_of(lambda share: share / 2, 2.0)
    found, turned = answered(audited), answered(audited, stays=cholecystectomies().reverse())
    assert turned.response.equals(found.response)
    assert turned.claims.sort("admission_id").equals(found.claims)


def test_the_behaviour_found_is_an_error_of_a_scenario():
    """Simulated, it overpays what the behaviour expects at the risk found, within four standard errors."""
    found = answered(audit_of(lambda _: 0.2, 1.0))
    scenario = Scenario(title="Upcoding that expects the audit it meets", errors=(found.upcoding,))
    run = simulate(
        cholecystectomies(500), scenario, tables=TABLES, hospitals=HOSPITALS, rates=RATES, replicates=64, seed=5
    )
    expected = 500 * share_upcoded(found.upcoding.detection, 1.0) * GAIN
    four_errors = 4 * run.totals["net"].std() / 100 / 64**0.5
    assert run.mean("net_usd") == pytest.approx(expected, abs=four_errors)


def test_the_sweep_by_hand():
    table = sweep_detection(
        cholecystectomies(10),
        UPCODING,
        tables=TABLES,
        hospitals=HOSPITALS,
        rates=RATES,
        detection=[0.0, 0.2, 0.6],
        penalty=[0.0, 1.0],
    )
    assert table.select("penalty", "detection").rows() == [(p, d) for p in (0.0, 1.0) for d in (0.0, 0.2, 0.6)]
    for row in table.iter_rows(named=True):
        risk, penalty = row["detection"], row["penalty"]
        upcoded = 10 * share_upcoded(risk, penalty)
        usd = upcoded * GAIN
        assert row["upcoded"] == pytest.approx(upcoded)
        assert row["gain_usd"] == pytest.approx(usd)
        assert row["repaid_usd"] == pytest.approx(risk * usd)
        assert row["penalty_usd"] == pytest.approx(risk * penalty * usd)
        assert row["net_usd"] == pytest.approx(usd * (1 - risk * (1 + penalty)))
    assert table.filter(penalty=1.0, detection=0.6)["upcoded"].item() == 0  # 0.6 x 2 is more than the gain


def test_unusable_arguments_raise():
    audited = audit_of(lambda _: 0.2, 1.0)
    with pytest.raises(InputError, match="tolerance is 0"):
        answered(audited, tolerance=0)
    with pytest.raises(InputError, match="nothing is upcoded even without an audit"):
        equilibrium(
            cholecystectomies(50),
            StrategicUpcode(),
            audited,
            tables=TABLES,
            hospitals=HOSPITALS,
            rates=RATES,
            seed=1,
        )
    with pytest.raises(InputError, match="expected 0 to 1"):
        sweep_detection(
            cholecystectomies(5), UPCODING, tables=TABLES, hospitals=HOSPITALS, rates=RATES, detection=[1.1]
        )
