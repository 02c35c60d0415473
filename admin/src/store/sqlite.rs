//! The embedded database: one file, one connection that writes, and the
//! migrations that bring an older file up to date.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, SqliteConnection};

use super::{OpenError, migrations};

/// How long a statement waits for another process that holds the database, such as a backup.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Makes the file where there is none. It holds a private key: nobody else may read it.
pub(super) fn create(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.create(true).append(true).mode(0o600).open(path).map(drop)
}

/// Opens the one connection.
pub(super) async fn connect(path: &Path, busy: Duration) -> Result<SqliteConnection, sqlx::Error> {
    SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        // In WAL mode anything less loses acknowledged writes when the power fails.
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(busy)
        .foreign_keys(true)
        .connect()
        .await
}

/// Runs the migrations this file has not seen, all or none; how many it has is in `user_version`.
pub(super) async fn migrate(db: &mut SqliteConnection) -> Result<(), OpenError> {
    let refuse = |error: sqlx::Error| OpenError::Database(error.into());
    let mut tx = db.begin_with("begin immediate").await.map_err(refuse)?;
    let version = sqlx::query_scalar("pragma user_version").fetch_one(&mut *tx).await;
    let version: i64 = version.map_err(refuse)?;
    let tables = sqlx::query_scalar("select count(*) from sqlite_schema").fetch_one(&mut *tx).await;
    let tables: i64 = tables.map_err(refuse)?;
    let done = usize::try_from(version).unwrap_or(usize::MAX);
    if done == 0 && tables > 0 {
        return Err(OpenError::NotOurs);
    }
    let Some(pending) = migrations::ALL.get(done..) else {
        let known = migrations::ALL.len().to_string();
        return Err(OpenError::Newer { found: version.to_string(), known });
    };
    for migration in pending {
        sqlx::raw_sql(migration.sqlite).execute(&mut *tx).await.map_err(refuse)?;
    }
    // A pragma takes no parameters.
    let seen = format!("pragma user_version = {}", migrations::ALL.len());
    sqlx::raw_sql(sqlx::AssertSqlSafe(seen)).execute(&mut *tx).await.map_err(refuse)?;
    tx.commit().await.map_err(refuse)
}
