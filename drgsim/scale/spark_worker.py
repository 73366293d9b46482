"""What a Spark worker does with the Arrow batches of a partition; imports neither Polars nor PySpark by itself."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

BATCH = 65_536
"""Rows grouped or priced at a time; Spark hands out 10,000."""

Batches = Iterator[Any]
"""`pyarrow.RecordBatch`, one after another."""
Work = Callable[[Batches], Batches]


@dataclass(frozen=True)
class PickledWork:
    """Work as it travels to the workers: its pickle, opened once a worker process, after Polars is told of threads.

    Spark runs a worker a core, so Polars gets one thread in each unless POLARS_MAX_THREADS says otherwise; Polars
    reads that when it is first imported, which opening the pickle does.
    """

    pickled: bytes

    def __call__(self, batches: Batches) -> Batches:
        """Return what the work makes of a partition."""
        return _opened(self.pickled)(batches)


@lru_cache(maxsize=4)
def _opened(pickled: bytes) -> Work:
    os.environ.setdefault("POLARS_MAX_THREADS", "1")
    from pyspark import cloudpickle

    work: Work = cloudpickle.loads(pickled)  # Spark opened the pickle around it; it comes from the same driver
    return work


def gather_batches(batches: Batches, size: int) -> Iterator[Any]:
    """Yield tables of at least `size` rows from smaller batches, in order; the last one is what is left."""
    import pyarrow as pa

    waiting: list[Any] = []
    for batch in batches:
        waiting.append(batch)
        if sum(one.num_rows for one in waiting) >= size:
            yield pa.Table.from_batches(waiting)
            waiting = []
    if waiting:
        yield pa.Table.from_batches(waiting)
