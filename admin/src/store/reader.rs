//! A connection that reads, beside the one that writes: neither waits for the other, whatever it is at.
//!
//! It is made when it is first needed. Each reading is a transaction, so that all of it is of one moment.

use tokio::sync::{Mutex, MutexGuard};

use super::link::Link;
use super::{Place, StoreError, log};

/// Reads, one reading after the other.
pub(crate) struct Reader(Mutex<Connection>);

struct Connection {
    place: Place,
    /// None before the first reading, and after one that failed.
    link: Option<Link>,
}

/// A transaction that writes nothing. Dropped before it has ended, it takes its connection with it.
pub(super) struct Reading<'a> {
    pub(super) link: Link,
    home: MutexGuard<'a, Connection>,
}

impl Reader {
    pub(super) fn new(place: Place) -> Self {
        Self(Mutex::new(Connection { place, link: None }))
    }

    /// Whether the database answers.
    pub(crate) async fn is_reachable(&self) -> bool {
        let Ok(mut reading) = self.begin().await else { return false };
        log::head(&mut reading.link).await.is_ok() && reading.end().await.is_ok()
    }

    /// Waits for the turn to read, and begins.
    pub(super) async fn begin(&self) -> Result<Reading<'_>, StoreError> {
        let mut home = self.0.lock().await;
        if let Some(mut link) = home.link.take().filter(|link| !link.is_closed()) {
            match link.begin_reading().await {
                Ok(()) => return Ok(Reading { link, home }),
                // The server was restarted since: nothing was asked of it yet.
                Err(failure) if failure.is_of_connection() => {}
                Err(failure) => return Err(failure.into()),
            }
        }
        let mut link = home.place.connect().await?;
        link.begin_reading().await?;
        Ok(Reading { link, home })
    }
}

impl Reading<'_> {
    /// Ends, and keeps the connection for the next.
    pub(super) async fn end(mut self) -> Result<(), StoreError> {
        self.link.commit().await?;
        self.home.link = Some(self.link);
        Ok(())
    }
}
