"""Limits on the size and nesting of files of unknown origin.

`read_whole(path)`, `parse_toml(text)` and `check_unpacked_size(path)` refuse a file before it fills the memory or
blocks the reader: devices and pipes, files that are too large, compressed files that grow out of proportion, settings
that nest deeper or have longer lines than people write. The caller says which exception to raise.
"""

from __future__ import annotations

import gzip
import os
import stat
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

MOST_TABLE = 1 << 28
"""Most bytes of a table; the largest shipped one has 6.4 million."""
MOST_SETTINGS = 1 << 19
"""Most bytes of a TOML file; the largest shipped one has 17,000."""
MOST_LINE = 10_000
"""Most characters of a line of a TOML file: the time to read a dotted key grows with the square of its length."""
MOST_NESTED = 32
"""Most levels of tables and arrays within each other."""
LARGEST_NUMBER = 1 << 63
"""Whole numbers of a TOML file lie between this and its negative, as TOML 1.0 has them."""
MOST_GROWTH = 100
"""Most times its size that a compressed file may grow to, above `SMALL` bytes; tables of claims grow 5 to 30 times."""
SMALL = 1 << 26
_STEP = 1 << 20
GZIP = b"\x1f\x8b"
_OTHER_COMPRESSION = {b"\x28\xb5\x2f\xfd": "Zstandard", b"\x78\x01": "zlib", b"\x78\x5e": "zlib", b"\x78\x9c": "zlib"}
_OTHER_COMPRESSION |= {b"\x78\xda": "zlib", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"PK\x03\x04": "zip"}

Refusal = Callable[[str], Exception]


def read_whole(path: Path, most: int, refusal: Refusal) -> bytes:
    """Return the bytes of a file, whole.

    Args:
        path: a regular file; a device or a pipe may never end.
        most: the most bytes it may have.
        refusal: makes the exception to raise from its message.

    Raises:
        Exception: made by `refusal`, where the file cannot be read, is no regular file or is too large.

    >>> read_whole(Path("absent.toml"), MOST_SETTINGS, ValueError)
    Traceback (most recent call last):
    ValueError: absent.toml: cannot be read (No such file or directory).
    """
    if "\0" in str(path):
        raise refusal(f"{str(path)!r}: cannot be read (not a file name).")
    try:
        with open(path, "rb", opener=_open_without_waiting) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise refusal(f"{path}: cannot be read (not a regular file).")
            found = read_at_most(file, most + 1)
    except OSError as error:
        raise refusal(f"{path}: cannot be read ({error.strerror}).") from error
    if len(found) > most:
        raise refusal(f"{path}: more than {most:,} bytes, which no such file has.")
    return found


def read_at_most(file: IO[bytes], most: int) -> bytes:
    """Return up to `most` bytes of an open file.

    In steps: `file.read(most)` reserves `most` bytes of address space at once, whatever the file has.

    >>> import io
    >>> read_at_most(io.BytesIO(b"drgsim"), 3)
    b'drg'
    """
    steps, size = [], 0
    while size < most and (step := file.read(min(_STEP, most - size))):
        steps.append(step)
        size += len(step)
    return b"".join(steps)


def parse_toml(text: bytes | str, where: object, refusal: Refusal) -> dict[str, Any]:
    r"""Return the values of a TOML text; a byte order mark before it does no harm.

    Args:
        text: the file's content.
        where: the name of the file in messages.
        refusal: makes the exception to raise from its message.

    Raises:
        Exception: made by `refusal`, where the text is no TOML, or goes beyond the limits of this module.

    >>> parse_toml("rate = 0.05", "mine.toml", ValueError)
    {'rate': 0.05}
    >>> parse_toml("rate = " + "[" * 40 + "]" * 40, "mine.toml", ValueError)
    Traceback (most recent call last):
    ValueError: mine.toml: nests deeper than 32, which no settings do.
    """
    if len(text) > MOST_SETTINGS:
        raise refusal(f"{where}: more than {MOST_SETTINGS:,} bytes, which no settings have.")
    try:
        read = text.decode("utf-8-sig") if isinstance(text, bytes) else text.removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise refusal(f"{where}: not a TOML file: not UTF-8 text at byte {error.start}.") from error
    long_line = next((number for number, line in enumerate(read.split("\n"), 1) if len(line) > MOST_LINE), None)
    if long_line:
        raise refusal(f"{where}: not a TOML file: line {long_line} has more than {MOST_LINE:,} characters.")
    try:
        values = tomllib.loads(read)
    except RecursionError as error:
        raise refusal(f"{where}: nests deeper than {MOST_NESTED}, which no settings do.") from error
    except (ValueError, OverflowError) as error:  # also a number of more digits than Python reads
        raise refusal(f"{where}: not a TOML file: {error}") from error
    _check_values(values, where, refusal)
    return values


def check_unpacked_size(path: Path, refusal: Refusal) -> None:
    """Refuse a file whose compressed content grows out of proportion.

    Readers of tables unpack a file that begins as a compressed one does, whatever its name, so this looks at the bytes.
    Gzip is unpacked once, in steps that are thrown away; other compression is refused.

    Raises:
        Exception: made by `refusal`.
        OSError, EOFError, zlib.error: the file cannot be read, or is damaged.

    >>> import tempfile
    >>> bomb = Path(tempfile.mkdtemp()) / "claims.csv.gz"
    >>> _ = bomb.write_bytes(gzip.compress(bytes(SMALL + 1)))
    >>> check_unpacked_size(bomb, lambda message: ValueError(message.partition(": ")[2]))
    Traceback (most recent call last):
    ValueError: grows beyond 100 times its size when unpacked. Unpack it yourself if you trust it.
    """
    with path.open("rb") as file:
        begin = file.read(6)
    other = next((name for mark, name in _OTHER_COMPRESSION.items() if begin.startswith(mark)), None)
    if other:
        raise refusal(f"{path}: compressed by {other}; unpack it, or compress it by gzip.")
    if not begin.startswith(GZIP):
        return
    most, grown = max(SMALL, MOST_GROWTH * path.stat().st_size), 0
    with gzip.open(path) as file:
        while step := file.read(_STEP):
            grown += len(step)
            if grown > most:
                raise refusal(
                    f"{path}: grows beyond {MOST_GROWTH} times its size when unpacked. "
                    "Unpack it yourself if you trust it."
                )


# ---------------------------------------------------------------------------------------------------------


def _open_without_waiting(path: str, flags: int) -> int:
    """Open a file without waiting for the other end of a pipe."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _check_values(values: dict[str, Any], where: object, refusal: Refusal) -> None:
    """Refuse values that nest too deep or are larger than TOML allows; without recursion."""
    level: list[Any] = [values]
    for _ in range(MOST_NESTED):
        inner = [part for one in level for part in (one.values() if isinstance(one, dict) else one)]
        if any(isinstance(part, int) and not -LARGEST_NUMBER <= part < LARGEST_NUMBER for part in inner):
            raise refusal(f"{where}: a whole number of more than 64 bits.")
        level = [part for part in inner if isinstance(part, dict | list)]
        if not level:
            return
    raise refusal(f"{where}: nests deeper than {MOST_NESTED}, which no settings do.")
