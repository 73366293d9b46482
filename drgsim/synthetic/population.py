"""A population to generate: who is admitted, for what, and to which hospitals.

`Population` is a frozen value read from a TOML file that gives the source of every figure; four are shipped. The
facts that all of them share (national DRG volumes, common codes, prevalence of conditions) are in the table
folder under `population/`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Generic, TypeVar

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from drgsim.exceptions import InputError, did_you_mean
from drgsim.files.bounded import MOST_SETTINGS, parse_toml, read_whole
from drgsim.numerics.arrays import FloatArray
from drgsim.tables.manifest import read_manifest, read_verified, table_folder
from drgsim.tables.national_facts import read_facts
from drgsim.tables.table_set import TableSet

_FOLDER = "population/"
_DRG_FACTS = ("relative_weight", "gmlos_days", "amlos_days", "is_postacute_transfer")

Value = TypeVar("Value")
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Figure(_Frozen, Generic[Value]):
    """One figure of a population, with its unit and its source.

    The source of an assumption says that it is one.

    >>> Population.load("medicare_ffs").female_share.value
    0.524
    """

    value: Value
    unit: str
    source: Annotated[str, Field(min_length=10)]


class AgeBand(_Frozen):
    """Patients from `first` to `last` years old; every age within the band is equally likely.

    >>> AgeBand(first=65, last=74, share=0.3).last
    74
    """

    first: Annotated[int, Field(ge=0, le=120)]
    last: Annotated[int, Field(ge=0, le=120)]
    share: Share


class Population(_Frozen):
    """The figures of a population; the shipped TOML files explain each.

    >>> Population.load("medicare_ffs").title
    'Medicare fee-for-service, short-stay hospitals'
    """

    title: str
    hospitals: Figure[Annotated[int, Field(ge=1, le=100_000)]]
    teaching_share: Figure[Share]
    large_share: Figure[Share]
    rural_share: Figure[Share]
    hospital_spread: Figure[Positive]
    discharge_shares: Figure[dict[str, Share]]
    mdc_ratio: Figure[dict[str, Annotated[float, Field(ge=0)]]]
    drg_discharges: Figure[dict[str, Annotated[float, Field(ge=0)]]]
    complexity_tilt: Figure[float]
    case_mix_index: Figure[Annotated[float, Field(ge=0)]]
    age_bands: Figure[list[AgeBand]]
    female_share: Figure[Share]
    death_share: Figure[Share]
    postacute_share: Figure[Share]
    postacute_split: Figure[dict[str, Share]]
    other_discharges: Figure[dict[str, Share]]
    emergency_share: Figure[Share]
    chronic_ratio: Figure[Positive]
    acute_ratio: Figure[Positive]
    burden_shape: Figure[Positive]
    acuity_shape: Figure[Positive]
    listed_pdx_share: Figure[Share]
    most_sdx: Figure[Annotated[int, Field(ge=1, le=24)]]
    los_burden_correlation: Figure[Annotated[float, Field(gt=-1, lt=1)]]
    mean_covered_charges_usd: Figure[Positive]
    cost_los_elasticity: Figure[float]
    cost_log_sd: Figure[Positive]
    cost_tail_share: Figure[Share]
    cost_tail_ratio: Figure[Positive]

    @model_validator(mode="after")
    def _check_shares(self) -> Population:
        for name, total in (
            ("age_bands", sum(band.share for band in self.age_bands.value)),
            ("postacute_split", sum(self.postacute_split.value.values())),
        ):
            if abs(total - 1) > 1e-6:
                raise ValueError(f"{name}: shares add up to {total:.6f}, expected 1")
        if any(band.last < band.first for band in self.age_bands.value):
            raise ValueError("age_bands: a band ends before it begins")
        return self

    def __hash__(self) -> int:
        """Equal populations are one key of a cache."""
        return hash(self.model_dump_json())

    @classmethod
    def load(cls, name: str | os.PathLike[str], *, folder: str | os.PathLike[str] | None = None) -> Population:
        """Return a shipped population by name, or another one by the path of its TOML file.

        Args:
            name: such as "medicare_ffs" (`populations()` lists them), or a path that ends in .toml.
            folder: a table folder; by default the shipped one.

        Raises:
            InputError: there is no such population, or figures are missing or out of range; the message
                names each of them.

        >>> Population.load("teaching_hospital").title
        'Medicare patients of one academic medical centre'
        """
        path = Path(name)
        if path.suffix == ".toml":
            content = read_whole(path, MOST_SETTINGS, InputError)
        else:
            root, known = table_folder(folder), populations(folder=folder)
            if str(name) not in known:
                hint = did_you_mean(str(name), known) or f" Known: {', '.join(known)}."
                raise InputError(f"no population {str(name)!r}.{hint} Or pass the path of a TOML file.")
            content = read_verified(root, f"{_FOLDER}{name}.toml")
        try:
            return cls(**parse_toml(content, name, InputError))
        except ValidationError as error:
            found = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'population'}: {e['msg']}" for e in error.errors())
            raise InputError(f"{name}: {error.error_count()} figures cannot be used: {found}") from error


def populations(*, folder: str | os.PathLike[str] | None = None) -> tuple[str, ...]:
    """Return the names of the shipped populations.

    >>> populations()
    ('all_payer_adult', 'community_hospital', 'medicare_ffs', 'teaching_hospital')
    """
    files = read_manifest(table_folder(folder))["files"]
    return tuple(sorted(Path(name).stem for name in files if name.startswith(_FOLDER) and name.endswith(".toml")))


def volumes(tables: TableSet, population: Population, *, tilted: bool = True) -> pl.DataFrame:
    """Return the DRG mix of a population in a grouper version.

    The mix starts from national volumes. The discharges of a DRG that the version does not have go to the DRGs
    to which they group in the version (`bridges.csv`); a DRG without a published volume keeps a small assumed
    volume. Then the population's own figures apply: ratios by MDC, volumes of single DRGs, and a preference for
    DRGs that few hospitals report. Last, the mix changes as little as possible (in relative entropy) to reach the
    population's case-mix index.

    Args:
        tables: the grouper version.
        population: the population.
        tilted: False leaves out the last step, so that the case-mix index is that of the volumes.

    Returns:
        One row for each DRG that the version's formulas reach: `drg`, `mdc`, `drg_type`, `share` (sums to 1),
        `reach` (share of hospitals that report the DRG, 0 to 1), `relative_weight`, `gmlos_days`, `amlos_days`,
        `is_postacute_transfer`; sorted by DRG, no nulls.

    >>> from drgsim.tables.table_set import TableSet
    >>> mix = volumes(TableSet.load("43.1"), Population.load("medicare_ffs"))
    >>> mix.sort("share", descending=True)["drg"][0], round(mix["share"].sum(), 9)
    (871, 1.0)
    """
    mix = _count_discharges(tables)
    ratio = {int(mdc): value for mdc, value in population.mdc_ratio.value.items()}
    own = {int(drg): value for drg, value in population.drg_discharges.value.items()}
    scaled = pl.col("discharges") * pl.col("mdc").replace_strict(ratio, default=1.0, return_dtype=pl.Float64)
    scaled = pl.coalesce(pl.col("drg").replace_strict(own, default=None, return_dtype=pl.Float64), scaled)
    scaled = scaled * pl.col("reach") ** -population.complexity_tilt.value
    mix = mix.with_columns(share=scaled / scaled.sum())
    wanted = population.case_mix_index.value
    if tilted and wanted > 0:
        share = _tilt_shares(mix["share"].to_numpy(), mix["relative_weight"].to_numpy(), wanted)
        mix = mix.with_columns(share=pl.Series(share))
    return mix.select("drg", "mdc", "drg_type", "share", "reach", *_DRG_FACTS).sort("drg")


def _count_discharges(tables: TableSet) -> pl.DataFrame:
    """Return national discharges, reach and facts of every DRG of the version's formulas."""
    known = read_facts("drgs", tables.folder)
    bridges = read_facts("bridges", tables.folder).filter(pl.col("version") == tables.version)
    present = (
        tables.formulas.filter(pl.col("drg") > 0)
        .select("drg", "mdc", pl.col("type").alias("drg_type"))
        .unique("drg", keep="first", maintain_order=True)
    )
    moved = (
        bridges.join(known, left_on="from_drg", right_on="drg")
        .with_columns(pl.col("discharges", "hospital_cells") * pl.col("share"))
        .group_by(pl.col("to_drg").alias("drg"))
        .agg(
            pl.col("discharges", "hospital_cells").sum().name.suffix("_moved"),
            (pl.col(*_DRG_FACTS) * pl.col("discharges")).sum() / pl.col("discharges").sum(),
        )
    )
    # Null: nothing moved to the DRG, or no volume is published for it.
    arrived = pl.col("discharges_moved").fill_null(0.0)
    is_replaced = (pl.col("basis") == "RESTORED") & (arrived > 0)
    discharges = pl.when(is_replaced).then(0.0).otherwise("discharges").fill_null(0.0) + arrived
    cells = pl.col("hospital_cells").fill_null(0.0) + pl.col("hospital_cells_moved").fill_null(0.0)
    return (
        present.join(known, on="drg", how="left")
        .join(moved, on="drg", how="left", suffix="_inherited")
        .with_columns(
            *(pl.coalesce(name, f"{name}_inherited").fill_null(pl.col(name).median()) for name in _DRG_FACTS),
            discharges=discharges.clip(lower_bound=1.0),
            reach=(cells / cells.max()).clip(0.02, 1.0),
        )
        .filter(pl.col("drg_type") != "NONE")
    )


def _tilt_shares(share: FloatArray, weight: FloatArray, wanted: float) -> FloatArray:
    """Return shares proportional to share * exp(t * weight), with `wanted` as the mean weight.

    Of all mixes with that mean weight they are the nearest in relative entropy (Csiszár, 1975).
    """
    low, high = -2.0, 0.3
    for _ in range(60):
        middle = (low + high) / 2
        found = share * np.exp(middle * (weight - wanted))
        found /= found.sum()
        low, high = (middle, high) if found @ weight < wanted else (low, middle)
    return found
