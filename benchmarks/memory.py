"""Print how many bytes an admission `group` takes at its peak, in a process of its own.

python -m benchmarks.memory ADMISSIONS_PARQUET
"""

from __future__ import annotations

import contextlib
import re
import resource
import sys
from pathlib import Path

import polars as pl

from benchmarks.data import VERSION
from drgsim import TableSet, group


def resident_kib(key: str) -> int:
    """Return VmRSS or VmHWM of this process [KiB]; where there is no /proc, the peak so far."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(re.search(rf"{key}:\s+(\d+)", status.read_text())[1])  # type: ignore[index]
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main(path: str) -> None:
    admissions, tables = pl.read_parquet(path), TableSet.load(VERSION)
    group(admissions.head(1_000), tables)
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from here
    before = resident_kib("VmRSS")
    grouped = group(admissions, tables)
    print((resident_kib("VmHWM") - before) * 1024 / grouped.height)


if __name__ == "__main__":
    main(sys.argv[1])
