"""Measure bgjob: `python -m tests.perf [quick] [keep] [GROUP …]`, or `make perf ARGS=…`.

    GROUP   start, questions, capture, logs, memory, ending, adoption, front_ends, growth; default: all of them
    quick   fewer rounds and smaller sizes: to see whether something is badly wrong
    keep    write the result into docs/reference as well: the table, the JSON and the plots

Prints the table, and writes build/perf.json. Exits 0 whether targets are met or not: numbers are for people.
"""

import importlib
import os
import sys
import tempfile

from tests.perf import report
from tests.perf.bench import Bench
from tests.perf.instance import Probe
from tests.perf.targets import Result

GROUPS = ("start", "questions", "capture", "logs", "memory", "ending", "adoption", "front_ends", "growth")
_QUICK_SHARE = 0.2


def main(words: list[str]) -> int:
    """Measure the groups named in `words` and report."""
    groups = [word for word in words if word not in ("quick", "keep")] or list(GROUPS)
    unknown = [group for group in groups if group not in GROUPS]
    if unknown:
        print(f"perf: there is no group {unknown[0]!r}\n\n{__doc__}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="bgj-perf-") as directory:
        bench = Bench(Probe(directory), _QUICK_SHARE if "quick" in words else 1.0)
        run = report.Run.begin(is_full=bench.is_full)
        for group in groups:
            print(f"{group} …", file=sys.stderr, flush=True)
            for found in importlib.import_module(f"tests.perf.{group}").measure(bench):
                (run.results if isinstance(found, Result) else run.curves).append(found)
                if isinstance(found, Result):
                    print("  " + report.line(found), file=sys.stderr, flush=True)
    run.end()
    print(report.table(run))
    os.makedirs("build", exist_ok=True)
    report.write_json(run, "build/perf.json")
    if "keep" in words:
        report.keep(run)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
