"""Leaving out codes in bulk gives what grouping and pricing the shorter lists gives, code by code."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from drgsim import InputError, Rates, SchemaError, TableSet, generate, group, price
from drgsim.explanation.code_values import _select_removals, code_value, exposed_codes, list_removals, single_severity
from drgsim.grouping.grouper import group_encoded
from drgsim.rebilling.baseline import Baseline
from drgsim.rebilling.code_changes import apply_changes
from drgsim.rebilling.visible_changes import INVISIBLE, NO_EFFECT_ALONE

TABLES = TableSet.load("43.1")
RATES = Rates.load(2026)
FILES = ("v400", "v411", "v421", "v430", "v431", "v440", "v431hac")
HOSPITAL = pl.DataFrame({"hospital_id": ["A"], "wage_index": [1.05], "operating_ccr": [0.28]})
STAY = {
    "admission_id": 1,
    "hospital_id": "A",
    "age": 70,
    "sex": "F",
    "discharge_status": 1,
    "pdx": "K810",
    "sdx": ["I10"],
    "procedures": ["0FT44ZZ"],
    "los_days": 5,
    "covered_charges_usd": 400_000.0,
}


def stays(*changes: dict[str, object]) -> pl.DataFrame:
    rows = [{**STAY, **change, "admission_id": number} for number, change in enumerate(changes, start=1)]
    return pl.DataFrame(rows, schema_overrides={"admission_id": pl.UInt64})


def shorter(admissions: pl.DataFrame, *, pairs: bool = False) -> pl.DataFrame:
    """Every admission without each code (or pair), one by one, by plain list edits; `of` is its row."""
    out = []
    for of, row in enumerate(admissions.iter_rows(named=True)):
        places = [("sdx", at) for at in range(len(row["sdx"] or []))]
        places += [("procedures", at) for at in range(len(row["procedures"] or []))]
        for gone in combinations(places, 2) if pairs else [(place,) for place in places]:
            edited = {**row, "of": of, "gone": [f"{name} {at}" for name, at in gone]}
            for name in ("sdx", "sdx_poa", "procedures"):
                if row.get(name) is not None:
                    of_list = "sdx" if name == "sdx_poa" else name
                    edited[name] = [code for at, code in enumerate(row[name]) if (of_list, at) not in gone]
            out.append(edited)
    return pl.DataFrame(out, schema={**admissions.schema, "of": pl.Int64, "gone": pl.List(pl.String)})


def sampled(shared: Path, name: str, n: int, seed: int = 1) -> pl.DataFrame:
    claims = pl.read_parquet(shared / "claims" / f"{name}_claims.parquet")
    return claims if n >= claims.height else claims.sample(n, seed=seed)


def levels_of(claims: pl.DataFrame, tables: TableSet, status: str = "NON_EXEMPT") -> tuple[Baseline, np.ndarray]:
    """What can be seen of leaving out each code."""
    cases = Baseline.of(claims, tables=tables, hospitals=None, rates=None, hospital_status=status)
    return cases, cases.visibility.classify(list_removals(cases.encoded))[0]


def version_of(name: str) -> TableSet:
    return TableSet.load(f"{name[1:3]}.{name[3]}")


# ------------------------------------------------------------------------------------ grouping


@pytest.mark.parametrize("status", ["NON_EXEMPT", "EXEMPT", "UNKNOWN"])
@pytest.mark.parametrize("name", FILES)
def test_equals_grouping_the_shorter_lists(shared: Path, name: str, status: str):
    claims = sampled(shared, name, 250)
    values = code_value(claims, version_of(name), hospital_status=status)
    expected = group(shorter(claims), version_of(name), hospital_status=status)
    assert values["admission_id"].equals(expected["admission_id"])
    assert values["drg_without"].equals(expected["drg"].alias("drg_without"))
    truth = group(claims, version_of(name), hospital_status=status)
    assert values["drg"].equals(truth["drg"][expected["of"]])
    assert values["drg_severity"].equals(truth["severity"][expected["of"]].alias("drg_severity"))


@pytest.mark.parametrize("status", ["NON_EXEMPT", "UNKNOWN"])
@pytest.mark.parametrize("name", ["v400", "v431", "v431hac"])
def test_pairs_equal_grouping_the_shorter_lists(shared: Path, name: str, status: str):
    claims, tables = sampled(shared, name, 60, seed=2), version_of(name)
    claims = claims.filter(pl.col("sdx").list.len() + pl.col("procedures").list.len() < 16)
    values = code_value(claims, tables, pairs=True, hospital_status=status)
    alone = values.filter(pl.col("with_code").is_null())
    pairs = values.filter(pl.col("with_code").is_not_null())
    singly = code_value(claims, tables, hospital_status=status)
    assert alone.select("drg", "drg_without").equals(singly.select("drg", "drg_without"))

    def reported(prefix: str = "") -> pl.Expr:
        names = pl.col(f"{prefix}kind").cast(pl.String).replace("procedure", "procedures")
        return pl.format("{} {}", names, pl.col(f"{prefix}place"))

    bulk = {
        (i, a, b): drg
        for i, a, b, drg in pairs.select("admission_id", reported(), reported("with_"), "drg_without").rows()
    }
    single = {(i, a): drg for i, a, drg in alone.select("admission_id", reported(), "drg_without").rows()}
    expected = group(shorter(claims, pairs=True), tables, hospital_status=status)
    assert len(bulk) == pairs.height > 100
    hidden = levels_of(claims, tables, status)[1] == INVISIBLE
    unseen_codes = {row[:2] for row in alone.select("admission_id", reported()).filter(pl.Series(hidden)).rows()}
    for number, (one, other), drg in expected.select("admission_id", "gone", "drg").rows():
        if (number, one, other) in bulk:
            assert bulk[number, one, other] == drg
        else:  # a pair that is not listed changes what its other code changes
            hidden_one = (number, one) in unseen_codes
            assert hidden_one or (number, other) in unseen_codes
            assert single[number, other if hidden_one else one] == drg


@pytest.mark.slow
@pytest.mark.parametrize("status", ["NON_EXEMPT", "UNKNOWN"])
@pytest.mark.parametrize("name", FILES)
def test_what_the_grouper_cannot_see_changes_nothing(shared: Path, name: str, status: str):
    """Every unseen code of every reference claim, left out and grouped all the same."""
    claims, tables = sampled(shared, name, 60_000), version_of(name)
    cases, level = levels_of(claims, tables, status)
    each = list_removals(cases.encoded)
    hidden = np.flatnonzero(level <= NO_EFFECT_ALONE)
    assert len(hidden) > 100
    for start in range(0, len(hidden), 100_000):
        some = each.take(hidden[start : start + 100_000])
        alone = replace(some, row=np.arange(len(some)))
        less = group_encoded(apply_changes(cases.encoded.take(some.row), alone), tables)
        for answer in ("drg", "mdc", "initial_drg", "hac_count", "return_code", "severity"):
            assert (getattr(less, answer) == getattr(cases.truth, answer)[some.row]).all(), answer


def test_batches_do_not_matter(shared: Path, monkeypatch: pytest.MonkeyPatch):
    claims = sampled(shared, "v431", 200, seed=3)
    whole = code_value(claims, TABLES)
    monkeypatch.setattr("drgsim.numerics.parallel.LARGEST", 7)
    assert code_value(claims, TABLES).equals(whole)


def test_no_row_depends_on_another_admission(shared: Path):
    claims = sampled(shared, "v431hac", 90, seed=5)
    whole = code_value(claims, TABLES, rates=RATES)
    parts = [code_value(claims[start : start + 13], TABLES, rates=RATES) for start in range(0, 90, 13)]
    assert pl.concat(parts).equals(whole)
    turned = code_value(claims.reverse(), TABLES, rates=RATES)
    keys = ["admission_id", "kind", "place"]
    assert turned.sort(keys).equals(whole.sort(keys))


def test_the_order_of_secondary_codes_does_not_matter(shared: Path):
    claims = sampled(shared, "v431", 90, seed=6)
    turned = claims.with_columns(pl.col("sdx", "sdx_poa", "procedures").list.reverse())
    keys = ["admission_id", "kind", "code", "drg_without"]
    one, other = (code_value(frame, TABLES).drop("place").sort(keys) for frame in (claims, turned))
    assert one.equals(other)


# ------------------------------------------------------------------------------------ dollars


def priced_by_hand(admissions: pl.DataFrame, hospitals: pl.DataFrame, rates: Rates, tables: TableSet) -> pl.DataFrame:
    return price(group(shorter(admissions), tables, hospital_status="EXEMPT"), hospitals, rates)


def test_dollars_equal_pricing_the_shorter_lists():
    hospitals, admissions = generate(400, seed=5, tables=TABLES)
    values = code_value(admissions, TABLES, hospitals, RATES, hospital_status="EXEMPT")
    expected = priced_by_hand(admissions, hospitals, RATES, TABLES)
    whole = price(group(admissions, TABLES, hospital_status="EXEMPT"), hospitals, RATES)[expected["of"]]
    assert values["usd_without"].equals(expected["total_usd"].alias("usd_without"))
    assert values["usd"].equals(whole["total_usd"].alias("usd"))
    assert values["weight_without"].equals(expected["weight"].alias("weight_without"))
    assert values["weight"].equals(whole["weight"])
    assert (values["usd_change"] == (expected["total_usd"] - whole["total_usd"]).round(2)).all()
    assert (values["usd_change"] < 0).sum() > 200


def test_codes_that_the_pricer_reads_are_priced_without_them():
    """New technologies in FY2026: by one procedure, by two together, and by a procedure with a diagnosis."""
    codes, rules = RATES.technology_codes, RATES.technology_rules
    assert codes is not None
    assert rules is not None
    some = []
    for technology in rules["technology"].unique(maintain_order=True):
        wanted = rules.filter(pl.col("technology") == technology, pl.col("alternative") == 1, pl.col("present"))
        mine = codes.join(wanted, on="code_group").group_by("code_group", maintain_order=True).first()
        kinds = dict(mine.group_by("code_kind").agg("code").rows())
        diagnoses = [code.rstrip("*") for code in kinds.get("diagnosis", [])]
        some.append({"procedures": ["0FT44ZZ", *kinds["procedure"]], "sdx": ["I10", *diagnoses, "E1165"]})
    admissions = stays(*some)
    values = code_value(admissions, TABLES, HOSPITAL, RATES, hospital_status="EXEMPT")
    expected = priced_by_hand(admissions, HOSPITAL, RATES, TABLES)
    assert values["usd_without"].equals(expected["total_usd"].alias("usd_without"))
    same_drg = values.filter(pl.col("drg") == pl.col("drg_without"), pl.col("usd_change") != 0)
    assert same_drg["admission_id"].n_unique() > 10  # the add-on went, the DRG stayed


def test_covid_and_trials_are_priced_without_their_code():
    tables, rates = TableSet.load("40.0"), Rates.load(2021)
    admissions = stays(
        {"pdx": "J1282", "sdx": ["U071", "U071"], "procedures": []},
        {"pdx": "J1282", "sdx": ["u07.1 ", "J9601"], "procedures": []},
        {"pdx": "U071", "sdx": ["J9601", "U071"], "procedures": []},
        {"pdx": "C8330", "sdx": ["Z00.6"], "procedures": ["XW03368"]},
        {"pdx": "C8330", "sdx": ["Z006", "I10"], "procedures": ["XW03368"], "condition_codes": "ZC"},
    )
    values = code_value(admissions, tables, HOSPITAL, rates, hospital_status="EXEMPT")
    expected = priced_by_hand(admissions, HOSPITAL, rates, tables)
    assert values["usd_without"].equals(expected["total_usd"].alias("usd_without"))
    by_code = {(i, p, k): usd for i, p, k, usd in values.select("admission_id", "place", "kind", "usd_change").rows()}
    assert by_code[1, 0, "sdx"] == by_code[1, 1, "sdx"] == 0  # the other U07.1 remains
    assert by_code[2, 0, "sdx"] < 0
    assert by_code[4, 0, "sdx"] > 0  # without the trial the product was paid for
    assert by_code[5, 0, "sdx"] == 0


@pytest.mark.parametrize(("version", "year"), [("40.0", 2021), ("41.1", 2024), ("43.1", 2026)])
def test_immunotherapy_at_no_cost_is_priced_without_it(version: str, year: int):
    """MS-DRG 018 in a trial, paid for, or reported by condition code: product and trial go in turn."""
    tables, rates = TableSet.load(version), Rates.load(year)
    lymphoma = {"pdx": "C8330", "procedures": ["XW03368"]}
    admissions = stays(
        {**lymphoma, "sdx": ["Z00.6", "J9601"], "condition_codes": None},
        {**lymphoma, "sdx": ["Z006", "I10"], "condition_codes": "ZC"},
        {**lymphoma, "sdx": ["I10"], "procedures": ["XW03368", "0FT44ZZ"], "condition_codes": "ZB"},
    )
    values = code_value(admissions, tables, HOSPITAL, rates, hospital_status="EXEMPT")
    expected = priced_by_hand(admissions, HOSPITAL, rates, tables)
    assert values["drg"].unique().to_list() == [18]
    assert values["usd_without"].equals(expected["total_usd"].alias("usd_without"))


def test_texts_that_are_no_codes_stay_what_the_pricer_reads():
    """A technology of FY2026 asks for a diagnosis by its first letters; S72.QQ is no code, yet begins with S."""
    codes, rules = RATES.technology_codes, RATES.technology_rules
    assert codes is not None
    assert rules is not None
    of_s = rules.join(codes.filter(pl.col("code") == "S*"), on="code_group")
    whole = rules.join(of_s, on=["technology", "alternative"], how="semi").join(codes, on="code_group")
    beside = whole.filter(pl.col("code_kind") == "procedure").group_by("code_group", maintain_order=True).first()
    admissions = stays({"sdx": ["I10", "S72.QQ", "J9601"], "procedures": ["0FT44ZZ", *beside["code"]]})
    values = code_value(admissions, TABLES, HOSPITAL, RATES, hospital_status="EXEMPT")
    expected = priced_by_hand(admissions, HOSPITAL, RATES, TABLES)
    assert values["usd_without"].equals(expected["total_usd"].alias("usd_without"))
    changes = dict(values.select("code", "usd_change").rows())
    assert changes["S72QQ"] < 0  # the add-on rests on it
    assert changes["I10"] == 0


def test_pricing_batches_do_not_matter(monkeypatch: pytest.MonkeyPatch):
    hospitals, admissions = generate(60, seed=6, tables=TABLES)
    whole = code_value(admissions, TABLES, hospitals, RATES, pairs=True)
    monkeypatch.setattr("drgsim.rebilling.repricer.CHUNK", 11)
    assert code_value(admissions, TABLES, hospitals, RATES, pairs=True).equals(whole)


def test_several_fiscal_years_are_priced_by_date():
    admissions = stays({"sdx": ["J9601"]}, {"sdx": ["J9601"]}).with_columns(
        discharge_date=pl.Series(["2024-12-01", "2026-01-01"]).str.to_date()
    )
    values = code_value(admissions, TABLES, HOSPITAL, [Rates.load(2025), RATES], hospital_status="EXEMPT")
    for year, place in ((2025, 0), (2026, 1)):
        alone = code_value(admissions[[place]], TABLES, HOSPITAL, Rates.load(year), hospital_status="EXEMPT")
        assert values.filter(pl.col("admission_id") == place + 1).equals(alone)


# ------------------------------------------------------------------------------------ what the frame says


def test_a_worked_case(cholecystectomy: pl.DataFrame):
    """MS-DRG 417, 418, 419 are MCC, CC and neither; Table 5 of FY2026: 2.3703, 1.6326, 1.3083."""
    case = cholecystectomy.with_columns(
        sdx=pl.Series([["J96.01", "i10", "N17.9", "NOPE"]]), sdx_poa=pl.Series([["Y", "Y", "Y", "Y"]])
    )
    values = code_value(case, TABLES, rates=RATES, pairs=True)
    table = dict(RATES.weights.select("drg", "weight").rows())
    alone = values.filter(pl.col("with_code").is_null())
    assert alone["code"].to_list() == ["J9601", "I10", "N179", "NOPE", "0FT44ZZ"]
    assert alone["severity"].to_list() == ["MCC", "NONE", "CC", "NONE", "NONE"]
    assert alone["drg_without"].to_list()[:4] == [418, 417, 417, 417]
    both = values.filter(pl.col("with_code") == "N179")
    assert both.select("code", "drg_without").rows() == [("J9601", 419)]
    assert both["weight_change"].item() == round(table[419] - table[417], 4)


def test_with_two_mccs_the_marked_one_may_be_worth_nothing(cholecystectomy: pl.DataFrame):
    case = cholecystectomy.with_columns(sdx=pl.Series([["J9601", "A419"]]), sdx_poa=pl.Series([["Y", "Y"]]))
    values = code_value(case, TABLES, marking=True, pairs=True)
    alone = values.filter(pl.col("with_code").is_null(), pl.col("kind") == "sdx")
    assert alone["marked"].to_list() == ["NONE", "BOTH"]
    assert alone["drg_without"].to_list() == [417, 417]
    pair = values.filter(pl.col("code") == "J9601", pl.col("with_code") == "A419")
    assert pair.select("drg_without", "marked").row(0) == (419, None)


def test_marking_is_the_groupers_report(shared: Path):
    claims = sampled(shared, "v431", 200, seed=4)
    expected = claims.select("admission_id").join(
        pl.read_parquet(shared / "claims/v431_expected.parquet"), on="admission_id", how="left", maintain_order="left"
    )
    values = code_value(claims, TABLES, marking=True).filter(pl.col("kind") == "sdx")
    reference = expected["sdx_impact"].explode(empty_as_null=False, keep_nulls=False)
    assert values["marked"].to_list() == reference.to_list()


@pytest.mark.parametrize("pairs", [False, True])
def test_admissions_without_codes_have_no_row(pairs: bool):
    bare = stays({"sdx": [], "procedures": []}).with_columns(pl.col("sdx", "procedures").cast(pl.List(pl.String)))
    values = code_value(bare, TABLES, HOSPITAL, RATES, pairs=pairs, marking=True, hospital_status="EXEMPT")
    assert values.height == 0
    some = code_value(stays({}), TABLES, HOSPITAL, RATES, pairs=pairs, marking=True, hospital_status="EXEMPT")
    assert values.schema == some.schema
    assert single_severity(values)["admissions"].to_list() == [0, 0]
    assert exposed_codes(values).height == 0


def test_what_cannot_be_used_is_told():
    with pytest.raises(InputError, match="hospitals without rates"):
        code_value(stays({}), TABLES, HOSPITAL, hospital_status="EXEMPT")
    with pytest.raises(InputError, match="expected a TableSet"):
        code_value(stays({}), "43.1")  # type: ignore[arg-type]
    with pytest.raises(SchemaError, match="lack the column sdx_poa"):
        code_value(stays({}), TABLES)
    for table in (single_severity, exposed_codes):
        with pytest.raises(SchemaError, match="values have no dollars"):
            table(code_value(stays({}), TABLES, hospital_status="EXEMPT"))


def test_pairs_are_of_codes_that_can_be_seen():
    """Of J96.01, I10 and the cholecystectomy, hypertension means nothing to any formula beside cholecystitis."""
    cases = Baseline.of(
        stays({"sdx": ["J9601", "I10"]}), tables=TABLES, hospitals=None, rates=None, hospital_status="EXEMPT"
    )
    each = list_removals(cases.encoded)
    assert _select_removals(each, cases, pairs=True).tolist() == [[0, 0], [1, 1], [2, 2], [0, 2]]
    assert _select_removals(each, cases, pairs=False).tolist() == [[0], [1], [2]]


# ------------------------------------------------------------------------------------ tables made of it


def test_fragility_and_exposure_by_hand():
    """Cholecystectomies: an MCC alone, an MCC beside another, an MCC beside a CC, a CC alone, none."""
    lists = [["J9601"], ["J9601", "A419"], ["J9601", "N179"], ["N179"], ["I10"]]
    admissions = stays(*({"sdx": codes, "covered_charges_usd": 40_000.0} for codes in lists))
    values = code_value(admissions, TABLES, HOSPITAL, RATES, pairs=True, hospital_status="EXEMPT")
    paid = price(
        pl.DataFrame(
            {
                "drg": [417, 418, 419],
                "hospital_id": ["A"] * 3,
                "los_days": [5] * 3,
                "covered_charges_usd": [40_000.0] * 3,
                "discharge_status": [1] * 3,
            }
        ),
        HOSPITAL,
        RATES,
    )["total_usd"]
    mcc, cc, none = paid
    table = single_severity(values)
    assert table["drg_severity"].to_list() == ["MCC", "CC"]
    assert table["admissions"].to_list() == [3, 1]
    assert table["rest_on_one"].to_list() == [2, 1]
    assert table["usd"].to_list() == [round(mcc - none + mcc - cc, 2), round(cc - none, 2)]
    assert table["usd_share"].to_list() == pytest.approx([(2 * mcc - none - cc) / (3 * mcc), (cc - none) / cc])
    codes = exposed_codes(values).filter(pl.col("kind") == "sdx")
    assert codes.select("code", "severity", "admissions", "decided").rows() == [
        ("J9601", "MCC", 3, 2),
        ("N179", "CC", 2, 1),
    ]
    assert codes["usd"].to_list() == table["usd"].to_list()
    assert codes["mean_usd"][0] == pytest.approx(table["usd"][0] / 2, abs=0.01)


def test_versions_follow_discharge_dates():
    """Without tables each admission has the values of the version in force, in the order of the admissions."""
    _, claims = generate(40, seed=2, tables=TABLES)
    dates = pl.Series("discharge_date", [dt.date(2026, 5, 1), dt.date(2024, 1, 1), dt.date(1999, 1, 1), None] * 10)
    claims = claims.with_columns(dates)
    for pairs in (False, True):
        found = code_value(claims, pairs=pairs)
        for place, version in ((0, "43.1"), (1, "41.0")):
            some = claims.gather_every(4, place)
            expected = code_value(some, TableSet.load(version), pairs=pairs)
            assert found.filter(pl.col("admission_id").is_in(some["admission_id"].implode())).equals(expected)
        assert found["admission_id"].n_unique() == 20
        alone = found.filter(pl.col("with_code").is_null()) if pairs else found
        order = {key: place for place, key in enumerate(claims["admission_id"])}
        assert alone["admission_id"].replace_strict(order).is_sorted()
