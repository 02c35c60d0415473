//! What is most often got wrong by those who speak Kong's Admin API: a conversation about each.
//!
//! One that begins with `# Without a database` is with a node that has none.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use admin::Storage;
use model::judge::Lenient;
use support::conversation::converse;
use support::{Plane, options_of};
use tempfile::TempDir;

const WITHOUT: &str = "# Without a database\n";

#[test]
fn none_of_the_likeliest_mistakes_is_made() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/mistakes");
    model::testing::cases::check(dir, |input| {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let plane = start(input.starts_with(WITHOUT)).await;
            let output = converse(&plane, input).await;
            plane.server.shutdown(Duration::MAX).await;
            output
        })
    });
}

async fn start(without_database: bool) -> Plane {
    if without_database {
        let options = options_of(Storage::Nowhere(None), Arc::new(Lenient));
        Plane::start_with(Arc::new(TempDir::new().unwrap()), options).await
    } else {
        Plane::start().await
    }
}
