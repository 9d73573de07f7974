"""Records on disk: exact bytes, damage that is noticed, and programs of different age that read each other's."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bgjobd.runner.records import ExitRecord, RecordError, RunRecord, Spec, decode, encode, read_record, write_record

SPEC = Spec(
    job_id="0b1c",
    argv=[b"/bin/sh", b"-c", b"printf 'a\nend\n'"],
    env=[b"A=1", b"EMPTY=", b"LINES=x\nend\ny:3:z\n", b"RAW=\xff\x00\xfe"],
    cwd=b"/tmp/\xff",
    name="dev-server ünï",
    timeout_ms=1500,
    merge_stderr=True,
)


def test_a_record_reads_back_as_it_was_written(tmp_path) -> None:
    path = str(tmp_path / "spec")
    write_record(SPEC, path, fsync=True)
    assert read_record(Spec, path) == SPEC
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["spec"]


def test_what_is_left_of_a_longer_record_is_cut(tmp_path) -> None:
    """A process that was killed may have written a part of one, which the next one writes over."""
    path = str(tmp_path / "run")
    with open(path + ".new", "wb") as file:
        file.write(b"x" * 10_000)
    write_record(RunRecord(runner_pid=1), path)
    with open(path, "rb") as file:
        assert file.read() == encode(RunRecord(runner_pid=1))


@given(
    argv=st.lists(st.binary(max_size=40), max_size=5),
    name=st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    cwd=st.binary(max_size=40),
    timeout_ms=st.none() | st.integers(-(2**70), 2**70),
    pty=st.booleans(),
)
def test_any_value_survives(argv: list[bytes], name: str, cwd: bytes, timeout_ms: int | None, pty: bool) -> None:
    spec = Spec(argv=argv, name=name, cwd=cwd, timeout_ms=timeout_ms, pty=pty)
    assert decode(Spec, encode(spec)) == spec


def test_every_cut_is_noticed() -> None:
    whole = encode(SPEC)
    for size in range(len(whole)):
        with pytest.raises(RecordError):
            decode(Spec, whole[:size])


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"garbage",
        b"bgjob-record 1 run\nend\n",
        b"bgjob-record 2 spec\nend\n",
        b"bgjob-record 1 spec\nno colon\nend\n",
        b"bgjob-record 1 spec\nname:x:abc\nend\n",
        b"bgjob-record 1 spec\nname:-5:abc\nend\n",
        b"bgjob-record 1 spec\nname:99999999999999999999999:abc\nend\n",
        b"bgjob-record 1 spec\nrows:3:abc\nend\n",
        b"bgjob-record 1 spec\n\xff\xfe:1:a\nend\n",
        b"bgjob-record 1 spec\n" + b"x" * 100_000,
    ],
)
def test_what_is_no_record_is_refused(damaged: bytes) -> None:
    with pytest.raises(RecordError):
        decode(Spec, damaged)


def test_fields_of_a_newer_program_are_ignored_and_missing_ones_have_defaults() -> None:
    record = decode(ExitRecord, b"bgjob-record 1 exit\nnew_field:3:a\nb\nstatus:1:0\nleft_behind:5:1 2 x\nend\n")
    assert (record.status, record.by, record.left_behind, record.killed) == (0, "runner", [b"1 2 x"], [])


def test_a_record_knows_its_fields() -> None:
    with pytest.raises(TypeError):
        RunRecord(no_such_field=1)
    assert RunRecord(runner_pid=1) != RunRecord(runner_pid=2)
    assert RunRecord() != ExitRecord()


def test_a_refused_write_leaves_the_old_record_alone(tmp_path) -> None:
    path = str(tmp_path / "spec")
    write_record(SPEC, path)
    os.mkdir(path + ".new")
    with pytest.raises(OSError, match="directory"):
        write_record(Spec(), path)
    assert read_record(Spec, path) == SPEC
