"""What a job finds when it starts, and what is said when it cannot be started."""

import fcntl
import os
import signal

import pytest

from bgjobd.runner.pipes import Pipes
from tests.runner.harness import Zygote


def test_a_job_ends_with_the_exit_status_of_its_main_process(any_zygote: Zygote) -> None:
    job = any_zygote.run("echo hello; exit 3")
    record = job.exit()
    assert (job.code(), record.reason, record.by) == (3, "exit", "runner")
    assert (job.text(), record.out_end, record.left) == ("hello\n", 6, 0)
    job.wait_runner_gone()


def test_a_job_that_dies_by_a_signal_says_which(any_zygote: Zygote) -> None:
    job = any_zygote.run("kill -SEGV $$")
    assert (job.code(), job.exit().reason, job.exit().actor) == (-signal.SIGSEGV, "signal", None)


def test_the_run_record_names_the_processes(zygote: Zygote) -> None:
    job = zygote.submit("echo $$; read x").wait_started()
    job.wait_output("\n")
    run = job.run()
    assert run.job_pid == int(job.text())
    assert os.getsid(run.job_pid) == os.getpgid(run.job_pid) == run.job_pid
    with open(f"/proc/{run.job_pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    assert (int(fields[1]), int(fields[19])) == (run.runner_pid, run.job_start)
    assert (run.zygote, run.rescue) == (f"zygote-{zygote.pid}", 0)
    with open("/proc/sys/kernel/random/boot_id") as file:
        assert run.boot_id == file.read().strip()


def test_cwd_umask_environment_and_descriptor_limit_are_those_of_the_spec(zygote: Zygote, state_dir: str) -> None:
    job = zygote.run(
        'pwd; umask; ulimit -n; echo "$GREETING $BGJOB_ID"',
        cwd=state_dir.encode(),
        umask=0o077,
        nofile_soft=321,
        env={"GREETING": "hallo", "BGJOB_ID": "somebody else"},
    )
    assert job.text().splitlines() == [state_dir, "0077", "321", f"hallo {job.id}"]


def test_a_job_has_no_descriptors_but_its_three(zygote: Zygote) -> None:
    job = zygote.run("ls -l /proc/self/fd")
    names = [line.split("/fd/")[-1].split()[-3:] for line in job.text().splitlines()[1:]]
    assert [name[0] for name in names] == ["0", "1", "2", "3"]  # 3 is the directory ls reads
    assert all(name[2].startswith("pipe:") for name in names[:3])


def test_a_job_inherits_neither_ignored_nor_blocked_signals(zygote: Zygote) -> None:
    job = zygote.run(["/bin/grep", "-E", "Sig(Blk|Ign)", "/proc/self/status"])
    masks = {name: int(mask, 16) for name, mask in (line.split(":\t") for line in job.text().splitlines())}
    catchable = sum(1 << (number - 1) for number in signal.valid_signals())
    assert [masks[name] & catchable for name in ("SigBlk", "SigIgn")] == [0, 0]


def test_a_runner_shows_nothing_of_the_command_in_its_argv(zygote: Zygote) -> None:
    job = zygote.submit("echo secret-word; read x").wait_started()
    with open(f"/proc/{job.run().runner_pid}/cmdline") as file:
        assert "secret-word" not in file.read()


def test_a_bare_name_is_looked_up_in_the_path_of_the_job(zygote: Zygote, state_dir: str) -> None:
    program = os.path.join(state_dir, "only-here")
    with open(program, "w") as file:
        file.write("#!/bin/sh\necho found $1\n")
    os.chmod(program, 0o755)
    job = zygote.run(["only-here", "it"], env={"PATH": f"/nonexistent:{state_dir}"})
    assert job.text() == "found it\n"


def _broken(state_dir: str, name: str, content: str, mode: int) -> str:
    path = os.path.join(state_dir, name)
    with open(path, "w") as file:
        file.write(content)
    os.chmod(path, mode)
    return path


@pytest.mark.parametrize(
    ("program", "exit_code", "words"),
    [
        ("no-such-program", 127, "No such file"),
        ("/no/such/program", 127, "No such file"),
        ("", 127, "no command"),
        ("/etc/passwd", 126, "Permission denied"),
        ("/etc", 126, "Permission denied"),
    ],
)
def test_a_program_that_cannot_be_started_is_a_failure_with_the_code_of_a_shell(
    zygote: Zygote, program: str, exit_code: int, words: str
) -> None:
    record = zygote.submit([program]).wait_failed()
    assert (record.reason, record.exit_code, record.status) == ("spawn_failed", exit_code, None)
    assert words in record.error


def test_a_text_file_without_interpreter_and_one_with_a_missing_one_are_not_executable(
    zygote: Zygote, state_dir: str
) -> None:
    for name, content, words in (
        ("plain", "echo hi\n", "Exec format error"),
        ("orphan", "#!/no/such/interpreter\n", "interpreter"),
    ):
        record = zygote.submit([_broken(state_dir, name, content, 0o755)]).wait_failed()
        assert (record.exit_code, record.reason) == (126, "spawn_failed")
        assert words in record.error


def test_a_missing_cwd_or_input_file_is_a_failure_that_names_it(zygote: Zygote) -> None:
    record = zygote.submit("true", cwd=b"/no/such/dir").wait_failed()
    assert (record.exit_code, "'/no/such/dir'" in record.error) == (126, True)
    record = zygote.submit("true", stdin_file=b"/no/such/file").wait_failed()
    assert (record.exit_code, "'/no/such/file'" in record.error) == (126, True)


def test_an_argument_list_that_is_too_long_is_a_failure(zygote: Zygote) -> None:
    record = zygote.submit(["/bin/echo", "x" * 200_000]).wait_failed()
    assert (record.exit_code, "too long" in record.error) == (126, True)


def test_a_damaged_spec_is_a_failure_with_a_record(zygote: Zygote) -> None:
    job = zygote.prepare("true")
    with open(os.path.join(job.directory, "spec"), "wb") as file:
        file.write(b"bgjob-record 1 spec\njob_id:36:cut")
    job.send()
    record = job.wait_failed()
    assert (record.reason, record.exit_code, "damaged" in record.error) == ("spawn_failed", 126, True)


def test_a_request_that_comes_twice_runs_the_job_once(zygote: Zygote, state_dir: str) -> None:
    marker = os.path.join(state_dir, "marker")
    job = zygote.submit(f"echo once >>{marker}; read x")
    job.send()
    job.wait_started()
    with job.control() as peer:
        peer.write(b"\n")
    job.wait_ended()
    job.wait_runner_gone()
    job.send()  # as a new daemon would that did not see the end yet
    zygote.run("true")  # the spares have looked at it by now, or will see the records
    zygote.run("true")
    with open(marker) as file:
        assert file.read() == "once\n"


def test_a_job_directory_that_is_not_there_harms_nobody(zygote: Zygote, state_dir: str) -> None:
    zygote.channel.send(b"spawn " + state_dir.encode() + b"/jobs/no/where")
    zygote.channel.send(b"nonsense")
    assert zygote.run("echo fine").text() == "fine\n"


def test_standard_input_may_be_a_file(zygote: Zygote, state_dir: str) -> None:
    path = os.path.join(state_dir, "input")
    with open(path, "w") as file:
        file.write("from a file\n")
    job = zygote.submit("cat; read x || echo end", stdin_file=path.encode())
    job.wait_ended()
    assert job.text() == "from a file\nend\n"


def test_a_job_with_a_nice_value_and_limits_has_them(zygote: Zygote) -> None:
    job = zygote.submit("read x; nice; ulimit -v; ulimit -t", nice=5, max_memory_bytes=1 << 30, max_cpu_s=60)
    job.wait_started()
    with job.control() as peer:
        peer.write(b"go\n")
    job.wait_ended()
    assert job.text().split() == ["5", str(1 << 20), "60"]


def test_the_oom_killer_prefers_the_job_to_its_runner(zygote: Zygote) -> None:
    job = zygote.submit("cat /proc/self/oom_score_adj; read x", oom_score_adj=500).wait_started()
    job.wait_output("\n")
    with open(f"/proc/{job.run().runner_pid}/oom_score_adj") as file:
        assert (job.text(), file.read()) == ("500\n", "0\n")


def test_pipes_are_small_when_there_are_many_jobs() -> None:
    """A user owns 64 MiB of pipes; beyond that every pipe of his, in any program, has 8 KiB."""
    few, many = Pipes(0), Pipes(900)
    sizes = [[fcntl.fcntl(fd, fcntl.F_GETPIPE_SZ) for fd in pipes.kept()] for pipes in (few, many)]
    for fd in [*few.kept(), *few.job_ends(), *many.kept(), *many.job_ends()]:
        os.close(fd)
    assert sizes == [[16384, 65536, 65536], [4096, 16384, 16384]]
    assert 200 * sum(sizes[0]) + 800 * sum(sizes[1]) <= 64 << 20


def test_a_runner_that_fails_by_a_mistake_of_ours_says_so_once_and_harms_no_other(any_zygote: Zygote) -> None:
    """More rows than a terminal can have: the daemon refuses them, so no runner expects that."""
    zygote = any_zygote
    job = zygote.submit("echo never", pty=True, rows=1 << 20)
    record = job.wait_failed()
    assert (record.reason, record.exit_code, record.by) == ("spawn_failed", 126, "runner")
    assert record.error.startswith("cannot start the command: its runner failed (error: ")
    assert "daemon logs" in record.error
    assert zygote.take_errors().count("Traceback") == 1
    assert zygote.run("echo next").text() == "next\n"
