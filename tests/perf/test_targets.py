"""The table of targets, its page and the measurements belong together; nothing here measures time."""

import importlib
import json
import re
from pathlib import Path

from bgjobd.protocol import GetSettings
from tests.perf.__main__ import GROUPS
from tests.perf.instance import instance
from tests.perf.measure import Value, exactly, in_turns, ratio
from tests.perf.plots import draw
from tests.perf.report import REFERENCE
from tests.perf.targets import BY_KEY, TARGETS, Curve


def test_every_row_is_measured_by_the_file_it_names() -> None:
    for target in TARGETS:
        module = importlib.import_module(f"tests.perf.{target.group}")
        source = Path(module.__file__ or "").read_text()
        name = target.key.partition(".")[2].removesuffix("_100k")
        assert name in source, f"nothing in tests/perf/{target.group}.py measures {target.key}"
    assert {target.group for target in TARGETS} <= set(GROUPS)


def test_the_page_has_every_row_of_the_table_and_no_other() -> None:
    page = (REFERENCE / "performance.md").read_text()
    made = re.search(r"<!-- begin: made by make perf -->(.*)<!-- end -->", page, re.DOTALL)
    assert made
    rows = re.findall(r"^\| ([^|]+) \| ", made[1], re.MULTILINE)[2:]
    for row, target in zip(rows, TARGETS, strict=True):
        assert row == target.what or row.startswith(f"{target.what} (")  # what was measured beside it


def test_the_kept_result_has_every_row_and_says_which_are_missed() -> None:
    kept = json.loads((REFERENCE / "performance.json").read_text())
    assert sorted(row["key"] for row in kept["rows"]) == sorted(target.key for target in TARGETS)
    for row in kept["rows"]:
        value = Value(row["middle"], row["low"], row["high"])
        assert row["met"] == BY_KEY[row["key"]].is_met(value)


def test_the_plots_are_those_of_the_kept_result() -> None:
    kept = json.loads((REFERENCE / "performance.json").read_text())
    for name, svg in draw(Curve(**curve) for curve in kept["curves"]).items():
        assert (REFERENCE / f"performance-{name}.svg").read_text() == svg


def test_a_target_is_missed_by_the_share_of_its_bound() -> None:
    rate, latency = BY_KEY["start.serial"], BY_KEY["start.true"]
    assert (rate.miss(exactly(150)), rate.miss(exactly(250))) == (0.25, 0.0)
    assert (latency.miss(exactly(9)), latency.miss(exactly(6))) == (0.5, 0.0)
    assert BY_KEY["memory.wakeups"].miss(exactly(1)) == 1.0


def test_the_measured_daemon_accepts_its_settings_and_forgets_no_job() -> None:
    with instance() as running:
        settings = {setting.key: setting.value for setting in running.client.call(GetSettings()).settings}
    assert int(settings["keep_ended_jobs"]) >= 100_000
    assert float(settings["keep_ended_for_s"]) >= 100_000


def test_what_is_compared_is_measured_in_turns() -> None:
    order: list[str] = []
    in_turns(2, lambda: order.append("floor") or 0.0, lambda: order.append("ours") or 0.0)  # type: ignore[func-returns-value]
    assert order == ["floor", "ours", "ours", "floor"]


def test_a_ratio_is_taken_within_each_batch() -> None:
    ours, floors = [2.0, 4.0, 8.0, 16.0, 32.0], [1.0, 2.0, 4.0, 8.0, 16.0]
    assert ratio(ours, floors) == Value(2.0, 2.0, 2.0)
