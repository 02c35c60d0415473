"""Opens idle connections to a gateway and says what each costs it.

Usage: idle.py PID CLEARTEXT_PORT TLS_PORT COUNT KIND

Each kind wants a gateway of its own: memory that one gave back is what the next would take.
"""

import socket
import ssl
import sys
import time

ASK = b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"


def resident(pid):
    """Bytes of memory of the process that are nobody else's."""
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        for line in status:
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
    raise RuntimeError("no RssAnon")


def answer(stream):
    """Reads one whole answer."""
    said = b""
    while b"\r\n\r\n" not in said:
        said += piece(stream)
    head, body = said.split(b"\r\n\r\n", 1)
    length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    while len(body) < int(length[0].split(b":")[1]):
        body += piece(stream)


def piece(stream):
    """Some of it."""
    got = stream.recv(4096)
    if not got:
        raise RuntimeError("the gateway hung up")
    return got


def client_context():
    """One that trusts anybody: the certificate is made at start."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def open_one(address, context, asks, http2):
    """One connection, after what it is to have done."""
    stream = socket.create_connection(address, timeout=60)
    if context:
        stream = context.wrap_socket(stream, server_hostname="a.test")
    if http2:
        stream.sendall(PREFACE)
        piece(stream)
    if asks:
        stream.sendall(ASK)
        answer(stream)
    return stream


def settled(pid):
    """What is resident once it no longer changes."""
    last = resident(pid)
    for _ in range(20):
        time.sleep(0.25)
        now = resident(pid)
        if abs(now - last) < 64 * 1024:
            return now
        last = now
    return last


def cost(pid, address, count, context=None, asks=False, http2=False):
    """Bytes each of `count` connections costs, opened beside some that came before."""
    before_that = [open_one(address, context, asks, http2) for _ in range(100)]
    before = settled(pid)
    streams = [open_one(address, context, asks, http2) for _ in range(count)]
    grown = settled(pid) - before
    for stream in before_that + streams:
        stream.close()
    return grown / count


# What they have done, their target in KiB, and: over TLS, after a request, in HTTP/2.
KINDS = {
    "cleartext": ("cleartext, nothing said", 8, False, False, False),
    "cleartext-asked": ("cleartext, after a request", 8, False, True, False),
    "tls": ("TLS, after its handshake", 20, True, False, False),
    "tls-asked": ("TLS, after a request", 20, True, True, False),
    "http2": ("HTTP/2 in cleartext, settings exchanged", None, False, False, True),
}


def main():
    pid, cleartext, tls, count = map(int, sys.argv[1:5])
    name, target, over_tls, asks, http2 = KINDS[sys.argv[5]]
    address = ("127.0.0.1", tls if over_tls else cleartext)
    context = client_context() if over_tls else None
    each = cost(pid, address, count, context, asks, http2)
    print(f"| {name} | {each:.0f} | {target * 1024 if target else ''} |")


main()
