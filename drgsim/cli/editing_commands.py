"""The command that holds claims against the Medicare Code Editor: edit."""

from __future__ import annotations

import polars as pl

from drgsim.cli.console import DONE, Commands, Options, add_command, report_progress
from drgsim.cli.frame_files import check_writable, write_frame
from drgsim.cli.shared_arguments import add_claims, add_output, read_admissions
from drgsim.editing.code_editor import edit


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
