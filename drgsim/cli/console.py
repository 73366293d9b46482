"""What all commands share: how a command is declared, and how it reports progress."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

DONE, WRONG, UNUSABLE, DEFECT, INTERRUPTED = 0, 1, 2, 3, 130
"""Exit codes: done; found wrong; the command or its input cannot be used; a defect of drgsim; interrupted."""

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


def report_progress(options: Options, text: str) -> None:
    """Write progress to standard error, unless --quiet is given."""
    if not options.quiet:
        sys.stderr.write(f"drgsim: {text}\n")
        sys.stderr.flush()


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
