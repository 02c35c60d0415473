//! Revisions that are written in one transaction, each on top of the one before.
//!
//! From the first statement on nobody else writes, so that whoever decides on what is to be written
//! decides on what is there. Dropped before it is committed, a group leaves no trace.

use model::delta::{self, Delta};
use model::revision::Signature;
use model::value::Timestamp;
use model::{Config, EntityKind, Revision, RevisionId};
use uuid::Uuid;

use super::link::{Call, Link, Value};
use super::postgres::tail;
use super::sql::{Cell, Statements};
use super::{Author, Keep, Store, StoreError, log};
use crate::signing::SigningKey;

/// How many statements a server is told at once.
const AT_ONCE: usize = 500;

/// A transaction on its way to the disk.
pub(crate) struct Group<'a> {
    link: Link,
    /// Where the connection goes back to.
    home: &'a mut Option<Link>,
    statements: &'a [(EntityKind, Statements)],
    keep: Keep,
    head: Option<RevisionId>,
    /// What others are told of.
    newest: Option<RevisionId>,
}

/// What became of one write of a group.
#[derive(Debug)]
pub(crate) enum Appended {
    /// It is part of the group.
    Yes,
    /// It left no trace; the group goes on without it.
    No(StoreError),
}

impl Store {
    /// Waits for the turn to write, and begins a group.
    pub(crate) async fn begin(&mut self) -> Result<Group<'_>, StoreError> {
        let was_connected = self.link.is_some();
        let link = self.link().await?;
        let begun = match begin(link).await {
            // The server was restarted since: nothing was asked of it yet.
            Err(StoreError::Database(failure)) if was_connected && failure.is_of_connection() => {
                begin(self.place.connect().await?).await
            }
            begun => begun,
        };
        let (link, head) = begun?;
        Ok(Group {
            link,
            home: &mut self.link,
            statements: &self.statements,
            keep: self.keep,
            head,
            newest: None,
        })
    }
}

async fn begin(mut link: Link) -> Result<(Link, Option<RevisionId>), StoreError> {
    link.begin_writing().await?;
    let head = log::lock(&mut link).await?;
    Ok((link, head))
}

impl Group<'_> {
    /// Which revision the database has. It stays so until the group ends.
    pub(crate) fn head(&self) -> Option<RevisionId> {
        self.head
    }

    /// What the database has, known that `from` is what it had.
    pub(crate) async fn follow(
        &mut self,
        from: &Revision,
        key: &SigningKey,
    ) -> Result<Revision, StoreError> {
        Ok(super::follow(&mut self.link, self.statements, from, key).await?)
    }

    /// Adds the step from `from` to `to`.
    ///
    /// # Errors
    /// If the whole group is lost.
    pub(crate) async fn append(
        &mut self,
        from: &Revision,
        to: &Revision,
        signature: Signature,
        by: &Author,
        at: Timestamp,
    ) -> Result<Appended, StoreError> {
        let step = Delta::between(from, to);
        match self.write(&step, from, to, signature, by, at).await {
            Ok(()) => {
                self.newest = Some(to.id);
                Ok(Appended::Yes)
            }
            Err(StoreError::Database(error)) if error.is_objection() => {
                let undo = "rollback to savepoint one; release savepoint one";
                self.link.script(undo).await?;
                Ok(Appended::No(error.into()))
            }
            Err(error) => Err(error),
        }
    }

    async fn write(
        &mut self,
        step: &Delta,
        from: &Revision,
        to: &Revision,
        signature: Signature,
        by: &Author,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let undo = delta::changes(&to.config, &from.config);
        let entry = log::Entry::new(step, &undo, signature, by);
        let [moved, logged, noted] = entry.calls(at, by);
        let rows = rows(self.statements, step, &from.config, &to.config);
        let first = [words("savepoint one"), moved, logged, noted];
        let last = [words("release savepoint one")];
        let mut calls =
            first.into_iter().chain(rows.iter().map(RowOf::call)).chain(last).peekable();
        let mut is_begun = false;
        while calls.peek().is_some() {
            let some: Vec<_> = calls.by_ref().take(AT_ONCE).collect();
            let changed = self.link.batch(&some).await?;
            if !std::mem::replace(&mut is_begun, true) {
                entry.check(changed.get(1).copied().unwrap_or_default())?;
            }
        }
        Ok(())
    }

    /// Puts the group on the disk with whatever is too old to be kept beside it, and tells others.
    pub(crate) async fn commit(mut self, now: Timestamp) -> Result<(), StoreError> {
        if let Some(newest) = self.newest {
            let note = tail::note(&newest);
            let mut calls = self.fold(now).to_vec();
            if matches!(self.link, Link::Postgres(_)) {
                calls.push(Call { sql: tail::NOTIFY, values: vec![Value::Text(&note)] });
            }
            self.link.batch(&calls).await?;
        }
        self.end().await
    }

    /// Lets go of what is too old to be kept. Says whether there is more of it.
    pub(crate) async fn tidy(mut self, now: Timestamp) -> Result<bool, StoreError> {
        let gone = self.link.batch(&self.fold(now)).await?;
        self.end().await?;
        Ok(gone.last().is_some_and(|notes| *notes >= log::FORGOTTEN))
    }

    fn fold(&self, now: Timestamp) -> [Call<'static>; 2] {
        let age = self.keep.audit.as_secs().try_into().unwrap_or(i64::MAX);
        let horizon = Timestamp::from_seconds(now.seconds().saturating_sub(age));
        log::fold(self.keep.revisions, horizon)
    }

    async fn end(mut self) -> Result<(), StoreError> {
        self.link.commit().await?;
        *self.home = Some(self.link);
        Ok(())
    }
}

/// A statement without parameters.
fn words(sql: &str) -> Call<'_> {
    Call { sql, values: Vec::new() }
}

/// What becomes of the row of an entity.
struct RowOf<'a> {
    statements: &'a Statements,
    id: Uuid,
    /// What it has; none where it goes.
    put: Option<(Vec<Cell>, &'a [u8])>,
}

impl RowOf<'_> {
    fn call(&self) -> Call<'_> {
        let id = Value::Id(self.id);
        let Some((cells, bytes)) = &self.put else {
            return Call { sql: &self.statements.delete, values: vec![id] };
        };
        let cells = cells.iter().map(|cell| match cell {
            Cell::Text(text) => Value::Key(text),
            Cell::Id(id) => Value::Id(*id),
            Cell::Null => Value::Null,
        });
        let values = [id].into_iter().chain(cells).chain([Value::Bytes(bytes)]).collect();
        Call { sql: &self.statements.put, values }
    }
}

/// What brings the tables of entities from one configuration to the next. What goes may have the name
/// of what comes, and two may swap theirs: so first what goes, with whatever gets another name.
fn rows<'a>(
    statements: &'a [(EntityKind, Statements)],
    step: &'a Delta,
    from: &Config,
    to: &Config,
) -> Vec<RowOf<'a>> {
    let (mut first, mut then) = (Vec::new(), Vec::new());
    for change in &step.changes {
        let found = statements.iter().find(|(kind, _)| change.kind == (*kind).into());
        let Some((kind, statements)) = found else { continue };
        let gone = RowOf { statements, id: change.id, put: None };
        let cells = statements.cells(to, *kind, change.id);
        let Some((bytes, cells)) = change.bytes.as_deref().zip(cells) else {
            first.push(gone);
            continue;
        };
        let was = statements.cells(from, *kind, change.id);
        if step.changes.len() > 1 && was.is_some_and(|was| was != cells) {
            first.push(gone);
        }
        then.push(RowOf { statements, id: change.id, put: Some((cells, bytes)) });
    }
    first.append(&mut then);
    first
}
