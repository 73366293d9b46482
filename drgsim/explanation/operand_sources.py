"""Which codes of an admission make an operand true, and what a false formula lacks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl

from drgsim.grouping.bit_layout import PDX_WORDS, TRAUMA_REGIONS
from drgsim.grouping.code_attributes import SEVERITIES
from drgsim.grouping.grouping_steps import NOT_LOST, Steps, find_lost_severity
from drgsim.grouping.mdc_search import Decision, pack_severity_operands
from drgsim.grouping.operand_bits import find_visible_operands
from drgsim.grouping.operand_carriers import OperandCarriers, PresentCluster, add_to_count
from drgsim.tables.formula import Node, Not, Operand, Or, list_operands, parse_formula
from drgsim.tables.table_set import COUNTED_WORDS

_STATUS_WORDS = frozenset({"INVALID_DSTAT", "DIED", "ALIVE", "AMA", "XFRNBA"})

OPERANDS = {"operand": pl.String(), "holds": pl.Boolean(), "because": pl.List(pl.String())}


@dataclass(frozen=True, eq=False)
class OperandSources:
    """The codes behind each operand, as one grouping pass of one admission sees them.

    Whether an operand is true is the engine's own answer (`Rulebook.make_truth`); the codes behind it are
    those that carry it (`OperandCarriers`).

    Args:
        grouping: the grouped admission.
        decision: the pass.
        pdx, sdx, procedures: its codes as normalised texts.
        status: its discharge status in words.
        lost_to_hac: the secondary codes, by place, that lose their severity as hospital-acquired conditions.
    """

    grouping: Steps
    decision: Decision
    pdx: str
    sdx: Sequence[str]
    procedures: Sequence[str]
    status: str
    lost_to_hac: frozenset[int]

    @cached_property
    def carriers(self) -> OperandCarriers:
        """The operands that each code carries."""
        return OperandCarriers(self.grouping.encoded, self.grouping.observed, self.grouping.rules, row=0)

    def make_truth(self, row: int) -> Callable[[str], bool]:
        """Return a function that says of each operand whether it is true in a row's formula."""
        observed, rules = self.grouping.observed, self.grouping.rules
        mdc = int(rules.rulebook.mdc[row])
        if mdc not in self._visible:
            searched = rules.rulebook.mdc[row : row + 1]
            self._visible[mdc] = int(find_visible_operands(observed, self.grouping.encoded, rules, searched)[0])
        words = [self._visible[mdc], self._severity_operands, int(observed.claim_bits[0])]
        return rules.rulebook.make_truth(row, int(observed.pdx_class[0]), words)

    def list_operands(self, row: int) -> pl.DataFrame:
        """Return each operand of a row's formula, whether it is true, and why. See OPERANDS."""
        holds = self.make_truth(row)
        names = list(dict.fromkeys(list_operands(parse_formula(self.grouping.rules.rulebook.formulas[row]))))
        because = [self.find_codes(name, row) if holds(name) else self.find_obstacles(name, row) for name in names]
        rows = [(name, holds(name), list(dict.fromkeys(own))) for name, own in zip(names, because, strict=True)]
        return pl.DataFrame(rows, schema=OPERANDS, orient="row")

    def find_codes(self, operand: str, row: int) -> Iterator[str]:
        """Yield the codes that carry an operand, where a row's formula looks for it."""
        prefix, _, name = operand.rpartition(":")
        if name == "incident":
            valid = self.grouping.rules.diagnoses.valid[self.grouping.encoded.sdx].tolist()
            yield from (self.pdx, *(code for code, is_valid in zip(self.sdx, valid, strict=True) if is_valid))
        elif prefix:
            yield from self._find_diagnoses(name, in_pdx=prefix in ("PDX", "ANY"), in_sdx=prefix in ("SDX", "ANY"))
        elif name in SEVERITIES:
            yield from self._find_severity(name, row, counting=True)
        elif name in PDX_WORDS:
            yield self.pdx
        elif name in _STATUS_WORDS:
            yield self.status
        elif name == "MULTST":
            yield from self._find_diagnoses(*TRAUMA_REGIONS, in_pdx=True, in_sdx=True)
        elif name in COUNTED_WORDS:
            yield from (self.procedures[place] for place in self.carriers.find_counted(name))
            if name == "BILATERAL":
                yield from self._write_clusters(own for own in self.carriers.clusters if add_to_count(name, own.names))
        else:
            mdc = int(self.grouping.rules.rulebook.mdc[row])
            for place in self.carriers.find_procedures(name):
                if not self.carriers.is_hidden(place, mdc):
                    yield self.procedures[place]
            yield from self._write_clusters(own for own in self.carriers.clusters if name in own.names)

    def find_obstacles(self, operand: str, row: int) -> Iterator[str]:
        """Yield why an operand is false although the admission has codes that carry it."""
        if operand in SEVERITIES:
            yield from (f"{code} does not count" for code in self._find_severity(operand, row, counting=False))
            if operand == "CC" and self.make_truth(row)("MCC"):
                yield "there is an MCC"
        elif ":" not in operand:
            mdc = int(self.grouping.rules.rulebook.mdc[row])
            for place in self.carriers.find_procedures(operand):
                if self.carriers.is_hidden(place, mdc):
                    yield f"{self.procedures[place]} counts only through its cluster in MDC {mdc}"

    def list_clusters(self) -> list[tuple[str, frozenset[str], list[str]]]:
        """Return each cluster present: its id, its operands, its procedures."""
        ids = self.grouping.rules.tables.clusters["cluster"]
        return [
            (str(ids[own.number]), own.names, [self.procedures[place] for place in own.places])
            for own in self.carriers.clusters
        ]

    @cached_property
    def _severity_operands(self) -> int:
        return int(pack_severity_operands(self.decision.severity_bits, self.grouping.rules)[0])

    @cached_property
    def _visible(self) -> dict[int, int]:
        """Procedure operands by the MDC whose search sees them; filled on demand."""
        return {}

    def _find_diagnoses(self, *names: str, in_pdx: bool, in_sdx: bool) -> Iterator[str]:
        """Yield the diagnoses that carry one of these names."""
        if in_pdx and not self.carriers.pdx_names.isdisjoint(names):
            yield self.pdx
        if in_sdx:
            yield from (self.sdx[place] for place in self.carriers.find_sdx(*names))

    def _find_severity(self, name: str, row: int, *, counting: bool) -> Iterator[str]:
        """Yield the secondary codes of a severity that count, or do not count, in a row's formula."""
        decided = Decision(np.array([row]), self.decision.mdc, self.decision.severity, self.decision.severity_bits)
        level, lost = find_lost_severity(self.grouping, decided)
        for place, (listed, taken) in enumerate(zip(level.tolist(), lost.tolist(), strict=True)):
            counts = taken == NOT_LOST and place not in self.lost_to_hac
            if SEVERITIES[listed] == name and counts == counting:
                yield self.sdx[place]

    def _write_clusters(self, clusters: Iterable[PresentCluster]) -> Iterator[str]:
        ids = self.grouping.rules.tables.clusters["cluster"]
        for own in clusters:
            yield f"{ids[own.number]} ({' + '.join(self.procedures[place] for place in own.places)})"


def find_lacking_operands(formula: str, holds: Callable[[str], bool]) -> tuple[str, ...]:
    """Return the fewest operands that would have to change for a formula to be true.

    An operand that must become false has `~` before it. Of several ways with equally few, the first counts.

    >>> find_lacking_operands("MCC & (a | b) & ~c", {"a", "c"}.__contains__)
    ('MCC', '~c')
    >>> find_lacking_operands("(MCC & a) | b", {"a", "MCC"}.__contains__)
    ()
    """
    return _find_fewest(parse_formula(formula), holds, wanted=True)


def _find_fewest(node: Node, holds: Callable[[str], bool], *, wanted: bool) -> tuple[str, ...]:
    if isinstance(node, Operand):
        return () if holds(node.name) == wanted else (node.name if wanted else f"~{node.name}",)
    if isinstance(node, Not):
        return _find_fewest(node.part, holds, wanted=not wanted)
    parts = [_find_fewest(part, holds, wanted=wanted) for part in node.parts]
    if isinstance(node, Or) == wanted:
        return min(parts, key=len)
    return tuple(dict.fromkeys(name for part in parts for name in part))
