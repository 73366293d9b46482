"""Columns, types and units of every public frame; `check_frame` checks a frame against them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import polars as pl

from drgsim.exceptions import SchemaError, did_you_mean

INTEGERS = (pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64)
NUMBERS = (*INTEGERS, pl.Float32, pl.Float64)
TEXTS = (pl.String, pl.Categorical, pl.Enum)


@dataclass(frozen=True)
class Column:
    """One column of a contract: its name, type, unit and whether it is required.

    `has_default`: null means a default of the column, so that a number which the type lacks is refused. In the other
    columns of whole numbers it becomes null, which is not valid, and the row says so by its code.
    """

    name: str
    dtype: pl.DataType
    unit: str
    about: str
    required: bool = True
    has_default: bool = False

    def accepts(self, found: pl.DataType) -> bool:
        """Return whether a column of type `found` can be cast to this column without loss."""
        if found == self.dtype or found == pl.Null:
            return True
        if isinstance(self.dtype, pl.List):
            return isinstance(found, pl.List) and (found.inner == pl.Null or isinstance(found.inner, TEXTS))
        if self.dtype == pl.String:
            return isinstance(found, TEXTS)
        if self.dtype.is_integer():
            # A Decimal without places is how Spark holds large numbers; pandas has floats where one is missing, and
            # `check_frame` refuses fractions.
            return isinstance(found, NUMBERS) or (isinstance(found, pl.Decimal) and found.scale == 0)
        if self.dtype.is_float():
            return isinstance(found, NUMBERS)
        return False


@dataclass(frozen=True)
class Frame:
    """A contract: a named, ordered set of columns."""

    name: str
    columns: tuple[Column, ...]

    def __getitem__(self, name: str) -> Column:
        """Return the column called `name`."""
        return next(column for column in self.columns if column.name == name)

    @property
    def names(self) -> tuple[str, ...]:
        """The column names in order."""
        return tuple(column.name for column in self.columns)


def check_frame(frame: pl.DataFrame, contract: Frame, *, needs: Sequence[str] = ()) -> pl.DataFrame:
    """Return the columns of a contract that `frame` has, cast to the types of the contract.

    Args:
        frame: (n,) rows; columns that are not in the contract are left out of the result.
        contract: the frame against which it is checked.
        needs: optional columns of the contract that this caller requires.

    Raises:
        SchemaError: a required column is missing, or the type of a column cannot be cast without loss.

    >>> contract = Frame("codes", (Column("pdx", pl.String(), "", ""),))
    >>> check_frame(pl.DataFrame({"pdx": ["K810"], "note": ["a"]}), contract).columns
    ['pdx']
    """
    if not isinstance(frame, pl.DataFrame):
        hint = "; call .collect() first" if isinstance(frame, pl.LazyFrame) else ""
        raise SchemaError(f"{contract.name} must be a polars DataFrame, found {type(frame).__name__}{hint}.")
    wanted = [column for column in contract.columns if column.name in frame.columns]
    missing = [
        column.name
        for column in contract.columns
        if (column.required or column.name in needs) and column.name not in frame.columns
    ]
    if missing:
        plural = "s" if len(missing) > 1 else ""
        others = [name for name in frame.columns if name not in contract.names]
        hints = "".join(did_you_mean(name, others) for name in missing)
        raise SchemaError(
            f"{contract.name} lack {len(missing)} column{plural}: {', '.join(missing)} "
            f"(found {len(frame.columns)} others).{hints} See drgsim.schema.{contract.name.upper()}."
        )
    wrong = [
        f"{column.name} is {frame.schema[column.name]}, expected {column.dtype}"
        for column in wanted
        if not column.accepts(frame.schema[column.name])
    ]
    wrong += _find_fractions(frame, wanted)
    if wrong:
        raise SchemaError(
            f"{contract.name} have {len(wrong)} column{'s' if len(wrong) > 1 else ''} of the wrong type: "
            f"{'; '.join(wrong)}. Cast first; see drgsim.schema.{contract.name.upper()}."
        )
    cast = frame.select(
        pl.col(column.name)
        if frame.schema[column.name] == column.dtype
        # A status or age too large for its type becomes null, which is not valid either.
        else pl.col(column.name).cast(column.dtype, strict=False)
        for column in wanted
    )
    for column in wanted:
        if column.has_default and cast.schema[column.name] != frame.schema[column.name]:
            _refuse_lost_numbers(frame[column.name], cast[column.name], contract, column)
    return cast


def _refuse_lost_numbers(given: pl.Series, cast: pl.Series, contract: Frame, column: Column) -> None:
    """Refuse whole numbers that a type lacks; as null they would become the column's default.

    Raises:
        SchemaError: there is one; the message has the first row and no value.
    """
    lost = cast.is_null() & given.is_not_null()
    if lost.any():
        limits = np.iinfo(str(column.dtype).lower())
        raise SchemaError(
            f"{contract.name}, row {int(lost.arg_max() or 0)}: {column.name} is outside {limits.min} to {limits.max} "
            f"({lost.sum()} such rows). See drgsim.schema.{contract.name.upper()}."
        )


def _find_fractions(frame: pl.DataFrame, wanted: Sequence[Column]) -> list[str]:
    """Return a message for each column of whole numbers that holds fractions."""
    floats = [c.name for c in wanted if c.dtype.is_integer() and frame.schema[c.name].is_float()]
    whole = frame.select((pl.col(name) == pl.col(name).floor()).all() for name in floats)
    return [f"{name} has fractions, expected whole numbers" for name in floats if not whole[name].item()]


Codes = TypeVar("Codes", pl.Series, pl.Expr)


def normalise_codes(codes: Codes) -> Codes:
    """Return codes without dots and surrounding blanks, in upper case, as in the tables.

    A code is ASCII. Any other character becomes U+FFFD, which no code has, before letters change to upper case:
    otherwise a dotless i would become I, and a long s S, and the text would be another code.

    >>> normalise_codes(pl.Series([" i50.20", "\u013150.20"])).to_list()
    ['I5020', '\ufffd5020']
    """
    ascii_only = codes.str.strip_chars().str.replace_all(r"[^\x00-\x7F]", "\ufffd")
    return ascii_only.str.replace_all(".", "", literal=True).str.to_uppercase()


_CODES = pl.List(pl.String)

ADMISSIONS = Frame(
    "admissions",
    (
        Column("admission_id", pl.UInt64(), "", "identifies the admission; key of random draws"),
        Column("age", pl.Int32(), "years", "age at admission; no MS-DRG formula uses it"),
        Column("sex", pl.String(), "", "M, F or U (anything else is unknown)"),
        Column("discharge_status", pl.Int32(), "UB-04", "patient discharge status, FL 17"),
        Column("pdx", pl.String(), "ICD-10-CM", "principal diagnosis"),
        Column("sdx", _CODES, "ICD-10-CM", "secondary diagnoses, in any order"),
        Column("procedures", _CODES, "ICD-10-PCS", "procedures, in any order"),
        Column("pdx_poa", pl.String(), "", "present on admission, principal", required=False),
        Column("sdx_poa", _CODES, "", "present on admission, in the order of sdx", required=False),
        Column("hospital_id", pl.String(), "", "hospital, key of HOSPITALS", required=False),
        Column("discharge_date", pl.Date(), "", "day of discharge", required=False),
        Column("los_days", pl.Int32(), "days", "length of stay", required=False),
        Column("covered_charges_usd", pl.Float64(), "USD", "covered charges", required=False),
    ),
)

CLAIMS_TO_EDIT = Frame(
    "admissions",
    (*ADMISSIONS.columns, Column("admit_dx", pl.String(), "ICD-10-CM", "admitting diagnosis", required=False)),
)
"""What the editor reads: admissions, and their admitting diagnosis where it is known."""

DrgType = pl.Enum(["MEDICAL", "SURGICAL", "NONE"])
Severity = pl.Enum(["NONE", "CC", "MCC"])
HospitalStatus = pl.Enum(["NON_EXEMPT", "EXEMPT", "UNKNOWN"])
ReturnCode = pl.Enum(
    [
        "OK",
        "INVALID_PDX",
        "DX_CANNOT_BE_PDX",
        "INVALID_SEX",
        "INVALID_DISCHARGE_STATUS",
        "HAC_MISSING_ONE_POA",
        "HAC_STATUS_INVALID_MULT_HACS_POA_NOT_Y_W",
        "HAC_STATUS_INVALID_POA_N_OR_U",
        "HAC_STATUS_INVALID_POA_INVALID_OR_1",
        "NO_DRG_FOUND",
        "NO_GROUPER_VERSION",
    ]
)

GROUPED = Frame(
    "grouped",
    (
        Column("drg", pl.UInt16(), "MS-DRG", "final DRG, 999 where ungroupable"),
        Column("mdc", pl.UInt8(), "MDC", "final major diagnostic category, 0 where ungroupable"),
        Column("base_drg", pl.UInt16(), "MS-DRG", "first DRG of the severity family"),
        Column("drg_type", DrgType, "", "MEDICAL, SURGICAL, or NONE for 998 and 999"),
        Column("severity", Severity, "", "severity of the formula that decided the DRG"),
        Column("initial_drg", pl.UInt16(), "MS-DRG", "DRG before hospital-acquired conditions count"),
        Column("initial_mdc", pl.UInt8(), "MDC", "MDC of the initial DRG"),
        Column("hac_count", pl.UInt8(), "", "number of different hospital-acquired conditions"),
        Column("return_code", ReturnCode, "", "OK, or why the admission is ungroupable (CMS's names)"),
    ),
)

_FLAGS = pl.List(pl.Boolean)

DETAIL = Frame(
    "detail",
    (
        Column("pdx_valid", pl.Boolean(), "", "whether the principal diagnosis is a code of the version"),
        Column("pdx_impact", pl.String(), "", "the DRG that it led to: NONE, INITIAL, FINAL or BOTH"),
        Column("pdx_sev_initial", pl.String(), "", "NEITHER: a PDX has no severity"),
        Column("pdx_sev_final", pl.String(), "", "NEITHER"),
        Column("pdx_poa_status", pl.String(), "", "POA_NOT_CHECKED"),
        Column("pdx_hac", pl.String(), "", "conditions with this principal diagnosis, number:0:"),
        Column("sdx_valid", _FLAGS, "", "whether each is a code of the version"),
        Column("sdx_impact", _CODES, "", "the DRG that each affected: NONE, INITIAL, FINAL or BOTH"),
        Column("sdx_sev_initial", _CODES, "", "severity used: MCC, CC, NEITHER, or why it is excluded"),
        Column("sdx_sev_final", _CODES, "", "the same without hospital-acquired conditions"),
        Column("sdx_poa_status", _CODES, "", "POA result, where a condition depends on POA"),
        Column("sdx_hac", _CODES, "", "hospital-acquired conditions, number:status:label"),
        Column("proc_valid", _FLAGS, "", "whether each is a code of the version"),
        Column("proc_impact", _CODES, "", "the DRG that each affected: NONE, INITIAL, FINAL or BOTH"),
        Column("proc_is_or", _FLAGS, "", "whether each is an O.R. procedure"),
        Column("proc_hac_usage", _CODES, "", "hospital-acquired condition that uses it, HAC_nn"),
    ),
)

ConversionStatus = pl.Enum(["SAME", "ONE", "MANY", "NONE", "INVALID"])
"""What became of a code in another version: itself, one code, several candidates, none; or it was no code."""

EditType = pl.Enum(["NONE", "PREPAYMENT", "POSTPAYMENT", "BOTH", "INVALID_DISCHARGE_DATE"])

EDITED = Frame(
    "edited",
    (
        Column("edit_type", EditType, "", "NONE, PREPAYMENT or INVALID_DISCHARGE_DATE (CMS's names)"),
        Column("edits", _CODES, "", "edits found, CMS's names"),
        Column("edit_counts", pl.List(pl.Int32()), "", "codes with each edit, or 1 for the claim, aligned with edits"),
    ),
)

_EDITS = pl.List(pl.List(pl.String))

EDIT_DETAIL = Frame(
    "edit_detail",
    (
        Column("pdx_edits", _CODES, "", "edits of the principal diagnosis"),
        Column("sdx_edits", _EDITS, "", "edits of each secondary diagnosis"),
        Column("proc_edits", _EDITS, "", "edits of each procedure"),
        Column("admit_dx_edits", _CODES, "", "edits of the admitting diagnosis; conflicts of age and sex do not count"),
        Column("pdx_age_conflict", pl.String(), "", "age group that conflicts: NEWBORN, PEDIATRIC, MATERNITY, ADULT"),
        Column("sdx_age_conflict", _CODES, "", "the same of each secondary diagnosis"),
    ),
)

HOSPITALS = Frame(
    "hospitals",
    (
        Column("hospital_id", pl.String(), "", "key; the state is read from a CCN"),
        Column("operating_ccr", pl.Float64(), "1", "operating cost-to-charge ratio; null is 0, no outliers"),
        Column("wage_index", pl.Float64(), "1", "wage index as paid; null is that of `cbsa`", required=False),
        Column("cbsa", pl.String(), "", "labor market area, two digits if rural", required=False),
        Column("reclassified", pl.Boolean(), "", "reclassified into the area, default false", required=False),
        Column("beds", pl.Int32(), "beds", "available beds; default 0", required=False, has_default=True),
        Column("resident_to_bed_ratio", pl.Float64(), "1", "residents to beds (IRB), default 0", required=False),
        Column("capital_ime_ratio", pl.Float64(), "1", "residents to census, default IRB", required=False),
        Column("capital_ccr", pl.Float64(), "1", "capital cost-to-charge ratio, default 0", required=False),
        Column("ssi_ratio", pl.Float64(), "1", "SSI share of days, default 0", required=False),
        Column("medicaid_ratio", pl.Float64(), "1", "Medicaid share of days, default 0", required=False),
        Column("cbsa_size", pl.String(), "", "L large urban, O other urban, R rural; default O", required=False),
        Column("geographic_urban", pl.Boolean(), "", "urban by location, default by cbsa_size", required=False),
        Column("ccn_state", pl.String(), "", "first two digits of the CCN", required=False),
        Column("provider_type", pl.String(), "PSF", "two digits, default 00", required=False),
        Column("cola", pl.Float64(), "1", "cost of living (Alaska, Hawaii), default 1", required=False),
        Column("quality_reported", pl.Boolean(), "", "quality data submitted, default true", required=False),
        Column("ehr_reduction", pl.Boolean(), "", "not a meaningful EHR user, default false", required=False),
        Column("vbp_factor", pl.Float64(), "1", "value-based purchasing; null: not in the program", required=False),
        Column("hrr_factor", pl.Float64(), "1", "readmissions; null: not in the program", required=False),
        Column("hac_reduction", pl.Boolean(), "", "worst quartile of HACs, default false", required=False),
        Column("uncompensated_care_usd", pl.Float64(), "USD/claim", "per claim, default 0", required=False),
        Column("low_volume_factor", pl.Float64(), "1", "at most 0.25, default 0", required=False),
        Column("hospital_specific_rate_usd", pl.Float64(), "USD", "rate of SCH and MDH, default 0", required=False),
        Column("new_capital_hospital", pl.Boolean(), "", "capital paid at cost, default false", required=False),
        Column("waiver", pl.Boolean(), "", "paid outside IPPS, default false", required=False),
        Column("pass_through_usd", pl.Float64(), "USD/day", "all pass-through, default 0", required=False),
        Column("organ_acquisition_usd", pl.Float64(), "USD/day", "part of pass-through, default 0", required=False),
        Column("direct_education_usd", pl.Float64(), "USD/day", "part of pass-through, default 0", required=False),
        Column("county", pl.String(), "FIPS", "five digits, for out-migration; null: none", required=False),
        Column("prior_wage_index", pl.Float64(), "1", "of the year before; null: no limit", required=False),
        Column("hrr_participant", pl.String(), "PSF", "0, 1 or blank; null: by hrr_factor", required=False),
        Column("vbp_participant", pl.String(), "PSF", "Y, N or blank; null: by vbp_factor", required=False),
        Column("low_volume_indicator", pl.String(), "PSF", "Y or blank; null: by low_volume_factor", required=False),
        Column("capital_pay_code", pl.String(), "PSF", "A, B or C; null: C", required=False),
        Column("effective_date", pl.Date(), "", "first day in force; null: long before", required=False),
        Column("termination_date", pl.Date(), "", "first day out of force; null: none", required=False),
    ),
)

STAYS = Frame(
    "stays",
    (
        Column("drg", pl.UInt16(), "MS-DRG", "final DRG"),
        Column("weight", pl.Float64(), "1", "relative weight, Table 5"),
        Column("gmlos_days", pl.Float64(), "days", "geometric mean length of stay, Table 5"),
        Column("post_acute", pl.Boolean(), "", "post-acute transfer DRG, Table 5"),
        Column("special_pay", pl.Boolean(), "", "special pay DRG, Table 5"),
        Column("los_days", pl.Int32(), "days", "length of stay"),
        Column("covered_charges_usd", pl.Float64(), "USD", "covered charges"),
        Column("review_code", pl.UInt8(), "", "end of the stay, CMS's code: 0, 3, 6, 7, 9, 11"),
        Column("covered_days", pl.Int32(), "days", "covered days, default los_days", required=False, has_default=True),
        Column(
            "reserve_days", pl.Int32(), "days", "lifetime reserve days, default 0", required=False, has_default=True
        ),
        Column("medicare_advantage", pl.Boolean(), "", "paid by a plan, default false", required=False),
        Column("covid", pl.Boolean(), "", "COVID-19 weight factor applies, default false", required=False),
        Column("no_cost_product", pl.Boolean(), "", "immunotherapy at no cost, default false", required=False),
        Column("islet_isolations", pl.UInt8(), "", "islet isolations, default 0", required=False, has_default=True),
        Column("ntap_max_usd", pl.List(pl.Float64()), "USD", "highest add-on by technology", required=False),
        Column("ntap_share", pl.List(pl.Float64()), "1", "cost share by technology", required=False),
        Column("covid_treatment", pl.Boolean(), "", "COVID-19 treatment add-on, default false", required=False),
        Column("covid_other_usd", pl.Float64(), "USD", "taken off that add-on, default 0", required=False),
        Column("discharge_date", pl.Date(), "", "day of discharge; null: not known", required=False),
    ),
)

PAID = Frame(
    "paid",
    (
        Column("review_code", pl.UInt8(), "", "end of the stay, given or from discharge_status"),
        Column("weight", pl.Float64(), "1", "relative weight; null where the DRG has none"),
        Column("transfer_fraction", pl.Float64(), "1", "share of the full payment; 0 where nothing is paid"),
        Column("operating_federal_usd", pl.Float64(), "USD", "operating federal payment"),
        Column("hospital_specific_usd", pl.Float64(), "USD", "payment of SCH and MDH above the federal payment"),
        Column("ime_usd", pl.Float64(), "USD", "indirect medical education"),
        Column("dsh_usd", pl.Float64(), "USD", "disproportionate share, by case"),
        Column("uncompensated_care_usd", pl.Float64(), "USD", "uncompensated care per claim"),
        Column("operating_outlier_usd", pl.Float64(), "USD", "cost outlier, operating part"),
        Column("new_technology_usd", pl.Float64(), "USD", "new technology add-on"),
        Column("islet_usd", pl.Float64(), "USD", "islet isolation add-on"),
        Column("capital_federal_usd", pl.Float64(), "USD", "capital federal payment"),
        Column("capital_ime_usd", pl.Float64(), "USD", "capital indirect medical education"),
        Column("capital_dsh_usd", pl.Float64(), "USD", "capital disproportionate share"),
        Column("capital_outlier_usd", pl.Float64(), "USD", "cost outlier, capital part"),
        Column("low_volume_usd", pl.Float64(), "USD", "low-volume adjustment"),
        Column("readmissions_usd", pl.Float64(), "USD", "readmissions reduction, not above 0"),
        Column("value_based_usd", pl.Float64(), "USD", "value-based purchasing"),
        Column("hac_usd", pl.Float64(), "USD", "hospital-acquired condition reduction, not above 0"),
        Column("pass_through_usd", pl.Float64(), "USD", "pass-through of Medicare Advantage stays"),
        Column("total_usd", pl.Float64(), "USD", "sum of the components above"),
        Column("pay_code", pl.UInt8(), "", "CMS's return code, below 50 paid; see pricing.PAY_CODES"),
    ),
)

CONTRACT_PAID = Frame(
    "contract_paid",
    (
        Column(
            "contract_rule", pl.String(), "", "rule of the contract that paid; null where Medicare paid, or nothing"
        ),
        Column("contract_base_usd", pl.Float64(), "USD", "by weight, case, day or charges"),
        Column("contract_transfer_usd", pl.Float64(), "USD", "reduction of a transfer, not above 0"),
        Column("contract_outlier_usd", pl.Float64(), "USD", "share of charges or cost above a threshold"),
        Column("contract_stop_loss_usd", pl.Float64(), "USD", "stop loss; of first dollar, the difference to it"),
        Column("contract_lesser_of_usd", pl.Float64(), "USD", "reduction to a share of charges, not above 0"),
    ),
)
"""Columns that `price` adds where a contract is among the rates; with those of PAID they add up to `total_usd`."""

CLAIMS = Frame(
    "claims",
    (
        Column("admission_id", pl.UInt64(), "", "identifies the claim; key of samples and reviews"),
        Column("billed_usd", pl.Float64(), "USD", "payment of the claim as billed"),
        Column(
            "correct_usd", pl.Float64(), "USD", "payment as correctly coded; a sample is drawn without", required=False
        ),
    ),
)
