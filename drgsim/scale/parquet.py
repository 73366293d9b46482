"""Files larger than memory: the same answers as `group`, `price` and `simulate`, memory flat in the number of rows.

`group_parquet` and `price_parquet` read Parquet and write Parquet, rows in order. A target that ends in .parquet is
one file, written whole or not at all; any other is a folder of parts that a killed run finishes when it is run again.
`simulate_parquet` simulates part by part in such a folder and puts the parts together, exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

import polars as pl

from drgsim.exceptions import InputError, did_you_mean
from drgsim.files.atomic import remove_leftovers, replace_whole
from drgsim.grouping.grouper import group
from drgsim.miscoding.scenarios import Scenario
from drgsim.pricing.pricer import price
from drgsim.pricing.rates import Rates
from drgsim.scale.parquet_source import BATCH, ParquetSource, Where, check_batch_size
from drgsim.scale.resumable_run import PartedRun
from drgsim.schema import DETAIL, GROUPED, PAID
from drgsim.simulation.merged_results import list_breakdowns, merge_tallies, simulate_tally
from drgsim.simulation.progress import progress_bar
from drgsim.simulation.results import Simulation
from drgsim.tables.table_set import TableSet

Answer = TypeVar("Answer")
Work = Callable[[pl.DataFrame], pl.DataFrame]

ROWS = "rows"
"""Parts of a folder are called rows-00000.parquet and so on."""


def group_parquet(
    source: Where | Sequence[Where],
    target: Where,
    tables: TableSet | None = None,
    *,
    version: str | None = None,
    hospital_status: str = "NON_EXEMPT",
    detail: bool = False,
    keep: Sequence[str] | None = None,
    batch: int = BATCH,
) -> Path:
    """Group the admissions of Parquet files into another, as `group` does.

    Args:
        source: a Parquet file, a folder of them, or a list, of `schema.ADMISSIONS`.
        target: a file that ends in .parquet, which is replaced; or a folder for `rows-*.parquet` and a manifest.
        tables, version, hospital_status, detail: as in `group`.
        keep: input columns to write beside the grouper's; by default all.
        batch: rows of a part, or of a row group of the one file.

    Returns:
        The target. Its rows are those of the source, in order; a folder is read by
        ``pl.scan_parquet(target / "rows-*.parquet")``.

    Raises:
        SchemaError, UnknownVersionError: as `group`.
        InputError: also where a file of the source is damaged, or the folder holds another run.
        StorageError: the target cannot be written; the file that stood there still does, or the finished parts.

    >>> from tempfile import TemporaryDirectory
    >>> from drgsim import generate
    >>> tables = TableSet.load("43.1")
    >>> _, admissions = generate(500, seed=1, tables=tables)
    >>> with TemporaryDirectory() as folder:
    ...     admissions.write_parquet(f"{folder}/admissions.parquet")
    ...     target = group_parquet(f"{folder}/admissions.parquet", f"{folder}/grouped.parquet", tables)
    ...     pl.read_parquet(target).equals(group(admissions, tables))
    True
    """
    given = {"verb": "group", "tables": tables, "version": version, "hospital_status": hospital_status}
    work = partial(group, tables=tables, version=version, hospital_status=hospital_status, detail=detail)
    made = (*GROUPED.names, *(DETAIL.names if detail else ()))
    return _through(source, target, work, made, {**given, "detail": detail}, keep, batch)


def price_parquet(
    source: Where | Sequence[Where],
    target: Where,
    hospitals: pl.DataFrame,
    rates: Rates | Sequence[Rates],
    *,
    tables: TableSet | None = None,
    version: str | None = None,
    hospital_status: str = "NON_EXEMPT",
    keep: Sequence[str] | None = None,
    batch: int = BATCH,
) -> Path:
    """Price the admissions of Parquet files into another, as `price` does; ungrouped ones in the same pass.

    Args:
        source: a Parquet file, a folder of them, or a list, with the columns `price` takes.
        target: as in `group_parquet`.
        hospitals, rates: as in `price`.
        tables, version, hospital_status: as in `group`; with tables or version the admissions are grouped first,
            without either they have their `drg`.
        keep: input columns to write beside those of grouper and pricer; by default all.
        batch: as in `group_parquet`.

    Returns:
        The target, as `group_parquet`.

    Raises:
        SchemaError, MissingRateError: as `price`.
        InputError, StorageError: as `group_parquet`.

    >>> from tempfile import TemporaryDirectory
    >>> from drgsim import generate
    >>> tables, rates = TableSet.load("43.1"), Rates.load(2026)
    >>> hospitals, admissions = generate(500, seed=1, tables=tables)
    >>> with TemporaryDirectory() as folder:
    ...     admissions.write_parquet(f"{folder}/admissions.parquet")
    ...     target = price_parquet(f"{folder}/admissions.parquet", f"{folder}/paid", hospitals, rates, tables=tables)
    ...     paid = pl.read_parquet(target / "rows-*.parquet")
    >>> paid.equals(price(group(admissions, tables), hospitals, rates))
    True
    """
    grouped = None
    if tables is not None or version is not None:
        grouped = partial(group, tables=tables, version=version, hospital_status=hospital_status)

    def work(admissions: pl.DataFrame) -> pl.DataFrame:
        return price(admissions if grouped is None else grouped(admissions), hospitals, rates)

    made = PAID.names if grouped is None else (*GROUPED.names, *PAID.names)
    given = {"verb": "price", "hospitals": hospitals, "rates": rates}
    given |= {"tables": tables, "version": version, "hospital_status": hospital_status}
    return _through(source, target, work, made, given, keep, batch)


def simulate_parquet(
    source: Where | Sequence[Where],
    folder: Where,
    scenario: Scenario,
    *,
    tables: TableSet,
    hospitals: pl.DataFrame | None,
    rates: Rates | Sequence[Rates],
    replicates: int = 100,
    seed: int,
    by: Sequence[str | Sequence[str]] = (),
    ledger: bool = False,
    progress: bool | None = None,
    hospital_status: str | None = None,
    batch: int = BATCH,
) -> Simulation:
    """Bill the admissions of Parquet files with the errors of a scenario, as `simulate` does, part by part.

    Args:
        source: a Parquet file, a folder of them, or a list, of what `simulate` takes.
        folder: for the finished parts and the manifest; a run that died is continued by the same call.
        scenario, tables, hospitals, rates, replicates, seed, hospital_status: as in `simulate`.
        by: what the result can be grouped by: columns or tuples of columns, as in `Simulation.by`.
        ledger: whether to keep every error made, in the parts `ledger-*.parquet`.
        progress: as in `simulate`, by parts.
        batch: admissions of a part.

    Returns:
        A `Simulation` without single claims, whose tables equal those of `simulate`, number by number.

    Raises:
        SchemaError, InputError: as `simulate`; also where a file is damaged, an id comes twice, or another run lies
            in the folder: of other admissions, another scenario, other tables, rates or hospitals, another seed.
        StorageError: the folder cannot be written; finished parts stand.

    >>> from tempfile import TemporaryDirectory
    >>> from drgsim import generate
    >>> from drgsim.simulation.simulator import simulate
    >>> tables, rates, scenario = TableSet.load("43.1"), Rates.load(2026), Scenario.load("illustration")
    >>> hospitals, admissions = generate(500, seed=1, tables=tables)
    >>> how = {"tables": tables, "hospitals": hospitals, "rates": rates, "replicates": 4, "seed": 1}
    >>> with TemporaryDirectory() as folder:
    ...     admissions.write_parquet(f"{folder}/admissions.parquet")
    ...     result = simulate_parquet(f"{folder}/admissions.parquet", f"{folder}/run", scenario, by=["mdc"], **how)
    >>> result.by("mdc").equals(simulate(admissions, scenario, **how).by("mdc"))
    True
    """
    rows, columns = ParquetSource.open(source), list_breakdowns(by)
    check_batch_size(batch)
    part_of = partial(
        simulate_tally,
        scenario=scenario,
        columns=columns,
        tables=tables,
        hospitals=hospitals,
        rates=rates,
        replicates=replicates,
        seed=seed,
        ledger=ledger,
        hospital_status=hospital_status,
    )
    part_of(rows.empty())  # whatever is wrong with columns or arguments is raised here, before a row
    rows.refuse_repeated("admission_id")
    given: dict[str, object] = {
        "scenario": scenario.digest,
        "tables": tables,
        "hospitals": hospitals,
        "rates": rates,
        "by": columns,
    }
    given |= {"replicates": replicates, "seed": seed, "ledger": ledger, "hospital_status": hospital_status}
    made_of = {"verb": "simulate", "source": rows, **given}
    with PartedRun.open(folder, made_of, height=rows.height, batch=batch) as run:
        done = run.parts - len(run.missing())
        with progress_bar(run.parts, "part", wanted=progress, done=done) as bar:
            for part, some in run.unfinished(rows):
                run.finish(part, _at_its_rows(part_of, rows.name, some, part * batch))
                bar.update()
        return merge_tallies(run.all_tables(), columns, scenario, version=tables.version, seed=seed)


# ---------------------------------------------------------------------------------------------------------


def _through(
    source: Where | Sequence[Where],
    target: Where,
    work: Work,
    made: Sequence[str],
    given: dict[str, object],
    keep: Sequence[str] | None,
    batch: int,
) -> Path:
    """Pass all rows through `work` into the target, which is one file or a folder of parts."""
    rows, path = ParquetSource.open(source), Path(target)
    if path.resolve() in [file.resolve() for file in rows.files]:
        raise InputError(f"{path}: is of the source; choose another target.")
    check_batch_size(batch)
    told = partial(_at_its_rows, _keeping(work, made, rows, keep), rows.name)
    schema = told(rows.empty(), 0).schema  # whatever is wrong with columns or arguments is raised here, before a row
    if path.suffix == ".parquet":
        return _one_file(rows, path, told, schema, batch)
    with PartedRun.open(path, {"source": rows, "keep": keep, **given}, height=rows.height, batch=batch) as run:
        for part, some in run.unfinished(rows):
            run.finish(part, {ROWS: told(some, part * batch)})
    return path


def _keeping(work: Work, made: Sequence[str], rows: ParquetSource, keep: Sequence[str] | None) -> Work:
    """Return the work without the columns that are not to be kept."""
    if keep is None:
        return work
    for name in keep:
        if name not in rows.schema:
            raise InputError(f"keep names {name!r}, which {rows.name} lacks.{did_you_mean(name, rows.schema)}")
    return lambda admissions: work(admissions).select(pl.col(name) for name in dict.fromkeys((*keep, *made)))


def _at_its_rows(work: Callable[[pl.DataFrame], Answer], name: str, batch: pl.DataFrame, start: int) -> Answer:
    """Do the work on a batch; of what is wrong with one of its rows, say where the batch stands."""
    try:
        return work(batch)
    except InputError as error:
        if batch.is_empty():
            raise
        raise type(error)(f"{name}, in rows from {start:,} on (counted from there): {error}") from error


def _one_file(
    rows: ParquetSource, path: Path, told: Callable[[pl.DataFrame, int], pl.DataFrame], schema: pl.Schema, batch: int
) -> Path:
    from polars.io.plugins import register_io_source

    failed: list[Exception] = []

    def answers(*_asked: object) -> Iterator[pl.DataFrame]:
        try:
            yield from (told(some, part * batch) for part, some in enumerate(rows.batches(batch)))
        except Exception as error:
            failed.append(error)
            raise

    remove_leftovers(path)
    with replace_whole(path) as begun:
        try:
            # Batch after batch: `map_batches` has several under way, in twice the memory and no less time.
            register_io_source(answers, schema=schema).sink_parquet(begun, row_group_size=batch)
        except pl.exceptions.PolarsError as error:
            raise (failed[0] if failed else error) from None  # older Polars puts its own in the place of ours
    return path
