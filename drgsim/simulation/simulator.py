"""Admissions billed with coding errors in many replicates: `simulate`.

The billed claims and the correctly coded admissions differ only by the errors. Draws are keyed by seed, error,
replicate and admission. Only admissions with an error are grouped again, and only those with another DRG or discharge
status are priced again. Sums are of whole cents, so no result depends on threads, blocks or row order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from numbers import Real

import numpy as np
import polars as pl

from drgsim.display import show_value
from drgsim.exceptions import InputError
from drgsim.files.foreign_frames import accept_frames
from drgsim.files.memory import check_memory, find_available_memory
from drgsim.miscoding.error_draws import DrawnErrors, confine_sites, draw_errors, key_sites
from drgsim.miscoding.error_sites import Sites
from drgsim.miscoding.scenarios import Scenario
from drgsim.miscoding.scrubber import REFUSALS
from drgsim.numerics.arrays import FloatArray, Int64Array, UInt64Array
from drgsim.numerics.keyed_random import TOGETHER
from drgsim.numerics.segments import find_run_starts
from drgsim.pricing.contracts import PriceTerms
from drgsim.rebilling.baseline import Baseline
from drgsim.rebilling.bill_edits import is_returning
from drgsim.simulation.error_combination import combine_errors
from drgsim.simulation.estimates import apply_control
from drgsim.simulation.exposures import Exposure
from drgsim.simulation.progress import progress_bar
from drgsim.simulation.result_tables import FINE, ClaimTables
from drgsim.simulation.results import Simulation
from drgsim.simulation.tallies import LEDGER_ORDER, ReplicateBlock, count_refusals, list_errors, tally_block
from drgsim.tables.table_set import TableSet

BLOCK = TOGETHER
"""Replicates are drawn in blocks of sixteen, or a multiple of that."""
_CLAIMS = 1 << 20
"""About how many billed claims a block has."""
_ADMISSION_BYTES = 1_400
"""Least memory that an admission takes, as encoded, grouped and priced; measured with an empty scenario."""
_ERROR_BYTES = 180
"""Memory that an error of the block under way takes, on the average; measured."""
_ADVICE = "Simulate part by part with drgsim.scale.simulate_parquet, or fewer admissions or replicates."


@accept_frames
def simulate(
    admissions: pl.DataFrame,
    scenario: Scenario,
    *,
    tables: TableSet,
    hospitals: pl.DataFrame | None,
    rates: PriceTerms,
    replicates: int = 100,
    seed: int,
    target_se: float | None = None,
    control: Exposure | None = None,
    ledger: bool = False,
    progress: bool | None = None,
    hospital_status: str | None = None,
    edits: str = "ignored",
) -> Simulation:
    """Bill admissions with the errors of a scenario, and compare with the correct coding.

    Args:
        admissions: (n,) `schema.ADMISSIONS` as correctly coded; `admission_id` must be distinct. With `hospital_id`,
            `los_days` and `covered_charges_usd` unless `hospitals` is None.
        scenario: the errors.
        tables: the grouper version of all admissions.
        hospitals: `schema.HOSPITALS`; None prices every admission at its weight times a base rate.
        rates: one `Rates`, or several, chosen by discharge date.
        replicates: how often the errors are drawn, at least 1 (2 for standard errors).
        seed: of all draws.
        target_se: stop, after a multiple of 16 replicates, when the standard error of the mean `net_usd` (with a
            control, of `net_usd_controlled`) is not above this [USD].
        control: `exposure` of the same admissions to the same scenario and seed. The known average effect of the
            errors drawn is taken out of each replicate: `net_usd_controlled` has the same expected value as `net_usd`
            and far less noise.
        ledger: whether to keep every single error made.
        progress: True shows a progress bar, False hides it, None shows it in a terminal after two seconds.
        hospital_status: as in `group`; None is NON_EXEMPT where there is POA, EXEMPT where there is none.
        edits: "ignored", or "returned": a bill that has a prepayment edit of CMS's editor, and none as correctly coded,
            is returned to the hospital unpaid, as a bill that cannot be grouped is. Needs `discharge_date`.

    Returns:
        A `Simulation`. After an interrupt (Ctrl-C) it holds the replicates finished, and says so.

    Raises:
        SchemaError: as `group` and `price`.
        InputError: ids are not distinct, an argument is out of range, the scenario names something that the version
            or the admissions do not have, or there is not enough memory.

    >>> from drgsim import Rates, generate
    >>> tables, rates = TableSet.load("43.1"), Rates.load(2026)
    >>> hospitals, admissions = generate(500, seed=1, tables=tables)
    >>> nothing = simulate(admissions, Scenario.load("empty"), tables=tables, hospitals=hospitals, rates=rates,
    ...                    replicates=2, seed=1)
    >>> nothing.mean("net_usd"), nothing.mean("drg_change_rate")
    (0.0, 0.0)
    """
    if target_se is not None and not (isinstance(target_se, Real) and target_se > 0):
        raise InputError(f"target_se is {show_value(target_se)}, expected USD above 0.")
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
        edits=edits,
    )
    run.draw_replicates(replicates, target_se=target_se, progress=progress)
    return run.build_result(replicates)


def start_run(
    admissions: pl.DataFrame,
    scenario: Scenario,
    *,
    tables: TableSet,
    hospitals: pl.DataFrame | None,
    rates: PriceTerms,
    replicates: int,
    seed: int,
    control: Exposure | None = None,
    ledger: bool = False,
    hospital_status: str | None = None,
    edits: str = "ignored",
) -> SimulationRun:
    """Return a run ready for its first replicate; arguments and errors as in `simulate`."""
    if isinstance(replicates, bool) or not isinstance(replicates, int) or replicates < 1:
        raise InputError(f"replicates is {show_value(replicates)}, expected a whole number from 1.")
    if not isinstance(scenario, Scenario):
        raise InputError(f"scenario is {scenario!r:.60}, expected a Scenario: Scenario.load(name or path).")
    if not isinstance(tables, TableSet):
        raise InputError(f"tables is {tables!r}, expected a TableSet: TableSet.load({str(tables)!r}).")
    scenario.check(tables)
    check_memory(len(admissions) * _ADMISSION_BYTES, f"a simulation of {len(admissions):,} admissions", _ADVICE)
    baseline = Baseline.of(admissions, tables=tables, hospitals=hospitals, rates=rates, hospital_status=hospital_status)
    if is_returning(edits):
        baseline = baseline.with_editor()
    return SimulationRun.of(baseline, scenario, seed=seed, ledger=ledger, control=control)


@dataclass(eq=False)
class SimulationRun:
    """A simulation under way: where errors can happen, and the replicates drawn so far.

    Attributes:
        baseline: the admissions as correctly coded.
        scenario, seed: as in `simulate`.
        sites: for each error, where it can happen; `keys` are those of its draws.
        keeps_ledger: whether every error made is kept.
        effects: for each error, its average effect at each site [cents], if there is a control.
        interrupted: whether Ctrl-C ended the run.
        blocks: the replicates drawn.
    """

    baseline: Baseline
    scenario: Scenario
    seed: int
    sites: list[Sites]
    keys: list[UInt64Array]
    keeps_ledger: bool
    effects: list[FloatArray] | None = None
    interrupted: bool = False
    blocks: list[ReplicateBlock] = field(default_factory=list)

    @classmethod
    def of(
        cls,
        baseline: Baseline,
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
            control.baseline.digest() != baseline.digest()
            or control.scenario.digest != scenario.digest
            or control.seed != seed
        ):
            raise InputError(
                "the control is the exposure of other admissions, another scenario or another seed. Call exposure() "
                "with those of this simulation."
            )
        sites = [confine_sites(error, baseline, seed=seed) for error in scenario.errors]
        keys = [
            key_sites(error, places, baseline, seed=seed) for error, places in zip(scenario.errors, sites, strict=True)
        ]
        effects = None if control is None else control.site_effects()
        run = cls(baseline, scenario, seed, sites, keys, ledger, effects)
        run.blocks.append(run._draw_block(range(0)))  # without a replicate, for the columns of its tables
        return run

    @property
    def replicates(self) -> int:
        """Number of replicates finished."""
        return sum(block.totals.height for block in self.blocks)

    @property
    def counts(self) -> Int64Array:
        """How many errors had each refusal, (errors, refusals); the first column counts those made."""
        return np.asarray(np.sum([block.counts for block in self.blocks], axis=0), np.int64)

    def draw_replicates(self, replicates: int, *, target_se: float | None = None, progress: bool | None = None) -> None:
        """Draw replicates up to the number asked, or until the standard error meets the target."""
        largest = self._choose_block(replicates) if target_se is None else BLOCK
        # A short first block, so that an interrupt after seconds keeps it; a short run is one block.
        is_short = replicates * sum(float(sites.rate.sum()) for sites in self.sites) < _CLAIMS / 4
        block = largest if is_short else min(BLOCK, largest)
        with progress_bar(replicates, "replicate", wanted=progress) as bar:
            try:
                while self.replicates < replicates:
                    asked = range(self.replicates, min(self.replicates + block, replicates))
                    self.blocks.append(self._draw_block(asked))
                    bar.update(len(asked))
                    if block == asked.stop:
                        self._check_result_size(replicates)
                    block = min(2 * block, largest)
                    if target_se and self._standard_error() <= target_se:
                        break
            except KeyboardInterrupt:
                self.interrupted = True

    def _choose_block(self, replicates: int) -> int:
        """Return the number of replicates of a block, so that its errors fit in memory.

        Raises:
            InputError: those of one replicate do not fit.
        """
        expected = max(sum(float(sites.rate.sum()) for sites in self.sites), 1)
        what = f"a replicate of {len(self.baseline):,} admissions with {expected:,.0f} errors"
        check_memory(expected * _ERROR_BYTES, what, _ADVICE)
        available, block = find_available_memory(), BLOCK * max(1, round(_CLAIMS / expected / BLOCK))
        # Fewer than sixteen are drawn at the price of sixteen, so only where sixteen would fill a third of the memory.
        while available is not None and block > 1 and min(block, replicates) * expected * _ERROR_BYTES > available / 3:
            block //= 2
        return block

    def _check_result_size(self, replicates: int) -> None:
        """Refuse replicates whose tables would not fit in memory, judged by the first block.

        Raises:
            InputError: as `check_memory`.
        """
        size = sum(
            table.estimated_size()
            for block in self.blocks
            for table in (block.changed_claims, block.attribution, block.ledger)
            if table is not None
        )
        need = size / self.replicates * (replicates - self.replicates)
        check_memory(need, f"the result of {replicates:,} replicates of {len(self.baseline):,} admissions", _ADVICE)

    def _draw_block(self, replicates: range) -> ReplicateBlock:
        """Draw the errors of some replicates, bill the claims, and attribute their payment changes."""
        found = [
            draw_errors(error, sites, keys, self.baseline, replicates)
            for error, sites, keys in zip(self.scenario.errors, self.sites, self.keys, strict=True)
        ]
        claims, lost = combine_errors(found)
        ledger = list_errors(claims, self.baseline, self.scenario) if self.keeps_ledger else None
        block = tally_block(replicates, claims, count_refusals(found, lost), self.baseline, ledger)
        if self.effects is None:
            return block
        return replace(block, totals=block.totals.with_columns(control=self._sum_control(found, replicates)))

    def _sum_control(self, found: Sequence[DrawnErrors], replicates: range) -> pl.Series:
        """Return the average effect of the errors drawn less the expected effect, (r,) [cents]."""
        assert self.effects is not None
        control = np.zeros(len(replicates))
        for one, sites, effect in zip(found, self.sites, self.effects, strict=True):
            at = one.replicate - replicates.start
            control += np.bincount(at, effect[one.site], minlength=len(replicates))[: len(replicates)]
            control -= sites.rate @ effect
        return pl.Series("control", control)

    def _standard_error(self) -> float:
        """Return the standard error of the mean net change so far [USD], infinite for one replicate."""
        totals = pl.concat(block.totals for block in self.blocks)
        net = apply_control(totals) if self.effects is not None else totals["net"].to_numpy() / 100
        return float(net.std(ddof=1)) / len(net) ** 0.5 if len(net) > 1 else float("inf")

    def build_result(self, asked: int) -> Simulation:
        """Return the result of the replicates drawn; `asked` is the number wanted."""
        ledgers = [block.ledger for block in self.blocks if block.ledger is not None]
        pricer = self.baseline.pricer
        return Simulation(
            run_id=make_run_id(self.digest, self.scenario, self.baseline.tables.version, self.seed),
            scenario=self.scenario,
            version=self.baseline.tables.version,
            seed=self.seed,
            replicates=self.replicates,
            asked=asked,
            interrupted=self.interrupted,
            priced_by=pricer.priced_by,
            totals=pl.concat(block.totals for block in self.blocks),
            error_counts=self._count_errors(),
            tables=ClaimTables(
                labels=tuple(error.label for error in self.scenario.errors),
                admissions=self.baseline.grouped.with_columns(
                    usd=pl.Series(pricer.cents / 100), weight=pl.Series(pricer.weight4 / 1e4)
                ),
                changed_claims=pl.concat(block.changed_claims for block in self.blocks),
                attribution=pl.concat(block.attribution for block in self.blocks),
                ledger=pl.concat(ledgers).sort(LEDGER_ORDER, maintain_order=True) if ledgers else None,
            ),
        )

    @property
    def digest(self) -> str:
        """Digest of the admissions and all that is known of them.

        `join_digests` joins those of parts.
        """
        columns = {"hospital_id", "coder_id"}.union(*(error.where.columns for error in self.scenario.errors))
        return self.baseline.digest(columns)

    def _count_errors(self) -> pl.DataFrame:
        """Return for each error how often it could be made, was made, and was refused."""
        rows = []
        for error, sites, count in zip(self.scenario.errors, self.sites, self.counts.tolist(), strict=True):
            admissions = len(find_run_starts(sites.row))
            expected = int(np.rint(sites.rate * FINE).astype(np.int64).sum()) / FINE
            rows.append((error.label, admissions, len(sites), expected, sum(count), count[0], *count[1:]))
        names = ("admissions", "sites", "expected", "drawn", "made", *REFUSALS[1:])
        kinds = dict.fromkeys(names, pl.Int64) | {"expected": pl.Float64}
        return pl.DataFrame(rows, schema={"error": pl.String, **kinds}, orient="row")


def make_run_id(digest: str, scenario: Scenario, version: str, seed: int) -> str:
    """Return the id of a run: 20 hexadecimal digits, whatever the row order.

    Args:
        digest: of the admissions, see `SimulationRun.digest`.
        scenario, version, seed: of the run.
    """
    return hashlib.sha256("\n".join((digest, scenario.digest, version, str(seed))).encode()).hexdigest()[:20]
