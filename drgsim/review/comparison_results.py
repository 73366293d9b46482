"""The result of comparing two codings: agreement, codes, dollars, rates for a scenario."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import polars as pl

from drgsim.display import PrintedReport, Section
from drgsim.exceptions import InputError, did_you_mean
from drgsim.grouping.grouper import Grouping
from drgsim.miscoding.scenarios import Scenario
from drgsim.numerics.arrays import FloatArray, Int64Array
from drgsim.rebilling.baseline import Baseline
from drgsim.rebilling.code_changes import FIELDS, ChangeKind
from drgsim.review.agreement_statistics import (
    LEVEL,
    Estimate,
    Units,
    estimate_kappa,
    estimate_ratio,
    estimate_sum,
)
from drgsim.review.code_alignment import KINDS, Differences
from drgsim.review.code_metrics import CodeCounts, count_codes, measure_codes
from drgsim.review.difference_rates import build_scenario
from drgsim.review.list_matching import Coding
from drgsim.review.review_inputs import carry_columns
from drgsim.schema import ADMISSIONS, Severity

_ESTIMATE = {"value": pl.Float64, "low": pl.Float64, "high": pl.Float64}
_MEASURE = {"measure": pl.String, "unit": pl.String, **_ESTIMATE}


@dataclass(frozen=True, eq=False, repr=False)
class CodingComparison(PrintedReport):
    """Another coding compared with a reference coding of the same stays: data that also prints.

    A change is the other coding minus the reference: above 0 the other coding is paid more. Every interval counts
    stays as independent units, or coders where a column of coders was named.

    Attributes:
        baseline: the reference, grouped and priced, in order of ids.
        other: the same stays as coded otherwise.
        grouping: the grouper's answer for the other coding.
        change: (n,) payment change [cents].
        found: every difference.
        contributions: (k, 3) row, kind and cents: payment changes attributed to kinds.
        only_in_reference, only_in_other: ids without a counterpart.
        coder: the column of coders, or None.
        priced: whether there are dollars.

    >>> from drgsim import Rates, TableSet
    >>> from drgsim.review import compare_codings
    >>> one = pl.DataFrame({"admission_id": [1, 2], "age": [54, 70], "sex": ["F", "M"], "discharge_status": [1, 1],
    ...     "pdx": ["K810", "I110"], "sdx": [["J9601"], ["I5023", "E119"]], "procedures": [["0FT44ZZ"], []]})
    >>> other = one.with_columns(sdx=pl.Series([[], ["I509", "E119"]]))
    >>> found = compare_codings(one, other, tables=TableSet.load("43.1"), rates=Rates.load(2026))
    >>> found.differences()["kind"].to_list(), found.agreement().row(0)[:3]
    (['sdx_omit', 'specificity_loss'], ('same_drg', '1', 0.0))
    """

    baseline: Baseline = field(repr=False)
    other: pl.DataFrame = field(repr=False)
    grouping: Grouping = field(repr=False)
    change: Int64Array = field(repr=False)
    found: Differences = field(repr=False)
    contributions: Int64Array = field(repr=False)
    sides: tuple[Coding, Coding] = field(repr=False)
    texts: tuple[pl.Series, pl.Series] = field(repr=False)
    only_in_reference: pl.Series = field(repr=False)
    only_in_other: pl.Series = field(repr=False)
    coder: str | None
    priced: bool

    def __len__(self) -> int:
        """Return the number of stays that are in both codings."""
        return len(self.baseline)

    # ------------------------------------------------------------------------------------------------ rows

    def pairs(self) -> pl.DataFrame:
        """Return one row a stay: both DRGs, their severity, dollars and the number of differences.

        Returns:
            `admission_id`, `drg`, `other_drg`, `mdc`, `severity`, `other_severity`, `differences`; with dollars `usd`,
            `other_usd`, `usd_change` [USD]; then the columns carried through, such as account, hospital and coder.
        """
        truth, severities = self.baseline.truth, pl.Series(Severity.categories, dtype=Severity)
        count = np.bincount(self.found.changes.row[self.found.first], minlength=len(self))
        frame = pl.DataFrame(
            {
                "admission_id": self.other["admission_id"],
                "drg": truth.drg,
                "other_drg": self.grouping.drg,
                "mdc": truth.mdc,
                "severity": severities.gather(truth.severity),
                "other_severity": severities.gather(self.grouping.severity),
                "differences": count.astype(np.uint32),
            }
        )
        if self.priced:
            cents = self.baseline.pricer.cents
            frame = frame.with_columns(
                usd=cents / 100, other_usd=(cents + self.change) / 100, usd_change=self.change / 100
            )
        return frame.hstack(carry_columns(self.other, frame.columns))

    def differences(self) -> pl.DataFrame:
        """Return one row a difference: what differs, of which kind, the effect on the stay.

        Returns:
            `admission_id`; `kind`, as the error models are called; `field`; `code_before` in the reference and
            `code_after` in the other coding, null for none (of discharge status, sex and POA the number); `drg`,
            `other_drg`; with dollars `usd_change` of the stay and `kind_usd`, the share of all its differences of
            this kind [USD].
        """
        first = np.flatnonzero(self.found.first)
        changes, kind = self.found.changes.take(first), self.found.kind[first]
        row = changes.row
        frame = pl.DataFrame(
            {
                "admission_id": self.other["admission_id"].gather(row),
                "kind": pl.Series(KINDS, dtype=pl.String).gather(kind),
                "field": pl.Series(FIELDS).gather(changes.kind),
                "code_before": self._write_codes(first, after=False),
                "code_after": self._write_codes(first, after=True),
                "drg": self.baseline.truth.drg[row],
                "other_drg": self.grouping.drg[row],
            }
        )
        if not self.priced:
            return frame
        shares = dict(
            zip(
                (self.contributions[:, 0] * len(KINDS) + self.contributions[:, 1]).tolist(),
                self.contributions[:, 2].tolist(),
                strict=True,
            )
        )
        own = [shares.get(key, 0) / 100 for key in (row * len(KINDS) + kind).tolist()]
        return frame.with_columns(
            usd_change=pl.Series(self.change[row] / 100), kind_usd=pl.Series(own, dtype=pl.Float64)
        )

    def _write_codes(self, which: Int64Array, *, after: bool) -> pl.Series:
        changes = self.found.changes.take(which)
        numbers = (self.found.after if after else self.found.before)[which]
        engine = changes.after if after else changes.before
        procedures = np.isin(changes.kind, (ChangeKind.PROCEDURE, ChangeKind.ADD_PROCEDURE))
        fields = np.isin(changes.kind, (ChangeKind.POA, ChangeKind.DISCHARGE_STATUS, ChangeKind.SEX))
        at = np.where(procedures, numbers + len(self.texts[0]), numbers)
        at[fields] = 0
        texts = pl.concat(self.texts).gather(at)
        where = np.flatnonzero(fields)
        texts = texts.scatter(where, pl.Series(engine[where]).cast(pl.String)) if len(where) else texts
        return texts.set(texts == "", None)

    # ------------------------------------------------------------------------------------------- estimates

    def codes(self, level: float = LEVEL) -> pl.DataFrame:
        """Return precision, recall and F1 of the other coding's codes, with intervals.

        A code counts wherever it is in its list; `principal` is about the principal diagnosis in its place.

        Args:
            level: confidence level.

        Returns:
            `scope`: diagnoses, principal, MCC, CC, procedures, all, then each ICD-10-CM chapter; counts `in_both`,
            `missed`, `added`; `precision`, `recall`, `f1`, each with `_low` and `_high`; `macro_f1`, the mean F1 of
            the codes (null where it has no meaning).
        """
        return measure_codes(self._counts, self.baseline, self.texts, self.units, level)

    def agreement(self, level: float = LEVEL) -> pl.DataFrame:
        """Return how often the codings agree, a row each with its interval.

        Returns:
            `measure`, `unit`, `value`, `low`, `high`: `same_drg`, `same_base_drg`, `same_severity`, `same_mdc`,
            `same_principal`, `same_codes` (no difference at all), and Cohen's kappa of DRG and severity.
        """
        rows = [(name, "1", *self._estimate_share(same, level)) for name, same in self._agreements.items()]
        truth = self.baseline.truth
        for name, one, other in (
            ("kappa_drg", truth.drg, self.grouping.drg),
            ("kappa_severity", truth.severity, self.grouping.severity),
        ):
            kappa = estimate_kappa(one.astype(np.int64), other.astype(np.int64), self.units, level)
            rows.append((name, "1", *kappa))
        return pl.DataFrame(rows, schema=_MEASURE, orient="row")

    def dollars(self, level: float = LEVEL) -> pl.DataFrame:
        """Return the money that the codings differ by, a row each with its interval.

        Returns:
            `measure`, `unit`, `value`, `low`, `high`: `overpaid_usd` (the other coding is paid more), `underpaid_usd`,
            both not negative, `net_usd`, `improper_usd` [USD] and `net_share` of the reference's payment [1].

        Raises:
            InputError: the comparison has no dollars.
        """
        self._require_dollars()
        return pl.DataFrame(self._estimate_dollars(None, level), schema=_MEASURE, orient="row")

    def kinds(self, level: float = LEVEL) -> pl.DataFrame:
        """Return how often each kind of difference occurs and what it contributes, then "total".

        The contributions are exact Shapley values of each stay's kinds of difference: those of a stay add up to its
        payment change to the cent.

        Returns:
            `kind`, `differences`, `stays` with one; with dollars the contribution `net_usd` with `low` and `high`,
            and its parts `overpaid_usd`, `underpaid_usd` [USD].
        """
        first = self.found.first
        rows: list[tuple[object, ...]] = []
        for place, name in enumerate((*KINDS, "total")):
            own = first if name == "total" else first & (self.found.kind == place)
            if not own.any() and name != "total":
                continue
            row = self.found.changes.row[own]
            line: list[object] = [name, len(row), len(np.unique(row))]
            if self.priced:
                part = self.contributions if name == "total" else self.contributions[self.contributions[:, 1] == place]
                sums = self.units.add_up(part[:, 2].astype(np.float64), part[:, 0])
                value, low, high = estimate_sum(sums, level)
                line += [_to_usd(value), _to_usd(low), _to_usd(high)]
                line += [int(part[part[:, 2] > 0, 2].sum()) / 100, -int(part[part[:, 2] < 0, 2].sum()) / 100]
            rows.append(tuple(line))
        schema: dict[str, type[pl.DataType]] = {"kind": pl.String, "differences": pl.Int64, "stays": pl.Int64}
        if self.priced:
            schema |= dict.fromkeys(("net_usd", "low", "high", "overpaid_usd", "underpaid_usd"), pl.Float64)
        return pl.DataFrame(rows, schema=schema, orient="row")

    def by(self, column: str, level: float = LEVEL) -> pl.DataFrame:
        """Return agreement, F1 and dollars by a column, such as coder, service line, `mdc` or payer.

        Args:
            column: of either coding, or `mdc`, `drg`, `severity` of the reference.
            level: confidence level.

        Returns:
            The column, `stays`, `same_drg` and `f1` of all codes, each with `_low` and `_high`; with dollars
            `overpaid_usd`, `underpaid_usd`, `net_usd` with `net_low`, `net_high` [USD]. Most stays first.

        Raises:
            InputError: neither coding has the column.
        """
        labels = self._find_column(column)
        rows = []
        of_row = {name: self._counts.by_row(name, len(self)) for name in ("in_both", "missed", "added")}
        for label in labels.unique().sort():
            some = (labels == label if label is not None else labels.is_null()).to_numpy()
            weight = some.astype(np.float64)
            line: list[object] = [label, int(some.sum())]
            same = self._agreements["same_drg"] & some
            line += estimate_ratio(self.units.add_up(same.astype(float)), self.units.add_up(weight), level)
            both, missed, added = (of_row[name] * weight for name in ("in_both", "missed", "added"))
            line += estimate_ratio(self.units.add_up(2 * both), self.units.add_up(2 * both + missed + added), level)
            if self.priced:
                money = {name: estimate for name, _, *estimate in self._estimate_dollars(some, level)}
                line += [money["overpaid_usd"][0], money["underpaid_usd"][0], *money["net_usd"]]
            rows.append(tuple(line))
        names = ["stays", "same_drg", "same_drg_low", "same_drg_high", "f1", "f1_low", "f1_high"]
        names += ["overpaid_usd", "underpaid_usd", "net_usd", "net_low", "net_high"] if self.priced else []
        schema: dict[str, pl.DataType | type[pl.DataType]] = {
            column: labels.dtype,
            "stays": pl.Int64,
            **dict.fromkeys(names[1:], pl.Float64),
        }
        table = pl.DataFrame(rows, schema=schema, orient="row")
        return table.sort("stays", column, descending=[True, False])

    def to_scenario(self, title: str = "Differences between two codings") -> Scenario:
        """Return a scenario whose errors happen as often as the differences seen here.

        Each error has the rate seen and its counts as `study`, so that `studies.parameter_uncertainty` draws rates
        from a beta distribution. Simulate it over a year's claims of the same kind.

        Args:
            title: of the scenario.

        Returns:
            The scenario; `about` says which differences no error model can make.
        """
        return build_scenario(self.found, self.baseline, self.texts, title)

    def summary(self, level: float = LEVEL) -> pl.DataFrame:
        """Return the headline as `measure`, `unit`, `value`, `low`, `high`."""
        codes = self.codes(level).filter(pl.col("scope").is_in(["all", "diagnoses", "principal", "procedures"]))
        rows = [
            (f"{measure}_{scope}", "1", *values)
            for scope, *found in codes.select(
                "scope", *(f"{m}{end}" for m in ("precision", "recall", "f1") for end in ("", "_low", "_high"))
            ).rows()
            for measure, values in zip(("precision", "recall", "f1"), (found[0:3], found[3:6], found[6:9]), strict=True)
        ]
        parts = [self.agreement(level), pl.DataFrame(rows, schema=_MEASURE, orient="row")]
        return pl.concat([*parts, *([self.dollars(level)] if self.priced else [])])

    # --------------------------------------------------------------------------------------------- display

    def _build_report(self) -> tuple[str, Sequence[Section]]:
        units = f"{self.units.count:,} coders" if self.coder else "stays"
        heading = f"Two codings of {len(self):,} stays, {self.baseline.pricer.priced_by}; intervals count {units}"
        unmatched = len(self.only_in_reference), len(self.only_in_other)
        lines = (f"{unmatched[0]:,} stays are only in the reference, {unmatched[1]:,} only in the other coding.",)
        sections = [Section("Headline", lines, *_write_table(self.summary()), numbers=True)]
        return heading, [*sections, Section("Kinds of difference", (), *_write_table(self.kinds()), numbers=True)]

    # ---------------------------------------------------------------------------------------------- inside

    @cached_property
    def units(self) -> Units:
        """What counts as independent: stays, or coders."""
        return Units.by(self.other[self.coder] if self.coder else None, len(self))

    @cached_property
    def _counts(self) -> CodeCounts:
        return count_codes(self.sides, self.found)

    @cached_property
    def _agreements(self) -> dict[str, np.ndarray]:
        one, other = self.baseline.truth, self.grouping
        has = np.zeros(len(self), np.bool_)
        has[self.found.changes.row] = True
        names = {"same_drg": "drg", "same_base_drg": "base_drg", "same_severity": "severity", "same_mdc": "mdc"}
        same = {name: getattr(one, own) == getattr(other, own) for name, own in names.items()}
        return {**same, "same_principal": self.sides[0].pdx == self.sides[1].pdx, "same_codes": ~has}

    def _estimate_share(self, same: np.ndarray, level: float) -> Estimate:
        ones = np.ones(len(self))
        return estimate_ratio(self.units.add_up(same.astype(np.float64)), self.units.add_up(ones), level)

    def _estimate_dollars(self, some: np.ndarray | None, level: float) -> list[tuple[object, ...]]:
        own = np.ones(len(self), np.bool_) if some is None else some
        change, paid = np.where(own, self.change, 0), np.where(own, self.baseline.pricer.cents, 0)
        units = np.unique(self.units.of[own])

        def add_up(cents: Int64Array) -> FloatArray:
            return np.asarray(self.units.add_up(cents.astype(np.float64))[units])

        parts = {"overpaid_usd": np.maximum(change, 0), "underpaid_usd": np.maximum(-change, 0)}
        parts |= {"net_usd": change, "improper_usd": np.abs(change)}
        rows: list[tuple[object, ...]] = []
        for name, cents in parts.items():
            value, low, high = estimate_sum(add_up(cents), level)
            rows.append((name, "USD", _to_usd(value), _to_usd(low), _to_usd(high)))
        rows.append(("net_share", "1", *estimate_ratio(add_up(change), add_up(paid), level)))
        return rows

    def _find_column(self, column: str) -> pl.Series:
        reference, other = self.baseline.grouped, self.other
        if column in other.columns and column not in ADMISSIONS.names:
            return other[column]
        if column in reference.columns and not isinstance(reference.schema[column], pl.List):
            return reference[column]
        known = [*reference.columns, *other.columns]
        raise InputError(f"neither coding has a column {column!r}.{did_you_mean(column, known)}")

    def _require_dollars(self) -> None:
        if not self.priced:
            raise InputError("the comparison has no dollars. Pass rates to compare_codings.")


def _to_usd(cents: float | None) -> float | None:
    return None if cents is None else round(cents) / 100


def _write_table(table: pl.DataFrame) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    def write(value: object) -> str:
        if isinstance(value, float):
            return f"{value:,.4f}" if abs(value) < 10 else f"{value:,.2f}"
        return "" if value is None else f"{value:,}" if isinstance(value, int) else str(value)

    return tuple(table.columns), tuple(tuple(map(write, row)) for row in table.rows())
