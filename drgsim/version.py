"""The installed release of drgsim."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def find_version() -> str:
    """Return the installed release, or "0+unknown" where drgsim runs without being installed.

    >>> from drgsim import __version__
    >>> find_version() == __version__
    True
    """
    try:
        return version("drgsim")
    except PackageNotFoundError:
        return "0+unknown"


__version__ = find_version()
