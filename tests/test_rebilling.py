"""Bills of every kind of error are what `group()` and `pay()` say of claims edited by hand, to the cent.

This holds what the simulator leaves out (edits no formula can see, stays priced again from integers) against the
whole way, on generated admissions and on claims of CMS's own grouper runs, which are built to be awkward.
"""

from __future__ import annotations

import datetime as dt
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from drgsim.bills import billed_together
from drgsim.cases import Cases
from drgsim.claim_errors import Demographics, Disposition
from drgsim.diagnosis_errors import (
    PdxResequence,
    PdxSubstitute,
    PoaFlip,
    SdxAddUnsupported,
    SdxOmit,
    SeverityDowngrade,
    SeverityUpgrade,
    SpecificityLoss,
    TypoInvalid,
)
from drgsim.edits import Edits, Kind, told
from drgsim.miscoding import Operator, confined, drawn, keyed
from drgsim.procedure_errors import Duration, PcsAdd, PcsOmit, PcsWrong
from drgsim.sites import Options, Sites
from drgsim.strategy import StrategicUpcode
from tests.rebilling import HOSPITALS, by_hand, generated, priced, rates, tables, with_stays

OPERATORS: dict[str, Operator] = {
    "pdx_resequence": PdxResequence(rate=0.5),
    "pdx_substitute": PdxSubstitute(rate=0.5),
    "sdx_omit": SdxOmit(cc=0.3, mcc=0.3, other=0.1),
    "sdx_add_unsupported": SdxAddUnsupported(mcc=0.2, cc=0.2),
    "sdx_add_anything": SdxAddUnsupported(name="anything", mcc=0.2, cc=0.2, allow_excluded=True, guarded=False),
    "severity_upgrade": SeverityUpgrade(rate=0.3),
    "severity_downgrade": SeverityDowngrade(rate=0.3),
    "specificity_loss": SpecificityLoss(sdx=0.3, pdx=0.3),
    "typo_invalid": TypoInvalid(pdx=0.05, sdx=0.1, procedure=0.2),
    "poa_flip": PoaFlip(over=0.5, under=0.3, every_code=True),
    "pcs_wrong": PcsWrong(rate=0.3, axes=(1, 2, 3, 4, 5, 6, 7)),
    "pcs_omit": PcsOmit(rate=0.4),
    "pcs_add": PcsAdd(rate=0.4),
    "duration": Duration(over=0.6, under=0.6),
    "disposition": Disposition(rate=0.7),
    "home_as_transfer": Disposition(name="transfer", rate=0.4, of=(1,), becomes=2),
    "demographics": Demographics(sex=0.3, age=0.2, guarded=False),
    "strategic_upcode": StrategicUpcode(ceiling=0.6, candidates=3),
}
FILES = ("v400", "v411", "v421", "v430", "v431", "v440", "v431hac")


def assert_billed_as_by_hand(
    claims: pl.DataFrame,
    operators: list[Operator],
    *,
    hospitals=HOSPITALS,
    prices=None,
    version: str = "43.1",
    status: str | None = None,
    replicates: int = 2,
    at_least: int = 1,
    singly: bool = False,
) -> pl.DataFrame:
    """Bill claims with errors and hold DRG, MDC, severity and cents of every bill against the whole way."""
    prices = prices or rates()
    cases = Cases.of(claims, tables=tables(version), hospitals=hospitals, rates=prices, hospital_status=status)
    found = []
    for operator in operators:
        sites = confined(operator, cases, seed=5)
        keys = keyed(operator, sites, cases, seed=5)
        found.append(drawn(operator, sites, keys, cases, range(replicates)))
    bills, _ = billed_together(found, len(cases))
    edits, start, bill, error = bills.edits, bills.start, bills.bill, bills.error
    if singly:  # each error by itself, as the shortcuts take them
        start, bill = np.arange(len(edits) + 1), np.arange(len(edits))
    billed = cases.billed(edits, start)
    labels = pl.Series([operator.label if not operator.kind.startswith("typo") else "typo" for operator in operators])
    ledger = told(edits, tables(version)).with_columns(
        bill=pl.Series(bill),
        admission_id=pl.Series(cases.ids[edits.row]),
        place=pl.Series(edits.place),
        operator=labels.gather(error),
    )
    hand = by_hand(claims, ledger, ("bill", "admission_id"))
    expected = priced(hand, hospitals, prices, of=tables(version), status=status)
    got = pl.DataFrame({"drg": billed.drg, "mdc": billed.mdc, "severity": billed.severity, "cents": billed.cents})
    wanted = expected.select("drg", "mdc", pl.col("severity").to_physical().cast(pl.UInt8), "cents")
    assert len(got) >= at_least
    wrong = np.flatnonzero((got.to_numpy() != wanted.to_numpy()).any(axis=1))
    if len(wrong):
        first = int(wrong[0])
        raise AssertionError(
            f"{len(wrong)} of {len(got)} bills differ; first: {got.row(first)} but by hand {wanted.row(first)}: "
            f"{ledger.filter(pl.col('bill') == first).rows()} on {hand.row(first)}"
        )
    truth = pl.DataFrame({"drg": cases.truth.drg, "cents": cases.pricer.cents})
    assert truth.equals(priced(claims, hospitals, prices, of=tables(version), status=status).select("drg", "cents"))
    return got.with_columns(was=pl.Series(cases.truth.drg[edits.row[start[:-1]]]))


@cache
def sampled(path: Path, name: str, n: int) -> pl.DataFrame:
    """Claims of a reference run, of all recipes alike."""
    claims = pl.read_parquet(path / "claims" / f"{name}_claims.parquet")
    order = pl.int_range(pl.len()).over("recipe")
    return with_stays(claims.sort(order, "admission_id", maintain_order=True).head(n))


# ------------------------------------------------------------------------------------ generated admissions


@pytest.mark.parametrize("name", OPERATORS)
def test_each_kind_of_error_on_generated_admissions(name: str):
    hospitals, admissions = generated(600)
    few = 0 if name == "duration" else 10  # two stays in a hundred are ventilated
    assert_billed_as_by_hand(admissions, [OPERATORS[name]], hospitals=hospitals, at_least=few)


def test_all_kinds_at_once_on_generated_admissions():
    hospitals, admissions = generated(600)
    billed = assert_billed_as_by_hand(admissions, [*OPERATORS.values()], hospitals=hospitals, replicates=4)
    assert (billed["drg"] != billed["was"]).mean() > 0.3


# ------------------------------------------------------------------------------------ claims of reference runs


@pytest.mark.parametrize("name", FILES)
def test_each_error_of_reference_claims_by_itself(shared: Path, name: str):
    version = f"{name[1:3]}.{name[3]}"
    claims = sampled(shared, name, 500)
    billed = assert_billed_as_by_hand(claims, [*OPERATORS.values()], version=version, replicates=1, singly=True)
    assert billed.height > 1500


@pytest.mark.parametrize("status", ["NON_EXEMPT", "EXEMPT", "UNKNOWN"])
@pytest.mark.parametrize("name", ["v431hac", "v431"])
def test_errors_together_whatever_hospitals_report(shared: Path, name: str, status: str):
    assert_billed_as_by_hand(sampled(shared, name, 400), [*OPERATORS.values()], status=status)


@pytest.mark.slow
@pytest.mark.parametrize("status", ["NON_EXEMPT", "EXEMPT", "UNKNOWN"])
@pytest.mark.parametrize("name", FILES)
def test_all_reference_claims(shared: Path, name: str, status: str):
    version = f"{name[1:3]}.{name[3]}"
    claims = sampled(shared, name, 60_000)
    for start in range(0, claims.height, 8_000):
        some = claims[start : start + 8_000]
        for singly in (True, False):
            assert_billed_as_by_hand(some, [*OPERATORS.values()], version=version, status=status, singly=singly)
