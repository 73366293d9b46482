"""Commands that review claims: validate, compare, worklist."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drgsim.cli.console import DONE, Commands, Options, Parser, add_command, report_progress, whole_number_from
from drgsim.cli.shared_arguments import (
    add_claims,
    add_fiscal_years,
    add_hospital_status,
    add_hospitals,
    add_output,
    add_version,
)

if TYPE_CHECKING:
    import polars as pl


def add_validate_command(commands: Commands) -> None:
    """Declare `drgsim validate`."""
    parser = add_command(
        commands,
        "validate",
        _run_validate,
        does="compare the billed DRG of each account with the one its codes lead to",
        example="drgsim validate claims.csv accounts.csv --billed billed_drg",
        about="Writes a row an account, largest difference first; the agreement is reported in words.",
    )
    add_claims(parser)
    add_output(parser)
    parser.add_argument("--billed", default="billed_drg", help="column of billed DRGs (default billed_drg)")
    parser.add_argument("--differing", action="store_true", help="write only the accounts that differ")
    _add_money(parser)


def _run_validate(options: Options) -> int:
    from drgsim.cli.frame_files import check_writable, read_admissions, write_frame
    from drgsim.review.drg_validation import validate_drgs

    check_writable(options.out)
    claims = read_admissions(options)
    found = validate_drgs(
        claims,
        options.billed,
        **_load_terms(options, claims),
        hospital_status=options.hospital_status,
    )
    accounts = found.differing() if options.differing else found.accounts
    write_frame(_join_texts(accounts, "reasons", "; "), options.out)
    report_progress(options, f"{found.differing().height:,} of {found.accounts.height:,} accounts differ")
    return DONE


def add_compare_command(commands: Commands) -> None:
    """Declare `drgsim compare`."""
    parser = add_command(
        commands,
        "compare",
        _run_compare,
        does="compare another coding of the same stays with a reference coding",
        example="drgsim compare auditor.csv coder.csv differences.csv",
        about="Prints agreement, precision and recall, and dollars by kind of difference. The first file is the "
        "reference. With OUT, writes a row a difference.",
    )
    add_claims(parser, "the reference coding")
    parser.add_argument("other", metavar="OTHER", help="the other coding of the same stays")
    parser.add_argument("out", metavar="OUT", nargs="?", help=".parquet or .csv of all differences")
    parser.add_argument("--coder", metavar="COLUMN", help="column that names the coder; intervals then count coders")
    parser.add_argument("--scenario", metavar="FILE", help="write the rates seen as a scenario, .toml")
    _add_money(parser)


def _run_compare(options: Options) -> int:
    from drgsim.cli.frame_files import check_writable, read_admissions, write_frame
    from drgsim.files.atomic import write_text_whole
    from drgsim.review.coding_comparison import compare_codings

    if options.out:
        check_writable(options.out)
    if options.scenario:
        check_writable(options.scenario, (".toml",))
    claims = read_admissions(options)
    options.claims = options.other
    found = compare_codings(
        claims,
        read_admissions(options),
        **_load_terms(options, claims),
        coder=options.coder,
        hospital_status=options.hospital_status,
    )
    if options.out:
        write_frame(found.differences(), options.out)
    if options.scenario:
        write_text_whole(options.scenario, found.to_scenario().dumps())
    print(found)
    return DONE


def add_worklist_command(commands: Commands) -> None:
    """Declare `drgsim worklist`."""
    parser = add_command(
        commands,
        "worklist",
        _run_worklist,
        does="list the accounts that a second look is worth most at",
        example="drgsim worklist claims.csv worklist.csv --most 50",
        about="Revenue at risk and revenue not captured, ranked by probability times dollars.",
    )
    add_claims(parser)
    add_output(parser)
    parser.add_argument("--most", type=whole_number_from(1), default=50, help="the most rows (default 50)")
    parser.add_argument("--principal", action="store_true", help="also suggest other principal diagnoses")
    _add_money(parser)


def _run_worklist(options: Options) -> int:
    from drgsim.cli.frame_files import check_writable, read_admissions, write_frame
    from drgsim.review.worklists import worklist

    check_writable(options.out)
    claims = read_admissions(options)
    found = worklist(
        claims,
        **_load_terms(options, claims),
        most=options.most,
        principal=options.principal,
        hospital_status=options.hospital_status,
    )
    write_frame(found, options.out)
    report_progress(options, f"{found.height:,} accounts listed")
    return DONE


# ---------------------------------------------------------------------------------------------------------


def _add_money(parser: Parser) -> None:
    """Declare version, rates, hospitals and POA reporting."""
    add_version(parser)
    add_fiscal_years(parser)
    add_hospitals(parser, otherwise=" (default: weight times a base rate)")
    add_hospital_status(parser, None)


def _load_terms(options: Options, claims: pl.DataFrame) -> dict[str, Any]:
    """Return grouper version, hospitals and rates, and report which rates apply."""
    from drgsim.cli.assumptions import choose_rates, count_fiscal_years
    from drgsim.cli.frame_files import read_hospital_file
    from drgsim.tables.table_set import TableSet

    rates, lines = choose_rates(count_fiscal_years(claims), options.fiscal_years, lambda rates: rates.weights)
    for line in lines:
        report_progress(options, line)
    hospitals = read_hospital_file(options.hospitals) if options.hospitals else None
    return {"tables": TableSet.load(options.version), "hospitals": hospitals, "rates": rates}


def _join_texts(frame: pl.DataFrame, name: str, separator: str) -> pl.DataFrame:
    """Return a frame with a list of words as text; words may have a list's separator."""
    import polars as pl

    return frame.with_columns(pl.col(name).list.join(separator))
