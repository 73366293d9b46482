"""Payment parameters by fiscal year, each with a title, a unit and a source.

`Rates.load(2026)` reads `rates/*.toml`, Table 5, the wage index table and the new technologies of one fiscal
year from the table folder. A `Rates` is a frozen value: a reform or another Table 5 gives a new one. A value that
is not known raises `MissingRateError` only when it is needed.
"""

from __future__ import annotations

import datetime
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from decimal import ROUND_HALF_UP, Decimal
from types import MappingProxyType
from typing import Any

import numpy as np
import polars as pl

from drgsim.display import show_value
from drgsim.exceptions import InputError, MissingRateError, did_you_mean
from drgsim.numerics.arrays import Int64Array
from drgsim.numerics.fixed_point import to_fixed_point
from drgsim.rates.parameters import (
    YEAR_TABLES,
    Parameter,
    Value,
    convert_like,
    find_problem,
    read_if_listed,
    read_parameters,
)
from drgsim.rates.table5 import check_table5, read_table5
from drgsim.schema import ADMISSIONS, Frame, check_frame
from drgsim.tables.manifest import read_manifest, table_folder

QUALITY = ("full", "no_quality_data", "ehr_reduction", "no_quality_data_and_ehr_reduction")
"""Variants of the standardized amounts and updates, at `(no quality data) + 2 * (EHR reduction)`."""

_HIGHEST_UPDATE = 10
"""Highest product of the updates of a hospital-specific rate."""


@dataclass(frozen=True)
class Rates:
    """All payment parameters of one fiscal year, from `Rates.load`; never changed in place.

    Attributes:
        fiscal_year: from October of the year before to September of that year.
        parameters: the parameters of the rate files, by name (`file.table`).
        values: the values known for this fiscal year, reforms included.
        table5: (m,) weights by DRG (see `TABLE5`), or None.
        wage_index: (k,) wage index by CBSA, with the floors of the states, or None.
        outmigration: (c,) addition to the wage index by county, or None.
        technologies: new technologies with their highest add-on and share, or None.
        technology_codes: codes of each code group, or None.
        technology_rules: code groups that each alternative of a technology requires, or None.
        covid_treatments: codes of new COVID-19 treatments and their days of discharge, or None.

    >>> rates = Rates.load(2026)
    >>> rates["outlier.fixed_loss"], rates.reformed({"outlier.fixed_loss": 45_000.0})["outlier.fixed_loss"]
    (40397.0, 45000.0)
    """

    fiscal_year: int
    parameters: Mapping[str, Parameter] = field(repr=False)
    values: Mapping[str, Value] = field(repr=False)
    table5: pl.DataFrame | None = field(default=None, repr=False)
    wage_index: pl.DataFrame | None = field(default=None, repr=False)
    outmigration: pl.DataFrame | None = field(default=None, repr=False)
    technologies: pl.DataFrame | None = field(default=None, repr=False)
    technology_codes: pl.DataFrame | None = field(default=None, repr=False)
    technology_rules: pl.DataFrame | None = field(default=None, repr=False)
    covid_treatments: pl.DataFrame | None = field(default=None, repr=False)

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
        parameters = read_parameters(root)
        # A year is known when its standardized amount is known: without it no stay can be priced.
        known = sorted(parameters["operating.labor.above_1.full"].values)
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
            **{name: read_if_listed(root, file.format(year), columns) for name, (file, columns) in YEAR_TABLES.items()},
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
            found = parameter.unknown.get(self.fiscal_year)
            raise MissingRateError(
                f"{name} ({parameter.title}) is not known for fiscal year {self.fiscal_year}"
                f"{f' ({found})' if found else ''}; known for "
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

        The product of the yearly updates and budget neutrality factors since `hospital_specific.first_year` (FY2019
        for FY2019 and later, FY2013 before): the full update for earlier years, that of the variant for this one.
        Source: 42 CFR 412.73(c), 412.77, 412.79.

        Raises:
            MissingRateError: a year's factor is not known.

        >>> Rates.load(2021).hospital_specific_update("full")
        Decimal('1.05634')
        """
        names = ("neutrality.reclassification", "neutrality.weight_cap", "case_mix_factor", "two_midnight_factor")
        factor = Decimal(str(self.number(f"hospital_specific.update.{variant}")))
        for name in names:
            factor *= Decimal(str(self.number(f"hospital_specific.{name}")))
        for year in range(int(self.number("hospital_specific.first_year")), self.fiscal_year):
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

        >>> list(Rates.load(2026).resolved().items())[:2]
        [('adjustments.adds_outmigration', True), ('adjustments.hac_excluded_states', ('40', '84'))]
        """
        flat: dict[str, Value | str] = {**self.values, "fiscal_year": self.fiscal_year}
        for name in YEAR_TABLES:
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


_WEIGHTS = "weights/fy"


def split_by_fiscal_year(
    frame: pl.DataFrame, rates: Rates | Sequence[Rates]
) -> Iterator[tuple[Rates, Int64Array | slice]]:
    """Yield each `Rates` with the rows to which it applies.

    One `Rates` applies to every row, whatever its date, so that policy can be held constant. Several apply by
    fiscal year of `discharge_date`; rows of other years, or with a null date, are in none.

    Raises:
        InputError: no rates, two of one year, or no `discharge_date` to choose by.
    """
    if isinstance(rates, Rates):
        yield rates, slice(None)
        return
    if isinstance(rates, str) or not isinstance(rates, Sequence) or not all(isinstance(one, Rates) for one in rates):
        raise InputError(f"rates must be one Rates or a list of them, found {rates!r:.60}. Such as Rates.load(2026).")
    years = [one.fiscal_year for one in rates]
    if not years or len(set(years)) != len(years):
        raise InputError(f"rates must be one Rates, or several of different fiscal years; found {years}.")
    if "discharge_date" not in frame.columns:
        raise InputError("rates of several fiscal years are chosen by discharge_date, a column that is missing.")
    frame = check_frame(frame, Frame("admissions", (ADMISSIONS["discharge_date"],)))
    date = pl.col("discharge_date")
    found = frame.select((date.dt.year() + (date.dt.month() >= 10)).fill_null(0).alias("year"))["year"].to_numpy()
    for one in rates:
        yield one, np.flatnonzero(found == one.fiscal_year)


def rate_years(folder: str | os.PathLike[str] | None = None) -> tuple[int, ...]:
    """Return the fiscal years for which a table folder has weights.

    >>> rate_years()
    (2016, 2017, 2018, 2019, 2020, 2021, 2022, 2023, 2024, 2025, 2026, 2027)
    """
    files = read_manifest(table_folder(folder))["files"]
    return tuple(sorted(int(name.removeprefix(_WEIGHTS)[:4]) for name in files if name.startswith(_WEIGHTS)))
