"""The version of this distribution and of the wire protocol. Literals, so that reading them costs nothing."""

__all__ = ["PROTOCOL_MAJOR", "PROTOCOL_MINOR", "VERSION"]

VERSION = "0.1.0"

# A client and a daemon of the same major version understand each other; minor versions only add.
PROTOCOL_MAJOR = 1
PROTOCOL_MINOR = 0
