"""Commands on scenarios, and on the installation: scenarios list, show, check; selftest."""

from __future__ import annotations

import polars as pl

from drgsim.cli.console import (
    DONE,
    WRONG,
    Commands,
    Options,
    Parser,
    add_command,
    add_command_group,
    align_columns,
    report_progress,
)
from drgsim.cli.installation_check import selftest
from drgsim.cli.shared_arguments import add_version
from drgsim.miscoding.scenarios import Scenario, presets
from drgsim.tables.table_set import TableSet


def add_scenarios_commands(commands: Commands) -> None:
    """Declare `drgsim scenarios` and its commands."""
    group = add_command_group(commands, "scenarios", does="look at scenarios of coding errors")
    for add in (_add_list, _add_show, _add_check):
        add(group)


def _add_scenario(parser: Parser) -> None:
    parser.add_argument("scenario", metavar="SCENARIO", help="a shipped scenario, or a TOML file")


# ---------------------------------------------------------------------------------------------------------


def _add_list(group: Commands) -> None:
    add_command(group, "list", _run_list, does="list the shipped scenarios", example="drgsim scenarios list")


def _run_list(_options: Options) -> int:
    scenarios = {name: Scenario.load(name) for name in presets()}
    rows = [(name, len(scenario.errors), scenario.title) for name, scenario in scenarios.items()]
    print(align_columns(rows, ("scenario", "errors", "title")))
    return DONE


# ---------------------------------------------------------------------------------------------------------


def _add_show(group: Commands) -> None:
    parser = add_command(
        group,
        "show",
        _run_show,
        does="print a scenario as TOML, with every value in force",
        example="drgsim scenarios show illustration > mine.toml",
    )
    _add_scenario(parser)


def _run_show(options: Options) -> int:
    print(Scenario.load(options.scenario).dumps(), end="")
    return DONE


# ---------------------------------------------------------------------------------------------------------


def _add_check(group: Commands) -> None:
    parser = add_command(
        group,
        "check",
        _run_check,
        does="check a scenario, and its codes against a grouper version",
        example="drgsim scenarios check mine.toml --version 43.1",
    )
    _add_scenario(parser)
    add_version(parser)


def _run_check(options: Options) -> int:
    scenario = Scenario.load(options.scenario)
    scenario.check(TableSet.load(options.version))
    labels = ", ".join(error.label for error in scenario.errors) or "no errors"
    print(f"{options.scenario}: usable with {options.version}: {labels}")
    return DONE


# ---------------------------------------------------------------------------------------------------------


def add_selftest_command(commands: Commands) -> None:
    """Declare `drgsim selftest`."""
    add_command(
        commands,
        "selftest",
        _run_selftest,
        does="check that this installation gives known answers",
        example="drgsim selftest",
        about="Needs no network and no other file. Ends with code 1 if anything differs.",
    )


def _run_selftest(options: Options) -> int:
    checks = selftest()
    print(align_columns(checks.select("check", "compared", "wrong").rows(), ("check", "compared", "wrong")))
    wrong = checks.filter(pl.col("wrong") > 0)
    for check, subject, expected, found in wrong.select("check", "what", "expected", "found").rows():
        print(f"{check}: {subject}: expected {expected}, found {found}")
    report_progress(options, "this installation differs" if wrong.height else "this installation works")
    return WRONG if wrong.height else DONE
