"""Figures of the DRG transitions of a simulation: dollars as a heat map, admissions as flows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from drgsim.drawing import HATCH, INK, OVER, PALE, SMALL, UNDER, figures, money, new_axes, signed, tidy
from drgsim.results import Simulation
from drgsim.statistics import LEVEL

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import FuncNorm

_OTHERS = "others"
_SLOT = 0.036
"""Least height of a DRG in a flow diagram, as a share of the whole: one line of text."""


def plot_transitions(result: Simulation, ax: Axes | None = None, *, most: int = 12, level: float = LEVEL) -> Axes:
    """Draw the DRG transitions that move most dollars as a map: true DRG down, billed DRG across.

    Each cell is the mean payment shift of a replicate [USD] with half the width of its interval; what is overpaid is
    hatched. Colours go with the square root, so that smaller cells show beside the largest.

    Args:
        result: of `simulate`.
        ax: where to draw; by default a new figure.
        most: how many transitions to draw.
        level: of the intervals.

    >>> from drgsim import Rates, TableSet, generate
    >>> from drgsim.demo import demo
    >>> tables = TableSet.load("43.1")
    >>> hospitals, admissions = generate(300, seed=1, tables=tables)
    >>> result = demo(admissions, hospitals, tables=tables, rates=Rates.load(2026), replicates=4).simulation
    >>> plot_transitions(result, most=3).get_ylabel()
    'true DRG'
    """
    from matplotlib.colors import LinearSegmentedColormap

    table = _moved(result, level)
    top = table.head(most)
    drgs, billed = sorted(top["drg"].unique()), sorted(top["billed_drg"].unique())
    ax = ax or new_axes(max(5.0, 2.2 + 0.62 * len(billed)), max(3.0, 1.6 + 0.44 * len(drgs)))
    unit, scale = money(top["net_usd"].to_list())
    cells = np.full((len(drgs), len(billed)), np.nan)
    shown = table.filter(pl.col("drg").is_in(drgs), pl.col("billed_drg").is_in(billed))
    for drg, other, usd in shown.select("drg", "billed_drg", "net_usd").iter_rows():
        cells[drgs.index(drg), billed.index(other)] = usd / scale
    digits = figures((top["net_usd"] / scale).to_list())
    largest = float(np.nanmax(np.abs(cells))) if top.height else 1.0
    colours = LinearSegmentedColormap.from_list("shift", [UNDER, "white", OVER])
    image = ax.pcolormesh(cells, cmap=colours, norm=_root_norm(largest), edgecolor=PALE, linewidth=0.5)
    ax.invert_yaxis()
    for drg, other, usd, low in top.select("drg", "billed_drg", "net_usd", "net_low").iter_rows():
        reach = None if low is None else (usd - low) / scale
        told = signed(usd / scale, reach, digits=digits, between="\n")
        _cell(ax, billed.index(other), drgs.index(drg), told, pays_more=usd > 0)
    for drg in set(drgs) & set(billed):
        ax.text(billed.index(drg) + 0.5, drgs.index(drg) + 0.5, "=", color=PALE, ha="center", va="center")
    ax.set_xticks(np.arange(len(billed)) + 0.5, [f"{drg:03}" for drg in billed])
    ax.set_yticks(np.arange(len(drgs)) + 0.5, [f"{drg:03}" for drg in drgs])
    ax.tick_params(length=0)
    ax.set_xlabel("billed DRG")
    ax.set_ylabel("true DRG")
    if top.height:
        bar = ax.figure.colorbar(image, ax=ax, shrink=0.9, pad=0.02)
        bar.set_label(f"{unit} a replicate", fontsize=SMALL + 1)
        bar.set_ticks([-largest, -largest / 4, 0, largest / 4, largest])
        bar.set_ticklabels([signed(tick, digits=digits) if tick else "0" for tick in bar.get_ticks()], fontsize=SMALL)
    part = float(top["gross_usd"].sum()) / (float(table["gross_usd"].sum()) or 1.0)
    sure = f"± {level:.0%} interval" if result.replicates > 1 else "one replicate: no interval"
    return tidy(ax, title=f"Largest DRG transitions: {part:.0%} of the dollars moved between DRGs ({sure})")


def plot_flow(result: Simulation, ax: Axes | None = None, *, most: int = 6, level: float = LEVEL) -> Axes:
    """Draw how admissions leave their DRG, for the DRG families where most dollars move.

    Bands go from the true DRG (left) to the billed DRG (right); their width is the mean number of admissions a
    replicate. Bands that pay more are hatched. A family (`base_drg`) is told with its net shift [USD] and interval,
    which counts also shifts within a DRG. Bills that are returned move to no DRG and are left out; billed DRGs with
    less than a twentieth of the family's moves are put together.

    Args:
        result: of `simulate`.
        ax: where to draw; by default a new figure.
        most: how many families.
        level: of the intervals.

    >>> from drgsim import Rates, TableSet, generate
    >>> from drgsim.demo import demo
    >>> tables = TableSet.load("43.1")
    >>> hospitals, admissions = generate(300, seed=1, tables=tables)
    >>> result = demo(admissions, hospitals, tables=tables, rates=Rates.load(2026), replicates=4).simulation
    >>> [label.get_text() for label in plot_flow(result, most=2).get_xticklabels()]
    ['true DRG', 'billed DRG']
    """
    families = result.by("base_drg", level=level).sort("gross_usd", "base_drg", descending=[True, False]).head(most)
    families = families.filter(pl.col("drg_changes") > 0)
    ax = ax or new_axes(8.5, 1.6 + 0.85 * max(len(families), 1))
    moves = result.by("base_drg", "drg", "billed_drg").filter(
        pl.col("drg") != pl.col("billed_drg"), pl.col("drg_changes") > 0
    )
    unit, scale = money(families["net_usd"].to_list())
    digits = figures((families["net_usd"] / scale).to_list())
    total = float(families["drg_changes"].sum()) or 1.0
    top = 0.0
    for family, usd, low in families.select("base_drg", "net_usd", "net_low").iter_rows():
        flow = _Flow.of(moves.filter(pl.col("base_drg") == family), top, total * _SLOT)
        _draw_flow(ax, flow)
        told = signed(usd / scale, None if low is None else (usd - low) / scale, digits=digits)
        ax.text(
            1.2, (flow.top + flow.bottom) / 2, f"family {family:03}\n{told}", va="center", fontsize=SMALL + 1, color=INK
        )
        top = flow.bottom + 1.4 * total * _SLOT
    ax.set_xlim(-0.16, 1.45)
    ax.set_ylim(top, -total * _SLOT)
    ax.set_yticks([])
    ax.set_xticks([0, 1], ["true DRG", "billed DRG"])
    ax.set_xlabel("widths and numbers beside DRGs: admissions a replicate", loc="left")
    ax.tick_params(length=0)
    ax.spines[["left", "bottom"]].set_visible(False)
    sure = f"± {level:.0%} interval" if result.replicates > 1 else "one replicate: no interval"
    return tidy(ax, title=f"Where admissions go; at the right the family's net shift, {unit} a replicate ({sure})")


# ---------------------------------------------------------------------------------------------------------


def _moved(result: Simulation, level: float) -> pl.DataFrame:
    """Return the transitions with intervals, most dollars first."""
    table = result.by("drg", "billed_drg", level=level).filter(
        pl.col("drg") != pl.col("billed_drg"), pl.col("net_usd") != 0
    )
    return table.sort(pl.col("net_usd").abs(), "drg", "billed_drg", descending=[True, False, False])


def _root_norm(largest: float) -> FuncNorm:
    """Return a scale of colours that goes with the signed square root."""
    from matplotlib.colors import FuncNorm

    def root(values: np.ndarray) -> np.ndarray:
        return np.asarray(np.sign(values) * np.sqrt(np.abs(values)))

    def square(values: np.ndarray) -> np.ndarray:
        return np.asarray(np.sign(values) * np.asarray(values) ** 2)

    return FuncNorm((root, square), vmin=-largest, vmax=largest)


def _cell(ax: Axes, column: int, row: int, told: str, *, pays_more: bool) -> None:
    """Write a shift into its cell, and hatch it where it pays more."""
    from matplotlib.patches import Rectangle

    if pays_more:
        ax.add_patch(Rectangle((column, row), 1, 1, fill=False, hatch=HATCH, edgecolor="white", linewidth=0))
    box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1}
    ax.text(column + 0.5, row + 0.5, told, ha="center", va="center", fontsize=SMALL - 1, color=INK, bbox=box)


@dataclass(frozen=True)
class _Node:
    label: str
    admissions: float
    top: float


@dataclass(frozen=True)
class _Flow:
    """The bands of a family, and where its DRGs stand on both sides."""

    bands: tuple[tuple[str, str, float, float], ...]
    left: dict[str, _Node]
    right: dict[str, _Node]
    top: float
    bottom: float

    @classmethod
    def of(cls, moves: pl.DataFrame, top: float, slot: float) -> _Flow:
        """Return the flow of a family's moves, from a height down; a DRG takes a slot at least."""
        large = moves.group_by("billed_drg").agg(pl.col("drg_changes").sum())
        large = large.filter(pl.col("drg_changes") >= pl.col("drg_changes").sum() / 20)
        to = pl.col("billed_drg")
        named = to.cast(pl.String).str.zfill(3)
        merged = moves.group_by(
            pl.col("drg").cast(pl.String).str.zfill(3),
            pl.when(to.is_in(large["billed_drg"].implode())).then(named).otherwise(pl.lit(_OTHERS)).alias("to"),
        ).agg(pl.col("drg_changes", "net_usd").sum())
        bands = tuple(merged.sort("drg", "to").iter_rows())
        left, right = (_stacked(bands, side, top, slot) for side in (0, 1))
        bottom = max(node.top + max(node.admissions, slot) for node in (*left.values(), *right.values()))
        return cls(bands, left, right, top, bottom)


def _stacked(bands: Sequence[tuple[str, str, float, float]], side: int, top: float, slot: float) -> dict[str, _Node]:
    """Return the DRGs of one side beneath each other."""
    nodes: dict[str, _Node] = {}
    for label in sorted({str(band[side]) for band in bands}):
        admissions = sum(band[2] for band in bands if band[side] == label)
        nodes[label] = _Node(label, admissions, top + max(0.0, slot - admissions) / 2)
        top += max(admissions, slot) + slot / 4
    return nodes


def _draw_flow(ax: Axes, flow: _Flow) -> None:
    from matplotlib.patches import Rectangle

    for start, end, admissions, usd in _placed(flow):
        _band(ax, start, end, admissions, pays_more=usd > 0)
    for x, side, align in ((0.0, flow.left, "right"), (1.0, flow.right, "left")):
        for node in side.values():
            ax.add_patch(Rectangle((x - 0.008, node.top), 0.016, node.admissions, facecolor=INK))
            told = f"{node.label}: {node.admissions:,.1f}"
            shift = -0.02 if align == "right" else 0.02
            ax.text(x + shift, node.top + node.admissions / 2, told, ha=align, va="center", fontsize=SMALL, color=INK)


def _placed(flow: _Flow) -> Iterator[tuple[float, float, float, float]]:
    """Return where each band leaves and arrives, its width and its dollars."""
    used = {
        (side, label): node.top for side, nodes in enumerate((flow.left, flow.right)) for label, node in nodes.items()
    }
    for drg, billed, admissions, usd in flow.bands:
        start, end = used[0, drg], used[1, billed]
        used[0, drg], used[1, billed] = start + admissions, end + admissions
        yield start, end, admissions, usd


def _band(ax: Axes, start: float, end: float, width: float, *, pays_more: bool) -> None:
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    points = [(0.0, start), (0.5, start), (0.5, end), (1.0, end), (1.0, end + width), (0.5, end + width),
              (0.5, start + width), (0.0, start + width), (0.0, start)]  # fmt: skip
    codes = [Path.MOVETO, *[Path.CURVE4] * 3, Path.LINETO, *[Path.CURVE4] * 3, Path.CLOSEPOLY]
    ax.add_patch(
        PathPatch(
            Path(points, codes),
            facecolor=OVER if pays_more else UNDER,
            hatch=HATCH if pays_more else "",
            edgecolor="white",
            linewidth=0.3,
            alpha=0.8,
        )
    )
