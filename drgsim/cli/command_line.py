"""The command line, `drgsim` or `python -m drgsim`; each command calls one public function.

Exit codes: 0 done; 1 a selftest or a verification found something wrong; 2 the command or its input cannot be used;
3 a defect of drgsim; 130 interrupted. An error is one line on standard error.

The modules of the commands declare arguments only; what a command needs (Polars, NumPy, tables) is imported when it
runs, so that help costs nothing.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import traceback
from collections.abc import Sequence

from drgsim.cli.console import DEFECT, DONE, INTERRUPTED, UNUSABLE, Parser
from drgsim.cli.finance_commands import add_audit_commands, add_bridge_command
from drgsim.cli.grouping_commands import add_edit_command, add_generate_command, add_group_command, add_price_command
from drgsim.cli.review_commands import (
    add_compare_command,
    add_explain_command,
    add_profile_command,
    add_validate_command,
    add_worklist_command,
)
from drgsim.cli.scenario_commands import add_scenarios_commands, add_selftest_command
from drgsim.cli.shared_arguments import list_versions
from drgsim.cli.simulation_commands import add_demo_command, add_report_command, add_simulate_command
from drgsim.cli.table_commands import add_claims_commands, add_tables_commands
from drgsim.exceptions import DrgsimError

TRACEBACK = "DRGSIM_TRACEBACK"
"""Environment variable that shows where a defect is; the traceback may hold cells of the input."""

_EXEMPT = ('hospital_status="EXEMPT"', "--hospital-status EXEMPT")
"""What messages of the library call an option, and its name here."""

COMMANDS = (
    add_generate_command,
    add_group_command,
    add_price_command,
    add_edit_command,
    add_simulate_command,
    add_explain_command,
    add_profile_command,
    add_validate_command,
    add_compare_command,
    add_worklist_command,
    add_audit_commands,
    add_bridge_command,
    add_report_command,
    add_demo_command,
    add_claims_commands,
    add_tables_commands,
    add_scenarios_commands,
    add_selftest_command,
)
"""What declares each command, in the order of the help."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code (see the module).

    Args:
        arguments: the words after `drgsim`; by default those of the process.

    Raises:
        SystemExit: after --help or --version, and with code 2 where the arguments are not understood.

    >>> main(["scenarios", "check", "empty"])
    empty: usable with 43.1: no errors
    0
    """
    options = build_parser().parse_args(arguments)
    try:
        code = int(options.run(options))
        sys.stdout.flush()
        return code
    except DrgsimError as error:
        return _print_error(str(error).replace(*_EXEMPT), UNUSABLE)
    except BrokenPipeError:  # the reader of the output needs no more of it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except (OSError, MemoryError) as error:
        return _print_error(_describe_error(error), UNUSABLE)
    except KeyboardInterrupt:
        return _print_error("interrupted; no incomplete file was written", INTERRUPTED)
    except Exception as error:
        if os.environ.get(TRACEBACK):
            traceback.print_exc()
        return _print_error(f"a defect of drgsim ({type(error).__name__}); {TRACEBACK}=1 shows where", DEFECT)


def build_parser() -> Parser:
    """Return the parser of the command line.

    >>> build_parser().parse_args(["group", "claims.csv"]).out
    '-'
    """
    parser = Parser(
        prog="drgsim", description="MS-DRG grouping, pricing and coding-error simulation.", allow_abbrev=False
    )
    parser.add_argument("--version", action=_PrintVersion)
    commands = parser.add_subparsers(required=True, dest="command", metavar="COMMAND", parser_class=Parser)
    for add in COMMANDS:
        add(commands)
    return parser


def describe_installation() -> str:
    """Return the release of drgsim, its grouper versions and the release of Python.

    >>> describe_installation().startswith("drgsim ")
    True
    """
    from drgsim.version import __version__

    known = list_versions()
    return f"drgsim {__version__}; MS-DRG {known[0]} to {known[-1]}; Python {platform.python_version()}"


# ---------------------------------------------------------------------------------------------------------


class _PrintVersion(argparse.Action):
    """Print what is installed and end; it is found only when asked for."""

    def __init__(self, option_strings: Sequence[str], dest: str) -> None:
        super().__init__(option_strings, dest, nargs=0, help="print what is installed")

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        try:
            print(describe_installation())
        except DrgsimError as error:
            parser.exit(_print_error(str(error), UNUSABLE))
        parser.exit()


def _print_error(message: str, code: int) -> int:
    """Print an error in one line and return the exit code."""
    sys.stderr.write(f"drgsim: {' '.join(message.split())}\n")
    return code


def _describe_error(error: OSError | MemoryError) -> str:
    if isinstance(error, MemoryError):
        return "not enough memory; divide the admissions into several files"
    return f"{error.filename or 'a file'}: {error.strerror or type(error).__name__}"
