//! Damaged files. All of this happens in the test's own process: a base is mapped only after the file has
//! been read and found to be what was sealed, so nothing here can reach LMDB. If it could, the signal
//! would end the test run, which is as good a failure as any.

use std::fs::{self, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};

use cluster::client::Keep;
use tracing_subscriber::fmt::MakeWriter;

use super::{Prefix, check_is, copy, names};

/// Generation 1: base 1, steps to 5. Generation 2: base 5, steps to 8.
const LAST: u64 = 8;
const BASE: u64 = 5;

fn template() -> Prefix {
    let prefix = Prefix::new();
    prefix.keep(1..=LAST);
    prefix
}

/// Which versions may be left.
enum Left {
    /// Nothing is lost.
    All,
    /// What came after some point of the newest log may be.
    FromBase,
    /// Only these.
    Exactly(Option<u64>),
}

/// Damages a copy and opens it: what is left must be in order, the damaged generations set aside, and the
/// cache as good as new afterwards.
#[track_caller]
fn check(template: &Prefix, left: Left, aside: &[&str], damage: impl FnOnce(&Path)) {
    let prefix = Prefix::new();
    copy(&template.cache(), &prefix.cache());
    damage(&prefix.cache());

    let (cache, loaded) = prefix.open();
    let version = loaded.revision.as_ref().map(|revision| revision.id.version);
    match left {
        Left::All => assert_eq!(version, Some(LAST)),
        Left::FromBase => assert!(version.is_some_and(|v| (BASE..=LAST).contains(&v))),
        Left::Exactly(expected) => assert_eq!(version, expected),
    }
    if let Some(version) = version {
        check_is(&loaded, &prefix.revision(version));
    }
    let taken: Vec<_> = names(&prefix.cache().join("quarantine"))
        .iter()
        .map(|name| name.split_once('-').unwrap().1.to_owned())
        .collect();
    assert_eq!(taken, aside, "{:?}", loaded.set_aside);
    assert_eq!(loaded.set_aside.len(), aside.len());
    drop(cache);

    if let Some(version) = version {
        prefix.check_holds(version);
    }
    let (cache, _) = prefix.open();
    cache.keep(&prefix.revision(LAST + 1)).unwrap();
    drop(cache);
    prefix.check_holds(LAST + 1);
}

/// Small, quick, and the same every time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).unwrap().len()
}

fn flip(path: &Path, at: u64, bit: u64) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at as usize] ^= 1 << bit;
    fs::write(path, bytes).unwrap();
}

fn truncate(path: &Path, length: u64) {
    OpenOptions::new().write(true).open(path).unwrap().set_len(length).unwrap();
}

fn zero_page(path: &Path, page: u64) {
    let mut file = OpenOptions::new().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(page * 4096)).unwrap();
    file.write_all(&[0; 4096]).unwrap();
}

#[test]
fn a_base_with_any_bit_changed_is_rebuilt() {
    let (template, mut dice) = (template(), Dice(1));
    let size = length(&template.cache().join("2/data.mdb"));
    for _ in 0..60 {
        let (at, bit) = (dice.below(size), dice.below(8));
        check(&template, Left::All, &["2"], |dir| flip(&dir.join("2/data.mdb"), at, bit));
    }
}

#[test]
fn a_base_that_is_cut_or_padded_is_rebuilt() {
    let (template, mut dice) = (template(), Dice(2));
    let size = length(&template.cache().join("2/data.mdb"));
    for _ in 0..20 {
        let end = dice.below(size);
        check(&template, Left::All, &["2"], |dir| truncate(&dir.join("2/data.mdb"), end));
    }
    check(&template, Left::All, &["2"], |dir| truncate(&dir.join("2/data.mdb"), size + 4096));
}

#[test]
fn a_base_with_a_blank_page_is_rebuilt() {
    let template = template();
    let pages = length(&template.cache().join("2/data.mdb")) / 4096;
    for page in 0..pages {
        check(&template, Left::All, &["2"], |dir| zero_page(&dir.join("2/data.mdb"), page));
    }
}

#[test]
fn a_seal_with_any_bit_changed_does_not_vouch_for_its_base() {
    let (template, mut dice) = (template(), Dice(3));
    let size = length(&template.cache().join("2/seal"));
    for _ in 0..20 {
        let (at, bit) = (dice.below(size), dice.below(8));
        check(&template, Left::All, &["2"], |dir| flip(&dir.join("2/seal"), at, bit));
    }
    check(&template, Left::All, &["2"], |dir| truncate(&dir.join("2/seal"), 0));
}

#[test]
fn a_log_with_any_bit_changed_counts_up_to_there() {
    let (template, mut dice) = (template(), Dice(4));
    let size = length(&template.cache().join("2/log"));
    for _ in 0..30 {
        let (at, bit) = (dice.below(size), dice.below(8));
        check(&template, Left::FromBase, &["2"], |dir| flip(&dir.join("2/log"), at, bit));
    }
}

#[test]
fn a_last_frame_cut_anywhere_is_as_if_it_had_not_been_written() {
    let template = template();
    let whole = length(&template.cache().join("2/log"));
    let shorter = Prefix::new();
    shorter.keep(1..LAST);
    let before = length(&shorter.cache().join("2/log"));
    for end in before..whole {
        let left = Left::Exactly(Some(LAST - 1));
        check(&template, left, &[], |dir| truncate(&dir.join("2/log"), end));
    }
}

#[test]
fn missing_files_are_rebuilt_or_done_without() {
    let template = template();
    for file in ["2/data.mdb", "2/seal"] {
        check(&template, Left::All, &["2"], |dir| fs::remove_file(dir.join(file)).unwrap());
    }
    let base = || Left::Exactly(Some(BASE));
    check(&template, base(), &["2"], |dir| fs::remove_file(dir.join("2/log")).unwrap());
    check(&template, base(), &["2"], |dir| truncate(&dir.join("2/log"), 0));
    // The log of the generation before leads to where the missing one began.
    check(&template, base(), &[], |dir| fs::remove_dir_all(dir.join("2")).unwrap());
}

#[test]
fn files_in_the_wrong_place_are_damage() {
    let template = template();
    let swap = |dir: &Path, file: &str| {
        let (one, two) = (dir.join("1").join(file), dir.join("2").join(file));
        fs::rename(&one, dir.join("aside")).unwrap();
        fs::rename(&two, &one).unwrap();
        fs::rename(dir.join("aside"), &two).unwrap();
    };
    check(&template, Left::Exactly(None), &["1", "2"], |dir| swap(dir, "data.mdb"));
    check(&template, Left::Exactly(None), &["1", "2"], |dir| swap(dir, "seal"));
    check(&template, Left::Exactly(Some(BASE)), &["2"], |dir| swap(dir, "log"));

    let as_directory = |dir: &Path| {
        fs::remove_file(dir.join("2/data.mdb")).unwrap();
        fs::create_dir(dir.join("2/data.mdb")).unwrap();
    };
    check(&template, Left::All, &["2"], as_directory);
    let as_link = |dir: &Path| {
        fs::rename(dir.join("2/seal"), dir.join("seal")).unwrap();
        std::os::unix::fs::symlink(dir.join("seal"), dir.join("2/seal")).unwrap();
    };
    check(&template, Left::All, &["2"], as_link);
    let a_file_for_a_generation = |dir: &Path| fs::write(dir.join("3"), b"junk").unwrap();
    check(&template, Left::All, &["3"], a_file_for_a_generation);
}

#[test]
fn damage_to_both_generations_leaves_what_it_leaves() {
    let template = template();
    // The older log stops short of the newer base, which is gone.
    check(&template, Left::Exactly(Some(1)), &["1", "2"], |dir| {
        flip(&dir.join("2/data.mdb"), 5000, 3);
        flip(&dir.join("1/log"), length(&dir.join("1/log")) / 4, 3);
    });
    check(&template, Left::Exactly(None), &["1", "2"], |dir| {
        truncate(&dir.join("1/data.mdb"), 4096);
        truncate(&dir.join("2/data.mdb"), 4096);
    });
    // What is not needed is not looked at.
    check(&template, Left::All, &[], |dir| flip(&dir.join("1/data.mdb"), 5000, 3));
}

#[test]
fn what_is_set_aside_is_what_was_damaged() {
    let prefix = template();
    let data = prefix.cache().join("2/data.mdb");
    flip(&data, 4100, 0);
    let damaged = fs::read(&data).unwrap();
    let (_cache, loaded) = prefix.open();
    let aside = loaded.set_aside[0].path.as_ref().unwrap();
    assert_eq!(loaded.set_aside[0].cause, "`data.mdb` is not what was sealed");
    assert_eq!(names(aside), ["data.mdb", "log", "seal"]);
    assert_eq!(fs::read(aside.join("data.mdb")).unwrap(), damaged);
}

#[test]
fn the_log_says_what_happened_and_what_now() {
    let template = template();
    let said = |left: &str, damage: &dyn Fn(&Path)| {
        let prefix = Prefix::new();
        copy(&template.cache(), &prefix.cache());
        damage(&prefix.cache());
        let (log, (_cache, loaded)) = listen(|| prefix.open());
        let line = log.lines().last().unwrap();
        let aside = loaded.set_aside.last().unwrap();
        let expected = format!(
            "ERROR configuration cache {} is corrupt ({}); set aside in {}; continuing with {left}",
            prefix.cache().display(),
            aside.cause,
            aside.path.as_ref().unwrap().display()
        );
        assert_eq!(line, expected);
    };
    said("the previous generation at version 8", &|dir| flip(&dir.join("2/data.mdb"), 4100, 0));
    said("its intact part at version 5", &|dir| flip(&dir.join("2/log"), 200, 0));
    said("the control plane's answer", &|dir| {
        flip(&dir.join("1/data.mdb"), 4100, 0);
        flip(&dir.join("2/data.mdb"), 4100, 0);
    });
}

/// Runs this and returns what it logs.
fn listen<T>(run: impl FnOnce() -> T) -> (String, T) {
    let log = Arc::new(Mutex::new(Vec::new()));
    let subscriber = tracing_subscriber::fmt()
        .with_writer(Log(log.clone()))
        .without_time()
        .with_target(false)
        .with_ansi(false)
        .finish();
    let result = tracing::subscriber::with_default(subscriber, run);
    let text = String::from_utf8(log.lock().unwrap().clone()).unwrap();
    (text, result)
}

#[derive(Clone)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[test]
fn the_quarantine_keeps_the_newest_few() {
    let prefix = template();
    for round in 0..7 {
        let newest = names(&prefix.cache()).into_iter().filter(|name| name.parse::<u64>().is_ok());
        let newest = newest.max_by_key(|name| name.parse::<u64>().unwrap()).unwrap();
        flip(&prefix.cache().join(&newest).join("data.mdb"), 4100, 0);
        let (_cache, loaded) = prefix.open();
        assert_eq!(loaded.set_aside.len(), 1, "round {round}");
        check_is(&loaded, &prefix.revision(if round == 0 { LAST } else { BASE }));
    }
    assert_eq!(names(&prefix.cache().join("quarantine")).len(), 4);
}
