#!/usr/bin/env bash
# From the Admin API's reply to a change being served, at several sizes of the configuration.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=loadtest/lib.sh
source loadtest/lib.sh

usage() {
    cat <<'END'
Usage: loadtest/push.sh [OPTION...]

  --pushes N      changes at each size (200)
  --sizes "N..."  routes in the configuration, ascending ("100 10000")
  --keep          leave the report in loadtest/runs/

Variables: USE_GATEWAY=FILE (build nothing), LOADTEST_PORT=19000 (the first of seven ports).
END
}

PUSHES=200 SIZES=(100 10000) KEEP=no

main() {
    read_options "$@"
    need curl python3
    begin 7
    prepare_planes "proxy_access_log = off"
    start_control_plane
    start_data_plane
    start_origin
    put services/push "{\"url\": \"http://127.0.0.1:$ORIGIN_PORT/hello.txt\"}"
    describe >"$DIR/report.md"
    python3 -B loadtest/push.py "$ADMIN" "$PROXY" push "$PUSHES" "${SIZES[@]}" >>"$DIR/report.md"
    report "$DIR/report.md" push
}

read_options() {
    local size
    while (($#)); do
        case $1 in
            --keep) KEEP=yes && shift ;;
            --pushes) number "$1" "${2:-}" && PUSHES=$2 && shift 2 ;;
            --sizes)
                read -ra SIZES <<<"${2:-}"
                for size in "${SIZES[@]:-}"; do number "$1" "$size"; done
                shift 2
                ;;
            -h | --help) usage && exit 0 ;;
            *) usage >&2 && exit 2 ;;
        esac
    done
}

start_origin() {
    mkdir -p "$DIR/site"
    echo "served" >"$DIR/site/hello.txt"
    spawn origin python3 -m http.server --bind 127.0.0.1 --directory "$DIR/site" "$ORIGIN_PORT"
    wait_for 30 "the origin answers" answers "http://127.0.0.1:$ORIGIN_PORT/hello.txt"
}

describe() {
    cat <<END
# From the Admin API's reply to served, $(date -u +%Y-%m-%d)

$(gateway_version); $(hardware).
One control plane, one data plane, both unpinned, with the client and the origin on the same cores.
A change is a new route; it counts as served when 4 connections to the data plane have all found it.
'One look' is how long asking all 4 takes: the resolution of the clock.

END
}

main "$@"
