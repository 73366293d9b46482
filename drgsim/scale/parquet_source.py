"""Parquet files larger than memory, read batch by batch in the order of their rows."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from drgsim.display import show_value
from drgsim.exceptions import InputError, SchemaError, StorageError
from drgsim.files.atomic import sha256_of
from drgsim.files.text_tables import check_claimed_size

BATCH = 131_072
"""Rows of a batch: enough work for a thread, little memory."""
_REPEAT = "Repeat the call when nothing writes to the source."
_MOST_IDS = 1 << 22
"""Ids in memory at a time, where they are compared with each other."""

StrPath = str | os.PathLike[str]
FileState = tuple[int, ...]
"""What changes when a file is replaced or written to: device, inode, size, times of the last write and change."""


@dataclass(frozen=True)
class ParquetSource:
    """Parquet files of one schema as one frame: the rows in order, file after file.

    Attributes:
        files: the files, in order.
        schema: their columns.
        height: number of rows.
        states: of each file when it was opened; `check_unchanged` compares.
    """

    files: tuple[Path, ...]
    schema: pl.Schema = field(repr=False)
    height: int
    states: tuple[FileState, ...] = field(repr=False)

    @classmethod
    def open(cls, source: StrPath | Sequence[StrPath]) -> ParquetSource:
        """Return the source of files, after reading their footers.

        Args:
            source: a file; a folder, for the `*.parquet` in it by name; or several of these.

        Raises:
            InputError: a file is missing, is no Parquet, or claims more than a file of its size can hold.
            SchemaError: two files differ in their columns.

        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     pl.DataFrame({"a": [1, 2]}).write_parquet(f"{folder}/one.parquet")
        ...     ParquetSource.open(folder).height
        2
        """
        places: Sequence[StrPath] = [source] if isinstance(source, str | os.PathLike) else source
        files = [file for place in places for file in _find_files(Path(place))]
        if not files:
            raise InputError("no Parquet file was named: pass a file, a folder or a list of them.")
        schemas, states, height = [], [], 0
        for file in files:
            with check_readable(file):
                states.append(_read_state(file))
                scan = _scan_files([file])
                schemas.append(scan.collect_schema())
                rows = int(scan.select(pl.len()).collect().item())
            check_claimed_size(file, rows * len(schemas[-1]))
            height += rows
            if schemas[-1] != schemas[0]:
                raise SchemaError(f"{file}: {_describe_difference(schemas[0], schemas[-1])} than in {files[0].name}.")
        return cls(tuple(files), schemas[0], height, tuple(states))

    @property
    def name(self) -> str:
        """Return the name of the source in messages."""
        more = f" and {len(self.files) - 1} more files" if len(self.files) > 1 else ""
        return f"{self.files[0]}{more}"

    def scan(self) -> pl.LazyFrame:
        """Return all rows, lazily."""
        return _scan_files(self.files)

    def empty(self) -> pl.DataFrame:
        """Return a frame with the columns and no row."""
        return self.schema.to_frame()

    def batches(self, size: int = BATCH, start: int = 0) -> Iterator[pl.DataFrame]:
        """Yield the rows from `start` on in order, `size` at a time; the last batch may be smaller.

        Raises:
            InputError: a file is damaged.
            StorageError: a file was replaced or changed since it was opened; no row of it was given.
        """
        waiting: list[pl.DataFrame] = []
        found, expected = 0, max(self.height - start, 0)
        with self._readable():
            for frame in self.scan().slice(start).collect_batches(chunk_size=size, maintain_order=True, lazy=True):
                waiting.append(frame)
                found += len(frame)
                if sum(map(len, waiting)) >= size:
                    self.check_unchanged()
                    joined = pl.concat(waiting)
                    full = len(joined) // size * size
                    yield from (joined[at : at + size] for at in range(0, full, size))
                    waiting = [joined[full:]]
        self.check_unchanged()
        if found != expected:  # some releases of Polars end early at a damaged page, without an error
            raise InputError(f"{self.name}: not readable as Parquet: {found:,} rows read where {expected:,} should be.")
        rest = pl.concat(waiting) if waiting else self.empty()
        if len(rest):
            yield rest

    def fingerprint(self) -> str:
        """Return the sha256 of the files' contents, in order; names and folders do not count.

        Raises:
            StorageError: a file was replaced or changed since it was opened, or cannot be read.
        """
        found = hashlib.sha256("".join(map(sha256_of, self.files)).encode()).hexdigest()
        self.check_unchanged()
        return found

    def check_unchanged(self) -> None:
        """Check that no file was replaced, removed or written to since it was opened.

        Raises:
            StorageError: one was; the message names it.
        """
        for file, state in zip(self.files, self.states, strict=True):
            try:
                found = _read_state(file)
            except OSError as error:
                raise StorageError(f"{file}: cannot be read any more ({error.strerror}). {_REPEAT}") from error
            if found != state:
                raise StorageError(f"{file}: was replaced or changed while it was read. {_REPEAT}")

    @contextmanager
    def _readable(self) -> Iterator[None]:
        """Raise as `check_readable`; but where a file was changed meanwhile, that is the error."""
        try:
            with check_readable(self.name):
                yield
        except InputError:
            self.check_unchanged()
            raise

    def refuse_repeated(self, column: str) -> None:
        """Check that the values of a column are distinct, in parts, so that memory stays bounded.

        Raises:
            InputError: a value is missing or repeated.
            StorageError: a file was replaced or changed since it was opened.
        """
        parts = -(-self.height // _MOST_IDS)
        for part in range(parts):
            in_part = pl.col(column).hash() % parts == part
            with self._readable():
                values = self.scan().select(column).filter(in_part).collect(engine="streaming")[column]
            if values.null_count() or values.n_unique() < len(values):
                problem = "is missing" if values.null_count() else "comes more than once"
                raise InputError(
                    f"{self.name}: an {column} {problem}; draws are keyed by it. Number the admissions: "
                    f"scan.with_row_index({column!r}).sink_parquet(...)."
                )
        self.check_unchanged()


def check_batch_size(batch: int) -> None:
    """Check the number of rows of a batch.

    Raises:
        InputError: it is not a whole number from 1.
    """
    if isinstance(batch, bool) or not isinstance(batch, int) or batch < 1:
        raise InputError(f"batch is {show_value(batch)}, expected a number of rows from 1, such as {BATCH}.")


@contextmanager
def check_readable(name: StrPath) -> Iterator[None]:
    """Raise an InputError that names the file, where Polars or the system cannot read it.

    Raises:
        InputError: instead of the errors of Polars and the system.
    """
    try:
        yield
    except pl.exceptions.PolarsError as error:
        raise InputError(f"{name}: not readable as Parquet: {_first_line(error)}") from error
    except pl.exceptions.PanicException as error:  # damaged pages can cause it; it is no subclass of Exception
        raise InputError(f"{name}: not readable as Parquet: it is damaged ({_first_line(error)})") from error
    except FileNotFoundError as error:
        raise InputError(f"{name}: no such file.") from error


# ---------------------------------------------------------------------------------------------------------


def _scan_files(files: Sequence[Path]) -> pl.LazyFrame:
    return pl.scan_parquet(list(files), glob=False, hive_partitioning=False)


def _read_state(file: Path) -> FileState:
    found = file.stat()
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _find_files(place: Path) -> list[Path]:
    if place.is_dir():
        found = sorted(
            path for path in place.glob("*.parquet") if not path.name.startswith(".")
        )  # temporary files of a writer
        if not found:
            raise InputError(f"{place}: no *.parquet in this folder.")
        return found
    if not place.is_file():
        raise InputError(f"{place}: no such file.")
    return [place]


def _describe_difference(first: pl.Schema, other: pl.Schema) -> str:
    """Return how two schemas differ: the first difference."""
    for name, dtype in first.items():
        if name not in other:
            return f"there is no column {name}, other"
        if other[name] != dtype:
            return f"column {name} is {other[name]}, other"
    added = [name for name in other if name not in first]
    return f"there is a column {added[0]}, other" if added else "columns are in another order"


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0]
