"""The result of a simulation: totals, tables by any column, transitions, and how sure each of them is."""

from __future__ import annotations

from dataclasses import dataclass, field

import polars as pl

from drgsim.exceptions import InputError, did_you_mean
from drgsim.miscoding.scenarios import Scenario
from drgsim.schema import Severity
from drgsim.simulation.result_tables import _MEASURES, BILLED, ERROR, Result, TrueTotals

ABOUT = ("run_id", "version", "seed", "replicates", "asked", "interrupted", "priced_by")
"""What `Simulation.write` says of a run in run.json."""
STORED = ("admissions", "totals", "changed_claims", "attribution", "error_counts")
"""Tables that a `Simulation` is made of and writes; a ledger comes besides."""


@dataclass(frozen=True, eq=False, repr=False)
class Simulation(Result):
    """What coding errors did to payment, over some replicates. A frozen value of frames.

    Money is what is billed less the truth [USD]: `over` is overpaid, `under` underpaid (not below 0), `gross` their
    sum, `net` their difference. Bills that cannot be grouped are returned, not paid: they count as
    `returned`, not as underpaid.

    Attributes:
        run_id: decided by data, scenario, version and seed.
        scenario, version, seed: what was simulated.
        replicates: how many were finished; `asked` how many were wanted, `interrupted` whether that was why.
        priced_by: what the dollars are.
        admissions: (n,) the truth, grouped, with `usd` and `weight`.
        totals: (r,) whole numbers of each replicate, money in cents.
        changed_claims: bills that moved: replicate, row of the admission, DRG, MDC, severity, change [cents].
        attribution: what each error contributed to them, see `bills.Shares` [cents].
        error_counts: how often each error could be made, was made, and was refused, and why.
        ledger: every error made (replicate, admission, operator, field, place, code before and after), or None.

    >>> from drgsim import Rates, TableSet, generate
    >>> from drgsim.simulation.simulator import simulate
    >>> tables, rates = TableSet.load("43.1"), Rates.load(2026)
    >>> hospitals, admissions = generate(500, seed=1, tables=tables)
    >>> result = simulate(admissions, Scenario.load("illustration"), tables=tables, hospitals=hospitals, rates=rates,
    ...                   replicates=4, seed=1)
    >>> sum_of_errors = result.by("error")["net_usd"].sum()
    >>> abs(sum_of_errors - result.mean("net_usd")) < 0.01
    True
    """

    run_id: str
    scenario: Scenario
    version: str
    seed: int
    replicates: int
    asked: int
    interrupted: bool
    priced_by: str
    admissions: pl.DataFrame = field(repr=False)
    totals: pl.DataFrame = field(repr=False)
    changed_claims: pl.DataFrame = field(repr=False)
    attribution: pl.DataFrame = field(repr=False)
    error_counts: pl.DataFrame = field(repr=False)
    ledger: pl.DataFrame | None = field(default=None, repr=False)

    def _about(self) -> dict[str, str | int | bool]:
        return {name: getattr(self, name) for name in ABOUT}

    def _stored(self) -> dict[str, pl.DataFrame]:
        stored = {name: getattr(self, name) for name in STORED}
        return stored if self.ledger is None else {**stored, "ledger": self.ledger}

    def _truth(self) -> TrueTotals:
        levels, weight4 = self.admissions["severity"], (self.admissions["weight"] * 1e4).round().cast(pl.Int64)
        cc, mcc = (int((levels == level).sum()) for level in ("CC", "MCC"))
        return TrueTotals(self.admissions.height, _cents(self.admissions["usd"]), int(weight4.sum()), cc, mcc)

    def _by(self, columns: tuple[str, ...]) -> tuple[pl.DataFrame, pl.DataFrame | None]:
        own = [name for name in columns if name not in (ERROR, *BILLED)]
        for name in own:
            if name not in self.admissions.columns:
                known = (ERROR, *BILLED, *self.admissions.columns)
                raise InputError(f"the result has no column {name!r}.{did_you_mean(name, known)}")
        moved = self._attribution() if ERROR in columns else self._bills()
        keys = self.admissions.select(own) if own else pl.DataFrame()
        moved = moved.with_columns(keys[moved["row"]].get_columns()) if own else moved
        per = moved.group_by("replicate", *columns).agg(pl.col(_MEASURES).sum())
        if len(own) < len(columns):
            return per, None
        cents = (pl.col("usd") * 100).round().cast(pl.Int64).sum()
        return per, self.admissions.group_by(own).agg(admissions=pl.len(), cents=cents)

    def _by_error(self) -> pl.DataFrame:
        return self.attribution.group_by("error_number", "replicate").agg(pl.col("cents", "first_in", "last_in").sum())

    def _moves(self) -> pl.DataFrame:
        bills = self._bills().with_columns(drg=self.admissions["drg"][self.changed_claims["row"]])
        moved = bills.filter(pl.col("drg") != pl.col("billed_drg"))
        return moved.group_by("drg", "billed_drg").agg(admissions=pl.len(), cents=pl.col("net").sum())

    def _bills(self) -> pl.DataFrame:
        """Return the bills that moved with the measures of a table, money in cents."""
        cents, severities = pl.col("cents"), Severity.categories
        drg = self.admissions["drg"][self.changed_claims["row"]]
        named = pl.Series("billed_severity", severities, dtype=Severity)
        return self.changed_claims.with_columns(drg_was=drg).select(
            "replicate",
            "row",
            pl.col("drg").alias("billed_drg"),
            pl.col("mdc").alias("billed_mdc"),
            named.gather(self.changed_claims["severity"]),
            net=cents,
            overpaid=cents.clip(lower_bound=0),
            underpaid=-cents.clip(upper_bound=0),
            improper=cents.abs(),
            drg_changes=((pl.col("drg") != pl.col("drg_was")) & ~pl.col("returned")).cast(pl.Int64),
        )

    def _attribution(self) -> pl.DataFrame:
        """Return what each error contributed to the bills, with the measures of a table; DRGs of the whole bill."""
        labels = pl.Series(ERROR, [error.label for error in self.scenario.errors], dtype=pl.String)
        bills = self._bills().select("replicate", "row", *BILLED, "drg_changes")
        cents = pl.col("cents")
        return (
            self.attribution.with_columns(labels.gather(self.attribution["error_number"]) if len(labels) else labels)
            .join(bills, on=["replicate", "row"], how="left")
            .select(
                "replicate",
                "row",
                ERROR,
                *BILLED,
                net=cents,
                overpaid=cents.clip(lower_bound=0),
                underpaid=-cents.clip(upper_bound=0),
                improper=cents.abs(),
                drg_changes=pl.col("drg_changes").fill_null(0),
            )
        )


def _cents(usd: pl.Series) -> int:
    return int((usd * 100).round().cast(pl.Int64).sum())
