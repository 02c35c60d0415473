//! The engine from outside: real sockets on both sides, everything between ours. All of it
//! on either lane.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::duplicate_mod, reason = "each test is two: the lane is in its name")]

#[path = "."]
mod express {
    use super::{GET, ours};

    const LANES: engine::options::Lanes = engine::options::Lanes { express: true };

    mod answers;
    mod buffering;
    mod forwarding;
    mod framing;
    mod kept;
    mod lanes; // between which one is chosen
    #[path = "../ring/leaving.rs"]
    mod leaving;
    mod lifecycle;
    mod logs;
    mod messages;
    mod plugins;
    mod pools;
    mod retries;
    mod relayed;
    mod support;
    mod tunnel;
    mod upstreams;
}

#[path = "."]
mod pingora {
    use super::{GET, ours};

    const LANES: engine::options::Lanes = engine::options::Lanes { express: false };

    mod answers;
    mod buffering;
    mod forwarding;
    mod framing;
    mod kept;
    mod lifecycle;
    mod logs;
    mod messages;
    mod plugins;
    mod pools;
    mod retries;
    mod relayed;
    mod support;
    mod tunnel;
    mod upstreams;
}

use model::VERSION;

const GET: &str = "GET /r HTTP/1.1\r\nHost: a.test\r\n\r\n";

/// What the gateway calls itself.
fn ours() -> String {
    format!("gateway/{VERSION}")
}
