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

_POOL_BYTES = 16 << 10  # of pymalloc, which serves objects of up to 512 bytes in classes of 16
_POOL_HEADER_BYTES = 48
_LARGEST_BYTES = 512
_CLASS_BYTES = 16
_BYTES_OVERHEAD = 33  # of a bytes object
_MAX_FILLERS = 20_000  # of one class; a few hundred are usual

_fillers: list[object] = []


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
    """Allocate objects of one size class until a whole pool was filled without a gap: then all others are full."""
    capacity = (_POOL_BYTES - _POOL_HEADER_BYTES) // size
    in_a_row, before = 0, 0
    for number in range(_MAX_FILLERS):
        filler = _filler(size, number)
        _fillers.append(filler)
        address = id(filler)
        if address % _POOL_BYTES < _POOL_HEADER_BYTES + size:
            in_a_row = 1
        else:
            in_a_row = in_a_row + 1 if in_a_row and address == before + size else 0
        if in_a_row >= capacity:
            del _fillers[-capacity:]  # the pool that had no gap is free for any class again
            return
        before = address


def _filler(size: int, number: int) -> object:
    """Return a new object that takes `size` bytes."""
    if size == _CLASS_BYTES:
        return object()
    if size == 2 * _CLASS_BYTES:
        return number + 0.5  # a float: 24 bytes
    return bytes(size - _BYTES_OVERHEAD)
