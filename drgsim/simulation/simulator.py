"""Admissions billed with coding errors, many times over: `simulate` says what the errors do to payment.

Truth and bill share everything but the errors. Draws are keyed by seed, error, replicate and admission; only
admissions with an error are grouped again, and only those that move are priced again. Sums are of whole cents, so no
result depends on threads, blocks or row order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from drgsim.exceptions import InputError
from drgsim.miscoding.error_draws import DrawnErrors, confine_sites, draw_errors, key_sites
from drgsim.miscoding.error_sites import Sites
from drgsim.miscoding.scenarios import Scenario
from drgsim.miscoding.scrubber import REFUSALS
from drgsim.numerics.arrays import FloatArray, Int64Array, UInt64Array
from drgsim.numerics.keyed_random import TOGETHER
from drgsim.numerics.segments import find_run_starts
from drgsim.pricing.rates import Rates
from drgsim.rebilling.baseline import Baseline
from drgsim.simulation.billed_claims import combine_errors, find_changed
from drgsim.simulation.estimates import apply_control
from drgsim.simulation.exposures import Exposure
from drgsim.simulation.progress import progress_bar
from drgsim.simulation.result_tables import FINE
from drgsim.simulation.results import Simulation
from drgsim.simulation.tallies import (
    _LEDGER_ORDER,
    _bill_frame,
    _Block,
    _by_replicate,
    _counted,
    _ledger,
    _share_frame,
    _totals,
)
from drgsim.tables.table_set import TableSet

BLOCK = TOGETHER
"""Replicates are billed sixteen at a time, or a multiple of that."""
_BILLS = 1 << 20
"""About how many bills are put together at a time."""


def simulate(
    admissions: pl.DataFrame,
    scenario: Scenario,
    *,
    tables: TableSet,
    hospitals: pl.DataFrame | None,
    rates: Rates | Sequence[Rates],
    replicates: int = 100,
    seed: int,
    target_se: float | None = None,
    control: Exposure | None = None,
    ledger: bool = False,
    progress: bool | None = None,
    hospital_status: str | None = None,
) -> Simulation:
    """Bill admissions with the errors of a scenario, and compare with the truth.

    Args:
        admissions: (n,) `schema.ADMISSIONS` as they should be billed; `admission_id` must be distinct. With
            `hospital_id`, `los_days` and `covered_charges_usd` unless `hospitals` is None.
        scenario: the errors.
        tables: the grouper version of all of them.
        hospitals: `schema.HOSPITALS`; None prices weight times a stated base rate.
        rates: one `Rates`, or several, chosen by discharge date.
        replicates: how often the errors are drawn, at least 1 (2 for standard errors).
        seed: of all draws.
        target_se: stop, after a multiple of 16 replicates, once the standard error of the mean `net_usd` (with a
            control, of `net_usd_controlled`) is not above this [USD].
        control: `exposure` of the same admissions to the same scenario and seed. What its single errors are known to
            do on average is taken out of each replicate: `net_usd_controlled` has the same mean and far less noise.
        ledger: whether to keep every single error made.
        progress: True shows a progress bar, False none, None one in a terminal if it lasts.
        hospital_status: as in `group`; None is NON_EXEMPT where there is POA, EXEMPT where there is none.

    Returns:
        A `Simulation`. After an interrupt (Ctrl-C) it holds the replicates finished, and says so.

    Raises:
        SchemaError: as `group` and `pay`.
        InputError: ids are not distinct, an argument is out of range, or the scenario names what the version or the
            admissions do not have.

    >>> from drgsim import generate
    >>> tables, rates = TableSet.load("43.1"), Rates.load(2026)
    >>> hospitals, admissions = generate(500, seed=1, tables=tables)
    >>> nothing = simulate(admissions, Scenario.load("empty"), tables=tables, hospitals=hospitals, rates=rates,
    ...                    replicates=2, seed=1)
    >>> nothing.mean("net_usd"), nothing.mean("drg_change_rate")
    (0.0, 0.0)
    """
    if target_se is not None and not target_se > 0:
        raise InputError(f"target_se is {target_se!r}, expected USD above 0.")
    run = start_run(
        admissions,
        scenario,
        tables=tables,
        hospitals=hospitals,
        rates=rates,
        replicates=replicates,
        seed=seed,
        control=control,
        ledger=ledger,
        hospital_status=hospital_status,
    )
    run.go(replicates, target_se=target_se, progress=progress)
    return run.result(replicates)


def start_run(
    admissions: pl.DataFrame,
    scenario: Scenario,
    *,
    tables: TableSet,
    hospitals: pl.DataFrame | None,
    rates: Rates | Sequence[Rates],
    replicates: int,
    seed: int,
    control: Exposure | None = None,
    ledger: bool = False,
    hospital_status: str | None = None,
) -> SimulationRun:
    """Return a simulation ready for its first replicate; arguments and errors as in `simulate`."""
    if isinstance(replicates, bool) or not isinstance(replicates, int) or replicates < 1:
        raise InputError(f"replicates is {replicates!r}, expected a whole number from 1.")
    if not isinstance(scenario, Scenario):
        raise InputError(f"scenario is {scenario!r:.60}, expected a Scenario: Scenario.load(name or path).")
    if not isinstance(tables, TableSet):
        raise InputError(f"tables is {tables!r}, expected a TableSet: TableSet.load({str(tables)!r}).")
    scenario.check(tables)
    cases = Baseline.of(admissions, tables=tables, hospitals=hospitals, rates=rates, hospital_status=hospital_status)
    return SimulationRun.of(cases, scenario, seed=seed, ledger=ledger, control=control)


@dataclass(eq=False)
class SimulationRun:
    """A simulation under way: where errors can happen, and what the replicates so far came to."""

    cases: Baseline
    scenario: Scenario
    seed: int
    sites: list[Sites]
    keys: list[UInt64Array]
    keeps_ledger: bool
    effects: list[FloatArray] | None = None
    interrupted: bool = False
    blocks: list[_Block] = field(default_factory=list)

    @classmethod
    def of(
        cls,
        cases: Baseline,
        scenario: Scenario,
        *,
        seed: int,
        ledger: bool = False,
        control: Exposure | None = None,
    ) -> SimulationRun:
        """Find where each error of the scenario can happen.

        Raises:
            InputError: the control is of other admissions, another scenario or another seed.
        """
        if control is not None and (
            control.cases.digest() != cases.digest()
            or control.scenario.digest != scenario.digest
            or control.seed != seed
        ):
            raise InputError("the control is the exposure of other admissions, another scenario or another seed.")
        sites = [confine_sites(error, cases, seed=seed) for error in scenario.errors]
        keys = [key_sites(error, own, cases, seed=seed) for error, own in zip(scenario.errors, sites, strict=True)]
        effects = None if control is None else control.site_effects()
        run = cls(cases, scenario, seed, sites, keys, ledger, effects)
        run.blocks.append(run._block(range(0)))  # no replicate yet, but the columns of one
        return run

    @property
    def done(self) -> int:
        """Replicates finished."""
        return sum(block.totals.height for block in self.blocks)

    @property
    def counts(self) -> Int64Array:
        """How often each error had each refusal, (errors, refusals); the first says it was made."""
        return np.asarray(np.sum([block.counts for block in self.blocks], axis=0), np.int64)

    def go(self, replicates: int, *, target_se: float | None = None, progress: bool | None = None) -> None:
        """Draw and bill replicates until there are as many, or their mean is as sure as asked."""
        expected = sum(float(sites.rate.sum()) for sites in self.sites)
        block = BLOCK if target_se else BLOCK * max(1, round(_BILLS / max(expected, 1) / BLOCK))
        with progress_bar(replicates, "replicate", wanted=progress) as bar:
            try:
                while self.done < replicates:
                    asked = range(self.done, min(self.done + block, replicates))
                    self.blocks.append(self._block(asked))
                    bar.update(len(asked))
                    if target_se and self._standard_error() <= target_se:
                        break
            except KeyboardInterrupt:
                self.interrupted = True

    def _block(self, replicates: range) -> _Block:
        """Draw, bill and attribute the errors of some replicates."""
        cases, errors = self.cases, self.scenario.errors
        found = [
            draw_errors(error, sites, keys, cases, replicates)
            for error, sites, keys in zip(errors, self.sites, self.keys, strict=True)
        ]
        bills, lost = combine_errors(found)
        billed = cases.rebill(bills.edits, bills.start)
        change = billed.cents - cases.pricer.cents[bills.row]
        returned = cases.find_returned(bills.row, billed.drg)
        change[returned] = 0
        totals = _totals(replicates, bills, billed, change, returned, cases)
        if self.effects is not None:
            totals = totals.with_columns(control=self._surplus(found, replicates))
        moved = _by_replicate(bills, np.flatnonzero(find_changed(bills, billed, cases)))
        return _Block(
            totals=totals,
            changed_claims=_bill_frame(bills, billed, change, returned, moved),
            attribution=_share_frame(bills, change, returned, cases),
            ledger=_ledger(bills, cases, self.scenario) if self.keeps_ledger else None,
            counts=_counted(found, lost, len(errors)),
        )

    def _surplus(self, found: Sequence[DrawnErrors], replicates: range) -> pl.Series:
        """Return what the errors of each replicate do on average beyond what is expected of them, (r,) [cents]."""
        assert self.effects is not None
        surplus = np.zeros(len(replicates))
        for one, sites, effect in zip(found, self.sites, self.effects, strict=True):
            at = one.replicate - replicates.start
            surplus += np.bincount(at, effect[one.site], minlength=len(replicates))[: len(replicates)]
            surplus -= sites.rate @ effect
        return pl.Series("control", surplus)

    def _standard_error(self) -> float:
        totals = pl.concat(block.totals for block in self.blocks)
        net = apply_control(totals) if self.effects is not None else totals["net"].to_numpy() / 100
        return float(net.std(ddof=1)) / len(net) ** 0.5 if len(net) > 1 else float("inf")

    def result(self, asked: int) -> Simulation:
        """Return what the replicates came to."""
        ledgers = [block.ledger for block in self.blocks if block.ledger is not None]
        return Simulation(
            run_id=self.run_id,
            scenario=self.scenario,
            version=self.cases.tables.version,
            seed=self.seed,
            replicates=self.done,
            asked=asked,
            interrupted=self.interrupted,
            priced_by=self.cases.pricer.priced_by,
            admissions=self.cases.grouped.with_columns(
                usd=pl.Series(self.cases.pricer.cents / 100), weight=pl.Series(self.cases.pricer.weight4 / 1e4)
            ),
            totals=pl.concat(block.totals for block in self.blocks),
            changed_claims=pl.concat(block.changed_claims for block in self.blocks),
            attribution=pl.concat(block.attribution for block in self.blocks),
            error_counts=self._applied(),
            ledger=pl.concat(ledgers).sort(_LEDGER_ORDER, maintain_order=True) if ledgers else None,
        )

    @property
    def run_id(self) -> str:
        """Twenty hexadecimal digits that data, scenario, version and seed decide, whatever the row order."""
        return make_run_id(self.digest, self.scenario, self.cases.tables.version, self.seed)

    @property
    def digest(self) -> str:
        """What is known of the admissions, see `Cases.digest`; those of parts join (`cases.joined_digest`)."""
        columns = {"hospital_id", "coder_id"}.union(*(error.where.columns for error in self.scenario.errors))
        return self.cases.digest(columns)

    def _applied(self) -> pl.DataFrame:
        """Return how often each error could be made, was made, and why not, over all replicates."""
        rows = []
        for error, sites, count in zip(self.scenario.errors, self.sites, self.counts.tolist(), strict=True):
            admissions = len(find_run_starts(sites.row))
            expected = int(np.rint(sites.rate * FINE).astype(np.int64).sum()) / FINE
            rows.append((error.label, admissions, len(sites), expected, sum(count), count[0], *count[1:]))
        names = ("admissions", "sites", "expected", "drawn", "made", *REFUSALS[1:])
        kinds = dict.fromkeys(names, pl.Int64) | {"expected": pl.Float64}
        return pl.DataFrame(rows, schema={"error": pl.String, **kinds}, orient="row")


def make_run_id(digest: str, scenario: Scenario, version: str, seed: int) -> str:
    """Return the id of a run, see `Run.run_id`; `digest` is that of its admissions (`Run.digest`)."""
    return hashlib.sha256("\n".join((digest, scenario.digest, version, str(seed))).encode()).hexdigest()[:20]
