"""Which DRG families split by CC or MCC, from the version's own formulas."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from drgsim.tables.formula import Alternative, expand_alternatives, parse_formula
from drgsim.tables.table_set import TableSet

_LEVELS = ("MCC", "CC", "NONE")
_SEVERITIES = frozenset({"MCC", "CC"})

Row = tuple[int, tuple[Alternative, ...]]


def list_families(tables: TableSet) -> pl.DataFrame:
    """Return what each DRG's family pays for, a row a DRG, ascending.

    A family splits by MCC where, all else equal, an MCC leads to another DRG of it than a CC does; by CC where
    a CC leads to another than no CC. "With CC/MCC" and "without" is a split by CC alone, "with MCC" and
    "without" one by MCC alone. The formulas decide, not the titles.

    Returns:
        `drg`, `base_drg`, `splits_mcc`, `splits_cc`; DRGs 998 and 999, which have no formula, are not there.

    >>> found = list_families(TableSet.load("43.1"))
    >>> found.filter(pl.col("drg").is_in([193, 470, 946, 313])).rows()
    [(193, 193, True, True), (313, 313, False, False), (470, 469, True, False), (946, 945, False, True)]
    """
    formulas = tables.formulas.filter(pl.col("drg") > 0).sort("mdc", "order")
    rows: dict[int, list[Row]] = {}
    for drg, base, text in formulas.select("drg", "base_drg", "formula").iter_rows():
        rows.setdefault(base, []).append((drg, expand_alternatives(parse_formula(text))))
    splits = [(base, *_splits(family)) for base, family in rows.items()]
    schema = {"base_drg": pl.UInt16, "splits_mcc": pl.Boolean, "splits_cc": pl.Boolean}
    members = formulas.select("drg", "base_drg").unique("drg", keep="first")
    return members.join(pl.DataFrame(splits, schema=schema, orient="row"), on="base_drg", how="left").sort("drg")


def _splits(family: list[Row]) -> tuple[bool, bool]:
    """Return whether an MCC against a CC, and a CC against neither, lead to different DRGs of the family."""
    reached = [[_reached(family, core, level) for level in _LEVELS] for core in _cores(family)]

    def differ(one: int, other: int) -> bool:
        return any(r[one] and r[other] and r[one] != r[other] for r in reached)

    return differ(0, 1), differ(1, 2)


def _cores(family: list[Row]) -> Iterator[frozenset[str]]:
    """Yield what else may be true where a formula of the family asks for a CC or MCC.

    That is what the formula asks besides, alone and with what another formula of the family asks: a formula may
    leave out what its MDC implies, as in multiple trauma.
    """
    asked = [frozenset(name for name, wanted in way if wanted) for _, ways in family for way in ways]
    for names in asked:
        if names & _SEVERITIES:
            yield names - _SEVERITIES
            yield from ((names | other) - _SEVERITIES for other in asked)


def _reached(family: list[Row], core: frozenset[str], level: str) -> int | None:
    """Return the DRG of the first formula that holds, or None where the case leaves the family."""
    true = core | {level}
    for drg, ways in family:
        if any(all((name in true) == wanted for name, wanted in way) for way in ways):
            return drg
    return None
