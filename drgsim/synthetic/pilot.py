"""Pilot."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from drgsim.exceptions import DrgsimError
from drgsim.grouping.grouper import group_encoded
from drgsim.numerics.arrays import Int64Array, UInt64Array
from drgsim.numerics.keyed_random import random_bits
from drgsim.synthetic.generation_plan import GenerationPlan
from drgsim.synthetic.hospital_course import EXPIRED, DrawnStays, Tuning, draw_attempt, encode_stays

_MOST_ATTEMPTS = 400
PILOT_SEED = 0
_PILOT = 50_000
_TUNINGS, _TUNING_GAIN = 4, 1.25


_FIRST_TUNING = Tuning(-8.1, -1.66)


def draw_confirmed_stays(ids: UInt64Array, seed: int, plan: GenerationPlan) -> tuple[Int64Array, DrawnStays]:
    """Return the DRG (its place in the plan) of each admission and a stay the grouper puts in that DRG.

    The DRG is drawn once; what does not land is drawn again, patient and all, until it does.
    """
    drg = plan.drgs.pick(np.zeros(len(ids), np.int64), random_bits(seed, "drg", ids))
    return drg, confirm_stays(ids, drg, seed, plan, draw_pilot(plan).tuned)


def confirm_stays(ids: UInt64Array, drg: Int64Array, seed: int, plan: GenerationPlan, tuned: Tuning) -> DrawnStays:
    """Return stays of the given DRGs, each confirmed by the grouper.

    Raises:
        DrgsimError: a DRG did not land in 400 attempts, which means that its cores are wrong.
    """
    stays = draw_attempt(ids, drg, seed, 0, plan, tuned)
    waiting = np.flatnonzero(~_is_confirmed(stays, drg, plan))
    for attempt in range(1, _MOST_ATTEMPTS):
        if not len(waiting):
            return stays
        again = draw_attempt(ids[waiting], drg[waiting], seed, attempt, plan, tuned)
        good = _is_confirmed(again, drg[waiting], plan)
        stays.put(waiting, again, good)
        waiting = waiting[~good]
    missing = sorted(set(plan.templates.drg[drg[waiting]].tolist()))
    raise DrgsimError(f"admissions did not reach DRG {', '.join(map(str, missing))} in {_MOST_ATTEMPTS} attempts.")


def _is_confirmed(stays: DrawnStays, drg: Int64Array, plan: GenerationPlan) -> NDArray[np.bool_]:
    found = group_encoded(encode_stays(stays, plan), plan.tables)
    lands: NDArray[np.bool_] = (found.drg == plan.templates.drg[drg]) & (found.return_code == 0)
    return lands


@dataclass(frozen=True, eq=False)
class Pilot:
    """Admissions of a seed of their own, and the intercepts they were drawn with."""

    ids: UInt64Array
    drg: Int64Array
    stays: DrawnStays
    tuned: Tuning


@lru_cache(maxsize=4)
def draw_pilot(plan: GenerationPlan) -> Pilot:
    """Return a pilot of 50,000 admissions drawn with intercepts that give it the population's shares.

    Its seed is its own, so the intercepts are the same for every seed and size.
    """
    ids = np.arange(_PILOT, dtype=np.uint64)
    drg = plan.drgs.pick(np.zeros(_PILOT, np.int64), random_bits(PILOT_SEED, "pilot", ids))
    tuned = _FIRST_TUNING
    wanted = plan.population.death_share.value, plan.population.postacute_share.value
    kinds = [int(kind) for kind in plan.population.postacute_split.value]
    for _ in range(_TUNINGS):
        stays = confirm_stays(ids, drg, PILOT_SEED, plan, tuned)
        status = stays.discharge_status
        died, after = float((status == EXPIRED).mean()), float(np.isin(status, kinds).mean())
        tuned = Tuning(
            float(np.clip(tuned.death + _TUNING_GAIN * (_logit(wanted[0]) - _logit(died)), -14, 6)),
            float(np.clip(tuned.postacute + _TUNING_GAIN * (_logit(wanted[1]) - _logit(after)), -14, 6)),
        )
    return Pilot(ids, drg, stays, tuned)


def _logit(share: float) -> float:
    share = min(max(share, 1e-4), 1 - 1e-4)
    return float(np.log(share / (1 - share)))
