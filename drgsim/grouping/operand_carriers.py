"""Which codes of one admission carry which operand.

The per-code reports ask it which codes gave an operand, and explanations which codes make one true.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from drgsim.grouping.code_attributes import Attributes
from drgsim.grouping.operand_bits import Observed
from drgsim.grouping.procedure_clusters import sum_numbered_names
from drgsim.tables.encoding import Encoded

COUNTED_NAMES: dict[str, frozenset[str]] = {
    "SINGLEFUSIONCTR": frozenset({"sglantfuse", "sglpostfuse"}),
    "SGLANTSECTXCTR": frozenset({"sglantsectXfuse"}),
    "SGLPOSTFUSECTR": frozenset({"sglpostfuse"}),
    "SGLANTCTR": frozenset({"sglantfuse"}),
    "SGLPOST1CTR": frozenset({"sglpostfuse1"}),
    "MULTFUSE": frozenset({"sglantfuse", "sglpostfuse1"}),
    "BILATERAL": frozenset({"righthip", "lefthip", "rightknee", "leftknee", "rightankle", "leftankle"}),
}
"""The names that a counted word counts; the words of vessels and stents count numbered names instead."""


def add_to_count(word: str, names: frozenset[str]) -> int:
    """Return what a procedure with these names adds to a counted word.

    >>> add_to_count("FOUR_VESSELS", frozenset({"vessel3"})), add_to_count("BILATERAL", frozenset({"lefthip"}))
    (3, 1)
    """
    if word in COUNTED_NAMES:
        return int(bool(names & COUNTED_NAMES[word]))
    return sum_numbered_names(names, "vessel" if word == "FOUR_VESSELS" else "stent")


@dataclass(frozen=True)
class PresentCluster:
    """A procedure cluster of an admission: number, operands, places of its procedures."""

    number: int
    names: frozenset[str]
    places: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class OperandCarriers:
    """The operands that each code of one admission carries; codes by their place in its lists.

    Args:
        encoded, observed, rules: grouped admissions and the version.
        row: the admission.
    """

    encoded: Encoded
    observed: Observed
    rules: Attributes
    row: int

    @cached_property
    def pdx_names(self) -> frozenset[str]:
        """The names of the principal diagnosis."""
        diagnoses = self.rules.diagnoses
        return diagnoses.scheme_names[int(diagnoses.scheme[self.encoded.pdx[self.row]])]

    @cached_property
    def sdx_names(self) -> list[frozenset[str]]:
        """The names of each secondary diagnosis."""
        diagnoses, (start, stop) = self.rules.diagnoses, self.encoded.sdx_start[[self.row, self.row + 1]]
        return [diagnoses.scheme_names[scheme] for scheme in diagnoses.scheme[self.encoded.sdx[start:stop]].tolist()]

    @cached_property
    def procedure_names(self) -> list[frozenset[str]]:
        """The operands of each procedure."""
        start, stop = self.encoded.procedure_start[[self.row, self.row + 1]]
        return [self.rules.procedures.names[own] for own in self.observed.operand_set[start:stop].tolist()]

    @cached_property
    def unrepeated(self) -> list[int]:
        """The places of procedures; of a repeated code the first alone."""
        start, stop = self.encoded.procedure_start[[self.row, self.row + 1]]
        first: dict[int, int] = {}
        for place, code in enumerate(self.encoded.procedures[start:stop].tolist()):
            first.setdefault(code, place)
        return list(first.values())

    @cached_property
    def clusters(self) -> list[PresentCluster]:
        """The procedure clusters present."""
        found, procedures = [], self.rules.procedures
        start = int(self.encoded.procedure_start[self.row])
        first, last = (np.searchsorted(self.observed.cluster_row, self.row, side) for side in ("left", "right"))
        for number in self.observed.cluster[first:last].tolist():
            codes = procedures.clusters.list_codes(number)
            places = tuple(place for place in self.unrepeated if int(self.encoded.procedures[start + place]) in codes)
            found.append(PresentCluster(number, procedures.names[procedures.clusters.operand_set[number]], places))
        return found

    def is_hidden(self, place: int, mdc: int) -> bool:
        """Return whether the search of an MDC does not see a procedure, but only its cluster."""
        hidden = self.observed.hidden_mdcs
        return hidden is not None and bool(int(hidden[self.encoded.procedure_start[self.row] + place]) >> mdc & 1)

    def find_sdx(self, *names: str) -> list[int]:
        """Return the secondary diagnoses that carry one of these names."""
        return [place for place, own in enumerate(self.sdx_names) if not own.isdisjoint(names)]

    def find_procedures(self, name: str) -> list[int]:
        """Return the procedures that carry an operand, hidden or not."""
        return [place for place, own in enumerate(self.procedure_names) if name in own]

    def find_counted(self, word: str) -> list[int]:
        """Return the procedures that a counted word counts."""
        return [place for place, own in enumerate(self.procedure_names) if add_to_count(word, own)]
