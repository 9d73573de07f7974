"""`python -m bgjob_cli`: the same as `bgjob`."""

import sys

from bgjob_cli.main import main

sys.exit(main())
