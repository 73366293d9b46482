"""Admissions priced a second, on one thread and on all, beside a plain `decimal` loop.

    pytest benchmarks/bench_payment.py --benchmark-only

Data are built outside the timed call. The peer prices fewer rows, one at a time; compare by `extra_info`.
"""

import importlib.util
import os
from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from drgsim.pricing.pricer import price, price_stays
from drgsim.rates.payment_rates import Rates

ROWS = int(os.environ.get("DRGSIM_BENCH_ROWS", 1_000_000))
PEER_ROWS = 500
HOSPITALS = 3000


def _peer():
    path = Path(__file__).parents[1] / "tests" / "decimal_pricer.py"
    spec = importlib.util.spec_from_file_location("decimal_pricer", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def build_hospitals(seed: int = 1) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    n = HOSPITALS

    def decimals(low: float, high: float, digits: int) -> np.ndarray:
        return random.uniform(low, high, n).round(digits)

    residents = np.where(random.random(n) < 0.3, decimals(0, 0.8, 4), 0.0)
    return pl.DataFrame(
        {
            "hospital_id": [f"H{i:05d}" for i in range(n)],
            "wage_index": decimals(0.7, 1.8, 4),
            "beds": random.integers(20, 900, n).astype(np.int32),
            "cbsa_size": random.choice(["L", "O", "R"], n),
            "ccn_state": random.choice(["01", "05", "02", "33"], n),
            "provider_type": random.choice(["00", "00", "00", "07", "16"], n),
            "cola": decimals(1.0, 1.25, 3),
            "resident_to_bed_ratio": residents,
            "capital_ime_ratio": residents,
            "operating_ccr": decimals(0.1, 0.5, 3),
            "capital_ccr": decimals(0.005, 0.05, 3),
            "ssi_ratio": decimals(0, 0.2, 4),
            "medicaid_ratio": decimals(0, 0.5, 4),
            "quality_reported": True,
            "ehr_reduction": random.random(n) < 0.05,
            "vbp_factor": decimals(0.98, 1.03, 11),
            "hrr_factor": decimals(0.97, 1.0, 4),
            "hac_reduction": random.random(n) < 0.25,
            "uncompensated_care_usd": decimals(0, 3000, 2),
            "low_volume_factor": np.where(random.random(n) < 0.1, decimals(0, 0.25, 6), 0.0),
            "hospital_specific_rate_usd": decimals(5000, 12000, 2),
        }
    )


def build_admissions(rows: int, rates: Rates, hospitals: pl.DataFrame, seed: int = 2) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    drgs = rates.weights.filter(pl.col("weight") > 0)["drg"].to_numpy()
    return pl.DataFrame(
        {
            "drg": random.choice(drgs, rows),
            "hospital_id": random.choice(hospitals["hospital_id"].to_numpy(), rows),
            "los_days": random.integers(1, 15, rows).astype(np.int32),
            "covered_charges_usd": np.exp(random.normal(10.8, 0.9, rows)).round(2),
            "discharge_status": random.choice([1, 1, 1, 1, 2, 3, 6, 62], rows).astype(np.int32),
        }
    )


@pytest.fixture(scope="module")
def data():
    rates, hospitals = Rates.load(2026), build_hospitals()
    return build_admissions(ROWS, rates, hospitals), hospitals, rates


@pytest.mark.parametrize("threads", [1, os.cpu_count() or 1])
def test_pay(benchmark, data, threads) -> None:
    admissions, hospitals, rates = data
    paid = benchmark.pedantic(lambda: price(admissions, hospitals, rates, threads=threads), rounds=7, warmup_rounds=1)
    assert paid.height == ROWS
    benchmark.extra_info["rows"] = ROWS
    benchmark.extra_info["threads"] = threads
    benchmark.extra_info["million_rows_a_second"] = ROWS / benchmark.stats.stats.min / 1e6


def as_decimals(stays: pl.DataFrame) -> list[dict]:
    def value(found):
        return Decimal(str(found)) if isinstance(found, float) else found

    return [{name: value(found) for name, found in row.items()} for row in stays.iter_rows(named=True)]


def wide(admissions: pl.DataFrame, hospitals: pl.DataFrame, rates: Rates) -> pl.DataFrame:
    """Stays with every provider input beside them, as `price_stays` and the peer take them."""
    stays = admissions.join(rates.weights, on="drg", maintain_order="left")
    stays = stays.join(hospitals, on="hospital_id", maintain_order="left")
    review = pl.col("discharge_status").replace_strict({1: 0, 2: 3, 3: 9, 6: 9, 62: 9}, return_dtype=pl.UInt8)
    plain = dict.fromkeys(("medicare_advantage", "covid", "no_cost_product", "new_capital_hospital"), False)
    return stays.with_columns(
        review_code=review,
        geographic_urban=pl.col("cbsa_size") != "R",
        covered_days=pl.col("los_days"),
        ntap_max_usd=pl.lit(None, pl.List(pl.Float64)),
        ntap_share=pl.lit(None, pl.List(pl.Float64)),
        **{name: pl.lit(value) for name, value in plain.items()},
    )


def test_decimal_peer(benchmark, data) -> None:
    admissions, hospitals, rates = data
    stays = wide(admissions.head(PEER_ROWS), hospitals, rates)
    rows, peer = as_decimals(stays), _peer()
    found = benchmark.pedantic(lambda: [peer.price_one(row, rates) for row in rows], rounds=3)
    assert [float(one["total_usd"]) for one in found] == price_stays(stays, rates)["total_usd"].to_list()
    benchmark.extra_info["rows"] = PEER_ROWS
    benchmark.extra_info["million_rows_a_second"] = PEER_ROWS / benchmark.stats.stats.min / 1e6
