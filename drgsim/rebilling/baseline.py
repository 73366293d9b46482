"""Admissions as correctly coded, grouped and priced once, and rebilled with code changes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from drgsim.exceptions import InputError
from drgsim.grouping.code_attributes import Attributes, compile_attributes
from drgsim.grouping.grouper import Grouping, group_encoded, grouping_of, rerun_steps, run_steps
from drgsim.grouping.operand_bits import Observed, observe
from drgsim.numerics.arrays import Int64Array, UInt64Array
from drgsim.numerics.keyed_random import random_bits
from drgsim.numerics.parallel import run_over_spans
from drgsim.numerics.segments import expand_rows, find_owners, find_run_starts, or_into
from drgsim.pricing.contracts import PriceTerms
from drgsim.rebilling.bill_edits import BillEditor
from drgsim.rebilling.code_changes import ChangeKind, CodeChanges, apply_changes
from drgsim.rebilling.repricer import Repricer
from drgsim.rebilling.visible_changes import SEVERITY_ONLY, VISIBLE, Visibility
from drgsim.schema import ADMISSIONS, Frame, check_frame
from drgsim.tables.encoding import Encoded, encode, join_encoded
from drgsim.tables.table_set import TableSet

_OK = 0
_KEYED = Frame("admissions", (ADMISSIONS["admission_id"],))
UNKNOWN_NUMBER = -1
"""Marks an age or a length of stay that is not known."""


@dataclass(frozen=True, eq=False)
class Rebilled:
    """Bills of admissions, (k,) each.

    Attributes:
        drg, mdc: as billed.
        severity: place in `schema.Severity`.
        cents: payment [cents].
    """

    drg: NDArray[np.uint16]
    mdc: NDArray[np.uint8]
    severity: NDArray[np.uint8]
    cents: Int64Array

    @classmethod
    def join(cls, parts: Sequence[Rebilled]) -> Rebilled:
        """Return the bills of all parts, end to end."""
        return cls(*(np.concatenate([getattr(part, column.name) for part in parts]) for column in fields(cls)))


@dataclass(frozen=True, eq=False)
class Baseline:
    """Admissions as correctly coded (the truth), (n,), to be rebilled with code changes.

    Attributes:
        grouped: the admissions with the columns of `schema.GROUPED`.
        tables: the grouper version.
        encoded: the admissions as integers.
        age: [years], -1 where not known.
        los: length of stay [days], -1 where not known.
        truth: the answer of the grouper.
        pricer: their payment, and what prices them again.
        observed: the operands that the formulas read.
        visibility: what decides how visible a code change is to the formulas.
        editor: what holds bills against CMS's claim edits; None where edits return no bill.

    >>> from drgsim import Rates
    >>> one = pl.DataFrame({"admission_id": [1], "age": [54], "sex": ["F"], "discharge_status": [1], "pdx": ["K810"],
    ...                     "sdx": [["J9601"]], "sdx_poa": [["Y"]], "procedures": [["0FT44ZZ"]]})
    >>> baseline = Baseline.of(one, tables=TableSet.load("43.1"), hospitals=None, rates=Rates.load(2026))
    >>> kind, zero = np.array([ChangeKind.SDX], np.uint8), np.array([0])
    >>> removal = CodeChanges(zero, kind, zero, baseline.encoded.sdx, zero)
    >>> baseline.truth.drg.tolist(), baseline.rebill(removal, np.array([0, 1])).drg.tolist()
    ([417], [419])
    """

    grouped: pl.DataFrame = field(repr=False)
    tables: TableSet
    encoded: Encoded = field(repr=False)
    age: Int64Array = field(repr=False)
    los: Int64Array = field(repr=False)
    truth: Grouping = field(repr=False)
    pricer: Repricer = field(repr=False)
    observed: Observed = field(repr=False)
    visibility: Visibility = field(repr=False)
    editor: BillEditor | None = field(default=None, repr=False)

    def __len__(self) -> int:
        """Return the number of admissions."""
        return len(self.encoded)

    @cached_property
    def ids(self) -> UInt64Array:
        """Admission ids, (n,); they key all random draws.

        Raises:
            InputError: an id is missing or not unique.
        """
        return _check_ids(check_frame(self.grouped, _KEYED)["admission_id"])

    @cached_property
    def code_filter(self) -> UInt64Array:
        """A filter of the secondary diagnoses of each admission, (n,), 64 bits.

        An admission without the bit of a code (`compute_filter_bits`) does not have the code.
        """
        bits = np.zeros(len(self), np.uint64)
        or_into(bits, self.encoded.sdx_row, compute_filter_bits(self.encoded.sdx))
        return bits

    @property
    def rules(self) -> Attributes:
        """The grouper version as compiled for the engine."""
        return compile_attributes(self.tables)

    @classmethod
    def of(
        cls,
        admissions: pl.DataFrame,
        *,
        tables: TableSet,
        hospitals: pl.DataFrame | None,
        rates: PriceTerms | None,
        hospital_status: str | None = None,
    ) -> Baseline:
        """Encode, group and price admissions.

        Args:
            admissions: (n,) `schema.ADMISSIONS`, with the columns that `price` needs unless `hospitals` is None.
            tables: the grouper version of all of them.
            hospitals: `schema.HOSPITALS`; with None the payment is the weight times `base_rate_usd`.
            rates: one `Rates`, or several, chosen by discharge date; with None every payment is 0.
            hospital_status: as in `group`; None means NON_EXEMPT if the admissions have POA, else EXEMPT.

        Raises:
            SchemaError: as in `group` and `price`.
            InputError: `tables` is not a TableSet.
        """
        if not isinstance(tables, TableSet):
            raise InputError(f"tables is {tables!r}, expected a TableSet: TableSet.load({str(tables)!r}).")
        frame = check_frame(admissions, ADMISSIONS)
        status = hospital_status or ("NON_EXEMPT" if "sdx_poa" in frame.columns else "EXEMPT")
        encoded = encode(admissions, tables, hospital_status=status)
        truth = group_encoded(encoded, tables)
        grouped = admissions.with_columns(truth.frame())
        return cls(
            grouped=grouped,
            tables=tables,
            encoded=encoded,
            age=_read_numbers(frame, "age"),
            los=_read_numbers(frame, "los_days"),
            truth=truth,
            pricer=Repricer.of(grouped, encoded, hospitals, rates, tables),
            observed=observe(encoded, compile_attributes(tables)),
            visibility=Visibility.of(encoded, truth.return_code == _OK, compile_attributes(tables)),
        )

    def with_editor(self) -> Baseline:
        """Return the same admissions, whose bills are returned also for claim edits.

        A bill is returned where an error causes a prepayment edit of CMS's editor.

        Raises:
            SchemaError: the admissions have no `discharge_date`.
        """
        return replace(self, editor=BillEditor.of(self.grouped, self.encoded, self.age, self.tables))

    def rebill(self, changes: CodeChanges, start: Int64Array) -> Rebilled:
        """Return DRG and payment of admissions billed with changes, (b,).

        One admission may have several bills.

        Args:
            changes: (k,) changes of any admissions; those of one bill are consecutive.
            start: (b + 1,) where the changes of each bill begin, and where the last end; every bill has a change.
        """
        rows = changes.row[start[:-1]]
        drg, mdc, severity = (getattr(self.truth, name)[rows] for name in ("drg", "mdc", "severity"))
        billed = Rebilled(drg, mdc, severity, self.pricer.cents[rows])
        level, word = np.full(len(rows), VISIBLE, np.uint8), np.zeros(len(rows), np.uint64)
        alone = np.flatnonzero(np.diff(start) == 1)
        single = changes.take(start[alone])
        level[alone], word[alone] = self.visibility.classify(single)
        level[alone[self.pricer.may_change_price(single)]] = VISIBLE
        self._rebill_severity(billed, np.flatnonzero(level == SEVERITY_ONLY), rows, word)
        self._rebill_codes(billed, np.flatnonzero(level == VISIBLE), rows, changes, start)
        return billed

    def _rebill_severity(self, billed: Rebilled, which: Int64Array, rows: Int64Array, word: UInt64Array) -> None:
        """Group and price the bills whose severity alone changes; `word` is their severity."""

        def rebill_span(a: int, b: int) -> Int64Array:
            at = which[a:b]
            found = rerun_steps(word[at], rows[at], self.observed, self.encoded, self.rules)
            moved = found.drg != self.truth.drg[rows[at]]
            by_text = moved & self.pricer.needs_text(rows[at], found.drg)
            status = self.encoded.status_place[rows[at]]
            self._write(billed, at, rows, found, status, moved & ~by_text)
            return np.asarray(at[by_text])

        left = np.concatenate([np.zeros(0, np.int64), *run_over_spans(len(which), rebill_span)])
        if len(left):  # only severity changes: the text as correctly coded serves
            billed.cents[left] = self.pricer.reprice_in_full(
                rows[left], billed.drg[left], self.pricer.encoded_texts.take(rows[left])
            )

    def _rebill_codes(
        self, billed: Rebilled, which: Int64Array, rows: Int64Array, changes: CodeChanges, start: Int64Array
    ) -> None:
        """Group and price bills from their changed codes."""
        own, first = expand_rows(start, which)
        shown, bounds = changes.take(own), np.append(find_run_starts(first), len(own))

        def rebill_span(a: int, b: int) -> tuple[Int64Array, Encoded]:
            at = which[a:b]
            mine = shown.take(slice(bounds[a], bounds[b]))
            bill = find_owners(bounds[a : b + 1] - bounds[a])
            changed = apply_changes(self.encoded.take(rows[at]), replace(mine, row=bill))
            found = grouping_of(run_steps(changed, self.rules))
            moved = found.drg != self.truth.drg[rows[at]]
            by_text = moved & self.pricer.needs_text(rows[at], found.drg)
            by_text[bill[self.pricer.may_change_price(mine)]] = True
            moved[bill[mine.kind == ChangeKind.DISCHARGE_STATUS]] = True
            self._write(billed, at, rows, found, changed.status_place, moved & ~by_text)
            left = np.flatnonzero(by_text)
            if self.pricer.encoded_texts is not self.encoded:
                changed = apply_changes(self.pricer.encoded_texts.take(rows[at]), replace(mine, row=bill))
            return at[left], changed.take(left)

        parts = [(at, changed) for at, changed in run_over_spans(len(which), rebill_span) if len(at)]
        if parts:
            at = np.concatenate([at for at, _ in parts])
            billed.cents[at] = self.pricer.reprice_in_full(
                rows[at], billed.drg[at], join_encoded([part for _, part in parts])
            )

    def _write(
        self,
        billed: Rebilled,
        at: Int64Array,
        rows: Int64Array,
        found: Grouping,
        status: NDArray[np.uint16],
        moved: NDArray[np.bool_],
    ) -> None:
        billed.drg[at], billed.mdc[at], billed.severity[at] = found.drg, found.mdc, found.severity
        which = np.flatnonzero(moved)
        own = at[which]
        billed.cents[own] = self.pricer.reprice(rows[own], found.drg[which], status[which])

    def find_returned(self, drg: NDArray[np.uint16], changes: CodeChanges, start: Int64Array) -> NDArray[np.bool_]:
        """Return which bills are returned to the hospital unpaid, (b,).

        They cannot be grouped as billed, but as correctly coded; with an editor also those that have prepayment edits
        as billed and none as correctly coded.

        Args:
            drg: (b,) as billed.
            changes, start: as in `rebill`.
        """
        returned = self.find_ungroupable(drg, changes.row[start[:-1]])
        return returned if self.editor is None else returned | self.editor.find_edited(changes, start)

    def find_ungroupable(self, drg: NDArray[np.uint16], rows: Int64Array) -> NDArray[np.bool_]:
        """Return which bills cannot be grouped although their admission (`rows`) can, (b,)."""
        found: NDArray[np.bool_] = (drg == self.rules.rulebook.ungroupable) & (self.truth.return_code[rows] == _OK)
        return found

    def digest(self, named: Iterable[str] = ()) -> str:
        """Return a digest of the admissions in hexadecimal digits; their order does not matter.

        Args:
            named: further columns to digest, as text; absent columns are ignored.
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
        texts = {name: number_texts(self.grouped[name]) for name in sorted(named) if name in self.grouped.columns}
        columns |= {f"column {name}": values.view(np.int64) for name, values in texts.items()}
        total = sum(_sum_hashes(name, self.ids, values.astype(np.int64)) for name, values in columns.items())
        poa = 0 if encoded.poa is None else encoded.poa.astype(np.int64) << 24
        for name, codes, start, row in (
            ("sdx", encoded.sdx + poa, encoded.sdx_start, encoded.sdx_row),
            ("procedure", encoded.procedures, encoded.procedure_start, encoded.procedure_row),
        ):
            place = np.arange(len(codes)) - start[row]
            total += _sum_hashes(name, self.ids[row], (place << 32) + codes)
        if self.editor is not None:
            total += _sum_hashes("edits", self.ids, (self.editor.ranges << 1) + self.editor.has_prepayment)
        return f"{len(self):x}-{total % 2**64:016x}"


def compute_filter_bits(codes: NDArray[np.int32]) -> UInt64Array:
    """Return one of 64 bits for each code, (k,), for `Baseline.code_filter`."""
    place = codes.astype(np.uint64)
    place &= np.uint64(63)
    return np.left_shift(np.uint64(1), place, out=place)


def join_digests(digests: Iterable[str]) -> str:
    """Return the digest of all admissions from the digests (`Baseline.digest`) of parts.

    The order of the parts does not matter.

    >>> join_digests(["a-00000000000000ff", "6-0000000000000001"])
    '10-0000000000000100'
    """
    counts, sums = zip((0, 0), *((int(word, 16) for word in one.split("-")) for one in digests), strict=True)
    return f"{sum(counts):x}-{sum(sums) % 2**64:016x}"


def _sum_hashes(name: str, ids: UInt64Array, values: Int64Array) -> int:
    """Return a sum of hashes; the order of the rows does not change it."""
    return int(random_bits(0, f"digest {name}", ids, values.view(np.uint64)).sum())


def number_texts(texts: pl.Series) -> UInt64Array:
    """Return a number for each text, (n,), the same on every machine.

    Null counts as the empty text.
    """
    found = texts.cast(pl.String).fill_null("")
    distinct = found.unique()
    numbers = [int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") for text in distinct]
    known = pl.Series(numbers, dtype=pl.UInt64)
    return found.replace_strict(distinct, known, return_dtype=pl.UInt64).cast(pl.UInt64).to_numpy()


def _check_ids(ids: pl.Series) -> UInt64Array:
    if ids.null_count():
        raise InputError(
            f"admission_id is missing in {ids.null_count():,} rows, first in row {ids.is_null().arg_max()}."
        )
    twice = ids.is_duplicated()
    if twice.any():
        row = int(twice.arg_max() or 0)
        raise InputError(
            f"the admission_id of row {row} comes more than once ({int(twice.sum()):,} rows share ids): it keys the "
            "random draws. Number the admissions: frame.with_row_index('admission_id')."
        )
    return ids.to_numpy()


def _read_numbers(frame: pl.DataFrame, name: str) -> Int64Array:
    if name not in frame.columns:
        return np.full(len(frame), UNKNOWN_NUMBER, np.int64)
    return frame[name].fill_null(UNKNOWN_NUMBER).to_numpy().astype(np.int64)
