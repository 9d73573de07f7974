"""Makes the zygote's memory such that its forks share most of it. Changes nothing else; measured in tests/perf.

A fork shares a page until one of the two writes to it. Three things make Python write everywhere:

* new objects go into holes that freed ones left all over the heap. `plug_holes` fills them, so that what comes next
  lies side by side on fresh pages: all that a fork allocates, and before that our own code, which the fork runs. In
  the gaps of the standard library it would be on as many pages as there are gaps;
* code that runs for the first times rewrites itself and looks names up the slow way, which writes to reference counts
  (PEP 659). The zygote lives a spare's whole life a few times before it forks: see `practice`;
* what runs lies between what hardly ever does: see `pack`.
"""

import gc
from itertools import repeat

_POOL_BYTES = 16 << 10  # of pymalloc, which serves objects of up to 512 bytes in classes of 16
_POOL_HEADER_BYTES = 48
_LARGEST_BYTES = 512
_CLASS_BYTES = 16
_BYTES_OVERHEAD = 33  # of a bytes object
_MOST_BATCHES = 20  # one is usual

_fillers: list[list[object]] = []


def settle() -> None:
    """Collect garbage, plug the holes, and keep the collector's hands off everything that exists now."""
    plug_holes()
    gc.freeze()
    gc.disable()


def plug_holes() -> None:
    """Collect garbage, and let everything that is allocated from now on lie on pages that nothing is on yet."""
    gc.collect()
    for size in range(_CLASS_BYTES, _LARGEST_BYTES + 1, _CLASS_BYTES):
        _fill_holes(size)


def _fill_holes(size: int) -> None:
    """Allocate objects of one size class until a whole pool is theirs: then all others are full.

    They are made in one go, and leave nothing else behind: a loop over them would make integers, which belong to one of
    the classes. The growing list of them may itself be in one of the pools, hence one more.
    """
    capacity = (_POOL_BYTES - _POOL_HEADER_BYTES) // size
    for _ in range(_MOST_BATCHES):
        batch = _make(size, 3 * capacity)
        _fillers.append(batch)
        first = _first_of_whole_pool(batch, capacity)
        if first >= 0:
            del batch[first:]  # the pool is free for any class again
            return


def _first_of_whole_pool(batch: list[object], capacity: int) -> int:
    numbers: dict[int, int] = {}  # of them, by pool
    for position, filler in enumerate(batch):
        pool = id(filler) // _POOL_BYTES
        numbers[pool] = numbers.get(pool, 0) + 1
        if numbers[pool] == capacity:
            return position + 1 - capacity
    return -1


def _make(size: int, number: int) -> list[object]:
    """Return new objects that take `size` bytes each."""
    if size == _CLASS_BYTES:
        return list(map(object.__new__, repeat(object, number)))
    if size == 2 * _CLASS_BYTES:
        return list(map(complex, repeat(0, number)))
    return list(map(bytes, repeat(size - _BYTES_OVERHEAD, number)))
