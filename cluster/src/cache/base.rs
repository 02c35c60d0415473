//! A whole revision as an LMDB environment: written once, sealed, and from then
//! on only read.
//!
//! A key is the name of the entity's table, a zero byte and its id; a value is
//! the entity's bytes, as the control plane wrote them. The environment is
//! mapped only while it is read, and only after its seal has been checked.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use blake3::Hash;
use bytes::Bytes;
use lmdb::{
    Cursor, Database, DatabaseFlags, Environment, EnvironmentFlags, Transaction, WriteFlags,
};
use model::{Config, EntityKind, Revision};
use uuid::Uuid;

use super::CacheError;
use super::files::DATA;
use super::recover::Damage;
use super::seal::{self, Seal};
use crate::ed25519::PublicKey;

/// Entities per transaction: what is not committed is held in memory once more.
const BATCH: usize = 10_000;

/// A base as read.
pub(super) struct Base {
    pub(super) revision: Arc<Revision>,
    pub(super) trust: Option<PublicKey>,
}

/// Writes the revision's content to this draft, durably. Returns its size and hash, to be sealed.
pub(super) fn write(draft: &Path, revision: &Revision) -> Result<(u64, Hash), CacheError> {
    let path = draft.join(DATA);
    fill(draft, &revision.config)
        .map_err(|source| CacheError::Lmdb { path: path.clone(), source })?;
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

fn fill(draft: &Path, config: &Config) -> lmdb::Result<()> {
    let mut entries = Vec::with_capacity(config.len());
    config.for_each(|kind, id, bytes| entries.push((key(kind, id), bytes.clone())));
    // LMDB appends in the order of keys; of kinds, ours is that of dependency.
    entries.sort_unstable_by(|a, b| a.0.cmp(&b.0));

    // Nobody else knows the file yet: it needs no lock, and one sync at the end.
    let env = Environment::new()
        .set_flags(EnvironmentFlags::NO_LOCK | EnvironmentFlags::NO_SYNC)
        .set_map_size(room_for(&entries))
        .open_with_permissions(draft, 0o600)?;
    let db = env.create_db(None, DatabaseFlags::empty())?;
    for batch in entries.chunks(BATCH) {
        append(&env, db, batch)?;
    }
    env.sync(true)
}

fn append(env: &Environment, db: Database, batch: &[(Vec<u8>, Bytes)]) -> lmdb::Result<()> {
    let mut txn = env.begin_rw_txn()?;
    batch.iter().try_for_each(|(key, bytes)| txn.put(db, key, bytes, WriteFlags::APPEND))?;
    txn.commit()
}

/// An upper bound of the file's size. A page holds at least two values, or a value takes whole pages, so
/// that at most half is waste; the rest is for inner pages. What is not used costs address space only.
fn room_for(entries: &[(Vec<u8>, Bytes)]) -> usize {
    const PAGE: usize = 1 << 16; // the largest there is
    let content: usize = entries.iter().map(|(key, bytes)| key.len() + bytes.len() + 256).sum();
    (4 * content).next_multiple_of(PAGE) + 64 * PAGE
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
