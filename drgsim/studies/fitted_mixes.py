"""Mixes of errors fitted to the findings of studies, and written as scenarios.

    python -m drgsim.studies.fitted_mixes FOLDER [NAME ...]

For each mix, this reads `mixes/NAME.toml` of a table folder (errors at the relative rates that are argued for), fits it
to the findings marked `fit_mix`, writes `scenarios/NAME.toml` with only the rates changed, and seals the manifest. It
prints a Markdown table of the findings, fitted and not fitted, with the published and the simulated value. The
admissions are `generate(100_000, seed=1)` of `VERSION`, priced with the `Rates` of its year.

The fitted findings of a mix decide how it is fitted:

- `drg_change_rate`, alone or with `share_up` or `net_share`: by `calibrate`.
- `code_change_rate` or `error_rate.NAME`: the rates are the study's own, and stay.
- others: rates are scaled until the figure is reached; each `share_of_changes.NAME` scales its own errors.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import polars as pl

from drgsim.exceptions import InputError
from drgsim.files.atomic import write_text_whole
from drgsim.miscoding.error_models import ErrorModel
from drgsim.miscoding.scenarios import Scenario
from drgsim.numerics.arrays import Int64Array
from drgsim.rates.payment_rates import Rates
from drgsim.rebilling.baseline import Baseline
from drgsim.simulation.exposures import compute_exposure
from drgsim.studies.calibration import calibrate
from drgsim.studies.published_findings import compare_baseline_with_findings, find_frame_rows, measure_figures
from drgsim.synthetic.generator import generate
from drgsim.tables.manifest import MANIFEST, read_manifest, read_verified, seal, table_folder
from drgsim.tables.table_set import TableSet

VERSION, ADMISSIONS, SEED = "43.1", 100_000, 1
"""The grouper version, the number of synthetic admissions and their seed, with which presets are fitted."""

_MIXES, _SCENARIOS = "mixes/", "scenarios/"
_LICENCE = "CC0-1.0 (this project)"
_CALIBRATED = ("drg_change_rate", "share_up", "net_share")
_GIVEN = ("code_change_rate", "error_rate")
_PART = "share_of_changes."
_ALTERNATIVES = 1
"""Most outcomes of each error that the calibration tries."""
_REPLICATES = 32
_ROUNDS = 12
_CLOSE = 2e-3
"""Scaling ends when the relative difference of every figure from its target is at most this."""
_DIGITS = 4
"""Significant digits of a fitted rate."""


@dataclass(eq=False)
class FittingAdmissions:
    """Synthetic admissions on which a mix is fitted, with their tables and rates."""

    admissions: pl.DataFrame = field(repr=False)
    hospitals: pl.DataFrame = field(repr=False)
    tables: TableSet
    rates: Rates

    @classmethod
    def of(
        cls, n: int = ADMISSIONS, *, seed: int = SEED, version: str = VERSION, folder: Path | None = None
    ) -> FittingAdmissions:
        """Generate `n` admissions of the default population.

        >>> len(FittingAdmissions.of(500).baseline)
        500
        """
        tables = TableSet.load(version, folder=folder)
        hospitals, admissions = generate(n, seed=seed, tables=tables)
        return cls(admissions, hospitals, tables, Rates.load(tables.fiscal_year, folder=folder))

    @cached_property
    def baseline(self) -> Baseline:
        """All admissions, encoded, grouped and priced."""
        return self.select_rows(slice(None))

    def select_rows(self, rows: Int64Array | slice) -> Baseline:
        """Return some admissions, encoded, grouped and priced."""
        return Baseline.of(self.admissions[rows], tables=self.tables, hospitals=self.hospitals, rates=self.rates)


def write_scenarios(names: Sequence[str], sample: FittingAdmissions, folder: Path) -> dict[str, pl.DataFrame]:
    """Fit mixes, write them as scenarios, and return the comparison with the findings of each.

    Args:
        names: of the mixes.
        sample: the admissions on which they are fitted.
        folder: a table folder with `mixes/`; `scenarios/` and the manifest are rewritten.

    Returns:
        By name, what `compare_with_findings` returns; no rows where a mix has no findings.

    Raises:
        InputError: a mix cannot be read, or no rates reach its findings.
    """
    compared = {}
    for name in names:
        text = read_verified(folder, f"{_MIXES}{name}.toml").decode("utf-8")
        mix = Scenario.loads(text, file=f"{_MIXES}{name}.toml")
        mix.check(sample.tables)
        fitted = round_rates(fit_mix(mix, sample))
        write_text_whole(folder / _SCENARIOS / f"{name}.toml", replace_rates(text, mix, fitted))
        _list_in_manifest(folder, f"{_SCENARIOS}{name}.toml", mix.source)
        seal(folder)
        compared[name] = compare_baseline_with_findings(fitted, sample.baseline, seed=SEED)
    return compared


def fit_mix(mix: Scenario, sample: FittingAdmissions) -> Scenario:
    """Return a mix with its rates fitted to its fitted findings, on the admissions of its frame.

    Raises:
        InputError: there is no method for these findings, or no rates reach them.
    """
    goals = {finding.measure: finding.value for finding in mix.findings if finding.fitted}
    if not goals or any(name.startswith(_GIVEN) for name in goals):
        return mix
    if not set(goals) <= set(_CALIBRATED):
        return scale_to_figures(mix, sample.baseline, goals)
    own = sample.select_rows(find_frame_rows(mix, sample.baseline, seed=SEED))
    found = compute_exposure(own, mix, alternatives=_ALTERNATIVES, seed=SEED)
    return calibrate(mix, found, **goals, replicates=_REPLICATES).scenario


def scale_to_figures(mix: Scenario, baseline: Baseline, goals: Mapping[str, float]) -> Scenario:
    """Return a mix with its rates scaled until a figure and the shares of its parts are reached.

    Args:
        mix: the errors.
        baseline: the admissions as correctly coded.
        goals: one figure that grows with the rates, and any `share_of_changes.NAME`, each of which scales the errors
            whose names begin with NAME.

    Raises:
        InputError: there is not exactly one figure besides the shares, or the figures are not reached.
    """
    totals = [name for name in goals if not name.startswith(_PART)]
    if len(totals) != 1:
        raise InputError(
            f"{mix.title}: expected one figure to which rates are scaled, found {', '.join(totals) or 'none'}."
        )
    for _ in range(_ROUNDS):
        found = {name: mean for name, (mean, _) in measure_figures(mix, baseline, [*goals], seed=SEED).items()}
        if all(abs(found[name] / value - 1) <= _CLOSE for name, value in goals.items()):
            return mix
        factors = {name: value / found[name] for name, value in goals.items()}
        total = factors.pop(totals[0])
        mix = mix.with_errors([_scale_error(error, total * _find_part_factor(error, factors)) for error in mix.errors])
    raise InputError(f"{mix.title}: after {_ROUNDS} rounds the figures are {found}, expected {dict(goals)}.")


def round_rates(scenario: Scenario) -> Scenario:
    """Return a scenario with its rates rounded to the digits that are written."""
    return scenario.with_errors([error.with_rates(_round_rate) for error in scenario.errors])


def replace_rates(text: str, mix: Scenario, fitted: Scenario) -> str:
    r"""Return the TOML text of a mix with the rates of the fitted scenario; nothing else changes.

    >>> text = 'title = "a"\n[errors.typo]\nkind = "invalid_code"\npdx = 0.1\n'
    >>> mix = Scenario.loads(text)
    >>> replace_rates(text, mix, mix.scaled(0.5)).splitlines()[-1]
    'pdx = 0.05'
    """
    for before, after in zip(mix.errors, fitted.errors, strict=True):
        header = f"[errors.{before.label}]\n"
        start = text.index(header) + len(header)
        end = text.find("\n[", start)
        table = text[start:] if end < 0 else text[start:end]
        for name in before.RATES:
            table = re.sub(rf"(?m)^{name} = \S+$", f"{name} = {getattr(after, name)!r}", table)
        text = text[:start] + table + ("" if end < 0 else text[end:])
    return text


# ---------------------------------------------------------------------------------------------------------


def _list_in_manifest(folder: Path, name: str, source: str) -> None:
    """List a scenario in the manifest, unless it is listed; `seal` writes its sha256."""
    if name in read_manifest(folder)["files"]:
        return
    path = folder / MANIFEST
    sections = re.split(r"(?m)^(?=\[)", path.read_text("utf-8"))
    others = [at for at, section in enumerate(sections) if section.startswith(f'[files."{_SCENARIOS}')]
    entry = f'[files."{name}"]\nsha256 = ""\nrows = 0\nsource = "{source}"\nlicence = "{_LICENCE}"\n\n'
    sections.insert(min(others), entry)
    write_text_whole(path, "".join(sections))


def _find_mixes(folder: Path) -> list[str]:
    return sorted(Path(name).stem for name in read_manifest(folder)["files"] if name.startswith(_MIXES))


def _find_part_factor(error: ErrorModel, factors: Mapping[str, float]) -> float:
    """Return the factor of the part to which an error belongs, or 1 if it belongs to none."""
    return next((f for name, f in factors.items() if error.label.startswith(name.removeprefix(_PART))), 1.0)


def _scale_error(error: ErrorModel, factor: float) -> ErrorModel:
    return error.with_rates(lambda rate: min(rate * factor, 1.0))


def _round_rate(rate: float) -> float:
    return float(f"{rate:.{_DIGITS}g}")


_HEADER = "| scenario | figure | | published | simulated | source |\n|---|---|---|---|---|---|\n"


def _format_rows(name: str, table: pl.DataFrame) -> str:
    """Return the rows of one scenario in a Markdown table, one for each finding."""
    kinds = {True: "fitted", False: "not fitted"}
    return "".join(
        f"| `{name}` | `{row['measure']}` | {kinds[row['fitted']]} "
        f"| {_format_value(row['published'], row['standard_error'])} "
        f"| {_format_value(row['simulated'], row['monte_carlo_error'])} | {row['source']} |\n"
        for row in table.iter_rows(named=True)
    )


def _format_value(value: float, error: float | None) -> str:
    return f"{value:.{_DIGITS}g}" if error is None else f"{value:.{_DIGITS}g} ± {error:.1g}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="python -m drgsim.studies.fitted_mixes",
        description="Fit mixes of errors to the findings of studies, and write them as scenarios.",
    )
    parser.add_argument("folder", help="table folder, such as grouper_tables")
    parser.add_argument("names", nargs="*", metavar="NAME", help="mixes to fit; all of the folder if none is named")
    given = parser.parse_args()
    root = table_folder(given.folder)
    sample = FittingAdmissions.of(folder=root)
    sys.stdout.write(_HEADER)
    for name in given.names or _find_mixes(root):
        sys.stdout.write(_format_rows(name, write_scenarios([name], sample, root)[name]))
        sys.stdout.flush()
