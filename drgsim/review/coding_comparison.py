"""Two codings of the same stays compared: codes, DRGs and dollars."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from drgsim.exceptions import InputError, SchemaError
from drgsim.files.foreign_frames import accept_frames
from drgsim.grouping.grouper import group_encoded
from drgsim.numerics.arrays import BoolArray, Int64Array
from drgsim.numerics.segments import find_run_starts
from drgsim.pricing.contracts import PriceTerms
from drgsim.rebilling.baseline import Baseline
from drgsim.rebilling.billed_claims import BilledClaims
from drgsim.rebilling.code_changes import ChangeKind
from drgsim.rebilling.shapley import attribute_changes
from drgsim.review.code_alignment import Differences, align_codings
from drgsim.review.comparison_results import CodingComparison
from drgsim.review.list_matching import number_codings
from drgsim.review.review_inputs import CODING, choose_status, price_drgs, require_columns, require_rates
from drgsim.schema import ADMISSIONS, check_frame
from drgsim.tables.encoding import HOSPITAL_STATUS, encode
from drgsim.tables.table_set import TableSet

_STAY = ("hospital_id", "discharge_date", "los_days", "covered_charges_usd")
"""Columns that describe the stay, not its coding."""


@accept_frames
def compare_codings(
    reference: pl.DataFrame,
    other: pl.DataFrame,
    *,
    tables: TableSet,
    hospitals: pl.DataFrame | None = None,
    rates: PriceTerms | None = None,
    coder: str | None = None,
    hospital_status: str | None = None,
) -> CodingComparison:
    """Compare another coding with a reference coding of the same stays.

    Such as coder and auditor, before and after clinical documentation improvement, or human and AI: the reference is
    the side held to be right. Stays are matched by `admission_id`. Codes that only one side has are aligned
    (`code_alignment`), and each difference is classed as the kind of coding error that would make it. A kind says
    what differs, not why: a code "added without support" is one that the reference lacks.

    Args:
        reference: (n,) `schema.ADMISSIONS`; with hospitals what `price` needs.
        other: (m,) the same stays, coded otherwise. Only `admission_id`, the codes, POA, discharge status, sex and age
            are read; all else, such as charges, is that of the reference.
        tables: the grouper version of both.
        hospitals: `schema.HOSPITALS`; with None the dollars are weight times a base rate.
        rates: as `price` takes them; with None there are no dollars.
        coder: a column of either side that names the coder; intervals then count coders, not stays.
        hospital_status: as in `group`; None means NON_EXEMPT if both sides have POA, else EXEMPT.

    Returns:
        A `CodingComparison`.

    Raises:
        InputError: ids are missing or not unique, no stay is in both, a stay differs in more than its coding, or
            hospitals without rates.
        SchemaError: one side alone has POA, there is no such column, or as `group` and `price`.

    >>> from drgsim import Rates
    >>> one = pl.DataFrame({"admission_id": [1], "age": [54], "sex": ["F"], "discharge_status": [1], "pdx": ["K810"],
    ...                     "sdx": [["J9601", "I10"]], "sdx_poa": [["Y", "Y"]], "procedures": [["0FT44ZZ"]]})
    >>> missed = one.with_columns(sdx=pl.Series([["I10"]]), sdx_poa=pl.Series([["Y"]]))
    >>> found = compare_codings(one, missed, tables=TableSet.load("43.1"), rates=Rates.load(2026))
    >>> found.differences().select("kind", "code_before", "drg", "other_drg", "usd_change").row(0)
    ('sdx_omit', 'J9601', 417, 419, -7426.66)
    """
    require_rates(hospitals, rates)
    pair = _match_stays(reference, other, coder)
    one, two = pair.reference, pair.other
    status = choose_status(two, hospital_status)
    baseline = Baseline.of(one, tables=tables, hospitals=hospitals, rates=rates, hospital_status=status)
    encoded = encode(two, tables, hospital_status=status)
    grouping = group_encoded(encoded, tables)
    cents = np.zeros(len(one), np.int64)
    if rates is not None:
        cents = price_drgs(two.with_columns(pl.Series("drg", grouping.drg)), hospitals, rates)[1]
    sides, texts = number_codings((one, two), (baseline.encoded, encoded), tables)
    differences = align_codings(*sides, texts, baseline)
    change = cents - baseline.pricer.cents
    return CodingComparison(
        baseline=baseline,
        other=two,
        grouping=grouping,
        change=change,
        found=differences,
        contributions=_attribute(differences, change, baseline),
        sides=sides,
        texts=texts,
        only_in_reference=pair.only_in_reference,
        only_in_other=pair.only_in_other,
        coder=coder,
        priced=rates is not None,
    )


# ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Pair:
    """Both sides of the matched stays, in order of ids, and the ids of the others."""

    reference: pl.DataFrame
    other: pl.DataFrame
    only_in_reference: pl.Series
    only_in_other: pl.Series


def _match_stays(reference: pl.DataFrame, other: pl.DataFrame, coder: str | None) -> _Pair:
    """Match stays by id. The other side has the stay's columns of the reference."""
    ids = []
    for frame, side in ((reference, "reference"), (other, "other")):
        own = check_frame(frame, ADMISSIONS)["admission_id"]
        if own.null_count() or own.is_duplicated().any():
            row = (own.is_null() | own.is_duplicated()).arg_max()
            raise InputError(
                f"{side}: the admission_id of row {row} is missing or comes more than once. Stays are matched by it."
            )
        ids.append(own)
    if ("sdx_poa" in reference.columns) != ("sdx_poa" in other.columns):
        raise SchemaError("one coding has sdx_poa and the other has not. Add it, or drop it from both.")
    one, two = (pl.DataFrame({"admission_id": own}).with_row_index("row") for own in ids)
    both = one.join(two, on="admission_id", suffix="_other").sort("admission_id")
    if both.is_empty():
        raise InputError("no admission_id is in both codings.")
    left, right = _take_rows(reference, both["row"]), _take_rows(other, both["row_other"])
    _refuse_other_stays(left, right)
    if coder is not None and coder not in left.columns:
        require_columns(right, [coder], "the codings")
    coded = [name for name in CODING if name in right.columns]
    more = [name for name in right.columns if name not in left.columns and name not in CODING]
    dropped = [name for name in CODING if name in left.columns and name not in coded]
    again = left.drop(dropped).with_columns(right.select(*coded, *more).get_columns())
    if coder is not None and coder in right.columns:
        left = left.with_columns(right[coder])
    only = [a.filter(~a.is_in(b.implode())).sort() for a, b in (ids, ids[::-1])]
    return _Pair(left, again, only[0], only[1])


def _take_rows(frame: pl.DataFrame, rows: pl.Series) -> pl.DataFrame:
    """Return rows of a frame; the frame itself where these are all its rows in order."""
    is_whole = len(rows) == len(frame) and np.array_equal(rows.to_numpy(), np.arange(len(frame)))
    return frame if is_whole else frame[rows]


def _refuse_other_stays(left: pl.DataFrame, right: pl.DataFrame) -> None:
    """Raise InputError where the stays differ: dollars would differ for another reason."""
    a, b = check_frame(left, ADMISSIONS), check_frame(right, ADMISSIONS)
    for name in _STAY:
        if name in a.columns and name in b.columns:
            differs = a[name].ne_missing(b[name])
            if differs.any():
                raise InputError(
                    f"{name} differs between the codings in {int(differs.sum()):,} stays, first where admission_id is "
                    f"that of matched stay {differs.arg_max()}. Two codings are of the same stay: correct it, or drop "
                    f"{name} from the other coding."
                )


def _attribute(found: Differences, change: Int64Array, baseline: Baseline) -> Int64Array:
    """Return what each kind of difference of a stay contributes to its payment change.

    (k, 3): row, place in `KINDS`, and cents; those of a row add up to its change. Kinds that contribute nothing may
    be left out.
    """
    kept = np.flatnonzero(_may_matter(found, change, baseline))
    changes, kind = found.changes.take(kept), found.kind[kept]
    if not len(kept):
        return np.zeros((0, 3), np.int64)
    first = find_run_starts(changes.row)
    claims = BilledClaims(
        replicate=np.zeros(len(first), np.int64),
        row=changes.row[first],
        start=np.append(first, len(kept)),
        changes=changes,
        error=kind,
    )
    nothing = np.zeros(len(claims), np.bool_)
    shares = attribute_changes(claims, change[claims.row], nothing, baseline, unpaid=True)
    return np.stack([claims.row[shares.claim], shares.error.astype(np.int64), shares.shapley], axis=1)


def _may_matter(found: Differences, change: Int64Array, baseline: Baseline) -> BoolArray:
    """Return which changes may change a payment, whatever else is changed, (k,).

    A change between codes without severity and operands cannot, unless a rule asks about all codes: an incident
    principal diagnosis, or a hospital whose POA reporting is not known.
    """
    changes, rules = found.changes, baseline.rules
    of_dx = np.isin(changes.kind, (ChangeKind.SDX, ChangeKind.ADD_SDX))
    of_procedure = np.isin(changes.kind, (ChangeKind.PROCEDURE, ChangeKind.ADD_PROCEDURE))
    matters = np.ones(len(changes), np.bool_)
    for which, is_empty in (
        (of_dx, rules.diagnoses.kind == 0),
        (of_procedure, rules.procedures.operand_set == 0),
    ):
        at = np.flatnonzero(which)
        matters[at] = ~(is_empty[changes.before[at]] & is_empty[changes.after[at]])
    at = np.flatnonzero(changes.kind == ChangeKind.POA)
    kinds = rules.diagnoses
    matters[at] = kinds.kind_hac[
        kinds.kind[baseline.encoded.sdx[baseline.encoded.sdx_start[changes.row[at]] + changes.place[at]]]
    ]
    matters |= baseline.pricer.may_change_price(changes)
    by_count = baseline.visibility.incident_pdx | (baseline.encoded.hospital_status == HOSPITAL_STATUS["UNKNOWN"])
    by_count[changes.row[changes.kind == ChangeKind.PDX]] = True
    explained = np.zeros(len(baseline), np.bool_)
    explained[changes.row[matters]] = True
    whole: BoolArray = by_count | ((change != 0) & ~explained)
    return matters | whole[changes.row]
