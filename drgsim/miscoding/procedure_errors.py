"""Coding errors of procedures: the wrong one, one missed or added, and how long a ventilator ran."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from drgsim.miscoding.confusable_codes import MDCS, find_group_starts, list_procedure_neighbours, read_durations
from drgsim.miscoding.error_models import ErrorModel, Rate
from drgsim.miscoding.error_sites import Options, Sites
from drgsim.numerics.arrays import Int64Array
from drgsim.numerics.segments import rank_distinct
from drgsim.rebilling.baseline import UNKNOWN_NUMBER, Baseline
from drgsim.rebilling.code_changes import ChangeKind
from drgsim.tables.national_facts import read_facts

_NO_OR = "nonor"


class ProcedureSubstitute(ErrorModel):
    """A procedure is billed as a valid one that differs in one of the seven axes of ICD-10-PCS.

    `rate` is the share of procedures; `axes` may differ (1 section, 2 body system, 3 operation, 4 body part,
    5 approach, 6 device, 7 qualifier), each that has a neighbour as likely as another.

    >>> import polars as pl
    >>> from drgsim import Rates, TableSet
    >>> from drgsim.rebilling.baseline import Baseline
    >>> patient = {"admission_id": [1], "age": [54], "sex": ["F"], "discharge_status": [1], "los_days": [5]}
    >>> codes = {"pdx": ["K810"], "sdx": [["I10", "J9601"]], "sdx_poa": [["Y", "Y"]], "procedures": [["0FT44ZZ"]]}
    >>> one, tables = pl.DataFrame({**patient, **codes}), TableSet.load("43.1")
    >>> baseline = Baseline.of(one, tables=tables, hospitals=None, rates=Rates.load(2026))
    >>> ProcedureSubstitute(rate=0.02).sites(baseline).rate.round(3).tolist()
    [0.02]
    """

    kind: Literal["procedure_substitute"] = "procedure_substitute"
    rate: Rate = 0.0
    axes: Annotated[tuple[Annotated[int, Field(ge=1, le=7)], ...], Field(min_length=1)] = (3, 4, 5, 6, 7)

    def sites(self, baseline: Baseline) -> Sites:
        """Return every known procedure."""
        at = np.flatnonzero(baseline.encoded.procedures)
        codes, group = rank_distinct(baseline.encoded.procedures[at])
        options = list_procedure_neighbours(codes, baseline.tables, self.axes)
        return _of_procedures(baseline, at, self.rate, options, group.astype(np.int64))


class ProcedureOmit(ErrorModel):
    """An operating-room procedure is not billed. `rate` is the share of O.R. procedures.

    >>> import polars as pl
    >>> from drgsim import Rates, TableSet
    >>> from drgsim.rebilling.baseline import Baseline
    >>> patient = {"admission_id": [1], "age": [54], "sex": ["F"], "discharge_status": [1], "los_days": [5]}
    >>> codes = {"pdx": ["K810"], "sdx": [["I10", "J9601"]], "sdx_poa": [["Y", "Y"]], "procedures": [["0FT44ZZ"]]}
    >>> one, tables = pl.DataFrame({**patient, **codes}), TableSet.load("43.1")
    >>> baseline = Baseline.of(one, tables=tables, hospitals=None, rates=Rates.load(2026))
    >>> ProcedureOmit(rate=0.02).sites(baseline).rate.round(3).tolist()
    [0.02]
    """

    kind: Literal["procedure_omit"] = "procedure_omit"
    rate: Rate = 0.0
    USUAL_SIGN: ClassVar[Literal["up", "down", "mixed"]] = "down"
    CERTAIN: ClassVar[bool] = True

    def sites(self, baseline: Baseline) -> Sites:
        """Return every O.R. procedure."""
        at = np.flatnonzero(_is_or(baseline))
        return _of_procedures(baseline, at, self.rate, Options.single(0), np.zeros(len(at), np.int64))


class ProcedureAddUnsupported(ErrorModel):
    """An operating-room procedure is billed that was not done.

    `rate` is the share of admissions without one. The procedure is a common one (of the shipped population) that the
    formulas of the admission's MDC look at.

    >>> import polars as pl
    >>> from drgsim import Rates, TableSet
    >>> from drgsim.rebilling.baseline import Baseline
    >>> patient = {"admission_id": [1], "age": [54], "sex": ["F"], "discharge_status": [1], "los_days": [5]}
    >>> codes = {"pdx": ["K810"], "sdx": [["I10", "J9601"]], "sdx_poa": [["Y", "Y"]], "procedures": [[]]}
    >>> one, tables = pl.DataFrame({**patient, **codes}), TableSet.load("43.1")
    >>> baseline = Baseline.of(one, tables=tables, hospitals=None, rates=Rates.load(2026))
    >>> ProcedureAddUnsupported(rate=0.01).sites(baseline).rate.round(3).tolist()
    [0.01]
    """

    kind: Literal["procedure_add_unsupported"] = "procedure_add_unsupported"
    rate: Rate = 0.0
    USUAL_SIGN: ClassVar[Literal["up", "down", "mixed"]] = "up"
    ON_CODES: ClassVar[bool] = False

    def sites(self, baseline: Baseline) -> Sites:
        """Return one site an admission without an O.R. procedure."""
        has = np.zeros(len(baseline), np.bool_)
        has[baseline.encoded.procedure_row[_is_or(baseline)]] = True
        rows = np.flatnonzero(~has)
        group = np.minimum(baseline.truth.initial_mdc[rows], MDCS - 1)
        return Sites.of(ChangeKind.ADD_PROCEDURE, rows, self.rate, _list_common_procedures(baseline), group=group)


class VentilationHours(ErrorModel):
    """The hours of mechanical ventilation are billed as one class too long or too short.

    `over` and `under` are the shares of procedures that have a longer and a shorter class. None longer than the
    stay allows (`miscoding/durations.csv`); a stay of unknown length allows all.

    >>> import polars as pl
    >>> from drgsim import Rates, TableSet
    >>> from drgsim.rebilling.baseline import Baseline
    >>> patient = {"admission_id": [1], "age": [54], "sex": ["F"], "discharge_status": [1], "los_days": [6]}
    >>> codes = {"pdx": ["J9601"], "sdx": [["I10"]], "sdx_poa": [["Y"]], "procedures": [["5A1945Z"]]}
    >>> one, tables = pl.DataFrame({**patient, **codes}), TableSet.load("43.1")
    >>> baseline = Baseline.of(one, tables=tables, hospitals=None, rates=Rates.load(2026))
    >>> VentilationHours(over=0.05).sites(baseline).rate.round(3).tolist()
    [0.05]
    """

    kind: Literal["ventilation_hours"] = "ventilation_hours"
    over: Rate = 0.0
    under: Rate = 0.0
    RATES: ClassVar[tuple[str, ...]] = ("over", "under")

    def sites(self, baseline: Baseline) -> Sites:
        """Return every procedure that says how long it lasted, once a direction."""
        table = read_durations(baseline.tables)
        shorter, longer = (baseline.rules.procedure_book.numbers(table[name]) for name in ("code", "longer_code"))
        every = baseline.encoded.procedures
        empty = Sites.of(ChangeKind.PROCEDURE, np.zeros(0, np.int64), 0.0, Options.single(0))
        parts = [empty]
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
                parts.append(_of_procedures(baseline, at, rate, options, np.full(len(at), group, np.int64), draw))
        return Sites.join(parts)


# ---------------------------------------------------------------------------------------------------------


def _of_procedures(
    baseline: Baseline, at: Int64Array, rate: float, options: Options, group: Int64Array, draw: int = 0
) -> Sites:
    """Return sites at positions of procedures."""
    row = baseline.encoded.procedure_row[at]
    place = at - baseline.encoded.procedure_start[row]
    before = baseline.encoded.procedures[at]
    return Sites.of(ChangeKind.PROCEDURE, row, rate, options, group=group, place=place, before=before, draw=draw)


def _is_or(baseline: Baseline) -> NDArray[np.bool_]:
    """Return which procedures of the admissions are O.R. procedures, (k,)."""
    procedures = baseline.rules.procedures
    by_set = np.array([bool(names) and _NO_OR not in names for names in procedures.names])
    found: NDArray[np.bool_] = by_set[procedures.operand_set[baseline.encoded.procedures]]
    return found


def _list_common_procedures(baseline: Baseline) -> Options:
    """Return common O.R. procedures that the formulas of each MDC look at, group 0 to 25."""
    procedures = baseline.rules.procedures
    common = read_facts("procedures", baseline.tables.folder).group_by("code").agg(pl.col("weight").max()).sort("code")
    numbers = baseline.rules.procedure_book.numbers(common["code"])
    sets = procedures.operand_set[numbers]
    is_or = np.array([bool(names) and _NO_OR not in names for names in procedures.names])[sets]
    seen = (procedures.view[:MDCS, :][:, sets] > 0) & is_or
    mdc, which = np.nonzero(seen)
    return Options.of(find_group_starts(mdc, MDCS), numbers[which], common["weight"].to_numpy()[which])
