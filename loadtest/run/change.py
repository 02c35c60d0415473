"""Changes the configuration at a steady rate: change.py ADMIN SERVICE PER_SECOND, until told to end.

Each change gives one of a hundred routes another path. Says how many were made.
"""

import http.client
import signal
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import routes  # noqa: E402

ROUTES = 100


def main() -> None:
    admin, service, rate = sys.argv[1], sys.argv[2], int(sys.argv[3])
    signal.signal(signal.SIGTERM, lambda *_: end())
    connection = http.client.HTTPConnection(urlsplit(admin).netloc, timeout=30)
    begun = time.monotonic()
    while True:
        time.sleep(max(0.0, begun + Made.count / rate - time.monotonic()))
        routes.make(connection, service, f"change-{Made.count % ROUTES}", f"/change/{time.time_ns()}")
        Made.count += 1


class Made:
    count = 0


def end() -> None:
    print("made", Made.count, flush=True)
    sys.exit(0)


main()
