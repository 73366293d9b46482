"""Exact decimal arithmetic over whole columns, in 64-bit integers.

A price is a chain of products that the rule rounds half away from zero at named places. In binary floating
point such a product is sometimes a little below or above a half cent, and the cent is wrong. Here every decimal
is an integer of its last place (12.34 USD is 1,234 cents), a product is formed from limbs that cannot overflow,
and `round_digits` sees the whole remainder. Only fractional powers use float64; where such a value is too near
a half to be certain, it is computed again with `decimal`.
"""

from __future__ import annotations

import math
import numbers
from decimal import ROUND_HALF_UP, Decimal, localcontext
from typing import Any

import numpy as np
import numpy.typing as npt

from drgsim.numerics.arrays import FloatArray, Int64Array

PRECISION = 50
"""Digits of the decimal fallback; a power here has at most ten significant digits to decide."""

DOUBT = 2e-5
"""Distance from a half, in units of the last place, within which float64 is not trusted."""


def to_fixed_point(values: npt.ArrayLike, digits: int) -> Int64Array:
    """Return decimals as integers of their last place, (n,) int64 [10**-digits], nearest.

    Args:
        values: (n,) numbers; each the float64 nearest to a decimal below 2**51 * 10**-digits.
        digits: decimals to keep.

    >>> to_fixed_point([12.34, -0.07], 2).tolist()
    [1234, -7]
    """
    wide = np.asarray(values, dtype=np.float64) * float(10**digits)
    return np.rint(wide).astype(np.int64)


def is_finite_number(value: object) -> bool:
    """Return whether a value is a real number, no Boolean, that a float holds.

    >>> is_finite_number(2), is_finite_number(10**400), is_finite_number(float("nan")), is_finite_number("2")
    (True, False, False, False)
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number or a fraction beyond every float
        return False


def round_digits(values: Int64Array, drop: int) -> Int64Array:
    """Drop `drop` digits and round half away from zero, (n,) int64.

    >>> round_digits(np.array([25, -25, 24, -24]), 1).tolist()
    [3, -3, 2, -2]
    """
    if drop == 0:
        return values
    # The arithmetic shift is -1 for negatives: floor division then rounds their halves down, away from zero.
    return np.asarray((values + (5 * 10 ** (drop - 1) + (values >> 63))) // 10**drop)


def product(
    a: Int64Array, b: Int64Array | int, drop: int, *, limbs: int = 1, digits: int = 8, wide: bool = False
) -> Int64Array:
    """Return `a * b` without its last `drop` digits, rounded half up, exactly.

    Args:
        a: (n,) int64, not negative; split into `limbs` limbs of `digits` digits and the rest above.
        b: (n,) int64 or one integer, not negative.
        drop: digits to drop, more than `limbs * digits`.
        limbs: how many limbs to split off.
        digits: digits of a limb; `10**digits * b` and `a // 10**(limbs * digits) * b` stay below 2**62.
        wide: split `b` too, so that only the rounded product has to stay below 2**62.

    >>> product(np.array([10**15 + 5]), 10**9, 9).tolist()
    [1000000000000005]
    """
    limb = 10**digits
    carry: Any = 0
    for _ in range(limbs):
        above = a // limb
        carry = ((a - above * limb) * b + carry) // limb
        a = above
    # The limbs drop less than one unit of `carry`, and a half is a whole number of such units.
    rest = drop - limbs * digits
    if not wide:
        return round_digits(np.asarray(a * b + carry), rest)
    whole = b // 10**rest
    return np.asarray(a * whole + round_digits(np.asarray(a * (b - whole * 10**rest) + carry), rest))


def quotient(a: Int64Array, b: Int64Array) -> Int64Array:
    """Return `a / b` to the nearest integer, half up, (n,) int64; a >= 0, b > 0.

    >>> quotient(np.array([5, 7]), np.array([2, 5])).tolist()
    [3, 1]
    """
    return np.asarray((2 * a + b) // (2 * b))


def power(
    base: Int64Array, base_digits: int, exponent: float, digits: int, *, times: float = 1.0, less: int = 0
) -> Int64Array:
    """Return `times * (base ** exponent - less)` to `digits` decimals, half up, (n,) int64.

    Args:
        base: (n,) int64 [10**-base_digits], not negative.
        base_digits: decimals of the base.
        exponent: a decimal, taken as its shortest text.
        digits: decimals of the result.
        times: a decimal factor.
        less: subtracted from the power before it is multiplied.

    >>> power(np.array([12000]), 4, 0.6848, 4).tolist()
    [11330]
    """
    approximate = times * ((base / 10**base_digits) ** exponent - less) * 10**digits

    def precisely(row: int) -> Decimal:
        value = Decimal(int(base[row])) / 10**base_digits
        raised = value ** Decimal(str(exponent)) if value else Decimal(0)
        return Decimal(str(times)) * (raised - less)

    return _round_half_up(approximate, precisely, digits)


def exponential(e: float, slope: float, ratio: Int64Array, ratio_digits: int, digits: int) -> Int64Array:
    """Return `e ** (slope * ratio) - 1` to `digits` decimals, half up, (n,) int64.

    Args:
        e: base, as the rule prints it.
        slope: a decimal.
        ratio: (n,) int64 [10**-ratio_digits].
        ratio_digits: decimals of the ratio.
        digits: decimals of the result.

    >>> exponential(2.7183, 0.2025, np.array([3300]), 4, 4).tolist()
    [691]
    """
    approximate = (e ** (slope * (ratio / 10**ratio_digits)) - 1.0) * 10**digits

    def precisely(row: int) -> Decimal:
        raised: Decimal = Decimal(str(e)) ** (Decimal(str(slope)) * int(ratio[row]) / 10**ratio_digits)
        return raised - 1

    return _round_half_up(approximate, precisely, digits)


def _round_half_up(approximate: FloatArray, precisely: Any, digits: int) -> Int64Array:
    """Round half up; where float64 is too near a half, use the exact `precisely(row)`."""
    below = np.floor(approximate)
    nearest = np.floor(approximate + 0.5).astype(np.int64)
    for row in np.flatnonzero(np.abs(approximate - below - 0.5) < DOUBT):
        with localcontext() as context:
            context.prec = PRECISION
            value = precisely(int(row)).scaleb(digits)
            nearest[row] = int(value.to_integral_value(ROUND_HALF_UP))
    return nearest
