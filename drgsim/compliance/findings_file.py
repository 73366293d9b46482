"""The findings of reviewers, read from a file by account."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import polars as pl

from drgsim.compliance.extrapolation import KIND
from drgsim.compliance.review_findings import AMOUNTS
from drgsim.exceptions import InputError, SchemaError, did_you_mean
from drgsim.files.foreign_frames import accept_frames
from drgsim.files.text_tables import read_typed_table

_SUFFIXES = (".csv", ".parquet")


@accept_frames
def read_findings(
    path: str | os.PathLike[str],
    sampled: pl.DataFrame,
    *,
    account: str = "admission_id",
    columns: Mapping[str, str] | None = None,
) -> pl.DataFrame:
    r"""Return the findings of reviewers from a file, each with the claim of its account.

    Args:
        path: a `.csv` or `.parquet` file, one row for each reviewed claim, in any order.
        sampled: the claims as `sample` returned them, or its sampled rows alone.
        account: column that names the claim in both, such as an account number; text, so that 01 is not 1.
        columns: the file's own names of `account`, `correct_usd`, `found_usd` and `kind` where they differ.

    Returns:
        The rows of the file in its order: the columns of `sampled`, then `correct_usd` or `found_usd` [USD], `kind`
        where the file has it, and its other columns. Amounts may have `$`, commas, and parentheses or a minus where
        negative. A blank amount is null: the claim is not reviewed yet.

    Raises:
        InputError: there is no such file, it is not readable, an account repeats or was not sampled, or an amount is
            no number. Messages name rows of the file and show no cell.
        SchemaError: the file or `sampled` lacks a column.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "findings.csv"
    >>> _ = path.write_text("Acct,Paid correctly,kind\nA7,\"$7,250.50\",sepsis not supported\nA2,9000,\n")
    >>> claims = pl.DataFrame({"admission_id": [1, 2], "account": ["A2", "A7"], "billed_usd": [9e3, 9e3]})
    >>> names = {"account": "Acct", "correct_usd": "Paid correctly"}
    >>> read_findings(path, claims, account="account", columns=names).select("admission_id", "correct_usd").rows()
    [(2, 7250.5), (1, 9000.0)]
    """
    name = os.fspath(path)
    if not Path(path).is_file():
        raise InputError(f"{name}: no such file.")
    if Path(path).suffix.lower() not in _SUFFIXES:
        raise InputError(f"{name}: cannot read {Path(path).suffix or 'a file without suffix'}; use .csv or .parquet.")
    if account not in sampled.columns:
        raise SchemaError(f"sampled claims lack the column {account!r} of the account (found {sampled.columns}).")
    table = _rename(read_typed_table(Path(path), lambda _: True), account, columns or {}, name)
    amounts = [column for column in AMOUNTS if column in table.columns]
    if account not in table.columns or not amounts:
        missing = account if account not in table.columns else " or ".join(AMOUNTS)
        hint = did_you_mean(missing, table.columns) if account not in table.columns else ""
        raise SchemaError(
            f"{name}: lacks the column {missing} (found {len(table.columns)} others).{hint} "
            "Name the file's own columns: columns={'correct_usd': 'Correct payment'}."
        )
    table = table.with_columns(_read_amounts(table[column], name) for column in amounts)
    drawn = sampled.filter("is_sampled") if "is_sampled" in sampled.columns else sampled
    keys = _read_accounts(table[account], drawn[account].dtype)
    _refuse_rows(keys.is_null(), name, "have no account, or one of another form")
    _refuse_rows(keys.is_duplicated() & keys.is_not_null(), name, "repeat an account; keep one finding for each claim")
    _refuse_rows(~keys.is_in(drawn[account].implode()), name, "have an account that was not sampled")
    own = drawn.drop(*(column for column in (*AMOUNTS, KIND) if column in drawn.columns))
    others = table.drop(column for column in table.columns if column in own.columns)
    found = pl.DataFrame({account: keys}).join(own, on=account, how="left", maintain_order="left")
    return found.select(own.columns).hstack(others)


# ---------------------------------------------------------------------------------------------------------


def _rename(table: pl.DataFrame, account: str, columns: Mapping[str, str], name: str) -> pl.DataFrame:
    """Return a table whose columns have drgsim's names."""
    wanted = (account, *AMOUNTS, KIND)
    for own, theirs in columns.items():
        if own not in wanted:
            raise InputError(f"columns name {own!r}; expected {', '.join(wanted)}.{did_you_mean(own, wanted)}")
        if theirs not in table.columns:
            raise SchemaError(f"{name}: lacks the column {theirs!r}.{did_you_mean(theirs, table.columns)}")
    return table.rename({theirs: own for own, theirs in columns.items()})


def _read_amounts(values: pl.Series, name: str) -> pl.Series:
    """Return dollars of a column; blank is null."""
    if values.dtype != pl.String:
        return values.cast(pl.Float64)
    text = values.str.replace_all(r"[\s$,]|USD", "")
    is_negative = text.str.contains(r"^\(.*\)$|-$").fill_null(value=False)
    numbers = text.str.replace_all(r"[()]|-$", "").cast(pl.Float64, strict=False)
    is_wrong = numbers.is_null() & (text != "").fill_null(value=False)
    _refuse_rows(is_wrong | ~numbers.is_finite().fill_null(value=True), name, f"have a {values.name} that is no number")
    return pl.select(pl.when(is_negative).then(-numbers).otherwise(numbers).alias(values.name)).to_series()


def _read_accounts(values: pl.Series, dtype: pl.DataType) -> pl.Series:
    if dtype.is_integer():
        return (
            values.cast(dtype, strict=False) if values.dtype != pl.String else _strip(values).cast(dtype, strict=False)
        )
    text = _strip(values.cast(pl.String))
    return text.set(text == "", None)


def _strip(values: pl.Series) -> pl.Series:
    return values.str.strip_chars()


def _refuse_rows(is_wrong: pl.Series, name: str, what: str) -> None:
    if is_wrong.any():
        raise InputError(f"{name}: {is_wrong.sum()} rows {what}; the first is row {(is_wrong.arg_max() or 0) + 1}.")
