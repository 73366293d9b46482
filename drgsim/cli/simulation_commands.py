"""Commands that simulate coding errors: simulate, report, demo."""

from __future__ import annotations

import sys
from argparse import BooleanOptionalAction
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drgsim.cli.console import (
    DONE,
    INTERRUPTED,
    Commands,
    Options,
    Progress,
    add_command,
    report_progress,
    whole_number_from,
)
from drgsim.cli.grouping_commands import scan_parquet, watch_parts
from drgsim.cli.scenario_commands import load_scenario
from drgsim.cli.shared_arguments import (
    FISCAL_YEAR,
    PAGE,
    VERSION,
    add_claims,
    add_contracts,
    add_edits,
    add_fiscal_years,
    add_hospital_status,
    add_hospitals,
    add_layout,
    add_plugins,
    add_seed,
    add_version,
)
from drgsim.exceptions import InputError

if TYPE_CHECKING:
    import polars as pl

    from drgsim.miscoding.scenarios import Scenario
    from drgsim.pricing.contracts import PriceTerms
    from drgsim.simulation.results import Simulation
    from drgsim.tables.table_set import TableSet

LARGE = 1_000_000
"""Rows of Parquet above which a simulation runs in parts, unless --no-in-parts is given."""
_RECORDED = "ms_drg_recorded"
_BY_BASE_RATE = "; without them: weight times a base rate"


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
    add_plugins(parser)
    add_hospitals(parser, otherwise=_BY_BASE_RATE)
    parser.add_argument(
        "--replicates", type=whole_number_from(1), default=100, help="number of random draws (default 100)"
    )
    parser.add_argument("--target-se", type=float, metavar="USD", help="stop at this standard error of net dollars")
    add_edits(parser)
    parser.add_argument("--ledger", action="store_true", help="also write every single error made")
    parser.add_argument(
        "--in-parts",
        action=BooleanOptionalAction,
        help="read Parquet part by part into RESULT.parts; the same command continues an interrupted run, and the "
        f"result has no tables of single claims (default: from {LARGE:,} admissions)",
    )
    add_version(parser, by_date=True)
    add_fiscal_years(parser)
    add_contracts(parser)
    add_seed(parser)
    add_hospital_status(parser, default=None)


@dataclass(frozen=True)
class SimulationInputs:
    """What is simulated, and the lines that say what was assumed."""

    claims: pl.DataFrame | pl.LazyFrame
    tables: TableSet
    hospitals: pl.DataFrame | None
    rates: PriceTerms
    lines: list[str]


def _run_simulate(options: Options) -> int:
    from drgsim.cli.frame_files import read_admissions
    from drgsim.cli.main_job import DemoResult, describe_demo, describe_pricing
    from drgsim.simulation.storage import check_replaceable

    check_replaceable(options.out)
    scenario = load_scenario(options)
    if _is_in_parts(options):
        inputs = _choose_inputs(options, scan_parquet(options))
        result = _simulate_in_parts(options, inputs, scenario)
    else:
        inputs = _choose_inputs(options, read_admissions(options))
        result = _simulate_at_once(options, inputs, scenario)
    if result.interrupted and not result.replicates:
        raise KeyboardInterrupt
    priced_by = describe_pricing(inputs.hospitals, inputs.rates)
    printed = describe_demo(DemoResult(result, None, priced_by), look_up_titles(inputs.tables))
    result.save(options.out)  # after the text, which may fail
    print(printed)
    report_progress(options, f"run {result.run_id}, {result.replicates} of {result.asked} replicates, in {options.out}")
    return INTERRUPTED if result.interrupted else DONE


def _is_in_parts(options: Options) -> bool:
    """Return whether to simulate in parts: as asked, else by the size of a Parquet file."""
    import polars as pl

    path = Path(options.claims)
    if options.in_parts is not None:
        return bool(options.in_parts)
    if not (path.is_file() and path.suffix.lower() == ".parquet"):
        return False
    return not options.target_se and bool(scan_parquet(options).select(pl.len()).collect().item() >= LARGE)


def _choose_inputs(options: Options, claims: pl.DataFrame | pl.LazyFrame, *, by_date: bool = False) -> SimulationInputs:
    """Return claims, tables, hospitals and rates that go together, and write what is assumed."""
    import polars as pl

    from drgsim.cli.assumptions import (
        check_pricing,
        check_weights,
        choose_rates,
        choose_version,
        count_fiscal_years,
        describe_base_rates,
        describe_hospital_defaults,
        describe_poa,
        join_contracts,
        match_hospitals,
        match_hospitals_in_parts,
    )
    from drgsim.cli.frame_files import read_hospital_file
    from drgsim.tables.table_set import TableSet

    hospitals, lines = None, list[str]()
    if options.hospitals:
        hospitals = read_hospital_file(options.hospitals)
        if isinstance(claims, pl.DataFrame):
            hospitals, claims, lines = match_hospitals(hospitals, claims)
        else:
            hospitals, lines = match_hospitals_in_parts(hospitals, claims)
    check = check_weights if hospitals is None else check_pricing(hospitals)
    rates, years = choose_rates(count_fiscal_years(claims), options.fiscal_years, check)
    version, versions = choose_version(claims, options.version)
    lines = [*(["version of each admission by discharge_date"] if by_date else versions), *years, *lines]
    lines += describe_base_rates(rates) if hospitals is None else describe_hospital_defaults(hospitals)
    lines += describe_poa(claims, options.hospital_status)
    for line in lines:
        report_progress(options, line)
    terms = join_contracts(rates, options.contracts)
    return SimulationInputs(claims, TableSet.load(version), hospitals, terms, lines)


def _simulate_at_once(options: Options, inputs: SimulationInputs, scenario: Scenario) -> Simulation:
    import polars as pl

    from drgsim.simulation.simulator import simulate

    assert isinstance(inputs.claims, pl.DataFrame)
    step = f"simulate {inputs.claims.height:,} admissions"
    in_terminal = sys.stderr.isatty()  # which has a bar of the replicates
    with nullcontext() if in_terminal else Progress(options, step, 0, ""):
        return simulate(
            inputs.claims,
            scenario,
            target_se=options.target_se,
            progress=None if in_terminal and not options.quiet else False,
            **_list_arguments(options, inputs),
        )


def _simulate_in_parts(options: Options, inputs: SimulationInputs, scenario: Scenario) -> Simulation:
    import polars as pl

    from drgsim.scale.parquet import simulate_parquet

    assert isinstance(inputs.claims, pl.LazyFrame)
    if options.target_se:
        raise InputError("--target-se needs all admissions at once; leave it out, or add --no-in-parts.")
    folder = Path(f"{options.out.rstrip('/')}.parts")
    with watch_parts(options, "simulate", inputs.claims, folder, "totals"):
        arguments = _list_arguments(options, inputs)
        result = simulate_parquet(options.claims, folder, scenario, progress=False, **arguments)
    report_progress(options, f"the parts are in {folder}; remove it when you need it no more")
    return result


def _list_arguments(options: Options, inputs: SimulationInputs) -> dict[str, Any]:
    """Return the arguments of a simulation, at once or in parts."""
    return {
        "tables": inputs.tables,
        "hospitals": inputs.hospitals,
        "rates": inputs.rates,
        "replicates": options.replicates,
        "seed": options.seed,
        "ledger": options.ledger,
        "hospital_status": options.hospital_status,
        "edits": options.edits,
    }


def look_up_titles(tables: TableSet) -> Callable[[int], str]:
    """Return the function that gives the title of a DRG, blank where there is none.

    >>> from drgsim import TableSet
    >>> look_up_titles(TableSet.load("43.1"))(1)
    'Heart Transplant or Implant of Heart Assist System with MCC'
    """
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
    add_plugins(parser)


def _run_report(options: Options) -> int:
    from drgsim.cli.frame_files import check_writable
    from drgsim.plots.html_report import report
    from drgsim.simulation.results import load_simulation
    from drgsim.simulation.storage import SCENARIO
    from drgsim.tables.table_set import TableSet

    check_writable(options.out, PAGE)
    if options.plugins:
        load_scenario(options, str(Path(options.result) / SCENARIO))
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
        does="group and price admissions, bill generated ones with errors; print the effect, save a figure",
        example="drgsim demo --admissions 10000 --out demo_output\n"
        "drgsim demo --claims claims.csv --hospitals hospitals.csv",
        about="Your own claims (--claims) are billed with errors only where you name a --scenario: the errors of a "
        "scenario are not yours.",
    )
    parser.add_argument("--claims", help="a file of claims (see read_claims); default: generated admissions")
    add_layout(parser)
    add_hospitals(parser, otherwise=_BY_BASE_RATE)
    parser.add_argument(
        "--admissions", type=whole_number_from(1), default=100_000, help="number to generate (default 100,000)"
    )
    parser.add_argument(
        "--scenario", help="a shipped scenario or a TOML file (default for generated admissions: illustration)"
    )
    add_plugins(parser)
    add_version(parser, by_date=True)
    add_fiscal_years(parser)
    add_contracts(parser)
    parser.add_argument(
        "--replicates", type=whole_number_from(2), default=20, help="number of random draws (default 20)"
    )
    add_seed(parser)
    add_hospital_status(parser, default=None)
    parser.add_argument("--out", type=Path, default=Path("demo_output"), help="folder of the figure")


def _run_demo(options: Options) -> int:
    import polars as pl

    from drgsim.cli.main_job import SCENARIO, demo, describe_demo, save_figure

    if options.claims and not options.scenario:
        return _print_claims(options)
    options.scenario = options.scenario or SCENARIO
    scenario = load_scenario(options)
    inputs = _read_demo_inputs(options)
    assert isinstance(inputs.claims, pl.DataFrame)
    result = demo(
        inputs.claims,
        inputs.hospitals,
        tables=inputs.tables,
        rates=inputs.rates,
        replicates=options.replicates,
        seed=options.seed,
        scenario=scenario,
        hospital_status=options.hospital_status,
    )
    printed = describe_demo(result, look_up_titles(inputs.tables))
    if options.claims:
        printed += "\n\nThe errors are those of the scenario, not errors found in these claims."
    print(printed)
    _print_recorded_drgs(result.simulation.admissions, inputs.tables)
    save_figure(result, options.out / "demo.png")
    print(f"\nFigure: {options.out / 'demo.png'}")
    return DONE


def _read_demo_inputs(options: Options) -> SimulationInputs:
    """Return the claims of the options, or generated admissions with their hospitals."""
    from drgsim.cli.frame_files import read_admissions
    from drgsim.rates.payment_rates import Rates
    from drgsim.synthetic.generator import generate
    from drgsim.tables.table_set import TableSet

    if options.claims:
        return _choose_inputs(options, read_admissions(options))
    tables = TableSet.load(options.version or VERSION)
    hospitals, admissions = generate(options.admissions, seed=options.seed, tables=tables)
    rates = [Rates.load(year) for year in options.fiscal_years or [FISCAL_YEAR]]
    return SimulationInputs(admissions, tables, hospitals, rates if len(rates) > 1 else rates[0], [])


def _print_claims(options: Options) -> int:
    """Print DRGs and dollars of claims, and what was not understood; simulate nothing."""
    import polars as pl

    from drgsim.cli.frame_files import read_admissions
    from drgsim.cli.main_job import describe_claims, describe_pricing, price_claims

    notes: list[str] = []
    claims = read_admissions(options, notes)
    dates = claims["discharge_date"] if "discharge_date" in claims.columns else pl.Series([])
    by_date = options.version is None and dates.null_count() < len(dates)
    inputs = _choose_inputs(options, claims, by_date=by_date)
    assert isinstance(inputs.claims, pl.DataFrame)
    paid = price_claims(
        inputs.claims,
        inputs.hospitals,
        inputs.rates,
        None if by_date else inputs.tables.version,
        options.hospital_status or ("NON_EXEMPT" if "sdx_poa" in inputs.claims.columns else "EXEMPT"),
    )
    priced_by = describe_pricing(inputs.hospitals, inputs.rates)
    print(describe_claims(paid, priced_by, look_up_titles(inputs.tables), [*notes, *inputs.lines]))
    _print_recorded_drgs(paid, inputs.tables)
    print("\nNo coding error was simulated; --scenario NAME does it (drgsim scenarios list).")
    return DONE


def _print_recorded_drgs(grouped: pl.DataFrame, tables: TableSet) -> None:
    """Print how recorded DRGs compare, where the claims have them."""
    from drgsim.cli.main_job import compare_recorded_drgs

    if _RECORDED in grouped.columns:
        print(f"\nRecorded DRGs compared with version {tables.version} ({tables.provenance})")
        for reason, count in compare_recorded_drgs(grouped, _RECORDED).iter_rows():
            print(f"  {count:>6,}  {reason}")
