"""The main job, end to end: admissions in, DRGs, dollars, and what coding errors do to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import polars as pl

from drgsim.encode import encode
from drgsim.grouper import group_encoded
from drgsim.impact import changes, shift, transitions
from drgsim.miscoding import SdxAddUnsupported, SdxOmit
from drgsim.payment import COMPONENTS, pay, with_weights
from drgsim.plots import plot_shift, plot_transitions, saved
from drgsim.rates import Rates
from drgsim.tables import TableSet

BASE_RATE_PARAMETERS = ("operating.labor.above_1.full", "operating.nonlabor.above_1.full", "capital.federal_rate")
ERRORS: Mapping[str, SdxOmit | SdxAddUnsupported] = {
    "10 % of CC and MCC codes missed": SdxOmit(cc=0.10, mcc=0.10),
    "2 % of admissions given an unsupported MCC": SdxAddUnsupported(rate=0.02),
}
"""The errors of the demonstration. The rates are illustrations, not estimates."""


@dataclass(frozen=True, eq=False)
class Demo:
    """What the main job found: truth grouped and priced, and the changes of each replicate by error."""

    grouped: pl.DataFrame
    components_usd: pl.DataFrame | None
    priced_by: str
    replicates: Mapping[str, Sequence[pl.DataFrame]]

    @property
    def payment_usd(self) -> float:
        """Total payment of the truth [USD]."""
        return float(self.grouped["usd"].sum())

    @property
    def case_mix_index(self) -> float:
        """Mean relative weight of the admissions that have one."""
        mean = self.grouped.select(pl.col("weight").mean()).item()
        return float("nan") if mean is None else float(mean)


def demo(
    admissions: pl.DataFrame,
    hospitals: pl.DataFrame | None,
    *,
    tables: TableSet,
    rates: Rates,
    replicates: int = 20,
    seed: int = 1,
) -> Demo:
    """Group and price admissions, then bill them again with each error of `ERRORS`.

    Args:
        admissions: (n,) rows of `schema.ADMISSIONS`.
        hospitals: rows of `schema.HOSPITALS` for every `hospital_id`; None prices weight times a base rate.
        tables: grouper version.
        rates: payment parameters.
        replicates: how often each error process is drawn.
        seed: of the draws.

    Only admissions with an error are regrouped and repriced.
    """
    status = "NON_EXEMPT" if "sdx_poa" in admissions.columns else "EXEMPT"
    encoded = encode(admissions, tables, hospital_status=status)
    ids = admissions["admission_id"].cast(pl.UInt64).to_numpy()

    def priced(grouped: pl.DataFrame) -> pl.DataFrame:
        if hospitals is not None:
            return pay(grouped, hospitals, rates).with_columns(usd="total_usd")
        weight = pl.col("weight").fill_null(0.0)  # an ungroupable admission is paid nothing
        return with_weights(grouped, rates).with_columns(usd=weight * base_rate_usd(rates))

    truth = priced(admissions.with_columns(group_encoded(encoded, tables).frame()))
    found: dict[str, list[pl.DataFrame]] = {}
    for name, error in ERRORS.items():
        for replicate in range(replicates):
            billed, rows = error.apply(encoded, ids, tables, seed=seed, replicate=replicate)
            again = priced(admissions[rows].with_columns(group_encoded(billed.take(rows), tables).frame()))
            found.setdefault(name, []).append(changes(truth[rows], again))
    by = "IPPS components" if hospitals is not None else f"weight times a base rate of ${base_rate_usd(rates):,.2f}"
    components = truth.select(pl.col(COMPONENTS).sum()) if hospitals is not None else None
    return Demo(truth, components, f"{by}, fiscal year {rates.fiscal_year}", found)


def base_rate_usd(rates: Rates) -> float:
    """Return the stated base rate: operating standardized amount plus capital federal rate [USD]."""
    return float(sum(rates.number(name) for name in BASE_RATE_PARAMETERS))


def told(result: Demo, titles: Callable[[int], str]) -> str:
    """Return the result as text: totals, shift by error with its standard error, ten largest transitions."""
    grouped, n = result.grouped, len(result.grouped)
    failed = int((grouped["return_code"] != "OK").sum())
    lines = [
        f"Admissions        {n:>14,}   ungroupable {failed:,}",
        f"Case-mix index    {result.case_mix_index:>14.4f}",
        f"Payment           {result.payment_usd:>14,.0f} USD   by {result.priced_by}",
    ]
    if result.components_usd is not None:
        lines += ["", "Of which"]
        for name, usd in result.components_usd.row(0, named=True).items():
            if usd:
                lines.append(f"  {name.removesuffix('_usd').replace('_', ' '):<24}{usd:>16,.0f} USD")
    lines += [
        "",
        f"{'Payment shift by error':<46}{'mean, USD':>14}{'std. error':>12}{'of payment':>12}{'DRGs moved':>12}",
    ]
    for name, replicates in result.replicates.items():
        mean = shift(replicates)
        usd, error = mean["net_usd"]
        share = 100 * usd / result.payment_usd if result.payment_usd else float("nan")
        lines.append(f"  {name:<44}{usd:>14,.0f}{error:>12,.0f}{share:>11.2f}%{mean['drg_changes'][0]:>12,.1f}")
    for name, replicates in result.replicates.items():
        lines += ["", f"Ten largest DRG transitions: {name} (a replicate)"]
        for drg, billed, admissions, usd in transitions(replicates).head(10).iter_rows():
            lines.append(f"  {drg:>3} -> {billed:>3} {admissions:>9,.1f} {usd:>14,.0f} USD   {titles(drg)}")
    return "\n".join(lines)


def agreement(grouped: pl.DataFrame, recorded: str) -> pl.DataFrame:
    """Compare the initial DRG with a recorded one.

    Returns:
        `why`, `admissions`: equal, not recorded, principal diagnosis not valid in this version, same base
        DRG family, other DRG.

    >>> one = pl.DataFrame({"initial_drg": [419], "base_drg": [417], "return_code": ["OK"], "was": [418]})
    >>> agreement(one, "was").row(0)
    ('other severity of the same family', 1)
    """
    initial, was = pl.col("initial_drg").cast(pl.Int64), pl.col(recorded).cast(pl.Int64)
    family = (was - pl.col("base_drg").cast(pl.Int64)).is_between(0, 2) & (initial - was).abs().is_between(1, 2)
    why = (
        pl.when(was.is_null())
        .then(pl.lit("no DRG recorded"))
        .when(initial == was)
        .then(pl.lit("equal"))
        .when(pl.col("return_code").cast(pl.String) == "INVALID_PDX")
        .then(pl.lit("principal diagnosis no longer valid"))
        .when(family)
        .then(pl.lit("other severity of the same family"))
        .otherwise(pl.lit("another family"))
    )
    return (
        grouped.group_by(why.alias("why")).agg(admissions=pl.len()).sort("admissions", "why", descending=[True, False])
    )


def saved_figure(result: Demo, path: Path) -> Path:
    """Save the figure of the result: shift by error with its standard error, and the largest transitions."""
    shifts = {name: shift(found)["net_usd"] for name, found in result.replicates.items()}
    draws = [partial(plot_shift, shifts)]
    draws += [partial(plot_transitions, transitions(found), title=name) for name, found in result.replicates.items()]
    return saved(path, draws)
