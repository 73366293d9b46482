"""What wrong claims have to expect from an audit design: detection, recoupment and penalty.

A hospital that bills a dollar too much keeps it unless it is audited. These are the numbers that strategic upcoding
(`drgsim.miscoding.strategic_upcoding`) weighs against the gain; `drgsim.compliance.upcoding_equilibrium` closes the loop.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import polars as pl

from drgsim.compliance.audits import PERFECT, coverage
from drgsim.compliance.reviewers import Reviewers
from drgsim.compliance.sampling import Design, ProbeThenFull, SimpleRandom, lay_out_claims
from drgsim.exceptions import InputError


@dataclass(frozen=True, eq=False)
class Consequences:
    """What a population of claims expects from audits by one design, per audit period.

    `detection_probability`: of an overpaid claim, that it is drawn and found (mean over overpaid claims; whether a
    probe leads to a full sample is taken as independent of the claim).
    `recoupment_usd`: expected, extrapolated at the lower limit; `recouped_share` of the net overpayment.
    `penalty_usd`: expected, on top of the recoupment. `payback_per_usd`: both, per dollar overpaid: upcoding
    pays while it is below 1. `by_stratum` has the same detection probability by stratum.

    >>> correct_usd = [9e3, 7e3] * 50
    >>> claims = pl.DataFrame({"admission_id": range(100), "billed_usd": 9e3, "correct_usd": correct_usd})
    >>> found = consequences(claims, SimpleRandom(50), seed=1, penalty_multiple=2.0)
    >>> found.by_stratum["detection_probability"].to_list()
    [0.5]
    """

    audit_probability: float
    penalty_multiple: float
    detection_probability: float
    recoupment_usd: float
    recouped_share: float
    penalty_usd: float
    payback_per_usd: float
    by_stratum: pl.DataFrame = field(repr=False)


def consequences(
    claims: pl.DataFrame,
    design: Design,
    *,
    seed: int,
    penalty_multiple: float,
    audit_probability: float = 1.0,
    estimator: str = "difference",
    reviewers: Reviewers = PERFECT,
    level: float = 0.90,
    replicates: int = 1000,
) -> Consequences:
    """Return the expected detection, recoupment and penalty of a population of claims under a design.

    Args:
        claims, design, seed, estimator, reviewers, level, replicates: as in `drgsim.compliance.audits.coverage`.
        penalty_multiple: dollars of penalty per dollar recouped: 0 where overpayments are paid back and no more, 2
            under treble damages (31 USC 3729).
        audit_probability: that this population is audited at all.

    Raises:
        InputError: as `coverage`; or a probability or multiple cannot be, or nothing was overpaid net.

    >>> claims = pl.DataFrame({"admission_id": range(100), "billed_usd": [9e3] * 100, "correct_usd": [9e3, 7e3] * 50})
    >>> found = consequences(claims, SimpleRandom(100), seed=1, penalty_multiple=2.0, audit_probability=0.1)
    >>> [round(value, 6) for value in (found.detection_probability, found.recoupment_usd, found.payback_per_usd)]
    [0.1, 10000.0, 0.3]
    """
    if not 0 <= audit_probability <= 1:
        raise InputError(f"audit_probability is {audit_probability!r}; expected a probability from 0 to 1.")
    if not 0 <= penalty_multiple < np.inf:
        raise InputError(f"penalty_multiple is {penalty_multiple!r}; expected a number, 0 or more.")
    table = coverage(
        claims, design, seed=seed, replicates=replicates, estimators=[estimator], reviewers=reviewers, level=level
    ).row(0, named=True)
    truth = table["truth_usd"]
    if truth <= 0:
        raise InputError(f"the claims were overpaid {truth:,.2f} USD net, so no share of it can be recouped.")
    strata = _detection(claims, design, table["extrapolated"], audit_probability * reviewers.sensitivity)
    recoupment = audit_probability * table["recovery_usd"]
    detected = np.average(strata["detection_probability"].to_numpy(), weights=strata["overpaid"].to_numpy())
    return Consequences(
        audit_probability=audit_probability,
        penalty_multiple=penalty_multiple,
        detection_probability=float(detected),
        recoupment_usd=recoupment,
        recouped_share=recoupment / truth,
        penalty_usd=penalty_multiple * recoupment,
        payback_per_usd=(1 + penalty_multiple) * recoupment / truth,
        by_stratum=strata,
    )


def _detection(claims: pl.DataFrame, design: Design, extrapolated: float, found: float) -> pl.DataFrame:
    """Return strata with their claims, overpaid claims and the probability that one of these is found."""
    laid = lay_out_claims(claims, design.full if isinstance(design, ProbeThenFull) else design)
    drawn = laid.take / laid.sizes
    if isinstance(design, ProbeThenFull):
        probe = design.probe / len(claims)
        # A simple full sample continues the probe, a stratified one is drawn beside it.
        both = np.maximum(drawn, probe) if isinstance(design.full, SimpleRandom) else 1 - (1 - drawn) * (1 - probe)
        drawn = probe + extrapolated * (both - probe)
    overpaid = np.add.reduceat((laid.over > 0).astype(np.int64), laid.start[:-1])
    return pl.DataFrame(
        {
            "stratum": list(laid.labels),
            "claims": laid.sizes,
            "overpaid": overpaid,
            "drawn_probability": drawn,
            "detection_probability": drawn * found,
        }
    )
