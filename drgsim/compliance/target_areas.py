"""Measures of a compliance profile: definitions from a table, checked against a version."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from drgsim.exceptions import TableError
from drgsim.files.bounded import parse_toml
from drgsim.tables.manifest import read_manifest, read_verified
from drgsim.tables.table_set import TableSet

FILE = "compliance/measures.toml"

Text = Annotated[str, Field(min_length=1)]
Tier = Literal["MCC", "CC", "NONE"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Condition(_Frozen):
    """Which discharges count. A field that is not given holds for all discharges.

    The head of the table explains the fields.

    >>> condition = Condition(drgs="193-195", tier=("MCC",))
    >>> cases = pl.DataFrame({"drg": [193, 194, 871], "tier": ["MCC", "CC", "MCC"], "weight": [1.3, 0.8, 1.9]})
    >>> cases.select(condition.holds()).to_series().to_list()
    [True, False, False]
    """

    drgs: str | None = None
    except_drgs: str | None = None
    mdcs: tuple[int, ...] | None = None
    type: Literal["MEDICAL", "SURGICAL"] | None = None
    splits: Literal["MCC", "CC", "ANY"] | None = None
    tier: tuple[Tier, ...] | None = None
    single: Literal["MCC", "ANY"] | None = None
    los_days: tuple[int, int] | None = None
    discharge_statuses: tuple[int, ...] | None = None
    diagnoses: tuple[Text, ...] | None = None

    def holds(self) -> pl.Expr:
        """Return the condition as an expression over the columns of a profile; null counts as false."""
        c = pl.col
        parts = [c("weight").is_not_null()]
        if self.drgs is not None:
            parts.append(c("drg").is_in(expand_number_ranges(self.drgs)))
        if self.except_drgs is not None:
            parts.append(~c("drg").is_in(expand_number_ranges(self.except_drgs)))
        if self.mdcs is not None:
            parts.append(c("mdc").is_in(self.mdcs))
        if self.type is not None:
            parts.append(c("drg_type") == self.type)
        if self.splits is not None:
            either = {"MCC": c("splits_mcc"), "CC": c("splits_cc"), "ANY": c("splits_mcc") | c("splits_cc")}
            parts.append(either[self.splits])
        if self.tier is not None:
            parts.append(c("tier").is_in(self.tier))
        if self.single is not None:
            others = pl.lit(0) if self.single == "MCC" else c("cc_count")
            parts.append(c("mcc_count") + others == 1)
        if self.los_days is not None:
            parts.append(c("los_days").is_between(*self.los_days))
        if self.discharge_statuses is not None:
            parts.append(c("discharge_status").is_in(self.discharge_statuses))
        if self.diagnoses is not None:
            parts.append(c(name_diagnosis_column(self.diagnoses)))
        return pl.all_horizontal(parts).fill_null(value=False)


class Definition(_Frozen):
    """Numerator and denominator from `first_version` to `last_version`, by default in all.

    >>> one = Definition(numerator=Condition(drgs="193"), denominator=Condition(drgs="193-195"))
    >>> expand_number_ranges(one.denominator.drgs)
    (193, 194, 195)
    """

    first_version: str | None = None
    last_version: str | None = None
    numerator: Condition = Condition()
    denominator: Condition = Condition()


class _Entry(_Frozen):
    key: Annotated[str, Field(pattern=r"^\w+$")]
    title: Text
    kind: Literal["case mix", "severity", "coding", "necessity"]
    basis: Literal["READ", "MEMORY", "OWN"]
    source: Annotated[str, Field(min_length=10)]
    high: str = ""
    low: str = ""
    removed: str = ""
    needs: str = ""
    definitions: tuple[Definition, ...] = (Definition(),)


class _Rule(_Frozen):
    value: Annotated[int, Field(ge=0, le=100)]
    unit: Text
    basis: Literal["READ", "MEMORY", "OWN"]
    source: Annotated[str, Field(min_length=10)]


class _Rules(_Frozen):
    fewest_discharges: _Rule
    fewest_peers: _Rule
    high_percentile: _Rule
    low_percentile: _Rule


class _File(_Frozen):
    rules: _Rules
    measures: tuple[_Entry, ...]


@dataclass(frozen=True)
class Measure:
    """One measure in one version.

    Attributes:
        key, title: its name in frames, and for readers.
        kind: case mix, severity, coding or necessity.
        basis: READ (read in the source), MEMORY (recalled, not verified) or OWN (defined by this project).
        source: of the definition.
        high, low: what a high and a low value can mean.
        removed: when the area was removed from PEPPER, or empty.
        needs: data that the measure needs and a grouped frame does not have, or empty.
        numerator, denominator: conditions; the numerator counts within the denominator.

    >>> first = Measures.load(TableSet.load("43.1")).measures[0]
    >>> first.key, first.is_computed
    ('cmi', True)
    """

    key: str
    title: str
    kind: str
    basis: str
    source: str
    high: str
    low: str
    removed: str
    needs: str
    numerator: Condition
    denominator: Condition

    @property
    def is_computed(self) -> bool:
        """Whether a profile has this measure: it needs no other data."""
        return not self.needs


@dataclass(frozen=True)
class Measures:
    """The measures of a version, with the rules for suppression and comparison.

    >>> measures = Measures.load(TableSet.load("43.1"))
    >>> measures.fewest_discharges, measures.high_percentile, measures.low_percentile
    (11, 80, 20)
    """

    version: str
    measures: tuple[Measure, ...]
    fewest_discharges: int
    fewest_peers: int
    high_percentile: int
    low_percentile: int

    @classmethod
    def load(cls, tables: TableSet) -> Measures:
        """Return the checked measures of a grouper version.

        Raises:
            TableError: the table is malformed; a measure has no or several definitions in this version; or it names a
                DRG, MDC, status or code that the version does not have, or a numerator DRG outside its denominator.

        >>> measures = Measures.load(TableSet.load("43.1"))
        >>> [m.key for m in measures.measures if m.needs == "outpatient claims"]
        ['pci', 'total_knee_replacement', 'spinal_fusion', 'emergency_visits']
        """
        where = tables.folder / FILE
        try:
            content = _File(**parse_toml(read_verified(tables.folder, FILE), where, TableError))
        except ValidationError as error:
            found = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
            raise TableError(f"{where}: {error.error_count()} entries cannot be used: {found}") from error
        keys = [entry.key for entry in content.measures]
        if len(set(keys)) < len(keys):
            raise TableError(f"{where}: {next(k for k in keys if keys.count(k) > 1)!r} is listed twice.")
        order = list(read_manifest(tables.folder)["versions"])
        known = _Known.of(tables)
        measures = tuple(
            _select_definition(entry, tables.version, order, known, str(where)) for entry in content.measures
        )
        rules = {name: getattr(content.rules, name).value for name in _Rules.model_fields}
        return cls(tables.version, measures, **rules)

    def frame(self) -> pl.DataFrame:
        """Return the measures as a frame: `measure`, `title`, `kind`, `basis`, `source`, and so on."""
        names = ("title", "kind", "basis", "source", "high", "low", "removed", "needs", "is_computed")
        rows = [(m.key, *(getattr(m, name) for name in names)) for m in self.measures]
        return pl.DataFrame(rows, schema=["measure", *names], orient="row")


def expand_number_ranges(text: str) -> tuple[int, ...]:
    """Return the numbers of a list with ranges.

    >>> expand_number_ranges("61-63 69")
    (61, 62, 63, 69)
    """
    found: list[int] = []
    for part in text.split():
        if not re.fullmatch(r"\d+(-\d+)?", part):
            raise TableError(f"{part!r} in {text!r} is neither a number nor a range such as 61-66.")
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return tuple(found)


def name_diagnosis_column(codes: Sequence[str]) -> str:
    """Return the name of the column that flags stays with one of these diagnoses."""
    return f"has {' '.join(codes)}"


# ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Known:
    """The DRGs, MDCs, codes and discharge statuses of a version."""

    drgs: frozenset[int]
    mdcs: frozenset[int]
    codes: frozenset[str]
    statuses: frozenset[int]

    @classmethod
    def of(cls, tables: TableSet) -> _Known:
        formulas = tables.formulas.filter(pl.col("drg") > 0)
        statuses, codes = tables.discharge_statuses["status"], tables.diagnoses["code"]
        return cls(frozenset(formulas["drg"]), frozenset(formulas["mdc"]), frozenset(codes), frozenset(statuses))

    def find_unknown(self, condition: Condition) -> list[str]:
        """Return what the condition names and the version does not have."""
        drgs = (*expand_number_ranges(condition.drgs or ""), *expand_number_ranges(condition.except_drgs or ""))
        return [
            *(f"DRG {drg}" for drg in drgs if drg not in self.drgs),
            *(f"MDC {mdc}" for mdc in condition.mdcs or () if mdc not in self.mdcs),
            *(f"diagnosis {code}" for code in condition.diagnoses or () if code not in self.codes),
            *(f"discharge status {s}" for s in condition.discharge_statuses or () if s not in self.statuses),
        ]


def _select_definition(entry: _Entry, version: str, order: Sequence[str], known: _Known, where: str) -> Measure:
    at = f"{where}: measure {entry.key!r}"
    in_force = [d for d in entry.definitions if _is_in_force(d, version, order, at)]
    if len(in_force) != 1:
        raise TableError(f"{at} has {len(in_force)} definitions in version {version}; expected one.")
    one = in_force[0]
    unknown = [*known.find_unknown(one.numerator), *known.find_unknown(one.denominator)]
    if unknown:
        raise TableError(f"{at}: version {version} has no {', no '.join(unknown)}. Add a definition for it.")
    if one.numerator.drgs and one.denominator.drgs:
        outside = set(expand_number_ranges(one.numerator.drgs)) - set(expand_number_ranges(one.denominator.drgs))
        if outside:
            raise TableError(f"{at}: DRG {min(outside)} of the numerator is not in the denominator.")
    fields = entry.model_dump(exclude={"definitions"})
    return Measure(**fields, numerator=one.numerator, denominator=one.denominator)


def _is_in_force(definition: Definition, version: str, order: Sequence[str], at: str) -> bool:
    first, last = definition.first_version or order[0], definition.last_version or order[-1]
    for named in (first, last):
        if named not in order:
            raise TableError(f"{at}: {named!r} is no version of the manifest; known: {', '.join(order)}.")
    return order.index(first) <= order.index(version) <= order.index(last)
