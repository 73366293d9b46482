"""What holds of every edit, draw and scenario, whatever it is: bills by hand, nesting, sums, order, files."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import numpy as np
import polars as pl
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

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
from drgsim.miscoding.error_draws import DrawnErrors
from drgsim.miscoding.error_models import ErrorModel, Where
from drgsim.miscoding.procedure_errors import (
    ProcedureAddUnsupported,
    ProcedureOmit,
    ProcedureSubstitute,
    VentilationHours,
)
from drgsim.miscoding.scenarios import Scenario
from drgsim.miscoding.strategic_upcoding import StrategicUpcode
from drgsim.numerics.keyed_random import draw_events, make_event_keys
from drgsim.rebilling.baseline import Baseline
from drgsim.rebilling.code_changes import (
    ChangeKind,
    CodeChanges,
    apply_changes,
    decode_admissions,
    describe_changes,
    list_code_texts,
)
from drgsim.simulation.error_combination import combine_errors
from drgsim.simulation.simulator import simulate
from drgsim.tables.encoding import encode
from tests.support.rebilling import HOSPITALS, SWAP, by_hand, edited, generated, priced, rates, tables, with_stays

QUICK = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@cache
def codes_that_matter() -> tuple[list[str], list[str]]:
    """Diagnoses and procedures of every kind, and some of no version."""
    rows = tables().diagnoses.unique(["mdc", "severity", "operands", "hac_operands"], maintain_order=True)
    sets = tables().procedures.unique("operands", maintain_order=True)["code"]
    technologies = rates().technology_codes
    assert technologies is not None
    asked = technologies.filter((pl.col("code_kind") == "procedure") & ~pl.col("code").str.ends_with("*"))["code"]
    known = set(tables().all_procedures)
    return [*rows["code"], "Z006", "U071"], [*sets, *(code for code in asked if code in known)]


DIAGNOSIS = st.sampled_from(codes_that_matter()[0])
PROCEDURE = st.sampled_from(codes_that_matter()[1])
POA = st.sampled_from(["Y", "N", "U", "W", "1", "", None])


@st.composite
def claims(draw: st.DrawFn, least: int = 1) -> pl.DataFrame:
    n = draw(st.integers(least, 6))
    lists = [draw(st.lists(st.tuples(DIAGNOSIS, POA), max_size=6)) for _ in range(n)]
    frame = pl.DataFrame(
        {
            "admission_id": np.arange(n, dtype=np.uint64),
            "age": pl.Series([draw(st.sampled_from([0, 30, 70, None])) for _ in range(n)], dtype=pl.Int32),
            "sex": pl.Series([draw(st.sampled_from(["M", "F", "U"])) for _ in range(n)], dtype=pl.String),
            "discharge_status": pl.Series([draw(st.sampled_from([1, 2, 3, 20, 99])) for _ in range(n)], dtype=pl.Int32),
            "pdx": pl.Series([draw(DIAGNOSIS) for _ in range(n)], dtype=pl.String),
            "sdx": pl.Series([[code for code, _ in codes] for codes in lists], dtype=pl.List(pl.String)),
            "sdx_poa": pl.Series([[poa for _, poa in codes] for codes in lists], dtype=pl.List(pl.String)),
            "procedures": pl.Series(
                [draw(st.lists(PROCEDURE, max_size=4)) for _ in range(n)], dtype=pl.List(pl.String)
            ),
        }
    )
    return with_stays(frame)


@st.composite
def edited_claims(draw: st.DrawFn) -> tuple[pl.DataFrame, list[tuple[int, ChangeKind, int, str]]]:
    """Claims, and edits of any kind (row, kind, place, code or number after), as wild as they may be."""
    frame = draw(claims())
    edits: list[tuple[int, ChangeKind, int, str]] = []
    for row, (sdx, procedures) in enumerate(frame.select("sdx", "procedures").iter_rows()):
        for kind in draw(st.lists(st.sampled_from(list(ChangeKind)), max_size=4)):
            listed = procedures if kind == ChangeKind.PROCEDURE else sdx
            if kind in (ChangeKind.SWAP_PDX, ChangeKind.SDX, ChangeKind.PROCEDURE, ChangeKind.POA) and not listed:
                continue
            place = draw(st.integers(0, len(listed) - 1)) if listed else 0
            after = {
                ChangeKind.PDX: st.one_of(st.just(""), DIAGNOSIS),
                ChangeKind.SDX: st.one_of(st.just(""), DIAGNOSIS),
                ChangeKind.ADD_SDX: DIAGNOSIS,
                ChangeKind.PROCEDURE: st.one_of(st.just(""), PROCEDURE),
                ChangeKind.ADD_PROCEDURE: PROCEDURE,
                ChangeKind.POA: st.sampled_from(["Y", "N"]),
                ChangeKind.DISCHARGE_STATUS: st.sampled_from(["1", "2", "6", "20", "255"]),
                ChangeKind.SEX: st.sampled_from(["M", "F"]),
                ChangeKind.AGE: st.sampled_from(["0", "77"]),
                ChangeKind.SWAP_PDX: st.just(""),
            }[kind]
            edits.append((row, kind, place, draw(after)))
    return frame, edits


def as_edits(frame: pl.DataFrame, cases: Baseline, edits: list[tuple[int, ChangeKind, int, str]]) -> CodeChanges:
    dx, procedures = cases.rules.diagnosis_book, cases.rules.procedure_book
    encoded = cases.encoded

    def number(book, code: str) -> int:
        return int(book.numbers(pl.Series([code]))[0])

    rows = []
    for row, kind, place, after in edits:
        position = encoded.sdx_start[row] + place
        if kind in (ChangeKind.PDX, ChangeKind.SDX, ChangeKind.ADD_SDX):
            before = {ChangeKind.PDX: encoded.pdx[row], ChangeKind.ADD_SDX: 0}.get(kind)
            before = encoded.sdx[position] if before is None else before
            value = number(dx, after)
        elif kind == ChangeKind.SWAP_PDX:
            before, value = encoded.pdx[row], encoded.sdx[position]
        elif kind in (ChangeKind.PROCEDURE, ChangeKind.ADD_PROCEDURE):
            at = encoded.procedure_start[row] + place
            before = encoded.procedures[at] if kind == ChangeKind.PROCEDURE else 0
            value = number(procedures, after)
        elif kind == ChangeKind.POA:
            assert encoded.poa is not None
            before, value = encoded.poa[position], {"Y": 1, "N": 2}[after]
        elif kind == ChangeKind.SEX:
            before, value = encoded.sex[row], {"M": 1, "F": 2}[after]
        else:
            before, value = 0, int(after)
        rows.append((row, kind, place, before, value))
    columns = [np.array([one[i] for one in rows], np.int64) for i in range(5)]
    return CodeChanges(columns[0], columns[1].astype(np.uint8), *(one.astype(np.int32) for one in columns[2:]))


@settings(QUICK, max_examples=30)
@given(edited_claims(), st.sampled_from(["NON_EXEMPT", "EXEMPT", "UNKNOWN"]), st.sampled_from([2021, 2026]))
def test_any_edits_of_any_claims_are_billed_as_by_hand(drawn_claims, status: str, year: int):
    """Singly and together: DRG, MDC, severity and cents are those of the edited claim, grouped and priced anew."""
    frame, wild = drawn_claims
    cases = Baseline.of(frame, tables=tables(), hospitals=HOSPITALS, rates=rates(year), hospital_status=status)
    edits = as_edits(frame, cases, wild)
    one = DrawnErrors(np.zeros(len(edits), np.int64), np.arange(len(edits)), edits, np.zeros(len(edits), np.uint8))
    together, _ = combine_errors([one])
    for made, start in ((edits, np.arange(len(edits) + 1)), (together.changes, together.start)):
        billed = cases.rebill(made, start)
        text = describe_changes(made, tables()).with_columns(
            place=pl.Series(made.place),
            error=pl.Series([SWAP if kind == ChangeKind.SWAP_PDX else "any" for kind in made.kind], dtype=pl.String),
        )
        rows = text.rows(named=True)
        hand = [edited(frame.row(int(made.row[a]), named=True), rows[a:b]) for a, b in pairwise(start)]
        expected = priced(pl.DataFrame(hand, schema=frame.schema), HOSPITALS, rates(year), status=status)
        assert billed.drg.tolist() == expected["drg"].to_list()
        assert billed.mdc.tolist() == expected["mdc"].to_list()
        assert billed.severity.tolist() == expected["severity"].to_physical().to_list()
        assert billed.cents.tolist() == expected["cents"].to_list()
        bill = np.repeat(np.arange(len(start) - 1), np.diff(start))
        encoded = encode(frame, tables(), hospital_status=status).take(made.row[start[:-1]])
        changed = apply_changes(encoded, CodeChanges(bill, made.kind, made.place, made.before, made.after))
        lists = decode_admissions(changed, *list_code_texts(tables()))
        assert lists["pdx"].to_list() == [row["pdx"] for row in hand]
        assert lists["sdx"].to_list() == [row["sdx"] for row in hand]
        assert lists["procedures"].to_list() == [row["procedures"] for row in hand]


@QUICK
@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=60),
    st.integers(0, 2**64 - 1),
    st.integers(0, 40),
    st.integers(0, 12),
    st.floats(0, 1),
)
def test_events_nest_and_blocks_do_not_matter(chances: list[float], seed: int, first: int, count: int, factor: float):
    chance = np.array(chances)
    keys = make_event_keys(seed, "any", np.arange(len(chance)))
    replicates = range(first, first + count)
    events = list(zip(*(part.tolist() for part in draw_events(chance, keys, replicates)), strict=True))
    assert len(events) == len(set(events))
    assert [place for r in replicates for event, place in events if event == r] == [
        place for _, place in sorted(events)
    ]
    singly = [(r, place) for r in replicates for place in draw_events(chance, keys, range(r, r + 1))[1].tolist()]
    assert sorted(events) == singly
    fewer = list(zip(*(part.tolist() for part in draw_events(chance * factor, keys, replicates)), strict=True))
    assert set(fewer) <= set(events)


# ------------------------------------------------------------------------------------ scenarios

RATE = st.one_of(st.just(0.0), st.floats(0.01, 0.6))
SD = st.one_of(st.just(0.0), st.floats(0, 2))
WHERE = st.builds(
    Where,
    mdc=st.lists(st.integers(0, 25), max_size=3).map(tuple),
    codes=st.lists(st.sampled_from(["I", "J", "E11", "0", "k8"]), max_size=2).map(tuple),
    age=st.one_of(st.none(), st.tuples(st.integers(0, 60), st.integers(61, 120))),
    decisive=st.booleans(),
)
COMMON = {"where": WHERE, "hospital_sd": SD, "coder_sd": SD, "guarded": st.booleans()}
ERRORS: list[st.SearchStrategy[ErrorModel]] = [
    st.builds(SdxOmit, cc=RATE, mcc=RATE, other=RATE, **COMMON),
    st.builds(SdxAddUnsupported, cc=RATE, mcc=RATE, allow_excluded=st.booleans(), **COMMON),
    st.builds(PdxSubstitute, rate=RATE, within_category=st.floats(0, 1), **COMMON),
    st.builds(PdxResequence, rate=RATE, **COMMON),
    st.builds(SeverityUpgrade, rate=RATE, **COMMON),
    st.builds(SeverityDowngrade, rate=RATE, **COMMON),
    st.builds(SpecificityLoss, sdx=RATE, pdx=RATE, **COMMON),
    st.builds(InvalidCode, pdx=RATE, sdx=RATE, procedure=RATE, **COMMON),
    st.builds(PoaFlip, over=RATE, under=RATE, every_code=st.booleans(), **COMMON),
    st.builds(ProcedureSubstitute, rate=RATE, axes=st.lists(st.integers(1, 7), min_size=1).map(tuple), **COMMON),
    st.builds(ProcedureOmit, rate=RATE, **COMMON),
    st.builds(ProcedureAddUnsupported, rate=RATE, **COMMON),
    st.builds(VentilationHours, over=RATE, under=RATE, **COMMON),
    st.builds(DischargeStatus, rate=RATE, **COMMON),
    st.builds(Demographics, sex=RATE, age=RATE, **COMMON),
    st.builds(StrategicUpcode, ceiling=RATE, detection=RATE, candidates=st.integers(1, 4), **COMMON),
]


@st.composite
def scenarios(draw: st.DrawFn, most: int = 4) -> Scenario:
    errors = [draw(one) for one in draw(st.lists(st.sampled_from(ERRORS), min_size=1, max_size=most))]
    named = [error.model_copy(update={"name": f"error {i}"}) for i, error in enumerate(errors)]
    return Scenario(title=draw(st.text(max_size=5)), errors=tuple(named))


@QUICK
@given(scenarios())
def test_any_scenario_is_written_and_read_back(scenario: Scenario):
    again = Scenario.loads(scenario.dumps())
    assert again.errors == scenario.errors
    assert again.title == scenario.title
    assert again.digest == scenario.digest


@QUICK
@given(scenarios(), st.integers(0, 1000), st.randoms(use_true_random=False))
def test_any_scenario_keeps_the_sums_and_the_order_of_rows(scenario: Scenario, seed: int, random):
    """Codes change at least as often as DRGs, parts add up, counts agree, claims are those of the ledger, by hand."""
    hospitals, admissions = generated(600)
    some = admissions.head(60)

    def run(frame: pl.DataFrame):
        return simulate(frame, scenario, tables=tables(), hospitals=hospitals, rates=rates(), replicates=2, seed=seed,
                        ledger=True)  # fmt: skip

    result = run(some)
    total, net = result.totals, int(result.totals["net"].sum())
    assert (total["drg_changes"] <= total["code_changes"]).all()
    assert (total["overpaid"] - total["underpaid"] == total["net"]).all()
    assert int(result.attribution["cents"].sum()) == int(result.changed_claims["cents"].sum()) == net
    assert result.ledger is not None
    assert result.error_counts["made"].sum() == result.ledger.height == total["errors"].sum()
    reasons = result.error_counts.columns[result.error_counts.columns.index("made") :]
    assert result.error_counts.select(reasons).sum_horizontal().to_list() == result.error_counts["drawn"].to_list()
    swaps = [error.label for error in scenario.errors if error.kind == SWAP]
    ledger = result.ledger.with_columns(error=pl.when(pl.col("error").is_in(swaps)).then(pl.lit(SWAP))
                                        .otherwise(pl.lit("any")))  # fmt: skip
    billed = priced(by_hand(some, ledger), hospitals, rates())
    truth = dict(priced(some, hospitals, rates()).select("admission_id", "cents").rows())
    paid = billed.filter(pl.col("return_code") == "OK")
    was = paid["admission_id"].replace_strict(truth, return_dtype=pl.Int64) if paid.height else pl.Series([0])
    assert net == (int(paid["cents"].sum()) - int(was.sum()))
    order = list(range(len(some)))
    random.shuffle(order)
    other = run(some[order])
    assert other.totals.equals(total)
    assert other.ledger.equals(result.ledger)
    assert other.run_id == result.run_id
