"""Simulations of parts of the admissions, added up exactly to the simulation of all.

`tally_run` reduces the simulation of a part to whole numbers per replicate. Those of the parts add up to those of all
admissions, so the tables of the merged result are equal to those of `simulate`, number by number. They can be grouped
only by the columns named before the run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import polars as pl

from drgsim.exceptions import InputError
from drgsim.miscoding.scenarios import Scenario
from drgsim.pricing.contracts import PriceTerms
from drgsim.rebilling.baseline import join_digests
from drgsim.simulation.result_tables import ERROR, FINE, BaselineTotals, Columns, MergedTables
from drgsim.simulation.results import Simulation
from drgsim.simulation.simulator import make_run_id, start_run
from drgsim.tables.table_set import TableSet

Tables = Mapping[str, pl.DataFrame]
ABOUT, LEDGER = "about", "ledger"
"""Tables of a part that do not add up: its digest and how it is priced, and every error made."""
_KEYS: dict[str, Columns] = {
    "baseline": (),
    "totals": ("replicate",),
    "error_counts": (ERROR,),
    "error_totals": ("error_number", "replicate"),
    "transition_totals": ("drg", "billed_drg"),
}
"""Tables of a tally with their key columns; the other columns are whole numbers that add up."""


def list_breakdowns(by: Sequence[str | Sequence[str]]) -> tuple[Columns, ...]:
    """Return the columns to group a result by, each entry as a tuple.

    >>> list_breakdowns(["mdc", ("mdc", "error")])
    (('mdc',), ('mdc', 'error'))

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
    """Return the whole numbers that the tables of a simulation are made from.

    Args:
        simulation: of some of the admissions, without a control.
        columns: what the result can be grouped by (`Simulation.by`), each entry a tuple.

    Returns:
        `totals`, `error_counts` and, as `result_tables.MergedTables` takes them, `baseline`, `error_totals`,
        `transition_totals`, and for entry i of `columns` `grouped_i` and, by columns of admissions, `correct_i`.

    Raises:
        InputError: there is no such column.
    """
    expected = (pl.col("expected") * FINE).cast(pl.Int64)
    schema = dict.fromkeys(BaselineTotals._fields, pl.Int64)
    tables = {
        "baseline": pl.DataFrame([simulation.baseline], schema=schema, orient="row"),
        "totals": simulation.totals,
        "error_counts": simulation.error_counts.with_columns(expected),
        "error_totals": simulation.tables.total_errors(),
        "transition_totals": simulation.tables.total_transitions(),
    }
    for place, one in enumerate(columns):
        grouped, correct = simulation.tables.group_claims(one)
        tables[f"grouped_{place}"] = grouped
        if correct is not None:
            tables[f"correct_{place}"] = correct
    return {name: _add_rows([table], _find_keys(name, columns)) for name, table in tables.items()}


def simulate_tally(
    admissions: pl.DataFrame,
    scenario: Scenario,
    columns: Sequence[Columns],
    *,
    tables: TableSet,
    hospitals: pl.DataFrame | None,
    rates: PriceTerms,
    replicates: int,
    seed: int,
    ledger: bool = False,
    hospital_status: str | None = None,
    edits: str = "ignored",
) -> dict[str, pl.DataFrame]:
    """Simulate some of the admissions and return their tally.

    Arguments and errors as in `simulate`.

    Returns:
        What `tally_run` returns, `about` with the digest of the part, and with `ledger` every error made.

    Raises:
        KeyboardInterrupt: the run was interrupted; an unfinished part is of no use.
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
        edits=edits,
    )
    run.draw_replicates(replicates, progress=False)
    if run.interrupted:
        raise KeyboardInterrupt
    result = run.build_result(replicates)
    about = pl.DataFrame({"digest": [run.digest], "priced_by": [result.priced_by]})
    return {**tally_run(result, columns), ABOUT: about, **({} if result.ledger is None else {LEDGER: result.ledger})}


def add_tallies(parts: Iterable[Tables], columns: Sequence[Columns]) -> dict[str, pl.DataFrame]:
    """Return the sum of the tallies of different admissions.

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
                total[name] = _add_rows(both, _find_keys(name, columns))
    if not total:
        raise InputError("there is no part to add up.")
    return total


def merge_tallies(
    parts: Iterable[Tables], columns: Sequence[Columns], scenario: Scenario, *, version: str, seed: int
) -> Simulation:
    """Return the result of all parts together, with the run id of all admissions at once."""
    total = add_tallies(parts, columns)
    digest, priced_by = total.pop(ABOUT).row(0)
    totals, error_counts = total.pop("totals"), total.pop("error_counts")
    return Simulation(
        run_id=make_run_id(digest, scenario, version, seed),
        scenario=scenario,
        version=version,
        seed=seed,
        replicates=totals.height,
        asked=totals.height,
        interrupted=False,
        priced_by=priced_by,
        totals=totals.sort("replicate").with_columns(pl.col("replicate").cast(pl.Int32)),
        error_counts=error_counts.with_columns(pl.col("expected") / FINE),
        tables=MergedTables(tuple(columns), total),
    )


# ---------------------------------------------------------------------------------------------------------


def _find_keys(name: str, columns: Sequence[Columns]) -> Columns:
    """Return the key columns of a table of a tally."""
    if name in _KEYS:
        return _KEYS[name]
    kind, _, place = name.rpartition("_")
    return ("replicate", *columns[int(place)]) if kind == "grouped" else columns[int(place)]


def _add_rows(tables: Sequence[pl.DataFrame], keys: Columns) -> pl.DataFrame:
    """Return the sums of the other columns by the keys, in the order of first occurrence."""
    joined = pl.concat(tables)
    numbers = [name for name in joined.columns if name not in keys]
    sums = [pl.col(name).cast(pl.Int64).sum() for name in numbers]
    order = joined.columns
    if not keys:
        return joined.select(sums)
    return joined.group_by(keys, maintain_order=True).agg(sums).select(order)
