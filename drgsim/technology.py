"""New technologies: which add-ons a stay's codes ask for. Source: 42 CFR 412.87.

Codes, groups and amounts stand in the table folder (`new_technology/`); this module names none.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from drgsim.errors import InputError
from drgsim.exact import Ints, scaled
from drgsim.rates import Rates
from drgsim.stays import normal

ADD_ONS = {"row": pl.UInt32(), "max_usd": pl.Float64(), "cost_share": pl.Float64()}


def technologies(frame: pl.DataFrame, rates: Rates) -> tuple[Ints, Ints, Ints]:
    """Add-ons asked for: rows (k,), highest add-on (k,) [cents], cost share (k,) [1e-2], in order of rows.

    Taken from `ntap_max_usd` and `ntap_share` if they are there, else found by the codes.
    """
    if "ntap_max_usd" in frame.columns and "ntap_share" in frame.columns:
        lists = frame.select(pl.int_range(pl.len(), dtype=pl.UInt32).alias("row"), "ntap_max_usd", "ntap_share")
        lists = lists.filter(pl.col("ntap_max_usd").list.len() > 0)
        if (lists["ntap_max_usd"].list.len() != lists["ntap_share"].list.len().fill_null(0)).any():
            raise InputError("ntap_max_usd and ntap_share must have one value a technology, in the same order.")
        asked = lists.explode("ntap_max_usd", "ntap_share").drop_nulls()
    else:
        asked = add_ons(frame, rates)
    row, most, share = asked.columns
    return (
        asked[row].to_numpy().astype(np.int64),
        scaled(asked[most].to_numpy(), 2),
        scaled(asked[share].to_numpy(), 2),
    )


def add_ons(admissions: pl.DataFrame, rates: Rates) -> pl.DataFrame:
    """Return the add-ons that admissions ask for. (k,) `row`, `max_usd` [USD], `cost_share` [1], by row.

    A technology is asked for when, in one of its alternatives, every code group stands as it must. Every
    alternative needs a procedure, so diagnoses are looked at only where a procedure fits.

    Args:
        admissions: (n,) with `procedures`, and `pdx` and `sdx` where a technology also needs a diagnosis.
        rates: of the fiscal year; without a list of technologies the result is empty.
    """
    amounts, codes, rules = rates.technologies, rates.technology_codes, rates.technology_rules
    if amounts is None or codes is None or rules is None or "procedures" not in admissions.columns:
        return pl.DataFrame(schema=ADD_ONS)
    procedures = codes.filter(pl.col("code_kind") == "procedure").select("code", "code_group")
    met = _matches(admissions.select("procedures"), procedures)
    if met.is_empty():
        return pl.DataFrame(schema=ADD_ONS)
    diagnoses = codes.filter(pl.col("code_kind") == "diagnosis").select("code", "code_group")
    undecided = rules.filter(pl.col("code_group").is_in(diagnoses["code_group"].implode()))["technology"]
    open_groups = rules.filter(pl.col("technology").is_in(undecided.implode()))["code_group"]
    rows = met.filter(pl.col("code_group").is_in(open_groups.implode()))["row"].unique().sort()
    some = admissions[rows.to_numpy()]
    met = pl.concat([met, *(_diagnoses(some, rows, diagnoses, column) for column in ("pdx", "sdx"))]).unique()
    alternative = ("technology", "alternative")
    needed = rules.group_by(alternative).agg(pl.col("present").sum().alias("needed"))
    asked = (
        met.join(rules, on="code_group")
        .group_by("row", *alternative)
        .agg(pl.col("present").sum().alias("found"), (~pl.col("present")).any().alias("excluded"))
        .join(needed, on=alternative)
        .filter(pl.col("found") == pl.col("needed"), ~pl.col("excluded"))
    )
    return (
        asked.select("row", "technology")
        .unique()
        .join(amounts, on="technology")
        .sort("row", "technology")
        .select(pl.col(name).cast(dtype) for name, dtype in ADD_ONS.items())
    )


def _diagnoses(some: pl.DataFrame, rows: pl.Series, codes: pl.DataFrame, column: str) -> pl.DataFrame:
    """Code groups met by one column of diagnoses, in the rows that are left."""
    if column not in some.columns:
        return pl.DataFrame(schema={"row": pl.UInt32, "code_group": pl.String})
    as_list = some.select(pl.col(column) if some.schema[column] == pl.List else pl.concat_list(column))
    found = _matches(as_list, codes)
    return found.with_columns(pl.Series("row", rows.gather(found["row"]), dtype=pl.UInt32))


def _matches(lists: pl.DataFrame, codes: pl.DataFrame) -> pl.DataFrame:
    """Rows and the code groups their codes belong to; a table code that ends in * is a prefix."""
    column = lists.columns[0]
    long = lists.lazy().with_row_index("row").explode(column).select("row", pl.col(column).alias("raw")).drop_nulls()
    # Normalising text costs more than a look-up: normalise each different code once.
    distinct = long.select(pl.col("raw").unique()).collect().with_columns(code=normal(pl.col("raw").cast(pl.String)))
    whole = distinct.join(codes, on="code")
    prefixes = codes.filter(pl.col("code").str.ends_with("*"))
    begun = [
        distinct.filter(pl.col("code").str.starts_with(prefix[:-1])).with_columns(code_group=pl.lit(group))
        for prefix, group in prefixes.iter_rows()
    ]
    known = pl.concat([whole, *begun]).select("raw", "code_group")
    if known.is_empty():
        return pl.DataFrame(schema={"row": pl.UInt32, "code_group": pl.String})
    return long.join(known.lazy(), on="raw").select("row", "code_group").unique().collect()
