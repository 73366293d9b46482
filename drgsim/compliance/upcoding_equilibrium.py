"""Upcoding and audit in equilibrium: hospitals expect the audit risk they cause.

The more is upcoded, the more an audit finds and recoups; the more it recoups, the less upcoding pays. In equilibrium
the risk that hospitals expect equals the risk that the audit then has for their claims.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from drgsim.compliance.deterrence import Consequences
from drgsim.exceptions import InputError
from drgsim.files.foreign_frames import accept_frames
from drgsim.miscoding.strategic_upcoding import StrategicUpcode
from drgsim.numerics.arrays import Int64Array
from drgsim.numerics.keyed_random import uniform
from drgsim.pricing.contracts import PriceTerms
from drgsim.rebilling.baseline import Baseline
from drgsim.tables.table_set import TableSet

_COLUMNS = ("expected_risk", "met_risk", "upcoded", "overpaid_usd", "payback_usd")


@dataclass(frozen=True, eq=False)
class Equilibrium:
    """Upcoding that expects the audit it causes.

    Attributes:
        upcoding: the behaviour with its risk (`detection`) and penalty in equilibrium, an error for a scenario.
        claims: (n,) `schema.CLAIMS`, as billed with this behaviour.
        consequences: of these claims; None where nothing is upcoded.
        response: a row for each risk tried, ascending: `expected_risk`; the resulting `upcoded` [admissions] and
            `overpaid_usd`; and the resulting `met_risk` and `payback_usd` (recoupment and penalty), null where nothing
            is upcoded.

    >>> from drgsim import Rates, generate
    >>> from drgsim.compliance import SimpleRandom, consequences
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


@accept_frames
def equilibrium(
    admissions: pl.DataFrame,
    upcoding: StrategicUpcode,
    audited: Callable[[pl.DataFrame], Consequences],
    *,
    tables: TableSet,
    hospitals: pl.DataFrame | None,
    rates: PriceTerms,
    seed: int,
    extrapolated: bool = True,
    tolerance: float = 0.005,
) -> Equilibrium:
    """Find the upcoding of hospitals that expect the audit risk their upcoding causes.

    A risk is the share of an overpaid dollar that has to be repaid, before penalties. If recoupment is extrapolated,
    it is `recouped_share`: claims that are not drawn are repaid too. If only the findings are repaid, it is
    `detection_probability`. Which admissions can be upcoded is drawn once: with a lower risk the same admissions are
    upcoded, and more. The risk must not fall as more is upcoded; then there is one equilibrium, found by bisection.

    Args:
        admissions, tables, hospitals, rates: as in `simulate`.
        upcoding: the behaviour; its `detection` and `penalty` are replaced.
        audited: a function from claims to the consequences of audits, such as `lambda claims: consequences(claims,
            SimpleRandom(100), seed=1, penalty_multiple=2.0)`.
        seed: any integer; draws who upcodes.
        extrapolated: whether recoupment is extrapolated.
        tolerance: greatest distance from the equilibrium risk; the risk returned is not below the one met.

    Raises:
        InputError: nothing is upcoded even without an audit, `tolerance` is not above 0, or `audited` raises it.

    >>> from drgsim import Rates, generate
    >>> from drgsim.compliance import SimpleRandom, consequences
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

    def respond(risk: float, penalty: float) -> _Response:
        behaviour = upcoding.model_copy(update={"detection": risk, "penalty": penalty})
        claims = _bill_claims(cases, np.where(chance < behaviour.probability(gain), gain, 0))
        is_upcoded = (claims["billed_usd"] > claims["correct_usd"]).any()
        return _Response(behaviour, claims, audited(claims) if is_upcoded else None, extrapolated)

    responses = [respond(0.0, 0.0)]
    if responses[0].consequences is None:
        raise InputError("nothing is upcoded even without an audit. Raise the ceiling, or give codes that pay more.")
    penalty = responses[0].consequences.penalty_multiple
    low, high = 0.0, 1 / (1 + penalty)  # from this risk on, upcoding does not pay
    responses.append(respond(high, penalty))
    while high - low > tolerance:
        responses.append(respond((low + high) / 2, penalty))
        if responses[-1].is_underestimated:
            low = responses[-1].behaviour.detection
        else:
            high = responses[-1].behaviour.detection
    found = min((one for one in responses if not one.is_underestimated), key=lambda one: one.behaviour.detection)
    response = pl.DataFrame(
        sorted(map(_Response.row, responses)), schema=dict.fromkeys(_COLUMNS, pl.Float64), orient="row"
    )
    return Equilibrium(found.behaviour, found.claims, found.consequences, response)


# ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Response:
    """The claims of hospitals that expect a risk, and the consequences of these claims."""

    behaviour: StrategicUpcode
    claims: pl.DataFrame
    consequences: Consequences | None
    extrapolated: bool

    @property
    def met_risk(self) -> float | None:
        if self.consequences is None:
            return None
        if self.extrapolated:
            return self.consequences.recouped_share
        return self.consequences.detection_probability

    @property
    def is_underestimated(self) -> bool:
        """Whether the risk met is above the risk expected."""
        return self.met_risk is not None and self.met_risk > self.behaviour.detection

    def row(self) -> tuple[float | None, ...]:
        overpaid = (self.claims["billed_usd"] - self.claims["correct_usd"]).round(2)
        usd = round(float(overpaid.sum()), 2)
        payback = None
        if self.consequences is not None:
            payback = round(usd * (self.met_risk or 0.0) * (1 + self.consequences.penalty_multiple), 2)
        return self.behaviour.detection, self.met_risk, float((overpaid > 0).sum()), usd, payback


def _bill_claims(cases: Baseline, gain: Int64Array) -> pl.DataFrame:
    """Return `schema.CLAIMS` of admissions that are billed with a gain, 0 or more [cents]."""
    names = [name for name in ("admission_id", "hospital_id") if name in cases.grouped.columns]
    correct = cases.pricer.cents
    return cases.grouped.select(names).with_columns(
        billed_usd=pl.Series((correct + gain) / 100), correct_usd=pl.Series(correct / 100)
    )
