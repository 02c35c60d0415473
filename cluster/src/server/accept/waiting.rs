//! The room for peers of whom it is not known who they are: bounded, and never
//! full for long. Who has not begun to introduce itself makes way for whoever
//! comes after, the oldest first; so does who began but takes too long.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{Instant, timeout};

/// How often to look for somebody who has become slow, while all are busy.
const AGAIN: Duration = Duration::from_millis(100);

/// The room.
#[derive(Debug)]
pub(super) struct Room {
    places: Arc<Semaphore>,
    /// For how long who has spoken keeps its place while others want it.
    patience: Duration,
    /// In the order of their arrival.
    guests: Mutex<Guests>,
}

#[derive(Debug, Default)]
struct Guests {
    next: u64,
    all: BTreeMap<u64, Guest>,
}

#[derive(Debug)]
struct Guest {
    since: Instant,
    silent: bool,
    /// Dropped to tell it to leave.
    _stay: oneshot::Sender<()>,
}

/// A place in the room, free again when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    room: Arc<Room>,
    number: u64,
    leave: oneshot::Receiver<()>,
    _permit: OwnedSemaphorePermit,
}

impl Room {
    /// A room for so many, who are left alone for this long once they have spoken.
    pub(super) fn new(places: usize, patience: Duration) -> Arc<Self> {
        let places = Arc::new(Semaphore::new(places));
        Arc::new(Self { places, patience, guests: Mutex::default() })
    }

    /// A place for the next one, if need be that of somebody else.
    pub(super) async fn place(self: &Arc<Self>) -> Place {
        loop {
            if self.places.available_permits() == 0 {
                self.make_room();
            }
            let permit = timeout(AGAIN, Arc::clone(&self.places).acquire_owned()).await;
            if let Ok(permit) = permit {
                return self.enter(permit.expect("this semaphore is never closed"));
            }
        }
    }

    fn enter(self: &Arc<Self>, permit: OwnedSemaphorePermit) -> Place {
        let (stay, leave) = oneshot::channel();
        let mut guests = self.guests();
        let number = guests.next;
        guests.next += 1;
        guests.all.insert(number, Guest { since: Instant::now(), silent: true, _stay: stay });
        drop(guests);
        Place { room: Arc::clone(self), number, leave, _permit: permit }
    }

    fn make_room(&self) {
        let mut guests = self.guests();
        let oldest = |wanted: &dyn Fn(&Guest) -> bool| {
            guests.all.iter().find(|(_, guest)| wanted(guest)).map(|(number, _)| *number)
        };
        let slow = |guest: &Guest| guest.since.elapsed() >= self.patience;
        if let Some(number) = oldest(&|guest| guest.silent).or_else(|| oldest(&slow)) {
            guests.all.remove(&number);
        }
    }

    fn guests(&self) -> MutexGuard<'_, Guests> {
        self.guests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// It has introduced itself, or begun to.
    pub(super) fn spoke(&self) {
        if let Some(guest) = self.room.guests().all.get_mut(&self.number) {
            guest.silent = false;
        }
    }

    /// Resolves when somebody else needs the place.
    pub(super) async fn wanted(&mut self) {
        let _ = (&mut self.leave).await; // the sender says it by being dropped
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.room.guests().all.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(3);

    #[tokio::test(start_paused = true)]
    async fn the_oldest_that_is_silent_makes_way() {
        let room = Room::new(3, PATIENCE);
        let (spoke, mut silent, _later) =
            (room.place().await, room.place().await, room.place().await);
        spoke.spoke();
        let left = tokio::spawn(async move { silent.wanted().await });
        let start = Instant::now();
        room.place().await;
        assert!(start.elapsed() < AGAIN);
        left.await.expect("it was told");
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_spoken_makes_way_only_if_it_is_slow() {
        let room = Room::new(1, PATIENCE);
        let mut slow = room.place().await;
        slow.spoke();
        let start = Instant::now();
        let left = tokio::spawn(async move { slow.wanted().await });
        room.place().await;
        assert!((PATIENCE..PATIENCE + 2 * AGAIN).contains(&start.elapsed()));
        left.await.expect("it was told");
    }
}
