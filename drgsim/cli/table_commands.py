"""Commands on grouper versions and columns of claims: tables list, …; claims suggest, check."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

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
from drgsim.cli.shared_arguments import STREAM
from drgsim.exceptions import InputError, did_you_mean
from drgsim.tables.manifest import table_folder

_OUT = ".parquet or .csv; - (default) is CSV on standard output"


def add_tables_commands(commands: Commands) -> None:
    """Declare `drgsim tables` and its commands."""
    group = add_command_group(commands, "tables", does="look at grouper versions and the table folder")
    for add in (_add_list, _add_show, _add_verify, _add_diff, _add_import):
        add(group)


def _add_folder(parser: Parser) -> None:
    parser.add_argument("--folder", metavar="FOLDER", help="another table folder (default: the one drgsim reads)")


# ---------------------------------------------------------------------------------------------------------


def _add_list(group: Commands) -> None:
    parser = add_command(group, "list", _run_list, does="list the grouper versions", example="drgsim tables list")
    _add_folder(parser)


def _run_list(options: Options) -> int:
    from drgsim.tables.table_set import TableSet, versions

    loaded = [TableSet.load(version, folder=options.folder) for version in versions(folder=options.folder)]
    rows = [
        (one.version, str(one.fiscal_year), one.effective_from, one.effective_to, one.drg_titles.height, one.provenance)
        for one in loaded
    ]
    print(align_columns(rows, ("version", "fiscal year", "from", "to", "DRGs", "known from")))
    return DONE


# ---------------------------------------------------------------------------------------------------------


def _add_show(group: Commands) -> None:
    parser = add_command(
        group,
        "show",
        _run_show,
        does="show the size of each table of a version, or one table",
        example="drgsim tables show 43.1 formulas formulas.csv",
    )
    parser.add_argument("version", metavar="VERSION")
    parser.add_argument("table", metavar="TABLE", nargs="?", help="such as diagnoses or formulas")
    parser.add_argument("out", metavar="OUT", nargs="?", default=STREAM, help=_OUT)
    _add_folder(parser)


def _run_show(options: Options) -> int:
    import polars as pl

    from drgsim.cli.frame_files import check_writable, write_frame
    from drgsim.tables.table_set import TableSet

    check_writable(options.out)
    tables = TableSet.load(options.version, folder=options.folder)
    frames = {name: frame for name in vars(tables) if isinstance(frame := getattr(tables, name), pl.DataFrame)}
    if options.table is None:
        print(f"Version {tables.version} ({tables.provenance})")
        print(align_columns([(name, frame.height) for name, frame in frames.items()], ("table", "rows")))
        return DONE
    if options.table not in frames:
        hint = did_you_mean(options.table, frames) or f" Known: {', '.join(frames)}."
        raise InputError(f"no table {options.table!r}.{hint}")
    write_frame(frames[options.table], options.out)
    return DONE


# ---------------------------------------------------------------------------------------------------------


def _add_verify(group: Commands) -> None:
    parser = add_command(
        group,
        "verify",
        _run_verify,
        does="check every file by its sha256, and load every version, rate and scenario",
        example="drgsim tables verify --folder my_tables",
        about="Ends with code 1 if anything is wrong.",
    )
    _add_folder(parser)


def _run_verify(options: Options) -> int:
    import polars as pl

    from drgsim.releases.verification import verify

    checks = verify(options.folder)
    wrong = checks.filter(~pl.col("is_ok"))
    for subject, problem in wrong.select("subject", "problem").rows():
        print(f"{subject}: {problem}")
    print(f"{table_folder(options.folder)}: {checks.height} checks, {wrong.height} wrong")
    return WRONG if wrong.height else DONE


# ---------------------------------------------------------------------------------------------------------


def _add_diff(group: Commands) -> None:
    parser = add_command(
        group,
        "diff",
        _run_diff,
        does="list what is new, deleted or changed between two versions",
        example="drgsim tables diff 43.1 44.0 changes.csv",
    )
    parser.add_argument("old", metavar="OLD")
    parser.add_argument("new", metavar="NEW")
    parser.add_argument("out", metavar="OUT", nargs="?", default=STREAM, help=_OUT)
    _add_folder(parser)
    parser.add_argument("--new-folder", metavar="FOLDER", help="the table folder of NEW (default: that of OLD)")


def _run_diff(options: Options) -> int:
    from drgsim.cli.frame_files import check_writable, write_frame
    from drgsim.releases.version_diff import table_diff
    from drgsim.tables.table_set import TableSet

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


# ---------------------------------------------------------------------------------------------------------


def _add_import(group: Commands) -> None:
    parser = add_command(
        group,
        "import",
        _run_import,
        does="make a table folder from a CMS grouper release",
        example="drgsim tables import grouper.zip my_tables\n"
        "drgsim tables import grouper.zip my_tables --effective 45.0 2027-10-01 2028-03-31",
    )
    parser.add_argument("release", metavar="RELEASE", help="the published archive, or its data file")
    parser.add_argument("folder", metavar="FOLDER", help="folder to create")
    parser.add_argument(
        "--base", metavar="FOLDER", help="table folder for what a release lacks (default: the shipped one)"
    )
    parser.add_argument(
        "--effective",
        nargs=3,
        action="append",
        default=[],
        metavar=("VERSION", "FIRST", "LAST"),
        help="first and last day of discharge of a version that drgsim does not know",
    )


def _run_import(options: Options) -> int:
    from drgsim.releases.cms_import import import_release

    dates = {version: (_parse_day(first), _parse_day(last)) for version, first, last in options.effective}
    imported = import_release(Path(options.release), options.folder, base=options.base, effective=dates)
    print(f"{options.folder}: {', '.join(imported)}")
    return DONE


def _parse_day(text: str) -> dt.date:
    try:
        return dt.date.fromisoformat(text)
    except ValueError as error:
        raise InputError(f"--effective: {text!r} is no date such as 2027-10-01.") from error


# ---------------------------------------------------------------------------------------------------------


def add_claims_commands(commands: Commands) -> None:
    """Declare `drgsim claims` and its commands."""
    group = add_command_group(commands, "claims", does="say which column of a file holds which field")
    _add_suggest(group)
    _add_check(group)


def _add_suggest(group: Commands) -> None:
    parser = add_command(
        group,
        "suggest",
        _run_suggest,
        does="propose which column of a file holds which field",
        example="drgsim claims suggest export.csv columns.toml",
        about="Writes a TOML file for --columns. Its comments say what to look at; they show patterns, no cells.",
    )
    parser.add_argument("file", metavar="FILE", help="a table with one row a claim (.csv, .txt, .parquet, .xlsx)")
    parser.add_argument(
        "out", metavar="OUT", nargs="?", default=STREAM, help=".toml; - (default) writes to standard output"
    )


def _run_suggest(options: Options) -> int:
    from drgsim.claims.column_suggestions import suggest_columns

    suggestions = suggest_columns(options.file)
    if options.out == STREAM:
        print(suggestions, end="")
    else:
        suggestions.save(options.out)
    fields, notes = len(suggestions.columns), len(suggestions.notes)
    report_progress(options, f"{fields} fields proposed, {notes} to look at")
    return DONE


# ---------------------------------------------------------------------------------------------------------


def _add_check(group: Commands) -> None:
    parser = add_command(
        group,
        "check",
        _run_check,
        does="list every problem of a file under a mapping of columns",
        example="drgsim claims check export.csv --columns columns.toml",
        about="Each line has column, problem, count, pattern and remedy; no cell of the file is shown. "
        "Exit code 1 where there is a problem that has a remedy.",
    )
    parser.add_argument("file", metavar="FILE", help="a table with one row a claim (.csv, .txt, .parquet, .xlsx)")
    parser.add_argument("--columns", metavar="FILE", required=True, help="TOML file, as `drgsim claims suggest` writes")


def _run_check(options: Options) -> int:
    from drgsim.claims.own_columns import check_claim_columns

    problems = check_claim_columns(options.file, options.columns)
    rows = [tuple("" if cell is None else cell for cell in row) for row in problems.rows()]
    if rows:
        print(align_columns(rows, problems.columns))
    has_remedy = int((problems["remedy"] != "").sum())
    report_progress(options, f"{has_remedy} of {problems.height} lines to mend")
    return WRONG if has_remedy else DONE
