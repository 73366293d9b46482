"""Long runs in parts; repeating the call continues a killed run.

A run's folder holds a manifest and the tables of each finished part (`NAME-00000.parquet`). The manifest lists the
fingerprints of the run's inputs, the releases of drgsim, Polars and NumPy that made it, and the sha256 of every
finished file. Files and manifest are written whole or not at
all, and a part's files before the manifest lists them: a run killed at any moment loses only its unfinished part. One
process at a time works on a run; its lock ends with the process.
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

import numpy as np
import polars as pl

from drgsim.exceptions import InputError, StorageError
from drgsim.files.atomic import remove_leftovers, replace_whole, sha256_of
from drgsim.pricing.contracts import Contract
from drgsim.rates.payment_rates import Rates
from drgsim.scale.parquet_source import ParquetSource, check_batch_size
from drgsim.tables.table_set import TableSet
from drgsim.version import __version__

MANIFEST = "manifest.json"
_FORMAT = 1
_MOST_BYTES = 1 << 28
"""Most bytes of a manifest."""


@dataclass(eq=False)
class PartedRun:
    """A run in parts of `batch` rows of its source; open it with `PartedRun.open`.

    Attributes:
        folder: the folder of the run.
        inputs: everything that decides its results, as short texts: values, or sha256 of longer content.
        parts: number of parts.
        batch: rows of a part.
        finished: sha256 of each file of each finished part, by the name of its table.
        releases: the releases that worked on the run, in order: one, unless others were allowed.
    """

    folder: Path
    inputs: Mapping[str, str]
    parts: int
    batch: int
    finished: dict[int, dict[str, str]]
    releases: list[dict[str, str]] = field(default_factory=lambda: [list_releases()])
    _written: list[int] = field(default_factory=list, repr=False)
    _lock: int | None = field(default=None, repr=False)

    @classmethod
    def open(
        cls,
        folder: str | os.PathLike[str],
        inputs: Mapping[str, object],
        *,
        height: int,
        batch: int,
        mix_releases: bool = False,
    ) -> PartedRun:
        """Begin a run in a new or empty folder, or continue the run in it.

        Args:
            folder: created where it does not exist.
            inputs: everything that decides the results.
            height: rows of the source.
            batch: rows of a part.
            mix_releases: whether a run of another release of drgsim, Polars or NumPy may be continued.

        Raises:
            InputError: the folder holds another run (the message says how it differs), a run of other releases, or
                something else.
            StorageError: the folder cannot be read or written; a finished part was altered; another process works
                on the run.

        >>> from tempfile import mkdtemp
        >>> folder = mkdtemp()
        >>> with PartedRun.open(folder, {"seed": 1}, height=25, batch=10) as run:
        ...     run.finish(1, {"totals": pl.DataFrame({"net": [1]})})
        >>> with PartedRun.open(folder, {"seed": 1}, height=25, batch=10) as run:
        ...     run.list_missing()
        [0, 2]
        """
        check_batch_size(batch)
        root, texts = Path(folder), {**_fingerprint_inputs(inputs), "rows": str(height), "batch": str(batch)}
        run = cls(root, texts, max(1, -(-height // batch)), batch, {})
        try:
            root.mkdir(parents=True, exist_ok=True)
            run._lock = _lock_folder(root)
            others = [path.name for path in root.iterdir() if not path.name.startswith(".")]
        except StorageError:
            raise
        except OSError as error:
            raise StorageError(f"{root}: no folder for a run can be there ({error.strerror}).") from error
        try:
            if MANIFEST in others:
                run._resume(mix_releases=mix_releases)
            elif others:
                raise InputError(f"{root}: holds {others[0]} and no {MANIFEST}; choose a new or an empty folder.")
            else:
                run._write_manifest()
            remove_leftovers(root)
        except BaseException:
            run.close()
            raise
        return run

    def __enter__(self) -> PartedRun:
        """Return the run."""
        return self

    def __exit__(self, *_: object) -> None:
        """Release the folder."""
        self.close()

    def close(self) -> None:
        """Release the folder, so that another process may continue the run."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def list_missing(self) -> list[int]:
        """Return the parts that are not finished."""
        return [part for part in range(self.parts) if part not in self.finished]

    def iterate_unfinished(self, rows: ParquetSource) -> Iterator[tuple[int, pl.DataFrame]]:
        """Yield each part that is not finished with its rows."""
        missing = self.list_missing()
        if not missing:
            return
        if not rows.height:
            yield 0, rows.empty()
            return
        first = missing[0]
        for part, frame in enumerate(rows.batches(self.batch, first * self.batch), first):
            if part not in self.finished:
                yield part, frame
            if part == missing[-1]:
                return

    def finish(self, part: int, tables: Mapping[str, pl.DataFrame]) -> None:
        """Write the tables of a part, then list them in the manifest.

        Raises:
            StorageError: they cannot be written; the part counts as unfinished.
        """
        written = {}
        for name, table in tables.items():
            with replace_whole(self.file(part, name), sweep=False) as unfinished:
                table.write_parquet(unfinished)
                written[name] = sha256_of(unfinished)
        self.finished[part] = written
        self._written.append(part)
        self._write_manifest()

    def check_source(self, rows: ParquetSource) -> None:
        """Check, after the last part, that the source has the content that the manifest promises.

        Raises:
            StorageError: it has another content; the parts that this process made count as unfinished.
        """
        if not self._written or rows.fingerprint() == self.inputs["source"]:
            return
        for part in self._written:
            del self.finished[part]
        self._written.clear()
        self._write_manifest()
        raise StorageError(
            f"{rows.name}: was changed while it was read; the parts made of it are dropped. "
            "Repeat the call when nothing writes to the source."
        )

    def file(self, part: int, name: str) -> Path:
        """Return the file of a table of a part."""
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
                    raise StorageError(
                        f"{path}: cannot be read. Remove it and repeat the call: it is written again."
                    ) from error
            yield tables

    def _resume(self, *, mix_releases: bool) -> None:
        known = _read_manifest(self.folder / MANIFEST)
        names = dict.fromkeys((*known["inputs"], *self.inputs))
        differ = [name for name in names if known["inputs"].get(name) != self.inputs.get(name)]
        if differ:
            before, now = (values.get(differ[0], "not given") for values in (known["inputs"], self.inputs))
            raise InputError(
                f"{self.folder}: holds a run of another {', '.join(differ)} ({differ[0]} was {before:.60}, now "
                f"{now:.60}). Choose another folder, or remove this one."
            )
        now = self.releases[0]
        others = [made for made in known["releases"] or [{}] if made != now]
        if others and not mix_releases:
            raise InputError(
                f"{self.folder}: was made by {_name_releases(others[0])}, now {_name_releases(now)}. "
                "Choose another folder, remove this one, or pass mix_releases=True to continue it."
            )
        self.releases = [*known["releases"], *([] if now in known["releases"] else [now])]
        for part, files in known["finished"].items():
            if self._is_intact(part, files):
                self.finished[part] = files

    def _is_intact(self, part: int, files: Mapping[str, str]) -> bool:
        """Return whether all files of a part exist; refuse an altered one."""
        paths = {name: self.file(part, name) for name in files}
        if not all(path.is_file() for path in paths.values()):
            return False
        for name, path in paths.items():
            if sha256_of(path) != files[name]:
                raise StorageError(
                    f"{path}: is not what was written there. Remove it and repeat the call: it is written again."
                )
        return True

    def _write_manifest(self) -> None:
        content = {
            "format": _FORMAT,
            "run_id": hashlib.sha256(json.dumps(self.inputs, sort_keys=True).encode()).hexdigest()[:20],
            "inputs": self.inputs,
            "releases": self.releases,
            "parts": self.parts,
            "finished": {str(part): self.finished[part] for part in sorted(self.finished)},
        }
        with replace_whole(self.folder / MANIFEST, sweep=False) as unfinished:
            unfinished.write_text(json.dumps(content, indent=1), "utf-8")


def list_releases() -> dict[str, str]:
    """Return the releases of what decides a run's answers, by package.

    >>> list(list_releases())
    ['drgsim', 'polars', 'numpy']
    """
    return {"drgsim": __version__, "polars": pl.__version__, "numpy": np.__version__}


def fingerprint(value: object) -> str:
    """Return a short text that identifies a value: itself, or the sha256 of its content.

    Raises:
        InputError: the value has a type without a fingerprint.

    >>> fingerprint(7), fingerprint(("mdc", "drg")), len(fingerprint(pl.DataFrame({"a": [1]})))
    ('7', '["mdc", "drg"]', 64)
    """
    if isinstance(value, ParquetSource):
        return value.fingerprint()
    if isinstance(value, TableSet):
        frames = {field.name: getattr(value, field.name) for field in fields(value) if field.name != "folder"}
        return _hash_parts(f"{name}\n{_to_text(frame)}" for name, frame in frames.items())
    if isinstance(value, Rates):
        return _hash_parts([json.dumps(value.resolved(), default=str)])
    if isinstance(value, Contract):
        return _hash_parts([value.model_dump_json()])
    if isinstance(value, pl.DataFrame):
        return _hash_parts([str(value.schema), _to_text(value)])
    if isinstance(value, Sequence) and not isinstance(value, str):
        return json.dumps([fingerprint(item) for item in value])
    if value is None or isinstance(value, str | int | float):
        return str(value)
    raise InputError(f"{type(value).__name__} has no fingerprint; pass a value, a frame, tables or rates.")


# ---------------------------------------------------------------------------------------------------------


def _lock_folder(root: Path) -> int | None:
    """Lock a folder until this process ends or closes it; return None where there are no locks.

    Raises:
        StorageError: another process has the lock.
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


def _name_releases(releases: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}"[:40] for name, version in releases.items()) or "unknown releases"


def _fingerprint_inputs(inputs: Mapping[str, object]) -> dict[str, str]:
    return {name: fingerprint(value) for name, value in inputs.items()}


def _to_text(value: object) -> str:
    """Return a value of a table set as text; of a frame, one JSON object a row."""
    if isinstance(value, pl.Series):
        value = value.to_frame()
    if isinstance(value, pl.DataFrame):
        return value.write_ndjson()
    return str(sorted(value)) if isinstance(value, frozenset) else str(value)


def _hash_parts(parts: Iterator[str] | Sequence[str]) -> str:
    found = hashlib.sha256()
    for part in parts:
        found.update(hashlib.sha256(part.encode()).digest())
    return found.hexdigest()


def _read_manifest(path: Path) -> dict[str, Any]:
    """Return the content of a manifest, `finished` by number of the part.

    Raises:
        StorageError: it is damaged, or has another format.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError("it is too large")
        known = json.loads(path.read_bytes())
        if known["format"] != _FORMAT:
            raise ValueError(f"its format is {known['format']!r:.20}")
        inputs = {str(name): str(value) for name, value in known["inputs"].items()}
        finished = {int(part): dict(files) for part, files in known["finished"].items()}
        releases = [{str(name): str(version) for name, version in one.items()} for one in known.get("releases", [])]
        names = {name for files in finished.values() for name in files}
        if not all(isinstance(name, str) and name.isidentifier() for name in names):
            raise ValueError("it names a table that cannot be")
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        reason = str(error).partition("\n")[0]
        raise StorageError(f"{path}: no manifest of a run ({reason:.80}). Remove the folder to begin again.") from error
    return {"inputs": inputs, "releases": releases, "finished": finished}
