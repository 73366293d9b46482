"""Spark frames give what frames give; skipped where PySpark is not installed (`pip install drgsim[spark]`)."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from drgsim import Rates, TableSet, generate, group, price
from drgsim.exceptions import InputError, SchemaError
from drgsim.miscoding.diagnosis_errors import InvalidCode, SdxAddUnsupported, SdxOmit
from drgsim.miscoding.scenarios import Scenario
from drgsim.scale.spark_worker import PickledWork, gather_batches
from drgsim.simulation.simulator import simulate
from tests.support.made import assert_same_tables

pytest.importorskip("pyspark", reason="Spark is optional: pip install drgsim[spark]")
pa = pytest.importorskip("pyarrow", reason="Spark is optional: pip install drgsim[spark]")

from pyspark import cloudpickle  # noqa: E402
from pyspark.sql import SparkSession  # noqa: E402
from pyspark.sql import functions as F  # noqa: E402, N812

from drgsim.scale import spark  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # PySpark's own

ROOT = Path(__file__).parents[2]
ROWS = 3_000
TABLES, RATES = TableSet.load("43.1"), Rates.load(2026)
ERRORS = Scenario(
    title="missed and added",
    errors=(SdxOmit(mcc=0.3, cc=0.3, hospital_sd=1.0, coder_sd=0.5), SdxAddUnsupported(mcc=0.1)),
)
HOW = {"tables": TABLES, "rates": RATES, "replicates": 6, "seed": 5}
BY = ["mdc", "hospital_id", ("severity", "error"), "billed_drg"]


def session() -> SparkSession:
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    os.environ["PYSPARK_PYTHON"] = sys.executable
    builder = SparkSession.builder.config("spark.ui.enabled", "false").config("spark.sql.shuffle.partitions", "4")
    remote = os.environ.get("DRGSIM_SPARK_REMOTE")
    return (builder.remote(remote) if remote else builder.master("local[2]")).getOrCreate()


@pytest.fixture(scope="module")
def cluster() -> Iterator[SparkSession]:
    """Two workers; a Connect server instead where DRGSIM_SPARK_REMOTE names one."""
    made = session()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def data() -> tuple[pl.DataFrame, pl.DataFrame]:
    """Hospitals, and admissions as Spark can read them: it knows no unsigned numbers."""
    hospitals, admissions = generate(ROWS, seed=7, tables=TABLES)
    return hospitals, admissions.with_columns(pl.col("admission_id").cast(pl.Int64), note=pl.lit("x"))


@pytest.fixture(scope="module")
def frame(cluster: SparkSession, data, tmp_path_factory: pytest.TempPathFactory):
    """The admissions in five partitions, with columns the engine has no use for."""
    path = tmp_path_factory.mktemp("spark") / "admissions.parquet"
    data[1].write_parquet(path)
    read = cluster.read.parquet(str(path)).repartition(5)
    return read.withColumn("amount", F.lit("1.25").cast("decimal(12,2)")).withColumn("m", F.create_map("note", "age"))


def local(found) -> pl.DataFrame:
    """A Spark frame as Polars has it, by id."""
    columns = [name for name in found.columns if name not in ("m", "amount")]
    rows = found.select(*columns).collect()
    return pl.DataFrame([row.asDict() for row in rows], infer_schema_length=None).sort("admission_id")


def plain(frame: pl.DataFrame) -> pl.DataFrame:
    """A frame as it comes back from Spark: signed numbers, categories as text."""
    kinds = {pl.Enum: pl.String}
    return frame.with_columns(pl.col(name).cast(pl.String) for name, kind in frame.schema.items() if kind in kinds)


def assert_same(found: pl.DataFrame, expected: pl.DataFrame) -> None:
    expected = plain(expected).sort("admission_id")
    assert set(found.columns) == set(expected.columns)
    assert_frame_equal(found.select(expected.columns), expected, check_dtypes=False, check_exact=True)


def test_grouped_and_priced_as_in_memory(frame, data):
    grouped = spark.group(frame, TABLES)
    assert_same(local(grouped), group(data[1], TABLES))
    kinds = dict(grouped.dtypes)
    assert (kinds["drg"], kinds["mdc"], kinds["drg_type"], kinds["return_code"]) == ("int", "int", "string", "string")
    assert (kinds["amount"], kinds["m"], kinds["admission_id"]) == ("decimal(12,2)", "map<string,int>", "bigint")
    assert str(grouped.select("amount").first()[0]) == "1.25"
    assert grouped.select("m").first()[0].keys() == {"x"}
    paid = spark.price(grouped, data[0], RATES)
    assert_same(local(paid), price(group(data[1], TABLES), data[0], RATES))
    assert dict(paid.dtypes)["total_usd"] == "double"
    assert_same(local(spark.price(frame, data[0], RATES, tables=TABLES)), plain_paid(data))
    assert_same(local(spark.group(paid.drop("m"), version="43.0")), group(plain_paid(data), version="43.0"))


def plain_paid(data) -> pl.DataFrame:
    return price(group(data[1], TABLES), data[0], RATES)


def test_columns_go_by_name_whatever_their_order(frame, data):
    backwards = frame.select(*reversed(frame.columns))
    assert_same(local(spark.group(backwards, TABLES)), group(data[1], TABLES))


def test_versions_by_date_and_detail(frame, data):
    assert_same(local(spark.group(frame, detail=True)), group(data[1], detail=True))


@pytest.mark.parametrize("partitions", [1, 7])
def test_simulated_as_in_memory_whatever_the_partitions(frame, data, partitions: int):
    truth = simulate(data[1], ERRORS, hospitals=data[0], **HOW)
    assert truth.totals["drg_changes"].sum() > 0
    result = spark.simulate(frame.repartition(partitions), ERRORS, hospitals=data[0], by=BY, **HOW)
    assert result.replicates == 6
    assert_same_tables(result, truth, BY)


def test_bills_returned_for_edits_as_in_memory(frame, data):
    mistyped = Scenario(title="Mistyped secondary diagnoses", errors=(InvalidCode(sdx=0.05),))
    truth = simulate(data[1], mistyped, hospitals=data[0], edits="returned", **HOW)
    assert truth.totals["returned_for_edits"].sum() > 0
    result = spark.simulate(frame.repartition(3), mistyped, hospitals=data[0], by=BY, edits="returned", **HOW)
    assert_same_tables(result, truth, BY)


def test_partitions_without_a_row(frame, data):
    few = frame.filter("admission_id <= 2").repartition(8)
    assert local(spark.group(few, TABLES)).height == 2
    one = spark.simulate(few, ERRORS, hospitals=data[0], **HOW)
    truth = simulate(data[1].filter(pl.col("admission_id") <= 2), ERRORS, hospitals=data[0], **HOW)
    assert_frame_equal(one.totals, truth.totals)
    none = spark.simulate(frame.filter("admission_id < 0"), ERRORS, hospitals=data[0], **HOW)
    assert none.totals["net"].to_list() == [0] * 6


def test_what_is_wrong_is_said_at_once(frame, data):
    with pytest.raises(SchemaError, match="admissions lack 1 column: pdx"):
        spark.group(frame.drop("pdx"), TABLES)
    with pytest.raises(SchemaError, match="pdx is Int32, expected String"):
        spark.group(frame.withColumn("pdx", F.lit(1)), TABLES)
    with pytest.raises(SchemaError, match="admissions must be a Spark DataFrame, found DataFrame of polars"):
        spark.group(data[1], TABLES)
    with pytest.raises(InputError, match="give either tables or version"):
        spark.group(frame, TABLES, version="43.1")
    with pytest.raises(SchemaError, match="hospitals"):
        spark.price(spark.group(frame, TABLES), data[0].drop("hospital_id"), RATES)
    with pytest.raises(InputError, match="no column 'ward'"):
        spark.simulate(frame, ERRORS, hospitals=data[0], by=["ward"], **HOW)


def test_ids_of_several_partitions_are_held_apart(frame, data):
    twice = frame.union(frame.filter("admission_id = 7"))
    with pytest.raises(InputError, match="an admission_id comes more than once"):
        spark.simulate(twice, ERRORS, hospitals=data[0], **HOW)
    missing = frame.withColumn("admission_id", F.expr("nullif(admission_id, 9)"))
    with pytest.raises(InputError, match="an admission_id is missing"):
        spark.simulate(missing, ERRORS, hospitals=data[0], **HOW)


def test_a_worker_with_other_tables_refuses(frame, data, monkeypatch):
    monkeypatch.setattr(spark, "_hash_manifest", lambda _folder: "0" * 64)
    grouped = spark.group(frame.limit(5), TABLES)
    with pytest.raises(Exception, match="are not the driver's tables; install the same drgsim"):
        grouped.collect()


def test_workers_use_one_thread_each(frame):
    def threads(batches):
        import polars

        for batch in batches:
            counts = pa.array([polars.thread_pool_size()] * batch.num_rows, pa.int32())
            yield pa.RecordBatch.from_arrays([counts], names=["threads"])

    work = PickledWork(cloudpickle.dumps(threads)).__call__
    found = {row["threads"] for row in frame.select("age").mapInArrow(work, "threads int").collect()}
    assert found == {int(os.environ.get("POLARS_MAX_THREADS", "1"))}


def test_tables_are_loaded_once_a_worker(frame):
    """Twelve partitions in two workers: no worker opens the work or reads the tables a second time."""

    def counted(batches):
        import os as system

        from drgsim.scale.spark_worker import _open_pickle
        from drgsim.tables import table_set as tables

        list(batches)
        before = tables._load.cache_info().misses
        tables.TableSet.load("42.1")
        loaded = tables._load.cache_info().misses - before
        row = [system.getpid(), _open_pickle.cache_info().misses, loaded]
        columns = [pa.array([value], pa.int64()) for value in row]
        yield pa.RecordBatch.from_arrays(columns, names=["worker", "opened", "loaded"])

    work = PickledWork(cloudpickle.dumps(counted)).__call__
    schema = "worker bigint, opened bigint, loaded bigint"
    found = frame.select("age").repartition(12).mapInArrow(work, schema).collect()
    assert len(found) == 12
    workers = {row["worker"] for row in found}
    assert len(workers) < 12
    for worker in workers:
        own = [row for row in found if row["worker"] == worker]
        assert sum(row["loaded"] for row in own) == 1
        assert len({row["opened"] for row in own}) == 1


def test_small_batches_are_joined():
    batches = [pa.RecordBatch.from_arrays([pa.array(range(i), pa.int64())], names=["a"]) for i in (4, 4, 0, 9, 1)]
    tables = list(gather_batches(iter(batches), 8))
    assert [table.num_rows for table in tables] == [8, 9, 1]
    assert pa.concat_tables(tables).equals(pa.Table.from_batches(batches))
    assert list(gather_batches(iter([]), 8)) == []


@pytest.mark.slow
def test_the_same_over_connect():
    """The tests above once more, against a Spark Connect server."""
    pytest.importorskip("grpc", reason="Connect is optional: pip install pyspark[connect]")
    if os.environ.get("DRGSIM_SPARK_REMOTE"):
        pytest.skip("this is the run over Connect")
    command = [sys.executable, "-m", "pytest", __file__, "-q", "-p", "no:cacheprovider"]
    environment = {**os.environ, "DRGSIM_SPARK_REMOTE": "local[2]"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3_000:]
    assert "passed" in done.stdout
    assert "failed" not in done.stdout


@pytest.mark.slow
def test_a_million_admissions(cluster: SparkSession, tmp_path: Path):
    """Spark, files and memory agree on a million admissions, simulation included."""
    from drgsim.scale.parquet import price_parquet, simulate_parquet

    hospitals, admissions = generate(1_000_000, seed=1, tables=TABLES)
    admissions = admissions.with_columns(pl.col("admission_id").cast(pl.Int64))
    admissions.write_parquet(tmp_path / "in.parquet")
    paid = price(group(admissions, TABLES), hospitals, RATES)
    target = price_parquet(tmp_path / "in.parquet", tmp_path / "out.parquet", hospitals, RATES, tables=TABLES)
    assert_frame_equal(pl.read_parquet(target), paid, check_exact=True)
    read = cluster.read.parquet(str(tmp_path / "in.parquet")).repartition(9)
    spark.price(spark.group(read, TABLES), hospitals, RATES).write.parquet(str(tmp_path / "spark"))
    found = pl.read_parquet(tmp_path / "spark" / "*.parquet").sort("admission_id")
    assert_frame_equal(found.select(paid.columns), plain(paid), check_dtypes=False, check_exact=True)
    truth = simulate(admissions, ERRORS, hospitals=hospitals, **HOW)
    in_parts = simulate_parquet(tmp_path / "in.parquet", tmp_path / "run", ERRORS, hospitals=hospitals, by=BY, **HOW)
    in_spark = spark.simulate(read, ERRORS, hospitals=hospitals, by=BY, **HOW)
    for result in (in_parts, in_spark):
        assert_same_tables(result, truth, BY)


def test_ids_of_64_bits_are_decimals_in_spark(cluster: SparkSession, data, tmp_path: Path):
    """`generate` makes UInt64 ids, which Spark reads from Parquet as Decimal(20, 0): taken, and given back."""
    admissions = data[1].with_columns(admission_id=pl.col("admission_id").cast(pl.UInt64) + 2**63).drop("note")
    admissions.write_parquet(tmp_path / "in.parquet")
    read = cluster.read.parquet(str(tmp_path / "in.parquet"))
    assert read.schema["admission_id"].dataType.simpleString() == "decimal(20,0)"
    grouped = spark.group(read, TABLES)
    grouped.write.parquet(str(tmp_path / "out"))
    found = pl.read_parquet(tmp_path / "out" / "*.parquet")
    assert found.schema["admission_id"] == pl.Decimal(20, 0)
    truth = group(admissions, TABLES)
    ids = found.with_columns(pl.col("admission_id").cast(pl.UInt64)).sort("admission_id")
    assert ids.select("admission_id", pl.col("drg").cast(pl.UInt16)).equals(
        truth.select("admission_id", "drg").sort("admission_id")
    )
    how = {**HOW, "hospitals": data[0]}
    result = spark.simulate(read, ERRORS, by=["mdc"], **how)
    in_memory = simulate(admissions, ERRORS, **how)
    assert result.run_id == in_memory.run_id
    assert_frame_equal(result.by("mdc"), in_memory.by("mdc"), check_exact=True)
    again = group(found.drop("drg"), TABLES)  # what Spark wrote is read by the engine, too
    assert again.select("drg").equals(found.select(pl.col("drg").cast(pl.UInt16)))
