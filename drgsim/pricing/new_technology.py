"""What the codes and the day of a stay add: new technologies, COVID-19, products at no cost.

Codes, groups, days and amounts are in the table folder (`new_technology/`, `rates/`); this module names none.
Source: 42 CFR 412.87, 412.85; CARES Act section 3710.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from drgsim.exceptions import SchemaError
from drgsim.files.foreign_frames import accept_frames
from drgsim.numerics.arrays import BoolArray, Int64Array
from drgsim.numerics.fixed_point import to_fixed_point
from drgsim.numerics.segments import expand_stretches
from drgsim.rates.payment_rates import Rates
from drgsim.schema import normalise_codes

CODES = ("procedures", "pdx", "sdx", "national_drug_codes")
"""Columns of codes that decide about new technologies."""
_GIVEN = ("ntap_max_usd", "ntap_share")
MOST_ADD_ON_USD = 9_999_999.99
"""Highest sum of the add-ons of one stay that 64-bit integers carry."""

_NO_CODES = pl.DataFrame(schema={"row": pl.UInt32, "code_group": pl.String})
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
    alternative requires. Every alternative needs a procedure or a drug, so diagnoses are read only where one fits.

    Args:
        admissions: (n,) with `procedures` or `national_drug_codes` (lists), and `pdx` and `sdx` where a technology
            also needs a diagnosis.
        rates: of the fiscal year; without a list of technologies the result is empty.

    Returns:
        (k,) `row` of the admission, `max_usd` [USD], `cost_share` [1].

    >>> rates = Rates.load(2026)
    >>> procedure = rates.technology_codes.filter(pl.col("code_kind") == "procedure")["code"][0]
    >>> list_add_ons(pl.DataFrame({"procedures": [["0FT44ZZ"], [procedure]]}), rates).columns
    ['row', 'max_usd', 'cost_share']
    """
    amounts, codes, rules = rates.technologies, rates.technology_codes, rates.technology_rules
    if amounts is None or codes is None or rules is None:
        return pl.DataFrame(schema=ADD_ONS)
    met = (
        pl.concat(
            _match_codes(
                admissions.select(column), codes.filter(pl.col("code_kind") == kind).select("code", "code_group")
            )
            for column, kind in (("procedures", "procedure"), ("national_drug_codes", "drug"))
            if column in admissions.columns
        )
        if {"procedures", "national_drug_codes"} & set(admissions.columns)
        else _NO_CODES
    )
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


DRGS = 1000
"""MS-DRG numbers have three digits."""


def mark_drgs(rates: Rates, name: str) -> BoolArray:
    """Return whether each DRG number is in a list of the rates. (1000,)."""
    is_listed = np.zeros(DRGS, dtype=np.bool_)
    is_listed[np.asarray(rates.listed(name), dtype=np.intp)] = True
    return is_listed


def has_covid(grouped: pl.DataFrame, rates: Rates) -> pl.Series:
    """Return whether the COVID-19 factor applies. (n,) Boolean.

    A diagnosis on a day of discharge with the factor, and no exempting condition code. A missing day is the last of
    the fiscal year; a day of another year is the nearest of the fiscal year.

    Source: CARES Act section 3710; CMS programs of FY2020 and FY2021; CMS Java pricer of FY2023.
    """
    diagnosed = _has_diagnosis(grouped, rates.listed("case.covid_diagnoses"))
    has = diagnosed & ~_is_exempt(grouped, rates) & _in_days(grouped, rates, "case.covid_days")
    if "case.early_covid_days" in rates.values:
        early = _has_diagnosis(grouped, rates.listed("case.early_covid_diagnoses"))
        has = has | (early & _in_days(grouped, rates, "case.early_covid_days"))
    return grouped.with_columns(_has=has)["_has"]


def find_covid_treatments(grouped: pl.DataFrame, rates: Rates) -> list[pl.Series]:
    """Return `covid_treatment` and `covid_other_usd` of STAYS, from the codes. (n,) each.

    The add-on for new COVID-19 treatments applies with a diagnosis of COVID-19, no exempting condition code and a
    procedure or drug that is listed for the day of discharge. Days as in `has_covid`.

    Source: 42 CFR 412.87; CMS pricer 2021.5, 3650-NEW-COVID19-ADD-ON-PAY; CMS Java pricer of FY2022.

    Args:
        grouped: (n,) with `pdx`, `sdx`, `procedures`, `condition_codes`, `national_drug_codes`, `discharge_date`;
            any may be absent.
        rates: of a fiscal year with a list of treatments.
    """
    assert rates.covid_treatments is not None
    treated = pl.lit(value=False)
    for (kind, first, last), rows in rates.covid_treatments.group_by("code_kind", "first_day", "last_day"):
        column = "procedures" if kind == "procedure" else "national_drug_codes"
        in_force = _discharge_day(grouped, rates).is_between(pl.lit(first), pl.lit(last))
        treated = treated | (has_code(grouped, column, rows["code"].to_list()) & in_force)
    diagnosed = _has_diagnosis(grouped, rates.listed("case.covid_diagnoses")) & ~_is_exempt(grouped, rates)
    found = grouped.with_columns(covid_treatment=diagnosed & treated, covid_other_usd=_other_add_on(grouped, rates))
    return [found["covid_treatment"], found["covid_other_usd"]]


def has_no_cost(grouped: pl.DataFrame, drg: pl.Series, rates: Rates) -> pl.Series:
    """Return whether an immunotherapy product came at no cost. (n,) Boolean.

    By condition code, or in a clinical trial unless a condition code says that it was paid for.

    Source: 42 CFR 412.85, 412.312(f).
    """
    rows = np.flatnonzero(mark_drgs(rates, "case.no_cost_drgs")[np.minimum(drg.fill_null(0).to_numpy(), DRGS - 1)])
    has = np.zeros(len(drg), dtype=np.bool_)
    if len(rows):
        some = grouped[rows]
        trial = has_code(some, "sdx", rates.listed("case.no_cost_diagnoses"))
        paid_for = has_code(some, "condition_codes", rates.listed("case.full_cost_conditions"))
        at_no_cost = has_code(some, "condition_codes", rates.listed("case.no_cost_conditions"))
        has[rows] = some.with_columns(_has=(trial & ~paid_for) | at_no_cost)["_has"].to_numpy()
    return pl.Series("no_cost_product", has)


def has_code(frame: pl.DataFrame, column: str, codes: Sequence[object]) -> pl.Expr:
    """Return whether a column or list column holds one of these codes.

    Null and an absent column hold none. Hyphens of drug codes do not matter.
    """
    if column not in frame.columns:
        return pl.lit(value=False)

    def match(texts: pl.Expr) -> pl.Expr:
        return _plain_codes(texts, column).is_in(list(codes))

    if frame.schema[column] == pl.List:
        return pl.col(column).list.eval(match(pl.element()).any()).list.first().fill_null(value=False)
    return match(pl.col(column)).fill_null(value=False)


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
        return _NO_CODES
    as_list = some.select(pl.col(column) if some.schema[column] == pl.List else pl.concat_list(column))
    found = _match_codes(as_list, codes)
    return found.with_columns(pl.Series("row", rows.gather(found["row"]), dtype=pl.UInt32))


def _match_codes(lists: pl.DataFrame, codes: pl.DataFrame) -> pl.DataFrame:
    """Return rows and the code groups of their codes; a table code that ends in * is a prefix."""
    column = lists.columns[0]
    long = lists.lazy().with_row_index("row").explode(column).select("row", pl.col(column).alias("raw")).drop_nulls()
    # Normalising text costs more than a look-up: normalise each distinct code once.
    distinct = long.select(pl.col("raw").unique()).collect().with_columns(code=_plain_codes(pl.col("raw"), column))
    exact = distinct.join(codes, on="code")
    prefixes = codes.filter(pl.col("code").str.ends_with("*")).with_columns(pl.col("code").str.strip_suffix("*"))
    by_prefix = [
        distinct.with_columns(pl.col("code").str.head(length)).join(prefixes, on="code")
        for length in prefixes["code"].str.len_chars().unique()
    ]
    known = pl.concat([exact, *by_prefix]).select("raw", "code_group")
    if known.is_empty():
        return _NO_CODES
    return long.join(known.lazy(), on="raw").select("row", "code_group").unique().collect()


def _plain_codes(codes: pl.Expr, column: str) -> pl.Expr:
    """Return codes as in the tables; drug codes without hyphens."""
    plain = normalise_codes(codes.cast(pl.String))
    return plain.str.replace_all("-", "", literal=True) if column == "national_drug_codes" else plain


def _has_diagnosis(frame: pl.DataFrame, codes: Sequence[object]) -> pl.Expr:
    return has_code(frame, "pdx", codes) | has_code(frame, "sdx", codes)


def _is_exempt(frame: pl.DataFrame, rates: Rates) -> pl.Expr:
    return has_code(frame, "condition_codes", rates.listed("case.covid_exempting_conditions"))


def _discharge_day(frame: pl.DataFrame, rates: Rates) -> pl.Expr:
    """Return the day of discharge within the fiscal year; a missing day is its last."""
    first, last = datetime.date(rates.fiscal_year - 1, 10, 1), datetime.date(rates.fiscal_year, 9, 30)
    if "discharge_date" not in frame.columns:
        return pl.lit(last)
    return pl.col("discharge_date").cast(pl.Date).clip(first, last).fill_null(last)


def _in_days(frame: pl.DataFrame, rates: Rates, name: str) -> pl.Expr:
    """Return whether the discharge is within the days of a parameter, or there are none."""
    if name not in rates.values:
        return pl.lit(value=True)
    first, last = (datetime.date.fromisoformat(str(day)) for day in rates.listed(name))
    return _discharge_day(frame, rates).is_between(pl.lit(first), pl.lit(last))


def _other_add_on(frame: pl.DataFrame, rates: Rates) -> pl.Expr:
    """Return the highest add-on of the new technologies that pay for a COVID-19 treatment [USD]."""
    total = pl.lit(0.0)
    amounts, codes, rules = rates.technologies, rates.technology_codes, rates.technology_rules
    if "case.nctap_technologies" not in rates.values or amounts is None or codes is None or rules is None:
        return total
    for name in rates.listed("case.nctap_technologies"):
        groups = rules.filter(pl.col("technology") == name)["code_group"]
        listed = codes.filter(pl.col("code_group").is_in(groups.implode()))["code"].to_list()
        most = amounts.filter(pl.col("technology") == name)["max_usd"].sum()
        total = total + pl.when(has_code(frame, "procedures", listed)).then(most).otherwise(0.0)
    return total
