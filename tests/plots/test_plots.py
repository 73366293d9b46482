"""Figures show the numbers, cut nothing off, and look like the stored pictures that a person has checked.

Drawings are compared with stored images, texts with numbers worked out by hand.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import numpy as np
import polars as pl
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.container import BarContainer, ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.testing.compare import compare_images
from matplotlib.text import Text

from benchmarks.report import plot_throughput
from drgsim import Rates, TableSet, plots
from drgsim.compliance.peers import compare_with_peers
from drgsim.exceptions import InputError, SchemaError
from drgsim.plots.style import check_columns, choose_money_unit, format_signed, make_axes
from drgsim.review import CodingComparison, compare_codings
from tests.support.made import made, with_claims

GOLDEN = Path(__file__).parents[1] / "golden" / "figures"
TOLERANCE = 2.0
"""Root mean square of the difference of pixels, 0 to 255. Versions 3.10.0 and 3.11.2 of matplotlib draw the same."""
REDRAW = "DRGSIM_REDRAW"
T2 = 4.302652729696142
"""Student's t, 0.975 quantile, two degrees of freedom (published tables: 4.303)."""


def dose() -> pl.DataFrame:
    return pl.DataFrame({"scale": [0.5, 1.0, 2.0], "mean": [-1e6, -1.8e6, -3e6], "standard_error": [5e4, 9e4, 1.2e5]})


def deterrence() -> pl.DataFrame:
    detection = [0.0, 0.25, 0.5] * 2
    gain = [4e6, 2e6, 0.0, 4e6, 1e6, 0.0]
    penalty = [1.0] * 3 + [3.0] * 3
    net = [g * (1 - d * (1 + p)) for g, d, p in zip(gain, detection, penalty, strict=True)]
    return pl.DataFrame({"detection": detection, "penalty": penalty, "gain_usd": gain, "net_usd": net})


def peers() -> pl.DataFrame:
    hits = [10.0, 30.0, 35.0, 40.0, 60.0, None]
    shares = pl.DataFrame(
        {
            "hospital_id": list("abcdef"),
            "measure": ["mcc_capture"] * 6,
            "kind": ["severity"] * 6,
            "numerator": hits,
            "denominator": [100, 100, 100, 100, 100, None],
            "is_suppressed": [hit is None for hit in hits],
        }
    )
    shares = shares.with_columns(value=pl.col("numerator") / pl.col("denominator"))
    return compare_with_peers(shares, ["measure"], low=20, high=80, fewest=5, two_sided=pl.lit(True))


def code_values() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "admission_id": [1, 2, 3, 1, 2, 3],
            "code": ["J9601", "J9601", "J9601", "N179", "N179", "0FT44ZZ"],
            "kind": ["sdx"] * 5 + ["procedure"],
            "severity": ["MCC", "MCC", "MCC", "CC", "CC", "NONE"],
            "usd": [9e3] * 6,
            "usd_change": [-4e3, -8e3, 0.0, -1.5e3, -2.5e3, -5e3],
        }
    )


def coverage() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "design": ["30 claims", "200 claims"],
            "estimator": ["mean_per_unit", "difference"],
            "coverage": [0.78, 0.905],
            "coverage_error": [0.01, 0.01],
            "recovered": [0.4, None],
        }
    )


def validity(factor: float = 1.0) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "subject": ["case mix", "patients", "stays", "stays"],
            "measure": ["case-mix index", "female", "mean covered charges [USD]", "POA Y"],
            "generated": [1.84 * factor, 0.55, 90_000.0 * factor, 0.8],
            "target": [1.84, 0.5, 100_000.0, None],
        }
    )


@pytest.fixture(scope="session")
def benchmark_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    def run(seconds: tuple[float, float, float], **notes: object) -> dict[str, object]:
        return {"stats": dict(zip(("min", "median", "max"), seconds, strict=True)), "extra_info": notes}

    runs = [
        run((0.9, 1.0, 2.0), what="group", admissions=1_000_000),
        run((0.2, 0.25, 0.4), what="encode", admissions=1_000_000),
        run((0.4, 0.5, 0.8), what="peer", admissions=5_000, peer="peer A", agreement=0.912),
        run((1.0, 1.0, 1.0), what="load"),
    ]
    path = tmp_path_factory.mktemp("benchmark") / "benchmark.json"
    path.write_text(json.dumps({"benchmarks": runs}), "utf-8")
    return path


def bridge() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "title": ["Grouper", "Weights", "Amounts", "Wage index"],
            "path_usd": [4e6, -1.5e6, 0.0, 5e5],
            "shapley_usd": [3.5e6, -1e6, 1e5, 4e5],
        }
    )


def codings() -> CodingComparison:
    """Two codings of 40 cholecystectomies: the other lacks an MCC of each fourth stay and adds a CC to each fifth."""
    n = 40
    reference = pl.DataFrame(
        {
            "admission_id": pl.Series(range(1, n + 1), dtype=pl.UInt64),
            "age": [54] * n,
            "sex": ["F"] * n,
            "discharge_status": [1] * n,
            "pdx": ["K810"] * n,
            "sdx": [["J9601", "I10"] if k % 4 == 0 else ["I10"] for k in range(n)],
            "procedures": [["0FT44ZZ"]] * n,
        }
    )
    other = reference.with_columns(
        sdx=pl.Series([["I10", "N179"] if k % 5 == 0 else ["I10"] for k in range(n)], dtype=pl.List(pl.String))
    )
    return compare_codings(reference, other, tables=TableSet.load("43.1"), rates=Rates.load(2026))


FIGURES: dict[str, Callable[[Path, Axes | None], Axes]] = {
    "shift": lambda _, ax: plots.plot_shift(made(), ax),
    "replicates": lambda _, ax: plots.plot_replicates(made(), ax),
    "severity": lambda _, ax: plots.plot_severity(made(), ax),
    "transitions": lambda _, ax: plots.plot_transitions(made(), ax),
    "flow": lambda _, ax: plots.plot_flow(made(), ax),
    "dose": lambda _, ax: plots.plot_dose(dose(), ax),
    "deterrence": lambda _, ax: plots.plot_deterrence(deterrence(), ax),
    "bridge": lambda _, ax: plots.plot_bridge(bridge(), ax),
    "comparison": lambda _, ax: plots.plot_comparison(codings(), ax),
    "peers": lambda _, ax: plots.plot_peers(peers(), ax, highlight="e"),
    "code_value": lambda _, ax: plots.plot_code_value(code_values(), ax),
    "coverage": lambda _, ax: plots.plot_coverage(coverage(), ax),
    "validity": lambda _, ax: plots.plot_validity(validity(), validity(1.1), ax=ax),
    "throughput": lambda path, ax: plot_throughput(path, ax),
}
each_figure = pytest.mark.parametrize("name", FIGURES)


@pytest.fixture(autouse=True)
def plain_style():
    """Draw as matplotlib does by default, whatever is set on the machine."""
    with mpl.rc_context():
        mpl.rcdefaults()
        yield


def texts(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.texts]


def drawn(ax: Axes, path: Path) -> Path:
    """Save a figure without its words, whose width no two versions of matplotlib agree on, in a fixed place."""
    figure = ax.get_figure(root=True)
    figure.set_layout_engine("none")
    for part in (*figure.findobj(Text), *figure.findobj(Legend)):
        part.set_visible(False)
    ax.set_position((0.1, 0.1, 0.7, 0.8))
    for other in figure.axes:
        if other is not ax:
            other.set_position((0.85, 0.1, 0.05, 0.8))
    figure.savefig(path, dpi=60, metadata={"Software": None})
    return path


# --- all of them -----------------------------------------------------------------------------------------


def test_every_public_figure_is_tested():
    drawn_here = {f"plot_{name}" for name in FIGURES} - {"plot_throughput"}  # a figure of benchmarks/report.py
    assert drawn_here | {"report", "save_figures"} == set(plots.__all__)


@each_figure
def test_looks_like_the_stored_picture(name: str, benchmark_file: Path, tmp_path: Path):
    expected = GOLDEN / f"{name}.png"
    if os.environ.get(REDRAW):
        drawn(FIGURES[name](benchmark_file, None), expected)
    found = drawn(FIGURES[name](benchmark_file, None), tmp_path / f"{name}.png")
    difference = compare_images(str(expected), str(found), tol=TOLERANCE)
    assert difference is None, (
        f"{difference}\nIf the change is intended: {REDRAW}=1 pytest tests/plots/test_plots.py, and look at it."
    )
    assert expected.stat().st_size < 60_000


def test_another_number_looks_different(tmp_path: Path):
    found = drawn(plots.plot_dose(dose().with_columns(mean=pl.col("mean") * pl.col("scale"))), tmp_path / "dose.png")
    assert compare_images(str(GOLDEN / "dose.png"), str(found), tol=TOLERANCE) is not None


@each_figure
def test_draws_on_the_axes_given_and_nowhere_else(name: str, benchmark_file: Path):
    figure = Figure(figsize=(9, 5), layout="constrained")
    left, right = figure.subplots(1, 2)
    assert FIGURES[name](benchmark_file, left) is left
    assert left.has_data() or left.patches
    assert not right.has_data()
    assert FIGURES[name](benchmark_file, None).figure is not figure


@each_figure
def test_leaves_settings_alone(name: str, benchmark_file: Path):
    before = dict(mpl.rcParams)
    FIGURES[name](benchmark_file, None)
    assert dict(mpl.rcParams) == before


@each_figure
def test_cuts_nothing_off_and_names_its_axes(name: str, benchmark_file: Path):
    ax = FIGURES[name](benchmark_file, None)
    figure = ax.get_figure(root=True)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    taken = ax.get_tightbbox(canvas.get_renderer())
    inside = figure.bbox.padded(1)
    assert inside.x0 <= taken.x0 < taken.x1 <= inside.x1
    assert inside.y0 <= taken.y0 < taken.y1 <= inside.y1
    assert ax.get_xlabel()
    assert ax.get_ylabel() or any(label.get_text() for label in ax.get_yticklabels()) or name == "flow"


def test_drawing_needs_no_global_state():
    program = (
        "import sys, polars as pl; from drgsim import plots; assert 'matplotlib' not in sys.modules\n"
        "plots.plot_dose(pl.DataFrame({'scale': [1.0], 'mean': [1.0], 'standard_error': [0.1]}))\n"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run(
        [sys.executable, "-c", program], check=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    )


def test_a_frame_without_the_columns_raises():
    with pytest.raises(SchemaError, match="lacks 2 column"):
        plots.plot_dose(dose().select("scale"))
    with pytest.raises(SchemaError, match="found dict"):
        check_columns({}, ("a",), "nothing")  # type: ignore[arg-type]
    with pytest.raises(SchemaError, match="no dollars"):
        plots.plot_code_value(code_values().drop("usd_change"))


def test_a_notebook_shows_a_figure_without_pyplot():
    from IPython.core.formatters import PNGFormatter

    assert PNGFormatter()(make_axes().figure).startswith(b"\x89PNG")


def test_several_drawings_on_one_figure(tmp_path: Path):
    path = plots.save_figures(
        tmp_path / "deep" / "both.svg", [lambda ax: plots.plot_dose(dose(), ax)] * 2, heights=[2, 4]
    )
    assert path.read_text("utf-8").count("Dose and response") == 2


# --- one simulation --------------------------------------------------------------------------------------


def bars(ax: Axes) -> list[tuple[float, float]]:
    return [
        (bar.get_x(), bar.get_x() + bar.get_width())
        for group in ax.containers
        if isinstance(group, BarContainer)
        for bar in group
    ]


def test_waterfall_ends_in_the_total():
    ax = plots.plot_shift(made())
    # Thousand USD: the first error -26,000 / 3, the second 10,000 / 3, together -16,000 / 3.
    assert np.allclose(bars(ax), [(0, -26 / 3), (-26 / 3, -16 / 3), (0, -16 / 3)])
    reach = [
        group[2][0].get_segments()[0][1][0] - group[2][0].get_segments()[0][0][0]
        for group in ax.containers
        if isinstance(group, ErrorbarContainer)
    ]
    # Standard errors by hand: sd of (-5, -13, -8), (5, 0, 5) and (0, -13, -3), over the root of 3.
    errors = np.array([7 / 3, 5 / 3, np.sqrt(139 / 9)])
    assert np.allclose(reach, 2 * T2 * errors)
    assert texts(ax)[0] == f"\N{MINUS SIGN}8.67 ± {T2 * 7 / 3:.2f}"
    assert "thousand USD" in ax.get_xlabel()


def test_one_replicate_has_no_interval():
    from dataclasses import replace

    whole = made()
    first = pl.col("replicate") == 0
    one = replace(
        whole,
        replicates=1,
        totals=whole.totals.filter(first),
    )
    one = with_claims(
        one, changed_claims=whole.changed_claims.filter(first), attribution=whole.attribution.filter(first)
    )
    ax = plots.plot_shift(one)
    assert "one replicate: no interval" in ax.get_xlabel()
    assert not [group for group in ax.containers if isinstance(group, ErrorbarContainer)]
    assert "±" not in "".join(texts(ax))
    for draw in (plots.plot_replicates, plots.plot_severity, plots.plot_transitions, plots.plot_flow):
        assert "±" not in "".join(texts(draw(one)))


def test_nothing_moved_is_drawn_too():
    from dataclasses import replace

    whole = made()
    still = with_claims(whole, changed_claims=whole.changed_claims.clear(), attribution=whole.attribution.clear())
    still = replace(still, totals=whole.totals.with_columns(pl.exclude("replicate") * 0))
    assert bars(plots.plot_shift(still)) == [(0.0, 0.0)] * 3
    assert "none of the dollars" in plots.plot_transitions(still)._left_title.get_text()
    assert not plots.plot_flow(still).texts
    assert texts(plots.plot_severity(still)) == ["+0.00 ± 0.00"] * 3
    assert plots.plot_replicates(still).get_ylabel() == "replicates"


def test_replicates_are_counted_with_their_interval():
    ax = plots.plot_replicates(made())
    assert sum(bar.get_height() for bar in ax.patches) == 3
    mean, error = -16 / 3, np.sqrt(139 / 9)
    interval = next(group for group in ax.containers if isinstance(group, ErrorbarContainer))[2][0].get_segments()[0]
    assert np.allclose(interval[:, 0], [mean - T2 * error, mean + T2 * error])
    assert "overpaid" in plots.plot_replicates(made(), measure="overpaid").get_xlabel()
    with pytest.raises(InputError, match="Did you mean 'improper'"):
        plots.plot_replicates(made(), measure="impropr")


def test_severity_before_and_after():
    ax = plots.plot_severity(made())
    truth, billed = (group for group in ax.containers if isinstance(group, BarContainer))
    # Of six: none 1, CC 0, MCC 5; on average 4/3 MCCs less and 2/3 CCs more, so 2/3 more without.
    assert np.allclose([bar.get_height() for bar in truth], [100 / 6, 0, 500 / 6])
    assert np.allclose([bar.get_height() for bar in billed], np.array([1 + 2 / 3, 2 / 3, 5 - 4 / 3]) * 100 / 6)
    # MCC: 0, -3, -1 of 6: mean -22.22 points, standard error 14.70, times t.
    assert texts(ax)[2] == f"\N{MINUS SIGN}22.22 ± {T2 * np.sqrt(7 / 9) * 100 / 6:.2f}"


def test_map_of_transitions():
    ax = plots.plot_transitions(made())
    assert [label.get_text() for label in ax.get_yticklabels()] == ["291", "292", "871", "872"]
    cells = ax.collections[0].get_array()
    # Thousand USD: 291 to 292 -6 / 3, 871 to 872 -20 / 3, 872 to 871 10 / 3.
    assert np.allclose(cells[0, 1], -2)
    assert np.allclose([cells[2, 3], cells[3, 2]], [-20 / 3, 10 / 3])
    assert np.ma.count(np.ma.masked_invalid(cells)) == 3
    assert "100 % of the dollars" in ax._left_title.get_text()
    assert any(label.startswith("\N{MINUS SIGN}6.67\n±") for label in texts(ax))
    small = plots.plot_transitions(made(), most=1, labelled=1)
    assert [label.get_text() for label in small.get_yticklabels()] == ["871", "872"]
    assert len(texts(small)) == 1
    assert "83 % of the dollars" in small._left_title.get_text()  # 30 of 36


def test_flow_of_admissions():
    labels = texts(plots.plot_flow(made()))
    # A replicate: 871 to 872 4 / 3, 872 to 871 2 / 3, 291 to 292 2 / 3.
    assert {"871: 1.3", "872: 1.3", "871: 0.7", "872: 0.7", "291: 0.7", "292: 0.7"} <= set(labels)
    assert any(text.startswith("family 871\n\N{MINUS SIGN}3.33 ±") for text in labels)
    assert not any("291" in text for text in texts(plots.plot_flow(made(), most=1)))


# --- studies and evidence --------------------------------------------------------------------------------


def test_dose_beside_proportion():
    ax = plots.plot_dose(dose())
    straight = ax.lines[0]
    assert np.allclose(straight.get_xydata(), [(0, 0), (0.5, -0.75), (1, -1.5), (2, -3)])
    bars_ = ax.containers[0][2][0].get_segments()
    assert np.allclose(bars_[1][:, 1], [-1.8 - 0.18, -1.8 + 0.18])


def test_deterrence_has_a_line_a_penalty():
    labels = [text.get_text() for text in plots.plot_deterrence(deterrence()).get_legend().get_texts()]
    assert labels[:2] == [f"after repaying, penalty {penalty} times the gain" for penalty in (1, 3)]
    kept = plots.plot_deterrence(deterrence()).lines[0].get_xydata()
    assert np.allclose(kept, [(0, 4), (25, 1), (50, 0)])


def test_peers_with_the_interval_of_wilson():
    ax = plots.plot_peers(peers())
    flags = {group.get_label(): group for group in ax.containers if isinstance(group, ErrorbarContainer)}
    assert set(flags) == {"within: 3", "HIGH: 1", "LOW: 1"}
    # Wilson's interval of 10 in 100: 5.52 to 17.44 (Newcombe 1998 gives the formula).
    z = 1.959963984540054
    half = z / (100 + z**2) * np.sqrt(100 * 0.1 * 0.9 + z**2 / 4)
    middle = (10 + z**2 / 2) / (100 + z**2)
    segment = flags["LOW: 1"][2][0].get_segments()[0]
    assert np.allclose(segment[:, 1], [100 * (middle - half), 100 * (middle + half)])
    assert np.allclose(segment[:, 1], [5.52, 17.44], atol=0.01)
    assert "(1 suppressed)" in ax._left_title.get_text()
    with pytest.raises(InputError, match="suppressed"):
        plots.plot_peers(peers(), highlight="f")
    with pytest.raises(InputError, match="Did you mean 'mcc_capture'"):
        plots.plot_peers(peers(), measure="mcc_captur")


def test_codes_in_order_of_their_dollars():
    ax = plots.plot_code_value(code_values())
    assert [label.get_text() for label in ax.get_yticklabels()] == ["J9601 (MCC)", "procedure 0FT44ZZ", "N179 (CC)"]
    assert texts(ax) == ["2 admissions, 12", "1 admission, 5", "2 admissions, 4"]
    marks = [line for line in ax.lines if line.get_marker() in "Dso"]
    assert [float(mark.get_xdata()[0]) for mark in marks] == [6.0, 5.0, 2.0]


def test_coverage_flags_what_holds_too_rarely():
    ax = plots.plot_coverage(coverage())
    assert [label.get_text() for label in ax.get_yticklabels()] == [
        "30 claims, mean per unit",
        "200 claims, difference",
    ]
    markers = [group[0].get_marker() for group in ax.containers]
    assert markers == ["v", "o"]
    assert texts(ax) == ["40 % recovered", "nothing to recover"]


def test_validity_beside_what_is_published():
    ax = plots.plot_validity(validity(), validity(1.1))
    assert [label.get_text() for label in ax.get_yticklabels()] == validity()["measure"].to_list()[:3]
    assert np.allclose(ax.lines[0].get_xdata(), [5, 10, -5.5])
    assert "range of 2 populations" in ax.get_xlabel()
    assert "one population: no range" in plots.plot_validity(validity()).get_xlabel()
    with pytest.raises(InputError, match="different measures"):
        plots.plot_validity(validity(), validity().head(1))
    with pytest.raises(InputError, match="no table"):
        plots.plot_validity()


def test_throughput_beside_the_peers(benchmark_file: Path, tmp_path: Path):
    ax = plot_throughput(benchmark_file)
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert labels[0] == "strings to integers alone, n = 1,000,000"
    assert labels[2] == "peer A (same DRG in 91 %), n = 5,000"
    assert texts(ax) == ["4,000,000", "1,000,000", "10,000  (1/100)"]
    (tmp_path / "other.json").write_text("{}", "utf-8")
    with pytest.raises(InputError, match="not a benchmark run"):
        plot_throughput(tmp_path / "other.json")
    (tmp_path / "none.json").write_text('{"benchmarks": []}', "utf-8")
    with pytest.raises(InputError, match="no run of group"):
        plot_throughput(tmp_path / "none.json")


def test_money_and_signs():
    assert choose_money_unit([1e6 - 1])[0] == "thousand USD"
    assert choose_money_unit([-3e9]) == ("billion USD", 1e9)
    assert format_signed(-1234.5, 1.25, digits=1) == "\N{MINUS SIGN}1,234.5 ± 1.2"
    assert format_signed(1.0, float("nan")) == "+1.00"
    assert make_axes().figure.get_layout_engine() is not None


def test_the_bars_of_a_bridge_begin_where_the_last_ended():
    steps = pl.DataFrame(
        {"title": ["A", "B", "C"], "path_usd": [4_000.0, -1_500.0, 500.0], "shapley_usd": [3_000.0, 0.0, 0.0]}
    )
    bars = plots.plot_bridge(steps).patches
    assert [(bar.get_x(), bar.get_width()) for bar in bars] == [(0.0, 4.0), (4.0, -1.5), (2.5, 0.5), (0.0, 3.0)]
    assert plots.plot_bridge(steps, split="shapley").patches[0].get_width() == 3.0
    with pytest.raises(InputError, match="Did you mean 'path'"):
        plots.plot_bridge(steps, split="pth")
    with pytest.raises(SchemaError, match="title"):
        plots.plot_bridge(steps.drop("title"))
