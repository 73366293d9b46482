"""Stays priced by a payer's contract, in whole cents; and which payer prices which stay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import polars as pl

from drgsim.exceptions import InputError, SchemaError, did_you_mean
from drgsim.numerics.arrays import BoolArray, FloatArray, Int64Array
from drgsim.numerics.fixed_point import quotient, round_digits, to_fixed_point
from drgsim.pricing.contracts import (
    MEDICARE,
    Contract,
    LesserOfTerms,
    OutlierTerms,
    PayRule,
    PriceTerms,
    StopLossTerms,
    TransferTerms,
)
from drgsim.pricing.new_technology import DRGS
from drgsim.rates.payment_rates import Rates
from drgsim.schema import ADMISSIONS, CONTRACT_PAID, HOSPITALS, Frame, check_frame, normalise_codes

CONTRACT_COMPONENTS = tuple(name for name in CONTRACT_PAID.names if name.endswith("_usd"))
"""Dollar columns of a contract whose sum is `total_usd`."""

_MOST_CHARGES2 = 9_999_999_999
_MOST_STATUS = 255
_MOST_DAYS = 99_999
_MISSING = -1
_BY_STAY = ("days", "charges2", "ccr4", "status", "has_code")
_PAID, _PAID_OUTLIER, _PAID_BY_DAY = 0, 2, 3
_NO_HOSPITAL, _NO_WEIGHT, _NO_DAYS, _NO_STATUS, _NO_CHARGES = 51, 54, 56, 57, 58


@dataclass(frozen=True, eq=False)
class PayerSplit:
    """Which rates price which rows (`medicare`), and which contract which rows."""

    rates: Rates | Sequence[Rates] | None
    medicare: Int64Array
    contracts: tuple[tuple[Contract, Int64Array], ...]


def split_by_payer(frame: pl.DataFrame, terms: PriceTerms) -> PayerSplit:
    """Return which rows each contract prices, and which the rates.

    Raises:
        InputError: there is no column `payer` to choose by, a payer has no contract, a discharge date is in none of its
            contracts, or contracts of one payer overlap.
    """
    if isinstance(terms, Contract):
        return PayerSplit(None, np.zeros(0, np.int64), _split_by_date(frame, [terms], np.arange(len(frame))))
    assert isinstance(terms, Sequence)
    contracts = [one for one in terms if isinstance(one, Contract)]
    rates = [one for one in terms if not isinstance(one, Contract)]
    if "payer" not in frame.columns:
        raise InputError(
            "rates and contracts in one list are chosen by the column payer, which is missing. Add it: a payer's name, "
            f"or {MEDICARE!r} where the rates apply."
        )
    payer = frame["payer"].cast(pl.String).fill_null(MEDICARE).str.strip_chars().str.to_lowercase()
    names = {one.payer.strip().lower(): one.payer for one in contracts}
    known = [*names, *([MEDICARE.lower()] if rates else [])]
    strange = payer.filter(~payer.is_in(known)).unique().sort().to_list()
    if strange:
        texts = ", ".join(repr(name) for name in strange[:5])
        raise InputError(
            f"{(~payer.is_in(known)).sum()} stays have a payer without contract: {texts}."
            f"{did_you_mean(strange[0], known)} Known: {', '.join(known)}."
        )
    parts: list[tuple[Contract, Int64Array]] = []
    for name in names:
        own = [one for one in contracts if one.payer.strip().lower() == name]
        parts += _split_by_date(frame, own, np.flatnonzero((payer == name).to_numpy()))
    medicare = np.flatnonzero((payer == MEDICARE.lower()).to_numpy())
    return PayerSplit((rates[0] if len(rates) == 1 else rates) if rates else None, medicare, tuple(parts))


def _split_by_date(
    frame: pl.DataFrame, contracts: Sequence[Contract], rows: Int64Array
) -> tuple[tuple[Contract, Int64Array], ...]:
    """Return the rows of each contract of one payer, by discharge date where there is one."""
    ordered = sorted(contracts, key=lambda one: one.effective_from)
    for one, after in pairwise(ordered):
        if after.effective_from <= one.effective_to:
            raise InputError(
                f"two contracts of {one.payer} are in force on {after.effective_from}; give one for a day."
            )
    if "discharge_date" not in frame.columns:
        if len(ordered) > 1:
            raise InputError(f"{len(ordered)} contracts of {ordered[0].payer} are chosen by discharge_date: missing.")
        return ((ordered[0], rows),)
    dates = check_frame(frame, Frame("admissions", (ADMISSIONS["discharge_date"],)))["discharge_date"][rows]
    parts, covered = [], np.zeros(len(rows), np.bool_)
    for one in ordered:
        inside = dates.is_between(one.effective_from, one.effective_to).fill_null(value=False).to_numpy()
        covered |= inside
        parts.append((one, rows[inside]))
    if not covered.all():
        spans = "; ".join(f"{one.effective_from} to {one.effective_to}" for one in ordered)
        raise InputError(
            f"{(~covered).sum()} stays of {ordered[0].payer} have no discharge_date in a contract (in force {spans}), "
            f"the first in row {rows[covered.argmin()]}."
        )
    return tuple(parts)


@dataclass(frozen=True, eq=False)
class ContractAmounts:
    """Payment of stays by component, (n,) each, in cents; weight and share of the base in 1e-4.

    `rule` is the place in the contract's rules, -1 where nothing is paid.
    """

    rule: Int64Array
    weight4: Int64Array
    base: Int64Array
    transfer: Int64Array
    outlier: Int64Array
    stop_loss: Int64Array
    lesser_of: Int64Array
    total: Int64Array
    fraction4: Int64Array
    pay_code: Int64Array


@dataclass(frozen=True, eq=False)
class ContractStays:
    """Stays of one contract, prepared once, to be priced under any DRG and discharge status.

    Attributes:
        contract: their contract.
        days: (n,) length of stay, -1 where missing or not usable.
        charges2: (n,) covered charges [cents], -1 where missing or not usable.
        ccr4: (n,) cost-to-charge ratio [1e-4], -1 where the hospital is not known.
        status: (n,) discharge status, -1 where missing.
        has_code: (n, r) whether the stay has a code of each rule; true for a rule without codes.
        weight4, gmlos1, is_drg: (DRGS,) [1e-4], [0.1 days], whether the fiscal year has the DRG; 0 where none.
    """

    contract: Contract
    days: Int64Array
    charges2: Int64Array
    ccr4: Int64Array
    status: Int64Array
    has_code: BoolArray
    weight4: Int64Array
    gmlos1: Int64Array
    is_drg: BoolArray

    @classmethod
    def of(cls, stays: pl.DataFrame, hospitals: pl.DataFrame | None, contract: Contract) -> ContractStays:
        """Return stays prepared for a contract."""
        frame = check_frame(stays, Frame("admissions", contract.columns()))
        table = contract.weights.select("drg", "weight", "gmlos_days")
        weight4, gmlos1 = np.zeros(DRGS, np.int64), np.zeros(DRGS, np.int64)
        drg = table["drg"].to_numpy()
        weight4[drg] = to_fixed_point(table["weight"].fill_null(0.0).to_numpy(), 4)
        gmlos1[drg] = to_fixed_point(table["gmlos_days"].fill_null(0.0).to_numpy(), 1)
        is_drg = np.zeros(DRGS, np.bool_)
        is_drg[contract.table5.filter(pl.col("weight") > 0)["drg"].to_numpy()] = True
        charges = _numbers(frame, "covered_charges_usd")
        charges2 = np.where(charges >= 0, to_fixed_point(np.minimum(charges, 1e9), 2), _MISSING)
        days = _numbers(frame, "los_days").astype(np.int64)
        return cls(
            contract=contract,
            days=np.where(days > _MOST_DAYS, _MISSING, np.maximum(days, _MISSING)),
            charges2=np.where(charges2 > _MOST_CHARGES2, _MISSING, charges2),
            ccr4=_find_ratios(frame, hospitals, contract),
            status=read_statuses(_numbers(frame, "discharge_status").astype(np.int64)),
            has_code=find_rule_codes(frame, contract),
            weight4=weight4,
            gmlos1=gmlos1,
            is_drg=is_drg,
        )

    def take(self, rows: Int64Array) -> ContractStays:
        """Return some of the stays."""
        return replace(self, **{name: getattr(self, name)[rows] for name in _BY_STAY})

    def price(self, drg: Int64Array) -> ContractAmounts:
        """Return the payment of the stays under these DRGs, (n,).

        Raises:
            InputError: no rule pays a DRG, or a rule has no rate or weight for it.
        """
        drg = np.where((drg >= 0) & (drg < DRGS), drg, 0)
        rule = self._find_rules(drg)
        pay_code = self._find_problems(rule)
        is_paid = pay_code < _NO_HOSPITAL
        base = np.where(is_paid, self._price_base(rule, drg, is_paid), 0)
        fraction4, reduced = self._reduce_transfers(rule, drg, base, is_paid)
        outlier = self._price_outliers(rule, reduced, is_paid)
        stop_loss = self._price_stop_loss(rule, reduced + outlier, is_paid)
        before = reduced + outlier + stop_loss
        lesser_of = self._limit_to_charges(rule, before, is_paid)
        by_day, more = reduced != base, (outlier != 0) | (stop_loss != 0)
        pay_code = np.where(is_paid & by_day, _PAID_BY_DAY, np.where(is_paid & more, _PAID_OUTLIER, pay_code))
        total = before + lesser_of
        parts = (base, reduced - base, outlier, stop_loss, lesser_of, total)
        return ContractAmounts(np.where(is_paid, rule, _MISSING), self.weight4[drg], *parts, fraction4, pay_code)

    def _find_rules(self, drg: Int64Array) -> Int64Array:
        """Return the first rule that matches each stay, -1 for a DRG that the fiscal year lacks."""
        rule = np.full(len(drg), _MISSING, np.int64)
        valid = self.is_drg[drg]
        for place, one in enumerate(self.contract.rules):
            matched = one.matched_drgs()
            matches = valid & (rule == _MISSING) & self.has_code[:, place]
            if matched is not None:
                matches &= np.isin(drg, matched)
            rule[matches] = place
        unpaid = np.unique(drg[valid & (rule == _MISSING)]).tolist()
        if unpaid:
            raise InputError(
                f"the contract of {self.contract.payer} does not say how it pays DRG {_list_drgs(unpaid)}. Add a rule "
                "for them, or a last rule without drgs."
            )
        return rule

    def _find_problems(self, rule: Int64Array) -> Int64Array:
        """Return pay codes: why a stay cannot be paid, else 0. (n,)."""
        one = self.contract
        by_day = np.array([x.per_diem is not None for x in one.rules]) | self._applies(one.transfer)
        by_charges = np.array([x.share_of_charges is not None for x in one.rules])
        for term in (one.outlier, one.stop_loss, one.lesser_of):
            by_charges |= self._applies(term)
        by_cost = self._applies(one.outlier) & (isinstance(one.outlier, OutlierTerms) and one.outlier.basis == "cost")
        problem = np.zeros(len(rule), np.int64)
        for code, missing, needed in (
            (_NO_CHARGES, self.charges2 == _MISSING, by_charges),
            (_NO_STATUS, self.status == _MISSING, self._applies(one.transfer)),
            (_NO_DAYS, self.days == _MISSING, by_day),
            (_NO_HOSPITAL, self.ccr4 == _MISSING, by_cost),
        ):
            problem[missing & needed[rule]] = code
        problem[rule == _MISSING] = _NO_WEIGHT
        return problem

    def _applies(self, term: TransferTerms | OutlierTerms | StopLossTerms | LesserOfTerms | str) -> BoolArray:
        """Return to which rules a term applies, (r,)."""
        names: tuple[str, ...] | None = () if isinstance(term, str) else term.rules
        return np.array([names is None or rule.name in names for rule in self.contract.rules])

    def _price_base(self, rule: Int64Array, drg: Int64Array, is_paid: BoolArray) -> Int64Array:
        base = np.zeros(len(rule), np.int64)
        for place, one in enumerate(self.contract.rules):
            here = np.flatnonzero(is_paid & (rule == place))
            if not len(here):
                continue
            if one.base_rate_usd is not None:
                weight4 = self.weight4[drg[here]]
                if not weight4.all():
                    lacking = _list_drgs(np.unique(drg[here][weight4 == 0]).tolist())
                    raise InputError(
                        f"the contract of {self.contract.payer} has no weight for DRG {lacking}. Add them."
                    )
                base[here] = round_digits(weight4 * _cents(one.base_rate_usd), 4)
            elif one.case_rate_usd is not None:
                base[here] = _cents(one.case_rate_usd)
            elif one.case_rates_usd is not None:
                by_drg = np.zeros(DRGS, np.int64)
                for key, usd in one.case_rates_usd.items():
                    first, _, last = key.partition("-")
                    by_drg[int(first) : int(last or first) + 1] = _cents(usd)
                base[here] = by_drg[drg[here]]
            elif one.per_diem is not None:
                base[here] = _price_days(one, self.days[here])
            else:
                base[here] = round_digits(self.charges2[here] * _share4(one.share_of_charges), 4)
        return base

    def _reduce_transfers(
        self, rule: Int64Array, drg: Int64Array, base: Int64Array, is_paid: BoolArray
    ) -> tuple[Int64Array, Int64Array]:
        """Return the share of the base that is paid [1e-4], and the base after transfers [cents]."""
        fraction4, reduced, term = np.where(is_paid, 10_000, 0), base.copy(), self.contract.transfer
        if isinstance(term, TransferTerms):
            is_transfer = is_paid & self._applies(term)[rule] & np.isin(self.status, term.statuses)
            paid_days = np.maximum(self.days, 1) + term.extra_days
            here = np.flatnonzero(is_transfer & (paid_days * 10 < self.gmlos1[drg]))
            days, gmlos1 = paid_days[here], self.gmlos1[drg[here]]
            fraction4[here] = quotient(days * 100_000, gmlos1)
            reduced[here] = quotient(base[here] * days * 10, gmlos1)
        return fraction4, reduced

    def _price_outliers(self, rule: Int64Array, payment: Int64Array, is_paid: BoolArray) -> Int64Array:
        outlier, term = np.zeros(len(rule), np.int64), self.contract.outlier
        if isinstance(term, OutlierTerms):
            here = np.flatnonzero(is_paid & self._applies(term)[rule])
            # Cost keeps all its decimals until the outlier is rounded to the cent.
            ratio4 = self.ccr4[here] if term.basis == "cost" else np.full(len(here), 10_000)
            threshold2 = _cents(term.threshold_usd) + (payment[here] if term.above_payment else 0)
            excess6 = np.maximum(self.charges2[here] * ratio4 - threshold2 * 10_000, 0)
            outlier[here] = _share_of_excess(excess6, _share4(term.share))
        return outlier

    def _price_stop_loss(self, rule: Int64Array, payment: Int64Array, is_paid: BoolArray) -> Int64Array:
        stop_loss, term = np.zeros(len(rule), np.int64), self.contract.stop_loss
        if isinstance(term, StopLossTerms):
            above = self.charges2 > _cents(term.threshold_usd)
            here = np.flatnonzero(is_paid & above & self._applies(term)[rule])
            if term.kind == "first_dollar":
                stop_loss[here] = round_digits(self.charges2[here] * _share4(term.share), 4) - payment[here]
            else:
                excess2 = self.charges2[here] - _cents(term.threshold_usd)
                stop_loss[here] = round_digits(excess2 * _share4(term.share), 4)
        return stop_loss

    def _limit_to_charges(self, rule: Int64Array, payment: Int64Array, is_paid: BoolArray) -> Int64Array:
        lesser_of, term = np.zeros(len(rule), np.int64), self.contract.lesser_of
        if isinstance(term, LesserOfTerms):
            here = np.flatnonzero(is_paid & self._applies(term)[rule])
            most = round_digits(self.charges2[here] * _share4(term.share_of_charges), 4)
            lesser_of[here] = np.minimum(most - payment[here], 0)
        return lesser_of


def read_statuses(status: Int64Array) -> Int64Array:
    """Return discharge statuses with -1 for a number that is none, (n,)."""
    return np.where((status >= 0) & (status <= _MOST_STATUS), status, _MISSING)


def find_rule_codes(frame: pl.DataFrame, contract: Contract) -> BoolArray:
    """Return whether each stay has a code of each rule, (n, r); true where the rule names none."""
    found = np.ones((len(frame), len(contract.rules)), np.bool_)
    for place, one in enumerate(contract.rules):
        if one.codes is not None:
            wanted = normalise_codes(pl.Series(list(one.codes), dtype=pl.String))
            has = [
                normalise_codes(pl.col("pdx")).is_in(wanted.implode()),
                *(
                    pl.col(name).list.eval(normalise_codes(pl.element()).is_in(wanted.implode())).list.any()
                    for name in ("sdx", "procedures")
                ),
            ]
            found[:, place] = (
                frame.select(pl.any_horizontal(one.fill_null(value=False) for one in has)).to_series().to_numpy()
            )
    return found


# ---------------------------------------------------------------------------------------------------------


def _find_ratios(frame: pl.DataFrame, hospitals: pl.DataFrame | None, contract: Contract) -> Int64Array:
    """Return cost-to-charge ratios, (n,) [1e-4]; -1 where the hospital is not known."""
    term = contract.outlier
    if isinstance(term, str) or term.cost_to_charge is None:
        return np.zeros(len(frame), np.int64)
    if term.cost_to_charge != "hospital":
        return np.full(len(frame), _share4(term.cost_to_charge))
    if hospitals is None:
        raise SchemaError(f"the contract of {contract.payer} takes operating_ccr from hospitals; pass them.")
    own = check_frame(hospitals, Frame("hospitals", (HOSPITALS["hospital_id"], HOSPITALS["operating_ccr"])))
    found = frame.select("hospital_id").join(own, on="hospital_id", how="left", maintain_order="left")["operating_ccr"]
    return to_fixed_point(found.fill_null(-1e-4).to_numpy(), 4)


def _numbers(frame: pl.DataFrame, name: str) -> FloatArray:
    """Return a column as numbers; null, absent and not finite are -1."""
    if name not in frame.columns:
        return np.full(len(frame), float(_MISSING))
    values = frame[name].cast(pl.Float64).fill_null(_MISSING).to_numpy()
    return np.where(np.isfinite(values), values, _MISSING)


def _price_days(rule: PayRule, days: Int64Array) -> Int64Array:
    """Return the per diem of stays [cents]."""
    assert rule.per_diem is not None
    days = np.where(days == 0, rule.same_day_days or 0, days)
    starts = [band.from_day for band in rule.per_diem]
    total = np.zeros(len(days), np.int64)
    for band, end in zip(rule.per_diem, [*starts[1:], _MOST_DAYS + 1], strict=True):
        total += np.clip(days - (band.from_day - 1), 0, end - band.from_day) * _cents(band.usd)
    return total


def _share_of_excess(excess6: Int64Array, share4: int) -> Int64Array:
    """Return a share of dollars in 1e-6, rounded to the cent, within 64 bits."""
    whole, rest = np.divmod(excess6, 10_000)
    return whole * share4 // 10_000 + round_digits(whole * share4 % 10_000 * 10_000 + rest * share4, 8)


def _cents(usd: float) -> int:
    return int(to_fixed_point([usd], 2)[0])


def _share4(share: float | None) -> int:
    return int(to_fixed_point([share or 0.0], 4)[0])


def _list_drgs(drgs: Sequence[int]) -> str:
    return ", ".join(map(str, drgs[:8])) + (f" and {len(drgs) - 8} more" if len(drgs) > 8 else "")
