"""The result of a simulation in a few lines: what it does to payment, and which error does it."""

from __future__ import annotations

import polars as pl

from drgsim.display import Section

_MONEY = {"net_usd": "net", "overpaid_usd": "overpaid", "underpaid_usd": "underpaid", "improper_usd": "improper"}
_SHARES = {
    "code_change_rate": "admissions with another code",
    "drg_change_rate": "admissions with another DRG",
    "share_up": "of these, paid more",
    "net_share": "net, of payment",
}


def build_headline(summary: pl.DataFrame, operators: pl.DataFrame) -> tuple[Section, ...]:
    """Return the sections that say what coding errors did: dollars, rates, and errors with their share.

    Args:
        summary: of `results.Simulation.summary`.
        operators: of `results.Simulation.operators`.

    >>> summary = pl.DataFrame({"measure": ["net_usd"], "mean": [-1234.5], "standard_error": [56.78]})
    >>> operators = pl.DataFrame({"error": ["total"], "shapley_usd": [-1234.5], "standard_error": [None]})
    >>> [section.rows for section in build_headline(summary, operators)]
    [(('net', '-1,234', '57'),), (), (('total', '-1,234', ''),)]
    """
    found = {name: (mean, error) for name, mean, error in summary["measure", "mean", "standard_error"].iter_rows()}
    money = [(title, *map(_usd, found[name])) for name, title in _MONEY.items() if name in found]
    shares = [(title, *map(_percent, found[name])) for name, title in _SHARES.items() if name in found]
    errors = [
        (name, _usd(usd), _usd(error))
        for name, usd, error in operators["error", "shapley_usd", "standard_error"].iter_rows()
    ]
    return (
        Section("Billed less truth", (), ("USD a replicate", "mean", "standard error"), tuple(money), numbers=True),
        Section("How often", (), ("%", "mean", "standard error"), tuple(shares), numbers=True),
        Section(
            "Error by error (Shapley values)",
            (),
            ("USD a replicate", "mean", "standard error"),
            tuple(errors),
            numbers=True,
        ),
    )


def _usd(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.2f}"
