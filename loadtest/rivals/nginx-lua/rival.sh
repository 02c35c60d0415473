# shellcheck shell=bash disable=SC2034
# nginx with Lua in each of the phases that Kong uses, doing what Kong cannot do without.
RIVAL_SPEAKS='http https http2'

rival_version() {
    local lua
    lua=$(find /usr/lib/nginx/modules -name ngx_http_lua_module.so -print -quit 2>/dev/null)
    [[ -n $lua ]] && command -v nginx >/dev/null || return 1
    printf '%s with Lua' "$(nginx -v 2>&1 | sed 's/.*: //')"
}

rival_start() {
    fill_in loadtest/rivals/nginx-lua/nginx.conf "$HOME_OF/nginx.conf"
    mkdir -p "$HOME_OF/tmp"
    spawn_proxy nginx -p "$HOME_OF" -e stderr -c nginx.conf
}
