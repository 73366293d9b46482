"""Two grouper versions compared, table by table: `table_diff(old, new)`."""

from __future__ import annotations

import polars as pl

from drgsim.exceptions import InputError
from drgsim.tables.table_set import TableSet

CHANGES = pl.Enum(["new", "deleted", "changed"])


def table_diff(old: TableSet, new: TableSet) -> pl.DataFrame:
    """Return what is new, deleted or changed from one grouper version to another.

    Args:
        old, new: two versions, of one table folder or of two.

    Returns:
        One row for each code, DRG or formula that differs: `table`; `key` (a code, a DRG, a condition, or "MDC, DRG:
        formula" for a formula); `change` (new, deleted or changed); `before` and `after`, the facts as name=value,
        for a change only those that differ. In `pdx_exclusions` they are the secondary diagnoses that no longer, or
        newly, count as CC or MCC with the principal diagnosis; the numbers of exclusion groups do not matter. A
        formula that moved past others of its MDC differs in `place`. The order of the tables is fixed; keys ascend.

    Raises:
        InputError: an argument is not a TableSet.

    >>> table_diff(TableSet.load("43.0"), TableSet.load("43.1"))["table"].unique(maintain_order=True).to_list()
    ['procedures', 'clusters']
    >>> changes = table_diff(TableSet.load("43.1"), TableSet.load("44.0"))
    >>> changes.filter(key="Z5900").row(0)
    ('diagnoses', 'Z5900', 'changed', 'severity=CC', 'severity=NONE')
    """
    for tables in (old, new):
        if not isinstance(tables, TableSet):
            raise InputError(f"expected a TableSet, found {type(tables).__name__}; TableSet.load('43.1') returns one.")
    parts = [
        _compare_tables("drgs", _list_drgs(old), _list_drgs(new)),
        _compare_tables("diagnoses", old.diagnoses, new.diagnoses),
        _compare_tables("procedures", old.procedures, new.procedures),
        _compare_tables("clusters", old.clusters, new.clusters),
        _compare_exclusions(old, new),
        _compare_tables("sex_mdcs", old.sex_mdcs, new.sex_mdcs),
        _compare_tables("formulas", *_list_formulas(old, new)),
        _compare_tables("hac_formulas", old.hac_formulas, new.hac_formulas),
        _compare_tables("discharge_statuses", old.discharge_statuses, new.discharge_statuses),
        _compare_tables("mdc_titles", old.mdc_titles, new.mdc_titles),
        _compare_tables("hac_titles", old.hac_titles, new.hac_titles),
    ]
    return pl.concat(parts)


# ---------------------------------------------------------------------------------------------- tables


def _list_drgs(tables: TableSet) -> pl.DataFrame:
    """Return MDCs, family, type and title of every DRG to which a formula leads."""
    led_to = tables.formulas.filter(pl.col("drg") > 0).sort("mdc", "order")
    mdcs = pl.col("mdc").unique(maintain_order=True).cast(pl.String).str.join(" ")
    drgs = led_to.group_by("drg").agg(mdcs, pl.col("base_drg", "type").first())
    return drgs.join(tables.drg_titles, on="drg", how="left")


def _list_formulas(old: TableSet, new: TableSet) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the formulas by MDC, DRG and text, with their place among the common ones.

    CMS numbers rows in search order; a new row changes the numbers of those after it, but not their places.
    """
    keys = ["key"]
    texts = [
        tables.formulas.sort("mdc", "order")
        .with_columns(key=pl.format("MDC {}, DRG {}: {}", "mdc", "drg", "formula"))
        # An MDC may have the same formula twice: as a first attempt, and again after others.
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


def _compare_exclusions(old: TableSet, new: TableSet) -> pl.DataFrame:
    """Compare the secondary diagnoses that each principal diagnosis excludes."""
    groups = old.pdx_exclusions.join(new.pdx_exclusions, on="pdx", how="full", coalesce=True, suffix="_new")
    pairs = groups.select("group", "group_new").unique()
    before, after = (
        pairs.join(tables.exclusion_groups, left_on=column, right_on="group", how="left")
        for tables, column in ((old, "group"), (new, "group_new"))
    )
    pair = ["group", "group_new", "sdx"]
    lost, gained = (
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
        groups.join(lost, on=pair[:2], how="left", nulls_equal=True)
        .join(gained, on=pair[:2], how="left", nulls_equal=True)
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


def _compare_tables(table: str, old: pl.DataFrame, new: pl.DataFrame) -> pl.DataFrame:
    """Compare two frames of the same columns by their first column."""
    key, *facts = old.columns
    sides = [frame.with_columns(pl.all().exclude(key).cast(pl.String), there=True) for frame in (old, new)]
    both = sides[0].join(sides[1], on=key, how="full", coalesce=True, suffix="_new").sort(key)
    is_new, is_deleted = pl.col("there").is_null(), pl.col("there_new").is_null()
    change = pl.when(is_new).then(pl.lit("new")).when(is_deleted).then(pl.lit("deleted")).otherwise(pl.lit("changed"))
    # ne_missing: an empty list of operands is null; null and a name differ.
    differs = {name: pl.col(name).ne_missing(pl.col(f"{name}_new")) for name in facts}
    return both.filter(is_new | is_deleted | pl.any_horizontal(differs.values())).select(
        pl.lit(table).alias("table"),
        pl.col(key).cast(pl.String).alias("key"),
        change.cast(CHANGES).alias("change"),
        before=pl.when(~is_new).then(_format_facts(differs, "")),
        after=pl.when(~is_deleted).then(_format_facts(differs, "_new")),
    )


def _format_facts(differs: dict[str, pl.Expr], suffix: str) -> pl.Expr:
    """Return the facts that differ as name=value, separated by ', '; a null value is empty."""
    shown = [
        pl.when(changed).then(pl.format(f"{name}={{}}", pl.col(name + suffix).fill_null("")))
        for name, changed in differs.items()
    ]
    return pl.concat_str(shown, separator=", ", ignore_nulls=True)
