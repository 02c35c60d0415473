//! One connection to a database, whichever it is. The statements are the same for both: parameters are
//! `$1`, `$2`, … and what only one of them understands has a function here.
//!
//! A connection that failed is not used again: whoever has it drops it, and a transaction with it.

use std::fmt::Write;
use std::time::Duration;

use boring::error::ErrorStack;
use futures::TryStreamExt;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{AssertSqlSafe, Connection, Executor, Row as _, SqliteConnection};
use uuid::Uuid;

use super::postgres::Session;

/// How many statements SQLite is told together. It keeps what it has prepared of them under their text, so
/// that the more there are, the fewer come again.
const TOGETHER: usize = 16;

/// A connection.
pub(super) enum Link {
    /// To the embedded database.
    Sqlite(SqliteConnection),
    /// To a server.
    Postgres(Box<Session>),
}

/// What a parameter of a statement is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value<'a> {
    /// Nothing.
    Null,
    /// A number.
    Int(i64),
    /// Text, for people.
    Text(&'a str),
    /// Text that must differ from that of others.
    Key(&'a str),
    /// Bytes.
    Bytes(&'a [u8]),
    /// The id of an entity.
    Id(Uuid),
}

impl Value<'_> {
    /// How much of it is sent, roughly.
    pub(super) fn length(&self) -> usize {
        match self {
            Self::Text(text) | Self::Key(text) => text.len(),
            Self::Bytes(bytes) => bytes.len(),
            Self::Null | Self::Int(_) | Self::Id(_) => size_of::<Uuid>(),
        }
    }
}

/// A statement and its parameters.
#[derive(Clone, Debug)]
pub(super) struct Call<'a> {
    /// Made of our own words, never of input.
    pub(super) sql: &'a str,
    /// In their order.
    pub(super) values: Vec<Value<'a>>,
}

/// A row that was found.
pub(super) enum Row {
    Sqlite(SqliteRow),
    Postgres(tokio_postgres::Row),
}

/// Why a database did not do what it was told.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// SQLite refuses: the disk is full, the file is locked or gone.
    #[error("SQLite refuses")]
    Sqlite(#[from] sqlx::Error),
    /// PostgreSQL refuses, or is gone.
    #[error("PostgreSQL refuses")]
    Postgres(#[from] tokio_postgres::Error),
    /// PostgreSQL says nothing.
    #[error("PostgreSQL said nothing for {0:?} (pg_timeout)")]
    Silent(Duration),
    /// TLS cannot be set up.
    #[error("TLS to PostgreSQL cannot be set up")]
    Tls(#[from] ErrorStack),
    /// It was not there a moment ago, and is given a moment.
    #[error("the database was not there a moment ago")]
    Away,
}

impl DatabaseError {
    /// Whether the database is there and objects to what it was told alone, such as to a broken
    /// constraint.
    pub(super) fn is_objection(&self) -> bool {
        use sqlx::error::ErrorKind::Other;
        match self {
            Self::Sqlite(sqlx::Error::Database(error)) => !matches!(error.kind(), Other),
            // Data that is not of the column's type, constraints, and limits of rows and statements.
            Self::Postgres(error) => error
                .code()
                .is_some_and(|code| matches!(code.code().get(..2), Some("22" | "23" | "54"))),
            _ => false,
        }
    }

    /// Whether it may be well in a moment: the database is away, not up yet, or has too many sessions.
    pub(super) fn is_transient(&self) -> bool {
        match self {
            Self::Postgres(error) => error.code().is_none_or(|code| {
                let code = code.code();
                matches!(code.get(..2), Some("08" | "53")) || code.starts_with("57P0")
            }),
            Self::Silent(_) | Self::Away => true,
            Self::Sqlite(_) | Self::Tls(_) => false,
        }
    }

    /// Whether nothing more can be said over this connection, whatever was wrong.
    pub(super) fn is_of_connection(&self) -> bool {
        match self {
            Self::Postgres(error) => {
                // Class 57 are those of a server that ends the session: it is stopped, or told to.
                let code = error.code().map(|code| code.code());
                code.is_none_or(|code| code.starts_with("08") || code.starts_with("57P"))
            }
            Self::Sqlite(_) | Self::Silent(_) | Self::Tls(_) | Self::Away => false,
        }
    }
}

impl Link {
    /// Runs a statement. Returns how many rows it changed.
    pub(super) async fn execute(
        &mut self,
        sql: &str,
        values: &[Value<'_>],
    ) -> Result<u64, DatabaseError> {
        match self {
            Self::Sqlite(db) => Ok(bound(sql, values).execute(db).await?.rows_affected()),
            Self::Postgres(session) => session.execute(sql, values).await,
        }
    }

    /// Runs statements in their order, all of them or up to the first that fails. Returns how many rows
    /// each changed. They are told together, so that the distance to a server counts once, and that to the
    /// thread on which SQLite works.
    pub(super) async fn batch(&mut self, calls: &[Call<'_>]) -> Result<Vec<u64>, DatabaseError> {
        match self {
            Self::Sqlite(db) => {
                let mut changed = Vec::with_capacity(calls.len());
                for calls in calls.chunks(TOGETHER) {
                    let (sql, values) = joined(calls);
                    let mut done = db.fetch_many(bound(&sql, &values));
                    while let Some(one) = done.try_next().await? {
                        changed.extend(one.left().map(|done| done.rows_affected()));
                    }
                }
                Ok(changed)
            }
            Self::Postgres(session) => session.batch(calls).await,
        }
    }

    /// The rows that were asked for.
    pub(super) async fn query(
        &mut self,
        sql: &str,
        values: &[Value<'_>],
    ) -> Result<Vec<Row>, DatabaseError> {
        match self {
            Self::Sqlite(db) => {
                let rows = bound(sql, values).fetch_all(db).await?;
                Ok(rows.into_iter().map(Row::Sqlite).collect())
            }
            Self::Postgres(session) => {
                let rows = session.query(sql, values).await?;
                Ok(rows.into_iter().map(Row::Postgres).collect())
            }
        }
    }

    /// The first row that was asked for.
    pub(super) async fn first(
        &mut self,
        sql: &str,
        values: &[Value<'_>],
    ) -> Result<Option<Row>, DatabaseError> {
        Ok(self.query(sql, values).await?.into_iter().next())
    }

    /// Runs statements that are text and nothing else, such as a migration.
    pub(super) async fn script(&mut self, sql: &str) -> Result<(), DatabaseError> {
        match self {
            Self::Sqlite(db) => {
                db.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await?;
                Ok(())
            }
            Self::Postgres(session) => session.script(sql).await,
        }
    }

    /// Begins a transaction that sees one moment, and writes nothing.
    pub(super) async fn begin_reading(&mut self) -> Result<(), DatabaseError> {
        match self {
            Self::Sqlite(_) => self.script("begin").await,
            Self::Postgres(_) => {
                self.script("begin isolation level repeatable read read only").await
            }
        }
    }

    /// Begins a transaction that writes. SQLite lets nobody else do so until it ends; at a server the
    /// row of `head` is the turn to write (see [`Self::lock`]).
    pub(super) async fn begin_writing(&mut self) -> Result<(), DatabaseError> {
        match self {
            Self::Sqlite(_) => self.script("begin immediate").await,
            Self::Postgres(_) => self.script("begin").await,
        }
    }

    /// What makes a query keep others from writing the rows it finds until the transaction ends.
    pub(super) fn lock(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "", // nobody else writes since `begin immediate`
            Self::Postgres(_) => " for update",
        }
    }

    /// What tells how many bytes it takes.
    pub(super) fn size(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => {
                "select page_count * page_size as bytes from pragma_page_count(), pragma_page_size()"
            }
            Self::Postgres(_) => "select pg_database_size(current_database()) as bytes",
        }
    }

    /// Ends a transaction, which is on the disk when this returns.
    pub(super) async fn commit(&mut self) -> Result<(), DatabaseError> {
        self.script("commit").await
    }

    /// Whether it is known that nothing more can be said over it.
    pub(super) fn is_closed(&self) -> bool {
        match self {
            Self::Sqlite(_) => false,
            Self::Postgres(session) => session.is_closed(),
        }
    }

    /// Says goodbye. Everything committed is already on the disk.
    pub(super) async fn close(self) {
        match self {
            Self::Sqlite(db) => drop(db.close().await),
            Self::Postgres(session) => session.close().await,
        }
    }

    /// Lets go of a connection that failed, and of the transaction on it.
    pub(super) async fn abandon(self) {
        match self {
            Self::Sqlite(db) => drop(db.close_hard().await), // whatever it says, it is not used again
            Self::Postgres(session) => drop(session),
        }
    }
}

/// Statements as one text, in which parameters are counted on from one to the next.
fn joined<'a>(calls: &[Call<'a>]) -> (String, Vec<Value<'a>>) {
    let (mut sql, mut values) = (String::new(), Vec::new());
    for call in calls {
        let mut parts = call.sql.split('$'); // which stands before a parameter and nowhere else
        sql.extend(parts.next());
        for part in parts {
            let digits = part.bytes().take_while(u8::is_ascii_digit).count();
            let (number, rest) = part.split_at(digits);
            let number = number.parse().unwrap_or(0) + values.len();
            let _ = write!(sql, "${number}{rest}"); // to memory
        }
        sql.push(';');
        values.extend_from_slice(&call.values);
    }
    (sql, values)
}

fn bound<'q>(
    sql: &str,
    values: &[Value<'q>],
) -> sqlx::query::Query<'q, sqlx::Sqlite, SqliteArguments> {
    let mut query = sqlx::query(AssertSqlSafe(sql));
    for value in values {
        query = match *value {
            Value::Null => query.bind(None::<String>),
            Value::Int(number) => query.bind(number),
            Value::Text(text) | Value::Key(text) => query.bind(text),
            Value::Bytes(bytes) => query.bind(bytes),
            Value::Id(id) => query.bind(id.as_bytes().to_vec()),
        };
    }
    query
}

impl Row {
    /// A number, if there is any.
    pub(super) fn int_if_any(&self, column: &str) -> Result<Option<i64>, DatabaseError> {
        Ok(match self {
            Self::Sqlite(row) => row.try_get(column)?,
            Self::Postgres(row) => row.try_get(column)?,
        })
    }

    /// A number.
    pub(super) fn int(&self, column: &str) -> Result<i64, DatabaseError> {
        Ok(match self {
            Self::Sqlite(row) => row.try_get(column)?,
            Self::Postgres(row) => row.try_get(column)?,
        })
    }

    /// Bytes, if there are any.
    pub(super) fn bytes_if_any(&self, column: &str) -> Result<Option<&[u8]>, DatabaseError> {
        Ok(match self {
            Self::Sqlite(row) => row.try_get(column)?,
            Self::Postgres(row) => row.try_get(column)?,
        })
    }

    /// Bytes.
    pub(super) fn bytes(&self, column: &str) -> Result<&[u8], DatabaseError> {
        Ok(match self {
            Self::Sqlite(row) => row.try_get(column)?,
            Self::Postgres(row) => row.try_get(column)?,
        })
    }

    /// Text, if there is any.
    pub(super) fn text_if_any(&self, column: &str) -> Result<Option<String>, DatabaseError> {
        Ok(match self {
            Self::Sqlite(row) => row.try_get(column)?,
            Self::Postgres(row) => row.try_get(column)?,
        })
    }

    /// Text.
    pub(super) fn text(&self, column: &str) -> Result<String, DatabaseError> {
        Ok(match self {
            Self::Sqlite(row) => row.try_get(column)?,
            Self::Postgres(row) => row.try_get(column)?,
        })
    }

    /// The id of an entity; nil for what is none, which no content hash agrees with.
    pub(super) fn id(&self, column: &str) -> Result<Uuid, DatabaseError> {
        Ok(match self {
            Self::Sqlite(row) => Uuid::from_slice(row.try_get(column)?).unwrap_or_default(),
            Self::Postgres(row) => row.try_get(column)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_together_counts_its_parameters_on() {
        let call = |sql, values: &[i64]| Call {
            sql,
            values: values.iter().copied().map(Value::Int).collect(),
        };
        let calls = [
            call("savepoint one", &[]),
            call("put $1, $2 where $1", &[1, 2]),
            call("drop $1", &[3]),
        ];
        let (sql, values) = joined(&calls);
        assert_eq!(sql, "savepoint one;put $1, $2 where $1;drop $3;");
        assert_eq!(values, [1, 2, 3].map(Value::Int));
    }
}
