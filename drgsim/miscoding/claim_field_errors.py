"""Errors of other fields of a claim: discharge status, sex and age.

In the examples `baseline` is three admissions as correctly coded.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from drgsim.miscoding.error_models import ErrorModel, Rate
from drgsim.miscoding.error_sites import Options, Sites
from drgsim.rebilling.baseline import UNKNOWN_NUMBER, Baseline
from drgsim.rebilling.code_changes import ChangeKind
from drgsim.tables.code_limits import OLDEST
from drgsim.tables.encoding import SEX

Status = Annotated[int, Field(ge=1, le=99)]
_AGE_SLIP = 10
"""Years by which a misreported age is wrong: the decade is misread."""


class DischargeStatus(ErrorModel):
    """The discharge status is misreported, such as a transfer billed as a discharge home.

    `rate` is the share of the admissions with a status of `of`; their status becomes `becomes` (UB-04, FL 17). By
    default post-acute and acute transfers become discharges home. This pays more where the transfer rule reduces the
    payment.

    >>> DischargeStatus(rate=0.05).sites(baseline).row.tolist()
    [1]
    """

    kind: Literal["discharge_status"] = "discharge_status"
    rate: Rate = 0.0
    of: tuple[Status, ...] = (2, 3, 5, 6, 62, 63, 65, 66)
    becomes: Status = 1
    ON_CODES: ClassVar[bool] = False
    CERTAIN: ClassVar[bool] = True

    def sites(self, baseline: Baseline) -> Sites:
        """Return one site for each admission with one of these statuses."""
        status = baseline.encoded.discharge_status
        row = np.flatnonzero(np.isin(status, self.of) & (status != self.becomes))
        return Sites.of(ChangeKind.DISCHARGE_STATUS, row, self.rate, Options.single(self.becomes), before=status[row])


class Demographics(ErrorModel):
    """The other sex is reported, or an age that is wrong by ten years.

    `sex` and `age` are shares of admissions. A sex in conflict with a code of the claim is refused. Age changes no
    MS-DRG.

    >>> Demographics(sex=0.001).sites(baseline).row.tolist()
    [0, 1, 2]
    """

    kind: Literal["demographics"] = "demographics"
    sex: Rate = 0.0
    age: Rate = 0.0
    RATES: ClassVar[tuple[str, ...]] = ("sex", "age")
    ON_CODES: ClassVar[bool] = False

    def sites(self, baseline: Baseline) -> Sites:
        """Return a site for each known sex and each known age if its rate is above 0."""
        sex, age = baseline.encoded.sex, baseline.age
        row = np.flatnonzero(sex) if self.sex else np.zeros(0, np.int64)
        other = Options.of(np.array([0, 1, 2]), np.array([SEX["F"], SEX["M"]]))
        parts = [Sites.of(ChangeKind.SEX, row, self.sex, other, group=sex[row] - 1, before=sex[row])]
        if self.age:
            row = np.flatnonzero((age != UNKNOWN_NUMBER) & (age >= 0) & (age <= OLDEST))
            years = np.arange(OLDEST + 1)
            slipped = np.stack([np.maximum(years - _AGE_SLIP, 0), np.minimum(years + _AGE_SLIP, OLDEST)], axis=1)
            options = Options.of(2 * np.arange(OLDEST + 2), slipped.ravel())
            parts.append(Sites.of(ChangeKind.AGE, row, self.age, options, group=age[row], before=age[row]))
        return Sites.join(parts)
