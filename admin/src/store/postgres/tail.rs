//! What other nodes wrote: the server notifies whoever listens. Should its word not arrive, it is
//! looked for every so often all the same, so that a lost session costs time and nothing else.

use std::convert::Infallible;
use std::time::Duration;

use model::RevisionId;
use model::causes::chain;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use super::super::link::DatabaseError;
use super::{Postgres, Session};

/// Where the server tells of new revisions.
pub(in super::super) const NOTIFY: &str = "select pg_notify('gateway_revisions', $1)";

const LISTEN: &str = "listen gateway_revisions";

/// How long to wait before listening again where that failed, at first and at most.
const AGAIN: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Listens for others.
pub(crate) struct Tail {
    options: Postgres,
    /// Counts how often something may have been written.
    told: watch::Sender<u64>,
}

impl Tail {
    /// One that has not begun, and what it will tell.
    pub(in super::super) fn new(options: Postgres) -> (Self, watch::Receiver<u64>) {
        let (told, tells) = watch::channel(0);
        (Self { options, told }, tells)
    }

    /// Listens for as long as anybody wants to know. `is_known` says which revisions are no news, such
    /// as our own.
    pub(crate) async fn run(self, is_known: impl Fn((u64, u64)) -> bool + Send) -> Infallible {
        let mut again = AGAIN.0;
        loop {
            let (notes, noted) = unbounded_channel();
            let failure = match Session::open(&self.options, Some(notes)).await {
                Ok(mut session) => match session.script(LISTEN).await {
                    Ok(()) => {
                        again = AGAIN.0;
                        self.listen(session, noted, &is_known).await
                    }
                    Err(failure) => failure,
                },
                Err(failure) => failure,
            };
            debug!("[admin] not listening to {}: {}", self.options, chain(&failure));
            sleep(again).await;
            self.tell();
            let longer = (2 * again).min(AGAIN.1);
            if longer == AGAIN.1 && longer != again {
                warn!("[admin] changes of other nodes come late: {}", chain(&failure));
            }
            again = longer;
        }
    }

    /// Tells until the session ends. Returns why it did.
    async fn listen(
        &self,
        mut session: Session,
        mut noted: UnboundedReceiver<String>,
        is_known: impl Fn((u64, u64)) -> bool,
    ) -> DatabaseError {
        self.tell(); // of what was written while nobody listened
        loop {
            match timeout(self.options.poll, noted.recv()).await {
                Ok(Some(note)) if position(&note).is_some_and(&is_known) => {}
                Ok(Some(_)) => self.tell(),
                // The session has ended, or nobody wrote: the server is asked which.
                Ok(None) | Err(_) => {
                    if let Err(failure) = session.script("select 1").await {
                        return failure;
                    }
                    self.tell();
                }
            }
        }
    }

    fn tell(&self) {
        self.told.send_modify(|count| *count += 1);
    }
}

/// What is notified of a revision: where it is in the order of all.
pub(in super::super) fn note(id: &RevisionId) -> String {
    let (epoch, version) = id.position();
    format!("{epoch} {version}")
}

fn position(note: &str) -> Option<(u64, u64)> {
    let (epoch, version) = note.split_once(' ')?;
    Some((epoch.parse().ok()?, version.parse().ok()?))
}
