//! Where damaged generations go, and ends of logs that stop short: kept for a
//! look, never read again, bounded.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use tracing::warn;

use super::files;

const QUARANTINE: &str = "quarantine";

/// How many are kept of each kind; of more, the oldest go.
const MOST: usize = 4;

/// What the names of ends begin with. A node that dies often must not push damaged generations out.
const END: &str = "end-";

/// Moves a generation to `quarantine/<unix time>-<number>`. Returns that path.
pub(super) fn take(dir: &Path, number: u64) -> io::Result<PathBuf> {
    let quarantine = make(dir)?;
    let path = free_name(&quarantine, &format!("{}-{number}", now()));
    fs::rename(files::generation(dir, number), &path)?;
    // It is aside now. At worst it is found in its old place once more, or kept for too long.
    let tidied = files::sync_directory(&quarantine)
        .and_then(|()| files::sync_directory(dir))
        .and_then(|()| prune(&quarantine, ""));
    warn_untidy(&quarantine, tidied);
    Ok(path)
}

/// Copies what a generation's log ends with to `quarantine/end-<unix time>-<number>`. Returns that path.
pub(super) fn keep_end(dir: &Path, number: u64, mut end: impl Read) -> io::Result<PathBuf> {
    let quarantine = make(dir)?;
    let path = free_name(&quarantine, &format!("{END}{}-{number}", now()));
    let mut file = files::create(&path)?;
    io::copy(&mut end, &mut file).and_then(|_| file.sync_all()).inspect_err(|_| {
        let _ = fs::remove_file(&path); // gives a full disk its room back
    })?;
    warn_untidy(&quarantine, prune(&quarantine, END));
    Ok(path)
}

fn make(dir: &Path) -> io::Result<PathBuf> {
    let quarantine = dir.join(QUARANTINE);
    match fs::create_dir(&quarantine) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(quarantine),
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn warn_untidy(quarantine: &Path, tidied: io::Result<()>) {
    if let Err(error) = tidied {
        warn!("configuration cache: {} could not be tidied up: {error}", quarantine.display());
    }
}

/// Generation numbers start again in an emptied cache, so a name may be taken.
fn free_name(quarantine: &Path, name: &str) -> PathBuf {
    let names = (1..).map(|n| if n == 1 { name.to_owned() } else { format!("{name}.{n}") });
    let mut paths = names.map(|name| quarantine.join(name));
    paths.find(|path| path.symlink_metadata().is_err()).expect("names are endless")
}

/// Removes the oldest of those whose names are this and an age.
fn prune(quarantine: &Path, kind: &str) -> io::Result<()> {
    let mut aside: Vec<_> = files::entries(quarantine)?
        .into_iter()
        .filter_map(|name| Some((age(name.strip_prefix(kind)?)?, name)))
        .collect();
    aside.sort_unstable_by(|a, b| b.cmp(a));
    for (_, name) in aside.into_iter().skip(MOST) {
        let path = quarantine.join(name);
        if path.symlink_metadata()?.is_dir() {
            fs::remove_dir_all(path)?;
        } else {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// What a name of ours is ordered by: time, generation, turn.
fn age(name: &str) -> Option<(u64, u64, u64)> {
    let (time, rest) = name.split_once('-')?;
    let (number, turn) = rest.split_once('.').unwrap_or((rest, "1"));
    Some((time.parse().ok()?, number.parse().ok()?, turn.parse().ok()?))
}
