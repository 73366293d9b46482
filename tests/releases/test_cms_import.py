"""A CMS grouper release gives the shipped tables; damaged or unknown data are refused with their offset."""

from __future__ import annotations

import datetime as dt
import hashlib
import io
import zipfile
from collections import Counter
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drgsim import InputError, TableError, TableSet, group, versions
from drgsim.releases import cms_import, protobuf_wire
from drgsim.releases.cms_import import MEMBER, import_release, read_release_content
from drgsim.releases.protobuf_wire import INT, TEXT, Field, decode_message
from drgsim.releases.version_diff import table_diff
from drgsim.tables.manifest import read_manifest, table_folder
from tests.support.releases import number, packed, record, release, varint

REBUILT = ("40.0", "40.1", "41.0", "41.1", "42.0", "42.1", "43.0", "43.1")
MESSAGE = {
    1: Field("a", INT),
    2: Field("b", TEXT),
    3: Field("c", {1: Field("a", INT)}),
    4: Field("d", INT, many=True),
    6: Field("e", TEXT, many=True),
}


# ---------------------------------------------------------------------------------------------- wire format


@pytest.mark.parametrize(
    ("data", "found"),
    [
        # The examples of the Protocol Buffers encoding guide.
        ("089601", {"a": 150}),
        ("120774657374696e67", {"b": "testing"}),
        ("1a03089601", {"c": {"a": 150}}),
        ("2206038e029ea705", {"d": [3, 270, 86942]}),
        ("08feffffffffffffffff01", {"a": -2}),
        # Unpacked; the last of a field that does not repeat counts; unknown 32 and 64-bit fields are skipped.
        ("200320053204c3a964653200", {"d": [3, 5], "e": ["éde", ""]}),
        ("08010802", {"a": 2}),
        ("7d000000007900000000000000000801", {"a": 1}),
        ("", {}),
    ],
)
def test_wire_format(data: str, found: dict[str, object]) -> None:
    absent = {"a": 0, "b": "", "c": None, "d": [], "e": []}
    assert decode_message(bytes.fromhex(data), MESSAGE) == absent | found


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("0896", "offset 1: the data end within a number"),
        ("08ffffffffffffffffffff01", "offset 1: a number of more than 64 bits"),
        ("08ffffffffffffffffff7f", "offset 1: a number of more than 64 bits"),
        ("120774657374", "offset 2: field 2 runs to 9, past the end of its message at 6"),
        ("1a0408960112", "offset 6: the data end"),
        ("1a020a05", "offset 4: field 1 runs to 9, past the end of its message at 4"),
        ("12ffffffffffffffffff01", "offset 11: field 2 runs to 10, past the end of its message at 11"),
        ("12f5ffffffffffffffff01", "offset 11: field 2 runs to 0, past the end"),
        ("0b", "offset 1: wire type 3 of field 1 is not in use"),
        ("0f", "offset 1: wire type 7 of field 1 is not in use"),
        ("0001", "offset 1: a field has number 0"),
        ("0a00", "offset 2: a has wire type 2, expected 0"),
        ("1001", "b has wire type 0, expected 2"),
        ("1202c328", "offset 2: b is not UTF-8 text"),
    ],
)
def test_damaged_data_are_refused_with_their_offset(data: str, message: str) -> None:
    with pytest.raises(TableError, match=message):
        decode_message(bytes.fromhex(data), MESSAGE)


def test_unknown_fields_are_counted_by_name() -> None:
    unknown: Counter[str] = Counter()
    decode_message(number(9, 1) + record(3, number(1, 1) + number(2, 1)) + number(9, 1), MESSAGE, unknown)
    assert unknown == {"message.9": 2, "c.2": 1}


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_give_fields_or_a_table_error(data: bytes) -> None:
    try:
        found = set(decode_message(data, MESSAGE))
    except TableError:
        found = {"a", "b", "c", "d", "e"}
    assert found == {"a", "b", "c", "d", "e"}


def test_no_more_fields_are_read_than_a_release_may_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protobuf_wire, "MOST_RECORDS", 1000)
    assert decode_message(number(1, 1) * 1000, MESSAGE)["a"] == 1
    with pytest.raises(TableError, match="offset 2000: more than 1000 fields"):
        decode_message(number(1, 1) * 1001, MESSAGE)


INTEGERS = st.integers(-(1 << 63), (1 << 63) - 1)


@settings(deadline=None)
@given(INTEGERS, st.text(), st.lists(INTEGERS), st.lists(st.text()))
def test_what_is_written_is_read(a: int, b: str, many: list[int], texts: list[str]) -> None:
    data = number(1, a) + record(2, b) + packed(4, tuple(many)) + b"".join(record(6, text) for text in texts)
    found = decode_message(data + b"".join(number(4, value) for value in many), MESSAGE)
    assert (found["a"], found["b"], found["d"], found["e"]) == (a, b, many * 2, texts)


# ---------------------------------------------------------------------------------------------- CMS's release


@pytest.fixture(scope="session")
def rebuilt(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table folder built from CMS's release 43.1."""
    folder = tmp_path_factory.mktemp("release") / "tables"
    assert import_release(shared / "cms/release/msdrg_combined.bin", folder) == REBUILT
    return folder


@pytest.mark.parametrize("version", REBUILT)
def test_the_release_gives_the_shipped_tables(rebuilt: Path, version: str) -> None:
    shipped, own = TableSet.load(version), TableSet.load(version, folder=rebuilt)
    for name in (
        *("diagnoses", "procedures", "clusters", "pdx_exclusions", "sex_mdcs", "discharge_statuses"),
        *("formulas", "hac_formulas", "drg_titles", "mdc_titles", "hac_titles"),
    ):
        assert getattr(own, name).height > 0
        assert getattr(own, name).equals(getattr(shipped, name)), name
    # A release numbers groups for all its versions; the shipped tables hold those of 44.0 too.
    used = [tables.exclusion_groups.join(tables.pdx_exclusions, on="group", how="semi") for tables in (own, shipped)]
    assert used[0].sort("group", "sdx").equals(used[1].sort("group", "sdx"))
    assert used[0].height > 100_000
    for fact in ("fiscal_year", "effective_from", "effective_to", "reporting"):
        assert getattr(own, fact) == getattr(shipped, fact)
    assert table_diff(shipped, own).is_empty()


@pytest.mark.parametrize("version", ["40.0", "41.1", "42.1", "43.0", "43.1"])
def test_reference_claims_group_the_same_by_the_rebuilt_tables(rebuilt: Path, shared: Path, version: str) -> None:
    name = f"v{version.replace('.', '')}"
    claims = pl.read_parquet(shared / "claims" / f"{name}_claims.parquet")
    expected = pl.read_parquet(shared / "claims" / f"{name}_expected.parquet")
    found = group(claims, TableSet.load(version, folder=rebuilt))
    both = found.select("admission_id", "drg", "mdc", "initial_drg").join(
        expected.select("admission_id", "final_drg", "final_mdc", initial="initial_drg"), on="admission_id", how="full"
    )
    assert both.height == claims.height > 7_000
    for ours, theirs in (("drg", "final_drg"), ("mdc", "final_mdc"), ("initial_drg", "initial")):
        assert both.filter(pl.col(ours).ne_missing(pl.col(theirs))).is_empty()


def test_the_manifest_names_the_source_of_the_facts(rebuilt: Path, shared: Path) -> None:
    entry = read_manifest(rebuilt)["files"]["msdrg/formulas.csv"]
    digest = hashlib.sha256((shared / "cms/release/msdrg_combined.bin").read_bytes()).hexdigest()
    assert entry["source"] == f"CMS MS-DRG grouper release, data file with sha256 {digest}"
    assert versions(folder=rebuilt) == REBUILT
    others = {name for name in read_manifest(rebuilt)["files"] if not name.startswith("msdrg/")}
    assert others == {name for name in read_manifest(table_folder())["files"] if not name.startswith("msdrg/")}


# The last cut decodes nearly everything first; `test_no_part_of_a_damaged_release_is_taken` cuts a tiny release there.
@pytest.mark.parametrize("share", [0.001, 0.3, pytest.param(0.999999, marks=pytest.mark.long)])
def test_a_release_cut_short_is_refused_with_its_offset(shared: Path, tmp_path: Path, share: float) -> None:
    content = (shared / "cms/release/msdrg_combined.bin").read_bytes()
    (tmp_path / "cut.bin").write_bytes(content[: int(len(content) * share)])
    with pytest.raises(TableError, match=r"cut\.bin: offset \d+: "):
        import_release(tmp_path / "cut.bin", tmp_path / "tables")
    assert not (tmp_path / "tables").exists()


# ---------------------------------------------------------------------------------------------- a tiny release


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "release.bin").write_bytes(release())
    return tmp_path / "release.bin"


def zipped(members: list[tuple[str, bytes]], **options: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content, **options)
    return buffer.getvalue()


def test_a_tiny_release_groups(data: Path, tmp_path: Path) -> None:
    assert import_release(data, tmp_path / "tables") == ("43.0", "43.1")
    admissions = pl.DataFrame(
        {
            "admission_id": [1, 2, 3],
            "age": [40, 40, 40],
            "sex": ["F", "F", "F"],
            "discharge_status": [1, 1, 1],
            "pdx": ["K35.8", "K35.8", "I10"],
            "sdx": [["R65"], [], []],
            "procedures": [["0DTJ0ZZ"], ["0DTJ0ZZ"], []],
        }
    )
    by_version = {
        version: group(admissions, TableSet.load(version, folder=tmp_path / "tables"), hospital_status="EXEMPT")
        for version in ("43.0", "43.1")
    }
    # The operated DRG needs a CC, and the last version excludes R65 for K358.
    assert by_version["43.0"]["drg"].to_list() == [341, 343, 999]
    assert by_version["43.1"]["drg"].to_list() == [343, 343, 999]
    assert by_version["43.1"]["return_code"].to_list() == ["OK", "OK", "INVALID_PDX"]
    clusters = TableSet.load("43.1", folder=tmp_path / "tables").clusters
    assert clusters.rows() == [("Z@0001", "6", "0DTJ0ZZ 0DTJ4ZZ", "append_or")]
    old, new = (TableSet.load(version, folder=tmp_path / "tables") for version in ("43.0", "43.1"))
    assert table_diff(old, new).rows() == [("pdx_exclusions", "K358", "new", None, "R65")]


@pytest.mark.parametrize("inside", [False, True])
def test_a_data_file_is_read_from_archives(data: Path, tmp_path: Path, inside: bool) -> None:
    archive = zipped([("META-INF/MANIFEST.MF", b""), (MEMBER, data.read_bytes())])
    if inside:
        archive = zipped([("readme.txt", b"hello"), ("lib/other.jar", zipped([("a", b"b")])), ("gfc.jar", archive)])
    (tmp_path / "grouper.jar").write_bytes(archive)
    assert read_release_content(tmp_path / "grouper.jar") == data.read_bytes()
    assert import_release(tmp_path / "grouper.jar", tmp_path / "tables") == ("43.0", "43.1")


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([("a.txt", b"x")], r"an archive without runtime_buffers/msdrg_combined\.bin"),
        ([(f"../{MEMBER}", b"x")], "an archive without"),
        ([("inner.jar", zipped([("more.jar", zipped([(MEMBER, b"x")]))]))], "an archive without"),
        ([(MEMBER, b"x" * 5000)], "has more than 1000 bytes, which no grouper release has"),
        ([("inner.jar", b"PK\x03\x04" + b"x" * 5000)], "more than 1000 bytes"),
        ([("inner.jar", b"PK\x03\x04x")], "a damaged archive"),
    ],
)
def test_archives_without_a_release_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, members: list[tuple[str, bytes]], message: str
) -> None:
    monkeypatch.setattr(cms_import, "LARGEST", 1000)
    (tmp_path / "grouper.zip").write_bytes(zipped(members))
    with pytest.raises(TableError, match=message):
        read_release_content(tmp_path / "grouper.zip")


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
def test_two_data_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "grouper.zip").write_bytes(zipped([(MEMBER, b"x"), (MEMBER, b"y")]))
    with pytest.raises(TableError, match="2 times, expected once"):
        read_release_content(tmp_path / "grouper.zip")


def test_a_damaged_archive_is_refused_wherever_it_is_cut(data: Path, tmp_path: Path) -> None:
    archive = zipped([(MEMBER, data.read_bytes())])
    for end in range(4, len(archive), 37):
        (tmp_path / "grouper.jar").write_bytes(archive[:end])
        with pytest.raises(TableError, match="a damaged archive"):
            read_release_content(tmp_path / "grouper.jar")


def test_no_part_of_a_damaged_release_is_taken(data: Path, tmp_path: Path) -> None:
    """Cut anywhere, a release is refused, and no folder is left behind."""
    content = data.read_bytes()
    for end in range(0, len(content), 7):
        data.write_bytes(content[:end])
        with pytest.raises(TableError):
            import_release(data, tmp_path / "tables")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["release.bin"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (release(severity=5), "R65 has severity 5, expected 0, 1 or 2"),
        (release(pattern=4), "K358 refers to list 4 of operands, which the release does not have"),
        (release(pattern=3), "no code carries 'PDX:append'"),
        (release(extra=number(17, 1)), r"the release has unknown fields: message\.17 \(1\)"),
        (b"", "the release has no diagnoses"),
        (release((431, 7_000_000)), "7000000 is not a version; expected a number such as 431"),
    ],
)
def test_facts_that_contradict_each_other_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "release.bin").write_bytes(content)
    with pytest.raises(TableError, match=message):
        import_release(tmp_path / "release.bin", tmp_path / "tables")
    assert not (tmp_path / "tables").exists()


def test_unknown_fields_may_be_left_out_on_request(tmp_path: Path) -> None:
    (tmp_path / "release.bin").write_bytes(release(extra=number(17, 1)))
    found = import_release(tmp_path / "release.bin", tmp_path / "tables", ignore_unknown_fields=True)
    assert found == ("43.0", "43.1")


def test_dates_of_new_versions_follow_the_half_years(tmp_path: Path) -> None:
    (tmp_path / "release.bin").write_bytes(release((440, 441, 450)))
    assert import_release(tmp_path / "release.bin", tmp_path / "tables") == ("44.0", "44.1", "45.0")
    found = read_manifest(tmp_path / "tables")["versions"]
    assert [tuple(entry.values())[:3] for entry in found.values()] == [
        (2027, dt.date(2026, 10, 1), dt.date(2027, 3, 31)),
        (2027, dt.date(2027, 4, 1), dt.date(2027, 9, 30)),
        (2028, dt.date(2027, 10, 1), dt.date(2028, 3, 31)),
    ]
    assert found["45.0"]["reporting"] == read_manifest(table_folder())["versions"]["44.0"]["reporting"]


def test_dates_may_be_given_and_must_be_where_no_rule_gives_them(tmp_path: Path) -> None:
    (tmp_path / "release.bin").write_bytes(release((441, 442)))
    with pytest.raises(InputError, match=r"has 44\.2, and no rule gives its dates"):
        import_release(tmp_path / "release.bin", tmp_path / "tables")
    dates = {"44.2": (dt.date(2027, 7, 1), dt.date(2027, 9, 30))}
    import_release(tmp_path / "release.bin", tmp_path / "tables", effective=dates)
    tables = TableSet.load("44.2", folder=tmp_path / "tables")
    assert (tables.fiscal_year, tables.effective_from, tables.effective_to) == (2027, *dates["44.2"])


@pytest.mark.parametrize(
    ("effective", "message"),
    [
        ({"50.0": (dt.date(2026, 1, 1), dt.date(2026, 2, 1))}, r"effective names 50\.0"),
        ({"43.1": (dt.date(2026, 9, 1), dt.date(2026, 2, 1))}, "in order"),
        ({"43.1": ("2026-09-01", "2026-09-30")}, r"expected two datetime\.date"),
        ({"43.1": (dt.date(2026, 9, 1), dt.date(2026, 10, 1))}, "one fiscal year"),
    ],
)
def test_wrong_dates_are_refused(
    data: Path, tmp_path: Path, effective: dict[str, tuple[dt.date, dt.date]], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        import_release(data, tmp_path / "tables", effective=effective)


def test_a_folder_is_never_overwritten(data: Path, tmp_path: Path) -> None:
    (tmp_path / "tables").mkdir()
    with pytest.raises(InputError, match="exists already"):
        import_release(data, tmp_path / "tables")


def test_numbers_are_written_as_in_the_guide() -> None:
    assert varint(150).hex() == "9601"


# ---------------------------------------------------------------------------------------------- differences


def test_what_44_0_changed() -> None:
    """Against the fiscal 2027 tables: DRGs 258 to 262 became 210 and 211; homelessness is no longer a CC."""
    changes = table_diff(TableSet.load("43.1"), TableSet.load("44.0"))
    drgs = changes.filter(table="drgs")
    deleted = {key for key in drgs.filter(change="deleted")["key"] if 258 <= int(key) <= 262}
    assert deleted == {"258", "259", "260", "261", "262"}
    assert {"210", "211"} <= set(drgs.filter(change="new")["key"])
    code = changes.filter(table="diagnoses", key="Z5900")
    assert code.rows() == [("diagnoses", "Z5900", "changed", "severity=CC", "severity=NONE")]


def test_differences_and_their_reverse() -> None:
    old, new = TableSet.load("42.1"), TableSet.load("43.0")
    there, back = table_diff(old, new), table_diff(new, old)
    swapped = back.select(
        "table",
        "key",
        pl.col("change").cast(pl.String).replace({"new": "deleted", "deleted": "new"}),
        before="after",
        after="before",
    )
    assert (
        there.with_columns(pl.col("change").cast(pl.String)).sort("table", "key").equals(swapped.sort("table", "key"))
    )
    for table, frames in (("diagnoses", (old.diagnoses, new.diagnoses)), ("clusters", (old.clusters, new.clusters))):
        keys = [set(frame.to_series(0)) for frame in frames]
        found = there.filter(table=table)
        assert set(found.filter(change="new")["key"]) == keys[1] - keys[0]
        assert set(found.filter(change="deleted")["key"]) == keys[0] - keys[1]


def test_a_version_does_not_differ_from_itself() -> None:
    assert table_diff(TableSet.load("43.1"), TableSet.load("43.1")).is_empty()


def test_only_table_sets_are_compared() -> None:
    with pytest.raises(InputError, match="expected a TableSet, found str"):
        table_diff("43.1", TableSet.load("43.1"))  # type: ignore[arg-type]
