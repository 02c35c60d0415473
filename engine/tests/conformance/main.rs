//! What Kong 3.10 does with a request, asked of the engine through real sockets: over
//! HTTP/1.1 and HTTP/2, with and without TLS.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[allow(dead_code, reason = "shared with other tests")]
#[path = "../tls/hello.rs"]
mod hello;
#[allow(dead_code, reason = "shared with other tests")]
#[path = "../tls/pem.rs"]
mod pem;
#[allow(dead_code, reason = "shared with other tests")]
#[path = "../proxy/support.rs"]
mod support;
#[allow(dead_code, reason = "shared with other tests")]
#[path = "../grpc/origin.rs"]
mod calls; // an upstream that speaks HTTP/2

mod client; // one request, in any of four ways
mod node; // an engine that listens for all of them
mod routing; // Kong's own routing cases
mod golden; // what is sent to whom, byte by byte: cases/*.case
mod hosts; // whom an upstream over TLS is addressed as

use engine::options::Lanes;

/// Those that engines have which nobody tells otherwise.
const LANES: Lanes = Lanes { express: true };
/// All there are.
const BOTH: [Lanes; 2] = [Lanes { express: true }, Lanes { express: false }];
