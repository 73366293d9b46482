"""Memory that this process may still use, and the refusal of work that needs more."""

from __future__ import annotations

import re
from pathlib import Path

from drgsim.exceptions import InputError

_GIB = 1 << 30
_CGROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current", "/sys/fs/cgroup/memory.stat"),
    (
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
        "/sys/fs/cgroup/memory/memory.stat",
    ),
)


def find_available_memory() -> int | None:
    """Return the bytes that this process may still use, or None where the system does not say.

    The least of: memory that the system can give without swapping, the limit of the container, and the limits of the
    process (`ulimit -v`, `ulimit -d`).

    >>> (find_available_memory() or 1) > 0
    True
    """
    found = [_find_system_memory(), *map(_find_container_memory, _CGROUPS), *_find_process_memory()]
    known = [value for value in found if value is not None]
    return max(0, min(known)) if known else None


def check_memory(need: float, what: str, advice: str) -> None:
    """Refuse work that needs more memory than there is, before it begins.

    Args:
        need: the least it needs [bytes]; work that only might need more is not refused.
        what: what needs it, as the subject of the message.
        advice: what to do instead.

    Raises:
        InputError: there is less.

    >>> try:
    ...     check_memory(2**60, "a simulation", "Take fewer admissions.")
    ... except InputError as error:
    ...     print(str(error).partition(",")[0])
    a simulation needs at least 1
    """
    available = find_available_memory()
    if available is not None and need > available:
        raise InputError(
            f"{what} needs at least {need / _GIB:,.1f} GiB of memory, {available / _GIB:,.1f} GiB are free. {advice}"
        )


# ---------------------------------------------------------------------------------------------------------


def _find_system_memory() -> int | None:
    found = re.search(r"MemAvailable:\s+(\d+) kB", _read("/proc/meminfo"))
    return int(found[1]) << 10 if found else None


def _find_container_memory(files: tuple[str, str, str]) -> int | None:
    """Return what the container has left; cached files that the system can drop count as free."""
    most, used, parts = map(_read, files)
    if not most.strip().isdigit() or not used.strip().isdigit():
        return None
    cached = re.search(r"^(?:total_)?inactive_file (\d+)", parts, re.MULTILINE)
    return int(most) - int(used) + (int(cached[1]) if cached else 0)


def _find_process_memory() -> list[int]:
    """Return what the limits of the process leave."""
    try:
        import resource
    except ImportError:  # Windows
        return []
    status, left = _read("/proc/self/status"), []
    for limit, name in ((resource.RLIMIT_AS, "VmSize"), (resource.RLIMIT_DATA, "VmData")):
        most, used = resource.getrlimit(limit)[0], re.search(rf"{name}:\s+(\d+) kB", status)
        if most != resource.RLIM_INFINITY and used:
            left.append(most - (int(used[1]) << 10))
    return left


def _read(path: str) -> str:
    try:
        return Path(path).read_text("utf-8")
    except OSError:
        return ""
