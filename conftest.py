"""Names that the examples in docstrings share."""

from __future__ import annotations

import pytest
from _pytest.doctest import DoctestItem

EXAMPLES = "drgsim.miscoding."


@pytest.fixture(scope="session")
def example_baseline() -> object:
    """Three admissions as correctly coded, on which the examples of the error models can show every error.

    A cholecystectomy discharged home, a pneumonia transferred to a nursing facility with a pressure ulcer that was
    not present on admission, and a ventilated patient.
    """
    import polars as pl

    from drgsim import Rates, TableSet
    from drgsim.rebilling.baseline import Baseline

    admissions = pl.DataFrame(
        {
            "admission_id": [1, 2, 3],
            "age": [54, 81, 67],
            "sex": ["F", "M", "F"],
            "discharge_status": [1, 3, 1],
            "los_days": [5, 7, 6],
            "pdx": ["K810", "J189", "J9601"],
            "sdx": [["I10", "J9601"], ["I5022", "L89154"], []],
            "sdx_poa": [["Y", "Y"], ["Y", "N"], []],
            "procedures": [["0FT44ZZ"], [], ["5A1945Z"]],
        }
    )
    return Baseline.of(admissions, tables=TableSet.load("43.1"), hospitals=None, rates=Rates.load(2026))


@pytest.fixture(autouse=True)
def _name_examples(request: pytest.FixtureRequest, doctest_namespace: dict[str, object]) -> None:
    if isinstance(request.node, DoctestItem) and request.node.name.startswith(EXAMPLES):
        doctest_namespace["baseline"] = request.getfixturevalue("example_baseline")
