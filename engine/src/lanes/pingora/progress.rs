//! How far an HTTP/2 request has come, told by Pingora's phases to the task that carries it.
//!
//! Over HTTP/1 Pingora gives up a client that pauses within a body; over HTTP/2 it reads without
//! a deadline, and a client that sends nothing would hold its upstream connection for ever. The
//! task then lets go of the request, whose failure is kept here for its end.

use super::stall::Stall;
use crate::proxy::upstream::Failure;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// Shared by a request's phases and its task.
#[derive(Debug)]
pub(super) struct Progress {
    /// How long the client may be silent within the body, if that alone is a fault.
    limit: Option<Duration>,
    body: Mutex<Body>,
    listening: Notify,
    answered: AtomicBool,
    failure: OnceLock<Failure>,
    /// For calls that stream.
    pub(super) stall: Stall,
}

/// What is heard of a body.
#[derive(Clone, Copy, Debug)]
enum Body {
    /// Nobody listens: there is no upstream to send it to.
    Unheard,
    /// Something, at this time.
    Heard(Instant),
    /// Its end.
    Ended,
}

impl Progress {
    /// `ended`: there is no body to wait for.
    pub(super) fn new(limit: Option<Duration>, ended: bool) -> Progress {
        Progress {
            limit,
            body: Mutex::new(if ended { Body::Ended } else { Body::Unheard }),
            listening: Notify::new(),
            answered: AtomicBool::new(false),
            failure: OnceLock::new(),
            stall: Stall::default(),
        }
    }

    /// An upstream is there: from now on the client may not be silent for too long.
    pub(super) fn listen(&self) {
        self.set(Body::Heard(Instant::now()));
        self.listening.notify_one();
    }

    /// An upstream is looked for: the client is not to blame for the time that takes.
    pub(super) fn rest(&self) {
        self.set(Body::Unheard);
    }

    /// Some of the body has come, perhaps its end.
    pub(super) fn hear(&self, ended: bool) {
        self.set(if ended { Body::Ended } else { Body::Heard(Instant::now()) });
    }

    /// Waits until there is no point in waiting any longer; mostly for ever.
    pub(super) async fn is_hopeless(&self) {
        let failure = tokio::select! {
            () = self.silence() => Failure::BodyTimeout,
            () = self.stall.stalls() => Failure::Timeout,
        };
        self.failure.get_or_init(|| failure);
    }

    /// Why it was let go of, if it was.
    pub(super) fn failure(&self) -> Option<Failure> {
        self.failure.get().copied()
    }

    async fn silence(&self) {
        let Some(limit) = self.limit else { return std::future::pending().await };
        loop {
            let body = *self.body();
            match body {
                Body::Ended => return std::future::pending().await,
                Body::Unheard => self.listening.notified().await,
                Body::Heard(at) => {
                    let Some(end) = at.checked_add(limit) else {
                        return std::future::pending().await;
                    };
                    if end <= Instant::now() {
                        return;
                    }
                    sleep_until(end).await;
                }
            }
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

    /// A body that has ended stays so.
    fn set(&self, to: Body) {
        let mut body = self.body();
        if !matches!(*body, Body::Ended) {
            *body = to;
        }
    }

    fn body(&self) -> MutexGuard<'_, Body> {
        self.body.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::timeout;

    const SECOND: Duration = Duration::from_secs(1);

    async fn is_hopeless_within(progress: &Progress, seconds: u32) -> bool {
        timeout(seconds * SECOND, progress.is_hopeless()).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_measured_from_the_last_byte_and_not_behind_the_end() {
        let progress = Progress::new(Some(10 * SECOND), false);
        progress.listen();
        assert!(!is_hopeless_within(&progress, 9).await);
        progress.hear(false);
        assert!(!is_hopeless_within(&progress, 9).await);
        assert_eq!(progress.failure(), None);
        assert!(is_hopeless_within(&progress, 2).await);
        assert_eq!(progress.failure(), Some(Failure::BodyTimeout));
        progress.hear(true);
        progress.listen();
        assert!(!is_hopeless_within(&progress, 3600).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_is_not_blamed_while_an_upstream_is_looked_for() {
        let progress = Progress::new(Some(10 * SECOND), false);
        assert!(!is_hopeless_within(&progress, 3600).await);
        progress.listen();
        assert!(!is_hopeless_within(&progress, 9).await);
        progress.rest();
        assert!(!is_hopeless_within(&progress, 3600).await);
        progress.listen();
        assert!(is_hopeless_within(&progress, 11).await);
    }
}
