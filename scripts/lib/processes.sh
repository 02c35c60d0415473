# shellcheck shell=bash
# Processes that a script starts on loopback, and the ports they want. Sourced.
#
# Reads DIR: all that is written goes there. However the script ends, nothing it started outlives it:
# on a normal end `stop_all` waits for them, and where the script is killed outright, the kernel
# signals them (setpriv --pdeathsig).

declare -A CHILD=() # name → pid, of what runs now
STARTED=()          # names, in the order they were started

# only_one: makes DIR, and ends the script if another one uses it. Sets the traps that stop everything.
only_one() {
    need flock setpriv
    mkdir -p "$DIR"
    exec 9>>"$DIR/lock" # goes with this process, however that ends
    flock --nonblock 9 || die "${0##*/} is running already (pid $(<"$DIR/lock")); end that first"
    printf '%s\n' "$$" >"$DIR/lock"
    trap stop_all EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
}

# spawn NAME COMMAND...: in the background, writing to DIR/NAME.log; told to end if this script dies.
spawn() {
    local name=$1
    shift
    setpriv --pdeathsig TERM "$@" </dev/null >"$DIR/$name.log" 2>&1 9>&- & # the lock is not theirs
    CHILD[$name]=$!
    STARTED+=("$name")
}

is_running() { [[ -n ${CHILD[$1]:-} ]] && kill -0 "${CHILD[$1]}" 2>/dev/null; }

# stop NAME: and wait for it.
stop() {
    local pid=${CHILD[$1]:-}
    [[ -n $pid ]] || return 0
    unset "CHILD[$1]"
    end "$pid"
    wait "$pid" 2>/dev/null || true
}

# end PID: at once, or after five seconds by force.
end() {
    kill "$1" 2>/dev/null || return 0
    for _ in {1..100}; do
        kill -0 "$1" 2>/dev/null || return 0
        sleep 0.05
    done
    kill -KILL "$1" 2>/dev/null || true
}

# The other way round from how they were started.
stop_all() {
    local at
    for ((at = ${#STARTED[@]} - 1; at >= 0; at--)); do
        stop "${STARTED[at]}"
    done
}

# wait_for SECONDS WHAT COMMAND...: until the command succeeds; ends the script if it does not, or at
# once if something that was started has ended.
wait_for() {
    local seconds=$1 what=$2 name
    shift 2
    local deadline=$((SECONDS + seconds))
    until "$@"; do
        for name in "${!CHILD[@]}"; do
            is_running "$name" || ended "$name"
        done
        ((SECONDS < deadline)) || die "after $seconds s, still not so: $what (logs: $DIR/*.log)"
        sleep 0.05
    done
}

# ended NAME: it should have gone on.
ended() {
    printf '\n' >&2
    tail -n 20 "$DIR/$1.log" | sed 's/^/    | /' >&2
    die "$1 has ended; the end of $DIR/$1.log is above"
}

# need_ports NAME=PORT...: ends the script if one is taken or named twice; what an earlier run of the
# same script left behind is told to go. The nodes share ports among their own threads (SO_REUSEPORT),
# so binding alone would not keep two clusters apart.
need_ports() {
    local each name port pid
    local -A seen=()
    for each in "$@"; do
        name=${each%%=*} port=${each#*=}
        [[ $port =~ ^[1-9][0-9]{0,4}$ ]] || die "$name=$port is not a port"
        [[ -z ${seen[$port]:-} ]] || die "port $port is both ${seen[$port]} and $name; set one to another"
        seen[$port]=$name
        for _ in {1..40}; do # a process that is just ending keeps its ports for a moment
            pid=$(port_holder "$port")
            [[ -n $pid ]] || break
            if is_leftover "$pid"; then end "$pid"; else sleep 0.05; fi
        done
        [[ -z $pid ]] || die "port $port is taken by $(name_of "$pid"); stop that, or set $name to another port"
    done
}

# The pid of who listens on a TCP port of loopback, `?` if it is not for us to see, or nothing.
port_holder() {
    local inode link
    inode=$(cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk -v port="$(printf ':%04X' "$1")" '
        $4 == "0A" && substr($2, length($2) - 4) == port && $2 ~ /^(0+|0100007F):/ { print $10; exit }')
    [[ -n $inode ]] || return 0
    link=$(find /proc/[0-9]*/fd -maxdepth 1 -lname "socket:\\[$inode\\]" -print -quit 2>/dev/null || true)
    link=${link#/proc/}
    link=${link%%/*}
    printf '%s' "${link:-?}"
}

name_of() {
    if [[ $1 == '?' ]]; then
        printf "another user's process"
    else
        printf '%s (pid %s)' "$(cat "/proc/$1/comm" 2>/dev/null || echo 'a process')" "$1"
    fi
}

# Whether a process works under DIR, as only what these scripts start does.
is_leftover() { tr '\0' ' ' 2>/dev/null <"/proc/${1:-none}/cmdline" | grep -qF " $DIR/"; } 2>/dev/null

# A proxy that the user has configured for the internet is not for loopback.
http() { curl -q --noproxy '*' --silent --show-error --max-time 10 "$@"; }

# get_json URL PATH: prints what is at a dotted path, such as `data.0.id`, of a JSON answer.
get_json() {
    local answer
    answer=$(http --fail "$1" 2>/dev/null) || return 1
    python3 -c '
import json, sys
value = json.load(sys.stdin)
for part in sys.argv[1].split("."):
    value = value[int(part)] if isinstance(value, list) else value[part]
print(value)' "$2" <<<"$answer" 2>/dev/null
}
