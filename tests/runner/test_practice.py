"""What the zygote does before it forks, so that its forks need little memory: it changes nothing else."""

import contextlib
import gc
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from types import CodeType, FunctionType

import pytest

from bgjobd.runner.pack import observe, pack
from tests.helpers.disks import mounted_disk
from tests.helpers.procs import children_of, descriptors_of
from tests.helpers.waiting import wait_until
from tests.runner.harness import RUNNER_PROGRAM, Zygote


@pytest.fixture(autouse=True)
def unfrozen() -> None:
    """Other tests in this process may have frozen everything, which hides it: a zygote freezes only after it packed."""
    gc.unfreeze()


def add(number: int) -> int:
    return number + 1


def total(numbers: list[int]) -> int:
    return sum(even for even in map(add, numbers) if is_even(even))


def is_even(number: int) -> bool:
    return [True, False][number % 2]


def pairs(numbers: list[int]) -> Iterator[tuple[int, int]]:
    offset = 10

    def later(number: int) -> int:
        return number + offset

    for number in numbers:
        yield number, later(number)


class Counter:
    def __init__(self) -> None:
        self._count = 0

    @property
    def count(self) -> int:
        return self._count

    @classmethod
    def started(cls) -> "Counter":
        counter = cls()
        counter._count = 5
        return counter

    def never(self) -> None:
        self._count = -1


def play() -> tuple[int, list[tuple[int, int]], int]:
    return total([1, 2, 3]), list(pairs([1, 2])), Counter.started().count


def inner_codes(code: CodeType) -> list[CodeType]:
    return [const for const in code.co_consts if isinstance(const, CodeType)]


def test_code_that_runs_is_seen_in_the_order_in_which_it_does() -> None:
    names = [code.co_name for code in observe(play)]
    ours = ["play", "total", "add", "is_even", "pairs", "later", "started", "__init__", "count"]
    assert [name for name in names if name in ours] == ours
    assert "never" not in names
    assert sys.getprofile() is None


def test_a_play_that_fails_is_not_watched_any_longer() -> None:
    with pytest.raises(ZeroDivisionError):
        observe(lambda: 1 // 0)
    assert sys.getprofile() is None


def test_packed_functions_have_copies_of_their_code_and_do_what_they_did() -> None:
    before = play()
    functions: list[FunctionType] = [add, total, is_even, pairs, Counter.count.fget, Counter.started.__func__]  # type: ignore[attr-defined, list-item]
    codes = [function.__code__ for function in functions]
    unused = Counter.never.__code__
    pack(observe(play))
    assert not {id(code) for code in codes} & {id(function.__code__) for function in functions}
    assert [function.__code__ for function in functions] == codes  # equal, and others
    assert Counter.never.__code__ is unused
    assert play() == before


def test_what_runs_inside_of_other_code_is_packed_too() -> None:
    original = {id(code) for code in inner_codes(pairs.__code__)}
    assert original
    pack(observe(play))
    assert not original & {id(code) for code in inner_codes(pairs.__code__)}


def test_functions_that_did_not_run_are_left_alone() -> None:
    before = {id(each): each.__code__ for each in gc.get_objects() if type(each) is FunctionType}
    pack(observe(lambda: None))
    after = {id(each): each.__code__ for each in gc.get_objects() if type(each) is FunctionType and id(each) in before}
    assert [code.co_qualname for key, code in after.items() if code is not before[key]] == []


HOLES_ARE_PLUGGED = """
import sys
sys.path.append(sys.argv[1])
from bgjobd.runner import lean
junk = [*map(bytes, range(480)), *(number + 0.5 for number in range(5000)), *(object() for _ in range(5000))]
del junk[::2]  # holes of every size
lean.plug_holes()
for size in range(16, 513, 16):
    made = lean._make(size, 25)
    print(len({id(each) // 16384 for each in made}))
print(sum(map(len, lean._fillers)))
"""


def test_after_the_holes_are_plugged_new_objects_of_every_size_lie_side_by_side() -> None:
    root = os.path.dirname(os.path.dirname(os.path.dirname(RUNNER_PROGRAM)))
    command = [sys.executable, "-I", "-S", "-E", "-c", HOLES_ARE_PLUGGED, root]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    *pools, fillers = map(int, lines)
    assert max(pools) <= 2  # one that ends within them, and the next
    assert len(pools) == 32
    assert fillers < 30_000


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
def test_practice_leaves_neither_descriptors_nor_files_nor_processes(zygote: Zygote) -> None:
    zygote.run("true").wait_runner_gone()

    def only_spares() -> bool:  # the runner may be a zombie still
        return {child.name for child in children_of(zygote.pid)} == {"bgjob-spare"}

    wait_until(lambda: only_spares() and len(children_of(zygote.pid)) >= 3, "the spares, and nothing else")
    open_files = descriptors_of(zygote.pid).values()
    assert not [path for path in open_files if "practice" in path or path.startswith(("/dev/pt", "/proc/"))]
    spool = os.path.join(zygote.state_dir, "spool")
    assert not [name for name in os.listdir(spool) if "practice" in name or name == f"{zygote.pid}-{zygote.pid}"]


@pytest.mark.slow
@pytest.mark.root
def test_a_disk_that_fills_up_during_practice_does_not_hold_up_the_zygote(small_disk: str) -> None:
    with contextlib.closing(Zygote(small_disk)) as zygote:
        wait_until(lambda: has_started_over(zygote), "a zygote that does without")
        wait_until(lambda: len(children_of(zygote.pid)) >= 3, "its spares")
        subprocess.run(["mount", "-o", "remount,nr_inodes=1000", small_disk], check=True)
        assert zygote.run("echo yes").text() == "yes\n"
        assert not [name for name in os.listdir(f"{small_disk}/spool") if "practice" in name]


@pytest.fixture
def small_disk() -> Iterator[str]:
    """A file system with so few inodes that the zygote can make a job to practise with, and its runner no exit record.

    The runner waits for room then, as it would with a real job.
    """
    directory = tempfile.mkdtemp(prefix="bgr-", dir="/tmp")
    with mounted_disk(directory, "nr_inodes=13"):
        yield directory
    os.rmdir(directory)


def has_started_over(zygote: Zygote) -> bool:
    """Whether it says in its command line that it did not practise."""
    with open(f"/proc/{zygote.pid}/cmdline") as file:
        return file.read().endswith("\0unpractised\0")
