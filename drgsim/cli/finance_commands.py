"""Commands on dollars of a whole year: audit sample, audit extrapolate, bridge."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drgsim.cli.console import (
    DONE,
    Commands,
    Options,
    add_command,
    add_command_group,
    align_columns,
    known_word,
    report_progress,
    whole_number_from,
)
from drgsim.cli.shared_arguments import add_claims, add_output, add_seed
from drgsim.exceptions import InputError

if TYPE_CHECKING:
    from drgsim.compliance.extrapolation import Audit
    from drgsim.schema import Frame

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


def _list_claim_columns() -> Frame:
    """Return the contract of files of claims that are sampled."""
    import polars as pl

    from drgsim.schema import CLAIMS, Column, Frame

    added = (
        Column("account", pl.String(), "", "of the claim", required=False),
        Column("stratum", pl.String(), "", "of the sample", required=False),
        Column("is_sampled", pl.Boolean(), "", "whether the claim is reviewed", required=False),
    )
    return Frame("claims", (*CLAIMS.columns, *added))


def _run_sample(options: Options) -> int:
    from drgsim.cli.frame_files import check_writable, read_frame, write_frame
    from drgsim.compliance.sampling import SimpleRandom, Stratified, sample

    check_writable(options.out)
    claims = read_frame(options.population, _list_claim_columns())
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
    parser.add_argument(
        "--estimator",
        type=known_word(_list_estimators),
        metavar="NAME",
        default="difference",
        help="difference (default), mean_per_unit or ratio",
    )
    parser.add_argument("--level", type=float, default=0.90, help="of the two-sided limits (default 0.90, as OIG)")
    parser.add_argument("--out", metavar="FILE", help=".parquet or .csv: the estimates")


def _run_extrapolate(options: Options) -> int:
    from drgsim.cli.frame_files import check_writable, read_frame, write_frame
    from drgsim.compliance.findings_file import read_findings
    from drgsim.compliance.review_findings import extrapolate

    if options.out:
        check_writable(options.out)
    drawn = read_frame(options.sampled, _list_claim_columns())
    findings = read_findings(options.findings, drawn, account=options.account, columns=dict(options.column))
    found = extrapolate(findings, drawn, estimator=options.estimator, level=options.level)
    print(_describe_audit(found))
    if options.out:
        write_frame(found.estimates, options.out)
    report_progress(options, f"{found.reviewed.height:,} reviewed claims extrapolated to {drawn.height:,}")
    return DONE


def add_bridge_command(commands: Commands) -> None:
    """Declare `drgsim bridge`."""
    parser = add_command(
        commands,
        "bridge",
        _run_bridge,
        does="split the change of payment from one fiscal year to the next by cause",
        example="drgsim bridge claims.parquet --hospitals hospitals.csv --before 42.1 2025 --after 43.0 2026",
    )
    add_claims(parser)
    parser.add_argument("--hospitals", metavar="FILE", required=True, help="of the earlier year")
    parser.add_argument("--hospitals-after", metavar="FILE", help="of the later year (default: the same)")
    for name in ("before", "after"):
        parser.add_argument(
            f"--{name}", nargs=2, required=True, metavar=("VERSION", "YEAR"), help="version, fiscal year"
        )
    parser.add_argument("--table5", metavar="FILE", help="Table 5 of the later year, as CMS publishes it")
    parser.add_argument(
        "--set", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"), help="a parameter of the later year"
    )
    parser.add_argument("--by", choices=("drg", "mdc", "service_line"), help="rows of --out (default: a stay)")
    parser.add_argument("--out", metavar="FILE", help=".parquet or .csv")


def _run_bridge(options: Options) -> int:
    from drgsim.cli.frame_files import check_writable, read_admissions, read_hospital_file, write_frame
    from drgsim.rates.payment_rates import Rates
    from drgsim.studies.fiscal_year_bridge import payment_bridge

    if options.out:
        check_writable(options.out)
    later = Rates.load(_read_year(options.after[1]))
    bridge = payment_bridge(
        read_admissions(options),
        (options.before[0], _read_year(options.before[1])),
        (options.after[0], later.with_table5(options.table5) if options.table5 else later),
        hospitals=read_hospital_file(options.hospitals),
        hospitals_after=read_hospital_file(options.hospitals_after) if options.hospitals_after else None,
        changes={name: _read_value(name, value) for name, value in options.set},
    )
    rows = [
        (row["title"], row["stays"], *(_number(row[name], "USD") for name in ("path_usd", "shapley_usd")))
        for row in bridge.steps.iter_rows(named=True)
    ]
    totals = (_number(float(bridge.steps[name].sum()), "USD") for name in ("path_usd", "shapley_usd"))
    heads = tuple(name.rjust(14) for name in ("path USD", "Shapley USD"))
    print(align_columns([*rows, ("Total", bridge.stays.height, *totals)], ("cause", "stays", *heads)))
    if options.out:
        write_frame(bridge.by(options.by) if options.by else bridge.stays, options.out)
    return DONE


def _read_year(text: str) -> int:
    if not text.isdecimal():
        raise InputError(f"the fiscal year is {text!r}, expected a whole number such as 2026.")
    return int(text)


def _read_value(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(f"--set {name} is {text!r}, expected a number.") from None


# ---------------------------------------------------------------------------------------------------------


def _list_estimators() -> list[str]:
    from drgsim.compliance.extrapolation import ESTIMATORS

    return list(ESTIMATORS)


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
