"""Precision, recall and F1 of codes: how many both sides have, one misses, one adds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from drgsim.miscoding.confusable_codes import find_chapter_starts
from drgsim.numerics.arrays import FloatArray, Int64Array
from drgsim.rebilling.baseline import Baseline
from drgsim.rebilling.code_changes import ChangeKind
from drgsim.review.agreement_statistics import Units, estimate_ratio
from drgsim.review.code_alignment import Differences
from drgsim.review.list_matching import Coding, match_keys
from drgsim.tables.manifest import read_table

_CATEGORY = 3
Occurrences = tuple[NDArray[np.integer], NDArray[np.integer]]
"""Stay and code number of each occurrence of a code."""


@dataclass(frozen=True, eq=False)
class CodeCounts:
    """Occurrences of codes in the reference, of those missed, and of those added.

    Attributes:
        reference, missed, added: for diagnoses, then procedures.
        principal: (n,) whether the principal diagnosis is the same.
    """

    reference: tuple[Occurrences, Occurrences]
    missed: tuple[Occurrences, Occurrences]
    added: tuple[Occurrences, Occurrences]
    principal: np.ndarray

    def by_row(self, name: str, n: int) -> FloatArray:
        """Return the number of codes of each stay that are `in_both`, `missed` or `added`, (n,)."""

        def count(both: tuple[Occurrences, Occurrences]) -> FloatArray:
            return sum((np.bincount(row, minlength=n).astype(np.float64) for row, _ in both), np.zeros(n))

        if name == "in_both":
            return count(self.reference) - count(self.missed)
        return count(getattr(self, name))


def count_codes(sides: tuple[Coding, Coding], found: Differences) -> CodeCounts:
    """Return the occurrences of codes on both sides, wherever a code is in its list."""
    reference, other = sides
    changes, kind = found.changes, found.changes.kind
    pdx = np.flatnonzero(reference.pdx > 0)
    of_diagnoses = np.concatenate([pdx, reference.encoded.sdx_row]), np.concatenate([reference.pdx[pdx], reference.sdx])
    of_procedures = reference.encoded.procedure_row, reference.procedures
    everywhere = _drop_empty(*of_diagnoses), _drop_empty(*of_procedures)
    lost: list[Occurrences] = []
    gained: list[Occurrences] = []
    for kinds in (
        (ChangeKind.PDX, ChangeKind.SDX, ChangeKind.ADD_SDX),
        (ChangeKind.PROCEDURE, ChangeKind.ADD_PROCEDURE),
    ):
        own = np.isin(kind, kinds)
        gone, come = np.flatnonzero(own & (found.before > 0)), np.flatnonzero(own & (found.after > 0))
        row = changes.row
        at, to = match_keys(row[gone], found.before[gone], row[come], found.after[come])
        gone, come = np.delete(gone, at), np.delete(come, to)
        lost.append((row[gone], found.before[gone].astype(np.int64)))
        gained.append((row[come], found.after[come].astype(np.int64)))
    return CodeCounts(everywhere, (lost[0], lost[1]), (gained[0], gained[1]), reference.pdx == other.pdx)


def measure_codes(
    counts: CodeCounts, baseline: Baseline, texts: tuple[pl.Series, pl.Series], units: Units, level: float
) -> pl.DataFrame:
    """Return precision, recall and F1 by scope (see `CodingComparison.codes`)."""
    rows = []
    for scope, which, is_in in _list_scopes(baseline, texts):
        sums, by_code = [np.zeros(units.count) for _ in range(3)], []
        for place in which:
            own = []
            for one in (counts.reference[place], counts.missed[place], counts.added[place]):
                row, code = one if is_in is None else tuple(part[is_in[one[1]]] for part in one)
                own.append(code + place * len(texts[0]))
                sums[len(own) - 1] += units.add_up(np.ones(len(row)), row)
            by_code.append(own)
        both = sums[0] - sums[1]
        f1 = _average_f1([np.concatenate(part) for part in zip(*by_code, strict=True)], sum(map(len, texts)))
        rows.append((scope, *_estimate(both, sums[1], sums[2], level), f1))
    same = units.add_up(counts.principal.astype(np.float64))
    other = units.add_up((~counts.principal).astype(np.float64))
    rows.insert(1, ("principal", *_estimate(same, other, other, level), None))
    names = [f"{name}{end}" for name in ("precision", "recall", "f1") for end in ("", "_low", "_high")]
    schema = {"scope": pl.String, **dict.fromkeys(("in_both", "missed", "added"), pl.Int64)}
    return pl.DataFrame(rows, schema=schema | dict.fromkeys([*names, "macro_f1"], pl.Float64), orient="row")


# ---------------------------------------------------------------------------------------------------------


def _drop_empty(row: NDArray[np.integer], code: NDArray[np.integer]) -> Occurrences:
    return row[code > 0], code[code > 0]


def _list_scopes(
    baseline: Baseline, texts: tuple[pl.Series, pl.Series]
) -> Iterator[tuple[str, tuple[int, ...], np.ndarray | None]]:
    """Yield each scope, its lists (0 diagnoses, 1 procedures), and its code numbers."""
    diagnoses = baseline.rules.diagnoses
    level = np.zeros(len(texts[0]), np.uint8)
    known = diagnoses.scheme_severity[diagnoses.scheme]
    level[: len(known)] = known
    yield "diagnoses", (0,), None
    yield "MCC", (0,), level == 2
    yield "CC", (0,), level == 1
    yield "procedures", (1,), None
    yield "all", (0, 1), None
    starts = find_chapter_starts(baseline.tables)
    chapter = starts.search_sorted(texts[0].str.slice(0, _CATEGORY), side="right").to_numpy().astype(np.int64) - 1
    columns = {"first_category": pl.String(), "title": pl.String()}
    titles = read_table(baseline.tables.folder, "miscoding/chapters.csv", columns)["title"]
    for place, title in enumerate(titles):
        yield title, (0,), chapter == place


def _estimate(both: FloatArray, missed: FloatArray, added: FloatArray, level: float) -> tuple[float | None, ...]:
    """Return the counts, then precision, recall and F1 with their intervals."""
    precision = estimate_ratio(both, both + added, level)
    recall = estimate_ratio(both, both + missed, level)
    f1 = estimate_ratio(2 * both, 2 * both + missed + added, level)
    return (*(int(part.sum()) for part in (both, missed, added)), *precision, *recall, *f1)


def _average_f1(codes: list[Int64Array], most: int) -> float | None:
    """Return the mean F1 of the codes of either side; `codes`: reference, missed, added."""
    reference, missed, added = (np.bincount(part, minlength=most) for part in codes)
    both = reference - missed
    below = 2 * both + missed + added
    there = below > 0
    return float((2 * both[there] / below[there]).mean()) if there.any() else None
