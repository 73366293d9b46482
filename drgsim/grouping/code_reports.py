"""What the grouper reports of each code: valid, severity used, HAC status, and which codes decided the DRG.

Nothing here changes a DRG. Names and values are CMS's; `report_codes` gives one column a report, lists aligned with
the input codes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from drgsim.grouping.code_attributes import OR_OPERANDS, SEVERITIES, Attributes
from drgsim.grouping.encoding import HOSPITAL_STATUS, POA_NOT_PRESENT, POA_PRESENT, Encoded
from drgsim.grouping.hac import EXCLUDED, MET, HacResult, HacRules, compile_hac_rules
from drgsim.grouping.mdc_search import Decision, pack_severity_operands
from drgsim.grouping.operand_bits import Observed, visible_operands
from drgsim.grouping.procedure_clusters import sum_numbered_names
from drgsim.grouping.rulebook import ONLY_INCIDENT, PRE_MDC, TRAUMA_REGIONS
from drgsim.numerics.arrays import TextArray
from drgsim.tables.table_set import CLAIM_WORDS, COUNTED_WORDS

_OK = 0
_IMPACT = np.array(["NONE", "INITIAL", "FINAL", "BOTH"])
_USED = np.array(
    ["NEITHER", "CC", "MCC", "CC_EXCLUDED", "MCC_EXCLUDED", "CC_EXCLUDED_BY_DRG_LOGIC", "MCC_EXCLUDED_BY_DRG_LOGIC"]
)
NOT_LOST, BY_DEATH, BY_PDX, BY_LOGIC = 0, 1, 2, 4
_POA_STATUS = {POA_PRESENT: "POA_RECOGNIZED_YES_POA", POA_NOT_PRESENT: "POA_RECOGNIZED_NOT_POA"}
_EXEMPT_STATUS, _NOT_MET_STATUS, _EXCLUDED_STATUS, _MET_STATUS = 4, 2, 3, 1
_HAC_PROCEDURE = "hac{:02}_proc"
_HAC_PRINCIPAL = "hac{:02}_pdx"

COUNTED_MARKS: dict[str, tuple[tuple[str, ...], int]] = {
    "SINGLEFUSIONCTR": (("sglantfuse", "sglpostfuse"), 3),
    "SGLANTSECTXCTR": (("sglantsectXfuse",), 2),
    "SGLPOSTFUSECTR": (("sglpostfuse",), 2),
    "SGLANTCTR": (("sglantfuse",), 2),
    "SGLPOST1CTR": (("sglpostfuse1",), 2),
    "MULTFUSE": (("sglantfuse", "sglpostfuse1"), 2),
    "BILATERAL": (("righthip", "lefthip", "rightknee", "leftknee", "rightankle", "leftankle"), 2),
}
"""Procedures that a counted word marks: the names counted, and how many are marked at the most."""


@dataclass(frozen=True, eq=False)
class Steps:
    """A grouped span: what went in, what was seen, and what each step decided."""

    encoded: Encoded
    observed: Observed
    rules: Attributes
    initial: Decision
    final: Decision
    hac: HacResult

    @cached_property
    def initial_ok(self) -> NDArray[np.bool_]:
        """Whether the initial pass came to a DRG."""
        ok: NDArray[np.bool_] = self.rules.rulebook.return_code[self.initial.row] == _OK
        return ok

    @cached_property
    def final_ok(self) -> NDArray[np.bool_]:
        """Whether the final pass came to a DRG."""
        ok: NDArray[np.bool_] = self.initial_ok & (self.hac.return_code == _OK)
        return ok

    @cached_property
    def changed(self) -> NDArray[np.bool_]:
        """Whether hospital-acquired conditions led to another DRG."""
        drg = self.rules.rulebook.drg
        other: NDArray[np.bool_] = self.final_ok & (drg[self.initial.row] != drg[self.final.row])
        return other


def report_codes(span: Steps, sdx_texts: Sequence[str], procedure_texts: Sequence[str]) -> pl.DataFrame:
    """Return the per-code reports of grouped admissions, (n,) rows, lists aligned with the input.

    Args:
        span: the grouped admissions.
        sdx_texts: normalised secondary diagnoses, end to end; ties go by code.
        procedure_texts: normalised procedures, end to end.
    """
    encoded, rules, n = span.encoded, span.rules, len(span.encoded)
    sdx_marks, procedure_marks = _impact(span, sdx_texts, procedure_texts)
    pdx_hac, sdx_hac, poa_status, procedure_hac = _hac_reports(span)
    procedure_marks[span.changed[encoded.procedure_row] & (procedure_hac != "")] |= 2
    valid = span.observed.operand_set > 0
    nonor = np.array(["nonor" in names for names in rules.procedures.names])[span.observed.operand_set]
    is_or = ~nonor & (valid | ("unknown_procedure_is_no_or" not in rules.tables.reporting))
    return pl.DataFrame(
        {
            "pdx_valid": rules.diagnoses.valid[encoded.pdx],
            "pdx_impact": np.where(span.final_ok, "BOTH", np.where(span.initial_ok, "INITIAL", "NONE")),
            "pdx_sev_initial": np.full(n, "NEITHER"),
            "pdx_sev_final": np.full(n, "NEITHER"),
            "pdx_poa_status": np.full(n, "POA_NOT_CHECKED"),
            "pdx_hac": pdx_hac,
            "sdx_valid": _lists(rules.diagnoses.valid[encoded.sdx], encoded.sdx_row, n),
            "sdx_impact": _lists(_IMPACT[sdx_marks], encoded.sdx_row, n),
            "sdx_sev_initial": _lists(_USED[_severity_used(span, span.initial)], encoded.sdx_row, n),
            "sdx_sev_final": _lists(_USED[_severity_used(span, span.final, hac=True)], encoded.sdx_row, n),
            "sdx_poa_status": _lists(poa_status, encoded.sdx_row, n),
            "sdx_hac": _lists(sdx_hac, encoded.sdx_row, n),
            "proc_valid": _lists(valid, encoded.procedure_row, n),
            "proc_impact": _lists(_IMPACT[procedure_marks], encoded.procedure_row, n),
            "proc_is_or": _lists(is_or, encoded.procedure_row, n),
            "proc_hac_usage": _lists(procedure_hac, encoded.procedure_row, n),
        }
    )


def _lists(values: NDArray[np.generic], row: NDArray[np.int32], n: int) -> pl.Series:
    """Return values as one list a row; rows without any have an empty list."""
    flat = pl.DataFrame({"row": row, "values": values})
    grouped = flat.group_by("row", maintain_order=True).agg("values")
    rows = pl.DataFrame({"row": np.arange(n, dtype=np.int32)})
    joined = rows.join(grouped, on="row", how="left", maintain_order="left")["values"]
    return joined.fill_null(pl.Series([[]], dtype=joined.dtype).first())


def find_lost_severity(span: Steps, grouping: Decision) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the severity of each secondary code as listed, and what takes it away, in one grouping pass.

    The second is NOT_LOST, BY_DEATH, BY_PDX or BY_LOGIC; hospital-acquired conditions are not looked at.
    """
    encoded, diagnoses = span.encoded, span.rules.diagnoses
    level = diagnoses.scheme_severity[diagnoses.scheme[encoded.sdx]]
    bits = diagnoses.kind_severity[diagnoses.kind[encoded.sdx]]
    row = encoded.sdx_row
    surviving = np.bitwise_or.reduce(diagnoses.survives, axis=1)[span.rules.rulebook.suppression[grouping.row]]
    dead = span.rules.died[encoded.status_place][row] & (bits & diagnoses.death_excluded > 0)
    lost = np.where(bits & surviving[row] == 0, BY_LOGIC, NOT_LOST)
    lost = np.where(dead, BY_DEATH, lost)
    lost = np.where(diagnoses.excluded(encoded.pdx, row, encoded.sdx), BY_PDX, lost)
    return level, np.where(level > 0, lost, NOT_LOST).astype(np.uint8)


def _severity_used(span: Steps, grouping: Decision, *, hac: bool = False) -> NDArray[np.uint8]:
    """Return the severity usage of each secondary code as a place in _USED."""
    level, lost = find_lost_severity(span, grouping)
    if "excluded_by_drg_logic" not in span.rules.tables.reporting:
        lost = np.where(lost == BY_LOGIC, NOT_LOST, lost)
    used = np.where(lost == BY_DEATH, 0, level + lost)
    if hac:
        taken = np.zeros(len(used), np.bool_)
        taken[span.hac.met] = True
        used = np.where(taken & (lost == 0), 0, used)
    return np.where(span.initial_ok[span.encoded.sdx_row], used, 0).astype(np.uint8)


def _hac_reports(span: Steps) -> tuple[TextArray, TextArray, TextArray, TextArray]:
    """Return HAC text of the PDX, HAC text and POA status of each SDX, HAC usage of each procedure."""
    encoded, rules, n = span.encoded, span.rules, len(span.encoded)
    entries = compile_hac_rules(rules)
    pdx_hac, sdx_hac = np.full(n, "", object), np.full(len(encoded.sdx), "", object)
    poa_status = np.full(len(encoded.sdx), "POA_NOT_CHECKED", object)
    procedure_hac = np.full(len(encoded.procedures), "", object)
    met: dict[int, set[int]] = {}
    found: dict[int, list[tuple[int, int]]] = {}
    for position, entry, status in zip(
        span.hac.entry_position.tolist(), span.hac.entry.tolist(), span.hac.entry_status.tolist(), strict=True
    ):
        found.setdefault(position, []).append((entry, status))
        if status == MET:
            met.setdefault(int(encoded.sdx_row[position]), set()).add(int(entries.number[entry]))
    kind = rules.diagnoses.kind[encoded.sdx]
    for position in np.flatnonzero(rules.diagnoses.kind_hac[kind] & span.initial_ok[encoded.sdx_row]).tolist():
        own = range(*entries.start[[kind[position], kind[position] + 1]].tolist())
        if not own:
            continue
        exempt = encoded.hospital_status[encoded.sdx_row[position]] == HOSPITAL_STATUS["EXEMPT"]
        poa = 0 if encoded.poa is None else int(encoded.poa[position])
        poa_status[position] = "HOSPITAL_EXEMPT" if exempt else _POA_STATUS.get(poa, "POA_NOT_RECOGNIZED")
        every = "every_unmet_hac" in rules.tables.reporting
        sdx_hac[position] = _hac_text(entries, own, found.get(position, []), exempt=exempt, poa=poa, every=every)
    scheme_names, set_names = rules.diagnoses.scheme_names, rules.procedures.names
    for row, numbers in met.items():
        own_names = scheme_names[rules.diagnoses.scheme[encoded.pdx[row]]]
        principal = [number for number in sorted(numbers) if _HAC_PRINCIPAL.format(number) in own_names]
        pdx_hac[row] = ";".join(f"{number}:0:" for number in principal)
        for position in range(*encoded.procedure_start[[row, row + 1]].tolist()):
            names = set_names[span.observed.operand_set[position]]
            used = [number for number in sorted(numbers) if _HAC_PROCEDURE.format(number) in names]
            procedure_hac[position] = ";".join(f"HAC_{number:02}" for number in used)
    return pdx_hac.astype(str), sdx_hac.astype(str), poa_status.astype(str), procedure_hac.astype(str)


def _hac_text(
    rules: HacRules,
    own: range,
    found: list[tuple[int, int]],
    *,
    exempt: bool,
    poa: int,
    every: bool,
) -> str:
    """Return "number:status:label" of a code's conditions, number 0 where none is met."""
    if exempt:
        told = [(0, _EXEMPT_STATUS, entry) for entry in own]
    elif poa == POA_PRESENT:
        told = [(0, _NOT_MET_STATUS, own[0])]
    else:
        told = [(rules.number[entry], _EXCLUDED_STATUS, entry) for entry, status in found if status == EXCLUDED]
        told = told or [(rules.number[entry], _MET_STATUS, entry) for entry, status in found if status == MET]
        told = told or [(0, _NOT_MET_STATUS, entry) for entry in (own if every else own[:1])]
    return ";".join(f"{number}:{status}:{rules.label[entry]}" for number, status, entry in told)


def _impact(
    span: Steps, sdx_texts: Sequence[str], procedure_texts: Sequence[str]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return which codes affected the initial (1) and the final (2) DRG."""
    encoded, book = span.encoded, span.rules.rulebook
    sdx_marks, procedure_marks = np.zeros(len(encoded.sdx), np.uint8), np.zeros(len(encoded.procedures), np.uint8)
    same = (span.initial.row == span.final.row) & (span.initial.severity_word == span.final.severity_word)
    for bit, grouping, ok in ((1, span.initial, span.initial_ok), (2, span.final, span.final_ok & ~same)):
        collected = _collected(span, grouping, ok)
        level, lost = find_lost_severity(span, grouping)
        counts = np.where(lost == 0, level, 0)
        for row, operands in collected:
            case = _Case(span, row, int(book.mdc[grouping.row[row]]), sdx_texts, procedure_texts)
            sdx_marks[list(case.diagnoses(operands, counts, level, int(grouping.mdc[row])))] |= bit
            sdx_marks[list(case.not_incident(int(grouping.row[row]), level))] |= bit
            procedure_marks[list(case.procedures(operands))] |= bit
    both = span.final_ok & same
    sdx_marks[both[encoded.sdx_row] & (sdx_marks == 1)] = 3
    procedure_marks[both[encoded.procedure_row] & (procedure_marks == 1)] = 3
    sdx_marks[span.hac.met[span.changed[encoded.sdx_row[span.hac.met]]]] |= 2
    return sdx_marks, procedure_marks


def _collected(span: Steps, grouping: Decision, ok: NDArray[np.bool_]) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Yield each admission with the operands its deciding row found true."""
    rules, observed = span.rules, span.observed
    seen = visible_operands(observed, span.encoded, rules, rules.rulebook.mdc[grouping.row])
    levels = pack_severity_operands(grouping.severity_word, rules)
    known: dict[tuple[int, ...], tuple[str, ...]] = {}
    for row in np.flatnonzero(ok).tolist():
        key = (grouping.row[row], observed.pdx_class[row], seen[row], levels[row], observed.claim[row])
        signature = tuple(int(part) for part in key)
        if signature not in known:
            known[signature] = rules.rulebook.collected(signature[0], signature[1], signature[2:])
        yield row, known[signature]


class _Case:
    """One admission's codes in the order in which they are considered for marking."""

    def __init__(
        self, span: Steps, row: int, mdc: int, sdx_texts: Sequence[str], procedure_texts: Sequence[str]
    ) -> None:
        encoded, rules = span.encoded, span.rules
        self.span, self.row, self.mdc = span, row, mdc
        self.sdx = range(*encoded.sdx_start[[row, row + 1]].tolist())
        self.positions = range(*encoded.procedure_start[[row, row + 1]].tolist())
        self.sdx_texts, self.procedure_texts = sdx_texts, procedure_texts
        self.pdx_names = rules.diagnoses.scheme_names[rules.diagnoses.scheme[encoded.pdx[row]]]

    def sdx_names(self, position: int) -> frozenset[str]:
        diagnoses = self.span.rules.diagnoses
        return diagnoses.scheme_names[int(diagnoses.scheme[self.span.encoded.sdx[position]])]

    def by_severity(self, level: NDArray[np.uint8]) -> list[int]:
        return sorted(self.sdx, key=lambda position: (-int(level[position]), self.sdx_texts[position]))

    def diagnoses(
        self, operands: Iterable[str], counts: NDArray[np.uint8], level: NDArray[np.uint8], mdc: int
    ) -> Iterator[int]:
        """Yield the secondary codes that gave a collected operand: one name a code, one code a name."""
        names = [operand.rpartition(":")[2] for operand in dict.fromkeys(operands)]
        names = [name for name in names if name not in self.pdx_names]
        if not self.sdx or (not names and mdc == self.mdc):
            return
        for position in self.by_severity(level):
            own = self.sdx_names(position)
            taken = next((n for n in names if n in own or n == SEVERITIES[counts[position]]), None)
            if taken is not None:
                names.remove(taken)
                yield position
        yield from self._multiple_trauma(mdc, level)

    def _multiple_trauma(self, mdc: int, level: NDArray[np.uint8]) -> Iterator[int]:
        """Yield the codes that bring the body regions of multiple significant trauma, where it rerouted the case."""
        book = self.span.rules.rulebook
        reroutes = (book.mdc == PRE_MDC) & (book.reroute_mdc == mdc)
        if not mdc or not any("MULTST" in book.formulas[row] for row in np.flatnonzero(reroutes[:-1])):
            return
        regions = self.pdx_names & {*TRAUMA_REGIONS}
        for position in self.by_severity(level):
            new = (self.sdx_names(position) & {*TRAUMA_REGIONS}) - regions
            if new and len(regions) < 2:
                regions |= new
                yield position

    def not_incident(self, decided: int, level: NDArray[np.uint8]) -> Iterator[int]:
        """Yield the code that keeps a newborn from being only incidentally ill, where the catch-all row decided."""
        book = self.span.rules.rulebook
        of_mdc = np.flatnonzero(book.mdc[:-1] == book.mdc[decided])
        newborns = ONLY_INCIDENT in (book.formulas[row] for row in of_mdc)
        if decided == of_mdc[-1] and newborns and "incident" in self.pdx_names:
            yield from [p for p in self.by_severity(level) if "incident" not in self.sdx_names(p)][:1]

    def procedures(self, operands: Iterable[str]) -> Iterator[int]:
        """Yield the procedures that gave the collected procedure operands."""
        wanted = [name for name in dict.fromkeys(operands) if ":" not in name and name not in CLAIM_WORDS - {"ORPROC"}]
        counted = [name for name in operands if name in COUNTED_WORDS]
        carriers = [([position], self.names(position)) for position in self.candidates()]
        carriers += list(self.clusters())
        if wanted:
            whole = next((positions for positions, names in carriers if names.issuperset(wanted)), None)
            if whole is not None:
                yield from whole
            else:
                for name in wanted:
                    yield from next((positions for positions, names in carriers if name in names), [])
        for word in counted:
            yield from self._counted(word, carriers)

    def names(self, position: int) -> frozenset[str]:
        own = self.span.rules.procedures.names[int(self.span.observed.operand_set[position])]
        return own | {"ORPROC"} if own & OR_OPERANDS else own

    def candidates(self, *, repeats: bool = False) -> list[int]:
        """Return visible procedures: the first if it is an O.R. procedure, the others by code, a first that is not."""
        hidden = self.span.observed.hidden
        first = self.positions[:1]
        non_or = bool(first) and "nonor" in self.names(first[0])

        def order(position: int) -> tuple[int, str]:
            return (2 if non_or else 0) if position in first else 1, self.procedure_texts[position]

        visible = [
            p
            for p in (self.positions if repeats else self.once())
            if hidden is None or not int(hidden[p]) >> self.mdc & 1
        ]
        return sorted(visible, key=order)

    def once(self) -> list[int]:
        """Return the procedures, of a repeated code the first alone."""
        return list({self.procedure_texts[p]: p for p in reversed(self.positions)}.values())

    def clusters(self) -> Iterator[tuple[list[int], frozenset[str]]]:
        """Yield the component procedures and the names of every cluster on the claim."""
        observed, procedures = self.span.observed, self.span.rules.procedures
        for cluster in observed.cluster[observed.cluster_row == self.row].tolist():
            codes = procedures.clusters.codes_of(cluster)
            parts = [p for p in self.once() if int(self.span.encoded.procedures[p]) in codes]
            yield parts, procedures.names[procedures.clusters.operand_set[cluster]]

    def _counted(self, word: str, carriers: list[tuple[list[int], frozenset[str]]]) -> Iterator[int]:
        """Yield the procedures behind a counted word."""
        if word in COUNTED_MARKS:
            names, most = COUNTED_MARKS[word]
            single = [([position], self.names(position)) for position in self.candidates(repeats=True)]
            of_clusters = [(positions, own) for positions, own in carriers if len(positions) > 1]
            counting = [positions for positions, own in single + of_clusters if own & {*names}]
            yield from (position for positions in counting[:most] for position in positions)
            return
        total, stem = 0, "vessel" if word == "FOUR_VESSELS" else "stent"
        for position in self.candidates(repeats=True):
            added = sum_numbered_names(self.names(position), stem)
            if added and total < 4:
                total += added
                yield position
        for kind in ("NORdrugstent", "NORstent"):
            stents = [p for p in self.positions if {"arterial", kind} <= self.names(p)]
            if stents:
                yield from stents
                return
