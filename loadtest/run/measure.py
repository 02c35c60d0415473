"""One turn of one proxy: runs a client and prints, as a line of JSON, what it saw and what that cost.

    measure.py --proxy NAME --pid PID [--scenario NAME --round N] [--status URL] [--say] -- COMMAND...

The cost is that of the proxy's whole process tree, all threads, from /proc: user and system time
over the requests that were answered, and resident memory when the load ends. With --status, the
connections and requests of each of a gateway's workers. COMMAND is wrk with wrk.lua, or h2load.
"""

import argparse
import json
import math
import os
import re
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def main() -> None:
    options = read_options()
    watcher = Workers(options.status) if options.status else None
    before = cpu(options.pid)
    begun = time.monotonic()
    with subprocess.Popen(options.command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as client:
        said, _ = client.communicate()
        took = time.monotonic() - begun
    after = cpu(options.pid)
    resident = memory(options.pid)
    if client.returncode != 0:
        sys.exit(f"error: {options.command[0]} failed: {said.strip()}")
    turn = {"scenario": options.scenario, "round": options.round, "proxy": options.proxy}
    turn |= (of_h2load if options.command[0] == "h2load" else of_wrk)(said, options.command)
    if not turn["requests"]:
        sys.exit(f"error: {options.proxy} answered nothing: {said.strip()}")
    user, system = ((now - then) * 1e6 / TICKS / turn["requests"] for now, then in zip(after, before))
    turn |= {"cpu_us": user + system, "user_us": user, "system_us": system, "rss_mib": resident / 2**20}
    turn |= {"busy": (user + system) * turn["requests"] / 1e6 / took}
    turn |= {"workers": watcher.shares()} if watcher else {}
    if options.say:
        print(in_words(turn), file=sys.stderr)
    print(json.dumps(turn))


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--proxy", required=True)
    parser.add_argument("--pid", type=int, required=True)
    parser.add_argument("--scenario", default="")
    parser.add_argument("--round", type=int, default=0)
    parser.add_argument("--status")
    parser.add_argument("--say", action="store_true")
    parser.add_argument("command", nargs="+")
    return parser.parse_args()


def in_words(turn: dict) -> str:
    errors = sum(turn["errors"].values())
    return (
        f"    round {turn['round']}: {turn['proxy']:<16} {turn['requests_per_second']:>8.0f}/s {turn['cpu_us']:>7.1f} µs "
        f"p99 {turn['p99_ms']:.2f} ms, {turn['busy']:.0%} busy" + (f", {errors} errors" if errors else "")
    )


# ---- What the client says


def of_wrk(said: str, _: list[str]) -> dict:
    found = re.search(r"^RESULT (\{.*\})$", said, re.MULTILINE)
    if not found:
        sys.exit(f"error: wrk said nothing of use: {said.strip()}")
    result = json.loads(found[1])
    result["requests_per_second"] = result["requests"] / result.pop("seconds")
    return result


def of_h2load(said: str, command: list[str]) -> dict:
    """Its own summary has no percentiles; its log has a line per request: start, status, µs."""
    log = Path(command[command.index("--log-file") + 1])
    lines = [line.split("\t") for line in log.read_text(encoding="ascii").splitlines()]
    log.unlink()
    rate = re.search(r"^finished in .*?, ([0-9.]+) req/s", said, re.MULTILINE)
    failed = re.search(r"(\d+) failed, (\d+) errored, (\d+) timeout", said)
    if not rate or not failed or "Application protocol: h2\n" not in said:
        sys.exit(f"error: h2load said nothing of use: {said.strip()}")
    took = sorted(int(line[2]) / 1000 for line in lines)
    return {
        "requests": len(took),
        "requests_per_second": float(rate[1]),
        "p50_ms": at(took, 50),
        "p99_ms": at(took, 99),
        "p999_ms": at(took, 99.9),
        "errors": {"failed": int(failed[1]), "status": sum(line[1] != "200" for line in lines)},
    }


def at(values: list[float], percent: float) -> float:
    """The nearest rank, of sorted values."""
    return values[math.ceil(len(values) * percent / 100) - 1] if values else 0.0


# ---- What it costs


def tree(root: int) -> list[int]:
    """A process and all that come from it."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        fields = stat(int(folder.name))
        if fields:
            children.setdefault(int(fields[1]), []).append(int(folder.name))
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found


def stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third on; nothing if it has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(") ", 1)[1].split()
    except OSError:
        return []


def cpu(root: int) -> tuple[int, int]:
    """Ticks of user and system time, those of children that have ended included."""
    found = [fields for pid in tree(root) if (fields := stat(pid))]
    return sum(int(f[11]) + int(f[13]) for f in found), sum(int(f[12]) + int(f[14]) for f in found)


def memory(root: int) -> int:
    """Resident bytes; what processes share is counted for each."""
    return sum(int(fields[21]) for pid in tree(root) if (fields := stat(pid))) * os.sysconf("SC_PAGE_SIZE")


class Workers:
    """How a gateway's workers share the load: asked before, in the midst of it, and after."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.before = self.ask()
        self.amidst: list[dict] = []
        threading.Timer(0.7, lambda: self.amidst.extend(self.ask())).start()

    def ask(self) -> list[dict]:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(self.url, timeout=5) as answer:
            return json.load(answer)["workers"]

    def shares(self) -> dict:
        requests = Counter({worker["worker"]: worker["total_requests"] for worker in self.ask()})
        requests.subtract({worker["worker"]: worker["total_requests"] for worker in self.before})
        connections = [worker["connections_active"] for worker in self.amidst]
        return {
            "connections": connections,
            "requests": list(requests.values()),
            "connections_skew": skew(connections),
            "requests_skew": skew(list(requests.values())),
        }


def skew(counts: list[int]) -> float:
    """The busiest over the mean."""
    return max(counts) * len(counts) / sum(counts) if sum(counts) else 0.0


if __name__ == "__main__":
    main()
