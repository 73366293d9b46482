"""New technologies: which add-ons a stay's codes ask for. Source: 42 CFR 412.87.

Codes, groups and amounts stand in the table folder (`new_technology/`); this module names none.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from drgsim.exceptions import SchemaError
from drgsim.numerics.arrays import Int64Array
from drgsim.numerics.fixed_point import to_fixed_point
from drgsim.numerics.segments import expand_stretches
from drgsim.pricing.rates import Rates
from drgsim.schema import normalise_codes

_GIVEN = ("ntap_max_usd", "ntap_share")
MOST_ADD_ON_USD = 9_999_999.99
"""What the add-ons of one stay may come to at the highest, as far as integers carry it."""

ADD_ONS = {"row": pl.UInt32(), "max_usd": pl.Float64(), "cost_share": pl.Float64()}


@dataclass(frozen=True, slots=True)
class AddOns:
    """Add-ons asked for, in order of rows, and rows whose given amounts cannot be."""

    row: Int64Array
    """(k,) row of the stay."""
    most2: Int64Array
    """(k,) highest add-on [cents]."""
    share2: Int64Array
    """(k,) cost share [1e-2]."""
    wrong: Int64Array
    """(w,) rows that cannot be priced, ascending; they ask for nothing."""

    def of(self, start: int, stop: int) -> tuple[tuple[Int64Array, Int64Array, Int64Array], Int64Array]:
        """Return what rows `start` to `stop` ask for, and which are wrong, counted from `start`."""
        first, last = np.searchsorted(self.row, (start, stop))
        low, high = np.searchsorted(self.wrong, (start, stop))
        asked = self.row[first:last] - start, self.most2[first:last], self.share2[first:last]
        return asked, self.wrong[low:high] - start

    def taken(self, rows: Int64Array) -> AddOns:
        """Return what the given rows ask for, as rows of their own; a row may come several times."""
        first, last = (np.searchsorted(self.row, rows, side) for side in ("left", "right"))
        at, place = expand_stretches(first, last - first)
        return AddOns(place, self.most2[at], self.share2[at], np.flatnonzero(np.isin(rows, self.wrong)))


def find_add_ons(frame: pl.DataFrame, rates: Rates) -> AddOns:
    """Return the add-ons asked for, from `ntap_max_usd` and `ntap_share` if given, else found by the codes.

    Raises:
        SchemaError: one of the two columns is given without the other.
    """
    wrong = np.zeros(0, dtype=np.int64)
    given = [name for name in _GIVEN if name in frame.columns]
    if len(given) == 1:
        raise SchemaError(f"stays have {given[0]} without its twin: give both {' and '.join(_GIVEN)}, or neither.")
    if given:
        asked, wrong = _as_given(frame)
    else:
        asked = add_ons(frame, rates)
    row, most, share = asked.columns
    return AddOns(
        asked[row].to_numpy().astype(np.int64),
        to_fixed_point(asked[most].to_numpy(), 2),
        to_fixed_point(asked[share].to_numpy(), 2),
        wrong,
    )


def _as_given(frame: pl.DataFrame) -> tuple[pl.DataFrame, Int64Array]:
    """Add-ons of the given columns, and rows that are wrong. A null list asks for nothing.

    Wrong: lists of unequal length, a value that is null, not finite or negative, a share above 1, or add-ons
    of a stay that together exceed what is carried.
    """
    most, share = (pl.col(name) for name in _GIVEN)
    lists = frame.select(pl.int_range(pl.len(), dtype=pl.UInt32).alias("row"), *_GIVEN)
    equal = most.list.len().fill_null(0) == share.list.len().fill_null(0)
    each = lists.filter(equal).filter(most.list.len() > 0).explode(*_GIVEN)
    fits = most.is_between(0, MOST_ADD_ON_USD) & share.is_between(0, 1) & most.is_not_nan() & share.is_not_nan()
    total = most.sum().over("row").is_between(0, MOST_ADD_ON_USD)
    bad = each.filter(~(fits & total).fill_null(value=False).min().over("row"))["row"].unique()
    wrong = pl.concat([lists.filter(~equal)["row"], bad]).sort()
    return each.filter(~pl.col("row").is_in(wrong.implode())), wrong.to_numpy().astype(np.int64)


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
    distinct = (
        long.select(pl.col("raw").unique()).collect().with_columns(code=normalise_codes(pl.col("raw").cast(pl.String)))
    )
    whole = distinct.join(codes, on="code")
    prefixes = codes.filter(pl.col("code").str.ends_with("*")).with_columns(pl.col("code").str.strip_suffix("*"))
    begun = [
        distinct.with_columns(pl.col("code").str.head(length)).join(prefixes, on="code")
        for length in prefixes["code"].str.len_chars().unique()
    ]
    known = pl.concat([whole, *begun]).select("raw", "code_group")
    if known.is_empty():
        return pl.DataFrame(schema={"row": pl.UInt32, "code_group": pl.String})
    return long.join(known.lazy(), on="raw").select("row", "code_group").unique().collect()
