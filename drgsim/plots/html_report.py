"""A simulation as one HTML file that opens anywhere: `report`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from drgsim.display import Html, element
from drgsim.exceptions import InputError
from drgsim.files.foreign_frames import accept_frames
from drgsim.plots.evidence import plot_validity
from drgsim.plots.html_page import Cell, Number, make_cards, make_page, make_picture, make_table, write_page
from drgsim.plots.simulation import plot_replicates, plot_severity, plot_shift
from drgsim.plots.style import choose_money_unit, format_level, format_signed, spell_name
from drgsim.plots.transitions import plot_flow, plot_transitions
from drgsim.simulation.estimates import LEVEL
from drgsim.simulation.headline import ERROR_LABELS, LABELS, MONEY, MONEY_MEASURES
from drgsim.simulation.results import Simulation
from drgsim.tables.table_set import TableSet, describe_version

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_FEWEST = 11
"""Smaller counts of a hospital are not shown. Source: CMS cell size suppression policy."""
_MOST_TRANSITIONS = 100
_MOST_HOSPITALS = 500
"""Rows shown of the longest tables."""

_METHOD = (
    "Every admission is grouped to its MS-DRG and priced as correctly coded: the truth. The errors of the scenario are "
    "drawn, the changed claims are grouped and priced again, and the payment billed less the true payment is the net.",
    "The same is repeated with other draws: the replicates. Amounts are means per replicate. Intervals are Student t "
    "intervals of that mean: they cover the chance of the draws, not the uncertainty of the error rates.",
    "Where several errors meet on one claim, Shapley values divide the change among them, so that the errors add up to "
    "the total. “As the only error” is the change if no other error were made; “if it alone were corrected” is the "
    "change that would disappear.",
    "A claim that cannot be grouped is returned and not paid: it counts as returned, not as underpaid.",
)
_LIMITS = (
    "This is payment sensitivity: how payment would change if errors happened as the scenario says. It is no estimate "
    "of errors that did happen, and none of fraud: no medical record was read.",
    "The error rates are those of the scenario. Where they are assumptions, every dollar here is one too. The scenario "
    "below names the source of each rate.",
    "Nobody reacts: no denial, query, audit or change of behaviour follows an error, unless the scenario says so.",
)


@accept_frames
def report(
    result: Simulation,
    path: str | os.PathLike[str],
    *,
    tables: TableSet | None = None,
    validity: pl.DataFrame | None = None,
    level: float = LEVEL,
) -> Path:
    """Write a simulation as one HTML file: text, figures and sortable tables.

    The file has what was simulated, the headline dollars with intervals, errors, DRG transitions, severity,
    hospitals, validity if given, method, limits and the run id. It makes no connection, and every text in it is
    escaped. The same result gives the same file. It is written whole or not at all. Hospitals with fewer than 11
    admissions are not shown but counted; if only one is that small, the next smallest is not shown either, since the
    one would follow from the total. Counts of changed DRGs below 11 are not shown.

    Args:
        result: what `simulate` returns.
        path: of the file; its folder is made if there is none, and a file there is replaced.
        tables: the simulated version, for the titles of DRGs; without it DRGs are numbers.
        validity: what `drgsim.synthetic.validity` returns, if the admissions were generated.
        level: of the intervals, 0 to 1.

    Returns:
        The path.

    Raises:
        InputError: `result` is no simulation, the tables are of another version, or the path is a folder.
        SchemaError: `validity` is not a frame that `drgsim.synthetic.validity` returns.
        StorageError: the system cannot write there.

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
    scenario = (element("summary", "The scenario, complete"), element("pre", result.scenario.dumps()))
    parts = [
        *_describe_run(result),
        *_show_headline(result, level),
        *_show_errors(result, level),
        *_show_transitions(result, tables, level),
        *_show_hospitals(result, level),
        *_show_measures(result, level),
        *(_show_validity(validity) if validity is not None else ()),
        element("h2", "Method"),
        element("ul", *(element("li", line) for line in _METHOD)),
        element("h2", "Limits"),
        element("ul", *(element("li", line) for line in _LIMITS)),
        element("details", *scenario),
        element("p", f"Run {result.run_id}, made by drgsim.", class_="small"),
    ]
    return write_page(path, make_page(f"Coding errors and payment: {result.scenario.title}", parts))


# ---------------------------------------------------------------------------------------------------------


def _describe_run(result: Simulation) -> Iterator[Html]:
    scenario, admissions = result.scenario, result.admissions
    at = f" in {admissions['hospital_id'].n_unique():,} hospitals" if "hospital_id" in admissions.columns else ""
    yield element(
        "p",
        f"{len(admissions):,} admissions{at}, grouped with MS-DRG version {describe_version(result.version)} "
        f"and priced by {result.priced_by}: {result.payment_usd:,.0f} USD as correctly coded. "
        f"{result.replicates:,} replicates, seed {result.seed}, run {result.run_id}.",
    )
    if result.interrupted:
        yield element("p", f"Interrupted: {result.replicates:,} of {result.asked:,} replicates were finished.")
    for text in (scenario.about, " ".join(filter(None, (scenario.population, scenario.period, scenario.source)))):
        if text:
            yield element("p", text)


def _show_headline(result: Simulation, level: float) -> Iterator[Html]:
    rows = {row["measure"]: row for row in result.summary(level).iter_rows(named=True)}
    unit, scale = choose_money_unit([abs(rows[name]["mean"] or 0.0) for name in MONEY_MEASURES])
    yield element("h2", "Headline")
    cards = [(LABELS[name], *_words(rows[name], f" {unit}", scale, sign=name == "net_usd")) for name in MONEY_MEASURES]
    cards.append((LABELS["net_share"], *_words(rows["net_share"], " %", 0.01)))
    cards.append((LABELS["drg_change_rate"], *_words(rows["drg_change_rate"], " %", 0.01, sign=False)))
    cards.append((LABELS["case_mix_index_change"], *_words(rows["case_mix_index_change"], "", 1.0, digits=4)))
    yield make_cards(cards)
    yield element(
        "p",
        f"Means per replicate, each with its {format_level(level)} interval over draws. Net is overpaid less "
        "underpaid, improper is their sum.",
    )
    if "hospital_id" in result.admissions.columns and result.payment_usd:
        share, low, high = result.over_hospitals(level)
        yield element(
            "p",
            f"Net is {format_signed(100 * share)} % of payment. With other hospitals of the same kind it would be "
            f"between {format_signed(100 * low)} and {format_signed(100 * high)} % ({format_level(level)} interval, "
            "hospitals resampled).",
        )


def _words(
    row: dict[str, float | None], unit: str, scale: float, *, digits: int = 2, sign: bool = True
) -> tuple[str, str]:
    """Return a measure and its interval as words."""

    def words(value: float) -> str:
        return format_signed(value / scale, digits=digits) if sign else f"{value / scale:,.{digits}f}"

    mean, low, high = (row[name] for name in ("mean", "low", "high"))
    if mean is None or mean != mean:  # no payment, or no replicate
        return "none", ""
    interval = "one replicate: no interval" if low is None or high is None else f"{words(low)} to {words(high)}{unit}"
    return words(mean) + unit, interval


def _show_errors(result: Simulation, level: float) -> Iterator[Html]:
    yield element("h2", "Which errors change payment")
    yield _picture(plot_shift(result, level=level), "Payment shift by error, then the total, with intervals.")
    r = max(result.replicates, 1)
    counts = {row["error"]: row for row in result.error_counts.iter_rows(named=True)}
    rows: list[list[Cell]] = []
    for name, usd, standard_error, first_in, last_in in result.errors().iter_rows():
        made, drawn = (counts[name][what] / r if name in counts else None for what in ("made", "drawn"))
        refused = None if made is None or drawn is None else drawn - made
        money = map(_usd, (usd, standard_error, first_in, last_in))
        rows.append([spell_name(name), *money, _count(made), _count(refused)])
    yield make_table(
        ("error", *ERROR_LABELS.values(), "made", "refused"),
        rows,
        caption=f"{MONEY}; made and refused errors per replicate. Refused: drawn, but no claim could be like this.",
    )
    yield _picture(plot_replicates(result, level=level), "Net of each replicate: the effect of chance alone.")


def _show_transitions(result: Simulation, tables: TableSet | None, level: float) -> Iterator[Html]:
    yield element("h2", "Between which DRGs")
    yield _picture(plot_transitions(result, level=level), "Payment shift by true DRG (down) and billed DRG (across).")
    yield _picture(plot_flow(result, level=level), "Admissions that leave their DRG. Hatched: paid more.")
    moved = result.transitions()
    titles = {} if tables is None else dict(tables.drg_titles.select("drg", "title").iter_rows())
    rows: list[list[Cell]] = [
        [f"{drg:03}", f"{billed:03}", *([titles.get(billed, "")] if titles else []), _count(cases), _usd(usd)]
        for drg, billed, cases, usd in moved.head(_MOST_TRANSITIONS).iter_rows()
    ]
    yield make_table(
        ("true DRG", "billed DRG", *(["title of the billed DRG"] if titles else []), "admissions", "net, USD"),
        rows,
        caption=f"The {len(rows):,} transitions of {len(moved):,} that move most dollars. Means per replicate.",
    )
    yield _picture(plot_severity(result, level=level), "Admissions by severity of their DRG, in truth and as billed.")


def _show_hospitals(result: Simulation, level: float) -> Iterator[Html]:
    if "hospital_id" not in result.admissions.columns:
        return
    yield element("h2", "Hospitals")
    hospitals = result.by("hospital_id", level=level).sort("admissions", "hospital_id", descending=[True, False])
    shown = hospitals.filter(pl.col("admissions") >= _FEWEST)
    if len(hospitals) - len(shown) == 1:  # the one would follow from the total
        shown = shown.head(-1)
    listed = shown.sort("improper_usd", "hospital_id", descending=[True, False]).head(_MOST_HOSPITALS)
    rows: list[list[Cell]] = [
        [
            str(row["hospital_id"]),
            _count(row["admissions"], digits=0),
            _usd(row["payment_usd"]),
            *(_usd(row[name]) for name in ("net_usd", "net_low", "net_high", "overpaid_usd", "underpaid_usd")),
            _share(row["net_share"]),
            _count_from_11(row["drg_changes"]),
        ]
        for row in listed.iter_rows(named=True)
    ]
    yield make_table(
        ("hospital", "admissions", "payment, USD", "net, USD", "low", "high", "overpaid, USD", "underpaid, USD",
         "net, % of payment", "changed DRGs"),
        rows,
        caption=f"{len(rows):,} hospitals, the most improper dollars first. Not shown: {len(hospitals) - len(shown):,} "
        f"with fewer than {_FEWEST} admissions, or from which such a hospital would follow; "
        f"{len(shown) - len(listed):,} others. Low to high: {format_level(level)} interval of net.",
    )  # fmt: skip


def _show_measures(result: Simulation, level: float) -> Iterator[Html]:
    yield element("h2", "All measures")
    columns = ("mean", "standard_error", "low", "high", "event_low", "event_high")
    rows: list[list[Cell]] = []
    for row in result.summary(level).iter_rows(named=True):
        is_share = row["unit"].startswith("of ")
        values = (row[name] if row[name] is None or not is_share else 100 * row[name] for name in columns)
        rows.append([LABELS[row["measure"]], f"% {row['unit']}" if is_share else row["unit"], *map(_number, values)])
    yield make_table(
        ("measure", "unit", "mean", "standard error", "low", "high", "replicates from", "replicates to"),
        rows,
        caption=f"Low to high: {format_level(level)} interval of the mean. Replicates from, to: the middle "
        f"{format_level(level)} of single replicates.",
    )


def _show_validity(found: pl.DataFrame) -> Iterator[Html]:
    yield element("h2", "How real the admissions are")
    yield element("p", "The admissions were generated. Here they are compared with published figures.")
    yield _picture(plot_validity(found), "Generated population compared with published figures.")
    columns = ("subject", "measure", "generated", "target", "source")
    rows = [
        [subject, measure, _number(generated), _number(target), source]
        for subject, measure, generated, target, source in found.select(columns).iter_rows()
    ]
    yield make_table(columns, rows, caption="Target: published, with its source; empty where nothing is published.")


def _picture(ax: Axes, caption: str) -> Html:
    figure = ax.get_figure(root=True)
    assert figure is not None  # the Axes of the functions above belong to a figure
    return make_picture(figure, caption)


def _usd(value: float | None) -> Number:
    return Number("" if value is None else f"{value:,.0f}", value)


def _count(value: float | None, *, digits: int = 1) -> Number:
    return Number("" if value is None else f"{value:,.{digits}f}", value)


def _share(value: float | None) -> Number:
    return Number("" if value is None else f"{100 * value:,.2f}", value)


def _count_from_11(value: float) -> Number:
    """Return a count, or that it is below 11: CMS does not show such cells."""
    return _count(value) if value >= _FEWEST else Number(f"under {_FEWEST}", None)


def _number(value: float | None) -> Number:
    if value is None:
        return Number("", None)
    return Number(f"{value:,.0f}" if abs(value) >= 1000 else f"{value:,.4g}", value)
