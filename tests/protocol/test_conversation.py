"""The client's side of the conversation, as scripted exchanges without I/O."""

import msgspec
import pytest

from bgjobd.conversation import Conversation, decode_body
from bgjobd.errors import BgjobError, ErrorCode
from bgjobd.protocol import (
    Answer,
    AnswerKind,
    Call,
    Cancel,
    ClientInfo,
    Empty,
    ErrorBody,
    Hello,
    KillReply,
    Ping,
    Restrictions,
    Send,
    Status,
)
from bgjobd.version import PROTOCOL_MAJOR
from bgjobd.wire import FrameDecoder, encode_frame

encode = msgspec.msgpack.encode


def framed(message):
    return encode_frame(encode(message))


def sent(data, kind):
    [frame] = FrameDecoder().feed(data)
    return msgspec.msgpack.decode(frame, type=kind)


def an_error(call_id, **fields):
    return Answer(call_id, AnswerKind.ERROR, msgspec.Raw(encode(ErrorBody(**fields))))


def greeted():
    conversation = Conversation(ClientInfo(), None)
    assert conversation.receive(framed(Hello(program="bgjobd"))) == []
    return conversation


def code_of(call, *arguments):
    with pytest.raises(BgjobError) as caught:
        call(*arguments)
    return caught.value.code


def test_it_says_who_asks_and_what_the_client_restricts_itself_to():
    restrictions = Restrictions(max_jobs=3)
    hello = sent(Conversation(ClientInfo(kind="mcp", session="s"), restrictions).hello(), Hello)
    assert (hello.client.session, hello.restrictions, hello.protocol_major) == ("s", restrictions, PROTOCOL_MAJOR)


def test_calls_have_ids_of_their_own_and_a_cancel_names_one():
    conversation = greeted()
    (first, data), (second, _) = conversation.call(Ping()), conversation.call(Status(jobs=["a"]))
    assert (sent(data, Call).id, sent(data, Call).op) == (first, "ping")
    cancel = sent(conversation.cancel(second), Call)
    assert cancel.op == "cancel" and cancel.id not in (first, second)
    assert msgspec.msgpack.decode(cancel.body, type=Cancel).id == second


def test_answers_come_out_in_order_also_right_behind_the_hello():
    conversation = Conversation(ClientInfo(), None)
    answers = [Answer(number, AnswerKind.REPLY, msgspec.Raw(encode(Empty()))) for number in (2, 1)]
    found = conversation.receive(framed(Hello(version="9")) + b"".join(map(framed, answers)))
    assert [answer.id for answer in found] == [2, 1]
    assert conversation.server.version == "9"


def test_another_major_version_is_a_mismatch_that_says_what_to_do():
    with pytest.raises(BgjobError) as caught:
        Conversation(ClientInfo(), None).receive(framed(Hello(protocol_major=PROTOCOL_MAJOR + 1, version="9.9", pid=5)))
    assert caught.value.code is ErrorCode.VERSION_MISMATCH
    assert "bgjob daemon restart" in caught.value.hint
    assert caught.value.details["daemon_version"] == "9.9"


def test_another_minor_version_and_unknown_fields_are_fine():
    conversation = Conversation(ClientInfo(), None)
    hello = {"protocol_major": PROTOCOL_MAJOR, "protocol_minor": 99, "from_the_future": [1]}
    conversation.receive(encode_frame(encode(hello)))
    assert conversation.server.protocol_minor == 99


def test_a_daemon_that_refuses_before_its_hello_is_heard():
    conversation = Conversation(ClientInfo(), None)
    assert code_of(conversation.receive, framed(an_error(0, code="refused", message="not you"))) is ErrorCode.REFUSED


def test_an_error_about_the_connection_itself_is_raised():
    assert code_of(greeted().receive, framed(an_error(0, code="shutting_down"))) is ErrorCode.SHUTTING_DOWN


def test_the_answers_before_an_error_about_the_connection_are_not_lost():
    conversation = greeted()
    answer = Answer(1, AnswerKind.REPLY, msgspec.Raw(encode(Empty())))
    found = conversation.receive(framed(answer) + framed(an_error(0, code="shutting_down")))
    assert [answer.id for answer in found] == [1]
    assert code_of(conversation.receive, b"") is ErrorCode.SHUTTING_DOWN


def test_an_error_of_a_call_is_raised_where_it_is_decoded():
    details = {"candidates": [{"job_id": "x"}]}
    answer = an_error(1, code="ambiguous_job", message="cannot tell", hint="Say more.", details=details)
    with pytest.raises(BgjobError) as caught:
        decode_body(answer, Empty)
    error = caught.value
    assert (error.code, error.message, error.hint) == (ErrorCode.AMBIGUOUS_JOB, "cannot tell", "Say more.")
    assert error.details == details


def test_an_error_code_of_the_future_is_kept_and_does_not_crash():
    with pytest.raises(BgjobError) as caught:
        decode_body(an_error(1, code="quantum_flux", message="cannot X", details={"a": 1}), Empty)
    assert caught.value.code is ErrorCode.INTERNAL
    assert caught.value.message == "cannot X"
    assert caught.value.details == {"a": 1, "unknown_code": "quantum_flux"}


@pytest.mark.parametrize("frame", [b"", b"\xc1", b"junk", encode([1, "reply"]), encode([1, "?", {}]), encode({"a": 1})])
def test_what_is_no_answer_is_a_bad_frame(frame):
    assert code_of(greeted().receive, encode_frame(frame)) is ErrorCode.BAD_FRAME


@pytest.mark.parametrize("frame", [b"", b"\xc1", encode("hello"), encode({"protocol_major": "one"})])
def test_what_is_no_hello_is_a_bad_frame(frame):
    assert code_of(Conversation(ClientInfo(), None).receive, encode_frame(frame)) is ErrorCode.BAD_FRAME


def test_an_answer_of_another_type_is_a_bad_frame():
    answer = Answer(1, AnswerKind.REPLY, msgspec.Raw(encode({"receipt": "none"})))
    assert code_of(decode_body, answer, KillReply) is ErrorCode.BAD_FRAME
    broken = Answer(1, AnswerKind.ERROR, msgspec.Raw(encode({"code": 7})))
    assert code_of(decode_body, broken, Empty) is ErrorCode.BAD_FRAME


def test_what_cannot_be_sent_is_refused_before_anything_is_sent():
    conversation = greeted()
    assert code_of(conversation.call, Status(jobs=["\udcff"])) is ErrorCode.INVALID_ARGUMENT
    assert code_of(conversation.call, Send(job="x", data=bytes(17 << 20))) is ErrorCode.FRAME_TOO_LARGE
