"""What the tests wait and look with, tried on itself: a helper that misses something would hide a fault."""

import os
import subprocess

import pytest

from tests.helpers.procs import children_of, is_alive, kill_leftovers, processes_of, zombies_of
from tests.helpers.pty import Terminal, plain
from tests.helpers.waiting import (
    Deadline,
    LineMatcher,
    TooLateError,
    wait_exit,
    wait_for_file,
    wait_gone,
    wait_readable,
    wait_until,
)


def test_a_wait_that_is_in_vain_says_what_it_waited_for() -> None:
    reader, writer = os.pipe()
    with pytest.raises(TooLateError, match="a byte that never comes"):
        wait_readable(reader, "", Deadline("a byte that never comes", 0.01))
    os.close(reader)
    os.close(writer)


def test_a_file_that_another_process_renames_into_place_is_seen(tmp_path: object) -> None:
    path = os.path.join(str(tmp_path), "record")
    program = 'touch "$1.new"; read go; mv "$1.new" "$1"'
    with subprocess.Popen(["sh", "-c", program, "sh", path], stdin=subprocess.PIPE) as process:
        wait_for_file(path + ".new")
        assert not os.path.exists(path)
        process.communicate(b"go\n")
        wait_for_file(path)


def test_a_condition_that_nothing_announces_is_looked_at_again() -> None:
    looks = iter([False, False, True])
    wait_until(lambda: next(looks), "the third look")


def test_the_end_of_a_process_that_is_not_a_child_is_seen() -> None:
    program = "sleep 600 >/dev/null & echo $!"
    pid = int(subprocess.run(["sh", "-c", program], stdout=subprocess.PIPE, check=True).stdout)
    assert is_alive(pid)
    os.kill(pid, 9)
    wait_gone(pid)
    assert not is_alive(pid)


def test_lines_are_matched_across_chunks_and_split_characters() -> None:
    reader, writer = os.pipe()
    matcher = LineMatcher(reader, "a pipe")
    os.write(writer, b"one\ntwo \xe2\x82")
    assert matcher.line() == "one"
    os.write(writer, b"\xac\nthree")
    assert matcher.expect("^two (.)$")[1] == "€"
    os.close(writer)
    with pytest.raises(AssertionError, match="ended without 'four'"):
        matcher.expect("four")
    assert matcher.rest() == "\nthree"
    os.close(reader)


def test_a_program_on_a_terminal_has_it_as_its_controlling_one(env: dict[str, str]) -> None:
    program = "stty size </dev/tty; printf '\\033[1mname?\\033[0m '; read name; echo hello $name"
    with Terminal(["sh", "-c", program], env, rows=30, columns=101) as terminal:
        terminal.expect("30 101")
        assert plain(terminal.expect(r".*name\?.*")[0]).strip() == "name?"
        terminal.type("Ada\r")
        terminal.expect("hello Ada")
        assert terminal.wait() == 0


def test_a_key_on_a_terminal_is_a_signal(env: dict[str, str]) -> None:
    with Terminal(["sh", "-c", "echo ready; exec sleep 600"], env) as terminal:
        terminal.expect("ready")
        terminal.press("C-c")
        assert terminal.wait() == -2


def test_processes_of_an_instance_are_found_and_killed_and_zombies_seen(home: str, env: dict[str, str]) -> None:
    process = subprocess.Popen(["sh", "-c", "sleep 600 & wait"], env=env, stdout=subprocess.PIPE)
    assert process.stdout
    wait_until(lambda: len(processes_of(home)) == 2, "the shell and its child")
    assert process.pid in {each.pid for each in children_of(os.getpid())}
    kill_leftovers(processes_of(home))
    assert processes_of(home) == []
    assert [each.pid for each in zombies_of(os.getpid())] == [process.pid]
    assert wait_exit(process) == -9
    process.stdout.close()


LEFTOVERS = {
    "sleep 600": """
        import subprocess
        def test_it(home, env):
            global process
            process = subprocess.Popen(["sleep", "600"], env=env)
        """,
    "forgotten.sock": """
        import os, socket
        def test_it(home, env):
            os.mkdir(home + "/run")
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(home + "/run/forgotten.sock")
        """,
}


@pytest.mark.parametrize("leftover", LEFTOVERS)
def test_a_test_that_leaves_something_behind_fails(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, pytestconfig: pytest.Config, leftover: str
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(pytestconfig.rootpath))
    pytester.makeconftest(
        """
        from tests.conftest import *
        from tests.helpers import daemon
        daemon.LEAK_GRACE_S = 0.1
        """
    )
    pytester.makepyfile(LEFTOVERS[leftover])
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-Wignore")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*the test left behind:*", f"*{leftover}*"])
