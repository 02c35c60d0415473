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

    /// The hash of a kind and a text whose case does not count.
    #[inline]
    pub(super) fn without_case(&self, kind: &[u8], text: &[u8]) -> u64 {
        let mut hasher = self.0.build_hasher();
        if !kind.is_empty() {
            hasher.write(kind);
        }
        hasher.write_usize(text.len());
        words(text).for_each(|word| hasher.write_u64(lower(word)));
        hasher.finish()
    }
}

/// Whether a text is this one, which is in lower case, but for its case.
#[inline]
pub(super) fn is_without_case(lower_case: &[u8], text: &[u8]) -> bool {
    lower_case.len() == text.len()
        && words(lower_case).zip(words(text)).all(|(expected, word)| expected == lower(word))
}

/// The bytes of a text, eight at a time: the last may hold some of those before it again.
/// Byte by byte, hashing and comparing a host took as long as all else in `find`.
#[inline]
fn words(text: &[u8]) -> impl Iterator<Item = u64> {
    let (chunks, rest) = text.as_chunks::<8>();
    let last = (!rest.is_empty()).then(|| {
        text.last_chunk::<8>().copied().unwrap_or_else(|| {
            let mut word = [0; 8];
            word.iter_mut().zip(rest).for_each(|(to, byte)| *to = *byte);
            word
        })
    });
    chunks.iter().copied().chain(last).map(u64::from_le_bytes)
}

/// Eight bytes with the capitals of ASCII made small. In the sums, the high bit of a byte
/// says whether it is at least a bound, which the seven bits below cannot disturb.
#[inline]
fn lower(word: u64) -> u64 {
    const EACH: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = EACH * 0x80;
    let low = word & !HIGH;
    let from_a = low + EACH * (0x80 - b'A' as u64);
    let beyond_z = low + EACH * (0x7f - b'Z' as u64);
    let is_capital = from_a & !beyond_z & !word & HIGH;
    word | is_capital >> 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_does_not_count_but_all_else_does() {
        let hashing = Hashing::default();
        for byte in 0..=u8::MAX {
            let small = byte.to_ascii_lowercase();
            assert_eq!(lower(u64::from_ne_bytes([byte; 8])), u64::from_ne_bytes([small; 8]));
            for len in 1..20 {
                let text = [vec![byte; len - 1], b"Ab".to_vec()].concat();
                let folded = text.to_ascii_lowercase();
                assert!(is_without_case(&folded, &text));
                assert_eq!(hashing.without_case(b"", &folded), hashing.without_case(b"", &text));
                for at in 0..text.len() {
                    let mut other = text.clone();
                    other[at] ^= 1;
                    assert!(!is_without_case(&folded, &other), "{text:?} {other:?}");
                }
            }
        }
    }

    #[test]
    fn texts_of_other_lengths_have_other_hashes() {
        let hashing = Hashing::default();
        let hashes = (0..40).map(|len| hashing.without_case(b"", &vec![b'a'; len]));
        assert_eq!(hashes.collect::<std::collections::BTreeSet<_>>().len(), 40);
    }
}
