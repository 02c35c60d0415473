//! The cache's directory: who may enter, what its entries are called, and how a
//! change to it outlives a power cut.
//!
//! A generation is a directory named by its number. It is filled under another
//! name and renamed; one that has had its day is renamed before it is removed.
//! So under its number a generation is always whole.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock, statvfs};
use rustix::io::Errno;
use tracing::warn;

use super::CacheError;
use super::recover::Damage;

pub(super) const DATA: &str = "data.mdb";
pub(super) const SEAL: &str = "seal";
pub(super) const LOG: &str = "log";

const LOCK: &str = "lock";
const DRAFT: &str = ".new";
const RETIRED: &str = ".old";

/// Numbers above this are not ours.
const LAST: u64 = u64::MAX / 2;

/// Makes the directory, or closes the one that is there to everybody else.
pub(super) fn make_private(dir: &Path) -> Result<(), CacheError> {
    if !dir.is_dir() {
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700).create(dir).map_err(CacheError::io("create", dir))?;
        let parent = dir.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        sync_directory(parent).map_err(CacheError::io("sync", parent))?;
    }
    let mode = fs::metadata(dir).map_err(CacheError::io("read", dir))?.mode();
    if mode & 0o777 != 0o700 {
        fs::set_permissions(dir, Permissions::from_mode(0o700))
            .map_err(CacheError::io("close to others", dir))?;
    }
    Ok(())
}

/// The cache belongs to this process until this is dropped.
#[derive(Debug)]
pub(super) struct Lock(File);

impl Lock {
    /// Whether whoever wants this directory meets this lock: it may have been removed, with the directory
    /// or alone.
    pub(super) fn is_in(&self, dir: &Path) -> bool {
        is_at(&self.0, &dir.join(LOCK))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing the file would not do while a child, forked and not yet executed, has it open, too.
        let _ = flock(&self.0, FlockOperation::Unlock);
    }
}

/// Takes the cache for this process.
pub(super) fn lock(dir: &Path) -> Result<Lock, CacheError> {
    let path = dir.join(LOCK);
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let mut file = options.open(&path).map_err(CacheError::io("open", &path))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => {
            let mut text = String::new();
            let _ = (&mut file).take(32).read_to_string(&mut text); // only makes the message better
            return Err(CacheError::InUse { dir: dir.to_owned(), by: text.trim().parse().ok() });
        }
        Err(error) => return Err(CacheError::io("lock", &path)(error.into())),
    }
    // For the message above; a full disk is no reason not to start.
    let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
    Ok(Lock(file))
}

/// The numbers of the generations, newest first.
pub(super) fn generations(dir: &Path) -> Result<Vec<u64>, CacheError> {
    let names = entries(dir).map_err(CacheError::io("list", dir))?;
    let mut numbers: Vec<u64> = names.iter().filter_map(|name| number(name)).collect();
    numbers.sort_unstable_by(|a, b| b.cmp(a));
    Ok(numbers)
}

/// Where a generation is.
pub(super) fn generation(dir: &Path, number: u64) -> PathBuf {
    dir.join(number.to_string())
}

/// Where a generation is while it is written.
pub(super) fn draft(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number}{DRAFT}"))
}

pub(super) fn make_draft(draft: &Path) -> Result<(), CacheError> {
    DirBuilder::new().mode(0o700).create(draft).map_err(CacheError::io("create", draft))
}

/// Gives a full disk its room back; what remains is removed at the next start.
pub(super) fn remove_draft(draft: &Path) {
    let _ = fs::remove_dir_all(draft);
}

/// Lets a finished draft appear under its number.
pub(super) fn publish(dir: &Path, draft: &Path, number: u64) -> Result<(), CacheError> {
    sync_directory(draft).map_err(CacheError::io("sync", draft))?;
    let path = generation(dir, number);
    fs::rename(draft, &path).map_err(CacheError::io("create", &path))?;
    sync_directory(dir).map_err(|error| {
        // What is not known to last is not there: it would be taken for a generation that has lost its end.
        let _ = fs::rename(&path, draft);
        CacheError::io("sync", dir)(error)
    })
}

pub(super) fn remove_generation(dir: &Path, number: u64) -> io::Result<()> {
    let retired = dir.join(format!("{number}{RETIRED}"));
    fs::rename(generation(dir, number), &retired)?;
    sync_directory(dir)?;
    fs::remove_dir_all(retired)
}

/// Removes what a process that was killed had not finished writing or removing.
pub(super) fn remove_drafts(dir: &Path) -> Result<(), CacheError> {
    for name in entries(dir).map_err(CacheError::io("list", dir))? {
        let stem = name.strip_suffix(DRAFT).or(name.strip_suffix(RETIRED));
        if stem.and_then(number).is_some() {
            let path = dir.join(name);
            if let Err(error) = fs::remove_dir_all(&path) {
                warn!("configuration cache: cannot remove {}: {error}", path.display());
            }
        }
    }
    Ok(())
}

pub(super) fn sync_directory(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// The names in a directory; those that are not text are not ours.
pub(super) fn entries(dir: &Path) -> io::Result<Vec<String>> {
    let names = fs::read_dir(dir)?.map(|entry| Ok(entry?.file_name().into_string().ok()));
    names.filter_map(io::Result::transpose).collect()
}

/// Opens a file of a generation to read it. What is no plain file (a pipe would block) is damage.
pub(super) fn open(dir: &Path, file: &'static str) -> Result<File, Damage> {
    let path = dir.join(file);
    let open = || {
        if !fs::symlink_metadata(&path)?.is_file() {
            return Err(io::Error::other("it is not a plain file"));
        }
        File::open(&path)
    };
    open().map_err(Damage::unreadable(file))
}

/// Creates a file that only its owner may read.
pub(super) fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Whether this open file, and no other, is the one of that name.
pub(super) fn is_at(file: &File, path: &Path) -> bool {
    let (Ok(ours), Ok(theirs)) = (file.metadata(), fs::symlink_metadata(path)) else {
        return false;
    };
    (ours.dev(), ours.ino()) == (theirs.dev(), theirs.ino())
}

/// Whether a generation still has what its log builds upon. What these files contain is not looked at.
pub(super) fn has_base(generation: &Path) -> bool {
    [DATA, SEAL].iter().all(|file| generation.join(file).symlink_metadata().is_ok())
}

/// How many more bytes the disk takes.
pub(super) fn free(dir: &Path) -> io::Result<u64> {
    let disk = statvfs(dir)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

fn number(name: &str) -> Option<u64> {
    name.parse().ok().filter(|number: &u64| number.to_string() == name && *number <= LAST)
}
