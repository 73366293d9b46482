"""Pilot."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from drgsim.exceptions import DrgsimError
from drgsim.grouping.grouper import group_encoded
from drgsim.numerics.keyed_random import Ints, bits
from drgsim.synthetic.generation_plan import Plan
from drgsim.synthetic.hospital_course import EXPIRED, Stays, Tuning, attempt_at, encoded

Ids = NDArray[np.uint64]
_MOST_ATTEMPTS = 400
PILOT_SEED = 0
_PILOT = 50_000
_TUNINGS, _TUNING_GAIN = 4, 1.25


_FIRST_TUNING = Tuning(-8.1, -1.66)


def drawn(ids: Ids, seed: int, plan: Plan) -> tuple[Ints, Stays]:
    """Return the DRG (its place in the plan) of each admission and a stay the grouper puts in that DRG.

    The DRG is drawn once; what does not land is drawn again, patient and all, until it does.
    """
    drg = plan.drgs.pick(np.zeros(len(ids), np.int64), bits(seed, "drg", ids))
    return drg, landed(ids, drg, seed, plan, pilot(plan).tuned)


def landed(ids: Ids, drg: Ints, seed: int, plan: Plan, tuned: Tuning) -> Stays:
    """Return stays of the given DRGs, each confirmed by the grouper.

    Raises:
        DrgsimError: a DRG did not land in 400 attempts, which means that its cores are wrong.
    """
    stays = attempt_at(ids, drg, seed, 0, plan, tuned)
    waiting = np.flatnonzero(~_lands(stays, drg, plan))
    for attempt in range(1, _MOST_ATTEMPTS):
        if not len(waiting):
            return stays
        again = attempt_at(ids[waiting], drg[waiting], seed, attempt, plan, tuned)
        good = _lands(again, drg[waiting], plan)
        stays.put(waiting, again, good)
        waiting = waiting[~good]
    missing = sorted(set(plan.pool.drg[drg[waiting]].tolist()))
    raise DrgsimError(f"admissions did not reach DRG {', '.join(map(str, missing))} in {_MOST_ATTEMPTS} attempts.")


def _lands(stays: Stays, drg: Ints, plan: Plan) -> NDArray[np.bool_]:
    found = group_encoded(encoded(stays, plan), plan.tables)
    lands: NDArray[np.bool_] = (found.drg == plan.pool.drg[drg]) & (found.return_code == 0)
    return lands


@dataclass(frozen=True, eq=False)
class Pilot:
    """Admissions of a seed of their own, and the intercepts they were drawn with."""

    ids: Ids
    drg: Ints
    stays: Stays
    tuned: Tuning


@lru_cache(maxsize=4)
def pilot(plan: Plan) -> Pilot:
    """Return a pilot of 50,000 admissions drawn with intercepts that give it the population's shares.

    Its seed is its own, so the intercepts are the same for every seed and size.
    """
    ids = np.arange(_PILOT, dtype=np.uint64)
    drg = plan.drgs.pick(np.zeros(_PILOT, np.int64), bits(PILOT_SEED, "pilot", ids))
    tuned = _FIRST_TUNING
    wanted = plan.population.death_share.value, plan.population.postacute_share.value
    kinds = [int(kind) for kind in plan.population.postacute_split.value]
    for _ in range(_TUNINGS):
        stays = landed(ids, drg, PILOT_SEED, plan, tuned)
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
