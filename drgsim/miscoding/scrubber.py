"""Guards: an error is refused if a claim scrubber would stop the claim.

Source: Medicare Code Editor (age and sex conflicts, manifestation and external-cause codes as principal
diagnosis); the CMS list of diagnoses exempt from POA reporting.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from drgsim.numerics.arrays import BoolArray, Int32Array, Int64Array
from drgsim.numerics.segments import expand_rows
from drgsim.rebilling.baseline import UNKNOWN_NUMBER, Baseline, compute_filter_bits
from drgsim.rebilling.code_changes import ChangeKind, CodeChanges
from drgsim.tables.code_limits import EITHER, load_code_limits

REFUSALS = (
    "",
    "no candidate",
    "not a code of the version",
    "already on the claim",
    "cannot be principal",
    "conflicts with sex",
    "conflicts with age",
    "exempt from POA",
    "excluded by the principal diagnosis",
    "the same code has another error",
)
"""Why an error was not made; the first entry means that it was made."""


def find_refusals(
    changes: CodeChanges, baseline: Baseline, *, guarded: bool = True, excluded: bool = True
) -> NDArray[np.uint8]:
    """Return why each change is refused, (k,), a place in `REFUSALS`; 0 where it is not.

    Args:
        changes: (k,) changes of admissions; each is checked as if it were the only one.
        baseline: the admissions.
        guarded: if False, a code must only be valid and not on the claim yet.
        excluded: whether a code may be added that the principal diagnosis excludes.
    """
    found = np.zeros(len(changes), np.uint8)
    legal, kinds = (
        load_code_limits(baseline.tables),
        np.flatnonzero(np.bincount(changes.kind, minlength=len(ChangeKind))),
    )

    def refuse(why: str, which: BoolArray, among: Int64Array) -> None:
        some = among[which]
        found[some[found[some] == 0]] = REFUSALS.index(why)

    for kind in kinds.tolist():
        at = np.flatnonzero(changes.kind == kind) if len(kinds) > 1 else np.arange(len(changes))
        row, after = changes.row[at], changes.after[at]
        if kind in (ChangeKind.PDX, ChangeKind.SWAP_PDX, ChangeKind.SDX, ChangeKind.ADD_SDX):
            refuse("not a code of the version", (after > 0) & ~legal.dx_valid[after], at)
            if kind != ChangeKind.SWAP_PDX:
                refuse("already on the claim", (after > 0) & _is_on_claim(row, after, baseline), at)
            if kind == ChangeKind.ADD_SDX and not excluded:
                hit = baseline.rules.diagnoses.is_excluded(baseline.encoded.pdx[row], np.arange(len(row)), after)
                refuse("excluded by the principal diagnosis", hit, at)
            if guarded:
                if kind in (ChangeKind.PDX, ChangeKind.SWAP_PDX):
                    refuse("cannot be principal", (after > 0) & ~legal.may_be_pdx[after], at)
                refuse("conflicts with sex", _conflicts(legal.dx_sex[after], baseline.encoded.sex[row]), at)
                age = baseline.age[row]
                outside = (age < legal.dx_min_age[after]) | (age > legal.dx_max_age[after])
                refuse("conflicts with age", outside & (age != UNKNOWN_NUMBER) & (after > 0), at)
        elif kind in (ChangeKind.PROCEDURE, ChangeKind.ADD_PROCEDURE):
            refuse("not a code of the version", (after > 0) & ~legal.procedure_valid[after], at)
            if guarded:
                refuse("conflicts with sex", _conflicts(legal.procedure_sex[after], baseline.encoded.sex[row]), at)
        elif kind == ChangeKind.SEX and guarded:
            refuse("conflicts with sex", _has_code_of_other_sex(row, after, baseline), at)
        elif kind == ChangeKind.POA and guarded:
            code = baseline.encoded.sdx[baseline.encoded.sdx_start[row] + changes.place[at]]
            refuse("exempt from POA", legal.poa_exempt[code], at)
    return found


def _conflicts(of_code: NDArray[np.uint8], sex: NDArray[np.uint8]) -> BoolArray:
    conflicts: BoolArray = (of_code != EITHER) & (sex != EITHER) & (of_code != sex)
    return conflicts


def _is_on_claim(row: Int64Array, code: Int32Array, baseline: Baseline) -> BoolArray:
    """Return which admissions already have the diagnosis, (k,)."""
    found: BoolArray = baseline.encoded.pdx[row] == code
    maybe = np.flatnonzero(baseline.code_filter[row] & compute_filter_bits(code))
    position, of = expand_rows(baseline.encoded.sdx_start, row[maybe])
    found[maybe[of[baseline.encoded.sdx[position] == code[maybe][of]]]] = True
    return found


def _has_code_of_other_sex(row: Int64Array, sex: Int32Array, baseline: Baseline) -> BoolArray:
    """Return which admissions have a code in conflict with a sex, (k,)."""
    legal = load_code_limits(baseline.tables)
    own = legal.dx_sex[baseline.encoded.pdx[row]]
    found: BoolArray = (own != EITHER) & (own != sex)
    for codes, start, of_code in (
        (baseline.encoded.sdx, baseline.encoded.sdx_start, legal.dx_sex),
        (baseline.encoded.procedures, baseline.encoded.procedure_start, legal.procedure_sex),
    ):
        position, of = expand_rows(start, row)
        own = of_code[codes[position]]
        found[of[(own != EITHER) & (own != sex[of])]] = True
    return found
