"""Generated admissions keep the schema, have legal codes, and group to the DRG that was drawn."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from drgsim.exceptions import InputError
from drgsim.grouping.grouper import group, group_encoded
from drgsim.schema import ADMISSIONS, HOSPITALS, check_frame
from drgsim.synthetic.generation_plan import compile_plan
from drgsim.synthetic.generator import generate, generate_batches
from drgsim.synthetic.hospital_course import encode_stays
from drgsim.synthetic.pilot import confirm_stays, draw_pilot
from drgsim.synthetic.population import Population, populations, volumes
from drgsim.synthetic.validation import validity
from drgsim.tables.code_limits import FEMALE, MALE, load_code_limits
from drgsim.tables.codebook import load_codebooks
from drgsim.tables.national_facts import read_facts
from drgsim.tables.table_set import TableSet, versions

N = 60_000
TABLES = TableSet.load("43.1")


@pytest.fixture(scope="module")
def medicare() -> tuple[pl.DataFrame, pl.DataFrame]:
    return generate(N, seed=11, tables=TABLES)


@pytest.fixture(scope="module")
def grouped(medicare) -> pl.DataFrame:
    return group(medicare[1], TABLES)


@pytest.fixture(scope="module")
def all_payers() -> tuple[pl.DataFrame, pl.DataFrame]:
    return generate(20_000, seed=5, tables=TABLES, population="all_payer_adult")


@pytest.fixture(scope="module")
def table(medicare) -> dict[str, tuple[float, float]]:
    return compare(medicare[1], "medicare_ffs")


@pytest.fixture
def small_pilot(monkeypatch):
    """Tune intercepts on fewer admissions; for plans that no other test compiles, since plans are cached."""
    monkeypatch.setattr("drgsim.synthetic.pilot._PILOT_ADMISSIONS", 10_000)


def compare(admissions: pl.DataFrame, population: str) -> dict[str, tuple[float, float]]:
    """Return (generated, target) of every measure."""
    rows = validity(admissions, TABLES, population).select("measure", "generated", "target").rows()
    return {measure: (generated, target) for measure, generated, target in rows}


def test_frames_are_in_their_contracts(medicare):
    hospitals, admissions = medicare
    assert admissions.columns == list(ADMISSIONS.names)
    assert check_frame(admissions, ADMISSIONS).equals(admissions)
    assert admissions.null_count().sum_horizontal().item() == 0
    check_frame(hospitals, HOSPITALS)
    assert set(admissions["hospital_id"]) <= set(hospitals["hospital_id"])
    assert hospitals["hospital_id"].is_unique().all()
    assert admissions["admission_id"].equals(pl.Series("admission_id", range(1, N + 1), dtype=pl.UInt64))
    year = admissions["discharge_date"]
    assert f"{year.min()} {year.max()}" == "2025-10-01 2026-09-30"


def test_every_admission_groups(grouped):
    assert (grouped["return_code"] == "OK").all()


@pytest.mark.parametrize(
    ("measure", "tolerance"),
    [
        ("total variation of the DRG mix", 0.03),  # 0.02 at a million; sampling alone gives 0.022 here
        ("case-mix index", 0.03),
        ("surgical share", 0.01),
        ("under 65", 0.01),
        ("mean age [years]", 1.0),
        ("female", 0.01),
        ("died", 0.01),
        ("discharged to post-acute care", 0.01),
        ("mean length of stay [days]", 0.15),
        ("mean covered charges [USD]", 5_000),
    ],
)
def test_population_meets_its_targets(table, measure, tolerance):
    generated, target = table[measure]
    assert generated == pytest.approx(target, abs=tolerance)


def test_medicare_patients_have_ten_to_fourteen_secondary_codes(table):
    assert 10 <= table["number, quantile 0.5"][0] <= 14
    assert table["number, quantile 0.9"][0] >= 18


def test_case_mix_index_is_the_published_one():
    mix = volumes(TABLES, Population.load("medicare_ffs"))
    assert (mix["share"] * mix["relative_weight"]).sum() == pytest.approx(1.84, rel=0.01)


def test_codes_are_valid_distinct_and_legal_for_the_patient(medicare):
    admissions = medicare[1]
    legal, (dx, procedures) = load_code_limits(TABLES), load_codebooks(TABLES)
    pdx = dx.numbers(admissions["pdx"])
    assert legal.dx_valid[pdx].all()
    assert legal.may_be_pdx[pdx].mean() > 0.999
    for column in ("sdx", "procedures"):
        lists = admissions[column]
        assert (lists.list.n_unique() == lists.list.len()).all()
    assert not admissions.select(pl.col("sdx").list.contains(pl.col("pdx"))).to_series().any()
    assert admissions["sdx"].list.len().max() <= 24
    assert (admissions["sdx"].list.len() == admissions["sdx_poa"].list.len()).all()
    flat = admissions.select("age", "sex", "sdx").explode("sdx", empty_as_null=False)
    number = dx.numbers(flat["sdx"])
    assert legal.dx_valid[number].all()
    sexes = flat["sex"].replace_strict({"M": MALE, "F": FEMALE}, return_dtype=pl.UInt8).to_numpy()
    assert ((legal.dx_sex[number] == 0) | (legal.dx_sex[number] == sexes)).all()
    assert (legal.dx_min_age[number] <= flat["age"].to_numpy()).all()
    assert (legal.dx_max_age[number] >= flat["age"].to_numpy()).all()
    done = procedures.numbers(admissions["procedures"].explode(empty_as_null=False))
    assert legal.procedure_valid[done].all()


def test_principal_diagnoses_suit_the_patient(medicare):
    admissions = medicare[1]
    legal, pdx = load_code_limits(TABLES), load_codebooks(TABLES)[0].numbers(medicare[1]["pdx"])
    sexes = admissions["sex"].replace_strict({"M": MALE, "F": FEMALE}, return_dtype=pl.UInt8).to_numpy()
    assert ((legal.dx_sex[pdx] == 0) | (legal.dx_sex[pdx] == sexes)).all()
    assert (legal.dx_min_age[pdx] <= admissions["age"].to_numpy()).all()
    assert (legal.dx_max_age[pdx] >= admissions["age"].to_numpy()).all()


def test_no_stay_is_shorter_than_its_ventilation(medicare):
    least = {
        code: days
        for name in ("procedures", "ancillary")
        for code, days in read_facts(name, TABLES.folder).select("code", "min_los_days").rows()
        if days > 1
    }
    needed = medicare[1].select("los_days", "procedures").explode("procedures", empty_as_null=False)
    needed = needed.filter(pl.col("procedures").is_in(list(least)))
    assert needed.height > 500
    assert (needed["los_days"] >= needed["procedures"].replace_strict(least, return_dtype=pl.Int32)).all()


def test_poa_is_exempt_only_where_the_list_says_so(medicare):
    flat = medicare[1].select("sdx", "sdx_poa").explode("sdx", "sdx_poa", empty_as_null=False)
    exempt = load_code_limits(TABLES).poa_exempt[load_codebooks(TABLES)[0].numbers(flat["sdx"])]
    assert ((flat["sdx_poa"] == "1").to_numpy() == exempt).all()
    assert set(flat["sdx_poa"]) == {"Y", "N", "U", "W", "1"}


def test_chronic_conditions_occur_together(medicare):
    sdx = medicare[1]["sdx"]
    chapters = {"kidney": "N18", "heart": "I50", "lung": "J44", "atrial": "I48"}
    has = {name: sdx.list.eval(pl.element().str.starts_with(prefix)).list.any() for name, prefix in chapters.items()}
    for one, other in (("kidney", "heart"), ("heart", "atrial")):
        both, alone = (has[one] & has[other]).mean(), has[one].mean() * has[other].mean()
        assert both > 1.15 * alone


def test_conditions_are_coded_together_as_guidelines_say(medicare):
    """Hypertension with kidney disease or heart failure is not coded as hypertension alone."""
    sdx = medicare[1]["sdx"]
    plain = sdx.list.contains("I10")
    for prefix in ("N18", "I50"):
        other = sdx.list.eval(pl.element().str.starts_with(prefix)).list.any()
        assert other.mean() > 0.1
        assert not (plain & other).any()


def test_every_drg_of_the_version_can_be_generated():
    drgs = volumes(TABLES, Population.load("medicare_ffs"))["drg"].to_list()
    reachable = TABLES.formulas.filter(pl.col("drg") > 0, pl.col("type") != "NONE")["drg"].unique()
    assert sorted(drgs) == reachable.sort().to_list()
    plan = compile_plan(TABLES, Population.load("medicare_ffs"), None)
    drg = np.repeat(np.arange(len(drgs)), 3)
    ids = np.arange(len(drg), dtype=np.uint64)
    stays = confirm_stays(ids, drg, 2, plan, draw_pilot(plan).tuning)
    found = group_encoded(encode_stays(stays, plan), TABLES)
    assert found.drg.tolist() == np.array(drgs)[drg].tolist()
    assert not found.return_code.any()


@pytest.mark.long
def test_a_stress_set_may_hold_every_drg():
    drgs = volumes(TABLES, Population.load("medicare_ffs"))["drg"].to_list()
    found = group(generate(6_000, seed=2, tables=TABLES, drgs=drgs)[1], TABLES)
    assert set(found["drg"]) == set(drgs)


def test_a_stress_set_has_equal_numbers_of_its_drgs(small_pilot):
    found = group(generate(3_000, seed=2, tables=TABLES, drgs=[3, 794, 807])[1], TABLES)
    counts = dict(found["drg"].value_counts().rows())
    assert set(counts) == {3, 794, 807}
    assert min(counts.values()) > 900


def test_drgs_new_in_the_newest_version_can_be_generated(small_pilot):
    tables = TableSet.load(versions()[-1])
    new = sorted({*tables.formulas["drg"]} - {*TABLES.formulas["drg"]})
    assert len(new) > 10
    found = group(generate(1_500, seed=4, tables=tables, drgs=new)[1], tables)
    assert (found["return_code"] == "OK").all()
    assert set(found["drg"]) == set(new)


@pytest.mark.parametrize(
    "version",
    [pytest.param(name, marks=pytest.mark.long if name == "44.0" else pytest.mark.slow) for name in versions()],
)
def test_every_version_can_be_generated(version):
    tables = TableSet.load(version)
    found = group(generate(1_500, seed=4, tables=tables)[1], tables)
    assert (found["return_code"] == "OK").all()


def check_population(name: str, hospitals: pl.DataFrame, admissions: pl.DataFrame, *measures: str) -> None:
    assert hospitals.height == Population.load(name).hospitals.value
    found = compare(admissions, name)
    assert found["grouped with return code OK"][0] == 1
    for measure in ("died", "discharged to post-acute care", *measures):
        assert found[measure][0] == pytest.approx(found[measure][1], abs=0.015)


def test_the_populations_of_the_fixtures_meet_their_figures(medicare, all_payers):
    check_population("medicare_ffs", *medicare, "female")
    check_population("all_payer_adult", *all_payers, "female")


@pytest.mark.parametrize("name", [name for name in populations() if name.endswith("_hospital")])
def test_the_largest_drgs_of_other_populations_meet_their_figures(name, small_pilot):
    largest = volumes(TABLES, Population.load(name)).sort("share", descending=True)["drg"].head(40).to_list()
    check_population(name, *generate(20_000, seed=5, tables=TABLES, population=name, drgs=largest))


@pytest.mark.long
@pytest.mark.parametrize("name", populations())
def test_every_population_can_be_generated(name):
    check_population(name, *generate(20_000, seed=5, tables=TABLES, population=name), "female")


def test_all_payers_have_mothers_and_newborns(all_payers):
    grouped = group(all_payers[1].head(10_000), TABLES)
    mothers, newborns = grouped.filter(pl.col("mdc") == 14), grouped.filter(pl.col("mdc") == 15)
    assert mothers.height > 700
    assert newborns.height > 700
    assert (mothers["sex"] == "F").all()
    assert mothers["age"].is_between(12, 55).all()
    # Syndromes of exogenous cause (Q86) are of MDC 15 at any age.
    assert (newborns.filter(~pl.col("pdx").str.starts_with("Q86"))["age"] == 0).all()
    elsewhere = grouped.filter(pl.col("mdc") != 15, pl.col("age") == 0)["pdx"]
    assert (load_code_limits(TABLES).dx_max_age[load_codebooks(TABLES)[0].numbers(elsewhere)] == 0).all()


def test_teaching_hospitals_have_the_heavier_case_mix():
    index = {
        name: (mix["share"] * mix["relative_weight"]).sum()
        for name in ("community_hospital", "medicare_ffs", "teaching_hospital")
        for mix in [volumes(TABLES, Population.load(name), tilted=False)]
    }
    assert index["community_hospital"] < index["medicare_ffs"] - 0.1
    assert index["teaching_hospital"] > index["medicare_ffs"] + 0.1


def test_batches_are_the_same_admissions():
    everything = generate(5_000, seed=6, tables=TABLES)
    batches = list(generate_batches(5_000, seed=6, tables=TABLES, batch_size=1_999))
    assert pl.concat([admissions for _, admissions in batches]).equals(everything[1])
    assert batches[-1][0].equals(everything[0])


def test_no_admissions_are_an_empty_frame():
    hospitals, admissions = generate(0, seed=1, tables=TABLES)
    assert admissions.columns == list(ADMISSIONS.names)
    assert hospitals.height > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": -1}, "n is -1"),
        ({"n": 1, "population": "medicare_fs"}, "Did you mean 'medicare_ffs'"),
        ({"n": 1, "population": "nowhere.toml"}, "nowhere.toml: cannot be read"),
        ({"n": 1, "drgs": [471, 9999]}, "has no DRG 9999"),
    ],
)
def test_errors_say_what_to_do(arguments, message):
    with pytest.raises(InputError, match=message):
        generate(**{"seed": 1, "tables": TABLES, **arguments})


def test_a_population_from_a_file(tmp_path, small_pilot):
    shipped = (TABLES.folder / "population/medicare_ffs.toml").read_text("utf-8")
    own = tmp_path / "own.toml"
    own.write_text(shipped.replace("value = 0.047", "value = 0.10"), "utf-8")
    admissions = generate(20_000, seed=1, tables=TABLES, population=own, drgs=[194, 291, 470, 689, 871])[1]
    assert (admissions["discharge_status"] == 20).mean() == pytest.approx(0.10, abs=0.01)
    own.write_text(shipped.replace("value = 0.047", "value = 4.7"), "utf-8")
    with pytest.raises(InputError, match=r"death_share\.value"):
        Population.load(own)


def test_every_figure_states_its_source_or_that_it_is_an_assumption():
    for name in populations():
        for figure in Population.load(name).model_dump().values():
            if isinstance(figure, dict):
                assert figure["unit"]
                assert len(figure["source"]) >= 10


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"n": -1}, "n is -1; expected a whole number"),
        ({"n": 1.5}, r"n is 1\.5; expected a whole number"),
        ({"n": "x"}, "n is 'x'"),
        ({"tables": "43.1"}, r"tables is '43\.1', expected a TableSet"),
        ({"drgs": []}, "drgs is empty"),
    ],
)
def test_arguments_that_cannot_be_used_are_refused(changed: dict[str, object], message: str):
    with pytest.raises(InputError, match=message):
        generate(**({"n": 1, "seed": 1, "tables": TableSet.load("43.1")} | changed))  # type: ignore[arg-type]
