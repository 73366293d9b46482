"""Rows split into spans that run on all cores; results do not depend on the split."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TypeVar

import polars as pl

Result = TypeVar("Result")

SMALLEST = 16_384
LARGEST = 131_072


def run_over_spans(n: int, work: Callable[[int, int], Result], largest: int = LARGEST) -> list[Result]:
    """Return `work(start, stop)` for consecutive spans that cover rows 0 to n, in order.

    NumPy and Polars release the interpreter lock on such work, so threads share it. There are as many
    threads as Polars uses (POLARS_MAX_THREADS). A span has at most `largest` rows, so that working memory does not
    grow with n.

    >>> run_over_spans(40_000, lambda start, stop: stop - start) in ([40_000], [20_000, 20_000])
    True
    """
    threads = max(1, min(pl.thread_pool_size(), n // SMALLEST))
    count = max(1, threads * -(-n // (threads * largest)))
    edges = [n * i // count for i in range(count + 1)]
    pairs = list(pairwise(edges))
    if threads == 1:
        return [work(start, stop) for start, stop in pairs]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(lambda pair: work(*pair), pairs))
