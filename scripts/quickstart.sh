#!/usr/bin/env bash
# From a fresh machine with Rust to a request through a hybrid cluster.
#
# Everything written is under .quickstart/: the pair of the cluster, the configuration and the state of
# both planes, their logs. Running it again goes on with what is there; `rm -r .quickstart` starts over.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib/needs.sh
source scripts/lib/needs.sh
# shellcheck source=scripts/lib/processes.sh
source scripts/lib/processes.sh
# shellcheck source=scripts/lib/cluster.sh
source scripts/lib/cluster.sh

usage() {
    cat <<'END'
Usage: scripts/quickstart.sh [--check | --build-only]

Builds the gateway, runs a control plane and a data plane joined by mutual TLS, and sends a request
through them. Stays up until Ctrl-C.

  --check       assert every step, restart the data plane without its control plane, and exit
  --build-only  stop once everything is built

Variables:
  QUICKSTART_PROXY_PORT=8000      where the data plane serves clients
  QUICKSTART_ADMIN_PORT=8001      the control plane's Admin API
  QUICKSTART_CLUSTER_PORT=8005    where the control plane expects data planes
  QUICKSTART_STATUS_PORT=8007     health of the data plane
  QUICKSTART_CP_STATUS_PORT=8008  health of the control plane
  QUICKSTART_ORIGIN_PORT=8009     the web server behind the gateway
  USE_GATEWAY=FILE                use this program and build nothing
END
}

PROXY_PORT=${QUICKSTART_PROXY_PORT:-8000}
ADMIN_PORT=${QUICKSTART_ADMIN_PORT:-8001}
CLUSTER_PORT=${QUICKSTART_CLUSTER_PORT:-8005}
STATUS_PORT=${QUICKSTART_STATUS_PORT:-8007}
CP_STATUS_PORT=${QUICKSTART_CP_STATUS_PORT:-8008}
ORIGIN_PORT=${QUICKSTART_ORIGIN_PORT:-8009}
DIR=$PWD/.quickstart

main() {
    case "${1:-}" in
        '' | --check | --build-only) ;;
        -h | --help) usage && return ;;
        *) usage >&2 && return 2 ;;
    esac
    only_one
    [[ ${1:-} == --build-only ]] || check_ports # before a build of minutes
    say "Building the gateway"
    build_gateway
    [[ ${1:-} != --build-only ]] || return 0
    prepare
    run_control_plane
    run_origin
    run_data_plane
    configure
    send_request
    if [[ ${1:-} == --check ]]; then check; else stay; fi
}

check_ports() {
    need_ports QUICKSTART_PROXY_PORT="$PROXY_PORT" QUICKSTART_ADMIN_PORT="$ADMIN_PORT" \
        QUICKSTART_CLUSTER_PORT="$CLUSTER_PORT" QUICKSTART_STATUS_PORT="$STATUS_PORT" \
        QUICKSTART_CP_STATUS_PORT="$CP_STATUS_PORT" QUICKSTART_ORIGIN_PORT="$ORIGIN_PORT"
}

prepare() {
    say "Preparing $DIR"
    prepare_planes
    check_ports
    note "cluster.crt, cluster.key: the pair that both planes share (gateway hybrid gen_cert)"
    note "control-plane.conf, data-plane.conf: what they are started with"
    mkdir -p "$DIR/site"
    printf 'Hello from the origin, through the gateway.\n' >"$DIR/site/hello.txt"
}

run_control_plane() {
    say "Starting the control plane"
    start_control_plane
    note "pid ${CHILD[control-plane]}, Admin API at $ADMIN"
}

run_origin() {
    local url=http://127.0.0.1:$ORIGIN_PORT/hello.txt
    say "Starting an origin (python3 -m http.server)"
    spawn origin python3 -m http.server --bind 127.0.0.1 --directory "$DIR/site" "$ORIGIN_PORT"
    wait_for 30 "the origin answers" http --fail --output /dev/null "$url" 2>/dev/null
    note "pid ${CHILD[origin]}, $url"
}

run_data_plane() {
    say "Starting the data plane"
    start_data_plane
    note "pid ${CHILD[data-plane]}, connected to 127.0.0.1:$CLUSTER_PORT by mutual TLS"
}

# PUT makes them or leaves them as they are, so a second run finds what it needs.
configure() {
    say "Creating a service and a route through the Admin API"
    tell services/quickstart "{\"url\": \"http://127.0.0.1:$ORIGIN_PORT/hello.txt\"}"
    tell services/quickstart/routes/quickstart '{"paths": ["/hello"]}'
    wait_for 10 "the data plane serves what the control plane has" in_step
    note "both planes are at configuration $(served_hash)"
}

tell() {
    note "curl -X PUT $ADMIN/$1 -H 'Content-Type: application/json' -d '$2'"
    put "$@"
}

send_request() {
    say "Sending a request through the data plane"
    note "curl -i $PROXY/hello"
    http --include "$PROXY/hello" | tr -d '\r' | sed 's/^/    | /'
}

check() {
    say "Checking"
    assert "the Admin API shows the service" has_service
    assert "the data plane is listed, connected, with the hash it serves" in_step
    assert "the hash is that of a configuration, not of none" has_hash
    assert "the body is the origin's file, byte for byte" same_body
    assert "the response says who carried it (Via)" has_via
    assert "a path without a route is a 404 that says so" has_404
    stop data-plane
    stop control-plane
    assert "nobody serves while both planes are stopped" is_down
    start_plane data-plane
    assert "the data plane serves after a restart, without its control plane" comes_back
    stop_all
    say "All of it holds ($SECONDS s)"
}

assert() {
    "${@:2}" || die "not so: $1 (logs: $DIR/*.log)"
    note "ok: $1"
}

has_service() { [[ $(get_json "$ADMIN/services/quickstart" port) == "$ORIGIN_PORT" ]]; }
has_hash() { [[ $(served_hash) =~ ^[0-9a-f]{32}$ && $(served_hash) =~ [1-9a-f] ]]; }
same_body() { http --fail "$PROXY/hello" 2>/dev/null | cmp --silent - "$DIR/site/hello.txt"; }
has_via() { http --dump-header - --output /dev/null "$PROXY/hello" | grep -qi '^via: .*gateway/'; }
has_404() { [[ $(http --write-out '%{http_code}' "$PROXY/nowhere") == *'no Route matched with those values'*404 ]]; }
is_down() { ! http --output /dev/null "$PROXY/hello" 2>/dev/null; }
comes_back() { wait_for 30 "the data plane serves from its cache" same_body; }

stay() {
    say "Up, after $SECONDS s. To try:"
    cat <<END

    curl -i $PROXY/hello
    curl $ADMIN/services
    curl $ADMIN/clustering/data-planes
    curl http://127.0.0.1:$STATUS_PORT/status

    Another route:
    curl -X PUT $ADMIN/services/quickstart/routes/more \\
        -H 'Content-Type: application/json' -d '{"paths": ["/more"]}'
    curl -i $PROXY/more

    The logs are $DIR/*.log.
    Stop the control plane (kill ${CHILD[control-plane]}): the data plane goes on serving.
    Ctrl-C ends it all.
END
    watch_over
}

# Until something that should go on has ended. The control plane may: that is the point of having two.
watch_over() {
    local pid name
    # What bash says of a process that was killed is said better below.
    while wait -n -p pid "${CHILD[@]}" 2>/dev/null || [[ -n ${pid:-} ]]; do
        for name in "${!CHILD[@]}"; do
            [[ ${CHILD[$name]} == "$pid" ]] || continue
            [[ $name == control-plane ]] || ended "$name"
            unset "CHILD[$name]"
            say "The control plane has ended; the data plane goes on without it."
        done
    done
}

main "$@"
