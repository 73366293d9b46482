"""Provider inputs: completed and validated.

A hospital needs an id, an operating cost-to-charge ratio and a wage index (or the CBSA from which it follows). All
other columns have the defaults that `drgsim.schema.HOSPITALS` describes. The table folder has two hospitals of CMS's
Impact File as an example: `example_hospitals()`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

import polars as pl

from drgsim.display import show_value
from drgsim.exceptions import InputError, MissingRateError, SchemaError
from drgsim.files.foreign_frames import accept_frames
from drgsim.numerics.fixed_point import is_finite_number, round_digits, to_fixed_point
from drgsim.pricing.hospital_factors import capital_dsh, operating_dsh
from drgsim.rates.payment_rates import Rates
from drgsim.schema import HOSPITALS, check_frame
from drgsim.tables.manifest import read_table, table_folder

_DEFAULTS: Mapping[str, float | str | bool] = {
    "operating_ccr": 0.0,
    "beds": 0,
    "resident_to_bed_ratio": 0.0,
    "capital_ccr": 0.0,
    "ssi_ratio": 0.0,
    "medicaid_ratio": 0.0,
    "cbsa_size": "O",
    "provider_type": "00",
    "cola": 1.0,
    "quality_reported": True,
    "ehr_reduction": False,
    "hac_reduction": False,
    "uncompensated_care_usd": 0.0,
    "low_volume_factor": 0.0,
    "hospital_specific_rate_usd": 0.0,
    "new_capital_hospital": False,
    "waiver": False,
    "reclassified": False,
    "pass_through_usd": 0.0,
    "organ_acquisition_usd": 0.0,
    "direct_education_usd": 0.0,
    "capital_pay_code": "C",
}

_RANGES: Mapping[str, tuple[float, float]] = {
    "wage_index": (0.0001, 9.9999),
    "operating_ccr": (0.0, 9.999),
    "capital_ccr": (0.0, 9.999),
    "beds": (0, 99_999),
    "resident_to_bed_ratio": (0.0, 9.9999),
    "capital_ime_ratio": (0.0, 9.9999),
    "ssi_ratio": (0.0, 1.0),
    "medicaid_ratio": (0.0, 1.0),
    "cola": (0.5, 9.999),
    "vbp_factor": (0.0, 2.0),
    "hrr_factor": (0.0, 1.0),
    "prior_wage_index": (0.0001, 9.9999),
    "uncompensated_care_usd": (0.0, 9_999_999.99),
    "hospital_specific_rate_usd": (0.0, 99_999.99),
    "pass_through_usd": (0.0, 9_999.99),
    "organ_acquisition_usd": (0.0, 9_999.99),
    "direct_education_usd": (0.0, 9_999.99),
}

_ENTRIES: Mapping[str, tuple[str, tuple[float, float]]] = {
    "vbp_factor": ("vbp_participant", (0.0, 9.99999999999)),
    "hrr_factor": ("hrr_participant", (0.0, 9.9999)),
    "low_volume_factor": ("low_volume_indicator", (0.0, 9.999999)),
}
"""Factors beside an entry of the provider file, with the range that the file can hold: where the entry is given, the
factor is judged as CMS's program judges it, by a return code or by paying nothing."""

_INDIAN_HEALTH_TYPE = "08"
_INDIAN_HEALTH_AREAS = ("98", "99")
"""Areas of the Indian Health Service: Alaska, and the other states."""
_ALASKA = "02"

_HIGHEST_WAGE_INDEX = 10

_IMPACT_FILE = (
    "hospital_id",
    "wage_index",
    "beds",
    "cbsa_size",
    "geographic_urban",
    "provider_type",
    "resident_to_bed_ratio",
    "capital_ime_ratio",
    "medicaid_ratio",
    "operating_ccr",
    "capital_ccr",
    "cola",
    "uncompensated_care_usd",
    "vbp_factor",
    "hrr_factor",
    "hospital_specific_rate_usd",
    "low_volume_factor",
)
"""Columns of the example, which are those of the Impact File."""


def example_hospitals(folder: str | os.PathLike[str] | None = None) -> pl.DataFrame:
    """Return two real hospitals of the FY2027 Impact File. (2,) HOSPITALS.

    Source: CMS IPPS FY2027 final rule, Impact File, which has only the sum of SSI and Medicaid ratio.

    >>> example_hospitals()["hospital_id"].to_list()
    ['010001', '020001']
    """
    columns: dict[str, pl.DataType] = {name: HOSPITALS[name].dtype for name in _IMPACT_FILE}
    return read_table(table_folder(folder), "examples/hospitals_fy2027.csv", columns)


@accept_frames
def complete_hospitals(hospitals: pl.DataFrame, rates: Rates) -> pl.DataFrame:
    """Return hospitals with every column of HOSPITALS: defaults filled in, values checked.

    A cost of living applies in `operating.cola_states` only; elsewhere `cola` has no effect.

    Args:
        hospitals: (h,) HOSPITALS.
        rates: for the wage index by CBSA and the limits; see `fill_wage_index` for the order of its rules.

    Returns:
        (h,) all HOSPITALS columns; null only in `cbsa`, `county`, `vbp_factor`, `hrr_factor`, `prior_wage_index`,
        the entries of the provider file, the two dates, and in `wage_index` where it is not known.

    Raises:
        SchemaError: a column is missing or of the wrong type, or a value is out of range; the message
            names row and column.
        MissingRateError: a hospital has a CBSA and no wage index, and the fiscal year has no wage index table.

    >>> known = pl.DataFrame({"hospital_id": ["A"], "cbsa": ["01"], "operating_ccr": [0.3]})
    >>> complete_hospitals(known, Rates.load(2026))["wage_index"].item()
    0.7393
    """
    frame = check_frame(hospitals, HOSPITALS)
    absent = [c for c in HOSPITALS.columns if c.name not in frame.columns]
    frame = frame.with_columns(pl.lit(None, c.dtype).alias(c.name) for c in absent)
    frame = fill_wage_index(frame, rates)
    ccn = pl.col("hospital_id").str.extract(r"^(\d\d)[0-9A-Z]{4}$")
    frame = frame.with_columns(
        *(pl.col(name).fill_null(value) for name, value in _DEFAULTS.items()),
        pl.col("capital_ime_ratio").fill_null(pl.col("resident_to_bed_ratio").fill_null(0.0)),
        pl.col("ccn_state").fill_null(ccn).fill_null("00"),
    ).with_columns(
        pl.col("provider_type").str.zfill(2),
        pl.col("ccn_state").str.zfill(2),
        pl.col("geographic_urban").fill_null(pl.col("cbsa_size") != "R"),
    )
    _check_ranges(frame, rates)
    return frame.select(HOSPITALS.names)


def fill_wage_index(frame: pl.DataFrame, rates: Rates) -> pl.DataFrame:
    """Return hospitals with the wage index of their area where they have none. (h,).

    A given wage index is that as paid and does not change. In order: the index of the area (reclassified where
    `reclassified`), the rural floor and the imputed floor of the state of the CCN, the addition for out-migration by
    `county` (not for reclassified hospitals), the increase of low indexes (FY2020 to FY2024), the limit of the
    decrease from `prior_wage_index` (since FY2020), and the index of the Indian Health Service for its hospitals
    (type 08). An area that is not in the table gives no index.

    Args:
        frame: (h,) all columns of HOSPITALS, not yet completed.
        rates: with the wage index by area.

    Raises:
        MissingRateError: a hospital has an area and no wage index, and the fiscal year has no wage index table.
    """
    needed = pl.col("wage_index").is_null() & pl.col("cbsa").is_not_null()
    without = frame.filter(needed).height
    if not without:
        return frame
    if rates.wage_index is None:
        raise MissingRateError(
            f"{without} hospitals have a CBSA and no wage index, and there is no wage index table for "
            f"fiscal year {rates.fiscal_year}. Give hospitals a wage_index column."
        )
    state = pl.col("ccn_state").fill_null(pl.col("hospital_id").str.extract(r"^(\d\d)[0-9A-Z]{4}$")).fill_null("00")
    is_moved = pl.col("reclassified").fill_null(value=False)
    area = rates.wage_index.select("cbsa", _located="wage_index", _reclassified="reclassified_wage_index")
    floors = rates.wage_index.select(_state="cbsa", _rural="rural_floor", _imputed="imputed_floor")
    indexed = (
        frame.with_columns(_state=state.str.zfill(2))
        .join(area, on="cbsa", how="left", maintain_order="left")
        .join(floors, on="_state", how="left", maintain_order="left")
        .with_columns(_index=pl.when(is_moved).then("_reclassified").otherwise("_located"))
        .with_columns(_index=_raise_to("_index", pl.max_horizontal("_rural", "_imputed")))
    )
    if rates.outmigration is not None and rates["adjustments.adds_outmigration"]:
        indexed = indexed.join(rates.outmigration, on="county", how="left", maintain_order="left").with_columns(
            _index=pl.when(is_moved).then("_index").otherwise(pl.col("_index") + pl.col("adjustment").fill_null(0.0))
        )
    indexed = indexed.with_columns(_index=_apply_boost_and_limit(indexed, rates))
    by_area = dict(rates.wage_index.select("cbsa", "wage_index").iter_rows())
    alaska, other = (by_area.get(code) for code in _INDIAN_HEALTH_AREAS)
    of_service = pl.when(pl.col("_state") == _ALASKA).then(pl.lit(alaska)).otherwise(pl.lit(other))
    is_indian = pl.col("provider_type").str.zfill(2) == _INDIAN_HEALTH_TYPE
    index = pl.when(is_indian & of_service.is_not_null()).then(of_service).otherwise("_index")
    filled = indexed.with_columns(wage_index=pl.when(needed).then(index).otherwise("wage_index"))
    return filled.select(frame.columns)


def limit_wage_index_fall(wage_index: float, prior: float, rates: Rates) -> float:
    """Return the wage index after the limit on its yearly decrease. Source: 42 CFR 412.64(h)(7).

    Args:
        wage_index: of this year, after the floors [1].
        prior: of the year before, as paid [1].
        rates: of this year.

    Raises:
        InputError: a wage index is not a number above 0 and below 10.

    >>> limit_wage_index_fall(0.80, 0.90, Rates.load(2026))
    0.855
    """
    if not all(is_finite_number(value) and 0 < value < _HIGHEST_WAGE_INDEX for value in (prior, wage_index)):
        found = f"{show_value(wage_index)} and {show_value(prior)}"
        raise InputError(f"wage indexes must be positive and below {_HIGHEST_WAGE_INDEX}, found {found}.")
    share = to_fixed_point([rates.number("adjustments.wage_index_lowest_drop")], 4)
    lowest = round_digits(to_fixed_point([prior], 4) * share, 4)
    return max(round(wage_index, 4), int(lowest[0]) / 10**4)


def derive_impact_factors(hospitals: pl.DataFrame, rates: Rates) -> pl.DataFrame:
    """Return the hospital factors of CMS's Impact File, not rounded. (h,).

    Columns: `hospital_id`, `ime_factor`, `dsh_factor` (the share that is paid), `capital_ime_factor`,
    `capital_dsh_factor`, `gaf` (capital cost of living included), all [1] of the federal payments.

    >>> derive_impact_factors(example_hospitals(), Rates.load(2027))["ime_factor"].round(5).to_list()
    [0.08384, 0.02943]
    """
    frame = complete_hospitals(hospitals, rates)
    number = rates.number
    in_cola = pl.col("ccn_state").is_in(list(rates.listed("operating.cola_states")))
    cola = pl.when(in_cola).then(pl.col("cola")).otherwise(1.0)
    percentage = (pl.col("ssi_ratio") + pl.col("medicaid_ratio")).round(6)
    low, high = (
        (
            number(f"operating.{name}.from"),
            number(f"operating.{name}.slope"),
            number(f"operating.{name}.base"),
        )
        for name in ("dsh_low", "dsh_high")
    )
    formula = (
        pl.when(percentage >= high[0])
        .then((percentage - high[0]) * high[1] + high[2])
        .when(percentage >= low[0])
        .then((percentage - low[0]) * low[1] + low[2])
        .otherwise(0.0)
    )
    ratio4 = to_fixed_point(frame["ssi_ratio"].to_numpy(), 4) + to_fixed_point(frame["medicaid_ratio"].to_numpy(), 4)
    capped = pl.Series(operating_dsh(frame, ratio4, rates) / 10**4)
    has_capital_dsh = pl.Series(capital_dsh(frame, ratio4, rates) > 0)
    residents = pl.min_horizontal("capital_ime_ratio", pl.lit(number("capital.ime_ratio_cap")))
    capital_cola = (number("capital.cola_share") * (cola - 1.0) + 1.0).round(3)
    return frame.select(
        "hospital_id",
        ime_factor=number("operating.ime_multiplier")
        * ((1.0 + pl.col("resident_to_bed_ratio")) ** number("operating.ime_exponent") - 1.0),
        # The factor is capped where its rounded value is below the formula.
        dsh_factor=number("operating.dsh_empirical_share")
        * pl.when(capped < formula - 0.0001).then(capped).otherwise(formula),
        capital_ime_factor=(residents * number("capital.ime_slope")).exp() - 1.0,
        capital_dsh_factor=pl.when(has_capital_dsh)
        .then((percentage * number("capital.dsh_slope")).exp() - 1.0)
        .otherwise(0.0),
        gaf=pl.col("wage_index") ** number("capital.gaf_exponent") * capital_cola,
    )


# ---------------------------------------------------------------------------------------------------------


def _raise_to(name: str, floor: pl.Expr) -> pl.Expr:
    """Return a column raised to a floor; null stays null, and a null floor is none."""
    return pl.when(pl.col(name).is_null()).then(None).otherwise(pl.max_horizontal(pl.col(name), floor))


def _apply_boost_and_limit(frame: pl.DataFrame, rates: Rates) -> pl.Series:
    """Return `_index` after the increase of low indexes and the limit of the decrease. (h,)."""
    index4 = to_fixed_point(frame["_index"].fill_null(0.0).to_numpy(), 4)
    if "adjustments.wage_index_quartile" in rates.values:
        quartile4 = rates.fixed_point("adjustments.wage_index_quartile", 4)
        index4[index4 < quartile4] = round_digits(5 * (index4[index4 < quartile4] + quartile4), 1)
    prior = frame["prior_wage_index"]
    if rates["adjustments.limits_wage_index_fall"] and prior.is_not_null().any():
        share4 = rates.fixed_point("adjustments.wage_index_lowest_drop", 4)
        lowest4 = round_digits(to_fixed_point(prior.fill_null(0.0).fill_nan(0.0).to_numpy(), 4) * share4, 4)
        index4 = index4.clip(min=lowest4)
    known = frame["_index"].is_not_null()
    return pl.Series("_index", index4 / 10**4).set(~known, None)


def _check_ranges(frame: pl.DataFrame, rates: Rates) -> None:
    ranges = {**_RANGES, "low_volume_factor": (0.0, rates.number("adjustments.low_volume_highest"))}
    for name, (low, high) in ranges.items():
        values = frame[name]
        if name in _ENTRIES:
            entry, (lowest, highest) = _ENTRIES[name]
            given = frame[entry].is_not_null()
            held = (values.is_between(lowest, highest) & values.is_not_nan()).fill_null(value=True)
            _refuse_first(frame, name, given & ~held, f"expected {lowest:g} to {highest:g}, as the provider file")
            values = values.set(given, None)
        # Null is allowed where the default of a column is null; NaN is not in any range.
        wrong = values.is_not_null() & ~values.is_between(low, high)
        if values.dtype == pl.Float64:
            wrong = wrong | (values.is_not_null() & values.is_nan())
        _refuse_first(frame, name, wrong, f"expected {low:g} to {high:g} [{HOSPITALS[name].unit}]")
    for name in ("provider_type", "ccn_state"):
        _refuse_first(frame, name, ~frame[name].str.contains("^[0-9]{2}$"), "expected two digits")
    _refuse_first(frame, "cbsa_size", ~frame["cbsa_size"].is_in(["L", "O", "R"]), "expected L, O or R")
    _refuse_first(
        frame,
        "pass_through_usd",
        frame["pass_through_usd"] < (frame["organ_acquisition_usd"] + frame["direct_education_usd"] - 0.001),
        "less than organ_acquisition_usd and direct_education_usd, which are part of it",
    )
    twice = frame["hospital_id"].is_duplicated() | frame["hospital_id"].is_null()
    _refuse_first(frame, "hospital_id", twice, "null, or more than once")


def _refuse_first(frame: pl.DataFrame, name: str, wrong: pl.Series, expected: str) -> None:
    if wrong.any():
        row = int(wrong.arg_max() or 0)
        more = f" ({wrong.sum() - 1} more rows)" if wrong.sum() > 1 else ""
        raise SchemaError(
            f"hospitals, row {row}: {name} is {frame[name][row]!r}, {expected}{more}. See drgsim.schema.HOSPITALS."
        )
