"""Measures how long a change takes from the Admin API's reply to being served.

    push.py ADMIN PROXY SERVICE PUSHES SIZE...

For each size it fills the configuration up to that many routes, then makes PUSHES routes, one after
another, and asks the data plane for each until it is served on every one of several connections,
which the kernel spreads over the workers. The clock starts when the Admin API's reply has been read.
"""

import http.client
import math
import sys
import time
from urllib.parse import urlsplit

import routes

CONNECTIONS = 4
PATIENCE = 10.0  # seconds for one change to be served


def main() -> None:
    admin, proxy, service, pushes, sizes = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), sys.argv[5:]
    writer = http.client.HTTPConnection(urlsplit(admin).netloc, timeout=30)
    readers = [http.client.HTTPConnection(urlsplit(proxy).netloc, timeout=30) for _ in range(CONNECTIONS)]
    print("| routes | pushes | p50 ms | p99 ms | max ms | Admin reply p50 ms | one look ms |")
    print("|--:|--:|--:|--:|--:|--:|--:|")
    for size in map(int, sizes):
        routes.fill(admin, service, size)
        push(writer, readers, service, f"settle-{size:06d}")  # what filling set going is over
        measured = [push(writer, readers, service, f"{size:06d}-{number:06d}") for number in range(pushes)]
        served, replied, looks, looked = (sorted(values) for values in zip(*measured))
        print(
            f"| {size} | {pushes} | {at(served, 50):.2f} | {at(served, 99):.2f} | {served[-1]:.2f} "
            f"| {at(replied, 50):.2f} | {sum(looked) / sum(looks):.2f} |"
        )


def push(writer, readers, service: str, name: str) -> tuple[float, float, int, float]:
    """Times in ms: reply to served, request to reply; how many looks were taken, and for how long."""
    path = f"/push/{name}"
    begun = time.perf_counter()
    routes.make(writer, service, f"push-{name}", path)
    replied = time.perf_counter()
    waiting, looks = list(readers), 0
    while waiting:
        waiting = [reader for reader in waiting if not is_served(reader, path)]
        looks += 1
        if time.perf_counter() - replied > PATIENCE:
            sys.exit(f"error: {path} is not served {PATIENCE} s after the Admin API's reply")
    served = time.perf_counter()
    return ms(served - replied), ms(replied - begun), looks, ms(served - replied)


def is_served(reader: http.client.HTTPConnection, path: str) -> bool:
    reader.request("GET", path)
    answer = reader.getresponse()
    answer.read()
    if answer.status not in (200, 404):
        sys.exit(f"error: {path} answered {answer.status}")
    return answer.status == 200


def ms(seconds: float) -> float:
    return seconds * 1000


def at(values: list[float], percent: int) -> float:
    """The nearest rank, of sorted values."""
    return values[math.ceil(len(values) * percent / 100) - 1]


if __name__ == "__main__":
    main()
