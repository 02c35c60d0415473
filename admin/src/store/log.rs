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

use super::{Author, Logged, Noted, Sizes, StoreError};

/// How many rows of the audit log are let go of with one commit. More than a group of writes adds.
const FOLDED_AT_ONCE: i64 = 1000;

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

/// Appends a step, and the changes that lead back.
pub(super) async fn append(
    db: &mut SqliteConnection,
    step: &Delta,
    undo: &[Change],
    signature: &Signature,
) -> Result<(), StoreError> {
    let [changes, undo] = [&step.changes[..], undo].map(|changes| {
        rmp_serde::to_vec_named(changes).expect("changes are plain values, written to memory")
    });
    sqlx::query(
        "insert into revisions (epoch, version, hash, parent_epoch, parent_version, parent_hash, \
         signature, changes, undo) values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(signed(step.id.epoch))
    .bind(signed(step.id.version))
    .bind(&step.id.hash.as_bytes()[..])
    .bind(signed(step.parent.epoch))
    .bind(signed(step.parent.version))
    .bind(&step.parent.hash.as_bytes()[..])
    .bind(&signature.as_bytes()[..])
    .bind(changes)
    .bind(undo)
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
    sqlx::query(
        "insert into audit (at, who, origin, what, epoch, version) values (?, ?, ?, ?, ?, ?)",
    )
    .bind(at.seconds())
    .bind(&*by.who)
    .bind(by.who.address())
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
    // A bounded number each time, so that no commit has to wait for a million of them to go.
    sqlx::query(
        "delete from audit where seq in (select seq from audit where at < ? order by at limit ?)",
    )
    .bind(horizon.seconds())
    .bind(FOLDED_AT_ONCE)
    .execute(db)
    .await?;
    Ok(())
}

/// Who made the newest revisions, or the newest of those noted before `before`; newest first.
pub(super) async fn noted(
    db: &mut SqliteConnection,
    before: Option<i64>,
    most: usize,
) -> Result<Vec<Noted>, StoreError> {
    let rows = sqlx::query(
        "select audit.*, revisions.seq is not null as kept from audit \
         left join revisions using (epoch, version) where audit.seq < ? \
         order by audit.seq desc limit ?",
    );
    let rows = rows.bind(before.unwrap_or(i64::MAX)).bind(signed(most as u64));
    rows.fetch_all(db).await?.iter().map(note).collect()
}

/// Who made this revision, if that is still known.
pub(super) async fn noted_at(
    db: &mut SqliteConnection,
    (epoch, version): (u64, u64),
) -> Result<Option<Noted>, StoreError> {
    let row = sqlx::query(
        "select audit.*, revisions.seq is not null as kept from audit \
         left join revisions using (epoch, version) where epoch = ? and version = ?",
    );
    let row = row.bind(signed(epoch)).bind(signed(version)).fetch_optional(db).await?;
    row.as_ref().map(note).transpose()
}

fn note(row: &SqliteRow) -> Result<Noted, StoreError> {
    Ok(Noted {
        seq: row.try_get("seq")?,
        at: Timestamp::from_seconds(row.try_get("at")?),
        who: row.try_get("who")?,
        from: row.try_get("origin")?,
        what: row.try_get("what")?,
        epoch: row.try_get::<i64, _>("epoch")? as u64,
        version: row.try_get::<i64, _>("version")? as u64,
        is_kept: row.try_get("kept")?,
    })
}

/// The step to this revision, if it is still kept.
pub(super) async fn step_to(
    db: &mut SqliteConnection,
    (epoch, version): (u64, u64),
) -> Result<Option<Logged>, StoreError> {
    let row = sqlx::query("select * from revisions where epoch = ? and version = ?");
    let row = row.bind(signed(epoch)).bind(signed(version)).fetch_optional(db).await?;
    let Some(row) = row else { return Ok(None) };
    let step = step(&row)?;
    let undo = row.try_get::<Option<&[u8]>, _>("undo")?.map(rmp_serde::from_slice).transpose();
    let undo = undo.map_err(|_| StoreError::Unreadable { id: step.id })?;
    Ok(Some(Logged { step, undo }))
}

/// The oldest revision whose step is kept, and can be undone.
pub(super) async fn oldest(db: &mut SqliteConnection) -> Result<Option<(u64, u64)>, StoreError> {
    let row = sqlx::query_as::<_, (i64, i64)>(
        "select epoch, version from revisions where undo is not null order by seq limit 1",
    );
    let row = row.fetch_optional(db).await?;
    Ok(row.map(|(epoch, version)| (epoch as u64, version as u64)))
}

/// How much of the past there is.
pub(super) async fn sizes(db: &mut SqliteConnection) -> Result<Sizes, StoreError> {
    let (revisions, revision_bytes): (i64, i64) = sqlx::query_as(
        "select count(*), coalesce(sum(length(changes) + coalesce(length(undo), 0)), 0) \
         from revisions",
    )
    .fetch_one(&mut *db)
    .await?;
    // Rows go from the old end only, so that nobody needs to count them: there may be a million.
    let notes: i64 = sqlx::query_scalar(
        "select coalesce((select max(seq) from audit) - (select min(seq) from audit) + 1, 0)",
    )
    .fetch_one(&mut *db)
    .await?;
    let since: Option<i64> =
        sqlx::query_scalar("select min(at) from audit").fetch_one(&mut *db).await?;
    let bytes: i64 = sqlx::query_scalar(
        "select page_count * page_size from pragma_page_count(), pragma_page_size()",
    )
    .fetch_one(db)
    .await?;
    Ok(Sizes {
        revisions: revisions as u64,
        revision_bytes: revision_bytes as u64,
        notes: notes as u64,
        notes_since: since.map(Timestamp::from_seconds),
        database_bytes: bytes as u64,
    })
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
