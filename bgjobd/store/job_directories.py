"""Puts new jobs on the disk. Their directories are made before they are needed: a new file is what takes time.

A new inode costs from 20 µs to more than 1 ms, renaming what exists 20 µs (docs/design/0008-performance.md), and four
files are on the way from a request to its running command. So a few directories wait in `prepared/`, each with what its
job will need; they survive the daemon, and the next one goes on with them.
"""

import contextlib
import os
import shutil
from collections import deque

from bgjobd.model.reference import is_job_id, new_job_id
from bgjobd.paths import Paths, ensure_private_directory
from bgjobd.runner.records import Spec, fill_record, sync_directory

_READY = 4  # directories that wait: what is prepared while a job starts is there for the next one
_FEW = 1
# Empty until they are needed; the two records are renamed to their names once they are whole (see runner.records).
_FILES = ("spec", "run.new", "exit.new", "lock")


class JobDirectories:
    """Directories of jobs to come. `prepare` may run in a thread; everything else belongs to the event loop."""

    def __init__(self, paths: Paths) -> None:
        """Go on with what an earlier daemon has prepared; what it did not finish is removed.

        Raises:
            BgjobError: STORAGE or REFUSED, as in `Paths.ensure`.
        """
        self._paths = paths
        ensure_private_directory(paths.prepared_dir)
        self._ready: deque[str] = deque()
        for name in os.listdir(paths.prepared_dir):
            directory = f"{paths.prepared_dir}/{name}"
            if is_job_id(name) and sorted(os.listdir(directory)) == sorted(_FILES):
                self._ready.append(name)
            else:
                shutil.rmtree(directory, ignore_errors=True)

    @property
    def is_full(self) -> bool:
        """Whether there is nothing to prepare."""
        return len(self._ready) >= _READY

    @property
    def is_low(self) -> bool:
        """Whether the next jobs might find none."""
        return len(self._ready) <= _FEW

    def next_id(self) -> str:
        """Return the id that the next job should have."""
        return self._ready[0] if self._ready else new_job_id()

    def create(self, spec: Spec) -> None:
        """Put a job on the disk: from here on it exists, whoever dies.

        Raises:
            BgjobError, OSError: the disk refused; nothing of the job is left.
        """
        directory, prepared = self._paths.job_dir(spec.job_id), f"{self._paths.prepared_dir}/{spec.job_id}"
        mark = f"{self._paths.live_dir}/{spec.job_id}"
        try:
            if self._ready and self._ready[0] == spec.job_id:
                self._ready.popleft()
            else:
                self._make(spec.job_id, ())  # what else there is to be is made by whoever needs it
            fill_record(spec, f"{prepared}/spec", fsync=spec.fsync)
            if spec.fsync:
                sync_directory(prepared)
            # The mark first: without one the job would never be looked at, and without a job the mark means nothing.
            _mark(f"{prepared}/spec", mark)
            os.rename(prepared, directory)  # nobody sees a part of it: the directory appears with all there is
        except BaseException:
            with contextlib.suppress(OSError):  # the next daemon removes it
                os.unlink(mark)
            shutil.rmtree(prepared, ignore_errors=True)
            raise

    def prepare(self) -> None:
        """Make directories until enough are ready. Blocks.

        Raises:
            BgjobError, OSError: the disk refused.
        """
        while not self.is_full:
            job_id = new_job_id()
            self._make(job_id, _FILES)
            self._ready.append(job_id)

    def _make(self, job_id: str, files: tuple[str, ...]) -> None:
        ensure_private_directory(os.path.dirname(self._paths.job_dir(job_id)))
        directory = f"{self._paths.prepared_dir}/{job_id}"
        os.mkdir(directory, 0o700)
        for name in files:
            os.close(os.open(f"{directory}/{name}", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def _mark(spec: str, mark: str) -> None:
    """Make a live mark. A second name of the spec: a file of its own would be one more to create and to delete.

    ext4 looks at every inode that was deleted within minutes before it creates one (recently_deleted in
    fs/ext4/ialloc.c), which at 200 jobs in a second took a fifth of the time.
    """
    try:
        os.link(spec, mark)
    except OSError:  # a file system without links, or with too many of them
        os.close(os.open(mark, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
