"""What all commands share: how a command is declared, and how it reports progress."""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, NoReturn

from drgsim.exceptions import DrgsimError

DONE, WRONG, UNUSABLE, DEFECT, INTERRUPTED = 0, 1, 2, 3, 130
"""Exit codes: done; found wrong; the command or its input cannot be used; a defect of drgsim; interrupted."""

LINE_SECONDS, TERMINAL_SECONDS = 60.0, 2.0
"""Seconds between two lines of progress: in a log, and in a terminal, where each replaces the one before."""

Options = argparse.Namespace
Commands = Any
"""What `ArgumentParser.add_subparsers` returns; argparse gives it no public name."""


class Parser(argparse.ArgumentParser):
    """A parser that reports a mistake in one line and ends with code 2."""

    def error(self, message: str) -> NoReturn:
        """Report a mistake, and where help is."""
        self.exit(UNUSABLE, f"{self.prog}: {' '.join(message.split())}. See {self.prog} --help.\n")


def add_command(
    commands: Commands, name: str, run: Callable[[Options], int], *, does: str, example: str, about: str = ""
) -> Parser:
    """Declare one command with its example, and return its parser.

    >>> parser = Parser(prog="drgsim")
    >>> hello = add_command(parser.add_subparsers(), "hello", lambda _: 0, does="say hello", example="drgsim hello")
    >>> "example:" in hello.format_help()
    True
    """
    parser: Parser = commands.add_parser(
        name,
        help=does,
        description=" ".join(f"{does[:1].upper()}{does[1:]}. {about}".split()),
        epilog="example:\n" + "\n".join(f"  {line.strip()}" for line in example.strip().splitlines()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="write nothing but errors to standard error")
    parser.set_defaults(run=run)
    return parser


def add_command_group(commands: Commands, name: str, *, does: str) -> Commands:
    """Declare a command that consists of several commands, and return what takes these."""
    return commands.add_parser(name, help=does, description=f"{does[:1].upper()}{does[1:]}.").add_subparsers(
        required=True, metavar="COMMAND"
    )


def whole_number_from(least: int) -> Callable[[str], int]:
    """Return a function that reads whole numbers and refuses those below `least`.

    >>> whole_number_from(2)("20")
    20
    """

    def read_number(text: str) -> int:
        found = int(text)
        if found < least:
            raise argparse.ArgumentTypeError(f"{found} is below {least}")
        return found

    return read_number


def known_word(list_known: Callable[[], Sequence[str]]) -> Callable[[str], str]:
    """Return a function that refuses words that are not known.

    What is known is found when an argument is read, so that `--help` need not load it.

    >>> known_word(lambda: ["43.0", "43.1"])("43.1")
    '43.1'
    """

    def read_word(text: str) -> str:
        try:
            known = list_known()
        except DrgsimError as error:
            raise argparse.ArgumentTypeError(str(error)) from error
        if text not in known:
            raise argparse.ArgumentTypeError(f"invalid choice: {text} (choose from {', '.join(known)})")
        return text

    return read_word


def report_progress(options: Options, text: str) -> None:
    """Write progress to standard error, unless --quiet is given."""
    if not options.quiet:
        sys.stderr.write(f"drgsim: {text}\n")
        sys.stderr.flush()


class Progress:
    """Lines on standard error while a long step runs; nothing for a step of a moment.

    In a log there is a line a minute, in a terminal one line that changes. Set `done` as the work goes on.

    >>> with Progress(Options(quiet=True), "group", 10, "admissions") as progress:
    ...     progress.done = 5
    >>> progress.describe(120)
    'group: 5 of 10 admissions, 2 min'
    """

    def __init__(
        self, options: Options, step: str, total: int, unit: str, count_done: Callable[[], int] | None = None
    ) -> None:
        """Prepare the progress of a step.

        Args:
            options: with --quiet nothing is written.
            step: what is done, such as "group".
            total: number of units; 0 where it is not known how many are done.
            unit: what is counted.
            count_done: returns how many are done; by default `done` is read.
        """
        self.done = 0
        self._step, self._total, self._unit, self._count_done = step, total, unit, count_done
        self._is_quiet, self._is_terminal = options.quiet, sys.stderr.isatty()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._write_lines, daemon=True)

    def __enter__(self) -> Progress:
        """Begin to report."""
        if not self._is_quiet:
            self._thread.start()
        return self

    def __exit__(self, _kind: type[BaseException] | None, _error: object, _trace: TracebackType | None) -> None:
        """Report no more."""
        self._ended.set()
        if not self._is_quiet:
            self._thread.join()

    def describe(self, seconds: float) -> str:
        """Return the line of progress after some seconds."""
        done = self.done if self._count_done is None else self._count_done()
        passed = f"{seconds / 60:.0f} min" if seconds >= 60 else f"{seconds:.0f} s"
        return f"{self._step}: {f'{done:,} of {self._total:,} {self._unit}, ' if self._total else ''}{passed}"

    def _write_lines(self) -> None:
        began, is_written = time.monotonic(), False
        while not self._ended.wait(TERMINAL_SECONDS if self._is_terminal else LINE_SECONDS):
            line = f"drgsim: {self.describe(time.monotonic() - began)}"
            sys.stderr.write(f"\r{line:<79}" if self._is_terminal else f"{line}\n")
            sys.stderr.flush()
            is_written = True
        if is_written and self._is_terminal:
            sys.stderr.write(f"\r{'':<79}\r")


def align_columns(rows: Sequence[Sequence[object]], header: Sequence[str]) -> str:
    """Return rows as text in columns, numbers aligned to the right.

    >>> print(align_columns([("a", 1), ("bc", 20)], ("name", "rows")))
    name  rows
    a        1
    bc      20
    """
    texts = [[f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row] for row in rows]
    right = [bool(rows) and all(isinstance(row[i], int | float) for row in rows) for i in range(len(header))]
    widths = [max(map(len, cells)) for cells in zip(header, *texts, strict=True)]
    lines = [
        "  ".join(
            cell.rjust(width) if is_right else cell.ljust(width)
            for cell, width, is_right in zip(row, widths, right, strict=True)
        )
        for row in (list(header), *texts)
    ]
    return "\n".join(line.rstrip() for line in lines)
