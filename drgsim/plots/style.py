"""What every figure shares: inks that print in black and white, new Axes, units of money, saving."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from drgsim.exceptions import SchemaError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette, told apart by colour-blind readers and by brightness in print.
OVER, UNDER, INK, PALE, NEUTRAL = "#D55E00", "#0072B2", "#333333", "#BBBBBB", "#999999"
SERIES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P")
DASHES = ("-", "--", ":", "-.", (0, (5, 1)), (0, (3, 1, 1, 1)))
HATCH = "///"
"""Laid over what is paid too much, so that its sign shows without colour."""

SMALL = 8
"""Font size of what stands inside a figure [points]."""

_MINUS = "\N{MINUS SIGN}"
_TERMS = {"cc", "mcc", "cmi", "pdx", "sdx", "poa", "drg", "mdc", "hac", "pci", "snf", "copd", "usd"}


def make_axes(width: float = 7.0, height: float = 4.0) -> Axes:
    """Return Axes of a new figure [inches] that belongs to nobody else, laid out so that nothing is cut off.

    >>> make_axes().figure.get_layout_engine().__class__.__name__
    'ConstrainedLayoutEngine'
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    # Notebooks show what says how; a figure that pyplot does not know says nothing.
    figure._repr_png_ = partial(render_png, figure)  # type: ignore[attr-defined]  # for notebooks alone
    return figure.add_subplot()


def render_png(figure: Figure) -> bytes:
    r"""Return a figure as the bytes of a PNG file.

    >>> render_png(make_axes().figure)[:4]
    b'\x89PNG'
    """
    file = BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


def tidy(ax: Axes, *, title: str = "") -> Axes:
    """Take away the frame above and to the right, and put the title at the left."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_title(title, fontsize=10, loc="left")
    return ax


def label_rows(ax: Axes, labels: Sequence[str]) -> None:
    """Name the rows of a horizontal figure, the first at the top."""
    ax.set_yticks(range(len(labels)), labels)
    ax.set_ylim(len(labels) - 0.4, -0.6)


def choose_ink(value: float) -> dict[str, Any]:
    """Return how a bar of this sign is filled: colour, hatch, edge.

    >>> choose_ink(-1.0)["hatch"], choose_ink(1.0)["hatch"]
    ('', '///')
    """
    return {
        "facecolor": OVER if value > 0 else UNDER,
        "hatch": HATCH if value > 0 else "",
        "edgecolor": "white",
        "linewidth": 0.0,
    }


def choose_money_unit(usd: Iterable[float]) -> tuple[str, float]:
    """Return the unit that suits the largest of these amounts, and its size [USD].

    >>> choose_money_unit([-2.5e6, 10.0]), choose_money_unit([900.0]), choose_money_unit([])
    (('million USD', 1000000.0), ('USD', 1.0), ('USD', 1.0))
    """
    largest = max((abs(value) for value in usd), default=0.0)
    for name, size in (("billion USD", 1e9), ("million USD", 1e6), ("thousand USD", 1e3)):
        if largest >= size:
            return name, size
    return "USD", 1.0


def count_decimals(values: Iterable[float]) -> int:
    """Return the decimals with which amounts are told: three figures of the largest.

    >>> count_decimals([858.4, 3.0]), count_decimals([4.33]), count_decimals([])
    (0, 2, 2)
    """
    largest = max((abs(value) for value in values), default=0.0)
    return 0 if largest >= 100 else 1 if largest >= 10 else 2


def format_signed(value: float, reach: float | None = None, *, digits: int = 2, between: str = " ") -> str:
    """Return an amount with its sign and, where there is one, half the width of its interval.

    >>> format_signed(-4.326, 0.1), format_signed(0.5, None, digits=1)
    ('−4.33 ± 0.10', '+0.5')
    """
    told = f"{value:+,.{digits}f}".replace("-", _MINUS)
    if reach is None or not math.isfinite(reach):
        return told
    return f"{told}{between}±{' ' if between == ' ' else ''}{reach:,.{digits}f}"


def format_level(level: float) -> str:
    """Return a level of confidence as words.

    >>> format_level(0.95)
    '95 %'
    """
    return f"{100 * level:g} %"


def spell_name(label: str) -> str:
    """Return a name of the code as words; terms of the field in capitals.

    >>> spell_name("unsupported_mcc")
    'unsupported MCC'
    """
    return " ".join(word.upper() if word in _TERMS else word for word in label.split("_"))


def check_columns(table: pl.DataFrame, columns: Sequence[str], source: str) -> None:
    """Hold a frame against what a figure reads.

    Raises:
        SchemaError: it is no frame, or lacks a column; says which and what returns such a frame.
    """
    if not isinstance(table, pl.DataFrame):
        raise SchemaError(f"found {type(table).__name__}, expected the frame that {source} returns.")
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise SchemaError(
            f"the frame lacks {len(missing)} column(s): {', '.join(missing)} (found {len(table.columns)} others). "
            f"Pass what {source} returns."
        )


def save_figures(path: Path, draws: Sequence[Callable[[Axes], object]], *, heights: Sequence[float] = ()) -> Path:
    """Save one figure with the drawings beneath each other, and return its path.

    Args:
        path: of a PNG, SVG or PDF file; its folder is made if need be.
        draws: functions that draw on the Axes they are given.
        heights: of each drawing [inches]; by default 3.4.

    Raises:
        ValueError: heights are not one a drawing.
        OSError: the file cannot be written.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> save_figures(folder / "two.png", [lambda ax: ax.plot([1, 2]), lambda ax: ax.plot([2, 1])]).name
    'two.png'
    """
    from matplotlib.figure import Figure

    tall = list(heights) or [3.4] * len(draws)
    figure = Figure(figsize=(9, sum(tall)), layout="constrained")
    places = figure.subplots(len(draws), 1, squeeze=False, height_ratios=tall)
    for draw, ax in zip(draws, places[:, 0], strict=True):
        draw(ax)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    return path
