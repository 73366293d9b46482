"""Coding errors of diagnoses: a wrong PDX; an SDX missed, added or at another severity.

In the examples `baseline` is three admissions as correctly coded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from drgsim.exceptions import InputError
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
from drgsim.numerics.segments import rank_distinct
from drgsim.rebilling.baseline import Baseline
from drgsim.rebilling.code_changes import ChangeKind
from drgsim.tables.code_limits import load_code_limits
from drgsim.tables.encoding import POA_NOT_PRESENT, POA_PRESENT


class PdxResequence(ErrorModel):
    """A secondary diagnosis is billed as the principal one, and the principal one as secondary.

    `rate` is the share of the admissions that have a candidate. Candidates are secondary diagnoses that may be
    principal: present on admission (if POA is known), no manifestation and no external cause. All candidates of an
    admission are equally likely.

    >>> sites = PdxResequence(rate=0.1).sites(baseline)
    >>> sites.row.tolist(), sites.rate.tolist()
    ([0, 1], [0.1, 0.1])
    """

    kind: Literal["pdx_resequence"] = "pdx_resequence"
    rate: Rate = 0.0
    ON_CODES: ClassVar[bool] = False

    def sites(self, baseline: Baseline) -> Sites:
        """Return one site for each admission with a candidate; its options are the candidates."""
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
    """Another code of the same category or chapter is billed as the principal diagnosis.

    `rate` is the share of admissions. The share `within_category` of them is billed with a code of the same
    three-character category, the others with a common principal diagnosis of the same chapter. `to` are prefixes of
    the codes that may be billed instead; they must be of the same category.

    >>> PdxSubstitute(rate=0.1).sites(baseline).rate.round(3).tolist()
    [0.08, 0.02, 0.08, 0.02, 0.08, 0.02]
    """

    kind: Literal["pdx_substitute"] = "pdx_substitute"
    rate: Rate = 0.0
    within_category: Rate = 0.8
    to: tuple[str, ...] = ()

    def sites(self, baseline: Baseline) -> Sites:
        """Return two sites for each admission: another code of the category, and one of the chapter."""
        pdx = baseline.encoded.pdx
        codes, group = rank_distinct(pdx)
        row = np.flatnonzero(baseline.rules.diagnoses.valid[pdx])
        before, rate = pdx[row], self.rate * self.within_category
        near = list_same_category(codes, baseline.tables, to=self.to)
        inside = Sites.of(ChangeKind.PDX, row, rate, near, group=group[row], before=before)
        if self.to:
            return inside
        far, chapter = list_same_chapter(codes, baseline.tables)
        rate = self.rate * (1 - self.within_category)
        outside = Sites.of(ChangeKind.PDX, row, rate, far, group=chapter[group][row], before=before)
        return Sites.join([inside, outside.with_draw(1)])


class SdxOmit(ErrorModel):
    """A secondary diagnosis that should be coded is missed.

    `cc`, `mcc` and `other` are the shares of codes of each severity that are missed, independently of each other.

    >>> SdxOmit(mcc=0.04, cc=0.03).sites(baseline).rate.tolist()
    [0.04, 0.03, 0.04]
    """

    kind: Literal["sdx_omit"] = "sdx_omit"
    cc: Rate = 0.0
    mcc: Rate = 0.0
    other: Rate = 0.0
    RATES: ClassVar[tuple[str, ...]] = ("cc", "mcc", "other")
    USUAL_SIGN: ClassVar[Literal["up", "down", "mixed"]] = "down"
    CERTAIN: ClassVar[bool] = True

    def sites(self, baseline: Baseline) -> Sites:
        """Return every secondary diagnosis of a severity whose rate is above 0."""
        rate = np.array([self.other, self.cc, self.mcc])[_rank_severities(baseline)]
        at = np.flatnonzero((rate > 0) & (baseline.encoded.sdx > 0))
        return Sites.of_sdx(baseline, at, rate[at], Options.single(0))


class SdxAddUnsupported(ErrorModel):
    """A secondary diagnosis is billed that the record does not support.

    `mcc` and `cc` are the shares of admissions to which a diagnosis of that severity is added. By default the
    diagnosis is one that is plausible in the MDC (`confusable_codes.list_plausible`); with `codes` it is one of
    these, all equally likely. A diagnosis that the principal diagnosis excludes is refused unless `allow_excluded`.

    >>> SdxAddUnsupported(mcc=0.01, cc=0.02).sites(baseline).rate.tolist()
    [0.01, 0.02, 0.01, 0.02, 0.01, 0.02]
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
        """Return a site for each admission and each severity whose rate is above 0."""
        rows = np.arange(len(baseline))
        group = np.minimum(baseline.truth.initial_mdc, MDCS - 1)
        parts = []
        for draw, (severity, rate) in enumerate((("MCC", self.mcc), ("CC", self.cc))):
            if rate > 0:
                options = list_plausible(baseline.tables, severity, codes=self.codes)
                parts.append(Sites.of(ChangeKind.ADD_SDX, rows, rate, options, group=group).with_draw(draw))
        return Sites.join(parts) if parts else Sites.none(ChangeKind.ADD_SDX)


class _SeverityChange(ErrorModel):
    """A secondary diagnosis is billed as a code of its category with another severity."""

    rate: Rate = 0.0
    to: tuple[str, ...] = ()
    UP: ClassVar[bool]

    def sites(self, baseline: Baseline) -> Sites:
        """Return every secondary diagnosis whose category has a code of such a severity."""
        return _replace_sdx(
            baseline, self.rate, lambda codes: list_severity_neighbours(codes, baseline.tables, up=self.UP, to=self.to)
        )


class SeverityUpgrade(_SeverityChange):
    """A secondary diagnosis is billed as a code of its category with a higher severity.

    `rate` is the share of the secondary diagnoses whose category has one. The more characters a code shares with the
    right one, the likelier it is. `to` are prefixes of the codes that may be billed instead.

    >>> sites = SeverityUpgrade(rate=0.1).sites(baseline)
    >>> baseline.rules.diagnosis_book.codes[sites.before - 1].to_list()
    ['I5022']
    """

    kind: Literal["severity_upgrade"] = "severity_upgrade"
    USUAL_SIGN: ClassVar[Literal["up", "down", "mixed"]] = "up"
    UP: ClassVar[bool] = True


class SeverityDowngrade(_SeverityChange):
    """A secondary diagnosis is billed as a code of its category with a lower severity.

    `rate` and `to` as in `SeverityUpgrade`.

    >>> sites = SeverityDowngrade(rate=0.1).sites(baseline)
    >>> baseline.rules.diagnosis_book.codes[sites.before - 1].to_list()
    ['J9601', 'I5022', 'L89154']
    """

    kind: Literal["severity_downgrade"] = "severity_downgrade"
    USUAL_SIGN: ClassVar[Literal["up", "down", "mixed"]] = "down"
    UP: ClassVar[bool] = False


class SpecificityLoss(ErrorModel):
    """A diagnosis is billed as an unspecified code of its category.

    `sdx` and `pdx` are the shares of the secondary and principal diagnoses that are specified and whose category has
    an unspecified code. `to` are prefixes of the codes that may be billed instead.

    >>> sites = SpecificityLoss(sdx=0.1).sites(baseline)
    >>> baseline.rules.diagnosis_book.codes[sites.before - 1].to_list()
    ['J9601', 'I5022', 'L89154']
    """

    kind: Literal["specificity_loss"] = "specificity_loss"
    sdx: Rate = 0.0
    pdx: Rate = 0.0
    to: tuple[str, ...] = ()
    RATES: ClassVar[tuple[str, ...]] = ("sdx", "pdx")
    USUAL_SIGN: ClassVar[Literal["up", "down", "mixed"]] = "down"

    def sites(self, baseline: Baseline) -> Sites:
        """Return the specified diagnoses whose category has an unspecified code."""
        parts = []
        if self.pdx:
            codes, group = rank_distinct(baseline.encoded.pdx)
            options = list_unspecified(codes, baseline.tables, to=self.to)
            row = np.flatnonzero(np.diff(options.start)[group])
            before = baseline.encoded.pdx[row]
            parts.append(Sites.of(ChangeKind.PDX, row, self.pdx, options, group=group[row], before=before))
        if self.sdx or not parts:
            parts.append(
                _replace_sdx(baseline, self.sdx, lambda codes: list_unspecified(codes, baseline.tables, to=self.to))
            )
        return Sites.join(parts)


class SdxSubstitute(ErrorModel):
    """A secondary diagnosis is billed as another code of any category and severity.

    `rate` is the share of secondary diagnoses; `where.codes` confines it. `to` are prefixes of the codes that may be
    billed instead, equally likely except that codes of later encounters are rare.

    >>> error = SdxSubstitute(rate=0.1, to=("E119",))
    >>> len(error.sites(baseline))
    4
    """

    kind: Literal["sdx_substitute"] = "sdx_substitute"
    rate: Rate = 0.0
    to: Annotated[tuple[str, ...], Field(min_length=1)]

    def sites(self, baseline: Baseline) -> Sites:
        """Return every known secondary diagnosis."""
        at = np.flatnonzero(baseline.encoded.sdx)
        return Sites.of_sdx(baseline, at, self.rate, list_named_codes(self.to, baseline.tables))


class InvalidCode(ErrorModel):
    """A code is mistyped as one that does not exist.

    A mistyped principal diagnosis makes the claim ungroupable, any other code does not count. `pdx`, `sdx` and
    `procedure` are the shares of mistyped codes.

    >>> InvalidCode(pdx=0.001, procedure=0.002).sites(baseline).rate.tolist()
    [0.001, 0.002, 0.001, 0.001, 0.002]
    """

    kind: Literal["invalid_code"] = "invalid_code"
    pdx: Rate = 0.0
    sdx: Rate = 0.0
    procedure: Rate = 0.0
    RATES: ClassVar[tuple[str, ...]] = ("pdx", "sdx", "procedure")
    USUAL_SIGN: ClassVar[Literal["up", "down", "mixed"]] = "down"
    CERTAIN: ClassVar[bool] = True

    def sites(self, baseline: Baseline) -> Sites:
        """Return every known code of the lists whose rate is above 0."""
        encoded, no_code = baseline.encoded, Options.single(0)
        parts = [Sites.none(ChangeKind.PDX)]
        if self.pdx:
            row = np.flatnonzero(encoded.pdx)
            parts.append(Sites.of(ChangeKind.PDX, row, self.pdx, no_code, before=encoded.pdx[row]))
        if self.sdx:
            parts.append(Sites.of_sdx(baseline, np.flatnonzero(encoded.sdx), self.sdx, no_code))
        if self.procedure:
            parts.append(Sites.of_procedures(baseline, np.flatnonzero(encoded.procedures), self.procedure, no_code))
        return Sites.join(parts)


class PoaFlip(ErrorModel):
    """Present on admission (POA) is misreported.

    `over` is the share of the diagnoses not present on admission that are billed as present, `under` the share of
    those present that are billed as not present. Only codes of hospital-acquired conditions are affected unless
    `every_code`: no other code can change a payment.

    >>> PoaFlip(over=0.2, under=0.1).sites(baseline).rate.tolist()
    [0.2]
    """

    kind: Literal["poa_flip"] = "poa_flip"
    over: Rate = 0.0
    under: Rate = 0.0
    every_code: bool = False
    RATES: ClassVar[tuple[str, ...]] = ("over", "under")

    def sites(self, baseline: Baseline) -> Sites:
        """Return every secondary diagnosis with a POA indicator whose rate is above 0.

        Raises:
            InputError: the admissions have no POA.
        """
        encoded, diagnoses = baseline.encoded, baseline.rules.diagnoses
        if encoded.poa is None:
            raise InputError(f"{self.label}: the admissions have no sdx_poa to misreport. Add it, or drop the error.")
        rate = np.array([0.0, self.under, self.over])[encoded.poa]
        affected = (rate > 0) & (encoded.sdx > 0)
        if not self.every_code:
            affected &= diagnoses.kind_hac[diagnoses.kind[encoded.sdx]]
        at = np.flatnonzero(affected)
        flipped = Options.of(np.array([0, 1, 2]), np.array([POA_NOT_PRESENT, POA_PRESENT]))
        sites = Sites.of_sdx(baseline, at, rate[at], flipped, group=encoded.poa[at] != POA_PRESENT)
        kind = np.full(len(at), ChangeKind.POA, np.uint8)
        return replace(sites, kind=kind, before=encoded.poa[at].astype(np.int32))


# ---------------------------------------------------------------------------------------------------------


def _rank_severities(baseline: Baseline) -> NDArray[np.uint8]:
    """Return the severity of each secondary diagnosis: 0 none, 1 CC, 2 MCC, (k,)."""
    diagnoses = baseline.rules.diagnoses
    severities: NDArray[np.uint8] = diagnoses.scheme_severity[diagnoses.scheme[baseline.encoded.sdx]]
    return severities


def _replace_sdx(baseline: Baseline, rate: float, list_options: Callable[[NDArray[np.int32]], Options]) -> Sites:
    """Return the secondary diagnoses for whose code `list_options` has an option."""
    codes, group = rank_distinct(baseline.encoded.sdx)
    options = list_options(codes)
    at = np.flatnonzero(np.diff(options.start)[group])
    return Sites.of_sdx(baseline, at, rate, options, group=group[at])
