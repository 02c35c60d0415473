//! What the database keeps, and what happens when it does not.

#[path = "../../tests/support/postgres.rs"]
mod server;

use std::path::PathBuf;

use model::Terms;
use model::delta::Delta;
use model::entities::Service;
use model::judge::Lenient;
use model::testing::{route, service};
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::{oneshot, watch};

use super::*;
use crate::clock::Clock;
use crate::commit::{Committer, Failure};
use crate::write::{self, Draft};

const NOW: Timestamp = Timestamp::from_seconds(1_000_000);

/// A database of one's own.
struct Home {
    at: At,
    keep: Keep,
}

enum At {
    Dir(TempDir),
    Server(Postgres),
}

impl Home {
    fn file() -> Self {
        Self::at(At::Dir(TempDir::new().unwrap()))
    }

    /// None where there is no PostgreSQL.
    async fn server() -> Option<Self> {
        let options = on(server::Server::shared()?);
        migrations::bring_up(&options, Duration::ZERO).await.unwrap();
        Some(Self::at(At::Server(options)))
    }

    fn at(at: At) -> Self {
        Self { at, keep: Keep { revisions: 1000, audit: Duration::from_secs(3600) } }
    }

    fn path(&self) -> PathBuf {
        match &self.at {
            At::Dir(dir) => dir.path().join("gateway.db"),
            At::Server(at) => panic!("{at} is no file"),
        }
    }

    fn place(&self) -> Place {
        match &self.at {
            At::Dir(_) => Place::file(self.path()),
            At::Server(options) => Place::server(options.clone(), None),
        }
    }

    async fn open(&self) -> Opened {
        Store::open(self.place(), self.keep, NOW).await.unwrap()
    }

    /// Why it does not open.
    async fn refusal(&self) -> OpenError {
        match Store::open(self.place(), self.keep, NOW).await {
            Ok(_) => panic!("it opened"),
            Err(error) => error,
        }
    }

    /// Another program with its hands on the tables.
    async fn intruder(&self) -> Link {
        match &self.at {
            At::Dir(_) => {
                Link::Sqlite(sqlite::connect(&self.path(), sqlite::BUSY_TIMEOUT).await.unwrap())
            }
            At::Server(options) => {
                Link::Postgres(Box::new(postgres::Session::open(options, None).await.unwrap()))
            }
        }
    }

    async fn steps(&self) -> Vec<Delta> {
        log::steps(&mut self.intruder().await).await.unwrap()
    }

    async fn audited(&self) -> Vec<(String, i64)> {
        let noted = "select what, version from audit order by seq";
        let rows = self.intruder().await.query(noted, &[]).await.unwrap();
        let noted = |row: &link::Row| (row.text("what").unwrap(), row.int("version").unwrap());
        rows.iter().map(noted).collect()
    }

    async fn damage(&self, sql: &str) {
        let mut link = self.intruder().await;
        link.script(sql).await.unwrap();
        link.close().await;
    }

    /// Bytes, as the database writes them.
    fn bytes(&self, hex: &str) -> String {
        match self.at {
            At::Dir(_) => format!("x'{hex}'"),
            At::Server(_) => format!("'\\x{hex}'"),
        }
    }
}

/// A new database of this server, without tables.
fn on(server: &server::Server) -> Postgres {
    Postgres {
        host: server.socket().to_str().unwrap().to_owned(),
        port: server.port(),
        database: server.database(),
        // A machine that does other things may leave either alone for a while.
        timeout: Duration::from_secs(60),
        ..Postgres::default()
    }
}

/// Each is a test of both databases.
macro_rules! on_both {
    ($($name:ident),+ $(,)?) => {
        mod sqlite_ {
            $(#[tokio::test]
            async fn $name() {
                super::$name(super::Home::file()).await;
            })+
        }

        mod postgres_ {
            $(#[tokio::test]
            async fn $name() {
                if let Some(home) = super::Home::server().await {
                    super::$name(home).await;
                }
            })+
        }
    };
}

/// A committer and what it publishes.
struct Running {
    committer: Committer,
    revisions: watch::Receiver<Arc<Revision>>,
    end: oneshot::Receiver<()>,
}

impl Running {
    fn start(opened: Opened) -> Self {
        let clock = Clock::new(|| NOW);
        let (committer, revisions, end) =
            Committer::start(opened.into(), Arc::new(Lenient), clock).unwrap();
        Self { committer, revisions, end }
    }

    async fn add(&self, name: &str) -> Result<Service, Failure> {
        add(&self.committer, name).await
    }

    async fn stop(self) -> Arc<Revision> {
        let head = self.revisions.borrow().clone();
        drop(self.committer);
        self.end.await.unwrap();
        head
    }
}

async fn add(committer: &Committer, name: &str) -> Result<Service, Failure> {
    let body = json!({ "name": name, "host": "a.test" });
    let author = Author { who: "test".into(), what: format!("add {name}").into() };
    committer
        .write(author, move |config, now| {
            write::create::<Service>(
                &mut Draft::new(config, true, Terms::default()),
                now,
                body.as_object().cloned().unwrap_or_default(),
            )
        })
        .await
}

mod writing; // what becomes of a write
mod keeping; // what is there afterwards
mod tables; // whose it is
