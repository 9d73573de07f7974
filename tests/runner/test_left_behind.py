"""Descendants that go on running after the main process has ended: not killed, not lost, not forgotten."""

import os
import shutil

from bgjobd.runner import control
from bgjobd.runner.foreign_tree import ForeignTree
from bgjobd.runner.receipt import MAX_LISTED, unpack_left
from tests.helpers.procs import is_alive
from tests.helpers.waiting import wait_gone, wait_until
from tests.runner.harness import Job, Zygote, first

# A child in another session that writes when it is told to, through a FIFO, and ends after that.
SERVER = "mkfifo {fifo}; setsid sh -c 'read x <{fifo}; echo late; echo $x' & echo main; exit 2"


def _server(zygote: Zygote, state_dir: str, **values: object) -> tuple[Job, str]:
    fifo = os.path.join(state_dir, "fifo")
    return zygote.submit(SERVER.format(fifo=fifo), **values), fifo


def test_the_job_ends_with_its_main_process_and_says_who_is_left(zygote: Zygote, state_dir: str) -> None:
    job, fifo = _server(zygote, state_dir)
    record = job.wait_ended()
    assert (job.code(), record.reason, record.left, record.out_end) == (2, "exit", 1, 5)
    pid, start, name = unpack_left(record.left_behind[0])
    assert (is_alive(pid), start > 0, name) == (True, True, b"sh")
    with job.control() as peer:
        assert peer.status()["state"] == "left"
        watch = peer.ask(control.WATCH, offset=5)
        with open(fifo, "w") as file:
            file.write("words\n")
        assert int(first(peer.answer(watch))["out_end"]) > 5
    record = job.wait_ended()
    assert (record.left, record.left_behind, record.out_end, job.code()) == (0, [], 16, 2)
    assert job.text() == "main\nlate\nwords\n"
    job.wait_runner_gone()


def test_a_kill_ends_what_was_left_and_leaves_the_jobs_own_end_alone(zygote: Zygote, state_dir: str) -> None:
    job, _fifo = _server(zygote, state_dir)
    before = job.wait_ended()
    with job.control() as peer:
        answer = peer.kill(actor="ann")
    assert (first(answer)["status"], len(answer["killed"])) == ("killed", 1)
    record = job.wait_ended()
    assert (record.left, record.reason, record.actor, record.status) == (0, "exit", None, before.status)
    assert (record.ended_ns, record.duration_us) == (before.ended_ns, before.duration_us)
    assert record.killed == answer["killed"]


def test_a_single_signal_reaches_what_was_left(zygote: Zygote, state_dir: str) -> None:
    job, _fifo = _server(zygote, state_dir)
    job.wait_ended()
    with job.control() as peer:
        assert peer.call(control.SIGNAL, signal=15)["status"] == "signalled"
    assert job.wait_ended().left == 0


def test_leftovers_are_ended_where_that_was_asked_for(zygote: Zygote, state_dir: str) -> None:
    job, _fifo = _server(zygote, state_dir, kill_leftovers=True)
    record = job.wait_ended()
    assert (job.code(), record.reason, record.left, len(record.killed)) == (2, "exit", 0, 1)
    job.wait_runner_gone()


def test_what_ends_right_behind_the_main_process_is_not_called_left(zygote: Zygote) -> None:
    job = zygote.run("(echo quick) & exit 0")
    assert (job.exit().left, job.text()) == (0, "quick\n")


def test_leftovers_without_the_jobs_streams_are_left_as_well(zygote: Zygote) -> None:
    job = zygote.submit("setsid sleep 60 <&- >&- 2>&- & exit 0")
    record = job.wait_ended()
    assert (record.left, record.streams_open) == (1, False)
    with job.control() as peer:
        peer.kill(signal=9)
    assert job.wait_ended().left == 0


def test_orphans_are_reaped_while_the_job_runs(zygote: Zygote) -> None:
    job = zygote.submit("(true & true & true &); echo ready; read x").wait_started()
    job.wait_output("ready")
    run = job.run()
    path = f"/proc/{run.runner_pid}/task/{run.runner_pid}/children"

    def children() -> list[int]:
        with open(path) as file:
            return [int(word) for word in file.read().split()]

    wait_until(lambda: children() == [run.job_pid], "only the main process is left")
    with job.control() as peer:
        peer.kill(signal=9)


def test_a_runner_whose_job_directory_was_removed_ends_with_its_job(zygote: Zygote) -> None:
    """It tried to write its record for ever; so did a zygote that practised when its instance was removed."""
    job = zygote.submit("read x").wait_started()
    runner = job.run().runner_pid
    with job.control() as peer:
        shutil.rmtree(job.directory)
        peer.write(b"\n")
        wait_gone(runner, "the runner's end")


def test_of_very_many_processes_all_are_counted_and_the_first_are_listed(zygote: Zygote) -> None:
    many = MAX_LISTED + 20
    job = zygote.submit(f"for i in $(seq {many}); do sleep 300 & done; echo ready; read x; exit 2").wait_started()
    job.wait_output("ready")
    run = job.run()
    tree = ForeignTree(run.job_pid, run.job_start, job.id, lambda _status: None, -1)
    assert (len(tree.living()) > many, len(tree.survivors())) == (True, MAX_LISTED)
    with job.control() as peer:
        peer.write(b"\n")
    record = job.wait_ended()
    assert (job.code(), record.left, len(record.left_behind)) == (2, many, MAX_LISTED)
