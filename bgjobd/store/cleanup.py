"""Deletes the directories of ended jobs. Which ones is decided elsewhere (policy.retention)."""

import os
import shutil
from collections.abc import Iterable

from bgjobd.model.reference import is_job_id

_REMOVED = ".removed"


def remove_jobs(jobs_dir: str, job_ids: Iterable[str]) -> int:
    """Delete the directories of these jobs; return the bytes of output that were freed. Blocks: call in a thread.

    Each directory is renamed first, so that a crash in the middle never leaves half a job under its name; what is left
    of the renamed one is deleted by `remove_leftovers`.

    Raises:
        OSError: the disk refused.
        ValueError: one of them is no job id.
    """
    freed = 0
    for job_id in job_ids:
        if not is_job_id(job_id):  # a path is made of it
            raise ValueError(job_id)
        directory = os.path.join(jobs_dir, job_id[:2], job_id)
        doomed = directory + _REMOVED
        try:
            os.rename(directory, doomed)
        except FileNotFoundError:
            continue  # removed already
        freed += _bytes_of_logs(doomed)
        shutil.rmtree(doomed)
    return freed


def remove_leftovers(jobs_dir: str) -> list[str]:
    """Finish what an interrupted `remove_jobs` left; return the ids of those jobs, which the history may still list.

    Raises:
        OSError: the disk refused.
    """
    finished = []
    for prefix in os.listdir(jobs_dir):
        folder = os.path.join(jobs_dir, prefix)
        for name in os.listdir(folder) if os.path.isdir(folder) else ():
            if name.endswith(_REMOVED):
                shutil.rmtree(os.path.join(folder, name))
                finished.append(name.removesuffix(_REMOVED))
    return finished


def _bytes_of_logs(directory: str) -> int:
    """Return the size of a job's log segments."""
    try:
        with os.scandir(os.path.join(directory, "log")) as entries:
            return sum(entry.stat().st_size for entry in entries if entry.name.endswith(".log"))
    except FileNotFoundError:
        return 0
