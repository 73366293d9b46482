"""Commands on what drgsim knows: tables, scenarios, selftest."""

from __future__ import annotations

import argparse
import datetime as dt
from pathlib import Path

import polars as pl

from drgsim.cli.console import (
    DONE,
    WRONG,
    Commands,
    Options,
    add_command,
    add_command_group,
    align_columns,
    report_progress,
)
from drgsim.cli.frame_files import STREAM, check_writable, write_frame
from drgsim.cli.installation_check import selftest
from drgsim.exceptions import InputError, did_you_mean
from drgsim.miscoding.scenarios import Scenario, presets
from drgsim.releases.cms_import import import_release
from drgsim.releases.verification import verify
from drgsim.releases.version_diff import table_diff
from drgsim.tables.manifest import table_folder
from drgsim.tables.table_set import TableSet, versions

_OUT = ".parquet or .csv; - (default) is CSV on standard output"


def add_table_commands(commands: Commands) -> None:
    """Declare the commands."""
    _add_tables(add_command_group(commands, "tables", does="look at grouper versions and the table folder"))
    _add_scenarios(add_command_group(commands, "scenarios", does="look at scenarios of coding errors"))
    add_command(
        commands,
        "selftest",
        _selftest,
        does="check that this installation gives known answers",
        example="drgsim selftest",
        about="Needs no network and no other file. Ends with code 1 if anything differs.",
    )


def _add_tables(own: Commands) -> None:
    one = add_command(own, "list", _list, does="list the grouper versions", example="drgsim tables list")
    _folder(one)
    one = add_command(
        own,
        "show",
        _show,
        does="show the size of each table of a version, or one table",
        example="drgsim tables show 43.1 formulas formulas.csv",
    )
    one.add_argument("version", metavar="VERSION")
    one.add_argument("table", metavar="TABLE", nargs="?", help="such as diagnoses or formulas")
    one.add_argument("out", metavar="OUT", nargs="?", default=STREAM, help=_OUT)
    _folder(one)
    one = add_command(
        own,
        "verify",
        _verify,
        does="check every file by its sha256, and load every version, rate and scenario",
        example="drgsim tables verify --folder my_tables",
        about="Ends with code 1 if anything is wrong.",
    )
    _folder(one)
    one = add_command(
        own,
        "diff",
        _diff,
        does="tell what is new, deleted or changed between two versions",
        example="drgsim tables diff 43.1 44.0 changes.csv",
    )
    one.add_argument("old", metavar="OLD")
    one.add_argument("new", metavar="NEW")
    one.add_argument("out", metavar="OUT", nargs="?", default=STREAM, help=_OUT)
    _folder(one)
    one.add_argument("--new-folder", metavar="FOLDER", help="the table folder of NEW (default: that of OLD)")
    one = add_command(
        own,
        "import",
        _import,
        does="make a table folder from a CMS grouper release",
        example="drgsim tables import grouper.zip my_tables\n"
        "drgsim tables import grouper.zip my_tables --effective 45.0 2027-10-01 2028-03-31",
    )
    one.add_argument("release", metavar="RELEASE", help="the published archive, or its data file")
    one.add_argument("folder", metavar="FOLDER", help="to be created")
    one.add_argument("--base", metavar="FOLDER", help="takes from it what a release does not say (default: shipped)")
    one.add_argument(
        "--effective",
        nargs=3,
        action="append",
        default=[],
        metavar=("VERSION", "FIRST", "LAST"),
        help="days of discharge of a version drgsim does not know",
    )


def _add_scenarios(own: Commands) -> None:
    add_command(own, "list", _scenarios, does="list the shipped scenarios", example="drgsim scenarios list")
    one = add_command(
        own,
        "show",
        _scenario,
        does="print a scenario as TOML, with everything in force",
        example="drgsim scenarios show illustration > mine.toml",
    )
    one.add_argument("scenario", metavar="SCENARIO", help="a shipped scenario, or a TOML file")
    one = add_command(
        own,
        "check",
        _check,
        does="check a scenario, and its codes against a grouper version",
        example="drgsim scenarios check mine.toml --version 43.1",
    )
    one.add_argument("scenario", metavar="SCENARIO", help="a shipped scenario, or a TOML file")
    one.add_argument("--version", default="43.1", choices=versions(), help="grouper version (default 43.1)")


def _folder(own: argparse.ArgumentParser) -> None:
    own.add_argument("--folder", metavar="FOLDER", help="a table folder of your own (default: the one drgsim reads)")


# --------------------------------------------------------------------------------------------------- commands


def _list(options: Options) -> int:
    loaded = [TableSet.load(version, folder=options.folder) for version in versions(folder=options.folder)]
    rows = [
        (one.version, str(one.fiscal_year), one.effective_from, one.effective_to, one.drg_titles.height)
        for one in loaded
    ]
    print(align_columns(rows, ("version", "fiscal year", "from", "to", "DRGs")))
    return DONE


def _show(options: Options) -> int:
    check_writable(options.out)
    tables = TableSet.load(options.version, folder=options.folder)
    frames = {name: frame for name in vars(tables) if isinstance(frame := getattr(tables, name), pl.DataFrame)}
    if options.table is None:
        print(align_columns([(name, frame.height) for name, frame in frames.items()], ("table", "rows")))
        return DONE
    if options.table not in frames:
        hint = did_you_mean(options.table, frames) or f" Known: {', '.join(frames)}."
        raise InputError(f"no table {options.table!r}.{hint}")
    write_frame(frames[options.table], options.out)
    return DONE


def _verify(options: Options) -> int:
    found = verify(options.folder)
    wrong = found.filter(~pl.col("is_ok"))
    for subject, problem in wrong.select("subject", "problem").rows():
        print(f"{subject}: {problem}")
    print(f"{table_folder(options.folder)}: {found.height} checks, {wrong.height} wrong")
    return WRONG if wrong.height else DONE


def _diff(options: Options) -> int:
    check_writable(options.out)
    old = TableSet.load(options.old, folder=options.folder)
    new = TableSet.load(options.new, folder=options.new_folder or options.folder)
    changes = table_diff(old, new)
    write_frame(changes, options.out)
    counts = ", ".join(
        f"{number:,} {change}" for change, number in changes["change"].value_counts().sort("change").rows()
    )
    report_progress(options, f"{old.version} to {new.version}: {counts or 'no difference'}")
    return DONE


def _import(options: Options) -> int:
    dates = {version: (_day(first), _day(last)) for version, first, last in options.effective}
    made = import_release(Path(options.release), options.folder, base=options.base, effective=dates)
    print(f"{options.folder}: {', '.join(made)}")
    return DONE


def _day(text: str) -> dt.date:
    try:
        return dt.date.fromisoformat(text)
    except ValueError as error:
        raise InputError(f"--effective: {text!r} is no date such as 2027-10-01.") from error


def _scenarios(_options: Options) -> int:
    loaded = {name: Scenario.load(name) for name in presets()}
    print(
        align_columns(
            [(name, len(one.errors), one.title) for name, one in loaded.items()], ("scenario", "errors", "title")
        )
    )
    return DONE


def _scenario(options: Options) -> int:
    print(Scenario.load(options.scenario).dumps(), end="")
    return DONE


def _check(options: Options) -> int:
    scenario = Scenario.load(options.scenario)
    scenario.check(TableSet.load(options.version))
    labels = ", ".join(error.label for error in scenario.errors) or "no errors"
    print(f"{options.scenario}: usable with {options.version}: {labels}")
    return DONE


def _selftest(options: Options) -> int:
    found = selftest()
    print(align_columns(found.select("check", "compared", "wrong").rows(), ("check", "compared", "wrong")))
    wrong = found.filter(pl.col("wrong") > 0)
    for check, what, expected, got in wrong.select("check", "what", "expected", "found").rows():
        print(f"{check}: {what}: expected {expected}, found {got}")
    report_progress(options, "this installation differs" if wrong.height else "this installation works")
    return WRONG if wrong.height else DONE
