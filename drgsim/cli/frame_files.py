"""Frames in files: read by suffix, written whole or not at all.

A file is `.parquet` or `.csv`. "-" is a standard stream: its first bytes say whether input is Parquet or CSV; output
is CSV. In CSV a list is one field, its values separated by `;` as `read_claims` reads them. A file appears under its
name once it is complete; until then the name keeps what it had.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import polars as pl

from drgsim.claim_fields.hospital_files import read_hospitals
from drgsim.claim_fields.mapping_report import Claims
from drgsim.claims.layouts import map_claims
from drgsim.cli.console import Options, report_progress
from drgsim.cli.shared_arguments import STREAM
from drgsim.exceptions import DrgsimError, InputError, SchemaError, StorageError
from drgsim.files.atomic import check_place
from drgsim.files.text_tables import read_typed_table
from drgsim.frame_writer import WRITABLE, check_suffix, join_lists, write
from drgsim.schema import ADMISSIONS, DETAIL, GROUPED, PAID, STAYS, Column, Frame

SUFFIXES = (".parquet", ".csv")
_PARQUET = b"PAR1"
_BOOLEANS = {"true": True, "false": False, "1": True, "0": False, "y": True, "n": False}


_MOST_LINES = 16
"""Most lines on what was read and what could not be mapped."""
_FRAMES = (GROUPED, DETAIL, STAYS, PAID)
_WRITTEN = {name for frame in _FRAMES for name in frame.names} - {*ADMISSIONS.names}


def read_admissions(options: Options, notes: list[str] | None = None, *, count_codes: bool = True) -> pl.DataFrame:
    """Return the claims of the options; columns that drgsim wrote have their types again.

    What was read, changed, left out and flagged, and codes that are none, is written to standard error in a few lines.

    Args:
        options: with the attributes claims, layout, quiet and perhaps columns.
        notes: takes the same lines, for a command that prints them.
        count_codes: whether to count codes that are none of any version.
    """
    with open_input(options.claims) as file:
        claims = map_claims(file, options.layout, columns=getattr(options, "columns", None))
        admissions = cast_columns(claims.admissions, _FRAMES, where=str(file))
    if options.quiet and notes is None:
        return admissions
    report = claims.report.filter(~pl.col("field").is_in(_WRITTEN))
    described = Claims(claims.layout, admissions, report, claims.flags)
    lines = described.describe(count_codes=count_codes).splitlines()
    if len(lines) > _MOST_LINES:
        rest = len(lines) - _MOST_LINES + 1
        lines = [*lines[:-rest], f"  {rest} more lines in read_claims(..., report=True).report"]
    for line in lines:
        report_progress(options, line)
    if notes is not None:
        notes += lines
    return admissions


@contextmanager
def open_input(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a file to read: `path` itself, or for "-" all of standard input, held in memory.

    Errors raised meanwhile name the file as the user did, and show no cell of it. Where the system has no files in
    memory (outside Linux), standard input is copied to a temporary file, which is removed when the block ends or a
    signal ends the process.

    Raises:
        InputError: there is no such file.
        StorageError: standard input cannot be held.
    """
    if os.fspath(path) != STREAM:
        with _redact_errors(os.fspath(path), os.fspath(path)):
            yield Path(path)
        return
    with ExitStack() as stack:
        try:
            file = _hold_input(stack)
        except OSError as error:
            raise StorageError(f"standard input cannot be held ({error.strerror}).") from error
        with _redact_errors(str(file), "standard input"):
            yield file


def _hold_input(stack: ExitStack) -> Path:
    """Return a file with the content of standard input; `stack` removes it.

    Readers know a format by its suffix, so a file in memory gets a name by a link in a temporary folder.
    """
    first = sys.stdin.buffer.read(len(_PARQUET))
    name = "input.parquet" if first == _PARQUET else "input.csv"
    in_memory = None
    if hasattr(os, "memfd_create"):
        in_memory = stack.enter_context(os.fdopen(os.memfd_create(name), "w+b"))
        in_memory.write(first)
        shutil.copyfileobj(sys.stdin.buffer, in_memory)
        in_memory.flush()
    folder = Path(tempfile.mkdtemp(prefix="drgsim-"))
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    stack.enter_context(_removed_by_signals(folder))
    file = folder / name
    if in_memory is not None:
        file.symlink_to(f"/proc/self/fd/{in_memory.fileno()}")
        return file
    with file.open("wb") as copy:
        copy.write(first)
        shutil.copyfileobj(sys.stdin.buffer, copy)
    return file


@contextmanager
def _removed_by_signals(folder: Path) -> Iterator[None]:
    """Remove a folder when a signal ends the process, which then ends as it would have."""
    if threading.current_thread() is not threading.main_thread():  # only the main thread may handle signals
        yield
        return

    def remove_and_end(number: int, _frame: object) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    ending = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in ending}
    handled = [number for number, handler in before.items() if handler == signal.SIG_DFL]
    for number in handled:
        signal.signal(number, remove_and_end)
    try:
        yield
    finally:
        for number in handled:
            signal.signal(number, before[number])


def read_frame(path: str | os.PathLike[str], contract: Frame) -> pl.DataFrame:
    r"""Return the frame of a file, the columns of a contract in their types.

    Args:
        path: a `.parquet` or `.csv` file, or "-" for standard input.
        contract: such as `drgsim.schema.HOSPITALS`. Its text columns stay as they are (01 does not become 1); other
            columns of the file pass through.

    Raises:
        InputError: there is no such file, or it is not readable.
        SchemaError: a column of the contract cannot be read; names row and column.

    >>> from drgsim.schema import HOSPITALS
    >>> path = Path(tempfile.mkdtemp()) / "hospitals.csv"
    >>> _ = path.write_text("hospital_id,beds,operating_ccr\n010001,334,0.181\n")
    >>> read_frame(path, HOSPITALS).row(0)
    ('010001', 334, 0.181)
    """
    with open_input(path) as file:
        return cast_columns(_read_table(file, contract), [contract], where=str(file))


def read_hospital_file(path: str | os.PathLike[str]) -> pl.DataFrame:
    """Return what `drgsim.pricing.read_hospitals` does; "-" is standard input.

    Raises:
        InputError, SchemaError: as `read_hospitals`; no cell is shown.
    """
    with open_input(path) as file:
        return read_hospitals(file)


def cast_columns(table: pl.DataFrame, contracts: Iterable[Frame], *, where: str) -> pl.DataFrame:
    """Return a table with the columns of contracts in their types; others pass through.

    Raises:
        SchemaError: a value cannot be one of the type; names `where`, row and column.

    >>> from drgsim.schema import GROUPED
    >>> cast_columns(pl.DataFrame({"drg": [419], "severity": ["CC"]}), [GROUPED], where="a file").schema["severity"]
    Enum(categories=['NONE', 'CC', 'MCC'])
    """
    known = {column.name: column for contract in contracts for column in contract.columns}
    wanted = [known[name] for name, found in table.schema.items() if name in known and found != known[name].dtype]
    changed = table.with_columns(_cast(table.schema[column.name], column).alias(column.name) for column in wanted)
    for column in wanted:
        lost = changed[column.name].is_null() & table[column.name].is_not_null() & ~_is_blank(table[column.name])
        if lost.any():
            row = int(lost.arg_max() or 0) + 1
            raise SchemaError(
                f"{where}: row {row}, column {column.name}: not {column.dtype} ({lost.sum()} such rows). "
                f"{column.about[:1].upper()}{column.about[1:]}."
            )
    return changed


def write_frame(frame: pl.DataFrame, path: str | os.PathLike[str]) -> None:
    """Write a frame as `drgsim.write` does; "-" is CSV on standard output.

    Args:
        frame: (n,) rows.
        path: a `.parquet`, `.csv` or `.xlsx` file, or "-".

    Raises:
        InputError: another suffix, no such folder, or a value of a list contains `;` or `|`, which CSV separates by.
        StorageError: it cannot be written; an earlier file is unchanged.

    >>> path = Path(tempfile.mkdtemp()) / "codes.csv"
    >>> write_frame(pl.DataFrame({"admission_id": [1], "sdx": [["I10", "J96.01"]]}), path)
    >>> path.read_text().splitlines()
    ['admission_id,sdx', '1,I10;J96.01']
    """
    name = os.fspath(path)
    if name == STREAM:
        _write_to_output(to_csv(frame))
        return
    write(frame, name)


def check_writable(path: str | os.PathLike[str], suffixes: Iterable[str] = WRITABLE) -> None:
    """Check that a file can be written, by its suffix and folder, before any work is done.

    Raises:
        InputError: another suffix, no such folder, or no ordinary file.
    """
    known, name = tuple(suffixes), os.fspath(path)
    if name == STREAM:
        return
    check_suffix(name, known)
    check_place(name, Path(name).resolve())


def _write_to_output(text: str) -> None:
    """Write text to standard output; a reader that leaves ends the command quietly.

    Raises:
        StorageError: the disk behind it is full, say.
    """
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(text.encode())
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise StorageError(f"standard output: cannot be written ({error.strerror}).") from error


def to_csv(frame: pl.DataFrame) -> str:
    r"""Return a frame as CSV.

    >>> to_csv(pl.DataFrame({"sdx": [["I10", "E119"]]}))
    'sdx\nI10;E119\n'
    """
    return join_lists(frame).write_csv()


@contextmanager
def _redact_errors(name: str, shown_name: str) -> Iterator[None]:
    """Let errors name the source as the user did, and show no cell of it."""
    try:
        yield
    except DrgsimError as error:
        raise type(error)(redact_cells(str(error).replace(name, shown_name))) from error


def redact_cells(message: str) -> str:
    """Return a reader's message without the cells it may quote; rows, columns and files stay.

    >>> redact_cells("a.csv: admission_id 'MRN-7' is no UInt64 (1 of 3 values).")
    'a.csv: admission_id (a value) is no UInt64 (1 of 3 values).'
    >>> redact_cells("not a readable csv file: could not parse `F` as dtype `i64` at column 'age'")
    "not a readable csv file: could not parse (a value) as dtype `i64` at column 'age'"
    """
    message = re.sub(r"(parse|adding) `[^`]*(`|$)", r"\1 (a value)", message)
    return re.sub(r"('[^']*'|\"[^\"]*\") is no ", "(a value) is no ", message)


def _read_table(file: Path, contract: Frame) -> pl.DataFrame:
    if not file.is_file():
        raise InputError(f"{file}: no such file.")
    if not file.name.lower().endswith(SUFFIXES):
        raise InputError(f"{file}: cannot read {file.suffix or 'a file without suffix'}; use {', '.join(SUFFIXES)}.")
    return read_typed_table(file, lambda name: name in contract.names)


def _cast(found: pl.DataType, column: Column) -> pl.Expr:
    """Return a column in its contract's type; null where a value cannot be converted."""
    value, dtype = pl.col(column.name), column.dtype
    if found != pl.String:
        return value.cast(dtype, strict=False)
    text = value.str.strip_chars()
    if isinstance(dtype, pl.List):
        parts = pl.when(value == "").then(pl.lit([], pl.List(pl.String))).otherwise(value.str.split(";"))
        # A last `;` separates nothing (`drgsim.frame_writer`); an empty list has no last value.
        extra = (parts.list.last() == "").fill_null(value=False).cast(pl.UInt32)
        parts = parts.list.head(parts.list.len() - extra)
        if dtype.inner == pl.Boolean:
            return parts.list.eval(_parse_boolean(pl.element()))
        return parts.cast(dtype, strict=False)
    if dtype == pl.Boolean:
        return _parse_boolean(text)
    if dtype == pl.Date:
        return text.str.to_date("%Y-%m-%d", strict=False)
    return text.cast(dtype, strict=False)


def _parse_boolean(text: pl.Expr) -> pl.Expr:
    return text.str.to_lowercase().replace_strict(_BOOLEANS, default=None, return_dtype=pl.Boolean)


def _is_blank(values: pl.Series) -> pl.Series:
    """Return, (n,) Boolean, where a text is blank; a blank text is null in any other type."""
    if values.dtype != pl.String:
        return pl.repeat(value=False, n=len(values), dtype=pl.Boolean, eager=True)
    return (values.str.strip_chars() == "").fill_null(value=False)
