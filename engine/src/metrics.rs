//! What each worker counts, summed by whoever asks.
//!
//! A worker writes its own [`Counters`] only, so counting never waits for
//! another core; a reader sees each number as it was a moment ago.

mod streams; // threads of streams

pub use streams::StreamStats;
pub(crate) use streams::Tally;

use crossbeam::utils::CachePadded;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tokio::sync::Notify;

/// One worker's counters.
#[derive(Debug, Default)]
pub(crate) struct Counters(CachePadded<Cells>, Option<Arc<Notify>>);

#[derive(Debug, Default)]
struct Cells {
    accepted: AtomicU64,
    open: AtomicU64,
    given: AtomicU64,
    requests: AtomicU64,
    express: AtomicU64,
    unlogged: AtomicU64,
    panics: AtomicU64,
    handshakes: AtomicU64,
    handshakes_failed: AtomicU64,
    sent_away: AtomicU64,
    proxy_headers_failed: AtomicU64,
    pauses: AtomicU64,
}

/// What one worker has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WorkerStats {
    /// The CPU it is pinned to; none where pinning was refused.
    pub core: Option<usize>,
    /// Connections it has served or serves, those it was given included.
    pub accepted: u64,
    /// Connections open now.
    pub open: u64,
    /// Connections it accepted and gave to another worker.
    pub given: u64,
    /// Requests begun, refused ones included.
    pub requests: u64,
    /// Those of them that took the express lane.
    pub express: u64,
    /// Requests whose failure was not logged, since too many had been already.
    pub failures_unlogged: u64,
    /// Connections lost to a panic, and HTTP/2 requests that were.
    pub panics: u64,
    /// TLS handshakes that were completed.
    pub handshakes: u64,
    /// TLS handshakes that were not.
    pub handshakes_failed: u64,
    /// HTTP/2 connections that were ended for what their clients did.
    pub sent_away: u64,
    /// Connections closed for want of the PROXY header their listener asks for.
    pub proxy_headers_failed: u64,
    /// Times it stopped accepting because all workers had as many connections as they may, or the
    /// process almost as many descriptors.
    pub pauses: u64,
}

impl Counters {
    /// Whoever waits for `freed` is told when a connection ends.
    pub(crate) fn telling(freed: Option<Arc<Notify>>) -> Counters {
        Counters(CachePadded::default(), freed)
    }

    pub(crate) fn count_pause(&self) {
        self.0.pauses.fetch_add(1, Relaxed);
    }

    pub(crate) fn count_request(&self) {
        self.0.requests.fetch_add(1, Relaxed);
    }

    pub(crate) fn count_express(&self) {
        self.0.express.fetch_add(1, Relaxed);
    }

    pub(crate) fn count_given(&self) {
        self.0.given.fetch_add(1, Relaxed);
    }

    pub(crate) fn count_handshake(&self, completed: bool) {
        let cell = if completed { &self.0.handshakes } else { &self.0.handshakes_failed };
        cell.fetch_add(1, Relaxed);
    }

    pub(crate) fn count_sent_away(&self) {
        self.0.sent_away.fetch_add(1, Relaxed);
    }

    pub(crate) fn count_proxy_header_failed(&self) {
        self.0.proxy_headers_failed.fetch_add(1, Relaxed);
    }

    pub(crate) fn count_panic(&self) {
        self.0.panics.fetch_add(1, Relaxed);
    }

    pub(crate) fn count_unlogged(&self) {
        self.0.unlogged.fetch_add(1, Relaxed);
    }

    pub(crate) fn open(&self) -> u64 {
        self.0.open.load(Relaxed)
    }

    /// Counts a connection in; it counts itself out.
    pub(crate) fn connection(self: &Arc<Self>) -> Connection {
        self.0.accepted.fetch_add(1, Relaxed);
        self.0.open.fetch_add(1, Relaxed);
        Connection(self.clone())
    }

    pub(crate) fn stats(&self, core: Option<usize>) -> WorkerStats {
        WorkerStats {
            core,
            accepted: self.0.accepted.load(Relaxed),
            open: self.0.open.load(Relaxed),
            given: self.0.given.load(Relaxed),
            requests: self.0.requests.load(Relaxed),
            express: self.0.express.load(Relaxed),
            failures_unlogged: self.0.unlogged.load(Relaxed),
            panics: self.0.panics.load(Relaxed),
            handshakes: self.0.handshakes.load(Relaxed),
            handshakes_failed: self.0.handshakes_failed.load(Relaxed),
            sent_away: self.0.sent_away.load(Relaxed),
            proxy_headers_failed: self.0.proxy_headers_failed.load(Relaxed),
            pauses: self.0.pauses.load(Relaxed),
        }
    }
}

/// A connection that is open for as long as this lives. Dropped by a panic, it
/// counts that: the runtime catches the panic itself, at the task's edge.
#[derive(Debug)]
pub(crate) struct Connection(Arc<Counters>);

impl Connection {
    /// It did not come about: it is not counted at all.
    pub(crate) fn never_was(self) {
        self.0.0.accepted.fetch_sub(1, Relaxed);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.0.open.fetch_sub(1, Relaxed);
        if let Some(freed) = &self.0.1 {
            freed.notify_waiters();
        }
        if std::thread::panicking() {
            self.0.0.panics.fetch_add(1, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_costs_its_connection_and_is_counted() {
        let counters = Arc::new(Counters::default());
        let (doomed, well) = (counters.connection(), counters.connection());
        let lost = tokio::spawn(async move {
            let _doomed = doomed;
            tokio::task::yield_now().await;
            panic!("on purpose");
        });
        assert!(lost.await.is_err());
        let stats = counters.stats(None);
        assert_eq!((stats.accepted, stats.open, stats.panics), (2, 1, 1));
        drop(well);
        assert_eq!(counters.stats(None).panics, 1);
    }
}
