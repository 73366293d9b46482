"""Figures of studies: dose and response, detection, peers, codes, a new fiscal year."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from drgsim.compliance.peers import NUMBERS
from drgsim.exceptions import InputError, did_you_mean
from drgsim.explanation.code_values import exposed_codes
from drgsim.files.foreign_frames import accept_frames
from drgsim.plots.style import (
    DASHES,
    INK,
    MARKERS,
    OVERPAID,
    SERIES,
    SMALL,
    UNDERPAID,
    check_columns,
    choose_money_unit,
    label_rows,
    make_axes,
    spell_name,
    tidy,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PROFILE = "drgsim.profile"


@accept_frames
def plot_dose(table: pl.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw the payment shift as error rates rise, and a straight line through the last dose.

    Args:
        table: one row per dose: `scale`, the factor on every rate [1] (`Scenario.scaled`), `mean` per replicate and
            its `standard_error` [USD], as in `Simulation.summary`.
        ax: where to draw; by default a new figure.

    Raises:
        SchemaError: a column is missing.

    >>> table = pl.DataFrame({"scale": [0.5, 1.0], "mean": [-1e6, -1.8e6], "standard_error": [4e4, 5e4]})
    >>> plot_dose(table).get_ylabel()
    'payment shift, million USD per replicate'
    """
    check_columns(table, ("scale", "mean", "standard_error"), "a sweep over Scenario.scaled")
    ax = ax or make_axes(6.5, 4)
    dose, mean, error = (table.sort("scale")[name].to_numpy() for name in ("scale", "mean", "standard_error"))
    unit, scale = choose_money_unit(mean)
    line = mean[-1] / scale * dose / dose[-1]
    ax.plot(np.append(0.0, dose), np.append(0.0, line), "--", color=INK, linewidth=1, label="in proportion")
    ax.errorbar(
        dose,
        mean / scale,
        yerr=2 * error / scale,
        fmt="o-",
        color=UNDERPAID,
        capsize=4,
        label="mean, ± 2 standard errors",
    )
    ax.axhline(0, color=INK, linewidth=0.8)
    ax.set_xlabel("factor on every error rate")
    ax.set_ylabel(f"payment shift, {unit} per replicate")
    ax.legend(frameon=False, fontsize=SMALL + 1)
    return tidy(ax, title="Dose and response")


@accept_frames
def plot_deterrence(table: pl.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw the gain of a hospital from upcoding as detection rises, a line for each penalty.

    The values are expectations, so there is no sampling error to draw; the title says so.

    Args:
        table: what `drgsim.miscoding.sweep_detection` returns.
        ax: where to draw; by default a new figure.

    Raises:
        SchemaError: a column is missing.

    >>> table = pl.DataFrame({"detection": [0.0, 0.5], "penalty": [1.0, 1.0], "gain_usd": [4e4, 0.0],
    ...                       "net_usd": [4e4, 0.0]})
    >>> plot_deterrence(table).get_xlabel()
    'probability that an upcoded claim is detected, %'
    """
    check_columns(table, ("detection", "penalty", "gain_usd", "net_usd"), "drgsim.miscoding.sweep_detection")
    ax = ax or make_axes(8.5, 4)
    unit, scale = choose_money_unit(table["gain_usd"].to_list())
    for place, (penalty, rows) in enumerate(
        table.sort("penalty", "detection").group_by("penalty", maintain_order=True)
    ):
        look: dict[str, Any] = {"color": SERIES[place % len(SERIES)], "linestyle": DASHES[place % len(DASHES)]}
        marker = MARKERS[place % len(MARKERS)]
        at = 100 * rows["detection"]
        ax.plot(
            at,
            rows["net_usd"] / scale,
            marker=marker,
            label=f"after repaying, penalty {penalty[0]:g} times the gain",
            **look,
        )
        ax.plot(at, rows["gain_usd"] / scale, marker=marker, fillstyle="none", linewidth=0.8, **look)
    ax.plot([], [], color=INK, marker="o", fillstyle="none", linewidth=0.8, label="hollow: before repaying")
    ax.axhline(0, color=INK, linewidth=0.8)
    ax.set_xlabel("probability that an upcoded claim is detected, %")
    ax.set_ylabel(f"gain of the hospital, {unit}")
    ax.legend(frameon=False, fontsize=SMALL + 1, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return tidy(ax, title="Gain against detection (expected values: no sampling error)")


@accept_frames
def plot_peers(
    table: pl.DataFrame, ax: Axes | None = None, *, measure: str = "mcc_capture", highlight: object = None
) -> Axes:
    """Draw one measure of a compliance profile by hospital, with the thresholds of their peers.

    Hospitals are in order of value, each with the 95 % Wilson interval of its share. Triangles up are HIGH, triangles
    down LOW. The title counts suppressed hospitals.

    Args:
        table: what `drgsim.profile` returns.
        ax: where to draw; by default a new figure.
        measure: any measure that is a share, so no case-mix index.
        highlight: the key of a hospital to label.

    Raises:
        SchemaError: the frame is no profile.
        InputError: there is no such share, or no value of that hospital.

    >>> from drgsim.compliance import compare_with_peers
    >>> shares = pl.DataFrame({"hospital_id": list("abcde"), "measure": "mcc_capture", "kind": "severity",
    ...     "numerator": [20.0, 30.0, 35.0, 40.0, 60.0], "denominator": [100] * 5, "is_suppressed": [False] * 5})
    >>> shares = shares.with_columns(value=pl.col("numerator") / pl.col("denominator"))
    >>> table = compare_with_peers(shares, ["measure"], low=20, high=80, fewest=5, two_sided=pl.lit(True))
    >>> plot_peers(table, highlight="e").get_ylabel()
    'MCC capture, % of discharges'
    """
    check_columns(table, ("measure", *NUMBERS), _PROFILE)
    shares = table.filter(pl.col("kind") != "case mix")["measure"].unique().sort().to_list()
    if measure not in shares:
        raise InputError(f"the profile has no share called {measure!r}.{did_you_mean(measure, shares)}")
    rows = table.filter(pl.col("measure") == measure)
    key = next(name for name in table.columns if name not in ("measure", *NUMBERS))
    shown = rows.drop_nulls("value").sort("value", key).with_row_index("place")
    ax = ax or make_axes(8, 4)
    for flag, marker, colour in (("NONE", "o", INK), ("HIGH", "^", OVERPAID), ("LOW", "v", UNDERPAID)):
        some = shown.filter(pl.col("outlier") == flag)
        value = 100 * some["value"].to_numpy()
        low, high = _wilson_interval(some["numerator"].to_numpy(), some["denominator"].to_numpy())
        half_widths = np.maximum([value - 100 * low, 100 * high - value], 0.0)
        label = f"{flag}: {len(some)}" if flag != "NONE" else f"within: {len(some)}"
        ax.errorbar(
            some["place"], value, yerr=half_widths, fmt=marker, color=colour, markersize=5, elinewidth=0.8, label=label
        )
    for name, label in (("low_threshold", "low"), ("high_threshold", "high")):
        for at in rows[name].drop_nulls().unique().sort():
            ax.axhline(100 * at, color=INK, linestyle="--", linewidth=0.8)
            ax.annotate(label, (1.0, 100 * at), xycoords=("axes fraction", "data"), va="center", fontsize=SMALL)
    if highlight is not None:
        _label_hospital(ax, shown.filter(pl.col(key) == highlight), highlight)
    ax.set_xticks([])
    ax.set_xlabel("hospitals, in order of value (whiskers: 95 % interval)")
    ax.set_ylabel(f"{spell_name(measure)}, % of discharges")
    ax.legend(frameon=False, fontsize=SMALL + 1, loc="upper left")
    hidden = int(rows["is_suppressed"].sum())
    return tidy(ax, title=f"{spell_name(measure)} of {len(shown)} hospitals ({hidden} suppressed)")


@accept_frames
def plot_code_value(values: pl.DataFrame, ax: Axes | None = None, *, most: int = 12) -> Axes:
    """Draw the codes on which most dollars depend: the loss of an admission without the code.

    Points are means over the admissions that depend on the code, whiskers hold the middle 80 % of them.

    Args:
        values: what `drgsim.code_value` returns, with hospitals.
        ax: where to draw; by default a new figure.
        most: how many codes, by their total dollars.

    Raises:
        SchemaError: the values have no dollars.

    >>> values = pl.DataFrame({"admission_id": [1, 2], "code": ["J9601", "J9601"], "kind": ["sdx"] * 2,
    ...     "severity": ["MCC", "MCC"], "usd": [9e3] * 2, "usd_change": [-4e3, -6e3]})
    >>> plot_code_value(values).get_xlabel()
    'lost without the code, thousand USD per admission (whiskers: middle 80 % of admissions)'
    """
    top = exposed_codes(values).head(most)
    alone = values.filter(pl.col("with_code").is_null()) if "with_code" in values.columns else values
    lost = alone.filter(pl.col("usd_change") < 0).with_columns(lost=-pl.col("usd_change"))
    spread = lost.group_by("code", "kind").agg(
        mean=pl.col("lost").mean(), low=pl.col("lost").quantile(0.1), high=pl.col("lost").quantile(0.9)
    )
    table = top.join(spread, on=["code", "kind"], how="left", maintain_order="left")
    ax = ax or make_axes(8, 1.3 + 0.34 * max(len(table), 1))
    unit, scale = choose_money_unit(table["high"].to_list())
    mean, low, high = (table[name].to_numpy() / scale for name in ("mean", "low", "high"))
    for place, level in enumerate(table["severity"].cast(pl.String)):
        look = {"MCC": ("D", OVERPAID), "CC": ("s", UNDERPAID)}.get(level, ("o", INK))
        ax.plot([low[place], high[place]], [place, place], color=INK, linewidth=1.2, marker="|")
        ax.plot(mean[place], place, look[0], color=look[1], markersize=6)
    for place, (cases, usd) in enumerate(table.select("decided", "usd").iter_rows()):
        total = f"{cases:,} admission{'s' * (cases != 1)}, {usd / scale:,.0f}"
        ax.text(1.01, place, total, transform=ax.get_yaxis_transform(), va="center", fontsize=SMALL, color=INK)
    kinds = {"sdx": "", "procedure": "procedure "}
    labels = [
        f"{kinds.get(str(kind), '')}{code}" + (f" ({level})" if level in ("CC", "MCC") else "")
        for code, kind, level in table.select("code", "kind", "severity").iter_rows()
    ]
    label_rows(ax, labels)
    ax.set_xlim(left=0)
    ax.set_xlabel(f"lost without the code, {unit} per admission (whiskers: middle 80 % of admissions)")
    return tidy(ax, title=f"Dollars that depend on one code; at the right: admissions, and total {unit}")


# ---------------------------------------------------------------------------------------------------------


def _wilson_interval(hits: np.ndarray, of: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the 95 % Wilson interval of shares."""
    from scipy.stats import binomtest

    limits = [binomtest(round(k), round(n)).proportion_ci(0.95, method="wilson") for k, n in zip(hits, of, strict=True)]
    return np.array([one.low for one in limits]), np.array([one.high for one in limits])


def _label_hospital(ax: Axes, row: pl.DataFrame, name: object) -> None:
    """Label one hospital.

    Raises:
        InputError: it has no value.
    """
    if row.is_empty():
        raise InputError(f"no hospital {name!r} has a value to show: it is not in the profile, or suppressed.")
    place, value = row.select("place", "value").row(0)
    ax.annotate(
        str(name),
        (place, 100 * value),
        (-30, 22),
        textcoords="offset points",
        ha="right",
        fontsize=SMALL + 1,
        fontweight="bold",
        arrowprops={"arrowstyle": "-", "color": INK},
    )


@accept_frames
def plot_bridge(steps: pl.DataFrame, ax: Axes | None = None, *, split: str = "path") -> Axes:
    """Draw the change of payment of a new fiscal year, cause by cause, as a waterfall.

    Args:
        steps: of a `PaymentBridge`: `title`, `path_usd` and `shapley_usd` of each cause, in order.
        ax: where to draw; by default a new figure.
        split: "path" or "shapley".

    Raises:
        SchemaError: a column is missing.
        InputError: `split` is neither.

    >>> steps = pl.DataFrame({"title": ["Weights", "Amounts"], "path_usd": [-900.0, 4e3], "shapley_usd": [-8e2, 3.9e3]})
    >>> plot_bridge(steps).get_xlabel()
    'change of payment, thousand USD'
    """
    if split not in ("path", "shapley"):
        raise InputError(f"split is {split!r}; expected path or shapley.{did_you_mean(split, ('path', 'shapley'))}")
    check_columns(steps, ("title", "path_usd", "shapley_usd"), "payment_bridge(...).steps")
    ax = ax or make_axes(7.0, 3.6)
    usd = steps[f"{split}_usd"].to_numpy()
    begins = np.concatenate([[0.0], np.cumsum(usd)[:-1], [0.0]])
    amounts = np.append(usd, usd.sum())
    unit, scale = choose_money_unit(np.append(begins, amounts))
    for row, (begin, amount) in enumerate(zip(begins, amounts, strict=True)):
        is_more = amount > 0
        ax.barh(
            row,
            amount / scale,
            left=begin / scale,
            color=OVERPAID if is_more else UNDERPAID,
            hatch="///" if is_more else None,
            edgecolor="white",
        )
        end = max(begin, begin + amount) / scale
        ax.annotate(
            f"{amount / scale:+,.2f}", (end, row), (3, 0), textcoords="offset points", va="center", fontsize=SMALL
        )
    label_rows(ax, [*steps["title"], "Total"])
    ax.axvline(0, color=INK, linewidth=0.8)
    ax.margins(x=0.15)
    ax.set_xlabel(f"change of payment, {unit}")
    return tidy(ax, title=f"Change of payment by cause ({split})")
