"""Which DRG families split by CC or MCC, from the formulas of the version."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from drgsim.tables.formula import Alternative, expand_alternatives, parse_formula
from drgsim.tables.table_set import TableSet

_LEVELS = ("MCC", "CC", "NONE")
_SEVERITIES = frozenset({"MCC", "CC"})

Row = tuple[int, tuple[Alternative, ...]]


def list_families(tables: TableSet) -> pl.DataFrame:
    """Return whether the family of each DRG splits by MCC and by CC, a row for each DRG.

    A family splits by MCC if, all else equal, an MCC leads to another of its DRGs than a CC; it splits by CC if a CC
    leads to another of its DRGs than no CC. "With CC/MCC" and "without" is a split by CC alone, "with MCC" and
    "without" a split by MCC alone. The formulas decide, not the titles.

    Returns:
        `drg`, ascending, `base_drg`, `splits_mcc`, `splits_cc`; without DRGs 998 and 999, which have no formula.

    >>> found = list_families(TableSet.load("43.1"))
    >>> found.filter(pl.col("drg").is_in([193, 470, 946, 313])).rows()
    [(193, 193, True, True), (313, 313, False, False), (470, 469, True, False), (946, 945, False, True)]
    """
    formulas = tables.formulas.filter(pl.col("drg") > 0).sort("mdc", "order")
    rows: dict[int, list[Row]] = {}
    for drg, base, text in formulas.select("drg", "base_drg", "formula").iter_rows():
        rows.setdefault(base, []).append((drg, expand_alternatives(parse_formula(text))))
    splits = [(base, *_find_splits(family)) for base, family in rows.items()]
    schema = {"base_drg": pl.UInt16, "splits_mcc": pl.Boolean, "splits_cc": pl.Boolean}
    members = formulas.select("drg", "base_drg").unique("drg", keep="first")
    return members.join(pl.DataFrame(splits, schema=schema, orient="row"), on="base_drg", how="left").sort("drg")


def _find_splits(family: list[Row]) -> tuple[bool, bool]:
    """Return whether a family splits by MCC, and whether it splits by CC."""
    drgs = [[_find_drg(family, others, level) for level in _LEVELS] for others in _list_other_operands(family)]

    def differ(one: int, other: int) -> bool:
        return any(drg[one] and drg[other] and drg[one] != drg[other] for drg in drgs)

    return differ(0, 1), differ(1, 2)


def _list_other_operands(family: list[Row]) -> Iterator[frozenset[str]]:
    """Yield the operands that are true with a CC or MCC, for each formula that asks for one.

    These are the other operands of the formula, alone and with those of another formula of the family, because a
    formula may leave out operands that its MDC implies, as in multiple trauma.
    """
    needed = [frozenset(name for name, wanted in way if wanted) for _, ways in family for way in ways]
    for names in needed:
        if names & _SEVERITIES:
            yield names - _SEVERITIES
            yield from ((names | other) - _SEVERITIES for other in needed)


def _find_drg(family: list[Row], others: frozenset[str], level: str) -> int | None:
    """Return the DRG of the first formula that is true, or None where none of the family is."""
    true = others | {level}
    for drg, ways in family:
        if any(all((name in true) == wanted for name, wanted in way) for way in ways):
            return drg
    return None
