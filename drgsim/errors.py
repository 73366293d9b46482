"""Every exception drgsim raises on purpose.

    DrgsimError
    ├── InputError                 the caller's arguments
    │   ├── SchemaError            a frame lacks a column, or a column has the wrong type
    │   └── UnknownVersionError    no grouper version of that name, or none in force on that date
    ├── TableError                 a grouper or rate table is missing, altered or malformed
    │   └── MissingRateError       a payment parameter has no value for the fiscal year asked
    └── StorageError               a result cannot be written, or what was written is not what it was

An admission that cannot be grouped or priced is never an exception: its row carries a
``return_code`` or a ``pay_code``.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class DrgsimError(Exception):
    """Base of every error drgsim raises on purpose."""


class InputError(DrgsimError, ValueError):
    """An argument cannot be used; the message says what was found and what to do."""


class SchemaError(InputError):
    """A frame lacks columns, or holds columns of types that cannot be used."""


class UnknownVersionError(InputError):
    """No grouper version has that name, or none was in force on that date."""


class TableError(DrgsimError):
    """A table is missing, altered or malformed; the message names file and row."""


class MissingRateError(TableError):
    """A payment parameter has no value for the fiscal year that was asked for."""


class StorageError(DrgsimError, OSError):
    """A result cannot be written, or what was written is not what it was; the message names the file."""


def did_you_mean(asked: str, known: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the nearest known name, or an empty string.

    >>> did_you_mean("43.11", ["42.0", "43.1"])
    " Did you mean '43.1'?"
    """
    nearest = difflib.get_close_matches(asked, list(known), n=1)
    return f" Did you mean {nearest[0]!r}?" if nearest else ""
