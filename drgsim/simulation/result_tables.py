"""Result tables."""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from drgsim.display import Section, render_html, render_text
from drgsim.exceptions import InputError, did_you_mean
from drgsim.miscoding.scenarios import Scenario
from drgsim.numerics.keyed_random import uniform
from drgsim.simulation.estimates import LEVEL, apply_control, estimate_measures, t_quantile
from drgsim.simulation.headline import build_headline

ERROR = "error"
BILLED = ("billed_drg", "billed_mdc", "billed_severity")
"""Columns of bills, beside those of the admissions, by which a result can be told."""
FINE = 1 << 32
"""Expected errors are told in whole 2**-32, so that those of parts add up to those of the whole."""
TOLD = ("summary", "errors", "transitions")
"""Tables it derives from these and writes, too."""

_RESAMPLES = 2000
_MEASURES = ("net", "overpaid", "underpaid", "improper", "drg_changes")


class TrueTotals(NamedTuple):
    """The admissions as they should be billed, in whole numbers: how many, payment, weights [1e-4], CCs and MCCs."""

    admissions: int
    cents: int
    weight4: int
    cc: int
    mcc: int


class Result(ABC):
    """Every table of a simulation, told from whole numbers a replicate, however these were come by."""

    scenario: Scenario
    seed: int
    replicates: int
    totals: pl.DataFrame
    error_counts: pl.DataFrame

    @abstractmethod
    def _truth(self) -> TrueTotals:
        """Return what the admissions come to as they should be billed."""

    @abstractmethod
    def _by(self, columns: tuple[str, ...]) -> tuple[pl.DataFrame, pl.DataFrame | None]:
        """Return `_MEASURES` by replicate and columns, and `admissions` and `cents` of the truth by columns.

        The latter is None where a column is one of bills. Raises InputError where there is no such column.
        """

    @abstractmethod
    def _by_error(self) -> pl.DataFrame:
        """Return `cents`, `first_in`, `last_in` by `error` and `replicate`."""

    @abstractmethod
    def _moves(self) -> pl.DataFrame:
        """Return `admissions` and `cents` by `drg` and `billed_drg`, over all replicates."""

    @abstractmethod
    def _about(self) -> dict[str, str | int | bool]:
        """Return what the run was."""

    @abstractmethod
    def _stored(self) -> dict[str, pl.DataFrame]:
        """Return the tables it is made of."""

    def __str__(self) -> str:
        """Return the headline figures in plain text: dollars, rates and errors, each with its standard error."""
        return render_text(*self._headline())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """Show the same in a notebook."""
        return render_html(*self._headline())

    def _headline(self) -> tuple[str, Sequence[Section]]:
        about = self._about()
        stopped = f" (interrupted, {about['asked']:,} asked)" if about.get("interrupted") else ""
        heading = (
            f"{self.scenario.title}: {self._truth().admissions:,} admissions, {self.replicates:,} replicates{stopped}, "
            f"version {about['version']}, {about['priced_by']}, seed {self.seed}, run {about['run_id']}"
        )
        return heading, build_headline(self.summary(), self.errors())

    @property
    def payment_usd(self) -> float:
        """Payment of the truth [USD]."""
        return self._truth().cents / 100

    def summary(self, level: float = LEVEL) -> pl.DataFrame:
        """Return each measure with its mean over replicates, Monte-Carlo error and spread (`statistics.estimates`).

        Money in USD a replicate, in USD an admission and as a share of the true payment; shares of admissions with
        another code, another DRG, and of changed DRGs those that pay more; case-mix index; MCC and CC capture.

        Args:
            level: of the intervals.
        """
        total, truth = self.totals, self._truth()
        n, paid = max(truth.admissions, 1), truth.cents / 100 or float("nan")
        money = {name: total[name].to_numpy() / 100 for name in ("net", "overpaid", "underpaid")}
        money["improper"] = money["overpaid"] + money["underpaid"]
        moved, up = total["drg_changes"].to_numpy(), total["drg_changes_up"].to_numpy()
        with np.errstate(invalid="ignore"):
            share_up = np.where(moved > 0, up / np.maximum(moved, 1), np.nan)
        index = truth.weight4 / 1e4 / n
        change = total["weight4"].to_numpy() / 1e4 / n
        values = {f"{name}_usd": ("USD", usd) for name, usd in money.items()}
        values |= {f"{name}_usd_per_admission": ("USD/admission", usd / n) for name, usd in money.items()}
        values |= {f"{name}_share": ("of payment", usd / paid) for name, usd in money.items()}
        values |= {
            "code_change_rate": ("of admissions", total["code_changes"].to_numpy() / n),
            "drg_change_rate": ("of admissions", moved / n),
            "share_up": ("of changed DRGs", share_up[moved > 0]),
            "case_mix_index": ("weight", index + change),
            "case_mix_index_change": ("weight", change),
            "mcc_capture": ("of admissions", (truth.mcc + total["mcc"].to_numpy()) / n),
            "cc_capture": ("of admissions", (truth.cc + total["cc"].to_numpy()) / n),
            "returned_rate": ("of admissions", total["returned"].to_numpy() / n),
            "returned_usd": ("USD", total["returned_cents"].to_numpy() / 100),
        }
        if "control" in total.columns:
            values["net_usd_controlled"] = ("USD", apply_control(total))
        return estimate_measures(values, level)

    def mean(self, measure: str) -> float:
        """Return the mean of one measure of `summary`.

        Raises:
            InputError: there is no such measure.
        """
        table = self.summary()
        found = table.filter(pl.col("measure") == measure)["mean"]
        if not len(found):
            names = table["measure"].to_list()
            raise InputError(f"no measure is called {measure!r}.{did_you_mean(measure, names)}")
        return float("nan") if found[0] is None else float(found[0])

    def by(self, *columns: str, level: float = LEVEL) -> pl.DataFrame:
        """Return the result by any columns: of the admissions, of the bills (`BILLED`), or "error".

        Args:
            columns: such as "mdc", "drg", "hospital_id", "severity", "error", or several.
            level: of the intervals.

        Returns:
            A row a group, sorted by it: `admissions` and `payment_usd` of the truth (not for columns of bills);
            mean `net_usd` with its standard error and interval, `overpaid_usd`, `underpaid_usd`, `improper_usd`, `drg_changes`
            (admissions), each a replicate; `net_share` of payment. By operator, what errors contributed
            (Shapley values).

        Raises:
            InputError: no column, or one that is not there.
        """
        if not columns:
            raise InputError('name a column to tell the result by, such as result.by("mdc").')
        per, truth = self._by(columns)
        table = per.group_by(columns).agg(*(pl.col(name).sum() for name in _MEASURES), squares=_squares("net"))
        if truth is not None:
            paid = truth.select(
                *columns, pl.col("admissions").cast(pl.get_index_type()), payment_usd=pl.col("cents") / 100
            )
            table = paid.join(table, on=columns, how="left", nulls_equal=True)
            table = table.with_columns(pl.col(*_MEASURES, "squares").fill_null(0))
        return self._told(table, columns, level)

    def _told(self, table: pl.DataFrame, columns: tuple[str, ...], level: float) -> pl.DataFrame:
        r = self.replicates
        each = pl.lit(r or None, pl.Float64)  # the mean of no replicate is not known
        mean = {f"{name}_usd": pl.col(name) / 100 / each for name in ("net", "overpaid", "underpaid", "improper")}
        mean["drg_changes"] = pl.col("drg_changes") / each
        reach = t_quantile(r - 1, level) if r > 1 else float("nan")
        told = table.with_columns(**mean, net_standard_error=_standard_error("net", r)).with_columns(
            net_low=pl.col("net_usd") - reach * pl.col("net_standard_error"),
            net_high=pl.col("net_usd") + reach * pl.col("net_standard_error"),
        )
        names = [
            "net_usd",
            "net_standard_error",
            "net_low",
            "net_high",
            "overpaid_usd",
            "underpaid_usd",
            "improper_usd",
        ]
        if "payment_usd" in told.columns:
            paid = pl.col("payment_usd")
            told = told.with_columns(net_share=pl.when(paid != 0).then(pl.col("net_usd") / paid))
            return told.select(*columns, "admissions", "payment_usd", *names, "drg_changes", "net_share").sort(columns)
        return told.select(*columns, *names, "drg_changes").sort(columns)

    def errors(self) -> pl.DataFrame:
        """Return what each error contributed, a replicate [USD]; `shapley_usd` add up to `net_usd` to the cent.

        Returns:
            `error`, `shapley_usd` with its standard error, `first_in_usd` (were it the only error), `last_in_usd` (what
            would be spared if it alone were mended), in the scenario's order; then a row "total".
        """
        r = self.replicates
        labels = pl.DataFrame({ERROR: [error.label for error in self.scenario.errors]}, schema={ERROR: pl.String})
        names = labels.with_row_index("error_number").with_columns(pl.col("error_number").cast(pl.UInt8))
        per = self._by_error()
        table = per.group_by("error_number").agg(
            pl.col("cents", "first_in", "last_in").sum(), squares=_squares("cents")
        )
        table = names.join(table, on="error_number", how="left", maintain_order="left").fill_null(0)
        told = table.select(
            ERROR,
            shapley_usd=pl.col("cents") / 100 / max(r, 1),
            standard_error=_standard_error("cents", r),
            first_in_usd=pl.col("first_in") / 100 / max(r, 1),
            last_in_usd=pl.col("last_in") / 100 / max(r, 1),
        )
        sure = float(self.totals["net"].to_numpy().std(ddof=1)) / 100 / r**0.5 if r > 1 else None
        whole = [int(per[name].sum()) / 100 / max(r, 1) for name in ("first_in", "last_in")]
        total = ("total", int(self.totals["net"].sum()) / 100 / max(r, 1), sure, *whole)
        return told.vstack(pl.DataFrame([total], schema=told.schema, orient="row"))

    def transitions(self) -> pl.DataFrame:
        """Return DRG to billed DRG: mean admissions and dollars a replicate, most dollars first.

        Returns:
            `drg`, `billed_drg`, `admissions`, `usd`; bills that are returned have a billed DRG and no dollars.
        """
        r = max(self.replicates, 1)
        return (
            self._moves()
            .with_columns(admissions=pl.col("admissions") / r, usd=pl.col("cents") / 100 / r)
            .select("drg", "billed_drg", "admissions", "usd")
            .sort(pl.col("usd").abs(), "drg", "billed_drg", descending=[True, False, False])
        )

    def over_hospitals(self, level: float = LEVEL) -> tuple[float, float, float]:
        """Return the net share of payment, and its interval were other such hospitals simulated.

        Hospitals are resampled whole, 2,000 times; this is uncertainty about hospitals, beside the noise of events.

        Raises:
            InputError: the admissions have no `hospital_id`.
        """
        table = self.by("hospital_id")
        net, paid = table["net_usd"].to_numpy(), table["payment_usd"].to_numpy()
        picks = (uniform(self.seed, "hospitals", np.arange(_RESAMPLES * len(net))) * len(net)).astype(np.int64)
        picks = picks.reshape(_RESAMPLES, len(net))
        share = net[picks].sum(axis=1) / paid[picks].sum(axis=1)
        low, high = np.quantile(share, [0.5 - level / 2, 0.5 + level / 2])
        return float(net.sum() / paid.sum()), float(low), float(high)

    def write(self, folder: str | os.PathLike[str]) -> Path:
        """Write every table as Parquet, and the scenario and run as TOML and JSON, into a folder.

        Returns:
            The folder; it is made if need be, and files of the same names are replaced.
        """
        root = Path(folder)
        root.mkdir(parents=True, exist_ok=True)
        tables = {
            **self._stored(),
            **{name: getattr(self, name)() for name in TOLD},
        }
        for name, table in tables.items():
            table.write_parquet(root / f"{name}.parquet")
        (root / "scenario.toml").write_text(self.scenario.dumps(), "utf-8")
        (root / "run.json").write_text(json.dumps(self._about(), indent=1), "utf-8")
        return root


def _squares(name: str) -> pl.Expr:
    """Sum of squares of whole numbers, exact: floats would depend on the order of the rows."""
    return (pl.col(name).cast(pl.Int128) * pl.col(name).cast(pl.Int128)).sum().alias("squares")


def _standard_error(name: str, replicates: int) -> pl.Expr:
    """Return the standard error of a mean over replicates [USD], from a sum and the sum of `squares` [cents].

    Null for fewer than two replicates; those in which nothing happened count with 0.
    """
    r = replicates
    if r < 2:
        return pl.lit(None, pl.Float64)
    total = pl.col(name).cast(pl.Int128)
    return ((pl.col("squares") * r - total * total).cast(pl.Float64) / (r * r * (r - 1))).sqrt() / 100
