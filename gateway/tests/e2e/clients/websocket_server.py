"""A WebSocket server that says back what it is told, and `bye` when told so. Says where it is."""

from websockets.sync.server import serve


def answer(connection):
    for message in connection:
        if message == "bye":
            connection.close(4001, "as asked")
            return
        connection.send(message)


with serve(answer, "127.0.0.1", 0, max_size=None) as server:
    print(server.socket.getsockname()[1], flush=True)
    server.serve_forever()
