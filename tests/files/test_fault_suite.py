"""A slice of the fault suite, `make faults`, and that a failure is seen."""

from __future__ import annotations

import sys

import pytest

if sys.platform == "win32":
    pytest.skip("limits, users and signals of POSIX", allow_module_level=True)

from drgsim.files import atomic
from tests.faults.__main__ import run_trials
from tests.faults.trials import TRIALS

SLICE = {"killed at a random moment": 1, "damaged Parquet": 12, "stray bytes in CSV": 12}


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", TRIALS)
def test_a_slice_of_the_suite(kind: str):
    assert run_trials(kind, SLICE.get(kind, 3), seed=10_001) == []


def any_fails(kind: str) -> bool:
    """Return whether a trial fails, of many: two threads meet by chance."""
    return any(run_trials(kind, 8, seed=seed) for seed in range(1, 41))


@pytest.mark.filterwarnings("ignore")
def test_a_writer_that_sweeps_away_the_file_of_another_is_seen(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(atomic, "_lock", lambda _: None)
    monkeypatch.setattr(atomic, "_A_DAY", -1.0)
    assert any_fails("two writers of one target")


@pytest.mark.filterwarnings("ignore")
def test_a_change_of_the_source_that_is_not_noticed_is_seen(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("drgsim.scale.parquet_source._read_state", lambda _: ())
    monkeypatch.setattr("drgsim.scale.resumable_run.PartedRun.check_source", lambda *_: None)
    assert any_fails("source replaced while it is read")
