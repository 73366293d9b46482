"""Shares of errors are Shapley values: averages over all orders in which the errors could have come about."""

from __future__ import annotations

from fractions import Fraction
from itertools import permutations

import numpy as np
import polars as pl
import pytest

from drgsim.miscoding.claim_field_errors import DischargeStatus
from drgsim.miscoding.diagnosis_errors import (
    InvalidCode,
    PdxResequence,
    PdxSubstitute,
    SdxAddUnsupported,
    SdxOmit,
    SeverityDowngrade,
    SpecificityLoss,
)
from drgsim.miscoding.error_draws import confine_sites, draw_errors, key_sites
from drgsim.miscoding.error_models import ErrorModel, Where
from drgsim.miscoding.procedure_errors import ProcedureOmit, ProcedureSubstitute
from drgsim.miscoding.scenarios import Scenario
from drgsim.rebilling.baseline import Baseline
from drgsim.rebilling.code_changes import describe_changes
from drgsim.simulation.billed_claims import combine_errors
from drgsim.simulation.shapley import attribute_changes
from drgsim.simulation.simulator import simulate
from tests.support.rebilling import HOSPITALS, edited, generated, priced, rates, tables, with_stays

MANY: tuple[ErrorModel, ...] = (
    SdxOmit(mcc=0.4, cc=0.3),
    SdxAddUnsupported(mcc=0.3, cc=0.3),
    ProcedureSubstitute(rate=0.4),
    PdxSubstitute(rate=0.3),
    DischargeStatus(rate=0.5),
    SpecificityLoss(sdx=0.3),
)


def brute_force(admissions: pl.DataFrame, ledger: pl.DataFrame, hospitals: pl.DataFrame) -> dict[tuple, dict]:
    """Shapley values, solo and last effects of the operators on every bill [cents], by permutations of claims by hand.

    Every subset of a bill's operators is edited in plain Python, grouped and priced; the change where that is
    ungroupable is 0 (returned, not paid). Then each order of the operators is walked through.
    """
    rows = {row["admission_id"]: row for row in admissions.iter_rows(named=True)}
    bills: dict[tuple, dict[str, list]] = {}
    for edit in ledger.iter_rows(named=True):
        bill = bills.setdefault((edit["replicate"], edit["admission_id"]), {})
        bill.setdefault(edit["error"], []).append(edit)
    claims, keys = [], []
    for key, by_operator in bills.items():
        names = list(by_operator)
        for subset in range(1, 1 << len(names)):
            chosen = [edit for i, name in enumerate(names) if subset >> i & 1 for edit in by_operator[name]]
            claims.append(edited(rows[key[1]], chosen))
            keys.append((key, subset))
    answers = priced(pl.DataFrame(claims, schema=admissions.schema), hospitals, rates())
    truth = {row["admission_id"]: row for row in priced(admissions, hospitals, rates()).iter_rows(named=True)}
    value: dict[tuple, dict[int, int]] = {key: {0: 0} for key in bills}
    for (key, subset), row in zip(keys, answers.iter_rows(named=True), strict=True):
        returned = row["drg"] == 999 and truth[key[1]]["return_code"] == "OK"
        value[key][subset] = 0 if returned else row["cents"] - truth[key[1]]["cents"]
        if returned and subset == (1 << len(bills[key])) - 1:
            value[key][-1] = 1  # the whole bill is returned: nobody's share
    shares = {}
    for key, by_operator in bills.items():
        names, of = list(by_operator), value[key]
        if of.pop(-1, 0):
            continue
        full = (1 << len(names)) - 1
        total = dict.fromkeys(names, Fraction(0))
        orders = list(permutations(range(len(names))))
        for order in orders:
            before = 0
            for i in order:
                total[names[i]] += of[before | 1 << i] - of[before]
                before |= 1 << i
        shares[key] = {
            name: (total[name] / len(orders), of[1 << i], of[full] - of[full ^ (1 << i)])
            for i, name in enumerate(names)
        }
    return shares


def assert_shared_as_by_hand(admissions, hospitals, errors, replicates: int, *, at_least: dict[int, int]):
    result = simulate(admissions, Scenario(title="t", errors=errors), tables=tables(), hospitals=hospitals,
                      rates=rates(), replicates=replicates, seed=3, ledger=True)  # fmt: skip
    labels = [error.label for error in errors]
    ids = result.admissions["admission_id"][result.attribution["row"]]
    found = {
        (row["replicate"], row["admission_id"], labels[row["error"]]): (row["cents"], row["solo"], row["last"])
        for row in result.attribution.with_columns(admission_id=ids).iter_rows(named=True)
    }
    expected = brute_force(admissions, result.ledger, hospitals)
    sizes = np.bincount([len(each) for each in expected.values()], minlength=8)
    for size, least in at_least.items():
        assert sizes[size] >= least, sizes
    interactions = 0
    for key, each in expected.items():
        given = [found.pop((*key, name), (0, 0, 0)) for name in each]
        for (name, (shapley, solo, last)), got in zip(each.items(), given, strict=True):
            assert abs(got[0] - shapley) <= 1, (key, name, got, shapley)  # whole cents, rounded along the way
            assert got[1:] == (solo, last), (key, name)
            interactions += solo != last
        assert sum(one[0] for one in given) == sum(one[0] for one in each.values())
    assert not found
    return result, interactions


def test_shares_are_the_average_over_all_orders():
    hospitals, admissions = generated(600)
    _, interactions = assert_shared_as_by_hand(
        admissions.head(150), hospitals, MANY, 2, at_least={1: 20, 2: 50, 3: 50, 4: 20}
    )
    assert interactions > 50  # effects do not simply add up


def test_shares_of_reference_claims(shared):
    claims = pl.read_parquet(shared / "claims/v431_claims.parquet")
    order = pl.int_range(pl.len()).over("recipe")
    claims = with_stays(claims.sort(order, "admission_id").head(150))
    errors = (*MANY, InvalidCode(name="typo", pdx=0.1, procedure=0.3), PdxResequence(rate=0.3))
    result, _ = assert_shared_as_by_hand(claims, HOSPITALS, errors, 1, at_least={3: 20, 4: 10, 5: 5})
    assert result.totals["returned"].sum() > 3


def test_two_mccs_that_hold_each_other_share_evenly():
    """Either MCC missed alone costs nothing, both cost 417 to 419: half of it each, whatever the order."""
    one = pl.DataFrame(
        {"admission_id": [1], "hospital_id": ["A"], "age": [70], "sex": ["F"], "discharge_status": [1],
         "pdx": ["K81.0"], "sdx": [["J96.01", "R65.21"]], "sdx_poa": [["Y", "Y"]], "procedures": [["0FT44ZZ"]],
         "los_days": [5], "covered_charges_usd": [30_000.0]}, schema_overrides={"admission_id": pl.UInt64},
    )  # fmt: skip
    errors = (
        SdxOmit(name="lungs", mcc=1.0, where=Where(codes=("J96",))),
        SdxOmit(name="shock", mcc=1.0, where=Where(codes=("R65",))),
    )
    plain = pl.DataFrame({"hospital_id": ["A"], "wage_index": [1.0], "operating_ccr": [0.2]})
    result = simulate(one, Scenario(title="t", errors=errors), tables=tables(), hospitals=plain, rates=rates(),
                      replicates=3, seed=1)  # fmt: skip
    lungs, shock, total = result.errors().rows(named=True)
    loss = 9_938.59 - 17_365.26  # see the order of proof
    assert total["shapley_usd"] == pytest.approx(loss)
    cents = [round(row["shapley_usd"] * 100) for row in (lungs, shock)]
    assert sum(cents) == round(loss * 100)
    assert abs(cents[0] - cents[1]) <= 1
    assert (lungs["first_in_usd"], shock["first_in_usd"]) == (0.0, 0.0)
    assert (lungs["last_in_usd"], shock["last_in_usd"]) == (pytest.approx(loss), pytest.approx(loss))


def test_what_is_returned_is_nobodys_share():
    hospitals, admissions = generated(600)
    errors = (InvalidCode(name="typo", pdx=1.0), SdxOmit(mcc=1.0))
    result = simulate(admissions.head(100), Scenario(title="t", errors=errors), tables=tables(), hospitals=hospitals,
                      rates=rates(), replicates=2, seed=1)  # fmt: skip
    assert result.totals["returned"].to_list() == [100, 100]
    assert result.attribution.is_empty()
    assert result.errors()["shapley_usd"].to_list() == [0.0] * 3
    assert result.mean("returned_usd") == pytest.approx(result.payment_usd)


@pytest.mark.parametrize("replicates", [range(8), range(16, 19)])
def test_bills_hold_every_error_that_did_not_give_way(replicates: range):
    """Bills are by row and replicate; an error gives way just where an earlier one changes the same thing."""
    hospitals, admissions = generated(600)
    cases = Baseline.of(admissions.head(200), tables=tables(), hospitals=hospitals, rates=rates())
    errors = (SdxOmit(mcc=0.5, cc=0.5), SeverityDowngrade(rate=0.5), ProcedureOmit(rate=0.5), PdxResequence(rate=0.5),
              PdxSubstitute(rate=0.5), SdxAddUnsupported(mcc=0.5),
              SdxAddUnsupported(name="again", mcc=0.5))  # fmt: skip
    found = []
    for error in errors:
        sites = confine_sites(error, cases, seed=2)
        found.append(draw_errors(error, sites, key_sites(error, sites, cases, seed=2), cases, replicates))
    bills, lost = combine_errors(found)
    pairs = list(zip(bills.row.tolist(), bills.replicate.tolist(), strict=True))
    assert pairs == sorted(set(pairs))
    assert set(bills.replicate) == set(replicates)
    seen: set[tuple] = set()
    kept, gone = [], np.zeros(len(errors), int)
    for error, one in enumerate(found):
        made = np.flatnonzero(one.refusal == 0)
        text = describe_changes(one.changes, tables())
        for replicate, row, place, edit in zip(
            one.replicate[made].tolist(),
            one.changes.row.tolist(),
            one.changes.place.tolist(),
            text.iter_rows(),
            strict=True,
        ):
            field, before, after = edit
            adds = field in ("sdx", "procedures") and not before
            things = [(replicate, row, field, after if adds else 0 if field == "pdx" else place, adds)]
            if errors[error].kind == "pdx_resequence":
                things.append((replicate, row, "sdx", place, False))
            if any(thing in seen for thing in things):
                gone[error] += 1
            else:
                kept.append((replicate, row, error, *edit))
            seen.update(things)
    assert lost.tolist() == gone.tolist()
    assert gone.sum() > 100
    text = describe_changes(bills.edits, tables())
    mine = zip(bills.replicate[bills.bill].tolist(), bills.edits.row.tolist(), bills.error.tolist(), *text, strict=True)
    assert sorted(mine) == sorted(kept)


def test_no_bills_have_no_shares():
    hospitals, admissions = generated(600)
    cases = Baseline.of(admissions.head(5), tables=tables(), hospitals=hospitals, rates=rates())
    bills, lost = combine_errors([])
    none = np.zeros(0, np.int64)
    assert (len(bills), len(lost)) == (0, 0)
    assert len(attribute_changes(bills, none, none.astype(bool), cases).shapley) == 0
