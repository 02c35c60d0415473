//! Processes that are killed, and disks that are full. The process in question is this test's own binary,
//! started once more with a variable that tells it its part.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cluster::client::Keep;
use cluster::ed25519::SigningKey;
use model::causes::chain;
use rustix::process::{Resource, Rlimit, setrlimit};

use super::{Prefix, check_is, names, open, revision, trusting};

/// Set to a prefix: play the child there.
const CHILD: &str = "GATEWAY_TEST_CACHE_CHILD";

fn child_prefix() -> Option<PathBuf> {
    env::var_os(CHILD).map(PathBuf::from)
}

fn key() -> SigningKey {
    SigningKey::from_seed(&[7; 32]).unwrap()
}

#[test]
fn a_killed_process_loses_nothing_it_has_acknowledged() {
    const NAME: &str = "death::a_killed_process_loses_nothing_it_has_acknowledged";
    if let Some(prefix) = child_prefix() {
        return keep_until_killed(&prefix);
    }
    let prefix = Prefix::new();
    for round in 0..20 {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", NAME, "--nocapture"])
            .env(CHILD, prefix.dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let mut kept = output.filter_map(|line| line.strip_prefix("kept ")?.parse::<u64>().ok());
        let mut last = kept.nth(round * 7 % 11).expect("the child goes on until it is killed");
        child.kill().unwrap();
        last = kept.last().unwrap_or(last);
        child.wait().unwrap();

        let (_cache, loaded) = prefix.open();
        assert!(loaded.set_aside.is_empty(), "round {round}: {:?}", loaded.set_aside);
        let found = loaded.revision.as_ref().unwrap().id.version;
        // The next one may have been written, and its writer killed before it could say so.
        assert!((last..=last + 1).contains(&found), "round {round}: {last} became {found}");
        check_is(&loaded, &prefix.revision(found));
    }
}

fn keep_until_killed(prefix: &Path) {
    let (cache, loaded) = open(&prefix.join("dbless.lmdb"), trusting(prefix, &key())).unwrap();
    let first = loaded.revision.map_or(1, |revision| revision.id.version + 1);
    let mut output = std::io::stdout();
    for version in first.. {
        cache.keep(&revision(&key(), version)).unwrap();
        // Past the end of the pipe is the end of the test.
        if writeln!(output, "kept {version}").and_then(|()| output.flush()).is_err() {
            return;
        }
    }
}

/// A full disk is a limit on the size of files, which the kernel enforces the same way: part of a write
/// succeeds, then none. The shell is there to ignore the signal that comes with it.
#[test]
fn a_full_disk_is_an_error_now_and_forgotten_later() {
    const NAME: &str = "death::a_full_disk_is_an_error_now_and_forgotten_later";
    if let Some(prefix) = child_prefix() {
        return run_out_of_room(&prefix);
    }
    let prefix = Prefix::new();
    run_child(NAME, &prefix);
    prefix.check_holds(8);
}

#[test]
fn nothing_is_set_aside_before_it_is_replaced() {
    const NAME: &str = "death::nothing_is_set_aside_before_it_is_replaced";
    if let Some(prefix) = child_prefix() {
        return rebuild_without_room(&prefix);
    }
    let prefix = Prefix::new();
    prefix.keep(1..=8);
    // One generation, and that is not whole.
    fs::remove_dir_all(prefix.cache().join("2")).unwrap();
    let log = prefix.cache().join("3/log");
    let mut bytes = fs::read(&log).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&log, bytes).unwrap();
    run_child(NAME, &prefix);
    prefix.check_holds(9);
}

/// Runs this test in a process in which files can be limited.
fn run_child(test: &str, prefix: &Prefix) {
    let output = Command::new("sh")
        .args(["-c", r#"trap "" XFSZ; exec "$@""#, "sh"])
        .arg(env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(CHILD, prefix.dir.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

fn rebuild_without_room(prefix: &Path) {
    let dir = prefix.join("dbless.lmdb");
    limit_files_to(Some(6000));
    for _ in 0..2 {
        let (cache, loaded) = open(&dir, trusting(prefix, &key())).unwrap();
        check_is(&loaded, &revision(&key(), 7));
        assert!(loaded.set_aside[0].path.is_none());
        cache.keep(&revision(&key(), 9)).unwrap_err();
        cache.settle();
        assert_eq!(names(&dir), ["3", "lock"], "all there is to rebuild from is still there");
    }
    let (cache, _) = open(&dir, trusting(prefix, &key())).unwrap();
    limit_files_to(None);
    cache.keep(&revision(&key(), 9)).unwrap();
    cache.settle();
    assert_eq!(names(&dir), ["4", "5", "lock", "quarantine"]);
}

fn run_out_of_room(prefix: &Path) {
    let dir = prefix.join("dbless.lmdb");
    let log = |generation: &str| dir.join(generation).join("log");
    let size = |path: &Path| fs::metadata(path).unwrap().len();
    let (cache, _) = open(&dir, trusting(prefix, &key())).unwrap();
    let keep = |version| {
        let kept = cache.keep(&revision(&key(), version)).map_err(|error| chain(&*error));
        cache.settle();
        kept
    };

    // No room for a base.
    limit_files_to(Some(6000));
    let error = keep(1).unwrap_err();
    assert!(error.contains("data.mdb: No space left on device"), "{error}");
    assert_eq!(names(&dir), ["lock"], "the draft gave its room back");

    // No room for a frame, or for half of one.
    limit_files_to(None);
    keep(1).unwrap();
    keep(2).unwrap();
    let before = size(&log("2"));
    for room in [0, 1, 7, 8, 100] {
        limit_files_to(Some(before + room));
        let error = keep(3).unwrap_err();
        assert!(error.contains("File too large"), "{error}");
        assert_eq!(size(&log("2")), before, "what was written is taken back");
    }
    limit_files_to(None);
    keep(3).unwrap();

    // Room for a frame, but not for the base that is due: the revision is kept all the same.
    keep(4).unwrap();
    limit_files_to(Some(6000));
    keep(5).unwrap();
    assert_eq!(names(&dir), ["1", "2", "lock"]);
    limit_files_to(None);
    keep(6).unwrap();
    assert_eq!(names(&dir), ["2", "4", "lock"], "the base is written when there is room");

    // Room for a frame of one log only.
    assert!(size(&log("4")) + 1000 < size(&log("2")));
    limit_files_to(Some(size(&log("4")) + 1000));
    keep(7).unwrap();
    assert_eq!(names(&dir), ["2", "4", "lock"]);
    limit_files_to(None);
    keep(8).unwrap();
    assert_eq!(names(&dir), ["4", "6", "lock"]);
}

fn limit_files_to(bytes: Option<u64>) {
    setrlimit(Resource::Fsize, Rlimit { current: bytes, maximum: None }).unwrap();
}
