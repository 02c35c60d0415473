//! The engine from outside once more, with io_uring: everything the other backend is asked, and what only
//! this one can get wrong. Where the kernel has no io_uring it is the other backend that answers.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::print_stdout, reason = "a child says what it measured")]

#[path = "../proxy/answers.rs"]
mod answers;
#[path = "../proxy/buffering.rs"]
mod buffering;
#[path = "../proxy/forwarding.rs"]
mod forwarding;
#[path = "../proxy/framing.rs"]
mod framing;
#[path = "../proxy/kept.rs"]
mod kept;
#[path = "../proxy/lifecycle.rs"]
mod lifecycle;
#[path = "../proxy/logs.rs"]
mod logs;
#[path = "../proxy/messages.rs"]
mod messages;
#[path = "../proxy/pools.rs"]
mod pools;
#[path = "../proxy/relayed.rs"]
mod relayed;
#[path = "../proxy/retries.rs"]
mod retries;
#[allow(dead_code, reason = "shared with other tests")]
#[path = "../proxy/support.rs"]
mod support;
#[path = "../proxy/tunnel.rs"]
mod tunnel;
#[path = "../proxy/upstreams.rs"]
mod upstreams;

mod idle; // what a connection costs that does nothing
mod leaving; // draining and stopping
mod moves; // from a ring to its worker
mod streaming; // long bodies, slow ends

use engine::options::Lanes;
use model::VERSION;

/// What these tests are of.
#[allow(dead_code, reason = "not all that shares them asks")]
const LANES: Lanes = Lanes { express: true };

const GET: &str = "GET /r HTTP/1.1\r\nHost: a.test\r\n\r\n";

/// What the gateway calls itself.
fn ours() -> String {
    format!("gateway/{VERSION}")
}
