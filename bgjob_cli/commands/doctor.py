"""`bgjob doctor`: check that everything bgjob needs is in place, and say what to do where it is not."""

import argparse
from collections.abc import Iterator

from bgjob_cli import exit_status
from bgjob_cli.arguments import add_json, positive_count
from bgjob_cli.doctor.configuration import check_configuration
from bgjob_cli.doctor.daemon import check_daemon, effective_settings
from bgjob_cli.doctor.findings import Finding, Result
from bgjob_cli.doctor.machine import check_machine
from bgjob_cli.doctor.places import check_places
from bgjob_cli.json_text import as_json, json_line, print_json
from bgjob_cli.output import Output
from bgjob_cli.quantities import format_duration, format_size
from bgjob_cli.terminal_text import printable
from bgjobd.paths import Paths
from bgjobd.protocol import SettingValue

DESCRIPTION = """\
Check paths, permissions, socket, versions, disk, limits and kernel features. Each line is ok, warn (a promise is
weaker) or fail, with what to do. Changes nothing and starts nothing; a running daemon's settings are printed as well.

The exit status is 1 when a check failed."""

_STYLES = {Result.OK: "good", Result.WARN: "warn", Result.FAIL: "bad"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `doctor`."""
    add_json(parser)
    parser.add_argument(
        "--torture",
        type=positive_count,
        metavar="N",
        help="in an instance of its own, run N rounds of jobs while bgjob's processes are killed; nothing may be lost",
    )
    parser.add_argument("--seed", type=int, metavar="SEED", help="repeat the moments of an earlier --torture")


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Check everything and print what was found."""
    if arguments.torture is not None:
        return _torture(arguments.torture, arguments.seed, output)
    paths = Paths.from_environment()
    findings = [*check_machine(), *check_places(paths), check_configuration(paths), *check_daemon(paths)]
    failed = any(finding.result is Result.FAIL for finding in findings)
    settings = [] if _daemon_fails(findings) else effective_settings(paths)
    if output.json:
        _print_json(findings, settings, output)
    else:
        for line in [*_finding_lines(findings, output), *_setting_lines(settings, output)]:
            output.line(line)
    return exit_status.FAILED if failed else exit_status.OK


def _torture(rounds: int, seed: int | None, output: Output) -> int:
    import random

    from bgjob_cli.torture import torture

    seed = random.SystemRandom().randrange(1_000_000) if seed is None else seed
    output.line(f"{rounds} rounds with --seed {seed}")
    failed = torture(rounds, seed, output.line)
    output.line("nothing was lost" if not failed else f"{failed} of {rounds} rounds lost something")
    return exit_status.FAILED if failed else exit_status.OK


def _daemon_fails(findings: list[Finding]) -> bool:
    """Return whether the daemon does not answer: asking it again would only take the same time."""
    return any(finding.check == "daemon" and finding.result is Result.FAIL for finding in findings)


def _print_json(findings: list[Finding], settings: list[SettingValue], output: Output) -> None:
    checks = [
        {"check": finding.check, "result": finding.result, "detail": finding.detail, "advice": finding.advice}
        for finding in findings
    ]
    healthy = all(finding.result is not Result.FAIL for finding in findings)
    print_json({"ok": healthy, "checks": checks, "settings": as_json(settings)}, output)


def _finding_lines(findings: list[Finding], output: Output) -> Iterator[str]:
    width = max(len(finding.check) for finding in findings)
    for finding in findings:
        word = output.paint(f"{finding.result.value:<4}", _STYLES[finding.result])
        yield f"{word}  {finding.check:<{width}}  {printable(finding.detail)}"
        if finding.advice:
            yield f"{'':4}  {'':{width}}  {output.paint(printable(finding.advice), 'dim')}"


def _setting_lines(settings: list[SettingValue], output: Output) -> Iterator[str]:
    if not settings:
        return
    yield ""
    width = max(len(setting.key) for setting in settings)
    for setting in settings:
        source = output.paint(f"({printable(setting.source)})", "dim")
        yield f"{setting.key:<{width}}  {printable(_value(setting))}  {source}"


def _value(setting: SettingValue) -> str:
    """Return a setting's value as a person would write it; `--json` has it as it is."""
    value = setting.value
    if value in (None, "", [], {}):
        return "none"
    if setting.key.endswith("_bytes") and isinstance(value, int):
        return format_size(value)
    if setting.key.endswith("_s") and isinstance(value, int | float):
        return format_duration(value)
    return value if isinstance(value, str) else json_line(value)
