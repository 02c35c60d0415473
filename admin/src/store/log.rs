//! The revision log: where the head is, the steps that led there, and who made
//! them. Append-only but for its old end, which is folded away.

use model::RevisionId;
use model::delta::{Change, Delta, Touched};
use model::encode::ContentHash;
use model::revision::Signature;
use model::value::Timestamp;
use tracing::warn;

use super::link::{Call, DatabaseError, Link, Row, Value};
use super::{Author, StoreError};

/// How many notes are forgotten with a commit, at most: none should wait for long.
const FORGOTTEN: i64 = 1000;

const HEAD: &str = "select epoch, version, hash from head";

const FOUND: &str = "insert into head (\"only\", epoch, version, hash) values (1, $1, $2, $3) \
    on conflict do nothing";

const ADVANCE: &str = "update head set epoch = $1, version = $2, hash = $3 \
    where epoch = $4 and version = $5 and hash = $6";

// No sequence: those leave holes where something was not kept.
const APPEND: &str = "insert into revisions (seq, epoch, version, hash, parent_epoch, parent_version, \
    parent_hash, signature, changes) values ((select coalesce(max(seq), 0) + 1 from revisions), \
    $1, $2, $3, $4, $5, $6, $7, $8)";

const NOTE: &str = "insert into audit (at, who, what, epoch, version) values ($1, $2, $3, $4, $5)";

const SINCE: &str = "select * from revisions where seq > (select seq from revisions \
    where epoch = $1 and version = $2 and hash = $3) order by seq";

/// The newest revision; none in a new database.
pub(super) async fn head(db: &mut Link) -> Result<Option<RevisionId>, StoreError> {
    Ok(db.first(HEAD, &[]).await?.map(|row| id(&row, ["epoch", "version", "hash"])).transpose()?)
}

/// The same, and nobody else moves it until the transaction ends.
pub(super) async fn lock(db: &mut Link) -> Result<Option<RevisionId>, StoreError> {
    let row = db.first(&format!("{HEAD}{}", db.lock()), &[]).await?;
    Ok(row.map(|row| id(&row, ["epoch", "version", "hash"])).transpose()?)
}

/// What is said for one revision: the head moves, if it still is where it is believed to be, which
/// [`Entry::check`] tells; the step is appended; and it is noted who made it.
pub(super) struct Entry {
    from: RevisionId,
    to: RevisionId,
    parent: [u8; 16],
    hash: [u8; 16],
    signature: Signature,
    changes: Vec<u8>,
}

impl Entry {
    pub(super) fn new(step: &Delta, signature: Signature) -> Self {
        let changes = rmp_serde::to_vec_named(&step.changes)
            .expect("changes are plain values, written to memory");
        let (from, to) = (step.parent, step.id);
        let (parent, hash) = (*from.hash.as_bytes(), *to.hash.as_bytes());
        Self { from, to, parent, hash, signature, changes }
    }

    /// The first is the one that moves the head.
    pub(super) fn calls<'a>(&'a self, at: Timestamp, by: &'a Author) -> [Call<'a>; 3] {
        let to = [int(self.to.epoch), int(self.to.version), Value::Bytes(&self.hash)];
        let from = [int(self.from.epoch), int(self.from.version), Value::Bytes(&self.parent)];
        let is_first = self.from == RevisionId::default();
        let moved = if is_first {
            Call { sql: FOUND, values: to.to_vec() }
        } else {
            Call { sql: ADVANCE, values: [to.clone(), from.clone()].concat() }
        };
        let last = [Value::Bytes(self.signature.as_bytes()), Value::Bytes(&self.changes)];
        let step = Call { sql: APPEND, values: [&to[..], &from, &last].concat() };
        let who = [Value::Int(at.seconds()), Value::Text(&by.who), Value::Text(&by.what)];
        let note = Call { sql: NOTE, values: [&who[..], &to[..2]].concat() };
        [moved, step, note]
    }

    /// Whether the head moved, which it did if one row changed.
    pub(super) fn check(&self, moved: u64) -> Result<(), StoreError> {
        if moved == 1 { Ok(()) } else { Err(StoreError::Moved { expected: self.from }) }
    }
}

/// Lets go of all steps but the newest `keep`, and of what was noted before `horizon`.
pub(super) fn fold<'a>(keep: u64, horizon: Timestamp) -> [Call<'a>; 2] {
    let steps = "delete from revisions where seq <= (select max(seq) from revisions) - $1";
    let notes = "delete from audit where seq in \
        (select seq from audit where at < $1 order by at limit $2)";
    [
        Call { sql: steps, values: vec![int(keep)] },
        Call { sql: notes, values: vec![Value::Int(horizon.seconds()), Value::Int(FORGOTTEN)] },
    ]
}

/// The newest step, which leads to the head.
pub(super) async fn last(db: &mut Link) -> Result<Option<Delta>, StoreError> {
    let row = db.first("select * from revisions order by seq desc limit 1", &[]).await?;
    row.map(|row| step(&row)).transpose()
}

/// The steps that were made after this revision, oldest first; none if it is not among those that are
/// kept.
pub(super) async fn since(db: &mut Link, from: &RevisionId) -> Result<Vec<Delta>, StoreError> {
    let hash = Value::Bytes(&from.hash.as_bytes()[..]);
    let rows = db.query(SINCE, &[int(from.epoch), int(from.version), hash]).await?;
    rows.iter().map(step).collect()
}

/// What the newest steps touched, `most` of them at most, oldest first; each starts where the one
/// before it ended, and the last ends at `head`.
pub(super) async fn touched(
    db: &mut Link,
    head: RevisionId,
    most: u64,
) -> Result<Vec<Touched>, StoreError> {
    let mut newest_first = Vec::new();
    let (mut here, mut before) = (head, i64::MAX);
    // One row at a time, since each has the bytes of all that it brought.
    while (newest_first.len() as u64) < most {
        let older = "select * from revisions where seq < $1 order by seq desc limit 1";
        let Some(row) = db.first(older, &[Value::Int(before)]).await? else { break };
        let step = step(&row).ok().filter(|step| step.id == here);
        let Some(step) = step.and_then(|step| step.touched()) else {
            warn!(
                "[admin] the step to revision {here} in the log cannot be read; older ones are not used"
            );
            break;
        };
        (here, before) = (step.parent, row.int("seq")?);
        newest_first.push(step);
    }
    newest_first.reverse();
    Ok(newest_first)
}

/// Every step that is kept, oldest first.
#[cfg(test)]
pub(super) async fn steps(db: &mut Link) -> Result<Vec<Delta>, StoreError> {
    let rows = db.query("select * from revisions order by seq", &[]).await?;
    rows.iter().map(step).collect()
}

fn step(row: &Row) -> Result<Delta, StoreError> {
    let id = self::id(row, ["epoch", "version", "hash"])?;
    let unreadable = || StoreError::Unreadable { id };
    let signature = row.bytes("signature")?.try_into().map_err(|_| unreadable())?;
    let changes: Vec<Change> =
        rmp_serde::from_slice(row.bytes("changes")?).map_err(|_| unreadable())?;
    Ok(Delta {
        parent: self::id(row, ["parent_epoch", "parent_version", "parent_hash"])?,
        id,
        signature: Some(Signature::from_bytes(signature)),
        changes,
    })
}

fn id(row: &Row, [epoch, version, hash]: [&str; 3]) -> Result<RevisionId, DatabaseError> {
    let unsigned = |column| row.int(column).map(|number| number as u64);
    let (epoch, version) = (unsigned(epoch)?, unsigned(version)?);
    // The schema checks the length; a table it does not rule reads as content no one has.
    let hash = row.bytes(hash)?.try_into().unwrap_or([0xff; 16]);
    Ok(RevisionId { epoch, version, hash: ContentHash::from_bytes(hash) })
}

/// Databases have no unsigned integers; no counter gets near the sign bit.
fn int<'a>(number: u64) -> Value<'a> {
    Value::Int(number as i64)
}
