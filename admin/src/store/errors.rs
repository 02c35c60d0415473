//! Why a database cannot be used, or did not keep what it was given.

use std::io;

use boring::error::ErrorStack;
use model::RevisionId;
use model::encode::{ContentHash, DecodeError};

use super::link::DatabaseError;

/// Why a database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file cannot be made or opened.
    #[error("the file cannot be opened for writing")]
    File(#[source] io::Error),
    /// Another program's tables.
    #[error("it is a database of another program")]
    NotOurs,
    /// Nothing was ever put there.
    #[error("it is not bootstrapped; run `gateway migrations bootstrap`")]
    NotBootstrapped,
    /// It is of an earlier version of this program.
    #[error("it has yet to see the migrations {}; run `gateway migrations up`", .0.join(", "))]
    Behind(Vec<String>),
    /// A later version of this program was here.
    #[error(
        "a newer version of this program wrote it: its schema is {found}, this one knows {known}"
    )]
    Newer {
        /// What was done to it.
        found: String,
        /// What this version would do.
        known: String,
    },
    /// It would not keep every text as it is.
    #[error("its encoding is {0}, and must be UTF8")]
    Encoding(String),
    /// Other nodes are at it.
    #[error("another node is migrating it, and was not done in time")]
    Migrating,
    /// The database refuses.
    #[error("it cannot be read")]
    Database(#[from] DatabaseError),
    /// The log cannot be read or written.
    #[error("its revision log cannot be used")]
    Log(#[from] StoreError),
    /// A row is not an entity.
    #[error("it is damaged; restore a backup")]
    Entity(#[from] DecodeError),
    /// Rows were lost or changed behind our back.
    #[error(
        "it is damaged: its content has hash {found}, but revision {head} was written; restore a backup"
    )]
    Content {
        /// What was written last.
        head: RevisionId,
        /// What is there.
        found: ContentHash,
    },
    /// The log ends elsewhere.
    #[error("it is damaged: its revision log does not end at revision {0}; restore a backup")]
    Ending(RevisionId),
    /// The cluster's key or the node's id has the wrong length.
    #[error("it is damaged: `{0}` in `identity` cannot be read; restore a backup")]
    Identity(&'static str),
    /// The cluster's key cannot be made or used.
    #[error("the key that signs revisions cannot be used")]
    Key(#[from] ErrorStack),
}

impl OpenError {
    /// Whether it may be well in a moment: the database is away, or not up yet.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Database(failure) | Self::Log(StoreError::Database(failure)) => {
                failure.is_transient()
            }
            _ => false,
        }
    }
}

/// Why a write was not kept.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It refuses, or is away.
    #[error("the database did not take it")]
    Database(#[from] DatabaseError),
    /// The head moved in spite of the lock on it.
    #[error("the head of the database is not {expected}: something else writes to it")]
    Moved {
        /// Where it was.
        expected: RevisionId,
    },
    /// A logged step is not what was written.
    #[error("the step to revision {id} in the log cannot be read")]
    Unreadable {
        /// Where it leads.
        id: RevisionId,
    },
    /// The revisions of others are not what was written.
    #[error("what the database has now cannot be read")]
    Others(#[source] Box<OpenError>),
    /// It has another cluster's key.
    #[error("the database was replaced by that of another cluster; start again to use it")]
    Replaced,
}

impl StoreError {
    /// Whether it was known before that the database is away, and was said then.
    pub(crate) fn is_expected(&self) -> bool {
        matches!(self, Self::Database(DatabaseError::Away))
    }
}

impl From<OpenError> for StoreError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Database(failure) => Self::Database(failure),
            OpenError::Log(error) => error,
            other => Self::Others(Box::new(other)),
        }
    }
}
