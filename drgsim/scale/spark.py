"""Grouping, pricing and simulation of Spark frames: `mapInArrow` over partitions, the engine as it is everywhere.

`group` and `price` add columns row by row; `simulate` reduces every partition to whole numbers and adds these up, so
its result is that of one machine, whatever the partitions. Needs `pip install drgsim[spark]` on driver and workers.

Columns that the engine does not use pass through untouched. Answers come as Spark has them: whole numbers as INT,
categories as STRING.
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
from drgsim.pricing.pricer import price as price_frame
from drgsim.pricing.pricer_input import PRICED
from drgsim.pricing.rates import Rates
from drgsim.scale.parquet_source import BATCH as SIMULATED
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
        admissions: a row an admission, `schema.ADMISSIONS` with `sdx` and `procedures` as arrays of strings; of Spark
            3.5 or 4, classic or Connect.
        tables, version, hospital_status, detail: as in `drgsim.group`. Workers load the tables from their own
            installation, or from the same folder if they are one's own, and refuse others than the driver's.

    Returns:
        The frame with the columns of `schema.GROUPED` (and `schema.DETAIL`) at its end, lazily; columns of these names
        are replaced.

    Raises:
        SchemaError, InputError, UnknownVersionError: as `drgsim.group`, at once where the columns tell, otherwise
            from Spark when it runs.

    >>> group(pl.DataFrame())
    Traceback (most recent call last):
    drgsim.exceptions.SchemaError: admissions must be a Spark DataFrame, found DataFrame of polars.
    """
    used = [*ADMISSIONS.names, *(name for name in (version, hospital_status) if name)]
    made = (*GROUPED.names, *(DETAIL.names if detail else ()))
    how = {"version": version, "hospital_status": hospital_status, "detail": detail}
    return _mapped(admissions, _Grouping(_Tables.of(tables, version), how), used, made)


def price(
    admissions: DataFrame,
    hospitals: pl.DataFrame,
    rates: Rates | Sequence[Rates],
    *,
    tables: TableSet | None = None,
    version: str | None = None,
    hospital_status: str = "NON_EXEMPT",
) -> DataFrame:
    """Price the admissions of a Spark frame, as `drgsim.price` does; ungrouped ones in the same pass.

    Args:
        admissions: a row an admission, with the columns `drgsim.price` takes.
        hospitals: `schema.HOSPITALS`, a Polars frame, which goes to every worker.
        rates: as in `drgsim.price`.
        tables, version, hospital_status: as in `group`; with tables or version the admissions are grouped first,
            without either they have their `drg`.

    Returns:
        The frame with the columns of `schema.PAID` (and `schema.GROUPED`) at its end, lazily; columns of these names
        are replaced.

    Raises:
        SchemaError, MissingRateError: as `drgsim.price`, at once.

    >>> price(pl.DataFrame(), pl.DataFrame(), Rates.load(2026))
    Traceback (most recent call last):
    drgsim.exceptions.SchemaError: admissions must be a Spark DataFrame, found DataFrame of polars.
    """
    used, made, first = [*PRICED, *GROUPED.names], PAID.names, None
    if tables is not None or version is not None:
        first = _Grouping(_Tables.of(tables, version), {"version": version, "hospital_status": hospital_status})
        used = [*used, *ADMISSIONS.names, hospital_status, version or ""]
        made = (*GROUPED.names, *PAID.names)
    return _mapped(admissions, _Pricing(first, _sendable(hospitals), rates), used, made)


def simulate(
    admissions: DataFrame,
    scenario: Scenario,
    *,
    tables: TableSet,
    hospitals: pl.DataFrame | None,
    rates: Rates | Sequence[Rates],
    replicates: int = 100,
    seed: int,
    by: Sequence[str | Sequence[str]] = (),
    hospital_status: str | None = None,
) -> Simulation:
    """Bill the admissions of a Spark frame with the errors of a scenario, as `simulate` does.

    Args:
        admissions: a row an admission, of what `simulate` takes; it is read twice, once to hold its ids apart.
        scenario, tables, hospitals, rates, replicates, seed, hospital_status: as in `simulate`.
        by: what the result can be grouped by: columns or tuples of columns, as in `Simulation.by`.

    Returns:
        A `Simulation` on the driver, without single claims, whose tables equal those of `simulate`, number by number,
        for any partitions.

    Raises:
        SchemaError, InputError: as `simulate`, at once where the columns tell, otherwise from Spark when it runs.

    >>> simulate(pl.DataFrame(), Scenario.load("empty"), tables=TableSet.load("43.1"), hospitals=None,
    ...          rates=Rates.load(2026), seed=1)
    Traceback (most recent call last):
    drgsim.exceptions.SchemaError: admissions must be a Spark DataFrame, found DataFrame of polars.
    """
    _is_spark(admissions)
    columns = list_breakdowns(by)
    how = {"rates": rates, "replicates": replicates, "seed": seed, "hospital_status": hospital_status}
    work = _Simulating(scenario, columns, _Tables.of(tables, None), _sendable(hospitals), how)
    nothing = _empty(admissions, admissions.columns)
    first = work.told(nothing)  # whatever is wrong with columns or arguments is raised here, before Spark runs
    _refuse_repeated(admissions)
    schema = ", ".join(f"`{name}` binary" for name in first)
    found = admissions.mapInArrow(_sent(work), schema).collect()
    parts = [first, *({name: _unpacked(row[name]) for name in first} for row in found)]
    return merge_tallies(parts, columns, scenario, version=tables.version, seed=seed)


# ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Tables:
    """A grouper version by name: workers load it once, and hold it against the driver's."""

    version: str | None
    folder: str | None
    sha256: str

    @classmethod
    def of(cls, tables: TableSet | None, version: str | None) -> _Tables:
        if tables is not None and version is not None:
            raise InputError("give either tables or version, not both.")
        if tables is not None and not isinstance(tables, TableSet):
            raise InputError(f"tables is {tables!r}, expected a TableSet: TableSet.load({str(tables)!r}).")
        shipped = table_folder()
        folder = shipped if tables is None else tables.folder
        own = None if folder == shipped else str(folder)
        return cls(None if tables is None else tables.version, own, _manifest_sha256(folder))

    def load(self) -> TableSet | None:
        folder = table_folder(self.folder)
        if _manifest_sha256(folder) != self.sha256:
            raise TableError(f"{folder}: are not the driver's tables; install the same drgsim on driver and workers.")
        return None if self.version is None else TableSet.load(self.version, folder=self.folder)


@dataclass(frozen=True)
class _Grouping:
    tables: _Tables
    how: dict[str, Any]

    @cached_property
    def _loaded(self) -> TableSet | None:
        return self.tables.load()

    def __call__(self, frame: pl.DataFrame) -> pl.DataFrame:
        return group_frame(frame, self._loaded, **self.how)

    def __getstate__(self) -> dict[str, Any]:
        """Leave behind the tables that are loaded."""
        return {"tables": self.tables, "how": self.how}


@dataclass(frozen=True)
class _Pricing:
    grouped: _Grouping | None
    hospitals: pl.DataFrame | None
    rates: Rates | Sequence[Rates]

    def __call__(self, frame: pl.DataFrame) -> pl.DataFrame:
        assert self.hospitals is not None
        return price_frame(
            frame if self.grouped is None else self.grouped(frame), self.hospitals, self.rates, threads=1
        )


@dataclass(frozen=True)
class _Mapping:
    """Answers put beside the columns of each batch; what is not used stays in Arrow as it came."""

    answers: Callable[[pl.DataFrame], pl.DataFrame]
    used: list[str]
    made: list[str]
    kept: list[str]
    columns: list[Any] = field(repr=False)

    def __call__(self, batches: Batches) -> Batches:
        import pyarrow as pa

        for table in gather_batches(batches, BATCH):
            found = self.answers(_polars(table.select(self.used)))
            plain = found.select(_spoken(found.schema[name], name) for name in self.made)
            answers = plain.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(pa.schema(self.columns))
            for name in self.kept[::-1]:  # by position, as mapInArrow goes by the order of columns alone
                answers = answers.add_column(0, table.schema.field(name), table[name])
            yield from answers.combine_chunks().to_batches()


@dataclass(frozen=True)
class _Simulating:
    """A partition simulated: one row, a column a table of whole numbers."""

    scenario: Scenario
    columns: tuple[Columns, ...]
    tables: _Tables
    hospitals: pl.DataFrame | None
    how: dict[str, Any]

    def told(self, admissions: pl.DataFrame) -> dict[str, pl.DataFrame]:
        tables = self.tables.load()
        assert tables is not None
        return simulate_tally(
            admissions, self.scenario, self.columns, tables=tables, hospitals=self.hospitals, **self.how
        )

    def __call__(self, batches: Batches) -> Batches:
        import pyarrow as pa

        parts = (self.told(_polars(table)) for table in gather_batches(batches, SIMULATED))
        if (first := next(parts, None)) is not None:
            total = add_tallies(chain([first], parts), self.columns)
            content = [pa.array([_packed(table)], pa.binary()) for table in total.values()]
            yield pa.RecordBatch.from_arrays(content, names=list(total))


def _mapped(
    frame: DataFrame, answers: Callable[[pl.DataFrame], pl.DataFrame], used: Sequence[str], made: Sequence[str]
) -> DataFrame:
    """Return the frame with answers at its end, lazily."""
    _is_spark(frame)
    names = [name for name in dict.fromkeys(used) if name in frame.columns]
    kept = [name for name in frame.columns if name not in made]
    found = answers(_empty(frame, names))  # whatever is wrong with the columns is raised here
    fields = [_arrow_field(found.schema[name], name) for name in made]
    work = _Mapping(answers, names, list(made), kept, fields)
    return frame.mapInArrow(_sent(work), _schema(frame, kept, fields))


def _is_spark(frame: object) -> None:
    if not hasattr(frame, "mapInArrow"):
        home = type(frame).__module__.partition(".")[0]
        raise SchemaError(f"admissions must be a Spark DataFrame, found {type(frame).__name__} of {home}.")


def _sent(work: Callable[[Batches], Batches]) -> Callable[[Batches], Batches]:
    from pyspark import cloudpickle

    pickled: Callable[[object], bytes] = cloudpickle.dumps
    return PickledWork(pickled(work)).__call__


def _schema(frame: DataFrame, kept: Sequence[str], fields: Sequence[Any]) -> StructType:
    from pyspark.sql.pandas.types import from_arrow_type
    from pyspark.sql.types import StructField, StructType

    new = [StructField(one.name, from_arrow_type(one.type), nullable=True) for one in fields]
    return StructType([*(frame.schema[name] for name in kept), *new])


def _empty(frame: DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """Return the columns of a Spark frame as Polars has them, without a row.

    Raises:
        SchemaError: a column is of a type that Arrow does not have.
    """
    import pyarrow as pa
    from pyspark.errors import PySparkException
    from pyspark.sql.pandas.types import to_arrow_type

    fields = []
    for name in names:
        try:
            fields.append(pa.field(name, to_arrow_type(frame.schema[name].dataType)))
        except (PySparkException, TypeError) as error:
            told = frame.schema[name].dataType.simpleString()
            raise SchemaError(f"column {name} is {told}, which Arrow does not have; leave it out.") from error
    return _polars(pa.schema(fields).empty_table())


def _polars(table: Any) -> pl.DataFrame:
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame


def _arrow_field(dtype: pl.DataType, name: str) -> Any:
    """Return the Arrow field of an answer, of a type that Spark has."""
    import pyarrow as pa

    if isinstance(dtype, pl.List):
        inner = pl.Series(dtype=dtype).explode(empty_as_null=False, keep_nulls=False).dtype
        return pa.field(name, pa.list_(_arrow_field(inner, name).type))
    if dtype.is_integer():
        return pa.field(name, pa.int32())
    if dtype == pl.Boolean:
        return pa.field(name, pa.bool_())
    return pa.field(name, pa.float64() if dtype.is_float() else pa.string())


def _spoken(dtype: pl.DataType, name: str) -> pl.Expr:
    """Return an answer as Spark can take it: no unsigned numbers, no categories."""
    if dtype.is_integer():
        return pl.col(name).cast(pl.Int32)
    return pl.col(name).cast(pl.String) if isinstance(dtype, pl.Enum) else pl.col(name)


def _sendable(hospitals: pl.DataFrame | None) -> pl.DataFrame | None:
    """Return the hospitals without columns that nobody reads."""
    if not isinstance(hospitals, pl.DataFrame):
        return hospitals
    return hospitals.select(name for name in HOSPITALS.names if name in hospitals.columns)


def _refuse_repeated(admissions: DataFrame) -> None:
    """Hold the ids of all partitions apart.

    Raises:
        InputError: one is missing or comes twice.
    """
    counts = admissions.groupBy("admission_id").count()
    wrong = counts.filter("admission_id is null or count > 1").limit(1).collect()
    if wrong:
        problem = "is missing" if wrong[0]["admission_id"] is None else "comes more than once"
        raise InputError(f"an admission_id {problem}; draws are keyed by it. Number the admissions.")


def _packed(table: pl.DataFrame) -> bytes:
    content = BytesIO()
    table.write_ipc(content)
    return content.getvalue()


def _unpacked(content: bytes) -> pl.DataFrame:
    return pl.read_ipc(BytesIO(content))


def _manifest_sha256(folder: Path) -> str:
    return hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()
