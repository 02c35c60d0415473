#!/usr/bin/env bash
# CPU per request, requests per second and latency of the data plane beside other proxies.
#
# One core carries the proxy, another the load and the origin. The proxies take turns, round by round,
# so that whatever the machine does meanwhile meets both; ratios are taken within a round.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=loadtest/lib.sh
source loadtest/lib.sh

usage() {
    cat <<'END'
Usage: loadtest/run.sh [OPTION...]

  --rounds N        turns of each proxy (5)
  --seconds N       of load per turn (10)
  --connections N   kept open by the client (64)
  --routes N        in the gateway's configuration, of which the last is asked for (1)
  --beside LIST     the rivals, separated by commas (nginx): nginx, floor (a proxy on Pingora that does
                    nothing), floor-headers (the same, setting the headers that the gateway sets)
  --proxy-core N    CPU of the proxy (the first of those allowed)
  --load-core N     CPU of client and origin (the second)
  --keep            leave the report in loadtest/runs/

Variables: USE_GATEWAY=FILE (build nothing), LOADTEST_PORT=19000 (the first of nine ports).
END
}

ROUNDS=5 SECONDS_EACH=10 CONNECTIONS=64 ROUTES=1 RIVALS=(nginx) PROXY_CORE='' LOAD_CORE='' KEEP=no
readonly WARM_UP=1 # seconds before each turn, not counted
TICKS_PER_SECOND=$(getconf CLK_TCK)

main() {
    read_options "$@"
    need wrk nginx taskset curl python3
    choose_cores
    begin
    start_origin
    start_rivals
    start_gateway
    same_answers
    take_turns
    describe >"$DIR/report.md"
    report "$DIR/report.md" run
    run_k6
}

read_options() {
    while (($#)); do
        case $1 in
            --keep) KEEP=yes && shift && continue ;;
            -h | --help) usage && exit 0 ;;
            --*) (($# > 1)) || die "$1 takes a value" ;;
            *) usage >&2 && exit 2 ;;
        esac
        case $1 in
            --rounds) number "$1" "$2" && ROUNDS=$2 ;;
            --seconds) number "$1" "$2" && SECONDS_EACH=$2 ;;
            --connections) number "$1" "$2" && CONNECTIONS=$2 ;;
            --routes) number "$1" "$2" && ROUTES=$2 ;;
            --beside) read_rivals "$2" ;;
            --proxy-core) PROXY_CORE=$2 ;;
            --load-core) LOAD_CORE=$2 ;;
            *) usage >&2 && exit 2 ;;
        esac
        shift 2
    done
}

read_rivals() {
    local name
    IFS=, read -ra RIVALS <<<"$1"
    ((${#RIVALS[@]})) || die "--beside takes names, not '$1'"
    for name in "${RIVALS[@]}"; do
        [[ $name =~ ^(nginx|floor|floor-headers)$ ]] || die "there is no rival '$name': nginx, floor, floor-headers"
    done
}

choose_cores() {
    local allowed
    mapfile -t allowed < <(python3 -c 'import os; print(*sorted(os.sched_getaffinity(0)), sep="\n")')
    ((${#allowed[@]} > 1)) || die "two CPUs are needed, for the proxy and for the load; this process may use one"
    PROXY_CORE=${PROXY_CORE:-${allowed[0]}}
    LOAD_CORE=${LOAD_CORE:-${allowed[1]}}
    [[ $PROXY_CORE != "$LOAD_CORE" ]] || die "the proxy and the load need a CPU each"
}

start_origin() {
    spawn_nginx origin "$LOAD_CORE"
    wait_for 10 "the origin answers" http --fail --output /dev/null "http://127.0.0.1:$ORIGIN_PORT/" 2>/dev/null
}

start_rivals() {
    local name
    for name in "${RIVALS[@]}"; do
        case $name in
            nginx) spawn_nginx nginx "$PROXY_CORE" ;;
            floor) spawn_floor floor "$FLOOR_PORT" ;;
            floor-headers) spawn_floor floor-headers "$HEADERS_PORT" --headers ;;
        esac
        wait_for 10 "$name answers" http --fail --output /dev/null "$(url_of "$name")" 2>/dev/null
    done
}

# spawn_floor NAME PORT [OPTION]: built once.
spawn_floor() {
    if [[ -z ${FLOOR:-} ]]; then
        cargo build --release --locked -p floor >&2 9>&-
        FLOOR=$(realpath -e "${CARGO_TARGET_DIR:-target}/release/floor")
    fi
    spawn "$1" taskset -c "$PROXY_CORE" "$FLOOR" "127.0.0.1:$2" "127.0.0.1:$ORIGIN_PORT" "${@:3}"
}

spawn_nginx() {
    mkdir -p "$DIR/$1/tmp"
    sed "s/@ORIGIN_PORT@/$ORIGIN_PORT/; s/@NGINX_PORT@/$NGINX_PORT/" "loadtest/rivals/$1.conf" >"$DIR/$1/nginx.conf"
    spawn "$1" taskset -c "$2" nginx -p "$DIR/$1" -e stderr -c nginx.conf
}

# A control plane on the load's core, where it has nothing to do during a turn, and a data plane.
start_gateway() {
    prepare_planes "workers = 1" "proxy_access_log = off"
    start_control_plane taskset -c "$LOAD_CORE"
    start_data_plane taskset -c "$PROXY_CORE"
    put services/load "{\"url\": \"http://127.0.0.1:$ORIGIN_PORT\"}"
    python3 -B loadtest/routes.py "$ADMIN" load $((ROUTES - 1))
    put services/load/routes/load '{"paths": ["/load"]}'
    wait_for 30 "the data plane serves what the control plane has" in_step
}

url_of() {
    case $1 in
        gateway) printf 'http://127.0.0.1:%s/load/x' "$PROXY_PORT" ;;
        nginx) printf 'http://127.0.0.1:%s/load/x' "$NGINX_PORT" ;;
        floor) printf 'http://127.0.0.1:%s/load/x' "$FLOOR_PORT" ;;
        floor-headers) printf 'http://127.0.0.1:%s/load/x' "$HEADERS_PORT" ;;
    esac
}

pid_of() {
    case $1 in
        gateway) printf '%s' "${CHILD[data-plane]}" ;;
        *) printf '%s' "${CHILD[$1]}" ;;
    esac
}

# A proxy that answers something else is not measured against one that works.
same_answers() {
    local name ours theirs
    ours=$(http --fail "$(url_of gateway)") || die "the gateway does not answer"
    for name in "${RIVALS[@]}"; do
        theirs=$(http --fail "$(url_of "$name")") || die "$name does not answer"
        [[ $ours == "$theirs" ]] || die "the gateway and $name answer differently: '$ours' and '$theirs'"
    done
}

# A line per turn in DIR/turns: proxy, requests/s, p50 and p99 in ms, user and system µs per request.
take_turns() {
    local round name
    : >"$DIR/turns"
    for ((round = 1; round <= ROUNDS; round++)); do
        for name in gateway "${RIVALS[@]}"; do
            load "$name" "$WARM_UP" >/dev/null
            turn "$name" | tee -a "$DIR/turns" | sed "s/^/    round $round: /" >&2
        done
    done
}

load() { taskset -c "$LOAD_CORE" wrk -t1 -c"$CONNECTIONS" -d"$2"s --latency "$(url_of "$1")"; }

turn() {
    local name=$1 before after said
    before=$(cpu_of "$name")
    said=$(load "$name" "$SECONDS_EACH")
    after=$(cpu_of "$name")
    ! grep -E 'Non-2xx|Socket errors' <<<"$said" >&2 || die "$name failed requests; a broken proxy is not measured"
    awk -v name="$name" -v before="$before" -v after="$after" -v hz="$TICKS_PER_SECOND" '
        function ms(text) { return text * (text ~ /us$/ ? 0.001 : text ~ /ms$/ ? 1 : 1000) }
        $1 == "50%" { p50 = ms($2) }
        $1 == "99%" { p99 = ms($2) }
        /requests in/ { requests = $1 }
        /^Requests\/sec:/ { rate = $2 }
        END {
            split(before, b); split(after, a)
            each = 1e6 / hz / requests
            printf "%s %.0f %.3f %.3f %.2f %.2f\n", name, rate, p50, p99, (a[1] - b[1]) * each, (a[2] - b[2]) * each
        }' <<<"$said"
}

# Ticks of the whole process, all threads: user and system.
cpu_of() { sed 's/.*) //' "/proc/$(pid_of "$1")/stat" | awk '{ print $12, $13 }'; }

describe() {
    cat <<END
# Data plane beside ${RIVALS[*]}, $(date -u +%Y-%m-%d)

$(gateway_version)$(nginx_version); $(hardware).
Proxy on core $PROXY_CORE, wrk ($CONNECTIONS connections) and origin on core $LOAD_CORE; $ROUNDS rounds of $SECONDS_EACH s
in turns; $ROUTES route(s). Medians of the rounds; a ratio is the gateway's figure over that of the row, the
median of the ratios in each round, lowest to highest in brackets.

| proxy | requests/s | p50 ms | p99 ms | CPU µs/request | user | system | gateway's requests/s ÷ | gateway's CPU ÷ |
|---|--:|--:|--:|--:|--:|--:|--:|--:|
END
    awk -v names="gateway ${RIVALS[*]}" '
        function sorted(list, n,   i, j, x) {
            for (i = 2; i <= n; i++) { x = list[i]; for (j = i - 1; j > 0 && list[j] > x; j--) list[j + 1] = list[j]; list[j + 1] = x }
        }
        function median(list, n) { sorted(list, n); return n % 2 ? list[(n + 1) / 2] : (list[n / 2] + list[n / 2 + 1]) / 2 }
        function column(name, field,   i, list) {
            for (i = 1; i <= rounds[name]; i++) list[i] = turn[name, i, field]
            return median(list, rounds[name])
        }
        function ratio(name, field,   i, list, n) {
            n = rounds[name]
            if (name == "gateway") return ""
            for (i = 1; i <= n; i++) list[i] = turn["gateway", i, field] / turn[name, i, field]
            i = median(list, n)
            return sprintf("%.2f (%.2f–%.2f)", i, list[1], list[n])
        }
        function row(name) {
            printf "| %s | %.0f | %.2f | %.2f | %.1f | %.1f | %.1f | %s | %s |\n", name, column(name, 2), column(name, 3),
                column(name, 4), column(name, 7), column(name, 5), column(name, 6), ratio(name, 2), ratio(name, 7)
        }
        { n = ++rounds[$1]; $7 = $5 + $6; for (i = 2; i <= 7; i++) turn[$1, n, i] = $i }
        END { n = split(names, order); for (i = 1; i <= n; i++) row(order[i]) }' "$DIR/turns"
}

nginx_version() {
    [[ " ${RIVALS[*]} " != *" nginx "* ]] || printf ', %s' "$(nginx -v 2>&1 | sed 's/.*: //')"
}

# Where k6 is installed, it has its say too: thresholds rather than numbers.
run_k6() {
    command -v k6 >/dev/null || return 0
    say "k6: loadtest/k6/smoke.js" >&2
    taskset -c "$LOAD_CORE" k6 run --quiet --env TARGET="$(url_of gateway)" loadtest/k6/smoke.js >&2
}

main "$@"
