"""Commands on dollars of a whole year: audit sample, audit extrapolate."""

from __future__ import annotations

import polars as pl

from drgsim.cli.console import (
    DONE,
    Commands,
    Options,
    add_command,
    add_command_group,
    align_columns,
    report_progress,
    whole_number_from,
)
from drgsim.cli.frame_files import check_writable, read_frame, write_frame
from drgsim.cli.shared_arguments import add_output, add_seed
from drgsim.compliance.extrapolation import ESTIMATORS, Audit
from drgsim.compliance.findings_file import read_findings
from drgsim.compliance.review_findings import extrapolate
from drgsim.compliance.sampling import SimpleRandom, Stratified, sample
from drgsim.schema import CLAIMS, Column, Frame

_CLAIMS = Frame(
    "claims",
    (
        *CLAIMS.columns,
        Column("account", pl.String(), "", "of the claim", required=False),
        Column("stratum", pl.String(), "", "of the sample", required=False),
        Column("is_sampled", pl.Boolean(), "", "whether the claim is reviewed", required=False),
    ),
)
_LIMITS = ("point", "lower", "upper")
_HEADER = tuple(name.rjust(14) for name in _LIMITS)


def add_audit_commands(commands: Commands) -> None:
    """Declare `drgsim audit` and its commands."""
    group = add_command_group(commands, "audit", does="draw the sample of an audit, and extrapolate its findings")
    for add in (_add_sample, _add_extrapolate):
        add(group)


# ---------------------------------------------------------------------------------------------------------


def _add_sample(group: Commands) -> None:
    parser = add_command(
        group,
        "sample",
        _run_sample,
        does="draw the claims to review; billed dollars are enough",
        example="drgsim audit sample claims.csv sampled.csv --claims 100 --strata 4 --seed 2026",
        about="Every claim stays, with stratum and is_sampled.",
    )
    parser.add_argument(
        "population", metavar="CLAIMS", help="all claims: admission_id, billed_usd; - is standard input"
    )
    add_output(parser)
    parser.add_argument("--claims", type=whole_number_from(2), required=True, help="how many to draw")
    strata = parser.add_mutually_exclusive_group()
    strata.add_argument("--strata", type=whole_number_from(2), help="ranges of billed dollars (default: none)")
    strata.add_argument("--by", metavar="COLUMN", help="instead, a column whose values are the strata")
    add_seed(parser)


def _run_sample(options: Options) -> int:
    check_writable(options.out)
    claims = read_frame(options.population, _CLAIMS)
    design: SimpleRandom | Stratified = SimpleRandom(options.claims)
    if options.strata or options.by:
        design = Stratified(options.claims, strata=options.strata or 1, column=options.by)
    drawn = sample(claims, design, seed=options.seed)
    write_frame(drawn, options.out)
    report_progress(
        options, f"{drawn['is_sampled'].sum():,} of {drawn.height:,} claims drawn, {drawn['stratum'].n_unique()} strata"
    )
    return DONE


# ---------------------------------------------------------------------------------------------------------


def _add_extrapolate(group: Commands) -> None:
    parser = add_command(
        group,
        "extrapolate",
        _run_extrapolate,
        does="extrapolate the findings of reviewers to all claims",
        example="drgsim audit extrapolate sampled.csv findings.csv --account account",
        about="Prints the estimates; with --out also writes them.",
    )
    parser.add_argument("sampled", metavar="SAMPLED", help="what `drgsim audit sample` wrote; - is standard input")
    parser.add_argument(
        "findings", metavar="FINDINGS", help=".csv or .parquet: account, correct_usd or found_usd, kind"
    )
    parser.add_argument("--account", default="admission_id", help="column that names a claim (default admission_id)")
    parser.add_argument(
        "--column",
        nargs=2,
        action="append",
        default=[],
        metavar=("OURS", "THEIRS"),
        help="name of a column of FINDINGS",
    )
    parser.add_argument("--estimator", choices=ESTIMATORS, default="difference", help="default difference")
    parser.add_argument("--level", type=float, default=0.90, help="of the two-sided limits (default 0.90, as OIG)")
    parser.add_argument("--out", metavar="FILE", help=".parquet or .csv: the estimates")


def _run_extrapolate(options: Options) -> int:
    if options.out:
        check_writable(options.out)
    drawn = read_frame(options.sampled, _CLAIMS)
    findings = read_findings(options.findings, drawn, account=options.account, columns=dict(options.column))
    found = extrapolate(findings, drawn, estimator=options.estimator, level=options.level)
    print(_describe_audit(found))
    if options.out:
        write_frame(found.estimates, options.out)
    report_progress(options, f"{found.reviewed.height:,} reviewed claims extrapolated to {drawn.height:,}")
    return DONE


def _describe_audit(found: Audit) -> str:
    """Return the estimates as text: by measure, by stratum and by kind of finding."""
    rows = [
        (row["measure"], *(_number(row[name], row["unit"]) for name in _LIMITS))
        for row in found.estimates.iter_rows(named=True)
    ]
    parts = [align_columns(rows, ("measure", *_HEADER))]
    for table, name in ((found.by_stratum, "stratum"), (found.by_kind, "kind")):
        lines = [
            (
                row[name] or "none given",
                row["reviewed"],
                *(_number(row[one], "USD") for one in _LIMITS),
            )
            for row in table.iter_rows(named=True)
        ]
        if lines:
            parts.append(align_columns(lines, (name, "reviewed", *_HEADER)))
    parts.append(f"recovery at the lower limit: {found.recovery_usd:,.2f} USD")
    return "\n\n".join(parts)


def _number(value: float, unit: str) -> str:
    return f"{value:>14,.2f}" if unit == "USD" else f"{value:>14.4f}"
