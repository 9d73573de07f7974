"""Where spares prepare what their job will need: `<state dir>/spool/<zygote pid>-<spare pid>`, an empty log.

Creating a directory and two files costs more than all else a runner does before the job runs; renaming costs little.
"""

import os

from bgjobd.runner.claim import is_locked


class Spool:
    """The spool of one zygote.

    Args:
        state_dir: of the daemon; created below it is what this process may write.
    """

    def __init__(self, state_dir: str) -> None:
        self._state_dir = state_dir
        self._directory = f"{state_dir}/spool"
        self._zygote_pid = os.getpid()

    def open(self) -> None:
        """Create it, and remove what spares of dead zygotes left.

        Raises:
            OSError: the disk refused.
        """
        os.makedirs(self._directory, 0o700, exist_ok=True)
        for name in os.listdir(self._directory):
            if not is_locked(f"{self._state_dir}/zygote-{name.partition('-')[0]}.lock"):
                remove_tree(f"{self._directory}/{name}")

    @property
    def rehearsal_dir(self) -> str:
        """Where the play lies, see `rehearsal`."""
        return f"{self._directory}/{self._zygote_pid}-rehearsal"

    @property
    def practice_dir(self) -> str:
        """Where the zygote practises, see `practice`."""
        return f"{self._directory}/{self._zygote_pid}-practice"

    @property
    def turns(self) -> str:
        """Where a file may be for a moment, see `channel`."""
        return f"{self._directory}/{self._zygote_pid}-turns"

    def log_dir(self, spare_pid: int) -> str:
        """Return where that spare prepares its log."""
        return f"{self._directory}/{self._zygote_pid}-{spare_pid}"

    def forget(self, spare_pid: int) -> None:
        """Remove what a spare left that did not live to have a job."""
        remove_tree(self.log_dir(spare_pid))

    def close(self) -> None:
        """Remove what is left when the zygote ends."""
        remove_tree(self.rehearsal_dir)


def remove_tree(path: str) -> None:
    """Remove a directory and what is in it; not there is fine, and so is what cannot be removed: it is tried again."""
    try:
        for name in os.listdir(path):
            if os.path.isdir(f"{path}/{name}"):
                remove_tree(f"{path}/{name}")
            else:
                os.unlink(f"{path}/{name}")
        os.rmdir(path)
    except OSError:
        return
