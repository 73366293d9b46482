"""A generated population compared with published figures: `validity`."""

from __future__ import annotations

import os
from collections.abc import Iterator

import polars as pl

from drgsim.editing.code_editor import edit
from drgsim.files.foreign_frames import accept_frames
from drgsim.grouping.grouper import group
from drgsim.pricing.pricer import price
from drgsim.rates.payment_rates import Rates
from drgsim.schema import ADMISSIONS, check_frame
from drgsim.synthetic.population import Population, volumes
from drgsim.tables.national_facts import read_facts
from drgsim.tables.table_set import TableSet

_NEEDS = ("sdx_poa", "los_days", "covered_charges_usd")
_LARGEST = 200
_DIED = 20
_LARGE_BEDS = 500
_AGED = 65
_MIX = "CMS discharges by MS-DRG CY2023, bridged to the version, and the population's changes to them"
_TABLE5 = "IPPS Table 5"
_NONE = "no published table at hand"
_PROGRAM_PAYMENT_USD = 15_322.0
_PROGRAM = "CMS Program Statistics 2021, program payment per discharge (after deductibles, 2021 prices)"
_OUTLIER_TARGET = 0.051
_OUTLIER = "42 CFR 412.80: thresholds are set for 5.1 % of operating payments (recalled)"
_PARTS = {
    # AHRQ gives kinds of hypertension with heart or kidney disease separate names.
    "HTNWCHF": ("HTNCX", "CHF"),
    "HTNWOCHF": ("HTNCX",),
    "HRENWRF": ("HTNCX", "RENLFAIL"),
    "HRENWORF": ("HTNCX",),
    "HHRWCHF": ("HTNCX", "CHF"),
    "HHRWRF": ("HTNCX", "RENLFAIL"),
    "HHRWHRF": ("HTNCX", "CHF", "RENLFAIL"),
    "HHRWOHRF": ("HTNCX",),
    "HTNPREG": ("HTNCX",),
    "OHTNPREG": ("HTNCX",),
    "NONE": (),
}
_SHORTEST, _LONGEST = 3, 7

Row = tuple[str, str, float | None, float | None, str]


@accept_frames
def validity(
    admissions: pl.DataFrame,
    tables: TableSet,
    population: Population | str | os.PathLike[str] = "medicare_ffs",
    *,
    hospitals: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Compare generated admissions with published figures, one row for each measure.

    Args:
        admissions: (n,) `schema.ADMISSIONS` with POA, length of stay and charges.
        tables: the version with which they were generated; they are grouped again here.
        population: the population from which they were generated.
        hospitals: those of `generate`. With them, the admissions are priced by the version's fiscal year, and
            rows on hospitals, payments and cost outliers follow the others.

    Returns:
        `subject`, `measure`, `generated`, `target` (null where nothing is published), `source` of the target.
        Shares are from 0 to 1; the measure names days and USD. An Elixhauser share is the share of stays with a
        secondary code of the group.

    Raises:
        SchemaError: a column is missing.
        MissingRateError: hospitals are given and the fiscal year has no rates.

    >>> from drgsim.synthetic.generator import generate
    >>> tables = TableSet.load("43.1")
    >>> table = validity(generate(2_000, seed=1, tables=tables)[1], tables)
    >>> table.filter(pl.col("measure") == "grouped with return code OK")["generated"].item()
    1.0
    """
    chosen = population if isinstance(population, Population) else Population.load(population, folder=tables.folder)
    frame = group(check_frame(admissions, ADMISSIONS, needs=_NEEDS), tables)
    mix = volumes(tables, chosen, tilted=False)
    rows: list[Row] = [
        *_compare_case_mix(frame, mix, chosen),
        *_compare_patients(frame, chosen),
        *_compare_stays(frame, mix, chosen),
        *_describe_claim_edits(frame, tables),
        *_describe_secondary_codes(frame, tables),
        *_describe_elixhauser(frame, tables),
        *(_compare_hospitals(frame, hospitals, chosen) if hospitals is not None else ()),
        *(_compare_payments(frame, hospitals, tables) if hospitals is not None else ()),
    ]
    return pl.DataFrame(rows, schema=["subject", "measure", "generated", "target", "source"], orient="row")


def _compare_case_mix(frame: pl.DataFrame, mix: pl.DataFrame, population: Population) -> Iterator[Row]:
    found = mix.join(frame.group_by("drg").len(), on="drg", how="left")
    share = found["len"].fill_null(0) / len(frame)
    yield "case mix", "grouped with return code OK", _share(frame, pl.col("return_code") == "OK"), 1.0, ""
    yield "case mix", "total variation of the DRG mix", 0.5 * _total((share - mix["share"]).abs()), 0.0, _MIX
    published, of_mix = population.case_mix_index, _total(mix["share"] * mix["relative_weight"])
    index = _total(share * mix["relative_weight"])
    yield "case mix", "case-mix index", index, published.value or of_mix, published.source
    yield "case mix", "case-mix index against that of the bridged volumes", index, of_mix, f"{_MIX}; {_TABLE5}"
    surgical = mix["drg_type"] == "SURGICAL"
    yield "case mix", "surgical share", _total(share * surgical), _total(mix["share"] * surgical), _MIX
    yield "case mix", "DRGs that occur", float((share > 0).sum()), float(len(mix)), _MIX
    for level in ("MCC", "CC", "NONE"):
        yield (
            "case mix",
            f"severity of the deciding row {level}",
            _share(frame, pl.col("severity") == level),
            None,
            _NONE,
        )


def _compare_patients(frame: pl.DataFrame, population: Population) -> Iterator[Row]:
    bands, source = population.age_bands.value, population.age_bands.source
    mean = sum(band.share * (band.first + band.last) / 2 for band in bands)
    yield "patients", "mean age [years]", _mean(frame["age"]), mean, source
    young = sum(band.share for band in bands if band.last < _AGED)
    yield "patients", f"under {_AGED}", _share(frame, pl.col("age") < _AGED), young, source
    for band in bands:
        within = _share(frame, pl.col("age").is_between(band.first, band.last))
        yield "patients", f"age {band.first} to {band.last}", within, band.share, source
    female = population.female_share
    yield "patients", "female", _share(frame, pl.col("sex") == "F"), female.value, female.source


def _compare_stays(frame: pl.DataFrame, mix: pl.DataFrame, population: Population) -> Iterator[Row]:
    dead, after = population.death_share, population.postacute_share
    kinds = [int(kind) for kind in population.postacute_split.value]
    is_after = pl.col("discharge_status").is_in(kinds)
    yield "stays", "died", _share(frame, pl.col("discharge_status") == _DIED), dead.value, dead.source
    yield "stays", "discharged to post-acute care", _share(frame, is_after), after.value, after.source
    expected = _total(mix["share"] * mix["amlos_days"])
    yield "stays", "mean length of stay [days]", _mean(frame["los_days"]), expected, f"{_MIX}; {_TABLE5} AMLOS"
    yield (
        "stays",
        "mean length of stay to post-acute care [days]",
        _mean(frame.filter(is_after)["los_days"]),
        None,
        _NONE,
    )
    largest = mix.sort("share", descending=True).head(_LARGEST)
    by_drg = largest.join(frame.group_by("drg").agg(pl.col("los_days").mean()), on="drg", how="left")
    off = (by_drg["los_days"] / by_drg["amlos_days"] - 1).abs()
    close = _number((off <= 0.10).mean())
    yield "stays", f"of the {_LARGEST} largest DRGs, mean stay within 10 % of AMLOS", close, 1.0, _TABLE5
    yield "stays", f"of the {_LARGEST} largest DRGs, largest deviation from AMLOS", _number(off.max()), 0.0, _TABLE5
    charges = population.mean_covered_charges_usd
    yield "stays", "mean covered charges [USD]", _mean(frame["covered_charges_usd"]), charges.value, charges.source


def _describe_claim_edits(frame: pl.DataFrame, tables: TableSet) -> Iterator[Row]:
    """Describe how many claims CMS's editor would pass; it needs the discharge dates."""
    if "discharge_date" in frame.columns:
        edited = edit(frame, folder=tables.folder)
        yield "claim edits", "without any claim edit", _share(edited, pl.col("edits").list.len() == 0), None, _NONE


def _describe_secondary_codes(frame: pl.DataFrame, tables: TableSet) -> Iterator[Row]:
    count = frame["sdx"].list.len()
    yield "secondary codes", "mean number", _mean(count), None, _NONE
    for quantile in (0.1, 0.25, 0.5, 0.75, 0.9):
        yield "secondary codes", f"number, quantile {quantile:g}", _number(count.quantile(quantile)), None, _NONE
    severity = tables.diagnoses.select("code", level="severity")
    codes = (
        frame.with_row_index("row")
        .select("row", pl.col("severity"), "sdx", "sdx_poa")
        .explode("sdx", "sdx_poa", empty_as_null=False)
        .join(severity, left_on="sdx", right_on="code", how="left")
    )
    for level in ("MCC", "CC"):
        decided = frame.with_row_index("row").filter(pl.col("severity") == level).select("row")
        counted = decided.join(codes.filter(pl.col("level") == level).group_by("row").len(), on="row", how="left")[
            "len"
        ].fill_null(0)
        single = _number((counted == 1).mean())
        yield "secondary codes", f"of stays at level {level}, with a single {level} code", single, None, _NONE
    for letter in ("Y", "N", "1"):
        yield "secondary codes", f"POA {letter}", _share(codes, pl.col("sdx_poa") == letter), None, _NONE


def _describe_elixhauser(frame: pl.DataFrame, tables: TableSet) -> Iterator[Row]:
    listed = read_facts("elixhauser", tables.folder)
    known = pl.DataFrame({"code": frame["sdx"].explode(empty_as_null=False).unique()})
    found = known.with_columns(groups=pl.lit(None, pl.String))
    for length in range(_SHORTEST, _LONGEST + 1):  # codes newer than the list: their parent's group
        parents = listed.rename({"code": "parent", "groups": "newer"})
        found = (
            found.with_columns(parent=pl.col("code").str.slice(0, length))
            .join(parents, on="parent", how="left")
            .select("code", groups=pl.coalesce("newer", "groups"))
        )
    parts = found.drop_nulls().with_columns(
        group=pl.col("groups").map_elements(
            lambda name: list(_PARTS.get(name, (name,))), return_dtype=pl.List(pl.String)
        )
    )
    pairs = (
        frame.with_row_index("row")
        .select("row", "sdx")
        .explode("sdx", empty_as_null=False)
        .join(parts.select("code", "group").explode("group", empty_as_null=False), left_on="sdx", right_on="code")
        .unique(["row", "group"])
    )
    for name, count in pairs.group_by("group").len().sort("group").rows():
        yield "Elixhauser group", str(name), count / len(frame), None, _NONE


def _compare_hospitals(frame: pl.DataFrame, hospitals: pl.DataFrame, population: Population) -> Iterator[Row]:
    placed = frame.select("hospital_id").join(hospitals, on="hospital_id", how="left")
    kinds = {
        "large": ("hospitals of 500 beds or more", pl.col("beds") >= _LARGE_BEDS),
        "teaching": ("teaching hospitals", pl.col("resident_to_bed_ratio") > 0),
        "rural": ("rural hospitals", pl.col("cbsa_size") == "R"),
    }
    known = population.discharge_shares
    for kind, (title, condition) in kinds.items():
        yield "hospitals", f"share of stays in {title}", _share(placed, condition), known.value.get(kind), known.source


def _compare_payments(frame: pl.DataFrame, hospitals: pl.DataFrame, tables: TableSet) -> Iterator[Row]:
    paid = price(frame, hospitals, Rates.load(tables.fiscal_year, folder=tables.folder))
    outlier = pl.col("operating_outlier_usd") + pl.col("capital_outlier_usd")
    yield "payment", "mean payment [USD]", _mean(paid["total_usd"]), _PROGRAM_PAYMENT_USD, _PROGRAM
    yield "payment", "share of stays that are cost outliers", _share(paid, outlier > 0), None, _NONE
    part = paid.select(outlier.sum() / pl.col("total_usd").sum()).item()
    yield "payment", "share of payments that are for cost outliers", _number(part), _OUTLIER_TARGET, _OUTLIER


def _share(frame: pl.DataFrame, condition: pl.Expr) -> float:
    return _number(frame.select(condition.mean()).item())


def _mean(values: pl.Series) -> float:
    return _number(values.mean())


def _total(values: pl.Series) -> float:
    return _number(values.sum())


def _number(value: object) -> float:
    """Return a float, NaN for the null that Polars gives where there are no rows."""
    return float(value) if isinstance(value, int | float) else float("nan")
