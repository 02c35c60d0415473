"""A WebSocket client: `websocket_client.py URL [PEM]`. Says which exchanges went well."""

import ssl
import sys

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

url, *pem = sys.argv[1:]
context = None
if pem:
    context = ssl.create_default_context(cafile=pem[0])
    context.check_hostname = False
with connect(url, ssl=context, max_size=None, compression="deflate") as connection:
    for name, message in [
        ("text", "häh"),
        ("bytes", bytes(range(256))),
        ("empty", ""),
        ("large", b"x" * (4 * 1024 * 1024)),
    ]:
        connection.send(message)
        assert connection.recv(timeout=60) == message, name
        print("ok", name)
    assert connection.ping().wait(60), "no pong"
    print("ok ping")
    for number in range(100):
        connection.send(str(number))
    assert [connection.recv(timeout=60) for _ in range(100)] == [str(n) for n in range(100)]
    print("ok many")
    connection.send("bye")
    try:
        connection.recv(timeout=60)
    except ConnectionClosed as closed:
        assert (closed.rcvd.code, closed.rcvd.reason) == (4001, "as asked"), closed
        print("ok close")
