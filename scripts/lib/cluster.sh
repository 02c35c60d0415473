# shellcheck shell=bash
# A control plane and a data plane, on loopback, joined by mutual TLS. Sourced after processes.sh.
#
# Reads PROXY_PORT, ADMIN_PORT, CLUSTER_PORT, STATUS_PORT (the data plane's) and CP_STATUS_PORT; sets
# GATEWAY, the binary, and all that follows from them.

# build_gateway: a release build, or what USE_GATEWAY says.
build_gateway() {
    need curl python3
    if [[ -n ${USE_GATEWAY:-} ]]; then
        GATEWAY=$(realpath -e "$USE_GATEWAY") || die "USE_GATEWAY is not a file"
        note "using $GATEWAY"
        return
    fi
    need "${BUILD_NEEDS[@]}"
    need_rust
    note "$(cargo --version); the first build takes minutes"
    cargo build --release --locked -p gateway 9>&-
    GATEWAY=$(realpath -e "${CARGO_TARGET_DIR:-target}/release/gateway")
}

# prepare_planes [PROPERTY...]: the pair and both configurations; properties are the data plane's.
prepare_planes() {
    forget_gateway_variables
    stop_node "$DIR/data-plane"
    stop_node "$DIR/control-plane"
    cluster_pair
    write_conf control-plane "role = control_plane" \
        "admin_listen = 127.0.0.1:$ADMIN_PORT" \
        "cluster_listen = 127.0.0.1:$CLUSTER_PORT" \
        "status_listen = 127.0.0.1:$CP_STATUS_PORT"
    write_conf data-plane "role = data_plane" \
        "cluster_control_plane = 127.0.0.1:$CLUSTER_PORT" \
        "proxy_listen = 127.0.0.1:$PROXY_PORT" \
        "status_listen = 127.0.0.1:$STATUS_PORT" "$@"
    # shellcheck disable=SC2034 # for the script
    PROXY=http://127.0.0.1:$PROXY_PORT
    ADMIN=http://127.0.0.1:$ADMIN_PORT
}

# The settings of this shell are for other nodes.
forget_gateway_variables() {
    local name
    for name in $(compgen -e); do
        [[ $name != GATEWAY_* && $name != KONG_* && $name != NOTIFY_SOCKET ]] || unset "$name"
    done
}

# stop_node PREFIX: one that an earlier run left behind, its listeners closed already perhaps.
stop_node() {
    if "$GATEWAY" health --prefix "$1" >/dev/null 2>&1; then
        "$GATEWAY" stop --prefix "$1" >/dev/null 2>&1 || true
    fi
}

# The certificate and key that both planes share, made once.
cluster_pair() {
    local pair=("$DIR/cluster.crt" "$DIR/cluster.key")
    [[ ! -s ${pair[0]} || ! -s ${pair[1]} ]] || return 0
    rm -f "${pair[@]}" # half of a pair is none
    "$GATEWAY" hybrid gen_cert "${pair[@]}" >/dev/null
}

# write_conf NAME PROPERTY...: DIR/NAME.conf.
write_conf() {
    printf '%s\n' "prefix = \"$DIR/$1\"" "cluster_cert = \"$DIR/cluster.crt\"" \
        "cluster_cert_key = \"$DIR/cluster.key\"" "${@:2}" >"$DIR/$1.conf"
}

# start_plane NAME [COMMAND...]: from its configuration; a command such as `taskset -c 0` goes before.
start_plane() { spawn "$1" "${@:2}" "$GATEWAY" start -c "$DIR/$1.conf"; }

# start_control_plane [COMMAND...]: returns once the Admin API answers.
start_control_plane() {
    start_plane control-plane "$@"
    wait_for 30 "the control plane is ready" is_ready "$CP_STATUS_PORT"
    wait_for 10 "the Admin API answers" http --fail --output /dev/null "$ADMIN/" 2>/dev/null
}

# start_data_plane [COMMAND...]: returns once the control plane lists it.
start_data_plane() {
    start_plane data-plane "$@"
    wait_for 30 "the control plane lists the data plane as connected" is_connected
}

# put PATH JSON: makes an entity, or makes it so.
put() {
    local answer
    answer=$(http --request PUT --header 'Content-Type: application/json' --data "$2" \
        --write-out '\n%{http_code}' "$ADMIN/$1") || die "the Admin API did not answer"
    [[ ${answer##*$'\n'} == 20[01] ]] || die "the Admin API refused $1: $answer"
}

# A node says that it may be given traffic; a data plane, once it has a configuration.
is_ready() { http --fail --output /dev/null "http://127.0.0.1:$1/status/ready" 2>/dev/null; }

is_connected() { data_planes | grep -q '^connected '; }

# in_step: what the data plane serves is what the control plane has, and the control plane knows.
in_step() {
    local served wanted
    served=$(served_hash) &&
        wanted=$(get_json "http://127.0.0.1:$CP_STATUS_PORT/status" configuration_hash) &&
        [[ $served == "$wanted" ]] && data_planes | grep -q "^connected normal $served\$"
}

served_hash() { get_json "http://127.0.0.1:$STATUS_PORT/status" configuration_hash; }

# A line per data plane: status, sync_status, config_hash.
data_planes() {
    http --fail "$ADMIN/clustering/data-planes" 2>/dev/null | python3 -c '
import json, sys
for row in json.load(sys.stdin)["data"]:
    print(row["status"], row["sync_status"], row["config_hash"])' 2>/dev/null
}
