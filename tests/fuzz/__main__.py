"""Coverage-guided fuzzing: `python -m tests.fuzz NAME [--seconds N] [--corpus FOLDER]` (pip install 'drgsim[fuzz]').

Runs one target of `tests.fuzz.targets` under atheris, from its seeds and whatever the corpus folder holds; what reaches
new code is added to that folder. An input that breaks drgsim is written to the folder as crash-…, its traceback
printed, and the command ends with another code than 0. Memory is held to 2 GiB, one input to 25 seconds.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["drgsim", "tomllib"]):
    from tests.fuzz.targets import TARGETS, seeds


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("name", choices=sorted(TARGETS))
    parser.add_argument("--seconds", type=int, default=300)
    parser.add_argument("--corpus", type=Path, default=Path("fuzz_corpus"))
    parser.add_argument("--input", type=Path, help="run one input only, such as a crash written before")
    asked = parser.parse_args()
    if asked.input:
        TARGETS[asked.name](asked.input.read_bytes())
        return
    folder = asked.corpus / asked.name
    folder.mkdir(parents=True, exist_ok=True)
    for seed in seeds(asked.name):
        (folder / hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed)
    limits = [f"-max_total_time={asked.seconds}", "-rss_limit_mb=2048", "-timeout=25", "-max_len=16384"]
    atheris.Setup([sys.argv[0], *limits, f"-artifact_prefix={folder}/", str(folder)], TARGETS[asked.name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
