"""Codes to operand bits: diagnoses, exclusions by the PDX, severity, procedures.

All tables here are indexed by codebook number. Codes that are the same to the formulas share a small
number: secondary diagnoses a *kind*, principal diagnoses a *role*, procedures an *operand set*.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import polars as pl
from numpy.typing import NDArray

from drgsim.exceptions import TableError
from drgsim.grouping.bit_layout import PRE_MDC, BitLayout, PdxClass
from drgsim.grouping.procedure_clusters import Clusters
from drgsim.grouping.rulebook import Rulebook
from drgsim.numerics.arrays import BoolArray, ByteArray, Int32Array, UInt16Array, UInt64Array
from drgsim.tables.codebook import Codebook, load_codebooks
from drgsim.tables.encoding import SEX
from drgsim.tables.table_set import COUNTED_WORDS, TableSet

SEVERITIES = ("NONE", "CC", "MCC")
DEATH_EXCLUSION = "mccalive"
_OR_OPERANDS = frozenset({"d468", "d477"})
_DISCHARGE_STATUSES = 257  # 0 to 255, and one place for all that cannot be a status


@dataclass(frozen=True)
class DiagnosisKind:
    """A kind of secondary diagnosis: formula names, severity, what suppresses it, HAC names."""

    names: frozenset[str]
    severity: str
    suppressed_by: frozenset[str]
    hac_names: frozenset[str]

    @property
    def rank(self) -> int:
        """0 for no names and no severity, 1 for names, 2 for names and severity, 3 for severity."""
        has_names = bool(self.names or self.hac_names)
        if self.severity == "NONE":
            return int(has_names)
        return 2 if has_names else 3


@dataclass(frozen=True, eq=False)
class Exclusions:
    """Which secondary diagnoses a principal diagnosis excludes, as a matrix of bits.

    `begin` is where each PDX's row begins in `bits`, `column` each SDX's column. Row 0 and column 0
    exclude nothing. Source: MS-DRG Definitions Manual, Appendix C.
    """

    begin: Int32Array
    column: Int32Array
    bits: ByteArray

    @classmethod
    def of(cls, tables: TableSet, book: Codebook, scheme: UInt16Array) -> Exclusions:
        """Build from a version's exclusion groups."""
        groups = tables.pdx_exclusions["group"].unique().sort()
        pairs = tables.exclusion_groups.filter(pl.col("group").is_in(groups.implode()))
        sdx = book.numbers(pairs["sdx"])
        known = scheme[sdx] > 0
        column = np.zeros(len(scheme), np.int32)
        distinct = np.unique(sdx[known])
        column[distinct] = np.arange(1, len(distinct) + 1, dtype=np.int32)
        place = np.searchsorted(groups.to_numpy(), tables.pdx_exclusions["group"].to_numpy()) + 1
        row = index_by_number(book, tables.pdx_exclusions["pdx"], place.astype(np.int32)).astype(np.int32)
        matrix = np.zeros((len(groups) + 1, (len(distinct) >> 3) + 1), np.uint8)
        at = column[sdx[known]]
        rows = np.searchsorted(groups.to_numpy(), pairs["group"].to_numpy()[known]) + 1
        np.bitwise_or.at(matrix, (rows, at >> 3), np.left_shift(1, at & 7).astype(np.uint8))
        return cls(row * np.int32(matrix.shape[1]), column, matrix.ravel())


@dataclass(frozen=True, eq=False)
class Diagnoses:
    """Diagnosis attributes of one version by codebook number; number 0 is an unknown code.

    Kinds are in order of rank: 0 has nothing, 1 to `last_named` have names, those from `first_severe` are
    CC or MCC. Severity is a word of bits, a bit for each way in which a CC or MCC can lose its severity;
    `unsuppressed` (suppressions, 2) are the bits of MCC and CC that each list of names leaves,
    `never_suppressed` (2, lists) those that no row of a list of alternatives suppresses, and
    `unsuppressible_mcc` the bits of MCC that no formula row of the version suppresses.
    """

    kind: UInt16Array | ByteArray
    kinds: tuple[DiagnosisKind, ...]
    last_named: int
    first_severe: int
    kind_claim_bits: UInt64Array
    kind_severity_bits: UInt64Array
    kind_hac: BoolArray
    valid: BoolArray
    incident: BoolArray
    scheme: UInt16Array
    scheme_names: tuple[frozenset[str], ...]
    scheme_severity: ByteArray
    role: UInt16Array
    role_class: UInt16Array
    never_suppressed: UInt64Array
    mcc_bits: np.uint64
    unsuppressible_mcc: np.uint64
    death_excluded: np.uint64
    unsuppressed: UInt64Array = field(repr=False)
    exclusions: Exclusions = field(repr=False)

    def is_excluded(self, pdx: Int32Array, row: NDArray[np.integer], sdx: Int32Array) -> BoolArray:
        """Return whether the PDX of its row excludes each SDX as CC or MCC, (n,) bool."""
        begin, column = self.exclusions.begin.take(pdx).take(row), self.exclusions.column.take(sdx)
        byte = self.exclusions.bits.take(begin + (column >> 3))
        hit: BoolArray = ((byte >> (column & 7).astype(np.uint8)) & 1).astype(np.bool_)
        return hit


@dataclass(frozen=True, eq=False)
class Procedures:
    """Procedure attributes of one version by codebook number; operand set 0 is an unknown code.

    `names` are the operands of each set, `claim_bits` and `mdc_bits` (mdc, set) the same as bits.
    `combines` is 1 for a procedure that can have a meaning together with another, 2 if it can alone.
    """

    operand_set: UInt16Array
    names: tuple[frozenset[str], ...]
    claim_bits: UInt64Array
    mdc_bits: UInt64Array
    counted_claim_bits: UInt64Array
    counted_mdc_bits: UInt64Array
    combines: ByteArray
    clusters: Clusters

    def take_mdc_bits(self, mdc: ByteArray, operand_set: UInt16Array) -> UInt64Array:
        """Return the bits of each procedure when that MDC is searched, (n,) in the MDC's layout."""
        return self.mdc_bits.ravel().take(mdc * np.int64(self.mdc_bits.shape[1]) + operand_set)


@dataclass(frozen=True, eq=False)
class Attributes:
    """One version ready for the engine: rulebook and attribute tables."""

    tables: TableSet
    rulebook: Rulebook
    diagnoses: Diagnoses
    procedures: Procedures
    discharge_bits: UInt64Array
    died: BoolArray
    diagnosis_book: Codebook
    procedure_book: Codebook


@lru_cache(maxsize=16)
def compile_attributes(tables: TableSet) -> Attributes:
    """Return the engine's form of a table set; made once for each.

    Raises:
        TableError: the formulas need more operand bits than the engine has.
    """
    diagnosis_book, procedure_book = load_codebooks(tables)
    schemes, scheme = _number_schemes(tables, diagnosis_book)
    roles = _Roles.of(tables, diagnosis_book, schemes, scheme)
    rulebook = Rulebook.of(tables, roles.classes, _count_carriers(tables))
    statuses = _list_discharge_words(tables)
    return Attributes(
        tables=tables,
        rulebook=rulebook,
        diagnoses=_compile_diagnoses(rulebook, schemes, scheme, roles, Exclusions.of(tables, diagnosis_book, scheme)),
        procedures=_compile_procedures(tables, rulebook.layout, procedure_book),
        discharge_bits=np.array([rulebook.layout.pack_claim(words) for words in statuses], np.uint64),
        died=np.array(["DIED" in words for words in statuses]),
        diagnosis_book=diagnosis_book,
        procedure_book=procedure_book,
    )


def index_by_number(book: Codebook, codes: pl.Series, values: NDArray[np.generic]) -> NDArray[np.generic]:
    """Return `values` (one a code) as a table by codebook number; other codes get 0."""
    table = np.zeros(len(book.codes) + 1, values.dtype)
    table[book.numbers(codes)] = values
    table[0] = 0
    return table


def _count_carriers(tables: TableSet) -> dict[str, int]:
    """Return how many codes carry each name."""
    columns = [tables.diagnoses[c] for c in ("operands", "hac_operands", "categories")]
    texts = pl.concat([*columns, tables.procedures["operands"], tables.clusters["operands"]])
    counts = texts.drop_nulls().value_counts()
    carriers: dict[str, int] = {}
    for text, count in counts.iter_rows():
        for name in text.split(" "):
            carriers[name] = carriers.get(name, 0) + count
    return carriers


def _split(text: str | None) -> frozenset[str]:
    return frozenset(text.split(" ")) if text else frozenset()


# ------------------------------------------------------------------------------------------- diagnoses


def _number_schemes(tables: TableSet, book: Codebook) -> tuple[pl.DataFrame, UInt16Array]:
    """Return the distinct attributes of diagnoses, and the row of each code (0: unknown code)."""
    attributes = ("mdc", "severity", "operands", "hac_operands", "categories")
    schemes = tables.diagnoses.select(attributes).unique(maintain_order=True).with_row_index("scheme", 1)
    joined = tables.diagnoses.join(schemes, on=attributes, nulls_equal=True, maintain_order="left")
    number = index_by_number(book, joined["code"], joined["scheme"].to_numpy().astype(np.uint16))
    return schemes, number.astype(np.uint16)


@dataclass(frozen=True, eq=False)
class _Roles:
    """The classes of PDX, the role of each code, and the class of (role, sex)."""

    classes: list[PdxClass]
    role: UInt16Array
    role_class: UInt16Array

    @classmethod
    def of(cls, tables: TableSet, book: Codebook, schemes: pl.DataFrame, scheme: UInt16Array) -> _Roles:
        """Number the roles: those of the schemes, and those of codes whose MDC depends on the sex."""
        texts = schemes.select(pl.col("^.*(operands|categories)$")).rows()
        names = [_split(" ".join(filter(None, row))) for row in texts]
        classes: dict[PdxClass, int] = {PdxClass(0, frozenset(), valid=False): 0}
        roles: dict[tuple[int, ...], int] = {(0, 0, 0): 0}

        def number(pdx: PdxClass) -> int:
            return classes.setdefault(pdx, len(classes))

        role_of_scheme = np.zeros(len(schemes) + 1, np.uint16)
        for row, (mdc, own) in enumerate(zip(schemes["mdc"], names, strict=True), start=1):
            key = (number(PdxClass(mdc, own)),) * 3
            role_of_scheme[row] = roles.setdefault(key, len(roles))
        role = role_of_scheme[scheme]
        by_sex = tables.sex_mdcs.with_columns(number=pl.Series(book.numbers(tables.sex_mdcs["pdx"])))
        assert SEX == {"M": 1, "F": 2}
        for code, male, female in by_sex.select("number", "male_mdc", "female_mdc").iter_rows():
            if scheme[code]:
                own = names[int(scheme[code]) - 1]
                unknown = PdxClass(female, own, sex_unknown=True)
                key = (number(unknown), number(PdxClass(male, own)), number(PdxClass(female, own)))
                role[code] = roles.setdefault(key, len(roles))
        return cls(list(classes), role, np.array(list(roles), np.uint16))


@dataclass(frozen=True, eq=False)
class _Schemes:
    """The schemes of diagnoses as the engine takes them; scheme 0 is that of an unknown code."""

    kinds: tuple[DiagnosisKind, ...]
    kind: NDArray[np.int64]
    names: tuple[frozenset[str], ...]
    severity: ByteArray

    @classmethod
    def of(cls, schemes: pl.DataFrame, layout: BitLayout) -> _Schemes:
        """Find the kinds, in order of rank."""
        suppressors = frozenset().union(*layout.suppressions) | {DEATH_EXCLUSION}
        found, names = [DiagnosisKind(frozenset(), "NONE", frozenset(), frozenset())], [frozenset[str]()]
        for severity, *texts in schemes.select("severity", "operands", "hac_operands", "categories").iter_rows():
            own, hac, category = map(_split, texts)
            names.append(own | hac | category)
            suppressed_by = own & suppressors if severity != "NONE" else frozenset()
            found.append(DiagnosisKind(frozenset(names[-1] & layout.claim.keys()), severity, suppressed_by, hac))
        kinds = sorted(dict.fromkeys(found), key=lambda kind: kind.rank)
        number = {kind: place for place, kind in enumerate(kinds)}
        severities = np.array([SEVERITIES.index(kind.severity) for kind in found], np.uint8)
        return cls(tuple(kinds), np.array([number[kind] for kind in found]), tuple(names), severities)


@dataclass(frozen=True, eq=False)
class _SeverityBits:
    """A bit for each severity and set of names that suppress it."""

    bits: dict[tuple[str, frozenset[str]], int]

    @classmethod
    def of(cls, kinds: Iterable[DiagnosisKind]) -> _SeverityBits:
        """Give the bits in order of the kinds."""
        distinct = dict.fromkeys((kind.severity, kind.suppressed_by) for kind in kinds if kind.severity != "NONE")
        if len(distinct) > 64:
            raise TableError(f"diagnoses fall into {len(distinct)} severity classes; the engine has room for 64.")
        return cls({key: 1 << bit for bit, key in enumerate(distinct)})

    def of_kind(self, kind: DiagnosisKind) -> int:
        """Return the bit of a kind; 0 for one without severity."""
        return self.bits.get((kind.severity, kind.suppressed_by), 0)

    def suppressed_by(self, name: str) -> np.uint64:
        """Return the bits that a name suppresses."""
        return np.uint64(sum(bit for (_, by), bit in self.bits.items() if name in by))

    def leave(self, severity: str, suppressors: Iterable[str] = ()) -> np.uint64:
        """Return the bits of a severity that none of these names suppresses."""
        names = frozenset(suppressors)
        return np.uint64(sum(bit for (level, by), bit in self.bits.items() if level == severity and not by & names))

    def leave_each(self, lists: Iterable[frozenset[str]]) -> UInt64Array:
        """Return the bits of MCC and of CC that each list of names leaves, (lists, 2)."""
        return np.array([[self.leave(level, names) for level in ("MCC", "CC")] for names in lists], np.uint64)


def _compile_diagnoses(
    rulebook: Rulebook, schemes: pl.DataFrame, scheme: UInt16Array, roles: _Roles, exclusions: Exclusions
) -> Diagnoses:
    layout = rulebook.layout
    found = _Schemes.of(schemes, layout)
    severity_bits = _SeverityBits.of(found.kinds)
    ranks = [kind.rank for kind in found.kinds]
    return Diagnoses(
        kind=found.kind.astype(np.min_scalar_type(len(found.kinds)))[scheme],
        kinds=found.kinds,
        last_named=sum(rank in (1, 2) for rank in ranks),
        first_severe=sum(rank < 2 for rank in ranks),
        kind_claim_bits=np.array([layout.pack_claim(kind.names) for kind in found.kinds], np.uint64),
        kind_severity_bits=np.array([severity_bits.of_kind(kind) for kind in found.kinds], np.uint64),
        kind_hac=np.array([bool(kind.hac_names) for kind in found.kinds]),
        valid=scheme > 0,
        incident=np.array(["incident" in names for names in found.names])[scheme],
        scheme=scheme,
        scheme_names=found.names,
        scheme_severity=found.severity,
        role=roles.role,
        role_class=roles.role_class,
        never_suppressed=severity_bits.leave_each(rulebook.list_suppressions).T.copy(),
        mcc_bits=severity_bits.leave("MCC"),
        unsuppressible_mcc=severity_bits.leave("MCC", frozenset().union(*layout.suppressions)),
        death_excluded=severity_bits.suppressed_by(DEATH_EXCLUSION),
        unsuppressed=severity_bits.leave_each(layout.suppressions).reshape(-1, 2),
        exclusions=exclusions,
    )


# ------------------------------------------------------------------------------------------- procedures


def _compile_procedures(tables: TableSet, layout: BitLayout, book: Codebook) -> Procedures:
    texts = pl.concat([tables.procedures["operands"], tables.clusters["operands"]]).fill_null("")
    distinct = texts.unique(maintain_order=True)
    numbers = texts.replace_strict(distinct, np.arange(1, len(distinct) + 1), return_dtype=pl.UInt16).to_numpy()
    count = len(tables.procedures)
    names = [frozenset[str](), *map(_add_or_word, map(_split, distinct))]
    sets = index_by_number(book, tables.procedures["code"], numbers[:count]).astype(np.uint16)
    clusters = Clusters.of(tables.clusters, book, numbers[count:], names)
    return Procedures(
        operand_set=sets,
        names=tuple(names),
        claim_bits=_pack_names(layout, PRE_MDC, names),
        mdc_bits=np.stack([_pack_names(layout, mdc, names) for mdc in range(256)]),
        counted_claim_bits=_pack_counted_words(layout, PRE_MDC),
        counted_mdc_bits=np.stack([_pack_counted_words(layout, mdc) for mdc in range(256)]),
        combines=_find_combining(clusters, sets),
        clusters=clusters,
    )


def _add_or_word(names: frozenset[str]) -> frozenset[str]:
    """Add ORPROC, the word of versions 40 for an O.R. procedure of any kind."""
    return names | {"ORPROC"} if names & _OR_OPERANDS else names


def _find_combining(clusters: Clusters, sets: UInt16Array) -> ByteArray:
    """Return `Procedures.combines`."""
    every = np.arange(len(clusters.tallies), dtype=np.uint16)
    adds = clusters.tallies.any(axis=1) | (clusters.regions > 0)
    nothing = np.zeros(0, np.int64)
    alone = clusters.count_words(every, every.astype(np.int64), nothing.astype(np.uint16), nothing) > 0
    together = (adds[sets] | clusters.component).astype(np.uint8)
    return np.where(alone[sets] | (clusters.component & (clusters.fewest < 2)), 2, together).astype(np.uint8)


def _pack_names(layout: BitLayout, mdc: int, names: Sequence[frozenset[str]]) -> UInt64Array:
    """Return the bits of each set of procedure operands in the layout of an MDC."""
    if mdc != PRE_MDC and mdc not in layout.mdcs:
        return np.zeros(len(names), np.uint64)
    return np.array([layout.pack_procedure(mdc, own) for own in names], np.uint64)


def _pack_counted_words(layout: BitLayout, mdc: int) -> UInt64Array:
    """Return the bits of each combination of counted words in the layout of an MDC."""
    combinations = np.arange(1 << len(COUNTED_WORDS), dtype=np.uint64)
    words = np.zeros(len(combinations), np.uint64)
    for bit, word in enumerate(_pack_names(layout, mdc, [frozenset({name}) for name in COUNTED_WORDS])):
        words |= ((combinations >> np.uint64(bit)) & np.uint64(1)) * word
    return words


def _list_discharge_words(tables: TableSet) -> list[frozenset[str]]:
    """Return the claim words of each discharge status; the last is for all unlisted ones."""
    listed = {status: _split(text) for status, text in tables.discharge_statuses.iter_rows()}
    words = [listed.get(status, frozenset({"INVALID_DSTAT"})) for status in range(_DISCHARGE_STATUSES)]
    return [own if "DIED" in own else own | {"ALIVE"} for own in words]
