"""What a client asks for itself: it tightens what the configuration allows, never loosens it, and is told so."""

from collections.abc import Callable
from typing import Any

from bgjobd.client import connect
from bgjobd.errors import ErrorCode
from bgjobd.protocol import ClientInfo, JobStatus, Kill, Restrictions
from tests.helpers.daemon import Daemon
from tests.helpers.submit import Jobs


def test_a_limit_is_tightened_and_the_job_says_so(daemon: Daemon, env: dict[str, str]) -> None:
    asked = Restrictions(timeout_s=5.0, max_output_bytes=100_000)
    with connect(daemon.paths, autostart=False, restrictions=asked) as client:
        jobs = Jobs(client, env)
        loose = jobs.finish("true", timeout_s=600.0, max_output_bytes=1 << 20)
        assert (loose.timeout_s, loose.max_output_bytes) == (5.0, 100_000)
        assert [warning.split()[0] for warning in loose.warnings] == ["timeout_s", "max_output_bytes"]
        tight = jobs.finish("true", timeout_s=2.0, max_output_bytes=70_000)
        assert (tight.timeout_s, tight.max_output_bytes, tight.warnings) == (2.0, 70_000, [])
        unsaid = jobs.finish("true")
        assert (unsaid.timeout_s, unsaid.max_output_bytes, unsaid.warnings) == (5.0, 100_000, [])


def test_nothing_is_loosened(env: dict[str, str], refused: Callable[[ErrorCode], Any]) -> None:
    daemon = Daemon(env | {"BGJOB_MAX_OUTPUT_BYTES": "100000", "BGJOB_DENIED_COMMANDS": '["^rm"]'})
    daemon.start()
    try:
        asked = Restrictions(max_output_bytes=1 << 30, allowed_commands=[".*"])
        with connect(daemon.paths, autostart=False, restrictions=asked) as client:
            jobs = Jobs(client, env)
            assert jobs.finish("true").max_output_bytes == 100_000
            with refused(ErrorCode.REFUSED):
                jobs.run("rm x")
        daemon.stop(kill_jobs=True)
    finally:
        daemon.close()


def test_a_clients_own_number_of_jobs_queues_its_further_ones_and_nobody_elses(
    daemon: Daemon, env: dict[str, str]
) -> None:
    agent = ClientInfo(kind="mcp", project="/project")
    with (
        connect(daemon.paths, autostart=False, client=agent, restrictions=Restrictions(max_jobs=1)) as bound,
        connect(daemon.paths, autostart=False, client=ClientInfo(kind="cli")) as free,
    ):
        first = Jobs(bound, env).run("sleep 600")
        second = Jobs(bound, env).run("true")
        assert (first.status, second.status) == (JobStatus.RUNNING, JobStatus.QUEUED)
        assert Jobs(free, env).finish("true").status is JobStatus.COMPLETED
        free.call(Kill(job=first.job_id))
        assert Jobs(free, env).end(second).status is JobStatus.COMPLETED


def test_a_limit_below_the_smallest_log_is_raised_and_that_is_said(daemon: Daemon, env: dict[str, str]) -> None:
    with connect(daemon.paths, autostart=False, restrictions=Restrictions(max_output_bytes=1000)) as client:
        job = Jobs(client, env).finish("true")
    assert job.max_output_bytes == 65_536
    assert job.warnings == [
        "this client's limit of 1000 bytes of output is below the smallest log, which is 65536 bytes: that is kept"
    ]
