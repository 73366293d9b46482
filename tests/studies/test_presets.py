"""Shipped scenarios: every rate has its evidence, and each scenario reaches what it was fitted to."""

from __future__ import annotations

import math
import re
import shutil
import tomllib
from pathlib import Path
from statistics import NormalDist

import numpy as np
import polars as pl
import pytest

from drgsim.exceptions import InputError
from drgsim.miscoding.diagnosis_errors import SdxOmit, SdxSubstitute
from drgsim.miscoding.scenarios import Finding, Scenario, kinds, presets
from drgsim.rebilling.baseline import Baseline
from drgsim.simulation.exposures import compute_exposure
from drgsim.simulation.simulator import simulate
from drgsim.studies.fitted_mixes import FittingAdmissions, fit_mix, replace_rates, scale_to_figures, write_scenarios
from drgsim.studies.published_findings import (
    compare_baseline_with_findings,
    compare_with_findings,
    find_frame_rows,
    measure_figures,
)
from drgsim.tables.manifest import read_verified
from drgsim.tables.table_set import TableSet, versions

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs" / "presets.md"
MIXES = ROOT / "grouper_tables" / "mixes"
CODERS = ("audited", "certified_coder", "computer_assisted_reviewed", "specialty_coder", "trainee")
STUDIES = (
    *("hf_specificity", "malnutrition_audit", "oig_1985", "oig_1988", "pbr_2007_08", "pbr_2008_09", "poa_noise"),
    *("severity_creep", "transfer_status", "undercode_surgical", "vent_96h", "vent_96h_2016"),
)
ALL = (*CODERS, *STUDIES)
FITTED = [name for name in ALL if any(finding.fitted for finding in Scenario.load(MIXES / f"{name}.toml").findings)]
SMALL, FULL = 20_000, 100_000
OTHER_SEED = 7
"""A seed with which no preset was fitted."""


@pytest.fixture(scope="module")
def sample() -> FittingAdmissions:
    return FittingAdmissions.of(SMALL)


@pytest.fixture(scope="module")
def full_sample() -> FittingAdmissions:
    return FittingAdmissions.of(FULL)


def test_every_preset_of_the_design_is_shipped():
    assert set(presets()) == {*ALL, "empty", "illustration"}


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("version", versions())
def test_codes_exist_in_every_version(name: str, version: str):
    Scenario.load(name).check(TableSet.load(version))


@pytest.mark.parametrize("name", ALL)
def test_every_rate_has_evidence(name: str):
    scenario = Scenario.load(name)
    assert min(map(len, (scenario.population, scenario.period, scenario.source, scenario.about))) > 3
    for error in scenario.errors:
        assert error.evidence, error.label
        assert any(getattr(error, rate) > 0 for rate in error.RATES)
        for one in error.evidence:
            assert min(map(len, (one.population, one.period, one.source))) > 3


@pytest.mark.parametrize("name", ALL)
def test_fitted_rates_say_so(name: str):
    """A mix whose rates the fit moved says FITTED at each error, and no other does."""
    scenario, mix = Scenario.load(name), Scenario.load(MIXES / f"{name}.toml")
    moved = [
        a.with_rates(lambda r: 0.0) == b.with_rates(lambda r: 0.0) and a != b
        for a, b in zip(scenario.errors, mix.errors, strict=True)
    ]
    assert [any(one.status == "FITTED" for one in error.evidence) for error in scenario.errors] == moved


@pytest.mark.parametrize("name", ALL)
def test_no_scenario_calls_itself_current(name: str):
    text = (ROOT / "grouper_tables" / "scenarios" / f"{name}.toml").read_text("utf-8")
    assert not re.search(r"(?i)\b(current|today|nowadays|present-day)\b", Scenario.load(name).title)
    assert not re.search(r"(?i)\bcurrent(ly)?\b", text)


@pytest.mark.parametrize("name", ALL)
def test_cited_figures_exist(name: str, shared: Path):
    """Ids in a scenario are rows of the collection of published figures."""
    known = set(pl.read_csv(shared / "evidence" / "published_figures.csv")["id"])
    text = (ROOT / "grouper_tables" / "scenarios" / f"{name}.toml").read_text("utf-8")
    cited = set(re.findall(r"\b(?:DRG|UK|MAL|MV|XFR|POA|ACC|UND|UPC|SEV|CMI)-\d\d\b", text))
    assert cited <= known
    assert cited or name == "computer_assisted_reviewed"


@pytest.mark.parametrize(
    ("preset", "measure", "id_", "value", "error"),
    [
        ("oig_1985", "drg_change_rate", "DRG-01", 20.8, 0.5),
        ("oig_1985", "share_up", "DRG-02", 61.7, 1.3),
        ("oig_1985", "case_mix_change", "DRG-03", 1.9, None),
        ("oig_1988", "drg_change_rate", "DRG-06", 14.7, 0.7),
        ("oig_1988", "share_up", "DRG-07", 50.7, 2.6),
        ("pbr_2007_08", "drg_change_rate", "UK-02", 9.4, None),
        ("pbr_2007_08", "code_error_rate", "UK-01", 16.5, None),
        ("pbr_2007_08", "improper_share", "UK-03", 4.9, None),
        ("pbr_2008_09", "drg_change_rate", "UK-02", 8.1, None),
        ("pbr_2008_09", "improper_share", "UK-03", 3.9, None),
        ("undercode_surgical", "drg_change_rate", "UND-05", 16, None),
        ("vent_96h", "underpaid_share", "MV-05", 2.2, None),
        ("audited", "drg_change_rate", "UK-02", 7.5, None),
    ],
)
def test_findings_are_the_published_figures(
    preset: str, measure: str, id_: str, value: float, error: float | None, shared: Path
):
    """Percent in the collection, shares in the scenario."""
    table = pl.read_csv(shared / "evidence" / "published_figures.csv")
    row = table.filter(pl.col("id") == id_)["value"].item()
    assert f"{value:g}" in re.findall(r"[\d.]+", row)
    own = next(f for f in Scenario.load(preset).findings if f.measure == measure)
    assert own.value == pytest.approx(value / 100)
    if error is not None:
        assert own.standard_error == pytest.approx(error / 100)


def test_standard_errors_from_counts():
    """Binomial errors of the studies, from the counts their sources give."""
    for preset, measure, events, of in (
        ("malnutrition_audit", "code_change_rate", 173, 200),
        ("malnutrition_audit", "drg_change_rate", 164, 200),
        ("malnutrition_audit", "unchanged_rate", 9, 200),
        ("vent_96h", "code_change_rate", 17, 250),
        ("vent_96h_2016", "code_change_rate", 63, 200),
        ("certified_coder", "code_error_rate", 21_700, 236_000),
        ("poa_noise", "error_rate.over_reported", 145, 1_059),
        ("poa_noise", "error_rate.under_reported", 126, 1_059),
        ("undercode_surgical", "drg_change_rate", 0.16 * 752, 752),
    ):
        share = events / of
        own = next(f for f in Scenario.load(preset).findings if f.measure == measure)
        assert own.value == pytest.approx(share, abs=6e-4)
        assert own.standard_error == pytest.approx(math.sqrt(share * (1 - share) / of), rel=0.02)


def test_spread_of_hospitals_from_the_published_range():
    """0.3 to 52 % over 170 trusts: twice the expected largest standard normal number of 170 (Blom)."""
    low, high = (math.log(p / (1 - p)) for p in (0.003, 0.52))
    largest = NormalDist().inv_cdf((170 - 0.375) / (170 + 0.25))
    for name in ("pbr_2007_08", "pbr_2008_09"):
        assert {error.hospital_sd for error in Scenario.load(name).errors} == {round((high - low) / 2 / largest, 2)}
    # The error of the mean of 170 such trusts, by simulation of logit-normal rates.
    draws = np.random.default_rng(1).normal(size=400_000) * 1.10
    for name, mean in (("pbr_2007_08", 0.094), ("pbr_2008_09", 0.081), ("audited", 0.075)):
        centre = min(np.linspace(-5, -1, 401), key=lambda c: abs((1 / (1 + np.exp(-(c + draws)))).mean() - mean))
        sure = (1 / (1 + np.exp(-(centre + draws)))).std() / math.sqrt(170)
        own = next(f for f in Scenario.load(name).findings if f.measure == "drg_change_rate")
        assert own.standard_error == pytest.approx(sure, rel=0.03)


@pytest.mark.parametrize("name", FITTED)
def test_fitted_findings_are_reached_small(name: str, sample: FittingAdmissions):
    """On fewer admissions and with another seed: within the errors of the study and of the sample of claims."""
    check_fitted_findings(name, sample, spread=3.0)


@pytest.mark.slow
@pytest.mark.parametrize("name", FITTED)
def test_fitted_findings_are_reached(name: str, full_sample: FittingAdmissions):
    """On as many admissions as presets are fitted with, within one standard error of the study."""
    check_fitted_findings(name, full_sample, spread=0.0)


def check_fitted_findings(name: str, sample: FittingAdmissions, *, spread: float) -> None:
    """Check every fitted finding: within the study's error, and `spread` errors of a share of that many claims."""
    scenario = Scenario.load(name)
    table = compare_baseline_with_findings(scenario, sample.baseline, seed=OTHER_SEED).filter("fitted")
    assert len(table)
    claims = len(find_frame_rows(scenario, sample.baseline, seed=OTHER_SEED))
    for row in table.iter_rows(named=True):
        # A share p has the error of randomly drawn claims, at most 3 % of p, which is that of 1,000 claims at risk.
        # The net share near 0: if one claim in ten changes by half its payment, the deviation is 0.15.
        share = min(math.sqrt(row["published"] / claims), 0.03 * row["published"])
        sampling = 0.15 / math.sqrt(claims) if row["measure"] == "net_share" else share
        noise = 2 * (row["monte_carlo_error"] or 0.0)
        miss = abs(row["simulated"] - row["published"])
        assert miss <= row["standard_error"] + noise + spread * sampling, row


@pytest.mark.slow
def test_cascade_of_the_english_audit(full_sample: FittingAdmissions):
    """Codes, groups, improper and net payment of one process; groups and net payment are fitted, the others are not."""
    table = compare_baseline_with_findings(Scenario.load("pbr_2007_08"), full_sample.baseline, seed=1)
    found = dict(table.select("measure", "simulated").iter_rows())
    assert found["drg_change_rate"] == pytest.approx(0.094, abs=0.0073)
    assert found["net_share"] == pytest.approx(0.0, abs=0.001)
    # docs/presets.md has the stages that were not fitted; each stage is smaller than the one before.
    printed = dict(re.findall(r"\| (codes|improper payment) \|[^|]*\|[^|]*\| ([\d.]+) % \|", DOCS.read_text("utf-8")))
    assert found["code_error_rate"] == pytest.approx(float(printed["codes"]) / 100, abs=0.002)
    assert found["improper_share"] == pytest.approx(float(printed["improper payment"]) / 100, abs=0.002)
    assert found["drg_change_rate"] > found["improper_share"] > abs(found["net_share"])


def test_figures_by_hand(cholecystectomy: pl.DataFrame):
    """A scenario that always loses the only MCC: every figure follows from one known change."""
    one = cholecystectomy.with_columns(sdx=pl.lit(["J9601"], pl.List(pl.String)))
    three = pl.concat([one.with_columns(admission_id=pl.lit(n, pl.UInt64)) for n in (1, 2)] + [
        cholecystectomy.with_columns(admission_id=pl.lit(3, pl.UInt64))
    ])  # fmt: skip
    sample = FittingAdmissions.of(10)
    baseline = Baseline.of(three, tables=sample.tables, hospitals=None, rates=sample.rates)
    weight = dict(sample.rates.weights.select("drg", "weight").iter_rows())
    lost = weight[417] - weight[419]
    names = ["drg_change_rate", "share_up", "unchanged_rate", "code_error_rate", "case_mix_change", "net_share",
             "improper_share", "overpaid_rate", "top_tier_growth", "share_of_changes.lost",
             "error_rate.lost"]  # fmt: skip
    scenario = Scenario(title="Lost", errors=(SdxOmit(name="lost", mcc=1.0),))
    found = {name: mean for name, (mean, _) in measure_figures(scenario, baseline, names, replicates=2, seed=1).items()}
    assert found == pytest.approx(
        {
            "drg_change_rate": 1.0,  # of the two claims on which it can happen
            "share_up": 0.0,
            "unchanged_rate": 0.0,
            "code_error_rate": 1 / 3,  # principal, MCC, procedure
            "case_mix_change": -lost / weight[417],
            "net_share": -lost / weight[417],
            "improper_share": lost / weight[417],
            "overpaid_rate": 0.0,
            "top_tier_growth": -1.0,
            "share_of_changes.lost": 1.0,
            "error_rate.lost": 1.0,
        },
        abs=2e-6,
    )


def test_unknown_figures_and_empty_frames_raise(sample: FittingAdmissions):
    scenario = Scenario(title="x", errors=(SdxOmit(mcc=0.1),))
    with pytest.raises(InputError, match=r"no figure is called 'drg_changed_rate'.*drg_change_rate"):
        measure_figures(scenario, sample.baseline, ["drg_changed_rate"], seed=1)
    with pytest.raises(InputError, match="no error's name begins with 'typo'"):
        measure_figures(scenario, sample.baseline, ["error_rate.typo"], replicates=2, seed=1)
    with pytest.raises(InputError, match="frame is empty"):
        measure_figures(Scenario(title="x"), sample.baseline, ["net_share"], seed=1)


def test_a_finding_of_an_unknown_figure_raises(sample: FittingAdmissions):
    wrong = Finding(measure="drgs", value=0.1, source="nowhere at all")
    scenario = Scenario(title="x", errors=(SdxOmit(mcc=0.1),), findings=(wrong,))
    with pytest.raises(InputError, match="no figure is called 'drgs'"):
        compare_with_findings(
            scenario, sample.admissions, tables=sample.tables, hospitals=sample.hospitals, rates=sample.rates, seed=1
        )


def test_scaling_reaches_its_figure_and_its_shares(sample: FittingAdmissions):
    mix = Scenario.load(MIXES / "undercode_surgical.toml")
    goals = {finding.measure: finding.value for finding in mix.findings}
    fitted = scale_to_figures(mix, sample.baseline, goals)
    found = measure_figures(fitted, sample.baseline, [*goals], seed=OTHER_SEED)
    for name, (mean, error) in found.items():  # the fit, which has other draws, is as uncertain as the figure
        assert 0 < error < 0.05 * goals[name]
        assert abs(mean - goals[name]) < 4 * math.sqrt(2) * error
    with pytest.raises(InputError, match="expected one figure"):
        scale_to_figures(mix, sample.baseline, {"drg_change_rate": 0.1, "net_share": 0.1})


def test_rates_of_the_study_are_not_fitted(sample: FittingAdmissions):
    mix = Scenario.load(MIXES / "malnutrition_audit.toml")
    assert fit_mix(mix, sample) is mix


@pytest.mark.parametrize("name", ALL)
def test_a_scenario_is_its_mix_with_other_rates(name: str):
    scenario, mix = Scenario.load(name), Scenario.load(MIXES / f"{name}.toml")
    text = (MIXES / f"{name}.toml").read_text("utf-8")
    assert tomllib.loads(replace_rates(text, mix, scenario)) == tomllib.loads(
        (ROOT / "grouper_tables" / "scenarios" / f"{name}.toml").read_text("utf-8")
    )


def test_malnutrition_frame_is_claims_the_code_decides(sample: FittingAdmissions):
    """Compare with grouping every claim that has such a code again without it."""
    from drgsim.grouping.grouper import group

    scenario = Scenario.load("malnutrition_audit")
    has = sample.admissions.with_row_index("row").filter(
        pl.col("sdx").list.eval(pl.element().is_in(["E41", "E43"])).list.any()
    )
    others = [[c not in ("E41", "E43") for c in codes] for codes in has["sdx"].to_list()]
    without = has.with_columns(
        pl.Series(
            name, [[x for x, k in zip(one, kept, strict=True) if k] for one, kept in zip(lists, others, strict=True)]
        )
        for name, lists in (("sdx", has["sdx"].to_list()), ("sdx_poa", has["sdx_poa"].to_list()))
    )
    once = has["sdx"].list.n_unique() == has["sdx"].list.len()
    moved = group(has, sample.tables)["drg"] != group(without, sample.tables)["drg"]
    expected = has.filter(moved & once)["row"].to_list()
    found = set(find_frame_rows(scenario, sample.baseline, seed=1).tolist())
    assert expected
    assert set(expected) == found & set(has.filter(once)["row"].to_list())


def test_substitutes_are_of_any_category_and_legal(sample: FittingAdmissions):
    error = SdxSubstitute(rate=1.0, to=("E440", "E46"), where={"codes": ("E43",)})
    single = compute_exposure(sample.baseline, Scenario(title="x", errors=(error,)), alternatives=None).frame()
    assert set(single["code_before"]) == {"E43"}
    assert set(single["code_after"]) == {"E440", "E46"}
    assert single.group_by("admission_id").agg(pl.col("probability").sum())["probability"].to_list() == pytest.approx(
        [1.0] * single["admission_id"].n_unique()
    )
    assert "sdx_substitute" in kinds()
    unknown = Scenario(title="x", errors=(SdxSubstitute(rate=0.1, to=("XYZ",)),))
    with pytest.raises(InputError, match=r"to is 'XYZ': no code of version 43\.1 begins so"):
        unknown.check(sample.tables)


def test_transfer_status_pays_only_where_the_rule_cuts(sample: FittingAdmissions):
    """Only stays of post-acute DRGs, a day or more below the geometric mean, are overpaid (42 CFR 412.4)."""
    scenario = Scenario.load("transfer_status")
    single = compute_exposure(sample.baseline, scenario).frame()
    stays = sample.baseline.grouped.select("admission_id", "los_days")
    table = single.join(stays, on="admission_id").join(sample.rates.weights, on="drg")
    paid_more = table.filter(pl.col("usd_change") > 0.01)
    assert len(paid_more)
    assert paid_more["post_acute"].all()
    assert (paid_more["los_days"] + 1 < paid_more["gmlos_days"]).all()
    others = table.filter(~pl.col("post_acute"))
    assert others["usd_change"].abs().max() == 0


def test_coders_are_ordered(sample: FittingAdmissions):
    """Fewer wrong DRGs from trainee to certified to specialty coder."""
    setting = {"tables": sample.tables, "hospitals": sample.hospitals, "rates": sample.rates}
    found = [
        simulate(sample.admissions.head(5_000), Scenario.load(name), replicates=2, seed=1, **setting).mean(
            "drg_change_rate"
        )
        for name in ("trainee", "certified_coder", "specialty_coder")
    ]
    assert found == sorted(found, reverse=True)


def test_the_page_has_examples():
    """`tests/test_docs.py` runs them."""
    assert len(re.findall(r"```python\n(.*?)```\n+```text\n(.*?)```", DOCS.read_text("utf-8"), re.DOTALL)) >= 5


def test_page_lists_every_finding():
    """Every finding of every scenario has its row in the page's table, with its published value."""
    rows = {
        (name, measure, kind, float(published.split()[0]))
        for name, measure, kind, published in re.findall(
            r"\| `(\w+)` \| `([\w.]+)` \| (fitted|not fitted) \| ([^|]+) \|", DOCS.read_text("utf-8")
        )
    }
    expected = {
        (name, f.measure, "fitted" if f.fitted else "not fitted", float(f"{f.value:.4g}"))
        for name in ALL
        for f in Scenario.load(name).findings
    }
    assert rows == expected


def test_a_missing_scenario_is_written_again(tmp_path: Path, sample: FittingAdmissions):
    """A scenario whose rates are the study's own is written byte for byte and listed in the manifest."""
    folder = tmp_path / "tables"
    shutil.copytree(ROOT / "grouper_tables", folder)
    name = "scenarios/vent_96h.toml"
    sections = re.split(r"(?m)^(?=\[)", (folder / "manifest.toml").read_text("utf-8"))
    text = "".join(one for one in sections if not one.startswith(f'[files."{name}"]'))
    (folder / "manifest.toml").write_text(text, "utf-8")
    before = (folder / name).read_bytes()
    (folder / name).unlink()
    table = write_scenarios(["vent_96h"], sample, folder)["vent_96h"]
    assert table["measure"].to_list() == ["code_change_rate", "underpaid_share"]
    assert read_verified(folder, name) == before
    assert Scenario.load("vent_96h", folder=folder).errors == Scenario.load("vent_96h").errors
