"""Where an error can happen, and its possible outcomes: what every error model returns."""

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
from drgsim.rebilling.baseline import Baseline
from drgsim.rebilling.code_changes import ChangeKind, CodeChanges

_COLUMNS = ("row", "kind", "place", "before", "rate", "draw")


@dataclass(frozen=True, eq=False)
class Options:
    """Possible outcomes of errors, in groups.

    Group g holds the options start[g] to start[g + 1].

    Attributes:
        start: (g + 1,) where the options of each group begin, and where the last end.
        after: (k,) the code after the error (or discharge status, sex, age, POA).
        weight: (k,) how likely each option is relative to the others of its group.
        place: (k,) the place that is changed, or -1 for the place of the site.
        choices: what draws an option of a group.

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
        """Build options from groups; without weights, all options of a group are equally likely.

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
        """Return the groups of all parts, end to end."""
        choices = Choices.join([part.choices for part in parts])
        after, weight, place = (
            np.concatenate([getattr(part, name) for part in parts]) for name in ("after", "weight", "place")
        )
        return cls(choices.start, after, weight, place, choices)

    @classmethod
    def single(cls, after: int) -> Options:
        """Return one group with one option; code 0 removes the code of the site."""
        return cls.of(np.array([0, 1]), np.array([after]))


@dataclass(frozen=True, eq=False)
class Sites:
    """Where an error can happen, (s,) each, rows ascending.

    `of_sdx`, `of_procedures` and `of` build sites.

    Attributes:
        row: the admission.
        kind: what is changed, a `ChangeKind`.
        place: the position in the admission's list.
        before: the code there.
        rate: the probability of the error.
        draw: a number that separates the random draws of errors that would change the same code.
        group: a group of `options`; where the group is empty the error cannot be made, and is counted.
        options: the possible outcomes.

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
        """Return the number of sites."""
        return len(self.row)

    @cached_property
    def open_bytes(self) -> NDArray[np.uint8]:
        """`keyed_random.find_open_bytes` of the rates, (s,)."""
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
    ) -> Sites:
        """Build sites of one kind.

        By default `group` and `place` are 0, and `before` is no code.
        """
        n = len(row)

        def fill_column(values: NDArray[np.integer] | None) -> NDArray[Any]:
            return np.zeros(n, np.int32) if values is None else values.astype(np.int32)

        return cls(
            row=row.astype(np.int64),
            kind=np.full(n, kind, np.uint8),
            place=fill_column(place),
            before=fill_column(before),
            rate=np.broadcast_to(np.asarray(rate, np.float64), (n,)).copy(),
            draw=np.zeros(n, np.uint8),
            group=fill_column(group),
            options=options,
        )

    @classmethod
    def none(cls, kind: ChangeKind) -> Sites:
        """Return no sites, of a kind of change."""
        return cls.of(kind, np.zeros(0, np.int64), 0.0, Options.single(0))

    @classmethod
    def of_sdx(
        cls,
        baseline: Baseline,
        at: Int64Array,
        rate: float | FloatArray,
        options: Options,
        *,
        group: NDArray[np.integer] | None = None,
    ) -> Sites:
        """Build sites at secondary diagnoses.

        Args:
            baseline: the admissions.
            at: (s,) positions in `baseline.encoded.sdx`, ascending.
            rate: the probability of each, (s,), or of all.
            options: the possible outcomes.
            group: (s,) the group of options of each; by default the first.

        >>> sites = Sites.of_sdx(baseline, np.array([1, 2]), 0.1, Options.single(0))
        >>> sites.row.tolist(), sites.place.tolist()
        ([0, 1], [1, 0])
        """
        encoded = baseline.encoded
        row = encoded.sdx_row[at]
        place = at - encoded.sdx_start[row]
        return cls.of(ChangeKind.SDX, row, rate, options, group=group, place=place, before=encoded.sdx[at])

    @classmethod
    def of_procedures(
        cls,
        baseline: Baseline,
        at: Int64Array,
        rate: float | FloatArray,
        options: Options,
        *,
        group: NDArray[np.integer] | None = None,
    ) -> Sites:
        """Build sites at procedures.

        `at` are positions in `baseline.encoded.procedures`; the other arguments are those of `of_sdx`.
        """
        encoded = baseline.encoded
        row = encoded.procedure_row[at]
        place = at - encoded.procedure_start[row]
        before = encoded.procedures[at]
        return cls.of(ChangeKind.PROCEDURE, row, rate, options, group=group, place=place, before=before)

    def with_draw(self, draw: int) -> Sites:
        """Return the sites with another draw number, 0 to 15.

        Sites with different draw numbers have independent draws.

        >>> Sites.none(ChangeKind.SDX).with_draw(1).draw.tolist()
        []
        """
        return replace(self, draw=np.full(len(self), draw, np.uint8))

    @classmethod
    def join(cls, parts: Sequence[Sites]) -> Sites:
        """Return the sites of all parts, rows ascending.

        Sites of one admission have the order of the parts.
        """
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
        """Return some of the sites, in the order of `which`."""
        return replace(self, **{name: getattr(self, name)[which] for name in (*_COLUMNS, "group")})

    def changes(self, site: Int64Array, option: Int64Array) -> CodeChanges:
        """Return the changes that options make at sites, (k,)."""
        place, before = self.place[site], self.before[site]
        own = self.options.place[option]
        return CodeChanges(
            self.row[site], self.kind[site], np.where(own < 0, place, own), before, self.options.after[option]
        )
