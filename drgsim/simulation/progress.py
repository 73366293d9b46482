"""The bar of a long run."""

from __future__ import annotations

import warnings
from typing import Any


def progress_bar(total: int, unit: str, *, wanted: bool | None, done: int = 0) -> Any:
    """Return a bar (of tqdm), to be used in a `with` block and updated.

    Args:
        total: of what is to be done; `done` of it is done already.
        unit: what is counted.
        wanted: True shows it, False does not, None shows it in a terminal once it has lasted two seconds.

    >>> with progress_bar(3, "part", wanted=False) as bar:
    ...     bar.update()
    """
    with warnings.catch_warnings():
        # A notebook without ipywidgets gets the bar of a terminal, and need not be told.
        warnings.filterwarnings("ignore", "IProgress not found")
        from tqdm.auto import tqdm

    hidden = None if wanted is None else not wanted
    return tqdm(total=total, initial=done, unit=unit, delay=0 if wanted else 2, disable=hidden, leave=False)
