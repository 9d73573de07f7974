"""kill -9 of runners, of zygotes, of the daemon: no job is disturbed, no byte and no exit code is lost."""

import os
import re
import signal
import sys
import time

import pytest

from bgjobd.runner import control
from bgjobd.runner.receipt import unpack_left
from tests.helpers.procs import zombies_of
from tests.helpers.waiting import wait_gone, wait_until
from tests.runner.harness import Job, Zygote, first
from tests.runner.programs import PROGRAMS, is_anyone_left, program

# Writes numbered lines on both streams as fast as it can, some of them long.
COUNTER = (
    "import os, sys\n"
    "for n in range(int(sys.argv[1])):\n"
    "    os.write(1 + n % 2, b'%08d%s\\n' % (n, b'.' * (n % 7 * 300)))\n"
    "sys.exit(9)\n"
)


def _counter(lines: int) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", COUNTER, str(lines)]


def kill_runner(job: Job) -> int:
    """SIGKILL the job's runner, wait for its successor's run record, and return the dead one's pid."""
    before = job.run()
    os.kill(before.runner_pid, signal.SIGKILL)
    wait_gone(before.runner_pid)
    wait_until(lambda: job.run().rescue > before.rescue or job.has_exit(), "a successor", directory=job.directory)
    return before.runner_pid


def test_a_killed_runner_loses_neither_a_byte_nor_the_exit_code(zygote: Zygote) -> None:
    lines = 60_000
    job = zygote.submit(_counter(lines), max_output_bytes=1 << 30).wait_started()
    kills = 0
    while not job.has_exit() and kills < 40:
        kill_runner(job)
        kills += 1
    record = job.wait_ended()
    assert kills >= 5
    assert (job.code(), record.by, record.reason, record.left) == (9, "zygote", "exit", 0)
    for stream in (0, 1):
        numbers = [int(line[:8]) for line in job.stream(stream).splitlines()]
        assert numbers == list(range(stream, lines, 2))
    assert job.run().rescue in (kills, kills - 1)  # the last one may have recorded everything before it was killed


def test_the_successor_serves_the_same_socket_with_the_same_input(zygote: Zygote) -> None:
    job = zygote.submit("while read x; do echo got $x; done; echo end; exit 3").wait_started()
    with job.control() as peer:
        peer.write(b"one\n")
        job.wait_output("got one")
        kill_runner(job)
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            peer.status()
    job.wait_started()
    with job.control() as peer:
        assert peer.status()["state"] == "running"
        peer.write(b"two\n")
        job.wait_output("got two")
        peer.call(control.CLOSE_STDIN)
    record = job.wait_ended()
    assert (job.text(), job.code(), record.by) == ("got one\ngot two\nend\n", 3, "zygote")
    assert record.utime_us + record.stime_us > 0
    job.wait_runner_gone()
    assert not os.path.exists(job.spec.control)


def test_the_run_record_tells_who_runs_it_now(zygote: Zygote) -> None:
    job = zygote.submit("read x").wait_started()
    before = job.run()
    dead = kill_runner(job)
    after = job.run()
    assert (after.job_pid, after.job_start, after.started_ns) == (before.job_pid, before.job_start, before.started_ns)
    assert (after.rescue, after.runner_pid != dead, after.zygote) == (1, True, f"zygote-{zygote.pid}")
    job.wait_started()


def test_an_input_that_was_closed_stays_closed(zygote: Zygote) -> None:
    job = zygote.submit("cat; echo end; trap 'exit 2' USR1; while :; do sleep 60 & wait; done").wait_started()
    with job.control() as peer:
        peer.call(control.CLOSE_STDIN)
        job.wait_output("end")
    kill_runner(job)
    job.wait_started()
    with job.control() as peer:
        assert peer.status()["stdin_open"] == "0"
        peer.call(control.SIGNAL, signal=10)
    job.wait_ended()
    assert job.code() == 2


def test_a_job_that_ends_while_nobody_looks_keeps_its_exit_code(zygote: Zygote) -> None:
    """The main process ends while its runner is stopped; then the runner is killed."""
    job = zygote.submit("read x; echo last words; exit 7").wait_started()
    run = job.run()
    with job.control() as peer:
        asked = peer.ask(control.INPUT, b"x")
        peer.answer(asked)
        os.kill(run.runner_pid, signal.SIGSTOP)
        main = os.pidfd_open(run.job_pid)
        os.write(_stdin_of(zygote, run.job_pid), b"\n")
    wait_until(lambda: _is_zombie(run.job_pid), "the main process's end")
    os.close(main)
    os.kill(run.runner_pid, signal.SIGKILL)
    record = job.wait_ended()
    assert (job.text(), job.code(), record.by) == ("last words\n", 7, "zygote")


def _stdin_of(zygote: Zygote, pid: int) -> int:
    """Open the job's input as anybody of the same user could."""
    fd = os.open(f"/proc/{pid}/fd/0", os.O_WRONLY)
    zygote.on_close(lambda: os.close(fd))
    return fd


def _is_zombie(pid: int) -> bool:
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0] == "Z"


def test_a_runner_killed_after_it_reaped_the_job_left_a_note(zygote: Zygote, state_dir: str) -> None:
    """Between reaping and the exit record lies the wait for what ends right behind: its leftovers here."""
    job = zygote.submit("trap '' TERM; sleep 60 & exit 6", kill_leftovers=True, grace_ms=3_600_000).wait_started()
    lock = os.path.join(job.directory, "lock")
    wait_until(lambda: os.path.getsize(lock) > 0, "the note", directory=job.directory)
    run = job.run()
    wait_until(lambda: not os.path.exists(f"/proc/{run.job_pid}"), "the main process is reaped")
    kill_runner(job)
    job.wait_started()
    with job.control() as peer:
        peer.kill(signal=9)
    record = job.wait_ended()
    assert (job.code(), record.by, record.reason, record.left) == (6, "runner", "exit", 0)
    assert record.duration_us < 10_000_000


def test_a_job_whose_leftovers_live_on_keeps_its_end_and_their_output(zygote: Zygote, state_dir: str) -> None:
    fifo = os.path.join(state_dir, "fifo")
    job = zygote.submit(f"mkfifo {fifo}; setsid sh -c 'read x <{fifo}; echo late $x' & exit 2", timeout_ms=60_000)
    before = job.wait_ended()
    assert before.left == 1
    kill_runner(job)
    job.wait_started()
    job.wait_started()
    with job.control() as peer:
        assert peer.status()["state"] == "left"
    with open(fifo, "w") as file:
        file.write("words\n")
    record = job.wait_ended()
    assert (record.left, record.status, record.ended_ns, record.by) == (0, before.status, before.ended_ns, "runner")
    assert job.text() == "late words\n"
    job.wait_runner_gone()


def test_a_successor_finds_leftovers_when_the_main_process_ends(zygote: Zygote) -> None:
    job = zygote.submit("setsid sleep 60 & read x; exit 4").wait_started()
    kill_runner(job)
    job.wait_started()
    with job.control() as peer:
        peer.write(b"\n")
    record = job.wait_ended()
    assert (job.code(), record.left, unpack_left(record.left_behind[0])[2]) == (4, 1, b"sleep")
    with job.control() as peer:
        assert first(peer.kill())["status"] == "killed"
    assert job.wait_ended().left == 0


@pytest.mark.parametrize("name", [name for name in PROGRAMS if name != "hops"])
def test_a_successor_kills_the_whole_tree(zygote: Zygote, state_dir: str, name: str) -> None:
    lock = os.path.join(state_dir, "lock")
    job = zygote.submit(program(name, lock)).wait_started()
    job.wait_output("ready")
    kill_runner(job)
    job.wait_started()
    with job.control() as peer:
        assert first(peer.kill(grace_ms=20, actor="ann"))["status"] == "killed"
    assert not is_anyone_left(lock)
    record = job.wait_ended()
    assert (record.reason, record.actor, record.left) == ("user", "ann", 0)


def test_a_kill_by_one_successor_leaves_other_rescued_jobs_alone(zygote: Zygote) -> None:
    """Both jobs have processes that the zygote inherited, in sessions of their own."""
    jobs = [zygote.submit("(setsid sleep 60 &) ; echo ready; read x; exit 5").wait_started() for _ in range(2)]
    for job in jobs:
        job.wait_output("ready")
    for job in jobs:
        kill_runner(job)
        job.wait_started()
    with jobs[0].control() as peer:
        answer = peer.kill(signal=9)
    assert (first(answer)["status"], len(answer["killed"])) == ("killed", 2)
    with jobs[1].control() as peer:
        peer.write(b"\n")
        record = jobs[1].wait_ended()
        assert (jobs[1].code(), record.left) == (5, 1)
        peer.kill(signal=9)


def test_a_time_limit_survives_its_runner(zygote: Zygote) -> None:
    job = zygote.submit("exec sleep 60", timeout_ms=400).wait_started()
    kill_runner(job)
    record = job.wait_ended()
    assert (record.reason, job.code(), record.by) == ("timeout", -15, "zygote")
    assert record.duration_us >= 400_000


def test_without_a_run_record_a_successor_still_knows_when_the_job_began(zygote: Zygote) -> None:
    """As after a kill between the start and the record, or on a full disk."""
    job = zygote.submit("read x", timeout_ms=3_600_000).wait_started()
    before = job.run()
    os.unlink(f"{job.directory}/run")
    os.kill(before.runner_pid, signal.SIGKILL)
    job.wait_started()
    after = job.run()
    assert after.job_pid == before.job_pid
    assert abs(after.started_ns - before.started_ns) < 10**9
    assert abs(after.started_monotonic_ns - before.started_monotonic_ns) < 10**9
    with job.control() as peer:
        peer.write(b"\n")
        record = job.wait_ended()
    assert record.reason == "exit"
    assert record.duration_us < 3_000_000_000


def test_a_runner_that_had_recorded_everything_needs_no_successor(zygote: Zygote) -> None:
    """Killed between the exit record and its own end: its peer cannot read, so it is stopped right there."""
    job = zygote.submit("exit 3").wait_started()
    job.wait_ended()
    record = job.exit()
    assert (job.code(), record.by) == (3, "runner")


def test_a_runner_that_was_killed_before_it_started_anything_is_replaced(zygote: Zygote) -> None:
    """It hangs when it holds the lock and nothing runs yet: the spec it reads is a FIFO."""
    job = zygote.prepare("echo once")
    spec = os.path.join(job.directory, "spec")
    os.rename(spec, spec + ".whole")
    os.mkfifo(spec)
    job.send()
    lock = os.path.join(job.directory, "lock")
    wait_until(lambda: os.path.exists(lock) and _holders(lock), "a spare has it", directory=job.directory)
    os.rename(spec + ".whole", spec)
    for pid in _holders(lock):
        os.kill(pid, signal.SIGKILL)
    job.wait_ended()
    assert (job.text(), job.run().rescue) == ("once\n", 0)


def _holders(path: str) -> list[int]:
    """Return the pids that hold a flock on a file."""
    inode = os.stat(path).st_ino
    with open("/proc/locks") as file:
        return [int(line.split()[4]) for line in file if f":{inode} " in line and "FLOCK" in line]


def test_the_daemon_is_told_to_check_when_a_spare_dies(zygote: Zygote) -> None:
    """It may have taken a packet with it that nobody else knows of."""
    zygote.run("true").wait_runner_gone()  # while a child ends, the list of children may leave out others (proc(5))
    spares = _spares(zygote)
    assert spares
    for pid in spares:
        _kill_if_there(pid)
    zygote.expect("check", "")
    for pid in spares:
        wait_gone(pid)  # one that is killed and not gone yet may still take a packet: then there is another check
    assert zygote.run("echo fine").text() == "fine\n"


def test_a_job_that_may_have_run_is_lost_rather_than_run_again(zygote: Zygote) -> None:
    """Its runner and its zygote were killed while it was started: the note in the lock names a dead zygote."""
    job = zygote.prepare("echo twice")
    with open(os.path.join(job.directory, "lock"), "w") as file:
        file.write("zygote-1".ljust(39) + "\n")
    job.send()
    record = job.wait_ended()
    assert (record.by, record.reason, record.status) == ("lost", "unobserved", None)
    assert not os.path.exists(job.log_dir)


def test_a_zygote_killed_right_after_a_job_was_taken_does_not_disturb_it(zygote: Zygote) -> None:
    """The spare hangs when the lock names it and nothing runs yet: the spec it reads is a FIFO."""
    job = zygote.prepare("echo once")
    spec = os.path.join(job.directory, "spec")
    with open(spec, "rb") as file:
        asked = file.read()
    os.unlink(spec)
    os.mkfifo(spec)
    fifo = os.open(spec, os.O_RDWR)  # which waits for nobody
    job.send()
    lock = os.path.join(job.directory, "lock")
    wait_until(lambda: os.path.exists(lock) and os.path.getsize(lock), "its note", directory=job.directory)
    spares = _spares(zygote)
    zygote.kill()
    os.write(fifo, asked)
    os.close(fifo)
    wait_until(job.has_exit, "the exit record", directory=job.directory)
    job.wait_runner_gone()
    assert (job.text(), job.code(), job.exit().by) == ("once\n", 0, "runner")
    for pid in spares:
        wait_gone(pid)


def test_a_zygote_whose_spares_fail_ends_when_its_daemon_is_gone(zygote: Zygote) -> None:
    """Each of them fails with a job in hand, whose lock is a FIFO. So none gets to see that the channel is closed."""
    jobs = [zygote.prepare("true") for _ in range(40)]
    for job in jobs:
        os.mkfifo(os.path.join(job.directory, "lock"))
        job.send()
    zygote.channel.close()
    zygote.wait_exit()
    assert 0 < zygote.errors().count("Illegal seek") < 40
    os.truncate(os.path.join(zygote.state_dir, "errors"), 0)


def test_a_kill_at_any_instant_of_the_start_runs_the_job_exactly_once(zygote: Zygote, state_dir: str) -> None:
    """What a daemon does about it: it asks again for what has no record, whenever it is told to check."""
    marker = os.path.join(state_dir, "marker")
    for attempt in range(30):
        job = _kill_in_mid_start(zygote, f"echo {attempt} >>{marker}; exit 3", attempt)
        record = job.exit()
        assert (record.reason, job.code()) == ("exit", 3), (attempt, vars(record), zygote.errors())
    with open(marker) as file:
        assert file.read().split() == [str(attempt) for attempt in range(30)]


def test_without_a_subreaper_such_a_job_is_lost_rather_than_run_twice(portable_zygote: Zygote, state_dir: str) -> None:
    marker = os.path.join(state_dir, "marker")
    for attempt in range(8):
        job = _kill_in_mid_start(portable_zygote, f"echo {attempt} >>{marker}; exit 3", 4 * attempt)
        record = job.exit()
        assert record.status is None or job.code() == 3
        assert record.by == ("lost" if record.status is None else "runner")
    with open(marker) as file:
        ran = file.read().split()
    assert len(ran) == len(set(ran))


def _kill_in_mid_start(zygote: Zygote, command: str, instant: int) -> Job:
    """Send a job, kill every spare at one of many instants after that, and ask again as the daemon does."""
    job = zygote.prepare(command)
    spares = _spares(zygote)
    job.send()
    end = time.monotonic_ns() + instant * 150_000
    while time.monotonic_ns() < end:
        pass  # the instants between the packet and the end of the job, one after the other
    for pid in spares:
        _kill_if_there(pid)
    while not job.has_exit():
        packet = zygote.next_packet()
        if packet[0] == "check" and not os.path.exists(os.path.join(job.directory, "run")):
            job.send()  # somebody else may be at it: no harm
    return job


def _spares(zygote: Zygote) -> list[int]:
    with open(f"/proc/{zygote.pid}/task/{zygote.pid}/children") as file:
        return [int(word) for word in file.read().split()]


def _kill_if_there(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


# --- the zygote ---------------------------------------------------------------------------------------------------


def test_a_killed_zygote_disturbs_no_runner(zygote: Zygote) -> None:
    job = zygote.submit("cat; (setsid sleep 60 >&- 2>&- &); echo bye >&2; exit 3").wait_started()
    zygote.kill()
    with job.control() as peer:
        assert peer.write(b"hello\n") == {"accepted": "6"}
        job.wait_output("hello\n")
        peer.call(control.CLOSE_STDIN)
    wait_until(job.has_exit, "the exit record", directory=job.directory)
    record = job.exit()
    assert (job.code(), record.by, record.left) == (3, "runner", 1)
    assert job.text() == "hello\nbye\n"
    with job.control() as peer:
        assert first(peer.kill())["status"] == "killed"
    job.wait_runner_gone()
    assert job.exit().left == 0


def test_the_daemon_sees_the_end_of_a_killed_zygote_although_runners_live(zygote: Zygote) -> None:
    job = zygote.submit("read x").wait_started()
    zygote.kill()
    while zygote.channel.recv(8192):
        continue  # hints that were on their way
    with job.control() as peer:
        assert peer.status()["state"] == "running"


def test_spares_end_with_their_zygote(zygote: Zygote) -> None:
    zygote.run("true")
    spares = _spares(zygote)
    zygote.kill()
    for pid in spares:
        wait_gone(pid)


def test_without_zygote_the_kernel_tells_a_successor_how_the_job_ended(zygote: Zygote) -> None:
    """The runner is killed, then the zygote: the successor is nobody's parent. Somebody else reaps the job: we do."""
    job = zygote.submit("read x; exit 11").wait_started()
    kill_runner(job)
    job.wait_started()
    with zygote.reaping_orphans():
        zygote.kill()
        with job.control() as peer:
            peer.write(b"\n")
        wait_until(job.has_exit, "the exit record", directory=job.directory)
    assert (job.code(), job.exit().by) == (11, "pidfd")


# --- the daemon ---------------------------------------------------------------------------------------------------


def test_requests_that_were_sent_before_the_daemon_died_are_carried_out(zygote: Zygote) -> None:
    jobs = [zygote.submit(f"exit {number}") for number in range(1, 31)]
    zygote.channel.close()
    zygote.wait_exit()
    assert [job.code() for job in jobs] == list(range(1, 31))
    assert re.findall("zygote-.*lock", " ".join(os.listdir(zygote.state_dir))) == []


def test_a_zygote_starts_although_the_lock_of_another_one_vanishes(state_dir: str, no_leak: None) -> None:
    """What is listed and not there when it is opened: a link to nothing is both for certain."""
    os.symlink("nothing", os.path.join(state_dir, "zygote-1.lock"))
    zygote = Zygote(state_dir)
    try:
        assert zygote.run("echo fine").text() == "fine\n"
    finally:
        zygote.close()


def test_a_zygote_without_daemon_stays_for_its_runners_and_still_rescues_them(zygote: Zygote) -> None:
    job = zygote.submit("read x; exit 3").wait_started()
    zygote.channel.close()
    kill_runner(job)
    wait_until(lambda: os.path.exists(job.spec.control), "the successor's socket", directory=zygote.state_dir)
    _connect_and_write(job, b"\n")
    zygote.wait_exit()
    assert (job.code(), job.exit().by) == (3, "zygote")


def _connect_and_write(job: Job, data: bytes) -> None:
    """The dead runner's socket may still be there: connecting to it is refused."""

    def connected() -> bool:
        try:
            with job.control() as peer:
                peer.write(data)
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        return True

    wait_until(connected, "the successor serves the socket")


def test_the_zygote_reaps_what_a_killed_runner_would_have(zygote: Zygote) -> None:
    job = zygote.submit("read x; (true & true & true &); echo done; read x; exit 3").wait_started()
    kill_runner(job)
    job.wait_started()
    with job.control() as peer:
        peer.write(b"\n")
        job.wait_output("done")
        wait_until(lambda: not zombies_of(zygote.pid), "the zygote has no zombies")
        peer.write(b"\n")
    job.wait_ended()
    assert job.code() == 3
    wait_until(lambda: not zombies_of(zygote.pid), "the zygote has reaped the rescue runner too")
