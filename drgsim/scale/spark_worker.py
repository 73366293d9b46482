"""What a Spark worker does with the Arrow batches of a partition.

The module imports neither Polars nor PySpark when it is loaded.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

BATCH = 65_536
"""Rows grouped or priced at a time; Spark gives 10,000."""

Batches = Iterator[Any]
"""`pyarrow.RecordBatch`, one after another."""
Work = Callable[[Batches], Batches]


@dataclass(frozen=True)
class PickledWork:
    """Pickled work; a worker process opens it once, after it limits Polars to one thread.

    Spark runs one worker a core, so Polars gets one thread in each unless POLARS_MAX_THREADS is set. Polars reads that
    variable when it is first imported, which happens when the pickle is opened.
    """

    pickled: bytes

    def __call__(self, batches: Batches) -> Batches:
        """Return the answers for a partition."""
        return _open_pickle(self.pickled)(batches)


@lru_cache(maxsize=4)
def _open_pickle(pickled: bytes) -> Work:
    os.environ.setdefault("POLARS_MAX_THREADS", "1")
    from pyspark import cloudpickle

    work: Work = cloudpickle.loads(
        pickled
    )  # the pickle comes from the driver, like the one around it that Spark opened
    return work


def gather_batches(batches: Batches, size: int) -> Iterator[Any]:
    """Yield tables of at least `size` rows from smaller batches, in order; the last may be less."""
    import pyarrow as pa

    waiting: list[Any] = []
    for batch in batches:
        waiting.append(batch)
        if sum(part.num_rows for part in waiting) >= size:
            yield pa.Table.from_batches(waiting)
            waiting = []
    if waiting:
        yield pa.Table.from_batches(waiting)
