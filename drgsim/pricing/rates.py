"""Payment parameters by fiscal year, each with a title, a unit and a source.

`Rates.load(2026)` reads `rates/*.toml`, Table 5, the wage index table and the new technologies of one fiscal
year from the table folder. A `Rates` is a frozen value: a reform or another Table 5 gives a new one. A value that
is not known raises `MissingRateError` only when it is needed.
"""

from __future__ import annotations

import datetime
import hashlib
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, ValidationError

from drgsim.display import show_value
from drgsim.exceptions import InputError, MissingRateError, TableError, did_you_mean
from drgsim.files.bounded import parse_toml
from drgsim.numerics.fixed_point import to_fixed_point
from drgsim.pricing.parameter_limits import Value, convert_like, find_problem
from drgsim.pricing.table5 import TABLE5, check_table5, read_table5
from drgsim.tables.manifest import read_manifest, read_table, read_verified, table_folder

_Value = StrictBool | StrictInt | StrictFloat | tuple[StrictInt, ...] | tuple[str, ...]
_Year = Annotated[int, Field(ge=2018, le=2100)]

QUALITY = ("full", "no_quality_data", "ehr_reduction", "no_quality_data_and_ehr_reduction")
"""Variants of the standardized amounts and updates, at `(no quality data) + 2 * (EHR reduction)`."""

_HIGHEST_UPDATE = 10
"""Highest product of the updates of a hospital-specific rate."""

WAGE_INDEX = {"cbsa": pl.String(), "wage_index": pl.Float64(), "reclassified_wage_index": pl.Float64()}
TECHNOLOGIES = {"technology": pl.String(), "max_usd": pl.Float64(), "cost_share": pl.Float64()}
TECHNOLOGY_CODES = {"code_group": pl.String(), "code_kind": pl.String(), "code": pl.String()}
TECHNOLOGY_RULES = {
    "technology": pl.String(),
    "alternative": pl.UInt8(),
    "code_group": pl.String(),
    "present": pl.Boolean(),
}


class Parameter(BaseModel):
    """One payment parameter of the rate files.

    >>> fixed_loss = Rates.load(2026).parameters["outlier.fixed_loss"]
    >>> fixed_loss.unit, fixed_loss.at(2025), fixed_loss.at(2026)
    ('USD', 46217.0, 40397.0)
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str = Field(min_length=1)
    unit: str = Field(min_length=1)
    source: str = Field(min_length=1)
    values: dict[_Year, _Value] = Field(min_length=1)
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


@dataclass(frozen=True)
class Rates:
    """All payment parameters of one fiscal year, from `Rates.load`; never changed in place.

    Attributes:
        fiscal_year: from October of the year before to September of that year.
        parameters: the parameters of the rate files, by name (`file.table`).
        values: the values known for this fiscal year, reforms included.
        table5: (m,) weights by DRG (see `TABLE5`), or None.
        wage_index: (k,) wage index by CBSA, or None.
        technologies: new technologies with their highest add-on and share, or None.
        technology_codes: codes of each code group, or None.
        technology_rules: code groups that each alternative of a technology requires, or None.

    >>> rates = Rates.load(2026)
    >>> rates["outlier.fixed_loss"], rates.reformed({"outlier.fixed_loss": 45_000.0})["outlier.fixed_loss"]
    (40397.0, 45000.0)
    """

    fiscal_year: int
    parameters: Mapping[str, Parameter] = field(repr=False)
    values: Mapping[str, Value] = field(repr=False)
    table5: pl.DataFrame | None = field(default=None, repr=False)
    wage_index: pl.DataFrame | None = field(default=None, repr=False)
    technologies: pl.DataFrame | None = field(default=None, repr=False)
    technology_codes: pl.DataFrame | None = field(default=None, repr=False)
    technology_rules: pl.DataFrame | None = field(default=None, repr=False)

    @classmethod
    def load(
        cls,
        fiscal_year: int | None = None,
        *,
        on: datetime.date | None = None,
        folder: str | os.PathLike[str] | None = None,
    ) -> Rates:
        """Return the rates of one fiscal year.

        Args:
            fiscal_year: such as 2026 (discharges from 2025-10-01 to 2026-09-30).
            on: a discharge date in the fiscal year, instead of the fiscal year.
            folder: a table folder; see `drgsim.tables.table_folder`.

        Raises:
            InputError: neither or both of `fiscal_year` and `on` are given, or one has the wrong type.
            MissingRateError: there are no rates of that fiscal year.
            TableError: a rate file or table is missing, altered or malformed.

        >>> Rates.load(on=datetime.date(2025, 10, 1)).fiscal_year
        2026
        >>> Rates.load(2026)["outlier.fixed_loss"]
        40397.0
        """
        if (fiscal_year is None) == (on is None):
            raise InputError("Rates.load takes either a fiscal year or on=<discharge date>, one of the two.")
        if fiscal_year is not None and (isinstance(fiscal_year, bool) or not isinstance(fiscal_year, int | np.integer)):
            raise InputError(f"the fiscal year is {show_value(fiscal_year)}, expected a whole number such as 2026.")
        if on is not None and not isinstance(on, datetime.date):
            raise InputError(f"on is {on!r}, expected a date such as datetime.date(2026, 1, 1).")
        year = fiscal_year if fiscal_year is not None else fiscal_year_of(on)  # type: ignore[arg-type]  # one of the two is given
        root = table_folder(folder)
        parameters = _read_parameters(root)
        known = sorted({y for p in parameters.values() for y in p.values if not p.carries_forward and y >= 2021})
        # A year is known when its standardized amount is known: without it no stay can be priced.
        known = [y for y in known if parameters["operating.labor.above_1.full"].at(y) is not None]
        if year not in known:
            raise MissingRateError(
                f"no rates of fiscal year {show_value(year)}. Known: {', '.join(map(str, known))}. "
                "Add its values to rates/*.toml in a table folder of your own."
            )
        values = {name: value for name, p in parameters.items() if (value := p.at(year)) is not None}
        return cls(
            fiscal_year=year,
            parameters=MappingProxyType(parameters),
            values=MappingProxyType(values),
            table5=_read_if_listed(root, f"weights/fy{year}.csv", TABLE5),
            wage_index=_read_if_listed(root, f"wage_index/fy{year}.csv", WAGE_INDEX),
            technologies=_read_if_listed(root, f"new_technology/fy{year}.csv", TECHNOLOGIES),
            technology_codes=_read_if_listed(root, f"new_technology/fy{year}_codes.csv", TECHNOLOGY_CODES),
            technology_rules=_read_if_listed(root, f"new_technology/fy{year}_rules.csv", TECHNOLOGY_RULES),
        )

    def __reduce__(self) -> tuple[Callable[..., Rates], tuple[dict[str, object]]]:
        """Return how to pickle the rates.

        By plain dicts, because their read-only views do not pickle.
        """
        state = {column.name: getattr(self, column.name) for column in fields(self)}
        return _unpickle, ({**state, "parameters": dict(self.parameters), "values": dict(self.values)},)

    def __getitem__(self, name: str) -> Value:
        """Return a parameter's value in this fiscal year.

        Raises:
            InputError: there is no parameter of that name.
            MissingRateError: its value for this fiscal year is not known.
        """
        if name not in self.parameters:
            raise InputError(f"no rate is called {name!r}.{did_you_mean(name, self.parameters)}")
        if name not in self.values:
            parameter = self.parameters[name]
            raise MissingRateError(
                f"{name} ({parameter.title}) is not known for fiscal year {self.fiscal_year}; known for "
                f"{', '.join(map(str, sorted(parameter.values)))}. Give one: rates.reformed({{{name!r}: ...}})."
            )
        return self.values[name]

    def number(self, name: str) -> float:
        """Return a parameter that is one number."""
        value = self[name]
        if isinstance(value, tuple):
            raise InputError(f"{name} is a list of {self.parameters[name].unit}, not a number.")
        return float(value)

    def fixed_point(self, name: str, digits: int) -> int:
        """Return a parameter that is one number as a whole number [10**-digits].

        >>> Rates.load(2026).fixed_point("outlier.fixed_loss", 2)
        4039700
        """
        return int(to_fixed_point([self.number(name)], digits)[0])

    def listed(self, name: str) -> tuple[int, ...] | tuple[str, ...]:
        """Return a parameter that is a list of codes, DRGs or states."""
        value = self[name]
        if not isinstance(value, tuple):
            raise InputError(f"{name} is a number, not a list.")
        return value

    @property
    def weights(self) -> pl.DataFrame:
        """Table 5 of the fiscal year.

        Raises:
            MissingRateError: there is none.
        """
        if self.table5 is None:
            raise MissingRateError(
                f"Table 5 (weights) of fiscal year {self.fiscal_year} is not among the tables. "
                "Download it from CMS with the IPPS final rule and use rates.with_table5(path)."
            )
        return self.table5.clone()

    def assumptions(self) -> list[str]:
        """Return the names of the parameters whose value for this fiscal year is an assumption.

        >>> "case.no_cost_factor" in Rates.load(2026).assumptions()
        True
        """
        return sorted(name for name, p in self.parameters.items() if self.fiscal_year in p.assumed)

    def hospital_specific_update(self, variant: str) -> Decimal:
        """Return the factor that updates a hospital-specific rate to this fiscal year.

        Rounded to five decimals.

        The product of the yearly updates and budget neutrality factors since FY2019: the full update for earlier
        years, that of the variant for this one. Source: 42 CFR 412.73(c), 412.77, 412.79.

        Raises:
            MissingRateError: a year's factor is not known.

        >>> Rates.load(2021).hospital_specific_update("full")
        Decimal('1.05634')
        """
        factor = Decimal(str(self.number(f"hospital_specific.update.{variant}")))
        for name in ("neutrality.reclassification", "neutrality.weight_cap"):
            factor *= Decimal(str(self.number(f"hospital_specific.{name}")))
        for year in range(2019, self.fiscal_year):
            for name in ("update.full", "neutrality.reclassification", "neutrality.weight_cap"):
                value = self.parameters[f"hospital_specific.{name}"].at(year)
                if value is None:
                    raise MissingRateError(f"hospital_specific.{name} is not known for fiscal year {year}.")
                factor *= Decimal(str(value))
        if factor > _HIGHEST_UPDATE:
            raise InputError(
                f"the updates of hospital-specific rates multiply to {factor:.5f}, above {_HIGHEST_UPDATE}."
            )
        return factor.quantize(Decimal("0.00001"), ROUND_HALF_UP)

    def reformed(self, changes: Mapping[str, float | bool | Sequence[int] | Sequence[str]]) -> Rates:
        """Return new rates with some parameters changed; these rates do not change.

        Args:
            changes: value by parameter name. Name, type, range and number of decimals are checked for all of them
                before any is changed. The highest fixed loss, 10,000,000, is above all but the most extreme costs.

        Raises:
            InputError: a name is not known or a value cannot be used; the message lists all of them.

        >>> Rates.load(2026).reformed({"outlier.fixed_loss": 45000})["outlier.fixed_loss"]
        45000.0
        """
        if not isinstance(changes, Mapping):
            raise InputError(
                f"a reform is a mapping of values by parameter name, found {type(changes).__name__}. "
                'Pass it as rates.reformed({"outlier.fixed_loss": 45000}).'
            )
        problems, accepted = [], {}
        for name, value in changes.items():
            if name not in self.parameters:
                problems.append(f"no rate is called {name!r}.{did_you_mean(str(name), self.parameters)}")
                continue
            unit = self.parameters[name].unit
            example = next(iter(self.parameters[name].values.values()))
            converted = convert_like(example, value)
            if converted is None:
                problems.append(f"{name} is {show_value(value)}, expected a value like {example!r} [{unit}]")
            elif problem := find_problem(name, unit, converted):
                problems.append(f"{name} is {show_value(value)} and {problem} [{unit}]")
            else:
                accepted[name] = converted
        if problems:
            raise InputError("nothing was reformed: " + "; ".join(problems))
        return replace(self, values=MappingProxyType({**self.values, **accepted}))

    def with_table5(self, table: str | os.PathLike[str] | pl.DataFrame) -> Rates:
        """Return new rates with another Table 5.

        Args:
            table: CMS's published Table 5 as tab-delimited text, or a frame with the columns of `TABLE5`.

        Raises:
            TableError: the file is missing, or file or frame is not a Table 5; the message names line or DRG.

        >>> rates = Rates.load(2026)
        >>> rates.with_table5(rates.weights.with_columns(weight=1.0)).weights["weight"].unique().to_list()
        [1.0]
        """
        frame = read_table5(table) if isinstance(table, str | os.PathLike) else check_table5(table)
        return replace(self, table5=frame)

    def resolved(self) -> dict[str, Value | str]:
        """Return all values and the checksums of all tables as one flat, sorted mapping.

        >>> list(Rates.load(2026).resolved().items())[0]
        ('adjustments.hac_excluded_states', ('40', '84'))
        """
        flat: dict[str, Value | str] = {**self.values, "fiscal_year": self.fiscal_year}
        for name in ("table5", "wage_index", "technologies", "technology_codes", "technology_rules"):
            table = getattr(self, name)
            flat[f"{name}.sha256"] = "none" if table is None else hashlib.sha256(table.write_csv().encode()).hexdigest()
        return dict(sorted(flat.items()))


def fiscal_year_of(date: datetime.date) -> int:
    """Return the federal fiscal year of a discharge date.

    >>> fiscal_year_of(datetime.date(2026, 9, 30))
    2026
    """
    return date.year + (date.month >= 10)


# ---------------------------------------------------------------------------------------------------------


def _unpickle(state: dict[str, Any]) -> Rates:
    views = {name: MappingProxyType(state[name]) for name in ("parameters", "values")}
    return Rates(**{**state, **views})


def _read_parameters(root: Path) -> dict[str, Parameter]:
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


def _list_parameter_tables(prefix: str, table: Mapping[str, object]) -> list[tuple[str, Mapping[str, object]]]:
    """Return the tables that are parameters; a table of tables only groups them."""
    if not all(isinstance(value, dict) for value in table.values()):
        return [(prefix, table)]
    return [
        leaf
        for key, value in table.items()
        for leaf in _list_parameter_tables(f"{prefix}.{key}", value)  # type: ignore[arg-type]  # every value is a dict
    ]


def _read_if_listed(root: Path, name: str, columns: Mapping[str, pl.DataType]) -> pl.DataFrame | None:
    """Return a table, or None where the fiscal year has none."""
    return read_table(root, name, columns) if name in read_manifest(root)["files"] else None


_WEIGHTS = "weights/fy"


def rate_years(folder: str | os.PathLike[str] | None = None) -> tuple[int, ...]:
    """Return the fiscal years for which a table folder has weights.

    >>> rate_years()
    (2021, 2024, 2025, 2026)
    """
    files = read_manifest(table_folder(folder))["files"]
    return tuple(sorted(int(name.removeprefix(_WEIGHTS)[:4]) for name in files if name.startswith(_WEIGHTS)))
