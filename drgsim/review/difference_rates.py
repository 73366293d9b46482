"""Differences between two codings as the rates of a scenario."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl

from drgsim.miscoding.claim_field_errors import Demographics, DischargeStatus
from drgsim.miscoding.diagnosis_errors import (
    InvalidCode,
    PdxResequence,
    PdxSubstitute,
    PoaFlip,
    SdxAddUnsupported,
    SdxOmit,
    SdxSubstitute,
    SeverityDowngrade,
    SeverityUpgrade,
    SpecificityLoss,
)
from drgsim.miscoding.error_models import ErrorModel, Evidence, Study, Where
from drgsim.miscoding.procedure_errors import (
    ProcedureAddUnsupported,
    ProcedureOmit,
    ProcedureSubstitute,
    VentilationHours,
)
from drgsim.miscoding.scenarios import Scenario
from drgsim.numerics.arrays import BoolArray
from drgsim.rebilling.baseline import Baseline
from drgsim.rebilling.code_changes import ChangeKind
from drgsim.review.code_alignment import KINDS, Differences
from drgsim.tables.encoding import POA_NOT_PRESENT, POA_PRESENT

_MOST_CATEGORIES = 20
"""Categories of diagnoses replaced by another of the same severity that get an error of their own."""
_LEVELS = {"mcc": 2, "cc": 1, "other": 0}


def build_scenario(found: Differences, baseline: Baseline, texts: tuple[pl.Series, pl.Series], title: str) -> Scenario:
    """Return the scenario (see `CodingComparison.to_scenario`)."""
    seen = _SeenDifferences(found, baseline, texts)
    errors, left_out = [], seen.left_out()
    for model, events in seen.list_models():
        if events:
            sites = model.sites(baseline)
            of = len(np.unique(sites.row)) if isinstance(model, PdxSubstitute) else len(sites)
            # A difference where the model has no site, such as an added code of no severity, does not count twice.
            events, of = min(events, of), max(of, 1)
            if events:
                rate = events / of
                evidence = Evidence(
                    population="the stays of the comparison",
                    period="that of the comparison",
                    source=f"{events:,} differences at {of:,} places where they can happen",
                    status="DERIVED",
                )
                made = model.with_rates(lambda one, rate=rate: rate if one else 0.0)  # type: ignore[misc]
                errors.append(made.model_copy(update={"study": Study(events=events, of=of), "evidence": (evidence,)}))
    about = f"Rates as seen in {len(baseline):,} stays coded twice."
    return Scenario(title=title, about=f"{about} {left_out}".strip(), errors=tuple(errors))


class _SeenDifferences:
    """Counts differences as each error model would make them."""

    def __init__(self, found: Differences, baseline: Baseline, texts: tuple[pl.Series, pl.Series]) -> None:
        first = np.flatnonzero(found.first)
        self.changes, self.kind = found.changes.take(first), found.kind[first]
        self.before, self.after = found.before[first], found.after[first]
        self.baseline, self.texts = baseline, texts
        diagnoses = baseline.rules.diagnoses
        of_dx = np.isin(self.changes.kind, (ChangeKind.PDX, ChangeKind.SDX, ChangeKind.ADD_SDX))
        by_code = diagnoses.scheme_severity[diagnoses.scheme]
        self.was, self.now = (by_code[np.where(of_dx, codes, 0)] for codes in (self.changes.before, self.changes.after))
        self.replaced = self._count_replaced()

    def of(self, kind: str) -> BoolArray:
        """Return which differences are of a kind."""
        found: BoolArray = self.kind == KINDS.index(kind)
        return found

    def list_models(self) -> Iterator[tuple[ErrorModel, int]]:
        """Yield each error model with rates of 1 where it has events, and the number of events."""
        yield PdxResequence(rate=1.0), int(self.of("pdx_resequence").sum())
        yield PdxSubstitute(rate=1.0), int(self.of("pdx_substitute").sum())
        for name, level in _LEVELS.items():
            missed = self.of("sdx_omit") & (self.was == level) & (self.changes.before > 0)
            yield SdxOmit.model_validate({"name": f"sdx_omit_{name}", name: 1.0}), int(missed.sum())
            added = self.of("sdx_add_unsupported") & (self.now == level)
            if level:
                yield (
                    SdxAddUnsupported.model_validate({"name": f"sdx_add_unsupported_{name}", name: 1.0}),
                    int(added.sum()),
                )
        yield SeverityUpgrade(rate=1.0), int(self.of("severity_upgrade").sum())
        yield SeverityDowngrade(rate=1.0), int(self.of("severity_downgrade").sum())
        of_pdx = self.changes.kind == ChangeKind.PDX
        lost = self.of("specificity_loss")
        yield SpecificityLoss(name="specificity_loss_sdx", sdx=1.0), int((lost & ~of_pdx).sum())
        yield SpecificityLoss(name="specificity_loss_pdx", pdx=1.0), int((lost & of_pdx).sum())
        for category, (codes, count) in self.replaced[:_MOST_CATEGORIES]:
            where = Where(codes=(category,))
            yield SdxSubstitute(name=f"sdx_substitute_{category}", rate=1.0, to=codes, where=where), count
        is_or = np.zeros(len(self.changes), np.bool_)
        omitted = np.flatnonzero(self.of("procedure_omit"))
        names = self.baseline.rules.procedures
        has_or = np.array([bool(one) and "nonor" not in one for one in names.names])
        is_or[omitted] = has_or[names.operand_set[self.changes.before[omitted]]]
        yield ProcedureOmit(rate=1.0), int(is_or.sum())
        added = np.flatnonzero(self.of("procedure_add_unsupported"))
        yield ProcedureAddUnsupported(rate=1.0), int(has_or[names.operand_set[self.changes.after[added]]].sum())
        yield ProcedureSubstitute(rate=1.0), int(self.of("procedure_substitute").sum())
        hours = self.of("ventilation_hours")
        longer = hours & (self.after > self.before)
        yield VentilationHours(name="ventilation_hours_over", over=1.0), int(longer.sum())
        yield VentilationHours(name="ventilation_hours_under", under=1.0), int((hours & ~longer).sum())
        yield from self._list_field_models(of_pdx)

    def _list_field_models(self, of_pdx: BoolArray) -> Iterator[tuple[ErrorModel, int]]:
        """Yield the models of mistyped codes and of fields that are not codes."""
        invalid = self.of("invalid_code")
        of_procedure = np.isin(self.changes.kind, (ChangeKind.PROCEDURE, ChangeKind.ADD_PROCEDURE))
        for name, which in (("pdx", of_pdx), ("procedure", of_procedure), ("sdx", ~of_pdx & ~of_procedure)):
            yield InvalidCode.model_validate({"name": f"invalid_code_{name}", name: 1.0}), int((invalid & which).sum())
        flips, before, after = self.of("poa_flip"), self.changes.before, self.changes.after
        if self.baseline.encoded.poa is not None:
            over = flips & (before == POA_NOT_PRESENT) & (after == POA_PRESENT)
            under = flips & (before == POA_PRESENT) & (after == POA_NOT_PRESENT)
            yield PoaFlip(name="poa_flip_over", over=1.0, every_code=True), int(over.sum())
            yield PoaFlip(name="poa_flip_under", under=1.0, every_code=True), int(under.sum())
        changed = self.of("discharge_status")
        for becomes in np.unique(after[changed]).tolist():
            own = changed & (after == becomes)
            statuses = tuple(status for status in np.unique(before[own]).tolist() if 1 <= status <= 99)
            if statuses and 1 <= becomes <= 99:
                model = DischargeStatus(name=f"discharge_status_{becomes}", rate=1.0, of=statuses, becomes=becomes)
                yield model, int((own & np.isin(before, statuses)).sum())
        sexes = self.of("demographics") & (before > 0) & (after > 0)
        yield Demographics(name="demographics_sex", sex=1.0), int(sexes.sum())

    def left_out(self) -> str:
        """Return in words which differences no error of the scenario makes."""
        parts = []
        added = self.of("sdx_add_unsupported") & (self.now == 0)
        more = sum(count for _, (_, count) in self.replaced[_MOST_CATEGORIES:])
        for count, what in (
            (int(added.sum()), "added diagnoses without severity"),
            (more, "diagnoses replaced at the same severity, of rarer categories"),
        ):
            if count:
                parts.append(f"{count:,} {what}")
        return f"Left out, because no error model makes them: {', '.join(parts)}." if parts else ""

    def _count_replaced(self) -> list[tuple[str, tuple[tuple[str, ...], int]]]:
        """Return by category the codes that replaced one at the same severity, most first."""
        which = np.flatnonzero(self.of("sdx_substitute"))
        pairs = pl.DataFrame(
            {
                "category": self.texts[0].gather(self.before[which]).str.slice(0, 3),
                "code": self.texts[0].gather(self.after[which]),
            }
        )
        each = pairs.group_by("category").agg(pl.col("code").unique().sort(), count=pl.len())
        ranked = each.sort("count", "category", descending=[True, False])
        return [(category, (tuple(codes), count)) for category, codes, count in ranked.rows()]
