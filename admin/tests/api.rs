//! The Admin API in conversations, as `support::conversation` reads them.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod support;

use support::Plane;
use support::conversation::converse;

#[test]
fn exchanges() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/api");
    model::testing::cases::check(dir, |input| {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let plane = Plane::start().await;
            let output = converse(&plane, input).await;
            plane.server.shutdown(std::time::Duration::MAX).await;
            output
        })
    });
}
