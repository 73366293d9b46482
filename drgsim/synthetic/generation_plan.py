"""What `generate` needs to know about a version and a population, compiled once into arrays."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import polars as pl
from numpy.typing import NDArray

from drgsim.exceptions import InputError, did_you_mean
from drgsim.numerics.arrays import FloatArray, Int64Array
from drgsim.numerics.keyed_random import Choices, to_normal
from drgsim.synthetic.comorbidity import Comorbidity, compile_comorbidity
from drgsim.synthetic.population import AgeBand, Population, volumes
from drgsim.synthetic.templates import Templates, compile_templates
from drgsim.tables.code_limits import FEMALE, MALE, CodeLimits, load_code_limits
from drgsim.tables.codebook import load_codebooks
from drgsim.tables.national_facts import read_facts
from drgsim.tables.table_set import TableSet

_QUANTILES = to_normal((np.arange(1001) + 0.5) / 1001)
_SMALLEST_SPREAD = 0.25
_RAKINGS = 128


@dataclass(frozen=True, eq=False)
class Ancillary:
    """Procedures beside the one that decides the DRG: a Poisson number of them by severity and surgery."""

    number: NDArray[np.int32]
    min_los_days: NDArray[np.int32]
    rate: FloatArray
    choices: Choices


@dataclass(frozen=True, eq=False)
class GenerationPlan:
    """Everything but the draws. By DRG (d,) unless said otherwise."""

    tables: TableSet
    population: Population
    drgs: Choices
    templates: Templates
    comorbidity: Comorbidity
    ancillary: Ancillary
    legal: CodeLimits
    reach: FloatArray
    is_surgical: NDArray[np.bool_]
    weight: FloatArray
    los_location: FloatArray
    los_spread: FloatArray
    los_mean_days: FloatArray
    is_postacute_transfer: FloatArray
    core_mdc: Int64Array
    """By core: MDC of the PDX."""
    core_unit: Int64Array
    """By core: which row of `age_sexes` it draws from."""
    core_min_los_days: NDArray[np.int32]
    age_sexes: Choices
    mdc_death_log_odds: FloatArray
    mdc_postacute_log_odds: FloatArray
    pdx_death_log_odds: FloatArray
    """By codebook number."""


@lru_cache(maxsize=4)
def compile_plan(tables: TableSet, population: Population, drgs: tuple[int, ...] | None) -> GenerationPlan:
    """Return the plan of a version and a population, or of equal numbers of the given DRGs.

    Raises:
        InputError: a DRG is not one of the version's.
    """
    mix = volumes(tables, population)
    if drgs is not None:
        unknown = sorted(set(drgs) - set(mix["drg"].to_list()))
        if unknown:
            hint = did_you_mean(str(unknown[0]), map(str, mix["drg"].to_list()))
            raise InputError(f"version {tables.version} has no DRG {', '.join(map(str, unknown))} to generate.{hint}")
        mix = mix.filter(pl.col("drg").is_in(drgs)).with_columns(share=1.0 / len(set(drgs)))
    cores = compile_templates(tables, population, mix.select("drg", "share"))
    share = mix["share"].to_numpy()
    location, spread, mean = _los(mix["gmlos_days"].to_numpy(), mix["amlos_days"].to_numpy())
    mdcs = read_facts("mdcs", tables.folder)
    core_mdc = _core_mdcs(cores, tables)
    units, unit = _units(cores)
    unit_mdc = np.zeros(len(units), np.int64)
    unit_mdc[unit] = core_mdc
    unit_share = np.bincount(unit, (share / np.diff(cores.start))[cores.place], len(units)).astype(np.float64)
    model = compile_comorbidity(tables, population)
    pdx_death = np.zeros(len(model.conditions.family_of_pdx))
    pdx_death[model.conditions.number] = model.conditions.death_log_odds
    least = np.ones(len(load_codebooks(tables)[1].codes) + 1, np.int32)
    for name in ("procedures", "ancillary"):
        table = read_facts(name, tables.folder)
        least[load_codebooks(tables)[1].numbers(table["code"])] = table["min_los_days"].to_numpy()
    return GenerationPlan(
        tables=tables,
        population=population,
        drgs=Choices.of(share, np.array([0, len(share)])),
        templates=cores,
        comorbidity=model,
        ancillary=_ancillary(tables),
        legal=load_code_limits(tables),
        reach=mix["reach"].to_numpy(),
        is_surgical=(mix["drg_type"] == "SURGICAL").to_numpy(),
        weight=mix["relative_weight"].to_numpy(),
        los_location=location,
        los_spread=spread,
        los_mean_days=mean,
        is_postacute_transfer=mix["is_postacute_transfer"].to_numpy(),
        core_mdc=core_mdc,
        core_unit=unit,
        core_min_los_days=np.asarray(least[cores.procedures].max(axis=1), np.int32),
        age_sexes=_age_sexes(units, unit_mdc, unit_share, population, mdcs, rake=drgs is None),
        mdc_death_log_odds=mdcs.sort("mdc")["death_log_odds"].to_numpy(),
        mdc_postacute_log_odds=mdcs.sort("mdc")["postacute_log_odds"].to_numpy(),
        pdx_death_log_odds=pdx_death,
    )


def _los(gmlos: FloatArray, amlos: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return location and spread of log length of stay so that whole days of at least 1 have mean AMLOS."""
    spread = np.maximum(np.sqrt(2 * np.log(np.maximum(amlos / gmlos, 1.0))), _SMALLEST_SPREAD)

    def mean(location: FloatArray) -> FloatArray:
        days = np.exp(location[:, None] + spread[:, None] * _QUANTILES)
        found: FloatArray = np.maximum(np.round(days), 1).mean(axis=1)
        return found

    low, high = np.full(len(gmlos), -4.0), np.log(amlos) + 1.0
    for _ in range(40):
        middle = (low + high) / 2
        short = mean(middle) < amlos
        low, high = np.where(short, middle, low), np.where(short, high, middle)
    return low, spread, mean(low)


def _core_mdcs(cores: Templates, tables: TableSet) -> Int64Array:
    book = load_codebooks(tables)[0]
    mdc = np.zeros(len(book.codes) + 1, np.int64)
    mdc[book.numbers(tables.diagnoses["code"])] = tables.diagnoses["mdc"].to_numpy()
    male = mdc.copy()
    female = mdc.copy()
    routed = book.numbers(tables.sex_mdcs["pdx"])
    male[routed], female[routed] = tables.sex_mdcs["male_mdc"].to_numpy(), tables.sex_mdcs["female_mdc"].to_numpy()
    found: Int64Array = np.where(cores.sex == MALE, male[cores.pdx], female[cores.pdx])
    return found


def _units(cores: Templates) -> tuple[NDArray[np.int64], Int64Array]:
    """Return the distinct (DRG, sex, ages) that cores allow, (u, 4), and each core's place among them."""
    limits = np.stack([cores.place, cores.sex, cores.min_age, cores.max_age], axis=1).astype(np.int64)
    units, unit = np.unique(limits, axis=0, return_inverse=True)
    return units, unit.ravel()


def list_age_bands(population: Population) -> list[AgeBand]:
    """Return the age bands of a population, youngest first."""
    return sorted(population.age_bands.value, key=lambda band: band.first)


def _age_sexes(
    units: NDArray[np.int64],
    unit_mdc: Int64Array,
    unit_share: FloatArray,
    population: Population,
    mdcs: pl.DataFrame,
    *,
    rake: bool,
) -> Choices:
    """Return choices of (band, sex) for each unit whose totals are the population's ages and sexes.

    Starts from the population's shares tilted by MDC where a unit's codes allow the patient, then is raked
    (Deming and Stephan, 1940) to the units' volumes, the ages and the sexes in turn.
    """
    bands = list_age_bands(population)
    first, last = np.array([band.first for band in bands]), np.array([band.last for band in bands])
    ages = np.array([band.share for band in bands])
    female = population.female_share.value
    sexes = np.array([1 - female, female])
    by_mdc = mdcs.sort("mdc")
    decade, ratio = by_mdc["decade_ratio"].to_numpy()[unit_mdc], by_mdc["female_ratio"].to_numpy()[unit_mdc]
    old = (np.maximum((first + last) / 2, 18) - 75) / 10
    tilt = decade[:, None] ** old[None, :]
    cells = tilt[:, :, None] * (ages[:, None] * sexes)[None]
    cells = cells * np.stack([np.ones(len(ratio)), ratio], axis=1)[:, None, :]
    allowed = (first[None, :] <= units[:, 3, None]) & (last[None, :] >= units[:, 2, None])
    # A newborn's band is for those whose codes allow no one older.
    allowed &= (last[None, :] > 0) | (units[:, 3, None] == 0)
    cells *= allowed[:, :, None]
    cells *= np.stack([units[:, 1] != FEMALE, units[:, 1] != MALE], axis=1)[:, None, :]
    homeless = cells.sum(axis=(1, 2)) <= 0
    nearest = np.abs(first[None, :] - units[homeless, 2, None]).argmin(axis=1)
    cells[np.flatnonzero(homeless), nearest] = np.stack(
        [units[homeless, 1] != FEMALE, units[homeless, 1] != MALE], axis=1
    )
    for _ in range(_RAKINGS if rake else 1):
        cells *= (unit_share / cells.sum(axis=(1, 2)))[:, None, None]
        if rake:
            total = cells.sum(axis=(0, 2))
            cells *= np.where(total > 0, ages / np.where(total > 0, total, 1), 1)[None, :, None]
            total = cells.sum(axis=(0, 1))
            cells *= np.where(total > 0, sexes / np.where(total > 0, total, 1), 1)[None, None, :]
    width = cells[0].size
    return Choices.of(cells.ravel(), np.arange(len(units) + 1) * width)


def _ancillary(tables: TableSet) -> Ancillary:
    table = read_facts("ancillary", tables.folder)
    book = load_codebooks(tables)[1]
    table = table.filter(pl.col("code").is_in(tables.procedures["code"].implode()))
    share, by_mcc, by_surgery = (table[name].to_numpy() for name in ("stay_share", "mcc_ratio", "surgical_ratio"))
    # Rows: no CC, CC, MCC without surgery, then with; the ratio to a stay with an MCC is relative to the mean.
    level = np.stack([by_mcc**-1.0, by_mcc**-0.4, by_mcc**0.6])
    rates = share * np.concatenate([level, level * by_surgery])
    return Ancillary(
        number=book.numbers(table["code"]),
        min_los_days=table["min_los_days"].to_numpy(),
        rate=rates.sum(axis=1),
        choices=Choices.of(rates.ravel(), np.arange(7) * len(table)),
    )
