//! A hybrid cluster from outside: real processes, real sockets, real files.
//!
//! Every test has a [`support::Site`] of its own: a directory, a certificate pair, ports nobody else
//! gets. Tests wait for what they can observe, never for time to pass, and print the logs of every
//! process when they fail.

#![allow(
    clippy::duplicate_mod,
    clippy::unwrap_used,
    clippy::print_stderr,
    unreachable_pub,
    reason = "a test that cannot go on fails, says what its processes said, and has its lane in its name"
)]

mod support;

// What clients and origins see is the same with the express lane and without.
#[path = "."]
mod express {
    const LANE: &str = "on";

    mod proxying; // a request through the cluster
    mod uploads; // bodies that go too far, or find no room
    mod door; // what clients may do
    mod drain; // leaving with very much under way
}
#[path = "."]
mod pingora {
    const LANE: &str = "off";

    mod proxying; // a request through the cluster
    mod uploads; // bodies that go too far, or find no room
    mod door; // what clients may do
    mod drain; // leaving with very much under way
}
mod routing; // Kong's cases, loaded as documents
mod tls; // and over TLS
mod streams; // what is no request
mod clients; // from programs that others wrote
mod peers; // and to them: gRPC and WebSocket on both sides
mod certificates; // odd ones
mod upstream_tls; // TLS on both sides of it
mod sync; // a change on its way
mod dbless; // no database: a document is the configuration
mod outage; // either side gone
mod databases; // several control planes on one, and none
mod deck; // Kong's own tool, on either of them
mod cache; // the files that outlive a restart, damaged
mod identity; // who may join
mod refusal; // a revision that cannot be served
mod lifecycle; // stop, quit, drain, workers
mod load; // changes under load
