"""Which codes of one admission make an operand of a formula true, and what a formula that failed lacked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl

from drgsim.grouping.code_attributes import OR_OPERANDS, SEVERITIES
from drgsim.grouping.code_reports import COUNTED_MARKS, NOT_LOST, Steps, find_lost_severity
from drgsim.grouping.mdc_search import Decision, pack_severity_operands
from drgsim.grouping.operand_bits import visible_operands
from drgsim.grouping.procedure_clusters import sum_numbered_names
from drgsim.grouping.rulebook import PDX_WORDS, PRE_MDC, TRAUMA_REGIONS, PdxClass
from drgsim.tables.formula import Node, Not, Operand, Or, list_operands, parse_formula
from drgsim.tables.table_set import COUNTED_WORDS

_STATUS_WORDS = frozenset({"INVALID_DSTAT", "DIED", "ALIVE", "AMA", "XFRNBA"})
_VESSELS, _STENTS = "vessel", "stent"

OPERANDS = {"operand": pl.String(), "holds": pl.Boolean(), "because": pl.List(pl.String())}


@dataclass(frozen=True, eq=False)
class OperandSources:
    """One grouped admission in one pass, and the codes it was grouped by.

    `pdx`, `sdx`, `procedures` are the normalised codes as texts; the truth of an operand is the engine's
    own (`Rulebook.truth`), the codes behind it are found by the names they carry.
    """

    span: Steps
    decision: Decision
    pdx: str
    sdx: Sequence[str]
    procedures: Sequence[str]
    status: str
    lost_to_hac: frozenset[int]

    @cached_property
    def pdx_class(self) -> PdxClass:
        """What the formulas know of the principal diagnosis."""
        return self.span.rules.rulebook.classes[int(self.span.observed.pdx_class[0])]

    def truth(self, row: int) -> Callable[[str], bool]:
        """Return the truth of each operand as the formula of a row sees the admission."""
        span, book = self.span, self.span.rules.rulebook
        mdc = int(book.mdc[row])
        if mdc not in self._seen:
            self._seen[mdc] = int(visible_operands(span.observed, span.encoded, span.rules, book.mdc[row : row + 1])[0])
        words = [self._seen[mdc], self._level, int(span.observed.claim[0])]
        return book.truth(row, int(span.observed.pdx_class[0]), words)

    def operands(self, row: int) -> pl.DataFrame:
        """Return each operand of a row's formula, whether it holds, and what makes it so. See OPERANDS."""
        book = self.span.rules.rulebook
        holds = self.truth(row)
        names = list(dict.fromkeys(list_operands(parse_formula(book.formulas[row]))))
        told = [
            (
                name,
                holds(name),
                list(dict.fromkeys(self.carriers(name, row) if holds(name) else self.absent(name, row))),
            )
            for name in names
        ]
        return pl.DataFrame(told, schema=OPERANDS, orient="row")

    def carriers(self, operand: str, row: int) -> Iterator[str]:
        """Yield the codes that carry an operand, where a row's formula looks for it."""
        prefix, _, name = operand.rpartition(":")
        if name == "incident":
            yield from (self.pdx, *(code for code, valid in zip(self.sdx, self._valid, strict=True) if valid))
        elif prefix:
            if prefix in ("PDX", "ANY") and name in self.pdx_class.names:
                yield self.pdx
            if prefix in ("SDX", "ANY"):
                yield from (code for code, own in zip(self.sdx, self.sdx_names, strict=True) if name in own)
        elif name in SEVERITIES:
            yield from self._of_severity(name, row, counting=True)
        elif name in PDX_WORDS:
            yield self.pdx
        elif name in _STATUS_WORDS:
            yield self.status
        elif name == "MULTST":
            regions = {*TRAUMA_REGIONS}
            yield from [self.pdx] if self.pdx_class.names & regions else []
            yield from (code for code, own in zip(self.sdx, self.sdx_names, strict=True) if own & regions)
        elif name in COUNTED_WORDS:
            yield from self._counted(name)
        else:
            yield from self._with_operand(name, int(self.span.rules.rulebook.mdc[row]))

    def absent(self, operand: str, row: int) -> Iterator[str]:
        """Yield why an operand is false though the admission has codes for it."""
        book = self.span.rules.rulebook
        if operand in SEVERITIES:
            yield from (f"{code} does not count" for code in self._of_severity(operand, row, counting=False))
            if operand == "CC" and self.truth(row)("MCC"):
                yield "there is an MCC"
        elif ":" not in operand:
            mdc = int(book.mdc[row])
            for position, names in enumerate(self.procedure_names):
                if operand in names and self._hidden(position, mdc):
                    yield f"{self.procedures[position]} counts only through its cluster in MDC {mdc}"

    @cached_property
    def sdx_names(self) -> list[frozenset[str]]:
        """The names each secondary diagnosis carries."""
        diagnoses = self.span.rules.diagnoses
        return [diagnoses.scheme_names[int(scheme)] for scheme in diagnoses.scheme[self.span.encoded.sdx]]

    @cached_property
    def procedure_names(self) -> list[frozenset[str]]:
        """The operands each procedure carries."""
        names = self.span.rules.procedures.names
        return [_with_or(names[int(own)]) for own in self.span.observed.operand_set]

    @cached_property
    def clusters(self) -> list[tuple[str, frozenset[str], list[str]]]:
        """Each cluster present: its id, its operands, its component procedures."""
        procedures, found = self.span.rules.procedures, []
        table = self.span.rules.tables.clusters["cluster"]
        for cluster in self.span.observed.cluster.tolist():
            codes = procedures.clusters.codes_of(cluster)
            own = _with_or(procedures.names[int(procedures.clusters.operand_set[cluster])])
            numbers = self.span.encoded.procedures.tolist()
            parts = [code for code, number in zip(self.procedures, numbers, strict=True) if number in codes]
            found.append((str(table[cluster]), own, list(dict.fromkeys(parts))))
        return found

    @cached_property
    def _level(self) -> int:
        return int(pack_severity_operands(self.decision.severity_word, self.span.rules)[0])

    @cached_property
    def _seen(self) -> dict[int, int]:
        """Procedure operands by the MDC that sees them; filled as they are asked for."""
        return {}

    @cached_property
    def _valid(self) -> list[bool]:
        valid: list[bool] = self.span.rules.diagnoses.valid[self.span.encoded.sdx].tolist()
        return valid

    def _of_severity(self, name: str, row: int, *, counting: bool) -> Iterator[str]:
        """Yield the secondary codes of a severity that count (or do not) where a row's formula asks."""
        decided = Decision(np.array([row]), self.decision.mdc, self.decision.severity, self.decision.severity_word)
        level, lost = find_lost_severity(self.span, decided)
        for position, (listed, taken) in enumerate(zip(level.tolist(), lost.tolist(), strict=True)):
            counts = taken == NOT_LOST and position not in self.lost_to_hac
            if SEVERITIES[listed] == name and counts == counting:
                yield self.sdx[position]

    def _counted(self, word: str) -> Iterator[str]:
        """Yield the procedures and clusters that a counted word counts."""
        names = {*COUNTED_MARKS[word][0]} if word in COUNTED_MARKS else set()
        stem = "" if names else _VESSELS if word == "FOUR_VESSELS" else _STENTS
        for code, own in zip(self.procedures, self.procedure_names, strict=True):
            if own & names or (stem and sum_numbered_names(own, stem)):
                yield code
        if word == "BILATERAL":
            yield from (_cluster(cluster, parts) for cluster, own, parts in self.clusters if own & names)

    def _with_operand(self, name: str, mdc: int) -> Iterator[str]:
        """Yield the procedures, and the clusters, whose operand the search of an MDC sees."""
        for position, own in enumerate(self.procedure_names):
            if name in own and not self._hidden(position, mdc):
                yield self.procedures[position]
        yield from (_cluster(cluster, parts) for cluster, own, parts in self.clusters if name in own)

    def _hidden(self, position: int, mdc: int) -> bool:
        hidden = self.span.observed.hidden
        return hidden is not None and mdc != PRE_MDC and bool(int(hidden[position]) >> mdc & 1)


def find_lacking_operands(formula: str, holds: Callable[[str], bool]) -> tuple[str, ...]:
    """Return the fewest operands whose other truth would make a formula true, `~` before one that must not hold.

    Of several ways that are as near, the first in reading order.

    >>> find_lacking_operands("MCC & (a | b) & ~c", {"a", "c"}.__contains__)
    ('MCC', '~c')
    >>> find_lacking_operands("(MCC & a) | b", {"a", "MCC"}.__contains__)
    ()
    """
    return _fewest(parse_formula(formula), holds, wanted=True)


def _fewest(node: Node, holds: Callable[[str], bool], *, wanted: bool) -> tuple[str, ...]:
    if isinstance(node, Operand):
        return () if holds(node.name) == wanted else (node.name if wanted else f"~{node.name}",)
    if isinstance(node, Not):
        return _fewest(node.part, holds, wanted=not wanted)
    parts = [_fewest(part, holds, wanted=wanted) for part in node.parts]
    if isinstance(node, Or) == wanted:
        return min(parts, key=len)
    return tuple(dict.fromkeys(name for part in parts for name in part))


def _cluster(cluster: str, parts: Sequence[str]) -> str:
    return f"{cluster} ({' + '.join(parts)})"


def _with_or(names: frozenset[str]) -> frozenset[str]:
    """An operand set with the word that stands for an O.R. procedure of any kind."""
    return names | {"ORPROC"} if names & OR_OPERANDS else names
