# shellcheck shell=bash disable=SC2034
# A proxy on Pingora that does nothing: the least one of those can cost.
RIVAL_SPEAKS=http
FLOOR_OPTIONS=()

rival_version() {
    ((WORKERS == 1)) || { echo 'it has one thread' && return 1; }
    build_floor && printf "Pingora's own loop"
}

rival_start() {
    build_floor
    spawn_proxy "$FLOOR" "127.0.0.1:$PORT" "127.0.0.1:$ORIGIN_PORT" "${FLOOR_OPTIONS[@]}"
}
