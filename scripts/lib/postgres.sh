# shellcheck shell=bash
# A PostgreSQL server of a script's own, which keeps what it is told below DIR. Sourced after processes.sh.
#
# It listens on a Unix socket and nowhere else, and has the defaults of its version, so that what it has
# committed is on the disk.

# start_postgres [OPTION...]: with an empty database `kong`, which belongs to `kong`. Sets POSTGRES, the
# directory of its socket, and POSTGRES_BIN; options are the server's.
start_postgres() {
    POSTGRES=$DIR/postgres POSTGRES_BIN=$(postgres_programs)
    local as_user=() user
    if ((EUID == 0)); then # whom initdb refuses
        user=$(id -un postgres 2>/dev/null || id -un nobody)
        as_user=(setpriv "--reuid=$user" "--regid=$(id -g "$user")" --clear-groups)
        install -d -o "$user" "$POSTGRES"
    else
        mkdir -p "$POSTGRES"
    fi
    (cd "$POSTGRES" && "${as_user[@]}" "$POSTGRES_BIN/initdb" -D "$POSTGRES/data" -U kong -A trust -E UTF8 --locale=C) \
        >"$DIR/initdb.log" 2>&1 || die "PostgreSQL could not be set up; see $DIR/initdb.log"
    # Told again, since a process that becomes another user forgets it.
    ((EUID != 0)) || as_user+=(--pdeathsig TERM)
    spawn postgres "${as_user[@]}" "$POSTGRES_BIN/postgres" -D "$POSTGRES/data" -k "$POSTGRES" -c listen_addresses= "$@"
    wait_for 30 "PostgreSQL answers" "$POSTGRES_BIN/pg_isready" -q -h "$POSTGRES" -U kong -d postgres
    new_database
}

# new_database: empties `kong`.
new_database() {
    "$POSTGRES_BIN/dropdb" -h "$POSTGRES" -U kong --if-exists kong 2>/dev/null
    "$POSTGRES_BIN/createdb" -h "$POSTGRES" -U kong kong
}

# Where its programs are: where the path says, or where Debian puts the newest.
postgres_programs() {
    local initdb
    initdb=$(command -v initdb || compgen -G '/usr/lib/postgresql/*/bin/initdb' | sort -V | tail -n 1)
    dirname "$(realpath -e "$initdb")"
}
