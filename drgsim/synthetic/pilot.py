"""Stays drawn again until the grouper confirms them; intercepts tuned to the population."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from drgsim.exceptions import DrgsimError
from drgsim.grouping.grouper import group_encoded
from drgsim.numerics.arrays import BoolArray, Int64Array, UInt64Array
from drgsim.numerics.keyed_random import random_bits
from drgsim.synthetic.generation_plan import GenerationPlan
from drgsim.synthetic.hospital_course import EXPIRED, Attempt, DrawnStays, Tuning, draw_attempt, encode_stays

PILOT_SEED = 0
_PILOT_ADMISSIONS = 50_000
_MOST_ATTEMPTS = 400
_TUNING_ROUNDS, _TUNING_GAIN = 4, 1.25
_FIRST_TUNING = Tuning(-8.1, -1.66)


def draw_confirmed_stays(ids: UInt64Array, seed: int, plan: GenerationPlan) -> tuple[Int64Array, DrawnStays]:
    """Return the DRG of each admission, and a stay that the grouper puts into that DRG.

    The DRG is given as its place in the plan. It is drawn once; a stay that the grouper puts elsewhere is drawn
    again, with another patient, until the grouper confirms it.
    """
    drg = plan.drgs.pick(np.zeros(len(ids), np.int64), random_bits(seed, "drg", ids))
    return drg, confirm_stays(ids, drg, seed, plan, draw_pilot(plan).tuning)


def confirm_stays(ids: UInt64Array, drg: Int64Array, seed: int, plan: GenerationPlan, tuning: Tuning) -> DrawnStays:
    """Return stays of the given DRGs, each confirmed by the grouper.

    Raises:
        DrgsimError: a DRG was not confirmed in 400 attempts, which means that its templates are wrong.
    """
    stays = draw_attempt(Attempt(ids, drg, seed, 0, plan), tuning)
    waiting = np.flatnonzero(~_is_confirmed(stays, drg, plan))
    for number in range(1, _MOST_ATTEMPTS):
        if not len(waiting):
            return stays
        again = draw_attempt(Attempt(ids[waiting], drg[waiting], seed, number, plan), tuning)
        confirmed = _is_confirmed(again, drg[waiting], plan)
        stays.put(waiting, again, confirmed)
        waiting = waiting[~confirmed]
    missing = sorted(set(plan.templates.drg[drg[waiting]].tolist()))
    raise DrgsimError(
        f"admissions did not reach DRG {', '.join(map(str, missing))} in {_MOST_ATTEMPTS} attempts; "
        "the templates of these DRGs are wrong."
    )


def _is_confirmed(stays: DrawnStays, drg: Int64Array, plan: GenerationPlan) -> BoolArray:
    found = group_encoded(encode_stays(stays, plan), plan.tables)
    confirmed: BoolArray = (found.drg == plan.templates.drg[drg]) & (found.return_code == 0)
    return confirmed


@dataclass(frozen=True, eq=False)
class Pilot:
    """Admissions of a fixed seed, and the intercepts with which they were drawn."""

    ids: UInt64Array
    drg: Int64Array
    stays: DrawnStays
    tuning: Tuning


@lru_cache(maxsize=8)
def draw_pilot(plan: GenerationPlan) -> Pilot:
    """Return a pilot of 50,000 admissions, and intercepts that give it the population's shares.

    The seed of the pilot is fixed, so the intercepts are the same for every seed and number of admissions.
    """
    ids = np.arange(_PILOT_ADMISSIONS, dtype=np.uint64)
    drg = plan.drgs.pick(np.zeros(_PILOT_ADMISSIONS, np.int64), random_bits(PILOT_SEED, "pilot", ids))
    tuning = _FIRST_TUNING
    wanted = plan.population.death_share.value, plan.population.postacute_share.value
    kinds = [int(kind) for kind in plan.population.postacute_split.value]
    for _ in range(_TUNING_ROUNDS):
        stays = confirm_stays(ids, drg, PILOT_SEED, plan, tuning)
        status = stays.discharge_status
        died, postacute = float((status == EXPIRED).mean()), float(np.isin(status, kinds).mean())
        tuning = Tuning(
            float(np.clip(tuning.death + _TUNING_GAIN * (_logit(wanted[0]) - _logit(died)), -14, 6)),
            float(np.clip(tuning.postacute + _TUNING_GAIN * (_logit(wanted[1]) - _logit(postacute)), -14, 6)),
        )
    return Pilot(ids, drg, stays, tuning)


def _logit(share: float) -> float:
    share = min(max(share, 1e-4), 1 - 1e-4)
    return float(np.log(share / (1 - share)))
