"""Audit samples: designs as frozen values, and claims drawn by them, keyed by (seed, design, admission id).

Every claim has a random number of its own; the n lowest of a stratum are its sample. So a sample does not
depend on the order of rows, and a larger one of the same kind continues a smaller one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from drgsim.exceptions import InputError, SchemaError
from drgsim.numerics.arrays import FloatArray, Int64Array
from drgsim.numerics.keyed_random import random_bits
from drgsim.schema import CLAIMS, check_frame

FEWEST = 2
"""Claims a stratum needs for a variance, unless all of it is reviewed."""

CLASSES = 1000
"""Classes of equal width in which claims are counted to find stratum boundaries."""


@dataclass(frozen=True)
class SimpleRandom:
    """A simple random sample of `claims`, without replacement.

    >>> claims = pl.DataFrame({"admission_id": range(9), "billed_usd": 9e3, "correct_usd": 9e3})
    >>> sample(claims, SimpleRandom(4), seed=1)["is_sampled"].sum()
    4
    """

    claims: int


@dataclass(frozen=True)
class Stratified:
    """A simple random sample in each stratum, `claims` in all.

    Strata are the values of `column`; or ranges of billed dollars that begin at each of `boundaries_usd`, or,
    by default, at `strata` - 1 boundaries of the cumulative square root of frequency. `allocation` is
    "neyman" (by size times spread of billed dollars) or "proportional" (by size).

    >>> claims = pl.DataFrame({"admission_id": range(9), "billed_usd": [1e3] * 6 + [9e3] * 3, "correct_usd": 1e3})
    >>> plan = Stratified(4, boundaries_usd=(5_000.0,), allocation="proportional")
    >>> sample(claims, plan, seed=1).filter("is_sampled")["stratum"].value_counts().sort("stratum").rows()
    [('5,000.00 USD or more', 2), ('under 5,000.00 USD', 2)]
    """

    claims: int
    strata: int = 4
    boundaries_usd: tuple[float, ...] | None = None
    column: str | None = None
    allocation: Literal["neyman", "proportional"] = "neyman"


@dataclass(frozen=True)
class ProbeThenFull:
    """A simple random probe; the full sample only where the probe's net dollar error rate exceeds `trigger`.

    A simple random full sample continues the probe; a stratified one is drawn beside it.

    >>> ProbeThenFull(50, SimpleRandom(150), trigger=0.05).full.claims
    150
    """

    probe: int
    full: SimpleRandom | Stratified
    trigger: float


Design = SimpleRandom | Stratified | ProbeThenFull


@dataclass(frozen=True, eq=False)
class ClaimLayout:
    """Claims in the order of stratum and id, (n,) each, and how many of each stratum are drawn, (h,).

    Stratum k holds places start[k] to start[k + 1].
    """

    ids: NDArray[np.uint64]
    billed: FloatArray
    over: FloatArray
    row: Int64Array
    labels: tuple[str, ...]
    start: Int64Array
    take: Int64Array
    stream: str

    @cached_property
    def sizes(self) -> Int64Array:
        """Claims of each stratum."""
        return np.diff(self.start)

    def drawn(self, seed: int, replicates: NDArray[np.uint64]) -> list[Int64Array]:
        """Return the places drawn in each replicate, ascending, a (replicates, take) array a stratum."""
        return [
            _lowest(self.ids[a:b], int(take), seed, self.stream, replicates) + a
            for (a, b), take in zip(pairwise(self.start.tolist()), self.take, strict=True)
        ]


def sample(claims: pl.DataFrame, design: SimpleRandom | Stratified, *, seed: int) -> pl.DataFrame:
    """Draw an audit sample.

    Args:
        claims: (n,) rows of `schema.CLAIMS`; other columns pass through, rows keep their order.
        design: how many, and from which strata.
        seed: any integer; with the design's kind and the claim's id it decides whether a claim is drawn.

    Returns:
        The claims plus `stratum` (its label: "all", a range of dollars, or a value of the design's column) and
        `is_sampled`.

    Raises:
        SchemaError: a column is missing or of the wrong type.
        InputError: ids repeat, dollars are null or not finite, or the design asks for more than there is.

    >>> claims = pl.DataFrame({"admission_id": [1, 2, 3], "billed_usd": [9e3] * 3, "correct_usd": [9e3, 6e3, 7e3]})
    >>> sample(claims, SimpleRandom(2), seed=1)["is_sampled"].sum()
    2
    """
    laid = lay_out_claims(claims, design)
    chosen = np.zeros(len(claims), np.bool_)
    chosen[laid.row[np.concatenate(laid.drawn(seed, np.zeros(1, np.uint64)), axis=1)[0]]] = True
    stratum = np.empty(len(claims), np.int64)
    stratum[laid.row] = np.repeat(np.arange(len(laid.labels)), laid.sizes)
    return claims.with_columns(stratum=pl.Series(laid.labels).gather(stratum), is_sampled=pl.Series(chosen))


def lay_out_claims(claims: pl.DataFrame, design: SimpleRandom | Stratified) -> ClaimLayout:
    """Return the claims laid out by stratum, with the sample size of each. Arguments and errors as `sample`."""
    frame = _checked_claims(claims)
    billed = frame["billed_usd"].to_numpy()
    if isinstance(design, SimpleRandom):
        stratum, stream = np.zeros(len(frame), np.int64), "audit sample, simple"
        labels: tuple[str, ...] = ("all",)
    elif isinstance(design, Stratified):
        (stratum, labels), stream = _strata(claims, billed, design), "audit sample, stratified"
    else:
        raise InputError(f"design is {design!r:.80}; expected SimpleRandom or Stratified.")
    ids = frame["admission_id"].to_numpy()
    row = np.lexsort((ids, stratum))
    start = np.searchsorted(stratum[row], np.arange(len(labels) + 1))
    parts = [billed[row[a:b]] for a, b in pairwise(start.tolist())]
    spread = np.array([part.std(ddof=1) if len(part) > 1 else 0.0 for part in parts])
    if isinstance(design, SimpleRandom) or design.allocation == "proportional":
        spread = np.ones(len(parts))
    over = (billed - frame["correct_usd"].to_numpy())[row]
    take = allocate_sample(design.claims, np.diff(start), spread)
    return ClaimLayout(ids[row], billed[row], over, row, labels, start, take, stream)


def _checked_claims(claims: pl.DataFrame) -> pl.DataFrame:
    frame = check_frame(claims, CLAIMS)
    if not len(frame):
        raise InputError("there are no claims to sample from.")
    unusable = frame.select(
        ~pl.col(name).cast(pl.Float64).is_finite().fill_null(value=False) for name in CLAIMS.names
    ).sum()
    bad = [f"{count} of {name}" for name, count in zip(unusable.columns, unusable.row(0), strict=True) if count]
    if bad:
        raise InputError(f"claims hold nulls or numbers that are not finite: {', '.join(bad)}. Drop or repair them.")
    twice = frame["admission_id"].is_duplicated()
    if twice.any():
        raise InputError(
            f"{twice.sum()} claims share an admission_id, the first in row {twice.arg_max()}; "
            "a claim can be drawn once."
        )
    return frame


def _strata(claims: pl.DataFrame, billed: FloatArray, design: Stratified) -> tuple[Int64Array, tuple[str, ...]]:
    """Return each claim's stratum and the labels of the strata, none of them empty."""
    if design.allocation not in ("neyman", "proportional"):
        raise InputError(f"allocation is {design.allocation!r}; expected 'neyman' or 'proportional'.")
    if design.column is not None:
        if design.column not in claims.columns:
            raise SchemaError(f"claims lack the column {design.column!r} of the strata (found {claims.columns}).")
        values = claims[design.column].cast(pl.String).fill_null("null")
        labels = values.unique().sort()
        return np.searchsorted(labels.to_numpy().astype(str), values.to_numpy().astype(str)), tuple(labels)
    if design.boundaries_usd is None:
        inner = find_boundaries(billed, design.strata)
    else:
        inner = np.unique(np.asarray(design.boundaries_usd, np.float64))
    present, stratum = np.unique(np.searchsorted(inner, billed, side="right"), return_inverse=True)
    edges = ["", *(f"{edge:,.2f}" for edge in inner), ""]
    return stratum, tuple(_range_label(edges[k], edges[k + 1]) for k in present.tolist())


def _range_label(low: str, high: str) -> str:
    if not low:
        return f"under {high} USD" if high else "all"
    return f"{low} to {high} USD" if high else f"{low} USD or more"


def find_boundaries(values: FloatArray, strata: int, *, classes: int = CLASSES) -> FloatArray:
    """Return where strata of similar cumulative square root of frequency begin, at most `strata` - 1, ascending.

    Args:
        values: (n,) such as billed dollars.
        strata: how many are wanted; fewer come back where values heap.
        classes: of equal width, in which values are counted.

    Raises:
        InputError: `strata` is below 1.

    Source: T. Dalenius and J. L. Hodges, Minimum variance stratification, JASA 54 (1959); Cochran, 5A.7.

    >>> find_boundaries(np.arange(101.0), 4, classes=20).tolist()
    [25.0, 50.0, 75.0]
    """
    if strata < 1:
        raise InputError(f"strata is {strata!r}; expected at least 1.")
    count, edges = np.histogram(values, classes)
    upto = np.cumsum(np.sqrt(count))
    nearest = [int(np.abs(upto - upto[-1] * k / strata).argmin()) for k in range(1, strata)]
    return np.unique(edges[1:][[at for at in nearest if at < classes - 1]])


def allocate_sample(claims: int, sizes: Int64Array, spread: FloatArray) -> Int64Array:
    """Return how many claims each stratum gives, (h,) with sum `claims`, at least 2 and at most all of it.

    The sum of (size * spread)² / claims given is the least that whole numbers allow: each further claim goes
    where it lowers the sum most. With standard deviations as spreads this is Neyman's allocation, with equal ones
    the proportional one. Source: T. Wright, The American Statistician 66 (2012), 217-224.

    Args:
        claims: to draw in all.
        sizes: (h,) claims of each stratum.
        spread: (h,) standard deviation within each [USD], or ones.

    Raises:
        InputError: there are fewer claims than that, or more are asked than there are.

    >>> allocate_sample(24, np.array([16, 48]), np.sqrt([53_843.0, 5_581.0])).tolist()
    [12, 12]
    """
    least = np.minimum(sizes, FEWEST)
    total = int(sizes.sum())
    if isinstance(claims, bool) or not isinstance(claims, int | np.integer) or not least.sum() <= claims <= total:
        raise InputError(
            f"a sample of {claims!r} claims cannot be drawn from {total} claims in {len(sizes)} strata; "
            f"expected a whole number from {int(least.sum())} (two of each stratum) to {total}."
        )
    weight = (sizes * spread).astype(np.float64)
    weight = weight if weight.any() else sizes.astype(np.float64)
    stratum = np.repeat(np.arange(len(sizes)), np.minimum(sizes, claims) - least)
    given = np.concatenate([np.arange(low, min(size, claims)) for low, size in zip(least, sizes, strict=True)])
    gain = weight[stratum] ** 2 / (given * (given + 1.0))
    best = np.argsort(-gain, kind="stable")[: claims - int(least.sum())]
    return least + np.bincount(stratum[best], minlength=len(sizes))


def _lowest(ids: NDArray[np.uint64], take: int, seed: int, stream: str, replicates: NDArray[np.uint64]) -> Int64Array:
    """Return the places of the `take` ids with the lowest random bits, ascending, (replicates, take)."""
    if take == len(ids):
        return np.tile(np.arange(take), (len(replicates), 1))
    random = random_bits(seed, stream, ids[None, :], replicates[:, None])
    chosen = np.argpartition(random, take - 1, axis=1)[:, :take]
    return np.sort(chosen, axis=1)


def split_replicates(replicates: int, claims: int, most: int = 2_000_000) -> Iterator[NDArray[np.uint64]]:
    """Yield the numbers of the replicates, as many at a time as keep memory small."""
    size = max(1, most // max(claims, 1))
    for start in range(0, replicates, size):
        yield np.arange(start, min(start + size, replicates), dtype=np.uint64)


def draw_samples(
    laid: ClaimLayout, places: Sequence[Int64Array], found: FloatArray
) -> list[tuple[FloatArray, FloatArray]]:
    """Return (billed, overpaid) of the sample of each stratum; `found` lies in the order of all places drawn."""
    ends = np.cumsum([0, *(part.shape[-1] for part in places)]).tolist()
    return [(laid.billed[part], found[..., a:b]) for part, (a, b) in zip(places, pairwise(ends), strict=True)]
