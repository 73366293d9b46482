"""Reviewers who err: what they find on the claims they are given."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from drgsim.exceptions import InputError
from drgsim.numerics.arrays import FloatArray, UInt64Array
from drgsim.numerics.keyed_random import to_normal, uniform


@dataclass(frozen=True)
class Reviewers:
    """How well reviewers find errors, and what a review costs. The defaults never err and cost nothing.

    `sensitivity`: probability that an error of a claim is found. `specificity`: probability that a correct
    claim is left alone; otherwise it is disallowed by `false_share` of what it was billed. `amount_log_sd`: an
    error found is put at its amount times a log-normal factor of mean 1 and this log standard deviation, though
    never at more than was billed. `usd_per_claim`: cost of one review.

    >>> Reviewers(sensitivity=0.9)
    Reviewers(sensitivity=0.9, specificity=1.0, false_share=None, amount_log_sd=0.0, usd_per_claim=0.0)
    """

    sensitivity: float = 1.0
    specificity: float = 1.0
    false_share: float | None = None
    amount_log_sd: float = 0.0
    usd_per_claim: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
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
    over: FloatArray, billed: FloatArray, ids: UInt64Array, reviewers: Reviewers, *, seed: int, slots: UInt64Array
) -> FloatArray:
    """Return what reviewers find each claim overpaid, (...) [USD], negative where underpaid.

    Args:
        over, billed: what it was really overpaid, and billed [USD].
        ids: admission ids, by which draws are keyed.
        reviewers: who review.
        seed: any integer.
        slots: replicate of each claim; broadcast against ids.

    >>> over, billed, ids = np.array([500.0, 0.0]), np.full(2, 9e3), np.arange(2, dtype=np.uint64)
    >>> review_claims(over, billed, ids, Reviewers(), seed=1, slots=np.zeros(2, np.uint64)).tolist()
    [500.0, 0.0]
    """
    wrong, found, sd = over != 0, over, reviewers.amount_log_sd
    if sd > 0:
        z = to_normal(uniform(seed, "review, amount", ids, slots).ravel()).reshape(over.shape)
        found = np.minimum(over * np.exp(sd * z - sd * sd / 2), billed)
    u = uniform(seed, "review, judgement", ids, slots)
    found = np.where(wrong & (u < reviewers.sensitivity), found, 0.0)
    if reviewers.specificity < 1:
        falsely = ~wrong & (u >= reviewers.specificity)
        found = np.where(falsely, (reviewers.false_share or 0.0) * billed, found)
    return found
