//! How far an HTTP/2 request has come, told by Pingora's phases to the task that carries it.
//!
//! Over HTTP/1 Pingora gives up a client that pauses within a body; over HTTP/2 it reads without
//! a deadline, and a client that sends nothing would hold its upstream connection for ever.

use super::stall::Stall;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// Shared by a request's phases and its task.
#[derive(Debug)]
pub(super) struct Progress {
    /// How long the client may be silent within the body, if that alone is a fault.
    limit: Option<Duration>,
    /// When something was last heard of the body; `None` once it has ended.
    heard: Mutex<Option<Instant>>,
    answered: AtomicBool,
    /// For calls that stream.
    pub(super) stall: Stall,
}

impl Progress {
    /// `ended`: there is no body to wait for.
    pub(super) fn new(limit: Option<Duration>, ended: bool) -> Progress {
        let heard = Mutex::new((!ended).then(Instant::now));
        Progress { limit, heard, answered: AtomicBool::new(false), stall: Stall::default() }
    }

    /// Some of the body has come, perhaps its end.
    pub(super) fn hear(&self, ended: bool) {
        *self.heard() = (!ended).then(Instant::now);
    }

    /// Waits until the client has been silent for too long; for ever once its body has ended.
    pub(super) async fn silence(&self) {
        loop {
            let heard = *self.heard();
            let end = heard.and_then(|heard| heard.checked_add(self.limit?));
            let Some(end) = end else { return std::future::pending().await };
            if end <= Instant::now() {
                return;
            }
            sleep_until(end).await;
        }
    }

    /// The client has been sent an answer.
    pub(super) fn note_answered(&self) {
        self.answered.store(true, Relaxed);
    }

    /// Whether it has.
    pub(super) fn is_answered(&self) -> bool {
        self.answered.load(Relaxed)
    }

    fn heard(&self) -> MutexGuard<'_, Option<Instant>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::timeout;

    #[tokio::test(start_paused = true)]
    async fn silence_is_measured_from_the_last_byte_and_not_behind_the_end() {
        let second = Duration::from_secs(1);
        let progress = Progress::new(Some(10 * second), false);
        assert!(timeout(9 * second, progress.silence()).await.is_err());
        progress.hear(false);
        assert!(timeout(9 * second, progress.silence()).await.is_err());
        assert!(timeout(2 * second, progress.silence()).await.is_ok());
        progress.hear(true);
        assert!(timeout(3600 * second, progress.silence()).await.is_err());
    }
}
