"""Every admission under every single error of a scenario: what each would move, without sampling noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl

from drgsim.exceptions import InputError
from drgsim.miscoding.error_draws import allows_excluded, confine_sites, draw_outcomes, key_sites
from drgsim.miscoding.error_models import ErrorModel
from drgsim.miscoding.error_sites import Sites
from drgsim.miscoding.scenarios import Scenario
from drgsim.miscoding.scrubber import find_refusals
from drgsim.numerics.arrays import FloatArray, Int64Array
from drgsim.numerics.segments import expand_rows
from drgsim.pricing.rates import Rates
from drgsim.rebilling.baseline import Baseline
from drgsim.rebilling.code_changes import CodeChanges, describe_changes
from drgsim.tables.table_set import TableSet

_BILLS = 1 << 21
"""Edits grouped and priced at a time."""
_ALTERNATIVE = 1 << 40
"""Replicates from here on are not drawn by `simulate`: what may come of an error here is drawn apart."""


@dataclass(frozen=True, eq=False)
class Exposure:
    """Single errors and what each alone would do, (k,) by error, admission and place.

    Attributes:
        scenario: whose errors.
        cases: the admissions.
        seed: of hospital and coder traits, and of the alternatives tried.
        error: place of the error in the scenario.
        site: the site among those of its error.
        edits: the edit each makes.
        share: how likely this outcome is of its site's, where the error happens.
        drg, weight4, cents: billed DRG, change in weight [1e-4] and in payment [cents].
        returned: bills that cannot be grouped; they count as no money.
        rates: probability of each site, by error.

    >>> from drgsim import generate
    >>> tables, rates = TableSet.load("43.1"), Rates.load(2026)
    >>> hospitals, admissions = generate(300, seed=1, tables=tables)
    >>> found = exposure(admissions, Scenario.load("illustration"), tables=tables, hospitals=hospitals, rates=rates)
    >>> found.frame().height == len(found), bool(found.probability.max() <= 1)
    (True, True)
    """

    scenario: Scenario
    cases: Baseline = field(repr=False)
    seed: int
    error: np.ndarray = field(repr=False)
    site: Int64Array = field(repr=False)
    edits: CodeChanges = field(repr=False)
    share: FloatArray = field(repr=False)
    drg: np.ndarray = field(repr=False)
    weight4: Int64Array = field(repr=False)
    cents: Int64Array = field(repr=False)
    returned: np.ndarray = field(repr=False)
    rates: tuple[FloatArray, ...] = field(repr=False)

    def __len__(self) -> int:
        """Number of single errors."""
        return len(self.site)

    @property
    def probability(self) -> FloatArray:
        """How likely each single error is, (k,)."""
        found = np.zeros(len(self), np.float64)
        for error, rate in enumerate(self.rates):
            own = np.flatnonzero(self.error == error)
            found[own] = rate[self.site[own]] * self.share[own]
        return found

    @property
    def moved(self) -> np.ndarray:
        """Which lead to another DRG and are paid, (k,)."""
        other: np.ndarray = (self.drg != self.cases.truth.drg[self.edits.row]) & ~self.returned
        return other

    def frame(self) -> pl.DataFrame:
        """Return a row a single error: admission, operator, what it edits, probability, and its effect alone.

        Returns:
            `admission_id`, `error`, `field`, `place`, `code_before`, `code_after`, `probability`, `drg`,
            `billed_drg`, `weight_change`, `usd_change`.
        """
        row = self.edits.row
        labels = pl.Series([error.label for error in self.scenario.errors], dtype=pl.String)
        start = pl.DataFrame(
            {
                "admission_id": self.cases.ids[row],
                "error": labels.gather(self.error) if len(labels) else pl.Series([], dtype=pl.String),
                "place": self.edits.place,
                "probability": self.probability,
                "drg": self.cases.truth.drg[row],
                "billed_drg": self.drg,
                "weight_change": self.weight4 / 1e4,
                "usd_change": self.cents / 100,
            }
        )
        whole = start.hstack(describe_changes(self.edits, self.cases.tables))
        first = ("admission_id", "error", "field", "place", "code_before", "code_after")
        return whole.select(*first, pl.all().exclude(first))

    def expected(self) -> pl.DataFrame:
        """Return the expected impact of each error alone, and their sum; what is left out is how errors interact.

        Returns:
            `error`, `errors`, `drg_changes`, `overpaid_usd`, `underpaid_usd`, `net_usd`, expected in one replicate; a row
            an error of the scenario, then "total".
        """
        p, usd, moved = self.probability, self.cents / 100, self.moved
        rows = []
        for error, operator in enumerate(self.scenario.errors):
            own = self.error == error
            over, under = p[own] @ np.maximum(usd[own], 0), p[own] @ np.maximum(-usd[own], 0)
            rows.append((operator.label, p[own].sum(), p[own] @ moved[own], over, under, over - under))
        names = ("errors", "drg_changes", "overpaid_usd", "underpaid_usd", "net_usd")
        table = pl.DataFrame(rows, schema={"error": pl.String, **dict.fromkeys(names, pl.Float64)}, orient="row")
        total = table.select(pl.lit("total").alias("error"), pl.col(names).sum())
        return table.vstack(total)

    def rates_of_change(self) -> dict[str, float]:
        """Return the expected `drg_change_rate` [of admissions], `share_up` [of changes] and `net_share` [of payment].

        An admission changes if one of its errors moves it, as if errors met independently.
        """
        p, moved = self.probability, self.moved
        stays = np.log1p(-np.minimum(p[moved], 1 - 1e-12))
        kept = np.bincount(self.edits.row[moved], stays, minlength=len(self.cases))
        changing = float(p @ moved)
        up = float(p @ (moved & (self.cents > 0)))
        paid = float(self.cases.pricer.cents.sum())
        return {
            "drg_change_rate": float(-np.expm1(kept).mean()) if len(kept) else 0.0,
            "share_up": up / changing if changing else float("nan"),
            "net_share": float(p @ self.cents) / paid if paid else float("nan"),
        }

    def decisive(self) -> Exposure:
        """Return the single errors that move a DRG or a payment: as good as all for rates and money, and fewer."""
        kept = np.flatnonzero(self.moved | (self.cents != 0))
        columns = ("error", "site", "share", "drg", "weight4", "cents", "returned")
        return replace(self, edits=self.edits.take(kept), **{name: getattr(self, name)[kept] for name in columns})

    def reweighted(self, scenario: Scenario) -> Exposure:
        """Return the same single errors at the rates of another scenario that differs in rates alone.

        Raises:
            InputError: the scenario has other errors, or they can happen elsewhere.
        """
        if [e.label for e in scenario.errors] != [e.label for e in self.scenario.errors]:
            raise InputError("the scenario has other errors than those exposed; call exposure() for it.")
        rates = tuple(confine_sites(error, self.cases, seed=self.seed).rate for error in scenario.errors)
        if [len(rate) for rate in rates] != [len(rate) for rate in self.rates]:
            raise InputError(
                "the errors of the scenario can happen elsewhere than those exposed; call exposure() for it."
            )
        return replace(self, scenario=scenario, rates=rates)

    def shifted(self, shifts: Sequence[float]) -> Exposure:
        """Return the same single errors with the rates of each shifted on the logit scale; 0 and 1 stay."""
        rates = tuple(_shifted(rate, shift) for rate, shift in zip(self.rates, shifts, strict=True))
        return replace(self, rates=rates)

    def opportunities(self, most: int = 1) -> pl.DataFrame:
        """Return, for each admission, the single changes that would pay most: what documentation might be worth.

        A secondary diagnosis or a more specific code is worth asking about only if the record supports it; whether
        it does is not known here.

        Args:
            most: how many an admission.

        Returns:
            Rows of `frame` with a `usd_change` above 0, dearest first, with what the error is called.
        """
        gains = self.frame().filter(pl.col("usd_change") > 0)
        order = ("usd_change", "admission_id", "error", "place", "code_after")
        ranked = gains.sort(order, descending=[True, False, False, False, False])
        return ranked.group_by("admission_id", maintain_order=True).head(most).select(gains.columns)

    def site_effects(self) -> list[FloatArray]:
        """Return the mean change of payment at each site of each error [cents]: a control for `simulate`."""
        effects = []
        for error, rate in enumerate(self.rates):
            own = np.flatnonzero(self.error == error)
            mean = np.bincount(self.site[own], self.share[own] * self.cents[own], minlength=len(rate))
            effects.append(mean.astype(np.float64))
        return effects


def exposure(
    admissions: pl.DataFrame,
    scenario: Scenario,
    *,
    tables: TableSet,
    hospitals: pl.DataFrame | None,
    rates: Rates | Sequence[Rates],
    alternatives: int | None = 1,
    seed: int = 0,
    hospital_status: str | None = None,
) -> Exposure:
    """Put every admission under every single error of a scenario that can happen to it, once each.

    The sum of probability times effect is the expected impact without sampling noise; what `simulate` finds beside
    it is how errors interact.

    Args:
        admissions, scenario, tables, hospitals, rates, hospital_status: as in `simulate`.
        alternatives: how many outcomes are tried where an error has several (such as which code is added), drawn
            as `simulate` draws them; None tries all, which is exact and may be very many.
        seed: of the alternatives, and of hospital and coder traits.

    Raises:
        SchemaError, InputError: as `simulate`.

    >>> from drgsim import generate
    >>> tables, rates = TableSet.load("43.1"), Rates.load(2026)
    >>> hospitals, admissions = generate(300, seed=1, tables=tables)
    >>> found = exposure(admissions, Scenario.load("illustration"), tables=tables, hospitals=hospitals, rates=rates)
    >>> found.expected().columns
    ['operator', 'errors', 'drg_changes', 'overpaid_usd', 'underpaid_usd', 'net_usd']
    """
    if alternatives is not None and (isinstance(alternatives, bool) or alternatives < 1):
        raise InputError(f"alternatives is {alternatives!r}, expected a whole number from 1, or None for all.")
    if not isinstance(scenario, Scenario):
        raise InputError(f"scenario is {scenario!r:.60}, expected a Scenario: Scenario.load(name or path).")
    cases = Baseline.of(admissions, tables=tables, hospitals=hospitals, rates=rates, hospital_status=hospital_status)
    scenario.check(tables)
    return compute_exposure(cases, scenario, alternatives=alternatives, seed=seed)


def compute_exposure(cases: Baseline, scenario: Scenario, *, alternatives: int | None = 1, seed: int = 0) -> Exposure:
    """Return the exposure of admissions that are encoded, grouped and priced already; arguments as in `exposure`."""
    places, rates, sites_of, shares = [], [], [], [np.zeros(0)]
    edits = [CodeChanges.none()]
    for place, operator in enumerate(scenario.errors):
        sites = confine_sites(operator, cases, seed=seed)
        site, option, share = _tried(operator, sites, cases, alternatives, seed)
        edits.append(sites.changes(site, option))
        places.append(np.full(len(site), place, np.uint8))
        rates.append(sites.rate)
        sites_of.append(site)
        shares.append(share)
    whole = CodeChanges.join(edits)
    error = np.concatenate([np.zeros(0, np.uint8), *places])
    site = np.concatenate([np.zeros(0, np.int64), *sites_of])
    order = np.lexsort((whole.after, whole.place, whole.kind, cases.ids[whole.row], error))
    whole, drg, cents = whole.take(order), np.zeros(len(order), np.uint16), np.zeros(len(order), np.int64)
    for start in range(0, len(order), _BILLS):
        part = whole.take(slice(start, start + _BILLS))
        billed = cases.rebill(part, np.arange(len(part) + 1))
        drg[start : start + _BILLS], cents[start : start + _BILLS] = billed.drg, billed.cents
    returned = cases.find_returned(whole.row, drg)
    return Exposure(
        scenario=scenario,
        cases=cases,
        seed=seed,
        error=error[order],
        site=site[order],
        edits=whole,
        share=np.concatenate(shares)[order],
        drg=drg,
        weight4=np.where(returned, 0, cases.pricer.find_weights4(whole.row, drg) - cases.pricer.weight4[whole.row]),
        cents=np.where(returned, 0, cents - cases.pricer.cents[whole.row]),
        returned=returned,
        rates=tuple(rates),
    )


def _tried(
    operator: ErrorModel, sites: Sites, cases: Baseline, alternatives: int | None, seed: int
) -> tuple[Int64Array, Int64Array, FloatArray]:
    """Return the outcomes tried: site, option, and how likely each is among those of its site."""
    if alternatives is None:
        option, site = expand_rows(sites.options.start, sites.group.astype(np.int64))
        legal = find_refusals(
            sites.changes(site, option), cases, guarded=operator.guarded, excluded=allows_excluded(operator)
        )
        kept = np.flatnonzero((legal == 0) | operator.CERTAIN)
        site, option = site[kept], option[kept]
        weight = sites.options.weight[option]
        return site, option, weight / np.bincount(site, weight, minlength=len(sites))[site]
    keys, every = key_sites(operator, sites, cases, seed=seed), np.arange(len(sites))
    found = [
        draw_outcomes(operator, sites, every, cases, keys, np.full(len(sites), _ALTERNATIVE + nth))
        for nth in range(alternatives)
    ]
    made = [np.flatnonzero(refusal == 0) for _, refusal in found]
    site = np.concatenate([np.zeros(0, np.int64), *made])
    option = np.concatenate([np.zeros(0, np.int64), *(one[at] for (one, _), at in zip(found, made, strict=True))])
    return site, option, np.full(len(site), 1 / alternatives)


def _shifted(rate: FloatArray, shift: float) -> FloatArray:
    inner = (rate > 0) & (rate < 1)
    odds = np.where(inner, rate, 0.5) / (1 - np.where(inner, rate, 0.5)) * np.exp(shift)
    return np.where(inner, odds / (1 + odds), rate)
