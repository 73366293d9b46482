"""Two grouper versions compared, table by table: `table_diff(old, new)`."""

from __future__ import annotations

import polars as pl

from drgsim.exceptions import InputError
from drgsim.tables.table_set import TableSet

CHANGES = pl.Enum(["new", "deleted", "changed"])


def table_diff(old: TableSet, new: TableSet) -> pl.DataFrame:
    """Return what is new, deleted or changed from one version to another, one row a code, DRG or formula.

    Args:
        old, new: two versions, of one table folder or of two.

    Returns:
        `table` and `key` (a code, a DRG, a condition; "MDC, DRG: formula" of a formula), `change` (new, deleted or
        changed), `before` and `after`: the facts as name=value, of a change only those that differ. In
        `pdx_exclusions` they are the secondary diagnoses whose CC or MCC stopped, and newly stops, to count beside
        the principal diagnosis; how groups are numbered does not matter. A formula that only moved past others of
        its MDC has `place` in both. Tables stand in a fixed order, keys ascend.

    Raises:
        InputError: an argument is no TableSet.

    >>> table_diff(TableSet.load("43.0"), TableSet.load("43.1"))["table"].unique(maintain_order=True).to_list()
    ['procedures', 'clusters']
    >>> changes = table_diff(TableSet.load("43.1"), TableSet.load("44.0"))
    >>> changes.filter(key="Z5900").row(0)
    ('diagnoses', 'Z5900', 'changed', 'severity=CC', 'severity=NONE')
    """
    for tables in (old, new):
        if not isinstance(tables, TableSet):
            raise InputError(f"expected a TableSet, found {type(tables).__name__}; TableSet.load('43.1') gives one.")
    parts = [
        _compared("drgs", _drgs(old), _drgs(new)),
        _compared("diagnoses", old.diagnoses, new.diagnoses),
        _compared("procedures", old.procedures, new.procedures),
        _compared("clusters", old.clusters, new.clusters),
        _exclusions(old, new),
        _compared("sex_mdcs", old.sex_mdcs, new.sex_mdcs),
        _compared("formulas", *_formulas(old, new)),
        _compared("hac_formulas", old.hac_formulas, new.hac_formulas),
        _compared("discharge_statuses", old.discharge_statuses, new.discharge_statuses),
        _compared("mdc_titles", old.mdc_titles, new.mdc_titles),
        _compared("hac_titles", old.hac_titles, new.hac_titles),
    ]
    return pl.concat(parts)


# ---------------------------------------------------------------------------------------------- tables


def _drgs(tables: TableSet) -> pl.DataFrame:
    """Return the DRGs a formula leads to: where, their family, type and title."""
    led_to = tables.formulas.filter(pl.col("drg") > 0).sort("mdc", "order")
    mdcs = pl.col("mdc").unique(maintain_order=True).cast(pl.String).str.join(" ")
    drgs = led_to.group_by("drg").agg(mdcs, pl.col("base_drg", "type").first())
    return drgs.join(tables.drg_titles, on="drg", how="left")


def _formulas(old: TableSet, new: TableSet) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the formulas by MDC, DRG and text, with their place among those that both versions have.

    CMS's search order is a running number, which shifts whenever a row is put in; the place does not.
    """
    keys = ["key"]
    texts = [
        tables.formulas.sort("mdc", "order")
        .with_columns(key=pl.format("MDC {}, DRG {}: {}", "mdc", "drg", "formula"))
        # The same formula may stand twice in an MDC: as a first try and after others.
        .with_columns(time=pl.int_range(pl.len()).over("key"))
        .with_columns(key=pl.when(pl.col("time") > 0).then(pl.format("{} ({})", "key", "time")).otherwise("key"))
        for tables in (old, new)
    ]
    common = texts[0].select(keys).join(texts[1].select(keys), on=keys)
    place = pl.int_range(1, pl.len() + 1).over("mdc")
    facts = ("key", "base_drg", "type", "reroute_mdc", "return_code", "severity_suppression")
    placed = [
        text.join(
            text.join(common, on=keys, how="semi", maintain_order="left").select("key", place=place),
            on="key",
            how="left",
            maintain_order="left",
        ).select(*facts, "place")
        for text in texts
    ]
    return placed[0], placed[1]


def _exclusions(old: TableSet, new: TableSet) -> pl.DataFrame:
    """Compare, for every principal diagnosis, the secondary ones it excludes."""
    groups = old.pdx_exclusions.join(new.pdx_exclusions, on="pdx", how="full", coalesce=True, suffix="_new")
    pairs = groups.select("group", "group_new").unique()
    before, after = (
        pairs.join(tables.exclusion_groups, left_on=column, right_on="group", how="left")
        for tables, column in ((old, "group"), (new, "group_new"))
    )
    pair = ["group", "group_new", "sdx"]
    gone, come = (
        one.drop_nulls("sdx")
        .join(other, on=pair, how="anti", nulls_equal=True)
        .group_by(pair[:2])
        .agg(pl.col("sdx").sort().str.join(" ").alias(name))
        for one, other, name in ((before, after, "before"), (after, before, "after"))
    )
    change = (
        pl.when(pl.col("group").is_null())
        .then(pl.lit("new"))
        .when(pl.col("group_new").is_null())
        .then(pl.lit("deleted"))
        .otherwise(pl.lit("changed"))
    )
    return (
        groups.join(gone, on=pair[:2], how="left", nulls_equal=True)
        .join(come, on=pair[:2], how="left", nulls_equal=True)
        .filter(pl.col("before").is_not_null() | pl.col("after").is_not_null())
        .select(
            pl.lit("pdx_exclusions").alias("table"),
            pl.col("pdx").alias("key"),
            change.cast(CHANGES).alias("change"),
            "before",
            "after",
        )
        .sort("key")
    )


# ---------------------------------------------------------------------------------------------- rows


def _compared(table: str, old: pl.DataFrame, new: pl.DataFrame) -> pl.DataFrame:
    """Compare two frames of the same columns by their first column."""
    key, *facts = old.columns
    sides = [frame.with_columns(pl.all().exclude(key).cast(pl.String), there=True) for frame in (old, new)]
    both = sides[0].join(sides[1], on=key, how="full", coalesce=True, suffix="_new").sort(key)
    come, gone = pl.col("there").is_null(), pl.col("there_new").is_null()
    change = pl.when(come).then(pl.lit("new")).when(gone).then(pl.lit("deleted")).otherwise(pl.lit("changed"))
    # ne_missing: an empty list of operands is null, and null against a name is a difference.
    differs = {name: pl.col(name).ne_missing(pl.col(f"{name}_new")) for name in facts}
    return both.filter(come | gone | pl.any_horizontal(differs.values())).select(
        pl.lit(table).alias("table"),
        pl.col(key).cast(pl.String).alias("key"),
        change.cast(CHANGES).alias("change"),
        before=pl.when(~come).then(_said(differs, "")),
        after=pl.when(~gone).then(_said(differs, "_new")),
    )


def _said(differs: dict[str, pl.Expr], suffix: str) -> pl.Expr:
    """Return the facts that differ as name=value, with ', ' between; an empty one as name=."""
    shown = [
        pl.when(changed).then(pl.format(f"{name}={{}}", pl.col(name + suffix).fill_null("")))
        for name, changed in differs.items()
    ]
    return pl.concat_str(shown, separator=", ", ignore_nulls=True)
