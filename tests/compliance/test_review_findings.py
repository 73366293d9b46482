"""A real audit: reviewed charts extrapolated, against simulated audits, formulas and files of findings."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from scipy import stats

from drgsim.compliance.audits import audit
from drgsim.compliance.extrapolation import Audit
from drgsim.compliance.findings_file import read_findings
from drgsim.compliance.review_findings import extrapolate
from drgsim.compliance.sampling import ProbeThenFull, SimpleRandom, Stratified, sample
from drgsim.exceptions import InputError, SchemaError
from tests.compliance.test_audits import population

KINDS = ("sepsis not supported", "malnutrition not supported", None)
CLAIMS = population(500, errors=0.3).with_columns(
    pl.col("admission_id").cast(pl.UInt64), unit=pl.col("admission_id") % 3
)
CLAIMS = CLAIMS.with_columns(kind=pl.Series([KINDS[i % 3] for i in range(500)]))
BILLED = CLAIMS.select("admission_id", "billed_usd", "unit")
DESIGNS = [
    SimpleRandom(60),
    Stratified(60, strata=3),
    Stratified(60, boundaries_usd=(5e3, 2e4), allocation="proportional"),
    Stratified(60, column="unit"),
]


def review(drawn: pl.DataFrame) -> pl.DataFrame:
    """The charts of a sample as reviewers return them: by id, what should have been paid, and why."""
    found = drawn.filter("is_sampled").select("admission_id")
    return found.join(CLAIMS.select("admission_id", "correct_usd", "kind"), on="admission_id", how="left")


def same(one: Audit, other: Audit) -> None:
    assert_frame_equal(one.estimates, other.estimates, check_exact=True)
    assert_frame_equal(one.by_stratum, other.by_stratum, check_exact=True)
    assert_frame_equal(one.by_kind, other.by_kind, check_exact=True)
    assert (one.recovery_usd, one.level, one.estimator) == (other.recovery_usd, other.level, other.estimator)


@pytest.mark.parametrize("estimator", ["difference", "mean_per_unit", "ratio"])
@pytest.mark.parametrize("design", DESIGNS, ids=str)
def test_reviewed_charts_give_the_audit_that_knew_everything(design, estimator: str):
    """`sample` and `extrapolate` see billed dollars and findings only; `audit` is drawn from the known truth."""
    drawn = sample(BILLED, design, seed=4)
    whole = audit(CLAIMS, design, seed=4, estimator=estimator)
    same(extrapolate(review(drawn), drawn, estimator=estimator), whole)
    from_design = extrapolate(review(drawn), BILLED, design=design, estimator=estimator)
    same(from_design, whole)
    assert from_design.design == design
    names = ["admission_id", "billed_usd", "stratum", "found_usd"]
    assert_frame_equal(from_design.reviewed.select(names), whole.reviewed.select(names))


@pytest.mark.parametrize("design", DESIGNS, ids=str)
def test_order_of_rows_changes_nothing(design):
    drawn = sample(BILLED, design, seed=4)
    one = extrapolate(review(drawn), drawn)
    for seed in (1, 2):
        mixed = (frame.sample(fraction=1.0, shuffle=True, seed=seed) for frame in (review(drawn), drawn))
        other = extrapolate(*mixed)
        same(one, other)
        assert_frame_equal(one.reviewed, other.reviewed)


def test_found_and_correct_dollars_are_the_same_finding():
    drawn = sample(BILLED, DESIGNS[1], seed=4)
    correct = review(drawn)
    found = correct.join(BILLED, on="admission_id").select(
        "admission_id", "kind", found_usd=pl.col("billed_usd") - pl.col("correct_usd")
    )
    same(extrapolate(correct, drawn), extrapolate(found, drawn))
    both = correct.join(found.drop("kind"), on="admission_id")
    same(extrapolate(both, drawn), extrapolate(found, drawn))
    with pytest.raises(InputError, match="1 reviewed claims have a found_usd that is not"):
        extrapolate(
            both.with_columns(found_usd=pl.when(pl.int_range(pl.len()) == 3).then(-1.0).otherwise("found_usd")), drawn
        )


def test_by_stratum_and_by_kind_by_hand():
    """Two strata of 400 and 90 claims, 5 and 4 reviewed; every figure by the formulas of Cochran, 5.3."""
    drawn = pl.DataFrame(
        {
            "admission_id": range(490),
            "billed_usd": [1_000.0] * 400 + [9_000.0] * 90,
            "stratum": ["low"] * 400 + ["high"] * 90,
            "is_sampled": [i < 5 or 400 <= i < 404 for i in range(490)],
        }
    )
    d = [0.0, 100.0, 0.0, 300.0, -50.0, 0.0, 2_000.0, 1_000.0, 0.0]
    kinds = ["none", "a", "none", "b", "a", None, "b", None, None]
    reviewed = pl.DataFrame({"admission_id": [*range(5), *range(400, 404)], "found_usd": d, "kind": kinds})
    found = extrapolate(reviewed, drawn, usd_per_claim=150.0)
    low, high = np.array(d[:5]), np.array(d[5:])
    parts = [400 * (400 - 5) / 5 * low.var(ddof=1), 90 * (90 - 4) / 4 * high.var(ddof=1)]
    point = 400 * low.mean() + 90 * high.mean()
    degrees = sum(parts) ** 2 / (parts[0] ** 2 / 4 + parts[1] ** 2 / 3)
    lower = point - stats.t.ppf(0.95, degrees) * math.sqrt(sum(parts))
    net = found.estimates.row(0, named=True)
    assert (net["point"], net["lower"]) == pytest.approx((point, lower), rel=1e-12)
    assert found.recovery_usd == max(0.0, net["lower"])
    assert found.cost_usd == 9 * 150.0
    strata = found.by_stratum.rows(named=True)
    assert [row["stratum"] for row in strata] == ["low", "high"]
    assert [(row["claims"], row["reviewed"], row["in_error"], row["found_usd"]) for row in strata] == [
        (400, 5, 3, 350.0),
        (90, 4, 2, 3_000.0),
    ]
    assert [row["lower"] for row in strata] == pytest.approx(
        [
            400 * low.mean() - stats.t.ppf(0.95, 4) * parts[0] ** 0.5,
            90 * high.mean() - stats.t.ppf(0.95, 3) * parts[1] ** 0.5,
        ]
    )
    by_kind = {row["kind"]: row for row in found.by_kind.iter_rows(named=True)}
    assert [*by_kind] == ["b", None, "a"]
    assert {kind: row["point"] for kind, row in by_kind.items()} == pytest.approx(
        {"b": 400 * 60.0 + 90 * 500.0, None: 90 * 250.0, "a": 400 * 10.0}
    )
    assert sum(row["point"] for row in by_kind.values()) == pytest.approx(point)
    assert by_kind["b"]["share"] == pytest.approx((400 / 5 + 90 / 4) / 490)
    assert by_kind["b"]["share_lower"] < by_kind["b"]["share"] < by_kind["b"]["share_upper"]


def test_counts_are_a_population_too():
    drawn = sample(BILLED, DESIGNS[1], seed=4)
    reviewed = review(drawn).join(drawn.select("admission_id", "billed_usd", "stratum"), on="admission_id")
    sizes = dict(drawn.group_by("stratum", maintain_order=True).len().iter_rows())
    one, other = extrapolate(reviewed, sizes), extrapolate(reviewed, drawn)
    for name in ("point", "lower", "upper"):
        assert one.estimates[name].head(4).to_list() == pytest.approx(other.estimates[name].head(4).to_list())
    assert "net dollar error rate" not in one.estimates["measure"]
    assert one.by_stratum["billed_usd"].is_null().all()
    simple = sample(BILLED, DESIGNS[0], seed=4)
    reviewed = review(simple).join(BILLED, on="admission_id")
    assert extrapolate(reviewed, 500).recovery_usd == pytest.approx(extrapolate(reviewed, simple).recovery_usd)


def cents(low: int, high: int) -> st.SearchStrategy[float]:
    """Amounts in whole cents, as bills have them [USD]."""
    return st.integers(low, high).map(lambda amount: amount / 100)


@given(
    st.lists(st.tuples(cents(0, 10_000_000), cents(-10_000_000, 10_000_000)), min_size=2, max_size=30),
    st.integers(0, 1000),
)
@settings(max_examples=100, deadline=None)
def test_a_simple_sample_is_the_textbook_formula(pairs: list[tuple[float, float]], others: int):
    x, d = (np.array(column) for column in zip(*pairs, strict=True))
    n, claims = len(d), len(d) + others
    found = extrapolate(pl.DataFrame({"admission_id": range(n), "billed_usd": x, "found_usd": d}), claims)
    error = claims * math.sqrt((1 - n / claims) / n) * d.std(ddof=1)
    net = found.estimates.row(0, named=True)
    half = stats.t.ppf(0.95, n - 1) * error
    assert (net["point"], net["lower"]) == pytest.approx(
        (claims * d.mean(), claims * d.mean() - half), abs=1e-4, rel=1e-9
    )


def test_everything_reviewed_is_exact():
    everything = sample(BILLED, SimpleRandom(500), seed=1)
    found = extrapolate(review(everything), everything)
    net = (CLAIMS["billed_usd"] - CLAIMS["correct_usd"]).sum()
    assert found.estimates.row(0)[2] == pytest.approx(net)
    assert found.recovery_usd == pytest.approx(net)


@pytest.mark.slow
@pytest.mark.parametrize("errors", [0.1, 0.3, 0.8])
@pytest.mark.parametrize("design", [SimpleRandom(200), Stratified(200)], ids=str)
def test_limits_contain_the_truth_as_often_as_they_say(errors: float, design):
    """1,000 samples of the same claims: two-sided 90 % limits, and a lower limit that holds in 95 %."""
    claims = population(5_000, errors=errors, seed=3)
    truth = (claims["billed_usd"] - claims["correct_usd"]).sum()
    contains, holds = 0, 0
    for seed in range(1_000):
        drawn = sample(claims.drop("correct_usd"), design, seed=seed)
        reviewed = drawn.filter("is_sampled").select("admission_id").join(claims, on="admission_id")
        net = extrapolate(reviewed, drawn).estimates.row(0, named=True)
        contains += net["lower"] <= truth <= net["upper"]
        holds += net["lower"] <= truth
    assert 0.83 < contains / 1_000 < 0.93
    assert holds / 1_000 > 0.92


# --- what cannot be extrapolated -------------------------------------------------------------------------

DRAWN = sample(BILLED, DESIGNS[1], seed=4)
REVIEWED = review(DRAWN)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: extrapolate(REVIEWED.head(50), DRAWN), "10 of 60 sampled claims are not among the reviewed"),
        (lambda: extrapolate(pl.concat([REVIEWED, REVIEWED.head(1)]), DRAWN), "2 repeat one"),
        (lambda: extrapolate(REVIEWED.with_columns(pl.col("admission_id") + 1), DRAWN), "were not sampled"),
        (
            lambda: extrapolate(REVIEWED.with_columns(pl.col("admission_id") + 9_000), DRAWN),
            "60 .* not in the population",
        ),
        (
            lambda: extrapolate(REVIEWED.with_columns(correct_usd=pl.lit(None, pl.Float64)), DRAWN),
            "no usable correct_usd",
        ),
        (lambda: extrapolate(REVIEWED.head(0), DRAWN), "no claim is reviewed"),
        (lambda: extrapolate(REVIEWED, BILLED), "its design is not known"),
        (lambda: extrapolate(REVIEWED, BILLED, design=Stratified(61, strata=3)), "but the design draws"),
        (
            lambda: extrapolate(REVIEWED, BILLED, design=ProbeThenFull(9, SimpleRandom(60), 0.1)),
            "expected SimpleRandom",
        ),
        (lambda: extrapolate(REVIEWED, DRAWN, estimator="ration"), "Did you mean 'ratio'"),
        (lambda: extrapolate(REVIEWED, DRAWN, level=90), "between 0 and 1"),
        (
            lambda: extrapolate(REVIEWED.with_columns(billed_usd=1.0), 500, estimator="ratio"),
            "billed dollars of the pop",
        ),
        (lambda: extrapolate(REVIEWED.with_columns(billed_usd=1.0), 50), "60 reviewed claims of 50"),
        (lambda: extrapolate(REVIEWED.with_columns(billed_usd=1.0), DRAWN), "60 reviewed claims have other billed"),
        (lambda: extrapolate(REVIEWED.head(1).with_columns(billed_usd=1.0), 500), "has 1 reviewed claims of 500"),
        (lambda: extrapolate(REVIEWED, -1), "population is -1"),
    ],
)
def test_mistakes(call, says: str):
    with pytest.raises(InputError, match=says):
        call()


def test_missing_columns():
    with pytest.raises(SchemaError, match="lack both correct_usd and found_usd"):
        extrapolate(REVIEWED.drop("correct_usd"), DRAWN)
    with pytest.raises(SchemaError, match="lack billed_usd"):
        extrapolate(REVIEWED, 500)
    with pytest.raises(SchemaError, match="lack the column stratum"):
        extrapolate(REVIEWED.with_columns(billed_usd=1.0), {"low": 400, "high": 100})


# --- files of findings -----------------------------------------------------------------------------------

ACCOUNTS = DRAWN.with_columns(account=pl.format("A0{}", "admission_id"))


def test_findings_come_back_by_account(tmp_path: Path):
    reviewed = REVIEWED.join(ACCOUNTS.select("admission_id", "account"), on="admission_id")
    file = reviewed.sample(fraction=1.0, shuffle=True, seed=2).select(
        pl.col("account").alias("Acct #"),
        pl.format("${}", "correct_usd").alias("Correct payment"),
        "kind",
        reviewer=pl.lit("R1"),
    )
    for name in ("findings.csv", "findings.parquet"):
        path = tmp_path / name
        file.write_csv(path) if name.endswith("csv") else file.write_parquet(path)
        names = {"account": "Acct #", "correct_usd": "Correct payment"}
        found = read_findings(path, ACCOUNTS, account="account", columns=names)
        assert found["reviewer"].unique().to_list() == ["R1"]
        same(extrapolate(found, ACCOUNTS), extrapolate(REVIEWED, DRAWN))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1234.5", 1234.5),
        ("$1,234.50", 1234.5),
        ("(200.00)", -200),
        ("200-", -200),
        ("-3", -3),
        (" USD 7 ", 7),
        ("", None),
    ],
)
def test_amounts_as_people_write_them(tmp_path: Path, text: str, value: float | None):
    path = tmp_path / "findings.csv"
    pl.DataFrame({"account": ["A02", "A01"], "found_usd": [text, "0"]}).write_csv(path)
    drawn = pl.DataFrame({"admission_id": [1, 2], "account": ["A01", "A02"], "billed_usd": [9e3, 9e3]})
    found = read_findings(path, drawn, account="account")
    assert found.select("admission_id", "found_usd").rows() == [(2, value), (1, 0.0)]


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([("A01", "1"), ("A01", "2")], "2 rows repeat an account.*the first is row 1"),
        ([("A01", "1"), ("A03", "2")], "1 rows have an account that was not sampled; the first is row 2"),
        ([("A01", "1"), ("", "2")], "1 rows have no account"),
        ([("A01", "1"), ("A02", "MRN-7")], "1 rows have a found_usd that is no number; the first is row 2"),
    ],
)
def test_unusable_rows_of_a_file(tmp_path: Path, rows: list[tuple[str, str]], says: str):
    path = tmp_path / "findings.csv"
    pl.DataFrame(rows, schema=["account", "found_usd"], orient="row").write_csv(path)
    drawn = pl.DataFrame(
        {"admission_id": [1, 2, 3], "account": ["A01", "A02", "A03"], "is_sampled": [True, True, False]}
    )
    with pytest.raises(InputError, match=says) as caught:
        read_findings(path, drawn, account="account")
    assert "MRN-7" not in str(caught.value)


def test_unusable_files(tmp_path: Path):
    drawn = pl.DataFrame({"admission_id": [1], "account": ["A01"]})
    with pytest.raises(InputError, match="no such file"):
        read_findings(tmp_path / "none.csv", drawn)
    (tmp_path / "a.docx").write_text("x")
    with pytest.raises(InputError, match=r"cannot read \.docx"):
        read_findings(tmp_path / "a.docx", drawn)
    path = tmp_path / "findings.csv"
    path.write_text("account,paid\nA01,3\n")
    with pytest.raises(SchemaError, match="lacks the column correct_usd or found_usd"):
        read_findings(path, drawn, account="account")
    with pytest.raises(SchemaError, match="Did you mean 'paid'"):
        read_findings(path, drawn, account="account", columns={"correct_usd": "payd"})
    with pytest.raises(SchemaError, match="sampled claims lack the column 'acct'"):
        read_findings(path, drawn, account="acct")
