"""The findings of a study compared with a scenario: `compare_with_findings`.

A finding of a scenario names one of the figures below. Each is measured on the frame of the scenario: the admissions on
which one of its errors can happen (for a general scenario, all of them). A claim is an admission of the frame; money is
in USD.

    drg_change_rate              share of claims with another DRG
    share_up                     share of these claims that pay more
    code_change_rate             share of claims with another code
    unchanged_rate               share of claims with another code and the same DRG
    code_error_rate              errors per code (principal and secondary diagnoses, procedures, as correctly coded)
    errors_per_admission         errors per claim
    case_mix_change              relative change of the case-mix index
    net_share, improper_share    net and improper change of payment, as a share of the payment of the frame
    overpaid_share, underpaid_share  amounts over- and underpaid, as a share of the payment of the frame
    underpaid_usd_per_claim      amount underpaid per claim
    overpaid_rate                overpaid claims, as a share of all admissions (not of the frame)
    share_of_overpaid_claims     amount overpaid, as a share of the payment of overpaid claims
    overpaid_usd_per_claim       amount overpaid per overpaid claim
    overpaid_of_wrong            overpaid claims, as a share of claims with another code or status
    top_tier_growth              growth of claims in the DRG with the highest weight of a family split by CC or MCC
    share_of_changes.NAME        share of payment changes that come from errors whose names begin with NAME
    error_rate.NAME              errors whose names begin with NAME, per code (or claim) on which they can happen
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from drgsim.exceptions import InputError, did_you_mean
from drgsim.files.foreign_frames import accept_frames
from drgsim.miscoding.error_draws import confine_sites
from drgsim.miscoding.scenarios import Scenario
from drgsim.numerics.arrays import FloatArray, Int64Array
from drgsim.pricing.contracts import PriceTerms
from drgsim.rebilling.baseline import Baseline
from drgsim.simulation.estimates import estimate_measures
from drgsim.simulation.results import Simulation
from drgsim.simulation.simulator import SimulationRun
from drgsim.tables.drg_families import list_families
from drgsim.tables.table_set import TableSet

_ENOUGH_ERRORS = 200_000
"""Errors that a figure needs; the number of replicates follows from it, within the limits below."""
_FEWEST_REPLICATES, _MOST_REPLICATES = 16, 1_000


@accept_frames
def compare_with_findings(
    scenario: Scenario,
    admissions: pl.DataFrame,
    *,
    tables: TableSet,
    hospitals: pl.DataFrame | None,
    rates: PriceTerms,
    replicates: int | None = None,
    seed: int,
) -> pl.DataFrame:
    """Compare each finding of a scenario with the scenario simulated on some admissions.

    Args:
        scenario: with `findings`.
        admissions, tables, hospitals, rates, seed: as in `simulate`.
        replicates: number of replicates, at least 2; None draws 16 to 1,000, fewer where errors are frequent.

    Returns:
        One row for each finding, in the scenario's order: `measure`, `published`, `standard_error` of the study (null
        where it is not known), `fitted`, `simulated` with its `monte_carlo_error`, `within` (whether both agree within
        one standard error of the study; null without one), `source`.

    Raises:
        InputError: as `simulate`; a finding names an unknown figure; or no error can happen on any admission.

    >>> from drgsim import Rates, generate
    >>> tables, rates = TableSet.load("43.1"), Rates.load(2026)
    >>> hospitals, admissions = generate(2_000, seed=1, tables=tables)
    >>> noise = Scenario.load("poa_noise")
    >>> setting = {"tables": tables, "hospitals": hospitals, "rates": rates}
    >>> table = compare_with_findings(noise, admissions, **setting, replicates=16, seed=1)
    >>> table["measure"][0], table["published"][0], round(table["simulated"][0], 2)
    ('error_rate.over_reported', 0.137, 0.14)
    """
    scenario.check(tables)
    baseline = Baseline.of(admissions, tables=tables, hospitals=hospitals, rates=rates)
    return compare_baseline_with_findings(scenario, baseline, replicates=replicates, seed=seed)


def compare_baseline_with_findings(
    scenario: Scenario, baseline: Baseline, *, replicates: int | None = None, seed: int
) -> pl.DataFrame:
    """Compare findings as `compare_with_findings` does, on admissions that are already priced."""
    names = [finding.measure for finding in scenario.findings]
    found = measure_figures(scenario, baseline, names, replicates=replicates, seed=seed)
    rows = []
    for finding in scenario.findings:
        mean, error = found[finding.measure]
        sure = finding.standard_error
        within = None if sure is None else bool(abs(mean - finding.value) <= sure)
        rows.append(
            (finding.measure, finding.value, sure, finding.fitted, mean, error, within, finding.source),
        )
    numbers = dict.fromkeys(("simulated", "monte_carlo_error"), pl.Float64)
    schema = {
        "measure": pl.String,
        **dict.fromkeys(("published", "standard_error"), pl.Float64),
        "fitted": pl.Boolean,
        **numbers,
        "within": pl.Boolean,
        "source": pl.String,
    }
    return pl.DataFrame(rows, schema=schema, orient="row")


def measure_figures(
    scenario: Scenario, baseline: Baseline, names: Sequence[str], *, replicates: int | None = None, seed: int
) -> dict[str, tuple[float, float | None]]:
    """Return mean and Monte-Carlo standard error of some figures by name.

    Arguments, replicates and errors as in `compare_with_findings`.
    """
    for name in names:
        if name not in _FIGURES and name.partition(".")[0] not in _BY_NAME:
            known = (*_FIGURES, *_BY_NAME)
            raise InputError(
                f"no figure is called {name!r}.{did_you_mean(name, known)} "
                "The docstring of drgsim.studies.published_findings lists them."
            )
    run = SimulationRun.of(baseline, scenario, seed=seed)
    if not sum(map(len, run.sites)):
        raise InputError("no error of the scenario can happen on any of the admissions: the frame is empty.")
    expected = max(sum(float(sites.rate.sum()) for sites in run.sites), 1.0)
    count = replicates or int(np.clip(_ENOUGH_ERRORS / expected, _FEWEST_REPLICATES, _MOST_REPLICATES))
    run.draw_replicates(count, progress=False)
    measured = _Measured(run, run.build_result(count))
    values = {}
    for name in names:
        kind, _, own = name.partition(".")
        value = _FIGURES[name](measured) if name in _FIGURES else _BY_NAME[kind](measured, own)
        values[name] = ("", value[np.isfinite(value)])
    table = estimate_measures(values)
    return {name: (mean, error) for name, mean, error in table.select("measure", "mean", "standard_error").iter_rows()}


def find_frame_rows(scenario: Scenario, baseline: Baseline, *, seed: int) -> Int64Array:
    """Return the rows of admissions on which an error of the scenario can happen, ascending."""
    found = [confine_sites(error, baseline, seed=seed).row for error in scenario.errors]
    return np.unique(np.concatenate([np.zeros(0, np.int64), *found]))


# ---------------------------------------------------------------------------------------------------------


@dataclass(eq=False)
class _Measured:
    """A simulation and its frame; every figure is (r,), one value for each replicate."""

    run: SimulationRun
    result: Simulation

    @cached_property
    def frame(self) -> Int64Array:
        return np.unique(np.concatenate([sites.row for sites in self.run.sites]))

    @property
    def claims(self) -> int:
        return len(self.frame)

    @cached_property
    def codes(self) -> int:
        encoded = self.run.baseline.encoded
        listed = np.diff(encoded.sdx_start) + np.diff(encoded.procedure_start)
        return self.claims + int(listed[self.frame].sum())

    @cached_property
    def paid(self) -> int:
        """Payment of the frame [cents]."""
        return int(self.run.baseline.pricer.cents[self.frame].sum())

    def total(self, name: str) -> FloatArray:
        """Return a total of each replicate."""
        return self.result.totals[name].to_numpy().astype(np.float64)

    def find_errors(self, beginning: str) -> list[int]:
        """Return the places of errors whose names begin with `beginning`."""
        labels = [error.label for error in self.run.scenario.errors]
        found = [place for place, label in enumerate(labels) if label.startswith(beginning)]
        if not found:
            raise InputError(f"no error's name begins with {beginning!r}; the scenario has {', '.join(labels)}.")
        return found

    def count(self, replicate: pl.Series, weights: NDArray[np.generic] | None = None) -> FloatArray:
        """Return the number of rows of each replicate, or the sum of their weights."""
        count = np.bincount(replicate.to_numpy(), weights, minlength=self.result.replicates)
        return count.astype(np.float64)

    @cached_property
    def overpaid(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Number of overpaid claims, amount overpaid [cents] and amount paid on them [cents]."""
        claims = self.result.changed_claims.filter(pl.col("cents") > 0)
        cents = claims["cents"].to_numpy()
        correct = self.run.baseline.pricer.cents[claims["row"].to_numpy()]
        each = claims["replicate"]
        return self.count(each), self.count(each, cents), self.count(each, cents + correct)


def _measure_case_mix_change(m: _Measured) -> FloatArray:
    return m.total("weight4") / float(m.run.baseline.pricer.weight4[m.frame].sum())


def _measure_top_tier_growth(m: _Measured) -> FloatArray:
    top = _find_top_tiers(m.run.baseline)
    claims = m.result.changed_claims.filter(~pl.col("returned"))
    gained = np.isin(claims["drg"].to_numpy(), top).astype(np.int64)
    gained -= np.isin(m.run.baseline.truth.drg[claims["row"].to_numpy()], top)
    return m.count(claims["replicate"], gained) / float(np.isin(m.run.baseline.truth.drg[m.frame], top).sum())


def _find_top_tiers(baseline: Baseline) -> Int64Array:
    """Return the DRG with the highest weight of every family that splits by CC or MCC."""
    split = list_families(baseline.tables).filter(pl.col("splits_mcc") | pl.col("splits_cc"))
    weight4 = baseline.pricer.find_weights4(np.zeros(len(split), np.int64), split["drg"].to_numpy())
    ordered = split.with_columns(weight4=weight4).sort("base_drg", "weight4", "drg")
    return ordered.group_by("base_drg", maintain_order=True).last()["drg"].to_numpy().astype(np.int64)


def _divide(above: FloatArray, below: FloatArray | float) -> FloatArray:
    """Return above / below; NaN where nothing happened."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(above / below)


def _measure_share_of_changes(m: _Measured, beginning: str) -> FloatArray:
    shares = m.result.attribution.filter(pl.col("cents") != 0)
    own = shares.filter(pl.col("error_number").is_in(m.find_errors(beginning)))
    return _divide(m.count(own["replicate"]), m.count(shares["replicate"]))


def _measure_error_rate(m: _Measured, beginning: str) -> FloatArray:
    """Return the mean only, (1,): errors are counted over all replicates."""
    own = m.find_errors(beginning)
    places = [sites.row << 22 | sites.place for sites in (m.run.sites[place] for place in own)]
    errors = int(m.run.counts[own, 0].sum())
    return np.array([errors / len(np.unique(np.concatenate(places))) / m.result.replicates])


_FIGURES: Mapping[str, Callable[[_Measured], FloatArray]] = {
    "drg_change_rate": lambda m: m.total("drg_changes") / m.claims,
    "share_up": lambda m: _divide(m.total("drg_changes_up"), m.total("drg_changes")),
    "code_change_rate": lambda m: m.total("code_changes") / m.claims,
    "unchanged_rate": lambda m: (m.total("code_changes") - m.total("drg_changes") - m.total("returned")) / m.claims,
    "code_error_rate": lambda m: m.total("errors") / m.codes,
    "errors_per_admission": lambda m: m.total("errors") / m.claims,
    "case_mix_change": _measure_case_mix_change,
    "net_share": lambda m: m.total("net") / m.paid,
    "improper_share": lambda m: (m.total("overpaid") + m.total("underpaid")) / m.paid,
    "overpaid_share": lambda m: m.total("overpaid") / m.paid,
    "underpaid_share": lambda m: m.total("underpaid") / m.paid,
    "underpaid_usd_per_claim": lambda m: m.total("underpaid") / 100 / m.claims,
    "overpaid_rate": lambda m: m.overpaid[0] / len(m.run.baseline),
    "share_of_overpaid_claims": lambda m: _divide(m.overpaid[1], m.overpaid[2]),
    "overpaid_usd_per_claim": lambda m: _divide(m.overpaid[1] / 100, m.overpaid[0]),
    "overpaid_of_wrong": lambda m: _divide(m.overpaid[0], m.total("code_changes")),
    "top_tier_growth": _measure_top_tier_growth,
}

_BY_NAME: Mapping[str, Callable[[_Measured, str], FloatArray]] = {
    "share_of_changes": _measure_share_of_changes,
    "error_rate": _measure_error_rate,
}
