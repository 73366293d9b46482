"""Why a DRG changed: codes, severity, formulas and dollars in at most eight lines."""

from __future__ import annotations

import datetime as dt

import polars as pl
import pytest

from drgsim import InputError, Rates, TableSet, price
from drgsim.review import describe_operand, explain_change

TABLES, RATES = TableSet.load("43.1"), Rates.load(2026)
CASE = {
    "admission_id": 1,
    "age": 54,
    "sex": "F",
    "discharge_status": 1,
    "pdx": "K81.0",
    "sdx": ["J96.01", "E44.0"],
    "sdx_poa": ["Y", "Y"],
    "procedures": ["0FT44ZZ"],
    "los_days": 4,
    "covered_charges_usd": 50_000.0,
}
HOSPITAL = pl.DataFrame({"hospital_id": ["A"], "wage_index": [1.2], "operating_ccr": [0.25]})


@pytest.mark.parametrize(
    ("changed", "drgs", "words"),
    [
        (
            {"sdx": ["E44.0"], "sdx_poa": ["Y"]},
            (417, 418),
            ["Removed: J9601", "MCC becomes CC from E440", "lacks an MCC"],
        ),
        ({"procedures": []}, (417, 444), ["Removed: 0FT44ZZ"]),
        ({"pdx": "J9601", "sdx": ["K81.0", "E44.0"]}, (417, 988), ["which was secondary", "MDC 7 becomes 4"]),
        ({"sdx": ["E44.0", "J96.01"]}, (417, 417), ["No code differs", "DRG stays 417"]),
        ({"pdx": "K81X"}, (417, 999), ["INVALID_PDX"]),
    ],
)
def test_it_says_what_changed_and_why(changed: dict[str, object], drgs: tuple[int, int], words: list[str]):
    why = explain_change(CASE, {**CASE, **changed}, TABLES, RATES, HOSPITAL)
    assert (why.before["drg"], why.after["drg"]) == drgs
    assert 1 <= len(why.lines) <= 8
    text = " ".join(why.lines)
    assert all(word in text for word in words), text
    assert "<h3>" in why._repr_html_()


def test_a_severity_lost_to_an_exclusion_names_it():
    # The principal diagnosis J96.21 excludes J96.01, which is an MCC elsewhere (Appendix C).
    before = {**CASE, "pdx": "J18.9", "sdx": ["J96.01"], "sdx_poa": ["Y"], "procedures": []}
    text = " ".join(explain_change(before, {**before, "pdx": "J96.21"}, TABLES).lines)
    assert "A CC or MCC that does not count: J9601 (" in text


def test_dollars_are_those_of_price():
    after = {**CASE, "sdx": ["E44.0"], "sdx_poa": ["Y"]}
    why = explain_change(CASE, after, TABLES, RATES, HOSPITAL)
    frames = [
        side.grouped.select("drg", "hospital_id", "los_days", "covered_charges_usd", "discharge_status")
        for side in (why.before, why.after)
    ]
    paid = [round(100 * price(frame, HOSPITAL, RATES)["total_usd"].item()) for frame in frames]
    assert why.usd_change == (paid[1] - paid[0]) / 100


def test_operands_have_phrases_instead_of_keys():
    assert describe_operand("d493", TABLES) == "a procedure such as 0F544Z3, 0F544ZZ, 0F548ZZ and 5 more"
    assert describe_operand("CC", TABLES) == "a CC"
    assert describe_operand("no such operand", TABLES) == "no such operand"


def test_two_stays_are_refused():
    with pytest.raises(InputError, match="no admission_id is in both"):
        explain_change(CASE, {**CASE, "admission_id": 2}, TABLES)


def test_the_version_follows_the_discharge_date():
    case = {**CASE, "discharge_date": dt.date(2024, 1, 5)}
    assert explain_change(case, {**case, "procedures": []}).before.version == "41.0"
    with pytest.raises(InputError, match="no grouper version is in force"):
        explain_change({**case, "discharge_date": dt.date(1999, 1, 5)}, {**case, "discharge_date": dt.date(1999, 1, 5)})
