//! The whole configuration as shared, immutable entries: a clone costs a few
//! pointers, and a new revision shares everything it did not change.
//!
//! A [`Table`] keeps, beside its rows, who has which unique value, who points at
//! whom and who has which tag, so that names, listings and deletions are lookups.

mod tags; // who has which tag

use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use imbl::{OrdMap, OrdSet};
use uuid::Uuid;

use crate::encode::{self, ContentHash, DecodeError, Digest};
use crate::entities::{Tables, Visit};
use crate::schema::Part;
use crate::value::Timestamp;
use crate::{Entity, EntityKind, Id};

use tags::TagIndex;

/// An entity with the bytes it was written as.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored<E> {
    /// The entity.
    pub entity: E,
    /// Its bytes, which the content hash covers.
    pub bytes: Bytes,
}

/// Everything operators said. Cheap to clone, never changed once published.
#[derive(Clone, Debug, Default)]
pub struct Config {
    pub(crate) tables: Tables,
    digest: Digest,
}

impl Config {
    /// The entities of one type.
    pub fn all<E: Entity>(&self) -> &Table<E> {
        E::table(self)
    }

    /// The entity with this id.
    pub fn get<E: Entity>(&self, id: Id<E>) -> Option<&E> {
        self.all::<E>().get(id)
    }

    /// The content hash.
    pub fn hash(&self) -> ContentHash {
        self.digest.hash()
    }

    /// True if nothing is configured.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many entities of all kinds there are.
    pub fn len(&self) -> usize {
        struct Len<'a>(&'a Config);
        impl Visit for Len<'_> {
            type Output = usize;
            fn visit<E: Entity>(self) -> usize {
                self.0.all::<E>().len()
            }
        }
        EntityKind::ALL.iter().map(|kind| kind.visit(Len(self))).sum()
    }

    /// Writes an entity: this is where its bytes come from. Returns them.
    pub fn write<E: Entity>(&mut self, entity: E) -> Bytes {
        let bytes = encode::encode(&entity);
        self.insert(Stored { entity, bytes: bytes.clone() });
        bytes
    }

    /// Takes an entity as bytes somebody else wrote.
    pub fn put(&mut self, kind: EntityKind, id: Uuid, bytes: Bytes) -> Result<(), DecodeError> {
        struct Put<'a>(&'a mut Config, Uuid, Bytes);
        impl Visit for Put<'_> {
            type Output = Result<(), DecodeError>;
            fn visit<E: Entity>(self) -> Self::Output {
                let entity = encode::decode::<E>(self.1, &self.2)?;
                self.0.insert(Stored { entity, bytes: self.2 });
                Ok(())
            }
        }
        kind.visit(Put(self, id, bytes))
    }

    /// The bytes of an entity.
    pub fn bytes(&self, kind: EntityKind, id: Uuid) -> Option<&Bytes> {
        struct Find<'a>(&'a Config, Uuid);
        impl<'a> Visit for Find<'a> {
            type Output = Option<&'a Bytes>;
            fn visit<E: Entity>(self) -> Self::Output {
                self.0.all::<E>().rows.get(&Id::<E>::from(self.1)).map(|stored| &stored.bytes)
            }
        }
        kind.visit(Find(self, id))
    }

    /// Removes an entity; true if it was there.
    pub fn delete(&mut self, kind: EntityKind, id: Uuid) -> bool {
        struct Delete<'a>(&'a mut Config, Uuid);
        impl Visit for Delete<'_> {
            type Output = bool;
            fn visit<E: Entity>(self) -> bool {
                self.0.remove::<E>(self.1.into()).is_some()
            }
        }
        kind.visit(Delete(self, id))
    }

    /// Removes an entity and returns it.
    pub fn remove<E: Entity>(&mut self, id: Id<E>) -> Option<Arc<Stored<E>>> {
        let old = E::table_mut(self).remove(id)?;
        self.digest.remove(E::KIND, id.uuid(), &old.bytes);
        Some(old)
    }

    /// When the next entity is gone, of those of which that is known.
    pub fn next_expiry(&self) -> Option<Timestamp> {
        struct Next<'a>(&'a Config);
        impl Visit for Next<'_> {
            type Output = Option<i64>;
            fn visit<E: Entity>(self) -> Self::Output {
                self.0.all::<E>().expiries.get_min().map(|(at, _)| *at)
            }
        }
        let next = EntityKind::ALL.iter().filter_map(|kind| kind.visit(Next(self))).min();
        next.map(Timestamp::from_seconds)
    }

    /// Removes what is gone by now. Nothing points at it.
    pub fn expire(&mut self, now: Timestamp) {
        struct Expire<'a>(&'a mut Config, i64);
        impl Visit for Expire<'_> {
            type Output = ();
            fn visit<E: Entity>(self) {
                while let Some((at, id)) = self.0.all::<E>().expiries.get_min().copied()
                    && at <= self.1
                {
                    self.0.remove(id);
                }
            }
        }
        EntityKind::ALL.iter().for_each(|kind| kind.visit(Expire(self, now.seconds())));
    }

    /// Every entity in dependency order: what a full snapshot is made of.
    pub fn for_each(&self, mut visit: impl FnMut(EntityKind, Uuid, &Bytes)) {
        struct Each<'a, F>(&'a Config, &'a mut F);
        impl<F: FnMut(EntityKind, Uuid, &Bytes)> Visit for Each<'_, F> {
            type Output = ();
            fn visit<E: Entity>(self) {
                for stored in self.0.all::<E>().stored() {
                    (self.1)(E::KIND, stored.entity.id().uuid(), &stored.bytes);
                }
            }
        }
        EntityKind::ALL.iter().for_each(|kind| kind.visit(Each(self, &mut visit)));
    }

    fn insert<E: Entity>(&mut self, stored: Stored<E>) {
        let id = stored.entity.id();
        self.digest.add(E::KIND, id.uuid(), &stored.bytes);
        if let Some(old) = E::table_mut(self).insert(Arc::new(stored)) {
            self.digest.remove(E::KIND, id.uuid(), &old.bytes);
        }
    }
}

type Unique = (&'static str, Arc<str>);
type Pointer<E> = (&'static str, Uuid, Id<E>);

/// The entities of one type, ordered by id.
#[derive(Clone, Debug)]
pub struct Table<E> {
    rows: OrdMap<Id<E>, Arc<Stored<E>>>,
    unique: OrdMap<Unique, Id<E>>,
    /// By what is unique together.
    keys: OrdMap<Arc<str>, Id<E>>,
    pointers: OrdSet<Pointer<E>>,
    tags: TagIndex<E>,
    /// By when they are gone, in seconds since 1970.
    expiries: OrdSet<(i64, Id<E>)>,
}

impl<E> Default for Table<E> {
    fn default() -> Self {
        Self {
            rows: OrdMap::new(),
            unique: OrdMap::new(),
            keys: OrdMap::new(),
            pointers: OrdSet::new(),
            tags: TagIndex::default(),
            expiries: OrdSet::new(),
        }
    }
}

/// One difference between two tables.
#[derive(Debug)]
pub enum Difference<'a, E> {
    /// Only the newer table has it, or has it changed.
    Put(&'a Arc<Stored<E>>),
    /// Only the older table has it.
    Deleted(&'a Arc<Stored<E>>),
}

impl<E: Entity> Table<E> {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The entity with this id.
    pub fn get(&self, id: Id<E>) -> Option<&E> {
        self.rows.get(&id).map(|stored| &stored.entity)
    }

    /// The entity that has this value in a unique field.
    pub fn by_unique(&self, field: &'static str, value: &str) -> Option<&E> {
        self.unique.get(&(field, Arc::from(value))).and_then(|id| self.get(*id))
    }

    /// The entity whose endpoint key has this value.
    pub fn by_endpoint_key(&self, value: &str) -> Option<&E> {
        self.by_unique(E::ENDPOINT_KEY?, value)
    }

    /// The entity in which the fields of the key have the same values as in this one.
    pub fn by_key(&self, entity: &E) -> Option<&E> {
        self.keys.get(&*key_of(entity)?).and_then(|id| self.get(*id))
    }

    /// All of them, by id.
    pub fn iter(&self) -> impl Iterator<Item = &E> {
        self.stored().map(|stored| &stored.entity)
    }

    /// All of them with their bytes, by id.
    pub fn stored(&self) -> impl Iterator<Item = &Arc<Stored<E>>> {
        self.rows.values()
    }

    /// Those with an id above `after`: how a listing goes on, however long.
    pub fn after(&self, after: Option<Id<E>>) -> impl Iterator<Item = &E> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.rows.range((from, Bound::Unbounded)).map(|(_, stored)| &stored.entity)
    }

    /// Those whose `field` points at `target`, with an id above `after`.
    pub fn pointing_at(
        &self,
        field: &'static str,
        target: Uuid,
        after: Option<Id<E>>,
    ) -> impl Iterator<Item = &E> {
        let lowest = (field, target, after.unwrap_or(Id::lowest()));
        let from = if after.is_some() { Bound::Excluded(lowest) } else { Bound::Included(lowest) };
        self.pointers
            .range((from, Bound::Unbounded))
            .take_while(move |pointer| pointer.0 == field && pointer.1 == target)
            .filter_map(|pointer| self.get(pointer.2))
    }

    /// Those with every one of these tags and an id above `after`, by id.
    pub fn with_all_tags<'a>(
        &'a self,
        tags: &[String],
        after: Option<Id<E>>,
    ) -> impl Iterator<Item = &'a E> + use<'a, E> {
        self.tags.all(tags, after).filter_map(|id| self.get(id))
    }

    /// Those with any of these tags and an id above `after`, by id.
    pub fn with_any_tag<'a>(
        &'a self,
        tags: &[String],
        after: Option<Id<E>>,
    ) -> impl Iterator<Item = &'a E> + use<'a, E> {
        self.tags.any(tags, after).filter_map(|id| self.get(id))
    }

    /// Every tag with everyone who has it, by tag and id, after this one.
    pub fn tagged(&self, after: Option<(&str, Id<E>)>) -> impl Iterator<Item = (&str, Id<E>)> {
        self.tags.after(after)
    }

    /// What changed since `older`. Costs what changed, not what is shared.
    pub fn since<'a>(&'a self, older: &'a Self) -> impl Iterator<Item = Difference<'a, E>> {
        older.rows.diff(&self.rows).map(|item| match item {
            imbl::ordmap::DiffItem::Add(_, new) => Difference::Put(new),
            imbl::ordmap::DiffItem::Update { new, .. } => Difference::Put(new.1),
            imbl::ordmap::DiffItem::Remove(_, old) => Difference::Deleted(old),
        })
    }

    fn insert(&mut self, stored: Arc<Stored<E>>) -> Option<Arc<Stored<E>>> {
        let id = stored.entity.id();
        let old = self.remove(id);
        stored.entity.visit_unique(&mut |field, value| {
            self.unique.insert((field, Arc::from(value)), id);
        });
        if let Some(key) = key_of(&stored.entity) {
            self.keys.insert(key.into(), id);
        }
        stored.entity.visit_references(&mut |field, target| {
            self.pointers.insert((field, target, id));
        });
        stored.entity.visit_tags(&mut |tag| self.tags.insert(tag, id));
        if let Some(at) = stored.entity.expiry() {
            self.expiries.insert((at.seconds(), id));
        }
        self.rows.insert(id, stored);
        old
    }

    fn remove(&mut self, id: Id<E>) -> Option<Arc<Stored<E>>> {
        let old = self.rows.remove(&id)?;
        old.entity.visit_unique(&mut |field, value| {
            // Half-way through a delta in which names changed hands, it may be another's already.
            let unique = (field, Arc::from(value));
            if self.unique.get(&unique) == Some(&id) {
                self.unique.remove(&unique);
            }
        });
        if let Some(key) = key_of(&old.entity)
            && self.keys.get(&*key) == Some(&id)
        {
            self.keys.remove(&*key);
        }
        old.entity.visit_references(&mut |field, target| {
            self.pointers.remove(&(field, target, id));
        });
        old.entity.visit_tags(&mut |tag| self.tags.remove(tag, id));
        if let Some(at) = old.entity.expiry() {
            self.expiries.remove(&(at.seconds(), id));
        }
        Some(old)
    }
}

/// The fields of an entity's key as one text; none where there are no such fields.
fn key_of<E: Entity>(entity: &E) -> Option<String> {
    if E::SCHEMA.key.is_empty() {
        return None;
    }
    let mut key = String::new();
    entity.visit_key(&mut |_, part| {
        // No text has a NUL in it.
        match part {
            Part::Text(text) => key.push_str(text),
            Part::Id(id) => key.push_str(&id.to_string()),
            Part::Unset => key.push('\0'),
        }
        key.push('\0');
    });
    Some(key)
}
