"""Admissions priced once, and again under another DRG, discharge status or set of codes.

What does not change (hospital, charges, length of stay, rates) is prepared once. The payment is then computed again
from integers. Some payments also depend on the text of the codes (new technologies, immunotherapy at no cost,
COVID-19): these are priced in full from the text, as `price` does.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from drgsim.numerics.arrays import BoolArray, Int32Array, Int64Array
from drgsim.numerics.fixed_point import round_digits, to_fixed_point
from drgsim.pricing.contracts import PriceTerms, has_contracts
from drgsim.pricing.hospital_factors import HospitalFactors, compute_hospital_factors
from drgsim.pricing.hospitals import complete_hospitals
from drgsim.pricing.new_technology import CODES, DRGS, AddOns, find_add_ons
from drgsim.pricing.payer_pricing import ContractStays, split_by_payer
from drgsim.pricing.pricer import CHUNK, find_hospital_rows, price, price_in_cents
from drgsim.pricing.pricer_input import (
    PRICED,
    YearParameters,
    derive_review_codes,
    fill_missing,
    index_weights_by_drg,
    split_medicare,
    to_stays,
    with_weights,
)
from drgsim.rates.payment_rates import Rates
from drgsim.rebilling.code_changes import ChangeKind, CodeChanges, decode_admissions, list_code_texts
from drgsim.rebilling.contract_bills import ContractPart, prepare_contracts
from drgsim.rebilling.price_texts import find_deciding_diagnoses, find_listed, number_price_texts
from drgsim.schema import ADMISSIONS, Frame, check_frame
from drgsim.tables.encoding import Encoded
from drgsim.tables.table_set import TableSet

BASE_RATE_PARAMETERS = ("operating.labor.above_1.full", "operating.nonlabor.above_1.full", "capital.federal_rate")
_BY_DRG = ("weight", "gmlos_days", "post_acute", "special_pay")
_CODES = Frame("admissions", tuple(ADMISSIONS[name] for name in ("pdx", "sdx", "procedures")))
_CANNOT_BE = 255
"""Marks a missing review code, as `pricer_input.fill_missing` does."""


@dataclass(frozen=True, eq=False)
class _YearPart:
    """The admissions of one fiscal year, and the inputs of their price.

    `place` is the place of every admission in the year, -1 where it is of another year.
    """

    rates: Rates
    policy: YearParameters
    hospitals: HospitalFactors | None
    place: Int64Array
    hospital: Int64Array
    columns: dict[str, NDArray[Any]]
    by_drg: dict[str, NDArray[Any]]
    review_by_status: NDArray[np.uint8]
    weight4: Int64Array
    add_ons: AddOns
    """New-technology add-ons of the admissions as correctly coded."""
    by_text: BoolArray
    """(DRGS,) whether the price of a DRG depends on the text of the codes."""


@dataclass(frozen=True, eq=False)
class Repricer:
    """Admissions with their payment, and what prices them again.

    Attributes:
        cents: (n,) payment of each admission as correctly coded [cents].
        weight4: (n,) its relative weight [1e-4], 0 where the DRG has none.
        priced_by: what the payment is.
        encoded_texts: (n,) the admissions as integers. A text that is a code of no version but on which the price
            depends has its own number here. Where there is no such text, this is the `encoded` given to `of`.
    """

    cents: Int64Array
    weight4: Int64Array
    priced_by: str
    encoded_texts: Encoded = field(repr=False)
    _admissions: pl.DataFrame = field(repr=False)
    _hospitals: pl.DataFrame | None = field(repr=False)
    _texts: tuple[pl.Series, pl.Series] = field(repr=False)
    _parts: tuple[_YearPart, ...] = field(repr=False)
    _contracts: tuple[ContractPart, ...] = field(repr=False)
    _listed: tuple[BoolArray, BoolArray] = field(repr=False)
    _has_listed_procedure: BoolArray = field(repr=False)
    _decides_factor: BoolArray = field(repr=False)
    _has_review_code: bool = field(repr=False)
    _has_other_texts: bool = field(repr=False)

    @classmethod
    def of(
        cls,
        grouped: pl.DataFrame,
        encoded: Encoded,
        hospitals: pl.DataFrame | None,
        rates: PriceTerms | None,
        tables: TableSet,
    ) -> Repricer:
        """Price grouped admissions.

        Args:
            grouped: (n,) input of `price`; only `drg` is needed if `hospitals` is None.
            encoded: (n,) the same admissions as integers.
            hospitals: `schema.HOSPITALS`; with None the payment is the weight times `base_rate_usd`.
            rates: as in `price`; with None every payment is 0.
            tables: the grouper version of the admissions.

        Raises:
            SchemaError, InputError, MissingRateError: as in `price`.
        """
        parts: list[_YearPart] = []
        contracts, codes = prepare_contracts(grouped, hospitals, rates)
        for one, rows in split_medicare(grouped, rates):
            some = grouped[rows]
            place = np.full(len(grouped), -1, np.int64)
            place[rows] = np.arange(len(some))
            if len(some) or isinstance(rates, Rates):
                parts.append(_prepare_part(some, place, hospitals, one))
        years = [part.rates for part in parts]
        cents, by = price_grouped(grouped, hospitals, rates)
        texts, encoded_texts = list_code_texts(tables), encoded
        if (parts and hospitals is not None) or codes:
            texts, encoded_texts = number_price_texts(check_frame(grouped, _CODES), encoded, texts, years, codes)
        listed = find_listed(texts[0], "diagnosis", years), find_listed(texts[1], "procedure", years, codes)
        has_listed_procedure = np.zeros(len(grouped), np.bool_)
        has_listed_procedure[encoded.procedure_row[listed[1][encoded_texts.procedures]]] = True
        made = cls(
            cents=cents,
            weight4=np.zeros(len(grouped), np.int64),
            priced_by=by,
            encoded_texts=encoded_texts,
            _admissions=grouped.select(name for name in PRICED if name in grouped.columns),
            _hospitals=hospitals,
            _texts=texts,
            _parts=tuple(parts),
            _contracts=contracts,
            _listed=listed,
            _has_listed_procedure=has_listed_procedure,
            _decides_factor=find_deciding_diagnoses(texts[0], years, codes),
            _has_review_code="review_code" in grouped.columns,
            _has_other_texts=encoded_texts is not encoded,
        )
        made.weight4[:] = made.find_weights4(np.arange(len(grouped)), grouped["drg"].to_numpy())
        return made

    def find_weights4(self, rows: Int64Array, drg: NDArray[np.integer]) -> Int64Array:
        """Return the weights of DRGs in the fiscal years of `rows`, (k,) [1e-4]; 0 where none."""
        found = np.zeros(len(rows), np.int64)
        for part in self._parts:
            here = np.flatnonzero(part.place[rows] >= 0)
            found[here] = part.weight4[np.minimum(drg[here], DRGS - 1)]
        for own in self._contracts:
            here = np.flatnonzero(own.place[rows] >= 0)
            found[here] = own.stays.weight4[np.minimum(drg[here], DRGS - 1)]
        return found

    def may_change_price(self, changes: CodeChanges) -> BoolArray:
        """Return which changes may change the price even if the DRG stays, (k,).

        They concern codes of new technologies or of a contract, or diagnoses that decide a factor of the payment.
        """
        procedures = np.isin(changes.kind, (ChangeKind.PROCEDURE, ChangeKind.ADD_PROCEDURE))
        diagnoses = np.isin(changes.kind, (ChangeKind.PDX, ChangeKind.SWAP_PDX, ChangeKind.SDX, ChangeKind.ADD_SDX))
        before, after = self._resolve_texts(changes) if self._has_other_texts else (changes.before, changes.after)
        found: BoolArray = np.zeros(len(changes), np.bool_)
        for listed, of_kind in zip(
            self._listed, (diagnoses & self._has_listed_procedure[changes.row], procedures), strict=True
        ):
            which = np.flatnonzero(of_kind)
            found[which] = listed[before[which]] | listed[after[which]]
        which = np.flatnonzero(diagnoses)
        found[which] |= self._decides_factor[before[which]] | self._decides_factor[after[which]]
        return found

    def _resolve_texts(self, changes: CodeChanges) -> tuple[Int32Array, Int32Array]:
        """Return the code before and after each change by the numbers of `encoded_texts`, (k,) each."""
        before, after, own = changes.before.copy(), changes.after.copy(), self.encoded_texts
        for kind, codes, start in (
            (ChangeKind.SDX, own.sdx, own.sdx_start),
            (ChangeKind.PROCEDURE, own.procedures, own.procedure_start),
        ):
            which = np.flatnonzero(changes.kind == kind)
            before[which] = codes[start[changes.row[which]] + changes.place[which]]
        which = np.flatnonzero((changes.kind == ChangeKind.PDX) | (changes.kind == ChangeKind.SWAP_PDX))
        before[which] = own.pdx[changes.row[which]]
        which = np.flatnonzero(changes.kind == ChangeKind.SWAP_PDX)
        after[which] = own.sdx[own.sdx_start[changes.row[which]] + changes.place[which]]
        return before, after

    def needs_text(self, rows: Int64Array, drg: NDArray[np.integer]) -> BoolArray:
        """Return which admissions need the text of their codes to be priced under another DRG, (k,).

        The text may change the price of the DRG as correctly coded, of the billed DRG, or of both.
        """
        found: BoolArray = np.zeros(len(rows), np.bool_)
        was, now = (np.minimum(drgs, DRGS - 1) for drgs in (self._admissions["drg"].to_numpy()[rows], drg))
        for part in self._parts:
            found |= (part.by_text[was] | part.by_text[now]) & (part.place[rows] >= 0)
        for own in self._contracts:
            found |= own.has_codes & (own.place[rows] >= 0)
        return found

    def reprice(self, rows: Int64Array, drg: NDArray[np.integer], status: NDArray[np.uint16]) -> Int64Array:
        """Return the payment of admissions under another DRG or discharge status, (k,) [cents].

        The codes must not change the price in another way (`may_change_price`, `needs_text`).

        Args:
            rows: (k,) the admissions; a row may occur several times.
            drg: (k,) the billed DRG of each.
            status: (k,) discharge status (`Encoded.status_place`).
        """
        cents = np.zeros(len(rows), np.int64)
        for own in self._contracts:
            here = np.flatnonzero(own.place[rows] >= 0)
            if len(here):
                cents[here] = own.price(own.place[rows[here]], drg[here], status[here])
        for part in self._parts:
            here = np.flatnonzero(part.place[rows] >= 0)
            if self._hospitals is None:
                cents[here] = _apply_base_rate(part.weight4[np.minimum(drg[here], DRGS - 1)], part.rates)
                continue
            for start in range(0, len(here), CHUNK):
                at = here[start : start + CHUNK]
                cents[at] = _price_part(
                    part, part.place[rows[at]], drg[at], None if self._has_review_code else status[at]
                )
        return cents

    def reprice_in_full(self, rows: Int64Array, drg: NDArray[np.integer], changed: Encoded) -> Int64Array:
        """Return the payment of admissions from the text of their codes, (k,) [cents].

        Args:
            rows, drg: as in `reprice`.
            changed: (k,) the admissions as billed, with the numbers of `encoded_texts`.
        """
        if self._hospitals is None and not self._contracts:
            return self.reprice(rows, drg, changed.status_place)
        frame = self._admissions[rows].with_columns(
            pl.Series("drg", drg),
            pl.Series("discharge_status", changed.discharge_status),
            *decode_admissions(changed, *self._texts).get_columns(),
        )
        cents = np.zeros(len(rows), np.int64)
        if self._hospitals is None:
            cents = self.reprice(rows, drg, changed.status_place)
        for own in self._contracts:
            here = np.flatnonzero(own.place[rows] >= 0)
            if len(here):
                billed = ContractStays.of(frame[here], self._hospitals, own.stays.contract)
                cents[here] = billed.price(drg[here].astype(np.int64)).total
        for part in self._parts:
            here = np.flatnonzero(part.place[rows] >= 0)
            if len(here) and part.hospitals is not None:
                stays = to_stays(frame[here], part.rates)
                hospital = part.hospital[part.place[rows[here]]]
                factors, add_ons = part.hospitals.take(hospital, informational=False), find_add_ons(stays, part.rates)
                columns = fill_missing(stays.drop(*CODES, strict=False))
                cents[here] = price_in_cents(columns, factors, add_ons, hospital < 0, part.policy)
        return cents


def base_rate_usd(rates: Rates) -> float:
    """Return the base rate: operating standardized amount plus capital federal rate [USD].

    >>> round(base_rate_usd(Rates.load(2026)), 2)
    7276.76
    """
    return float(sum(rates.number(name) for name in BASE_RATE_PARAMETERS))


def price_by_weight(grouped: pl.DataFrame, rates: PriceTerms) -> Int64Array:
    """Return the weight times the base rate of each admission's fiscal year, (n,) [cents].

    Args:
        grouped: (n,) with `drg`, and `discharge_date` where there are rates of several years.
        rates: one `Rates`, or several, chosen by discharge date.

    >>> price_by_weight(pl.DataFrame({"drg": [470, 999]}), Rates.load(2026)).tolist()
    [1403614, 0]
    """
    weight4 = to_fixed_point(with_weights(grouped, rates)["weight"].fill_null(0.0).to_numpy(), 4)
    cents = np.zeros(len(grouped), np.int64)
    for one, rows in split_medicare(grouped, rates):
        cents[rows] = _apply_base_rate(weight4[rows], one)
    return cents


# ---------------------------------------------------------------------------------------------------------


def price_grouped(
    grouped: pl.DataFrame, hospitals: pl.DataFrame | None, terms: PriceTerms | None
) -> tuple[Int64Array, str]:
    """Return the payment of admissions as correctly coded [cents], and what it is."""
    if terms is None:
        return np.zeros(len(grouped), np.int64), "nothing"
    if hospitals is not None:
        by = "IPPS components and contracts" if has_contracts(terms) else "IPPS components"
        return to_fixed_point(price(grouped, hospitals, terms)["total_usd"].to_numpy(), 2), by
    if not has_contracts(terms):
        return price_by_weight(grouped, terms), "weight times a base rate"
    split, cents = split_by_payer(grouped, terms), np.zeros(len(grouped), np.int64)
    if split.rates is not None:
        cents[split.medicare] = price_by_weight(grouped[split.medicare], split.rates)
    for contract, rows in split.contracts:
        cents[rows] = to_fixed_point(price(grouped[rows], None, contract)["total_usd"].to_numpy(), 2)
    return cents, "contracts" if split.rates is None else "weight times a base rate, and contracts"


def _prepare_part(some: pl.DataFrame, place: Int64Array, hospitals: pl.DataFrame | None, rates: Rates) -> _YearPart:
    weight = index_weights_by_drg(rates)["weight"]
    weight4 = to_fixed_point(np.nan_to_num(weight), 4)
    nothing = np.zeros(0, np.int64)
    by_text = np.zeros(DRGS, np.bool_)
    if hospitals is None:
        add_ons, by_status = AddOns(nothing, nothing, nothing, nothing), nothing.astype(np.uint8)
        return _YearPart(
            rates, YearParameters.of(rates), None, place, nothing, {}, {}, by_status, weight4, add_ons, by_text
        )
    stays, own = to_stays(some, rates), complete_hospitals(hospitals, rates)
    table = rates.weights
    by_drg: dict[str, NDArray[Any]] = {}
    for name in _BY_DRG:
        values = table[name].to_numpy()
        by_drg[name] = np.zeros(DRGS, values.dtype)
        by_drg[name][table["drg"].to_numpy()] = values
    given = {"covid", "no_cost_product", "covid_treatment"} & set(some.columns)
    by_text[np.asarray(rates.listed("case.no_cost_drgs"), np.intp)] = "no_cost_product" not in given
    # With a COVID-19 factor in force, the codes of every stay decide. Add-ons given as columns are lists.
    by_text |= (rates.number("case.covid_factor") != 1.0 and "covid" not in given) or "ntap_max_usd" in some.columns
    by_text |= rates.covid_treatments is not None and "covid_treatment" not in given
    statuses = derive_review_codes(pl.Series(np.arange(257)), rates).fill_null(_CANNOT_BE).to_numpy().copy()
    return _YearPart(
        rates=rates,
        policy=YearParameters.of(rates),
        hospitals=compute_hospital_factors(own, rates),
        place=place,
        hospital=find_hospital_rows(stays, own),
        columns=fill_missing(stays.drop(*CODES, strict=False)),
        by_drg=by_drg,
        review_by_status=statuses,
        weight4=weight4,
        add_ons=find_add_ons(stays, rates),
        by_text=by_text,
    )


def _price_part(
    part: _YearPart, place: Int64Array, drg: NDArray[np.integer], status: NDArray[np.uint16] | None
) -> Int64Array:
    assert part.hospitals is not None
    drg = np.minimum(drg, DRGS - 1)
    columns = {name: values[place] for name, values in part.columns.items()}
    columns |= {"drg": drg, **{name: values[drg] for name, values in part.by_drg.items()}}
    if status is not None:
        columns["review_code"] = part.review_by_status[status]
    hospital = part.hospital[place]
    own = part.hospitals.take(hospital, informational=False)
    return price_in_cents(columns, own, part.add_ons.take(place), hospital < 0, part.policy)


def _apply_base_rate(weight4: Int64Array, rates: Rates) -> Int64Array:
    return round_digits(weight4 * int(to_fixed_point([base_rate_usd(rates)], 2)[0]), 4)
