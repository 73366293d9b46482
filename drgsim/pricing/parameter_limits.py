"""The range of each payment parameter, and the number of its decimals that the pricer uses.

Up to the upper limits 64-bit integers stay exact, even where weight, wage index, cost of living, residents and
charges are at the ends of their own ranges; see `drgsim.numerics.fixed_point`.
"""

from __future__ import annotations

import numbers
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from drgsim.display import show_value
from drgsim.numerics.fixed_point import is_finite_number

Value = bool | int | float | tuple[int, ...] | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Limit:
    """The range of a number, ends included, and its decimals; None where it is not rounded."""

    low: float
    high: float
    decimals: int | None

    def problem(self, value: float) -> str:
        """Return what is wrong with a value, or an empty text.

        >>> Limit(0.0, 1.0, 2).problem(0.805)
        'has more than the 2 decimals that the pricer uses'
        """
        if not self.low <= value <= self.high:  # NaN is not in any range
            return f"is outside {self.low:,g} to {self.high:,.2f}".removesuffix(".00")
        if self.decimals is not None and round(value, self.decimals) != value:
            return f"has more than the {self.decimals} decimals that the pricer uses"
        return ""


_LIMITS = {
    r"outlier\.fixed_loss": Limit(0, 10_000_000, 2),
    r"outlier\.(labor_share_\w+)": Limit(0, 1, 4),
    r"outlier\.marginal_cost(_burn)?": Limit(0, 1, 2),
    r"outlier\.reconciliation_step": Limit(0, 1, 3),
    r"operating\.(labor|nonlabor)\..+": Limit(0, 10_000, 2),
    r"operating\.ime_multiplier": Limit(0, 2, None),
    r"operating\.ime_exponent": Limit(0, 0.5, None),
    r"operating\.dsh_empirical_share": Limit(0, 1, 2),
    r"operating\.dsh_(low|high)\.slope": Limit(0, 1, 3),
    r"operating\.dsh_(low|high)\.(from|base)": Limit(0, 1, 4),
    r"operating\.dsh_cap": Limit(0, 1, 4),
    r"operating\.dsh_uncapped_beds\..+": Limit(0, 99_999, 0),
    r"capital\.federal_rate": Limit(0, 5_000, 2),
    r"capital\.gaf_exponent": Limit(0, 0.8, None),
    r"capital\.cola_share": Limit(0, 0.6, 4),
    r"capital\.e": Limit(1, 3, None),
    r"capital\.(dsh|ime)_slope": Limit(0, 0.5, None),
    r"capital\.ime_ratio_cap": Limit(0, 2, 4),
    r"capital\.dsh_beds": Limit(0, 99_999, 0),
    r"adjustments\.vbp_lowest": Limit(0, 1, 11),
    r"adjustments\.low_volume_highest": Limit(0, 1, 6),
    r"adjustments\.(hrr_lowest|hac_reduction|wage_index_lowest_drop)": Limit(0, 1, 4),
    r"beneficiary\.deductible": Limit(0, 100_000, 2),
    r"beneficiary\.\w+_share": Limit(0, 1, 2),
    r"beneficiary\.\w+_after_days": Limit(0, 9_999, 0),
    r"beneficiary\.sequestration": Limit(0, 1, 4),
    r"case\.covid_factor": Limit(0, 2, 2),
    r"case\.no_cost_factor": Limit(0, 1, 2),
    r"case\.islet_\w+": Limit(0, 10_000_000, 2),
    r"hospital_specific\.dependent_share": Limit(0, 1, 2),
    r"hospital_specific\.(update|neutrality)\..+": Limit(0.5, 1.5, None),
    r"information\.standardized_operating_base": Limit(0, 20_000, 2),
    r"information\.ehr_restoring_ratio\w*": Limit(1, 2, 9),
}
"""Limits by a pattern of the parameter name."""

_BY_UNIT = {"USD": Limit(0, 10_000_000, 2), "days": Limit(0, 99_999, 0), "beds": Limit(0, 99_999, 0)}
_ANY = Limit(0, 10, None)
_CODES = {"MS-DRG": (1, 999), "UB-04": (0, 255)}
"""Lowest and highest code, by unit, where codes are numbers."""
_TWO_DIGITS = ("CCN state", "PSF provider type")


def find_limit(name: str, unit: str) -> Limit:
    """Return the limit of a parameter; where no pattern matches its name, the limit of its unit.

    >>> find_limit("outlier.fixed_loss", "USD").high
    10000000
    """
    found = (limit for pattern, limit in _LIMITS.items() if re.fullmatch(pattern, name))
    return next(found, _BY_UNIT.get(unit, _ANY))


def find_problem(name: str, unit: str, value: Value) -> str:
    """Return what is wrong with the value of a parameter, or an empty text.

    >>> find_problem("outlier.burn_drgs", "MS-DRG", (927, 1000))
    'holds 1000, outside 1 to 999'
    """
    if isinstance(value, bool):
        return ""
    if not isinstance(value, tuple):
        return find_limit(name, unit).problem(value)
    low, high = _CODES.get(unit, (0, 2**31))
    for item in value:
        if isinstance(item, int) and not low <= item <= high:
            return f"holds {show_value(item)}, outside {low} to {high}"
        if isinstance(item, str) and unit in _TWO_DIGITS and not re.fullmatch(r"[0-9]{2}", item):
            return f"holds {item!r}, expected two digits"
    return ""


def convert_like(example: Value, value: object) -> Value | None:
    """Return `value` as the type of `example`, or None where that is not possible.

    NumPy's numbers count as numbers.
    """
    if isinstance(example, bool):
        return bool(value) if isinstance(value, bool | np.bool_) else None
    if isinstance(example, tuple):
        return _to_tuple(type(example[0]), value)
    return float(value) if isinstance(value, numbers.Real) and is_finite_number(value) else None


# ---------------------------------------------------------------------------------------------------------


def _to_tuple(kind: type, value: object) -> tuple[int, ...] | tuple[str, ...] | None:
    if isinstance(value, str | bytes) or not isinstance(value, Sequence | np.ndarray):
        return None
    if kind is str:
        return tuple(map(str, value)) if all(isinstance(item, str) for item in value) else None
    whole = all(isinstance(item, numbers.Integral) and not isinstance(item, bool) for item in value)
    return tuple(map(int, value)) if whole else None
