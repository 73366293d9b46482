"""What a command assumes where claims or arguments do not say, and the lines that say so.

Each function returns its choice and lines for standard error: fiscal years, grouper version, hospitals, POA.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

import polars as pl

from drgsim.claim_fields.hospital_files import assign_hospital
from drgsim.cli.shared_arguments import FISCAL_YEAR, VERSION
from drgsim.exceptions import InputError, MissingRateError
from drgsim.pricing.contracts import Contract, PriceTerms
from drgsim.pricing.pricer import PAY_CODES, price
from drgsim.pricing.pricer_input import YearParameters
from drgsim.rates.payment_rates import Rates, rate_years
from drgsim.rebilling.repricer import base_rate_usd
from drgsim.schema import ADMISSIONS, GROUPED, HOSPITALS
from drgsim.tables.manifest import read_manifest, table_folder

Years = Mapping[int | None, int]
"""Number of admissions by fiscal year of discharge; None: without a date."""

_MOST_NAMES = 4


def count_fiscal_years(claims: pl.DataFrame | pl.LazyFrame) -> dict[int | None, int]:
    """Return the number of admissions by fiscal year of discharge, in order; None has no date.

    >>> import datetime as dt
    >>> count_fiscal_years(pl.DataFrame({"discharge_date": [dt.date(2025, 9, 30), dt.date(2025, 10, 1), None]}))
    {2025: 1, 2026: 1, None: 1}
    """
    frame = claims.lazy()
    if "discharge_date" not in frame.collect_schema():
        total = frame.select(pl.len()).collect().item()
        return {None: total} if total else {}
    date = pl.col("discharge_date").cast(pl.Date, strict=False)
    year = (date.dt.year() + (date.dt.month() >= 10)).alias("year")
    return dict(frame.select(year).group_by("year").len().sort("year", nulls_last=True).collect().iter_rows())


def choose_rates(
    years: Years, asked: Sequence[int] | None, check: Callable[[Rates], object]
) -> tuple[Rates | list[Rates], list[str]]:
    """Return the rates that apply to claims, and lines that say which.

    Args:
        years: of the claims, see `count_fiscal_years`.
        asked: the fiscal years that the user names; one applies to every claim. None: each claim has the rates of
            the year of its discharge date; where no claim has a date, those of a year that is assumed.
        check: raises MissingRateError where rates of a year lack what is needed.

    Raises:
        MissingRateError: rates that the user names lack what is needed.

    >>> _, lines = choose_rates({2026: 4, 2090: 1}, None, lambda rates: None)
    >>> print(*lines, sep=chr(10))
    fiscal year by discharge_date: 2026 (4)
    1 of 5 admissions discharged in a year without rates: 2090 (1); they are not paid
    """
    dated = {year: count for year, count in years.items() if year is not None}
    if (asked and len(asked) == 1) or not (asked or dated):
        return _take_one_year(dated, asked)
    found, refused = {}, {}
    for year in asked or dated:
        try:
            if asked or year in rate_years():
                rates = Rates.load(year)
                check(rates)
                found[year] = rates
        except MissingRateError as error:
            if asked:
                raise
            refused[year] = str(error).partition(". ")[0]
    return list(found.values()) or [Rates.load(FISCAL_YEAR)], _describe_years(years, found, refused)


def choose_version(claims: pl.DataFrame | pl.LazyFrame, asked: str | None) -> tuple[str, list[str]]:
    """Return the grouper version of all claims, and lines that say which.

    It is the one the user names, else that of the latest discharge date, else an assumed one.

    >>> import datetime as dt
    >>> dates = pl.DataFrame({"discharge_date": [dt.date(2025, 1, 1), dt.date(2025, 9, 1)]})
    >>> choose_version(dates, None)
    ('42.1', ['version 42.1 for every admission; 1 of 2 discharged under another'])
    """
    frame = claims.lazy()
    entries = read_manifest(table_folder())["versions"]
    ends = {version: (entry["effective_from"], entry["effective_to"]) for version, entry in entries.items()}
    total, latest = frame.select(pl.len()).collect().item(), None
    if "discharge_date" in frame.collect_schema():
        frame = frame.select(pl.col("discharge_date").cast(pl.Date, strict=False))
        latest = frame.select(pl.col("discharge_date").max()).collect().item()
    if latest is None:
        return asked or VERSION, [] if asked or not total else [f"no discharge_date: version {VERSION} is assumed"]
    version = asked or next((name for name, (first, last) in ends.items() if first <= latest <= last), VERSION)
    first, last = ends[version]
    others = frame.select((~pl.col("discharge_date").is_between(first, last)).fill_null(value=True).sum())
    count = int(others.collect().item())
    if not count:
        return version, [] if asked else [f"version {version} by discharge_date"]
    return version, [f"version {version} for every admission; {count:,} of {total:,} discharged under another"]


def match_hospitals(hospitals: pl.DataFrame, claims: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame, list[str]]:
    """Return hospitals and claims whose `hospital_id` agree.

    One hospital without an id applies to every claim, and so does one hospital where claims have no id.

    Raises:
        InputError: several hospitals, and claims without `hospital_id`.

    >>> one = pl.DataFrame({"hospital_id": [None], "operating_ccr": [0.28]})
    >>> hospitals, claims, lines = match_hospitals(one, pl.DataFrame({"hospital_id": ["A", "B", None]}))
    >>> hospitals.rows(), claims["hospital_id"].to_list(), lines
    ([('A', 0.28), ('B', 0.28), ('all', 0.28)], ['A', 'B', 'all'], ['one hospital applies to every admission'])
    """
    line = ["one hospital applies to every admission"]
    if hospitals.height == 1 and hospitals["hospital_id"].null_count():
        claims, hospitals = assign_hospital(claims, hospitals)
        return hospitals, claims, line
    if "hospital_id" in claims.columns:
        return hospitals, claims, []
    if hospitals.height != 1:
        raise InputError(
            f"{hospitals.height:,} hospitals, and the claims have no hospital_id. Add it, or give one hospital."
        )
    return hospitals, claims.with_columns(hospital_id=pl.lit(hospitals["hospital_id"].item())), line


def match_hospitals_in_parts(hospitals: pl.DataFrame, claims: pl.LazyFrame) -> tuple[pl.DataFrame, list[str]]:
    """Return what `match_hospitals` does, for claims in parts, which stay as they are.

    Raises:
        InputError: as `match_hospitals`, or claims need another `hospital_id`.

    >>> claims = pl.LazyFrame({"hospital_id": ["A", "A"]})
    >>> match_hospitals_in_parts(pl.DataFrame({"hospital_id": [None], "operating_ccr": [0.28]}), claims)[0].row(0)
    ('A', 0.28)
    """
    has_id = "hospital_id" in claims.collect_schema()
    ids = claims.select(pl.col("hospital_id").unique() if has_id else pl.lit(0).alias("none")).collect()
    assigned, needed, lines = match_hospitals(hospitals, ids)
    if not needed.equals(ids):
        raise InputError("in parts, every claim needs a hospital_id. Add it, or write one file instead of a folder.")
    return assigned, lines


def describe_hospital_defaults(hospitals: pl.DataFrame) -> list[str]:
    """Return lines on the values that hospitals do not give, and what applies.

    >>> describe_hospital_defaults(pl.DataFrame({name: [1] for name in HOSPITALS.names if name != "beds"}))
    ['hospitals do not give beds (default 0)']
    >>> describe_hospital_defaults(pl.DataFrame({name: [1, None] for name in ["hospital_id", "operating_ccr"]}))[0]
    'hospitals: operating_ccr is blank in 1 of 2 rows (null is 0, no outliers)'
    """
    has_index = "wage_index" in hospitals.columns and not hospitals["wage_index"].null_count()
    needless = ("cbsa", "reclassified") if has_index else ()
    names = [name for name in HOSPITALS.names if name not in ("hospital_id", *needless)]
    absent = [name for name in names if name not in hospitals.columns]
    lines = [
        f"hospitals: {name} is blank in {count:,} of {hospitals.height:,} rows{_find_default(name)}"
        for name in HOSPITALS.names
        if name in hospitals.columns
        and name not in ("hospital_id", *needless)
        and (count := hospitals[name].null_count())
    ]
    if absent:
        shown = ", ".join(f"{name}{_find_default(name)}" for name in absent[:_MOST_NAMES])
        more = f" and {len(absent) - _MOST_NAMES} more (drgsim.schema.HOSPITALS)" if len(absent) > _MOST_NAMES else ""
        lines.append(f"hospitals do not give {shown}{more}")
    return lines


def describe_base_rates(rates: PriceTerms) -> list[str]:
    """Return the line on the base rate that replaces hospitals.

    >>> describe_base_rates(Rates.load(2026))
    ['no --hospitals: payment is the weight times a base rate, 7,276.76 USD in fiscal year 2026']
    """
    amounts = ", ".join(f"{base_rate_usd(one):,.2f} USD in fiscal year {one.fiscal_year}" for one in list_rates(rates))
    return [f"no --hospitals: payment is the weight times a base rate, {amounts}"]


def describe_poa(claims: pl.DataFrame | pl.LazyFrame, status: str | None) -> list[str]:
    """Return lines on diagnoses without POA indicator, and the hospital status assumed.

    >>> claims = pl.DataFrame({"sdx": [["I10"], []], "sdx_poa": [[""], []]})
    >>> describe_poa(claims, "NON_EXEMPT")
    ['POA: no indicator for the secondary diagnoses of 1 of 2 admissions; hospital status NON_EXEMPT']
    """
    frame = claims.lazy()
    schema = frame.collect_schema()
    if not isinstance(schema.get("sdx"), pl.List):
        return []
    has_poa = isinstance(schema.get("sdx_poa"), pl.List)
    given = pl.col("sdx_poa").list.eval(pl.element().str.strip_chars() != "").list.any() if has_poa else pl.lit(None)
    without = (pl.col("sdx").list.len() > 0) & ~given.fill_null(value=False)
    missing, total = frame.select(without.sum(), pl.len().alias("total")).collect().row(0)
    chosen = status or ("NON_EXEMPT" if has_poa else "EXEMPT, as no claim has POA")
    if not missing:
        return []
    who = f"{missing:,} of {total:,} admissions"
    return [f"POA: no indicator for the secondary diagnoses of {who}; hospital status {chosen}"]


def describe_unpaid(pay_codes: Mapping[int, int]) -> list[str]:
    """Return lines on admissions that are not paid, by reason, most admissions first.

    >>> describe_unpaid({0: 7, 51: 2, 54: 1})
    ['2 not paid: no such hospital (pay_code 51)', '1 not paid: DRG without a weight: ungroupable, or not one of \
this fiscal year (pay_code 54)']
    """
    unpaid = sorted(((-count, code) for code, count in pay_codes.items() if code >= 50))
    return [f"{-count:,} not paid: {PAY_CODES.get(code, 'see CMS')} (pay_code {code})" for count, code in unpaid]


def join_contracts(rates: Rates | list[Rates], paths: Sequence[str]) -> PriceTerms:
    """Return rates and contracts of payers together; without contracts the rates.

    >>> rates = Rates.load(2026)
    >>> join_contracts(rates, []) is rates
    True
    """
    contracts = [Contract.load(path) for path in paths]
    return [*([rates] if isinstance(rates, Rates) else rates), *contracts] if contracts else rates


def list_rates(terms: PriceTerms) -> list[Rates]:
    """Return the rates among terms."""
    every = terms if isinstance(terms, Sequence) else [terms]
    return [one for one in every if isinstance(one, Rates)]


def check_weights(rates: Rates) -> None:
    """Check that a year has weights, a base rate and the parameters of every price.

    Raises:
        MissingRateError: it lacks one.
    """
    _ = rates.weights
    base_rate_usd(rates)
    YearParameters.of(rates)


def check_pricing(hospitals: pl.DataFrame) -> Callable[[Rates], object]:
    """Return a check that a year has weights, and all that these hospitals need."""
    needed = ("drg", "hospital_id", "los_days", "covered_charges_usd", "discharge_status", "discharge_date")
    none = pl.DataFrame(schema={name: (GROUPED if name == "drg" else ADMISSIONS)[name].dtype for name in needed})
    return lambda rates: price(none, hospitals, rates)


# ---------------------------------------------------------------------------------------------------------


def _take_one_year(dated: Mapping[int, int], asked: Sequence[int] | None) -> tuple[Rates, list[str]]:
    """Return the rates of one year, which apply to every claim."""
    if not asked:
        return Rates.load(FISCAL_YEAR), [f"no discharge_date: fiscal year {FISCAL_YEAR} is assumed"]
    others = sum(count for year, count in dated.items() if year != asked[0])
    more = f"; {others:,} of them discharged in another" if others else ""
    return Rates.load(asked[0]), [f"fiscal year {asked[0]} for every admission{more}"]


def _describe_years(years: Years, found: Mapping[int, Rates], refused: Mapping[int, str]) -> list[str]:
    total = sum(years.values())
    lines = [f"fiscal year by discharge_date: {_list_counts({year: years.get(year, 0) for year in found}) or 'none'}"]
    without = {year: count for year, count in years.items() if year is not None and year not in {*found, *refused}}
    unpaid = "they are not paid"
    if without:
        count = sum(without.values())
        lines.append(
            f"{count:,} of {total:,} admissions discharged in a year without rates: {_list_counts(without)}; {unpaid}"
        )
    lines += [f"{years[year]:,} of {total:,} admissions of {year}: {why}; {unpaid}" for year, why in refused.items()]
    if years.get(None):
        lines.append(f"{years[None]:,} of {total:,} admissions have no discharge_date; {unpaid}")
    return lines


def _list_counts(years: Mapping[int, int]) -> str:
    return ", ".join(f"{year} ({count:,})" for year, count in years.items())


def _find_default(name: str) -> str:
    """Return, in brackets, what the schema says of a value that is not given."""
    found = re.search(r"(default|null).*$", HOSPITALS[name].about)
    return f" ({found.group(0)})" if found else ""
