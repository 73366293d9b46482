"""Files are written whole or not at all, and what is written as CSV is read back as it was."""

from __future__ import annotations

import datetime as dt
import os
import stat
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from drgsim.claims.layouts import read_claims
from drgsim.cli.frame_files import cast_columns, open_input, read_frame, redact_cells, to_csv, write_frame
from drgsim.exceptions import InputError, SchemaError
from drgsim.files.atomic import replace_whole
from drgsim.grouping.grouper import group
from drgsim.pricing.pricer import price
from drgsim.rates.payment_rates import Rates
from drgsim.schema import DETAIL, GROUPED, HOSPITALS, PAID
from drgsim.synthetic.generator import generate
from drgsim.tables.table_set import TableSet

TABLES = TableSet.load("43.1")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("earlier", [None, "what was there"])
def test_what_fails_leaves_what_was_there(tmp_path: Path, earlier: str | None):
    target = tmp_path / "out.csv"
    if earlier:
        target.write_text(earlier)

    def fail():
        with replace_whole(target) as begun:
            begun.write_text("half of")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert names(tmp_path) == (["out.csv"] if earlier else [])
    assert not earlier or target.read_text() == earlier


def test_a_name_shows_the_old_file_until_the_new_one_is_whole(tmp_path: Path):
    target = tmp_path / "out.csv"
    target.write_text("old")
    with replace_whole(target) as begun:
        begun.write_text("new")
        assert target.read_text() == "old"
        assert begun.parent == target.parent
    assert target.read_text() == "new"
    assert names(tmp_path) == ["out.csv"]


def test_permissions_stay_and_links_are_followed(tmp_path: Path):
    real, link = tmp_path / "real.csv", tmp_path / "link.csv"
    real.write_text("old")
    real.chmod(0o640)
    link.symlink_to(real)
    write_frame(pl.DataFrame({"a": [1]}), link)
    assert link.is_symlink()
    assert real.read_text() == "a\n1\n"
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    mask = os.umask(0o027)
    try:
        write_frame(pl.DataFrame({"a": [1]}), tmp_path / "fresh.csv")
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "fresh.csv").stat().st_mode) == 0o640


@pytest.mark.parametrize(
    ("path", "why"),
    [("out.txt", "cannot write .txt"), ("out", "file without suffix"), ("none/out.csv", "there is no folder")],
)
def test_a_place_that_cannot_be_written_is_told(tmp_path: Path, path: str, why: str):
    with pytest.raises(InputError, match=why):
        write_frame(pl.DataFrame({"a": [1]}), tmp_path / path)
    assert names(tmp_path) == []


def test_nothing_but_an_ordinary_file_is_replaced(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "folder.csv").mkdir()
    for name in ("pipe.csv", "folder.csv"):
        with pytest.raises(InputError, match="not an ordinary file"):
            write_frame(pl.DataFrame({"a": [1]}), tmp_path / name)


def known(path: Path) -> pl.DataFrame:
    return cast_columns(read_claims(path), [GROUPED, DETAIL, PAID], where=str(path))


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_everything_comes_back_with_its_types(tmp_path: Path, suffix: str):
    """Admissions grouped in detail and priced, and the hospitals, whatever the file."""
    hospitals, admissions = generate(300, seed=3, tables=TABLES)
    paid = price(group(admissions, TABLES, detail=True), hospitals, Rates.load(2026))
    write_frame(paid, tmp_path / f"paid{suffix}")
    write_frame(hospitals, tmp_path / f"hospitals{suffix}")
    back = known(tmp_path / f"paid{suffix}")
    assert_frame_equal(back, paid, check_exact=True)
    own = read_frame(tmp_path / f"hospitals{suffix}", HOSPITALS)
    columns = [name for name in HOSPITALS.names if name in hospitals.columns]
    assert_frame_equal(own.select(columns), hospitals.select(columns), check_exact=True)
    assert own["hospital_id"].str.len_bytes().min() == 6  # 010001 is not 10001


CODES = st.lists(
    st.tuples(st.text("AK8.0 1j\tä\"'", min_size=1, max_size=5), st.sampled_from(["Y", "N", "", "1"])), max_size=4
)


@settings(deadline=None)
@given(st.lists(CODES, min_size=1, max_size=6))
def test_any_codes_come_back_from_csv(tmp_path_factory: pytest.TempPathFactory, rows: list[list[tuple[str, str]]]):
    """Blanks within and around codes, and quotes; codes that are blank are none (see `read_claims`).

    A text with a comma is no code: `read_claims` reads it as several.
    """
    path = tmp_path_factory.mktemp("codes") / "claims.csv"
    frame = pl.DataFrame(
        {
            "admission_id": range(len(rows)),
            "age": [70] * len(rows),
            "sex": ["F"] * len(rows),
            "discharge_status": [1] * len(rows),
            "pdx": ["I10"] * len(rows),
            "sdx": [[code for code, _ in row] for row in rows],
            "sdx_poa": [[poa for _, poa in row] for row in rows],
            "procedures": [[code for code, _ in row[:1]] for row in rows],
        },
        schema_overrides={name: pl.List(pl.String) for name in ("sdx", "sdx_poa", "procedures")},
    )
    write_frame(frame, path)
    back = read_claims(path)
    kept = [[(code.strip(), poa) for code, poa in row if code.strip()] for row in rows]
    assert back["sdx"].to_list() == [[code for code, _ in row] for row in kept]
    assert back["sdx_poa"].to_list() == [[poa for _, poa in row] for row in kept]
    assert back["procedures"].to_list() == [[c.strip() for c, _ in row[:1] if c.strip()] for row in rows]


def test_a_code_with_a_separator_is_refused_by_row_and_column(tmp_path: Path):
    frame = pl.DataFrame({"sdx": [["I10"], ["I10;E119"]]})
    with pytest.raises(InputError, match=r"row 2, column sdx: .*Write \.parquet") as raised:
        write_frame(frame, tmp_path / "out.csv")
    assert "E119" not in str(raised.value)
    assert names(tmp_path) == []


def test_null_and_empty_lists_are_blank():
    frame = pl.DataFrame(
        {"id": [1, 2, 3], "sdx_poa": [None, [], ["", None]]}, schema_overrides={"sdx_poa": pl.List(pl.String)}
    )
    assert to_csv(frame).splitlines() == ["id,sdx_poa", "1,", '2,""', "3,;"]


@pytest.mark.parametrize(
    ("column", "values", "why"),
    [
        ("beds", ["12", "many"], r"row 2, column beds: not Int32 \(1 such rows\)"),
        ("quality_reported", ["true", "perhaps"], "row 2, column quality_reported: not Boolean"),
        ("wage_index", ["1.0", "1,02"], "row 2, column wage_index: not Float64"),
    ],
)
def test_what_cannot_be_read_is_told_by_row_and_column(tmp_path: Path, column: str, values: list[str], why: str):
    path = tmp_path / "hospitals.csv"
    pl.DataFrame({"hospital_id": ["A", "B"], "operating_ccr": [0.2, 0.3], column: values}).write_csv(path)
    with pytest.raises(SchemaError, match=why) as raised:
        read_frame(path, HOSPITALS)
    assert values[1] not in str(raised.value)


def test_an_enum_that_is_none_is_told():
    with pytest.raises(SchemaError, match="a file: row 1, column severity"):
        cast_columns(pl.DataFrame({"severity": ["HUGE"]}), [GROUPED], where="a file")


def test_flags_and_dates_of_texts():
    table = pl.DataFrame({"hospital_id": ["A"] * 4, "waiver": ["TRUE", "0", " y ", ""]})
    assert cast_columns(table, [HOSPITALS], where="")["waiver"].to_list() == [True, False, True, None]
    assert to_csv(pl.DataFrame({"day": [dt.date(2026, 1, 31)]})) == "day\n2026-01-31\n"


@pytest.mark.parametrize("name", ["absent.csv", "broken.parquet", "file.xlsx"])
def test_a_file_that_is_none_is_told(tmp_path: Path, name: str):
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 and no more")
    (tmp_path / "file.xlsx").write_bytes(b"PK")
    with pytest.raises(InputError, match=name):
        read_frame(tmp_path / name, HOSPITALS)


def test_no_cell_is_left_in_a_message(tmp_path: Path):
    path = tmp_path / "claims.csv"
    path.write_text("admission_id,age,sex,discharge_status,pdx,sdx,procedures\n1,70,F,MRN-4711,K810,,\n")
    with pytest.raises(SchemaError, match="discharge_status") as raised, open_input(path) as file:
        read_claims(file)
    assert "MRN-4711" not in str(raised.value)
    cut = redact_cells("could not parse `MRN-4711` as dtype `i64` - adding `MRN-4711")
    assert cut == "could not parse (a value) as dtype `i64` - adding (a value)"
