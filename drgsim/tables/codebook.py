"""Code strings as integers, the same for all versions of a table folder."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import polars as pl
from numpy.typing import NDArray

from drgsim.exceptions import InputError
from drgsim.numerics.arrays import ByteArray, Int32Array
from drgsim.schema import normalise_codes
from drgsim.tables.table_set import TableSet

UNKNOWN_CODE = 0
_ID_MASK = np.uint64((1 << 24) - 1)
_SPREAD = np.uint64(0x9E3779B97F4A7C15)
_BUCKET_BITS = 16
_CHUNK = 65_536


@dataclass(frozen=True, eq=False)
class Codebook:
    """The numbers of a list of codes: `codes[i]` has number i + 1, any other text has 0.

    A two-level perfect hash over 64-bit string hashes: the high bits choose a displacement, the displaced hash
    chooses a slot, and the slot holds the number with the other bits of the hash, which confirm the match.
    """

    codes: pl.Series
    _displacements: NDArray[np.uint64] = field(repr=False)
    _slots: NDArray[np.uint64] = field(repr=False)
    _slot_shift: np.uint64 = field(repr=False)

    @classmethod
    def of(cls, codes: pl.Series) -> Codebook:
        """Return the codebook of distinct `codes`.

        Raises:
            InputError: two codes have the same hash.

        >>> Codebook.of(pl.Series(["A000", "K810"])).numbers(pl.Series(["K810", "k81.0 ", None, "?"]))
        array([2, 2, 0, 0], dtype=int32)
        """
        hashes = codes.hash().to_numpy()
        slot_bits = max(8, int(3 * len(codes)).bit_length())
        shift = np.uint64(64 - slot_bits)
        displacements = np.zeros(1 << _BUCKET_BITS, np.uint64)
        slots = np.zeros(1 << slot_bits, np.uint64)
        buckets = (hashes >> np.uint64(64 - _BUCKET_BITS)).astype(np.int64)
        sizes = np.bincount(buckets, minlength=1 << _BUCKET_BITS)
        by_bucket = np.argsort(buckets, kind="stable")
        first = np.cumsum(sizes) - sizes
        numbers = (hashes & ~_ID_MASK) | np.arange(1, len(codes) + 1, dtype=np.uint64)
        for size in range(int(sizes.max(initial=0)), 0, -1):
            waiting = np.flatnonzero(sizes == size)
            keys = by_bucket[first[waiting][:, None] + np.arange(size)]
            for displacement in range(1 << 16):
                if not len(waiting):
                    break
                wanted = (((hashes[keys] ^ np.uint64(displacement)) * _SPREAD) >> shift).astype(np.int64)
                claimant = np.full(1 << slot_bits, -1, np.int64)
                claimant[wanted] = np.arange(keys.size).reshape(keys.shape)
                free = (claimant[wanted] == np.arange(keys.size).reshape(keys.shape)) & (slots[wanted] == 0)
                placed = free.all(axis=1)
                slots[wanted[placed]] = numbers[keys[placed]]
                displacements[waiting[placed]] = displacement
                waiting, keys = waiting[~placed], keys[~placed]
            if len(waiting):  # two of 2**64 hashes are equal
                raise InputError("two codes have the same hash; are the codes distinct?")
        return cls(codes, displacements, slots, shift)

    def numbers(self, texts: pl.Series) -> Int32Array:
        """Return the number of each text. (n,) int32; 0 for null and for a text that is not a code.

        Codes may have a dot, lower case and surrounding blanks. Texts are first looked up as they are; only those
        that are not found are normalised and looked up again.
        """
        found = self._look_up(texts)
        missed = np.flatnonzero(found == UNKNOWN_CODE)
        if len(missed):
            unclean = texts.gather(missed)
            distinct = unclean.unique().drop_nulls()
            numbers = self._look_up(normalise_codes(distinct))
            repaired = distinct.filter(numbers > 0)
            if len(repaired):
                found[missed] = unclean.replace_strict(
                    repaired, numbers[numbers > 0], default=UNKNOWN_CODE, return_dtype=pl.Int32
                ).to_numpy()
        return found

    def _look_up(self, texts: pl.Series) -> Int32Array:
        found = np.empty(len(texts), np.int32)
        for start in range(0, len(texts), _CHUNK):
            hashes = texts.slice(start, _CHUNK).hash().to_numpy()
            bucket = (hashes >> np.uint64(64 - _BUCKET_BITS)).view(np.int64)
            slot = self._displacements.take(bucket, mode="clip")
            slot ^= hashes
            slot *= _SPREAD
            slot >>= self._slot_shift
            entry = self._slots.take(slot.view(np.int64), mode="clip")
            known = (entry ^ hashes) <= _ID_MASK
            entry &= _ID_MASK
            np.multiply(entry, known, out=found[start : start + _CHUNK], casting="unsafe")
        return found


@lru_cache(maxsize=8)
def _codebook(codes: _BySeries) -> Codebook:
    return Codebook.of(codes.series)


@dataclass(frozen=True)
class _BySeries:
    """A series as a cache key: only the same object is the same key."""

    series: pl.Series

    def __hash__(self) -> int:
        return id(self.series)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _BySeries) and other.series is self.series


def load_codebooks(tables: TableSet) -> tuple[Codebook, Codebook]:
    """Return the codebooks of diagnoses and procedures, shared by all versions of a folder."""
    return _codebook(_BySeries(tables.all_diagnoses)), _codebook(_BySeries(tables.all_procedures))


@lru_cache(maxsize=4)
def _letter_hashes(letters: tuple[tuple[str, int], ...]) -> list[tuple[np.uint64, np.uint8]]:
    return [(pl.Series([letter]).hash().to_numpy()[0], np.uint8(number)) for letter, number in letters]


def number_letters(texts: pl.Series, letters: dict[str, int], *, tidy: bool = False) -> ByteArray:
    """Return the number of each letter, 0 for null and anything else. (n,).

    `tidy` also reads lower case and surrounding blanks.
    """
    known = _letter_hashes(tuple(letters.items()))
    found = np.zeros(len(texts), np.uint8)

    for start in range(0, len(texts), _CHUNK):
        hashes = texts.slice(start, _CHUNK).hash().to_numpy()
        for letter, number in known:
            found[start : start + _CHUNK] += (hashes == letter).view(np.uint8) * number
    if tidy and not found.all():
        other = np.flatnonzero(found == 0)
        found[other] = number_letters(texts.gather(other).str.strip_chars().str.to_uppercase(), letters)
    return found
