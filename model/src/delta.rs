//! The step from one revision to another: the unit of sync, of history and of
//! the cache.

use std::collections::BTreeSet;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::config::Difference;
use crate::encode::{ContentHash, DecodeError};
use crate::entities::Visit;
use crate::revision::{Revision, RevisionId, Signature};
use crate::{Config, Entity, EntityKind};

/// What became of one entity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Its kind.
    pub kind: KindName,
    /// Its id.
    pub id: Uuid,
    /// Its bytes from now on; none if it was deleted.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub bytes: Option<Bytes>,
}

/// A kind as written: its table name. One we do not know (from a newer peer)
/// is an error when it is applied, not when it is read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KindName(std::borrow::Cow<'static, str>);

impl From<EntityKind> for KindName {
    fn from(kind: EntityKind) -> Self {
        Self(kind.name().into())
    }
}

impl KindName {
    /// The name itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The kind of this name, if this version knows it.
    pub fn kind(&self) -> Option<EntityKind> {
        EntityKind::from_name(&self.0)
    }
}

/// What a step touched, without the bytes: enough to bring whoever has an older revision to the
/// newest, since only the newest bytes are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Touched {
    /// The revision it starts from.
    pub parent: RevisionId,
    /// The revision it leads to.
    pub id: RevisionId,
    /// The entities that were written or deleted.
    pub entities: Vec<(EntityKind, Uuid)>,
}

/// A step in history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Delta {
    /// The revision it starts from.
    pub parent: RevisionId,
    /// The revision it leads to.
    pub id: RevisionId,
    /// The signature of that revision.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub signature: Option<Signature>,
    /// One change per entity, at most.
    pub changes: Vec<Change>,
}

/// Why a delta does not apply.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// It starts from another revision.
    #[error("the delta starts from revision {parent}, but this is revision {here}")]
    OtherParent {
        /// Where the delta starts.
        parent: RevisionId,
        /// Where we are.
        here: RevisionId,
    },
    /// It names a kind of entity this version does not have.
    #[error("the delta changes `{0}`, a kind of entity that version {ours} does not know", ours = crate::VERSION)]
    UnknownKind(String),
    /// An entity cannot be read.
    #[error(transparent)]
    Entity(#[from] DecodeError),
    /// The result is not what was announced.
    #[error("applying the delta to {id} gave content {found}")]
    OtherHash {
        /// What was announced.
        id: RevisionId,
        /// What came out.
        found: ContentHash,
    },
}

impl Delta {
    /// The step from `from` to `to`. Costs what changed between them.
    pub fn between(from: &Revision, to: &Revision) -> Delta {
        Delta {
            parent: from.id,
            id: to.id,
            signature: to.signature,
            changes: changes(&from.config, &to.config),
        }
    }

    /// What it touches; none if that includes a kind this version does not know.
    pub fn touched(&self) -> Option<Touched> {
        let entities = self.changes.iter().map(|change| Some((change.kind.kind()?, change.id)));
        Some(Touched {
            parent: self.parent,
            id: self.id,
            entities: entities.collect::<Option<_>>()?,
        })
    }

    /// The revision this step leads to from `base`, or why not; `base` is unharmed.
    pub fn apply(&self, base: &Revision) -> Result<Revision, ApplyError> {
        if self.parent != base.id {
            return Err(ApplyError::OtherParent { parent: self.parent, here: base.id });
        }
        let mut config = base.config.clone();
        apply(&mut config, &self.changes)?;
        if config.hash() != self.id.hash {
            return Err(ApplyError::OtherHash { id: self.id, found: config.hash() });
        }
        Ok(Revision { id: self.id, signature: self.signature, config })
    }
}

/// Applies changes in order, without asking which revision they lead to.
pub fn apply(config: &mut Config, changes: &[Change]) -> Result<(), ApplyError> {
    for change in changes {
        let kind =
            change.kind.kind().ok_or_else(|| ApplyError::UnknownKind(change.kind.0.to_string()))?;
        match &change.bytes {
            Some(bytes) => config.put(kind, change.id, bytes.clone())?,
            None => {
                config.delete(kind, change.id);
            }
        }
    }
    Ok(())
}

/// What `config` has of these entities now, in dependency order: their bytes, or that they are gone.
pub fn latest(
    config: &Config,
    entities: impl IntoIterator<Item = (EntityKind, Uuid)>,
) -> Vec<Change> {
    let once: BTreeSet<_> = entities.into_iter().collect();
    let change = |(kind, id): (EntityKind, Uuid)| Change {
        kind: kind.into(),
        id,
        bytes: config.bytes(kind, id).cloned(),
    };
    once.into_iter().map(change).collect()
}

/// What changed from one configuration to another, in dependency order.
pub fn changes(from: &Config, to: &Config) -> Vec<Change> {
    struct Collect<'a>(&'a Config, &'a Config, &'a mut Vec<Change>);
    impl Visit for Collect<'_> {
        type Output = ();
        fn visit<E: Entity>(self) {
            for difference in self.1.all::<E>().since(self.0.all::<E>()) {
                let (stored, bytes) = match difference {
                    // Equal bytes in another allocation are not a change.
                    Difference::Put(new) => (new, Some(new.bytes.clone())),
                    Difference::Deleted(old) => (old, None),
                };
                self.2.push(Change { kind: E::KIND.into(), id: stored.entity.id().uuid(), bytes });
            }
        }
    }
    let mut changes = Vec::new();
    EntityKind::ALL.iter().for_each(|kind| kind.visit(Collect(from, to, &mut changes)));
    changes
}
