"""Compare the answers of an installation with known answers: `selftest()`.

The known answers are in `grouper_tables/selftest/`. They come from CMS's pricer, from other groupers, from plain
integer arithmetic, or from a calculation by hand. The check needs no network and no other file.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import polars as pl

from drgsim.claims.layouts import read_claims
from drgsim.grouping.grouper import group
from drgsim.miscoding.scenarios import Scenario
from drgsim.numerics.keyed_random import random_bits
from drgsim.pricing.pricer import price, price_stays
from drgsim.rates.payment_rates import Rates
from drgsim.releases.verification import verify
from drgsim.schema import HOSPITALS, STAYS
from drgsim.simulation.simulator import simulate
from drgsim.synthetic.generator import generate
from drgsim.tables.manifest import read_verified, table_folder
from drgsim.tables.table_set import TableSet

_FOLDER = "selftest"
_VERSION, _FISCAL_YEAR = "43.1", 2026
_GENERATED = 1_000
_REPLICATES = 3

Comparison = tuple[str, object, object]
"""What was compared, what was expected, what was found."""


def selftest(folder: str | os.PathLike[str] | None = None) -> pl.DataFrame:
    """Compare the answers of this installation with known answers.

    Args:
        folder: a table folder; by default the one drgsim reads.

    Returns:
        One row for each check: `check`, `compared` (number of answers), `wrong` (number that differ), and of the first
        answer that differs `what`, `expected` and `found`. A check that raises an error counts as one wrong answer.

    Raises:
        TableError: there is no table folder.

    >>> selftest()["wrong"].sum()
    0
    """
    root = table_folder(folder)
    checks: dict[str, Callable[[Path], Iterator[Comparison]]] = {
        "tables as published": _check_tables,
        "random draws": _check_draws,
        "groups": _check_groups,
        "prices": _check_prices,
        "generates": _check_generation,
        "simulates": _check_simulation,
    }
    rows = [_summarise(name, partial(check, root)) for name, check in checks.items()]
    texts = dict.fromkeys(("what", "expected", "found"), pl.String)
    return pl.DataFrame(
        rows, schema={"check": pl.String, "compared": pl.Int64, "wrong": pl.Int64, **texts}, orient="row"
    )


def _summarise(
    name: str, check: Callable[[], Iterator[Comparison]]
) -> tuple[str, int, int, str | None, str | None, str | None]:
    """Return one check as a row of the table."""
    try:
        found = list(check())
    except Exception as error:  # any defect of an installation is reported, and the other checks go on
        return name, 1, 1, "the check itself", "an answer", f"{type(error).__name__}: {error}"
    wrong = [comparison for comparison in found if comparison[1] != comparison[2]]
    if not wrong:
        return name, len(found), 0, None, None, None
    subject, expected, answer = wrong[0]
    return name, len(found), len(wrong), subject, str(expected), str(answer)


# ------------------------------------------------------------------------------------------------- checks


def _check_tables(root: Path) -> Iterator[Comparison]:
    for subject, _, problem in verify(root).rows():
        yield subject, None, problem


def _check_draws(root: Path) -> Iterator[Comparison]:
    """Yield words of the random generator, from which every draw is made."""
    for seed, stream, admission, word in _read_texts(root, "draws").rows():
        yield f"draw {stream!r} of {admission}", word, f"{random_bits(int(seed), stream, [int(admission)]).item():016x}"


def _check_groups(root: Path) -> Iterator[Comparison]:
    """Yield claims that CMS's grouper and others answered, each in its version."""
    cases = _read_selftest_claims(root, "cases").with_columns(pl.col("version").cast(pl.String))
    for version, status in cases.select("version", "hospital_status").unique(maintain_order=True).rows():
        claims = cases.filter(version=version, hospital_status=status)
        grouped = group(claims, TableSet.load(version, folder=root), hospital_status=status)
        for name in ("initial_drg", "drg", "mdc", "return_code"):
            for case, expected, found in grouped.select("case", f"expected_{name}", name).rows():
                yield f"{case}: {name}", expected, found


def _check_prices(root: Path) -> Iterator[Comparison]:
    """Yield stays that CMS's pricer answered: every component, and the total through `price`."""
    table, rates = _read_texts(root, "stays"), Rates.load(_FISCAL_YEAR, folder=root)
    stays = table.select(
        pl.col("case").alias("name"),
        *(_cast(column.name, column.dtype) for frame in (STAYS, HOSPITALS) for column in frame.columns
          if column.name in table.columns),
    )  # fmt: skip
    priced = price_stays(stays.drop("name"), rates, informational=True)
    for name in (name.removeprefix("expected_") for name in table.columns if name.startswith("expected_")):
        if name in priced.columns:
            expected = table[f"expected_{name}"].cast(pl.Float64)
            for case, one, found in zip(table["case"], expected, priced[name].cast(pl.Float64), strict=True):
                yield f"{case}: {name}", round(one, 4), round(found, 4)
    inputs = [name for name in HOSPITALS.names if name in stays.columns]
    hospitals = stays.select(pl.col("name").alias("hospital_id"), *inputs)
    paid = price(stays.drop(inputs, "weight", "gmlos_days").rename({"name": "hospital_id"}), hospitals, rates)
    for case, one, found in zip(
        table["case"], table["expected_total_usd"].cast(pl.Float64), paid["total_usd"], strict=True
    ):
        yield f"{case}: paid", one, found


def _check_generation(root: Path) -> Iterator[Comparison]:
    """Yield properties of generated admissions: groupable, and independent of their number."""
    tables = TableSet.load(_VERSION, folder=root)
    _, admissions = generate(_GENERATED, seed=1, tables=tables)
    grouped = group(admissions, tables)
    yield "admissions", _GENERATED, grouped.height
    yield "groupable admissions", _GENERATED, int((grouped["return_code"] == "OK").sum())
    yield "the first ten again", True, generate(10, seed=1, tables=tables)[1].equals(admissions.head(10))


def _check_simulation(root: Path) -> Iterator[Comparison]:
    """Yield the effect of an error of probability 1, whose dollars are calculated by hand."""
    claims = _read_selftest_claims(root, "simulation")
    scenario = Scenario.loads(read_verified(root, f"{_FOLDER}/omission.toml"), file="omission")
    result = simulate(
        claims,
        scenario,
        tables=TableSet.load(_VERSION, folder=root),
        hospitals=None,
        rates=Rates.load(_FISCAL_YEAR, folder=root),
        replicates=_REPLICATES,
        seed=1,
        progress=False,
        hospital_status="NON_EXEMPT",
    )
    correct = result.admissions
    for name in ("drg", "usd"):
        for case, expected, found in correct.select("admission_id", f"expected_{name}", name).rows():
            yield f"admission {case}: {name}", expected, found
    changes_drg = pl.col("expected_drg") != pl.col("expected_billed_drg")
    expected = claims.filter(changes_drg).select("expected_drg", "expected_billed_drg").sort(pl.all()).rows()
    yield "transitions", expected, result.transitions().select("drg", "billed_drg").sort(pl.all()).rows()
    cents = (pl.col("expected_billed_usd", "expected_usd") * 100).round().cast(pl.Int64)
    change = claims.select(cents).select(pl.col("expected_billed_usd") - pl.col("expected_usd")).sum().item()
    yield "net dollars", change / 100, round(result.mean("net_usd"), 2)
    yield "the same in every replicate", [change] * _REPLICATES, result.totals["net"].to_list()
    yield (
        "share of admissions whose DRG changes",
        claims.select(changes_drg.mean()).item(),
        result.mean("drg_change_rate"),
    )


# ------------------------------------------------------------------------------------------------- files


def _read_selftest_claims(root: Path, name: str) -> pl.DataFrame:
    read_verified(root, f"{_FOLDER}/{name}.csv")
    claims = read_claims(root / _FOLDER / f"{name}.csv")
    numbers = [column for column in claims.columns if column.startswith("expected_") and _are_numbers(claims[column])]
    return claims.with_columns(pl.col(numbers).cast(pl.Float64))


def _are_numbers(texts: pl.Series) -> bool:
    return texts.cast(pl.Float64, strict=False).null_count() == texts.null_count()


def _read_texts(root: Path, name: str) -> pl.DataFrame:
    return pl.read_csv(read_verified(root, f"{_FOLDER}/{name}.csv"), infer_schema=False)


def _cast(name: str, dtype: pl.DataType) -> pl.Expr:
    """Return a column of texts in a type; lists are separated by blanks."""
    if dtype == pl.Boolean:
        return pl.col(name) == "true"
    if isinstance(dtype, pl.List):
        return pl.col(name).str.split(" ").cast(dtype)
    return pl.col(name).cast(dtype)
