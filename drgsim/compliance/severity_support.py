"""How many CCs and MCCs support the severity of an admission's DRG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from drgsim.files.foreign_frames import accept_frames
from drgsim.grouping.code_attributes import SEVERITIES, compile_attributes
from drgsim.grouping.grouper import run_steps
from drgsim.grouping.grouping_steps import Steps
from drgsim.numerics.arrays import BoolArray, UInt16Array
from drgsim.numerics.parallel import run_over_spans
from drgsim.tables.codebook import Codebook
from drgsim.tables.encoding import Encoded, check_admissions, encode_span
from drgsim.tables.table_set import TableSet


@accept_frames
def count_supporting_severity(
    admissions: pl.DataFrame,
    tables: TableSet,
    *,
    hospital_status: str = "NON_EXEMPT",
    having: Mapping[str, Sequence[str]] | None = None,
) -> pl.DataFrame:
    """Count the CCs and MCCs that can support the severity of an admission's DRG.

    A secondary code counts unless the principal diagnosis excludes it, the patient died and the code counts only for
    patients discharged alive, the logic of the DRG suppresses it, or it is a hospital-acquired condition. A repeated
    code counts once.

    Args:
        admissions: (n,) rows of `schema.ADMISSIONS`, grouped or not; they are grouped here.
        tables: the grouper version.
        hospital_status: POA reporting, as in `drgsim.group`.
        having: codes by name; each name becomes a Boolean column: the principal or a secondary diagnosis is one of
            the codes.

    Returns:
        (n,) `mcc_count` and `cc_count` (UInt16), and the columns of `having`; no nulls.

    Raises:
        SchemaError, InputError: as `drgsim.group`.

    >>> one = pl.DataFrame({"admission_id": [1], "age": [70], "sex": ["F"], "discharge_status": [1], "pdx": ["K810"],
    ...                     "sdx": [["J9601", "J9601", "I5021", "E119"]], "procedures": [[]]})
    >>> count_supporting_severity(one, TableSet.load("43.1"), hospital_status="EXEMPT").row(0)
    (2, 0)
    """
    frame = check_admissions(admissions, hospital_status)
    rules = compile_attributes(tables)
    lists = {name: _flag_codes(rules.diagnosis_book, codes) for name, codes in (having or {}).items()}

    def count_span(start: int, stop: int) -> pl.DataFrame:
        encoded = encode_span(frame[start:stop], tables)
        mcc, cc = _count_levels(run_steps(encoded, rules))
        flags = {name: _has_diagnosis(encoded, is_listed) for name, is_listed in lists.items()}
        return pl.DataFrame({"mcc_count": mcc, "cc_count": cc, **flags})

    return pl.concat(run_over_spans(len(frame), count_span))


def _count_levels(span: Steps) -> tuple[UInt16Array, UInt16Array]:
    """Return how many different MCCs and CCs count for each admission."""
    encoded, observed, diagnoses = span.encoded, span.observed, span.rules.diagnoses
    row, bits = observed.severe_row, observed.severe_bits.copy()
    died = span.rules.died[encoded.status_place][row]
    bits[died] &= ~diagnoses.death_excluded
    unsuppressed = np.bitwise_or.reduce(diagnoses.unsuppressed, axis=1)[span.rules.rulebook.suppression[span.final.row]]
    bits &= unsuppressed[row]
    is_acquired = np.zeros(len(encoded.sdx), np.bool_)
    is_acquired[span.hac.met] = True
    counts = np.flatnonzero((bits > 0) & ~is_acquired[observed.severe])
    code = encoded.sdx[observed.severe[counts]].astype(np.int64)
    different = np.unique((row[counts].astype(np.int64) << 32) | code)
    level = diagnoses.scheme_severity[diagnoses.scheme[different & 0xFFFFFFFF]]
    mcc, cc = (
        np.bincount(different[level == SEVERITIES.index(name)] >> 32, minlength=len(encoded)).astype(np.uint16)
        for name in ("MCC", "CC")
    )
    return mcc, cc


def _flag_codes(book: Codebook, codes: Sequence[str]) -> BoolArray:
    """Return whether each codebook number is one of the codes."""
    is_listed = np.zeros(len(book.codes) + 1, np.bool_)
    is_listed[book.numbers(pl.Series(codes, dtype=pl.String))] = True
    is_listed[0] = False
    return is_listed


def _has_diagnosis(encoded: Encoded, is_listed: BoolArray) -> BoolArray:
    found = is_listed[encoded.pdx]
    found[encoded.sdx_row[is_listed[encoded.sdx]]] = True
    return found
