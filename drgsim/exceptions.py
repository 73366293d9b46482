"""Every exception that drgsim raises on purpose, as one tree.

    DrgsimError
    ├── InputError                 an argument cannot be used
    │   ├── SchemaError            a frame lacks a column, or a column has the wrong type
    │   └── UnknownVersionError    no grouper version of that name, or none in force on that date
    ├── TableError                 a grouper or rate table is missing, altered or malformed
    │   └── MissingRateError       a payment parameter has no value for the fiscal year
    └── StorageError               a result cannot be written, or a written file has changed

An admission that cannot be grouped or priced is not an exception: its row has a `return_code` or a `pay_code`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class DrgsimError(Exception):
    """The base of every exception that drgsim raises on purpose.

    >>> issubclass(TableError, DrgsimError) and issubclass(InputError, DrgsimError)
    True
    """


class InputError(DrgsimError, ValueError):
    """An argument cannot be used; the message says what was found and what to do.

    >>> from drgsim import Rates
    >>> Rates.load(2026)["outlier.fixed_los"]
    Traceback (most recent call last):
    drgsim.exceptions.InputError: no rate is called 'outlier.fixed_los'. Did you mean 'outlier.fixed_loss'?
    """


class SchemaError(InputError):
    """A frame lacks columns, or has columns of a wrong type.

    >>> import polars as pl
    >>> from drgsim import group
    >>> known = {"admission_id": [1], "age": [54], "discharge_status": [1], "pdx": ["K81.0"], "sdx": [["I10"]]}
    >>> group(pl.DataFrame({**known, "procedures": [["0FT44ZZ"]]}), version="43.1")
    Traceback (most recent call last):
    drgsim.exceptions.SchemaError: admissions lack 1 column: sex (found 6 others). See drgsim.schema.ADMISSIONS.
    """


class UnknownVersionError(InputError):
    """No grouper version has that name, or none was in force on that date.

    >>> from datetime import date
    >>> from drgsim import version_for
    >>> try:
    ...     version_for(date(2018, 1, 1))
    ... except UnknownVersionError as error:
    ...     print(str(error).partition(";")[0])
    no grouper version covers discharges on 2018-01-01
    """


class TableError(DrgsimError):
    """A table is missing, altered or malformed; the message names file and row.

    >>> from drgsim import Rates
    >>> rates = Rates.load(2026)
    >>> try:
    ...     rates.with_table5(rates.weights.head(0))
    ... except TableError as error:
    ...     print(type(error).__name__)
    TableError
    """


class MissingRateError(TableError):
    """A payment parameter has no value for the fiscal year.

    >>> from drgsim import Rates
    >>> try:
    ...     Rates.load(2015)
    ... except MissingRateError as error:
    ...     print(str(error).partition(".")[0])
    no rates of fiscal year 2015
    """


class StorageError(DrgsimError, OSError):
    """A result cannot be written, or a written file has changed; the message names it.

    >>> issubclass(StorageError, OSError)
    True
    """


def did_you_mean(asked: str, known: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the nearest known name, or an empty string.

    >>> did_you_mean("43.11", ["42.0", "43.1"])
    " Did you mean '43.1'?"
    """
    nearest = difflib.get_close_matches(asked, list(known), n=1)
    return f" Did you mean {nearest[0]!r}?" if nearest else ""
