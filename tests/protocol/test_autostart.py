"""Connect, or start the daemon: once, in the right place, and with nothing of ours."""

import fcntl
import os
import signal
import subprocess
import sys
import threading

import psutil
import pytest

from bgjobd.autostart import open_connection
from bgjobd.client import connect
from bgjobd.errors import BgjobError, ErrorCode
from bgjobd.paths import Paths
from bgjobd.protocol import Ping
from tests.helpers.waiting import DEADLINE_S, wait_exit, wait_readable, wait_until

CONNECT_AND_SAY_WHO = "from bgjobd.client import connect; print(connect().server.pid, flush=True)"


@pytest.fixture
def paths(env):
    return Paths.from_environment(env)


def error_of(paths, **arguments):
    with pytest.raises(BgjobError) as caught:
        open_connection(paths, **arguments)
    return caught.value


def read(path):
    with open(path) as file:
        return file.read()


def test_a_daemon_is_started_where_there_is_none_and_used_where_there_is_one(paths):
    with connect(paths) as first, connect(paths) as second:
        assert first.server.pid == second.server.pid
        first.call(Ping())
        second.call(Ping())


def test_clients_that_race_start_one_daemon(env):
    racers = [
        subprocess.Popen([sys.executable, "-c", CONNECT_AND_SAY_WHO], env=env, stdout=subprocess.PIPE, stderr=None)
        for _ in range(6)
    ]
    said = [racer.communicate(timeout=DEADLINE_S)[0] for racer in racers]
    assert [racer.returncode for racer in racers] == [0] * 6
    assert len(set(said)) == 1 and said[0].strip().isdigit()


def test_the_daemon_is_nobodys_child_in_a_session_of_its_own_at_the_root(paths):
    with connect(paths) as client:
        daemon = psutil.Process(client.server.pid)
        assert daemon.pid not in [child.pid for child in psutil.Process().children()]
        assert os.getsid(daemon.pid) != os.getsid(0)
        assert daemon.cwd() == "/"


def test_the_daemon_survives_the_end_of_its_starters_process_group(env, paths):
    program = "import signal\n" + CONNECT_AND_SAY_WHO + "\nsignal.pause()"
    starter = subprocess.Popen([sys.executable, "-c", program], env=env, stdout=subprocess.PIPE, start_new_session=True)
    with starter.stdout:
        daemon_pid = int(starter.stdout.readline())
        os.killpg(starter.pid, signal.SIGKILL)
        wait_exit(starter)
        with connect(paths, autostart=False) as client:
            assert client.server.pid == daemon_pid


def test_the_daemon_holds_no_descriptor_of_its_starter(paths):
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)  # as a shell leaves it behind
    try:
        with connect(paths) as client:
            os.close(writing)
            wait_readable(reading, "the end of the pipe")
            assert os.read(reading, 1) == b""
            client.call(Ping())
    finally:
        os.close(reading)


def test_a_client_without_standard_descriptors_can_start_it_too(env, paths):
    program = "import os\nfor fd in (0, 1, 2): os.close(fd)\nfrom bgjobd.client import connect\nconnect()"
    assert subprocess.run([sys.executable, "-c", program], env=env, timeout=DEADLINE_S).returncode == 0
    with connect(paths, autostart=False) as client:
        client.call(Ping())


def test_ignored_and_blocked_signals_are_not_passed_on(env, paths):
    program = "\n".join(
        [
            "import signal",
            "signal.signal(signal.SIGTERM, signal.SIG_IGN)",
            "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGUSR1])",
            CONNECT_AND_SAY_WHO,
        ]
    )
    done = subprocess.run([sys.executable, "-c", program], env=env, stdout=subprocess.PIPE, timeout=DEADLINE_S)
    daemon = psutil.Process(int(done.stdout))
    daemon.terminate()
    assert psutil.wait_procs([daemon], timeout=DEADLINE_S)[1] == []


def test_what_lies_in_the_current_directory_is_not_imported(paths, tmp_path, monkeypatch):
    for name in ("bgjobd", "socket", "anyio"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported from the current directory')")
    monkeypatch.chdir(tmp_path)
    with connect(paths) as client:
        client.call(Ping())


def test_a_socket_file_that_nobody_listens_at_is_no_daemon(paths):
    import socket

    paths.ensure()
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(paths.socket)
    assert error_of(paths, autostart=False).code is ErrorCode.DAEMON_UNREACHABLE
    with connect(paths) as client:
        client.call(Ping())


def test_a_daemon_that_cannot_start_is_an_error_with_its_last_words(paths):
    paths.ensure()
    with open(paths.config_file, "w") as file:
        file.write("max_jobs = 'many'\n")
    error = error_of(paths)
    assert error.code is ErrorCode.DAEMON_UNREACHABLE
    assert "max_jobs" in error.message
    assert any("max_jobs" in tail for tail in error.details["logs"].values())


def test_python_that_cannot_run_it_is_an_error_with_its_last_words(paths, monkeypatch, tmp_path):
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho out of order >&2\nexit 3\n")
    broken.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(broken))
    error = error_of(paths)
    assert error.code is ErrorCode.DAEMON_UNREACHABLE and "out of order" in error.message


def test_a_daemon_that_does_not_get_ready_is_given_up(paths, monkeypatch, tmp_path):
    silent = tmp_path / "python"
    silent.write_text("#!/bin/sh\nread line < fifo\n")  # until the test ends it
    silent.chmod(0o700)
    os.mkfifo(tmp_path / "fifo")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "executable", str(silent))
    error = error_of(paths, timeout_s=0.2)
    assert error.code is ErrorCode.DAEMON_UNREACHABLE and "not ready in time" in error.message
    with open(tmp_path / "fifo", "w") as fifo:
        fifo.write("end\n")


def test_a_daemon_that_is_still_stopping_is_waited_for(paths):
    paths.ensure()
    lock = os.open(paths.daemon_lock, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)  # as a daemon that has taken its socket away already
    connected = []
    starter = threading.Thread(target=lambda: connected.append(connect(paths)))
    starter.start()
    log = os.path.join(paths.state_dir, "bgjobd.start.log")
    wait_until(lambda: os.path.exists(log) and "another daemon" in read(log), "a start that found the lock taken")
    os.close(lock)
    starter.join()
    with connected[0] as client:
        client.call(Ping())


def test_a_client_that_holds_the_start_lock_for_ever_is_not_waited_for_for_ever(paths):
    paths.ensure()
    with open(paths.start_lock, "w") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        error = error_of(paths, timeout_s=0.1)
    assert error.code is ErrorCode.DAEMON_UNREACHABLE and paths.start_lock in error.hint


def test_the_daemon_belongs_to_the_instance_that_was_asked_for(paths, monkeypatch, tmp_path):
    monkeypatch.setenv("BGJOB_HOME", str(tmp_path / "another"))
    with connect(paths) as client:
        client.call(Ping())
    assert os.path.exists(paths.daemon_lock) and not (tmp_path / "another").exists()


@pytest.mark.root
def test_a_socket_directory_of_somebody_else_is_not_trusted(paths):
    paths.ensure()
    os.chown(paths.runtime_dir, 12345, -1)
    try:
        for autostart in (False, True):
            assert error_of(paths, autostart=autostart).code is ErrorCode.REFUSED
    finally:
        os.chown(paths.runtime_dir, os.geteuid(), -1)


def test_a_start_lock_that_cannot_be_opened_is_an_error(paths):
    paths.ensure()
    os.mkdir(paths.start_lock)
    error = error_of(paths)
    assert error.code is ErrorCode.STORAGE and paths.start_lock in error.message


def test_no_descriptor_for_the_daemons_word_is_an_error(env):
    program = "\n".join(
        [
            "import os, resource",
            "import bgjobd.autostart as autostart, bgjobd.errors as errors, bgjobd.paths as paths",
            "import bgjobd.detached",
            "resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))",
            "taken = []",
            "try:",
            "    while True: taken.append(os.dup(0))",
            "except OSError: pass",
            "for fd in taken[-2:]: os.close(fd)  # one for the lock; the word takes two",
            "try: autostart.open_connection(paths.Paths.from_environment())",
            "except errors.BgjobError as error: print(error.code)",
        ]
    )
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, timeout=DEADLINE_S)
    assert done.stdout.strip() == "daemon_unreachable", done.stderr
