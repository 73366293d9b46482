"""The command line, `drgsim` or `python -m drgsim`. Thin; every command is one public function.

Exit codes: 0 done; 1 a selftest or a verification found something wrong; 2 the command or its input cannot be used;
3 a defect of drgsim; 130 interrupted. An error is one line on standard error.
"""

from __future__ import annotations

import os
import platform
import sys
import traceback
from collections.abc import Sequence

from drgsim.cli import admission_commands as cli_claims
from drgsim.cli import table_commands as cli_tables
from drgsim.cli.console import DEFECT, DONE, INTERRUPTED, UNUSABLE, Parser
from drgsim.exceptions import DrgsimError
from drgsim.tables.table_set import versions
from drgsim.version import __version__

TRACEBACK = "DRGSIM_TRACEBACK"
"""Environment variable that shows where a defect is; its text may hold cells of the input."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code (see the module).

    Args:
        arguments: what stands behind `drgsim`; by default those of the process.

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
        return _told(str(error), UNUSABLE)
    except BrokenPipeError:  # whoever read the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except (OSError, MemoryError) as error:
        return _told(_reason(error), UNUSABLE)
    except KeyboardInterrupt:
        return _told("interrupted; nothing was written that is not complete", INTERRUPTED)
    except Exception as error:
        if os.environ.get(TRACEBACK):
            traceback.print_exc()
        return _told(f"a defect of drgsim ({type(error).__name__}); {TRACEBACK}=1 shows where", DEFECT)


def build_parser() -> Parser:
    """Return what understands the arguments.

    >>> build_parser().parse_args(["group", "claims.csv"]).out
    '-'
    """
    made = Parser(
        prog="drgsim", description="MS-DRG grouping, pricing and coding-error simulation.", allow_abbrev=False
    )
    made.add_argument("--version", action="version", version=describe_installation())
    commands = made.add_subparsers(required=True, dest="command", metavar="COMMAND", parser_class=Parser)
    cli_claims.add_admission_commands(commands)
    cli_tables.add_table_commands(commands)
    return made


def describe_installation() -> str:
    """Return the release, the grouper versions and what they run on.

    >>> describe_installation().startswith("drgsim ")
    True
    """
    known = versions()
    return f"drgsim {__version__}; MS-DRG {known[0]} to {known[-1]}; Python {platform.python_version()}"


# ---------------------------------------------------------------------------------------------------------


def _told(message: str, code: int) -> int:
    """Tell an error in one line."""
    sys.stderr.write(f"drgsim: {' '.join(message.split())}\n")
    return code


def _reason(error: OSError | MemoryError) -> str:
    if isinstance(error, MemoryError):
        return "not enough memory; take the admissions in parts"
    return f"{error.filename or 'a file'}: {error.strerror or type(error).__name__}"
