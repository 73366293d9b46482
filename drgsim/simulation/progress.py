"""The progress bar of a long run."""

from __future__ import annotations

import warnings
from typing import Any


def progress_bar(total: int, unit: str, *, wanted: bool | None, done: int = 0) -> Any:
    """Return a tqdm bar, to use in a `with` block and to update.

    Args:
        total: number of units to do, of which `done` are done already.
        unit: what is counted.
        wanted: True shows the bar, False hides it, None shows it in a terminal after two seconds.

    >>> with progress_bar(3, "part", wanted=False) as bar:
    ...     bar.update()
    """
    with warnings.catch_warnings():
        # In a notebook without ipywidgets tqdm warns and uses the bar of a terminal, which is enough.
        warnings.filterwarnings("ignore", "IProgress not found")
        from tqdm.auto import tqdm

    hidden = None if wanted is None else not wanted
    return tqdm(total=total, initial=done, unit=unit, delay=0 if wanted else 2, disable=hidden, leave=False)
