"""Parameters of the table folder: rate files, tables of a fiscal year, and limits.

A parameter has a title, a unit, a source and values by fiscal year. `Rates` in `drgsim.rates.payment_rates` combines
those of one fiscal year. Each parameter has a range, and a number of decimals that the pricer uses: up to the upper
limits 64-bit integers stay exact, even where weight, wage index, cost of living, residents and charges are at the ends
of their own ranges (see `drgsim.numerics.fixed_point`).
"""

from __future__ import annotations

import numbers
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, ValidationError

from drgsim.display import show_value
from drgsim.exceptions import TableError
from drgsim.files.bounded import parse_toml
from drgsim.numerics.fixed_point import is_finite_number
from drgsim.rates.table5 import TABLE5
from drgsim.tables.manifest import read_manifest, read_table, read_verified

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
    r"hospital_specific\.\w+_factor": Limit(0.5, 1.5, None),
    r"hospital_specific\.first_year": Limit(2013, 2100, 0),
    r"case\.nctap_share": Limit(0, 1, 2),
    r"transfer\.half_quotient_decimals": Limit(4, 9, 0),
    r"adjustments\.(hrr|vbp)_highest": Limit(1, 9, 4),
    r"adjustments\.wage_index_quartile": Limit(0, 9, 4),
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
        if unit == "day" and not (len(value) == 2 and re.fullmatch(r"\d{4}-\d\d-\d\d", str(item))):
            return f"holds {item!r}, expected a first and a last day such as 2020-04-01"
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


_Value = StrictBool | StrictInt | StrictFloat | tuple[StrictInt, ...] | tuple[str, ...]
_Year = Annotated[int, Field(ge=2013, le=2100)]

WAGE_INDEX = {
    "cbsa": pl.String(),
    "wage_index": pl.Float64(),
    "reclassified_wage_index": pl.Float64(),
    "rural_floor": pl.Float64(),
    "imputed_floor": pl.Float64(),
}
OUTMIGRATION = {"county": pl.String(), "adjustment": pl.Float64()}
COVID_TREATMENTS = {
    "code_kind": pl.String(),
    "code": pl.String(),
    "first_day": pl.Date(),
    "last_day": pl.Date(),
}
TECHNOLOGIES = {"technology": pl.String(), "max_usd": pl.Float64(), "cost_share": pl.Float64()}
TECHNOLOGY_CODES = {"code_group": pl.String(), "code_kind": pl.String(), "code": pl.String()}
TECHNOLOGY_RULES = {
    "technology": pl.String(),
    "alternative": pl.UInt8(),
    "code_group": pl.String(),
    "present": pl.Boolean(),
}

YEAR_TABLES: Mapping[str, tuple[str, Mapping[str, pl.DataType]]] = {
    "table5": ("weights/fy{}.csv", TABLE5),
    "wage_index": ("wage_index/fy{}.csv", WAGE_INDEX),
    "outmigration": ("wage_index/outmigration_fy{}.csv", OUTMIGRATION),
    "technologies": ("new_technology/fy{}.csv", TECHNOLOGIES),
    "technology_codes": ("new_technology/fy{}_codes.csv", TECHNOLOGY_CODES),
    "technology_rules": ("new_technology/fy{}_rules.csv", TECHNOLOGY_RULES),
    "covid_treatments": ("new_technology/fy{}_covid.csv", COVID_TREATMENTS),
}
"""File name and columns of each table of a fiscal year, by attribute of `Rates`; a year may lack any of them."""


class Parameter(BaseModel):
    """One payment parameter of the rate files.

    >>> from drgsim.rates.payment_rates import Rates
    >>> fixed_loss = Rates.load(2026).parameters["outlier.fixed_loss"]
    >>> fixed_loss.unit, fixed_loss.at(2025), fixed_loss.at(2026)
    ('USD', 46217.0, 40397.0)
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str = Field(min_length=1)
    unit: str = Field(min_length=1)
    source: str = Field(min_length=1)
    values: dict[_Year, _Value] = Field(min_length=1)
    unknown: dict[_Year, str] = Field(default_factory=dict)
    """What was found instead, by fiscal year whose value is not known."""
    carries_forward: bool = False
    """Whether a value applies until a later year gives another."""
    assumed: tuple[_Year, ...] = ()
    """Fiscal years whose value is an assumption and was not read in a source."""

    def at(self, fiscal_year: int) -> Value | None:
        """Return the value of a fiscal year, or None where it is not known."""
        if self.carries_forward:
            years = [year for year in self.values if year <= fiscal_year]
            return self.values[max(years)] if years else None
        return self.values.get(fiscal_year)


def read_parameters(root: Path) -> dict[str, Parameter]:
    """Return every parameter of every rate file that the manifest lists, by name."""
    files = sorted(name for name in read_manifest(root)["files"] if re.fullmatch(r"rates/\w+\.toml", name))
    found: dict[str, Parameter] = {}
    for name in files:
        for path, table in _list_parameter_tables(
            Path(name).stem, parse_toml(read_verified(root, name), root / name, TableError)
        ):
            try:
                found[path] = Parameter.model_validate(table)
            except ValidationError as error:
                first = error.errors()[0]
                where = ".".join(str(part) for part in first["loc"])
                raise TableError(f"{root / name}: [{path}] {where}: {first['msg']}") from error
            for year, value in found[path].values.items():
                if problem := find_problem(path, found[path].unit, value):
                    raise TableError(f"{root / name}: [{path}] {year} is {value!r} and {problem}.")
    if not found:
        raise TableError(f"{root}: no rates/*.toml is listed in the manifest.")
    return found


def read_if_listed(root: Path, name: str, columns: Mapping[str, pl.DataType]) -> pl.DataFrame | None:
    """Return a table, or None where the fiscal year has none."""
    return read_table(root, name, columns) if name in read_manifest(root)["files"] else None


# ---------------------------------------------------------------------------------------------------------


def _list_parameter_tables(prefix: str, table: Mapping[str, object]) -> list[tuple[str, Mapping[str, object]]]:
    """Return the tables that are parameters; a table of tables only groups them."""
    if not all(isinstance(value, dict) for value in table.values()):
        return [(prefix, table)]
    return [
        leaf
        for key, value in table.items()
        for leaf in _list_parameter_tables(f"{prefix}.{key}", value)  # type: ignore[arg-type]  # every value is a dict
    ]


def _to_tuple(kind: type, value: object) -> tuple[int, ...] | tuple[str, ...] | None:
    if isinstance(value, str | bytes) or not isinstance(value, Sequence | np.ndarray):
        return None
    if kind is str:
        return tuple(map(str, value)) if all(isinstance(item, str) for item in value) else None
    whole = all(isinstance(item, numbers.Integral) and not isinstance(item, bool) for item in value)
    return tuple(map(int, value)) if whole else None
