"""The import map in `drgsim.__doc__` holds, and engine modules name no code and no DRG."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import drgsim
from drgsim.tables.table_set import TableSet

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


def texts(tree: ast.Module) -> list[str]:
    """Return every text constant of a module that is not a docstring."""
    docs = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    nodes = (node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in docs)
    return [node.value for node in nodes if isinstance(node.value, str)]


def speaks_of_drg(node: ast.AST) -> bool:
    names = [getattr(n, "id", None) or getattr(n, "attr", None) or getattr(n, "value", None) for n in ast.walk(node)]
    return any(isinstance(name, str) and re.fullmatch(r"(\w+_)?drgs?(_\w+)?", name.lower()) for name in names)


def numbers_beside_drg(tree: ast.Module) -> list[int]:
    """Return whole numbers from 100 that are compared with, assigned to or passed beside a DRG."""
    found: list[object] = []
    for node in ast.walk(tree):
        beside: list[ast.AST] = []
        if isinstance(node, ast.Compare) and speaks_of_drg(node):
            beside = [node.left, *node.comparators]
        elif isinstance(node, ast.Assign) and any(map(speaks_of_drg, node.targets)):
            beside = list(node.value.elts) if isinstance(node.value, ast.Tuple | ast.List | ast.Set) else [node.value]
        elif isinstance(node, ast.Call) and any(isinstance(a, ast.Name) and speaks_of_drg(a) for a in node.args):
            beside = list(node.args)
        found += [part.value for part in beside if isinstance(part, ast.Constant)]
    return [value for value in found if type(value) is int and 100 <= value <= 999]


@pytest.mark.parametrize("path", [p for p in MODULES if p.stem not in NOT_ENGINE], ids=lambda path: path.stem)
def test_engine_names_no_code_and_no_drg(path: Path):
    tables = TableSet.load("43.1")
    codes = {*tables.all_diagnoses, *tables.all_procedures}
    tree = ast.parse(path.read_text("utf-8"))
    assert not [text for text in texts(tree) if text.upper().replace(".", "") in codes]
    drgs = {*tables.drg_titles["drg"]}
    assert not [number for number in numbers_beside_drg(tree) if number in drgs]


@pytest.mark.parametrize(
    "guilty",
    ["drg = 419", "if row.drg == 419: pass", 'pl.col("drg") < 998', "BURN_DRGS = (927, 928)", "f(drg, 18, 789)"],
)
def test_the_check_on_drgs_can_fail(guilty: str):
    assert numbers_beside_drg(ast.parse(guilty))


def test_the_check_on_codes_can_fail():
    guilty = '"""Doc K81.0."""\nif pdx == "K81.0": pass\n'
    assert texts(ast.parse(guilty)) == ["K81.0"]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_modules_stay_readable(path: Path):
    assert len(path.read_text("utf-8").splitlines()) <= 420
