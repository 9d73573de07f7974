"""`bgjob doctor --torture`: kills bgjob's own processes at random moments and checks that nothing is lost.

Everything happens in an instance of its own, in a temporary directory. Each round runs jobs whose output and exit
status are known beforehand, kills one kind of process in the middle, and then compares what bgjob says with what must
be. The moments come from a seed, so a round that lost something can be run again.
"""

import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from bgjob_cli.connection import Daemon
from bgjobd.errors import BgjobError, ErrorCode
from bgjobd.paths import Paths
from bgjobd.protocol import DaemonStatus, Follow, FollowItem, JobStatus, ListJobs, Shutdown, Stream, Submit, Wait

__all__ = ["VICTIMS", "torture"]

JOBS_PER_ROUND = 8
KILLS_PER_ROUND = 3
_LATEST_KILL_S = 0.5  # jobs write for about as long
_ROUND_DEADLINE_S = 20.0
_LOOK_AGAIN_S = 0.05


@dataclass(slots=True)
class Expected:
    """What one job has to do: the numbers `first`..`last` on each stream, then its exit status."""

    number: int
    first: int
    blocks: int
    block_lines: int
    pause_s: float
    exit_code: int
    job_id: str = ""

    def command(self) -> bytes:
        """Return the shell line: whole numbers, a block at a time, on both streams."""
        return (
            f"i=0; while [ $i -lt {self.blocks} ]; do a=$(({self.first} + i * {self.block_lines}));"
            f" b=$((a + {self.block_lines} - 1)); seq $a $b; seq $a $b >&2; i=$((i + 1));"
            f" sleep {self.pause_s:.3f}; done;"
            f" exit {self.exit_code}"
        ).encode()

    def output(self) -> bytes:
        """Return what each of its streams has to hold."""
        end = self.first + self.blocks * self.block_lines
        return b"".join(b"%d\n" % number for number in range(self.first, end))


@dataclass(slots=True)
class Round:
    """What happened in one round."""

    number: int
    victim: str
    kills: list[float] = field(default_factory=list)  # seconds after the round began
    jobs: int = 0
    output_bytes: int = 0
    losses: list[str] = field(default_factory=list)

    def describe(self) -> str:
        """Return the round as one line."""
        moments = ", ".join(f"{moment:.3f}" for moment in self.kills)
        result = "nothing lost" if not self.losses else "LOST: " + "; ".join(self.losses)
        return (
            f"round {self.number}: killed {self.victim} at {moments or 'no moment'} s;"
            f" {self.jobs} jobs, {self.output_bytes} bytes: {result}"
        )


def torture(rounds: int, seed: int, say: Callable[[str], None]) -> int:
    """Run `rounds` rounds; return how many of them lost something.

    Args:
        rounds: how many; each takes about a second.
        seed: where the random moments come from.
        say: prints one line.
    """
    home = tempfile.mkdtemp(prefix="bgjob-torture-", dir="/tmp")
    before = {name: value for name, value in os.environ.items() if name.startswith("BGJOB_")}
    # Settings of whoever asks could forget a job, or end it, where nothing was lost.
    _replace_variables({"BGJOB_HOME": home, "BGJOB_KEEP_ENDED_JOBS": str(rounds * JOBS_PER_ROUND)})
    failed = 0
    try:
        for number in range(1, rounds + 1):
            done = _round(number, VICTIMS[(number - 1) % len(VICTIMS)], random.Random(f"{seed}/{number}"))
            say(done.describe())
            failed += bool(done.losses)
        left = _end_instance(home)
        if left:
            say(f"LEFT BEHIND: {', '.join(left)}")
            failed += 1
    finally:
        _replace_variables(before)
        if failed:
            say(f"what is left of the instance is in {home}")
        else:
            shutil.rmtree(home, ignore_errors=True)
    return failed


def _replace_variables(wanted: dict[str, str]) -> None:
    """Make `wanted` all there is of bgjob's variables in our environment."""
    for name in [name for name in os.environ if name.startswith("BGJOB_")]:
        del os.environ[name]
    os.environ.update(wanted)


def _round(number: int, victim: str, chance: random.Random) -> Round:
    """Start jobs, kill, and compare."""
    done = Round(number, victim)
    with Daemon() as daemon:
        daemon.call(DaemonStatus())
        known = daemon.call(ListJobs(limit=0)).total
        moments = sorted(chance.uniform(0.0, _LATEST_KILL_S) for _ in range(KILLS_PER_ROUND))
        expected = [_expect(index, chance) for index in range(JOBS_PER_ROUND)]
        begin = time.monotonic()
        waiting = iter(moments)
        next_kill = next(waiting, None)
        for job in expected:
            next_kill = _kill_when_due(daemon, victim, begin, next_kill, waiting, chance, done)
            job.job_id = _submit(daemon, job, number)
        while next_kill is not None:
            time.sleep(max(0.0, begin + next_kill - time.monotonic()))  # noqa: TID251  # the moment is the point
            next_kill = _kill_when_due(daemon, victim, begin, next_kill, waiting, chance, done)
        for job in expected:
            try:
                _compare(daemon, job, done)
            except BgjobError as error:
                done.losses.append(f"job {job.job_id[:8]}: {error.message}")
        total = daemon.call(ListJobs(limit=0)).total
        if total != known + len(expected):
            done.losses.append(f"{total - known} jobs are known, {len(expected)} were submitted")
    return done


def _expect(number: int, chance: random.Random) -> Expected:
    return Expected(
        number=number,
        first=chance.randrange(1, 1_000_000),
        blocks=chance.randrange(1, 12),
        block_lines=chance.choice([1, 20, 3000]),
        pause_s=chance.uniform(0.005, 0.08),
        exit_code=chance.randrange(0, 100),
    )


def _submit(daemon: Daemon, job: Expected, round_number: int) -> str:
    """Submit a job; the idempotency key makes it safe to ask again when the daemon dies meanwhile."""
    request = Submit(
        command=job.command(),
        cwd=b"/",
        env=dict(os.environb),
        idempotency_key=f"torture-{round_number}-{job.number}",
    )
    return daemon.call(request).job.job_id


def _compare(daemon: Daemon, job: Expected, done: Round) -> None:
    """Wait for a job's end, and note everything that is not as it must be."""
    name = f"job {job.job_id[:8]}"
    reply = daemon.call(Wait(jobs=[job.job_id], timeout_s=_ROUND_DEADLINE_S))
    info = reply.jobs[0]
    done.jobs += 1
    if reply.timed_out:
        done.losses.append(f"{name} is still {info.status}")
        return
    status = JobStatus.FAILED if job.exit_code else JobStatus.COMPLETED
    if (info.status, info.exit_code) != (status, job.exit_code):
        done.losses.append(f"{name} is {info.status} with exit code {info.exit_code} instead of {job.exit_code}")
    want = job.output()
    for stream in (Stream.STDOUT, Stream.STDERR):
        got = b"".join(_read(daemon, job.job_id, stream))
        done.output_bytes += len(got)
        if hashlib.sha256(got).digest() != hashlib.sha256(want).digest():
            done.losses.append(
                f"{name} has {len(got)} bytes of {stream}, {len(want)} were written{_first_change(got, want)}"
            )


def _read(daemon: Daemon, job_id: str, stream: Stream) -> Iterator[bytes]:
    for item in daemon.follow(Follow(job=job_id, stream=stream, follow=False)):
        if isinstance(item, FollowItem) and item.run is not None:
            yield item.run.data


def _first_change(got: bytes, want: bytes) -> str:
    for position, (left, right) in enumerate(zip(got, want, strict=False)):
        if left != right:
            return f" (they differ from byte {position} on)"
    return ""


def _kill_when_due(
    daemon: Daemon,
    victim: str,
    begin: float,
    next_kill: float | None,
    waiting: Iterator[float],
    chance: random.Random,
    done: Round,
) -> float | None:
    """Kill if the moment has come; return the moment of the next kill."""
    if next_kill is None or time.monotonic() - begin < next_kill:
        return next_kill
    if _KILLERS[victim](daemon, chance):
        done.kills.append(round(time.monotonic() - begin, 3))
    return next(waiting, None)


def _kill(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def _kill_daemon(daemon: Daemon, chance: random.Random) -> bool:
    return _kill(daemon.call(DaemonStatus()).pid)


def _kill_zygote(daemon: Daemon, chance: random.Random) -> bool:
    return _kill(daemon.call(DaemonStatus()).zygote_pid)


def _kill_both(daemon: Daemon, chance: random.Random) -> bool:
    status = daemon.call(DaemonStatus())
    return _kill(status.zygote_pid) and _kill(status.pid)


def _kill_client(daemon: Daemon, chance: random.Random) -> bool:
    """Kill a client in the middle of following, with its whole process group."""
    jobs = [job for job in daemon.call(ListJobs(ended=False)).jobs if job.status is JobStatus.RUNNING]
    if not jobs:
        return False
    client = subprocess.Popen(
        [sys.executable, "-m", "bgjob_cli", "tail", "-f", chance.choice(jobs).job_id],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert client.stdout is not None
    with client.stdout:
        client.stdout.read(1)  # it follows, or there is nothing to follow any more
        os.killpg(client.pid, signal.SIGKILL)
    client.wait()
    return True


def _kill_runner(daemon: Daemon, chance: random.Random) -> bool:
    pids = [job.runner_pid for job in daemon.call(ListJobs(ended=False)).jobs if job.runner_pid]
    return bool(pids) and _kill(chance.choice(pids))


def _kill_runner_and_daemon(daemon: Daemon, chance: random.Random) -> bool:
    return _kill_runner(daemon, chance) and _kill_daemon(daemon, chance)


_KILLERS: dict[str, Callable[[Daemon, random.Random], bool]] = {
    "the daemon": _kill_daemon,
    "a runner": _kill_runner,
    "the zygote": _kill_zygote,
    "a client": _kill_client,
    "daemon and zygote": _kill_both,
    "a runner and the daemon": _kill_runner_and_daemon,
}
VICTIMS = list(_KILLERS)


def _end_instance(home: str) -> list[str]:
    """Shut the instance down; return what does not go away."""
    paths = Paths.from_environment()
    with Daemon() as daemon:
        status = daemon.call(DaemonStatus())
        try:
            daemon.call(Shutdown(kill_jobs=True), repeat=False)
        except BgjobError as error:
            if error.code is not ErrorCode.CONNECTION_LOST:
                raise
    deadline = time.monotonic() + _ROUND_DEADLINE_S
    left = [f"process {status.pid}"]
    while left and time.monotonic() < deadline:
        left = [f"process {status.pid}"] if os.path.exists(paths.socket) else []
        left += [f"live job {job_id}" for job_id in os.listdir(paths.live_dir)]
        left += [f"socket {name}" for name in os.listdir(paths.runtime_dir)]
        time.sleep(_LOOK_AGAIN_S)  # noqa: TID251  # of three directories: a bounded poll
    return left
