"""What IPPS pays for each admission, by component, as CMS's pricer computes it.

`pay()` prices grouped admissions; `price()` prices stays that already carry their weight and provider inputs.
`_components` reads as the regulation does, in order; each step cites its rule, and rounds where the pricer
rounds. Amounts are integers of their last place (`fsp9` has nine decimals), see `drgsim.exact`.

Not in the price: the beneficiary's deductible and coinsurance and sequestration (see `drgsim.settlement`),
organ acquisition and other pass-through of stays that no plan pays, and the bundled-payment demonstration,
whose factor has been zero since 2017.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from drgsim import information
from drgsim.errors import InputError, SchemaError
from drgsim.exact import Bools, Floats, Ints, product, rounded, scaled
from drgsim.hospitals import completed
from drgsim.outlier import Outlier, fixed_loss, outliers
from drgsim.rates import Rates
from drgsim.schema import HOSPITALS, PAID, STAYS, Frame, checked
from drgsim.stays import Stays, as_stays, by_fiscal_year, exactly, filled, thread_count, with_weights
from drgsim.technology import technologies
from drgsim.terms import Terms, terms
from drgsim.transfer import ACUTE, PAYS_NO_OUTLIER, Transfer, reduced, transfers

__all__ = ["COMPONENTS", "PAY_CODES", "pay", "price", "with_weights"]

COMPONENTS = tuple(name for name in PAID.names if name.endswith("_usd") and name != "total_usd")
"""Dollar columns whose sum is `total_usd`."""

PAY_CODES = {
    0: "paid",
    2: "paid with a cost outlier",
    3: "acute transfer, paid by day",
    5: "acute transfer with a cost outlier",
    6: "acute transfer without cost outlier, paid by day",
    10: "post-acute transfer, half at once and half by day",
    12: "post-acute transfer, paid by day",
    14: "paid, days at or above the geometric mean",
    16: "paid with a cost outlier, days at or above the geometric mean",
    30: "as 0, and an outlier if the operating ratio were higher (so 33, 40, 42, 44)",
    51: "no such hospital",
    52: "hospital without a wage index",
    53: "hospital outside IPPS, or a HAC reduction where there is none",
    54: "DRG without a weight: ungroupable, or not one of this fiscal year",
    55: "no rates for the discharge date",
    56: "length of stay missing or negative",
    57: "discharge status or review code missing or not one",
    58: "covered charges missing, negative or above 99,999,999.99",
    61: "more than 60 lifetime reserve days",
    62: "covered days missing, none, or fewer than the reserve days",
    65: "readmissions factor out of range, or in a state outside the program",
    67: "cost outlier with fewer covered days than the length of stay",
    68: "value-based factor out of range, without quality data, or outside the program",
    69: "new technology amounts that cannot be: not finite, out of range, or lists of unequal length",
}
"""CMS's return codes, 69 our own; 50 and above pay nothing. 30 added to a code below 16 flags reconciliation only."""

NOT_AN_ADD_ON = 69

CHUNK = 16_384
"""Rows priced at a time: their columns stay in the cache, and a thread has work enough."""

_TESTED = np.isin(np.arange(256), (0, 3, 10, 12, 14))
"""Codes that meet the reconciliation test."""


@dataclass(frozen=True, slots=True)
class _Policy:
    """The numbers of one fiscal year that every stay shares."""

    threshold2: int
    step3: int
    dsh_share2: int
    dependent_share2: int
    hac4: int
    rates: Rates

    @classmethod
    def of(cls, rates: Rates) -> _Policy:
        def exact(name: str, digits: int) -> int:
            return int(scaled([rates.number(name)], digits)[0])

        return cls(
            threshold2=exact("outlier.fixed_loss", 2),
            step3=exact("outlier.reconciliation_step", 3),
            dsh_share2=exact("operating.dsh_empirical_share", 2),
            dependent_share2=exact("hospital_specific.dependent_share", 2),
            hac4=exact("adjustments.hac_reduction", 4),
            rates=rates,
        )


def pay(
    grouped: pl.DataFrame,
    hospitals: pl.DataFrame,
    rates: Rates | Sequence[Rates],
    *,
    threads: int | None = None,
) -> pl.DataFrame:
    """Return what IPPS pays for each admission, by component.

    Weight and mean stay come from the rates' Table 5, and `weight` and `gmlos_days` of the input are replaced:
    weights of one's own go through `Rates.with_table5`. The review code comes from `discharge_status` (or
    `review_code`), new technologies from the codes (or `ntap_max_usd` and `ntap_share`).

    Args:
        grouped: (n,) grouped admissions: `drg`, `hospital_id`, `los_days` [days],
            `covered_charges_usd` [USD], `discharge_status`; optional columns of `drgsim.schema.STAYS`.
        hospitals: (h,) `drgsim.schema.HOSPITALS`.
        rates: one `Rates`, which prices every admission whatever its date, or several, chosen by the fiscal
            year of `discharge_date`.
        threads: how many threads; the cores by default. The result does not depend on it.

    Returns:
        (n,) the input in its order plus `drgsim.schema.PAID`. The components add up to `total_usd` to the
        cent. `pay_code` (see `PAY_CODES`) is 50 or above where nothing is paid and says why.

    Raises:
        SchemaError: a column is missing or of the wrong type, or a hospital's value is out of range.
        MissingRateError: a rate that is needed is not known for the fiscal year.

    Source: 42 CFR 412; CMS's pricer 2021.5.

    >>> stay = {"drg": [470], "hospital_id": ["A"], "los_days": [3], "covered_charges_usd": [60000.0]}
    >>> hospital = pl.DataFrame({"hospital_id": ["A"], "wage_index": [1.2], "operating_ccr": [0.25]})
    >>> paid = pay(pl.DataFrame({**stay, "discharge_status": [1]}), hospital, Rates.load(2026))
    >>> paid.select("operating_federal_usd", "capital_federal_usd", "total_usd", "pay_code").row(0)
    (14744.42, 1145.5, 15889.92, 14)
    """
    checked(grouped, Frame("admissions", ()))
    workers = thread_count(threads)
    out = _Out(grouped.height, working=False)
    for one, rows in by_fiscal_year(grouped, rates):
        some = grouped[rows]
        if some.is_empty() and not isinstance(rates, Rates):
            continue
        stays = as_stays(some, one)
        own = completed(hospitals, one)
        _price(stays, terms(own, one), _hospital_rows(stays, own), one, out, rows, workers)
    return out.beside(grouped)


def price(frame: pl.DataFrame, rates: Rates, *, working: bool = False, threads: int | None = None) -> pl.DataFrame:
    """Return what IPPS pays for stays that carry their weight and provider inputs as columns.

    Args:
        frame: (n,) columns of `drgsim.schema.STAYS` and, for each stay, of `drgsim.schema.HOSPITALS`
            (`hospital_id` is not needed).
        rates: of one fiscal year. Its Table 5 is not used.
        working: whether to add what the pricer reports beside the payment: thresholds, costs, the
            standardized allowed amount, EHR savings and the standardized amounts.
        threads: as in `pay`.

    Returns:
        (n,) the input in its order plus `drgsim.schema.PAID`; of columns that are in both, PAID's.

    Raises:
        SchemaError, MissingRateError: as `pay`.

    >>> stay = {"drg": [470], "weight": [1.9289], "gmlos_days": [1.9], "post_acute": [True], "los_days": [3]}
    >>> more = {"special_pay": [False], "covered_charges_usd": [6e4], "review_code": [0], "wage_index": [1.2]}
    >>> price(pl.DataFrame({**stay, **more, "operating_ccr": [0.25]}), Rates.load(2026))["total_usd"].item()
    15889.92
    """
    stays, workers = checked(frame, STAYS), thread_count(threads)
    if not isinstance(rates, Rates):
        raise InputError(f"price takes one Rates, found {type(rates).__name__}. Such as Rates.load(2026).")
    names = [name for name in HOSPITALS.names if name in frame.columns and name != "hospital_id"]
    # An id that no CCN can equal: `completed` reads a state out of a CCN.
    each = frame.select(pl.format("stay {}", pl.int_range(pl.len())).alias("hospital_id"), *names)
    out = _Out(frame.height, working=working)
    if frame.height:
        _price(stays, terms(completed(each, rates), rates), None, rates, out, slice(None), workers)
    return out.beside(frame)


def _hospital_rows(stays: pl.DataFrame, hospitals: pl.DataFrame) -> Ints:
    """Row of each stay's hospital, -1 where there is none."""
    rows = hospitals.select("hospital_id", pl.int_range(pl.len(), dtype=pl.Int64).alias("row"))
    found = stays.select("hospital_id").join(rows, on="hospital_id", how="left", maintain_order="left")
    return found["row"].fill_null(-1).to_numpy()


def _price(
    frame: pl.DataFrame,
    hospitals: Terms,
    rows: Ints | None,
    rates: Rates,
    out: _Out,
    into: Ints | slice,
    threads: int,
) -> None:
    """Price all stays chunk by chunk, each chunk on any thread, into its own rows of `out`."""
    if not len(hospitals):
        raise SchemaError("hospitals have no row. See drgsim.schema.HOSPITALS.")
    columns, asked, policy = filled(frame), technologies(frame, rates), _Policy.of(rates)

    def chunk(start: int) -> None:
        span = slice(start, min(start + CHUNK, frame.height))
        stays = exactly({name: values[span] for name, values in columns.items()}, rates)
        own = hospitals.of(span if rows is None else rows[span], reported=out.working)
        ours, wrong = asked.of(span.start, span.stop)
        stays.code[wrong] = np.where(stays.code[wrong] > 0, stays.code[wrong], NOT_AN_ADD_ON)
        unknown = np.zeros(span.stop - start, dtype=np.bool_) if rows is None else rows[span] < 0
        amounts = _components(stays, own, ours, unknown, policy, working=out.working)
        out.write(span if isinstance(into, slice) else into[span], amounts)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(chunk, range(0, frame.height, CHUNK)))


# ---------------------------------------------------------------------------------- the regulation, in order


def _components(
    stay: Stays, at: Terms, asked: tuple[Ints, Ints, Ints], unknown: Bools, policy: _Policy, *, working: bool
) -> dict[str, Ints | Floats]:
    """Price stays: every component in cents, `pay_code`, `transfer_fraction` and the weight. (n,) each."""
    share = transfers(stay.review, stay.los, stay.gmlos1, stay.weight4, stay.post_acute, stay.special, stay.exempt)
    fsp9 = _operating_federal(stay, at, share)
    cfsp9 = _capital_federal(stay, at, share)
    fsp2 = rounded(fsp9, 7)
    ime2 = product(fsp2, at.ime9, 9)
    dsh2 = rounded(fsp2 * at.dsh4 * policy.dsh_share2, 6)
    ntap2 = _new_technology(stay, at, asked, fsp2 + ime2 + dsh2 + at.uncompensated2)
    outlier = _outlier(stay, at, share, fsp9, cfsp9, ntap2, policy)
    outlier2 = rounded(outlier.operating9, 7)
    code = _pay_code(stay, at, share, outlier, unknown)
    base2 = rounded(fsp9 + ntap2 * 10**7, 7)
    hrr2 = _of_base(base2, at.hrr4, 4)
    vbp2 = _of_base(base2, at.vbp11, 11)
    specific2 = _hospital_specific(stay, at, share, outlier.operating9, policy)

    # Capital, 42 CFR 412.312; nothing for a new capital hospital, which is paid its cost, 412.324(b).
    cfsp2 = np.where(at.new_capital, 0, rounded(cfsp9, 7))
    cdsh2 = rounded(cfsp2 * at.capital_dsh4, 4)
    cime2 = rounded(cfsp2 * at.capital_ime9, 9)
    coutlier2 = rounded(outlier.capital9, 7)

    # Low volume, 412.101: a share of everything above, before quality programs.
    operating2 = specific2 + fsp2 + ime2 + dsh2 + outlier2 + at.uncompensated2 + ntap2
    capital2 = cfsp2 + cime2 + cdsh2 + coutlier2
    low_volume2 = product(operating2 + capital2, at.low_volume6, 6, digits=5)

    # A Medicare Advantage plan pays IME itself, 412.105(g), and the pass-through comes with the claim.
    planless_ime2 = np.where(stay.plan, 0, ime2)
    pass_through2 = np.where(stay.plan, at.pass_through2 * stay.los, 0)

    # Hospital-acquired conditions, 412.172(b): a share of everything but what passes through.
    subtotal2 = operating2 - ime2 + planless_ime2 + capital2 + low_volume2 + hrr2 + vbp2
    hac2 = np.where(at.hac, rounded(-subtotal2 * policy.hac4, 4), 0)

    paid = code < 50
    amounts: dict[str, Ints | Floats] = {
        "operating_federal_usd": fsp2,
        "hospital_specific_usd": specific2,
        "ime_usd": planless_ime2,
        "dsh_usd": dsh2,
        "uncompensated_care_usd": at.uncompensated2,
        "operating_outlier_usd": outlier2,
        "new_technology_usd": ntap2,
        "islet_usd": stay.islet2,
        "capital_federal_usd": cfsp2,
        "capital_ime_usd": cime2,
        "capital_dsh_usd": cdsh2,
        "capital_outlier_usd": coutlier2,
        "low_volume_usd": low_volume2,
        "readmissions_usd": hrr2,
        "value_based_usd": vbp2,
        "hac_usd": hac2,
        "pass_through_usd": pass_through2,
    }
    amounts["total_usd"] = subtotal2 + hac2 + pass_through2 + stay.islet2
    if working:
        amounts |= information.reported(stay, at, share, outlier, amounts, policy.rates)
    if not paid.all():
        amounts = {name: np.where(paid, values, 0) for name, values in amounts.items()}
    if working:
        amounts["charge_threshold_usd"] = information.charge_threshold(at, outlier) * (
            (code == 67) | _is_outlier(outlier)
        )
        amounts["charge_threshold_usd"][(code >= 50) & (code != 67)] = 0
    amounts["review_code"], amounts["pay_code"] = stay.review, code
    amounts["transfer_fraction"] = np.where(paid, share.paid4, 0)
    amounts["weight"] = np.where(stay.weight4 > 0, stay.weight4 / 10**4, np.nan)
    return amounts


def _operating_federal(stay: Stays, at: Terms, share: Transfer) -> Ints:
    """Operating federal payment. (n,) [1e-9 USD]. 42 CFR 412.64; transfers 412.4(f)."""
    full9 = product(at.standard6, stay.weight4 * stay.covid2 * stay.no_cost2, 5, digits=4)
    return reduced(full9, share)


def _capital_federal(stay: Stays, at: Terms, share: Transfer) -> Ints:
    """Capital federal payment. (n,) [1e-9 USD]. 42 CFR 412.308, 412.312, 412.316; transfers 412.312(d)."""
    full9 = rounded(stay.weight4 * at.capital5 * stay.no_cost2, 2)
    return reduced(full9, share)


def _new_technology(stay: Stays, at: Terms, asked: tuple[Ints, Ints, Ints], base2: Ints) -> Ints:
    """New technology add-on. (n,) [cents]. 42 CFR 412.88.

    Each technology pays its share of the costs above the payment, at most its highest add-on; together
    they pay no more than the costs.
    """
    total2 = np.zeros(len(stay), dtype=np.int64)
    rows, most2, share2 = asked
    if not len(rows):
        return total2
    cost5 = stay.charges2 * at.operating_ccr3
    above5 = cost5 - base2 * 1000
    add_on2 = np.clip(rounded(above5[rows] * share2, 5), 0, most2)
    np.add.at(total2, rows, add_on2)
    capped = (base2 + total2) * 1000 > cost5
    return np.where((total2 > 0) & capped & (rounded(above5, 3) > 0), rounded(above5, 3), total2)


def _outlier(stay: Stays, at: Terms, share: Transfer, fsp9: Ints, cfsp9: Ints, ntap2: Ints, policy: _Policy) -> Outlier:
    """Cost outlier, operating and capital. 42 CFR 412.80, 412.84, 412.312(c)."""
    return outliers(
        stay.charges2,
        at.operating_ccr3,
        at.capital_ccr3,
        policy.step3,
        fixed_loss(policy.threshold2, share.loss4),
        at.loss_operating17,
        at.loss_capital16,
        at.tested_operating17,
        at.tested_capital16,
        operating_paid9=fsp9 + product(fsp9, at.operating_addon9, 9) + (at.uncompensated2 + ntap2) * 10**7,
        capital_paid9=cfsp9 + product(cfsp9, at.capital_addon9, 9),
        marginal2=stay.marginal2,
        barred=PAYS_NO_OUTLIER[stay.review],
        new_capital=at.new_capital,
    )


def _of_base(base2: Ints, factor: Ints, digits: int) -> Ints:
    """A factor less 1 of the base operating DRG payment. (n,) [cents]. 42 CFR 412.154(b), 412.162(b)."""
    return np.sign(factor) * product(base2, np.abs(factor), digits, digits=min(digits - 1, 6))


def _hospital_specific(stay: Stays, at: Terms, share: Transfer, outlier9: Ints, policy: _Policy) -> Ints:
    """Hospital-specific payment above the federal one. (n,) [cents]. 42 CFR 412.92(d), 412.108(c)."""
    specific2 = np.zeros(len(stay), dtype=np.int64)
    rows = np.flatnonzero(at.specific7)
    if not len(rows):
        return specific2
    case4 = stay.covid2[rows] * stay.no_cost2[rows]
    rate9 = product(at.specific7[rows], stay.weight4[rows] * case4, 6, digits=5)
    addons13 = (10**9 + at.operating_addon9[rows]) * case4
    federal9 = product(at.standard6[rows] * share.weight4[rows], addons13, 14, limbs=3, digits=4, wide=True)
    above9 = rate9 - federal9 - outlier9[rows] - at.uncompensated2[rows] * 10**7
    above9 = np.maximum(above9, 0)
    dependent9 = product(above9, policy.dependent_share2, 2, digits=1)
    specific2[rows] = rounded(np.where(at.dependent[rows], dependent9, above9), 7)
    return specific2


def _is_outlier(outlier: Outlier) -> Bools:
    return np.asarray(outlier.operating9 + outlier.capital9 > 0)


def _pay_code(stay: Stays, at: Terms, share: Transfer, outlier: Outlier, unknown: Bools) -> Ints:
    """CMS's return code. (n,). CMS pricer 2021.5: 0200-MAINLINE-CONTROL, 3000, 3560, 3600, 6000 to 7000."""
    is_outlier = _is_outlier(outlier)
    post_acute = share.code >= 10
    code = np.where(is_outlier & ~post_acute, np.where(stay.review == ACUTE, 5, 2), share.code)
    code = np.where(~share.short & ((code == 0) | (code == 2)), code + 14, code)
    # An outlier that a post-acute code hides still meets the reconciliation test.
    flagged = outlier.reconciled & _TESTED[code]
    code = np.where(flagged, code + 30, code)
    lost = is_outlier & (stay.covered < stay.los)
    code = np.where(lost, 67, code)
    refused = np.where(lost & (at.code != 65), 0, at.code)
    code = np.where(refused > 0, refused, code)
    code = np.where(stay.code > 0, stay.code, code)
    return np.where(unknown, 51, np.where(at.code == 52, 52, code))


class _Out:
    """Result columns, allocated once and filled chunk by chunk from any thread."""

    def __init__(self, rows: int, *, working: bool) -> None:
        self.working = working
        names = (*PAID.names, *(information.COLUMNS if working else ()))
        self.columns: dict[str, npt.NDArray[Any]] = {name: np.zeros(rows) for name in names}
        self.columns["weight"][:] = np.nan
        self.columns["review_code"] = np.full(rows, 255, dtype=np.uint8)
        self.columns["pay_code"] = np.full(rows, 55, dtype=np.uint8)

    def write(self, rows: Ints | slice, amounts: dict[str, Ints | Floats]) -> None:
        for name, values in amounts.items():
            one = _SCALE.get(name, 100.0)
            if isinstance(rows, slice) and one != 1.0:
                np.divide(values, one, out=self.columns[name][rows])
            else:
                self.columns[name][rows] = values if one == 1.0 else values / one

    def beside(self, frame: pl.DataFrame) -> pl.DataFrame:
        added = frame.with_columns(pl.Series(name, values) for name, values in self.columns.items())
        review = pl.col("review_code")
        return added.with_columns(pl.col("weight").fill_nan(None), pl.when(review != 255).then(review))


_SCALE = {"weight": 1.0, "review_code": 1.0, "pay_code": 1.0, "transfer_fraction": 1e4, **information.SCALE}
"""What one unit of an amount is; USD are in cents."""
