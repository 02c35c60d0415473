#!/usr/bin/env bash
# What an idle connection costs in memory, in cleartext and over TLS.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=loadtest/lib.sh
source loadtest/lib.sh

usage() {
    cat <<'END'
Usage: loadtest/idle.sh [OPTION...]

  --connections N  of each kind (5000)
  --keep           leave the report in loadtest/runs/

Variables: USE_GATEWAY=FILE (build nothing), LOADTEST_PORT=19000 (the first of seven ports).
END
}

CONNECTIONS=5000 KEEP=no

main() {
    read_options "$@"
    need curl python3
    ulimit -n "$((2 * CONNECTIONS + 1000))" ||
        die "may not open $((2 * CONNECTIONS + 1000)) files: raise ulimit -n, or take fewer --connections"
    begin 7
    describe >"$DIR/report.md"
    local kind
    for kind in cleartext cleartext-asked tls tls-asked http2; do
        start_node
        python3 -B loadtest/idle.py "${CHILD[node]}" "$PROXY_PORT" "$TLS_PORT" "$CONNECTIONS" "$kind" >>"$DIR/report.md"
        stop node
    done
    report "$DIR/report.md" idle
}

read_options() {
    while (($#)); do
        case $1 in
            --keep) KEEP=yes && shift ;;
            --connections) number "$1" "${2:-}" && CONNECTIONS=$2 && shift 2 ;;
            -h | --help) usage && exit 0 ;;
            *) usage >&2 && exit 2 ;;
        esac
    done
}

# One node without a database or a route: it answers 404 itself.
start_node() {
    cat >"$DIR/node.conf" <<END
prefix = $DIR/node
database = off
workers = 1
admin_listen = 127.0.0.1:$ADMIN_PORT
proxy_listen = 127.0.0.1:$PROXY_PORT http2, 127.0.0.1:$TLS_PORT ssl http2
proxy_access_log = off
admin_gui_listen = off
status_listen = off
END
    spawn node "$GATEWAY" start -c "$DIR/node.conf"
    wait_for 30 "the node answers" speaks_http
}

# With a 404, which is an answer.
speaks_http() { http --output /dev/null "http://127.0.0.1:$PROXY_PORT/" 2>/dev/null; }

describe() {
    cat <<END
# What an idle connection costs, $(date -u +%Y-%m-%d)

$(gateway_version); $(hardware).
One worker, a fresh node for each row. Growth of RssAnon over $CONNECTIONS connections of each kind, beside 100 of the same kind
that came before, divided by their number. What the kernel keeps for a socket is on top.

| connection | bytes each | target |
|---|---:|---:|
END
}

main "$@"
