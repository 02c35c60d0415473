//! Who has which tag: what keeps a listing by tags from looking at everything.

use std::iter;
use std::ops::Bound;
use std::sync::Arc;

use imbl::OrdSet;

use crate::Id;

/// The ids of the entities of one type that have tags, by tag.
#[derive(Clone, Debug)]
pub(super) struct TagIndex<E>(OrdSet<(Arc<str>, Id<E>)>);

impl<E> Default for TagIndex<E> {
    fn default() -> Self {
        Self(OrdSet::new())
    }
}

impl<E> TagIndex<E> {
    pub(super) fn insert(&mut self, tag: &str, id: Id<E>) {
        // All who have a tag share its text.
        let tag = tag.into();
        let shared = self.from(&tag, Bound::Unbounded).next().map(|(tag, _)| Arc::clone(tag));
        self.0.insert((shared.unwrap_or(tag), id));
    }

    pub(super) fn remove(&mut self, tag: &str, id: Id<E>) {
        self.0.remove(&(Arc::from(tag), id));
    }

    /// Those with every one of these tags, in order. Costs a few steps for each that has the rarest.
    pub(super) fn all<'a>(
        &'a self,
        tags: &[String],
        after: Option<Id<E>>,
    ) -> impl Iterator<Item = Id<E>> + use<'a, E> {
        let tags = shared(tags);
        following(after, move |from| self.meeting(&tags, from))
    }

    /// Those with at least one of these tags, in order.
    pub(super) fn any<'a>(
        &'a self,
        tags: &[String],
        after: Option<Id<E>>,
    ) -> impl Iterator<Item = Id<E>> + use<'a, E> {
        let tags = shared(tags);
        following(after, move |from| tags.iter().filter_map(|tag| self.first(tag, from)).min())
    }

    /// Every tag with everyone who has it, after this one.
    pub(super) fn after(
        &self,
        after: Option<(&str, Id<E>)>,
    ) -> impl Iterator<Item = (&str, Id<E>)> {
        let from = after.map_or(Bound::Unbounded, |(tag, id)| Bound::Excluded((tag.into(), id)));
        self.0.range((from, Bound::Unbounded)).map(|(tag, id)| (&**tag, *id))
    }

    /// The first that has all tags: each tag in turn leaps to where the others are, until all agree.
    fn meeting(&self, tags: &[Arc<str>], mut from: Bound<Id<E>>) -> Option<Id<E>> {
        loop {
            let mut least = from;
            for tag in tags {
                least = Bound::Included(self.first(tag, least)?);
            }
            match (from, least) {
                (Bound::Included(known), Bound::Included(found)) if known == found => {
                    return Some(found);
                }
                (_, Bound::Included(_)) => from = least,
                _ => return None, // no tags at all
            }
        }
    }

    fn first(&self, tag: &Arc<str>, from: Bound<Id<E>>) -> Option<Id<E>> {
        self.from(tag, from).next().map(|(_, id)| *id)
    }

    /// Those with this tag.
    fn from<'a>(
        &'a self,
        tag: &Arc<str>,
        from: Bound<Id<E>>,
    ) -> impl Iterator<Item = &'a (Arc<str>, Id<E>)> + use<'a, E> {
        let tag = Arc::clone(tag);
        let from = match from {
            Bound::Included(id) => Bound::Included((Arc::clone(&tag), id)),
            Bound::Excluded(id) => Bound::Excluded((Arc::clone(&tag), id)),
            Bound::Unbounded => Bound::Included((Arc::clone(&tag), Id::lowest())),
        };
        self.0.range((from, Bound::Unbounded)).take_while(move |entry| entry.0 == tag)
    }
}

/// Tags to be looked up again and again.
fn shared(tags: &[String]) -> Vec<Arc<str>> {
    tags.iter().map(|tag| tag.as_str().into()).collect()
}

/// What `next` finds, each found from where the one before was.
fn following<E>(
    after: Option<Id<E>>,
    next: impl Fn(Bound<Id<E>>) -> Option<Id<E>>,
) -> impl Iterator<Item = Id<E>> {
    let mut from = after.map_or(Bound::Unbounded, Bound::Excluded);
    iter::from_fn(move || {
        let found = next(from)?;
        from = Bound::Excluded(found);
        Some(found)
    })
}
