"""What is known about MCP clients by the name they give themselves. An unknown client gets what is safe for all.

Measured with the real clients in 2026-11; the design page "The agent surface" has the versions.
"""

from dataclasses import dataclass, replace

__all__ = ["SAFE_WAIT_S", "ClientTraits", "traits_of"]

# Several clients cut a call at 60 s, whatever progress is reported. Ten seconds are left for the way there and back.
SAFE_WAIT_S = 50.0


@dataclass(frozen=True, slots=True)
class ClientTraits:
    """How a client treats results and calls."""

    # Some clients show the model only the structure when there is one, others only the text. Text tools send text alone
    # to both: the first would hide the readable form, the second would never show the structure.
    text_only: bool = False
    max_wait_s: float = SAFE_WAIT_S


_UNKNOWN = ClientTraits()
_TEXT = ClientTraits(text_only=True)

# By prefix, because clients append the server's name or a variant to their own.
_KNOWN: tuple[tuple[str, ClientTraits], ...] = (
    ("claude-code", _TEXT),
    ("codex", _TEXT),
    ("opencode", _TEXT),
    ("gemini-cli", ClientTraits(text_only=True, max_wait_s=540.0)),  # its default for one call is ten minutes
)


def traits_of(name: str, max_wait_s: float | None = None) -> ClientTraits:
    """Return what is known about the client that calls itself `name`, in any case.

    Args:
        name: from its clientInfo; "" where it gives none.
        max_wait_s: what its user says about how long one call may last; None: what is known by its name.
    """
    lowered = name.lower()
    traits = next((traits for prefix, traits in _KNOWN if lowered.startswith(prefix)), _UNKNOWN)
    return traits if max_wait_s is None else replace(traits, max_wait_s=max_wait_s)
