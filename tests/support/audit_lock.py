"""Known vulnerabilities of the locked packages: `python -m tests.support.audit_lock`, run by `make audit`.

Asks pip-audit about every package of requirements.lock, which pins them by hash; nothing is installed. Ends with 1
where a vulnerability is known, else with 0, and says which packages it could not ask about: a service that cannot be
reached is no finding, and no clean bill either.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

LOCK = Path(__file__).parents[2] / "requirements.lock"
COMMAND = ("-m", "pip_audit", "--require-hashes", "--disable-pip", "--format", "json", "--progress-spinner", "off")


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
    return int(bool(lines)), "\n".join([*reported, *lines])


def main() -> int:
    done = subprocess.run([sys.executable, *COMMAND, "--requirement", str(LOCK)], capture_output=True, text=True)
    try:
        dependencies = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        last = (done.stderr.strip().splitlines() or ["no answer"])[-1]
        sys.stdout.write(f"COULD NOT ASK: {last[:300]}\n")
        return 0
    code, reported = verdict(dependencies)
    sys.stdout.write(reported + "\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
