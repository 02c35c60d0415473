//! The revision log: where the head is, the steps that led there, and who made
//! them. Append-only but for its old end, which is folded away.

use model::RevisionId;
use model::delta::{Change, Delta, Touched};
use model::encode::ContentHash;
use model::revision::Signature;
use model::value::Timestamp;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};
use tracing::warn;

use super::{Author, StoreError};

/// The newest revision; none in a new database.
pub(super) async fn head(db: &mut SqliteConnection) -> Result<Option<RevisionId>, StoreError> {
    let row = sqlx::query("select epoch, version, hash from head").fetch_optional(db).await?;
    row.map(|row| id(&row, ["epoch", "version", "hash"])).transpose()
}

/// Moves the head, if it still is where this process believes it to be.
pub(super) async fn advance(
    db: &mut SqliteConnection,
    from: &RevisionId,
    to: &RevisionId,
) -> Result<(), StoreError> {
    let moved = if *from == RevisionId::default() {
        sqlx::query("insert or ignore into head values (1, ?, ?, ?)")
            .bind(signed(to.epoch))
            .bind(signed(to.version))
            .bind(&to.hash.as_bytes()[..])
            .execute(db)
            .await?
    } else {
        sqlx::query(
            "update head set epoch = ?, version = ?, hash = ? \
             where epoch = ? and version = ? and hash = ?",
        )
        .bind(signed(to.epoch))
        .bind(signed(to.version))
        .bind(&to.hash.as_bytes()[..])
        .bind(signed(from.epoch))
        .bind(signed(from.version))
        .bind(&from.hash.as_bytes()[..])
        .execute(db)
        .await?
    };
    if moved.rows_affected() == 1 { Ok(()) } else { Err(StoreError::Moved { expected: *from }) }
}

/// Appends a step.
pub(super) async fn append(
    db: &mut SqliteConnection,
    step: &Delta,
    signature: &Signature,
) -> Result<(), StoreError> {
    let changes = rmp_serde::to_vec_named(&step.changes)
        .expect("changes are plain values, written to memory");
    sqlx::query(
        "insert into revisions (epoch, version, hash, parent_epoch, parent_version, parent_hash, \
         signature, changes) values (?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(signed(step.id.epoch))
    .bind(signed(step.id.version))
    .bind(&step.id.hash.as_bytes()[..])
    .bind(signed(step.parent.epoch))
    .bind(signed(step.parent.version))
    .bind(&step.parent.hash.as_bytes()[..])
    .bind(&signature.as_bytes()[..])
    .bind(changes)
    .execute(db)
    .await?;
    Ok(())
}

/// Notes who made a revision.
pub(super) async fn audit(
    db: &mut SqliteConnection,
    made: &RevisionId,
    at: Timestamp,
    by: &Author,
) -> Result<(), StoreError> {
    sqlx::query("insert into audit (at, who, what, epoch, version) values (?, ?, ?, ?, ?)")
        .bind(at.seconds())
        .bind(&*by.who)
        .bind(&*by.what)
        .bind(signed(made.epoch))
        .bind(signed(made.version))
        .execute(db)
        .await?;
    Ok(())
}

/// Lets go of all steps but the newest `keep`, and of what was noted before `horizon`.
pub(super) async fn fold(
    db: &mut SqliteConnection,
    keep: u64,
    horizon: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query("delete from revisions where seq <= (select max(seq) from revisions) - ?")
        .bind(signed(keep))
        .execute(&mut *db)
        .await?;
    sqlx::query("delete from audit where at < ?").bind(horizon.seconds()).execute(db).await?;
    Ok(())
}

/// The newest step, which leads to the head.
pub(super) async fn last(db: &mut SqliteConnection) -> Result<Option<Delta>, StoreError> {
    let row =
        sqlx::query("select * from revisions order by seq desc limit 1").fetch_optional(db).await?;
    row.map(|row| step(&row)).transpose()
}

/// What the newest steps touched, `most` of them at most, oldest first; each starts where the one
/// before it ended, and the last ends at `head`.
pub(super) async fn touched(
    db: &mut SqliteConnection,
    head: RevisionId,
    most: u64,
) -> Result<Vec<Touched>, StoreError> {
    let mut newest_first = Vec::new();
    let (mut here, mut before) = (head, i64::MAX);
    // One row at a time, since each has the bytes of all that it brought.
    while (newest_first.len() as u64) < most {
        let row = sqlx::query("select * from revisions where seq < ? order by seq desc limit 1");
        let Some(row) = row.bind(before).fetch_optional(&mut *db).await? else { break };
        let step = step(&row).ok().filter(|step| step.id == here);
        let Some(step) = step.and_then(|step| step.touched()) else {
            warn!(
                "[admin] the step to revision {here} in the log cannot be read; older ones are not used"
            );
            break;
        };
        (here, before) = (step.parent, row.try_get("seq")?);
        newest_first.push(step);
    }
    newest_first.reverse();
    Ok(newest_first)
}

/// Every step that is kept, oldest first.
#[cfg(test)]
pub(super) async fn steps(db: &mut SqliteConnection) -> Result<Vec<Delta>, StoreError> {
    let rows = sqlx::query("select * from revisions order by seq").fetch_all(db).await?;
    rows.iter().map(step).collect()
}

fn step(row: &SqliteRow) -> Result<Delta, StoreError> {
    let id = self::id(row, ["epoch", "version", "hash"])?;
    let unreadable = || StoreError::Unreadable { id };
    let signature = row.try_get::<&[u8], _>("signature")?.try_into().map_err(|_| unreadable())?;
    let changes: Vec<Change> =
        rmp_serde::from_slice(row.try_get("changes")?).map_err(|_| unreadable())?;
    Ok(Delta {
        parent: self::id(row, ["parent_epoch", "parent_version", "parent_hash"])?,
        id,
        signature: Some(Signature::from_bytes(signature)),
        changes,
    })
}

fn id(row: &SqliteRow, [epoch, version, hash]: [&str; 3]) -> Result<RevisionId, StoreError> {
    let unsigned = |column| row.try_get::<i64, _>(column).map(|number| number as u64);
    let (epoch, version) = (unsigned(epoch)?, unsigned(version)?);
    // The schema checks the length; a file it does not rule reads as content no one has.
    let hash = row.try_get::<&[u8], _>(hash)?.try_into().unwrap_or([0xff; 16]);
    Ok(RevisionId { epoch, version, hash: ContentHash::from_bytes(hash) })
}

/// SQLite has no unsigned integers; no counter gets near the sign bit.
fn signed(number: u64) -> i64 {
    number as i64
}
