"""Files larger than memory give what frames give, row by row and number by number."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from drgsim import Rates, TableSet, generate, group, price
from drgsim.exceptions import InputError, SchemaError, UnknownVersionError
from drgsim.miscoding.diagnosis_errors import SdxAddUnsupported, SdxOmit
from drgsim.miscoding.scenarios import Scenario
from drgsim.scale.parquet import group_parquet, price_parquet, simulate_parquet
from drgsim.scale.parquet_source import ParquetSource
from drgsim.simulation.results import load_simulation
from drgsim.simulation.simulator import simulate
from tests.support.made import assert_same_tables

ROWS = 3_000
BATCH = 700
TABLES, RATES = TableSet.load("43.1"), Rates.load(2026)


@pytest.fixture(scope="module")
def data() -> tuple[pl.DataFrame, pl.DataFrame]:
    hospitals, admissions = generate(ROWS, seed=7, tables=TABLES)
    noted = admissions.with_columns(note=pl.format("row {}", "admission_id"), drg=pl.lit(1, pl.Int64))
    return hospitals, noted.sample(fraction=1.0, shuffle=True, seed=1)


@pytest.fixture
def files(data: tuple[pl.DataFrame, pl.DataFrame], tmp_path: Path) -> Path:
    """A folder of eleven files, so that every path sees several batches."""
    folder = tmp_path / "source"
    folder.mkdir()
    for part, start in enumerate(range(0, ROWS, 290)):
        data[1][start : start + 290].write_parquet(folder / f"{part:02d}.parquet")
    return folder


def rows_of(target: Path) -> pl.DataFrame:
    return pl.read_parquet(target if target.suffix else target / "rows-*.parquet")


@pytest.mark.parametrize("name", ["out.parquet", "out"])
@pytest.mark.parametrize("detail", [False, True])
def test_grouped_files_equal_grouped_frames(data, files: Path, tmp_path: Path, name: str, detail: bool):
    target = group_parquet(files, tmp_path / name, TABLES, detail=detail, batch=BATCH)
    assert_frame_equal(rows_of(target), group(data[1], TABLES, detail=detail))


def test_fiscal_years_may_change_from_batch_to_batch(data, tmp_path: Path):
    dates = data[1].select(pl.date(2023, 9, 1) + pl.duration(days=pl.int_range(pl.len()) // 2)).to_series()
    admissions = data[1].with_columns(discharge_date=dates)
    admissions.write_parquet(tmp_path / "in.parquet")
    whole = group(admissions)
    assert whole["return_code"].n_unique() > 1  # some days are in no version's force
    for name in ("one.parquet", "parts"):
        assert_frame_equal(rows_of(group_parquet(tmp_path / "in.parquet", tmp_path / name, batch=BATCH)), whole)


@pytest.mark.parametrize("name", ["out.parquet", "out"])
def test_priced_files_equal_priced_frames(data, files: Path, tmp_path: Path, name: str):
    hospitals, admissions = data
    paid = price(group(admissions, TABLES), hospitals, RATES)
    in_one = price_parquet(files, tmp_path / name, hospitals, RATES, tables=TABLES, batch=BATCH)
    assert_frame_equal(rows_of(in_one), paid)
    grouped = group_parquet(files, tmp_path / "grouped.parquet", TABLES)
    in_two = price_parquet(grouped, tmp_path / f"two {name}", hospitals, RATES, batch=BATCH)
    assert_frame_equal(rows_of(in_two), paid)


@pytest.mark.parametrize("name", ["out.parquet", "out"])
def test_keep_leaves_answers_and_what_is_named(data, files: Path, tmp_path: Path, name: str):
    target = group_parquet(files, tmp_path / name, TABLES, keep=["note", "admission_id"], batch=BATCH)
    answers = [name for name in group(data[1], TABLES).columns if name not in data[1].columns]
    assert set(rows_of(target).columns) == {"note", "admission_id", "drg", *answers}
    assert_frame_equal(rows_of(target), group(data[1], TABLES).select(rows_of(target).columns))
    with pytest.raises(InputError, match=r"keep names 'nots', which .* lacks. Did you mean 'note'"):
        group_parquet(files, tmp_path / name, TABLES, keep=["nots"])


@pytest.mark.parametrize("name", ["out.parquet", "out"])
def test_no_rows_in_no_rows_out(data, tmp_path: Path, name: str):
    data[1].clear().write_parquet(tmp_path / "none.parquet")
    target = price_parquet(tmp_path / "none.parquet", tmp_path / name, data[0], RATES, tables=TABLES)
    assert_frame_equal(rows_of(target), price(group(data[1].clear(), TABLES), data[0], RATES))


def test_batches_cover_all_rows_in_order(data, files: Path):
    rows = ParquetSource.open(files)
    assert rows.height == ROWS
    for size in (1_000, 290, 7_000):
        for start in (0, 1, 290, 2_999):
            found = list(rows.batches(size, start))
            assert [len(one) for one in found[:-1]] == [size] * (len(found) - 1)
            assert_frame_equal(pl.concat(found), data[1][start:])


def test_a_fingerprint_is_of_contents_not_names(files: Path, tmp_path: Path):
    listed = sorted(files.iterdir())
    moved = tmp_path / "moved.parquet"
    moved.write_bytes(listed[0].read_bytes())
    assert ParquetSource.open([moved, *listed[1:]]).fingerprint() == ParquetSource.open(files).fingerprint()
    assert ParquetSource.open(listed[::-1]).fingerprint() != ParquetSource.open(files).fingerprint()


PEAK = """
import re, sys
from pathlib import Path
import polars as pl
from drgsim import Rates, TableSet
from drgsim.scale.parquet import price_parquet, simulate_parquet
from drgsim.miscoding.scenarios import Scenario
folder, tables, rates = Path(sys.argv[1]), TableSet.load("43.1"), Rates.load(2026)
how = {"hospitals": pl.read_parquet(folder / "hospitals.parquet"), "rates": rates, "tables": tables, "batch": 20_000}
if sys.argv[2] == "simulate":
    simulate_parquet(folder / f"{sys.argv[3]}.parquet", folder / f"run {sys.argv[3]}", Scenario.load("illustration"),
                     replicates=2, seed=1, **how)
else:
    price_parquet(folder / f"{sys.argv[3]}.parquet", folder / f"{sys.argv[3]} {sys.argv[2]}", **how)
print(int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of a process is read from /proc")
@pytest.mark.parametrize(
    "what", ["out.parquet", *(pytest.param(what, marks=pytest.mark.slow) for what in ("out", "simulate"))]
)
def test_memory_does_not_grow_with_the_rows(what: str, tmp_path: Path):
    hospitals, admissions = generate(40_000, seed=1, tables=TABLES)
    hospitals.write_parquet(tmp_path / "hospitals.parquet")
    ids, copies = pl.col("admission_id"), {"few": 4, "many": 12}
    for name, count in copies.items():
        tiles = [admissions.lazy().with_columns(ids + 40_000 * copy) for copy in range(count)]
        pl.concat(tiles).sink_parquet(tmp_path / f"{name}.parquet", row_group_size=20_000)
    peaks = {}
    for name in copies:
        command = [sys.executable, "-c", PEAK, str(tmp_path), what, name]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
        peaks[name] = float(done.stdout)
    assert peaks["many"] < peaks["few"] + 150, peaks  # in memory, 320,000 more admissions take 400 MiB


def scenario() -> Scenario:
    """Errors that clash, differ between hospitals and coders, and are refused at times."""
    clustered = SdxOmit(name="missed", mcc=0.2, cc=0.2, other=0.02, hospital_sd=1.0, coder_sd=0.5)
    return Scenario.load("illustration") + Scenario(title="more", errors=(clustered, SdxAddUnsupported(mcc=0.1)))


BY = ["mdc", "hospital_id", ("severity", "error"), ("billed_drg",), "error"]
HOW = {"tables": TABLES, "rates": RATES, "replicates": 12, "seed": 3}


@pytest.fixture(scope="module")
def in_memory(data):
    return simulate(data[1], scenario(), hospitals=data[0], ledger=True, **HOW)


@pytest.mark.parametrize("batch", [BATCH, 1, ROWS * 2], ids=["some", "one", "all"])
def test_a_simulation_in_parts_is_that_of_the_whole(data, files: Path, tmp_path: Path, in_memory, batch: int):
    source = files
    if batch == 1:  # admissions one by one: the first twenty
        data[1].head(20).write_parquet(source := tmp_path / "few.parquet")
        in_memory = simulate(data[1].head(20), scenario(), hospitals=data[0], ledger=True, **HOW)
    given = {"hospitals": data[0], "by": BY, "ledger": True, "batch": batch, **HOW}
    result = simulate_parquet(source, tmp_path / "run", scenario(), **given)
    assert in_memory.totals["drg_changes"].sum() > 0
    assert result.priced_by == in_memory.priced_by
    assert (result.version, result.seed, result.replicates) == ("43.1", 3, 12)
    assert result.payment_usd == in_memory.payment_usd
    assert_same_tables(result, in_memory, BY)
    assert_frame_equal(result.by("error", "severity"), in_memory.by("error", "severity"), check_exact=True)
    assert result.over_hospitals() == in_memory.over_hospitals()
    ledger = pl.read_parquet(tmp_path / "run" / "ledger-*.parquet")
    order = ["replicate", "admission_id", "field", "place", "error"]
    assert_frame_equal(ledger.sort(order), in_memory.ledger.sort(order))


def test_bills_returned_for_edits_in_parts_are_those_of_the_whole(data, files: Path, tmp_path: Path):
    whole = simulate(data[1], scenario(), hospitals=data[0], edits="returned", **HOW)
    given = {"hospitals": data[0], "by": BY, "batch": BATCH, **HOW}
    result = simulate_parquet(files, tmp_path / "run", scenario(), edits="returned", **given)
    assert whole.totals["returned_for_edits"].sum() > 0
    assert_same_tables(result, whole, BY)
    with pytest.raises(InputError, match="edits"):
        simulate_parquet(files, tmp_path / "run", scenario(), **given)


def test_a_merged_result_is_saved_and_refuses_columns_not_named(data, files: Path, tmp_path: Path):
    result = simulate_parquet(files, tmp_path / "run", scenario(), hospitals=None, by=[("mdc", "severity")], **HOW)
    with pytest.raises(InputError, match=r"not grouped by hospital_id, but by mdc and severity\. Name it in `by`"):
        result.by("hospital_id")
    for name in ("admissions", "changed_claims", "attribution", "ledger"):
        with pytest.raises(InputError, match="keeps sums, not single claims"):
            getattr(result, name)
    loaded = load_simulation(result.save(tmp_path / "saved"))
    assert_same_tables(loaded, result, [("mdc", "severity")])
    assert loaded.priced_by == result.priced_by == "weight times a base rate"
    assert (loaded.seed, loaded.replicates, str(loaded)) == (3, 12, str(result))
    assert result.run_id in (tmp_path / "saved" / "run.json").read_text()
    for name in ("summary", "errors", "transitions"):
        assert_frame_equal(pl.read_parquet(tmp_path / "saved" / f"{name}.parquet"), getattr(result, name)())


def test_no_admissions_no_change(data, tmp_path: Path):
    data[1].clear().write_parquet(tmp_path / "none.parquet")
    result = simulate_parquet(tmp_path / "none.parquet", tmp_path / "run", scenario(), hospitals=data[0], **HOW)
    assert result.totals.height == 12
    assert result.totals["net"].sum() == 0
    assert result.transitions().is_empty()


@pytest.mark.parametrize(
    ("change", "error", "reported"),
    [
        ({"by": "mdc"}, InputError, "by is 'mdc', expected a list of columns"),
        ({"by": ["ward"]}, InputError, "no column 'ward'"),
        ({"batch": 0}, InputError, "batch is 0, expected a number of rows from 1"),
        ({"replicates": 0}, InputError, "replicates is 0"),
        ({"edits": "return"}, InputError, "Did you mean 'returned'"),
        ({"tables": "43.1"}, InputError, "expected a TableSet"),
    ],
)
def test_arguments_that_cannot_be_are_refused_before_anything_is_written(
    data, files: Path, tmp_path: Path, change, error, reported: str
):
    with pytest.raises(error, match=reported):
        simulate_parquet(files, tmp_path / "run", scenario(), **{"hospitals": data[0], **HOW, **change})
    assert not (tmp_path / "run").exists()


def test_columns_are_checked_before_anything_is_written(data, files: Path, tmp_path: Path):
    data[1].drop("pdx").write_parquet(tmp_path / "in.parquet")
    for name in ("out.parquet", "out"):
        with pytest.raises(SchemaError, match="admissions lack 1 column: pdx"):
            group_parquet(tmp_path / "in.parquet", tmp_path / name, TABLES)
        with pytest.raises(UnknownVersionError, match="neither a grouper version"):
            group_parquet(files, tmp_path / name, version="44.7")
        assert not (tmp_path / name).exists()
