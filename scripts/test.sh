#!/usr/bin/env bash
# All tests, from a fresh clone: installs what they need, then format, lints, and every test.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib/needs.sh
source scripts/lib/needs.sh

# Incremental artifacts pay off at the second build of a crate; a machine of CI's sees one.
[[ -z ${CI:-} ]] || export CARGO_INCREMENTAL=0

say "What this machine needs"
need "${BUILD_NEEDS[@]}" openssl
want curl h2load shellcheck setpriv
want_postgresql
need_rust
need_cargo fmt clippy
note "all here: compilers, cmake, libclang, $(cargo --version)"
# gRPC and WebSocket as others have written them; tests that cannot have them skip, and say so.
need_clients "${CARGO_TARGET_DIR:-target}/clients" grpcio websockets

say "Format"
cargo fmt --all --check

say "Lints"
cargo clippy --workspace --all-targets --locked -- -D warnings
! has shellcheck || find .ci scripts loadtest \( -name '*.sh' -o -name run -type f \) -exec shellcheck -x --severity warning {} +

# In this order, so that what fails soonest comes first, and the last word is that of the end-to-end
# and integration tests. The same packages and features each time: nothing is compiled twice.
say "Unit tests"
cargo test --workspace --locked --no-fail-fast --lib --bins

say "Examples in the documentation"
cargo test --workspace --locked --no-fail-fast --doc

say "Integration and end-to-end tests"
cargo test --workspace --locked --no-fail-fast --test '*'

# That it works, not how fast: with the binary those tests have built. What it needs is not installed
# for it, since nginx's package would start a server.
say "Load test"
if has wrk && has nginx && (($(nproc) > 1)); then
    USE_GATEWAY=${CARGO_TARGET_DIR:-target}/debug/gateway loadtest/run.sh --quick --scenario small,pushes >/dev/null
else
    note "wrk, nginx and two cores are not all here: skipped"
fi
