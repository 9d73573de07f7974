"""Who is at the other end of a Unix socket, as the kernel says. Standard library only and next to no imports."""

import _socket  # what `socket` is made of: the resident host's clients cannot afford its imports
import sys

__all__ = ["peer_uid"]

# struct ucred { pid, uid, gid }; struct xucred { u_int cr_version; uid_t cr_uid; … } (sys/ucred.h)
_UID = slice(4, 8)
_UCRED_BYTES, _XUCRED_BYTES = 12, 76
_SOL_LOCAL, _LOCAL_PEERCRED = 0, 1


def peer_uid(connection: _socket.socket) -> int:
    """Return the user of the process that connected to us, or that listened when we connected.

    Source: unix(7), SO_PEERCRED; on macOS unix(4), LOCAL_PEERCRED.
    """
    if sys.platform == "linux":
        credentials = connection.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, _UCRED_BYTES)
    else:
        credentials = connection.getsockopt(_SOL_LOCAL, _LOCAL_PEERCRED, _XUCRED_BYTES)
    return int.from_bytes(credentials[_UID], sys.byteorder)
