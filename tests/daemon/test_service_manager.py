"""Socket activation and readiness, with the real environment a service manager gives."""

import os
import socket
import subprocess
import sys

from bgjobd.client import connect
from bgjobd.paths import Paths
from bgjobd.protocol import DaemonStatus, Kill, Shutdown
from tests.helpers.daemon import BGJOBD
from tests.helpers.submit import Jobs
from tests.helpers.waiting import wait_exit, wait_readable

# The service manager's side of sd_listen_fds(3): the socket is descriptor 3, LISTEN_PID is the pid that execs.
ACTIVATE = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
os.execv(sys.argv[2], sys.argv[2:])
"""


def start(env: dict[str, str], listening: socket.socket, notify: str) -> "subprocess.Popen[bytes]":
    number = listening.fileno()
    assert number > 3
    return subprocess.Popen(
        [sys.executable, "-c", ACTIVATE, str(number), BGJOBD],
        env={**env, "NOTIFY_SOCKET": notify},
        pass_fds=(number,),
        start_new_session=True,
    )


def test_a_daemon_serves_on_the_socket_it_was_given_and_says_when_it_is_ready(env: dict[str, str], home: str) -> None:
    paths = Paths.from_environment(env)
    paths.ensure()
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(paths.socket)
    listening.listen()
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(f"{home}/notify")
    with listening, manager:
        process = start(env, listening, f"{home}/notify")
        wait_readable(manager.fileno(), "READY=1")
        assert manager.recv(100) == b"READY=1"
        with connect(paths, autostart=False) as client:
            assert client.call(DaemonStatus()).pid == process.pid
            jobs = Jobs(client, env)
            job = jobs.finish("env; ls -l /proc/self/fd | wc -l")
            with open(f"{paths.job_dir(job.job_id)}/log/{0:016x}.log") as file:
                seen = file.read()
            assert "LISTEN_" not in seen
            assert "NOTIFY_SOCKET" not in seen
            survivor = jobs.run("sleep 300")
            client.call(Shutdown())
        assert wait_exit(process, "the daemon to stop") == 0
        assert manager.recv(100) == b"STOPPING=1"
        assert os.path.exists(paths.socket)  # it is the manager's
        again = start(env, listening, f"{home}/notify")
        with connect(paths, autostart=False) as client:  # the connection waits in the socket until the daemon is there
            assert client.call(Kill(job=survivor.job_id)).receipt.status == "killed"
            client.call(Shutdown())
        assert wait_exit(again, "the daemon to stop") == 0
    os.unlink(paths.socket)


def test_variables_meant_for_another_process_are_not_taken() -> None:
    from bgjobd.daemon.service_manager import inherited_socket

    environment = {"LISTEN_PID": "1", "LISTEN_FDS": "1", "PATH": "/bin"}
    assert inherited_socket(environment) is None
    assert environment == {"PATH": "/bin"}
