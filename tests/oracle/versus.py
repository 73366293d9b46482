"""drgsim and `msdrg` on the same claims, outside the classes where `msdrg` is known to differ from CMS."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from drgsim import TableSet, group
from tests.oracle.compare import differences, plain
from tests.oracle.known import msdrg_differs
from tests.oracle.native import group_native

COLUMNS = ("initial_drg", "initial_mdc", "drg", "mdc", "base_drg", "severity", "hac_count", "return_code")
STATUS_SHARES = {"NON_EXEMPT": 0.8, "EXEMPT": 0.1, "UNKNOWN": 0.1}


@dataclass(frozen=True, eq=False)
class Compared:
    """Claims compared, left out by class (a claim may be of several), DRGs `msdrg` gave, and what differs."""

    compared: int
    left_out: int
    classes: dict[str, int]
    drgs: frozenset[int]
    different: pl.DataFrame


def peer_answers(claims: pl.DataFrame, version: str, status: str) -> pl.DataFrame:
    """Return `msdrg`'s answers in drgsim's words: 999 is its own base DRG, 998 and 999 have no severity."""
    answers = group_native(claims, version, status)
    without = pl.col("drg") >= 998
    return answers.with_columns(
        claims["admission_id"],
        base_drg=pl.when(without).then("drg").otherwise("base_drg"),
        severity=pl.when(without).then(pl.lit("NONE")).otherwise("severity"),
    )


def by_status(claims: pl.DataFrame) -> list[tuple[str, pl.DataFrame]]:
    """Split claims over the POA-reporting statuses by `STATUS_SHARES`; none is left over or taken twice."""
    ends = [0]
    for share in STATUS_SHARES.values():
        ends.append(ends[-1] + round(claims.height * share))
    ends[-1] = claims.height
    return [
        (status, claims.slice(start, end - start))
        for status, start, end in zip(STATUS_SHARES, ends, ends[1:], strict=False)
    ]


def compared(claims: pl.DataFrame, rules: TableSet, status: str) -> Compared:
    """Return how drgsim's answers to claims of one version and one status differ from `msdrg`'s."""
    classes = msdrg_differs(claims, rules, status)
    known = classes.select(pl.any_horizontal(pl.all())).to_series()
    asked = claims.filter(~known)
    expected = peer_answers(asked, rules.version, status)
    found = group(asked, rules, hospital_status=status)
    return Compared(
        compared=asked.height,
        left_out=int(known.sum()),
        classes={name: int(classes[name].sum()) for name in classes.columns},
        drgs=frozenset(expected["drg"].drop_nulls().to_list()),
        different=differences(asked, plain(found), plain(expected), {name: name for name in COLUMNS}),
    )
