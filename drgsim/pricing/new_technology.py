"""New technologies: which add-ons the codes of a stay qualify for. Source: 42 CFR 412.87.

Codes, groups and amounts are in the table folder (`new_technology/`); this module names none.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from drgsim.exceptions import SchemaError
from drgsim.files.foreign_frames import accept_frames
from drgsim.numerics.arrays import Int64Array
from drgsim.numerics.fixed_point import to_fixed_point
from drgsim.numerics.segments import expand_stretches
from drgsim.pricing.rates import Rates
from drgsim.schema import normalise_codes

_GIVEN = ("ntap_max_usd", "ntap_share")
MOST_ADD_ON_USD = 9_999_999.99
"""Highest sum of the add-ons of one stay that 64-bit integers carry."""

ADD_ONS = {"row": pl.UInt32(), "max_usd": pl.Float64(), "cost_share": pl.Float64()}


@dataclass(frozen=True, slots=True)
class AddOns:
    """New technology add-ons of stays, by row, and the rows whose amounts are not valid."""

    row: Int64Array
    """(k,) row of the stay."""
    most2: Int64Array
    """(k,) highest add-on [cents]."""
    share2: Int64Array
    """(k,) share of the costs above the payment [1e-2]."""
    invalid: Int64Array
    """(i,) rows whose amounts are not valid, ascending; they have no add-on."""

    def take(self, rows: Int64Array | slice) -> AddOns:
        """Return the add-ons of the given rows, numbered from 0 in that order.

        Args:
            rows: (k,) rows, which may repeat, or a slice with a start and a stop.
        """
        if isinstance(rows, slice):
            (first, last), (low, high) = (
                np.searchsorted(of, (rows.start, rows.stop)) for of in (self.row, self.invalid)
            )
            span, start = slice(first, last), rows.start
            return AddOns(self.row[span] - start, self.most2[span], self.share2[span], self.invalid[low:high] - start)
        begin, end = (np.searchsorted(self.row, rows, side) for side in ("left", "right"))
        at, place = expand_stretches(begin, end - begin)
        return AddOns(place, self.most2[at], self.share2[at], np.flatnonzero(np.isin(rows, self.invalid)))


def find_add_ons(stays: pl.DataFrame, rates: Rates) -> AddOns:
    """Return the new technology add-ons of stays.

    Those of `ntap_max_usd` and `ntap_share` if given, else those that the codes qualify for.

    Raises:
        SchemaError: one of the two columns is given without the other.
    """
    invalid = np.zeros(0, dtype=np.int64)
    given = [name for name in _GIVEN if name in stays.columns]
    if len(given) == 1:
        raise SchemaError(f"stays have {given[0]} without its twin: give both {' and '.join(_GIVEN)}, or neither.")
    if given:
        found, invalid = _read_given(stays)
    else:
        found = list_add_ons(stays, rates)
    row, most, share = found.columns
    return AddOns(
        found[row].to_numpy().astype(np.int64),
        to_fixed_point(found[most].to_numpy(), 2),
        to_fixed_point(found[share].to_numpy(), 2),
        invalid,
    )


@accept_frames
def list_add_ons(admissions: pl.DataFrame, rates: Rates) -> pl.DataFrame:
    """Return the add-ons that the codes of admissions qualify for, by row.

    A technology is added when, in one of its alternatives, every code group is present or absent as the
    alternative requires. Every alternative needs a procedure, so diagnoses are read only where a procedure fits.

    Args:
        admissions: (n,) with `procedures`, and `pdx` and `sdx` where a technology also needs a diagnosis.
        rates: of the fiscal year; without a list of technologies the result is empty.

    Returns:
        (k,) `row` of the admission, `max_usd` [USD], `cost_share` [1].

    >>> rates = Rates.load(2026)
    >>> procedure = rates.technology_codes.filter(pl.col("code_kind") == "procedure")["code"][0]
    >>> list_add_ons(pl.DataFrame({"procedures": [["0FT44ZZ"], [procedure]]}), rates).columns
    ['row', 'max_usd', 'cost_share']
    """
    amounts, codes, rules = rates.technologies, rates.technology_codes, rates.technology_rules
    if amounts is None or codes is None or rules is None or "procedures" not in admissions.columns:
        return pl.DataFrame(schema=ADD_ONS)
    procedures = codes.filter(pl.col("code_kind") == "procedure").select("code", "code_group")
    met = _match_codes(admissions.select("procedures"), procedures)
    if met.is_empty():
        return pl.DataFrame(schema=ADD_ONS)
    diagnoses = codes.filter(pl.col("code_kind") == "diagnosis").select("code", "code_group")
    undecided = rules.filter(pl.col("code_group").is_in(diagnoses["code_group"].implode()))["technology"]
    open_groups = rules.filter(pl.col("technology").is_in(undecided.implode()))["code_group"]
    rows = met.filter(pl.col("code_group").is_in(open_groups.implode()))["row"].unique().sort()
    some = admissions[rows.to_numpy()]
    met = pl.concat([met, *(_match_diagnoses(some, rows, diagnoses, column) for column in ("pdx", "sdx"))]).unique()
    alternative = ("technology", "alternative")
    needed = rules.group_by(alternative).agg(pl.col("present").sum().alias("needed"))
    qualified = (
        met.join(rules, on="code_group")
        .group_by("row", *alternative)
        .agg(pl.col("present").sum().alias("found"), (~pl.col("present")).any().alias("excluded"))
        .join(needed, on=alternative)
        .filter(pl.col("found") == pl.col("needed"), ~pl.col("excluded"))
    )
    return (
        qualified.select("row", "technology")
        .unique()
        .join(amounts, on="technology")
        .sort("row", "technology")
        .select(pl.col(name).cast(dtype) for name, dtype in ADD_ONS.items())
    )


# ---------------------------------------------------------------------------------------------------------


def _read_given(stays: pl.DataFrame) -> tuple[pl.DataFrame, Int64Array]:
    """Return the add-ons of the given columns, and the rows that are not valid.

    A null list has no add-on.

    Not valid: lists of unequal length, a value that is null, not finite or negative, a share above 1, or add-ons
    of a stay whose sum is above `MOST_ADD_ON_USD`.
    """
    most, share = (pl.col(name) for name in _GIVEN)
    lists = stays.select(pl.int_range(pl.len(), dtype=pl.UInt32).alias("row"), *_GIVEN)
    equal = most.list.len().fill_null(0) == share.list.len().fill_null(0)
    each = lists.filter(equal).filter(most.list.len() > 0).explode(*_GIVEN)
    fits = most.is_between(0, MOST_ADD_ON_USD) & share.is_between(0, 1) & most.is_not_nan() & share.is_not_nan()
    total = most.sum().over("row").is_between(0, MOST_ADD_ON_USD)
    bad = each.filter(~(fits & total).fill_null(value=False).min().over("row"))["row"].unique()
    invalid = pl.concat([lists.filter(~equal)["row"], bad]).sort()
    return each.filter(~pl.col("row").is_in(invalid.implode())), invalid.to_numpy().astype(np.int64)


def _match_diagnoses(some: pl.DataFrame, rows: pl.Series, codes: pl.DataFrame, column: str) -> pl.DataFrame:
    """Return the code groups of one column of diagnoses; `rows` numbers the rows of `some`."""
    if column not in some.columns:
        return pl.DataFrame(schema={"row": pl.UInt32, "code_group": pl.String})
    as_list = some.select(pl.col(column) if some.schema[column] == pl.List else pl.concat_list(column))
    found = _match_codes(as_list, codes)
    return found.with_columns(pl.Series("row", rows.gather(found["row"]), dtype=pl.UInt32))


def _match_codes(lists: pl.DataFrame, codes: pl.DataFrame) -> pl.DataFrame:
    """Return rows and the code groups of their codes; a table code that ends in * is a prefix."""
    column = lists.columns[0]
    long = lists.lazy().with_row_index("row").explode(column).select("row", pl.col(column).alias("raw")).drop_nulls()
    # Normalising text costs more than a look-up: normalise each distinct code once.
    distinct = (
        long.select(pl.col("raw").unique()).collect().with_columns(code=normalise_codes(pl.col("raw").cast(pl.String)))
    )
    exact = distinct.join(codes, on="code")
    prefixes = codes.filter(pl.col("code").str.ends_with("*")).with_columns(pl.col("code").str.strip_suffix("*"))
    by_prefix = [
        distinct.with_columns(pl.col("code").str.head(length)).join(prefixes, on="code")
        for length in prefixes["code"].str.len_chars().unique()
    ]
    known = pl.concat([exact, *by_prefix]).select("raw", "code_group")
    if known.is_empty():
        return pl.DataFrame(schema={"row": pl.UInt32, "code_group": pl.String})
    return long.join(known.lazy(), on="raw").select("row", "code_group").unique().collect()
