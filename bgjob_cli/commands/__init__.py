"""One file per verb: `add_arguments()` and `run()`."""
