//! The command line as an operator meets it: the real binary, its output and its exit codes.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    unreachable_pub,
    reason = "a test that cannot go on fails; a test program has no other callers"
)]

mod support;

mod words;
mod gen_cert;
mod check;
mod process;
mod reload;
mod admin;
mod packaged;
mod migrations;
mod vault;
mod config;
