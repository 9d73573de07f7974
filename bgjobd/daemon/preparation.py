"""Keeps directories ready for jobs to come: in a thread, and after a job has started, when nobody waits for it."""

import logging

import anyio
import anyio.to_thread

from bgjobd.errors import BgjobError
from bgjobd.store.job_directories import JobDirectories

# As for new spares (runner.zygote): making files would take a processor from the command that begins to run.
_DELAY_S = 0.01

logger = logging.getLogger("bgjobd.preparation")


class Preparation:
    """Refills `directories` when it is asked to."""

    def __init__(self, directories: JobDirectories) -> None:
        self._directories = directories
        self._asked = anyio.Event()

    def ask(self) -> None:
        """Say that some may have been used, and that now is a good time."""
        if not self._directories.is_full:
            self._asked.set()

    async def run(self) -> None:
        """Prepare for ever; cancelled at shutdown."""
        while True:
            try:
                await anyio.to_thread.run_sync(self._directories.prepare)
            except (BgjobError, OSError) as error:  # jobs are made as they come then, and say what is wrong
                logger.warning("cannot prepare directories: %s", error)
            self._asked = anyio.Event()
            await self._asked.wait()
            if not self._directories.is_low:
                with anyio.move_on_after(_DELAY_S):
                    await anyio.sleep_forever()
