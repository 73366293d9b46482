"""Which codes may stand where: sex, age, principal or secondary, exempt from POA; arrays over a version's codes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from drgsim.numerics.arrays import BoolArray, ByteArray, FloatArray
from drgsim.tables.codebook import load_codebooks
from drgsim.tables.national_facts import read_facts
from drgsim.tables.table_set import TableSet

Kind = TypeVar("Kind", bound=np.generic)
OLDEST = 120
EITHER, MALE, FEMALE = 0, 1, 2
_SEXES = {"M": MALE, "F": FEMALE}
_LONGEST = 7
_ELSEWHERE = r"(?i)diseases? classified elsewhere|conditions classified elsewhere"
_CAUSE = "ecode"
_TAIL_ENCOUNTER = 0.02


@dataclass(frozen=True, eq=False)
class CodeLimits:
    """Limits of every code, indexed by its codebook number (0 is no code, legal nowhere).

    `sex` is 0 either, 1 male, 2 female. Ages are in years, both ends allowed. `likely` lowers the weight of
    codes for later encounters (seventh character other than A) where no better weight is known.
    """

    dx_valid: BoolArray
    dx_sex: ByteArray
    dx_min_age: ByteArray
    dx_max_age: ByteArray
    may_be_pdx: BoolArray
    poa_exempt: BoolArray
    likely: FloatArray
    procedure_valid: BoolArray
    procedure_sex: ByteArray


@lru_cache(maxsize=8)
def load_code_limits(tables: TableSet) -> CodeLimits:
    """Return the limits of a version's codes, from `population/limits.csv` and the descriptions.

    >>> from drgsim.tables.codebook import load_codebooks
    >>> tables = TableSet.load("43.1")
    >>> number = load_codebooks(tables)[0].numbers(pl.Series(["N400"]))
    >>> load_code_limits(tables).dx_sex[number].tolist()
    [1]
    """
    books = load_codebooks(tables)
    all_dx, all_procedures = books[0].codes, books[1].codes
    dx = _by_prefix(all_dx, read_facts("limits", tables.folder))
    described = tables.diagnosis_descriptions()
    manifestation = described.filter(pl.col("description").str.contains(_ELSEWHERE))["code"]
    named = tables.diagnoses.select("code", pl.col("operands").fill_null("").str.split(" "))
    causes = named.filter(pl.col("operands").list.contains(_CAUSE))["code"]
    valid = all_dx.is_in(tables.diagnoses["code"].implode())
    refused = (dx["is_pdx"] == "N").fill_null(value=False) | all_dx.is_in(pl.concat([manifestation, causes]).implode())
    later = (all_dx.str.len_chars() == _LONGEST) & ~all_dx.str.slice(6, 1).is_in(["A", "B"])
    procedures = _by_prefix(all_procedures, read_facts("procedure_limits", tables.folder))
    return CodeLimits(
        dx_valid=_padded(valid.to_numpy(), first=False),
        dx_sex=_padded(_sex(dx), first=EITHER),
        dx_min_age=_padded(dx["min_age"].fill_null(0).to_numpy().astype(np.uint8), first=0),
        dx_max_age=_padded(dx["max_age"].fill_null(OLDEST).to_numpy().astype(np.uint8), first=0),
        may_be_pdx=_padded((valid & ~refused).to_numpy(), first=False),
        poa_exempt=_padded((dx["is_poa_exempt"] == "Y").fill_null(value=False).to_numpy(), first=False),
        likely=_padded(np.where(later.to_numpy(), _TAIL_ENCOUNTER, 1.0), first=0.0),
        procedure_valid=_padded(all_procedures.is_in(tables.procedures["code"].implode()).to_numpy(), first=False),
        procedure_sex=_padded(_sex(procedures), first=EITHER),
    )


def _by_prefix(codes: pl.Series, limits: pl.DataFrame) -> pl.DataFrame:
    """Return the limits of each code: a longer prefix overrules a shorter one, column by column."""
    found = pl.DataFrame({"code": codes})
    columns = [name for name in limits.columns if name != "prefix"]
    found = found.with_columns(pl.lit(None, limits.schema[name]).alias(name) for name in columns)
    for length in range(1, _LONGEST + 1):
        found = (
            found.with_columns(prefix=pl.col("code").str.slice(0, length))
            .join(limits.filter(pl.col("prefix").str.len_chars() == length), on="prefix", how="left", suffix="_new",
                  maintain_order="left")
            .with_columns(pl.coalesce(f"{name}_new", name).alias(name) for name in columns)
            .select("code", *columns)
        )  # fmt: skip
    return found


def _sex(limits: pl.DataFrame) -> ByteArray:
    return limits["sex"].replace_strict(_SEXES, default=EITHER, return_dtype=pl.UInt8).to_numpy()


def _padded(values: NDArray[Kind], *, first: float) -> NDArray[Kind]:
    return np.concatenate([np.array([first], values.dtype), values])
