"""`python -m drgsim` is the command line."""

import sys

from drgsim.cli.command_line import main

sys.exit(main())
