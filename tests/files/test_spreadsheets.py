"""Excel in and out: text keeps its zeros, formats follow the names, and nothing in a cell is a formula."""

from __future__ import annotations

import datetime as dt
import re
import zipfile
from pathlib import Path

import polars as pl
import pytest

import drgsim
from drgsim import InputError, write
from drgsim.files import spreadsheets
from drgsim.files.spreadsheets import read_spreadsheet, write_spreadsheet

pytest.importorskip("fastexcel")
xlsxwriter = pytest.importorskip("xlsxwriter")

FRAME = pl.DataFrame(
    {
        "admission_id": [17_000_000_000_000_000_001, 2],
        "claim_id": ["000123", "=1+1"],
        "age": [54, None],
        "sdx": [["I10", "J96.01"], []],
        "drg": pl.Series([417, 419], dtype=pl.UInt16),
        "total_usd": [11450.25, float("nan")],
        "medicare_share": [0.125, 0.5],
        "discharge_date": [dt.date(2026, 1, 15), None],
        "weight": [2.3917, 1.3],
    }
)


def rows_of(path: Path) -> list[tuple]:
    return read_spreadsheet(path)[0].rows()


def test_what_is_written_is_read_again(tmp_path: Path):
    path = tmp_path / "grouped.xlsx"
    write(FRAME, path)
    found, others = read_spreadsheet(path)
    assert others == []
    assert found["admission_id"].to_list() == ["17000000000000000001", "2"]
    assert found["claim_id"].to_list() == ["000123", "=1+1"]
    assert found["age"].to_list() == ["54", None]
    assert found["sdx"].to_list() == ["I10;J96.01", None]
    assert found["drg"].to_list() == ["417", "419"]
    assert found["total_usd"].to_list() == ["11450.25", None]
    assert found["discharge_date"][0].startswith("2026-01-15")
    assert found["weight"].to_list() == ["2.3917", "1.3"]


def test_drgs_have_titles(tmp_path: Path):
    path = tmp_path / "grouped.xlsx"
    write(FRAME, path)
    found = read_spreadsheet(path)[0]
    assert found.columns.index("drg_title") == found.columns.index("drg") + 1
    assert found["drg_title"][0] == "Laparoscopic Cholecystectomy without C.D.E. with MCC"


def test_the_header_is_frozen_and_formats_follow_the_names(tmp_path: Path):
    path = tmp_path / "grouped.xlsx"
    write(FRAME, path)
    with zipfile.ZipFile(path) as archive:
        styles = archive.read("xl/styles.xml").decode()
        sheet = archive.read("xl/worksheets/sheet1.xml").decode()
    assert 'state="frozen"' in sheet
    assert "<f>" not in sheet  # no formula
    for form in ("&quot;$&quot;#,##0.00", "0.0%", "yyyy\\-mm\\-dd"):
        assert form in styles or form.replace("\\", "") in styles
    spans = re.findall(r'<col min="(\d+)" max="(\d+)" width="([\d.]+)"', sheet)
    assert sum(int(last) - int(first) + 1 for first, last, _ in spans) == FRAME.width + 1
    assert float(spans[0][2]) > len("17000000000000000001")


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".xlsx"])
def test_a_file_appears_whole_or_not_at_all(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / f"out{suffix}"
    path.write_text("before")
    bad = FRAME.with_columns(sdx=pl.Series([["I10;E119"], []]))
    if suffix == ".parquet":
        monkeypatch.setattr(pl.DataFrame, "write_parquet", lambda *_: (_ for _ in ()).throw(OSError(28, "no space")))
    with pytest.raises(drgsim.DrgsimError):
        write(bad, path)
    assert path.read_text() == "before"
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_an_empty_frame_and_one_without_columns(tmp_path: Path):
    write(FRAME.clear(), tmp_path / "none.xlsx")
    assert read_spreadsheet(tmp_path / "none.xlsx")[0].shape == (0, FRAME.width + 1)
    write(pl.DataFrame(), tmp_path / "empty.xlsx")
    with pytest.raises(InputError, match="no sheet has rows"):
        read_spreadsheet(tmp_path / "empty.xlsx")


def test_a_title_above_the_header_and_blank_rows_are_left_out(tmp_path: Path):
    path = tmp_path / "report.xlsx"
    with xlsxwriter.Workbook(str(path)) as book:
        sheet = book.add_worksheet("Claims")
        sheet.write_string(0, 0, "Discharges of January")
        for row, cells in enumerate([("Acct", "Dx", ""), ("007", "I10", ""), ("", "", ""), ("008", "E119", "")], 2):
            for place, cell in enumerate(cells):
                sheet.write_string(row, place, cell)
        book.add_worksheet("Notes").write_string(0, 0, "read me")
    found, others = read_spreadsheet(path)
    assert found.columns == ["Acct", "Dx"]
    assert found.rows() == [("007", "I10"), ("008", "E119")]
    assert others == ["Notes"]
    assert read_spreadsheet(path, "Notes")[0].columns == ["read me"]
    with pytest.raises(InputError, match="no sheet of that name; it has 2"):
        read_spreadsheet(path, "Claim")


def test_what_is_no_workbook_is_refused(tmp_path: Path):
    path = tmp_path / "claims.xlsx"
    path.write_text("pdx,sdx\nI10,\n")
    with pytest.raises(InputError, match="not a readable Excel workbook; open it in Excel"):
        read_spreadsheet(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a", "b")
    with pytest.raises(InputError, match="not a readable Excel workbook"):
        read_spreadsheet(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/sheet.xml", bytes(1 << 27))
    with pytest.raises(InputError, match="grows beyond 100 times"):
        read_spreadsheet(path)


def test_more_rows_than_a_sheet_holds_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(spreadsheets, "MOST_ROWS", 1)
    with pytest.raises(InputError, match=r"a sheet of Excel holds 1 and .*Write \.parquet or \.csv"):
        write(FRAME, tmp_path / "large.xlsx")


def test_a_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "xlsxwriter", None)
    with pytest.raises(InputError, match=r"need xlsxwriter.*pip install 'drgsim\[excel\]'"):
        write_spreadsheet(FRAME, tmp_path / "a.xlsx")


def test_another_suffix_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match=r"cannot write \.xls; use \.parquet, \.csv, \.xlsx"):
        write(FRAME, tmp_path / "a.xls")
