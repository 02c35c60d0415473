"""Asks the Admin API of a control plane what single writes, lists and imports cost.

    admin.py write ADMIN CLIENTS SECONDS DIRECTORY   writes/s, beside the flushes/s of the disk under DIRECTORY
    admin.py walk ADMIN PATH ROWS                    how long the pages of a list of so many take
    admin.py file KIND COUNT FILE                    a declarative file of so many routes or consumers
    admin.py import LABEL FILE COMMAND...            how long an import takes, and its memory
    admin.py memory LABEL PID                        what is resident

Each prints a row of a table, and ends with an error where the answers are not what they should be.
"""

import http.client
import json
import math
import os
import selectors
import socket
import sys
import time
from urllib.parse import urlsplit

PAGE = 1000  # entities, which is the most
FLUSHING = 1.0  # seconds, before and after the writes
MIB = 1 << 20


def main() -> None:
    commands = {"write": write, "walk": walk, "file": make_file, "import": run_import, "memory": memory}
    commands[sys.argv[1]](*sys.argv[2:])


# ---- Single writes


def write(admin: str, clients: str, seconds: str, directory: str) -> None:
    """Each client makes a route at a time, on a connection that it keeps, and waits for the reply."""
    reader = http.client.HTTPConnection(urlsplit(admin).netloc, timeout=60)
    put(reader, "/services/load", {"url": "http://127.0.0.1:9"})
    before = position(get(reader, "/audit")["revisions"]["newest"])
    flushes = [flushed(directory)]
    writers = Writers(urlsplit(admin).netloc, int(clients), f"{before[1]:08d}")
    took = writers.run(float(seconds))
    flushes.append(flushed(directory))
    check_log(reader, before, writers.made)
    waits = sorted(writers.waits)
    print(
        f"| {len(waits) / took:,.0f} | {at(waits, 50) * 1000:.1f} | {at(waits, 99) * 1000:.1f} "
        f"| {len(waits):,} | {min(flushes):,.0f}–{max(flushes):,.0f} |"
    )


class Writers:
    """Clients, each with a request under way, looked after by one thread."""

    def __init__(self, address: str, count: int, label: str):
        host, port = address.split(":")
        self.selector = selectors.DefaultSelector()
        self.host, self.label = address.encode(), label
        self.number, self.made, self.waits = 0, [], []
        for _ in range(count):
            stream = socket.create_connection((host, int(port)), timeout=60)
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.selector.register(stream, selectors.EVENT_READ, {"said": b""})

    def run(self, seconds: float) -> float:
        """For so long, and until the last is answered. Returns how long that was."""
        begun = time.perf_counter()
        streams = list(self.selector.get_map().values())
        for key in streams:
            self.ask(key)
        asking = len(streams)
        while asking:
            ready = self.selector.select(60)
            if not ready:
                sys.exit("error: a write was not answered within a minute")
            for key, _ in ready:
                if not self.read(key):
                    continue
                if time.perf_counter() - begun < seconds:
                    self.ask(key)
                else:
                    asking -= 1
        return time.perf_counter() - begun

    def ask(self, key) -> None:
        name = f"w-{self.label}-{self.number:08d}"
        body = b'{"paths":["/%s"]}' % name.encode()
        head = b"PUT /services/load/routes/%s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        self.number += 1
        key.data.update(name=name, begun=time.perf_counter(), said=b"")
        key.fileobj.sendall(head % (name.encode(), self.host, len(body)) + body)

    def read(self, key) -> bool:
        """Whether the answer is whole."""
        piece = key.fileobj.recv(65536)
        said = key.data["said"] = key.data["said"] + piece
        head, end, body = said.partition(b"\r\n\r\n")
        if not piece:
            sys.exit(f"error: hung up on after {said!r}")
        if not end or len(body) < content_length(head):
            return False
        if not said.startswith(b"HTTP/1.1 200 "):
            sys.exit(f"error: {key.data['name']} was answered {said[:500]!r}")
        self.made.append(key.data["name"])
        self.waits.append(time.perf_counter() - key.data["begun"])
        return True


def content_length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.split(b":")[1])
    sys.exit(f"error: an answer without a length: {head!r}")


def check_log(reader, before: tuple[int, int], made: list[str]) -> None:
    """Every write that was acknowledged is a revision, one follows the other, and there are no more."""
    path, expected, logged = f"/audit/revisions?size={PAGE}", None, []
    while path:
        page = get(reader, path)
        for row in page["data"]:
            here = (row["epoch"], row["version"])
            if here == before:
                path = None
                break
            if expected not in (None, here):
                sys.exit(f"error: revision {expected} is missing from the log, which has {here}")
            expected = (here[0], here[1] - 1)
            logged.append(row["what"].rsplit("/", 1)[1])
        else:
            path = page["next"]
    if expected != before or sorted(logged) != sorted(made):
        sys.exit(f"error: {len(made)} writes were acknowledged, the log has {len(logged)} down to {expected}")


def flushed(directory: str) -> float:
    """Flushes a second, of a file that 4 KiB are added to each time: what a commit waits for at least."""
    path, count, begun = os.path.join(directory, "flushed"), 0, time.perf_counter()
    file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    while time.perf_counter() - begun < FLUSHING:
        os.write(file, bytes(4096))
        os.fdatasync(file)
        count += 1
    took = time.perf_counter() - begun
    os.close(file)
    os.remove(path)
    return count / took


# ---- Lists


def walk(admin: str, path: str, rows: str) -> None:
    """All of the list, page by page, each row once."""
    connection = http.client.HTTPConnection(urlsplit(admin).netloc, timeout=60)
    waits, sizes, seen, last = [], [], 0, ""
    following = f"{path}?size={PAGE}"
    while following:
        begun = time.perf_counter()
        connection.request("GET", following)
        answer = connection.getresponse()
        text = answer.read()
        waits.append(time.perf_counter() - begun)
        sizes.append(len(text))
        if answer.status != 200:
            sys.exit(f"error: {following} was answered {answer.status}")
        page = json.loads(text)
        for row in page["data"]:
            if row["id"] <= last:
                sys.exit(f"error: {row['id']} comes after {last}")
            last = row["id"]
        seen += len(page["data"])
        following = page["next"]
    if seen != int(rows):
        sys.exit(f"error: {seen} of {rows} rows are in the list")
    waits.sort()
    cells = [f"{at(waits, percent) * 1000:.1f}" for percent in (50, 99, 100)]
    print(f"| {seen:,} | {len(waits):,} | {sum(sizes) / len(sizes) / 1024:.0f} | {' | '.join(cells)} |")


# ---- Imports


def make_file(kind: str, count: str, path: str) -> None:
    """As people have them: blocks of YAML, routes below their services, a hundred each."""
    with open(path, "w", encoding="ascii") as file:
        file.write(f'_format_version: "3.0"\n_transform: true\n{"services" if kind == "routes" else kind}:\n')
        for number in range(int(count)):
            if kind == "consumers":
                file.write(f"- username: consumer-{number:07d}\n  custom_id: c{number:07d}\n")
                continue
            if number % 100 == 0:
                file.write(f"- name: service-{number:07d}\n  url: http://127.0.0.1:9/{number}\n  routes:\n")
            file.write(
                f"  - name: route-{number:07d}\n    hosts:\n    - host-{number % 1000}.test\n"
                f"    paths:\n    - /v1/resource-{number:07d}\n    methods:\n    - GET\n    - POST\n    tags:\n    - team-{number % 50}\n"
            )


def run_import(label: str, path: str, *command: str) -> None:
    begun = time.perf_counter()
    child = os.spawnvp(os.P_NOWAIT, command[0], command)
    _, status, usage = os.wait4(child, 0)
    took = time.perf_counter() - begun
    if status:
        sys.exit(f"error: {command} ended with {os.waitstatus_to_exitcode(status)}")
    print(
        f"| {label} | {os.path.getsize(path) / MIB:.1f} | {took:.1f} | {usage.ru_utime:.1f} "
        f"| {usage.ru_stime:.1f} | {usage.ru_maxrss / 1024:.0f} |"
    )


def memory(label: str, pid: str) -> None:
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        lines = dict(line.split(":", 1) for line in status)
    cells = [f"{int(lines[name].split()[0]) / 1024:.0f}" for name in ("VmRSS", "VmHWM")]
    print(f"| {label} | {' | '.join(cells)} |")


# ---- What all have in common


def get(connection, path: str):
    connection.request("GET", path)
    return understood(connection.getresponse(), path)


def put(connection, path: str, body) -> None:
    connection.request("PUT", path, json.dumps(body), {"Content-Type": "application/json"})
    understood(connection.getresponse(), path)


def understood(answer, path: str):
    text = answer.read()
    if answer.status != 200:
        sys.exit(f"error: {path} was answered {answer.status} {text[:500]!r}")
    return json.loads(text)


def position(text: str) -> tuple[int, int]:
    epoch, version = text.split(".")
    return int(epoch), int(version)


def at(values: list[float], percent: int) -> float:
    """The nearest rank, of sorted values."""
    return values[math.ceil(len(values) * percent / 100) - 1]


if __name__ == "__main__":
    main()
