"""Bills that CMS's editor returns: as `edit` finds them in the claims with their errors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from drgsim import InputError, Rates, Scenario, SchemaError, TableSet, edit, exposure, generate, simulate
from drgsim.miscoding.diagnosis_errors import InvalidCode
from drgsim.rebilling.baseline import Baseline
from drgsim.rebilling.code_changes import ChangeKind, CodeChanges, apply_changes, decode_admissions, list_code_texts

TABLES, RATES = TableSet.load("43.1"), Rates.load(2026)
HOSPITALS, ADMISSIONS = generate(4_000, seed=5, tables=TABLES)
BASELINE = Baseline.of(ADMISSIONS, tables=TABLES, hospitals=HOSPITALS, rates=RATES).with_editor()
KINDS = [
    ChangeKind.PDX,
    ChangeKind.SDX,
    ChangeKind.ADD_SDX,
    ChangeKind.ADD_PROCEDURE,
    ChangeKind.SEX,
    ChangeKind.AGE,
    ChangeKind.DISCHARGE_STATUS,
]
ARGUMENTS = {"tables": TABLES, "hospitals": HOSPITALS, "rates": RATES, "seed": 3}


def is_returned(claims: pl.DataFrame) -> np.ndarray:
    return (edit(claims)["edit_type"] == "PREPAYMENT").to_numpy()


def test_claims_as_correctly_coded_are_edited_as_edit_does():
    assert (BASELINE.editor.has_prepayment == is_returned(ADMISSIONS)).all()
    assert BASELINE.editor.has_prepayment.any()


def random_changes(rng: np.random.Generator, bills: int) -> tuple[CodeChanges, np.ndarray]:
    """Changes of any kind: codes of all flags, sexes, ages, statuses; one to three a bill, of different kinds."""
    encoded, rows, parts = BASELINE.encoded, rng.integers(0, len(ADMISSIONS), bills), []
    rows = rows[np.diff(encoded.sdx_start)[rows] > 0]
    for row in rows:
        kinds = rng.choice(KINDS, rng.integers(1, 4), replace=False)
        for kind in kinds:
            listed = encoded.sdx_start[row + 1] - encoded.sdx_start[row]
            place = rng.integers(0, listed) if kind == ChangeKind.SDX else 0
            after = {
                ChangeKind.SEX: rng.integers(0, 3),
                ChangeKind.AGE: rng.integers(0, 125),
                ChangeKind.DISCHARGE_STATUS: rng.choice([1, 20, 99]),
                ChangeKind.ADD_PROCEDURE: rng.integers(1, len(TABLES.all_procedures) + 1),
            }.get(kind, rng.integers(1, len(TABLES.all_diagnoses) + 1))
            parts.append((row, kind, place, after))
    row, kind, place, after = (np.array(column) for column in zip(*parts, strict=True))
    start = np.append(np.flatnonzero(np.append(True, row[1:] != row[:-1])), len(row))
    return CodeChanges(row, kind.astype(np.uint8), place, np.zeros(len(row), np.int32), after.astype(np.int32)), start


def test_bills_are_edited_as_edit_does():
    changes, start = random_changes(np.random.default_rng(7), 1_500)
    found = BASELINE.editor.find_edited(changes, start)
    rows = changes.row[start[:-1]]
    bill = np.repeat(np.arange(len(rows)), np.diff(start))
    encoded = apply_changes(BASELINE.encoded.take(rows), replace(changes, row=bill))
    age = ADMISSIONS["age"].to_numpy()[rows].copy()
    aged = changes.kind == ChangeKind.AGE
    age[bill[aged]] = changes.after[aged]
    claims = ADMISSIONS[rows].with_columns(
        decode_admissions(encoded, *list_code_texts(TABLES)),
        sex=pl.Series(["U", "M", "F"]).gather(encoded.sex),
        discharge_status=pl.Series(encoded.discharge_status.astype(np.int32)),
        age=pl.Series(age),
    )
    assert (found == is_returned(claims) & ~is_returned(ADMISSIONS[rows])).all()
    assert 0.1 < found.mean() < 0.9


def test_returned_bills_are_counted_and_priced_apart():
    scenario = Scenario.load("illustration")
    before, after = (simulate(ADMISSIONS, scenario, replicates=16, edits=edits, **ARGUMENTS) for edits in
                     ("ignored", "returned"))  # fmt: skip
    assert before.totals.equals(simulate(ADMISSIONS, scenario, replicates=16, **ARGUMENTS).totals)
    assert before.run_id != after.run_id
    assert (after.totals["errors"] == before.totals["errors"]).all()
    assert (after.totals["returned"] >= before.totals["returned"]).all()
    returned = after.changed_claims.filter("returned")
    assert returned["cents"].abs().sum() == 0
    assert after.changed_claims.filter(~pl.col("returned"))["cents"].sum() == after.totals["net"].sum()
    assert len(returned) == after.totals["returned"].sum()


def test_what_is_returned_for_edits_alone_is_counted_and_priced_by_itself():
    """A bill that cannot be grouped is returned whether or not it has edits; the others are returned for edits."""
    scenario = Scenario.load("illustration") + Scenario(title="slips", errors=(InvalidCode(pdx=0.01, sdx=0.01),))
    result = simulate(ADMISSIONS, scenario, replicates=16, edits="returned", **ARGUMENTS)
    usd = result.admissions["usd"].to_numpy()
    bills = result.changed_claims.filter("returned")
    bills = bills.with_columns(usd=pl.Series(usd[bills["row"].to_numpy()]))
    edited = bills.filter(pl.col("drg") != 999)
    assert 16 < len(edited) < len(bills) - 16
    for some, name in ((bills, "returned"), (edited, "returned_for_edits")):
        assert result.mean(f"{name}_rate") == pytest.approx(len(some) / 16 / len(ADMISSIONS), abs=1e-12)
        assert result.mean(f"{name}_usd") == pytest.approx(some["usd"].sum() / 16, abs=1e-6)
    ignored = simulate(ADMISSIONS, scenario, replicates=16, **ARGUMENTS)
    new = set(result.summary()["measure"]) - set(ignored.summary()["measure"])
    assert new == {"returned_for_edits_rate", "returned_for_edits_usd"}
    ungroupable = result.totals["returned"] - result.totals["returned_for_edits"]
    assert ungroupable.equals(ignored.totals["returned"])


def test_the_control_must_treat_edits_alike():
    scenario = Scenario.load("illustration")
    control = exposure(ADMISSIONS, scenario, edits="returned", **ARGUMENTS)
    assert (
        simulate(ADMISSIONS, scenario, replicates=16, control=control, edits="returned", **ARGUMENTS).replicates == 16
    )
    with pytest.raises(InputError, match="the control"):
        simulate(ADMISSIONS, scenario, replicates=16, control=control, **ARGUMENTS)


def test_arguments_that_cannot_be_used():
    with pytest.raises(InputError, match="Did you mean 'returned'"):
        simulate(ADMISSIONS, Scenario.load("empty"), replicates=2, edits="return", **ARGUMENTS)
    with pytest.raises(SchemaError, match="discharge_date"):
        simulate(ADMISSIONS.drop("discharge_date"), Scenario.load("empty"), replicates=2, edits="returned", **ARGUMENTS)
