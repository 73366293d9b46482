"""Bills held against the Medicare Code Editor: which errors make CMS return a bill."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from drgsim.editing.code_editor import edit_claims
from drgsim.editing.edit_reports import find_prepayment
from drgsim.editing.edit_rules import SEX_NUMBERS, EditRules, compile_edit_rules
from drgsim.editing.encoded_claims import NO_STAY, EncodedClaims
from drgsim.exceptions import InputError, did_you_mean
from drgsim.numerics.arrays import BoolArray, ByteArray, Int32Array, Int64Array
from drgsim.numerics.parallel import run_over_spans
from drgsim.numerics.segments import expand_rows
from drgsim.rebilling.code_changes import ChangeKind, CodeChanges, apply_changes
from drgsim.schema import ADMISSIONS, check_frame
from drgsim.tables.codebook import number_letters
from drgsim.tables.edit_tables import EditTables
from drgsim.tables.encoding import Encoded
from drgsim.tables.table_set import TableSet

EDITS = ("ignored", "returned")


def is_returning(edits: str) -> bool:
    """Whether bills with prepayment edits are returned.

    Raises:
        InputError: `edits` is neither of EDITS.
    """
    if edits not in EDITS:
        raise InputError(f"edits is {edits!r}, expected one of {', '.join(EDITS)}.{did_you_mean(str(edits), EDITS)}")
    return edits == "returned"


@dataclass(frozen=True, eq=False)
class BillEditor:
    """What the editor needs of admissions beside their codes, (n,) each.

    Attributes:
        rules: the rules of claim edits.
        diagnosis, procedure: the editor's number of each code number of the grouper.
        ranges: ranges of discharge dates (see `EditRules`).
        sex: the editor's number of the sex.
        age: [years], -1 where not known.
        los: length of stay [days].
        encoded: the admissions as correctly coded.
        has_prepayment: whether an admission has a prepayment edit as correctly coded.
    """

    rules: EditRules
    diagnosis: Int32Array
    procedure: Int32Array
    ranges: Int64Array
    sex: ByteArray
    age: Int64Array
    los: Int32Array
    encoded: Encoded
    has_prepayment: BoolArray

    @classmethod
    def of(cls, admissions: pl.DataFrame, encoded: Encoded, age: Int64Array, tables: TableSet) -> BillEditor:
        """Edit admissions as correctly coded.

        A missing code in a list counts here as an invalid one.

        Raises:
            SchemaError: the admissions have no `discharge_date`.
        """
        frame = check_frame(admissions, ADMISSIONS, needs=("discharge_date",))
        rules = compile_edit_rules(EditTables.load(folder=tables.folder))
        los = frame["los_days"].fill_null(NO_STAY).to_numpy() if "los_days" in frame.columns else None
        editor = cls(
            rules=rules,
            diagnosis=np.append(0, rules.diagnoses.book.numbers(tables.all_diagnoses)).astype(np.int32),
            procedure=np.append(0, rules.procedures.book.numbers(tables.all_procedures)).astype(np.int32),
            ranges=rules.find_ranges(frame["discharge_date"]),
            sex=number_letters(frame["sex"].fill_null("U"), SEX_NUMBERS, tidy=True),
            age=age,
            los=np.full(len(frame), NO_STAY, np.int32) if los is None else los,
            encoded=encoded,
            has_prepayment=np.zeros(len(frame), np.bool_),
        )
        rows = np.arange(len(frame))
        parts = run_over_spans(len(frame), lambda a, b: editor._edit(encoded.rows(a, b), rows[a:b], age[a:b]))
        return replace(editor, has_prepayment=np.concatenate(parts))

    def find_edited(self, changes: CodeChanges, start: Int64Array) -> BoolArray:
        """Return which bills have a prepayment edit and none as correctly coded, (b,).

        Args:
            changes, start: the changes of each bill, as in `Baseline.rebill`.
        """
        which = np.flatnonzero(~self.has_prepayment[changes.row[start[:-1]]])

        def edit_span(a: int, b: int) -> BoolArray:
            own, bill = expand_rows(start, which[a:b])
            mine = changes.take(own)
            rows = changes.row[start[:-1][which[a:b]]]
            age = self.age[rows]
            aged = mine.kind == ChangeKind.AGE
            age[bill[aged]] = mine.after[aged]
            return self._edit(apply_changes(self.encoded.take(rows), replace(mine, row=bill)), rows, age)

        found = np.zeros(len(start) - 1, np.bool_)
        found[which] = np.concatenate([np.zeros(0, np.bool_), *run_over_spans(len(which), edit_span)])
        return found

    def _edit(self, encoded: Encoded, rows: Int64Array, age: Int64Array) -> BoolArray:
        """Return which claims have a prepayment edit, (k,); `rows` are their admissions."""
        sex = np.where(encoded.sex > 0, encoded.sex, self.sex[rows])
        # A sex that an error made unknown is U; one that never was M or F stays what it is.
        sex[(encoded.sex == 0) & np.isin(sex, (SEX_NUMBERS["M"], SEX_NUMBERS["F"]))] = SEX_NUMBERS["U"]
        pdx, sdx = self.diagnosis.take(encoded.pdx), self.diagnosis.take(encoded.sdx)
        claims = EncodedClaims(
            ranges=self.ranges[rows],
            age=age.astype(np.int32),
            sex=sex.astype(np.uint8),
            status_place=encoded.status_place,
            los_days=self.los[rows],
            pdx=pdx,
            admit_dx=np.full(len(rows), self.rules.diagnoses.blank, np.int32),
            sdx=sdx,
            sdx_start=encoded.sdx_start,
            sdx_row=encoded.sdx_row,
            procedures=self.procedure.take(encoded.procedures),
            procedure_start=encoded.procedure_start,
            procedure_row=encoded.procedure_row,
            is_pdx_missing=np.zeros(len(rows), np.bool_),
            duplicates=np.flatnonzero((sdx == pdx.take(encoded.sdx_row)) & (sdx > 0)),
        )
        return find_prepayment(edit_claims(claims, self.rules), self.rules.counts_for_payment)
