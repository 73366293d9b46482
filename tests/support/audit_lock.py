"""Known vulnerabilities of the locked packages: `python -m tests.support.audit_lock`, run by `make audit`.

Asks pip-audit about every package of requirements.lock, which pins them by hash; nothing is installed. Ends with 1
where a vulnerability is known, with 2 where it could not ask about a package (without a network, say), else with 0.
With --allow-unreachable it names what it could not ask about and ends with 0, for machines without a network.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

LOCK = Path(__file__).parents[2] / "requirements.lock"
ALLOW = "--allow-unreachable"
COMMAND = ("-m", "pip_audit", "--timeout", "15", "--require-hashes", "--disable-pip", "--format", "json")
COMMAND += ("--progress-spinner", "off")


def verdict(dependencies: Sequence[Mapping[str, Any]]) -> tuple[int, str]:
    """Return the exit code and what to say of pip-audit's answer: a list of packages."""
    lines = [
        f"{one['name']} {one['version']}: {found['id']}, fixed in {', '.join(found['fix_versions']) or 'no version'}"
        for one in dependencies
        for found in one.get("vulns", ())
    ]
    unasked = [one["name"] for one in dependencies if "skip_reason" in one]
    asked = len(dependencies) - len(unasked)
    reported = [f"{asked} of {len(dependencies)} locked packages looked up, {len(lines)} vulnerabilities known"]
    if unasked:
        reported.append(f"COULD NOT ASK about {len(unasked)}: {', '.join(sorted(unasked))}")
    return (1 if lines else 2 if unasked else 0), "\n".join([*reported, *lines])


def main(arguments: Sequence[str]) -> int:
    unknown = 0 if ALLOW in arguments else 2
    if importlib.util.find_spec("pip_audit") is None:
        sys.stdout.write("COULD NOT ASK: pip-audit is not installed and could not be fetched. Try with a network.\n")
        return unknown
    done = subprocess.run([sys.executable, *COMMAND, "--requirement", str(LOCK)], capture_output=True, text=True)
    try:
        dependencies = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        last = (done.stderr.strip().splitlines() or ["no answer"])[-1]
        sys.stdout.write(f"COULD NOT ASK, so nothing is known about vulnerabilities: {last[:300]}\n")
        return unknown
    code, reported = verdict(dependencies)
    sys.stdout.write(reported + "\n")
    return unknown if code == 2 else code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
