"""Where tests find the reference data."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference data, or a skip where it is not on this machine."""
    folder = Path(os.environ.get("DRGSIM_SHARED", Path(__file__).parents[2] / "shared"))
    if not folder.is_dir():
        pytest.skip(f"reference data not found at {folder}; set DRGSIM_SHARED")
    return folder
