"""What runners tell their zygote, over one socket that all of them share: a word, their pid, and the rest.

took <pid> <job directory>      this spare has a job now
unnoted <pid> <job directory>   and a full disk keeps it from saying so in the job's lock
spare <pid>                     it has started it: time to fork another spare
closed <pid>                    the job's standard input was closed: let go of your copy
hint <pid> <word> <job id>      the channel is full: tell the daemon as soon as there is room
terminal <pid>                  with a descriptor: the job has a terminal, keep this and the pipe of its output for me
"""

import _socket
import os
import struct

_MAX_MESSAGE_BYTES = 8192
_FD = struct.Struct("i")
_RIGHTS_BYTES = _socket.CMSG_SPACE(_FD.size)


class Hub:
    """Both ends, made by the zygote before it forks. Sending never fails: the zygote may have been killed."""

    __slots__ = ("_runner_socket", "_zygote_socket")

    def __init__(self) -> None:
        kind = _socket.SOCK_SEQPACKET if hasattr(_socket, "SOCK_SEQPACKET") else _socket.SOCK_DGRAM
        try:
            ends = _socket.socketpair(_socket.AF_UNIX, kind)
        except OSError:  # macOS knows the constant but not the thing
            ends = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_DGRAM)
        self._zygote_socket, self._runner_socket = ends
        self._zygote_socket.setblocking(False)

    @property
    def zygote_end(self) -> int:
        """The descriptor the zygote polls."""
        return self._zygote_socket.fileno()

    @property
    def runner_end(self) -> int:
        """The descriptor that runners send on."""
        return self._runner_socket.fileno()

    def leave_zygote_end(self) -> None:
        """Close the zygote's end in a fork: with it open, nobody would notice the zygote's death."""
        self._zygote_socket.close()

    def close(self) -> None:
        """Close both ends."""
        self._zygote_socket.close()
        self._runner_socket.close()

    def tell(self, word: bytes, rest: bytes = b"") -> None:
        """Send a message."""
        try:
            self._runner_socket.send(b"%s %d %s" % (word, os.getpid(), rest))
        except OSError:
            return  # EPIPE: it was killed, and nobody will rescue this runner

    def hand_over(self, word: bytes, fd: int) -> None:
        """Send a message with a copy of a descriptor (SCM_RIGHTS, unix(7))."""
        rights = (_socket.SOL_SOCKET, _socket.SCM_RIGHTS, _FD.pack(fd))
        try:
            self._runner_socket.sendmsg([b"%s %d " % (word, os.getpid())], [rights])
        except OSError:
            return  # as in `tell`

    def messages(self) -> list[tuple[bytes, int, bytes, int]]:
        """Return (word, pid, rest, descriptor or -1) of everything that was sent."""
        found: list[tuple[bytes, int, bytes, int]] = []
        while True:
            try:
                message, rights, _, _ = self._zygote_socket.recvmsg(_MAX_MESSAGE_BYTES, _RIGHTS_BYTES)
            except OSError:
                return found
            word, pid, rest = message.split(b" ", 2)
            found.append((word, int(pid), rest, _received(rights)))


def _received(rights: list[tuple[int, int, bytes]]) -> int:
    """Return the descriptor that came with a message; like all others it closes on exec."""
    for level, kind, data in rights:
        if (level, kind) == (_socket.SOL_SOCKET, _socket.SCM_RIGHTS):
            fd: int = _FD.unpack_from(data)[0]
            os.set_inheritable(fd, False)
            return fd
    return -1
