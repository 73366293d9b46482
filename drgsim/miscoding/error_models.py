"""Coding errors: where they can happen, what they change, and how often.

An `ErrorModel` is a frozen value that says for given admissions where its error can happen and what may come of
it (`Sites`). Everything else is the same for all of them and stands here: filters, clustering by hospital and
coder, keyed draws, guards that keep a claim legal, and the count of what could not be applied. An model of one's
own is a subclass with the one method `sites` (see docs/simulation.md).

A draw is keyed by seed, model, replicate and admission: an error that happens at a low rate also happens at
a higher one, and nothing depends on batches, threads or row order.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Annotated, ClassVar, Literal

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict, Field, field_validator

from drgsim.exceptions import InputError, did_you_mean
from drgsim.miscoding.error_sites import Sites
from drgsim.numerics.arrays import BoolArray
from drgsim.rebilling.baseline import Baseline
from drgsim.schema import normalise_codes
from drgsim.tables.table_set import TableSet

Rate = Annotated[float, Field(ge=0, le=1, strict=True)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Evidence(_Frozen):
    """Where a rate comes from: whose claims, when, and how the figure was come by.

    >>> Evidence(population="Medicare inpatients", period="2012", source="a study", status="READ").status
    'READ'
    """

    population: str
    period: str
    source: str
    status: Literal["READ", "SECONDARY", "DERIVED", "FITTED", "ASSUMPTION"]


class Study(_Frozen):
    """The counts behind a rate: `events` among `of`; `sensitivity.parameter_uncertainty` draws rates from them.

    >>> study = Study(events=12, of=400)
    >>> study.events / study.of
    0.03
    """

    events: Annotated[int, Field(ge=0)]
    of: Annotated[int, Field(ge=1)]


class Where(_Frozen):
    """Which admissions and codes an error is confined to; what is left empty does not confine.

    `codes` are beginnings of the code that is changed (of the principal diagnosis for errors that change none);
    `columns` are values of other columns, such as `{payer = ["Medicare"]}`; `decisive` keeps only codes
    without which the DRG would be another. Ages are the youngest and the oldest admitted [years].

    Raises:
        ValidationError: an unknown field, or ages that end before they begin.

    >>> elderly = Where(mdc=(5,), codes=("I50",), age=(65, 124))
    >>> elderly.mdc, elderly.decisive
    ((5,), False)
    """

    mdc: tuple[int, ...] = ()
    drg: tuple[int, ...] = ()
    codes: tuple[str, ...] = ()
    hospitals: tuple[str, ...] = ()
    age: tuple[int, int] | None = None
    columns: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    decisive: bool = False

    @field_validator("age")
    @classmethod
    def _check_order(cls, age: tuple[int, int] | None) -> tuple[int, int] | None:
        if age is not None and age[0] > age[1]:
            raise ValueError("ends before it begins; give the youngest and the oldest")
        return age

    def matches(self, baseline: Baseline) -> BoolArray:
        """Return which admissions it admits, (n,), codes aside.

        Raises:
            InputError: a column is not there.
        """
        kept = np.ones(len(baseline), np.bool_)
        if self.mdc:
            kept &= np.isin(baseline.truth.mdc, self.mdc)
        if self.drg:
            kept &= np.isin(baseline.truth.drg, self.drg)
        if self.age is not None:
            kept &= (baseline.age >= self.age[0]) & (baseline.age <= self.age[1])
        named = {**({"hospital_id": self.hospitals} if self.hospitals else {}), **self.columns}
        for column, values in named.items():
            if column not in baseline.grouped.columns:
                hint = did_you_mean(column, baseline.grouped.columns)
                raise InputError(f"an error is confined by column {column!r}, which the admissions lack.{hint}")
            kept &= baseline.grouped[column].cast(pl.String).is_in(list(values)).fill_null(value=False).to_numpy()
        return kept


class ErrorModel(_Frozen, ABC):
    """A coding error. Subclasses add rates and say where it can happen.

    `name` tells it apart in results and keys its draws (by default the kind of error); `hospital_sd` and
    `coder_sd` are standard deviations, on the logit scale, of how hospitals and coders differ; `guarded` keeps
    claims legal (see `guards`); `study` are the counts behind the rate. A kind of one's own: docs/simulation.md.

    >>> from drgsim.miscoding.diagnosis_errors import SdxOmit
    >>> missed = SdxOmit(cc=0.1, mcc=0.05)
    >>> missed.label, missed.with_rates(lambda rate: rate / 2).mcc
    ('sdx_omit', 0.025)
    """

    kind: str
    name: str = ""
    where: Where = Where()
    hospital_sd: Annotated[float, Field(ge=0, le=5, strict=True)] = 0.0
    coder_sd: Annotated[float, Field(ge=0, le=5, strict=True)] = 0.0
    guarded: bool = True
    study: Study | None = None
    evidence: tuple[Evidence, ...] = ()

    RATES: ClassVar[tuple[str, ...]] = ("rate",)
    """Fields that are rates."""
    USUAL_SIGN: ClassVar[Literal["up", "down", "mixed"]] = "mixed"
    CERTAIN: ClassVar[bool] = False
    """Whether every site has one outcome and no guard can refuse it, as where a code is only taken away."""
    ON_CODES: ClassVar[bool] = True
    """Whether `where.codes` speaks of the code that is edited rather than of the principal diagnosis."""

    @property
    def label(self) -> str:
        """The name in results."""
        return self.name or self.kind

    @abstractmethod
    def sites(self, baseline: Baseline) -> Sites:
        """Return where the error can happen among all admissions, whatever `where` says."""

    def with_rates(self, change: Callable[[float], float]) -> ErrorModel:
        """Return the model with each of its rates passed through `change`."""
        return self.model_copy(update={name: change(getattr(self, name)) for name in self.RATES})

    def shifted(self, shift: float) -> ErrorModel:
        """Return the model with its rates shifted on the logit scale; 0 and 1 stay."""
        return self.with_rates(lambda rate: shift_logit(rate, shift)) if shift else self


def shift_logit(rate: float, shift: float) -> float:
    """Return a rate whose logit is `shift` higher; 0 and 1 stay.

    Raises:
        InputError: the shift is not finite.

    >>> round(shift_logit(0.5, 1.0), 4), shift_logit(0.0, 1.0)
    (0.7311, 0.0)
    """
    if not math.isfinite(shift):
        raise InputError(f"the shift is {shift!r}, expected a finite number.")
    if rate in (0.0, 1.0):
        return rate
    logit = math.log(rate) - math.log1p(-rate) + shift
    return 1 / (1 + math.exp(-logit)) if logit > 0 else math.exp(logit) / (1 + math.exp(logit))


def match_prefixes(codes: pl.Series, prefixes: Sequence[str]) -> BoolArray:
    """Return which codes begin with one of some texts, however these are written."""
    found = np.zeros(len(codes), np.bool_)
    for prefix in normalise_codes(pl.Series(list(prefixes), dtype=pl.String)):
        found |= codes.str.starts_with(prefix).to_numpy()
    return found


def _get_texts(model: ErrorModel, field: str) -> tuple[str, ...]:
    """Return a field of texts, which not every kind of error has."""
    value = getattr(model, field, ())
    return value if isinstance(value, tuple) else ()


def find_problems(model: ErrorModel, tables: TableSet) -> list[tuple[str, object, str]]:
    """Return what of an model cannot be in a grouper version: (key, value, problem) each."""

    def absent(what: str) -> str:
        return f"no {what} of version {tables.version}"

    valid = pl.concat([tables.diagnoses["code"], tables.procedures["code"]])
    prefixes = [("where.codes", prefix) for prefix in model.where.codes]
    prefixes += [("to", to) for to in _get_texts(model, "to")]
    found: list[tuple[str, object, str]] = [
        (key, prefix, f"{absent('code')} begins so")
        for key, prefix in prefixes
        if not match_prefixes(valid, [prefix]).any()
    ]
    listed = pl.Series(list(_get_texts(model, "codes")), dtype=pl.String)
    known = normalise_codes(listed).is_in(tables.diagnoses["code"].implode())
    found += [("codes", code, absent("diagnosis")) for code in listed.filter(~known)]
    drgs, mdcs = set(tables.drg_titles["drg"]), set(tables.formulas["mdc"])
    found += [("where.drg", drg, absent("DRG")) for drg in model.where.drg if drg not in drgs]
    found += [("where.mdc", mdc, absent("MDC")) for mdc in model.where.mdc if mdc not in mdcs]
    return found
