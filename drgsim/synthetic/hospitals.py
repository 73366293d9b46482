"""Synthetic hospitals, whose size, teaching, place and cost ratios depend on each other."""

from __future__ import annotations

import numpy as np
import polars as pl

from drgsim.numerics.arrays import BoolArray, FloatArray
from drgsim.numerics.keyed_random import to_normal, uniform
from drgsim.synthetic.population import Population

_MEDIAN_BEDS, _LARGE_BEDS = 160.0, 500.0
_FEWEST_BEDS, _MOST_BEDS = 25, 1_600
_VOLUME_BY_BEDS = 0.85
"""Discharges rise with this power of beds, which gives their distribution in CMS Program Statistics 2021."""
_STATES = np.array([number for number in range(1, 54) if number not in (21, 40, 48)])
"""First two digits of a CCN; Maryland, Puerto Rico and the Virgin Islands are paid by other rules."""
_MEDIAN_UNCOMPENSATED_USD = 150.0
_MEDIAN_CCR = 0.205


def make_hospitals(*, seed: int, population: Population) -> pl.DataFrame:
    """Return the hospitals of a population, the largest first.

    The shares of teaching, large and rural hospitals are the population's. How the other attributes depend on
    them is an assumption: large hospitals teach, teaching hospitals charge more over cost, cities pay more.

    Returns:
        (hospitals,) provider inputs: `hospital_id`, `beds` [beds], `wage_index`, `operating_ccr`,
        `capital_ccr`, `resident_to_bed_ratio`, `ssi_ratio`, `medicaid_ratio`, `vbp_factor`, `hrr_factor` [1],
        `cbsa_size` (L large urban, O other urban, R rural), `geographic_urban`, `hac_reduction`,
        `uncompensated_care_usd` [USD per claim], and `discharge_share` [share of all admissions], which does not
        affect payment.

    >>> make_hospitals(seed=1, population=Population.load("teaching_hospital")).height
    1
    """
    count = population.hospitals.value
    ids = np.arange(count)

    def draw(what: str) -> FloatArray:
        return uniform(seed, f"hospital {what}", ids)

    beds = _draw_beds(draw("size"), population)
    size = np.log(beds / _MEDIAN_BEDS)
    is_teaching = _flag_highest(0.9 * size + to_normal(draw("teaching")), population.teaching_share.value)
    is_rural = _flag_highest(-0.9 * size - is_teaching + to_normal(draw("rural")), population.rural_share.value)
    is_large_urban = ~is_rural & (draw("metropolis") < 0.55)
    residents = is_teaching * np.exp(np.log(0.12) + 0.45 * size + 0.7 * to_normal(draw("residents")))
    wage_index = np.exp(-0.05 + 0.10 * is_large_urban - 0.12 * is_rural + 0.14 * to_normal(draw("wage")) + 0.02 * size)
    cost_ratio = np.exp(np.log(_MEDIAN_CCR) + 0.18 * is_rural - 0.07 * size + 0.30 * to_normal(draw("cost")))
    poor = to_normal(draw("poor")) + 0.4 * is_teaching
    medicaid = np.clip(0.22 * np.exp(0.45 * poor), 0.01, 0.8)
    share = beds**_VOLUME_BY_BEDS * np.exp(0.2 * to_normal(draw("volume")))
    state = _STATES[(draw("state") * len(_STATES)).astype(np.int64)]
    frame = pl.DataFrame(
        {
            "hospital_id": [f"{s:02d}{i:04d}" for s, i in zip(state.tolist(), (ids + 1).tolist(), strict=True)],
            "beds": beds.astype(np.int32),
            "wage_index": np.round(np.clip(wage_index, 0.6, 1.9), 4),
            "operating_ccr": np.round(np.clip(cost_ratio, 0.06, 0.9), 3),
            "capital_ccr": np.round(np.clip(cost_ratio * 0.075 * np.exp(0.3 * poor), 0.004, 0.1), 3),
            "resident_to_bed_ratio": np.round(np.clip(residents, 0, 1.2), 4),
            "ssi_ratio": np.round(np.clip(0.05 * np.exp(0.6 * poor), 0.0, 0.5), 4),
            "medicaid_ratio": np.round(medicaid, 4),
            "cbsa_size": np.where(is_rural, "R", np.where(is_large_urban, "L", "O")),
            "geographic_urban": ~is_rural,
            "vbp_factor": np.round(1 + 0.004 * to_normal(draw("value")), 6),
            "hrr_factor": np.round(1 - 0.03 * draw("readmissions") ** 3, 4),
            "hac_reduction": draw("hac") < 0.25,
            "uncompensated_care_usd": np.round(_MEDIAN_UNCOMPENSATED_USD * np.exp(0.8 * poor), 2),
            "discharge_share": share / share.sum(),
        }
    )
    return frame.sort("discharge_share", descending=True, maintain_order=True)


def _draw_beds(u: FloatArray, population: Population) -> FloatArray:
    """Return the beds of each hospital, descending; the given share has 500 beds or more."""
    count, spread = len(u), population.hospital_spread.value
    rank = np.sort(to_normal(u))[::-1]
    large = np.round(population.large_share.value * count)
    cut = float(rank[int(min(max(large - 1, 0), count - 1))])
    beds = np.exp(np.log(_MEDIAN_BEDS) + 0.75 * spread * rank)
    if 0 < large < count:
        beds = np.exp(np.log(_MEDIAN_BEDS) + np.log(_LARGE_BEDS / _MEDIAN_BEDS) * rank / max(cut, 0.1))
    elif large == count:
        beds = np.exp(np.log(_LARGE_BEDS * 1.4) + 0.3 * spread * rank)
    clipped: FloatArray = np.clip(np.round(beds), _FEWEST_BEDS if large < count else _LARGE_BEDS, _MOST_BEDS)
    return clipped


def _flag_highest(score: FloatArray, share: float) -> BoolArray:
    """Return which hospitals have the highest scores, the given share of them, (h,)."""
    chosen = np.zeros(len(score), np.bool_)
    chosen[np.argsort(-score, kind="stable")[: round(share * len(score))]] = True
    return chosen
