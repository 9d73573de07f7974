"""What each verb says, word for word: what differs from run to run is replaced by its name in capitals.

A transcript is a script: each line after `$` is run by a shell, and what follows is what has to be printed, standard
error included; the last line is the exit status, unless it is 0.
"""

import re
import subprocess

import pytest

from tests.helpers.cli import Cli
from tests.helpers.waiting import DEADLINE_S

_VARYING = (
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "UUID"),
    (r"\b(?=[0-9a-f]*[0-9])[0-9a-f]{8}\b|\b[a-f]{8}\b", "ID"),
    (r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:\.\d+Z)?", "WHEN"),
    (r"\b(?:\d+(?:\.\d+)?(?:ms|s|m|h))+\b", "TIME"),
    (r"\b\d+(?:\.\d+)? MiB", "SIZE"),
    (r"\b\d+ (?=/bin/sh |sh |sleep )", "PID "),
    (r"by cli [\d.]+", "by cli VERSION"),
    (r"/tmp/bgj-\w+/\w+", "CWD"),
    (r" {2,}", "  "),  # columns are as wide as their longest cell
)

STORY = {
    "a job that fails": """\
        $ bgjob run -n build 'echo compiling; echo oops >&2; exit 3'
        UUID
        $ bgjob wait build
        ID build: failed after TIME: exit code 3
        [3]
        $ bgjob ls
        ID  NAME  STATUS  TIME  ENDED  CPU  OUT  COMMAND
        ID  build  failed 3  TIME  TIME ago  TIME  15 B  echo compiling; echo oops >&2; exit 3
        $ bgjob status build
        ID build  failed after TIME: exit code 3
          last line  oops
          output  15 B
          used  cpu TIME
          command  echo compiling; echo oops >&2; exit 3
          directory  CWD
          submitted  WHEN, TIME ago, by cli VERSION
          ended  WHEN, TIME ago
          id  UUID
        $ bgjob output --stdout build
        compiling
        $ bgjob tail -n 1 --stderr build
        oops
        $ bgjob tail -t --stdout build
        WHEN.MS compiling
        $ bgjob search build 'o+p'
        2:oops
        $ bgjob search build nothing
        [1]
        $ bgjob events --no-follow --job build
        WHEN  ID build: queued
        WHEN  ID build: started
        WHEN  ID build: ended: failed, exit code 3
        $ bgjob kill build
        ID build: it had already ended: failed
        $ bgjob send build x
        bgjob: cannot send to job ID: it is failed
          `bgjob output ID` shows what it wrote.
        [3]
        $ bgjob rm build
        removed ID build
        $ bgjob status build
        bgjob: cannot find a job 'build': no job has this id, prefix or name
          There are no jobs yet.
        [4]
        """,
    "a server": """\
        $ bgjob run -q -n web 'read word; echo got $word; exec sleep 1000'
        UUID
        $ bgjob send web hello
        $ bgjob wait web --for 'got .*'
        ID web: printed got hello
        $ bgjob run -n web true
        bgjob: cannot name a job 'web': job ID has this name and is not over
          Choose another name, or `bgjob kill web` first.
        [5]
        $ bgjob wait web --timeout 50ms
        bgjob: gave up after TIME; still there: ID web
        [124]
        $ bgjob rm web
        bgjob: cannot remove job ID: it is running
          `bgjob kill ID` first.
        [5]
        $ bgjob kill web --reason 'not needed'
        ID web: killed 1 process in TIME: PID sleep (SIGTERM)
        $ bgjob wait web
        ID web: killed after TIME: SIGTERM by cli VERSION (not needed)
        [143]
        $ bgjob prune --keep 0 --dry-run
        would remove ID web (killed after TIME: SIGTERM by cli VERSION (not needed))
        $ bgjob prune --keep 0
        removed ID web (killed after TIME: SIGTERM by cli VERSION (not needed))
        $ bgjob ls
        """,
}


@pytest.mark.parametrize("story", STORY)
def test_the_transcript_is_as_it_is_written(cli: Cli, story: str) -> None:
    expected = re.sub(r"^ {8}", "", STORY[story], flags=re.MULTILINE)
    written = re.sub(r" {2,}", "  ", expected)
    commands = re.findall(r"^\$ (.*)$", expected, flags=re.MULTILINE)
    assert "".join(_transcript(cli, command) for command in commands) == written


def _transcript(cli: Cli, command: str) -> str:
    done = subprocess.run(
        command, shell=True, env=cli.env, cwd=cli.cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, timeout=DEADLINE_S, check=False,
    )  # fmt: skip
    said = done.stdout
    for pattern, name in _VARYING:
        said = re.sub(pattern, name, said)
    said = re.sub(r"WHEN\.\d+", "WHEN.MS", said)
    return f"$ {command}\n{said}" + (f"[{done.returncode}]\n" if done.returncode else "")
