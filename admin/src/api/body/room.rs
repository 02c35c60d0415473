//! Room for large bodies: what a few clients send must not fill the memory.
//!
//! What is parsed takes several times what was sent, so a body keeps its room
//! until it has been dealt with, by the committer too. Small ones need none:
//! there are as many as there are connections, and they wait for nobody.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Up to this many bytes a body is small.
pub(super) const SMALL: usize = 64 * 1024;

/// Bytes of large bodies at a time: one of the largest by default, and several others.
const ALL: u32 = 16 << 20;

/// The room that all large bodies share.
#[derive(Debug)]
pub(crate) struct Rooms(Arc<Semaphore>);

/// The room of one body, until the last of these is dropped.
#[derive(Clone, Debug)]
pub(crate) struct Room(
    #[expect(dead_code, reason = "held for its drop")] Arc<OwnedSemaphorePermit>,
);

impl Rooms {
    /// Waits until there is room for this many bytes. A body that is larger than all the room there is
    /// gets all of it.
    pub(super) async fn take(&self, bytes: usize) -> Room {
        let bytes = u32::try_from(bytes).map_or(ALL, |bytes| bytes.min(ALL));
        let room = Arc::clone(&self.0).acquire_many_owned(bytes).await;
        Room(Arc::new(room.expect("the semaphore is never closed")))
    }
}

impl Default for Rooms {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(ALL as usize)))
    }
}
