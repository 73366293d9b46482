"""Where an error can happen, and what may come of it: the two things an model says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drgsim.numerics.arrays import BoolArray, FloatArray, Int64Array
from drgsim.numerics.keyed_random import Choices, find_open_bytes
from drgsim.numerics.segments import argsort_keys
from drgsim.rebilling.code_changes import ChangeKind, CodeChanges

_COLUMNS = ("row", "kind", "place", "before", "rate", "draw")


@dataclass(frozen=True, eq=False)
class Options:
    """What may come of an error, in groups laid end to end: group g holds options start[g] to start[g + 1].

    `after` is the code (or status, or place for a swap), `weight` how likely beside the others of its group.
    `place` is where the edit goes, or -1 for the place of the site.

    >>> two = Options.of(np.array([0, 1, 3]), np.array([7, 8, 9]))
    >>> two.after[two.start[1] : two.start[2]].tolist()
    [8, 9]
    """

    start: Int64Array
    after: NDArray[np.int32]
    weight: FloatArray
    place: NDArray[np.int32]
    choices: Choices

    @classmethod
    def of(
        cls,
        start: Int64Array,
        after: NDArray[np.integer],
        weight: FloatArray | None = None,
        place: NDArray[np.integer] | None = None,
    ) -> Options:
        """Build from groups; without weights all options of a group are alike.

        >>> Options.of(np.array([0, 2]), np.array([5, 6])).after.tolist()
        [5, 6]
        """
        begin = np.asarray(start, np.int64)
        weights = np.ones(len(after)) if weight is None else np.asarray(weight, np.float64)
        places = np.full(len(after), -1) if place is None else place
        choices = Choices.even(begin) if weight is None else Choices.of(weights, begin)
        return cls(begin, np.asarray(after, np.int32), weights, places.astype(np.int32), choices)

    @classmethod
    def join(cls, parts: Sequence[Options]) -> Options:
        """Return groups of several books, end to end."""
        if len(parts) == 1:
            return parts[0]
        first = np.cumsum([0, *(part.start[-1] for part in parts)])
        start = [part.start[:-1] + at for part, at in zip(parts, first, strict=False)]
        return cls.of(
            np.concatenate([*start, first[-1:]]),
            np.concatenate([part.after for part in parts]),
            np.concatenate([part.weight for part in parts]),
            np.concatenate([part.place for part in parts]),
        )

    @classmethod
    def single(cls, after: int) -> Options:
        """Return one group with one option."""
        return cls.of(np.array([0, 1]), np.array([after]))


@dataclass(frozen=True, eq=False)
class Sites:
    """Where an error can happen, (s,) each, rows ascending; with its rate and the group of options to draw from.

    `row` is the admission, `kind` what is edited (`changes.Kind`), `place` the position in its list, `before` the
    code there, `rate` the probability, `group` a group of `options`, which may be empty: then the error cannot
    be made and is counted. `draw` tells apart the draws of errors that would edit the same thing.

    >>> rows = np.array([0, 0, 4])
    >>> sites = Sites.of(ChangeKind.SDX, rows, 0.1, Options.single(0), place=np.array([0, 1, 0]))
    >>> len(sites), sites.take(rows > 0).rate.tolist()
    (3, [0.1])
    """

    row: Int64Array
    kind: NDArray[np.uint8]
    place: NDArray[np.int32]
    before: NDArray[np.int32]
    rate: FloatArray
    draw: NDArray[np.uint8]
    group: NDArray[np.int32]
    options: Options

    def __len__(self) -> int:
        """Number of sites."""
        return len(self.row)

    @cached_property
    def open_bytes(self) -> NDArray[np.uint8]:
        """`draws.open_bytes` of the rates, (s,)."""
        return find_open_bytes(self.rate)

    @classmethod
    def of(
        cls,
        kind: ChangeKind,
        row: NDArray[np.integer],
        rate: float | FloatArray,
        options: Options,
        *,
        group: NDArray[np.integer] | None = None,
        place: NDArray[np.integer] | None = None,
        before: NDArray[np.integer] | None = None,
        draw: int = 0,
    ) -> Sites:
        """Build sites of one kind; without groups all draw from the first, without places all edit the first."""
        n = len(row)

        def column(values: NDArray[np.integer] | None, dtype: type[np.integer]) -> NDArray[Any]:
            return np.zeros(n, dtype) if values is None else values.astype(dtype)

        return cls(
            row=row.astype(np.int64),
            kind=np.full(n, kind, np.uint8),
            place=column(place, np.int32),
            before=column(before, np.int32),
            rate=np.broadcast_to(np.asarray(rate, np.float64), (n,)).copy(),
            draw=np.full(n, draw, np.uint8),
            group=column(group, np.int32),
            options=options,
        )

    @classmethod
    def join(cls, parts: Sequence[Sites]) -> Sites:
        """Return sites of several kinds as one, rows ascending; sites of one admission keep the order of the parts."""
        books = list({id(part.options): part.options for part in parts}.values())
        groups = np.cumsum([0, *(len(book.start) - 1 for book in books)])
        first = {id(book): group for book, group in zip(books, groups, strict=False)}
        whole = cls(
            **{name: np.concatenate([getattr(part, name) for part in parts]) for name in _COLUMNS},
            group=np.concatenate([part.group + np.int32(first[id(part.options)]) for part in parts]),
            options=Options.join(books),
        )
        return whole.take(argsort_keys(whole.row))

    def take(self, which: NDArray[np.integer] | BoolArray | slice) -> Sites:
        """Return some of the sites."""
        return replace(self, **{name: getattr(self, name)[which] for name in (*_COLUMNS, "group")})

    def changes(self, site: Int64Array, option: Int64Array) -> CodeChanges:
        """Return the changes that options make at sites, (k,)."""
        place, before = self.place[site], self.before[site]
        own = self.options.place[option]
        return CodeChanges(
            self.row[site], self.kind[site], np.where(own < 0, place, own), before, self.options.after[option]
        )
