"""Secondary diagnoses that occur together as they do among real patients.

Each condition (`population/conditions.csv`) is a Poisson event whose rate depends on age, sex, MDC of the
principal diagnosis and surgery. A latent burden scales the rates of chronic conditions, a latent acuity those of
acute ones, and a latent profile (cardiorenal, pulmonary, ...) those of all. Given these latents the conditions are
independent; shared latents make them occur together.

Poisson events split freely, so the model is drawn exactly, given that an admission has no CC, a CC but no MCC, or
an MCC: first that level, then the latents given the level, then the numbers of MCC, CC and other conditions (the
number that decides the level is at least one), then the conditions. No draw is rejected.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import polars as pl
from numpy.typing import NDArray

from drgsim.numerics.arrays import BoolArray, ByteArray, FloatArray, Int32Array, Int64Array, UInt64Array
from drgsim.numerics.keyed_random import Choices, random_bits, to_normal, to_poisson, uniform
from drgsim.synthetic.population import Population
from drgsim.tables.code_limits import FEMALE, MALE, OLDEST, load_code_limits
from drgsim.tables.codebook import load_codebooks
from drgsim.tables.national_facts import read_facts
from drgsim.tables.table_set import TableSet

OTHER, CC, MCC = 0, 1, 2
AGE_GROUPS = (0, 18, 45, 65, 75, 85)
"""First age of each group."""
_TYPICAL_AGES = np.array([0, 33, 57, 70, 80, 89])
_REFERENCE_AGE = 75
_BURDENS, _ACUITIES = 6, 5
"""Equally likely values of each latent."""
_ACUITY_OF_BURDEN = 0.4
"""Acute rates rise with this power of burden, since chronically ill patients fall acutely ill more often."""
_MDCS, _SEXES = 26, 2


@dataclass(frozen=True, eq=False)
class Conditions:
    """The conditions of a version, (c,) arrays in table order."""

    number: Int32Array
    family: NDArray[np.int16]
    level: Int64Array
    is_acute: BoolArray
    group: Int64Array
    onset_share: FloatArray
    death_log_odds: FloatArray
    combinations: tuple[tuple[int, tuple[tuple[int, int], ...], int], ...]
    """(condition, its companions, what it becomes), where guidelines combine a condition with companions."""
    family_of_pdx: NDArray[np.int16]
    """Family of every codebook number, 0 for none; a claim has one condition of a family."""


@dataclass(frozen=True, eq=False)
class Comorbidity:
    """The compiled model.

    A segment is a combination of MDC, surgery, age group and sex; a cell is a combination of the latents.

    Attributes:
        conditions: of the version.
        level_share: (segments, 3) share of each level.
        cells: cells by segment and level.
        rates: (segments, 3, cells) mean number of conditions of each level.
        chronic_share: (segments, 3, cells) share of chronic conditions among them.
        groups: groups by segment, level, kind and profile.
        codes: conditions by segment, level, kind and group.
        cell_score: (cells,) burden and acuity as a normal score.
        score_mean, score_sd: (segments, 3) of that score.
        profile_count, group_count: how many there are.
        condition_at: the condition that each entry of `codes` stands for.
    """

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
        ids: UInt64Array,
        attempt: int,
        segment: Int64Array,
        allowed: ByteArray,
        most: int,
    ) -> DrawnComorbidities:
        """Return comorbidities of admissions, at most `most` each.

        `allowed` has the levels that an admission may have, as bits: 1 none, 2 CC, 4 MCC.
        """
        stream = f"comorbidity {attempt} "
        share = self.level_share[segment] * ((allowed[:, None] >> np.arange(3, dtype=np.uint8)) & 1)
        nothing = share.sum(axis=1) <= 0
        share[nothing] = ((allowed[nothing, None] >> np.arange(3, dtype=np.uint8)) & 1).astype(np.float64)
        edge = np.cumsum(share, axis=1)
        u = uniform(seed, stream + "level", ids) * edge[:, 2]
        level = (u >= edge[:, 0]).astype(np.int64) + (u >= edge[:, 1])
        cell = self.cells.pick(segment * 3 + level, random_bits(seed, stream + "latents", ids)) % len(self.cell_score)
        counts = []
        for counted in (MCC, CC, OTHER):
            rate = self.rates[segment, counted, cell]
            decisive = (level == counted) & (counted != OTHER)
            count = to_poisson(uniform(seed, f"{stream}count {counted}", ids), rate, at_least_one=decisive)
            count[(rate <= 0) | (level < counted)] = 0
            counts.append(count)
        number = np.minimum(counts[0] + counts[1] + counts[2], most)
        owner = np.repeat(np.arange(len(ids)), number)
        slot = np.arange(len(owner)) - np.repeat(np.cumsum(number) - number, number)
        drawn_level = np.where(slot < counts[0][owner], MCC, np.where(slot < (counts[0] + counts[1])[owner], CC, OTHER))
        keys = ids[owner]
        at = segment[owner] * 3 + drawn_level
        chronic = self.chronic_share.reshape(-1, len(self.cell_score))[at, cell[owner]]
        row = at * 2 + (uniform(seed, stream + "kind", keys, slot) >= chronic)
        profile = cell[owner] % self.profile_count
        random = random_bits(seed, stream + "group", keys, slot)
        group = self.groups.pick(row * self.profile_count + profile, random) % self.group_count
        code = self.codes.pick(row * self.group_count + group, random_bits(seed, stream + "code", keys, slot))
        score = (self.cell_score[cell] - self.score_mean[segment, level]) / self.score_sd[segment, level]
        return DrawnComorbidities(level, score, owner, slot, self.condition_at[code])


@dataclass(frozen=True, eq=False)
class DrawnComorbidities:
    """Comorbidities of n admissions.

    Attributes:
        level: (n,) 0 none, 1 CC, 2 MCC.
        score: (n,) standardised burden and acuity.
        owner: (codes,) the admission that has each condition.
        slot: (codes,) the condition's place among those of its admission.
        condition: (codes,) its place in `Conditions`.
    """

    level: Int64Array
    score: FloatArray
    owner: Int64Array
    slot: Int64Array
    condition: Int64Array


def find_segments(mdc: Int64Array, is_surgical: BoolArray, age: Int64Array, sex: ByteArray) -> Int64Array:
    """Return the segment of each admission, (n,)."""
    age_group = np.searchsorted(AGE_GROUPS, age, side="right") - 1
    found: Int64Array = ((mdc * 2 + is_surgical) * len(AGE_GROUPS) + age_group) * _SEXES + (sex == FEMALE)
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
    conditions = _compile_conditions(table, groups, book.codes, read_facts("combinations", tables.folder))
    rates = _compute_rates(table, tables, population)
    profiles, shares = _read_profiles(tables, groups)
    return _compile_model(conditions, rates, profiles, _make_cells(shares, population))


def _compile_conditions(
    table: pl.DataFrame, groups: pl.Series, codes: pl.Series, combinations: pl.DataFrame
) -> Conditions:
    """Return the conditions of the table, with the family of every diagnosis code."""
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
        combinations=_list_combinations(table, families, combinations),
        family_of_pdx=of_pdx,
    )


def _list_combinations(
    table: pl.DataFrame, families: pl.Series, combinations: pl.DataFrame
) -> tuple[tuple[int, tuple[tuple[int, int], ...], int], ...]:
    """Return the combinations by place; a companion is (family, code number), one of which is 0."""
    place = {code: at for at, code in enumerate(table["code"])}
    number = dict(zip(table["code"], table["number"], strict=True))
    family = {name: at for at, name in enumerate(families, start=1)}
    return tuple(
        (place[code], tuple((family.get(name, 0), number.get(name, 0)) for name in companions.split()), place[becomes])
        for code, companions, becomes in combinations.rows()
        if code in place and becomes in place
    )


def _compute_rates(table: pl.DataFrame, tables: TableSet, population: Population) -> FloatArray:
    """Return the mean rate of every condition in every segment, (segments, c)."""
    limits = load_code_limits(tables)
    number = table["number"].to_numpy()
    base = -np.log1p(-table["stay_share"].to_numpy())
    acute = (table["kind"] == "ACUTE").to_numpy()
    base = base * np.where(acute, population.acute_ratio.value, population.chronic_ratio.value)
    decades = (_TYPICAL_AGES - _REFERENCE_AGE) / 10
    by_age = table["decade_ratio"].to_numpy() ** decades[:, None]
    first, last = np.array(AGE_GROUPS), np.array([*AGE_GROUPS[1:], OLDEST + 1]) - 1
    possible = (limits.dx_min_age[number] <= first[:, None]) & (limits.dx_max_age[number] >= last[:, None])
    youngest = (first[:, None] == 0) & (limits.dx_max_age[number] == 0)
    by_age = by_age * (possible | youngest)
    female = table["female_ratio"].to_numpy()
    by_sex = np.stack([2 / (1 + female), 2 * female / (1 + female)])
    by_sex *= np.stack([limits.dx_sex[number] != FEMALE, limits.dx_sex[number] != MALE])
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


def _read_profiles(tables: TableSet, groups: pl.Series) -> tuple[FloatArray, FloatArray]:
    """Return the ratio of each group in each profile, and the shares of the profiles.

    The ratios of a group average 1 over the profiles.
    """
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


def _slice_gamma(shape: float, count: int) -> tuple[FloatArray, FloatArray]:
    """Return the mean and the normal score of each of `count` slices of a gamma distribution.

    The slices are equally likely; the distribution has mean 1.
    """
    middle = (np.arange(count * 64) + 0.5) / (count * 64)
    normal = to_normal(middle)
    # Wilson and Hilferty (1931): the cube root of a gamma variable is nearly normal.
    value = np.maximum(1 - 1 / (9 * shape) + normal / (3 * np.sqrt(shape)), 0) ** 3
    means = value.reshape(count, -1).mean(axis=1)
    return means / means.mean(), normal.reshape(count, -1).mean(axis=1)


@dataclass(frozen=True, eq=False)
class _LatentCells:
    """The combinations of burden, acuity and profile, (cells,)."""

    profile: Int64Array
    prior: FloatArray
    score: FloatArray
    scale: FloatArray
    """(2, cells): what multiplies chronic and acute rates."""


def _make_cells(shares: FloatArray, population: Population) -> _LatentCells:
    """Return the latent cells, given the shares of the profiles."""
    burden, burden_score = _slice_gamma(population.burden_shape.value, _BURDENS)
    acuity, acuity_score = _slice_gamma(population.acuity_shape.value, _ACUITIES)
    b, a, k = (
        grid.ravel() for grid in np.meshgrid(range(_BURDENS), range(_ACUITIES), range(len(shares)), indexing="ij")
    )
    prior = shares[k] / (_BURDENS * _ACUITIES)
    scale = np.stack([burden[b], acuity[a] * burden[b] ** _ACUITY_OF_BURDEN])
    scale[1] /= (scale[1] * prior).sum()
    return _LatentCells(profile=k, prior=prior, score=burden_score[b] + acuity_score[a], scale=scale)


def _compile_model(conditions: Conditions, rates: FloatArray, profiles: FloatArray, cells: _LatentCells) -> Comorbidity:
    profile_count, group_count = profiles.shape
    count, cell_count = len(rates), len(cells.prior)
    by_group = _sum_by_group(conditions, rates, group_count)
    by_profile = np.einsum("slkg,pg->slkp", by_group, profiles)
    by_kind = by_profile[:, :, :, cells.profile] * cells.scale[None, None, :, :]
    cell_rates = by_kind.sum(axis=2)
    weights = _level_probabilities(cell_rates) * cells.prior
    level_share = weights.sum(axis=2)
    posterior = weights / np.maximum(level_share, 1e-300)[:, :, None]
    mean = posterior @ cells.score
    sd = np.sqrt(np.maximum(posterior @ cells.score**2 - mean**2, 1e-6))
    group_rates = by_group[:, :, :, None, :] * profiles[None, None, None]
    codes, condition_at = _tabulate_codes(conditions, rates, group_count)
    return Comorbidity(
        conditions=conditions,
        level_share=level_share,
        cells=Choices.of(weights.ravel(), np.arange(count * 3 + 1) * cell_count),
        rates=cell_rates,
        chronic_share=by_kind[:, :, 0] / np.maximum(cell_rates, 1e-300),
        groups=Choices.of(group_rates.ravel(), np.arange(group_rates.size // group_count + 1) * group_count),
        codes=codes,
        cell_score=cells.score,
        score_mean=mean,
        score_sd=np.where(level_share > 0, sd, 1.0),
        profile_count=profile_count,
        group_count=group_count,
        condition_at=condition_at,
    )


def _sum_by_group(conditions: Conditions, rates: FloatArray, group_count: int) -> FloatArray:
    """Return the rates by level, kind (0 chronic, 1 acute) and group, (segments, 3, 2, groups)."""
    by_group = np.zeros((len(rates), 3, 2, group_count))
    for place in range(len(conditions.number)):
        kind = int(conditions.is_acute[place])
        by_group[:, conditions.level[place], kind, conditions.group[place]] += rates[:, place]
    return by_group


def _level_probabilities(rates: FloatArray) -> FloatArray:
    """Return the probability of no CC, of a CC but no MCC, and of an MCC, (segments, 3, cells)."""
    return np.stack(
        [
            np.exp(-rates[:, MCC] - rates[:, CC]),
            np.exp(-rates[:, MCC]) * -np.expm1(-rates[:, CC]),
            -np.expm1(-rates[:, MCC]),
        ],
        axis=1,
    )


def _tabulate_codes(conditions: Conditions, rates: FloatArray, group_count: int) -> tuple[Choices, Int64Array]:
    """Return choices by segment, level, kind and group, and the condition of each entry."""
    order = np.lexsort((conditions.group, conditions.is_acute, conditions.level))
    row = (conditions.level * 2 + conditions.is_acute) * group_count + conditions.group
    start = np.searchsorted(row[order], np.arange(3 * 2 * group_count + 1))
    count, total = len(rates), len(order)
    starts = np.append((np.arange(count)[:, None] * total + start[None, :-1]).ravel(), count * total)
    return Choices.of(rates[:, order].ravel(), starts), np.tile(order, count)
