"""Keys by name, as tmux names them, and the bytes that a terminal sends for them. Pure; imports next to nothing.

    key_bytes("C-c Up Enter")  ->  b"\\x03\\x1b[A\\r"

Names are separated by blanks. A single character is the key that types it. The others are those of tmux(1), without
regard to case: Enter, Escape, Tab, BTab, Space, BSpace, Up, Down, Left, Right, Home, End, PageUp (PPage, PgUp),
PageDown (NPage, PgDn), Insert (IC), Delete (DC), F1 to F12; and Return, Esc, Backspace, Ins, Del, which people write,
too. In front of any of them may stand C- or ^ (Control), M- (Alt) and S- (Shift).

What is no key's name is an error, not text: a mistyped name must not be typed into a program.

Source: ctlseqs of xterm, "PC-Style Function Keys" and "VT220-Style Function Keys"; DECCKM for the cursor keys.
"""

import difflib

__all__ = ["KEY_NAMES", "UnknownKeyError", "has_cursor_keys", "key_bytes", "key_sequences"]

_PLAIN = {
    "enter": "\r",
    "escape": "\x1b",
    "tab": "\t",
    "space": " ",
    "bspace": "\x7f",
}
# Final characters of CSI (or SS3 while DECCKM is set) sequences.
_CURSOR = {"up": "A", "down": "B", "right": "C", "left": "D", "home": "H", "end": "F"}
_F1_TO_F4 = {"f1": "P", "f2": "Q", "f3": "R", "f4": "S"}
# Numbers of CSI N ~ sequences.
_NUMBERED = {
    "insert": 2, "delete": 3, "pageup": 5, "pagedown": 6, "f5": 15, "f6": 17, "f7": 18, "f8": 19, "f9": 20, "f10": 21,
    "f11": 23, "f12": 24,
}  # fmt: skip
_ALIASES = {
    "return": "enter", "esc": "escape", "backspace": "bspace", "ic": "insert", "ins": "insert", "dc": "delete",
    "del": "delete", "ppage": "pageup", "pgup": "pageup", "npage": "pagedown", "pgdn": "pagedown",
}  # fmt: skip

KEY_NAMES = (
    "Enter", "Escape", "Tab", "BTab", "Space", "BSpace", "Up", "Down", "Left", "Right", "Home", "End", "PageUp",
    "PageDown", "Insert", "Delete", *(f"F{number}" for number in range(1, 13)),
)  # fmt: skip

_SHIFT, _ALT, _CONTROL = 1, 2, 4  # plus one: the parameter of a modified key, ctlseqs of xterm
_MODIFIERS = {"S": _SHIFT, "M": _ALT, "C": _CONTROL}
# C-@ … C-_ are the control characters; on a terminal C-Space and the digits make some of them, too.
_CONTROL_ALIASES = {" ": "@", "2": "@", "3": "[", "4": "\\", "5": "]", "6": "^", "7": "_", "/": "_"}


class UnknownKeyError(ValueError):
    """A word that names no key. The text says which, and what may have been meant."""


def key_bytes(text: str, *, application_cursor: bool = False) -> bytes:
    """Return what a terminal sends for the keys that `text` names.

    Args:
        text: names, separated by blanks.
        application_cursor: whether the program has asked for application cursor keys (DECCKM), as full-screen programs
            do: then Up is SS3 A and not CSI A.

    Raises:
        UnknownKeyError: a word names no key.
    """
    return b"".join(_encode(word, application_cursor) for word in text.split())


def has_cursor_keys(text: str) -> bool:
    """Return whether `application_cursor` matters for these keys.

    Raises:
        UnknownKeyError: a word names no key.
    """
    return key_bytes(text) != key_bytes(text, application_cursor=True)


def key_sequences(word: str) -> list[bytes]:
    """Return every way in which terminals may send one key: a program may have asked for a more explicit one.

    These are xterm's modifyOtherKeys (CSI 27 ; modifier ; code ~) and the protocol of kitty (CSI code ; modifier u).

    Raises:
        UnknownKeyError: the word names no key.
    """
    plain = _encode(word, application_cursor=False)
    modifiers, key = _split(word)
    if len(key) != 1 or not modifiers:
        return [plain]
    code, parameter = ord(key.lower()), modifiers + 1
    return [plain, b"\x1b[27;%d;%d~" % (parameter, code), b"\x1b[%d;%du" % (code, parameter)]


def _encode(word: str, application_cursor: bool) -> bytes:
    modifiers, key = _split(word)
    name = _ALIASES.get(key.lower(), key.lower())
    if name == "btab":
        name, modifiers = "tab", modifiers | _SHIFT
    if len(key) == 1:
        return _character(word, key, modifiers)
    if name == "tab" and modifiers & _SHIFT:
        return _with_alt("\x1b[Z", modifiers)
    if name in _PLAIN:
        return _character(word, _PLAIN[name], modifiers)
    if name in _CURSOR or name in _F1_TO_F4:
        return _lettered(name, modifiers, application_cursor)
    if name in _NUMBERED:
        number = _NUMBERED[name]
        return (f"\x1b[{number};{modifiers + 1}~" if modifiers else f"\x1b[{number}~").encode()
    raise _unknown(word)


def _split(word: str) -> tuple[int, str]:
    """Return the modifiers in front of a key, and the key: `C-M-x` is Control and Alt, and `x`."""
    modifiers, key = 0, word
    while True:
        if len(key) > 2 and key[1] == "-" and key[0].upper() in _MODIFIERS:
            modifiers |= _MODIFIERS[key[0].upper()]
            key = key[2:]
        elif len(key) > 1 and key[0] == "^":
            modifiers |= _CONTROL
            key = key[1:]
        else:
            return modifiers, key


def _character(word: str, character: str, modifiers: int) -> bytes:
    """Return what a key that has a character sends."""
    if modifiers & _CONTROL:
        character = _control(word, character)
    elif modifiers & _SHIFT:
        character = character.upper()
    return _with_alt(character, modifiers)


def _control(word: str, character: str) -> str:
    if character in "\r\t\x1b":  # the same key with or without Control, on every terminal
        return character
    character = _CONTROL_ALIASES.get(character, character)
    if character in ("?", "8", "\x7f"):
        return "\x08" if character == "\x7f" else "\x7f"
    code = ord(character.upper())
    if not 0x40 <= code <= 0x5F:
        raise _unknown(word)
    return chr(code & 0x1F)


def _with_alt(text: str, modifiers: int) -> bytes:
    return ("\x1b" + text if modifiers & _ALT else text).encode("utf-8", "surrogateescape")


def _lettered(name: str, modifiers: int, application_cursor: bool) -> bytes:
    """Return what a cursor key, Home, End or F1 to F4 sends."""
    final = _CURSOR.get(name) or _F1_TO_F4[name]
    if modifiers:
        return f"\x1b[1;{modifiers + 1}{final}".encode()
    introducer = "\x1bO" if name in _F1_TO_F4 or application_cursor else "\x1b["
    return (introducer + final).encode()


def _unknown(word: str) -> UnknownKeyError:
    """Return the error for a word that names no key."""
    names = {name.lower(): name for name in KEY_NAMES}
    close = difflib.get_close_matches(_split(word)[1].lower(), names, n=1)
    advice = f"; did you mean {names[close[0]]}?" if close else ""
    return UnknownKeyError(f"there is no key {word!r}{advice}")
