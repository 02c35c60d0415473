# shellcheck shell=bash
# What a machine must have before anything is built, and where to get it. Sourced by the scripts.
#
# `need NAME...` finds out by looking for the thing itself, never by asking a package manager, so that
# every distribution will do. What is missing is installed with apt where this user may, else it is
# named in one line.

say() { printf '\n==> %s\n' "$*"; }
note() { printf '    %s\n' "$*"; }
die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# What compiles the workspace. BoringSSL wants cmake, C++ and git (its crate applies patches with it);
# the crates that read C headers want libclang; SQLite and LMDB come as C sources; cargo's downloads
# are checked against the system's certificates.
# shellcheck disable=SC2034 # used by those who source this
readonly BUILD_NEEDS=(cc c++ make cmake clang libclang pkg-config git ca-certificates)

# need NAME...: has what is missing installed, or ends the script.
need() {
    local missing=()
    missing_of "$@"
    ((${#missing[@]})) || return 0
    apt_install "${missing[@]}" || true
    missing_of "$@"
    ((${#missing[@]} == 0)) ||
        die "this machine lacks ${missing[*]}; on Debian and Ubuntu: sudo apt-get install $(packages_of "${missing[@]}")"
}

# want NAME...: the same for what can be done without: tests that lack a program skip, and say so.
want() {
    local missing=()
    missing_of "$@"
    ((${#missing[@]})) || return 0
    apt_install "${missing[@]}" || true
    missing_of "$@"
    ((${#missing[@]} == 0)) || note "not here, so what needs it is skipped: ${missing[*]}"
}

# The same for PostgreSQL, of which Debian's package would make a database and start it.
want_postgresql() {
    local settings=/etc/postgresql-common/createcluster.conf as_root=()
    if ! has_postgresql && apt_install postgresql-common; then
        ((EUID == 0)) || as_root=(sudo -n)
        echo 'create_main_cluster = false' | "${as_root[@]}" tee -a "$settings" >/dev/null || true
    fi
    want postgresql
}

missing_of() {
    local name
    missing=()
    for name in "$@"; do
        has "$name" || missing+=("$name")
    done
}

has() {
    case $1 in
        libclang) has_libclang ;;
        postgresql) has_postgresql ;;
        ca-certificates) has_certificates ;;
        *) command -v "$1" >/dev/null ;;
    esac
}

# Where the clang-sys crate looks, more or less.
has_libclang() {
    [[ -z ${LIBCLANG_PATH:-} ]] || return 0
    local pattern
    for pattern in '/usr/lib/llvm-*/lib' '/usr/lib/*-linux-gnu*' /usr/lib /usr/lib64 '/usr/lib64/llvm*/lib*' /usr/local/lib; do
        [[ -z $(compgen -G "$pattern/libclang*.so*") ]] || return 0
    done
    return 1
}

# Where the tests look: Debian keeps its programs out of the way.
has_postgresql() {
    command -v initdb >/dev/null || [[ -n $(compgen -G '/usr/lib/postgresql/*/bin/initdb') ]]
}

has_certificates() {
    [[ -n ${SSL_CERT_FILE:-} || -n ${SSL_CERT_DIR:-} || -e /etc/ssl/certs/ca-certificates.crt ||
        -e /etc/pki/tls/certs/ca-bundle.crt || -e /etc/ssl/ca-bundle.pem || -e /etc/ssl/cert.pem ]]
}

packages_of() {
    local name
    for name in "$@"; do
        case $name in
            cc | c++ | make) echo build-essential ;;
            libclang) echo libclang-dev ;;
            python3) echo python3 ;;
            nginx) echo nginx-light ;;
            h2load) echo nghttp2-client ;;
            setpriv | flock | taskset) echo util-linux ;;
            *) echo "$name" ;;
        esac
    done | sort -u | paste -sd ' '
}

# Fails where there is no apt, or where it would have to ask for a password.
apt_install() {
    command -v apt-get >/dev/null || return 1
    local packages as_root=()
    read -ra packages <<<"$(packages_of "$@")"
    if ((EUID != 0)); then
        sudo -n true 2>/dev/null || return 1
        as_root=(sudo -n)
    fi
    say "Installing ${packages[*]} with apt"
    "${as_root[@]}" apt-get update -qq || true # an old list may still do
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "${packages[@]}" </dev/null >/dev/null
}

# Ends the script unless cargo is here and new enough for Cargo.toml's rust-version.
need_rust() {
    # Whoever has just installed Rust may be in a shell that does not know it yet.
    command -v cargo >/dev/null || PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin
    command -v cargo >/dev/null || die "cargo is missing; install Rust $(rust_version) or newer: https://rustup.rs"
    local said
    said=$(cargo --version 2>/dev/null) ||
        die "cargo is installed but does not run; with rustup: rustup default stable"
    read -r _ said _ <<<"$said"
    [[ $(printf '%s\n' "$(rust_version)" "${said%%-*}" | sort -V | head -n 1) == "$(rust_version)" ]] ||
        die "cargo is $said, but Cargo.toml asks for $(rust_version) or newer; with rustup: rustup update stable"
}

rust_version() { sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml; }

# need_clients DIRECTORY PACKAGE...: a Python there with these packages. Says so where it cannot be had.
need_clients() {
    local directory=$1 kept
    shift
    kept=$directory/packages
    [[ $(cat "$kept" 2>/dev/null) != "$*" ]] || return 0
    # Debian's python3 makes environments only with another package.
    python3 -c 'import ensurepip' 2>/dev/null || apt_install python3 python3-venv || true
    if python3 -m venv "$directory" 2>/dev/null &&
        "$directory/bin/pip" install --quiet --disable-pip-version-check --only-binary=:all: "$@"; then
        echo "$*" >"$kept"
    else
        note "no Python with $*: the tests with those clients will skip"
    fi
}

# need_cargo NAME...: cargo's components, such as clippy.
need_cargo() {
    local name
    for name in "$@"; do
        cargo "$name" --version >/dev/null 2>&1 ||
            die "cargo $name is missing; with rustup: rustup component add ${name/#fmt/rustfmt}"
    done
}
