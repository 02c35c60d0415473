# shellcheck shell=bash disable=SC2034
# nginx: what all are measured against. Streams it carries if its module for them is there.
RIVAL_SPEAKS='http https http2'
STREAM_MODULE=$(find /usr/lib/nginx/modules -name ngx_stream_module.so -print -quit 2>/dev/null || true)
if [[ -n $STREAM_MODULE ]] || nginx -V 2>&1 | grep -qE -- '--with-stream( |$)'; then
    RIVAL_SPEAKS+=' tcp'
fi

rival_version() { nginx -v 2>&1 | sed 's/.*: //'; }

rival_start() {
    fill_in loadtest/rivals/nginx/nginx.conf "$HOME_OF/nginx.conf"
    if [[ $RIVAL_SPEAKS == *tcp* ]]; then
        fill_in loadtest/rivals/nginx/stream.conf "$HOME_OF/stream.conf"
        sed -i "s|@LOAD@|${STREAM_MODULE:+load_module $STREAM_MODULE;}|" "$HOME_OF/stream.conf"
    fi
    mkdir -p "$HOME_OF/tmp"
    spawn_proxy nginx -p "$HOME_OF" -e stderr -c nginx.conf
}
