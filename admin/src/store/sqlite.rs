//! The embedded database: one file, one connection that writes, and the
//! migrations that bring an older file up to date.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, SqliteConnection};

use super::OpenError;

/// Each brings the database one version up; how many were run is in `user_version`.
const MIGRATIONS: &[&str] = &[
    include_str!("../../migrations/sqlite/0001_core.sql"),
    include_str!("../../migrations/sqlite/0002_certificates.sql"),
    include_str!("../../migrations/sqlite/0003_consumers.sql"),
];

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

/// Runs the migrations this file has not seen, all or none.
pub(super) async fn migrate(db: &mut SqliteConnection) -> Result<(), OpenError> {
    let mut tx = db.begin_with("begin immediate").await?;
    let version: i64 = sqlx::query_scalar("pragma user_version").fetch_one(&mut *tx).await?;
    let tables: i64 =
        sqlx::query_scalar("select count(*) from sqlite_schema").fetch_one(&mut *tx).await?;
    let done = usize::try_from(version).unwrap_or(usize::MAX);
    if done == 0 && tables > 0 {
        return Err(OpenError::NotOurs);
    }
    let Some(pending) = MIGRATIONS.get(done..) else {
        return Err(OpenError::Newer { found: version, known: MIGRATIONS.len() });
    };
    for migration in pending {
        sqlx::raw_sql(*migration).execute(&mut *tx).await?;
    }
    // A pragma takes no parameters.
    let seen = format!("pragma user_version = {}", MIGRATIONS.len());
    sqlx::raw_sql(sqlx::AssertSqlSafe(seen)).execute(&mut *tx).await?;
    Ok(tx.commit().await?)
}
