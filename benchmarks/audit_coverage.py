"""What audit designs cover and recover: `python -m benchmarks.audit_coverage` prints the table of docs/audit.md."""

from __future__ import annotations

import sys

import numpy as np
import polars as pl

from drgsim import Rates, TableSet, generate, group, price
from drgsim.compliance.audits import coverage
from drgsim.compliance.reviewers import Reviewers
from drgsim.compliance.sampling import Design, ProbeThenFull, SimpleRandom, Stratified
from drgsim.numerics.keyed_random import uniform

CLAIMS = 20_000
REPLICATES = 10_000
SEED = 1
RATES_OF_ERROR = (0.01, 0.05, 0.20, 0.80)
DESIGNS: dict[str, Design] = {
    "100 simple": SimpleRandom(100),
    "100 stratified": Stratified(100),
    "400 simple": SimpleRandom(400),
    "400 stratified": Stratified(400),
    "probe 50, then 400 simple": ProbeThenFull(50, SimpleRandom(400), trigger=0.05),
}


def population(errors: float, *, seed: int = SEED, claims: int = CLAIMS) -> pl.DataFrame:
    """Return priced synthetic claims of which a share is wrong: nine of ten overpaid, by 10 to 50 % of the bill."""
    tables = TableSet.load("43.1")
    hospitals, admissions = generate(claims, seed=seed, tables=tables)
    paid = price(group(admissions, tables), hospitals, Rates.load(2026)).filter(pl.col("total_usd") > 0)
    ids, billed = paid["admission_id"].to_numpy(), paid["total_usd"].to_numpy()
    wrong = uniform(seed, "wrong", ids) < errors
    sign = np.where(uniform(seed, "overpaid", ids) < 0.9, 1.0, -1.0)
    share = np.where(wrong, sign * (0.1 + 0.4 * uniform(seed, "by how much", ids)), 0.0)
    return pl.DataFrame({"admission_id": ids, "billed_usd": billed, "correct_usd": np.round(billed * (1 - share), 2)})


def table(replicates: int = REPLICATES) -> list[str]:
    """Return the rows of the table in Markdown."""
    lines = [
        "| claims wrong | design | coverage: difference | ratio | mean per unit | lower limit holds | half width "
        "| recovered | reviewed |",
        "|--:|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for errors in RATES_OF_ERROR:
        claims = population(errors)
        for name, design in DESIGNS.items():
            found = coverage(claims, design, seed=SEED, replicates=replicates, reviewers=Reviewers())
            at = {row["estimator"]: row for row in found.iter_rows(named=True)}
            one = at["difference"]
            half = one["half_width_usd"] / one["truth_usd"]
            covers = " | ".join(f"{at[e]['coverage']:.3f}" for e in ("difference", "ratio", "mean_per_unit"))
            lines.append(
                f"| {errors:.0%} | {name} | {covers} | {one['lower_holds']:.3f} | ±{half:.0%} "
                f"| {one['recovered']:.0%} | {one['reviewed']:,.0f} |"
            )
    return lines


if __name__ == "__main__":
    sys.stdout.write("\n".join(table()) + "\n")
