"""National tables, such as counts and comorbidities, that populations and errors share."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from drgsim.tables.manifest import read_table

_FOLDER = "population/"
_FACTS: Mapping[str, Mapping[str, type[pl.DataType]]] = {
    "drgs": {
        "drg": pl.UInt16,
        "discharges": pl.Float64,
        "basis": pl.String,
        "hospital_cells": pl.Float64,
        "relative_weight": pl.Float64,
        "gmlos_days": pl.Float64,
        "amlos_days": pl.Float64,
        "is_postacute_transfer": pl.Int8,
    },
    "bridges": {"version": pl.String, "from_drg": pl.UInt16, "to_drg": pl.UInt16, "share": pl.Float64},
    "principal": {"first_drg": pl.UInt16, "last_drg": pl.UInt16, "code": pl.String, "weight": pl.Float64},
    "procedures": {"code": pl.String, "weight": pl.Float64, "min_los_days": pl.Int32},
    "companions": {"pdx_prefix": pl.String, "family": pl.String, "code": pl.String, "share": pl.Float64},
    "ancillary": {
        "code": pl.String,
        "stay_share": pl.Float64,
        "mcc_ratio": pl.Float64,
        "surgical_ratio": pl.Float64,
        "min_los_days": pl.Int32,
    },
    "conditions": {
        "code": pl.String,
        "group": pl.String,
        "kind": pl.String,
        "stay_share": pl.Float64,
        "decade_ratio": pl.Float64,
        "female_ratio": pl.Float64,
        "surgical_ratio": pl.Float64,
        "onset_share": pl.Float64,
        "family": pl.String,
        "death_log_odds": pl.Float64,
    },
    "combinations": {"code": pl.String, "beside": pl.String, "becomes": pl.String},
    "affinity": {"group": pl.String, "mdc": pl.UInt8, "ratio": pl.Float64},
    "profiles": {"profile": pl.String, "share": pl.Float64, "group": pl.String, "ratio": pl.Float64},
    "mdcs": {
        "mdc": pl.UInt8,
        "decade_ratio": pl.Float64,
        "female_ratio": pl.Float64,
        "postacute_log_odds": pl.Float64,
        "death_log_odds": pl.Float64,
    },
    "pre_mdc": {"first_drg": pl.UInt16, "last_drg": pl.UInt16, "pdx_mdc": pl.UInt8},
    "limits": {
        "prefix": pl.String,
        "sex": pl.String,
        "min_age": pl.Int32,
        "max_age": pl.Int32,
        "is_pdx": pl.String,
        "is_poa_exempt": pl.String,
    },
    "procedure_limits": {"prefix": pl.String, "sex": pl.String},
    "elixhauser": {"code": pl.String, "groups": pl.String},
}
_NULLABLE = (
    *("hospital_cells", "relative_weight", "gmlos_days", "amlos_days", "is_postacute_transfer"),
    *("sex", "min_age", "max_age", "is_pdx", "is_poa_exempt"),
)


def read_facts(name: str, folder: Path) -> pl.DataFrame:
    """Return one of the tables that all populations share, such as "conditions".

    Args:
        name: the name of a file of `population/`, without its ending.
        folder: the table folder.

    Raises:
        TableError: the table is missing, altered or malformed.
    """
    return read_table(folder, f"{_FOLDER}{name}.csv", _FACTS[name], nullable=_NULLABLE)
