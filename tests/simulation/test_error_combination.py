"""The attribution to errors is that of Shapley: the average over all orders in which the errors could be made."""

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
from drgsim.rebilling.shapley import attribute_changes
from drgsim.simulation.error_combination import combine_errors
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
    """Return Shapley values, first-in and last-in effects of the errors of every claim [cents], by permutations.

    Every subset of a claim's errors is made in plain Python, grouped and priced. An ungroupable claim changes payment
    by 0 (it is returned, not paid). Then the effects are averaged over all orders of the errors.
    """
    rows = {row["admission_id"]: row for row in admissions.iter_rows(named=True)}
    changed: dict[tuple, dict[str, list]] = {}
    for change in ledger.iter_rows(named=True):
        claim = changed.setdefault((change["replicate"], change["admission_id"]), {})
        claim.setdefault(change["error"], []).append(change)
    claims, keys = [], []
    for key, by_error in changed.items():
        names = list(by_error)
        for subset in range(1, 1 << len(names)):
            chosen = [change for i, name in enumerate(names) if subset >> i & 1 for change in by_error[name]]
            claims.append(edited(rows[key[1]], chosen))
            keys.append((key, subset))
    answers = priced(pl.DataFrame(claims, schema=admissions.schema), hospitals, rates())
    truth = {row["admission_id"]: row for row in priced(admissions, hospitals, rates()).iter_rows(named=True)}
    value: dict[tuple, dict[int, int]] = {key: {0: 0} for key in changed}
    for (key, subset), row in zip(keys, answers.iter_rows(named=True), strict=True):
        returned = row["drg"] == 999 and truth[key[1]]["return_code"] == "OK"
        value[key][subset] = 0 if returned else row["cents"] - truth[key[1]]["cents"]
        if returned and subset == (1 << len(changed[key])) - 1:
            value[key][-1] = 1  # the claim is returned: no error has a share
    shares = {}
    for key, by_error in changed.items():
        names, of = list(by_error), value[key]
        if of.pop(-1, 0):
            continue
        full = (1 << len(names)) - 1
        total = dict.fromkeys(names, 0)
        orders = list(permutations(range(len(names))))
        for order in orders:
            before = 0
            for i in order:
                total[names[i]] += of[before | 1 << i] - of[before]
                before |= 1 << i
        shares[key] = {
            name: (Fraction(total[name], len(orders)), of[1 << i], of[full] - of[full ^ (1 << i)])
            for i, name in enumerate(names)
        }
    return shares


def assert_attribution_by_hand(admissions, hospitals, errors, replicates: int, *, at_least: dict[int, int]):
    result = simulate(admissions, Scenario(title="t", errors=errors), tables=tables(), hospitals=hospitals,
                      rates=rates(), replicates=replicates, seed=3, ledger=True)  # fmt: skip
    labels = [error.label for error in errors]
    ids = result.admissions["admission_id"][result.attribution["row"]]
    money = ("cents", "first_in", "last_in")
    found = {
        (row["replicate"], row["admission_id"], labels[row["error_number"]]): tuple(row[name] for name in money)
        for row in result.attribution.with_columns(admission_id=ids).iter_rows(named=True)
    }
    expected = brute_force(admissions, result.ledger, hospitals)
    sizes = np.bincount([len(each) for each in expected.values()], minlength=8)
    for size, least in at_least.items():
        assert sizes[size] >= least, sizes
    interactions = 0
    for key, each in expected.items():
        shares = [found.pop((*key, name), (0, 0, 0)) for name in each]
        for (name, (shapley, first_in, last_in)), got in zip(each.items(), shares, strict=True):
            assert abs(got[0] - shapley) <= 1, (key, name, got, shapley)  # whole cents, rounded along the way
            assert got[1:] == (first_in, last_in), (key, name)
            interactions += first_in != last_in
        assert sum(one[0] for one in shares) == sum(one[0] for one in each.values())
    assert not found
    return result, interactions


def test_shares_are_the_average_over_all_orders():
    hospitals, admissions = generated(600)
    _, interactions = assert_attribution_by_hand(
        admissions.head(150), hospitals, MANY, 2, at_least={1: 20, 2: 50, 3: 50, 4: 20}
    )
    assert interactions > 50  # effects do not simply add up


def test_attribution_of_reference_claims(shared):
    claims = pl.read_parquet(shared / "claims/v431_claims.parquet")
    order = pl.int_range(pl.len()).over("recipe")
    claims = with_stays(claims.sort(order, "admission_id").head(150))
    errors = (*MANY, InvalidCode(name="typo", pdx=0.1, procedure=0.3), PdxResequence(rate=0.3))
    result, _ = assert_attribution_by_hand(claims, HOSPITALS, errors, 1, at_least={3: 20, 4: 10, 5: 5})
    assert result.totals["returned"].sum() > 3


def test_two_mccs_that_each_keep_the_drg_share_evenly():
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
    loss = 9_938.59 - 17_365.26  # test_simulator: one missed MCC
    assert total["shapley_usd"] == pytest.approx(loss)
    cents = [round(row["shapley_usd"] * 100) for row in (lungs, shock)]
    assert sum(cents) == round(loss * 100)
    assert abs(cents[0] - cents[1]) <= 1
    assert (lungs["first_in_usd"], shock["first_in_usd"]) == (0.0, 0.0)
    assert (lungs["last_in_usd"], shock["last_in_usd"]) == (pytest.approx(loss), pytest.approx(loss))


def test_a_returned_claim_is_attributed_to_no_error():
    hospitals, admissions = generated(600)
    errors = (InvalidCode(name="typo", pdx=1.0), SdxOmit(mcc=1.0))
    result = simulate(admissions.head(100), Scenario(title="t", errors=errors), tables=tables(), hospitals=hospitals,
                      rates=rates(), replicates=2, seed=1)  # fmt: skip
    assert result.totals["returned"].to_list() == [100, 100]
    assert result.attribution.is_empty()
    assert result.errors()["shapley_usd"].to_list() == [0.0] * 3
    assert result.mean("returned_usd") == pytest.approx(result.payment_usd)


@pytest.mark.parametrize("replicates", [range(8), range(16, 19)])
def test_claims_hold_every_error_that_is_not_refused(replicates: range):
    """Claims are by row and replicate; an error is refused only where an earlier one changes the same thing."""
    hospitals, admissions = generated(600)
    baseline = Baseline.of(admissions.head(200), tables=tables(), hospitals=hospitals, rates=rates())
    errors = (SdxOmit(mcc=0.5, cc=0.5), SeverityDowngrade(rate=0.5), ProcedureOmit(rate=0.5), PdxResequence(rate=0.5),
              PdxSubstitute(rate=0.5), SdxAddUnsupported(mcc=0.5),
              SdxAddUnsupported(name="again", mcc=0.5))  # fmt: skip
    found = []
    for error in errors:
        sites = confine_sites(error, baseline, seed=2)
        found.append(draw_errors(error, sites, key_sites(error, sites, baseline, seed=2), baseline, replicates))
    claims, lost = combine_errors(found)
    pairs = list(zip(claims.row.tolist(), claims.replicate.tolist(), strict=True))
    assert pairs == sorted(set(pairs))
    assert set(claims.replicate) == set(replicates)
    seen: set[tuple] = set()
    kept, refused = [], np.zeros(len(errors), int)
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
                refused[error] += 1
            else:
                kept.append((replicate, row, error, *edit))
            seen.update(things)
    assert lost.tolist() == refused.tolist()
    assert refused.sum() > 100
    text = describe_changes(claims.changes, tables())
    replicate, row = claims.replicate[claims.claim].tolist(), claims.changes.row.tolist()
    assert sorted(zip(replicate, row, claims.error.tolist(), *text, strict=True)) == sorted(kept)


def test_no_claims_have_no_shares():
    hospitals, admissions = generated(600)
    baseline = Baseline.of(admissions.head(5), tables=tables(), hospitals=hospitals, rates=rates())
    claims, lost = combine_errors([])
    none = np.zeros(0, np.int64)
    assert (len(claims), len(lost)) == (0, 0)
    assert len(attribute_changes(claims, none, none.astype(bool), baseline).shapley) == 0
