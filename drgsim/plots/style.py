"""What every figure shares: colours and hatches, new Axes, units of money, saving."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from drgsim.exceptions import SchemaError
from drgsim.files.atomic import make_folder, replace_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette: colour-blind readers can distinguish the colours, and in print they differ in brightness.
OVERPAID, UNDERPAID, INK, PALE, NEUTRAL = "#D55E00", "#0072B2", "#333333", "#BBBBBB", "#999999"
SERIES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P")
DASHES = ("-", "--", ":", "-.", (0, (5, 1)), (0, (3, 1, 1, 1)))
HATCH = "///"
"""Marks what is paid more, so that the sign shows without colour."""

SMALL = 8
"""Font size of texts inside a figure [points]."""

_MINUS = "\N{MINUS SIGN}"
_TERMS = {"cc", "mcc", "cmi", "pdx", "sdx", "poa", "drg", "mdc", "hac", "pci", "snf", "copd", "usd"}


def make_axes(width: float = 7.0, height: float = 4.0) -> Axes:
    """Return the Axes of a new figure [inches], laid out so that nothing is cut off.

    >>> make_axes().figure.get_layout_engine().__class__.__name__
    'ConstrainedLayoutEngine'
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    # Notebooks show a figure of pyplot by themselves; any other figure needs this method.
    figure._repr_png_ = partial(render_png, figure)  # type: ignore[attr-defined]
    return figure.add_subplot()


def render_png(figure: Figure, *, dpi: float | None = None) -> bytes:
    r"""Return a figure as the bytes of a PNG file, the same for the same figure.

    >>> render_png(make_axes().figure)[:4]
    b'\x89PNG'
    """
    file = BytesIO()
    figure.savefig(file, format="png", dpi=dpi, metadata={"Software": None})
    return file.getvalue()


def tidy(ax: Axes, *, title: str = "") -> Axes:
    """Remove the top and right lines of the frame, and set the title at the left."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_title(title, fontsize=10, loc="left")
    return ax


def label_rows(ax: Axes, labels: Sequence[str]) -> None:
    """Label the rows of a horizontal figure, the first at the top."""
    ax.set_yticks(range(len(labels)), labels)
    ax.set_ylim(len(labels) - 0.4, -0.6)


def choose_ink(value: float) -> dict[str, Any]:
    """Return the fill of a bar by the sign of its value: colour, hatch, edge.

    >>> choose_ink(-1.0)["hatch"], choose_ink(1.0)["hatch"]
    ('', '///')
    """
    return {
        "facecolor": OVERPAID if value > 0 else UNDERPAID,
        "hatch": HATCH if value > 0 else "",
        "edgecolor": "white",
        "linewidth": 0.0,
    }


def choose_money_unit(usd: Iterable[float]) -> tuple[str, float]:
    """Return the name and size [USD] of the money unit that suits the largest amount.

    >>> choose_money_unit([-2.5e6, 10.0]), choose_money_unit([900.0]), choose_money_unit([])
    (('million USD', 1000000.0), ('USD', 1.0), ('USD', 1.0))
    """
    largest = max((abs(value) for value in usd), default=0.0)
    for name, size in (("billion USD", 1e9), ("million USD", 1e6), ("thousand USD", 1e3)):
        if largest >= size:
            return name, size
    return "USD", 1.0


def count_decimals(values: Iterable[float]) -> int:
    """Return the number of decimals that gives the largest amount three digits.

    >>> count_decimals([858.4, 3.0]), count_decimals([4.33]), count_decimals([])
    (0, 2, 2)
    """
    largest = max((abs(value) for value in values), default=0.0)
    return 0 if largest >= 100 else 1 if largest >= 10 else 2


def format_signed(value: float, half_width: float | None = None, *, digits: int = 2, between: str = " ") -> str:
    """Return an amount with its sign and, if given, the half width of its interval.

    >>> format_signed(-4.326, 0.1), format_signed(0.5, None, digits=1)
    ('−4.33 ± 0.10', '+0.5')
    """
    amount = f"{value:+,.{digits}f}".replace("-", _MINUS)
    if half_width is None or not math.isfinite(half_width):
        return amount
    return f"{amount}{between}±{' ' if between == ' ' else ''}{half_width:,.{digits}f}"


def format_level(level: float) -> str:
    """Return a confidence level in percent.

    >>> format_level(0.95)
    '95 %'
    """
    return f"{100 * level:g} %"


def spell_name(label: str) -> str:
    """Return an identifier as words, with abbreviations of the field in capitals.

    >>> spell_name("unsupported_mcc")
    'unsupported MCC'
    """
    return " ".join(word.upper() if word in _TERMS else word for word in label.split("_"))


def check_columns(table: pl.DataFrame, columns: Sequence[str], source: str) -> None:
    """Check that a frame has the columns that a figure reads.

    Args:
        table: the frame.
        columns: the names.
        source: the function that returns such a frame, for the message.

    Raises:
        SchemaError: `table` is no frame, or lacks a column.
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
    """Save several drawings below each other as one figure, and return its path.

    Args:
        path: of a PNG, SVG or PDF file; its folder is made if there is none.
        draws: functions that draw on the Axes they are given.
        heights: of each drawing [inches]; by default 3.4.

    Raises:
        ValueError: there is not one height for each drawing.
        StorageError: the file cannot be written; an earlier one is unchanged.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> save_figures(folder / "two.png", [lambda ax: ax.plot([1, 2]), lambda ax: ax.plot([2, 1])]).name
    'two.png'
    """
    from matplotlib.figure import Figure

    inches = list(heights) or [3.4] * len(draws)
    figure = Figure(figsize=(9, sum(inches)), layout="constrained")
    axes = figure.subplots(len(draws), 1, squeeze=False, height_ratios=inches)
    for draw, ax in zip(draws, axes[:, 0], strict=True):
        draw(ax)
    make_folder(path.parent)
    with replace_whole(path) as unfinished:
        figure.savefig(unfinished, dpi=120)
    return path
