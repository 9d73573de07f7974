"""Settings: order of sources, units, and errors that name the key, the value, the place and what is accepted."""

import re
import signal
from pathlib import Path

import pytest

from bgjobd.daemon.config import Settings, accepted, load, parse_signal, unknown_variables
from bgjobd.daemon.hooks import hook_environment
from bgjobd.errors import BgjobError, ErrorCode
from bgjobd.protocol import JobInfo
from tests.arch.test_docs import REFERENCE


def test_without_a_file_and_variables_the_built_in_values_hold(tmp_path: Path) -> None:
    loaded = load(str(tmp_path / "config.toml"), {})
    assert loaded.settings == Settings()
    assert set(loaded.sources.values()) == {"default"}


def test_the_environment_wins_over_the_file_and_the_file_over_the_default(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text('max_jobs = 3\nstop_grace_s = "2m"\n')
    loaded = load(str(path), {"BGJOB_MAX_JOBS": "7", "BGJOB_HOME": "/nowhere"})
    assert loaded.settings.max_jobs == 7
    assert loaded.settings.stop_grace_s == 120.0
    assert loaded.sources["max_jobs"] == "BGJOB_MAX_JOBS"
    assert loaded.sources["stop_grace_s"] == str(path)


@pytest.mark.parametrize(
    ("variable", "text", "value"),
    [
        ("BGJOB_MAX_OUTPUT_BYTES", "64MiB", 64 << 20),
        ("BGJOB_MAX_OUTPUT_BYTES", "20MB", 20_000_000),
        ("BGJOB_MAX_OUTPUT_BYTES", "70000", 70_000),
        ("BGJOB_TIMEOUT_S", "1h", 3600.0),
        ("BGJOB_TIMEOUT_S", "1h30m", 5400.0),
        ("BGJOB_TIMEOUT_S", "1.5", 1.5),
        ("BGJOB_ALLOWED_COMMANDS", '["^npm ", "^ls"]', ["^npm ", "^ls"]),
        ("BGJOB_ENV_FOR_AGENTS", "{}", {}),
        ("BGJOB_STOP_SIGNAL", "int", "int"),
        ("BGJOB_LEFTOVERS", "kill", "kill"),
    ],
)
def test_a_variable_is_read_with_its_unit(tmp_path: Path, variable: str, text: str, value: object) -> None:
    settings = load(str(tmp_path / "none.toml"), {variable: text}).settings
    assert getattr(settings, variable.removeprefix("BGJOB_").lower()) == value


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("BGJOB_MAX_JOBS", "many"),
        ("BGJOB_MAX_JOBS", "0"),
        ("BGJOB_MAX_OUTPUT_BYTES", "64 apples"),
        ("BGJOB_MAX_OUTPUT_BYTES", "1KiB"),
        ("BGJOB_MAX_OUTPUT_BYTES", "20M"),
        ("BGJOB_WORKING_DIR", "here"),
        ("BGJOB_TIMEOUT_S", "soon"),
        ("BGJOB_TIMEOUT_S", "0"),
        ("BGJOB_TIMEOUT_S", "100000d"),
        ("BGJOB_ALLOWED_COMMANDS", '["("]'),
        ("BGJOB_ALLOWED_COMMANDS", "^npm"),
        ("BGJOB_STOP_SIGNAL", "SIGFOO"),
        ("BGJOB_SHELL", "bash"),
        ("BGJOB_LEFTOVERS", "perhaps"),
        ("BGJOB_LOG_LEVEL", "loud"),
    ],
)
def test_a_bad_value_is_an_error_that_names_key_value_and_place(tmp_path: Path, variable: str, text: str) -> None:
    with pytest.raises(BgjobError) as error:
        load(str(tmp_path / "none.toml"), {variable: text})
    assert error.value.code is ErrorCode.INVALID_ARGUMENT
    key = variable.removeprefix("BGJOB_").lower()
    assert error.value.details == {"key": key, "source": variable}
    assert key in error.value.message


@pytest.mark.skipif(not hasattr(signal, "SIGRTMIN"), reason="the system has no real-time signals")
def test_real_time_signals_have_the_names_that_bash_lists() -> None:
    assert parse_signal("SIGRTMIN+1") == signal.SIGRTMIN + 1
    assert parse_signal("rtmax-2") == signal.SIGRTMAX - 2
    for name in ("RTMIN+99", "RTMAX-99", "RTMIN-1", "RTMAX+1", "RTMIN+"):
        with pytest.raises(ValueError, match="no signal"):
            parse_signal(name)


@pytest.mark.parametrize("key", Settings.__struct_fields__)
def test_every_setting_says_what_it_accepts(tmp_path: Path, key: str) -> None:
    path = tmp_path / "config.toml"
    path.write_text(f"{key} = 1979-05-27\n")
    with pytest.raises(BgjobError) as error:
        load(str(path), {})
    assert f"accepted is {accepted(key)}" in error.value.message


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("max_jobs", "a whole number from 1 to 10000"),
        ("keep_ended_jobs", "a whole number, at least 0"),
        ("leftovers", "'keep' or 'kill'"),
        ("shell", "an absolute path"),
        ("timeout_s", "a duration such as 90s, 5m, 1h30m or a number of seconds, more than 0"),
        ("max_output_bytes", "a size such as 64MiB, 20MB or a number of bytes, at least 65536"),
    ],
)
def test_what_is_accepted_is_said_in_words(key: str, words: str) -> None:
    assert accepted(key) == words


@pytest.mark.parametrize("key", ["timeout_s", "idle_timeout_s", "stop_grace_s", "keep_ended_for_s"])
@pytest.mark.parametrize("text", ["inf", "nan", '"5000d"', "1e12"])
def test_a_duration_that_no_timer_can_hold_is_refused(tmp_path: Path, key: str, text: str) -> None:
    path = tmp_path / "config.toml"
    path.write_text(f"{key} = {text}\n")
    with pytest.raises(BgjobError) as error:
        load(str(path), {})
    assert error.value.details == {"key": key, "source": str(path)}


@pytest.mark.parametrize(
    "content", [b"max_jbos = 3\n", b"max_jobs = [\n", b'max_jobs = "3"\n', b"max_jobs = 2.5\n", b"# caf\xe9\n"]
)
def test_a_bad_file_is_an_error_that_names_the_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(content)
    with pytest.raises(BgjobError) as error:
        load(str(path), {})
    assert error.value.code is ErrorCode.INVALID_ARGUMENT
    assert str(path) in error.value.message


def test_a_file_that_was_named_has_to_be_there(tmp_path: Path) -> None:
    path = str(tmp_path / "none.toml")
    assert load(path, {}).settings == load(path, {"BGJOB_CONFIG": ""}).settings
    with pytest.raises(BgjobError) as error:
        load(path, {"BGJOB_CONFIG": path})
    assert error.value.code is ErrorCode.INVALID_ARGUMENT
    assert path in error.value.message


def test_a_variable_that_is_no_setting_is_named_with_the_one_it_was_meant_for() -> None:
    told = unknown_variables({"BGJOB_MAX_JOB": "3", "BGJOB_TIMEOUT": "3", "BGJOB_FRUIT": "3", "MAX_JOBS": "3"})
    assert told == [
        "BGJOB_FRUIT is no setting",
        "BGJOB_MAX_JOB is no setting: BGJOB_MAX_JOBS is",
        "BGJOB_TIMEOUT is no setting: BGJOB_TIMEOUT_S is",
    ]


def test_every_variable_of_bgjob_itself_is_known() -> None:
    ours = {name.decode() for name in hook_environment(JobInfo(job_id="3f2a9c1e"))}
    ours |= set(re.findall(r"^\| `(BGJOB_\w+)` \|", (REFERENCE / "config.md").read_text(), re.MULTILINE))
    assert len(ours) > 12
    assert unknown_variables(dict.fromkeys(ours, "x")) == []
