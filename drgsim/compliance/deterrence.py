"""Consequences of wrong claims under an audit design: detection, recoupment, penalty.

A hospital that bills a dollar too much keeps it unless it is audited. Strategic upcoding (`StrategicUpcode`) weighs
these numbers against the gain; `equilibrium` finds the upcoding that expects the audit it causes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import polars as pl

from drgsim.compliance.audits import PERFECT, coverage
from drgsim.compliance.reviewers import Reviewers
from drgsim.compliance.sampling import Design, ProbeThenFull, SimpleRandom, lay_out_claims
from drgsim.exceptions import InputError
from drgsim.files.foreign_frames import accept_frames


@dataclass(frozen=True, eq=False)
class Consequences:
    """Expected consequences for a population of claims under one audit design, per audit period.

    Attributes:
        audit_probability, penalty_multiple: the arguments of `consequences`.
        detection_probability: that an overpaid claim is drawn and its error found; mean over overpaid claims. Whether
            a probe leads to a full sample is assumed independent of the claim.
        recoupment_usd: expected recoupment, extrapolated at the lower limit.
        recouped_share: the recoupment as a share of the net overpayment.
        penalty_usd: expected penalty, in addition to the recoupment.
        payback_per_usd: recoupment and penalty per dollar overpaid; upcoding pays while it is below 1.
        by_stratum: a row for each stratum: `stratum`, `claims`, `overpaid` [claims], `drawn_probability`,
            `detection_probability`.

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


@accept_frames
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
    """Return the expected detection, recoupment and penalty of claims under an audit design.

    Args:
        claims, design, seed, estimator, reviewers, level, replicates: as in `coverage`.
        penalty_multiple: dollars of penalty per dollar recouped, 0 or more: 0 where only the overpayment is repaid, 2
            under treble damages (31 USC 3729).
        audit_probability: that this population is audited, 0 to 1.

    Raises:
        SchemaError, InputError: as `coverage`; or `audit_probability` or `penalty_multiple` is out of range, or the
            net overpayment is not above 0.

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
        raise InputError(f"the net overpayment of the claims is {truth:,.2f} USD; consequences need one above 0.")
    strata = _find_detection(claims, design, table["extrapolated"], audit_probability * reviewers.sensitivity)
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


def _find_detection(claims: pl.DataFrame, design: Design, extrapolated: float, found: float) -> pl.DataFrame:
    """Return for each stratum its claims, overpaid claims and probability of detection."""
    layout = lay_out_claims(claims, design.full if isinstance(design, ProbeThenFull) else design)
    drawn = layout.take / layout.sizes
    if isinstance(design, ProbeThenFull):
        probe = design.probe / len(claims)
        # A simple full sample continues the probe; a stratified one is drawn independently of it.
        both = np.maximum(drawn, probe) if isinstance(design.full, SimpleRandom) else 1 - (1 - drawn) * (1 - probe)
        drawn = probe + extrapolated * (both - probe)
    overpaid = np.add.reduceat((layout.overpaid > 0).astype(np.int64), layout.start[:-1])
    return pl.DataFrame(
        {
            "stratum": list(layout.labels),
            "claims": layout.sizes,
            "overpaid": overpaid,
            "drawn_probability": drawn,
            "detection_probability": drawn * found,
        }
    )
