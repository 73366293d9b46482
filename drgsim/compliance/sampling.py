"""Audit samples: designs, and the claims they draw.

Draws are keyed by seed, kind of design and admission id. Every claim has its random number; the n lowest of a stratum
are its sample. So a sample does not depend on the order of rows, and a larger sample contains the smaller sample of
the same kind.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Literal

import numpy as np
import polars as pl

from drgsim.exceptions import InputError, SchemaError
from drgsim.files.foreign_frames import accept_frames
from drgsim.numerics.arrays import FloatArray, Int64Array, UInt64Array
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

    Attributes:
        claims: in the whole sample.
        strata: number of ranges of billed dollars, with boundaries by the cumulative square root of frequency.
        boundaries_usd: instead, the billed dollars at which the second and later ranges begin.
        column: instead, the column whose values are the strata.
        allocation: "neyman" (by size times standard deviation of billed dollars) or "proportional" (by size).

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
    """A simple random probe, and a full sample if the probe exceeds its trigger.

    The full sample is drawn if the net dollar error rate of the probe is above `trigger`.
    A simple random full sample continues the probe; a stratified one is drawn independently of it.

    >>> ProbeThenFull(50, SimpleRandom(150), trigger=0.05).full.claims
    150
    """

    probe: int
    full: SimpleRandom | Stratified
    trigger: float


Design = SimpleRandom | Stratified | ProbeThenFull


@dataclass(frozen=True, eq=False)
class ClaimLayout:
    """Claims in the order of stratum and id, and the size of the sample of each stratum.

    Attributes:
        ids, billed, overpaid: (n,) of the claims [USD].
        row: (n,) row of each claim in the frame.
        labels: (h,) of the strata.
        start: (h + 1,) stratum k has the places start[k] to start[k + 1].
        take: (h,) claims to draw.
        stream: name of the random stream.
    """

    ids: UInt64Array
    billed: FloatArray
    overpaid: FloatArray
    row: Int64Array
    labels: tuple[str, ...]
    start: Int64Array
    take: Int64Array
    stream: str

    @cached_property
    def sizes(self) -> Int64Array:
        """Claims of each stratum."""
        return np.diff(self.start)

    def draw(self, seed: int, replicates: UInt64Array) -> list[Int64Array]:
        """Return the places drawn, ascending: for each stratum (replicates, take)."""
        return [
            _draw_lowest(self.ids[a:b], int(take), seed, self.stream, replicates) + a
            for (a, b), take in zip(pairwise(self.start.tolist()), self.take, strict=True)
        ]


@accept_frames
def sample(claims: pl.DataFrame, design: SimpleRandom | Stratified, *, seed: int) -> pl.DataFrame:
    """Draw an audit sample.

    Args:
        claims: (n,) rows of `schema.CLAIMS`; billed dollars are enough. Other columns stay, rows keep their order.
        design: how many claims, and from which strata.
        seed: any integer; the same seed, kind of design and ids draw the same claims.

    Returns:
        The claims with `stratum` (its label: "all", a range of dollars, or a value of the design's column) and
        `is_sampled`.

    Raises:
        SchemaError: a column is missing or of the wrong type.
        InputError: ids repeat, dollars are null or not finite, or the design asks for more claims than there are.

    >>> claims = pl.DataFrame({"admission_id": [1, 2, 3], "billed_usd": [9e3, 6e3, 7e3]})
    >>> sample(claims, SimpleRandom(2), seed=1)["is_sampled"].sum()
    2
    """
    layout = lay_out_claims(claims, design, is_correct_known=False)
    is_sampled = np.zeros(len(claims), np.bool_)
    is_sampled[layout.row[np.concatenate(layout.draw(seed, np.zeros(1, np.uint64)), axis=1)[0]]] = True
    stratum = np.empty(len(claims), np.int64)
    stratum[layout.row] = np.repeat(np.arange(len(layout.labels)), layout.sizes)
    return claims.with_columns(stratum=pl.Series(layout.labels).gather(stratum), is_sampled=pl.Series(is_sampled))


def lay_out_claims(
    claims: pl.DataFrame, design: SimpleRandom | Stratified, *, is_correct_known: bool = True
) -> ClaimLayout:
    """Return the claims by stratum, with sample sizes. Arguments and errors as `sample`.

    With `is_correct_known` false, `correct_usd` is neither needed nor read, and `overpaid` is NaN.
    """
    frame = _check_claims(claims, CLAIMS.names if is_correct_known else ("admission_id", "billed_usd"))
    billed = frame["billed_usd"].to_numpy()
    if isinstance(design, SimpleRandom):
        stratum, stream = np.zeros(len(frame), np.int64), "audit sample, simple"
        labels: tuple[str, ...] = ("all",)
    elif isinstance(design, Stratified):
        (stratum, labels), stream = _assign_strata(claims, billed, design), "audit sample, stratified"
    else:
        raise InputError(f"design is {design!r:.80}; expected SimpleRandom or Stratified.")
    ids = frame["admission_id"].to_numpy()
    row = np.lexsort((ids, stratum))
    start = np.searchsorted(stratum[row], np.arange(len(labels) + 1))
    parts = [billed[row[a:b]] for a, b in pairwise(start.tolist())]
    spread = np.array([part.std(ddof=1) if len(part) > 1 else 0.0 for part in parts])
    if isinstance(design, SimpleRandom) or design.allocation == "proportional":
        spread = np.ones(len(parts))
    correct = frame["correct_usd"].to_numpy() if is_correct_known else np.full(len(frame), np.nan)
    overpaid = (billed - correct)[row]
    take = allocate_sample(design.claims, np.diff(start), spread)
    return ClaimLayout(ids[row], billed[row], overpaid, row, labels, start, take, stream)


def _check_claims(claims: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    frame = check_frame(claims, CLAIMS, needs=names)
    if not len(frame):
        raise InputError("there are no claims to sample from.")
    unusable = frame.select(~pl.col(name).cast(pl.Float64).is_finite().fill_null(value=False) for name in names).sum()
    bad = [f"{count} of {name}" for name, count in zip(unusable.columns, unusable.row(0), strict=True) if count]
    if bad:
        raise InputError(f"claims hold nulls or numbers that are not finite: {', '.join(bad)}. Drop or repair them.")
    repeated = frame["admission_id"].is_duplicated()
    if repeated.any():
        raise InputError(
            f"{repeated.sum()} claims share an admission_id, the first in row {repeated.arg_max()}; "
            "give each claim its id."
        )
    return frame


def _assign_strata(claims: pl.DataFrame, billed: FloatArray, design: Stratified) -> tuple[Int64Array, tuple[str, ...]]:
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
    """Return the values at which strata begin, by the cumulative square root of frequency.

    Args:
        values: (n,) such as billed dollars.
        strata: number of strata.
        classes: number of classes of equal width in which values are counted.

    Returns:
        At most `strata` - 1 boundaries, ascending; fewer where many values are equal.

    Raises:
        InputError: `strata` is below 1.

    Source: T. Dalenius and J. L. Hodges, Minimum variance stratification, JASA 54 (1959); Cochran, 5A.7.

    >>> find_boundaries(np.arange(101.0), 4, classes=20).tolist()
    [25.0, 50.0, 75.0]
    """
    if strata < 1:
        raise InputError(f"strata is {strata!r}; expected at least 1.")
    count, edges = np.histogram(values, classes)
    cumulative = np.cumsum(np.sqrt(count))
    nearest = [int(np.abs(cumulative - cumulative[-1] * k / strata).argmin()) for k in range(1, strata)]
    return np.unique(edges[1:][[at for at in nearest if at < classes - 1]])


def allocate_sample(claims: int, sizes: Int64Array, spread: FloatArray) -> Int64Array:
    """Return the sample size of each stratum, (h,) with sum `claims`.

    A stratum gives at least 2 claims and at most all of its claims. Among whole numbers the allocation minimises the
    sum of (size * spread)² / sample size: each further claim goes where it lowers the sum most. With standard
    deviations as spread this is Neyman's allocation, with ones the proportional allocation. Source: T. Wright, The
    American Statistician 66 (2012), 217-224.

    Args:
        claims: in the whole sample.
        sizes: (h,) claims of each stratum.
        spread: (h,) standard deviation within each stratum [USD], or ones.

    Raises:
        InputError: `claims` is below the least sample, or above the number of claims.

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
    taken = np.concatenate([np.arange(low, min(size, claims)) for low, size in zip(least, sizes, strict=True)])
    gain = weight[stratum] ** 2 / (taken * (taken + 1.0))
    best = np.argsort(-gain, kind="stable")[: claims - int(least.sum())]
    return least + np.bincount(stratum[best], minlength=len(sizes))


def _draw_lowest(ids: UInt64Array, take: int, seed: int, stream: str, replicates: UInt64Array) -> Int64Array:
    """Return the places of the ids with the lowest random bits, ascending, (replicates, take)."""
    if take == len(ids):
        return np.tile(np.arange(take), (len(replicates), 1))
    random = random_bits(seed, stream, ids[None, :], replicates[:, None])
    lowest = np.argpartition(random, take - 1, axis=1)[:, :take]
    return np.sort(lowest, axis=1)


def split_replicates(replicates: int, claims: int, most: int = 2_000_000) -> Iterator[UInt64Array]:
    """Yield the numbers of the replicates in parts of at most `most` claims, to bound memory."""
    size = max(1, most // max(claims, 1))
    for start in range(0, replicates, size):
        yield np.arange(start, min(start + size, replicates), dtype=np.uint64)


def list_samples(
    layout: ClaimLayout, places: Sequence[Int64Array], found: FloatArray
) -> list[tuple[FloatArray, FloatArray]]:
    """Return billed and found dollars of the sample of each stratum.

    Args:
        layout: the claims.
        places: for each stratum (replicates, take), as `ClaimLayout.draw` returns them.
        found: (replicates, n) overpayment found, the strata next to each other [USD].
    """
    ends = np.cumsum([0, *(part.shape[-1] for part in places)]).tolist()
    return [(layout.billed[part], found[..., a:b]) for part, (a, b) in zip(places, pairwise(ends), strict=True)]
