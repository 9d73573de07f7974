"""What `attach` undoes in the person's terminal when it leaves, whatever the program had set."""

import pytest

from bgjob_cli.own_terminal import PassedModes


@pytest.mark.parametrize(
    ("output", "undone"),
    [
        (b"\x1b[?1049h", b"\x1b[?1049l"),
        (b"\x1b[?25l", b"\x1b[?25h"),
        (b"\x1b[?7l", b"\x1b[?7h"),
        (b"\x1b[?1000;1006h", b"\x1b[?1006l"),
        (b"\x1b[?2004h", b"\x1b[?2004l"),
        (b"\x1b[?1004h", b"\x1b[?1004l"),
        (b"\x1b=", b"\x1b>"),
        (b"\x1b[>1u\x1b[>3u", b"\x1b[<2u"),
        (b"\x1b[>4;2m", b"\x1b[>4;0m"),
        (b"\x1b[5 q", b"\x1b[0 q"),
        (b"\x1b]4;1;#ff0000\x07", b"\x1b]104\x07"),
        (b"\x1b]11;#000000\x1b\\", b"\x1b]111\x07"),
        (b"\x1b]12;red\x07", b"\x1b]112\x07"),
    ],
)
def test_what_a_program_has_set_is_undone_also_when_it_comes_in_pieces(output: bytes, undone: bytes) -> None:
    for pieces in ([output], [output[at : at + 1] for at in range(len(output))]):
        modes = PassedModes()
        for piece in pieces:
            modes.feed(piece)
        assert undone in modes.undo()


@pytest.mark.parametrize(
    "output",
    [
        b"\x1b[?1049h\x1b[?1049l",
        b"\x1b[?25l\x1b[?25h",
        b"\x1b[5 q\x1b[0 q",
        b"\x1b[5 q\x1b[ q",
        b"\x1b]11;?\x07",
        b"\x1b[>1u\x1b[<u",
        b"\x1b[?1000h\x1b[5 q\x1b=\x1b]11;#fff\x07\x1bc",
        b"text",
        b"\x1b[?%bh" % (b"1" * 5000),  # more digits than Python makes a number of
        b"\x1b[<%bu" % (b"1" * 5000),
    ],
)
def test_what_is_as_usual_is_left_alone(output: bytes) -> None:
    modes = PassedModes()
    modes.feed(output)
    assert modes.undo() == PassedModes().undo()


def test_the_title_is_kept_and_brought_back() -> None:
    modes = PassedModes()
    assert modes.begin() == b"\x1b[22;2t"
    assert b"\x1b[23;2t" in modes.undo()
    assert b"\x1b[23;2t" not in PassedModes().undo()
