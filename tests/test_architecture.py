"""The map of `drgsim` holds: rows, packages, modules, sizes, names; and the engine names no code and no DRG."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

import pytest

import drgsim
from drgsim.tables.table_set import TableSet

PACKAGE = Path(drgsim.__file__).parent
ROWS = {name: int(row) for row, name in re.findall(r"(?m)^ +(\d) +(\w+) {1,}\S", drgsim.__doc__ or "")}
PLUMBING = {"__init__", "__main__", "_lazy"}
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path.stem not in PLUMBING)
FOLDERS = sorted(path.parent for path in PACKAGE.glob("*/__init__.py"))
# Packages that turn published facts into tables or read foreign files may name what they read.
NOT_ENGINE = {"releases", "claims", "claim_fields", "cli"}
MOST_LINES, MOST_STATEMENT_LINES, MOST_ARGUMENTS = 400, 50, 7
# The regulation in its order.
MAY_BE_LONG = {"components"}
# Spark's verbs are called as those of the front door on purpose.
SAME_NAMES_ON_PURPOSE = {"scale.spark"}


def name_of(path: Path) -> str:
    """Return a module's name within the package, such as `grouping.hac`."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def package_of(name: str) -> str:
    return name.partition(".")[0]


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def imported(path: Path) -> set[str]:
    """Return the modules of drgsim that a file imports, by their names within the package."""
    known = {name_of(module) for module in MODULES}
    found = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "drgsim":
            home = (node.module or "").partition(".")[2]
            if home in known:
                found.add(home)
            else:
                found |= {f"{home}.{alias.name}".strip(".") for alias in node.names}
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[2] for alias in node.names if alias.name.startswith("drgsim.")}
    return found - {"_lazy"}


def signatures(tree: ast.Module) -> list[ast.FunctionDef]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]


def test_the_map_lists_every_package_and_root_module():
    roots = {path.stem for path in PACKAGE.glob("*.py")} - PLUMBING
    assert set(ROWS) == roots | {folder.name for folder in FOLDERS}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_package_lists_its_modules(folder: Path):
    docstring = ast.get_docstring(tree_of(folder / "__init__.py")) or ""
    listed = re.findall(r"(?m)^ *(\w+) {2,}\S", docstring)
    assert sorted(listed) == sorted(path.stem for path in folder.glob("*.py") if path.stem != "__init__")
    assert 3 <= len(listed) <= 13


@pytest.mark.parametrize("folder", [*FOLDERS, PACKAGE], ids=lambda folder: folder.name)
def test_an_init_is_a_docstring_and_a_list_of_names(folder: Path):
    tree = tree_of(folder / "__init__.py")
    typed, attached = set(), set()
    for node in tree.body[1:]:
        if isinstance(node, ast.If):
            assert ast.unparse(node.test) == "TYPE_CHECKING"
            for line in node.body:
                assert isinstance(line, ast.ImportFrom)
                typed |= {(alias.name, (line.module or "").removeprefix("drgsim.")) for alias in line.names}
        elif isinstance(node, ast.Assign):
            assert isinstance(node.value, ast.Call)
            attached |= set(ast.literal_eval(node.value.args[1]).items())
        else:
            assert isinstance(node, ast.ImportFrom), ast.unparse(node)
            assert node.module in ("__future__", "typing", "drgsim._lazy")
    assert typed == attached


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_go_down_the_map(path: Path):
    own = package_of(name_of(path))
    upward = {name for name in imported(path) if package_of(name) != own and ROWS[package_of(name)] >= ROWS[own]}
    assert not upward, f"{name_of(path)} (row {ROWS[own]}) imports {upward}"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_modules_import_modules_and_never_a_package(path: Path):
    assert imported(path) <= {name_of(module) for module in MODULES}


def cycle_in(graph: dict[str, set[str]]) -> list[str]:
    """Return the nodes of a cycle, or nothing."""
    done: set[str] = set()

    def follow(node: str, way: list[str]) -> list[str]:
        if node in way:
            return way[way.index(node) :]
        if node in done:
            return []
        found = next((cycle for later in sorted(graph.get(node, ())) if (cycle := follow(later, [*way, node]))), [])
        done.add(node)
        return found

    return next((cycle for node in sorted(graph) if (cycle := follow(node, []))), [])


def test_no_import_goes_in_a_circle():
    modules = {name_of(path): imported(path) for path in MODULES}
    assert not cycle_in(modules)
    packages: dict[str, set[str]] = defaultdict(set)
    for name, others in modules.items():
        packages[package_of(name)] |= {package_of(other) for other in others} - {package_of(name)}
    assert not cycle_in(packages)


def test_the_check_on_circles_can_fail():
    assert cycle_in({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) == ["b", "c"]


def public_names(path: Path) -> list[str]:
    nodes = (node for node in tree_of(path).body if isinstance(node, ast.FunctionDef | ast.ClassDef))
    return [node.name for node in nodes if not node.name.startswith("_")]


def test_a_public_name_is_defined_once():
    homes = defaultdict(list)
    for path in MODULES:
        if name_of(path) not in SAME_NAMES_ON_PURPOSE:
            for name in public_names(path):
                homes[name].append(name_of(path))
    assert not {name: found for name, found in homes.items() if len(found) > 1}


def test_no_module_is_called_as_a_public_name_of_its_package():
    for folder in FOLDERS:
        modules = {path.stem for path in folder.glob("*.py")}
        assert not modules & {name for path in folder.glob("*.py") for name in public_names(path)}, folder.name


def test_array_types_are_defined_once():
    for path in MODULES:
        if name_of(path) != "numerics.arrays":
            assert not re.search(r"(?m)^\w+(: TypeAlias)? = (npt\.)?NDArray\[", path.read_text("utf-8")), name_of(path)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_modules_and_functions_stay_readable(path: Path):
    assert len(path.read_text("utf-8").splitlines()) <= MOST_LINES
    for node in signatures(tree_of(path)):
        lines = node.end_lineno - node.lineno + 1
        if ast.get_docstring(node) is not None:
            lines -= node.body[0].end_lineno - node.body[0].lineno + 1
        assert lines <= MOST_STATEMENT_LINES or node.name in MAY_BE_LONG, f"{node.name} has {lines} lines"
        keywords = [] if node.name.startswith("_") else node.args.kwonlyargs
        given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        counted = [a for a in given if a not in keywords and a.arg not in ("self", "cls")]
        assert len(counted) <= MOST_ARGUMENTS, f"{node.name} takes {len(counted)} arguments"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_docstrings_begin_with_a_short_line(path: Path):
    tree = tree_of(path)
    nodes = [tree, *(n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.ClassDef))]
    for node in nodes:
        first = (ast.get_docstring(node) or "").partition("\n")[0]
        assert len(first) <= 90, f"{getattr(node, 'name', 'module')}: {first}"


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


ENGINE = [path for path in MODULES if package_of(name_of(path)) not in NOT_ENGINE]


@pytest.mark.parametrize("path", ENGINE, ids=name_of)
def test_engine_names_no_code_and_no_drg(path: Path):
    tables = TableSet.load("43.1")
    codes = {*tables.all_diagnoses, *tables.all_procedures}
    tree = tree_of(path)
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
