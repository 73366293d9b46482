"""One attempt at an admission, as integers, which the grouper has not confirmed yet.

In the order of the draws: template, patient, comorbidity, procedures, length of stay, discharge status, POA.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from drgsim.numerics.arrays import BoolArray, ByteArray, FloatArray, Int32Array, Int64Array, UInt64Array
from drgsim.numerics.keyed_random import random_bits, to_normal, to_poisson, uniform
from drgsim.synthetic.comorbidity import MCC, DrawnComorbidities, find_segments
from drgsim.synthetic.drg_requirements import AGAINST_ADVICE, ANY_STATUS, DIED, TRANSFERRED
from drgsim.synthetic.generation_plan import GenerationPlan, list_age_bands
from drgsim.tables.code_limits import EITHER, FEMALE, MALE
from drgsim.tables.encoding import Encoded

HOME, EXPIRED, LEFT, TRANSFER = 1, 20, 7, 2
POA_LETTERS = ("", "Y", "N", "1", "U", "W")
_NO_POA, _YES, _NO, _EXEMPT, _UNKNOWN, _UNDETERMINED = range(6)
_POA_OF_LETTER = np.array([0, 1, 2, 0, 2, 1], np.uint8)
"""How the grouper reads each letter: 1 present, 2 not present, 0 not recognised."""
_MOST_COMORBIDITIES = 30
"""Comorbidities drawn at most, before those that repeat a family are removed."""
_MOST_PROCEDURES = 10
_ATTEMPTS_PER_TEMPLATE = 12
_LOS_DRAWS = 8
_DEATH_BY_DECADE, _DEATH_BY_LOS, _DEATH_BY_MCC = 0.28, 0.25, 0.35
_POSTACUTE_BY_DECADE, _POSTACUTE_BY_LOS, _POSTACUTE_BY_SCORE, _POSTACUTE_OF_TRANSFER_DRG = 0.42, 0.75, 0.20, 0.55
_UNCLEAR_POA = 0.004


@dataclass(frozen=True, eq=False)
class Attempt:
    """The admissions of one attempt, and what keys their draws.

    Attributes:
        ids: (n,) admission ids.
        drg: (n,) place of each admission's DRG in the plan.
        seed: of all draws.
        number: 0 for the first attempt.
        plan: the version and the population.
    """

    ids: UInt64Array
    drg: Int64Array
    seed: int
    number: int
    plan: GenerationPlan

    def draw(self, stream: str) -> FloatArray:
        """Return a uniform number for each admission, (n,) 0 to 1."""
        return uniform(self.seed, stream, self.ids)


@dataclass(frozen=True, eq=False)
class DrawnPatients:
    """The template, age and sex of each admission, (n,)."""

    template: Int64Array
    age: Int32Array
    sex: ByteArray


@dataclass(frozen=True, eq=False)
class DrawnStays:
    """Admissions as integers, (n,) or (n, most) filled with 0; codes are codebook numbers."""

    template: Int64Array
    age: Int32Array
    sex: ByteArray
    discharge_status: NDArray[np.int16]
    sdx: Int32Array
    poa: ByteArray
    procedures: Int32Array
    los_days: Int32Array

    def put(self, rows: Int64Array, other: DrawnStays, chosen: BoolArray) -> None:
        """Write the `chosen` rows of `other` into `rows` of these stays."""
        for column in fields(self):
            getattr(self, column.name)[rows[chosen]] = getattr(other, column.name)[chosen]


@dataclass(frozen=True)
class Tuning:
    """Intercepts that give the population's shares of deaths and of post-acute discharges."""

    death: float
    postacute: float


def encode_stays(stays: DrawnStays, plan: GenerationPlan) -> Encoded:
    """Return stays in the form that the grouper takes."""
    sdx, sdx_start, sdx_row, filled = _flatten(stays.sdx)
    procedures, start, row, _ = _flatten(stays.procedures)
    return Encoded(
        pdx=plan.templates.pdx[stays.template],
        sex=stays.sex,
        discharge_status=stays.discharge_status,
        hospital_status=np.zeros(len(stays.template), np.uint8),
        sdx=sdx,
        sdx_start=sdx_start,
        sdx_row=sdx_row,
        poa=_POA_OF_LETTER[stays.poa[filled]],
        procedures=procedures,
        procedure_start=start,
        procedure_row=row,
    )


def _flatten(wide: Int32Array) -> tuple[Int32Array, Int64Array, Int32Array, BoolArray]:
    """Return the codes, the start of each row, the row of each code, and the filled cells."""
    filled = wide > 0
    count = filled.sum(axis=1)
    start = np.concatenate([[0], np.cumsum(count)])
    return wide[filled], start, np.repeat(np.arange(len(wide), dtype=np.int32), count), filled


def draw_attempt(attempt: Attempt, tuning: Tuning) -> DrawnStays:
    """Draw one stay for each admission; every draw is keyed by seed, attempt and admission id."""
    plan, count = attempt.plan, len(attempt.ids)
    patients = _draw_patients(attempt)
    template = patients.template
    segment = find_segments(
        plan.template_mdc[template], plan.is_surgical[attempt.drg], patients.age.astype(np.int64), patients.sex
    )
    levels = plan.templates.severities[template]
    comorbidities = plan.comorbidity.draw(
        attempt.seed, attempt.ids, attempt.number, segment, levels, _MOST_COMORBIDITIES
    )
    owner, condition = _drop_repeats(comorbidities, template, plan)
    condition = _combine_conditions(owner, condition, template, plan)
    sdx, owner, condition = _list_sdx(owner, condition, template, plan)
    procedures, least = _add_ancillary(attempt, template, comorbidities.level)
    los = _draw_los_days(attempt, comorbidities.score, least)
    risk = np.bincount(owner, plan.comorbidity.conditions.death_log_odds[condition], count).astype(np.float64)
    death, postacute = _discharge_log_odds(attempt, patients, comorbidities, los, risk)
    status = _draw_statuses(attempt, template, death + tuning.death, postacute + tuning.postacute)
    return DrawnStays(template, patients.age, patients.sex, status, sdx, _draw_poa(attempt, sdx), procedures, los)


def _draw_patients(attempt: Attempt) -> DrawnPatients:
    """Draw template, age and sex.

    The first attempts keep the same template, so that templates which are seldom confirmed keep their share.
    """
    plan, templates = attempt.plan, attempt.plan.templates
    era = f" {attempt.number // _ATTEMPTS_PER_TEMPLATE}"
    start, drg = templates.start, attempt.drg
    template = start[drg] + (attempt.draw("core" + era) * (start[drg + 1] - start[drg])).astype(np.int64)
    bands = list_age_bands(plan.population)
    random = random_bits(attempt.seed, "age and sex" + era, attempt.ids)
    cell = plan.age_sexes.pick(plan.template_unit[template], random) % (2 * len(bands))
    first, last = np.array([b.first for b in bands])[cell // 2], np.array([b.last for b in bands])[cell // 2]
    low, high = templates.min_age[template].astype(np.int64), templates.max_age[template].astype(np.int64)
    # A band wholly outside the ages that the codes allow gives the nearest age that they do allow.
    first, last = np.clip(first, low, high), np.clip(last, low, high)
    age = first + (attempt.draw("age" + era) * (last - first + 1)).astype(np.int64)
    sex = np.where(cell % 2 == 1, FEMALE, MALE)
    fixed = templates.sex[template]
    sex = np.where(fixed == EITHER, sex, fixed).astype(np.uint8)
    return DrawnPatients(template, age.astype(np.int32), sex)


def _drop_repeats(
    comorbidities: DrawnComorbidities, template: Int64Array, plan: GenerationPlan
) -> tuple[Int64Array, Int64Array]:
    """Return owner and condition without a second condition of a family.

    The PDX and the secondary codes of the template come before the conditions.
    """
    owner, slot, condition, count = comorbidities.owner, comorbidities.slot, comorbidities.condition, len(template)
    family_of, family = plan.comorbidity.conditions.family_of_pdx, plan.comorbidity.conditions.family[condition]
    of_template = plan.templates.sdx[template]
    places = of_template.shape[1] + 1
    depth = int(slot.max(initial=0)) + 1
    grid = np.zeros((places + depth, count), np.int16)
    grid[0] = family_of[plan.templates.pdx[template]]
    grid[1:places] = family_of[of_template].T
    grid[places + slot, owner] = family
    repeats = np.zeros((depth, count), np.bool_)
    for later in range(places, places + depth):
        for earlier in range(later):
            repeats[later - places] |= grid[later] == grid[earlier]
    is_new = ~repeats[slot, owner]
    return owner[is_new], condition[is_new]


def _combine_conditions(
    owner: Int64Array, condition: Int64Array, template: Int64Array, plan: GenerationPlan
) -> Int64Array:
    """Return the conditions as guidelines combine them, such as hypertension with heart failure."""
    conditions, condition = plan.comorbidity.conditions, condition.copy()
    fixed = np.concatenate([plan.templates.pdx[template][:, None], plan.templates.sdx[template]], axis=1)
    families, numbers = conditions.family[condition], conditions.number[condition]
    has: dict[tuple[int, int], BoolArray] = {}
    for code, companions, becomes in conditions.combinations:
        for companion in companions:
            if companion not in has:
                family, number = companion
                if family:
                    has[companion] = (conditions.family_of_pdx[fixed] == family).any(axis=1)
                    has[companion][owner[families == family]] = True
                else:
                    has[companion] = (fixed == number).any(axis=1)
                    has[companion][owner[numbers == number]] = True
        at = np.flatnonzero(condition == code)
        together = np.ones(len(at), np.bool_)
        for companion in companions:
            together &= has[companion][owner[at]]
        condition[at[together]] = becomes
    return condition


def _list_sdx(
    owner: Int64Array, condition: Int64Array, template: Int64Array, plan: GenerationPlan
) -> tuple[Int32Array, Int64Array, Int64Array]:
    """Return the secondary codes (n, most), and owner and condition of those that fit.

    The codes of the template come first.
    """
    count, most = len(template), plan.population.most_sdx.value
    of_template = plan.templates.sdx[template]
    sdx = np.zeros((count, most), np.int32)
    sdx[:, : of_template.shape[1]] = of_template
    first = (of_template > 0).sum(axis=1)
    per_row = np.bincount(owner, minlength=count)
    place = np.arange(len(owner)) - np.repeat(np.cumsum(per_row) - per_row, per_row) + first[owner]
    fits = place < most
    owner, condition, place = owner[fits], condition[fits], place[fits]
    sdx[owner, place] = plan.comorbidity.conditions.number[condition]
    return sdx, owner, condition


def _add_ancillary(attempt: Attempt, template: Int64Array, level: Int64Array) -> tuple[Int32Array, Int32Array]:
    """Return procedures (n, most), and the shortest stay that they allow [days]."""
    plan, ids = attempt.plan, attempt.ids
    of_template = plan.templates.procedures[template]
    width = of_template.shape[1]
    procedures = np.zeros((len(ids), max(_MOST_PROCEDURES, width)), np.int32)
    procedures[:, :width] = of_template
    least = plan.template_min_los_days[template].copy()
    row = level + 3 * plan.is_surgical[attempt.drg]
    stream = f"ancillary {attempt.number}"
    free = np.count_nonzero(of_template, axis=1)
    most = procedures.shape[1] - width
    count = to_poisson(attempt.draw(stream), plan.ancillary.rate[row], most=max(most, 1))
    kinds = len(plan.ancillary.number)
    for slot in range(min(int(count.max(initial=0)), most)):
        has = np.flatnonzero(count > slot)
        random = random_bits(attempt.seed, stream, ids[has], np.full(len(has), slot + 1))
        kind = plan.ancillary.choices.pick(row[has], random) % kinds
        number = plan.ancillary.number[kind]
        new = ~(procedures[has] == number[:, None]).any(axis=1)
        procedures[has[new], free[has[new]]] = number[new]
        free[has[new]] += 1
        least[has[new]] = np.maximum(least[has[new]], plan.ancillary.min_los_days[kind][new])
    return procedures, least


def _draw_los_days(attempt: Attempt, score: FloatArray, least: Int32Array) -> Int32Array:
    """Draw whole days of at least 1; draw again where procedures need a longer stay."""
    plan, ids = attempt.plan, attempt.ids
    correlation = plan.population.los_burden_correlation.value
    los = np.zeros(len(ids), np.int32)
    short = np.arange(len(ids))
    for turn in range(_LOS_DRAWS):
        noise = to_normal(uniform(attempt.seed, f"los {attempt.number}", ids[short], np.full(len(short), turn)))
        drg = attempt.drg[short]
        z = correlation * score[short] + np.sqrt(1 - correlation**2) * noise
        los[short] = np.maximum(np.round(np.exp(plan.los_location[drg] + plan.los_spread[drg] * z)), 1)
        short = short[los[short] < least[short]]
        if not len(short):
            break
    return np.maximum(los, least)


def _discharge_log_odds(
    attempt: Attempt, patients: DrawnPatients, comorbidities: DrawnComorbidities, los: Int32Array, risk: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return the log odds of death and of post-acute care, without their intercepts."""
    plan, drg, template = attempt.plan, attempt.drg, patients.template
    decades = (np.maximum(patients.age, 18) - 75) / 10
    mdc = plan.template_mdc[template]
    death = (
        risk
        + plan.pdx_death_log_odds[plan.templates.pdx[template]]
        + plan.mdc_death_log_odds[mdc]
        + _DEATH_BY_DECADE * decades
        + _DEATH_BY_LOS * np.log(plan.los_mean_days[drg])
        + _DEATH_BY_MCC * (comorbidities.level == MCC)
    )
    postacute = (
        plan.mdc_postacute_log_odds[mdc]
        + _POSTACUTE_BY_DECADE * decades
        + _POSTACUTE_BY_LOS * np.log(los)
        + _POSTACUTE_BY_SCORE * comorbidities.score
        + _POSTACUTE_OF_TRANSFER_DRG * plan.is_postacute_transfer[drg]
    )
    return death, postacute


def _to_probability(log_odds: FloatArray) -> FloatArray:
    probability: FloatArray = 1 / (1 + np.exp(-log_odds))
    return probability


def _draw_statuses(
    attempt: Attempt, template: Int64Array, death: FloatArray, postacute: FloatArray
) -> NDArray[np.int16]:
    """Draw the discharge status, given the log odds of death and of post-acute care."""
    population, number = attempt.plan.population, attempt.number
    required = attempt.plan.templates.status[template]
    kinds, shares = zip(*sorted(population.postacute_split.value.items()), strict=True)
    edges = np.cumsum(shares)[:-1]
    u = attempt.draw(f"post-acute kind {number}")
    after = np.array([int(kind) for kind in kinds])[np.searchsorted(edges, u, side="right")]
    others, shares = zip(*sorted(population.other_discharges.value.items()), strict=True)
    left = 1 - population.death_share.value - population.postacute_share.value
    edges = np.cumsum(np.array(shares) / left)
    u = attempt.draw(f"other discharge {number}")
    other = np.array([*(int(kind) for kind in others), HOME])[np.searchsorted(edges, u, side="right")]
    is_postacute = attempt.draw(f"post-acute {number}") < _to_probability(postacute)
    status = np.where(is_postacute, after, other)
    may_die = (required == ANY_STATUS) | (required == DIED)
    dies = (attempt.draw(f"death {number}") < _to_probability(death)) & may_die
    status = np.where(dies | (required == DIED), EXPIRED, status)
    status = np.where(required == AGAINST_ADVICE, LEFT, status)
    status = np.where(required == TRANSFERRED, TRANSFER, status)
    return status.astype(np.int16)


def _draw_poa(attempt: Attempt, sdx: Int32Array) -> ByteArray:
    """Draw POA letters, as places in POA_LETTERS, by how often a condition arises in hospital."""
    row, place = np.nonzero(sdx)
    number = sdx[row, place]
    onset = _onset_shares(attempt.plan)[number]
    u = uniform(attempt.seed, f"poa {attempt.number}", attempt.ids[row], place)
    letter = np.where(u < onset, _NO, _YES)
    letter = np.where(u > 1 - _UNCLEAR_POA, np.where(u > 1 - _UNCLEAR_POA / 2, _UNKNOWN, _UNDETERMINED), letter)
    poa = np.zeros(sdx.shape, np.uint8)
    poa[row, place] = np.where(attempt.plan.code_limits.poa_exempt[number], _EXEMPT, letter)
    return poa


def find_pdx_poa(stays: DrawnStays, plan: GenerationPlan) -> ByteArray:
    """Return the POA letter of the principal diagnosis: present by definition, or exempt."""
    exempt = plan.code_limits.poa_exempt[plan.templates.pdx[stays.template]]
    return np.where(exempt, _EXEMPT, _YES).astype(np.uint8)


@lru_cache(maxsize=8)
def _onset_shares(plan: GenerationPlan) -> FloatArray:
    """Return how often each diagnosis arises in hospital, by codebook number."""
    onset = np.zeros(len(plan.code_limits.dx_valid))
    conditions = plan.comorbidity.conditions
    onset[conditions.number] = conditions.onset_share
    return onset
