"""What a run has to say: the table for people, the JSON for programs, and the pages kept in docs/reference."""

import json
import os
import platform
import statistics
import subprocess
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bgjobd.version import VERSION
from tests.perf.targets import BY_KEY, TARGETS, Curve, Result, Target, number

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
_BEGIN, _END = "<!-- begin: made by make perf -->", "<!-- end -->"


@dataclass
class Run:
    """One run and where it was made."""

    machine: dict[str, Any]
    results: list[Result] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)
    _began: float = field(default_factory=time.monotonic)

    @classmethod
    def begin(cls, *, is_full: bool) -> "Run":
        """Return a run that has just begun."""
        return cls({
            "bgjob": VERSION,
            "commit": _commit(),
            "date": time.strftime("%Y-%m-%d"),
            "python": platform.python_version(),
            "kernel": f"{platform.system()} {platform.release()}",
            "cpus": os.cpu_count(),
            "load_before": round(os.getloadavg()[0], 2),
            "new_file_us": round(_new_file_s() * 1e6),
            "full": is_full,
        })  # fmt: skip

    def end(self) -> None:
        """Note what is only known at the end."""
        self.machine["load_after"] = round(os.getloadavg()[0], 2)
        self.machine["took_s"] = round(time.monotonic() - self._began)

    @property
    def missed(self) -> list[Result]:
        """The rows that miss their target, the worst first."""
        found = [result for result in self.results if BY_KEY[result.key].miss(result.value)]
        return sorted(found, key=lambda result: -BY_KEY[result.key].miss(result.value))


def line(result: Result) -> str:
    """Return one row as plain text."""
    target = BY_KEY[result.key]
    return "  ".join(part for part in (*_cells(target, result), result.note) if part)


def table(run: Run) -> str:
    """Return the rows that were measured as plain text, then what misses."""
    rows = [("row", "target", "measured", "spread", "")]
    rows += [_cells(BY_KEY[result.key], result) for result in run.results]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    text = "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
    machine = run.machine
    return (
        f"{text}\n\n{len(run.results) - len(run.missed)} of {len(run.results)} met; "
        f"load {machine['load_before']} to {machine['load_after']}, {machine['took_s']} s"
    )


def write_json(run: Run, path: str | Path) -> None:
    """Write everything that was measured."""
    data = {
        "machine": run.machine,
        "rows": [_as_json(result) for result in run.results],
        "curves": [asdict(curve) for curve in run.curves],
    }
    Path(path).write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n")


def keep(run: Run) -> None:
    """Put the run into docs/reference: the JSON, the plots, and the table into its page."""
    from tests.perf import plots

    write_json(run, REFERENCE / "performance.json")
    for name, svg in plots.draw(run.curves).items():
        (REFERENCE / f"performance-{name}.svg").write_text(svg)
    page = REFERENCE / "performance.md"
    before, _, rest = page.read_text().partition(_BEGIN)
    page.write_text(f"{before}{_BEGIN}\n\n{markdown(run)}\n\n{_END}{rest.partition(_END)[2]}")


def markdown(run: Run) -> str:
    """Return the whole target table, with a dash where a row was not measured."""
    by_key = {result.key: result for result in run.results}
    lines = ["| what | target | measured | spread | |", "| --- | --- | --- | --- | --- |"]
    for target in TARGETS:
        result = by_key.get(target.key)
        cells = _cells(target, result) if result else (target.what, target.bound_text(), "–", "", "not measured")
        note = f" ({result.note})" if result and result.note else ""
        lines.append(f"| {cells[0]}{note} | {cells[1]} | {cells[2]} | {cells[3]} | {cells[4]} |")
    machine = run.machine
    where = (
        f"bgjob {machine['bgjob']} ({machine['commit']}), {machine['date']}, Python {machine['python']}, "
        f"{machine['kernel']}, {machine['cpus']} CPUs, load {machine['load_before']} before and "
        f"{machine['load_after']} after, {machine['new_file_us']} µs for a new file."
    )
    return "\n".join([where, "", *lines])


def _cells(target: Target, result: Result) -> tuple[str, str, str, str, str]:
    value, unit = result.value, target.unit
    spread = "" if value.low == value.high else f"{number(value.low, '')}–{number(value.high, unit)}"
    share = target.miss(value)
    verdict = "" if target.bound is None else f"missed by {share:.0%}" if share else "ok"
    return target.what, target.bound_text(), number(value.middle, unit), spread, verdict


def _as_json(result: Result) -> dict[str, Any]:
    target = BY_KEY[result.key]
    return {
        "key": result.key,
        "what": target.what,
        "unit": target.unit,
        "target": target.bound,
        "at_least": target.at_least,
        **asdict(result.value),
        "met": target.is_met(result.value),
        "floor": result.floor,
        "note": result.note,
    }


def _new_file_s() -> float:
    """Return what it costs to create a file here: on ext4 ten times as much when thousands were deleted just before."""
    with tempfile.TemporaryDirectory(prefix="bgj-perf-") as directory:
        costs = []
        for number in range(100):
            start = time.perf_counter()
            os.close(os.open(f"{directory}/{number}", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
            costs.append(time.perf_counter() - start)
    return statistics.median(costs)


def _commit() -> str:
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return done.stdout.strip()
