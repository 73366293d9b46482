"""`python -m drgsim` is the command line."""

import sys

from drgsim.cli import main

sys.exit(main())
