"""Keys by name: what a terminal sends for them."""

import os
import subprocess
from pathlib import Path

import pytest

from bgjobd.keys import KEY_NAMES, UnknownKeyError, has_cursor_keys, key_bytes, key_sequences
from tests.helpers.waiting import wait_until

SENT = {
    "a": b"a",
    "Z": b"Z",
    "é": "é".encode(),
    ": w q Enter": b":wq\r",
    "Enter": b"\r",
    "enter Return": b"\r\r",
    "Escape Esc": b"\x1b\x1b",
    "Tab BTab": b"\t\x1b[Z",
    "Space BSpace": b" \x7f",
    "C-c ^c C-C": b"\x03\x03\x03",
    "C-@ C-Space C-[ C-\\ C-] C-^ C-_ C-?": b"\0\0\x1b\x1c\x1d\x1e\x1f\x7f",
    "^": b"^",
    "^^": b"\x1e",
    "-": b"-",
    "M-x M-X M-C-x M-Enter": b"\x1bx\x1bX\x1b\x18\x1b\r",
    "S-a": b"A",
    "Up Down Right Left": b"\x1b[A\x1b[B\x1b[C\x1b[D",
    "Home End": b"\x1b[H\x1b[F",
    "C-Up S-Down M-Right C-S-Left": b"\x1b[1;5A\x1b[1;2B\x1b[1;3C\x1b[1;6D",
    "PageUp PgUp PPage PageDown NPage": b"\x1b[5~" * 3 + b"\x1b[6~" * 2,
    "Insert IC Delete DC S-Delete": b"\x1b[2~\x1b[2~\x1b[3~\x1b[3~\x1b[3;2~",
    "F1 F4 F5 F12 S-F1 C-F5": b"\x1bOP\x1bOS\x1b[15~\x1b[24~\x1b[1;2P\x1b[15;5~",
    "": b"",
}


@pytest.mark.parametrize("text", SENT)
def test_keys_send_what_a_terminal_sends(text: str) -> None:
    assert key_bytes(text) == SENT[text]


def test_a_program_may_have_asked_for_other_cursor_keys() -> None:
    assert key_bytes("Up Home F1", application_cursor=True) == b"\x1bOA\x1bOH\x1bOP"
    assert key_bytes("C-Up x", application_cursor=True) == b"\x1b[1;5Ax"
    assert has_cursor_keys("a Left")
    assert not has_cursor_keys("a C-Left F1 Enter")


@pytest.mark.parametrize("word", ["hello", "Entr", "C-", "C-foo", "F13", "C-é", "F0", "C-a-b"])
def test_what_is_no_key_is_an_error_and_never_typed(word: str) -> None:
    with pytest.raises(UnknownKeyError) as caught:
        key_bytes(f"a {word} b")
    assert repr(word) in str(caught.value)


def test_a_mistyped_name_is_answered_with_the_right_one() -> None:
    with pytest.raises(UnknownKeyError, match="did you mean Enter"):
        key_bytes("Entr")
    with pytest.raises(UnknownKeyError, match="did you mean PageUp"):
        key_bytes("PagUp")


def test_a_key_has_more_explicit_forms_that_programs_ask_for() -> None:
    assert key_sequences("C-\\") == [b"\x1c", b"\x1b[27;5;92~", b"\x1b[92;5u"]
    assert key_sequences("C-A")[1:] == [b"\x1b[27;5;97~", b"\x1b[97;5u"]
    assert key_sequences("x") == [b"x"]
    assert key_sequences("F1") == [b"\x1bOP"]


@pytest.mark.needs("tmux")
def test_each_key_means_what_it_means_to_tmux(tmp_path: Path) -> None:
    """A program in a real tmux records what `tmux send-keys` sends it. Home and End are those of xterm, not of tmux."""
    words = [name for name in KEY_NAMES if name not in ("Home", "End")]
    words += ["IC", "PPage", "PgDn", "C-a", "C-\\", "^]", "M-x", "C-Up", "S-F5", "C-M-a"]
    record = tmp_path / "record"
    tmux = ["tmux", "-S", str(tmp_path / "tmux"), "-f", os.devnull]
    program = f"stty raw -echo; echo ready >{tmp_path}/ready; exec dd bs=1 of={record} 2>/dev/null"
    subprocess.run([*tmux, "new-session", "-d", program], check=True, env=os.environ | {"LC_ALL": "C.UTF-8"})
    try:
        wait_until((tmp_path / "ready").exists, "the recorder", directory=str(tmp_path))
        # The letter behind each key parts them: a lone Escape would make one key of itself and the next one.
        subprocess.run([*tmux, "send-keys", *(part for word in words for part in (word, "."))], check=True)
        expected = b"".join(key_bytes(word) + b"." for word in words)
        wait_until(lambda: record.exists() and record.stat().st_size >= len(expected), "all that tmux sends")
        assert record.read_bytes() == expected
    finally:
        subprocess.run([*tmux, "kill-server"], check=False)
