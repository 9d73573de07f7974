"""The resident host: many sessions in one process, each with its own client's surroundings, and no job at stake."""

import contextlib
import fcntl
import itertools
import os
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bgjob_mcp.handover import REFUSED, WELCOME
from bgjobd.client import connect
from bgjobd.paths import Paths
from bgjobd.protocol import Kill, Send, Shutdown, Status
from bgjobd.version import VERSION
from tests.helpers.daemon import Daemon
from tests.helpers.instance import daemon_pid, kill_and_wait, log_bytes
from tests.helpers.mcp_host import BGJOB_MCP, McpHost, Session
from tests.helpers.procs import descriptors_of, is_alive, memory_of, processes_of
from tests.helpers.waiting import wait_exit, wait_for_file, wait_until
from tests.mcp.harness import Wire

TREE = Path(__file__).parents[2]
CLIENTS = 16
OTHER_USER = 12345


@pytest.fixture
def host_env(env: dict[str, str]) -> dict[str, str]:
    """The environment of servers that use the resident host of an instance of their own, and start it."""
    return env | {"BGJOB_MCP_HOST": "on"}


def start_cat(wire: Wire) -> str:
    """Start a job that answers its input; return its id."""
    return str(wire.tool("execute", command="cat", wait_s=0)["structuredContent"]["job_id"])


def assert_answers(env: dict[str, str], job_id: str) -> None:
    """The job is undisturbed: it takes input and gives it back."""
    with connect(Paths.from_environment(env)) as client:
        client.call(Send(job=job_id, data=b"still here\n"))
        assert client.call(Status(jobs=[job_id])).jobs[0].status == "running"


def end(env: dict[str, str], *job_ids: str) -> None:
    with connect(Paths.from_environment(env)) as client:
        for job_id in job_ids:
            client.call(Kill(job=job_id, grace_s=0.0))


# --- how it starts and ends ------------------------------------------------------------------------------------------


def test_the_first_session_starts_the_host_which_serves_the_next_and_outlives_both(
    host_env: dict[str, str], workdir: str
) -> None:
    paths = Paths.from_environment(host_env)
    with Wire(host_env, workdir) as first:
        assert first.shake_hands()["serverInfo"]["name"] == "bgjob"
        assert not first.is_pumped
        job_id = start_cat(first)
        wait_until(lambda: os.path.exists(paths.runtime_dir), "the runtime directory")
        wait_for_file(paths.mcp_host_socket)
        os.killpg(first.process.pid, signal.SIGKILL)  # as clients end their servers
        wait_exit(first.process)
    with Wire(host_env, workdir) as second:
        second.shake_hands()
        assert second.is_pumped
        assert second.tool("status", job_id=job_id)["structuredContent"]["status"] == "running"
        assert second.tool("kill", job_id=job_id)["structuredContent"]["status"] == "killed"
        assert second.close() == 0
        assert second.stderr.rest() == ""


@pytest.mark.slow
def test_where_the_host_is_not_wanted_none_is_used_and_none_is_started(mcp_host: McpHost, project: str) -> None:
    with Wire(mcp_host.env | {"BGJOB_MCP_HOST": "off"}, project) as wire:
        wire.shake_hands()
        assert not wire.is_pumped
        wire.close()
    hosts = [each for each in processes_of(mcp_host.env["BGJOB_HOME"]) if "--resident-host" in each.argv]
    assert [each.pid for each in hosts] == [mcp_host.pid]


def test_a_word_that_says_neither_is_an_error(env: dict[str, str]) -> None:
    done = subprocess.run(
        [BGJOB_MCP], env=env | {"BGJOB_MCP_HOST": "perhaps"}, stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    assert done.returncode == 1
    assert b"BGJOB_MCP_HOST='perhaps': accepted is on or off" in done.stderr


def test_a_second_host_is_gone_at_once(mcp_host: McpHost) -> None:
    done = subprocess.run([BGJOB_MCP, "--resident-host"], env=mcp_host.env, capture_output=True, check=False)
    assert done.returncode == 69
    assert b"another resident host is running (pid %d)" % mcp_host.pid in done.stderr
    with Session(mcp_host.paths) as session:
        assert session.greet(mcp_host.env)[0] == WELCOME


def test_a_host_without_sessions_ends_and_leaves_nothing(env: dict[str, str]) -> None:
    with McpHost(env, "--idle-s", "0.5") as host:
        assert host.wait() == 0
        assert not os.path.exists(host.paths.mcp_host_socket)
        with open(host.paths.mcp_host_lock) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.slow
def test_a_session_that_comes_as_the_host_leaves_loses_nothing(env: dict[str, str], workdir: str) -> None:
    """The host stands still while the session comes and its deadline passes; which of the two it sees first is open."""
    with McpHost(env, "--idle-s", "0.3") as host:
        host.process.send_signal(signal.SIGSTOP)
        with Wire(host.env | {"WHO": "me"}, workdir) as wire:
            info = {"name": "early", "version": "0"}
            first = wire.begin("initialize", protocolVersion="2025-11-25", capabilities={}, clientInfo=info)
            wait_until(lambda: has_socket(wire.process.pid), "the connection to the host or the daemon")
            host.process.send_signal(signal.SIGCONT)
            assert wire.answer(first)["result"]["serverInfo"]["name"] == "bgjob"
            said = wire.tool("execute", command="echo $WHO; pwd", wait_s=30)["structuredContent"]["stdout"]
            assert said.split() == ["me", workdir]
            assert wire.close() == 0


def has_socket(pid: int) -> bool:
    return any(target.startswith("socket:") for target in descriptors_of(pid).values())


# --- whose session it is ---------------------------------------------------------------------------------------------


def test_many_clients_at_once_have_each_their_own_surroundings(mcp_host: McpHost, project: str) -> None:
    with contextlib.ExitStack() as stack:
        wires: list[tuple[Wire, str]] = []
        for index in range(CLIENTS):
            home = os.path.join(project, f"client-{index}")
            os.makedirs(home)
            own = {"WHO": f"client {index}", "HOME": home, "CLAUDE_CODE_SESSION_ID": f"session {index}"}
            before = os.umask(index)  # which the process inherits
            try:
                wires.append((stack.enter_context(Wire(mcp_host.env | own, home)), home))
            finally:
                os.umask(before)
        hands = [
            wire.begin(
                "initialize",
                protocolVersion="2025-11-25",
                capabilities={},
                clientInfo={"name": f"c{i}", "version": "1"},
            )
            for i, (wire, _) in enumerate(wires)
        ]
        for (wire, _), hand in zip(wires, hands, strict=True):
            assert "result" in wire.answer(hand)
            assert wire.is_pumped
        command = 'echo "$WHO"; pwd; umask; env | grep -c ^WHO='
        calls = [wire.begin("tools/call", name="execute", arguments={"command": command, "cwd": "~", "wait_s": 45})
                 for wire, _ in wires]  # fmt: skip
        for index, ((wire, home), call) in enumerate(zip(wires, calls, strict=True)):
            facts = wire.answer(call)["result"]["structuredContent"]
            assert facts["stdout"].splitlines() == [f"client {index}", home, f"{index:04o}", "1"]
            jobs = wire.tool("list")["structuredContent"]["jobs"]
            assert [job["job_id"] for job in jobs] == [facts["job_id"]]  # those of its own project
            with connect(mcp_host.paths) as client:
                [job] = client.call(Status(jobs=[facts["job_id"]])).jobs
            assert job.client
            told = (job.client.name, job.client.session, job.client.project)
            assert told == (f"c{index}", f"session {index}", home)
            assert wire.close() == 0


def test_each_client_has_its_own_settings(mcp_host: McpHost, project: str) -> None:
    strict_env = mcp_host.env | {"MCP_BG_ALLOWED_COMMANDS": "^echo"}
    with Wire(strict_env, project) as strict, Wire(mcp_host.env, project) as free:
        for wire in (strict, free):
            wire.shake_hands()
        assert strict.tool("execute", command="true")["isError"]
        assert not strict.tool("execute", command="echo yes", wait_s=30).get("isError")
        assert not free.tool("execute", command="true", wait_s=30).get("isError")


@pytest.mark.slow
def test_what_is_wrong_stands_on_the_standard_error_of_the_client_it_concerns(
    env: dict[str, str], workdir: str
) -> None:
    """The same words as without the host: a setting, and a daemon that cannot start."""
    config = os.path.join(workdir, "config.toml")
    with open(config, "w") as file:
        file.write("nonsense = 1\n")
    wrong = {"MCP_BG_MAX_JOBS": "many", "BGJOB_CONFIG": config}
    said = []
    with McpHost(env) as host:
        for served in ("off", "on"):
            with Wire(host.env | wrong | {"BGJOB_MCP_HOST": served}, workdir) as wire:
                wire.shake_hands()
                assert wire.is_pumped == (served == "on")
                assert wire.tool("list")["isError"]
                wire.close()
                said.append(wire.stderr.rest())
        assert said[0] == said[1]
        assert "cannot start the daemon" in said[0]
        assert "MCP_BG_MAX_JOBS='many'" in said[0]
        with Wire(host.env, workdir) as right:
            right.shake_hands()
            assert right.tool("list")["structuredContent"]["jobs"] == []
            right.close()
            assert right.stderr.rest() == ""


# --- what dies -------------------------------------------------------------------------------------------------------


def test_a_host_that_is_killed_ends_its_sessions_with_a_word_and_no_job(env: dict[str, str], workdir: str) -> None:
    with McpHost(env) as host, Wire(host.env, workdir) as wire:
        wire.shake_hands()
        job_id = start_cat(wire)
        wire.begin("tools/call", name="wait", arguments={"job_ids": [job_id]})
        wire.tool("status", job_id=job_id)  # the wait is under way
        host.kill()
        assert wait_exit(wire.process) == 1
        said = wire.stderr.rest()
        assert "cannot go on: the resident host ended" in said
        assert host.paths.mcp_host_log in said
        assert_answers(env, job_id)
        end(env, job_id)


@pytest.mark.slow
def test_a_wait_does_not_bring_back_a_daemon_that_was_stopped_and_the_next_call_does(
    env: dict[str, str], workdir: str
) -> None:
    paths = Paths.from_environment(env)
    with McpHost(env) as host, Wire(host.env, workdir) as wire:
        wire.shake_hands()
        job_id = start_cat(wire)
        waiting = wire.begin("tools/call", name="wait", arguments={"job_ids": [job_id], "timeout_s": 300})
        wire.tool("status", job_id=job_id)  # the wait is under way
        stop(paths)
        answer = wire.answer(waiting)["result"]
        assert answer["isError"]
        assert "went away" in answer["content"][0]["text"]
        assert not os.path.exists(paths.socket)
        assert wire.tool("status", job_id=job_id)["structuredContent"]["status"] == "running"
        end(env, job_id)


def test_a_wait_goes_on_over_a_restart(env: dict[str, str], workdir: str) -> None:
    daemon = Daemon(env)
    daemon.start()
    try:
        with McpHost(env) as host, Wire(host.env, workdir) as wire:
            wire.shake_hands()
            job_id = start_cat(wire)
            waiting = wire.begin("tools/call", name="wait", arguments={"job_ids": [job_id], "timeout_s": 300})
            wire.tool("status", job_id=job_id)  # the wait is under way
            daemon.stop()
            daemon.start()
            end(env, job_id)
            assert not wire.answer(waiting)["result"]["isError"]
        daemon.stop(kill_jobs=True)
    finally:
        daemon.close()


def stop(paths: Paths) -> None:
    """Tell the daemon to stop, and wait until it has taken its socket away."""
    with connect(paths, autostart=False) as client:
        client.call(Shutdown())
    wait_until(lambda: not os.path.exists(paths.socket), "the socket to go", directory=os.path.dirname(paths.socket))


ORDERS = list(itertools.permutations(("shim", "host", "daemon")))


@pytest.mark.parametrize(
    "order",
    [pytest.param(order, marks=[] if order == ("host", "daemon", "shim") else pytest.mark.soak) for order in ORDERS],
    ids="-".join,
)
def test_whatever_is_killed_in_whatever_order_the_job_goes_on_and_the_next_session_has_it(
    env: dict[str, str], workdir: str, order: tuple[str, ...]
) -> None:
    with McpHost(env) as host, Wire(host.env, workdir) as wire:
        wire.shake_hands()
        job_id = start_cat(wire)
        dead: set[str] = set()
        for victim in order:
            dead.add(victim)
            if victim == "host":
                host.kill()
            elif victim == "daemon":
                kill_and_wait(daemon_pid(host.paths))
            elif wire.process.poll() is None:
                wire.process.kill()
            if dead == {"daemon"}:
                assert wire.tool("status", job_id=job_id)["structuredContent"]["status"] == "running"
            else:
                wait_exit(wire.process)  # whoever waits for it is not left waiting
        assert_answers(env, job_id)
        with Wire(host.env, workdir) as following:
            following.shake_hands()
            answer = following.tool("interact", job_id=job_id, input="hello", wait_s=30)
            assert answer["structuredContent"]["stdout"].endswith("hello")
            assert following.tool("kill", job_id=job_id)["structuredContent"]["status"] == "killed"
            following.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_session_quietly_and_leaves_nothing_in_the_host(
    mcp_host: McpHost, project: str, number: signal.Signals
) -> None:
    with Session(mcp_host.paths) as session:
        session.greet(mcp_host.env)
        with_one = len(descriptors_of(mcp_host.pid))
    with Wire(mcp_host.env, project) as wire:
        wire.shake_hands()
        job_id = start_cat(wire)
        wire.begin("tools/call", name="wait", arguments={"job_ids": [job_id]})
        wire.tool("status", job_id=job_id)  # the wait is under way
        wire.process.send_signal(number)
        assert wait_exit(wire.process) == -number
        assert wire.stderr.rest() == ""
    wait_until(lambda: len(descriptors_of(mcp_host.pid)) < with_one, "the host to forget the session")
    assert_answers(mcp_host.env, job_id)
    end(mcp_host.env, job_id)


# --- other versions --------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_newer_version_gets_the_place_and_the_old_host_finishes_its_sessions(
    env: dict[str, str], workdir: str
) -> None:
    with McpHost(env) as old, Wire(old.env, workdir) as wire:
        wire.shake_hands()
        with Session(old.paths) as newer:
            assert newer.greet(env, version="99.0.0")[0] == REFUSED
        # Before the answer: whoever reads it may start the next host.
        assert not os.path.exists(old.paths.mcp_host_socket)
        with McpHost(env) as new, Wire(new.env, workdir) as after:
            after.shake_hands()
            assert after.is_pumped
            job_id = wire.tool("execute", command="echo old", wait_s=30)["structuredContent"]["job_id"]
            assert after.tool("status", job_id=job_id)["structuredContent"]["status"] == "completed"
            assert is_alive(old.pid)
            assert wire.close() == 0
            assert old.wait() == 0
            assert after.tool("list")["structuredContent"]["total"] == 1
            assert os.path.exists(new.paths.mcp_host_socket)
            after.close()


def test_an_older_version_is_told_to_serve_itself_and_the_host_stays(mcp_host: McpHost) -> None:
    for version in ("0.0.9", "no version"[:2]):
        with Session(mcp_host.paths) as older:
            word, said = older.greet(mcp_host.env, version=version)
            assert word == REFUSED
            assert f"this is {version}" in said
    with Session(mcp_host.paths) as session:
        assert session.greet(mcp_host.env)[0] == WELCOME


@pytest.mark.soak
def test_an_upgrade_and_the_way_back_with_two_real_versions(env: dict[str, str], workdir: str) -> None:
    newer = os.path.join(workdir, "newer")
    for package in ("bgjobd", "bgjob_mcp"):
        shutil.copytree(os.path.join(TREE, package), os.path.join(newer, package))
    version = Path(newer, "bgjobd", "version.py")
    version.write_text(version.read_text().replace(f'VERSION = "{VERSION}"', 'VERSION = "99.0.0"'))
    command = [sys.executable, "-P", "-m", "bgjob_mcp"]
    with McpHost(env) as old:
        newer_env = old.env | {"PYTHONPATH": newer}
        with Wire(old.env, workdir) as before:
            before.shake_hands()
            with Wire(newer_env, workdir, command) as first:
                assert first.shake_hands()["serverInfo"]["version"] == "99.0.0"
                assert not first.is_pumped
                wait_for_file(old.paths.mcp_host_socket)
                first.close()
            with Wire(newer_env, workdir, command) as second, Wire(old.env, workdir) as back:
                assert second.shake_hands()["serverInfo"]["version"] == "99.0.0"
                assert second.is_pumped
                assert back.shake_hands()["serverInfo"]["version"] == VERSION
                assert not back.is_pumped
                back.stderr.expect(f"this is {VERSION}, the resident host is 99.0.0: serving without it")
                assert before.tool("list")["structuredContent"]["total"] == 0
                assert [wire.close() for wire in (second, back, before)] == [0, 0, 0]
        assert old.wait() == 0


# --- bad peers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\0" * 1000 + b"\n",
        b"bgjob-mcp 0.1.0 99999999999\n",
        b"bgjob-mcp 0.1.0 -1\n",
        b"bgjob-mcp 0.1.0 5\nhello",
        b"bgjob-mcp 0.1.0 500\n0\0",
        b"bgjob-mcp",
        b"",
    ],
    ids=["http", "zeros", "huge", "negative", "no surroundings", "half", "no end", "nothing"],
)
def test_a_hello_that_is_none_ends_that_session_alone(mcp_host: McpHost, sent: bytes) -> None:
    with Session(mcp_host.paths) as bad, Session(mcp_host.paths) as good:
        bad.send(sent)
        assert good.greet(mcp_host.env)[0] == WELCOME  # while the other one is still half open
        bad.socket.shutdown(1)
        assert bad.rest() == b""
        assert good.initialize()["serverInfo"]["name"] == "bgjob"


@pytest.mark.soak
def test_a_peer_that_says_nothing_is_dropped_and_the_log_does_not_grow_for_ever(env: dict[str, str]) -> None:
    paths = Paths.from_environment(env)
    with open(paths.mcp_host_log, "w") as file:
        file.write("an old line\n" * 100_000)
    with McpHost(env) as host, Session(host.paths) as silent:
        assert silent.rest() == b""
        wait_until(lambda: "it did not come" in host.log, "the refusal in the log")
        assert "an old line" not in host.log
        assert os.path.getsize(paths.mcp_host_log) < 1000


@pytest.mark.soak
def test_a_session_beyond_the_descriptors_of_the_host_is_served_without_it(env: dict[str, str], workdir: str) -> None:
    with McpHost(env) as host, contextlib.ExitStack() as stack:
        resource.prlimit(host.pid, resource.RLIMIT_NOFILE, (24, 4096))  # half of them, three for each session
        for _ in range(4):
            assert stack.enter_context(Session(host.paths)).greet(host.env) == (WELCOME, "")
        with Wire(host.env, workdir) as fifth:
            fifth.shake_hands()
            assert not fifth.is_pumped
            fifth.stderr.expect("the resident host serves 4 sessions, its most: serving without it")
            assert fifth.close() == 0


def test_a_client_that_does_not_read_holds_up_nobody_and_misses_nothing(mcp_host: McpHost, project: str) -> None:
    with Wire(mcp_host.env, project) as slow, Wire(mcp_host.env, project) as other:
        for wire in (slow, other):
            wire.shake_hands()
        # 12 KB each: more than the pipe, the socket and the host's buffer for it hold together.
        asked = [slow.begin("tools/list") for _ in range(100)]
        assert not other.tool("list").get("isError")
        lists = [slow.answer(each)["result"]["tools"] for each in asked]
        assert all(each == lists[0] for each in lists)
        assert other.close() == 0


def test_large_messages_arrive_byte_for_byte(mcp_host: McpHost, project: str) -> None:
    """Larger than every buffer on the way, in both directions at once."""
    text = "".join(chr(0x20 + number % 0x2FF0) for number in range(250_000))  # characters of every length
    with Wire(mcp_host.env, project) as wire:
        wire.shake_hands()
        job_id = start_cat(wire)
        name = "x" * 1_000_000
        unknown = wire.begin("tools/call", name=name, arguments={})
        sent = wire.begin("tools/call", name="interact", arguments={"job_id": job_id, "input": text, "eof": True})
        assert name in wire.answer(unknown)["error"]["message"]
        assert not wire.answer(sent)["result"].get("isError")
        wire.tool("wait", job_ids=[job_id])
        wire.close()
    assert log_bytes(mcp_host.paths, job_id) == text.encode() + b"\n"


@pytest.mark.soak
def test_a_host_that_is_stuck_is_not_waited_for(env: dict[str, str], workdir: str) -> None:
    with McpHost(env) as host:
        host.process.send_signal(signal.SIGSTOP)
        with Wire(host.env, workdir) as wire:
            wire.shake_hands()
            assert not wire.is_pumped
            wire.close()
        host.process.send_signal(signal.SIGCONT)


@pytest.mark.slow
@pytest.mark.root
def test_another_user_is_refused_by_either_side(env: dict[str, str], workdir: str) -> None:
    connect_and_read = """
import os, socket, sys
os.setuid(int(sys.argv[1]))
peer = socket.socket(socket.AF_UNIX)
peer.connect(sys.argv[2])
try:
    peer.sendall(sys.stdin.buffer.read())
    print(peer.recv(1))
except ConnectionError:
    print(b"")
"""
    listen_and_read = """
import os, socket, sys
os.setuid(int(sys.argv[1]))
listening = socket.socket(socket.AF_UNIX)
listening.bind(sys.argv[2])
listening.listen()
print("listening", flush=True)
print(listening.accept()[0].recv(1), flush=True)
"""
    with McpHost(env) as host:
        for path in (host.paths.state_dir, host.paths.runtime_dir, host.paths.mcp_host_socket):
            os.chmod(path, 0o777)
        done = subprocess.run(
            [sys.executable, "-c", connect_and_read, str(OTHER_USER), host.paths.mcp_host_socket],
            input=b"bgjob-mcp 0.1.0 0\n", capture_output=True, check=True,
        )  # fmt: skip
        assert done.stdout == b"b''\n"
        # The line is written after the connection is closed.
        wait_until(lambda: f"the peer is user {OTHER_USER}" in host.log, "the refusal in the log")
        host.process.send_signal(signal.SIGTERM)
        host.wait()
        command = [sys.executable, "-c", listen_and_read, str(OTHER_USER), host.paths.mcp_host_socket]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as impostor:
            assert impostor.stdout
            assert impostor.stdout.readline() == b"listening\n"
            with Wire(host.env, workdir) as wire:
                wire.shake_hands()
                assert not wire.is_pumped
                wire.close()
            assert impostor.stdout.readline() == b"b''\n"  # not a byte of our environment
        wait_for_file(host.paths.mcp_host_socket)


# --- what it costs ---------------------------------------------------------------------------------------------------


def test_a_session_that_is_over_leaves_neither_memory_nor_a_descriptor(mcp_host: McpHost) -> None:
    def hold_sessions(count: int) -> None:
        for _ in range(count):
            with Session(mcp_host.paths) as session:
                session.greet(mcp_host.env | {"BALLAST": "x" * 100_000})
                session.initialize()
                session.ask("tools/call", name="list", arguments={})

    hold_sessions(30)
    memory, descriptors = memory_of(mcp_host.pid), len(descriptors_of(mcp_host.pid))
    hold_sessions(100)
    wait_until(lambda: len(descriptors_of(mcp_host.pid)) <= descriptors, "the descriptors of the sessions to be closed")
    assert memory_of(mcp_host.pid) - memory < 100 * 50_000  # half of the ballast that each of them brought
