"""Holds idle connections: hold.py PORT COUNT PATH. Each has asked once before it falls silent.

Says `open` when all are, and when it is told to end, how many of them the proxy has closed.
"""

import selectors
import signal
import socket
import sys

AT_ONCE = 100  # so that no listener's queue overflows


def main() -> None:
    port, count, path = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    held = []
    while len(held) < count:
        held += ask_many(port, min(AT_ONCE, count - len(held)), path)
    print("open", flush=True)
    signal.sigwait({signal.SIGTERM})
    print("lost", lost(held), flush=True)


def ask_many(port: int, count: int, path: str) -> list[socket.socket]:
    request = f"GET {path} HTTP/1.1\r\nHost: a.test\r\n\r\n".encode()
    streams = [socket.create_connection(("127.0.0.1", port), timeout=30) for _ in range(count)]
    for stream in streams:
        stream.sendall(request)
    for stream in streams:
        read_answer(stream)
    return streams


def read_answer(stream: socket.socket) -> None:
    said = b""
    while b"\r\n\r\n" not in said:
        said += some(stream)
    head, body = said.split(b"\r\n\r\n", 1)
    length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    while len(body) < int(length.split(b":")[1]):
        body += some(stream)


def some(stream: socket.socket) -> bytes:
    got = stream.recv(65536)
    if not got:
        sys.exit("error: the proxy hung up before it had answered")
    return got


def lost(streams: list[socket.socket]) -> int:
    """Nothing is to be read from a connection but its end."""
    with selectors.DefaultSelector() as selector:
        for stream in streams:
            selector.register(stream, selectors.EVENT_READ)
        return len(selector.select(timeout=0))


main()
