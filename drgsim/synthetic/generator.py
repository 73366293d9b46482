"""Synthetic hospitals and admissions of a population: `generate`."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterator, Sequence
from functools import lru_cache
from numbers import Integral

import numpy as np
import polars as pl
from numpy.typing import NDArray

from drgsim.display import show_value
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
_MOST = 1 << 40
"""Most admissions of one call; ids and draws are keyed by 64 bits."""
_REACH_POWER = 0.5
"""CMS withholds small cells, so more hospitals treat a DRG than report it: the share is raised to this power."""
_CHUNK = 32_000


def generate(
    n: int,
    *,
    seed: int,
    tables: TableSet,
    population: Population | str | os.PathLike[str] = "medicare_ffs",
    drgs: Sequence[int] | None = None,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return synthetic hospitals and `n` admissions of a population.

    For each admission a DRG is drawn from the population's mix; then codes that group to that DRG by the
    version's own formulas, a patient, comorbidity, length of stay, discharge status and charges. The grouper
    confirms every admission. Draws are keyed by seed and admission id: the first 1,000 of a million admissions
    are those of `generate(1_000)`.

    Args:
        n: number of admissions; their ids are 1 to n.
        seed: any integer; another seed gives other admissions and other hospitals.
        tables: the grouper version; its codes and its logic are used.
        population: a `Population`, the name of a shipped one, or the path of a TOML file.
        drgs: MS-DRGs to generate in equal numbers instead of the population's mix (stress sets).

    Returns:
        Hospitals, (h,) provider inputs, the largest first; and admissions, (n,) `schema.ADMISSIONS` with all
        optional columns, in order of id. Discharge dates are in the version's fiscal year.

    Raises:
        InputError: `n` is not a whole number or is negative, `tables` is not a TableSet, or a population or DRG
            is not known.

    >>> tables = TableSet.load("43.1")
    >>> hospitals, admissions = generate(1_000, seed=1, tables=tables)
    >>> admissions.height, generate(10, seed=1, tables=tables)[1].equals(admissions.head(10))
    (1000, True)
    """
    plan, hospitals = _prepare(n, seed, tables, population, drgs)
    return hospitals, _draw_admissions(_list_ids(0, n), seed, plan, hospitals)


def generate_batches(
    n: int,
    *,
    seed: int,
    tables: TableSet,
    population: Population | str | os.PathLike[str] = "medicare_ffs",
    drgs: Sequence[int] | None = None,
    batch_size: int = BATCH,
) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
    """Yield the hospitals and admissions of `generate` in batches, in bounded memory.

    Arguments, columns and errors as in `generate`. A batch has `batch_size` admissions; the hospitals are the
    same frame each time.

    >>> tables = TableSet.load("43.1")
    >>> [batch.height for _, batch in generate_batches(25, seed=1, tables=tables, batch_size=10)]
    [10, 10, 5]
    """
    if batch_size < 1:
        raise InputError(f"batch_size is {batch_size}; expected at least 1.")
    plan, hospitals = _prepare(n, seed, tables, population, drgs)
    for start in range(0, n, batch_size):
        ids = _list_ids(start, min(start + batch_size, n))
        yield hospitals, _draw_admissions(ids, seed, plan, hospitals)


def _prepare(
    n: int,
    seed: int,
    tables: TableSet,
    population: Population | str | os.PathLike[str],
    drgs: Sequence[int] | None,
) -> tuple[GenerationPlan, pl.DataFrame]:
    """Check the arguments of `generate`; return the plan and the hospitals."""
    if isinstance(n, bool) or not isinstance(n, Integral) or not 0 <= n <= _MOST:
        raise InputError(f"n is {show_value(n)}; expected a whole number from 0 to {_MOST:,}.")
    if not isinstance(tables, TableSet):
        raise InputError(f"tables is {tables!r}, expected a TableSet: TableSet.load({str(tables)!r}).")
    if drgs is not None and not len(drgs):
        raise InputError("drgs is empty; name at least one DRG, or leave drgs out for the population's mix.")
    chosen = population if isinstance(population, Population) else Population.load(population, folder=tables.folder)
    distinct = None if drgs is None else tuple(sorted(set(drgs)))
    return compile_plan(tables, chosen, distinct), make_hospitals(seed=seed, population=chosen)


def _list_ids(start: int, stop: int) -> UInt64Array:
    return np.arange(start + FIRST_ID, stop + FIRST_ID, dtype=np.uint64)


def _draw_admissions(ids: UInt64Array, seed: int, plan: GenerationPlan, hospitals: pl.DataFrame) -> pl.DataFrame:
    _find_charge_level(plan)  # computed once, before the threads need it

    def draw_span(start: int, stop: int) -> list[pl.DataFrame]:
        pieces = range(start, stop, _CHUNK)
        return [_draw_chunk(ids[a : min(a + _CHUNK, stop)], seed, plan, hospitals) for a in pieces]

    frames = [frame for frames in run_over_spans(len(ids), draw_span) for frame in frames]
    return pl.concat(frames) if frames else _draw_chunk(ids, seed, plan, hospitals)


def _draw_chunk(ids: UInt64Array, seed: int, plan: GenerationPlan, hospitals: pl.DataFrame) -> pl.DataFrame:
    """Return the admissions of some ids, `schema.ADMISSIONS`."""
    drg, stays = draw_confirmed_stays(ids, seed, plan)
    hospital = _draw_hospitals(ids, drg, seed, plan, hospitals)
    cost = _draw_cost_index(ids, drg, stays, seed, plan) * _find_charge_level(plan)
    ratio = (hospitals["operating_ccr"] + hospitals["capital_ccr"]).to_numpy()[hospital]
    charges = np.round(cost / ratio, 2)
    dx, procedures = _load_texts(plan.tables)
    first = dt.date(plan.tables.fiscal_year - 1, 10, 1)
    days = (dt.date(plan.tables.fiscal_year, 10, 1) - first).days
    day = (uniform(seed, "discharge date", ids) * days).astype(np.int32)
    columns = {
        "admission_id": pl.Series(ids),
        "age": pl.Series(stays.age),
        "sex": pl.Series(["M", "F"]).gather((stays.sex == FEMALE).astype(np.uint32)),
        "discharge_status": pl.Series(stays.discharge_status.astype(np.int32)),
        "pdx": dx.gather(plan.templates.pdx[stays.template].astype(np.uint32)),
        "sdx": _to_lists(stays.sdx, dx),
        "procedures": _to_lists(stays.procedures, procedures),
        "pdx_poa": pl.Series(POA_LETTERS).gather(find_pdx_poa(stays, plan).astype(np.uint32)),
        "sdx_poa": _to_lists(stays.poa, pl.Series(POA_LETTERS)),
        "hospital_id": hospitals["hospital_id"].gather(hospital.astype(np.uint32)),
        "discharge_date": pl.Series(day + (first - dt.date(1970, 1, 1)).days).cast(pl.Date),
        "los_days": pl.Series(stays.los_days),
        "covered_charges_usd": pl.Series(charges),
    }
    return pl.DataFrame(columns, schema={name: ADMISSIONS[name].dtype for name in columns})


@lru_cache(maxsize=8)
def _load_texts(tables: TableSet) -> tuple[pl.Series, pl.Series]:
    """Return the texts of diagnosis and procedure numbers; number 0 is an empty text."""
    dx, procedures = load_codebooks(tables)
    return pl.concat([pl.Series([""]), dx.codes]), pl.concat([pl.Series([""]), procedures.codes])


def _to_lists(numbers: NDArray[np.integer], texts: pl.Series) -> pl.Series:
    """Return the texts of each row's numbers as a list, without the zeros that fill the row."""
    count = np.count_nonzero(numbers, axis=1)
    packed = np.ascontiguousarray(numbers[:, : max(1, int(count.max(initial=0)))], np.uint32)
    wide = texts.gather(packed.ravel()).reshape(packed.shape).arr.to_list()
    return pl.DataFrame({"wide": wide, "count": count}).select(pl.col("wide").list.head("count")).to_series()


def _draw_hospitals(
    ids: UInt64Array, drg: Int64Array, seed: int, plan: GenerationPlan, hospitals: pl.DataFrame
) -> Int64Array:
    """Draw a hospital for each admission, by size; the largest treat the rarest DRGs."""
    cumulated = np.cumsum(hospitals["discharge_share"].to_numpy())
    last = np.maximum(np.ceil(plan.reach**_REACH_POWER * len(cumulated)).astype(np.int64), 1) - 1
    place = np.searchsorted(cumulated, uniform(seed, "hospital", ids) * cumulated[last[drg]], side="right")
    found: Int64Array = np.minimum(place, last[drg])
    return found


def _draw_cost_index(
    ids: UInt64Array, drg: Int64Array, stays: DrawnStays, seed: int, plan: GenerationPlan
) -> FloatArray:
    """Return the cost of each stay, (n,), up to a common factor.

    It depends on weight, length of stay and chance; a few stays are very costly.
    """
    population = plan.population
    longer = np.log(stays.los_days / plan.los_mean_days[drg])
    chance = population.cost_log_sd.value * to_normal(uniform(seed, "cost", ids))
    tail = uniform(seed, "cost tail", ids) < population.cost_tail_share.value
    index: FloatArray = (
        plan.weight[drg]
        * np.exp(population.cost_los_elasticity.value * longer + chance)
        * np.where(tail, population.cost_tail_ratio.value, 1.0)
    )
    return index


@lru_cache(maxsize=8)
def _find_charge_level(plan: GenerationPlan) -> float:
    """Return the factor that gives the population's mean charges, from the pilot [USD]."""
    pilot = draw_pilot(plan)
    hospitals = make_hospitals(seed=PILOT_SEED, population=plan.population)
    hospital = _draw_hospitals(pilot.ids, pilot.drg, PILOT_SEED, plan, hospitals)
    cost = _draw_cost_index(pilot.ids, pilot.drg, pilot.stays, PILOT_SEED, plan)
    ratio = (hospitals["operating_ccr"] + hospitals["capital_ccr"]).to_numpy()[hospital]
    return float(plan.population.mean_covered_charges_usd.value / (cost / ratio).mean())
