"""The front door is pinned, typed and light."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import drgsim

FRONT_DOOR = [
    "DrgsimError",
    "InputError",
    "MissingRateError",
    "Rates",
    "SchemaError",
    "TableError",
    "TableSet",
    "UnknownVersionError",
    "generate",
    "group",
    "pay",
    "read_claims",
    "version_for",
    "versions",
    "with_weights",
]


def test_front_door_is_pinned():
    assert sorted(drgsim.__all__) == FRONT_DOOR
    assert all(getattr(drgsim, name).__doc__ for name in FRONT_DOOR)


def test_package_is_typed():
    assert (Path(drgsim.__file__).parent / "py.typed").exists()


def test_import_loads_nothing_it_does_not_need():
    program = "import sys, drgsim; print(sorted({'matplotlib', 'polars', 'numpy', 'pydantic'} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
    program = "import sys; from drgsim import group; print(sorted({'matplotlib', 'pydantic'} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_an_unknown_name_is_an_attribute_error():
    assert set(dir(drgsim)) == set(FRONT_DOOR)
    with pytest.raises(AttributeError, match="no attribute 'gruop'"):
        drgsim.gruop  # noqa: B018  (the lookup is the test)


def test_every_error_is_one_tree():
    errors = [getattr(drgsim, name) for name in FRONT_DOOR if name.endswith("Error")]
    assert all(issubclass(error, drgsim.DrgsimError) for error in errors)
    assert issubclass(drgsim.SchemaError, ValueError)
