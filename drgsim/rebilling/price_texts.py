"""Codes whose text decides a price: new technologies, factors, rules of a contract."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import polars as pl

from drgsim.numerics.arrays import BoolArray
from drgsim.rates.payment_rates import Rates
from drgsim.schema import normalise_codes
from drgsim.tables.codebook import UNKNOWN_CODE
from drgsim.tables.encoding import Encoded, flatten_lists


def number_price_texts(
    frame: pl.DataFrame,
    encoded: Encoded,
    texts: tuple[pl.Series, pl.Series],
    years: Sequence[Rates],
    contract_codes: Sequence[str],
) -> tuple[tuple[pl.Series, pl.Series], Encoded]:
    """Number the texts that are codes of no version but that some price reads.

    Return the texts by number, and the admissions with these numbers.
    """
    by_kind, numbered = dict(zip(("diagnosis", "procedure"), texts, strict=True)), {}
    for name, kind in (("pdx", "diagnosis"), ("sdx", "diagnosis"), ("procedures", "procedure")):
        numbers = getattr(encoded, name)
        strange = np.flatnonzero(numbers == UNKNOWN_CODE)
        own = normalise_codes((frame[name] if name == "pdx" else flatten_lists(frame[name])).gather(strange))
        read = np.flatnonzero(
            find_listed(own, kind, years, contract_codes)
            | (find_deciding_diagnoses(own, years, contract_codes) & (kind == "diagnosis"))
        )
        if len(read):
            numbers = numbers.copy()
            numbers[strange[read]] = len(by_kind[kind]) + np.arange(len(read))
            numbered[name] = numbers
            by_kind[kind] = pl.concat([by_kind[kind], own.gather(read)])
    return (by_kind["diagnosis"], by_kind["procedure"]), replace(encoded, **numbered) if numbered else encoded


def find_listed(texts: pl.Series, kind: str, years: Sequence[Rates], contract_codes: Sequence[str] = ()) -> BoolArray:
    """Return which texts are listed for a new technology, or a contract's code, (k,).

    A listed code that ends in * is a prefix.
    """
    found = texts.is_in(list(contract_codes)).fill_null(value=False)
    for codes in (table for rates in years for table in (rates.technology_codes, rates.covid_treatments)):
        if codes is not None:
            listed = codes.filter(pl.col("code_kind") == kind)["code"]
            found |= texts.is_in(listed.implode()).fill_null(value=False)
            for prefix in listed.filter(listed.str.ends_with("*")):
                found |= texts.str.starts_with(prefix[:-1]).fill_null(value=False)
    return found.to_numpy()


def find_deciding_diagnoses(texts: pl.Series, years: Sequence[Rates], contract_codes: Sequence[str] = ()) -> BoolArray:
    """Return which diagnoses alone decide a factor of the payment or a contract's rule, (k,)."""
    codes: list[object] = [*contract_codes]
    for rates in years:
        codes += rates.listed("case.no_cost_diagnoses")
        codes += rates.listed("case.covid_diagnoses") if rates.number("case.covid_factor") != 1.0 else []
        codes += rates.listed("case.early_covid_diagnoses") if "case.early_covid_diagnoses" in rates.values else []
    return texts.is_in(codes).fill_null(value=False).to_numpy()
