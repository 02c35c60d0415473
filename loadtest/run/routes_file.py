"""Prints a declarative file: routes_file.py UPSTREAM COUNT. The last of the routes is /load."""

import json
import sys


def main() -> None:
    upstream, count = sys.argv[1], int(sys.argv[2])
    routes = [{"name": f"fill-{number:06d}", "paths": [f"/fill/{number:06d}"]} for number in range(count - 1)]
    routes.append({"name": "load", "paths": ["/load"]})
    json.dump({"_format_version": "3.0", "services": [{"name": "load", "url": upstream, "routes": routes}]}, sys.stdout)


main()
