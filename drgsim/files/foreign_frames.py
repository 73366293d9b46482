"""Frames of other libraries: `accept_frames` lets a verb take them and answer in kind.

pandas data frames, Arrow tables, lists of dicts, and every other eager frame that narwhals knows become Polars frames.
A result that is a Polars frame becomes a frame of the library that the first frame came from. Nothing is imported
before such a frame arrives.
"""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ParamSpec, TypeVar

import polars as pl

from drgsim.exceptions import InputError, SchemaError

P = ParamSpec("P")
R = TypeVar("R")
_SETTINGS = (str, bytes, int, float, type(None), Mapping)
_ISO_DATE = r"^\d{4}-\d{2}-\d{2}$"


def accept_frames(verb: Callable[P, R]) -> Callable[P, R]:
    """Return a verb that also takes frames of other libraries.

    It answers in the kind of the first frame. Polars frames pass unchanged. The signature names the Polars types.

    >>> @accept_frames
    ... def add_one(frame):
    ...     return frame.with_columns(b=pl.col("a") + 1)
    >>> add_one([{"a": 1}, {"a": 2}])
    [{'a': 1, 'b': 2}, {'a': 2, 'b': 3}]
    """

    @functools.wraps(verb)
    def accepting(*args: P.args, **kwargs: P.kwargs) -> R:
        given = [*args, *kwargs.values()]
        if not any(is_foreign_frame(value) for value in given):
            return verb(*args, **kwargs)
        first = next(value for value in given if isinstance(value, pl.DataFrame) or is_foreign_frame(value))
        converted = {id(value): to_polars(value) for value in given if is_foreign_frame(value)}
        # The types of a verb's arguments and answer are those of Polars; only the frames among them change library.
        result: Any = verb(
            *(converted.get(id(value), value) for value in args),  # type: ignore[arg-type]
            **{name: converted.get(id(value), value) for name, value in kwargs.items()},  # type: ignore[arg-type]
        )
        if isinstance(first, pl.DataFrame):
            return result  # type: ignore[no-any-return]
        parts = result if type(result) is tuple else (result,)
        answers = tuple(
            to_kind_of(first, part, converted[id(first)]) if isinstance(part, pl.DataFrame) else part for part in parts
        )
        return answers if type(result) is tuple else answers[0]  # type: ignore[return-value]

    return accepting


def is_foreign_frame(value: object) -> bool:
    """Return whether a value is a frame of another library, or a list of dicts.

    >>> is_foreign_frame([{"pdx": "I10"}]), is_foreign_frame(pl.DataFrame()), is_foreign_frame(["I10"])
    (True, False, False)
    """
    if isinstance(value, (*_SETTINGS, pl.DataFrame, pl.LazyFrame, pl.Series)):
        return False
    if isinstance(value, list | tuple):
        return len(value) > 0 and all(isinstance(row, dict) for row in value)
    # Every library narwhals knows has one of these on its frames; Arrow's and pandas' columns have only the first.
    return (hasattr(value, "__arrow_c_stream__") and hasattr(value, "columns")) or hasattr(value, "__dataframe__")


def to_polars(frame: Any) -> pl.DataFrame:
    """Return a frame of another library as a Polars frame.

    A missing value is null, however the library marks it. Times that are all midnight are days. Whole numbers that a
    library keeps as floats, because others of the column are missing, stay floats: the contract of the verb says which
    columns are whole.

    Raises:
        SchemaError: a column holds values of several types.
        InputError: the frame is lazy, or a package that the conversion needs is not installed.

    >>> to_polars([{"age": 71, "discharge_date": "2026-01-15"}, {"age": None}]).row(0)
    (71, datetime.date(2026, 1, 15))
    """
    if isinstance(frame, list | tuple):
        return _parse_iso_dates(_from_dicts(frame))
    narwhals = _import_narwhals()
    try:
        wrapped = narwhals.from_native(frame, eager_only=True)
    except TypeError:
        raise InputError(
            f"a {type(frame).__module__.partition('.')[0]} {type(frame).__name__} is no frame in memory; "
            "collect it first, or see drgsim.scale."
        ) from None
    try:
        converted = wrapped.to_polars()
    except ImportError as error:
        raise _refuse_without_extra(frame, error) from None
    except Exception:
        raise SchemaError(_describe_mixed_columns(frame, wrapped)) from None
    floats = [name for name, dtype in converted.schema.items() if dtype.is_float()]
    return _parse_iso_dates(_take_days(converted.with_columns(pl.col(floats).fill_nan(None))))


def to_kind_of(native: Any, result: pl.DataFrame, converted: pl.DataFrame) -> Any:
    """Return a Polars frame as a frame of the library that `native` is of.

    Args:
        native: the frame that the caller gave.
        result: the frame to return.
        converted: `native` as a Polars frame. A pandas frame keeps its index and the columns that did not change.

    >>> to_kind_of([{"a": 1}], pl.DataFrame({"a": [2]}), pl.DataFrame({"a": [1]}))
    [{'a': 2}]
    """
    if isinstance(native, list | tuple):
        return result.to_dicts()
    wrapped = _import_narwhals().from_native(native, eager_only=True)
    try:
        if wrapped.implementation.is_pandas():
            return _to_pandas(native, result, converted)
        table = result.to_arrow()
    except ImportError as error:
        raise _refuse_without_extra(native, error) from None
    if wrapped.implementation.is_pyarrow():
        return table
    return _import_narwhals().from_arrow(table, backend=wrapped.implementation).to_native()


# ---------------------------------------------------------------------------------------------------------


def _import_narwhals() -> Any:
    import narwhals.stable.v2 as narwhals

    return narwhals


def _refuse_without_extra(frame: object, error: ImportError) -> InputError:
    library = type(frame).__module__.partition(".")[0]
    missing = error.name or "pyarrow"
    return InputError(
        f"a {library} frame needs {missing}, which is not installed: pip install 'drgsim[pandas]', "
        "or pass a Polars frame, an Arrow table or a list of dicts."
    )


def _from_dicts(rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """Return rows as a frame; a name that a row lacks is null there."""
    names = dict.fromkeys(name for row in rows for name in row)
    columns = []
    for name in names:
        values = [row.get(name) for row in rows]
        # A hash of 64 bits is beyond the signed integers that Polars infers.
        large = any(isinstance(value, int) and value >= 2**63 for value in values)
        try:
            columns.append(pl.Series(name, values, dtype=pl.UInt64 if large else None, strict=True))
        except (TypeError, pl.exceptions.PolarsError, OverflowError):
            raise SchemaError(_describe_mixed(name, values)) from None
    return pl.DataFrame(columns)


def _take_days(frame: pl.DataFrame) -> pl.DataFrame:
    """Return a frame whose times are days where all are midnight: pandas has no type for days."""
    times = [name for name, dtype in frame.schema.items() if dtype == pl.Datetime]
    midnight = frame.select((pl.col(name).dt.time() == dt.time()).all() for name in times)
    return frame.with_columns(pl.col(name).dt.date() for name in times if midnight[name].item())


def _parse_iso_dates(frame: pl.DataFrame) -> pl.DataFrame:
    """Return a frame whose dates in ISO text are dates; JSON has no other way to write them."""
    texts = [name for name, dtype in frame.schema.items() if dtype == pl.String and name.endswith("_date")]
    iso = [
        name for name in texts if frame[name].str.contains(_ISO_DATE).all() and frame[name].null_count() < len(frame)
    ]
    parsed = frame.with_columns(pl.col(iso).str.to_date("%Y-%m-%d", strict=False))
    return parsed.with_columns(frame[name] for name in iso if parsed[name].null_count() > frame[name].null_count())


def _describe_mixed_columns(frame: Any, wrapped: Any) -> str:
    """Return which columns cannot be converted; no cell is shown."""
    for name in wrapped.columns:
        try:
            wrapped.select(name).to_polars()
        except Exception:
            return _describe_mixed(name, wrapped[name].to_list())
    return f"a {type(frame).__module__.partition('.')[0]} frame cannot be converted to Polars."


def _describe_mixed(name: object, values: Sequence[object]) -> str:
    types = sorted({type(value).__name__ for value in values if value is not None})
    return (
        f"column {name} has values of several types ({', '.join(types)}); convert it to one type first, such as text."
    )


def _to_pandas(native: Any, result: pl.DataFrame, converted: pl.DataFrame) -> Any:
    """Return a pandas frame with the index of `native`, and its unchanged columns."""
    import pandas as pd

    same_rows = result.height == converted.height == len(native)
    index = native.index if same_rows else None
    columns: dict[str, Any] = {}
    for column in result:
        name = column.name
        if same_rows and name in converted.columns and converted[name].equals(column, null_equal=True):
            columns[name] = native[name]
        else:
            columns[name] = _to_pandas_column(pd, column, index)
    return pd.DataFrame(columns, index=index)


def _to_pandas_column(pd: Any, column: pl.Series, index: Any) -> Any:
    """Return a pandas column; whole numbers stay whole where some are missing."""
    if column.dtype.is_nested():
        return pd.Series(column.to_list(), index=index, dtype=object, name=column.name)
    if column.null_count() and column.dtype.is_integer():
        return pd.Series(pd.array(column.to_list(), dtype=str(column.dtype)), index=index, name=column.name)
    if column.null_count() and column.dtype == pl.Boolean:
        return pd.Series(pd.array(column.to_list(), dtype="boolean"), index=index, name=column.name)
    values = column.to_pandas()
    return values.set_axis(index) if index is not None else values
