"""Commands that simulate coding errors: simulate, report, demo."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from drgsim.cli.console import DONE, INTERRUPTED, Commands, Options, add_command, report_progress, whole_number_from
from drgsim.cli.frame_files import check_writable, read_frame
from drgsim.cli.main_job import DemoResult, compare_recorded_drgs, demo, describe_demo, save_figure
from drgsim.cli.shared_arguments import (
    FISCAL_YEAR,
    PAGE,
    add_claims,
    add_contracts,
    add_fiscal_years,
    add_hospital_status,
    add_layout,
    add_seed,
    add_version,
    load_rates,
    read_admissions,
)
from drgsim.files.atomic import replace_whole
from drgsim.miscoding.scenarios import Scenario
from drgsim.plots.html_report import report
from drgsim.pricing.rates import Rates
from drgsim.rebilling.bill_edits import EDITS
from drgsim.schema import HOSPITALS
from drgsim.simulation.results import load_simulation
from drgsim.simulation.simulator import simulate
from drgsim.simulation.storage import check_replaceable
from drgsim.synthetic.generator import generate
from drgsim.tables.table_set import TableSet

_RECORDED = "ms_drg_recorded"


def add_simulate_command(commands: Commands) -> None:
    """Declare `drgsim simulate`."""
    parser = add_command(
        commands,
        "simulate",
        _run_simulate,
        does="bill claims with the coding errors of a scenario, many times",
        example="drgsim simulate claims.parquet result --hospitals hospitals.csv --scenario illustration",
        about="Prints the effect, and writes every table into the folder RESULT.",
    )
    add_claims(parser)
    parser.add_argument("out", metavar="RESULT", help="folder to write; only a complete result replaces it")
    parser.add_argument("--scenario", required=True, help="a shipped scenario (drgsim scenarios list) or a TOML file")
    parser.add_argument("--hospitals", metavar="FILE", help="provider inputs; without them: weight times a base rate")
    parser.add_argument(
        "--replicates", type=whole_number_from(1), default=100, help="number of random draws (default 100)"
    )
    parser.add_argument("--target-se", type=float, metavar="USD", help="stop at this standard error of net dollars")
    parser.add_argument(
        "--edits", choices=EDITS, default="ignored", help="what becomes of bills with claim edits (default ignored)"
    )
    parser.add_argument("--ledger", action="store_true", help="also write every single error made")
    add_version(parser)
    add_fiscal_years(parser)
    add_contracts(parser)
    add_seed(parser)
    add_hospital_status(parser, default=None)


def _run_simulate(options: Options) -> int:
    check_replaceable(options.out)
    tables, scenario = TableSet.load(options.version), Scenario.load(options.scenario)
    result = simulate(
        read_admissions(options),
        scenario,
        tables=tables,
        hospitals=read_frame(options.hospitals, HOSPITALS) if options.hospitals else None,
        rates=load_rates(options),
        replicates=options.replicates,
        seed=options.seed,
        target_se=options.target_se,
        ledger=options.ledger,
        progress=False if options.quiet else None,
        hospital_status=options.hospital_status,
        edits=options.edits,
    )
    if result.interrupted and not result.replicates:
        raise KeyboardInterrupt
    result.save(options.out)
    print(describe_demo(DemoResult(result, None, result.priced_by), _title_lookup(tables)))
    report_progress(options, f"run {result.run_id}, {result.replicates} of {result.asked} replicates, in {options.out}")
    return INTERRUPTED if result.interrupted else DONE


def _title_lookup(tables: TableSet) -> Callable[[int], str]:
    titles = dict(tables.drg_titles.select("drg", "title").iter_rows())
    return lambda drg: titles.get(drg, "")


# ---------------------------------------------------------------------------------------------------------


def add_report_command(commands: Commands) -> None:
    """Declare `drgsim report`."""
    parser = add_command(
        commands,
        "report",
        _run_report,
        does="write the result of a simulation as one self-contained page",
        example="drgsim report result report.html",
    )
    parser.add_argument("result", metavar="RESULT", help="a folder that `drgsim simulate` wrote")
    parser.add_argument("out", metavar="PAGE", help="where to write the page (.html)")


def _run_report(options: Options) -> int:
    check_writable(options.out, PAGE)
    result = load_simulation(options.result)
    report(result, options.out, tables=TableSet.load(result.version))
    report_progress(options, f"report of run {result.run_id} in {options.out}")
    return DONE


# ---------------------------------------------------------------------------------------------------------


def add_demo_command(commands: Commands) -> None:
    """Declare `drgsim demo`."""
    parser = add_command(
        commands,
        "demo",
        _run_demo,
        does="group, price and miscode admissions; print the effect, save a figure",
        example="drgsim demo --admissions 10000 --out demo_output",
    )
    parser.add_argument("--claims", type=Path, help="a file of claims (see read_claims); default: generated admissions")
    add_layout(parser)
    parser.add_argument(
        "--admissions", type=whole_number_from(1), default=100_000, help="number to generate (default 100,000)"
    )
    add_version(parser)
    parser.add_argument(
        "--fiscal-year", type=int, default=FISCAL_YEAR, help=f"year of weights and rates (default {FISCAL_YEAR})"
    )
    parser.add_argument(
        "--replicates", type=whole_number_from(2), default=20, help="number of random draws (default 20)"
    )
    add_seed(parser)
    parser.add_argument("--out", type=Path, default=Path("demo_output"), help="folder of the figure")


def _run_demo(options: Options) -> int:
    tables, rates = TableSet.load(options.version), Rates.load(options.fiscal_year)
    if options.claims:
        admissions, hospitals = read_admissions(options), None
    else:
        hospitals, admissions = generate(options.admissions, seed=options.seed, tables=tables)
    result = demo(admissions, hospitals, tables=tables, rates=rates, replicates=options.replicates, seed=options.seed)
    print(describe_demo(result, _title_lookup(tables)))
    if _RECORDED in admissions.columns:
        print(f"\nRecorded DRGs compared with version {tables.version} ({tables.provenance})")
        for reason, count in compare_recorded_drgs(result.simulation.admissions, _RECORDED).iter_rows():
            print(f"  {count:>6,}  {reason}")
    options.out.mkdir(parents=True, exist_ok=True)
    with replace_whole(options.out / "demo.png") as unfinished:
        save_figure(result, unfinished)
    print(f"\nFigure: {options.out / 'demo.png'}")
    return DONE
