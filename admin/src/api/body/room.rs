//! Room for bodies: what clients send must not fill the memory.
//!
//! What is parsed takes several times what was sent, so a body keeps its room
//! until it has been dealt with, by the committer too. Large ones share little of
//! that, and get it once they have come whole: how long it is taken is up to us,
//! not to a client. On their way they have room of another kind, of which there
//! is more. Small ones have room of their own, as much as all connections of
//! HTTP/1 can use, so that they never wait for large ones.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Up to this many bytes a body is small.
pub(super) const SMALL: usize = 64 * 1024;

/// Bytes of large bodies that are dealt with at a time: one of the largest by default, and several others.
const ALL_LARGE: u32 = 16 << 20;

/// Bytes of large bodies on their way: a dozen of the largest by default.
const ALL_ARRIVING: u32 = 128 << 20;

/// Bytes of small bodies at a time.
const ALL_SMALL: u32 = 256 << 20;

/// The room that all bodies share.
#[derive(Debug)]
pub(crate) struct Rooms {
    large: Arc<Semaphore>,
    arriving: Arc<Semaphore>,
    small: Arc<Semaphore>,
}

/// The room of one body, until the last of these is dropped.
#[derive(Clone, Debug)]
pub(crate) struct Room(
    #[expect(dead_code, reason = "held for its drop")] Arc<OwnedSemaphorePermit>,
);

impl Rooms {
    /// Waits until there is room to deal with this many bytes. A body that is larger than all the room
    /// there is gets all of it.
    pub(super) async fn take(&self, bytes: usize) -> Room {
        if bytes > SMALL {
            take(&self.large, bytes, ALL_LARGE).await
        } else {
            take(&self.small, bytes, ALL_SMALL).await
        }
    }

    /// The same for a large body that is still to come.
    pub(super) async fn expect(&self, bytes: usize) -> Room {
        take(&self.arriving, bytes, ALL_ARRIVING).await
    }
}

async fn take(rooms: &Arc<Semaphore>, bytes: usize, all: u32) -> Room {
    let bytes = u32::try_from(bytes).map_or(all, |bytes| bytes.min(all));
    let room = Arc::clone(rooms).acquire_many_owned(bytes).await;
    Room(Arc::new(room.expect("the semaphore is never closed")))
}

impl Default for Rooms {
    fn default() -> Self {
        let rooms = |bytes: u32| Arc::new(Semaphore::new(bytes as usize));
        Self { large: rooms(ALL_LARGE), arriving: rooms(ALL_ARRIVING), small: rooms(ALL_SMALL) }
    }
}
