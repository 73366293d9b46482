"""Faults, many times: `python -m tests.faults [--trials N] [--seed N] [--kind TEXT]`, or `make faults`.

Kills writers, fills disks, replaces inputs, damages files; asserts each time that nothing was lost, mixed or left
half-written. Prints a line for each failure, with the seed that repeats it, and the number of trials and failures at
the end. Ends with 1 where there was a failure. Needs POSIX; as root it also fills a file system of its own.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.faults.trials import TRIALS


def run_trials(kind: str, count: int, seed: int) -> list[str]:
    """Run trials of one kind; return a line for each failure."""
    failures = []
    for number in range(count):
        with TemporaryDirectory(prefix="drgsim-faults-") as folder:
            try:
                TRIALS[kind][0](random.Random(f"{kind} {seed + number}"), Path(folder))
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt):
                    raise
                reason = f"{type(error).__name__}: {error}".splitlines()[0][:300]
                failures.append(f"{kind}, --seed {seed + number}: {reason}")
    return failures


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults")
    parser.add_argument("--trials", type=int, default=400, help="trials of all kinds together")
    parser.add_argument("--seed", type=int, default=1, help="of the first trial of each kind")
    parser.add_argument("--kind", default="", help="kinds that contain this text; all trials are of these")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    kinds = {kind: share for kind, (_, share) in TRIALS.items() if asked.kind in kind}
    total, failed = 0, []
    for kind, share in kinds.items():
        count, begin = max(1, round(asked.trials * share / sum(kinds.values()))), time.monotonic()
        failures = run_trials(kind, count, asked.seed)
        print(f"{kind:<40}{count:>6} trials{len(failures):>5} failures{time.monotonic() - begin:>8.0f} s", flush=True)
        for failure in failures:
            print(f"    {failure}", flush=True)
        total, failed = total + count, [*failed, *failures]
    print(f"{total} trials, {len(failed)} failures")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
