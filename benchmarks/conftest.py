"""Admissions for the benchmarks, built once a session and outside every timed call."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import polars as pl
import pytest

from benchmarks.data import bootstrapped, shared_folder


@pytest.fixture(scope="session")
def admissions() -> Callable[[int], pl.DataFrame]:
    """Return a builder of n realistic admissions, or skip where the reference claims are absent."""
    if not (shared_folder() / "claims").is_dir():
        pytest.skip(f"reference claims not found at {shared_folder()}; set DRGSIM_SHARED")
    return lru_cache(maxsize=None)(bootstrapped)
