"""Confirmed cores of every DRG as arrays: the pool `generate` draws from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import polars as pl
from numpy.typing import NDArray

from drgsim.exceptions import InputError
from drgsim.grouping.encoding import Encoded
from drgsim.grouping.grouper import group_encoded
from drgsim.numerics.arrays import Int64Array
from drgsim.synthetic.drg_requirements import AGAINST_ADVICE, ALIVE, ANY_STATUS, DIED, TRANSFERRED
from drgsim.synthetic.population import Population
from drgsim.synthetic.template_solver import Solver, Template
from drgsim.tables.code_limits import FEMALE, MALE, CodeLimits, load_code_limits
from drgsim.tables.codebook import load_codebooks
from drgsim.tables.table_set import TableSet

SEVERITIES = ("NONE", "CC", "MCC")
_PROBE_STATUS = {ANY_STATUS: 1, ALIVE: 1, DIED: 20, AGAINST_ADVICE: 7, TRANSFERRED: 2}
_FILLERS = 64
_PRESENT = 1


@dataclass(frozen=True, eq=False)
class Templates:
    """Cores by DRG, (c,) arrays; those of the i-th DRG stand at start[i] to start[i + 1].

    `severities` has a bit (1 none, 2 CC, 4 MCC) for every comorbidity level beside which the grouper puts the
    core in its DRG. `sdx` and `procedures` are (c, most) codebook numbers filled with 0.
    """

    drg: NDArray[np.uint16]
    start: Int64Array
    place: NDArray[np.int32]
    pdx: NDArray[np.int32]
    sdx: NDArray[np.int32]
    procedures: NDArray[np.int32]
    status: NDArray[np.uint8]
    sex: NDArray[np.uint8]
    min_age: NDArray[np.uint8]
    max_age: NDArray[np.uint8]
    severities: NDArray[np.uint8]


def compile_templates(tables: TableSet, population: Population, shares: pl.DataFrame) -> Templates:
    """Return the confirmed cores of the DRGs in `shares` (`drg`, `share`).

    Raises:
        InputError: a DRG has no code combination the grouper confirms; names them.
    """
    solver = Solver(tables, population)
    cores = list(chain.from_iterable(solver.cores(drg, share) for drg, share in shares.rows()))
    masks, ends = check_templates(cores, tables)
    kept = [(core, mask) for core, mask in zip(cores, masks.tolist(), strict=True) if mask]
    order = {drg: place for place, drg in enumerate(shares["drg"].to_list())}
    place = np.array([order[core.drg] for core, _ in kept], np.int32)
    count = np.bincount(place, minlength=len(order))
    if not count.all():
        missing = [drg for drg, n in zip(order, count.tolist(), strict=True) if not n]
        raise InputError(
            f"no admission was found that groups to DRG {', '.join(map(str, missing))} in version {tables.version}."
        )
    return Templates(
        drg=np.array(shares["drg"], np.uint16),
        start=np.concatenate([[0], np.cumsum(count)]),
        place=place,
        pdx=np.array([core.pdx for core, _ in kept], np.int32),
        sdx=_rectangle([core.sdx for core, _ in kept]),
        procedures=_rectangle([core.procedures for core, _ in kept]),
        status=ends[masks > 0],
        sex=np.array([core.sex for core, _ in kept], np.uint8),
        min_age=np.array([core.min_age for core, _ in kept], np.uint8),
        max_age=np.array([core.max_age for core, _ in kept], np.uint8),
        severities=np.array([mask for _, mask in kept], np.uint8),
    )


def check_templates(cores: Sequence[Template], tables: TableSet) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return where the grouper gives each core its DRG.

    A row of the rulebook is reached only when the rows before it fail, which can hang on how the stay ended.
    So a core that does not land after a discharge home is tried with the other ends a formula can ask for.

    Returns:
        (n,) uint8 bits 1, 2, 4: lands beside no, a CC, an MCC comorbidity; (n,) uint8 the end of stay it needs.
    """
    legal = load_code_limits(tables)
    pdx = np.array([core.pdx for core in cores], np.int64)
    fillers = [None, _fillers("CC", pdx, tables, legal), _fillers("MCC", pdx, tables, legal)]
    ends = np.array([core.status for core in cores], np.uint8)
    masks = np.zeros(len(cores), np.uint8)
    for end in (None, DIED, AGAINST_ADVICE, TRANSFERRED):
        rows = np.flatnonzero((masks == 0) & ((ends == ANY_STATUS) | (end is None)))
        if not len(rows):
            continue
        tried = ends[rows] if end is None else np.full(len(rows), end, np.uint8)
        some = [cores[row] for row in rows.tolist()]
        for level, filler in enumerate(fillers):
            extra = [()] * len(rows) if filler is None else [(number,) for number in filler[rows].tolist()]
            encoded = encode_templates(
                pdx[rows],
                np.array([core.sex or (MALE if core.pdx % 2 else FEMALE) for core in some], np.uint8),
                np.array([_PROBE_STATUS[int(status)] for status in tried], np.int16),
                [(*core.sdx, *more) for core, more in zip(some, extra, strict=True)],
                [core.procedures for core in some],
            )
            found = group_encoded(encoded, tables)
            landed = (found.drg == [core.drg for core in some]) & (found.return_code == 0)
            masks[rows] |= landed.astype(np.uint8) << np.uint8(level)
        ends[rows[masks[rows] > 0]] = tried[masks[rows] > 0]
    return masks, ends


def find_destinations(cores: Sequence[Template], origin: TableSet, other: TableSet) -> dict[int, float]:
    """Return the share of each DRG to which cores confirmed in one version group in another."""
    masks, ends = check_templates(cores, origin)
    legal = load_code_limits(other)
    keep = [
        row
        for row, core in enumerate(cores)
        if masks[row] and legal.dx_valid[core.pdx] and legal.procedure_valid[list(core.procedures)].all()
    ]
    pdx = np.array([cores[row].pdx for row in keep], np.int64)
    fillers = [None, _fillers("CC", pdx, other, legal), _fillers("MCC", pdx, other, legal)]
    counts: dict[int, float] = {}
    for level, filler in enumerate(fillers):
        extra = [()] * len(keep) if filler is None else [(number,) for number in filler.tolist()]
        encoded = encode_templates(
            pdx,
            np.array([cores[row].sex or FEMALE for row in keep], np.uint8),
            np.array([_PROBE_STATUS[int(ends[row])] for row in keep], np.int16),
            [(*cores[row].sdx, *more) for row, more in zip(keep, extra, strict=True)],
            [cores[row].procedures for row in keep],
        )
        found = group_encoded(encoded, other)
        for drg, mask, code in zip(found.drg.tolist(), masks[keep].tolist(), found.return_code.tolist(), strict=True):
            if code == 0 and mask >> level & 1:
                counts[drg] = counts.get(drg, 0.0) + 1 / mask.bit_count()
    total = sum(counts.values())
    return {drg: count / total for drg, count in sorted(counts.items())}


def encode_templates(
    pdx: Int64Array,
    sex: NDArray[np.uint8],
    status: NDArray[np.int16],
    sdx: Sequence[Sequence[int]],
    procedures: Sequence[Sequence[int]],
) -> Encoded:
    """Return admissions as the grouper takes them, every code present on admission."""
    sdx_codes, sdx_start, sdx_row = _ragged(sdx)
    codes, start, row = _ragged(procedures)
    return Encoded(
        pdx=pdx.astype(np.int32),
        sex=sex,
        discharge_status=status,
        hospital_status=np.zeros(len(pdx), np.uint8),
        sdx=sdx_codes,
        sdx_start=sdx_start,
        sdx_row=sdx_row,
        poa=np.full(len(sdx_codes), _PRESENT, np.uint8),
        procedures=codes,
        procedure_start=start,
        procedure_row=row,
    )


def _fillers(severity: str, pdx: Int64Array, tables: TableSet, legal: CodeLimits) -> NDArray[np.int32]:
    """Return for each PDX a code of this severity that nothing but severity knows and the PDX does not exclude."""
    plain = tables.diagnoses.filter(
        (pl.col("severity") == severity) & pl.col("operands").is_null() & pl.col("hac_operands").is_null()
    )
    book = load_codebooks(tables)[0]
    numbers = book.numbers(plain["code"])
    grown_up = (legal.dx_sex[numbers] == 0) & (legal.dx_min_age[numbers] == 0) & (legal.likely[numbers] == 1)
    step = max(1, int(grown_up.sum()) // _FILLERS)
    chosen = numbers[grown_up][::step][:_FILLERS]
    groups = np.zeros(len(book.codes) + 1, np.int64)
    groups[book.numbers(tables.pdx_exclusions["pdx"])] = tables.pdx_exclusions["group"].to_numpy()
    pairs = tables.exclusion_groups
    column = np.full(len(book.codes) + 1, -1)
    column[chosen] = np.arange(len(chosen))
    at = column[book.numbers(pairs["sdx"])]
    excluded = np.zeros((pairs.select(pl.col("group").max()).item() + 1, len(chosen)), np.bool_)
    excluded[pairs["group"].to_numpy()[at >= 0], at[at >= 0]] = True
    free = ~excluded[groups[pdx]]
    filler: NDArray[np.int32] = chosen[free.argmax(axis=1)]
    return filler


def _ragged(lists: Sequence[Sequence[int]]) -> tuple[NDArray[np.int32], Int64Array, NDArray[np.int32]]:
    lengths = np.fromiter(map(len, lists), np.int64, len(lists))
    flat = np.fromiter(chain.from_iterable(lists), np.int32, int(lengths.sum()))
    start = np.concatenate([[0], np.cumsum(lengths)])
    return flat, start, np.repeat(np.arange(len(lists), dtype=np.int32), lengths)


def _rectangle(lists: Iterable[Sequence[int]]) -> NDArray[np.int32]:
    rows = list(lists)
    wide = np.zeros((len(rows), max(1, max(map(len, rows), default=1))), np.int32)
    for row, codes in zip(wide, rows, strict=True):
        row[: len(codes)] = codes
    return wide
