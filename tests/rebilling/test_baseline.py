"""Rebilled claims have the DRG and payment of `group()` and `price()` for the same claims changed by hand.

This compares the shortcuts of the simulator (changes that no formula reads, stays priced again from integers) with the
full computation, on generated admissions and on difficult claims of CMS's own grouper runs.
"""

from __future__ import annotations

import datetime as dt
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
import pytest

from drgsim import group, price
from drgsim.miscoding.claim_field_errors import Demographics, DischargeStatus
from drgsim.miscoding.diagnosis_errors import (
    InvalidCode,
    PdxResequence,
    PdxSubstitute,
    PoaFlip,
    SdxAddUnsupported,
    SdxOmit,
    SeverityDowngrade,
    SeverityUpgrade,
    SpecificityLoss,
)
from drgsim.miscoding.error_draws import confine_sites, draw_errors, key_sites
from drgsim.miscoding.error_models import ErrorModel, Rate
from drgsim.miscoding.error_sites import Options, Sites
from drgsim.miscoding.procedure_errors import (
    ProcedureAddUnsupported,
    ProcedureOmit,
    ProcedureSubstitute,
    VentilationHours,
)
from drgsim.miscoding.strategic_upcoding import StrategicUpcode
from drgsim.rebilling.baseline import Baseline
from drgsim.rebilling.code_changes import ChangeKind, describe_changes
from drgsim.simulation.error_combination import combine_errors
from tests.support.rebilling import HOSPITALS, by_hand, cycled, generated, priced, rates, tables, with_stays

MODELS: dict[str, ErrorModel] = {
    "pdx_resequence": PdxResequence(rate=0.5),
    "pdx_substitute": PdxSubstitute(rate=0.5),
    "sdx_omit": SdxOmit(cc=0.3, mcc=0.3, other=0.1),
    "sdx_add_unsupported": SdxAddUnsupported(mcc=0.2, cc=0.2),
    "sdx_add_anything": SdxAddUnsupported(name="anything", mcc=0.2, cc=0.2, allow_excluded=True, guarded=False),
    "severity_upgrade": SeverityUpgrade(rate=0.3),
    "severity_downgrade": SeverityDowngrade(rate=0.3),
    "specificity_loss": SpecificityLoss(sdx=0.3, pdx=0.3),
    "invalid_code": InvalidCode(pdx=0.05, sdx=0.1, procedure=0.2),
    "poa_flip": PoaFlip(over=0.5, under=0.3, every_code=True),
    "procedure_substitute": ProcedureSubstitute(rate=0.3, axes=(1, 2, 3, 4, 5, 6, 7)),
    "procedure_omit": ProcedureOmit(rate=0.4),
    "procedure_add_unsupported": ProcedureAddUnsupported(rate=0.4),
    "duration": VentilationHours(over=0.6, under=0.6),
    "disposition": DischargeStatus(rate=0.7),
    "home_as_transfer": DischargeStatus(name="transfer", rate=0.4, of=(1,), becomes=2),
    "demographics": Demographics(sex=0.3, age=0.2, guarded=False),
    "strategic_upcode": StrategicUpcode(ceiling=0.6, candidates=3),
}


class Extra(ErrorModel):
    """A user's error model: any diagnosis or procedure of a list is added, without guards."""

    kind: Literal["extra"] = "extra"
    rate: Rate = 0.0
    listed: tuple[str, ...] = ()
    procedure: bool = False

    def sites(self, baseline: Baseline) -> Sites:
        book = baseline.rules.procedure_book if self.procedure else baseline.rules.diagnosis_book
        numbers = book.numbers(pl.Series(self.listed))
        assert numbers.all()
        options = Options.of(np.array([0, len(numbers)]), numbers)
        return Sites.of(
            ChangeKind.ADD_PROCEDURE if self.procedure else ChangeKind.ADD_SDX,
            np.arange(len(baseline)),
            self.rate,
            options,
        )


FILES = ("v400", "v411", "v421", "v430", "v431", "v440", "v431hac")


def assert_billed_as_by_hand(
    claims: pl.DataFrame,
    models: list[ErrorModel],
    *,
    hospitals=HOSPITALS,
    prices=None,
    version: str = "43.1",
    status: str | None = None,
    replicates: int = 2,
    at_least: int = 1,
    singly: bool = False,
) -> pl.DataFrame:
    """Bill claims with errors, and compare DRG, MDC, severity and cents with the full computation."""
    prices = prices or rates()
    baseline = Baseline.of(claims, tables=tables(version), hospitals=hospitals, rates=prices, hospital_status=status)
    found = []
    for model in models:
        sites = confine_sites(model, baseline, seed=5)
        keys = key_sites(model, sites, baseline, seed=5)
        found.append(draw_errors(model, sites, keys, baseline, range(replicates)))
    bills, _ = combine_errors(found)
    edits, start, bill, error = bills.changes, bills.start, bills.claim, bills.error
    if singly:  # each error by itself, as the shortcuts take them
        start, bill = np.arange(len(edits) + 1), np.arange(len(edits))
    billed = baseline.rebill(edits, start)
    labels = pl.Series([model.label if model.kind != "invalid_code" else "typo" for model in models])
    ledger = describe_changes(edits, tables(version)).with_columns(
        bill=pl.Series(bill),
        admission_id=pl.Series(baseline.ids[edits.row]),
        place=pl.Series(edits.place),
        error=labels.gather(error),
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
    truth = pl.DataFrame({"drg": baseline.truth.drg, "cents": baseline.pricer.cents})
    assert truth.equals(priced(claims, hospitals, prices, of=tables(version), status=status).select("drg", "cents"))
    rows = edits.row[start[:-1]]
    return got.with_columns(was=pl.Series(baseline.truth.drg[rows]), cents_was=pl.Series(baseline.pricer.cents[rows]))


@cache
def sampled(path: Path, name: str, n: int) -> pl.DataFrame:
    """Return claims of a reference run, the same number of each recipe."""
    claims = pl.read_parquet(path / "claims" / f"{name}_claims.parquet")
    order = pl.int_range(pl.len()).over("recipe")
    return with_stays(claims.sort(order, "admission_id", maintain_order=True).head(n))


# ------------------------------------------------------------------------------------ generated admissions


@pytest.mark.parametrize("name", MODELS)
def test_each_kind_of_error_on_generated_admissions(name: str):
    hospitals, admissions = generated(600)
    few = 0 if name == "duration" else 10  # two stays in a hundred are ventilated
    assert_billed_as_by_hand(admissions, [MODELS[name]], hospitals=hospitals, at_least=few)


def test_all_kinds_at_once_on_generated_admissions():
    hospitals, admissions = generated(600)
    billed = assert_billed_as_by_hand(admissions, [*MODELS.values()], hospitals=hospitals, replicates=4)
    assert (billed["drg"] != billed["was"]).mean() > 0.3


# ------------------------------------------------------------------------------------ claims of reference runs


@pytest.mark.parametrize("name", FILES)
def test_each_single_error_of_reference_claims(shared: Path, name: str):
    version = f"{name[1:3]}.{name[3]}"
    claims = sampled(shared, name, 250)
    billed = assert_billed_as_by_hand(claims, [*MODELS.values()], version=version, replicates=1, singly=True)
    assert billed.height > 750


@pytest.mark.parametrize("status", ["NON_EXEMPT", "EXEMPT", "UNKNOWN"])
@pytest.mark.parametrize("name", ["v431hac", "v431"])
def test_errors_together_whatever_hospitals_report(shared: Path, name: str, status: str):
    assert_billed_as_by_hand(sampled(shared, name, 400), [*MODELS.values()], status=status)


@pytest.mark.slow
@pytest.mark.parametrize("status", ["NON_EXEMPT", "EXEMPT", "UNKNOWN"])
@pytest.mark.parametrize("name", FILES)
def test_all_reference_claims(shared: Path, name: str, status: str):
    version = f"{name[1:3]}.{name[3]}"
    claims = sampled(shared, name, 60_000)
    for start in range(0, claims.height, 8_000):
        some = claims[start : start + 8_000]
        for singly in (True, False):
            errors = [*MODELS.values()]
            assert_billed_as_by_hand(some, errors, version=version, status=status, singly=singly, replicates=1)


# ------------------------------------------------------------------------------------ prices that codes decide


def stays_of_technologies() -> pl.DataFrame:
    """Return a stay for each alternative of each new technology of FY2026, with its codes."""
    year = rates(2026)
    codes = year.technology_codes.join(year.technology_rules, on="code_group")
    books = {"procedure": tables().all_procedures, "diagnosis": tables().all_diagnoses}
    stays = []
    for alternative in codes.partition_by("technology", "alternative", maintain_order=True):
        lists: dict[str, list[str]] = {"procedure": [], "diagnosis": []}
        for code_group in alternative.filter("present").partition_by("code_group", maintain_order=True):
            kind, code = code_group["code_kind"][0], code_group["code"][-1]
            if code.endswith("*"):
                code = books[kind].filter(books[kind].str.starts_with(code[:-1]))[0]
            lists[kind].append(code)
        stays.append({"pdx": "A419", "sdx": ["I10", *lists["diagnosis"]], "procedures": lists["procedure"]})
        if lists["diagnosis"]:
            first, *others = lists["diagnosis"]
            stays.append({"pdx": first, "sdx": ["I10", "J9601", *others], "procedures": lists["procedure"]})
    frame = pl.DataFrame(stays).with_row_index("admission_id").with_columns(pl.col("admission_id").cast(pl.UInt64))
    return frame.with_columns(
        age=pl.lit(61, pl.Int32),
        sex=pl.lit("F"),
        discharge_status=pl.lit(1, pl.Int32),
        los_days=pl.lit(6, pl.Int32),
        sdx_poa=pl.col("sdx").list.eval(pl.lit("Y")),
        hospital_id=cycled(HOSPITALS["hospital_id"].to_list(), len(frame)),
        covered_charges_usd=cycled([150_000.0, 700_000.0, 5_000_000.0], len(frame)),
    )


def test_new_technologies():
    stays = stays_of_technologies()
    asked = price(group(stays, tables()), HOSPITALS, rates())["new_technology_usd"]
    assert (asked > 0).sum() > 50
    codes = rates().technology_codes.filter(~pl.col("code").str.ends_with("*"))
    listed = {kind: tuple(codes.filter(pl.col("code_kind") == kind)["code"]) for kind in ("procedure", "diagnosis")}
    known = {"procedure": set(tables().all_procedures), "diagnosis": set(tables().all_diagnoses)}
    errors = [
        InvalidCode(pdx=0.1, sdx=0.3, procedure=0.4),
        ProcedureSubstitute(rate=0.4),
        ProcedureOmit(rate=0.4),
        SdxOmit(cc=0.5, mcc=0.5, other=0.5),
        SpecificityLoss(sdx=0.5, pdx=0.5),
        SeverityUpgrade(rate=0.5),
        PdxSubstitute(rate=0.3, within_category=0.9),
        PdxResequence(rate=0.3),
        DischargeStatus(rate=0.3, of=(1,), becomes=2),
        *(
            Extra(name=kind, rate=0.4, listed=tuple(c for c in listed[kind] if c in known[kind]),
                  procedure=kind == "procedure")
            for kind in listed
        ),
    ]  # fmt: skip
    for singly in (True, False):
        billed = assert_billed_as_by_hand(stays, errors, replicates=8, singly=singly)
        same_drg = billed.filter((pl.col("drg") == pl.col("was")) & (pl.col("cents") != pl.col("cents_was")))
        assert same_drg.height > 100  # add-ons come and go without the DRG


@pytest.mark.parametrize("year", [2021, 2024, 2026])
def test_immunotherapy_at_no_cost(year: int):
    _, mixed = generated(200)
    product = ("XW033C7", "XW033J7")  # CAR-T cells given into a vein: DRG 018 whatever the diagnosis
    immune = mixed.head(60).with_columns(procedures=cycled([[code] for code in product], 60))
    number = pl.int_range(pl.len())
    trial = pl.when(number % 2 == 0).then(pl.col("sdx").list.concat(pl.lit(["Z006"]))).otherwise(pl.col("sdx"))
    poa = pl.when(number % 2 == 0).then(pl.col("sdx_poa").list.concat(pl.lit(["Y"]))).otherwise(pl.col("sdx_poa"))
    conditions = pl.when(number % 5 == 0).then(pl.lit(["ZB"])).when(number % 7 == 0).then(pl.lit(["ZC"]))
    stays = pl.concat([immune, mixed.with_columns(pl.col("admission_id") + 1000)]).with_columns(
        sdx=trial, sdx_poa=poa, condition_codes=conditions
    )
    errors = [
        Extra(name="trial", rate=0.4, listed=("Z006",)),
        Extra(name="product", rate=0.3, listed=product, procedure=True),
        InvalidCode(pdx=0.1, sdx=0.2, procedure=0.4),
        SdxAddUnsupported(mcc=0.2, cc=0.2),
        PdxSubstitute(rate=0.2),
    ]
    for singly in (True, False):
        billed = assert_billed_as_by_hand(with_stays(stays), errors, prices=rates(year), singly=singly)
        assert billed.filter((pl.col("drg") == 18) & (pl.col("was") != 18)).height > 10
        cheaper = billed.filter((pl.col("drg") == 18) & (pl.col("was") == 18) & (pl.col("cents") < pl.col("cents_was")))
        assert cheaper.height > 2


@pytest.mark.parametrize("given", ["codes", "column"])
def test_covid_factor(given: str):
    _, admissions = generated(400)
    number = pl.int_range(pl.len())
    has = number % 3 == 0
    stays = with_stays(admissions).with_columns(
        pdx=pl.when(number % 10 == 1).then(pl.lit("U071")).otherwise(pl.col("pdx")),
        sdx=pl.when(has).then(pl.col("sdx").list.concat(pl.lit(["u07.1"]))).otherwise(pl.col("sdx")),
        sdx_poa=pl.when(has).then(pl.col("sdx_poa").list.concat(pl.lit(["Y"]))).otherwise(pl.col("sdx_poa")),
        condition_codes=pl.when(number % 6 == 0).then(pl.lit(["ZA"])),
        **({"covid": has} if given == "column" else {}),
    )
    errors = [
        SdxAddUnsupported(mcc=0.4, codes=("U07.1", "J96.01")),
        SdxOmit(mcc=0.5, cc=0.1),
        PdxSubstitute(rate=0.3),
        PdxResequence(rate=0.3),
        ProcedureAddUnsupported(rate=0.2),
        DischargeStatus(rate=0.3),
    ]
    for singly in (True, False):
        billed = assert_billed_as_by_hand(stays, errors, prices=rates(2021), replicates=6, singly=singly)
        same_drg = billed.filter((pl.col("drg") == pl.col("was")) & (pl.col("cents") != pl.col("cents_was")))
        assert same_drg.height > 20


def test_several_fiscal_years_at_once(shared: Path):
    claims = sampled(shared, "v431", 400)
    days = [dt.date(2020, 10, 1), dt.date(2024, 9, 30), dt.date(2025, 10, 1), dt.date(2026, 9, 30), dt.date(2022, 5, 5)]
    claims = claims.with_columns(discharge_date=cycled([*days, None], len(claims)))
    several = [rates(2026), rates(2021), rates(2024)]
    for hospitals in (HOSPITALS, None):
        for singly in (True, False):
            billed = assert_billed_as_by_hand(
                claims, [*MODELS.values()], hospitals=hospitals, prices=several, singly=singly
            )
            assert (billed["cents"] != billed["cents_was"]).sum() > 100


def test_without_hospitals_the_base_rate_pays(shared: Path):
    claims = sampled(shared, "v431", 400)
    for singly in (True, False):
        assert_billed_as_by_hand(
            claims.drop("hospital_id", "covered_charges_usd"), [*MODELS.values()], hospitals=None, singly=singly
        )


def test_columns_prevail_over_codes():
    """Review codes, plans, covered days and add-ons given as columns do not change with the codes."""
    _, admissions = generated(300)
    number = pl.int_range(pl.len())
    stays = with_stays(admissions).with_columns(
        review_code=cycled([0, 3, 6, 7, 9, None], len(admissions), dtype=pl.UInt8),
        medicare_advantage=number % 4 == 0,
        covered_days=pl.when(number % 9 == 0).then(2),
        ntap_max_usd=pl.when(number % 2 == 0).then(pl.lit([5000.0, 12_000.0])),
        ntap_share=pl.when(number % 2 == 0).then(pl.lit([0.65, 0.65])),
        no_cost_product=number % 5 == 0,
    )
    for singly in (True, False):
        assert_billed_as_by_hand(stays, [*MODELS.values()], singly=singly)


def test_claims_without_poa_and_with_a_status_each():
    _, admissions = generated(300)
    errors = [model for name, model in MODELS.items() if name != "poa_flip"]
    assert_billed_as_by_hand(with_stays(admissions.drop("sdx_poa", "pdx_poa")), errors)
    reports = cycled(["NON_EXEMPT", "EXEMPT", "UNKNOWN"], len(admissions))
    each = with_stays(admissions).with_columns(reports=reports)
    assert_billed_as_by_hand(each, [*MODELS.values()], status="reports")
