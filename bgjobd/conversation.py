"""The client's side of the control socket, without I/O: what to send, and what the bytes that come in mean.

Shared by the blocking and the async client, which only move bytes. Must never read, write, wait or look at a clock.
"""

from typing import TypeVar

import msgspec

from bgjobd.errors import BgjobError, ErrorCode
from bgjobd.protocol import (
    Answer,
    AnswerKind,
    Call,
    Cancel,
    ClientInfo,
    ErrorBody,
    Hello,
    Request,
    Restrictions,
    StreamRequest,
    Wait,
)
from bgjobd.version import PROTOCOL_MAJOR, VERSION
from bgjobd.wire import FrameDecoder, encode_frame

__all__ = ["RESTART", "Conversation", "asked_again", "connection_lost", "decode_body"]

BodyT = TypeVar("BodyT", bound=msgspec.Struct)

_encode = msgspec.msgpack.Encoder().encode
_hello_decoder = msgspec.msgpack.Decoder(Hello)
_answer_decoder = msgspec.msgpack.Decoder(Answer)
_error_decoder = msgspec.msgpack.Decoder(ErrorBody)
_decoders: dict[type[msgspec.Struct], msgspec.msgpack.Decoder[msgspec.Struct]] = {}

RESTART = "Run `bgjob daemon restart`; jobs keep running."


class Conversation:
    """One connection to a daemon, from the first byte to the last. After an error it must not be used again."""

    def __init__(self, client: ClientInfo, restrictions: Restrictions | None) -> None:
        self.server: Hello | None = None  # what the daemon said about itself; None until it did
        self._client = client
        self._restrictions = restrictions
        self._frames = FrameDecoder()
        self._last_id = 0
        self._last_words: BgjobError | None = None

    def hello(self) -> bytes:
        """Return what is sent first."""
        hello = Hello(program=self._client.kind, version=VERSION, client=self._client, restrictions=self._restrictions)
        return encode_frame(_encode(hello))

    def call(self, request: Request[BodyT] | StreamRequest[msgspec.Struct, BodyT]) -> tuple[int, bytes]:
        """Return the id of a new call, and what is sent for it.

        Raises:
            BgjobError: FRAME_TOO_LARGE, or INVALID_ARGUMENT when the request holds what cannot be sent.
        """
        try:
            body = _encode(request)
        except (UnicodeEncodeError, OverflowError) as error:
            raise BgjobError(ErrorCode.INVALID_ARGUMENT, f"cannot send the request {request.op!r}: {error}") from error
        self._last_id += 1
        return self._last_id, encode_frame(_encode(Call(self._last_id, request.op, msgspec.Raw(body))))

    def cancel(self, call_id: int) -> bytes:
        """Return what is sent to cancel a call. Its final answer still comes."""
        self._last_id += 1
        body = msgspec.Raw(_encode(Cancel(id=call_id)))
        return encode_frame(_encode(Call(self._last_id, Cancel.op, body)))

    def receive(self, data: bytes | memoryview) -> list[Answer]:
        """Take bytes that came in; return the answers they completed, in order.

        To be called with b"" when the connection has ended: an error about the connection itself is raised only when
        the answers before it have been returned.

        Raises:
            BgjobError: VERSION_MISMATCH; what the daemon says about the connection itself; BAD_FRAME or
                FRAME_TOO_LARGE when it is not a daemon's. The connection is of no use any more.
        """
        if self._last_words is not None:
            raise self._last_words
        answers: list[Answer] = []
        for frame in self._frames.feed(data):
            try:
                if self.server is None and not _is_answer(frame):
                    self._greet(_hello_decoder.decode(frame))
                    continue
                answer = _answer_decoder.decode(frame)
            except msgspec.MsgspecError as error:
                raise BgjobError(
                    ErrorCode.BAD_FRAME, f"cannot understand what the daemon says: {error}", RESTART
                ) from error
            if answer.id == 0:
                self._last_words = _error_in(answer)
                return answers or self.receive(b"")
            answers.append(answer)
        return answers

    def _greet(self, hello: Hello) -> None:
        if hello.protocol_major != PROTOCOL_MAJOR:
            raise BgjobError(
                ErrorCode.VERSION_MISMATCH,
                f"cannot talk to the daemon: it is version {hello.version} and speaks protocol {hello.protocol_major}, "
                f"this is version {VERSION} and speaks protocol {PROTOCOL_MAJOR}",
                RESTART,
                {"daemon_version": hello.version, "daemon_protocol": hello.protocol_major, "daemon_pid": hello.pid},
            )
        self.server = hello


def asked_again(request: Request[BodyT], elapsed_s: float) -> Request[BodyT]:
    """Return a request as it is sent again after so many seconds: a wait has only the time that is left for it."""
    if isinstance(request, Wait) and request.timeout_s is not None:
        left_s = max(0.0, request.timeout_s - elapsed_s)
        return msgspec.structs.replace(request, timeout_s=left_s)  # type: ignore[arg-type]  # it stays a Wait
    return request


def decode_body(answer: Answer, kind: type[BodyT]) -> BodyT:
    """Return what an item or a reply carries.

    Args:
        answer: as received.
        kind: what it has to be, unless it is an error.

    Raises:
        BgjobError: the error that the answer carries; BAD_FRAME when it is not of that kind.
    """
    if answer.kind is AnswerKind.ERROR:
        raise _error_in(answer)
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = msgspec.msgpack.Decoder(kind)
    try:
        body = decoder.decode(answer.body)
    except msgspec.MsgspecError as error:
        raise BgjobError(ErrorCode.BAD_FRAME, f"cannot understand the daemon's answer: {error}", RESTART) from error
    assert isinstance(body, kind)
    return body


def connection_lost(cause: OSError | None = None) -> BgjobError:
    """Return the error of a connection that ended in the middle of a request."""
    reason = cause.strerror if cause is not None and cause.strerror else "it closed the connection"
    return BgjobError(
        ErrorCode.CONNECTION_LOST,
        f"cannot finish the request: the daemon went away ({reason})",
        "Jobs keep running; ask again.",
    )


def _is_answer(frame: bytes) -> bool:
    """Return whether a first frame is an answer (an array) and not a Hello (a map): the daemon refuses us."""
    return frame[:1] != b"" and 0x90 <= frame[0] <= 0x9F  # fixarray of the msgpack specification


def _error_in(answer: Answer) -> BgjobError:
    """Return the error that an answer carries. A code that a newer daemon has and we do not know is kept in details."""
    try:
        body = _error_decoder.decode(answer.body)
    except msgspec.MsgspecError as error:
        return BgjobError(ErrorCode.BAD_FRAME, f"cannot understand the daemon's error: {error}", RESTART)
    try:
        code = ErrorCode(body.code)
    except ValueError:
        return BgjobError(ErrorCode.INTERNAL, body.message, body.hint, {**body.details, "unknown_code": body.code})
    return BgjobError(code, body.message, body.hint, body.details)
