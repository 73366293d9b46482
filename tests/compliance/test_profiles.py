"""Profiles against CMS's own answers, titles, plain Python and hand-made hospitals."""

from __future__ import annotations

import re
import shutil
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drgsim import InputError, Rates, SchemaError, TableError, TableSet, generate, group, versions, with_weights
from drgsim.compliance.peers import compare_with_peers, find_new_outliers, find_rates_until_outlier
from drgsim.compliance.profiles import profile
from drgsim.compliance.severity_support import count_supporting_severity
from drgsim.compliance.target_areas import FILE, Measures, expand_number_ranges
from drgsim.explanation.case_mix import cmi_change
from drgsim.tables.drg_families import list_families
from drgsim.tables.manifest import seal, table_folder

TABLES, RATES = TableSet.load("43.1"), Rates.load(2026)


@pytest.fixture(scope="module")
def grouped() -> pl.DataFrame:
    """Admissions of thirty hospitals, priced by weight."""
    _, admissions = generate(12_000, seed=4, tables=TABLES)
    place = pl.col("admission_id") % 30
    named = admissions.with_columns(hospital_id=pl.format("H{}", place.cast(pl.String).str.zfill(2)))
    return with_weights(group(named, TABLES), RATES)


@pytest.fixture(scope="module")
def profiled(grouped: pl.DataFrame) -> pl.DataFrame:
    return profile(grouped, TABLES)


# --- families --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", versions())
def test_families_split_as_their_titles_say(version: str):
    """CMS writes "with MCC", "with CC", "without CC/MCC" into the titles of the DRGs of a family."""
    tables = TableSet.load(version)
    found = list_families(tables)
    titles = (
        found.join(tables.drg_titles, on="drg", how="left").group_by("base_drg").agg(pl.col("title").str.join(" | "))
    )
    by_title = titles.select(
        "base_drg",
        splits_mcc=pl.col("title").str.contains("with MCC"),
        splits_cc=pl.col("title").str.contains(r"with CC\b|without CC/MCC|with CC/MCC"),
    )
    assert found.select(by_title.columns).unique().sort("base_drg").equals(by_title.sort("base_drg"))
    assert found["drg"].to_list() == sorted({*tables.formulas["drg"]} - {0})


# --- single CC or MCC ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "claims", "answers", "status"),
    [
        ("41.1", "v411", "v411_expected", "NON_EXEMPT"),
        ("42.1", "v421", "v421_expected", "NON_EXEMPT"),
        ("43.0", "v430", "v430_expected", "NON_EXEMPT"),
        ("43.1", "v431", "v431_expected", "NON_EXEMPT"),
        ("43.1", "v431hac", "v431hac_expected", "NON_EXEMPT"),
        ("43.1", "v431hac", "v431hac_expected_EXEMPT", "EXEMPT"),
        ("43.1", "v431hac", "v431hac_expected_UNKNOWN", "UNKNOWN"),
    ],
    ids=lambda value: str(value),
)
def test_counted_codes_are_those_cms_used(shared: Path, version: str, claims: str, answers: str, status: str):
    """CMS reports the severity it used of each code after all exclusions; counted here without the engine."""
    admissions = pl.read_parquet(shared / "claims" / f"{claims}_claims.parquet")
    expected = pl.read_parquet(shared / "claims" / f"{answers}.parquet")
    found = count_supporting_severity(admissions, TableSet.load(version), hospital_status=status)
    compared_rows = 0
    for code, sdx, used, mcc, cc in zip(
        expected["return_code"], admissions["sdx"], expected["sdx_sev_final"], *found, strict=True
    ):
        if code == "OK":
            codes = Counter(level for _, level in set(zip(sdx, used, strict=True)))
            assert (mcc, cc) == (codes["MCC"], codes["CC"]), (sdx, used)
            compared_rows += 1
    assert compared_rows == (expected["return_code"] == "OK").sum() > 3_000


def test_diagnoses_of_a_list_are_found(cholecystectomy: pl.DataFrame):
    rows = pl.concat([cholecystectomy] * 3).with_columns(pdx=pl.Series(["K810", "E43", "K810"]))
    rows = rows.with_columns(sdx=pl.Series([["I10", "e44.0"], [], ["I10"]]), sdx_poa=pl.Series([["Y"] * 2, [], ["Y"]]))
    found = count_supporting_severity(rows, TABLES, having={"severe": ["E41", "E43"], "any": ["E43", "E440"]})
    assert found["severe"].to_list() == [False, True, False]
    assert found["any"].to_list() == [True, True, False]


# --- definitions -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", versions())
def test_measures_load_in_every_version(version: str):
    measures = Measures.load(TableSet.load(version))
    assert (measures.fewest_discharges, measures.high_percentile, measures.low_percentile) == (11, 80, 20)
    assert measures.frame()["measure"].n_unique() == len(measures.measures)


TITLED = {
    "pci": r"(?i)percutaneous cardiovascular|coronary intravascular lithotripsy|percutaneous coronary atherectomy",
    "spinal_fusion": r"(?i)spinal fusion",
    "cmi_ordinary": r"(?i)transplant|tracheostomy|ECMO|ventilator support|MV >96 hours",
    "syncope": r"(?i)syncope",
}


@pytest.mark.parametrize("version", versions())
@pytest.mark.parametrize("key", TITLED)
def test_renumbered_drgs_are_those_of_the_title(version: str, key: str):
    tables = TableSet.load(version)
    measure = next(m for m in Measures.load(tables).measures if m.key == key)
    named = {*expand_number_ranges(measure.numerator.drgs or measure.denominator.except_drgs or "")}
    titles = tables.drg_titles.filter(pl.col("title").str.contains(TITLED[key]))
    # Back and neck procedures "except spinal fusion"; septicemia and burns "without MV >96 hours"; in 36.0 heart
    # failure and cardiac arrest "with MCC or peripheral ECMO", whose stays are ordinary ones at MCC.
    other = "(?i)procedures except spinal fusion|without MV|or MV >96|with MCC or peripheral extracorporeal"
    besides = titles.filter(pl.col("title").str.contains(other))
    expected = {*titles["drg"]} - ({*besides["drg"]} - named)
    assert named == expected


def test_definitions_are_those_of_the_evidence(shared: Path):
    """Numbers and "read or recalled" agree with the reviewed list of target areas, row by row."""
    rows = pl.read_csv(shared / "evidence" / "pepper_target_areas.csv", infer_schema=False)
    by_title = {m.title: m for m in Measures.load(TABLES).measures}
    renamed = {"COPD": "Chronic Obstructive Pulmonary Disease"}
    seen = 0
    for row in rows.iter_rows(named=True):
        title = renamed.get(row["area"], row["area"])
        if title.startswith("Two-day / one-day"):
            assert {"One-day stays, medical", "Two-day stays, surgical"} <= {*by_title}
            continue
        measure = by_title[title]
        for part in ("numerator", "denominator"):
            text = row[part] or ""
            if measure.is_computed and re.fullmatch(r"DRG [\d, -]+", text):
                expected = expand_number_ranges(text.removeprefix("DRG ").replace(",", " "))
                assert expand_number_ranges(getattr(measure, part).drgs) == expected, title
                seen += 1
        assert bool(measure.removed) == row["status"].startswith("REMOVED")
        if (row["definition_source"] or "").startswith("MEMORY"):
            assert measure.basis == "MEMORY", title
    assert seen >= 12


def test_what_cannot_be_computed_is_listed_and_left_out(profiled: pl.DataFrame):
    frame = Measures.load(TABLES).frame()
    left_out = frame.filter(~pl.col("is_computed"))
    assert {"pci", "total_knee_replacement", "spinal_fusion", "readmissions"} <= {*left_out["measure"]}
    assert (left_out["needs"] != "").all()
    assert {*profiled["measure"]} == {*frame.filter("is_computed")["measure"]}


def changed(folder: Path, old: str, new: str) -> Path:
    """A table folder whose measures differ; all else is the shipped one."""
    shipped = table_folder()
    shutil.copytree(shipped, folder, dirs_exist_ok=True)
    text = (shipped / FILE).read_text("utf-8")
    assert old in text
    (folder / FILE).write_text(text.replace(old, new, 1), "utf-8")
    seal(folder)
    return folder


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('drgs = "61-66"', 'drgs = "61-66 984"', "'stroke': version 43.1 has no DRG 984"),
        ('numerator    = { drgs = "246-251" }', "", "43.1"),
        ('first_version = "43.0"', 'first_version = "44.0"', "'pci' has 0 definitions in version 43.1"),
        ('last_version  = "42.1"', 'last_version  = "43.1"', "'pci' has 2 definitions in version 43.1"),
        ('last_version  = "43.1"', 'last_version  = "43.9"', "'43.9' is no version"),
        ('numerator   = { drgs = "61-66" }', 'numerator   = { drgs = "61-70" }', "DRG 70 of the numerator"),
        ('"E41", "E43"] }', '"E41", "E43X"] }', "no diagnosis E43X"),
        ("mdcs = [5]", "mdcs = [5, 77]", "no MDC 77"),
        ("discharge_statuses = [3, 83]", "discharge_statuses = [3, 99]", "no discharge status 99"),
        ('drgs = "177 178"', 'drgs = "177 to 178"', "neither a number nor a range"),
        ('tier = ["MCC"]', 'tear = ["MCC"]', "tear: Extra inputs"),
        ('key    = "stroke"', 'key    = "cmi"', "'cmi' is listed twice"),
        ('basis  = "READ"', 'basis  = "HEARSAY"', "Input should be"),
        ("[[measures]]", "[[measures", "not a TOML file"),
    ],
)  # fmt: skip
def test_a_definition_that_does_not_fit_raises_at_load(tmp_path: Path, old: str, new: str, says: str):
    if new == "":  # the definition of another version does not matter to this one
        tables = TableSet.load("43.1", folder=changed(tmp_path, old, new))
        assert Measures.load(tables).version == says
        return
    tables = TableSet.load("43.1", folder=changed(tmp_path, old, new))
    with pytest.raises(TableError, match=re.escape(says)):
        Measures.load(tables)


def test_a_profile_raises_before_it_looks_at_a_row(tmp_path: Path):
    tables = TableSet.load("43.1", folder=changed(tmp_path, 'drgs = "312"', 'drgs = "985"'))
    with pytest.raises(TableError, match="no DRG 985"):
        profile(pl.DataFrame(), tables)


# --- numbers ---------------------------------------------------------------------------------------------


def in_plain_python(grouped: pl.DataFrame) -> dict[tuple[str, str], tuple[float, int]]:
    """Numerators and denominators by titles and CMS-style detail, a row at a time."""
    detail = group(grouped, TABLES, detail=True)
    titles = defaultdict(str)
    base = dict(TABLES.formulas.filter(pl.col("drg") > 0).select("drg", "base_drg").iter_rows())
    for drg, title in TABLES.drg_titles.iter_rows():
        titles[base.get(drg, drg)] += f" | {title}"
    sums: dict[tuple[str, str], list[float]] = defaultdict(lambda: [0.0, 0])

    def count(hospital: str, measure: str, amount: float):
        sums[hospital, measure][0] += amount
        sums[hospital, measure][1] += 1

    for row in detail.iter_rows(named=True):
        drg, hospital, weight = row["drg"], row["hospital_id"], row["weight"]
        family = titles[base[drg]]
        by_mcc, by_cc = "with MCC" in family, bool(re.search(r"with CC\b|without CC/MCC|with CC/MCC", family))
        level = row["severity"]
        tier = "MCC" if by_mcc and level == "MCC" else "CC" if by_cc and level != "NONE" else "NONE"
        left = Counter(used for _, used in set(zip(row["sdx"], row["sdx_sev_final"], strict=True)))
        medical, surgical = row["drg_type"] == "MEDICAL", row["drg_type"] == "SURGICAL"
        count(hospital, "cmi", weight)
        if medical:
            count(hospital, "cmi_medical", weight)
            count(hospital, "one_day_medical", row["los_days"] <= 1)
            count(hospital, "two_day_medical", row["los_days"] == 2)
        if by_mcc:
            count(hospital, "mcc_capture", tier == "MCC")
        if by_cc:
            count(hospital, "cc_capture", tier == "CC")
        if by_mcc or by_cc:
            count(hospital, "cc_or_mcc_capture", tier != "NONE")
            if surgical:
                count(hospital, "surgical_with_cc_or_mcc", tier != "NONE")
        if tier == "MCC":
            count(hospital, "single_mcc", left["MCC"] == 1)
            count(hospital, "short_stay_mcc", row["los_days"] <= 2)
        if tier != "NONE":
            count(hospital, "single_cc_or_mcc", left["MCC"] + left["CC"] == 1)
        if drg in (193, 194, 195, 207, 208, 689, 690, 870, 871, 872):
            count(hospital, "septicemia", drg in (870, 871, 872))
        if row["discharge_status"] in (3, 83):
            count(hospital, "three_day_snf", row["los_days"] == 3)
        codes = {row["pdx"], *row["sdx"]}
        if codes & {"E40", "E41", "E42", "E43", "E440", "E441", "E45", "E46"}:
            count(hospital, "severe_malnutrition", bool(codes & {"E41", "E43"}))
        title = TABLES.drg_titles.filter(pl.col("drg") == drg)["title"].item() if drg in ORDINARY_TITLES else ""
        if not title:
            count(hospital, "cmi_ordinary", weight)
    return {key: (total, int(n)) for key, (total, n) in sums.items()}


ORDINARY_TITLES = {*TABLES.drg_titles.filter(pl.col("title").str.contains(TITLED["cmi_ordinary"]))["drg"]} - {
    871,
    872,
    928,
    929,
    934,
}


def test_numbers_are_those_of_a_plain_count(grouped: pl.DataFrame, profiled: pl.DataFrame):
    expected = in_plain_python(grouped)
    rows = {(row["hospital_id"], row["measure"]): row for row in profiled.iter_rows(named=True)}
    shown = hidden = 0
    for key, (numerator, denominator) in expected.items():
        row = rows[key]
        few = denominator < 11 or (numerator < 11 and row["kind"] != "case mix")
        assert row["is_suppressed"] == few, key
        if few:
            assert row["numerator"] is row["denominator"] is row["value"] is None
            hidden += 1
        else:
            assert row["denominator"] == denominator, key
            assert row["numerator"] == pytest.approx(numerator, abs=1e-9), key
            assert row["value"] == pytest.approx(numerator / denominator), key
            shown += 1
    assert shown > 300
    assert hidden >= 10


def test_outliers_are_those_of_numpy(profiled: pl.DataFrame):
    outliers = Counter()
    for (measure,), rows in profiled.group_by("measure"):
        values = rows["value"].drop_nulls().to_numpy()
        if len(values) < 11:
            assert rows["percentile"].null_count() == len(rows)
            assert (rows["outlier"] == "NONE").all()
            continue
        low, high = np.quantile(values, [0.2, 0.8])
        for row in rows.filter(pl.col("value").is_not_null()).iter_rows(named=True):
            assert row["percentile"] == pytest.approx(100 * (values < row["value"]).mean())
            two_sided = row["kind"] != "necessity"
            expected = "HIGH" if row["value"] >= high else "LOW" if two_sided and row["value"] <= low else "NONE"
            assert row["outlier"] == expected, measure
            outliers[expected] += 1
    assert min(outliers["HIGH"], outliers["LOW"]) > 50


def test_order_of_rows_changes_nothing(grouped: pl.DataFrame, profiled: pl.DataFrame):
    assert profile(grouped.sample(fraction=1.0, shuffle=True, seed=1), TABLES).equals(profiled)


def test_rates_give_the_weights(grouped: pl.DataFrame, profiled: pl.DataFrame):
    assert profile(grouped.drop("weight"), TABLES, rates=RATES).equals(profiled)


def test_hospitals_come_in_order_with_every_measure(profiled: pl.DataFrame):
    keys = [m.key for m in Measures.load(TABLES).measures if m.is_computed]
    hospitals = [f"H{k:02}" for k in range(30)]
    assert profiled.select("hospital_id", "measure").rows() == [(h, key) for h in hospitals for key in keys]


def test_peers_are_compared_among_themselves(grouped: pl.DataFrame):
    parted = grouped.with_columns(
        region=pl.when(pl.col("hospital_id") < "H15").then(pl.lit("N")).otherwise(pl.lit("S"))
    )
    both = profile(parted, TABLES, peers="region")
    north = profile(parted.filter(pl.col("region") == "N"), TABLES)
    assert both.filter(pl.col("region") == "N").drop("region").equals(north)


def test_ungroupable_admissions_count_nowhere(grouped: pl.DataFrame, profiled: pl.DataFrame):
    bad = (
        grouped.head(50)
        .select(pl.exclude("weight"))
        .with_columns(pdx=pl.lit("NOPE"), admission_id=pl.col("admission_id") + 10**6)
    )
    bad = with_weights(group(bad, TABLES), RATES).select(grouped.columns)
    assert (bad["drg"] == 999).all()
    assert profile(pl.concat([grouped, bad]), TABLES).equals(profiled)


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        (lambda f: f.drop("weight"), SchemaError, "give rates"),
        (lambda f: f.drop("los_days"), SchemaError, "los_days"),
        (lambda f: f.drop("hospital_id"), SchemaError, "'hospital_id'"),
        (lambda f: f.drop("severity"), SchemaError, "severity"),
        (lambda f: f.with_columns(hospital_id=pl.lit(None, pl.String)), InputError, "12000 admissions have a null"),
        (
            lambda f: f.with_columns(drg=pl.lit(246, pl.UInt16)),
            InputError,
            "have a DRG that version 43.1 does not have",
        ),
    ],
)
def test_mistakes_raise(grouped: pl.DataFrame, change, error: type[Exception], says: str):
    with pytest.raises(error, match=says):
        profile(change(grouped), TABLES)


def test_a_hospital_has_one_peer_group(grouped: pl.DataFrame):
    with pytest.raises(InputError, match="several values of 'sex'"):
        profile(grouped, TABLES, peers="sex")


# --- peers -----------------------------------------------------------------------------------------------


def profile_of(values: list[float | None]) -> pl.DataFrame:
    table = pl.DataFrame({"hospital_id": [f"H{k:02}" for k in range(len(values))], "measure": "m", "value": values})
    table = compare_with_peers(table, ["measure"], low=20, high=80, fewest=5, two_sided=pl.lit(value=True))
    return table.with_columns(
        kind=pl.lit("coding"), numerator=0, denominator=0, is_suppressed=pl.col("value").is_null()
    )


def test_who_newly_stands_out():
    before = profile_of([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, None])  # thresholds 2 and 5
    after = profile_of([1.0, 5.0, 0.5, 4.0, 1.0, None, 9.0])
    found = find_new_outliers(before, after).select("hospital_id", "threshold", "outlier_before", "outlier").rows()
    assert found == [
        ("H01", 5.0, "LOW", "HIGH"),
        ("H02", 2.0, "NONE", "LOW"),
        ("H04", 2.0, "HIGH", "LOW"),
        ("H06", 5.0, "NONE", "HIGH"),
    ]
    own = find_new_outliers(before, after, thresholds="after")  # 1 and 5
    assert own.select("hospital_id", "threshold", "outlier").rows() == [
        ("H01", 5.0, "HIGH"),
        ("H02", 1.0, "LOW"),
        ("H04", 1.0, "LOW"),
        ("H06", 5.0, "HIGH"),
    ]


def test_equal_peers_do_not_stand_out():
    assert (profile_of([0.4] * 9)["outlier"] == "NONE").all()
    assert profile_of([1.0, 2.0, 3.0, 4.0, None])["percentile"].null_count() == 5


def test_how_much_error_until_they_stand_out():
    def at(scale: float) -> pl.DataFrame:
        return profile_of([1.0, 2.0, 3.0 + scale, 4.0 + 0.5 * scale, 5.0, 6.0])

    scales = [0.0, 1.0, 2.0, 3.0]
    found = find_rates_until_outlier(at, scales)
    assert found.select("hospital_id", "outlier", "scale", "scale_below").rows() == [
        ("H02", "HIGH", 2.0, 1.0),
        ("H03", "HIGH", 2.0, 1.0),
    ]
    assert find_rates_until_outlier({scale: at(scale) for scale in reversed(scales)}).equals(found)
    with pytest.raises(InputError, match="at least one other"):
        find_rates_until_outlier(at)
    with pytest.raises(InputError, match="go with a function"):
        find_rates_until_outlier({0.0: at(0.0), 1.0: at(1.0)}, [0.0, 1.0])


def test_upcoding_makes_a_hospital_stand_out(grouped: pl.DataFrame, profiled: pl.DataFrame):
    """A hospital that writes acute respiratory failure on a growing share of its claims passes its peers."""

    def at(scale: float) -> pl.DataFrame:
        chosen = (pl.col("hospital_id") == "H07") & (pl.col("admission_id") // 30 % 100 < 100 * scale)
        billed = grouped.with_columns(
            sdx=pl.when(chosen).then(pl.col("sdx").list.concat(pl.lit(["J9601"]))).otherwise("sdx"),
            sdx_poa=pl.when(chosen).then(pl.col("sdx_poa").list.concat(pl.lit(["Y"]))).otherwise("sdx_poa"),
        )
        return profile(group(billed, TABLES), TABLES, rates=RATES)

    found = find_rates_until_outlier(at, [0.0, 0.5, 1.0]).filter(pl.col("measure") == "mcc_capture")
    assert found["hospital_id"].to_list() == ["H07"]
    assert found["outlier"].to_list() == ["HIGH"]


def test_profiles_of_different_keys_are_not_compared(profiled: pl.DataFrame):
    with pytest.raises(SchemaError, match="different keys"):
        find_new_outliers(profiled, profiled.rename({"hospital_id": "unit"}))
    with pytest.raises(SchemaError, match="no profile"):
        find_new_outliers(profiled.drop("outlier"), profiled)
    with pytest.raises(InputError, match="'before' or 'after'"):
        find_new_outliers(profiled, profiled, thresholds="both")


# --- change of case mix ----------------------------------------------------------------------------------

WEIGHTS = {193: 1.25, 194: 0.82, 195: 0.61, 470: 1.9, 469: 3.1, 871: 1.9, 872: 1.0}
BASES = {193: 193, 194: 193, 195: 193, 469: 469, 470: 469, 871: 871, 872: 871}


def cases(drgs: list[int]) -> pl.DataFrame:
    types = {"drg": pl.UInt16, "base_drg": pl.UInt16, "weight": pl.Float64}
    return pl.DataFrame(
        {"drg": drgs, "base_drg": [BASES[d] for d in drgs], "weight": [WEIGHTS[d] for d in drgs]}, schema=types
    )


def test_cmi_change_by_hand():
    """Half pneumonia, half joints; then a quarter joints, and one pneumonia more at MCC."""
    before, after = cases([193, 195, 470, 470]), cases([193, 193, 195, 470])
    row = cmi_change(before, after).row(0, named=True)
    w0, w1 = (1.25 + 0.61) / 2, (1.25 + 1.25 + 0.61) / 3
    assert row["severity"] == pytest.approx((w1 - w0) * (0.5 + 0.75) / 2)
    assert row["mix"] == pytest.approx(0.25 * (w0 + w1) / 2 - 0.25 * 1.9)
    assert row["change"] == pytest.approx((1.25 + 1.25 + 0.61 + 1.9) / 4 - (1.25 + 0.61 + 1.9 + 1.9) / 4)


drg_lists = st.lists(st.sampled_from(sorted(WEIGHTS)), min_size=1, max_size=30)


@given(before=drg_lists, after=drg_lists)
@settings(max_examples=150, deadline=None)
def test_mix_and_severity_add_up(before: list[int], after: list[int]):
    there = cmi_change(cases(before), cases(after)).row(0, named=True)
    back = cmi_change(cases(after), cases(before)).row(0, named=True)
    index = [np.mean([WEIGHTS[d] for d in drgs]) for drgs in (before, after)]
    assert there["mix"] + there["severity"] == pytest.approx(index[1] - index[0], abs=1e-12)
    assert there["change"] == pytest.approx(index[1] - index[0], abs=1e-12)
    assert (back["mix"], back["severity"]) == pytest.approx((-there["mix"], -there["severity"]), abs=1e-12)
    if Counter(BASES[d] for d in before) == Counter(BASES[d] for d in after):
        assert there["mix"] == pytest.approx(0, abs=1e-12)
    if {*before} == {*after} and all(len({d for d in before if BASES[d] == BASES[e]}) == 1 for e in before):
        assert there["severity"] == pytest.approx(0, abs=1e-12)


def test_each_hospital_is_split_by_itself():
    before, after = cases([193, 195, 470, 872]), cases([193, 193, 469, 871])
    names = pl.Series("hospital_id", ["A", "A", "B", "C"])
    other = pl.Series("hospital_id", ["A", "A", "B", "D"])
    table = cmi_change(before.with_columns(names), after.with_columns(other), by="hospital_id")
    assert table["hospital_id"].to_list() == ["A", "B", "C", "D"]
    assert table["severity"].to_list()[:2] == pytest.approx([1.25 - (1.25 + 0.61) / 2, 3.1 - 1.9])
    assert table.row(2, named=True)["cmi_after"] is None
    assert table.row(3, named=True)["change"] is None
    assert table.row(3, named=True)["mix"] is None


def test_weights_that_differ_are_refused():
    with pytest.raises(InputError, match="several weights, such as 193"):
        cmi_change(cases([193]), cases([193]).with_columns(weight=1.3))
    with pytest.raises(InputError, match="'ward'"):
        cmi_change(cases([193]), cases([193]), by="ward")
