"""A simulation made by hand, small enough to compute on paper; two results compared table by table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import polars as pl
from polars.testing import assert_frame_equal

from drgsim.miscoding.diagnosis_errors import SdxAddUnsupported, SdxOmit
from drgsim.miscoding.scenarios import Scenario
from drgsim.schema import Severity
from drgsim.simulation.result_tables import ClaimTables
from drgsim.simulation.results import Simulation

# Replicate, row, billed DRG, severity (0 none, 1 CC, 2 MCC), change [USD], which error.
CLAIMS = [
    (0, 0, 872, 0, -5_000, 0),
    (0, 3, 871, 2, 5_000, 1),
    (1, 0, 872, 0, -5_000, 0),
    (1, 1, 872, 0, -5_000, 0),
    (1, 4, 292, 1, -3_000, 0),
    (2, 1, 872, 0, -5_000, 0),
    (2, 3, 871, 2, 5_000, 1),
    (2, 4, 292, 1, -3_000, 0),
]
# Net by replicate: 0, -13,000, -3,000. The first error: -5,000, -13,000, -8,000; the second: 5,000, 0, 5,000.


def made(title: str = "Made by hand", hospitals: tuple[str, ...] = ("A", "A", "A", "B", "B", "B")) -> Simulation:
    """Six admissions, two errors, three replicates."""
    admissions = pl.DataFrame(
        {
            "admission_id": [1, 2, 3, 4, 5, 6],
            "hospital_id": hospitals,
            "drg": [871, 871, 871, 872, 291, 291],
            "base_drg": [871, 871, 871, 871, 291, 291],
            "mdc": [18, 18, 18, 18, 5, 5],
            "severity": ["MCC", "MCC", "MCC", "NONE", "MCC", "MCC"],
            "return_code": ["OK"] * 6,
            "usd": [12_000.0, 12_000.0, 12_000.0, 7_000.0, 8_500.0, 8_500.0],
            "weight": [1.9, 1.9, 1.9, 1.0, 1.3, 1.3],
        },
        schema_overrides={"drg": pl.UInt16, "base_drg": pl.UInt16, "severity": Severity},
    )
    changed_claims = pl.DataFrame(
        [(rep, row, drg, 18, severity, 100 * usd, False) for rep, row, drg, severity, usd, _ in CLAIMS],
        schema={
            "replicate": pl.Int32,
            "row": pl.UInt32,
            "drg": pl.UInt16,
            "mdc": pl.UInt8,
            "severity": pl.UInt8,
            "cents": pl.Int64,
            "returned": pl.Boolean,
        },
        orient="row",
    )
    money = ("cents", "first_in", "last_in")
    attribution = pl.DataFrame(
        [(rep, row, error, *[100 * usd] * 3) for rep, row, _, _, usd, error in CLAIMS],
        schema={"replicate": pl.Int32, "row": pl.UInt32, "error_number": pl.UInt8, **dict.fromkeys(money, pl.Int64)},
        orient="row",
    )
    totals = pl.DataFrame(
        {
            "replicate": [0, 1, 2],
            "errors": [2, 3, 3],
            "code_changes": [2, 3, 3],
            "drg_changes": [2, 3, 3],
            "drg_changes_up": [1, 0, 1],
            "net": [0, -1_300_000, -300_000],
            "overpaid": [500_000, 0, 500_000],
            "underpaid": [500_000, 1_300_000, 800_000],
            "weight4": [0, -22_500, -4_500],
            "mcc": [0, -3, -1],
            "cc": [0, 1, 1],
            "returned": [0, 0, 0],
            "returned_cents": [0, 0, 0],
        }
    )
    errors = (SdxOmit(name="missed", mcc=0.3), SdxAddUnsupported(name="added_mcc", mcc=0.5))
    return Simulation(
        run_id="0123456789abcdef",
        scenario=Scenario(title=title, about="Reckoned on paper.", errors=errors),
        version="43.1",
        seed=1,
        replicates=3,
        asked=3,
        interrupted=False,
        priced_by="hand",
        totals=totals,
        tables=ClaimTables(tuple(error.label for error in errors), admissions, changed_claims, attribution),
        error_counts=pl.DataFrame({"error": ["missed", "added_mcc"], "drawn": [7, 3], "made": [6, 2]}),
    )


def with_claims(result: Simulation, **frames: pl.DataFrame | None) -> Simulation:
    """Return a result with other admissions, changed claims, attribution or ledger."""
    assert isinstance(result.tables, ClaimTables)
    return replace(result, tables=replace(result.tables, **frames))


def assert_same_tables(result: Simulation, truth: Simulation, by: Sequence[str | tuple[str, ...]]) -> None:
    """Every table of two results of the same run is equal, number by number."""
    assert result.run_id == truth.run_id
    for name in ("totals", "error_counts"):
        assert_frame_equal(getattr(result, name), getattr(truth, name), check_exact=True)
    for name in ("summary", "errors", "transitions"):
        assert_frame_equal(getattr(result, name)(), getattr(truth, name)(), check_exact=True)
    for columns in by:
        columns = (columns,) if isinstance(columns, str) else columns
        assert_frame_equal(result.by(*columns), truth.by(*columns), check_exact=True)
