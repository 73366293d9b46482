"""A simulation: no errors, one error by hand, inverses, sums of parts, invariance; and its results."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from drgsim import InputError, SchemaError
from drgsim.miscoding.claim_field_errors import Demographics, DischargeStatus
from drgsim.miscoding.diagnosis_errors import (
    InvalidCode,
    PdxResequence,
    PdxSubstitute,
    SdxAddUnsupported,
    SdxOmit,
    SeverityDowngrade,
    SeverityUpgrade,
    SpecificityLoss,
)
from drgsim.miscoding.error_models import Where
from drgsim.miscoding.procedure_errors import ProcedureOmit, ProcedureSubstitute
from drgsim.miscoding.scenarios import Scenario
from drgsim.rebilling.baseline import Baseline
from drgsim.simulation import simulator, tallies
from drgsim.simulation.results import Simulation, load_simulation
from drgsim.simulation.simulator import SimulationRun, simulate
from drgsim.studies.comparison import compare_simulations
from tests.support.rebilling import by_hand, cycled, generated, priced, rates, tables

PLAIN = pl.DataFrame({"hospital_id": ["A"], "wage_index": [1.0], "operating_ccr": [0.2]})
MIXED = Scenario(
    title="Every direction",
    errors=(
        SdxOmit(cc=0.1, mcc=0.1, hospital_sd=0.8),
        SdxAddUnsupported(mcc=0.05, cc=0.05, coder_sd=0.5),
        PdxSubstitute(rate=0.05),
        PdxResequence(rate=0.05),
        SpecificityLoss(sdx=0.05, pdx=0.05),
        InvalidCode(name="typo", pdx=0.01, sdx=0.02, procedure=0.03),
        ProcedureSubstitute(rate=0.05),
        ProcedureOmit(rate=0.03),
        DischargeStatus(rate=0.2),
        Demographics(sex=0.01, age=0.02),
    ),
)


def scenario(*errors) -> Scenario:
    return Scenario(title="test", errors=errors)


def run(admissions, what, *, hospitals=PLAIN, replicates=4, seed=1, **more) -> Simulation:
    return simulate(
        admissions, what, tables=tables(), hospitals=hospitals, rates=rates(), replicates=replicates, seed=seed, **more
    )


def stay(**changes) -> pl.DataFrame:
    one = {
        "admission_id": 7,
        "hospital_id": "A",
        "age": 70,
        "sex": "F",
        "discharge_status": 1,
        "pdx": "K81.0",
        "sdx": ["J96.01"],
        "sdx_poa": ["Y"],
        "procedures": ["0FT44ZZ"],
        "los_days": 5,
        "covered_charges_usd": 30_000.0,
    } | changes
    return pl.DataFrame([one], schema_overrides={"admission_id": pl.UInt64})


@pytest.fixture(scope="module")
def world() -> tuple[pl.DataFrame, pl.DataFrame]:
    return generated(600)


@pytest.fixture(scope="module")
def mixed(world) -> Simulation:
    hospitals, admissions = world
    return run(admissions, MIXED, hospitals=hospitals, replicates=12, ledger=True)


# ------------------------------------------------------------------------------------ nothing, and one error


def test_no_errors_change_exactly_nothing(world):
    hospitals, admissions = world
    for prices in (hospitals, None):
        result = run(admissions, Scenario.load("empty"), hospitals=prices, ledger=True)
        summary = result.summary().filter(~pl.col("measure").is_in(["case_mix_index", "mcc_capture", "cc_capture"]))
        moving = summary.filter(pl.col("measure") != "share_up")
        assert moving["mean"].to_list() == [0.0] * len(moving)
        assert moving["standard_error"].to_list() == [0.0] * len(moving)
        assert result.totals.drop("replicate").sum().row(0) == (0,) * (result.totals.width - 1)
        by = result.by("hospital_id", "drg")
        assert (
            by.select("net_usd", "overpaid_usd", "underpaid_usd", "improper_usd", "drg_changes").sum().row(0)
            == (0,) * 5
        )
        assert by["admissions"].sum() == len(admissions)
        assert result.transitions().is_empty()
        assert result.changed_claims.is_empty()
        assert result.ledger is not None
        assert result.ledger.is_empty()
        assert result.errors().rows() == [("total", 0.0, 0.0, 0.0, 0.0)]


def test_errors_at_rate_zero_change_exactly_nothing(world):
    hospitals, admissions = world
    result = run(admissions, MIXED.scaled(0.0), hospitals=hospitals)
    assert result.totals.drop("replicate").sum().row(0) == (0,) * (result.totals.width - 1)


def test_one_missed_mcc_is_what_the_price_list_says():
    """Weights 2.3864 (417) and 1.3658 (419); 6,752.61 operating and 524.15 capital at wage index 1.

    2.3864 x 6,752.61 = 16,114.43 and x 524.15 = 1,250.83; 1.3658 x 6,752.61 = 9,222.71 and x 524.15 = 715.88.
    """
    result = run(stay(), scenario(SdxOmit(mcc=1.0)), replicates=3, ledger=True)
    assert result.payment_usd == 17_365.26
    assert result.mean("net_usd") == pytest.approx(9_938.59 - 17_365.26, abs=1e-9)
    assert result.totals["net"].to_list() == [-742_667] * 3
    assert result.transitions().rows() == [(417, 419, 1.0, pytest.approx(-7426.67, abs=1e-9))]
    assert (result.mean("drg_change_rate"), result.mean("share_up"), result.totals["underpaid"][0]) == (
        1.0,
        0.0,
        742_667,
    )
    assert result.mean("case_mix_index_change") == pytest.approx(1.3658 - 2.3864, abs=1e-12)
    assert (result.mean("mcc_capture"), result.mean("cc_capture")) == (0.0, 0.0)
    assert result.ledger is not None
    assert result.ledger.row(0) == (0, 7, "sdx_omit", 0, "sdx", "J9601", "")
    hand = priced(stay(sdx=[], sdx_poa=[]), PLAIN, rates())
    assert hand.select("drg", "cents").row(0) == (419, 993_859)


@pytest.mark.parametrize("second", ["I21.4", "R65.21", "J96.02"])
def test_a_second_mcc_keeps_the_drg(second: str):
    """A missed MCC costs nothing while the claim has another one; only both together do."""
    result = run(
        stay(sdx=["J96.01", second], sdx_poa=["Y", "Y"]), scenario(SdxOmit(mcc=1.0, where=Where(codes=("J96.01",))))
    )
    assert result.totals["code_changes"].to_list() == [1] * 4
    assert result.totals["net"].to_list() == [0] * 4


def test_a_transfer_billed_as_discharge_home_pays_in_full():
    """DRG 871 is a post-acute transfer DRG: a day in hospital pays twice the per diem, going home pays all."""
    sepsis = {"pdx": "A41.9", "procedures": [], "los_days": 1}
    as_it_was, as_billed = stay(**sepsis, discharge_status=3), stay(**sepsis, discharge_status=1)
    truth, home = (priced(one, PLAIN, rates()) for one in (as_it_was, as_billed))
    assert truth["drg"].item() == 871
    days = rates().table5.filter(pl.col("drg") == 871)["gmlos_days"].item()
    assert truth["cents"].item() == pytest.approx(home["cents"].item() * round(2 / days, 4), abs=2)
    result = run(as_it_was, scenario(DischargeStatus(rate=1.0)))
    assert result.totals["net"].to_list() == [home["cents"].item() - truth["cents"].item()] * 4
    assert result.totals["drg_changes"].to_list() == [0] * 4


# ------------------------------------------------------------------------------------ inverses


def test_up_and_down_again_restores(world):
    """The commonest steps up the ladder in the population, each followed by its own step down."""
    hospitals, admissions = world
    up = run(admissions, scenario(SeverityUpgrade(rate=1.0)), hospitals=hospitals, replicates=1, ledger=True)
    assert up.ledger is not None
    steps = up.ledger.group_by("code_before", "code_after").len().sort("len", "code_before", descending=True).head(6)
    assert steps["len"].sum() > 20
    for before, after, count in steps.rows():
        had = admissions.filter(pl.col("sdx").list.contains(before) & ~pl.col("sdx").list.contains(after))
        there = Where(codes=(before,))
        rise = run(had, scenario(SeverityUpgrade(rate=1.0, to=(after,), where=there)), hospitals=hospitals, ledger=True,
                   replicates=1)  # fmt: skip
        risen = as_billed(had, rise)
        assert 0 < count <= had.height
        assert risen["sdx"].list.contains(after).all()
        there = Where(codes=(after,))
        fall = run(risen, scenario(SeverityDowngrade(rate=1.0, to=(before,), where=there)), hospitals=hospitals,
                   replicates=1, ledger=True)  # fmt: skip
        assert fall.totals["net"].item() == -rise.totals["net"].item()
        assert as_billed(risen, fall).equals(had)


def test_a_swap_and_another_restores(world):
    hospitals, admissions = world
    can_lead = pl.col("pdx_poa").is_in(["Y", "W"]) & pl.col("sdx_poa").list.contains("Y")
    first = run(admissions.filter(can_lead), scenario(PdxResequence(rate=1.0)), hospitals=hospitals, replicates=1,
                ledger=True)  # fmt: skip
    assert first.ledger is not None
    alone = admissions.filter(pl.col("admission_id").is_in(first.ledger["admission_id"].implode()))
    alone = alone.with_columns(sdx=pl.col("sdx").list.head(1), sdx_poa=pl.lit(["Y"])).filter(can_lead)
    there = run(alone, scenario(PdxResequence(rate=1.0)), hospitals=hospitals, replicates=1, ledger=True)
    swapped = as_billed(alone, there)
    assert swapped.height > 50
    own = alone.filter(pl.col("admission_id").is_in(swapped["admission_id"].implode()))
    back = run(swapped, scenario(PdxResequence(rate=1.0)), hospitals=hospitals, replicates=1, ledger=True)
    assert there.totals["net"].item() != 0
    assert back.totals["net"].item() == -there.totals["net"].item()
    assert as_billed(swapped, back).equals(own)


def as_billed(admissions: pl.DataFrame, result: Simulation) -> pl.DataFrame:
    """Return the admissions that a run changed, as they were billed."""
    assert result.ledger is not None
    return by_hand(admissions, result.ledger, ("admission_id",)).select(admissions.columns)


# ------------------------------------------------------------------------------------ sums of parts


def test_totals_are_those_of_claims_edited_by_hand(world, mixed):
    """Every total of every replicate, from the ledger and the public functions alone."""
    hospitals, admissions = world
    truth = priced(admissions, hospitals, rates())
    billed = priced(by_hand(admissions, mixed.ledger), hospitals, rates())
    names = ["drg", "severity", "return_code", "cents", "weight"]
    both = billed.select("replicate", "admission_id", *names).join(
        truth.select("admission_id", *names), on="admission_id", suffix="_was", validate="m:1"
    )
    c = pl.col
    returned = (c("return_code") != "OK") & (c("return_code_was") == "OK")
    both = both.with_columns(returned=returned, change=pl.when(returned).then(0).otherwise(c("cents") - c("cents_was")))
    paid, change, other = ~c("returned"), c("change"), (c("drg") != c("drg_was")) & ~c("returned")
    weight4 = [(c(name).fill_null(0.0) * 1e4).round().cast(pl.Int64) for name in ("weight", "weight_was")]

    def level(name: str) -> pl.Expr:
        more = (c("severity") == name).cast(pl.Int64) - (c("severity_was") == name).cast(pl.Int64)
        return (more * paid).sum()

    expected = both.group_by("replicate", maintain_order=True).agg(
        code_changes=pl.len(),
        drg_changes=other.sum(),
        drg_changes_up=(other & (change > 0)).sum(),
        drg_changes_down=(other & (change < 0)).sum(),
        payment_changes=(change != 0).sum(),
        net=change.sum(),
        overpaid=change.clip(lower_bound=0).sum(),
        underpaid=-change.clip(upper_bound=0).sum(),
        weight4=((weight4[0] - weight4[1]) * paid).sum(),
        mcc=level("MCC"),
        cc=level("CC"),
        returned=c("returned").sum(),
        returned_cents=(c("cents_was") * c("returned")).sum(),
    )
    errors = mixed.ledger.group_by("replicate", maintain_order=True).len()
    found = mixed.totals.sort("replicate")
    assert found["errors"].to_list() == errors["len"].to_list()
    for name in expected.columns:
        assert found[name].to_list() == expected[name].to_list(), name
    assert found["returned"].sum() > 10
    assert (found["drg_changes_up"] > 0).all()
    assert (found["drg_changes_down"] > 0).all()
    moved = both.filter((c("drg") != c("drg_was")) | (c("cents") != c("cents_was")))
    ids = mixed.admissions["admission_id"][mixed.changed_claims["row"]]
    claims = mixed.changed_claims.select("replicate", "drg", "cents", admission_id=ids).sort(
        "replicate", "admission_id"
    )
    wanted = moved.select("replicate", "admission_id", "drg", cents="change").sort("replicate", "admission_id")
    assert_frame_equal(claims, wanted, check_column_order=False, check_dtypes=False)


def test_the_summary_is_made_of_the_totals(world, mixed):
    hospitals, admissions = world
    truth, n = priced(admissions, hospitals, rates()), len(admissions)
    paid = int(truth["cents"].sum())
    net = [cents / 100 for cents in mixed.totals["net"].to_list()]
    mean, r = sum(net) / len(net), len(net)
    sd = (sum((x - mean) ** 2 for x in net) / (r - 1)) ** 0.5
    row = mixed.summary().row(by_predicate=pl.col("measure") == "net_usd", named=True)
    assert row["mean"] == pytest.approx(mean)
    assert row["sd"] == pytest.approx(sd)
    assert row["standard_error"] == pytest.approx(sd / r**0.5)
    assert row["high"] - row["mean"] == pytest.approx(2.200985 * sd / r**0.5)  # t, 11 degrees, 97.5 %
    assert row["low"] + row["high"] == pytest.approx(2 * row["mean"])
    assert min(net) <= row["event_low"] <= row["event_high"] <= max(net)
    assert mixed.payment_usd == pytest.approx(paid / 100)
    assert mixed.mean("net_usd_per_admission") == pytest.approx(mean / n)
    assert mixed.mean("net_share") == pytest.approx(mean * 100 / paid)
    assert mixed.mean("improper_usd") == pytest.approx(
        (mixed.totals["overpaid"] + mixed.totals["underpaid"]).mean() / 100
    )
    assert mixed.mean("code_change_rate") == pytest.approx(mixed.totals["code_changes"].mean() / n)
    assert mixed.mean("share_up") == pytest.approx(
        (mixed.totals["drg_changes_up"] / mixed.totals["drg_changes"]).mean()
    )
    index = truth["weight"].fill_null(0.0).mean()
    assert mixed.mean("case_mix_index") == pytest.approx(index + mixed.totals["weight4"].mean() / 1e4 / n)
    captured = (truth["severity"] == "MCC").sum() + mixed.totals["mcc"].mean()
    assert mixed.mean("mcc_capture") == pytest.approx(captured / n)


def test_drgs_change_no_oftener_than_codes(mixed):
    assert (mixed.totals["drg_changes"] <= mixed.totals["code_changes"]).all()
    assert (mixed.totals["drg_changes"] > 0).all()
    assert (mixed.totals["code_changes"] <= mixed.totals["errors"]).all()


@pytest.mark.parametrize(
    "columns",
    [["mdc"], ["drg"], ["hospital_id"], ["severity"], ["sex", "discharge_status"], ["error"], ["error", "mdc"],
     ["billed_drg"], ["billed_mdc", "billed_severity"], ["drg", "billed_drg"], ["error", "billed_drg"],
     ["los_days"]],
    ids="+".join,
)  # fmt: skip
def test_parts_add_up_to_the_total_to_the_cent(mixed, columns):
    table = mixed.by(*columns)
    assert table.select(columns).is_unique().all()
    cents = [round(usd * mixed.replicates * 100, 3) for usd in table["net_usd"].to_list()]
    assert cents == [float(round(one)) for one in cents]  # whole cents
    assert sum(map(round, cents)) == mixed.totals["net"].sum()
    assert (table["overpaid_usd"] - table["underpaid_usd"] - table["net_usd"]).abs().max() < 1e-6
    assert (table["overpaid_usd"] + table["underpaid_usd"] - table["improper_usd"]).abs().max() < 1e-6
    if "error" not in columns:
        assert (
            sum(map(round, (table["overpaid_usd"] * mixed.replicates * 100).to_list()))
            == mixed.totals["overpaid"].sum()
        )
        assert table["drg_changes"].sum() * mixed.replicates == pytest.approx(mixed.totals["drg_changes"].sum())
    if "payment_usd" in table.columns:
        assert table["payment_usd"].sum() == pytest.approx(mixed.payment_usd, abs=0.005)
        assert table["admissions"].sum() == mixed.admissions.height


def test_errors_and_transitions_add_up_to_the_total(mixed):
    table = mixed.errors()
    assert table["error"].to_list() == [*(error.label for error in MIXED.errors), "total"]
    cents = [round(usd * mixed.replicates * 100) for usd in table["shapley_usd"].to_list()]
    assert sum(cents[:-1]) == cents[-1] == mixed.totals["net"].sum()
    moves = mixed.transitions()
    assert moves.select("drg", "billed_drg").is_unique().all()
    stays = mixed.changed_claims.filter(
        mixed.changed_claims["drg"] == mixed.admissions["drg"][mixed.changed_claims["row"]]
    )
    within = stays["cents"].sum()
    assert round(moves["usd"].sum() * mixed.replicates * 100) + within == mixed.totals["net"].sum()
    moved = (mixed.totals["drg_changes"] + mixed.totals["returned"]).sum()
    assert round(moves["admissions"].sum() * mixed.replicates) == moved
    assert within != 0  # discharge status pays without another DRG


def test_the_whole_change_is_attributed_to_a_single_error(world):
    hospitals, admissions = world
    result = run(admissions, scenario(SdxOmit(mcc=0.3)), hospitals=hospitals)
    row, total = result.errors().rows(named=True)
    for name in ("shapley_usd", "first_in_usd", "last_in_usd", "standard_error"):
        assert row[name] == pytest.approx(total[name], abs=1e-9), name
    assert total["shapley_usd"] < 0


def test_standard_errors_by_group_are_those_of_the_replicates(mixed):
    per = (
        mixed.changed_claims.with_columns(mdc_was=mixed.admissions["mdc"][mixed.changed_claims["row"]])
        .group_by("mdc_was", "replicate")
        .agg(pl.col("cents").sum())
    )
    table = mixed.by("mdc")
    for mdc, error in table.select("mdc", "net_standard_error").rows():
        mine = dict(per.filter(pl.col("mdc_was") == mdc).select("replicate", "cents").rows())
        values = [mine.get(replicate, 0) / 100 for replicate in range(mixed.replicates)]
        assert error == pytest.approx(np.std(values, ddof=1) / mixed.replicates**0.5, abs=1e-6)


# ------------------------------------------------------------------------------------ invariance

TABLES_OF_A_RUN = ("totals", "error_counts", "ledger")


def assert_same_run(one: Simulation, other: Simulation) -> None:
    """Check that every table of two runs is equal, exactly; rows of admissions by their id."""
    assert one.run_id == other.run_id
    for name in TABLES_OF_A_RUN:
        assert_frame_equal(getattr(one, name), getattr(other, name), check_exact=True)
    for make_table in (
        lambda result: result.summary(),
        lambda result: result.errors(),
        lambda result: result.transitions(),
        lambda result: result.by("hospital_id", "mdc"),
        lambda result: result.by("error", "billed_drg"),
        lambda result: pl.DataFrame(result.over_hospitals()),
    ):
        assert_frame_equal(make_table(one), make_table(other), check_exact=True)
    for name in ("changed_claims", "attribution"):
        frames = []
        for result in (one, other):
            table = getattr(result, name)
            keyed = table.with_columns(row=result.admissions["admission_id"][table["row"]])
            frames.append(keyed.sort([name for name in ("replicate", "row", "error_number") if name in table.columns]))
        assert_frame_equal(*frames, check_exact=True)


def test_row_order_changes_nothing(world, mixed):
    hospitals, admissions = world
    shuffled = admissions.sample(fraction=1.0, shuffle=True, seed=3)
    assert not shuffled.equals(admissions)
    assert_same_run(mixed, run(shuffled, MIXED, hospitals=hospitals.reverse(), replicates=12, ledger=True))


@pytest.mark.parametrize(("block", "claims"), [(8, 1), (1, 1), (5, 1), (12, 1 << 30)])
def test_blocks_change_nothing(world, mixed, monkeypatch, block: int, claims: int):
    hospitals, admissions = world
    monkeypatch.setattr(simulator, "BLOCK", block)
    monkeypatch.setattr(simulator, "_CLAIMS", claims)
    assert_same_run(mixed, run(admissions, MIXED, hospitals=hospitals, replicates=12, ledger=True))


def test_a_batch_is_its_share_of_the_whole(world, mixed):
    """No draw and no outcome depends on what else is in the batch."""
    hospitals, admissions = world
    parts = [
        run(part, MIXED, hospitals=hospitals, replicates=12, ledger=True)
        for part in (admissions[:250], admissions[250:])
    ]
    order = ["replicate", "admission_id", "field", "place", "error", "code_after"]
    assert_frame_equal(pl.concat([part.ledger for part in parts]).sort(order), mixed.ledger.sort(order))
    counts = [part.totals.drop("replicate") for part in parts]
    assert (counts[0] + counts[1]).equals(mixed.totals.drop("replicate"))


def test_more_replicates_begin_with_the_fewer(world, mixed):
    hospitals, admissions = world
    few = run(admissions, MIXED, hospitals=hospitals, replicates=5)
    assert few.totals.equals(mixed.totals.head(5))
    assert few.changed_claims.equals(mixed.changed_claims.filter(pl.col("replicate") < 5))


def test_another_seed_draws_otherwise(world, mixed):
    hospitals, admissions = world
    other = run(admissions, MIXED, hospitals=hospitals, replicates=12, seed=2)
    assert other.run_id != mixed.run_id
    assert not other.totals.equals(mixed.totals)
    again = run(admissions, MIXED, hospitals=hospitals, replicates=12, seed=1)
    assert again.totals.equals(mixed.totals)


def test_another_error_leaves_the_draws_of_the_others(world):
    hospitals, admissions = world
    alone = run(admissions, scenario(SdxOmit(mcc=0.2, cc=0.2)), hospitals=hospitals, ledger=True)
    together = run(
        admissions, scenario(SdxOmit(mcc=0.2, cc=0.2), ProcedureOmit(rate=0.2)), hospitals=hospitals, ledger=True
    )
    assert together.ledger.filter(pl.col("error") == "sdx_omit").equals(alone.ledger)
    assert together.ledger.height > alone.ledger.height


def test_errors_nest_as_rates_rise(world):
    """All errors of half the rate are errors of the full one, of every kind; with one outcome each, the same."""
    hospitals, admissions = world
    full = run(admissions, MIXED, hospitals=hospitals, ledger=True)
    for factor in (0.5, 0.9):
        fewer = run(admissions, MIXED.scaled(factor), hospitals=hospitals, ledger=True)
        kinds = [error.label for error in MIXED.errors if not (error.hospital_sd or error.coder_sd)]
        mine, theirs = (one.ledger.filter(pl.col("error").is_in(kinds)) for one in (fewer, full))
        keys = ["replicate", "admission_id", "error", "field", "place"]
        given_way = full.error_counts["the same code has another error"].sum()
        assert mine.join(theirs, on=keys, how="anti").height <= given_way
        assert 0 < fewer.ledger.height < full.ledger.height


PROGRAM = """
import hashlib, sys
import polars as pl
import drgsim.numerics.parallel
from drgsim import Rates, TableSet
from drgsim.miscoding.scenarios import Scenario
from drgsim.simulation.simulator import simulate

drgsim.numerics.parallel.SMALLEST = 50
folder = sys.argv[1]
result = simulate(
    pl.read_parquet(f"{folder}/admissions.parquet"), Scenario.load(f"{folder}/scenario.toml"),
    tables=TableSet.load("43.1"), hospitals=pl.read_parquet(f"{folder}/hospitals.parquet"), rates=Rates.load(2026),
    replicates=12, seed=1, ledger=True,
)
tables = [result.totals, result.changed_claims, result.attribution, result.error_counts, result.ledger,
          result.summary(), result.errors(), result.transitions(), result.by("hospital_id", "mdc"),
          result.by("error", "drg"),
          pl.DataFrame(result.over_hospitals())]
print(pl.thread_pool_size(), *(hashlib.sha256(table.write_csv().encode()).hexdigest() for table in tables))
"""


def test_threads_change_nothing(world, mixed, tmp_path: Path):
    hospitals, admissions = world
    admissions.write_parquet(tmp_path / "admissions.parquet")
    hospitals.write_parquet(tmp_path / "hospitals.parquet")
    (tmp_path / "scenario.toml").write_text(MIXED.dumps(), "utf-8")
    running = {
        threads: subprocess.Popen(
            [sys.executable, "-W", "error", "-c", PROGRAM, str(tmp_path)],
            env={**os.environ, "POLARS_MAX_THREADS": threads, "PYTHONPATH": str(Path(__file__).parents[2])},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for threads in ("1", "2", "3")
    }
    outputs = {threads: (*process.communicate(), process.returncode) for threads, process in running.items()}
    answers = {}
    for threads, (out, err, code) in outputs.items():
        assert code == 0, err
        pool, *hashes = out.split()
        assert pool == threads
        answers[threads] = hashes
    assert answers["1"] == answers["2"] == answers["3"]
    assert answers["1"][0] == hashlib.sha256(mixed.totals.write_csv().encode()).hexdigest()


# ------------------------------------------------------------------------------------ coverage of a known truth


def enumerate_subsets(admissions: pl.DataFrame, hospitals: pl.DataFrame, cc: float, mcc: float) -> tuple[float, float]:
    """Return mean and variance of the net change [USD], by billing every subset of missed codes by hand."""
    level = dict(tables().diagnoses.select("code", pl.col("severity").cast(pl.String)).rows())
    rate = {"CC": cc, "MCC": mcc}
    claims, chances = [], []
    for row in admissions.iter_rows(named=True):
        sites = [place for place, code in enumerate(row["sdx"]) if level.get(code) in rate]
        for gone in itertools.chain.from_iterable(itertools.combinations(sites, k) for k in range(len(sites) + 1)):
            chance = 1.0
            for place in sites:
                p = rate[level[row["sdx"][place]]]
                chance *= p if place in gone else 1 - p
            kept = [place for place in range(len(row["sdx"])) if place not in gone]
            lists = {name: [row[name][place] for place in kept] for name in ("sdx", "sdx_poa")}
            claims.append({**row, **lists})
            chances.append(chance)
    truth = dict(priced(admissions, hospitals, rates()).select("admission_id", "cents").rows())
    billed = priced(pl.DataFrame(claims, schema=admissions.schema), hospitals, rates())
    each = billed.select("admission_id", change=(pl.col("cents") - pl.col("admission_id").replace_strict(truth)) / 100)
    each = each.with_columns(chance=pl.Series(chances))
    moments = each.group_by("admission_id").agg(
        mean=(pl.col("chance") * pl.col("change")).sum(),
        square=(pl.col("chance") * pl.col("change") ** 2).sum(),
        total=pl.col("chance").sum(),
    )
    assert moments["total"].to_numpy() == pytest.approx(1.0)
    return moments["mean"].sum(), (moments["square"] - moments["mean"] ** 2).sum()


def take_small(world) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Forty admissions with up to five CCs and MCCs."""
    hospitals, admissions = world
    matter = tables().diagnoses.filter(pl.col("severity").cast(pl.String) != "NONE")["code"]
    count = pl.col("sdx").list.eval(pl.element().is_in(matter.implode())).list.sum()
    return hospitals, admissions.filter(count.is_between(1, 5)).head(40)


def measure_coverage(world, runs: int, replicates: int) -> tuple[float, float, float, float]:
    """Return the share of intervals that contain the true mean; the mean and variance of all replicates compared."""
    hospitals, admissions = take_small(world)
    truth, variance = enumerate_subsets(admissions, hospitals, 0.25, 0.4)
    # What `simulate` does, but with the admissions encoded, grouped and priced once for all runs.
    baseline = Baseline.of(admissions, tables=tables(), hospitals=hospitals, rates=rates())
    assert truth < -1000
    held, nets = 0, []
    for seed in range(runs):
        one = SimulationRun.of(baseline, scenario(SdxOmit(cc=0.25, mcc=0.4)), seed=seed)
        one.draw_replicates(replicates, progress=False)
        result = one.build_result(replicates)
        row = result.summary().row(by_predicate=pl.col("measure") == "net_usd", named=True)
        held += row["low"] <= truth <= row["high"]
        nets += (result.totals["net"] / 100).to_list()
    error = (np.mean(nets) - truth) / (variance / len(nets)) ** 0.5
    return held / runs, float(error), float(np.var(nets, ddof=1) / variance), truth


def test_the_mean_and_the_spread_are_those_of_the_enumeration(world):
    share, error, ratio, _ = measure_coverage(world, 60, 40)
    assert abs(error) < 3  # standard errors
    assert ratio == pytest.approx(1.0, abs=0.12)
    assert share > 0.86


@pytest.mark.slow
def test_intervals_cover_the_truth_as_often_as_they_say(world):
    share, error, ratio, truth = measure_coverage(world, 2000, 40)
    print(
        f"coverage {share:.4f} of 2,000 runs; mean {error:+.2f} standard errors from {truth:,.2f}; spread {ratio:.4f}"
    )
    assert 0.93 <= share <= 0.97
    assert abs(error) < 3
    assert ratio == pytest.approx(1.0, abs=0.02)


# ------------------------------------------------------------------------------------ results


def test_a_target_stops_the_run_at_a_multiple_of_sixteen(world):
    hospitals, admissions = world
    what = scenario(SdxOmit(mcc=0.2, cc=0.2))
    whole = run(admissions, what, hospitals=hospitals, replicates=200)
    target = whole.summary().row(by_predicate=pl.col("measure") == "net_usd", named=True)["standard_error"] * 2
    stopped = run(admissions, what, hospitals=hospitals, replicates=200, target_se=target)
    net = whole.totals["net"].to_numpy() / 100
    errors = {r: np.std(net[:r], ddof=1) / r**0.5 for r in range(16, 201, 16)}
    assert stopped.replicates == min(r for r, error in errors.items() if error <= target)
    assert 16 < stopped.replicates < 200
    assert stopped.totals.equals(whole.totals.head(stopped.replicates))
    assert (stopped.asked, stopped.interrupted) == (200, False)
    assert run(admissions, what, hospitals=hospitals, replicates=20, target_se=1e-6).replicates == 20
    assert run(admissions, what, hospitals=hospitals, replicates=20, target_se=1e12).replicates == 16


def test_an_interrupt_returns_what_is_finished(world, mixed, monkeypatch):
    hospitals, admissions = world
    monkeypatch.setattr(simulator, "_CLAIMS", 1)
    monkeypatch.setattr(simulator, "BLOCK", 8)
    real = tallies.attribute_changes

    def stop_in_the_second_block(claims, *arguments):
        if claims.replicate.min(initial=8) >= 8 and len(claims):
            raise KeyboardInterrupt
        return real(claims, *arguments)

    monkeypatch.setattr(tallies, "attribute_changes", stop_in_the_second_block)
    result = run(admissions, MIXED, hospitals=hospitals, replicates=12, ledger=True)
    assert (result.interrupted, result.replicates, result.asked) == (True, 8, 12)
    assert result.totals.equals(mixed.totals.head(8))
    assert result.changed_claims.equals(mixed.changed_claims.filter(pl.col("replicate") < 8))
    assert result.ledger.equals(mixed.ledger.filter(pl.col("replicate") < 8))
    monkeypatch.undo()
    first = run(admissions, MIXED, hospitals=hospitals, replicates=8)
    assert_frame_equal(result.error_counts, first.error_counts)
    assert_frame_equal(result.summary(), first.summary())


def test_an_interrupt_at_once_has_no_replicate(world, monkeypatch, tmp_path: Path):
    hospitals, admissions = world
    real, calls = simulator.draw_errors, []

    def stop(*arguments):
        calls.append(1)
        if len(calls) > len(MIXED.errors):
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(simulator, "draw_errors", stop)
    result = run(admissions, MIXED, hospitals=hospitals, ledger=True)
    assert (result.interrupted, result.replicates) == (True, 0)
    assert result.summary()["mean"].null_count() == len(result.summary())
    assert result.totals.is_empty()
    assert result.by("mdc")["net_usd"].null_count() == result.by("mdc").height
    assert result.transitions().is_empty()
    result.save(tmp_path)


def test_one_replicate_has_no_standard_error(world):
    hospitals, admissions = world
    result = run(admissions, scenario(SdxOmit(mcc=0.3)), hospitals=hospitals, replicates=1)
    summary = result.summary()
    assert summary["mean"].null_count() == 0
    for name in ("standard_error", "low", "high", "sd", "event_low", "event_high"):
        assert summary[name].null_count() == summary.height
    table = result.by("mdc")
    for name in ("net_standard_error", "net_low", "net_high"):
        assert table[name].null_count() == table.height
    assert result.errors()["standard_error"].null_count() == 2
    compared = compare_simulations(result, result)
    assert compared["standard_error"].null_count() == compared.height


def test_no_admissions_are_no_money(world):
    hospitals, admissions = world
    result = run(admissions.clear(), MIXED, hospitals=hospitals, ledger=True)
    assert result.totals.height == 4
    assert result.totals.drop("replicate").sum().row(0) == (0,) * (result.totals.width - 1)
    assert result.mean("net_usd") == 0.0
    assert result.error_counts["sites"].to_list() == [0] * len(MIXED.errors)
    assert result.error_counts["error"].to_list() == [error.label for error in MIXED.errors]
    assert result.by("mdc").is_empty()
    assert result.transitions().is_empty()
    assert result.ledger.is_empty()


def test_the_ledger_counts_what_was_made(mixed):
    made = dict(mixed.ledger["error"].value_counts().rows())
    assert dict(mixed.error_counts.select("error", "made").rows()) == {
        error.label: made.get(error.label, 0) for error in MIXED.errors
    }
    refusals = mixed.error_counts.columns[mixed.error_counts.columns.index("made") + 1 :]
    assert "no candidate" in refusals
    counted = mixed.error_counts.select("made", *refusals).sum_horizontal()
    assert counted.to_list() == mixed.error_counts["drawn"].to_list()
    spread = (mixed.error_counts["expected"] * mixed.replicates).sqrt()
    # An error happens as often as its sites and rates say, those of clustered rates included.
    distance = (mixed.error_counts["drawn"] - mixed.error_counts["expected"] * mixed.replicates).abs() / spread
    assert distance.max() < 4


def test_a_ledger_is_kept_only_when_asked(world):
    hospitals, admissions = world
    assert run(admissions, MIXED, hospitals=hospitals, replicates=1).ledger is None


def test_everything_is_saved_and_loaded(mixed, tmp_path: Path):
    folder = mixed.save(tmp_path / "a" / "run")
    for name in ("admissions", "totals", "changed_claims", "attribution", "error_counts", "ledger"):
        assert_frame_equal(pl.read_parquet(folder / f"{name}.parquet"), getattr(mixed, name))
    for name in ("summary", "errors", "transitions"):
        assert_frame_equal(pl.read_parquet(folder / f"{name}.parquet"), getattr(mixed, name)())
    about = json.loads((folder / "run.json").read_text("utf-8"))
    assert about["run_id"] == mixed.run_id
    assert (about["seed"], about["replicates"], about["version"], about["interrupted"]) == (1, 12, "43.1", False)
    assert Scenario.load(folder / "scenario.toml").resolved() == MIXED.resolved()
    assert Scenario.load(folder / "scenario.toml").digest == MIXED.digest
    assert mixed.save(folder) == folder
    loaded = load_simulation(folder)
    assert_same_run(mixed, loaded)
    assert (loaded.seed, loaded.replicates, loaded.asked, loaded.interrupted) == (1, 12, 12, False)
    assert str(loaded) == str(mixed)


def test_a_damaged_result_is_refused(mixed, tmp_path: Path):
    folder = mixed.save(tmp_path / "run")
    run = json.loads((folder / "run.json").read_text("utf-8"))
    for damage, message in (
        ({"tables": ["../secret"]}, "damaged"),
        ({"tables": 5}, "damaged"),
        ({"tables": ["admissions"]}, "not those of a result"),
        ({"tables": ["admissions", "correct_3"]}, r"correct_3\.parquet: missing"),
        ({"by": 5}, "not those of a result"),
    ):
        (folder / "run.json").write_text(json.dumps({**run, **damage}), "utf-8")
        with pytest.raises(InputError, match=message):
            load_simulation(folder)


@pytest.mark.parametrize("wanted", [True, False, None])
def test_progress_shows_when_wanted(wanted, capfd):
    run(stay(), scenario(SdxOmit(mcc=1.0)), progress=wanted)
    out, err = capfd.readouterr()
    assert out == ""
    assert ("replicate" in err) is bool(wanted)


def test_two_runs_are_compared_replicate_by_replicate(world, mixed):
    hospitals, admissions = world
    half = run(admissions, MIXED.scaled(0.5), hospitals=hospitals, replicates=12)
    table = compare_simulations(mixed, half)
    assert table["paired"].all()
    row = table.row(by_predicate=pl.col("measure") == "net_usd", named=True)
    difference = (half.totals["net"] - mixed.totals["net"]).to_numpy() / 100
    error = np.std(difference, ddof=1) / 12**0.5
    assert row["difference"] == pytest.approx(difference.mean())
    assert row["standard_error"] == pytest.approx(error)
    assert row["high"] - row["difference"] == pytest.approx(2.200985 * error)
    codes = table.row(by_predicate=pl.col("measure") == "code_changes", named=True)
    assert codes["difference"] < 0
    assert compare_simulations(mixed, mixed)["difference"].to_list() == [0.0] * table.height
    other = run(admissions, MIXED, hospitals=hospitals, replicates=12, seed=2)
    apart = compare_simulations(mixed, other)
    assert not apart["paired"].any()
    row = apart.row(by_predicate=pl.col("measure") == "net_usd", named=True)
    variance = sum((one.totals["net"].to_numpy() / 100).var(ddof=1) / 12 for one in (mixed, other))
    assert row["standard_error"] == pytest.approx(variance**0.5)


def test_runs_of_other_admissions_are_not_compared(world, mixed):
    hospitals, admissions = world
    with pytest.raises(InputError, match="600 and 100"):
        compare_simulations(mixed, run(admissions[:100], MIXED, hospitals=hospitals, replicates=1))
    with pytest.raises(InputError, match="found dict"):
        compare_simulations(mixed, {})


def test_intervals_over_hospitals_resample_hospitals(mixed):
    share, low, high = mixed.over_hospitals()
    net, paid = mixed.totals["net"].mean() / 100, mixed.payment_usd
    assert share == pytest.approx(net / paid)
    assert low < share < high
    table = mixed.by("hospital_id")
    mine, of = table["net_usd"].to_numpy(), table["payment_usd"].to_numpy()
    picks = np.random.default_rng(1).integers(0, len(mine), (20_000, len(mine)))
    bounds = np.quantile(mine[picks].sum(1) / of[picks].sum(1), [0.025, 0.975])
    # Two bootstraps of one statistic: a 2.5 % quantile of 2,000 resamples has a standard error of 0.06 standard
    # deviations, which is 0.015 of the width of the interval; four of these.
    assert (low, high) == pytest.approx(tuple(bounds), abs=0.06 * (bounds[1] - bounds[0]))
    narrow = mixed.over_hospitals(level=0.5)
    assert low < narrow[1] < narrow[2] < high


def test_intervals_over_hospitals_need_hospitals(world):
    _, admissions = world
    result = run(admissions.drop("hospital_id"), MIXED.only(["procedure_omit"]), hospitals=None)
    with pytest.raises(InputError, match="hospital_id"):
        result.over_hospitals()


def test_what_cannot_be_simulated_is_refused(world):
    hospitals, admissions = world
    head = admissions.head(20)
    with pytest.raises(InputError, match=r"admission_id is missing in 1 rows, first in row 3"):
        run(with_id(head, [*range(3), None, *range(4, 20)]), MIXED, hospitals=hospitals)
    with pytest.raises(InputError, match=r"the admission_id of row 5 comes more than once \(2 rows"):
        run(with_id(head, [*range(19), 5]), MIXED, hospitals=hospitals)
    with pytest.raises(SchemaError, match="pdx"):
        run(head.drop("pdx"), MIXED, hospitals=hospitals)
    for wrong in (0, -1, True, 1.5):
        with pytest.raises(InputError, match="replicates is"):
            run(head, MIXED, hospitals=hospitals, replicates=wrong)
    for wrong in (0.0, -1.0, float("nan")):
        with pytest.raises(InputError, match="target_se is"):
            run(head, MIXED, hospitals=hospitals, target_se=wrong)
    with pytest.raises(InputError, match=r"Scenario\.load"):
        run(head, "oig_1985", hospitals=hospitals)
    with pytest.raises(InputError, match=r"TableSet\.load"):
        simulate(head, MIXED, tables="43.1", hospitals=hospitals, rates=rates(), seed=1)
    with pytest.raises(InputError, match="EXEMPT"):
        run(head, MIXED, hospitals=hospitals, hospital_status="EXCUSED")
    with pytest.raises(InputError, match=r"'mcd'.*Did you mean 'mdc'"):
        run(head, MIXED, hospitals=hospitals).by("mcd")
    with pytest.raises(InputError, match="name a column"):
        run(head, MIXED, hospitals=hospitals).by()
    with pytest.raises(InputError, match=r"'net'.*Did you mean"):
        run(head, MIXED, hospitals=hospitals).mean("net")


def with_id(frame: pl.DataFrame, ids: list[int | None]) -> pl.DataFrame:
    return frame.with_columns(admission_id=pl.Series(ids, dtype=pl.UInt64))


def test_the_run_is_named_by_data_scenario_version_and_seed(world):
    hospitals, admissions = world
    head = admissions.head(60)
    what = scenario(SdxOmit(mcc=0.1), Demographics(age=0.1))
    base = run(head, what, hospitals=hospitals, replicates=1).run_id
    assert len(base) == 20
    same_run = run(head.reverse(), what, hospitals=hospitals, replicates=3).run_id
    assert same_run == base
    n = head.height
    paid = scenario(SdxOmit(mcc=0.1, where=Where(columns={"payer": ("X",)})))
    others = {
        "seed": run(head, what, hospitals=hospitals, replicates=1, seed=2),
        "scenario": run(head, what.scaled(0.5), hospitals=hospitals, replicates=1),
        "name": run(head, scenario(SdxOmit(name="missed", mcc=0.1), what.errors[1]), hospitals=hospitals, replicates=1),
        "order": run(head, scenario(*reversed(what.errors)), hospitals=hospitals, replicates=1),
        "version": simulate(head, what, tables=tables("43.0"), hospitals=hospitals, rates=rates(), seed=1,
                            replicates=1),
        "rates": simulate(head, what, tables=tables(), hospitals=hospitals, rates=rates(2025), replicates=1, seed=1),
        "hospitals": run(head, what, hospitals=None, replicates=1),
        "ids": run(head.with_columns(pl.col("admission_id") + 1), what, hospitals=hospitals, replicates=1),
        "order of codes": run(head.with_columns(pl.col("sdx", "sdx_poa").list.reverse()), what, hospitals=hospitals,
                              replicates=1),
        "poa": run(head.with_columns(sdx_poa=pl.col("sdx").list.eval(pl.lit("N"))), what, hospitals=hospitals,
                   replicates=1),
        "age": run(head.with_columns(pl.col("age") - 1), what, hospitals=hospitals, replicates=1),
        "los": run(head.with_columns(pl.col("los_days") + 1), what, hospitals=None, replicates=1),
        "hospital": run(head.with_columns(hospital_id=cycled(["X", "Y"], n)), what, hospitals=None, replicates=1),
        "payer": run(head.with_columns(payer=cycled(["X", "Y"], n)), paid, hospitals=hospitals, replicates=1),
        "other payer": run(head.with_columns(payer=cycled(["Y", "X"], n)), paid, hospitals=hospitals, replicates=1),
        "less": run(head[1:], what, hospitals=hospitals, replicates=1),
    }  # fmt: skip
    ids = {name: result.run_id for name, result in others.items()}
    assert base not in ids.values(), [name for name, one in ids.items() if one == base]
    assert len(set(ids.values())) == len(ids), ids
