"""`python -m bgjobd`: the daemon, as the `bgjobd` command. Does nothing else."""

import sys

from bgjobd.daemon.main import main

if __name__ == "__main__":
    sys.exit(main())
