"""The page of `bgjob status`, as it is shown."""

from typing import Any

import pytest

from bgjob_cli.job_report import job_report
from bgjobd.protocol import (
    ClientInfo,
    EndReason,
    InputMode,
    JobInfo,
    JobStatus,
    ProcessEnd,
    ProcessInfo,
    Receipt,
)  # fmt: skip

NOW_UNIX_S = 1795392100.0  # 2026-11-23T00:01:40Z
SUBMITTED = "2026-11-23T00:00:10.000Z"

RUNNING = {
    "name": "web",
    "status": JobStatus.RUNNING,
    "command": "npm run dev",
    "cwd": "/home/ada/shop",
    "client": ClientInfo(kind="mcp", name="claude-code", version="2.1"),
    "duration_s": 90.0,
    "queued_s": 0.001,
    "output_bytes": 5000,
    "last_output_age_s": 12.0,
    "cpu_s": 3.2,
    "peak_rss_bytes": 200 << 20,
    "max_output_bytes": 64 << 20,
    "ports": [3000, 3001],
    "processes": [
        ProcessInfo(pid=10, parent_pid=1, name="sh", command="/bin/sh -c npm run dev", rss_bytes=2 << 20),
        ProcessInfo(pid=11, parent_pid=10, name="node", command="node /home/ada/node_modules/vite --port 3000",
                    state="sleeping", cpu_s=3.0, rss_bytes=180 << 20, ports=[3000, 3001]),
        ProcessInfo(pid=13, parent_pid=11, name="esbuild", state="stopped", rss_bytes=18 << 20),
        ProcessInfo(pid=12, parent_pid=10, name="cat", command="cat", state="zombie"),
    ],
}  # fmt: skip


def page(width: int | None = None, last_line: str = "", **known: Any) -> list[str]:
    job = JobInfo(job_id="3f2a9c1e-0000-4000-8000-000000000000", submitted=SUBMITTED, started=SUBMITTED, **known)
    lines = job_report(job, lambda text, style: text, now_unix_s=NOW_UNIX_S, last_line=last_line, width=width)
    return [line.rstrip() for line in lines]


@pytest.fixture(autouse=True)
def in_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bgjob_cli.job_report.local_time", lambda stamp: stamp[:19].replace("T", " "))


def test_a_running_job_says_what_it_is_doing_first() -> None:
    assert page(last_line="  ready in 312 ms", **RUNNING) == [
        "3f2a9c1e web  running for 1m30s",
        "  last line     ready in 312 ms",
        "  output      4.88 KiB, last 12s ago",
        "  uses        cpu 3.2s, memory 200 MiB",
        "  ports       3000, 3001",
        "  processes   10 /bin/sh -c npm run dev  (2.00 MiB)",
        "              ├ 11 node /home/ada/node_modules/vite --port 3000  (180 MiB, cpu 3s, listens on 3000, 3001)",
        "              │ └ 13 esbuild  (stopped, 18.0 MiB)",
        "              └ 12 cat  (zombie)",
        "  command     npm run dev",
        "  directory   /home/ada/shop",
        "  submitted   2026-11-23 00:00:10, 1m30s ago, by mcp claude-code 2.1",
        "  id          3f2a9c1e-0000-4000-8000-000000000000",
    ]


def test_processes_and_the_last_line_fit_the_terminal() -> None:
    narrow = page(width=70, last_line="x" * 100, **RUNNING)
    assert "              ├ 11 node /ho…  (180 MiB, cpu 3s, listens on 3000, 3001)" in narrow
    assert f"  last line   {'x' * 55}…" in narrow
    assert max(map(len, narrow)) == 70


def test_an_ended_job_says_how_and_when_it_ended_and_who_was_killed() -> None:
    receipt = Receipt(
        job_id="3f2a9c1e",
        status="killed",
        duration_s=5.01,
        processes=[
            ProcessEnd(pid=10, name="sh", signals=["SIGTERM"], ended="SIGTERM"),
            ProcessEnd(pid=11, name="node", signals=["SIGTERM", "SIGKILL"], ended="SIGKILL"),
        ],
    )
    known = {
        "status": JobStatus.KILLED, "reason": EndReason.TIMEOUT, "timeout_s": 60.0, "ended": "2026-11-23T00:01:10.000Z",
        "duration_s": 57.0, "queued_s": 3.0, "cpu_s": 0.5, "peak_rss_bytes": 1 << 30, "output_bytes": 1 << 30,
        "dropped_bytes": 1000, "max_output_bytes": 1 << 20, "max_memory_bytes": 4 << 30,
        "max_cpu_s": 3600, "nice": 10, "command": "x", "cwd": "/", "receipt": receipt,
    }  # fmt: skip
    assert page(width=60, **known) == [
        "3f2a9c1e  killed after 57s: its time limit of 1m was reached",
        "  output      1.00 GiB, 1,000 bytes of it dropped to stay within the limit",
        "  used        cpu 500ms, memory up to 1.00 GiB",
        "  command     x",
        "  directory   /",
        "  submitted   2026-11-23 00:00:10, 1m30s ago",
        "  started     2026-11-23 00:00:10, 1m30s ago",
        "  ended       2026-11-23 00:01:10, 30s ago",
        "  limits      1m in all, 4.00 GiB of memory,",
        "              1h of processor time, nice 10,",
        "              keeps 1.00 MiB of output",
        "  kill        killed 2 processes in 5s: 10 sh (SIGTERM),",
        "              11 node (SIGTERM, SIGKILL)",
        "  id          3f2a9c1e-0000-4000-8000-000000000000",
    ]


def test_what_needs_a_person_comes_first() -> None:
    known = {"status": JobStatus.RUNNING, "waiting_for_input": True, "input_mode": InputMode.HIDDEN}
    lines = page(prompt="Password:", blocked="disk full", warnings=["max_jobs was lowered"], **known)
    assert lines[:5] == [
        "3f2a9c1e  running (disk full)",
        "  blocked     disk full",
        "  waits for   a secret: Password:",
        "              answer it with: bgjob answer 3f2a9c1e",
        "  note        max_jobs was lowered",
    ]
