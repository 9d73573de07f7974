"""What a job costs while it runs: its runner's memory. The rows of tests/perf say more; this must not get worse."""

import mmap
import statistics
import sys

import pytest

from tests.helpers.procs import private_bytes
from tests.helpers.submit import Jobs

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux") or mmap.PAGESIZE != 4096, reason="memory is shared by page, as Linux counts it"
)

MIB = 1 << 20
WARM_UP, COUNTED = 3, 5  # the first ones may have found code that had to be compiled


@pytest.mark.parametrize(("pty", "limit"), [(False, 1.15 * MIB), (True, 1.2 * MIB)], ids=["pipes", "terminal"])
def test_the_runner_of_an_idle_job_shares_nearly_all_of_its_memory(jobs: Jobs, pty: bool, limit: float) -> None:
    for _ in range(WARM_UP):
        jobs.finish("true")
    running = [jobs.run(["/bin/cat"], pty=pty) for _ in range(COUNTED)]
    assert statistics.median(private_bytes(job.runner_pid or 0) for job in running) <= limit
