"""Check of the configuration: read by the daemon's own program, which touches nothing else."""

import os
import subprocess
import sys

from bgjob_cli.doctor.findings import Finding, fail, ok, warn
from bgjob_cli.terminal_text import printable
from bgjobd.paths import Paths

__all__ = ["check_configuration"]


def check_configuration(paths: Paths) -> Finding:
    """Return whether a daemon that is started now would take the configuration. One that runs has its own."""
    checked = subprocess.run(
        [sys.executable, "-P", "-m", "bgjobd", "--check-config"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if checked.returncode:
        message, _, advice = checked.stderr.strip().partition("\n")
        return fail("configuration", message or f"exit status {checked.returncode}", advice.partition("\n")[0])
    if checked.stdout:
        unknown = "; ".join(checked.stdout.splitlines())
        return warn(
            "configuration", printable(unknown), "Correct or unset it. A running daemon's settings are listed below."
        )
    if not os.path.exists(paths.config_file):
        return ok("configuration", f"no file, built-in values ({printable(paths.config_file)})")
    return ok("configuration", printable(paths.config_file))
