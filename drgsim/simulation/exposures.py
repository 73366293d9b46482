"""The effect of every single error of a scenario on every admission, without sampling noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl

from drgsim.exceptions import InputError
from drgsim.files.foreign_frames import accept_frames
from drgsim.miscoding.error_draws import allows_excluded, confine_sites, draw_outcomes, key_sites
from drgsim.miscoding.error_models import ErrorModel
from drgsim.miscoding.error_sites import Sites
from drgsim.miscoding.scenarios import Scenario
from drgsim.miscoding.scrubber import find_refusals
from drgsim.numerics.arrays import FloatArray, Int64Array
from drgsim.numerics.segments import expand_rows
from drgsim.pricing.contracts import PriceTerms
from drgsim.rebilling.baseline import Baseline
from drgsim.rebilling.bill_edits import is_returning
from drgsim.rebilling.code_changes import CodeChanges, describe_changes
from drgsim.tables.table_set import TableSet

_CLAIMS = 1 << 21
"""Claims grouped and priced at a time."""
_ALTERNATIVE = 1 << 40
"""`simulate` draws no replicate from this number on, so the outcomes tried here are draws of their own."""


@dataclass(frozen=True, eq=False)
class Exposure:
    """Single errors and the effect of each alone, (k,), sorted by error, admission and place.

    Attributes:
        scenario: the errors.
        baseline: the admissions as correctly coded.
        seed: of hospital and coder traits, and of the alternatives tried.
        error: (k,) place of the error in the scenario.
        site: (k,) place of the site among those of its error.
        changes: (k,) the code change that each error makes.
        share: (k,) probability of this outcome, given that the error happens at its site.
        drg, weight4, cents: (k,) billed DRG, change of weight [1e-4] and of payment [cents].
        returned: (k,) claims that cannot be grouped; they count as 0 cents.
        rates: for each error, the probability at each of its sites.

    >>> from drgsim import Rates, generate
    >>> tables, rates = TableSet.load("43.1"), Rates.load(2026)
    >>> hospitals, admissions = generate(300, seed=1, tables=tables)
    >>> found = exposure(admissions, Scenario.load("illustration"), tables=tables, hospitals=hospitals, rates=rates)
    >>> found.frame().height == len(found), bool(found.probability.max() <= 1)
    (True, True)
    """

    scenario: Scenario
    baseline: Baseline = field(repr=False)
    seed: int
    error: np.ndarray = field(repr=False)
    site: Int64Array = field(repr=False)
    changes: CodeChanges = field(repr=False)
    share: FloatArray = field(repr=False)
    drg: np.ndarray = field(repr=False)
    weight4: Int64Array = field(repr=False)
    cents: Int64Array = field(repr=False)
    returned: np.ndarray = field(repr=False)
    rates: tuple[FloatArray, ...] = field(repr=False)

    def __len__(self) -> int:
        """Return the number of single errors."""
        return len(self.site)

    @property
    def probability(self) -> FloatArray:
        """Probability of each single error, (k,)."""
        found = np.zeros(len(self), np.float64)
        for error, rate in enumerate(self.rates):
            which = np.flatnonzero(self.error == error)
            found[which] = rate[self.site[which]] * self.share[which]
        return found

    @property
    def moved(self) -> np.ndarray:
        """Whether each leads to another DRG and is paid, (k,)."""
        moved: np.ndarray = (self.drg != self.baseline.truth.drg[self.changes.row]) & ~self.returned
        return moved

    def frame(self) -> pl.DataFrame:
        """Return one row per single error: admission, error, code change, probability and effect.

        Returns:
            `admission_id`, `error`, `field`, `place`, `code_before`, `code_after`, `probability`, `drg`,
            `billed_drg`, `weight_change`, `usd_change`.
        """
        row = self.changes.row
        labels = pl.Series([error.label for error in self.scenario.errors], dtype=pl.String)
        start = pl.DataFrame(
            {
                "admission_id": self.baseline.ids[row],
                "error": labels.gather(self.error) if len(labels) else pl.Series([], dtype=pl.String),
                "place": self.changes.place,
                "probability": self.probability,
                "drg": self.baseline.truth.drg[row],
                "billed_drg": self.drg,
                "weight_change": self.weight4 / 1e4,
                "usd_change": self.cents / 100,
            }
        )
        table = start.hstack(describe_changes(self.changes, self.baseline.tables))
        first = ("admission_id", "error", "field", "place", "code_before", "code_after")
        return table.select(*first, pl.all().exclude(first))

    def expected(self) -> pl.DataFrame:
        """Return the expected effect of each error alone, and their sum, without interaction.

        Returns:
            `error`, `errors`, `drg_changes`, `overpaid_usd`, `underpaid_usd`, `net_usd`, expected in one replicate: one
            row per error of the scenario, then "total".
        """
        p, usd, moved = self.probability, self.cents / 100, self.moved
        rows = []
        for place, error in enumerate(self.scenario.errors):
            which = self.error == place
            overpaid = p[which] @ np.maximum(usd[which], 0)
            underpaid = p[which] @ np.maximum(-usd[which], 0)
            errors, drg_changes = p[which].sum(), p[which] @ moved[which]
            rows.append((error.label, errors, drg_changes, overpaid, underpaid, overpaid - underpaid))
        names = ("errors", "drg_changes", "overpaid_usd", "underpaid_usd", "net_usd")
        table = pl.DataFrame(rows, schema={"error": pl.String, **dict.fromkeys(names, pl.Float64)}, orient="row")
        total = table.select(pl.lit("total").alias("error"), pl.col(names).sum())
        return table.vstack(total)

    def rates_of_change(self) -> dict[str, float]:
        """Return the expected `drg_change_rate`, `share_up` and `net_share` of all errors together.

        These are shares of admissions, of changed DRGs and of payment. An admission changes if one of its errors
        changes its DRG; errors count as independent.
        """
        p, moved = self.probability, self.moved
        log_unchanged = np.log1p(-np.minimum(p[moved], 1 - 1e-12))
        log_unchanged = np.bincount(self.changes.row[moved], log_unchanged, minlength=len(self.baseline))
        changing = float(p @ moved)
        up = float(p @ (moved & (self.cents > 0)))
        paid = float(self.baseline.pricer.cents.sum())
        return {
            "drg_change_rate": float(-np.expm1(log_unchanged).mean()) if len(log_unchanged) else 0.0,
            "share_up": up / changing if changing else float("nan"),
            "net_share": float(p @ self.cents) / paid if paid else float("nan"),
        }

    def decisive(self) -> Exposure:
        """Return only the single errors that change a DRG or a payment.

        They are fewer, and enough for rates and money.
        """
        kept = np.flatnonzero(self.moved | (self.cents != 0))
        columns = ("error", "site", "share", "drg", "weight4", "cents", "returned")
        return replace(self, changes=self.changes.take(kept), **{name: getattr(self, name)[kept] for name in columns})

    def reweighted(self, scenario: Scenario) -> Exposure:
        """Return the same single errors at the rates of another scenario.

        The scenarios may differ in rates alone.

        Raises:
            InputError: the scenario has other errors, or they can happen elsewhere.
        """
        if [e.label for e in scenario.errors] != [e.label for e in self.scenario.errors]:
            raise InputError("the scenario has other errors than this exposure. Call exposure() for it.")
        rates = tuple(confine_sites(error, self.baseline, seed=self.seed).rate for error in scenario.errors)
        if [len(rate) for rate in rates] != [len(rate) for rate in self.rates]:
            raise InputError(
                "the errors of the scenario can happen at other sites than in this exposure. Call exposure() for it."
            )
        return replace(self, scenario=scenario, rates=rates)

    def shifted(self, shifts: Sequence[float]) -> Exposure:
        """Return the same single errors with the rates of each shifted on the logit scale.

        Rates of 0 and 1 stay.
        """
        rates = tuple(_shift_rates(rate, shift) for rate, shift in zip(self.rates, shifts, strict=True))
        return replace(self, rates=rates)

    def opportunities(self, most: int = 1) -> pl.DataFrame:
        """Return for each admission the single changes that would be paid most.

        They show what better documentation might be worth. A query about a diagnosis is right only if the record
        supports it, which is not known here.

        Args:
            most: number of changes per admission.

        Returns:
            Rows of `frame` with a `usd_change` above 0, highest first.
        """
        gains = self.frame().filter(pl.col("usd_change") > 0)
        order = ("usd_change", "admission_id", "error", "place", "code_after")
        ranked = gains.sort(order, descending=[True, False, False, False, False])
        return ranked.group_by("admission_id", maintain_order=True).head(most).select(gains.columns)

    def site_effects(self) -> list[FloatArray]:
        """Return the mean payment change at each site of each error [cents], as a control."""
        effects = []
        for error, rate in enumerate(self.rates):
            which = np.flatnonzero(self.error == error)
            mean = np.bincount(self.site[which], self.share[which] * self.cents[which], minlength=len(rate))
            effects.append(mean.astype(np.float64))
        return effects


@accept_frames
def exposure(
    admissions: pl.DataFrame,
    scenario: Scenario,
    *,
    tables: TableSet,
    hospitals: pl.DataFrame | None,
    rates: PriceTerms,
    alternatives: int | None = 1,
    seed: int = 0,
    hospital_status: str | None = None,
    edits: str = "ignored",
) -> Exposure:
    """Return the effect of every single error of a scenario that can happen to each admission.

    The sum of probability times effect is the expected effect without sampling noise. What `simulate` finds in
    addition is the interaction of errors.

    Args:
        admissions, scenario, tables, hospitals, rates, hospital_status, edits: as in `simulate`.
        alternatives: number of outcomes tried where an error has several (such as which code is added), drawn as
            `simulate` draws them; None tries all, which is exact and may be very many.
        seed: of the alternatives, and of hospital and coder traits.

    Raises:
        SchemaError, InputError: as `simulate`.

    >>> from drgsim import Rates, generate
    >>> tables, rates = TableSet.load("43.1"), Rates.load(2026)
    >>> hospitals, admissions = generate(300, seed=1, tables=tables)
    >>> found = exposure(admissions, Scenario.load("illustration"), tables=tables, hospitals=hospitals, rates=rates)
    >>> found.expected().columns
    ['error', 'errors', 'drg_changes', 'overpaid_usd', 'underpaid_usd', 'net_usd']
    """
    if alternatives is not None and (isinstance(alternatives, bool) or alternatives < 1):
        raise InputError(f"alternatives is {alternatives!r}, expected a whole number from 1, or None for all.")
    if not isinstance(scenario, Scenario):
        raise InputError(f"scenario is {scenario!r:.60}, expected a Scenario: Scenario.load(name or path).")
    baseline = Baseline.of(admissions, tables=tables, hospitals=hospitals, rates=rates, hospital_status=hospital_status)
    scenario.check(tables)
    if is_returning(edits):
        baseline = baseline.with_editor()
    return compute_exposure(baseline, scenario, alternatives=alternatives, seed=seed)


def compute_exposure(
    baseline: Baseline, scenario: Scenario, *, alternatives: int | None = 1, seed: int = 0
) -> Exposure:
    """Return the exposure of admissions that are encoded, grouped and priced.

    Arguments as in `exposure`.
    """
    errors, rates, sites_of, shares = [], [], [], [np.zeros(0)]
    parts = [CodeChanges.none()]
    for place, error in enumerate(scenario.errors):
        sites = confine_sites(error, baseline, seed=seed)
        site, option, share = _choose_outcomes(error, sites, baseline, alternatives, seed)
        parts.append(sites.changes(site, option))
        errors.append(np.full(len(site), place, np.uint8))
        rates.append(sites.rate)
        sites_of.append(site)
        shares.append(share)
    changes = CodeChanges.join(parts)
    number = np.concatenate([np.zeros(0, np.uint8), *errors])
    site = np.concatenate([np.zeros(0, np.int64), *sites_of])
    order = np.lexsort((changes.after, changes.place, changes.kind, baseline.ids[changes.row], number))
    changes, drg, cents = changes.take(order), np.zeros(len(order), np.uint16), np.zeros(len(order), np.int64)
    for start in range(0, len(order), _CLAIMS):
        part = changes.take(slice(start, start + _CLAIMS))
        billed = baseline.rebill(part, np.arange(len(part) + 1))
        drg[start : start + _CLAIMS], cents[start : start + _CLAIMS] = billed.drg, billed.cents
    returned, pricer = np.zeros(len(order), np.bool_), baseline.pricer
    for start in range(0, len(order), _CLAIMS):
        part = changes.take(slice(start, start + _CLAIMS))
        bounds = np.arange(len(part) + 1)
        returned[start : start + _CLAIMS] = baseline.find_returned(drg[start : start + _CLAIMS], part, bounds)
    return Exposure(
        scenario=scenario,
        baseline=baseline,
        seed=seed,
        error=number[order],
        site=site[order],
        changes=changes,
        share=np.concatenate(shares)[order],
        drg=drg,
        weight4=np.where(returned, 0, pricer.find_weights4(changes.row, drg) - pricer.weight4[changes.row]),
        cents=np.where(returned, 0, cents - pricer.cents[changes.row]),
        returned=returned,
        rates=tuple(rates),
    )


# ---------------------------------------------------------------------------------------------------------


def _choose_outcomes(
    error: ErrorModel, sites: Sites, baseline: Baseline, alternatives: int | None, seed: int
) -> tuple[Int64Array, Int64Array, FloatArray]:
    """Return the outcomes to try: site, option, and its probability among those of the site."""
    if alternatives is None:
        option, site = expand_rows(sites.options.start, sites.group.astype(np.int64))
        refusal = find_refusals(
            sites.changes(site, option), baseline, guarded=error.guarded, excluded=allows_excluded(error)
        )
        possible = np.flatnonzero((refusal == 0) | error.CERTAIN)
        site, option = site[possible], option[possible]
        weight = sites.options.weight[option]
        return site, option, weight / np.bincount(site, weight, minlength=len(sites))[site]
    keys, every = key_sites(error, sites, baseline, seed=seed), np.arange(len(sites))
    found = [
        draw_outcomes(error, sites, every, baseline, keys, np.full(len(sites), _ALTERNATIVE + nth))
        for nth in range(alternatives)
    ]
    made = [np.flatnonzero(refusal == 0) for _, refusal in found]
    site = np.concatenate([np.zeros(0, np.int64), *made])
    option = np.concatenate([np.zeros(0, np.int64), *(one[at] for (one, _), at in zip(found, made, strict=True))])
    return site, option, np.full(len(site), 1 / alternatives)


def _shift_rates(rate: FloatArray, shift: float) -> FloatArray:
    inner = (rate > 0) & (rate < 1)
    odds = np.where(inner, rate, 0.5) / (1 - np.where(inner, rate, 0.5)) * np.exp(shift)
    return np.where(inner, odds / (1 + odds), rate)
