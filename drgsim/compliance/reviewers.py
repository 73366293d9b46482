"""Reviewers who make mistakes, and their findings on claims."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from drgsim.exceptions import InputError
from drgsim.numerics.arrays import FloatArray, UInt64Array
from drgsim.numerics.keyed_random import to_normal, uniform


@dataclass(frozen=True)
class Reviewers:
    """How well reviewers find errors, and the cost of a review; by default no mistakes, no cost.

    Attributes:
        sensitivity: probability that the error of a claim is found.
        specificity: probability that a correct claim is accepted; else `false_share` of its billed amount is
            disallowed.
        false_share: 0 to 1; needed where `specificity` is below 1.
        amount_log_sd: the amount of an error found is multiplied by a log-normal factor of mean 1 and this log
            standard deviation; the finding is at most the billed amount.
        usd_per_claim: cost of one review.

    >>> Reviewers(sensitivity=0.9)
    Reviewers(sensitivity=0.9, specificity=1.0, false_share=None, amount_log_sd=0.0, usd_per_claim=0.0)
    """

    sensitivity: float = 1.0
    specificity: float = 1.0
    false_share: float | None = None
    amount_log_sd: float = 0.0
    usd_per_claim: float = 0.0

    def __post_init__(self) -> None:
        """Check the values."""
        for name in ("sensitivity", "specificity", "false_share"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise InputError(f"{name} is {value!r}; expected a share from 0 to 1.")
        for name in ("amount_log_sd", "usd_per_claim"):
            if not 0 <= getattr(self, name) < np.inf:
                raise InputError(f"{name} is {getattr(self, name)!r}; expected a number, 0 or more.")
        if self.specificity < 1 and self.false_share is None:
            raise InputError(
                f"specificity is {self.specificity!r}, so some correct claims are disallowed: say by false_share "
                "what share of their billed dollars."
            )


def review_claims(
    overpaid: FloatArray, billed: FloatArray, ids: UInt64Array, reviewers: Reviewers, *, seed: int, slots: UInt64Array
) -> FloatArray:
    """Return the overpayment found on each claim, (...) [USD], negative where underpaid.

    Args:
        overpaid, billed: (...) true overpayment and billed amount [USD].
        ids: (...) admission ids, the keys of the draws.
        reviewers: how well they find errors.
        seed: any integer.
        slots: replicate of each claim; broadcast against ids.

    >>> overpaid, billed, ids = np.array([500.0, 0.0]), np.full(2, 9e3), np.arange(2, dtype=np.uint64)
    >>> review_claims(overpaid, billed, ids, Reviewers(), seed=1, slots=np.zeros(2, np.uint64)).tolist()
    [500.0, 0.0]
    """
    is_wrong, found, sd = overpaid != 0, overpaid, reviewers.amount_log_sd
    if sd > 0:
        z = to_normal(uniform(seed, "review, amount", ids, slots).ravel()).reshape(overpaid.shape)
        found = np.minimum(overpaid * np.exp(sd * z - sd * sd / 2), billed)
    u = uniform(seed, "review, judgement", ids, slots)
    found = np.where(is_wrong & (u < reviewers.sensitivity), found, 0.0)
    if reviewers.specificity < 1:
        is_disallowed = ~is_wrong & (u >= reviewers.specificity)
        found = np.where(is_disallowed, (reviewers.false_share or 0.0) * billed, found)
    return found
