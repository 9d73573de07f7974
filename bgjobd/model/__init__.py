"""Pure descriptions of jobs: no I/O, no clock."""
