//! A hash table of which a copy shares whatever was not changed since.
//!
//! The hash chooses one of 1,024 shards, each a table of its own behind an `Arc`: a
//! change copies the pointers and one shard. A look-up in a million entries touches
//! the pointer, the shard and the entry.

use ahash::RandomState;
use hashbrown::HashTable;
use std::array;
use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;

const SHARDS: usize = 1024;

type Shard<T> = Option<Arc<HashTable<Hashed<T>>>>;

/// Values found by a hash and a comparison, both the caller's.
#[derive(Clone)]
pub(super) struct Shards<T> {
    shards: Arc<[Shard<T>; SHARDS]>,
}

/// The hash is kept, so that growing does not compute it again and most of what
/// differs is told apart without being looked at.
#[derive(Clone, Debug)]
struct Hashed<T> {
    hash: u64,
    value: T,
}

impl<T> Default for Shards<T> {
    fn default() -> Self {
        Shards { shards: Arc::new(array::from_fn(|_| None)) }
    }
}

impl<T> fmt::Debug for Shards<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let len: usize = self.shards.iter().flatten().map(|shard| shard.len()).sum();
        write!(f, "Shards({len} entries)")
    }
}

/// Bits of the hash that the tables inside do not look at first.
#[inline]
fn shard_of(hash: u64) -> usize {
    (hash >> 40) as usize % SHARDS
}

impl<T: Clone> Shards<T> {
    #[inline]
    pub(super) fn get(&self, hash: u64, is: impl Fn(&T) -> bool) -> Option<&T> {
        let shard = self.shards[shard_of(hash)].as_ref()?;
        let found = shard.find(hash, |entry| entry.hash == hash && is(&entry.value))?;
        Some(&found.value)
    }

    pub(super) fn get_mut(&mut self, hash: u64, is: impl Fn(&T) -> bool) -> Option<&mut T> {
        self.get(hash, &is)?;
        let shard = self.shard_mut(hash);
        let found = shard.find_mut(hash, |entry| entry.hash == hash && is(&entry.value))?;
        Some(&mut found.value)
    }

    /// Adds a value that is not there yet.
    pub(super) fn insert(&mut self, hash: u64, value: T) {
        let shard = self.shard_mut(hash);
        shard.insert_unique(hash, Hashed { hash, value }, |entry| entry.hash);
    }

    pub(super) fn remove(&mut self, hash: u64, is: impl Fn(&T) -> bool) -> Option<T> {
        let shard = self.shard_mut(hash);
        let entry = shard.find_entry(hash, |entry| entry.hash == hash && is(&entry.value)).ok()?;
        Some(entry.remove().0.value)
    }

    fn shard_mut(&mut self, hash: u64) -> &mut HashTable<Hashed<T>> {
        let shard = &mut Arc::make_mut(&mut self.shards)[shard_of(hash)];
        Arc::make_mut(shard.get_or_insert_default())
    }
}

/// How the keys of one table are hashed; nobody outside can guess it.
#[derive(Clone, Debug, Default)]
pub(super) struct Hashing(RandomState);

impl Hashing {
    pub(super) fn of(&self, key: &impl Hash) -> u64 {
        self.0.hash_one(key)
    }

    /// The hash of two texts whose case does not count.
    #[inline]
    pub(super) fn without_case(&self, kind: &[u8], text: &[u8]) -> u64 {
        let mut hasher = self.0.build_hasher();
        if !kind.is_empty() {
            hasher.write(kind);
        }
        for chunk in text.chunks(64) {
            let mut lower = [0; 64];
            let lower = &mut lower[..chunk.len()];
            lower.copy_from_slice(chunk);
            lower.make_ascii_lowercase();
            hasher.write(lower);
        }
        hasher.finish()
    }
}
