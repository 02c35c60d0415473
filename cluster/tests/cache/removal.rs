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
        prefix.keep_in(&cache, 1..=6);
        assert_eq!(names(&prefix.cache()), ["2", "3", "lock"]);
        happens(&prefix.cache());
        cache.keep(&prefix.revision(again)).unwrap();
        assert!(is_in_use(&prefix), "the directory is still this process's");
        drop(cache);
        prefix.check_holds(again);

        let (cache, _) = prefix.open();
        prefix.keep_in(&cache, again + 1..=20);
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
        fs::rename(cache.join("3"), cache.join("9")).unwrap();
    });
}

#[test]
fn a_generation_is_removed() {
    check(|cache| fs::remove_dir_all(cache.join("3")).unwrap());
}

#[test]
fn one_file_is_removed() {
    for file in ["3/log", "3/data.mdb", "3/seal", "2/log", "2/seal", "lock"] {
        check(|cache| fs::remove_file(cache.join(file)).unwrap());
    }
}

#[test]
fn one_file_is_replaced() {
    for file in ["3/log", "2/log", "lock"] {
        check(|cache| replace(&cache.join(file)));
    }
}

#[test]
fn the_log_is_shortened() {
    check(|cache| fs::write(cache.join("3/log"), "").unwrap());
    check(|cache| fs::write(cache.join("2/log"), "").unwrap());
}

#[test]
fn the_generation_before_survives_the_loss_of_the_newest() {
    let prefix = Prefix::new();
    let (cache, _) = prefix.open();
    prefix.keep_in(&cache, 1..=6);
    fs::remove_dir_all(prefix.cache().join("3")).unwrap();
    // No room for its successor, either.
    fs::write(prefix.cache().join("4.new"), "in the way").unwrap();
    cache.keep(&prefix.revision(7)).unwrap_err();
    assert_eq!(names(&prefix.cache()), ["2", "4.new", "lock"]);
    fs::remove_file(prefix.cache().join("4.new")).unwrap();
    prefix.keep_in(&cache, [7]);
    assert_eq!(names(&prefix.cache()), ["4", "5", "lock"]);
}

#[test]
fn the_older_generation_is_replaced_when_it_is_lost() {
    let prefix = Prefix::new();
    let (cache, _) = prefix.open();
    prefix.keep_in(&cache, 1..=6);
    fs::remove_dir_all(prefix.cache().join("2")).unwrap();
    prefix.keep_in(&cache, [7]);
    assert_eq!(names(&prefix.cache()), ["3", "4", "lock"]);
    drop(cache);
    fs::remove_dir_all(prefix.cache().join("3")).unwrap();
    let (cache, loaded) = prefix.open();
    cache.verify(loaded).unwrap();
    cache.settle();
    assert_eq!(names(&prefix.cache()), ["4", "5", "lock"], "after a start, too");
}

#[test]
fn what_is_lost_is_noticed_before_the_next_revision() {
    for (gone, is_noticed) in
        [("3/log", true), ("3/seal", true), ("lock", true), ("2/log", false), ("quarantine", false)]
    {
        let prefix = Prefix::new();
        let (cache, _) = prefix.open();
        prefix.keep_in(&cache, 1..=6);
        assert!(cache.still_keeps());
        let _ = fs::remove_file(prefix.cache().join(gone));
        assert_eq!(cache.still_keeps(), !is_noticed, "{gone}");
        assert_eq!(cache.still_keeps(), !is_noticed, "{gone}, until it is kept again");
        cache.keep(&prefix.revision(6)).unwrap();
        assert!(cache.still_keeps());
        cache.settle();
        drop(cache);
        prefix.check_holds(6);
    }
}

#[test]
fn the_older_generation_is_replaced_without_a_revision() {
    let prefix = Prefix::new();
    let (cache, _) = prefix.open();
    prefix.keep_in(&cache, 1..=6);
    fs::remove_dir_all(prefix.cache().join("2")).unwrap();
    assert!(cache.still_keeps(), "the next start would find it");
    cache.settle();
    assert_eq!(names(&prefix.cache()), ["3", "4", "lock"]);
}

#[test]
fn what_cannot_be_written_anew_is_not_kept_until_it_can() {
    let prefix = Prefix::new();
    let (cache, _) = prefix.open();
    prefix.keep_in(&cache, [1]);
    fs::remove_dir_all(prefix.cache()).unwrap();
    fs::write(prefix.cache(), "in the way").unwrap();
    cache.keep(&prefix.revision(2)).unwrap_err();
    cache.keep(&prefix.revision(2)).unwrap_err();
    fs::remove_file(prefix.cache()).unwrap();
    cache.keep(&prefix.revision(2)).unwrap();
    drop(cache);
    prefix.check_holds(2);
}
