//! Damaged files. All of this happens in the test's own process: a base is mapped only after the file has
//! been read and found to be what was sealed, so nothing here can reach LMDB. If it could, the signal
//! would end the test run, which is as good a failure as any.

use std::fs::{self, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;

use cluster::client::Keep;
use model::{Config, Revision};

use super::heard::listen;
use super::support::signed;
use super::{Prefix, check_is, copy, names};

/// Generation 2: base 1, steps to 8. Generation 3: base 5, steps to 8.
const LAST: u64 = 8;
const BASE: u64 = 5;

fn template() -> Prefix {
    let prefix = Prefix::new();
    prefix.keep(1..=LAST);
    prefix
}

/// The same in one generation, as when the node dies before it has written the second.
fn alone() -> Prefix {
    let prefix = template();
    fs::remove_dir_all(prefix.cache().join("2")).unwrap();
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
    cache.settle();
    let mut taken = set_aside(&prefix);
    taken.sort();
    assert_eq!(taken, aside, "{:?}", cache.aside());
    assert_eq!(cache.aside().causes().len(), aside.len());
    drop(cache);

    if let Some(version) = version {
        assert_eq!(generations(&prefix), 2);
        prefix.check_holds(version);
    }
    let (cache, _) = prefix.open();
    cache.keep(&prefix.revision(LAST + 1)).unwrap();
    drop(cache);
    assert_eq!(generations(&prefix), 2);
    prefix.check_holds(LAST + 1);
}

/// The numbers of the generations in quarantine.
fn set_aside(prefix: &Prefix) -> Vec<String> {
    let names = names(&prefix.cache().join("quarantine")).into_iter();
    names
        .filter(|name| !name.starts_with("end-"))
        .map(|name| name.split_once('-').unwrap().1.to_owned())
        .collect()
}

fn generations(prefix: &Prefix) -> usize {
    names(&prefix.cache()).iter().filter(|name| name.parse::<u64>().is_ok()).count()
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

/// Changes a bit of the generation's file, anywhere, so many times: it is done without, and nothing is
/// lost.
#[track_caller]
fn flip_any(template: &Prefix, generation: &str, file: &str, times: u32, dice: &mut Dice) {
    let file = format!("{generation}/{file}");
    let size = length(&template.cache().join(&file));
    for _ in 0..times {
        let (at, bit) = (dice.below(size), dice.below(8));
        check(template, Left::All, &[generation], |dir| flip(&dir.join(&file), at, bit));
    }
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
fn a_base_with_any_bit_changed_is_done_without() {
    let (template, mut dice) = (template(), Dice(1));
    for generation in ["2", "3"] {
        flip_any(&template, generation, "data.mdb", 30, &mut dice);
    }
}

#[test]
fn a_base_that_is_cut_or_padded_is_done_without() {
    let (template, mut dice) = (template(), Dice(2));
    let size = length(&template.cache().join("3/data.mdb"));
    for _ in 0..20 {
        let end = dice.below(size);
        check(&template, Left::All, &["3"], |dir| truncate(&dir.join("3/data.mdb"), end));
    }
    check(&template, Left::All, &["3"], |dir| truncate(&dir.join("3/data.mdb"), size + 4096));
}

#[test]
fn a_base_with_a_blank_page_is_done_without() {
    let template = template();
    let pages = length(&template.cache().join("3/data.mdb")) / 4096;
    for page in 0..pages {
        check(&template, Left::All, &["3"], |dir| zero_page(&dir.join("3/data.mdb"), page));
    }
}

#[test]
fn a_seal_with_any_bit_changed_does_not_vouch_for_its_base() {
    let (template, mut dice) = (template(), Dice(3));
    for generation in ["2", "3"] {
        flip_any(&template, generation, "seal", 10, &mut dice);
        let seal = format!("{generation}/seal");
        check(&template, Left::All, &[generation], |dir| truncate(&dir.join(&seal), 0));
    }
}

#[test]
fn a_log_with_any_bit_changed_is_done_without() {
    let (template, mut dice) = (template(), Dice(4));
    for generation in ["2", "3"] {
        flip_any(&template, generation, "log", 15, &mut dice);
    }
}

#[test]
fn the_only_log_with_any_bit_changed_counts_up_to_there() {
    let (template, mut dice) = (alone(), Dice(5));
    let size = length(&template.cache().join("3/log"));
    for _ in 0..30 {
        let (at, bit) = (dice.below(size), dice.below(8));
        check(&template, Left::FromBase, &["3"], |dir| flip(&dir.join("3/log"), at, bit));
    }
}

#[test]
fn a_last_frame_cut_anywhere_is_as_if_it_had_not_been_written() {
    let template = alone();
    let whole = length(&template.cache().join("3/log"));
    let shorter = Prefix::new();
    shorter.keep(1..LAST);
    let before = length(&shorter.cache().join("3/log"));
    for end in before..whole {
        let left = Left::Exactly(Some(LAST - 1));
        check(&template, left, &[], |dir| truncate(&dir.join("3/log"), end));
    }
}

#[test]
fn a_log_that_lacks_what_the_older_one_has_is_damaged_wherever_it_ends() {
    let (template, mut dice) = (template(), Dice(6));
    let size = length(&template.cache().join("3/log"));
    for _ in 0..30 {
        let end = dice.below(size);
        check(&template, Left::All, &["3"], |dir| truncate(&dir.join("3/log"), end));
    }
}

#[test]
fn an_older_log_that_ends_early_is_made_up_for() {
    let (template, mut dice) = (template(), Dice(7));
    let size = length(&template.cache().join("2/log"));
    let shortest = {
        let first = Prefix::new();
        first.keep([1]);
        length(&first.cache().join("2/log"))
    };
    for _ in 0..30 {
        let end = shortest + dice.below(size - shortest);
        let prefix = Prefix::new();
        copy(&template.cache(), &prefix.cache());
        truncate(&prefix.cache().join("2/log"), end);
        let (cache, loaded) = prefix.open();
        check_is(&loaded, &prefix.revision(LAST));
        cache.settle();
        prefix.keep_in(&cache, [LAST + 1]);
        drop(cache);
        fs::remove_dir_all(prefix.cache().join("3")).unwrap();
        prefix.check_holds(LAST + 1);
    }
}

#[test]
fn what_is_cut_off_a_log_is_kept() {
    let prefix = alone();
    let log = prefix.cache().join("3/log");
    let size = length(&log);
    truncate(&log, size - 5);
    let damaged = fs::read(&log).unwrap();
    let (said, (_cache, loaded)) = listen(|| prefix.open());
    assert!(loaded.set_aside.is_empty());
    let kept = names(&prefix.cache().join("quarantine"));
    let [name] = &kept[..] else { panic!("{kept:?}") };
    let path = prefix.cache().join("quarantine").join(name);
    let bytes = fs::read(&path).unwrap();
    assert!(name.starts_with("end-") && damaged.ends_with(&bytes) && bytes.len() > 100);
    let expected = format!("its last {} bytes are a step that was cut short", bytes.len());
    assert!(said.contains(&expected), "{said}");
    assert!(said.contains(&format!("it is kept in {}", path.display())), "{said}");
}

#[test]
fn missing_files_are_done_without() {
    let template = template();
    for generation in ["2", "3"] {
        for file in ["data.mdb", "seal", "log"] {
            let file = format!("{generation}/{file}");
            let remove = |dir: &Path| fs::remove_file(dir.join(&file)).unwrap();
            check(&template, Left::All, &[generation], remove);
        }
        let log = format!("{generation}/log");
        check(&template, Left::All, &[generation], |dir| truncate(&dir.join(&log), 0));
        let remove = |dir: &Path| fs::remove_dir_all(dir.join(generation)).unwrap();
        check(&template, Left::All, &[], remove);
    }
}

/// Twelve routes come and go, from nothing: what a node is told from its first day on.
fn young() -> Prefix {
    let prefix = Prefix::new();
    let (cache, _) = prefix.open();
    cache.keep(&nothing(&prefix)).unwrap();
    cache.settle();
    prefix.keep_in(&cache, 2..=4);
    prefix
}

fn nothing(prefix: &Prefix) -> Arc<Revision> {
    signed(&prefix.key, 1, 1, Config::default())
}

/// A node that was told everything at once.
fn told_at_once() -> Prefix {
    let prefix = Prefix::new();
    prefix.keep([4]);
    prefix
}

/// Whatever happens to one file of two generations, the newest revision is served.
#[test]
fn no_damage_to_one_file_loses_anything() {
    for (seed, template) in [young(), told_at_once(), template()].iter().enumerate() {
        let mut dice = Dice(100 + seed as u64);
        let newest = template.open().1.revision.unwrap();
        for _ in 0..50 {
            let prefix = Prefix::new();
            copy(&template.cache(), &prefix.cache());
            let what = damage_a_file(&prefix.cache(), &mut dice);
            let (cache, loaded) = prefix.open();
            let loaded = cache.verify(loaded).unwrap();
            check_is(&loaded, &newest);
            cache.settle();
            drop(cache);
            assert_eq!(generations(&prefix), 2, "{what}");
            let (cache, loaded) = prefix.open();
            check_is(&loaded, &newest);
            cache.settle();
            assert!(cache.aside().causes().is_empty(), "{what}: as good as new");
        }
    }
}

/// With one generation, a log from nothing needs no base; the rest is as good as what is left of it.
#[test]
fn damage_to_a_file_of_the_only_generation_leaves_what_it_leaves() {
    for (seed, template) in [young(), told_at_once()].into_iter().enumerate() {
        fs::remove_dir_all(template.cache().join("2")).unwrap();
        let mut dice = Dice(200 + seed as u64);
        for _ in 0..50 {
            let prefix = Prefix::new();
            copy(&template.cache(), &prefix.cache());
            let what = damage_a_file(&prefix.cache(), &mut dice);
            let (cache, loaded) = prefix.open();
            let loaded = cache.verify(loaded).unwrap();
            let version = loaded.revision.as_ref().map_or(0, |revision| revision.id.version);
            match version {
                0 => assert!(!cache.aside().causes().is_empty(), "{what}"),
                1 => check_is(&loaded, &nothing(&prefix)),
                _ => check_is(&loaded, &prefix.revision(version)),
            }
            if seed == 0 && !what.contains("log") {
                assert_eq!(version, 4, "{what}: the log needs no base");
            }
            cache.keep(&prefix.revision(5)).unwrap();
            drop(cache);
            assert_eq!(generations(&prefix), 2, "{what}");
            prefix.check_holds(5);
        }
    }
}

/// Does something to some file of some generation, and says what.
fn damage_a_file(cache: &Path, dice: &mut Dice) -> String {
    let numbers: Vec<_> =
        names(cache).into_iter().filter(|name| name.parse::<u64>().is_ok()).collect();
    let number = &numbers[dice.below(numbers.len() as u64) as usize];
    let file = ["data.mdb", "seal", "log"][dice.below(3) as usize];
    let path = cache.join(number).join(file);
    let at = dice.below(length(&path));
    let kind = match dice.below(4) {
        0 => {
            flip(&path, at, dice.below(8));
            "flipped"
        }
        1 => {
            truncate(&path, at);
            "cut"
        }
        2 => {
            fs::write(&path, b"junk").unwrap();
            "overwritten"
        }
        _ => {
            fs::remove_file(&path).unwrap();
            "removed"
        }
    };
    format!("{number}/{file} {kind} at {at}")
}

#[test]
fn files_in_the_wrong_place_are_damage() {
    let template = template();
    let swap = |dir: &Path, file: &str| {
        let (one, two) = (dir.join("2").join(file), dir.join("3").join(file));
        fs::rename(&one, dir.join("aside")).unwrap();
        fs::rename(&two, &one).unwrap();
        fs::rename(dir.join("aside"), &two).unwrap();
    };
    check(&template, Left::Exactly(None), &["2", "3"], |dir| swap(dir, "data.mdb"));
    check(&template, Left::Exactly(None), &["2", "3"], |dir| swap(dir, "seal"));
    check(&template, Left::Exactly(Some(BASE)), &["2", "3"], |dir| swap(dir, "log"));

    let as_directory = |dir: &Path| {
        fs::remove_file(dir.join("3/data.mdb")).unwrap();
        fs::create_dir(dir.join("3/data.mdb")).unwrap();
    };
    check(&template, Left::All, &["3"], as_directory);
    let as_link = |dir: &Path| {
        fs::rename(dir.join("3/seal"), dir.join("seal")).unwrap();
        std::os::unix::fs::symlink(dir.join("seal"), dir.join("3/seal")).unwrap();
    };
    check(&template, Left::All, &["3"], as_link);
    let a_file_for_a_generation = |dir: &Path| fs::write(dir.join("4"), b"junk").unwrap();
    check(&template, Left::All, &["4"], a_file_for_a_generation);
}

#[test]
fn damage_to_both_generations_leaves_what_it_leaves() {
    let template = template();
    // What the older log still leads to.
    check(&template, Left::Exactly(Some(1)), &["2", "3"], |dir| {
        flip(&dir.join("3/data.mdb"), 5000, 3);
        flip(&dir.join("2/log"), length(&dir.join("2/log")) / 7, 3);
    });
    check(&template, Left::Exactly(None), &["2", "3"], |dir| {
        truncate(&dir.join("2/data.mdb"), 4096);
        truncate(&dir.join("3/data.mdb"), 4096);
    });
}

#[test]
fn what_is_not_needed_is_read_after_the_start() {
    let prefix = template();
    flip(&prefix.cache().join("2/seal"), 9, 3);
    let (cache, loaded) = prefix.open();
    check_is(&loaded, &prefix.revision(LAST));
    let loaded = cache.verify(loaded).unwrap();
    assert!(loaded.set_aside.is_empty());
    cache.settle();
    assert_eq!(cache.aside().causes(), ["`seal` is damaged"]);
    assert_eq!(set_aside(&prefix), ["2"]);
    assert_eq!(names(&prefix.cache()), ["3", "4", "lock", "quarantine"], "there are two again");
}

#[test]
fn what_is_set_aside_is_what_was_damaged() {
    let prefix = template();
    let data = prefix.cache().join("3/data.mdb");
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
    said("the previous generation at version 8", &|dir| flip(&dir.join("3/data.mdb"), 4100, 0));
    said("its intact part at version 5", &|dir| {
        fs::remove_dir_all(dir.join("2")).unwrap();
        flip(&dir.join("3/log"), 200, 0);
    });
    said("the control plane's answer", &|dir| {
        flip(&dir.join("2/data.mdb"), 4100, 0);
        flip(&dir.join("3/data.mdb"), 4100, 0);
    });
}

#[test]
fn the_quarantine_keeps_the_newest_few() {
    let prefix = template();
    for round in 0..7 {
        let newest = names(&prefix.cache()).into_iter().filter(|name| name.parse::<u64>().is_ok());
        let newest = newest.max_by_key(|name| name.parse::<u64>().unwrap()).unwrap();
        flip(&prefix.cache().join(&newest).join("data.mdb"), 4100, 0);
        let (cache, loaded) = prefix.open();
        assert_eq!(loaded.set_aside.len(), 1, "round {round}");
        check_is(&loaded, &prefix.revision(LAST));
        cache.settle();
    }
    assert_eq!(names(&prefix.cache().join("quarantine")).len(), 4);
}
