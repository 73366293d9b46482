"""Errors of what a claim says beside its codes: discharge status, sex and age."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from drgsim.grouping.encoding import SEX
from drgsim.miscoding.error_models import ErrorModel, Rate
from drgsim.miscoding.error_sites import Options, Sites
from drgsim.rebilling.baseline import UNKNOWN_NUMBER, Baseline
from drgsim.rebilling.code_changes import ChangeKind
from drgsim.tables.code_limits import OLDEST

Status = Annotated[int, Field(ge=1, le=99)]
_AGE_SLIP = 10
"""The decade of an age is misread."""


class DischargeStatus(ErrorModel):
    """The discharge status is misreported: a transfer to other care as a discharge home, or another such change.

    `rate` is the share of admissions with a status of `of`, which becomes `becomes` (UB-04). By default post-acute
    and acute transfers become routine discharges, which pays more where the transfer rule would have cut the payment.

    >>> import polars as pl
    >>> from drgsim import Rates, TableSet
    >>> from drgsim.rebilling.baseline import Baseline
    >>> patient = {"admission_id": [1], "age": [54], "sex": ["F"], "discharge_status": [3], "los_days": [5]}
    >>> codes = {"pdx": ["K810"], "sdx": [["I10", "J9601"]], "sdx_poa": [["Y", "Y"]], "procedures": [["0FT44ZZ"]]}
    >>> one, tables = pl.DataFrame({**patient, **codes}), TableSet.load("43.1")
    >>> baseline = Baseline.of(one, tables=tables, hospitals=None, rates=Rates.load(2026))
    >>> DischargeStatus(rate=0.05).sites(baseline).rate.round(3).tolist()
    [0.05]
    """

    kind: Literal["discharge_status"] = "discharge_status"
    rate: Rate = 0.0
    of: tuple[Status, ...] = (2, 3, 5, 6, 62, 63, 65, 66)
    becomes: Status = 1
    ON_CODES: ClassVar[bool] = False
    CERTAIN: ClassVar[bool] = True

    def sites(self, baseline: Baseline) -> Sites:
        """Return one site an admission with one of these statuses."""
        status = baseline.encoded.discharge_status
        row = np.flatnonzero(np.isin(status, self.of) & (status != self.becomes))
        return Sites.of(ChangeKind.DISCHARGE_STATUS, row, self.rate, Options.single(self.becomes), before=status[row])


class Demographics(ErrorModel):
    """Sex is reported as the other one, or age is off by ten years.

    `sex` and `age` are shares of admissions. A sex that a code of the claim rules out is refused; age changes no
    MS-DRG.

    >>> import polars as pl
    >>> from drgsim import Rates, TableSet
    >>> from drgsim.rebilling.baseline import Baseline
    >>> patient = {"admission_id": [1], "age": [54], "sex": ["F"], "discharge_status": [1], "los_days": [5]}
    >>> codes = {"pdx": ["K810"], "sdx": [["I10", "J9601"]], "sdx_poa": [["Y", "Y"]], "procedures": [["0FT44ZZ"]]}
    >>> one, tables = pl.DataFrame({**patient, **codes}), TableSet.load("43.1")
    >>> baseline = Baseline.of(one, tables=tables, hospitals=None, rates=Rates.load(2026))
    >>> Demographics(sex=0.001).sites(baseline).rate.round(3).tolist()
    [0.001]
    """

    kind: Literal["demographics"] = "demographics"
    sex: Rate = 0.0
    age: Rate = 0.0
    RATES: ClassVar[tuple[str, ...]] = ("sex", "age")
    ON_CODES: ClassVar[bool] = False

    def sites(self, baseline: Baseline) -> Sites:
        """Return a site an admission of known sex, and one of known age, where each is misreported at all."""
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
