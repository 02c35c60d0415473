# shellcheck shell=bash
# What the load tests share: where they write, which ports they use, what they ran on. Sourced.

# shellcheck source=scripts/lib/needs.sh
source scripts/lib/needs.sh
# shellcheck source=scripts/lib/processes.sh
source scripts/lib/processes.sh
# shellcheck source=scripts/lib/cluster.sh
source scripts/lib/cluster.sh

# One block of ports above LOADTEST_PORT, away from those of nodes that run here in earnest.
: "${LOADTEST_PORT:=19000}"
# shellcheck disable=SC2034 # for the scripts, and cluster.sh
{
    PROXY_PORT=$LOADTEST_PORT
    ADMIN_PORT=$((LOADTEST_PORT + 1))
    CLUSTER_PORT=$((LOADTEST_PORT + 2))
    STATUS_PORT=$((LOADTEST_PORT + 3))
    CP_STATUS_PORT=$((LOADTEST_PORT + 4))
    ORIGIN_PORT=$((LOADTEST_PORT + 5))
    TLS_PORT=$((LOADTEST_PORT + 6))
}
DIR=$PWD/target/loadtest

# begin COUNT: takes DIR, and empties it: every run starts from nothing. COUNT ports are to be free.
begin() {
    only_one
    LOAD=$(cut -d ' ' -f 1 /proc/loadavg)
    local each ports=()
    for ((each = 0; each < $1; each++)); do
        ports+=("LOADTEST_PORT+$each=$((LOADTEST_PORT + each))")
    done
    need_ports "${ports[@]}"
    [[ -n ${USE_GATEWAY:-} ]] || COMMIT=$(commit) # of a program that was handed in, nothing is known
    build_gateway >&2
    find "$DIR" -mindepth 1 -maxdepth 1 ! -name lock -exec rm -r {} +
}

# What a number is worth without this: not much.
hardware() {
    printf '%s, %s of %s cores, Linux %s, load average %s at the start' \
        "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)" "$(nproc)" "$(nproc --all)" "$(uname -r)" "$LOAD"
}

gateway_version() { printf 'gateway %s%s' "$("$GATEWAY" version)" "${COMMIT:+ ($COMMIT)}"; }

# What the tree is that was just built.
commit() {
    local commit
    commit=$(git rev-parse --short HEAD 2>/dev/null) || return 0
    git diff --quiet HEAD 2>/dev/null || commit+=', changed'
    printf '%s' "$commit"
}

# answers URL: with a status that is no error.
answers() { http --fail --output /dev/null "$1" 2>/dev/null; }

# number NAME VALUE: ends the script unless it is a whole number above 0.
number() { [[ $2 =~ ^[1-9][0-9]*$ ]] || die "$1 takes a number above 0, not '$2'"; }

# report FILE NAME: shows the report, and with KEEP=yes leaves it in loadtest/runs/.
report() {
    cat "$1"
    [[ ${KEEP:-} == yes ]] || return 0
    local kept
    kept=loadtest/runs/$(date -u +%Y-%m-%d)-$2-$(git rev-parse --short HEAD 2>/dev/null || echo local).md
    mkdir -p loadtest/runs
    cp "$1" "$kept"
    note "kept as $kept" >&2
}
