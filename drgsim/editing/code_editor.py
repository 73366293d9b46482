"""Claim edits in bulk: `edit()` applies the Medicare Code Editor, check by check.

Source: CMS Medicare Code Editor; the rules are established by runs of release 43.1 and by its tables.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from drgsim.editing.edit_names import Edit
from drgsim.editing.edit_reports import FoundEdits, report_claims, report_each_code
from drgsim.editing.edit_rules import AGE_GROUPS, SEX_NUMBERS, CodeFlags, EditRules, compile_edit_rules
from drgsim.editing.encoded_claims import EncodedClaims, encode_claims
from drgsim.files.foreign_frames import accept_frames
from drgsim.numerics.arrays import BoolArray, ByteArray, Int64Array, UInt32Array
from drgsim.numerics.parallel import run_over_spans
from drgsim.numerics.segments import is_among, or_into
from drgsim.schema import CLAIMS_TO_EDIT, check_frame
from drgsim.tables.codebook import UNKNOWN_CODE
from drgsim.tables.edit_tables import VALID, EditTables

_SPAN = 65_536
"""Rows edited at a time: their codes stay in the cache of a core."""

# Diagnoses that decide about procedures (edits 8, 11 and 17).
_ANY_DX = ("islet_failure", "leukemia", "myeloma", "sterilization", "clinical_trial")
_SDX_ONLY = ("delivery_outcome",)
_ANY_PROCEDURE = ("kidney_transplant", "heart_replacement_right", "heart_replacement_left")

_OF_ANY_DX = {"wrong_procedure": Edit.WRONG_PROCEDURE_PERFORMED, "unspecified": Edit.UNSPECIFIED}
_OF_PDX = {
    "external_cause": Edit.E_CODE_AS_PDX,
    "manifestation": Edit.MANIFESTATION_AS_PDX,
    "questionable_admission": Edit.QUESTIONABLE_ADMISSION,
}


@accept_frames
def edit(
    admissions: pl.DataFrame,
    *,
    detail: bool = False,
    as_typed: bool = False,
    folder: str | os.PathLike[str] | None = None,
) -> pl.DataFrame:
    """Apply CMS's claim edits (Medicare Code Editor) to admissions.

    The discharge date decides which codes are valid and which rules hold; POA, DRG, hospital and payer decide
    nothing, and no edit changes a DRG.

    Args:
        admissions: (n,) rows of `schema.CLAIMS_TO_EDIT` with `discharge_date`; `los_days` and `admit_dx` are read
            where they are there. Other columns pass through, rows keep their order.
        detail: add the edits of each code, lists aligned with the input (`schema.EDIT_DETAIL`).
        as_typed: read codes letter by letter as CMS's program does, where a code with a dot or a blank is not valid;
            by default they are taken with or without the dot, in either case, with blanks around them, as in `group`.
        folder: a table folder of your own; by default the shipped one.

    Returns:
        The input with the columns of `schema.EDITED`; columns of these names are replaced. `edit_type` is PREPAYMENT
        where an edit other than INVALID_ADMIT_DX is found, INVALID_DISCHARGE_DATE where there is no date or the tables
        do not cover it (nothing else is edited then), otherwise NONE. A missing or absurd age, sex, status or stay is
        never an exception: see `docs/edits.md`.

    Raises:
        SchemaError: a column is missing or of the wrong type; the message says which.
        TableError: a table of edits is missing, altered or malformed.

    Source: CMS Medicare Code Editor 43.1; for discharges from 2026-10-01 the tables of 44.0.

    >>> import datetime as dt
    >>> one = pl.DataFrame({"admission_id": [1], "age": [54], "sex": ["F"], "discharge_status": [1], "pdx": ["O80"],
    ...                     "sdx": [["Z37.0", "O80"]], "procedures": [["10E0XZZ"]],
    ...                     "discharge_date": [dt.date(2026, 5, 4)]})
    >>> edit(one).select("edit_type", "edits", "edit_counts").row(0)
    ('PREPAYMENT', ['DUPLICATE_OF_PDX'], [1])
    """
    frame = check_frame(admissions, CLAIMS_TO_EDIT, needs=("discharge_date",))
    rules = compile_edit_rules(EditTables.load(folder=folder))

    def edit_span(start: int, stop: int) -> pl.DataFrame:
        found = edit_claims(encode_claims(frame[start:stop], rules, as_typed=as_typed), rules)
        report = report_claims(found, rules.counts_for_payment)
        return report.hstack(report_each_code(found)) if detail else report

    return admissions.with_columns(pl.concat(run_over_spans(len(frame), edit_span, _SPAN), rechunk=True))


@dataclass(frozen=True, eq=False)
class _Marks:
    """Codes that have edits or flags: position, row, flags, edits, and age group that conflicts."""

    at: Int64Array
    row: NDArray[np.integer]
    word: UInt32Array
    edits: UInt32Array
    age_group: ByteArray


def edit_claims(claims: EncodedClaims, rules: EditRules) -> FoundEdits:
    """Return the edits of encoded claims: the editor's checks, in its order."""
    version = rules.version[claims.ranges]
    principal = _edit_pdx(claims, rules, version)
    secondary = _edit_sdx(claims, rules, version)
    procedures = _edit_procedures(claims, rules, version, principal, secondary)
    return FoundEdits(
        claims=claims,
        is_dated=rules.is_dated[claims.ranges],
        claim_edits=_edit_claim_fields(claims, rules),
        pdx=principal.at,
        pdx_edits=principal.edits,
        pdx_age_group=principal.age_group,
        sdx=secondary.at,
        sdx_edits=secondary.edits,
        sdx_age_group=secondary.age_group,
        procedures=procedures.at,
        procedure_edits=procedures.edits,
        admit_dx_edits=_edit_admit_dx(claims, rules, version),
    )


def _edit_claim_fields(claims: EncodedClaims, rules: EditRules) -> UInt32Array:
    """Edit age, sex and discharge status (edits 14, 15, 16)."""
    ranges, found = claims.ranges, np.zeros(len(claims), np.uint32)
    found[rules.is_outside("claim", ranges, claims.age)] |= Edit.INVALID_AGE.bit
    found[~rules.sex_valid[ranges, claims.sex]] |= Edit.INVALID_SEX.bit
    found[~rules.status_valid[ranges, claims.status_place]] |= Edit.INVALID_DISCHARGE_STATUS.bit
    found[~rules.is_dated[ranges]] = 0
    return found


def _edit_pdx(claims: EncodedClaims, rules: EditRules, version: Int64Array) -> _Marks:
    """Edit principal diagnoses; `at` is the row. A blank one is no valid code (edit 1)."""
    flags = rules.diagnoses
    numbers = np.where(claims.pdx == flags.blank, UNKNOWN_CODE, claims.pdx)
    words = flags.look_up(version, numbers)
    at = np.flatnonzero(words != VALID)
    marks = _edit_any_diagnosis(at, at, words[at], claims, rules)
    for flag, found in _OF_PDX.items():
        marks.edits[marks.word & flags.bit[flag] > 0] |= np.uint32(found.bit)
    needs_sdx = marks.word & flags.bit["requires_secondary"] > 0
    alone = np.diff(claims.sdx_start)[at] == claims.is_pdx_missing[at]
    marks.edits[needs_sdx & alone] |= np.uint32(Edit.REQUIRES_SDX.bit)
    marks.edits[(marks.word & flags.bit["unacceptable"] > 0) & ~needs_sdx] |= np.uint32(Edit.UNACCEPTABLE_PDX.bit)
    return marks


def _edit_sdx(claims: EncodedClaims, rules: EditRules, version: Int64Array) -> _Marks:
    """Edit secondary diagnoses, without those that are edited as the principal one."""
    words = rules.secondary.look_up(version, claims.sdx, claims.sdx_row)
    is_marked = words != VALID
    is_marked[claims.duplicates] = True
    is_marked[claims.sdx_start[:-1][claims.is_pdx_missing]] = False
    at = np.flatnonzero(is_marked)
    row = claims.sdx_row[at]
    marks = _edit_any_diagnosis(at, row, words[at], claims, rules)
    duplicate = is_among(at, claims.duplicates) & rules.is_dated[claims.ranges[row]]
    marks.edits[duplicate] |= np.uint32(Edit.DUPLICATE_OF_PDX.bit)
    return marks


def _edit_any_diagnosis(
    at: Int64Array, row: NDArray[np.integer], word: UInt32Array, claims: EncodedClaims, rules: EditRules
) -> _Marks:
    """Apply the edits that principal and secondary diagnoses share (edits 1, 4, 5, 18, 20)."""
    flags = rules.diagnoses
    edits = np.where(word & VALID > 0, 0, Edit.INVALID_CODE.bit).astype(np.uint32)
    edits[_conflicts_with_sex(word, claims.sex[row], flags)] |= np.uint32(Edit.SEX_CONFLICT.bit)
    for flag, found in _OF_ANY_DX.items():
        edits[word & flags.bit[flag] > 0] |= np.uint32(found.bit)
    age_group = np.zeros(len(at), np.uint8)
    for group, flag in enumerate(AGE_GROUPS, start=1):
        some = np.flatnonzero(word & flags.bit[flag])
        outside = some[rules.is_outside(flag, claims.ranges[row[some]], claims.age[row[some]])]
        edits[outside] |= np.uint32(Edit.AGE_CONFLICT.bit)
        age_group[outside] = group
    return _Marks(at, row, word, edits, age_group)


def _conflicts_with_sex(word: UInt32Array, sex: ByteArray, flags: CodeFlags) -> BoolArray:
    """Return which codes are for the other sex; a sex that is not known conflicts with both."""
    of_male, of_female = word & flags.bit["male"] > 0, word & flags.bit["female"] > 0
    conflicts: BoolArray = (of_male & (sex != SEX_NUMBERS["M"])) | (of_female & (sex != SEX_NUMBERS["F"]))
    return conflicts


def _edit_procedures(
    claims: EncodedClaims, rules: EditRules, version: Int64Array, principal: _Marks, secondary: _Marks
) -> _Marks:
    """Edit each procedure beside the codes of its claim (edits 1, 5, 8, 11, 17, 19)."""
    flags = rules.procedures
    words = flags.look_up(version, claims.procedures, claims.procedure_row)
    at = np.flatnonzero(words != VALID)
    row, word = claims.procedure_row[at], words[at]
    edits = np.where(word & VALID > 0, 0, Edit.INVALID_CODE.bit).astype(np.uint32)
    edits[_conflicts_with_sex(word, claims.sex[row], flags)] |= np.uint32(Edit.SEX_CONFLICT.bit)
    on_claim = _flags_on_claims(claims, rules, principal, secondary)[row]

    def is_(*names: str) -> BoolArray:
        carried: BoolArray = word & flags.any_of(*names) > 0
        return carried

    def beside(name: str) -> BoolArray:
        there: BoolArray = on_claim & rules.diagnoses.bit[name] > 0
        return there

    procedures = _or_by_claim(len(claims), row, word & flags.any_of(*_ANY_PROCEDURE))[row]
    pair = flags.any_of("heart_replacement_right", "heart_replacement_left")
    both_hearts = (word & pair > 0) & (procedures & pair == pair)
    with_kidney = procedures & flags.bit["kidney_transplant"] > 0
    non_covered = (
        is_("noncovered")
        | (is_("pancreas_transplant") & ~with_kidney & ~beside("islet_failure"))
        | (is_("cells_leukemia") & beside("leukemia"))
        | (is_("cells_myeloma") & beside("myeloma"))
        | (is_("disc_prosthesis") & rules.is_outside("disc_prosthesis", claims.ranges[row], claims.age[row]))
        | (is_("sterilization") & beside("sterilization"))
        | (both_hearts & ~beside("clinical_trial"))
    )
    limited = (is_("limited") | both_hearts) & ~non_covered
    without_outcome = is_("cesarean", "vaginal_delivery") & ~beside("delivery_outcome")
    too_short = is_("ventilation") & rules.is_outside("ventilation", claims.ranges[row], claims.los_days[row])
    for found, which in (
        (Edit.NON_COVERED, non_covered),
        (Edit.LIMITED_COVERAGE, limited),
        (Edit.QUESTIONABLE_OBSTETRIC_ADMISSION, without_outcome),
        (Edit.INCONSISTENT_WITH_LENGTH_OF_STAY, too_short),
    ):
        edits[which] |= np.uint32(found.bit)
    return _Marks(at, row, word, edits, np.zeros(len(at), np.uint8))


def _flags_on_claims(claims: EncodedClaims, rules: EditRules, principal: _Marks, secondary: _Marks) -> UInt32Array:
    """Return the flags of each claim's diagnoses that decide about procedures, (n,) words."""
    flags = rules.diagnoses
    both = np.uint32(flags.any_of(*_ANY_DX))
    found = _or_by_claim(len(claims), secondary.row, secondary.word & (both | flags.any_of(*_SDX_ONLY)))
    found[principal.row] |= principal.word & both
    return found


def _or_by_claim(n: int, row: NDArray[np.integer], word: UInt32Array) -> UInt32Array:
    """Return the OR of words by row, (n,); rows ascend."""
    some = np.flatnonzero(word)
    found = np.zeros(n, np.uint64)
    or_into(found, row[some], word[some].astype(np.uint64))
    return found.astype(np.uint32)


def _edit_admit_dx(claims: EncodedClaims, rules: EditRules, version: Int64Array) -> UInt32Array:
    """Edit admitting diagnoses (edit 1), and mark conflicts of age and sex, which do not count."""
    words = rules.diagnoses.look_up(version, claims.admit_dx)
    at = np.flatnonzero(words != VALID)
    marks = _edit_any_diagnosis(at, at, words[at], claims, rules)
    kept = marks.edits & np.uint32(Edit.SEX_CONFLICT.bit | Edit.AGE_CONFLICT.bit)
    kept[marks.word & VALID == 0] = Edit.INVALID_ADMIT_DX.bit
    found = np.zeros(len(claims), np.uint32)
    found[at] = kept
    return found
