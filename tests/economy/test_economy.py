"""What everyday tasks cost an agent with bgjob: how often it calls, and how much it is shown."""

import os
import shutil

import pytest

from tests.economy.__main__ import counted
from tests.economy.hands import Bgjob
from tests.economy.meter import Meter, connected, opening_bytes
from tests.economy.tasks import JOBS, TASKS
from tests.mcp.harness import SERVER

pytestmark = pytest.mark.shared

# Calls are exact. Bytes are what was counted at the time, and a tenth more: times and ids differ from run to run.
MOST = {
    "a build that fails": (2, 8_500),
    "2,000 tests that pass": (2, 3_600),
    "a dev server until it is ready": (3, 900),
    "a dialogue with a shell": (7, 1_200),
    "a download with a progress bar": (2, 1_100),
    "three checks side by side": (4, 7_100),
}
# A job is told to go on when it was started, and not by the clock.
UNTIMED = {"execute": {"wait_s": 0}, "interact": {"wait_s": 45}}
MOST_BEFORE_THE_FIRST_CALL = 9_200


@pytest.mark.slow
def test_six_everyday_tasks_take_few_calls_and_show_all_that_matters(env: dict[str, str], workdir: str) -> None:
    project = shutil.copytree(JOBS, os.path.join(workdir, "project"))
    gates = os.path.join(workdir, "gates")
    os.mkdir(gates)
    for name in (name for task in TASKS for name in task.jobs):
        os.mkfifo(os.path.join(gates, name))

    def let_go_on(name: str) -> None:
        if name != "shell":  # it waits for its input
            with open(os.path.join(gates, name), "wb"):
                pass  # its job goes on when it was opened

    with connected(SERVER, env | {"ECONOMY_GATES": gates}, project) as agent:
        assert opening_bytes(agent) <= MOST_BEFORE_THE_FIRST_CALL
        for task in TASKS:
            meter = Meter(agent)
            task.script(Bgjob(meter, let_go_on, UNTIMED))
            count = counted(task, meter)
            calls, most_bytes = MOST[task.name]
            assert count.known == count.facts, (task.name, meter.seen)
            assert count.calls == calls, (task.name, meter.seen)
            assert count.read_bytes <= most_bytes, (task.name, meter.seen)
