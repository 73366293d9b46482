"""A payer's contract: how it pays a stay, read from TOML, exact to the cent.

A contract is rules in order, of which the first that matches a stay pays it, and four terms that it must state, if only
as "none": transfer, outlier, stop loss, lesser of. What it does not say is an error. The order of the work:

1. base: base rate times weight, a case rate, a per diem by day, or a share of charges;
2. transfer: the base by day, up to the whole base;
3. outlier: a share of charges or cost above a threshold;
4. stop loss: a share of charges, of all of them (first dollar) or of those above the threshold (second dollar);
5. lesser of: at most a share of charges.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, StrictFloat, StrictInt, ValidationError, model_validator

from drgsim.exceptions import InputError, did_you_mean
from drgsim.files.bounded import parse_toml
from drgsim.rates.payment_rates import Rates
from drgsim.schema import ADMISSIONS, GROUPED, Column, normalise_codes

MEDICARE = "Medicare"
"""The payer of stays that `Rates` price; a missing payer is Medicare too."""

Usd = Annotated[StrictFloat | StrictInt, Field(ge=0, le=10_000_000, allow_inf_nan=False)]
Share = Annotated[StrictFloat | StrictInt, Field(gt=0, le=2, allow_inf_nan=False)]
Weight = Annotated[StrictFloat | StrictInt, Field(gt=0, le=1_000, allow_inf_nan=False)]
Drg = Annotated[StrictInt, Field(ge=1, le=999)]
Text = Annotated[str, Field(min_length=1)]
_METHODS = ("base_rate_usd", "case_rate_usd", "case_rates_usd", "per_diem", "share_of_charges")


class _Terms(BaseModel):
    """A part of a contract: frozen, without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class DayBand(_Terms):
    """Dollars a day from one day of the stay on.

    >>> DayBand(from_day=4, usd=1_800.0).usd
    1800.0
    """

    from_day: StrictInt = Field(ge=1, le=1_000)
    usd: Usd


class PayRule(_Terms):
    """How a contract pays the stays that it matches.

    Attributes:
        name: of the rule; result column `contract_rule`.
        drgs: DRGs and ranges ("1-19") that it matches; without it all, or those of `case_rates_usd`.
        codes: ICD-10 codes, one of which the stay must have; without it none is needed.
        base_rate_usd: payment for a weight of 1.
        case_rate_usd: payment of a stay.
        case_rates_usd: payment of a stay by DRG.
        per_diem: payment a day by bands of days; the first band is from day 1.
        same_day_days: days that a stay of 0 days has; needed with `per_diem`.
        share_of_charges: payment as a share of covered charges.
        source: where the contract says so.

    >>> PayRule(name="hips", drgs=("469-470",), case_rate_usd=21_500.0).matched_drgs()
    [469, 470]
    """

    name: Text
    drgs: tuple[Drg | str, ...] | None = None
    codes: tuple[Text, ...] | None = None
    base_rate_usd: Usd | None = None
    case_rate_usd: Usd | None = None
    case_rates_usd: dict[str, Usd] | None = None
    per_diem: tuple[DayBand, ...] | None = None
    same_day_days: StrictInt | None = Field(default=None, ge=0, le=1)
    share_of_charges: Share | None = None
    source: Text | None = None

    @model_validator(mode="after")
    def _check(self) -> PayRule:
        given = [name for name in _METHODS if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"rule {self.name!r} has {given or 'no method'}; expected exactly one of {_METHODS}")
        if self.per_diem is not None:
            starts = [band.from_day for band in self.per_diem]
            if starts[:1] != [1] or sorted(set(starts)) != starts:
                raise ValueError(f"rule {self.name!r}: bands begin on days {starts}; expected 1, then ascending")
            if self.same_day_days is None:
                raise ValueError(f"rule {self.name!r} pays by day and does not say same_day_days, 0 or 1")
        elif self.same_day_days is not None:
            raise ValueError(f"rule {self.name!r}: same_day_days belongs to per_diem")
        if self.case_rates_usd is not None and self.drgs is not None:
            raise ValueError(f"rule {self.name!r}: case_rates_usd names its DRGs; leave drgs out")
        self.matched_drgs()
        return self

    def matched_drgs(self) -> list[int] | None:
        """Return the DRGs that the rule matches, ascending; None is every DRG.

        Raises:
            ValueError: a range is no range, or a key of `case_rates_usd` no DRG.
        """
        listed = self.drgs if self.case_rates_usd is None else tuple(self.case_rates_usd)
        if listed is None:
            return None
        found: set[int] = set()
        for one in listed:
            first, _, last = str(one).partition("-")
            if not first.strip().isdecimal() or not (last or first).strip().isdecimal():
                raise ValueError(f"rule {self.name!r}: {one!r} is no DRG and no range such as '1-19'")
            ends = int(first), int(last or first)
            if not 1 <= ends[0] <= ends[1] <= 999:
                raise ValueError(f"rule {self.name!r}: {one!r} is no DRG and no range such as '1-19'")
            found |= set(range(ends[0], ends[1] + 1))
        return sorted(found)


class TransferTerms(_Terms):
    """Payment by day of a transfer: base times paid days by the geometric mean stay.

    Attributes:
        statuses: discharge statuses that are transfers.
        extra_days: added to the length of stay, which counts as at least 1; Medicare adds 1.
        rules: names of the rules to which it applies; without it all.

    >>> TransferTerms(statuses=(2, 5), extra_days=1).statuses
    (2, 5)
    """

    statuses: tuple[StrictInt, ...] = Field(min_length=1)
    extra_days: StrictInt = Field(ge=0, le=10)
    rules: tuple[Text, ...] | None = None
    source: Text | None = None


class OutlierTerms(_Terms):
    """A share of charges or cost above a threshold.

    Attributes:
        basis: "charges", or "cost" (charges times `cost_to_charge`).
        threshold_usd: the threshold, or with `above_payment` what is added to the payment to find it.
        above_payment: whether the threshold is on top of the payment so far.
        share: of the excess that is paid.
        cost_to_charge: a ratio, or "hospital" for `operating_ccr` of the hospital; needed with cost.
        rules: names of the rules to which it applies; without it all.

    >>> OutlierTerms(basis="charges", threshold_usd=200_000.0, above_payment=False, share=0.4).share
    0.4
    """

    basis: Literal["charges", "cost"]
    threshold_usd: Usd
    above_payment: bool
    share: Share
    cost_to_charge: Share | Literal["hospital"] | None = None
    rules: tuple[Text, ...] | None = None
    source: Text | None = None

    @model_validator(mode="after")
    def _check(self) -> OutlierTerms:
        if (self.basis == "cost") != (self.cost_to_charge is not None):
            raise ValueError("an outlier by cost needs cost_to_charge, and one by charges has none")
        return self


class StopLossTerms(_Terms):
    """A share of charges for stays whose charges exceed a threshold.

    Attributes:
        kind: "first_dollar" pays the share of all charges instead of everything else; "second_dollar" adds the share of
            the charges above the threshold.
        threshold_usd: of charges.
        share: of charges that is paid.
        rules: names of the rules to which it applies; without it all.

    >>> StopLossTerms(kind="second_dollar", threshold_usd=150_000.0, share=0.55).kind
    'second_dollar'
    """

    kind: Literal["first_dollar", "second_dollar"]
    threshold_usd: Usd
    share: Share
    rules: tuple[Text, ...] | None = None
    source: Text | None = None


class LesserOfTerms(_Terms):
    """At most a share of charges is paid.

    >>> LesserOfTerms(share_of_charges=1.0).share_of_charges
    1.0
    """

    share_of_charges: Share
    rules: tuple[Text, ...] | None = None
    source: Text | None = None


class Contract(_Terms):
    """A payer's contract. It goes wherever `Rates` go, alone or in a list with them.

    In a list, the column `payer` of the admissions chooses: a payer's name chooses its contract (of several by
    `discharge_date`), "Medicare" or null the rates. Alone, a contract prices every stay.

    Attributes:
        payer: as in the column `payer`, without regard to upper and lower case.
        title, source: text.
        fiscal_year: of the MS-DRGs, weights and geometric mean stays that the contract uses (Table 5).
        effective_from, effective_to: first and last discharge date.
        rules: in order; the first that matches a stay pays it.
        transfer, outlier, stop_loss, lesser_of: the term, or "none".
        own_weights: weights by DRG, which replace those of Table 5 altogether.

    >>> terms = {"transfer": "none", "outlier": "none", "stop_loss": "none", "lesser_of": "none"}
    >>> rule = PayRule(name="all", base_rate_usd=11_000.0)
    >>> days = {"effective_from": datetime.date(2025, 10, 1), "effective_to": datetime.date(2026, 9, 30)}
    >>> texts = {"payer": "Acme", "title": "Acme 2026", "source": "exhibit B"}
    >>> acme = Contract(fiscal_year=2026, rules=(rule,), **texts, **days, **terms)
    >>> from drgsim import price
    >>> price(pl.DataFrame({"drg": [470]}), None, acme).select("contract_rule", "total_usd").row(0)
    ('all', 21217.9)
    """

    payer: Text
    title: Text
    source: Text
    fiscal_year: StrictInt = Field(ge=2018, le=2100)
    effective_from: datetime.date
    effective_to: datetime.date
    rules: tuple[PayRule, ...] = Field(min_length=1)
    transfer: TransferTerms | Literal["none"]
    outlier: OutlierTerms | Literal["none"]
    stop_loss: StopLossTerms | Literal["none"]
    lesser_of: LesserOfTerms | Literal["none"]
    own_weights: dict[str, Weight] | None = None

    @model_validator(mode="after")
    def _check(self) -> Contract:
        if self.payer.strip().lower() == MEDICARE.lower():
            raise ValueError(f"the payer is {self.payer!r}, which the rates price")
        if self.effective_to < self.effective_from:
            raise ValueError(f"effective_to {self.effective_to} is before effective_from {self.effective_from}")
        names = [rule.name for rule in self.rules]
        if len(set(names)) != len(names):
            raise ValueError(f"two rules have one name: {names}")
        for rule in self.rules[:-1]:
            if rule.matched_drgs() is None and rule.codes is None:
                raise ValueError(f"rule {rule.name!r} matches every stay; rules after it never apply")
        for term in (self.transfer, self.outlier, self.stop_loss, self.lesser_of):
            for name in (None if isinstance(term, str) else term.rules) or ():
                if name not in names:
                    raise ValueError(f"no rule is called {name!r}.{did_you_mean(name, names)}")
        for key in self.own_weights or ():
            if not key.isdecimal() or not 1 <= int(key) <= 999:
                raise ValueError(f"own_weights: {key!r} is no DRG")
        return self

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Contract:
        """Return the contract of a TOML file.

        Raises:
            InputError: there is no such file, it is no TOML, or it leaves something out or says what cannot be.

        >>> Contract.load("none.toml")
        Traceback (most recent call last):
        drgsim.exceptions.InputError: none.toml: no such file.
        """
        name = os.fspath(path)
        if not Path(path).is_file():
            raise InputError(f"{name}: no such file.")
        return cls.parse(Path(path).read_text("utf-8"), name)

    @classmethod
    def parse(cls, text: str, name: str = "contract") -> Contract:
        """Return the contract of a TOML text; errors name it `name`.

        Raises:
            InputError: as `load`.
        """
        values = parse_toml(text, name, InputError)
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            problems = [
                f"{'.'.join(map(str, one['loc'])) or 'contract'}: {one['msg'].removeprefix('Value error, ')}"
                for one in error.errors(include_url=False, include_input=False)
            ]
            raise InputError(f"{name}: {'; '.join(problems)}.") from None

    @cached_property
    def table5(self) -> pl.DataFrame:
        """Table 5 of the contract's fiscal year: the DRGs that it pays."""
        return Rates.load(self.fiscal_year).weights

    @property
    def weights(self) -> pl.DataFrame:
        """Table 5 with the contract's own weights where it has them, null where these lack a DRG."""
        if self.own_weights is None:
            return self.table5
        own = {int(drg): float(weight) for drg, weight in self.own_weights.items()}
        return self.table5.with_columns(
            weight=pl.col("drg").cast(pl.Int64).replace_strict(own, default=None, return_dtype=pl.Float64)
        )

    def columns(self) -> tuple[Column, ...]:
        """Return the columns of admissions that it can read, those that it needs as required."""
        terms = (self.outlier, self.stop_loss, self.lesser_of)
        needs = {
            *("los_days" for rule in self.rules if rule.per_diem is not None or self.transfer != "none"),
            *("covered_charges_usd" for rule in self.rules if rule.share_of_charges is not None),
            *("covered_charges_usd" for term in terms if term != "none"),
            *(name for name in ("pdx", "sdx", "procedures") if self.codes),
        }
        needs |= {"discharge_status"} if self.transfer != "none" else set()
        needs |= {"hospital_id"} if getattr(self.outlier, "cost_to_charge", None) == "hospital" else set()
        names = ("hospital_id", "los_days", "covered_charges_usd", "discharge_status", "pdx", "sdx", "procedures")
        return (GROUPED["drg"], *(replace(ADMISSIONS[name], required=name in needs) for name in names))

    @property
    def codes(self) -> list[str]:
        """Codes on which its payment depends, normalised."""
        listed = [code for rule in self.rules for code in rule.codes or ()]
        return normalise_codes(pl.Series(listed, dtype=pl.String)).unique().sort().to_list()


PriceTerms = Rates | Contract | Sequence[Rates | Contract]
"""What prices stays: rates, a contract, or several of both."""


def has_contracts(terms: object) -> bool:
    """Return whether terms are a contract or have one.

    >>> has_contracts(Rates.load(2026))
    False
    """
    if isinstance(terms, Contract):
        return True
    return isinstance(terms, Sequence) and any(isinstance(one, Contract) for one in terms)
