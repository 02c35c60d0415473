//! What turns an empty database into one of ours, and an old one into a new one.
//!
//! A file is brought up to date whenever it is opened. A server is shared, by nodes of two versions
//! while one follows the other, so there it is an operator's decision: first what the older version can
//! live with ([`Migrations::up`]), and what it cannot once its last node is gone
//! ([`Migrations::finish`]). Nodes that migrate take turns.

use std::time::Duration;

use model::EntityKind;
use tokio::time::{Instant, sleep};
use tracing::info;

use super::link::{Link, Value};
use super::postgres::{Session, quoted};
use super::{OpenError, Postgres};

/// One step, in the words of each database.
pub(super) struct Migration {
    pub(super) name: &'static str,
    pub(super) sqlite: &'static str,
    pub(super) postgres: &'static str,
    /// What waits until no node of the version before is left, where there is such a thing.
    pub(super) finish: Option<&'static str>,
}

macro_rules! migrations {
    ($($name:literal),+ $(,)?) => {
        &[$(Migration {
            name: $name,
            sqlite: include_str!(concat!("../../migrations/sqlite/", $name, ".sql")),
            postgres: include_str!(concat!("../../migrations/postgres/", $name, ".sql")),
            finish: None,
        }),+]
    };
}

/// All there are, in their order.
pub(super) const ALL: &[Migration] =
    migrations!["0001_core", "0002_certificates", "0003_audit", "0004_consumers", "0005_plugins"];

/// Which were run.
pub(super) const TABLE: &str = "gateway_migrations";

/// Tables that are no entity's.
const OURS: [&str; 5] = ["head", "revisions", "audit", "identity", TABLE];

/// How long one migration may take where nobody says.
pub(crate) const STEP: Duration = Duration::from_secs(60);

/// How often a node that waits for its turn looks whether it is there.
const LOOK: Duration = Duration::from_millis(100);

/// What was done to a database, and what is left to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Whether anything was.
    pub bootstrapped: bool,
    /// Migrations that were run.
    pub executed: Vec<String>,
    /// Those of them that are to be finished.
    pub pending: Vec<String>,
    /// Migrations that are to be run.
    pub new: Vec<String>,
    /// Migrations this version does not know, which a newer one has run.
    pub unknown: Vec<String>,
    /// Those of them that are finished: this version cannot live with them.
    pub beyond: Vec<String>,
}

impl State {
    /// Whether a node of this version can work with it.
    pub(super) fn check(&self) -> Result<(), OpenError> {
        if !self.bootstrapped {
            return Err(OpenError::NotBootstrapped);
        }
        if let Some(newest) = self.beyond.last() {
            let known = ALL.last().map_or("", |migration| migration.name);
            return Err(OpenError::Newer { found: newest.clone(), known: known.to_owned() });
        }
        if self.new.is_empty() { Ok(()) } else { Err(OpenError::Behind(self.new.clone())) }
    }
}

/// A session that looks after the tables of a server's database.
pub struct Migrations {
    link: Link,
    schema: Option<String>,
    all: &'static [Migration],
}

impl Migrations {
    /// Connects. Each step may take `patience`.
    ///
    /// # Errors
    /// If the server cannot be reached, or does not let us in.
    pub async fn connect(options: &Postgres, patience: Duration) -> Result<Self, OpenError> {
        let options = Postgres { timeout: patience, ..options.clone() };
        let link = Link::Postgres(Box::new(Session::open(&options, None).await?));
        Ok(Self { link, schema: options.schema, all: ALL })
    }

    /// With other migrations than ours.
    #[cfg(test)]
    pub(super) fn of(self, all: &'static [Migration]) -> Self {
        Self { all, ..self }
    }

    /// What was done, and what is left to do.
    ///
    /// # Errors
    /// If the tables are another program's, or cannot be read.
    pub async fn state(&mut self) -> Result<State, OpenError> {
        state(&mut self.link, self.all).await
    }

    /// Waits for the turn to migrate, which lasts until this is dropped.
    ///
    /// # Errors
    /// If another node is not done within `patience`.
    pub async fn take_turn(&mut self, patience: Duration) -> Result<(), OpenError> {
        let asked = Instant::now();
        let schema = self.schema.as_deref().unwrap_or_default();
        let turn = "select pg_try_advisory_lock(hashtextextended('gateway migrations in ' || \
            coalesce(nullif($1, ''), current_schema(), ''), 0))::int::bigint as taken";
        loop {
            let taken = self.link.first(turn, &[Value::Text(schema)]).await?;
            if taken.map(|row| row.int("taken")).transpose()? == Some(1) {
                return Ok(());
            }
            if asked.elapsed() >= patience {
                return Err(OpenError::Migrating);
            }
            sleep(LOOK).await;
        }
    }

    /// Runs what is new, from nothing if need be, and says which that was. Each is run as a whole, or
    /// not at all.
    ///
    /// # Errors
    /// If the tables are another program's, or the server refuses.
    pub async fn up(&mut self) -> Result<Vec<String>, OpenError> {
        let encoding = self.link.first("show server_encoding", &[]).await?;
        let encoding = encoding.map(|row| row.text("server_encoding")).transpose()?;
        if let Some(other) = encoding.filter(|encoding| encoding != "UTF8") {
            return Err(OpenError::Encoding(other));
        }
        if let Some(schema) = self.schema.clone() {
            self.make_schema(&schema).await?;
        }
        let state = self.state().await?;
        if !state.bootstrapped {
            let create = format!(
                "create table if not exists {TABLE} (\
                     seq bigint generated always as identity primary key, \
                     name text not null unique, \
                     ran_at timestamp with time zone not null default now(), \
                     is_finished boolean not null)"
            );
            self.link.script(&create).await?;
        }
        for migration in self.all.iter().filter(|one| state.new.iter().any(|new| new == one.name)) {
            let Migration { name, postgres, finish, .. } = migration;
            let note = format!(
                "insert into {TABLE} (name, is_finished) values ('{name}', {})",
                finish.is_none()
            );
            self.link.script(&format!("begin;\n{postgres};\n{note};\ncommit")).await?;
        }
        Ok(state.new)
    }

    /// Whoever may use a schema that is there need not be allowed to make one.
    async fn make_schema(&mut self, schema: &str) -> Result<(), OpenError> {
        let found = "select 1::bigint from pg_namespace where nspname = $1::text";
        if self.link.first(found, &[Value::Text(schema)]).await?.is_none() {
            self.link.script(&format!("create schema {}", quoted(schema))).await?;
        }
        Ok(())
    }

    /// Finishes what was run, and says which that was.
    ///
    /// # Errors
    /// If the server refuses.
    pub async fn finish(&mut self) -> Result<Vec<String>, OpenError> {
        let state = self.state().await?;
        for migration in self.all {
            let Migration { name, finish: Some(finish), .. } = migration else { continue };
            if !state.pending.iter().any(|pending| pending == name) {
                continue;
            }
            let note = format!("update {TABLE} set is_finished = true where name = '{name}'");
            self.link.script(&format!("begin;\n{finish};\n{note};\ncommit")).await?;
        }
        Ok(state.pending)
    }

    /// Removes our tables with all that is in them.
    ///
    /// # Errors
    /// If there are none, or the server refuses.
    pub async fn reset(&mut self) -> Result<(), OpenError> {
        if !self.state().await?.bootstrapped {
            return Err(OpenError::NotBootstrapped);
        }
        let tables: Vec<_> = tables().map(quoted).collect();
        let drop = format!("drop table if exists {} cascade", tables.join(", "));
        Ok(self.link.script(&drop).await?)
    }

    /// Ends the session, and with it the turn.
    pub async fn close(self) {
        self.link.close().await;
    }
}

/// Takes the turn to migrate, and runs what is new. What is to be finished is an operator's decision.
pub(super) async fn bring_up(options: &Postgres, patience: Duration) -> Result<(), OpenError> {
    let mut migrations = Migrations::connect(options, options.timeout.max(STEP)).await?;
    migrations.take_turn(patience).await?;
    for name in migrations.up().await? {
        info!("[admin] {options}: migration {name} was run");
    }
    migrations.close().await;
    Ok(())
}

/// What was done to the database of this session.
pub(super) async fn state(link: &mut Link, all: &[Migration]) -> Result<State, OpenError> {
    let found = link
        .query(
            "select relname::text as name from pg_class \
             where relnamespace = to_regnamespace(quote_ident(current_schema())) \
             and relkind in ('r', 'p')",
            &[],
        )
        .await?;
    let found: Vec<_> = found.iter().map(|row| row.text("name")).collect::<Result<_, _>>()?;
    if !found.iter().any(|name| name == TABLE) {
        // Kong's own tables have the names of ours.
        if tables().any(|table| found.iter().any(|name| name == table)) {
            return Err(OpenError::NotOurs);
        }
        let new = all.iter().map(|migration| migration.name.to_owned()).collect();
        return Ok(State { new, ..State::default() });
    }
    let ran = format!("select name, is_finished::int::bigint as done from {TABLE} order by seq");
    let mut state = State::default();
    for row in link.query(&ran, &[]).await? {
        let (name, is_finished) = (row.text("name")?, row.int("done")? == 1);
        match all.iter().any(|migration| migration.name == name) {
            true if !is_finished => state.pending.push(name.clone()),
            true => {}
            false if is_finished => {
                state.beyond.push(name.clone());
                state.unknown.push(name.clone());
            }
            false => state.unknown.push(name.clone()),
        }
        state.executed.push(name);
    }
    let is_new = |migration: &&Migration| !state.executed.iter().any(|ran| ran == migration.name);
    state.new = all.iter().filter(is_new).map(|migration| migration.name.to_owned()).collect();
    // A node that was stopped before it ran the first has not begun.
    state.bootstrapped = !state.executed.is_empty();
    Ok(state)
}

/// Every table of ours.
pub(super) fn tables() -> impl Iterator<Item = &'static str> {
    OURS.into_iter().chain(EntityKind::ALL.iter().map(|kind| kind.name()))
}
