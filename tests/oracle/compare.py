"""Two answers to the same claims side by side; what differs is shown claim by claim."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

CLAIM = ("pdx", "sdx", "sdx_poa", "procedures", "sex", "discharge_status", "recipe")


def plain(frame: pl.DataFrame) -> pl.DataFrame:
    """Enums as text and integers of one width, so that only values are compared."""
    texts, lists = pl.selectors.enum(), pl.selectors.list(pl.selectors.enum())
    numbers = pl.selectors.integer() - pl.selectors.by_name("admission_id", require_all=False)
    return frame.with_columns(texts.cast(pl.String), lists.cast(pl.List(pl.String)), numbers.cast(pl.Int64))


def differences(
    claims: pl.DataFrame, found: pl.DataFrame, expected: pl.DataFrame, columns: Mapping[str, str]
) -> pl.DataFrame:
    """Return the claims whose answers differ, with both answers.

    Answers are matched on `admission_id` with full joins, so that a row missing on either side is a
    difference, and compared with `ne_missing`, so that a null is one too.

    Args:
        claims: what was asked.
        found: drgsim's answers.
        expected: the reference's answers.
        columns: drgsim's column to the reference's column, the pairs to compare.
    """
    ours = found.select("admission_id", **{f"{name}_found": pl.col(name) for name in columns}, _ours=True)
    theirs = expected.select(
        "admission_id", **{f"{name}_expected": pl.col(other) for name, other in columns.items()}, _theirs=True
    )
    both = claims.join(ours, on="admission_id", how="full", coalesce=True).join(
        theirs, on="admission_id", how="full", coalesce=True
    )
    differs = {name: pl.col(f"{name}_found").ne_missing(pl.col(f"{name}_expected")) for name in columns}
    return both.with_columns(
        differs=pl.concat_list(
            [pl.when(differ).then(pl.lit(name)) for name, differ in differs.items()]
            + [pl.when(pl.col("_ours").ne_missing(pl.col("_theirs"))).then(pl.lit("a row is missing"))]
        ).list.drop_nulls()
    ).filter(pl.col("differs").list.len() > 0)


def report(different: pl.DataFrame, n: int, *, first: int = 8) -> str:
    """Return the first differing claims as text a person can act on."""
    columns = sorted(set(different["differs"].explode().drop_nulls()))
    counts = ", ".join(f"{name}: {different['differs'].list.contains(name).sum()}" for name in columns)
    lines = [f"{different.height} of {n} claims differ ({counts}); the first {min(first, different.height)}:"]
    for row in different.head(first).iter_rows(named=True):
        lines.append(f"  admission {row['admission_id']}: " + ", ".join(f"{c}={row[c]!r}" for c in CLAIM if c in row))
        for name in row["differs"]:
            if name in columns and f"{name}_found" in row:
                lines.append(f"    {name}: found {row[f'{name}_found']!r}, expected {row[f'{name}_expected']!r}")
            else:
                lines.append(f"    {name}")
    return "\n".join(lines)
