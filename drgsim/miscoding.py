"""Coding errors: where they can happen, what they change, and how often.

An `Operator` is a frozen value that says for given admissions where its error can happen and what may come of
it (`Sites`). Everything else is the same for all of them and stands here: filters, clustering by hospital and
coder, keyed draws, guards that keep a claim legal, and the count of what could not be applied. An operator of one's
own is a subclass with the one method `sites` (see docs/simulation.md).

A draw is keyed by seed, operator, replicate and admission: an error that happens at a low rate also happens at
a higher one, and nothing depends on batches, threads or row order.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, field_validator

from drgsim.cases import Cases
from drgsim.clustering import clustered
from drgsim.draws import Bits, Ints, bits, event_keys, fires
from drgsim.edits import Edits, Kind
from drgsim.errors import InputError, did_you_mean
from drgsim.guards import REFUSALS, refusals
from drgsim.schema import normalised
from drgsim.sites import Sites
from drgsim.spans import over_spans
from drgsim.tables import TableSet

Rate = Annotated[float, Field(ge=0, le=1, strict=True)]
Bools = NDArray[np.bool_]
_TRIES = 8
_AT_ONCE = 1 << 19
"""Sites drawn at once; few of them have an error, so that little is held for each."""
NO_CANDIDATE = REFUSALS.index("no candidate")


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
    def _ascends(cls, age: tuple[int, int] | None) -> tuple[int, int] | None:
        if age is not None and age[0] > age[1]:
            raise ValueError("ends before it begins; give the youngest and the oldest")
        return age

    def rows(self, cases: Cases) -> Bools:
        """Return which admissions it admits, (n,), codes aside.

        Raises:
            InputError: a column is not there.
        """
        kept = np.ones(len(cases), np.bool_)
        if self.mdc:
            kept &= np.isin(cases.truth.mdc, self.mdc)
        if self.drg:
            kept &= np.isin(cases.truth.drg, self.drg)
        if self.age is not None:
            kept &= (cases.age >= self.age[0]) & (cases.age <= self.age[1])
        named = {**({"hospital_id": self.hospitals} if self.hospitals else {}), **self.columns}
        for column, values in named.items():
            if column not in cases.grouped.columns:
                hint = did_you_mean(column, cases.grouped.columns)
                raise InputError(f"an error is confined by column {column!r}, which the admissions lack.{hint}")
            kept &= cases.grouped[column].cast(pl.String).is_in(list(values)).fill_null(value=False).to_numpy()
        return kept


class Operator(_Frozen, ABC):
    """A coding error. Subclasses add rates and say where it can happen.

    `name` tells it apart in results and keys its draws (by default the kind of error); `hospital_sd` and
    `coder_sd` are standard deviations, on the logit scale, of how hospitals and coders differ; `guarded` keeps
    claims legal (see `guards`); `study` are the counts behind the rate. A kind of one's own: docs/simulation.md.

    >>> from drgsim.diagnosis_errors import SdxOmit
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
    def sites(self, cases: Cases) -> Sites:
        """Return where the error can happen among all admissions, whatever `where` says."""

    def with_rates(self, change: Callable[[float], float]) -> Operator:
        """Return the operator with each of its rates passed through `change`."""
        return self.model_copy(update={name: change(getattr(self, name)) for name in self.RATES})

    def shifted(self, shift: float) -> Operator:
        """Return the operator with its rates shifted on the logit scale; 0 and 1 stay."""
        return self.with_rates(lambda rate: logit_shifted(rate, shift)) if shift else self


def logit_shifted(rate: float, shift: float) -> float:
    """Return a rate whose logit is `shift` higher; 0 and 1 stay.

    Raises:
        InputError: the shift is not finite.

    >>> round(logit_shifted(0.5, 1.0), 4), logit_shifted(0.0, 1.0)
    (0.7311, 0.0)
    """
    if not math.isfinite(shift):
        raise InputError(f"the shift is {shift!r}, expected a finite number.")
    if rate in (0.0, 1.0):
        return rate
    logit = math.log(rate) - math.log1p(-rate) + shift
    return 1 / (1 + math.exp(-logit)) if logit > 0 else math.exp(logit) / (1 + math.exp(logit))


def confined(operator: Operator, cases: Cases, *, seed: int) -> Sites:
    """Return the sites of an operator that its filter admits, with rates as hospitals and coders differ.

    Raises:
        InputError: the operator names a code, DRG or column that cannot be used; says which.
    """
    wrong = "; ".join(f"{key} is {value!r}: {why}" for key, value, why in problems(operator, cases.tables))
    if wrong:
        raise InputError(f"{operator.label}: {wrong}.")
    sites = operator.sites(cases)
    where = operator.where
    kept = where.rows(cases)[sites.row]
    if where.codes:
        kept &= _begins(operator, sites, cases)
    if not kept.all():
        sites = sites.take(np.flatnonzero(kept))
    if where.decisive and len(sites):
        kind = np.where(sites.kind == Kind.POA, np.uint8(Kind.SDX), sites.kind)
        gone = Edits(sites.row, kind, sites.place, _codes(sites, cases), np.zeros(len(sites), np.int32))
        without = cases.billed(gone, np.arange(len(sites) + 1))
        sites = sites.take(np.flatnonzero(without.drg != cases.truth.drg[sites.row]))
    if operator.hospital_sd or operator.coder_sd:
        rate = clustered(
            sites.rate, sites.row, cases, operator.label, operator.hospital_sd, operator.coder_sd, seed=seed
        )
        return replace(sites, rate=rate)
    return sites


def _begins(operator: Operator, sites: Sites, cases: Cases) -> Bools:
    """Return whose code begins as `where.codes` asks."""
    procedures = np.isin(sites.kind, (Kind.PROCEDURE, Kind.ADD_PROCEDURE)) & operator.ON_CODES
    codes = _codes(sites, cases) if operator.ON_CODES else cases.encoded.pdx[sites.row]
    found = np.zeros(len(sites), np.bool_)
    for book, which in ((cases.rules.diagnosis_book, ~procedures), (cases.rules.procedure_book, procedures)):
        found[which] = np.append(False, _beginning(book.codes, operator.where.codes))[codes[which]]
    return found


def _codes(sites: Sites, cases: Cases) -> NDArray[np.int32]:
    """Return the code each site is about: the one that is edited, or whose POA is."""
    codes = sites.before.copy()
    of_poa = np.flatnonzero(sites.kind == Kind.POA)
    codes[of_poa] = cases.encoded.sdx[cases.encoded.sdx_start[sites.row[of_poa]] + sites.place[of_poa]]
    return codes


def _beginning(codes: pl.Series, prefixes: Sequence[str]) -> Bools:
    """Return which codes begin with one of some texts, however these are written."""
    found = np.zeros(len(codes), np.bool_)
    for prefix in normalised(pl.Series(list(prefixes), dtype=pl.String)):
        found |= codes.str.starts_with(prefix).to_numpy()
    return found


def _texts(operator: Operator, field: str) -> tuple[str, ...]:
    """Return a field of texts, which not every kind of error has."""
    value = getattr(operator, field, ())
    return value if isinstance(value, tuple) else ()


def problems(operator: Operator, tables: TableSet) -> list[tuple[str, object, str]]:
    """Return what of an operator cannot be in a grouper version: (key, value, problem) each."""

    def absent(what: str) -> str:
        return f"no {what} of version {tables.version}"

    valid = pl.concat([tables.diagnoses["code"], tables.procedures["code"]])
    prefixes = [("where.codes", prefix) for prefix in operator.where.codes]
    prefixes += [("to", to) for to in _texts(operator, "to")]
    found: list[tuple[str, object, str]] = [
        (key, prefix, f"{absent('code')} begins so")
        for key, prefix in prefixes
        if not _beginning(valid, [prefix]).any()
    ]
    listed = pl.Series(list(_texts(operator, "codes")), dtype=pl.String)
    known = normalised(listed).is_in(tables.diagnoses["code"].implode())
    found += [("codes", code, absent("diagnosis")) for code in listed.filter(~known)]
    drgs, mdcs = set(tables.drg_titles["drg"]), set(tables.formulas["mdc"])
    found += [("where.drg", drg, absent("DRG")) for drg in operator.where.drg if drg not in drgs]
    found += [("where.mdc", mdc, absent("MDC")) for mdc in operator.where.mdc if mdc not in mdcs]
    return found


@dataclass(frozen=True, eq=False)
class Drawn:
    """Errors drawn in some replicates, (k,): replicate, site, the edits of those made, and what refused the others.

    `refusal` is a place in `guards.REFUSALS`, 0 where the error was made.
    """

    replicate: Ints
    site: Ints
    edits: Edits
    refusal: NDArray[np.uint8]


def keyed(operator: Operator, sites: Sites, cases: Cases, *, seed: int) -> Bits:
    """Return what the draws at an operator's sites are made from, (s,); one set serves all replicates."""
    return event_keys(seed, operator.label, cases.ids[sites.row], _slots(sites))


def drawn(operator: Operator, sites: Sites, keys: Bits, cases: Cases, replicates: range) -> Drawn:
    """Draw the errors of an operator in some replicates; sites ascend within a replicate.

    An error whose outcome is not legal on its claim is drawn again, at most eight times, then refused.

    Args:
        operator: whose errors.
        sites: where they can happen (`confined`).
        keys: what they are drawn from (`keyed`).
        cases: the admissions.
        replicates: consecutive replicates.
    """

    def span(a: int, b: int) -> tuple[Ints, Ints, Ints, NDArray[np.uint8]]:
        replicate, at = fires(sites.rate[a:b], keys[a:b], replicates, sites.open_bytes[a:b])
        site = at + a
        option, refusal = outcomes(operator, sites, site, cases, keys[site], replicate)
        return replicate, site, option, refusal

    parts = over_spans(len(sites), span, _AT_ONCE) or [span(0, 0)]
    replicate, site, option, refusal = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    made = np.flatnonzero(refusal == 0)
    return Drawn(replicate, site, sites.edits(site[made], option[made]), refusal)


def _slots(sites: Sites) -> Bits:
    """Return the slot of each site within its admission: what is edited, where, and which draw it is."""
    what = (sites.kind.astype(np.uint64) << np.uint64(4)) + sites.draw
    return sites.place.astype(np.uint64) + (what << np.uint64(22))


def outcomes(
    operator: Operator, sites: Sites, site: Ints, cases: Cases, keys: Bits, replicate: Ints
) -> tuple[Ints, NDArray[np.uint8]]:
    """Draw what comes of errors at some sites, (k,): the option of each, and what refuses it (0: nothing)."""
    start, group = sites.options.start, sites.group[site]
    size = start[group + 1] - start[group]
    if operator.CERTAIN:
        return np.asarray(start[group]), np.zeros(len(site), np.uint8)
    option = np.full(len(site), -1, np.int64)
    refusal = np.full(len(site), NO_CANDIDATE, np.uint8)
    waiting = np.flatnonzero(size)
    for attempt in range(_TRIES):
        if not len(waiting):
            break
        random = bits(0, f"outcome {attempt}", keys[waiting], replicate[waiting])
        option[waiting] = sites.options.choices.pick(group[waiting], random)
        edits = sites.edits(site[waiting], option[waiting])
        refusal[waiting] = refusals(edits, cases, guarded=operator.guarded, excluded=allows_excluded(operator))
        waiting = waiting[(refusal[waiting] > 0) & (size[waiting] > 1)]
    return option, refusal


def allows_excluded(operator: Operator) -> bool:
    """Return whether codes may be added that the principal diagnosis excludes."""
    return bool(getattr(operator, "allow_excluded", True))
