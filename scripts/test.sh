#!/usr/bin/env bash
# All tests, from a fresh clone: installs what they need, then format, lints, and every test.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib/needs.sh
source scripts/lib/needs.sh

# Incremental artifacts pay off at the second build of a crate; a machine of CI's sees one.
[[ -z ${CI:-} ]] || export CARGO_INCREMENTAL=0

say "What this machine needs"
need "${BUILD_NEEDS[@]}" openssl curl
need_rust
need_cargo fmt clippy
note "all here: compilers, cmake, libclang, $(cargo --version)"

say "Format"
cargo fmt --all --check

say "Lints"
cargo clippy --workspace --all-targets --locked -- -D warnings

# In this order, so that what fails soonest comes first, and the last word is that of the end-to-end
# and integration tests. The same packages and features each time: nothing is compiled twice.
say "Unit tests"
cargo test --workspace --locked --no-fail-fast --lib --bins

say "Examples in the documentation"
cargo test --workspace --locked --no-fail-fast --doc

say "Integration and end-to-end tests"
cargo test --workspace --locked --no-fail-fast --test '*'
