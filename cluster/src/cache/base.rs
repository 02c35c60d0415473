//! A whole revision as an LMDB environment: written once, sealed, and from then
//! on only read.
//!
//! A key is the name of the entity's table, a zero byte and its id; a value is
//! the entity's bytes, as the control plane wrote them. The environment is
//! mapped only while it is read, and only after its seal has been checked.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use blake3::Hash;
use bytes::Bytes;
use lmdb::{
    Cursor, Database, DatabaseFlags, Environment, EnvironmentFlags, Transaction, WriteFlags,
};
use model::encode::ContentHash;
use model::{Config, EntityKind, Revision};
use rustix::io::Errno;
use uuid::Uuid;

use super::CacheError;
use super::files::{self, DATA};
use super::log;
use super::recover::Damage;
use super::seal::{self, Seal};
use crate::ed25519::PublicKey;

/// Entities per transaction: what is not committed is held in memory once more.
const BATCH: usize = 10_000;

/// The largest page there is.
const PAGE: usize = 1 << 16;

/// A base as read.
pub(super) struct Base {
    pub(super) revision: Arc<Revision>,
    pub(super) trust: Option<PublicKey>,
}

/// Writes the revision's content to this draft, durably. Returns its size and hash, to be sealed.
pub(super) fn write(draft: &Path, revision: &Revision) -> Result<(u64, Hash), CacheError> {
    let path = draft.join(DATA);
    let entries = entries(&revision.config);
    fill(draft, &entries).map_err(|source| match plain(source, files::free(draft), &entries) {
        Ok(source) => CacheError::Lmdb { path: path.clone(), source },
        Err(source) => CacheError::io("write", &path)(source),
    })?;
    File::open(&path).and_then(seal::measure).map_err(CacheError::io("read", &path))
}

/// Reads a generation's base.
pub(super) fn read(generation: &Path) -> Result<Base, Damage> {
    let seal = Seal::read(generation)?;
    seal.check(generation)?;
    let config = map(generation)?;
    if config.hash() != seal.id.hash {
        return Err(Damage::OtherHash { id: seal.id, found: config.hash() });
    }
    let trust = seal.trust();
    let revision = Arc::new(Revision { id: seal.id, signature: seal.signature, config });
    Ok(Base { revision, trust })
}

/// The base of a log that starts from the empty configuration, which nobody needs a file to know. Without
/// its seal, it has no signature.
pub(super) fn empty(generation: &Path) -> Option<Base> {
    let id = log::span(generation).ok()?.from;
    let seal = Seal::read(generation).ok().filter(|seal| seal.id == id);
    let (signature, trust) = seal.map_or((None, None), |seal| (seal.signature, seal.trust()));
    let revision = Revision { id, signature, config: Config::default() };
    (id.hash == ContentHash::EMPTY).then(|| Base { revision: Arc::new(revision), trust })
}

/// LMDB reports what a full disk cut short as an input/output error, which would send its reader to look
/// for a broken disk. `free` is how much room is left.
fn plain(
    error: lmdb::Error,
    free: io::Result<u64>,
    entries: &[Entry],
) -> Result<lmdb::Error, io::Error> {
    let short = matches!(error, lmdb::Error::Other(code) if code == Errno::IO.raw_os_error());
    match free {
        Ok(free) if short && free < content(entries) as u64 => Err(Errno::NOSPC.into()),
        _ => Ok(error),
    }
}

/// A key and its value.
type Entry = (Vec<u8>, Bytes);

/// What a base holds, in the order of keys: of kinds, ours is that of dependency.
fn entries(config: &Config) -> Vec<Entry> {
    let mut entries = Vec::with_capacity(config.len());
    config.for_each(|kind, id, bytes| entries.push((key(kind, id), bytes.clone())));
    entries.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    entries
}

fn fill(draft: &Path, entries: &[Entry]) -> lmdb::Result<()> {
    // Nobody else knows the file yet: it needs no lock, and one sync at the end.
    let env = Environment::new()
        .set_flags(EnvironmentFlags::NO_LOCK | EnvironmentFlags::NO_SYNC)
        .set_map_size(room_for(entries))
        .open_with_permissions(draft, 0o600)?;
    let db = env.create_db(None, DatabaseFlags::empty())?;
    for batch in entries.chunks(BATCH) {
        append(&env, db, batch)?;
    }
    env.sync(true)
}

fn append(env: &Environment, db: Database, batch: &[Entry]) -> lmdb::Result<()> {
    let mut txn = env.begin_rw_txn()?;
    batch.iter().try_for_each(|(key, bytes)| txn.put(db, key, bytes, WriteFlags::APPEND))?;
    txn.commit()
}

/// An upper bound of the file's size. A page holds at least two values, or a value takes whole pages, so
/// that at most half is waste; the rest is for inner pages. What is not used costs address space only.
fn room_for(entries: &[Entry]) -> usize {
    (4 * content(entries)).next_multiple_of(PAGE) + 64 * PAGE
}

/// About as many bytes as this takes, and a page.
fn content(entries: &[Entry]) -> usize {
    PAGE + entries.iter().map(|(key, bytes)| key.len() + bytes.len() + 256).sum::<usize>()
}

fn map(generation: &Path) -> Result<Config, Damage> {
    let env = Environment::new()
        .set_flags(EnvironmentFlags::READ_ONLY | EnvironmentFlags::NO_LOCK)
        .open(generation)?;
    let db = env.open_db(None)?;
    let txn = env.begin_ro_txn()?;
    let mut config = Config::default();
    for entry in txn.open_ro_cursor(db)?.iter_start() {
        let (key, bytes) = entry?;
        let (kind, id) = parse(key)?;
        config.put(kind, id, Bytes::copy_from_slice(bytes))?;
    }
    Ok(config)
}

fn key(kind: EntityKind, id: Uuid) -> Vec<u8> {
    [kind.name().as_bytes(), &[0], id.as_bytes()].concat()
}

fn parse(key: &[u8]) -> Result<(EntityKind, Uuid), Damage> {
    let unknown = || Damage::Unknown(String::from_utf8_lossy(key).into_owned());
    let (name, id) = key.split_last_chunk::<16>().ok_or_else(unknown)?;
    let name = name.strip_suffix(&[0]).and_then(|name| std::str::from_utf8(name).ok());
    let kind = name.and_then(EntityKind::from_name).ok_or_else(unknown)?;
    Ok((kind, Uuid::from_bytes(*id)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_key_goes_round() {
        for kind in EntityKind::ALL {
            let id = Uuid::new_v4();
            assert_eq!(parse(&key(*kind, id)).expect("is a key"), (*kind, id));
        }
    }

    #[test]
    fn a_write_cut_short_is_called_a_full_disk_if_it_is_one() {
        let entries = entries(&Config::default());
        let said = |error, free| match plain(error, free, &entries) {
            Ok(error) => error.to_string(),
            Err(error) => error.to_string(),
        };
        let short = lmdb::Error::Other(Errno::IO.raw_os_error());
        assert!(said(short, Ok(4096)).starts_with("No space left on device"));
        assert!(said(short, Ok(1 << 30)).starts_with("Input/output error"));
        assert!(said(short, Err(Errno::IO.into())).starts_with("Input/output error"));
        assert!(said(lmdb::Error::Corrupted, Ok(0)).starts_with("MDB_CORRUPTED"));
    }

    #[test]
    fn values_of_every_size_fit_the_room_made_for_them() {
        for size in [0, 1, 380, 1361, 1500, 2030, 2040, 3000, 4081, 70_000] {
            let dir = tempfile::tempdir().expect("has a place");
            let count = if size < 4096 { 20_000 } else { 200 };
            let entries: Vec<_> = (0..count)
                .map(|n| (key(EntityKind::Route, Uuid::from_u128(n)), Bytes::from(vec![7; size])))
                .collect();
            let env = Environment::new()
                .set_flags(EnvironmentFlags::NO_LOCK | EnvironmentFlags::NO_SYNC)
                .set_map_size(room_for(&entries))
                .open(dir.path())
                .expect("opens");
            let db = env.create_db(None, DatabaseFlags::empty()).expect("has a database");
            for batch in entries.chunks(BATCH) {
                append(&env, db, batch).unwrap_or_else(|error| panic!("{size}: {error}"));
            }
        }
    }

    proptest! {
        #[test]
        fn no_key_panics(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = parse(&bytes);
        }
    }
}
