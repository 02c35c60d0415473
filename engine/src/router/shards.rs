//! A hash table of which a copy shares whatever was not changed since.
//!
//! The hash chooses one of 1,024 shards, each an array behind an `Arc`, and where in it a
//! value is, or else in the next places. A change copies the pointers and one shard. A
//! look-up in a million values touches the pointer and the value, and whoever makes that
//! one cache line waits once for memory.

use ahash::RandomState;
use std::array;
use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher};
use std::num::NonZeroU64;
use std::sync::Arc;

const SHARDS: usize = 1024;
/// Of this many places one stays free at least, so that what is not there is soon missed.
const SPARE: usize = 3;

/// A value that keeps its own hash, so that growing does not compute it again and most of
/// what differs is told apart without being looked at.
pub(super) trait Hashed: Clone {
    fn code(&self) -> Code;
}

/// A hash as values keep it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Code(NonZeroU64);

/// Values found by a hash and a comparison, both the caller's.
#[derive(Clone)]
pub(super) struct Shards<T> {
    shards: Arc<[Shard<T>; SHARDS]>,
}

/// A power of two of places, or none.
#[derive(Clone)]
struct Shard<T> {
    places: Option<Arc<[Option<T>]>>,
    taken: usize,
}

impl Code {
    pub(super) fn of(hash: u64) -> Code {
        Code(NonZeroU64::new(hash).unwrap_or(NonZeroU64::MIN))
    }

    /// Bits that places do not depend on, if there are less than a trillion.
    #[inline]
    fn shard(self) -> usize {
        (self.0.get() >> 40) as usize % SHARDS
    }

    #[inline]
    fn place(self, mask: usize) -> usize {
        self.0.get() as usize & mask
    }
}

impl<T> Default for Shards<T> {
    fn default() -> Self {
        Shards { shards: Arc::new(array::from_fn(|_| Shard::default())) }
    }
}

impl<T> Default for Shard<T> {
    fn default() -> Self {
        Shard { places: None, taken: 0 }
    }
}

impl<T> fmt::Debug for Shards<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let len: usize = self.shards.iter().map(|shard| shard.taken).sum();
        write!(f, "Shards({len} entries)")
    }
}

impl<T: Hashed> Shards<T> {
    #[inline]
    pub(super) fn get(&self, hash: u64, is: impl Fn(&T) -> bool) -> Option<&T> {
        let code = Code::of(hash);
        let places = self.shards[code.shard()].places.as_deref()?;
        places.get(position(places, code, is)?)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, hash: u64, is: impl Fn(&T) -> bool) -> Option<&mut T> {
        self.get(hash, &is)?;
        let code = Code::of(hash);
        let shard = &mut Arc::make_mut(&mut self.shards)[code.shard()];
        let places = Arc::make_mut(shard.places.as_mut()?);
        let at = position(places, code, is)?;
        places.get_mut(at)?.as_mut()
    }

    /// Adds a value that is not there yet.
    pub(super) fn insert(&mut self, value: T) {
        Arc::make_mut(&mut self.shards)[value.code().shard()].insert(value);
    }

    pub(super) fn remove(&mut self, hash: u64, is: impl Fn(&T) -> bool) -> Option<T> {
        self.get(hash, &is)?;
        let code = Code::of(hash);
        Arc::make_mut(&mut self.shards)[code.shard()].remove(code, is)
    }
}

/// Where a value is.
#[inline]
fn position<T: Hashed>(places: &[Option<T>], code: Code, is: impl Fn(&T) -> bool) -> Option<usize> {
    let mask = places.len().wrapping_sub(1);
    let mut at = code.place(mask);
    // One is free, so this ends.
    while let Some(value) = places.get(at)? {
        if value.code() == code && is(value) {
            return Some(at);
        }
        at = (at + 1) & mask;
    }
    None
}

impl<T: Hashed> Shard<T> {
    fn insert(&mut self, value: T) {
        let room = self.places.as_ref().map_or(0, |places| places.len());
        if self.taken + 1 + self.taken / SPARE >= room {
            self.grow((room * 2).max(2));
        }
        let Some(places) = &mut self.places else { return };
        put(Arc::make_mut(places), value);
        self.taken += 1;
    }

    fn grow(&mut self, room: usize) {
        let mut places: Arc<[Option<T>]> = (0..room).map(|_| None).collect();
        let old = self.places.take();
        let to = Arc::make_mut(&mut places);
        old.iter().flat_map(|old| old.iter()).flatten().for_each(|value| put(to, value.clone()));
        self.places = Some(places);
    }

    fn remove(&mut self, code: Code, is: impl Fn(&T) -> bool) -> Option<T> {
        let places = Arc::make_mut(self.places.as_mut()?);
        let mut hole = position(places, code, is)?;
        let removed = places[hole].take();
        self.taken -= 1;
        // Whatever was pushed on by it comes back.
        let mask = places.len() - 1;
        let mut at = (hole + 1) & mask;
        while let Some(value) = &places[at] {
            let pushed = at.wrapping_sub(value.code().place(mask)) & mask;
            if pushed >= at.wrapping_sub(hole) & mask {
                places.swap(at, hole);
                hole = at;
            }
            at = (at + 1) & mask;
        }
        if self.taken == 0 {
            self.places = None;
        }
        removed
    }
}

/// Puts a value into the first free place from its own on.
fn put<T: Hashed>(places: &mut [Option<T>], value: T) {
    let mask = places.len() - 1;
    let mut at = value.code().place(mask);
    while places[at].is_some() {
        at = (at + 1) & mask;
    }
    places[at] = Some(value);
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
        let (words, rest) = text.as_chunks::<8>();
        words.iter().for_each(|word| hasher.write_u64(lower(*word)));
        if !rest.is_empty() {
            hasher.write_u64(lower(last_word(text)));
        }
        hasher.finish()
    }
}

/// Whether a text is this one, which is in lower case, but for its case.
#[inline]
pub(super) fn is_without_case(lower_case: &[u8], text: &[u8]) -> bool {
    let ((expected, rest), (words, _)) = (lower_case.as_chunks::<8>(), text.as_chunks::<8>());
    lower_case.len() == text.len()
        && expected
            .iter()
            .zip(words)
            .all(|(expected, word)| u64::from_le_bytes(*expected) == lower(*word))
        && (rest.is_empty() || u64::from_le_bytes(last_word(lower_case)) == lower(last_word(text)))
}

/// The last eight bytes of a text, some of which may have been looked at; if it has less,
/// all. Byte by byte, hashing and comparing a host took as long as all else in `find`.
#[inline]
fn last_word(text: &[u8]) -> [u8; 8] {
    text.last_chunk::<8>().copied().unwrap_or_else(|| {
        let mut word = [0; 8];
        word.iter_mut().zip(text).for_each(|(to, byte)| *to = *byte);
        word
    })
}

/// Eight bytes with the capitals of ASCII made small. In the sums, the high bit of a byte
/// says whether it is at least a bound, which the seven bits below cannot disturb.
#[inline]
fn lower(word: [u8; 8]) -> u64 {
    const EACH: u64 = u64::from_le_bytes([1; 8]);
    const HIGH: u64 = EACH * 0x80;
    let word = u64::from_le_bytes(word);
    let low = word & !HIGH;
    let from_a = low + EACH * (0x80 - b'A' as u64);
    let beyond_z = low + EACH * (0x7f - b'Z' as u64);
    let is_capital = from_a & !beyond_z & !word & HIGH;
    word | is_capital >> 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[derive(Clone, Debug, PartialEq)]
    struct Number(u64, u8);

    impl Hashed for Number {
        fn code(&self) -> Code {
            Code::of(self.0)
        }
    }

    proptest! {
        /// Many have the same hash or the same place, and all are in two shards.
        #[test]
        fn it_holds_what_a_set_does(
            steps in prop::collection::vec((any::<bool>(), 0..12u64, 0..3u8), 0..200),
        ) {
            let hash_of = |number: u64| (number % 6) | ((number / 6) << 40);
            let mut table = Shards::default();
            let mut expected = BTreeSet::new();
            let mut copies = Vec::new();
            for (adds, number, other) in steps {
                let value = Number(hash_of(number), other);
                if !adds {
                    let removed = table.remove(value.0, |found| *found == value);
                    prop_assert_eq!(removed.is_some(), expected.remove(&(number, other)));
                } else if expected.insert((number, other)) {
                    table.insert(value);
                }
                copies.push((table.clone(), expected.clone()));
            }
            for (table, expected) in copies {
                let len = expected.len();
                prop_assert_eq!(format!("{table:?}"), format!("Shards({len} entries)"));
                for (number, other) in (0..12).flat_map(|number| [(number, 0), (number, 2)]) {
                    let value = Number(hash_of(number), other);
                    let found = table.get(value.0, |found| *found == value);
                    prop_assert_eq!(found.is_some(), expected.contains(&(number, other)));
                }
            }
        }
    }

    #[test]
    fn case_does_not_count_but_all_else_does() {
        let hashing = Hashing::default();
        for byte in 0..=u8::MAX {
            let small = byte.to_ascii_lowercase();
            assert_eq!(lower([byte; 8]), u64::from_le_bytes([small; 8]));
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
        assert_eq!(hashes.collect::<BTreeSet<_>>().len(), 40);
    }
}
