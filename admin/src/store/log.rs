//! The revision log: where the head is, the steps that led there, and who made
//! them. Append-only but for its old end, which is folded away.

use model::RevisionId;
use model::delta::{Change, Delta, Touched};
use model::encode::ContentHash;
use model::revision::Signature;
use model::value::Timestamp;
use tracing::warn;

use super::link::{Call, DatabaseError, Link, Row, Value};
use super::{Author, Logged, Noted, Sizes, StoreError};

/// How many notes are forgotten with a commit, at most: none should wait for long.
pub(super) const FORGOTTEN: u64 = 1000;

const HEAD: &str = "select epoch, version, hash from head";

const FOUND: &str = "insert into head (\"only\", epoch, version, hash) values (1, $1, $2, $3) \
    on conflict do nothing";

const ADVANCE: &str = "update head set epoch = $1, version = $2, hash = $3 \
    where epoch = $4 and version = $5 and hash = $6";

// No sequence: those leave holes where something was not kept.
const APPEND: &str = "insert into revisions (seq, epoch, version, hash, parent_epoch, parent_version, \
    parent_hash, signature, changes, undo) values ((select coalesce(max(seq), 0) + 1 from revisions), \
    $1, $2, $3, $4, $5, $6, $7, $8, $9)";

const NOTE: &str = "insert into audit (at, who, origin, what, epoch, version) \
    values ($1, $2, $3, $4, $5, $6)";

// Booleans are not the same in both databases.
const NOTED: &str = "select audit.*, cast(case when revisions.seq is null then 0 else 1 end as bigint) \
    as kept from audit left join revisions using (epoch, version)";

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
    undo: Vec<u8>,
    origin: Option<String>,
}

impl Entry {
    /// The step, and the changes that lead back.
    pub(super) fn new(step: &Delta, undo: &[Change], signature: Signature, by: &Author) -> Self {
        let [changes, undo] = [&step.changes[..], undo].map(|changes| {
            rmp_serde::to_vec_named(changes).expect("changes are plain values, written to memory")
        });
        let origin = by.who.address();
        let (from, to) = (step.parent, step.id);
        let (parent, hash) = (*from.hash.as_bytes(), *to.hash.as_bytes());
        Self { from, to, parent, hash, signature, changes, undo, origin }
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
        let last = [self.signature.as_bytes(), &self.changes[..], &self.undo].map(Value::Bytes);
        let step = Call { sql: APPEND, values: [&to[..], &from, &last].concat() };
        let origin = self.origin.as_deref().map_or(Value::Null, Value::Text);
        let who = [Value::Int(at.seconds()), Value::Text(&by.who), origin, Value::Text(&by.what)];
        let note = Call { sql: NOTE, values: [&who[..], &to[..2]].concat() };
        [moved, step, note]
    }

    /// Whether the head moved, which it did if one row changed.
    pub(super) fn check(&self, moved: u64) -> Result<(), StoreError> {
        if moved == 1 { Ok(()) } else { Err(StoreError::Moved { expected: self.from }) }
    }
}

/// Lets go of all steps but the newest `keep`, and of what was noted before `horizon`.
pub(super) fn fold(keep: u64, horizon: Timestamp) -> [Call<'static>; 2] {
    let steps = "delete from revisions where seq <= (select max(seq) from revisions) - $1";
    let notes = "delete from audit where seq in \
        (select seq from audit where at < $1 order by at limit $2)";
    [
        Call { sql: steps, values: vec![int(keep)] },
        Call { sql: notes, values: vec![Value::Int(horizon.seconds()), int(FORGOTTEN)] },
    ]
}

/// Who made the newest revisions, or the newest of those noted before `before`; newest first.
pub(super) async fn noted(
    db: &mut Link,
    before: Option<i64>,
    most: usize,
) -> Result<Vec<Noted>, StoreError> {
    let rows = format!("{NOTED} where audit.seq < $1 order by audit.seq desc limit $2");
    let values = [Value::Int(before.unwrap_or(i64::MAX)), int(most as u64)];
    db.query(&rows, &values).await?.iter().map(note).collect()
}

/// Who made this revision, if that is still known.
pub(super) async fn noted_at(
    db: &mut Link,
    (epoch, version): (u64, u64),
) -> Result<Option<Noted>, StoreError> {
    let row = format!("{NOTED} where epoch = $1 and version = $2");
    db.first(&row, &[int(epoch), int(version)]).await?.as_ref().map(note).transpose()
}

fn note(row: &Row) -> Result<Noted, StoreError> {
    Ok(Noted {
        seq: row.int("seq")?,
        at: Timestamp::from_seconds(row.int("at")?),
        who: row.text("who")?,
        from: row.text_if_any("origin")?,
        what: row.text("what")?,
        epoch: row.int("epoch")? as u64,
        version: row.int("version")? as u64,
        is_kept: row.int("kept")? == 1,
    })
}

/// Whether the step to this revision is still kept, and can be undone.
pub(super) async fn can_be_undone(
    db: &mut Link,
    (epoch, version): (u64, u64),
) -> Result<bool, StoreError> {
    let row = "select seq from revisions where epoch = $1 and version = $2 and undo is not null";
    Ok(db.first(row, &[int(epoch), int(version)]).await?.is_some())
}

/// The step to this revision, if it is still kept, as [`logged`] reads it.
pub(super) async fn row_of_step(
    db: &mut Link,
    (epoch, version): (u64, u64),
) -> Result<Option<Row>, StoreError> {
    let row = "select * from revisions where epoch = $1 and version = $2";
    Ok(db.first(row, &[int(epoch), int(version)]).await?)
}

/// A step, and what leads back.
pub(super) fn logged(row: &Row) -> Result<Logged, StoreError> {
    let step = step(row)?;
    let undo = row.bytes_if_any("undo")?.map(rmp_serde::from_slice).transpose();
    let undo = undo.map_err(|_| StoreError::Unreadable { id: step.id })?;
    Ok(Logged { step, undo })
}

/// The oldest revision whose step is kept, and can be undone.
pub(super) async fn oldest(db: &mut Link) -> Result<Option<(u64, u64)>, StoreError> {
    let row = "select epoch, version from revisions where undo is not null order by seq limit 1";
    let Some(row) = db.first(row, &[]).await? else { return Ok(None) };
    Ok(Some((row.int("epoch")? as u64, row.int("version")? as u64)))
}

/// How much of the past there is.
pub(super) async fn sizes(db: &mut Link) -> Result<Sizes, StoreError> {
    let steps = "select count(*) as steps, \
        coalesce(sum(length(changes) + coalesce(length(undo), 0)), 0) as bytes from revisions";
    // Notes go from the old end only, so that nobody needs to count them: there may be a million.
    let notes = "select coalesce(max(seq) - min(seq) + 1, 0) as notes, min(at) as since from audit";
    let missing = || StoreError::from(DatabaseError::from(sqlx::Error::RowNotFound));
    let steps = db.first(steps, &[]).await?.ok_or_else(missing)?;
    let notes = db.first(notes, &[]).await?.ok_or_else(missing)?;
    let size = db.first(db.size(), &[]).await?.ok_or_else(missing)?;
    Ok(Sizes {
        revisions: steps.int("steps")? as u64,
        revision_bytes: steps.int("bytes")? as u64,
        notes: notes.int("notes")? as u64,
        notes_since: notes.int_if_any("since")?.map(Timestamp::from_seconds),
        database_bytes: size.int("bytes")? as u64,
    })
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
