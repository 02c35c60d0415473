# shellcheck shell=bash disable=SC2034
# nginx: what all are measured against.
RIVAL_SPEAKS='http https http2'

rival_version() { nginx -v 2>&1 | sed 's/.*: //'; }

rival_start() {
    fill_in loadtest/rivals/nginx/nginx.conf "$HOME_OF/nginx.conf"
    mkdir -p "$HOME_OF/tmp"
    spawn_proxy nginx -p "$HOME_OF" -e stderr -c nginx.conf
}
