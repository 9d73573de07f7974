"""`bgjob kill`: the tree is gone, and the receipt says how."""

import os
import signal

import pytest

from tests.helpers.cli import Cli
from tests.helpers.waiting import wait_gone

pytestmark = pytest.mark.shared


def test_the_whole_tree_is_gone_and_the_receipt_names_it(cli: Cli) -> None:
    job = cli.submit("-n", "tree", "setsid sleep 1000 & sleep 1000 & echo ready; wait")
    cli("wait", job, "--for", "ready").ok()
    result = cli("kill", "tree").ok()
    assert result.stdout.startswith(f"{job[:8]} tree: killed 3 processes in ")
    assert "sleep" in result.stdout
    assert cli("status", job, "--json").json["processes"] in (None, [])


def test_json_is_an_array_of_receipts_in_the_order_asked(cli: Cli) -> None:
    first, second = cli.submit("sleep 1000"), cli.submit("trap '' TERM; echo ready; while :; do sleep 0.01; done")
    cli("wait", second, "--for", "ready").ok()
    receipts = cli("kill", second, first, "--json", "--grace", "100ms").ok().json
    assert [receipt["job_id"] for receipt in receipts] == [second, first]
    assert [receipt["status"] for receipt in receipts] == ["killed", "killed"]
    assert [receipt["survivors"] for receipt in receipts] == [[], []]
    shell = next(process for process in receipts[0]["processes"] if "SIGKILL" in process["signals"])
    assert shell["ended"] == "SIGKILL"
    for receipt in receipts:
        for process in receipt["processes"]:
            wait_gone(process["pid"])


def test_with_a_signal_only_that_signal_is_sent(cli: Cli) -> None:
    job = cli.submit("trap 'echo caught' USR1; echo ready; while :; do sleep 0.01; done")
    cli("wait", job, "--for", "ready").ok()
    for name in ("USR1", "sigusr1", str(int(signal.SIGUSR1))):
        cursor = str(cli("status", job, "--json").json["output_bytes"])
        assert "signalled" in cli("kill", "-s", name, job).ok().stdout
        cli("wait", job, "--for", "caught", "--since", cursor).ok()
    assert cli("status", job, "--json").json["status"] == "running"


def test_an_ended_job_is_no_error(cli: Cli) -> None:
    job = cli.submit("true")
    cli("wait", job).ok()
    assert "already" in cli("kill", job).ok().stdout
    assert cli("kill", job, "--json").ok().json[0]["status"] == "already_terminated"


def test_one_unknown_job_does_not_save_the_others(cli: Cli) -> None:
    job = cli.submit("sleep 1000")
    result = cli("kill", "nosuchjob", job, "northisone")
    assert result.status == 4
    assert "nosuchjob" in result.stderr
    assert "northisone" in result.stderr
    assert result.stdout.startswith(f"{job[:8]}: killed ")
    assert cli("status", job, "--json").json["status"] == "killed"


def test_a_number_that_is_no_option_is_a_usage_error_and_nothing_is_sent(cli: Cli) -> None:
    job = cli.submit("sleep 1000")
    result = cli("kill", "-9", job)
    assert result.status == 2
    assert "-s 9" in result.stderr
    assert cli("status", job, "--json").json["status"] == "running"


def test_a_signal_that_does_not_exist_is_a_usage_error(cli: Cli) -> None:
    job = cli.submit("sleep 1000")
    assert cli("kill", "-s", "SIGNOPE", job).status == 2
    assert cli("status", job, "--json").json["status"] == "running"


def test_who_and_why_are_in_the_record(cli: Cli) -> None:
    job = cli.submit("sleep 1000")
    cli("kill", job, "--reason", "tests are over").ok()
    info = cli("status", job, "--json").json
    assert (info["status"], info["reason"], info["kill_reason"]) == ("killed", "user", "tests are over")
    assert info["killed_by"].startswith("cli")
    assert info["receipt"]["survivors"] == []


def test_a_stopped_job_is_killed_too(cli: Cli) -> None:
    job = cli.submit("sleep 1000")
    os.kill(cli("status", job, "--json").json["pid"], signal.SIGSTOP)
    assert cli("kill", job, "--json").ok().json[0]["survivors"] == []
