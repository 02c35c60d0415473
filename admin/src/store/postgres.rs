//! PostgreSQL: how it is reached, and what is said to it.
//!
//! A session answers in the order it is asked, so a batch is sent as a whole and answered as a whole.
//! No word of the server is waited for longer than `pg_timeout`, and no turn to write longer than
//! [`TURN`]; whoever does not get it in time has written nothing.

mod options; // where the server is, and who we are there
mod speech; // our values in its words
mod tls; // the one TLS library, as this client wants it
pub(super) mod tail; // what others wrote

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::pin;
use std::time::Duration;

use futures::TryStreamExt;
use futures::future::join_all;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_postgres::types::ToSql;
use tokio_postgres::{AsyncMessage, Client, Connection, Error, Row, Statement};
use tracing::debug;

use super::link::{Call, DatabaseError, Value};
pub use options::{Postgres, PostgresTls};

/// How long a write waits until others have written theirs.
const TURN: Duration = Duration::from_secs(30);

/// What every session is told first. A node that vanishes in the middle of a transaction must not keep
/// the others from writing for long, and an acknowledged write is on the disk, whatever the server's
/// own default says.
fn manners() -> String {
    format!(
        "set lock_timeout = '{turn}s'; \
         set idle_in_transaction_session_timeout = '{twice}s'; \
         set tcp_keepalives_idle = 10; \
         set tcp_keepalives_interval = 5; \
         set tcp_keepalives_count = 3; \
         select set_config('synchronous_commit', 'on', false) \
         where current_setting('synchronous_commit') = 'off'",
        turn = TURN.as_secs(),
        twice = 2 * TURN.as_secs()
    )
}

/// A session with the server.
pub(super) struct Session {
    client: Client,
    prepared: HashMap<String, Statement>,
    patience: Duration,
    /// Bytes that were sent since the last commit, which take their time.
    sent: usize,
    /// Carries what is said. Dropped, the connection is cut, and a transaction with it.
    carrier: JoinSet<()>,
}

impl Session {
    /// Connects, and says who we are. What is notified from then on goes to `notes`.
    pub(super) async fn open(
        options: &Postgres,
        notes: Option<UnboundedSender<String>>,
    ) -> Result<Self, DatabaseError> {
        let patience = options.timeout;
        let mut carrier = JoinSet::new();
        let connected = timeout(patience, options.connect(&mut carrier, notes)).await;
        let client = connected.map_err(|_| DatabaseError::Silent(patience))??;
        let mut session = Self { client, prepared: HashMap::new(), patience, sent: 0, carrier };
        session.script(&manners()).await?;
        if let Some(schema) = &options.schema {
            session.script(&format!("set search_path = {}", quoted(schema))).await?;
        }
        Ok(session)
    }

    pub(super) async fn execute(
        &mut self,
        sql: &str,
        values: &[Value<'_>],
    ) -> Result<u64, DatabaseError> {
        let statement = self.prepare(sql).await?;
        within(self.patience(), self.client.execute(&statement, &parameters(values))).await
    }

    pub(super) async fn query(
        &mut self,
        sql: &str,
        values: &[Value<'_>],
    ) -> Result<Vec<Row>, DatabaseError> {
        let statement = self.prepare(sql).await?;
        // The server says when a turn to write does not come; until then it says nothing.
        let turn = if sql.ends_with(" for update") { TURN } else { Duration::ZERO };
        let rows = self.client.query_raw(&statement, parameters(values));
        let mut rows = pin!(within(turn + self.patience, rows).await?);
        let mut found = Vec::new();
        // However many there are, each must come in time.
        while let Some(row) = within(self.patience, rows.try_next()).await? {
            found.push(row);
        }
        Ok(found)
    }

    /// Sends all, then waits for all. What comes after one that fails in a transaction fails too.
    pub(super) async fn batch(&mut self, calls: &[Call<'_>]) -> Result<Vec<u64>, DatabaseError> {
        let mut statements = Vec::with_capacity(calls.len());
        for call in calls {
            statements.push(self.prepare(call.sql).await?);
        }
        self.sent += calls.iter().flat_map(|call| &call.values).map(Value::length).sum::<usize>();
        let patience = self.patience();
        let parameters: Vec<_> = calls.iter().map(|call| parameters(&call.values)).collect();
        let sent = statements.iter().zip(&parameters);
        let answers =
            join_all(sent.map(|(statement, values)| self.client.execute(statement, values)));
        let answers = timeout(patience, answers).await;
        let answers = answers.map_err(|_| DatabaseError::Silent(patience))?;
        Ok(answers.into_iter().collect::<Result<_, _>>()?)
    }

    pub(super) async fn script(&mut self, sql: &str) -> Result<(), DatabaseError> {
        let done = within(self.patience(), self.client.batch_execute(sql)).await;
        if sql == "commit" {
            self.sent = 0;
        }
        done
    }

    /// How long an answer may take: what was sent is to be written, at a MiB a second if need be.
    fn patience(&self) -> Duration {
        self.patience + Duration::from_millis(self.sent as u64 >> 10)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    pub(super) async fn close(self) {
        let Self { client, mut carrier, patience, .. } = self;
        drop(client); // which says goodbye
        let _ = timeout(patience, carrier.join_next()).await; // whether or not it was heard
    }

    async fn prepare(&mut self, sql: &str) -> Result<Statement, DatabaseError> {
        if let Some(statement) = self.prepared.get(sql) {
            return Ok(statement.clone());
        }
        let statement = within(self.patience, self.client.prepare(sql)).await?;
        self.prepared.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }
}

/// Carries what is said until the session ends, whoever ends it.
async fn carry<S, T>(mut connection: Connection<S, T>, notes: Option<UnboundedSender<String>>)
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    while let Some(message) = poll_fn(|cx| connection.poll_message(cx)).await {
        match message {
            Ok(AsyncMessage::Notification(note)) => {
                if let Some(notes) = &notes {
                    let _ = notes.send(note.payload().to_owned()); // nobody may be listening any more
                }
            }
            Ok(AsyncMessage::Notice(notice)) => debug!("[admin] PostgreSQL: {notice}"),
            Ok(_) => {}
            Err(_) => return, // whoever asks next is told
        }
    }
}

async fn within<T>(
    patience: Duration,
    answer: impl Future<Output = Result<T, Error>>,
) -> Result<T, DatabaseError> {
    let answer = timeout(patience, answer).await;
    Ok(answer.map_err(|_| DatabaseError::Silent(patience))??)
}

fn parameters<'a>(values: &'a [Value<'_>]) -> Vec<&'a (dyn ToSql + Sync)> {
    values.iter().map(|value| value as &(dyn ToSql + Sync)).collect()
}

/// A name as an identifier.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
