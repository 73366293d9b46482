"""The import map in `drgsim.__doc__` holds, and engine modules name no code and no DRG."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import drgsim
from drgsim.tables import TableSet

PACKAGE = Path(drgsim.__file__).parent
LAYERS = {name: int(layer) for layer, name in re.findall(r"(?m)^ +(\d+)  (\w+)  ", drgsim.__doc__ or "")}
MODULES = sorted(path for path in PACKAGE.glob("*.py") if path.stem not in ("__init__", "__main__"))
# Modules that turn published facts into tables or read foreign files may name what they read.
NOT_ENGINE = {"release", "release_payment", "release_population", "claims", "cli"}
# Sizes of machine words and the like, which happen to be DRG numbers too.
SIZES = {128, 200, 255, 256, 257}


def imported(path: Path) -> set[str]:
    """Return the names of the package's modules that a file imports."""
    tree = ast.parse(path.read_text("utf-8"))
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "drgsim":
            parts = (node.module or "").split(".")
            found |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("drgsim.")}
    return found


def test_the_map_lists_every_module():
    assert {path.stem for path in MODULES} == set(LAYERS)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_imports_go_down(path: Path):
    upward = {name for name in imported(path) if LAYERS[name] >= LAYERS[path.stem]}
    assert not upward, f"{path.stem} (layer {LAYERS[path.stem]}) imports {upward}"


def test_no_folder_hides_modules():
    assert not [path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE]


def constants(path: Path) -> list[object]:
    """Return every constant of a module that is not a docstring."""
    tree = ast.parse(path.read_text("utf-8"))
    docs = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    return [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in docs]


@pytest.mark.parametrize("path", [p for p in MODULES if p.stem not in NOT_ENGINE], ids=lambda path: path.stem)
def test_engine_names_no_code_and_no_drg(path: Path):
    tables = TableSet.load("43.1")
    codes = {*tables.all_diagnoses, *tables.all_procedures}
    drgs = {*tables.formulas["drg"]} - SIZES
    named = [
        value
        for value in constants(path)
        if (isinstance(value, str) and value.upper().replace(".", "") in codes)
        or (type(value) is int and value >= 100 and value in drgs)
    ]
    assert not named


def test_the_check_on_codes_can_fail(tmp_path: Path):
    guilty = tmp_path / "guilty.py"
    guilty.write_text('"""Doc K81.0."""\nif pdx == "K81.0":\n    drg = 419\n', "utf-8")
    assert constants(guilty) == ["K81.0", 419]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_modules_stay_readable(path: Path):
    assert len(path.read_text("utf-8").splitlines()) <= 420
