"""The front door is pinned, typed and light."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib import import_module, metadata
from pathlib import Path

import pytest

import drgsim

FRONT_DOOR = [
    "DrgsimError",
    "InputError",
    "MissingRateError",
    "Rates",
    "Scenario",
    "SchemaError",
    "StorageError",
    "TableError",
    "TableSet",
    "UnknownVersionError",
    "audit",
    "calibrate",
    "code_value",
    "compare_simulations",
    "convert_admissions",
    "convert_codes",
    "edit",
    "explain",
    "exposure",
    "generate",
    "group",
    "price",
    "profile",
    "read_claims",
    "report",
    "simulate",
    "version_for",
    "versions",
    "with_weights",
    "write",
]


def test_front_door_is_pinned():
    assert sorted(drgsim.__all__) == FRONT_DOOR
    assert all(getattr(drgsim, name).__doc__ for name in FRONT_DOOR)


def test_no_module_is_called_as_a_public_name_is():
    """Importing such a module would put it in the place of the function."""
    modules = {path.stem for path in Path(drgsim.__file__).parent.glob("*.py")}
    assert not modules & set(FRONT_DOOR)
    for name in ("explain", "compare_simulations", "code_value"):
        with pytest.raises(ModuleNotFoundError):
            import_module(f"drgsim.{name}")


def test_public_names_stay_what_they_are_whatever_is_imported():
    """In a fresh interpreter, every module is imported before any public name is asked for."""
    program = """
import inspect, pkgutil, importlib
import drgsim
for module in pkgutil.iter_modules(drgsim.__path__):
    if module.name != "__main__":
        importlib.import_module("drgsim." + module.name)
from drgsim import explain, compare_simulations, code_value
print(sorted(name for name in drgsim.__all__ if not callable(getattr(drgsim, name))))
print(all(inspect.isfunction(verb) for verb in (explain, compare_simulations, code_value)))
"""
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["[]", "True"]


def test_package_is_typed():
    assert (Path(drgsim.__file__).parent / "py.typed").exists()


def test_import_loads_nothing_it_does_not_need():
    program = "import sys, drgsim; print(sorted({'matplotlib', 'polars', 'numpy', 'pydantic'} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
    program = "import sys; from drgsim import group; print(sorted({'matplotlib', 'pydantic'} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_the_version_is_that_of_the_installed_release_and_loads_nothing():
    declared = tomllib.loads((Path(drgsim.__file__).parents[1] / "pyproject.toml").read_text("utf-8"))
    assert drgsim.__version__ == metadata.version("drgsim") == declared["project"]["version"]
    program = (
        "import sys, drgsim; print(drgsim.__version__, sorted({'polars', 'numpy', 'pydantic'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == f"{drgsim.__version__} []"


def test_an_unknown_name_is_an_attribute_error():
    assert set(dir(drgsim)) == {*FRONT_DOOR, "__version__"}
    with pytest.raises(AttributeError, match="no attribute 'gruop'"):
        drgsim.gruop  # noqa: B018  (the lookup is the test)


def test_every_error_is_one_tree():
    errors = [getattr(drgsim, name) for name in FRONT_DOOR if name.endswith("Error")]
    assert all(issubclass(error, drgsim.DrgsimError) for error in errors)
    assert issubclass(drgsim.SchemaError, ValueError)
