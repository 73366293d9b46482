"""Simulations of parts of the admissions, put together exactly.

What a simulation is told from is whole numbers a replicate: `tally_run` reduces it to these, and those of parts add up to
those of the whole. Only the columns named up front can be told apart afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from drgsim.exceptions import InputError
from drgsim.miscoding.scenarios import Scenario
from drgsim.pricing.rates import Rates
from drgsim.rebilling.baseline import join_digests
from drgsim.simulation.result_tables import ERROR, FINE, Result, TrueTotals
from drgsim.simulation.results import Simulation
from drgsim.simulation.simulator import make_run_id, start_run
from drgsim.tables.table_set import TableSet

Columns = tuple[str, ...]
Tables = Mapping[str, pl.DataFrame]
ABOUT, LEDGER = "about", "ledger"
"""Tables of a part that do not add up: its digest and what its dollars are, and every error made."""
_KEYS: dict[str, Columns] = {
    "truth": (),
    "totals": ("replicate",),
    "error_counts": (ERROR,),
    "attribution": ("error_number", "replicate"),
    "moves": ("drg", "billed_drg"),
}
"""Tables of a tally, and what tells their rows apart; the other columns are whole numbers that add up."""


@dataclass(frozen=True, eq=False, repr=False)
class MergedSimulation(Result):
    """What coding errors did to payment, over parts of the admissions: a `Simulation` without its bills.

    Its tables are those of the simulation of all admissions at once, number by number: `summary`, `mean`,
    `errors`, `transitions`, and `by` for the columns named beforehand.

    Attributes:
        run_id, scenario, version, seed, replicates, priced_by, totals, error_counts: as in `Simulation`.
        columns: by what it can be told.

    >>> from tempfile import mkdtemp
    >>> from drgsim import Rates, TableSet, generate
    >>> from drgsim.scale.parquet import simulate_parquet
    >>> tables, folder = TableSet.load("43.1"), mkdtemp()
    >>> hospitals, admissions = generate(200, seed=1, tables=tables)
    >>> admissions.write_parquet(f"{folder}/admissions.parquet")
    >>> result = simulate_parquet(f"{folder}/admissions.parquet", f"{folder}/run", Scenario.load("illustration"),
    ...                           tables=tables, hospitals=hospitals, rates=Rates.load(2026), replicates=2, seed=1,
    ...                           by=["mdc"], batch=150)
    >>> type(result).__name__, abs(result.by("mdc")["net_usd"].sum() - result.mean("net_usd")) < 0.01
    ('MergedSimulation', True)
    """

    run_id: str
    scenario: Scenario
    version: str
    seed: int
    replicates: int
    priced_by: str
    columns: tuple[Columns, ...]
    totals: pl.DataFrame = field(repr=False)
    error_counts: pl.DataFrame = field(repr=False)
    _tables: Tables = field(repr=False)

    def _truth(self) -> TrueTotals:
        return TrueTotals(*self._tables["truth"].row(0))

    def _by(self, columns: Columns) -> tuple[pl.DataFrame, pl.DataFrame | None]:
        place = next((i for i, named in enumerate(self.columns) if set(named) == set(columns)), None)
        if place is None:
            known = ", ".join(" and ".join(named) for named in self.columns) or "nothing"
            raise InputError(f"the parts were not told by {' and '.join(columns)}, but by {known}: name it in `by`.")
        return self._tables[f"by_{place}"], self._tables.get(f"truth_{place}")

    def _by_error(self) -> pl.DataFrame:
        return self._tables["attribution"]

    def _moves(self) -> pl.DataFrame:
        return self._tables["moves"]

    def _about(self) -> dict[str, str | int | bool]:
        about = ("run_id", "version", "seed", "replicates", "priced_by")
        return {name: getattr(self, name) for name in about}

    def _stored(self) -> dict[str, pl.DataFrame]:
        told = {f"by_{'_'.join(columns)}": self.by(*columns) for columns in self.columns}
        return {"totals": self.totals, "error_counts": self.error_counts, **told}


def list_breakdowns(by: Sequence[str | Sequence[str]]) -> tuple[Columns, ...]:
    """Return columns to tell a result by, each a tuple.

    >>> list_breakdowns(["mdc", ("mdc", "error")])
    (('mdc',), ('mdc', 'operator'))

    Raises:
        InputError: `by` is one text, or an entry has no name.
    """
    if isinstance(by, str):
        raise InputError(f"by is {by!r}, expected a list of columns, such as [{by!r}].")
    columns = tuple((one,) if isinstance(one, str) else tuple(one) for one in by)
    if not all(one and all(isinstance(name, str) for name in one) for one in columns):
        raise InputError(f"by is {by!r:.80}, expected names of columns, or tuples of them.")
    return columns


def tally_run(simulation: Simulation, columns: Sequence[Columns]) -> dict[str, pl.DataFrame]:
    """Return the whole numbers a simulation is told from.

    Args:
        simulation: of some of the admissions, without a control.
        columns: by what it will be told (`Simulation.by`), each a tuple.

    Raises:
        InputError: there is no such column.
    """
    truth = simulation._truth()
    expected = (pl.col("expected") * FINE).cast(pl.Int64)
    tables = {
        "truth": pl.DataFrame([truth], schema=dict.fromkeys(TrueTotals._fields, pl.Int64), orient="row"),
        "totals": simulation.totals,
        "error_counts": simulation.error_counts.with_columns(expected),
        "attribution": simulation._by_error(),
        "moves": simulation._moves(),
    }
    for place, one in enumerate(columns):
        moved, own = simulation._by(one)
        tables[f"by_{place}"] = moved
        if own is not None:
            tables[f"truth_{place}"] = own
    return {name: _summed([table], _keys(name, columns)) for name, table in tables.items()}


def simulate_tally(
    admissions: pl.DataFrame,
    scenario: Scenario,
    columns: Sequence[Columns],
    *,
    tables: TableSet,
    hospitals: pl.DataFrame | None,
    rates: Rates | Sequence[Rates],
    replicates: int,
    seed: int,
    ledger: bool = False,
    hospital_status: str | None = None,
) -> dict[str, pl.DataFrame]:
    """Simulate some of the admissions and return their tally; arguments and errors as in `simulate`.

    Returns:
        What `tally_run` returns, `about` the part, and with `ledger` every error made.

    Raises:
        KeyboardInterrupt: the run was interrupted; half a part is of no use.
    """
    run = start_run(
        admissions,
        scenario,
        tables=tables,
        hospitals=hospitals,
        rates=rates,
        replicates=replicates,
        seed=seed,
        ledger=ledger,
        hospital_status=hospital_status,
    )
    run.go(replicates, progress=False)
    if run.interrupted:
        raise KeyboardInterrupt
    result = run.result(replicates)
    about = pl.DataFrame({"digest": [run.digest], "priced_by": [result.priced_by]})
    return {**tally_run(result, columns), ABOUT: about, **({} if result.ledger is None else {LEDGER: result.ledger})}


def add_tallies(parts: Iterable[Tables], columns: Sequence[Columns]) -> dict[str, pl.DataFrame]:
    """Return the sum of tallies of different admissions.

    Raises:
        InputError: there is none.
    """
    total: dict[str, pl.DataFrame] = {}
    for part in parts:
        for name in part:
            if name == ABOUT:
                digests = [one[ABOUT]["digest"].item() for one in (total, part) if ABOUT in one]
                total[name] = part[name].with_columns(digest=pl.lit(join_digests(digests)))
            elif name != LEDGER:
                both = [one[name] for one in (total, part) if name in one]
                total[name] = _summed(both, _keys(name, columns))
    if not total:
        raise InputError("there is no part to put together.")
    return total


def merge_tallies(
    parts: Iterable[Tables], columns: Sequence[Columns], scenario: Scenario, *, version: str, seed: int
) -> MergedSimulation:
    """Return the result that all parts together tell; `make_run_id` is that of the simulation of them all."""
    total = add_tallies(parts, columns)
    digest, priced_by = total[ABOUT].row(0)
    return MergedSimulation(
        run_id=make_run_id(digest, scenario, version, seed),
        scenario=scenario,
        version=version,
        seed=seed,
        replicates=total["totals"].height,
        priced_by=priced_by,
        columns=tuple(columns),
        totals=total["totals"].sort("replicate").with_columns(pl.col("replicate").cast(pl.Int32)),
        error_counts=total["error_counts"].with_columns(pl.col("expected") / FINE),
        _tables=total,
    )


# ---------------------------------------------------------------------------------------------------------


def _keys(name: str, columns: Sequence[Columns]) -> Columns:
    if name in _KEYS:
        return _KEYS[name]
    kind, _, place = name.rpartition("_")
    return ("replicate", *columns[int(place)]) if kind == "by" else columns[int(place)]


def _summed(tables: Sequence[pl.DataFrame], keys: Columns) -> pl.DataFrame:
    """Return the sums of all columns by their keys, keys in the order in which they first come."""
    joined = pl.concat(tables)
    numbers = [name for name in joined.columns if name not in keys]
    sums = [pl.col(name).cast(pl.Int64).sum() for name in numbers]
    order = joined.columns
    if not keys:
        return joined.select(sums)
    return joined.group_by(keys, maintain_order=True).agg(sums).select(order)
