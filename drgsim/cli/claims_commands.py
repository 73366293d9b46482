"""Commands on files of claims with columns of any names: claims suggest, check."""

from __future__ import annotations

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
        "out", metavar="OUT", nargs="?", default="-", help=".toml; - (default) writes to standard output"
    )


def _run_suggest(options: Options) -> int:
    from drgsim.claims.column_suggestions import suggest_columns

    suggestions = suggest_columns(options.file)
    if options.out == "-":
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
