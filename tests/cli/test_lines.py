"""Lines out of runs that end anywhere."""

from hypothesis import given
from hypothesis import strategies as st

from bgjob_cli.lines import Line, LineAssembler
from bgjobd.protocol import Run, Stream


def lines_of(runs: list[Run]) -> list[Line]:
    assembler = LineAssembler()
    return [line for run in runs for line in assembler.feed(run)] + list(assembler.rest())


def test_two_streams_that_take_turns_within_a_line_are_kept_apart() -> None:
    runs = [
        Run(offset=0, stream=Stream.STDOUT, data=b"out ", time_unix_ms=1),
        Run(offset=4, stream=Stream.STDERR, data=b"err\n", time_unix_ms=2),
        Run(offset=8, stream=Stream.STDOUT, data=b"put\nrest", time_unix_ms=3),
    ]
    assert lines_of(runs) == [
        Line(Stream.STDERR, 4, 2, b"err"),
        Line(Stream.STDOUT, 0, 1, b"out put"),
        Line(Stream.STDOUT, 12, 3, b"rest", complete=False),
    ]


@given(st.binary(max_size=200), st.integers(min_value=1, max_value=20))
def test_lines_put_together_again_are_the_output(data: bytes, size: int) -> None:
    runs = [Run(offset=start, data=data[start : start + size]) for start in range(0, len(data), size)]
    found = lines_of(runs)
    assert b"".join(line.data + b"\n" * line.complete for line in found) == data
    assert all(data[line.cursor :].startswith(line.data) for line in found)


def test_a_line_without_end_does_not_fill_the_memory() -> None:
    assembler = LineAssembler()
    pieces = [len(line.data) for start in range(40) for line in assembler.feed(Run(offset=start, data=b"x" * 100_000))]
    assert pieces
    assert max(pieces) < 2 << 20
