"""The edits that an ICD-10 claim can have, in the order in which they are reported."""

from __future__ import annotations

import os
from enum import IntEnum

import polars as pl

from drgsim.exceptions import TableError
from drgsim.tables.edit_tables import EditTables


class Edit(IntEnum):
    """An edit of the Medicare Code Editor; its number is its place in lists of edits.

    >>> Edit.AGE_CONFLICT.name, int(Edit.AGE_CONFLICT)
    ('AGE_CONFLICT', 2)
    """

    INVALID_CODE = 0
    SEX_CONFLICT = 1
    AGE_CONFLICT = 2
    QUESTIONABLE_ADMISSION = 3
    MANIFESTATION_AS_PDX = 4
    E_CODE_AS_PDX = 5
    UNACCEPTABLE_PDX = 6
    DUPLICATE_OF_PDX = 7
    REQUIRES_SDX = 8
    NON_COVERED = 9
    LIMITED_COVERAGE = 10
    QUESTIONABLE_OBSTETRIC_ADMISSION = 11
    INVALID_ADMIT_DX = 12
    INVALID_AGE = 13
    INVALID_SEX = 14
    INVALID_DISCHARGE_STATUS = 15
    WRONG_PROCEDURE_PERFORMED = 16
    INCONSISTENT_WITH_LENGTH_OF_STAY = 17
    UNSPECIFIED = 18

    @property
    def bit(self) -> int:
        """The edit as a bit of a word."""
        return 1 << self


def list_edits(*, folder: str | os.PathLike[str] | None = None) -> pl.DataFrame:
    """Return every edit in the order of reports.

    Its columns are `edit`, `number` (as published), `applies_to` and `edit_type`.

    Raises:
        TableError: the table folder names other edits than those the editor knows.

    >>> list_edits().row(2)
    ('AGE_CONFLICT', 4, 'diagnosis', 'PREPAYMENT')
    """
    edits = EditTables.load(folder=folder).edits
    order = {edit.name: int(edit) for edit in Edit}
    strange = set(edits["edit"]) ^ set(order)
    if strange:
        raise TableError(f"editing/edits.csv: {', '.join(sorted(strange))}: missing, or not known to the editor.")
    return edits.sort(pl.col("edit").replace_strict(order, return_dtype=pl.Int8))
