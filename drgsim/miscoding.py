"""Coding errors: encoded admissions in, encoded admissions and the rows that changed out.

Every draw is keyed by seed, replicate, operator and admission, so an error that happens at a low rate also
happens at a higher one, and no result depends on batches or row order.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Annotated

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from drgsim.attributes import SEVERITIES, attributes
from drgsim.draws import uniform
from drgsim.encode import POA_PRESENT, Encoded
from drgsim.errors import InputError
from drgsim.manifest import read_table
from drgsim.runs import Index, firsts
from drgsim.schema import normalised
from drgsim.tables import TableSet

Rate = Annotated[float, Field(ge=0, le=1)]
Ids = NDArray[np.uint64]


class SdxOmit(BaseModel):
    """Secondary diagnoses that should have been coded are not. Usual sign: down, or nothing.

    `cc` and `mcc` are the shares of CC and MCC codes that are missed, each code on its own.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    cc: Rate = 0.0
    mcc: Rate = 0.0

    def apply(
        self, encoded: Encoded, ids: Ids, tables: TableSet, *, seed: int, replicate: int = 0
    ) -> tuple[Encoded, Index]:
        """Return the admissions as billed, and the rows on which a code was missed.

        >>> one = pl.DataFrame({"admission_id": [1], "age": [70], "sex": ["F"], "discharge_status": [1],
        ...                     "pdx": ["K810"], "sdx": [["J9601", "I10"]], "procedures": [[]]})
        >>> from drgsim.encode import encode
        >>> tables = TableSet.load("43.1")
        >>> encoded = encode(one, tables, hospital_status="EXEMPT")
        >>> billed, rows = SdxOmit(mcc=1.0).apply(encoded, np.array([1], np.uint64), tables, seed=1)
        >>> (billed.sdx > 0).tolist(), rows.tolist()
        ([False, True], [0])
        """
        diagnoses = attributes(tables).diagnoses
        level = diagnoses.scheme_severity[diagnoses.scheme[encoded.sdx]]
        rate = np.array([{"CC": self.cc, "MCC": self.mcc}.get(name, 0.0) for name in SEVERITIES])[level]
        exposed = np.flatnonzero(rate)
        row = encoded.sdx_row[exposed]
        place = exposed - encoded.sdx_start[row]
        missed = exposed[uniform(seed, f"sdx_omit {replicate}", ids[row], place) < rate[exposed]]
        sdx = encoded.sdx.copy()
        sdx[missed] = 0
        rows = encoded.sdx_row[missed]
        return replace(encoded, sdx=sdx), rows[firsts(rows)].astype(np.int64)


class SdxAddUnsupported(BaseModel):
    """An admission is given an MCC that the record does not support. Usual sign: up, or nothing.

    `rate` is the share of admissions; the code is drawn from `codes`, by default those of
    `grouper_tables/miscoding/unsupported_mcc.csv`, and is one the admission has not got.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rate: Rate = 0.0
    codes: tuple[str, ...] = ()

    def apply(
        self, encoded: Encoded, ids: Ids, tables: TableSet, *, seed: int, replicate: int = 0
    ) -> tuple[Encoded, Index]:
        """Return the admissions as billed, and the rows on which a code was added.

        Raises:
            InputError: a code is no MCC of this version.

        >>> one = pl.DataFrame({"admission_id": [1], "age": [70], "sex": ["F"], "discharge_status": [1],
        ...                     "pdx": ["K810"], "sdx": [["I10"]], "procedures": [[]]})
        >>> from drgsim.encode import encode
        >>> tables = TableSet.load("43.1")
        >>> encoded = encode(one, tables, hospital_status="EXEMPT")
        >>> billed, rows = SdxAddUnsupported(rate=1.0).apply(encoded, np.array([1], np.uint64), tables, seed=1)
        >>> len(billed.sdx), rows.tolist()
        (2, [0])
        """
        choices, weights = self._choices(tables)
        stream = f"sdx_add_unsupported {replicate}"
        rows = np.flatnonzero(uniform(seed, stream, ids) < self.rate)
        share = np.cumsum(weights) / np.sum(weights)
        picked = choices[np.searchsorted(share, uniform(seed, f"{stream} code", ids[rows]), "right")]
        has = np.zeros(len(encoded), np.bool_)
        wanted = np.zeros(len(encoded), np.int32)
        wanted[rows] = picked
        has[encoded.sdx_row[encoded.sdx == wanted[encoded.sdx_row]]] = True
        kept = ~has[rows]
        rows, picked = rows[kept], picked[kept]
        return encoded.with_sdx(rows, picked, poa=POA_PRESENT), rows

    def _choices(self, tables: TableSet) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        book, diagnoses = attributes(tables).diagnosis_book, attributes(tables).diagnoses
        codes, weights = (self.codes, (1.0,) * len(self.codes)) if self.codes else _unsupported(tables.folder)
        numbers = book.numbers(pl.Series(codes))
        level = diagnoses.scheme_severity[diagnoses.scheme[numbers]]
        wrong = [code for code, found in zip(codes, level, strict=True) if SEVERITIES[found] != "MCC"]
        if wrong:
            raise InputError(f"no MCC in {tables.version}: {', '.join(wrong)}. Name MCC codes of that version.")
        return numbers, np.array(weights)


@lru_cache(maxsize=4)
def _unsupported(folder: Path) -> tuple[tuple[str, ...], tuple[float, ...]]:
    columns = {"code": pl.String, "weight": pl.Float64, "note": pl.String}
    table = read_table(folder, "miscoding/unsupported_mcc.csv", columns)
    return tuple(normalised(table["code"])), tuple(table["weight"])
