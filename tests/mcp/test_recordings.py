"""What real programs wrote to a terminal, progress and all, and what an agent reads of it.

`recordings/NAME.raw` is the recording below a first line that says where it is from, `NAME.txt` the text.
"""

import shlex
from pathlib import Path

import pyte
import pytest

from bgjob_mcp.render.pieces import Piece, Stretch
from bgjob_mcp.render.terminal import resolve
from bgjob_mcp.render.text import write_items
from tests.mcp.harness import Agent, output_of

DIRECTORY = Path(__file__).parent / "recordings"
NAMES = ("apt", "cargo", "docker", "npm", "pip", "tqdm")
recordings = pytest.mark.parametrize("name", NAMES)


def recording(name: str) -> bytes:
    return (DIRECTORY / f"{name}.raw").read_bytes().partition(b"\n")[2]


def expected(name: str) -> str:
    return (DIRECTORY / f"{name}.txt").read_text()


@recordings
def test_progress_is_its_final_state_and_stands_for_every_byte(name: str) -> None:
    data = recording(name)
    items = resolve(Stretch([(0, data)]))
    assert write_items(items) == expected(name)
    assert sum(item.size for item in items) == len(data)
    assert len(expected(name)) < len(data) / 2


@recordings
def test_it_is_what_a_full_terminal_shows_in_the_end(name: str) -> None:
    screen = pyte.Screen(120, 60)
    pyte.ByteStream(screen).feed(recording(name))
    shown = "\n".join(row.rstrip() for row in screen.display).rstrip("\n")
    assert "\n".join(row.rstrip() for row in expected(name).splitlines()).rstrip("\n") == shown


@recordings
def test_wherever_a_reader_stops_what_it_read_is_finished_text(name: str) -> None:
    data = recording(name)
    for end in range(1, len(data), 1 + len(data) // 100):
        items = resolve(Stretch([(0, data[:end])]))
        assert sum(item.size for item in items) == end
        assert not any("\x1b" in item.text or "\r" in item.text for item in items if isinstance(item, Piece))


def test_an_agent_reads_it_so(reader: Agent) -> None:
    for name in NAMES:
        command = f"tail -n +2 {shlex.quote(str(DIRECTORY / name))}.raw"
        assert output_of(reader.text("execute", command=command, wait_s=30)) == expected(name).removesuffix("\n")
