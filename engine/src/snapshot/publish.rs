//! The swap: how a snapshot becomes current, and who has seen it.
//!
//! Every worker has a cell of its own, and in it a [`Pinned`] of its own: counting who
//! holds a snapshot touches nothing that another core touches. A snapshot is
//! *effective* once every worker has seen it. The publisher keeps what it has
//! replaced until nobody else does, so that no worker ever frees a snapshot.

use super::Snapshot;
use arc_swap::ArcSwap;
use model::RevisionId;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use tokio::sync::{Notify, watch};

/// A worker's hold on a snapshot. A request keeps one from its first byte to its log
/// line; holding it longer keeps the snapshot in memory.
#[derive(Clone, Debug)]
pub struct Pinned(Arc<Publication>);

/// One snapshot in one cell.
#[derive(Debug)]
struct Publication {
    /// Counts what was published, from 0: order without comparing revisions.
    number: u64,
    snapshot: Arc<Snapshot>,
}

impl Deref for Pinned {
    type Target = Snapshot;

    fn deref(&self) -> &Snapshot {
        &self.0.snapshot
    }
}

/// What the publisher and one worker share.
#[derive(Debug)]
struct Cell {
    current: ArcSwap<Publication>,
    /// The number of the newest publication the worker has pinned.
    seen: AtomicU64,
    /// Wakes the worker.
    news: Notify,
    /// Wakes the publisher, which is the same for all cells.
    was_seen: Arc<Notify>,
}

/// A worker's end: one per worker, for all of its tasks. Dropping it says that the
/// worker is gone and is not to be waited for.
#[derive(Debug)]
pub struct Reader(Arc<Cell>);

impl Reader {
    /// The current snapshot. Once per request: two calls may give two snapshots.
    ///
    /// 30 ns; holding it in the thread besides would save 11 (arc-swap's `Cache`).
    #[inline]
    pub fn pin(&self) -> Pinned {
        let pinned = Pinned(self.0.current.load_full());
        // Only this worker stores here while its reader lives.
        if self.0.seen.load(Ordering::Relaxed) < pinned.0.number {
            self.0.seen.store(pinned.0.number, Ordering::Release);
            self.0.was_seen.notify_one();
        }
        pinned
    }

    /// Waits for a snapshot newer than any pinned. Each worker runs one task that calls
    /// this again and again: it is how a worker without requests sees what is new.
    pub async fn changed(&self) -> Pinned {
        loop {
            let seen = self.0.seen.load(Ordering::Relaxed);
            if seen < self.0.current.load().number {
                return self.pin();
            }
            self.0.news.notified().await;
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.seen.store(u64::MAX, Ordering::Release);
        self.0.was_seen.notify_one();
    }
}

/// The other end of every cell.
#[derive(Debug)]
pub struct Publisher {
    cells: Vec<Arc<Cell>>,
    was_seen: Arc<Notify>,
    current: Arc<Snapshot>,
    /// How often something was published.
    number: u64,
    /// Replaced, oldest first, but perhaps still held by requests.
    retired: Vec<Retired>,
    /// Tells whoever asks.
    held: watch::Sender<Held>,
}

#[derive(Debug)]
struct Retired {
    snapshot: Arc<Snapshot>,
    since: Instant,
}

/// The snapshots in memory: the current one, and those that requests still hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// How many, the current one included.
    pub count: usize,
    /// The oldest that is not current, if there is one.
    pub oldest: Option<Superseded>,
}

/// A snapshot that requests hold although another has replaced it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Superseded {
    /// What it was compiled from.
    pub revision: RevisionId,
    /// When it was replaced.
    pub since: Instant,
}

impl Publisher {
    /// A publisher, and a reader for each worker, which starts with this snapshot.
    pub fn new(first: Arc<Snapshot>, workers: usize) -> (Publisher, Vec<Reader>) {
        let was_seen = Arc::new(Notify::new());
        let cell = |_| {
            let publication = Publication { number: 0, snapshot: Arc::clone(&first) };
            Arc::new(Cell {
                current: ArcSwap::from_pointee(publication),
                seen: AtomicU64::new(0),
                news: Notify::new(),
                was_seen: Arc::clone(&was_seen),
            })
        };
        let cells: Vec<_> = (0..workers).map(cell).collect();
        let readers = cells.iter().map(|cell| Reader(Arc::clone(cell))).collect();
        let held = watch::Sender::new(Held { count: 1, oldest: None });
        let (current, retired) = (first, Vec::new());
        (Publisher { cells, was_seen, current, number: 0, retired, held }, readers)
    }

    /// What was published last.
    pub fn current(&self) -> &Arc<Snapshot> {
        &self.current
    }

    /// Makes a snapshot current for every worker. The next request of each sees it,
    /// those under way finish on theirs.
    pub fn publish(&mut self, snapshot: Arc<Snapshot>) {
        self.number += 1;
        for cell in &self.cells {
            let (number, snapshot) = (self.number, Arc::clone(&snapshot));
            cell.current.store(Arc::new(Publication { number, snapshot }));
            cell.news.notify_one();
        }
        let snapshot = std::mem::replace(&mut self.current, snapshot);
        self.retired.push(Retired { snapshot, since: Instant::now() });
        self.free_retired();
    }

    /// Whether every worker has seen what was published last.
    pub fn is_effective(&self) -> bool {
        self.cells.iter().all(|cell| cell.seen.load(Ordering::Acquire) >= self.number)
    }

    /// Waits until every worker has seen what was published last.
    pub async fn effective(&self) {
        while !self.is_effective() {
            self.was_seen.notified().await;
        }
    }

    /// Frees, here, the replaced snapshots that nobody holds any more. Says how many
    /// are still held.
    pub fn free_retired(&mut self) -> usize {
        self.retired.retain(|retired| Arc::strong_count(&retired.snapshot) > 1);
        let oldest = self.retired.first();
        let oldest = oldest.map(|old| Superseded { revision: old.snapshot.id, since: old.since });
        self.held.send_replace(Held { count: 1 + self.retired.len(), oldest });
        self.retired.len()
    }

    /// What is in memory, as of the last time it was looked after.
    pub fn held(&self) -> watch::Receiver<Held> {
        self.held.subscribe()
    }
}
