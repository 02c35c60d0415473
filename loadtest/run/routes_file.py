"""Prints a declarative file: routes_file.py UPSTREAM COUNT [PORT]. The last of the routes is /load; streams
that come to PORT go to the same upstream."""

import json
import sys


def main() -> None:
    upstream, count = sys.argv[1], int(sys.argv[2])
    routes = [{"name": f"fill-{number:06d}", "paths": [f"/fill/{number:06d}"]} for number in range(count - 1)]
    routes.append({"name": "load", "paths": ["/load"]})
    services = [{"name": "load", "url": upstream, "routes": routes}]
    for port in sys.argv[3:]:
        route = {"name": "streams", "protocols": ["tcp"], "destinations": [{"port": int(port)}]}
        services.append({"name": "streams", "url": upstream.replace("http:", "tcp:"), "routes": [route]})
    json.dump({"_format_version": "3.0", "services": services}, sys.stdout)


main()
