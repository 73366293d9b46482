"""A simulation as one HTML file that opens anywhere: `report`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from drgsim.exceptions import InputError
from drgsim.plots.evidence import plot_validity
from drgsim.plots.html_page import (
    Cell,
    Number,
    bullets,
    cards,
    folded,
    heading,
    page,
    paragraph,
    picture,
    table,
    write_page,
)
from drgsim.plots.simulation import plot_replicates, plot_severity, plot_shift
from drgsim.plots.style import choose_money_unit, format_level, format_signed, spell_name
from drgsim.plots.transitions import plot_flow, plot_transitions
from drgsim.simulation.estimates import LEVEL
from drgsim.simulation.headline import ERROR_LABELS, LABELS, MONEY, MONEY_MEASURES
from drgsim.simulation.results import Simulation
from drgsim.tables.table_set import TableSet

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_FEWEST = 11
"""Counts of admissions below this are not shown by hospital, as CMS withholds them."""
_TRANSITIONS = 100
_HOSPITALS = 500
"""Rows shown of the longest tables."""

_METHOD = (
    "Every admission is grouped to its MS-DRG and priced: the truth. The errors of the scenario are drawn on it, the "
    "changed bill is grouped and priced again, and what it pays more or less than the truth is the shift.",
    "All of this is repeated with other draws: the replicates. Amounts are means per replicate. Intervals are "
    "Student t intervals of that mean: they hold the noise of the draws, not doubt about the error rates.",
    "What an error contributes when several meet on one bill is shared by Shapley values, so the errors add up to the "
    "total. “As the only error” is the change if no other error were made; “if it alone were corrected” is the change "
    "that would be saved.",
    "A bill that cannot be grouped is returned, not paid: it counts as returned, not as underpaid.",
)
_LIMITS = (
    "This is payment sensitivity: what payment would do if errors happened as the scenario says. It is no estimate of "
    "errors that did happen, and none of fraud: no record was looked at.",
    "The rates are those of the scenario; where they are assumptions, so is every dollar here. Each rate's source "
    "stands in the scenario below.",
    "Nobody reacts: no denial, query, audit or change of behaviour follows an error, unless the scenario says so.",
)


def report(
    result: Simulation,
    path: str | os.PathLike[str],
    *,
    tables: TableSet | None = None,
    validity: pl.DataFrame | None = None,
    level: float = LEVEL,
) -> Path:
    """Write a simulation as one HTML file: text, figures and sortable tables, without any connection to elsewhere.

    It says what was simulated, the headline dollars with intervals, errors, DRG transitions, severity, hospitals,
    validity if given, method, limits and the run id. Every text in it is escaped. The same result gives the same
    file. It is written whole or not at all. Hospitals with fewer than 11 admissions are left out and counted, with
    one more where the one would follow from the total; so are counts of changed DRGs below 11.

    Args:
        result: of `simulate`.
        path: of the file; its folder is made if need be, and a file there is replaced.
        tables: the version simulated, for the titles of DRGs; without it DRGs are numbers.
        validity: of `drgsim.synthetic.validation.validity`, if the admissions were generated.
        level: of the intervals.

    Returns:
        The path.

    Raises:
        InputError: no simulation, tables of another version, or a path that cannot be written.
        SchemaError: the validity is no frame of `validity`.

    >>> import tempfile
    >>> from drgsim import Rates, generate
    >>> from drgsim.cli.main_job import demo
    >>> tables = TableSet.load("43.1")
    >>> hospitals, admissions = generate(300, seed=1, tables=tables)
    >>> result = demo(admissions, hospitals, tables=tables, rates=Rates.load(2026), replicates=4).simulation
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     result.run_id in report(result, f"{folder}/report.html", tables=tables).read_text("utf-8")
    True
    """
    if not isinstance(result, Simulation):
        raise InputError(f"report takes a simulation, found {type(result).__name__}. Pass what simulate returns.")
    if tables is not None and tables.version != result.version:
        raise InputError(f"the tables are of version {tables.version}, the simulation of {result.version}.")
    parts = [
        *_what(result),
        *_headline(result, level),
        *_errors(result, level),
        *_transitions(result, tables, level),
        *_hospitals(result, level),
        *_measures(result, level),
        *(_validity(validity) if validity is not None else ()),
        heading("Method"),
        bullets(_METHOD),
        heading("Limits"),
        bullets(_LIMITS),
        folded("The scenario, with everything in force", result.scenario.dumps()),
        paragraph(f"Run {result.run_id}, made by drgsim.", small=True),
    ]
    return write_page(path, page(f"Coding errors and payment: {result.scenario.title}", parts))


# ---------------------------------------------------------------------------------------------------------


def _what(result: Simulation) -> Iterator[str]:
    """Say what was simulated."""
    scenario, admissions = result.scenario, result.admissions
    at = f" in {admissions['hospital_id'].n_unique():,} hospitals" if "hospital_id" in admissions.columns else ""
    yield paragraph(
        f"{len(admissions):,} admissions{at}, grouped with MS-DRG version {result.version} and priced by "
        f"{result.priced_by}: {result.payment_usd:,.0f} USD in truth. {result.replicates:,} replicates, seed "
        f"{result.seed}, run {result.run_id}."
    )
    if result.interrupted:
        yield paragraph(f"Interrupted: {result.replicates:,} of {result.asked:,} replicates were finished.")
    for text in (scenario.about, " ".join(filter(None, (scenario.population, scenario.period, scenario.source)))):
        if text:
            yield paragraph(text)


def _headline(result: Simulation, level: float) -> Iterator[str]:
    told = {row["measure"]: row for row in result.summary(level).iter_rows(named=True)}
    unit, scale = choose_money_unit([abs(told[name]["mean"] or 0.0) for name in MONEY_MEASURES])
    yield heading("Headline")
    found = [(LABELS[name], *_told(told[name], f" {unit}", scale, sign=name == "net_usd")) for name in MONEY_MEASURES]
    found.append((LABELS["net_share"], *_told(told["net_share"], " %", 0.01)))
    found.append((LABELS["drg_change_rate"], *_told(told["drg_change_rate"], " %", 0.01, sign=False)))
    found.append((LABELS["case_mix_index_change"], *_told(told["case_mix_index_change"], "", 1.0, digits=4)))
    yield cards(found)
    yield paragraph(
        f"Means per replicate, below them their {format_level(level)} interval over draws. Net is overpaid less "
        "underpaid, improper is their sum."
    )
    if "hospital_id" in result.admissions.columns and result.payment_usd:
        share, low, high = result.over_hospitals(level)
        yield paragraph(
            f"With other hospitals of this kind, net ({format_signed(100 * share)} % of payment) would lie between "
            f"{format_signed(100 * low)} and {format_signed(100 * high)} % "
            f"(hospitals resampled, {format_level(level)})."
        )


def _told(
    row: dict[str, float | None], unit: str, scale: float, *, digits: int = 2, sign: bool = True
) -> tuple[str, str]:
    """Return a measure and its interval as words."""

    def words(value: float) -> str:
        return format_signed(value / scale, digits=digits) if sign else f"{value / scale:,.{digits}f}"

    mean, low, high = (row[name] for name in ("mean", "low", "high"))
    if mean is None or mean != mean:  # no payment, or no replicate
        return "none", ""
    sure = "one replicate: no interval" if low is None or high is None else f"{words(low)} to {words(high)}{unit}"
    return words(mean) + unit, sure


def _errors(result: Simulation, level: float) -> Iterator[str]:
    yield heading("Which errors move the money")
    yield _drawn(plot_shift(result, level=level), "Payment shift error by error, ending in the total, with intervals.")
    r = max(result.replicates, 1)
    counts = {row["error"]: row for row in result.error_counts.iter_rows(named=True)}
    rows: list[list[Cell]] = []
    for name, usd, error, solo, last in result.errors().iter_rows():
        made, drawn = (counts[name][what] / r if name in counts else None for what in ("made", "drawn"))
        refused = None if made is None or drawn is None else drawn - made
        rows.append([spell_name(name), *map(_usd, (usd, error, solo, last)), _count(made), _count(refused)])
    yield table(
        ("error", *ERROR_LABELS.values(), "made", "refused"),
        rows,
        caption=f"{MONEY}; made and refused errors per replicate. Refused: drawn, but the claim would not have been "
        "possible.",
    )
    yield _drawn(plot_replicates(result, level=level), "Net of every replicate: what chance alone does.")


def _transitions(result: Simulation, tables: TableSet | None, level: float) -> Iterator[str]:
    yield heading("Between which DRGs")
    yield _drawn(plot_transitions(result, level=level), "Payment shift by true DRG (down) and billed DRG (across).")
    yield _drawn(plot_flow(result, level=level), "Admissions that leave their DRG. Hatched: paid more.")
    moved = result.transitions()
    titles = {} if tables is None else dict(tables.drg_titles.select("drg", "title").iter_rows())
    rows: list[list[Cell]] = [
        [f"{drg:03}", f"{billed:03}", *([titles.get(billed, "")] if titles else []), _count(cases), _usd(usd)]
        for drg, billed, cases, usd in moved.head(_TRANSITIONS).iter_rows()
    ]
    yield table(
        ("true DRG", "billed DRG", *(["title of the billed DRG"] if titles else []), "admissions", "net, USD"),
        rows,
        caption=f"The {len(rows):,} transitions of {len(moved):,} that move most dollars; mean per replicate.",
    )
    yield _drawn(plot_severity(result, level=level), "Admissions by severity of their DRG, in truth and as billed.")


def _hospitals(result: Simulation, level: float) -> Iterator[str]:
    if "hospital_id" not in result.admissions.columns:
        return
    yield heading("Hospitals")
    everyone = result.by("hospital_id", level=level).sort("admissions", "hospital_id", descending=[True, False])
    shown = everyone.filter(pl.col("admissions") >= _FEWEST)
    if len(everyone) - len(shown) == 1:  # the one would follow from the total
        shown = shown.head(-1)
    listed = shown.sort("improper_usd", "hospital_id", descending=[True, False]).head(_HOSPITALS)
    rows: list[list[Cell]] = [
        [
            str(row["hospital_id"]),
            _count(row["admissions"], digits=0),
            _usd(row["payment_usd"]),
            *(_usd(row[name]) for name in ("net_usd", "net_low", "net_high", "overpaid_usd", "underpaid_usd")),
            _share(row["net_share"]),
            _withheld(row["drg_changes"]),
        ]
        for row in listed.iter_rows(named=True)
    ]
    yield table(
        ("hospital", "admissions", "payment, USD", "net, USD", "low", "high", "overpaid, USD",
         "underpaid, USD", "net, % of payment", "changed DRGs"),
        rows,
        caption=f"{len(rows):,} hospitals, those with most dollars moved first; {len(everyone) - len(shown):,} with "
        f"fewer than {_FEWEST} admissions, or which would give one of these away, are not shown, "
        f"{len(shown) - len(listed):,} others left out. Means per replicate. Low to high: {format_level(level)} "
        "interval of net.",
    )  # fmt: skip


def _measures(result: Simulation, level: float) -> Iterator[str]:
    yield heading("All measures")
    columns = ("mean", "standard_error", "low", "high", "event_low", "event_high")
    rows: list[list[Cell]] = []
    for row in result.summary(level).iter_rows(named=True):
        is_share = row["unit"].startswith("of ")
        values = (row[name] if row[name] is None or not is_share else 100 * row[name] for name in columns)
        rows.append([LABELS[row["measure"]], f"% {row['unit']}" if is_share else row["unit"], *map(_number, values)])
    yield table(
        ("measure", "unit", "mean", "standard error", "low", "high", "replicates from", "replicates to"),
        rows,
        caption=f"Low to high: {format_level(level)} interval of the mean. Replicates from, to: the middle "
        f"{format_level(level)} of single replicates.",
    )


def _validity(found: pl.DataFrame) -> Iterator[str]:
    yield heading("How real the admissions are")
    yield paragraph("The admissions were generated. This is how they compare with what is published.")
    yield _drawn(plot_validity(found), "Generated population beside published figures.")
    columns = ("subject", "measure", "generated", "target", "source")
    rows = [
        [subject, measure, _number(generated), _number(target), source]
        for subject, measure, generated, target, source in found.select(columns).iter_rows()
    ]
    yield table(columns, rows, caption="Target: published, with its source; empty where nothing is published.")


def _drawn(ax: Axes, caption: str) -> str:
    figure = ax.get_figure(root=True)
    assert figure is not None  # Axes made above stand in a figure
    return picture(figure, caption)


def _usd(value: float | None) -> Number:
    return Number("" if value is None else f"{value:,.0f}", value)


def _count(value: float | None, *, digits: int = 1) -> Number:
    return Number("" if value is None else f"{value:,.{digits}f}", value)


def _share(value: float | None) -> Number:
    return Number("" if value is None else f"{100 * value:,.2f}", value)


def _withheld(value: float) -> Number:
    return _count(value) if value >= _FEWEST else Number(f"under {_FEWEST}", None)


def _number(value: float | None) -> Number:
    if value is None:
        return Number("", None)
    return Number(f"{value:,.0f}" if abs(value) >= 1000 else f"{value:,.4g}", value)
