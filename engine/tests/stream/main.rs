//! Streams and datagrams over real sockets, on each way of waiting there is.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[allow(dead_code, reason = "shared with other tests")]
#[path = "../upstream_tls/authority.rs"]
mod authority;
mod datagram;
mod drain;
mod routing;
mod secured;
mod setting;
mod tcp;

#[allow(dead_code, reason = "shared with other tests")]
#[path = "../tls/hello.rs"]
mod hello;
#[allow(dead_code, reason = "shared with other tests")]
#[path = "../tls/pem.rs"]
mod pem;
#[allow(dead_code, reason = "shared with other tests")]
#[path = "../proxy/support.rs"]
mod support;

/// Streams take none.
const LANES: engine::options::Lanes = engine::options::Lanes { express: true };
