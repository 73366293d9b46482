"""Rows split into spans that run on all cores. Results never depend on the split."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TypeVar

import polars as pl

Result = TypeVar("Result")

SMALLEST = 16_384
LARGEST = 131_072


def run_over_spans(
    n: int, work: Callable[[int, int], Result], largest: int = LARGEST, *, threads: int | None = None
) -> list[Result]:
    """Return `work(start, stop)` for consecutive spans that cover rows 0 to n, in order.

    NumPy and Polars release the interpreter lock on such work, so threads share it.

    Args:
        n: the number of rows.
        work: called with the first row of a span and the row after its last.
        largest: the most rows of a span, so that memory beside the result stays flat.
        threads: the most threads; by default as many as Polars uses (POLARS_MAX_THREADS).

    >>> run_over_spans(40_000, lambda start, stop: stop - start) in ([40_000], [20_000, 20_000])
    True
    """
    most = pl.thread_pool_size() if threads is None else threads
    threads = max(1, min(most, n // min(SMALLEST, largest)))
    count = max(1, threads * -(-n // (threads * largest)))
    edges = [n * i // count for i in range(count + 1)]
    pairs = list(pairwise(edges))
    # Several spans go to a pool even for one thread: there, memory that a span frees serves the next one.
    if len(pairs) <= 1:
        return [work(start, stop) for start, stop in pairs]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(lambda pair: work(*pair), pairs))
