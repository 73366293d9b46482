"""Error draws."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from drgsim.exceptions import InputError
from drgsim.miscoding.error_models import Operator, _beginning, problems
from drgsim.miscoding.error_sites import Sites
from drgsim.miscoding.hospital_variation import clustered
from drgsim.miscoding.scrubber import REFUSALS, refusals
from drgsim.numerics.keyed_random import Bits, Ints, bits, event_keys, fires
from drgsim.numerics.parallel import over_spans
from drgsim.rebilling.baseline import Cases
from drgsim.rebilling.code_changes import Edits, Kind

Bools = NDArray[np.bool_]
_TRIES = 8
_AT_ONCE = 1 << 19
"""Sites drawn at once; few of them have an error, so that little is held for each."""
NO_CANDIDATE = REFUSALS.index("no candidate")


def confined(operator: Operator, cases: Cases, *, seed: int) -> Sites:
    """Return the sites of an operator that its filter admits, with rates as hospitals and coders differ.

    Raises:
        InputError: the operator names a code, DRG or column that cannot be used; says which.
    """
    wrong = "; ".join(f"{key} is {value!r}: {why}" for key, value, why in problems(operator, cases.tables))
    if wrong:
        raise InputError(f"{operator.label}: {wrong}.")
    sites = operator.sites(cases)
    where = operator.where
    kept = where.rows(cases)[sites.row]
    if where.codes:
        kept &= _begins(operator, sites, cases)
    if not kept.all():
        sites = sites.take(np.flatnonzero(kept))
    if where.decisive and len(sites):
        kind = np.where(sites.kind == Kind.POA, np.uint8(Kind.SDX), sites.kind)
        gone = Edits(sites.row, kind, sites.place, _codes(sites, cases), np.zeros(len(sites), np.int32))
        without = cases.billed(gone, np.arange(len(sites) + 1))
        sites = sites.take(np.flatnonzero(without.drg != cases.truth.drg[sites.row]))
    if operator.hospital_sd or operator.coder_sd:
        rate = clustered(
            sites.rate, sites.row, cases, operator.label, operator.hospital_sd, operator.coder_sd, seed=seed
        )
        return replace(sites, rate=rate)
    return sites


def _begins(operator: Operator, sites: Sites, cases: Cases) -> Bools:
    """Return whose code begins as `where.codes` asks."""
    procedures = np.isin(sites.kind, (Kind.PROCEDURE, Kind.ADD_PROCEDURE)) & operator.ON_CODES
    codes = _codes(sites, cases) if operator.ON_CODES else cases.encoded.pdx[sites.row]
    found = np.zeros(len(sites), np.bool_)
    for book, which in ((cases.rules.diagnosis_book, ~procedures), (cases.rules.procedure_book, procedures)):
        found[which] = np.append(False, _beginning(book.codes, operator.where.codes))[codes[which]]
    return found


def _codes(sites: Sites, cases: Cases) -> NDArray[np.int32]:
    """Return the code each site is about: the one that is edited, or whose POA is."""
    codes = sites.before.copy()
    of_poa = np.flatnonzero(sites.kind == Kind.POA)
    codes[of_poa] = cases.encoded.sdx[cases.encoded.sdx_start[sites.row[of_poa]] + sites.place[of_poa]]
    return codes


@dataclass(frozen=True, eq=False)
class Drawn:
    """Errors drawn in some replicates, (k,): replicate, site, the edits of those made, and what refused the others.

    `refusal` is a place in `guards.REFUSALS`, 0 where the error was made.
    """

    replicate: Ints
    site: Ints
    edits: Edits
    refusal: NDArray[np.uint8]


def keyed(operator: Operator, sites: Sites, cases: Cases, *, seed: int) -> Bits:
    """Return what the draws at an operator's sites are made from, (s,); one set serves all replicates."""
    return event_keys(seed, operator.label, cases.ids[sites.row], _slots(sites))


def drawn(operator: Operator, sites: Sites, keys: Bits, cases: Cases, replicates: range) -> Drawn:
    """Draw the errors of an operator in some replicates; sites ascend within a replicate.

    An error whose outcome is not legal on its claim is drawn again, at most eight times, then refused.

    Args:
        operator: whose errors.
        sites: where they can happen (`confined`).
        keys: what they are drawn from (`keyed`).
        cases: the admissions.
        replicates: consecutive replicates.
    """

    def span(a: int, b: int) -> tuple[Ints, Ints, Ints, NDArray[np.uint8]]:
        replicate, at = fires(sites.rate[a:b], keys[a:b], replicates, sites.open_bytes[a:b])
        site = at + a
        option, refusal = outcomes(operator, sites, site, cases, keys[site], replicate)
        return replicate, site, option, refusal

    parts = over_spans(len(sites), span, _AT_ONCE) or [span(0, 0)]
    replicate, site, option, refusal = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    made = np.flatnonzero(refusal == 0)
    return Drawn(replicate, site, sites.edits(site[made], option[made]), refusal)


def _slots(sites: Sites) -> Bits:
    """Return the slot of each site within its admission: what is edited, where, and which draw it is."""
    what = (sites.kind.astype(np.uint64) << np.uint64(4)) + sites.draw
    return sites.place.astype(np.uint64) + (what << np.uint64(22))


def outcomes(
    operator: Operator, sites: Sites, site: Ints, cases: Cases, keys: Bits, replicate: Ints
) -> tuple[Ints, NDArray[np.uint8]]:
    """Draw what comes of errors at some sites, (k,): the option of each, and what refuses it (0: nothing)."""
    start, group = sites.options.start, sites.group[site]
    size = start[group + 1] - start[group]
    if operator.CERTAIN:
        return np.asarray(start[group]), np.zeros(len(site), np.uint8)
    option = np.full(len(site), -1, np.int64)
    refusal = np.full(len(site), NO_CANDIDATE, np.uint8)
    waiting = np.flatnonzero(size)
    for attempt in range(_TRIES):
        if not len(waiting):
            break
        random = bits(0, f"outcome {attempt}", keys[waiting], replicate[waiting])
        option[waiting] = sites.options.choices.pick(group[waiting], random)
        edits = sites.edits(site[waiting], option[waiting])
        refusal[waiting] = refusals(edits, cases, guarded=operator.guarded, excluded=allows_excluded(operator))
        waiting = waiting[(refusal[waiting] > 0) & (size[waiting] > 1)]
    return option, refusal


def allows_excluded(operator: Operator) -> bool:
    """Return whether codes may be added that the principal diagnosis excludes."""
    return bool(getattr(operator, "allow_excluded", True))
