"""The software bill of materials of a release: CycloneDX JSON of everything drgsim needs at run time, as locked.

    uv pip compile pyproject.toml ... --annotation-style line | python .ci/sbom.py > sbom.cdx.json

Standard input is a resolution in which each line says who asks for a package (`# via`). The same resolution gives
the same bytes: no date, no random number.
"""

from __future__ import annotations

import json
import re
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

_LINE = re.compile(r"(?P<name>[\w.-]+)==(?P<version>[^\s;]+)(?:\s*;\s*(?P<marker>[^#]*?))?\s+# via (?P<via>.*)")


def bill(lines: Iterable[str], project: dict[str, Any]) -> dict[str, Any]:
    """Return the bill of a resolution's lines, for a project as pyproject.toml states it."""
    found = [read(line) for line in lines if line.strip() and not line.lstrip().startswith("#")]
    root = {
        "type": "library",
        "bom-ref": purl(project["name"], project["version"]),
        "name": project["name"],
        "version": project["version"],
        "description": project["description"],
        "licenses": [{"license": {"id": project["license"]}}],
        "purl": purl(project["name"], project["version"]),
    }
    refs: dict[str, list[str]] = {project["name"]: [root["bom-ref"]]}
    for name, version, _, _ in found:
        refs.setdefault(name, []).append(purl(name, version))
    needs: dict[str, list[str]] = {ref: [] for own in refs.values() for ref in own}
    for name, version, _, askers in found:
        for asker in askers:
            for ref in refs[asker]:
                needs[ref].append(purl(name, version))
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": root},
        "components": [component(name, version, marker) for name, version, marker, _ in found],
        "dependencies": [{"ref": ref, "dependsOn": sorted(own)} for ref, own in sorted(needs.items())],
    }


def read(line: str) -> tuple[str, str, str, list[str]]:
    """Return name, version, marker and askers of one line."""
    match = _LINE.fullmatch(line.strip())
    if match is None:
        raise SystemExit(f"sbom: not a pinned package with who asks for it: {line!r}")
    askers = [asker.partition(" ")[0] for asker in match["via"].split(", ") if not asker.startswith("-")]
    return match["name"], match["version"], match["marker"] or "", askers


def component(name: str, version: str, marker: str) -> dict[str, Any]:
    """Return one package; the marker says on which machines it is needed."""
    made = {"type": "library", "bom-ref": purl(name, version), "name": name, "version": version}
    more = {"properties": [{"name": "drgsim:needed-where", "value": marker}]} if marker else {}
    return {**made, "scope": "required", "purl": purl(name, version), **more}


def purl(name: str, version: str) -> str:
    """Return the package's address in every registry of its kind."""
    return f"pkg:pypi/{name}@{version}"


if __name__ == "__main__":
    told = tomllib.loads(Path("pyproject.toml").read_text("utf-8"))["project"]
    sys.stdout.write(json.dumps(bill(sys.stdin, told), indent=1) + "\n")
