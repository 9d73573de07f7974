"""The examples in the pages: the tutorial is carried out, and every other command line has to be understood."""

import importlib
import re
import shlex
from pathlib import Path

import pytest

from bgjob_cli.exit_status import OK
from bgjob_cli.main import run_verb
from bgjob_cli.verbs import ALIASES, VERBS
from tests.arch.test_docs import ROOT
from tests.helpers.daemon import Daemon
from tests.helpers.pty import Terminal, plain

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^( *)```(console|sh)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)

# What differs each time: ids, process ids, durations, sizes and the white space of tables.
CHANGING = [
    (re.compile(r"\b[0-9a-f]{8}\b"), "ID"),
    (re.compile(r"\d+(\.\d+)?(ms|s|m\d+s)\b"), "TIME"),
    (re.compile(r"\d+(\.\d+)? (B|KiB|MiB)\b"), "SIZE"),
    (re.compile(r"\b\d{3,}\b"), "PID"),
    (re.compile(r"\s+"), " "),
]


def blocks(page: Path, kind: str) -> list[str]:
    return [text for _, found, text in BLOCK.findall(page.read_text()) if found == kind]


def command_lines(page: Path) -> list[str]:
    """Return the command lines that begin with `bgjob` in the page's examples."""
    lines = [line.strip().removeprefix("$ ") for text in blocks(page, "sh") for line in text.splitlines()]
    lines += [line[2:] for text in blocks(page, "console") for line in text.splitlines() if line.startswith("$ ")]
    lines += re.findall(r"`(bgjob [a-z][^`|…]*)`", re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL))
    return [re.sub(r"^(\w+=\S+ )+", "", line) for line in lines if re.match(r"(\w+=\S+ )*bgjob ", line)]


EXAMPLES = [(page, line) for page in PAGES for line in command_lines(page)]


@pytest.mark.parametrize(("page", "line"), EXAMPLES, ids=[f"{page.stem}: {line}" for page, line in EXAMPLES])
def test_a_command_line_in_the_pages_is_understood(monkeypatch: pytest.MonkeyPatch, page: Path, line: str) -> None:
    words = shlex.split(line.replace("JOB…", "JOB"), comments=True)
    end = next((place for place, word in enumerate(words) if word in ("|", ";", "&&") or word.endswith(";")), None)
    if end is not None:
        words = [*words[:end], words[end].rstrip(";|&")]
    verb, *arguments = [word for word in words[1:] if word]
    verb = ALIASES.get(verb, verb)
    assert verb in VERBS
    # Everything but carrying it out.
    monkeypatch.setattr(importlib.import_module(f"bgjob_cli.commands.{verb}"), "run", lambda *_: OK)
    # A verb that is only named, like `bgjob kill` or `bgjob tail -f`, leaves out the job.
    assert run_verb(verb, arguments) == OK or run_verb(verb, [*arguments, "JOB"]) == OK or not arguments


@pytest.mark.slow
def test_the_tutorial_happens_as_it_is_written(env: dict[str, str], workdir: str, daemon: Daemon) -> None:
    """Each command is typed at a terminal; what the page shows must be what comes, but for what changes each time."""
    page = ROOT / "docs" / "tutorial" / "first-job.md"
    for block in blocks(page, "console"):
        for example in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            line, *shown = example.splitlines()
            # A person has to be able to look at the job while it runs; a test need not wait for that.
            line = line.replace("sleep 1; done; exit", "sleep 0.1; done; exit")
            with Terminal(["sh", "-c", line], env, columns=80, cwd=workdir) as terminal:
                if "--follow" in line:
                    terminal.expect(re.escape(shown[0]))
                    terminal.press("C-c")
                printed = [changeless(each) for each in (terminal.rest() and plain(terminal.transcript)).splitlines()]
                assert terminal.wait() in (0, -2)
            for each in shown:
                assert any(fits(changeless(each), found) for found in printed), f"$ {line}\n{terminal.transcript}"


def changeless(line: str) -> str:
    for pattern, word in CHANGING:
        line = pattern.sub(word, line)
    return line.strip()


def fits(shown: str, printed: str) -> bool:
    """Compare a line of the page with one that was printed; `…` stands for the rest."""
    beginning, cut, _ = shown.partition("…")
    return printed.startswith(beginning.rstrip()) if cut else printed == shown
