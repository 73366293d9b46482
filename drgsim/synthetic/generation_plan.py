"""A grouper version and a population, compiled to the arrays from which `generate` draws."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import polars as pl

from drgsim.exceptions import InputError, did_you_mean
from drgsim.numerics.arrays import BoolArray, FloatArray, Int32Array, Int64Array
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
_RAKING_ROUNDS = 128


@dataclass(frozen=True, eq=False)
class AncillaryProcedures:
    """Procedures besides those that decide the DRG.

    Their number is Poisson distributed; its mean depends on severity and surgery.
    """

    number: Int32Array
    min_los_days: Int32Array
    rate: FloatArray
    choices: Choices


@dataclass(frozen=True, eq=False)
class GenerationPlan:
    """Everything except the draws; arrays are by DRG, (d,), unless their comment says otherwise."""

    tables: TableSet
    population: Population
    drgs: Choices
    templates: Templates
    comorbidity: Comorbidity
    ancillary: AncillaryProcedures
    code_limits: CodeLimits
    reach: FloatArray
    is_surgical: BoolArray
    weight: FloatArray
    los_location: FloatArray
    los_spread: FloatArray
    los_mean_days: FloatArray
    is_postacute_transfer: FloatArray
    template_mdc: Int64Array
    """By template: MDC of the PDX."""
    template_unit: Int64Array
    """By template: the row of `age_sexes` that it draws from."""
    template_min_los_days: Int32Array
    """By template: the shortest stay that its procedures allow."""
    age_sexes: Choices
    mdc_death_log_odds: FloatArray
    mdc_postacute_log_odds: FloatArray
    pdx_death_log_odds: FloatArray
    """By codebook number of the PDX."""


@lru_cache(maxsize=8)
def compile_plan(tables: TableSet, population: Population, drgs: tuple[int, ...] | None) -> GenerationPlan:
    """Return the plan of a version and a population.

    Args:
        tables: the grouper version.
        population: whom to generate.
        drgs: DRGs to generate in equal numbers instead of the population's mix.

    Raises:
        InputError: the version has no such DRG.
    """
    mix = volumes(tables, population)
    if drgs is not None:
        unknown = sorted(set(drgs) - set(mix["drg"].to_list()))
        if unknown:
            hint = did_you_mean(str(unknown[0]), map(str, mix["drg"].to_list()))
            raise InputError(f"version {tables.version} has no DRG {', '.join(map(str, unknown))} to generate.{hint}")
        mix = mix.filter(pl.col("drg").is_in(drgs)).with_columns(share=1.0 / len(set(drgs)))
    templates = compile_templates(tables, population, mix.select("drg", "share"))
    share = mix["share"].to_numpy()
    location, spread, mean = _fit_los(mix["gmlos_days"].to_numpy(), mix["amlos_days"].to_numpy())
    mdcs = read_facts("mdcs", tables.folder)
    template_mdc = _find_mdcs(templates, tables)
    units, template_unit = _list_units(templates)
    unit_mdc = np.zeros(len(units), np.int64)
    unit_mdc[template_unit] = template_mdc
    template_share = (share / np.diff(templates.start))[templates.place]
    unit_share = np.bincount(template_unit, template_share, len(units)).astype(np.float64)
    model = compile_comorbidity(tables, population)
    pdx_death = np.zeros(len(model.conditions.family_of_pdx))
    pdx_death[model.conditions.number] = model.conditions.death_log_odds
    return GenerationPlan(
        tables=tables,
        population=population,
        drgs=Choices.of(share, np.array([0, len(share)])),
        templates=templates,
        comorbidity=model,
        ancillary=_compile_ancillary(tables),
        code_limits=load_code_limits(tables),
        reach=mix["reach"].to_numpy(),
        is_surgical=(mix["drg_type"] == "SURGICAL").to_numpy(),
        weight=mix["relative_weight"].to_numpy(),
        los_location=location,
        los_spread=spread,
        los_mean_days=mean,
        is_postacute_transfer=mix["is_postacute_transfer"].to_numpy(),
        template_mdc=template_mdc,
        template_unit=template_unit,
        template_min_los_days=_find_min_los_days(templates, tables),
        age_sexes=_rake_age_sexes(units, unit_mdc, unit_share, population, mdcs, rake=drgs is None),
        mdc_death_log_odds=mdcs.sort("mdc")["death_log_odds"].to_numpy(),
        mdc_postacute_log_odds=mdcs.sort("mdc")["postacute_log_odds"].to_numpy(),
        pdx_death_log_odds=pdx_death,
    )


def _fit_los(gmlos: FloatArray, amlos: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return location and spread of the log length of stay, and the mean stay that they give.

    Stays are whole days of at least 1; their mean is the AMLOS.
    """
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


def _find_mdcs(templates: Templates, tables: TableSet) -> Int64Array:
    """Return the MDC of each template's PDX, which may depend on the sex."""
    book = load_codebooks(tables)[0]
    mdc = np.zeros(len(book.codes) + 1, np.int64)
    mdc[book.numbers(tables.diagnoses["code"])] = tables.diagnoses["mdc"].to_numpy()
    male = mdc.copy()
    female = mdc.copy()
    routed = book.numbers(tables.sex_mdcs["pdx"])
    male[routed], female[routed] = tables.sex_mdcs["male_mdc"].to_numpy(), tables.sex_mdcs["female_mdc"].to_numpy()
    found: Int64Array = np.where(templates.sex == MALE, male[templates.pdx], female[templates.pdx])
    return found


def _find_min_los_days(templates: Templates, tables: TableSet) -> Int32Array:
    """Return the shortest stay that each template's procedures allow [days]."""
    book = load_codebooks(tables)[1]
    least = np.ones(len(book.codes) + 1, np.int32)
    for name in ("procedures", "ancillary"):
        table = read_facts(name, tables.folder)
        least[book.numbers(table["code"])] = table["min_los_days"].to_numpy()
    return np.asarray(least[templates.procedures].max(axis=1), np.int32)


def _list_units(templates: Templates) -> tuple[Int64Array, Int64Array]:
    """Return the units, (u, 4), and the unit of each template.

    A unit is a distinct (DRG, sex, youngest age, oldest age) that templates allow.
    """
    limits = np.stack([templates.place, templates.sex, templates.min_age, templates.max_age], axis=1).astype(np.int64)
    units, unit = np.unique(limits, axis=0, return_inverse=True)
    return units, unit.ravel()


def list_age_bands(population: Population) -> list[AgeBand]:
    """Return the age bands of a population, youngest first."""
    return sorted(population.age_bands.value, key=lambda band: band.first)


def _rake_age_sexes(
    units: Int64Array,
    unit_mdc: Int64Array,
    unit_share: FloatArray,
    population: Population,
    mdcs: pl.DataFrame,
    *,
    rake: bool,
) -> Choices:
    """Return choices of (age band, sex) for each unit, with the population's totals.

    The first weights are the population's shares, changed by MDC, where the codes of a unit allow the patient.
    They are raked (Deming and Stephan, 1940) to the volumes of the units, the ages and the sexes in turn.
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
    # The band of newborns is only for units whose codes allow nobody older.
    allowed &= (last[None, :] > 0) | (units[:, 3, None] == 0)
    cells *= allowed[:, :, None]
    cells *= np.stack([units[:, 1] != FEMALE, units[:, 1] != MALE], axis=1)[:, None, :]
    empty = cells.sum(axis=(1, 2)) <= 0
    nearest = np.abs(first[None, :] - units[empty, 2, None]).argmin(axis=1)
    cells[np.flatnonzero(empty), nearest] = np.stack([units[empty, 1] != FEMALE, units[empty, 1] != MALE], axis=1)
    for _ in range(_RAKING_ROUNDS if rake else 1):
        cells *= (unit_share / cells.sum(axis=(1, 2)))[:, None, None]
        if rake:
            total = cells.sum(axis=(0, 2))
            cells *= np.where(total > 0, ages / np.where(total > 0, total, 1), 1)[None, :, None]
            total = cells.sum(axis=(0, 1))
            cells *= np.where(total > 0, sexes / np.where(total > 0, total, 1), 1)[None, None, :]
    width = cells[0].size
    return Choices.of(cells.ravel(), np.arange(len(units) + 1) * width)


def _compile_ancillary(tables: TableSet) -> AncillaryProcedures:
    table = read_facts("ancillary", tables.folder)
    book = load_codebooks(tables)[1]
    table = table.filter(pl.col("code").is_in(tables.procedures["code"].implode()))
    share, by_mcc, by_surgery = (table[name].to_numpy() for name in ("stay_share", "mcc_ratio", "surgical_ratio"))
    # Rows: no CC, CC, MCC without surgery, then with surgery; the MCC ratio is relative to the mean.
    level = np.stack([by_mcc**-1.0, by_mcc**-0.4, by_mcc**0.6])
    rates = share * np.concatenate([level, level * by_surgery])
    return AncillaryProcedures(
        number=book.numbers(table["code"]),
        min_los_days=table["min_los_days"].to_numpy(),
        rate=rates.sum(axis=1),
        choices=Choices.of(rates.ravel(), np.arange(7) * len(table)),
    )
