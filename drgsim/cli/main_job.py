"""The main job from end to end: admissions, DRGs, payments, and the effect of coding errors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import polars as pl

from drgsim.cli.assumptions import describe_unpaid, list_rates
from drgsim.grouping.grouper import group
from drgsim.miscoding.scenarios import Scenario
from drgsim.plots.simulation import plot_shift
from drgsim.plots.style import save_figures
from drgsim.plots.transitions import plot_transitions
from drgsim.pricing.contracts import PriceTerms, has_contracts
from drgsim.pricing.pricer import COMPONENTS, price
from drgsim.pricing.pricer_input import with_weights
from drgsim.rebilling.repricer import base_rate_usd, price_by_weight
from drgsim.simulation.headline import LABELS, MONEY, RATE_MEASURES
from drgsim.simulation.result_tables import ClaimTables
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
    rates: PriceTerms,
    replicates: int = 20,
    seed: int = 1,
    scenario: Scenario | None = None,
    hospital_status: str | None = None,
) -> DemoResult:
    """Group and price admissions, then bill them again with the errors of a scenario.

    Args:
        admissions: (n,) rows of `schema.ADMISSIONS`.
        hospitals: rows of `schema.HOSPITALS` for every `hospital_id`; None prices weight times a base rate.
        tables: grouper version.
        rates: payment parameters; of several years, by discharge date.
        replicates: number of random draws of the errors.
        seed: seed of the draws.
        scenario: the errors; by default those of the shipped scenario "illustration".
        hospital_status: as in `simulate`.
    """
    result = simulate(
        admissions,
        scenario or Scenario.load(SCENARIO, folder=tables.folder),
        tables=tables,
        hospitals=hospitals,
        rates=rates,
        replicates=replicates,
        seed=seed,
        hospital_status=hospital_status,
    )
    components = (
        None if hospitals is None else price(result.admissions, hospitals, rates).select(pl.col(COMPONENTS).sum())
    )
    return DemoResult(result, components, describe_pricing(hospitals, rates))


def describe_pricing(hospitals: pl.DataFrame | None, rates: PriceTerms) -> str:
    """Return how admissions are priced, in words.

    >>> from drgsim import Rates
    >>> describe_pricing(None, Rates.load(2026))
    'weight times a base rate of $7,276.76, fiscal year 2026'
    """
    every = list_rates(rates)
    years = ", ".join(str(one.fiscal_year) for one in every)
    method = "IPPS components"
    if hospitals is None:
        method = f"weight times a base rate of {', '.join(f'${base_rate_usd(one):,.2f}' for one in every)}"
    method += " and contracts" if has_contracts(rates) else ""
    return f"{method}, fiscal year{'s' if len(every) > 1 else ''} {years}"


def describe_demo(result: DemoResult, titles: Callable[[int], str]) -> str:
    """Return the result as text: totals, payment change by error, ten largest DRG transitions."""
    simulation = result.simulation
    summary = dict(simulation.summary().select("measure", "mean").iter_rows())
    ungroupable = ""
    if isinstance(simulation.tables, ClaimTables):
        ungroupable = f"   ungroupable {int((simulation.admissions['return_code'] != 'OK').sum()):,}"
    baseline = simulation.baseline
    index = baseline.weight4 / 1e4 / baseline.admissions if baseline.admissions else None
    lines = [
        f"Admissions        {baseline.admissions:>14,}{ungroupable}",
        f"Case-mix index    {_format(index, '{:.4f}'):>14}".rstrip(),
        f"Payment           {simulation.payment_usd:>14,.0f} USD   by {result.priced_by}",
        *_describe_components(result.components_usd),
    ]
    lines += ["", f"{simulation.scenario.title}, mean over {simulation.replicates} replicates"]
    for measure in RATE_MEASURES:
        lines.append(f"  {LABELS[measure]:<32}{_format(summary[measure], '{:.2f} %', 100):>9}".rstrip())
    lines += ["", f"{'Net by error':<31}{MONEY:>17}{'std. error':>12}{'of payment':>12}"]
    for name, usd, error in simulation.errors().select("error", "shapley_usd", "standard_error").iter_rows():
        share = usd / simulation.payment_usd if simulation.payment_usd else None
        numbers = f"{usd:>14,.0f}{_format(error, '{:,.0f}'):>12}{_format(share, '{:.2f}%', 100):>12}"
        lines.append(f"  {name.replace('_', ' '):<32}{numbers}".rstrip())
    lines += ["", "Ten largest DRG transitions, mean per replicate"]
    moves = simulation.transitions().head(10)
    for drg, billed, admissions, usd in moves.iter_rows():
        lines.append(f"  {drg:>3} -> {billed:>3} {admissions:>9,.1f} {usd:>14,.0f} USD   {titles(drg)}")
    return "\n".join(lines if len(moves) else [*lines, "  none"])


def describe_claims(paid: pl.DataFrame, priced_by: str, titles: Callable[[int], str], notes: Sequence[str]) -> str:
    """Return claims as text: totals, most frequent DRGs, and what was not understood.

    Args:
        paid: (n,) grouped admissions with `weight` and the payment `total_usd`; with `pay_code` and components, where
            hospitals are known.
        priced_by: how payment was computed.
        titles: returns the title of a DRG.
        notes: what reading, grouping and pricing report.
    """
    failed = paid.filter(pl.col("return_code") != "OK")
    weighted = paid["weight"].drop_nulls()
    lines = [
        f"Admissions        {paid.height:>14,}   ungroupable {failed.height:,}",
        f"Case-mix index    {_format(_mean(weighted), '{:.4f}'):>14}   of {len(weighted):,} with a weight",
        f"Payment           {paid['total_usd'].sum():>14,.0f} USD   by {priced_by}",
    ]
    if "pay_code" in paid.columns:
        lines += _describe_components(paid.select(pl.col(COMPONENTS).sum()))
    drgs = paid.group_by("drg").agg(pl.len().alias("admissions"), pl.col("total_usd").sum())
    drgs = drgs.sort("admissions", "drg", descending=[True, False]).head(10)
    lines += ["", "Ten most frequent DRGs"]
    for drg, admissions, usd in drgs.iter_rows():
        lines.append(f"  {drg:>3} {admissions:>9,} {usd:>16,.0f} USD   {titles(drg)}")
    codes = failed.group_by(pl.col("return_code").cast(pl.String)).len().sort("len", "return_code", descending=True)
    why = [f"{count:,} ungroupable: {code}" for code, count in codes.iter_rows()]
    if "pay_code" in paid.columns:
        why += describe_unpaid(dict(paid.group_by(pl.col("pay_code").cast(pl.Int64)).len().iter_rows()))
    return "\n".join([*lines, "", "Assumed, or not understood", *(f"  {line}" for line in [*notes, *why])])


def price_claims(
    admissions: pl.DataFrame,
    hospitals: pl.DataFrame | None,
    rates: PriceTerms,
    version: str | None,
    hospital_status: str = "NON_EXEMPT",
) -> pl.DataFrame:
    """Group and price claims as they are: the input of `describe_claims`.

    Args:
        admissions: (n,) rows of `schema.ADMISSIONS`.
        hospitals: as in `price`; None prices the weight times a base rate.
        rates: one `Rates`, or several, chosen by discharge date.
        version: of all admissions; None takes each by its discharge date.
        hospital_status: as in `group`.
    """
    grouped = group(admissions, version=version, hospital_status=hospital_status)
    if hospitals is not None:
        return price(grouped, hospitals, rates)
    cents = price_by_weight(grouped, rates)
    return with_weights(grouped, rates).with_columns(total_usd=pl.Series(cents / 100))


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


def _describe_components(components_usd: pl.DataFrame | None) -> list[str]:
    if components_usd is None:
        return []
    amounts = [(name, usd) for name, usd in components_usd.row(0, named=True).items() if usd]
    named = [f"  {name.removesuffix('_usd').replace('_', ' '):<24}{usd:>16,.0f} USD" for name, usd in amounts]
    return ["", "Of which", *named]


def _mean(values: pl.Series) -> float | None:
    return float(values.sum()) / len(values) if len(values) else None


def _format(value: float | None, pattern: str, factor: float = 1.0) -> str:
    """Return a number as text; blank where there is no value."""
    return "" if value is None or value != value else pattern.format(factor * value)


def save_figure(result: DemoResult, path: Path) -> Path:
    """Save the figure of the result: payment change by error, and the largest DRG transitions."""
    panels = [partial(plot_shift, result.simulation), partial(plot_transitions, result.simulation)]
    return save_figures(path, panels, heights=(0.9 + 0.5 * (len(result.simulation.scenario.errors) + 1), 6.6))
