"""The command line: `python -m drgsim`. Thin; every command is one public function."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from drgsim.claims import read_claims
from drgsim.demo import agreement, demo, saved_figure, told
from drgsim.errors import DrgsimError
from drgsim.rates import Rates
from drgsim.synth import generate
from drgsim.tables import TableSet, versions

RECORDED = "ms_drg_recorded"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return 0, or 2 after an error that was told on standard error."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except DrgsimError as error:
        print(f"drgsim: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="drgsim", description="MS-DRG grouping, pricing and coding-error simulation.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    show = commands.add_parser("demo", help="group, price and miscode admissions; print the effect, save a figure")
    show.add_argument("--claims", type=Path, help="a claims file (see read_claims); default: generated admissions")
    show.add_argument(
        "--admissions", type=partial(_at_least, 1), default=100_000, help="how many to generate (default 100,000)"
    )
    show.add_argument("--version", default="43.1", choices=versions(), help="grouper version (default 43.1)")
    show.add_argument("--fiscal-year", type=int, default=2026, help="of weights and rates (default 2026)")
    show.add_argument(
        "--replicates", type=partial(_at_least, 2), default=20, help="draws of each error process (default 20)"
    )
    show.add_argument("--seed", type=int, default=1, help="of every draw (default 1)")
    show.add_argument("--out", type=Path, default=Path("demo_output"), help="folder of the figure")
    show.set_defaults(run=_demo)
    return parser


def _at_least(least: int, text: str) -> int:
    number = int(text)
    if number < least:
        raise argparse.ArgumentTypeError(f"{number} is below {least}")
    return number


def _demo(options: argparse.Namespace) -> int:
    tables, rates = TableSet.load(options.version), Rates.load(options.fiscal_year)
    if options.claims:
        admissions, hospitals = read_claims(options.claims), None
    else:
        hospitals, admissions = generate(options.admissions, seed=options.seed, tables=tables)
    result = demo(admissions, hospitals, tables=tables, rates=rates, replicates=options.replicates, seed=options.seed)
    titles = dict(tables.drg_titles.select("drg", "title").iter_rows())
    print(told(result, lambda drg: titles.get(drg, "")))
    if RECORDED in admissions.columns:
        print(f"\nRecorded DRGs beside version {tables.version}")
        for why, count in agreement(result.simulation.admissions, RECORDED).iter_rows():
            print(f"  {count:>6,}  {why}")
    print(f"\nFigure: {saved_figure(result, options.out / 'demo.png')}")
    return 0
