"""Every kind of error: what it changes, which guards and filters apply, and how hospitals differ."""

from __future__ import annotations

import math
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from drgsim import InputError, group
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
from drgsim.miscoding.error_draws import confine_sites
from drgsim.miscoding.error_models import ErrorModel, Rate, Where, shift_logit
from drgsim.miscoding.error_sites import Options, Sites
from drgsim.miscoding.hospital_variation import solve_intercept
from drgsim.miscoding.procedure_errors import (
    ProcedureAddUnsupported,
    ProcedureOmit,
    ProcedureSubstitute,
    VentilationHours,
)
from drgsim.miscoding.scenarios import Scenario
from drgsim.miscoding.strategic_upcoding import StrategicUpcode
from drgsim.rebilling.baseline import Baseline
from drgsim.rebilling.code_changes import ChangeKind
from drgsim.simulation.simulator import simulate
from tests.support.rebilling import HOSPITALS, by_hand, cycled, generated, priced, rates, tables, with_stays

LIMITS = pl.read_csv(
    Path(__file__).parents[2] / "grouper_tables/population/limits.csv",
    schema_overrides={"sex": pl.String, "is_pdx": pl.String, "is_poa_exempt": pl.String},
)
PROCEDURE_LIMITS = pl.read_csv(Path(__file__).parents[2] / "grouper_tables/population/procedure_limits.csv")


@cache
def limits_by_prefix(column: str, kind: str) -> dict:
    table = LIMITS if kind == "dx" else PROCEDURE_LIMITS
    return {row["prefix"]: row[column] for row in table.iter_rows(named=True) if row[column] is not None}


def limit(code: str, column: str, kind: str = "dx"):
    """Return the limit of the longest prefix of a code that has one."""
    said = limits_by_prefix(column, kind)
    return next((said[code[:n]] for n in range(len(code), 0, -1) if code[:n] in said), None)


def levels(version: str = "43.1") -> dict[str, str]:
    return dict(tables(version).diagnoses.select("code", pl.col("severity").cast(pl.String)).rows())


def claim(**changes) -> dict:
    return {
        "admission_id": 1,
        "hospital_id": "A",
        "age": 70,
        "sex": "F",
        "discharge_status": 1,
        "pdx": "K81.0",
        "sdx": ["J96.01", "I10"],
        "sdx_poa": ["Y", "Y"],
        "procedures": ["0FT44ZZ"],
        "los_days": 5,
        "covered_charges_usd": 30_000.0,
    } | changes


def claims(*changes: dict) -> pl.DataFrame:
    rows = [claim(**one) | {"admission_id": number} for number, one in enumerate(changes or [{}], start=1)]
    for row in rows:
        if row["sdx_poa"] is not None and len(row["sdx_poa"]) != len(row["sdx"]):
            row["sdx_poa"] = ["Y"] * len(row["sdx"])
    return pl.DataFrame(rows, schema_overrides={"admission_id": pl.UInt64, "los_days": pl.Int32, "age": pl.Int32})


def run(admissions, *errors, replicates=1, seed=1, hospitals=HOSPITALS, version="43.1", **more):
    return simulate(
        admissions,
        Scenario(title="test", errors=errors),
        tables=tables(version),
        hospitals=hospitals,
        rates=rates(),
        replicates=replicates,
        seed=seed,
        ledger=True,
        **more,
    )


def edits(admissions, *errors, **more) -> list[tuple]:
    """Return admission, field, place, code before and code after of every error made."""
    ledger = run(admissions, *errors, **more).ledger
    return ledger.select("admission_id", "field", "place", "code_before", "code_after").rows()


def refused(admissions, *errors, **more) -> dict[str, int]:
    """Return the number of refused errors by reason."""
    applied = run(admissions, *errors, **more).error_counts
    why = applied.columns[applied.columns.index("made") + 1 :]
    return {name: count for name in why if (count := applied[name].sum())}


class Named(ErrorModel):
    """A user's error model: one given change of every admission."""

    kind: Literal["named"] = "named"
    rate: Rate = 1.0
    edit: int = int(ChangeKind.ADD_SDX)
    code: str = ""

    def sites(self, baseline: Baseline) -> Sites:
        number = baseline.rules.diagnosis_book.numbers(pl.Series([self.code])).item()
        assert number, self.code
        rows = np.arange(len(baseline))
        return Sites.of(ChangeKind(self.edit), rows, self.rate, Options.single(number), before=baseline.encoded.pdx)


@pytest.fixture(scope="module")
def world() -> tuple[pl.DataFrame, pl.DataFrame]:
    return generated(600)


# ------------------------------------------------------------------------------------ what each changes


def test_a_secondary_diagnosis_becomes_principal():
    assert edits(claims({"sdx": ["J96.01"]}), PdxResequence(rate=1.0)) == [(1, "pdx", 0, "K810", "J9601")]


def test_only_a_permitted_and_present_diagnosis_becomes_principal():
    cannot = {
        "dementia in diseases classified elsewhere": {"sdx": ["F02.80"]},
        "a fall": {"sdx": ["W19.XXXA"]},
        "came later": {"sdx": ["J96.01"], "sdx_poa": ["N"]},
        "the same code": {"sdx": ["K81.0"]},
        "no code": {"sdx": ["ZZZ"]},
        "none": {"sdx": []},
    }
    assert edits(claims(*cannot.values()), PdxResequence(rate=1.0), replicates=8) == []
    chosen = edits(claims({"sdx": ["F02.80", "J96.01", "W19.XXXA", "I50.23"]}), PdxResequence(rate=1.0), replicates=200)
    count = Counter((place, after) for _, _, place, _, after in chosen)
    assert set(count) == {(1, "J9601"), (3, "I5023")}
    assert abs(count[1, "J9601"] - 100) < 4 * 50**0.5  # either as likely as the other


def test_another_principal_diagnosis_of_the_category():
    made = edits(claims(), PdxSubstitute(rate=1.0, within_category=1.0), replicates=300)
    assert {after for *_, after in made} == {"K811", "K812", "K819"}
    assert all(row[:4] == (1, "pdx", 0, "K810") for row in made)


def test_another_principal_diagnosis_of_the_chapter(world):
    """Chapter XI is K00 to K95: the new code is a common principal diagnosis of it."""
    made = edits(claims(), PdxSubstitute(rate=1.0, within_category=0.0), replicates=300)
    assert {after[0] for *_, after in made} == {"K"}
    assert len({after[:3] for *_, after in made}) > 10
    hospitals, admissions = world
    far = edits(admissions, PdxSubstitute(rate=0.5, within_category=0.0), hospitals=hospitals)
    chapter = chapters()
    assert len(far) > 100
    assert all(chapter(before) == chapter(after) for *_, before, after in far)


def chapters():
    """Return a function that gives the ICD-10-CM chapter of a code."""
    starts = "A00 C00 D50 E00 F01 G00 H00 H60 I00 J00 K00 L00 M00 N00 O00 P00 Q00 R00 S00 U07 V00 Z00".split()  # noqa: SIM905

    def of(code: str) -> int:
        return sum(start <= code[:3] for start in starts)

    return of


def test_the_share_within_the_category_is_as_set(world):
    hospitals, admissions = world
    common = admissions.filter(pl.col("pdx").str.starts_with("I"))
    made = edits(common, PdxSubstitute(rate=0.5, within_category=0.8), hospitals=hospitals, replicates=20)
    within = sum(before[:3] == after[:3] for *_, before, after in made)
    assert len(made) > 500
    assert 0.65 < within / len(made) < 0.9  # some of the chapter's are of the category, some categories have no other


@pytest.mark.parametrize(
    ("error", "gone"),
    [(SdxOmit(mcc=1.0), ["J9601"]), (SdxOmit(cc=1.0), ["I5022", "D62"]), (SdxOmit(other=1.0), ["I10", "Z853"])],
)
def test_omissions_by_severity(error, gone):
    one = claims({"sdx": ["J96.01", "I50.22", "I10", "D62", "Z85.3", "NOPE"]})
    assert [before for *_, before, _ in edits(one, error)] == gone
    assert {after for *_, after in edits(one, error)} == {""}


@pytest.mark.parametrize("severity", ["MCC", "CC"])
def test_an_added_diagnosis_has_the_severity_and_counts(world, severity: str):
    """Every added diagnosis counts with its severity in CMS's report of each code."""
    hospitals, admissions = world
    error = SdxAddUnsupported(**{severity.lower(): 1.0})
    result = run(admissions, error, hospitals=hospitals)
    level = levels()
    assert {level[code] for code in result.ledger["code_after"]} == {severity}
    assert result.ledger.height > 550
    assert result.ledger["code_after"].n_unique() > 10
    billed = group(by_hand(admissions, result.ledger), tables(), detail=True)
    alive = billed.filter(pl.col("discharge_status") != 20, pl.col("return_code") == "OK")
    assert set(alive["sdx_sev_initial"].list.last()) == {severity}


def test_listed_codes_are_added_equally_often():
    error = SdxAddUnsupported(mcc=1.0, codes=("j96.01", "R65.21", "D62"))
    made = edits(claims({"sdx": []}), error, replicates=300)
    count = Counter(after for *_, after in made)
    assert set(count) == {"J9601", "R6521"}  # D62 is a CC
    assert abs(count["J9601"] - 150) < 4 * 75**0.5


def test_an_excluded_code_is_added_only_if_allowed():
    """K81.2 does not count with principal diagnosis K81.0: the table of the version excludes it."""
    error = SdxAddUnsupported(cc=1.0, codes=("K81.2",))
    assert refused(claims(), error) == {"excluded by the principal diagnosis": 1}
    assert edits(claims(), error.model_copy(update={"allow_excluded": True}))[0][-1] == "K812"


@pytest.mark.parametrize(("error", "sign"), [(SeverityUpgrade(rate=1.0), 1), (SeverityDowngrade(rate=1.0), -1)])
def test_severity_changes_stay_in_the_category(world, error, sign: int):
    hospitals, admissions = world
    level, rank = levels(), {"NONE": 0, "CC": 1, "MCC": 2}
    result = run(admissions, error, hospitals=hospitals, replicates=2)
    made = result.ledger
    assert made.height > 300
    for before, after in made.select("code_before", "code_after").unique().rows():
        assert before[:3] == after[:3]
        assert np.sign(rank[level[after]] - rank[level[before]]) == sign
    reach = {(a[:3], level[a]) for a in level}
    others = ["CC", "MCC"] if sign > 0 else ["NONE", "CC"]
    has_neighbour = [
        any((code[:3], other) in reach and np.sign(rank[other] - rank[level[code]]) == sign for other in others)
        for code in admissions["sdx"].explode()
        if code in level
    ]
    assert result.error_counts["sites"].item() == sum(has_neighbour)


def test_the_most_similar_code_is_the_likeliest():
    """Up from I50.22: I50.21 and I50.23 share one character more than the other MCCs, so are eight times likelier."""
    up = [code for code, level in levels().items() if code.startswith("I50") and level == "MCC"]
    weight = {code: 8.0 ** (len(common(code, "I5022")) - 3) for code in up}
    made = edits(claims({"sdx": ["I50.22"]}), SeverityUpgrade(rate=1.0), replicates=2000)
    count = Counter(after for *_, after in made)
    assert set(count) <= set(up)
    for code in up:
        p = weight[code] / sum(weight.values())
        assert abs(count[code] - 2000 * p) < 4.5 * (2000 * p * (1 - p)) ** 0.5 + 1, code


def common(a: str, b: str) -> str:
    n = next((n for n, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    return a[:n]


def test_specificity_loss_gives_an_unspecified_code(world):
    hospitals, admissions = world
    title = dict(tables().diagnosis_descriptions().select("code", "description").rows())
    made = run(admissions, SpecificityLoss(sdx=1.0, pdx=1.0), hospitals=hospitals).ledger
    assert set(made["field"]) == {"pdx", "sdx"}
    assert made.height > 300
    for before, after in made.select("code_before", "code_after").unique().rows():
        assert before[:3] == after[:3]
        assert "unspecified" in title[after].lower()
        assert "unspecified" not in title[before].lower()
    only = run(admissions, SpecificityLoss(pdx=1.0), hospitals=hospitals).ledger
    assert set(only["field"]) == {"pdx"}


def test_an_error_may_be_confined_to_its_outcomes():
    for error in (
        SeverityUpgrade(rate=1.0, to=("I50.23",)),
        SpecificityLoss(sdx=1.0, to=("I50.9",)),
        SeverityDowngrade(rate=1.0, to=("i50.9", "I50.1")),
    ):
        made = edits(claims({"sdx": ["I50.22"]}, {"sdx": ["J96.01"]}), error, replicates=20)
        assert len(made) == 20
        assert all(after.startswith(tuple(to.upper().replace(".", "") for to in error.to)) for *_, after in made)
    made = edits(claims(), PdxSubstitute(rate=1.0, within_category=1.0, to=("K81.9",)), replicates=20)
    assert {after for *_, after in made} == {"K819"}


def test_a_mistyped_principal_diagnosis_is_returned_not_paid():
    result = run(claims(), InvalidCode(pdx=1.0))
    row = result.totals.row(0, named=True)
    truth = priced(claims(), HOSPITALS, rates())
    assert (row["returned"], row["returned_cents"], row["net"]) == (1, truth["cents"].item(), 0)
    assert (row["drg_changes"], row["code_changes"]) == (0, 1)
    assert result.changed_claims.select("drg", "returned").row(0) == (999, True)
    assert result.transitions().select("drg", "billed_drg", "usd").row(0) == (417, 999, 0.0)


def test_mistyped_codes_of_each_kind():
    one = claims({"sdx": ["J96.01", "I10"], "procedures": ["0FT44ZZ", "3E0G76Z"]})
    assert [row[1:4] for row in edits(one, InvalidCode(sdx=1.0))] == [("sdx", 0, "J9601"), ("sdx", 1, "I10")]
    both = [("procedures", 0, "0FT44ZZ"), ("procedures", 1, "3E0G76Z")]
    assert [row[1:4] for row in edits(one, InvalidCode(procedure=1.0))] == both
    assert len(edits(one, InvalidCode(pdx=1.0, sdx=1.0, procedure=1.0))) == 5


def test_poa_of_hospital_acquired_conditions():
    """A pressure ulcer of stage 4 (L89.154, HAC 04) that is not present on admission does not count as MCC."""
    ulcer = claims(
        {"pdx": "J18.9", "procedures": [], "sdx": ["L89.154", "I10"], "sdx_poa": ["N", "N"]},
        {"pdx": "J18.9", "procedures": [], "sdx": ["L89.154", "I10"], "sdx_poa": ["Y", "Y"]},
    )
    assert edits(ulcer, PoaFlip(over=1.0)) == [(1, "sdx_poa", 0, "N", "Y")]
    assert edits(ulcer, PoaFlip(under=1.0)) == [(2, "sdx_poa", 0, "Y", "N")]
    assert edits(ulcer, PoaFlip(over=1.0, every_code=True)) == [
        (1, "sdx_poa", 0, "N", "Y"),
        (1, "sdx_poa", 1, "N", "Y"),
    ]
    drgs = priced(ulcer, HOSPITALS, rates())["drg"].to_list()
    assert drgs == [195, 193]
    up, down = run(ulcer, PoaFlip(over=1.0)), run(ulcer, PoaFlip(under=1.0))
    assert up.transitions().select("drg", "billed_drg").rows() == [(195, 193)]
    assert down.transitions().select("drg", "billed_drg").rows() == [(193, 195)]
    assert up.totals["net"].item() == -down.totals["net"].item() > 0


def test_poa_flip_needs_poa():
    with pytest.raises(InputError, match=r"poa_flip: the admissions have no sdx_poa"):
        run(claims().drop("sdx_poa"), PoaFlip(over=0.1))


@pytest.mark.parametrize("axes", [(3, 4, 5, 6, 7), (4,), (5, 7)])
def test_a_wrong_procedure_differs_in_one_axis(world, axes):
    hospitals, admissions = world
    made = run(admissions, ProcedureSubstitute(rate=1.0, axes=axes), hospitals=hospitals).ledger
    valid = set(tables().procedures["code"])
    assert made.height > 100
    for before, after in made.select("code_before", "code_after").unique().rows():
        differs = [axis for axis, (a, b) in enumerate(zip(before, after, strict=True), start=1) if a != b]
        assert len(differs) == 1
        assert differs[0] in axes
        assert after in valid


def test_all_axes_with_a_neighbour_are_equally_likely():
    """Of 0FT44ZZ (resection of gallbladder, percutaneous endoscopic): count valid codes one axis away."""
    valid = set(tables().procedures["code"])
    mask = {axis: "0FT44ZZ"[: axis - 1] + "0FT44ZZ"[axis:] for axis in (3, 4, 5, 6, 7)}
    near = {
        axis: {code for code in valid - {"0FT44ZZ"} if code[: axis - 1] + code[axis:] == text}
        for axis, text in mask.items()
    }
    axes = [axis for axis, codes in near.items() if codes]
    made = edits(claims(), ProcedureSubstitute(rate=1.0), replicates=1200)
    count = Counter(next(axis for axis in axes if after in near[axis]) for *_, after in made)
    assert len(axes) > 1
    for axis in axes:
        p = 1 / len(axes)
        assert abs(count[axis] - 1200 * p) < 4.5 * (1200 * p * (1 - p)) ** 0.5


def test_only_operating_room_procedures_are_omitted_or_added(world):
    """CMS's report of each code says which procedures are O.R. procedures."""
    hospitals, admissions = world
    detail = group(admissions, tables(), detail=True)
    is_or = {
        (row["admission_id"], place)
        for row in detail.iter_rows(named=True)
        for place, yes in enumerate(row["proc_is_or"])
        if yes
    }
    gone = run(admissions, ProcedureOmit(rate=1.0), hospitals=hospitals).ledger
    assert set(gone.select("admission_id", "place").rows()) == is_or
    added = run(admissions, ProcedureAddUnsupported(rate=1.0), hospitals=hospitals)
    none = {row["admission_id"] for row in detail.iter_rows(named=True) if not any(row["proc_is_or"])}
    assert set(added.ledger["admission_id"]) <= none
    assert added.error_counts["sites"].item() == len(none)
    assert added.ledger.height == len(none) - sum(added.error_counts["no candidate"])
    billed = group(by_hand(admissions, added.ledger), tables(), detail=True)
    assert billed["proc_is_or"].list.last().all()
    assert (billed["drg_type"] == "SURGICAL").mean() > 0.9


def test_ventilation_is_one_class_too_long_or_short():
    def ventilated(code: str, los: int | None) -> dict:
        return {"procedures": [code], "los_days": los, "pdx": "J96.01"}

    short, middle, long_ = "5A1935Z", "5A1945Z", "5A1955Z"  # under 24 h, 24 to 96 h, over 96 h
    stays = claims(
        ventilated(short, 0),
        ventilated(short, 1),
        ventilated(middle, 3),
        ventilated(middle, 4),
        ventilated(long_, 9),
        ventilated(middle, None),
        {"procedures": ["0FT44ZZ"]},
    )
    over = edits(stays, VentilationHours(over=1.0), hospitals=None)
    assert [(row[0], row[-2], row[-1]) for row in over] == [(2, short, middle), (4, middle, long_), (6, middle, long_)]
    under = edits(stays, VentilationHours(under=1.0), hospitals=None)
    steps = [(3, middle, short), (4, middle, short), (5, long_, middle), (6, middle, short)]
    assert [(row[0], row[-2], row[-1]) for row in under] == steps
    assert edits(stays, VentilationHours(), hospitals=None) == []


def test_over_96_hours_pays_another_drg():
    stay = claims({"pdx": "J96.01", "sdx": [], "procedures": ["5A1945Z"], "los_days": 6})
    moves = run(stay, VentilationHours(over=1.0)).transitions()
    assert moves.select("drg", "billed_drg").rows() == [(208, 207)]
    assert moves["usd"].item() > 0


def test_discharge_status():
    statuses = [1, 2, 3, 5, 6, 7, 20, 30, 62, 63, 65, 66, None]
    stays = claims(*({"discharge_status": status} for status in statuses))
    transfers = [(i, s) for i, s in enumerate(statuses, start=1) if s in (2, 3, 5, 6, 62, 63, 65, 66)]
    made = edits(stays, DischargeStatus(rate=1.0))
    assert [(row[0], int(row[3]), row[4]) for row in made] == [(i, s, "1") for i, s in transfers]
    died = edits(stays, DischargeStatus(rate=1.0, of=(20, 1), becomes=1))
    assert [row[0] for row in died] == [7]  # what is 1 already stays


def test_sex_and_age():
    stays = claims(
        {"sex": "F", "age": 70},
        {"sex": "M", "age": 5},
        {"sex": "U", "age": 115},
        {"sex": None, "age": None},
        {"sex": "F", "age": 30, "pdx": "O80", "sdx": ["Z37.0"]},
    )
    assert [row[0:1] + row[3:] for row in edits(stays, Demographics(sex=1.0))] == [(1, "F", "M"), (2, "M", "F")]
    assert refused(stays, Demographics(sex=1.0)) == {"conflicts with sex": 1}
    slips = edits(stays, Demographics(age=1.0), replicates=60)
    became = {row: {int(after) for one, *_, after in slips if one == row} for row in range(1, 6)}
    assert became == {1: {60, 80}, 2: {0, 15}, 3: {105, 120}, 4: set(), 5: {20, 40}}
    assert run(stays, Demographics(age=1.0)).changed_claims.is_empty()  # no MS-DRG looks at age


# ------------------------------------------------------------------------------------ strategic upcoding


def test_the_candidate_that_pays_most_is_chosen(world):
    """Every candidate is tried by hand on every admission."""
    hospitals, admissions = world
    head = admissions.head(150)
    codes = ("J96.01", "R65.21", "D62", "E87.1", "N17.9", "K81.2")
    truth = dict(priced(head, hospitals, rates()).select("admission_id", "cents").rows())
    gain: dict[int, dict[str, int]] = {}
    for code in codes:
        plain = code.replace(".", "")
        ledger = head.select("admission_id", field=pl.lit("sdx"), place=pl.lit(0), code_before=pl.lit(""),
                             code_after=pl.lit(plain), error=pl.lit("x"), replicate=pl.lit(0))  # fmt: skip
        hand = by_hand(head, ledger)
        detail = group(hand, tables(), detail=True)["sdx_sev_initial"].list.last().to_list()
        for row, old, said in zip(
            priced(hand, hospitals, rates()).iter_rows(named=True), head.iter_rows(named=True), detail, strict=True
        ):
            there = plain in (old["pdx"], *old["sdx"])
            excluded = "EXCLUDED" in said and "PDX" not in said
            more = row["cents"] - truth[row["admission_id"]]
            if more > 0 and not there and not (excluded and "CC_EXCLUDED" in said):
                gain.setdefault(row["admission_id"], {})[plain] = more
    result = run(head, StrategicUpcode(ceiling=1.0, codes=codes, scale_usd=1e-3), hospitals=hospitals)
    made = dict(result.ledger.select("admission_id", "code_after").rows())
    assert len(made) > 50
    assert set(made) == set(gain)
    for admission, code in made.items():
        assert gain[admission][code] == max(gain[admission].values())
    assert result.totals["net"].item() == sum(max(each.values()) for each in gain.values())


@pytest.mark.parametrize(
    ("detection", "penalty", "share"),
    [(0.0, 0.0, 1 - math.exp(-1)), (0.1, 3.0, 1 - math.exp(-0.6)), (0.25, 3.0, 0.0), (1.0, 0.0, 0.0)],
)
def test_upcoding_falls_with_detection_and_penalty(detection, penalty, share):
    """J96.01 turns 419 into 417. With a scale equal to this gain, the share exp(-1) is not upcoded."""
    worth = priced(claims({}, {"sdx": ["I10"]}), HOSPITALS, rates())["cents"].to_list()
    gain = (worth[0] - worth[1]) / 100
    stays = claims(*[{"sdx": ["I10"]}] * 50)
    error = StrategicUpcode(ceiling=0.8, codes=("J96.01",), detection=detection, penalty=penalty, scale_usd=gain)
    made = run(stays, error, replicates=100).ledger.height
    p = 0.8 * share
    assert abs(made - 5000 * p) <= 4.5 * (5000 * p * (1 - p)) ** 0.5


# ------------------------------------------------------------------------------------ guards


def test_every_refusal_is_counted_with_its_reason():
    gone = sorted(set(tables("40.0").diagnoses["code"]) - set(tables("43.1").diagnoses["code"]))[0]
    for expected, stay, error in (
        ("no candidate", {"pdx": "A09"}, PdxSubstitute(rate=1.0, within_category=1.0)),  # A09 is a category by itself
        ("not a code of the version", {}, Named(code=gone)),
        ("already on the claim", {}, Named(code="J9601")),
        ("already on the claim", {}, Named(code="K810")),
        ("cannot be principal", {}, Named(edit=ChangeKind.PDX, code="W19XXXA")),
        ("cannot be principal", {}, Named(edit=ChangeKind.PDX, code="F0280")),
        ("conflicts with sex", {"sex": "F"}, Named(code="N410")),
        ("conflicts with age", {"age": 70}, Named(code="A33")),
        ("exempt from POA", {"sdx": ["Z85.3"]}, PoaFlip(under=1.0, every_code=True)),
        ("excluded by the principal diagnosis", {}, SdxAddUnsupported(cc=1.0, codes=("K81.2",))),
        ("conflicts with sex", {"pdx": "O80", "age": 30}, Demographics(sex=1.0)),
    ):
        result = run(claims(stay), error, replicates=3)
        assert refused(claims(stay), error, replicates=3) == {expected: 3}, (expected, error)
        assert result.error_counts.select("drawn", "made").row(0) == (3, 0)
        assert result.ledger.is_empty()
        assert result.totals["net"].to_list() == [0, 0, 0]


def test_the_first_of_two_errors_of_one_code_is_made():
    omit, typo = SdxOmit(mcc=1.0), InvalidCode(sdx=1.0)
    stay = claims({"sdx": ["J96.01", "I10"]})
    first = run(stay, omit, typo)
    assert first.ledger.select("error", "code_before").rows() == [("sdx_omit", "J9601"), ("invalid_code", "I10")]
    assert first.error_counts["the same code has another error"].to_list() == [0, 1]
    other = run(stay, typo, omit)
    assert other.error_counts["the same code has another error"].to_list() == [0, 1]
    assert set(other.ledger["error"]) == {"invalid_code"}
    swap = run(claims({"sdx": ["J96.01"]}), PdxResequence(rate=1.0), SdxOmit(mcc=1.0), PdxSubstitute(rate=1.0))
    assert swap.ledger["error"].to_list() == ["pdx_resequence"]
    assert swap.error_counts["the same code has another error"].to_list()[:2] == [0, 1]


def test_unguarded_errors_are_made():
    stay = claims({"age": 70})
    assert edits(stay, Named(code="A33", guarded=False))[0][-1] == "A33"
    assert refused(stay, Named(code="J9601", guarded=False)) == {"already on the claim": 1}
    assert edits(claims({"pdx": "O80", "age": 30}), Demographics(sex=1.0, guarded=False))[0][-1] == "M"


GUARDED = (
    PdxResequence(rate=0.6),
    PdxSubstitute(rate=0.6),
    SdxAddUnsupported(mcc=0.6, cc=0.6),
    SeverityUpgrade(rate=0.6),
    SeverityDowngrade(rate=0.6),
    SpecificityLoss(sdx=0.6, pdx=0.6),
    PoaFlip(over=0.6, under=0.6, every_code=True),
    ProcedureSubstitute(rate=0.6),
    ProcedureAddUnsupported(rate=0.6),
    Demographics(sex=0.6),
    StrategicUpcode(ceiling=1.0, scale_usd=1.0),
)


@pytest.mark.parametrize("error", GUARDED, ids=lambda error: error.kind)
@pytest.mark.parametrize("source", ["generated", "reference"])
def test_no_error_makes_a_claim_that_a_scrubber_would_stop(error, source, world, request):
    """The limits of every new code are read again, by prefix, from the published table."""
    hospitals, admissions = world
    if source == "reference":
        shared = request.getfixturevalue("shared")
        every = pl.read_parquet(shared / "claims/v431_claims.parquet")
        order = pl.int_range(pl.len()).over("recipe")
        hospitals, admissions = HOSPITALS, with_stays(every.sort(order, "admission_id").head(400))
    result = run(admissions, error, hospitals=hospitals, replicates=2)
    ledger = result.ledger
    assert ledger.height > 20 or source == "reference"
    rows = {row["admission_id"]: row for row in admissions.iter_rows(named=True)}
    dx, procedures = set(tables().diagnoses["code"]), set(tables().procedures["code"])
    operands = dict(tables().diagnoses.select("code", pl.col("operands").fill_null("")).rows())
    title = dict(tables().diagnosis_descriptions().select("code", "description").rows())
    for edit in ledger.iter_rows(named=True):
        row, code = rows[edit["admission_id"]], edit["code_after"]
        sex = (row["sex"] or "").strip().upper()
        if edit["field"] in ("pdx", "sdx"):
            assert code in dx
            tidy = {(one or "").strip().upper().replace(".", "") for one in (row["pdx"], *(row["sdx"] or []))}
            assert code not in tidy or error.kind == "pdx_resequence"
            assert limit(code, "sex") in (None, sex) or sex not in ("M", "F"), code
            known = row["age"] is not None and row["age"] >= 0
            assert not known or (limit(code, "min_age") or 0) <= row["age"] <= (limit(code, "max_age") or 120)
        if edit["field"] == "pdx":
            assert limit(code, "is_pdx") != "N", code
            assert "ecode" not in operands[code].split(), code
            assert "classified elsewhere" not in title.get(code, ""), code
        if edit["field"] == "procedures":
            assert code in procedures
            assert limit(code, "sex", "procedure") in (None, sex) or sex not in ("M", "F"), code
        if edit["field"] == "sdx_poa":
            here = row["sdx"][edit["place"]].strip().upper().replace(".", "")
            assert limit(here, "is_poa_exempt") != "Y", here
        if edit["field"] == "sex":
            all_dx = [(one or "").strip().upper().replace(".", "") for one in (row["pdx"], *(row["sdx"] or []))]
            assert all(limit(one, "sex") in (None, code) for one in all_dx if one in dx)
    applied = result.error_counts
    reasons = applied.columns[applied.columns.index("made") + 1 :]
    assert applied["drawn"].item() == ledger.height + sum(applied[name].item() for name in reasons)


# ------------------------------------------------------------------------------------ filters


def test_filters_of_admissions(world):
    hospitals, admissions = world
    payers = cycled(["Medicare", "Medicaid", None], len(admissions))
    frame = admissions.with_columns(payer=payers, year=cycled([1, 2], len(admissions)))
    truth = group(frame, tables())
    big = truth["hospital_id"].value_counts(sort=True)["hospital_id"][:3].to_list()
    for where, kept in (
        (Where(), pl.lit(value=True)),
        (Where(mdc=(5, 4)), pl.col("mdc").is_in([4, 5])),
        (Where(drg=(291, 871)), pl.col("drg").is_in([291, 871])),
        (Where(hospitals=tuple(big)), pl.col("hospital_id").is_in(big)),
        (Where(age=(70, 75)), pl.col("age").is_between(70, 75)),
        (Where(columns={"payer": ("Medicare",)}), pl.col("payer") == "Medicare"),
        (Where(columns={"payer": ("Medicare",), "year": ("2",)}),
         (pl.col("payer") == "Medicare") & (pl.col("year") == 2)),
        (Where(mdc=(5,), age=(0, 80)), (pl.col("mdc") == 5) & (pl.col("age") <= 80)),
    ):  # fmt: skip
        ledger = run(frame, InvalidCode(pdx=1.0, where=where), hospitals=hospitals).ledger
        expected = truth.filter(kept)["admission_id"]
        assert len(expected) > 0
        assert ledger["admission_id"].sort().to_list() == expected.sort().to_list(), where


def test_filters_of_codes(world):
    hospitals, admissions = world
    asked = ("I50", "e11.")
    by_sdx = run(admissions, InvalidCode(sdx=1.0, where=Where(codes=asked)), hospitals=hospitals).ledger
    flat = admissions.select("admission_id", "sdx").explode("sdx").drop_nulls()
    begins = pl.col("sdx").str.starts_with("I50") | pl.col("sdx").str.starts_with("E11")
    assert by_sdx["code_before"].sort().to_list() == flat.filter(begins)["sdx"].sort().to_list()
    assert by_sdx.height > 50
    added = run(admissions, SdxAddUnsupported(mcc=1.0, where=Where(codes=("I",))), hospitals=hospitals).ledger
    led = admissions.filter(pl.col("pdx").str.starts_with("I"))
    assert 0 < added.height <= led.height
    assert set(added["admission_id"]) <= set(led["admission_id"])
    cut = run(admissions, ProcedureOmit(rate=1.0, where=Where(codes=("0SR",))), hospitals=hospitals).ledger
    assert cut.height > 10
    assert cut["code_before"].str.starts_with("0SR").all()
    flip = PoaFlip(under=1.0, over=1.0, every_code=True, guarded=False, where=Where(codes=("I50",)))
    poa = run(admissions, flip, hospitals=hospitals).ledger
    place = {row["admission_id"]: row["sdx"] for row in admissions.iter_rows(named=True)}
    assert poa.height > 20
    assert all(place[one][at].startswith("I50") for one, at in poa.select("admission_id", "place").rows())
    home = run(admissions, DischargeStatus(rate=1.0, where=Where(codes=("S72",))), hospitals=hospitals).ledger
    hips = admissions.filter(
        pl.col("pdx").str.starts_with("S72") & pl.col("discharge_status").is_in([2, 3, 5, 6, 62, 63])
    )
    assert set(home["admission_id"]) == set(hips["admission_id"])


@pytest.mark.parametrize(
    ("error", "field"),
    [(SdxOmit(cc=1.0, mcc=1.0), "sdx"), (SeverityDowngrade(rate=1.0), "sdx"), (ProcedureOmit(rate=1.0), "procedures")],
)
def test_decisive_codes_change_the_drg(world, error, field):
    """Each code is removed from its admission by hand: decisive ones change the DRG, the others do not."""
    hospitals, admissions = world
    decisive = error.model_copy(update={"where": Where(decisive=True)})
    every, chosen = (run(admissions, one, hospitals=hospitals).ledger for one in (error, decisive))
    keys = ["admission_id", "place"]
    assert 0 < chosen.height < every.height
    without = every.with_columns(code_after=pl.lit(""), error=pl.lit("x"), field=pl.lit(field))
    truth = dict(group(admissions, tables()).select("admission_id", "drg").rows())
    drgs = group(by_hand(admissions, without, ("admission_id", "place")), tables())
    moved = drgs.filter(pl.col("drg") != pl.col("admission_id").replace_strict(truth, return_dtype=pl.UInt16))
    assert set(chosen.select(keys).rows()) == set(moved.select(keys).rows())


def test_decisive_poa_is_that_of_a_decisive_code():
    stays = claims(
        {"pdx": "J18.9", "procedures": [], "sdx": ["L89.154"], "sdx_poa": ["Y"]},
        {"pdx": "J18.9", "procedures": [], "sdx": ["L89.154", "J96.01"], "sdx_poa": ["Y", "Y"]},
    )
    assert [row[0] for row in edits(stays, PoaFlip(under=1.0, where=Where(decisive=True)))] == [1]
    assert [row[0] for row in edits(stays, PoaFlip(under=1.0))] == [1, 2]


def test_a_filter_needs_its_column(world):
    hospitals, admissions = world
    with pytest.raises(InputError, match=r"'payor', which the admissions lack\. Did you mean 'payer'"):
        run(admissions.with_columns(payer=pl.lit("x")), SdxOmit(mcc=0.1, where=Where(columns={"payor": ("x",)})),
            hospitals=hospitals)  # fmt: skip
    with pytest.raises(InputError, match="'hospital_id', which the admissions lack"):
        run(claims().drop("hospital_id"), SdxOmit(mcc=0.1, where=Where(hospitals=("A",))), hospitals=None)


# ------------------------------------------------------------------------------------ rates and clusters


@pytest.mark.parametrize("mean", [0.003, 0.05, 0.5, 0.98])
@pytest.mark.parametrize("sd", [0.0, 0.7, 1.5])
def test_the_intercept_keeps_the_mean(mean, sd):
    """The mean is that of a numerical integration of the logit-normal distribution."""
    centre = solve_intercept(mean, sd)
    found = quad(lambda z: norm.pdf(z) / (1 + math.exp(-(centre + sd * z))), -12, 12, epsabs=1e-12)[0]
    assert found == pytest.approx(mean, rel=1e-6)


def many(hospitals: int, each: int, **columns) -> pl.DataFrame:
    n = hospitals * each
    one = claims({"sdx": ["J96.01"]})
    frame = one.select(pl.all().repeat_by(n).explode()).with_columns(
        admission_id=pl.int_range(n, eager=True).cast(pl.UInt64),
        hospital_id=pl.Series([f"H{i // each}" for i in range(n)]),
        sdx=pl.lit(["J96.01"]),
        sdx_poa=pl.lit(["Y"]),
        procedures=pl.lit(["0FT44ZZ"]),
    )
    return frame.with_columns(**columns)


def test_hospitals_differ_around_the_mean():
    """4,000 hospitals: mean rate and deviation of logits are as set, and claims follow their hospital."""
    frame = many(4000, 10)
    error = SdxOmit(mcc=0.1, hospital_sd=1.2)
    baseline = Baseline.of(frame, tables=tables(), hospitals=None, rates=rates())
    rate = confine_sites(error, baseline, seed=1).rate.reshape(4000, 10)
    assert (rate == rate[:, :1]).all()
    own = rate[:, 0]
    assert abs(own.mean() - 0.1) < 4 * own.std() / 4000**0.5
    logit = np.log(own / (1 - own))
    assert logit.std() == pytest.approx(1.2, rel=4 / (2 * 4000) ** 0.5)
    assert logit.mean() == pytest.approx(solve_intercept(0.1, 1.2), abs=4 * 1.2 / 4000**0.5)
    assert own.min() < 0.01
    assert own.max() > 0.5
    result = run(frame, error, replicates=8, hospitals=None)
    made = result.ledger.height
    between = 80**2 * own.var() * 4000
    assert abs(made - 0.1 * 320_000) < 4 * (320_000 * 0.09 + between) ** 0.5
    # The errors of a hospital are binomial with its own rate in every replicate.
    count = result.ledger.with_columns(h=pl.col("admission_id") // 10).group_by("h").len()
    found = np.zeros(4000)
    found[count["h"].to_numpy().astype(int)] = count["len"].to_numpy()
    z = (found - 80 * own) / np.sqrt(80 * own * (1 - own))
    assert abs(z.mean()) < 4 / 4000**0.5
    assert z.std() == pytest.approx(1.0, abs=0.06)


def test_without_variation_all_hospitals_have_the_rate():
    frame = many(50, 4)
    baseline = Baseline.of(frame, tables=tables(), hospitals=None, rates=rates())
    assert set(confine_sites(SdxOmit(mcc=0.1), baseline, seed=1).rate) == {0.1}


def test_hospital_rates_depend_on_error_and_seed():
    frame = many(3000, 1)
    baseline = Baseline.of(frame, tables=tables(), hospitals=None, rates=rates())

    def logits(seed: int, **more) -> np.ndarray:
        rate = confine_sites(SdxOmit(mcc=0.1, hospital_sd=1.0, **more), baseline, seed=seed).rate
        return np.log(rate / (1 - rate))

    base = logits(1)
    np.testing.assert_array_equal(base, logits(1))
    for other in (logits(2), logits(1, name="another")):
        assert abs(np.corrcoef(base, other)[0, 1]) < 4.5 / 3000**0.5
    half = confine_sites(SdxOmit(mcc=0.05, hospital_sd=1.0), baseline, seed=1).rate
    assert (half < confine_sites(SdxOmit(mcc=0.1, hospital_sd=1.0), baseline, seed=1).rate).all()  # rates nest too


def test_coders_differ_within_hospitals():
    frame = many(800, 40)
    baseline = Baseline.of(frame, tables=tables(), hospitals=None, rates=rates())
    rate = confine_sites(SdxOmit(mcc=0.2, coder_sd=1.0), baseline, seed=1).rate.reshape(800, 40)
    coders = np.array([len(set(row)) for row in rate])
    assert coders.max() == 8
    assert coders.mean() > 7.5
    distinct = np.unique(rate)
    assert len(distinct) == coders.sum()  # no coder works for two hospitals
    assert abs(distinct.mean() - 0.2) < 4 * distinct.std() / len(distinct) ** 0.5
    named = many(20, 40, coder_id=cycled(["ann", "bob"], 800))
    baseline = Baseline.of(named, tables=tables(), hospitals=None, rates=rates())
    rate = confine_sites(SdxOmit(mcc=0.2, coder_sd=1.0), baseline, seed=1).rate.reshape(20, 20, 2)
    assert (rate == rate[:, :1, :]).all()
    assert len(np.unique(rate)) == 40  # an Ann in each hospital


def test_hospital_and_coder_effects_add_up():
    frame = many(2000, 8)
    baseline = Baseline.of(frame, tables=tables(), hospitals=None, rates=rates())
    rate = confine_sites(SdxOmit(mcc=0.1, hospital_sd=0.8, coder_sd=0.6), baseline, seed=1).rate.reshape(2000, 8)
    logit = np.log(rate / (1 - rate))
    assert logit.std() == pytest.approx(1.0, abs=0.05)
    assert logit.mean(axis=1).std() > 0.8
    assert abs(rate.mean() - 0.1) < 4 * rate.mean(axis=1).std() / 2000**0.5


@pytest.mark.parametrize(
    ("rate", "shift"), [(0.3, 1e6), (0.3, -1e6), (0.3, 800.0), (1e-300, -5.0), (0.0, 3.0), (1.0, -3.0)]
)
def test_a_shift_of_any_size_gives_a_rate(rate: float, shift: float):
    shifted = shift_logit(rate, shift)
    assert 0 <= shifted <= 1
    assert shifted == rate if rate in (0.0, 1.0) else (shifted >= rate if shift > 0 else shifted <= rate)


def test_a_shift_multiplies_the_odds():
    for rate, shift in ((0.1, 0.5), (0.9, -2.0), (0.5, 0.0)):
        odds = rate / (1 - rate) * math.exp(shift)
        assert shift_logit(rate, shift) == pytest.approx(odds / (1 + odds))
    error = SdxOmit(cc=0.1, mcc=0.2).shifted(0.5)
    assert (error.cc, error.mcc, error.other) == (shift_logit(0.1, 0.5), shift_logit(0.2, 0.5), 0.0)
