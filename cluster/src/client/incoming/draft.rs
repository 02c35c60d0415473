//! A revision being put together, change by change.
//!
//! An entity this version cannot read, of a kind that only a newer control plane
//! has or with a content that only it understands, is set aside by name. As long
//! as there is one, the content cannot be checked and the revision cannot be
//! served; when the last of them is gone, it can.

use std::collections::BTreeMap;
use std::slice;

use bytes::Bytes;
use model::delta::{self, ApplyError, Change};
use model::encode::ContentHash;
use model::revision::Signature;
use model::vitals::Problem;
use model::{Config, Revision, RevisionId};
use uuid::Uuid;

use crate::log::chain;
use crate::protocol::bounds;

/// What a data plane takes for one configuration, from its first message to the end of the last step that
/// starts from what could not be read. The signature does not say how long a configuration is, so whoever
/// holds the pinned pair could begin one that was signed and never end it.
const MAX_CONFIG_BYTES: usize = 4 << 30;

/// What an entity takes besides its bytes, roughly.
const ENTITY_OVERHEAD: usize = 512;

/// A revision being put together.
#[derive(Debug)]
pub(super) struct Draft {
    id: RevisionId,
    signature: Signature,
    whole: bool,
    config: Config,
    /// What cannot be read, by kind and id, and why.
    unread: BTreeMap<(String, Uuid), Unread>,
    /// What has arrived of it.
    bytes: usize,
}

/// More has arrived than [`MAX_CONFIG_BYTES`].
#[derive(Debug, thiserror::Error)]
#[error("the configuration takes more than {} MiB", MAX_CONFIG_BYTES >> 20)]
pub(super) struct TooLong;

/// Why an entity cannot be read.
#[derive(Debug)]
enum Unread {
    Kind,
    Content(String),
}

/// What came of a draft.
pub(super) enum Finished {
    /// A revision, its content as announced.
    Ready(Revision),
    /// Something that this version cannot read is in it.
    Foreign(Draft),
    /// Its content is not what was announced.
    OtherContent { id: RevisionId, found: ContentHash, whole: bool },
}

impl Draft {
    /// Begins with nothing.
    pub(super) fn whole(id: RevisionId, signature: Signature) -> Self {
        let (config, unread) = Default::default();
        Self { id, signature, whole: true, config, unread, bytes: 0 }
    }

    /// Begins with what a revision has.
    pub(super) fn step_from(config: &Config, id: RevisionId, signature: Signature) -> Self {
        let (config, unread) = (config.clone(), BTreeMap::new());
        Self { id, signature, whole: false, config, unread, bytes: 0 }
    }

    /// Goes on to the next revision.
    pub(super) fn step(self, id: RevisionId, signature: Signature) -> Self {
        Self { id, signature, whole: false, ..self }
    }

    pub(super) fn id(&self) -> RevisionId {
        self.id
    }

    pub(super) fn apply(&mut self, changes: &[Change]) -> Result<(), TooLong> {
        for change in changes {
            self.bytes += ENTITY_OVERHEAD + change.bytes.as_ref().map_or(0, Bytes::len);
            if self.bytes > MAX_CONFIG_BYTES {
                return Err(TooLong);
            }
            self.apply_one(change);
        }
        Ok(())
    }

    fn apply_one(&mut self, change: &Change) {
        let why = match delta::apply(&mut self.config, slice::from_ref(change)) {
            Ok(()) => None,
            // What this version could never have had is gone all the same.
            Err(_) if change.bytes.is_none() => None,
            Err(ApplyError::UnknownKind(_)) => Some(Unread::Kind),
            Err(error) => Some(Unread::Content(chain(&error))),
        };
        if why.is_none() && self.unread.is_empty() {
            return; // nearly always
        }
        let name = (change.kind.as_str().to_owned(), change.id);
        let Some(why) = why else {
            self.unread.remove(&name);
            return;
        };
        if let Some(kind) = change.kind.kind() {
            self.config.delete(kind, change.id); // what it was before is not what it is now
        }
        self.unread.insert(name, why);
    }

    /// What this version cannot read, as far as it is listed.
    pub(super) fn problems(&self) -> Vec<Problem> {
        bounds::problems(self.unread.iter().map(|((kind, id), why)| {
            let (code, message) = match why {
                Unread::Kind => (
                    "unknown_kind",
                    format!("version {} does not know this kind of entity", model::VERSION),
                ),
                Unread::Content(why) => ("entity", why.clone()),
            };
            let entity = Some((kind.clone(), *id));
            Problem { code: code.to_owned(), entity, field: None, message }
        }))
    }

    pub(super) fn finish(self) -> Finished {
        if !self.unread.is_empty() {
            return Finished::Foreign(self);
        }
        let Self { id, signature, whole, config, .. } = self;
        let found = config.hash();
        if found != id.hash {
            return Finished::OtherContent { id, found, whole };
        }
        Finished::Ready(Revision { id, signature: Some(signature), config })
    }
}
