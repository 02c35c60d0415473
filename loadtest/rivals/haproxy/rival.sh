# shellcheck shell=bash disable=SC2034
# HAProxy, in one process without a master.
RIVAL_SPEAKS='http https http2 tcp'

rival_version() {
    command -v haproxy >/dev/null || return 1
    haproxy -v | sed -n 's/^HAProxy version \([^ -]*\).*/haproxy\/\1/p'
}

rival_start() {
    cat "$CERTIFICATE" "$KEY" >"$HOME_OF/pair.pem"
    fill_in loadtest/rivals/haproxy/haproxy.cfg "$HOME_OF/haproxy.cfg"
    spawn_proxy haproxy -db -f "$HOME_OF/haproxy.cfg"
}
