"""Hospital-acquired conditions: which codes lose their severity, by formula and POA.

Source: 42 CFR 412.4 and MS-DRG Definitions Manual, Appendix I (hospital-acquired conditions).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from drgsim.grouping.code_attributes import Attributes
from drgsim.grouping.operand_bits import Observed
from drgsim.numerics.arrays import BoolArray, ByteArray, Int64Array, UInt64Array
from drgsim.numerics.segments import expand_rows, find_run_starts, is_among, or_into, sort_distinct
from drgsim.schema import ReturnCode
from drgsim.tables.encoding import HOSPITAL_STATUS, POA_NOT_RECOGNISED, POA_PRESENT, Encoded
from drgsim.tables.formula import expand_alternatives, list_operands, parse_formula

MET, NOT_MET, EXCLUDED, EXEMPT = range(1, 5)
"""Status of a condition, as CMS numbers it."""

_CODES = {name: number for number, name in enumerate(ReturnCode.categories)}
_NUMBERED = re.compile(r"HAC(\d+)")


@dataclass(frozen=True, eq=False)
class HacRules:
    """The conditions of one version: the codes of each, and the formulas as masks.

    The conditions of a code of kind k are entries `start[k]` to `start[k + 1]`: number, label, and whether the
    code only `shows` the condition, that is, counts only if another code of the condition is met.
    `shown_numbers` are the conditions, by number, that have such codes. `bit` numbers the operands.
    """

    start: Int64Array
    number: ByteArray
    label: tuple[str, ...]
    shows: BoolArray
    shown_numbers: BoolArray
    kind_word: UInt64Array
    pdx_word: UInt64Array
    procedure_word: UInt64Array
    formulas: tuple[tuple[int, np.uint64, np.uint64], ...]
    bit: dict[str, int]


@dataclass(frozen=True, eq=False)
class HacResult:
    """The hospital-acquired conditions of encoded admissions.

    `met` are the positions in `Encoded.sdx` of codes with a condition met, `count` the different conditions met
    and `return_code` the reason to stop, (n,) each. For the per-code reports: position, entry of `HacRules`
    and status of every condition that was looked at.
    """

    met: Int64Array
    count: ByteArray
    return_code: ByteArray
    entry_position: Int64Array
    entry: Int64Array
    entry_status: ByteArray


@lru_cache(maxsize=16)
def compile_hac_rules(attributes: Attributes) -> HacRules:
    """Return the conditions of a version in the engine's form; made once for each."""
    entries = [_list_entries(kind.hac_names) for kind in attributes.diagnoses.kinds]
    flat = [entry for own in entries for entry in own]
    formulas = attributes.tables.hac_formulas
    names = dict.fromkeys(name for text in formulas["formula"] for name in list_operands(parse_formula(text)))
    value = {name: 1 << place for place, name in enumerate(names)}

    def pack(prefix: str, carried: tuple[frozenset[str], ...]) -> UInt64Array:
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
        kind_word=pack("SDX:", tuple(kind.hac_names for kind in attributes.diagnoses.kinds)),
        pdx_word=pack("PDX:", attributes.diagnoses.scheme_names),
        procedure_word=pack("", attributes.procedures.names),
        formulas=masks,
        bit={name: place for place, name in enumerate(names)},
    )


def _list_entries(names: frozenset[str]) -> list[tuple[int, str]]:
    """Return (condition, label) of a code's conditions, ascending.

    The label is the special name of a code, such as `hac06_show`, if it has one.
    """
    numbers = sorted(int(found[1]) for found in map(_NUMBERED.fullmatch, names) if found)
    special = {n: {f"hac{n:02}_sdx", f"hac{n:02}_show"} & names for n in numbers}
    return [(n, min(special[n]) if special[n] else f"HAC{n:02}") for n in numbers]


@dataclass(frozen=True, eq=False)
class _Conditions:
    """The conditions looked at, a place each, in order of admission.

    The admission, the position of the code, the entry of `HacRules`, the number of the condition, the POA of
    the code, and whether the PDX excludes the code.
    """

    row: Int64Array
    position: Int64Array
    entry: Int64Array
    number: ByteArray
    poa: ByteArray
    excluded: BoolArray


def assess_hacs(observed: Observed, encoded: Encoded, attributes: Attributes, is_grouped: BoolArray) -> HacResult:
    """Decide which secondary codes are hospital-acquired conditions, where `is_grouped`.

    Only codes that can matter are looked at: those of a condition, at a hospital that is not exempt, not
    present on admission.
    """
    rules = compile_hac_rules(attributes)
    carrying = np.flatnonzero(attributes.diagnoses.kind_hac.take(observed.named_kind))
    reports = is_grouped & (encoded.hospital_status != HOSPITAL_STATUS["EXEMPT"])
    found = _list_conditions(observed, encoded, attributes, carrying, reports)
    count, return_code = np.zeros(len(encoded), np.uint8), np.zeros(len(encoded), np.uint8)
    if not len(found.row):
        return HacResult(found.position, count, return_code, found.position, found.entry, np.zeros(0, np.uint8))
    rows = found.row[find_run_starts(found.row)]
    holds = _evaluate(rules, found, observe_whole_claims(observed, encoded, attributes, carrying, rows))
    status = np.where(found.excluded, EXCLUDED, np.where(holds, MET, NOT_MET)).astype(np.uint8)
    at_first = status == MET
    status[_find_unsupported(rules, found, at_first)] = NOT_MET
    met = status == MET
    conditions = sort_distinct(found.row[met] * 256 + found.number[met]) >> 8
    begins = find_run_starts(conditions)
    count[conditions[begins]] = np.diff(begins, append=len(conditions))
    _require_poa(return_code, encoded, rules, found, met)
    _require_known_hospital(return_code, encoded, found.row[at_first], found.poa[at_first])
    return HacResult(sort_distinct(found.position[met]), count, return_code, found.position, found.entry, status)


def _list_conditions(
    observed: Observed, encoded: Encoded, attributes: Attributes, carrying: Int64Array, reports: BoolArray
) -> _Conditions:
    """Return the conditions of codes not present on admission, where a hospital `reports`."""
    rules, chosen = compile_hac_rules(attributes), carrying
    if encoded.poa is not None:
        chosen = chosen[encoded.poa.take(observed.named.take(chosen)) != POA_PRESENT]
    chosen = chosen[reports[observed.named_row[chosen]]]
    entry, which = expand_rows(rules.start, observed.named_kind[chosen].astype(np.int64))
    row, position = observed.named_row[chosen[which]].astype(np.int64), observed.named[chosen[which]]
    return _Conditions(
        row=row,
        position=position,
        entry=entry,
        number=rules.number[entry],
        poa=np.full(len(row), POA_NOT_RECOGNISED, np.uint8) if encoded.poa is None else encoded.poa[position],
        excluded=attributes.diagnoses.is_excluded(encoded.pdx, row, encoded.sdx[position]),
    )


def _evaluate(rules: HacRules, found: _Conditions, claims: UInt64Array) -> BoolArray:
    """Return whether the formula of each condition holds on the whole claim."""
    own = claims[found.row]
    holds = np.zeros(len(own), np.bool_)
    for number, mask, value in rules.formulas:
        holds |= (found.number == number) & ((own & mask) == value)
    return holds


def observe_whole_claims(
    observed: Observed, encoded: Encoded, attributes: Attributes, carrying: Int64Array, rows: Int64Array
) -> UInt64Array:
    """Return what the formulas of the conditions see of `rows`, (n,) words of `HacRules`.

    They see every code, whatever its POA, and every procedure, hidden or not.

    Args:
        observed, encoded, attributes: the admissions and the version.
        carrying: the places in `Observed.named` of codes of a condition.
        rows: the admissions to look at; the words of others are incomplete.
    """
    rules = compile_hac_rules(attributes)
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


def _find_unsupported(rules: HacRules, found: _Conditions, met: BoolArray) -> BoolArray:
    """Return which codes only show a condition that no other code of the claim meets."""
    shows = rules.shows[found.entry]
    showing = np.flatnonzero(shows)
    if len(showing):
        key = found.row * 256 + found.number
        shows[showing] = ~is_among(key[showing], sort_distinct(key[met & ~shows]))
    return shows


def _require_poa(return_code: ByteArray, encoded: Encoded, rules: HacRules, found: _Conditions, met: BoolArray) -> None:
    """Set the return code where a condition depends on POA that the hospital does not state."""
    reporting = encoded.hospital_status[found.row] == HOSPITAL_STATUS["NON_EXEMPT"]
    unstated = reporting & (found.poa == POA_NOT_RECOGNISED)
    has_met = np.zeros(len(return_code), np.bool_)
    has_met[found.row[reporting & met & ~rules.shown_numbers[found.number]]] = True
    missing = unstated & (met | (~found.excluded & has_met[found.row]))
    return_code[found.row[missing]] = _CODES["HAC_MISSING_ONE_POA"]


def _require_known_hospital(return_code: ByteArray, encoded: Encoded, row: Int64Array, poa: ByteArray) -> None:
    """Set the return code where the hospital status is unknown and a condition is met.

    `row` and `poa` are of the conditions met before `_find_unsupported` corrects them.
    """
    unknown = encoded.hospital_status[row] == HOSPITAL_STATUS["UNKNOWN"]
    row, poa = row[unknown], poa[unknown]
    alone = np.where(
        poa == POA_NOT_RECOGNISED,
        _CODES["HAC_STATUS_INVALID_POA_INVALID_OR_1"],
        _CODES["HAC_STATUS_INVALID_POA_N_OR_U"],
    )
    several = encoded.sdx_start[row + 1] - encoded.sdx_start[row] >= 2
    return_code[row] = np.where(several, _CODES["HAC_STATUS_INVALID_MULT_HACS_POA_NOT_Y_W"], alone)
