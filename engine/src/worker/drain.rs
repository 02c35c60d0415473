//! Leaving: stop accepting, finish what is in flight.
//!
//! Once the engine drains, the next response of every connection is its last.
//! Connections that wait for a request are kept until patience ends, since a
//! request may be under way on them. A worker leaves when its last connection
//! has; whatever is left at the deadline goes down with its runtime.

use std::convert::Infallible;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// What a worker is to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Order {
    #[default]
    Serve,
    /// Accept no more, and be gone by then.
    Leave { by: Instant },
}

/// Given with every connection; the worker waits until none is left.
#[derive(Clone, Debug)]
pub(crate) struct Guest(#[allow(dead_code)] mpsc::Sender<Infallible>);

/// Counts connections out.
#[derive(Debug)]
pub(super) struct Guests {
    guest: Guest,
    gone: mpsc::Receiver<Infallible>,
}

impl Guests {
    pub(super) fn new() -> Guests {
        let (guest, gone) = mpsc::channel(1);
        Guests { guest: Guest(guest), gone }
    }

    /// One more.
    pub(super) fn welcome(&self) -> Guest {
        self.guest.clone()
    }

    /// Waits until all have left, or `by` has passed.
    pub(super) async fn until_gone(self, by: Instant) {
        let Guests { guest, mut gone } = self;
        drop(guest);
        // Nothing is ever sent: this ends when the last sender is dropped.
        let _gone_or_late = tokio::time::timeout_at(by, gone.recv()).await;
    }
}

/// Waits until the worker is told to leave, and by when. An engine whose handle
/// was dropped leaves at once.
pub(super) async fn told_to_leave(orders: &mut watch::Receiver<Order>) -> Instant {
    match orders.wait_for(|order| *order != Order::Serve).await.map(|order| *order) {
        Ok(Order::Leave { by }) => by,
        Ok(Order::Serve) | Err(_) => Instant::now(),
    }
}

/// The instant in `patience`, however long that is.
pub(crate) fn deadline(patience: Duration) -> Instant {
    const LONG: Duration = Duration::from_secs(365 * 24 * 3600);
    Instant::now() + patience.min(LONG)
}
