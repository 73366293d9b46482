"""Commands on claims as they are in files: edit; claims suggest, check."""

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
from drgsim.cli.shared_arguments import STREAM, add_claims, add_output


def add_edit_command(commands: Commands) -> None:
    """Declare `drgsim edit`."""
    parser = add_command(
        commands,
        "edit",
        _run_edit,
        does="apply CMS's claim edits (Medicare Code Editor)",
        example="drgsim edit claims.csv edited.parquet",
        about="Adds edit_type, edits and edit_counts; the version follows from discharge_date.",
    )
    add_claims(parser)
    add_output(parser)
    parser.add_argument("--detail", action="store_true", help="also write the edits of each code (Parquet)")
    parser.add_argument("--as-typed", action="store_true", help="a code with a dot or a blank is not valid, as for CMS")


def _run_edit(options: Options) -> int:
    import polars as pl

    from drgsim.cli.frame_files import check_writable, read_admissions, write_frame
    from drgsim.editing.code_editor import edit

    check_writable(options.out)
    edited = edit(read_admissions(options), detail=options.detail, as_typed=options.as_typed)
    write_frame(edited, options.out)
    returned = (edited["edit_type"] == "PREPAYMENT").sum()
    undated = (edited["edit_type"] == "INVALID_DISCHARGE_DATE").sum()
    report_progress(options, f"edited; {returned:,} with prepayment edits, {undated:,} without a usable date")
    names = edited.select(edit=pl.col("edits").explode()).drop_nulls()
    for name, count in names.group_by("edit").len().sort("len", "edit", descending=[True, False]).rows():
        report_progress(options, f"{name}: {count:,}")
    return DONE


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
