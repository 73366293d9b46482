"""Admissions drawn as integers: cores, patients, comorbidity, length of stay, disposition; then confirmed."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from drgsim.grouping.encoding import Encoded
from drgsim.numerics.arrays import FloatArray, Int64Array, UInt64Array
from drgsim.numerics.keyed_random import random_bits, to_normal, to_poisson, uniform
from drgsim.synthetic.comorbidity import MCC, find_segments
from drgsim.synthetic.drg_requirements import AGAINST_ADVICE, ANY_STATUS, DIED, TRANSFERRED
from drgsim.synthetic.generation_plan import GenerationPlan, list_age_bands
from drgsim.tables.code_limits import EITHER, FEMALE, MALE

HOME, EXPIRED, LEFT, TRANSFER = 1, 20, 7, 2
POA_LETTERS = ("", "Y", "N", "1", "U", "W")
_NO_POA, _YES, _NO, _EXEMPT, _UNKNOWN, _UNDETERMINED = range(6)
_POA_OF_LETTER = np.array([0, 1, 2, 0, 2, 1], np.uint8)
"""How the grouper reads each letter: 1 present, 2 not present, 0 not recognised."""
_ROOM = 30
"""Comorbidities drawn at most, before those that repeat a family are left out."""
_MOST_PROCEDURES = 10
_NEW_CORE_AFTER = 12
_LOS_TRIES = 8
_DEATH_BY_DECADE, _DEATH_BY_LOS, _DEATH_BY_MCC = 0.28, 0.25, 0.35
_POSTACUTE_BY_DECADE, _POSTACUTE_BY_LOS, _POSTACUTE_BY_SCORE, _POSTACUTE_OF_TRANSFER_DRG = 0.42, 0.75, 0.20, 0.55
_UNCLEAR_POA = 0.004


@dataclass(frozen=True, eq=False)
class DrawnStays:
    """Admissions as integers, (n,) or (n, most) filled with 0; codes are codebook numbers."""

    core: Int64Array
    age: NDArray[np.int32]
    sex: NDArray[np.uint8]
    discharge_status: NDArray[np.int16]
    sdx: NDArray[np.int32]
    poa: NDArray[np.uint8]
    procedures: NDArray[np.int32]
    los_days: NDArray[np.int32]

    def put(self, rows: Int64Array, other: DrawnStays, taken: NDArray[np.bool_]) -> None:
        """Write the `taken` rows of `other` into `rows` of this one."""
        for column in fields(self):
            getattr(self, column.name)[rows[taken]] = getattr(other, column.name)[taken]


@dataclass(frozen=True)
class Tuning:
    """Intercepts that make the shares of deaths and post-acute discharges the population's."""

    death: float
    postacute: float


def encode_stays(stays: DrawnStays, plan: GenerationPlan) -> Encoded:
    """Return stays as the grouper takes them."""
    sdx, sdx_start, sdx_row, filled = _ends(stays.sdx)
    procedures, start, row, _ = _ends(stays.procedures)
    return Encoded(
        pdx=plan.templates.pdx[stays.core],
        sex=stays.sex,
        discharge_status=stays.discharge_status,
        hospital_status=np.zeros(len(stays.core), np.uint8),
        sdx=sdx,
        sdx_start=sdx_start,
        sdx_row=sdx_row,
        poa=_POA_OF_LETTER[stays.poa[filled]],
        procedures=procedures,
        procedure_start=start,
        procedure_row=row,
    )


def _ends(
    wide: NDArray[np.int32],
) -> tuple[NDArray[np.int32], Int64Array, NDArray[np.int32], NDArray[np.bool_]]:
    filled = wide > 0
    count = filled.sum(axis=1)
    start = np.concatenate([[0], np.cumsum(count)])
    return wide[filled], start, np.repeat(np.arange(len(wide), dtype=np.int32), count), filled


def draw_attempt(
    ids: UInt64Array, drg: Int64Array, seed: int, attempt: int, plan: GenerationPlan, tuned: Tuning
) -> DrawnStays:
    """Draw stays of the given DRGs once, not yet confirmed; every draw is keyed by seed, attempt and id."""
    core, age, sex = _patients(ids, drg, seed, attempt, plan)
    cores = plan.templates
    segment = find_segments(plan.core_mdc[core], plan.is_surgical[drg], age.astype(np.int64), sex)
    comorbid = plan.comorbidity.draw(seed, ids, attempt, segment, cores.severities[core], _ROOM)
    owner, condition = _without_repeats(comorbid.owner, comorbid.slot, comorbid.condition, core, plan, len(ids))
    condition = _combined(owner, condition, core, plan)
    sdx, owner, condition = _listed(owner, condition, core, plan, len(ids))
    procedures, least = _with_ancillary(ids, core, comorbid.level, drg, seed, attempt, plan)
    los = _los_days(ids, drg, comorbid.score, least, seed, attempt, plan)
    risk = np.bincount(owner, plan.comorbidity.conditions.death_log_odds[condition], len(ids)).astype(np.float64)
    death, postacute = _log_odds(core, drg, age, los, comorbid.level, comorbid.score, risk, plan)
    status = _statuses(ids, core, death + tuned.death, postacute + tuned.postacute, seed, attempt, plan)
    poa = _poa(ids, sdx, seed, attempt, plan)
    return DrawnStays(core, age, sex, status, sdx, poa, procedures, los)


def _patients(
    ids: UInt64Array, drg: Int64Array, seed: int, attempt: int, plan: GenerationPlan
) -> tuple[Int64Array, NDArray[np.int32], NDArray[np.uint8]]:
    """Draw core, age and sex; the core stays the same for the first attempts, so that rare ones keep their share."""
    era = f" {attempt // _NEW_CORE_AFTER}"
    start = plan.templates.start
    core = start[drg] + (uniform(seed, "core" + era, ids) * (start[drg + 1] - start[drg])).astype(np.int64)
    bands = list_age_bands(plan.population)
    cell = plan.age_sexes.pick(plan.core_unit[core], random_bits(seed, "age and sex" + era, ids)) % (2 * len(bands))
    first, last = np.array([b.first for b in bands])[cell // 2], np.array([b.last for b in bands])[cell // 2]
    low, high = plan.templates.min_age[core].astype(np.int64), plan.templates.max_age[core].astype(np.int64)
    # A band that lies wholly outside what the codes allow stands for the nearest age they do.
    first, last = np.clip(first, low, high), np.clip(last, low, high)
    age = first + (uniform(seed, "age" + era, ids) * (last - first + 1)).astype(np.int64)
    sex = np.where(cell % 2 == 1, FEMALE, MALE)
    fixed = plan.templates.sex[core]
    return core, age.astype(np.int32), np.where(fixed == EITHER, sex, fixed).astype(np.uint8)


def _without_repeats(
    owner: Int64Array, slot: Int64Array, condition: Int64Array, core: Int64Array, plan: GenerationPlan, count: int
) -> tuple[Int64Array, Int64Array]:
    """Leave out conditions of a family that the PDX, the core or an earlier condition already stands for."""
    family_of, family = plan.comorbidity.conditions.family_of_pdx, plan.comorbidity.conditions.family[condition]
    own = plan.templates.sdx[core]
    places = own.shape[1] + 1
    depth = int(slot.max(initial=0)) + 1
    grid = np.zeros((places + depth, count), np.int16)
    grid[0] = family_of[plan.templates.pdx[core]]
    grid[1:places] = family_of[own].T
    grid[places + slot, owner] = family
    repeats = np.zeros((depth, count), np.bool_)
    for later in range(places, places + depth):
        for earlier in range(later):
            repeats[later - places] |= grid[later] == grid[earlier]
    kept = ~repeats[slot, owner]
    return owner[kept], condition[kept]


def _combined(owner: Int64Array, condition: Int64Array, core: Int64Array, plan: GenerationPlan) -> Int64Array:
    """Return the conditions as guidelines code them together, such as hypertension with heart failure."""
    conditions, condition = plan.comorbidity.conditions, condition.copy()
    fixed = np.concatenate([plan.templates.pdx[core][:, None], plan.templates.sdx[core]], axis=1)
    families, numbers = conditions.family[condition], conditions.number[condition]
    has: dict[tuple[int, int], NDArray[np.bool_]] = {}
    for code, beside, becomes in conditions.combinations:
        for what in beside:
            if what not in has:
                family, number = what
                if family:
                    has[what] = (conditions.family_of_pdx[fixed] == family).any(axis=1)
                    has[what][owner[families == family]] = True
                else:
                    has[what] = (fixed == number).any(axis=1)
                    has[what][owner[numbers == number]] = True
        at = np.flatnonzero(condition == code)
        together = np.ones(len(at), np.bool_)
        for what in beside:
            together &= has[what][owner[at]]
        condition[at[together]] = becomes
    return condition


def _listed(
    owner: Int64Array, condition: Int64Array, core: Int64Array, plan: GenerationPlan, count: int
) -> tuple[NDArray[np.int32], Int64Array, Int64Array]:
    """Return the secondary codes (n, most): the core's own first, then comorbidities while there is room."""
    most = plan.population.most_sdx.value
    own = plan.templates.sdx[core]
    sdx = np.zeros((count, most), np.int32)
    sdx[:, : own.shape[1]] = own
    first = (own > 0).sum(axis=1)
    per_row = np.bincount(owner, minlength=count)
    place = np.arange(len(owner)) - np.repeat(np.cumsum(per_row) - per_row, per_row) + first[owner]
    fits = place < most
    owner, condition, place = owner[fits], condition[fits], place[fits]
    sdx[owner, place] = plan.comorbidity.conditions.number[condition]
    return sdx, owner, condition


def _with_ancillary(
    ids: UInt64Array,
    core: Int64Array,
    level: Int64Array,
    drg: Int64Array,
    seed: int,
    attempt: int,
    plan: GenerationPlan,
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return procedures (n, most) and the shortest stay they allow [days]."""
    own = plan.templates.procedures[core]
    width = own.shape[1]
    procedures = np.zeros((len(ids), max(_MOST_PROCEDURES, width)), np.int32)
    procedures[:, :width] = own
    least = plan.core_min_los_days[core].copy()
    row = level + 3 * plan.is_surgical[drg]
    stream = f"ancillary {attempt}"
    free = np.count_nonzero(own, axis=1)
    most = procedures.shape[1] - width
    count = to_poisson(uniform(seed, stream, ids), plan.ancillary.rate[row], most=max(most, 1))
    for slot in range(min(int(count.max(initial=0)), most)):
        has = np.flatnonzero(count > slot)
        kinds = len(plan.ancillary.number)
        extra = plan.ancillary.choices.pick(row[has], random_bits(seed, stream, ids[has], np.full(len(has), slot + 1)))
        number = plan.ancillary.number[extra % kinds]
        new = ~(procedures[has] == number[:, None]).any(axis=1)
        procedures[has[new], free[has[new]]] = number[new]
        free[has[new]] += 1
        least[has[new]] = np.maximum(least[has[new]], plan.ancillary.min_los_days[extra % kinds][new])
    return procedures, least


def _los_days(
    ids: UInt64Array,
    drg: Int64Array,
    score: FloatArray,
    least: NDArray[np.int32],
    seed: int,
    attempt: int,
    plan: GenerationPlan,
) -> NDArray[np.int32]:
    """Draw whole days of at least 1, again where procedures such as long ventilation need more."""
    correlation = plan.population.los_burden_correlation.value
    los = np.zeros(len(ids), np.int32)
    short = np.arange(len(ids))
    for turn in range(_LOS_TRIES):
        noise = to_normal(uniform(seed, f"los {attempt}", ids[short], np.full(len(short), turn)))
        at = drg[short]
        z = correlation * score[short] + np.sqrt(1 - correlation**2) * noise
        los[short] = np.maximum(np.round(np.exp(plan.los_location[at] + plan.los_spread[at] * z)), 1)
        short = short[los[short] < least[short]]
        if not len(short):
            break
    return np.maximum(los, least)


def _log_odds(
    core: Int64Array,
    drg: Int64Array,
    age: NDArray[np.int32],
    los: NDArray[np.int32],
    level: Int64Array,
    score: FloatArray,
    risk: FloatArray,
    plan: GenerationPlan,
) -> tuple[FloatArray, FloatArray]:
    """Return log odds of death and of post-acute care, up to their intercepts."""
    decades = (np.maximum(age, 18) - 75) / 10
    mdc = plan.core_mdc[core]
    death = (
        risk
        + plan.pdx_death_log_odds[plan.templates.pdx[core]]
        + plan.mdc_death_log_odds[mdc]
        + _DEATH_BY_DECADE * decades
        + _DEATH_BY_LOS * np.log(plan.los_mean_days[drg])
        + _DEATH_BY_MCC * (level == MCC)
    )
    postacute = (
        plan.mdc_postacute_log_odds[mdc]
        + _POSTACUTE_BY_DECADE * decades
        + _POSTACUTE_BY_LOS * np.log(los)
        + _POSTACUTE_BY_SCORE * score
        + _POSTACUTE_OF_TRANSFER_DRG * plan.is_postacute_transfer[drg]
    )
    return death, postacute


def _chance(log_odds: FloatArray) -> FloatArray:
    found: FloatArray = 1 / (1 + np.exp(-log_odds))
    return found


def _statuses(
    ids: UInt64Array,
    core: Int64Array,
    death: FloatArray,
    postacute: FloatArray,
    seed: int,
    attempt: int,
    plan: GenerationPlan,
) -> NDArray[np.int16]:
    population = plan.population
    need = plan.templates.status[core]
    kinds, shares = zip(*sorted(population.postacute_split.value.items()), strict=True)
    edges = np.cumsum(shares)[:-1]
    u = uniform(seed, f"post-acute kind {attempt}", ids)
    after = np.array([int(kind) for kind in kinds])[np.searchsorted(edges, u, side="right")]
    others, shares = zip(*sorted(population.other_discharges.value.items()), strict=True)
    left = 1 - population.death_share.value - population.postacute_share.value
    edges = np.cumsum(np.array(shares) / left)
    u = uniform(seed, f"other discharge {attempt}", ids)
    other = np.array([*(int(kind) for kind in others), HOME])[np.searchsorted(edges, u, side="right")]
    is_postacute = uniform(seed, f"post-acute {attempt}", ids) < _chance(postacute)
    status = np.where(is_postacute, after, other)
    dies = (uniform(seed, f"death {attempt}", ids) < _chance(death)) & ((need == ANY_STATUS) | (need == DIED))
    status = np.where(dies | (need == DIED), EXPIRED, status)
    status = np.where(need == AGAINST_ADVICE, LEFT, status)
    status = np.where(need == TRANSFERRED, TRANSFER, status)
    return status.astype(np.int16)


def _poa(ids: UInt64Array, sdx: NDArray[np.int32], seed: int, attempt: int, plan: GenerationPlan) -> NDArray[np.uint8]:
    """Draw POA letters (places in POA_LETTERS); conditions that arise in hospital are not present on admission."""
    row, place = np.nonzero(sdx)
    number = sdx[row, place]
    onset = _onset(plan)[number]
    u = uniform(seed, f"poa {attempt}", ids[row], place)
    letter = np.where(u < onset, _NO, _YES)
    letter = np.where(u > 1 - _UNCLEAR_POA, np.where(u > 1 - _UNCLEAR_POA / 2, _UNKNOWN, _UNDETERMINED), letter)
    poa = np.zeros(sdx.shape, np.uint8)
    poa[row, place] = np.where(plan.legal.poa_exempt[number], _EXEMPT, letter)
    return poa


def find_pdx_poa(stays: DrawnStays, plan: GenerationPlan) -> NDArray[np.uint8]:
    """Return the POA letter of the principal diagnosis: present by definition, or exempt."""
    exempt = plan.legal.poa_exempt[plan.templates.pdx[stays.core]]
    return np.where(exempt, _EXEMPT, _YES).astype(np.uint8)


@lru_cache(maxsize=4)
def _onset(plan: GenerationPlan) -> FloatArray:
    onset = np.zeros(len(plan.legal.dx_valid))
    conditions = plan.comorbidity.conditions
    onset[conditions.number] = conditions.onset_share
    return onset
