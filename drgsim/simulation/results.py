"""The result of a simulation: its tables, with standard errors, saved and loaded."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from drgsim.display import PrintedReport, Section
from drgsim.exceptions import InputError, did_you_mean
from drgsim.miscoding.scenarios import Scenario
from drgsim.numerics.keyed_random import uniform
from drgsim.simulation.estimates import LEVEL, apply_control, estimate_measures, t_quantile
from drgsim.simulation.headline import build_headline
from drgsim.simulation.result_tables import ERROR, MEASURES, BaselineTotals, ClaimTables, MergedTables
from drgsim.simulation.storage import RUN, SCENARIO, read_run, read_stored_scenario, read_stored_table, save_folder
from drgsim.tables.table_set import describe_version

_RUN_FIELDS = ("run_id", "version", "seed", "replicates", "asked", "interrupted", "priced_by")
_DERIVED = ("summary", "errors", "transitions")
"""Tables that are saved for other programs; `load_simulation` computes them again."""
_RESAMPLES = 2000


@dataclass(frozen=True, eq=False, repr=False)
class Simulation(PrintedReport):
    """What coding errors did to payment, over some replicates. A frozen value of frames.

    Money is the payment as billed less the payment as correctly coded [USD]: `net` is `overpaid` less `underpaid`
    (which is not negative), `improper` is their sum. Claims that cannot be grouped are returned, not paid: they count
    as `returned`, not as underpaid. So do claims returned for edits, where `simulate` is called with
    `edits="returned"`; these are counted and priced apart, too.

    `simulate` keeps single claims. A simulation in parts (`drgsim.scale`) keeps sums of whole numbers: its tables are
    equal to those of `simulate`, number by number, but `by` takes only the columns named before the run, and
    `admissions`, `changed_claims`, `attribution` and `ledger` raise InputError.

    Attributes:
        run_id: hash of data, scenario, version and seed.
        scenario, version, seed: what was simulated.
        replicates: number finished; `asked` is the number wanted, `interrupted` whether Ctrl-C ended the run.
        priced_by: how payment was computed.
        totals: (r,) whole numbers of each replicate, money in cents.
        error_counts: for each error, how often it could be made, was made, and was refused, by reason.
        tables: the claims, or sums over them.

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
    totals: pl.DataFrame
    error_counts: pl.DataFrame
    tables: ClaimTables | MergedTables

    @property
    def admissions(self) -> pl.DataFrame:
        """The admissions as correctly coded, (n,), grouped, with payment `usd` and `weight`."""
        return self._claims.admissions

    @property
    def changed_claims(self) -> pl.DataFrame:
        """Claims with another DRG or payment than as correctly coded.

        Replicate, row of the admission, DRG, MDC, severity, payment change `cents`, and whether returned.
        """
        return self._claims.changed_claims

    @property
    def attribution(self) -> pl.DataFrame:
        """What each error contributed to the changed claims [cents], as `shapley.Attribution`."""
        return self._claims.attribution

    @property
    def ledger(self) -> pl.DataFrame | None:
        """Every error made, or None unless asked for.

        Replicate, admission, error, field, place, code before and after.
        """
        return self._claims.ledger

    @property
    def _claims(self) -> ClaimTables:
        if isinstance(self.tables, ClaimTables):
            return self.tables
        raise InputError(
            "a simulation in parts keeps sums, not single claims. Use its tables (summary, errors, by, transitions), "
            "or simulate in memory with drgsim.simulate."
        )

    @property
    def baseline(self) -> BaselineTotals:
        """Totals of the admissions as correctly coded, in whole numbers."""
        return self.tables.total_baseline()

    @property
    def payment_usd(self) -> float:
        """Payment of all admissions as correctly coded [USD]."""
        return self.baseline.cents / 100

    def _build_report(self) -> tuple[str, Sequence[Section]]:
        stopped = f" (interrupted, {self.asked:,} asked)" if self.interrupted else ""
        heading = (
            f"{self.scenario.title}: {self.baseline.admissions:,} admissions, {self.replicates:,} replicates{stopped}, "
            f"version {describe_version(self.version)}, {self.priced_by}, seed {self.seed}, run {self.run_id}"
        )
        return heading, build_headline(self.summary(), self.errors())

    def summary(self, level: float = LEVEL) -> pl.DataFrame:
        """Return each measure with its mean over replicates, standard error, interval and spread.

        Money in USD per replicate, in USD per admission and as a share of payment as correctly coded; shares of
        admissions with another code and with another DRG, and of changed DRGs those paid more; case-mix index; MCC
        and CC capture; returned claims, and which of these could be grouped and are returned for edits (only with
        `edits="returned"`). Columns as `estimate_measures` returns them.

        Args:
            level: confidence level of the intervals.
        """
        total, baseline = self.totals, self.baseline
        n, paid = max(baseline.admissions, 1), baseline.cents / 100 or float("nan")
        money = {name: total[name].to_numpy() / 100 for name in ("net", "overpaid", "underpaid")}
        money["improper"] = money["overpaid"] + money["underpaid"]
        changed, up = total["drg_changes"].to_numpy(), total["drg_changes_up"].to_numpy()
        index = baseline.weight4 / 1e4 / n
        change = total["weight4"].to_numpy() / 1e4 / n
        values = {f"{name}_usd": ("USD", usd) for name, usd in money.items()}
        values |= {f"{name}_usd_per_admission": ("USD/admission", usd / n) for name, usd in money.items()}
        values |= {f"{name}_share": ("of payment", usd / paid) for name, usd in money.items()}
        values |= {
            "code_change_rate": ("of admissions", total["code_changes"].to_numpy() / n),
            "drg_change_rate": ("of admissions", changed / n),
            "share_up": ("of changed DRGs", up[changed > 0] / changed[changed > 0]),
            "case_mix_index": ("weight", index + change),
            "case_mix_index_change": ("weight", change),
            "mcc_capture": ("of admissions", (baseline.mcc + total["mcc"].to_numpy()) / n),
            "cc_capture": ("of admissions", (baseline.cc + total["cc"].to_numpy()) / n),
            "returned_rate": ("of admissions", total["returned"].to_numpy() / n),
            "returned_usd": ("USD", total["returned_cents"].to_numpy() / 100),
        }
        if "returned_for_edits" in total.columns:
            values["returned_for_edits_rate"] = ("of admissions", total["returned_for_edits"].to_numpy() / n)
            values["returned_for_edits_usd"] = ("USD", total["returned_for_edits_cents"].to_numpy() / 100)
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
        """Return the result by columns of the admissions, of billed claims (`BILLED`), or "error".

        Args:
            columns: such as "mdc", "drg", "hospital_id", "severity", "error", "billed_drg", or several.
            level: confidence level of the intervals.

        Returns:
            One row per group, sorted: `admissions` and `payment_usd` as correctly coded (not by columns of billed
            claims or "error"); means per replicate of `net_usd` with its standard error and interval,
            `overpaid_usd`, `underpaid_usd`, `improper_usd` and `drg_changes` (admissions); `net_share` of payment. By
            "error", money is what each error contributed (Shapley values).

        Raises:
            InputError: no column is given, or there is no such column.
        """
        if not columns:
            raise InputError('name a column to group the result by, such as result.by("mdc").')
        grouped, correct = self.tables.group_claims(columns)
        table = grouped.group_by(columns).agg(*(pl.col(name).sum() for name in MEASURES), squares=_sum_squares("net"))
        if correct is not None:
            paid = correct.select(
                *columns, pl.col("admissions").cast(pl.get_index_type()), payment_usd=pl.col("cents") / 100
            )
            table = paid.join(table, on=columns, how="left", nulls_equal=True)
            table = table.with_columns(pl.col(*MEASURES, "squares").fill_null(0))  # null: no claim of the group changed
        return self._average_groups(table, columns, level)

    def _average_groups(self, table: pl.DataFrame, columns: tuple[str, ...], level: float) -> pl.DataFrame:
        """Return the means per replicate of each group, and the interval of its net change."""
        r = self.replicates
        replicates = pl.lit(r or None, pl.Float64)  # without a replicate the mean is null
        mean = {f"{name}_usd": pl.col(name) / 100 / replicates for name in MEASURES[:-1]}
        mean["drg_changes"] = pl.col("drg_changes") / replicates
        margin = t_quantile(r - 1, level) if r > 1 else float("nan")
        table = table.with_columns(**mean, net_standard_error=_standard_error("net", r)).with_columns(
            net_low=pl.col("net_usd") - margin * pl.col("net_standard_error"),
            net_high=pl.col("net_usd") + margin * pl.col("net_standard_error"),
        )
        names = ["net_usd", "net_standard_error", "net_low", "net_high", "overpaid_usd", "underpaid_usd",
                 "improper_usd", "drg_changes"]  # fmt: skip
        if "payment_usd" not in table.columns:
            return table.select(*columns, *names).sort(columns)
        paid = pl.col("payment_usd")
        net_share = pl.when(paid != 0).then(pl.col("net_usd") / paid)  # null: nothing is paid for the group
        return table.select(*columns, "admissions", "payment_usd", *names, net_share=net_share).sort(columns)

    def errors(self) -> pl.DataFrame:
        """Return what each error contributed per replicate [USD].

        `shapley_usd` adds up to `net_usd` to the cent.

        Returns:
            `error`, `shapley_usd` with its standard error, `first_in_usd` (the change if it were the only error),
            `last_in_usd` (what it adds to all other errors: the change saved if it alone were corrected), in the
            scenario's order; then a row "total".
        """
        r, money = self.replicates, ("cents", "first_in", "last_in")
        labels = pl.DataFrame({ERROR: [error.label for error in self.scenario.errors]}, schema={ERROR: pl.String})
        names = labels.with_row_index("error_number").with_columns(pl.col("error_number").cast(pl.UInt8))
        totals = self.tables.total_errors()
        table = totals.group_by("error_number").agg(pl.col(money).sum(), squares=_sum_squares("cents"))
        table = names.join(table, on="error_number", how="left", maintain_order="left").fill_null(0)
        table = table.select(
            ERROR,
            shapley_usd=pl.col("cents") / 100 / max(r, 1),
            standard_error=_standard_error("cents", r),
            first_in_usd=pl.col("first_in") / 100 / max(r, 1),
            last_in_usd=pl.col("last_in") / 100 / max(r, 1),
        )
        error = float(self.totals["net"].to_numpy().std(ddof=1)) / 100 / r**0.5 if r > 1 else None
        sums = (int(one.sum()) / 100 / max(r, 1) for one in (self.totals["net"], *totals.select(money[1:])))
        net, first_in, last_in = sums
        total = ("total", net, error, first_in, last_in)
        return table.vstack(pl.DataFrame([total], schema=table.schema, orient="row"))

    def transitions(self) -> pl.DataFrame:
        """Return the DRG changes: mean admissions and dollars per replicate, most dollars first.

        Returns:
            `drg`, `billed_drg`, `admissions`, `usd`; returned claims have a billed DRG and no dollars.
        """
        r = max(self.replicates, 1)
        return (
            self.tables.total_transitions()
            .with_columns(admissions=pl.col("admissions") / r, usd=pl.col("cents") / 100 / r)
            .select("drg", "billed_drg", "admissions", "usd")
            .sort(pl.col("usd").abs(), "drg", "billed_drg", descending=[True, False, False])
        )

    def over_hospitals(self, level: float = LEVEL) -> tuple[float, float, float]:
        """Return the net share of payment with its interval over hospitals: `share`, `low`, `high`.

        The interval is what other hospitals of this kind might show. Hospitals are resampled whole, 2,000 times; this
        is uncertainty about hospitals, apart from the noise of draws.

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

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Save the result in a folder, which appears once it is complete and on disk.

        Every table is a Parquet file named like the attribute or method (`changed_claims.parquet`,
        `summary.parquet`); the scenario is `scenario.toml`, the run `run.json`. `load_simulation` reads it back.

        Args:
            folder: created if need be, with its parents; an earlier result there is replaced as a whole.

        Returns:
            The folder.

        Raises:
            InputError: the folder holds anything but an earlier result.
            StorageError: it cannot be written; an earlier result there is unchanged.

        >>> import tempfile
        >>> from drgsim import Rates, TableSet, generate
        >>> from drgsim.simulation.simulator import simulate
        >>> tables = TableSet.load("43.1")
        >>> hospitals, admissions = generate(200, seed=1, tables=tables)
        >>> result = simulate(admissions, Scenario.load("illustration"), tables=tables, hospitals=hospitals,
        ...                   rates=Rates.load(2026), replicates=2, seed=1)
        >>> folder = result.save(Path(tempfile.mkdtemp()) / "result")
        >>> load_simulation(folder).mean("net_usd") == result.mean("net_usd")
        True
        """
        run = {name: getattr(self, name) for name in _RUN_FIELDS}
        run["tables"] = list(self.tables.stored)
        if isinstance(self.tables, MergedTables):
            run["by"] = self.tables.columns
        tables = {"totals": self.totals, "error_counts": self.error_counts, **self.tables.stored}
        tables |= {name: getattr(self, name)() for name in _DERIVED}
        return save_folder(folder, tables, run, self.scenario.dumps())


def load_simulation(folder: str | os.PathLike[str]) -> Simulation:
    """Return the result that `Simulation.save` saved in a folder.

    Raises:
        InputError: the folder holds no result, or a file of it is missing, damaged or of another result.

    >>> load_simulation("absent")
    Traceback (most recent call last):
    drgsim.exceptions.InputError: absent: no result of a simulation there (no run.json).
    """
    run = read_run(folder, _RUN_FIELDS)
    scenario = Scenario.loads(read_stored_scenario(folder, run), file=f"{folder}/{SCENARIO}")
    stored = {name: read_stored_table(folder, name, run) for name in run["tables"]}
    tables: ClaimTables | MergedTables
    try:
        if "by" in run:
            tables = MergedTables(tuple(map(tuple, run["by"])), stored)
        else:
            tables = ClaimTables(tuple(error.label for error in scenario.errors), **stored)
    except TypeError as error:
        raise InputError(f"{folder}: {RUN} is damaged; its tables are not those of a result.") from error
    return Simulation(
        scenario=scenario,
        totals=read_stored_table(folder, "totals", run),
        error_counts=read_stored_table(folder, "error_counts", run),
        tables=tables,
        **{name: run[name] for name in _RUN_FIELDS},
    )


# ---------------------------------------------------------------------------------------------------------


def _sum_squares(name: str) -> pl.Expr:
    """Return the exact sum of squares of whole numbers.

    A sum of floats would depend on the order of the rows.
    """
    return (pl.col(name).cast(pl.Int128) * pl.col(name).cast(pl.Int128)).sum()


def _standard_error(name: str, replicates: int) -> pl.Expr:
    """Return the standard error of a mean over replicates [USD].

    From a sum and the sum of `squares` [cents]. Null for fewer than two replicates. Replicates without a change count
    as 0.
    """
    r = replicates
    if r < 2:
        return pl.lit(None, pl.Float64)
    total = pl.col(name).cast(pl.Int128)
    return ((pl.col("squares") * r - total * total).cast(pl.Float64) / (r * r * (r - 1))).sqrt() / 100
