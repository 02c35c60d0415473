//! Where the database is. What is not there is not asked for all the time, and what comes back must be
//! what was there.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::causes::chain;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{info, warn};

use super::link::{DatabaseError, Link};
use super::postgres::Session;
use super::postgres::tail::Tail;
use super::{OpenError, Postgres, StoreError, cluster, migrations, sqlite};
use crate::signing::SigningKey;

/// How long a database that is not there is let alone, at first and at most.
const ALONE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// Where the database is.
pub(crate) struct Place {
    at: At,
    /// The public half of the key that was found there.
    of: Option<[u8; 32]>,
    /// What it is called in the log.
    name: &'static str,
    /// Of all who connect to it, so that it is told once.
    outage: Arc<Mutex<Option<Outage>>>,
}

#[derive(Clone)]
enum At {
    File {
        path: PathBuf,
        /// How long a statement waits for another process that holds the file.
        busy: Duration,
    },
    Server {
        options: Arc<Postgres>,
        /// How long to wait for the turn to migrate, if that is to be done.
        migrate: Option<Duration>,
    },
}

/// A time without a database.
struct Outage {
    since: Instant,
    pause: Duration,
    until: Instant,
}

impl Place {
    /// A file, made if it is not there.
    pub(crate) fn file(path: PathBuf) -> Self {
        Self::at(At::File { path, busy: sqlite::BUSY_TIMEOUT })
    }

    /// A server, whose tables are brought up to date if the turn to do so comes within `migrate`.
    pub(crate) fn server(options: Postgres, migrate: Option<Duration>) -> Self {
        Self::at(At::Server { options: Arc::new(options), migrate })
    }

    fn at(at: At) -> Self {
        Self { at, of: None, name: "the database", outage: Arc::default() }
    }

    /// The same place, for another connection.
    pub(super) fn again(&self) -> Self {
        let Self { at, of, name, outage } = self;
        Self { at: at.clone(), of: *of, name, outage: Arc::clone(outage) }
    }

    /// Where there is a copy of it that may be a moment old, if there is any.
    pub(super) fn replica(&self) -> Option<Self> {
        let At::Server { options, .. } = &self.at else { return None };
        let replica = Postgres::clone(options.replica.as_deref()?);
        Some(Self { of: self.of, name: "the replica", ..Self::server(replica, None) })
    }

    /// How long a statement waits for another process that holds the file.
    #[cfg(test)]
    pub(super) fn be_busy_for(&mut self, patience: Duration) {
        if let At::File { busy, .. } = &mut self.at {
            *busy = patience;
        }
    }

    /// Opens it for the first time.
    pub(super) async fn open(&mut self) -> Result<Link, OpenError> {
        match &self.at {
            At::File { path, busy } => {
                sqlite::create(path).map_err(OpenError::File)?;
                let mut db = sqlite::connect(path, *busy).await.map_err(DatabaseError::from)?;
                sqlite::migrate(&mut db).await?;
                Ok(Link::Sqlite(db))
            }
            At::Server { options, migrate } => {
                if let Some(patience) = migrate {
                    migrations::bring_up(options, *patience).await?;
                }
                let mut link = Link::Postgres(Box::new(Session::open(options, None).await?));
                let state = migrations::state(&mut link, migrations::ALL).await?;
                state.check()?;
                if !state.pending.is_empty() {
                    let left = state.pending.join(", ");
                    info!("[admin] {options}: the migrations {left} are to be finished");
                }
                Ok(link)
            }
        }
    }

    /// Whose database it must be from now on.
    pub(super) fn is_of(&mut self, key: &SigningKey) {
        self.of = Some(key.public());
    }

    /// Connects, unless that failed a moment ago.
    pub(super) async fn connect(&self) -> Result<Link, StoreError> {
        if self.outage().as_ref().is_some_and(|outage| Instant::now() < outage.until) {
            return Err(DatabaseError::Away.into());
        }
        match self.connect_now().await {
            Ok(link) => {
                if let Some(outage) = self.outage().take() {
                    let time = outage.since.elapsed();
                    info!("[admin] {} is there again, after {time:.1?}", self.name);
                }
                Ok(link)
            }
            Err(failure) => {
                self.leave_alone(&failure);
                Err(failure)
            }
        }
    }

    fn outage(&self) -> MutexGuard<'_, Option<Outage>> {
        self.outage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connect_now(&self) -> Result<Link, StoreError> {
        let mut link = match &self.at {
            At::File { path, busy } => {
                Link::Sqlite(sqlite::connect(path, *busy).await.map_err(DatabaseError::from)?)
            }
            At::Server { options, .. } => {
                Link::Postgres(Box::new(Session::open(options, None).await?))
            }
        };
        if cluster(&mut link).await? == self.of { Ok(link) } else { Err(StoreError::Replaced) }
    }

    /// It is asked for again after a while, which grows with every failure.
    fn leave_alone(&self, failure: &StoreError) {
        let now = Instant::now();
        let mut outage = self.outage();
        let outage = outage.get_or_insert_with(|| {
            warn!("[admin] {} is gone: {}", self.name, chain(failure));
            Outage { since: now, pause: ALONE.0, until: now }
        });
        outage.until = now + outage.pause;
        outage.pause = (2 * outage.pause).min(ALONE.1);
    }

    /// What others tell when they write to it.
    pub(super) fn tail(&self) -> Option<(Tail, watch::Receiver<u64>)> {
        match &self.at {
            At::File { .. } => None,
            At::Server { options, .. } => Some(Tail::new(Postgres::clone(options))),
        }
    }
}
