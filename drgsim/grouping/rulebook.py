"""The DRG formulas of one version as bit masks, and the search through them.

What the formulas can see of an admission is a few 64-bit words:

    claim      names carried by secondary codes, words about the claim, pre-MDC procedure operands
    severity   which kinds of CC and MCC it has, by the conditions that suppress them
    view       procedure operands, in the layout of the MDC being searched

The principal diagnosis is constant within a `PdxClass`, so its operands are resolved when the rulebook is
built: each class has, for every MDC that can be searched, its own list of alternatives (masks and wanted
values) in search order. The first alternative that holds decides (Definitions Manual, pre-MDC and MDCs).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from drgsim.exceptions import TableError
from drgsim.numerics.arrays import Int64Array, UInt64Array
from drgsim.numerics.segments import expand_stretches, find_run_starts
from drgsim.schema import DrgType, ReturnCode
from drgsim.tables.formula import expand_alternatives, list_operands, parse_formula, trace_formula
from drgsim.tables.table_set import CLAIM_WORDS, COUNTED_WORDS, TableSet

PRE_MDC = 0
ONLY_INCIDENT = "ONLY:incident"
TRAUMA_REGIONS = ("sthead", "stchest", "stabdom", "stkidney", "sturin", "stpel", "stuplimb", "stlolimb")
PDX_WORDS = frozenset({"INVALID_PDX", "PDX_ECODE", "INVALID_SEX", "ANYDX", "MDC_20_FALL_THRU"})
_SEVERITY_WORDS = frozenset({"MCC", "CC"})
_PROCEDURE_WORDS = frozenset({*COUNTED_WORDS, "ORPROC"})
_CLAIM_BITS = CLAIM_WORDS - PDX_WORDS - _SEVERITY_WORDS - _PROCEDURE_WORDS
VIEW, SEVERITY, CLAIM = range(3)
NO_ROW = -1
_VIEW_VALUE, _CLAIM_VALUE, _ROW = 3, 5, 6
_PROCEDURE = "procedure "

Term = tuple[int, ...]
_KEYS = 64
_NO_PROCEDURE = np.uint64(1 << 63)  # the key of alternatives that need no procedure
_CHUNK = 1 << 14


@dataclass(frozen=True)
class PdxClass:
    """What the formulas can know of a principal diagnosis: its MDC, its names, and whether it is in order."""

    mdc: int
    names: frozenset[str]
    valid: bool = True
    sex_unknown: bool = False

    def word(self, name: str) -> bool:
        """Return the truth of a claim word that depends on the principal diagnosis alone."""
        return {
            "ANYDX": True,
            "INVALID_PDX": not self.valid,
            "PDX_ECODE": "ecode" in self.names,
            "INVALID_SEX": self.sex_unknown,
            "MDC_20_FALL_THRU": self.mdc == int(["MDC", "20", "FALL", "THRU"][1]),
        }[name]


@dataclass(frozen=True)
class BitLayout:
    """Which bit of which word stands for which operand."""

    claim: dict[str, int]
    views: dict[int, dict[str, int]]
    suppressions: tuple[frozenset[str], ...]

    @classmethod
    def of(cls, tables: TableSet) -> BitLayout:
        """Lay out the operands the formulas of `tables` use."""
        claim: dict[str, None] = dict.fromkeys([*TRAUMA_REGIONS, ONLY_INCIDENT])
        views: dict[int, dict[str, None]] = {}
        for mdc, text in tables.formulas.select("mdc", "formula").iter_rows():
            view = claim if mdc == PRE_MDC else views.setdefault(mdc, {})
            for operand in list_operands(parse_formula(text)):
                prefix, _, name = operand.rpartition(":")
                if (prefix in ("SDX", "ANY") and name != "incident") or (not prefix and name in _CLAIM_BITS):
                    claim[name] = None
                elif not prefix and name not in PDX_WORDS | _SEVERITY_WORDS:
                    view[_procedure(name)] = None
        texts = tables.formulas["severity_suppression"].fill_null("").unique(maintain_order=True)
        if len(texts) > 32:
            raise TableError(f"the formulas suppress severity in {len(texts)} ways; the engine has room for 32.")
        return cls(
            claim=_bits("the claim", claim),
            views={mdc: _bits(f"MDC {mdc}", names, room=63) for mdc, names in views.items()},
            suppressions=tuple(frozenset(text.split()) for text in texts),
        )

    @staticmethod
    def names_of(bits: dict[str, int]) -> dict[int, tuple[bool, str]]:
        """Return, for each bit of a word, whether it is a procedure operand, and its name."""
        return {bit: (name.startswith(_PROCEDURE), name.removeprefix(_PROCEDURE)) for name, bit in bits.items()}

    def claim_word(self, names: Iterable[str]) -> int:
        """Return the claim word with the bits of those names that have one."""
        return sum(1 << self.claim[name] for name in set(names) if name in self.claim)

    def view_word(self, mdc: int, names: Iterable[str]) -> int:
        """Return the view word of an MDC with the bits of those procedure operands it can see."""
        if mdc == PRE_MDC:
            return self.claim_word(map(_procedure, names))
        view = self.views.get(mdc, {})
        return sum(1 << view[_procedure(name)] for name in set(names) if _procedure(name) in view)

    def place(self, operand: str, mdc: int, suppression: int, pdx: PdxClass) -> tuple[int | None, int]:
        """Return (word, bit) of an operand in a row of `mdc`, or (None, truth) where the PDX settles it."""
        prefix, _, name = operand.rpartition(":")
        if name == "incident":  # whatever its prefix, it means that all codes of the claim are incident
            return (CLAIM, self.claim[ONLY_INCIDENT]) if "incident" in pdx.names else (None, 0)
        if prefix in ("PDX", "ANY") and name in pdx.names:
            return None, 1
        if prefix:
            return (None, 0) if prefix == "PDX" else (CLAIM, self.claim[name])
        if name in PDX_WORDS:
            return None, int(pdx.word(name))
        if name in _SEVERITY_WORDS:
            return SEVERITY, 2 * suppression + (name == "CC")
        if name in _CLAIM_BITS:
            return CLAIM, self.claim[name]
        if mdc == PRE_MDC:
            return CLAIM, self.claim[_procedure(name)]
        return VIEW, self.views[mdc][_procedure(name)]


def _procedure(name: str) -> str:
    """Keep procedure operands apart from diagnosis names of the same spelling."""
    return _PROCEDURE + name


def _bits(what: str, names: Iterable[str], room: int = 64) -> dict[str, int]:
    bits = {name: bit for bit, name in enumerate(names)}
    if len(bits) > room:
        raise TableError(f"the formulas use {len(bits)} operands of {what}; the engine has room for {room}.")
    return bits


@dataclass(frozen=True, eq=False)
class Rulebook:
    """The formula rows, their alternatives as masks, and for each class of PDX the lists to search.

    The last row stands for an admission on which no row is true: it is ungroupable.
    """

    layout: BitLayout
    classes: tuple[PdxClass, ...]
    mdc: NDArray[np.uint8] = field(repr=False)
    drg: NDArray[np.uint16] = field(repr=False)
    base_drg: NDArray[np.uint16] = field(repr=False)
    drg_type: NDArray[np.uint8] = field(repr=False)
    reroute_mdc: NDArray[np.uint8] = field(repr=False)
    return_code: NDArray[np.uint8] = field(repr=False)
    suppression: NDArray[np.int64] = field(repr=False)
    formulas: tuple[str, ...] = field(repr=False)
    class_mdc: NDArray[np.uint8] = field(repr=False)
    class_trauma: UInt64Array = field(repr=False)
    class_incident: NDArray[np.bool_] = field(repr=False)
    list_of: Int64Array = field(repr=False)
    shelf_start: Int64Array = field(repr=False)
    shelf_length: Int64Array = field(repr=False)
    list_claim: UInt64Array = field(repr=False)
    list_suppressions: tuple[frozenset[str], ...] = field(repr=False)
    pre_mdc_trigger: UInt64Array = field(repr=False)
    pre_mdc_always: NDArray[np.bool_] = field(repr=False)
    masks: UInt64Array = field(repr=False)
    values: UInt64Array = field(repr=False)
    alternative_row: Int64Array = field(repr=False)
    ungroupable: int
    trauma_mask: int

    @classmethod
    def of(cls, tables: TableSet, classes: Sequence[PdxClass], carriers: Mapping[str, int]) -> Rulebook:
        """Resolve the formulas of `tables` for every class of principal diagnosis.

        Args:
            tables: the version.
            classes: the principal diagnoses, as far as formulas can tell them apart.
            carriers: how many codes carry each name; an alternative is tried where its rarest name occurs.

        Raises:
            TableError: the formulas use more operands than the words have bits.
        """
        layout = BitLayout.of(tables)
        rows = tables.formulas.sort("mdc", "order")
        suppressions = [frozenset(text.split()) for text in rows["severity_suppression"].fill_null("")]
        by_mdc: dict[int, list[int]] = {}
        for index, mdc in enumerate(rows["mdc"]):
            by_mdc.setdefault(mdc, []).append(index)
        builder = _Builder(
            layout,
            rows["formula"].to_list(),
            [layout.suppressions.index(names) for names in suppressions],
            by_mdc,
        )
        searched = (PRE_MDC, *sorted(set(rows["reroute_mdc"]) - {0}))
        list_of = np.zeros((len(classes), 256), np.int64)
        for number, pdx in enumerate(classes):
            for mdc in (*searched, pdx.mdc):
                list_of[number, mdc] = builder.listed(mdc, pdx)
        of_pre_mdc = list_of[:, PRE_MDC].tolist()
        by_list = {number: builder.triggers(number, carriers) for number in set(of_pre_mdc)}
        triggers = [by_list[number] for number in of_pre_mdc]
        types, codes = list(DrgType.categories), list(ReturnCode.categories)
        shelves = [shelf for found in builder.lists for shelf in builder.shelves(found, carriers)]
        lengths = np.array([len(shelf) for shelf in shelves], np.int64)
        terms = [term for shelf in shelves for term in shelf]
        return cls(
            layout=layout,
            classes=tuple(classes),
            mdc=np.append(rows["mdc"], 0).astype(np.uint8),
            drg=np.append(rows["drg"], 0).astype(np.uint16),
            base_drg=np.append(rows["base_drg"], 0).astype(np.uint16),
            drg_type=np.array([types.index(text) for text in [*rows["type"], "NONE"]], np.uint8),
            reroute_mdc=np.append(rows["reroute_mdc"], 0).astype(np.uint8),
            return_code=np.array(
                [codes.index(text or "OK") for text in [*rows["return_code"], "NO_DRG_FOUND"]], np.uint8
            ),
            suppression=np.array([*builder.suppression, 0], np.int64),
            formulas=tuple(rows["formula"]),
            class_mdc=np.array([pdx.mdc for pdx in classes], np.uint8),
            class_trauma=np.array([layout.claim_word(pdx.names & {*TRAUMA_REGIONS}) for pdx in classes], np.uint64),
            class_incident=np.array(["incident" in pdx.names for pdx in classes]),
            list_of=list_of,
            shelf_start=np.cumsum(lengths) - lengths,
            shelf_length=lengths,
            list_claim=np.array([builder.claim_mask(found) for found in builder.lists], np.uint64),
            list_suppressions=tuple(builder.suppressed_in(found) for found in builder.lists),
            pre_mdc_trigger=np.array([mask for mask, _ in triggers], np.uint64),
            pre_mdc_always=np.array([always for _, always in triggers]),
            masks=np.array([term[0:3] for term in terms], np.uint64).T.copy(),
            values=np.array([term[3:6] for term in terms], np.uint64).T.copy(),
            alternative_row=np.array([term[6] for term in terms], np.int64),
            ungroupable=max(tables.drg_titles["drg"].to_list()),
            trauma_mask=layout.claim_word(TRAUMA_REGIONS),
        )

    def truth(self, row: int, pdx_class: int, words: Sequence[int]) -> Callable[[str], bool]:
        """Return the truth of each operand, as the formula of a row sees one admission.

        Args:
            row: the formula row.
            pdx_class: the class of the principal diagnosis.
            words: view, severity and claim word of the admission, as `decide` takes them.
        """
        pdx, mdc, suppression = self.classes[pdx_class], int(self.mdc[row]), int(self.suppression[row])

        def holds(operand: str) -> bool:
            word, bit = self.layout.place(operand, mdc, suppression, pdx)
            return bool(bit) if word is None else bool(words[word] >> bit & 1)

        return holds

    def collected(self, row: int, pdx_class: int, words: Sequence[int]) -> tuple[str, ...]:
        """Return the operands found true while a deciding row was evaluated, left to right; arguments as `truth`."""
        return trace_formula(parse_formula(self.formulas[row]), self.truth(row, pdx_class, words))[1]

    def decide(self, lists: Int64Array, claim: UInt64Array, severity: UInt64Array, view: UInt64Array) -> Int64Array:
        """Return the first formula row that is true for each admission, (n,), or -1.

        Args:
            lists: (n,) which list to search, `list_of[pdx_class, mdc]`.
            claim: (n,) claim words.
            severity: (n,) MCC and CC by suppression list, two bits a list.
            view: (n,) procedure operands as that MDC sees them.
        """
        decided = np.full(len(lists), NO_ROW)
        for start in range(0, len(lists), _CHUNK):
            part = slice(start, start + _CHUNK)
            keys = np.unpackbits((view[part] | _NO_PROCEDURE).view(np.uint8), bitorder="little")
            at = np.flatnonzero(keys.view(np.bool_))
            admission = at >> 6
            shelf = (lists[part][admission] << 6) + (at & 63)
            term, which = expand_stretches(self.shelf_start[shelf], self.shelf_length[shelf])
            admission = admission[which] + start
            for word, mask, value in zip((view, severity, claim), self.masks, self.values, strict=True):
                holds = np.flatnonzero((word[admission] & mask[term]) == value[term])
                admission, term = admission[holds], term[holds]
            if len(admission):
                first = find_run_starts(admission)
                decided[admission[first]] = np.minimum.reduceat(self.alternative_row[term], first)
        return decided


@dataclass
class _Builder:
    """Collects the distinct lists of alternatives while the rulebook is built."""

    layout: BitLayout
    formulas: list[str]
    suppression: list[int]
    by_mdc: dict[int, list[int]]
    lists: list[tuple[Term, ...]] = field(default_factory=list)
    _known: dict[object, int] = field(default_factory=dict)
    _partial: dict[object, tuple[Term, ...]] = field(default_factory=dict)
    _pdx_names: dict[int, frozenset[str]] = field(default_factory=dict)

    def listed(self, mdc: int, pdx: PdxClass) -> int:
        """Return the number of the list of alternatives that a class of PDX meets in an MDC, in order."""
        terms = self._in_mdc(mdc, pdx)
        key = (mdc, terms)
        if key not in self._known:
            self._known[key] = len(self.lists)
            self.lists.append(terms)
        return self._known[key]

    def claim_mask(self, terms: tuple[Term, ...]) -> int:
        """Return every claim bit a list looks at, with what these are derived from."""
        mask = 0
        for term in terms:
            mask |= term[CLAIM]
        return mask

    def suppressed_in(self, terms: tuple[Term, ...]) -> frozenset[str]:
        """Return every name that suppresses severity on some row of a list."""
        return frozenset().union(*(self.layout.suppressions[self.suppression[term[_ROW]]] for term in terms))

    def shelves(self, terms: tuple[Term, ...], carriers: Mapping[str, int]) -> list[list[Term]]:
        """Sort the alternatives of a list by the rarest procedure operand each needs; the last need none."""
        names = self.layout.names_of(self._view_of(terms))
        shelves: list[list[Term]] = [[] for _ in range(_KEYS)]
        for term in terms:
            needed = [bit for bit in names if term[_VIEW_VALUE] >> bit & 1]
            shelves[min(needed, key=lambda bit: carriers.get(names[bit][1], 0)) if needed else -1].append(term)
        return shelves

    def _view_of(self, terms: tuple[Term, ...]) -> dict[str, int]:
        """Return the layout of procedure operands in the MDC a list belongs to."""
        of = (mdc for term in terms[:1] for mdc, rows in self.by_mdc.items() if term[_ROW] in rows)
        return self.layout.views.get(next(of, PRE_MDC), {})

    def triggers(self, number: int, carriers: Mapping[str, int]) -> tuple[int, bool]:
        """Return claim bits without which no alternative of a list holds, and whether one may hold without any."""
        names = self.layout.names_of(self.layout.claim)
        mask, always = 0, False
        for term in self.lists[number]:
            needed = [bit for bit in names if term[_CLAIM_VALUE] >> bit & 1]
            always |= not needed
            if needed:  # claims have fewer procedures than diagnoses
                mask |= 1 << min(needed, key=lambda bit: (not names[bit][0], carriers.get(names[bit][1], 0)))
        return mask, always

    def _in_mdc(self, mdc: int, pdx: PdxClass) -> tuple[Term, ...]:
        rows = self.by_mdc.get(mdc, [])
        if mdc not in self._pdx_names:
            used = {name for row in rows for name in list_operands(parse_formula(self.formulas[row]))}
            self._pdx_names[mdc] = frozenset(name.rpartition(":")[2] for name in used if ":" in name)
        words = tuple(pdx.word(name) for name in sorted(PDX_WORDS))
        key = (mdc, pdx.names & self._pdx_names[mdc], words)
        if key not in self._partial:
            terms = (self._masks(alternative, mdc, row, pdx) for row in rows for alternative in self._ways(row))
            self._partial[key] = tuple(term for term in terms if term)
        return self._partial[key]

    def _ways(self, row: int) -> tuple[frozenset[tuple[str, bool]], ...]:
        return expand_alternatives(parse_formula(self.formulas[row]))

    def _masks(self, alternative: frozenset[tuple[str, bool]], mdc: int, row: int, pdx: PdxClass) -> Term | None:
        """Return (view, severity, claim masks, their wanted values, row); None where the PDX rules it out."""
        mask, value = [0, 0, 0], [0, 0, 0]
        for operand, wanted in alternative:
            word, bit = self.layout.place(operand, mdc, self.suppression[row], pdx)
            if word is None:
                if bool(bit) != wanted:
                    return None
                continue
            mask[word] |= 1 << bit
            value[word] |= int(wanted) << bit
        return (*mask, *value, row)
