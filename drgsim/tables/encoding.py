"""Admissions as integers: texts are encoded once, and all later steps work on integers.

A `Codebook` numbers the codes of all grouper versions, so admissions encoded once can be grouped under
any version. The engine and the simulator share `Encoded`: to change a code is to write an integer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from drgsim.exceptions import InputError, SchemaError
from drgsim.files.foreign_frames import accept_frames
from drgsim.numerics.arrays import ByteArray, Int32Array
from drgsim.numerics.parallel import run_over_spans
from drgsim.numerics.segments import expand_rows
from drgsim.schema import ADMISSIONS, HospitalStatus, check_frame
from drgsim.tables.codebook import load_codebooks, number_letters
from drgsim.tables.table_set import TableSet

SEX = {"M": 1, "F": 2}
POA_PRESENT, POA_NOT_PRESENT, POA_NOT_RECOGNISED = 1, 2, 0
POA = {"Y": POA_PRESENT, "W": POA_PRESENT, "N": POA_NOT_PRESENT, "U": POA_NOT_PRESENT}
HOSPITAL_STATUS = {name: number for number, name in enumerate(HospitalStatus.categories)}


@dataclass(frozen=True, eq=False)
class Encoded:
    """Admissions as integers, with their lists end to end: row i has start[i] to start[i + 1].

    `pdx` (n,), `sdx` and `procedures` are codebook numbers, 0 for an unknown code; `sdx_row` and
    `procedure_row` are the admission of each; `sex` is 1 M, 2 F, 0 other; `poa` is 1 present, 2 not present,
    0 not recognised, and None where the admissions have no POA; `discharge_status` is -1 where null.

    >>> claim = {"admission_id": [1], "age": [54], "sex": ["F"], "discharge_status": [1], "pdx": ["K81.0"],
    ...          "sdx": [["J96.01", "no code"]], "sdx_poa": [["Y", "Y"]], "procedures": [["0FT44ZZ"]]}
    >>> encoded = encode(pl.DataFrame(claim), TableSet.load("43.1"))
    >>> encoded.sdx_start.tolist(), (encoded.sdx > 0).tolist()
    ([0, 2], [True, False])
    """

    pdx: Int32Array
    sex: ByteArray
    discharge_status: NDArray[np.int16]
    hospital_status: ByteArray
    sdx: Int32Array
    sdx_start: NDArray[np.int64]
    sdx_row: Int32Array
    poa: ByteArray | None
    procedures: Int32Array
    procedure_start: NDArray[np.int64]
    procedure_row: Int32Array

    def __len__(self) -> int:
        """Number of admissions."""
        return len(self.pdx)

    @property
    def status_place(self) -> NDArray[np.uint16]:
        """Discharge status as a place in a table of 257, the last for null and impossible values."""
        place: NDArray[np.uint16] = np.minimum(self.discharge_status.view(np.uint16), 256)
        return place

    def rows(self, start: int, stop: int) -> Encoded:
        """Return admissions `start` to `stop` as views, without copying codes."""
        a, b = self.sdx_start[[start, stop]]
        c, d = self.procedure_start[[start, stop]]
        return Encoded(
            pdx=self.pdx[start:stop],
            sex=self.sex[start:stop],
            discharge_status=self.discharge_status[start:stop],
            hospital_status=self.hospital_status[start:stop],
            sdx=self.sdx[a:b],
            sdx_start=self.sdx_start[start : stop + 1] - a,
            sdx_row=self.sdx_row[a:b] - np.int32(start),
            poa=None if self.poa is None else self.poa[a:b],
            procedures=self.procedures[c:d],
            procedure_start=self.procedure_start[start : stop + 1] - c,
            procedure_row=self.procedure_row[c:d] - np.int32(start),
        )

    def take(self, rows: NDArray[np.int64]) -> Encoded:
        """Return the given admissions, in the given order."""
        sdx_at, sdx_row = expand_rows(self.sdx_start, rows)
        procedure_at, procedure_row = expand_rows(self.procedure_start, rows)
        return Encoded(
            pdx=self.pdx[rows],
            sex=self.sex[rows],
            discharge_status=self.discharge_status[rows],
            hospital_status=self.hospital_status[rows],
            sdx=self.sdx[sdx_at],
            sdx_start=compute_starts(np.diff(self.sdx_start)[rows]),
            sdx_row=sdx_row.astype(np.int32),
            poa=None if self.poa is None else self.poa[sdx_at],
            procedures=self.procedures[procedure_at],
            procedure_start=compute_starts(np.diff(self.procedure_start)[rows]),
            procedure_row=procedure_row.astype(np.int32),
        )


def compute_starts(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return where lists of these lengths begin, end to end, and where the last ends, (n + 1,)."""
    start = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=start[1:])
    return start


@accept_frames
def encode(admissions: pl.DataFrame, tables: TableSet, *, hospital_status: str = "NON_EXEMPT") -> Encoded:
    """Encode admissions as integers, for any number of groupings under any version.

    Args:
        admissions: (n,) rows of `schema.ADMISSIONS`.
        tables: any version of the table folder with which they will be grouped.
        hospital_status: NON_EXEMPT, EXEMPT or UNKNOWN for POA reporting, or the name of a column of these.

    Raises:
        SchemaError: a column is missing or of the wrong type, or POA is missing for a hospital that reports it.

    >>> one = pl.DataFrame({"admission_id": [1], "age": [70], "sex": ["F"], "discharge_status": [1],
    ...                     "pdx": ["K81.0"], "sdx": [["I10"]], "procedures": [["0FT44ZZ"]]})
    >>> len(encode(one, TableSet.load("43.1"), hospital_status="EXEMPT"))
    1
    """
    frame = check_admissions(admissions, hospital_status)
    return join_encoded(run_over_spans(len(frame), lambda start, stop: encode_span(frame[start:stop], tables)))


def check_admissions(admissions: pl.DataFrame, hospital_status: str) -> pl.DataFrame:
    """Return the checked columns of `admissions`, and how each hospital reports POA.

    The latter is the column `hospital_status`, as numbers of `HOSPITAL_STATUS`.

    Raises:
        SchemaError, InputError: as `encode`.
    """
    frame = check_frame(admissions, ADMISSIONS)
    status = _number_hospital_status(admissions, hospital_status)
    if "sdx_poa" not in frame.columns and (status != HOSPITAL_STATUS["EXEMPT"]).any():
        raise SchemaError(
            "admissions lack the column sdx_poa, which hospital-acquired conditions need. Either add it, "
            'or state that these hospitals do not report POA: hospital_status="EXEMPT".'
        )
    return frame.with_columns(hospital_status=status)


def encode_span(frame: pl.DataFrame, tables: TableSet) -> Encoded:
    """Encode rows that `check_admissions` returned."""
    diagnoses, procedures = load_codebooks(tables)
    sdx_start, procedure_start = find_list_starts(frame["sdx"]), find_list_starts(frame["procedures"])
    discharge = frame["discharge_status"].fill_null(-1).clip(-1, np.iinfo(np.int16).max)
    return Encoded(
        pdx=diagnoses.numbers(frame["pdx"]),
        sex=number_letters(frame["sex"], SEX, tidy=True),
        discharge_status=discharge.to_numpy().astype(np.int16),
        hospital_status=frame["hospital_status"].to_numpy(),
        sdx=diagnoses.numbers(flatten_lists(frame["sdx"])),
        sdx_start=sdx_start,
        sdx_row=find_list_owners(sdx_start),
        poa=_align_poa(frame["sdx_poa"], sdx_start) if "sdx_poa" in frame.columns else None,
        procedures=procedures.numbers(flatten_lists(frame["procedures"])),
        procedure_start=procedure_start,
        procedure_row=find_list_owners(procedure_start),
    )


def join_encoded(parts: Sequence[Encoded]) -> Encoded:
    """Return encoded admissions end to end."""
    if len(parts) == 1:
        return parts[0]
    rows = np.cumsum([0, *map(len, parts)], dtype=np.int32)

    def join_starts(name: str) -> NDArray[np.int64]:
        return compute_starts(np.concatenate([np.diff(getattr(part, name)) for part in parts]))

    def join_rows(name: str) -> Int32Array:
        return np.concatenate([getattr(part, name) + first for part, first in zip(parts, rows, strict=False)])

    return Encoded(
        pdx=np.concatenate([part.pdx for part in parts]),
        sex=np.concatenate([part.sex for part in parts]),
        discharge_status=np.concatenate([part.discharge_status for part in parts]),
        hospital_status=np.concatenate([part.hospital_status for part in parts]),
        sdx=np.concatenate([part.sdx for part in parts]),
        sdx_start=join_starts("sdx_start"),
        sdx_row=join_rows("sdx_row"),
        poa=None if parts[0].poa is None else np.concatenate([part.poa for part in parts if part.poa is not None]),
        procedures=np.concatenate([part.procedures for part in parts]),
        procedure_start=join_starts("procedure_start"),
        procedure_row=join_rows("procedure_row"),
    )


def _number_hospital_status(admissions: pl.DataFrame, status: str) -> ByteArray:
    if status in HOSPITAL_STATUS:
        return np.full(len(admissions), HOSPITAL_STATUS[status], np.uint8)
    if status not in admissions.columns:
        raise InputError(
            f"hospital_status {status!r} is neither {', '.join(HOSPITAL_STATUS)} nor a column of the admissions."
        )
    numbers = admissions[status].cast(pl.String).replace_strict(HOSPITAL_STATUS, default=None, return_dtype=pl.UInt8)
    if numbers.null_count():
        row = int(numbers.is_null().arg_max() or 0)
        raise SchemaError(
            f"column {status!r}, row {row}: no hospital status ({numbers.null_count():,} such rows); "
            f"expected {', '.join(HOSPITAL_STATUS)}."
        )
    return numbers.to_numpy()


def flatten_lists(lists: pl.Series) -> pl.Series:
    """Return the values of all lists end to end; a null list is empty."""
    return lists.explode(empty_as_null=False, keep_nulls=False)


def find_list_starts(lists: pl.Series) -> NDArray[np.int64]:
    """Return where the values of each row begin in `flatten_lists`, and the end, (n + 1,)."""
    return compute_starts(lists.list.len().fill_null(0).to_numpy())


def find_list_owners(start: NDArray[np.int64]) -> Int32Array:
    """Return the row that each position belongs to."""
    rows = np.arange(len(start) - 1, dtype=np.int32)
    return np.repeat(rows, np.diff(start))


def _align_poa(lists: pl.Series, sdx_start: NDArray[np.int64]) -> ByteArray:
    """Return one POA number a secondary code; where the letter is missing, not recognised."""
    start, letters = find_list_starts(lists), number_letters(flatten_lists(lists), POA)
    if np.array_equal(start, sdx_start):
        return letters
    place = np.arange(sdx_start[-1]) - np.repeat(sdx_start[:-1], np.diff(sdx_start))
    given = np.repeat(np.diff(start), np.diff(sdx_start))
    at = np.repeat(start[:-1], np.diff(sdx_start)) + place
    aligned = np.zeros(len(place), np.uint8)
    there = place < given
    aligned[there] = letters[at[there]]
    return aligned
