"""A real socket whose other end follows a script: what a daemon of another version, or a broken one, would do."""

import os
import socket
import threading

import msgspec

from bgjobd.protocol import Answer, AnswerKind, Call, ErrorBody, Hello
from bgjobd.wire import FrameDecoder, encode_frame
from tests.helpers.waiting import DEADLINE_S

encode = msgspec.msgpack.encode


class Peer:
    """The scripted end of one connection."""

    def __init__(self, connection):
        self.connection = connection
        self.calls = []
        self._decoder = FrameDecoder()
        self._frames = []

    def frame(self):
        """Return the next frame; EOFError when the client hung up."""
        while not self._frames:
            data = self.connection.recv(1 << 16)
            if not data:
                raise EOFError
            self._frames += self._decoder.feed(data)
        return self._frames.pop(0)

    def greet(self, **fields):
        """Read the client's Hello, answer it, return it."""
        hello = msgspec.msgpack.decode(self.frame(), type=Hello)
        self.send(Hello(program="bgjobd", version="scripted", pid=os.getpid(), **fields))
        return hello

    def call(self):
        """Read a call and return it."""
        self.calls.append(msgspec.msgpack.decode(self.frame(), type=Call))
        return self.calls[-1]

    def send(self, message):
        self.connection.sendall(encode_frame(encode(message)))

    def answer(self, call_id, body, kind=AnswerKind.REPLY):
        self.send(Answer(call_id, kind, msgspec.Raw(encode(body))))

    def fail(self, call_id, code, **fields):
        self.answer(call_id, ErrorBody(code=code, **fields), AnswerKind.ERROR)


class ScriptedDaemon:
    """Listens at `paths.socket`; each connection is given to the next script, in a thread. A context manager.

    Leaving waits for the scripts, and raises what they raised.
    """

    def __init__(self, paths, *scripts):
        self.peers = []
        self._paths = paths
        self._scripts = scripts
        self._failures = []
        self._thread = threading.Thread(target=self._serve, name="scripted daemon")

    def __enter__(self):
        self._paths.ensure()
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(self._paths.socket)
        self._listening.listen()
        self._listening.settimeout(DEADLINE_S)
        self._thread.start()
        return self

    def __exit__(self, kind, *_):
        self._thread.join()
        self._listening.close()
        os.unlink(self._paths.socket)
        if self._failures and kind is None:
            raise self._failures[0]

    def join(self):
        """Wait until every script is at its end, and has hung up."""
        self._thread.join()

    def _serve(self):
        try:
            for script in self._scripts:
                connection, _ = self._listening.accept()
                connection.settimeout(DEADLINE_S)
                with connection:
                    peer = Peer(connection)
                    self.peers.append(peer)
                    script(peer)
        except BaseException as failure:
            self._failures.append(failure)
