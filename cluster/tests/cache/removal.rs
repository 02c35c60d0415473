//! Files that vanish, or become others, under a running node: what it says it has kept, it has.

use std::fs;
use std::path::Path;

use cluster::client::Keep;

use super::{Prefix, names};

/// Keeps versions up to 6, in two generations, lets this happen, and keeps another.
#[track_caller]
fn check(happens: impl Fn(&Path)) {
    for again in [6, 7] {
        let prefix = Prefix::new();
        let (cache, _) = prefix.open();
        (1..=6).for_each(|version| cache.keep(&prefix.revision(version)).unwrap());
        assert_eq!(names(&prefix.cache()), ["1", "2", "lock"]);
        happens(&prefix.cache());
        cache.keep(&prefix.revision(again)).unwrap();
        assert!(is_in_use(&prefix), "the directory is still this process's");
        drop(cache);
        prefix.check_holds(again);

        let (cache, _) = prefix.open();
        (again + 1..=20).for_each(|version| cache.keep(&prefix.revision(version)).unwrap());
        drop(cache);
        prefix.check_holds(20);
    }
}

fn is_in_use(prefix: &Prefix) -> bool {
    super::open(&prefix.cache(), prefix.trust()).is_err()
}

/// Puts a copy of a file in its place.
fn replace(path: &Path) {
    let copy = path.with_extension("copy");
    fs::copy(path, &copy).unwrap();
    fs::rename(&copy, path).unwrap();
}

#[test]
fn the_whole_directory_is_removed() {
    check(|cache| fs::remove_dir_all(cache).unwrap());
}

#[test]
fn the_whole_directory_is_moved_and_an_old_copy_is_in_its_place() {
    check(|cache| {
        let old = cache.with_extension("old");
        fs::rename(cache, &old).unwrap();
        super::copy(&old, cache);
        fs::rename(cache.join("2"), cache.join("9")).unwrap();
    });
}

#[test]
fn a_generation_is_removed() {
    check(|cache| fs::remove_dir_all(cache.join("2")).unwrap());
}

#[test]
fn one_file_is_removed() {
    for file in ["2/log", "2/data.mdb", "2/seal", "lock"] {
        check(|cache| fs::remove_file(cache.join(file)).unwrap());
    }
}

#[test]
fn one_file_is_replaced() {
    for file in ["2/log", "lock"] {
        check(|cache| replace(&cache.join(file)));
    }
}

#[test]
fn the_log_is_shortened() {
    check(|cache| fs::write(cache.join("2/log"), "").unwrap());
}

#[test]
fn the_generation_before_survives_the_loss_of_the_newest() {
    let prefix = Prefix::new();
    let (cache, _) = prefix.open();
    (1..=6).for_each(|version| cache.keep(&prefix.revision(version)).unwrap());
    fs::remove_dir_all(prefix.cache().join("2")).unwrap();
    cache.keep(&prefix.revision(7)).unwrap();
    assert_eq!(names(&prefix.cache()), ["1", "3", "lock"]);
}

#[test]
fn what_cannot_be_written_anew_is_not_kept_until_it_can() {
    let prefix = Prefix::new();
    let (cache, _) = prefix.open();
    cache.keep(&prefix.revision(1)).unwrap();
    fs::remove_dir_all(prefix.cache()).unwrap();
    fs::write(prefix.cache(), "in the way").unwrap();
    cache.keep(&prefix.revision(2)).unwrap_err();
    cache.keep(&prefix.revision(2)).unwrap_err();
    fs::remove_file(prefix.cache()).unwrap();
    cache.keep(&prefix.revision(2)).unwrap();
    drop(cache);
    prefix.check_holds(2);
}
