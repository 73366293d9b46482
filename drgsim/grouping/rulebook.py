"""The DRG formulas of one version as bit masks, and the search through them.

A formula is a list of alternatives, and an alternative a mask and a wanted value for each word of
`bit_layout`. The principal diagnosis is the same for all admissions of a `PdxClass`, so its operands are
resolved when the rulebook is built: each class has, for every MDC that can be searched, its own list of
alternatives in search order. The first alternative that holds decides (Definitions Manual, pre-MDC and MDCs).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from itertools import pairwise
from operator import or_
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from drgsim.grouping.bit_layout import CLAIM_WORD, MDC_WORD, PDX_WORDS, PRE_MDC, TRAUMA_REGIONS, BitLayout, PdxClass
from drgsim.numerics.arrays import BoolArray, Int64Array, UInt64Array
from drgsim.numerics.segments import expand_stretches, find_run_starts
from drgsim.schema import DrgType, ReturnCode
from drgsim.tables.formula import expand_alternatives, list_operands, parse_formula, trace_formula
from drgsim.tables.table_set import TableSet

NO_ROW = -1
_KEYS = 64
_NO_PROCEDURE = np.uint64(1 << 63)  # the key of alternatives that need no procedure
_CHUNK = 1 << 14


class Alternative(NamedTuple):
    """One way in which a formula row is true: masks and wanted values of the three words."""

    row: int
    masks: tuple[int, ...]
    values: tuple[int, ...]


AlternativeList = tuple[Alternative, ...]


@dataclass(frozen=True, eq=False)
class Rulebook:
    """The formula rows, their alternatives as masks, and the lists for each class of PDX.

    The last row stands for an admission on which no row is true: it is ungroupable. The alternatives of a
    list are kept by the rarest procedure operand that each needs, its key: those of list l and key k are
    `key_length[64 l + k]` from `key_start[64 l + k]`; key 63 has those that need no procedure.
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
    class_incident: BoolArray = field(repr=False)
    list_of: Int64Array = field(repr=False)
    key_start: Int64Array = field(repr=False)
    key_length: Int64Array = field(repr=False)
    list_claim_bits: UInt64Array = field(repr=False)
    list_suppressions: tuple[frozenset[str], ...] = field(repr=False)
    pre_mdc_trigger: UInt64Array = field(repr=False)
    pre_mdc_always: BoolArray = field(repr=False)
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
            classes: the principal diagnoses, as far as formulas can distinguish them.
            carriers: how many codes carry each name; an alternative is tried where its rarest name occurs.

        Raises:
            TableError: the formulas use more operands than the words have bits.
        """
        layout = BitLayout.of(tables)
        rows = tables.formulas.sort("mdc", "order")
        builder = _ListBuilder.of(layout, rows)
        list_of = builder.number_lists(classes, sorted(set(rows["reroute_mdc"]) - {0}))
        trigger, always = builder.find_triggers(list_of[:, PRE_MDC], carriers)
        by_key = [found for number in range(len(builder.lists)) for found in builder.sort_by_key(number, carriers)]
        lengths = np.array([len(found) for found in by_key], np.int64)
        alternatives = [alternative for found in by_key for alternative in found]
        return cls(
            layout=layout,
            classes=tuple(classes),
            mdc=np.append(rows["mdc"], 0).astype(np.uint8),
            drg=np.append(rows["drg"], 0).astype(np.uint16),
            base_drg=np.append(rows["base_drg"], 0).astype(np.uint16),
            drg_type=_find_categories(DrgType, [*rows["type"], "NONE"]),
            reroute_mdc=np.append(rows["reroute_mdc"], 0).astype(np.uint8),
            return_code=_find_categories(ReturnCode, [*rows["return_code"].fill_null("OK"), "NO_DRG_FOUND"]),
            suppression=np.array([*builder.suppression, 0], np.int64),
            formulas=tuple(rows["formula"]),
            class_mdc=np.array([pdx.mdc for pdx in classes], np.uint8),
            class_trauma=np.array([layout.pack_claim(pdx.names & {*TRAUMA_REGIONS}) for pdx in classes], np.uint64),
            class_incident=np.array(["incident" in pdx.names for pdx in classes]),
            list_of=list_of,
            key_start=np.cumsum(lengths) - lengths,
            key_length=lengths,
            list_claim_bits=np.array([builder.collect_claim_bits(found) for found in builder.lists], np.uint64),
            list_suppressions=tuple(builder.collect_suppressions(found) for found in builder.lists),
            pre_mdc_trigger=trigger,
            pre_mdc_always=always,
            masks=np.array([alternative.masks for alternative in alternatives], np.uint64).T.copy(),
            values=np.array([alternative.values for alternative in alternatives], np.uint64).T.copy(),
            alternative_row=np.array([alternative.row for alternative in alternatives], np.int64),
            ungroupable=max(tables.drg_titles["drg"].to_list()),
            trauma_mask=layout.pack_claim(TRAUMA_REGIONS),
        )

    def make_truth(self, row: int, pdx_class: int, words: Sequence[int]) -> Callable[[str], bool]:
        """Return a function that says of each operand whether it is true in a row's formula.

        Args:
            row: the formula row.
            pdx_class: the class of the principal diagnosis.
            words: MDC, severity and claim word of the admission, as `decide` takes them.
        """
        pdx, mdc, suppression = self.classes[pdx_class], int(self.mdc[row]), int(self.suppression[row])

        def holds(operand: str) -> bool:
            word, bit = self.layout.locate(operand, mdc, suppression, pdx)
            return bool(bit) if word is None else bool(words[word] >> bit & 1)

        return holds

    def list_true_operands(self, row: int, pdx_class: int, words: Sequence[int]) -> tuple[str, ...]:
        """Return the operands found true while a deciding row is evaluated, left to right.

        The arguments are those of `make_truth`.
        """
        return trace_formula(parse_formula(self.formulas[row]), self.make_truth(row, pdx_class, words))[1]

    def decide(self, lists: Int64Array, claim: UInt64Array, severity: UInt64Array, mdc_bits: UInt64Array) -> Int64Array:
        """Return the first formula row that is true for each admission, (n,), or -1.

        Args:
            lists: (n,) which list to search, `list_of[pdx_class, mdc]`.
            claim: (n,) claim words.
            severity: (n,) MCC and CC by suppression list, two bits a list.
            mdc_bits: (n,) procedure operands that are visible in that MDC.
        """
        decided = np.full(len(lists), NO_ROW)
        for start in range(0, len(lists), _CHUNK):
            part = slice(start, start + _CHUNK)
            is_key = np.unpackbits((mdc_bits[part] | _NO_PROCEDURE).view(np.uint8), bitorder="little")
            at = np.flatnonzero(is_key.view(np.bool_))
            admission = at >> 6
            key = (lists[part][admission] << 6) + (at & 63)
            alternative, which = expand_stretches(self.key_start[key], self.key_length[key])
            admission = admission[which] + start
            for word, mask, value in zip((mdc_bits, severity, claim), self.masks, self.values, strict=True):
                holds = np.flatnonzero((word[admission] & mask[alternative]) == value[alternative])
                admission, alternative = admission[holds], alternative[holds]
            if len(admission):
                first = find_run_starts(admission)
                decided[admission[first]] = np.minimum.reduceat(self.alternative_row[alternative], first)
        return decided


def _find_categories(enum: pl.Enum, texts: Sequence[str]) -> NDArray[np.uint8]:
    """Return the place of each text among the categories of an Enum."""
    categories = enum.categories.to_list()
    return np.array([categories.index(text) for text in texts], np.uint8)


@dataclass
class _ListBuilder:
    """The distinct lists of alternatives, collected while the rulebook is built.

    `rows_of` are the formula rows of each MDC, in search order.
    """

    layout: BitLayout
    formulas: list[str]
    suppression: list[int]
    rows_of: dict[int, range]
    lists: list[AlternativeList] = field(default_factory=list)
    _list_mdc: list[int] = field(default_factory=list)
    _number: dict[tuple[int, AlternativeList], int] = field(default_factory=dict)
    _resolved: dict[object, AlternativeList] = field(default_factory=dict)
    _pdx_names: dict[int, frozenset[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, layout: BitLayout, rows: pl.DataFrame) -> _ListBuilder:
        """Begin with formula rows in order of MDC."""
        suppressed = [frozenset(text.split()) for text in rows["severity_suppression"].fill_null("")]
        begins = find_run_starts(rows["mdc"].to_numpy()).tolist()
        return cls(
            layout=layout,
            formulas=rows["formula"].to_list(),
            suppression=[layout.suppressions.index(names) for names in suppressed],
            rows_of={rows["mdc"][first]: range(first, end) for first, end in pairwise([*begins, len(rows)])},
        )

    def number_lists(self, classes: Sequence[PdxClass], reroutes: Sequence[int]) -> Int64Array:
        """Build the lists; return which one each class of PDX searches in each MDC, (classes, 256)."""
        list_of = np.zeros((len(classes), 256), np.int64)
        for number, pdx in enumerate(classes):
            for mdc in (PRE_MDC, *reroutes, pdx.mdc):
                list_of[number, mdc] = self._number_list(mdc, pdx)
        return list_of

    def _number_list(self, mdc: int, pdx: PdxClass) -> int:
        key = (mdc, self._resolve(mdc, pdx))
        if key not in self._number:
            self._number[key] = len(self.lists)
            self.lists.append(key[1])
            self._list_mdc.append(mdc)
        return self._number[key]

    def collect_claim_bits(self, alternatives: AlternativeList) -> int:
        """Return every claim bit that a list looks at."""
        return reduce(or_, (alternative.masks[CLAIM_WORD] for alternative in alternatives), 0)

    def collect_suppressions(self, alternatives: AlternativeList) -> frozenset[str]:
        """Return every name that suppresses severity on some row of a list."""
        suppressed = (self.suppression[alternative.row] for alternative in alternatives)
        return frozenset().union(*(self.layout.suppressions[number] for number in suppressed))

    def sort_by_key(self, number: int, carriers: Mapping[str, int]) -> list[list[Alternative]]:
        """Return the alternatives of a list by the rarest procedure operand that each needs."""
        names = self.layout.list_bits(self.layout.mdcs.get(self._list_mdc[number], {}))
        by_key: list[list[Alternative]] = [[] for _ in range(_KEYS)]
        for alternative in self.lists[number]:
            needed = [bit for bit in names if alternative.values[MDC_WORD] >> bit & 1]
            by_key[min(needed, key=lambda bit: carriers.get(names[bit][1], 0)) if needed else -1].append(alternative)
        return by_key

    def find_triggers(self, lists: Int64Array, carriers: Mapping[str, int]) -> tuple[UInt64Array, BoolArray]:
        """Return which claim bits can make a list's alternatives true, and where one needs none.

        An admission that has none of these bits cannot match the list, unless one needs none.
        """
        names = self.layout.list_bits(self.layout.claim)
        numbers, which = np.unique(lists, return_inverse=True)
        masks, always = np.zeros(len(numbers), np.uint64), np.zeros(len(numbers), np.bool_)
        for place, number in enumerate(numbers.tolist()):
            mask = 0
            for alternative in self.lists[number]:
                needed = [bit for bit in names if alternative.values[CLAIM_WORD] >> bit & 1]
                always[place] |= not needed
                if needed:  # claims have fewer procedures than diagnoses
                    mask |= 1 << min(needed, key=lambda bit: (not names[bit][0], carriers.get(names[bit][1], 0)))
            masks[place] = mask
        return masks[which], always[which]

    def _resolve(self, mdc: int, pdx: PdxClass) -> AlternativeList:
        """Return the alternatives of an MDC that a class of PDX leaves possible, in search order."""
        rows = self.rows_of.get(mdc, range(0))
        if mdc not in self._pdx_names:
            used = {name for row in rows for name in list_operands(parse_formula(self.formulas[row]))}
            self._pdx_names[mdc] = frozenset(name.rpartition(":")[2] for name in used if ":" in name)
        words = tuple(pdx.has_word(name) for name in sorted(PDX_WORDS))
        key = (mdc, pdx.names & self._pdx_names[mdc], words)
        if key not in self._resolved:
            found = (self._mask(way, mdc, row, pdx) for row in rows for way in self._list_ways(row))
            self._resolved[key] = tuple(alternative for alternative in found if alternative)
        return self._resolved[key]

    def _list_ways(self, row: int) -> tuple[frozenset[tuple[str, bool]], ...]:
        return expand_alternatives(parse_formula(self.formulas[row]))

    def _mask(self, way: frozenset[tuple[str, bool]], mdc: int, row: int, pdx: PdxClass) -> Alternative | None:
        """Return the operands of an alternative as masks; None where the PDX excludes it."""
        masks, values = [0, 0, 0], [0, 0, 0]
        for operand, wanted in way:
            word, bit = self.layout.locate(operand, mdc, self.suppression[row], pdx)
            if word is not None:
                masks[word] |= 1 << bit
                values[word] |= int(wanted) << bit
            elif bool(bit) != wanted:
                return None
        return Alternative(row, tuple(masks), tuple(values))
