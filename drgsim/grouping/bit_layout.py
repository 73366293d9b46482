"""Which bit stands for which operand, and what the formulas know of a principal diagnosis.

The formulas see an admission as three 64-bit words:

    claim      names that secondary codes carry, words about the claim, procedure operands of the pre-MDC
    severity   MCC and CC, two bits for each list of names that suppress severity
    mdc        procedure operands of the MDC that is searched; each MDC has its own layout
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from drgsim.exceptions import TableError
from drgsim.tables.formula import list_operands, parse_formula
from drgsim.tables.table_set import CLAIM_WORDS, COUNTED_WORDS, TableSet

PRE_MDC = 0
ONLY_INCIDENT = "ONLY:incident"
TRAUMA_REGIONS = ("sthead", "stchest", "stabdom", "stkidney", "sturin", "stpel", "stuplimb", "stlolimb")
PDX_WORDS = frozenset({"INVALID_PDX", "PDX_ECODE", "INVALID_SEX", "ANYDX", "MDC_20_FALL_THRU"})
_SEVERITY_WORDS = frozenset({"MCC", "CC"})
_PROCEDURE_WORDS = frozenset({*COUNTED_WORDS, "ORPROC"})
_CLAIM_BITS = CLAIM_WORDS - PDX_WORDS - _SEVERITY_WORDS - _PROCEDURE_WORDS
_PROCEDURE = "procedure "
MDC_WORD, SEVERITY_WORD, CLAIM_WORD = range(3)
_MOST_SUPPRESSIONS = 32


@dataclass(frozen=True)
class PdxClass:
    """What the formulas can know of a principal diagnosis: its MDC, its names and its validity."""

    mdc: int
    names: frozenset[str]
    valid: bool = True
    sex_unknown: bool = False

    def has_word(self, name: str) -> bool:
        """Return whether a word that depends on the principal diagnosis alone is true."""
        return {
            "ANYDX": True,
            "INVALID_PDX": not self.valid,
            "PDX_ECODE": "ecode" in self.names,
            "INVALID_SEX": self.sex_unknown,
            "MDC_20_FALL_THRU": self.mdc == int(["MDC", "20", "FALL", "THRU"][1]),
        }[name]


@dataclass(frozen=True)
class BitLayout:
    """The bits of the claim word and of each MDC's word, and the lists that suppress severity."""

    claim: dict[str, int]
    mdcs: dict[int, dict[str, int]]
    suppressions: tuple[frozenset[str], ...]

    @classmethod
    def of(cls, tables: TableSet) -> BitLayout:
        """Lay out the operands that the formulas of `tables` use.

        Raises:
            TableError: the formulas use more operands than the words have bits.
        """
        claim: dict[str, None] = dict.fromkeys([*TRAUMA_REGIONS, ONLY_INCIDENT])
        mdcs: dict[int, dict[str, None]] = {}
        for mdc, text in tables.formulas.select("mdc", "formula").iter_rows():
            own = claim if mdc == PRE_MDC else mdcs.setdefault(mdc, {})
            for operand in list_operands(parse_formula(text)):
                prefix, _, name = operand.rpartition(":")
                if (prefix in ("SDX", "ANY") and name != "incident") or (not prefix and name in _CLAIM_BITS):
                    claim[name] = None
                elif not prefix and name not in PDX_WORDS | _SEVERITY_WORDS:
                    own[_PROCEDURE + name] = None
        texts = tables.formulas["severity_suppression"].fill_null("").unique(maintain_order=True)
        if len(texts) > _MOST_SUPPRESSIONS:
            raise TableError(
                f"the formulas suppress severity in {len(texts)} ways; the engine has room for {_MOST_SUPPRESSIONS}."
            )
        return cls(
            claim=_number_bits("the claim", claim),
            mdcs={mdc: _number_bits(f"MDC {mdc}", names, room=63) for mdc, names in mdcs.items()},
            suppressions=tuple(frozenset(text.split()) for text in texts),
        )

    @staticmethod
    def list_bits(bits: dict[str, int]) -> dict[int, tuple[bool, str]]:
        """Return, for each bit of a word, whether it is a procedure operand, and its name."""
        return {bit: (name.startswith(_PROCEDURE), name.removeprefix(_PROCEDURE)) for name, bit in bits.items()}

    def pack_claim(self, names: Iterable[str]) -> int:
        """Return the claim word with the bits of those names that have one."""
        return sum(1 << self.claim[name] for name in set(names) if name in self.claim)

    def pack_procedure(self, mdc: int, names: Iterable[str]) -> int:
        """Return the word of an MDC with the bits of those procedure operands that have one there.

        The procedure operands of the pre-MDC have their bits in the claim word.
        """
        bits = self.claim if mdc == PRE_MDC else self.mdcs.get(mdc, {})
        return sum(1 << bits[_PROCEDURE + name] for name in set(names) if _PROCEDURE + name in bits)

    def locate(self, operand: str, mdc: int, suppression: int, pdx: PdxClass) -> tuple[int | None, int]:
        """Return (word, bit) of an operand in a row of `mdc`; (None, truth) if the PDX decides it."""
        prefix, _, name = operand.rpartition(":")
        if name == "incident":  # whatever its prefix, it means that all codes of the claim are incident
            return (CLAIM_WORD, self.claim[ONLY_INCIDENT]) if "incident" in pdx.names else (None, 0)
        if prefix in ("PDX", "ANY") and name in pdx.names:
            return None, 1
        if prefix:
            return (None, 0) if prefix == "PDX" else (CLAIM_WORD, self.claim[name])
        if name in PDX_WORDS:
            return None, int(pdx.has_word(name))
        if name in _SEVERITY_WORDS:
            return SEVERITY_WORD, 2 * suppression + (name == "CC")
        if name in _CLAIM_BITS:
            return CLAIM_WORD, self.claim[name]
        # A diagnosis and a procedure operand may be spelled alike, so the latter have a prefix here.
        if mdc == PRE_MDC:
            return CLAIM_WORD, self.claim[_PROCEDURE + name]
        return MDC_WORD, self.mdcs[mdc][_PROCEDURE + name]


def _number_bits(what: str, names: Iterable[str], room: int = 64) -> dict[str, int]:
    bits = {name: bit for bit, name in enumerate(names)}
    if len(bits) > room:
        raise TableError(f"the formulas use {len(bits)} operands of {what}; the engine has room for {room}.")
    return bits
