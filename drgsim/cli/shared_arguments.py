"""Arguments that several commands take, and how they read claims and rates."""

from __future__ import annotations

import polars as pl

from drgsim.claims.layouts import LAYOUTS, map_claims
from drgsim.cli.console import Options, Parser, report_progress
from drgsim.cli.frame_files import STREAM, cast_columns, open_input
from drgsim.pricing.contracts import Contract, PriceTerms
from drgsim.pricing.rates import Rates, rate_years
from drgsim.schema import ADMISSIONS, DETAIL, GROUPED, PAID, STAYS
from drgsim.tables.table_set import versions

VERSION, FISCAL_YEAR = "43.1", 2026
GROUPED_CLAIMS = "grouped admissions, as `drgsim group` writes them"
PAGE = (".html",)
"""Suffixes of a page."""
_FRAMES = (GROUPED, DETAIL, STAYS, PAID)


def add_claims(parser: Parser, what: str = "claims (see drgsim.read_claims)") -> None:
    """Declare the file of claims and its layout."""
    parser.add_argument("claims", metavar="CLAIMS", help=f"{what}; - is standard input")
    add_layout(parser)


def add_layout(parser: Parser) -> None:
    """Declare the layout of the claims."""
    parser.add_argument(
        "--layout",
        choices=[*LAYOUTS],
        metavar="LAYOUT",
        help=f"layout of the claims: {', '.join(LAYOUTS)} (default: recognised)",
    )


def add_output(parser: Parser) -> None:
    """Declare the file to write."""
    parser.add_argument(
        "out", metavar="OUT", nargs="?", default=STREAM, help=".parquet or .csv; - (default) is CSV on standard output"
    )


def add_version(parser: Parser) -> None:
    """Declare the grouper version."""
    parser.add_argument("--version", default=VERSION, choices=versions(), help=f"grouper version (default {VERSION})")


def add_fiscal_years(parser: Parser) -> None:
    """Declare the fiscal years of weights and rates."""
    parser.add_argument(
        "--fiscal-year",
        dest="fiscal_years",
        type=int,
        nargs="+",
        choices=rate_years(),
        default=[FISCAL_YEAR],
        metavar="YEAR",
        help=f"year of weights and rates (default {FISCAL_YEAR}); of several, discharge_date chooses one",
    )


def add_contracts(parser: Parser) -> None:
    """Declare contracts of payers."""
    parser.add_argument(
        "--contract",
        dest="contracts",
        nargs="+",
        default=[],
        metavar="FILE",
        help="contracts of payers (.toml); the column payer chooses them, or the rates of Medicare",
    )


def add_seed(parser: Parser) -> None:
    """Declare the seed of the random draws."""
    parser.add_argument("--seed", type=int, default=1, help="seed of every random draw (default 1)")


def add_hospital_status(parser: Parser, default: str | None = "NON_EXEMPT") -> None:
    """Declare how the hospital reports POA."""
    parser.add_argument(
        "--hospital-status",
        default=default,
        help="POA reporting: NON_EXEMPT, EXEMPT, UNKNOWN, or a column of these "
        f"(default {default or 'by whether there are POA indicators'})",
    )


def read_admissions(options: Options) -> pl.DataFrame:
    """Return the claims; columns that drgsim wrote earlier have their types again."""
    with open_input(options.claims) as file:
        claims = map_claims(file, options.layout)
        admissions = cast_columns(claims.admissions, _FRAMES, where=str(file))
    report_progress(options, f"{admissions.height:,} admissions read, layout {claims.layout}")
    for field, problem, count in claims.report.rows():
        if field not in admissions.columns or field in ADMISSIONS.names:
            report_progress(options, f"{field}: {problem} ({count:,} of {admissions.height:,} rows)")
    return admissions


def load_rates(options: Options) -> PriceTerms:
    """Return the rates of the fiscal years asked for, and the contracts."""
    rates = [Rates.load(year) for year in options.fiscal_years]
    contracts = [Contract.load(path) for path in getattr(options, "contracts", ())]
    return [*rates, *contracts] if contracts or len(rates) > 1 else rates[0]
