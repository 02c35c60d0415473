//! What attackers send: what they are answered, and what the origin sees of it, on either lane.
//!
//! Each test is named in docs/security.md. Clients write bytes and frames by hand, since those
//! that behave cannot be made to misbehave; origins remember everything they were sent.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::print_stdout, reason = "a child says what it measured, a test why it is skipped")]
#![allow(clippy::duplicate_mod, reason = "each test is two: the lane is in its name")]

#[allow(dead_code, reason = "shared with other tests")]
#[path = "../tls/pem.rs"]
mod pem;

#[path = "."]
mod express {
    use super::pem;

    const LANES: engine::options::Lanes = engine::options::Lanes { express: true };

    mod frames;
    mod framing;
    mod headers;
    #[allow(dead_code, reason = "shared with other tests")]
    #[path = "../tls/hello.rs"]
    mod hello;
    mod http2;
    mod memory;
    mod paths;
    mod patterns;
    mod slow;
    #[allow(dead_code, reason = "shared with other tests")]
    #[path = "../proxy/support.rs"]
    mod support;
    mod tls;
}

#[path = "."]
mod pingora {
    use super::pem;

    const LANES: engine::options::Lanes = engine::options::Lanes { express: false };

    mod frames;
    mod framing;
    mod headers;
    #[allow(dead_code, reason = "shared with other tests")]
    #[path = "../tls/hello.rs"]
    mod hello;
    mod http2;
    mod memory;
    mod paths;
    mod patterns;
    mod slow;
    #[allow(dead_code, reason = "shared with other tests")]
    #[path = "../proxy/support.rs"]
    mod support;
    mod tls;
}
