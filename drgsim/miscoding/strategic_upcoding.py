"""Upcoding as a choice of the hospital.

The more a code pays and the less audits deter, the more often it is billed.

In the first example `baseline` is three admissions as correctly coded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from drgsim.exceptions import InputError
from drgsim.files.foreign_frames import accept_frames
from drgsim.miscoding.confusable_codes import MDCS, list_plausible
from drgsim.miscoding.error_models import ErrorModel, Rate
from drgsim.miscoding.error_sites import Options, Sites
from drgsim.miscoding.scrubber import find_refusals
from drgsim.numerics.arrays import FloatArray, Int64Array
from drgsim.pricing.contracts import PriceTerms
from drgsim.rebilling.baseline import Baseline
from drgsim.rebilling.code_changes import ChangeKind, CodeChanges
from drgsim.tables.table_set import TableSet


@dataclass(frozen=True, eq=False)
class Gains:
    """The candidate that pays most on each admission, (n,).

    Attributes:
        code: number of the candidate in the codebook; 0 where no candidate pays more.
        cents: what it adds to the payment [cents].
    """

    code: NDArray[np.int32]
    cents: Int64Array


class StrategicUpcode(ErrorModel):
    """The hospital adds the candidate diagnosis that pays most, if it is worth the risk.

    The worth of an upcoded claim is gain x (1 - detection x (1 + penalty)): if it is detected, the hospital repays
    the gain and pays a multiple of it. The share of admissions upcoded is `ceiling` x (1 - exp(-worth / `scale_usd`)),
    and 0 where the worth is not above 0.

    Attributes:
        ceiling: limit of the share of admissions upcoded as the worth grows.
        detection: probability that an upcoded claim is detected.
        penalty: penalty of a detected claim, as a multiple of the gain.
        scale_usd: worth at which the share is 63 % of the ceiling [USD].
        codes: the candidates; by default the `candidates` most plausible MCCs and CCs of each MDC.

    >>> sites = StrategicUpcode(ceiling=0.2, codes=("J9601",)).sites(baseline)
    >>> sites.row.tolist(), bool(0 < sites.rate[0] < 0.2)
    ([1], True)
    """

    kind: Literal["strategic_upcode"] = "strategic_upcode"
    ceiling: Rate = 0.0
    detection: Rate = 0.0
    penalty: Annotated[float, Field(ge=0, le=100)] = 0.0
    scale_usd: Annotated[float, Field(gt=0, le=1e9)] = 4000.0
    codes: tuple[str, ...] = ()
    candidates: Annotated[int, Field(ge=1, le=100)] = 6
    RATES: ClassVar[tuple[str, ...]] = ("ceiling",)
    USUAL_SIGN: ClassVar[Literal["up", "down", "mixed"]] = "up"
    ON_CODES: ClassVar[bool] = False

    def sites(self, baseline: Baseline) -> Sites:
        """Return one site for each admission on which a candidate pays more, with its probability."""
        best = self.find_gains(baseline)
        rate = self.probability(best.cents)
        row = np.flatnonzero(rate > 0)
        options = Options.of(np.arange(len(row) + 1), best.code[row])
        return Sites.of(ChangeKind.ADD_SDX, row, rate[row], options, group=np.arange(len(row)))

    def find_gains(self, baseline: Baseline) -> Gains:
        """Return the candidate that pays most on each admission that `where` includes."""
        rows = np.flatnonzero(self.where.matches(baseline))
        code, gain = np.zeros(len(baseline), np.int32), np.zeros(len(baseline), np.int64)
        for candidate in self._candidates(baseline):
            after = candidate[np.minimum(baseline.truth.initial_mdc[rows], MDCS - 1)]
            zero = np.zeros(len(rows), np.int32)
            changes = CodeChanges(rows, np.full(len(rows), ChangeKind.ADD_SDX, np.uint8), zero, zero, after)
            legal = (after > 0) & (find_refusals(changes, baseline, guarded=self.guarded, excluded=False) == 0)
            changes = changes.take(np.flatnonzero(legal))
            more = baseline.rebill(changes, np.arange(len(changes) + 1)).cents - baseline.pricer.cents[changes.row]
            better = np.flatnonzero(more > gain[changes.row])
            gain[changes.row[better]], code[changes.row[better]] = more[better], changes.after[better]
        return Gains(code, gain)

    def probability(self, gain: Int64Array) -> FloatArray:
        """Return the share of admissions upcoded at these gains [cents], (n,)."""
        worth = gain / 100 * (1 - self.detection * (1 + self.penalty))
        return np.asarray(self.ceiling * -np.expm1(-np.maximum(worth, 0.0) / self.scale_usd))

    def _candidates(self, baseline: Baseline) -> NDArray[np.int32]:
        """Return candidates by rank and MDC, (candidates, 26); 0 is no candidate."""
        ranked: list[list[int]] = [[] for _ in range(MDCS)]
        for severity in ("MCC", "CC"):
            options = list_plausible(baseline.tables, severity, codes=self.codes)
            for mdc in range(MDCS):
                own = slice(options.start[mdc], options.start[mdc + 1])
                order = np.argsort(-options.weight[own], kind="stable")
                most = len(order) if self.codes else self.candidates
                ranked[mdc] += options.after[own][order[:most]].tolist()
        width = max(map(len, ranked))
        return np.array([own + [0] * (width - len(own)) for own in ranked], np.int32).T


@accept_frames
def sweep_detection(
    admissions: pl.DataFrame,
    upcoding: StrategicUpcode,
    *,
    tables: TableSet,
    hospitals: pl.DataFrame | None,
    rates: PriceTerms,
    detection: Sequence[float],
    penalty: Sequence[float] | None = None,
) -> pl.DataFrame:
    """Return what upcoding is worth to the hospital at given detections, without sampling noise.

    `drgsim.compliance` says which detection an audit design gives, and what upcoding and audits do in response to
    each other.

    Args:
        admissions, tables, hospitals, rates: as in `simulate`.
        upcoding: the behaviour; `detection` and `penalty` replace its own.
        detection: probabilities that an upcoded claim is detected.
        penalty: multiples of the gain; by default the behaviour's own.

    Returns:
        One row for each pair of penalty and detection: `detection`, `penalty`, `upcoded` [admissions], `gain_usd`,
        `repaid_usd`, `penalty_usd`, `net_usd` (gain less both), all expected values.

    Raises:
        InputError: a detection is outside 0 to 1, or a penalty is negative.

    >>> from drgsim import Rates, generate
    >>> tables, rates = TableSet.load("43.1"), Rates.load(2026)
    >>> hospitals, admissions = generate(500, seed=1, tables=tables)
    >>> table = sweep_detection(admissions, StrategicUpcode(ceiling=0.2, penalty=3.0), tables=tables,
    ...                         hospitals=hospitals, rates=rates, detection=[0.0, 0.1, 0.3])
    >>> table["upcoded"].is_sorted(descending=True), table["net_usd"][-1]
    (True, 0.0)
    """
    penalties = [upcoding.penalty] if penalty is None else list(penalty)
    if any(not 0 <= d <= 1 for d in detection) or any(p < 0 for p in penalties):
        raise InputError(f"detection is {detection!r} and penalty {penalties!r}: expected 0 to 1, and 0 or more.")
    baseline = Baseline.of(admissions, tables=tables, hospitals=hospitals, rates=rates)
    gain = upcoding.find_gains(baseline).cents
    rows = []
    for multiple in penalties:
        for found in detection:
            behaviour = upcoding.model_copy(update={"detection": found, "penalty": multiple})
            rate = behaviour.probability(gain)
            usd = float(rate @ gain) / 100
            repaid, fined = found * usd, found * multiple * usd
            rows.append((found, multiple, float(rate.sum()), usd, repaid, fined, usd - repaid - fined))
    names = ("detection", "penalty", "upcoded", "gain_usd", "repaid_usd", "penalty_usd", "net_usd")
    return pl.DataFrame(rows, schema=dict.fromkeys(names, pl.Float64), orient="row")
