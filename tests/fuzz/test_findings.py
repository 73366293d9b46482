"""Every input on which fuzzing has broken drgsim, and what it does now; targets on seeds and on mutations of them."""

from __future__ import annotations

import contextlib
import gzip
from pathlib import Path

import polars as pl
import pytest
import tomli_w
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drgsim.claims.layouts import map_claims
from drgsim.exceptions import DrgsimError, InputError, SchemaError, TableError
from drgsim.miscoding.scenarios import Scenario, kinds
from drgsim.releases.cms_data_file import read_release_facts
from drgsim.releases.protobuf_wire import INT, Field, decode_message
from tests.fuzz.targets import CHOICES, NAMES, TARGETS, seeds
from tests.support.releases import VERSIONS, packed, release

FEW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.parametrize("name", TARGETS)
def test_targets_hold_on_their_seeds(name: str):
    assert seeds(name)
    for seed in seeds(name):
        TARGETS[name](seed)


@pytest.mark.parametrize("name", TARGETS)
@FEW
@given(data=st.data())
def test_targets_hold_on_mutations(name: str, data: st.DataObject):
    """A seed with bytes replaced, removed, repeated or put in; for claims, under another name or layout too."""
    content = bytearray(data.draw(st.sampled_from(seeds(name))))
    if name == "claims":
        content[0] = data.draw(st.integers(0, len(NAMES) - 1))
        content[1] = data.draw(st.integers(0, len(CHOICES) - 1))
    for _ in range(data.draw(st.integers(0, 4))):
        at = data.draw(st.integers(2, max(2, len(content))))
        length = data.draw(st.integers(0, 12))
        put = data.draw(st.binary(max_size=8) | st.just(bytes(content[at : at + length]) * 3))
        content[at : at + length] = put
    TARGETS[name](bytes(content))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text(max_size=8) | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
).filter(lambda value: value is not None)


@FEW
@given(
    kind=st.sampled_from(sorted(kinds())) | st.text(max_size=8),
    keys=st.lists(st.sampled_from(sorted({key for one in kinds().values() for key in one.model_fields})), max_size=3),
    values=st.lists(VALUES, min_size=4, max_size=4),
    where=st.dictionaries(st.sampled_from(["mdc", "drg", "codes", "age", "columns", "decisive"]), VALUES, max_size=2),
)
def test_any_values_of_an_error_make_a_scenario_or_are_refused(
    kind: str, keys: list[str], values: list[object], where: dict[str, object]
):
    error = {**dict(zip(keys, values, strict=False)), "kind": kind, "where": where}
    try:
        text = tomli_w.dumps({"title": "a", "errors": {"one": error}})
    except (TypeError, ValueError):  # what TOML cannot hold
        return
    TARGETS["scenario"](text.encode("utf-8", "replace"))


# ---------------------------------------------------------------------------------------------- findings


@pytest.mark.parametrize("content", [gzip.compress(b"a,b\n" * 99, mtime=0)[:-9], b"\x1f\x8b\x08" + bytes(30), b"x"])
def test_damaged_gzip_is_refused_while_its_layout_is_looked_for(tmp_path: Path, content: bytes):
    """Was: zlib.error, EOFError or gzip.BadGzipFile from the first line."""
    path = tmp_path / "a.csv.gz"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.csv\.gz: not a readable gz file"):
        map_claims(path)


@pytest.mark.parametrize("kind", ["[]", "{}", "1", "[['a']]", "true", "1979-05-27"])
def test_a_kind_of_error_that_is_no_text_is_refused(kind: str):
    """Was: TypeError, unhashable type."""
    with pytest.raises(InputError, match=r"errors\.a\.kind is .*: no such kind of error"):
        Scenario.loads(f'title = "a"\n[errors.a]\nkind = {kind}\n')


def test_flags_point_at_admissions_not_at_lines(tmp_path: Path):
    """Was: rows of revenue lines, and of codes, as if they were rows of admissions."""
    path = tmp_path / "a.txt"
    path.write_text("CLM_ID|PRNCPAL_DGNS_CD|CLM_LINE_NUM\n7|K810|1\n7|K810|2\n7|K810|3|4|5\n")
    read = map_claims(path)
    assert read.admissions.height == 1
    assert read.flags.filter(read.flags["row"] >= 1).is_empty()
    assert ("row", "more fields than the header", 1) in read.report.rows()


def test_poa_indicators_without_diagnoses_are_told(tmp_path: Path):
    """Was: polars.exceptions.ColumnNotFoundError."""
    path = tmp_path / "a.csv"
    path.write_text("admission_id,age,sex,discharge_status,pdx,sdx_poa,procedures\n7,71,F,1,K81.0,Y;N,0FT44ZZ\n")
    with pytest.raises(SchemaError, match="admissions lack 1 column: sdx"):
        map_claims(path)


def test_an_hcup_file_of_diagnoses_alone_is_read(tmp_path: Path):
    """Was: polars.exceptions.ShapeError, as a table of literals has one row."""
    path = tmp_path / "a.csv"
    path.write_text("I10_DX1,OTHER\nK810,1\nI214,2\nI10,3\n")
    read = map_claims(path)
    assert (read.layout, read.admissions["pdx"].to_list()) == ("hcup", ["K810", "I214", "I10"])


@pytest.mark.parametrize(
    "head", ["admission_id,age,sex,discharge_status,dx1,dx1", "I10_DX1,AGE,AGE", "dx1,other,other"]
)
def test_two_columns_of_one_name_are_refused(tmp_path: Path, head: str):
    """Found beside it: the second had another name, and was no more than reported."""
    path = tmp_path / "a.csv"
    path.write_text(f"{head}\n{','.join('1' for _ in head.split(','))}\n")
    with pytest.raises(SchemaError, match=r"columns \d and \d have one name"):
        map_claims(path)


@pytest.mark.parametrize(
    ("head", "row"),
    [
        ("KEY_NIS,I10_DX1,age,AGE", "1,K810,5,6"),
        ("CLM_ID,PRNCPAL_DGNS_CD,clm_id", "1,K810,2"),
        ("claim_id,code,type,CODE", "1,K810,dx,I10"),
    ],
)
def test_columns_that_differ_in_case_alone_are_refused(tmp_path: Path, head: str, row: str):
    """Was: polars.exceptions.DuplicateError."""
    path = tmp_path / "a.csv"
    path.write_text(f"{head}\n{row}\n")
    with pytest.raises(SchemaError, match=r"columns \d and \d have one name"):
        map_claims(path)


def test_a_column_called_row_is_left_out(tmp_path: Path):
    """Found beside it: codes went to the admission that this column named."""
    path = tmp_path / "a.csv"
    path.write_text("claim_id,code,type,row\n7,K810,dx,1\n8,I214,dx,0\n")
    read = map_claims(path)
    assert read.admissions["pdx"].to_list() == ["K810", "I214"]
    assert ("row", "not mapped, left out", 2) in read.report.rows()


def test_a_parquet_file_on_which_polars_panics_is_refused(tmp_path: Path):
    """Was: polars.exceptions.PanicException, no subclass of Exception. Bytes of a sound file are set to two values."""
    content = next(seed[2:] for seed in seeds("claims") if NAMES[seed[0]] == "a.parquet")
    path = tmp_path / "a.parquet"
    for at in range(4, len(content) - 8, 7):
        for value in (0, 255):
            path.write_bytes(content[:at] + bytes([value]) + content[at + 1 :])
            with contextlib.suppress(DrgsimError):
                map_claims(path)


@pytest.mark.parametrize("error", [pl.exceptions.PanicException, pl.exceptions.ComputeError, OSError, EOFError])
def test_whatever_polars_raises_is_a_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
):
    def fails(_: object) -> None:
        raise error("Result::unwrap()")

    monkeypatch.setattr(pl, "read_parquet_schema", fails)
    path = tmp_path / "a.parquet"
    pl.DataFrame({"pdx": ["K810"]}).write_parquet(path)
    with pytest.raises(InputError, match=r"not a readable parquet file: Result::unwrap\(\)"):
        map_claims(path)


def test_a_release_whose_diagnoses_have_no_version_is_refused():
    """Was: polars.exceptions.SchemaError."""
    with pytest.raises(TableError, match="no diagnosis of the release has a version"):
        read_release_facts(release().replace(packed(6, VERSIONS), packed(15, VERSIONS)), ignore_unknown_fields=True)


def test_packed_numbers_count_as_fields(monkeypatch: pytest.MonkeyPatch):
    """Found beside it: a file of one packed field could hold a hundred million numbers."""
    monkeypatch.setattr("drgsim.releases.protobuf_wire.MOST_RECORDS", 100)
    message = {1: Field("numbers", INT, many=True)}
    assert len(decode_message(packed(1, (1,) * 99), message)["numbers"]) == 99
    with pytest.raises(TableError, match="more than 100 fields"):
        decode_message(packed(1, (1,) * 100), message)
