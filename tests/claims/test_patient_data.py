"""No message shows a patient's values: rows hold a marker, and every error, log and warning is searched for it.

Tracebacks are searched whole, with the errors they came from, as a log would show them.
"""

from __future__ import annotations

import datetime as dt
import gzip
import json
import logging
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from drgsim import Rates, TableSet, group, price, with_weights
from drgsim.claims.layouts import LAYOUTS, map_claims
from drgsim.claims.long import read_long
from drgsim.compliance.audits import audit
from drgsim.compliance.profiles import profile
from drgsim.compliance.sampling import SimpleRandom
from drgsim.exceptions import DrgsimError
from drgsim.explanation.code_values import code_value
from drgsim.explanation.explanations import explain
from drgsim.miscoding.scenarios import Scenario
from drgsim.rebilling.baseline import Baseline
from drgsim.schema import ADMISSIONS
from drgsim.simulation.simulator import simulate

MARK = "ZQX93177"
NUMBER = 917_319_731_973
DAY = dt.date(1931, 7, 9)
SHOWN = (MARK, MARK.lower(), str(NUMBER), f"{NUMBER:,}", "91731973", str(DAY), "1931, 7, 9")
"""How a marker could show, numbers with separators too."""

HOSPITALS = pl.DataFrame({"hospital_id": ["A"], "operating_ccr": [0.3], "wage_index": [1.0]})


def admissions() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "admission_id": [1, 2],
            "hospital_id": ["A", "A"],
            "age": [54, 71],
            "sex": ["F", "M"],
            "discharge_status": [1, 3],
            "discharge_date": [dt.date(2026, 5, 1)] * 2,
            "pdx": ["K810", "S72001A"],
            "pdx_poa": ["Y", "Y"],
            "sdx": [["J9601"], ["I10"]],
            "sdx_poa": [["Y"], ["Y"]],
            "procedures": [["0FT44ZZ"], ["0SRR0JZ"]],
            "los_days": [5, 2],
            "covered_charges_usd": [60_000.0, 90_000.0],
        }
    )


def silent(call: Callable[[], object], caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> str:
    """Call, and hold that nothing reported shows a marker; return the error's message, if any."""
    caplog.set_level(logging.DEBUG)
    reported, message = "", ""
    try:
        call()
    except DrgsimError as error:
        message = str(error)
        reported = "".join(traceback.format_exception(error))
    out, err = capsys.readouterr()
    for text in (reported, out, err, caplog.text):
        for mark in SHOWN:
            assert mark not in text, text
    return message


# ---------------------------------------------------------------------------------------------- frames

VALUES: dict[str, Any] = {
    "text": MARK,
    "number": NUMBER,
    "negative": -NUMBER,
    "fraction": NUMBER + 0.5,
    "date": DAY,
    "texts": [MARK],
    "numbers": [NUMBER],
    "struct": {"a": MARK},
    "bytes": MARK.encode(),
}


def _grouped(frame: pl.DataFrame) -> pl.DataFrame:
    return group(frame, version="43.1")


VERBS: dict[str, Callable[[pl.DataFrame], object]] = {
    "group": _grouped,
    "group with detail": lambda frame: group(frame, version="43.1", detail=True),
    "group by date": group,
    "group by a column of versions": lambda frame: group(frame, version="pdx"),
    "group by a column of statuses": lambda frame: group(frame, version="43.1", hospital_status="pdx"),
    "price": lambda frame: price(_grouped(admissions()).with_columns(frame), HOSPITALS, Rates.load(2026)),
    "price over years": lambda frame: price(
        _grouped(admissions()).with_columns(frame), HOSPITALS, [Rates.load(2025), Rates.load(2026)]
    ),
    "with_weights": lambda frame: with_weights(frame.rename({"age": "drg"}), Rates.load(2026)),
    "Baseline": lambda frame: (
        Baseline.of(frame, tables=TableSet.load("43.1"), hospitals=HOSPITALS, rates=Rates.load(2026)).ids
    ),
    "simulate": lambda frame: simulate(
        frame,
        Scenario.load("illustration"),
        tables=TableSet.load("43.1"),
        hospitals=HOSPITALS,
        rates=Rates.load(2026),
        replicates=2,
        seed=1,
    ),
    "explain": lambda frame: explain(frame[0], TableSet.load("43.1"), rates=Rates.load(2026), hospital=HOSPITALS),
    "explain a mapping": lambda frame: explain(frame.row(0, named=True), TableSet.load("43.1")),
    "code_value": lambda frame: code_value(frame, TableSet.load("43.1"), HOSPITALS, Rates.load(2026)),
    "profile": lambda frame: profile(
        _grouped(admissions()).with_columns(frame), TableSet.load("43.1"), rates=Rates.load(2026)
    ),
    "audit": lambda frame: audit(
        frame.select("admission_id", billed_usd="covered_charges_usd", correct_usd="covered_charges_usd"),
        SimpleRandom(2),
        seed=1,
    ),
}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("value", VALUES)
def test_no_error_on_a_frame_shows_a_value(
    verb: str, value: str, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
):
    """Each column in turn holds the marker, in all rows: of a wrong type, out of range, twice."""
    for column in ADMISSIONS.names:
        frame = admissions().with_columns(pl.Series(column, [VALUES[value]] * 2))
        silent(lambda frame=frame: VERBS[verb](frame), caplog, capsys)  # type: ignore[misc]


def test_the_search_can_fail(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]):
    def guilty() -> None:
        raise DrgsimError(f"no code {MARK}")

    with pytest.raises(AssertionError, match=MARK):
        silent(guilty, caplog, capsys)


def test_messages_name_row_and_column(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]):
    twice = admissions().with_columns(admission_id=pl.lit(NUMBER))
    reported = silent(
        lambda: Baseline.of(twice, tables=TableSet.load("43.1"), hospitals=HOSPITALS, rates=Rates.load(2026)).ids,
        caplog,
        capsys,
    )
    assert reported.startswith("the admission_id of row 0 comes more than once (2 rows share ids)")
    status = admissions().with_columns(status=pl.Series(["EXEMPT", MARK]))
    reported = silent(lambda: group(status, version="43.1", hospital_status="status"), caplog, capsys)
    assert reported.startswith("column 'status', row 1: no hospital status (1 such rows)")
    versions = admissions().with_columns(version=pl.Series(["43.1", MARK]))
    reported = silent(lambda: group(versions, version="version"), caplog, capsys)
    assert reported.startswith("column 'version', row 1: no grouper version (1 such rows)")
    case = {**admissions().row(0, named=True), "sdx": [MARK, NUMBER]}
    assert "cannot be read: 'sdx'" in silent(lambda: explain(case, TableSet.load("43.1")), caplog, capsys)


# ---------------------------------------------------------------------------------------------- files

_HEAD = "admission_id,age,sex,discharge_status"
_EOB = {"resourceType": MARK, "id": MARK, "diagnosis": [{"diagnosisCodeableConcept": MARK}]}
FILES: dict[str, tuple[str, bytes]] = {
    "no header": ("a.csv", f"{MARK},{NUMBER},{DAY},K810\n{MARK},1,2,3\n".encode()),
    "no header, bars": ("a.txt", f"{MARK}|{MARK}|{NUMBER}|{DAY}\n{MARK}|1|2|3\n".encode()),
    "no header, twice": ("a.csv", f"{MARK},{MARK},{NUMBER},{NUMBER}\n".encode()),
    "identifiers": ("a.csv", f"{_HEAD},dx1\n{MARK},5,F,1,K810\n".encode()),
    "numbers": ("a.csv", f"{_HEAD},dx1,los_days\n1,{MARK},F,{MARK},{MARK},{MARK}\n".encode()),
    "dates": ("a.csv", f"{_HEAD},dx1,discharge_date\n1,5,F,1,K810,{MARK}\n".encode()),
    "too many fields": ("a.csv", f"{_HEAD},dx1\n1,5,F,1,K810,{MARK},{MARK},{NUMBER}\n".encode()),
    "open quote": ("a.csv", f'{_HEAD},dx1\n1,5,F,1,"{MARK}\n'.encode()),
    "late text": ("a.csv", f"{_HEAD},dx1,other\n1,5,F,1,K810,1\n2,5,F,1,K810,{MARK}\n".encode()),
    "not UTF-8": ("a.csv", f"{_HEAD},dx1\n1,5,F,1,{MARK}".encode() + b"\xff\n"),
    "not UTF-8, bars": ("a.txt", f"CLM_ID|PRNCPAL_DGNS_CD\n7|{MARK}".encode() + b"\xff\n"),
    "POA": ("a.csv", f"{_HEAD},pdx,sdx,sdx_poa,procedures\n1,5,F,1,{MARK},{MARK},Y;Y,{MARK}\n".encode()),
    "JSON": ("a.json", json.dumps([{MARK: MARK}, MARK]).encode()),
    "cut JSON": ("a.ndjson", f'{{"principal_dx": {{"code": "{MARK}"'.encode()),
    "FHIR": ("a.ndjson", json.dumps(_EOB).encode()),
    "837": ("a.edi", f"ISA*00*          *00*          *ZZ*{MARK:15}*ZZ*B~ST*{MARK}*{MARK}~".encode()),
    "837, long": ("a.edi", f"ISA*{MARK}*".ljust(104, "x").encode() + f":~ST*837*1~HI*ABK:{MARK}~".encode()),
    "cut gzip": ("a.csv.gz", gzip.compress(f"{_HEAD},dx1\n1,5,F,1,{MARK}\n".encode() * 50)[:-9]),
    "Parquet that is none": ("a.parquet", f"PAR1{MARK}PAR1".encode()),
}


@pytest.mark.parametrize("layout", [None, *LAYOUTS])
@pytest.mark.parametrize("file", FILES)
def test_no_error_on_a_file_shows_a_value(
    tmp_path: Path,
    file: str,
    layout: str | None,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
):
    name, content = FILES[file]
    (tmp_path / name).write_bytes(content)
    silent(lambda: map_claims(tmp_path / name, layout), caplog, capsys)


@pytest.mark.parametrize("value", VALUES)
def test_no_error_on_a_parquet_file_shows_a_value(
    tmp_path: Path, value: str, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
):
    path = tmp_path / "a.parquet"
    for column in ADMISSIONS.names:
        admissions().with_columns(pl.Series(column, [VALUES[value]] * 2)).write_parquet(path)
        silent(lambda: map_claims(path), caplog, capsys)
        silent(lambda: read_long(path), caplog, capsys)


def test_a_wide_parquet_of_other_types(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
):
    path = tmp_path / "a.parquet"
    pl.DataFrame({"claim_id": [NUMBER], "code": [{"a": MARK}], "type": [[MARK]]}).write_parquet(path)
    assert map_claims(path).admissions.height == 1
    silent(lambda: map_claims(path, "wide"), caplog, capsys)


def test_reports_and_flags_show_no_value(tmp_path: Path):
    """A report speaks of fields and reasons; a field is a name of the layout, or a column of a file with a header."""
    path = tmp_path / "a.csv"
    path.write_text(f"{_HEAD},dx1,los_days\n1,{MARK},{MARK},1,{MARK},{MARK}\n2,5,F,1,K810,3\n")
    read = map_claims(path)
    assert read.report.height > 0
    assert MARK not in read.report.write_csv() + read.flags.write_csv() + repr(read)


def test_the_representation_of_values_shows_no_patient():
    """What a debugger or a log prints of drgsim's own values; every column holds the marker."""
    marked = admissions().select(pl.lit(MARK).alias("note"), pl.all()).with_columns(pdx=pl.lit(MARK), age=pl.lit(91731))
    tables, rates = TableSet.load("43.1"), Rates.load(2026)
    cases = Baseline.of(marked, tables=tables, hospitals=HOSPITALS, rates=rates)
    run = simulate(
        marked, Scenario.load("illustration"), tables=tables, hospitals=HOSPITALS, rates=rates, replicates=2, seed=1
    )
    for value in (cases, run):
        assert MARK not in repr(value)
        assert "91731" not in repr(value)
