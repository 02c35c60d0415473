//! What a thread of streams counts besides its connections.

use super::{Counters, Relaxed};
use crossbeam::utils::CachePadded;
use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

/// A thread says at least so often that it goes round, once a second; one that does not is stuck.
const STUCK: Duration = Duration::from_secs(10);

/// One thread's counters.
#[derive(Debug)]
pub(crate) struct Tally {
    cells: CachePadded<Cells>,
    backend: OnceLock<String>,
    start: Instant,
}

#[derive(Debug, Default)]
struct Cells {
    ended: AtomicU64,
    failed: AtomicU64,
    sent: AtomicU64,
    received: AtomicU64,
    sessions: AtomicU64,
    dropped: AtomicU64,
    /// When it last went round, in milliseconds from the start.
    beat: AtomicU64,
}

/// What one thread of streams has done so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamStats {
    /// The CPU it is pinned to; none where pinning was refused.
    pub core: Option<usize>,
    /// What it waits with.
    pub backend: String,
    /// Whether it has not gone round for some time, as when the kernel refuses to wait.
    pub stuck: bool,
    /// Connections it has served or serves, those it was given included.
    pub accepted: u64,
    /// Connections open now.
    pub open: u64,
    /// Connections it accepted and gave to another.
    pub given: u64,
    /// Streams and exchanges of datagrams that have ended, well or not.
    pub ended: u64,
    /// Those that were refused or failed.
    pub failed: u64,
    /// Bytes that clients were sent by those that have ended.
    pub sent: u64,
    /// Bytes that those sent.
    pub received: u64,
    /// Clients that exchange datagrams now.
    pub sessions: u64,
    /// Datagrams that came and were not passed on.
    pub dropped: u64,
    /// Streams whose failure was not logged, since too many had been already.
    pub failures_unlogged: u64,
    /// Streams lost to a panic.
    pub panics: u64,
    /// TLS handshakes with clients that were completed.
    pub handshakes: u64,
    /// Those that were not.
    pub handshakes_failed: u64,
    /// Connections closed for want of the PROXY header their listener asks for.
    pub proxy_headers_failed: u64,
    /// Times it stopped accepting for want of places or descriptors.
    pub pauses: u64,
}

impl Default for Tally {
    fn default() -> Tally {
        Tally { cells: CachePadded::default(), backend: OnceLock::new(), start: Instant::now() }
    }
}

impl Tally {
    /// Says what the thread waits with.
    pub(crate) fn runs_on(&self, backend: String) {
        let _said_once = self.backend.set(backend);
    }

    /// The thread goes round.
    pub(crate) fn beat(&self) {
        let now = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.cells.beat.store(now, Relaxed);
    }

    pub(crate) fn count_stream(&self, is_well: bool, sent: u64, received: u64) {
        self.cells.ended.fetch_add(1, Relaxed);
        self.cells.failed.fetch_add((!is_well).into(), Relaxed);
        self.cells.sent.fetch_add(sent, Relaxed);
        self.cells.received.fetch_add(received, Relaxed);
    }

    pub(crate) fn count_session(&self, has_begun: bool) {
        match has_begun {
            true => self.cells.sessions.fetch_add(1, Relaxed),
            false => self.cells.sessions.fetch_sub(1, Relaxed),
        };
    }

    pub(crate) fn count_dropped(&self) {
        self.cells.dropped.fetch_add(1, Relaxed);
    }

    pub(crate) fn stats(&self, core: Option<usize>, counters: &Counters) -> StreamStats {
        let connections = counters.stats(core);
        let beat = Duration::from_millis(self.cells.beat.load(Relaxed));
        StreamStats {
            core,
            backend: self.backend.get().cloned().unwrap_or_default(),
            stuck: self.start.elapsed().saturating_sub(beat) > STUCK,
            accepted: connections.accepted,
            open: connections.open,
            given: connections.given,
            ended: self.cells.ended.load(Relaxed),
            failed: self.cells.failed.load(Relaxed),
            sent: self.cells.sent.load(Relaxed),
            received: self.cells.received.load(Relaxed),
            sessions: self.cells.sessions.load(Relaxed),
            dropped: self.cells.dropped.load(Relaxed),
            failures_unlogged: connections.failures_unlogged,
            panics: connections.panics,
            handshakes: connections.handshakes,
            handshakes_failed: connections.handshakes_failed,
            proxy_headers_failed: connections.proxy_headers_failed,
            pauses: connections.pauses,
        }
    }
}
