//! Whether anything is asked for on a connection. One that asks for nothing
//! keeps others from its place, however well it answers pings.
//!
//! Of HTTP/1 only the time until the first request is kept here: from then on
//! the library keeps it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::{Instant, sleep_until};

use super::HEAD_TIMEOUT;

/// The streams open on one connection, and since when there is none.
#[derive(Clone, Debug)]
pub(super) struct Idle(Arc<Mutex<Streams>>);

#[derive(Debug)]
struct Streams {
    open: usize,
    idle_since: Instant,
}

/// One request and its answer: open until it is dropped.
#[derive(Debug)]
pub(super) struct Stream(Idle);

impl Idle {
    /// Nothing is asked for yet.
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(Streams { open: 0, idle_since: Instant::now() })))
    }

    /// Something is asked for.
    pub(super) fn open(&self) -> Stream {
        self.lock().open += 1;
        Stream(self.clone())
    }

    /// Resolves once nothing was asked for, from now on or since the last answer, for too long.
    pub(super) async fn too_long(&self) {
        let start = Instant::now();
        loop {
            let idle_since = {
                let streams = self.lock();
                if streams.open > 0 { Instant::now() } else { streams.idle_since.max(start) }
            };
            let patience_ends = idle_since + HEAD_TIMEOUT;
            if patience_ends <= Instant::now() {
                return;
            }
            sleep_until(patience_ends).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Streams> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let mut streams = self.0.lock();
        streams.open -= 1;
        streams.idle_since = Instant::now();
    }
}
