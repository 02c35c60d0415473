"""A gRPC client: `grpc_client.py calls|fails|watch TARGET [PEM]`.

`calls` makes calls of every kind and says which went well; `fails` makes one and says with which
status it failed; `watch` says when the first message of an endless stream is there, and how that
ends. With a certificate the gateway is spoken to over TLS."""

import itertools
import queue
import sys

import grpc

OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
PATIENCE = 60
LARGE = 48 * 1024 * 1024


def unary(method):
    return channel.unary_unary(f"/e2e.Test/{method}")


def check_unary():
    answer, call = unary("Unary").with_call(
        b"hello", timeout=PATIENCE, metadata=(("x-asked", "for this"),)
    )
    assert answer == b"hello", answer
    initial, trailing = dict(call.initial_metadata()), dict(call.trailing_metadata())
    assert initial["x-initial"] == "for this", initial
    assert "x-kong-request-id" in initial and initial["via"].startswith("2 gateway/"), initial
    assert trailing["x-trailing-bin"] == b"\x00\xff", trailing


def check_server_streaming():
    answers = channel.unary_stream("/e2e.Test/ServerStreaming")(b"500", timeout=PATIENCE)
    assert list(answers) == [b"%d" % number for number in range(500)]


def check_client_streaming():
    messages = (b"x" * 1000 for _ in range(500))
    answer = channel.stream_unary("/e2e.Test/ClientStreaming")(messages, timeout=PATIENCE)
    assert answer == b"500 messages, 500000 bytes", answer


def check_bidi():
    """Each message waits for the answer to the one before."""
    questions = queue.SimpleQueue()
    call = channel.stream_stream("/e2e.Test/Bidi")(iter(questions.get, None), timeout=PATIENCE)
    for number in range(100):
        questions.put(b"%d" % number)
        assert next(call) == b"echo %d" % number
    questions.put(None)
    assert list(call) == []


def check_status():
    try:
        unary("Fail")(b"it is 100% here", timeout=PATIENCE)
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.ALREADY_EXISTS, error
        assert error.details() == "it is 100% here", error
    else:
        raise AssertionError("no error")


def check_early_status():
    """The answer comes while the client goes on sending."""
    try:
        channel.stream_unary("/e2e.Test/Refuse")(itertools.repeat(b"x" * 1000), timeout=PATIENCE)
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.PERMISSION_DENIED, error
    else:
        raise AssertionError("no error")


def check_unknown_method():
    assert status_of("Nothing") == "UNIMPLEMENTED"


def check_deadline():
    assert status_of("Slow", timeout=0.3) == "DEADLINE_EXCEEDED"
    assert unary("WasCancelled")(b"", timeout=PATIENCE) == b"yes"


def check_large_messages():
    answer = unary("Unary")(b"x" * LARGE, timeout=PATIENCE)
    assert len(answer) == LARGE
    answer = unary("Large")(b"x" * 1024, timeout=PATIENCE, metadata=(("x-times", str(LARGE // 1024)),))
    assert len(answer) == LARGE


def status_of(method, timeout=PATIENCE):
    try:
        unary(method)(b"", timeout=timeout)
    except grpc.RpcError as error:
        return error.code().name
    return "OK"


def calls():
    for name, check in list(globals().items()):
        if name.startswith("check_"):
            check()
            print("ok", name.removeprefix("check_"), flush=True)


def fails():
    print(status_of("Unary"))


def watch():
    stream = channel.unary_stream("/e2e.Test/Forever")(b"", timeout=PATIENCE)
    print(next(stream).decode(), flush=True)
    try:
        for _ in stream:
            pass
    except grpc.RpcError as error:
        print(error.code().name)


what, target, *pem = sys.argv[1:]
if pem:
    with open(pem[0], "rb") as file:
        credentials = grpc.ssl_channel_credentials(file.read())
    name = (("grpc.ssl_target_name_override", "kong_clustering"),)
    channel = grpc.secure_channel(target, credentials, options=[*OPTIONS, *name])
else:
    channel = grpc.insecure_channel(target, options=OPTIONS)
with channel:
    {"calls": calls, "fails": fails, "watch": watch}[what]()
