"""The codes of each admission reduced to the operand bits that the formulas read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drgsim.grouping.bit_layout import ONLY_INCIDENT
from drgsim.grouping.code_attributes import Attributes
from drgsim.numerics.arrays import ByteArray, Int32Array, Int64Array, UInt64Array
from drgsim.numerics.segments import expand_rows, expand_stretches, find_distinct_rows, find_run_starts, or_into
from drgsim.tables.encoding import Encoded


@dataclass(frozen=True, eq=False)
class Observed:
    """Admissions as the formulas see them, (n,) each, and the positions of codes that matter.

    `named` are positions in `Encoded.sdx` of codes that carry names, with their rows and kinds; `severe` those
    of CCs and MCCs, with their rows and severity bits (0 where the PDX excludes them). `counted_words` are the
    words of COUNTED_WORDS that are true, as bits. `hidden_mdcs` has, for each procedure, the MDCs (bits) whose
    search does not see it, and is None where no procedure is hidden. `cluster` are the clusters present and
    `cluster_row` the admission of each.
    """

    pdx_class: Int64Array
    claim_bits: UInt64Array
    severity_bits: UInt64Array
    counted_words: Int64Array
    named: Int64Array
    named_row: Int32Array
    named_kind: NDArray[np.uint16] | NDArray[np.uint8]
    severe: Int64Array
    severe_row: Int32Array
    severe_bits: UInt64Array
    operand_set: NDArray[np.uint16]
    hidden_mdcs: NDArray[np.uint32] | None
    cluster_row: Int64Array
    cluster: Int64Array


def observe(encoded: Encoded, attributes: Attributes) -> Observed:
    """Return what the formulas of one version can see of encoded admissions."""
    diagnoses, rulebook = attributes.diagnoses, attributes.rulebook
    pdx_class = diagnoses.role_class[diagnoses.role[encoded.pdx], encoded.sex].astype(np.int64)
    status = encoded.status_place
    claim = attributes.discharge_bits[status] | rulebook.class_trauma[pdx_class]

    kind = diagnoses.kind.take(encoded.sdx)
    named = np.flatnonzero(kind - kind.dtype.type(1) < diagnoses.last_named)  # kind 0 wraps to the largest
    named_kind, named_row = kind.take(named), encoded.sdx_row.take(named)
    or_into(claim, named_row, diagnoses.kind_claim_bits.take(named_kind))
    severe = np.flatnonzero(kind >= diagnoses.first_severe)
    severe_row = encoded.sdx_row.take(severe)
    excluded = diagnoses.is_excluded(encoded.pdx, severe_row, encoded.sdx.take(severe))
    severe_bits = diagnoses.kind_severity_bits.take(kind.take(severe) * ~excluded)  # kind 0 has none
    severity = np.zeros(len(claim), np.uint64)
    or_into(severity, severe_row, severe_bits)
    severity[attributes.died[status]] &= ~diagnoses.death_excluded

    _set_only_incident(claim, pdx_class, encoded, attributes)
    operand_set = attributes.procedures.operand_set.take(encoded.procedures)
    counted, hidden, cluster_row, cluster = _combine_procedures(encoded, operand_set, attributes)
    or_into(claim, encoded.procedure_row, attributes.procedures.claim_bits.take(operand_set))
    or_into(claim, cluster_row, attributes.procedures.claim_bits[attributes.procedures.clusters.operand_set[cluster]])
    claim |= attributes.procedures.counted_claim_bits[counted]
    _set_multiple_trauma(claim, attributes)
    return Observed(
        pdx_class=pdx_class,
        claim_bits=claim,
        severity_bits=severity,
        counted_words=counted,
        named=named,
        named_row=named_row,
        named_kind=named_kind,
        severe=severe,
        severe_row=severe_row,
        severe_bits=severe_bits,
        operand_set=operand_set,
        hidden_mdcs=hidden,
        cluster_row=cluster_row,
        cluster=cluster,
    )


def _set_only_incident(claim: UInt64Array, pdx_class: Int64Array, encoded: Encoded, attributes: Attributes) -> None:
    """Set ONLY:incident where PDX and every valid SDX are incident (Definitions Manual, MDC 15)."""
    rows = np.flatnonzero(attributes.rulebook.class_incident[pdx_class])
    if len(rows):
        positions, place = expand_rows(encoded.sdx_start, rows)
        codes = encoded.sdx[positions]
        other = attributes.diagnoses.valid[codes] & ~attributes.diagnoses.incident[codes]
        only = np.bincount(place[other], minlength=len(rows)) == 0
        claim[rows[only]] |= np.uint64(1 << attributes.rulebook.layout.claim[ONLY_INCIDENT])


def _set_multiple_trauma(claim: UInt64Array, attributes: Attributes) -> None:
    """Set MULTST where two body regions have significant trauma (Definitions Manual, MDC 24)."""
    layout = attributes.rulebook.layout
    if "MULTST" in layout.claim:
        regions = np.uint64(attributes.rulebook.trauma_mask)
        several = np.bitwise_count(claim & regions) >= 2
        claim |= several.astype(np.uint64) << np.uint64(layout.claim["MULTST"])
        claim &= ~regions


def _combine_procedures(
    encoded: Encoded, operand_set: NDArray[np.uint16], attributes: Attributes
) -> tuple[Int64Array, NDArray[np.uint32] | None, Int64Array, Int64Array]:
    """Return what procedures mean together: counted words, hidden MDCs, clusters and their rows."""
    clusters = attributes.procedures.clusters
    counted = np.zeros(len(encoded), np.int64)
    none = np.zeros(0, np.int64)
    combines = attributes.procedures.combines.take(encoded.procedures)
    combining = np.flatnonzero(combines != 0)
    row = encoded.procedure_row.take(combining)
    enough = combines.take(combining) > 1
    enough[1:] |= row[1:] == row[:-1]
    enough_row = row[enough]
    if not len(enough_row):
        return counted, None, none, none
    rows = enough_row[find_run_starts(enough_row)].astype(np.int64)
    chosen, of = _find_distinct_lists(encoded.procedures, encoded.procedure_start, rows)
    positions, place = expand_rows(encoded.procedure_start, rows[chosen])
    codes = encoded.procedures[positions]
    component = clusters.component[codes]
    claim_of, cluster, hides = clusters.find_present(place[component], codes[component])
    sets = clusters.operand_set[cluster]
    counted[rows] = clusters.count_words(operand_set[positions], find_run_starts(place), sets, claim_of)[of]
    hidden = None
    if hides.any():
        hidden_in_list = np.zeros(len(positions), np.uint32)
        hidden_in_list[component] = hides
        in_list, _ = expand_rows(np.searchsorted(place, np.arange(len(chosen) + 1)), of)
        hidden = np.zeros(len(encoded.procedures), np.uint32)
        hidden[expand_rows(encoded.procedure_start, rows)[0]] = hidden_in_list[in_list]
    found, at = expand_rows(np.searchsorted(claim_of, np.arange(len(chosen) + 1)), of)
    return counted, hidden, rows[at], cluster[found]


def _find_distinct_lists(values: Int32Array, start: Int64Array, rows: Int64Array) -> tuple[Int64Array, Int64Array]:
    """Return one of `rows` for each distinct list of values, and which of these each row equals."""
    positions, place = expand_rows(start, rows)
    slot = positions - start[rows][place]
    padded = np.full((len(rows), (int(slot.max(initial=0)) + 2) // 2 * 2), -1, np.int32)
    padded[place, slot] = values[positions]
    return find_distinct_rows(list(padded.view(np.uint64).T.copy()))


def find_visible_operands(
    observed: Observed, encoded: Encoded, attributes: Attributes, mdc: ByteArray, rows: Int64Array | None = None
) -> UInt64Array:
    """Return the procedure operands that the search of `mdc` sees, (n,) words in its layout.

    Args:
        observed, encoded, attributes: the admissions and the version.
        mdc: (n,) the MDC searched for each.
        rows: the admissions to look at, which may repeat, or None for all.
    """
    procedures = attributes.procedures
    words = np.zeros(len(mdc), np.uint64)
    sets, hidden = observed.operand_set, observed.hidden_mdcs
    place: NDArray[np.integer] = encoded.procedure_row
    clusters, cluster_place, counted = observed.cluster, observed.cluster_row, observed.counted_words
    if rows is not None:
        positions, place = expand_rows(encoded.procedure_start, rows)
        sets, counted = sets[positions], counted[rows]
        hidden = None if hidden is None else hidden[positions]
        first, last = (np.searchsorted(observed.cluster_row, rows, side) for side in ("left", "right"))
        own, cluster_place = expand_stretches(first, last - first)
        clusters = observed.cluster[own]
    searched = mdc[place]
    values = procedures.take_mdc_bits(searched, sets)
    if hidden is not None:
        values[(hidden >> searched) & np.uint32(1) > 0] = 0
    or_into(words, place, values)
    cluster_sets = procedures.clusters.operand_set[clusters]
    or_into(words, cluster_place, procedures.take_mdc_bits(mdc[cluster_place], cluster_sets))
    counting = np.flatnonzero(counted)
    words[counting] |= procedures.counted_mdc_bits[mdc[counting], counted[counting]]
    return words
