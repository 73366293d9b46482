"""Mixes of errors fitted to what studies found, and written as scenarios.

    python -m drgsim.studies.fitted_mixes FOLDER [NAME ...]

reads `mixes/NAME.toml` of a table folder (errors at the rates they are argued to have beside each other), fits them
to the findings marked `fit_mix`, writes `scenarios/NAME.toml` with the fitted rates and nothing else changed, seals
the manifest, and prints, as a Markdown table, what was fitted and what came out unfitted beside what was published.
The truth is `generate(100_000, seed=1)` of `VERSION` with the `Rates` of its year.

How a mix is fitted follows from its fitted findings:

- `drg_change_rate`, with `share_up` or `net_share` or alone: `calibrate`.
- otherwise rates are scaled until the figure comes out, those of `share_of_changes.NAME` apart from each other.
- `code_change_rate` or `error_rate.NAME`: the rates are the study's own, and stay.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import polars as pl

from drgsim.exceptions import InputError
from drgsim.miscoding.error_models import ErrorModel
from drgsim.miscoding.scenarios import Scenario
from drgsim.numerics.arrays import Int64Array
from drgsim.pricing.rates import Rates
from drgsim.rebilling.baseline import Baseline
from drgsim.simulation.exposures import compute_exposure
from drgsim.studies.calibration import calibrate
from drgsim.studies.published_findings import compare_baseline_with_findings, find_frame_rows, measure_figures
from drgsim.synthetic.generator import generate
from drgsim.tables.manifest import MANIFEST, read_manifest, read_verified, seal, table_folder
from drgsim.tables.table_set import TableSet

VERSION, ADMISSIONS, SEED = "43.1", 100_000, 1
"""What presets are fitted on: the grouper version, how many synthetic admissions, and their seed."""

_MIXES, _SCENARIOS = "mixes/", "scenarios/"
_LICENCE = "CC0-1.0 (this project)"
_CALIBRATED = ("drg_change_rate", "share_up", "net_share")
_GIVEN = ("code_change_rate", "error_rate")
_PART = "share_of_changes."
_ALTERNATIVES = 1
"""Outcomes of each error the calibration tries, where it has several."""
_REPLICATES = 32
_ROUNDS = 12
_CLOSE = 2e-3
"""Scaling ends once every figure is this near its target, relatively."""
_DIGITS = 4
"""Significant digits of a fitted rate."""


@dataclass(eq=False)
class FittingAdmissions:
    """Synthetic admissions a mix is fitted on, and what they are grouped and priced by."""

    admissions: pl.DataFrame = field(repr=False)
    hospitals: pl.DataFrame = field(repr=False)
    tables: TableSet
    rates: Rates

    @classmethod
    def of(
        cls, n: int = ADMISSIONS, *, seed: int = SEED, version: str = VERSION, folder: Path | None = None
    ) -> FittingAdmissions:
        """Generate `n` admissions of the default population.

        >>> len(Truth.of(500).cases)
        500
        """
        tables = TableSet.load(version, folder=folder)
        hospitals, admissions = generate(n, seed=seed, tables=tables)
        return cls(admissions, hospitals, tables, Rates.load(tables.fiscal_year, folder=folder))

    @cached_property
    def cases(self) -> Baseline:
        """All of them, encoded, grouped and priced."""
        return self.only(slice(None))

    def only(self, rows: Int64Array | slice) -> Baseline:
        """Return some of them, encoded, grouped and priced."""
        return Baseline.of(self.admissions[rows], tables=self.tables, hospitals=self.hospitals, rates=self.rates)


def write_scenarios(names: Sequence[str], truth: FittingAdmissions, folder: Path) -> dict[str, pl.DataFrame]:
    """Fit mixes and write them as scenarios; return what was fitted and what came out, by name.

    Args:
        names: of mixes.
        truth: the admissions they are fitted on.
        folder: a table folder with `mixes/`; `scenarios/` and the manifest are rewritten.

    Returns:
        `findings.compared` of each scenario; no rows where a mix has no findings.

    Raises:
        InputError: a mix cannot be read, or nothing brings it to its findings.
    """
    told = {}
    for name in names:
        text = read_verified(folder, f"{_MIXES}{name}.toml").decode("utf-8")
        mix = Scenario.loads(text, file=f"{_MIXES}{name}.toml")
        mix.check(truth.tables)
        made = round_rates(fit_mix(mix, truth))
        (folder / _SCENARIOS / f"{name}.toml").write_text(replace_rates(text, mix, made), "utf-8")
        _list(folder, f"{_SCENARIOS}{name}.toml", mix.source)
        seal(folder)
        told[name] = compare_baseline_with_findings(made, truth.cases, seed=SEED)
    return told


def fit_mix(mix: Scenario, truth: FittingAdmissions) -> Scenario:
    """Return a mix with its rates fitted to its fitted findings, on the admissions of its frame.

    Raises:
        InputError: the findings ask for a fit that is not known, or that no rates reach.
    """
    goals = {finding.measure: finding.value for finding in mix.findings if finding.fitted}
    if not goals or any(name.startswith(_GIVEN) for name in goals):
        return mix
    if not set(goals) <= set(_CALIBRATED):
        return scale_to_figures(mix, truth.cases, goals)
    own = truth.only(find_frame_rows(mix, truth.cases, seed=SEED))
    found = compute_exposure(own, mix, alternatives=_ALTERNATIVES, seed=SEED)
    return calibrate(mix, found, **goals, replicates=_REPLICATES).scenario


def scale_to_figures(mix: Scenario, cases: Baseline, goals: Mapping[str, float]) -> Scenario:
    """Return a mix with its rates scaled until a figure, and the shares of its parts, come out.

    Args:
        mix: the errors.
        cases: the truth.
        goals: one figure that grows with the rates, and any `share_of_changes.NAME`, which scale the errors whose
            names begin so.

    Raises:
        InputError: more than one figure beside the shares, or a figure that does not come near.
    """
    whole = [name for name in goals if not name.startswith(_PART)]
    if len(whole) != 1:
        raise InputError(f"{mix.title}: expected one figure to scale rates to, found {', '.join(whole) or 'none'}.")
    for _ in range(_ROUNDS):
        found = {name: mean for name, (mean, _) in measure_figures(mix, cases, [*goals], seed=SEED).items()}
        if all(abs(found[name] / value - 1) <= _CLOSE for name, value in goals.items()):
            return mix
        factors = {name: value / found[name] for name, value in goals.items()}
        total = factors.pop(whole[0])
        mix = mix.with_errors([_times(error, total * _of_part(error, factors)) for error in mix.errors])
    raise InputError(f"{mix.title}: after {_ROUNDS} rounds the figures are {found}, asked {dict(goals)}.")


def round_rates(scenario: Scenario) -> Scenario:
    """Return a scenario with its rates rounded as they are written."""
    return scenario.with_errors([error.with_rates(_rounded) for error in scenario.errors])


def replace_rates(text: str, mix: Scenario, made: Scenario) -> str:
    r"""Return the TOML text of a mix with the rates of the fitted scenario, all else as it is written.

    >>> text = 'title = "a"\n[errors.typo]\nkind = "invalid_code"\npdx = 0.1\n'
    >>> mix = Scenario.loads(text)
    >>> replace_rates(text, mix, mix.scaled(0.5)).splitlines()[-1]
    'pdx = 0.05'
    """
    for before, after in zip(mix.errors, made.errors, strict=True):
        header = f"[errors.{before.label}]\n"
        start = text.index(header) + len(header)
        end = text.find("\n[", start)
        table = text[start:] if end < 0 else text[start:end]
        for name in before.RATES:
            table = re.sub(rf"(?m)^{name} = \S+$", f"{name} = {getattr(after, name)!r}", table)
        text = text[:start] + table + ("" if end < 0 else text[end:])
    return text


# ---------------------------------------------------------------------------------------------------------


def _list(folder: Path, name: str, source: str) -> None:
    """List a scenario in the manifest before the others, unless it is there; `seal` writes its sha256."""
    if name in read_manifest(folder)["files"]:
        return
    path = folder / MANIFEST
    sections = re.split(r"(?m)^(?=\[)", path.read_text("utf-8"))
    others = [at for at, section in enumerate(sections) if section.startswith(f'[files."{_SCENARIOS}')]
    entry = f'[files."{name}"]\nsha256 = ""\nrows = 0\nsource = "{source}"\nlicence = "{_LICENCE}"\n\n'
    sections.insert(min(others), entry)
    path.write_text("".join(sections), "utf-8")


def _mixes(folder: Path) -> list[str]:
    return sorted(Path(name).stem for name in read_manifest(folder)["files"] if name.startswith(_MIXES))


def _of_part(error: ErrorModel, factors: Mapping[str, float]) -> float:
    """Return the factor of the part an error belongs to, 1 where it belongs to none."""
    return next((f for name, f in factors.items() if error.label.startswith(name.removeprefix(_PART))), 1.0)


def _times(error: ErrorModel, factor: float) -> ErrorModel:
    return error.with_rates(lambda rate: min(rate * factor, 1.0))


def _rounded(rate: float) -> float:
    return float(f"{rate:.{_DIGITS}g}")


_HEADER = "| scenario | figure | | published | simulated | source |\n|---|---|---|---|---|---|\n"


def _told(name: str, table: pl.DataFrame) -> str:
    """Return the rows of one scenario in a Markdown table, a finding each."""
    kinds = {True: "fitted", False: "came out"}
    return "".join(
        f"| `{name}` | `{row['measure']}` | {kinds[row['fitted']]} "
        f"| {_with_error(row['published'], row['standard_error'])} "
        f"| {_with_error(row['simulated'], row['monte_carlo_error'])} | {row['source']} |\n"
        for row in table.iter_rows(named=True)
    )


def _with_error(value: float, error: float | None) -> str:
    return f"{value:.{_DIGITS}g}" if error is None else f"{value:.{_DIGITS}g} ± {error:.1g}"


if __name__ == "__main__":
    root = table_folder(sys.argv[1])
    start = FittingAdmissions.of(folder=root)
    sys.stdout.write(_HEADER)
    for one in sys.argv[2:] or _mixes(root):
        sys.stdout.write(_told(one, write_scenarios([one], start, root)[one]))
        sys.stdout.flush()
