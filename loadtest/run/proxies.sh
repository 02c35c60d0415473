# shellcheck shell=bash
# The proxies of run.sh: ours and the rivals, how each is started, and where it listens. Sourced.
#
# A rival is a folder of loadtest/rivals with a rival.sh, which says RIVAL_SPEAKS (of http, https,
# http2, tcp) and has `rival_version` (a line; fails where the rival cannot run, and may say why) and
# `rival_start`.

PROXIES=()  # names of those that run, in the order of the table
VERSIONS=() # a line of each: name and version
SKIPPED=()  # a line for all that could not be measured
RUNNING=()  # those that a scenario has started
on_load=()  # what puts a command on the load's cores

skip() {
    note "skipped: $*" >&2
    SKIPPED+=("$*")
}

# json KEY VALUE...: as an object, on a line.
json() { python3 -c 'import json, sys; print(json.dumps(dict(zip(sys.argv[1::2], sys.argv[2::2]))))' "$@"; }

# Ours, and of the rivals those that are named, or all that are here.
choose_proxies() {
    local each name version named=${#RIVALS[@]}
    for each in "${GATEWAYS[@]}"; do
        PROXIES+=("${each%%:*}")
        VERSIONS+=("${each%%:*} ($(gateway_version), ${each##*: })")
    done
    ((named)) || mapfile -t RIVALS < <(rivals)
    for name in "${RIVALS[@]}"; do
        become "$name"
        if version=$(rival_version); then
            PROXIES+=("$name")
            VERSIONS+=("$name ($version)")
        else
            ((!named)) || die "$name: ${version:-not here}"
            skip "$name: ${version:-not here}"
        fi
    done
}

is_ours() { [[ -n $(said_of "$1") ]]; }

# said_of NAME: its line of GATEWAYS; nothing if it is none of ours.
said_of() { printf '%s\n' "${GATEWAYS[@]}" | grep "^$1: " || true; }

# become NAME: from here on RIVAL_SPEAKS, rival_version and rival_start are this one's.
become() {
    if is_ours "$1"; then
        RIVAL_SPEAKS=$(said_of "$1" | cut -d : -f 2)
        rival_start() { start_ours; }
    else
        # shellcheck source=/dev/null
        source "loadtest/rivals/$1/rival.sh"
    fi
}

speaks() {
    become "$1"
    [[ " $RIVAL_SPEAKS " == *" $2 "* ]]
}

# read_ports NAME: PORT for cleartext, TLS_PORT, STREAM_PORT, and STATUS_PORT, of ours alone.
read_ports() {
    local at
    for at in "${!PROXIES[@]}"; do
        [[ ${PROXIES[at]} != "$1" ]] || PORT=$((LOADTEST_PORT + 10 + 4 * at))
    done
    TLS_PORT=$((PORT + 1)) STATUS_PORT=$((PORT + 2)) STREAM_PORT=$((PORT + 3))
}

# url_of NAME SPEAKS PATH: of a route that is served, and the path behind it.
url_of() {
    read_ports "$1"
    case $2 in
        http) printf 'http://127.0.0.1:%s/load%s' "$PORT" "$3" ;;
        tcp) printf 'http://127.0.0.1:%s/load%s' "$STREAM_PORT" "$3" ;;
        *) printf 'https://127.0.0.1:%s/load%s' "$TLS_PORT" "$3" ;;
    esac
}

status_of() {
    read_ports "$1"
    printf 'http://127.0.0.1:%s/status' "$STATUS_PORT"
}

# start_proxies NAME...: each from nothing; returns once all answer.
start_proxies() {
    RUNNING=("$@")
    local name
    ((CHANGES == 0)) || start_control
    for name in "$@"; do
        read_ports "$name"
        NAME=$name HOME_OF=$DIR/$name
        rm -rf "${HOME_OF:?}"
        mkdir -p "$HOME_OF"
        become "$name"
        rival_start
    done
    ((CHANGES == 0)) || make_routes
    for name in "$@"; do
        wait_for 60 "$name answers" answers "$(url_of "$name" http /x)"
    done
}

stop_proxies() {
    local name
    for name in "${RUNNING[@]}" control-plane; do
        stop "$name"
    done
    RUNNING=()
}

# spawn_proxy COMMAND...: as the one that is being started, on the proxies' cores.
spawn_proxy() { spawn "$NAME" taskset -c "$PROXY_CORES" "$@"; }

# fill_in TEMPLATE FILE.
fill_in() {
    local master='master_process off;' reuseport=
    ((WORKERS == 1)) || { reuseport=' reuseport' master='master_process on;' && ((EUID)) || master+=' user root;'; }
    sed -e "s|@PORT@|${PORT:-}|; s|@TLS_PORT@|${TLS_PORT:-}|; s|@STREAM_PORT@|${STREAM_PORT:-}|; s|@ORIGIN_PORT@|$ORIGIN_PORT|; s|@WORKERS@|$WORKERS|" \
        -e "s|@CERTIFICATE@|$CERTIFICATE|; s|@KEY@|$KEY|; s|@HOME@|$HOME_OF|; s|@CONNECTIONS@|${MOST:-}|" \
        -e "s|@MASTER@|$master|; s|@REUSEPORT@|$reuseport|" "$1" >"$2"
}

# build_floor: FLOOR, the do-nothing proxy on Pingora; built, or what USE_FLOOR says.
# shellcheck disable=SC2034 # for those rivals
build_floor() {
    if [[ -n ${USE_FLOOR:-} ]]; then
        FLOOR=$(realpath -e "$USE_FLOOR") || die "USE_FLOOR is not a file"
    else
        cargo build --release --locked -p floor >&2 9>&-
        FLOOR=$(realpath -e "${CARGO_TARGET_DIR:-target}/release/floor")
    fi
}

# ---- Ours

# Without a database, with the scenario's routes in a file; with changes, as the data plane of a
# control plane. Either way it does what nginx is told to do.
start_ours() {
    local lane streams=()
    lane=$(said_of "$NAME")
    local properties=(
        "${lane##*: }"
        "workers = $WORKERS"
        "proxy_listen = 127.0.0.1:$PORT http2, 127.0.0.1:$TLS_PORT ssl http2"
        "status_listen = 127.0.0.1:$STATUS_PORT"
        "ssl_cert = $CERTIFICATE"
        "ssl_cert_key = $KEY"
        "proxy_access_log = off"
        "nginx_http_keepalive_requests = 1000000000"
        "nginx_http_keepalive_timeout = 1h"
        "upstream_keepalive_max_requests = 0"
        "upstream_keepalive_pool_size = 1000"
    )
    if [[ $SPEAKS == tcp ]]; then
        streams=("$STREAM_PORT")
        properties+=("stream_listen = 127.0.0.1:$STREAM_PORT" "proxy_stream_access_log = off")
    fi
    if ((CHANGES)); then
        properties+=("role = data_plane" "cluster_control_plane = 127.0.0.1:$CLUSTER_PORT")
    else
        python3 -B loadtest/run/routes_file.py "http://127.0.0.1:$ORIGIN_PORT" "$ROUTES" "${streams[@]}" >"$HOME_OF/routes.json"
        properties+=("database = off" "declarative_config = $HOME_OF/routes.json" "admin_listen = off")
    fi
    write_conf "$NAME" "${properties[@]}"
    spawn_proxy "$GATEWAY" start -c "$DIR/$NAME.conf"
}

# On the load's cores: in production it is another machine.
start_control() {
    forget_gateway_variables
    rm -rf "$DIR/control-plane"
    cluster_pair
    ADMIN=http://127.0.0.1:$ADMIN_PORT
    write_conf control-plane "role = control_plane" "admin_listen = 127.0.0.1:$ADMIN_PORT" \
        "cluster_listen = 127.0.0.1:$CLUSTER_PORT" "status_listen = 127.0.0.1:$CP_STATUS_PORT"
    start_control_plane "${on_load[@]}"
}

make_routes() {
    put services/load "{\"url\": \"http://127.0.0.1:$ORIGIN_PORT\"}"
    python3 -B loadtest/routes.py "$ADMIN" load $((ROUTES - 1))
    put services/load/routes/load '{"paths": ["/load"]}'
}

# start_changes NAME: while one of ours has its turn.
start_changes() {
    ((CHANGES)) && is_ours "$1" || return 0
    spawn changes "${on_load[@]}" python3 -B loadtest/run/change.py "$ADMIN" load "$CHANGES"
}

# stop_changes NAME: every one of them was made, and is served now.
stop_changes() {
    ((CHANGES)) && is_ours "$1" || return 0
    stop changes
    grep -q '^made ' "$DIR/changes.log" || die "changes were not made: $(tail -n 1 "$DIR/changes.log")"
    read_ports "$1"
    wait_for 10 "$1 serves what the control plane has" serves_the_newest
}

serves_the_newest() {
    local wanted
    wanted=$(get_json "http://127.0.0.1:$CP_STATUS_PORT/status" configuration_hash) && [[ $(served_hash) == "$wanted" ]]
}
