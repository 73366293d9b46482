"""The whole numbers behind the tables of a result: of single claims, or merged from parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import polars as pl

from drgsim.exceptions import InputError, did_you_mean
from drgsim.schema import Severity

ERROR = "error"
BILLED = ("billed_drg", "billed_mdc", "billed_severity")
"""Columns of billed claims that a result can be grouped by, besides those of the admissions."""
MEASURES = ("net", "overpaid", "underpaid", "improper", "drg_changes")
"""Measures of a group in one replicate: money in cents, and admissions with another DRG."""
FINE = 1 << 32
"""Expected errors are whole multiples of 2**-32, so that those of parts add up exactly to those of all."""

Columns = tuple[str, ...]


class BaselineTotals(NamedTuple):
    """Totals of the admissions as correctly coded.

    Number of admissions, payment [cents], weight [1e-4], and number with a CC or MCC.
    """

    admissions: int
    cents: int
    weight4: int
    cc: int
    mcc: int


@dataclass(frozen=True, eq=False)
class ClaimTables:
    """The claims of a simulation in memory, which can be grouped by any column.

    Attributes as in `Simulation`; `labels` are those of its errors.
    """

    labels: tuple[str, ...]
    admissions: pl.DataFrame
    changed_claims: pl.DataFrame
    attribution: pl.DataFrame
    ledger: pl.DataFrame | None = None

    @property
    def stored(self) -> dict[str, pl.DataFrame]:
        """The tables to save, by name."""
        return {name: frame for name, frame in vars(self).items() if isinstance(frame, pl.DataFrame)}

    def total_baseline(self) -> BaselineTotals:
        """Return the totals of the admissions as correctly coded."""
        levels, weight4 = self.admissions["severity"], (self.admissions["weight"] * 1e4).round().cast(pl.Int64)
        cc, mcc = (int((levels == level).sum()) for level in ("CC", "MCC"))
        cents = int((self.admissions["usd"] * 100).round().cast(pl.Int64).sum())
        return BaselineTotals(self.admissions.height, cents, int(weight4.sum()), cc, mcc)

    def group_claims(self, columns: Columns) -> tuple[pl.DataFrame, pl.DataFrame | None]:
        """Return the measures of billed claims, and the totals as correctly coded, by columns.

        The first frame has `MEASURES` by replicate and columns, the second `admissions` and `cents` by columns.

        The second frame is None where a column is one of billed claims or "error".

        Raises:
            InputError: there is no such column.
        """
        correct = [name for name in columns if name not in (ERROR, *BILLED)]
        for name in correct:
            if name not in self.admissions.columns:
                known = (ERROR, *BILLED, *self.admissions.columns)
                raise InputError(f"the result has no column {name!r}.{did_you_mean(name, known)}")
        claims = self._measure_errors() if ERROR in columns else self._measure_claims()
        if correct:
            claims = claims.with_columns(self.admissions.select(correct)[claims["row"]].get_columns())
        grouped = claims.group_by("replicate", *columns).agg(pl.col(MEASURES).sum())
        if len(correct) < len(columns):
            return grouped, None
        cents = (pl.col("usd") * 100).round().cast(pl.Int64).sum()
        return grouped, self.admissions.group_by(correct).agg(admissions=pl.len(), cents=cents)

    def total_errors(self) -> pl.DataFrame:
        """Return `cents`, `first_in` and `last_in` by `error_number` and `replicate`."""
        return self.attribution.group_by("error_number", "replicate").agg(pl.col("cents", "first_in", "last_in").sum())

    def total_transitions(self) -> pl.DataFrame:
        """Return `admissions` and `cents` by `drg` and `billed_drg`, over all replicates."""
        claims = self._measure_claims().with_columns(drg=self.admissions["drg"][self.changed_claims["row"]])
        changed = claims.filter(pl.col("drg") != pl.col("billed_drg"))
        return changed.group_by("drg", "billed_drg").agg(admissions=pl.len(), cents=pl.col("net").sum())

    def _measure_claims(self) -> pl.DataFrame:
        """Return the changed claims with `BILLED` and `MEASURES`."""
        severities = pl.Series("billed_severity", Severity.categories, dtype=Severity)
        correct_drg = self.admissions["drg"][self.changed_claims["row"]]
        return self.changed_claims.with_columns(correct_drg=correct_drg).select(
            "replicate",
            "row",
            pl.col("drg").alias("billed_drg"),
            pl.col("mdc").alias("billed_mdc"),
            severities.gather(self.changed_claims["severity"]),
            *_measure_money(),
            drg_changes=((pl.col("drg") != pl.col("correct_drg")) & ~pl.col("returned")).cast(pl.Int64),
        )

    def _measure_errors(self) -> pl.DataFrame:
        """Return the attribution with `BILLED` and `MEASURES`.

        An error counts the DRG change of its whole claim.
        """
        labels = pl.Series(ERROR, self.labels, dtype=pl.String)
        claims = self._measure_claims().select("replicate", "row", *BILLED, "drg_changes")
        return (
            self.attribution.with_columns(labels.gather(self.attribution["error_number"]) if len(labels) else labels)
            .join(claims, on=["replicate", "row"], how="left")
            .select(
                "replicate",
                "row",
                ERROR,
                *BILLED,
                *_measure_money(),
                drg_changes=pl.col("drg_changes").fill_null(0),  # null: the claim has neither another DRG nor payment
            )
        )


@dataclass(frozen=True, eq=False)
class MergedTables:
    """Sums over the claims of all parts, which can be grouped only by columns named before.

    Attributes:
        columns: the groups of columns named.
        stored: the sums by name, as `merged_results.tally_run` returns them.
    """

    columns: tuple[Columns, ...]
    stored: Mapping[str, pl.DataFrame]

    def total_baseline(self) -> BaselineTotals:
        """Return the totals of the admissions as correctly coded."""
        return BaselineTotals(*self.stored["baseline"].row(0))

    def group_claims(self, columns: Columns) -> tuple[pl.DataFrame, pl.DataFrame | None]:
        """Return what `ClaimTables.group_claims` returns.

        Raises:
            InputError: the columns were not named before the run.
        """
        place = next((i for i, named in enumerate(self.columns) if set(named) == set(columns)), None)
        if place is None:
            known = ", ".join(" and ".join(named) for named in self.columns) or "nothing"
            raise InputError(
                f"the parts were not grouped by {' and '.join(columns)}, but by {known}. "
                "Name it in `by` when the simulation starts."
            )
        return self.stored[f"grouped_{place}"], self.stored.get(f"correct_{place}")

    def total_errors(self) -> pl.DataFrame:
        """Return what `ClaimTables.total_errors` returns."""
        return self.stored["error_totals"]

    def total_transitions(self) -> pl.DataFrame:
        """Return what `ClaimTables.total_transitions` returns."""
        return self.stored["transition_totals"]


def _measure_money() -> list[pl.Expr]:
    """Return the measures of money from `cents`."""
    cents = pl.col("cents")
    return [
        cents.alias("net"),
        cents.clip(lower_bound=0).alias("overpaid"),
        (-cents.clip(upper_bound=0)).alias("underpaid"),
        cents.abs().alias("improper"),
    ]
