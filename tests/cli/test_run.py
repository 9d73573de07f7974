"""`bgjob run`: what is started, what is printed, and how it ends."""

import json
import os
import signal
import subprocess
import uuid

import pytest

from bgjobd.protocol import JobInfo
from tests.helpers.cli import BGJOB, Cli
from tests.helpers.pty import Terminal
from tests.helpers.waiting import DEADLINE_S, wait_for_file

pytestmark = pytest.mark.shared


def in_shell(cli: Cli, line: str) -> "subprocess.CompletedProcess[str]":
    """Run a line of bash to its end."""
    return subprocess.run(
        ["bash", "-c", line],
        env=cli.env,
        cwd=cli.cwd,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


def test_the_full_id_is_printed_into_a_pipe(cli: Cli) -> None:
    printed = cli("run", "true").ok().stdout
    assert printed == f"{uuid.UUID(printed.strip())}\n"


def test_one_word_is_a_shell_line_and_several_are_an_argv(cli: Cli) -> None:
    assert cli("run", "-f", "echo a | tr a b; echo $((1+1))").ok().stdout == "b\n2\n"
    assert cli("run", "-f", "echo", "a | tr a b", "$HOME", "*").ok().stdout == "a | tr a b $HOME *\n"


@pytest.mark.parametrize("name", ["/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"])
def test_our_input_has_other_names(cli: Cli, name: str) -> None:
    assert cli("run", "-f", "--stdin", name, "cat", "-", input=b"hello\n").ok().stdout == "hello\n"


def test_a_name_that_means_another_file_to_the_job_is_refused(cli: Cli) -> None:
    result = in_shell(cli, "bgjob run -f --stdin <(echo hello) cat -")
    assert result.returncode == 2
    assert "--stdin -" in result.stderr
    assert in_shell(cli, "bgjob run -f --stdin - cat - < <(echo hello)").stdout == "hello\n"


def test_what_is_wrong_with_an_input_or_a_program_is_said(cli: Cli) -> None:
    for words, reason in ((("--stdin", "/", "cat"), "it is a directory"), (("", "a"), "the program's name is empty")):
        result = cli("run", *words)
        assert result.status == 2
        assert reason in result.stderr


@pytest.mark.parametrize("stay", ["", "-f", "-w"])
def test_an_input_that_cannot_be_read_is_told_before_anything_is_started(cli: Cli, stay: str) -> None:
    for redirection in ("<&-", "0>/dev/null"):
        result = in_shell(cli, f"bgjob run {stay} --stdin - cat - {redirection}")
        assert (result.returncode, result.stdout) == (2, "")
        assert "standard input" in result.stderr.splitlines()[0]
    assert cli("ls", "--json").json["total"] == 0


def test_options_of_the_command_are_not_ours(cli: Cli) -> None:
    assert cli("run", "-f", "printf", "%s.", "-n", "--json", "--").ok().stdout == "-n.--json.--."
    assert cli("run", "-f", "--", "printf", "%s", "-f").ok().stdout == "-f"


def test_the_job_gets_our_directory_environment_and_umask(cli: Cli) -> None:
    os.mkdir(f"{cli.cwd}/sub")
    result = cli("run", "-f", "-C", "sub", "pwd; echo $COLOUR; umask", env={"COLOUR": "blue"}).ok()
    assert result.stdout.splitlines() == [f"{os.path.realpath(cli.cwd)}/sub", "blue", f"{_umask():04o}"]


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def test_variables_come_from_files_and_options_and_options_win(cli: Cli) -> None:
    with open(f"{cli.cwd}/settings", "w", encoding="utf-8") as file:
        file.write("# a comment\n\nexport A='one two'\nB=\"x=y\"\nC=from file\nD=\n")
    result = cli(
        "run",
        "-f",
        "--env-file",
        "settings",
        "-e",
        "C=from option",
        "-e",
        "E=a=b",
        'printf "%s|" "$A" "$B" "$C" "$D" "$E"',
    )
    assert result.ok().stdout == "one two|x=y|from option||a=b|"


def test_a_byte_order_mark_is_no_part_of_the_first_variable_of_a_file(cli: Cli) -> None:
    with open(f"{cli.cwd}/marked", "w", encoding="utf-8-sig") as file:
        file.write("A=one\n")
    assert cli("run", "-f", "--env-file", "marked", 'printf "$A"').ok().stdout == "one"


@pytest.mark.parametrize(
    ("command", "status"),
    [
        (["true"], 0),
        (["exit 7"], 7),
        (["kill -SEGV $$"], 128 + signal.SIGSEGV),
        (["no-such-command-here", "x"], 127),
        (["/etc/passwd", "x"], 126),
        (["-t", "100ms", "sleep 1000"], 124),
        (["--idle-timeout", "100ms", "echo hi; sleep 1000"], 124),
    ],
)
@pytest.mark.parametrize("stay", ["--wait", "--follow"])
def test_waiting_and_following_exit_with_the_status_of_the_job(
    cli: Cli, stay: str, command: list[str], status: int
) -> None:
    assert cli("run", stay, *command).status == status


def test_a_job_that_cannot_start_is_accepted_all_the_same(cli: Cli) -> None:
    job = cli.submit("no-such-command-here", "x")
    assert cli("wait", job).status == 127


def test_following_keeps_the_two_streams_apart_and_exact(cli: Cli) -> None:
    result = cli("run", "-f", r"printf 'a\000\377b'; printf 'e\r\n' >&2; exit 3")
    assert result.raw_stdout == b"a\x00\xffb"
    assert result.raw_stderr == b"e\r\n"
    assert result.status == 3


@pytest.mark.parametrize("stay", ["-w", "-f"])
def test_what_a_job_left_running_does_not_hold_us(cli: Cli, stay: str) -> None:
    assert cli("run", stay, "-n", "leaver", "sleep 1000 & echo hi; exit 4").status == 4
    assert cli("status", "leaver", "--json").json["left_behind_count"] == 1


def test_json_is_the_status_object_with_every_field(cli: Cli) -> None:
    started = cli("run", "--json", "-n", "build", "sleep 1000").ok().json
    assert set(started) == set(JobInfo.__struct_fields__)
    assert started["name"] == "build"
    assert started["ended"] is None
    ended = cli("run", "--json", "--wait", "exit 4")
    assert (ended.status, ended.json["status"], ended.json["exit_code"]) == (4, "failed", 4)


def test_json_with_follow_is_one_object_per_line(cli: Cli) -> None:
    result = cli("run", "-f", "--json", r"echo out; printf 'caf\351'")
    events = [json.loads(line) for line in result.ok().stdout.splitlines()]
    assert [event["type"] for event in events] == ["output", "output", "end"]
    assert (events[0]["text"], events[0]["stream"], events[0]["cursor"]) == ("out", "stdout", 0)
    assert (events[1]["base64"], events[1]["complete"]) == ("Y2Fm6Q==", False)
    assert events[2]["job"]["status"] == "completed"
    assert events[2]["cursor"] == 8


def test_quiet_prints_the_id_and_nothing_else(cli: Cli) -> None:
    result = cli("run", "-q", "--wait", "exit 2")
    assert uuid.UUID(result.stdout.strip())
    assert result.stderr == ""
    assert result.status == 2


def test_a_name_in_use_is_refused(cli: Cli) -> None:
    cli.submit("-n", "server", "sleep 1000")
    assert cli("run", "-n", "server", "true").status == 5


def test_standard_input_is_a_file(cli: Cli) -> None:
    with open(f"{cli.cwd}/in", "wb") as file:
        file.write(b"2\n1\n")
    assert cli("run", "-f", "--stdin", "in", "sort").ok().stdout == "1\n2\n"


@pytest.mark.parametrize("stay", [["-f"], ["-w", "-q"], ["-q"]])
def test_standard_input_is_ours(cli: Cli, stay: list[str]) -> None:
    data = os.urandom(300_000)
    result = cli("run", *stay, "--stdin", "-", "cat", "-", input=data).ok()
    if stay == ["-f"]:
        assert result.raw_stdout == data
    else:
        job = result.stdout.strip()
        cli("wait", job).ok()
        assert cli("output", job).ok().raw_stdout == data


def test_a_job_that_ends_without_its_input_does_not_hold_us(cli: Cli) -> None:
    assert cli("run", "-f", "--stdin", "-", "exit 5", input=b"x" * 1_000_000).status == 5


def test_merged_streams_keep_their_order(cli: Cli) -> None:
    job = cli.submit("--merge-stderr", "for i in 1 2 3 4 5; do echo o$i; echo e$i >&2; done")
    cli("wait", job).ok()
    assert cli("output", job).ok().stdout.split() == [f"{kind}{number}" for number in range(1, 6) for kind in "oe"]


def test_the_stop_signal_and_the_grace_are_those_of_the_job(cli: Cli) -> None:
    polite = cli.submit("--stop-signal", "usr1", "trap 'exit 9' USR1; echo ready; while :; do sleep 0.01; done")
    cli("wait", polite, "--for", "ready").ok()
    cli("kill", polite).ok()
    assert cli("wait", polite).status == 9
    deaf = cli.submit("--grace", "0s", "trap '' TERM; echo ready; while :; do sleep 0.01; done")
    cli("wait", deaf, "--for", "ready").ok()
    cli("kill", deaf).ok()
    assert cli("wait", deaf).status == 128 + signal.SIGKILL


def test_leftovers_are_ended_when_asked_for(cli: Cli) -> None:
    job = cli.submit("--kill-leftovers", "sleep 1000 & echo done")
    cli("wait", job).ok()
    assert cli("status", job, "--json").json["left_behind_count"] == 0


def test_the_output_is_kept_within_its_limit(cli: Cli) -> None:
    job = cli.submit("--max-output", "1MiB", "head -c 3000000 /dev/zero")
    cli("wait", job).ok()
    info = cli("status", job, "--json").json
    assert info["output_bytes"] == 3_000_000
    assert info["kept_bytes"] + info["dropped_bytes"] == 3_000_000
    assert info["dropped_bytes"] > 0


def test_a_command_runs_when_the_job_has_ended_and_knows_how(cli: Cli) -> None:
    cli.submit("-n", "tests", "--on-exit", "echo $BGJOB_NAME $BGJOB_EXIT_CODE > new; mv new told", "exit 3")
    wait_for_file(f"{cli.cwd}/told")
    with open(f"{cli.cwd}/told", encoding="utf-8") as file:
        assert file.read() == "tests 3\n"


def test_the_shell_can_be_chosen(cli: Cli) -> None:
    assert cli("run", "-f", "--shell", "/bin/bash", "echo ${BASH_VERSION:+bash}").ok().stdout == "bash\n"


# --- on a terminal


@pytest.fixture
def person(cli: Cli) -> dict[str, str]:
    return cli.env | {"NO_COLOR": "1"}


def test_a_terminal_shows_the_short_id_and_the_name(person: dict[str, str], cli: Cli) -> None:
    with Terminal([BGJOB, "run", "-n", "build", "sleep 1000"], person, cwd=cli.cwd) as terminal:
        short = terminal.expect(r"^([0-9a-f]{8}) build\r$")[1]
        assert terminal.wait() == 0
    assert cli("status", short, "--json").json["name"] == "build"


def test_a_person_is_told_at_once_that_a_command_does_not_exist(person: dict[str, str], cli: Cli) -> None:
    with Terminal([BGJOB, "run", "no-such-command-here", "x"], person, cwd=cli.cwd) as terminal:
        terminal.expect(r"failed: cannot start 'no-such-command-here'")
        assert terminal.wait() == 0


@pytest.mark.slow
def test_interrupting_a_follow_detaches_and_the_job_goes_on(person: dict[str, str], cli: Cli) -> None:
    with Terminal([BGJOB, "run", "-f", "-n", "loop", "echo ready; read x; echo $x"], person, cwd=cli.cwd) as terminal:
        terminal.expect("^ready")
        terminal.press("C-c")
        comeback = terminal.expect(r"detached; ([0-9a-f]{8}) loop goes on. Come back with: bgjob tail -f ([0-9a-f]{8})")
        assert comeback[1] == comeback[2]
        assert terminal.wait() == -signal.SIGINT
    assert cli("status", "loop", "--json").json["status"] == "running"
    cli("send", "loop", "hello").ok()
    assert cli("tail", "-f", comeback[2]).ok().stdout == "ready\nhello\n"


@pytest.mark.slow
@pytest.mark.parametrize("stay", ["-f", "-w"])
def test_a_second_interrupt_kills_the_job(person: dict[str, str], cli: Cli, stay: str) -> None:
    with Terminal([BGJOB, "run", stay, "-n", "loop", "echo ready; sleep 1000"], person, cwd=cli.cwd) as terminal:
        terminal.expect("ready" if stay == "-f" else "loop")
        terminal.press("C-c")
        terminal.expect("detached")
        terminal.press("C-c")
        terminal.expect(r"killing [0-9a-f]{8} loop")
        terminal.expect(r"killed \d+ process")
        assert terminal.wait() == 128 + signal.SIGTERM
    job = cli("status", "loop", "--json").json
    assert (job["status"], job["reason"], job["kill_reason"]) == ("killed", "user", "Ctrl-C twice in bgjob run")


def test_its_share_of_the_machine_can_be_limited(cli: Cli) -> None:
    asked = ("--nice", "7", "--max-memory", "1GiB", "--max-cpu", "90s")
    result = cli("run", "-f", *asked, "nice; ulimit -v; ulimit -t").ok()
    assert result.stdout.split() == ["7", str(1 << 20), "90"]
    assert cli("run", "--nice", "20", "true").status == 2


@pytest.mark.parametrize("options", [(), ("-w",)])
def test_a_job_that_does_not_read_what_it_is_given_is_no_error(cli: Cli, options: tuple[str, ...]) -> None:
    result = in_shell(cli, f"echo x | {BGJOB} run -q {' '.join(options)} --stdin - true")
    assert (result.returncode, result.stderr) == (0, "")
