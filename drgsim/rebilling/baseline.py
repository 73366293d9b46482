"""Admissions ready for coding errors: encoded, grouped and priced once; `billed` says what edits make of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from drgsim.exceptions import InputError
from drgsim.grouping.code_attributes import Attributes, attributes
from drgsim.grouping.encoding import Encoded, encode, joined
from drgsim.grouping.grouper import Grouping, answer, grade, group_encoded, regraded
from drgsim.grouping.operand_bits import Observed, observe
from drgsim.numerics.keyed_random import Bits, Ints, bits
from drgsim.numerics.parallel import over_spans
from drgsim.numerics.segments import Words, firsts, or_into, owners, ranges
from drgsim.pricing.rates import Rates
from drgsim.rebilling.code_changes import Edits, Kind, applied
from drgsim.rebilling.repricer import Repricer
from drgsim.rebilling.visible_changes import SEEN, SEVERITY, Sight
from drgsim.schema import ADMISSIONS, Frame, checked
from drgsim.tables.table_set import TableSet

_OK = 0
_KEYED = Frame("admissions", (ADMISSIONS["admission_id"],))
UNKNOWN_NUMBER = -1
"""Stands for an age or a length of stay that is not known."""


@dataclass(frozen=True, eq=False)
class Billed:
    """What admissions are billed as, (k,) each: DRG, severity (place in `schema.Severity`), MDC, payment [cents]."""

    drg: NDArray[np.uint16]
    mdc: NDArray[np.uint8]
    severity: NDArray[np.uint8]
    cents: Ints

    @classmethod
    def joined(cls, parts: Sequence[Billed]) -> Billed:
        """Return bills end to end."""
        return cls(*(np.concatenate([getattr(part, column.name) for part in parts]) for column in fields(cls)))


@dataclass(frozen=True, eq=False)
class Cases:
    """Admissions as they should be billed (the truth), (n,), and what edits of them are billed as.

    Attributes:
        grouped: the admissions with the columns of `schema.GROUPED`.
        tables: the grouper version.
        encoded: the admissions as integers.
        age: [years], `los`: [days]; -1 where not known.
        truth: the grouper's answer.
        pricer: their payment, and what prices them again.
        observed: what the formulas see of them, and `sight` what they can see of an edit.

    >>> from drgsim import Rates
    >>> one = pl.DataFrame({"admission_id": [1], "age": [54], "sex": ["F"], "discharge_status": [1], "pdx": ["K810"],
    ...                     "sdx": [["J9601"]], "sdx_poa": [["Y"]], "procedures": [["0FT44ZZ"]]})
    >>> cases = Cases.of(one, tables=TableSet.load("43.1"), hospitals=None, rates=Rates.load(2026))
    >>> gone = Edits(np.array([0]), np.array([Kind.SDX], np.uint8), np.array([0]), cases.encoded.sdx, np.array([0]))
    >>> cases.truth.drg.tolist(), cases.billed(gone, np.array([0, 1])).drg.tolist()
    ([417], [419])
    """

    grouped: pl.DataFrame = field(repr=False)
    tables: TableSet
    encoded: Encoded = field(repr=False)
    age: Ints = field(repr=False)
    los: Ints = field(repr=False)
    truth: Grouping = field(repr=False)
    pricer: Repricer = field(repr=False)
    observed: Observed = field(repr=False)
    sight: Sight = field(repr=False)

    def __len__(self) -> int:
        """Number of admissions."""
        return len(self.encoded)

    @cached_property
    def ids(self) -> Bits:
        """Admission ids, which key all draws, (n,).

        Raises:
            InputError: an id is missing or comes twice.
        """
        return _distinct_ids(checked(self.grouped, _KEYED)["admission_id"])

    @cached_property
    def marks(self) -> Words:
        """The marks of the secondary diagnoses of each admission, (n,): a code whose mark is not there is not."""
        marks = np.zeros(len(self), np.uint64)
        or_into(marks, self.encoded.sdx_row, mark(self.encoded.sdx))
        return marks

    @property
    def rules(self) -> Attributes:
        """The version in the engine's form."""
        return attributes(self.tables)

    @classmethod
    def of(
        cls,
        admissions: pl.DataFrame,
        *,
        tables: TableSet,
        hospitals: pl.DataFrame | None,
        rates: Rates | Sequence[Rates] | None,
        hospital_status: str | None = None,
    ) -> Cases:
        """Encode, group and price admissions as they are.

        Args:
            admissions: (n,) `schema.ADMISSIONS`, with what `pay` needs unless `hospitals` is None.
            tables: the grouper version of all of them.
            hospitals: `schema.HOSPITALS`, or None: weight times a base rate (`repricing.base_rate_usd`).
            rates: one `Rates`, or several, chosen by discharge date; None prices nothing, all payments are 0.
            hospital_status: as in `group`; None is NON_EXEMPT where there is POA, EXEMPT where there is none.

        Raises:
            SchemaError: as `group` and `pay`.
            InputError: `tables` is no TableSet.
        """
        if not isinstance(tables, TableSet):
            raise InputError(f"tables is {tables!r}, expected a TableSet: TableSet.load({str(tables)!r}).")
        frame = checked(admissions, ADMISSIONS)
        status = hospital_status or ("NON_EXEMPT" if "sdx_poa" in frame.columns else "EXEMPT")
        encoded = encode(admissions, tables, hospital_status=status)
        truth = group_encoded(encoded, tables)
        grouped = admissions.with_columns(truth.frame())
        return cls(
            grouped=grouped,
            tables=tables,
            encoded=encoded,
            age=_numbers(frame, "age"),
            los=_numbers(frame, "los_days"),
            truth=truth,
            pricer=Repricer.of(grouped, encoded, hospitals, rates, tables),
            observed=observe(encoded, attributes(tables)),
            sight=Sight.of(encoded, truth.return_code == _OK, attributes(tables)),
        )

    def billed(self, edits: Edits, start: Ints) -> Billed:
        """Return what bills with edits come to.

        Args:
            edits: (k,) of any admissions, those of one bill together.
            start: (b + 1,) where the edits of each bill begin, and where the last end; none is empty.

        Returns:
            (b,) an admission each; the same admission may be billed in several ways.
        """
        rows = edits.row[start[:-1]]
        drg, mdc, severity = (getattr(self.truth, name)[rows] for name in ("drg", "mdc", "severity"))
        billed = Billed(drg, mdc, severity, self.pricer.cents[rows])
        seen, word = np.full(len(rows), SEEN, np.uint8), np.zeros(len(rows), np.uint64)
        alone = np.flatnonzero(np.diff(start) == 1)
        single = edits.take(start[alone])
        seen[alone], word[alone] = self.sight.of_edits(single)
        seen[alone[self.pricer.asks_otherwise(single)]] = SEEN
        self._regrade(billed, np.flatnonzero(seen == SEVERITY), rows, word)
        self._regroup(billed, np.flatnonzero(seen == SEEN), rows, edits, start)
        return billed

    def _regrade(self, billed: Billed, which: Ints, rows: Ints, word: Words) -> None:
        """Group and price the bills of which severity alone is another."""

        def span(a: int, b: int) -> Ints:
            at = which[a:b]
            found = regraded(word[at], rows[at], self.observed, self.encoded, self.rules)
            moved = found.drg != self.truth.drg[rows[at]]
            by_text = moved & self.pricer.needs_text(rows[at], found.drg)
            status = self.encoded.status_place[rows[at]]
            self._write(billed, at, rows, found, status, moved & ~by_text)
            return np.asarray(at[by_text])

        left = np.concatenate([np.zeros(0, np.int64), *over_spans(len(which), span)])
        if len(left):  # codes beside their severity mean nothing here: the text of the truth will do
            billed.cents[left] = self.pricer.in_full(rows[left], billed.drg[left], self.pricer.texted.take(rows[left]))

    def _regroup(self, billed: Billed, which: Ints, rows: Ints, edits: Edits, start: Ints) -> None:
        """Group and price bills from their codes."""
        own, first = ranges(start, which)
        shown, bounds = edits.take(own), np.append(firsts(first), len(own))

        def span(a: int, b: int) -> tuple[Ints, Encoded]:
            at = which[a:b]
            mine = shown.take(slice(bounds[a], bounds[b]))
            bill = owners(bounds[a : b + 1] - bounds[a])
            changed = applied(self.encoded.take(rows[at]), replace(mine, row=bill))
            found = answer(grade(changed, self.rules))
            moved = found.drg != self.truth.drg[rows[at]]
            by_text = moved & self.pricer.needs_text(rows[at], found.drg)
            by_text[bill[self.pricer.asks_otherwise(mine)]] = True
            moved[bill[mine.kind == Kind.DISCHARGE_STATUS]] = True
            self._write(billed, at, rows, found, changed.status_place, moved & ~by_text)
            left = np.flatnonzero(by_text)
            if self.pricer.texted is not self.encoded:
                changed = applied(self.pricer.texted.take(rows[at]), replace(mine, row=bill))
            return at[left], changed.take(left)

        parts = [(at, changed) for at, changed in over_spans(len(which), span) if len(at)]
        if parts:
            at = np.concatenate([at for at, _ in parts])
            billed.cents[at] = self.pricer.in_full(rows[at], billed.drg[at], joined([part for _, part in parts]))

    def _write(
        self,
        billed: Billed,
        at: Ints,
        rows: Ints,
        found: Grouping,
        status: NDArray[np.uint16],
        moved: NDArray[np.bool_],
    ) -> None:
        billed.drg[at], billed.mdc[at], billed.severity[at] = found.drg, found.mdc, found.severity
        which = np.flatnonzero(moved)
        own = at[which]
        billed.cents[own] = self.pricer.again(rows[own], found.drg[which], status[which])

    def returns(self, rows: Ints, drg: NDArray[np.uint16]) -> NDArray[np.bool_]:
        """Return which bills cannot be grouped though the truth can: they are returned, not paid, (k,)."""
        returned: NDArray[np.bool_] = (drg == self.rules.rulebook.ungroupable) & (self.truth.return_code[rows] == _OK)
        return returned

    def digest(self, named: Iterable[str] = ()) -> str:
        """Return hexadecimal digits that what is known of the admissions decides, whatever their order.

        Args:
            named: further columns that count, as text; those that are not there do not.
        """
        encoded = self.encoded
        columns: dict[str, NDArray[np.integer]] = {
            "pdx": encoded.pdx,
            "sex": encoded.sex,
            "status": encoded.status_place,
            "hospital": encoded.hospital_status,
            "age": self.age,
            "los": self.los,
            "drg": self.truth.drg,
            "cents": self.pricer.cents,
        }
        texts = {name: numbered(self.grouped[name]) for name in sorted(named) if name in self.grouped.columns}
        columns |= {f"column {name}": values.view(np.int64) for name, values in texts.items()}
        total = sum(_hashed(name, self.ids, values.astype(np.int64)) for name, values in columns.items())
        poa = 0 if encoded.poa is None else encoded.poa.astype(np.int64) << 24
        for name, codes, start, row in (
            ("sdx", encoded.sdx + poa, encoded.sdx_start, encoded.sdx_row),
            ("procedure", encoded.procedures, encoded.procedure_start, encoded.procedure_row),
        ):
            place = np.arange(len(codes)) - start[row]
            total += _hashed(name, self.ids[row], (place << 32) + codes)
        return f"{len(self):x}-{total % 2**64:016x}"


def mark(codes: NDArray[np.int32]) -> Words:
    """Return one of 64 bits for each code, by which most codes can be told apart without reading them."""
    place = codes.astype(np.uint64)
    place &= np.uint64(63)
    return np.left_shift(np.uint64(1), place, out=place)


def joined_digest(digests: Iterable[str]) -> str:
    """Return the digest of admissions that were digested in parts (`Cases.digest`), in any order.

    >>> joined_digest(["a-00000000000000ff", "6-0000000000000001"])
    '10-0000000000000100'
    """
    counts, sums = zip((0, 0), *((int(word, 16) for word in one.split("-")) for one in digests), strict=True)
    return f"{sum(counts):x}-{sum(sums) % 2**64:016x}"


def _hashed(name: str, ids: Bits, values: Ints) -> int:
    """Return a sum of hashes, which no order of the rows can change."""
    return int(bits(0, f"digest {name}", ids, values.view(np.uint64)).sum())


def numbered(texts: pl.Series) -> Bits:
    """Return a number for each text (null is the empty one), the same on every machine, (n,)."""
    found = texts.cast(pl.String).fill_null("")
    distinct = found.unique()
    numbers = [int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") for text in distinct]
    known = pl.Series(numbers, dtype=pl.UInt64)
    return found.replace_strict(distinct, known, return_dtype=pl.UInt64).cast(pl.UInt64).to_numpy()


def _distinct_ids(ids: pl.Series) -> Bits:
    if ids.null_count():
        raise InputError(
            f"admission_id is missing in {ids.null_count():,} rows, first in row {ids.is_null().arg_max()}."
        )
    twice = ids.is_duplicated()
    if twice.any():
        row = int(twice.arg_max() or 0)
        raise InputError(
            f"the admission_id of row {row} comes more than once ({int(twice.sum()):,} rows share ids): draws are "
            "keyed by it. Number the admissions: frame.with_row_index('admission_id')."
        )
    return ids.to_numpy()


def _numbers(frame: pl.DataFrame, name: str) -> Ints:
    if name not in frame.columns:
        return np.full(len(frame), UNKNOWN_NUMBER, np.int64)
    return frame[name].fill_null(UNKNOWN_NUMBER).to_numpy().astype(np.int64)
