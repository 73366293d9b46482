"""Codes to the operand bits the formulas see: diagnoses, PDX exclusions, severity, procedures.

Everything here is indexed by codebook number. Codes that show the same to the formulas share a small
number: secondary diagnoses a *kind*, principal diagnoses a *role*, procedures an *operand set*.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import polars as pl
from numpy.typing import NDArray

from drgsim.exceptions import TableError
from drgsim.grouping.encoding import SEX
from drgsim.grouping.procedure_clusters import Clusters
from drgsim.grouping.rulebook import PRE_MDC, BitLayout, PdxClass, Rulebook
from drgsim.numerics.arrays import ByteArray, Int32Array, UInt16Array, UInt64Array
from drgsim.tables.codebook import Codebook, load_codebooks
from drgsim.tables.table_set import COUNTED_WORDS, TableSet

SEVERITIES = ("NONE", "CC", "MCC")
DEATH_EXCLUSION = "mccalive"
OR_OPERANDS = frozenset({"d468", "d477"})


@dataclass(frozen=True)
class DiagnosisKind:
    """What a secondary diagnosis shows: formula names, severity and what suppresses it, its HAC names."""

    names: frozenset[str]
    severity: str
    suppressed_by: frozenset[str]
    hac_names: frozenset[str]


@dataclass(frozen=True, eq=False)
class Diagnoses:
    """Diagnosis attributes of one version by codebook number (row 0 is an unknown code).

    Kinds are sorted: 0 shows nothing, 1 to `last_named` carry names, those from `first_severe` are CC or MCC.
    """

    kind: UInt16Array | ByteArray
    kinds: tuple[DiagnosisKind, ...]
    last_named: int
    first_severe: int
    kind_claim: UInt64Array
    kind_severity: UInt64Array
    kind_hac: NDArray[np.bool_]
    valid: NDArray[np.bool_]
    incident: NDArray[np.bool_]
    scheme: UInt16Array
    scheme_names: tuple[frozenset[str], ...]
    scheme_severity: ByteArray
    role: UInt16Array
    role_class: UInt16Array
    plain: UInt64Array
    any_mcc: np.uint64
    lasting_mcc: np.uint64
    death_excluded: np.uint64
    survives: UInt64Array = field(repr=False)
    exclusion_begin: Int32Array = field(repr=False)
    exclusion_column: Int32Array = field(repr=False)
    exclusions: NDArray[np.uint8] = field(repr=False)

    def excluded(self, pdx: Int32Array, row: NDArray[np.integer], sdx: Int32Array) -> NDArray[np.bool_]:
        """Return whether each SDX does not count as CC or MCC beside the PDX of its row, (n,) bool."""
        begin, column = self.exclusion_begin.take(pdx).take(row), self.exclusion_column.take(sdx)
        byte = self.exclusions.take(begin + (column >> 3))
        hit: NDArray[np.bool_] = ((byte >> (column & 7).astype(np.uint8)) & 1).astype(np.bool_)
        return hit


@dataclass(frozen=True, eq=False)
class Procedures:
    """Procedure attributes of one version by codebook number; operand set 0 is an unknown code.

    `part` is 1 for a procedure that can mean something together with another, 2 if it can alone.
    """

    operand_set: UInt16Array
    names: tuple[frozenset[str], ...]
    claim: UInt64Array
    view: UInt64Array
    counted_claim: UInt64Array
    counted_view: UInt64Array
    part: ByteArray
    clusters: Clusters

    def seen(self, mdc: ByteArray, operand_set: UInt16Array) -> UInt64Array:
        """Return what each procedure shows when that MDC is searched, (n,) words in the MDC's layout."""
        return self.view.ravel().take(mdc * np.int64(self.view.shape[1]) + operand_set)


@dataclass(frozen=True, eq=False)
class Attributes:
    """One version ready for the engine: rulebook and attribute tables."""

    tables: TableSet
    rulebook: Rulebook
    diagnoses: Diagnoses
    procedures: Procedures
    discharge_claim: UInt64Array
    died: NDArray[np.bool_]
    diagnosis_book: Codebook
    procedure_book: Codebook


@lru_cache(maxsize=16)
def compile_attributes(tables: TableSet) -> Attributes:
    """Return the engine's form of a table set; made once for each.

    Raises:
        TableError: the formulas need more operand bits than the engine has.
    """
    diagnosis_book, procedure_book = load_codebooks(tables)
    schemes, scheme = _schemes(tables, diagnosis_book)
    classes, role, role_class = _principal(tables, diagnosis_book, schemes, scheme)
    rulebook = Rulebook.of(tables, classes, _carriers(tables))
    diagnoses = _diagnoses(tables, rulebook, diagnosis_book, schemes, scheme, role, role_class)
    statuses = _discharge_words(tables)
    return Attributes(
        tables=tables,
        rulebook=rulebook,
        diagnoses=diagnoses,
        procedures=_procedures(tables, rulebook.layout, procedure_book),
        discharge_claim=np.array([rulebook.layout.claim_word(words) for words in statuses], np.uint64),
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


def _carriers(tables: TableSet) -> dict[str, int]:
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


def _schemes(tables: TableSet, book: Codebook) -> tuple[pl.DataFrame, UInt16Array]:
    """Return the distinct rows of facts about diagnoses, and each code's row (0 is an unknown code)."""
    facts = ("mdc", "severity", "operands", "hac_operands", "categories")
    schemes = tables.diagnoses.select(facts).unique(maintain_order=True).with_row_index("scheme", 1)
    joined = tables.diagnoses.join(schemes, on=facts, nulls_equal=True, maintain_order="left")
    number = index_by_number(book, joined["code"], joined["scheme"].to_numpy().astype(np.uint16))
    return schemes, number.astype(np.uint16)


def _principal(
    tables: TableSet, book: Codebook, schemes: pl.DataFrame, scheme: UInt16Array
) -> tuple[list[PdxClass], UInt16Array, UInt16Array]:
    """Return the classes of PDX, each code's role, and the class of (role, sex)."""
    names = [_split(" ".join(filter(None, row))) for row in schemes.select(pl.col("^.*(operands|categories)$")).rows()]
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
    for code, male, female in by_sex.select("number", "male_mdc", "female_mdc").iter_rows():
        if scheme[code]:
            own = names[int(scheme[code]) - 1]
            other = PdxClass(female, own, sex_unknown=True)
            key = (number(other), number(PdxClass(male, own)), number(PdxClass(female, own)))
            role[code] = roles.setdefault(key, len(roles))
    assert SEX == {"M": 1, "F": 2}
    return list(classes), role, np.array(list(roles), np.uint16)


def _diagnoses(
    tables: TableSet,
    rulebook: Rulebook,
    book: Codebook,
    schemes: pl.DataFrame,
    scheme: UInt16Array,
    role: UInt16Array,
    role_class: UInt16Array,
) -> Diagnoses:
    layout = rulebook.layout
    suppressors = frozenset().union(*layout.suppressions)
    kinds: dict[DiagnosisKind, int] = {DiagnosisKind(frozenset(), "NONE", frozenset(), frozenset()): 0}
    kind_of_scheme, incident, scheme_names = [0], [False], [frozenset[str]()]
    for severity, *texts in schemes.select("severity", "operands", "hac_operands", "categories").iter_rows():
        own, hac, category = map(_split, texts)
        names = own | hac | category
        suppressed_by = own & (suppressors | {DEATH_EXCLUSION}) if severity != "NONE" else frozenset()
        kind = DiagnosisKind(frozenset(names & layout.claim.keys()), severity, suppressed_by, hac)
        kind_of_scheme.append(kinds.setdefault(kind, len(kinds)))
        incident.append("incident" in names)
        scheme_names.append(names)
    in_order = sorted(kinds, key=_place)
    place = np.argsort([kinds[kind] for kind in in_order])
    severity_bits = _severity_bits(in_order)
    begin, column, exclusions = _exclusions(tables, book, scheme)
    death = [bit for (_, by), bit in severity_bits.items() if DEATH_EXCLUSION in by]
    severities = np.array([0, *(SEVERITIES.index(text) for text in schemes["severity"])], np.uint8)
    return Diagnoses(
        kind=place[kind_of_scheme].astype(np.min_scalar_type(len(kinds)))[scheme],
        kinds=tuple(in_order),
        last_named=sum(_place(kind) in (1, 2) for kind in kinds),
        first_severe=sum(_place(kind) < 2 for kind in kinds),
        kind_claim=np.array([layout.claim_word(kind.names) for kind in in_order], np.uint64),
        kind_severity=np.array(
            [severity_bits.get((kind.severity, kind.suppressed_by), 0) for kind in in_order], np.uint64
        ),
        kind_hac=np.array([bool(kind.hac_names) for kind in in_order]),
        valid=scheme > 0,
        incident=np.array(incident)[scheme],
        scheme=scheme,
        scheme_names=tuple(scheme_names),
        scheme_severity=severities,
        role=role,
        role_class=role_class,
        plain=np.array(
            [[_surviving(severity_bits, level, own) for level in ("MCC", "CC")] for own in rulebook.list_suppressions],
            np.uint64,
        ).T.copy(),
        any_mcc=_surviving(severity_bits, "MCC", frozenset()),
        lasting_mcc=_surviving(severity_bits, "MCC", suppressors),
        death_excluded=np.uint64(sum(death)),
        survives=np.array(
            [[_surviving(severity_bits, level, names) for level in ("MCC", "CC")] for names in layout.suppressions],
            np.uint64,
        ).reshape(-1, 2),
        exclusion_begin=begin,
        exclusion_column=column,
        exclusions=exclusions,
    )


def _place(kind: DiagnosisKind) -> int:
    """Return 0 for what shows nothing, 1 names, 2 names and severity, 3 severity."""
    named, severe = bool(kind.names or kind.hac_names), kind.severity != "NONE"
    return (2 if named else 3) if severe else int(named)


def _severity_bits(kinds: Sequence[DiagnosisKind]) -> dict[tuple[str, frozenset[str]], int]:
    """Give each (severity, names that suppress it) a bit of the severity word."""
    distinct = dict.fromkeys((kind.severity, kind.suppressed_by) for kind in kinds if kind.severity != "NONE")
    if len(distinct) > 64:
        raise TableError(f"diagnoses fall into {len(distinct)} severity classes; the engine has room for 64.")
    return {key: 1 << bit for bit, key in enumerate(distinct)}


def _surviving(bits: dict[tuple[str, frozenset[str]], int], severity: str, suppressed: frozenset[str]) -> np.uint64:
    """Return the bits of a severity that none of these names suppresses."""
    return np.uint64(sum(bit for (level, by), bit in bits.items() if level == severity and not by & suppressed))


def _exclusions(
    tables: TableSet, book: Codebook, scheme: UInt16Array
) -> tuple[Int32Array, Int32Array, NDArray[np.uint8]]:
    """Return where each PDX's row begins, each SDX's column, and the bits of pairs that exclude, end to end.

    Row 0 and column 0 exclude nothing.
    """
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
    return row * np.int32(matrix.shape[1]), column, matrix.ravel()


def _procedures(tables: TableSet, layout: BitLayout, book: Codebook) -> Procedures:
    texts = pl.concat([tables.procedures["operands"], tables.clusters["operands"]]).fill_null("")
    distinct = texts.unique(maintain_order=True)
    numbers = texts.replace_strict(distinct, np.arange(1, len(distinct) + 1), return_dtype=pl.UInt16).to_numpy()
    count = len(tables.procedures)
    names = [frozenset[str](), *map(_split, distinct)]
    seen = [own | {"ORPROC"} if own & OR_OPERANDS else own for own in names]
    sets = index_by_number(book, tables.procedures["code"], numbers[:count]).astype(np.uint16)
    clusters = Clusters.of(tables.clusters, book, numbers[count:], names)
    return Procedures(
        operand_set=sets,
        names=tuple(names),
        claim=_view_words(layout, PRE_MDC, seen),
        view=np.stack([_view_words(layout, mdc, seen) for mdc in range(256)]),
        counted_claim=_counted_words(layout, PRE_MDC),
        counted_view=np.stack([_counted_words(layout, mdc) for mdc in range(256)]),
        part=_part(clusters, sets),
        clusters=clusters,
    )


def _part(clusters: Clusters, sets: UInt16Array) -> ByteArray:
    every = np.arange(len(clusters.tallies), dtype=np.uint16)
    adds = clusters.tallies.any(axis=1) | (clusters.regions > 0)
    nothing = np.zeros(0, np.int64)
    alone = clusters.counted(every, every.astype(np.int64), nothing.astype(np.uint16), nothing) > 0
    part = (adds[sets] | clusters.component).astype(np.uint8)
    return np.where(alone[sets] | (clusters.component & (clusters.fewest < 2)), 2, part).astype(np.uint8)


def _view_words(layout: BitLayout, mdc: int, names: Sequence[frozenset[str]]) -> UInt64Array:
    """Return what each set of names shows in the layout of an MDC."""
    if mdc != PRE_MDC and mdc not in layout.views:
        return np.zeros(len(names), np.uint64)
    return np.array([layout.view_word(mdc, own) for own in names], np.uint64)


def _counted_words(layout: BitLayout, mdc: int) -> UInt64Array:
    """Return what each combination of counted words (bits in their order) shows in the layout of an MDC."""
    combinations = np.arange(1 << len(COUNTED_WORDS), dtype=np.uint64)
    words = np.zeros(len(combinations), np.uint64)
    for bit, word in enumerate(_view_words(layout, mdc, [frozenset({name}) for name in COUNTED_WORDS])):
        words |= ((combinations >> np.uint64(bit)) & np.uint64(1)) * word
    return words


def _discharge_words(tables: TableSet) -> list[frozenset[str]]:
    """Return the claim words of each discharge status 0 to 256; the last stands for all that are not listed."""
    listed = {status: _split(text) for status, text in tables.discharge_statuses.iter_rows()}
    words = [listed.get(status, frozenset({"INVALID_DSTAT"})) for status in range(257)]
    return [own if "DIED" in own else own | {"ALIVE"} for own in words]
