"""What CMS's grouper reports of each code: validity, severity used, HAC status, impact.

Nothing here changes a DRG. Names and values are CMS's; `report_codes` returns one column a report, with lists
aligned with the input codes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from drgsim.grouping.bit_layout import ONLY_INCIDENT, PRE_MDC, TRAUMA_REGIONS
from drgsim.grouping.code_attributes import SEVERITIES
from drgsim.grouping.grouping_steps import BY_DEATH, BY_LOGIC, NOT_LOST, Steps, find_lost_severity
from drgsim.grouping.hac import EXCLUDED, EXEMPT, MET, NOT_MET, HacRules, compile_hac_rules
from drgsim.grouping.mdc_search import Decision, pack_severity_operands
from drgsim.grouping.operand_bits import find_visible_operands
from drgsim.grouping.operand_carriers import COUNTED_NAMES, OperandCarriers, add_to_count
from drgsim.numerics.arrays import BoolArray, ByteArray, TextArray
from drgsim.tables.encoding import HOSPITAL_STATUS, POA_NOT_PRESENT, POA_PRESENT
from drgsim.tables.table_set import CLAIM_WORDS, COUNTED_WORDS

_IMPACT = np.array(["NONE", "INITIAL", "FINAL", "BOTH"])
_USED = np.array(
    ["NEITHER", "CC", "MCC", "CC_EXCLUDED", "MCC_EXCLUDED", "CC_EXCLUDED_BY_DRG_LOGIC", "MCC_EXCLUDED_BY_DRG_LOGIC"]
)
_POA_STATUS = {POA_PRESENT: "POA_RECOGNIZED_YES_POA", POA_NOT_PRESENT: "POA_RECOGNIZED_NOT_POA"}
_HAC_PROCEDURE = "hac{:02}_proc"
_HAC_PRINCIPAL = "hac{:02}_pdx"
_MOST_MARKED = {"SINGLEFUSIONCTR": 3}
"""How many procedures a counted word of `COUNTED_NAMES` marks at the most, where it is not two."""


def report_codes(steps: Steps, sdx_texts: Sequence[str], procedure_texts: Sequence[str]) -> pl.DataFrame:
    """Return the per-code reports of grouped admissions, (n,) rows of lists.

    Lists are aligned with the codes of the input.

    Args:
        steps: the grouped admissions.
        sdx_texts: normalised secondary diagnoses, end to end; they decide ties.
        procedure_texts: normalised procedures, end to end.
    """
    encoded, rules, n = steps.encoded, steps.rules, len(steps.encoded)
    sdx_impact, procedure_impact = _find_impact(steps, sdx_texts, procedure_texts)
    pdx_hac, sdx_hac, poa_status, procedure_hac = _report_hacs(steps)
    procedure_impact[steps.changed[encoded.procedure_row] & (procedure_hac != "")] |= 2
    valid = steps.observed.operand_set > 0
    nonor = np.array(["nonor" in names for names in rules.procedures.names])[steps.observed.operand_set]
    is_or = ~nonor & (valid | ("unknown_procedure_is_no_or" not in rules.tables.reporting))
    return pl.DataFrame(
        {
            "pdx_valid": rules.diagnoses.valid[encoded.pdx],
            "pdx_impact": np.where(steps.final_ok, "BOTH", np.where(steps.initial_ok, "INITIAL", "NONE")),
            "pdx_sev_initial": np.full(n, "NEITHER"),
            "pdx_sev_final": np.full(n, "NEITHER"),
            "pdx_poa_status": np.full(n, "POA_NOT_CHECKED"),
            "pdx_hac": pdx_hac,
            "sdx_valid": _to_lists(rules.diagnoses.valid[encoded.sdx], encoded.sdx_row, n),
            "sdx_impact": _to_lists(_IMPACT[sdx_impact], encoded.sdx_row, n),
            "sdx_sev_initial": _to_lists(_USED[_find_severity_used(steps, steps.initial)], encoded.sdx_row, n),
            "sdx_sev_final": _to_lists(_USED[_find_severity_used(steps, steps.final, hac=True)], encoded.sdx_row, n),
            "sdx_poa_status": _to_lists(poa_status, encoded.sdx_row, n),
            "sdx_hac": _to_lists(sdx_hac, encoded.sdx_row, n),
            "proc_valid": _to_lists(valid, encoded.procedure_row, n),
            "proc_impact": _to_lists(_IMPACT[procedure_impact], encoded.procedure_row, n),
            "proc_is_or": _to_lists(is_or, encoded.procedure_row, n),
            "proc_hac_usage": _to_lists(procedure_hac, encoded.procedure_row, n),
        }
    )


def _to_lists(values: NDArray[np.generic], row: NDArray[np.int32], n: int) -> pl.Series:
    """Return values as one list a row; rows without any have an empty list."""
    flat = pl.DataFrame({"row": row, "values": values})
    grouped = flat.group_by("row", maintain_order=True).agg("values")
    rows = pl.DataFrame({"row": np.arange(n, dtype=np.int32)})
    joined = rows.join(grouped, on="row", how="left", maintain_order="left")["values"]
    return joined.fill_null(pl.Series([[]], dtype=joined.dtype).first())


def _find_severity_used(steps: Steps, decision: Decision, *, hac: bool = False) -> ByteArray:
    """Return the severity usage of each secondary code as a place in _USED."""
    level, lost = find_lost_severity(steps, decision)
    if "excluded_by_drg_logic" not in steps.rules.tables.reporting:
        lost = np.where(lost == BY_LOGIC, NOT_LOST, lost)
    used = np.where(lost == BY_DEATH, 0, level + lost)
    if hac:
        taken = np.zeros(len(used), np.bool_)
        taken[steps.hac.met] = True
        used = np.where(taken & (lost == 0), 0, used)
    return np.where(steps.initial_ok[steps.encoded.sdx_row], used, 0).astype(np.uint8)


def _report_hacs(steps: Steps) -> tuple[TextArray, TextArray, TextArray, TextArray]:
    """Return the HAC text of PDX and SDX, the POA status of SDX, the HAC usage of procedures."""
    encoded, rules, n = steps.encoded, steps.rules, len(steps.encoded)
    hac_rules = compile_hac_rules(rules)
    pdx_hac, sdx_hac = np.full(n, "", object), np.full(len(encoded.sdx), "", object)
    poa_status = np.full(len(encoded.sdx), "POA_NOT_CHECKED", object)
    procedure_hac = np.full(len(encoded.procedures), "", object)
    met: dict[int, set[int]] = {}
    found: dict[int, list[tuple[int, int]]] = {}
    for position, entry, status in zip(
        steps.hac.entry_position.tolist(), steps.hac.entry.tolist(), steps.hac.entry_status.tolist(), strict=True
    ):
        found.setdefault(position, []).append((entry, status))
        if status == MET:
            met.setdefault(int(encoded.sdx_row[position]), set()).add(int(hac_rules.number[entry]))
    kind = rules.diagnoses.kind[encoded.sdx]
    for position in np.flatnonzero(rules.diagnoses.kind_hac[kind] & steps.initial_ok[encoded.sdx_row]).tolist():
        own = range(*hac_rules.start[[kind[position], kind[position] + 1]].tolist())
        if not own:
            continue
        exempt = encoded.hospital_status[encoded.sdx_row[position]] == HOSPITAL_STATUS["EXEMPT"]
        poa = 0 if encoded.poa is None else int(encoded.poa[position])
        poa_status[position] = "HOSPITAL_EXEMPT" if exempt else _POA_STATUS.get(poa, "POA_NOT_RECOGNIZED")
        every = "every_unmet_hac" in rules.tables.reporting
        sdx_hac[position] = _write_hacs(hac_rules, own, found.get(position, []), exempt=exempt, poa=poa, every=every)
    scheme_names, set_names = rules.diagnoses.scheme_names, rules.procedures.names
    for row, numbers in met.items():
        own_names = scheme_names[rules.diagnoses.scheme[encoded.pdx[row]]]
        principal = [number for number in sorted(numbers) if _HAC_PRINCIPAL.format(number) in own_names]
        pdx_hac[row] = ";".join(f"{number}:0:" for number in principal)
        for position in range(*encoded.procedure_start[[row, row + 1]].tolist()):
            names = set_names[steps.observed.operand_set[position]]
            used = [number for number in sorted(numbers) if _HAC_PROCEDURE.format(number) in names]
            procedure_hac[position] = ";".join(f"HAC_{number:02}" for number in used)
    return pdx_hac.astype(str), sdx_hac.astype(str), poa_status.astype(str), procedure_hac.astype(str)


def _write_hacs(
    rules: HacRules,
    own: range,
    found: list[tuple[int, int]],
    *,
    exempt: bool,
    poa: int,
    every: bool,
) -> str:
    """Return "number:status:label" of each condition of a code, with number 0 where none is met."""
    if exempt:
        entries = [(0, EXEMPT, entry) for entry in own]
    elif poa == POA_PRESENT:
        entries = [(0, NOT_MET, own[0])]
    else:
        entries = [(rules.number[entry], EXCLUDED, entry) for entry, status in found if status == EXCLUDED]
        entries = entries or [(rules.number[entry], MET, entry) for entry, status in found if status == MET]
        entries = entries or [(0, NOT_MET, entry) for entry in (own if every else own[:1])]
    return ";".join(f"{number}:{status}:{rules.label[entry]}" for number, status, entry in entries)


def _find_impact(steps: Steps, sdx_texts: Sequence[str], procedure_texts: Sequence[str]) -> tuple[ByteArray, ByteArray]:
    """Return which codes had an impact on the initial (1) and the final (2) DRG."""
    encoded = steps.encoded
    sdx_impact, procedure_impact = np.zeros(len(encoded.sdx), np.uint8), np.zeros(len(encoded.procedures), np.uint8)
    same = (steps.initial.row == steps.final.row) & (steps.initial.severity_bits == steps.final.severity_bits)
    for bit, decision, ok in ((1, steps.initial, steps.initial_ok), (2, steps.final, steps.final_ok & ~same)):
        level, lost = find_lost_severity(steps, decision)
        counted_level = np.where(lost == NOT_LOST, level, 0)
        for row, operands in _list_true_operands(steps, decision, ok):
            sdx = slice(*encoded.sdx_start[[row, row + 1]].tolist())
            procedures = slice(*encoded.procedure_start[[row, row + 1]].tolist())
            codes = _Codes(
                carriers=OperandCarriers(encoded, steps.observed, steps.rules, row),
                decided=int(decision.row[row]),
                mdc=int(decision.mdc[row]),
                level=level[sdx].tolist(),
                counted_level=counted_level[sdx].tolist(),
                sdx_texts=sdx_texts[sdx],
                procedure_texts=procedure_texts[procedures],
            )
            for place in codes.find_sdx(operands):
                sdx_impact[sdx.start + place] |= bit
            for place in codes.find_procedures(operands):
                procedure_impact[procedures.start + place] |= bit
    both = steps.final_ok & same
    sdx_impact[both[encoded.sdx_row] & (sdx_impact == 1)] = 3
    procedure_impact[both[encoded.procedure_row] & (procedure_impact == 1)] = 3
    sdx_impact[steps.hac.met[steps.changed[encoded.sdx_row[steps.hac.met]]]] |= 2
    return sdx_impact, procedure_impact


def _list_true_operands(steps: Steps, decision: Decision, ok: BoolArray) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Yield each admission with the operands that its deciding row found true."""
    rules, observed = steps.rules, steps.observed
    visible = find_visible_operands(observed, steps.encoded, rules, rules.rulebook.mdc[decision.row])
    levels = pack_severity_operands(decision.severity_bits, rules)
    known: dict[tuple[int, ...], tuple[str, ...]] = {}
    for row in np.flatnonzero(ok).tolist():
        key = (decision.row[row], observed.pdx_class[row], visible[row], levels[row], observed.claim_bits[row])
        signature = tuple(int(part) for part in key)
        if signature not in known:
            known[signature] = rules.rulebook.list_true_operands(signature[0], signature[1], signature[2:])
        yield row, known[signature]


@dataclass(frozen=True, eq=False)
class _Codes:
    """The codes of one admission, in the order in which CMS's grouper considers them for impact.

    `decided` is the deciding formula row, `mdc` the MDC reported. `level` and `counted_level` are the severity
    of each secondary code, as listed and as it counts in that row.
    """

    carriers: OperandCarriers
    decided: int
    mdc: int
    level: list[int]
    counted_level: list[int]
    sdx_texts: Sequence[str]
    procedure_texts: Sequence[str]

    @property
    def searched_mdc(self) -> int:
        """The MDC of the deciding row."""
        return int(self.carriers.rules.rulebook.mdc[self.decided])

    def find_sdx(self, operands: Iterable[str]) -> Iterator[int]:
        """Yield the secondary codes that gave a true operand."""
        if not self.level:
            return
        in_order = sorted(range(len(self.level)), key=lambda place: (-self.level[place], self.sdx_texts[place]))
        names = [operand.rpartition(":")[2] for operand in dict.fromkeys(operands)]
        names = [name for name in names if name not in self.carriers.pdx_names]
        if names or self.mdc != self.searched_mdc:
            yield from self._take_names(names, in_order)
            yield from self._find_trauma(in_order)
        yield from self._find_not_incident(in_order)

    def _take_names(self, names: list[str], in_order: list[int]) -> Iterator[int]:
        """Yield the first code that has each name: one name a code, one code a name."""
        for place in in_order:
            own = {*self.carriers.sdx_names[place], SEVERITIES[self.counted_level[place]]}
            taken = next((name for name in names if name in own), None)
            if taken is not None:
                names.remove(taken)
                yield place

    def _find_trauma(self, in_order: list[int]) -> Iterator[int]:
        """Yield the codes of the body regions of multiple trauma, where the pre-MDC rerouted for it."""
        book = self.carriers.rules.rulebook
        reroutes = (book.mdc == PRE_MDC) & (book.reroute_mdc == self.mdc)
        if not self.mdc or not any("MULTST" in book.formulas[row] for row in np.flatnonzero(reroutes[:-1])):
            return
        regions = self.carriers.pdx_names & {*TRAUMA_REGIONS}
        for place in in_order:
            new = (self.carriers.sdx_names[place] & {*TRAUMA_REGIONS}) - regions
            if new and len(regions) < 2:
                regions |= new
                yield place

    def _find_not_incident(self, in_order: list[int]) -> Iterator[int]:
        """Yield the code that makes a newborn's problem not incidental, where the last row decided."""
        book, carriers = self.carriers.rules.rulebook, self.carriers
        of_mdc = np.flatnonzero(book.mdc[:-1] == self.searched_mdc)
        newborns = ONLY_INCIDENT in (book.formulas[row] for row in of_mdc)
        if self.decided == of_mdc[-1] and newborns and "incident" in carriers.pdx_names:
            yield from [place for place in in_order if "incident" not in carriers.sdx_names[place]][:1]

    def find_procedures(self, operands: Sequence[str]) -> Iterator[int]:
        """Yield the procedures that gave the true procedure operands."""
        wanted = [name for name in dict.fromkeys(operands) if ":" not in name and name not in CLAIM_WORDS - {"ORPROC"}]
        names, clusters = self.carriers.procedure_names, self.carriers.clusters
        groups: list[tuple[tuple[int, ...], frozenset[str]]]
        groups = [((place,), names[place]) for place in self._list_candidates(self.carriers.unrepeated)]
        # A cluster never takes ORPROC here, although the formulas of versions 40 let it carry that word.
        groups += [(cluster.places, cluster.names - {"ORPROC"}) for cluster in clusters]
        if wanted:
            complete = next((places for places, own in groups if own.issuperset(wanted)), None)
            if complete is not None:
                yield from complete
            else:
                for name in wanted:
                    yield from next((places for places, own in groups if name in own), ())
        for word in (name for name in operands if name in COUNTED_WORDS):
            yield from self._find_joined(word) if word in COUNTED_NAMES else self._find_vessels_and_stents(word)

    def _list_candidates(self, places: Iterable[int]) -> list[int]:
        """Return visible procedures, the first listed first, the others by code.

        If the first listed is a non-O.R. procedure, it is last.
        """
        non_or = "nonor" in self.carriers.procedure_names[0] if self.procedure_texts else False

        def rank(place: int) -> tuple[int, str]:
            return 1 if place else 2 if non_or else 0, self.procedure_texts[place]

        return sorted((place for place in places if not self.carriers.is_hidden(place, self.searched_mdc)), key=rank)

    def _find_joined(self, word: str) -> Iterator[int]:
        """Yield the procedures of joints or fusions that a counted word counts."""
        names = self.carriers.procedure_names
        candidates = self._list_candidates(range(len(names)))
        groups: list[tuple[int, ...]] = [(place,) for place in candidates if add_to_count(word, names[place])]
        clusters = (own for own in self.carriers.clusters if len(own.places) > 1)
        groups += [own.places for own in clusters if add_to_count(word, own.names)]
        for places in groups[: _MOST_MARKED.get(word, 2)]:
            yield from places

    def _find_vessels_and_stents(self, word: str) -> Iterator[int]:
        """Yield procedures up to four vessels or stents, then every arterial stent of one type."""
        total, names = 0, self.carriers.procedure_names
        for place in self._list_candidates(range(len(names))):
            added = add_to_count(word, names[place])
            if added and total < 4:
                total += added
                yield place
        for stent_type in ("NORdrugstent", "NORstent"):
            stents = [place for place, own in enumerate(names) if {"arterial", stent_type} <= own]
            if stents:
                yield from stents
                return
