//! Waiting for what can be observed.

use std::time::{Duration, Instant};

/// How long anything may take that has no limit of its own: a debug build on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

const PAUSE: Duration = Duration::from_millis(5);

/// Looks again and again until something is found. Past `limit`, what was seen last is the failure.
pub async fn within<T>(limit: Duration, mut look: impl AsyncFnMut() -> Result<T, String>) -> T {
    let start = Instant::now();
    loop {
        match look().await {
            Ok(found) => return found,
            Err(seen) => assert!(start.elapsed() < limit, "after {limit:?}: {seen}"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}
