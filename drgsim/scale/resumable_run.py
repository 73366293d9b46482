"""Long runs in parts: what is finished stands on disk, and a run that died is continued by running it again.

A run's folder holds a manifest and the tables of each finished part (`NAME-00000.parquet`). The manifest says what
the run is made of, by fingerprint, and the sha256 of every finished file. Files and manifest are written whole or not
at all, a part's files before the manifest lists them: killed at any moment, a run loses the part it was at. One
process at a time is at a run; the lock goes with the process, however it ends.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import polars as pl

from drgsim.exceptions import InputError, StorageError
from drgsim.files.atomic import remove_leftovers, replace_whole, sha256_of
from drgsim.pricing.rates import Rates
from drgsim.scale.parquet_source import ParquetSource, check_batch_size
from drgsim.tables.table_set import TableSet

MANIFEST = "manifest.json"
_FORMAT = 1
_LARGEST = 1 << 28
"""A manifest is not so large."""


@dataclass(eq=False)
class PartedRun:
    """A run in parts of `batch` rows of its source. Open it with `PartedRun.open`, best in a `with` block.

    Attributes:
        folder: where it lies.
        made_of: what decides its results, as short texts: values, or sha256 of what is longer.
        parts: how many there are.
        batch: rows of a part.
        finished: sha256 of each file of each finished part, by the name of its table.
    """

    folder: Path
    made_of: Mapping[str, str]
    parts: int
    batch: int
    finished: dict[int, dict[str, str]]
    _lock: int | None = field(default=None, repr=False)

    @classmethod
    def open(
        cls, folder: str | os.PathLike[str], made_of: Mapping[str, object], *, height: int, batch: int
    ) -> PartedRun:
        """Begin a run in a new or empty folder, or go on with the one that lies there.

        Args:
            folder: is made if need be.
            made_of: everything that decides the results.
            height: rows of the source.
            batch: rows of a part.

        Raises:
            InputError: another run lies there, and in what it differs; or the folder holds something else.
            StorageError: it cannot be read or written; a finished part is no longer what was written; another
                process is at it.

        >>> from tempfile import mkdtemp
        >>> folder = mkdtemp()
        >>> with PartedRun.open(folder, {"seed": 1}, height=25, batch=10) as run:
        ...     run.finish(1, {"totals": pl.DataFrame({"net": [1]})})
        >>> with PartedRun.open(folder, {"seed": 1}, height=25, batch=10) as run:
        ...     run.missing()
        [0, 2]
        """
        check_batch_size(batch)
        root, told = Path(folder), {**_texts(made_of), "rows": str(height), "batch": str(batch)}
        run = cls(root, told, max(1, -(-height // batch)), batch, {})
        try:
            root.mkdir(parents=True, exist_ok=True)
            run._lock = _locked(root)
            others = [path.name for path in root.iterdir() if not path.name.startswith(".")]
        except StorageError:
            raise
        except OSError as error:
            raise StorageError(f"{root}: no folder for a run can be there ({error.strerror}).") from error
        try:
            if MANIFEST in others:
                run._go_on()
            elif others:
                raise InputError(f"{root}: holds {others[0]} and no {MANIFEST}; choose a new or an empty folder.")
            else:
                run._write()
            remove_leftovers(root)
        except BaseException:
            run.close()
            raise
        return run

    def __enter__(self) -> PartedRun:
        """Return the run."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of the folder."""
        self.close()

    def close(self) -> None:
        """Let go of the folder, so that another may go on with the run."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def missing(self) -> list[int]:
        """Return the parts that are not finished."""
        return [part for part in range(self.parts) if part not in self.finished]

    def unfinished(self, rows: ParquetSource) -> Iterator[tuple[int, pl.DataFrame]]:
        """Yield each part that is not finished with its rows."""
        missing = self.missing()
        if not missing:
            return
        if not rows.height:
            yield 0, rows.empty()
            return
        first = missing[0]
        for part, some in enumerate(rows.batches(self.batch, first * self.batch), first):
            if part not in self.finished:
                yield part, some
            if part == missing[-1]:
                return

    def finish(self, part: int, tables: Mapping[str, pl.DataFrame]) -> None:
        """Write the tables of a part, then say in the manifest that they are there.

        Raises:
            StorageError: they cannot be written; the part counts as not finished.
        """
        written = {}
        for name, table in tables.items():
            with replace_whole(self.file(part, name)) as begun:
                table.write_parquet(begun)
                written[name] = sha256_of(begun)
        self.finished[part] = written
        self._write()

    def file(self, part: int, name: str) -> Path:
        """Return where a table of a part lies."""
        return self.folder / f"{name}-{part:05d}.parquet"

    def all_tables(self) -> Iterator[dict[str, pl.DataFrame]]:
        """Yield the tables of each part, in order.

        Raises:
            StorageError: one cannot be read.
        """
        for part in sorted(self.finished):
            tables = {}
            for name in self.finished[part]:
                path = self.file(part, name)
                try:
                    tables[name] = pl.read_parquet(path)
                except (OSError, pl.exceptions.PolarsError) as error:
                    raise StorageError(f"{path}: cannot be read. Remove it, and it is made again.") from error
            yield tables

    def _go_on(self) -> None:
        known = _read(self.folder / MANIFEST)
        names = dict.fromkeys((*known["made_of"], *self.made_of))
        differ = [name for name in names if known["made_of"].get(name) != self.made_of.get(name)]
        if differ:
            was, now = (values.get(differ[0], "not given") for values in (known["made_of"], self.made_of))
            raise InputError(
                f"{self.folder}: holds a run of another {', '.join(differ)} ({differ[0]} was {was:.60}, now "
                f"{now:.60}). Choose another folder, or remove this one."
            )
        for part, files in known["finished"].items():
            if self._stands(part, files):
                self.finished[part] = files

    def _stands(self, part: int, files: Mapping[str, str]) -> bool:
        """Return whether all files of a part are there: one that is gone is made again, an altered one is refused."""
        paths = {name: self.file(part, name) for name in files}
        if not all(path.is_file() for path in paths.values()):
            return False
        for name, path in paths.items():
            if sha256_of(path) != files[name]:
                raise StorageError(f"{path}: is not what was written there. Remove it, and it is made again.")
        return True

    def _write(self) -> None:
        content = {
            "format": _FORMAT,
            "run_id": hashlib.sha256(json.dumps(self.made_of, sort_keys=True).encode()).hexdigest()[:20],
            "made_of": self.made_of,
            "parts": self.parts,
            "finished": {str(part): self.finished[part] for part in sorted(self.finished)},
        }
        with replace_whole(self.folder / MANIFEST) as begun:
            begun.write_text(json.dumps(content, indent=1), "utf-8")


def fingerprint(value: object) -> str:
    """Return a short text that tells a value from others: itself, or the sha256 of what it holds.

    Raises:
        InputError: it is of no kind that can be told.

    >>> fingerprint(7), fingerprint(("mdc", "drg")), len(fingerprint(pl.DataFrame({"a": [1]})))
    ('7', '["mdc", "drg"]', 64)
    """
    if isinstance(value, ParquetSource):
        return value.fingerprint()
    if isinstance(value, TableSet):
        frames = {one.name: getattr(value, one.name) for one in fields(value) if one.name != "folder"}
        return _digest(f"{name}\n{_text(frame)}" for name, frame in frames.items())
    if isinstance(value, Rates):
        return _digest([json.dumps(value.resolved(), default=str)])
    if isinstance(value, pl.DataFrame):
        return _digest([str(value.schema), _text(value)])
    if isinstance(value, Sequence) and not isinstance(value, str):
        return json.dumps([fingerprint(one) for one in value])
    if value is None or isinstance(value, str | int | float):
        return str(value)
    raise InputError(f"{type(value).__name__} cannot be told from another; pass a value, a frame, tables or rates.")


# ---------------------------------------------------------------------------------------------------------


def _locked(root: Path) -> int | None:
    """Take a folder for this process; the system lets go of it when the process ends. None where there are no locks.

    Raises:
        StorageError: another process has it.
    """
    if sys.platform == "win32":
        return None
    import fcntl

    folder = os.open(root, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(folder)
        raise StorageError(f"{root}: another process is at this run. Wait for it, or end it.") from error
    except OSError:  # some network file systems have no locks
        os.close(folder)
        return None
    return folder


def _texts(made_of: Mapping[str, object]) -> dict[str, str]:
    return {name: fingerprint(value) for name, value in made_of.items()}


def _text(value: object) -> str:
    """Return a value of a table set as text, frames as a JSON object a row."""
    if isinstance(value, pl.Series):
        value = value.to_frame()
    if isinstance(value, pl.DataFrame):
        return value.write_ndjson()
    return str(sorted(value)) if isinstance(value, frozenset) else str(value)


def _digest(parts: Iterator[str] | Sequence[str]) -> str:
    found = hashlib.sha256()
    for part in parts:
        found.update(hashlib.sha256(part.encode()).digest())
    return found.hexdigest()


def _read(path: Path) -> dict[str, Any]:
    """Return what a manifest says, `finished` by number of the part.

    Raises:
        StorageError: it is damaged, or of another format.
    """
    try:
        if path.stat().st_size > _LARGEST:
            raise ValueError("it is too large")
        known = json.loads(path.read_bytes())
        if known["format"] != _FORMAT:
            raise ValueError(f"its format is {known['format']!r:.20}")
        made_of = {str(name): str(value) for name, value in known["made_of"].items()}
        finished = {int(part): dict(files) for part, files in known["finished"].items()}
        names = {name for files in finished.values() for name in files}
        if not all(isinstance(name, str) and name.isidentifier() for name in names):
            raise ValueError("it names a table that cannot be")
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        reason = str(error).partition("\n")[0]
        raise StorageError(f"{path}: no manifest of a run ({reason:.80}). Remove the folder to begin again.") from error
    return {"made_of": made_of, "finished": finished}
