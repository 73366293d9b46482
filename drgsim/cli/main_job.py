"""The main job from end to end: admissions, DRGs, payments, and the effect of coding errors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import polars as pl

from drgsim.miscoding.scenarios import Scenario
from drgsim.plots.simulation import plot_shift
from drgsim.plots.style import save_figures
from drgsim.plots.transitions import plot_transitions
from drgsim.pricing.pricer import COMPONENTS, price
from drgsim.pricing.rates import Rates
from drgsim.rebilling.repricer import base_rate_usd
from drgsim.simulation.headline import LABELS, MONEY, RATE_MEASURES
from drgsim.simulation.results import Simulation
from drgsim.simulation.simulator import simulate
from drgsim.tables.table_set import TableSet

SCENARIO = "illustration"


@dataclass(frozen=True, eq=False)
class DemoResult:
    """The simulation of the main job, and the payment as correctly coded by component.

    `components_usd` has one row; it is None where hospitals are not known.
    """

    simulation: Simulation
    components_usd: pl.DataFrame | None
    priced_by: str


def demo(
    admissions: pl.DataFrame,
    hospitals: pl.DataFrame | None,
    *,
    tables: TableSet,
    rates: Rates,
    replicates: int = 20,
    seed: int = 1,
    scenario: Scenario | None = None,
) -> DemoResult:
    """Group and price admissions, then bill them again with the errors of a scenario.

    Args:
        admissions: (n,) rows of `schema.ADMISSIONS`.
        hospitals: rows of `schema.HOSPITALS` for every `hospital_id`; None prices weight times a base rate.
        tables: grouper version.
        rates: payment parameters.
        replicates: number of random draws of the errors.
        seed: seed of the draws.
        scenario: the errors; by default those of the shipped scenario "illustration".
    """
    result = simulate(
        admissions,
        scenario or Scenario.load(SCENARIO, folder=tables.folder),
        tables=tables,
        hospitals=hospitals,
        rates=rates,
        replicates=replicates,
        seed=seed,
    )
    if hospitals is None:
        method = f"weight times a base rate of ${base_rate_usd(rates):,.2f}"
        return DemoResult(result, None, f"{method}, fiscal year {rates.fiscal_year}")
    components = price(result.admissions, hospitals, rates).select(pl.col(COMPONENTS).sum())
    return DemoResult(result, components, f"{result.priced_by}, fiscal year {rates.fiscal_year}")


def describe_demo(result: DemoResult, titles: Callable[[int], str]) -> str:
    """Return the result as text: totals, payment change by error, ten largest DRG transitions."""
    simulation = result.simulation
    grouped, summary = simulation.admissions, dict(simulation.summary().select("measure", "mean").iter_rows())
    failed = int((grouped["return_code"] != "OK").sum())
    lines = [
        f"Admissions        {len(grouped):>14,}   ungroupable {failed:,}",
        f"Case-mix index    {summary['case_mix_index'] - summary['case_mix_index_change']:>14.4f}",
        f"Payment           {simulation.payment_usd:>14,.0f} USD   by {result.priced_by}",
    ]
    if result.components_usd is not None:
        lines += ["", "Of which"]
        for name, usd in result.components_usd.row(0, named=True).items():
            if usd:
                lines.append(f"  {name.removesuffix('_usd').replace('_', ' '):<24}{usd:>16,.0f} USD")
    lines += ["", f"{simulation.scenario.title}, mean over {simulation.replicates} replicates"]
    for measure in RATE_MEASURES:
        lines.append(f"  {LABELS[measure]:<32}{100 * summary[measure]:>7.2f} %")
    lines += ["", f"{'Net by error':<31}{MONEY:>17}{'std. error':>12}{'of payment':>12}"]
    for name, usd, error in simulation.errors().select("error", "shapley_usd", "standard_error").iter_rows():
        share = 100 * usd / simulation.payment_usd if simulation.payment_usd else float("nan")
        sure = "" if error is None else f"{error:,.0f}"
        lines.append(f"  {name.replace('_', ' '):<32}{usd:>14,.0f}{sure:>12}{share:>11.2f}%")
    lines += ["", "Ten largest DRG transitions, mean per replicate"]
    for drg, billed, admissions, usd in simulation.transitions().head(10).iter_rows():
        lines.append(f"  {drg:>3} -> {billed:>3} {admissions:>9,.1f} {usd:>14,.0f} USD   {titles(drg)}")
    return "\n".join(lines)


def compare_recorded_drgs(grouped: pl.DataFrame, recorded: str) -> pl.DataFrame:
    """Compare the initial DRG with a recorded one.

    Returns:
        `reason` and `admissions`, the number of admissions: equal, not recorded, principal diagnosis not valid in this
        version, other severity of the same family, another family.

    >>> one = pl.DataFrame({"initial_drg": [419], "base_drg": [417], "return_code": ["OK"], "was": [418]})
    >>> compare_recorded_drgs(one, "was").row(0)
    ('other severity of the same family', 1)
    """
    initial, recorded_drg = pl.col("initial_drg").cast(pl.Int64), pl.col(recorded).cast(pl.Int64)
    same_family = (recorded_drg - pl.col("base_drg").cast(pl.Int64)).is_between(0, 2) & (
        initial - recorded_drg
    ).abs().is_between(1, 2)
    reason = (
        pl.when(recorded_drg.is_null())
        .then(pl.lit("no DRG recorded"))
        .when(initial == recorded_drg)
        .then(pl.lit("equal"))
        .when(pl.col("return_code").cast(pl.String) == "INVALID_PDX")
        .then(pl.lit("principal diagnosis no longer valid"))
        .when(same_family)
        .then(pl.lit("other severity of the same family"))
        .otherwise(pl.lit("another family"))
    )
    return (
        grouped.group_by(reason.alias("reason"))
        .agg(admissions=pl.len())
        .sort("admissions", "reason", descending=[True, False])
    )


def save_figure(result: DemoResult, path: Path) -> Path:
    """Save the figure of the result: payment change by error, and the largest DRG transitions."""
    panels = [partial(plot_shift, result.simulation), partial(plot_transitions, result.simulation)]
    return save_figures(path, panels, heights=(0.9 + 0.5 * (len(result.simulation.scenario.errors) + 1), 6.6))
