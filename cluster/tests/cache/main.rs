//! The configuration cache, from outside: what was kept is there after a restart, whatever happened to
//! the process, the disk or the files in between.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

#[path = "../support/mod.rs"]
mod support;

mod damage; // files that are not what was written
mod removal; // files that are not there any more
mod death; // processes that end in the middle
mod node; // a data plane that uses it
mod heard; // what is logged meanwhile

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use cluster::cache::{Cache, CacheError, Limits, Loaded, Off, Options};
use cluster::client::Keep;
use cluster::ed25519::SigningKey;
use cluster::trust::Trust;
use model::{Config, EntityKind, Revision};
use serde::Serialize;
use tempfile::TempDir;
use uuid::Uuid;

use support::{service, signed};

/// Logs this long are over soon.
const SHORT: Limits = Limits { frames: 4, bytes: 16 << 20 };

/// A data plane's prefix.
struct Prefix {
    dir: TempDir,
    key: SigningKey,
}

impl Prefix {
    fn new() -> Self {
        heard::prick_up_ears();
        Self { dir: tempfile::tempdir().unwrap(), key: SigningKey::from_seed(&[7; 32]).unwrap() }
    }

    fn cache(&self) -> PathBuf {
        self.dir.path().join("dbless.lmdb")
    }

    /// The trust of a node that has met its control plane.
    fn trust(&self) -> Arc<Trust> {
        trusting(self.dir.path(), &self.key)
    }

    fn open(&self) -> (Cache, Loaded) {
        open(&self.cache(), self.trust()).unwrap()
    }

    /// Revision `version` of a history in which each version changes one service.
    fn revision(&self, version: u64) -> Arc<Revision> {
        revision(&self.key, version)
    }

    /// Keeps these versions, and forgets everything but the files.
    fn keep(&self, versions: impl IntoIterator<Item = u64>) {
        let (cache, _) = self.open();
        self.keep_in(&cache, versions);
    }

    /// Keeps these versions, each with what is done in the background about it.
    fn keep_in(&self, cache: &Cache, versions: impl IntoIterator<Item = u64>) {
        for version in versions {
            cache.keep(&self.revision(version)).unwrap();
            cache.settle();
        }
    }

    #[track_caller]
    fn check_holds(&self, version: u64) {
        let (_, loaded) = self.open();
        assert!(loaded.set_aside.is_empty(), "{:?}", loaded.set_aside);
        check_is(&loaded, &self.revision(version));
        assert_eq!(loaded.trust, Some(self.key.public()));
    }
}

fn trusting(prefix: &Path, key: &SigningKey) -> Arc<Trust> {
    Arc::new(Trust::load(prefix, Some(key.public())).unwrap())
}

fn open(dir: &Path, trust: Arc<Trust>) -> Result<(Cache, Loaded), CacheError> {
    Cache::open(Options { dir: dir.to_owned(), trust, limits: SHORT })
}

/// Twelve services; each version renames one of them.
fn revision(key: &SigningKey, version: u64) -> Arc<Revision> {
    let mut config = Config::default();
    for number in 0..12 {
        let changed = version.checked_sub((version + 12 - number) % 12);
        let host = changed.map_or("first".to_owned(), |version| format!("v{version}.example"));
        let (id, bytes) = service(u128::from(number) + 1, &host);
        config.put(EntityKind::Service, id, bytes).unwrap();
    }
    signed(key, 1, version, config)
}

#[track_caller]
fn check_is(loaded: &Loaded, expected: &Revision) {
    let revision = loaded.revision.as_ref().expect("something was loaded");
    assert_eq!(revision.id, expected.id);
    assert_eq!(revision.signature, expected.signature);
    assert_eq!(revision.config.hash(), expected.config.hash());
    assert_eq!(revision.config.len(), expected.config.len());
}

fn names(dir: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for name in names(from) {
        if from.join(&name).is_dir() {
            copy(&from.join(&name), &to.join(&name));
        } else {
            fs::copy(from.join(&name), to.join(&name)).unwrap();
        }
    }
}

#[test]
fn a_new_cache_is_empty_and_private() {
    let prefix = Prefix::new();
    let (_cache, loaded) = prefix.open();
    assert!(loaded.revision.is_none() && loaded.trust.is_none() && loaded.set_aside.is_empty());
    assert_eq!(fs::metadata(prefix.cache()).unwrap().mode() & 0o777, 0o700);
}

#[test]
fn each_revision_is_there_after_a_restart() {
    let prefix = Prefix::new();
    for version in 1..=11 {
        prefix.keep([version]);
        prefix.check_holds(version);
    }
}

#[test]
fn the_files_of_a_generation_are_its_owners_alone() {
    let prefix = Prefix::new();
    prefix.keep([1]);
    assert_eq!(names(&prefix.cache()), ["1", "2", "lock"]);
    assert_eq!(names(&prefix.cache().join("1")), ["data.mdb", "log", "seal"]);
    for file in ["data.mdb", "log", "seal"] {
        let meta = fs::metadata(prefix.cache().join("1").join(file)).unwrap();
        assert_eq!(meta.mode() & 0o777, 0o600, "{file}");
    }
}

#[test]
fn a_long_log_makes_a_new_generation_and_two_are_kept() {
    let prefix = Prefix::new();
    prefix.keep(1..=4);
    assert_eq!(names(&prefix.cache()), ["1", "2", "lock"]);
    prefix.keep([5]);
    assert_eq!(names(&prefix.cache()), ["2", "3", "lock"]);
    prefix.keep(6..=30);
    assert_eq!(names(&prefix.cache()), ["8", "9", "lock"]);
    prefix.check_holds(30);
}

/// Whatever is being written in the background while revisions arrive.
#[test]
fn each_generation_leads_to_the_newest_revision() {
    for last in [1, 2, 3, 7, 60, 61] {
        let prefix = Prefix::new();
        let (cache, _) = prefix.open();
        (1..=last).for_each(|version| cache.keep(&prefix.revision(version)).unwrap());
        drop(cache);
        let numbers = names(&prefix.cache()).into_iter().filter(|name| name != "lock");
        let numbers: Vec<_> = numbers.collect();
        assert_eq!(numbers.len(), 2, "{numbers:?}");
        for number in numbers {
            let alone = Prefix::new();
            copy(&prefix.cache().join(&number), &alone.cache().join(&number));
            alone.check_holds(last);
        }
    }
}

#[test]
fn a_revision_kept_twice_is_written_once() {
    let prefix = Prefix::new();
    prefix.keep([1, 2]);
    let sizes =
        || ["1/log", "2/log"].map(|log| fs::metadata(prefix.cache().join(log)).unwrap().len());
    let before = sizes();
    prefix.keep([2, 2]);
    assert_eq!(sizes(), before);
}

#[test]
fn skipped_versions_and_a_raised_epoch_follow_like_any_other() {
    let prefix = Prefix::new();
    prefix.keep([3, 9]);
    prefix.check_holds(9);
    let restored = signed(&prefix.key, 2, 4, prefix.revision(4).config.clone());
    let (cache, _) = prefix.open();
    cache.keep(&restored).unwrap();
    drop(cache);
    check_is(&prefix.open().1, &restored);
}

#[test]
fn an_empty_configuration_is_a_configuration() {
    let prefix = Prefix::new();
    let empty = signed(&prefix.key, 1, 1, Config::default());
    let (cache, _) = prefix.open();
    cache.keep(&empty).unwrap();
    drop(cache);
    check_is(&prefix.open().1, &empty);
}

#[test]
fn a_step_too_long_for_the_log_makes_a_new_generation() {
    let prefix = Prefix::new();
    prefix.keep([1]);
    let mut config = Config::default();
    for number in 0..60 {
        let (id, bytes) = long_service(number + 1);
        config.put(EntityKind::Service, id, bytes).unwrap();
    }
    let large = signed(&prefix.key, 1, 2, config);
    let (cache, _) = prefix.open();
    cache.keep(&large).unwrap();
    drop(cache);
    assert_eq!(names(&prefix.cache()), ["3", "4", "lock"], "neither log leads there");
    check_is(&prefix.open().1, &large);
}

/// A service with a field that only a newer version knows.
fn long_service(number: u128) -> (Uuid, Bytes) {
    #[derive(Serialize)]
    struct Service {
        created_at: i64,
        host: &'static str,
        id: Uuid,
        newer: String,
        updated_at: i64,
    }
    let (id, newer) = (Uuid::from_u128(number), "x".repeat(300_000));
    let service = Service { created_at: 1, host: "long.test", id, newer, updated_at: 1 };
    (id, rmp_serde::to_vec_named(&service).unwrap().into())
}

#[test]
fn a_second_process_is_told_who_has_the_cache() {
    let prefix = Prefix::new();
    let (_cache, _) = prefix.open();
    // A lock belongs to the open file, so a second open in this process is refused like another's.
    let error = open(&prefix.cache(), prefix.trust()).unwrap_err();
    let expected = format!("is in use by process {}", std::process::id());
    assert!(error.to_string().contains(&expected), "{error}");
}

#[test]
fn what_a_killed_process_had_not_finished_is_removed() {
    let prefix = Prefix::new();
    prefix.keep([1, 2]);
    copy(&prefix.cache().join("1"), &prefix.cache().join("3.new"));
    copy(&prefix.cache().join("1"), &prefix.cache().join("0.old"));
    prefix.check_holds(2);
    assert_eq!(names(&prefix.cache()), ["1", "2", "lock"]);
}

#[test]
fn a_copy_works_on_another_node_which_pins_its_key() {
    let (donor, node) = (Prefix::new(), tempfile::tempdir().unwrap());
    donor.keep(1..=7);
    let dir = node.path().join("dbless.lmdb");
    copy(&donor.cache(), &dir);

    let trust = Arc::new(Trust::load(node.path(), None).unwrap());
    let (cache, loaded) = open(&dir, trust.clone()).unwrap();
    let loaded = cache.verify(loaded).unwrap();
    check_is(&loaded, &donor.revision(7));
    assert!(loaded.set_aside.is_empty());
    assert_eq!(trust.key(), Some(donor.key.public()));

    cache.keep(&donor.revision(8)).unwrap();
    drop(cache);
    check_is(&open(&dir, trust).unwrap().1, &donor.revision(8));
}

#[test]
fn a_copy_over_an_older_cache_counts_for_what_is_newer() {
    let (donor, prefix) = (Prefix::new(), Prefix::new());
    prefix.keep(1..=30);
    donor.keep(40..=46);
    assert_eq!(names(&donor.cache()), ["2", "3", "lock"]);
    copy(&donor.cache(), &prefix.cache());
    assert_eq!(names(&prefix.cache()), ["2", "3", "8", "9", "lock"]);
    prefix.check_holds(46);
    prefix.keep(47..=48);
    prefix.check_holds(48);
    assert_eq!(names(&prefix.cache()), ["10", "3", "lock"]);
}

#[test]
fn another_clusters_cache_is_refused_whole() {
    let (donor, node) = (Prefix::new(), tempfile::tempdir().unwrap());
    donor.keep(1..=7);
    let dir = node.path().join("dbless.lmdb");
    copy(&donor.cache(), &dir);

    let ours = SigningKey::from_seed(&[8; 32]).unwrap();
    let (cache, loaded) = open(&dir, trusting(node.path(), &ours)).unwrap();
    let loaded = cache.verify(loaded).unwrap();
    assert!(loaded.revision.is_none());
    assert_eq!(loaded.set_aside.len(), 2);
    assert!(loaded.set_aside[0].cause.contains("not by the trusted key"));
    assert_eq!(names(&dir), ["lock", "quarantine"]);

    cache.keep(&revision(&ours, 1)).unwrap();
    drop(cache);
    check_is(&open(&dir, trusting(node.path(), &ours)).unwrap().1, &revision(&ours, 1));
}

#[test]
fn a_forged_revision_falls_back_to_the_one_before() {
    let prefix = Prefix::new();
    prefix.keep(1..=5);
    let forger = SigningKey::from_seed(&[9; 32]).unwrap();
    let (cache, _) = prefix.open();
    cache.keep(&revision(&forger, 6)).unwrap();
    drop(cache);

    let (cache, loaded) = prefix.open();
    let loaded = cache.verify(loaded).unwrap();
    check_is(&loaded, &prefix.revision(5));
    assert_eq!(loaded.set_aside.len(), 2, "it is in both logs");
    cache.keep(&prefix.revision(6)).unwrap();
    drop(cache);
    prefix.check_holds(6);
}

#[test]
fn a_node_that_joins_another_cluster_does_not_fall_back_on_the_old_one() {
    let prefix = Prefix::new();
    prefix.keep(1..=6);
    let other = SigningKey::from_seed(&[8; 32]).unwrap();
    let (cache, _) = open(&prefix.cache(), trusting(prefix.dir.path(), &other)).unwrap();
    cache.keep(&revision(&other, 1)).unwrap();
    cache.settle();
    assert_eq!(names(&prefix.cache()), ["4", "5", "lock"]);
}

#[test]
fn without_a_cache_nothing_is_kept_and_nobody_is_told_otherwise() {
    let prefix = Prefix::new();
    assert!(!Off.keeps());
    Off.keep(&prefix.revision(1)).unwrap();
    assert_eq!(names(prefix.dir.path()), [""; 0]);
}
