"""Error models: where a coding error can happen, what it changes, and how often.

An `ErrorModel` is a frozen value. For given admissions it returns where its error can happen and the possible
outcomes (`Sites`). The rest is the same for all error models: filters (`Where`), variation of hospitals and coders,
keyed draws, guards against claims that a scrubber would stop, and the count of errors that were refused. Your own
error model is a subclass with one method, `sites` (docs/simulation.md).

A draw is keyed by seed, error, replicate and admission. An error that happens at one rate therefore also happens at
any higher rate, and no result depends on batches, threads or row order.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Annotated, ClassVar, Literal

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict, Field, field_validator

from drgsim.display import show_value
from drgsim.exceptions import InputError, did_you_mean
from drgsim.miscoding.error_sites import Sites
from drgsim.numerics.arrays import BoolArray
from drgsim.numerics.fixed_point import is_finite_number
from drgsim.rebilling.baseline import Baseline
from drgsim.schema import normalise_codes
from drgsim.tables.table_set import TableSet

Rate = Annotated[float, Field(ge=0, le=1, strict=True)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Evidence(_Frozen):
    """The evidence for a rate: whose claims, when, the source, and how the rate was obtained.

    `status` is READ (in the source itself), SECONDARY (in another source that cites it), DERIVED (computed from
    figures that were read), FITTED (to published figures) or ASSUMPTION.

    >>> Evidence(population="Medicare inpatients", period="2012", source="a study", status="READ").status
    'READ'
    """

    population: str
    period: str
    source: str
    status: Literal["READ", "SECONDARY", "DERIVED", "FITTED", "ASSUMPTION"]


class Study(_Frozen):
    """The counts behind a rate: `events` among `of`.

    `studies.parameter_uncertainty` draws rates from them.

    >>> study = Study(events=12, of=400)
    >>> study.events / study.of
    0.03
    """

    events: Annotated[int, Field(ge=0)]
    of: Annotated[int, Field(ge=1)]


class Where(_Frozen):
    """The admissions and codes to which an error is confined; an empty field does not confine.

    Attributes:
        mdc, drg: of the admission as correctly coded.
        codes: prefixes of the code that is changed; for errors that change no code, of the principal diagnosis.
        hospitals: values of `hospital_id`.
        age: the youngest and the oldest age [years].
        columns: values of other columns, such as `{payer = ["Medicare"]}`.
        decisive: only codes without which the admission has another DRG.

    Raises:
        ValidationError: a field is unknown, or the youngest age is above the oldest.

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
        """Return which admissions are included, (n,); `codes` and `decisive` are not considered.

        Raises:
            InputError: the admissions lack a column of the filter.
        """
        included = np.ones(len(baseline), np.bool_)
        if self.mdc:
            included &= np.isin(baseline.truth.mdc, self.mdc)
        if self.drg:
            included &= np.isin(baseline.truth.drg, self.drg)
        if self.age is not None:
            included &= (baseline.age >= self.age[0]) & (baseline.age <= self.age[1])
        named = {**({"hospital_id": self.hospitals} if self.hospitals else {}), **self.columns}
        for column, values in named.items():
            if column not in baseline.grouped.columns:
                hint = did_you_mean(column, baseline.grouped.columns)
                raise InputError(f"an error is confined by column {column!r}, which the admissions lack.{hint}")
            included &= baseline.grouped[column].cast(pl.String).is_in(list(values)).fill_null(value=False).to_numpy()
        return included


class ErrorModel(_Frozen, ABC):
    """A kind of coding error with its rates; subclasses say where it can happen.

    Attributes:
        kind: the kind of error.
        name: its name in results, which also keys its draws; by default the kind.
        where: the admissions and codes to which it is confined.
        hospital_sd, coder_sd: standard deviations of the rates of hospitals and coders, on the logit scale.
        guarded: whether errors that a claim scrubber would stop are refused.
        study: the counts behind the rate.
        evidence: where the rates come from.

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
    """Whether every site has one outcome that no guard can refuse, such as the removal of a code."""
    ON_CODES: ClassVar[bool] = True
    """Whether `where.codes` is about the changed code; otherwise it is about the principal diagnosis."""

    @property
    def label(self) -> str:
        """The name of the error in results."""
        return self.name or self.kind

    @abstractmethod
    def sites(self, baseline: Baseline) -> Sites:
        """Return where the error can happen among all admissions; `where` is applied later."""

    def with_rates(self, change: Callable[[float], float]) -> ErrorModel:
        """Return the error with `change` applied to each of its rates."""
        return self.model_copy(update={name: change(getattr(self, name)) for name in self.RATES})

    def shifted(self, shift: float) -> ErrorModel:
        """Return the error with its rates shifted on the logit scale; 0 and 1 do not change."""
        return self.with_rates(lambda rate: shift_logit(rate, shift)) if shift else self


def shift_logit(rate: float, shift: float) -> float:
    """Return a rate whose logit is higher by `shift`; 0 and 1 do not change.

    Raises:
        InputError: the shift is not finite.

    >>> round(shift_logit(0.5, 1.0), 4), shift_logit(0.0, 1.0)
    (0.7311, 0.0)
    """
    if not is_finite_number(shift):
        raise InputError(f"the shift is {show_value(shift)}, expected a finite number.")
    if rate in (0.0, 1.0):
        return rate
    logit = math.log(rate) - math.log1p(-rate) + shift
    return 1 / (1 + math.exp(-logit)) if logit > 0 else math.exp(logit) / (1 + math.exp(logit))


def match_prefixes(codes: pl.Series, prefixes: Sequence[str]) -> BoolArray:
    """Return which codes begin with one of the prefixes, (k,).

    Dots and case of the prefixes do not matter.
    """
    found = np.zeros(len(codes), np.bool_)
    for prefix in normalise_codes(pl.Series(list(prefixes), dtype=pl.String)):
        found |= codes.str.starts_with(prefix).to_numpy()
    return found


def _get_texts(model: ErrorModel, field: str) -> tuple[str, ...]:
    """Return a field of texts, or nothing where the kind of error has no such field."""
    value = getattr(model, field, ())
    return value if isinstance(value, tuple) else ()


def find_problems(model: ErrorModel, tables: TableSet) -> list[tuple[str, object, str]]:
    """Return key, value and problem of everything the error names that the version lacks."""

    def describe_absent(what: str) -> str:
        return f"no {what} of version {tables.version}"

    valid = pl.concat([tables.diagnoses["code"], tables.procedures["code"]])
    prefixes = [("where.codes", prefix) for prefix in model.where.codes]
    prefixes += [("to", to) for to in _get_texts(model, "to")]
    found: list[tuple[str, object, str]] = [
        (key, prefix, f"{describe_absent('code')} begins so")
        for key, prefix in prefixes
        if not match_prefixes(valid, [prefix]).any()
    ]
    listed = pl.Series(list(_get_texts(model, "codes")), dtype=pl.String)
    known = normalise_codes(listed).is_in(tables.diagnoses["code"].implode())
    found += [("codes", code, describe_absent("diagnosis")) for code in listed.filter(~known)]
    drgs, mdcs = set(tables.drg_titles["drg"]), set(tables.formulas["mdc"])
    found += [("where.drg", drg, describe_absent("DRG")) for drg in model.where.drg if drg not in drgs]
    found += [("where.mdc", mdc, describe_absent("MDC")) for mdc in model.where.mdc if mdc not in mdcs]
    return found
