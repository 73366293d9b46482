"""Coding errors of procedures: a wrong, missed or added one, and the hours of ventilation.

In the examples `baseline` is three admissions as correctly coded.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from drgsim.miscoding.confusable_codes import MDCS, find_group_starts, list_procedure_neighbours, read_durations
from drgsim.miscoding.error_models import ErrorModel, Rate
from drgsim.miscoding.error_sites import Options, Sites
from drgsim.numerics.segments import rank_distinct
from drgsim.rebilling.baseline import UNKNOWN_NUMBER, Baseline
from drgsim.rebilling.code_changes import ChangeKind
from drgsim.tables.national_facts import read_facts

_NO_OR = "nonor"


class ProcedureSubstitute(ErrorModel):
    """A procedure is billed as a valid one that differs in one of the seven axes of ICD-10-PCS.

    `rate` is the share of procedures. `axes` are those that may differ: 1 section, 2 body system, 3 operation,
    4 body part, 5 approach, 6 device, 7 qualifier. All axes with a valid neighbour are equally likely.

    >>> ProcedureSubstitute(rate=0.02).sites(baseline).rate.tolist()
    [0.02, 0.02]
    """

    kind: Literal["procedure_substitute"] = "procedure_substitute"
    rate: Rate = 0.0
    axes: Annotated[tuple[Annotated[int, Field(ge=1, le=7)], ...], Field(min_length=1)] = (3, 4, 5, 6, 7)

    def sites(self, baseline: Baseline) -> Sites:
        """Return every known procedure."""
        at = np.flatnonzero(baseline.encoded.procedures)
        codes, group = rank_distinct(baseline.encoded.procedures[at])
        options = list_procedure_neighbours(codes, baseline.tables, self.axes)
        return Sites.of_procedures(baseline, at, self.rate, options, group=group)


class ProcedureOmit(ErrorModel):
    """An operating-room procedure is not billed. `rate` is the share of O.R. procedures.

    >>> ProcedureOmit(rate=0.02).sites(baseline).row.tolist()
    [0]
    """

    kind: Literal["procedure_omit"] = "procedure_omit"
    rate: Rate = 0.0
    USUAL_SIGN: ClassVar[Literal["up", "down", "mixed"]] = "down"
    CERTAIN: ClassVar[bool] = True

    def sites(self, baseline: Baseline) -> Sites:
        """Return every O.R. procedure."""
        return Sites.of_procedures(baseline, np.flatnonzero(_is_or(baseline)), self.rate, Options.single(0))


class ProcedureAddUnsupported(ErrorModel):
    """An operating-room procedure is billed that was not performed.

    `rate` is the share of the admissions without an O.R. procedure. The added one is common in the shipped
    population, and the formulas of the admission's MDC read it.

    >>> ProcedureAddUnsupported(rate=0.01).sites(baseline).row.tolist()
    [1, 2]
    """

    kind: Literal["procedure_add_unsupported"] = "procedure_add_unsupported"
    rate: Rate = 0.0
    USUAL_SIGN: ClassVar[Literal["up", "down", "mixed"]] = "up"
    ON_CODES: ClassVar[bool] = False

    def sites(self, baseline: Baseline) -> Sites:
        """Return one site for each admission without an O.R. procedure."""
        has = np.zeros(len(baseline), np.bool_)
        has[baseline.encoded.procedure_row[_is_or(baseline)]] = True
        rows = np.flatnonzero(~has)
        group = np.minimum(baseline.truth.initial_mdc[rows], MDCS - 1)
        return Sites.of(ChangeKind.ADD_PROCEDURE, rows, self.rate, _list_common_procedures(baseline), group=group)


class VentilationHours(ErrorModel):
    """The hours of mechanical ventilation are billed one class too long or too short.

    `over` and `under` are the shares of the procedures that have a longer and a shorter class. The longer class must
    fit the length of stay (`miscoding/durations.csv`); a stay of unknown length allows every class.

    >>> VentilationHours(over=0.05).sites(baseline).row.tolist()
    [2]
    """

    kind: Literal["ventilation_hours"] = "ventilation_hours"
    over: Rate = 0.0
    under: Rate = 0.0
    RATES: ClassVar[tuple[str, ...]] = ("over", "under")

    def sites(self, baseline: Baseline) -> Sites:
        """Return every procedure with a class of duration, once for each rate above 0."""
        table = read_durations(baseline.tables)
        shorter, longer = (baseline.rules.procedure_book.numbers(table[name]) for name in ("code", "longer_code"))
        every = baseline.encoded.procedures
        parts = [Sites.none(ChangeKind.PROCEDURE)]
        for draw, (rate, before, after, least) in enumerate(
            (
                (self.over, shorter, longer, table["min_los_days"].to_numpy()),
                (self.under, longer, shorter, np.zeros(len(table), np.int64)),
            )
        ):
            options = Options.of(np.arange(len(after) + 1), after)
            for group, (code, days) in enumerate(zip(before, least, strict=True)):
                at = np.flatnonzero(every == code) if rate else np.zeros(0, np.int64)
                los = baseline.los[baseline.encoded.procedure_row[at]]
                at = at[(los == UNKNOWN_NUMBER) | (los >= days)]
                sites = Sites.of_procedures(baseline, at, rate, options, group=np.full(len(at), group))
                parts.append(sites.with_draw(draw))
        return Sites.join(parts)


# ---------------------------------------------------------------------------------------------------------


def _is_or(baseline: Baseline) -> NDArray[np.bool_]:
    """Return which procedures of the admissions are O.R. procedures, (k,)."""
    procedures = baseline.rules.procedures
    by_set = np.array([bool(names) and _NO_OR not in names for names in procedures.names])
    found: NDArray[np.bool_] = by_set[procedures.operand_set[baseline.encoded.procedures]]
    return found


def _list_common_procedures(baseline: Baseline) -> Options:
    """Return common O.R. procedures that the formulas of each MDC read, groups 0 to 25."""
    procedures = baseline.rules.procedures
    common = read_facts("procedures", baseline.tables.folder).group_by("code").agg(pl.col("weight").max()).sort("code")
    numbers = baseline.rules.procedure_book.numbers(common["code"])
    sets = procedures.operand_set[numbers]
    is_or = np.array([bool(names) and _NO_OR not in names for names in procedures.names])[sets]
    seen = (procedures.mdc_bits[:MDCS, :][:, sets] > 0) & is_or
    mdc, which = np.nonzero(seen)
    return Options.of(find_group_starts(mdc, MDCS), numbers[which], common["weight"].to_numpy()[which])
