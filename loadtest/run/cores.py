"""Which CPUs the proxy has, and which the client and the origin.

    cores.py WORKERS PROXY LOAD     PROXY and LOAD: lists such as 0-3,6, or empty

Prints the two lists, the proxy's first. What was not asked for is taken from what the other leaves.
"""

import os
import sys


def main() -> None:
    workers, lists = int(sys.argv[1]), sys.argv[2:4]
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        sys.exit("two CPUs are needed, for the proxy and for the load; this process may use one")
    proxy, load = (listed(text, allowed) for text in lists)
    most = min(len(allowed) // 2, workers)
    proxy = proxy or [cpu for cpu in allowed if cpu not in load][:most]
    load = load or [cpu for cpu in allowed if cpu not in proxy][:most]
    if not proxy or not load or set(proxy) & set(load):
        sys.exit(f"the proxy and the load need CPUs of their own: the proxy has '{written(proxy)}', the load '{written(load)}'")
    print(written(proxy), written(load), sep="\n")


def listed(text: str, allowed: list[int]) -> list[int]:
    """The CPUs that a list names."""
    cpus = set()
    for part in filter(None, text.split(",")):
        first, to, last = part.partition("-")
        try:
            cpus.update(range(int(first), int(last if to else first) + 1))
        except ValueError:
            sys.exit(f"a list of CPUs is as 0-3,6, not '{text}'")
    if text and not cpus or cpus - set(allowed):
        sys.exit(f"this process may use CPUs {written(allowed)}, not '{text}'")
    return sorted(cpus)


def written(cpus: list[int]) -> str:
    return ",".join(map(str, cpus))


main()
