"""Synthetic hospitals and admissions that look like a population: `generate`."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterator, Sequence
from functools import lru_cache
from numbers import Integral

import numpy as np
import polars as pl
from numpy.typing import NDArray

from drgsim.exceptions import InputError
from drgsim.numerics.arrays import FloatArray, Int64Array, UInt64Array
from drgsim.numerics.keyed_random import to_normal, uniform
from drgsim.numerics.parallel import run_over_spans
from drgsim.schema import ADMISSIONS
from drgsim.synthetic.generation_plan import GenerationPlan, compile_plan
from drgsim.synthetic.hospital_course import POA_LETTERS, DrawnStays, find_pdx_poa
from drgsim.synthetic.hospitals import make_hospitals
from drgsim.synthetic.pilot import PILOT_SEED, draw_confirmed_stays, draw_pilot
from drgsim.synthetic.population import Population
from drgsim.tables.code_limits import FEMALE
from drgsim.tables.codebook import load_codebooks
from drgsim.tables.table_set import TableSet

FIRST_ID = 1
BATCH = 250_000
_REACH_POWER = 0.5
"""Hospitals with fewer discharges of a DRG than are published treat it too: the published share is raised."""
_CHUNK = 32_000


def generate(
    n: int,
    *,
    seed: int,
    tables: TableSet,
    population: Population | str | os.PathLike[str] = "medicare_ffs",
    drgs: Sequence[int] | None = None,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return synthetic hospitals and `n` admissions of a population, each grouping to the DRG it was drawn for.

    A DRG is drawn from the population's mix, then codes that the version's own formulas turn into that DRG,
    a patient, comorbidity, length of stay, discharge status and charges. The grouper confirms every admission.
    Draws are keyed by seed and admission id: the first 1,000 of a million are the same 1,000.

    Args:
        n: how many admissions, ids 1 to n.
        seed: any integer; another seed gives other admissions and other hospitals.
        tables: the grouper version whose codes and logic are used.
        population: a `Population`, the name of a shipped one, or the path of a TOML file.
        drgs: MS-DRGs to generate in equal numbers instead of the population's mix (stress sets).

    Returns:
        hospitals (h,) provider inputs, largest first, and admissions (n,) `schema.ADMISSIONS` with all its
        optional columns, in order of id. Dates lie in the version's fiscal year.

    Raises:
        InputError: `n` is no whole number or negative, `tables` no TableSet, or a population or DRG is not known.

    >>> tables = TableSet.load("43.1")
    >>> hospitals, admissions = generate(1_000, seed=1, tables=tables)
    >>> admissions.height, generate(10, seed=1, tables=tables)[1].equals(admissions.head(10))
    (1000, True)
    """
    plan, hospitals = _prepared(n, seed, tables, population, drgs)
    return hospitals, _admissions(_ids(0, n), seed, plan, hospitals)


def generate_batches(
    n: int,
    *,
    seed: int,
    tables: TableSet,
    population: Population | str | os.PathLike[str] = "medicare_ffs",
    drgs: Sequence[int] | None = None,
    batch_size: int = BATCH,
) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
    """Yield the hospitals and admissions of `generate`, `batch_size` admissions at a time, in bounded memory.

    Arguments, columns and errors as in `generate`; the hospitals are the same frame each time.

    >>> tables = TableSet.load("43.1")
    >>> [batch.height for _, batch in generate_batches(25, seed=1, tables=tables, batch_size=10)]
    [10, 10, 5]
    """
    if batch_size < 1:
        raise InputError(f"batch_size is {batch_size}; expected at least 1.")
    plan, hospitals = _prepared(n, seed, tables, population, drgs)
    for start in range(0, n, batch_size):
        yield hospitals, _admissions(_ids(start, min(start + batch_size, n)), seed, plan, hospitals)


def _prepared(
    n: int,
    seed: int,
    tables: TableSet,
    population: Population | str | os.PathLike[str],
    drgs: Sequence[int] | None,
) -> tuple[GenerationPlan, pl.DataFrame]:
    if not isinstance(n, Integral) or n < 0:
        raise InputError(f"n is {n!r}; expected a whole number, 0 or more.")
    if not isinstance(tables, TableSet):
        raise InputError(f"tables is {tables!r}, expected a TableSet: TableSet.load({str(tables)!r}).")
    if drgs is not None and not len(drgs):
        raise InputError("drgs is empty; leave it out for the population's mix.")
    chosen = population if isinstance(population, Population) else Population.load(population, folder=tables.folder)
    asked = None if drgs is None else tuple(sorted(set(drgs)))
    return compile_plan(tables, chosen, asked), make_hospitals(seed=seed, population=chosen)


def _ids(start: int, stop: int) -> UInt64Array:
    return np.arange(start + FIRST_ID, stop + FIRST_ID, dtype=np.uint64)


def _admissions(ids: UInt64Array, seed: int, plan: GenerationPlan, hospitals: pl.DataFrame) -> pl.DataFrame:
    _charge_level(plan)  # compiled once, before threads ask for it

    def span(start: int, stop: int) -> list[pl.DataFrame]:
        pieces = range(start, stop, _CHUNK)
        return [_chunk(ids[a : min(a + _CHUNK, stop)], seed, plan, hospitals) for a in pieces]

    frames = [frame for frames in run_over_spans(len(ids), span) for frame in frames]
    return pl.concat(frames) if frames else _chunk(ids, seed, plan, hospitals)


def _chunk(ids: UInt64Array, seed: int, plan: GenerationPlan, hospitals: pl.DataFrame) -> pl.DataFrame:
    drg, stays = draw_confirmed_stays(ids, seed, plan)
    hospital = _hospital(ids, drg, seed, plan, hospitals)
    cost = _cost_index(ids, drg, stays, seed, plan) * _charge_level(plan)
    ratio = (hospitals["operating_ccr"] + hospitals["capital_ccr"]).to_numpy()[hospital]
    charges = np.round(cost / ratio, 2)
    dx, procedures = _texts(plan.tables)
    first = dt.date(plan.tables.fiscal_year - 1, 10, 1)
    days = (dt.date(plan.tables.fiscal_year, 10, 1) - first).days
    day = (uniform(seed, "discharge date", ids) * days).astype(np.int32)
    columns = {
        "admission_id": pl.Series(ids),
        "age": pl.Series(stays.age),
        "sex": pl.Series(["M", "F"]).gather((stays.sex == FEMALE).astype(np.uint32)),
        "discharge_status": pl.Series(stays.discharge_status.astype(np.int32)),
        "pdx": dx.gather(plan.templates.pdx[stays.core].astype(np.uint32)),
        "sdx": _lists(stays.sdx, dx),
        "procedures": _lists(stays.procedures, procedures),
        "pdx_poa": pl.Series(POA_LETTERS).gather(find_pdx_poa(stays, plan).astype(np.uint32)),
        "sdx_poa": _lists(stays.poa, pl.Series(POA_LETTERS)),
        "hospital_id": hospitals["hospital_id"].gather(hospital.astype(np.uint32)),
        "discharge_date": pl.Series(day + (first - dt.date(1970, 1, 1)).days).cast(pl.Date),
        "los_days": pl.Series(stays.los_days),
        "covered_charges_usd": pl.Series(charges),
    }
    return pl.DataFrame(columns, schema={name: ADMISSIONS[name].dtype for name in columns})


@lru_cache(maxsize=8)
def _texts(tables: TableSet) -> tuple[pl.Series, pl.Series]:
    """Return the texts of diagnosis and procedure numbers; number 0 is an empty text."""
    dx, procedures = load_codebooks(tables)
    return pl.concat([pl.Series([""]), dx.codes]), pl.concat([pl.Series([""]), procedures.codes])


def _lists(numbers: NDArray[np.integer], texts: pl.Series) -> pl.Series:
    """Return the texts of each row's numbers as a list; zeros fill up the rows and are left out."""
    count = np.count_nonzero(numbers, axis=1)
    packed = np.ascontiguousarray(numbers[:, : max(1, int(count.max(initial=0)))], np.uint32)
    wide = texts.gather(packed.ravel()).reshape(packed.shape).arr.to_list()
    return pl.DataFrame({"wide": wide, "count": count}).select(pl.col("wide").list.head("count")).to_series()


def _hospital(
    ids: UInt64Array, drg: Int64Array, seed: int, plan: GenerationPlan, hospitals: pl.DataFrame
) -> Int64Array:
    """Draw hospitals by size; a DRG that few hospitals report is treated in the largest ones."""
    upto = np.cumsum(hospitals["discharge_share"].to_numpy())
    last = np.maximum(np.ceil(plan.reach**_REACH_POWER * len(upto)).astype(np.int64), 1) - 1
    place = np.searchsorted(upto, uniform(seed, "hospital", ids) * upto[last[drg]], side="right")
    found: Int64Array = np.minimum(place, last[drg])
    return found


def _cost_index(ids: UInt64Array, drg: Int64Array, stays: DrawnStays, seed: int, plan: GenerationPlan) -> FloatArray:
    """Return cost up to a common factor: weight, length of stay, chance, and now and then a very costly stay."""
    population = plan.population
    longer = np.log(stays.los_days / plan.los_mean_days[drg])
    chance = population.cost_log_sd.value * to_normal(uniform(seed, "cost", ids))
    tail = uniform(seed, "cost tail", ids) < population.cost_tail_share.value
    found: FloatArray = (
        plan.weight[drg]
        * np.exp(population.cost_los_elasticity.value * longer + chance)
        * np.where(tail, population.cost_tail_ratio.value, 1.0)
    )
    return found


@lru_cache(maxsize=4)
def _charge_level(plan: GenerationPlan) -> float:
    """Return the factor that makes mean charges the population's, from a pilot with a seed of its own [USD]."""
    first = draw_pilot(plan)
    hospitals = make_hospitals(seed=PILOT_SEED, population=plan.population)
    hospital = _hospital(first.ids, first.drg, PILOT_SEED, plan, hospitals)
    cost = _cost_index(first.ids, first.drg, first.stays, PILOT_SEED, plan)
    ratio = (hospitals["operating_ccr"] + hospitals["capital_ccr"]).to_numpy()[hospital]
    return float(plan.population.mean_covered_charges_usd.value / (cost / ratio).mean())
