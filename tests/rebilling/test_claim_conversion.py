"""Admissions in the codes of another version: what is replaced, what is left, and how a candidate is chosen."""

from __future__ import annotations

import re
import shutil
from functools import partial
from pathlib import Path

import polars as pl
import pytest

from drgsim import InputError, MissingRateError, Rates, TableSet, convert_admissions, convert_codes, group, with_weights
from drgsim.tables.manifest import seal, table_folder

CLAIM = {"admission_id": [7], "age": [70], "sex": ["F"], "discharge_status": [1], "procedures": [[]]}
RATES = Rates.load(2026)


def claim(pdx: str, *sdx: str | None) -> pl.DataFrame:
    return pl.DataFrame({**CLAIM, "pdx": [pdx], "sdx": [list(sdx)]}, schema_overrides={"admission_id": pl.UInt64})


def test_codes_of_one_candidate_are_replaced_and_the_rest_is_left():
    """C8339 ends in 2024 without successor, I10 stays, NOPE is no code, I420 has three candidates from 2026-10-01."""
    admissions = claim("I42.0", "C8339", "I10", None, "NOPE")
    converted, report = convert_admissions(admissions, "43.1", "44.0")
    assert converted.equals(admissions)
    assert report.select("column", "place", "code", "status", "chosen").rows() == [
        ("pdx", 0, "I420", "MANY", None),
        ("sdx", 0, "C8339", "INVALID", None),
        ("sdx", 3, "NOPE", "INVALID", None),
    ]
    back, report = convert_admissions(claim("I4200", "I4201"), "44.0", "43.1")
    assert back.select("pdx", "sdx").row(0) == ("I420", ["I420"])
    assert report["basis"].to_list() == [["derived"], ["derived"]]


def test_nothing_to_convert():
    converted, report = convert_admissions(claim("A41.9", "i10"), "43.1", "44.0", choose="first")
    assert converted["pdx"].item() == "A41.9"
    assert converted["sdx"].to_list() == [["i10"]]
    assert not len(report)
    empty, report = convert_admissions(claim("I420").clear(), "43.1", "44.0", choose="dearest", rates=RATES)
    assert (len(empty), len(report)) == (0, 0)


@pytest.mark.parametrize("choose", ["cheapest", "dearest"])
def test_the_chosen_candidate_has_the_extreme_weight(choose: str):
    """Every candidate in turn, grouped one by one."""
    ended = convert_codes(TableSet.load("40.0").diagnoses["code"], "40.0", "43.1").filter(status="MANY")
    tables, differing = TableSet.load("43.1"), 0
    for code, _, candidates, _ in ended.iter_rows():
        admissions = claim(code, "J9601")
        converted, _ = convert_admissions(
            admissions, "40.0", "43.1", choose=choose, rates=RATES, hospital_status="EXEMPT"
        )
        each = pl.concat([claim(candidate, "J9601") for candidate in candidates])
        weights = with_weights(group(each, tables, hospital_status="EXEMPT"), RATES)["weight"].fill_null(0.0)
        assert converted["pdx"].item() in candidates
        found = weights[candidates.index(converted["pdx"].item())]
        assert found == (weights.min() if choose == "cheapest" else weights.max())
        differing += weights.n_unique() > 1
    assert differing > 0


def test_codes_of_a_claim_are_chosen_one_after_the_other():
    ended = convert_codes(TableSet.load("40.0").diagnoses["code"], "40.0", "43.1").filter(status="MANY")["code"]
    several = pl.concat([claim(pdx, *ended[n : n + 3]) for n, pdx in enumerate(ended)])
    several = several.with_columns(admission_id=pl.int_range(len(several), dtype=pl.UInt64))
    weight = {}
    for choose in ("cheapest", "first", "dearest"):
        converted, report = convert_admissions(
            several, "40.0", "43.1", choose=choose, rates=RATES, hospital_status="EXEMPT"
        )
        assert report["chosen"].null_count() == 0
        grouped = group(converted, version="43.1", hospital_status="EXEMPT")
        weight[choose] = with_weights(grouped, RATES)["weight"].fill_null(0.0)
    assert (weight["cheapest"] <= weight["first"]).all()
    assert (weight["first"] <= weight["dearest"]).all()
    assert weight["cheapest"].sum() < weight["dearest"].sum()


def test_weighted_draws_follow_the_frequencies_and_the_admission_alone():
    many = pl.concat([claim("I420")] * 4_000).with_columns(admission_id=pl.int_range(4_000, dtype=pl.UInt64))
    often = pl.DataFrame({"code": ["I4201", "I4209"], "frequency": [3.0, 1.0]})
    drawn, _ = convert_admissions(many, "43.1", "44.0", choose="weighted", frequencies=often)
    share = dict(drawn["pdx"].value_counts(normalize=True).rows())
    assert set(share) == {"I4201", "I4209"}
    assert abs(share["I4201"] - 0.75) < 0.03
    part, _ = convert_admissions(many[1_000:1_010], "43.1", "44.0", choose="weighted", frequencies=often)
    assert part.equals(drawn[1_000:1_010])
    other, _ = convert_admissions(many, "43.1", "44.0", choose="weighted", frequencies=often, seed=1)
    assert not other.equals(drawn)
    alike, _ = convert_admissions(many, "43.1", "44.0", choose="weighted")
    assert set(alike["pdx"]) == {"I4200", "I4201", "I4209"}


def test_arguments_that_cannot_be_used(tmp_path: Path):
    with pytest.raises(InputError, match="Did you mean 'cheapest'"):
        convert_admissions(claim("I420"), "43.1", "44.0", choose="cheap")
    # The shipped rates cover every version; the table folder of a user may lack those of one.
    folder = Path(shutil.copytree(table_folder(), tmp_path / "tables"))
    amounts = folder / "rates" / "operating.toml"
    amounts.write_text(re.sub(r", 2027 = [^,}]+", "", amounts.read_text("utf-8")), "utf-8")
    seal(folder)
    cheapest = partial(
        convert_admissions, claim("I420"), "43.1", "44.0", choose="cheapest", hospital_status="EXEMPT", folder=folder
    )
    with pytest.raises(MissingRateError, match="2027"):
        cheapest()
    _, report = cheapest(rates=RATES)
    assert report["chosen"].null_count() == 0


def test_reference_claims_are_valid_after_conversion(shared: Path):
    """Last version's claims in the newest one: with the first candidate, only codes without successor are invalid."""
    claims = pl.read_parquet(shared / "claims/mce/claims.parquet").filter(version="43.1")
    converted, report = convert_admissions(claims, "43.1", "44.0", choose="first")
    _, again = convert_admissions(converted, "44.0", "44.0")
    left = report.filter(pl.col("chosen").is_null())
    assert set(left["status"]) <= {"NONE", "INVALID"}
    assert set(again["code"]) <= set(left["code"])
