"""`bgjob output`: the bytes of a job, and nothing else."""

import base64

import pytest

from bgjob_cli import exit_status
from tests.helpers.cli import Cli

pytestmark = pytest.mark.shared


def finished(cli: Cli, *arguments: str) -> str:
    job = cli.submit(*arguments)
    cli("wait", job)
    return job


def test_every_byte_is_there(cli: Cli) -> None:
    data = bytes(range(256)) * 10_000
    with open(f"{cli.cwd}/data", "wb") as file:
        file.write(data)
    job = finished(cli, "cat", "data")
    assert cli("output", job).ok().raw_stdout == data
    assert cli("output", job, "--since", "2559999").ok().raw_stdout == b"\xff"
    assert cli("output", job, "--since", "2560000").ok().raw_stdout == b""
    beyond = cli("output", job, "--since", "2560001")
    assert (beyond.status, beyond.raw_stdout) == (exit_status.USAGE, b"")
    assert "it ends at 2560000" in beyond.stderr


def test_one_stream_can_be_chosen(cli: Cli) -> None:
    job = finished(cli, "echo out; echo err >&2")
    assert cli("output", job, "--stdout").ok().stdout == "out\n"
    assert cli("output", job, "--stderr").ok().stdout == "err\n"
    assert sorted(cli("output", job).ok().stdout.split()) == ["err", "out"]


def test_a_running_job_answers_with_what_there_is(cli: Cli) -> None:
    job = cli.submit("echo ready; sleep 1000")
    cli("wait", job, "--for", "ready").ok()
    assert cli("output", job).ok().stdout == "ready\n"


def test_what_was_dropped_is_told_beside_the_data_to_the_byte(cli: Cli) -> None:
    job = finished(cli, "--max-output", "1MiB", "head -c 3000000 /dev/zero | tr '\\0' x")
    dropped = cli("status", job, "--json").json["dropped_bytes"]
    result = cli("output", job).ok()
    assert result.raw_stdout == b"x" * (3_000_000 - dropped)
    assert f"{dropped:,} bytes" in result.stderr


def test_json_is_one_document_of_lines(cli: Cli) -> None:
    job = finished(cli, r"echo out; printf 'raw\377'")
    document = cli("output", job, "--json").ok().json
    first, second = document["lines"]
    assert (first["text"], first["stream"], first["cursor"], first["complete"]) == ("out", "stdout", 0, True)
    assert base64.b64decode(second["base64"]) == b"raw\xff"
    assert document["cursor"] == 8
    assert document["gaps"] == []
    assert document["job"]["job_id"] == job


def test_json_of_no_output_is_a_document_too(cli: Cli) -> None:
    document = cli("output", finished(cli, "true"), "--json").ok().json
    assert (document["lines"], document["cursor"]) == ([], 0)
