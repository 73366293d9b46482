"""Commands that look closer at claims: explain, profile, validate, compare, worklist."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drgsim.cli.console import (
    DONE,
    Commands,
    Options,
    Parser,
    add_command,
    known_word,
    report_progress,
    whole_number_from,
)
from drgsim.cli.shared_arguments import (
    GROUPED_CLAIMS,
    PAGE,
    add_claims,
    add_fiscal_years,
    add_hospital_status,
    add_hospitals,
    add_output,
    add_version,
    fiscal_year,
    list_versions,
)
from drgsim.exceptions import InputError

if TYPE_CHECKING:
    import polars as pl


def add_explain_command(commands: Commands) -> None:
    """Declare `drgsim explain`."""
    parser = add_command(
        commands,
        "explain",
        _run_explain,
        does="explain why one admission got its DRG and its payment",
        example="drgsim explain claims.csv --row 3 --version 43.1",
    )
    add_claims(parser)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--row", type=whole_number_from(1), help="row of the file, from 1")
    which.add_argument("--id", help="admission_id or claim_id, as in the file")
    parser.add_argument(
        "--version",
        type=known_word(list_versions),
        metavar="VERSION",
        help="grouper version (default: by discharge_date)",
    )
    parser.add_argument("--fiscal-year", type=fiscal_year, metavar="YEAR", help="for the weight and the payment")
    parser.add_argument("--hospitals", metavar="FILE", help="for the payment; needs --fiscal-year")
    parser.add_argument("--contract", metavar="FILE", help="a payer's contract (.toml) for the payment, instead")
    parser.add_argument("--html", metavar="FILE", help="write a page instead of printing")
    add_hospital_status(parser)


def _run_explain(options: Options) -> int:
    from drgsim.cli.frame_files import check_writable, read_admissions, read_hospital_file
    from drgsim.explanation.explanations import explain
    from drgsim.files.atomic import write_text_whole
    from drgsim.pricing.contracts import Contract, PriceTerms
    from drgsim.rates.payment_rates import Rates
    from drgsim.tables.table_set import TableSet

    if options.html:
        check_writable(options.html, PAGE)
    admission = _select_admission(read_admissions(options), options)
    rates: PriceTerms | None = Rates.load(options.fiscal_year) if options.fiscal_year else None
    rates = Contract.load(options.contract) if options.contract else rates
    hospitals = None
    if options.hospitals:
        admission, hospitals = _select_hospital(admission, read_hospital_file(options.hospitals))
    tables = TableSet.load(options.version or _find_version(admission))
    explanation = explain(admission, tables, rates, hospitals, hospital_status=options.hospital_status)
    if options.html:
        write_text_whole(options.html, explanation._repr_html_())
    else:
        print(explanation)
    return DONE


def _select_admission(admissions: pl.DataFrame, options: Options) -> pl.DataFrame:
    """Return the one admission that the options name."""
    import polars as pl

    from drgsim.claim_fields.mapping_report import hash_admission_ids

    if options.id is not None:
        numbers = hash_admission_ids(pl.Series([options.id], dtype=pl.String))
        is_wanted = pl.col("admission_id").cast(pl.UInt64, strict=False) == pl.lit(numbers.item(), pl.UInt64)
        if "claim_id" in admissions.columns:
            is_wanted = is_wanted | (pl.col("claim_id").cast(pl.String) == pl.lit(options.id))
        found = admissions.filter(is_wanted)
        if found.height != 1:
            raise InputError(f"{found.height} admissions have the --id asked for; take one by --row.")
        return found
    if options.row > admissions.height:
        raise InputError(f"--row is {options.row}, but there are {admissions.height:,} admissions.")
    return admissions.slice(options.row - 1, 1)


def _find_version(admission: pl.DataFrame) -> str:
    from drgsim.tables.table_set import version_for, versions

    date = admission["discharge_date"].item() if "discharge_date" in admission.columns else None
    if date is None:
        raise InputError(f"the admission has no discharge_date; give --version, one of {', '.join(versions())}.")
    return version_for(date)


def _select_hospital(admission: pl.DataFrame, hospitals: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the admission and its hospital, whose `hospital_id` agree."""
    import polars as pl

    from drgsim.cli.assumptions import match_hospitals

    hospitals, admission, _ = match_hospitals(hospitals, admission)
    found = hospitals.filter(pl.col("hospital_id") == admission["hospital_id"].item())
    if found.is_empty():
        raise InputError("the file of hospitals lacks the admission's hospital_id; add its row.")
    return admission, found


# ---------------------------------------------------------------------------------------------------------


def add_profile_command(commands: Commands) -> None:
    """Declare `drgsim profile`."""
    parser = add_command(
        commands,
        "profile",
        _run_profile,
        does="profile hospitals and compare them with their peers",
        example="drgsim profile grouped.parquet profile.csv --by hospital_id",
        about="Case mix, capture of CCs and MCCs, single CC or MCC, target areas.",
    )
    add_claims(parser, GROUPED_CLAIMS)
    add_output(parser)
    parser.add_argument("--by", default="hospital_id", help="column that names a hospital (default hospital_id)")
    parser.add_argument("--peers", metavar="COLUMN", help="column of peer groups (default: all are peers)")
    add_version(parser)
    add_fiscal_years(parser)
    add_hospital_status(parser)


def _run_profile(options: Options) -> int:
    from drgsim.cli.assumptions import choose_rates, count_fiscal_years
    from drgsim.cli.frame_files import check_writable, read_admissions, write_frame
    from drgsim.compliance.profiles import profile
    from drgsim.tables.table_set import TableSet

    check_writable(options.out)
    admissions = read_admissions(options, count_codes=False)
    rates, lines = choose_rates(count_fiscal_years(admissions), options.fiscal_years, lambda rates: rates.weights)
    for line in lines:
        report_progress(options, line)
    measures = profile(
        admissions,
        TableSet.load(options.version),
        by=options.by,
        peers=options.peers,
        rates=rates,
        hospital_status=options.hospital_status,
    )
    write_frame(measures, options.out)
    outliers = (measures["outlier"] != "NONE").sum()
    report_progress(options, f"{outliers:,} of {measures.height:,} measures are outliers")
    return DONE


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
