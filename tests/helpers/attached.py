"""A job with a terminal, and windows that are attached to it."""

from tests.helpers.cli import BGJOB, Cli
from tests.helpers.pty import Terminal

DETACH = "C-\\"


def pty_job(cli: Cli, command: str) -> str:
    """Start a job in a terminal and return its id."""
    return cli.submit("--pty", command)


def attached(cli: Cli, job: str, *options: str, rows: int = 24, columns: int = 80) -> Terminal:
    """Return a window in which `bgjob attach` shows the job."""
    return Terminal([BGJOB, "attach", *options, job], cli.env, rows=rows, columns=columns, cwd=cli.cwd)
