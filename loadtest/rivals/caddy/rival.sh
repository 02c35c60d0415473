# shellcheck shell=bash disable=SC2034
# Caddy, with as many threads at work as others have.
RIVAL_SPEAKS='http https http2'

rival_version() {
    command -v caddy >/dev/null || return 1
    printf 'caddy/%s' "$(caddy version | sed 's/^v//; s/ .*//')"
}

rival_start() {
    fill_in loadtest/rivals/caddy/Caddyfile "$HOME_OF/Caddyfile"
    spawn_proxy env GOMAXPROCS="$WORKERS" HOME="$HOME_OF" XDG_DATA_HOME="$HOME_OF" XDG_CONFIG_HOME="$HOME_OF" \
        caddy run --adapter caddyfile --config "$HOME_OF/Caddyfile"
}
