"""Where tests find the reference data."""

from __future__ import annotations

import os
from pathlib import Path

import polars as pl
import pytest


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference data, or a skip where it is not on this machine."""
    folder = Path(os.environ.get("DRGSIM_SHARED", Path(__file__).parents[2] / "shared"))
    if not folder.is_dir():
        pytest.skip(f"reference data not found at {folder}; set DRGSIM_SHARED")
    return folder


@pytest.fixture
def cholecystectomy() -> pl.DataFrame:
    """A laparoscopic cholecystectomy for acute cholecystitis, without complications: MS-DRG 419."""
    return pl.DataFrame(
        {
            "admission_id": [1],
            "age": [54],
            "sex": ["F"],
            "discharge_status": [1],
            "pdx": ["K810"],
            "sdx": [["I10"]],
            "sdx_poa": [["Y"]],
            "procedures": [["0FT44ZZ"]],
        },
        schema_overrides={"admission_id": pl.UInt64},
    )
