"""Claims miscoded by hand: plain Python lists changed one code at a time, then `group()` and `price()`.

Tests compare the integers, shortcuts and sums of the simulator with these claims. Nothing here imports the code under
test; only the text of a change (its field and its codes) comes from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from functools import cache
from typing import Any

import polars as pl

from drgsim import Rates, TableSet, generate, group, price, with_weights

Row = dict[str, Any]
SWAP = "pdx_resequence"
MISTYPED = "?"


@cache
def tables(version: str = "43.1") -> TableSet:
    return TableSet.load(version)


@cache
def rates(year: int = 2026) -> Rates:
    return Rates.load(year)


@cache
def generated(n: int, seed: int = 1, version: str = "43.1") -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return hospitals and admissions of the shipped population."""
    return generate(n, seed=seed, tables=tables(version))


HOSPITALS = pl.DataFrame(
    {
        "hospital_id": ["330101", "010033", "A", "TEACHING", "SOLE"],
        "wage_index": [1.3, 0.8, 1.0, 1.1, 0.95],
        "operating_ccr": [0.25, 0.31, 0.9, 0.22, 0.4],
        "capital_ccr": [0.02, 0.03, 0.05, 0.02, None],
        "beds": [800, 60, 120, 450, 30],
        "resident_to_bed_ratio": [0.5, 0.0, 0.0, 0.9, 0.0],
        "ssi_ratio": [0.2, 0.05, 0.1, 0.3, 0.02],
        "medicaid_ratio": [0.3, 0.1, 0.2, 0.4, 0.1],
        "uncompensated_care_usd": [800.0, 0.0, 150.5, 1200.0, 0.0],
        "vbp_factor": [1.003, None, 0.997, None, 1.001],
        "hrr_factor": [0.99, 1.0, None, 0.98, None],
        "hac_reduction": [False, True, False, True, False],
        "low_volume_factor": [0.0, 0.0, 0.0, 0.0, 0.25],
        "provider_type": ["00", "00", "00", "00", "16"],
        "hospital_specific_rate_usd": [0.0, 0.0, 0.0, 0.0, 9000.0],
    }
)
"""Hospitals among which every component of a payment occurs."""


def cycled(values: Sequence[Any], n: int, *, each: int = 1, dtype: Any = None) -> pl.Series:
    """Return n values in turn, each repeated `each` times."""
    return pl.Series([values[i // each % len(values)] for i in range(n)], dtype=dtype)


def with_stays(claims: pl.DataFrame) -> pl.DataFrame:
    """Add a hospital (one in eleven unknown), length of stay and charges, some of them missing or extreme."""
    n, known = len(claims), HOSPITALS["hospital_id"].to_list()
    charges = [4_000.0, 25_000.0, 61_234.56, 180_000.0, 900_000.0, None, 3_000_000.0]
    return claims.with_columns(
        hospital_id=cycled([*known, *known, "NOBODY"], n),
        covered_charges_usd=cycled(charges, n, each=3),
        los_days=claims["los_days"] if "los_days" in claims.columns else cycled(range(13), n, dtype=pl.Int32),
    )


def edited(row: Row, edits: Iterable[Mapping[str, Any]], swaps: Sequence[str] = (SWAP,)) -> Row:
    """Return a claim with changes made: each has `field`, `place`, `code_before`, `code_after` and `error`.

    A place is that of the original list. An error of `swaps` exchanges the principal and a secondary diagnosis. An
    empty code removes a code; if `error` starts with "typo", it is a code that does not exist.
    """
    made = dict(row)
    lists = {name: list(row[name] or []) for name in ("sdx", "procedures")}
    poa = list(row.get("sdx_poa") or [])
    poa += [None] * (len(lists["sdx"]) - len(poa))
    for edit in edits:
        field, place, after = edit["field"], edit["place"], edit["code_after"]
        after = MISTYPED if not after and edit["error"].startswith("typo") else after
        if field == "pdx" and edit["error"] in swaps:
            made["pdx"], lists["sdx"][place], poa[place] = lists["sdx"][place], made["pdx"], "Y"
        elif field == "pdx":
            made["pdx"] = after
        elif field in lists and not edit["code_before"]:
            lists[field].append(after)
            poa += ["Y"] if field == "sdx" else []
        elif field in lists:
            lists[field][place] = after or None
        elif field == "sdx_poa":
            poa[place] = after
        else:
            assert field in ("discharge_status", "sex", "age"), field
            made[field] = after if field == "sex" else int(after)
    made["procedures"] = [code for code in lists["procedures"] if code is not None]
    made["sdx"] = [code for code in lists["sdx"] if code is not None]
    if row.get("sdx_poa") is not None:
        made["sdx_poa"] = [letter for code, letter in zip(lists["sdx"], poa, strict=True) if code is not None]
    return made


def by_hand(admissions: pl.DataFrame, ledger: pl.DataFrame, key: Sequence[str] = ("replicate", "admission_id")):
    """Return the claims of a ledger as billed, one for each key, in the order of the key."""
    rows = {row["admission_id"]: row for row in admissions.iter_rows(named=True)}
    whole: dict[tuple[Any, ...], list[Row]] = {}
    for edit in ledger.iter_rows(named=True):
        whole.setdefault(tuple(edit[name] for name in key), []).append(edit)
    kept = [name for name in key if name != "admission_id"]
    made = [
        {**edited(rows[edits[0]["admission_id"]], edits), **{name: edits[0][name] for name in kept}}
        for _, edits in sorted(whole.items())
    ]
    schema = {**admissions.schema, **{name: ledger.schema[name] for name in kept}}
    return pl.DataFrame(made, schema=schema)


def priced(
    admissions: pl.DataFrame,
    hospitals: pl.DataFrame | None,
    prices: Rates | Sequence[Rates],
    *,
    of: TableSet | None = None,
    status: str | None = None,
) -> pl.DataFrame:
    """Group and price by the public functions; the payment is `cents`."""
    reported = status or ("NON_EXEMPT" if "sdx_poa" in admissions.columns else "EXEMPT")
    grouped = group(admissions, of or tables(), hospital_status=reported)
    if hospitals is None:
        weights = with_weights(grouped, prices)["weight"].to_list()
        years = (
            [prices] * len(grouped)
            if isinstance(prices, Rates)
            else [year_of(row, prices) for row in grouped["discharge_date"]]
        )
        cents = [base_rate_cents(weight, year) for weight, year in zip(weights, years, strict=True)]
        return grouped.with_columns(cents=pl.Series(cents, dtype=pl.Int64))
    return price(grouped, hospitals, prices).with_columns(cents=(pl.col("total_usd") * 100).round().cast(pl.Int64))


def year_of(day: Any, prices: Sequence[Rates]) -> Rates | None:
    """Return the rates of the fiscal year of a day."""
    if day is None:
        return None
    return next((one for one in prices if one.fiscal_year == day.year + (day.month >= 10)), None)


def base_rate_cents(weight: float | None, year: Rates | None) -> int:
    """Return weight x (standardized amount with full update and wage index above 1 + capital rate), halves up."""
    if weight is None or year is None:
        return 0
    names = ("operating.labor.above_1.full", "operating.nonlabor.above_1.full", "capital.federal_rate")
    rate = sum(Decimal(str(year[name])) for name in names)
    usd = Decimal(str(weight)) * rate
    return int((usd * 100).quantize(Decimal(1), ROUND_HALF_UP))
