"""Group, price and simulate Parquet files that are larger than memory.

Answers are those of `group`, `price` and `simulate`; memory does not grow with the number of rows. `group_parquet` and
`price_parquet` read Parquet and write Parquet, rows in order. A target that ends in .parquet is one file, written whole
or not at all; any other target is a folder of parts, and a killed run continues when the call is repeated.
`simulate_parquet` simulates part by part in such a folder and adds up the parts, exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import polars as pl

from drgsim.exceptions import InputError, did_you_mean
from drgsim.files.atomic import replace_whole
from drgsim.files.foreign_frames import accept_frames
from drgsim.grouping.grouper import group
from drgsim.miscoding.scenarios import Scenario
from drgsim.pricing.contracts import PriceTerms
from drgsim.pricing.pricer import price
from drgsim.scale.parquet_source import BATCH, ParquetSource, StrPath, check_batch_size
from drgsim.scale.resumable_run import PartedRun
from drgsim.schema import DETAIL, GROUPED, PAID
from drgsim.simulation.merged_results import list_breakdowns, merge_tallies, simulate_tally
from drgsim.simulation.progress import progress_bar
from drgsim.simulation.results import Simulation
from drgsim.tables.table_set import TableSet

Answer = TypeVar("Answer")
Work = Callable[[pl.DataFrame], pl.DataFrame]

ROWS = "rows"
"""Parts of a folder are files rows-00000.parquet and so on."""


def group_parquet(
    source: StrPath | Sequence[StrPath],
    target: StrPath,
    tables: TableSet | None = None,
    *,
    version: str | None = None,
    hospital_status: str = "NON_EXEMPT",
    detail: bool = False,
    keep: Sequence[str] | None = None,
    batch: int = BATCH,
    mix_releases: bool = False,
) -> Path:
    """Group the admissions of Parquet files as `group` does, and write them as Parquet.

    Args:
        source: a Parquet file, a folder of them, or a list, of `schema.ADMISSIONS`.
        target: a file that ends in .parquet, which is replaced; or a folder for `rows-*.parquet` and a manifest.
        tables, version, hospital_status, detail: as in `group`.
        keep: input columns to write, besides the grouper's; by default all.
        batch: rows of a part, or of a row group of a single file.
        mix_releases: whether a folder that another release of drgsim, Polars or NumPy began may be continued.

    Returns:
        The target. Its rows are those of the source, in order; a folder is read by
        ``pl.scan_parquet(target / "rows-*.parquet")``.

    Raises:
        SchemaError, UnknownVersionError: as `group`.
        InputError: also where a file of the source is damaged, or the folder holds another run, or one that other
            releases made.
        StorageError: the target cannot be written, or a file of the source was replaced or changed meanwhile; an
            earlier file, or the finished parts, are kept.

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
    arguments = {"verb": "group", "tables": tables, "version": version, "hospital_status": hospital_status}
    work = partial(group, tables=tables, version=version, hospital_status=hospital_status, detail=detail)
    answers = (*GROUPED.names, *(DETAIL.names if detail else ()))
    rows = ParquetSource.open(source)
    inputs = {"source": rows, "keep": keep, **arguments, "detail": detail}
    return _run_batches(
        rows, target, _select_columns(work, answers, rows, keep), inputs, batch=batch, mix_releases=mix_releases
    )


@accept_frames
def price_parquet(
    source: StrPath | Sequence[StrPath],
    target: StrPath,
    hospitals: pl.DataFrame,
    rates: PriceTerms,
    *,
    tables: TableSet | None = None,
    version: str | None = None,
    hospital_status: str = "NON_EXEMPT",
    keep: Sequence[str] | None = None,
    batch: int = BATCH,
    mix_releases: bool = False,
) -> Path:
    """Price the admissions of Parquet files as `price` does, and write them as Parquet.

    Admissions without a DRG are grouped in the same pass.

    Args:
        source: a Parquet file, a folder of them, or a list, with the columns `price` takes.
        target: as in `group_parquet`.
        hospitals, rates: as in `price`.
        tables, version, hospital_status: as in `group`; with tables or version the admissions are grouped first,
            without both they need a column `drg`.
        keep: input columns to write, besides those of grouper and pricer; by default all.
        batch, mix_releases: as in `group_parquet`.

    Returns:
        The target, as in `group_parquet`.

    Raises:
        SchemaError, MissingRateError: as `price`.
        InputError, StorageError: as `group_parquet`.

    >>> from tempfile import TemporaryDirectory
    >>> from drgsim import Rates, generate
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

    answers = PAID.names if grouped is None else (*GROUPED.names, *PAID.names)
    arguments = {"verb": "price", "hospitals": hospitals, "rates": rates}
    arguments |= {"tables": tables, "version": version, "hospital_status": hospital_status}
    rows = ParquetSource.open(source)
    inputs = {"source": rows, "keep": keep, **arguments}
    return _run_batches(
        rows, target, _select_columns(work, answers, rows, keep), inputs, batch=batch, mix_releases=mix_releases
    )


@accept_frames
def simulate_parquet(
    source: StrPath | Sequence[StrPath],
    folder: StrPath,
    scenario: Scenario,
    *,
    tables: TableSet,
    hospitals: pl.DataFrame | None,
    rates: PriceTerms,
    replicates: int = 100,
    seed: int,
    by: Sequence[str | Sequence[str]] = (),
    ledger: bool = False,
    progress: bool | None = None,
    hospital_status: str | None = None,
    edits: str = "ignored",
    batch: int = BATCH,
    mix_releases: bool = False,
) -> Simulation:
    """Bill the admissions of Parquet files with coding errors, as `simulate` does, part by part.

    Args:
        source: a Parquet file, a folder of them, or a list, with the columns `simulate` takes.
        folder: for the finished parts and the manifest; the same call continues a run that was killed.
        scenario, tables, hospitals, rates, replicates, seed, hospital_status, edits: as in `simulate`.
        by: columns, or tuples of columns, by which the result can be broken down afterwards (`Simulation.by`).
        ledger: whether to write every error made, in the parts `ledger-*.parquet`.
        progress: as in `simulate`, counted in parts.
        batch: admissions of a part.
        mix_releases: as in `group_parquet`.

    Returns:
        A `Simulation` without single claims; its tables equal those of `simulate`, number by number.

    Raises:
        SchemaError, InputError: as `simulate`; also where a file is damaged, an id is repeated, or the folder holds
            another run: of other admissions, scenario, tables, rates, hospitals or seed, or of other releases.
        StorageError: the folder cannot be written, or a file of the source was replaced or changed meanwhile;
            finished parts are kept.

    >>> from tempfile import TemporaryDirectory
    >>> from drgsim import Rates, generate
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
    asked: dict[str, Any] = {"replicates": replicates, "seed": seed, "ledger": ledger}
    asked |= {"hospital_status": hospital_status, "edits": edits}
    about: dict[str, Any] = {"tables": tables, "hospitals": hospitals, "rates": rates}

    def tally_part(frame: pl.DataFrame) -> dict[str, pl.DataFrame]:
        return simulate_tally(frame, scenario, columns, **about, **asked)

    tally_part(rows.empty())  # wrong columns or arguments raise here, before any row is read
    rows.refuse_repeated("admission_id")
    inputs = {"verb": "simulate", "source": rows, "scenario": scenario.digest, "by": columns, **about, **asked}
    with PartedRun.open(folder, inputs, height=rows.height, batch=batch, mix_releases=mix_releases) as run:
        done = run.parts - len(run.list_missing())
        with progress_bar(run.parts, "part", wanted=progress, done=done) as bar:
            for part, frame in run.iterate_unfinished(rows):
                run.finish(part, _run_batch(tally_part, rows.name, frame, part * batch))
                bar.update()
        run.check_source(rows)
        return merge_tallies(run.all_tables(), columns, scenario, version=tables.version, seed=seed)


# ---------------------------------------------------------------------------------------------------------


def _run_batches(
    rows: ParquetSource, target: StrPath, work: Work, inputs: Mapping[str, object], *, batch: int, mix_releases: bool
) -> Path:
    """Write the answers of `work` for all rows to the target: one file or a folder of parts."""
    path = Path(target)
    if path.resolve() in [file.resolve() for file in rows.files]:
        raise InputError(f"{path}: is of the source; choose another target.")
    check_batch_size(batch)
    work_at = partial(_run_batch, work, rows.name)
    schema = work_at(rows.empty(), 0).schema  # wrong columns or arguments raise here, before any row is read
    if path.suffix == ".parquet":
        return _write_file(rows, path, work_at, schema, batch)
    with PartedRun.open(path, inputs, height=rows.height, batch=batch, mix_releases=mix_releases) as run:
        for part, frame in run.iterate_unfinished(rows):
            run.finish(part, {ROWS: work_at(frame, part * batch)})
        run.check_source(rows)
    return path


def _select_columns(work: Work, answers: Sequence[str], rows: ParquetSource, keep: Sequence[str] | None) -> Work:
    """Return work that gives the columns in `keep` and the answers alone."""
    if keep is None:
        return work
    for name in keep:
        if name not in rows.schema:
            raise InputError(f"keep names {name!r}, which {rows.name} lacks.{did_you_mean(name, rows.schema)}")
    return lambda admissions: work(admissions).select(pl.col(name) for name in dict.fromkeys((*keep, *answers)))


def _run_batch(work: Callable[[pl.DataFrame], Answer], name: str, batch: pl.DataFrame, start: int) -> Answer:
    """Return the work's answer for a batch; an error names the batch's first row."""
    try:
        return work(batch)
    except InputError as error:
        if batch.is_empty():
            raise
        raise type(error)(f"{name}, in rows from {start:,} on (counted from there): {error}") from error


def _write_file(
    rows: ParquetSource, path: Path, work_at: Callable[[pl.DataFrame, int], pl.DataFrame], schema: pl.Schema, batch: int
) -> Path:
    from polars.io.plugins import register_io_source

    errors: list[Exception] = []

    def iterate_answers(*_pushed_down: object) -> Iterator[pl.DataFrame]:
        try:
            yield from (work_at(frame, part * batch) for part, frame in enumerate(rows.batches(batch)))
        except Exception as error:
            errors.append(error)
            raise

    with replace_whole(path) as unfinished:
        try:
            # One batch at a time: `map_batches` runs several at once, in twice the memory and no less time.
            register_io_source(iterate_answers, schema=schema).sink_parquet(unfinished, row_group_size=batch)
        except pl.exceptions.PolarsError as error:
            raise (errors[0] if errors else error) from None  # older Polars replaces our error by its own
    return path
