"""Secondary diagnoses: conditions that are independent once a patient's burden, acuity and profile are known.

Each condition (`population/conditions.csv`) is a Poisson event whose rate depends on age, sex, MDC of the
principal diagnosis and surgery. Rates of chronic conditions scale with a latent burden, of acute ones with a
latent acuity, and of all with a latent profile (cardiorenal, pulmonary, ...); shared latents are what makes
conditions co-occur. Poisson events split freely, so the model is drawn exactly, given that an admission has no
CC, a CC but no MCC, or an MCC: first that level, then the latents it implies, then how many MCC, CC and other
conditions (the decisive count zero-truncated), then which. Nothing is rejected and nothing is added.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import polars as pl
from numpy.typing import NDArray

from drgsim.numerics.arrays import FloatArray, Int64Array
from drgsim.numerics.keyed_random import Choices, random_bits, to_normal, to_poisson, uniform
from drgsim.synthetic.population import Population
from drgsim.tables.code_limits import FEMALE, MALE, OLDEST, load_code_limits
from drgsim.tables.codebook import load_codebooks
from drgsim.tables.national_facts import read_facts
from drgsim.tables.table_set import TableSet

OTHER, CC, MCC = 0, 1, 2
AGE_GROUPS = (0, 18, 45, 65, 75, 85)
"""First age of each group."""
_AGE_WITHIN = np.array([0, 33, 57, 70, 80, 89])
_REFERENCE_AGE = 75
_BURDENS, _ACUITIES = 6, 5
_ACUITY_OF_BURDEN = 0.4
"""Acute rates rise with this power of burden: the chronically ill fall acutely ill more often."""
_MDCS, _SEXES = 26, 2


@dataclass(frozen=True, eq=False)
class Conditions:
    """The conditions of a version, (c,) arrays in table order."""

    number: NDArray[np.int32]
    family: NDArray[np.int16]
    level: NDArray[np.int64]
    is_acute: NDArray[np.bool_]
    group: Int64Array
    onset_share: FloatArray
    death_log_odds: FloatArray
    combinations: tuple[tuple[int, tuple[tuple[int, int], ...], int], ...]
    """Conditions that guidelines code as another beside some: (condition, those beside it, what it becomes)."""
    family_of_pdx: NDArray[np.int16]
    """Family of every codebook number, 0 where it has none; a condition is not coded beside its own family."""


@dataclass(frozen=True, eq=False)
class Comorbidity:
    """The compiled model; a segment is (MDC, surgery, age group, sex), a cell a combination of latents."""

    conditions: Conditions
    level_share: FloatArray
    cells: Choices
    rates: FloatArray
    chronic_share: FloatArray
    groups: Choices
    codes: Choices
    cell_score: FloatArray
    score_mean: FloatArray
    score_sd: FloatArray
    profile_count: int
    group_count: int
    condition_at: Int64Array

    def draw(
        self,
        seed: int,
        ids: NDArray[np.uint64],
        attempt: int,
        segment: Int64Array,
        allowed: NDArray[np.uint8],
        most: int,
    ) -> DrawnComorbidities:
        """Return comorbidities of admissions whose level must be among `allowed` (bits 1, 2, 4)."""
        stream = f"comorbidity {attempt} "
        share = self.level_share[segment] * ((allowed[:, None] >> np.arange(3, dtype=np.uint8)) & 1)
        nothing = share.sum(axis=1) <= 0
        share[nothing] = ((allowed[nothing, None] >> np.arange(3, dtype=np.uint8)) & 1).astype(np.float64)
        edge = np.cumsum(share, axis=1)
        u = uniform(seed, stream + "level", ids) * edge[:, 2]
        level = (u >= edge[:, 0]).astype(np.int64) + (u >= edge[:, 1])
        cell = self.cells.pick(segment * 3 + level, random_bits(seed, stream + "latents", ids)) % len(self.cell_score)
        counts = []
        for wanted in (MCC, CC, OTHER):
            rate = self.rates[segment, wanted, cell]
            decisive = (level == wanted) & (wanted != OTHER)
            count = to_poisson(uniform(seed, f"{stream}count {wanted}", ids), rate, at_least_one=decisive)
            count[(rate <= 0) | (level < wanted)] = 0
            counts.append(count)
        number = np.minimum(counts[0] + counts[1] + counts[2], most)
        owner = np.repeat(np.arange(len(ids)), number)
        slot = np.arange(len(owner)) - np.repeat(np.cumsum(number) - number, number)
        kind = np.where(slot < counts[0][owner], MCC, np.where(slot < (counts[0] + counts[1])[owner], CC, OTHER))
        keys = ids[owner]
        where = segment[owner] * 3 + kind
        chronic = self.chronic_share.reshape(-1, len(self.cell_score))[where, cell[owner]]
        row = where * 2 + (uniform(seed, stream + "kind", keys, slot) >= chronic)
        profile = cell[owner] % self.profile_count
        random = random_bits(seed, stream + "group", keys, slot)
        group = self.groups.pick(row * self.profile_count + profile, random) % self.group_count
        code = self.codes.pick(row * self.group_count + group, random_bits(seed, stream + "code", keys, slot))
        score = (self.cell_score[cell] - self.score_mean[segment, level]) / self.score_sd[segment, level]
        return DrawnComorbidities(level, score, owner, slot, self.condition_at[code])


@dataclass(frozen=True, eq=False)
class DrawnComorbidities:
    """Comorbidities: level and standardised burden (n,), and end to end owner, slot and condition (codes,)."""

    level: Int64Array
    score: FloatArray
    owner: Int64Array
    slot: Int64Array
    condition: Int64Array


def find_segments(
    mdc: Int64Array, is_surgical: NDArray[np.bool_], age: Int64Array, sex: NDArray[np.uint8]
) -> Int64Array:
    """Return the segment of each admission."""
    group = np.searchsorted(AGE_GROUPS, age, side="right") - 1
    found: Int64Array = ((mdc * 2 + is_surgical) * len(AGE_GROUPS) + group) * _SEXES + (sex == FEMALE)
    return found


@lru_cache(maxsize=8)
def compile_comorbidity(tables: TableSet, population: Population) -> Comorbidity:
    """Compile the model of a version and a population."""
    table = read_facts("conditions", tables.folder)
    book = load_codebooks(tables)[0]
    table = table.with_columns(pl.Series("number", book.numbers(table["code"]))).join(
        tables.diagnoses.select("code", "severity"), on="code", how="inner", maintain_order="left"
    )
    groups = table["group"].unique(maintain_order=True)
    conditions = _conditions(table, groups, book.codes, read_facts("combinations", tables.folder))
    rates = _rates(table, tables, population)
    profiles, shares = _profiles(tables, groups)
    return _compiled(conditions, rates, profiles, shares, population)


def _conditions(table: pl.DataFrame, groups: pl.Series, codes: pl.Series, combinations: pl.DataFrame) -> Conditions:
    families = table["family"].unique(maintain_order=True)
    family = table["family"].replace_strict(families, range(1, len(families) + 1), return_dtype=pl.Int16)
    # A PDX outside the table belongs to a family when all conditions of its category do.
    category = (
        table.select(pl.col("code").str.slice(0, 3).alias("category"), family.alias("family"))
        .group_by("category")
        .agg(pl.col("family").unique())
        .filter(pl.col("family").list.len() == 1)
        .select("category", pl.col("family").list.first())
    )
    of_pdx = np.zeros(len(codes) + 1, np.int16)
    of_pdx[1:] = (
        codes.str.slice(0, 3)
        .replace_strict(category["category"], category["family"], default=0, return_dtype=pl.Int16)
        .to_numpy()
    )
    of_pdx[table["number"].to_numpy()] = family.to_numpy()
    levels = {"NONE": OTHER, "CC": CC, "MCC": MCC}
    return Conditions(
        number=table["number"].to_numpy().astype(np.int32),
        family=family.to_numpy(),
        level=table["severity"].replace_strict(levels, return_dtype=pl.Int64).to_numpy(),
        is_acute=(table["kind"] == "ACUTE").to_numpy(),
        group=table["group"].replace_strict(groups, range(len(groups)), return_dtype=pl.Int64).to_numpy(),
        onset_share=table["onset_share"].to_numpy(),
        death_log_odds=table["death_log_odds"].to_numpy(),
        combinations=_combinations(table, families, combinations),
        family_of_pdx=of_pdx,
    )


def _combinations(
    table: pl.DataFrame, families: pl.Series, combinations: pl.DataFrame
) -> tuple[tuple[int, tuple[tuple[int, int], ...], int], ...]:
    """Return the combinations by place; what stands beside is (family, code number), one of them 0."""
    place = {code: at for at, code in enumerate(table["code"])}
    number = dict(zip(table["code"], table["number"], strict=True))
    family = {name: at for at, name in enumerate(families, start=1)}
    return tuple(
        (place[code], tuple((family.get(name, 0), number.get(name, 0)) for name in beside.split()), place[becomes])
        for code, beside, becomes in combinations.rows()
        if code in place and becomes in place
    )


def _rates(table: pl.DataFrame, tables: TableSet, population: Population) -> FloatArray:
    """Return the mean rate of every condition in every segment, (segments, c)."""
    legal = load_code_limits(tables)
    number = table["number"].to_numpy()
    base = -np.log1p(-table["stay_share"].to_numpy())
    acute = (table["kind"] == "ACUTE").to_numpy()
    base = base * np.where(acute, population.acute_ratio.value, population.chronic_ratio.value)
    decades = (_AGE_WITHIN - _REFERENCE_AGE) / 10
    by_age = table["decade_ratio"].to_numpy() ** decades[:, None]
    first, last = np.array(AGE_GROUPS), np.array([*AGE_GROUPS[1:], OLDEST + 1]) - 1
    lawful = (legal.dx_min_age[number] <= first[:, None]) & (legal.dx_max_age[number] >= last[:, None])
    youngest = (first[:, None] == 0) & (legal.dx_max_age[number] == 0)
    by_age = by_age * (lawful | youngest)
    female = table["female_ratio"].to_numpy()
    by_sex = np.stack([2 / (1 + female), 2 * female / (1 + female)])
    by_sex *= np.stack([legal.dx_sex[number] != FEMALE, legal.dx_sex[number] != MALE])
    by_type = np.stack([np.ones(len(table)), table["surgical_ratio"].to_numpy()])
    affinity = read_facts("affinity", tables.folder)
    by_mdc = np.ones((_MDCS, len(table)))
    for group, mdc, ratio in affinity.rows():
        by_mdc[mdc, (table["group"] == group).to_numpy()] = ratio
    rates = (
        base
        * by_mdc[:, None, None, None, :]
        * by_type[None, :, None, None, :]
        * by_age[None, None, :, None, :]
        * by_sex[None, None, None, :, :]
    )
    found: FloatArray = rates.reshape(-1, len(table))
    return found


def _profiles(tables: TableSet, groups: pl.Series) -> tuple[FloatArray, FloatArray]:
    """Return the ratio of each group in each profile, on average 1 over profiles, and the profiles' shares."""
    table = read_facts("profiles", tables.folder)
    names = table.unique("profile", maintain_order=True)
    shares = (names["share"] / names["share"].sum()).to_numpy()
    ratios = np.full((len(names), len(groups)), np.nan)
    at = {group: place for place, group in enumerate(groups)}
    for profile, group, ratio in table.select("profile", "group", "ratio").rows():
        ratios[names["profile"].to_list().index(profile), at[group]] = ratio
    listed = ~np.isnan(ratios)
    left = 1 - np.where(listed, ratios, 0).T @ shares
    unlisted = (~listed).T @ shares
    rest = np.maximum(left, 0) / np.where(unlisted > 0, unlisted, 1)
    complete: FloatArray = np.where(listed, ratios, rest)
    return complete, shares


def _gamma_levels(shape: float, count: int) -> tuple[FloatArray, FloatArray]:
    """Return the mean within `count` equally likely slices of a gamma distribution of mean 1, and their scores."""
    middle = (np.arange(count * 64) + 0.5) / (count * 64)
    normal = to_normal(middle)
    # Wilson and Hilferty (1931): the cube root of a gamma variable is nearly normal.
    value = np.maximum(1 - 1 / (9 * shape) + normal / (3 * np.sqrt(shape)), 0) ** 3
    means = value.reshape(count, -1).mean(axis=1)
    return means / means.mean(), normal.reshape(count, -1).mean(axis=1)


def _compiled(
    conditions: Conditions, rates: FloatArray, profiles: FloatArray, shares: FloatArray, population: Population
) -> Comorbidity:
    burden, burden_score = _gamma_levels(population.burden_shape.value, _BURDENS)
    acuity, acuity_score = _gamma_levels(population.acuity_shape.value, _ACUITIES)
    profile_count, group_count = profiles.shape
    b, a, k = (
        grid.ravel() for grid in np.meshgrid(range(_BURDENS), range(_ACUITIES), range(profile_count), indexing="ij")
    )
    prior = shares[k] / (_BURDENS * _ACUITIES)
    scale = np.stack([burden[b], acuity[a] * burden[b] ** _ACUITY_OF_BURDEN])
    scale[1] /= (scale[1] * prior).sum()
    score = burden_score[b] + acuity_score[a]
    count = len(rates)
    weight = np.zeros((count, 3, 2, group_count))
    for place in range(len(conditions.number)):
        kind = int(conditions.is_acute[place])
        weight[:, conditions.level[place], kind, conditions.group[place]] += rates[:, place]
    by_profile = np.einsum("slkg,pg->slkp", weight, profiles)
    parts = by_profile[:, :, :, k] * scale[None, None, :, :]
    cell_rates = parts.sum(axis=2)
    share = np.stack(
        [
            np.exp(-cell_rates[:, MCC] - cell_rates[:, CC]),
            np.exp(-cell_rates[:, MCC]) * -np.expm1(-cell_rates[:, CC]),
            -np.expm1(-cell_rates[:, MCC]),
        ],
        axis=1,
    )
    weights = share * prior
    level_share = weights.sum(axis=2)
    posterior = weights / np.maximum(level_share, 1e-300)[:, :, None]
    mean = posterior @ score
    sd = np.sqrt(np.maximum(posterior @ score**2 - mean**2, 1e-6))
    chronic = parts[:, :, 0] / np.maximum(cell_rates, 1e-300)
    groups = weight[:, :, :, None, :] * profiles[None, None, None]
    order = np.lexsort((conditions.group, conditions.is_acute, conditions.level))
    start, members = _by_row(conditions, order, group_count)
    whole = len(order)
    return Comorbidity(
        conditions=conditions,
        level_share=level_share,
        cells=Choices.of(weights.ravel(), np.arange(count * 3 + 1) * len(prior)),
        rates=cell_rates,
        chronic_share=chronic,
        groups=Choices.of(groups.ravel(), np.arange(groups.size // group_count + 1) * group_count),
        codes=Choices.of(
            rates[:, order].ravel(),
            np.append((np.arange(count)[:, None] * whole + start[None, :-1]).ravel(), count * whole),
        ),
        cell_score=score,
        score_mean=mean,
        score_sd=np.where(level_share > 0, sd, 1.0),
        profile_count=profile_count,
        group_count=group_count,
        condition_at=np.tile(members, count),
    )


def _by_row(conditions: Conditions, order: Int64Array, group_count: int) -> tuple[Int64Array, Int64Array]:
    """Return where each (level, kind, group) begins among the ordered conditions, and those conditions."""
    row = (conditions.level * 2 + conditions.is_acute) * group_count + conditions.group
    start = np.searchsorted(row[order], np.arange(3 * 2 * group_count + 1))
    return start, order
