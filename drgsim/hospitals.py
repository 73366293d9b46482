"""Provider inputs: completed, validated, and turned into the factors every stay of a hospital shares.

A hospital needs an id, an operating cost-to-charge ratio and a wage index (or a CBSA to look it up by);
everything else has the default `drgsim.schema.HOSPITALS` states. Two hospitals of CMS's Impact File stand
in the table folder as an example: `example_hospitals()`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
import polars as pl

from drgsim.errors import InputError, MissingRateError, SchemaError
from drgsim.exact import Bools, Ints, exponential, power, product, quotient, rounded, scaled
from drgsim.manifest import read_table, table_folder
from drgsim.rates import QUALITY, Rates
from drgsim.schema import HOSPITALS, checked

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
    "pass_through_usd": 0.0,
    "organ_acquisition_usd": 0.0,
    "direct_education_usd": 0.0,
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
    "uncompensated_care_usd": (0.0, 9_999_999.99),
    "hospital_specific_rate_usd": (0.0, 99_999.99),
    "pass_through_usd": (0.0, 9_999.99),
    "organ_acquisition_usd": (0.0, 9_999.99),
    "direct_education_usd": (0.0, 9_999.99),
}


@dataclass(frozen=True, slots=True)
class Reported:
    """What only the amounts reported beside the payment need. Arrays (h,), as in `Terms`."""

    labor2: Ints
    nonlabor2: Ints
    location8: Ints
    """Wage-adjusted labor and nonlabor shares of the fixed loss."""
    capital_location7: Ints
    ehr: Bools
    quality: Bools


@dataclass(frozen=True, slots=True)
class Terms:
    """What a hospital brings to the price of each of its stays, exact. Arrays (h,), int64 in last places.

    The number after a name is how many decimals it has.
    """

    code: Ints
    """CMS return code for every stay: 0, 52 (no wage index), 53, 65 (readmissions) or 68 (value-based)."""
    standard6: Ints
    """Standardized amount, wage-adjusted [USD]."""
    ime9: Ints
    dsh4: Ints
    operating_addon9: Ints
    """IME and the share of DSH still paid, together, of the federal payment."""
    capital5: Ints
    """Capital federal rate, adjusted by geography and cost of living [USD]."""
    capital_ime9: Ints
    capital_dsh4: Ints
    capital_addon9: Ints
    operating_ccr3: Ints
    capital_ccr3: Ints
    loss_operating17: Ints
    """Operating share of the fixed loss, wage-adjusted, per USD of it; `loss_capital16` likewise."""
    loss_capital16: Ints
    tested_operating17: Ints
    """The same with the operating ratio of the reconciliation test."""
    tested_capital16: Ints
    uncompensated2: Ints
    specific7: Ints
    """Hospital-specific rate, updated [USD]; 0 for those who have none."""
    dependent: Bools
    hrr4: Ints
    """Readmissions factor less 1; `vbp11` likewise. 0 for those who take no part."""
    vbp11: Ints
    hac: Bools
    low_volume6: Ints
    new_capital: Bools
    pass_through2: Ints
    reported: Reported

    def __len__(self) -> int:
        """Hospitals."""
        return len(self.code)

    def of(self, rows: Ints | slice, *, reported: bool) -> Terms:
        """Return the terms of some hospitals, in that order, with or without what is only reported."""
        columns = [getattr(self, column.name)[rows] for column in fields(self)[:-1]]
        seen = self.reported
        return Terms(
            *columns, Reported(*(getattr(seen, c.name)[rows] for c in fields(seen))) if reported else seen
        )


def example_hospitals(folder: str | os.PathLike[str] | None = None) -> pl.DataFrame:
    """Return two real hospitals of the FY2027 Impact File. (2,) HOSPITALS.

    Source: CMS IPPS FY2027 final rule, Impact File, which prints the sum of SSI and Medicaid ratio only.

    >>> example_hospitals()["hospital_id"].to_list()
    ['010001', '020001']
    """
    columns: dict[str, pl.DataType] = {
        name: HOSPITALS[name].dtype
        for name in (
            "hospital_id wage_index beds cbsa_size geographic_urban provider_type resident_to_bed_ratio "
            "capital_ime_ratio medicaid_ratio operating_ccr capital_ccr cola uncompensated_care_usd vbp_factor "
            "hrr_factor hospital_specific_rate_usd low_volume_factor"
        ).split()
    }
    return read_table(table_folder(folder), "examples/hospitals_fy2027.csv", columns)


def completed(hospitals: pl.DataFrame, rates: Rates) -> pl.DataFrame:
    """Return hospitals with every column of HOSPITALS, defaults filled in, values checked.

    Args:
        hospitals: (h,) HOSPITALS.
        rates: for the wage index by CBSA and the limits.

    Returns:
        (h,) all HOSPITALS columns; null only in `cbsa`, `vbp_factor`, `hrr_factor`, and in `wage_index`
        where nothing tells it.

    Raises:
        SchemaError: a column is missing or of the wrong type, or a value is out of range; names row and column.
        MissingRateError: a wage index must be looked up and its fiscal year has no table.

    >>> known = pl.DataFrame({"hospital_id": ["A"], "cbsa": ["01"], "operating_ccr": [0.3]})
    >>> completed(known, Rates.load(2026))["wage_index"].item()
    0.7393
    """
    frame = checked(hospitals, HOSPITALS)
    absent = [c for c in HOSPITALS.columns if c.name not in frame.columns]
    frame = frame.with_columns(pl.lit(None, c.dtype).alias(c.name) for c in absent)
    frame = _with_wage_index(frame, rates)
    ccn = pl.col("hospital_id").str.extract(r"^(\d\d)[0-9A-Z]{4}$")
    frame = frame.with_columns(
        *(pl.col(name).fill_null(value) for name, value in _DEFAULTS.items()),
        pl.col("capital_ime_ratio").fill_null(pl.col("resident_to_bed_ratio").fill_null(0.0)),
        pl.col("ccn_state").fill_null(ccn).fill_null(""),
    ).with_columns(
        pl.col("provider_type").str.zfill(2),
        pl.col("ccn_state").str.zfill(2),
        pl.col("geographic_urban").fill_null(pl.col("cbsa_size") != "R"),
    )
    _in_range(frame, rates)
    return frame


def _with_wage_index(frame: pl.DataFrame, rates: Rates) -> pl.DataFrame:
    """Fill a null wage index from the CBSA table. 42 CFR 412.64(h)."""
    wanting = frame.filter(pl.col("wage_index").is_null(), pl.col("cbsa").is_not_null())
    if wanting.is_empty():
        return frame
    if rates.wage_index is None:
        raise MissingRateError(
            f"{wanting.height} hospitals give a CBSA and no wage index, and there is no wage index table for "
            f"fiscal year {rates.fiscal_year}. Give hospitals a wage_index column."
        )
    table = rates.wage_index.select("cbsa", pl.col("wage_index").alias("_looked_up"))
    return (
        frame.join(table, on="cbsa", how="left", maintain_order="left")
        .with_columns(pl.col("wage_index").fill_null(pl.col("_looked_up")))
        .drop("_looked_up")
    )


def _in_range(frame: pl.DataFrame, rates: Rates) -> None:
    ranges = {**_RANGES, "low_volume_factor": (0.0, rates.number("adjustments.low_volume_highest"))}
    for name, (low, high) in ranges.items():
        values = frame[name]
        # Null is allowed where the default of a column is null; NaN is between nothing.
        wrong = values.is_not_null() & ~values.is_between(low, high)
        if values.dtype == pl.Float64:
            wrong = wrong | (values.is_not_null() & values.is_nan())
        _raise_first(frame, name, wrong, f"expected {low:g} to {high:g} [{HOSPITALS[name].unit}]")
    _raise_first(frame, "cbsa_size", ~frame["cbsa_size"].is_in(["L", "O", "R"]), "expected L, O or R")
    _raise_first(
        frame,
        "pass_through_usd",
        frame["pass_through_usd"] < (frame["organ_acquisition_usd"] + frame["direct_education_usd"] - 0.001),
        "less than organ_acquisition_usd and direct_education_usd, which are part of it",
    )
    twice = frame["hospital_id"].is_duplicated() | frame["hospital_id"].is_null()
    _raise_first(frame, "hospital_id", twice, "null, or more than once")


def _raise_first(frame: pl.DataFrame, name: str, wrong: pl.Series, expected: str) -> None:
    if wrong.any():
        row = int(wrong.arg_max() or 0)
        more = f" ({wrong.sum() - 1} more rows)" if wrong.sum() > 1 else ""
        raise SchemaError(
            f"hospitals, row {row}: {name} is {frame[name][row]!r}, {expected}{more}. See drgsim.schema.HOSPITALS."
        )


def adjusted_prior(wage_index: float, prior: float, rates: Rates) -> float:
    """Return the wage index after the limit on its yearly fall. Source: 42 CFR 412.64(h)(7).

    Args:
        wage_index: this year's, after the floors [1].
        prior: last year's, as paid [1].
        rates: of this year.

    >>> adjusted_prior(0.80, 0.90, Rates.load(2026))
    0.855
    """
    if prior <= 0 or wage_index <= 0:
        raise InputError(f"wage indexes must be positive, found {wage_index} and {prior}.")
    share = scaled([rates.number("adjustments.wage_index_lowest_drop")], 4)
    lowest = rounded(scaled([prior], 4) * share, 4)
    return max(round(wage_index, 4), int(lowest[0]) / 10**4)


# -------------------------------------------------------------------------------------- factors, exact ---


def terms(frame: pl.DataFrame, rates: Rates) -> Terms:
    """Return what each hospital brings to the price of a stay. (h,); `frame` as `completed` returns it."""
    wage4 = scaled(frame["wage_index"].fill_null(0.0).to_numpy(), 4)
    states = frame["ccn_state"]
    has_cola = states.is_in(list(rates.listed("operating.cola_states"))).to_numpy()
    cola3 = np.where(has_cola, scaled(frame["cola"].to_numpy(), 3), 1000)
    quality = frame["quality_reported"].to_numpy()
    ehr = frame["ehr_reduction"].to_numpy()
    variant = (~quality).astype(np.int64) + 2 * ehr
    labor2, nonlabor2 = _standardized(rates, wage4, variant)
    percentage4 = scaled(frame["ssi_ratio"].to_numpy(), 4) + scaled(frame["medicaid_ratio"].to_numpy(), 4)
    ime9 = operating_ime(frame, rates)
    dsh4 = operating_dsh(frame, percentage4, rates)
    share2 = int(scaled([rates.number("operating.dsh_empirical_share")], 2)[0])
    gaf4 = power(wage4, 4, rates.number("capital.gaf_exponent"), 4)
    capital_cola3 = _capital_cola(cola3, rates)
    capital_rate2 = rounded(int(scaled([rates.number("capital.federal_rate")], 2)[0]) * gaf4, 4)
    capital_ime9, capital_dsh4 = capital_ime(frame, rates), capital_dsh(frame, percentage4, rates)
    share4 = scaled(
        [rates.number("outlier.labor_share_up_to_1"), rates.number("outlier.labor_share_above_1")], 4
    )[(wage4 > 10_000).astype(np.int64)]
    location8 = share4 * wage4 + (10_000 - share4) * cola3 * 10
    operating_ccr3 = scaled(frame["operating_ccr"].to_numpy(), 3)
    capital_ccr3 = scaled(frame["capital_ccr"].to_numpy(), 3)
    tested3 = operating_ccr3 + int(scaled([rates.number("outlier.reconciliation_step")], 3)[0])
    plain, tested = _shares(operating_ccr3, capital_ccr3), _shares(tested3, capital_ccr3)
    hrr4, vbp11, code = _programs(frame, quality, rates)
    return Terms(
        code=np.where(wage4 == 0, 52, code),
        standard6=labor2 * wage4 + nonlabor2 * cola3 * 10,
        ime9=ime9,
        dsh4=dsh4,
        operating_addon9=ime9 + dsh4 * share2 * 1000,
        capital5=capital_rate2 * capital_cola3,
        capital_ime9=capital_ime9,
        capital_dsh4=capital_dsh4,
        capital_addon9=capital_ime9 + capital_dsh4 * 10**5,
        operating_ccr3=operating_ccr3,
        capital_ccr3=capital_ccr3,
        loss_operating17=location8 * plain[0],
        loss_capital16=gaf4 * capital_cola3 * plain[1],
        tested_operating17=location8 * tested[0],
        tested_capital16=gaf4 * capital_cola3 * tested[1],
        uncompensated2=scaled(frame["uncompensated_care_usd"].to_numpy(), 2),
        specific7=_specific(frame, variant, rates),
        dependent=frame["provider_type"]
        .is_in(list(rates.listed("hospital_specific.dependent_types")))
        .to_numpy(),
        hrr4=hrr4,
        vbp11=vbp11,
        hac=frame["hac_reduction"].to_numpy(),
        low_volume6=scaled(frame["low_volume_factor"].to_numpy(), 6),
        new_capital=frame["new_capital_hospital"].to_numpy(),
        pass_through2=scaled(frame["pass_through_usd"].to_numpy(), 2)
        - scaled(frame["organ_acquisition_usd"].to_numpy(), 2)
        - scaled(frame["direct_education_usd"].to_numpy(), 2),
        reported=Reported(labor2, nonlabor2, location8, gaf4 * capital_cola3, ehr, quality),
    )


def _standardized(rates: Rates, wage4: Ints, variant: Ints) -> tuple[Ints, Ints]:
    """Labor and nonlabor part by quality reporting, EHR use and wage index above 1. 42 CFR 412.64(c), (h)."""
    column = variant + 4 * (wage4 <= 10_000)
    parts = []
    for part in ("labor", "nonlabor"):
        names = [f"operating.{part}.{area}.{name}" for area in ("above_1", "up_to_1") for name in QUALITY]
        parts.append(scaled([rates.number(name) for name in names], 2)[column])
    return parts[0], parts[1]


def operating_ime(frame: pl.DataFrame, rates: Rates) -> Ints:
    """Indirect medical education factor. (h,) [1e-9]. Source: 42 CFR 412.105(d)."""
    ratio4 = scaled(frame["resident_to_bed_ratio"].to_numpy(), 4)
    exponent, multiplier = rates.number("operating.ime_exponent"), rates.number("operating.ime_multiplier")
    return power(10_000 + ratio4, 4, exponent, 9, times=multiplier, less=1)


def operating_dsh(frame: pl.DataFrame, percentage4: Ints, rates: Rates) -> Ints:
    """Disproportionate share adjustment, of which a share is paid. (h,) [1e-4]. Source: 42 CFR 412.106(d).

    The statute's thresholds and slopes stand here as they do there: 15 and 20.2 percent, 65 and 82.5 percent.
    """
    low = rounded((percentage4 - 1500) * 65 + 250 * 100, 2)
    high = rounded((percentage4 - 2020) * 825 + 588 * 1000, 3)
    full = np.where(percentage4 >= 2020, high, np.where(percentage4 >= 1500, low, 0))
    beds, kind = frame["beds"].to_numpy(), frame["provider_type"]
    rural = (frame["cbsa_size"] == "R").to_numpy()
    is_capped = np.where(rural, beds < 500, beds < 100)
    is_capped |= rural & kind.is_in(list(rates.listed("operating.dsh_capped_types"))).to_numpy()
    is_capped &= ~kind.is_in(list(rates.listed("operating.dsh_uncapped_types"))).to_numpy()
    cap4 = int(scaled([rates.number("operating.dsh_cap")], 4)[0])
    return np.where(is_capped, np.minimum(full, cap4), full)


def _capital_cola(cola3: Ints, rates: Rates) -> Ints:
    """Capital cost-of-living adjustment. (h,) [1e-3]. Source: 42 CFR 412.316(c)."""
    share4 = int(scaled([rates.number("capital.cola_share")], 4)[0])
    return rounded(share4 * (cola3 - 1000) + 1000 * 10**4, 4)


def capital_dsh(frame: pl.DataFrame, percentage4: Ints, rates: Rates) -> Ints:
    """Capital disproportionate share factor. (h,) [1e-4]. Source: 42 CFR 412.320."""
    by_place = bool(rates["capital.dsh_by_geography"])
    urban = frame["geographic_urban"] if by_place else frame["cbsa_size"] != "R"
    qualifies = (urban & (frame["beds"] >= rates.number("capital.dsh_beds"))).to_numpy()
    factor = exponential(rates.number("capital.e"), rates.number("capital.dsh_slope"), percentage4, 4, 4)
    return np.where(qualifies, factor, 0)


def capital_ime(frame: pl.DataFrame, rates: Rates) -> Ints:
    """Capital indirect medical education factor. (h,) [1e-9]. Source: 42 CFR 412.322."""
    ratio4 = scaled(frame["capital_ime_ratio"].to_numpy(), 4)
    capped = np.minimum(ratio4, int(scaled([rates.number("capital.ime_ratio_cap")], 4)[0]))
    return exponential(rates.number("capital.e"), rates.number("capital.ime_slope"), capped, 4, 9)


def _shares(operating_ccr3: Ints, capital_ccr3: Ints) -> tuple[Ints, Ints]:
    """Shares of the fixed loss by cost-to-charge ratio, 0 without any. (h,) [1e-9]. 42 CFR 412.84(h)."""
    both = np.maximum(operating_ccr3 + capital_ccr3, 1)
    return quotient(operating_ccr3 * 10**9, both), quotient(capital_ccr3 * 10**9, both)


def _specific(frame: pl.DataFrame, variant: Ints, rates: Rates) -> Ints:
    """Hospital-specific rate brought to this year. (h,) [1e-7 USD]. 42 CFR 412.92(d), 412.108(c)."""
    has_one = frame["provider_type"].is_in(list(rates.listed("hospital_specific.types"))).to_numpy()
    rate2 = np.where(has_one, scaled(frame["hospital_specific_rate_usd"].to_numpy(), 2), 0)
    factor5 = np.zeros(len(QUALITY), dtype=np.int64)
    for used in np.unique(variant[rate2 > 0]):  # a year whose update is not known is no error unless needed
        factor5[used] = int(rates.hospital_specific_update(QUALITY[used]).scaleb(5))
    return np.asarray(rate2 * factor5[variant])


def _programs(frame: pl.DataFrame, quality: Bools, rates: Rates) -> tuple[Ints, Ints, Ints]:
    """Readmissions and value-based factors less 1, and the code of those who cannot have them.

    Source: 42 CFR 412.154 and 412.162; codes as CMS's pricer 2021.5 sets them.
    """
    states = frame["ccn_state"]

    def outside(program: str) -> Bools:
        return states.is_in(list(rates.listed(f"adjustments.{program}_excluded_states"))).to_numpy()

    in_hrr, in_vbp = (
        frame["hrr_factor"].is_not_null().to_numpy(),
        frame["vbp_factor"].is_not_null().to_numpy(),
    )
    hrr4 = scaled(frame["hrr_factor"].fill_null(1.0).to_numpy(), 4) - 10**4
    vbp11 = scaled(frame["vbp_factor"].fill_null(1.0).to_numpy(), 11) - 10**11
    lowest_hrr4 = int(scaled([rates.number("adjustments.hrr_lowest")], 4)[0]) - 10**4
    lowest_vbp11 = int(scaled([rates.number("adjustments.vbp_lowest")], 11)[0]) - 10**11
    bad_hrr = in_hrr & ((hrr4 < lowest_hrr4) | outside("hrr"))
    bad_vbp = in_vbp & ((vbp11 < lowest_vbp11) | outside("vbp") | ~quality)
    barred = frame["waiver"].to_numpy() | (frame["hac_reduction"].to_numpy() & outside("hac"))
    code = np.select([bad_hrr, bad_vbp, barred], [65, 68, 53], 0)
    return hrr4, vbp11, code


def factors(hospitals: pl.DataFrame, rates: Rates) -> pl.DataFrame:
    """Return the hospital factors of CMS's Impact File, not rounded. (h,) one row a hospital.

    Columns: `hospital_id`, `ime_factor`, `dsh_factor` (the share still paid), `capital_ime_factor`,
    `capital_dsh_factor`, `gaf` (capital cost of living included), all [1] of the federal payments.

    >>> factors(example_hospitals(), Rates.load(2027)).select(pl.col("ime_factor").round(5)).to_series().to_list()
    [0.08384, 0.02943]
    """
    frame = completed(hospitals, rates)
    number = rates.number
    in_cola = pl.col("ccn_state").is_in(list(rates.listed("operating.cola_states")))
    cola = pl.when(in_cola).then(pl.col("cola")).otherwise(1.0)
    percentage = (pl.col("ssi_ratio") + pl.col("medicaid_ratio")).round(6)
    formula = (
        pl.when(percentage >= 0.202)
        .then((percentage - 0.202) * 0.825 + 0.0588)
        .when(percentage >= 0.15)
        .then((percentage - 0.15) * 0.65 + 0.025)
        .otherwise(0.0)
    )
    ratio4 = scaled(frame["ssi_ratio"].to_numpy(), 4) + scaled(frame["medicaid_ratio"].to_numpy(), 4)
    capped = pl.Series(operating_dsh(frame, ratio4, rates) / 10**4)
    has_capital_dsh = pl.Series(capital_dsh(frame, ratio4, rates) > 0)
    residents = pl.min_horizontal("capital_ime_ratio", pl.lit(number("capital.ime_ratio_cap")))
    capital_cola = (number("capital.cola_share") * (cola - 1.0) + 1.0).round(3)
    return frame.select(
        "hospital_id",
        ime_factor=number("operating.ime_multiplier")
        * ((1.0 + pl.col("resident_to_bed_ratio")) ** number("operating.ime_exponent") - 1.0),
        # The cap is a round number: where the rounded factor lies below the formula, it was capped.
        dsh_factor=number("operating.dsh_empirical_share")
        * pl.when(capped < formula - 0.0001).then(capped).otherwise(formula),
        capital_ime_factor=(residents * number("capital.ime_slope")).exp() - 1.0,
        capital_dsh_factor=pl.when(has_capital_dsh)
        .then((percentage * number("capital.dsh_slope")).exp() - 1.0)
        .otherwise(0.0),
        gaf=pl.col("wage_index") ** number("capital.gaf_exponent") * capital_cola,
    )
