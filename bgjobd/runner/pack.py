"""Lays the code that forks run side by side, so that running it makes few pages their own, see `lean`.

Running a function counts references to its code object and writes counters into it. As code is loaded, what runs lies
between what hardly ever does. Copies of what runs, in the order in which it does, are on half as many pages.
"""

import gc
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, FrameType


def observe(play: "Callable[[], None]") -> "list[CodeType]":
    """Call `play` and return the code that ran in it, in the order of the first time."""
    ran: dict[int, CodeType] = {}  # by id: equal code is not the same code

    def note(frame: "FrameType", event: str, _argument: object) -> None:
        if event == "call":
            ran.setdefault(id(frame.f_code), frame.f_code)

    sys.setprofile(note)
    try:
        play()
    finally:
        sys.setprofile(None)
    return list(ran.values())


def pack(ran: "list[CodeType]") -> None:
    """Give the functions that have this code copies of it; those that gc.freeze() has hidden are not found."""
    _kept.extend(ran)
    copies: dict[int, CodeType | None] = {id(code): None for code in ran}
    for code in ran:
        _copy(code, copies)
    for function in gc.get_objects():
        if type(function) is _FUNCTION:
            copy = copies.get(id(function.__code__))
            if copy is not None:
                function.__code__ = copy


def _copy(code: "CodeType", copies: "dict[int, CodeType | None]") -> "CodeType":
    """Copy a piece of code once, and before that what runs inside of it: comprehensions and the like."""
    copy = copies[id(code)]
    if copy is None:
        inner = [_copy(const, copies) for const in code.co_consts if id(const) in copies]
        if inner:
            consts = (copies.get(id(const)) or const for const in code.co_consts)
            copy = code.replace(co_consts=tuple(consts))
        else:
            copy = code.replace()
        copies[id(code)] = copy
    return copy


_FUNCTION = type(pack)
_kept: "list[CodeType]" = []  # the originals: what comes later would lie in the holes they leave
