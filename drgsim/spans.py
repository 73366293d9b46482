"""Work split over all cores, rows in spans or one block ahead; results never depend on how it was split."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import pairwise
from typing import TypeVar

import polars as pl

Item = TypeVar("Item")
Result = TypeVar("Result")

SMALLEST = 16_384
LARGEST = 131_072


def over_spans(n: int, work: Callable[[int, int], Result]) -> list[Result]:
    """Return `work(start, stop)` for consecutive spans that cover rows 0 to n, in order.

    NumPy and Polars release the interpreter lock on such work, so threads share it. As many run as Polars
    uses (POLARS_MAX_THREADS); spans are at most 131,072 rows, so that memory beside the result stays flat.

    >>> over_spans(40_000, lambda start, stop: stop - start) in ([40_000], [20_000, 20_000])
    True
    """
    threads = max(1, min(pl.thread_pool_size(), n // SMALLEST))
    count = max(1, threads * -(-n // (threads * LARGEST)))
    edges = [n * i // count for i in range(count + 1)]
    pairs = list(pairwise(edges))
    if threads == 1:
        return [work(start, stop) for start, stop in pairs]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(lambda pair: work(*pair), pairs))


def one_ahead(work: Callable[[Item], Result], items: Iterable[Item]) -> Generator[Result, None, None]:
    """Yield `work(item)` in order, with the next item begun before the last is done.

    Two at a time fill what each does on one core alone; what is in memory stays at two. What was begun and is not
    asked for, because the caller stops or is interrupted, is waited for and dropped.

    >>> list(one_ahead(str, [3, 1, 2]))
    ['3', '1', '2']
    """
    if pl.thread_pool_size() == 1:
        yield from map(work, items)
        return
    begun: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(2)
    try:
        for item in items:
            begun.append(pool.submit(work, item))
            if len(begun) > 1:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
