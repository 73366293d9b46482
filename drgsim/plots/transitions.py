"""Figures of DRG transitions: dollars as a heat map, admissions as flows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from drgsim.plots.style import (
    HATCH,
    INK,
    OVERPAID,
    PALE,
    SMALL,
    UNDERPAID,
    choose_money_unit,
    count_decimals,
    format_level,
    format_signed,
    make_axes,
    tidy,
)
from drgsim.simulation.estimates import LEVEL
from drgsim.simulation.results import Simulation

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import FuncNorm

_OTHERS = "others"
_SLOT = 0.036
"""Least height of a DRG in a flow diagram, as a share of the whole: one line of text."""


def plot_transitions(
    result: Simulation, ax: Axes | None = None, *, most: int = 5, labelled: int = 15, level: float = LEVEL
) -> Axes:
    """Draw the dollars that move between DRGs as a map: true DRG down, billed DRG across.

    The map has the DRG families (`base_drg`) in which most dollars move. Each cell is the mean payment shift per
    replicate [USD]; the largest are labelled, with the half width of their interval. Overpaid cells are hatched. The
    colour follows the square root of the amount, so that small cells are visible too. The title gives the share of
    all dollars moved between DRGs that is in the map.

    Args:
        result: what `simulate` returns.
        ax: where to draw; by default a new figure.
        most: how many families.
        labelled: how many cells to label.
        level: of the intervals.

    >>> from drgsim import Rates, TableSet, generate
    >>> from drgsim.cli.main_job import demo
    >>> tables = TableSet.load("43.1")
    >>> hospitals, admissions = generate(300, seed=1, tables=tables)
    >>> result = demo(admissions, hospitals, tables=tables, rates=Rates.load(2026), replicates=4).simulation
    >>> plot_transitions(result, most=3).get_ylabel()
    'true DRG'
    """
    table = _changed_drgs(result, level)
    drgs = _largest_families(result, most, table)
    names, number = [f"{drg:03}" for drg in drgs["drg"]], {drg: at for at, drg in enumerate(drgs["drg"])}
    shown = table.filter(pl.col("drg").is_in(list(number)), pl.col("billed_drg").is_in(list(number)))
    ax = ax or make_axes(max(5.0, 2.0 + 0.5 * len(names)), max(3.5, 1.2 + 0.42 * len(names)))
    unit, scale = choose_money_unit(shown["net_usd"].to_list())
    digits = count_decimals((shown["net_usd"] / scale).to_list())
    cells = np.full((len(names), len(names)), np.nan)
    for place, (drg, billed, usd, low) in enumerate(
        shown.select("drg", "billed_drg", "net_usd", "net_low").iter_rows()
    ):
        row, column = number[drg], number[billed]
        cells[row, column] = usd / scale
        half_width = None if low is None else (usd - low) / scale
        label = format_signed(usd / scale, half_width, digits=digits, between="\n") if place < labelled else ""
        _draw_cell(ax, column, row, label, pays_more=usd > 0)
    interval = f"± {format_level(level)} interval" if result.replicates > 1 else "one replicate: no interval"
    _colour_cells(ax, cells, f"{unit} per replicate ({interval})", digits)
    _frame_cells(ax, names, drgs["base_drg"].to_list())
    moved = float(table["improper_usd"].sum())
    part = f"{100 * float(shown['improper_usd'].sum()) / moved:.0f} %" if moved else "none"
    return tidy(ax, title=f"DRG transitions: {part} of the dollars that move")


def plot_flow(result: Simulation, ax: Axes | None = None, *, most: int = 6, level: float = LEVEL) -> Axes:
    """Draw how admissions leave their DRG, for the DRG families where most dollars move.

    Bands go from the true DRG (left) to the billed DRG (right); their width is the mean number of admissions per
    replicate. Bands that pay more are hatched. Each family (`base_drg`) has its net [USD] and interval, which include
    changes of payment within a DRG. Claims that are returned have no billed DRG and are left out; billed DRGs with
    less than a twentieth of the family's moves are combined.

    Args:
        result: what `simulate` returns.
        ax: where to draw; by default a new figure.
        most: how many families.
        level: of the intervals.

    >>> from drgsim import Rates, TableSet, generate
    >>> from drgsim.cli.main_job import demo
    >>> tables = TableSet.load("43.1")
    >>> hospitals, admissions = generate(300, seed=1, tables=tables)
    >>> result = demo(admissions, hospitals, tables=tables, rates=Rates.load(2026), replicates=4).simulation
    >>> [label.get_text() for label in plot_flow(result, most=2).get_xticklabels()]
    ['true DRG', 'billed DRG']
    """
    families = _families(result, most, level)
    ax = ax or make_axes(8.5, 1.6 + 0.85 * max(len(families), 1))
    moves = result.by("base_drg", "drg", "billed_drg").filter(
        pl.col("drg") != pl.col("billed_drg"), pl.col("drg_changes") > 0
    )
    unit, scale = choose_money_unit(families["net_usd"].to_list())
    digits = count_decimals((families["net_usd"] / scale).to_list())
    total = float(families["drg_changes"].sum()) or 1.0
    top = 0.0
    for family, usd, low in families.select("base_drg", "net_usd", "net_low").iter_rows():
        flow = _Flow.of(moves.filter(pl.col("base_drg") == family), top, total * _SLOT)
        _draw_flow(ax, flow)
        net = format_signed(usd / scale, None if low is None else (usd - low) / scale, digits=digits)
        label = f"family {family:03}\n{net}"
        ax.text(1.2, (flow.top + flow.bottom) / 2, label, va="center", fontsize=SMALL + 1, color=INK)
        top = flow.bottom + 1.4 * total * _SLOT
    ax.set_xlim(-0.16, 1.45)
    ax.set_ylim(top, -total * _SLOT)
    ax.set_yticks([])
    ax.set_xticks([0, 1], ["true DRG", "billed DRG"])
    ax.set_xlabel("widths, and numbers next to DRGs: admissions per replicate", loc="left")
    ax.tick_params(length=0)
    ax.spines[["left", "bottom"]].set_visible(False)
    interval = f"± {format_level(level)} interval" if result.replicates > 1 else "one replicate: no interval"
    return tidy(ax, title=f"Where admissions go; at the right: net of the family, {unit} per replicate ({interval})")


# ---------------------------------------------------------------------------------------------------------


def _changed_drgs(result: Simulation, level: float) -> pl.DataFrame:
    """Return the transitions with intervals, most dollars first."""
    table = result.by("drg", "billed_drg", level=level).filter(
        pl.col("drg") != pl.col("billed_drg"), pl.col("net_usd") != 0
    )
    return table.sort(pl.col("net_usd").abs(), "drg", "billed_drg", descending=[True, False, False])


def _root_norm(largest: float) -> FuncNorm:
    """Return a colour scale that follows the signed square root."""
    from matplotlib.colors import FuncNorm

    def root(values: np.ndarray) -> np.ndarray:
        return np.asarray(np.sign(values) * np.sqrt(np.abs(values)))

    def square(values: np.ndarray) -> np.ndarray:
        return np.asarray(np.sign(values) * np.asarray(values) ** 2)

    return FuncNorm((root, square), vmin=-largest, vmax=largest)


def _largest_families(result: Simulation, most: int, table: pl.DataFrame) -> pl.DataFrame:
    """Return the DRGs of the families in which most dollars move: `drg`, `base_drg`, in order.

    A billed DRG that is not the true DRG of any admission belongs to the family from which most of its dollars move,
    if they are a twentieth of the dollars moved in that family.
    """
    families = _families(result, most)["base_drg"]
    known = result.admissions.select("drg", "base_drg").unique()
    dollars = pl.col("improper_usd")
    billed = (
        table.join(known, on="drg", how="left")
        .with_columns(share=dollars.sum().over("base_drg", "billed_drg") / dollars.sum().over("base_drg"))
        .filter(~pl.col("billed_drg").is_in(known["drg"].implode()), pl.col("share") >= 1 / 20)
        .group_by("billed_drg", "base_drg")
        .agg(dollars.sum())
        .sort(dollars, "base_drg", descending=[True, False])
        .unique("billed_drg", keep="first", maintain_order=True)
        .select(drg="billed_drg", base_drg="base_drg")
    )
    shown = pl.concat([known, billed]).filter(pl.col("base_drg").is_in(families.implode()))
    return shown.sort("base_drg", "drg")


def _families(result: Simulation, most: int, level: float = LEVEL) -> pl.DataFrame:
    table = result.by("base_drg", level=level).filter(pl.col("drg_changes") > 0)
    return table.sort("improper_usd", "base_drg", descending=[True, False]).head(most)


def _colour_cells(ax: Axes, cells: np.ndarray, unit: str, digits: int) -> None:
    """Colour the cells and add the colour bar; cells without a move stay blank."""
    from matplotlib.colors import LinearSegmentedColormap

    if not np.isfinite(cells).any():
        return
    largest = float(np.nanmax(np.abs(cells)))
    colours = LinearSegmentedColormap.from_list("shift", [UNDERPAID, "white", OVERPAID])
    image = ax.pcolormesh(cells, cmap=colours, norm=_root_norm(largest), zorder=0)
    bar = ax.figure.colorbar(image, ax=ax, shrink=0.9, pad=0.02)
    bar.set_label(unit, fontsize=SMALL + 1)
    ticks = [-largest, -largest / 4, 0.0, largest / 4, largest]
    bar.set_ticks(ticks)
    bar.set_ticklabels([format_signed(tick, digits=digits) if tick else "0" for tick in ticks], fontsize=SMALL)


def _frame_cells(ax: Axes, names: list[str], families: list[int]) -> None:
    """Label rows and columns; draw lines between DRGs and families; grey the diagonal."""
    from matplotlib.patches import Rectangle

    edges = range(len(names) + 1)
    for at in edges:
        is_border = at in (0, len(names)) or families[at - 1] != families[at]
        for line in (ax.axhline, ax.axvline):
            line(at, color=INK if is_border else PALE, linewidth=0.8 if is_border else 0.4)
    for at in edges[:-1]:
        ax.add_patch(Rectangle((at, at), 1, 1, facecolor="#EEEEEE", zorder=0.5))
    ax.set_xticks(np.arange(len(names)) + 0.5, names)
    ax.set_yticks(np.arange(len(names)) + 0.5, names)
    ax.tick_params(length=0, labelsize=SMALL + 1)
    ax.set_xlim(0, len(names) or 1)  # without a DRG the map is one empty cell
    ax.set_ylim(len(names) or 1, 0)
    ax.set_xlabel("billed DRG")
    ax.set_ylabel("true DRG")


def _draw_cell(ax: Axes, column: int, row: int, label: str, *, pays_more: bool) -> None:
    """Write the label of a cell, and hatch the cell if it pays more."""
    from matplotlib.patches import Rectangle

    if pays_more:
        ax.add_patch(Rectangle((column, row), 1, 1, fill=False, hatch=HATCH, edgecolor="white", linewidth=0))
    box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1}
    if label:
        ax.text(column + 0.5, row + 0.5, label, ha="center", va="center", fontsize=SMALL - 1, color=INK, bbox=box)


@dataclass(frozen=True)
class _Node:
    label: str
    admissions: float
    top: float


@dataclass(frozen=True)
class _Flow:
    """The bands of a family, and the places of its DRGs on both sides."""

    bands: tuple[tuple[str, str, float, float], ...]
    left: dict[str, _Node]
    right: dict[str, _Node]
    top: float
    bottom: float

    @classmethod
    def of(cls, moves: pl.DataFrame, top: float, slot: float) -> _Flow:
        """Return the flow of a family's moves, from `top` down; each DRG takes at least a slot."""
        large = moves.group_by("billed_drg").agg(pl.col("drg_changes").sum())
        large = large.filter(pl.col("drg_changes") >= pl.col("drg_changes").sum() / 20)
        to = pl.col("billed_drg")
        named = to.cast(pl.String).str.zfill(3)
        merged = moves.group_by(
            pl.col("drg").cast(pl.String).str.zfill(3),
            pl.when(to.is_in(large["billed_drg"].implode())).then(named).otherwise(pl.lit(_OTHERS)).alias("to"),
        ).agg(pl.col("drg_changes", "net_usd").sum())
        bands = tuple(merged.sort("drg", "to").iter_rows())
        left, right = (_stack_drgs(bands, side, top, slot) for side in (0, 1))
        bottom = max(node.top + max(node.admissions, slot) for node in (*left.values(), *right.values()))
        return cls(bands, left, right, top, bottom)


def _stack_drgs(bands: Sequence[tuple[str, str, float, float]], side: int, top: float, slot: float) -> dict[str, _Node]:
    """Return the DRGs of one side, one below the other."""
    nodes: dict[str, _Node] = {}
    for label in sorted({str(band[side]) for band in bands}):
        admissions = sum(band[2] for band in bands if band[side] == label)
        nodes[label] = _Node(label, admissions, top + max(0.0, slot - admissions) / 2)
        top += max(admissions, slot) + slot / 4
    return nodes


def _draw_flow(ax: Axes, flow: _Flow) -> None:
    from matplotlib.patches import Rectangle

    for start, end, admissions, usd in _place_bands(flow):
        _draw_band(ax, start, end, admissions, pays_more=usd > 0)
    for x, side, align in ((0.0, flow.left, "right"), (1.0, flow.right, "left")):
        for node in side.values():
            ax.add_patch(Rectangle((x - 0.008, node.top), 0.016, node.admissions, facecolor=INK))
            label = f"{node.label}: {node.admissions:,.1f}"
            shift = -0.02 if align == "right" else 0.02
            ax.text(x + shift, node.top + node.admissions / 2, label, ha=align, va="center", fontsize=SMALL, color=INK)


def _place_bands(flow: _Flow) -> Iterator[tuple[float, float, float, float]]:
    """Return the height at which each band starts and ends, its width and its dollars."""
    used = {
        (side, label): node.top for side, nodes in enumerate((flow.left, flow.right)) for label, node in nodes.items()
    }
    for drg, billed, admissions, usd in flow.bands:
        start, end = used[0, drg], used[1, billed]
        used[0, drg], used[1, billed] = start + admissions, end + admissions
        yield start, end, admissions, usd


def _draw_band(ax: Axes, start: float, end: float, width: float, *, pays_more: bool) -> None:
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    points = [(0.0, start), (0.5, start), (0.5, end), (1.0, end), (1.0, end + width), (0.5, end + width),
              (0.5, start + width), (0.0, start + width), (0.0, start)]  # fmt: skip
    codes = [Path.MOVETO, *[Path.CURVE4] * 3, Path.LINETO, *[Path.CURVE4] * 3, Path.CLOSEPOLY]
    ax.add_patch(
        PathPatch(
            Path(points, codes),
            facecolor=OVERPAID if pays_more else UNDERPAID,
            hatch=HATCH if pays_more else "",
            edgecolor="white",
            linewidth=0.3,
            alpha=0.8,
        )
    )
