"""Hospital-acquired conditions: which secondary codes lose their severity, and what POA must say.

Source: 42 CFR 412.4 and MS-DRG Definitions Manual, Appendix I (hospital-acquired conditions).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from drgsim.grouping.code_attributes import Attributes
from drgsim.grouping.encoding import HOSPITAL_STATUS, POA_NOT_RECOGNISED, POA_PRESENT, Encoded
from drgsim.grouping.operand_bits import Observed
from drgsim.numerics.arrays import Int64Array, UInt64Array
from drgsim.numerics.segments import expand_rows, find_run_starts, is_among, or_into, sort_distinct
from drgsim.schema import ReturnCode
from drgsim.tables.formula import expand_alternatives, list_operands, parse_formula

NOT_RELEVANT, MET, NOT_MET, EXCLUDED, EXEMPT = range(5)

_CODES = {name: number for number, name in enumerate(ReturnCode.categories)}
_NUMBERED = re.compile(r"HAC(\d+)")


@dataclass(frozen=True, eq=False)
class HacRules:
    """The conditions of one version: which codes belong to which, and their formulas as masks.

    Entries of kind k are `start[k]` to `start[k + 1]`: a condition's number, its label, and whether the
    code only shows (counts if another code of the condition is met).
    """

    start: Int64Array
    number: NDArray[np.uint8]
    label: tuple[str, ...]
    shows: NDArray[np.bool_]
    shown_numbers: NDArray[np.bool_]
    kind_word: UInt64Array
    pdx_word: UInt64Array
    procedure_word: UInt64Array
    formulas: tuple[tuple[int, np.uint64, np.uint64], ...]
    bit: dict[str, int]


@dataclass(frozen=True, eq=False)
class HacResult:
    """Positions of secondary codes with a condition met, conditions met and return code by admission.

    The entries looked at, for detail: position in `Encoded.sdx`, rule entry and status of each.
    """

    met: Int64Array
    count: NDArray[np.uint8]
    return_code: NDArray[np.uint8]
    entry_position: Int64Array
    entry: Int64Array
    entry_status: NDArray[np.uint8]


@lru_cache(maxsize=16)
def compile_hac_rules(attributes: Attributes) -> HacRules:
    """Return the hospital-acquired conditions of a version in the engine's form; made once for each."""
    entries = [_entries(kind.hac_names) for kind in attributes.diagnoses.kinds]
    flat = [entry for own in entries for entry in own]
    formulas = attributes.tables.hac_formulas
    names = dict.fromkeys(name for text in formulas["formula"] for name in list_operands(parse_formula(text)))
    value = {name: 1 << place for place, name in enumerate(names)}

    def words(prefix: str, carried: tuple[frozenset[str], ...]) -> UInt64Array:
        return np.array([sum(value.get(prefix + name, 0) for name in own) for own in carried], np.uint64)

    masks = tuple(
        (
            number,
            np.uint64(sum(value[name] for name, _ in alternative)),
            np.uint64(sum(value[name] for name, wanted in alternative if wanted)),
        )
        for number, text in formulas.select("hac", "formula").iter_rows()
        for alternative in expand_alternatives(parse_formula(text))
    )
    shows = np.array([label.endswith("_show") for _, label in flat], np.bool_)
    number = np.array([number for number, _ in flat], np.uint8)
    shown = np.zeros(256, np.bool_)
    shown[number[shows]] = True
    return HacRules(
        start=np.cumsum([0, *map(len, entries)]),
        number=number,
        label=tuple(label for _, label in flat),
        shows=shows,
        shown_numbers=shown,
        kind_word=words("SDX:", tuple(kind.hac_names for kind in attributes.diagnoses.kinds)),
        pdx_word=words("PDX:", attributes.diagnoses.scheme_names),
        procedure_word=words("", attributes.procedures.names),
        formulas=masks,
        bit={name: place for place, name in enumerate(names)},
    )


def _entries(names: frozenset[str]) -> list[tuple[int, str]]:
    """Return (condition, label) of a code's conditions, ascending; the label is its special name if it has one."""
    numbers = sorted(int(found[1]) for found in map(_NUMBERED.fullmatch, names) if found)
    special = {n: {f"hac{n:02}_sdx", f"hac{n:02}_show"} & names for n in numbers}
    return [(n, min(special[n]) if special[n] else f"HAC{n:02}") for n in numbers]


def assess_hacs(observed: Observed, encoded: Encoded, attributes: Attributes, grouped: NDArray[np.bool_]) -> HacResult:
    """Decide which secondary codes are hospital-acquired conditions, for admissions that were `grouped`.

    Looks only at codes that can matter: of a condition, at a hospital that is not exempt, not present on
    admission.
    """
    rules = compile_hac_rules(attributes)
    reports = grouped & (encoded.hospital_status != HOSPITAL_STATUS["EXEMPT"])
    carrying = np.flatnonzero(attributes.diagnoses.kind_hac.take(observed.named_kind))
    chosen = carrying
    if encoded.poa is not None:
        chosen = chosen[encoded.poa.take(observed.named.take(chosen)) != POA_PRESENT]
    chosen = chosen[reports[observed.named_row[chosen]]]
    entry, which = expand_rows(rules.start, observed.named_kind[chosen].astype(np.int64))
    chosen = chosen[which]
    row, position = observed.named_row[chosen].astype(np.int64), observed.named[chosen]
    count = np.zeros(len(encoded), np.uint8)
    return_code = np.zeros(len(encoded), np.uint8)
    if not len(entry):
        return HacResult(position, count, return_code, position, entry, np.zeros(0, np.uint8))
    truth = _true(rules, encoded, observed, attributes, carrying, row, rules.number[entry])
    excluded = attributes.diagnoses.excluded(encoded.pdx, row, encoded.sdx[position])
    before = truth & ~excluded
    status = np.where(excluded, EXCLUDED, np.where(truth, MET, NOT_MET)).astype(np.uint8)
    status[_unsupported(rules, entry, row, before)] = NOT_MET
    poa = np.full(len(position), POA_NOT_RECOGNISED) if encoded.poa is None else encoded.poa[position]
    met = status == MET
    conditions = sort_distinct(row[met] * 256 + rules.number[entry[met]]) >> 8
    begins = find_run_starts(conditions)
    count[conditions[begins]] = np.diff(begins, append=len(conditions))
    _require_poa(return_code, encoded, rules, row, entry, met, poa, excluded)
    _require_known_hospital(return_code, encoded, row[before], poa[before])
    return HacResult(sort_distinct(position[met]), count, return_code, position, entry, status)


def _true(
    rules: HacRules,
    encoded: Encoded,
    observed: Observed,
    attributes: Attributes,
    carrying: Int64Array,
    row: Int64Array,
    number: NDArray[np.uint8],
) -> NDArray[np.bool_]:
    """Return whether the formula of each condition holds on the whole claim."""
    claims = observe_whole_claims(rules, encoded, observed, attributes, carrying, row[find_run_starts(row)])[row]
    truth = np.zeros(len(row), np.bool_)
    for condition, mask, value in rules.formulas:
        truth |= (number == condition) & ((claims & mask) == value)
    return truth


def observe_whole_claims(
    rules: HacRules,
    encoded: Encoded,
    observed: Observed,
    attributes: Attributes,
    carrying: Int64Array,
    rows: Int64Array,
) -> UInt64Array:
    """Return what the formulas of the conditions see of `rows`, (n,): whatever POA says, nothing hidden.

    `carrying` are the places in `Observed.named` of codes of a condition. Bits are as in `HacRules.bit`.
    """
    asked = np.zeros(len(encoded), np.bool_)
    asked[rows] = True
    carrying = carrying[asked.take(observed.named_row.take(carrying))]
    words = np.zeros(len(encoded), np.uint64)
    or_into(words, observed.named_row.take(carrying), rules.kind_word.take(observed.named_kind.take(carrying)))
    words[rows] |= rules.pdx_word[attributes.diagnoses.scheme[encoded.pdx[rows]]]
    positions, place = expand_rows(encoded.procedure_start, rows)
    or_into(words, rows[place], rules.procedure_word[observed.operand_set[positions]])
    clusters = attributes.procedures.clusters
    or_into(words, observed.cluster_row, rules.procedure_word[clusters.operand_set[observed.cluster]])
    return words


def _unsupported(rules: HacRules, entry: Int64Array, row: Int64Array, met: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which codes only show a condition of which no code of its own is met on the claim."""
    shows = rules.shows[entry]
    found = np.flatnonzero(shows)
    if len(found):
        key = row * 256 + rules.number[entry]
        shows[found] = ~is_among(key[found], sort_distinct(key[met & ~shows]))
    return shows


def _require_poa(
    return_code: NDArray[np.uint8],
    encoded: Encoded,
    rules: HacRules,
    row: Int64Array,
    entry: Int64Array,
    met: NDArray[np.bool_],
    poa: NDArray[np.uint8],
    excluded: NDArray[np.bool_],
) -> None:
    """Reporting hospitals must state POA where it decides a condition."""
    reporting = encoded.hospital_status[row] == HOSPITAL_STATUS["NON_EXEMPT"]
    unstated = reporting & (poa == POA_NOT_RECOGNISED)
    decided = np.zeros(len(return_code), np.bool_)
    decided[row[reporting & met & ~rules.shown_numbers[rules.number[entry]]]] = True
    missing = unstated & (met | (~excluded & decided[row]))
    return_code[row[missing]] = _CODES["HAC_MISSING_ONE_POA"]


def _require_known_hospital(
    return_code: NDArray[np.uint8], encoded: Encoded, row: Int64Array, poa: NDArray[np.uint8]
) -> None:
    """A condition met (before correction) at a hospital of unknown status cannot be grouped finally."""
    unknown = encoded.hospital_status[row] == HOSPITAL_STATUS["UNKNOWN"]
    row, poa = row[unknown], poa[unknown]
    alone = np.where(
        poa == POA_NOT_RECOGNISED,
        _CODES["HAC_STATUS_INVALID_POA_INVALID_OR_1"],
        _CODES["HAC_STATUS_INVALID_POA_N_OR_U"],
    )
    several = encoded.sdx_start[row + 1] - encoded.sdx_start[row] >= 2
    return_code[row] = np.where(several, _CODES["HAC_STATUS_INVALID_MULT_HACS_POA_NOT_Y_W"], alone)
