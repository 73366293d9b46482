"""Random draws of errors: at which sites, in which replicates, and with which outcome."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from drgsim.exceptions import InputError
from drgsim.miscoding.error_models import ErrorModel, find_problems, match_prefixes
from drgsim.miscoding.error_sites import Sites
from drgsim.miscoding.hospital_variation import vary_rates
from drgsim.miscoding.scrubber import REFUSALS, find_refusals
from drgsim.numerics.arrays import BoolArray, Int64Array, UInt64Array
from drgsim.numerics.keyed_random import draw_events, make_event_keys, random_bits
from drgsim.numerics.parallel import run_over_spans
from drgsim.rebilling.baseline import Baseline
from drgsim.rebilling.code_changes import ChangeKind, CodeChanges

_TRIES = 8
_AT_ONCE = 1 << 19
"""Sites drawn at once. Few of them have an error, so each needs little memory."""
NO_CANDIDATE = REFUSALS.index("no candidate")


def confine_sites(model: ErrorModel, baseline: Baseline, *, seed: int) -> Sites:
    """Return the sites that the filter of an error includes, with rates by hospital and coder.

    Raises:
        InputError: the error names a code, DRG or column that cannot be used; the message names it.
    """
    wrong = "; ".join(f"{key} is {value!r}: {why}" for key, value, why in find_problems(model, baseline.tables))
    if wrong:
        raise InputError(f"{model.label}: {wrong}.")
    sites = model.sites(baseline)
    where = model.where
    included = where.matches(baseline)[sites.row]
    if where.codes:
        included &= _has_code(model, sites, baseline)
    if not included.all():
        sites = sites.take(np.flatnonzero(included))
    if where.decisive and len(sites):
        kind = np.where(sites.kind == ChangeKind.POA, np.uint8(ChangeKind.SDX), sites.kind)
        removals = CodeChanges(
            sites.row, kind, sites.place, _find_codes(sites, baseline), np.zeros(len(sites), np.int32)
        )
        without = baseline.rebill(removals, np.arange(len(sites) + 1))
        sites = sites.take(np.flatnonzero(without.drg != baseline.truth.drg[sites.row]))
    if model.hospital_sd or model.coder_sd:
        rate = vary_rates(sites.rate, sites.row, baseline, model.label, model.hospital_sd, model.coder_sd, seed=seed)
        return replace(sites, rate=rate)
    return sites


def _has_code(model: ErrorModel, sites: Sites, baseline: Baseline) -> BoolArray:
    """Return which sites have a code with a prefix of `where.codes`, (s,)."""
    procedures = np.isin(sites.kind, (ChangeKind.PROCEDURE, ChangeKind.ADD_PROCEDURE)) & model.ON_CODES
    codes = _find_codes(sites, baseline) if model.ON_CODES else baseline.encoded.pdx[sites.row]
    found = np.zeros(len(sites), np.bool_)
    for book, which in ((baseline.rules.diagnosis_book, ~procedures), (baseline.rules.procedure_book, procedures)):
        found[which] = np.append(False, match_prefixes(book.codes, model.where.codes))[codes[which]]
    return found


def _find_codes(sites: Sites, baseline: Baseline) -> NDArray[np.int32]:
    """Return the code of each site, (s,): the one that is changed, or whose POA is."""
    codes = sites.before.copy()
    of_poa = np.flatnonzero(sites.kind == ChangeKind.POA)
    codes[of_poa] = baseline.encoded.sdx[baseline.encoded.sdx_start[sites.row[of_poa]] + sites.place[of_poa]]
    return codes


@dataclass(frozen=True, eq=False)
class DrawnErrors:
    """Errors drawn in some replicates.

    Attributes:
        replicate, site: (k,) of each error.
        changes: (m,) changes of the errors that were made.
        refusal: (k,) why the error was not made, a place in `scrubber.REFUSALS`; 0 where it was made.
    """

    replicate: Int64Array
    site: Int64Array
    changes: CodeChanges
    refusal: NDArray[np.uint8]


def key_sites(model: ErrorModel, sites: Sites, baseline: Baseline, *, seed: int) -> UInt64Array:
    """Return the random keys of the sites of an error, (s,); they serve all replicates."""
    return make_event_keys(seed, model.label, baseline.ids[sites.row], _number_slots(sites))


def draw_errors(
    model: ErrorModel, sites: Sites, keys: UInt64Array, baseline: Baseline, replicates: range
) -> DrawnErrors:
    """Draw the errors of a model in some replicates; sites ascend within a replicate.

    An outcome that the guards refuse is drawn again, at most eight times in all; then the error is refused.

    Args:
        model: the error model.
        sites: where its errors can happen (`confine_sites`).
        keys: their random keys (`key_sites`).
        baseline: the admissions.
        replicates: consecutive replicates.
    """

    def draw_span(a: int, b: int) -> tuple[Int64Array, Int64Array, Int64Array, NDArray[np.uint8]]:
        replicate, at = draw_events(sites.rate[a:b], keys[a:b], replicates, sites.open_bytes[a:b])
        site = at + a
        option, refusal = draw_outcomes(model, sites, site, baseline, keys[site], replicate)
        return replicate, site, option, refusal

    parts = run_over_spans(len(sites), draw_span, _AT_ONCE) or [draw_span(0, 0)]
    replicate, site, option, refusal = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    made = np.flatnonzero(refusal == 0)
    return DrawnErrors(replicate, site, sites.changes(site[made], option[made]), refusal)


def _number_slots(sites: Sites) -> UInt64Array:
    """Return a number for each site, (s,), that is unique within its admission.

    It is made of kind, place and draw number.
    """
    what = (sites.kind.astype(np.uint64) << np.uint64(4)) + sites.draw
    return sites.place.astype(np.uint64) + (what << np.uint64(22))


def draw_outcomes(
    model: ErrorModel, sites: Sites, site: Int64Array, baseline: Baseline, keys: UInt64Array, replicate: Int64Array
) -> tuple[Int64Array, NDArray[np.uint8]]:
    """Draw the option of each error at some sites, and why it is refused (0: not), (k,) each."""
    start, group = sites.options.start, sites.group[site]
    size = start[group + 1] - start[group]
    if model.CERTAIN:
        return np.asarray(start[group]), np.zeros(len(site), np.uint8)
    option = np.full(len(site), -1, np.int64)
    refusal = np.full(len(site), NO_CANDIDATE, np.uint8)
    waiting = np.flatnonzero(size)
    for attempt in range(_TRIES):
        if not len(waiting):
            break
        random = random_bits(0, f"outcome {attempt}", keys[waiting], replicate[waiting])
        option[waiting] = sites.options.choices.pick(group[waiting], random)
        changes = sites.changes(site[waiting], option[waiting])
        refusal[waiting] = find_refusals(changes, baseline, guarded=model.guarded, excluded=allows_excluded(model))
        waiting = waiting[(refusal[waiting] > 0) & (size[waiting] > 1)]
    return option, refusal


def allows_excluded(model: ErrorModel) -> bool:
    """Return whether the error may add codes that the principal diagnosis excludes."""
    return bool(getattr(model, "allow_excluded", True))
