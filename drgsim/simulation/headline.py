"""The words for what a simulation finds, and its result in a few lines."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl

from drgsim.display import Section

LABELS = {
    "net_usd": "net",
    "overpaid_usd": "overpaid",
    "underpaid_usd": "underpaid",
    "improper_usd": "improper",
    "net_usd_per_admission": "net per admission",
    "overpaid_usd_per_admission": "overpaid per admission",
    "underpaid_usd_per_admission": "underpaid per admission",
    "improper_usd_per_admission": "improper per admission",
    "net_share": "net, of payment",
    "overpaid_share": "overpaid, of payment",
    "underpaid_share": "underpaid, of payment",
    "improper_share": "improper, of payment",
    "code_change_rate": "admissions with another code",
    "drg_change_rate": "admissions with another DRG",
    "share_up": "changed DRGs that are paid more",
    "case_mix_index": "case-mix index",
    "case_mix_index_change": "change of the case-mix index",
    "mcc_capture": "admissions with an MCC",
    "cc_capture": "admissions with a CC",
    "returned_rate": "admissions returned",
    "returned_usd": "payment of admissions returned",
    "returned_for_edits_rate": "admissions returned for claim edits",
    "returned_for_edits_usd": "payment of admissions returned for claim edits",
    "net_usd_controlled": "net, with control",
}
"""What each measure of `Simulation.summary` is called wherever it is printed."""
ERROR_LABELS = {
    "shapley_usd": "net",
    "standard_error": "standard error",
    "first_in_usd": "as the only error",
    "last_in_usd": "if it alone were corrected",
}
"""What each column of `Simulation.errors` is called wherever it is printed."""
MONEY = "USD per replicate"
MONEY_MEASURES = ("net_usd", "overpaid_usd", "underpaid_usd", "improper_usd")
RATE_MEASURES = ("code_change_rate", "drg_change_rate", "share_up", "net_share", "improper_share")
"""Measures of a headline: money, and shares in percent."""


def build_headline(summary: pl.DataFrame, errors: pl.DataFrame) -> tuple[Section, ...]:
    """Return the headline in sections: dollars, rates, and the contribution of each error.

    Args:
        summary: of `Simulation.summary`.
        errors: of `Simulation.errors`.

    >>> summary = pl.DataFrame({"measure": ["net_usd"], "mean": [-1234.5], "standard_error": [56.78]})
    >>> errors = pl.DataFrame({"error": ["total"], "shapley_usd": [-1234.5], "standard_error": [None]})
    >>> [section.rows for section in build_headline(summary, errors)]
    [(('net', '-1,234', '57'),), (), (('total', '-1,234', ''),)]
    """
    found = {name: (mean, error) for name, mean, error in summary["measure", "mean", "standard_error"].iter_rows()}
    money = [(LABELS[name], *map(_usd, found[name])) for name in MONEY_MEASURES if name in found]
    rates = [(LABELS[name], *map(_percent, found[name])) for name in RATE_MEASURES if name in found]
    shares = [
        (name, _usd(usd), _usd(error))
        for name, usd, error in errors["error", "shapley_usd", "standard_error"].iter_rows()
    ]
    return (
        _make_section("Payment as billed less payment as correctly coded", MONEY, money),
        _make_section("Rates", "%", rates),
        _make_section("Net by error (Shapley values)", MONEY, shares),
    )


def _make_section(title: str, unit: str, rows: Iterable[tuple[str, ...]]) -> Section:
    return Section(title, (), (unit, "mean", "standard error"), tuple(rows), numbers=True)


def _usd(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.2f}"
