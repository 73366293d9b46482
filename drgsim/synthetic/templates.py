"""Templates that the grouper has confirmed, as arrays: `generate` draws from them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import polars as pl
from numpy.typing import NDArray

from drgsim.exceptions import InputError
from drgsim.grouping.grouper import group_encoded
from drgsim.numerics.arrays import ByteArray, Int32Array, Int64Array, UInt16Array
from drgsim.synthetic.drg_requirements import AGAINST_ADVICE, ALIVE, ANY_STATUS, DIED, TRANSFERRED
from drgsim.synthetic.population import Population
from drgsim.synthetic.template_solver import Template, TemplateSolver
from drgsim.tables.code_limits import FEMALE, MALE, CodeLimits, load_code_limits
from drgsim.tables.codebook import load_codebooks
from drgsim.tables.encoding import Encoded
from drgsim.tables.table_set import TableSet

SEVERITIES = ("NONE", "CC", "MCC")
_PROBE_STATUS = {ANY_STATUS: 1, ALIVE: 1, DIED: 20, AGAINST_ADVICE: 7, TRANSFERRED: 2}
_MOST_FILLERS = 64
_PRESENT = 1


@dataclass(frozen=True, eq=False)
class Templates:
    """Templates by DRG, (t,) arrays; those of the i-th DRG are at start[i] to start[i + 1].

    `place` is the place of the template's DRG. `severities` has a bit (1 none, 2 CC, 4 MCC) for every comorbidity
    level with which the grouper puts the template into its DRG. `sdx` and `procedures` are (t, most) codebook
    numbers, filled with 0.
    """

    drg: UInt16Array
    start: Int64Array
    place: Int32Array
    pdx: Int32Array
    sdx: Int32Array
    procedures: Int32Array
    status: ByteArray
    sex: ByteArray
    min_age: ByteArray
    max_age: ByteArray
    severities: ByteArray


def compile_templates(tables: TableSet, population: Population, shares: pl.DataFrame) -> Templates:
    """Return the confirmed templates of the DRGs in `shares` (`drg`, `share`).

    Raises:
        InputError: the grouper confirms no template of a DRG; the message names the DRGs.
    """
    solver = TemplateSolver(tables, population)
    solved = list(chain.from_iterable(solver.solve(drg, share) for drg, share in shares.rows()))
    masks, endings = check_templates(solved, tables)
    confirmed = [(template, mask) for template, mask in zip(solved, masks.tolist(), strict=True) if mask]
    order = {drg: place for place, drg in enumerate(shares["drg"].to_list())}
    place = np.array([order[template.drg] for template, _ in confirmed], np.int32)
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
        pdx=np.array([template.pdx for template, _ in confirmed], np.int32),
        sdx=_to_rectangle([template.sdx for template, _ in confirmed]),
        procedures=_to_rectangle([template.procedures for template, _ in confirmed]),
        status=endings[masks > 0],
        sex=np.array([template.sex for template, _ in confirmed], np.uint8),
        min_age=np.array([template.min_age for template, _ in confirmed], np.uint8),
        max_age=np.array([template.max_age for template, _ in confirmed], np.uint8),
        severities=np.array([mask for _, mask in confirmed], np.uint8),
    )


def check_templates(templates: Sequence[Template], tables: TableSet) -> tuple[ByteArray, ByteArray]:
    """Return the comorbidity levels with which the grouper confirms each template.

    The search reaches a row of the rulebook only when the rows before it fail, which can depend on how the stay
    ended. So a template that is not confirmed with a discharge home is tried with the other endings that a
    formula can require.

    Returns:
        (n,) uint8 bits: 1 confirmed without a comorbidity, 2 with a CC, 4 with an MCC; (n,) uint8 how the stay
        must end.
    """
    limits = load_code_limits(tables)
    pdx = np.array([template.pdx for template in templates], np.int64)
    fillers = [None, _pick_fillers("CC", pdx, tables, limits), _pick_fillers("MCC", pdx, tables, limits)]
    endings = np.array([template.status for template in templates], np.uint8)
    masks = np.zeros(len(templates), np.uint8)
    for ending in (None, DIED, AGAINST_ADVICE, TRANSFERRED):
        rows = np.flatnonzero((masks == 0) & ((endings == ANY_STATUS) | (ending is None)))
        if not len(rows):
            continue
        tried = endings[rows] if ending is None else np.full(len(rows), ending, np.uint8)
        waiting = [templates[row] for row in rows.tolist()]
        for level, filler in enumerate(fillers):
            extra = [()] * len(rows) if filler is None else [(number,) for number in filler[rows].tolist()]
            encoded = encode_templates(
                pdx[rows],
                np.array([template.sex or (MALE if template.pdx % 2 else FEMALE) for template in waiting], np.uint8),
                np.array([_PROBE_STATUS[int(status)] for status in tried], np.int16),
                [(*template.sdx, *more) for template, more in zip(waiting, extra, strict=True)],
                [template.procedures for template in waiting],
            )
            found = group_encoded(encoded, tables)
            confirmed = (found.drg == [template.drg for template in waiting]) & (found.return_code == 0)
            masks[rows] |= confirmed.astype(np.uint8) << np.uint8(level)
        endings[rows[masks[rows] > 0]] = tried[masks[rows] > 0]
    return masks, endings


def find_destinations(templates: Sequence[Template], origin: TableSet, other: TableSet) -> dict[int, float]:
    """Return the share of each DRG to which templates confirmed in one version group in another."""
    masks, endings = check_templates(templates, origin)
    limits = load_code_limits(other)
    rows = [
        row
        for row, template in enumerate(templates)
        if masks[row] and limits.dx_valid[template.pdx] and limits.procedure_valid[list(template.procedures)].all()
    ]
    pdx = np.array([templates[row].pdx for row in rows], np.int64)
    fillers = [None, _pick_fillers("CC", pdx, other, limits), _pick_fillers("MCC", pdx, other, limits)]
    counts: dict[int, float] = {}
    for level, filler in enumerate(fillers):
        extra = [()] * len(rows) if filler is None else [(number,) for number in filler.tolist()]
        encoded = encode_templates(
            pdx,
            np.array([templates[row].sex or FEMALE for row in rows], np.uint8),
            np.array([_PROBE_STATUS[int(endings[row])] for row in rows], np.int16),
            [(*templates[row].sdx, *more) for row, more in zip(rows, extra, strict=True)],
            [templates[row].procedures for row in rows],
        )
        found = group_encoded(encoded, other)
        for drg, mask, code in zip(found.drg.tolist(), masks[rows].tolist(), found.return_code.tolist(), strict=True):
            if code == 0 and mask >> level & 1:
                counts[drg] = counts.get(drg, 0.0) + 1 / mask.bit_count()
    total = sum(counts.values())
    return {drg: count / total for drg, count in sorted(counts.items())}


def encode_templates(
    pdx: Int64Array,
    sex: ByteArray,
    status: NDArray[np.int16],
    sdx: Sequence[Sequence[int]],
    procedures: Sequence[Sequence[int]],
) -> Encoded:
    """Return admissions in the form that the grouper takes; every code is present on admission."""
    sdx_codes, sdx_start, sdx_row = _flatten(sdx)
    codes, start, row = _flatten(procedures)
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


def _pick_fillers(severity: str, pdx: Int64Array, tables: TableSet, limits: CodeLimits) -> Int32Array:
    """Return a secondary code of this severity for each PDX.

    The code carries no operand of a formula, and the PDX does not exclude it.
    """
    plain = tables.diagnoses.filter(
        (pl.col("severity") == severity) & pl.col("operands").is_null() & pl.col("hac_operands").is_null()
    )
    book = load_codebooks(tables)[0]
    numbers = book.numbers(plain["code"])
    suitable = (limits.dx_sex[numbers] == 0) & (limits.dx_min_age[numbers] == 0) & (limits.likely[numbers] == 1)
    step = max(1, int(suitable.sum()) // _MOST_FILLERS)
    chosen = numbers[suitable][::step][:_MOST_FILLERS]
    groups = np.zeros(len(book.codes) + 1, np.int64)
    groups[book.numbers(tables.pdx_exclusions["pdx"])] = tables.pdx_exclusions["group"].to_numpy()
    pairs = tables.exclusion_groups
    column = np.full(len(book.codes) + 1, -1)
    column[chosen] = np.arange(len(chosen))
    at = column[book.numbers(pairs["sdx"])]
    excluded = np.zeros((pairs.select(pl.col("group").max()).item() + 1, len(chosen)), np.bool_)
    excluded[pairs["group"].to_numpy()[at >= 0], at[at >= 0]] = True
    free = ~excluded[groups[pdx]]
    filler: Int32Array = chosen[free.argmax(axis=1)]
    return filler


def _flatten(lists: Sequence[Sequence[int]]) -> tuple[Int32Array, Int64Array, Int32Array]:
    """Return the numbers row by row, where each row starts, and the row of each number."""
    lengths = np.fromiter(map(len, lists), np.int64, len(lists))
    flat = np.fromiter(chain.from_iterable(lists), np.int32, int(lengths.sum()))
    start = np.concatenate([[0], np.cumsum(lengths)])
    return flat, start, np.repeat(np.arange(len(lists), dtype=np.int32), lengths)


def _to_rectangle(lists: Iterable[Sequence[int]]) -> Int32Array:
    """Return lists of numbers as one array, each row filled with 0."""
    rows = list(lists)
    wide = np.zeros((len(rows), max(1, max(map(len, rows), default=1))), np.int32)
    for row, codes in zip(wide, rows, strict=True):
        row[: len(codes)] = codes
    return wide
