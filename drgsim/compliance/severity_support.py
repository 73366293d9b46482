"""CCs and MCCs that count: what is left of an admission's secondary codes after all that takes severity away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from drgsim.grouping.code_attributes import SEVERITIES, compile_attributes
from drgsim.grouping.grouping_steps import Steps
from drgsim.grouping.encoding import Encoded, check_admissions, encode_span
from drgsim.grouping.grouper import run_steps
from drgsim.numerics.arrays import BoolArray
from drgsim.numerics.parallel import run_over_spans
from drgsim.tables.codebook import Codebook
from drgsim.tables.table_set import TableSet


def count_supporting_severity(
    admissions: pl.DataFrame,
    tables: TableSet,
    *,
    hospital_status: str = "NON_EXEMPT",
    having: Mapping[str, Sequence[str]] | None = None,
) -> pl.DataFrame:
    """Count the CCs and MCCs that an admission's DRG may rest on.

    A secondary code counts unless the principal diagnosis excludes it, the patient died and it counts only for
    the living, the logic of the DRG suppresses it, or it is a hospital-acquired condition. A repeated code
    counts once.

    Args:
        admissions: (n,) rows of `schema.ADMISSIONS`, grouped or not; they are grouped here.
        tables: the grouper version.
        hospital_status: POA reporting, as in `drgsim.group`.
        having: name to codes; adds a Boolean column a name: the principal or a secondary diagnosis is one of them.

    Returns:
        (n,) `mcc_count` and `cc_count` (UInt16), and the columns of `having`; no nulls.

    Raises:
        SchemaError, InputError: as `drgsim.group`.

    >>> from drgsim.tables.table_set import TableSet
    >>> one = pl.DataFrame({"admission_id": [1], "age": [70], "sex": ["F"], "discharge_status": [1], "pdx": ["K810"],
    ...                     "sdx": [["J9601", "J9601", "I5021", "E119"]], "procedures": [[]]})
    >>> count_supporting_severity(one, TableSet.load("43.1"), hospital_status="EXEMPT").row(0)
    (2, 0)
    """
    frame = check_admissions(admissions, hospital_status)
    rules = compile_attributes(tables)
    lists = {name: _among(rules.diagnosis_book, codes) for name, codes in (having or {}).items()}

    def counted(start: int, stop: int) -> pl.DataFrame:
        encoded = encode_span(frame[start:stop], tables)
        mcc, cc = _counts(run_steps(encoded, rules))
        flags = {name: _has(encoded, is_one) for name, is_one in lists.items()}
        return pl.DataFrame({"mcc_count": mcc, "cc_count": cc, **flags})

    return pl.concat(run_over_spans(len(frame), counted))


def _counts(span: Steps) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
    """Return how many different MCCs and CCs count for each admission."""
    encoded, observed, diagnoses = span.encoded, span.observed, span.rules.diagnoses
    row, kept = observed.severe_row, observed.severe_bits.copy()
    dead = span.rules.died[encoded.status_place][row]
    kept[dead] &= ~diagnoses.death_excluded
    left = np.bitwise_or.reduce(diagnoses.unsuppressed, axis=1)[span.rules.rulebook.suppression[span.final.row]]
    kept &= left[row]
    acquired = np.zeros(len(encoded.sdx), np.bool_)
    acquired[span.hac.met] = True
    counts = np.flatnonzero((kept > 0) & ~acquired[observed.severe])
    code = encoded.sdx[observed.severe[counts]].astype(np.int64)
    different = np.unique((row[counts].astype(np.int64) << 32) | code)
    level = diagnoses.scheme_severity[diagnoses.scheme[different & 0xFFFFFFFF]]
    mcc, cc = (
        np.bincount(different[level == SEVERITIES.index(name)] >> 32, minlength=len(encoded)).astype(np.uint16)
        for name in ("MCC", "CC")
    )
    return mcc, cc


def _among(book: Codebook, codes: Sequence[str]) -> BoolArray:
    """Return whether each codebook number is one of the codes."""
    is_one = np.zeros(len(book.codes) + 1, np.bool_)
    is_one[book.numbers(pl.Series(codes, dtype=pl.String))] = True
    is_one[0] = False
    return is_one


def _has(encoded: Encoded, is_one: BoolArray) -> BoolArray:
    found = is_one[encoded.pdx]
    found[encoded.sdx_row[is_one[encoded.sdx]]] = True
    return found
