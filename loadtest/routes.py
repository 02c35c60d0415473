"""Makes routes through the Admin API: routes.py ADMIN SERVICE COUNT.

Several connections at once, as the control plane commits together what queues up together. Routes
that are there already are left as they are.
"""

import http.client
import json
import sys
import threading
from urllib.parse import urlsplit

CONNECTIONS = 8


def fill(admin: str, service: str, count: int) -> None:
    """Routes /fill/000000 and up, `count` of them, all made when this returns."""
    numbers = iter(range(count))
    taking = threading.Lock()
    failures: list[str] = []

    def take():
        with taking:
            return next(numbers, None)

    def work():
        connection = http.client.HTTPConnection(urlsplit(admin).netloc, timeout=30)
        while not failures and (number := take()) is not None:
            try:
                make(connection, service, f"fill-{number:06d}", f"/fill/{number:06d}")
            except (OSError, http.client.HTTPException, ValueError) as error:
                failures.append(repr(error))

    threads = [threading.Thread(target=work) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        sys.exit(f"error: {failures[0]}")


def make(connection: http.client.HTTPConnection, service: str, name: str, path: str) -> None:
    """One route; returns once the Admin API has said that it is made."""
    body = json.dumps({"paths": [path]})
    headers = {"Content-Type": "application/json"}
    connection.request("PUT", f"/services/{service}/routes/{name}", body, headers)
    answer = connection.getresponse()
    text = answer.read()
    if answer.status not in (200, 201):
        raise ValueError(f"{answer.status} {text.decode(errors='replace')}")


if __name__ == "__main__":
    fill(sys.argv[1], sys.argv[2], int(sys.argv[3]))
