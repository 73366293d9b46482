"""The sex, age, principal and POA limits of each code of a version."""

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

Item = TypeVar("Item", bound=np.generic)
OLDEST = 120
"""Age limit of a code without one [years]."""
EITHER, MALE, FEMALE = 0, 1, 2
_SEXES = {"M": MALE, "F": FEMALE}
_LONGEST = 7
_MANIFESTATION = r"(?i)diseases? classified elsewhere|conditions classified elsewhere"
_EXTERNAL_CAUSE = "ecode"
_LATER_ENCOUNTER = 0.02
"""Weight of a code for a later encounter, relative to one for the first."""


@dataclass(frozen=True, eq=False)
class CodeLimits:
    """The limits of every code, indexed by its codebook number.

    Number 0 is no code and is not valid. `sex` is 0 for either, 1 for male, 2 for female. Ages are in years, both
    ends allowed. `likely` lowers the weight of codes for later encounters (seventh character other than A or B)
    where no better weight is known.
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
    dx = _find_limits_by_prefix(all_dx, read_facts("limits", tables.folder))
    described = tables.diagnosis_descriptions()
    manifestation = described.filter(pl.col("description").str.contains(_MANIFESTATION))["code"]
    operands = tables.diagnoses.select("code", pl.col("operands").fill_null("").str.split(" "))
    causes = operands.filter(pl.col("operands").list.contains(_EXTERNAL_CAUSE))["code"]
    valid = all_dx.is_in(tables.diagnoses["code"].implode())
    not_pdx = (dx["is_pdx"] == "N").fill_null(value=False) | all_dx.is_in(pl.concat([manifestation, causes]).implode())
    later = (all_dx.str.len_chars() == _LONGEST) & ~all_dx.str.slice(6, 1).is_in(["A", "B"])
    procedures = _find_limits_by_prefix(all_procedures, read_facts("procedure_limits", tables.folder))
    return CodeLimits(
        dx_valid=_prepend(valid.to_numpy(), first=False),
        dx_sex=_prepend(_read_sexes(dx), first=EITHER),
        dx_min_age=_prepend(dx["min_age"].fill_null(0).to_numpy().astype(np.uint8), first=0),
        dx_max_age=_prepend(dx["max_age"].fill_null(OLDEST).to_numpy().astype(np.uint8), first=0),
        may_be_pdx=_prepend((valid & ~not_pdx).to_numpy(), first=False),
        poa_exempt=_prepend((dx["is_poa_exempt"] == "Y").fill_null(value=False).to_numpy(), first=False),
        likely=_prepend(np.where(later.to_numpy(), _LATER_ENCOUNTER, 1.0), first=0.0),
        procedure_valid=_prepend(all_procedures.is_in(tables.procedures["code"].implode()).to_numpy(), first=False),
        procedure_sex=_prepend(_read_sexes(procedures), first=EITHER),
    )


# ---------------------------------------------------------------------------------------------------------


def _find_limits_by_prefix(codes: pl.Series, limits: pl.DataFrame) -> pl.DataFrame:
    """Return the limits of each code; a longer prefix overrides a shorter one, by column."""
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


def _read_sexes(limits: pl.DataFrame) -> ByteArray:
    """Return the sex limit of each row as a number. (n,)."""
    return limits["sex"].replace_strict(_SEXES, default=EITHER, return_dtype=pl.UInt8).to_numpy()


def _prepend(values: NDArray[Item], *, first: float) -> NDArray[Item]:
    """Return values with `first`, the one of number 0, before them. (n + 1,)."""
    return np.concatenate([np.array([first], values.dtype), values])
