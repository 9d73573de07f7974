"""Finds the keys that detach in what a person types. Pure: bytes in, bytes out.

A key may come in several forms, because the program on the other side may have asked the terminal for more explicit
ones (see `bgjobd.keys`). What could be the beginning of the sequence is held back until it is decided.
"""

from itertools import product

from bgjobd.keys import key_sequences

__all__ = ["DetachKeys"]


class DetachKeys:
    """A sequence of keys to look for.

    Args:
        text: their names, separated by blanks.

    Raises:
        UnknownKeyError: a word names no key.
        ValueError: there is none at all.
    """

    def __init__(self, text: str) -> None:
        if not text.split():
            raise ValueError("there has to be at least one key")
        self.text = text
        self._whole = {b"".join(forms) for forms in product(*(key_sequences(word) for word in text.split()))}
        self._held = b""

    @property
    def is_undecided(self) -> bool:
        """Whether something is held back that may be the beginning of the sequence."""
        return bool(self._held)

    def feed(self, typed: bytes) -> tuple[bytes, bool]:
        """Take what was typed; return what is to be passed on, and whether the sequence was typed after that."""
        data = self._held + typed
        for position in range(len(data)):
            rest = data[position:]
            if any(rest.startswith(whole) for whole in self._whole):
                self._held = b""
                return data[:position], True
            if any(whole.startswith(rest) for whole in self._whole):
                self._held = rest
                return data[:position], False
        self._held = b""
        return data, False

    def give_up(self) -> bytes:
        """Return what was held back: nothing came after it for so long that it was meant for the program."""
        held, self._held = self._held, b""
        return held
