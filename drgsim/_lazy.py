"""Public names of a package, each loaded from its module when it is first used (PEP 562)."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any


def attach(package: str, home: dict[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Return `__getattr__`, `__dir__` and `__all__` of a package, the last without version.

    Args:
        package: the name of the package.
        home: the module of each public name, counted from the package `drgsim`.

    >>> load, names, _ = attach("drgsim.tables", {"versions": "tables.table_set"})
    >>> names(), load("versions")()[0]
    (['versions'], '36.0')
    """

    def load(name: str) -> Any:
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(f"drgsim.{home[name]}"), name)
        setattr(sys.modules[package], name, value)
        return value

    return load, lambda: sorted(home), sorted(name for name in home if not name.startswith("__"))
