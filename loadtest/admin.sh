#!/usr/bin/env bash
# What the Admin API costs: single writes, pages of a long list, an import, memory; on both databases.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=loadtest/lib.sh
source loadtest/lib.sh
# shellcheck source=scripts/lib/postgres.sh
source scripts/lib/postgres.sh

usage() {
    cat <<'END'
Usage: loadtest/admin.sh [OPTION...]

  --databases "NAME..."  of sqlite and postgres ("sqlite postgres")
  --clients N            that write at once (32)
  --seconds N            they do so (10)
  --routes N             of the file that is imported (100000)
  --rows N               of the list that is read page by page (1000000)
  --keep                 leave the report in loadtest/runs/

Variables: USE_GATEWAY=FILE (build nothing), LOADTEST_PORT=19000 (the first of seven ports).
END
}

DATABASES=(sqlite postgres) CLIENTS=32 SECONDS_EACH=10 ROUTES=100000 ROWS=1000000 KEEP=no

main() {
    read_options "$@"
    need curl python3
    if [[ " ${DATABASES[*]} " == *" postgres "* ]]; then
        want_postgresql
        has postgresql || die "there is no PostgreSQL here; without it: --databases sqlite"
    fi
    begin 7
    forget_gateway_variables
    cluster_pair
    ADMIN=http://127.0.0.1:$ADMIN_PORT
    admin file routes "$ROUTES" "$DIR/routes.yml"
    admin file consumers "$ROWS" "$DIR/consumers.yml"
    [[ " ${DATABASES[*]} " != *" postgres "* ]] || start_postgres

    local database
    for database in "${DATABASES[@]}"; do
        say "$database" >&2
        measure "$database"
    done
    write_report >"$DIR/report.md"
    report "$DIR/report.md" admin
}

read_options() {
    while (($#)); do
        case $1 in
            --keep) KEEP=yes && shift ;;
            --clients) number "$1" "${2:-}" && CLIENTS=$2 && shift 2 ;;
            --seconds) number "$1" "${2:-}" && SECONDS_EACH=$2 && shift 2 ;;
            --routes) number "$1" "${2:-}" && ROUTES=$2 && shift 2 ;;
            --rows) number "$1" "${2:-}" && ROWS=$2 && shift 2 ;;
            --databases)
                read -ra DATABASES <<<"${2:-}"
                if printf '%s\n' "${DATABASES[@]}" | grep -qvxE 'sqlite|postgres'; then usage >&2 && exit 2; fi
                shift 2
                ;;
            -h | --help) usage && exit 0 ;;
            *) usage >&2 && exit 2 ;;
        esac
    done
}

# One database after the other, so that what is measured has the machine to itself.
measure() {
    local database=$1
    begin_with_nothing "$database"
    start
    writes "$database | none"
    halt

    begin_with_nothing "$database"
    import "$database | $ROUTES routes" routes.yml
    start
    admin memory "$database | at start" "${CHILD[control-plane]}" >>"$DIR/memory"
    writes "$database | $ROUTES"
    admin memory "$database | after the writes" "${CHILD[control-plane]}" >>"$DIR/memory"
    halt

    begin_with_nothing "$database"
    import "$database | $ROWS consumers" consumers.yml
    start
    note "a list of $ROWS" >&2
    { printf '| %s ' "$database" && admin walk "$ADMIN" /consumers "$ROWS"; } >>"$DIR/pages"
    halt
}

admin() { python3 -B loadtest/admin.py "$@"; }

# A configuration for the database, and nothing in it.
begin_with_nothing() {
    local properties=("database = $1" "role = control_plane" "admin_listen = 127.0.0.1:$ADMIN_PORT"
        "cluster_listen = 127.0.0.1:$CLUSTER_PORT" "status_listen = 127.0.0.1:$CP_STATUS_PORT"
        "admin_access_log = off")
    rm -rf "$DIR/control-plane"
    if [[ $1 == postgres ]]; then
        new_database
        write_conf control-plane "${properties[@]}" "pg_host = $POSTGRES" "pg_user = kong" "pg_database = kong"
        "$GATEWAY" migrations bootstrap -c "$DIR/control-plane.conf" >"$DIR/bootstrap.log" 2>&1 ||
            die "the database could not be bootstrapped; see $DIR/bootstrap.log"
    else
        write_conf control-plane "${properties[@]}"
    fi
}

start() {
    note "starting" >&2
    start_plane control-plane
    wait_for 120 "the control plane is ready" is_ready "$CP_STATUS_PORT"
    wait_for 10 "the Admin API answers" http --fail --output /dev/null "$ADMIN/" 2>/dev/null
}

halt() { stop control-plane; }

# writes CELLS: the row begins with them.
writes() {
    note "writes, ${1##* } before" >&2
    { printf '| %s ' "$1" && admin write "$ADMIN" "$CLIENTS" "$SECONDS_EACH" "$DIR"; } >>"$DIR/writes"
}

# import CELLS FILE: the row begins with them.
import() {
    note "importing $2" >&2
    admin import "$1" "$DIR/$2" "$GATEWAY" config db_import "$DIR/$2" -c "$DIR/control-plane.conf" 2>"$DIR/import.log" |
        grep '^|' >>"$DIR/imports" || die "the import failed; see $DIR/import.log"
}

write_report() {
    cat <<END
# What the Admin API costs, $(date -u +%Y-%m-%d)

$(gateway_version); $(hardware). One control plane, the client and the database on the same cores and disk.

## Single writes

$CLIENTS clients for $SECONDS_EACH s, each making a route at a time and waiting for the reply, which follows the commit (SQLite: WAL,
synchronous = FULL; PostgreSQL: its defaults, synchronous_commit = on). Afterwards the revisions of the log are what was
acknowledged, no more and no less, one version after the other. Flushes: 4 KiB added to a file and fdatasync, right before and right after.

| database | routes before | writes/s | reply p50 ms | p99 ms | writes | flushes/s of the disk |
|---|--:|--:|--:|--:|--:|--:|
$(cat "$DIR/writes")

## Import

\`gateway config db_import\`, as one revision; memory is its own, at its highest.

| database | what | file MiB | seconds | user s | system s | MiB |
|---|---|--:|--:|--:|--:|--:|
$(cat "$DIR/imports")

## Memory of a control plane

With the imported routes.

| database | when | resident MiB | at its highest |
|---|---|--:|--:|
$(cat "$DIR/memory")

## Pages of 1,000 of a long list

All of the list, page after page, until the last byte of each is read.

| database | rows | pages | KiB each | p50 ms | p99 ms | max ms |
|---|--:|--:|--:|--:|--:|--:|
$(cat "$DIR/pages")
END
}

main "$@"
