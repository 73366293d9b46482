"""Upcoding and audit in answer to each other: hospitals weigh the risk they expect, and meet what they bring about.

The more is upcoded, the more an audit finds and takes back; the more it takes back, the less upcoding pays. In
equilibrium the risk that hospitals expect is the risk their claims then meet.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from drgsim.compliance.deterrence import Consequences
from drgsim.exceptions import InputError
from drgsim.miscoding.strategic_upcoding import StrategicUpcode
from drgsim.numerics.arrays import Int64Array
from drgsim.numerics.keyed_random import uniform
from drgsim.pricing.rates import Rates
from drgsim.rebilling.baseline import Baseline
from drgsim.tables.table_set import TableSet

_COLUMNS = ("expected_risk", "met_risk", "upcoded", "overpaid_usd", "payback_usd")


@dataclass(frozen=True, eq=False)
class Equilibrium:
    """Upcoding that expects the audit it meets.

    Attributes:
        upcoding: the behaviour with the risk (`detection`) and penalty it meets, ready for a scenario.
        claims: (n,) `schema.CLAIMS`, as they are billed under it.
        consequences: what these claims have to expect; None where nothing is upcoded.
        response: a row each risk tried, ascending: `expected_risk`; `upcoded` [admissions] and `overpaid_usd` in
            answer to it; `met_risk` and `payback_usd` (recoupment and penalty) in answer to these, null where
            nothing is upcoded.

    >>> from drgsim import generate
    >>> from drgsim.compliance.deterrence import consequences
    >>> from drgsim.compliance.sampling import SimpleRandom
    >>> tables, rates = TableSet.load("43.1"), Rates.load(2026)
    >>> hospitals, admissions = generate(500, seed=1, tables=tables)
    >>> found = equilibrium(admissions, StrategicUpcode(ceiling=0.5),
    ...                     lambda claims: consequences(claims, SimpleRandom(50), seed=1, penalty_multiple=0.0,
    ...                                                 replicates=50),
    ...                     tables=tables, hospitals=hospitals, rates=rates, seed=1)
    >>> found.claims.columns
    ['admission_id', 'hospital_id', 'billed_usd', 'correct_usd']
    """

    upcoding: StrategicUpcode
    claims: pl.DataFrame = field(repr=False)
    consequences: Consequences | None = field(repr=False)
    response: pl.DataFrame = field(repr=False)


def equilibrium(
    admissions: pl.DataFrame,
    upcoding: StrategicUpcode,
    audited: Callable[[pl.DataFrame], Consequences],
    *,
    tables: TableSet,
    hospitals: pl.DataFrame | None,
    rates: Rates | Sequence[Rates],
    seed: int,
    extrapolated: bool = True,
    tolerance: float = 0.005,
) -> Equilibrium:
    """Return the upcoding of hospitals that expect just the audit which their upcoding leads to.

    A risk is the share of a dollar billed too much that has to be repaid, before penalties. Where recoupment is
    extrapolated it is `recouped_share`, and a claim need not be drawn to be paid back; where only what reviewers find
    is repaid it is `detection_probability`. Who upcodes is drawn once: with less risk the same admissions are
    upcoded and more. The risk met must not fall as more is upcoded; then there is one equilibrium, and it is
    found by halving.

    Args:
        admissions, tables, hospitals, rates: as in `simulate`.
        upcoding: the behaviour; its own `detection` and `penalty` are replaced.
        audited: what audits do to claims, such as `lambda claims: consequences(claims, SimpleRandom(100), seed=1,
            penalty_multiple=2.0)`.
        seed: of who upcodes.
        extrapolated: which of the two risks.
        tolerance: how near the risk is found; the one returned is not below what is met.

    Raises:
        InputError: nothing is upcoded even without an audit, `tolerance` is not above 0, or as `audited`.

    >>> from drgsim import generate
    >>> from drgsim.compliance.deterrence import consequences
    >>> from drgsim.compliance.sampling import SimpleRandom
    >>> tables, rates = TableSet.load("43.1"), Rates.load(2026)
    >>> hospitals, admissions = generate(2_000, seed=1, tables=tables)
    >>> def audited(claims):
    ...     return consequences(claims, SimpleRandom(100), seed=1, penalty_multiple=1.0, replicates=200)
    >>> found = equilibrium(admissions, StrategicUpcode(ceiling=0.5), audited, tables=tables, hospitals=hospitals,
    ...                     rates=rates, seed=1)
    >>> found.response["upcoded"].is_sorted(descending=True)
    True
    >>> [round(risk, 2) for risk in (found.upcoding.detection, found.consequences.recouped_share)]
    [0.36, 0.35]
    """
    if not tolerance > 0:
        raise InputError(f"tolerance is {tolerance!r}, expected a number above 0.")
    cases = Baseline.of(admissions, tables=tables, hospitals=hospitals, rates=rates)
    gain, chance = upcoding.find_gains(cases).cents, uniform(seed, upcoding.kind, cases.ids)

    def answer(risk: float, penalty: float) -> _Answer:
        behaviour = upcoding.model_copy(update={"detection": risk, "penalty": penalty})
        claims = _claims(cases, np.where(chance < behaviour.probability(gain), gain, 0))
        wrong = (claims["billed_usd"] > claims["correct_usd"]).any()
        return _Answer(behaviour, claims, audited(claims) if wrong else None, extrapolated)

    answers = [answer(0.0, 0.0)]
    if answers[0].met is None:
        raise InputError("nothing is upcoded even without an audit. Raise the ceiling, or give candidates that pay.")
    penalty = answers[0].met.penalty_multiple
    low, high = 0.0, 1 / (1 + penalty)  # from there on upcoding is worth nothing
    answers.append(answer(high, penalty))
    while high - low > tolerance:
        answers.append(answer((low + high) / 2, penalty))
        if answers[-1].meets_more:
            low = answers[-1].behaviour.detection
        else:
            high = answers[-1].behaviour.detection
    found = min((one for one in answers if not one.meets_more), key=lambda one: one.behaviour.detection)
    response = pl.DataFrame(sorted(map(_Answer.row, answers)), schema=dict.fromkeys(_COLUMNS, pl.Float64), orient="row")
    return Equilibrium(found.behaviour, found.claims, found.met, response)


# ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Answer:
    """What hospitals bill if they expect a risk, and what these claims meet."""

    behaviour: StrategicUpcode
    claims: pl.DataFrame
    met: Consequences | None
    extrapolated: bool

    @property
    def met_risk(self) -> float | None:
        if self.met is None:
            return None
        return self.met.recouped_share if self.extrapolated else self.met.detection_probability

    @property
    def meets_more(self) -> bool:
        """Whether more is met than was expected."""
        return self.met_risk is not None and self.met_risk > self.behaviour.detection

    def row(self) -> tuple[float | None, ...]:
        over = (self.claims["billed_usd"] - self.claims["correct_usd"]).round(2)
        usd = round(float(over.sum()), 2)
        payback = None if self.met is None else round(usd * (self.met_risk or 0.0) * (1 + self.met.penalty_multiple), 2)
        return self.behaviour.detection, self.met_risk, float((over > 0).sum()), usd, payback


def _claims(cases: Baseline, more: Int64Array) -> pl.DataFrame:
    """Return admissions as they are billed and as they should be, in the layout of `schema.CLAIMS`."""
    names = [name for name in ("admission_id", "hospital_id") if name in cases.grouped.columns]
    correct = cases.pricer.cents
    return cases.grouped.select(names).with_columns(
        billed_usd=pl.Series((correct + more) / 100), correct_usd=pl.Series(correct / 100)
    )
