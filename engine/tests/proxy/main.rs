//! The engine from outside: real sockets on both sides, everything between ours.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod answers;
mod buffering;
mod forwarding;
mod framing;
mod kept;
mod lanes;
mod lifecycle;
mod logs;
mod messages;
mod pools;
mod retries;
mod relayed;
mod support;
mod tunnel;
mod upstreams;

use model::VERSION;

const GET: &str = "GET /r HTTP/1.1\r\nHost: a.test\r\n\r\n";

/// What the gateway calls itself.
fn ours() -> String {
    format!("gateway/{VERSION}")
}
