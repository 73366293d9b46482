"""`python -m drgsim` is the command line."""

import sys

from drgsim.cli.main import main

sys.exit(main())
