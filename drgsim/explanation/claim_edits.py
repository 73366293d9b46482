"""The edits of one claim with the codes that have them."""

from __future__ import annotations

import polars as pl

from drgsim.editing.code_editor import edit
from drgsim.schema import CLAIMS_TO_EDIT, check_frame, normalise_codes
from drgsim.tables.encoding import flatten_lists
from drgsim.tables.manifest import read_manifest
from drgsim.tables.table_set import TableSet

CLAIM_EDITS = {"edit": pl.String(), "count": pl.Int32(), "codes": pl.List(pl.String())}
_DATE = "discharge_date"


def list_claim_edits(admission: pl.DataFrame, tables: TableSet) -> pl.DataFrame:
    """Return `edit`, `count` and `codes` of an admission's edits.

    There are none where the table folder has no tables of edits.

    Args:
        admission: (1,) row of `schema.ADMISSIONS`; without a discharge date it is edited on the version's first day.
        tables: the grouper version, whose folder the tables of edits are read from.

    >>> one = pl.DataFrame({"admission_id": [1], "age": [54], "sex": ["M"], "discharge_status": [1], "pdx": ["O80"],
    ...                     "sdx": [["Z37.0"]], "procedures": [[]]})
    >>> list_claim_edits(one, TableSet.load("40.0")).rows()
    [('SEX_CONFLICT', 2, ['O80', 'Z370'])]
    """
    if "editing/edits.csv" not in read_manifest(tables.folder)["files"]:
        return pl.DataFrame(schema=CLAIM_EDITS)
    if _DATE not in admission.columns or admission[_DATE].null_count():
        admission = admission.with_columns(pl.lit(tables.effective_from).alias(_DATE))
    found = edit(check_frame(admission, CLAIMS_TO_EDIT), detail=True, folder=tables.folder)
    places: list[tuple[str, list[str]]] = []
    for column, marks in (("pdx", "pdx_edits"), ("sdx", "sdx_edits"), ("procedures", "proc_edits")):
        listed = column != "pdx"
        codes = normalise_codes(flatten_lists(found[column]) if listed else found[column]).fill_null("").to_list()
        places += zip(codes, found[marks].item().to_list() if listed else found[marks].to_list(), strict=True)
    if "admit_dx" in found.columns:
        places += [(normalise_codes(found["admit_dx"]).item() or "", found["admit_dx_edits"].item().to_list())]
    rows = [
        (name, count, [code for code, marks in places if name in marks])
        for name, count in zip(found["edits"].item(), found["edit_counts"].item(), strict=True)
    ]
    return pl.DataFrame(rows, schema=CLAIM_EDITS, orient="row")
