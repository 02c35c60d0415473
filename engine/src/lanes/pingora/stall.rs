//! Notices calls that stream and on which nothing moves any more.
//!
//! Pingora counts an upstream's time from the beginning of a try, as if the request had been sent
//! by then. A call whose client goes on sending for longer than that is in order, so such calls
//! are watched from here instead: both directions count, and only their common silence is too
//! much. Its task then lets go of the call, which resets it on both sides.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// Shared by a call's phases and its task.
#[derive(Debug, Default)]
pub(super) struct Stall {
    watched: Mutex<Option<Watched>>,
    begun: Notify,
}

#[derive(Clone, Copy, Debug)]
struct Watched {
    limit: Duration,
    moved: Instant,
}

impl Stall {
    /// From now on nothing may be silent for so long.
    pub(super) fn watch(&self, limit: Duration) {
        *self.watched() = Some(Watched { limit, moved: Instant::now() });
        self.begun.notify_one();
    }

    /// Something has come, from either side.
    pub(super) fn note_movement(&self) {
        if let Some(watched) = self.watched().as_mut() {
            watched.moved = Instant::now();
        }
    }

    /// Waits until nothing has moved for too long; for ever if nobody watches.
    pub(super) async fn stalls(&self) {
        loop {
            let watched = *self.watched();
            let Some(Watched { limit, moved }) = watched else {
                self.begun.notified().await;
                continue;
            };
            let end = moved + limit;
            if end <= Instant::now() {
                return;
            }
            sleep_until(end).await;
        }
    }

    fn watched(&self) -> MutexGuard<'_, Option<Watched>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::{sleep, timeout};

    #[tokio::test(start_paused = true)]
    async fn only_the_silence_of_both_sides_is_a_stall() {
        let second = Duration::from_secs(1);
        let stall = Stall::default();
        let watching = async {
            sleep(3600 * second).await;
            stall.watch(10 * second);
            for _ in 0..5 {
                sleep(9 * second).await;
                stall.note_movement();
            }
            std::future::pending::<()>().await;
        };
        let begun = Instant::now();
        tokio::select! {
            () = stall.stalls() => {}
            _ = timeout(3656 * second, watching) => panic!("it has stalled a second ago"),
        }
        assert_eq!(begun.elapsed(), 3655 * second);
    }
}
