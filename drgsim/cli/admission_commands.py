"""Commands on admissions: generate, group, price, simulate, explain, profile, report, demo."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl

from drgsim.claims.layouts import LAYOUTS, map_claims
from drgsim.cli.console import (
    DONE,
    INTERRUPTED,
    Commands,
    Options,
    Parser,
    add_command,
    report_progress,
    whole_number_from,
)
from drgsim.cli.frame_files import STREAM, cast_columns, check_writable, open_input, read_frame, write_frame
from drgsim.cli.main_job import Demo, compare_recorded_drgs, demo, describe_demo, save_figure
from drgsim.compliance.profiles import profile
from drgsim.exceptions import InputError
from drgsim.explanation.explanations import explain
from drgsim.files.atomic import replace_whole
from drgsim.grouping.grouper import group
from drgsim.miscoding.scenarios import Scenario
from drgsim.plots.html_report import report
from drgsim.pricing.pricer import price
from drgsim.pricing.rates import Rates, rate_years
from drgsim.schema import ADMISSIONS, DETAIL, GROUPED, HOSPITALS, NUMBERS, PAID, STAYS
from drgsim.simulation.results import load_simulation
from drgsim.simulation.simulator import simulate
from drgsim.simulation.storage import check_replaceable
from drgsim.synthetic.generator import generate
from drgsim.synthetic.population import populations
from drgsim.tables.table_set import TableSet, version_for, versions

RECORDED = "ms_drg_recorded"
VERSION, FISCAL_YEAR = "43.1", 2026
_KNOWN = (GROUPED, DETAIL, STAYS, PAID)
_PAGE = (".html",)


def add_admission_commands(commands: Commands) -> None:
    """Declare the commands."""
    own = add_command(
        commands,
        "generate",
        _generate,
        does="draw synthetic admissions, and the hospitals they were in",
        example="drgsim generate 100000 claims.parquet --hospitals hospitals.csv --seed 1",
    )
    own.add_argument("n", type=whole_number_from(0), metavar="N", help="how many admissions")
    _out(own)
    own.add_argument("--hospitals", metavar="FILE", help="where to write the hospitals (.parquet, .csv)")
    own.add_argument("--population", default="medicare_ffs", help=f"{', '.join(populations())}, or a TOML file")
    _version(own)
    _seed(own)

    own = add_command(
        commands,
        "group",
        _group,
        does="group claims to MS-DRGs",
        example="drgsim group claims.csv grouped.parquet --version 43.1",
        about="Adds drg, mdc, base_drg, drg_type, severity, initial_drg, initial_mdc, hac_count and return_code.",
    )
    _claims(own)
    _out(own)
    own.add_argument("--version", help="grouper version, or a column of versions (default: by discharge_date)")
    own.add_argument("--detail", action="store_true", help="also CMS's reports of each code")
    _status(own)

    own = add_command(
        commands,
        "price",
        _price,
        does="price grouped admissions",
        example="drgsim group claims.csv - | drgsim price - paid.csv --hospitals hospitals.csv",
        about="Adds each component of the IPPS payment, total_usd and pay_code.",
    )
    _claims(own, "grouped admissions, as `drgsim group` writes them")
    _out(own)
    own.add_argument("--hospitals", required=True, metavar="FILE", help="provider inputs (.parquet, .csv)")
    _years(own)

    own = add_command(
        commands,
        "simulate",
        _simulate,
        does="bill claims with the coding errors of a scenario, many times over",
        example="drgsim simulate claims.parquet result --hospitals hospitals.csv --scenario illustration",
        about="Prints what it comes to, and writes every table into the folder RESULT.",
    )
    _claims(own)
    own.add_argument("out", metavar="RESULT", help="folder to write, replaced only by a complete result")
    own.add_argument("--scenario", required=True, help="a shipped scenario (drgsim scenarios list) or a TOML file")
    own.add_argument("--hospitals", metavar="FILE", help="provider inputs; without: weight times a base rate")
    own.add_argument("--replicates", type=whole_number_from(1), default=100, help="draws of the errors (default 100)")
    own.add_argument("--target-se", type=float, metavar="USD", help="stop once net dollars are as sure as this")
    own.add_argument("--ledger", action="store_true", help="also write every single error made")
    _version(own)
    _years(own)
    _seed(own)
    _status(own, default=None)

    own = add_command(
        commands,
        "explain",
        _explain,
        does="tell why one admission got its DRG and its dollars",
        example="drgsim explain claims.csv --row 3 --version 43.1",
    )
    _claims(own)
    which = own.add_mutually_exclusive_group(required=True)
    which.add_argument("--row", type=whole_number_from(1), help="place in the file, from 1")
    which.add_argument("--id", type=whole_number_from(0), help="admission_id")
    own.add_argument("--version", choices=versions(), help="grouper version (default: by discharge_date)")
    own.add_argument("--fiscal-year", type=int, choices=rate_years(), help="for the weight, and the dollars")
    own.add_argument("--hospitals", metavar="FILE", help="for the dollars; needs --fiscal-year")
    own.add_argument("--html", metavar="FILE", help="write a page instead of printing")
    _status(own)

    own = add_command(
        commands,
        "profile",
        _profile,
        does="profile hospitals beside their peers",
        example="drgsim profile grouped.parquet profile.csv --by hospital_id",
        about="Case mix, capture of CCs and MCCs, fragile severity, target areas.",
    )
    _claims(own, "grouped admissions, as `drgsim group` writes them")
    _out(own)
    own.add_argument("--by", default="hospital_id", help="column that names a hospital (default hospital_id)")
    own.add_argument("--peers", metavar="COLUMN", help="column of peer groups (default: all are peers)")
    _version(own)
    _years(own)
    _status(own)

    own = add_command(
        commands,
        "report",
        _report,
        does="write the result of a simulation as one self-contained page",
        example="drgsim report result report.html",
    )
    own.add_argument("result", metavar="RESULT", help="a folder `drgsim simulate` wrote")
    own.add_argument("out", metavar="PAGE", help="where to write it (.html)")
    _add_demo(commands)


def _add_demo(commands: Commands) -> None:
    own = add_command(
        commands,
        "demo",
        _demo,
        does="group, price and miscode admissions; print the effect, save a figure",
        example="drgsim demo --admissions 10000 --out demo_output",
    )
    own.add_argument("--claims", type=Path, help="a claims file (see read_claims); default: generated admissions")
    _layout(own)
    own.add_argument(
        "--admissions", type=whole_number_from(1), default=100_000, help="how many to generate (default 100,000)"
    )
    _version(own)
    own.add_argument("--fiscal-year", type=int, default=FISCAL_YEAR, help="of weights and rates (default 2026)")
    own.add_argument(
        "--replicates", type=whole_number_from(2), default=20, help="draws of each error process (default 20)"
    )
    _seed(own)
    own.add_argument("--out", type=Path, default=Path("demo_output"), help="folder of the figure")


# -------------------------------------------------------------------------------------------------- arguments


def _claims(own: Parser, what: str = "claims (see drgsim.read_claims)") -> None:
    own.add_argument("claims", metavar="CLAIMS", help=f"{what}; - is standard input")
    _layout(own)


def _layout(own: Parser) -> None:
    own.add_argument(
        "--layout",
        choices=[*LAYOUTS],
        metavar="LAYOUT",
        help=f"of the claims: {', '.join(LAYOUTS)} (default: recognised)",
    )


def _out(own: Parser) -> None:
    own.add_argument(
        "out", metavar="OUT", nargs="?", default=STREAM, help=".parquet or .csv; - (default) is CSV on standard output"
    )


def _version(own: Parser) -> None:
    own.add_argument("--version", default=VERSION, choices=versions(), help=f"grouper version (default {VERSION})")


def _years(own: Parser) -> None:
    own.add_argument(
        "--fiscal-year",
        dest="fiscal_years",
        type=int,
        nargs="+",
        choices=rate_years(),
        default=[FISCAL_YEAR],
        metavar="YEAR",
        help=f"of weights and rates (default {FISCAL_YEAR}); several are chosen by discharge_date",
    )


def _seed(own: Parser) -> None:
    own.add_argument("--seed", type=int, default=1, help="of every draw (default 1)")


def _status(own: Parser, default: str | None = "NON_EXEMPT") -> None:
    told_of = default or "by whether there is POA"
    own.add_argument(
        "--hospital-status",
        default=default,
        help=f"POA reporting: NON_EXEMPT, EXEMPT, UNKNOWN, or a column of these (default {told_of})",
    )


# --------------------------------------------------------------------------------------------------- commands


def _generate(options: Options) -> int:
    for path in (options.out, options.hospitals):
        check_writable(path or STREAM)
    tables = TableSet.load(options.version)
    hospitals, admissions = generate(options.n, seed=options.seed, tables=tables, population=options.population)
    if options.hospitals:
        write_frame(hospitals, options.hospitals)
    write_frame(admissions, options.out)
    report_progress(options, f"{admissions.height:,} admissions of {hospitals.height:,} hospitals")
    return DONE


def _group(options: Options) -> int:
    check_writable(options.out)
    admissions, version = _read(options), options.version
    if version in admissions.columns and admissions.schema[version] in NUMBERS:
        admissions = admissions.with_columns(pl.col(version).cast(pl.String))
    grouped = group(admissions, version=version, hospital_status=options.hospital_status, detail=options.detail)
    write_frame(grouped, options.out)
    report_progress(options, f"grouped; {(grouped['return_code'] != 'OK').sum():,} ungroupable")
    return DONE


def _price(options: Options) -> int:
    check_writable(options.out)
    paid = price(_read(options), read_frame(options.hospitals, HOSPITALS), _rates(options))
    write_frame(paid, options.out)
    report_progress(
        options, f"paid {paid['total_usd'].sum():,.2f} USD; {(paid['pay_code'] >= 50).sum():,} admissions not paid"
    )
    return DONE


def _simulate(options: Options) -> int:
    check_replaceable(options.out)
    tables, scenario = TableSet.load(options.version), Scenario.load(options.scenario)
    result = simulate(
        _read(options),
        scenario,
        tables=tables,
        hospitals=read_frame(options.hospitals, HOSPITALS) if options.hospitals else None,
        rates=_rates(options),
        replicates=options.replicates,
        seed=options.seed,
        target_se=options.target_se,
        ledger=options.ledger,
        progress=False if options.quiet else None,
        hospital_status=options.hospital_status,
    )
    if result.interrupted and not result.replicates:
        raise KeyboardInterrupt
    result.save(options.out)
    print(describe_demo(Demo(result, None, result.priced_by), _titles(tables)))
    report_progress(options, f"run {result.run_id}, {result.replicates} of {result.asked} replicates, in {options.out}")
    return INTERRUPTED if result.interrupted else DONE


def _explain(options: Options) -> int:
    if options.html:
        check_writable(options.html, _PAGE)
    admission = _chosen(_read(options), options)
    rates = Rates.load(options.fiscal_year) if options.fiscal_year else None
    explanation = explain(
        admission,
        TableSet.load(options.version or _version_of(admission)),
        rates,
        _hospital_of(admission, read_frame(options.hospitals, HOSPITALS)) if options.hospitals else None,
        hospital_status=options.hospital_status,
    )
    if options.html:
        with replace_whole(options.html) as begun:
            begun.write_text(explanation._repr_html_(), "utf-8")
    else:
        print(explanation)
    return DONE


def _profile(options: Options) -> int:
    check_writable(options.out)
    told_of = profile(
        _read(options),
        TableSet.load(options.version),
        by=options.by,
        peers=options.peers,
        rates=_rates(options),
        hospital_status=options.hospital_status,
    )
    write_frame(told_of, options.out)
    report_progress(options, f"{(told_of['outlier'] != 'NONE').sum():,} of {told_of.height:,} measures stand out")
    return DONE


def _report(options: Options) -> int:
    check_writable(options.out, _PAGE)
    result = load_simulation(options.result)
    report(result, options.out, tables=TableSet.load(result.version))
    report_progress(options, f"report of run {result.run_id} in {options.out}")
    return DONE


def _demo(options: Options) -> int:
    tables, rates = TableSet.load(options.version), Rates.load(options.fiscal_year)
    if options.claims:
        admissions, hospitals = _read(options), None
    else:
        hospitals, admissions = generate(options.admissions, seed=options.seed, tables=tables)
    result = demo(admissions, hospitals, tables=tables, rates=rates, replicates=options.replicates, seed=options.seed)
    print(describe_demo(result, _titles(tables)))
    if RECORDED in admissions.columns:
        print(f"\nRecorded DRGs beside version {tables.version}")
        for why, count in compare_recorded_drgs(result.simulation.admissions, RECORDED).iter_rows():
            print(f"  {count:>6,}  {why}")
    options.out.mkdir(parents=True, exist_ok=True)
    with replace_whole(options.out / "demo.png") as begun:
        save_figure(result, begun)
    print(f"\nFigure: {options.out / 'demo.png'}")
    return DONE


# ------------------------------------------------------------------------------------------------------ parts


def _read(options: Options) -> pl.DataFrame:
    """Return the claims, with what drgsim wrote beside them in its own types."""
    with open_input(options.claims) as file:
        read = map_claims(file, options.layout)
        claims = cast_columns(read.admissions, _KNOWN, where=str(file))
    report_progress(options, f"{claims.height:,} admissions read, layout {read.layout}")
    for field, problem, count in read.report.rows():
        if field not in claims.columns or field in ADMISSIONS.names:
            report_progress(options, f"{field}: {problem} ({count:,} of {claims.height:,} rows)")
    return claims


def _rates(options: Options) -> Rates | list[Rates]:
    rates = [Rates.load(year) for year in options.fiscal_years]
    return rates if len(rates) > 1 else rates[0]


def _titles(tables: TableSet) -> Callable[[int], str]:
    titles = dict(tables.drg_titles.select("drg", "title").iter_rows())
    return lambda drg: titles.get(drg, "")


def _chosen(admissions: pl.DataFrame, options: Options) -> pl.DataFrame:
    """Return the one admission that is asked for."""
    if options.id is not None:
        found = admissions.filter(pl.col("admission_id") == options.id)
        if found.height != 1:
            raise InputError(f"{found.height} admissions have the --id asked for; take one by --row.")
        return found
    if options.row > admissions.height:
        raise InputError(f"--row is {options.row}, but there are {admissions.height:,} admissions.")
    return admissions.slice(options.row - 1, 1)


def _version_of(admission: pl.DataFrame) -> str:
    date = admission["discharge_date"].item() if "discharge_date" in admission.columns else None
    if date is None:
        raise InputError(f"the admission has no discharge_date; give --version, one of {', '.join(versions())}.")
    return version_for(date)


def _hospital_of(admission: pl.DataFrame, hospitals: pl.DataFrame) -> pl.DataFrame:
    if "hospital_id" not in admission.columns:
        return hospitals
    found = hospitals.filter(pl.col("hospital_id") == admission["hospital_id"].item())
    if found.is_empty():
        raise InputError("the hospitals do not hold the admission's hospital_id.")
    return found
