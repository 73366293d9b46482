"""Coding errors of diagnoses: the wrong principal one, secondary ones missed, added or at the wrong severity."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from drgsim.exceptions import InputError
from drgsim.grouping.encoding import POA_NOT_PRESENT, POA_PRESENT
from drgsim.miscoding.confusable_codes import (
    MDCS,
    list_named_codes,
    list_plausible,
    list_same_category,
    list_same_chapter,
    list_severity_neighbours,
    list_unspecified,
)
from drgsim.miscoding.error_models import ErrorModel, Rate
from drgsim.miscoding.error_sites import Options, Sites
from drgsim.numerics.arrays import Int64Array
from drgsim.numerics.segments import rank_distinct
from drgsim.rebilling.baseline import Baseline
from drgsim.rebilling.code_changes import ChangeKind
from drgsim.tables.code_limits import load_code_limits


class PdxResequence(ErrorModel):
    """A secondary diagnosis is billed as the principal one, and the principal one as secondary.

    `rate` is the share of admissions that have a secondary diagnosis which may be principal: present on admission
    (where that is known), no manifestation and no external cause. Any of them is as likely as another.

    >>> import polars as pl
    >>> from drgsim import Rates, TableSet
    >>> from drgsim.rebilling.baseline import Baseline
    >>> patient = {"admission_id": [1], "age": [54], "sex": ["F"], "discharge_status": [1], "los_days": [5]}
    >>> codes = {"pdx": ["K810"], "sdx": [["I10", "J9601"]], "sdx_poa": [["Y", "Y"]], "procedures": [["0FT44ZZ"]]}
    >>> one, tables = pl.DataFrame({**patient, **codes}), TableSet.load("43.1")
    >>> baseline = Baseline.of(one, tables=tables, hospitals=None, rates=Rates.load(2026))
    >>> PdxResequence(rate=0.1).sites(baseline).rate.round(3).tolist()
    [0.1]
    """

    kind: Literal["pdx_resequence"] = "pdx_resequence"
    rate: Rate = 0.0
    ON_CODES: ClassVar[bool] = False

    def sites(self, baseline: Baseline) -> Sites:
        """Return one site an admission with a candidate; its options are its own secondary diagnoses."""
        encoded, legal = baseline.encoded, load_code_limits(baseline.tables)
        fits = legal.may_be_pdx[encoded.sdx] & (encoded.sdx != encoded.pdx[encoded.sdx_row])
        if encoded.poa is not None:
            fits &= encoded.poa == POA_PRESENT
        at = np.flatnonzero(fits)
        row = encoded.sdx_row[at]
        count = np.bincount(row, minlength=len(baseline))
        rows = np.flatnonzero(count)
        start = np.concatenate([[0], np.cumsum(count[rows])])
        options = Options.of(start, encoded.sdx[at], place=at - encoded.sdx_start[row])
        return Sites.of(
            ChangeKind.SWAP_PDX, rows, self.rate, options, group=np.arange(len(rows)), before=encoded.pdx[rows]
        )


class PdxSubstitute(ErrorModel):
    """Another code is billed as the principal diagnosis: mostly a near neighbour, else one of the same chapter.

    `rate` is the share of admissions; `within_category` of these stay in the three-character category. `to` are
    beginnings of the codes that may come of it.

    >>> import polars as pl
    >>> from drgsim import Rates, TableSet
    >>> from drgsim.rebilling.baseline import Baseline
    >>> patient = {"admission_id": [1], "age": [54], "sex": ["F"], "discharge_status": [1], "los_days": [5]}
    >>> codes = {"pdx": ["K810"], "sdx": [["I10", "J9601"]], "sdx_poa": [["Y", "Y"]], "procedures": [["0FT44ZZ"]]}
    >>> one, tables = pl.DataFrame({**patient, **codes}), TableSet.load("43.1")
    >>> baseline = Baseline.of(one, tables=tables, hospitals=None, rates=Rates.load(2026))
    >>> PdxSubstitute(rate=0.1).sites(baseline).rate.round(3).tolist()
    [0.08, 0.02]
    """

    kind: Literal["pdx_substitute"] = "pdx_substitute"
    rate: Rate = 0.0
    within_category: Rate = 0.8
    to: tuple[str, ...] = ()

    def sites(self, baseline: Baseline) -> Sites:
        """Return two sites an admission, in its category and in its chapter."""
        pdx = baseline.encoded.pdx
        codes, group = rank_distinct(pdx)
        near, (far, chapter) = (
            list_same_category(codes, baseline.tables, to=self.to),
            list_same_chapter(codes, baseline.tables),
        )
        row = np.flatnonzero(baseline.rules.diagnoses.valid[pdx])
        inside = Sites.of(
            ChangeKind.PDX, row, self.rate * self.within_category, near, group=group[row], before=pdx[row]
        )
        if self.to:
            return inside
        outside = Sites.of(
            ChangeKind.PDX,
            row,
            self.rate * (1 - self.within_category),
            far,
            group=chapter[group][row],
            before=pdx[row],
            draw=1,
        )
        return Sites.join([inside, outside])


class SdxOmit(ErrorModel):
    """Secondary diagnoses that should have been coded are not.

    `cc`, `mcc` and `other` are the shares of codes of each severity that are missed, each on its own.

    >>> import polars as pl
    >>> from drgsim import Rates, TableSet
    >>> from drgsim.rebilling.baseline import Baseline
    >>> patient = {"admission_id": [1], "age": [54], "sex": ["F"], "discharge_status": [1], "los_days": [5]}
    >>> codes = {"pdx": ["K810"], "sdx": [["I10", "J9601"]], "sdx_poa": [["Y", "Y"]], "procedures": [["0FT44ZZ"]]}
    >>> one, tables = pl.DataFrame({**patient, **codes}), TableSet.load("43.1")
    >>> baseline = Baseline.of(one, tables=tables, hospitals=None, rates=Rates.load(2026))
    >>> SdxOmit(mcc=0.04, cc=0.03).sites(baseline).rate.round(3).tolist()
    [0.04]
    """

    kind: Literal["sdx_omit"] = "sdx_omit"
    cc: Rate = 0.0
    mcc: Rate = 0.0
    other: Rate = 0.0
    RATES: ClassVar[tuple[str, ...]] = ("cc", "mcc", "other")
    USUAL_SIGN: ClassVar[Literal["up", "down", "mixed"]] = "down"
    CERTAIN: ClassVar[bool] = True

    def sites(self, baseline: Baseline) -> Sites:
        """Return every secondary diagnosis of a severity that is missed at all."""
        rate = np.array([self.other, self.cc, self.mcc])[_levels(baseline)]
        return _of_sdx(baseline, np.flatnonzero((rate > 0) & (baseline.encoded.sdx > 0)), rate, Options.single(0))


class SdxAddUnsupported(ErrorModel):
    """A secondary diagnosis is billed that the record does not support.

    `mcc` and `cc` are the shares of admissions given one of that severity. By default it is one that is plausible in
    the MDC (see `neighbours.plausible`); `codes` names others, all alike. Not one that the principal diagnosis
    excludes, unless `allow_excluded`.

    >>> import polars as pl
    >>> from drgsim import Rates, TableSet
    >>> from drgsim.rebilling.baseline import Baseline
    >>> patient = {"admission_id": [1], "age": [54], "sex": ["F"], "discharge_status": [1], "los_days": [5]}
    >>> codes = {"pdx": ["K810"], "sdx": [["I10", "J9601"]], "sdx_poa": [["Y", "Y"]], "procedures": [["0FT44ZZ"]]}
    >>> one, tables = pl.DataFrame({**patient, **codes}), TableSet.load("43.1")
    >>> baseline = Baseline.of(one, tables=tables, hospitals=None, rates=Rates.load(2026))
    >>> SdxAddUnsupported(mcc=0.01, cc=0.02).sites(baseline).rate.round(3).tolist()
    [0.01, 0.02]
    """

    kind: Literal["sdx_add_unsupported"] = "sdx_add_unsupported"
    mcc: Rate = 0.0
    cc: Rate = 0.0
    codes: tuple[str, ...] = ()
    allow_excluded: bool = False
    RATES: ClassVar[tuple[str, ...]] = ("mcc", "cc")
    USUAL_SIGN: ClassVar[Literal["up", "down", "mixed"]] = "up"
    ON_CODES: ClassVar[bool] = False

    def sites(self, baseline: Baseline) -> Sites:
        """Return a site an admission and severity."""
        rows = np.arange(len(baseline))
        group = np.minimum(baseline.truth.initial_mdc, MDCS - 1)
        parts = []
        for draw, (severity, rate) in enumerate((("MCC", self.mcc), ("CC", self.cc))):
            if rate > 0:
                options = list_plausible(baseline.tables, severity, codes=self.codes)
                parts.append(Sites.of(ChangeKind.ADD_SDX, rows, rate, options, group=group, draw=draw))
        return Sites.join(parts) if parts else Sites.of(ChangeKind.ADD_SDX, rows[:0], 0.0, Options.single(0))


class _Ladder(ErrorModel):
    """What the two errors of severity share: a code becomes one of its category with another severity."""

    rate: Rate = 0.0
    to: tuple[str, ...] = ()
    UP: ClassVar[bool]

    def sites(self, baseline: Baseline) -> Sites:
        """Return every secondary diagnosis whose category has such a rung."""
        return _replaced(
            baseline, self.rate, lambda codes: list_severity_neighbours(codes, baseline.tables, up=self.UP, to=self.to)
        )


class SeverityUpgrade(_Ladder):
    """A secondary diagnosis is billed as one of its category with a higher severity, nearest likeliest.

    `rate` is the share of secondary diagnoses whose category has one; `to` are beginnings of what may come of it.

    >>> import polars as pl
    >>> from drgsim import Rates, TableSet
    >>> from drgsim.rebilling.baseline import Baseline
    >>> patient = {"admission_id": [1], "age": [54], "sex": ["F"], "discharge_status": [1], "los_days": [5]}
    >>> codes = {"pdx": ["K810"], "sdx": [["I5020", "I10"]], "sdx_poa": [["Y", "Y"]], "procedures": [["0FT44ZZ"]]}
    >>> one, tables = pl.DataFrame({**patient, **codes}), TableSet.load("43.1")
    >>> baseline = Baseline.of(one, tables=tables, hospitals=None, rates=Rates.load(2026))
    >>> SeverityUpgrade(rate=0.1).sites(baseline).rate.round(3).tolist()
    [0.1]
    """

    kind: Literal["severity_upgrade"] = "severity_upgrade"
    USUAL_SIGN: ClassVar[Literal["up", "down", "mixed"]] = "up"
    UP: ClassVar[bool] = True


class SeverityDowngrade(_Ladder):
    """A secondary diagnosis is billed as one of its category with a lower severity, nearest likeliest.

    `rate` and `to` as in `severity_upgrade`.

    >>> import polars as pl
    >>> from drgsim import Rates, TableSet
    >>> from drgsim.rebilling.baseline import Baseline
    >>> patient = {"admission_id": [1], "age": [54], "sex": ["F"], "discharge_status": [1], "los_days": [5]}
    >>> codes = {"pdx": ["K810"], "sdx": [["I5021", "I10"]], "sdx_poa": [["Y", "Y"]], "procedures": [["0FT44ZZ"]]}
    >>> one, tables = pl.DataFrame({**patient, **codes}), TableSet.load("43.1")
    >>> baseline = Baseline.of(one, tables=tables, hospitals=None, rates=Rates.load(2026))
    >>> SeverityDowngrade(rate=0.1).sites(baseline).rate.round(3).tolist()
    [0.1]
    """

    kind: Literal["severity_downgrade"] = "severity_downgrade"
    USUAL_SIGN: ClassVar[Literal["up", "down", "mixed"]] = "down"
    UP: ClassVar[bool] = False


class SpecificityLoss(ErrorModel):
    """A diagnosis is billed as the unspecified one of its category.

    `sdx` and `pdx` are the shares of secondary and principal diagnoses, of those that have one; `to` are
    beginnings of what may come of it.

    >>> import polars as pl
    >>> from drgsim import Rates, TableSet
    >>> from drgsim.rebilling.baseline import Baseline
    >>> patient = {"admission_id": [1], "age": [54], "sex": ["F"], "discharge_status": [1], "los_days": [5]}
    >>> codes = {"pdx": ["K810"], "sdx": [["I5021", "I10"]], "sdx_poa": [["Y", "Y"]], "procedures": [["0FT44ZZ"]]}
    >>> one, tables = pl.DataFrame({**patient, **codes}), TableSet.load("43.1")
    >>> baseline = Baseline.of(one, tables=tables, hospitals=None, rates=Rates.load(2026))
    >>> SpecificityLoss(sdx=0.1).sites(baseline).rate.round(3).tolist()
    [0.1]
    """

    kind: Literal["specificity_loss"] = "specificity_loss"
    sdx: Rate = 0.0
    pdx: Rate = 0.0
    to: tuple[str, ...] = ()
    RATES: ClassVar[tuple[str, ...]] = ("sdx", "pdx")
    USUAL_SIGN: ClassVar[Literal["up", "down", "mixed"]] = "down"

    def sites(self, baseline: Baseline) -> Sites:
        """Return the principal and secondary diagnoses that are specified and have an unspecified neighbour."""
        parts = []
        if self.pdx:
            codes, group = rank_distinct(baseline.encoded.pdx)
            options = list_unspecified(codes, baseline.tables, to=self.to)
            row = np.flatnonzero(np.diff(options.start)[group])
            before = baseline.encoded.pdx[row]
            parts.append(Sites.of(ChangeKind.PDX, row, self.pdx, options, group=group[row], before=before))
        if self.sdx or not parts:
            parts.append(
                _replaced(baseline, self.sdx, lambda codes: list_unspecified(codes, baseline.tables, to=self.to))
            )
        return Sites.join(parts)


class SdxSubstitute(ErrorModel):
    """A secondary diagnosis is billed as one of some others, whatever their category or severity.

    `rate` is the share of secondary diagnoses (confine it with `where.codes`); `to` are beginnings of what comes of
    it, one as likely as another.
    """

    kind: Literal["sdx_substitute"] = "sdx_substitute"
    rate: Rate = 0.0
    to: Annotated[tuple[str, ...], Field(min_length=1)]

    def sites(self, baseline: Baseline) -> Sites:
        """Return every known secondary diagnosis."""
        at = np.flatnonzero(baseline.encoded.sdx)
        return _of_sdx(
            baseline, at, np.full(len(baseline.encoded.sdx), self.rate), list_named_codes(self.to, baseline.tables)
        )


class InvalidCode(ErrorModel):
    """A code is mistyped into one that does not exist: the admission cannot be grouped, or the code is lost.

    `pdx`, `sdx` and `procedure` are the shares of codes of each kind.

    >>> import polars as pl
    >>> from drgsim import Rates, TableSet
    >>> from drgsim.rebilling.baseline import Baseline
    >>> patient = {"admission_id": [1], "age": [54], "sex": ["F"], "discharge_status": [1], "los_days": [5]}
    >>> codes = {"pdx": ["K810"], "sdx": [["I10", "J9601"]], "sdx_poa": [["Y", "Y"]], "procedures": [["0FT44ZZ"]]}
    >>> one, tables = pl.DataFrame({**patient, **codes}), TableSet.load("43.1")
    >>> baseline = Baseline.of(one, tables=tables, hospitals=None, rates=Rates.load(2026))
    >>> InvalidCode(pdx=0.001, sdx=0.002).sites(baseline).rate.round(3).tolist()
    [0.001, 0.002, 0.002]
    """

    kind: Literal["invalid_code"] = "invalid_code"
    pdx: Rate = 0.0
    sdx: Rate = 0.0
    procedure: Rate = 0.0
    RATES: ClassVar[tuple[str, ...]] = ("pdx", "sdx", "procedure")
    USUAL_SIGN: ClassVar[Literal["up", "down", "mixed"]] = "down"
    CERTAIN: ClassVar[bool] = True

    def sites(self, baseline: Baseline) -> Sites:
        """Return every known code that is mistyped at all."""
        encoded, lost = baseline.encoded, Options.single(0)
        parts = [Sites.of(ChangeKind.PDX, np.zeros(0, np.int64), 0.0, lost)]
        if self.pdx:
            row = np.flatnonzero(encoded.pdx)
            parts.append(Sites.of(ChangeKind.PDX, row, self.pdx, lost, before=encoded.pdx[row]))
        if self.sdx:
            at = np.flatnonzero(encoded.sdx)
            parts.append(_of_sdx(baseline, at, np.full(len(encoded.sdx), self.sdx), lost))
        if self.procedure:
            at = np.flatnonzero(encoded.procedures)
            owner = encoded.procedure_row[at]
            place = at - encoded.procedure_start[owner]
            before = encoded.procedures[at]
            parts.append(Sites.of(ChangeKind.PROCEDURE, owner, self.procedure, lost, place=place, before=before))
        return Sites.join(parts)


class PoaFlip(ErrorModel):
    """Present on admission is misreported: `over` of those not present as present, `under` of those present as not.

    Looks at codes of hospital-acquired conditions alone unless `every_code`: no other changes a payment.

    >>> import polars as pl
    >>> from drgsim import Rates, TableSet
    >>> from drgsim.rebilling.baseline import Baseline
    >>> patient = {"admission_id": [1], "age": [54], "sex": ["F"], "discharge_status": [1], "los_days": [5]}
    >>> codes = {"pdx": ["K810"], "sdx": [["I10", "L89154"]], "sdx_poa": [["Y", "N"]], "procedures": [["0FT44ZZ"]]}
    >>> one, tables = pl.DataFrame({**patient, **codes}), TableSet.load("43.1")
    >>> baseline = Baseline.of(one, tables=tables, hospitals=None, rates=Rates.load(2026))
    >>> PoaFlip(over=0.2).sites(baseline).rate.round(3).tolist()
    [0.2]
    """

    kind: Literal["poa_flip"] = "poa_flip"
    over: Rate = 0.0
    under: Rate = 0.0
    every_code: bool = False
    RATES: ClassVar[tuple[str, ...]] = ("over", "under")

    def sites(self, baseline: Baseline) -> Sites:
        """Return every secondary diagnosis with a recognised POA indicator that is misreported at all.

        Raises:
            InputError: the admissions have no POA.
        """
        encoded, diagnoses = baseline.encoded, baseline.rules.diagnoses
        if encoded.poa is None:
            raise InputError(f"{self.label}: the admissions have no sdx_poa to misreport.")
        rate = np.array([0.0, self.under, self.over])[encoded.poa]
        asked = (rate > 0) & (encoded.sdx > 0)
        if not self.every_code:
            asked &= diagnoses.kind_hac[diagnoses.kind[encoded.sdx]]
        at = np.flatnonzero(asked)
        flipped = Options.of(np.array([0, 1, 2]), np.array([POA_NOT_PRESENT, POA_PRESENT]))
        was = encoded.poa[at]
        return _of_sdx(
            baseline, at, rate, flipped, kind=ChangeKind.POA, group=(was != POA_PRESENT).astype(np.int64), before=was
        )


# ---------------------------------------------------------------------------------------------------------


def _levels(baseline: Baseline) -> NDArray[np.uint8]:
    """Return the severity of each secondary diagnosis as a place in SEVERITIES, (k,)."""
    diagnoses = baseline.rules.diagnoses
    levels: NDArray[np.uint8] = diagnoses.scheme_severity[diagnoses.scheme[baseline.encoded.sdx]]
    return levels


def _of_sdx(
    baseline: Baseline,
    at: Int64Array,
    rate: NDArray[np.float64],
    options: Options,
    *,
    kind: ChangeKind = ChangeKind.SDX,
    group: Int64Array | None = None,
    before: NDArray[np.integer] | None = None,
) -> Sites:
    """Return sites at positions of secondary diagnoses; `rate` is that of every position."""
    encoded = baseline.encoded
    row = encoded.sdx_row[at]
    place = at - encoded.sdx_start[row]
    was: NDArray[np.integer] = encoded.sdx[at] if before is None else before
    return Sites.of(kind, row, rate[at], options, group=group, place=place, before=was)


def _replaced(baseline: Baseline, rate: float, options_of: Callable[[NDArray[np.int32]], Options]) -> Sites:
    """Return the secondary diagnoses for which there are options, each code with its own."""
    codes, group = rank_distinct(baseline.encoded.sdx)
    options = options_of(codes)
    at = np.flatnonzero(np.diff(options.start)[group])
    return _of_sdx(baseline, at, np.full(len(group), rate), options, group=group[at].astype(np.int64))
