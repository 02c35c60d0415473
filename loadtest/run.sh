#!/usr/bin/env bash
# The gateway beside other proxies: CPU per request, requests per second, latency, memory, errors.
#
# One core carries the proxy, another the load and the origin. In each scenario the proxies take turns,
# round by round, so that whatever the machine does meanwhile meets all of them; a ratio is taken
# within a round. The folder scenarios/ is the list of questions, rivals/ that of the rivals.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=loadtest/lib.sh
source loadtest/lib.sh
# shellcheck source=loadtest/run/proxies.sh
source loadtest/run/proxies.sh

usage() {
    cat <<'END'
Usage: loadtest/run.sh [OPTION...]

  --scenario LIST   only these, separated by commas (all of loadtest/scenarios/); `streams` stands for all streams-…
  --beside LIST     only these rivals (all of loadtest/rivals/ that are installed)
  --rounds N        turns of each proxy in each scenario (3)
  --seconds N       of load per turn (2)
  --connections N   kept open by the client, where the scenario does not say (64)
  --workers N       of each proxy (1); above 1, how evenly the gateway's share the load
  --quick           one round of one second beside nginx: that it works, not how fast
  --proxy-cores L   CPUs of the proxy, such as 0-3,6 (the first of those allowed, one for each worker)
  --load-cores L    CPUs of client and origin (as many of the others)
  --keep            leave the report in loadtest/runs/ rather than in target/loadtest/
  --list            name scenarios and rivals, and exit

Variables: USE_GATEWAY=FILE and USE_FLOOR=FILE (build nothing), LOADTEST_PORT=19000 (the first of 60 ports).
END
}

# Ours, what is asked of each, and what is said in its configuration: a line here is a row of each table.
readonly GATEWAYS=(
    'gateway: http https http2 tcp: express_lane = on'
    'gateway-pingora: http https http2: express_lane = off'
    'gateway-uring: http https http2: io_backend = io_uring'
    'gateway-epoll: tcp: stream_backend = epoll'
)

ROUNDS=3 SECONDS_EACH=2 EACH_CONNECTIONS=64 WORKERS=1 KEEP=no QUICK=no
SCENARIOS=() RIVALS=() PROXY_CORES='' LOAD_CORES=''
WARM_UP=1 # seconds of load that are not counted
readonly PORTS=60

main() {
    read_options "$@"
    need wrk nginx taskset curl python3 openssl
    want h2load
    choose_cores
    ulimit -n "$(ulimit -Hn)" # idle connections have a descriptor at each end
    begin "$PORTS"
    make_pair
    choose_proxies
    has k6 || skip "loadtest/k6/: k6 is not here"
    start_origin
    local scenario
    for scenario in "${SCENARIOS[@]}"; do
        measure_scenario "$scenario"
    done
    write_report
    run_k6
    python3 -B loadtest/run/report.py --sound "$REPORT.json" || die "requests to the gateway failed where none may"
}

read_options() {
    while (($#)); do
        case $1 in
            --keep) KEEP=yes && shift && continue ;;
            --quick) QUICK=yes WARM_UP=0 ROUNDS=1 SECONDS_EACH=1 RIVALS=(nginx) && shift && continue ;;
            --list) list && exit 0 ;;
            -h | --help) usage && exit 0 ;;
            --*) (($# > 1)) || die "$1 takes a value" ;;
            *) usage >&2 && exit 2 ;;
        esac
        case $1 in
            --scenario) read_names "$1" "$2" scenarios && SCENARIOS=("${NAMES[@]}") ;;
            --beside) read_names "$1" "$2" rivals && RIVALS=("${NAMES[@]}") ;;
            --rounds) number "$1" "$2" && ROUNDS=$2 ;;
            --seconds) number "$1" "$2" && SECONDS_EACH=$2 ;;
            --connections) number "$1" "$2" && EACH_CONNECTIONS=$2 ;;
            --workers) number "$1" "$2" && WORKERS=$2 ;;
            --proxy-cores) PROXY_CORES=$2 ;;
            --load-cores) LOAD_CORES=$2 ;;
            *) usage >&2 && exit 2 ;;
        esac
        shift 2
    done
    ((${#SCENARIOS[@]})) || mapfile -t SCENARIOS < <(scenarios)
}

# read_names OPTION LIST KIND: into NAMES, each of which is one of those that KIND prints, or what
# several of them begin with before a dash.
read_names() {
    local name known these named
    mapfile -t known < <("$3")
    IFS=, read -ra named <<<"$2"
    ((${#named[@]})) || die "$1 takes names, not '$2'"
    NAMES=()
    for name in "${named[@]}"; do
        mapfile -t these < <(printf '%s\n' "${known[@]}" | grep -xF -e "$name" || printf '%s\n' "${known[@]}" | grep "^$name-")
        ((${#these[@]})) || die "$1: there is no '$name', only ${known[*]}"
        NAMES+=("${these[@]}")
    done
}

scenarios() { find loadtest/scenarios -name '*.sh' | sort | sed 's/.*\/[0-9]*-//; s/\.sh$//'; }

# nginx comes first: the others are measured against it.
rivals() { echo nginx && find loadtest/rivals -name rival.sh | sed 's/\/rival\.sh$//; s/.*\///' | grep -vx nginx | sort; }

list() {
    local name
    say scenarios
    for name in $(scenarios); do
        note "$(printf '%-14s %s' "$name" "$(sed -n '2s/^# //p' loadtest/scenarios/*-"$name".sh)")"
    done
    say rivals
    for name in $(rivals); do
        note "$(printf '%-14s %s' "$name" "$(sed -n '2s/^# //p' "loadtest/rivals/$name/rival.sh")")"
    done
}

choose_cores() {
    local chosen
    chosen=$(python3 -B loadtest/run/cores.py "$WORKERS" "$PROXY_CORES" "$LOAD_CORES") || exit
    { read -r PROXY_CORES && read -r LOAD_CORES; } <<<"$chosen"
    on_load=(taskset -c "$LOAD_CORES")
}

# The certificate that all of them show.
make_pair() {
    CERTIFICATE=$DIR/proxy.crt KEY=$DIR/proxy.key
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj /CN=a.test \
        -addext subjectAltName=DNS:a.test,IP:127.0.0.1 -keyout "$KEY" -out "$CERTIFICATE" 2>"$DIR/openssl.log" ||
        die "openssl made no certificate; see $DIR/openssl.log"
}

start_origin() {
    HOME_OF=$DIR/origin
    mkdir -p "$HOME_OF/tmp" "$HOME_OF/site"
    head -c 65536 /dev/zero | tr '\0' x >"$HOME_OF/site/64k"
    head -c 1048576 /dev/zero | tr '\0' x >"$HOME_OF/site/1m"
    fill_in loadtest/origin/nginx.conf "$HOME_OF/nginx.conf"
    spawn origin "${on_load[@]}" nginx -p "$HOME_OF" -e stderr -c nginx.conf
    wait_for 10 "the origin answers" answers "http://127.0.0.1:$ORIGIN_PORT/"
}

# ---- A scenario

# measure_scenario NAME: starts all that can answer it, and leaves a line per turn in DIR/turns.
measure_scenario() {
    read_scenario "$1"
    say "$TITLE" >&2
    [[ $SPEAKS != http2 ]] || has h2load || { skip "$1: h2load is not here" && return 0; }
    may_open "$MOST" || { skip "$1: no more than $(ulimit -n) files may be open, $MOST are needed" && return 0; }
    local name taking_part=()
    for name in "${PROXIES[@]}"; do
        ! speaks "$name" "$SPEAKS" || taking_part+=("$name")
    done
    json name "$1" title "$TITLE" question "$QUESTION" connections "$((CONNECTIONS * STREAMS))" routes "$ROUTES" \
        goal_cpu "$GOAL_CPU" goal_p99 "$GOAL_P99" goal_rss "$GOAL_RSS" may_fail "$MAY_FAIL" >>"$DIR/scenarios"
    start_proxies "${taking_part[@]}"
    same_answers "${taking_part[@]}"
    hold_idle "${taking_part[@]}"
    take_turns "$1" "${taking_part[@]}"
    let_go
    stop_proxies
}

may_open() { [[ $(ulimit -n) == unlimited ]] || (($(ulimit -n) > $1)); }

# What a scenario does not say is so; see README.md.
read_scenario() {
    local file
    TITLE='' ASK=/x METHOD=GET BODY=0 HEADERS=() SPEAKS=http ROUTES=1 CONNECTIONS=$EACH_CONNECTIONS STREAMS=1
    IDLE=0 CHANGES=0 MAY_FAIL=no GOAL_CPU='' GOAL_P99='' GOAL_RSS=''
    file=$(find loadtest/scenarios -regex ".*/[0-9]*-$1\\.sh")
    # shellcheck source=/dev/null
    source "$file"
    QUESTION=$(sed -n '2s/^# //p' "$file")
    MOST=$((IDLE + 2 * CONNECTIONS + 1024)) # descriptors of a proxy
}

# A proxy that answers something else, or tells the origin less, is not measured beside one that works.
same_answers() {
    local name said first='' asked=${ASK/flaky/x}
    for name in "$@"; do
        said=$(answer_of "$name" "$asked" | sha256sum) || die "$name does not answer"
        [[ $said == "${first:=$said}" ]] || die "$1 and $name answer $asked differently"
    done
    local told expected
    expected=$(headers_told "$1")
    for name in "$@"; do
        told=$(headers_told "$name")
        [[ $told == "$expected" || $name == floor ]] || die "$1 tells the origin: $expected; $name: $told"
    done
}

answer_of() { http --insecure --fail --request "$METHOD" "$(url_of "$1" "$SPEAKS" "$2")"; }

# Names of the headers that a request arrives with at the origin.
headers_told() { http --insecure --fail "$(url_of "$1" "$SPEAKS" /headers)" | awk 'NF > 1 { print $1 }' | paste -sd ' '; }

# Connections that have asked once, open until the scenario ends.
hold_idle() {
    HOLDERS=()
    ((IDLE > 0)) || return 0
    local name
    for name in "$@"; do
        read_ports "$name"
        spawn "idle-$name" "${on_load[@]}" python3 -B loadtest/run/hold.py "$PORT" "$IDLE" "/load$ASK"
        HOLDERS+=("idle-$name")
    done
    for name in "${HOLDERS[@]}"; do
        wait_for 60 "$name: $IDLE connections are open" grep -q '^open' "$DIR/$name.log"
    done
}

# Whoever has lost one of them has not been measured with them.
let_go() {
    local name
    for name in "${HOLDERS[@]}"; do
        stop "$name"
        grep -q '^lost 0$' "$DIR/$name.log" || die "$name: $(tail -n 1 "$DIR/$name.log")"
    done
}

# Each round begins with the next of them, so that nobody always follows the same; before the first,
# each carries load that is not counted.
take_turns() {
    local scenario=$1 round at name
    shift
    for ((round = 1; round <= ROUNDS; round++)); do
        for ((at = 0; at < $#; at++)); do
            name=${*:1 + (at + round - 1) % $#:1}
            start_changes "$name"
            ((round > 1 || !WARM_UP)) || turn "$name" "$WARM_UP" >/dev/null
            turn "$name" "$SECONDS_EACH" --scenario "$scenario" --round "$round" --say >>"$DIR/turns"
            stop_changes "$name"
        done
    done
}

# turn PROXY SECONDS [FACT...]: load, and what it cost, as a line of JSON.
turn() {
    local name=$1 seconds=$2 command status=()
    shift 2
    # Streams have no requests to count.
    ((WORKERS == 1)) || [[ $SPEAKS == tcp ]] || ! is_ours "$name" || status=(--status "$(status_of "$name")")
    set_command "$(url_of "$name" "$SPEAKS" "$ASK")" "$seconds"
    "${on_load[@]}" python3 -B loadtest/run/measure.py --proxy "$name" --pid "${CHILD[$name]}" "${status[@]}" "$@" \
        -- "${command[@]}"
}

# set_command URL SECONDS: the client's, into the caller's `command`.
set_command() {
    local header headers=() threads
    for header in "${HEADERS[@]}"; do headers+=(--header "$header"); done
    threads=$((WORKERS < CONNECTIONS ? WORKERS : CONNECTIONS))
    if [[ $SPEAKS == http2 ]]; then
        command=(h2load --threads "$threads" --clients "$CONNECTIONS" --max-concurrent-streams "$STREAMS" --duration "$2"
            --log-file "$DIR/h2load.log" "${headers[@]}" "$1")
    else
        command=(wrk --threads "$threads" --connections "$CONNECTIONS" --duration "$2s" --timeout 20s --script loadtest/run/wrk.lua
            "${headers[@]}" "$1" -- "$METHOD" "$BODY")
    fi
}

# ---- What comes of it

write_report() {
    local to=$DIR name
    name=$(date -u +%Y-%m-%d-%H%M)-run
    if [[ $KEEP == yes ]]; then
        to=loadtest/runs
        mkdir -p "$to"
        name+=-$(git rev-parse --short HEAD 2>/dev/null || echo local)
    fi
    json date "$(date -u +%Y-%m-%d)" gateway "$(gateway_version)" hardware "$(hardware)" rounds "$ROUNDS" \
        seconds "$SECONDS_EACH" workers "$WORKERS" proxy_cores "$PROXY_CORES" load_cores "$LOAD_CORES" \
        proxies "$(printf '%s\n' "${VERSIONS[@]}")" skipped "$(printf '%s\n' "${SKIPPED[@]}")" >"$DIR/facts"
    REPORT=$to/$name
    python3 -B loadtest/run/report.py "$DIR" "$REPORT"
    note "written: $REPORT.md, .json and .svg" >&2
}

# Where k6 is installed, it has its say about ours: thresholds rather than numbers.
run_k6() {
    [[ $QUICK == no ]] && has k6 || return 0
    local script name log ours=()
    for name in "${PROXIES[@]}"; do
        ! is_ours "$name" || ! speaks "$name" http || ours+=("$name")
    done
    read_scenario small
    start_proxies "${ours[@]}"
    for script in loadtest/k6/*.js; do
        for name in "${ours[@]}"; do
            say "$script, $name" >&2
            log=$DIR/k6-$(basename "$script" .js)-$name.log
            "${on_load[@]}" k6 run --quiet --env TARGET="$(url_of "$name" http "")" "$script" >"$log" 2>&1 ||
                die "$name does not keep within the thresholds of $script; see $log"
            grep -E '^ +(✓|http_reqs|http_req_duration)' "$log" >&2
        done
    done
    stop_proxies
}

main "$@"
