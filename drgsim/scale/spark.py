"""Group, price and simulate Spark frames: the same engine, by `mapInArrow` over partitions.

`group` and `price` add columns to each row; `simulate` reduces every partition to whole numbers and adds these up, so
its result equals that of one machine, whatever the partitions. Driver and workers need `pip install drgsim[spark]`.

Columns that the engine does not use pass through unchanged. Whole numbers are INT, categories are STRING.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from drgsim.exceptions import InputError, SchemaError, TableError
from drgsim.grouping.grouper import group as group_frame
from drgsim.miscoding.scenarios import Scenario
from drgsim.pricing.contracts import PriceTerms
from drgsim.pricing.pricer import price as price_frame
from drgsim.pricing.pricer_input import PRICED
from drgsim.scale.parquet_source import BATCH as SIMULATION_BATCH
from drgsim.scale.spark_worker import BATCH, Batches, PickledWork, gather_batches
from drgsim.schema import ADMISSIONS, DETAIL, GROUPED, HOSPITALS, PAID
from drgsim.simulation.merged_results import add_tallies, list_breakdowns, merge_tallies, simulate_tally
from drgsim.simulation.result_tables import Columns
from drgsim.simulation.results import Simulation
from drgsim.tables.manifest import MANIFEST, table_folder
from drgsim.tables.table_set import TableSet

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from pyspark.sql.types import StructType


def group(
    admissions: DataFrame,
    tables: TableSet | None = None,
    *,
    version: str | None = None,
    hospital_status: str = "NON_EXEMPT",
    detail: bool = False,
) -> DataFrame:
    """Group the admissions of a Spark frame, as `drgsim.group` does.

    Args:
        admissions: one row an admission, `schema.ADMISSIONS` with `sdx` and `procedures` as arrays of strings; of Spark
            3.5 or 4, classic or Connect.
        tables, version, hospital_status, detail: as in `drgsim.group`. Workers load the tables from their own
            installation, or from the driver's folder where that is not the shipped one, and refuse other tables than
            the driver's.

    Returns:
        The frame with the columns of `schema.GROUPED` (and `schema.DETAIL`) at its end, lazily; it replaces columns of
        these names.

    Raises:
        SchemaError, InputError, UnknownVersionError: as `drgsim.group`; for columns and arguments at once, for values
            when Spark runs.

    >>> group(pl.DataFrame())
    Traceback (most recent call last):
    drgsim.exceptions.SchemaError: admissions must be a Spark DataFrame, found DataFrame of polars.
    """
    used = [*ADMISSIONS.names, *(name for name in (version, hospital_status) if name)]
    made = (*GROUPED.names, *(DETAIL.names if detail else ()))
    how = {"version": version, "hospital_status": hospital_status, "detail": detail}
    return _map_batches(admissions, _GroupingWork(_TableReference.of(tables, version), how), used, made)


def price(
    admissions: DataFrame,
    hospitals: pl.DataFrame,
    rates: PriceTerms,
    *,
    tables: TableSet | None = None,
    version: str | None = None,
    hospital_status: str = "NON_EXEMPT",
) -> DataFrame:
    """Price the admissions of a Spark frame, as `drgsim.price` does.

    Admissions without a DRG are grouped in the same pass.

    Args:
        admissions: one row an admission, with the columns `drgsim.price` takes.
        hospitals: `schema.HOSPITALS`, a Polars frame, which is sent to every worker.
        rates: as in `drgsim.price`.
        tables, version, hospital_status: as in `group`; with tables or version the admissions are grouped first,
            without both they need a column `drg`.

    Returns:
        The frame with the columns of `schema.PAID` (and `schema.GROUPED`) at its end, lazily; it replaces columns of
        these names.

    Raises:
        SchemaError, MissingRateError: as `drgsim.price`, at once.

    >>> from drgsim import Rates
    >>> price(pl.DataFrame(), pl.DataFrame(), Rates.load(2026))
    Traceback (most recent call last):
    drgsim.exceptions.SchemaError: admissions must be a Spark DataFrame, found DataFrame of polars.
    """
    used, made, first = [*PRICED, *GROUPED.names], PAID.names, None
    if tables is not None or version is not None:
        first = _GroupingWork(
            _TableReference.of(tables, version), {"version": version, "hospital_status": hospital_status}
        )
        used = [*used, *ADMISSIONS.names, hospital_status, version or ""]
        made = (*GROUPED.names, *PAID.names)
    return _map_batches(admissions, _PricingWork(first, _select_known_columns(hospitals), rates), used, made)


def simulate(
    admissions: DataFrame,
    scenario: Scenario,
    *,
    tables: TableSet,
    hospitals: pl.DataFrame | None,
    rates: PriceTerms,
    replicates: int = 100,
    seed: int,
    by: Sequence[str | Sequence[str]] = (),
    hospital_status: str | None = None,
    edits: str = "ignored",
) -> Simulation:
    """Bill the admissions of a Spark frame with coding errors, as `drgsim.simulate` does.

    Args:
        admissions: one row an admission, with the columns `simulate` takes; read twice, once to check the ids.
        scenario, tables, hospitals, rates, replicates, seed, hospital_status, edits: as in `simulate`.
        by: columns, or tuples of columns, by which the result can be broken down afterwards (`Simulation.by`).

    Returns:
        A `Simulation` without single claims, on the driver; its tables equal those of `simulate`, number by number,
        for any partitions.

    Raises:
        SchemaError, InputError: as `simulate`; for columns and arguments at once, for values when Spark runs.

    >>> from drgsim import Rates
    >>> simulate(pl.DataFrame(), Scenario.load("empty"), tables=TableSet.load("43.1"), hospitals=None,
    ...          rates=Rates.load(2026), seed=1)
    Traceback (most recent call last):
    drgsim.exceptions.SchemaError: admissions must be a Spark DataFrame, found DataFrame of polars.
    """
    _check_spark_frame(admissions)
    columns = list_breakdowns(by)
    how = {"rates": rates, "replicates": replicates, "seed": seed, "hospital_status": hospital_status, "edits": edits}
    work = _SimulationWork(scenario, columns, _TableReference.of(tables, None), _select_known_columns(hospitals), how)
    nothing = _empty_frame(admissions, admissions.columns)
    first = work.tally(nothing)  # wrong columns or arguments raise here, before Spark runs
    _refuse_repeated(admissions)
    schema = ", ".join(f"`{name}` binary" for name in first)
    found = admissions.mapInArrow(_pickle_work(work), schema).collect()
    parts = [first, *({name: _unpack(row[name]) for name in first} for row in found)]
    return merge_tallies(parts, columns, scenario, version=tables.version, seed=seed)


# ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _TableReference:
    """A grouper version by name; workers load it and check that it is the driver's."""

    version: str | None
    folder: str | None
    sha256: str

    @classmethod
    def of(cls, tables: TableSet | None, version: str | None) -> _TableReference:
        if tables is not None and version is not None:
            raise InputError("give either tables or version, not both.")
        if tables is not None and not isinstance(tables, TableSet):
            raise InputError(f"tables is {tables!r}, expected a TableSet: TableSet.load({str(tables)!r}).")
        shipped = table_folder()
        folder = shipped if tables is None else tables.folder
        named = None if folder == shipped else str(folder)
        return cls(None if tables is None else tables.version, named, _hash_manifest(folder))

    def load(self) -> TableSet | None:
        folder = table_folder(self.folder)
        if _hash_manifest(folder) != self.sha256:
            raise TableError(f"{folder}: are not the driver's tables; install the same drgsim on driver and workers.")
        return None if self.version is None else TableSet.load(self.version, folder=self.folder)


@dataclass(frozen=True)
class _GroupingWork:
    tables: _TableReference
    how: dict[str, Any]

    @cached_property
    def _loaded(self) -> TableSet | None:
        return self.tables.load()

    def __call__(self, frame: pl.DataFrame) -> pl.DataFrame:
        return group_frame(frame, self._loaded, **self.how)

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without the loaded tables."""
        return {"tables": self.tables, "how": self.how}


@dataclass(frozen=True)
class _PricingWork:
    grouped: _GroupingWork | None
    hospitals: pl.DataFrame | None
    rates: PriceTerms

    def __call__(self, frame: pl.DataFrame) -> pl.DataFrame:
        assert self.hospitals is not None
        return price_frame(
            frame if self.grouped is None else self.grouped(frame), self.hospitals, self.rates, threads=1
        )


@dataclass(frozen=True)
class _BatchWork:
    """Work that adds answers to each batch; columns it does not use stay in Arrow."""

    answers: Callable[[pl.DataFrame], pl.DataFrame]
    used: list[str]
    made: list[str]
    kept: list[str]
    columns: list[Any] = field(repr=False)

    def __call__(self, batches: Batches) -> Batches:
        import pyarrow as pa

        for table in gather_batches(batches, BATCH):
            found = self.answers(_to_polars(table.select(self.used)))
            plain = found.select(_cast_for_spark(found.schema[name], name) for name in self.made)
            answers = plain.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(pa.schema(self.columns))
            for name in self.kept[::-1]:  # mapInArrow matches columns by position alone
                answers = answers.add_column(0, table.schema.field(name), table[name])
            yield from answers.combine_chunks().to_batches()


@dataclass(frozen=True)
class _SimulationWork:
    """Work that simulates a partition: one row, with one column for each table of whole numbers."""

    scenario: Scenario
    columns: tuple[Columns, ...]
    tables: _TableReference
    hospitals: pl.DataFrame | None
    how: dict[str, Any]

    def tally(self, admissions: pl.DataFrame) -> dict[str, pl.DataFrame]:
        tables = self.tables.load()
        assert tables is not None
        return simulate_tally(
            admissions, self.scenario, self.columns, tables=tables, hospitals=self.hospitals, **self.how
        )

    def __call__(self, batches: Batches) -> Batches:
        import pyarrow as pa

        parts = (self.tally(_to_polars(table)) for table in gather_batches(batches, SIMULATION_BATCH))
        if (first := next(parts, None)) is not None:
            total = add_tallies(chain([first], parts), self.columns)
            content = [pa.array([_pack(table)], pa.binary()) for table in total.values()]
            yield pa.RecordBatch.from_arrays(content, names=list(total))


def _map_batches(
    frame: DataFrame, answers: Callable[[pl.DataFrame], pl.DataFrame], used: Sequence[str], made: Sequence[str]
) -> DataFrame:
    """Return the frame with the answers as last columns, lazily."""
    _check_spark_frame(frame)
    names = [name for name in dict.fromkeys(used) if name in frame.columns]
    kept = [name for name in frame.columns if name not in made]
    found = answers(_empty_frame(frame, names))  # wrong columns raise here
    fields = [_arrow_field(found.schema[name], name) for name in made]
    work = _BatchWork(answers, names, list(made), kept, fields)
    return frame.mapInArrow(_pickle_work(work), _build_schema(frame, kept, fields))


def _check_spark_frame(frame: object) -> None:
    if not hasattr(frame, "mapInArrow"):
        home = type(frame).__module__.partition(".")[0]
        raise SchemaError(f"admissions must be a Spark DataFrame, found {type(frame).__name__} of {home}.")


def _pickle_work(work: Callable[[Batches], Batches]) -> Callable[[Batches], Batches]:
    from pyspark import cloudpickle

    pickled: Callable[[object], bytes] = cloudpickle.dumps
    return PickledWork(pickled(work)).__call__


def _build_schema(frame: DataFrame, kept: Sequence[str], fields: Sequence[Any]) -> StructType:
    from pyspark.sql.pandas.types import from_arrow_type
    from pyspark.sql.types import StructField, StructType

    new = [StructField(one.name, from_arrow_type(one.type), nullable=True) for one in fields]
    return StructType([*(frame.schema[name] for name in kept), *new])


def _empty_frame(frame: DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """Return a Polars frame with columns of a Spark frame and no row.

    Raises:
        SchemaError: a column has a type that Arrow lacks.
    """
    import pyarrow as pa
    from pyspark.errors import PySparkException
    from pyspark.sql.pandas.types import to_arrow_type

    fields = []
    for name in names:
        try:
            fields.append(pa.field(name, to_arrow_type(frame.schema[name].dataType)))
        except (PySparkException, TypeError) as error:
            found = frame.schema[name].dataType.simpleString()
            raise SchemaError(f"column {name} is {found}, a type that Arrow lacks; leave the column out.") from error
    return _to_polars(pa.schema(fields).empty_table())


def _to_polars(table: Any) -> pl.DataFrame:
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame


def _arrow_field(dtype: pl.DataType, name: str) -> Any:
    """Return the Arrow field of an answer, in a type that Spark has."""
    import pyarrow as pa

    if isinstance(dtype, pl.List):
        inner = pl.Series(dtype=dtype).explode(empty_as_null=False, keep_nulls=False).dtype
        return pa.field(name, pa.list_(_arrow_field(inner, name).type))
    if dtype.is_integer():
        return pa.field(name, pa.int32())
    if dtype == pl.Boolean:
        return pa.field(name, pa.bool_())
    return pa.field(name, pa.float64() if dtype.is_float() else pa.string())


def _cast_for_spark(dtype: pl.DataType, name: str) -> pl.Expr:
    """Return an answer in a type that Spark has: no unsigned numbers, no categories."""
    if dtype.is_integer():
        return pl.col(name).cast(pl.Int32)
    return pl.col(name).cast(pl.String) if isinstance(dtype, pl.Enum) else pl.col(name)


def _select_known_columns(hospitals: pl.DataFrame | None) -> pl.DataFrame | None:
    """Return the hospitals with the columns of HOSPITALS alone."""
    if not isinstance(hospitals, pl.DataFrame):
        return hospitals
    return hospitals.select(name for name in HOSPITALS.names if name in hospitals.columns)


def _refuse_repeated(admissions: DataFrame) -> None:
    """Check that the ids of all partitions are distinct.

    Raises:
        InputError: an id is missing or repeated.
    """
    counts = admissions.groupBy("admission_id").count()
    wrong = counts.filter("admission_id is null or count > 1").limit(1).collect()
    if wrong:
        problem = "is missing" if wrong[0]["admission_id"] is None else "comes more than once"
        raise InputError(f"an admission_id {problem}; draws are keyed by it. Number the admissions.")


def _pack(table: pl.DataFrame) -> bytes:
    content = BytesIO()
    table.write_ipc(content)
    return content.getvalue()


def _unpack(content: bytes) -> pl.DataFrame:
    return pl.read_ipc(BytesIO(content))


def _hash_manifest(folder: Path) -> str:
    return hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()
