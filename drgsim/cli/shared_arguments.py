"""Arguments that several commands take; what they need is loaded when a command runs."""

from __future__ import annotations

from drgsim.cli.console import Parser, known_word
from drgsim.tables.manifest import read_manifest, table_folder

STREAM = "-"
VERSION, FISCAL_YEAR = "43.1", 2026
GROUPED_CLAIMS = "grouped admissions, as `drgsim group` writes them"
PAGE = (".html",)
"""Suffixes of a page."""
PARTS = "or a folder, which Parquet fills in parts that continue after an interruption"


def add_claims(parser: Parser, what: str = "claims (see drgsim.read_claims)") -> None:
    """Declare the file of claims and its layout."""
    parser.add_argument("claims", metavar="CLAIMS", help=f"{what}; - is standard input")
    add_layout(parser)


def add_layout(parser: Parser) -> None:
    """Declare the layout of the claims."""
    parser.add_argument(
        "--layout",
        type=known_word(_list_layouts),
        metavar="LAYOUT",
        help="layout of the claims, such as wide, long, rif or fhir (default: recognised)",
    )
    parser.add_argument(
        "--columns",
        metavar="FILE",
        help="TOML file that says which column holds which field (`drgsim claims suggest` proposes one)",
    )


def add_output(parser: Parser, *, in_parts: bool = False) -> None:
    """Declare the file to write, and whether it may be a folder of parts."""
    also = f", {PARTS}" if in_parts else ""
    parser.add_argument(
        "out",
        metavar="OUT",
        nargs="?",
        default=STREAM,
        help=f".parquet or .csv{also}; - (default) is CSV on standard output",
    )


def add_version(parser: Parser, *, by_date: bool = False) -> None:
    """Declare the grouper version: one by default, or that of the latest discharge date."""
    default = f"in force on the latest discharge_date, else {VERSION}" if by_date else VERSION
    parser.add_argument(
        "--version",
        default=None if by_date else VERSION,
        type=known_word(list_versions),
        metavar="VERSION",
        help=f"grouper version (default {default})",
    )


def add_hospitals(parser: Parser, *, required: bool = False, otherwise: str = "") -> None:
    """Declare the file of hospitals."""
    parser.add_argument(
        "--hospitals",
        required=required,
        metavar="FILE",
        help=f"provider inputs (.parquet, .csv); one row without hospital_id applies to all{otherwise}",
    )


def add_fiscal_years(parser: Parser) -> None:
    """Declare the fiscal years of weights and rates."""
    parser.add_argument(
        "--fiscal-year",
        dest="fiscal_years",
        type=fiscal_year,
        nargs="+",
        metavar="YEAR",
        help="year of weights and rates for every admission, or several, by discharge_date "
        "(default: the year of each discharge_date)",
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


def add_plugins(parser: Parser) -> None:
    """Declare that code of others may be run for its error models."""
    parser.add_argument(
        "--plugins",
        action="store_true",
        help="run the code of installed error models and of the plugins that the scenario names; only if you trust it",
    )


def add_edits(parser: Parser) -> None:
    """Declare what becomes of bills with claim edits."""
    parser.add_argument(
        "--edits",
        type=known_word(_list_edits),
        default="ignored",
        metavar="WHAT",
        help="what becomes of bills with claim edits: ignored (default) or returned",
    )


def list_versions() -> tuple[str, ...]:
    """Return the grouper versions of the table folder.

    >>> "43.1" in list_versions()
    True
    """
    return tuple(read_manifest(table_folder())["versions"])


def fiscal_year(text: str) -> int:
    """Return a fiscal year of which there are weights.

    Raises:
        ArgumentTypeError: it is none.

    >>> fiscal_year("2026")
    2026
    """
    return int(known_word(_list_years)(text))


# ---------------------------------------------------------------------------------------------------------


def _list_years() -> list[str]:
    from drgsim.rates.payment_rates import rate_years

    return [str(year) for year in rate_years()]


def _list_edits() -> list[str]:
    from drgsim.rebilling.bill_edits import EDITS

    return list(EDITS)


def _list_layouts() -> list[str]:
    from drgsim.claims.layouts import LAYOUTS

    return list(LAYOUTS)
