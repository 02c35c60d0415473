"""A gRPC server: `grpc_server.py PORT` listens there, or anywhere for 0, and says where.

Messages are bytes as they are, so nothing has to be generated."""

import sys
import threading
import time
from concurrent import futures

import grpc

cancelled = threading.Semaphore(0)


def unary(message, context):
    sent = dict(context.invocation_metadata())
    context.send_initial_metadata((("x-initial", sent.get("x-asked", "")),))
    context.set_trailing_metadata((("x-trailing-bin", b"\x00\xff"),))
    return message


def large(message, context):
    return message * int(dict(context.invocation_metadata())["x-times"])


def server_streaming(message, context):
    for number in range(int(message)):
        yield b"%d" % number


def client_streaming(messages, context):
    lengths = [len(message) for message in messages]
    return b"%d messages, %d bytes" % (len(lengths), sum(lengths))


def bidi(messages, context):
    for message in messages:
        yield b"echo " + message


def refuse(messages, context):
    context.abort(grpc.StatusCode.PERMISSION_DENIED, "not from you")


def fail(message, context):
    context.abort(grpc.StatusCode.ALREADY_EXISTS, message.decode())


def slow(message, context):
    over = threading.Event()
    context.add_callback(over.set)
    over.wait(60)
    cancelled.release()
    return b"too late"


def was_cancelled(message, context):
    return b"yes" if cancelled.acquire(timeout=20) else b"no"


def forever(message, context):
    while context.is_active():
        yield b"tick"
        time.sleep(0.05)


METHODS = {
    "Unary": grpc.unary_unary_rpc_method_handler(unary),
    "Large": grpc.unary_unary_rpc_method_handler(large),
    "ServerStreaming": grpc.unary_stream_rpc_method_handler(server_streaming),
    "ClientStreaming": grpc.stream_unary_rpc_method_handler(client_streaming),
    "Bidi": grpc.stream_stream_rpc_method_handler(bidi),
    "Refuse": grpc.stream_unary_rpc_method_handler(refuse),
    "Fail": grpc.unary_unary_rpc_method_handler(fail),
    "Slow": grpc.unary_unary_rpc_method_handler(slow),
    "WasCancelled": grpc.unary_unary_rpc_method_handler(was_cancelled),
    "Forever": grpc.unary_stream_rpc_method_handler(forever),
}

server = grpc.server(
    futures.ThreadPoolExecutor(32),
    options=[("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)],
)
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("e2e.Test", METHODS),))
port = server.add_insecure_port(f"127.0.0.1:{sys.argv[1]}")
server.start()
print(port, flush=True)
server.wait_for_termination()
