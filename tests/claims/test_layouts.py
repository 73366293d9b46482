"""Every layout gives the same admissions; a file is recognised, read, flagged or refused by name."""

from __future__ import annotations

import datetime as dt
import gzip
import json
import random
from pathlib import Path

import polars as pl
import pytest

from drgsim import InputError, group, read_claims
from drgsim.claims.layouts import LAYOUTS, map_claims
from drgsim.schema import ADMISSIONS
from tests.support.claim_files import STAYS, WRITERS, as_837, as_carin


@pytest.mark.parametrize("layout", WRITERS)
@pytest.mark.parametrize("reported", [False, True])
def test_the_same_stays_come_out_of_every_layout(tmp_path: Path, layout: str, reported: bool) -> None:
    path = WRITERS[layout](tmp_path)
    found = map_claims(path, layout if reported else None)
    admissions = found.admissions
    assert found.layout == layout
    assert admissions["admission_id"].to_list() == [101, 102, 103]
    assert admissions["claim_id"].to_list() == ["101", "102", "103"]
    for place, (_, age, sex, status, pdx, sdx, procedures) in enumerate(STAYS):
        row = admissions.row(place, named=True)
        assert (row["age"], row["sex"], row["discharge_status"]) == (age, sex, status)
        assert (row["pdx"], row["pdx_poa"]) == pdx
        assert list(zip(row["sdx"], row["sdx_poa"], strict=True)) == sdx
        assert row["procedures"] == procedures
        assert row["los_days"] == 5
        # HCUP knows the quarter alone.
        assert row["discharge_date"] == (dt.date(2024, 1, 1) if layout == "hcup" else dt.date(2024, 3, 6))
    for name in ADMISSIONS.names:
        assert name not in admissions.columns or admissions.schema[name] == ADMISSIONS[name].dtype
    assert found.flags.is_empty()
    grouped = group(admissions, version="41.0")
    # MS-DRG 417 to 419 laparoscopic cholecystectomy (J96.01 an MCC), 853 and 871 sepsis; died of an infarction.
    assert grouped["drg"].to_list()[0] == 417
    assert read_claims(path).equals(admissions)


def test_what_else_the_layouts_hold(tmp_path: Path) -> None:
    carin, x12 = map_claims(as_carin(tmp_path)).admissions, map_claims(as_837(tmp_path)).admissions
    for claims, charges in ((carin, 1000.5), (x12, 900.5)):
        assert claims["ms_drg_recorded"].to_list() == [417] * 3
        assert claims["hospital_id"].to_list() == ["1234567893"] * 3
        assert claims["covered_charges_usd"].to_list() == [charges] * 3
    assert carin["patient_id"].to_list() == ["Patient/101", "Patient/102", "Patient/103"]
    assert x12["patient_id"].to_list() == ["M101", "M102", "M103"]


@pytest.mark.parametrize("layout", ["rif", "long", "fhir", "837i", "json"])
def test_text_may_be_gzipped(tmp_path: Path, layout: str) -> None:
    path = WRITERS[layout](tmp_path)
    packed = path.with_name(path.name + ".gz")
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert read_claims(packed).equals(read_claims(path))


@pytest.mark.parametrize("layout", ["rif", "hcup", "long"])
def test_tables_may_be_parquet(tmp_path: Path, layout: str) -> None:
    path = WRITERS[layout](tmp_path)
    separator = {"rif": "|", "hcup": ",", "long": "\t"}[layout]
    pl.read_csv(path, separator=separator, infer_schema_length=None).write_parquet(tmp_path / "claims.parquet")
    read = read_claims(tmp_path / "claims.parquet")
    expected = read_claims(path)
    # A discharge status 01 and a day 20240306 are whole numbers there.
    assert read.select(ADMISSIONS.names[:9]).equals(expected.select(ADMISSIONS.names[:9]))


@pytest.mark.parametrize(
    ("name", "text", "layout", "message"),
    [
        ("a.csv", "a|b\n1|2\n", "rif", "no inpatient RIF file: it lacks PRNCPAL_DGNS_CD"),
        ("a.csv", "a,b\n1,2\n", "hcup", "it lacks I10_DX1"),
        ("a.csv", "a,b\n1,2\n", "hcupp", r"no layout 'hcupp'. Did you mean 'hcup'\? Known: admissions"),
        ("a.csv", "admission_id,age,sex,discharge_status,dx1\n1,5,F,1,K810\n", "admissions", "are those of wide"),
        ("a.txt", "a|b\n1|2\n", None, "no layout recognised by its columns; pass layout="),
        ("a.txt", "a|b\n1|2\n", "wide", r"no diagnosis columns: no known name at all"),
        ("a.json", "[1, 2]", None, "no FHIR resource and no claim among its first objects"),
        ("a.csv", "A, A\n1,2\n", "hcup", "columns 1 and 2 have one name"),
        ("a.txt", "A|A\n1|2\n", "rif", "columns 1 and 2 have one name"),
        ("a.txt", "", "rif", "not a readable txt file"),
    ],
)
def test_what_cannot_be_read_says_why(tmp_path: Path, name: str, text: str, layout: str | None, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=message):
        read_claims(tmp_path / name, layout)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_missing_file_is_told_in_every_layout(tmp_path: Path, layout: str) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_claims(tmp_path / "absent", layout)


@pytest.mark.parametrize("layout", [name for name in LAYOUTS if name not in ("mimic_iv", "mimic_demo")])
@pytest.mark.parametrize("content", [b"", b"\x00\xff\xfe", b"\x1f\x8b\x08broken", b'a,b\n"x', b"{" * 99])
def test_rubbish_is_refused_or_flagged(tmp_path: Path, layout: str, content: bytes) -> None:
    """Never another exception than ours; where a reader takes it, every row is flagged."""
    for name in ("a.csv", "a.json.gz", "a.parquet"):
        (tmp_path / name).write_bytes(content)
        try:
            claims = map_claims(tmp_path / name, layout)
        except InputError:
            continue
        assert set(range(claims.admissions.height)) <= set(claims.flags["row"])


@pytest.mark.parametrize("layout", ["rif", "hcup", "long", "json", "fhir"])
def test_a_file_in_parts_gives_the_parts_of_the_whole(tmp_path: Path, layout: str) -> None:
    path = WRITERS[layout](tmp_path)
    whole = read_claims(path)
    if layout == "json":
        claims = json.loads(path.read_text())
        parts = [json.dumps(claims[:1]), json.dumps(claims[1:])]
    else:
        lines = path.read_text().splitlines()
        head = [] if layout == "fhir" else lines[:1]
        body = lines[len(head) :]
        first = next(place for place, line in enumerate(body) if "102" in line)
        parts = ["\n".join([*head, *body[:first]]), "\n".join([*head, *body[first:]])]
    read = []
    for number, text in enumerate(parts):
        part = tmp_path / f"{number}{path.suffix}"
        part.write_text(text)
        read.append(read_claims(part))
    assert pl.concat(read).equals(whole)


def mutated(content: bytes, draw: random.Random) -> bytes:
    """A file with some bytes changed, lost or put in."""
    data = bytearray(content)
    for _ in range(draw.choice([1, 2, 5, 20])):
        at = draw.randrange(len(data))
        byte = draw.choice([*b'|,\t\n~*:"{}[]-9', draw.randrange(256)])
        change = draw.choice([bytes([byte]), bytes([byte, byte, byte]), b""])
        data[at : at + draw.choice([0, 1, 5])] = change
    return bytes(data)


@pytest.mark.parametrize("layout", WRITERS)
def test_a_damaged_file_is_read_or_refused_by_name(tmp_path: Path, layout: str) -> None:
    path, draw = WRITERS[layout](tmp_path), random.Random(5)
    content, read, refusals = path.read_bytes(), 0, []
    for _ in range(80):
        path.write_bytes(mutated(content, draw))
        try:
            claims = map_claims(path, layout)
        except InputError as error:
            refusals.append(str(error))
        else:
            read += 1
            assert claims.admissions["admission_id"].null_count() == 0
            assert not claims.flags.height or claims.flags["row"].max() < claims.admissions.height
    assert all(str(path) in refusal for refusal in refusals)
    assert read > 10
